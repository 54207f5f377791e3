//! The table.

use std::future::Future;
use std::time::Duration;

use crate::domain::ids::{ConversationId, Correlation, IntentId, PaymentKey};
use crate::domain::link::{Link, LinkToken};
use crate::domain::notice::Notice;
use crate::domain::payment::Payment;
use crate::domain::time::UnixMillis;

/// Why the table could not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Throttled, timed out, unreachable or refused; has DynamoDB's error code.
    #[error("DynamoDB: {0}")]
    Unavailable(String),
    /// An item that this version cannot read; names the attribute.
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
        key: &PaymentKey,
    ) -> impl Future<Output = Result<Option<Payment>, StoreError>> + Send;

    /// The attempt that an intent belongs to, consistently read.
    fn intent_owner(
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
    /// Writes the record's next state if the stored version is `next.version - 1`.
    fn save(&self, next: &Payment) -> impl Future<Output = Result<Saved, StoreError>> + Send;

    /// Takes the turn to ask Stripe about a stale record, at most once per `every`. A turn whose
    /// time lies further in the future than `every` was taken by a clock that ran fast, and is
    /// over.
    fn claim_refresh(
        &self,
        payment: &Payment,
        now: UnixMillis,
        every: Duration,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;

    /// Takes the turn to tell Genesys what this version of the record says. One caller at a time
    /// has it, so that Genesys never hears an older status after a newer one. The turn lapses after
    /// `lapse`, in case its holder died, and if its time lies further in the future than that.
    ///
    /// The same write is a new version that forgets what Genesys accepted before: from here on
    /// nobody knows what Genesys holds. If the update is lost on the way and the status returns to
    /// the earlier one, that one is due again.
    fn claim_notice(
        &self,
        payment: &Payment,
        now: UnixMillis,
        lapse: Duration,
    ) -> impl Future<Output = Result<Option<NoticeTurn>, StoreError>> + Send;

    /// Gives the turn back and records what Genesys accepted. That is a new version, so that a
    /// caller that read the record before does not decide by it what is due. Gives the record as it
    /// is now; `None` if somebody else has the turn.
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

/// `dynamodb:UpdateItem` and `dynamodb:PutItem`, in one transaction
pub trait AttachIntent: Send + Sync {
    /// Writes the record's next state, which names this intent for the first time, together with
    /// the item that tells whose intent it is.
    fn attach_intent(
        &self,
        next: &Payment,
        intent_id: &IntentId,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;
}

/// `dynamodb:PutItem`
pub trait PutLink: Send + Sync {
    /// Writes where a token leads, under its digest.
    fn put_link(
        &self,
        token: &LinkToken,
        link: &Link,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// `dynamodb:GetItem`
pub trait GetLink: Send + Sync {
    /// Where a token leads, consistently read.
    fn link(
        &self,
        token: &LinkToken,
    ) -> impl Future<Output = Result<Option<Link>, StoreError>> + Send;
}
