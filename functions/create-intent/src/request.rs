//! Reads `POST /payments`. Every field is taken as raw JSON first, so that an amount is read digit
//! by digit and an error can name the field, what it must be and what came.

use serde::de::Deserializer;
use serde_json::Value;
use serde_json::value::RawValue;
use shared::domain::card_guard::quoted;
use shared::domain::ids::{PaymentKey, PaymentMethodId};
use shared::domain::money::{AmountError, Currency, Money};
use shared::domain::payment::Terms;
use shared::domain::policy::{CurrencyError, LimitError, PaymentPolicy};
use shared::domain::secret_guard::holds_secret;
use shared::lambda::fields::{self, Entries};
use shared::lambda::problem::{Problem, ProblemCode};
use shared::lambda::request::{MAX_REQUEST_BYTES, conversation_id, order_id};
use shared::usecases::create::PaymentRequest;

/// What a request may have.
pub const FIELDS: [&str; 11] = [
    "conversation_id",
    "order_id",
    "amount",
    "amount_minor",
    "currency",
    "region",
    "payment_method",
    "replace",
    "include_client_secret",
    "description",
    "receipt_email",
];

/// Stripe's limit for a description, in characters.
const MAX_DESCRIPTION: usize = 1000;

/// Longest e-mail address (RFC 5321), in characters.
const MAX_EMAIL: usize = 254;

/// Longest part of it before the `@` (RFC 5321), in characters.
const MAX_LOCAL_PART: usize = 64;

/// Longest label of a domain (RFC 1035), in characters.
const MAX_LABEL: usize = 63;

/// Reads and checks a request body.
///
/// # Errors
/// A [`Problem`]; card numbers, and secrets where none belongs, are looked for before anything
/// else, in every key and value, known or not.
pub fn read(body: &[u8], policy: &PaymentPolicy) -> Result<PaymentRequest, Problem> {
    if body.len() > MAX_REQUEST_BYTES {
        return Err(Problem::request_too_large(body.len()));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("", "the body must be UTF-8"))?;
    if fields::hold_card_number(text) {
        return Err(Problem::card_data_refused());
    }
    let tree: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let wrong = match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => "a number too large, a nesting too deep or half a surrogate pair",
            Err(_) => "something else",
        };
        not_an_object(format!("got {wrong} at line {line}, column {column}"))
    })?;
    if holds_misplaced_secret(&tree) {
        return Err(Problem::misplaced_secret());
    }
    let fields = Fields::read(text)?;

    let conversation_id = conversation_id(&fields.text("conversation_id")?.unwrap_or_default())?;
    let order_id = order_id(&fields.text("order_id")?.unwrap_or_default())?;
    let currency = currency(&fields, policy)?;
    let money = money(&fields, currency, policy)?;
    let payment_method = fields.given("payment_method")?;
    let payment_method = payment_method.as_deref().map(token).transpose()?;
    let terms = Terms {
        capture_method: policy.capture_method,
        description: description(&fields)?,
        receipt_email: receipt_email(&fields)?,
        first_key_spent: false,
    };
    Ok(PaymentRequest {
        key: PaymentKey::new(conversation_id, order_id),
        money,
        terms,
        payment_method,
        replace: fields.flag("replace")?,
        include_client_secret: fields.flag("include_client_secret")?,
    })
}

fn malformed(field: &'static str, expected: impl Into<String>) -> Problem {
    Problem::with_field(ProblemCode::MalformedRequest, field, expected)
}

fn not_an_object(came: String) -> Problem {
    malformed("", "the body must be a JSON object").came(came)
}

/// Whether a key or a value is a secret, but for the value that is to be one.
fn holds_misplaced_secret(tree: &Value) -> bool {
    let Value::Object(fields) = tree else {
        return any_text(tree, &holds_secret);
    };
    fields.iter().any(|(name, value)| {
        holds_secret(name) || (name != "payment_method" && any_text(value, &holds_secret))
    })
}

/// Whether any text of the tree, keys included, is such a one.
fn any_text(value: &Value, is: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, is)),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| is(key) || any_text(value, is)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn description(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    let Some(description) = fields.given("description")? else {
        return Ok(None);
    };
    let length = description.chars().count();
    if length > MAX_DESCRIPTION {
        let expected = format!("description must have at most {MAX_DESCRIPTION} characters");
        return Err(malformed("description", expected).came(format!("it has {length}")));
    }
    if description
        .chars()
        .any(|c| c.is_control() && !c.is_whitespace())
    {
        let expected = "description must have no control characters other than line breaks";
        return Err(malformed("description", expected));
    }
    Ok(Some(description))
}

fn receipt_email(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    let email = fields.given("receipt_email")?;
    if email.as_deref().is_none_or(is_email) {
        return Ok(email);
    }
    Err(Problem::with_field(
        ProblemCode::InvalidReceiptEmail,
        "receipt_email",
        "receipt_email must be an e-mail address such as jane@example.com: one @, and a domain \
         with a dot",
    ))
}

/// Whether a receipt can be sent there, as far as the text alone tells.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.chars().count())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = domain.rsplit_once('.').map(|(_, top)| top);
    text.chars().all(|c| !c.is_control() && !c.is_whitespace())
        && text.chars().count() <= MAX_EMAIL
        && local.chars().count() <= MAX_LOCAL_PART
        && local.split('.').all(|part| !part.is_empty())
        && domain.split('.').all(label)
        && top.is_some_and(|top| !top.chars().all(|c| c.is_ascii_digit()))
}

/// The token's own text is in no error.
fn token(text: &str) -> Result<PaymentMethodId, Problem> {
    PaymentMethodId::parse(text).map_err(|must_be| {
        let expected = format!("payment_method must be {must_be}");
        let code = ProblemCode::InvalidPaymentMethod;
        Problem::with_field(code, "payment_method", expected)
            .came(format!("got {} characters", text.chars().count()))
    })
}

fn currency(fields: &Fields<'_>, policy: &PaymentPolicy) -> Result<Currency, Problem> {
    let (code, region) = (fields.given("currency")?, fields.given("region")?);
    let refused = match policy.currency(code.as_deref(), region.as_deref()) {
        Ok(currency) => return Ok(currency),
        Err(refused) => refused,
    };
    let allowed: Vec<_> = policy.allowed.iter().map(|c| c.code()).collect();
    let allowed = allowed.join(", ");
    let (code, region) = (
        quoted(&code.unwrap_or_default()),
        region.unwrap_or_default(),
    );
    Err(match refused {
        CurrencyError::Missing => Problem::with_field(
            ProblemCode::InvalidCurrency,
            "currency",
            format!("currency or region must be given; currency must be one of {allowed}"),
        ),
        CurrencyError::UnknownCode => Problem::with_field(
            ProblemCode::InvalidCurrency,
            "currency",
            format!("currency must be an ISO 4217 code, one of {allowed}"),
        )
        .got(code),
        CurrencyError::UnknownRegion => {
            let known: Vec<_> = policy.regions.keys().map(String::as_str).collect();
            let expected = format!("region must be one of {}", known.join(", "));
            Problem::with_field(ProblemCode::InvalidCurrency, "region", expected)
                .got(quoted(&region))
        }
        CurrencyError::Mismatch {
            currency,
            of_region,
        } => Problem::with_field(
            ProblemCode::CurrencyMismatch,
            "currency",
            "currency must be that of region; send one of the two, or two that agree",
        )
        .got(format!("{currency}, and region has {of_region}")),
        CurrencyError::NotAllowed { currency } => Problem::with_field(
            ProblemCode::CurrencyNotAllowed,
            "currency",
            format!("currency must be one of {allowed}"),
        )
        .got(currency),
    })
}

fn money(
    fields: &Fields<'_>,
    currency: Currency,
    policy: &PaymentPolicy,
) -> Result<Money, Problem> {
    let invalid =
        |field, expected| Problem::with_field(ProblemCode::InvalidAmount, field, expected);
    let (field, given, read) = match (fields.raw("amount"), fields.raw("amount_minor")) {
        (Some(raw), None) => {
            let text = decimal(raw)?;
            let read = Money::from_major(&text, currency);
            ("amount", text, read)
        }
        (None, Some(raw)) if raw.bytes().all(|b| b.is_ascii_digit()) => {
            let minor: Result<u64, _> = raw.parse().map_err(|_| AmountError::TooLarge);
            let read = minor.and_then(|minor| Money::from_minor(minor, currency));
            ("amount_minor", raw.to_owned(), read)
        }
        (None, Some(raw)) => {
            let expected = "amount_minor must be an integer in Stripe's smallest unit".to_owned();
            return Err(invalid("amount_minor", expected).got(quoted(raw)));
        }
        (both, _) => {
            let expected = "exactly one of amount and amount_minor must be given".to_owned();
            let came = if both.is_some() { "both" } else { "neither" };
            return Err(invalid("amount", expected).got(came));
        }
    };
    let given = quoted(&given);
    let money = read.map_err(|why| {
        let example = Money {
            amount_minor: 5000,
            currency,
        };
        let shape = if field == "amount" {
            format!("a plain decimal such as \"{}\"", example.major())
        } else {
            "an integer".to_owned()
        };
        let expected = format!("{field} must be {shape} in {currency}, but {why}");
        invalid(field, expected).got(&given)
    })?;
    policy.check(money).map_err(|limit| {
        let (code, expected) = match limit {
            LimitError::Above(ceiling) => (
                ProblemCode::AmountAboveLimit,
                format!("{field} must be at most {ceiling}"),
            ),
            LimitError::Below(minimum) => (
                ProblemCode::AmountBelowMinimum,
                format!("{field} must be at least Stripe's minimum of {minimum}"),
            ),
        };
        Problem::with_field(code, field, expected).got(&given)
    })?;
    Ok(money)
}

/// The text of a JSON string, or the digits of a JSON number as they stand in the request.
fn decimal(raw: &str) -> Result<String, Problem> {
    match kind(raw) {
        "a string" => string("amount", raw),
        "a number" => Ok(raw.to_owned()),
        other => Err(malformed("amount", "amount must be a string or a number").got(other)),
    }
}

fn string(name: &'static str, raw: &str) -> Result<String, Problem> {
    serde_json::from_str(raw)
        .map_err(|_| malformed(name, format!("{name} must be a string")).got(kind(raw)))
}

/// The type of a JSON value, by its first character.
fn kind(raw: &str) -> &'static str {
    match raw.bytes().next() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The request's fields, each known and at most once.
struct Fields<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, Problem> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let entries = deserializer
            .deserialize_map(Entries)
            .map_err(|_| not_an_object(format!("got {}", kind(text.trim_start()))))?;
        let mut fields = Self(Vec::with_capacity(entries.len()));
        for (given, value) in entries {
            let Some(name) = FIELDS.into_iter().find(|name| *name == given) else {
                let expected = format!("every field must be one of {}", FIELDS.join(", "));
                return Err(malformed("", expected).got(quoted(&given)));
            };
            if fields.0.iter().any(|(seen, _)| *seen == name) {
                let expected = format!("{name} must be given once");
                return Err(malformed(name, expected).came("it is given twice"));
            }
            fields.0.push((name, value));
        }
        Ok(fields)
    }

    /// A field's JSON as it stands; `null` counts as absent.
    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.get())
            .filter(|raw| *raw != "null")
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, Problem> {
        self.raw(name).map(|raw| string(name, raw)).transpose()
    }

    /// An optional text; empty counts as absent, as Genesys sends an unset input.
    fn given(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.raw(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(raw) => {
                let expected = format!("{name} must be true or false");
                Err(malformed(name, expected).got(kind(raw)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::lambda::config::CreateIntentConfig;

    const IDS: &str =
        r#""conversation_id":"7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a","order_id":"A-1""#;

    fn policy() -> PaymentPolicy {
        let vars = [
            ("TABLE_NAME", "t"),
            ("STRIPE_SECRET_ID", "s"),
            (
                "ALLOWED_CURRENCIES",
                "usd,eur,gbp,jpy,krw,isk,ugx,huf,kwd,bhd,mga",
            ),
            ("REGION_CURRENCIES", "US=usd,JP=jpy,CH=chf"),
            ("MAX_AMOUNTS", "usd=1000000"),
        ];
        let lookup = |name: &str| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        CreateIntentConfig::read(lookup).unwrap().policy
    }

    fn with(rest: &str) -> Result<PaymentRequest, Problem> {
        read(format!("{{{IDS},{rest}}}").as_bytes(), &policy())
    }

    fn minor(rest: &str) -> u64 {
        with(rest).map(|order| order.money.amount_minor).unwrap()
    }

    fn deep(times: usize) -> String {
        format!("\"a\":{}{}", "[".repeat(times), "]".repeat(times))
    }

    fn code(rest: &str) -> (ProblemCode, &'static str, String) {
        let problem = with(rest).unwrap_err();
        (problem.code, problem.field, problem.detail())
    }

    #[test]
    fn every_hundredth_from_one_to_a_hundred_thousand_is_exact_as_string_and_as_number() {
        // A currency for which Stripe names no minimum.
        let policy = PaymentPolicy {
            allowed: vec![Currency::parse("pen").unwrap()],
            ..policy()
        };
        for cents in 1..=100_000_u64 {
            let major = format!("{}.{:02}", cents / 100, cents % 100);
            for amount in [format!("\"{major}\""), major] {
                let body = format!("{{{IDS},\"currency\":\"pen\",\"amount\":{amount}}}");
                assert_eq!(
                    read(body.as_bytes(), &policy).unwrap().money.amount_minor,
                    cents,
                    "{amount}"
                );
            }
        }
    }

    #[test]
    fn currencies_follow_stripe_s_rules() {
        for (amount, currency, wanted) in [
            ("500", "JPY", 500),
            ("5000", "krw", 5000),
            ("5", "isk", 500),
            ("5", "ugx", 500),
            ("200.50", "huf", 20050),
            ("1.23", "kwd", 1230),
            ("1.230", "bhd", 1230),
            ("500", "mga", 500),
        ] {
            assert_eq!(
                minor(&format!(r#""amount":"{amount}","currency":"{currency}""#)),
                wanted,
                "{currency}"
            );
            assert_eq!(
                minor(&format!(r#""amount":{amount},"currency":"{currency}""#)),
                wanted,
                "{currency}"
            );
            assert_eq!(
                minor(&format!(
                    r#""amount_minor":{wanted},"currency":"{currency}""#
                )),
                wanted,
                "{currency}"
            );
        }
        for (rest, field) in [
            (r#""amount":"500.5","currency":"jpy""#, "amount"),
            (r#""amount":"1.234","currency":"kwd""#, "amount"),
            (r#""amount_minor":1234,"currency":"kwd""#, "amount_minor"),
            (r#""amount_minor":550,"currency":"isk""#, "amount_minor"),
        ] {
            let (code, named, _) = code(rest);
            assert_eq!((code, named), (ProblemCode::InvalidAmount, field), "{rest}");
        }
    }

    #[test]
    fn amounts_that_are_not_exact_plain_decimals_are_refused_with_the_reason() {
        for (amount, reason) in [
            (r#""1.005""#, "2 decimals and it has 3"),
            ("1.005", "2 decimals and it has 3"),
            (r#""1e3""#, "other than digits"),
            ("1e3", "other than digits"),
            (r#""NaN""#, "other than digits"),
            ("-1", "other than digits"),
            (r#""-1""#, "other than digits"),
            (r#"" 5""#, "other than digits"),
            (r#""""#, "empty"),
            (r#""5,00""#, "other than digits"),
            ("0", "greater than zero"),
        ] {
            let (code, field, detail) = code(&format!(r#""amount":{amount},"currency":"usd""#));
            assert_eq!(
                (code, field),
                (ProblemCode::InvalidAmount, "amount"),
                "{amount}"
            );
            assert!(detail.contains(reason), "{amount}: {detail}");
        }
        for raw in ["-5", "5.0", "1e3", "\"500\"", "true"] {
            let (code, field, _) = code(&format!(r#""amount_minor":{raw},"currency":"usd""#));
            assert_eq!(
                (code, field),
                (ProblemCode::InvalidAmount, "amount_minor"),
                "{raw}"
            );
        }
        let (code_, _, _) = code(r#""amount":NaN,"currency":"usd""#);
        assert_eq!(code_, ProblemCode::MalformedRequest, "NaN is not JSON");
        for rest in [
            r#""currency":"usd""#,
            r#""amount":"5","amount_minor":500,"currency":"usd""#,
        ] {
            assert_eq!(code(rest).0, ProblemCode::InvalidAmount, "{rest}");
        }
    }

    #[test]
    fn limits_are_the_deployment_s_and_stripe_s() {
        assert_eq!(minor(r#""amount":"10000.00","currency":"usd""#), 1_000_000);
        assert_eq!(
            code(r#""amount":"10000.01","currency":"usd""#).0,
            ProblemCode::AmountAboveLimit
        );
        assert_eq!(
            code(r#""amount":"0.49","currency":"usd""#).0,
            ProblemCode::AmountBelowMinimum
        );
        assert_eq!(
            code(r#""amount":"1000000.00","currency":"eur""#).0,
            ProblemCode::AmountAboveLimit
        );
    }

    #[test]
    fn the_currency_comes_by_code_or_region_and_both_must_agree() {
        assert_eq!(
            with(r#""amount":"500","region":"jp""#)
                .unwrap()
                .money
                .currency
                .code(),
            "jpy"
        );
        assert!(with(r#""amount":"5.00","region":"US","currency":"Usd""#).is_ok());
        assert!(
            with(r#""amount":"5.00","region":"","currency":"usd""#).is_ok(),
            "empty is unset"
        );
        for (rest, wanted) in [
            (
                r#""region":"US","currency":"eur""#,
                ProblemCode::CurrencyMismatch,
            ),
            (r#""currency":"xyz""#, ProblemCode::InvalidCurrency),
            (r#""currency":"chf""#, ProblemCode::CurrencyNotAllowed),
            (r#""region":"CH""#, ProblemCode::CurrencyNotAllowed),
            (r#""region":"ZZ""#, ProblemCode::InvalidCurrency),
            (r#""currency":null"#, ProblemCode::InvalidCurrency),
        ] {
            assert_eq!(
                code(&format!(r#""amount":"5.00",{rest}"#)).0,
                wanted,
                "{rest}"
            );
        }
    }

    #[test]
    fn shape_errors_name_the_field_what_it_must_be_and_what_came() {
        let ok = r#""amount":"5.00","currency":"usd""#;
        for (rest, field, detail) in [
            (r#""order":"x""#, "", "got \"order\""),
            (r#""order_id":"B""#, "order_id", "given twice"),
            (
                r#""description":5"#,
                "description",
                "description must be a string; got a number",
            ),
            (
                r#""include_client_secret":"true""#,
                "include_client_secret",
                "include_client_secret must be true or false; got a string",
            ),
        ] {
            let (code, named, said) = code(&format!("{ok},{rest}"));
            assert_eq!(
                (code, named),
                (ProblemCode::MalformedRequest, field),
                "{rest}"
            );
            assert!(said.contains(detail), "{said}");
        }
        for body in ["", "[]", "5", "{", "{\"a\":}", "\u{0}", "null"] {
            let problem = read(body.as_bytes(), &policy()).unwrap_err();
            assert_eq!(problem.code, ProblemCode::MalformedRequest, "{body:?}");
        }
        assert_eq!(
            read(&[0xFF, 0xFE], &policy()).unwrap_err().code,
            ProblemCode::MalformedRequest
        );
        assert_eq!(
            read(format!("{{{}}}", deep(5000)).as_bytes(), &policy())
                .unwrap_err()
                .code,
            ProblemCode::MalformedRequest
        );
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_REQUEST_BYTES));
        assert_eq!(
            read(large.as_bytes(), &policy()).unwrap_err().code,
            ProblemCode::RequestTooLarge
        );
    }

    #[test]
    fn json_beyond_what_is_read_is_not_called_other_than_json() {
        let digits = "9".repeat(400);
        for rest in [
            r#""amount":1e999"#,
            &format!("\"amount\":{digits}"),
            &deep(5000),
            r#""order_id":"\ud800""#,
        ] {
            let (code, _, detail) = code(rest);
            assert_eq!(code, ProblemCode::MalformedRequest, "{rest}");
            let known =
                "the body must be a JSON object; got a number too large, a nesting too deep";
            assert!(detail.starts_with(known), "{detail}");
        }
        assert!(
            code("\"amount\":")
                .2
                .contains("got something else at line 1")
        );
    }

    #[test]
    fn a_description_has_lines_but_no_other_control_characters() {
        let ok = r#""amount":"5.00","currency":"usd""#;
        assert!(with(&format!(r#"{ok},"description":"one\r\n\ttwo""#)).is_ok());
        for escape in ["\\u0000", "\\u001b", "\\u007f", "\\u009f"] {
            let (code, field, _) = code(&format!(r#"{ok},"description":"{escape}""#));
            assert_eq!(
                (code, field),
                (ProblemCode::MalformedRequest, "description"),
                "{escape}"
            );
        }
    }

    #[test]
    fn a_receipt_needs_an_address_with_a_dotted_domain() {
        let read = |email: &str| {
            with(&format!(
                r#""amount":"5.00","currency":"usd","receipt_email":"{email}""#
            ))
        };
        let long =
            |local: usize, label: usize| format!("{}@{}.com", "x".repeat(local), "y".repeat(label));
        for right in [
            "jane@gmail.com",
            "jane.o'hara+receipts@mail.example.co.uk",
            "j@b.de",
            "jane@m\u{fc}ller.example",
            "jane@1and1.com",
            "jane@xn--mller-kva.example",
            &long(64, 63),
        ] {
            assert_eq!(
                read(right).unwrap().terms.receipt_email.as_deref(),
                Some(right),
                "{right}"
            );
        }
        assert_eq!(
            read("").unwrap().terms.receipt_email,
            None,
            "empty is unset"
        );
        for wrong in [
            "jane@gmail",
            "jane",
            "@gmail.com",
            "jane@",
            "jane@gmail.com@gmail.com",
            "jane@@gmail.com",
            "jane@.gmail.com",
            "jane@gmail.com.",
            "jane@gmail..com",
            "jane@-gmail.com",
            "jane@gmail-.com",
            "jane@gmail,com",
            "jane@gm_ail.com",
            "jane@[127.0.0.1]",
            "jane@127.0.0.1",
            ".jane@gmail.com",
            "jane.@gmail.com",
            "ja..ne@gmail.com",
            "ja ne@gmail.com",
            "jane@gmail.com ",
            "ja\\u0000ne@gmail.com",
            &long(65, 5),
            &long(5, 64),
            &format!("jane@{}com", "example.".repeat(40)),
        ] {
            let problem = read(wrong).unwrap_err();
            assert_eq!(
                (problem.code, problem.field),
                (ProblemCode::InvalidReceiptEmail, "receipt_email"),
                "{wrong}"
            );
            assert!(
                !problem.detail().contains("jane@g"),
                "an address is repeated: {}",
                problem.detail()
            );
        }
    }

    #[test]
    fn identifiers_are_checked_and_the_conversation_is_lowercased() {
        let body = |conversation: &str, order: &str| {
            let rest = r#""amount":"5.00","currency":"usd""#;
            let body =
                format!(r#"{{"conversation_id":"{conversation}","order_id":"{order}",{rest}}}"#);
            read(body.as_bytes(), &policy())
        };
        let upper = "7D3C1F5E-8A51-4C0E-9B7A-2F6D0C1E4B5A";
        assert_eq!(
            body(upper, "A").unwrap().key.conversation_id().as_str(),
            upper.to_lowercase()
        );
        assert_eq!(
            body("call-1", "A").unwrap_err().code,
            ProblemCode::InvalidConversationId
        );
        assert_eq!(
            body(upper, "a b").unwrap_err().code,
            ProblemCode::InvalidOrderId
        );
        let missing = read(br#"{"amount":"5.00","currency":"usd"}"#, &policy()).unwrap_err();
        assert_eq!(missing.code, ProblemCode::InvalidConversationId);
    }

    #[test]
    fn a_token_is_read_and_a_wrong_one_is_not_repeated() {
        let order = with(r#""amount":"5.00","currency":"usd","payment_method":"pm_1ABC""#).unwrap();
        assert_eq!(order.payment_method.unwrap().expose(), "pm_1ABC");
        let (code, field, detail) =
            code(r#""amount":"5.00","currency":"usd","payment_method":"tok_canary""#);
        assert_eq!(
            (code, field),
            (ProblemCode::InvalidPaymentMethod, "payment_method")
        );
        assert!(!detail.contains("canary"));
    }

    #[test]
    fn a_card_number_anywhere_is_refused_and_repeated_nowhere() {
        for body in [
            format!(
                r#"{{{IDS},"amount":"5.00","currency":"usd","description":"4242 4242 4242 4242"}}"#
            ),
            format!(r#"{{{IDS},"amount":4242424242424242,"currency":"usd"}}"#),
            format!(r#"{{{IDS},"amount_minor":4242424242424242,"currency":"usd"}}"#),
            format!(r#"{{{IDS},"card":"4242424242424242"}}"#),
            format!(r#"{{{IDS},"4242424242424242":1}}"#),
            format!(r#"{{{IDS},"a":{{"b":["4242-4242-4242-4242"]}}}}"#),
            format!(r#"{{{IDS},"description":"\u0034242424242424242"}}"#),
            r#"{"conversation_id":"4242424242424242"}"#.to_owned(),
            "not json 4242424242424242".to_owned(),
        ] {
            let problem = read(body.as_bytes(), &policy()).unwrap_err();
            assert_eq!(problem.code, ProblemCode::CardDataRefused, "{body}");
            assert!(
                !problem.detail().chars().any(|c| c.is_ascii_digit()),
                "{}",
                problem.detail()
            );
        }
        let decoy = with(
            r#""amount":"5.00","currency":"usd",
            "description":"call +442071838750, order 4500012345""#,
        );
        assert!(decoy.is_ok());
    }
}
