//! create-intent: cancel.

use std::sync::Arc;

use serde_json::json;
use stand_ins::{Fault, Outcome, Stage};
use tests::matches::{cancel, create};
use tests::{Answer, CONVERSATION, Setup, World, order, order_with, request};

async fn record(world: &World) -> String {
    world
        .status(CONVERSATION, Some("A-1"))
        .await
        .text("payment_status")
        .to_owned()
}

#[tokio::test]
async fn a_canceled_payment_can_be_paid_by_nobody() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    let answer = world.cancel("A-1").await;
    answer.must_be(200, "payment_status", "CANCELED");
    assert_eq!(
        (&answer.body["final"], answer.text("payment_intent_id")),
        (&json!(true), intent.as_str())
    );
    assert_eq!(
        (answer.text("payment_url"), answer.text("client_secret")),
        ("", "")
    );
    let at_stripe = world.stripe.intent(&intent).unwrap();
    assert_eq!(
        (&at_stripe["status"], &at_stripe["cancellation_reason"]),
        (&json!("canceled"), &json!("requested_by_customer"))
    );
    assert!(world.stripe.pay(&intent, "pm_card_visa").is_err());
    world.deliver_all().await;
    world.attribute_must_be("payment_status", "CANCELED");
}

#[tokio::test]
async fn however_often_and_however_concurrently_the_answer_is_the_same() {
    let world = Arc::new(World::new().await);
    let intent = world.begin("A-1").await;
    let gate = world.stripe.gate(cancel(), Stage::Arrival);
    let twins: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.cancel("A-1").await })
        })
        .collect();
    gate.arrived(1).await;
    gate.open();
    for twin in twins {
        let answer = twin.await.unwrap();
        answer.must_be(200, "payment_status", "CANCELED");
    }
    let sent = world.stripe.requests().len();
    let again = world.cancel("A-1").await;
    assert_eq!(
        (again.status, again.text("payment_intent_id")),
        (200, intent.as_str())
    );
    assert_eq!(world.stripe.requests().len(), sent, "the record knows");
    let next = world.post(&order("A-1")).await;
    assert_eq!((next.status, &next.body["attempt"]), (201, &json!(2)));
}

#[tokio::test]
async fn a_payment_that_went_through_meanwhile_is_confirmed_and_stays_so() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    for _ in 0..2 {
        let answer = world.cancel("A-1").await;
        answer.must_be(200, "payment_status", "CONFIRMED");
        assert_eq!(answer.body["retryable"], false);
    }
    assert_eq!(world.stripe.charges().len(), 1);
    assert_eq!(record(&world).await, "CONFIRMED");
}

#[tokio::test]
async fn an_authorization_is_released_and_a_declined_payment_ends() {
    let world = World::with(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");
    assert_eq!(world.stripe.intent(&intent).unwrap()["status"], "canceled");

    let world = World::new().await;
    let intent = world.begin("A-1").await;
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    world.deliver_all().await;
    assert_eq!(record(&world).await, "DECLINED");
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");
}

#[tokio::test]
async fn an_authorization_wins_against_replace_and_is_released_by_a_cancellation_alone() {
    let world = World::with(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    let other = json!({ "amount": "60.00", "replace": true });
    // The record still says PENDING, and the intent is fetched before it is canceled.
    let refused = world.post(&order_with("A-1", &other)).await;
    refused.must_be(409, "code", "order_changed");
    assert!(
        refused
            .text("detail")
            .contains("is authorized for 50.00 usd")
    );
    let same = world.post(&order("A-1")).await;
    same.must_be(200, "payment_status", "AUTHORIZED");
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");
}

#[tokio::test]
async fn what_stripe_is_at_work_on_is_answered_as_it_is_and_can_be_canceled_later() {
    let world = World::new().await;
    world.stripe.add_payment_method("pm_slow", Outcome::Process);
    let intent = world.begin("A-1").await;
    world.advance(5);
    world.stripe.pay(&intent, "pm_slow").unwrap();
    let answer = world.cancel("A-1").await;
    answer.must_be(200, "payment_status", "PROCESSING");
    world.advance(5);
    world.stripe.finish_processing(&intent, false).unwrap();
    assert_eq!(
        world.cancel("A-1").await.text("payment_status"),
        "CANCELED",
        "another request, another key"
    );
}

#[tokio::test]
async fn an_intent_that_only_stripe_knows_is_not_left_behind() {
    let world = World::after_a_crash(Stage::Execution).await;
    let answer = world.cancel("A-1").await;
    answer.must_be(200, "payment_status", "CANCELED");
    let intents = world.stripe.intents();
    assert_eq!(
        (intents.len(), &intents[0]["status"]),
        (1, &json!("canceled"))
    );
}

#[tokio::test]
async fn an_order_that_stripe_refused_or_never_heard_of_is_free() {
    let world = World::new().await;
    world.stripe.outage(create(), Fault::status(503));
    assert_eq!(world.post(&order("A-1")).await.status, 503);
    world.stripe.clear_faults();
    world.stripe.set_minimum("usd", 999_999);
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");

    let world = World::new().await;
    world.stripe.outage(create(), Fault::status(503));
    assert_eq!(world.post(&order("A-1")).await.status, 503);
    world.stripe.clear_faults();
    world.advance(21 * 3600);
    let answer = world.cancel("A-1").await;
    assert_eq!(
        (answer.text("payment_status"), answer.text("reason_code")),
        ("CANCELED", "attempt_expired")
    );
    assert_eq!(world.stripe.intents().len(), 0);
    assert_eq!(world.post(&order("A-1")).await.body["attempt"], 2);
}

#[tokio::test]
async fn a_cancellation_whose_answer_was_lost_is_finished_by_the_next_try() {
    for fault in [
        Fault::Silent { executed: true },
        Fault::Drop { executed: true },
        Fault::status(500),
    ] {
        let world = World::with(Setup {
            budget: std::time::Duration::from_secs(2),
            ..Setup::default()
        })
        .await;
        let intent = world.begin("A-1").await;
        world.stripe.outage(cancel(), fault.clone());
        let first = world.cancel("A-1").await;
        assert!(
            matches!(first.status, 503 | 504),
            "{fault:?} {:#}",
            first.body
        );
        assert_eq!(first.body["retryable"], true);
        world.stripe.clear_faults();
        assert_eq!(
            world.cancel("A-1").await.text("payment_status"),
            "CANCELED",
            "{fault:?}"
        );
        assert_eq!(world.stripe.intent(&intent).unwrap()["status"], "canceled");
    }
}

#[tokio::test]
async fn an_unknown_payment_is_an_answer_and_a_bad_name_is_refused() {
    let world = World::new().await;
    let answer = world.cancel("A-1").await;
    answer.must_be(200, "payment_status", "NOT_FOUND");
    for (order_id, code) in [
        ("", "invalid_order_id"),
        ("a b", "invalid_order_id"),
        ("4242424242424242", "card_data_refused"),
    ] {
        let answer = world.cancel(order_id).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (422, code),
            "{order_id}"
        );
    }
    assert!(world.stripe.requests().is_empty());
}

#[tokio::test]
async fn a_direct_invocation_cancels_when_it_says_so() {
    let world = World::new().await;
    let ask = async |event: serde_json::Value| {
        Answer::read(world.create_intent.handle(tests::request(&event)).await)
    };
    world.begin("A-1").await;
    let names = json!({ "conversation_id": CONVERSATION, "order_id": "A-1" });
    let with = |operation: &str| {
        let mut event = names.clone();
        event["operation"] = json!(operation);
        event
    };
    for other in [names.clone(), with("create"), with("Cancel"), with("")] {
        assert!(matches!(ask(other).await.status, 400 | 422));
    }
    assert_eq!(record(&world).await, "PENDING");
    let on_status = Answer::read(
        world
            .status_query
            .handle(tests::request(&with("cancel")))
            .await,
    );
    // No status is a cancellation.
    on_status.must_be(400, "code", "malformed_request");
    let answer = ask(with("cancel")).await;
    answer.must_be(200, "payment_status", "CANCELED");
}

/// `operation` is a word of direct invocations; over HTTP the method says what is meant.
#[tokio::test]
async fn a_post_over_http_cancels_nothing_whatever_operation_it_names() {
    let world = World::new().await;
    world.begin("A-1").await;
    for operation in [json!("cancel"), json!("create"), json!(""), json!(null)] {
        let mut full = order("A-1");
        full["operation"] = operation.clone();
        let direct =
            json!({ "operation": operation, "conversation_id": CONVERSATION, "order_id": "A-1" });
        for body in [full, direct] {
            let answer = world.post(&body).await;
            assert_eq!(
                (answer.status, answer.text("code")),
                (400, "malformed_request"),
                "{body}"
            );
            assert!(
                answer.text("detail").contains("operation"),
                "{:#}",
                answer.body
            );
            assert_eq!(record(&world).await, "PENDING", "{body}");
        }
    }
    // Nor does a query, direct or not, take one.
    let direct =
        json!({ "operation": "cancel", "conversation_id": CONVERSATION, "order_id": "A-1" });
    let answer = Answer::read(world.status_query.handle(request(&direct)).await);
    answer.must_be(400, "code", "malformed_request");
    assert!(
        !world
            .stripe
            .requests()
            .iter()
            .any(|request| request.path.ends_with("/cancel"))
    );
    assert_eq!(record(&world).await, "PENDING");
}
