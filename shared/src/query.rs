//! Answers where a payment stands, and asks Stripe when the record may have missed something.

use std::time::Duration;

use crate::ids::{ConversationId, OrderId};
use crate::notify::notify;
use crate::payment::Payment;
use crate::ports::{
    AdoptIntent, Conversations, FetchIntent, GetPayment, Lookup, QueryPayments, Saved, StoreError,
    UpdatePayment,
};
use crate::settle::{SettleError, Settled, settle};
use crate::time::{Clock, Deadline};

/// How old a record may be before Stripe is asked, and how often Stripe is asked at the most.
pub const STALE_AFTER: Duration = Duration::from_secs(10);

/// The payment of an order or, without one, the conversation's newest; refreshed when it is stale.
///
/// A refresh that fails or takes too long costs nothing but itself: the record's own answer is
/// given.
///
/// # Errors
/// [`StoreError`] when the record cannot be read.
pub async fn query<S, P, G>(
    store: &S,
    stripe: &P,
    genesys: Option<&G>,
    clock: &impl Clock,
    conversation_id: &ConversationId,
    order_id: Option<&OrderId>,
    refresh_by: Deadline,
) -> Result<Option<Payment>, StoreError>
where
    S: GetPayment + QueryPayments + UpdatePayment + AdoptIntent,
    P: FetchIntent,
    G: Conversations,
{
    let found = match order_id {
        Some(order_id) => store.payment(conversation_id, order_id).await?,
        None => store.newest_payment(conversation_id).await?,
    };
    let Some(payment) = found else {
        return Ok(None);
    };

    let payment = bring_up_to_date(store, stripe, genesys, clock, payment, refresh_by).await;
    Ok(Some(payment))
}

/// Asks Stripe about a stale record that is not final, tells Genesys what it has not heard, and
/// gives the record as it then is: at most once in [`STALE_AFTER`] per record, whoever asks.
pub(crate) async fn bring_up_to_date<S, P, G>(
    store: &S,
    stripe: &P,
    genesys: Option<&G>,
    clock: &impl Clock,
    mut payment: Payment,
    refresh_by: Deadline,
) -> Payment
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent,
    G: Conversations,
{
    let open = !payment.status.is_final();
    let untold = genesys.is_some() && payment.due_notice().is_some();
    let looked_at = payment
        .refreshed_at
        .map_or(payment.updated_at, |at| at.max(payment.updated_at));
    // A time that lies ahead is one that a clock, set forward, has left behind.
    let stale = clock.now().apart(looked_at) >= STALE_AFTER;
    if !(stale && (open || untold)) {
        return payment;
    }
    let claiming = store.claim_refresh(&payment, clock.now(), STALE_AFTER);
    match tokio::time::timeout_at(refresh_by.instant(), claiming).await {
        Ok(Ok(Saved::Yes)) => {}
        Ok(Ok(Saved::Conflict)) => return payment,
        Ok(Err(error)) => {
            tracing::warn!(%error, "refresh not claimed");
            return payment;
        }
        Err(_) => {
            tracing::warn!("claiming the refresh took too long");
            return payment;
        }
    }
    if open {
        let refreshing = refresh(store, stripe, clock, payment.clone(), refresh_by);
        match tokio::time::timeout_at(refresh_by.instant(), refreshing).await {
            Ok(Ok(current)) => payment = current,
            Ok(Err(error)) => {
                tracing::warn!(%error, order_id = %payment.correlation.order_id, "refresh failed")
            }
            Err(_) => {
                tracing::warn!(order_id = %payment.correlation.order_id, "refresh took too long")
            }
        }
    }
    if let Some(genesys) = genesys {
        let telling = notify(store, genesys, clock, payment.clone(), refresh_by);
        match tokio::time::timeout_at(refresh_by.instant(), telling).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Genesys not told; the status stays due"),
            Err(_) => tracing::warn!("telling Genesys took too long; the status stays due"),
        }
    }
    payment
}

/// Moves the record by what Stripe says now. A record without an intent is looked up by its
/// metadata: its creator may have died between asking Stripe and writing down the answer.
async fn refresh<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    payment: Payment,
    deadline: Deadline,
) -> Result<Payment, SettleError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent,
{
    let answer = match &payment.intent_id {
        Some(intent_id) => Some(stripe.fetch_intent(intent_id, deadline).await?),
        None => match stripe.find_intent(&payment, clock.now(), deadline).await? {
            Lookup::Found(answer) => Some(*answer),
            Lookup::Absent | Lookup::Unclear => None,
        },
    };
    let Some(answer) = answer else {
        return Ok(payment);
    };
    match settle(store, stripe, clock, payment.clone(), answer.seen, deadline).await? {
        Settled::Moved(payment) | Settled::Kept(payment, _) => Ok(payment),
        Settled::Disagreed(payment, disagreement) => {
            crate::telemetry::disagreement(&payment, disagreement);
            Ok(payment)
        }
        Settled::Unknown => Ok(payment),
    }
}
