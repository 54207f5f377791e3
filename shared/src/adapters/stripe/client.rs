//! Stripe's PaymentIntents API.
//!
//! Every write carries an idempotency key, and a retry sends the very same bytes under it. At most
//! one retry, inside the deadline; whether to retry is Stripe's word first (`Stripe-Should-Retry`),
//! then as Stripe's own clients do: connection errors, 409 and 5xx, not 429. A time-out is not
//! retried, for it has used up the deadline.

use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use reqwest::{Client, Method};
use secrecy::ExposeSecret;

use super::wire::ApiError;
use crate::adapters::http::{Http, HttpResponse, Transport, Unanswered};
use crate::adapters::secrets::{CachedSecret, StripeSecret};
use crate::domain::ids::IdempotencyKey;
use crate::ports::{Deadline, ReadSecret, StripeError};

/// The API version every request names: the newest that Stripe's official SDKs speak. Stripe.js on
/// the payer's page is of the same release.
pub const STRIPE_VERSION: &str = "2026-10-28.endive";

/// How long to wait before the one retry, unless Stripe says how long.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The least time a retry must still have to be worth sending.
const RETRY_NEEDS: Duration = Duration::from_millis(200);

/// The longest that the start of a function waits for a connection to Stripe.
const WARM_LIMIT: Duration = Duration::from_secs(1);

/// Stripe, as the variables of the function name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeConfig {
    /// `STRIPE_SECRET_ID`: name or ARN in Secrets Manager.
    pub secret_id: String,
    /// `STRIPE_API_BASE`, for local runs.
    pub api_base: String,
}

/// The client.
pub struct Stripe<S, T = Client> {
    http: Http<T>,
    base: String,
    pub(super) secret: Arc<CachedSecret<S, StripeSecret>>,
    pub(super) moto: bool,
}

impl<S: ReadSecret, T: Transport> Stripe<S, T> {
    /// A client of the API at `base`. With `moto`, tokens are charged as mail and telephone orders,
    /// which Stripe must have enabled for the account.
    pub fn new(
        http: Http<T>,
        base: String,
        secret: Arc<CachedSecret<S, StripeSecret>>,
        moto: bool,
    ) -> Self {
        Self {
            http,
            base,
            secret,
            moto,
        }
    }

    /// Reads the secret and connects, by a request without a key, before the first request needs
    /// them. What fails here is met, and reported, there.
    pub async fn warm(&self) {
        let request = self.http.client().get(format!("{}/healthcheck", self.base));
        let connecting = self.http.send(request, Deadline::after(WARM_LIMIT));
        let _ = tokio::join!(self.secret.get(), connecting);
    }

    /// Sends a call under the current key and, when Stripe refuses that, once more under the key
    /// read afresh.
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
    ) -> Result<HttpResponse, StripeError> {
        let secret = self.secret.get().await?;
        let answer = self.try_twice(call, &secret, deadline).await?;
        // mutant: refused-key
        if !matches!(answer.status, 401 | 403) {
            return Ok(answer);
        }
        match self.secret.other_than(&secret, Duration::ZERO).await? {
            Some(renewed) => self.try_twice(call, &renewed, deadline).await,
            None => Ok(answer),
        }
    }

    async fn try_twice(
        &self,
        call: &Call<'_>,
        secret: &StripeSecret,
        deadline: Deadline,
    ) -> Result<HttpResponse, StripeError> {
        let first = self.try_once(call, secret, deadline).await;
        let Some((reason, delay)) = retry_reason(&first) else {
            return first.map_err(StripeError::from);
        };
        // mutant: retry-fits
        if !deadline.allows(delay + RETRY_NEEDS) {
            return first.map_err(StripeError::from);
        }
        tracing::info!(
            reason,
            call = call.name,
            "retrying Stripe under the same key"
        );
        tokio::time::sleep(delay).await;
        self.try_once(call, secret, deadline)
            .await
            .map_err(StripeError::from)
    }

    async fn try_once(
        &self,
        call: &Call<'_>,
        secret: &StripeSecret,
        deadline: Deadline,
    ) -> Result<HttpResponse, Unanswered> {
        let mut request = self
            .http
            .client()
            .request(call.method.clone(), format!("{}{}", self.base, call.path))
            .bearer_auth(secret.secret_key.expose_secret())
            .header("Stripe-Version", STRIPE_VERSION);
        if let Some(Write { key, form }) = &call.write {
            request = request
                .header("Idempotency-Key", key.as_str())
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.clone());
        }
        self.http.send(request, deadline).await
    }
}

/// One request, built before the first try.
pub(super) struct Call<'a> {
    pub name: &'a str,
    pub method: Method,
    pub path: String,
    pub write: Option<Write<'a>>,
}

pub(super) struct Write<'a> {
    pub key: &'a IdempotencyKey,
    pub form: String,
}

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl From<Unanswered> for StripeError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Timeout => Self::Timeout,
            Unanswered::Connect | Unanswered::Broken => Self::Unavailable,
        }
    }
}

/// Why a try is worth repeating, and after how long.
fn retry_reason(tried: &Result<HttpResponse, Unanswered>) -> Option<(&'static str, Duration)> {
    let answer = match tried {
        Ok(answer) => answer,
        Err(Unanswered::Connect) => return Some(("no connection", RETRY_DELAY)),
        Err(Unanswered::Broken) => return Some(("broken connection", RETRY_DELAY)),
        Err(Unanswered::Timeout) => return None,
    };
    if is_replayed(answer) {
        // What is kept under the key is all that ever comes.
        return None;
    }
    let delay = answer
        .retry_after()
        .map_or(RETRY_DELAY, |after| after.max(RETRY_DELAY));
    match (answer.header("stripe-should-retry"), answer.status) {
        (Some("true"), _) => Some(("stripe-should-retry", delay)),
        (Some("false"), _) => None,
        (_, 409) => Some(("409", delay)),
        (_, 500..) => Some(("5xx", delay)),
        _ => None,
    }
}

/// What an answer other than success means.
pub(super) fn refusal(answer: &HttpResponse) -> StripeError {
    let error = ApiError::parse(&answer.body);
    let request_id = answer.id("request-id");
    tracing::info!(
        status = answer.status,
        kind = error.kind.as_deref(),
        code = error.code.as_deref(),
        param = error.param.as_deref(),
        request_id,
        "Stripe refused"
    );
    match answer.status {
        // mutant: kept-failure
        424 | 500.. if is_replayed(answer) => StripeError::KeptFailure,
        401 | 403 => StripeError::Auth {
            status: answer.status,
        },
        429 => StripeError::RateLimited,
        409 => StripeError::InUse,
        400..=499 if error.kind.as_deref() == Some("idempotency_error") => StripeError::KeyMismatch,
        400..=499 if error.is(&["payment_intent_unexpected_state"]) => StripeError::UnexpectedState,
        424 => StripeError::Unavailable,
        404 => StripeError::Rejected {
            code: error.code.unwrap_or_else(|| "resource_missing".to_owned()),
            param: error.param.unwrap_or_default(),
        },
        400..=499 => StripeError::Rejected {
            code: error
                .code
                .or(error.kind)
                .unwrap_or_else(|| "unreadable_error".to_owned()),
            param: error.param.unwrap_or_default(),
        },
        _ => StripeError::Unavailable,
    }
}

/// Whether it is what Stripe keeps under the idempotency key, rather than the outcome of this very
/// request.
pub(super) fn is_replayed(answer: &HttpResponse) -> bool {
    answer
        .header("idempotent-replayed")
        .is_some_and(|value| value == "true")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    pub(in crate::adapters::stripe) fn with(
        status: u16,
        headers: &[(&'static str, &str)],
    ) -> HttpResponse {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        HttpResponse {
            status,
            headers: map,
            body: Vec::new(),
            took: Duration::from_millis(1200),
        }
    }

    #[test]
    fn stripe_s_word_on_retrying_wins_over_the_status() {
        let reason = |answer| retry_reason(&Ok(answer)).map(|(reason, _)| reason);
        assert_eq!(reason(with(200, &[])), None);
        assert_eq!(reason(with(402, &[])), None);
        assert_eq!(reason(with(429, &[])), None);
        assert_eq!(
            reason(with(429, &[("stripe-should-retry", "true")])),
            Some("stripe-should-retry")
        );
        assert_eq!(reason(with(409, &[])), Some("409"));
        assert_eq!(reason(with(503, &[])), Some("5xx"));
        assert_eq!(reason(with(500, &[("stripe-should-retry", "false")])), None);
        assert!(retry_reason(&Err(Unanswered::Connect)).is_some());
        assert!(retry_reason(&Err(Unanswered::Timeout)).is_none());
    }
}
