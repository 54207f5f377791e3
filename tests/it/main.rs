//! What the three functions promise, over real parts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops where it is wrong")]

mod create;
mod status;
mod store;
mod webhook;
