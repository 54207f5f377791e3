//! The table in DynamoDB. Every write is conditional; every read is consistent.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | payment | `CONVERSATION#<id>` | `ORDER#<order id>` |
//! | intent, with its owner | `INTENT#<pi_…>` | `INTENT` |
//! | link | `LINK#<sha256 of the token>` | `LINK` |
//!
//! A payment's state is replaced as a whole, on condition of its version. The turns to refresh and
//! to tell Genesys are attributes of their own, on conditions of their own; taking the turn to
//! tell, and having told, are new versions.

mod expression;
mod item;
mod links;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};

use self::expression::Expression;
use self::item::{
    Item, REMOVABLE, conversation_pk, intent_key, item_key, new_intent_owner, new_payment, number,
    payment_key, read_intent_owner, read_payment, state, text,
};
use crate::domain::ids::{ConversationId, Correlation, IntentId, PaymentKey};
use crate::domain::notice::Notice;
use crate::domain::payment::Payment;
use crate::domain::time::UnixMillis;
use crate::ports::{
    AttachIntent, GetPayment, NoticeTurn, PutPayment, QueryPayments, Saved, StoreError,
    UpdatePayment,
};

/// The table, as the variables of the function name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// `TABLE_NAME`
    pub name: String,
    /// `RECORD_DAYS`: how long records are kept, from when their latest attempt began.
    pub record_days: u64,
}

#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    config: TableConfig,
}

impl Table {
    pub fn new(client: Client, config: TableConfig) -> Self {
        Self { client, config }
    }

    /// Opens the connection before the first request needs it. What fails here is met, and
    /// reported, there.
    pub async fn warm(&self) {
        let _ = self
            .get(item_key("WARM".to_owned(), "WARM".to_owned()))
            .await;
    }

    fn expires_at(&self, payment: &Payment) -> u64 {
        payment.attempt_started_at.secs() + self.config.record_days * 86_400
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

    fn update(&self, payment: &Payment, expression: Expression) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.config.name)
            .set_key(Some(payment_key(&payment.key())))
            .update_expression(expression.update)
            .condition_expression(expression.condition)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values))
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
        let put = self
            .client
            .put_item()
            .table_name(&self.config.name)
            .set_item(Some(new_payment(payment, self.expires_at(payment))?))
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
        let item = self.get(payment_key(key)).await?;
        item.map(read_payment).transpose()
    }

    async fn intent_owner(&self, intent_id: &IntentId) -> Result<Option<Correlation>, StoreError> {
        let item = self.get(intent_key(intent_id)).await?;
        item.map(read_intent_owner).transpose()
    }
}

impl QueryPayments for Table {
    async fn newest_payment(
        &self,
        conversation_id: &ConversationId,
    ) -> Result<Option<Payment>, StoreError> {
        let mut newest: Option<Payment> = None;
        let mut from = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.config.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk AND begins_with(sk, :orders)")
                .expression_attribute_values(":pk", text(conversation_pk(conversation_id)))
                .expression_attribute_values(":orders", text("ORDER#".to_owned()))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| unavailable(&error))?;
            for item in page.items.unwrap_or_default() {
                let payment = read_payment(item)?;
                if newest
                    .as_ref()
                    .is_none_or(|n| n.attempt_started_at < payment.attempt_started_at)
                {
                    newest = Some(payment);
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(newest);
            }
        }
    }
}

impl UpdatePayment for Table {
    async fn save(&self, next: &Payment) -> Result<Saved, StoreError> {
        saved(self.update(next, self.state_update(next)?).send().await)
    }

    async fn claim_refresh(
        &self,
        payment: &Payment,
        now: UnixMillis,
        every: Duration,
    ) -> Result<Saved, StoreError> {
        let mut claim = Expression::default();
        let refreshed_at = claim.name("refreshed_at");
        claim.update = format!("SET {refreshed_at} = {}", claim.value("now", number(now.0)));
        let recent = claim.between(
            &refreshed_at,
            UnixMillis(now.minus(every).0 + 1),
            now.plus(every),
        );
        claim.condition = format!(
            "attribute_exists(pk) AND (attribute_not_exists({refreshed_at}) OR NOT {recent})"
        );
        saved(self.update(payment, claim).send().await)
    }

    /// ```text
    /// SET notice_since = :now
    /// ADD notice_turn :one, version :one
    /// REMOVE notified_status, notified_intent_id, notified_opened
    /// if version = :read AND (no notice_since OR NOT notice_since within :lapse of :now)
    /// ```
    async fn claim_notice(
        &self,
        payment: &Payment,
        now: UnixMillis,
        lapse: Duration,
    ) -> Result<Option<NoticeTurn>, StoreError> {
        let mut claim = Expression::default();
        let (since, turn) = (claim.name("notice_since"), claim.name("notice_turn"));
        let version = claim.name("version");
        let forgotten = ["notified_status", "notified_intent_id", "notified_opened"]
            .map(|attribute| claim.name(attribute))
            .join(", ");
        let (now_value, one) = (
            claim.value("now", number(now.0)),
            claim.value("one", number(1)),
        );
        // mutant: forget-notified
        claim.update = format!(
            "SET {since} = {now_value} ADD {turn} {one}, {version} {one} REMOVE {forgotten}"
        );
        let held = claim.between(&since, now.minus(lapse), now.plus(lapse));
        let read = claim.value("read", number(payment.version));
        // mutant: notice-turn
        claim.condition =
            format!("{version} = {read} AND (attribute_not_exists({since}) OR NOT {held})");
        let update = self.update(payment, claim);
        match update.return_values(ReturnValue::UpdatedNew).send().await {
            Ok(output) => {
                let attributes = output.attributes.unwrap_or_default();
                let turn = attributes
                    .get("notice_turn")
                    .and_then(|turn| turn.as_n().ok());
                let turn = turn.and_then(|turn| turn.parse().ok()).map(NoticeTurn);
                turn.map(Some)
                    .ok_or_else(|| StoreError::Unreadable("notice_turn".to_owned()))
            }
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// ```text
    /// REMOVE notice_since
    /// [SET notified_status = :status, notified_intent_id = :intent, notified_opened = :visited
    /// ADD version :one]
    /// if notice_turn = :turn
    /// ```
    async fn end_notice(
        &self,
        payment: &Payment,
        turn: NoticeTurn,
        accepted: Option<&Notice>,
    ) -> Result<Option<Payment>, StoreError> {
        let mut end = Expression::default();
        end.update = format!("REMOVE {}", end.name("notice_since"));
        if let Some(notice) = accepted {
            let accepted = [
                ("notified_status", text(notice.status.to_string())),
                ("notified_intent_id", text(notice.intent_id.to_string())),
                ("notified_opened", AttributeValue::Bool(notice.visited)),
            ]
            .map(|(name, value)| format!("{} = {}", end.name(name), end.value(name, value)))
            .join(", ");
            let (version, one) = (end.name("version"), end.value("one", number(1)));
            end.update
                .push_str(&format!(" SET {accepted} ADD {version} {one}"));
        }
        let (held, own) = (end.name("notice_turn"), end.value("turn", number(turn.0)));
        end.condition = format!("{held} = {own}");
        let update = self.update(payment, end);
        match update.return_values(ReturnValue::AllNew).send().await {
            Ok(output) => read_payment(output.attributes.unwrap_or_default()).map(Some),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl AttachIntent for Table {
    async fn attach_intent(
        &self,
        next: &Payment,
        intent_id: &IntentId,
    ) -> Result<Saved, StoreError> {
        let state = self.state_update(next)?;
        let payment = Update::builder()
            .table_name(&self.config.name)
            .set_key(Some(payment_key(&next.key())))
            .update_expression(state.update)
            .condition_expression(state.condition)
            .set_expression_attribute_names(Some(state.names))
            .set_expression_attribute_values(Some(state.values))
            .build();
        let owner = new_intent_owner(intent_id, &next.correlation, self.expires_at(next))?;
        // mutant: one-owner
        let owner = Put::builder()
            .table_name(&self.config.name)
            .set_item(Some(owner))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let (Ok(payment), Ok(owner)) = (payment, owner) else {
            return Err(StoreError::Unreadable("transaction".to_owned()));
        };
        let transaction = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(payment).build())
            .transact_items(TransactWriteItem::builder().put(owner).build())
            .send()
            .await;
        match transaction {
            Ok(_) => Ok(Saved::Yes),
            Err(error) if error.as_service_error().is_some_and(lost_a_race) => Ok(Saved::Conflict),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// Whether a transaction was canceled because a condition did not hold, or because another
/// transaction is at one of its items this very moment.
fn lost_a_race(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        return false;
    };
    let codes = canceled.cancellation_reasons().iter();
    codes
        .filter_map(|reason| reason.code())
        .any(|code| matches!(code, "ConditionalCheckFailed" | "TransactionConflict"))
}

fn saved<T, E: ProvideErrorMetadata, R>(
    outcome: Result<T, SdkError<E, R>>,
) -> Result<Saved, StoreError> {
    match outcome {
        Ok(_) => Ok(Saved::Yes),
        Err(error) if is_conflict(&error) => Ok(Saved::Conflict),
        Err(error) => Err(unavailable(&error)),
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
