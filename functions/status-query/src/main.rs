//! Wires status-query: configuration, telemetry, clients, run.

use std::sync::Arc;

use lambda_runtime::Error;
use shared::adapters::{
    aws, dynamodb::Table, genesys::Genesys, http::Http, secrets_manager::SecretsManager,
    stripe::Stripe, tls,
};
use shared::config::{AwsConfig, StatusQueryConfig, environment};
use shared::secrets::CachedSecret;
use shared::time::SystemClock;
use status_query::StatusQueryFunction;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    shared::telemetry::start("status-query");
    let StatusQueryConfig {
        sync: config,
        merchant_name,
    } = StatusQueryConfig::read(environment)?;
    let tls = tls::client_config(environment("EXTRA_CA_CERTS").as_deref())?;
    let aws = aws::Clients::new(&AwsConfig::read(environment)?, &tls)?;
    let http = Http::new(&tls)?;
    let read_secret = |id| SecretsManager::new(aws.secrets_manager.clone(), id);
    let secret = Arc::new(CachedSecret::new(read_secret(config.stripe.secret_id)));
    let function = StatusQueryFunction {
        store: Table::new(aws.dynamodb, config.table.name, config.table.record_days),
        stripe: Stripe::new(
            http.clone(),
            config.stripe.api_base,
            Arc::clone(&secret),
            false,
        ),
        genesys: config.genesys.map(|genesys| {
            let secret = Arc::new(CachedSecret::new(read_secret(genesys.secret_id.clone())));
            Genesys::new(http, genesys, secret)
        }),
        clock: SystemClock,
        merchant_name,
    };
    let _ = tokio::join!(function.store.warm(), secret.get(), function.stripe.warm());
    shared::entry::run(|request| function.handle(request)).await
}
