//! The Stripe stand-in as a program, for the local stack.
//!
//! `STRIPE_SECRET_KEY`, `STRIPE_WEBHOOK_SECRET`, optionally `STRIPE_WEBHOOK_URL` (where events are
//! delivered), `STATE_FILE` (which outlives it, also when it is killed), `BIND` and `PORT`.

use std::path::Path;
use std::process::ExitCode;

use stand_ins::Stripe;
use stand_ins::program::{announce_and_wait, exit, listen, optional, required};

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}

async fn run() -> Result<(), String> {
    let secret_key = required("STRIPE_SECRET_KEY")?;
    let webhook_secret = required("STRIPE_WEBHOOK_SECRET")?;
    let listener = listen().await?;
    let stripe = match optional("STATE_FILE") {
        Some(path) => Stripe::resume_on(listener, &secret_key, &webhook_secret, Path::new(&path))?,
        None => Stripe::start_on(listener, &secret_key, &webhook_secret),
    };
    if let Some(url) = optional("STRIPE_WEBHOOK_URL") {
        stripe.deliver_to(&url);
    }
    announce_and_wait(stripe.base()).await?;
    stripe.stop().await;
    Ok(())
}
