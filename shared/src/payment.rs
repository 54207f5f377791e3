//! The payment: one order in one conversation, and the one function that moves it.
//!
//! Knows no AWS, no HTTP and no clock. Everything that is learned of an intent, from a webhook, an
//! answer or a refresh, becomes an [`Observation`] and goes through [`Payment::observe`]; nothing
//! else changes a payment's status but [`Payment::rejected`] and [`Payment::next_attempt`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ConversationId, Correlation, IntentId, OrderId};
use crate::money::Money;
use crate::time::UnixMillis;

/// How long an idempotency key is relied on. Stripe keeps keys for at least 24 h; a record still
/// `CREATING` after this is never posted again.
pub const CREATE_WINDOW: Duration = Duration::from_secs(20 * 3600);

/// How far the index of Stripe's search may lag. It is less than a minute as a rule, and more
/// during an outage.
const SEARCH_LAG: Duration = Duration::from_secs(3600);

/// What a flow branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentStatus {
    /// Written down before Stripe was asked; no intent is known yet.
    Creating,
    /// The intent waits for the payer.
    Pending,
    /// Stripe is working on it.
    Processing,
    /// The card is authorized, the money not yet captured.
    Authorized,
    /// Stripe has the money. Final.
    Confirmed,
    /// The last try was declined; the payer may try another card on the same intent.
    Declined,
    /// The intent is canceled, or Stripe refused to make one. Final for this attempt.
    Canceled,
}

impl PaymentStatus {
    /// As written in replies, records and Genesys attributes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Authorized => "AUTHORIZED",
            Self::Confirmed => "CONFIRMED",
            Self::Declined => "DECLINED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether nothing but a new attempt follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Canceled)
    }
}

impl fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Stripe's `PaymentIntent.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// As Stripe writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Canceled)
    }
}

impl fmt::Display for StripeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether Stripe takes the money at once or only authorizes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureMethod {
    /// Take it at once.
    #[default]
    Automatic,
    /// Authorize; somebody captures later.
    Manual,
}

impl CaptureMethod {
    /// As Stripe writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Manual => "manual",
        }
    }
}

/// What the create call says besides amount and correlation. Kept on the record while `CREATING`,
/// so that a retry on another machine sends Stripe the very same bytes; dropped once the intent is
/// known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Shown in Stripe's dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where Stripe sends its receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_email: Option<String>,
    /// Whether Stripe keeps a refusal under the attempt's first idempotency key, so that the intent
    /// needs the second.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_key_spent: bool,
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
    #[must_use]
    pub fn payment_status(&self) -> PaymentStatus {
        match self.status {
            StripeStatus::RequiresPaymentMethod if self.last_error.is_some() => {
                PaymentStatus::Declined
            }
            StripeStatus::RequiresPaymentMethod
            | StripeStatus::RequiresConfirmation
            | StripeStatus::RequiresAction => PaymentStatus::Pending,
            StripeStatus::Processing => PaymentStatus::Processing,
            StripeStatus::RequiresCapture => PaymentStatus::Authorized,
            StripeStatus::Succeeded => PaymentStatus::Confirmed,
            StripeStatus::Canceled => PaymentStatus::Canceled,
        }
    }

    fn reason_code(&self) -> Option<String> {
        match self.payment_status() {
            PaymentStatus::Declined => self.last_error.clone(),
            _ => None,
        }
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
    #[must_use]
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
    /// `evt_…` of the event it came with.
    pub event_id: Option<String>,
}

/// What was told to Genesys, and accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// The intent it was about.
    pub intent_id: IntentId,
    /// The status it told.
    pub status: PaymentStatus,
    /// Whether it told that the payer has opened the pay link; only told while the status is
    /// [`PaymentStatus::Pending`].
    pub opened: bool,
}

impl Notice {
    /// `payment_progress` of the agent's screen: `link_opened`, or the status in lower case.
    #[must_use]
    pub fn progress(&self) -> String {
        if self.opened {
            "link_opened".to_owned()
        } else {
            self.status.as_str().to_lowercase()
        }
    }
}

/// The record: one order in one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Conversation, order and the number of the current attempt.
    pub correlation: Correlation,
    /// Counts the writes of the record's state, and of what Genesys accepts before and after it is
    /// told; every write of the state names the version it replaces.
    pub version: u64,
    /// What is being paid.
    pub money: Money,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What the create call needs, while it is due.
    pub terms: Option<Terms>,
    /// When the money is taken. Outlives the terms: under manual capture, less than was asked for
    /// may be received.
    pub capture_method: CaptureMethod,
    /// The current attempt's intent, once it is known.
    pub intent_id: Option<IntentId>,
    /// Stripe's own word for the status.
    pub stripe_status: Option<StripeStatus>,
    /// What was received so far, in minor units.
    pub amount_received: u64,
    /// Why it was declined or refused.
    pub reason_code: Option<String>,
    /// When the status was true at Stripe.
    pub as_of: Option<AsOf>,
    /// The event that was applied last, to tell a repeated delivery from another event that says
    /// the same.
    pub last_event_id: Option<String>,
    /// When the payer first opened a pay link of the current attempt.
    pub opened_at: Option<UnixMillis>,
    /// What Genesys has accepted (`notified_status` and its intent); nothing while it is being
    /// told.
    pub notified: Option<Notice>,
    /// When the order was first seen.
    pub created_at: UnixMillis,
    /// When the current attempt began: the age of its idempotency key.
    pub attempt_started_at: UnixMillis,
    /// When the state last changed.
    pub updated_at: UnixMillis,
    /// When Stripe was last asked for a stale record.
    pub refreshed_at: Option<UnixMillis>,
}

/// What an observation means for a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record's next state.
    Apply(Box<Payment>),
    /// Nothing to write.
    Keep(Keep),
    /// An event of the same second says something else: only Stripe knows which came last.
    AskStripe,
    /// It contradicts the record. Never applied.
    Disagree(Disagreement),
}

/// Why an observation changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The record says so already.
    Repeated,
    /// The record knows something newer.
    Older,
    /// The record is final.
    Final,
    /// It is about an intent that a new attempt has replaced.
    EarlierAttempt,
}

impl Keep {
    /// For logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repeated => "repeated",
            Self::Older => "older",
            Self::Final => "final",
            Self::EarlierAttempt => "earlier_attempt",
        }
    }
}

/// How an observation contradicts the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Disagreement {
    /// Another intent than the record's for the same attempt.
    #[error("intent")]
    Intent,
    /// An attempt the record has not begun.
    #[error("attempt")]
    Attempt,
    /// Another amount; more received than asked for; or less, though capture is automatic.
    #[error("amount")]
    Amount,
    /// Another currency.
    #[error("currency")]
    Currency,
}

impl Payment {
    /// The record to write before Stripe is asked for the first time.
    #[must_use]
    pub fn begin(
        conversation_id: ConversationId,
        order_id: OrderId,
        money: Money,
        terms: Terms,
        now: UnixMillis,
    ) -> Self {
        Self {
            correlation: Correlation {
                conversation_id,
                order_id,
                attempt: 1,
            },
            version: 1,
            money,
            status: PaymentStatus::Creating,
            capture_method: terms.capture_method,
            terms: Some(terms),
            intent_id: None,
            stripe_status: None,
            amount_received: 0,
            reason_code: None,
            as_of: None,
            last_event_id: None,
            opened_at: None,
            notified: None,
            created_at: now,
            attempt_started_at: now,
            updated_at: now,
            refreshed_at: None,
        }
    }

    /// The record to write before Stripe is asked for an intent in place of a canceled one. `None`
    /// unless this one is `CANCELED`.
    #[must_use]
    pub fn next_attempt(&self, money: Money, terms: Terms, now: UnixMillis) -> Option<Self> {
        if self.status != PaymentStatus::Canceled {
            return None;
        }
        Some(Self {
            correlation: Correlation {
                attempt: self.correlation.attempt.checked_add(1)?,
                ..self.correlation.clone()
            },
            version: self.version + 1,
            money,
            status: PaymentStatus::Creating,
            capture_method: terms.capture_method,
            terms: Some(terms),
            intent_id: None,
            stripe_status: None,
            amount_received: 0,
            reason_code: None,
            as_of: None,
            last_event_id: None,
            opened_at: None,
            attempt_started_at: now,
            updated_at: now,
            ..self.clone()
        })
    }

    /// The record once it is certain that the attempt has no intent and gets none, as when Stripe
    /// has refused for good to make it: the attempt is over and the order free for a new one,
    /// perhaps with another amount. `None` unless this one is `CREATING`.
    #[must_use]
    pub fn rejected(&self, reason_code: &str, now: UnixMillis) -> Option<Self> {
        (self.status == PaymentStatus::Creating).then(|| Self {
            version: self.version + 1,
            status: PaymentStatus::Canceled,
            terms: None,
            reason_code: Some(reason_code.to_owned()),
            updated_at: now,
            ..self.clone()
        })
    }

    /// The record once Stripe has refused the address for the receipt: the intent is made without
    /// one. `None` unless this one is `CREATING` and has an address.
    #[must_use]
    pub fn without_receipt(&self, first_key_spent: bool, now: UnixMillis) -> Option<Self> {
        let terms = self
            .terms
            .as_ref()
            .filter(|terms| terms.receipt_email.is_some())?;
        (self.status == PaymentStatus::Creating).then(|| Self {
            version: self.version + 1,
            terms: Some(Terms {
                receipt_email: None,
                first_key_spent,
                ..terms.clone()
            }),
            updated_at: now,
            ..self.clone()
        })
    }

    /// The record once the payer has opened a pay link, for the agent to see. `None` when that is
    /// known, or when there is nothing to pay any more.
    #[must_use]
    pub fn opened(&self, now: UnixMillis) -> Option<Self> {
        (self.opened_at.is_none() && self.is_payable()).then(|| Self {
            version: self.version + 1,
            opened_at: Some(now),
            ..self.clone()
        })
    }

    /// Whether the payer can pay it now.
    #[must_use]
    pub fn is_payable(&self) -> bool {
        matches!(
            self.status,
            PaymentStatus::Pending | PaymentStatus::Declined
        )
    }

    /// What an observation means for this payment. Pure: the same record and observation give the
    /// same verdict.
    ///
    /// A final status is never left. Stripe leaves neither `succeeded` nor `canceled`, so those
    /// apply whatever their second; among the rest the newer wins, and a tie is Stripe's to break.
    #[must_use]
    pub fn observe(&self, seen: &Observation, now: UnixMillis) -> Verdict {
        let intent = &seen.intent;
        if let Some(attempt) = intent.correlation.as_ref().map(|c| c.attempt) {
            match attempt.cmp(&self.correlation.attempt) {
                std::cmp::Ordering::Less => return Verdict::Keep(Keep::EarlierAttempt),
                std::cmp::Ordering::Greater => return Verdict::Disagree(Disagreement::Attempt),
                std::cmp::Ordering::Equal => {}
            }
        }
        let is_another = match &self.intent_id {
            Some(own) => *own != intent.id,
            // Metadata may be edited later; what is adopted must name this very order.
            None => intent
                .correlation
                .as_ref()
                .is_some_and(|named| *named != self.correlation),
        };
        if is_another {
            return Verdict::Disagree(Disagreement::Intent);
        }
        if intent.money.currency != self.money.currency {
            return Verdict::Disagree(Disagreement::Currency);
        }
        if intent.money.amount_minor != self.money.amount_minor || !self.may_receive(intent) {
            return Verdict::Disagree(Disagreement::Amount);
        }
        if self.status.is_final() {
            let same = intent.payment_status() == self.status;
            return Verdict::Keep(if same { Keep::Repeated } else { Keep::Final });
        }
        match self.order(seen) {
            Order::Newer => Verdict::Apply(Box::new(self.moved(seen, now))),
            Order::Confirming => Verdict::Apply(Box::new(self.confirmed_by(seen))),
            Order::Same => Verdict::Keep(Keep::Repeated),
            Order::Older => Verdict::Keep(Keep::Older),
            Order::Unknown => Verdict::AskStripe,
        }
    }

    /// Whether Stripe may have received what it says: never more than was asked for and, once it
    /// has succeeded, all of it, or a part where somebody captures by hand.
    fn may_receive(&self, intent: &Intent) -> bool {
        let asked = self.money.amount_minor;
        let least = match (intent.status, self.capture_method) {
            (StripeStatus::Succeeded, CaptureMethod::Automatic) => asked,
            (StripeStatus::Succeeded, CaptureMethod::Manual) => 1,
            _ => 0,
        };
        (least..=asked).contains(&intent.amount_received)
    }

    fn order(&self, seen: &Observation) -> Order {
        let Some(known) = self.as_of else {
            return Order::Newer;
        };
        if seen.intent.status.is_final() {
            return Order::Newer;
        }
        let same = self.stripe_status == Some(seen.intent.status)
            && self.status == seen.intent.payment_status()
            && self.amount_received == seen.intent.amount_received
            && self.reason_code == seen.intent.reason_code();
        match seen.source {
            Source::Fetched if same && seen.as_of.until <= known.until => Order::Same,
            Source::Fetched => Order::Newer,
            Source::Event if seen.as_of.from > known.until => Order::Newer,
            Source::Event if seen.as_of.until < known.from => Order::Older,
            Source::Event
                if same && (seen.event_id.is_none() || seen.event_id == self.last_event_id) =>
            {
                Order::Same
            }
            Source::Event if same => Order::Confirming,
            Source::Event => Order::Unknown,
        }
    }

    fn moved(&self, seen: &Observation, now: UnixMillis) -> Self {
        Self {
            version: self.version + 1,
            status: seen.intent.payment_status(),
            terms: None,
            intent_id: Some(seen.intent.id.clone()),
            stripe_status: Some(seen.intent.status),
            amount_received: seen.intent.amount_received,
            reason_code: seen.intent.reason_code(),
            as_of: Some(seen.as_of),
            last_event_id: seen.event_id.clone(),
            updated_at: now,
            ..self.clone()
        }
    }

    /// The same state, as a new version. Another event of the same second says it too, so Stripe
    /// may have left it and come back meanwhile; whoever still holds what lay between must not
    /// write it over this.
    fn confirmed_by(&self, seen: &Observation) -> Self {
        Self {
            version: self.version + 1,
            last_event_id: seen.event_id.clone(),
            ..self.clone()
        }
    }

    /// What Genesys is to hear and has not accepted yet.
    #[must_use]
    pub fn due_notice(&self) -> Option<Notice> {
        let opened = self.status == PaymentStatus::Pending && self.opened_at.is_some();
        let notice = Notice {
            intent_id: self.intent_id.clone()?,
            status: self.status,
            opened,
        };
        (self.notified.as_ref() != Some(&notice)).then_some(notice)
    }

    /// Whether the idempotency key of a `CREATING` record is too old to be relied on.
    #[must_use]
    pub fn create_window_is_over(&self, now: UnixMillis) -> bool {
        now.since(self.attempt_started_at) >= CREATE_WINDOW
    }

    /// Whether an intent that Stripe's search does not find does not exist: the last moment at
    /// which it can have been made lies further back than the index ever lags.
    #[must_use]
    pub fn search_has_caught_up(&self, now: UnixMillis) -> bool {
        now.since(self.attempt_started_at) >= CREATE_WINDOW + SEARCH_LAG
    }
}

/// How an observation lies to what the record knows.
enum Order {
    /// It came after.
    Newer,
    /// Another event of the known span that says the same.
    Confirming,
    /// The very same.
    Same,
    /// It came before.
    Older,
    /// Within the known span, and it says something else.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

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
        Payment::begin(
            conversation,
            OrderId::parse("A-1").unwrap(),
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
        assert_eq!(next.status, PaymentStatus::Pending);
        assert_eq!(next.intent_id.as_ref().map(IntentId::as_str), Some("pi_1"));
        assert_eq!(next.terms, None);
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
        assert_eq!(at(109), Verdict::Keep(Keep::Older));
        assert_eq!(at(110), Verdict::AskStripe);
        let again = event(
            StripeStatus::RequiresPaymentMethod,
            Some("generic_decline"),
            110,
        );
        assert_eq!(declined.observe(&again, NOW), Verdict::Keep(Keep::Repeated));
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
        let confirmed = apply(&declined, &once_more);
        assert_eq!(
            (confirmed.version, confirmed.as_of),
            (declined.version + 1, declined.as_of)
        );
        assert_eq!(
            confirmed.observe(&once_more, NOW),
            Verdict::Keep(Keep::Repeated)
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
            Verdict::Keep(Keep::Older),
            "an event between the two must not win"
        );
    }

    #[test]
    fn success_applies_whatever_its_second_and_is_left_by_nothing() {
        let confirmed = apply(
            &declined_at(110),
            &event(StripeStatus::Succeeded, None, 105),
        );
        assert_eq!(confirmed.status, PaymentStatus::Confirmed);
        assert_eq!(confirmed.reason_code, None);
        for status in [
            StripeStatus::RequiresPaymentMethod,
            StripeStatus::Processing,
            StripeStatus::Canceled,
        ] {
            assert_eq!(
                confirmed.observe(&event(status, None, 999), NOW),
                Verdict::Keep(Keep::Final)
            );
        }
        let again = event(StripeStatus::Succeeded, None, 999);
        assert_eq!(
            confirmed.observe(&again, NOW),
            Verdict::Keep(Keep::Repeated)
        );
        assert_eq!(confirmed.next_attempt(usd(1), terms(), NOW), None);
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
        assert_eq!(at(117), Verdict::Keep(Keep::Older));
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
            terms: Some(terms),
            ..begun()
        };
        let authorized = apply(&manual, &event(StripeStatus::RequiresCapture, None, 100));
        assert_eq!(
            (authorized.capture_method, authorized.terms.is_none()),
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
                (next.status, next.amount_received),
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
        let second = canceled.next_attempt(usd(700), terms(), NOW).unwrap();
        assert_eq!(
            (second.correlation.attempt, second.status),
            (2, PaymentStatus::Creating)
        );
        assert_eq!(second.intent_id, None);
        let late = event(StripeStatus::Canceled, None, 120);
        assert_eq!(
            second.observe(&late, NOW),
            Verdict::Keep(Keep::EarlierAttempt)
        );
    }

    #[test]
    fn a_rejected_attempt_frees_the_order() {
        let rejected = begun().rejected("amount_too_small", NOW).unwrap();
        assert_eq!(rejected.status, PaymentStatus::Canceled);
        assert_eq!(rejected.due_notice(), None, "no intent, nothing to tell");
        assert!(rejected.next_attempt(usd(5000), terms(), NOW).is_some());
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
        payment.terms = Some(with.clone());
        let next = payment.without_receipt(true, NOW).unwrap();
        assert_eq!(
            next.terms,
            Some(Terms {
                receipt_email: None,
                first_key_spent: true,
                ..with.clone()
            })
        );
        assert_eq!(
            (next.version, next.status),
            (payment.version + 1, PaymentStatus::Creating)
        );
        assert_eq!(
            next.without_receipt(false, NOW),
            None,
            "a key that is spent stays so"
        );
        let made = Payment {
            terms: Some(with),
            ..declined_at(110)
        };
        assert_eq!(made.without_receipt(false, NOW), None);
    }

    #[test]
    fn genesys_is_due_what_it_has_not_accepted_for_this_very_intent() {
        let mut payment = declined_at(110);
        let due = payment.due_notice().unwrap();
        assert_eq!(due.status, PaymentStatus::Declined);
        payment.notified = Some(due);
        assert_eq!(payment.due_notice(), None);
        payment.notified.as_mut().unwrap().intent_id = IntentId::parse("pi_0").unwrap();
        assert!(payment.due_notice().is_some());
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
