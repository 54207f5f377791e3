//! The reply that every flow branches on.

use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::domain::ids::{ConversationId, OrderId};
use crate::domain::payment::Payment;
use crate::domain::speech::{caller_message, is_retryable};

/// The reply of create-intent and status-query. Every field is always there, so that a flow's
/// contract never misses one: an empty string, 0 or false where it has no value.
#[derive(Debug, Serialize)]
pub struct Reply {
    payment_status: &'static str,
    #[serde(rename = "final")]
    is_final: bool,
    payment_intent_id: String,
    stripe_status: &'static str,
    conversation_id: String,
    is_holder: bool,
    order_id: String,
    attempt: u32,
    amount: String,
    amount_minor: u64,
    amount_received_minor: u64,
    currency: &'static str,
    payment_url: Exposed,
    client_secret: Exposed,
    reason_code: String,
    caller_message: &'static str,
    retryable: bool,
}

/// A client secret or a pay link, to be written into the reply to the flow that asked for it, or to
/// the payer: this is the one place where either is written.
#[derive(Debug, Default)]
pub struct Exposed(pub SecretString);

impl Serialize for Exposed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl Reply {
    /// What a payment's record says to the conversation that asks.
    pub fn of(payment: &Payment, asking: &ConversationId) -> Self {
        let status = payment.status();
        let known = payment.intent();
        let reason_code = payment.reason_code().unwrap_or_default();
        Self {
            payment_status: status.as_str(),
            is_final: status.is_final(),
            payment_intent_id: known.map(|known| known.id.to_string()).unwrap_or_default(),
            stripe_status: known.map_or("", |known| known.status.as_str()),
            conversation_id: payment.holder.to_string(),
            is_holder: payment.holder == *asking,
            order_id: payment.correlation.order_id.to_string(),
            attempt: payment.correlation.attempt,
            amount: payment.money.major(),
            amount_minor: payment.money.amount_minor,
            amount_received_minor: payment.amount_received(),
            currency: payment.money.currency.code(),
            payment_url: Exposed::default(),
            client_secret: Exposed::default(),
            reason_code: reason_code.to_owned(),
            caller_message: caller_message(status, reason_code),
            retryable: is_retryable(status, reason_code),
        }
    }

    /// The same with what lets the payer pay: the client secret if it was asked for, and a pay link
    /// if the deployment has them.
    pub fn with_secrets(
        self,
        client_secret: Option<SecretString>,
        payment_url: Option<SecretString>,
    ) -> Self {
        Self {
            client_secret: Exposed(client_secret.unwrap_or_default()),
            payment_url: Exposed(payment_url.unwrap_or_default()),
            ..self
        }
    }

    /// An unknown payment: an answer, not a failure.
    pub fn not_found(conversation_id: &ConversationId, order_id: Option<&OrderId>) -> Self {
        Self {
            payment_status: "NOT_FOUND",
            is_final: false,
            payment_intent_id: String::new(),
            stripe_status: "",
            conversation_id: conversation_id.to_string(),
            is_holder: false,
            order_id: order_id.map(ToString::to_string).unwrap_or_default(),
            attempt: 0,
            amount: String::new(),
            amount_minor: 0,
            amount_received_minor: 0,
            currency: "",
            payment_url: Exposed::default(),
            client_secret: Exposed::default(),
            reason_code: String::new(),
            caller_message: "I could not find a payment for this call.",
            retryable: false,
        }
    }

    pub fn into_response(self, status: StatusCode) -> Response<Body> {
        json_response(status, "application/json", &self)
    }
}

/// Seconds after which a retry may help: the `Retry-After` of every answer that may change.
pub const RETRY_AFTER: header::HeaderValue = header::HeaderValue::from_static("2");

/// A JSON response that nobody keeps.
pub fn json_response(
    status: StatusCode,
    content_type: &'static str,
    body: &impl Serialize,
) -> Response<Body> {
    let mut response = Response::new(Body::Text(serde_json::to_string(body).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::lambda) fn body(response: Response<Body>) -> serde_json::Value {
        let Body::Text(text) = response.into_body() else {
            panic!("a text body")
        };
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn not_found_has_every_field_of_a_reply() {
        let conversation = ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").unwrap();
        let response = Reply::not_found(&conversation, None).into_response(StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = body(response);
        let fields: Vec<_> = body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut wanted = [
            "payment_status",
            "final",
            "payment_intent_id",
            "stripe_status",
            "conversation_id",
            "is_holder",
            "order_id",
            "attempt",
            "amount",
            "amount_minor",
            "amount_received_minor",
            "currency",
            "payment_url",
            "client_secret",
            "reason_code",
            "caller_message",
            "retryable",
        ];
        wanted.sort_unstable();
        assert_eq!(fields, wanted);
        assert_eq!(body["payment_status"], "NOT_FOUND");
    }

    #[test]
    fn a_client_secret_hides_in_debug() {
        let conversation = ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").unwrap();
        let mut reply = Reply::not_found(&conversation, None);
        reply.client_secret = Exposed("pi_1_secret_canary".into());
        assert!(!format!("{reply:?}").contains("canary"));
    }
}
