//! create-intent.

use super::*;

/// How a card number may come, as JSON.
pub(super) fn cards_in_json() -> Vec<String> {
    let groups: Vec<&str> = (0..4).map(|group| &CARD[group * 4..][..4]).collect();
    let escaped = |text: &str| {
        text.bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect::<String>()
    };
    let full_width: String = CARD
        .chars()
        .map(|digit| char::from_u32(0xFF10 + digit.to_digit(10).unwrap()).unwrap())
        .collect();
    let texts = [
        CARD.to_owned(),
        groups.join(" "),
        groups.join("-"),
        groups.join("."),
        groups.join("\u{A0}"),
        groups.join("\\u0020"),
        groups.join("\\t"),
        full_width,
        escaped(CARD),
        format!("{}{}", escaped(&CARD[..1]), &CARD[1..]),
        format!("{}{}", &CARD[..15], escaped(&CARD[15..])),
        groups
            .iter()
            .map(|group| escaped(group))
            .collect::<Vec<_>>()
            .join("\\u2013"),
        format!("card {CARD} 12/27 123"),
        format!("A{CARD}B"),
        format!(
            "({}) ~{}~ <{}> {}",
            groups[0], groups[1], groups[2], groups[3]
        ),
        CARD.chars()
            .flat_map(|digit| [digit, '\u{FE0F}', '\u{20E3}'])
            .collect(),
        CARD.bytes().map(|byte| format!("%{byte:x}")).collect(),
        CARD.bytes().map(|byte| format!("&#{byte};")).collect(),
        groups.join("%09"),
    ];
    let quoted = texts.map(|text| format!("\"{text}\""));
    let bare = [
        CARD.to_owned(),
        format!("{}.{}", &CARD[..1], &CARD[1..]),
        format!("{}.{}e15", &CARD[..1], &CARD[1..]),
        format!("-{CARD}"),
        format!("[{}]", groups.join(", ")),
        format!("[\"{}\"]", groups.join(" ")),
        format!(r#"{{"a":[{{"b":"{}"}}]}}"#, escaped(CARD)),
    ];
    quoted.into_iter().chain(bare).collect()
}

/// Fields of the request, and two that it does not have.
pub(super) const FIELDS: [&str; 12] = [
    "conversation_id",
    "order_id",
    "currency",
    "region",
    "payment_method",
    "amount",
    "amount_minor",
    "include_client_secret",
    "description",
    "receipt_email",
    "card",
    "",
];

pub(super) async fn card_numbers(run: &mut Run) {
    assert!(in_identifier(CARD));
    let mut bodies = vec![
        format!("not JSON {CARD}"),
        format!("{{\"card\": \"{CARD}\""),
        format!("card={CARD}&cvc=123"),
        format!("\"{CARD}\""),
    ];
    for card in cards_in_json() {
        bodies.extend(FIELDS.map(|field| format!("{{\"{field}\": {card}}}")));
        if card.starts_with('"') {
            bodies.push(format!("{{{card}: 1}}"));
            bodies.push(format!("{{\"a\": {{{card}: 1}}}}"));
        }
    }
    // Digits glued to a card number are looked for where no identifier of digits only belongs:
    // behind the first five.
    for glued in [
        format!("{CARD}1227"),
        format!("1{CARD}"),
        format!("00000{CARD}"),
        format!("20261122{CARD}"),
    ] {
        bodies.extend(
            FIELDS[5..]
                .iter()
                .map(|field| format!("{{\"{field}\": \"{glued}\"}}")),
        );
        bodies.push(format!("{{\"{glued}\": 1}}"));
    }
    // Of two fields of one name both are looked into.
    let digits: String = CARD.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    bodies.push(format!(r#"{{"description":"{digits}","description":"x"}}"#));
    for body in bodies {
        let told = run.post(&body).await;
        assert_eq!(told["code"], "card_data_refused", "{body}");
        let mut event = api_event("POST", None, &json!({}), &STANDARD.encode(&body));
        event["isBase64Encoded"] = true.into();
        let response = run.world.create_intent.handle(request(&event)).await;
        assert_eq!(
            run.keep(&body, response).await["code"],
            "card_data_refused",
            "in base64: {body}"
        );
    }
    assert!(run.world.stripe.requests().is_empty());
    assert!(run.world.dynamo.items().await.is_empty());
}

/// Requests that are refused before anything is written, with a secret where it does not belong.
pub(super) async fn bad_requests(run: &mut Run) {
    let padding = "x".repeat(shared::lambda::request::MAX_REQUEST_BYTES);
    for (_, secret) in NAMED {
        for more in [
            json!({ "vault": secret }),
            json!({ "vault": { "token": [secret] } }),
            json!({ "description": [secret] }),
            json!({ "description": secret.repeat(40) }),
            json!({ "payment_method": { "id": secret } }),
            json!({ "include_client_secret": secret }),
            json!({ "amount": { "value": secret } }),
            json!({ "order_id": [secret] }),
            json!({ "conversation_id": { "id": secret } }),
        ] {
            run.posted(&with("A-1", &more), "malformed_request").await;
        }
        let known = shared::domain::secret_guard::holds_secret(secret);
        let code = if known {
            "malformed_request"
        } else {
            "invalid_receipt_email"
        };
        run.posted(&with("A-1", &json!({ "receipt_email": secret })), code)
            .await;
        let shortened = with("A-1", &json!({ "payment_method": secret })).to_string();
        let told = run.post(&shortened[..shortened.len() - 1]).await;
        assert_eq!(told["code"], "malformed_request");
        run.posted(
            &with("A-1", &json!({ "payment_method": format!("{secret}!") })),
            "invalid_payment_method",
        )
        .await;
        run.posted(
            &json!({ "payment_method": secret, "pad": padding }),
            "request_too_large",
        )
        .await;
    }
    for (more, code) in [
        (json!({ "amount": "1.005" }), "invalid_amount"),
        (json!({ "currency": "xyz" }), "invalid_currency"),
        (json!({ "currency": "chf" }), "currency_not_allowed"),
        (json!({ "region": "JP" }), "currency_mismatch"),
        (json!({ "amount": "10000.01" }), "amount_above_limit"),
        (json!({ "amount": "0.49" }), "amount_below_minimum"),
        (
            json!({ "conversation_id": "call-1" }),
            "invalid_conversation_id",
        ),
        (json!({ "order_id": "a b" }), "invalid_order_id"),
    ] {
        let mut body = with("A-1", &more);
        body["payment_method"] = TOKEN.into();
        run.posted(&body, code).await;
    }
    assert!(run.world.stripe.requests().is_empty());
    assert!(run.world.dynamo.items().await.is_empty());
}

/// What a payment may become, by a token or without one.
pub(super) async fn payments(run: &mut Run) {
    run.begin("P-1").await;
    run.posted(&order("P-1"), "PENDING").await;
    run.posted(
        &with(
            "P-1",
            &json!({ "amount": "50.01", "payment_method": TOKEN }),
        ),
        "order_changed",
    )
    .await;
    run.posted(
        &with("P-1", &json!({ "payment_method": UNKNOWN_TOKEN })),
        "invalid_payment_method",
    )
    .await;
    run.posted(
        &with("P-1", &json!({ "payment_method": DECLINED_TOKEN })),
        "DECLINED",
    )
    .await;
    run.posted(
        &with("P-1", &json!({ "payment_method": TOKEN })),
        "CONFIRMED",
    )
    .await;
    run.world.stripe.add_payment_method(TOKEN, Outcome::Process);
    run.posted(
        &with("P-2", &json!({ "payment_method": TOKEN })),
        "PROCESSING",
    )
    .await;
    run.world
        .stripe
        .add_payment_method(TOKEN, Outcome::RequireAuthentication);
    run.posted(
        &with("P-3", &json!({ "payment_method": TOKEN })),
        "DECLINED",
    )
    .await;
    run.world.stripe.add_payment_method(TOKEN, Outcome::Succeed);
    // The one secret that is given, to the one who asked for it, and only there.
    let asking = with("P-4", &json!({ "include_client_secret": true })).to_string();
    for _ in 0..2 {
        let event = api_event("POST", None, &json!({}), &asking);
        let (head, body) = run
            .world
            .create_intent
            .handle(request(&event))
            .await
            .into_parts();
        let Body::Text(text) = body else {
            panic!("a text body")
        };
        let mut told: Value = serde_json::from_str(&text).unwrap();
        let secret = told["client_secret"].take();
        assert_eq!(
            secret,
            run.world.stripe.intents().last().unwrap()["client_secret"]
        );
        run.keep(
            &asking,
            Response::from_parts(head, Body::Text(told.to_string())),
        )
        .await;
    }
}

/// Everything Stripe may say to the request that makes the intent.
pub(super) async fn stripe_on_creation(run: &mut Run) {
    let other = json!({
        "id": "pi_3QmOther", "amount": 4999, "currency": "usd", "status": "requires_payment_method",
        "created": START, "client_secret": CLIENT_SECRET, "metadata": { "note": all_canaries() },
    });
    let mut said: Vec<(Fault, &str)> = vec![
        (stripe_says(400).into(), "stripe_rejected"),
        (stripe_says(401).into(), "stripe_auth"),
        (stripe_says(402).into(), "stripe_rejected"),
        (stripe_says(403).into(), "stripe_auth"),
        (stripe_says(404).into(), "stripe_rejected"),
        (stripe_says(424).into(), "stripe_unavailable"),
        (stripe_says(429).into(), "rate_limited"),
        (stripe_says(500).into(), "stripe_unavailable"),
        (stripe_says(302).into(), "stripe_unavailable"),
        (
            stripe_says(503).should_retry(true).into(),
            "stripe_unavailable",
        ),
        (
            stripe_says_code(400, "invalid_request_error", "amount_too_small", "amount").into(),
            "amount_below_minimum",
        ),
        (
            stripe_says_code(400, "invalid_request_error", "amount_too_large", "amount").into(),
            "amount_above_limit",
        ),
        (
            stripe_says_code(400, "idempotency_error", KEY, "").into(),
            "in_progress",
        ),
        (
            Reply::status(400).body(&all_canaries()).into(),
            "stripe_rejected",
        ),
        (
            Reply::status(200).body(&other.to_string()).into(),
            "stripe_rejected",
        ),
        (Fault::Drop { executed: false }, "stripe_unavailable"),
        (Fault::Truncate { executed: true }, "stripe_unavailable"),
    ];
    said.extend(
        broken_answers()
            .into_iter()
            .map(|reply| (reply.into(), "stripe_unavailable")),
    );
    for (at, (fault, code)) in said.into_iter().enumerate() {
        run.world.stripe.outage(create(), fault);
        run.posted(
            &with(&format!("S-{at}"), &json!({ "payment_method": TOKEN })),
            code,
        )
        .await;
        run.world.stripe.clear_faults();
    }
    // An order whose creator saw no answer, too old to be sent again.
    run.world.stripe.outage(create(), stripe_says(500));
    run.posted(&order("S-old"), "stripe_unavailable").await;
    run.world.stripe.clear_faults();
    run.world.advance(20 * 3600);
    run.world.stripe.outage(fetch(), stripe_says(400));
    run.posted(
        &with("S-old", &json!({ "payment_method": TOKEN })),
        "attempt_expired",
    )
    .await;
    run.world.stripe.clear_faults();
    for fault in [
        stripe_says(400),
        stripe_says(500),
        Reply::status(200).body(&all_canaries()),
    ] {
        run.world.stripe.outage(fetch(), fault);
        let told = run
            .post(&with("S-old", &json!({ "payment_method": TOKEN })).to_string())
            .await;
        assert!(
            ["attempt_expired", "stripe_unavailable"].contains(&told["code"].as_str().unwrap()),
            "{told:#}"
        );
        run.world.stripe.clear_faults();
    }
}

/// Everything Stripe may say to the request that charges the token.
pub(super) async fn stripe_on_confirmation(run: &mut Run) {
    let rejected = "invalid_request_error";
    let mut said: Vec<(Fault, &str)> = vec![
        (stripe_says(400).into(), "invalid_payment_method"),
        (stripe_says(401).into(), "stripe_auth"),
        (stripe_says(402).into(), "invalid_payment_method"),
        (stripe_says(403).into(), "stripe_auth"),
        (stripe_says(409).into(), "in_progress"),
        (stripe_says(429).into(), "rate_limited"),
        (stripe_says(500).into(), "stripe_unavailable"),
        (
            stripe_says_code(400, rejected, "resource_missing", "payment_method").into(),
            "invalid_payment_method",
        ),
        (
            stripe_says_code(400, rejected, "account_invalid", "").into(),
            "stripe_rejected",
        ),
        (
            stripe_says_code(400, rejected, KEY, "payment_method").into(),
            "invalid_payment_method",
        ),
        (
            stripe_says_code(400, rejected, "payment_intent_unexpected_state", "").into(),
            "PENDING",
        ),
        (
            stripe_says_code(400, "idempotency_error", "", "").into(),
            "PENDING",
        ),
        (Fault::Drop { executed: false }, "stripe_unavailable"),
    ];
    said.extend(
        broken_answers()
            .into_iter()
            .map(|reply| (reply.into(), "stripe_unavailable")),
    );
    for (at, (fault, code)) in said.into_iter().enumerate() {
        run.world.stripe.outage(confirm(), fault);
        run.posted(
            &with(&format!("C-{at}"), &json!({ "payment_method": TOKEN })),
            code,
        )
        .await;
        run.world.stripe.clear_faults();
    }
}

#[tokio::test]
async fn a_card_number_is_refused_in_every_field_and_form_and_is_nowhere() {
    let mut run = Run::new(Setup::default()).await;
    card_numbers(&mut run).await;
    for form in [
        CARD,
        "4539 5787 6362 1486",
        "4539-5787-6362-1486",
        "４５３９５７８７６３６２１４８６",
    ] {
        let told = run.query(form, &json!({})).await;
        assert_eq!(told["code"], "card_data_refused", "{form}");
        let told = run.query(CONVERSATION, &json!({ "order_id": form })).await;
        assert_eq!(told["code"], "card_data_refused", "{form}");
        let told = run
            .query(CONVERSATION, &json!({ "order_id": "A-1", "card": form }))
            .await;
        assert_eq!(
            told["payment_status"], "NOT_FOUND",
            "a parameter nobody reads"
        );
    }
    assert_eq!(
        run.search(),
        ["NOT_FOUND", "card_data_refused"].map(str::to_owned).into()
    );
}

pub(super) async fn creation_with_stripe() -> BTreeSet<String> {
    let mut run = Run::new(Setup::default()).await;
    bad_requests(&mut run).await;
    run.posted(&json!({ "card": CARD }), "card_data_refused")
        .await;
    payments(&mut run).await;
    stripe_on_creation(&mut run).await;
    stripe_on_confirmation(&mut run).await;
    run.search()
}

pub(super) async fn creation_with_manual_capture() -> BTreeSet<String> {
    let mut run = Run::new(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    run.posted(
        &with("A-1", &json!({ "payment_method": TOKEN })),
        "AUTHORIZED",
    )
    .await;
    run.search()
}

pub(super) async fn creation_without_secret() -> BTreeSet<String> {
    let mut run = Run::new(Setup::default()).await;
    for text in unusable_stripe_secrets() {
        run.world.secrets_manager.put("stripe", &text);
        run.posted(
            &with("A-1", &json!({ "payment_method": TOKEN })),
            "stripe_auth",
        )
        .await;
    }
    run.world.secrets_manager.clear("stripe");
    run.posted(&order("A-1"), "stripe_auth").await;
    run.world.secrets_manager.set_down(true);
    run.posted(&order("A-1"), "store_unavailable").await;
    run.world.secrets_manager.set_down(false);
    run.world.put_stripe_secret(KEY, &[WEBHOOK]);
    run.posted(&order("A-1"), "PENDING").await;
    run.search()
}

pub(super) async fn creation_without_table() -> BTreeSet<String> {
    let mut run = Run::new(Setup::default()).await;
    for table in useless_tables(&run.world).await {
        run.world.create_intent.store = table;
        run.posted(
            &with("A-1", &json!({ "payment_method": TOKEN })),
            "store_unavailable",
        )
        .await;
    }
    let mut reached = run.search();
    let mut run = Run::new(Setup::default()).await;
    run.world.dynamo.put_settings("conversation").await;
    let token = json!({ "payment_method": TOKEN });
    run.posted(&with("A-1", &token), "settings_changed").await;
    reached.extend(run.search());
    reached
}

pub(super) async fn creation_without_time() -> BTreeSet<String> {
    let mut run = Run::new(Setup {
        budget: Duration::from_millis(1000),
        ..Setup::default()
    })
    .await;
    run.world
        .stripe
        .fault(create(), Fault::Silent { executed: true });
    run.posted(
        &with("A-1", &json!({ "payment_method": TOKEN })),
        "stripe_timeout",
    )
    .await;
    // Long enough for the second to ask twice.
    run.world.create_intent.budget = Duration::from_millis(2000);
    let gate = run.world.stripe.gate(create(), Stage::Execution);
    let twin = with("A-2", &json!({ "payment_method": TOKEN })).to_string();
    let post = || {
        run.world
            .create_intent
            .handle(request(&api_event("POST", None, &json!({}), &twin)))
    };
    let (first, second) = tokio::join!(post(), async {
        gate.arrived(1).await;
        post().await
    });
    assert_eq!(
        run.keep("the first of two", first).await["code"],
        "stripe_timeout"
    );
    assert_eq!(
        run.keep("the second of two", second).await["code"],
        "in_progress"
    );
    gate.open();
    run.search()
}

#[tokio::test]
async fn create_intent_lets_no_secret_out_on_any_path() {
    // Alone: the searches of the others would hold the thread while its budget runs.
    let late = creation_without_time().await;
    let (mut reached, manual, unkeyed, unstored) = tokio::join!(
        creation_with_stripe(),
        creation_with_manual_capture(),
        creation_without_secret(),
        creation_without_table()
    );
    reached.extend([manual, unkeyed, unstored, late].into_iter().flatten());
    let statuses = [
        "PENDING",
        "DECLINED",
        "PROCESSING",
        "AUTHORIZED",
        "CONFIRMED",
    ];
    let all = ProblemCode::ALL
        .iter()
        .map(|code| code.as_str())
        .chain(statuses)
        .map(str::to_owned);
    assert_eq!(reached, all.collect(), "a path is missing");
    was_counted(ProblemCode::ALL.iter().map(|code| code.as_str()));
}

/// A flow that puts a value into the wrong input must not find it repeated, stored or logged.
#[tokio::test]
async fn a_secret_in_a_field_of_another_kind_is_repeated_nowhere() {
    let mut run = Run::new(Setup::default()).await;
    run.world.stripe.outage(create(), stripe_says(500));
    for secret in [KEY, WEBHOOK, TOKEN, CLIENT_SECRET] {
        let mut bodies: Vec<Value> = [
            "order_id",
            "conversation_id",
            "currency",
            "region",
            "amount",
            secret,
        ]
        .map(|field| with("A-1", &json!({ field: secret })))
        .into();
        bodies.push(with(
            "A-2",
            &json!({ "description": format!("paid with {secret}") }),
        ));
        bodies.push(with(
            "A-3",
            &json!({ "receipt_email": format!("{secret}@b.example") }),
        ));
        for body in bodies {
            run.post(&body.to_string()).await;
        }
        run.query(secret, &json!({})).await;
        run.query(CONVERSATION, &json!({ "order_id": secret }))
            .await;
        run.query(CONVERSATION, &json!({ "order_id": format!("{secret}!") }))
            .await;
    }
    run.search();
}

/// Separators that copying, forms and URLs put between groups of digits.
#[tokio::test]
async fn a_card_number_behind_separators_nobody_sees_or_types_is_refused() {
    let mut run = Run::new(Setup::default()).await;
    run.world.stripe.outage(create(), stripe_says(500));
    let groups: Vec<&str> = (0..4).map(|group| &CARD[group * 4..][..4]).collect();
    let unseen = [
        "\u{200B}", "\u{200C}", "\u{200D}", "\u{200E}", "\u{2060}", "\u{FEFF}",
    ];
    for separator in unseen.into_iter().chain([
        "+", "*", "|", "\u{B7}", "\u{2022}", "\u{2043}", "\u{FE63}", "\u{FF0D}", "%20", "%2D",
    ]) {
        let text = groups.join(separator);
        let told = run
            .post(&with("A-1", &json!({ "description": text })).to_string())
            .await;
        assert_eq!(told["code"], "card_data_refused", "{text:?}");
        let told = run.query(CONVERSATION, &json!({ "order_id": text })).await;
        assert_eq!(told["code"], "card_data_refused", "{text:?}");
    }
    run.search();
}
