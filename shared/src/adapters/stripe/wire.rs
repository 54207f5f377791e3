//! Stripe's JSON, read: intents, pages of them, and errors. Only the fields that are used; whatever
//! else Stripe sends, now or in a later version, is skipped, the client secret of an event's
//! snapshot included.

use std::collections::HashMap;
use std::fmt;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::ids::{ConversationId, Correlation, IntentId, OrderId, PaymentUid};
use crate::domain::money::{Currency, Money};
use crate::domain::observation::{Intent, StripeStatus};
use crate::domain::secret_guard::is_plain_name;
use crate::ports::ObjectError;

/// Metadata keys under which an intent carries its correlation.
pub mod metadata {
    pub const PAYMENT_UID: &str = "payment_uid";
    /// The Genesys conversation.
    pub const CONVERSATION_ID: &str = "conversation_id";
    pub const ORDER_ID: &str = "order_id";
    pub const ATTEMPT: &str = "attempt";
}

#[derive(Deserialize)]
struct WireIntent {
    id: String,
    amount: u64,
    #[serde(default)]
    amount_received: Option<u64>,
    currency: String,
    status: String,
    #[serde(default)]
    created: u64,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
    #[serde(default)]
    last_payment_error: Option<WireLastError>,
    #[serde(default)]
    client_secret: Option<SecretString>,
}

#[derive(Deserialize)]
struct WireLastError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
}

/// An intent as the API answers it.
#[derive(Debug)]
pub struct ApiIntent {
    /// What it says.
    pub intent: Intent,
    /// What lets the payer's page pay it.
    pub client_secret: Option<SecretString>,
}

/// Reads a PaymentIntent.
pub fn parse_intent(json: &[u8]) -> Result<ApiIntent, ObjectError> {
    let wire: WireIntent = serde_json::from_slice(json).map_err(|_| ObjectError::Shape)?;
    let client_secret = wire.client_secret.clone();
    Ok(ApiIntent {
        intent: wire.into_intent()?,
        client_secret,
    })
}

impl WireIntent {
    fn into_intent(self) -> Result<Intent, ObjectError> {
        let status: StripeStatus = self
            .status
            .parse()
            .map_err(|_| ObjectError::UnknownStatus)?;
        let currency = Currency::parse(&self.currency).ok_or(ObjectError::UnknownCurrency)?;
        Ok(Intent {
            id: IntentId::parse(&self.id).map_err(|_| ObjectError::Shape)?,
            money: Money {
                amount_minor: self.amount,
                currency,
            },
            amount_received: self.amount_received.unwrap_or(0),
            status,
            last_error: self.last_payment_error.map(|error| {
                let code = error.decline_code.or(error.code).unwrap_or_default();
                if is_code(&code) {
                    code
                } else {
                    "generic_decline".to_owned()
                }
            }),
            created: self.created,
            correlation: self.metadata.as_ref().and_then(read_correlation),
        })
    }
}

/// Codes go into replies, logs and records, so they are held to the shape of Stripe's.
pub fn is_code(code: &str) -> bool {
    is_plain_name(code)
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn read_correlation(metadata: &HashMap<String, String>) -> Option<Correlation> {
    Some(Correlation {
        payment_uid: PaymentUid::parse(metadata.get(metadata::PAYMENT_UID)?).ok()?,
        conversation_id: ConversationId::parse(metadata.get(metadata::CONVERSATION_ID)?).ok()?,
        order_id: OrderId::parse(metadata.get(metadata::ORDER_ID)?).ok()?,
        attempt: metadata.get(metadata::ATTEMPT)?.parse().ok()?,
    })
}

/// One page of a search or list answer.
#[derive(Debug)]
pub struct IntentPage {
    /// The intents that carry a correlation, in Stripe's order.
    pub found: Vec<(IntentId, Correlation)>,
    /// The page's last intent, ours or not, if another page follows.
    pub next_after: Option<IntentId>,
}

#[derive(Deserialize)]
struct WirePage {
    data: Vec<WireItem>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct WireItem {
    id: String,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

/// Reads whose intents a search or list answer names. The account may have other software's
/// intents, in currencies and statuses that this version does not know, so nothing else of them is
/// read.
pub fn parse_intent_page(json: &[u8]) -> Result<IntentPage, ObjectError> {
    let WirePage { data, has_more } =
        serde_json::from_slice(json).map_err(|_| ObjectError::Shape)?;
    let id = |item: &WireItem| IntentId::parse(&item.id).map_err(|_| ObjectError::Shape);
    let next_after = match data.last() {
        Some(last) if has_more => Some(id(last)?),
        None if has_more => return Err(ObjectError::Shape),
        _ => None,
    };
    let named =
        |item: &WireItem| Some((id(item).ok()?, read_correlation(item.metadata.as_ref()?)?));
    Ok(IntentPage {
        found: data.iter().filter_map(named).collect(),
        next_after,
    })
}

/// What an API error says that may be repeated: no message, for Stripe's messages quote what was
/// sent.
#[derive(Default, Deserialize)]
pub struct ApiError {
    /// `card_error`, `invalid_request_error`, `idempotency_error`, `api_error`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// Stripe's error code.
    #[serde(default)]
    pub code: Option<String>,
    /// The issuer's reason.
    #[serde(default)]
    pub decline_code: Option<String>,
    /// The parameter it is about.
    #[serde(default)]
    pub param: Option<String>,
    /// The intent as the error left it.
    #[serde(default)]
    payment_intent: Option<Box<RawValue>>,
}

/// Without the intent, which holds its client secret.
impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            code,
            decline_code,
            param,
            ..
        } = self;
        write!(
            f,
            "ApiError({kind:?}, {code:?}, {decline_code:?}, {param:?})"
        )
    }
}

impl ApiError {
    /// Reads an error answer; one of another shape reads as an error that says nothing.
    pub fn parse(json: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Envelope {
            error: ApiError,
        }
        let mut error = serde_json::from_slice::<Envelope>(json)
            .map(|e| e.error)
            .unwrap_or_default();
        for text in [&mut error.kind, &mut error.code, &mut error.decline_code] {
            *text = text.take().filter(|code| is_code(code));
        }
        error.param = error.param.take().filter(|param| is_plain_name(param));
        error
    }

    /// The intent as the error left it, where Stripe sent it along.
    pub fn intent(&self) -> Option<ApiIntent> {
        parse_intent(self.payment_intent.as_ref()?.get().as_bytes()).ok()
    }

    /// Whether the error is one of these codes.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::forward_to_deserialize_any;
    use serde_json::{Map, Value, json};

    use super::super::webhook::{Object, WireData, WireEvent, parse_event};
    use super::*;
    use crate::domain::observation::AsOf;

    const INTENT: &str = r#"{"id":"pi_1","object":"payment_intent","amount":5000,
        "amount_received":0,"currency":"usd","status":"requires_payment_method","created":7,
        "client_secret":"pi_1_secret_x","new_field":{"a":[1]},
        "metadata":{"payment_uid":"0000000000000000000000001","order_id":"A-1","attempt":"2",
            "conversation_id":"7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a"},
        "last_payment_error":{"code":"card_declined","decline_code":"insufficient_funds",
            "message":"…"}}"#;

    #[test]
    fn an_intent_is_read_with_its_correlation_and_decline_code() {
        let read = parse_intent(INTENT.as_bytes()).unwrap();
        assert_eq!(
            read.intent.last_error.as_deref(),
            Some("insufficient_funds")
        );
        assert_eq!(read.intent.correlation.as_ref().unwrap().attempt, 2);
        assert!(
            !format!("{read:?}").contains("secret_x"),
            "Debug must hide the client secret"
        );
    }

    /// What Stripe's official SDK says of its objects; `tests/it/stripe_api.rs` holds the file to
    /// the SDK.
    static API: LazyLock<Value> = LazyLock::new(|| {
        serde_json::from_str(include_str!(
            "../../../../tests/stand-ins/src/stripe/api.json"
        ))
        .expect("api.json is JSON")
    });

    /// Takes down which fields, or variants, a type asks for; types that derive tell before they
    /// read.
    struct Asking<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asking<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("this type names no fields"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(Self::Error::custom("taken down"))
        }

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            _: &'static str,
            variants: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = variants;
            Err(Self::Error::custom("taken down"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
        }
    }

    fn asked<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
        let mut asked: &[&str] = &[];
        let _ = T::deserialize(Asking(&mut asked));
        assert!(!asked.is_empty(), "the type tells nothing");
        asked
    }

    /// The fields that a type asks for and Stripe's object has not.
    fn unknown<'de, T: Deserialize<'de>>(object: &str) -> Vec<&'static str> {
        let has = API["objects"][object].as_object().unwrap();
        asked::<T>()
            .iter()
            .copied()
            .filter(|field| !has.contains_key(*field))
            .collect()
    }

    /// An object as the SDK types it; with `null`, whatever may be null is.
    fn sample(object: &str, null: bool) -> Value {
        let value = |(field, of): (&String, &Value)| {
            let value = match &of["type"] {
                _ if null && of["null"] == true => Value::Null,
                Value::Array(values) => values[0].clone(),
                kind => match kind.as_str().unwrap() {
                    "string" => "text".into(),
                    "integer" => 5000.into(),
                    "boolean" => true.into(),
                    "list" => json!([]),
                    "map" => json!({}),
                    _ if API["objects"][format!("{object}.{field}")].is_object() => {
                        sample(&format!("{object}.{field}"), null)
                    }
                    _ => json!({}),
                },
            };
            (field.clone(), value)
        };
        API["objects"][object]
            .as_object()
            .unwrap()
            .iter()
            .map(value)
            .collect::<Map<_, _>>()
            .into()
    }

    fn intent_of_the_sdk(status: &str, null: bool) -> Value {
        let mut intent = sample("payment_intent", null);
        // What is of one shape to the SDK, and of a narrower one to us.
        for (field, value) in [("id", "pi_1"), ("currency", "usd"), ("status", status)] {
            intent[field] = value.into();
        }
        intent
    }

    #[test]
    fn every_field_that_is_read_is_one_that_stripe_s_official_sdk_has() {
        assert_eq!(unknown::<WireIntent>("payment_intent"), [""; 0]);
        assert_eq!(
            unknown::<WireLastError>("payment_intent.last_payment_error"),
            [""; 0]
        );
        assert_eq!(unknown::<ApiError>("error"), [""; 0]);
        assert_eq!(unknown::<WireEvent>("event"), [""; 0]);
        assert_eq!(unknown::<WireData>("event.data"), [""; 0]);
        assert_eq!(unknown::<WirePage>("search_result"), [""; 0]);
        assert_eq!(unknown::<WirePage>("list"), [""; 0]);
        assert_eq!(unknown::<WireItem>("payment_intent"), [""; 0]);
        assert_eq!(unknown::<Object>("event"), [""; 0]);
        assert_eq!(unknown::<Object>("v2.core.event"), [""; 0]);

        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its fields' names are asked for")]
        struct MadeUp {
            id: String,
            amount_refunded_so_far: u64,
        }
        assert_eq!(
            unknown::<MadeUp>("payment_intent"),
            ["amount_refunded_so_far"]
        );
    }

    #[test]
    fn objects_as_stripe_s_official_sdk_types_them_are_read() {
        let mut statuses = asked::<StripeStatus>().to_vec();
        statuses.sort_unstable();
        assert_eq!(
            json!(statuses),
            API["objects"]["payment_intent"]["status"]["type"]
        );
        for status in statuses {
            for null in [false, true] {
                let intent = intent_of_the_sdk(status, null);
                let read = parse_intent(intent.to_string().as_bytes()).unwrap();
                assert_eq!(
                    (read.intent.status.as_str(), read.intent.amount_received),
                    (status, 5000)
                );
                assert_eq!(
                    (
                        read.client_secret.is_none(),
                        read.intent.last_error.is_none()
                    ),
                    (null, null)
                );
                for list in ["list", "search_result"] {
                    let mut found = sample(list, null);
                    found["has_more"] = true.into();
                    found["data"] = json!([intent, intent]);
                    found["data"][0]["metadata"] = json!({
                        "payment_uid": "0000000000000000000000001",
                        "order_id": "A-1", "attempt": "1",
                        "conversation_id": "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
                    });
                    let page = parse_intent_page(found.to_string().as_bytes()).unwrap();
                    assert_eq!((page.found.len(), page.next_after.is_some()), (1, true));
                }
                let mut event = sample("event", null);
                event["type"] = "payment_intent.created".into();
                event["data"]["object"] = intent;
                event["account"] = Value::Null;
                let seen = parse_event(event.to_string().as_bytes(), false)
                    .unwrap()
                    .seen
                    .unwrap();
                assert_eq!(
                    (seen.as_of, seen.intent.status.as_str()),
                    (AsOf::second(5000), status)
                );
            }
        }
        let mut error = sample("error", false);
        error["payment_intent"] = intent_of_the_sdk("requires_payment_method", false);
        let read = ApiError::parse(json!({ "error": error }).to_string().as_bytes());
        let texts = [&read.kind, &read.code, &read.decline_code, &read.param];
        assert!(
            texts.iter().all(|text| text.as_deref() == Some("text")),
            "{read:?}"
        );
        assert!(read.intent().is_some());
        assert_eq!(
            parse_event(sample("v2.core.event", true).to_string().as_bytes(), false).unwrap_err(),
            ObjectError::ThinEvent
        );
    }

    /// An endpoint made for an older API version goes on sending its events.
    #[test]
    fn events_of_older_api_versions_are_read_like_today_s() {
        let of = |version: &str, fields: &str| {
            let intent = INTENT.replace(r#""new_field":{"a":[1]}"#, fields);
            let event = format!(
                r#"{{"id":"evt_1","object":"event","api_version":"{version}","created":9,
                "livemode":false,
                "pending_webhooks":1,"request":{{"id":null,"idempotency_key":null}},
                "type":"payment_intent.payment_failed","data":{{"object":{intent}}}}}"#
            );
            parse_event(event.as_bytes(), false).unwrap().seen.unwrap()
        };
        let types = r#""payment_method_types":["card"]"#;
        let newest = API["version"].as_str().unwrap();
        let today = of(
            newest,
            &format!(r#""allowed_payment_method_types":["card"],{types},"payment_record":null"#),
        );
        assert_eq!(
            (today.intent.last_error.as_deref(), today.as_of),
            (Some("insufficient_funds"), AsOf::second(9))
        );
        assert_eq!(
            of(
                "2026-08-26.dahlia",
                &format!(r#""allowed_payment_method_types":null,{types}"#)
            ),
            today
        );
        assert_eq!(
            of("2024-06-20", &format!(r#"{types},"invoice":null"#)),
            today
        );
    }

    #[test]
    fn metadata_of_others_is_no_correlation() {
        let foreign = INTENT.replace("\"attempt\":\"2\"", "\"attempt\":\"two\"");
        assert_eq!(
            parse_intent(foreign.as_bytes()).unwrap().intent.correlation,
            None
        );
    }

    #[test]
    fn an_unknown_status_or_currency_is_an_error_not_a_guess() {
        let status = INTENT.replace("requires_payment_method", "requires_magic");
        assert_eq!(
            parse_intent(status.as_bytes()).unwrap_err(),
            ObjectError::UnknownStatus
        );
        let currency = INTENT.replace("usd", "xyz");
        assert_eq!(
            parse_intent(currency.as_bytes()).unwrap_err(),
            ObjectError::UnknownCurrency
        );
        for wrong in [
            "",
            "[]",
            "null",
            "{\"id\":1}",
            &INTENT.replace("5000", "-1"),
            &INTENT.replace("5000", "1.5"),
        ] {
            assert_eq!(
                parse_intent(wrong.as_bytes()).unwrap_err(),
                ObjectError::Shape,
                "{wrong}"
            );
        }
    }

    #[test]
    fn thin_events_are_told_apart_and_name_the_setting() {
        let thin =
            br#"{"id":"evt_1","object":"v2.core.event","type":"v1.payment_intent.succeeded"}"#;
        let error = parse_event(thin, false).unwrap_err();
        assert_eq!(error, ObjectError::ThinEvent);
        assert!(error.to_string().contains("Snapshot"));
    }

    #[test]
    fn events_about_anything_else_carry_nothing_for_us() {
        let event = br#"{"id":"evt_1","object":"event","type":"charge.refunded","created":5,
            "data":{"object":{}}}"#;
        assert!(parse_event(event, false).unwrap().seen.is_none());
    }

    #[test]
    fn an_api_error_repeats_only_what_has_the_shape_of_a_code() {
        let json =
            br#"{"error":{"type":"invalid_request_error","code":"No such pm_123!","param":"a b",
            "message":"m"}}"#;
        let error = ApiError::parse(json);
        assert_eq!((error.code, error.param), (None, None));
        assert_eq!(error.kind.as_deref(), Some("invalid_request_error"));
        assert!(ApiError::parse(b"<html>").kind.is_none());
    }
}
