//! Genesys Cloud: an OAuth token by client credentials, the Conversations API, and workflow starts.
//!
//! The token is held until a minute before it expires. A 401 is answered by one new token, a token refused by one
//! fresh reading of the secret, and a 429 by one wait for `Retry-After`, all inside the deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::http::{Answered, Http, Transport, Unanswered};
use crate::config::GenesysConfig;
use crate::conversation::{Conversation, ParticipantId};
use crate::ids::ConversationId;
use crate::ports::{Conversations, GenesysError};
use crate::secrets::{CachedSecret, GenesysSecret, ReadSecret};
use crate::time::Deadline;

/// How long before its expiry a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// The longest a single request may take, so that one that hangs leaves time for the rest.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);

/// The client.
pub struct Genesys<S, T = Client> {
    http: Http<T>,
    config: GenesysConfig,
    secret: Arc<CachedSecret<S, GenesysSecret>>,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    bearer: SecretString,
    renew_at: Instant,
}

impl<S: ReadSecret, T: Transport> Genesys<S, T> {
    /// A client of one organisation.
    #[must_use]
    pub fn new(http: Http<T>, config: GenesysConfig, secret: Arc<CachedSecret<S, GenesysSecret>>) -> Self {
        Self { http, config, secret, token: Mutex::new(None) }
    }

    /// A token that is not about to expire, and not the one that was refused.
    async fn token(&self, refused: Option<&SecretString>, deadline: Deadline) -> Result<SecretString, GenesysError> {
        let mut held = self.token.lock().await;
        let usable = held.as_ref().filter(|token| {
            token.renew_at > Instant::now()
                && refused.is_none_or(|refused| refused.expose_secret() != token.bearer.expose_secret())
        });
        if let Some(token) = usable {
            return Ok(token.bearer.clone());
        }
        *held = None;
        let secret = self.secret.get().await?;
        let token = match self.new_token(&secret, deadline).await {
            Err(GenesysError::Auth { status }) => match self.secret.other_than(&secret, Duration::ZERO).await? {
                Some(renewed) => self.new_token(&renewed, deadline).await?,
                None => return Err(GenesysError::Auth { status }),
            },
            token => token?,
        };
        Ok(held.insert(token).bearer.clone())
    }

    async fn new_token(&self, secret: &GenesysSecret, deadline: Deadline) -> Result<Token, GenesysError> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: SecretString,
            expires_in: u64,
        }
        let asked_at = Instant::now();
        let request = || {
            self.http
                .client()
                .post(format!("{}/oauth/token", self.config.login_base))
                .basic_auth(&secret.client_id, Some(secret.client_secret.expose_secret()))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body("grant_type=client_credentials")
        };
        let answer = self.send(request, deadline).await?;
        match answer.status {
            200 => {
                let wire: Wire =
                    serde_json::from_slice(&answer.body).map_err(|_| GenesysError::Status { status: 200 })?;
                let lasts = Duration::from_secs(wire.expires_in).saturating_sub(RENEW_BEFORE);
                Ok(Token { bearer: wire.access_token, renew_at: asked_at + lasts })
            }
            // Genesys answers bad client credentials with 400 (invalid_client) as well as 401.
            status @ (400 | 401 | 403) => Err(GenesysError::Auth { status }),
            status => Err(GenesysError::Status { status }),
        }
    }

    /// Sends a request; on 429, once more after `Retry-After` where that fits the deadline.
    async fn send(&self, request: impl Fn() -> RequestBuilder, deadline: Deadline) -> Result<Answered, GenesysError> {
        let answer = self.http.send(request(), deadline.or_after(REQUEST_LIMIT)).await?;
        if answer.status != 429 {
            return Ok(answer);
        }
        let after = answer.retry_after().unwrap_or(Duration::from_secs(1));
        if !deadline.allows(after) {
            return Err(GenesysError::RateLimited);
        }
        tracing::info!(after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX), "Genesys limits the rate");
        tokio::time::sleep(after).await;
        let answer = self.http.send(request(), deadline.or_after(REQUEST_LIMIT)).await?;
        if answer.status == 429 { Err(GenesysError::RateLimited) } else { Ok(answer) }
    }

    /// Calls the API under a token; on 401, once more under a new one.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        deadline: Deadline,
    ) -> Result<Answered, GenesysError> {
        let mut refused = None;
        loop {
            let token = self.token(refused.as_ref(), deadline).await?;
            let request = || {
                let url = format!("{}{path}", self.config.api_base);
                let request = self.http.client().request(method.clone(), url).bearer_auth(token.expose_secret());
                match body {
                    Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
                    None => request,
                }
            };
            let answer = self.send(request, deadline).await?;
            match answer.status {
                401 if refused.is_none() => refused = Some(token),
                401 => return Err(GenesysError::Auth { status: 401 }),
                _ => return Ok(answer),
            }
        }
    }
}

impl From<Unanswered> for GenesysError {
    fn from(_: Unanswered) -> Self {
        Self::NoAnswer
    }
}

fn success(answer: &Answered) -> Result<(), GenesysError> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    tracing::info!(status = answer.status, correlation_id = answer.id("inin-correlation-id"), "Genesys refused");
    Err(GenesysError::Status { status: answer.status })
}

impl<S: ReadSecret, T: Transport> Conversations for Genesys<S, T> {
    async fn conversation(
        &self,
        id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Option<Conversation>, GenesysError> {
        let answer = self.call(Method::GET, &format!("/api/v2/conversations/{id}"), None, deadline).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        success(&answer)?;
        serde_json::from_slice(&answer.body).map(Some).map_err(|_| GenesysError::Status { status: answer.status })
    }

    async fn set_attributes(
        &self,
        id: &ConversationId,
        participant: &ParticipantId,
        attributes: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> Result<(), GenesysError> {
        let path = format!("/api/v2/conversations/{id}/participants/{participant}/attributes");
        let body = json!({ "attributes": attributes });
        success(&self.call(Method::PATCH, &path, Some(&body), deadline).await?)
    }

    async fn start_late_payment_flow(
        &self,
        inputs: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> Result<bool, GenesysError> {
        let Some(flow_id) = &self.config.late_payment_flow_id else { return Ok(false) };
        let body = json!({ "flowId": flow_id, "inputData": inputs });
        success(&self.call(Method::POST, "/api/v2/flows/executions", Some(&body), deadline).await?)?;
        Ok(true)
    }
}
