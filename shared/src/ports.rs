//! What the use cases ask of the outside, one trait per privilege: the bounds of a use case are its
//! IAM statement.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use secrecy::SecretString;

use crate::conversation::{Conversation, ParticipantId};
use crate::ids::{ConversationId, Correlation, IntentId, OrderId, PaymentMethodId};
use crate::link::{Link, LinkToken};
use crate::money::Money;
use crate::payment::{Notice, Observation, Payment, Terms};
use crate::secrets::SecretError;
use crate::time::{Deadline, UnixMillis};

/// Why the table could not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out, unreachable or refused; the text is DynamoDB's error code.
    #[error("DynamoDB: {0}")]
    Unavailable(String),
    /// An item that this version cannot read; the text names the attribute.
    #[error("unreadable item: {0}")]
    Unreadable(String),
    /// The record changed again under every try.
    #[error("the record changed under every try")]
    Contended,
}

/// The outcome of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    /// Written.
    Yes,
    /// The condition did not hold; nothing was written.
    Conflict,
}

/// `dynamodb:PutItem`
pub trait PutPayment: Send + Sync {
    /// Writes a new record, or gives the one that is there already.
    fn put_payment(
        &self,
        payment: &Payment,
    ) -> impl Future<Output = Result<Option<Payment>, StoreError>> + Send;
}

/// `dynamodb:GetItem`
pub trait GetPayment: Send + Sync {
    /// One payment, consistently read.
    fn payment(
        &self,
        conversation_id: &ConversationId,
        order_id: &OrderId,
    ) -> impl Future<Output = Result<Option<Payment>, StoreError>> + Send;

    /// Where an intent belongs, consistently read.
    fn pointer(
        &self,
        intent_id: &IntentId,
    ) -> impl Future<Output = Result<Option<Correlation>, StoreError>> + Send;
}

/// `dynamodb:Query`
pub trait QueryPayments: Send + Sync {
    /// The conversation's payment that was begun last, consistently read.
    fn newest_payment(
        &self,
        conversation_id: &ConversationId,
    ) -> impl Future<Output = Result<Option<Payment>, StoreError>> + Send;
}

/// `dynamodb:UpdateItem`
pub trait UpdatePayment: Send + Sync {
    /// Writes the record's next state where the stored version is `next.version - 1`.
    fn save(&self, next: &Payment) -> impl Future<Output = Result<Saved, StoreError>> + Send;

    /// Takes the turn to ask Stripe about a stale record, at most once per `every`. A turn that was
    /// taken further ahead than that counts as past.
    fn claim_refresh(
        &self,
        payment: &Payment,
        now: UnixMillis,
        every: Duration,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;

    /// Takes the turn to tell Genesys what this version of the record says. One caller at a time
    /// has it, so that Genesys never hears an older status after a newer one; it lapses after
    /// `lapse`, in case its holder died, and where it was taken further ahead than that. From here
    /// on nobody knows what Genesys holds, so what it accepted before is forgotten, in a new
    /// version: should the status return to that while this telling is lost on the way, it is due.
    fn claim_notice(
        &self,
        payment: &Payment,
        now: UnixMillis,
        lapse: Duration,
    ) -> impl Future<Output = Result<Option<NoticeTurn>, StoreError>> + Send;

    /// Gives the turn back and, where Genesys accepted it, writes down what was told. That is a new
    /// version: who read the record before must not take what it said then for what is still due,
    /// or no longer. Gives the record as it is now; `None` where somebody else has the turn.
    fn end_notice(
        &self,
        payment: &Payment,
        turn: NoticeTurn,
        accepted: Option<&Notice>,
    ) -> impl Future<Output = Result<Option<Payment>, StoreError>> + Send;
}

/// The number of a turn to tell Genesys: a later turn has a greater one, so a holder whose turn
/// lapsed writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeTurn(pub u64);

/// `dynamodb:PutItem`
pub trait PutLink: Send + Sync {
    /// Writes what a token opens, under its digest.
    fn put_link(
        &self,
        token: &LinkToken,
        link: &Link,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// `dynamodb:GetItem`
pub trait GetLink: Send + Sync {
    /// What a token opens, consistently read.
    fn link(
        &self,
        token: &LinkToken,
    ) -> impl Future<Output = Result<Option<Link>, StoreError>> + Send;
}

/// The operating system has no random bits to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bits")]
pub struct NoRandomBits;

/// Where tokens come from.
pub trait RandomBits: Send + Sync {
    /// 128 bits that nobody can guess.
    ///
    /// # Errors
    /// [`NoRandomBits`].
    fn bits(&self) -> Result<[u8; 16], NoRandomBits>;
}

/// `dynamodb:UpdateItem` and `dynamodb:PutItem`, in one transaction
pub trait AdoptIntent: Send + Sync {
    /// Writes the record's next state, which names its intent for the first time, together with the
    /// intent's pointer.
    fn adopt(&self, next: &Payment) -> impl Future<Output = Result<Saved, StoreError>> + Send;
}

/// Why Stripe did not give what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeError {
    /// 401 or 403, also with the key read afresh.
    #[error("Stripe refused the key with {status}")]
    Auth {
        /// HTTP status.
        status: u16,
    },
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
    /// A twin with the same idempotency key is still at work, also after the one retry.
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
    #[must_use]
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
pub struct Answer {
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
    /// Becomes the metadata and, with the terms, the idempotency key.
    pub correlation: &'a Correlation,
    /// What to ask for.
    pub money: Money,
    /// The rest.
    pub terms: &'a Terms,
}

/// `POST /v1/payment_intents`
pub trait CreateIntent: Send + Sync {
    /// Makes the attempt's intent; the same one however often.
    fn create_intent(
        &self,
        new: NewIntent<'_>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Answer, StripeError>> + Send;
}

/// `POST /v1/payment_intents/{id}/confirm`
pub trait ConfirmIntent: Send + Sync {
    /// Charges a token on the intent. A decline is an answer.
    fn confirm_intent(
        &self,
        intent_id: &IntentId,
        correlation: &Correlation,
        payment_method: &PaymentMethodId,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Answer, StripeError>> + Send;
}

/// `POST /v1/payment_intents/{id}/cancel`
pub trait CancelIntent: Send + Sync {
    /// Cancels the intent, which nobody can pay from then on. `now` makes the idempotency key, so
    /// that a later try is a new one: whether an intent can be canceled changes.
    /// [`StripeError::UnexpectedState`] where it cannot be, or not again.
    fn cancel_intent(
        &self,
        intent_id: &IntentId,
        correlation: &Correlation,
        now: UnixMillis,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Answer, StripeError>> + Send;
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
    Found(Box<Answer>),
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
    ) -> impl Future<Output = Result<Answer, StripeError>> + Send;

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

/// What is asked of Genesys. It decides whether a request may be repeated, and what a missing
/// answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenesysRequest {
    /// `POST /oauth/token`
    Token,
    /// `GET` of a conversation
    Conversation,
    /// `PATCH` of a participant's attributes
    Attributes,
    /// `POST` of a workflow execution
    Workflow,
}

impl GenesysRequest {
    /// Whether it changes what somebody sees or does.
    #[must_use]
    pub fn is_write(self) -> bool {
        matches!(self, Self::Attributes | Self::Workflow)
    }

    /// For logs and errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token request",
            Self::Conversation => "conversation request",
            Self::Attributes => "attributes update",
            Self::Workflow => "workflow start",
        }
    }
}

/// How the answer to a request that was sent got lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The connection broke before the answer was whole.
    #[error("the connection broke")]
    Broken,
    /// There was no answer within the time for it.
    #[error("no answer in time")]
    Timeout,
    /// A gateway on the way gave up on it, with 502 or 504.
    #[error("a gateway answered {status}")]
    Gateway {
        /// HTTP status.
        status: u16,
    },
}

/// Why Genesys did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesysError {
    /// The OAuth client was refused, also with its secret read afresh.
    #[error("Genesys refused the OAuth client with {status}")]
    Auth {
        /// HTTP status.
        status: u16,
    },
    /// Another answer than success. The request is over: Genesys does no more about it.
    #[error("Genesys answered {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// Too many requests, also after the one wait, or its `Retry-After` does not fit the time there
    /// is.
    #[error("Genesys limits the rate")]
    RateLimited,
    /// No connection could be made, also at the one retry: nothing was sent.
    #[error("no connection to Genesys")]
    NoConnection,
    /// The time was up before there was anything to send.
    #[error("no time was left to ask Genesys")]
    NoTime,
    /// The request was sent, and its answer got lost.
    #[error("Genesys did not answer the {}: {lost}", to.as_str())]
    NoAnswer {
        /// What was asked.
        to: GenesysRequest,
        /// What became of the answer.
        lost: Lost,
    },
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl GenesysError {
    /// Whether a write is perhaps still on its way, so that it could overtake a newer one.
    #[must_use]
    pub fn may_still_act(&self) -> bool {
        matches!(self, Self::NoAnswer { to, .. } if to.is_write())
    }
}

/// The Genesys Conversations API.
pub trait Conversations: Send + Sync {
    /// `GET /api/v2/conversations/{id}`; `None` when Genesys does not know it (any more).
    fn conversation(
        &self,
        id: &ConversationId,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Option<Conversation>, GenesysError>> + Send;

    /// `PATCH /api/v2/conversations/{id}/participants/{participant}/attributes`
    fn set_attributes(
        &self,
        id: &ConversationId,
        participant: &ParticipantId,
        attributes: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<(), GenesysError>> + Send;

    /// `POST /api/v2/flows/executions`: starts the workflow for payments confirmed after the call.
    /// `Ok(false)` when none is configured.
    fn start_late_payment_flow(
        &self,
        inputs: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<bool, GenesysError>> + Send;
}
