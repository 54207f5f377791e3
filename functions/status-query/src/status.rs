//! Where a payment stands.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use shared::lambda::problem::Problem;
use shared::lambda::reply::Reply;
use shared::lambda::request::PaymentRef;
use shared::lambda::telemetry;
use shared::ports::telemetry::{Metric, count};
use shared::ports::{
    Clock, Conversations, FetchIntent, GetPayment, StoreError, TransactPayment, UpdatePayment,
};
use shared::usecases::query::query;

use crate::{BUDGET, StatusQueryFunction};

impl<S, Stripe, Genesys, C> StatusQueryFunction<S, Stripe, Genesys, C>
where
    S: GetPayment + UpdatePayment + TransactPayment,
    Stripe: FetchIntent,
    Genesys: Conversations,
    C: Clock,
{
    pub(crate) async fn status(&self, request: &Request) -> Response<Body> {
        let answered = tokio::time::timeout(BUDGET, self.answer(request)).await;
        let reply = answered.unwrap_or_else(|_| {
            let timeout = StoreError::Unavailable("no answer in time".to_owned());
            Err(Problem::from(&timeout))
        });
        match reply {
            Ok(reply) => reply.into_response(StatusCode::OK),
            Err(problem) => {
                let code = problem.code.as_str();
                tracing::warn!(code, field = problem.field, "query refused");
                count(Metric::Problems, code);
                problem.into_response()
            }
        }
    }

    async fn answer(&self, request: &Request) -> Result<Reply, Problem> {
        let PaymentRef {
            conversation_id,
            order_id,
            ..
        } = PaymentRef::read(request, None)?;
        let order_id = order_id.as_ref();
        telemetry::name_payment(&conversation_id, order_id);
        let querying = query(
            self.ctx(),
            self.genesys.as_ref(),
            &conversation_id,
            order_id,
        );
        let found = querying.await.map_err(|error| {
            tracing::warn!(%error, "could not read the record");
            Problem::from(&error)
        })?;
        let Some(payment) = found else {
            tracing::info!(payment_status = "NOT_FOUND", "payment queried");
            return Ok(Reply::not_found(&conversation_id, order_id));
        };
        telemetry::log_payment("payment queried", &payment);
        Ok(Reply::of(&payment, &conversation_id))
    }
}
