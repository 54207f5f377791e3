//! Wires stripe-webhook.

use lambda_runtime::Error;
use shared::adapters::system::SystemClock;
use shared::lambda::config::{WebhookConfig, environment};
use shared::lambda::wiring::Wiring;
use shared::lambda::{entry, telemetry};
use stripe_webhook::StripeWebhookFunction;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start("stripe-webhook");
    let config = WebhookConfig::read(environment)?;
    let wiring = Wiring::from_environment()?;
    let function = StripeWebhookFunction {
        store: wiring.table(config.table),
        stripe: wiring.stripe(config.stripe, false),
        genesys: config.genesys.map(|config| wiring.genesys(config)),
        clock: SystemClock,
    };
    tokio::join!(function.store.warm(), function.stripe.warm());
    entry::run(|request| function.handle(request)).await
}
