//! `POST /payments`: an accepted order is what the body says and within the policy; a refusal says
//! which rule, and repeats no card number, no token and never much.

use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::api::{MAX_REQUEST_BYTES, Problem, ProblemCode};
use shared::create::Order;

use crate::amount::{Wanted, rule, wanted};
use crate::outside::{POLICY, marked};

/// Written for the bytes 1 to 6: card numbers as people and programs write them.
const CARD_NUMBERS: [&str; 6] = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "378282246310005",
    r"\u0034242424242424242",
    "４２４２４２４２４２４２４２４２",
    "4242-4242-4242-4242",
];

/// Written for the byte 7.
const TOKEN: &str = "pm_1CanaryOfAToken";

/// The most a refusal says, in characters.
const MAX_DETAIL: usize = 700;

/// The body of a request. For the bytes 1 to 7 stand card numbers and a token.
///
/// # Panics
/// When a property does not hold.
pub fn request(data: &[u8]) {
    let mut body = Vec::with_capacity(data.len());
    for byte in data {
        match byte {
            1..=6 => body.extend_from_slice(CARD_NUMBERS[usize::from(*byte) - 1].as_bytes()),
            7 => body.extend_from_slice(TOKEN.as_bytes()),
            byte => body.push(*byte),
        }
    }
    let read = create_intent::request::read(&body, &POLICY);
    let Ok(text) = std::str::from_utf8(&body) else {
        let code = read.unwrap_err().code;
        assert!(
            matches!(
                code,
                ProblemCode::MalformedRequest | ProblemCode::RequestTooLarge
            ),
            "{code:?}"
        );
        return;
    };
    let tree = serde_json::from_str::<Value>(text);
    if body.len() <= MAX_REQUEST_BYTES
        && (holds_visa(text) || tree.as_ref().is_ok_and(tree_holds_visa))
    {
        assert_eq!(
            read.as_ref().unwrap_err(),
            &Problem::card_data_refused(),
            "{text}"
        );
    }
    match read {
        Ok(order) => {
            assert!(body.len() <= MAX_REQUEST_BYTES);
            truthful(&order, text);
            assert!(!format!("{order:?}").contains(TOKEN), "a token is in Debug");
        }
        Err(problem) => {
            assert!(problem.code.status().is_client_error(), "{problem:?}");
            assert_eq!(
                problem.code == ProblemCode::RequestTooLarge,
                body.len() > MAX_REQUEST_BYTES
            );
            explained(&problem);
            assert!(
                !json_text(&tree, "payment_method")
                    .is_some_and(|token| repeats(&problem, text, token))
            );
            assert!(
                !json_text(&tree, "receipt_email")
                    .is_some_and(|email| repeats(&problem, text, email))
            );
        }
    }
}

/// A refusal as the caller sees it.
pub(crate) fn explained(problem: &Problem) {
    let (code, detail) = (&problem.code, &problem.detail());
    assert!(ProblemCode::ALL.contains(code));
    assert!(
        !detail.is_empty() && detail.chars().count() <= MAX_DETAIL,
        "{} characters",
        detail.chars().count()
    );
    assert!(!detail.chars().any(char::is_control), "{detail:?}");
    assert!(
        detail
            .split(|c: char| !c.is_ascii_digit())
            .all(|digits| digits.len() <= 11),
        "{detail}"
    );
    // A line break is shown as `\r`, which makes a mark of what follows it.
    let marked = marked(&detail.replace(r"\r", ""));
    assert!(
        !holds_visa(detail) && !marked && !detail.contains(TOKEN),
        "{detail}"
    );
    let response = problem.clone().into_response();
    let json: Value = serde_json::from_slice(response.body().as_ref()).unwrap();
    assert_eq!(json["status"], response.status().as_u16());
    assert_eq!(
        (&json["code"], &json["field"]),
        (&json!(code.as_str()), &json!(problem.field))
    );
    assert_eq!(json["detail"], detail.as_str());
}

/// A text field of the body, long enough not to stand in a refusal by chance.
fn json_text<'a>(tree: &'a Result<Value, serde_json::Error>, field: &str) -> Option<&'a str> {
    tree.as_ref()
        .ok()?
        .get(field)?
        .as_str()
        .filter(|text| text.len() >= 8)
}

/// Whether a refusal repeats a text that stands in the body but once.
fn repeats(problem: &Problem, body: &str, text: &str) -> bool {
    body.matches(text).count() == 1 && problem.detail().contains(text)
}

/// Whether a run of just sixteen digits is a Visa number.
fn holds_visa(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|run| {
        let odd = |at: usize, digit: u32| {
            if at.is_multiple_of(2) {
                digit / 5 + digit * 2 % 10
            } else {
                digit
            }
        };
        let sum: u32 = run
            .bytes()
            .enumerate()
            .map(|(at, byte)| odd(at, u32::from(byte - b'0')))
            .sum();
        let apart = || {
            !beside_another_digit(text, run)
                && !escaped(text, run)
                && !in_a_longer_number(text, run)
        };
        run.len() == 16 && run.starts_with('4') && sum.is_multiple_of(10) && apart()
    })
}

/// Whether the run may be part of an IBAN or of a parcel's number, which are no card numbers:
/// digits come before it.
fn in_a_longer_number(text: &str, run: &str) -> bool {
    let start = run.as_ptr() as usize - text.as_ptr() as usize;
    text[..start]
        .chars()
        .rev()
        .take(40)
        .any(|c| c.is_ascii_digit())
}

/// Whether a digit of another script may adjoin the run.
fn beside_another_digit(text: &str, run: &str) -> bool {
    let start = run.as_ptr() as usize - text.as_ptr() as usize;
    let before = text[..start].chars().next_back();
    let after = text[start + run.len()..].chars().next();
    // Nor may there be one behind a mark or a character that nobody sees.
    before.into_iter().chain(after).any(|c| !c.is_ascii())
}

/// Whether the run's first digits may belong to an escape such as `\u4242`.
fn escaped(text: &str, run: &str) -> bool {
    let start = run.as_ptr() as usize - text.as_ptr() as usize;
    text[..start].rfind(r"\u").is_some_and(|at| start - at < 6)
}

fn tree_holds_visa(tree: &Value) -> bool {
    match tree {
        Value::String(text) => holds_visa(text),
        Value::Array(items) => items.iter().any(tree_holds_visa),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| holds_visa(key) || tree_holds_visa(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The order is what the body says, and may be charged.
fn truthful(order: &Order, text: &str) {
    let raw: HashMap<String, &RawValue> = serde_json::from_str(text).unwrap();
    let said: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        said["conversation_id"].as_str().unwrap().to_lowercase(),
        order.conversation_id.as_str()
    );
    assert_eq!(said["order_id"], order.order_id.as_str());
    let currency = order.money.currency;
    assert!(POLICY.allowed.contains(&currency));
    for (field, code) in [("currency", Some(currency)), ("region", None)] {
        let given = said[field].as_str().filter(|given| !given.is_empty());
        let wanted = given.map(|given| match code {
            Some(_) => given.to_lowercase(),
            None => POLICY.regions[&given.to_uppercase()].code().to_owned(),
        });
        assert!(
            wanted.is_none_or(|wanted| wanted == currency.code()),
            "{text}"
        );
    }
    let (decimals, appended, zeros) = rule(currency.code()).unwrap();
    let minor = order.money.amount_minor.to_string();
    match raw.get("amount").filter(|raw| raw.get() != "null") {
        Some(raw) => {
            let written =
                serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
            let Wanted::Minor(wanted) = wanted(&written, decimals, appended, zeros) else {
                panic!("{text}")
            };
            assert_eq!(minor, wanted, "{text}");
            assert!(said["amount_minor"].is_null());
        }
        None => assert_eq!(
            raw["amount_minor"].get().trim_start_matches('0'),
            minor,
            "{text}"
        ),
    }
    let Order {
        money,
        terms,
        payment_method,
        ..
    } = order;
    assert!(money.amount_minor <= POLICY.ceiling(currency).amount_minor && money.amount_minor > 0);
    assert!(money.amount_minor >= currency.minimum_minor());
    let given = |field: &str| {
        said[field]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    assert_eq!(terms.description, given("description"));
    assert!(
        terms
            .description
            .as_ref()
            .is_none_or(|text| text.chars().count() <= 1000)
    );
    assert_eq!(terms.receipt_email, given("receipt_email"));
    assert!(
        terms
            .receipt_email
            .as_ref()
            .is_none_or(|email| email.contains('@') && email.chars().count() <= 254)
    );
    for text in [
        Some(order.order_id.as_str()),
        terms.description.as_deref(),
        terms.receipt_email.as_deref(),
    ] {
        assert!(
            text.is_none_or(|text| !marked(text) && !text.contains(TOKEN) && !holds_visa(text)),
            "{text:?}"
        );
    }
    assert_eq!(
        payment_method
            .as_ref()
            .map(|token| token.expose().to_owned()),
        given("payment_method")
    );
    assert_eq!(
        said["include_client_secret"].as_bool().unwrap_or(false),
        order.include_client_secret
    );

    let again = json!({
        "conversation_id": order.conversation_id.as_str(), "order_id": order.order_id.as_str(),
        "amount": money.major(), "currency": currency.code(),
    });
    let again = create_intent::request::read(again.to_string().as_bytes(), &POLICY).unwrap();
    assert_eq!(
        (again.money, again.order_id),
        (*money, order.order_id.clone())
    );
}
