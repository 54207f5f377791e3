//! `POST /payments`: gives the order's payment, its intent made at Stripe once, and a link to pay
//! it. `DELETE /payments/{conversation_id}?order_id=…&force=…`: cancels it.
//!
//! As direct invocations: the body of `POST`; and the names with `"operation": "cancel"`.

pub mod request;

use std::time::Duration;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use shared::domain::ids::{ConversationId, OrderId, PaymentKey, PaymentUid};
use shared::domain::link::{LinkToken, NewLink, Placement};
use shared::domain::payment::PaymentStatus;
use shared::domain::policy::PaymentPolicy;
use shared::lambda::config::PayLinkConfig;
use shared::lambda::entry::is_direct;
use shared::lambda::problem::{Problem, ProblemCode};
use shared::lambda::reply::Reply;
use shared::lambda::request::PaymentRef;
use shared::lambda::telemetry;
use shared::ports::telemetry::{Metric, count};
use shared::ports::{
    CancelIntent, Clock, ConfirmIntent, CreateIntent, Deadline, FetchIntent, GetPayment,
    PlacePayment, PutPayment, RandomBits, TransactPayment, UpdatePayment,
};
use shared::usecases::cancel::cancel;
use shared::usecases::create::{Created, create};
use shared::usecases::ctx::Ctx;
use tokio::time::Instant;

/// The most that is kept of the budget for what follows Stripe's answer: recording it and replying.
const MAX_RESERVE: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub struct CreateIntentFunction<S, Stripe, R, C> {
    pub store: S,
    pub stripe: Stripe,
    pub random: R,
    pub clock: C,
    pub policy: PaymentPolicy,
    /// The time for the whole answer.
    pub budget: Duration,
    /// Pay links, if the deployment has them.
    pub pay_link: Option<PayLinkConfig>,
}

/// What is asked for.
enum Route {
    Create,
    Cancel,
}

impl Route {
    /// `DELETE`, or a direct invocation that says so, cancels.
    fn of(request: &Request) -> Self {
        #[derive(Deserialize)]
        struct Operation {
            operation: String,
        }
        let says_so = || {
            let read = serde_json::from_slice::<Operation>(request.body());
            read.is_ok_and(|said| said.operation == CANCEL)
        };
        if request.method() == Method::DELETE || (is_direct(request) && says_so()) {
            Self::Cancel
        } else {
            Self::Create
        }
    }
}

/// The `operation` of a direct invocation that cancels.
const CANCEL: &str = "cancel";

impl<S, Stripe, R, C> CreateIntentFunction<S, Stripe, R, C>
where
    S: PutPayment + GetPayment + UpdatePayment + TransactPayment + PlacePayment,
    Stripe: CreateIntent + ConfirmIntent + CancelIntent + FetchIntent,
    R: RandomBits,
    C: Clock,
{
    /// Answers a request, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let deadline = Deadline::after(self.budget);
        let answered = match Route::of(&request) {
            Route::Create => self.create(&request, deadline).await,
            Route::Cancel => self.cancel(&request, deadline).await,
        };
        let response = answered.unwrap_or_else(|problem| {
            count(Metric::Problems, problem.code.as_str());
            problem.into_response()
        });
        telemetry::count_response(response.status().as_u16(), started.elapsed());
        response
    }

    async fn create(
        &self,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Response<Body>, Problem> {
        let asked =
            request::read(request.body().as_ref(), &self.policy).inspect_err(refuse_request)?;
        let asking = asked.key.conversation_id();
        telemetry::name_payment(asking, Some(asked.key.order_id()));
        let payment_uid = PaymentUid::from_bits(self.random_bits()?);
        let placement = self.placement(asking)?;
        let creating = async {
            let created = create(self.ctx(deadline), &asked, payment_uid, placement).await;
            created.map_err(|error| {
                tracing::warn!(%error, "payment not created");
                Problem::from(&error)
            })
        };
        let created = with_deadline(deadline, creating).await;
        let Created {
            payment,
            first,
            client_secret,
            link,
        } = created.inspect_err(refuse_payment)?;
        telemetry::log_payment("payment answered", &payment);
        let pay_url = match (&self.pay_link, link) {
            (Some(config), Some(token)) => Some(config.url(&token)),
            _ => None,
        };
        let is_declined = payment.status() == PaymentStatus::Declined;
        let status = if first && !is_declined {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(Reply::of(&payment, asking)
            .with_secrets(client_secret, pay_url)
            .into_response(status))
    }

    async fn cancel(
        &self,
        request: &Request,
        deadline: Deadline,
    ) -> Result<Response<Body>, Problem> {
        let (conversation_id, order_id, force) = to_cancel(request).inspect_err(refuse_request)?;
        telemetry::name_payment(&conversation_id, Some(&order_id));
        let key = PaymentKey::new(conversation_id.clone(), order_id.clone());
        let canceling = async {
            cancel(self.ctx(deadline), &key, force)
                .await
                .map_err(|error| {
                    tracing::warn!(%error, "payment not canceled");
                    Problem::from(&error)
                })
        };
        let canceled = with_deadline(deadline, canceling).await;
        let reply = match canceled.inspect_err(refuse_payment)? {
            Some(payment) => {
                telemetry::log_payment("cancellation answered", &payment);
                Reply::of(&payment, &conversation_id)
            }
            None => Reply::not_found(&conversation_id, Some(&order_id)),
        };
        Ok(reply.into_response(StatusCode::OK))
    }

    /// What is left of the time goes to Stripe, but for what must follow.
    fn ctx(&self, deadline: Deadline) -> Ctx<'_, S, Stripe> {
        Ctx {
            store: &self.store,
            stripe: &self.stripe,
            clock: &self.clock,
            deadline: deadline.less(MAX_RESERVE.min(self.budget / 10)),
        }
    }

    /// What the answer is to leave behind, with a link that nobody has yet if the deployment has
    /// links.
    fn placement(&self, asking: &ConversationId) -> Result<Placement, Problem> {
        let at = self.clock.now();
        let link = match &self.pay_link {
            Some(PayLinkConfig { valid_for, .. }) => Some(NewLink {
                token: LinkToken::from_bits(self.random_bits()?),
                valid_until: at.plus(*valid_for),
            }),
            None => None,
        };
        Ok(Placement {
            conversation_id: asking.clone(),
            link,
            at,
        })
    }

    fn random_bits(&self) -> Result<[u8; 16], Problem> {
        self.random.bits().map_err(|error| {
            tracing::warn!(%error, "no payment was begun");
            Problem::new(
                ProblemCode::StoreUnavailable,
                "no payment was begun; send the request again",
            )
        })
    }
}

/// The payment that a request names to be canceled, and whether by force.
fn to_cancel(request: &Request) -> Result<(ConversationId, OrderId, bool), Problem> {
    let PaymentRef {
        conversation_id,
        order_id,
        force,
    } = PaymentRef::read(request, Some(CANCEL))?;
    let order_id = order_id.ok_or_else(|| {
        Problem::with_field(
            ProblemCode::InvalidOrderId,
            "order_id",
            "order_id is required: it names the payment to cancel",
        )
    })?;
    Ok((conversation_id, order_id, force))
}

async fn with_deadline<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let done = tokio::time::timeout_at(deadline.instant(), work).await;
    done.unwrap_or_else(|_| {
        Err(Problem::new(
            ProblemCode::StripeTimeout,
            "the time budget was spent; send the request again",
        ))
    })
}

fn refuse_request(problem: &Problem) {
    let code = problem.code.as_str();
    tracing::warn!(code, field = problem.field, "request refused");
}

fn refuse_payment(problem: &Problem) {
    let code = problem.code.as_str();
    tracing::warn!(code, field = problem.field, "payment refused");
}
