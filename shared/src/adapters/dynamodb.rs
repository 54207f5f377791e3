//! The table in DynamoDB. Every write is conditional; every read is consistent.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | payment | `CONVERSATION#<id>` | `ORDER#<order id>` |
//! | pointer | `INTENT#<pi_…>` | `INTENT` |
//! | link | `LINK#<sha256 of the token>` | `LINK` |
//!
//! A payment's state is replaced as a whole, on condition of its version. The turns to refresh and
//! to tell Genesys are attributes of their own, on conditions of their own; taking the turn to
//! tell, and having told, are new versions.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use serde::{Deserialize, Serialize};
use serde_dynamo::{from_item, to_item};

use crate::ids::{ConversationId, Correlation, IntentId, OrderId};
use crate::link::{Link, LinkToken};
use crate::money::{Currency, Money};
use crate::payment::{AsOf, CaptureMethod, Notice, Payment, PaymentStatus, StripeStatus, Terms};
use crate::ports::{
    AdoptIntent, GetLink, GetPayment, NoticeTurn, PutLink, PutPayment, QueryPayments, Saved,
    StoreError, UpdatePayment,
};
use crate::time::UnixMillis;

type Item = HashMap<String, AttributeValue>;

/// The table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
    record_days: u64,
}

/// A payment's state, as one `save` writes it. What is absent is removed.
#[derive(Serialize, Deserialize)]
struct State {
    attempt: u32,
    version: u64,
    amount_minor: u64,
    currency: Currency,
    status: PaymentStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<Terms>,
    #[serde(default)]
    capture_method: CaptureMethod,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payment_intent_id: Option<IntentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stripe_status: Option<StripeStatus>,
    #[serde(default)]
    amount_received_minor: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    as_of_from: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    as_of_until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_event_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened_at: Option<UnixMillis>,
    attempt_started_at: UnixMillis,
    updated_at: UnixMillis,
    /// Unix seconds, for DynamoDB's TTL.
    expires_at: u64,
}

/// The attributes of [`State`] that may be absent.
const REMOVABLE: [&str; 8] = [
    "terms",
    "payment_intent_id",
    "stripe_status",
    "reason_code",
    "as_of_from",
    "as_of_until",
    "last_event_id",
    "opened_at",
];

/// What a payment item holds besides its state and keys.
#[derive(Serialize, Deserialize)]
struct Rest {
    conversation_id: ConversationId,
    order_id: OrderId,
    created_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refreshed_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notified_status: Option<PaymentStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notified_intent_id: Option<IntentId>,
    #[serde(default)]
    notified_opened: bool,
}

/// A pointer item, besides its keys.
#[derive(Serialize, Deserialize)]
struct Pointer {
    #[serde(flatten)]
    correlation: Correlation,
    expires_at: u64,
}

/// A link item, besides its keys.
#[derive(Serialize, Deserialize)]
struct LinkItem {
    #[serde(flatten)]
    correlation: Correlation,
    valid_until: UnixMillis,
    expires_at: u64,
}

/// How long an expired link is remembered as one, so that the payer hears "expired" and not
/// "unknown".
const REMEMBER_LINK_SECS: u64 = 7 * 86_400;

impl Table {
    /// The table of that name, whose records live `record_days` after their latest attempt began.
    #[must_use]
    pub fn new(client: Client, name: String, record_days: u64) -> Self {
        Self {
            client,
            name,
            record_days,
        }
    }

    /// Opens the connection before the first request needs it. What fails here is met, and
    /// reported, there.
    pub async fn warm(&self) {
        let _ = self.get(key("WARM".to_owned(), "WARM".to_owned())).await;
    }

    fn expires_at(&self, payment: &Payment) -> u64 {
        payment.attempt_started_at.secs() + self.record_days * 86_400
    }

    fn state(&self, payment: &Payment) -> Result<Item, StoreError> {
        let state = State {
            attempt: payment.correlation.attempt,
            version: payment.version,
            amount_minor: payment.money.amount_minor,
            currency: payment.money.currency,
            status: payment.status,
            terms: payment.terms.clone(),
            capture_method: payment.capture_method,
            payment_intent_id: payment.intent_id.clone(),
            stripe_status: payment.stripe_status,
            amount_received_minor: payment.amount_received,
            reason_code: payment.reason_code.clone(),
            as_of_from: payment.as_of.map(|as_of| as_of.from),
            as_of_until: payment.as_of.map(|as_of| as_of.until),
            last_event_id: payment.last_event_id.clone(),
            opened_at: payment.opened_at,
            attempt_started_at: payment.attempt_started_at,
            updated_at: payment.updated_at,
            expires_at: self.expires_at(payment),
        };
        to_item(state).map_err(unreadable)
    }

    /// `SET` of the whole next state on condition of the version before it.
    fn state_update(&self, next: &Payment) -> Result<Expression, StoreError> {
        let mut state = self.state(next)?;
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
        update.condition = format!("{} = {before}", update.name("version"));
        Ok(update)
    }

    fn update(&self, payment: &Payment, expression: Expression) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(payment_key(
                &payment.correlation.conversation_id,
                &payment.correlation.order_id,
            )))
            .update_expression(expression.update)
            .condition_expression(expression.condition)
            .set_expression_attribute_names(Some(expression.names))
            .set_expression_attribute_values(Some(expression.values))
    }

    async fn get(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.name)
            .consistent_read(true)
            .set_key(Some(key))
            .send()
            .await;
        Ok(got.map_err(|error| unavailable(&error))?.item)
    }
}

/// An update expression under construction; every name and value goes through a placeholder.
#[derive(Default)]
struct Expression {
    update: String,
    condition: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Expression {
    fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#{attribute}");
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    fn value(&mut self, label: &str, value: AttributeValue) -> String {
        let placeholder = format!(":{label}");
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// Whether a time lies in a span. What lies further ahead was left behind by a clock that was
    /// set forward for a while, and must hold nobody up until then.
    fn between(&mut self, name: &str, from: UnixMillis, until: UnixMillis) -> String {
        let (from, until) = (
            self.value("from", number(from.0)),
            self.value("until", number(until.0)),
        );
        format!("({name} BETWEEN {from} AND {until})")
    }
}

impl PutPayment for Table {
    async fn put_payment(&self, payment: &Payment) -> Result<Option<Payment>, StoreError> {
        let Payment {
            correlation,
            created_at,
            ..
        } = payment;
        let mut item = self.state(payment)?;
        let rest = Rest {
            conversation_id: correlation.conversation_id.clone(),
            order_id: correlation.order_id.clone(),
            created_at: *created_at,
            refreshed_at: None,
            notified_status: None,
            notified_intent_id: None,
            notified_opened: false,
        };
        item.extend(to_item::<_, Item>(rest).map_err(unreadable)?);
        item.extend(payment_key(
            &correlation.conversation_id,
            &correlation.order_id,
        ));
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = put else { return Ok(None) };
        if !is_conflict(&error) {
            return Err(unavailable(&error));
        }
        let there = match error.into_service_error() {
            aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(e) => e.item,
            _ => None,
        };
        match there {
            Some(item) => read_payment(item).map(Some),
            None => self
                .payment(&correlation.conversation_id, &correlation.order_id)
                .await
                .and_then(|found| found.map(Some).ok_or(StoreError::Contended)),
        }
    }
}

impl GetPayment for Table {
    async fn payment(
        &self,
        conversation_id: &ConversationId,
        order_id: &OrderId,
    ) -> Result<Option<Payment>, StoreError> {
        self.get(payment_key(conversation_id, order_id))
            .await?
            .map(read_payment)
            .transpose()
    }

    async fn pointer(&self, intent_id: &IntentId) -> Result<Option<Correlation>, StoreError> {
        let item = self.get(pointer_key(intent_id)).await?;
        item.map(|item| {
            from_item::<_, Pointer>(item)
                .map(|pointer| pointer.correlation)
                .map_err(unreadable)
        })
        .transpose()
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
                .table_name(&self.name)
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

    async fn claim_notice(
        &self,
        payment: &Payment,
        now: UnixMillis,
        lapse: Duration,
    ) -> Result<Option<NoticeTurn>, StoreError> {
        let mut claim = Expression::default();
        let (since, turn, version) = (
            claim.name("notice_since"),
            claim.name("notice_turn"),
            claim.name("version"),
        );
        let (told, of) = (
            claim.name("notified_status"),
            claim.name("notified_intent_id"),
        );
        let opened = claim.name("notified_opened");
        let (now_value, one) = (
            claim.value("now", number(now.0)),
            claim.value("one", number(1)),
        );
        claim.update = format!(
            "SET {since} = {now_value} ADD {turn} {one}, {version} {one} REMOVE {told}, {of}, {opened}"
        );
        let held = claim.between(&since, now.minus(lapse), now.plus(lapse));
        let read = claim.value("read", number(payment.version));
        claim.condition =
            format!("{version} = {read} AND (attribute_not_exists({since}) OR NOT {held})");
        match self
            .update(payment, claim)
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
        {
            Ok(output) => {
                let turn = output
                    .attributes
                    .as_ref()
                    .and_then(|a| a.get("notice_turn")?.as_n().ok()?.parse().ok());
                turn.map(|turn| Some(NoticeTurn(turn)))
                    .ok_or_else(|| StoreError::Unreadable("notice_turn".to_owned()))
            }
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn end_notice(
        &self,
        payment: &Payment,
        turn: NoticeTurn,
        accepted: Option<&Notice>,
    ) -> Result<Option<Payment>, StoreError> {
        let mut end = Expression::default();
        end.update = format!("REMOVE {}", end.name("notice_since"));
        if let Some(Notice {
            intent_id,
            status,
            opened,
        }) = accepted
        {
            let (told, of) = (end.name("notified_status"), end.name("notified_intent_id"));
            let told_opened = end.name("notified_opened");
            let opened = end.value("opened", AttributeValue::Bool(*opened));
            let status = end.value("status", text(status.as_str().to_owned()));
            let intent = end.value("intent", text(intent_id.to_string()));
            let (version, one) = (end.name("version"), end.value("one", number(1)));
            end.update.push_str(&format!(
                " SET {told} = {status}, {of} = {intent}, {told_opened} = {opened} ADD {version} {one}"
            ));
        }
        let (number_name, mine) = (end.name("notice_turn"), end.value("turn", number(turn.0)));
        end.condition = format!("{number_name} = {mine}");
        match self
            .update(payment, end)
            .return_values(ReturnValue::AllNew)
            .send()
            .await
        {
            Ok(output) => read_payment(output.attributes.unwrap_or_default()).map(Some),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl PutLink for Table {
    async fn put_link(&self, token: &LinkToken, link: &Link) -> Result<(), StoreError> {
        let Link {
            correlation,
            valid_until,
        } = link.clone();
        let item = LinkItem {
            correlation,
            valid_until,
            expires_at: valid_until.secs() + REMEMBER_LINK_SECS,
        };
        let mut item: Item = to_item(item).map_err(unreadable)?;
        item.extend(link_key(token));
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            // The SDK's own retry of a put whose answer was lost meets its first try: nobody else
            // can have this token.
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl GetLink for Table {
    async fn link(&self, token: &LinkToken) -> Result<Option<Link>, StoreError> {
        let item = self.get(link_key(token)).await?;
        let link = item
            .map(|item| from_item::<_, LinkItem>(item).map_err(unreadable))
            .transpose()?;
        Ok(link.map(
            |LinkItem {
                 correlation,
                 valid_until,
                 ..
             }| Link {
                correlation,
                valid_until,
            },
        ))
    }
}

impl AdoptIntent for Table {
    async fn adopt(&self, next: &Payment) -> Result<Saved, StoreError> {
        let intent_id = next
            .intent_id
            .as_ref()
            .ok_or_else(|| StoreError::Unreadable("payment_intent_id".to_owned()))?;
        let state = self.state_update(next)?;
        let payment = Update::builder()
            .table_name(&self.name)
            .set_key(Some(payment_key(
                &next.correlation.conversation_id,
                &next.correlation.order_id,
            )))
            .update_expression(state.update)
            .condition_expression(state.condition)
            .set_expression_attribute_names(Some(state.names))
            .set_expression_attribute_values(Some(state.values))
            .build();
        let pointer = Pointer {
            correlation: next.correlation.clone(),
            expires_at: self.expires_at(next),
        };
        let mut item: Item = to_item(pointer).map_err(unreadable)?;
        item.extend(pointer_key(intent_id));
        let pointer = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let (Ok(payment), Ok(pointer)) = (payment, pointer) else {
            return Err(StoreError::Unreadable("transaction".to_owned()));
        };
        let transaction = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(payment).build())
            .transact_items(TransactWriteItem::builder().put(pointer).build())
            .send()
            .await;
        match transaction {
            Ok(_) => Ok(Saved::Yes),
            Err(error) => match error.as_service_error() {
                Some(aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(canceled))
                    if canceled.cancellation_reasons().iter().filter_map(|reason| reason.code()).any(|code| {
                        matches!(code, "ConditionalCheckFailed" | "TransactionConflict")
                    }) =>
                {
                    Ok(Saved::Conflict)
                }
                _ => Err(unavailable(&error)),
            },
        }
    }
}

fn read_payment(item: Item) -> Result<Payment, StoreError> {
    let state: State = from_item(item.clone()).map_err(unreadable)?;
    let rest: Rest = from_item(item).map_err(unreadable)?;
    Ok(Payment {
        correlation: Correlation {
            conversation_id: rest.conversation_id,
            order_id: rest.order_id,
            attempt: state.attempt,
        },
        version: state.version,
        money: Money {
            amount_minor: state.amount_minor,
            currency: state.currency,
        },
        status: state.status,
        // A record of an earlier version has it in its terms only.
        capture_method: state
            .terms
            .as_ref()
            .map_or(state.capture_method, |terms| terms.capture_method),
        terms: state.terms,
        intent_id: state.payment_intent_id,
        stripe_status: state.stripe_status,
        amount_received: state.amount_received_minor,
        reason_code: state.reason_code,
        last_event_id: state.last_event_id,
        opened_at: state.opened_at,
        as_of: state
            .as_of_from
            .zip(state.as_of_until)
            .map(|(from, until)| AsOf { from, until }),
        notified: rest
            .notified_intent_id
            .zip(rest.notified_status)
            .map(|(intent_id, status)| Notice {
                intent_id,
                status,
                opened: rest.notified_opened,
            }),
        created_at: rest.created_at,
        attempt_started_at: state.attempt_started_at,
        updated_at: state.updated_at,
        refreshed_at: rest.refreshed_at,
    })
}

fn conversation_pk(conversation_id: &ConversationId) -> String {
    format!("CONVERSATION#{conversation_id}")
}

fn payment_key(conversation_id: &ConversationId, order_id: &OrderId) -> Item {
    key(
        conversation_pk(conversation_id),
        format!("ORDER#{order_id}"),
    )
}

fn pointer_key(intent_id: &IntentId) -> Item {
    key(format!("INTENT#{intent_id}"), "INTENT".to_owned())
}

fn link_key(token: &LinkToken) -> Item {
    key(format!("LINK#{}", token.sha256()), "LINK".to_owned())
}

fn key(pk: String, sk: String) -> Item {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
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

/// Names a missing attribute, but repeats nothing an item holds: its terms may be personal data.
fn unreadable(error: serde_dynamo::Error) -> StoreError {
    let text = error.to_string();
    let missing = text.starts_with("missing field");
    StoreError::Unreadable(if missing {
        text
    } else {
        "an attribute of another type".to_owned()
    })
}
