//! Makes a payment's intent, once, however often and however concurrently it is asked for.
//!
//! Write-ahead: the record is written before Stripe is asked, and everything the request to Stripe
//! consists of is read from the record, under a key made from the record. So a crash after any step
//! is repaired by the next try, which sends the very same bytes and gets the very same intent. A
//! token is charged only once the intent is on record, in a request of its own: no token is ever
//! part of what a retry would have to repeat.

use secrecy::SecretString;

use crate::domain::ids::{PaymentKey, PaymentMethodId};
use crate::domain::link::{LinkToken, NewLink};
use crate::domain::money::Money;
use crate::domain::observation::Disagreement;
use crate::domain::payment::{Payment, PaymentStatus, Terms};
use crate::ports::{
    ConfirmIntent, CreateIntent, FetchIntent, PutLink, PutPayment, StoreError, StripeError,
};
use crate::usecases::ctx::{Ctx, MovePayments};
use crate::usecases::ensure_intent::{apply, ensure_intent};
use crate::usecases::settle::SettleError;

/// The reason code of an attempt for which Stripe made no intent.
pub(crate) const STRIPE_FAILED: &str = "stripe_failed";

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
    // mutant: error-amount
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
    // mutant: payable-token
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
    // mutant: link-unlogged
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
    // mutant: own-attempt
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
