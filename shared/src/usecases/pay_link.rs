//! The payer's side: what a pay link leads to.

use secrecy::SecretString;
use strum::IntoStaticStr;

use crate::domain::ids::Correlation;
use crate::domain::link::LinkToken;
use crate::domain::observation::Disagreement;
use crate::domain::payment::{Payment, PaymentStatus};
use crate::ports::{
    Conversations, FetchIntent, GetLink, GetPayment, PublishableKey, SecretError, StoreError,
    StripeError, UpdatePayment,
};
use crate::usecases::ctx::{Ctx, MovePayments};
use crate::usecases::notify::notify_in_time;
use crate::usecases::query::bring_up_to_date;
use crate::usecases::settle::{SettleError, Settled, settle};

/// Where a link leads.
enum LinkState {
    Payable(Box<Payment>),
    Closed(Closed),
}

/// Why there is nothing to pay at a link now; the page's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Closed {
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

/// What the payer's page gets.
#[derive(Debug)]
pub enum Session {
    /// The payer can pay.
    Open(OpenSession),
    Closed(Closed),
}

/// Everything the page needs to let the payer pay.
#[derive(Debug)]
pub struct OpenSession {
    /// What is paid.
    pub payment: Box<Payment>,
    /// `pk_…`
    pub publishable_key: String,
    /// Lets the page pay this intent, and nothing else. Fetched for this answer, and kept nowhere.
    pub client_secret: SecretString,
}

/// Why the page gets nothing; it may ask again.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The publishable key could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The page must not show one amount and charge another.
    #[error("what Stripe says disagrees with the record on the {0}")]
    Disagreement(Disagreement),
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

/// Asks Stripe how the link's payment stands, records that as any refresh does, and gives what the
/// page needs. A page that waits while Stripe is at work makes it ask as a status query does, and
/// no more often. An expired link lets nobody pay, but the answer says if it was paid just in time.
/// The visit is told to Genesys as far as the time allows, and else stays due on the record.
pub async fn session<S, Stripe, Genesys>(
    ctx: Ctx<'_, S, Stripe>,
    genesys: Option<&Genesys>,
    token: &LinkToken,
) -> Result<Session, SessionError>
where
    S: MovePayments + GetLink,
    Stripe: FetchIntent + PublishableKey,
    Genesys: Conversations,
{
    let Some(link) = ctx.store.link(token).await? else {
        return Ok(Session::Closed(Closed::Unknown));
    };
    let is_over = ctx.now() >= link.valid_until;
    let found = ctx.store.payment(&link.correlation.key()).await?;
    // A record that is gone, or another in its place, says nothing about this link's.
    // mutant: link-uid
    let found = found.filter(|found| found.correlation.payment_uid == link.correlation.payment_uid);
    let Some(mut payment) = found else {
        return Ok(Session::Closed(Closed::Unknown));
    };
    if payment.status() == PaymentStatus::Processing && payment.correlation == link.correlation {
        payment = bring_up_to_date(ctx, genesys, payment).await;
    }
    let payment = match link_state(payment, &link.correlation) {
        LinkState::Payable(payment) => *payment,
        LinkState::Closed(closed) => return Ok(Session::Closed(closed)),
    };
    let Some(intent_id) = payment.intent_id().cloned() else {
        return Ok(Session::Closed(Closed::Processing));
    };
    let publishable_key = ctx.stripe.publishable_key().await?;
    let reply = ctx.stripe.fetch_intent(&intent_id, ctx.deadline).await?;
    // mutant: link-settled
    let payment = match settle(ctx, payment, reply.seen).await? {
        Settled::Moved(payment) | Settled::Kept(payment, _) => payment,
        Settled::Disagreed(_, disagreement) => {
            return Err(SessionError::Disagreement(disagreement));
        }
        Settled::Unknown => return Ok(Session::Closed(Closed::Unknown)),
    };
    // mutant: link-expired
    if is_over && payment.is_payable() {
        return Ok(Session::Closed(Closed::Expired));
    }
    let payment = record_visit(ctx, payment, &link.correlation).await;
    notify_in_time(ctx, genesys, &payment).await;
    // The record may have gone on to a new attempt meanwhile.
    match link_state(payment, &link.correlation) {
        LinkState::Payable(payment) => Ok(Session::Open(OpenSession {
            payment,
            publishable_key,
            client_secret: reply.client_secret.ok_or(SessionError::NoClientSecret)?,
        })),
        LinkState::Closed(closed) => Ok(Session::Closed(closed)),
    }
}

/// Where a link leads that was made for this attempt.
fn link_state(payment: Payment, made_for: &Correlation) -> LinkState {
    // mutant: link-own
    if payment.correlation != *made_for {
        return LinkState::Closed(Closed::Canceled);
    }
    match payment.status() {
        // Nobody begins to pay what is to end; what becomes of it is known in a moment.
        // mutant: link-ending
        _ if payment.is_ending() => LinkState::Closed(Closed::Processing),
        PaymentStatus::Pending | PaymentStatus::Declined => LinkState::Payable(Box::new(payment)),
        PaymentStatus::Creating | PaymentStatus::Processing => {
            LinkState::Closed(Closed::Processing)
        }
        PaymentStatus::Confirmed | PaymentStatus::Authorized => LinkState::Closed(Closed::Paid),
        PaymentStatus::Canceled => LinkState::Closed(Closed::Canceled),
    }
}

/// Records that the payer was here, once, and only on the attempt that the link was made for. A
/// visit that could not be recorded costs nothing but itself.
async fn record_visit<S, Stripe>(
    ctx: Ctx<'_, S, Stripe>,
    payment: Payment,
    made_for: &Correlation,
) -> Payment
where
    S: GetPayment + UpdatePayment,
{
    let next = |payment: &Payment| {
        // mutant: visit-own
        if payment.correlation == *made_for {
            payment.visited(ctx.now())
        } else {
            None
        }
    };
    match ctx.update(payment.clone(), next).await {
        Ok((payment, _)) => payment,
        Err(error) => {
            tracing::warn!(%error, "could not record the visit to the link");
            payment
        }
    }
}
