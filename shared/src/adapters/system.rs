//! The operating system: its clock and its randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::UnixMillis;
use crate::ports::{Clock, NoRandomBits, RandomBits};

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

/// The operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl RandomBits for OsRandom {
    fn bits(&self) -> Result<[u8; 16], NoRandomBits> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|_| NoRandomBits)?;
        Ok(bits)
    }
}
