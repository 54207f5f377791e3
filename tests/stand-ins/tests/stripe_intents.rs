//! Intents, their parameters, statuses and events.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

mod http;

use http::{Client, Reply};
use serde_json::Value;
use stand_ins::stripe::{Charge, sign};
use stand_ins::{Match, Outcome, Stage, Stripe};

const INTENTS: &str = "/v1/payment_intents";
const ORDER: [(&str, &str); 2] = [("amount", "5000"), ("currency", "usd")];

async fn stripe() -> (Stripe, Client) {
    let stripe = Stripe::start("sk_test_key", "whsec_key").await;
    stripe.set_now(1_800_000_000);
    let client = Client::new(stripe.base()).with("Authorization", "Bearer sk_test_key");
    (stripe, client)
}

async fn create(client: &Client, more: &[(&str, &str)]) -> Reply {
    client.form(INTENTS, &[&ORDER, more].concat()).await
}

async fn confirm(client: &Client, intent: &str, payment_method: &str) -> Reply {
    let path = format!("{INTENTS}/{intent}/confirm");
    client
        .form(&path, &[("payment_method", payment_method)])
        .await
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

fn event_types(stripe: &Stripe) -> Vec<String> {
    let kind = |event: Value| {
        event["type"]
            .as_str()
            .unwrap()
            .replace("payment_intent.", "")
    };
    stripe.events().into_iter().map(kind).collect()
}

#[tokio::test]
async fn an_intent_is_what_was_asked_for() {
    let (stripe, client) = stripe().await;
    let reply = create(
        &client,
        &[
            ("allowed_payment_method_types[0]", "card"),
            ("capture_method", "manual"),
            ("metadata[order_id]", "A-1"),
            ("receipt_email", "jenny@example.com"),
        ],
    )
    .await;
    assert_eq!(reply.header("date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
    assert!(reply.header("request-id").unwrap().starts_with("req_"));
    let intent = reply.json();
    assert_eq!(id(&intent).len(), 27);
    let secret = intent["client_secret"].as_str().unwrap();
    assert!(secret.starts_with(&format!("{}_secret_", id(&intent))));
    for (field, want) in [
        ("object", "payment_intent".into()),
        ("amount", 5000.into()),
        ("status", "requires_payment_method".into()),
        ("created", 1_800_000_000.into()),
        ("livemode", false.into()),
        ("capture_method", "manual".into()),
        ("receipt_email", "jenny@example.com".into()),
        ("allowed_payment_method_types", serde_json::json!(["card"])),
        ("payment_method_types", serde_json::json!(["card"])),
        ("metadata", serde_json::json!({ "order_id": "A-1" })),
        ("last_payment_error", Value::Null),
    ] {
        assert_eq!(intent[field], want, "{field}");
    }
    assert_eq!(
        client
            .get(&format!("{INTENTS}/{}", id(&intent)))
            .await
            .json(),
        intent
    );
    assert_eq!(stripe.intent(id(&intent)), Some(intent));
}

#[tokio::test]
async fn parameters_are_checked_before_anything_happens() {
    let (stripe, client) = stripe().await;
    let moto = ("payment_method_options[card][moto]", "true");
    let paid = [
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        moto,
    ];
    for (parameters, code, param) in [
        (vec![("color", "red")], "parameter_unknown", "color"),
        (
            vec![("payment_method_options[card][x]", "1")],
            "parameter_unknown",
            "payment_method_options[card][x]",
        ),
        (vec![moto], "parameter_unknown", moto.0),
        (paid.to_vec(), "parameter_unknown", moto.0),
        (vec![("metadata", "x")], "parameter_unknown", "metadata"),
        (
            vec![("receipt_email[]", "x@b.example")],
            "parameter_unknown",
            "receipt_email[]",
        ),
        (
            vec![("amount", "50.00")],
            "parameter_invalid_integer",
            "amount",
        ),
        (vec![("amount", "49")], "amount_too_small", "amount"),
        (vec![("amount", "100000000")], "amount_too_large", "amount"),
        (
            vec![("receipt_email", "")],
            "parameter_invalid_empty",
            "receipt_email",
        ),
        (
            vec![("payment_method_types[0]", "card")],
            "payment_method_types_no_longer_supported",
            "payment_method_types",
        ),
    ] {
        let refused = create(&client, &parameters).await;
        assert_eq!(refused.status, 400, "{parameters:?}");
        assert_eq!(refused.error("code"), code, "{parameters:?}");
        assert_eq!(refused.error("param"), param, "{parameters:?}");
    }
    let (old, new) = (
        [("payment_method_types[0]", "card")],
        [("allowed_payment_method_types[0]", "card")],
    );
    for (version, with_old, with_new) in [
        ("2024-06-20", "", "parameter_unknown"),
        ("2026-08-26.dahlia", "", ""),
        (
            "2026-09-30.endive",
            "payment_method_types_no_longer_supported",
            "",
        ),
        (
            "2026-10-28.endive",
            "payment_method_types_no_longer_supported",
            "",
        ),
    ] {
        let client = client.with("Stripe-Version", version);
        for (parameters, code) in [(&old, with_old), (&new, with_new)] {
            let reply = create(&client, parameters).await;
            assert_eq!(
                reply.status,
                if code.is_empty() { 200 } else { 400 },
                "{version} {parameters:?}"
            );
            assert!(
                code.is_empty() || reply.error("code") == code,
                "{version} {parameters:?}"
            );
        }
    }
    let before = stripe.intents().len();

    stripe.set_minimum("usd", 6000);
    assert_eq!(create(&client, &[]).await.error("code"), "amount_too_small");
    stripe.set_minimum("usd", 1);
    assert_eq!(client.json("POST", INTENTS, &Value::Null).await.status, 400);
    assert_eq!(client.get("/v1/customers").await.status, 404);
    assert_eq!(stripe.intents().len(), before);
    stripe.allow_moto(true);
    assert_eq!(create(&client, &paid).await.json()["status"], "succeeded");
}

#[tokio::test]
async fn keys_decide_who_may_ask_and_in_which_mode() {
    let (stripe, client) = stripe().await;
    let nobody = client.without_headers();
    assert_eq!(create(&nobody, &[]).await.status, 401);
    let wrong = create(&nobody.with("Authorization", "Bearer sk_test_wrong"), &[]).await;
    assert_eq!(wrong.status, 401);
    assert!(!String::from_utf8_lossy(&wrong.body).contains("sk_test_wrong"));
    stripe.set_restricted(true);
    assert_eq!(create(&client, &[]).await.status, 403);
    stripe.set_restricted(false);
    stripe.set_secret_keys(&["sk_test_key", "rk_live_key"]);
    let live = nobody.with("Authorization", "Bearer rk_live_key");
    assert_eq!(create(&live, &[]).await.json()["livemode"], true);
    assert_eq!(create(&client, &[]).await.json()["livemode"], false);
    assert_eq!(stripe.events()[0]["livemode"], true);
}

#[tokio::test]
async fn a_declined_card_leaves_the_intent_for_another() {
    let (stripe, client) = stripe().await;
    let intent = create(&client, &[]).await.json();
    for (payment_method, code, decline_code) in [
        (
            "pm_card_visa_chargeDeclined",
            "card_declined",
            "generic_decline",
        ),
        (
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            "insufficient_funds",
        ),
        (
            "pm_card_visa_chargeDeclinedLostCard",
            "card_declined",
            "lost_card",
        ),
        (
            "pm_card_chargeDeclinedExpiredCard",
            "expired_card",
            "expired_card",
        ),
    ] {
        let declined = confirm(&client, id(&intent), payment_method).await;
        assert_eq!(declined.status, 402);
        assert_eq!(declined.error("type"), "card_error");
        assert_eq!(declined.error("code"), code);
        assert_eq!(declined.error("decline_code"), decline_code);
        let after = declined.error("payment_intent");
        assert_eq!(after["status"], "requires_payment_method");
        assert_eq!(after["payment_method"], Value::Null);
        assert_eq!(after["last_payment_error"]["decline_code"], decline_code);
        assert_eq!(
            after["last_payment_error"]["payment_method"]["id"],
            payment_method
        );
    }
    assert!(stripe.charges().is_empty());

    let paid = confirm(&client, id(&intent), "pm_card_visa").await.json();
    assert_eq!(
        (&paid["id"], &paid["status"]),
        (&intent["id"], &"succeeded".into())
    );
    assert_eq!(
        (&paid["amount_received"], &paid["last_payment_error"]),
        (&5000.into(), &Value::Null)
    );
    let again = confirm(&client, id(&intent), "pm_card_visa").await;
    assert_eq!(
        (again.status, again.error("code")),
        (400, "payment_intent_unexpected_state".into())
    );
    assert_eq!(again.error("payment_intent")["status"], "succeeded");
    let charge = Charge {
        intent: id(&intent).into(),
        amount: 5000,
        currency: "usd".into(),
    };
    assert_eq!(stripe.charges(), [charge]);
    assert_eq!(
        event_types(&stripe),
        [
            "created",
            "payment_failed",
            "payment_failed",
            "payment_failed",
            "payment_failed",
            "succeeded"
        ]
    );
}

#[tokio::test]
async fn a_card_that_wants_authentication_waits_or_fails() {
    let (stripe, client) = stripe().await;
    let card = ("payment_method", "pm_card_authenticationRequired");
    let unattended = [
        ("confirm", "true"),
        ("error_on_requires_action", "true"),
        card,
    ];
    let refused = create(&client, &unattended).await;
    assert_eq!(
        (refused.status, refused.error("code")),
        (402, "authentication_required".into())
    );
    assert_eq!(
        refused.error("payment_intent")["status"],
        "requires_payment_method"
    );

    let waiting = create(&client, &[("confirm", "true"), card]).await.json();
    assert_eq!(waiting["status"], "requires_action");
    let failed = stripe.authenticate(id(&waiting), false).unwrap();
    assert_eq!(
        failed["last_payment_error"]["code"],
        "payment_intent_authentication_failure"
    );
    stripe.pay(id(&waiting), card.1).unwrap();
    assert_eq!(
        stripe.authenticate(id(&waiting), true).unwrap()["status"],
        "succeeded"
    );
    assert_eq!(stripe.charges().len(), 1);
}

#[tokio::test]
async fn an_unknown_card_is_named_and_leaves_nothing() {
    let (stripe, client) = stripe().await;
    let parameters = [("confirm", "true"), ("payment_method", "pm_unknown")];
    let refused = create(&client, &parameters).await;
    assert_eq!(
        (refused.status, refused.error("code")),
        (400, "resource_missing".into())
    );
    assert_eq!(refused.error("param"), "payment_method");
    assert!(stripe.intents().is_empty());
    stripe.add_payment_method("pm_unknown", Outcome::decline("do_not_honor"));
    assert_eq!(
        create(&client, &parameters).await.error("decline_code"),
        "do_not_honor"
    );
    let missing = client.get(&format!("{INTENTS}/pi_unknown")).await;
    assert_eq!(
        (missing.status, missing.error("code")),
        (404, "resource_missing".into())
    );
}

#[tokio::test]
async fn authorized_money_moves_only_when_captured() {
    let (stripe, client) = stripe().await;
    let manual = [
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
    ];
    let first = create(&client, &manual).await.json();
    let second = create(&client, &manual).await.json();
    assert_eq!(
        (&first["status"], &first["amount_capturable"]),
        (&"requires_capture".into(), &5000.into())
    );
    assert!(stripe.charges().is_empty());

    let capture = format!("{INTENTS}/{}/capture", id(&first));
    let too_much = client
        .form(&capture, &[("amount_to_capture", "5001")])
        .await;
    assert_eq!(too_much.error("code"), "amount_too_large");
    let captured = client
        .form(&capture, &[("amount_to_capture", "4000")])
        .await
        .json();
    assert_eq!(
        (&captured["status"], &captured["amount_received"]),
        (&"succeeded".into(), &4000.into())
    );
    assert_eq!(stripe.charges()[0].amount, 4000);

    let cancel = format!("{INTENTS}/{}/cancel", id(&second));
    assert_eq!(
        client
            .form(&cancel, &[("cancellation_reason", "whim")])
            .await
            .status,
        400
    );
    let canceled = client
        .form(&cancel, &[("cancellation_reason", "abandoned")])
        .await
        .json();
    assert_eq!(
        (&canceled["status"], &canceled["amount_capturable"]),
        (&"canceled".into(), &0.into())
    );
    assert_eq!(canceled["canceled_at"], 1_800_000_000);
    assert!(stripe.capture(id(&second), None).is_err());
    assert!(stripe.cancel(id(&first), Some("automatic")).is_err());
    assert_eq!(stripe.charges().len(), 1);
}

#[tokio::test]
async fn a_slow_payment_is_known_later() {
    let (stripe, client) = stripe().await;
    let slow = [
        ("confirm", "true"),
        ("payment_method", "pm_card_processing"),
    ];
    let intent = create(&client, &slow).await.json();
    assert_eq!(intent["status"], "processing");
    assert_eq!(
        confirm(&client, id(&intent), "pm_card_visa").await.status,
        400
    );
    assert!(stripe.cancel(id(&intent), None).is_err());
    assert_eq!(
        stripe.finish_processing(id(&intent), false).unwrap()["status"],
        "requires_payment_method"
    );
    stripe.pay(id(&intent), "pm_card_processing").unwrap();
    assert_eq!(
        stripe.finish_processing(id(&intent), true).unwrap()["status"],
        "succeeded"
    );
    assert_eq!(
        event_types(&stripe),
        [
            "created",
            "processing",
            "payment_failed",
            "processing",
            "succeeded"
        ]
    );
}

#[tokio::test]
async fn search_finds_by_metadata_once_it_has_caught_up() {
    let (stripe, client) = stripe().await;
    let order = |attempt| {
        [
            ("metadata[conversation_id]", "c"),
            ("metadata[order_id]", "O"),
            ("metadata[attempt]", attempt),
        ]
    };
    create(&client, &order("1")).await;
    let second = create(&client, &order("2")).await.json();
    let search = |query: &str| {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let (client, path) = (
            client.clone(),
            format!("{INTENTS}/search?query={query}&limit=1"),
        );
        async move { client.get(&path).await }
    };
    let both = search("metadata['conversation_id']:'c' AND metadata['order_id']:'O'")
        .await
        .json();
    assert_eq!(
        (&both["object"], &both["has_more"]),
        (&"search_result".into(), &true.into())
    );
    assert_eq!(both["data"][0], second);
    let exact =
        "metadata['conversation_id']:'c' AND metadata['order_id']:'O' AND metadata['attempt']:'1'";
    assert_eq!(
        search(exact).await.json()["data"][0]["metadata"]["attempt"],
        "1"
    );
    assert_eq!(search("status~'x'").await.error("param"), "query");
    stripe.set_search_lag(true);
    assert_eq!(search(exact).await.json()["data"], serde_json::json!([]));
}

#[tokio::test]
async fn events_hold_what_was_true_at_the_time() {
    let (stripe, client) = stripe().await;
    let keyed = client.with("Idempotency-Key", "k");
    let reply = create(
        &keyed,
        &[("confirm", "true"), ("payment_method", "pm_card_visa")],
    )
    .await;
    stripe.advance(5);
    let events = stripe.events();
    assert_eq!(event_types(&stripe), ["created", "succeeded"]);
    assert_eq!(
        events[0]["data"]["object"]["status"],
        "requires_confirmation"
    );
    assert_eq!(events[1]["data"]["object"], reply.json());
    assert_eq!(events[1]["created"], 1_800_000_000);
    assert_eq!(events[1]["api_version"], "2026-10-28.endive");
    assert_eq!(
        events[1]["request"]["id"],
        reply.header("request-id").unwrap()
    );
    assert_eq!(events[1]["request"]["idempotency_key"], "k");

    let listed = client.get("/v1/events").await.json();
    assert_eq!(listed["data"], serde_json::json!([events[1], events[0]]));
    let succeeded = client
        .get("/v1/events?type=payment_intent.succeeded&limit=1")
        .await
        .json();
    assert_eq!(succeeded["data"], serde_json::json!([events[1]]));
    let older = client
        .get(&format!("/v1/events?starting_after={}", id(&events[1])))
        .await
        .json();
    assert_eq!(older["data"], serde_json::json!([events[0]]));
    assert_eq!(
        client
            .get(&format!("/v1/events/{}", id(&events[0])))
            .await
            .json(),
        events[0]
    );
}

#[tokio::test]
async fn events_are_signed_with_every_secret() {
    let (stripe, client) = stripe().await;
    create(&client, &[]).await;
    stripe.set_webhook_secrets(&["whsec_new", "whsec_old"]);
    let webhook = stripe.webhook(&stripe.events()[0]);
    let each = |secret| sign(secret, 1_800_000_000, &webhook.body);
    let new = each("whsec_new");
    let old = each("whsec_old").replace("t=1800000000", "");
    assert_eq!(webhook.signature, format!("{new}{old}"));
    assert_eq!(stripe.sign(&webhook.body, 1_800_000_000), webhook.signature);
}

#[tokio::test]
async fn delivery_goes_on_until_the_endpoint_accepts() {
    let (stripe, client) = stripe().await;
    // Another stand-in serves as the endpoint: it can refuse, and remembers what it got.
    let endpoint = Stripe::start("sk_test_endpoint", "whsec_endpoint").await;
    let accept = || stand_ins::Reply::status(200).body("{}");
    endpoint.fault(Match::post("/hook"), stand_ins::Fault::status(503));
    endpoint.fault(Match::post("/hook"), accept());
    endpoint.outage(Match::post("/hook"), accept());
    stripe.deliver_to(&format!("{}/hook", endpoint.base()));
    let intent = create(&client, &[]).await.json();
    stripe.pay(id(&intent), "pm_card_visa").unwrap();

    let deliveries = stripe.delivered(2).await;
    assert_eq!((deliveries[0].tries, deliveries[0].status), (2, Some(200)));
    assert_eq!((deliveries[1].tries, deliveries[1].status), (1, Some(200)));
    let received = endpoint.requests();
    let types: Vec<_> = received
        .iter()
        .map(|request| request.json()["type"].clone())
        .collect();
    assert_eq!(
        types,
        [
            "payment_intent.created",
            "payment_intent.created",
            "payment_intent.succeeded"
        ]
    );
    for request in received {
        let signature = sign("whsec_key", 1_800_000_000, &request.body);
        assert_eq!(request.header("stripe-signature"), Some(signature.as_str()));
    }
}

#[tokio::test]
async fn the_payer_can_pay_over_http() {
    let (stripe, client) = stripe().await;
    let intent = create(&client, &[]).await.json();
    stripe.clear_requests();
    let payer = client.without_headers();
    let body = |card: &str| serde_json::json!({ "intent": id(&intent), "payment_method": card });
    let declined = payer
        .json(
            "POST",
            "/_control/pay",
            &body("pm_card_visa_chargeDeclined"),
        )
        .await;
    assert_eq!(
        (declined.status, declined.error("code")),
        (402, "card_declined".into())
    );
    let paid = payer
        .json("POST", "/_control/pay", &body("pm_card_visa"))
        .await;
    assert_eq!(
        (paid.status, &paid.json()["status"]),
        (200, &"succeeded".into())
    );
    assert!(stripe.requests().is_empty());
    assert_eq!(
        payer
            .json("POST", "/_control/nothing", &Value::Null)
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let (stripe, client) = stripe().await;
    create(
        &client.with("Idempotency-Key", "k"),
        &[("metadata[order_id]", "Ä 1")],
    )
    .await;
    client.get("/v1/events?limit=1").await;
    let requests = stripe.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("POST", INTENTS)
    );
    assert_eq!(requests[0].header("idempotency-key"), Some("k"));
    assert_eq!(
        requests[0].parameter("metadata[order_id]").as_deref(),
        Some("Ä 1")
    );
    assert_eq!(requests[0].at, 1_800_000_000);
    assert_eq!(
        (requests[1].path.as_str(), requests[1].query.as_str()),
        ("/v1/events", "limit=1")
    );
}

#[tokio::test]
async fn two_confirmations_at_once_charge_once() {
    let (stripe, client) = stripe().await;
    let intent = create(&client, &[]).await.json();
    let path = format!("{INTENTS}/{}/confirm", id(&intent));
    let gate = stripe.gate(Match::post(INTENTS).ending("/confirm"), Stage::Execution);
    let tries: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|key| {
            let (client, path) = (client.with("Idempotency-Key", key), path.clone());
            tokio::spawn(async move {
                client
                    .form(&path, &[("payment_method", "pm_card_visa")])
                    .await
            })
        })
        .collect();
    gate.arrived(2).await;
    gate.open();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(stripe.charges().len(), 1);
}

#[tokio::test]
async fn the_list_is_by_creation_in_pages_the_newest_first_and_does_not_lag() {
    let (stripe, client) = stripe().await;
    stripe.set_search_lag(true);
    for _ in 0..5 {
        create(&client, &[]).await;
        stripe.advance(10);
    }
    let made: Vec<String> = stripe
        .intents()
        .iter()
        .rev()
        .map(|intent| id(intent).to_owned())
        .collect();
    let page = async |query: &str| {
        let list = client.get(&format!("{INTENTS}?{query}")).await.json();
        let ids: Vec<String> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|intent| id(intent).to_owned())
            .collect();
        (ids, list["has_more"] == true)
    };
    assert_eq!(page("limit=2").await, (made[..2].to_vec(), true));
    assert_eq!(
        page(&format!("limit=3&starting_after={}", made[1])).await,
        (made[2..].to_vec(), false)
    );
    assert_eq!(
        page("created[gte]=1800000010&created[lte]=1800000030").await,
        (made[1..4].to_vec(), false)
    );
    let nobody = client
        .get(&format!("{INTENTS}?starting_after=pi_nobody"))
        .await;
    assert_eq!(
        (nobody.status, nobody.error("param")),
        (400, "starting_after".into())
    );
}

#[tokio::test]
async fn search_can_be_refused_or_find_more_than_is_asked_for() {
    let (stripe, client) = stripe().await;
    for order in ["A", "B"] {
        create(
            &client,
            &[("metadata[order_id]", order), ("metadata[attempt]", "1")],
        )
        .await;
    }
    let query: String =
        form_urlencoded::byte_serialize(b"metadata['order_id']:'A' AND metadata['attempt']:'1'")
            .collect();
    let path = format!("{INTENTS}/search?query={query}");
    stripe.set_search_loose(true);
    let found = client.get(&path).await.json();
    let orders: Vec<_> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| &found["metadata"]["order_id"])
        .collect();
    assert_eq!(orders, ["B", "A"]);
    stripe.set_search_refused(Some(403));
    assert_eq!(client.get(&path).await.status, 403);
}
