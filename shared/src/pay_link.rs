//! The payer's side: opens pay links.

use secrecy::SecretString;

use crate::ids::Correlation;
use crate::link::{Link, LinkToken};
use crate::notify::notify;
use crate::payment::{Disagreement, Payment, PaymentStatus};
use crate::ports::{
    AdoptIntent, Conversations, FetchIntent, GetLink, GetPayment, PublishableKey, Saved,
    StoreError, StripeError, UpdatePayment,
};
use crate::query::bring_up_to_date;
use crate::secrets::SecretError;
use crate::settle::{SettleError, Settled, settle};
use crate::time::{Clock, Deadline};

/// How often a lost race to write down that the link was opened is run again. The next opening
/// would write it, too.
const MAX_ROUNDS: usize = 4;

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The payment can be paid.
    Payable(Box<Payment>),
    /// Stripe is working on it.
    Processing,
    /// It is paid, or authorized.
    Paid,
    /// It was canceled, or its order has a new attempt.
    Canceled,
    /// The link's time is over.
    Expired,
    /// There is no such link.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    Left,
    Over,
}

/// What the table has of a link.
enum Found {
    /// No payment that it opens.
    Nothing(Standing),
    /// Its payment, and whether the link's time is over.
    Payment(Box<Payment>, Time),
}

async fn find<S: GetLink + GetPayment>(
    store: &S,
    clock: &impl Clock,
    token: &LinkToken,
) -> Result<Found, StoreError> {
    let Some(link) = store.link(token).await? else {
        return Ok(Found::Nothing(Standing::Unknown));
    };
    let Link {
        correlation,
        valid_until,
    } = link;
    let time = if clock.now() < valid_until {
        Time::Left
    } else {
        Time::Over
    };
    let payment = store
        .payment(&correlation.conversation_id, &correlation.order_id)
        .await?;
    let payment = payment.filter(|payment| payment.correlation == correlation);
    Ok(
        payment.map_or(Found::Nothing(Standing::Canceled), |payment| {
            Found::Payment(Box::new(payment), time)
        }),
    )
}

fn standing(payment: Payment) -> Standing {
    match payment.status {
        PaymentStatus::Pending | PaymentStatus::Declined => Standing::Payable(Box::new(payment)),
        PaymentStatus::Creating | PaymentStatus::Processing => Standing::Processing,
        PaymentStatus::Confirmed | PaymentStatus::Authorized => Standing::Paid,
        PaymentStatus::Canceled => Standing::Canceled,
    }
}

/// What the payer's page gets.
#[derive(Debug)]
pub enum Session {
    /// Everything it needs to let the payer pay.
    Open {
        /// What is paid.
        payment: Box<Payment>,
        /// `pk_…`
        publishable_key: String,
        /// Lets the page pay this intent, and nothing else. Fetched for this answer, and kept
        /// nowhere.
        client_secret: SecretString,
    },
    /// There is nothing to pay now; never [`Standing::Payable`].
    Closed(Standing),
}

/// Why the page gets nothing; it may ask again.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The publishable key could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Stripe contradicts the record: the page must not show one amount and charge another.
    #[error("Stripe's answer disagrees with the record on the {0}")]
    Disagreement(Disagreement),
    /// Stripe gave no client secret.
    #[error("Stripe gave no client secret")]
    NoClientSecret,
}

impl From<SettleError> for SessionError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Store(error) => error.into(),
            SettleError::Stripe(error) => error.into(),
        }
    }
}

/// Opens the link: asks Stripe how the payment stands, writes that down as any refresh does, and
/// gives what the page needs. A page that waits while Stripe is at work makes it ask as a status
/// query does, and no more often. An expired link opens nothing, but who has paid just in time is
/// told so. That the payer was here is told to Genesys as far as the time allows, and else stays
/// due on the record.
///
/// # Errors
/// [`SessionError`].
pub async fn session<S, P, G>(
    store: &S,
    stripe: &P,
    genesys: Option<&G>,
    clock: &impl Clock,
    token: &LinkToken,
    deadline: Deadline,
) -> Result<Session, SessionError>
where
    S: GetLink + GetPayment + UpdatePayment + AdoptIntent,
    P: FetchIntent + PublishableKey,
    G: Conversations,
{
    let (payment, time) = match find(store, clock, token).await? {
        Found::Payment(payment, time) => (*payment, time),
        Found::Nothing(closed) => return Ok(Session::Closed(closed)),
    };
    let correlation = payment.correlation.clone();
    let payment = match payment.status {
        PaymentStatus::Processing => {
            bring_up_to_date(store, stripe, genesys, clock, payment, deadline).await
        }
        _ => payment,
    };
    // It may have gone on to a new attempt meanwhile.
    if payment.correlation != correlation {
        return Ok(Session::Closed(Standing::Canceled));
    }
    let payment = match standing(payment) {
        Standing::Payable(payment) => *payment,
        closed => return Ok(Session::Closed(closed)),
    };
    let Some(intent_id) = payment.intent_id.clone() else {
        return Ok(Session::Closed(Standing::Processing));
    };
    let publishable_key = stripe.publishable_key().await?;
    let answer = stripe.fetch_intent(&intent_id, deadline).await?;
    let payment = match settle(store, stripe, clock, payment, answer.seen, deadline).await? {
        Settled::Moved(payment) | Settled::Kept(payment, _) => payment,
        Settled::Disagreed(payment, disagreement) => {
            crate::telemetry::disagreement(&payment, disagreement);
            return Err(SessionError::Disagreement(disagreement));
        }
        Settled::Unknown => return Ok(Session::Closed(Standing::Canceled)),
    };
    if time == Time::Over && payment.is_payable() {
        return Ok(Session::Closed(Standing::Expired));
    }
    let payment = match opened(store, clock, &correlation, payment.clone()).await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "that the link was opened is not written down");
            payment
        }
    };
    if let Some(genesys) = genesys {
        let telling = notify(store, genesys, clock, payment.clone(), deadline);
        match tokio::time::timeout_at(deadline.instant(), telling).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Genesys not told; the status stays due"),
            Err(_) => tracing::warn!("telling Genesys took too long; the status stays due"),
        }
    }
    // The record may have gone on to a new attempt meanwhile.
    match standing(payment) {
        Standing::Payable(payment) if payment.intent_id.as_ref() == Some(&intent_id) => {
            let client_secret = answer.client_secret.ok_or(SessionError::NoClientSecret)?;
            Ok(Session::Open {
                payment,
                publishable_key,
                client_secret,
            })
        }
        Standing::Payable(_) => Ok(Session::Closed(Standing::Canceled)),
        closed => Ok(Session::Closed(closed)),
    }
}

/// Writes down that the payer was here, once, and only on the attempt that the link was made for.
async fn opened<S>(
    store: &S,
    clock: &impl Clock,
    correlation: &Correlation,
    mut payment: Payment,
) -> Result<Payment, StoreError>
where
    S: GetPayment + UpdatePayment,
{
    for _ in 0..MAX_ROUNDS {
        let is_its_own = payment.correlation == *correlation;
        let Some(next) = payment.opened(clock.now()).filter(|_| is_its_own) else {
            return Ok(payment);
        };
        if store.save(&next).await? == Saved::Yes {
            return Ok(next);
        }
        let current = store
            .payment(&correlation.conversation_id, &correlation.order_id)
            .await?;
        payment = current.ok_or(StoreError::Contended)?;
    }
    Err(StoreError::Contended)
}
