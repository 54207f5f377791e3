//! Stripe.

mod client;
mod intents;
mod lookup;
pub mod signature;
pub mod webhook;
pub mod wire;

pub use client::{STRIPE_VERSION, Stripe, StripeConfig};
