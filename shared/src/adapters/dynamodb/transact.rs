//! What is written in one transaction: a record's state with whose its intent is, and what an
//! answered request leaves behind.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Put, TransactWriteItem, Update};

use super::busy::past_transactions;
use super::expression::Expression;
use super::item::{Item, new_intent_owner, new_link, new_newest_order, number, text};
use super::{Table, unavailable};
use crate::domain::link::Placement;
use crate::domain::payment::Payment;
use crate::ports::{Beside, PlacePayment, Saved, StoreError, TransactPayment};

impl Table {
    /// The items of a placement. No two requests write the same link, and the last request counts
    /// as the conversation's newest, so neither has a condition.
    fn placement(
        &self,
        payment: &Payment,
        placement: &Placement,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let expires_at = placement.at.secs() + self.config.record_days * 86_400;
        let order_id = &payment.correlation.order_id;
        let newest = new_newest_order(&placement.conversation_id, order_id, expires_at)?;
        let mut items = vec![self.put(newest, None)?];
        if let Some((token, link)) = placement.link_to(payment) {
            items.push(self.put(new_link(token, &link)?, None)?);
        }
        Ok(items)
    }

    fn put(&self, item: Item, condition: Option<&str>) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder()
            .table_name(&self.config.name)
            .set_item(Some(item))
            .set_condition_expression(condition.map(str::to_owned))
            .build()
            .map_err(|_| unbuilt())?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    async fn write_all(
        &self,
        payment: &Payment,
        items: Vec<TransactWriteItem>,
    ) -> Result<Saved, StoreError> {
        let transaction = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items));
        let meets_another = |error: &SdkError<TransactWriteItemsError>| {
            let reasons = error.as_service_error().map(reasons).unwrap_or_default();
            // mutant: conflict-again
            reasons.contains(&CONFLICT) && !reasons.contains(&REFUSED)
        };
        let written = past_transactions(payment, meets_another, || transaction.clone().send());
        match written.await {
            Ok(_) => Ok(Saved::Yes),
            Err(error) if error.as_service_error().is_some_and(lost_a_race) => Ok(Saved::Conflict),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl TransactPayment for Table {
    async fn transact(&self, next: &Payment, beside: Beside<'_>) -> Result<Saved, StoreError> {
        let state = self.state_update(next)?;
        let update = Update::builder()
            .table_name(&self.config.name)
            .set_key(Some(self.key(next).await?))
            .update_expression(state.update)
            .condition_expression(state.condition)
            .set_expression_attribute_names(Some(state.names))
            .set_expression_attribute_values(Some(state.values))
            .build()
            .map_err(|_| unbuilt())?;
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        if let Some(intent_id) = beside.intent {
            let owner = new_intent_owner(intent_id, &next.correlation, self.expires_at(next))?;
            // mutant: one-owner
            items.push(self.put(owner, Some("attribute_not_exists(pk)"))?);
        }
        if let Some(placement) = beside.placement {
            items.extend(self.placement(next, placement)?);
        }
        self.write_all(next, items).await
    }
}

impl PlacePayment for Table {
    async fn place(&self, payment: &Payment, placement: &Placement) -> Result<Saved, StoreError> {
        let mut check = Expression::default();
        let expected = [
            (
                "payment_uid",
                text(payment.correlation.payment_uid.to_string()),
            ),
            ("attempt", number(u64::from(payment.correlation.attempt))),
            // mutant: place-holder
            (
                "holder_conversation_id",
                text(placement.conversation_id.to_string()),
            ),
            // mutant: place-status
            ("status", text(payment.status().to_string())),
        ];
        check.condition = expected
            .map(|(name, value)| format!("{} = {}", check.name(name), check.value(name, value)))
            .join(" AND ");
        if payment.is_payable() {
            let ending = check.name("ending_reason");
            // mutant: place-ending
            check.condition += &format!(" AND attribute_not_exists({ending})");
        }
        let check = ConditionCheck::builder()
            .table_name(&self.config.name)
            .set_key(Some(self.key(payment).await?))
            .condition_expression(check.condition)
            .set_expression_attribute_names(Some(check.names))
            .set_expression_attribute_values(Some(check.values))
            .build()
            .map_err(|_| unbuilt())?;
        let mut items = vec![TransactWriteItem::builder().condition_check(check).build()];
        items.extend(self.placement(payment, placement)?);
        self.write_all(payment, items).await
    }
}

fn unbuilt() -> StoreError {
    StoreError::Unreadable("transaction".to_owned())
}

/// A condition did not hold.
const REFUSED: &str = "ConditionalCheckFailed";

/// Another transaction is at one of the items this very moment.
const CONFLICT: &str = "TransactionConflict";

/// Why a transaction was canceled.
fn reasons(error: &TransactWriteItemsError) -> Vec<&str> {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        return Vec::new();
    };
    let reasons = canceled.cancellation_reasons().iter();
    reasons.filter_map(|reason| reason.code()).collect()
}

fn lost_a_race(error: &TransactWriteItemsError) -> bool {
    let reasons = reasons(error);
    reasons.contains(&REFUSED) || reasons.contains(&CONFLICT)
}
