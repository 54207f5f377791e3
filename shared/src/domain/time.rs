//! Moments. The domain takes the time as an argument; it never asks for it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Whole seconds since the Unix epoch.
    pub fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// Time since `earlier`; zero if that is in the future, as after a clock was set back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Time between two moments, whichever is earlier.
    pub fn apart(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// This moment and a duration.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This moment less a duration.
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// The longest a deadline lies ahead and anything read from outside may make us wait: an
/// [`Instant`] has an end, and adding to it what somebody else sent panics beyond that.
pub const LONGEST: Duration = Duration::from_secs(86_400);

/// A count of seconds that came from outside, as a duration of at most [`LONGEST`]. `None` for
/// anything but digits.
pub fn seconds_from_outside(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is too large for the type is too large for us.
    // mutant: longest
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(LONGEST))
}

/// How long to wait before what met somebody else's work is tried again: 10 ms at first, twice as
/// long each time up to 320 ms, and up to half as much more, by who waits, so that two do not meet
/// again.
pub fn back_off(who: &impl Hash, round: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (who, round).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 512).unwrap_or_default();
    let wait = Duration::from_millis(10 << round.min(5));
    wait + wait * share / 1024
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
    fn no_moment_is_too_far_away() {
        let end = UnixMillis(u64::MAX);
        assert_eq!(
            (end.plus(Duration::MAX), UnixMillis(0).minus(Duration::MAX)),
            (end, UnixMillis(0))
        );
        assert_eq!(UnixMillis(7).since(end), Duration::ZERO);
    }
}
