//! Wires status-query.

use lambda_runtime::Error;
use shared::adapters::system::SystemClock;
use shared::lambda::config::{StatusQueryConfig, environment};
use shared::lambda::wiring::Wiring;
use shared::lambda::{entry, telemetry};
use status_query::StatusQueryFunction;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start("status-query");
    let StatusQueryConfig {
        webhook: config,
        merchant_name,
    } = StatusQueryConfig::read(environment)?;
    let wiring = Wiring::from_environment()?;
    let function = StatusQueryFunction {
        store: wiring.table(config.table),
        stripe: wiring.stripe(config.stripe, false),
        genesys: config.genesys.map(|config| wiring.genesys(config)),
        clock: SystemClock,
        merchant_name,
    };
    tokio::join!(function.store.warm(), function.stripe.warm());
    entry::run(|request| function.handle(request)).await
}
