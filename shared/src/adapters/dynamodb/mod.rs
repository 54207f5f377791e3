//! The table in DynamoDB. Every write is conditional, but for a link, which no two requests write,
//! and a conversation's newest order, where the last one counts; every read is consistent.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | settings | `SETTINGS` | `SETTINGS` |
//! | payment, where an order id is the merchant's | `ORDER#<order id>` | `PAYMENT` |
//! | payment, where it is a conversation's | `CONVERSATION#<id>` | `ORDER#<order id>` |
//! | a conversation's newest order | `CONVERSATION#<id>` | `NEWEST` |
//! | intent, with its owner | `INTENT#<pi_…>` | `INTENT` |
//! | link | `LINK#<sha256 of the token>` | `LINK` |
//!
//! A payment's state is replaced as a whole, on condition of its version. The turns to refresh and
//! to tell Genesys are attributes of their own, on conditions of their own; taking the turn to
//! tell, and having told, are new versions.

mod busy;
mod expression;
mod item;
mod settings;
mod transact;
mod turns;

use std::sync::{Arc, OnceLock};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use self::expression::Expression;
use self::item::{
    Item, REMOVABLE, intent_key, link_key, new_payment, newest_order_key, number, payment_key,
    read_intent_owner, read_link, read_newest_order, read_payment, state,
};
use crate::domain::ids::{ConversationId, Correlation, IntentId, OrderId, OrderScope, PaymentKey};
use crate::domain::link::{Link, LinkToken};
use crate::domain::payment::{Payment, PaymentStatus};
use crate::ports::{GetLink, GetPayment, PutPayment, StoreError};

/// The table, as the variables of the function name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// `TABLE_NAME`
    pub name: String,
    /// `RECORD_DAYS`: how long records are kept, from when their latest attempt began.
    pub record_days: u64,
    /// `PAID_RECORD_DAYS`: the same once the payment is `CONFIRMED`.
    pub paid_record_days: u64,
    /// `ORDER_SCOPE` of create-intent, which alone begins payments. Everybody else goes by what the
    /// table says.
    pub order_scope: Option<OrderScope>,
}

#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    config: TableConfig,
    /// What the table says, once it was read: it never changes.
    scope: Arc<OnceLock<OrderScope>>,
}

impl Table {
    pub fn new(client: Client, config: TableConfig) -> Self {
        Self {
            client,
            config,
            scope: Arc::default(),
        }
    }

    /// Opens the connection and reads the settings before the first request needs them. What fails
    /// here is met, and reported, there.
    pub async fn warm(&self) {
        let _ = self.known_scope().await;
    }

    async fn key(&self, payment: &Payment) -> Result<Item, StoreError> {
        Ok(payment_key(&payment.key(), self.scope().await?))
    }

    fn expires_at(&self, payment: &Payment) -> u64 {
        let days = match payment.status() {
            // mutant: paid-for-good
            PaymentStatus::Confirmed => self.config.paid_record_days,
            _ => self.config.record_days,
        };
        payment.attempt_started_at.secs() + days * 86_400
    }

    /// `SET` of the whole next state on condition of the version before it.
    fn state_update(&self, next: &Payment) -> Result<Expression, StoreError> {
        let mut state = state(next, self.expires_at(next))?;
        let mut update = Expression::default();
        let mut removed = Vec::new();
        for name in REMOVABLE {
            if !state.contains_key(name) {
                removed.push(update.name(name));
            }
        }
        let set: Vec<String> = state
            .drain()
            .map(|(name, value)| format!("{} = {}", update.name(&name), update.value(&name, value)))
            .collect();
        update.update = format!("SET {}", set.join(", "));
        if !removed.is_empty() {
            update
                .update
                .push_str(&format!(" REMOVE {}", removed.join(", ")));
        }
        let before = update.value("version_before", number(next.version.saturating_sub(1)));
        // mutant: version
        update.condition = format!("{} = {before}", update.name("version"));
        Ok(update)
    }

    async fn get(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.config.name)
            .consistent_read(true)
            .set_key(Some(key))
            .send()
            .await;
        Ok(got.map_err(|error| unavailable(&error))?.item)
    }
}

impl PutPayment for Table {
    async fn put_payment(&self, payment: &Payment) -> Result<Option<Payment>, StoreError> {
        let key = payment_key(&payment.key(), self.agreed_scope().await?);
        let mut item = new_payment(payment, self.expires_at(payment))?;
        item.extend(key);
        let put = self
            .client
            .put_item()
            .table_name(&self.config.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = put else { return Ok(None) };
        if !is_conflict(&error) {
            return Err(unavailable(&error));
        }
        if let PutItemError::ConditionalCheckFailedException(failed) = error.into_service_error()
            && let Some(item) = failed.item
        {
            return read_payment(item).map(Some);
        }
        let found = self.payment(&payment.key()).await?;
        found.map(Some).ok_or(StoreError::Contended)
    }
}

impl GetPayment for Table {
    async fn payment(&self, key: &PaymentKey) -> Result<Option<Payment>, StoreError> {
        let Some(scope) = self.known_scope().await? else {
            return Ok(None);
        };
        let item = self.get(payment_key(key, scope)).await?;
        item.map(read_payment).transpose()
    }

    async fn intent_owner(&self, intent_id: &IntentId) -> Result<Option<Correlation>, StoreError> {
        let item = self.get(intent_key(intent_id)).await?;
        item.map(read_intent_owner).transpose()
    }

    async fn newest_order(
        &self,
        conversation_id: &ConversationId,
    ) -> Result<Option<OrderId>, StoreError> {
        let item = self.get(newest_order_key(conversation_id)).await?;
        item.map(read_newest_order).transpose()
    }
}

impl GetLink for Table {
    async fn link(&self, token: &LinkToken) -> Result<Option<Link>, StoreError> {
        let item = self.get(link_key(token)).await?;
        item.map(read_link).transpose()
    }
}

/// The condition did not hold, or a transaction is at the item this very moment.
fn is_conflict<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(
        error.code(),
        Some("ConditionalCheckFailedException" | "TransactionConflictException")
    )
}

fn unavailable<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> StoreError {
    let kind = match error {
        SdkError::TimeoutError(_) => "no answer in time",
        SdkError::DispatchFailure(_) => "no connection",
        SdkError::ResponseError(_) => "broken answer",
        SdkError::ServiceError(_) => "service error",
        _ => "request not built",
    };
    StoreError::Unavailable(error.code().unwrap_or(kind).to_owned())
}
