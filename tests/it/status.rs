//! status-query: contract 3.

use std::sync::Arc;

use serde_json::json;
use stand_ins::{Fault, Match, Reply, Stage};
use tests::matches::fetch;
use tests::{CONVERSATION, World};

#[tokio::test]
async fn an_unknown_payment_is_an_answer() {
    let world = World::new().await;
    for order_id in [None, Some("A-1"), Some("")] {
        let answer = world.status(CONVERSATION, order_id).await;
        answer.must_be(200, "payment_status", "NOT_FOUND");
        assert_eq!(answer.text("conversation_id"), CONVERSATION);
    }
}

#[tokio::test]
async fn a_direct_invocation_asks_the_same() {
    let world = World::new().await;
    let ask = async |event: serde_json::Value| {
        tests::Answer::read(world.status_query.handle(tests::request(&event)).await)
    };
    let intent = world.begin("A-1").await;
    for direct in [
        json!({ "conversation_id": CONVERSATION, "order_id": "A-1" }),
        json!({ "conversation_id": CONVERSATION, "order_id": "" }),
        json!({ "conversation_id": CONVERSATION, "order_id": null }),
        json!({ "conversation_id": CONVERSATION }),
    ] {
        let answer = ask(direct).await;
        assert_eq!(
            (answer.status, answer.text("payment_intent_id")),
            (200, intent.as_str())
        );
    }
    for (direct, code) in [
        (json!({}), "invalid_conversation_id"),
        (
            json!({ "conversation_id": CONVERSATION, "order_id": "a b" }),
            "invalid_order_id",
        ),
        (
            json!({ "conversation_id": CONVERSATION, "order_id": 5 }),
            "malformed_request",
        ),
        (
            json!({ "conversation_id": CONVERSATION, "order": "A-1" }),
            "malformed_request",
        ),
        (
            json!({ "conversation_id": "4242 4242 4242 4242" }),
            "card_data_refused",
        ),
        (
            json!({ "conversation_id": CONVERSATION, "x": "4242424242424242" }),
            "card_data_refused",
        ),
        (
            json!({ "conversation_id": CONVERSATION, "x": "x".repeat(70_000) }),
            "request_too_large",
        ),
    ] {
        let answer = ask(direct).await;
        assert_eq!(answer.text("code"), code);
        assert!(!answer.body.to_string().contains("4242"));
    }
    assert_eq!(
        tests::Answer::read(
            world
                .stripe_webhook
                .handle(tests::request(&json!({})))
                .await
        )
        .status,
        405
    );
}

#[tokio::test]
async fn without_an_order_the_newest_payment_is_given() {
    let world = World::new().await;
    world.begin("A-1").await;
    world.advance(1);
    world.begin("A-2").await;
    assert_eq!(
        world.status(CONVERSATION, None).await.text("order_id"),
        "A-2"
    );
    world.order_must_be("A-1", "order_id", "A-1").await;
    assert_eq!(
        world
            .status(&CONVERSATION.to_uppercase(), Some("A-1"))
            .await
            .text("order_id"),
        "A-1"
    );
}

#[tokio::test]
async fn a_bad_name_is_refused_and_a_card_number_is_not_repeated() {
    let world = World::new().await;
    for (conversation, order_id, code) in [
        ("call-1", None, "invalid_conversation_id"),
        (CONVERSATION, Some("a b"), "invalid_order_id"),
        (CONVERSATION, Some("4242424242424242"), "card_data_refused"),
        ("4242424242424242", None, "card_data_refused"),
    ] {
        let answer = world.status(conversation, order_id).await;
        assert_eq!((answer.status, answer.text("code")), (422, code));
        assert!(!answer.body.to_string().contains("4242"));
    }
    assert!(!tests::logged().contains("42424242"));
}

#[tokio::test]
async fn a_lost_webhook_loses_nothing() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    assert_eq!(
        world
            .status(CONVERSATION, Some("A-1"))
            .await
            .text("payment_status"),
        "PENDING",
        "not stale yet"
    );
    world.advance(10);
    let answer = world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(answer.text("payment_status"), "CONFIRMED");
    assert_eq!(answer.body["client_secret"], "");
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn stripe_is_asked_at_most_once_in_ten_seconds() {
    let world = World::new().await;
    world.begin("A-1").await;
    world.stripe.clear_requests();
    for (wait, asked) in [(9, 0), (1, 1), (0, 1), (9, 1), (1, 2)] {
        world.advance(wait);
        world.status(CONVERSATION, Some("A-1")).await;
        assert_eq!(world.stripe.requests().len(), asked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_polls_at_once_ask_stripe_once() {
    let world = Arc::new(World::new().await);
    world.begin("A-1").await;
    world.stripe.clear_requests();
    world.advance(10);
    let polls: Vec<_> = (0..16)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.status(CONVERSATION, Some("A-1")).await.status })
        })
        .collect();
    for poll in polls {
        assert_eq!(poll.await.unwrap(), 200);
    }
    assert_eq!(world.stripe.requests().len(), 1);
}

#[tokio::test]
async fn a_final_record_that_was_told_asks_nobody() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.deliver_all().await;
    world.stripe.clear_requests();
    world.genesys.clear_requests();
    world.advance(3600);
    world
        .order_must_be("A-1", "payment_status", "CONFIRMED")
        .await;
    assert!(world.stripe.requests().is_empty() && world.genesys.requests().is_empty());
}

#[tokio::test]
async fn a_final_record_genesys_has_not_heard_of_is_told_by_a_poll() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.genesys.outage(Match::any(), Fault::status(503));
    assert_eq!(world.deliver(&world.last_event()).await.status, 503);
    world.genesys.clear_faults();
    world.advance(10);
    world.status(CONVERSATION, Some("A-1")).await;
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn stripe_slow_or_down_gives_the_record_s_own_answer_in_time() {
    for fault in [
        Fault::Silent { executed: false },
        Fault::status(503),
        Fault::Drop { executed: false },
    ] {
        let world = World::new().await;
        world.begin("A-1").await;
        world.advance(10);
        world.stripe.outage(fetch(), fault);
        let answer = world.status(CONVERSATION, Some("A-1")).await;
        answer.must_be(200, "payment_status", "PENDING");
    }
}

#[tokio::test]
async fn genesys_slow_keeps_the_fresh_answer_and_the_notice_due() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.advance(10);
    world
        .genesys
        .outage(Match::any(), Fault::Silent { executed: false });
    let answer = world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(answer.text("payment_status"), "CONFIRMED");
    world.genesys.clear_faults();
    world.advance(10);
    world.status(CONVERSATION, Some("A-1")).await;
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn a_creator_that_died_is_found_by_its_metadata() {
    let world = World::after_a_crash(Stage::Answer).await;
    world.stripe.set_search_lag(true);
    world.stripe.outage(
        Match::get("/v1/payment_intents").exactly(),
        Fault::status(503),
    );
    world.advance(10);
    world
        .order_must_be("A-1", "payment_status", "CREATING")
        .await;
    world.stripe.set_search_lag(false);
    world.advance(10);
    world
        .order_must_be("A-1", "payment_status", "PENDING")
        .await;
}

#[tokio::test]
async fn a_refresh_is_ordered_like_an_event() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.advance(10);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    let declined = world.last_event();
    world.advance(10);
    world.stripe.pay(&intent, "pm_card_processing").unwrap();
    world
        .order_must_be("A-1", "payment_status", "PROCESSING")
        .await;
    // The declined try counts, and no more.
    assert_eq!(world.deliver(&declined).await.text("outcome"), "applied");
    assert_eq!(world.deliver(&declined).await.text("outcome"), "older");
    world
        .order_must_be("A-1", "payment_status", "PROCESSING")
        .await;
}

#[tokio::test]
async fn an_order_is_free_once_its_intent_of_another_amount_was_canceled_unpaid() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.stripe.cancel(&intent, None).unwrap();
    let mut canceled = world.last_event();
    canceled["data"]["object"]["amount"] = 4000.into();
    world
        .deliver(&canceled)
        .await
        .must_be(200, "outcome", "applied");
    world
        .order_must_be("A-1", "payment_status", "CANCELED")
        .await;
    let next = world.post(&tests::order("A-1")).await;
    assert_eq!((next.status, &next.body["attempt"]), (201, &json!(2)));
}

#[tokio::test]
async fn an_intent_whose_amount_was_changed_at_stripe_is_not_confirmed() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    let mut paid = world.stripe.pay(&intent, "pm_card_visa").unwrap();
    (paid["amount"], paid["amount_received"]) = (4000.into(), 4000.into());
    world
        .stripe
        .fault(fetch(), Reply::status(200).body(&paid.to_string()));
    world.advance(10);
    let answer = world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(
        (answer.text("payment_status"), &answer.body["final"]),
        ("PENDING", &json!(false))
    );
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_503() {
    let world = World::new().await;
    world.dynamo.stop();
    let answer = world.status(CONVERSATION, None).await;
    answer.must_be(503, "code", "store_unavailable");
}
