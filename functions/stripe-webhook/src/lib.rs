//! Stripe's webhook on a Lambda Function URL: verifies the raw body, moves the payment, tells
//! Genesys. 200 only when all of it is done; otherwise Stripe's own retries are the queue.

use std::sync::Arc;
use std::time::Duration;

use lambda_http::http::{Method, StatusCode, header};
use lambda_http::{Body, Request, Response};
use secrecy::SecretString;
use serde_json::json;
use shared::entry::FunctionError;
use shared::notify::{NotifyError, notify};
use shared::ports::{AdoptIntent, Conversations, FetchIntent, GetPayment, UpdatePayment};
use shared::secrets::{CachedSecret, ReadSecret, SecretError, StripeSecret};
use shared::settle::{SettleError, Settled, settle_event};
use shared::signature::{SignatureError, SignatureHeader};
use shared::stripe_object::{Event, ObjectError, parse_event};
use shared::telemetry::{self, Metric};
use shared::time::{Clock, Deadline};
use tokio::time::Instant;

/// The whole answer. Stripe waits longer; the function's own time-out is 10 s.
pub const BUDGET: Duration = Duration::from_secs(8);

/// Largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// How often an unknown signature may cause the secret to be read afresh.
const REREAD_EVERY: Duration = Duration::from_secs(60);

/// A secret may be written down before there is an endpoint. Then no event can be judged, and
/// Stripe has to come again.
const NO_WEBHOOK_SECRETS: SecretError = SecretError::Unusable {
    field: "webhook_secrets",
    must: "must have the secret of the webhook endpoint",
};

/// The function.
pub struct StripeWebhookFunction<S, P, G, K, C> {
    /// The table.
    pub store: S,
    /// Stripe, for ties, and for intents that are not on record.
    pub stripe: P,
    /// Genesys, where there is one to tell.
    pub genesys: Option<G>,
    /// The webhook secrets.
    pub secret: Arc<CachedSecret<K, StripeSecret>>,
    /// The time of day.
    pub clock: C,
}

/// What became of a delivery.
#[derive(Debug)]
enum Outcome {
    /// The record moved, and Genesys was told.
    Applied,
    /// Nothing to do; the text says why.
    Ignored(&'static str),
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Not POST.
    #[error("only POST is answered")]
    Method,
    /// Larger than is read.
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// The signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The event.
    #[error(transparent)]
    Event(#[from] ObjectError),
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The table or Stripe.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// Genesys was not told.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The budget is spent.
    #[error("the time budget was spent")]
    Timeout,
}

impl Refusal {
    /// Status, and a word for metrics and the reply.
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Signature(_) => (StatusCode::BAD_REQUEST, "bad_signature"),
            Self::Event(ObjectError::ThinEvent) => (StatusCode::BAD_REQUEST, "thin_event"),
            Self::Event(_) => (StatusCode::BAD_REQUEST, "malformed_event"),
            Self::Secret(_) => (StatusCode::SERVICE_UNAVAILABLE, "secret_unavailable"),
            Self::Settle(SettleError::Store(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
            Self::Settle(SettleError::Stripe(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "stripe_unavailable")
            }
            Self::Notify(_) => (StatusCode::SERVICE_UNAVAILABLE, "genesys_not_told"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        }
    }
}

impl<S, P, G, K, C> StripeWebhookFunction<S, P, G, K, C>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent,
    G: Conversations,
    K: ReadSecret,
    C: Clock,
{
    /// Answers a delivery, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let deadline = Deadline::after(BUDGET);
        let taken =
            tokio::time::timeout_at(deadline.instant(), self.take(&request, deadline)).await;
        let response = match taken.unwrap_or(Err(Refusal::Timeout)) {
            Ok(outcome) => {
                let outcome = match outcome {
                    Outcome::Applied => "applied",
                    Outcome::Ignored(why) => why,
                };
                telemetry::count(Metric::Webhook, outcome);
                reply(StatusCode::OK, outcome, "")
            }
            Err(refusal) => {
                let (status, outcome) = refusal.row();
                tracing::warn!(outcome, error = %refusal, "delivery not taken");
                telemetry::count(Metric::Webhook, outcome);
                let detail = match refusal {
                    // Who set up the endpoint sees it beside each delivery.
                    Refusal::Secret(SecretError::Unusable { .. }) => refusal.to_string(),
                    _ if status == StatusCode::SERVICE_UNAVAILABLE => String::new(),
                    _ => refusal.to_string(),
                };
                reply(status, outcome, &detail)
            }
        };
        telemetry::answered(response.status().as_u16(), started.elapsed());
        response
    }

    async fn take(&self, request: &Request, deadline: Deadline) -> Result<Outcome, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let body: &[u8] = request.body().as_ref();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let secret = self.verify(request, body).await?;
        let Event {
            id,
            kind,
            livemode,
            is_other_account_s,
            seen,
        } = match parse_event(body) {
            // No intent of ours has such a currency, and no delivery of this event will have a
            // status that is known.
            Err(error @ (ObjectError::UnknownStatus | ObjectError::UnknownCurrency)) => {
                tracing::error!(%error, "event ignored");
                return Ok(Outcome::Ignored("unknown_value"));
            }
            event => event?,
        };
        if is_other_account_s {
            tracing::warn!(
                event_id = id,
                kind,
                "event of another Stripe account ignored"
            );
            return Ok(Outcome::Ignored("other_account"));
        }
        if secret.livemode != livemode {
            tracing::warn!(event_id = id, livemode, "event of the other mode ignored");
            return Ok(Outcome::Ignored("other_livemode"));
        }
        let Some(seen) = seen else {
            return Ok(Outcome::Ignored("other_event"));
        };
        let intent_id = seen.intent.id.clone();
        let settled = settle_event(&self.store, &self.stripe, &self.clock, seen, deadline).await?;
        let (payment, outcome) = match settled {
            Settled::Moved(payment) => (payment, Outcome::Applied),
            Settled::Kept(payment, keep) => (payment, Outcome::Ignored(keep.as_str())),
            Settled::Disagreed(payment, disagreement) => {
                telemetry::disagreement(&payment, disagreement);
                return Ok(Outcome::Ignored("disagreement"));
            }
            Settled::Unknown => {
                tracing::info!(event_id = id, kind, payment_intent_id = %intent_id, "intent of somebody else ignored");
                return Ok(Outcome::Ignored("not_ours"));
            }
        };
        tracing::info!(
            event_id = id,
            kind,
            conversation_id = %payment.correlation.conversation_id,
            order_id = %payment.correlation.order_id,
            attempt = payment.correlation.attempt,
            payment_intent_id = %intent_id,
            payment_status = payment.status.as_str(),
            outcome = ?outcome,
            "event settled"
        );
        if let Some(genesys) = &self.genesys {
            let _ = notify(&self.store, genesys, &self.clock, payment, deadline).await?;
        }
        Ok(outcome)
    }

    /// Checks the signature over the raw body; one that no secret made is checked once more against
    /// the secret read afresh, so that a rolled secret needs no deployment.
    async fn verify(&self, request: &Request, body: &[u8]) -> Result<Arc<StripeSecret>, Refusal> {
        let header = request
            .headers()
            .get("stripe-signature")
            .ok_or(SignatureError::Missing)?;
        let header = header.to_str().map_err(|_| SignatureError::Timestamp)?;
        let signature = SignatureHeader::parse(header, self.clock.now().secs())?;
        let secret = self.secret.get().await?;
        let verified = |secret: &[SecretString]| signature.verify(body, secret);
        if verified(&secret.webhook_secrets).is_ok() {
            return Ok(secret);
        }
        let renewed = self.secret.other_than(&secret, REREAD_EVERY).await?;
        if renewed
            .as_ref()
            .unwrap_or(&secret)
            .webhook_secrets
            .is_empty()
        {
            return Err(NO_WEBHOOK_SECRETS.into());
        }
        let renewed = renewed.ok_or(SignatureError::NoMatch)?;
        verified(&renewed.webhook_secrets)?;
        Ok(renewed)
    }
}

fn reply(status: StatusCode, outcome: &'static str, detail: &str) -> Response<Body> {
    let mut response = Response::new(Body::Text(
        json!({ "outcome": outcome, "detail": detail }).to_string(),
    ));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
        .extensions_mut()
        .insert(FunctionError::new(outcome, detail));
    response
}
