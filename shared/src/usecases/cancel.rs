//! Cancels a payment, so that a released order cannot be paid later, and with it every pay link.

use crate::domain::ending::EndReason;
use crate::domain::ids::PaymentKey;
use crate::domain::payment::Payment;
use crate::ports::{CancelIntent, CreateIntent, FetchIntent};
use crate::usecases::create::CreateError;
use crate::usecases::ctx::{Ctx, MovePayments};
use crate::usecases::end::{AtBank, Ended, end};

/// Cancels the order's payment and gives it as it then is: `CANCELED`, or what Stripe says if it
/// cannot be canceled (any more), such as `CONFIRMED`. `None` if there is no such payment.
///
/// While the payer is at the bank, only the payment's holder cancels it, or whoever uses force.
///
/// # Errors
/// [`CreateError`]; the next try finds and finishes what was done.
pub async fn cancel<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    key: &PaymentKey,
    force: bool,
) -> Result<Option<Payment>, CreateError>
where
    S: MovePayments,
    Stripe: CreateIntent + FetchIntent + CancelIntent,
{
    let Some(payment) = ctx.store.payment(key).await? else {
        return Ok(None);
    };
    // mutant: cancel-force
    let at_bank = if force || payment.holder == *key.conversation_id() {
        AtBank::Cancel
    } else {
        AtBank::GiveWay
    };
    match end(ctx, payment, EndReason::Canceled, at_bank).await? {
        Ended::Canceled(payment) | Ended::Won(payment) => Ok(Some(payment)),
        Ended::Open(_) => Err(CreateError::InProgress),
    }
}
