//! The operating system's source of randomness.

use crate::ports::{NoRandomBits, RandomBits};

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
