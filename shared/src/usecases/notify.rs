//! Tells Genesys what it has not accepted yet: the attributes of the customer in the very
//! conversation or, once that has ended, the workflow for late payments.
//!
//! One caller at a time has the turn for a payment. Its holder tells the newest status, records
//! that Genesys accepted it, and looks again, so that nothing which arrived meanwhile stays untold.

use std::time::Duration;

use strum::IntoStaticStr;

use crate::domain::notice::DueNotice;
use crate::domain::payment::{Payment, PaymentStatus};
use crate::ports::telemetry::{self, Metric};
use crate::ports::{Conversations, GenesysError, GetPayment, StoreError, UpdatePayment};
use crate::usecases::ctx::Ctx;

/// When a turn lapses whose holder died: longer than any function runs, so that no living holder
/// loses it.
pub const TURN_LAPSES_AFTER: Duration = Duration::from_secs(15);

/// How long to wait before looking again whether another holder is done. Twice as long each time,
/// up to a second: most are done at once, and one that died holds the turn for seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// What of the time is kept to record the outcome, so that a turn is given back if it can be.
const RECORDING: Duration = Duration::from_millis(300);

/// Why Genesys was not told; what is due stays due on the record.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Genesys(#[from] GenesysError),
    /// Somebody else had the turn until our time was up.
    #[error("another delivery is telling Genesys about this payment")]
    Busy,
}

/// How a status reached Genesys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Delivery {
    /// Nothing was due.
    NothingDue,
    /// As attributes of the customer.
    Attributes,
    /// As the attribute that says that the payment goes on in another conversation.
    Moved,
    /// By starting the workflow for late payments.
    Workflow,
    /// Not at all: the conversation has ended, and no workflow is to be started for this status.
    ConversationEnded,
    /// Not at all: Genesys does not know the conversation.
    ConversationUnknown,
}

/// Tells Genesys until nothing is due. Gives how the last status was delivered, and counts it.
///
/// # Errors
/// [`NotifyError`]; the status stays due.
pub async fn notify<S, Stripe, Genesys>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: &Genesys,
    payment: Payment,
) -> Result<Delivery, NotifyError>
where
    S: GetPayment + UpdatePayment,
    Genesys: Conversations,
{
    let delivered = deliver_what_is_due(ctx, genesys, payment).await;
    let outcome = delivered.as_ref().map_or("refused", |how| how.into());
    telemetry::count(Metric::Notices, outcome);
    delivered
}

/// Tells Genesys, if there is one, as far as the time allows; else the status stays due.
pub async fn notify_in_time<S, Stripe, Genesys>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: Option<&Genesys>,
    payment: &Payment,
) where
    S: GetPayment + UpdatePayment,
    Genesys: Conversations,
{
    let Some(genesys) = genesys else {
        return;
    };
    let notifying = notify(ctx, genesys, payment.clone());
    // mutant: notify-deadline
    match tokio::time::timeout_at(ctx.deadline.instant(), notifying).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "could not tell Genesys; the status stays due"),
        Err(_) => tracing::warn!("telling Genesys took too long; the status stays due"),
    }
}

async fn deliver_what_is_due<S, Stripe, Genesys>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: &Genesys,
    mut payment: Payment,
) -> Result<Delivery, NotifyError>
where
    S: GetPayment + UpdatePayment,
    Genesys: Conversations,
{
    let mut delivery = Delivery::NothingDue;
    let mut wait = LOOK_AGAIN;
    while let Some(notice) = payment.due_notice() {
        let claiming = ctx
            .store
            .claim_notice(&payment, &notice, ctx.now(), TURN_LAPSES_AFTER);
        match claiming.await? {
            // mutant: tell-then-record
            Some(turn) => match deliver(ctx, genesys, &payment, &notice).await {
                Ok(how) => {
                    let ending = ctx.store.end_notice(&payment, turn, Some(&notice));
                    if let Some(current) = ending.await? {
                        delivery = how;
                        payment = current;
                        continue;
                    }
                }
                Err(error) => {
                    // A write that may still be on its way keeps the turn until it lapses, lest it
                    // overtake a newer one.
                    // mutant: late-update
                    if !error.may_still_act() {
                        let _ = ctx.store.end_notice(&payment, turn, None).await?;
                    }
                    return Err(error.into());
                }
            },
            None if ctx.deadline.allows(wait) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LOOK_AGAIN_AT_MOST);
            }
            None => return Err(NotifyError::Busy),
        }
        match ctx.store.payment(&payment.key()).await? {
            Some(current) => payment = current,
            None => return Ok(delivery),
        }
    }
    Ok(delivery)
}

async fn deliver<S, Stripe, Genesys: Conversations>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: &Genesys,
    payment: &Payment,
    notice: &DueNotice,
) -> Result<Delivery, GenesysError> {
    // mutant: time-to-record
    let deadline = ctx.deadline.less(RECORDING);
    let conversation_id = notice.conversation_id();
    let Some(conversation) = genesys.conversation(conversation_id, deadline).await? else {
        return Ok(Delivery::ConversationUnknown);
    };
    if let Some(customer) = conversation.customer_on_the_line {
        let attributes = notice.attributes(payment);
        let setting = genesys.set_attributes(conversation_id, &customer, &attributes, deadline);
        setting.await?;
        return Ok(match notice {
            DueNotice::State(_) => Delivery::Attributes,
            DueNotice::Moved(_) => Delivery::Moved,
        });
    }
    if let DueNotice::State(notice) = notice
        && notice.status == PaymentStatus::Confirmed
    {
        let inputs = notice.flow_inputs(payment);
        if genesys.start_late_payment_flow(&inputs, deadline).await? {
            return Ok(Delivery::Workflow);
        }
    }
    Ok(Delivery::ConversationEnded)
}
