//! Wires create-intent: configuration, telemetry, clients, run.

use std::sync::Arc;

use create_intent::CreateIntentFunction;
use lambda_runtime::Error;
use shared::adapters::{
    aws, dynamodb::Table, http::Http, os_random::OsRandom, secrets_manager::SecretsManager,
    stripe::Stripe, tls,
};
use shared::config::{AwsConfig, CreateIntentConfig, environment};
use shared::secrets::CachedSecret;
use shared::time::SystemClock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start("create-intent");
    let config = CreateIntentConfig::read(environment)?;
    let tls = tls::client_config(environment("EXTRA_CA_CERTS").as_deref())?;
    let aws = aws::Clients::new(&AwsConfig::read(environment)?, &tls)?;
    let secret = Arc::new(CachedSecret::new(SecretsManager::new(
        aws.secrets_manager,
        config.stripe.secret_id,
    )));
    let function = CreateIntentFunction {
        store: Table::new(aws.dynamodb, config.table.name, config.table.record_days),
        stripe: Stripe::new(
            Http::new(&tls)?,
            config.stripe.api_base,
            Arc::clone(&secret),
            config.moto,
        ),
        random: OsRandom,
        clock: SystemClock,
        policy: config.policy,
        budget: config.budget,
        pay_link: config.pay_link,
    };
    // Connections and the secret are made ready before the first call is waiting; what fails here
    // fails there.
    let _ = tokio::join!(function.store.warm(), secret.get(), function.stripe.warm());
    shared::entry::run(|request| function.handle(request)).await
}
