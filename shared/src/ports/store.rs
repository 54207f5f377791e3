//! The table.

use std::future::Future;
use std::time::Duration;

use crate::domain::ids::{ConversationId, Correlation, IntentId, OrderId, PaymentKey};
use crate::domain::link::{Link, LinkToken, Placement};
use crate::domain::notice::DueNotice;
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
    /// The deployment's settings are not those that the table's records were written under.
    #[error("{name} is \"{configured}\", but the table's records were written under \"{stored}\"")]
    SettingsChanged {
        name: &'static str,
        configured: &'static str,
        stored: &'static str,
    },
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
    /// Writes a new record, or gives the one that is there already. Before the first one, writes
    /// the settings that every record is found by.
    ///
    /// # Errors
    /// [`StoreError::SettingsChanged`] if the table has other settings.
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

    /// The order that the conversation asked for last, consistently read.
    fn newest_order(
        &self,
        conversation_id: &ConversationId,
    ) -> impl Future<Output = Result<Option<OrderId>, StoreError>> + Send;
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

    /// Takes the turn to tell Genesys what is due by this version of the record. One caller at a
    /// time has it, so that Genesys never hears an older status after a newer one. The turn lapses
    /// after `lapse`, in case its holder died, and if its time lies further in the future than
    /// that.
    ///
    /// The same write is a new version. Before a status is told, it forgets what Genesys accepted:
    /// from here on nobody knows what Genesys holds. If the update is lost on the way and the
    /// status returns to the earlier one, that one is due again.
    fn claim_notice(
        &self,
        payment: &Payment,
        due: &DueNotice,
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
        accepted: Option<&DueNotice>,
    ) -> impl Future<Output = Result<Option<Payment>, StoreError>> + Send;
}

/// The number of a turn to tell Genesys: a later turn has a greater one, so a holder whose turn
/// lapsed writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeTurn(pub u64);

/// What is written in one transaction with a record's next state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The intent that the state names for the first time: whose it is.
    pub intent: Option<&'a IntentId>,
    /// The conversation's newest order, and the link.
    pub placement: Option<&'a Placement>,
}

/// `dynamodb:UpdateItem` and `dynamodb:PutItem`, in one transaction
pub trait TransactPayment: Send + Sync {
    /// Writes the record's next state if the stored version is `next.version - 1`, and what belongs
    /// beside it.
    fn transact(
        &self,
        next: &Payment,
        beside: Beside<'_>,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;
}

/// `dynamodb:ConditionCheckItem` and `dynamodb:PutItem`, in one transaction
pub trait PlacePayment: Send + Sync {
    /// Writes a placement while the record has this holder, attempt and status. Leaves the record
    /// as it is, so that any number of requests of one conversation are in nobody's way.
    fn place(
        &self,
        payment: &Payment,
        placement: &Placement,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;
}

/// `dynamodb:GetItem`
pub trait GetLink: Send + Sync {
    /// Where a token leads, consistently read.
    fn link(
        &self,
        token: &LinkToken,
    ) -> impl Future<Output = Result<Option<Link>, StoreError>> + Send;
}
