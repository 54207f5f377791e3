//! Tells Genesys what it has not accepted yet: the attributes of the customer in the very
//! conversation, or, once that has ended, the workflow for late payments.
//!
//! One caller at a time has the turn for a payment. Its holder tells the newest status, writes down
//! that Genesys accepted it, and looks again, so that nothing which arrived meanwhile stays untold.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::payment::{Notice, Payment, PaymentStatus};
use crate::ports::{Conversations, GenesysError, GetPayment, StoreError, UpdatePayment};
use crate::telemetry::{self, Metric};
use crate::time::{Clock, Deadline};

/// When a turn lapses whose holder died: longer than any function runs, so that no living holder
/// loses it.
pub const TURN_LAPSES_AFTER: Duration = Duration::from_secs(15);

/// How long to wait before looking again whether another holder is done. Twice as long each time,
/// up to a second: most are done at once, and one that died holds the turn for seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// What of the time is kept to write down what became of a telling, so that a turn is given back
/// where it can be.
const WRITE_DOWN: Duration = Duration::from_millis(300);

/// Why Genesys was not told; what is due stays due on the record.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Genesys.
    #[error(transparent)]
    Genesys(#[from] GenesysError),
    /// Somebody else had the turn until our time was up.
    #[error("another delivery is telling Genesys about this payment")]
    Busy,
}

/// How a status reached Genesys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing was due.
    Nothing,
    /// As attributes of the customer.
    Attributes,
    /// By starting the workflow for late payments.
    Workflow,
    /// Not at all: the conversation has ended, and no workflow is to be started for this status.
    ConversationEnded,
    /// Not at all: Genesys does not know the conversation.
    ConversationUnknown,
}

impl Told {
    /// For logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing_due",
            Self::Attributes => "attributes",
            Self::Workflow => "workflow",
            Self::ConversationEnded => "conversation_ended",
            Self::ConversationUnknown => "conversation_unknown",
        }
    }
}

/// Tells Genesys until nothing is due. Gives how the last status was told, and counts it.
///
/// # Errors
/// [`NotifyError`]; the status stays due.
pub async fn notify<S, G>(
    store: &S,
    genesys: &G,
    clock: &impl Clock,
    payment: Payment,
    deadline: Deadline,
) -> Result<Told, NotifyError>
where
    S: GetPayment + UpdatePayment,
    G: Conversations,
{
    let told = tell_what_is_due(store, genesys, clock, payment, deadline).await;
    telemetry::count(
        Metric::Notice,
        told.as_ref().map_or("refused", |told| told.as_str()),
    );
    told
}

async fn tell_what_is_due<S, G>(
    store: &S,
    genesys: &G,
    clock: &impl Clock,
    mut payment: Payment,
    deadline: Deadline,
) -> Result<Told, NotifyError>
where
    S: GetPayment + UpdatePayment,
    G: Conversations,
{
    let tell_by = deadline.less(WRITE_DOWN);
    let mut told = Told::Nothing;
    let mut wait = LOOK_AGAIN;
    while let Some(notice) = payment.due_notice() {
        match store
            .claim_notice(&payment, clock.now(), TURN_LAPSES_AFTER)
            .await?
        {
            Some(turn) => match tell(genesys, &payment, &notice, tell_by).await {
                Ok(how) => {
                    if let Some(current) = store.end_notice(&payment, turn, Some(&notice)).await? {
                        told = how;
                        payment = current;
                        continue;
                    }
                }
                Err(error) => {
                    // A write that may still be on its way keeps the turn until it lapses, lest it
                    // overtake a newer one.
                    if !error.may_still_act() {
                        let _ = store.end_notice(&payment, turn, None).await?;
                    }
                    return Err(error.into());
                }
            },
            None if deadline.allows(wait) => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LOOK_AGAIN_AT_MOST);
            }
            None => return Err(NotifyError::Busy),
        }
        let correlation = &payment.correlation;
        match store
            .payment(&correlation.conversation_id, &correlation.order_id)
            .await?
        {
            Some(current) => payment = current,
            None => return Ok(told),
        }
    }
    Ok(told)
}

async fn tell<G: Conversations>(
    genesys: &G,
    payment: &Payment,
    notice: &Notice,
    deadline: Deadline,
) -> Result<Told, GenesysError> {
    let conversation_id = &payment.correlation.conversation_id;
    let Some(conversation) = genesys.conversation(conversation_id, deadline).await? else {
        return Ok(Told::ConversationUnknown);
    };
    if let Some(customer) = conversation.customer_on_the_line() {
        genesys
            .set_attributes(
                conversation_id,
                customer,
                &attributes(payment, notice),
                deadline,
            )
            .await?;
        return Ok(Told::Attributes);
    }
    if notice.status == PaymentStatus::Confirmed
        && genesys
            .start_late_payment_flow(&flow_inputs(payment, notice), deadline)
            .await?
    {
        return Ok(Told::Workflow);
    }
    Ok(Told::ConversationEnded)
}

/// What the flow and the agent's screen see. Status and reference only: agents, analytics and
/// exports read attributes.
fn attributes(payment: &Payment, notice: &Notice) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("payment_status", notice.status.to_string()),
        ("payment_progress", notice.progress()),
        ("stripe_intent_id", notice.intent_id.to_string()),
        ("payment_amount", payment.money.major()),
        ("payment_currency", payment.money.currency.to_string()),
    ])
}

/// Inputs of the workflow, named as its `Flow.` variables.
fn flow_inputs(payment: &Payment, notice: &Notice) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (
            "Flow.conversation_id",
            payment.correlation.conversation_id.to_string(),
        ),
        ("Flow.order_id", payment.correlation.order_id.to_string()),
        ("Flow.payment_status", notice.status.to_string()),
        ("Flow.stripe_intent_id", notice.intent_id.to_string()),
        ("Flow.payment_amount", payment.money.major()),
        ("Flow.payment_currency", payment.money.currency.to_string()),
    ])
}
