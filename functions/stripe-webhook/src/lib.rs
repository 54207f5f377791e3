//! Stripe's webhook on a Lambda Function URL: verifies the raw body, moves the payment, tells
//! Genesys. 200 only when all of it is done; otherwise Stripe's own retries are the queue.

use std::time::Duration;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde_json::json;
use shared::lambda::entry::FunctionError;
use shared::lambda::reply::json_response;
use shared::lambda::telemetry;
use shared::ports::telemetry::{Metric, count};
use shared::ports::{
    CancelIntent, Clock, Conversations, Deadline, Event, EventError, FetchIntent, GetPayment,
    ObjectError, SecretError, TransactPayment, UpdatePayment, VerifyEvent,
};
use shared::usecases::create::CreateError;
use shared::usecases::ctx::Ctx;
use shared::usecases::end::end_if_declined_too_often;
use shared::usecases::notify::{NotifyError, notify};
use shared::usecases::settle::{SettleError, Settled, settle_event};
use tokio::time::Instant;

/// The time for the whole answer. Stripe waits longer; the function's own time-out is 10 s.
pub const BUDGET: Duration = Duration::from_secs(8);

/// Largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

pub struct StripeWebhookFunction<S, Stripe, Genesys, C> {
    pub store: S,
    pub stripe: Stripe,
    /// Genesys, if there is one to tell.
    pub genesys: Option<Genesys>,
    pub clock: C,
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("only POST is answered")]
    Method,
    #[error("the body must have at most {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The attempt of which too many tries were declined.
    #[error("the attempt was not ended: {0}")]
    End(CreateError),
    #[error(transparent)]
    Notify(#[from] NotifyError),
    #[error("the time budget was spent")]
    Timeout,
}

impl Refusal {
    /// Status, and a word for metrics and the reply.
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Event(EventError::Signature(_)) => (StatusCode::BAD_REQUEST, "bad_signature"),
            Self::Event(EventError::Object(ObjectError::ThinEvent)) => {
                (StatusCode::BAD_REQUEST, "thin_event")
            }
            Self::Event(EventError::Object(_)) => (StatusCode::BAD_REQUEST, "malformed_event"),
            Self::Event(EventError::Secret(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "secret_unavailable")
            }
            Self::Settle(SettleError::Store(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable")
            }
            Self::Settle(SettleError::Stripe(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "stripe_unavailable")
            }
            Self::End(_) => (StatusCode::SERVICE_UNAVAILABLE, "attempt_not_ended"),
            Self::Notify(_) => (StatusCode::SERVICE_UNAVAILABLE, "genesys_not_told"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
        }
    }

    /// What the person who set up the endpoint sees beside each delivery.
    fn detail(&self) -> String {
        match self {
            Self::Event(EventError::Secret(SecretError::Unusable { .. })) => self.to_string(),
            _ if self.row().0 == StatusCode::SERVICE_UNAVAILABLE => String::new(),
            _ => self.to_string(),
        }
    }
}

impl<S, Stripe, Genesys, C> StripeWebhookFunction<S, Stripe, Genesys, C>
where
    S: GetPayment + UpdatePayment + TransactPayment,
    Stripe: FetchIntent + CancelIntent + VerifyEvent,
    Genesys: Conversations,
    C: Clock,
{
    /// Answers a delivery, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let deadline = Deadline::after(BUDGET);
        let taking = self.take(&request, deadline);
        let taken = tokio::time::timeout_at(deadline.instant(), taking).await;
        let (status, outcome, detail) = match taken.unwrap_or(Err(Refusal::Timeout)) {
            Ok(outcome) => (StatusCode::OK, outcome, String::new()),
            Err(refusal) => {
                let (status, outcome) = refusal.row();
                tracing::warn!(outcome, error = %refusal, "delivery not taken");
                (status, outcome, refusal.detail())
            }
        };
        count(Metric::Webhooks, outcome);
        telemetry::count_response(status.as_u16(), started.elapsed());
        reply(status, outcome, &detail)
    }

    /// Verifies the delivery and applies its event. Gives what became of it: `applied`, or why
    /// there was nothing to do.
    async fn take(&self, request: &Request, deadline: Deadline) -> Result<&'static str, Refusal> {
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let body: &[u8] = request.body().as_ref();
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let signature = request.headers().get("stripe-signature");
        let signature = signature.map(|header| header.to_str().unwrap_or_default());
        let verifying = self.stripe.verify_event(signature, body, self.clock.now());
        match verifying.await {
            Ok(event) => self.apply(event, deadline).await,
            // No intent of ours has such a currency, and no delivery of this event will have a
            // status that is known.
            Err(EventError::Object(
                error @ (ObjectError::UnknownStatus | ObjectError::UnknownCurrency),
            )) => {
                tracing::error!(%error, "event ignored");
                Ok("unknown_value")
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn apply(&self, event: Event, deadline: Deadline) -> Result<&'static str, Refusal> {
        let Event {
            id,
            kind,
            is_other_mode,
            is_other_account,
            seen,
        } = event;
        // mutant: own-account
        if is_other_account {
            tracing::warn!(
                event_id = id,
                kind,
                "event of another Stripe account ignored"
            );
            return Ok("other_account");
        }
        if is_other_mode {
            tracing::warn!(event_id = id, kind, "event of the other mode ignored");
            return Ok("other_livemode");
        }
        let Some(seen) = seen else {
            return Ok("other_event");
        };
        let ctx = Ctx {
            store: &self.store,
            stripe: &self.stripe,
            clock: &self.clock,
            deadline,
        };
        let payment_intent_id = seen.intent.id.clone();
        let (payment, outcome) = match settle_event(ctx, seen).await? {
            Settled::Moved(payment) => (payment, "applied"),
            Settled::Kept(payment, why) => (payment, why.as_str()),
            Settled::Disagreed(..) => return Ok("disagreement"),
            Settled::Unknown => {
                tracing::info!(event_id = id, kind, %payment_intent_id, "not an intent of ours");
                return Ok("not_ours");
            }
        };
        let correlation = &payment.correlation;
        telemetry::name_payment(&payment.holder, Some(&correlation.order_id));
        tracing::info!(
            event_id = id,
            kind,
            attempt = correlation.attempt,
            %payment_intent_id,
            payment_status = payment.status().as_str(),
            outcome,
            "event settled"
        );
        let payment = end_if_declined_too_often(ctx, payment).await;
        let payment = payment.map_err(Refusal::End)?;
        if let Some(genesys) = &self.genesys {
            // mutant: told-first
            let _ = notify(ctx, genesys, payment).await?;
        }
        Ok(outcome)
    }
}

fn reply(status: StatusCode, outcome: &'static str, detail: &str) -> Response<Body> {
    let body = json!({ "outcome": outcome, "detail": detail });
    let mut response = json_response(status, "application/json", &body);
    let error = FunctionError::new(outcome, detail);
    response.extensions_mut().insert(error);
    response
}
