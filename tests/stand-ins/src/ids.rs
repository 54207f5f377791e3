//! Identifiers that look like the real ones.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Hashes a seed and a counter: unique within a stand-in, and repeatable once a test has set the
/// seed.
#[derive(Debug)]
pub(crate) struct Ids {
    seed: AtomicU64,
    count: AtomicU64,
}

impl Ids {
    /// Seeded afresh, so that a restarted stand-in does not hand out identifiers a database already
    /// knows.
    pub(crate) fn new() -> Self {
        let seed = RandomState::new().build_hasher().finish();
        Self {
            seed: AtomicU64::new(seed),
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn reseed(&self, seed: u64) {
        self.seed.store(seed, Ordering::SeqCst);
        self.count.store(0, Ordering::SeqCst);
    }

    /// `length` letters and digits, 32 at most, behind the prefix.
    pub(crate) fn alphanumeric(&self, prefix: &str, length: usize) -> String {
        let digest = self.next();
        let random = digest.iter().take(length).map(|byte| {
            let letter = ALPHANUMERIC[usize::from(*byte) % ALPHANUMERIC.len()];
            char::from(letter)
        });
        prefix.chars().chain(random).collect()
    }

    /// A UUID, version 4 by its looks.
    pub(crate) fn uuid(&self) -> String {
        let hex = hex::encode(self.next());
        format!(
            "{}-{}-4{}-a{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..32]
        )
    }

    fn next(&self) -> [u8; 32] {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        let seed = self.seed.load(Ordering::SeqCst);
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(count.to_be_bytes());
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_repeat_by_seed() {
        let ids = Ids::new();
        ids.reseed(7);
        let first = (ids.alphanumeric("pi_", 24), ids.uuid());
        assert_ne!(first.1, ids.uuid());
        ids.reseed(7);
        assert_eq!(first, (ids.alphanumeric("pi_", 24), ids.uuid()));
        assert_eq!(first.0.len(), 27);
        assert_eq!(first.1.len(), 36);
    }
}
