//! Genesys Cloud: an OAuth token by client credentials, the Conversations API, and workflow starts.
//!
//! The token is held until a minute before it expires. A 401 is answered by one new token, and a
//! token refused by one fresh reading of the secret.
//!
//! Every request is repeated at most once, inside the deadline, and only where the repeat can do no
//! harm:
//!
//! | what came of it | token, conversation | attributes | workflow |
//! |---|---|---|---|
//! | no connection, 429 | again | again | again |
//! | 500, 503 | again | again | no |
//! | connection broken, 502, 504 | again | no, may still act | no, may still act |
//! | no answer in time | again | no, may still act | no, may still act |
//!
//! Who was not connected or was limited has changed nothing. A 500 or 503 is the end of its
//! request: attributes may be sent again, for the same once more does no harm, but a workflow may
//! have been started. A request whose answer got lost may still be on its way. A repeat would not
//! call it back: it could arrive after the repeat was accepted and after something newer was sent.
//! So whoever sent it keeps the turn until that lapses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::http::{Answered, Http, Transport, Unanswered};
use crate::config::GenesysConfig;
use crate::conversation::{Conversation, ParticipantId};
use crate::ids::ConversationId;
use crate::ports::{Conversations, GenesysError, GenesysRequest, Lost};
use crate::secrets::{CachedSecret, GenesysSecret, ReadSecret};
use crate::time::{Deadline, seconds_from_outside};

/// How long before its expiry a token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// How long a token is held when Genesys does not say, or says something that is no number of
/// seconds. One that ends earlier is answered with 401, and replaced.
const HOLD_UNTOLD: Duration = Duration::from_secs(300);

/// The longest a single try may take, so that one that hangs leaves time for the rest: a read,
/// which may be tried once more, and a write, which may not.
const READ_LIMIT: Duration = Duration::from_millis(1500);
const WRITE_LIMIT: Duration = Duration::from_secs(3);

/// How long to wait before the one retry, unless Genesys says how long, and after a 429 that does
/// not.
const RETRY_DELAY: Duration = Duration::from_millis(250);
const RETRY_DELAY_LIMITED: Duration = Duration::from_secs(1);

/// The least time a retry must still have to be worth sending.
const RETRY_NEEDS: Duration = Duration::from_millis(200);

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
    /// A client of one organization.
    #[must_use]
    pub fn new(
        http: Http<T>,
        config: GenesysConfig,
        secret: Arc<CachedSecret<S, GenesysSecret>>,
    ) -> Self {
        Self {
            http,
            config,
            secret,
            token: Mutex::new(None),
        }
    }

    /// A token that is not about to expire, and not the one that was refused, by the deadline.
    async fn token(
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
            status @ (400 | 401 | 403) => Err(GenesysError::Auth { status }),
            status => Err(GenesysError::Status { status }),
        }
    }

    /// Sends a request, once more where that can do no harm and fits the deadline.
    async fn send(
        &self,
        asked: GenesysRequest,
        request: impl Fn() -> RequestBuilder,
        deadline: Deadline,
    ) -> Result<Answered, GenesysError> {
        // Even a deadline that has passed lets a request out, and a write must not be let out for
        // nothing.
        if deadline.remaining().is_zero() {
            return Err(GenesysError::NoTime);
        }
        let limit = if asked.is_write() {
            WRITE_LIMIT
        } else {
            READ_LIMIT
        };
        let first = self.http.send(request(), deadline.or_after(limit)).await;
        let Some((reason, delay)) = retry(asked, &first) else {
            return outcome(asked, first);
        };
        if !deadline.allows(delay.saturating_add(RETRY_NEEDS)) {
            return outcome(asked, first);
        }
        let after_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            reason,
            request = asked.as_str(),
            after_ms,
            "retrying Genesys"
        );
        tokio::time::sleep(delay).await;
        outcome(
            asked,
            self.http.send(request(), deadline.or_after(limit)).await,
        )
    }

    /// Calls the API under a token; on 401, once more under a new one.
    async fn call(
        &self,
        asked: GenesysRequest,
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
                let request = self
                    .http
                    .client()
                    .request(method.clone(), url)
                    .bearer_auth(token.expose_secret());
                match body {
                    Some(body) => request
                        .header("Content-Type", "application/json")
                        .body(body.to_string()),
                    None => request,
                }
            };
            let answer = self.send(asked, request, deadline).await?;
            match answer.status {
                401 if refused.is_none() => refused = Some(token),
                401 => return Err(GenesysError::Auth { status: 401 }),
                _ => return Ok(answer),
            }
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

/// Why a request is worth repeating, and after how long; `None` where it is not, or where the
/// repeat could do harm.
fn retry(
    asked: GenesysRequest,
    tried: &Result<Answered, Unanswered>,
) -> Option<(&'static str, Duration)> {
    let answer = match tried {
        Ok(answer) => answer,
        Err(Unanswered::Connect) => return Some(("no connection", RETRY_DELAY)),
        Err(Unanswered::Broken) if !asked.is_write() => {
            return Some(("broken connection", RETRY_DELAY));
        }
        Err(Unanswered::Timeout) if !asked.is_write() => {
            return Some(("no answer in time", RETRY_DELAY));
        }
        Err(Unanswered::Broken | Unanswered::Timeout) => return None,
    };
    let delay = |default: Duration| answer.retry_after().unwrap_or(default);
    match answer.status {
        429 => Some(("429", delay(RETRY_DELAY_LIMITED))),
        500 | 503 if asked != GenesysRequest::Workflow => Some(("5xx", delay(RETRY_DELAY))),
        502 | 504 if !asked.is_write() => Some(("gateway", delay(RETRY_DELAY))),
        _ => None,
    }
}

/// What the last try comes to.
fn outcome(
    asked: GenesysRequest,
    tried: Result<Answered, Unanswered>,
) -> Result<Answered, GenesysError> {
    let no_answer = |lost| Err(GenesysError::NoAnswer { to: asked, lost });
    match tried {
        Ok(answer) if answer.status == 429 => Err(GenesysError::RateLimited),
        Ok(answer) if asked.is_write() && matches!(answer.status, 502 | 504) => {
            log_refusal(&answer);
            no_answer(Lost::Gateway {
                status: answer.status,
            })
        }
        Ok(answer) => Ok(answer),
        Err(Unanswered::Connect) => Err(GenesysError::NoConnection),
        Err(Unanswered::Broken) => no_answer(Lost::Broken),
        Err(Unanswered::Timeout) => no_answer(Lost::Timeout),
    }
}

fn log_refusal(answer: &Answered) {
    tracing::info!(
        status = answer.status,
        correlation_id = answer.id("inin-correlation-id"),
        "Genesys refused"
    );
}

fn success(answer: &Answered) -> Result<(), GenesysError> {
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    log_refusal(answer);
    Err(GenesysError::Status {
        status: answer.status,
    })
}

impl<S: ReadSecret, T: Transport> Conversations for Genesys<S, T> {
    async fn conversation(
        &self,
        id: &ConversationId,
        deadline: Deadline,
    ) -> Result<Option<Conversation>, GenesysError> {
        let path = format!("/api/v2/conversations/{id}");
        let answer = self
            .call(
                GenesysRequest::Conversation,
                Method::GET,
                &path,
                None,
                deadline,
            )
            .await?;
        if answer.status == 404 {
            return Ok(None);
        }
        success(&answer)?;
        serde_json::from_slice(&answer.body)
            .map(Some)
            .map_err(|_| GenesysError::Status {
                status: answer.status,
            })
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
        success(
            &self
                .call(
                    GenesysRequest::Attributes,
                    Method::PATCH,
                    &path,
                    Some(&body),
                    deadline,
                )
                .await?,
        )
    }

    async fn start_late_payment_flow(
        &self,
        inputs: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> Result<bool, GenesysError> {
        let Some(flow_id) = &self.config.late_payment_flow_id else {
            return Ok(false);
        };
        let body = json!({ "flowId": flow_id, "inputData": inputs });
        let path = "/api/v2/flows/executions";
        success(
            &self
                .call(
                    GenesysRequest::Workflow,
                    Method::POST,
                    path,
                    Some(&body),
                    deadline,
                )
                .await?,
        )?;
        Ok(true)
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
