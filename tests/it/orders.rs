//! One order, one payable intent, whichever call asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::ids::OrderScope::{Conversation, Merchant};
use stand_ins::{Fault, Match, Outcome, Scene, Stage};
use tests::matches::{confirm, create};
use tests::{Answer, CONVERSATION, Setup, World, order, order_with, table_in_scope};

use crate::wire::wired;

/// Another call that asks for the same orders.
pub(crate) const OTHER: &str = "0aaaaaaa-8a51-4c0e-9b7a-2f6d0c1e4b5a";

/// A card that Stripe charges at once.
pub(crate) const VISA: &str = "pm_card_visa";
/// One that takes Stripe a while.
pub(crate) const SLOW: &str = "pm_card_processing";

/// [`order`] as another call asks for it.
pub(crate) fn asked_by(conversation_id: &str, order_id: &str) -> Value {
    order_with(order_id, &json!({ "conversation_id": conversation_id }))
}

/// [`order`] for another amount, in place of an open payment.
pub(crate) fn replaced(order_id: &str, amount: &str) -> Value {
    order_with(order_id, &json!({ "amount": amount, "replace": true }))
}

/// A world whose calls have time on a busy machine.
pub(crate) async fn world_with(capture_method: &'static str) -> Arc<World> {
    let budget = Duration::from_secs(20);
    let setup = Setup {
        budget,
        capture_method,
        ..Setup::default()
    };
    Arc::new(World::with(setup).await)
}

/// Panics unless the order's payment has this status.
pub(crate) async fn must_stand(world: &World, order_id: &str, status: &str) {
    let answer = world.status(CONVERSATION, Some(order_id)).await;
    answer.must_be(200, "payment_status", status);
}

/// Panics unless it is refused because the order is paid, or so, for another amount.
#[track_caller]
pub(crate) fn must_be_changed(answer: &Answer, word: &str) {
    answer.must_be(409, "code", "order_changed");
    let told = format!("this order is {word} for 50.00 usd");
    assert!(answer.text("detail").contains(&told), "{:#}", answer.body);
    assert_eq!(answer.body["retryable"], false);
}

/// How many intents there are, and how many of them are not canceled.
pub(crate) fn intents(world: &World) -> (usize, usize) {
    let intents = world.stripe.intents();
    let is_live = |intent: &&Value| intent["status"] != "canceled";
    (intents.len(), intents.iter().filter(is_live).count())
}

/// Panics unless the answer names this holder, and says rightly whether that is the asking call.
#[track_caller]
fn must_be_held(answer: &Answer, holder: &str, is_holder: bool) {
    let got = (answer.text("conversation_id"), &answer.body["is_holder"]);
    assert_eq!(got, (holder, &json!(is_holder)), "{:#}", answer.body);
}

/// Sends all requests at once and then those that were refused again, once, one after another.
/// Gives the answers, and which came last where that is known.
async fn all_at_once(world: &Arc<World>, bodies: &[Value]) -> (Vec<Answer>, Option<usize>) {
    let send = |body: &Value| {
        let (world, body) = (Arc::clone(world), body.clone());
        tokio::spawn(async move { world.post(&body).await })
    };
    let sent: Vec<_> = bodies.iter().map(send).collect();
    let (mut answers, mut last) = (Vec::new(), None);
    for request in sent {
        answers.push(request.await.unwrap());
    }
    for (at, answer) in answers.iter_mut().enumerate() {
        if matches!(answer.status, 409 | 503) && answer.body["retryable"] == true {
            *answer = world.post(&bodies[at]).await;
            last = Some(at);
        }
        assert!(matches!(answer.status, 200 | 201), "{:#}", answer.body);
    }
    let mut begun: Vec<_> = answers.iter().filter(|a| a.status == 201).collect();
    let all = begun.len();
    begun.dedup_by_key(|answer| answer.text("payment_intent_id"));
    assert_eq!(begun.len(), all, "each was begun once");
    (answers, last)
}

/// The intents that the answers name.
fn named(answers: &[Answer]) -> BTreeSet<String> {
    let id = |answer: &Answer| answer.text("payment_intent_id").to_owned();
    answers.iter().map(id).collect()
}

#[tokio::test]
async fn a_second_call_for_the_same_order_gets_the_same_intent_and_the_first_hears_once_that_it_moved()
 {
    let world = World::new().await;
    world.genesys.open_conversation(OTHER, Scene::inbound());
    let intent = world.begin("A-1").await;
    world.deliver_all().await;
    let second = world.post(&asked_by(OTHER, "A-1")).await;
    second.must_be(200, "payment_intent_id", &intent);
    must_be_held(&second, OTHER, true);
    let link = second.text("payment_url");
    for _ in 0..3 {
        world.advance(11);
        for (call, is_holder) in [(CONVERSATION, false), (OTHER, true)] {
            for order_id in [Some("A-1"), None] {
                let answer = world.status(call, order_id).await;
                answer.must_be(200, "payment_status", "PENDING");
                must_be_held(&answer, OTHER, is_holder);
            }
        }
    }
    assert_eq!(world.open_link(link).await.text("state"), "open");
    world.advance(5);
    world.stripe.pay(&intent, VISA).unwrap();
    world.deliver_all().await;
    world.deliver_all().await;
    assert_eq!(world.heard(CONVERSATION), ["pending", "moved"]);
    let first = world.genesys.attributes(CONVERSATION);
    assert_eq!(first["payment_status"], "PENDING", "nothing of the other's");
    // The first call takes the order back, and it is the other that hears it.
    let back = world.post(&order("A-1")).await;
    back.must_be(200, "payment_status", "CONFIRMED");
    must_be_held(&back, CONVERSATION, true);
    world.deliver_all().await;
    world.deliver_all().await;
    let [first, other] = [CONVERSATION, OTHER].map(|call| world.heard(call));
    assert_eq!(first, ["pending", "moved", "confirmed"]);
    assert_eq!(other, ["pending", "link_opened", "confirmed", "moved"]);
    assert_eq!(world.stripe.intents().len(), 1);
    // The other holds it once more, and Genesys takes nothing for the first until that has it back.
    world.post(&asked_by(OTHER, "A-1")).await;
    let first = Match::path(&format!("/api/v2/conversations/{CONVERSATION}"));
    world.genesys.outage(first, Fault::status(500));
    let untold = world.deliver(&world.last_event()).await;
    untold.must_be(503, "outcome", "genesys_not_told");
    world.genesys.clear_faults();
    world.post(&order("A-1")).await;
    world.deliver_all().await;
    let told = world.heard(OTHER);
    assert_eq!(told[4..], ["confirmed", "moved"]);
}

#[tokio::test]
async fn two_calls_at_once_for_one_order_charge_it_once() {
    let world = Arc::new(World::new().await);
    world.stripe.add_payment_method("pm_new", Outcome::Succeed);
    let gates = [create(), confirm()].map(|on| world.stripe.gate(on, Stage::Arrival));
    let mut bodies = [CONVERSATION, OTHER].map(|call| asked_by(call, "A-1"));
    bodies[0]["payment_method"] = VISA.into();
    bodies[1]["payment_method"] = "pm_new".into();
    let ((answers, _), ()) = tokio::join!(all_at_once(&world, &bodies), async {
        for gate in &gates {
            gate.arrived(2).await;
            gate.open();
        }
    });
    for answer in &answers {
        answer.must_be(answer.status, "payment_status", "CONFIRMED");
    }
    assert_eq!((intents(&world).0, world.stripe.charges().len()), (1, 1));
    // By link: each call has its own, and one of the two payers pays.
    let bodies = [CONVERSATION, OTHER].map(|call| asked_by(call, "A-2"));
    let (answers, _) = all_at_once(&world, &bodies).await;
    for answer in &answers {
        let visit = world.open_link(answer.text("payment_url")).await;
        visit.must_be(200, "state", "open");
    }
    let [intent] = &Vec::from_iter(named(&answers))[..] else {
        panic!("one intent")
    };
    world.stripe.pay(intent, VISA).unwrap();
    assert!(world.stripe.pay(intent, "pm_new").is_err());
    assert_eq!(world.stripe.charges().len(), 2, "one for each order");
}

#[tokio::test]
async fn an_order_id_names_one_payment_in_all_calls_or_one_in_each_as_the_scope_says() {
    for scope in [Merchant, Conversation] {
        let is_one = scope == Merchant;
        let expected = |of_two| if is_one { "CONFIRMED" } else { of_two };
        let mut world = World::new().await;
        world.create_intent.store = table_in_scope(world.dynamo.client(), scope);
        let intent = world.begin("A-1").await;
        let second = world.post(&asked_by(OTHER, "A-1")).await;
        must_be_held(&second, OTHER, true);
        assert_eq!(second.status, if is_one { 200 } else { 201 });
        let of_second = second.text("payment_intent_id");
        assert_eq!(of_second == intent, is_one, "{scope:?}");
        world.advance(5);
        world.stripe.pay(of_second, VISA).unwrap();
        world.deliver_all().await;
        let third = "0bbbbbbb-8a51-4c0e-9b7a-2f6d0c1e4b5a";
        let stands = [
            (CONVERSATION, "PENDING"),
            (OTHER, "CONFIRMED"),
            (third, "NOT_FOUND"),
        ];
        for (call, of_two) in stands {
            let answer = world.status(call, Some("A-1")).await;
            answer.must_be(200, "payment_status", expected(of_two));
            let is_holder = call == OTHER || (call == CONVERSATION && !is_one);
            assert_eq!(answer.body["is_holder"], is_holder, "{scope:?} {call}");
        }
        // A cancellation by the first call, or by a third, is about the same payment as its query.
        for (call, of_two) in [(third, "NOT_FOUND"), (CONVERSATION, "CANCELED")] {
            let answer = world.cancel_by(call, "A-1", false).await;
            answer.must_be(200, "payment_status", expected(of_two));
        }
        let answer = world.status(OTHER, None).await;
        answer.must_be(200, "payment_status", "CONFIRMED");
    }
}

#[tokio::test]
async fn a_deployment_with_another_order_scope_begins_no_payment_and_says_so() {
    for (stored, other) in [(Merchant, Conversation), (Conversation, Merchant)] {
        let mut world = World::new().await;
        world.create_intent.store = table_in_scope(world.dynamo.client(), stored);
        must_stand(&world, "A-1", "NOT_FOUND").await;
        world.begin("A-1").await;
        must_stand(&world, "A-1", "PENDING").await;
        world.create_intent.store = table_in_scope(world.dynamo.client(), other);
        let (before, asked) = (world.dynamo.items().await, world.stripe.requests().len());
        for order_id in ["A-1", "A-2"] {
            let answer = world.post(&order(order_id)).await;
            answer.must_be(500, "code", "settings_changed");
            assert_eq!(answer.body["retryable"], false);
            for word in ["ORDER_SCOPE", "merchant", "conversation"] {
                assert!(answer.text("detail").contains(word), "{:#}", answer.body);
            }
        }
        assert_eq!(world.dynamo.items().await, before);
        assert_eq!(world.stripe.requests().len(), asked);
        // What goes on goes by what the table says.
        let from_elsewhere = |status| match stored {
            Merchant => status,
            Conversation => "NOT_FOUND",
        };
        let answer = world.status(OTHER, Some("A-1")).await;
        answer.must_be(200, "payment_status", from_elsewhere("PENDING"));
        let answer = world.cancel_by(OTHER, "A-1", false).await;
        answer.must_be(200, "payment_status", from_elsewhere("CANCELED"));
        let answer = world.cancel("A-1").await;
        answer.must_be(200, "payment_status", "CANCELED");
        world.create_intent.store = table_in_scope(world.dynamo.client(), stored);
        let answer = world.post(&order("A-1")).await;
        assert_eq!((answer.status, &answer.body["attempt"]), (201, &json!(2)));
    }
}

#[tokio::test]
async fn another_amount_for_a_paid_order_is_refused_and_the_detail_says_paid() {
    for (capture_method, token, status, word) in [
        ("automatic", VISA, "CONFIRMED", "paid"),
        ("manual", VISA, "AUTHORIZED", "authorized"),
        ("automatic", SLOW, "PROCESSING", "being paid"),
    ] {
        let world = world_with(capture_method).await;
        let begun = world.post_token("A-1", token).await;
        begun.must_be(201, "payment_status", status);
        let mut of_other = replaced("A-1", "60.00");
        of_other["conversation_id"] = OTHER.into();
        for body in [
            order_with("A-1", &json!({ "amount": "60.00" })),
            order_with("A-1", &json!({ "currency": "eur" })),
            replaced("A-1", "60.00"),
            of_other,
        ] {
            must_be_changed(&world.post(&body).await, word);
            let record = world.status(CONVERSATION, Some("A-1")).await;
            record.must_be(200, "payment_status", status);
            must_be_held(&record, CONVERSATION, true);
        }
        let newest = world.status(OTHER, None).await;
        newest.must_be(200, "payment_status", "NOT_FOUND");
        let same = world.post(&replaced("A-1", "50.00")).await;
        same.must_be(200, "payment_status", status);
        assert_eq!(intents(&world), (1, 1));
    }
}

#[tokio::test]
async fn replace_ends_the_open_attempt_and_begins_one_with_the_new_amount_however_often_it_is_asked()
 {
    for from in ["CREATING", "PENDING", "DECLINED"] {
        let world = Arc::new(World::new().await);
        if from == "CREATING" {
            let crash = world.crash_while_creating(Stage::Answer, order("A-1"));
            crash.await;
        } else {
            world.begin("A-1").await;
        }
        let intent = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
        world.advance(5);
        if from == "DECLINED" {
            let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
            world.deliver_all().await;
        }
        must_stand(&world, "A-1", from).await;
        let first = world.post(&replaced("A-1", "60.00")).await;
        first.must_be(201, "payment_status", "PENDING");
        assert_eq!(first.body["attempt"], 2);
        assert_eq!(first.text("amount"), "60.00");
        assert_eq!(intents(&world), (2, 1), "{from}");
        let mut of_other = replaced("A-1", "60.00");
        of_other["conversation_id"] = OTHER.into();
        for body in [replaced("A-1", "60.00"), of_other] {
            let again = world.post(&body).await;
            again.must_be(200, "payment_intent_id", first.text("payment_intent_id"));
        }
        // And at once.
        let (answers, _) = all_at_once(&world, &vec![replaced("A-1", "70.00"); 8]).await;
        assert!(answers.iter().all(|answer| answer.body["attempt"] == 3));
        assert_eq!((named(&answers).len(), intents(&world)), (1, (3, 1)));
        world.deliver_all().await;
        must_stand(&world, "A-1", "PENDING").await;
        let more = json!({ "amount": "70.00", "replace": true, "payment_method": VISA });
        let paid = world.post(&order_with("A-1", &more)).await;
        paid.must_be(200, "payment_status", "CONFIRMED");
        assert_eq!(paid.body["amount_received_minor"], 7000);
        assert_eq!(world.stripe.charges().len(), 1);
    }
}

#[tokio::test]
async fn a_link_whose_record_is_gone_is_unknown() {
    let world = World::new().await;
    let begun = world.post(&order("A-1")).await;
    let link = begun.text("payment_url");
    world.open_link(link).await.must_be(200, "state", "open");
    world.expire("ORDER#A-1", "PAYMENT").await;
    world.open_link(link).await.must_be(404, "state", "unknown");
    let anew = world.post(&order("A-1")).await;
    assert_eq!((anew.status, &anew.body["attempt"]), (201, &json!(1)));
    world.open_link(link).await.must_be(404, "state", "unknown");
    let link = anew.text("payment_url");
    world.open_link(link).await.must_be(200, "state", "open");
}

#[tokio::test]
async fn two_stacks_on_one_account_with_the_same_order_ids_never_touch_each_other() {
    let first = Arc::new(World::new().await);
    let second = Arc::new(World::beside(&first).await);
    let stripe = &first.stripe;
    let intents = [first.begin("A-1").await, second.begin("A-1").await];
    assert_ne!(intents[0], intents[1]);
    first.advance(5);
    stripe.pay(&intents[1], VISA).unwrap();
    for event in stripe.events() {
        for (stack, own) in [(&first, &intents[0]), (&second, &intents[1])] {
            let answer = stack.deliver(&event).await;
            assert_eq!(answer.status, 200, "{:#}", answer.body);
            let is_own = event["data"]["object"]["id"] == **own;
            assert_eq!(answer.text("outcome") != "not_ours", is_own, "{event:#}");
        }
    }
    must_stand(&first, "A-1", "PENDING").await;
    must_stand(&second, "A-1", "CONFIRMED").await;
    first.cancel("A-1").await;
    assert_eq!(stripe.intent(&intents[1]).unwrap()["status"], "succeeded");
    // Creators that died find their own: in a search that also gives the other's, and in the list.
    for (order_id, lags) in [("A-2", false), ("A-3", true)] {
        stripe.set_search_lag(lags);
        stripe.set_search_loose(true);
        for stack in [&first, &second] {
            stack
                .crash_while_creating(Stage::Answer, order(order_id))
                .await;
        }
        first.advance(11);
        for stack in [&first, &second] {
            let found = stack.status(CONVERSATION, Some(order_id)).await;
            found.must_be(200, "payment_status", "PENDING");
            let intent = stripe.intent(found.text("payment_intent_id")).unwrap();
            let uid = stack.uid(order_id).await;
            assert_eq!(intent["metadata"]["payment_uid"], uid, "{order_id}");
        }
    }
    let canceled = second.cancel("A-2").await;
    canceled.must_be(200, "payment_status", "CANCELED");
    must_stand(&first, "A-2", "PENDING").await;
    // One whose intent was never made takes none of the other's, and ends none.
    stripe.fault(create(), Fault::status(503));
    first
        .crash_while_creating(Stage::Arrival, order("A-4"))
        .await;
    let others = second.begin("A-4").await;
    first.advance(11);
    must_stand(&first, "A-4", "CREATING").await;
    first.advance(21 * 3600);
    stripe.set_search_lag(false);
    let given_up = first.cancel("A-4").await;
    given_up.must_be(200, "reason_code", "attempt_expired");
    let others = stripe.intent(&others).unwrap();
    assert_eq!(others["status"], "requires_payment_method");
}

#[tokio::test]
async fn an_event_after_the_intent_s_item_has_expired_is_matched_by_its_metadata() {
    let world = World::new().await;
    let intent = world.begin("A-1").await;
    world.expire(&format!("INTENT#{intent}"), "INTENT").await;
    world.advance(5);
    world.stripe.pay(&intent, VISA).unwrap();
    world.stripe.clear_requests();
    let answer = world.deliver(&world.last_event()).await;
    answer.must_be(200, "outcome", "applied");
    let asked = world.stripe.requests();
    assert_eq!(asked.len(), 1, "the intent, with our own key");
    assert_eq!(asked[0].path, format!("/v1/payment_intents/{intent}"));
    must_stand(&world, "A-1", "CONFIRMED").await;
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn a_record_that_expired_does_not_meet_its_own_past() {
    for with_its_intent in [true, false] {
        let world = World::new().await;
        let past = world.begin("A-1").await;
        world.expire("ORDER#A-1", "PAYMENT").await;
        if with_its_intent {
            world.expire(&format!("INTENT#{past}"), "INTENT").await;
        }
        let forgotten = world.status(CONVERSATION, None).await;
        forgotten.must_be(200, "payment_status", "NOT_FOUND");
        // Stripe still has the first request under its key.
        let anew = world.begin("A-1").await;
        assert_ne!(anew, past);
        world.advance(5);
        world.stripe.pay(&past, VISA).unwrap();
        let answer = world.deliver(&world.last_event()).await;
        answer.must_be(200, "outcome", "not_ours");
        world.advance(11);
        must_stand(&world, "A-1", "PENDING").await;
        world.stripe.pay(&anew, VISA).unwrap();
        world.deliver_all().await;
        world.order_must_be("A-1", "payment_intent_id", &anew).await;
        world.attribute_must_be("payment_status", "CONFIRMED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_orders_asked_for_by_two_calls_at_once_have_one_intent_each() {
    let world = world_with("automatic").await;
    let of_both = |number| [CONVERSATION, OTHER].map(|call| asked_by(call, &format!("A-{number}")));
    let bodies: Vec<_> = (0..100).flat_map(of_both).collect();
    let (answers, _) = all_at_once(&world, &bodies).await;
    for (answer, body) in answers.iter().zip(&bodies) {
        answer.must_be(answer.status, "payment_status", "PENDING");
        assert_eq!(body["order_id"], answer.body["order_id"]);
        must_be_held(answer, body["conversation_id"].as_str().unwrap(), true);
    }
    for of_order in answers.chunks(2) {
        assert_eq!(named(of_order).len(), 1);
        let order_id = Some(of_order[0].text("order_id"));
        let holds = async |call| world.status(call, order_id).await.body["is_holder"] == true;
        assert_ne!(holds(CONVERSATION).await, holds(OTHER).await);
    }
    assert_eq!((named(&answers).len(), intents(&world)), (100, (100, 100)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_asked_for_by_fifty_calls_at_once_has_one_intent_and_the_last_newest_write_is_the_holder()
 {
    let world = world_with("automatic").await;
    let call = |number: usize| format!("{number:08x}-8a51-4c0e-9b7a-2f6d0c1e4b5a");
    let calls: Vec<_> = (0..50).map(call).collect();
    let bodies: Vec<_> = calls.iter().map(|call| asked_by(call, "A-1")).collect();
    let (answers, last) = all_at_once(&world, &bodies).await;
    for (answer, call) in answers.iter().zip(&calls) {
        must_be_held(answer, call, true);
    }
    assert_eq!((named(&answers).len(), intents(&world)), (1, (1, 1)));
    // Gives the one holder that all hear of.
    let holder = async |status: &str| {
        let mut holders = BTreeSet::new();
        for call in &calls {
            for order_id in [Some("A-1"), None] {
                let answer = world.status(call, order_id).await;
                answer.must_be(200, "payment_status", status);
                let holder = answer.text("conversation_id").to_owned();
                must_be_held(&answer, &holder, holder == *call);
                holders.insert(holder);
            }
        }
        assert_eq!(holders.len(), 1, "{holders:?}");
        let holder = holders.pop_first().unwrap();
        calls.iter().position(|call| *call == holder).unwrap()
    };
    let held = holder("PENDING").await;
    assert!(last.is_none_or(|last| held == last), "{held} {last:?}");
    for at in [7, 31] {
        world.post(&bodies[at]).await;
        assert_eq!(holder("PENDING").await, at);
    }
    let intent = answers[0].text("payment_intent_id");
    world.advance(5);
    world.stripe.pay(intent, VISA).unwrap();
    assert!(world.stripe.pay(intent, VISA).is_err());
    world.deliver_all().await;
    assert_eq!(holder("CONFIRMED").await, 31);
    for body in &bodies {
        let answer = world.post(body).await;
        answer.must_be(200, "payment_status", "CONFIRMED");
        assert_eq!(answer.text("payment_url"), "");
    }
    assert_eq!(holder("CONFIRMED").await, 49);
}

#[tokio::test]
async fn the_round_trips_of_a_warm_call_are_those_that_the_docs_name() {
    let (world, [create_intent, _, status_query]) = wired().await;
    world.begin("warm").await;
    world.status(CONVERSATION, None).await;
    let so_far = || {
        let (asked, polled) = (create_intent.requests(), status_query.requests());
        [asked.len(), polled.len(), world.stripe.requests().len()]
    };
    let mut before = so_far();
    let mut taken = || {
        let now = so_far();
        let taken = [0, 1, 2].map(|at| now[at] - before[at]);
        before = now;
        taken
    };
    world.begin("A-1").await;
    assert_eq!(taken(), [2, 0, 1], "a new payment");
    world.post(&order("A-1")).await;
    assert_eq!(taken(), [2, 0, 0], "a replay");
    world.post(&asked_by(OTHER, "A-1")).await;
    assert_eq!(taken(), [2, 0, 0], "another call's");
    world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(taken(), [0, 1, 0], "a poll");
    world.status(CONVERSATION, None).await;
    assert_eq!(taken(), [0, 2, 0], "a poll without order id");
    let polled = status_query.requests();
    assert!(polled.iter().all(|(operation, _)| operation == "GetItem"));
}
