//! Moves a payment by what was learned of its intent. Webhook, refresh and confirmation all come
//! through here.

use crate::domain::ids::Correlation;
use crate::domain::link::Placement;
use crate::domain::observation::{Disagreement, NoChange, Observation, Source, Verdict};
use crate::domain::payment::Payment;
use crate::ports::telemetry::{self, Metric};
use crate::ports::{Beside, FetchIntent, Saved, StoreError, StripeError};
use crate::usecases::ctx::{Ctx, MAX_ROUNDS, MovePayments};

/// Why a payment could not be settled; the same observation may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
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
    Kept(Payment, NoChange),
    /// The observation contradicts the record and was not applied.
    Disagreed(Payment, Disagreement),
    /// There is no such record here.
    Unknown,
}

/// Applies an observation to a payment that was read before the observation was made. Logs and
/// counts an observation that contradicts the record.
///
/// # Errors
/// [`SettleError`]; nothing is half done.
pub async fn settle<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    seen: Observation,
) -> Result<Settled, SettleError>
where
    S: MovePayments,
    Stripe: FetchIntent,
{
    settle_and_place(ctx, payment, seen, None).await
}

/// The same; the write that moves the record, if there is one, leaves the placement behind.
///
/// # Errors
/// [`SettleError`]; nothing is half done.
pub(crate) async fn settle_and_place<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    mut payment: Payment,
    mut seen: Observation,
    placement: Option<&Placement>,
) -> Result<Settled, SettleError>
where
    S: MovePayments,
    Stripe: FetchIntent,
{
    for _ in 0..MAX_ROUNDS {
        match payment.observe(&seen, ctx.now()) {
            Verdict::Apply(mut next) => {
                // Who asks for a payment that is to end is refused, and leaves nothing behind.
                // mutant: place-on-ending
                let placement = placement.filter(|_| !next.is_ending());
                if let Some(placement) = placement {
                    next.hold(&placement.conversation_id);
                }
                let first = next.intent_id().filter(|_| payment.intent_id().is_none());
                let saved = if first.is_some() || placement.is_some() {
                    let beside = Beside {
                        intent: first,
                        placement,
                    };
                    ctx.store.transact(&next, beside).await?
                } else {
                    ctx.store.save(&next).await?
                };
                if saved == Saved::Yes {
                    return Ok(Settled::Moved(*next));
                }
                let Some(current) = ctx.store.payment(&payment.key()).await? else {
                    return Ok(Settled::Unknown);
                };
                payment = current;
                // What was fetched is newer than the record that was read, but perhaps older than
                // the one that won the race.
                if seen.source == Source::Fetched && !payment.status().is_final() {
                    seen = fetch(ctx, &seen).await?;
                }
            }
            Verdict::NoChange(why) => {
                report_lost(&payment, &seen);
                return Ok(Settled::Kept(payment, why));
            }
            Verdict::AskStripe => seen = fetch(ctx, &seen).await?,
            Verdict::Disagree(disagreement) => {
                report(&payment, disagreement);
                return Ok(Settled::Disagreed(payment, disagreement));
            }
        }
    }
    Err(StoreError::Contended.into())
}

async fn fetch<S, Stripe: FetchIntent>(
    ctx: Ctx<'_, S, Stripe>,
    seen: &Observation,
) -> Result<Observation, StripeError> {
    let asking = ctx.stripe.fetch_intent(&seen.intent.id, ctx.deadline);
    let reply = asking.await?;
    Ok(Observation {
        event_id: seen.declined_event().map(str::to_owned),
        ..reply.seen
    })
}

fn report_lost(payment: &Payment, seen: &Observation) {
    let Some(reason) = payment.lost_authorization(seen) else {
        return;
    };
    let reason: &str = reason.into();
    let order_id = &payment.correlation.order_id;
    tracing::warn!(%order_id, reason, "an authorization was released with the payment's end");
    telemetry::count(Metric::AuthorizationsLost, reason);
}

fn report(payment: &Payment, disagreement: Disagreement) {
    let Correlation {
        conversation_id,
        order_id,
        attempt,
        ..
    } = &payment.correlation;
    tracing::error!(
        %conversation_id,
        %order_id,
        attempt,
        payment_intent_id = payment.intent_id().map(|id| id.as_str()),
        disagreement = <&str>::from(disagreement),
        "what Stripe says contradicts the record and was not applied"
    );
    telemetry::count(Metric::Disagreements, disagreement.into());
}

/// Finds the payment that a webhook's observation is about, by the record of whose intent it is or,
/// if the webhook came before that was recorded, by the intent's metadata; then settles it.
///
/// The record is what we wrote ourselves. Metadata is what anybody may have written, so it only
/// tells where to look: the intent counts as our own key sees it, or not at all.
pub async fn settle_event<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    mut seen: Observation,
) -> Result<Settled, SettleError>
where
    S: MovePayments,
    Stripe: FetchIntent,
{
    let named = seen.intent.correlation.clone();
    let payment_of = async |correlation: &Option<Correlation>| match correlation {
        Some(correlation) => ctx.store.payment(&correlation.key()).await,
        None => Ok(None),
    };
    // Both are read at the same time, for the metadata nearly always names the owner.
    let (owner, payment) =
        tokio::join!(ctx.store.intent_owner(&seen.intent.id), payment_of(&named));
    let owner = owner?;
    let is_owned = owner.is_some();
    let key = |correlation: &Option<Correlation>| correlation.as_ref().map(Correlation::key);
    let payment = if is_owned && key(&owner) != key(&named) {
        payment_of(&owner).await
    } else {
        payment
    };
    let (Some(correlation), Some(payment)) = (owner.or(named), payment?) else {
        return Ok(Settled::Unknown);
    };
    // Another deployment's order of the same name, or one whose record has expired.
    // mutant: own-uid
    if correlation.payment_uid != payment.correlation.payment_uid {
        return Ok(Settled::Unknown);
    }
    // mutant: owned
    if is_owned {
        // Its metadata may have been edited since.
        seen.intent.correlation = Some(correlation);
    } else {
        match ctx.stripe.fetch_intent(&seen.intent.id, ctx.deadline).await {
            Ok(reply) if reply.seen.intent.correlation.as_ref() == Some(&correlation) => {
                seen = Observation {
                    event_id: seen.declined_event().map(str::to_owned),
                    ..reply.seen
                };
            }
            // Edited since: the payment that it names now hears of it by its own events.
            Ok(_) => return Ok(Settled::Unknown),
            Err(error) if error.is_unknown_to_us() => {
                tracing::warn!(
                    conversation_id = %correlation.conversation_id,
                    order_id = %correlation.order_id,
                    payment_intent_id = %seen.intent.id,
                    "an intent names this order, but this account's key cannot read it; ignored"
                );
                return Ok(Settled::Unknown);
            }
            Err(error) => return Err(error.into()),
        }
    }
    settle(ctx, payment, seen).await
}
