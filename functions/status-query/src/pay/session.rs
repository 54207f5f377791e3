//! What the payer's page needs to let the payer pay, or why there is nothing to pay.

use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Request, Response};
use serde::{Deserialize, Serialize};
use shared::domain::link::LinkToken;
use shared::lambda::reply::{Exposed, RETRY_AFTER, json_response};
use shared::lambda::telemetry;
use shared::ports::telemetry::{Metric, count};
use shared::ports::{
    Clock, Conversations, FetchIntent, GetLink, GetPayment, PublishableKey, TransactPayment,
    UpdatePayment,
};
use shared::usecases::pay_link::{Closed, OpenSession, Session, session};

use super::page::guarded;
use crate::{BUDGET, StatusQueryFunction};

/// The longest body that a session may be asked for with, in bytes. The page sends 34.
const MAX_SESSION_BODY: usize = 256;

/// What the payer's page hears of its link.
pub(crate) enum SessionReply {
    /// It can be paid now.
    Open(OpenSession),
    Closed(Closed),
    /// Nobody knows at the moment; the page may ask again.
    Unavailable,
    /// The request is none that the page sends.
    Malformed,
    /// The page or its session, asked for by another method than this one.
    WrongMethod(&'static str),
}

impl SessionReply {
    /// Status, and the page's word for it.
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Open(_) => (StatusCode::OK, "open"),
            Self::Closed(closed) => (status(*closed), closed.into()),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Self::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
        }
    }

    /// The HTTP response: `state` and, if it is `open`, what the page needs.
    pub(crate) fn into_response(self) -> Response<Body> {
        self.with_merchant("")
    }

    fn with_merchant(self, merchant: &str) -> Response<Body> {
        #[derive(Serialize)]
        struct Wire {
            state: &'static str,
            #[serde(flatten)]
            session: Option<WireSession>,
        }
        let (status, state) = self.row();
        let allowed = match self {
            Self::WrongMethod(allowed) => Some(allowed),
            _ => None,
        };
        let session = match self {
            Self::Open(session) => Some(WireSession::new(session, merchant)),
            _ => None,
        };
        let mut response = json_response(status, "application/json", &Wire { state, session });
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Some(allowed) = allowed {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        guarded(response)
    }
}

fn status(closed: Closed) -> StatusCode {
    match closed {
        Closed::Processing => StatusCode::OK,
        Closed::Paid | Closed::Canceled | Closed::Expired => StatusCode::GONE,
        Closed::Unknown => StatusCode::NOT_FOUND,
    }
}

/// What the page needs to let the payer pay.
#[derive(Serialize)]
struct WireSession {
    publishable_key: String,
    client_secret: Exposed,
    merchant: String,
    order_id: String,
    amount: String,
    amount_minor: u64,
    currency: &'static str,
}

impl WireSession {
    fn new(session: OpenSession, merchant: &str) -> Self {
        let OpenSession {
            payment,
            publishable_key,
            client_secret,
        } = session;
        Self {
            publishable_key,
            client_secret: Exposed(client_secret),
            merchant: merchant.to_owned(),
            order_id: payment.correlation.order_id.to_string(),
            amount: payment.money.major(),
            amount_minor: payment.money.amount_minor,
            currency: payment.money.currency.code(),
        }
    }
}

impl<S, Stripe, Genesys, C> StatusQueryFunction<S, Stripe, Genesys, C>
where
    S: GetPayment + GetLink + UpdatePayment + TransactPayment,
    Stripe: FetchIntent + PublishableKey,
    Genesys: Conversations,
    C: Clock,
{
    pub(crate) async fn session(&self, request: &Request) -> Response<Body> {
        let reply = match read_token(request.body()) {
            Some(token) => self.visit(&token).await,
            None => SessionReply::Malformed,
        };
        count(Metric::PayLinks, reply.row().1);
        reply.with_merchant(&self.merchant_name)
    }

    /// A text that is no token is an unknown link.
    async fn visit(&self, token: &str) -> SessionReply {
        let Ok(token) = LinkToken::parse(token) else {
            return SessionReply::Closed(Closed::Unknown);
        };
        let visiting = session(self.ctx(), self.genesys.as_ref(), &token);
        match tokio::time::timeout(BUDGET, visiting).await {
            Ok(Ok(Session::Open(session))) => {
                let correlation = &session.payment.correlation;
                telemetry::name_payment(&session.payment.holder, Some(&correlation.order_id));
                telemetry::log_payment("pay link visited", &session.payment);
                SessionReply::Open(session)
            }
            Ok(Ok(Session::Closed(closed))) => SessionReply::Closed(closed),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the link could not be visited");
                SessionReply::Unavailable
            }
            Err(_) => {
                tracing::warn!("the visit to the link took too long");
                SessionReply::Unavailable
            }
        }
    }
}

/// The token that a session is asked for with; `None` if the body is not what the page sends.
fn read_token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Asked {
        token: String,
    }
    if body.len() > MAX_SESSION_BODY {
        return None;
    }
    let asked: Asked = serde_json::from_slice(body).ok()?;
    Some(asked.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: Response<Body>) -> serde_json::Value {
        let Body::Text(text) = response.into_body() else {
            panic!("a text body")
        };
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn every_session_reply_has_its_status_word_and_wait() {
        for (reply, status, state, wait, allow) in [
            (
                SessionReply::Closed(Closed::Processing),
                200,
                "processing",
                None,
                None,
            ),
            (SessionReply::Closed(Closed::Paid), 410, "paid", None, None),
            (
                SessionReply::Closed(Closed::Canceled),
                410,
                "canceled",
                None,
                None,
            ),
            (
                SessionReply::Closed(Closed::Expired),
                410,
                "expired",
                None,
                None,
            ),
            (
                SessionReply::Closed(Closed::Unknown),
                404,
                "unknown",
                None,
                None,
            ),
            (
                SessionReply::Unavailable,
                503,
                "unavailable",
                Some("2"),
                None,
            ),
            (SessionReply::Malformed, 400, "malformed", None, None),
            (
                SessionReply::WrongMethod("GET"),
                405,
                "wrong_method",
                None,
                Some("GET"),
            ),
        ] {
            assert_eq!(reply.row().1, state);
            let response = reply.into_response();
            assert_eq!(response.status().as_u16(), status, "{state}");
            let header = |name: &str| {
                response
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap())
            };
            assert_eq!(
                (header("retry-after"), header("allow")),
                (wait, allow),
                "{state}"
            );
            assert_eq!(header("cache-control"), Some("no-store"), "{state}");
            assert_eq!(body(response), serde_json::json!({ "state": state }));
        }
    }
}
