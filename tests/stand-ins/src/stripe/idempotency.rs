//! Idempotency keys by Stripe's rules: the first result counts, and it is kept from the moment work
//! begins.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::journal::WrittenAnswer;
use crate::server::Answer;

/// After this a key may be used as if it had never been.
const KEPT_SECONDS: i64 = 24 * 60 * 60;

pub(crate) const LONGEST_KEY: usize = 255;

/// What a key stands for: a later request with it must be the same.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Fingerprint {
    pub(crate) path: String,
    pub(crate) parameters: Vec<(String, String)>,
}

/// The first answer, and the request that got it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Saved {
    #[serde(with = "WrittenAnswer")]
    pub(crate) answer: Answer,
    pub(crate) request_id: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Slot {
    fingerprint: Fingerprint,
    first_used: i64,
    /// Absent while the first request is still executing.
    saved: Option<Saved>,
}

#[derive(Debug)]
pub(crate) enum Claim {
    /// The caller executes, then must call [`Keys::save`] or [`Keys::release`].
    First,
    Replay(Saved),
    InUse,
    OtherEndpoint(String),
    OtherParameters,
}

#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Slot>);

impl Keys {
    pub(crate) fn claim(&mut self, key: &str, fingerprint: Fingerprint, now: i64) -> Claim {
        self.0
            .retain(|_, slot| slot.saved.is_none() || now - slot.first_used < KEPT_SECONDS);
        let Some(slot) = self.0.get(key) else {
            self.0.insert(
                key.to_owned(),
                Slot {
                    fingerprint,
                    first_used: now,
                    saved: None,
                },
            );
            return Claim::First;
        };
        if slot.fingerprint.path != fingerprint.path {
            return Claim::OtherEndpoint(slot.fingerprint.path.clone());
        }
        if slot.fingerprint != fingerprint {
            return Claim::OtherParameters;
        }
        match &slot.saved {
            Some(saved) => Claim::Replay(saved.clone()),
            None => Claim::InUse,
        }
    }

    /// Gives what has to outlive the process.
    pub(crate) fn save(&mut self, key: &str, saved: Saved) -> (String, Slot) {
        let slot = self
            .0
            .get_mut(key)
            .expect("only a claimed key has a result to save");
        slot.saved = Some(saved);
        (key.to_owned(), slot.clone())
    }

    /// Takes what [`Keys::save`] gave to an earlier process.
    pub(crate) fn restore(&mut self, (key, slot): (String, Slot)) {
        self.0.insert(key, slot);
    }

    /// Forgets a key whose request never came to be executed.
    pub(crate) fn release(&mut self, key: &str) {
        self.0.remove(key);
    }
}
