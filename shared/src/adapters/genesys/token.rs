//! The OAuth token, by client credentials. It is held until a minute before it expires; a token
//! that Genesys refuses is answered by one fresh reading of the secret.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::client::Genesys;
use crate::adapters::http::Transport;
use crate::adapters::secrets::GenesysSecret;
use crate::domain::time::seconds_from_outside;
use crate::ports::{Deadline, GenesysError, GenesysRequest, Lost, ReadSecret};

/// How long before its expiry a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// How long a token is held when Genesys does not say, or says something that is no number of
/// seconds. One that ends earlier is answered with 401, and replaced.
const HOLD_UNTOLD: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub(super) struct Token {
    bearer: SecretString,
    renew_at: Instant,
}

impl<S: ReadSecret, T: Transport> Genesys<S, T> {
    /// A token that is not about to expire, and not the one that was refused, by the deadline.
    pub(super) async fn token(
        &self,
        refused: Option<&SecretString>,
        deadline: Deadline,
    ) -> Result<SecretString, GenesysError> {
        // Also where another request is getting one, or the secret is read.
        let late = GenesysError::NoAnswer {
            to: GenesysRequest::Token,
            lost: Lost::Timeout,
        };
        tokio::time::timeout_at(deadline.instant(), self.find_token(refused, deadline))
            .await
            .unwrap_or(Err(late))
    }

    async fn find_token(
        &self,
        refused: Option<&SecretString>,
        deadline: Deadline,
    ) -> Result<SecretString, GenesysError> {
        let mut held = self.token.lock().await;
        let usable = held.as_ref().filter(|token| {
            token.renew_at > Instant::now()
                && refused
                    .is_none_or(|refused| refused.expose_secret() != token.bearer.expose_secret())
        });
        if let Some(token) = usable {
            return Ok(token.bearer.clone());
        }
        *held = None;
        let secret = self.secret.get().await?;
        let token = match self.new_token(&secret, deadline).await {
            Err(GenesysError::Auth { status }) => {
                match self.secret.other_than(&secret, Duration::ZERO).await? {
                    Some(renewed) => self.new_token(&renewed, deadline).await?,
                    None => return Err(GenesysError::Auth { status }),
                }
            }
            token => token?,
        };
        Ok(held.insert(token).bearer.clone())
    }

    async fn new_token(
        &self,
        secret: &GenesysSecret,
        deadline: Deadline,
    ) -> Result<Token, GenesysError> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: SecretString,
            #[serde(default)]
            expires_in: Option<Box<RawValue>>,
        }
        let asked_at = Instant::now();
        let request = || {
            self.http
                .client()
                .post(format!("{}/oauth/token", self.config.login_base))
                .basic_auth(
                    &secret.client_id,
                    Some(secret.client_secret.expose_secret()),
                )
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body("grant_type=client_credentials")
        };
        let answer = self.send(GenesysRequest::Token, request, deadline).await?;
        match answer.status {
            200 => {
                let wire: Wire = serde_json::from_slice(&answer.body)
                    .map_err(|_| GenesysError::Status { status: 200 })?;
                Ok(Token {
                    bearer: wire.access_token,
                    renew_at: asked_at + hold_for(wire.expires_in.as_deref()),
                })
            }
            // Genesys answers bad client credentials with 400 (invalid_client) as well as 401.
            // mutant: invalid-client
            status @ (400 | 401 | 403) => Err(GenesysError::Auth { status }),
            status => Err(GenesysError::Status { status }),
        }
    }
}

/// How long a token is held whose life is given in this JSON: until a minute before its end, and at
/// most a day.
fn hold_for(expires_in: Option<&RawValue>) -> Duration {
    let said = expires_in.map_or("", |json| json.get().trim_matches('"'));
    match seconds_from_outside(said) {
        Some(life) => life.saturating_sub(RENEW_BEFORE),
        None if said.starts_with('-') => Duration::ZERO,
        None => HOLD_UNTOLD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_life_of_a_token_is_too_long_too_short_or_too_odd() {
        for (expires_in, seconds) in [
            ("86399", 86_339),
            ("61", 1),
            ("60", 0),
            ("0", 0),
            ("-1", 0),
            ("-18446744073709551616", 0),
            ("86401", 86_340),
            ("18446744073709551615", 86_340),
            ("18446744073709551616", 86_340),
            ("\"3600\"", 3540),
            ("null", 300),
            ("3600.5", 300),
            ("1e999", 300),
            ("true", 300),
            ("[3600]", 300),
            ("\"soon\"", 300),
        ] {
            let json: &RawValue = serde_json::from_str(expires_in).unwrap();
            assert_eq!(
                hold_for(Some(json)),
                Duration::from_secs(seconds),
                "{expires_in}"
            );
        }
        assert_eq!(hold_for(None), HOLD_UNTOLD);
    }
}
