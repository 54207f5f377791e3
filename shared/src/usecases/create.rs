//! Makes a payment's intent, once, however often and however concurrently it is asked for.
//!
//! Write-ahead: the record is written before Stripe is asked, and everything the request to Stripe
//! consists of is read from the record, under a key made from the record. So a crash after any step
//! is repaired by the next try, which sends the very same bytes and gets the very same intent. A
//! token is charged only once the intent is on record, in a request of its own: no token is ever
//! part of what a retry would have to repeat.

use secrecy::SecretString;

use crate::domain::ending::EndReason;
use crate::domain::ids::{PaymentKey, PaymentMethodId, PaymentUid};
use crate::domain::link::{LinkToken, Placement};
use crate::domain::money::Money;
use crate::domain::observation::Disagreement;
use crate::domain::payment::{Payment, PaymentStatus, Terms};
use crate::domain::time::back_off;
use crate::ports::{
    Beside, CancelIntent, ConfirmIntent, CreateIntent, FetchIntent, PlacePayment, PutPayment,
    Saved, StoreError, StripeError,
};
use crate::usecases::ctx::{Ctx, MAX_ROUNDS, MovePayments, Written};
use crate::usecases::end::{AtBank, Ended, end};
use crate::usecases::ensure_intent::{apply, apply_and_place, ensure_intent};
use crate::usecases::settle::SettleError;

/// The reason code of an attempt for which Stripe made no intent.
pub(crate) const STRIPE_FAILED: &str = "stripe_failed";

/// The reason code of an attempt that got too old to be sent to Stripe again, and has no intent.
pub(crate) const ATTEMPT_EXPIRED: &str = "attempt_expired";

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
    /// Whether an open payment of the order for another amount or currency ends for this one.
    pub replace: bool,
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
    // mutant: error-amount
    #[error("the order exists with another amount or currency, and is {status}")]
    OrderChanged {
        /// What the record says.
        have: Money,
        status: PaymentStatus,
    },
    #[error("another request for the same order is at work, or its payer is at the bank")]
    InProgress,
    /// The attempt was begun too long ago to be sent to Stripe again, and Stripe cannot say whether
    /// there is an intent for it.
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
/// link to pay it. Earlier links stay what they are until they expire. A payment that begins here
/// gets the uid as its name.
///
/// Whatever is answered, one transaction has made the conversation the payment's holder and the
/// order its newest, and has written the link: the one that records the intent, if this request
/// does that, or else one of its own. A request that is refused for its terms leaves no such trace;
/// one whose token is refused has asked for the payment.
///
/// # Errors
/// [`CreateError`]; the next try finds and finishes what was done before it.
pub async fn create<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    request: &PaymentRequest,
    payment_uid: PaymentUid,
    placement: Placement,
) -> Result<Created, CreateError>
where
    S: MovePayments + PutPayment + PlacePayment,
    Stripe: CreateIntent + ConfirmIntent + CancelIntent + FetchIntent,
{
    let (mut payment, mut first) = begin(ctx, request, payment_uid).await?;
    let mut attempt = payment.correlation.attempt;
    let mut client_secret = None;
    let mut is_placed = false;
    if payment.status() == PaymentStatus::Creating {
        let mut ensured = ensure_intent(ctx, payment).await?;
        // mutant: old-freed
        if ensured.payment.reason_code() == Some(ATTEMPT_EXPIRED) {
            (payment, first) = go_on(ctx, request, ensured.payment).await?;
            attempt = payment.correlation.attempt;
            ensured = ensure_intent(ctx, payment).await?;
        }
        payment = ensured.payment;
        if let Some(reply) = ensured.reply {
            client_secret = reply.client_secret;
            let applying = apply_and_place(ctx, payment, reply.seen, Some(&placement));
            (payment, is_placed) = applying.await?;
        }
        payment = still_on(attempt, payment)?;
    }
    // mutant: payable-token
    if payment.is_payable()
        && let Some(payment_method) = &request.payment_method
    {
        payment = still_on(attempt, confirm(ctx, payment, payment_method).await?)?;
    }
    if request.include_client_secret
        && client_secret.is_none()
        && payment.is_payable()
        && let Some(intent_id) = payment.intent_id()
    {
        let reply = ctx.stripe.fetch_intent(intent_id, ctx.deadline).await?;
        client_secret = reply.client_secret;
    }
    // mutant: link-unlogged
    if !is_placed {
        payment = place(ctx, payment, &placement).await?;
    }
    let is_payable = payment.is_payable();
    Ok(Created {
        payment,
        first,
        client_secret: client_secret.filter(|_| request.include_client_secret && is_payable),
        link: placement.link.map(|link| link.token).filter(|_| is_payable),
    })
}

/// Leaves the placement behind.
async fn place<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    mut payment: Payment,
    placement: &Placement,
) -> Result<Payment, CreateError>
where
    S: MovePayments + PlacePayment,
{
    let attempt = payment.correlation.attempt;
    for round in 0.. {
        let (saved, placed) = match payment.held_by(&placement.conversation_id) {
            None => (ctx.store.place(&payment, placement).await?, payment),
            Some(next) => {
                let beside = Beside {
                    placement: Some(placement),
                    ..Beside::default()
                };
                (ctx.store.transact(&next, beside).await?, next)
            }
        };
        if saved == Saved::Yes {
            return Ok(placed);
        }
        // Any number of calls may ask for the order at this moment.
        let wait = back_off(&(&placement.conversation_id, placement.at), round);
        if !ctx.deadline.allows(wait) {
            break;
        }
        tokio::time::sleep(wait).await;
        payment = still_on(attempt, ctx.reread(&placed).await?)?;
    }
    Err(StoreError::Contended.into())
}

/// The payment, if it is still on this attempt, which is not to end. If it was canceled meanwhile
/// and begun anew, perhaps for another amount, the request must be compared with it again.
fn still_on(attempt: u32, payment: Payment) -> Result<Payment, CreateError> {
    // mutant: own-attempt
    if payment.correlation.attempt == attempt && !payment.is_ending() {
        Ok(payment)
    } else {
        Err(CreateError::InProgress)
    }
}

/// The order's record: written now, found, or begun anew after the attempt before it has ended; and
/// whether this request began its attempt.
async fn begin<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    request: &PaymentRequest,
    payment_uid: PaymentUid,
) -> Result<(Payment, bool), CreateError>
where
    S: MovePayments + PutPayment,
    Stripe: CreateIntent + CancelIntent + FetchIntent,
{
    let PaymentRequest {
        key, money, terms, ..
    } = request;
    let first = Payment::begin(key, payment_uid, *money, terms.clone(), ctx.now());
    match ctx.store.put_payment(&first).await? {
        None => Ok((first, true)),
        Some(found) => go_on(ctx, request, found).await,
    }
}

/// The order's record, as [`begin`] gives it, once it was found.
async fn go_on<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    request: &PaymentRequest,
    mut payment: Payment,
) -> Result<(Payment, bool), CreateError>
where
    S: MovePayments,
    Stripe: CreateIntent + CancelIntent + FetchIntent,
{
    let PaymentRequest {
        key, money, terms, ..
    } = request;
    let (asking, now) = (key.conversation_id(), ctx.now());
    for _ in 0..MAX_ROUNDS {
        if let Some(next) = payment.next_attempt(asking, *money, terms.clone(), now) {
            match ctx.save(&payment, next).await? {
                Written::Yes(payment) => return Ok((payment, true)),
                Written::Lost(current) => payment = current,
            }
            continue;
        }
        // mutant: replace-equal
        let is_other = payment.money != *money;
        let reason = match payment.ending.filter(|_| payment.is_ending()) {
            // The function that wrote it may have died.
            Some(ending) => ending.reason,
            None if is_other && request.replace => EndReason::Replaced,
            None if is_other => return Err(order_changed(&payment)),
            None => return Ok((payment, false)),
        };
        payment = match end(ctx, payment, reason, AtBank::of(reason)).await? {
            Ended::Canceled(payment) => payment,
            Ended::Open(_) => return Err(CreateError::InProgress),
            Ended::Won(payment) if payment.money != *money => {
                return Err(order_changed(&payment));
            }
            Ended::Won(payment) => return Ok((payment, false)),
        };
    }
    Err(StoreError::Contended.into())
}

fn order_changed(payment: &Payment) -> CreateError {
    CreateError::OrderChanged {
        have: payment.money,
        status: payment.status(),
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
        // mutant: replayed
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
