//! `POST /payments`: gives the order's payment, its intent made at Stripe once, and a link to pay
//! it. `DELETE /payments/{conversation_id}?order_id=…`: cancels it.
//!
//! As bare requests: the body of `POST`; and the names with `"operation": "cancel"`.

pub mod request;

use std::time::Duration;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use shared::api::{Named, Problem, ProblemCode, Reply};
use shared::cancel::cancel;
use shared::config::{PayLinkConfig, PaymentPolicy};
use shared::create::{CreateError, Created, create};
use shared::entry::is_bare;
use shared::ids::{ConversationId, OrderId};
use shared::link::{LinkToken, NewLink};
use shared::payment::{Payment, PaymentStatus};
use shared::ports::{
    AdoptIntent, CancelIntent, ConfirmIntent, CreateIntent, FetchIntent, GetPayment, PutLink,
    PutPayment, RandomBits, StripeError, UpdatePayment,
};
use shared::telemetry::{self, Metric};
use shared::time::{Clock, Deadline};
use tokio::time::Instant;

/// The most that is kept of the budget for what follows Stripe's answer: writing it down and
/// replying.
const MAX_RESERVE: Duration = Duration::from_millis(400);

/// The function.
#[derive(Debug)]
pub struct CreateIntentFunction<S, P, R, C> {
    /// The table.
    pub store: S,
    /// Stripe.
    pub stripe: P,
    /// Where tokens come from.
    pub random: R,
    /// The time of day.
    pub clock: C,
    /// What may be charged.
    pub policy: PaymentPolicy,
    /// The whole answer.
    pub budget: Duration,
    /// Pay links, where the deployment has them.
    pub pay_link: Option<PayLinkConfig>,
}

impl<S, P, R, C> CreateIntentFunction<S, P, R, C>
where
    S: PutPayment + GetPayment + UpdatePayment + AdoptIntent + PutLink,
    P: CreateIntent + ConfirmIntent + CancelIntent + FetchIntent,
    R: RandomBits,
    C: Clock,
{
    /// Answers a request, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let deadline = Deadline::after(self.budget);
        let answered = if wants_cancel(&request) {
            self.cancel(&request, deadline).await
        } else {
            self.create(&request, deadline).await
        };
        let response = answered.unwrap_or_else(|problem| {
            telemetry::count(Metric::Problem, problem.code.as_str());
            problem.into_response()
        });
        telemetry::answered(response.status().as_u16(), started.elapsed());
        response
    }

    async fn create(
        &self,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Response<Body>, Problem> {
        let order =
            request::read(request.body().as_ref(), &self.policy).inspect_err(|problem| {
                tracing::warn!(
                    code = problem.code.as_str(),
                    field = problem.field,
                    "request refused"
                );
            })?;
        let creating = async {
            let link = self.new_link()?;
            let created = create(
                &self.store,
                &self.stripe,
                &self.clock,
                &order,
                link,
                self.for_stripe(deadline),
            )
            .await;
            created.map_err(|error| refused("payment not created", &error))
        };
        let created = within(deadline, creating).await.inspect_err(|problem| {
            not_answered(&order.conversation_id, &order.order_id, problem);
        })?;
        let Created {
            payment,
            first,
            client_secret,
            link,
        } = created;
        let base = self
            .pay_link
            .as_ref()
            .map(|config| config.base.as_str())
            .unwrap_or_default();
        let payment_url = link.map(|token| format!("{base}/pay#{}", token.in_url()).into());
        answered("payment answered", &payment, first);
        let declined = payment.status == PaymentStatus::Declined;
        let status = if first && !declined {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(Reply::of(&payment)
            .handing_out(client_secret, payment_url)
            .into_response(status))
    }

    async fn cancel(
        &self,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Response<Body>, Problem> {
        let read = Named::read(request, Some(CANCEL)).and_then(
            |Named {
                 conversation_id,
                 order_id,
             }| match order_id {
                Some(order_id) => Ok((conversation_id, order_id)),
                None => Err(Problem::with_field(
                    ProblemCode::InvalidOrderId,
                    "order_id",
                    "order_id must be that of the payment to cancel; it is missing",
                )),
            },
        );
        let (conversation_id, order_id) = read.inspect_err(|problem| {
            tracing::warn!(
                code = problem.code.as_str(),
                field = problem.field,
                "request refused"
            );
        })?;
        let canceling = async {
            let for_stripe = self.for_stripe(deadline);
            let canceled = cancel(
                &self.store,
                &self.stripe,
                &self.clock,
                &conversation_id,
                &order_id,
                for_stripe,
            )
            .await;
            canceled.map_err(|error| refused("payment not canceled", &error))
        };
        let canceled = within(deadline, canceling).await.inspect_err(|problem| {
            not_answered(&conversation_id, &order_id, problem);
        })?;
        let reply = match &canceled {
            Some(payment) => {
                answered("cancellation answered", payment, false);
                Reply::of(payment)
            }
            None => Reply::not_found(&conversation_id, Some(&order_id)),
        };
        Ok(reply.into_response(StatusCode::OK))
    }

    /// A link that nobody has yet, where the deployment has links.
    fn new_link(&self) -> Result<Option<NewLink>, Problem> {
        let Some(PayLinkConfig { valid_for, .. }) = &self.pay_link else {
            return Ok(None);
        };
        let bits = self.random.bits().map_err(|error| {
            tracing::warn!(%error, "no pay link");
            Problem::new(
                ProblemCode::StoreUnavailable,
                "no pay link was made; ask again",
            )
        })?;
        Ok(Some(NewLink {
            token: LinkToken::from_bits(bits),
            valid_for: *valid_for,
        }))
    }

    fn for_stripe(&self, deadline: Deadline) -> Deadline {
        deadline.less(MAX_RESERVE.min(self.budget / 10))
    }
}

/// The `operation` of a bare request to cancel.
const CANCEL: &str = "cancel";

/// `DELETE`, or a bare request that says so.
fn wants_cancel(request: &Request) -> bool {
    #[derive(Deserialize)]
    struct Operation {
        operation: String,
    }
    let says_so = || {
        serde_json::from_slice::<Operation>(request.body())
            .is_ok_and(|said| said.operation == CANCEL)
    };
    request.method() == Method::DELETE || (is_bare(request) && says_so())
}

async fn within<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let spent = |_| {
        Err(Problem::new(
            ProblemCode::StripeTimeout,
            "the time budget was spent; ask again",
        ))
    };
    tokio::time::timeout_at(deadline.instant(), work)
        .await
        .unwrap_or_else(spent)
}

fn answered(what: &str, payment: &Payment, first: bool) {
    tracing::info!(
        conversation_id = %payment.correlation.conversation_id,
        order_id = %payment.correlation.order_id,
        attempt = payment.correlation.attempt,
        payment_intent_id = payment.intent_id.as_ref().map(|id| id.as_str()),
        payment_status = payment.status.as_str(),
        first,
        "{what}"
    );
}

fn refused(what: &str, error: &CreateError) -> Problem {
    tracing::warn!(%error, "{what}");
    problem(error)
}

fn not_answered(conversation_id: &ConversationId, order_id: &OrderId, problem: &Problem) {
    let (code, field) = (problem.code.as_str(), problem.field);
    tracing::warn!(%conversation_id, %order_id, code, field, "payment refused");
}

/// What a flow's engineer is told. The code is stable; the text repeats nothing that Stripe or the
/// caller sent but codes and amounts.
fn problem(error: &CreateError) -> Problem {
    match error {
        CreateError::OrderChanged { have } => Problem::with_field(
            ProblemCode::OrderChanged,
            "amount",
            "the amount and the currency must be those that the order has in this conversation; send those, or another \
             order_id",
        )
        .came(format!("this order_id already stands at {have}")),
        CreateError::InProgress => Problem::new(ProblemCode::InProgress, "the same order is at Stripe; ask again"),
        CreateError::AttemptExpired => Problem::with_field(
            ProblemCode::AttemptExpired,
            "order_id",
            "this order was begun more than 20 hours ago and never finished; send another order_id",
        ),
        CreateError::AttemptUnclear => Problem::with_field(
            ProblemCode::AttemptExpired,
            "order_id",
            "this order was begun more than 20 hours ago, and Stripe cannot say whether it has an intent; nothing was \
             released: look for it in Stripe, or send another order_id",
        ),
        CreateError::AttemptFailed => Problem::new(
            ProblemCode::StripeUnavailable,
            "Stripe failed to make the intent; send the same request again, which begins a new attempt",
        ),
        CreateError::PaymentMethodRefused { code } => Problem::with_field(
            ProblemCode::InvalidPaymentMethod,
            "payment_method",
            format!("Stripe cannot use this payment_method ({code}); send a fresh pm_ token of this Stripe account"),
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
        StripeError::Rejected { code, .. } if code == "amount_too_large" => Problem::with_field(
            ProblemCode::AmountAboveLimit,
            "amount",
            "the amount is above what Stripe takes",
        ),
        StripeError::Rejected { code, param } => {
            let about = if param.is_empty() {
                String::new()
            } else {
                format!(" about {param}")
            };
            Problem::new(
                ProblemCode::StripeRejected,
                format!("Stripe refused the request: {code}{about}"),
            )
        }
        StripeError::ReceiptRefused { .. } => Problem::with_field(
            ProblemCode::InvalidReceiptEmail,
            "receipt_email",
            "Stripe refused this receipt_email; send another one, or none",
        ),
        StripeError::UnexpectedState | StripeError::KeyMismatch => Problem::new(
            ProblemCode::StripeRejected,
            "Stripe refused the request in the intent's present state",
        ),
        StripeError::Auth { status } => Problem::new(
            ProblemCode::StripeAuth,
            format!(
                "Stripe answered {status} to the key, also after it was read afresh; check the Stripe secret"
            ),
        ),
        StripeError::InUse => Problem::new(
            ProblemCode::InProgress,
            "the same order is at Stripe; ask again",
        ),
        StripeError::RateLimited => Problem::new(
            ProblemCode::RateLimited,
            "Stripe limits the rate; ask again",
        ),
        StripeError::Unavailable | StripeError::KeptFailure => Problem::new(
            ProblemCode::StripeUnavailable,
            "Stripe did not answer properly, also on the retry; ask again",
        ),
        StripeError::Timeout => Problem::new(
            ProblemCode::StripeTimeout,
            "Stripe did not answer within the time budget; ask again",
        ),
        StripeError::Secret(error) => Problem::from(error),
    }
}
