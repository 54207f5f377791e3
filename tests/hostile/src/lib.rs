//! What must hold for any bytes from outside: one function per way in, each of which takes bytes
//! and asserts more than that nothing panics. The property tests feed them what is nearly right,
//! the fuzz targets whatever reaches new code.
//!
//! Where an answer can be computed another way it is, with none of the code under test. Bytes that
//! no valid input has (the first control characters) stand for what chance would never hit: a good
//! signature, a card number, a token.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken property stops the run"
)]

mod amount;
mod card_guard;
mod duration;
mod entry;
mod event;
mod link;
mod outside;
mod request;
mod signature;

pub use amount::amount;
pub use card_guard::card_guard;
pub use duration::duration;
pub use entry::entry;
pub use event::event;
pub use link::link;
pub use outside::{NOW, SIGN_HERE, WEBHOOK_SECRETS};
pub use request::request;
pub use signature::{Expanded, expand, sign, signature};

/// A target's name and what must hold for any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// The targets, named as `fuzz/fuzz_targets` names them.
pub const TARGETS: [Target; 8] = [
    ("amount", amount),
    ("card_guard", card_guard),
    ("duration", duration),
    ("entry", entry),
    ("event", event),
    ("link", link),
    ("request", request),
    ("signature", signature),
];
