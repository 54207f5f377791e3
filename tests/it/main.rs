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
mod ending;
mod events;
mod hostile;
mod leaks;
mod lines;
mod orders;
mod pay_link;
mod payloads;
mod readme;
mod receipt;
mod rotation;
mod runtime;
mod secrets;
mod status;
mod store;
mod stripe;
mod stripe_api;
mod template;
mod tls;
mod webhook;
mod wire;
