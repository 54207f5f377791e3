//! Problem details (RFC 9457): why a flow cannot go on. Every error of a use case becomes one here.

use std::fmt;

use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Response};
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

use super::entry::FunctionError;
use super::reply::{RETRY_AFTER, json_response};
use super::request::MAX_REQUEST_BYTES;
use crate::domain::payment::PaymentStatus;
use crate::ports::{SecretError, StoreError, StripeError};
use crate::usecases::create::CreateError;

/// Why a flow cannot go on by itself: the stable codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ProblemCode {
    /// Not JSON, wrong types, unknown field.
    MalformedRequest,
    /// A body larger than is read.
    RequestTooLarge,
    /// The order exists with another amount or currency.
    OrderChanged,
    /// Another request for the same order is still at Stripe.
    InProgress,
    /// The attempt is too old to be repeated.
    AttemptExpired,
    /// An amount that is not exact in its currency.
    InvalidAmount,
    /// No currency Stripe charges in.
    InvalidCurrency,
    /// A currency this deployment does not allow.
    CurrencyNotAllowed,
    /// Currency and region disagree.
    CurrencyMismatch,
    /// Above the ceiling.
    AmountAboveLimit,
    /// Below Stripe's minimum.
    AmountBelowMinimum,
    /// Not a UUID.
    InvalidConversationId,
    /// Not an order id.
    InvalidOrderId,
    /// Not a token Stripe can use.
    InvalidPaymentMethod,
    /// Not an address that a receipt can be sent to.
    InvalidReceiptEmail,
    /// A card number in a field.
    CardDataRefused,
    /// Stripe refuses the request.
    StripeRejected,
    /// Stripe refuses the key.
    StripeAuth,
    /// Stripe is unavailable.
    StripeUnavailable,
    /// Stripe limits the rate.
    RateLimited,
    /// The table or the secret store is unavailable.
    StoreUnavailable,
    /// The budget is spent.
    StripeTimeout,
    /// The table's records were written under other settings.
    SettingsChanged,
}

impl ProblemCode {
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The stable code.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::OrderChanged | Self::InProgress | Self::AttemptExpired => StatusCode::CONFLICT,
            Self::InvalidAmount
            | Self::InvalidCurrency
            | Self::CurrencyNotAllowed
            | Self::CurrencyMismatch
            | Self::AmountAboveLimit
            | Self::AmountBelowMinimum
            | Self::InvalidConversationId
            | Self::InvalidOrderId
            | Self::InvalidPaymentMethod
            | Self::InvalidReceiptEmail
            | Self::CardDataRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::StripeRejected | Self::StripeAuth => StatusCode::BAD_GATEWAY,
            Self::StripeUnavailable | Self::RateLimited | Self::StoreUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::StripeTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::SettingsChanged => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::InProgress
                | Self::StripeUnavailable
                | Self::RateLimited
                | Self::StoreUnavailable
                | Self::StripeTimeout
        )
    }

    fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "Malformed request",
            Self::RequestTooLarge => "Request too large",
            Self::OrderChanged => "This order already exists with a different amount or currency",
            Self::InProgress => "Another request for this order is still in progress",
            Self::AttemptExpired => "The payment was started too long ago to be finished",
            Self::InvalidAmount => "Invalid amount",
            Self::InvalidCurrency => "Invalid currency",
            Self::CurrencyNotAllowed => "This currency is not allowed here",
            Self::CurrencyMismatch => "Currency and region disagree",
            Self::AmountAboveLimit => "The amount is above the limit",
            Self::AmountBelowMinimum => "The amount is below the minimum",
            Self::InvalidConversationId => "Invalid conversation id",
            Self::InvalidOrderId => "Invalid order id",
            Self::InvalidPaymentMethod => "Invalid payment method",
            Self::InvalidReceiptEmail => "Invalid receipt e-mail address",
            Self::CardDataRefused => "Card numbers are not accepted",
            Self::StripeRejected => "Stripe refused the request",
            Self::StripeAuth => "Stripe refused the key",
            Self::StripeUnavailable => "Stripe is unavailable",
            Self::RateLimited => "Stripe limits the rate of requests",
            Self::StoreUnavailable => "The record store is unavailable",
            Self::StripeTimeout => "Stripe did not answer in time",
            Self::SettingsChanged => "The deployment's settings do not fit its table",
        }
    }
}

/// A refusal. What came is kept apart from what is expected: only the reply over HTTP, which goes
/// to nobody but the sender, repeats anything of a request. A function error is kept by Lambda and
/// Genesys, and a log line for months.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: ProblemCode,
    /// The request field it is about, or empty.
    pub field: &'static str,
    /// What came, as in `got "5,00"`; may quote the request or tell an amount. Empty if there is
    /// nothing to say.
    pub came: String,
    /// What is expected, and what to do. Has nothing of the request in it, and no amount of a
    /// record.
    pub expected: String,
}

impl Problem {
    /// A problem with one field of the request.
    pub fn with_field(code: ProblemCode, field: &'static str, expected: impl Into<String>) -> Self {
        Self {
            code,
            field,
            came: String::new(),
            expected: expected.into(),
        }
    }

    /// A problem with no field of the request.
    pub fn new(code: ProblemCode, expected: impl Into<String>) -> Self {
        Self::with_field(code, "", expected)
    }

    /// The same with the value that came, for the reply over HTTP.
    pub fn got(self, value: impl fmt::Display) -> Self {
        self.came(format!("got {value}"))
    }

    /// The same with what came, for the reply over HTTP.
    pub fn came(self, came: impl Into<String>) -> Self {
        Self {
            came: came.into(),
            ..self
        }
    }

    /// The `detail` of the reply over HTTP: what is expected, and what came.
    pub fn detail(&self) -> String {
        let Self { came, expected, .. } = self;
        if came.is_empty() {
            expected.clone()
        } else {
            format!("{expected}; {came}")
        }
    }

    /// The refusal of a request longer than is read.
    pub fn request_too_large(bytes: usize) -> Self {
        Self::new(
            ProblemCode::RequestTooLarge,
            format!("the request must have at most {MAX_REQUEST_BYTES} bytes"),
        )
        .came(format!("it has {bytes}"))
    }

    /// The refusal of a card number. It repeats nothing of what was sent, not even the name of an
    /// unknown field.
    pub fn card_data_refused() -> Self {
        Self::new(
            ProblemCode::CardDataRefused,
            "a field has what looks like a card number; card numbers must never be sent here: let \
             the caller pay at payment_url, or send the pm_ token of a PCI-validated voice vault",
        )
    }

    /// The refusal of a key, token or client secret in a field of another kind. It repeats nothing
    /// of what was sent.
    pub fn misplaced_secret() -> Self {
        Self::new(
            ProblemCode::MalformedRequest,
            "a field other than payment_method has what looks like a key, a token or a client \
             secret; check which input of the Data Action goes to which field",
        )
    }

    /// The HTTP response: `application/problem+json`, with `Retry-After` in seconds where a retry
    /// may help. It carries the function error that takes its place if the request is a direct
    /// invocation.
    pub fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Wire<'a> {
            #[serde(rename = "type")]
            kind: String,
            title: &'a str,
            status: u16,
            code: &'a str,
            detail: &'a str,
            field: &'a str,
            retryable: bool,
        }
        let (code, status) = (self.code.as_str(), self.code.status());
        let retryable = self.code.retryable();
        let wire = Wire {
            kind: format!("urn:phone-payments:problem:{code}"),
            title: self.code.title(),
            status: status.as_u16(),
            code,
            detail: &self.detail(),
            field: self.field,
            retryable,
        };
        let mut response = json_response(status, "application/problem+json", &wire);
        if retryable {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
            .extensions_mut()
            // mutant: error-text
            .insert(FunctionError::new(code, self.expected));
        response
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        if let StoreError::SettingsChanged { .. } = error {
            let expected = format!("{error}; deploy with that value, or with a table of its own");
            return Self::new(ProblemCode::SettingsChanged, expected);
        }
        Self::new(
            ProblemCode::StoreUnavailable,
            "the record store did not answer properly; send the request again",
        )
    }
}

/// A secret that is there but not usable counts as a refused key: somebody has to correct it.
impl From<&SecretError> for Problem {
    fn from(error: &SecretError) -> Self {
        let code = match error {
            SecretError::Unavailable => ProblemCode::StoreUnavailable,
            SecretError::Refused | SecretError::Unusable { .. } => ProblemCode::StripeAuth,
        };
        Self::new(code, error.to_string())
    }
}

/// Repeats nothing that Stripe or the caller sent but codes and amounts.
impl From<&CreateError> for Problem {
    fn from(error: &CreateError) -> Self {
        match error {
            CreateError::OrderChanged { have, status } => {
                let (stands, help) = match status {
                    PaymentStatus::Confirmed => ("paid", "send those, or another order_id"),
                    PaymentStatus::Authorized => ("authorized", "send those, or another order_id"),
                    PaymentStatus::Processing => ("being paid", "send those"),
                    _ => (
                        "open",
                        "send those, or replace: true to end the open payment",
                    ),
                };
                let expected = format!("amount and currency must be those of this order; {help}");
                Self::with_field(ProblemCode::OrderChanged, "amount", expected)
                    .came(format!("this order is {stands} for {have}"))
            }
            CreateError::InProgress => Self::new(
                ProblemCode::InProgress,
                "another request for this order is at work, or its payer is at the bank; send the \
                 request again",
            ),
            CreateError::AttemptUnclear => Self::with_field(
                ProblemCode::AttemptExpired,
                "order_id",
                "the payment of this order_id was begun more than 20 hours ago, and Stripe cannot \
                 say whether it has an intent; nothing was released: look for it in Stripe, or \
                 send the request again an hour later",
            ),
            CreateError::AttemptFailed => Self::new(
                ProblemCode::StripeUnavailable,
                "Stripe failed to make the intent; send the same request again, which starts a \
                 new attempt",
            ),
            CreateError::PaymentMethodRefused { code } => Self::with_field(
                ProblemCode::InvalidPaymentMethod,
                "payment_method",
                format!(
                    "Stripe cannot use this payment_method ({code}); send a new pm_ token of this \
                     Stripe account"
                ),
            ),
            CreateError::Disagreement(what) => Self::new(
                ProblemCode::StripeRejected,
                format!(
                    "what Stripe says disagrees with the record on the {what}; nothing was applied"
                ),
            ),
            CreateError::Store(error) => Self::from(error),
            CreateError::Stripe(error) => Self::from(error),
        }
    }
}

impl From<&StripeError> for Problem {
    fn from(error: &StripeError) -> Self {
        match error {
            StripeError::Rejected { code, .. } if code == "amount_too_small" => Self::with_field(
                ProblemCode::AmountBelowMinimum,
                "amount",
                "the amount must reach Stripe's minimum after conversion to the account's \
                 settlement currency",
            ),
            StripeError::Rejected { code, .. } if code == "amount_too_large" => Self::with_field(
                ProblemCode::AmountAboveLimit,
                "amount",
                "the amount must not be above Stripe's limit",
            ),
            StripeError::Rejected { code, param } => {
                let about = match param.as_str() {
                    "" => String::new(),
                    param => format!(" about {param}"),
                };
                let detail = format!("Stripe refused the request: {code}{about}");
                Self::new(ProblemCode::StripeRejected, detail)
            }
            StripeError::ReceiptRefused { .. } => Self::with_field(
                ProblemCode::InvalidReceiptEmail,
                "receipt_email",
                "Stripe refused this receipt_email; send another one, or none",
            ),
            StripeError::UnexpectedState | StripeError::KeyMismatch => Self::new(
                ProblemCode::StripeRejected,
                "Stripe refused the request in the intent's present state",
            ),
            StripeError::Auth { status } => Self::new(
                ProblemCode::StripeAuth,
                format!(
                    "Stripe answered {status} to the key, also after it was read again; check the \
                     Stripe secret"
                ),
            ),
            StripeError::InUse => Self::from(&CreateError::InProgress),
            StripeError::RateLimited => Self::new(
                ProblemCode::RateLimited,
                "Stripe limits the rate of requests; send the request again",
            ),
            StripeError::Unavailable | StripeError::KeptFailure => Self::new(
                ProblemCode::StripeUnavailable,
                "Stripe did not answer properly, also on the retry; send the request again",
            ),
            StripeError::Timeout => Self::new(
                ProblemCode::StripeTimeout,
                "Stripe did not answer within the time budget; send the request again",
            ),
            StripeError::Secret(error) => Self::from(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::tests::body;
    use super::*;

    #[test]
    fn every_problem_has_its_status_code_and_retry_after() {
        for code in ProblemCode::ALL {
            let response = Problem::new(*code, "why").into_response();
            assert_eq!(response.status(), code.status());
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
            assert_eq!(
                response.headers().contains_key("retry-after"),
                code.retryable(),
                "{}",
                code.as_str()
            );
            let body = body(response);
            assert_eq!(body["code"], code.as_str());
            assert_eq!(body["status"], code.status().as_u16());
            assert_eq!(body["retryable"], code.retryable());
            assert_eq!(body["detail"], "why");
        }
    }
}
