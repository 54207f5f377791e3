//! Stripe's error object.

use std::fmt;

use serde_json::{Value, json};

use crate::server::Answer;

/// A refusal in Stripe's own shape.
#[derive(Clone, Debug, PartialEq)]
pub struct StripeError {
    pub status: u16,
    /// What stands under `error`: `type`, `message` and, where they apply, `code`, `decline_code`,
    /// `param`, `payment_intent`.
    pub error: Value,
}

impl StripeError {
    pub(crate) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error: json!({ "type": kind, "message": message.into() }),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    pub(crate) fn code(self, code: &str) -> Self {
        self.field("code", code.into())
    }

    pub(crate) fn param(self, param: &str) -> Self {
        self.field("param", param.into())
    }

    pub(crate) fn field(mut self, name: &str, value: Value) -> Self {
        self.error[name] = value;
        self
    }

    pub(crate) fn unknown_parameter(param: &str) -> Self {
        Self::invalid(format!("Received unknown parameter: {param}"))
            .code("parameter_unknown")
            .param(param)
    }

    /// The error that goes with a status nothing more is known about.
    pub(crate) fn of_status(status: u16) -> Self {
        let (kind, code, message) = match status {
            401 => ("invalid_request_error", None, "Invalid API Key provided"),
            403 => (
                "invalid_request_error",
                None,
                "The provided key does not have the required permissions",
            ),
            409 => (
                "invalid_request_error",
                Some("lock_timeout"),
                "This object cannot be accessed right now because another request holds it",
            ),
            429 => (
                "invalid_request_error",
                Some("rate_limit"),
                "Request rate limit exceeded",
            ),
            424 => ("api_error", None, "An external dependency of Stripe failed"),
            500.. => ("api_error", None, "An error occurred on Stripe's side"),
            _ => ("invalid_request_error", None, "The request was refused"),
        };
        let error = Self::new(status, kind, message);
        match code {
            Some(code) => error.code(code),
            None => error,
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::json(self.status, &json!({ "error": self.error }))
    }
}

impl fmt::Display for StripeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.error[name].as_str().unwrap_or_default().to_owned();
        write!(
            f,
            "{} {} {}: {}",
            self.status,
            text("type"),
            text("code"),
            text("message")
        )
    }
}

impl std::error::Error for StripeError {}
