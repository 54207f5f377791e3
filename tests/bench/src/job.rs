//! What a function is given to do, and what its answer must be. Call number n is always about the
//! same conversation, order and intent, and about no other call's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stand_ins::stripe::sign;

use crate::outside::{
    GENESYS_SECRET_ID, Intent, Outside, STRIPE_SECRET_ID, State, WEBHOOK_SECRET, letters, unix_ms,
};
use crate::table::{Item, NAME};

/// Where pay links lead.
const PAY_LINK_BASE: &str = "https://pay.example.com";

/// What is paid, in minor units.
const AMOUNT_MINOR: u64 = 5000;

/// Days that a record is kept.
const RECORD_DAYS: u64 = 90;

/// The job of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Answer anything.
    Floor,
    /// Make the intent of a new order.
    CreateIntent,
    /// Take a signed `payment_intent.succeeded`, and tell Genesys.
    StripeWebhook,
    /// Say how a payment stands whose record is fresh.
    StatusQuery,
}

impl Job {
    /// By its name on the command line.
    ///
    /// # Errors
    /// Says which names there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "floor" => Ok(Self::Floor),
            "create-intent" => Ok(Self::CreateIntent),
            "stripe-webhook" => Ok(Self::StripeWebhook),
            "status-query" => Ok(Self::StatusQuery),
            _ => Err(format!(
                "--job must be floor, create-intent, stripe-webhook or status-query; it is {name:?}"
            )),
        }
    }

    /// The variables that `template.yaml` sets.
    pub(crate) fn variables(self) -> BTreeMap<&'static str, String> {
        let common = [
            ("TABLE_NAME", NAME),
            ("STRIPE_SECRET_ID", STRIPE_SECRET_ID),
            ("ALLOWED_CURRENCIES", "usd,eur,gbp"),
            ("REGION_CURRENCIES", "US=usd,EU=eur,GB=gbp"),
            ("MAX_AMOUNTS", "usd=1000000,eur=1000000,gbp=1000000"),
            ("CAPTURE_METHOD", "automatic"),
            ("MOTO", "false"),
            ("BUDGET_MS", "4500"),
            ("PAY_LINK_BASE", PAY_LINK_BASE),
            ("PAY_LINK_MINUTES", "30"),
            ("MERCHANT_NAME", "Example Ltd"),
            ("GENESYS_SECRET_ID", GENESYS_SECRET_ID),
            ("PAID_RECORD_DAYS", "3650"),
            ("ORDER_SCOPE", "merchant"),
        ];
        let own = if self == Self::Floor {
            &common[..0]
        } else {
            &common[..]
        };
        let days = (self != Self::Floor).then(|| ("RECORD_DAYS", RECORD_DAYS.to_string()));
        own.iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .chain(days)
            .collect()
    }

    /// Makes ready what call number n needs, and gives its event.
    ///
    /// # Errors
    /// When the table takes no record, which is a mistake of the benchmark.
    pub(crate) fn event(self, n: usize, outside: &Outside) -> Result<Value, String> {
        let (conversation_id, order_id) = names(n);
        match self {
            Self::Floor => Ok(rest_event("GET", "/", &json!({}), &json!({}), "")),
            Self::CreateIntent => {
                let body = json!({
                    "conversation_id": conversation_id, "order_id": order_id, "amount": "50.00", "currency": "usd",
                });
                Ok(rest_event(
                    "POST",
                    "/payments",
                    &json!({}),
                    &json!({}),
                    &body.to_string(),
                ))
            }
            Self::StripeWebhook => {
                write_down(n, outside)?;
                let now = unix_ms() / 1000;
                let event = json!({
                    "id": format!("evt_{}", letters(n, 24)),
                    "object": "event",
                    "api_version": "2026-10-28.endive",
                    "created": now,
                    "data": { "object": intent(n).json("succeeded", now) },
                    "livemode": false,
                    "pending_webhooks": 1,
                    "request": { "id": null, "idempotency_key": null },
                    "type": "payment_intent.succeeded",
                });
                let body = event.to_string();
                let signature = sign(
                    WEBHOOK_SECRET,
                    i64::try_from(now).unwrap_or_default(),
                    body.as_bytes(),
                );
                Ok(url_event(&body, &signature))
            }
            Self::StatusQuery => {
                write_down(n, outside)?;
                let path = format!("/payments/{conversation_id}");
                let (named, query) = (
                    json!({ "conversation_id": conversation_id }),
                    json!({ "order_id": order_id }),
                );
                Ok(rest_event("GET", &path, &named, &query, ""))
            }
        }
    }

    /// Checks the answer to call number n, and what is on record after it.
    ///
    /// # Errors
    /// Says what was expected and what came.
    pub(crate) fn check(self, n: usize, answer: &Value, state: &State) -> Result<(), String> {
        let (conversation_id, order_id) = names(n);
        let status = if self == Self::CreateIntent { 201 } else { 200 };
        same("statusCode", &answer["statusCode"], &json!(status))?;
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())
            .map_err(|_| format!("body must be JSON; the answer is {answer}"))?;
        let record = || state.table.get(&format!("ORDER#{order_id}"), "PAYMENT");
        let intent_id = intent(n).id();
        match self {
            Self::Floor => same("body", &body, &json!({ "ok": true })),
            Self::CreateIntent => {
                check_reply(n, &body)?;
                let record = record().ok_or("a record must be written; there is none")?;
                same_text(record, "status", "PENDING")?;
                same_text(record, "payment_intent_id", &intent_id)?;
                let url = body["payment_url"].as_str().unwrap_or_default();
                let token = url
                    .strip_prefix(PAY_LINK_BASE)
                    .and_then(|rest| rest.strip_prefix("/pay#"));
                let token = token.filter(|token| token.len() == 22);
                let token = token.ok_or_else(|| {
                    format!(
                        "payment_url must be {PAY_LINK_BASE}/pay# and 22 characters; it is {url:?}"
                    )
                })?;
                let link = format!("LINK#{}", hex::encode(Sha256::digest(token)));
                let uid = |item: &Item| item.get("payment_uid").cloned().unwrap_or_default();
                for (pk, sk, has_uid) in [
                    (format!("INTENT#{intent_id}"), "INTENT", true),
                    (link, "LINK", true),
                    (format!("CONVERSATION#{conversation_id}"), "NEWEST", false),
                ] {
                    let item = state.table.get(&pk, sk);
                    let item = item.ok_or_else(|| format!("{sk} must be written; it is not"))?;
                    same_text(item, "order_id", &order_id)?;
                    if has_uid {
                        same("payment_uid of the item", &uid(item), &uid(record))?;
                    }
                }
                Ok(())
            }
            Self::StripeWebhook => {
                same("outcome", &body["outcome"], &json!("applied"))?;
                let record = record().ok_or("the record must stay; it is gone")?;
                for name in ["status", "notified_status"] {
                    same_text(record, name, "CONFIRMED")?;
                }
                let told = state
                    .attributes
                    .get(&conversation_id)
                    .map(|attributes| &attributes["payment_status"]);
                same(
                    "the attribute payment_status",
                    told.unwrap_or(&Value::Null),
                    &json!("CONFIRMED"),
                )
            }
            Self::StatusQuery => check_reply(n, &body),
        }
    }
}

fn check_reply(n: usize, body: &Value) -> Result<(), String> {
    let (conversation_id, order_id) = names(n);
    for (field, expected) in [
        ("payment_status", json!("PENDING")),
        ("final", json!(false)),
        ("payment_intent_id", json!(intent(n).id())),
        ("stripe_status", json!("requires_payment_method")),
        ("conversation_id", json!(conversation_id)),
        ("is_holder", json!(true)),
        ("order_id", json!(order_id)),
        ("attempt", json!(1)),
        ("amount", json!("50.00")),
        ("amount_minor", json!(AMOUNT_MINOR)),
        ("amount_received_minor", json!(0)),
        ("currency", json!("usd")),
        ("client_secret", json!("")),
        ("reason_code", json!("")),
        ("retryable", json!(false)),
    ] {
        same(field, &body[field], &expected)?;
    }
    let said = body["caller_message"]
        .as_str()
        .is_some_and(|message| !message.is_empty());
    if said {
        Ok(())
    } else {
        Err(format!("caller_message must be a text; the body is {body}"))
    }
}

fn same(what: &str, came: &Value, expected: &Value) -> Result<(), String> {
    if came == expected {
        Ok(())
    } else {
        Err(format!("{what} must be {expected}; it is {came}"))
    }
}

fn same_text(item: &Item, name: &str, expected: &str) -> Result<(), String> {
    let came = item.get(name).unwrap_or(&Value::Null);
    same(
        &format!("{name} of the item"),
        came,
        &json!({ "S": expected }),
    )
}

fn names(n: usize) -> (String, String) {
    (
        format!("7d3c1f5e-8a51-4c0e-9b7a-{}", letters(n, 12)),
        format!("BENCH-{n}"),
    )
}

fn intent(n: usize) -> Intent {
    let (conversation_id, order_id) = names(n);
    Intent {
        number: n,
        amount_minor: AMOUNT_MINOR,
        currency: "usd".to_owned(),
        payment_uid: letters(n, 25),
        conversation_id,
        order_id,
        attempt: "1".to_owned(),
    }
}

/// Writes the settings that every call but a deployment's first finds.
///
/// # Errors
/// When the table takes them not, which is a mistake of the benchmark.
pub(crate) fn settle(outside: &Outside) -> Result<(), String> {
    let settings = json!({
        "pk": { "S": "SETTINGS" },
        "sk": { "S": "SETTINGS" },
        "order_scope": { "S": "merchant" },
        "record_shape": { "N": "1" },
    });
    put(outside, settings)
}

fn put(outside: &Outside, item: Value) -> Result<(), String> {
    let item = item.as_object().cloned().unwrap_or_default();
    let taken = outside.state().table.put(item);
    taken.map_err(|refusal| format!("the table takes no item: {refusal:?}"))
}

/// Writes the record and the pointer that a create has left a moment ago.
fn write_down(n: usize, outside: &Outside) -> Result<(), String> {
    let (conversation_id, order_id) = names(n);
    let (intent_id, payment_uid) = (intent(n).id(), intent(n).payment_uid);
    let now = unix_ms();
    let number = |number: u64| json!({ "N": number.to_string() });
    let text = |text: &str| json!({ "S": text });
    let expires_at = now / 1000 + RECORD_DAYS * 86_400;
    let record = json!({
        "pk": text(&format!("ORDER#{order_id}")),
        "sk": text("PAYMENT"),
        "payment_uid": text(&payment_uid),
        "conversation_id": text(&conversation_id),
        "holder_conversation_id": text(&conversation_id),
        "order_id": text(&order_id),
        "attempt": number(1),
        "version": number(2),
        "amount_minor": number(AMOUNT_MINOR),
        "currency": text("usd"),
        "status": text("PENDING"),
        "capture_method": text("automatic"),
        "payment_intent_id": text(&intent_id),
        "stripe_status": text("requires_payment_method"),
        "amount_received_minor": number(0),
        "declines": { "L": [] },
        "was_authorized": { "BOOL": false },
        "as_of_from": number(now / 1000),
        "as_of_until": number(now / 1000),
        "attempt_started_at": number(now),
        "created_at": number(now),
        "updated_at": number(now),
        "expires_at": number(expires_at),
        "notified_opened": { "BOOL": false },
    });
    let pointer = json!({
        "pk": text(&format!("INTENT#{intent_id}")),
        "sk": text("INTENT"),
        "payment_uid": text(&payment_uid),
        "conversation_id": text(&conversation_id),
        "order_id": text(&order_id),
        "attempt": number(1),
        "expires_at": number(expires_at),
    });
    put(outside, record)?;
    put(outside, pointer)
}

/// An API Gateway REST event, with what a client behind API Gateway sends.
fn rest_event(
    method: &str,
    path: &str,
    path_parameters: &Value,
    query: &Value,
    body: &str,
) -> Value {
    let headers = json!({
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "PureCloud/1.0",
        "X-Amzn-Trace-Id": "Root=1-6922134a-0123456789abcdef01234567",
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    });
    let lists = |values: &Value| {
        let values = values.as_object().into_iter().flatten();
        Value::Object(
            values
                .map(|(name, value)| (name.clone(), json!([value])))
                .collect(),
        )
    };
    json!({
        "resource": path,
        "path": path,
        "httpMethod": method,
        "multiValueHeaders": lists(&headers),
        "headers": headers,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": lists(query),
        "pathParameters": path_parameters,
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdefghij", "stage": "v1", "httpMethod": method,
            "domainName": "abcdefghij.execute-api.us-east-1.amazonaws.com", "domainPrefix": "abcdefghij",
            "path": path, "resourcePath": path, "resourceId": "r", "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "requestTime": "22/Nov/2026:19:37:42 +0000",
            "requestTimeEpoch": unix_ms(),
            "identity": { "sourceIp": "203.0.113.7", "userAgent": "PureCloud/1.0" },
        },
        "body": if body.is_empty() { Value::Null } else { json!(body) },
        "isBase64Encoded": false,
    })
}

/// A Function URL event, with what Stripe sends.
fn url_event(body: &str, signature: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "accept": "*/*; q=0.5, application/xml",
            "cache-control": "no-cache",
            "content-length": body.len().to_string(),
            "content-type": "application/json; charset=utf-8",
            "host": "abcdefghij.lambda-url.us-east-1.on.aws",
            "stripe-signature": signature,
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "x-amzn-trace-id": "Root=1-6922134a-0123456789abcdef01234567",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "anonymous", "apiId": "abcdefghij", "domainPrefix": "abcdefghij",
            "domainName": "abcdefghij.lambda-url.us-east-1.on.aws",
            "http": {
                "method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7",
                "userAgent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            },
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "routeKey": "$default", "stage": "$default",
            "time": "22/Nov/2026:19:37:42 +0000", "timeEpoch": unix_ms(),
        },
        "body": body,
        "isBase64Encoded": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_differs_in_one_field_is_wrong() {
        let outside = Outside::default();
        Job::StatusQuery.event(3, &outside).unwrap();
        let (conversation_id, order_id) = names(3);
        let reply = json!({
            "payment_status": "PENDING", "final": false, "payment_intent_id": intent(3).id(),
            "stripe_status": "requires_payment_method", "conversation_id": conversation_id, "order_id": order_id,
            "is_holder": true, "attempt": 1, "amount": "50.00", "amount_minor": 5000, "amount_received_minor": 0,
            "currency": "usd", "payment_url": "", "client_secret": "", "reason_code": "", "caller_message": "Hello.", "retryable": false,
        });
        let checked = |status: u16, reply: &Value| {
            let answer = json!({ "statusCode": status, "body": reply.to_string() });
            Job::StatusQuery.check(3, &answer, &outside.state())
        };
        assert_eq!(checked(200, &reply), Ok(()));
        assert!(checked(201, &reply).is_err());
        for field in reply
            .as_object()
            .unwrap()
            .keys()
            .filter(|field| *field != "payment_url")
        {
            let mut wrong = reply.clone();
            wrong[field] = json!(null);
            assert!(checked(200, &wrong).is_err(), "{field}");
        }
        let answer = json!({ "statusCode": 201, "body": reply.to_string() });
        let no_record = Job::CreateIntent.check(4, &answer, &outside.state());
        assert!(no_record.is_err(), "another order's reply");
        let no_link = Job::CreateIntent.check(3, &answer, &outside.state());
        assert!(no_link.is_err_and(|error| error.contains("payment_url")));
    }

    #[test]
    fn no_two_calls_are_about_the_same_payment() {
        let all: std::collections::BTreeSet<String> = (0..5000).map(|n| intent(n).id()).collect();
        assert_eq!(all.len(), 5000);
        assert_ne!(names(0), names(1));
    }
}
