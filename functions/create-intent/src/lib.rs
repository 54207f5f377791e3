//! `POST /payments`, or its body as a bare request: gives the order's payment, its intent made at Stripe once.

pub mod request;

use std::time::Duration;

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use shared::api::{Problem, ProblemCode, Reply};
use shared::config::PaymentPolicy;
use shared::create::{CreateError, Created, Order, create};
use shared::payment::PaymentStatus;
use shared::ports::{
    AdoptIntent, ConfirmIntent, CreateIntent, FetchIntent, GetPayment, PutPayment, StripeError, UpdatePayment,
};
use shared::telemetry::{self, Metric};
use shared::time::{Clock, Deadline};
use tokio::time::Instant;

/// The most that is kept of the budget for what follows Stripe's answer: writing it down and replying.
const MAX_RESERVE: Duration = Duration::from_millis(400);

/// The function.
#[derive(Debug)]
pub struct CreateIntentFunction<S, P, C> {
    /// The table.
    pub store: S,
    /// Stripe.
    pub stripe: P,
    /// The time of day.
    pub clock: C,
    /// What may be charged.
    pub policy: PaymentPolicy,
    /// The whole answer.
    pub budget: Duration,
}

impl<S, P, C> CreateIntentFunction<S, P, C>
where
    S: PutPayment + GetPayment + UpdatePayment + AdoptIntent,
    P: CreateIntent + ConfirmIntent + FetchIntent,
    C: Clock,
{
    /// Answers a request, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let deadline = Deadline::after(self.budget);
        let read = request::read(request.body().as_ref(), &self.policy);
        let outcome = match &read {
            Ok(order) => self.create(order, deadline).await,
            Err(problem) => Err(problem.clone()),
        };
        let order = read.as_ref().ok();
        let response = match outcome {
            Ok(created) => {
                tracing::info!(
                    conversation_id = %created.payment.correlation.conversation_id,
                    order_id = %created.payment.correlation.order_id,
                    attempt = created.payment.correlation.attempt,
                    payment_intent_id = created.payment.intent_id.as_ref().map(|id| id.as_str()),
                    payment_status = created.payment.status.as_str(),
                    first = created.first,
                    "payment answered"
                );
                let declined = created.payment.status == PaymentStatus::Declined;
                let status = if created.first && !declined { StatusCode::CREATED } else { StatusCode::OK };
                Reply::of(&created.payment, created.client_secret).into_response(status)
            }
            Err(problem) => {
                tracing::warn!(
                    conversation_id = order.map(|order| order.conversation_id.as_str()),
                    order_id = order.map(|order| order.order_id.as_str()),
                    code = problem.code.as_str(),
                    field = problem.field,
                    "payment refused"
                );
                telemetry::count(Metric::Problem, problem.code.as_str());
                problem.into_response()
            }
        };
        telemetry::answered(response.status().as_u16(), started.elapsed());
        response
    }

    async fn create(&self, order: &Order, deadline: Deadline) -> Result<Created, Problem> {
        let for_stripe = deadline.less(MAX_RESERVE.min(self.budget / 10));
        let creating = create(&self.store, &self.stripe, &self.clock, order, for_stripe);
        match tokio::time::timeout_at(deadline.instant(), creating).await {
            Ok(created) => created.map_err(|error| {
                tracing::warn!(%error, "payment not created");
                problem(&error)
            }),
            Err(_) => Err(Problem::new(ProblemCode::StripeTimeout, "the time budget was spent; ask again")),
        }
    }
}

/// What a flow's engineer is told. The code is stable; the text repeats nothing that Stripe or the caller sent but codes
/// and amounts.
fn problem(error: &CreateError) -> Problem {
    match error {
        CreateError::OrderChanged { have } => Problem::with_field(
            ProblemCode::OrderChanged,
            "amount",
            format!("this order_id already stands at {have} in this conversation; send that, or another order_id"),
        ),
        CreateError::InProgress => Problem::new(ProblemCode::InProgress, "the same order is at Stripe; ask again"),
        CreateError::AttemptExpired => Problem::with_field(
            ProblemCode::AttemptExpired,
            "order_id",
            "this order was begun more than 20 hours ago and never finished; send another order_id",
        ),
        CreateError::PaymentMethodRefused { code } => Problem::with_field(
            ProblemCode::InvalidPaymentMethod,
            "payment_method",
            format!(
                "Stripe cannot use this payment_method ({code}); a fresh pm_ token of this Stripe account is wanted"
            ),
        ),
        CreateError::Disagreement(what) => Problem::new(
            ProblemCode::StripeRejected,
            format!("Stripe's answer disagrees with the record on the {what}; nothing was applied"),
        ),
        CreateError::Store(error) => Problem::from(error),
        CreateError::Stripe(error) => stripe_problem(error),
    }
}

fn stripe_problem(error: &StripeError) -> Problem {
    match error {
        StripeError::Rejected { code, .. } if code == "amount_too_small" => Problem::with_field(
            ProblemCode::AmountBelowMinimum,
            "amount",
            "the amount is below what Stripe takes after conversion to the account's settlement currency",
        ),
        StripeError::Rejected { code, .. } if code == "amount_too_large" => {
            Problem::with_field(ProblemCode::AmountAboveLimit, "amount", "the amount is above what Stripe takes")
        }
        StripeError::Rejected { code, param } => {
            let about = if param.is_empty() { String::new() } else { format!(" about {param}") };
            Problem::new(ProblemCode::StripeRejected, format!("Stripe refused the request: {code}{about}"))
        }
        StripeError::UnexpectedState | StripeError::KeyMismatch => {
            Problem::new(ProblemCode::StripeRejected, "Stripe refused the request in the intent's present state")
        }
        StripeError::Auth { status } => Problem::new(
            ProblemCode::StripeAuth,
            format!("Stripe answered {status} to the key, also after it was read afresh; check the Stripe secret"),
        ),
        StripeError::InUse => Problem::new(ProblemCode::InProgress, "the same order is at Stripe; ask again"),
        StripeError::RateLimited => Problem::new(ProblemCode::RateLimited, "Stripe limits the rate; ask again"),
        StripeError::Unavailable => {
            Problem::new(ProblemCode::StripeUnavailable, "Stripe did not answer properly, also on the retry; ask again")
        }
        StripeError::Timeout => {
            Problem::new(ProblemCode::StripeTimeout, "Stripe did not answer within the time budget; ask again")
        }
        StripeError::Secret(error) => Problem::from(error),
    }
}
