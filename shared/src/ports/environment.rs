//! The clock, randomness and secrets.

use std::future::Future;
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::domain::time::{LONGEST, UnixMillis};

/// Where the time of day comes from.
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;
}

/// When an answer is due, on the monotonic clock, so that a clock that is set changes no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline that far from now, and at most [`LONGEST`].
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget.min(LONGEST))
    }

    /// This deadline or one that far from now, whichever is earlier.
    pub fn or_after(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// The same deadline, earlier by `reserve`, which is kept for what must still follow.
    pub fn less(self, reserve: Duration) -> Self {
        self.0.checked_sub(reserve).map_or(self, Self)
    }

    /// Time left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether a wait of that length still fits.
    pub fn allows(self, wait: Duration) -> bool {
        self.remaining() > wait
    }

    /// The instant itself, for [`tokio::time::timeout_at`].
    pub fn instant(self) -> Instant {
        self.0
    }
}

/// The operating system has no random bits to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bits")]
pub struct NoRandomBits;

/// Where tokens come from.
pub trait RandomBits: Send + Sync {
    /// 128 bits that nobody can guess.
    fn bits(&self) -> Result<[u8; 16], NoRandomBits>;
}

/// Why a secret could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not answer, or not in time.
    #[error("Secrets Manager did not answer")]
    Unavailable,
    /// Secrets Manager refused: no such secret, no value yet, no permission.
    #[error("Secrets Manager has no readable value under this id")]
    Refused,
    /// It is there and of no use.
    #[error("the secret is not usable: {field} {must}")]
    Unusable {
        /// The field of the secret's JSON, or `value` for the whole.
        field: &'static str,
        /// What it must be.
        must: &'static str,
    },
}

impl SecretError {
    /// A word for the metric: the field, where it is a field's fault.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Unusable { field, .. } => field,
        }
    }
}

/// Where a secret's text comes from.
pub trait ReadSecret: Send + Sync {
    /// Reads the current text.
    fn read_secret(&self) -> impl Future<Output = Result<SecretString, SecretError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_is_too_long_for_a_deadline() {
        for budget in [Duration::MAX, Duration::from_secs(u64::MAX), LONGEST] {
            let deadline = Deadline::after(budget);
            assert!(
                deadline.remaining() <= LONGEST
                    && deadline.allows(LONGEST - Duration::from_secs(60))
            );
            assert_eq!(
                deadline.less(Duration::MAX),
                deadline,
                "what does not fit is not taken away"
            );
        }
    }
}
