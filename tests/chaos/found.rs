//! Rare meetings that broke something once, played on purpose: the schedules meet them seldom or never.

use std::sync::Arc;

use stand_ins::{Match, Stage};

use crate::room::Room;
use crate::schedule::{Outcome, TOKENS, body, stage};
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
    Match::post("/v1/payment_intents").exactly().body_containing("attempt%5D=1")
}

/// Found by the schedules: a conflict counted as the put's own first try, met again by its retry.
#[test]
fn a_link_that_dynamodb_did_not_write_is_not_handed_out() {
    calmly(async |room, order| {
        room.aws.fail_next("LINK#", Hit::DynamoTransactionConflict);
        let refused = room.post(&body(order, 5000)).await.unwrap();
        assert_eq!((refused.status, refused.text("code")), (503, "store_unavailable"));
        let answer = room.post(&body(order, 5000)).await.unwrap();
        assert_eq!((answer.status, room.links().len()), (200, 1));
        assert_eq!(room.session(&room.links()[0]).await.unwrap().text("state"), "open");
    });
}

/// Found by the model: the new attempt counted as opened, and Genesys was told so.
#[test]
fn a_link_opened_while_its_attempt_is_replaced_leaves_the_new_attempt_unopened() {
    calmly(async |room, order| {
        room.post(&body(order, 5000)).await;
        let link = room.links().remove(0);
        let gate = room.stripe.gate(Match::get("/v1/payment_intents"), Stage::Execution);
        let opening = tokio::spawn({
            let room = Arc::clone(room);
            async move { room.session(&link).await }
        });
        gate.arrived(1).await;
        assert_eq!(room.cancel(order).await.unwrap().text("payment_status"), "CANCELED");
        assert_eq!(room.post(&body(order, 5700)).await.unwrap().status, 201);
        gate.open();
        let answer = opening.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text("state")), (410, "canceled"));
        let record = room.watch.record(order).unwrap();
        assert_eq!((record.attempt, record.status.as_str(), record.opened_at), (2, "PENDING", None));
    });
}

/// A request to cancel that came through late took the new attempt for the one it had found.
#[test]
fn a_request_to_cancel_leaves_an_attempt_alone_that_was_begun_meanwhile() {
    calmly(async |room, order| {
        room.sim.doom("create-intent", 3);
        assert!(room.post(&body(order, 5000)).await.is_none());
        assert_eq!(room.watch.record(order).unwrap().status, "CREATING");
        let gate = room.stripe.gate(first_attempt(), Stage::Answer);
        let canceling = tokio::spawn({
            let (room, order) = (Arc::clone(room), order.clone());
            async move { room.cancel(&order).await }
        });
        gate.arrived(1).await;
        let created = room.stripe.events().remove(0);
        assert_eq!(room.deliver(&created).await.unwrap().status, 200);
        assert_eq!(room.cancel(order).await.unwrap().text("payment_status"), "CANCELED");
        assert_eq!(room.post(&body(order, 5700)).await.unwrap().status, 201);
        gate.open();
        let late = canceling.await.unwrap().unwrap();
        assert_eq!((late.status, late.text("payment_status")), (200, "PENDING"));
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
        assert_eq!(room.cancel(order).await.unwrap().text("payment_status"), "CANCELED");
        assert_eq!(room.post(&body(order, 5700)).await.unwrap().status, 201);
        gate.open();
        let answer = asking.await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text("code")), (409, "in_progress"));
        assert_eq!(room.stripe.charges(), []);
    });
}
