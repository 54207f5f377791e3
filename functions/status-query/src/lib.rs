//! `GET /payments/{conversation_id}?order_id=…`, or the bare request with these two fields: where a
//! payment stands. `GET /pay` and `POST /pay/session` with `{"token": "…"}`: the payer's page, and
//! what it needs to let the payer pay.
//!
//! Each within two seconds.

pub mod page;

use std::time::Duration;

use lambda_http::http::{Method, StatusCode, header};
use lambda_http::{Body, Request, RequestExt, Response};
use serde::Deserialize;
use shared::api::{Named, PayerSession, PayerTold, Problem, Reply};
use shared::link::LinkToken;
use shared::pay_link::{Session, Standing, session};
use shared::ports::{
    AdoptIntent, Conversations, FetchIntent, GetLink, GetPayment, PublishableKey, QueryPayments,
    StoreError, UpdatePayment,
};
use shared::query::query;
use shared::telemetry::{self, Metric};
use shared::time::{Clock, Deadline};
use tokio::time::Instant;

use crate::page::{guarded, page};

/// The whole answer.
pub const BUDGET: Duration = Duration::from_secs(2);

/// What of it a refresh from Stripe, and telling Genesys of it, may take.
const REFRESH_BUDGET: Duration = Duration::from_millis(1500);

/// The longest body that a session may be asked for with, in bytes. The page sends 34.
const MAX_SESSION_BODY: usize = 256;

/// What is asked for.
enum Route {
    Status,
    Page,
    Session,
}

impl Route {
    /// By the end of the path: a custom domain may put a path of its own before it, and a browser a
    /// slash behind it.
    fn of(request: &Request) -> Self {
        let path = request.raw_http_path().trim_end_matches('/');
        if request.path_parameters().first("conversation_id").is_some() {
            Self::Status
        } else if path.ends_with("/pay/session") {
            Self::Session
        } else if path.ends_with("/pay") {
            Self::Page
        } else {
            Self::Status
        }
    }
}

/// The function.
#[derive(Debug)]
pub struct StatusQueryFunction<S, P, G, C> {
    /// The table.
    pub store: S,
    /// Stripe, for stale records.
    pub stripe: P,
    /// Genesys, where there is one to tell.
    pub genesys: Option<G>,
    /// The time of day.
    pub clock: C,
    /// Whom the payer's page names.
    pub merchant_name: String,
}

impl<S, P, G, C> StatusQueryFunction<S, P, G, C>
where
    S: GetPayment + QueryPayments + GetLink + UpdatePayment + AdoptIntent,
    P: FetchIntent + PublishableKey,
    G: Conversations,
    C: Clock,
{
    /// Answers a request, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let response = match (Route::of(&request), request.method()) {
            (Route::Status, _) => self.status(&request).await,
            (Route::Page, &Method::GET) => {
                let languages = request
                    .headers()
                    .get(header::ACCEPT_LANGUAGE)
                    .and_then(|value| value.to_str().ok());
                page(languages.unwrap_or_default())
            }
            (Route::Session, &Method::POST) => self.session(&request).await,
            (Route::Page, _) => guarded(PayerTold::WrongMethod("GET").into_response()),
            (Route::Session, _) => guarded(PayerTold::WrongMethod("POST").into_response()),
        };
        telemetry::answered(response.status().as_u16(), started.elapsed());
        response
    }

    async fn status(&self, request: &Request) -> Response<Body> {
        let answering = tokio::time::timeout(BUDGET, self.answer(request)).await;
        let answered = answering.unwrap_or_else(|_| {
            // Too slow is as good as not there, and told the same way.
            Err(Problem::from(&StoreError::Unavailable(
                "no answer in time".to_owned(),
            )))
        });
        match answered {
            Ok(reply) => reply.into_response(StatusCode::OK),
            Err(problem) => {
                tracing::warn!(
                    code = problem.code.as_str(),
                    field = problem.field,
                    "query refused"
                );
                telemetry::count(Metric::Problem, problem.code.as_str());
                problem.into_response()
            }
        }
    }

    /// What the page of a link needs, or why there is nothing to pay. A text that is no token is an
    /// unknown link.
    async fn session(&self, request: &Request) -> Response<Body> {
        let Some(token) = token(request.body()) else {
            telemetry::count(Metric::PayLink, PayerTold::Malformed.state());
            return guarded(PayerTold::Malformed.into_response());
        };
        let opening = async {
            let Ok(token) = LinkToken::parse(&token) else {
                return Ok(Session::Closed(Standing::Unknown));
            };
            let deadline = Deadline::after(REFRESH_BUDGET);
            session(
                &self.store,
                &self.stripe,
                self.genesys.as_ref(),
                &self.clock,
                &token,
                deadline,
            )
            .await
        };
        let told = match tokio::time::timeout(BUDGET, opening).await {
            Ok(Ok(Session::Open {
                payment,
                publishable_key,
                client_secret,
            })) => {
                tracing::info!(
                    conversation_id = %payment.correlation.conversation_id,
                    order_id = %payment.correlation.order_id,
                    attempt = payment.correlation.attempt,
                    payment_status = payment.status.as_str(),
                    "pay link opened"
                );
                let merchant = self.merchant_name.clone();
                PayerTold::Open(PayerSession::new(
                    &payment,
                    publishable_key,
                    client_secret,
                    merchant,
                ))
            }
            Ok(Ok(Session::Closed(standing))) => match standing {
                Standing::Paid => PayerTold::Paid,
                Standing::Canceled => PayerTold::Canceled,
                Standing::Expired => PayerTold::Expired,
                Standing::Unknown => PayerTold::Unknown,
                Standing::Processing | Standing::Payable(_) => PayerTold::Processing,
            },
            Ok(Err(error)) => {
                tracing::warn!(%error, "link not opened");
                PayerTold::Unavailable
            }
            Err(_) => {
                tracing::warn!("opening the link took too long");
                PayerTold::Unavailable
            }
        };
        telemetry::count(Metric::PayLink, told.state());
        guarded(told.into_response())
    }

    async fn answer(&self, request: &Request) -> Result<Reply, Problem> {
        let Named {
            conversation_id,
            order_id,
        } = Named::read(request, None)?;
        let refresh_by = Deadline::after(REFRESH_BUDGET);
        let found = query(
            &self.store,
            &self.stripe,
            self.genesys.as_ref(),
            &self.clock,
            &conversation_id,
            order_id.as_ref(),
            refresh_by,
        );
        let found = found.await.map_err(|error| {
            tracing::warn!(%error, "record not read");
            Problem::from(&error)
        })?;
        tracing::info!(
            conversation_id = conversation_id.as_str(),
            order_id = order_id.as_ref().map(|id| id.as_str()),
            payment_status = found
                .as_ref()
                .map_or("NOT_FOUND", |payment| payment.status.as_str()),
            "payment queried"
        );
        Ok(match found {
            Some(payment) => Reply::of(&payment),
            None => Reply::not_found(&conversation_id, order_id.as_ref()),
        })
    }
}

/// The token that a session is asked for with; `None` when the body is not what the page sends.
fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Asked {
        token: String,
    }
    let body = Some(body).filter(|body| body.len() <= MAX_SESSION_BODY)?;
    serde_json::from_slice(body)
        .ok()
        .map(|Asked { token }| token)
}
