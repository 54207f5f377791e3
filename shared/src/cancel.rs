//! Cancels a payment, so that a released order cannot be paid later: its intent at Stripe first,
//! then the record, and with it every pay link.

use crate::create::{CreateError, open, record};
use crate::ids::{ConversationId, OrderId};
use crate::payment::{Payment, PaymentStatus};
use crate::ports::{
    AdoptIntent, CancelIntent, CreateIntent, FetchIntent, GetPayment, Saved, StripeError,
    UpdatePayment,
};
use crate::time::{Clock, Deadline};

/// Cancels the order's payment and gives it as it then is: `CANCELED`, or what Stripe says where it
/// cannot be canceled (any more), such as `CONFIRMED`. `None` where there is no such payment.
///
/// However often it is asked, and whatever crashed in between, the answer is the same: Stripe
/// cancels an intent once, and who comes later reads that it is canceled. A payment that is still
/// `CREATING` may have an intent which only Stripe knows; it is made known first, so that none is
/// left behind.
///
/// # Errors
/// [`CreateError`]; the next try finds and finishes what was done.
pub async fn cancel<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    conversation_id: &ConversationId,
    order_id: &OrderId,
    deadline: Deadline,
) -> Result<Option<Payment>, CreateError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: CreateIntent + FetchIntent + CancelIntent,
{
    let Some(mut payment) = store.payment(conversation_id, order_id).await? else {
        return Ok(None);
    };
    let attempt = payment.correlation.attempt;
    if payment.status == PaymentStatus::Creating {
        payment = match open(store, stripe, clock, payment.clone(), deadline).await {
            Ok((payment, _)) => payment,
            // There is no intent, and none will be made of this attempt.
            Err(CreateError::AttemptExpired) => {
                return released(store, clock, payment).await.map(Some);
            }
            Err(CreateError::Stripe(StripeError::Rejected { .. }) | CreateError::AttemptFailed) => {
                let current = store.payment(conversation_id, order_id).await?;
                return match current {
                    // Nothing is released as long as the attempt has not ended.
                    Some(same)
                        if same.correlation == payment.correlation && !same.status.is_final() =>
                    {
                        Err(CreateError::InProgress)
                    }
                    current => Ok(current),
                };
            }
            Err(error) => return Err(error),
        };
    }
    // An attempt that was begun meanwhile shows that this one is canceled, and is not this
    // request's to cancel.
    let is_done = payment.status.is_final() || payment.correlation.attempt != attempt;
    let (false, Some(intent_id)) = (is_done, payment.intent_id.clone()) else {
        return Ok(Some(payment));
    };
    let seen = match stripe
        .cancel_intent(&intent_id, &payment.correlation, clock.now(), deadline)
        .await
    {
        // First answer or replay: an intent that was canceled stays so.
        Ok(answer) => answer.seen,
        // Canceled before, paid meanwhile, at work, or Stripe failed: where the intent stands now
        // is what counts.
        Err(StripeError::UnexpectedState | StripeError::KeptFailure) => {
            stripe.fetch_intent(&intent_id, deadline).await?.seen
        }
        Err(error) => return Err(error.into()),
    };
    record(store, stripe, clock, payment, seen, deadline)
        .await
        .map(Some)
}

/// Ends an attempt that never had an intent.
async fn released<S>(
    store: &S,
    clock: &impl Clock,
    payment: Payment,
) -> Result<Payment, CreateError>
where
    S: GetPayment + UpdatePayment,
{
    let Some(next) = payment.rejected("attempt_expired", clock.now()) else {
        return Ok(payment);
    };
    match store.save(&next).await? {
        Saved::Yes => Ok(next),
        Saved::Conflict => Err(CreateError::InProgress),
    }
}
