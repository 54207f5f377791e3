//! Stripe refuses the address that the receipt is to be sent to, though it looks like one: the
//! payment goes on without a receipt. Stripe may keep that refusal under the idempotency key, or
//! not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use stand_ins::{Recorded, Stage};
use tests::matches::create;
use tests::{CONVERSATION, World};

use tests::order_with as with;

const ADDRESS: &str = "jane@gmial.example";

fn asked() -> Value {
    with(
        "A-1",
        &json!({ "description": "Order A-1", "receipt_email": ADDRESS }),
    )
}

async fn refusing(kept: bool) -> Arc<World> {
    let world = World::new().await;
    world.stripe.refuse_receipt(ADDRESS, kept);
    Arc::new(world)
}

/// The requests that were to make the intent: by their key, the different bodies sent under it.
fn sent(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut sent: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let creations = world
        .stripe
        .requests()
        .into_iter()
        .filter(|request| request.path == "/v1/payment_intents");
    for request in creations {
        let key = request.header("idempotency-key").unwrap().to_owned();
        sent.entry(key)
            .or_default()
            .insert(String::from_utf8(request.body).unwrap());
    }
    sent
}

/// One intent, made without a receipt, and every request that was without one the same, byte for
/// byte.
async fn one_intent_without_receipt(world: &World, what: &str) {
    let [intent] = &world.stripe.intents()[..] else {
        panic!("{what}: {:#?}", world.stripe.intents())
    };
    assert_eq!(
        (&intent["receipt_email"], &intent["description"]),
        (&Value::Null, &json!("Order A-1")),
        "{what}"
    );
    let bodies: BTreeSet<String> = sent(world).into_values().flatten().collect();
    let without = bodies.iter().filter(|body| !body.contains("receipt_email"));
    assert_eq!(
        (bodies.len(), without.count()),
        (2, 1),
        "{what}: {bodies:#?}"
    );
    let status = world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(status.text("payment_intent_id"), intent["id"], "{what}");
    assert!(
        !format!("{:?}", world.dynamo.items().await).contains("gmial"),
        "{what}: the address is still stored"
    );
}

#[tokio::test]
async fn an_address_that_stripe_refuses_costs_the_receipt_and_not_the_payment() {
    for (kept, keys) in [(false, vec![""]), (true, vec!["", "/without-receipt"])] {
        let world = refusing(kept).await;
        tests::forget_thread_log();
        let answer = world.post(&asked()).await;
        answer.must_be(201, "payment_status", "PENDING");
        assert_eq!(
            (&answer.body["attempt"], answer.text("reason_code")),
            (&json!(1), "")
        );
        one_intent_without_receipt(&world, "at once").await;
        let uid = world.uid("A-1").await;
        let of_the_attempt = |suffix: &str| format!("{uid}/1{suffix}");
        assert_eq!(
            sent(&world).into_keys().collect::<Vec<_>>(),
            keys.into_iter().map(of_the_attempt).collect::<Vec<_>>()
        );
        let log = tests::logged();
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("goes on without a receipt"))
            .collect();
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.contains("A-1")),
            "{lines:?}"
        );
        assert!(!log.contains("gmial"), "the address is in the log");
        let again = world.post(&asked()).await;
        assert_eq!(
            (again.status, again.text("payment_intent_id")),
            (200, answer.text("payment_intent_id"))
        );
        let paid = world.post_token("A-1", "pm_card_visa").await;
        assert_eq!(
            (paid.text("payment_status"), world.stripe.charges().len()),
            ("CONFIRMED", 1)
        );
    }
}

#[tokio::test]
async fn a_creator_that_dies_anywhere_while_the_receipt_is_refused_is_finished_by_the_next_try() {
    for kept in [false, true] {
        // Refused, refused again, made: a death before Stripe looks at it, and one before its
        // answer is read.
        for number in 1..=3 {
            for stage in [Stage::Arrival, Stage::Answer] {
                let what = format!("kept {kept}, dies at request {number}, {stage:?}");
                let world = refusing(kept).await;
                let gate = world.stripe.gate(create(), stage);
                let dying = tokio::spawn({
                    let world = Arc::clone(&world);
                    async move { world.post(&asked()).await }
                });
                for before in 1..number {
                    gate.arrived(before).await;
                    gate.release(1);
                }
                gate.arrived(number).await;
                dying.abort();
                assert!(
                    dying.await.is_err_and(|error| error.is_cancelled()),
                    "{what}"
                );
                drop(gate);
                // The flow's next try may say something else; the first one's word stays.
                let other = with(
                    "A-1",
                    &json!({ "description": "another", "receipt_email": "joe@other.example" }),
                );
                let answer = world.post(&other).await;
                assert_eq!(
                    (answer.status, answer.text("payment_status")),
                    (200, "PENDING"),
                    "{what}: {:#}",
                    answer.body
                );
                one_intent_without_receipt(&world, &what).await;
            }
        }
    }
}

/// A twin that has read the record before the address was dropped sends it once more, and this time
/// Stripe would take it.
#[tokio::test]
async fn a_twin_that_still_has_the_address_makes_no_second_intent() {
    for kept in [false, true] {
        let world = refusing(kept).await;
        let gate = world
            .stripe
            .gate(create().body_containing("receipt_email"), Stage::Arrival);
        let post = || {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.post(&asked()).await })
        };
        let first = post();
        gate.arrived(1).await;
        let twin = post();
        gate.arrived(2).await;
        // The first is refused and comes again. A twin that is given a kept refusal drops the
        // address at once; else it comes again, too, and the first one drops it.
        gate.release(1);
        gate.arrived(3).await;
        gate.release(1);
        if !kept {
            gate.arrived(4).await;
            gate.release(1);
        }
        let (drops, still_has) = if kept {
            ((twin, 200), (first, 201))
        } else {
            ((first, 201), (twin, 200))
        };
        for (at, (request, status)) in [drops, still_has].into_iter().enumerate() {
            if at == 1 {
                world.stripe.accept_receipt(ADDRESS);
                gate.open();
            }
            let answer = request.await.unwrap();
            assert_eq!(
                (answer.status, answer.text("payment_status")),
                (status, "PENDING"),
                "{:#}",
                answer.body
            );
        }
        one_intent_without_receipt(&world, "twin").await;
        let searched = world
            .stripe
            .requests()
            .iter()
            .any(|request| request.path.contains("search"));
        assert!(!searched, "the record tells what is sent now");
    }
}

/// The same twin, but its request alone: what a function has sent goes on when the function dies.
#[tokio::test]
async fn a_request_with_the_address_that_arrives_late_makes_no_second_intent() {
    for kept in [false, true] {
        let world = refusing(kept).await;
        world.post(&asked()).await;
        world.stripe.accept_receipt(ADDRESS);
        let Recorded {
            path,
            headers,
            body,
            ..
        } = world.stripe.requests().remove(0);
        assert!(String::from_utf8_lossy(&body).contains("receipt_email"));
        let mut late = reqwest::Client::new()
            .post(format!("{}{path}", world.stripe.base()))
            .body(body);
        for name in [
            "authorization",
            "stripe-version",
            "idempotency-key",
            "content-type",
        ] {
            late = late.header(name, &headers[name]);
        }
        assert_eq!(late.send().await.unwrap().status(), 400);
        one_intent_without_receipt(&world, "late").await;
    }
}
