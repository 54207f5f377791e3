//! Ends a payment's attempt before it is paid, so that nobody can pay it later: on the record
//! first, then at Stripe, then on the record for good.
//!
//! However often it is asked, and whatever crashed in between, the outcome is the same: the end on
//! record keeps payers away, Stripe cancels an intent once, and later requests read that it is
//! canceled. A payment that was faster is never lost: where the intent stands is fetched before it
//! is canceled, and again if Stripe refuses to cancel it.

use crate::domain::ending::{BANK_GRACE, EndReason};
use crate::domain::observation::{Observation, StripeStatus};
use crate::domain::payment::{Payment, PaymentStatus};
use crate::ports::{CancelIntent, CreateIntent, FetchIntent, StripeError};
use crate::usecases::create::CreateError;
use crate::usecases::ctx::{Ctx, MAX_ROUNDS, MovePayments};
use crate::usecases::ensure_intent::{Ensured, apply, ensure_intent};

/// What an end does while the payer is at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtBank {
    /// It cancels the intent nevertheless.
    Cancel,
    /// It is taken back.
    GiveWay,
    /// It waits for [`BANK_GRACE`] from when it was written.
    Wait,
}

impl AtBank {
    /// What is done about the end that is on record. One that somebody else wrote is not taken
    /// back by who would take back his own.
    // mutant: cap-waits
    fn with(self, reason: EndReason) -> Self {
        match self {
            Self::Cancel => Self::Cancel,
            Self::GiveWay | Self::Wait => Self::of(reason),
        }
    }

    /// What whoever finds an end on record does that somebody else wrote.
    pub fn of(reason: EndReason) -> Self {
        match reason {
            EndReason::TooManyDeclines => Self::Wait,
            EndReason::Canceled | EndReason::Replaced => Self::GiveWay,
        }
    }
}

/// What became of an end.
#[derive(Debug)]
pub enum Ended {
    /// The attempt is canceled; the record may have gone on to another.
    Canceled(Payment),
    /// The payment was faster: it is paid, authorized, or Stripe is working on it.
    Won(Payment),
    /// The payer is at the bank, or something else came between; nothing has ended.
    Open(Payment),
}

impl Ended {
    fn of(payment: Payment, attempt: u32) -> Self {
        match payment.status() {
            _ if payment.correlation.attempt != attempt => Self::Canceled(payment),
            PaymentStatus::Canceled => Self::Canceled(payment),
            PaymentStatus::Processing | PaymentStatus::Authorized | PaymentStatus::Confirmed => {
                Self::Won(payment)
            }
            PaymentStatus::Creating | PaymentStatus::Pending | PaymentStatus::Declined => {
                Self::Open(payment)
            }
        }
    }
}

/// Ends the payment's attempt, or finishes the end that is on record.
///
/// # Errors
/// [`CreateError`]; the end stays on record, and the next try finds and finishes what was done.
pub async fn end<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    reason: EndReason,
    at_bank: AtBank,
) -> Result<Ended, CreateError>
where
    S: MovePayments,
    Stripe: CreateIntent + FetchIntent + CancelIntent,
{
    let attempt = payment.correlation.attempt;
    let mut payment = write_ahead(ctx, payment, reason).await?;
    // What Stripe was at work on may be over by now.
    if payment.correlation.attempt == attempt
        && !payment.is_ending()
        && !payment.status().is_final()
    {
        let seen = fetch(ctx, &payment).await?;
        payment = apply(ctx, payment, seen).await?;
        payment = write_ahead(ctx, payment, reason).await?;
    }
    if payment.correlation.attempt != attempt || !payment.is_ending() {
        return Ok(Ended::of(payment, attempt));
    }
    // A payment that is still `CREATING` may have an intent which only Stripe knows; it is made
    // known first, so that none is left behind.
    // mutant: cancel-known
    let payment = if payment.status() == PaymentStatus::Creating {
        make_known(ctx, payment).await?
    } else {
        payment
    };
    finish(ctx, payment, attempt, at_bank).await
}

/// Ends the attempt if too many of its tries were declined, and gives the record as it then is.
///
/// # Errors
/// [`CreateError`]; the end stays on record.
pub async fn end_if_declined_too_often<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
) -> Result<Payment, CreateError>
where
    S: MovePayments,
    Stripe: FetchIntent + CancelIntent,
{
    if !payment.is_declined_too_often() {
        return Ok(payment);
    }
    let attempt = payment.correlation.attempt;
    let payment = write_ahead(ctx, payment, EndReason::TooManyDeclines).await?;
    match finish(ctx, payment, attempt, AtBank::Wait).await? {
        Ended::Canceled(payment) | Ended::Won(payment) | Ended::Open(payment) => Ok(payment),
    }
}

/// Writes down that the attempt is to end.
async fn write_ahead<S: MovePayments, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    reason: EndReason,
) -> Result<Payment, CreateError> {
    let attempt = payment.correlation.attempt;
    let next = |payment: &Payment| {
        // mutant: cancel-own
        if payment.correlation.attempt == attempt {
            payment.end_begun(reason, ctx.now())
        } else {
            None
        }
    };
    Ok(ctx.update(payment, next).await?.0)
}

/// The record with its intent, or once it is certain that the attempt has none.
async fn make_known<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
) -> Result<Payment, CreateError>
where
    S: MovePayments,
    Stripe: CreateIntent + FetchIntent,
{
    match ensure_intent(ctx, payment.clone()).await {
        Ok(Ensured { payment, reply }) => match reply {
            Some(reply) => apply(ctx, payment, reply.seen).await,
            None => Ok(payment),
        },
        Err(CreateError::Stripe(StripeError::Rejected { .. }) | CreateError::AttemptFailed) => {
            let current = ctx.reread(&payment).await?;
            // Nothing is released as long as the attempt has not ended.
            if current.correlation == payment.correlation && !current.status().is_final() {
                return Err(CreateError::InProgress);
            }
            Ok(current)
        }
        Err(error) => Err(error),
    }
}

/// Finishes an end that is on record, at Stripe and on the record.
async fn finish<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    mut payment: Payment,
    attempt: u32,
    at_bank: AtBank,
) -> Result<Ended, CreateError>
where
    S: MovePayments,
    Stripe: FetchIntent + CancelIntent,
{
    // An attempt that was begun meanwhile shows that this one is canceled, and is not to end.
    let is_over =
        |payment: &Payment| payment.correlation.attempt != attempt || !payment.is_ending();
    // Stripe may refuse to cancel what the payer tries at that moment, and the try may fail.
    for round in 0..MAX_ROUNDS {
        let Some(intent_id) = payment.intent_id().cloned() else {
            break;
        };
        if is_over(&payment) {
            break;
        }
        let seen = fetch(ctx, &payment).await?;
        let is_at_bank = seen.intent.status == StripeStatus::RequiresAction;
        // mutant: end-fetched
        payment = apply(ctx, payment, seen).await?;
        let Some(ending) = payment.ending.filter(|_| !is_over(&payment)) else {
            break;
        };
        let may_wait = ctx.now().since(ending.since) < BANK_GRACE;
        match at_bank.with(ending.reason) {
            AtBank::GiveWay if is_at_bank => {
                // Nobody else's end is, which was written since.
                let lift = |payment: &Payment| {
                    let is_same = payment.ending == Some(ending) && !is_over(payment);
                    is_same.then(|| payment.end_lifted()).flatten()
                };
                payment = ctx.update(payment, lift).await?.0;
                break;
            }
            AtBank::Wait if is_at_bank && may_wait => break,
            AtBank::Cancel | AtBank::GiveWay | AtBank::Wait => {}
        }
        let key = payment.correlation.cancel_key(ctx.now(), round);
        let canceling = ctx.stripe.cancel_intent(&intent_id, &key, ctx.deadline);
        // mutant: cancel-at-stripe
        let canceled = match canceling.await {
            // First answer or replay: an intent that was canceled stays so.
            Ok(reply) => reply.seen,
            // Canceled before, paid meanwhile, at work, or Stripe failed: what counts is where the
            // intent stands now.
            Err(StripeError::UnexpectedState | StripeError::KeptFailure) => continue,
            Err(error) => return Err(error.into()),
        };
        payment = apply(ctx, payment, canceled).await?;
        break;
    }
    Ok(Ended::of(payment, attempt))
}

async fn fetch<S, Stripe: FetchIntent>(
    ctx: Ctx<'_, S, Stripe>,
    payment: &Payment,
) -> Result<Observation, CreateError> {
    let Some(intent_id) = payment.intent_id() else {
        return Err(CreateError::InProgress);
    };
    let reply = ctx.stripe.fetch_intent(intent_id, ctx.deadline).await?;
    Ok(reply.seen)
}
