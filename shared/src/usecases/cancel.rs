//! Cancels a payment, so that a released order cannot be paid later: its intent at Stripe first,
//! then the record, and with it every pay link.

use crate::domain::ids::PaymentKey;
use crate::domain::payment::{Payment, PaymentStatus};
use crate::ports::{CancelIntent, CreateIntent, FetchIntent, StripeError};
use crate::usecases::create::CreateError;
use crate::usecases::ctx::{Ctx, MovePayments, Written};
use crate::usecases::ensure_intent::{apply, ensure_intent};

/// Cancels the order's payment and gives it as it then is: `CANCELED`, or what Stripe says if it
/// cannot be canceled (any more), such as `CONFIRMED`. `None` if there is no such payment.
///
/// However often it is asked, and whatever crashed in between, the answer is the same: Stripe
/// cancels an intent once, and later requests read that it is canceled. A payment that is still
/// `CREATING` may have an intent which only Stripe knows; it is made known first, so that none is
/// left behind.
///
/// # Errors
/// [`CreateError`]; the next try finds and finishes what was done.
pub async fn cancel<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    key: &PaymentKey,
) -> Result<Option<Payment>, CreateError>
where
    S: MovePayments,
    Stripe: CreateIntent + FetchIntent + CancelIntent,
{
    let Some(mut payment) = ctx.store.payment(key).await? else {
        return Ok(None);
    };
    let attempt = payment.correlation.attempt;
    // mutant: cancel-known
    if payment.status() == PaymentStatus::Creating {
        payment = match ensure_intent(ctx, payment.clone()).await {
            Ok((payment, _)) => payment,
            // There is no intent, and none will be made of this attempt.
            Err(CreateError::AttemptExpired) => return abandon(ctx, payment).await.map(Some),
            Err(CreateError::Stripe(StripeError::Rejected { .. }) | CreateError::AttemptFailed) => {
                let current = ctx.store.payment(key).await?;
                // Nothing is released as long as the attempt has not ended.
                return match &current {
                    Some(same)
                        if same.correlation == payment.correlation && !same.status().is_final() =>
                    {
                        Err(CreateError::InProgress)
                    }
                    _ => Ok(current),
                };
            }
            Err(error) => return Err(error),
        };
    }
    // An attempt that was begun meanwhile shows that this one is canceled, and is not this
    // request's to cancel.
    // mutant: cancel-own
    if payment.status().is_final() || payment.correlation.attempt != attempt {
        return Ok(Some(payment));
    }
    let Some(intent_id) = payment.intent_id() else {
        return Ok(Some(payment));
    };
    let key = payment.correlation.cancel_key(ctx.now());
    let canceling = ctx.stripe.cancel_intent(intent_id, &key, ctx.deadline);
    // mutant: cancel-at-stripe
    let seen = match canceling.await {
        // First answer or replay: an intent that was canceled stays so.
        Ok(reply) => reply.seen,
        // Canceled before, paid meanwhile, at work, or Stripe failed: what counts is where the
        // intent stands now.
        Err(StripeError::UnexpectedState | StripeError::KeptFailure) => {
            let fetching = ctx.stripe.fetch_intent(intent_id, ctx.deadline);
            fetching.await?.seen
        }
        Err(error) => return Err(error.into()),
    };
    apply(ctx, payment, seen).await.map(Some)
}

/// Ends an attempt that never had an intent.
async fn abandon<S: MovePayments, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
) -> Result<Payment, CreateError> {
    let Some(next) = payment.rejected("attempt_expired", ctx.now()) else {
        return Ok(payment);
    };
    match ctx.save(&payment, next).await? {
        Written::Yes(payment) => Ok(payment),
        Written::Lost(_) => Err(CreateError::InProgress),
    }
}
