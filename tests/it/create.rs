//! create-intent: contract 1.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::adapters::stripe::STRIPE_VERSION;
use shared::domain::ending::EndReason;
use shared::ports::{Clock, GetPayment, Saved, UpdatePayment};
use stand_ins::{Fault, Reply, Stage};
use tests::matches::{confirm, create};
use tests::order_with as with;
use tests::{CONVERSATION, SECRET_KEY, Setup, WEBHOOK_SECRET, World, order, payment_key};

#[tokio::test]
async fn the_first_request_makes_the_intent_and_answers_every_field() {
    let world = World::new().await;
    let mut answer = world
        .post(&with(
            "A-1",
            &json!({ "description": "Order A-1", "receipt_email": "a@b.example" }),
        ))
        .await;
    let payment_url = answer.body["payment_url"].take();
    assert!(
        payment_url
            .as_str()
            .unwrap()
            .starts_with("https://pay.example.com/pay#"),
        "{payment_url}"
    );
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (201, "application/json")
    );
    let intent = &world.stripe.intents()[0];
    assert_eq!(
        answer.body,
        json!({
            "payment_status": "PENDING", "final": false, "payment_intent_id": intent["id"],
            "stripe_status": "requires_payment_method", "conversation_id": CONVERSATION, "is_holder": true,
            "order_id": "A-1", "attempt": 1, "amount": "50.00", "amount_minor": 5000, "amount_received_minor": 0, "currency": "usd",
            "payment_url": null,
            "client_secret": "", "reason_code": "", "retryable": false,
            "caller_message": "Your payment is ready and waiting for you.",
        })
    );
    let uid = world.uid("A-1").await;
    let sent = &world.stripe.requests()[0];
    assert_eq!(sent.header("stripe-version"), Some(STRIPE_VERSION));
    assert_eq!(
        sent.header("idempotency-key"),
        Some(format!("{uid}/1").as_str())
    );
    assert_eq!(
        sent.parameter("allowed_payment_method_types[0]").as_deref(),
        Some("card")
    );
    assert_eq!(
        intent["metadata"],
        json!({
            "payment_uid": uid, "conversation_id": CONVERSATION, "order_id": "A-1", "attempt": "1"
        })
    );
    assert_eq!(
        (&intent["description"], &intent["receipt_email"]),
        (&json!("Order A-1"), &json!("a@b.example"))
    );
}

#[tokio::test]
async fn a_direct_invocation_is_the_same_request() {
    let world = World::new().await;
    let mut direct = order("A-1");
    direct["amount"] = json!(serde_json::from_str::<serde_json::Number>("50.00").unwrap());
    let first = world.post(&direct).await;
    let request = tests::request(&direct);
    let mut again = tests::Answer::read(world.create_intent.handle(request).await);
    assert_eq!((first.status, again.status), (201, 200));
    assert_ne!(
        first.body["payment_url"], again.body["payment_url"],
        "a fresh link"
    );
    again.body["payment_url"] = first.body["payment_url"].clone();
    assert_eq!(first.body, again.body);
    let refused = tests::Answer::read(
        world
            .create_intent
            .handle(tests::request(&json!({ "Records": [] })))
            .await,
    );
    refused.must_be(400, "code", "malformed_request");
}

#[tokio::test]
async fn the_same_order_gives_the_same_intent_and_asks_stripe_once() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    for _ in 0..3 {
        let again = world.post(&order("A-1")).await;
        assert_eq!(
            (again.status, again.text("payment_intent_id")),
            (200, intent.as_str())
        );
    }
    assert_eq!(world.stripe.requests().len(), 1);
    let other = world.begin("A-2").await;
    assert_ne!(other, intent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_identical_requests_at_once_give_one_intent_one_record_and_sixty_four_usable_answers()
 {
    let world = Arc::new(World::new().await);
    let gate = world.stripe.gate(create(), Stage::Execution);
    let requests: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.post(&order("A-1")).await })
        })
        .collect();
    gate.arrived(1).await;
    gate.open();
    let mut first = 0;
    let mut intents = std::collections::BTreeSet::new();
    for request in requests {
        let answer = request.await.unwrap();
        assert!(matches!(answer.status, 200 | 201), "{:#}", answer.body);
        assert_eq!(answer.text("payment_status"), "PENDING");
        first += usize::from(answer.status == 201);
        intents.insert(answer.text("payment_intent_id").to_owned());
    }
    assert_eq!(
        (first, intents.len(), world.stripe.intents().len()),
        (1, 1, 1)
    );
    let items = world.dynamo.items().await;
    let (links, others): (Vec<_>, Vec<_>) =
        items.keys().partition(|(pk, _)| pk.starts_with("LINK#"));
    assert_eq!(
        (links.len(), others.len()),
        (64, 4),
        "a link each; one payment, one intent, one newest order, the settings: {others:?}"
    );
}

#[tokio::test]
async fn another_amount_or_currency_for_an_open_order_is_refused() {
    let world = World::new().await;
    world.begin("A-1").await;
    for change in [json!({ "amount": "50.01" }), json!({ "currency": "eur" })] {
        let answer = world.post(&with("A-1", &change)).await;
        answer.must_be(409, "code", "order_changed");
        assert_eq!(answer.content_type, "application/problem+json");
        assert!(
            answer.text("detail").contains("50.00 usd"),
            "{:#}",
            answer.body
        );
    }
    assert_eq!(world.stripe.intents().len(), 1);
}

#[tokio::test]
async fn a_request_that_is_refused_leaves_neither_holder_nor_newest_order() {
    let world = Arc::new(World::new().await);
    let gate = world.stripe.gate(create(), Stage::Answer);
    let creating = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.post(&order("A-1")).await })
    };
    gate.arrived(1).await;
    let payment = world.table.payment(&payment_key("A-1")).await.unwrap();
    let ending = payment
        .unwrap()
        .end_begun(EndReason::Canceled, world.clock.now());
    let ending = world.table.save(&ending.unwrap()).await.unwrap();
    assert_eq!(ending, Saved::Yes);
    gate.open();
    creating.await.unwrap().must_be(409, "code", "in_progress");
    let newest = world.status(CONVERSATION, None).await;
    newest.must_be(200, "payment_status", "NOT_FOUND");
    // Nor does one of another call that is refused for its amount.
    let mut other = with("A-1", &json!({ "amount": "50.01" }));
    other["conversation_id"] = "0aaaaaaa-8a51-4c0e-9b7a-2f6d0c1e4b5a".into();
    world.begin("A-1").await;
    world
        .post(&other)
        .await
        .must_be(409, "code", "order_changed");
    world
        .order_must_be("A-1", "conversation_id", CONVERSATION)
        .await;
}

#[tokio::test]
async fn a_bad_request_leaves_nothing_behind() {
    let world = World::new().await;
    for (body, status, code) in [
        ("{".to_owned(), 400, "malformed_request"),
        (
            with("A-1", &json!({ "amount": "1.005" })).to_string(),
            422,
            "invalid_amount",
        ),
        (
            with("A-1", &json!({ "amount": "10000.01" })).to_string(),
            422,
            "amount_above_limit",
        ),
        (
            with("A-1", &json!({ "currency": "chf" })).to_string(),
            422,
            "currency_not_allowed",
        ),
        (
            with("A-1", &json!({ "description": "4242 4242 4242 4242" })).to_string(),
            422,
            "card_data_refused",
        ),
        (with("a b", &json!({})).to_string(), 422, "invalid_order_id"),
        (
            with("A-1", &json!({ "payment_method": "4242" })).to_string(),
            422,
            "invalid_payment_method",
        ),
    ] {
        let answer = world.post_text(&body).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (status, code),
            "{body}"
        );
        assert!(!answer.body.to_string().contains("4242"));
    }
    assert!(world.stripe.requests().is_empty());
    assert!(world.dynamo.items().await.is_empty());
    assert!(!tests::logged().contains("4242 4242"));
}

#[tokio::test]
async fn the_client_secret_is_given_on_request_only_and_is_in_no_item() {
    let world = World::new().await;
    let asked = json!({ "include_client_secret": true });
    let first = world.post(&with("A-1", &asked)).await;
    let secret = world.stripe.intents()[0]["client_secret"].clone();
    assert_eq!(first.body["client_secret"], secret);
    let again = world.post(&with("A-1", &asked)).await;
    assert_eq!(
        again.body["client_secret"], secret,
        "fetched afresh, for it is not stored"
    );
    let without = world.post(&order("A-1")).await;
    assert_eq!(without.body["client_secret"], "");
    assert!(!format!("{:?}", world.dynamo.items().await).contains("_secret_"));
}

#[tokio::test]
async fn a_token_is_charged_at_once() {
    let world = World::new().await;
    let answer = world.post_token("A-1", "pm_card_visa").await;
    answer.must_be(201, "payment_status", "CONFIRMED");
    assert_eq!(
        (&answer.body["final"], answer.text("stripe_status")),
        (&json!(true), "succeeded")
    );
    assert_eq!(world.stripe.charges().len(), 1);
    assert!(!format!("{:?}", world.dynamo.items().await).contains("pm_card"));
    let again = world.post_token("A-1", "pm_card_visa").await;
    again.must_be(200, "payment_status", "CONFIRMED");
    let other = world.post_token("A-1", "pm_new").await;
    other.must_be(200, "payment_status", "CONFIRMED");
    assert_eq!(world.stripe.charges().len(), 1);
}

#[tokio::test]
async fn a_decline_is_an_answer_and_another_token_pays_on_the_same_intent() {
    let world = World::new().await;
    let declined = with(
        "A-1",
        &json!({ "payment_method": "pm_card_visa_chargeDeclinedInsufficientFunds" }),
    );
    let answer = world.post(&declined).await;
    answer.must_be(200, "payment_status", "DECLINED");
    assert_eq!(
        (answer.text("reason_code"), &answer.body["retryable"]),
        ("insufficient_funds", &json!(true))
    );
    assert!(answer.text("caller_message").contains("insufficient funds"));
    let same = world.post(&declined).await;
    same.must_be(200, "payment_status", "DECLINED");
    let paid = world.post_token("A-1", "pm_card_visa").await;
    assert_eq!(
        (
            paid.status,
            paid.text("payment_status"),
            paid.text("reason_code")
        ),
        (200, "CONFIRMED", "")
    );
    assert_eq!(
        paid.text("payment_intent_id"),
        answer.text("payment_intent_id")
    );
    assert_eq!(
        (world.stripe.intents().len(), world.stripe.charges().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_lost_card_is_declined_without_saying_so() {
    let world = World::new().await;
    let answer = world
        .post_token("A-1", "pm_card_visa_chargeDeclinedLostCard")
        .await;
    assert_eq!(
        (answer.text("reason_code"), &answer.body["retryable"]),
        ("lost_card", &json!(false))
    );
    assert!(!answer.text("caller_message").contains("lost"));
}

#[tokio::test]
async fn a_card_that_wants_3d_secure_is_declined_on_the_phone() {
    let world = World::new().await;
    let answer = world
        .post_token("A-1", "pm_card_authenticationRequired")
        .await;
    assert_eq!(
        (
            answer.status,
            answer.text("payment_status"),
            answer.text("reason_code")
        ),
        (200, "DECLINED", "authentication_required")
    );
}

#[tokio::test]
async fn a_token_stripe_does_not_know_is_refused_and_the_next_one_pays() {
    let world = World::new().await;
    let answer = world.post_token("A-1", "pm_new_unknown").await;
    answer.must_be(422, "code", "invalid_payment_method");
    let paid = world.post_token("A-1", "pm_card_visa").await;
    paid.must_be(200, "payment_status", "CONFIRMED");
    assert_eq!(world.stripe.intents().len(), 1);
}

#[tokio::test]
async fn two_tokens_at_once_charge_once() {
    let world = Arc::new(World::new().await);
    world.begin("A-1").await;
    let gate = world.stripe.gate(confirm(), Stage::Arrival);
    let tries = ["pm_card_visa", "pm_new"].map(|token| {
        let world = Arc::clone(&world);
        world
            .stripe
            .add_payment_method("pm_new", stand_ins::Outcome::Succeed);
        tokio::spawn(async move {
            world
                .post(&with("A-1", &json!({ "payment_method": token })))
                .await
        })
    });
    gate.arrived(2).await;
    gate.open();
    for one in tries {
        let answer = one.await.unwrap();
        answer.must_be(200, "payment_status", "CONFIRMED");
    }
    assert_eq!(world.stripe.charges().len(), 1);
}

#[tokio::test]
async fn moto_is_said_on_confirmation_only() {
    let world = World::with(Setup {
        moto: true,
        ..Setup::default()
    })
    .await;
    world.stripe.allow_moto(true);
    let answer = world.post_token("A-1", "pm_card_visa").await;
    assert_eq!(
        answer.text("payment_status"),
        "CONFIRMED",
        "{:#}",
        answer.body
    );
    let moto =
        |request: &stand_ins::Recorded| request.parameter("payment_method_options[card][moto]");
    let requests = world.stripe.requests();
    assert_eq!(
        (moto(&requests[0]), moto(&requests[1]).as_deref()),
        (None, Some("true"))
    );
}

#[tokio::test]
async fn manual_capture_authorizes() {
    let world = World::with(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    let answer = world.post_token("A-1", "pm_card_visa").await;
    assert_eq!(
        (answer.text("payment_status"), &answer.body["final"]),
        ("AUTHORIZED", &json!(false))
    );
}

#[tokio::test]
async fn stripe_silent_is_answered_within_the_budget() {
    let world = World::with(Setup {
        budget: Duration::from_millis(600),
        ..Setup::default()
    })
    .await;
    world
        .stripe
        .outage(create(), Fault::Silent { executed: true });
    let answer = world.post(&order("A-1")).await;
    answer.must_be(504, "code", "stripe_timeout");
    assert_eq!(answer.body["retryable"], true);
    world.stripe.clear_faults();
    let answer = world.post(&order("A-1")).await;
    assert_eq!(
        (answer.status, world.stripe.intents().len()),
        (200, 1),
        "the next try finds what Stripe did"
    );
}

#[tokio::test]
async fn stripe_503_then_fine_is_one_retry_with_the_same_key_and_the_same_bytes() {
    let world = World::new().await;
    world.stripe.fault(create(), Reply::status(503));
    let answer = world.post(&order("A-1")).await;
    assert_eq!(answer.status, 201);
    let [first, second] = &world.stripe.requests()[..] else {
        panic!("two requests")
    };
    assert_eq!(
        first.header("idempotency-key"),
        second.header("idempotency-key")
    );
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn an_answer_lost_on_the_way_is_asked_for_again() {
    for fault in [
        Fault::Drop { executed: true },
        Fault::Truncate { executed: true },
        Fault::Drop { executed: false },
        Reply::status(500).executed().into(),
        Reply::status(503).should_retry(true).into(),
    ] {
        let world = World::new().await;
        world.stripe.fault(create(), fault);
        let answer = world.post(&order("A-1")).await;
        assert_eq!((answer.status, world.stripe.intents().len()), (201, 1));
    }
}

#[tokio::test]
async fn stripe_down_is_503_with_retry_after_and_the_next_try_finishes() {
    let world = World::new().await;
    for (fault, code) in [
        (Fault::status(503), "stripe_unavailable"),
        (
            Reply::status(500).should_retry(false).into(),
            "stripe_unavailable",
        ),
        (Fault::rate_limited(1), "rate_limited"),
        (Fault::Drop { executed: false }, "stripe_unavailable"),
    ] {
        world.stripe.outage(create(), fault);
        let answer = world.post(&order("A-1")).await;
        assert_eq!((answer.status, answer.text("code")), (503, code));
        assert!(answer.retry_after.is_some());
        world.stripe.clear_faults();
    }
    let answer = world.post(&order("A-1")).await;
    answer.must_be(200, "payment_status", "PENDING");
    assert_eq!(world.stripe.intents().len(), 1);
}

#[tokio::test]
async fn stripe_s_word_not_to_retry_is_obeyed() {
    let world = World::new().await;
    world
        .stripe
        .fault(create(), Reply::status(503).should_retry(false));
    assert_eq!(world.post(&order("A-1")).await.status, 503);
    assert_eq!(world.stripe.requests().len(), 1);
}

#[tokio::test]
async fn what_stripe_refuses_is_502_and_frees_the_order() {
    let world = World::new().await;
    world.stripe.set_minimum("usd", 6000);
    let answer = world.post(&order("A-1")).await;
    answer.must_be(422, "code", "amount_below_minimum");
    let refused = json!({ "error": { "type": "invalid_request_error", "code": "account_invalid", "message": "secret" } });
    world
        .stripe
        .fault(create(), Reply::status(400).body(&refused.to_string()));
    let answer = world.post(&order("A-1")).await;
    answer.must_be(502, "code", "stripe_rejected");
    assert!(
        answer.text("detail").contains("account_invalid")
            && !answer.text("detail").contains("secret")
    );
    world
        .order_must_be("A-1", "payment_status", "CANCELED")
        .await;
    let answer = world
        .post(&with("A-1", &json!({ "amount": "60.00" })))
        .await;
    assert_eq!(
        (answer.status, &answer.body["attempt"]),
        (201, &json!(3)),
        "another amount, for nothing was made"
    );
}

#[tokio::test]
async fn a_rotated_key_is_read_afresh_once() {
    let world = World::new().await;
    world.begin("A-1").await;
    world.stripe.set_secret_keys(&["sk_test_canary0rotated"]);
    let answer = world.post(&order("A-2")).await;
    // The secret still has the old key.
    answer.must_be(502, "code", "stripe_auth");
    world.put_stripe_secret("sk_test_canary0rotated", &[WEBHOOK_SECRET]);
    let reads = world.secrets_manager.reads("stripe");
    let answer = world.post(&order("A-2")).await;
    assert_eq!(
        (answer.status, world.secrets_manager.reads("stripe")),
        (200, reads + 1)
    );
    world.stripe.set_restricted(true);
    assert_eq!(world.post(&order("A-3")).await.text("code"), "stripe_auth");
}

#[tokio::test]
async fn an_empty_secret_is_a_clear_refusal_and_an_outage_is_retryable() {
    let world = World::new().await;
    world.secrets_manager.clear("stripe");
    let answer = world.post(&order("A-1")).await;
    answer.must_be(502, "code", "stripe_auth");
    world.secrets_manager.put("stripe", r#"{"secret_key":""}"#);
    let answer = world.post(&order("A-1")).await;
    assert!(
        answer.text("detail").contains("secret_key"),
        "{:#}",
        answer.body
    );
    world.secrets_manager.set_down(true);
    let answer = world.post(&order("A-1")).await;
    answer.must_be(503, "code", "store_unavailable");
    world.secrets_manager.set_down(false);
    world.put_stripe_secret(SECRET_KEY, &[WEBHOOK_SECRET]);
    assert_eq!(world.post(&order("A-1")).await.status, 200);
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_503_before_stripe_is_asked() {
    let world = World::new().await;
    world.dynamo.stop();
    let answer = world.post(&order("A-1")).await;
    answer.must_be(503, "code", "store_unavailable");
    assert!(world.stripe.requests().is_empty());
}

#[tokio::test]
async fn a_creator_that_dies_after_stripe_acted_is_finished_by_the_next_try() {
    let world = World::after_a_crash(Stage::Answer).await;
    let status = world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(status.text("payment_status"), "CREATING");
    let answer = world.post(&order("A-1")).await;
    answer.must_be(200, "payment_status", "PENDING");
    assert_eq!(world.stripe.intents().len(), 1);
}

#[tokio::test]
async fn a_retry_after_a_crash_sends_the_first_request_s_bytes_whatever_it_says_itself() {
    let world = Arc::new(World::new().await);
    world
        .crash_while_creating(
            Stage::Arrival,
            with("A-1", &json!({ "description": "first" })),
        )
        .await;
    let answer = world
        .post(&with(
            "A-1",
            &json!({ "description": "second", "receipt_email": "a@b.example" }),
        ))
        .await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let [first, second] = &world.stripe.requests()[..] else {
        panic!("two requests")
    };
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_record_too_old_to_be_posted_again_is_looked_up_or_given_up() {
    for known_to_stripe in [true, false] {
        let world = Arc::new(World::new().await);
        if !known_to_stripe {
            world.stripe.fault(create(), Fault::status(503));
        }
        let stage = if known_to_stripe {
            Stage::Answer
        } else {
            Stage::Arrival
        };
        world.crash_while_creating(stage, order("A-1")).await;
        world.advance(20 * 3600);
        world.stripe.clear_requests();
        let answer = world.post(&order("A-1")).await;
        // Nothing is made of the old attempt; where there is none, the order is free for the next.
        let (status, attempt) = if known_to_stripe { (200, 1) } else { (201, 2) };
        answer.must_be(status, "payment_status", "PENDING");
        assert_eq!(answer.body["attempt"], attempt);
        let requests = world.stripe.requests();
        let made: Vec<_> = requests.iter().filter(|r| r.method != "GET").collect();
        assert_eq!(made.len(), usize::from(!known_to_stripe));
        assert_eq!(world.stripe.intents().len(), 1);
    }
}

#[tokio::test]
async fn a_canceled_order_is_begun_anew_with_another_intent() {
    let world = World::new().await;
    let first = world.begin("A-1").await;
    world.stripe.cancel(&first, None).unwrap();
    world.deliver_all().await;
    world
        .order_must_be("A-1", "payment_status", "CANCELED")
        .await;
    let answer = world
        .post(&with("A-1", &json!({ "amount": "60.00" })))
        .await;
    assert_eq!(
        (
            answer.status,
            &answer.body["attempt"],
            answer.text("amount")
        ),
        (201, &json!(2), "60.00")
    );
    assert_ne!(answer.text("payment_intent_id"), first);
    world.deliver_all().await;
    world
        .order_must_be("A-1", "payment_status", "PENDING")
        .await;
}

#[tokio::test]
async fn terms_leave_the_record_once_the_intent_is_known() {
    let world = World::new().await;
    world
        .post(&with(
            "A-1",
            &json!({ "receipt_email": "someone@b.example" }),
        ))
        .await;
    assert!(!format!("{:?}", world.dynamo.items().await).contains("someone@b.example"));
}

#[tokio::test]
async fn yen_and_a_region_are_understood() {
    let world = World::new().await;
    let body =
        json!({ "conversation_id": CONVERSATION, "order_id": "Y", "amount": 500, "region": "JP" });
    let answer = world.post(&body).await;
    assert_eq!(
        (
            answer.text("amount"),
            &answer.body["amount_minor"],
            answer.text("currency")
        ),
        ("500", &json!(500), "jpy")
    );
}
