//! Answers where a payment stands, and asks Stripe when the record may have missed something.

use std::time::Duration;

use crate::domain::ids::{ConversationId, OrderId, PaymentKey};
use crate::domain::payment::Payment;
use crate::ports::{Conversations, FetchIntent, Lookup, Saved, StoreError};
use crate::usecases::ctx::{Ctx, MovePayments};
use crate::usecases::notify::notify_in_time;
use crate::usecases::settle::{SettleError, Settled, settle};

/// How old a record may be before Stripe is asked, and how often Stripe is asked at the most.
pub const STALE_AFTER: Duration = Duration::from_secs(10);

/// The payment of an order, whichever conversation asks, or else of the order that the conversation
/// asked for last; refreshed if it is stale.
///
/// A refresh that fails or takes too long costs nothing but itself: the record's own answer is
/// given.
///
/// # Errors
/// [`StoreError`] if the record cannot be read.
pub async fn query<S, Stripe, Genesys>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: Option<&Genesys>,
    conversation_id: &ConversationId,
    order_id: Option<&OrderId>,
) -> Result<Option<Payment>, StoreError>
where
    S: MovePayments,
    Stripe: FetchIntent,
    Genesys: Conversations,
{
    let newest = match order_id {
        Some(_) => None,
        None => ctx.store.newest_order(conversation_id).await?,
    };
    let Some(order_id) = order_id.or(newest.as_ref()) else {
        return Ok(None);
    };
    let key = PaymentKey::new(conversation_id.clone(), order_id.clone());
    let Some(payment) = ctx.store.payment(&key).await? else {
        return Ok(None);
    };
    Ok(Some(bring_up_to_date(ctx, genesys, payment).await))
}

/// Asks Stripe about a stale record that is not final, tells Genesys what it has not heard, and
/// gives the record as it then is: at most once in [`STALE_AFTER`] per record, whoever asks.
pub(crate) async fn bring_up_to_date<S, Stripe, Genesys>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: Option<&Genesys>,
    mut payment: Payment,
) -> Payment
where
    S: MovePayments,
    Stripe: FetchIntent,
    Genesys: Conversations,
{
    let is_open = !payment.status().is_final();
    let is_untold = genesys.is_some() && payment.due_notice().is_some();
    let updated_at = payment.updated_at;
    let looked_at = payment
        .refreshed_at
        .map_or(updated_at, |at| at.max(updated_at));
    // A time in the future was written by a clock that ran fast, and must hold nobody up.
    // mutant: stale
    let is_stale = ctx.now().apart(looked_at) >= STALE_AFTER;
    if !(is_stale && (is_open || is_untold)) {
        return payment;
    }
    let until = ctx.deadline.instant();
    let claiming = ctx.store.claim_refresh(&payment, ctx.now(), STALE_AFTER);
    // mutant: claim-deadline
    match tokio::time::timeout_at(until, claiming).await {
        Ok(Ok(Saved::Yes)) => {}
        Ok(Ok(Saved::Conflict)) => return payment,
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not claim the refresh");
            return payment;
        }
        Err(_) => {
            tracing::warn!("claiming the refresh took too long");
            return payment;
        }
    }
    if is_open {
        let order_id = payment.correlation.order_id.clone();
        match tokio::time::timeout_at(until, refresh(ctx, payment.clone())).await {
            Ok(Ok(current)) => payment = current,
            Ok(Err(error)) => tracing::warn!(%error, %order_id, "refresh failed"),
            Err(_) => tracing::warn!(%order_id, "refresh took too long"),
        }
    }
    notify_in_time(ctx, genesys, &payment).await;
    payment
}

/// Moves the record by what Stripe says now. A record without an intent is looked up by its
/// metadata: its creator may have died between asking Stripe and recording the answer.
async fn refresh<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
) -> Result<Payment, SettleError>
where
    S: MovePayments,
    Stripe: FetchIntent,
{
    let reply = if let Some(intent_id) = payment.intent_id() {
        ctx.stripe.fetch_intent(intent_id, ctx.deadline).await?
    } else {
        let finding = ctx.stripe.find_intent(&payment, ctx.now(), ctx.deadline);
        match finding.await? {
            Lookup::Found(reply) => *reply,
            Lookup::Absent | Lookup::Unclear => return Ok(payment),
        }
    };
    match settle(ctx, payment.clone(), reply.seen).await? {
        Settled::Moved(payment) | Settled::Kept(payment, _) | Settled::Disagreed(payment, _) => {
            Ok(payment)
        }
        Settled::Unknown => Ok(payment),
    }
}
