//! The edge: events in, answers out, and what a function is configured by.

pub mod config;
pub mod entry;
pub mod fields;
pub mod problem;
pub mod reply;
pub mod request;
pub mod telemetry;
pub mod wiring;
