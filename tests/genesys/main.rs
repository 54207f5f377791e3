//! What is imported into Genesys Cloud, held to what the functions do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

mod data_actions;
mod flow;
mod guide;
mod plan;
mod terraform;
