//! Stripe's PaymentIntents.

use std::future::Future;

use secrecy::SecretString;

use super::{Deadline, SecretError};
use crate::domain::ids::{Correlation, IdempotencyKey, IntentId, PaymentMethodId};
use crate::domain::money::Money;
use crate::domain::observation::Observation;
use crate::domain::payment::{Payment, Terms};
use crate::domain::time::UnixMillis;

/// Why Stripe did not give what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// 401 or 403, also with the key read afresh.
    #[error("Stripe refused the key with {status}")]
    Auth { status: u16 },
    /// Stripe refuses the request and would refuse it again.
    #[error("Stripe refused the request: {code} {param}")]
    Rejected {
        /// Stripe's error code or type.
        code: String,
        /// The parameter it is about, or empty.
        param: String,
    },
    /// Stripe refuses the address that the receipt is to be sent to.
    #[error("Stripe refused the receipt's address")]
    ReceiptRefused {
        /// Whether Stripe keeps this answer under the idempotency key: it came again, and would
        /// whatever is sent.
        kept: bool,
    },
    /// The intent is not in a state to be confirmed.
    #[error("the intent's state does not allow it")]
    UnexpectedState,
    /// Another request with the same idempotency key is still at work, also after the one retry.
    #[error("a request with the same idempotency key is still at work")]
    InUse,
    /// The idempotency key was used with other parameters.
    #[error("the idempotency key was used with other parameters")]
    KeyMismatch,
    /// Too many requests.
    #[error("Stripe limits the rate")]
    RateLimited,
    /// No answer, a broken answer or 5xx, also after the one retry.
    #[error("Stripe is unavailable")]
    Unavailable,
    /// A failure of Stripe's own that it keeps under the idempotency key: every request with this
    /// key gets it, and none of them acts any more. Whether the first one did, the answer does not
    /// tell.
    #[error("Stripe keeps a failure under the idempotency key")]
    KeptFailure,
    /// No answer within the time there was.
    #[error("Stripe did not answer in time")]
    Timeout,
    /// The key could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl StripeError {
    /// Whether it says that our key does not see the object: there is none in our account.
    pub fn is_unknown_to_us(&self) -> bool {
        match self {
            Self::Rejected { code, .. } => code == "resource_missing",
            Self::Auth { status } => *status == 403,
            _ => false,
        }
    }
}

/// Stripe's answer about one intent.
#[derive(Debug)]
pub struct StripeReply {
    /// What it says.
    pub seen: Observation,
    /// What lets the payer's page pay it.
    pub client_secret: Option<SecretString>,
    /// Whether Stripe replayed an earlier answer (`Idempotent-Replayed`), which may since be out of
    /// date.
    pub replayed: bool,
}

/// What a new intent is made from.
#[derive(Clone, Copy, Debug)]
pub struct NewIntent<'a> {
    pub key: &'a IdempotencyKey,
    /// Becomes the metadata.
    pub correlation: &'a Correlation,
    pub money: Money,
    pub terms: &'a Terms,
}

/// `POST /v1/payment_intents`
pub trait CreateIntent: Send + Sync {
    /// Makes the attempt's intent; the same one however often.
    fn create_intent(
        &self,
        new: NewIntent<'_>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<StripeReply, StripeError>> + Send;
}

/// `POST /v1/payment_intents/{id}/confirm`
pub trait ConfirmIntent: Send + Sync {
    /// Charges a token on the intent. A decline is an answer.
    fn confirm_intent(
        &self,
        intent_id: &IntentId,
        payment_method: &PaymentMethodId,
        key: &IdempotencyKey,
        deadline: Deadline,
    ) -> impl Future<Output = Result<StripeReply, StripeError>> + Send;
}

/// `POST /v1/payment_intents/{id}/cancel`
pub trait CancelIntent: Send + Sync {
    /// Cancels the intent, which nobody can pay from then on. [`StripeError::UnexpectedState`] if
    /// it cannot be canceled, or not again.
    fn cancel_intent(
        &self,
        intent_id: &IntentId,
        key: &IdempotencyKey,
        deadline: Deadline,
    ) -> impl Future<Output = Result<StripeReply, StripeError>> + Send;
}

/// The key that the payer's page shows Stripe.
pub trait PublishableKey: Send + Sync {
    /// `pk_…`, from the Stripe secret.
    fn publishable_key(&self) -> impl Future<Output = Result<String, SecretError>> + Send;
}

/// What came of looking for an attempt's intent.
#[derive(Debug)]
pub enum Lookup {
    /// There is one.
    Found(Box<StripeReply>),
    /// There is none.
    Absent,
    /// Neither search nor list could say.
    Unclear,
}

/// `GET /v1/payment_intents/{id}`, `GET /v1/payment_intents/search` and `GET /v1/payment_intents`
pub trait FetchIntent: Send + Sync {
    /// The intent as it is.
    fn fetch_intent(
        &self,
        intent_id: &IntentId,
        deadline: Deadline,
    ) -> impl Future<Output = Result<StripeReply, StripeError>> + Send;

    /// The intent of the payment's attempt, found by its metadata. Search finds whatever it knows,
    /// but its index lags: only the list, read to its end, proves that there is none, until search
    /// is sure to have caught up.
    fn find_intent(
        &self,
        payment: &Payment,
        now: UnixMillis,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Lookup, StripeError>> + Send;
}

/// A webhook event that Stripe has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`
    pub id: String,
    /// `payment_intent.succeeded`
    pub kind: String,
    /// Whether it is of the other mode, live or test, than our key.
    pub is_other_mode: bool,
    /// Whether it is of another account than our key's, one of a platform's connected accounts.
    pub is_other_account: bool,
    /// What it says of an intent; `None` if it is about something else.
    pub seen: Option<Observation>,
}

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No `Stripe-Signature` header.
    #[error("the Stripe-Signature header is missing")]
    Missing,
    /// The header has no readable `t`.
    #[error("the Stripe-Signature header has no readable timestamp")]
    Timestamp,
    /// No `v1` of 32 bytes in hexadecimal.
    #[error("the Stripe-Signature header has no v1 signature of full length")]
    NoCandidate,
    /// Signed more than 300 seconds before or after now.
    #[error("the signature's timestamp is more than 300 seconds from now")]
    OutsideTolerance,
    /// No `v1` is that of an active secret.
    #[error("no signature matches an active webhook secret")]
    NoMatch,
}

/// Why a Stripe object could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Not JSON, or a field missing or of another type than Stripe documents.
    #[error("not a Stripe object of the expected shape")]
    Shape,
    /// A PaymentIntent status this version does not know.
    #[error("a PaymentIntent status unknown to this version")]
    UnknownStatus,
    /// A currency this version does not know.
    #[error("a currency unknown to this version")]
    UnknownCurrency,
    /// A thin event (`v2.core.event`), which carries no snapshot.
    #[error(
        "a thin event: set the Stripe event destination's payload style to \"Snapshot\" (v1 \
         events), not \"Thin\""
    )]
    ThinEvent,
}

/// Why a delivery is not taken for an event of Stripe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The webhook secrets could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The endpoint's secrets.
pub trait VerifyEvent: Send + Sync {
    /// Checks the `Stripe-Signature` header over the raw body, then reads the body. A signature
    /// that no known secret made is checked once more against the secrets read afresh, so that a
    /// rolled secret needs no deployment.
    fn verify_event(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now: UnixMillis,
    ) -> impl Future<Output = Result<Event, EventError>> + Send;
}
