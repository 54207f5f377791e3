//! Genesys Cloud.

mod client;
mod token;
mod wire;

pub use client::{Genesys, GenesysConfig};
