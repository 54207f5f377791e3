//! Wires create-intent.

use create_intent::CreateIntentFunction;
use lambda_runtime::Error;
use shared::adapters::system::{OsRandom, SystemClock};
use shared::lambda::config::{CreateIntentConfig, environment};
use shared::lambda::wiring::Wiring;
use shared::lambda::{entry, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start("create-intent");
    let config = CreateIntentConfig::read(environment)?;
    let wiring = Wiring::from_environment()?;
    let function = CreateIntentFunction {
        store: wiring.table(config.table),
        stripe: wiring.stripe(config.stripe, config.moto),
        random: OsRandom,
        clock: SystemClock,
        policy: config.policy,
        budget: config.budget,
        pay_link: config.pay_link,
    };
    // Made ready before the first call is waiting; what fails here fails there.
    tokio::join!(function.store.warm(), function.stripe.warm());
    entry::run(|request| function.handle(request)).await
}
