//! What is learned of an intent, and what it means for the payment.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::ending::EndReason;
use super::ids::{Correlation, IntentId};
use super::money::Money;
use super::payment::{CaptureMethod, KnownIntent, Payment, PaymentStatus, Stage};
use super::time::UnixMillis;

/// Stripe's `PaymentIntent.status`, written as Stripe does.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StripeStatus {
    /// Needs a payment method, the first or another.
    RequiresPaymentMethod,
    /// Needs to be confirmed.
    RequiresConfirmation,
    /// The payer must act, as for 3-D Secure.
    RequiresAction,
    /// Under way.
    Processing,
    /// Authorized.
    RequiresCapture,
    /// Paid. Stripe never leaves it.
    Succeeded,
    /// Canceled. Stripe never leaves it.
    Canceled,
}

impl StripeStatus {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Canceled)
    }
}

/// What Stripe says of an intent at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// `pi_…`
    pub id: IntentId,
    /// What it asks for.
    pub money: Money,
    /// What was taken so far, in minor units.
    pub amount_received: u64,
    /// Where it stands.
    pub status: StripeStatus,
    /// The decline code of the last try, or its error code where Stripe gives no decline code.
    pub last_error: Option<String>,
    /// When it was made, in Unix seconds on Stripe's clock.
    pub created: u64,
    /// Our metadata, where it is ours and whole.
    pub correlation: Option<Correlation>,
}

impl Intent {
    /// Stripe's status and last error as a payment status.
    pub fn payment_status(&self) -> PaymentStatus {
        payment_status(self.status, self.last_error.as_deref())
    }

    /// Why the last try was declined, while it is: the intent remembers it longer.
    fn decline_code(&self) -> Option<String> {
        match self.payment_status() {
            PaymentStatus::Declined => self.last_error.clone(),
            _ => None,
        }
    }
}

/// Stripe's status of an intent and the code of its last failed try as a payment status.
pub(super) fn payment_status(status: StripeStatus, last_error: Option<&str>) -> PaymentStatus {
    match status {
        StripeStatus::RequiresPaymentMethod if last_error.is_some() => PaymentStatus::Declined,
        StripeStatus::RequiresPaymentMethod
        | StripeStatus::RequiresConfirmation
        | StripeStatus::RequiresAction => PaymentStatus::Pending,
        StripeStatus::Processing => PaymentStatus::Processing,
        StripeStatus::RequiresCapture => PaymentStatus::Authorized,
        StripeStatus::Succeeded => PaymentStatus::Confirmed,
        StripeStatus::Canceled => PaymentStatus::Canceled,
    }
}

/// The span of Stripe's clock, in Unix seconds, within which a state was true. An event's is one
/// second wide; an answer to a request spans the time the request took, for it may have been read
/// at any moment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AsOf {
    /// Events before this second are older.
    pub from: u64,
    /// Events after this second are newer.
    pub until: u64,
}

impl AsOf {
    /// One second: what an event's `created` tells.
    pub fn second(second: u64) -> Self {
        Self {
            from: second,
            until: second,
        }
    }
}

/// How an observation came to us, which decides how it is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A webhook event: late, early, repeated or out of order; ordered by its second.
    Event,
    /// An answer to a request that was sent after the record was read: newer than the record.
    Fetched,
}

/// Something learned of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    /// What Stripe said.
    pub intent: Intent,
    /// When it was true.
    pub as_of: AsOf,
    /// How it came.
    pub source: Source,
    /// `evt_…` of the event it came with. An answer to a request has one if an event was the
    /// reason to ask, and told of a declined try.
    pub event_id: Option<String>,
}

impl Observation {
    /// The event that told of a declined try, if one did.
    pub fn declined_event(&self) -> Option<&str> {
        let is_decline = self.source == Source::Fetched
            || self.intent.payment_status() == PaymentStatus::Declined;
        self.event_id.as_deref().filter(|_| is_decline)
    }
}

/// What an observation means for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record's next state.
    Apply(Box<Payment>),
    /// Nothing to write.
    NoChange(NoChange),
    /// An event of the same second says something else: only Stripe knows which came last.
    AskStripe,
    /// It contradicts the record. Never applied.
    Disagree(Disagreement),
}

/// Why an observation changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum NoChange {
    /// The record says so already.
    Repeated,
    /// The record knows something newer.
    Older,
    /// The record is final.
    Final,
    /// It is about an intent that a new attempt has replaced.
    EarlierAttempt,
}

impl NoChange {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How an observation contradicts the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Disagreement {
    /// Another intent than the record's for the same attempt.
    Intent,
    /// An attempt the record has not begun.
    Attempt,
    /// Another amount; more received than asked for; or less, though capture is automatic.
    Amount,
    /// Another currency.
    Currency,
}

impl Payment {
    /// What an observation means for this payment. Pure: the same record and observation give the
    /// same verdict.
    ///
    /// A final status is never left. Stripe leaves neither `succeeded` nor `canceled`, so those
    /// apply whatever their second; among the rest the newer wins, and a tie is Stripe's to break.
    ///
    /// A declined try counts whether or not the record knows something newer.
    pub fn observe(&self, seen: &Observation, now: UnixMillis) -> Verdict {
        match self.judge(seen, now) {
            Verdict::Apply(next) => {
                let counted = next.decline_counted(seen).map(|counted| Self {
                    version: next.version,
                    ..counted
                });
                Verdict::Apply(counted.map_or(next, Box::new))
            }
            // mutant: old-declines
            Verdict::NoChange(why @ (NoChange::Older | NoChange::Repeated)) => {
                let counted = self.decline_counted(seen).map(Box::new);
                counted.map_or(Verdict::NoChange(why), Verdict::Apply)
            }
            verdict => verdict,
        }
    }

    fn judge(&self, seen: &Observation, now: UnixMillis) -> Verdict {
        let intent = &seen.intent;
        let correlation = intent.correlation.as_ref();
        match correlation.map(|named| named.attempt.cmp(&self.correlation.attempt)) {
            Some(Ordering::Less) => return Verdict::NoChange(NoChange::EarlierAttempt),
            Some(Ordering::Greater) => return Verdict::Disagree(Disagreement::Attempt),
            Some(Ordering::Equal) | None => {}
        }
        let is_another = match self.intent_id() {
            Some(own) => *own != intent.id,
            // Metadata may be edited later; an intent is attached only if it names this very order.
            None => correlation.is_some_and(|named| *named != self.correlation),
        };
        if is_another {
            return Verdict::Disagree(Disagreement::Intent);
        }
        // What was canceled unpaid releases the order, whatever somebody made of its amount.
        // mutant: canceled-amount
        let is_released = intent.status == StripeStatus::Canceled && intent.amount_received == 0;
        if !is_released && intent.money.currency != self.money.currency {
            return Verdict::Disagree(Disagreement::Currency);
        }
        let is_other_amount = intent.money.amount_minor != self.money.amount_minor;
        if !is_released && (is_other_amount || !self.may_receive(intent)) {
            return Verdict::Disagree(Disagreement::Amount);
        }
        let status = self.status();
        // mutant: final-guard
        if status.is_final() {
            let same = intent.payment_status() == status;
            return Verdict::NoChange(if same {
                NoChange::Repeated
            } else {
                NoChange::Final
            });
        }
        let Stage::Known(known) = &self.stage else {
            return Verdict::Apply(Box::new(self.moved(seen, now)));
        };
        match recency(known, seen) {
            Recency::Newer => Verdict::Apply(Box::new(self.moved(seen, now))),
            Recency::Restated => Verdict::Apply(Box::new(self.restated_by(known, seen))),
            Recency::Same => Verdict::NoChange(NoChange::Repeated),
            Recency::Older => Verdict::NoChange(NoChange::Older),
            Recency::Unknown => Verdict::AskStripe,
        }
    }

    /// Whether Stripe may have received what it says: never more than was asked for and, once it
    /// has succeeded, all of it, or a part where somebody captures by hand.
    fn may_receive(&self, intent: &Intent) -> bool {
        let asked = self.money.amount_minor;
        let least = match (intent.status, self.capture_method) {
            // mutant: whole-amount
            (StripeStatus::Succeeded, CaptureMethod::Automatic) => asked,
            (StripeStatus::Succeeded, CaptureMethod::Manual) => 1,
            _ => 0,
        };
        (least..=asked).contains(&intent.amount_received)
    }

    /// Whether it is an authorization that was released with the payment's end before the record
    /// knew of it: nobody will hear of it but through this.
    pub fn lost_authorization(&self, seen: &Observation) -> Option<EndReason> {
        if seen.intent.status != StripeStatus::RequiresCapture {
            return None;
        }
        let attempt = seen.intent.correlation.as_ref().map(|named| named.attempt);
        match attempt {
            Some(before) if before + 1 == self.correlation.attempt => self.unauthorized_before,
            Some(other) if other != self.correlation.attempt => None,
            _ => self.unauthorized_end(),
        }
    }

    fn moved(&self, seen: &Observation, now: UnixMillis) -> Self {
        let intent = &seen.intent;
        let known = KnownIntent {
            id: intent.id.clone(),
            status: intent.status,
            // mutant: received
            amount_received: intent.amount_received,
            decline_code: intent.decline_code(),
            as_of: seen.as_of,
            last_event_id: match seen.source {
                Source::Event => seen.event_id.clone(),
                Source::Fetched => None,
            },
        };
        let mut next = self.at_stage(Stage::Known(known), now);
        let status = next.status();
        // mutant: end-lifted
        next.ending = next.ending.filter(|ending| ending.stands(status));
        next.was_authorized |= status == PaymentStatus::Authorized;
        next
    }

    /// The same state, as a new version. Another event of the same second says it too, so Stripe
    /// may have left that state and come back meanwhile: a state in between that somebody has read
    /// must not replace it.
    fn restated_by(&self, known: &KnownIntent, seen: &Observation) -> Self {
        let known = KnownIntent {
            last_event_id: seen.event_id.clone(),
            ..known.clone()
        };
        Self {
            version: self.version + 1,
            stage: Stage::Known(known),
            ..self.clone()
        }
    }
}

/// How an observation relates in time to what the record knows.
enum Recency {
    /// It came after.
    Newer,
    /// Another event of the known span that says the same.
    Restated,
    /// The very same.
    Same,
    /// It came before.
    Older,
    /// Within the known span, and it says something else.
    Unknown,
}

fn recency(known: &KnownIntent, seen: &Observation) -> Recency {
    let intent = &seen.intent;
    if intent.status.is_final() {
        return Recency::Newer;
    }
    let same = known.status == intent.status
        && known.amount_received == intent.amount_received
        && known.decline_code == intent.decline_code();
    let is_last_event = seen.event_id.is_none() || seen.event_id == known.last_event_id;
    match seen.source {
        Source::Fetched if same && seen.as_of.until <= known.as_of.until => Recency::Same,
        Source::Fetched => Recency::Newer,
        // mutant: event-order
        Source::Event if seen.as_of.from > known.as_of.until => Recency::Newer,
        Source::Event if seen.as_of.until < known.as_of.from => Recency::Older,
        Source::Event if same && is_last_event => Recency::Same,
        Source::Event if same => Recency::Restated,
        Source::Event => Recency::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ConversationId, OrderId, PaymentKey, PaymentUid};
    use crate::domain::money::Currency;
    use crate::domain::notice::DueNotice;
    use crate::domain::payment::Terms;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn usd(amount_minor: u64) -> Money {
        Money {
            amount_minor,
            currency: Currency::parse("usd").unwrap(),
        }
    }

    fn terms() -> Terms {
        Terms {
            capture_method: CaptureMethod::Automatic,
            ..Terms::default()
        }
    }

    fn begun() -> Payment {
        let conversation = ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").unwrap();
        let key = PaymentKey::new(conversation, OrderId::parse("A-1").unwrap());
        Payment::begin(
            &key,
            PaymentUid::from_bits([1; 16]),
            usd(5000),
            terms(),
            NOW,
        )
    }

    fn intent(status: StripeStatus, last_error: Option<&str>) -> Intent {
        Intent {
            id: IntentId::parse("pi_1").unwrap(),
            money: usd(5000),
            amount_received: if status == StripeStatus::Succeeded {
                5000
            } else {
                0
            },
            status,
            last_error: last_error.map(str::to_owned),
            created: 100,
            correlation: Some(begun().correlation),
        }
    }

    fn event(status: StripeStatus, last_error: Option<&str>, second: u64) -> Observation {
        let intent = intent(status, last_error);
        let event_id = Some(format!("evt_{second}_{status}_{last_error:?}"));
        Observation {
            intent,
            as_of: AsOf::second(second),
            source: Source::Event,
            event_id,
        }
    }

    fn apply(payment: &Payment, seen: &Observation) -> Payment {
        match payment.observe(seen, NOW) {
            Verdict::Apply(next) => *next,
            other => panic!("{other:?}"),
        }
    }

    fn declined_at(second: u64) -> Payment {
        let pending = apply(
            &begun(),
            &event(StripeStatus::RequiresPaymentMethod, None, 100),
        );
        apply(
            &pending,
            &event(
                StripeStatus::RequiresPaymentMethod,
                Some("generic_decline"),
                second,
            ),
        )
    }

    #[test]
    fn the_first_observation_adopts_the_intent_and_drops_the_terms() {
        let next = apply(
            &begun(),
            &event(StripeStatus::RequiresPaymentMethod, None, 100),
        );
        assert_eq!(next.status(), PaymentStatus::Pending);
        assert_eq!(next.intent_id().map(IntentId::as_str), Some("pi_1"));
        assert_eq!(next.terms(), None);
        assert_eq!(next.version, 2);
    }

    #[test]
    fn every_stripe_status_has_its_payment_status() {
        for (status, error, expected) in [
            (
                StripeStatus::RequiresPaymentMethod,
                None,
                PaymentStatus::Pending,
            ),
            (
                StripeStatus::RequiresPaymentMethod,
                Some("x"),
                PaymentStatus::Declined,
            ),
            (
                StripeStatus::RequiresConfirmation,
                None,
                PaymentStatus::Pending,
            ),
            (
                StripeStatus::RequiresAction,
                Some("x"),
                PaymentStatus::Pending,
            ),
            (StripeStatus::Processing, None, PaymentStatus::Processing),
            (
                StripeStatus::RequiresCapture,
                None,
                PaymentStatus::Authorized,
            ),
            (StripeStatus::Succeeded, None, PaymentStatus::Confirmed),
            (StripeStatus::Canceled, None, PaymentStatus::Canceled),
        ] {
            assert_eq!(intent(status, error).payment_status(), expected);
        }
    }

    #[test]
    fn newer_wins_older_changes_nothing_and_a_tie_is_stripe_s() {
        let declined = declined_at(110);
        let at = |second| declined.observe(&event(StripeStatus::Processing, None, second), NOW);
        assert!(matches!(at(111), Verdict::Apply(_)));
        assert_eq!(at(109), Verdict::NoChange(NoChange::Older));
        assert_eq!(at(110), Verdict::AskStripe);
        let again = event(
            StripeStatus::RequiresPaymentMethod,
            Some("generic_decline"),
            110,
        );
        assert_eq!(
            declined.observe(&again, NOW),
            Verdict::NoChange(NoChange::Repeated)
        );
        let other_reason = event(StripeStatus::RequiresPaymentMethod, Some("lost_card"), 110);
        assert_eq!(declined.observe(&other_reason, NOW), Verdict::AskStripe);
    }

    /// Found by the model: a refresh that had fetched what lay between wrote it over the later
    /// event's state.
    #[test]
    fn another_event_of_the_same_second_that_says_the_same_is_a_new_version() {
        let declined = declined_at(110);
        let mut once_more = event(
            StripeStatus::RequiresPaymentMethod,
            Some("generic_decline"),
            110,
        );
        once_more.event_id = Some("evt_another".to_owned());
        let as_of = |payment: &Payment| payment.intent().unwrap().as_of;
        let restated = apply(&declined, &once_more);
        assert_eq!(
            (restated.version, as_of(&restated)),
            (declined.version + 1, as_of(&declined))
        );
        assert_eq!(
            restated.observe(&once_more, NOW),
            Verdict::NoChange(NoChange::Repeated)
        );
    }

    #[test]
    fn a_newer_event_with_the_same_status_still_moves_the_clock() {
        let later = apply(
            &declined_at(110),
            &event(
                StripeStatus::RequiresPaymentMethod,
                Some("generic_decline"),
                120,
            ),
        );
        assert_eq!(
            later.observe(&event(StripeStatus::Processing, None, 115), NOW),
            Verdict::NoChange(NoChange::Older),
            "an event between the two must not win"
        );
    }

    #[test]
    fn success_applies_whatever_its_second_and_is_left_by_nothing() {
        let confirmed = apply(
            &declined_at(110),
            &event(StripeStatus::Succeeded, None, 105),
        );
        assert_eq!(confirmed.status(), PaymentStatus::Confirmed);
        assert_eq!(confirmed.reason_code(), None);
        for status in [
            StripeStatus::RequiresPaymentMethod,
            StripeStatus::Processing,
            StripeStatus::Canceled,
        ] {
            assert_eq!(
                confirmed.observe(&event(status, None, 999), NOW),
                Verdict::NoChange(NoChange::Final)
            );
        }
        let again = event(StripeStatus::Succeeded, None, 999);
        assert_eq!(
            confirmed.observe(&again, NOW),
            Verdict::NoChange(NoChange::Repeated)
        );
        assert_eq!(
            confirmed.next_attempt(&confirmed.holder, usd(1), terms(), NOW),
            None
        );
    }

    #[test]
    fn a_fetched_state_spans_the_time_its_request_took() {
        let mut seen = event(StripeStatus::RequiresAction, None, 0);
        seen.source = Source::Fetched;
        seen.as_of = AsOf {
            from: 118,
            until: 121,
        };
        let fetched = apply(&declined_at(110), &seen);
        let at = |second| fetched.observe(&event(StripeStatus::Processing, None, second), NOW);
        assert_eq!(at(117), Verdict::NoChange(NoChange::Older));
        assert_eq!(at(118), Verdict::AskStripe);
        assert_eq!(at(121), Verdict::AskStripe);
        assert!(matches!(at(122), Verdict::Apply(_)));
    }

    #[test]
    fn another_amount_currency_intent_or_attempt_is_never_applied() {
        let declined = declined_at(110);
        let disagreement = |change: fn(&mut Intent)| {
            let mut seen = event(StripeStatus::Succeeded, None, 120);
            change(&mut seen.intent);
            declined.observe(&seen, NOW)
        };
        assert_eq!(
            disagreement(|i| i.money.amount_minor = 4999),
            Verdict::Disagree(Disagreement::Amount)
        );
        assert_eq!(
            disagreement(|i| i.amount_received = 4999),
            Verdict::Disagree(Disagreement::Amount)
        );
        let eur = |i: &mut Intent| i.money.currency = Currency::parse("eur").unwrap();
        assert_eq!(disagreement(eur), Verdict::Disagree(Disagreement::Currency));
        assert_eq!(
            disagreement(|i| i.id = IntentId::parse("pi_2").unwrap()),
            Verdict::Disagree(Disagreement::Intent)
        );
        let ahead = |i: &mut Intent| i.correlation.as_mut().unwrap().attempt = 2;
        assert_eq!(
            disagreement(ahead),
            Verdict::Disagree(Disagreement::Attempt)
        );
    }

    #[test]
    fn under_manual_capture_a_part_may_be_received_and_the_record_says_how_much() {
        let terms = Terms {
            capture_method: CaptureMethod::Manual,
            ..terms()
        };
        let manual = Payment {
            capture_method: CaptureMethod::Manual,
            stage: Stage::Creating(terms),
            ..begun()
        };
        let authorized = apply(&manual, &event(StripeStatus::RequiresCapture, None, 100));
        assert_eq!(
            (authorized.capture_method, authorized.terms().is_none()),
            (CaptureMethod::Manual, true)
        );
        let received = |amount| {
            let mut seen = event(StripeStatus::Succeeded, None, 110);
            seen.intent.amount_received = amount;
            authorized.observe(&seen, NOW)
        };
        for amount in [1, 3000, 5000] {
            let Verdict::Apply(next) = received(amount) else {
                panic!("{amount}")
            };
            assert_eq!(
                (next.status(), next.amount_received()),
                (PaymentStatus::Confirmed, amount)
            );
        }
        for amount in [0, 5001, u64::MAX] {
            assert_eq!(
                received(amount),
                Verdict::Disagree(Disagreement::Amount),
                "{amount}"
            );
        }
        let mut over = event(StripeStatus::RequiresCapture, None, 120);
        over.intent.amount_received = 5001;
        assert_eq!(
            authorized.observe(&over, NOW),
            Verdict::Disagree(Disagreement::Amount)
        );
    }

    #[test]
    fn what_is_adopted_names_this_very_order() {
        let mut seen = event(StripeStatus::RequiresPaymentMethod, None, 100);
        seen.intent.correlation.as_mut().unwrap().order_id = OrderId::parse("A-2").unwrap();
        assert_eq!(
            begun().observe(&seen, NOW),
            Verdict::Disagree(Disagreement::Intent)
        );
        let adopted = apply(
            &begun(),
            &event(StripeStatus::RequiresPaymentMethod, None, 100),
        );
        seen.as_of = AsOf::second(110);
        seen.intent.status = StripeStatus::Processing;
        assert!(
            matches!(adopted.observe(&seen, NOW), Verdict::Apply(_)),
            "metadata may be edited later"
        );
    }

    #[test]
    fn only_a_new_attempt_leaves_canceled_and_events_of_the_old_intent_are_ignored_then() {
        let canceled = apply(&declined_at(110), &event(StripeStatus::Canceled, None, 120));
        let second = canceled
            .next_attempt(&canceled.holder, usd(700), terms(), NOW)
            .unwrap();
        assert_eq!(
            (second.correlation.attempt, second.status()),
            (2, PaymentStatus::Creating)
        );
        assert_eq!(second.intent_id(), None);
        let late = event(StripeStatus::Canceled, None, 120);
        assert_eq!(
            second.observe(&late, NOW),
            Verdict::NoChange(NoChange::EarlierAttempt)
        );
    }

    #[test]
    fn a_rejected_attempt_frees_the_order() {
        let rejected = begun().rejected("amount_too_small", NOW).unwrap();
        assert_eq!(rejected.status(), PaymentStatus::Canceled);
        assert_eq!(rejected.due_notice(), None, "no intent, nothing to tell");
        assert!(
            rejected
                .next_attempt(&rejected.holder, usd(5000), terms(), NOW)
                .is_some()
        );
        assert_eq!(declined_at(110).rejected("x", NOW), None);
    }

    #[test]
    fn only_an_intent_that_is_not_made_yet_goes_on_without_its_receipt() {
        let mut payment = begun();
        assert_eq!(
            payment.without_receipt(false, NOW),
            None,
            "there is no address"
        );
        let with = Terms {
            receipt_email: Some("jane@gmail.com".to_owned()),
            ..terms()
        };
        payment.stage = Stage::Creating(with.clone());
        let next = payment.without_receipt(true, NOW).unwrap();
        assert_eq!(
            next.terms(),
            Some(&Terms {
                receipt_email: None,
                first_key_spent: true,
                ..with
            })
        );
        assert_eq!(
            (next.version, next.status()),
            (payment.version + 1, PaymentStatus::Creating)
        );
        assert_eq!(
            next.without_receipt(false, NOW),
            None,
            "a key that is spent stays so"
        );
        assert_eq!(declined_at(110).without_receipt(false, NOW), None);
    }

    #[test]
    fn genesys_is_due_what_it_has_not_accepted_for_this_very_intent() {
        let mut payment = declined_at(110);
        let Some(DueNotice::State(due)) = payment.due_notice() else {
            panic!("{:?}", payment.due_notice())
        };
        assert_eq!(due.status, PaymentStatus::Declined);
        payment.notified = Some(due);
        assert_eq!(payment.due_notice(), None);
        payment.notified.as_mut().unwrap().intent_id = IntentId::parse("pi_0").unwrap();
        assert!(payment.due_notice().is_some());
    }

    #[test]
    fn a_payment_that_moves_is_told_to_its_new_holder_and_then_once_to_the_one_before() {
        let [one, two] = [1, 2].map(|n| {
            ConversationId::parse(&format!("0000000{n}-8a51-4c0e-9b7a-2f6d0c1e4b5a")).unwrap()
        });
        let told = |mut payment: Payment| match payment.due_notice().unwrap() {
            DueNotice::State(notice) => {
                let conversation_id = notice.conversation_id.clone();
                payment.notified = Some(notice);
                (payment, conversation_id)
            }
            due @ DueNotice::Moved(_) => {
                payment.moved_told = Some(due.conversation_id().clone());
                let attributes = due.attributes(&payment);
                assert_eq!(
                    attributes,
                    [("payment_progress", "moved".to_owned())].into()
                );
                (payment, due.conversation_id().clone())
            }
        };
        let first = declined_at(110);
        let holder = first.holder.clone();
        assert_eq!(first.held_by(&holder), None);
        let (payment, heard) = told(first.held_by(&one).unwrap());
        assert_eq!(heard, one);
        let (payment, heard) = told(payment);
        assert_eq!((heard, payment.due_notice()), (holder.clone(), None));
        // On, and back to a conversation that has been told that it is over.
        let (payment, heard) = told(payment.held_by(&two).unwrap());
        assert_eq!(heard, two);
        let payment = payment.held_by(&holder).unwrap().held_by(&one).unwrap();
        let (payment, heard) = told(payment);
        assert_eq!(heard, one);
        let (payment, heard) = told(payment);
        assert_eq!((heard, payment.due_notice()), (holder, None));
    }

    #[test]
    fn a_create_key_is_relied_on_for_twenty_hours() {
        let payment = begun();
        assert!(!payment.create_window_is_over(UnixMillis(NOW.0 + 71_999_999)));
        assert!(payment.create_window_is_over(UnixMillis(NOW.0 + 72_000_000)));
        assert!(
            !payment.create_window_is_over(UnixMillis(0)),
            "a clock set back opens no window"
        );
    }

    #[test]
    fn search_is_believed_an_hour_after_the_last_moment_at_which_the_intent_can_have_been_made() {
        let payment = begun();
        assert!(!payment.search_has_caught_up(UnixMillis(NOW.0 + 21 * 3_600_000 - 1)));
        assert!(payment.search_has_caught_up(UnixMillis(NOW.0 + 21 * 3_600_000)));
        assert!(!payment.search_has_caught_up(UnixMillis(0)));
    }
}
