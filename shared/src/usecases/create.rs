//! Makes a payment's intent, once, however often and however concurrently it is asked for.
//!
//! Write-ahead: the record is written before Stripe is asked, and everything the request to Stripe
//! consists of is read from the record, under a key made from the record. So a crash after any step
//! is repaired by the next try, which sends the very same bytes and gets the very same intent. A
//! token is charged only once the intent is on record, in a request of its own: no token is ever
//! part of what a retry would have to repeat.

use std::time::Duration;

use secrecy::SecretString;

use crate::domain::ids::{Correlation, PaymentKey, PaymentMethodId};
use crate::domain::link::{LinkToken, NewLink};
use crate::domain::money::Money;
use crate::domain::observation::{Disagreement, Observation};
use crate::domain::payment::{Payment, PaymentStatus, Stage, Terms};
use crate::ports::{
    ConfirmIntent, CreateIntent, FetchIntent, Lookup, NewIntent, PutLink, PutPayment, StoreError,
    StripeError, StripeReply,
};
use crate::usecases::ctx::{Ctx, MAX_ROUNDS, MovePayments, Written};
use crate::usecases::settle::{SettleError, Settled, settle};

/// How long to wait before looking again whether another request for the same order is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The reason code of an attempt for which Stripe made no intent.
const STRIPE_FAILED: &str = "stripe_failed";

/// What the flow asks for, checked.
#[derive(Debug)]
pub struct PaymentRequest {
    pub key: PaymentKey,
    /// What is to be paid.
    pub money: Money,
    /// What else Stripe is told.
    pub terms: Terms,
    /// A token to charge now.
    pub payment_method: Option<PaymentMethodId>,
    /// Whether the reply must carry the client secret.
    pub include_client_secret: bool,
}

/// The payment asked for.
#[derive(Debug)]
pub struct Created {
    pub payment: Payment,
    /// Whether this request began the attempt, rather than finding it begun.
    pub first: bool,
    /// The client secret, if it was asked for and the payment can still be paid.
    pub client_secret: Option<SecretString>,
    /// The new link's token, if one was to be made and the payment can still be paid.
    pub link: Option<LinkToken>,
}

/// Why there is no payment to answer with.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    // Without the amount: this is what the log has.
    #[error("the order exists with another amount or currency")]
    OrderChanged {
        /// What the record says.
        have: Money,
    },
    #[error("another request for the same order is still at Stripe")]
    InProgress,
    /// The attempt was begun too long ago to be sent to Stripe again, and Stripe knows no intent
    /// for it.
    #[error("the attempt is too old to be repeated")]
    AttemptExpired,
    /// The same, but Stripe cannot say whether there is an intent for it.
    #[error(
        "the attempt is too old to be repeated, and Stripe cannot say whether it has an intent"
    )]
    AttemptUnclear,
    /// Stripe made no intent for the attempt, which has ended; the next request begins another.
    #[error("Stripe failed to make the attempt's intent; the attempt has ended")]
    AttemptFailed,
    /// Stripe does not know the token.
    #[error("Stripe cannot use the payment method: {code}")]
    PaymentMethodRefused {
        /// Stripe's error code.
        code: String,
    },
    #[error("what Stripe says disagrees with the record on the {0}")]
    Disagreement(Disagreement),
    #[error(transparent)]
    Stripe(StripeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StripeError> for CreateError {
    fn from(error: StripeError) -> Self {
        match error {
            StripeError::InUse => Self::InProgress,
            error => Self::Stripe(error),
        }
    }
}

impl From<SettleError> for CreateError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Store(error) => error.into(),
            SettleError::Stripe(error) => error.into(),
        }
    }
}

/// Gives the order's payment, with its intent made and, if a token came along, confirmed; and a
/// link to pay it. Earlier links stay what they are until they expire.
///
/// # Errors
/// [`CreateError`]; the next try finds and finishes what was done before it.
pub async fn create<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    request: &PaymentRequest,
    new_link: Option<NewLink>,
) -> Result<Created, CreateError>
where
    S: MovePayments + PutPayment + PutLink,
    Stripe: CreateIntent + ConfirmIntent + FetchIntent,
{
    let (mut payment, first) = begin(ctx, request).await?;
    let attempt = payment.correlation.attempt;
    let link = async |payment: &Payment| match &new_link {
        Some(new) => {
            let link = new.to(&payment.correlation, ctx.now());
            ctx.store.put_link(&new.token, &link).await
        }
        None => Ok(()),
    };
    let mut client_secret = None;
    let mut is_linked = false;
    if payment.status() == PaymentStatus::Creating {
        // The link is written while Stripe works. One that comes to nothing was handed out to
        // nobody, and expires.
        let link_beside =
            async { request.payment_method.is_none() && link(&payment).await.is_ok() };
        let (ensured, linked) = tokio::join!(ensure_intent(ctx, payment.clone()), link_beside);
        is_linked = linked;
        (payment, client_secret) = ensured?;
        payment = still_on(attempt, payment)?;
    }
    if payment.is_payable()
        && let Some(payment_method) = &request.payment_method
    {
        payment = still_on(attempt, confirm(ctx, payment, payment_method).await?)?;
    }
    if !payment.is_payable() {
        return Ok(Created {
            payment,
            first,
            client_secret: None,
            link: None,
        });
    }
    if !request.include_client_secret {
        client_secret = None;
    } else if client_secret.is_none()
        && let Some(intent_id) = payment.intent_id()
    {
        let reply = ctx.stripe.fetch_intent(intent_id, ctx.deadline).await?;
        client_secret = reply.client_secret;
    }
    if !is_linked {
        link(&payment).await?;
    }
    Ok(Created {
        payment,
        first,
        client_secret,
        link: new_link.map(|new| new.token),
    })
}

/// The payment, if it is still on this attempt. If it was canceled meanwhile and begun anew,
/// perhaps for another amount, the request must be compared with it again.
fn still_on(attempt: u32, payment: Payment) -> Result<Payment, CreateError> {
    if payment.correlation.attempt == attempt {
        Ok(payment)
    } else {
        Err(CreateError::InProgress)
    }
}

/// The order's record: written now, found, or begun anew after a cancellation; and whether this
/// request began its attempt.
async fn begin<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    request: &PaymentRequest,
) -> Result<(Payment, bool), CreateError>
where
    S: MovePayments + PutPayment,
{
    let PaymentRequest {
        key, money, terms, ..
    } = request;
    let first = Payment::begin(key, *money, terms.clone(), ctx.now());
    let Some(found) = ctx.store.put_payment(&first).await? else {
        return Ok((first, true));
    };
    let next = |payment: &Payment| payment.next_attempt(*money, terms.clone(), ctx.now());
    let (payment, began) = ctx.update(found, next).await?;
    if payment.money != *money {
        return Err(CreateError::OrderChanged {
            have: payment.money,
        });
    }
    Ok((payment, began))
}

/// Makes the intent of a `CREATING` record and attaches it to the record.
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
) -> Result<(Payment, Option<SecretString>), CreateError>
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
            _ => return Ok((payment, None)),
        };
        let reply = if payment.create_window_is_over(ctx.now()) {
            match look_up(ctx, &payment).await? {
                Lookup::Found(reply) => *reply,
                Lookup::Absent => return Err(CreateError::AttemptExpired),
                Lookup::Unclear => return Err(CreateError::AttemptUnclear),
            }
        } else {
            match ask_stripe(ctx, &payment, terms).await {
                Ok(reply) => reply,
                Err(StripeError::InUse) => {
                    return Ok((await_twin(ctx, payment).await?, None));
                }
                Err(StripeError::ReceiptRefused { kept }) => {
                    // A first refusal does not tell whether Stripe keeps it. The same request once
                    // more does.
                    if kept || receipt_refused {
                        payment = drop_receipt(ctx, payment, kept).await?;
                    }
                    receipt_refused = true;
                    continue;
                }
                Err(StripeError::KeyMismatch) => {
                    // Another request has dropped the receipt meanwhile: its record says what is
                    // sent now.
                    let current = ctx.reread(&payment).await?;
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
        let payment = apply(ctx, payment, reply.seen).await?;
        return Ok((payment, reply.client_secret));
    }
    Err(StoreError::Contended.into())
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
) -> Result<(Payment, Option<SecretString>), CreateError> {
    if let Some(next) = payment.rejected(reason, ctx.now())
        && let Written::Lost(current) = ctx.save(&payment, next).await?
        && current.intent().is_some()
    {
        return Ok((current, None));
    }
    Err(error)
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

/// Charges the token on the payment's intent.
async fn confirm<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    payment_method: &PaymentMethodId,
) -> Result<Payment, CreateError>
where
    S: MovePayments,
    Stripe: ConfirmIntent + FetchIntent,
{
    let Some(intent_id) = payment.intent_id() else {
        return Ok(payment);
    };
    let fetch = || ctx.stripe.fetch_intent(intent_id, ctx.deadline);
    let key = payment.correlation.confirm_key(payment_method);
    let confirming = ctx
        .stripe
        .confirm_intent(intent_id, payment_method, &key, ctx.deadline);
    let seen = match confirming.await {
        Ok(reply) if !reply.replayed => reply.seen,
        // An earlier answer, or none: what counts is where the intent stands now.
        Ok(_) | Err(StripeError::UnexpectedState | StripeError::KeyMismatch) => fetch().await?.seen,
        // This token's key is of no more use, so neither is the token, unless it was charged
        // nevertheless.
        Err(StripeError::KeptFailure) => {
            let seen = fetch().await?.seen;
            let payment = apply(ctx, payment, seen).await?;
            if payment.is_payable() {
                return Err(CreateError::PaymentMethodRefused {
                    code: STRIPE_FAILED.to_owned(),
                });
            }
            return Ok(payment);
        }
        Err(StripeError::Rejected { code, param }) if is_about_the_token(&code, &param) => {
            return Err(CreateError::PaymentMethodRefused { code });
        }
        Err(error) => return Err(error.into()),
    };
    apply(ctx, payment, seen).await
}

/// Whether Stripe refuses the token rather than something else of the request. Of one that is used
/// up it says nothing but that the request is invalid: neither a code nor the parameter.
fn is_about_the_token(code: &str, param: &str) -> bool {
    param == "payment_method"
        || code == "resource_missing"
        || (code == "invalid_request_error" && param.is_empty())
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
    match settle(ctx, payment, seen).await? {
        Settled::Moved(payment) | Settled::Kept(payment, _) => Ok(payment),
        Settled::Disagreed(_, disagreement) => Err(CreateError::Disagreement(disagreement)),
        Settled::Unknown => Err(StoreError::Contended.into()),
    }
}
