//! `GET /payments/{conversation_id}?order_id=…`, or a direct invocation with these two fields:
//! where a payment stands. `GET /pay` and `POST /pay/session` with `{"token": "…"}`: the payer's
//! page, and what it needs to let the payer pay.
//!
//! Each within two seconds.

pub mod pay;
mod status;

use std::time::Duration;

use lambda_http::http::{Method, header};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::lambda::telemetry;
use shared::ports::{
    Clock, Conversations, Deadline, FetchIntent, GetLink, GetPayment, PublishableKey,
    TransactPayment, UpdatePayment,
};
use shared::usecases::ctx::Ctx;
use tokio::time::Instant;

use crate::pay::page::page;
use crate::pay::session::SessionReply;

/// The time for the whole answer.
pub const BUDGET: Duration = Duration::from_secs(2);

/// What of it a refresh from Stripe, and telling Genesys of it, may take.
const REFRESH_BUDGET: Duration = Duration::from_millis(1500);

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

#[derive(Debug)]
pub struct StatusQueryFunction<S, Stripe, Genesys, C> {
    pub store: S,
    pub stripe: Stripe,
    /// Genesys, if there is one to tell.
    pub genesys: Option<Genesys>,
    pub clock: C,
    /// Whom the payer's page names.
    pub merchant_name: String,
}

impl<S, Stripe, Genesys, C> StatusQueryFunction<S, Stripe, Genesys, C>
where
    S: GetPayment + GetLink + UpdatePayment + TransactPayment,
    Stripe: FetchIntent + PublishableKey,
    Genesys: Conversations,
    C: Clock,
{
    /// Answers a request, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let response = match (Route::of(&request), request.method()) {
            (Route::Status, _) => self.status(&request).await,
            (Route::Page, &Method::GET) => {
                let languages = request.headers().get(header::ACCEPT_LANGUAGE);
                page(
                    languages
                        .and_then(|value| value.to_str().ok())
                        .unwrap_or_default(),
                )
            }
            (Route::Session, &Method::POST) => self.session(&request).await,
            (Route::Page, _) => SessionReply::WrongMethod("GET").into_response(),
            (Route::Session, _) => SessionReply::WrongMethod("POST").into_response(),
        };
        telemetry::count_response(response.status().as_u16(), started.elapsed());
        response
    }
}

impl<S, Stripe, Genesys, C: Clock> StatusQueryFunction<S, Stripe, Genesys, C> {
    fn ctx(&self) -> Ctx<'_, S, Stripe> {
        Ctx {
            store: &self.store,
            stripe: &self.stripe,
            clock: &self.clock,
            deadline: Deadline::after(REFRESH_BUDGET),
        }
    }
}
