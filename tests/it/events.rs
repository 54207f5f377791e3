//! Every file in events/ is the event it claims to be and gets the reply that
//! tests/local/expected.json says, from the very handlers that `sam local invoke` runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use shared::ports::Clock;
use tests::{Answer, World, root};

fn names() -> BTreeSet<String> {
    fs::read_dir(root().join("events"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A JSON object's entries in the order they are written.
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The expected replies, in the order the events are sent.
fn expected() -> Vec<(String, Value)> {
    let text = fs::read_to_string(root().join("tests/local/expected.json")).unwrap();
    serde_json::from_str::<Ordered>(&text).unwrap().0
}

/// Whether `got` has all that is wanted; what it has beyond that does not matter.
fn holds(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => wanted
            .iter()
            .all(|(name, value)| got.get(name).is_some_and(|got| holds(value, got))),
        _ => wanted == got,
    }
}

#[test]
fn every_event_has_one_expectation_and_is_named_for_its_function() {
    let expected: Vec<String> = expected().into_iter().map(|(name, _)| name).collect();
    assert_eq!(expected.iter().cloned().collect::<BTreeSet<_>>(), names());
    assert_eq!(expected.len(), names().len(), "each once");
    for name in names() {
        let function = name.split('.').next().unwrap();
        assert!(root().join("functions").join(function).is_dir(), "{name}");
    }
}

/// The webhook event with the intent that its order has here, of this second and signed anew; as it
/// is where the order is not open, and where the signature is the point.
fn about_what_is_open(world: &World, text: String, intents: &BTreeMap<String, String>) -> String {
    let mut event: Value = serde_json::from_str(&text).unwrap();
    let is_base64 = event["isBase64Encoded"] == true;
    let body = event["body"].as_str().unwrap();
    let body = if is_base64 {
        STANDARD.decode(body).unwrap()
    } else {
        body.as_bytes().to_vec()
    };
    let Ok(mut said) = serde_json::from_slice::<Value>(&body) else {
        return text;
    };
    let order = said["data"]["object"]["metadata"]["order_id"]
        .as_str()
        .unwrap_or_default();
    let Some(intent) = intents.get(order) else {
        return text;
    };
    said["data"]["object"]["id"] = intent.as_str().into();
    let now = world.clock.now().secs();
    said["created"] = now.into();
    let body = said.to_string();
    let header = event["headers"]["stripe-signature"].as_str().unwrap();
    let further = header
        .splitn(3, ',')
        .nth(2)
        .map(|further| format!(",{further}"))
        .unwrap_or_default();
    let signature = world
        .stripe
        .sign(body.as_bytes(), i64::try_from(now).unwrap());
    event["headers"]["stripe-signature"] = format!("{signature}{further}").into();
    event["body"] = if is_base64 {
        STANDARD.encode(&body)
    } else {
        body
    }
    .into();
    event.to_string()
}

#[tokio::test]
async fn every_event_gets_its_expected_reply() {
    let world = World::new().await;
    let mut intents = BTreeMap::new();
    for (name, expected) in expected() {
        if let Some(order) = expected.get("open") {
            let opened = world.post(order).await;
            assert_eq!(opened.status, 201, "{:#}", opened.body);
            let order_id = order["order_id"].as_str().unwrap().to_owned();
            intents.insert(order_id, opened.text("payment_intent_id").to_owned());
        }
        world.advance(1);
        let mut text = fs::read_to_string(root().join("events").join(&name)).unwrap();
        if name.starts_with("stripe-webhook")
            && !name.contains(".forged")
            && !name.contains(".stale")
        {
            text = about_what_is_open(&world, text, &intents);
        }
        let request =
            shared::lambda::entry::request(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let response = match name.split('.').next().unwrap() {
            "create-intent" => world.create_intent.handle(request).await,
            "stripe-webhook" => world.stripe_webhook.handle(request).await,
            _ => world.status_query.handle(request).await,
        };
        let answer = Answer::read(response);
        assert_eq!(
            u64::from(answer.status),
            expected["status"].as_u64().unwrap(),
            "{name}: {:#}",
            answer.body
        );
        assert!(
            holds(&expected["body"], &answer.body),
            "{name}: {:#}",
            answer.body
        );
    }
}
