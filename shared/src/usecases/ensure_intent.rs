//! Makes the intent of a payment that has none, or finds the one that was made.

use std::time::Duration;

use crate::domain::ids::Correlation;
use crate::domain::link::Placement;
use crate::domain::observation::Observation;
use crate::domain::payment::{Payment, PaymentStatus, Stage, Terms};
use crate::ports::{
    CreateIntent, FetchIntent, Lookup, NewIntent, StoreError, StripeError, StripeReply,
};
use crate::usecases::create::{ATTEMPT_EXPIRED, CreateError, STRIPE_FAILED};
use crate::usecases::ctx::{Ctx, MAX_ROUNDS, MovePayments, Written};
use crate::usecases::settle::{Settled, settle_and_place};

/// How long to wait before looking again whether another request for the same order is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The record of a payment whose intent is made.
pub(crate) struct Ensured {
    pub payment: Payment,
    /// What Stripe answered, to be applied to the record; `None` if somebody else has applied it,
    /// or the attempt is over.
    pub reply: Option<StripeReply>,
}

/// Makes the intent of a `CREATING` record.
///
/// Without the receipt, if Stripe refuses its address. That drops the address from the record
/// first, so that every machine sends the same from then on. What is sent then differs, yet two
/// requests must never make two intents: as long as Stripe keeps no answer under the attempt's key,
/// it goes on under that one, which takes whichever comes first and refuses the other. If Stripe
/// keeps the refusal, nobody can make an intent under that key any more, and a second one is safe.
///
/// If Stripe keeps a failure under the attempt's key, that key is of no more use. The intent that
/// the failed request may have left behind is looked up: it is attached if there is one, and the
/// attempt ends if there is certainly none, so that the next has a key of its own. While nobody can
/// say, nothing ends.
pub(crate) async fn ensure_intent<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    mut payment: Payment,
) -> Result<Ensured, CreateError>
where
    S: MovePayments,
    Stripe: CreateIntent + FetchIntent,
{
    let attempt = payment.correlation.attempt;
    let mut receipt_refused = false;
    for _ in 0..MAX_ROUNDS {
        // Finished by another request, or over and begun anew.
        let terms = match &payment.stage {
            Stage::Creating(terms) if payment.correlation.attempt == attempt => terms,
            _ => return Ok(Ensured::by_others(payment)),
        };
        let reply = if payment.create_window_is_over(ctx.now()) {
            match look_up(ctx, &payment).await? {
                Lookup::Found(reply) => *reply,
                Lookup::Absent => {
                    let ended = abandon(ctx, payment).await?;
                    return Ok(Ensured::by_others(ended));
                }
                Lookup::Unclear => return Err(CreateError::AttemptUnclear),
            }
        } else {
            match ask_stripe(ctx, &payment, terms).await {
                Ok(reply) => reply,
                Err(StripeError::InUse) => {
                    return Ok(Ensured::by_others(await_twin(ctx, payment).await?));
                }
                Err(StripeError::ReceiptRefused { kept }) => {
                    // A first refusal does not tell whether Stripe keeps it. The same request once
                    // more does.
                    if kept || receipt_refused {
                        // mutant: receipt-key
                        payment = drop_receipt(ctx, payment, kept).await?;
                    }
                    receipt_refused = true;
                    continue;
                }
                Err(StripeError::KeyMismatch) => {
                    // Another request has dropped the receipt meanwhile: its record says what is
                    // sent now.
                    let current = ctx.reread(&payment).await?;
                    // mutant: receipt-dropped
                    if current.version != payment.version {
                        payment = current;
                        continue;
                    }
                    // Another version of this software sent it with other parameters: its intent
                    // can only be looked up.
                    match look_up(ctx, &payment).await? {
                        Lookup::Found(reply) => *reply,
                        Lookup::Absent | Lookup::Unclear => return Err(CreateError::InProgress),
                    }
                }
                Err(StripeError::KeptFailure) => match look_up(ctx, &payment).await? {
                    Lookup::Found(reply) => *reply,
                    Lookup::Absent => {
                        let error = CreateError::AttemptFailed;
                        return end_attempt(ctx, payment, STRIPE_FAILED, error).await;
                    }
                    Lookup::Unclear => return Err(StripeError::Unavailable.into()),
                },
                Err(StripeError::Rejected { code, param }) => {
                    let reason = code.clone();
                    let error = StripeError::Rejected { code, param }.into();
                    return end_attempt(ctx, payment, &reason, error).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let reply = Some(reply);
        return Ok(Ensured { payment, reply });
    }
    Err(StoreError::Contended.into())
}

impl Ensured {
    fn by_others(payment: Payment) -> Self {
        let reply = None;
        Self { payment, reply }
    }
}

async fn look_up<S, Stripe: FetchIntent>(
    ctx: Ctx<'_, S, Stripe>,
    payment: &Payment,
) -> Result<Lookup, StripeError> {
    let now = ctx.clock.now();
    ctx.stripe.find_intent(payment, now, ctx.deadline).await
}

async fn ask_stripe<S, Stripe: CreateIntent>(
    ctx: Ctx<'_, S, Stripe>,
    payment: &Payment,
    terms: &Terms,
) -> Result<StripeReply, StripeError> {
    let correlation = &payment.correlation;
    // mutant: one-key
    let key = if terms.first_key_spent {
        correlation.second_create_key()
    } else {
        correlation.create_key()
    };
    let new = NewIntent {
        key: &key,
        correlation,
        money: payment.money,
        terms,
    };
    ctx.stripe.create_intent(new, ctx.deadline).await
}

/// Takes the refused address out of the record, or finds what another request has made of it.
async fn drop_receipt<S: MovePayments, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    kept: bool,
) -> Result<Payment, CreateError> {
    if payment.without_receipt(kept, ctx.now()).is_none() {
        return Err(StripeError::ReceiptRefused { kept }.into());
    }
    let attempt = payment.correlation.attempt;
    let next = |payment: &Payment| {
        if payment.correlation.attempt == attempt {
            payment.without_receipt(kept, ctx.now())
        } else {
            None
        }
    };
    let (payment, dropped) = ctx.update(payment, next).await?;
    if dropped {
        let Correlation {
            conversation_id,
            order_id,
            attempt,
            ..
        } = &payment.correlation;
        tracing::warn!(
            %conversation_id,
            %order_id,
            attempt,
            "Stripe refused the receipt's address; the payment goes on without a receipt"
        );
    }
    Ok(payment)
}

/// Ends an attempt that has no intent, and fails with this error; or gives the record if it has
/// come to an intent meanwhile.
async fn end_attempt<S: MovePayments, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    reason: &str,
    error: CreateError,
) -> Result<Ensured, CreateError> {
    if let Some(next) = payment.rejected(reason, ctx.now())
        && let Written::Lost(current) = ctx.save(&payment, next).await?
        && current.intent().is_some()
    {
        return Ok(Ensured::by_others(current));
    }
    Err(error)
}

/// Ends an attempt that is too old to be sent again and has no intent: none will be made of it.
async fn abandon<S: MovePayments, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
) -> Result<Payment, CreateError> {
    let Some(next) = payment.rejected(ATTEMPT_EXPIRED, ctx.now()) else {
        return Ok(payment);
    };
    match ctx.save(&payment, next).await? {
        Written::Yes(payment) | Written::Lost(payment) => Ok(payment),
    }
}

/// Waits until the request that holds the idempotency key has attached the intent.
async fn await_twin<S: MovePayments, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
) -> Result<Payment, CreateError> {
    loop {
        let current = ctx.reread(&payment).await?;
        if current.status() != PaymentStatus::Creating {
            return Ok(current);
        }
        if !ctx.deadline.allows(LOOK_AGAIN) {
            return Err(CreateError::InProgress);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Applies what Stripe answered.
pub(crate) async fn apply<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    seen: Observation,
) -> Result<Payment, CreateError>
where
    S: MovePayments,
    Stripe: FetchIntent,
{
    let (payment, _) = apply_and_place(ctx, payment, seen, None).await?;
    Ok(payment)
}

/// The same; the write that applies it leaves the placement behind. Gives whether it did.
pub(crate) async fn apply_and_place<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    seen: Observation,
    placement: Option<&Placement>,
) -> Result<(Payment, bool), CreateError>
where
    S: MovePayments,
    Stripe: FetchIntent,
{
    match settle_and_place(ctx, payment, seen, placement).await? {
        Settled::Moved(payment) => Ok((payment, placement.is_some())),
        Settled::Kept(payment, _) => Ok((payment, false)),
        Settled::Disagreed(_, disagreement) => Err(CreateError::Disagreement(disagreement)),
        Settled::Unknown => Err(StoreError::Contended.into()),
    }
}
