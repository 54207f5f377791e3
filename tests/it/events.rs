//! Every file in events/ is the event it claims to be and gets the reply that tests/local/expected.json says, from
//! the very handlers that `sam local invoke` runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use stand_ins::{Fault, Match};
use tests::{Answer, World};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names() -> BTreeSet<String> {
    fs::read_dir(root().join("events")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
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
        (Value::Object(wanted), Value::Object(got)) => {
            wanted.iter().all(|(name, value)| got.get(name).is_some_and(|got| holds(value, got)))
        }
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

#[tokio::test]
async fn every_event_gets_its_expected_reply() {
    let world = World::new().await;
    for (name, expected) in expected() {
        // An order that was written down while Stripe could not be reached.
        if let Some(order) = expected.get("open") {
            world.stripe.outage(Match::any(), Fault::status(503));
            assert_eq!(world.post(order).await.status, 503);
            world.stripe.clear_faults();
        }
        world.advance(1);
        let text = fs::read_to_string(root().join("events").join(&name)).unwrap();
        let request = shared::entry::request(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let response = match name.split('.').next().unwrap() {
            "create-intent" => world.create_intent.handle(request).await,
            "stripe-webhook" => world.stripe_webhook.handle(request).await,
            _ => world.status_query.handle(request).await,
        };
        let answer = Answer::read(response);
        assert_eq!(u64::from(answer.status), expected["status"].as_u64().unwrap(), "{name}: {:#}", answer.body);
        assert!(holds(&expected["body"], &answer.body), "{name}: {:#}", answer.body);
    }
}
