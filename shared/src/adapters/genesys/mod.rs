//! Genesys Cloud.

mod client;
mod wire;

pub use client::{Genesys, GenesysConfig};
