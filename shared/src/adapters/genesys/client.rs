//! The Conversations API, and workflow starts. A 401 is answered by one new token.
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
//! A request that was not connected or was limited has changed nothing. A 500 or 503 is the end of
//! its request: attributes may be sent again, for the same once more does no harm, but a workflow
//! may have been started. A request whose answer got lost may still be on its way. A repeat would
//! not call it back: it could arrive after the repeat was accepted and after something newer was
//! sent. So its sender keeps the turn until that lapses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::Mutex;

use super::token::Token;
use super::wire::WireConversation;
use crate::adapters::http::{Http, HttpResponse, Transport, Unanswered};
use crate::adapters::secrets::{CachedSecret, GenesysSecret};
use crate::domain::ids::ConversationId;
use crate::ports::{
    Conversation, Conversations, Deadline, GenesysError, GenesysRequest, Lost, ParticipantId,
    ReadSecret,
};

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

/// Genesys Cloud, as the variables of the function name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesysConfig {
    /// `GENESYS_SECRET_ID`: name or ARN in Secrets Manager.
    pub secret_id: String,
    /// `https://api.{GENESYS_DOMAIN}`, or `GENESYS_API_BASE` for local runs.
    pub api_base: String,
    /// `https://login.{GENESYS_DOMAIN}`, or `GENESYS_LOGIN_BASE` for local runs.
    pub login_base: String,
    /// `GENESYS_LATE_PAYMENT_FLOW_ID`: the workflow for payments confirmed after the call.
    pub late_payment_flow_id: Option<String>,
}

/// The client.
pub struct Genesys<S, T = Client> {
    pub(super) http: Http<T>,
    pub(super) config: GenesysConfig,
    pub(super) secret: Arc<CachedSecret<S, GenesysSecret>>,
    pub(super) token: Mutex<Option<Token>>,
}

impl<S: ReadSecret, T: Transport> Genesys<S, T> {
    /// A client of one organization.
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

    /// Sends a request, once more where that can do no harm and fits the deadline.
    pub(super) async fn send(
        &self,
        asked: GenesysRequest,
        request: impl Fn() -> RequestBuilder,
        deadline: Deadline,
    ) -> Result<HttpResponse, GenesysError> {
        // Even a deadline that has passed lets a request out, and a write must not be let out for
        // nothing.
        if deadline.remaining().is_zero() {
            return Err(GenesysError::NoTime);
        }
        // mutant: try-limit
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
    ) -> Result<HttpResponse, GenesysError> {
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

/// Why a request is worth repeating, and after how long; `None` where it is not, or where the
/// repeat could do harm.
fn retry(
    asked: GenesysRequest,
    tried: &Result<HttpResponse, Unanswered>,
) -> Option<(&'static str, Duration)> {
    let answer = match tried {
        Ok(answer) => answer,
        // mutant: no-connection
        Err(Unanswered::Connect) => return Some(("no connection", RETRY_DELAY)),
        // mutant: no-repeat
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
        // mutant: workflow-once
        500 | 503 if asked != GenesysRequest::Workflow => Some(("5xx", delay(RETRY_DELAY))),
        502 | 504 if !asked.is_write() => Some(("gateway", delay(RETRY_DELAY))),
        _ => None,
    }
}

/// What the last try comes to.
fn outcome(
    asked: GenesysRequest,
    tried: Result<HttpResponse, Unanswered>,
) -> Result<HttpResponse, GenesysError> {
    let no_answer = |lost| Err(GenesysError::NoAnswer { to: asked, lost });
    match tried {
        Ok(answer) if answer.status == 429 => Err(GenesysError::RateLimited),
        // mutant: gateway
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

fn log_refusal(answer: &HttpResponse) {
    tracing::info!(
        status = answer.status,
        correlation_id = answer.id("inin-correlation-id"),
        "Genesys refused"
    );
}

fn success(answer: &HttpResponse) -> Result<(), GenesysError> {
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
        let wire: WireConversation =
            serde_json::from_slice(&answer.body).map_err(|_| GenesysError::Status {
                status: answer.status,
            })?;
        Ok(Some(wire.into()))
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
