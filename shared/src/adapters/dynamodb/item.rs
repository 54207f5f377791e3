//! The items of the table, read and written.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_dynamo::{from_item, to_item};

use crate::domain::ending::{EndReason, Ending};
use crate::domain::ids::{
    ConversationId, Correlation, IntentId, OrderId, OrderScope, PaymentKey, PaymentUid,
};
use crate::domain::link::{Link, LinkToken};
use crate::domain::money::{Currency, Money};
use crate::domain::notice::Notice;
use crate::domain::observation::{AsOf, StripeStatus};
use crate::domain::payment::{CaptureMethod, KnownIntent, Payment, PaymentStatus, Stage, Terms};
use crate::domain::time::UnixMillis;
use crate::ports::StoreError;

pub(super) type Item = HashMap<String, AttributeValue>;

/// How long an expired link is remembered as one, so that the payer hears "expired" and not
/// "unknown".
const REMEMBER_LINK_SECS: u64 = 7 * 86_400;

/// A payment's state, as one `save` writes it. What is absent is removed.
#[derive(Serialize, Deserialize)]
struct State {
    attempt: u32,
    /// The conversation that asked for the attempt.
    conversation_id: ConversationId,
    holder_conversation_id: ConversationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former_conversation_id: Option<ConversationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_told_conversation_id: Option<ConversationId>,
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
    ending_reason: Option<EndReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending_since: Option<UnixMillis>,
    #[serde(default)]
    declines: Vec<String>,
    #[serde(default)]
    was_authorized: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unauthorized_before: Option<EndReason>,
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
pub(super) const REMOVABLE: [&str; 13] = [
    "unauthorized_before",
    "ending_reason",
    "ending_since",
    "former_conversation_id",
    "moved_told_conversation_id",
    "terms",
    "payment_intent_id",
    "stripe_status",
    "reason_code",
    "as_of_from",
    "as_of_until",
    "last_event_id",
    "opened_at",
];

/// What a payment item holds besides its state and keys: its creation, and what Genesys accepted.
#[derive(Serialize, Deserialize)]
struct Bookkeeping {
    payment_uid: PaymentUid,
    order_id: OrderId,
    created_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refreshed_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notified_conversation_id: Option<ConversationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notified_status: Option<PaymentStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notified_intent_id: Option<IntentId>,
    #[serde(default)]
    notified_opened: bool,
}

/// The order that a conversation asked for last, besides its keys.
#[derive(Serialize, Deserialize)]
struct NewestOrder {
    order_id: OrderId,
    expires_at: u64,
}

/// An intent's item, besides its keys: whose intent it is.
#[derive(Serialize, Deserialize)]
struct IntentOwner {
    #[serde(flatten)]
    correlation: Correlation,
    expires_at: u64,
}

/// A link's item, besides its keys.
#[derive(Serialize, Deserialize)]
struct LinkItem {
    #[serde(flatten)]
    correlation: Correlation,
    valid_until: UnixMillis,
    expires_at: u64,
}

/// A payment's state, whose item is to be removed at `expires_at`, in Unix seconds.
pub(super) fn state(payment: &Payment, expires_at: u64) -> Result<Item, StoreError> {
    let known = payment.intent();
    let state = State {
        attempt: payment.correlation.attempt,
        conversation_id: payment.correlation.conversation_id.clone(),
        holder_conversation_id: payment.holder.clone(),
        former_conversation_id: payment.former_holder.clone(),
        moved_told_conversation_id: payment.moved_told.clone(),
        version: payment.version,
        amount_minor: payment.money.amount_minor,
        currency: payment.money.currency,
        status: payment.status(),
        terms: payment.terms().cloned(),
        capture_method: payment.capture_method,
        payment_intent_id: known.map(|known| known.id.clone()),
        stripe_status: known.map(|known| known.status),
        amount_received_minor: payment.amount_received(),
        ending_reason: payment.ending.map(|ending| ending.reason),
        ending_since: payment.ending.map(|ending| ending.since),
        declines: payment.declines.clone(),
        was_authorized: payment.was_authorized,
        unauthorized_before: payment.unauthorized_before,
        reason_code: payment.reason_code().map(str::to_owned),
        as_of_from: known.map(|known| known.as_of.from),
        as_of_until: known.map(|known| known.as_of.until),
        last_event_id: known.and_then(|known| known.last_event_id.clone()),
        opened_at: payment.visited_at,
        attempt_started_at: payment.attempt_started_at,
        updated_at: payment.updated_at,
        expires_at,
    };
    to_item(state).map_err(unreadable)
}

/// A new payment's whole item, but for its keys.
pub(super) fn new_payment(payment: &Payment, expires_at: u64) -> Result<Item, StoreError> {
    let mut item = state(payment, expires_at)?;
    let bookkeeping = Bookkeeping {
        payment_uid: payment.correlation.payment_uid.clone(),
        order_id: payment.correlation.order_id.clone(),
        created_at: payment.created_at,
        refreshed_at: None,
        notified_conversation_id: None,
        notified_status: None,
        notified_intent_id: None,
        notified_opened: false,
    };
    item.extend(to_item::<_, Item>(bookkeeping).map_err(unreadable)?);
    Ok(item)
}

pub(super) fn read_payment(item: Item) -> Result<Payment, StoreError> {
    let state: State = from_item(item.clone()).map_err(unreadable)?;
    let kept: Bookkeeping = from_item(item).map_err(unreadable)?;
    let missing = |attribute: &str| StoreError::Unreadable(attribute.to_owned());
    // A record of an earlier version has it in its terms only.
    let capture_method = match &state.terms {
        Some(terms) => terms.capture_method,
        None => state.capture_method,
    };
    let stage = match (state.payment_intent_id, state.status) {
        (Some(id), _) => Stage::Known(KnownIntent {
            id,
            status: state
                .stripe_status
                .ok_or_else(|| missing("stripe_status"))?,
            amount_received: state.amount_received_minor,
            decline_code: state.reason_code,
            as_of: AsOf {
                from: state.as_of_from.ok_or_else(|| missing("as_of_from"))?,
                until: state.as_of_until.ok_or_else(|| missing("as_of_until"))?,
            },
            last_event_id: state.last_event_id,
        }),
        (None, PaymentStatus::Creating) => {
            Stage::Creating(state.terms.ok_or_else(|| missing("terms"))?)
        }
        (None, _) => Stage::Refused {
            reason_code: state.reason_code.ok_or_else(|| missing("reason_code"))?,
        },
    };
    let notified = kept
        .notified_conversation_id
        .zip(kept.notified_intent_id)
        .zip(kept.notified_status);
    Ok(Payment {
        correlation: Correlation {
            payment_uid: kept.payment_uid,
            conversation_id: state.conversation_id,
            order_id: kept.order_id,
            attempt: state.attempt,
        },
        holder: state.holder_conversation_id,
        former_holder: state.former_conversation_id,
        moved_told: state.moved_told_conversation_id,
        version: state.version,
        money: Money {
            amount_minor: state.amount_minor,
            currency: state.currency,
        },
        capture_method,
        stage,
        ending: state
            .ending_reason
            .zip(state.ending_since)
            .map(|(reason, since)| Ending { reason, since }),
        declines: state.declines,
        was_authorized: state.was_authorized,
        unauthorized_before: state.unauthorized_before,
        visited_at: state.opened_at,
        notified: notified.map(|((conversation_id, intent_id), status)| Notice {
            conversation_id,
            intent_id,
            status,
            visited: kept.notified_opened,
        }),
        created_at: kept.created_at,
        attempt_started_at: state.attempt_started_at,
        updated_at: state.updated_at,
        refreshed_at: kept.refreshed_at,
    })
}

pub(super) fn new_intent_owner(
    intent_id: &IntentId,
    correlation: &Correlation,
    expires_at: u64,
) -> Result<Item, StoreError> {
    let owner = IntentOwner {
        correlation: correlation.clone(),
        expires_at,
    };
    let mut item: Item = to_item(owner).map_err(unreadable)?;
    item.extend(intent_key(intent_id));
    Ok(item)
}

pub(super) fn read_intent_owner(item: Item) -> Result<Correlation, StoreError> {
    let owner: IntentOwner = from_item(item).map_err(unreadable)?;
    Ok(owner.correlation)
}

pub(super) fn new_link(token: &LinkToken, link: &Link) -> Result<Item, StoreError> {
    let Link {
        correlation,
        valid_until,
    } = link.clone();
    let link = LinkItem {
        correlation,
        valid_until,
        expires_at: valid_until.secs() + REMEMBER_LINK_SECS,
    };
    let mut item: Item = to_item(link).map_err(unreadable)?;
    item.extend(link_key(token));
    Ok(item)
}

pub(super) fn read_link(item: Item) -> Result<Link, StoreError> {
    let LinkItem {
        correlation,
        valid_until,
        ..
    } = from_item(item).map_err(unreadable)?;
    Ok(Link {
        correlation,
        valid_until,
    })
}

pub(super) fn new_newest_order(
    conversation_id: &ConversationId,
    order_id: &OrderId,
    expires_at: u64,
) -> Result<Item, StoreError> {
    let newest = NewestOrder {
        order_id: order_id.clone(),
        expires_at,
    };
    let mut item: Item = to_item(newest).map_err(unreadable)?;
    item.extend(newest_order_key(conversation_id));
    Ok(item)
}

pub(super) fn read_newest_order(item: Item) -> Result<OrderId, StoreError> {
    let newest: NewestOrder = from_item(item).map_err(unreadable)?;
    Ok(newest.order_id)
}

pub(super) fn payment_key(key: &PaymentKey, scope: OrderScope) -> Item {
    let order = format!("ORDER#{}", key.order_id());
    match scope {
        // mutant: merchant-key
        OrderScope::Merchant => item_key(order, "PAYMENT".to_owned()),
        OrderScope::Conversation => item_key(conversation_pk(key.conversation_id()), order),
    }
}

pub(super) fn newest_order_key(conversation_id: &ConversationId) -> Item {
    item_key(conversation_pk(conversation_id), "NEWEST".to_owned())
}

fn conversation_pk(conversation_id: &ConversationId) -> String {
    format!("CONVERSATION#{conversation_id}")
}

pub(super) fn intent_key(intent_id: &IntentId) -> Item {
    item_key(format!("INTENT#{intent_id}"), "INTENT".to_owned())
}

pub(super) fn link_key(token: &LinkToken) -> Item {
    // mutant: link-digest
    item_key(format!("LINK#{}", token.sha256()), "LINK".to_owned())
}

pub(super) fn item_key(pk: String, sk: String) -> Item {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

pub(super) fn text(text: String) -> AttributeValue {
    AttributeValue::S(text)
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Names a missing attribute, but repeats nothing an item holds: its terms may be personal data.
pub(super) fn unreadable(error: serde_dynamo::Error) -> StoreError {
    let text = error.to_string();
    let missing = text.starts_with("missing field");
    StoreError::Unreadable(if missing {
        text
    } else {
        "an attribute of another type".to_owned()
    })
}
