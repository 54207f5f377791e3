//! The payment of one order, and what moves it.
//!
//! Knows no AWS, no HTTP and no clock. Everything that is learned of an intent, from a webhook, an
//! answer or a refresh, becomes an [`Observation`](super::observation::Observation) and goes
//! through [`Payment::observe`]; nothing else changes a payment's stage but [`Payment::rejected`]
//! and [`Payment::next_attempt`].

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::ending::{EndReason, Ending};
use super::ids::{ConversationId, Correlation, IntentId, PaymentKey, PaymentUid};
use super::money::Money;
use super::notice::Notice;
use super::observation::{AsOf, StripeStatus, payment_status};
use super::time::UnixMillis;

/// How long an idempotency key is relied on. Stripe keeps keys for at least 24 h; a record still
/// `CREATING` after this is never posted again.
// mutant: key-window
pub const CREATE_WINDOW: Duration = Duration::from_secs(20 * 3600);

/// How far the index of Stripe's search may lag. It is less than a minute as a rule, and more
/// during an outage.
const SEARCH_LAG: Duration = Duration::from_secs(3600);

/// What a flow branches on; written as in replies, records and Genesys attributes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, strum::Display,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PaymentStatus {
    /// Recorded before Stripe was asked; no intent is known yet.
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
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether nothing but a new attempt follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Canceled)
    }
}

/// Whether Stripe takes the money at once or only authorizes it; written as Stripe does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum CaptureMethod {
    #[default]
    Automatic,
    /// Authorize; somebody captures later.
    Manual,
}

impl CaptureMethod {
    pub fn as_str(self) -> &'static str {
        self.into()
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

/// How far the current attempt has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Recorded before Stripe was asked, with what the create call needs.
    Creating(Terms),
    /// Stripe made no intent for the attempt and makes none any more.
    Refused {
        /// Stripe's error code, or one of ours.
        reason_code: String,
    },
    /// The intent is known.
    Known(KnownIntent),
}

/// The attempt's intent as the record knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownIntent {
    pub id: IntentId,
    /// Stripe's own word for where it stands.
    pub status: StripeStatus,
    /// What was received so far, in minor units.
    pub amount_received: u64,
    /// Why the last try was declined, while it is.
    pub decline_code: Option<String>,
    /// When that was true at Stripe.
    pub as_of: AsOf,
    /// The event that was applied last, to tell a repeated delivery from another event that says
    /// the same.
    pub last_event_id: Option<String>,
}

/// The record of one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    /// The current attempt.
    pub correlation: Correlation,
    /// The conversation that asked for the payment last, which hears of it.
    pub holder: ConversationId,
    /// The holder before, which hears that the payment has moved on.
    pub former_holder: Option<ConversationId>,
    /// Which conversation was told so and accepted it.
    pub moved_told: Option<ConversationId>,
    /// Grows by one with every write of the state, and with every write of what Genesys was asked
    /// to accept or has accepted. A write of the state names the version that it replaces.
    pub version: u64,
    /// What is being paid.
    pub money: Money,
    /// When the money is taken. Under manual capture, less than was asked for may be received.
    pub capture_method: CaptureMethod,
    /// Where the current attempt stands.
    pub stage: Stage,
    /// Whether the current attempt is to end before it is paid, or has ended so.
    pub ending: Option<Ending>,
    /// The events that told of its declined tries, up to
    /// [`MAX_DECLINES`](super::ending::MAX_DECLINES).
    pub declines: Vec<String>,
    /// Whether it was ever known to be authorized.
    pub was_authorized: bool,
    /// Why the attempt before it ended, if that was not known to be authorized.
    pub unauthorized_before: Option<EndReason>,
    /// When the payer first visited a pay link of the current attempt.
    pub visited_at: Option<UnixMillis>,
    /// What Genesys has accepted; nothing while Genesys is being told.
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

impl Payment {
    /// The record to write before Stripe is asked for the first time.
    pub fn begin(
        key: &PaymentKey,
        payment_uid: PaymentUid,
        money: Money,
        terms: Terms,
        now: UnixMillis,
    ) -> Self {
        Self {
            correlation: key.attempt(payment_uid, 1),
            holder: key.conversation_id().clone(),
            former_holder: None,
            moved_told: None,
            version: 1,
            money,
            capture_method: terms.capture_method,
            stage: Stage::Creating(terms),
            ending: None,
            declines: Vec::new(),
            was_authorized: false,
            unauthorized_before: None,
            visited_at: None,
            notified: None,
            created_at: now,
            attempt_started_at: now,
            updated_at: now,
            refreshed_at: None,
        }
    }

    /// The record to write before Stripe is asked for an intent in place of a canceled one, which
    /// this conversation asks for. `None` unless this one is `CANCELED`.
    pub fn next_attempt(
        &self,
        conversation_id: &ConversationId,
        money: Money,
        terms: Terms,
        now: UnixMillis,
    ) -> Option<Self> {
        if self.status() != PaymentStatus::Canceled {
            return None;
        }
        let attempt = self.correlation.attempt.checked_add(1)?;
        Some(Self {
            correlation: Correlation {
                conversation_id: conversation_id.clone(),
                attempt,
                ..self.correlation.clone()
            },
            money,
            capture_method: terms.capture_method,
            ending: None,
            declines: Vec::new(),
            was_authorized: false,
            unauthorized_before: self.unauthorized_end(),
            visited_at: None,
            attempt_started_at: now,
            ..self.at_stage(Stage::Creating(terms), now)
        })
    }

    /// The record once it is certain that the attempt has no intent and gets none, as when Stripe
    /// has refused for good to make it: the attempt is over and the order free for a new one,
    /// perhaps with another amount. `None` unless this one is `CREATING`.
    pub fn rejected(&self, reason_code: &str, now: UnixMillis) -> Option<Self> {
        self.terms()?;
        let reason_code = reason_code.to_owned();
        Some(self.at_stage(Stage::Refused { reason_code }, now))
    }

    /// The record once Stripe has refused the address for the receipt: the intent is made without
    /// one. `None` unless this one is `CREATING` and has an address.
    pub fn without_receipt(&self, first_key_spent: bool, now: UnixMillis) -> Option<Self> {
        let terms = self.terms().filter(|terms| terms.receipt_email.is_some())?;
        let terms = Terms {
            receipt_email: None,
            first_key_spent,
            ..terms.clone()
        };
        Some(self.at_stage(Stage::Creating(terms), now))
    }

    /// The record once the payer has visited a pay link, for the agent to see. `None` if that is
    /// known, or if there is nothing to pay any more.
    pub fn visited(&self, now: UnixMillis) -> Option<Self> {
        // mutant: visit-version
        (self.visited_at.is_none() && self.is_payable()).then(|| Self {
            version: self.version + 1,
            visited_at: Some(now),
            ..self.clone()
        })
    }

    /// The record once this conversation is the holder. `None` if it is.
    pub fn held_by(&self, conversation_id: &ConversationId) -> Option<Self> {
        let mut next = Self {
            version: self.version + 1,
            ..self.clone()
        };
        next.hold(conversation_id);
        (self.holder != *conversation_id).then_some(next)
    }

    /// Makes this conversation the holder. The one before hears that, and nothing else any more.
    pub(crate) fn hold(&mut self, conversation_id: &ConversationId) {
        if self.holder != *conversation_id {
            // mutant: moved-due
            self.moved_told = None;
            let before = std::mem::replace(&mut self.holder, conversation_id.clone());
            self.former_holder = Some(before);
        }
    }

    /// The next version, at another stage.
    pub(super) fn at_stage(&self, stage: Stage, now: UnixMillis) -> Self {
        Self {
            version: self.version + 1,
            stage,
            updated_at: now,
            ..self.clone()
        }
    }

    pub fn key(&self) -> PaymentKey {
        self.correlation.key()
    }

    /// Where it stands.
    pub fn status(&self) -> PaymentStatus {
        match &self.stage {
            Stage::Creating(_) => PaymentStatus::Creating,
            Stage::Refused { .. } => PaymentStatus::Canceled,
            Stage::Known(known) => payment_status(known.status, known.decline_code.as_deref()),
        }
    }

    /// What the create call needs, while it is due.
    pub fn terms(&self) -> Option<&Terms> {
        match &self.stage {
            Stage::Creating(terms) => Some(terms),
            _ => None,
        }
    }

    /// The current attempt's intent, once it is known.
    pub fn intent(&self) -> Option<&KnownIntent> {
        match &self.stage {
            Stage::Known(known) => Some(known),
            _ => None,
        }
    }

    pub fn intent_id(&self) -> Option<&IntentId> {
        self.intent().map(|known| &known.id)
    }

    /// What was received so far, in minor units.
    pub fn amount_received(&self) -> u64 {
        self.intent().map_or(0, |known| known.amount_received)
    }

    /// Why it was declined, refused or canceled.
    pub fn reason_code(&self) -> Option<&str> {
        match &self.stage {
            Stage::Creating(_) => None,
            Stage::Refused { reason_code } => Some(reason_code),
            Stage::Known(known) if known.status == StripeStatus::Canceled => {
                self.ending?.reason.reason_code()
            }
            Stage::Known(known) => known.decline_code.as_deref(),
        }
    }

    /// Whether its intent waits for the payer. While it is to end, nobody is let to it.
    pub fn is_payable(&self) -> bool {
        matches!(
            self.status(),
            PaymentStatus::Pending | PaymentStatus::Declined
        )
    }

    /// Whether the idempotency key of a `CREATING` record is too old to be relied on.
    pub fn create_window_is_over(&self, now: UnixMillis) -> bool {
        now.since(self.attempt_started_at) >= CREATE_WINDOW
    }

    /// Whether an intent that Stripe's search does not find does not exist: the last moment at
    /// which it can have been made lies further back than the index ever lags.
    pub fn search_has_caught_up(&self, now: UnixMillis) -> bool {
        now.since(self.attempt_started_at) >= CREATE_WINDOW + SEARCH_LAG
    }
}
