//! What callers get: the reply every flow branches on, and problem details (RFC 9457) when the flow
//! cannot go on.

use lambda_http::http::{StatusCode, header};
use lambda_http::{Body, Request, RequestExt, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::card_guard::{in_identifier, quoted};
use crate::entry::{FunctionError, is_bare};
use crate::fields;
use crate::ids::{ConversationId, OrderId};
use crate::payment::{Payment, PaymentStatus};
use crate::ports::StoreError;
use crate::secret_guard::holds_secret;
use crate::secrets::SecretError;

/// Largest request body that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

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
    order_id: String,
    attempt: u32,
    amount: String,
    amount_minor: u64,
    amount_received_minor: u64,
    currency: &'static str,
    #[serde(serialize_with = "expose")]
    payment_url: SecretString,
    #[serde(serialize_with = "expose")]
    client_secret: SecretString,
    reason_code: String,
    caller_message: &'static str,
    retryable: bool,
}

/// The one place a client secret or a pay link is written: the reply to the flow that asked for it,
/// or to the payer.
fn expose<S: serde::Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Reply {
    /// What a payment's record says.
    #[must_use]
    pub fn of(payment: &Payment) -> Self {
        let reason_code = payment.reason_code.clone().unwrap_or_default();
        Self {
            payment_status: payment.status.as_str(),
            is_final: payment.status.is_final(),
            payment_intent_id: payment
                .intent_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            stripe_status: payment
                .stripe_status
                .map(|status| status.as_str())
                .unwrap_or_default(),
            conversation_id: payment.correlation.conversation_id.to_string(),
            order_id: payment.correlation.order_id.to_string(),
            attempt: payment.correlation.attempt,
            amount: payment.money.major(),
            amount_minor: payment.money.amount_minor,
            amount_received_minor: payment.amount_received,
            currency: payment.money.currency.code(),
            payment_url: SecretString::default(),
            client_secret: SecretString::default(),
            caller_message: caller_message(payment.status, &reason_code),
            retryable: is_retryable(payment.status, &reason_code),
            reason_code,
        }
    }

    /// The same with what lets the payer pay: the client secret where it was asked for, and a pay
    /// link where the deployment has them.
    #[must_use]
    pub fn handing_out(
        self,
        client_secret: Option<SecretString>,
        payment_url: Option<SecretString>,
    ) -> Self {
        Self {
            client_secret: client_secret.unwrap_or_default(),
            payment_url: payment_url.unwrap_or_default(),
            ..self
        }
    }

    /// An unknown payment: an answer, not a failure.
    #[must_use]
    pub fn not_found(conversation_id: &ConversationId, order_id: Option<&OrderId>) -> Self {
        Self {
            payment_status: "NOT_FOUND",
            is_final: false,
            payment_intent_id: String::new(),
            stripe_status: "",
            conversation_id: conversation_id.to_string(),
            order_id: order_id.map(ToString::to_string).unwrap_or_default(),
            attempt: 0,
            amount: String::new(),
            amount_minor: 0,
            amount_received_minor: 0,
            currency: "",
            payment_url: SecretString::default(),
            client_secret: SecretString::default(),
            reason_code: String::new(),
            caller_message: "I could not find a payment for this call.",
            retryable: false,
        }
    }

    /// The HTTP response.
    #[must_use]
    pub fn into_response(self, status: StatusCode) -> Response<Body> {
        json_response(status, "application/json", &self)
    }
}

/// What the payer's page is told of its link.
#[derive(Debug)]
pub enum PayerTold {
    /// It can be paid now.
    Open(PayerSession),
    /// Stripe is working on it.
    Processing,
    /// It is paid.
    Paid,
    /// It was canceled.
    Canceled,
    /// The link's time is over.
    Expired,
    /// There is no such link.
    Unknown,
    /// Nobody knows at the moment; ask again.
    Unavailable,
    /// The request is none that the page sends.
    Malformed,
    /// The page or its session, asked for by another method than this one.
    WrongMethod(&'static str),
}

/// What the page needs to let the payer pay.
#[derive(Debug, Serialize)]
pub struct PayerSession {
    publishable_key: String,
    #[serde(serialize_with = "expose")]
    client_secret: SecretString,
    merchant: String,
    order_id: String,
    amount: String,
    amount_minor: u64,
    currency: &'static str,
}

impl PayerSession {
    /// For this payment.
    #[must_use]
    pub fn new(
        payment: &Payment,
        publishable_key: String,
        client_secret: SecretString,
        merchant: String,
    ) -> Self {
        Self {
            publishable_key,
            client_secret,
            merchant,
            order_id: payment.correlation.order_id.to_string(),
            amount: payment.money.major(),
            amount_minor: payment.money.amount_minor,
            currency: payment.money.currency.code(),
        }
    }
}

impl PayerTold {
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Open(_) => (StatusCode::OK, "open"),
            Self::Processing => (StatusCode::OK, "processing"),
            Self::Paid => (StatusCode::GONE, "paid"),
            Self::Canceled => (StatusCode::GONE, "canceled"),
            Self::Expired => (StatusCode::GONE, "expired"),
            Self::Unknown => (StatusCode::NOT_FOUND, "unknown"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Self::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
        }
    }

    /// The page's word for it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.row().1
    }

    /// The HTTP response: `state`, and beside `open` the fields of [`PayerSession`].
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Wire<'a> {
            state: &'a str,
            #[serde(flatten)]
            session: Option<&'a PayerSession>,
        }
        let (status, state) = self.row();
        let session = if let Self::Open(session) = &self {
            Some(session)
        } else {
            None
        };
        let mut response = json_response(status, "application/json", &Wire { state, session });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        }
        if let Self::WrongMethod(allowed) = self {
            response
                .headers_mut()
                .insert(header::ALLOW, header::HeaderValue::from_static(allowed));
        }
        response
    }
}

/// Decline codes after which the same payer should not simply try again.
/// Source: Stripe, "Decline codes" (those whose next step is not another try or another card).
const HOPELESS: [&str; 12] = [
    "fraudulent",
    "lost_card",
    "merchant_blacklist",
    "pickup_card",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "service_not_allowed",
    "stolen_card",
    "stop_payment_order",
    "transaction_not_allowed",
];

fn is_retryable(status: PaymentStatus, reason_code: &str) -> bool {
    match status {
        PaymentStatus::Creating => true,
        PaymentStatus::Declined => !HOPELESS.contains(&reason_code),
        _ => false,
    }
}

/// What may be said to the caller. Stripe asks merchants not to tell a payer that a card was
/// reported lost or stolen, or that fraud is suspected: those sound like any other decline.
fn caller_message(status: PaymentStatus, reason_code: &str) -> &'static str {
    match status {
        PaymentStatus::Creating => "Your payment is being prepared.",
        PaymentStatus::Pending => "Your payment is ready and waiting for you.",
        PaymentStatus::Processing => "Your payment is being processed.",
        PaymentStatus::Authorized => "Your card was authorized. Thank you.",
        PaymentStatus::Confirmed => "Your payment was received. Thank you.",
        PaymentStatus::Canceled => "This payment was canceled.",
        PaymentStatus::Declined => match reason_code {
            "insufficient_funds" | "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => {
                "The card has insufficient funds or has reached its limit. Please try another card."
            }
            "expired_card" | "invalid_expiry_month" | "invalid_expiry_year" => {
                "The card has expired or its expiry date is wrong. Please check it or try another card."
            }
            "incorrect_cvc" | "invalid_cvc" => {
                "The card's security code is wrong. Please check it and try again."
            }
            "incorrect_number" | "invalid_number" => {
                "The card number is wrong. Please check it and try again."
            }
            "authentication_required" => {
                "The bank asks for an extra confirmation that cannot be given by phone. Please try another card."
            }
            "processing_error"
            | "issuer_not_available"
            | "try_again_later"
            | "reenter_transaction" => {
                "The bank could not be reached. Please try again in a moment."
            }
            _ => "The card was declined. Please try another card.",
        },
    }
}

/// Why a flow cannot go on by itself: the stable codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    /// Not JSON, wrong types, unknown field.
    MalformedRequest,
    /// A body larger than is read.
    RequestTooLarge,
    /// The order stands with another amount or currency.
    OrderChanged,
    /// A twin request is still at Stripe.
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
}

impl ProblemCode {
    /// Every code, for documentation and contract tests.
    pub const ALL: [Self; 22] = [
        Self::MalformedRequest,
        Self::RequestTooLarge,
        Self::OrderChanged,
        Self::InProgress,
        Self::AttemptExpired,
        Self::InvalidAmount,
        Self::InvalidCurrency,
        Self::CurrencyNotAllowed,
        Self::CurrencyMismatch,
        Self::AmountAboveLimit,
        Self::AmountBelowMinimum,
        Self::InvalidConversationId,
        Self::InvalidOrderId,
        Self::InvalidPaymentMethod,
        Self::InvalidReceiptEmail,
        Self::CardDataRefused,
        Self::StripeRejected,
        Self::StripeAuth,
        Self::StripeUnavailable,
        Self::RateLimited,
        Self::StoreUnavailable,
        Self::StripeTimeout,
    ];

    /// The code, its HTTP status, whether the same request may succeed later, and its title.
    fn row(self) -> (&'static str, StatusCode, bool, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => (
                "malformed_request",
                S::BAD_REQUEST,
                false,
                "The request is not of the contract's shape",
            ),
            Self::RequestTooLarge => (
                "request_too_large",
                S::PAYLOAD_TOO_LARGE,
                false,
                "The request is too large",
            ),
            Self::OrderChanged => (
                "order_changed",
                S::CONFLICT,
                false,
                "The order stands with another amount or currency",
            ),
            Self::InProgress => (
                "in_progress",
                S::CONFLICT,
                true,
                "The same request is still at Stripe",
            ),
            Self::AttemptExpired => (
                "attempt_expired",
                S::CONFLICT,
                false,
                "The payment was begun too long ago to be finished",
            ),
            Self::InvalidAmount => (
                "invalid_amount",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The amount is not exact",
            ),
            Self::InvalidCurrency => (
                "invalid_currency",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The currency is unknown",
            ),
            Self::CurrencyNotAllowed => (
                "currency_not_allowed",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The currency is not allowed here",
            ),
            Self::CurrencyMismatch => (
                "currency_mismatch",
                S::UNPROCESSABLE_ENTITY,
                false,
                "Currency and region disagree",
            ),
            Self::AmountAboveLimit => (
                "amount_above_limit",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The amount is above the limit",
            ),
            Self::AmountBelowMinimum => (
                "amount_below_minimum",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The amount is below the minimum",
            ),
            Self::InvalidConversationId => (
                "invalid_conversation_id",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The conversation id is not one",
            ),
            Self::InvalidOrderId => (
                "invalid_order_id",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The order id is not one",
            ),
            Self::InvalidPaymentMethod => (
                "invalid_payment_method",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The payment method cannot be used",
            ),
            Self::InvalidReceiptEmail => (
                "invalid_receipt_email",
                S::UNPROCESSABLE_ENTITY,
                false,
                "The receipt's address is not one",
            ),
            Self::CardDataRefused => (
                "card_data_refused",
                S::UNPROCESSABLE_ENTITY,
                false,
                "Card numbers are not accepted",
            ),
            Self::StripeRejected => (
                "stripe_rejected",
                S::BAD_GATEWAY,
                false,
                "Stripe refused the request",
            ),
            Self::StripeAuth => (
                "stripe_auth",
                S::BAD_GATEWAY,
                false,
                "Stripe refused the key",
            ),
            Self::StripeUnavailable => (
                "stripe_unavailable",
                S::SERVICE_UNAVAILABLE,
                true,
                "Stripe is unavailable",
            ),
            Self::RateLimited => (
                "rate_limited",
                S::SERVICE_UNAVAILABLE,
                true,
                "Stripe limits the rate",
            ),
            Self::StoreUnavailable => (
                "store_unavailable",
                S::SERVICE_UNAVAILABLE,
                true,
                "The store is unavailable",
            ),
            Self::StripeTimeout => (
                "stripe_timeout",
                S::GATEWAY_TIMEOUT,
                true,
                "Stripe did not answer in time",
            ),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable(self) -> bool {
        self.row().2
    }
}

/// A refusal. What came is kept apart from what is expected: only the reply over HTTP, which goes
/// to nobody but the sender, repeats anything of a request. A function error is kept by Lambda and
/// Genesys, and a log line for months.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code.
    pub code: ProblemCode,
    /// The request field it is about, or empty.
    pub field: &'static str,
    /// What came, as in `amount is "5,00"`; may quote the request or tell an amount. Empty where
    /// there is nothing to say.
    pub came: String,
    /// What is expected, and what to do. Has nothing of the request in it, and no amount of a
    /// record.
    pub expected: String,
}

impl Problem {
    /// A problem with one field of the request.
    #[must_use]
    pub fn with_field(code: ProblemCode, field: &'static str, expected: impl Into<String>) -> Self {
        Self {
            code,
            field,
            came: String::new(),
            expected: expected.into(),
        }
    }

    /// A problem with no field of the request.
    #[must_use]
    pub fn new(code: ProblemCode, expected: impl Into<String>) -> Self {
        Self::with_field(code, "", expected)
    }

    /// The same with what came, for the reply over HTTP.
    #[must_use]
    pub fn came(self, came: impl Into<String>) -> Self {
        Self {
            came: came.into(),
            ..self
        }
    }

    /// The `detail` of the reply over HTTP: what came, and what is expected.
    #[must_use]
    pub fn detail(&self) -> String {
        let Self { came, expected, .. } = self;
        if came.is_empty() {
            expected.clone()
        } else {
            format!("{came}; {expected}")
        }
    }

    /// The refusal of a request longer than is read.
    #[must_use]
    pub fn request_too_large(bytes: usize) -> Self {
        Self::new(
            ProblemCode::RequestTooLarge,
            format!("the request must have at most {MAX_REQUEST_BYTES} bytes"),
        )
        .came(format!("the request has {bytes} bytes"))
    }

    /// The refusal of a card number. It repeats nothing of what was sent, not even the name of an
    /// unknown field.
    #[must_use]
    pub fn card_data_refused() -> Self {
        Self::new(
            ProblemCode::CardDataRefused,
            "a field holds what looks like a card number; card numbers must never be sent here: let the caller pay at \
             payment_url, or send the pm_ token of a PCI-validated voice vault",
        )
    }

    /// The refusal of a key, token or client secret in a field of another kind. It repeats nothing
    /// of what was sent.
    #[must_use]
    pub fn misplaced_secret() -> Self {
        Self::new(
            ProblemCode::MalformedRequest,
            "a field other than payment_method holds what looks like a key, a token or a client secret; check which input \
             of the Data Action goes where",
        )
    }

    /// The HTTP response: `application/problem+json`, with `Retry-After` in seconds where a retry
    /// may help. It carries the function error that takes its place where the request came bare.
    #[must_use]
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
        let (code, status, retryable, title) = self.code.row();
        let wire = Wire {
            kind: format!("urn:phone-payments:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail(),
            field: self.field,
            retryable,
        };
        let mut response = json_response(status, "application/problem+json", &wire);
        if retryable {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        }
        response
            .extensions_mut()
            .insert(FunctionError::new(code, self.expected));
        response
    }
}

impl From<&StoreError> for Problem {
    fn from(_: &StoreError) -> Self {
        Self::new(
            ProblemCode::StoreUnavailable,
            "the record store did not answer properly; ask again",
        )
    }
}

/// A secret that is there but of no use counts as a refused key: somebody has to put it right.
impl From<&SecretError> for Problem {
    fn from(error: &SecretError) -> Self {
        let code = match error {
            SecretError::Unavailable => ProblemCode::StoreUnavailable,
            SecretError::Refused | SecretError::Unusable { .. } => ProblemCode::StripeAuth,
        };
        Self::new(code, error.to_string())
    }
}

fn json_response(
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

/// The payment a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The order; `None` where the request names none.
    pub order_id: Option<OrderId>,
}

impl Named {
    /// Reads path and query, or the fields of a bare request, which has to name the operation where
    /// it is not the function's own.
    ///
    /// # Errors
    /// A [`Problem`].
    pub fn read(request: &Request, operation: Option<&str>) -> Result<Self, Problem> {
        let (path, query) = (request.path_parameters(), request.query_string_parameters());
        let bare = is_bare(request)
            .then(|| Bare::read(request.body(), operation))
            .transpose()?;
        let (conversation, order) = match &bare {
            Some(bare) => (bare.conversation_id.as_deref(), bare.order_id.as_deref()),
            None => (path.first("conversation_id"), query.first("order_id")),
        };
        Ok(Self {
            conversation_id: conversation_id(conversation.unwrap_or_default())?,
            // An empty order_id is an unset input of the Data Action.
            order_id: order
                .filter(|id| !id.is_empty())
                .map(order_id)
                .transpose()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    conversation_id: Option<String>,
    order_id: Option<String>,
    operation: Option<String>,
}

impl Bare {
    fn read(body: &[u8], operation: Option<&str>) -> Result<Self, Problem> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(Problem::request_too_large(body.len()));
        }
        if std::str::from_utf8(body).is_ok_and(fields::hold_card_number) {
            return Err(Problem::card_data_refused());
        }
        let read: Option<Self> = serde_json::from_slice(body).ok();
        read.filter(|bare| bare.operation.as_deref() == operation).ok_or_else(|| {
            let expected = "the request must have conversation_id and, where one order is meant, order_id: strings, each \
                            once, and nothing else";
            Problem::new(ProblemCode::MalformedRequest, expected)
        })
    }
}

/// The conversation a request names.
///
/// # Errors
/// [`ProblemCode::InvalidConversationId`], or [`ProblemCode::CardDataRefused`].
pub fn conversation_id(text: &str) -> Result<ConversationId, Problem> {
    if in_identifier(text) {
        return Err(Problem::card_data_refused());
    }
    if holds_secret(text) {
        return Err(Problem::misplaced_secret());
    }
    ConversationId::parse(&text.to_ascii_lowercase()).map_err(|must_be| {
        let expected = format!("conversation_id must be {must_be}");
        Problem::with_field(
            ProblemCode::InvalidConversationId,
            "conversation_id",
            expected,
        )
        .came(format!("conversation_id is {}", quoted(text)))
    })
}

/// The order a request names.
///
/// # Errors
/// [`ProblemCode::InvalidOrderId`], or [`ProblemCode::CardDataRefused`].
pub fn order_id(text: &str) -> Result<OrderId, Problem> {
    if in_identifier(text) {
        return Err(Problem::card_data_refused());
    }
    if holds_secret(text) {
        return Err(Problem::misplaced_secret());
    }
    OrderId::parse(text).map_err(|must_be| {
        Problem::with_field(
            ProblemCode::InvalidOrderId,
            "order_id",
            format!("order_id must be {must_be}"),
        )
        .came(format!("order_id is {}", quoted(text)))
    })
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
    fn every_problem_has_its_status_code_and_retry_after() {
        for code in ProblemCode::ALL {
            let response = Problem::new(code, "why").into_response();
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
    fn a_lost_or_stolen_card_sounds_like_any_other_decline_but_is_not_tried_again() {
        let plain = caller_message(PaymentStatus::Declined, "generic_decline");
        for code in HOPELESS {
            assert_eq!(
                caller_message(PaymentStatus::Declined, code),
                plain,
                "{code}"
            );
            assert!(!is_retryable(PaymentStatus::Declined, code), "{code}");
        }
        assert!(is_retryable(PaymentStatus::Declined, "insufficient_funds"));
    }

    const LIMIT: &str =
        "The card has insufficient funds or has reached its limit. Please try another card.";
    const EXPIRED: &str =
        "The card has expired or its expiry date is wrong. Please check it or try another card.";
    const CODE: &str = "The card's security code is wrong. Please check it and try again.";
    const NUMBER: &str = "The card number is wrong. Please check it and try again.";
    const BANK: &str = "The bank asks for an extra confirmation that cannot be given by phone. Please try another card.";
    const LATER: &str = "The bank could not be reached. Please try again in a moment.";
    const OTHER: &str = "The card was declined. Please try another card.";

    /// Every code of Stripe's page "Decline codes", in its order: whether another try makes sense,
    /// and what is said.
    const DECLINES: [(&str, bool, &str); 51] = [
        ("approve_with_id", true, OTHER),
        ("authentication_not_handled", true, OTHER),
        ("authentication_required", true, BANK),
        ("call_issuer", true, OTHER),
        ("card_not_supported", true, OTHER),
        ("card_velocity_exceeded", true, LIMIT),
        ("currency_not_supported", true, OTHER),
        ("do_not_honor", true, OTHER),
        ("do_not_try_again", true, OTHER),
        ("duplicate_transaction", true, OTHER),
        ("expired_card", true, EXPIRED),
        ("fraudulent", false, OTHER),
        ("generic_decline", true, OTHER),
        ("incorrect_address", true, OTHER),
        ("incorrect_cvc", true, CODE),
        ("incorrect_number", true, NUMBER),
        ("incorrect_pin", true, OTHER),
        ("incorrect_zip", true, OTHER),
        ("insufficient_funds", true, LIMIT),
        ("invalid_account", true, OTHER),
        ("invalid_amount", true, OTHER),
        ("invalid_cvc", true, CODE),
        ("invalid_expiry_month", true, EXPIRED),
        ("invalid_expiry_year", true, EXPIRED),
        ("invalid_number", true, NUMBER),
        ("invalid_pin", true, OTHER),
        ("issuer_not_available", true, LATER),
        ("lost_card", false, OTHER),
        ("merchant_blacklist", false, OTHER),
        ("mobile_device_authentication_required", true, OTHER),
        ("new_account_information_available", true, OTHER),
        ("no_action_taken", true, OTHER),
        ("not_permitted", true, OTHER),
        ("offline_pin_required", true, OTHER),
        ("online_or_offline_pin_required", true, OTHER),
        ("pickup_card", false, OTHER),
        ("pin_try_exceeded", true, OTHER),
        ("processing_error", true, LATER),
        ("reenter_transaction", true, LATER),
        ("restricted_card", false, OTHER),
        ("revocation_of_all_authorizations", false, OTHER),
        ("revocation_of_authorization", false, OTHER),
        ("security_violation", false, OTHER),
        ("service_not_allowed", false, OTHER),
        ("stolen_card", false, OTHER),
        ("stop_payment_order", false, OTHER),
        ("testmode_decline", true, OTHER),
        ("transaction_not_allowed", false, OTHER),
        ("try_again_later", true, LATER),
        ("withdrawal_count_limit_exceeded", true, LIMIT),
        ("a_code_that_stripe_adds_one_day", true, OTHER),
    ];

    #[test]
    fn every_decline_is_said_and_tried_again_as_stripe_s_list_wants_it() {
        for (code, again, said) in DECLINES {
            assert_eq!(is_retryable(PaymentStatus::Declined, code), again, "{code}");
            assert_eq!(
                caller_message(PaymentStatus::Declined, code),
                said,
                "{code}"
            );
        }
        let hopeless: Vec<&str> = DECLINES
            .iter()
            .filter(|(_, again, _)| !again)
            .map(|(code, ..)| *code)
            .collect();
        assert_eq!(
            HOPELESS.as_slice(),
            hopeless,
            "none that Stripe does not list"
        );
    }

    #[test]
    fn every_status_is_said_and_only_what_may_still_change_by_another_try_is_retryable() {
        use PaymentStatus as S;
        for (status, name, is_final, retryable, said) in [
            (
                S::Creating,
                "CREATING",
                false,
                true,
                "Your payment is being prepared.",
            ),
            (
                S::Pending,
                "PENDING",
                false,
                false,
                "Your payment is ready and waiting for you.",
            ),
            (
                S::Processing,
                "PROCESSING",
                false,
                false,
                "Your payment is being processed.",
            ),
            (
                S::Authorized,
                "AUTHORIZED",
                false,
                false,
                "Your card was authorized. Thank you.",
            ),
            (
                S::Confirmed,
                "CONFIRMED",
                true,
                false,
                "Your payment was received. Thank you.",
            ),
            (
                S::Canceled,
                "CANCELED",
                true,
                false,
                "This payment was canceled.",
            ),
            (S::Declined, "DECLINED", false, true, OTHER),
        ] {
            assert_eq!((status.as_str(), status.is_final()), (name, is_final));
            for reason_code in ["", "amount_too_small", "lost_card"] {
                let hopeless = status == S::Declined && reason_code == "lost_card";
                assert_eq!(
                    is_retryable(status, reason_code),
                    retryable && !hopeless,
                    "{name} {reason_code}"
                );
                assert_eq!(
                    caller_message(status, reason_code),
                    said,
                    "{name} {reason_code}"
                );
            }
        }
    }

    #[test]
    fn what_the_payer_is_told_has_its_status_word_and_wait() {
        for (told, status, state, wait, allow) in [
            (PayerTold::Processing, 200, "processing", None, None),
            (PayerTold::Paid, 410, "paid", None, None),
            (PayerTold::Canceled, 410, "canceled", None, None),
            (PayerTold::Expired, 410, "expired", None, None),
            (PayerTold::Unknown, 404, "unknown", None, None),
            (PayerTold::Unavailable, 503, "unavailable", Some("2"), None),
            (PayerTold::Malformed, 400, "malformed", None, None),
            (
                PayerTold::WrongMethod("GET"),
                405,
                "wrong_method",
                None,
                Some("GET"),
            ),
        ] {
            assert_eq!(told.state(), state);
            let response = told.into_response();
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

    #[test]
    fn a_client_secret_hides_in_debug() {
        let conversation = ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").unwrap();
        let mut reply = Reply::not_found(&conversation, None);
        reply.client_secret = "pi_1_secret_canary".into();
        assert!(!format!("{reply:?}").contains("canary"));
    }
}
