//! A whole event: read as AWS documents it, and answered by the very handlers. What is refused is
//! refused before anything outside is asked.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use create_intent::CreateIntentFunction;
use lambda_http::http::{HeaderValue, Method};
use lambda_http::{Body, Request, RequestExt, Response};
use serde_json::Value;
use shared::entry::is_bare;
use shared::link::LinkToken;
use shared::secrets::CachedSecret;
use status_query::StatusQueryFunction;
use stripe_webhook::StripeWebhookFunction;
use tokio::runtime::Runtime;

use crate::outside::{NOW, Outside, POLICY, SIGN_HERE, Secrets, Standing, WEBHOOK_SECRETS};
use crate::signature::sign;

const SIGNATURE: &str = "stripe-signature";

/// What the request holds is what the event says.
fn truthful(request: &Request, event: &Value) {
    if is_bare(request) {
        assert!(
            event["httpMethod"].is_null() && event["requestContext"].is_null(),
            "{event}"
        );
        return;
    }
    let of_url = &event["requestContext"]["http"]["method"];
    let method = event["httpMethod"].as_str().or(of_url.as_str()).unwrap();
    assert_eq!(request.method().as_str(), method);
    assert_eq!(request.uri(), "/");
    let text = event["body"].as_str().unwrap_or_default();
    match request.body() {
        Body::Empty => assert!(text.is_empty() || event["isBase64Encoded"] == true),
        Body::Text(body) => assert_eq!(body, text),
        Body::Binary(body) => assert_eq!(STANDARD.encode(body), text),
        _ => panic!("another body"),
    }
    for (name, value) in request.headers() {
        let said = ["multiValueHeaders", "headers"]
            .into_iter()
            .filter_map(|field| event[field].as_object())
            .flatten();
        let mut said = said
            .filter(|(key, _)| key.eq_ignore_ascii_case(name.as_str()))
            .map(|(_, said)| said);
        let value = std::str::from_utf8(value.as_bytes()).unwrap();
        assert!(said.any(|said| {
            said == value
                || said
                    .as_array()
                    .is_some_and(|all| all.contains(&value.into()))
        }));
    }
    for (name, value) in event["pathParameters"].as_object().into_iter().flatten() {
        assert_eq!(request.path_parameters().first(name), value.as_str());
    }
    let parameters = request.query_string_parameters();
    let many = event["multiValueQueryStringParameters"]
        .as_object()
        .filter(|many| !many.is_empty());
    let raw = event["rawQueryString"]
        .as_str()
        .filter(|raw| !raw.is_empty());
    match (many, raw) {
        (Some(many), _) => {
            for (name, values) in many {
                assert_eq!(parameters.first(name), values[0].as_str());
            }
        }
        (None, Some(_)) => {}
        (None, None) => {
            for (name, value) in event["queryStringParameters"]
                .as_object()
                .into_iter()
                .flatten()
            {
                assert_eq!(parameters.first(name), value.as_str());
            }
        }
    }
}

/// A copy for another function, signed where it asks to be.
fn copy(request: &Request) -> Request {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    if copy
        .headers()
        .get(SIGNATURE)
        .is_some_and(|value| value == SIGN_HERE)
    {
        let time = NOW.to_string();
        let signed = format!(
            "t={time},v1={}",
            sign(WEBHOOK_SECRETS[0], &time, request.body())
        );
        copy.headers_mut()
            .insert(SIGNATURE, HeaderValue::from_str(&signed).unwrap());
    }
    copy
}

fn read(response: Response<Body>) -> (u16, Value) {
    let json = serde_json::from_slice(response.body()).unwrap();
    (response.status().as_u16(), json)
}

struct Functions {
    runtime: Runtime,
    outside: &'static Outside,
    create_intent:
        CreateIntentFunction<&'static Outside, &'static Outside, &'static Outside, Standing>,
    stripe_webhook: StripeWebhookFunction<
        &'static Outside,
        &'static Outside,
        &'static Outside,
        Secrets,
        Standing,
    >,
    status_query:
        StatusQueryFunction<&'static Outside, &'static Outside, &'static Outside, Standing>,
}

impl Functions {
    fn new() -> Self {
        let outside: &Outside = Box::leak(Box::default());
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
            outside,
            create_intent: CreateIntentFunction {
                store: outside,
                stripe: outside,
                random: outside,
                clock: Standing,
                policy: POLICY.clone(),
                budget: Duration::from_millis(4500),
                pay_link: None,
            },
            stripe_webhook: StripeWebhookFunction {
                store: outside,
                stripe: outside,
                genesys: Some(outside),
                secret: Arc::new(CachedSecret::new(Secrets)),
                clock: Standing,
            },
            status_query: StatusQueryFunction {
                store: outside,
                stripe: outside,
                genesys: Some(outside),
                clock: Standing,
                merchant_name: String::new(),
            },
        }
    }

    /// Answered with a problem of the client's, and nobody was asked; or accepted, and then the
    /// table was.
    fn refuse_or_ask(&self, (status, json): (u16, Value), well_formed: bool) {
        let asked = self.outside.asked();
        match status {
            400 | 413 | 422 => assert!(!well_formed && asked == 0, "{status} {json}"),
            503 => assert!(
                well_formed && asked > 0 && json["code"] == "store_unavailable",
                "{json}"
            ),
            _ => panic!("{status} {json}"),
        }
        assert!(
            json["code"].is_string() && json["status"] == status,
            "{json}"
        );
    }

    /// What the payer's browser gets: the page, and no token opens anything here.
    fn page_or_nothing(&self, response: &Response<Body>, request: &Request, is_session: bool) {
        let asked = self.outside.asked();
        let is_method = request.method()
            == if is_session {
                Method::POST
            } else {
                Method::GET
            };
        let fields: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let is_token = fields["token"]
            .as_str()
            .is_some_and(|token| LinkToken::parse(token).is_ok());
        match response.status().as_u16() {
            200 => assert!(!is_session && is_method && asked == 0),
            400 => assert!(is_session && is_method && asked == 0),
            404 => assert!(is_session && is_method && !is_token && asked == 0),
            405 => assert!(!is_method && asked == 0),
            503 => assert!(is_session && is_method && is_token && asked > 0),
            status => panic!("{status}"),
        }
        assert_eq!(response.headers()["cache-control"], "no-store");
    }

    fn answer(&self, request: &Request) {
        let fields: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (path, query) = (request.path_parameters(), request.query_string_parameters());
        let bare = is_bare(request);
        let (conversation, order) = match bare {
            true => (
                fields["conversation_id"].as_str(),
                fields["order_id"].as_str(),
            ),
            false => (path.first("conversation_id"), query.first("order_id")),
        };
        let known = shared::api::conversation_id(conversation.unwrap_or_default()).is_ok();
        let named = order.is_some_and(|id| shared::api::order_id(id).is_ok());

        let answer = read(
            self.runtime
                .block_on(self.create_intent.handle(copy(request))),
        );
        let well_formed =
            match request.method() == Method::DELETE || (bare && fields["operation"] == "cancel") {
                // A bare request may also be refused for another field, or one given twice.
                true => known && named && (!bare || answer.0 == 503),
                false => create_intent::request::read(request.body(), &POLICY).is_ok(),
            };
        self.refuse_or_ask(answer, well_formed);

        let response = self
            .runtime
            .block_on(self.status_query.handle(copy(request)));
        let at = request.raw_http_path().trim_end_matches('/');
        let is_session = at.ends_with("/pay/session");
        match path.first("conversation_id").is_none() && (is_session || at.ends_with("/pay")) {
            true => self.page_or_nothing(&response, request, is_session),
            false => {
                let answer = read(response);
                let well_formed = known
                    && (named || order.is_none_or(str::is_empty))
                    && (!bare || answer.0 == 503);
                self.refuse_or_ask(answer, well_formed);
            }
        }

        let (status, json) = read(
            self.runtime
                .block_on(self.stripe_webhook.handle(copy(request))),
        );
        let asked = self.outside.asked();
        let signed = request
            .headers()
            .get(SIGNATURE)
            .is_some_and(|value| value == SIGN_HERE);
        let outcome = json["outcome"].as_str().unwrap();
        match (status, outcome) {
            (405, "method_not_allowed") => assert_ne!(request.method(), Method::POST),
            (413, "too_large") => assert!(request.body().len() > stripe_webhook::MAX_BODY_BYTES),
            (400, "bad_signature") => assert!(!signed),
            (400, "malformed_event" | "thin_event") => assert!(signed),
            (200, "other_event" | "other_livemode" | "unknown_value") => assert!(signed),
            (503, "store_unavailable") => assert!(signed && asked > 0),
            _ => panic!("{status} {json}"),
        }
        assert!(status == 503 || asked == 0, "{status} {json}");
    }
}

thread_local! {
    static FUNCTIONS: Functions = Functions::new();
}

/// A whole event of Lambda's, as JSON, to each of the functions.
///
/// # Panics
/// When a property does not hold.
pub fn entry(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(request) = shared::entry::request(text) else {
        return;
    };
    // The tree holds no number out of range and no nesting beyond some depth; the event's reader
    // skips both. serde also takes a list of the fields in their order.
    match serde_json::from_str::<Value>(text) {
        Ok(event) if event.is_object() && !event["requestContext"].is_array() => {
            truthful(&request, &event)
        }
        _ => {}
    }
    FUNCTIONS.with(|functions| functions.answer(&request));
}
