//! Stripe.

mod client;
mod intents;
mod lookup;
pub mod signature;
mod webhook;
pub mod wire;

pub use client::{STRIPE_VERSION, Stripe, StripeConfig};
