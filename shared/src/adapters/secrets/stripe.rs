//! The secret with the keys of Stripe.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::secret::{NOT_GRAPHIC, Secret, is_graphic, object, required};
use crate::domain::secret_guard::holds_secret;
use crate::ports::SecretError;

/// `{"secret_key":"sk_…","publishable_key":"pk_…","webhook_secrets":["whsec_…"]}`
#[derive(Debug)]
pub struct StripeSecret {
    /// `sk_…` or, better, a restricted `rk_…`.
    pub secret_key: SecretString,
    /// `pk_…`, which the payer's page needs; `None` where it is missing or empty.
    pub publishable_key: Option<String>,
    /// Every active secret of the webhook endpoint: two while one is being rolled, none before
    /// there is an endpoint.
    pub webhook_secrets: Vec<SecretString>,
    /// Whether the keys are for real money.
    pub livemode: bool,
}

/// Whether a key is for real money, as its prefix tells; `None` where it is no such key.
fn mode(key: &str, live: [&str; 2], test: [&str; 2]) -> Option<bool> {
    let begins = |prefix: &&str| {
        key.strip_prefix(*prefix)
            .is_some_and(|rest| !rest.is_empty())
    };
    match (live.iter().any(begins), test.iter().any(begins)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

impl Secret for StripeSecret {
    const OWNER: &'static str = "stripe";

    fn parse(json: &str) -> Result<Self, SecretError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            secret_key: Option<SecretString>,
            #[serde(default)]
            publishable_key: Option<String>,
            #[serde(default)]
            webhook_secrets: Vec<SecretString>,
        }
        let unusable = |field, must| SecretError::Unusable { field, must };
        let must = "must be a JSON object with the texts secret_key and publishable_key and \
                    the list of texts webhook_secrets";
        let Wire {
            secret_key,
            publishable_key,
            webhook_secrets,
        } = object(json, must)?;
        let secret_key = required("secret_key", secret_key)?;
        let livemode = mode(
            secret_key.expose_secret(),
            ["sk_live_", "rk_live_"],
            ["sk_test_", "rk_test_"],
        )
        .ok_or(unusable(
            "secret_key",
            "must begin with sk_live_, rk_live_, sk_test_ or rk_test_",
        ))?;
        let publishable_key = publishable_key.filter(|key| !key.is_empty());
        if let Some(key) = &publishable_key {
            // Anything else in its place, a secret key above all, must never reach a browser.
            let plain = key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let mode = mode(key, ["pk_live_"; 2], ["pk_test_"; 2])
                .filter(|_| plain && key.len() <= 255 && !holds_secret(key));
            match mode {
                None => {
                    return Err(unusable(
                        "publishable_key",
                        "must be a key that begins with pk_live_ or pk_test_",
                    ));
                }
                Some(mode) if mode != livemode => {
                    return Err(unusable(
                        "publishable_key",
                        "must be of the same mode, live or test, as secret_key",
                    ));
                }
                Some(_) => {}
            }
        }
        for secret in &webhook_secrets {
            let secret = secret.expose_secret();
            if !is_graphic(secret) {
                return Err(unusable("webhook_secrets", NOT_GRAPHIC));
            }
            if secret.strip_prefix("whsec_").is_none_or(str::is_empty) {
                return Err(unusable(
                    "webhook_secrets",
                    "must be texts that begin with whsec_",
                ));
            }
        }
        Ok(Self {
            secret_key,
            publishable_key,
            webhook_secrets,
            livemode,
        })
    }
}
