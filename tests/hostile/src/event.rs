//! Stripe's JSON: what is read is what was written, in its domain, and shows no client secret.

use std::sync::LazyLock;

use serde_json::Value;
use shared::adapters::stripe::webhook::parse_event;
use shared::adapters::stripe::wire::{ApiError, parse_intent, parse_intent_page};
use shared::domain::ids::{ConversationId, Correlation, OrderId, PaymentKey, PaymentUid};
use shared::domain::money::{Currency, Money};
use shared::domain::observation::{Intent, StripeStatus, Verdict};
use shared::domain::payment::{CaptureMethod, Payment, PaymentStatus, Terms};
use shared::domain::time::UnixMillis;
use shared::ports::ObjectError;

use crate::outside::{CONVERSATION, NOW, marked};

fn within(
    text: &str,
    lengths: std::ops::RangeInclusive<usize>,
    known: impl Fn(u8) -> bool,
) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(known)
}

fn code(text: &str) -> bool {
    within(
        text,
        1..=64,
        |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'),
    )
}

/// Fit to be written down: a short name without a mark of Stripe's secrets.
fn plain(text: &str) -> bool {
    within(text, 1..=64, |b| {
        b.is_ascii_alphanumeric() || b"_-.[]".contains(&b)
    }) && !marked(text)
}

/// The intent's fields are in their domains and, where the JSON is an object, its own.
fn truthful(intent: &Intent, json: &Value) {
    let id = intent.id.as_str();
    let tail = id.strip_prefix("pi_").unwrap();
    assert!(
        within(tail, 1..=250, |b| b.is_ascii_alphanumeric() || b == b'_')
            && !id.contains("_secret_"),
        "{id}"
    );
    assert!(
        intent.last_error.as_deref().is_none_or(code),
        "{:?}",
        intent.last_error
    );
    if let Some(Correlation {
        conversation_id,
        order_id,
        ..
    }) = &intent.correlation
    {
        let uuid = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-');
        assert!(
            within(conversation_id.as_str(), 36..=36, uuid),
            "{conversation_id}"
        );
        let order = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        assert!(within(order_id.as_str(), 1..=100, order), "{order_id}");
    }
    // serde also takes a list of the fields in their order.
    if json.is_object() {
        assert_eq!(json["id"], id);
        assert_eq!(json["amount"], intent.money.amount_minor);
        assert!(
            json["currency"]
                .as_str()
                .unwrap()
                .eq_ignore_ascii_case(intent.money.currency.code())
        );
        assert_eq!(
            json["amount_received"].as_u64().unwrap_or(0),
            intent.amount_received
        );
        assert_eq!(json["status"], intent.status.as_str());
        assert_eq!(
            json["last_payment_error"].is_null(),
            intent.last_error.is_none()
        );
        let paid = intent.payment_status() == PaymentStatus::Confirmed;
        assert_eq!(paid, json["status"] == "succeeded");
        let order_id = intent.correlation.as_ref().map(|c| c.order_id.as_str());
        assert!(order_id.is_none() || json["metadata"]["order_id"].as_str() == order_id);
    }
}

/// No `client_secret` anywhere in the JSON is in a Debug text, unless its text stands elsewhere in
/// the JSON too.
fn hidden(data: &[u8], json: &Value, debug: &str) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut left = vec![json];
    while let Some(value) = left.pop() {
        if let Some(secret) = value["client_secret"]
            .as_str()
            .filter(|secret| secret.contains("_secret_"))
        {
            assert!(
                text.matches(secret).count() != 1 || !debug.contains(secret),
                "{debug}"
            );
        }
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(map) => left.extend(map.values()),
            _ => {}
        }
    }
}

/// Records that an event might be about: one that waits for its intent, one that has it, one that
/// is paid.
static RECORDS: LazyLock<[Payment; 3]> = LazyLock::new(|| {
    let terms = Terms {
        capture_method: CaptureMethod::Automatic,
        ..Terms::default()
    };
    let creating = Payment::begin(
        &PaymentKey::new(
            ConversationId::parse(CONVERSATION).unwrap(),
            OrderId::parse("A-1").unwrap(),
        ),
        PaymentUid::from_bits([1; 16]),
        Money {
            amount_minor: 5000,
            currency: Currency::parse("usd").unwrap(),
        },
        terms,
        UnixMillis(NOW * 1000),
    );
    let moved = |record: &Payment, status: &str, created: u64| {
        let json = format!(
            r#"{{"id":"evt_0","type":"payment_intent.{status}","created":{created},"data":{{"object":{{"id":"pi_1",
            "amount":5000,"amount_received":5000,"currency":"usd","status":"{status}"}}}}}}"#
        );
        let seen = parse_event(json.as_bytes(), false).unwrap().seen.unwrap();
        let Verdict::Apply(next) = record.observe(&seen, UnixMillis(NOW * 1000)) else {
            panic!("{status}")
        };
        *next
    };
    let pending = moved(&creating, "requires_action", NOW);
    let paid = moved(&pending, "succeeded", NOW + 1);
    [creating, pending, paid]
});

/// The body of a webhook event; also read as an intent, a list of them and an error of Stripe's
/// API.
///
/// # Panics
/// When a property does not hold.
pub fn event(data: &[u8]) {
    // Null where the readers skip what the tree cannot hold, such as a number too large. Of a key
    // given twice the tree keeps the last; the readers take no such key among those they know.
    let json: Value = serde_json::from_slice(data).unwrap_or_default();
    match parse_event(data, false) {
        Ok(event) if !json.is_object() => hidden(data, &json, &format!("{event:?}")),
        Ok(event) => {
            assert_eq!(
                (&json["id"], &json["type"]),
                (&event.id.as_str().into(), &event.kind.as_str().into())
            );
            assert_eq!(
                json["livemode"].as_bool().unwrap_or(false),
                event.is_other_mode
            );
            assert_ne!(json["object"], "v2.core.event");
            assert!(plain(&event.id) && plain(&event.kind), "{event:?}");
            assert_eq!(event.is_other_account, !json["account"].is_null());
            let is_read = event.kind.starts_with("payment_intent.") && !event.is_other_account;
            assert_eq!(event.seen.is_some(), is_read);
            if let Some(seen) = &event.seen {
                truthful(&seen.intent, &json["data"]["object"]);
                assert_eq!(seen.event_id.as_deref(), Some(event.id.as_str()));
                assert_eq!(
                    (json["created"].as_u64(), seen.as_of.until),
                    (Some(seen.as_of.from), seen.as_of.from)
                );
                for record in RECORDS.iter() {
                    moves_rightly(record, seen);
                }
            }
            hidden(data, &json, &format!("{event:?}"));
        }
        Err(ObjectError::ThinEvent) => {
            assert!(!json.is_object() || json["object"] == "v2.core.event")
        }
        Err(ObjectError::Shape | ObjectError::UnknownStatus | ObjectError::UnknownCurrency) => {}
    }
    if let Ok(read) = parse_intent(data) {
        truthful(&read.intent, &json);
        hidden(data, &json, &format!("{read:?}"));
    }
    if let Ok(page) = parse_intent_page(data) {
        let ids: Vec<&Value> = json["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| &item["id"])
            .collect();
        let named = page.found.iter().map(|(intent_id, _)| intent_id);
        assert!(
            named
                .chain(&page.next_after)
                .all(|id| !json.is_object() || ids.contains(&&id.as_str().into())),
            "{page:?}"
        );
        hidden(data, &json, &format!("{page:?}"));
    }
    let error = ApiError::parse(data);
    for said in [&error.kind, &error.code, &error.decline_code]
        .into_iter()
        .flatten()
    {
        assert!(code(said), "{said:?}");
    }
    if let Some(param) = &error.param {
        assert!(plain(param), "{param:?}");
    }
    hidden(data, &json, &format!("{error:?}"));
    if let Some(read) = error.intent() {
        truthful(&read.intent, &json["error"]["payment_intent"]);
        hidden(data, &json, &format!("{read:?}"));
    }
}

/// Whatever the event says, the record stays about the same order, amount and intent, and is paid
/// only by money received.
fn moves_rightly(record: &Payment, seen: &shared::domain::observation::Observation) {
    let Verdict::Apply(next) = record.observe(seen, UnixMillis(NOW * 1000)) else {
        return;
    };
    assert!(!record.status().is_final(), "left a final status");
    assert_eq!(
        (&next.correlation, next.money),
        (&record.correlation, record.money)
    );
    assert_eq!(next.version, record.version + 1);
    assert!(record.intent_id().is_none() || record.intent_id() == next.intent_id());
    if next.status() == PaymentStatus::Confirmed {
        let Intent {
            status,
            money,
            amount_received,
            ..
        } = &seen.intent;
        assert_eq!((*status, *money), (StripeStatus::Succeeded, record.money));
        assert_eq!(*amount_received, record.money.amount_minor);
    }
}
