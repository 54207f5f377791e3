//! `GET /payments/{conversation_id}?order_id=…`, or the bare request with these two fields: where a payment stands, within
//! two seconds.

use std::time::Duration;

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt, Response};
use serde::Deserialize;
use shared::api::{MAX_REQUEST_BYTES, Problem, ProblemCode, Reply, conversation_id, order_id};
use shared::card_guard::holds_card_number;
use shared::entry::is_bare;
use shared::ids::{ConversationId, OrderId};
use shared::ports::{AdoptIntent, Conversations, FetchIntent, GetPayment, QueryPayments, UpdatePayment};
use shared::query::query;
use shared::telemetry::{self, Metric};
use shared::time::{Clock, Deadline};
use tokio::time::Instant;

/// The whole answer.
pub const BUDGET: Duration = Duration::from_secs(2);

/// What of it a refresh from Stripe, and telling Genesys of it, may take.
const REFRESH_BUDGET: Duration = Duration::from_millis(1500);

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
}

impl<S, P, G, C> StatusQueryFunction<S, P, G, C>
where
    S: GetPayment + QueryPayments + UpdatePayment + AdoptIntent,
    P: FetchIntent,
    G: Conversations,
    C: Clock,
{
    /// Answers a request, always and within the budget.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let started = Instant::now();
        let answering = tokio::time::timeout(BUDGET, self.answer(&request)).await;
        let answered = answering.unwrap_or_else(|_| {
            Err(Problem::new(ProblemCode::StoreUnavailable, "the record could not be read in time; ask again"))
        });
        let response = match answered {
            Ok(reply) => reply.into_response(StatusCode::OK),
            Err(problem) => {
                tracing::warn!(code = problem.code.as_str(), field = problem.field, "query refused");
                telemetry::count(Metric::Problem, problem.code.as_str());
                problem.into_response()
            }
        };
        telemetry::answered(response.status().as_u16(), started.elapsed());
        response
    }

    async fn answer(&self, request: &Request) -> Result<Reply, Problem> {
        let (conversation_id, order_id) = asked(request)?;
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
            payment_status = found.as_ref().map_or("NOT_FOUND", |payment| payment.status.as_str()),
            "payment queried"
        );
        Ok(match found {
            Some(payment) => Reply::of(&payment, None),
            None => Reply::not_found(&conversation_id, order_id.as_ref()),
        })
    }
}

/// Which payment is asked for: by path and query, or by the two fields of a bare request.
fn asked(request: &Request) -> Result<(ConversationId, Option<OrderId>), Problem> {
    let (path, parameters) = (request.path_parameters(), request.query_string_parameters());
    let bare = is_bare(request).then(|| bare(request.body())).transpose()?;
    let (conversation, order) = match &bare {
        Some(bare) => (bare.conversation_id.as_deref(), bare.order_id.as_deref()),
        None => (path.first("conversation_id"), parameters.first("order_id")),
    };
    // An empty order_id is an unset input of the Data Action.
    let order_id = order.filter(|id| !id.is_empty()).map(order_id).transpose()?;
    Ok((conversation_id(conversation.unwrap_or_default())?, order_id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    conversation_id: Option<String>,
    order_id: Option<String>,
}

fn bare(body: &[u8]) -> Result<Bare, Problem> {
    if body.len() > MAX_REQUEST_BYTES {
        let detail = format!("the request has {} bytes and at most {MAX_REQUEST_BYTES} are read", body.len());
        return Err(Problem::new(ProblemCode::RequestTooLarge, detail));
    }
    if std::str::from_utf8(body).is_ok_and(holds_card_number) {
        return Err(Problem::card_data_refused());
    }
    serde_json::from_slice(body).map_err(|_| {
        let detail = "the request wants conversation_id and, where one order is meant, order_id: strings, each once, and \
                      nothing else";
        Problem::new(ProblemCode::MalformedRequest, detail)
    })
}
