//! The secret with the OAuth client of Genesys.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::secret::{Secret, object, required};
use crate::ports::SecretError;

/// `{"client_id":"…","client_secret":"…"}`
pub struct GenesysSecret {
    /// The OAuth client's id.
    pub client_id: String,
    pub client_secret: SecretString,
}

impl fmt::Debug for GenesysSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GenesysSecret([redacted])")
    }
}

impl Secret for GenesysSecret {
    const OWNER: &'static str = "genesys";

    fn parse(json: &str) -> Result<Self, SecretError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            client_id: Option<SecretString>,
            #[serde(default)]
            client_secret: Option<SecretString>,
        }
        let Wire {
            client_id,
            client_secret,
        } = object(
            json,
            "must be a JSON object with the texts client_id and client_secret",
        )?;
        let client_id = required("client_id", client_id)?.expose_secret().to_owned();
        Ok(Self {
            client_id,
            client_secret: required("client_secret", client_secret)?,
        })
    }
}
