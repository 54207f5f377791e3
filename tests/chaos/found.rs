//! Rare meetings that broke something once, played on purpose: the schedules meet them seldom or
//! never.

use std::sync::Arc;

use stand_ins::{Match, Stage};
use tests::Answer;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::lines::Held;
use crate::room::Room;
use crate::schedule::{Outcome, SECRETS_OUTAGE, TOKENS, body, stage};
use crate::sim::Hit;
use crate::watch::Order;

/// Plays a scene in which nothing else goes wrong.
fn calmly(scene: impl AsyncFnOnce(&Arc<Room>, &Order)) {
    let Outcome { violations, .. } = stage(0, false, async |room| {
        room.sim.calm_down();
        scene(room, &room.orders()[0]).await;
    });
    assert!(violations.is_empty(), "{violations:#?}");
}

/// The request that makes the first attempt's intent.
fn first_attempt() -> Match {
    Match::post("/v1/payment_intents")
        .exactly()
        .body_containing("attempt%5D=1")
}

/// A transaction that meets another one was neither made nor refused.
#[test]
fn a_link_whose_transaction_meets_another_is_written_by_the_next_try() {
    calmly(async |room, order| {
        room.aws.fail_next("LINK#", Hit::DynamoTransactionConflict);
        let answer = room.post(&body(order, 5000)).await.unwrap();
        assert_eq!((answer.status, room.links().len()), (201, 1));
        assert_eq!(
            room.session(&room.links()[0]).await.unwrap().text("state"),
            "open"
        );
    });
}

/// The request has read what can be paid, and is about to hand out a link to it.
async fn about_to_hand_out(room: &Arc<Room>, order: &Order) -> (Held, JoinHandle<Option<Answer>>) {
    assert_eq!(room.post(&body(order, 5000)).await.unwrap().status, 201);
    let held = room.aws.hold_next("\"ConditionCheck\"");
    let asking = tokio::spawn({
        let (room, asked) = (Arc::clone(room), body(order, 5000));
        async move { room.post(&asked).await }
    });
    held.arrived.notified().await;
    (held, asking)
}

#[test]
fn a_link_is_not_handed_out_to_what_was_paid_meanwhile() {
    calmly(async |room, order| {
        let (held, asking) = about_to_hand_out(room, order).await;
        let secret = room.stripe.intents()[0]["client_secret"].clone();
        room.watch.pay_by_card(secret.as_str().unwrap(), TOKENS[0]);
        let succeeded = room.stripe.events().pop().unwrap();
        assert_eq!(room.deliver(&succeeded).await.unwrap().status, 200);
        held.go_on.notify_one();
        let answer = asking.await.unwrap().unwrap();
        assert_eq!(
            (answer.text("payment_status"), answer.text("payment_url")),
            ("CONFIRMED", "")
        );
    });
}

#[test]
fn a_link_is_not_handed_out_to_what_is_to_end_by_now() {
    calmly(async |room, order| {
        let (held, asking) = about_to_hand_out(room, order).await;
        let gate = room
            .stripe
            .gate(Match::get("/v1/payment_intents"), Stage::Arrival);
        let canceling = tokio::spawn({
            let (room, order) = (Arc::clone(room), order.clone());
            async move { room.cancel(&order).await }
        });
        gate.arrived(1).await;
        held.go_on.notify_one();
        let answer = asking.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text("code")), (409, "in_progress"));
        gate.open();
        let canceled = canceling.await.unwrap().unwrap();
        assert_eq!(canceled.text("payment_status"), "CANCELED");
    });
}

/// Found by the model: the new attempt counted as opened, and Genesys was told so.
#[test]
fn a_link_opened_while_its_attempt_is_replaced_leaves_the_new_attempt_unopened() {
    calmly(async |room, order| {
        room.post(&body(order, 5000)).await;
        let link = room.links().remove(0);
        let gate = room
            .stripe
            .gate(Match::get("/v1/payment_intents"), Stage::Execution);
        let opening = tokio::spawn({
            let room = Arc::clone(room);
            async move { room.session(&link).await }
        });
        gate.arrived(1).await;
        let intent = room.stripe.intents().remove(0);
        let intent = intent["id"].as_str().unwrap();
        room.stripe.cancel(intent, None).unwrap();
        let canceled = room.stripe.events().pop().unwrap();
        assert_eq!(room.deliver(&canceled).await.unwrap().status, 200);
        assert_eq!(room.post(&body(order, 5700)).await.unwrap().status, 201);
        gate.open();
        let answer = opening.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text("state")), (410, "canceled"));
        let record = room.watch.record(order).unwrap();
        assert_eq!(
            (record.attempt, record.status.as_str(), record.opened_at),
            (2, "PENDING", None)
        );
    });
}

/// A request to cancel that came through late took the new attempt for the one it had found.
#[test]
fn a_request_to_cancel_leaves_an_attempt_alone_that_was_begun_meanwhile() {
    calmly(async |room, order| {
        assert_eq!(room.post(&body(order, 5000)).await.unwrap().status, 201);
        let held = room.aws.hold_next("#ending_reason = :ending_reason");
        let canceling = tokio::spawn({
            let (room, order) = (Arc::clone(room), order.clone());
            async move { room.cancel(&order).await }
        });
        held.arrived.notified().await;
        assert_eq!(
            room.cancel(order).await.unwrap().text("payment_status"),
            "CANCELED"
        );
        assert_eq!(room.post(&body(order, 5700)).await.unwrap().status, 201);
        held.go_on.notify_one();
        let late = canceling.await.unwrap().unwrap();
        assert_eq!((late.status, late.text("payment_status")), (200, "PENDING"));
        let record = room.watch.record(order).unwrap();
        assert_eq!((record.attempt, record.ending), (2, None));
    });
}

/// Found by the model: the token was charged on the new attempt, which may be for another amount.
#[test]
fn a_token_is_not_charged_on_an_attempt_that_has_replaced_its_own() {
    calmly(async |room, order| {
        let gate = room.stripe.gate(first_attempt(), Stage::Answer);
        let asking = tokio::spawn({
            let mut asked = body(order, 5000);
            asked["payment_method"] = TOKENS[0].into();
            let room = Arc::clone(room);
            async move { room.post(&asked).await }
        });
        gate.arrived(1).await;
        let created = room.stripe.events().remove(0);
        assert_eq!(room.deliver(&created).await.unwrap().status, 200);
        assert_eq!(
            room.cancel(order).await.unwrap().text("payment_status"),
            "CANCELED"
        );
        assert_eq!(room.post(&body(order, 5700)).await.unwrap().status, 201);
        gate.open();
        let answer = asking.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text("code")), (409, "in_progress"));
        assert_eq!(room.stripe.charges(), []);
    });
}

/// One instance of each function has read its secrets when Secrets Manager goes down. For ten
/// minutes orders are made, paid, told and canceled; Genesys forgets its tokens all the while, so
/// that its secret is needed, too.
#[test]
fn functions_that_hold_their_secrets_answer_through_ten_minutes_without_secrets_manager() {
    calmly(async |room, order| {
        assert_eq!(room.post(&body(order, 5000)).await.unwrap().status, 201);
        assert_eq!(
            room.deliver(&room.stripe.events()[0]).await.unwrap().status,
            200
        );
        assert_eq!(
            room.session(&room.links()[0]).await.unwrap().text("state"),
            "open"
        );
        room.aws.set_secrets_down(true);
        let began = Instant::now();
        let mut stopped = None;
        while stopped.is_none() && began.elapsed() < SECRETS_OUTAGE {
            room.sim.pause(25_000, 25_000).await;
            let number = room.orders().len();
            stopped = one_more_order(room, &order.0, number)
                .await
                .err()
                .map(|what| (began.elapsed(), what));
        }
        assert!(stopped.is_none(), "{stopped:?}");
        let asked_in_vain = room
            .sim
            .hits()
            .get(&Hit::SecretsDownHeld)
            .copied()
            .unwrap_or(0);
        assert!(asked_in_vain > 0, "no held secret grew old");
    });
}

/// Makes an order, opens its link, pays it and tells Genesys; then makes another one and cancels
/// it.
async fn one_more_order(room: &Arc<Room>, conversation: &str, number: usize) -> Result<(), String> {
    let expect = |what: &str, got: &str, wanted: &str| {
        if got == wanted {
            Ok(())
        } else {
            Err(format!("{what}: {got}, where it must be {wanted}"))
        }
    };
    let order: Order = (conversation.to_owned(), format!("held-{number}"));
    room.add_order(&order);
    let events = room.stripe.events().len();
    let made = room.post(&body(&order, 5000)).await.unwrap();
    expect("create-intent", &made.status.to_string(), "201")?;
    let link = room.links().pop().unwrap();
    room.genesys.revoke_tokens();
    let session = room.session(&link).await.unwrap();
    expect("session", session.text("state"), "open")?;
    let progress = |room: &Room| {
        room.genesys
            .attributes(conversation)
            .remove("payment_progress")
            .unwrap_or_default()
    };
    expect("Genesys, by status-query", &progress(room), "link_opened")?;
    room.sim.pause(1000, 1000).await;
    room.watch
        .pay_by_card(session.text("client_secret"), TOKENS[0]);
    room.genesys.revoke_tokens();
    for event in room.stripe.events().iter().skip(events) {
        expect(
            "stripe-webhook",
            &room.deliver(event).await.unwrap().status.to_string(),
            "200",
        )?;
    }
    expect("Genesys, by stripe-webhook", &progress(room), "confirmed")?;

    let released: Order = (conversation.to_owned(), format!("released-{number}"));
    room.add_order(&released);
    expect(
        "create-intent",
        &room
            .post(&body(&released, 5000))
            .await
            .unwrap()
            .status
            .to_string(),
        "201",
    )?;
    // Its status is old enough to ask Stripe, and it is not told yet.
    room.sim.pause(11_000, 11_000).await;
    expect(
        "status-query",
        room.status(&released, true)
            .await
            .unwrap()
            .text("payment_status"),
        "PENDING",
    )?;
    expect("Genesys, by status-query", &progress(room), "pending")?;
    expect(
        "cancel",
        room.cancel(&released).await.unwrap().text("payment_status"),
        "CANCELED",
    )
}

/// An update hangs, its sender gives up, the payment goes on, and only then the update arrives. The
/// schedules lose many updates, but a newer status seldom gets between one and its arrival.
#[test]
fn an_older_status_that_arrives_late_does_not_overtake_a_newer_one() {
    calmly(async |room, order| {
        assert_eq!(room.post(&body(order, 5000)).await.unwrap().status, 201);
        let gate = room.genesys.gate(
            Match::patch("/api/v2/conversations").body_containing("PENDING"),
            Stage::Arrival,
        );
        let created = room.stripe.events().remove(0);
        let untold = room.deliver(&created).await.unwrap();
        assert_eq!(
            (untold.status, untold.text("outcome"), gate.arrivals()),
            (503, "genesys_not_told", 1)
        );
        let secret = room.stripe.intents()[0]["client_secret"]
            .as_str()
            .unwrap()
            .to_owned();
        room.watch.pay_by_card(&secret, TOKENS[0]);
        let succeeded = room.stripe.events().pop().unwrap();
        room.deliver(&succeeded).await;
        gate.open();
        room.sim.pause(16_000, 16_000).await;
        room.deliver(&succeeded).await;
        let told: Vec<_> = room
            .genesys
            .patches()
            .iter()
            .map(|patch| patch.attributes["payment_status"].clone())
            .collect();
        assert_eq!(told, ["PENDING", "CONFIRMED"]);
        room.watch.balance(&room.genesys, &room.orders());
    });
}
