//! How an attempt ends before it is paid.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::observation::Observation;
use super::payment::{Payment, PaymentStatus};
use super::time::UnixMillis;

/// How many declined tries an attempt takes: whoever needs more is testing cards.
// mutant: decline-cap
pub const MAX_DECLINES: usize = 10;

/// How long a payer who is at the bank may still confirm, where the end can wait.
pub const BANK_GRACE: Duration = Duration::from_secs(600);

/// Why an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EndReason {
    /// Somebody asked for it.
    Canceled,
    /// The order has another amount now.
    Replaced,
    /// [`MAX_DECLINES`] tries were declined.
    TooManyDeclines,
}

impl EndReason {
    /// The reason code of the payment that ended so, where it has one.
    pub fn reason_code(self) -> Option<&'static str> {
        match self {
            Self::TooManyDeclines => Some(self.into()),
            Self::Canceled | Self::Replaced => None,
        }
    }
}

/// An end on record. It is written before Stripe is asked, so that nobody begins to pay meanwhile,
/// and whoever finds it can finish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ending {
    pub reason: EndReason,
    /// When it was written.
    pub since: UnixMillis,
}

impl Ending {
    /// Whether it stands once the payment has this status. A payment that was faster takes it back,
    /// but that an authorization is released if that was asked for.
    pub(super) fn stands(self, status: PaymentStatus) -> bool {
        match status {
            PaymentStatus::Processing | PaymentStatus::Confirmed => false,
            // mutant: authorization-wins
            PaymentStatus::Authorized => self.reason == EndReason::Canceled,
            _ => true,
        }
    }
}

impl Payment {
    /// The record once its attempt is to end. `None` if it is to end already, but for a replacement
    /// that is canceled; or there is nothing to end: it is over, or Stripe is working on it.
    pub fn end_begun(&self, reason: EndReason, now: UnixMillis) -> Option<Self> {
        let ending = Ending { reason, since: now };
        let is_open = !self.status().is_final() && ending.stands(self.status());
        // Whoever cancels releases an authorization, too.
        let is_weaker =
            |before: Ending| reason == EndReason::Canceled && before.reason == EndReason::Replaced;
        (self.ending.is_none_or(is_weaker) && is_open).then(|| Self {
            version: self.version + 1,
            ending: Some(ending),
            ..self.clone()
        })
    }

    /// The record once its attempt is not to end after all. `None` if it was not to.
    pub fn end_lifted(&self) -> Option<Self> {
        self.is_ending().then(|| Self {
            version: self.version + 1,
            ending: None,
            ..self.clone()
        })
    }

    /// Why its attempt has ended, if it was not known to be authorized.
    pub(super) fn unauthorized_end(&self) -> Option<EndReason> {
        let is_over = self.status() == PaymentStatus::Canceled && !self.was_authorized;
        self.ending.map(|ending| ending.reason).filter(|_| is_over)
    }

    /// Whether its attempt is to end and has not ended.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some() && !self.status().is_final()
    }

    /// The record once it knows of a declined try that it did not know of. `None` if it has nothing
    /// to count: the try was counted, or the attempt is over.
    pub(super) fn decline_counted(&self, seen: &Observation) -> Option<Self> {
        let event_id = seen.declined_event()?;
        let counts = !self.status().is_final()
            && self.declines.len() < MAX_DECLINES
            && !self.declines.iter().any(|known| known == event_id);
        counts.then(|| {
            let mut next = self.clone();
            next.version += 1;
            next.declines.push(event_id.to_owned());
            next
        })
    }

    /// Whether its attempt must end, or is to end, because too many tries were declined.
    pub fn is_declined_too_often(&self) -> bool {
        let reason = self.ending.map(|ending| ending.reason);
        self.is_payable()
            && self.declines.len() >= MAX_DECLINES
            && reason.is_none_or(|reason| reason == EndReason::TooManyDeclines)
    }
}
