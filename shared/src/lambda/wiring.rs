//! What the functions are wired from: the process's clients, one for each outside system.

use std::error::Error;
use std::sync::Arc;

use super::config::{self, environment};
use crate::adapters::aws::Clients;
use crate::adapters::dynamodb::{Table, TableConfig};
use crate::adapters::genesys::{Genesys, GenesysConfig};
use crate::adapters::http::Http;
use crate::adapters::secrets::{CachedSecret, Secret, SecretsManager};
use crate::adapters::stripe::{Stripe, StripeConfig};
use crate::adapters::tls;

/// The clients that a function's adapters share.
pub struct Wiring {
    aws: Clients,
    http: Http,
}

impl Wiring {
    /// Makes the clients, from the environment.
    ///
    /// # Errors
    /// What is wrong with the environment; the process cannot start.
    pub fn from_environment() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let tls = tls::client_config(environment("EXTRA_CA_CERTS").as_deref())?;
        Ok(Self {
            aws: Clients::new(&config::aws(environment)?, &tls)?,
            http: Http::new(&tls)?,
        })
    }

    pub fn table(&self, config: TableConfig) -> Table {
        Table::new(self.aws.dynamodb.clone(), config)
    }

    /// With `moto`, tokens are charged as mail and telephone orders.
    pub fn stripe(&self, config: StripeConfig, moto: bool) -> Stripe<SecretsManager> {
        let secret = self.secret(config.secret_id);
        Stripe::new(self.http.clone(), config.api_base, secret, moto)
    }

    pub fn genesys(&self, config: GenesysConfig) -> Genesys<SecretsManager> {
        let secret = self.secret(config.secret_id.clone());
        Genesys::new(self.http.clone(), config, secret)
    }

    fn secret<T: Secret>(&self, id: String) -> Arc<CachedSecret<SecretsManager, T>> {
        let source = SecretsManager::new(self.aws.secrets_manager.clone(), id);
        Arc::new(CachedSecret::new(source))
    }
}
