//! Makes a payment's intent, once, however often and however concurrently it is asked for.
//!
//! Write-ahead: the record is written before Stripe is asked, and everything the request to Stripe
//! consists of is read from the record, under a key made from the record. So a crash after any step
//! is repaired by the next try, which sends the very same bytes and gets the very same intent. A
//! token is charged only once the intent is on record, in a request of its own: no token is ever
//! part of what a retry would have to repeat.

use std::time::Duration;

use secrecy::SecretString;

use crate::ids::{ConversationId, Correlation, OrderId, PaymentMethodId};
use crate::link::{LinkToken, NewLink};
use crate::money::Money;
use crate::payment::{Disagreement, Observation, Payment, PaymentStatus, Terms};
use crate::ports::{
    AdoptIntent, ConfirmIntent, CreateIntent, FetchIntent, GetPayment, Lookup, NewIntent, PutLink,
    PutPayment, Saved, StoreError, StripeError, UpdatePayment,
};
use crate::settle::{SettleError, Settled, settle};
use crate::time::{Clock, Deadline};

/// How often a lost race is run again before the store counts as contended.
const MAX_ROUNDS: usize = 8;

/// How long to wait before looking again whether a twin request is done.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is asked for, checked.
#[derive(Debug)]
pub struct Order {
    /// The Genesys conversation.
    pub conversation_id: ConversationId,
    /// The order within it.
    pub order_id: OrderId,
    /// What is to be paid.
    pub money: Money,
    /// What else Stripe is told.
    pub terms: Terms,
    /// A token to charge now.
    pub payment_method: Option<PaymentMethodId>,
    /// Whether the reply shall carry the client secret.
    pub include_client_secret: bool,
}

/// The payment asked for.
#[derive(Debug)]
pub struct Created {
    /// The record.
    pub payment: Payment,
    /// Whether this request began the attempt, rather than finding it begun.
    pub first: bool,
    /// The client secret, where it was asked for and the payment can still be paid.
    pub client_secret: Option<SecretString>,
    /// What the new link is opened with, where one was to be made and the payment can still be
    /// paid.
    pub link: Option<LinkToken>,
}

/// Why there is no payment to answer with.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The order is open, or paid, with another amount or currency.
    // Without the amount: this is what the log has.
    #[error("the order stands with another amount or currency")]
    OrderChanged {
        /// What the record says.
        have: Money,
    },
    /// A twin request is still at Stripe.
    #[error("a twin request is still at Stripe")]
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
    /// Stripe's answer contradicts the record.
    #[error("Stripe's answer disagrees with the record on the {0}")]
    Disagreement(Disagreement),
    /// Stripe.
    #[error(transparent)]
    Stripe(StripeError),
    /// The table.
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

/// Gives the order's payment, with its intent made and, where a token came along, confirmed; and a
/// link to pay it. Earlier links stay what they are until they expire.
///
/// # Errors
/// [`CreateError`]; whatever was done before it is found and finished by the next try.
pub async fn create<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    order: &Order,
    new_link: Option<NewLink>,
    deadline: Deadline,
) -> Result<Created, CreateError>
where
    S: PutPayment + GetPayment + UpdatePayment + AdoptIntent + PutLink,
    P: CreateIntent + ConfirmIntent + FetchIntent,
{
    let (mut payment, first) = begin(store, clock, order).await?;
    let attempt = payment.correlation.attempt;
    // Canceled meanwhile and begun anew, perhaps for another amount: what is asked for has to be
    // compared again.
    let own = |payment: Payment| match payment.correlation.attempt == attempt {
        true => Ok(payment),
        false => Err(CreateError::InProgress),
    };
    let link = async |payment: &Payment| match &new_link {
        Some(new) => {
            store
                .put_link(&new.token, &new.to(&payment.correlation, clock.now()))
                .await
        }
        None => Ok(()),
    };
    let mut client_secret = None;
    let mut is_linked = false;
    if payment.status == PaymentStatus::Creating {
        // The link is written while Stripe works. One that comes to nothing was handed out to
        // nobody, and expires.
        let link_beside = async { order.payment_method.is_none() && link(&payment).await.is_ok() };
        let (opened, linked) = tokio::join!(
            open(store, stripe, clock, payment.clone(), deadline),
            link_beside
        );
        is_linked = linked;
        (payment, client_secret) = opened?;
        payment = own(payment)?;
    }
    if let Some(payment_method) = order
        .payment_method
        .as_ref()
        .filter(|_| payment.is_payable())
    {
        payment = own(confirm(store, stripe, clock, payment, payment_method, deadline).await?)?;
    }
    let client_secret = match &payment.intent_id {
        Some(intent_id) if order.include_client_secret && payment.is_payable() => {
            match client_secret {
                None => {
                    stripe
                        .fetch_intent(intent_id, deadline)
                        .await?
                        .client_secret
                }
                known => known,
            }
        }
        _ => None,
    };
    let is_payable = payment.is_payable();
    if is_payable && !is_linked {
        link(&payment).await?;
    }
    let link = new_link.filter(|_| is_payable).map(|new| new.token);
    Ok(Created {
        payment,
        first,
        client_secret,
        link,
    })
}

/// The order's record: written now, found, or begun anew after a cancellation.
async fn begin<S>(
    store: &S,
    clock: &impl Clock,
    order: &Order,
) -> Result<(Payment, bool), CreateError>
where
    S: PutPayment + GetPayment + UpdatePayment,
{
    let Order {
        conversation_id,
        order_id,
        money,
        terms,
        ..
    } = order;
    let wanted = Payment::begin(
        conversation_id.clone(),
        order_id.clone(),
        *money,
        terms.clone(),
        clock.now(),
    );
    let Some(mut payment) = store.put_payment(&wanted).await? else {
        return Ok((wanted, true));
    };
    for _ in 0..MAX_ROUNDS {
        let Some(next) = payment.next_attempt(*money, terms.clone(), clock.now()) else {
            let same = payment.money == *money;
            return if same {
                Ok((payment, false))
            } else {
                Err(CreateError::OrderChanged {
                    have: payment.money,
                })
            };
        };
        if store.save(&next).await? == Saved::Yes {
            return Ok((next, true));
        }
        payment = reread(store, &payment).await?;
    }
    Err(StoreError::Contended.into())
}

/// The reason code of an attempt for which Stripe made no intent.
const STRIPE_FAILED: &str = "stripe_failed";

/// Makes the intent of a `CREATING` record and puts it on record.
///
/// Without the receipt, where Stripe refuses its address. That drops the address from the record
/// first, so that every machine sends the same from then on. What is sent then differs, yet two
/// requests must never make two intents: as long as Stripe keeps no answer under the attempt's key,
/// it goes on under that one, which takes whichever comes first and refuses the other. Where Stripe
/// keeps the refusal, nobody can make an intent under that key any more, and a second one is safe.
///
/// Where Stripe keeps a failure under the attempt's key, that key is of no more use. The intent
/// that the failed request may have left behind is looked up: it is adopted where there is one, and
/// the attempt ends where there is certainly none, so that the next has a key of its own. While
/// nobody can say, nothing ends.
pub(crate) async fn open<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    mut payment: Payment,
    deadline: Deadline,
) -> Result<(Payment, Option<SecretString>), CreateError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: CreateIntent + FetchIntent,
{
    let look_up =
        async |payment: &Payment| stripe.find_intent(payment, clock.now(), deadline).await;
    let attempt = payment.correlation.attempt;
    let mut receipt_refused = false;
    for _ in 0..MAX_ROUNDS {
        // Finished by a twin, or over and begun anew.
        if payment.status != PaymentStatus::Creating || payment.correlation.attempt != attempt {
            return Ok((payment, None));
        }
        let answer = if payment.create_window_is_over(clock.now()) {
            match look_up(&payment).await? {
                Lookup::Found(answer) => *answer,
                Lookup::Absent => return Err(CreateError::AttemptExpired),
                Lookup::Unclear => return Err(CreateError::AttemptUnclear),
            }
        } else {
            let terms = payment
                .terms
                .as_ref()
                .ok_or_else(|| StoreError::Unreadable("terms".to_owned()))?;
            let new = NewIntent {
                correlation: &payment.correlation,
                money: payment.money,
                terms,
            };
            match stripe.create_intent(new, deadline).await {
                Ok(answer) => answer,
                Err(StripeError::InUse) => {
                    return Ok((await_twin(store, payment, deadline).await?, None));
                }
                Err(StripeError::ReceiptRefused { kept }) => {
                    // A first refusal does not tell whether Stripe keeps it. The same request once
                    // more does.
                    if kept || receipt_refused {
                        payment = drop_receipt(store, clock, &payment, kept).await?;
                    }
                    receipt_refused = true;
                    continue;
                }
                Err(StripeError::KeyMismatch) => {
                    // A twin has dropped the receipt meanwhile: its record says what is sent now.
                    let current = reread(store, &payment).await?;
                    if current.version != payment.version {
                        payment = current;
                        continue;
                    }
                    // Another version of this software sent it with other parameters: its intent
                    // can only be looked up.
                    match look_up(&payment).await? {
                        Lookup::Found(answer) => *answer,
                        Lookup::Absent | Lookup::Unclear => return Err(CreateError::InProgress),
                    }
                }
                Err(StripeError::KeptFailure) => match look_up(&payment).await? {
                    Lookup::Found(answer) => *answer,
                    Lookup::Absent => {
                        return over(
                            store,
                            clock,
                            payment,
                            STRIPE_FAILED,
                            CreateError::AttemptFailed,
                        )
                        .await;
                    }
                    Lookup::Unclear => return Err(StripeError::Unavailable.into()),
                },
                Err(StripeError::Rejected { code, param }) => {
                    let reason = code.clone();
                    return over(
                        store,
                        clock,
                        payment,
                        &reason,
                        StripeError::Rejected { code, param }.into(),
                    )
                    .await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let payment = record(store, stripe, clock, payment, answer.seen, deadline).await?;
        return Ok((payment, answer.client_secret));
    }
    Err(StoreError::Contended.into())
}

/// Takes the refused address out of the record, or finds what a twin has made of it.
async fn drop_receipt<S>(
    store: &S,
    clock: &impl Clock,
    payment: &Payment,
    kept: bool,
) -> Result<Payment, CreateError>
where
    S: GetPayment + UpdatePayment,
{
    let Some(next) = payment.without_receipt(kept, clock.now()) else {
        return Err(StripeError::ReceiptRefused { kept }.into());
    };
    if store.save(&next).await? == Saved::Conflict {
        return Ok(reread(store, payment).await?);
    }
    let Correlation {
        conversation_id,
        order_id,
        attempt,
    } = &next.correlation;
    tracing::warn!(
        %conversation_id,
        %order_id,
        attempt,
        "Stripe refused the receipt's address; the payment goes on without a receipt"
    );
    Ok(next)
}

/// Ends an attempt that has no intent, and fails with this error; or gives the record where it has
/// come to an intent meanwhile.
async fn over<S>(
    store: &S,
    clock: &impl Clock,
    payment: Payment,
    reason: &str,
    error: CreateError,
) -> Result<(Payment, Option<SecretString>), CreateError>
where
    S: GetPayment + UpdatePayment,
{
    if let Some(next) = payment.rejected(reason, clock.now())
        && store.save(&next).await? == Saved::Conflict
    {
        let current = reread(store, &payment).await?;
        if current.intent_id.is_some() {
            return Ok((current, None));
        }
    }
    Err(error)
}

/// Waits until the twin that holds the idempotency key has put the intent on record.
async fn await_twin<S: GetPayment>(
    store: &S,
    payment: Payment,
    deadline: Deadline,
) -> Result<Payment, CreateError> {
    loop {
        let current = reread(store, &payment).await?;
        if current.status != PaymentStatus::Creating {
            return Ok(current);
        }
        if !deadline.allows(LOOK_AGAIN) {
            return Err(CreateError::InProgress);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn confirm<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    payment: Payment,
    payment_method: &PaymentMethodId,
    deadline: Deadline,
) -> Result<Payment, CreateError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: ConfirmIntent + FetchIntent,
{
    let Some(intent_id) = &payment.intent_id else {
        return Ok(payment);
    };
    let seen = match stripe
        .confirm_intent(intent_id, &payment.correlation, payment_method, deadline)
        .await
    {
        Ok(answer) if !answer.replayed => answer.seen,
        // An earlier answer, or none: where the intent stands now is what counts.
        Ok(_) | Err(StripeError::UnexpectedState | StripeError::KeyMismatch) => {
            stripe.fetch_intent(intent_id, deadline).await?.seen
        }
        // This token's key is of no more use, so neither is the token, unless it was charged
        // nevertheless.
        Err(StripeError::KeptFailure) => {
            let seen = stripe.fetch_intent(intent_id, deadline).await?.seen;
            let payment = record(store, stripe, clock, payment, seen, deadline).await?;
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
    record(store, stripe, clock, payment, seen, deadline).await
}

/// Whether Stripe refuses the token rather than something else of the request. Of one that is used
/// up it says nothing but that the request is invalid: neither a code nor the parameter.
fn is_about_the_token(code: &str, param: &str) -> bool {
    param == "payment_method"
        || code == "resource_missing"
        || (code == "invalid_request_error" && param.is_empty())
}

/// Applies what Stripe answered.
pub(crate) async fn record<S, P>(
    store: &S,
    stripe: &P,
    clock: &impl Clock,
    payment: Payment,
    seen: Observation,
    deadline: Deadline,
) -> Result<Payment, CreateError>
where
    S: GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent,
{
    match settle(store, stripe, clock, payment, seen, deadline).await? {
        Settled::Moved(payment) | Settled::Kept(payment, _) => Ok(payment),
        Settled::Disagreed(payment, disagreement) => {
            crate::telemetry::disagreement(&payment, disagreement);
            Err(CreateError::Disagreement(disagreement))
        }
        Settled::Unknown => Err(StoreError::Contended.into()),
    }
}

async fn reread<S: GetPayment>(store: &S, payment: &Payment) -> Result<Payment, StoreError> {
    let correlation = &payment.correlation;
    store
        .payment(&correlation.conversation_id, &correlation.order_id)
        .await?
        .ok_or(StoreError::Contended)
}
