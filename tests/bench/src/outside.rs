//! The outside systems, just as far as the functions call them, and as fast as they can be:
//! DynamoDB, Secrets Manager, Stripe and Genesys. Every request is counted; one that should not
//! have come is a complaint, which fails the run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::table::Table;

/// The key that Stripe takes.
pub(crate) const SECRET_KEY: &str = "sk_test_benchmark";

/// What Stripe signs its events with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_benchmark";

/// The names of the two secrets.
pub(crate) const STRIPE_SECRET_ID: &str = "stripe";
pub(crate) const GENESYS_SECRET_ID: &str = "genesys";

const GENESYS_CLIENT: &str = "benchmark-client";
const GENESYS_SECRET: &str = "benchmark-secret";
const GENESYS_TOKEN: &str = "benchmark-token";

/// Largest request that is read, in bytes.
const MAX_REQUEST: usize = 1024 * 1024;

/// An outside system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    DynamoDb,
    SecretsManager,
    Stripe,
    Genesys,
}

/// Requests to each outside system, or connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([u64; 4]);

impl Counts {
    fn add(&mut self, side: Side) {
        if let Some(count) = self.0.get_mut(side as usize) {
            *count += 1;
        }
    }

    /// Those that came since an earlier count.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let mut counts = self;
        for (count, earlier) in counts.0.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(earlier);
        }
        counts
    }

    /// As the report has them.
    pub(crate) fn json(self) -> Value {
        let [dynamodb, secrets_manager, stripe, genesys] = self.0;
        json!({ "dynamodb": dynamodb, "secrets_manager": secrets_manager, "stripe": stripe, "genesys": genesys })
    }
}

/// All outside systems together.
#[derive(Default)]
pub(crate) struct Outside {
    state: Mutex<State>,
}

/// What they hold.
#[derive(Default)]
pub(crate) struct State {
    /// Requests so far.
    pub(crate) counts: Counts,
    /// Connections so far.
    pub(crate) connections: Counts,
    /// Requests that should not have come.
    pub(crate) complaints: Vec<String>,
    /// DynamoDB's table.
    pub(crate) table: Table,
    /// Stripe's intents, by id.
    pub(crate) intents: HashMap<String, Value>,
    /// The attributes that Genesys was given, by conversation.
    pub(crate) attributes: HashMap<String, Value>,
}

impl Outside {
    /// What they hold now.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection to one of them.
    pub(crate) fn connected(&self, side: Side) {
        self.state().connections.add(side);
    }

    /// The server of one of them.
    pub(crate) fn router(self: &Arc<Self>, side: Side) -> Router {
        let outside = Arc::clone(self);
        Router::new().fallback(move |request: Request| {
            let outside = Arc::clone(&outside);
            async move { outside.respond(side, request).await }
        })
    }

    async fn respond(&self, side: Side, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, MAX_REQUEST).await.unwrap_or_default();
        let call = Call {
            method: parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            body: &body,
        };
        let mut state = self.state();
        state.counts.add(side);
        let answered = match side {
            Side::DynamoDb => dynamodb(&mut state, &call),
            Side::SecretsManager => secret(&call).map(|secret| (200, secret)),
            Side::Stripe => stripe(&mut state, &call).map(|intent| (200, intent)),
            Side::Genesys => genesys(&mut state, &call).map(|answer| (200, answer)),
        };
        let (status, body) = answered.unwrap_or_else(|why| {
            state
                .complaints
                .push(format!("{side:?} got {} {}: {why}", call.method, call.path));
            (
                400,
                json!({ "error": { "type": "invalid_request_error", "code": "benchmark" } }),
            )
        });
        drop(state);
        written(side, status, &body)
    }
}

/// A request, read.
struct Call<'a> {
    method: Method,
    path: &'a str,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Call<'_> {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(self.body).map_err(|_| "the body must be JSON; it is not".to_owned())
    }

    fn wants(&self, name: &str, expected: &str) -> Result<(), String> {
        match self.header(name) {
            came if came == expected => Ok(()),
            came => Err(format!("{name} must be {expected:?}; it is {came:?}")),
        }
    }

    fn operation(&self, service: &str) -> Result<&str, String> {
        if !self
            .header("authorization")
            .starts_with("AWS4-HMAC-SHA256 Credential=")
        {
            return Err(
                "the request must be signed by AWS Signature Version 4; it is not".to_owned(),
            );
        }
        let target = self.header("x-amz-target");
        let operation = target
            .strip_prefix(service)
            .and_then(|rest| rest.strip_prefix('.'));
        operation.ok_or_else(|| format!("X-Amz-Target must begin with {service}; it is {target:?}"))
    }
}

fn written(side: Side, status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (content_type, id) = match side {
        Side::DynamoDb => ("application/x-amz-json-1.0", "x-amzn-requestid"),
        Side::SecretsManager => ("application/x-amz-json-1.1", "x-amzn-requestid"),
        Side::Stripe => ("application/json", "request-id"),
        Side::Genesys => ("application/json", "inin-correlation-id"),
    };
    for (name, value) in [("content-type", content_type), (id, "req_benchmark")] {
        response
            .headers_mut()
            .insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}

fn dynamodb(state: &mut State, call: &Call<'_>) -> Result<(u16, Value), String> {
    let operation = call.operation("DynamoDB_20120810")?;
    state.table.answer(operation, &call.json()?)
}

fn secret(call: &Call<'_>) -> Result<Value, String> {
    let operation = call.operation("secretsmanager")?;
    let asked = call.json()?;
    let secret = match (operation, asked["SecretId"].as_str()) {
        ("GetSecretValue", Some(STRIPE_SECRET_ID)) => json!({
            "secret_key": SECRET_KEY,
            "publishable_key": "pk_test_benchmark",
            "webhook_secrets": [WEBHOOK_SECRET],
        }),
        ("GetSecretValue", Some(GENESYS_SECRET_ID)) => {
            json!({ "client_id": GENESYS_CLIENT, "client_secret": GENESYS_SECRET })
        }
        _ => return Err(format!("{operation} of {asked} is not known")),
    };
    Ok(json!({
        "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:benchmark",
        "Name": asked["SecretId"],
        "SecretString": secret.to_string(),
        "VersionId": "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
        "VersionStages": ["AWSCURRENT"],
    }))
}

fn stripe(state: &mut State, call: &Call<'_>) -> Result<Value, String> {
    if call.path == "/healthcheck" {
        // Opens a connection; needs no key.
        return Ok(json!({}));
    }
    call.wants("authorization", &format!("Bearer {SECRET_KEY}"))?;
    if call.method == Method::GET {
        let id = call
            .path
            .strip_prefix("/v1/payment_intents/")
            .unwrap_or_default();
        return state
            .intents
            .get(id)
            .cloned()
            .ok_or_else(|| "there is no such intent".to_owned());
    }
    if (call.method.as_str(), call.path) != ("POST", "/v1/payment_intents") {
        return Err("it must be POST /v1/payment_intents or GET of an intent".to_owned());
    }
    call.wants("content-type", "application/x-www-form-urlencoded")?;
    let form: HashMap<String, String> = form_urlencoded::parse(call.body).into_owned().collect();
    let field = |name: &str| {
        form.get(name)
            .cloned()
            .ok_or_else(|| format!("{name} is missing"))
    };
    let intent = Intent {
        number: state.intents.len(),
        amount_minor: field("amount")?
            .parse()
            .map_err(|_| "amount must be minor units")?,
        currency: field("currency")?,
        payment_uid: field("metadata[payment_uid]")?,
        conversation_id: field("metadata[conversation_id]")?,
        order_id: field("metadata[order_id]")?,
        attempt: field("metadata[attempt]")?,
    };
    let key = format!("{}/{}", intent.payment_uid, intent.attempt);
    call.wants("idempotency-key", &key)?;
    let intent = intent.json("requires_payment_method", unix_ms() / 1000);
    state.intents.insert(
        intent["id"].as_str().unwrap_or_default().to_owned(),
        intent.clone(),
    );
    Ok(intent)
}

/// What makes one intent another than the next.
pub(crate) struct Intent {
    /// Becomes its id.
    pub(crate) number: usize,
    /// What it asks for, in minor units.
    pub(crate) amount_minor: u64,
    /// Lower case.
    pub(crate) currency: String,
    /// Its metadata.
    pub(crate) payment_uid: String,
    /// Its metadata.
    pub(crate) conversation_id: String,
    /// Its metadata.
    pub(crate) order_id: String,
    /// Its metadata.
    pub(crate) attempt: String,
}

impl Intent {
    pub(crate) fn id(&self) -> String {
        format!("pi_{}", letters(self.number, 24))
    }

    /// The intent as Stripe's API and events show it, with about as many fields as a true one has.
    pub(crate) fn json(&self, status: &str, created: u64) -> Value {
        let id = self.id();
        let received = if status == "succeeded" {
            self.amount_minor
        } else {
            0
        };
        json!({
            "id": id,
            "object": "payment_intent",
            "allowed_payment_method_types": ["card"],
            "amount": self.amount_minor,
            "amount_capturable": 0,
            "amount_details": { "tip": {} },
            "amount_received": received,
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": null,
            "canceled_at": null,
            "cancellation_reason": null,
            "capture_method": "automatic",
            "client_secret": format!("{id}_secret_benchmark"),
            "confirmation_method": "automatic",
            "created": created,
            "currency": self.currency,
            "customer": null,
            "description": null,
            "last_payment_error": null,
            "latest_charge": null,
            "livemode": false,
            "metadata": {
                "payment_uid": self.payment_uid,
                "conversation_id": self.conversation_id,
                "order_id": self.order_id,
                "attempt": self.attempt,
            },
            "next_action": null,
            "on_behalf_of": null,
            "payment_method": null,
            "payment_method_configuration_details": null,
            "payment_method_options": {
                "card": {
                    "installments": null,
                    "mandate_options": null,
                    "network": null,
                    "request_three_d_secure": "automatic",
                },
            },
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": null,
            "review": null,
            "setup_future_usage": null,
            "shipping": null,
            "source": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": null,
            "status": status,
            "transfer_data": null,
            "transfer_group": null,
        })
    }
}

fn genesys(state: &mut State, call: &Call<'_>) -> Result<Value, String> {
    let path: Vec<&str> = call.path.split('/').skip(1).collect();
    if path == ["oauth", "token"] {
        let basic = STANDARD.encode(format!("{GENESYS_CLIENT}:{GENESYS_SECRET}"));
        call.wants("authorization", &format!("Basic {basic}"))?;
        return Ok(
            json!({ "access_token": GENESYS_TOKEN, "token_type": "bearer", "expires_in": 86_399 }),
        );
    }
    call.wants("authorization", &format!("Bearer {GENESYS_TOKEN}"))?;
    match (call.method.as_str(), path.as_slice()) {
        ("GET", ["api", "v2", "conversations", id]) => Ok(conversation(id)),
        (
            "PATCH",
            [
                "api",
                "v2",
                "conversations",
                id,
                "participants",
                "customer",
                "attributes",
            ],
        ) => {
            let attributes = call.json()?["attributes"].clone();
            state
                .attributes
                .insert((*id).to_owned(), attributes.clone());
            Ok(json!({ "attributes": attributes }))
        }
        _ => Err("it must be a token, a conversation or a customer's attributes".to_owned()),
    }
}

/// An open inbound call with its customer and its flow.
fn conversation(id: &str) -> Value {
    let participant = |id: &str, purpose: &str| {
        json!({
            "id": id,
            "purpose": purpose,
            "startTime": "2026-11-22T19:37:42.000Z",
            "connectedTime": "2026-11-22T19:37:43.000Z",
            "attributes": {},
            "mediaRoles": ["full"],
            "calls": [{
                "id": format!("{id}-call"),
                "state": "connected",
                "direction": "inbound",
                "recording": false,
                "muted": false,
                "held": false,
                "provider": "Edge",
                "connectedTime": "2026-11-22T19:37:43.000Z",
            }],
        })
    };
    json!({
        "id": id,
        "startTime": "2026-11-22T19:37:42.000Z",
        "participants": [participant("customer", "customer"), participant("flow", "ivr")],
        "divisions": [],
        "recordingState": "none",
        "selfUri": format!("/api/v2/conversations/{id}"),
    })
}

/// A number as so many of the letters a to f: fit for an id, and never taken for a card number.
pub(crate) fn letters(mut number: usize, length: usize) -> String {
    let mut text = vec!['a'; length];
    for place in text.iter_mut().rev() {
        *place = char::from(b"abcdef".get(number % 6).copied().unwrap_or(b'a'));
        number /= 6;
    }
    text.into_iter().collect()
}

/// Milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
