//! What the three functions promise, over real parts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

mod architecture;
mod cancel;
mod create;
mod events;
mod hostile;
mod leaks;
mod pay_link;
mod rotation;
mod status;
mod store;
mod stripe;
mod template;
mod webhook;
