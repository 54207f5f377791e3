//! Moments and deadlines. The domain takes the time as an argument; only [`SystemClock`] asks the
//! machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// Time since `earlier`; zero where that lies ahead, as after a clock was set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Time between two moments, whichever is earlier.
    #[must_use]
    pub fn apart(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// This moment and a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This moment less a duration.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// Where the time of day comes from.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> UnixMillis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The longest a deadline lies ahead and anything read from outside may make us wait: an
/// [`Instant`] has an end, and adding to it what somebody else sent panics beyond that.
pub const LONGEST: Duration = Duration::from_secs(86_400);

/// A count of seconds that came from outside, as a duration of at most [`LONGEST`]. `None` for
/// anything but digits.
#[must_use]
pub fn seconds_from_outside(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is too large for the type is too large for us.
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(LONGEST))
}

/// When an answer is due, on the monotonic clock, so that a clock that is set changes no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline that far from now, and at most [`LONGEST`].
    #[must_use]
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget.min(LONGEST))
    }

    /// This deadline or one that far from now, whichever is earlier.
    #[must_use]
    pub fn or_after(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// The same deadline, earlier by `reserve`, which is kept for what must still follow.
    #[must_use]
    pub fn less(self, reserve: Duration) -> Self {
        self.0.checked_sub(reserve).map_or(self, Self)
    }

    /// Time left; zero when it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether a wait of that length still fits.
    #[must_use]
    pub fn allows(self, wait: Duration) -> bool {
        self.remaining() > wait
    }

    /// The instant itself, for [`tokio::time::timeout_at`].
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_seconds_from_outside_is_too_large() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("86399", Some(86_399)),
            ("86401", Some(86_400)),
            ("18446744073709551615", Some(86_400)),
            ("18446744073709551616", Some(86_400)),
            ("9".repeat(400).as_str(), Some(86_400)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            assert_eq!(
                seconds_from_outside(text),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
    }

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
        let end = UnixMillis(u64::MAX);
        assert_eq!(
            (end.plus(Duration::MAX), UnixMillis(0).minus(Duration::MAX)),
            (end, UnixMillis(0))
        );
        assert_eq!(UnixMillis(7).since(end), Duration::ZERO);
    }
}
