//! What every use case works with, and how it writes a record that others write, too.

use crate::domain::payment::Payment;
use crate::domain::time::UnixMillis;
use crate::ports::{
    Clock, Deadline, GetPayment, Saved, StoreError, TransactPayment, UpdatePayment,
};

/// How often a lost race is run again before the store counts as contended.
pub const MAX_ROUNDS: usize = 8;

/// Reads payments and moves them.
pub trait MovePayments: GetPayment + UpdatePayment + TransactPayment {}

impl<S: GetPayment + UpdatePayment + TransactPayment> MovePayments for S {}

/// The table, Stripe, the time of day, and the time there is.
pub struct Ctx<'a, S, Stripe> {
    pub store: &'a S,
    pub stripe: &'a Stripe,
    pub clock: &'a dyn Clock,
    /// When the use case must be done.
    pub deadline: Deadline,
}

impl<S, Stripe> Clone for Ctx<'_, S, Stripe> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, Stripe> Copy for Ctx<'_, S, Stripe> {}

/// What became of a write.
pub enum Written {
    /// The record is now this.
    Yes(Payment),
    /// Somebody else was faster, and nothing was written; the record is now this.
    Lost(Payment),
}

impl<S: GetPayment, Stripe> Ctx<'_, S, Stripe> {
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The record as it is now. A record that is gone counts as contended: records outlive every
    /// request.
    pub async fn reread(&self, payment: &Payment) -> Result<Payment, StoreError> {
        let found = self.store.payment(&payment.key()).await?;
        found.ok_or(StoreError::Contended)
    }
}

impl<S: GetPayment + UpdatePayment, Stripe> Ctx<'_, S, Stripe> {
    /// Writes the record's next state, unless somebody else has written one since it was read.
    pub async fn save(&self, payment: &Payment, next: Payment) -> Result<Written, StoreError> {
        match self.store.save(&next).await? {
            Saved::Yes => Ok(Written::Yes(next)),
            Saved::Conflict => self.reread(payment).await.map(Written::Lost),
        }
    }

    /// Writes the record's next state; after a lost race, the next state of what the winner wrote.
    /// Gives the record once there is nothing to write, and whether this call wrote it.
    pub async fn update(
        &self,
        mut payment: Payment,
        next: impl Fn(&Payment) -> Option<Payment>,
    ) -> Result<(Payment, bool), StoreError> {
        for _ in 0..MAX_ROUNDS {
            let Some(next) = next(&payment) else {
                return Ok((payment, false));
            };
            match self.save(&payment, next).await? {
                Written::Yes(payment) => return Ok((payment, true)),
                Written::Lost(current) => payment = current,
            }
        }
        Err(StoreError::Contended)
    }
}
