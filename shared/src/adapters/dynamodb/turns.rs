//! The record's next state, and the turns to refresh it and to tell Genesys.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::busy::{meets_transaction, past_transactions};
use super::expression::Expression;
use super::item::{number, read_payment, text};
use super::{Table, is_conflict, unavailable};
use crate::domain::ids::ConversationId;
use crate::domain::notice::DueNotice;
use crate::domain::payment::Payment;
use crate::domain::time::UnixMillis;
use crate::ports::{NoticeTurn, Saved, StoreError, UpdatePayment};

/// What tells which status the holder was told, and accepted.
const NOTIFIED: [&str; 4] = [
    "notified_conversation_id",
    "notified_status",
    "notified_intent_id",
    "notified_opened",
];

impl Table {
    async fn update(
        &self,
        payment: &Payment,
        expression: Expression,
    ) -> Result<UpdateItemFluentBuilder, StoreError> {
        Ok(self
            .client
            .update_item()
            .table_name(&self.config.name)
            .set_key(Some(self.key(payment).await?))
            .update_expression(expression.update)
            .condition_expression(expression.condition)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values)))
    }
}

impl UpdatePayment for Table {
    async fn save(&self, next: &Payment) -> Result<Saved, StoreError> {
        let update = self.update(next, self.state_update(next)?).await?;
        saved(past_transactions(next, meets_transaction, || update.clone().send()).await)
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
        saved(self.update(payment, claim).await?.send().await)
    }

    /// ```text
    /// SET notice_since = :now
    /// ADD notice_turn :one, version :one
    /// [REMOVE notified_conversation_id, notified_status, notified_intent_id, notified_opened]
    /// if version = :read AND (no notice_since OR NOT notice_since within :lapse of :now)
    /// ```
    async fn claim_notice(
        &self,
        payment: &Payment,
        due: &DueNotice,
        now: UnixMillis,
        lapse: Duration,
    ) -> Result<Option<NoticeTurn>, StoreError> {
        let mut claim = Expression::default();
        let (since, turn) = (claim.name("notice_since"), claim.name("notice_turn"));
        let version = claim.name("version");
        let (now_value, one) = (
            claim.value("now", number(now.0)),
            claim.value("one", number(1)),
        );
        claim.update = format!("SET {since} = {now_value} ADD {turn} {one}, {version} {one}");
        // mutant: forget-notified
        if matches!(due, DueNotice::State(_)) {
            let forgotten = NOTIFIED.map(|attribute| claim.name(attribute)).join(", ");
            claim.update.push_str(&format!(" REMOVE {forgotten}"));
        }
        let held = claim.between(&since, now.minus(lapse), now.plus(lapse));
        let read = claim.value("read", number(payment.version));
        // mutant: notice-turn
        claim.condition =
            format!("{version} = {read} AND (attribute_not_exists({since}) OR NOT {held})");
        let update = self.update(payment, claim).await?;
        let update = update.return_values(ReturnValue::UpdatedNew);
        match update.send().await {
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
    /// [SET notified_conversation_id = :holder, notified_status = :status,
    ///      notified_intent_id = :intent, notified_opened = :visited
    ///  or moved_told_conversation_id = :former
    ///  ADD version :one]
    /// if notice_turn = :turn
    /// ```
    async fn end_notice(
        &self,
        payment: &Payment,
        turn: NoticeTurn,
        accepted: Option<&DueNotice>,
    ) -> Result<Option<Payment>, StoreError> {
        let mut end = Expression::default();
        end.update = format!("REMOVE {}", end.name("notice_since"));
        let heard_by = |id: &ConversationId| text(id.to_string());
        let accepted = match accepted {
            Some(DueNotice::State(notice)) => vec![
                (NOTIFIED[0], heard_by(&notice.conversation_id)),
                (NOTIFIED[1], text(notice.status.to_string())),
                (NOTIFIED[2], text(notice.intent_id.to_string())),
                (NOTIFIED[3], AttributeValue::Bool(notice.visited)),
            ],
            Some(DueNotice::Moved(former)) => {
                vec![("moved_told_conversation_id", heard_by(former))]
            }
            None => Vec::new(),
        };
        let set: Vec<_> = accepted
            .into_iter()
            .map(|(name, value)| format!("{} = {}", end.name(name), end.value(name, value)))
            .collect();
        if !set.is_empty() {
            let (version, one) = (end.name("version"), end.value("one", number(1)));
            end.update
                .push_str(&format!(" SET {} ADD {version} {one}", set.join(", ")));
        }
        let (held, own) = (end.name("notice_turn"), end.value("turn", number(turn.0)));
        end.condition = format!("{held} = {own}");
        let update = self.update(payment, end).await?;
        let update = update.return_values(ReturnValue::AllNew);
        let ended = past_transactions(payment, meets_transaction, || update.clone().send());
        match ended.await {
            Ok(output) => read_payment(output.attributes.unwrap_or_default()).map(Some),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }
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
