//! Moves a payment by what was learned of its intent. Webhook, refresh and confirmation all come
//! through here.

use crate::ids::Correlation;
use crate::payment::{Disagreement, Keep, Observation, Payment, Source, Verdict};
use crate::ports::{
    AdoptIntent, FetchIntent, GetPayment, Saved, StoreError, StripeError, UpdatePayment,
};
use crate::time::{Clock, Deadline};

/// How often a lost race is run again before the store counts as contended.
const MAX_ROUNDS: usize = 8;

/// Why a payment could not be settled; the same observation may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe, asked to break a tie.
    #[error(transparent)]
    Stripe(#[from] StripeError),
}

/// What an observation did.
#[derive(Debug)]
pub enum Settled {
    /// The record moved; this is its state now.
    Moved(Payment),
    /// The record stayed as it is.
    Kept(Payment, Keep),
    /// The observation contradicts the record and was not applied.
    Disagreed(Payment, Disagreement),
    /// There is no such record here.
    Unknown,
}

/// Applies an observation to a payment that was read before the observation was made.
///
/// # Errors
/// [`SettleError`]; nothing is half done.
pub async fn settle<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    mut payment: Payment,
    mut seen: Observation,
    deadline: Deadline,
) -> Result<Settled, SettleError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent,
{
    for _ in 0..MAX_ROUNDS {
        match payment.observe(&seen, clock.now()) {
            Verdict::Apply(next) => {
                let saved = if payment.intent_id.is_none() {
                    store.adopt(&next).await?
                } else {
                    store.save(&next).await?
                };
                if saved == Saved::Yes {
                    return Ok(Settled::Moved(*next));
                }
                let correlation = &payment.correlation;
                let Some(current) = store
                    .payment(&correlation.conversation_id, &correlation.order_id)
                    .await?
                else {
                    return Ok(Settled::Unknown);
                };
                payment = current;
                // What was fetched is newer than the record that lost the race, not than the one
                // that won it.
                if seen.source == Source::Fetched && !payment.status.is_final() {
                    seen = stripe.fetch_intent(&seen.intent.id, deadline).await?.seen;
                }
            }
            Verdict::Keep(keep) => return Ok(Settled::Kept(payment, keep)),
            Verdict::AskStripe => seen = stripe.fetch_intent(&seen.intent.id, deadline).await?.seen,
            Verdict::Disagree(disagreement) => {
                return Ok(Settled::Disagreed(payment, disagreement));
            }
        }
    }
    Err(StoreError::Contended.into())
}

/// Finds the payment a webhook's observation is about, by the pointer or, when the webhook came
/// before the pointer was written, by the intent's metadata; then settles it.
///
/// The pointer is what we wrote ourselves. Metadata is what anybody may have written, so it only
/// tells where to look: the intent counts as our own key sees it, or not at all.
///
/// # Errors
/// [`SettleError`].
pub async fn settle_event<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    mut seen: Observation,
    deadline: Deadline,
) -> Result<Settled, SettleError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent,
{
    let named = seen.intent.correlation.clone();
    let payment_of = async |correlation: &Option<Correlation>| match correlation {
        Some(Correlation {
            conversation_id,
            order_id,
            ..
        }) => store.payment(conversation_id, order_id).await,
        None => Ok(None),
    };
    // The metadata's payment is read beside the pointer, for it nearly always is the pointer's as
    // well.
    let (pointer, payment) = tokio::join!(store.pointer(&seen.intent.id), payment_of(&named));
    let pointer = pointer?;
    let is_pointed_to = pointer.is_some();
    let payment = match &pointer {
        Some(to)
            if !named
                .as_ref()
                .is_some_and(|named| named.is_same_payment(to)) =>
        {
            payment_of(&pointer).await
        }
        _ => payment,
    };
    let (Some(correlation), Some(payment)) = (pointer.or(named), payment?) else {
        return Ok(Settled::Unknown);
    };
    if is_pointed_to {
        // Whatever its metadata says by now.
        seen.intent.correlation = Some(correlation);
    } else {
        match stripe.fetch_intent(&seen.intent.id, deadline).await {
            Ok(answer) if answer.seen.intent.correlation.as_ref() == Some(&correlation) => {
                seen = answer.seen
            }
            // Edited since: what it names now hears of it by its own events.
            Ok(_) => return Ok(Settled::Unknown),
            Err(error) if error.is_unknown_to_us() => {
                tracing::warn!(
                    conversation_id = %correlation.conversation_id,
                    order_id = %correlation.order_id,
                    payment_intent_id = %seen.intent.id,
                    "an intent names this order, but this account's key cannot read it; not adopted"
                );
                return Ok(Settled::Unknown);
            }
            Err(error) => return Err(error.into()),
        }
    }
    settle(store, stripe, clock, payment, seen, deadline).await
}
