//! What is sent to Genesys and Stripe, whole: every field, and nothing else.

use serde_json::{Value, json};
use stand_ins::Recorded;
use tests::{CONVERSATION, Setup, World};

const FLOW: &str = "late-payment-flow";

/// An order, its amount and currency as they are asked for, and as everybody is told.
const ORDERS: [(&str, &str, &str); 3] = [
    ("A-1", "19.99", "usd"),
    ("Y-1", "500", "jpy"),
    ("E-1", "7.00", "eur"),
];

fn asked((order_id, amount, currency): (&str, &str, &str)) -> Value {
    json!({ "conversation_id": CONVERSATION, "order_id": order_id, "amount": amount, "currency": currency })
}

/// The only request since the last time that these are the method and the end of the path of.
fn only(requests: Vec<Recorded>, method: &str, ending: &str) -> Recorded {
    let mut found: Vec<_> = requests
        .into_iter()
        .filter(|request| request.method == method && request.path.ends_with(ending))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn every_update_of_attributes_is_these_five_and_no_more() {
    for order in ORDERS {
        for capture_method in ["automatic", "manual"] {
            let world = World::with(Setup {
                capture_method,
                ..Setup::default()
            })
            .await;
            let payment = world.post(&asked(order)).await;
            let intent = payment.text("payment_intent_id").to_owned();
            let told = |status: &str, progress: &str| {
                let (_, amount, currency) = order;
                let request = only(world.genesys.requests(), "PATCH", "/attributes");
                assert_eq!(
                    request.json(),
                    json!({ "attributes": {
                        "payment_status": status, "payment_progress": progress, "stripe_intent_id": intent,
                        "payment_amount": amount, "payment_currency": currency,
                    } })
                );
                world.genesys.clear_requests();
                world.advance(5);
            };
            world.deliver(&world.last_event()).await;
            told("PENDING", "pending");
            world.open_link(payment.text("payment_url")).await;
            told("PENDING", "link_opened");
            let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
            world.deliver(&world.last_event()).await;
            told("DECLINED", "declined");
            world.stripe.pay(&intent, "pm_card_visa").unwrap();
            world.deliver(&world.last_event()).await;
            match capture_method {
                "manual" => told("AUTHORIZED", "authorized"),
                _ => told("CONFIRMED", "confirmed"),
            }
        }
    }
}

#[tokio::test]
async fn the_late_workflow_gets_these_six_inputs_and_no_more() {
    for order in ORDERS {
        let world = World::with(Setup {
            late_payment_flow_id: Some(FLOW),
            ..Setup::default()
        })
        .await;
        let intent = world
            .post(&asked(order))
            .await
            .text("payment_intent_id")
            .to_owned();
        world.genesys.end_conversation(CONVERSATION);
        world.advance(5);
        world.stripe.pay(&intent, "pm_card_visa").unwrap();
        assert_eq!(world.deliver(&world.last_event()).await.status, 200);
        let (order_id, amount, currency) = order;
        assert_eq!(
            only(world.genesys.requests(), "POST", "/executions").json(),
            json!({ "flowId": FLOW, "inputData": {
                "Flow.conversation_id": CONVERSATION, "Flow.order_id": order_id, "Flow.payment_status": "CONFIRMED",
                "Flow.stripe_intent_id": intent, "Flow.payment_amount": amount, "Flow.payment_currency": currency,
            } })
        );
    }
}

#[tokio::test]
async fn a_token_is_asked_for_with_this_form_and_no_more() {
    let world = World::new().await;
    world.begin("A-1").await;
    world.deliver_all().await;
    let request = only(world.genesys.requests(), "POST", "/oauth/token");
    assert_eq!(
        request.form(),
        pairs(&[("grant_type", "client_credentials")])
    );
    assert_eq!(
        request.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
}

/// The fields of a new intent, by name: order does not matter to Stripe.
fn created(world: &World) -> Vec<(String, String)> {
    let mut form = only(world.stripe.requests(), "POST", "/v1/payment_intents").form();
    form.sort();
    form
}

#[tokio::test]
async fn an_intent_is_made_from_these_fields_and_no_more() {
    for ((order_id, amount, currency), amount_minor) in
        ORDERS.into_iter().zip(["1999", "500", "700"])
    {
        for capture_method in ["automatic", "manual"] {
            // Marks confirmations alone.
            let world = World::with(Setup {
                capture_method,
                moto: true,
                ..Setup::default()
            })
            .await;
            let mut body = asked((order_id, amount, currency));
            world.post(&body).await;
            let uid = world.uid(order_id).await;
            let mut expected = pairs(&[
                ("allowed_payment_method_types[0]", "card"),
                ("amount", amount_minor),
                ("capture_method", capture_method),
                ("currency", currency),
                ("metadata[attempt]", "1"),
                ("metadata[conversation_id]", CONVERSATION),
                ("metadata[order_id]", order_id),
                ("metadata[payment_uid]", &uid),
            ]);
            assert_eq!(created(&world), expected);

            let world = World::with(Setup {
                capture_method,
                ..Setup::default()
            })
            .await;
            body["description"] = "Two nights & breakfast".into();
            body["receipt_email"] = "jane+a@example.com".into();
            body["include_client_secret"] = true.into();
            world.post(&body).await;
            let uid = world.uid(order_id).await;
            expected.retain(|(name, _)| name != "metadata[payment_uid]");
            let more = [
                ("metadata[payment_uid]", uid.as_str()),
                ("description", "Two nights & breakfast"),
                ("receipt_email", "jane+a@example.com"),
            ];
            expected.extend(pairs(&more));
            expected.sort();
            assert_eq!(created(&world), expected);
        }
    }
}

#[tokio::test]
async fn a_token_is_charged_and_a_payment_canceled_with_these_fields_and_no_more() {
    for moto in [false, true] {
        let world = World::with(Setup {
            moto,
            ..Setup::default()
        })
        .await;
        world.stripe.allow_moto(true);
        let mut body = asked(ORDERS[0]);
        body["payment_method"] = "pm_card_visa".into();
        let paid = world.post(&body).await;
        assert_eq!(paid.text("payment_status"), "CONFIRMED", "{:#}", paid.body);
        let mut expected = pairs(&[
            ("error_on_requires_action", "true"),
            ("payment_method", "pm_card_visa"),
        ]);
        if moto {
            expected.extend(pairs(&[("payment_method_options[card][moto]", "true")]));
        }
        let mut form = only(world.stripe.requests(), "POST", "/confirm").form();
        form.sort();
        expected.sort();
        assert_eq!(form, expected);

        world.begin("A-2").await;
        assert_eq!(world.cancel("A-2").await.text("payment_status"), "CANCELED");
        let form = only(world.stripe.requests(), "POST", "/cancel").form();
        assert_eq!(
            form,
            pairs(&[("cancellation_reason", "requested_by_customer")])
        );
    }
}

#[tokio::test]
async fn what_is_only_looked_at_is_asked_for_without_a_key_or_a_body() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.advance(10);
    world.status(CONVERSATION, Some("A-1")).await;
    let request = only(world.stripe.requests(), "GET", &intent);
    assert_eq!(
        (request.query.as_str(), request.body.as_slice()),
        ("", &b""[..])
    );
    assert_eq!(request.header("idempotency-key"), None);
}
