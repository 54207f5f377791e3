//! The fields of a JSON body as they stand in it, and the search for card numbers in all of them.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::card_guard::{in_free_text, in_identifier, unescaped};

/// The fields that name something. Orders and references may be long runs of digits, so a run is
/// not searched for a card number within it, as every other field is, known or not.
const IDENTIFIERS: [&str; 6] = [
    "conversation_id",
    "order_id",
    "currency",
    "region",
    "payment_method",
    "operation",
];

/// The fields of a sum, in which a card number may have got a decimal point.
const AMOUNTS: [&str; 2] = ["amount", "amount_minor"];

/// Collects an object's entries in order, doubles included.
#[derive(Clone, Copy, Debug)]
pub struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Whether a body holds a card number, in a key or a value, known or not. A body that is no JSON
/// object is free text.
pub fn hold_card_number(body: &str) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let entries = deserializer
        .deserialize_map(Entries)
        .and_then(|entries| deserializer.end().map(|()| entries));
    let Ok(entries) = entries else {
        return in_free_text(body);
    };
    // JSON's own punctuation may part the digits, so all that is free text is searched as one.
    let mut free_text = String::with_capacity(body.len());
    for (name, value) in &entries {
        let (name, value) = (name.as_str(), value.get());
        let text: Option<String> = serde_json::from_str(value).ok();
        let number = value
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
            .then(|| digits(value));
        if IDENTIFIERS.contains(&name) && (text.is_some() || number.is_some()) {
            let identifier = text.as_deref().unwrap_or(value);
            if in_identifier(identifier) || number.is_some_and(|digits| in_identifier(&digits)) {
                return true;
            }
            // As a letter would, the name parts the digits before from those behind.
            free_text.push_str(name);
            continue;
        }
        let sum = text
            .filter(|_| AMOUNTS.contains(&name))
            .map(|text| digits(&text));
        if number.or(sum).is_some_and(|digits| in_free_text(&digits)) {
            return true;
        }
        free_text.push_str(name);
        free_text.push(':');
        free_text.push_str(&unescaped(value));
        free_text.push(',');
    }
    in_free_text(&free_text)
}

/// The digits of a decimal number, without its point and its exponent.
fn digits(number: &str) -> String {
    number
        .chars()
        .take_while(|c| !matches!(c, 'e' | 'E'))
        .filter(char::is_ascii_digit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "4539578763621486";

    #[test]
    fn a_card_number_is_found_in_every_field_known_or_not_and_across_json_s_punctuation() {
        for body in [
            r#"{"order_id":"4539578763621486"}"#,
            r#"{"order_id":"A4539-5787-6362-1486"}"#,
            r#"{"order_id":4539578763621486}"#,
            r#"{"order_id":4539578763621486.5}"#,
            r#"{"order_id":["4539",5787,"6362",1486]}"#,
            r#"{"conversation_id":"4539 5787 6362 1486"}"#,
            r#"{"amount":4539578763621486}"#,
            r#"{"amount":"4539578763621486"}"#,
            r#"{"amount":"45395787636214.86"}"#,
            r#"{"amount":45395787636214.86}"#,
            r#"{"amount":-4.539578763621486e15}"#,
            r#"{"amount_minor":4539578763621486}"#,
            r#"{"amount_minor":"4539578763621486"}"#,
            r#"{"vault":4.539578763621486E+15}"#,
            r#"{"description":"14539578763621486"}"#,
            r#"{"description":"4539578763621486","description":"x"}"#,
            r#"{"description":"\u0034\u0035\u0033\u0039578763621486"}"#,
            r#"{"description":"%42\u00353957876362148 4539\n5787\n6362\n1486"}"#,
            r#"{"receipt_email":"4539578763621486@example.com"}"#,
            r#"{"include_client_secret":"4539578763621486"}"#,
            r#"{"4539578763621486":true}"#,
            r#"{"4539":5787,"6362":1486}"#,
            r#"{"vault":[4539, 5787, 6362, 1486]}"#,
            r#"{"vault":{"a":[{"\u0034539578763621486":null}],"a":[]}}"#,
            r#"{"vault":"\ud835\udfd2539578763621486"}"#,
            r#"["4539578763621486"]"#,
            r#"{"order_id":"A-1"} 4539578763621486"#,
            r#"{"order_id":"A-1","card":"4539578763621486"#,
            "card=4539+5787+6362+1486",
            r"{'card': '\u0034539578763621486'}",
        ] {
            assert!(hold_card_number(body), "{body}");
        }
        let deep = format!(
            r#"{{"a":{}"{CARD}"{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert!(hold_card_number(&deep));
    }

    #[test]
    fn orders_and_references_may_be_long_runs_of_digits_and_no_field_runs_into_the_next() {
        for body in [
            r#"{"order_id":"4551842029-00430-2026"}"#,
            r#"{"order_id":"24062026-01072026"}"#,
            r#"{"order_id":"14539578763621486"}"#,
            r#"{"order_id":14539578763621486}"#,
            r#"{"order_id":"1795376262000000001",
                "conversation_id":"45395787-6362-4864-9b7a-2f6d0c1e4b5a"}"#,
            r#"{"vault":4539,"order_id":"5787","more":[6362,1486]}"#,
            r#"{"description":"4539","receipt_email":"5787@6362.1486"}"#,
            r#"{"description":"Artikel\u2013400580822937, M\u00fcller\u00a0400580822937"}"#,
            r#"{"amount":"50.00","amount_minor":5000,"currency":"usd"}"#,
            "",
            "{}",
        ] {
            assert!(!hold_card_number(body), "{body}");
        }
    }
}
