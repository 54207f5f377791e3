//! An attempt that ends before it is paid: canceled, replaced, or declined too often.

use std::sync::Arc;

use serde_json::{Value, json};
use stand_ins::{Gate, Match, Outcome, Stage};
use tests::matches::{cancel, create, fetch};
use tests::{Answer, CONVERSATION, World, order};
use tokio::task::JoinHandle;

use crate::orders::{
    OTHER, SLOW, VISA, asked_by, intents, must_be_changed, must_stand, replaced, world_with,
};

const DECLINED: &str = "pm_card_visa_chargeDeclined";
const AT_BANK: &str = "pm_card_authenticationRequired";

/// What ends the attempt of order `A-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cancel,
    Replace,
    /// The tenth declined try, whose event is Stripe's last.
    TooManyDeclines,
}
use End::{Cancel, Replace, TooManyDeclines};
const ENDS: [End; 3] = [Cancel, Replace, TooManyDeclines];

/// A payment of order `A-1`.
struct Open {
    world: Arc<World>,
    intent: String,
    link: String,
}

impl Open {
    /// A payment that this ends next.
    async fn before(end: End, capture_method: &'static str) -> Self {
        let world = world_with(capture_method).await;
        let begun = world.post(&order("A-1")).await;
        let (intent, link) = (begun.text("payment_intent_id"), begun.text("payment_url"));
        let (intent, link) = (intent.to_owned(), link.to_owned());
        let open = Self {
            world,
            intent,
            link,
        };
        let declines = if end == TooManyDeclines { 10 } else { 0 };
        for number in 1..=declines {
            open.decline();
            if number < declines {
                open.deliver(&open.world.last_event()).await;
            }
        }
        open.world.advance(5);
        open
    }

    fn decline(&self) {
        self.world.advance(5);
        let _ = self.world.stripe.pay(&self.intent, DECLINED);
    }

    fn pay(&self, token: &str) {
        self.world.stripe.pay(&self.intent, token).unwrap();
    }

    fn authenticate(&self, passes: bool) {
        let (stripe, intent) = (&self.world.stripe, &self.intent);
        stripe.authenticate(intent, passes).unwrap();
    }

    async fn deliver(&self, event: &Value) {
        let answer = self.world.deliver(event).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
    }

    async fn replace(&self) -> Answer {
        self.world.post(&replaced("A-1", "60.00")).await
    }

    /// Begins to end it, and holds Stripe there.
    async fn hold(&self, end: End, on: Match, stage: Stage) -> (JoinHandle<Answer>, Gate) {
        let gate = self.world.stripe.gate(on, stage);
        let (world, event) = (Arc::clone(&self.world), self.world.last_event());
        let asking = tokio::spawn(async move {
            match end {
                Cancel => world.cancel("A-1").await,
                Replace => world.post(&replaced("A-1", "60.00")).await,
                TooManyDeclines => world.deliver(&event).await,
            }
        });
        gate.arrived(1).await;
        assert!(self.is_ending().await);
        (asking, gate)
    }

    /// Whether an end is on record that has not been reached.
    async fn is_ending(&self) -> bool {
        let item = self.world.dynamo.item("ORDER#A-1", "PAYMENT").await;
        item.contains_key("ending_reason") && item["status"].as_s().unwrap() != "CANCELED"
    }

    /// What Stripe says of its intent.
    fn at_stripe(&self) -> Value {
        self.world.stripe.intent(&self.intent).unwrap()["status"].clone()
    }

    async fn must_stand(&self, status: &str) {
        must_stand(&self.world, "A-1", status).await;
    }

    async fn link_leads_to(&self, state: &str) {
        let visit = self.world.open_link(&self.link).await;
        assert_eq!(visit.text("state"), state);
        assert_eq!(visit.body.get("client_secret").is_some(), state == "open");
    }

    /// Panics unless the answer begins the next attempt, and its intent is the one that is left.
    #[track_caller]
    fn must_be_followed_by(&self, next: &Answer) {
        next.must_be(201, "payment_status", "PENDING");
        assert_eq!(next.body["attempt"], 2);
        assert_eq!(self.at_stripe(), "canceled");
        assert_eq!(intents(&self.world), (2, 1));
    }
}

/// Panics unless the answer is that the payer is to be waited for.
#[track_caller]
fn must_wait(answer: &Answer) {
    answer.must_be(409, "code", "in_progress");
    let (retryable, after) = (&answer.body["retryable"], &answer.retry_after);
    assert!(*retryable == true && after.is_some(), "{:#}", answer.body);
}

/// The function dies, and Stripe goes on.
async fn die(dying: JoinHandle<Answer>, gate: Gate) {
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled(), "it died");
    gate.open();
}

#[tokio::test]
async fn a_payment_that_wins_against_replace_is_answered_order_changed() {
    for (on, capture_method, token, status, word) in [
        (fetch(), "automatic", VISA, "CONFIRMED", "paid"),
        (cancel(), "automatic", VISA, "CONFIRMED", "paid"),
        (fetch(), "automatic", SLOW, "PROCESSING", "being paid"),
        (cancel(), "automatic", SLOW, "PROCESSING", "being paid"),
        (fetch(), "manual", VISA, "AUTHORIZED", "authorized"),
    ] {
        let open = Open::before(Replace, capture_method).await;
        let (replacing, gate) = open.hold(Replace, on, Stage::Arrival).await;
        open.pay(token);
        gate.open();
        must_be_changed(&replacing.await.unwrap(), word);
        open.must_stand(status).await;
        assert!(!open.is_ending().await);
        open.world.deliver_all().await;
        must_be_changed(&open.replace().await, word);
        let same = open.world.post(&order("A-1")).await;
        same.must_be(200, "payment_status", status);
        assert_eq!(intents(&open.world), (1, 1));
    }
}

#[tokio::test]
async fn a_payment_that_wins_against_the_cap_on_declines_is_confirmed() {
    for on in [fetch(), cancel()] {
        let open = Open::before(TooManyDeclines, "automatic").await;
        let (delivering, gate) = open.hold(TooManyDeclines, on, Stage::Arrival).await;
        open.pay(VISA);
        gate.open();
        assert_eq!(delivering.await.unwrap().status, 200);
        open.must_stand("CONFIRMED").await;
        open.world.order_must_be("A-1", "reason_code", "").await;
        assert!(!open.is_ending().await);
        open.world.deliver_all().await;
        open.link_leads_to("paid").await;
        open.world.attribute_must_be("payment_status", "CONFIRMED");
    }
}

#[tokio::test]
async fn a_payer_at_the_bank_is_left_alone_by_replace_and_by_another_call_s_cancel() {
    for passes in [true, false] {
        let open = Open::before(Replace, "automatic").await;
        open.pay(AT_BANK);
        for _ in 0..2 {
            must_wait(&open.replace().await);
            assert!(!open.is_ending().await);
            must_wait(&open.world.cancel_by(OTHER, "A-1", false).await);
            assert!(!open.is_ending().await);
            assert_eq!(open.at_stripe(), "requires_action");
            open.link_leads_to("open").await;
        }
        open.world.advance(5);
        open.authenticate(passes);
        open.world.deliver_all().await;
        if passes {
            must_be_changed(&open.replace().await, "paid");
            let answer = open.world.cancel_by(OTHER, "A-1", false).await;
            answer.must_be(200, "payment_status", "CONFIRMED");
        } else {
            open.must_stand("DECLINED").await;
            open.must_be_followed_by(&open.replace().await);
        }
    }
}

#[tokio::test]
async fn a_payer_at_the_bank_is_canceled_at_once_by_the_holder_or_by_force() {
    for (holder, call, force) in [
        (CONVERSATION, CONVERSATION, false),
        (CONVERSATION, OTHER, true),
        (OTHER, OTHER, false),
        (OTHER, CONVERSATION, true),
    ] {
        let open = Open::before(Cancel, "automatic").await;
        open.world.post(&asked_by(holder, "A-1")).await;
        open.pay(AT_BANK);
        let others = if holder == OTHER { CONVERSATION } else { OTHER };
        must_wait(&open.world.cancel_by(others, "A-1", false).await);
        let answer = open.world.cancel_by(call, "A-1", force).await;
        answer.must_be(200, "payment_status", "CANCELED");
        assert_eq!(open.at_stripe(), "canceled");
        open.link_leads_to("canceled").await;
    }
}

/// The tenth try is declined while the payer is at the bank with another card.
async fn waiting() -> Open {
    let open = Open::before(TooManyDeclines, "automatic").await;
    let tenth = open.world.last_event();
    open.pay(AT_BANK);
    open.deliver(&tenth).await;
    assert_eq!(open.at_stripe(), "requires_action");
    assert!(open.is_ending().await);
    open
}

#[tokio::test]
async fn a_payer_at_the_bank_keeps_the_tenth_declined_try_waiting_ten_minutes_once() {
    let open = waiting().await;
    for secs in [0, 300, 299] {
        open.world.advance(secs);
        must_wait(&open.world.post(&order("A-1")).await);
        must_wait(&open.replace().await);
        open.world.deliver_all().await;
        assert_eq!(open.at_stripe(), "requires_action");
        open.link_leads_to("processing").await;
    }
    // A second visit to the bank is no other wait.
    open.authenticate(false);
    open.pay(AT_BANK);
    must_wait(&open.world.post(&order("A-1")).await);
    open.world.advance(1);
    open.must_be_followed_by(&open.world.post(&order("A-1")).await);

    // An event finishes it, too.
    let open = waiting().await;
    open.world.advance(600);
    open.deliver(&open.world.last_event()).await;
    open.must_stand("CANCELED").await;
    assert_eq!(open.at_stripe(), "canceled");

    let open = waiting().await;
    open.world.advance(599);
    open.authenticate(true);
    open.deliver(&open.world.last_event()).await;
    open.must_stand("CONFIRMED").await;

    let open = waiting().await;
    let answer = open.world.cancel("A-1").await;
    answer.must_be(200, "payment_status", "CANCELED");

    // Another call's Cancel takes back no end but its own.
    let open = waiting().await;
    must_wait(&open.world.cancel_by(OTHER, "A-1", false).await);
    open.link_leads_to("processing").await;
    open.world.advance(600);
    open.deliver(&open.world.last_event()).await;
    open.must_stand("CANCELED").await;
}

#[tokio::test]
async fn an_ending_whose_function_died_is_finished_by_the_next_request() {
    for end in ENDS {
        for (on, stage) in [
            (fetch(), Stage::Arrival),
            (fetch(), Stage::Answer),
            (cancel(), Stage::Arrival),
            (cancel(), Stage::Answer),
        ] {
            for next in [order("A-1"), replaced("A-1", "60.00"), json!("DELETE")] {
                let open = Open::before(end, "automatic").await;
                let (dying, gate) = open.hold(end, on.clone(), stage).await;
                die(dying, gate).await;
                assert!(open.is_ending().await);
                open.link_leads_to("processing").await;
                open.world.advance(1);
                if next == "DELETE" {
                    let answer = open.world.cancel_by(OTHER, "A-1", false).await;
                    answer.must_be(200, "payment_status", "CANCELED");
                    let is_cap = end == TooManyDeclines;
                    assert_eq!(answer.text("reason_code") == "too_many_declines", is_cap);
                    assert_eq!(open.at_stripe(), "canceled");
                } else {
                    let answer = open.world.post(&next).await;
                    assert_eq!(answer.body["amount"], next["amount"]);
                    open.must_be_followed_by(&answer);
                }
                open.world.deliver_all().await;
                open.link_leads_to("canceled").await;
            }
        }
    }
    // The same before the intent was on record.
    for live in [0, 1] {
        let world = World::after_a_crash(Stage::Answer).await;
        let gate = world.stripe.gate(create(), Stage::Arrival);
        let canceling = Arc::clone(&world);
        let dying = tokio::spawn(async move { canceling.cancel("A-1").await });
        gate.arrived(1).await;
        die(dying, gate).await;
        let answer = match live {
            0 => world.cancel("A-1").await,
            _ => world.post(&replaced("A-1", "60.00")).await,
        };
        assert!(matches!(answer.status, 200 | 201), "{:#}", answer.body);
        assert_eq!(intents(&world), (1 + live, live));
    }
}

#[tokio::test]
async fn the_tenth_declined_try_ends_the_attempt_and_a_repeated_event_counts_once() {
    let open = Open::before(Cancel, "automatic").await;
    let world = &open.world;
    for _ in 0..9 {
        open.decline();
        open.deliver(&world.last_event()).await;
        open.deliver(&world.last_event()).await;
    }
    world.deliver_all().await;
    open.must_stand("DECLINED").await;
    open.link_leads_to("open").await;
    open.decline();
    open.deliver(&world.last_event()).await;
    let record = world.status(CONVERSATION, Some("A-1")).await;
    record.must_be(200, "reason_code", "too_many_declines");
    assert_eq!(open.at_stripe(), "canceled");
    open.link_leads_to("canceled").await;
    world.attribute_must_be("payment_status", "CANCELED");
    // The next attempt has ten tries of its own.
    let next = world.post(&order("A-1")).await;
    open.must_be_followed_by(&next);
    assert_eq!(next.text("reason_code"), "");
    let declined = world.post_token("A-1", DECLINED).await;
    declined.must_be(200, "payment_status", "DECLINED");
    world.deliver_all().await;
    let paid = world.post_token("A-1", VISA).await;
    paid.must_be(200, "payment_status", "CONFIRMED");
}

#[tokio::test]
async fn a_declined_try_counts_though_the_record_knows_something_newer_or_of_the_same_second() {
    let open = Open::before(Cancel, "automatic").await;
    let world = &open.world;
    for number in 0..10 {
        open.decline();
        let event = world.last_event();
        if number % 2 == 0 {
            // The page has asked meanwhile, a second later.
            world.advance(2);
            open.link_leads_to("open").await;
        } else {
            // Another event of the same second says something else.
            world
                .stripe
                .add_payment_method("pm_other", Outcome::decline("lost_card"));
            let _ = world.stripe.pay(&open.intent, "pm_other");
            let mut same = world.last_event();
            same["created"] = event["created"].clone();
            world.deliver(&same).await;
        }
        world.deliver(&event).await;
        world.deliver(&event).await;
        if open.at_stripe() == "canceled" {
            assert_eq!(number, 6, "three tries of the two in a round count twice");
            break;
        }
    }
    world
        .order_must_be("A-1", "reason_code", "too_many_declines")
        .await;
}

/// Found by the model: nothing had ended, and nobody could pay any more.
#[tokio::test]
async fn a_try_that_fails_while_stripe_refuses_to_cancel_it_keeps_no_attempt_from_its_end() {
    let open = Open::before(Cancel, "automatic").await;
    let world = &open.world;
    world.stripe.add_payment_method(SLOW, Outcome::Process);
    let (ending, gate) = open.hold(Cancel, cancel(), Stage::Arrival).await;
    world.stripe.pay(&open.intent, SLOW).unwrap();
    let looking = world.stripe.gate(fetch(), Stage::Arrival);
    gate.open();
    looking.arrived(1).await;
    world.stripe.finish_processing(&open.intent, false).unwrap();
    looking.open();
    ending
        .await
        .unwrap()
        .must_be(200, "payment_status", "CANCELED");
}

#[tokio::test]
async fn an_attempt_that_is_being_ended_gives_no_session() {
    for end in ENDS {
        for on in [fetch(), cancel()] {
            let open = Open::before(end, "automatic").await;
            let (ending, gate) = open.hold(end, on, Stage::Arrival).await;
            open.link_leads_to("processing").await;
            gate.open();
            assert!(matches!(ending.await.unwrap().status, 200 | 201));
            open.link_leads_to("canceled").await;
        }
    }
    // Nor does a session that was at Stripe when the end was written.
    let open = Open::before(Cancel, "automatic").await;
    let fetching = open.world.stripe.gate(fetch(), Stage::Arrival);
    let (world, link) = (Arc::clone(&open.world), open.link.clone());
    let visiting = tokio::spawn(async move { world.open_link(&link).await });
    fetching.arrived(1).await;
    let canceling = open.world.stripe.gate(cancel(), Stage::Arrival);
    let world = Arc::clone(&open.world);
    let canceled = tokio::spawn(async move { world.cancel("A-1").await });
    fetching.arrived(2).await;
    fetching.open();
    let visit = visiting.await.unwrap();
    assert_eq!(visit.body, json!({ "state": "processing" }));
    canceling.open();
    let canceled = canceled.await.unwrap();
    canceled.must_be(200, "payment_status", "CANCELED");
}

#[tokio::test]
async fn an_authorization_made_while_its_attempt_ends_is_canceled_and_counted() {
    for (end, reason, status) in [
        (Cancel, "canceled", "CANCELED"),
        (TooManyDeclines, "too_many_declines", "CANCELED"),
        (Replace, "replaced", "PENDING"),
    ] {
        let open = Open::before(end, "manual").await;
        let (ending, gate) = open.hold(end, cancel(), Stage::Arrival).await;
        open.pay(VISA);
        assert_eq!(open.at_stripe(), "requires_capture");
        let authorized = open.world.last_event();
        gate.open();
        assert!(matches!(ending.await.unwrap().status, 200 | 201));
        assert_eq!(open.at_stripe(), "canceled");
        open.deliver(&authorized).await;
        open.must_stand(status).await;
        let is_of_it = |line: &Value| line["AuthorizationsLost"] == 1 && line["Outcome"] == reason;
        let logged = tests::logged();
        let lines = logged
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        assert_eq!(lines.filter(is_of_it).count(), 1, "{reason}");
    }
}
