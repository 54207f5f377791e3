//! Nothing secret gets out. Canaries go in wherever they can, every path is taken, and then all
//! that was logged, counted, answered and stored is searched for them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use lambda_http::{Body, Response};
use serde_json::{Value, json};
use shared::adapters::aws::Clients;
use shared::adapters::dynamodb::Table;
use shared::adapters::secrets::SecretsManager;
use shared::adapters::secrets::{GenesysSecret, Secret, StripeSecret};
use shared::adapters::stripe::wire::parse_intent;
use shared::adapters::tls::client_config;
use shared::domain::card_guard::in_identifier;
use shared::domain::ids::PaymentMethodId;
use shared::domain::link::{LinkToken, NewLink};
use shared::domain::secret_guard::holds_secret;
use shared::lambda::config;
use shared::lambda::problem::ProblemCode;
use shared::lambda::reply::{Exposed, Reply as FlowReply};
use shared::ports::Deadline;
use shared::ports::{FetchIntent, Lookup};
use shared::usecases::create::PaymentRequest;
use shared::usecases::ctx::Ctx;
use shared::usecases::pay_link::{OpenSession, Session};
use stand_ins::{Fault, Match, Outcome, Reply, Stage};
use tests::GENESYS_CLIENT;
use tests::matches::{confirm, conversation, create, fetch, patch, token, workflow};
use tests::order_with as with;
use tests::root;
use tests::{
    CONVERSATION, START, Setup, World, http, order, page_event, request, rest_event, session_event,
    url_event,
};
use tokio::net::TcpListener;

/// Shaped like the real ones, letters of both cases included.
const KEY: &str = "sk_test_51QmCanaryKeyaB3dE6gH9jK2mN5pQ8";
const WEBHOOK: &str = concat!("whsec_", "CanaryHookcD4fG7hJ1kL5nP8qR2sT6v");
const GENESYS: &str = "CanaryOauthSecreteF5hJ8kL2nP6qR9sT3v";
const ACCESS_TOKEN: &str = "CanaryAccessTokengH6jK9lM3nP7qR1sT5vW8x";
const TOKEN: &str = "pm_1QmCanaryTokenhJ7kL1mN4pQ8rS2tV6wX9y";
const DECLINED_TOKEN: &str = "pm_1QmCanaryDeclinekL8mN2pQ5rS9tV3wX7yZ1";
const UNKNOWN_TOKEN: &str = "pm_1QmCanaryUnknownmN9pQ3rS6tV1wX4yZ8aB2";
const CLIENT_SECRET: &str = "pi_3QmEcho_secret_CanaryIntentpQ1rS4tV8wX2yZ6a";
const API_KEY: &str = "CanaryGatewayKeyqR2sT5vW9xY3zA7bC1dE";
const LINK: &str = "4CanaryLinkT0kenZyXw9v";
const CARD: &str = "4539578763621486";

const NAMED: [(&str, &str); 9] = [
    ("the Stripe key", KEY),
    ("the webhook secret", WEBHOOK),
    ("the Genesys client secret", GENESYS),
    ("the Genesys access token", ACCESS_TOKEN),
    ("the payment method", TOKEN),
    ("the declined payment method", DECLINED_TOKEN),
    ("the unknown payment method", UNKNOWN_TOKEN),
    ("the intent's client secret", CLIENT_SECRET),
    ("the API key", API_KEY),
];

/// As few characters of a secret in a row as count as a leak: a message may cut it short.
const WINDOW: usize = 16;

/// As few digits of a card number in a row, whatever parts them.
const CARD_WINDOW: usize = 12;

/// Looks for secrets as they are, in hexadecimal, in base64 and as lists of bytes, whole or cut
/// short.
#[derive(Default)]
struct Search {
    secrets: HashMap<[u8; WINDOW], String>,
    /// Whether a window begins with these two bytes, by their number, so that few places need more
    /// than a look.
    begins: Vec<bool>,
    cards: HashMap<[u8; CARD_WINDOW], String>,
}

impl Search {
    fn secret(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = (0..3).map(|skipped| {
            let whole = (bytes.len() - skipped) / 3 * 3;
            STANDARD_NO_PAD.encode(&bytes[skipped..skipped + whole])
        });
        for text in [secret.to_owned(), hex].into_iter().chain(base64) {
            self.begins.resize(1 << 16, false);
            for window in text.as_bytes().array_windows() {
                self.begins[begin(window)] = true;
                self.secrets
                    .entry(*window)
                    .or_insert_with(|| name.to_owned());
            }
        }
    }

    fn card(&mut self, number: &str) {
        let windows = number
            .as_bytes()
            .array_windows()
            .map(|window| (*window, "the card number".to_owned()));
        self.cards.extend(windows);
    }

    /// The line with a secret in it, and which one.
    fn find<'a>(&self, text: &'a str) -> Option<(&str, &'a str)> {
        text.lines().find_map(|line| {
            let shown = [line.as_bytes(), &byte_lists(line)]
                .into_iter()
                .find_map(|bytes| {
                    let mut windows = bytes
                        .array_windows()
                        .filter(|window| self.begins.get(begin(window)) == Some(&true));
                    windows
                        .find_map(|window| self.secrets.get(window))
                        .or_else(|| {
                            let digits = digits(&String::from_utf8_lossy(bytes));
                            digits
                                .array_windows()
                                .find_map(|window| self.cards.get(window))
                        })
                });
            shown.map(|name| (name.as_str(), line))
        })
    }
}

/// The number of a window's first two bytes.
fn begin(window: &[u8; WINDOW]) -> usize {
    usize::from(u16::from_be_bytes([window[0], window[1]]))
}

/// What `Debug` shows of bytes, `[115, 107]`, read back.
fn byte_lists(line: &str) -> Vec<u8> {
    let lists = line.split(|c: char| !(c.is_ascii_digit() || c == ',' || c == ' '));
    lists
        .flat_map(|list| {
            list.split(", ")
                .filter_map(|byte| byte.parse().ok())
                .chain([b'\n'])
        })
        .collect()
}

/// The digits of a line, JSON's escapes and other scripts read.
fn digits(line: &str) -> Vec<u8> {
    let plain = (0..10).fold(line.to_owned(), |text, digit| {
        let escape = format!("\\u003{digit}");
        if text.contains(&escape) {
            text.replace(&escape, &digit.to_string())
        } else {
            text
        }
    });
    let digit = |c: char| match c {
        '0'..='9' => u8::try_from(c).ok(),
        '\u{FF10}'..='\u{FF19}' => u8::try_from(u32::from(c) - 0xFF10)
            .ok()
            .map(|digit| b'0' + digit),
        '\u{0660}'..='\u{0669}' => u8::try_from(u32::from(c) - 0x0660)
            .ok()
            .map(|digit| b'0' + digit),
        _ => None,
    };
    plain.chars().filter_map(digit).collect()
}

/// One world with the canaries in it, what was answered and stored there, and what secrets came to
/// be on the way.
struct Run {
    world: World,
    reached: BTreeSet<String>,
    said: Vec<(String, String)>,
    born: Vec<(&'static str, String)>,
    table_is_up: bool,
    /// The last link that was given.
    link: String,
}

impl Run {
    async fn new(setup: Setup) -> Self {
        let world = World::with(setup).await;
        world.stripe.set_secret_keys(&[KEY]);
        world.stripe.set_webhook_secrets(&[WEBHOOK]);
        world.put_stripe_secret(KEY, &[WEBHOOK]);
        world.genesys.set_credentials(GENESYS_CLIENT, GENESYS);
        world.put_genesys_secret(GENESYS);
        world.stripe.add_payment_method(TOKEN, Outcome::Succeed);
        world
            .stripe
            .add_payment_method(DECLINED_TOKEN, Outcome::decline("insufficient_funds"));
        Self {
            world,
            reached: BTreeSet::new(),
            said: Vec::new(),
            born: Vec::new(),
            table_is_up: true,
            link: String::new(),
        }
    }

    /// Keeps an answer and what the table holds after it; gives the answer's body.
    async fn keep(&mut self, what: &str, response: Response<Body>) -> Value {
        let (head, body) = response.into_parts();
        let Body::Text(text) = body else {
            panic!("{what}: not a text body")
        };
        let mut body: Value = serde_json::from_str(&text).unwrap();
        // A link is given to the flow that asked for the payment, and only there.
        let link = body
            .get_mut("payment_url")
            .map(Value::take)
            .unwrap_or_default();
        if let Some((_, token)) = link.as_str().and_then(|link| link.rsplit_once('#')) {
            self.born.push(("a pay link", token.to_owned()));
            self.link = link.as_str().unwrap().to_owned();
        }
        let text = body.to_string();
        let told = ["code", "payment_status", "outcome", "state"]
            .into_iter()
            .filter_map(|field| body[field].as_str());
        self.reached.extend(told.map(str::to_owned));
        self.said
            .push((what.to_owned(), format!("{head:?}\n{text}")));
        self.look_at_the_table(what).await;
        body
    }

    async fn look_at_the_table(&mut self, what: &str) {
        if self.table_is_up {
            let items = self.world.dynamo.items().await;
            self.said
                .push((format!("the table after {what}"), format!("{items:?}")));
        }
    }

    async fn post(&mut self, body: &str) -> Value {
        let response = self
            .world
            .create_intent
            .handle(request(&api_event("POST", None, &json!({}), body)))
            .await;
        self.keep(body, response).await
    }

    /// Posts and expects this code or payment status.
    async fn posted(&mut self, body: &Value, wanted: &str) {
        let told = self.post(&body.to_string()).await;
        assert!(
            [&told["code"], &told["payment_status"]]
                .into_iter()
                .any(|told| told == wanted),
            "{wanted}: {body} {told:#}"
        );
        assert!(
            told["client_secret"]
                .as_str()
                .unwrap_or_default()
                .is_empty(),
            "nobody asked for it"
        );
    }

    async fn query(&mut self, conversation_id: &str, parameters: &Value) -> Value {
        let event = api_event("GET", Some(conversation_id), parameters, "");
        let response = self.world.status_query.handle(request(&event)).await;
        self.keep(
            &format!("a query of {conversation_id} {parameters}"),
            response,
        )
        .await
    }

    /// Cancels an order and expects this code or payment status.
    async fn canceled(&mut self, conversation_id: &str, parameters: &Value, wanted: &str) {
        let event = api_event("DELETE", Some(conversation_id), parameters, &all_canaries());
        let response = self.world.create_intent.handle(request(&event)).await;
        let told = self
            .keep(
                &format!("a cancellation of {conversation_id} {parameters}"),
                response,
            )
            .await;
        assert!(
            [&told["code"], &told["payment_status"]]
                .into_iter()
                .any(|told| told == wanted),
            "{wanted}: {told:#}"
        );
    }

    /// Opens a link, as the payer's browser does when Stripe has sent it back, and expects this
    /// state of its session.
    async fn opened(&mut self, link: &str, wanted: &str) {
        let returned =
            json!({ "payment_intent_client_secret": CLIENT_SECRET, "redirect_status": CARD });
        for (is_page, mut event) in [(true, page_event()), (false, session_event(link))] {
            event["queryStringParameters"] = returned.clone();
            add_headers(&mut event);
            let (head, body) = self
                .world
                .status_query
                .handle(request(&event))
                .await
                .into_parts();
            let Body::Text(text) = body else {
                panic!("a text body")
            };
            if is_page {
                self.said
                    .push((format!("the page, {wanted}"), format!("{head:?}\n{text}")));
                continue;
            }
            let mut told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["state"], wanted, "{told:#}");
            // The client secret is given to the payer of an open payment, and only there.
            let secret = told.get_mut("client_secret").map(Value::take);
            assert_eq!(secret.is_some(), wanted == "open");
            self.keep(
                &format!("a session, {wanted}"),
                Response::from_parts(head, Body::Text(told.to_string())),
            )
            .await;
        }
    }

    /// Queries an order and expects this code or payment status.
    async fn queried(&mut self, order_id: &str, wanted: &str) {
        let told = self
            .query(CONVERSATION, &json!({ "order_id": order_id }))
            .await;
        assert!(
            [&told["code"], &told["payment_status"]]
                .into_iter()
                .any(|told| told == wanted),
            "{told:#}"
        );
    }

    /// Delivers an event with canaries in all that is not read of it, and expects this outcome.
    async fn delivered(&mut self, event: &Value, wanted: &str) {
        let webhook = self.world.stripe.webhook(&loaded(event));
        self.delivered_raw(&webhook.body, Some(&webhook.signature), wanted)
            .await;
    }

    async fn delivered_raw(&mut self, body: &[u8], signature: Option<&str>, wanted: &str) {
        let signatures = signature
            .unwrap_or_default()
            .split(',')
            .filter_map(|part| part.split_once("v1="));
        self.born
            .extend(signatures.map(|(_, hex)| ("a signature", hex.to_owned())));
        let mut event = url_event(body, signature, true);
        add_headers(&mut event);
        let response = self.world.stripe_webhook.handle(request(&event)).await;
        let told = self.keep(wanted, response).await;
        assert_eq!(
            told["outcome"],
            wanted,
            "{told} {}",
            String::from_utf8_lossy(body)
        );
    }

    /// Makes a payment and gives its intent's id.
    async fn begin(&mut self, order_id: &str) -> String {
        self.posted(&order(order_id), "PENDING").await;
        self.last_event()["data"]["object"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn last_event(&self) -> Value {
        self.world.last_event()
    }

    /// Searches everything and gives the codes, statuses and outcomes that were reached.
    fn search(mut self) -> BTreeSet<String> {
        for intent in self.world.stripe.intents() {
            let (_, secret) = intent["client_secret"]
                .as_str()
                .unwrap()
                .split_once("_secret_")
                .unwrap();
            self.born.push(("a client secret", secret.to_owned()));
        }
        for asked in self
            .world
            .stripe
            .requests()
            .iter()
            .chain(&self.world.genesys.requests())
        {
            let bearer = asked
                .header("authorization")
                .and_then(|header| header.split_once(' '));
            self.born
                .extend(bearer.map(|(_, token)| ("a bearer", token.to_owned())));
        }
        let mut search = Search::default();
        search.card(CARD);
        for (name, secret) in NAMED.into_iter().chain(
            self.born
                .iter()
                .map(|(name, secret)| (*name, secret.as_str())),
        ) {
            search.secret(name, secret);
        }
        for (what, text) in &self.said {
            assert_eq!(search.find(text), None, "after {what}");
        }
        assert_eq!(search.find(&self.world.logged()), None, "in the log");
        self.reached
    }
}

/// An event of API Gateway's, with the API key where that puts it.
fn api_event(method: &str, conversation_id: Option<&str>, parameters: &Value, body: &str) -> Value {
    let path = conversation_id.map_or("/payments".to_owned(), |id| format!("/payments/{id}"));
    let path_parameters = conversation_id.map_or(json!({}), |id| json!({ "conversation_id": id }));
    let mut event = rest_event(method, &path, &path_parameters, parameters, body);
    event["requestContext"]["identity"]["apiKey"] = API_KEY.into();
    add_headers(&mut event);
    event
}

/// Headers nobody reads.
fn add_headers(event: &mut Value) {
    let bearer = format!("Bearer {ACCESS_TOKEN}");
    let cookie = format!("card={CARD}; key={KEY}");
    for (name, value) in [
        ("x-api-key", API_KEY),
        ("authorization", &bearer),
        ("cookie", &cookie),
    ] {
        event["headers"][name] = value.into();
        if let Some(all) = event.get_mut("multiValueHeaders") {
            all[name] = json!([value]);
        }
    }
}

/// Every canary in one text.
fn all_canaries() -> String {
    NAMED.map(|(_, secret)| secret).join(" ") + " " + CARD
}

/// The event with canaries in what is not read of it.
fn loaded(event: &Value) -> Value {
    let mut event = event.clone();
    event["request"] = json!({ "id": KEY, "idempotency_key": TOKEN });
    event["context"] = all_canaries().into();
    if let Some(object) = event["data"]["object"].as_object_mut() {
        object.insert("client_secret".to_owned(), CLIENT_SECRET.into());
        object.insert(
            "payment_method".to_owned(),
            json!({ "id": TOKEN, "card": { "number": CARD } }),
        );
        object.insert("description".to_owned(), all_canaries().into());
        object.insert(
            "receipt_email".to_owned(),
            format!("{CARD}@b.example").into(),
        );
        if let Some(error) = object
            .get_mut("last_payment_error")
            .and_then(Value::as_object_mut)
        {
            error.insert("message".to_owned(), all_canaries().into());
            error.insert("payment_method".to_owned(), json!({ "id": TOKEN }));
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("note".to_owned(), all_canaries().into());
        }
    }
    event
}

/// Stripe's error that repeats every secret in every field that is a text.
fn stripe_says(status: u16) -> Reply {
    let said = all_canaries();
    let error = json!({
        "type": "invalid_request_error", "code": KEY, "decline_code": TOKEN, "param": said, "message": said,
        "doc_url": said, "request_log_url": said, "charge": said,
        "payment_method": { "id": TOKEN, "card": { "number": CARD } },
        "payment_intent": { "id": said, "client_secret": CLIENT_SECRET },
    });
    Reply::status(status)
        .body(&json!({ "error": error }).to_string())
        .header("X-Echo", KEY)
        .header("Location", &format!("https://example.com/?key={KEY}"))
        .should_retry(false)
}

/// The same with this code in place of a canary.
fn stripe_says_code(status: u16, kind: &str, code: &str, param: &str) -> Reply {
    let error = json!({ "type": kind, "code": code, "param": param, "message": all_canaries() });
    Reply::status(status)
        .body(&json!({ "error": error }).to_string())
        .should_retry(false)
}

/// Answers that are no PaymentIntent, though they hold secrets.
fn broken_answers() -> Vec<Reply> {
    let said = all_canaries();
    [
        format!(r#"{{"id":"pi_3QmEcho","client_secret":"{CLIENT_SECRET}","amount":"{KEY}"#),
        format!(r#"{{"id":"{CLIENT_SECRET}","amount":5000,"currency":"usd","status":"succeeded"}}"#),
        format!(r#"{{"id":"pi_3QmEcho","amount":5000,"currency":"{TOKEN}","status":"{KEY}"}}"#),
        format!(r#"{{"id":"pi_3QmEcho","amount":5000,"currency":"usd","status":"{KEY}"}}"#),
        format!(r#"{{"id":"pi_3QmEcho","amount":5000,"currency":"usd","status":"canceled","metadata":["{said}"]}}"#),
        format!("<html>{said}</html>"),
        said,
    ]
    .map(|body| Reply::status(200).body(&body))
    .into()
}

/// Texts of the Stripe secret that are no use, though they hold secrets.
fn unusable_stripe_secrets() -> Vec<String> {
    vec![
        KEY.to_owned(),
        format!("{KEY},{WEBHOOK}"),
        format!("\"{KEY}\""),
        format!("[\"{KEY}\", \"{WEBHOOK}\"]"),
        format!(r#"{{"secret_key":"{KEY}","webhook_secrets":["{WEBHOOK}""#),
        format!(r#"{{"key":"{KEY}","webhook_secrets":["{WEBHOOK}"]}}"#),
        format!(r#"{{"secret_key":"","webhook_secrets":["{WEBHOOK}"]}}"#),
        format!(r#"{{"secret_key":["{KEY}"],"webhook_secrets":["{WEBHOOK}"]}}"#),
        format!(r#"{{"secret_key":"{KEY}","webhook_secrets":"{WEBHOOK}"}}"#),
        format!(r#"{{"secret_key":"{KEY}","webhook_secrets":[{{"{WEBHOOK}":1}}]}}"#),
        format!(r#"{{"secret_key":"{KEY}","secret_key":"{KEY}x"}}"#),
    ]
}

/// The same for Genesys.
fn unusable_genesys_secrets() -> Vec<String> {
    vec![
        GENESYS.to_owned(),
        format!("\"{GENESYS}\""),
        format!(r#"{{"client_id":"{GENESYS_CLIENT}","client_secret":"{GENESYS}"#),
        format!(r#"{{"client_id":"","client_secret":"{GENESYS}"}}"#),
        format!(r#"{{"client_id":["{GENESYS}"],"client_secret":"{GENESYS}"}}"#),
        format!(r#"{{"client_id":"{GENESYS_CLIENT}","clientSecret":"{GENESYS}"}}"#),
        format!(r#"{{"client_id":"{GENESYS_CLIENT}","client_secret":{{"{GENESYS}":1}}}}"#),
    ]
}

/// A table whose engine is not the world's.
fn table_at(world: &World, listener: &TcpListener) -> Table {
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config = world
        .dynamo
        .client()
        .config()
        .to_builder()
        .endpoint_url(endpoint)
        .build();
    tests::table_of(aws_sdk_dynamodb::Client::from_conf(config))
}

/// A table that refuses everything and repeats what it was sent, secrets on top.
async fn refusing_table(world: &World) -> Table {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let table = table_at(world, &listener);
    let refuse = |body: String| async move {
        let kind = "com.amazon.coral.validate#ValidationException";
        (
            StatusCode::BAD_REQUEST,
            json!({ "__type": kind, "message": all_canaries() + &body }).to_string(),
        )
    };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(refuse))
            .await
            .unwrap()
    });
    table
}

/// Attributes that this version cannot read in an [`odd_table`].
const ODD: [&str; 4] = ["status", "currency", "version", "order_id"];

/// A table that has an item under every key, whole but for one attribute: that one holds secrets.
async fn odd_table(world: &World, odd: &'static str) -> Table {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let table = table_at(world, &listener);
    let answer = move |headers: HeaderMap| async move {
        let mut item = json!({
            "conversation_id": { "S": CONVERSATION }, "order_id": { "S": "A-1" }, "attempt": { "N": "1" },
            "version": { "N": "1" }, "amount_minor": { "N": "5000" }, "currency": { "S": "usd" },
            "status": { "S": "CREATING" }, "attempt_started_at": { "N": "1" }, "updated_at": { "N": "1" },
            "created_at": { "N": "1" }, "expires_at": { "N": "1" },
        });
        item[odd] = json!({ "S": all_canaries() });
        if headers["x-amz-target"]
            .to_str()
            .unwrap()
            .ends_with(".PutItem")
        {
            let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
            let refusal = json!({ "__type": kind, "message": all_canaries(), "Item": item });
            return (StatusCode::BAD_REQUEST, refusal.to_string());
        }
        (
            StatusCode::OK,
            json!({ "Item": item, "Items": [item] }).to_string(),
        )
    };
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(answer))
            .await
            .unwrap()
    });
    table
}

/// Tables that answer, to no avail.
async fn useless_tables(world: &World) -> Vec<Table> {
    let mut tables = vec![refusing_table(world).await];
    for odd in ODD {
        tables.push(odd_table(world, odd).await);
    }
    tables
}

/// How a card number may come, as JSON.
fn cards_in_json() -> Vec<String> {
    let groups: Vec<&str> = (0..4).map(|group| &CARD[group * 4..][..4]).collect();
    let escaped = |text: &str| {
        text.bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect::<String>()
    };
    let full_width: String = CARD
        .chars()
        .map(|digit| char::from_u32(0xFF10 + digit.to_digit(10).unwrap()).unwrap())
        .collect();
    let texts = [
        CARD.to_owned(),
        groups.join(" "),
        groups.join("-"),
        groups.join("."),
        groups.join("\u{A0}"),
        groups.join("\\u0020"),
        groups.join("\\t"),
        full_width,
        escaped(CARD),
        format!("{}{}", escaped(&CARD[..1]), &CARD[1..]),
        format!("{}{}", &CARD[..15], escaped(&CARD[15..])),
        groups
            .iter()
            .map(|group| escaped(group))
            .collect::<Vec<_>>()
            .join("\\u2013"),
        format!("card {CARD} 12/27 123"),
        format!("A{CARD}B"),
        format!(
            "({}) ~{}~ <{}> {}",
            groups[0], groups[1], groups[2], groups[3]
        ),
        CARD.chars()
            .flat_map(|digit| [digit, '\u{FE0F}', '\u{20E3}'])
            .collect(),
        CARD.bytes().map(|byte| format!("%{byte:x}")).collect(),
        CARD.bytes().map(|byte| format!("&#{byte};")).collect(),
        groups.join("%09"),
    ];
    let quoted = texts.map(|text| format!("\"{text}\""));
    let bare = [
        CARD.to_owned(),
        format!("{}.{}", &CARD[..1], &CARD[1..]),
        format!("{}.{}e15", &CARD[..1], &CARD[1..]),
        format!("-{CARD}"),
        format!("[{}]", groups.join(", ")),
        format!("[\"{}\"]", groups.join(" ")),
        format!(r#"{{"a":[{{"b":"{}"}}]}}"#, escaped(CARD)),
    ];
    quoted.into_iter().chain(bare).collect()
}

/// Fields of the request, and two that it does not have.
const FIELDS: [&str; 12] = [
    "conversation_id",
    "order_id",
    "currency",
    "region",
    "payment_method",
    "amount",
    "amount_minor",
    "include_client_secret",
    "description",
    "receipt_email",
    "card",
    "",
];

async fn card_numbers(run: &mut Run) {
    assert!(in_identifier(CARD));
    let mut bodies = vec![
        format!("not JSON {CARD}"),
        format!("{{\"card\": \"{CARD}\""),
        format!("card={CARD}&cvc=123"),
        format!("\"{CARD}\""),
    ];
    for card in cards_in_json() {
        bodies.extend(FIELDS.map(|field| format!("{{\"{field}\": {card}}}")));
        if card.starts_with('"') {
            bodies.push(format!("{{{card}: 1}}"));
            bodies.push(format!("{{\"a\": {{{card}: 1}}}}"));
        }
    }
    // Digits glued to a card number are looked for where no identifier of digits only belongs:
    // behind the first five.
    for glued in [
        format!("{CARD}1227"),
        format!("1{CARD}"),
        format!("00000{CARD}"),
        format!("20261122{CARD}"),
    ] {
        bodies.extend(
            FIELDS[5..]
                .iter()
                .map(|field| format!("{{\"{field}\": \"{glued}\"}}")),
        );
        bodies.push(format!("{{\"{glued}\": 1}}"));
    }
    // Of two fields of one name both are looked into.
    let digits: String = CARD.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    bodies.push(format!(r#"{{"description":"{digits}","description":"x"}}"#));
    for body in bodies {
        let told = run.post(&body).await;
        assert_eq!(told["code"], "card_data_refused", "{body}");
        let mut event = api_event("POST", None, &json!({}), &STANDARD.encode(&body));
        event["isBase64Encoded"] = true.into();
        let response = run.world.create_intent.handle(request(&event)).await;
        assert_eq!(
            run.keep(&body, response).await["code"],
            "card_data_refused",
            "in base64: {body}"
        );
    }
    assert!(run.world.stripe.requests().is_empty());
    assert!(run.world.dynamo.items().await.is_empty());
}

/// Requests that are refused before anything is written, with a secret where it does not belong.
async fn bad_requests(run: &mut Run) {
    let padding = "x".repeat(shared::lambda::request::MAX_REQUEST_BYTES);
    for (_, secret) in NAMED {
        for more in [
            json!({ "vault": secret }),
            json!({ "vault": { "token": [secret] } }),
            json!({ "description": [secret] }),
            json!({ "description": secret.repeat(40) }),
            json!({ "payment_method": { "id": secret } }),
            json!({ "include_client_secret": secret }),
            json!({ "amount": { "value": secret } }),
            json!({ "order_id": [secret] }),
            json!({ "conversation_id": { "id": secret } }),
        ] {
            run.posted(&with("A-1", &more), "malformed_request").await;
        }
        let known = shared::domain::secret_guard::holds_secret(secret);
        let code = if known {
            "malformed_request"
        } else {
            "invalid_receipt_email"
        };
        run.posted(&with("A-1", &json!({ "receipt_email": secret })), code)
            .await;
        let shortened = with("A-1", &json!({ "payment_method": secret })).to_string();
        let told = run.post(&shortened[..shortened.len() - 1]).await;
        assert_eq!(told["code"], "malformed_request");
        run.posted(
            &with("A-1", &json!({ "payment_method": format!("{secret}!") })),
            "invalid_payment_method",
        )
        .await;
        run.posted(
            &json!({ "payment_method": secret, "pad": padding }),
            "request_too_large",
        )
        .await;
    }
    for (more, code) in [
        (json!({ "amount": "1.005" }), "invalid_amount"),
        (json!({ "currency": "xyz" }), "invalid_currency"),
        (json!({ "currency": "chf" }), "currency_not_allowed"),
        (json!({ "region": "JP" }), "currency_mismatch"),
        (json!({ "amount": "10000.01" }), "amount_above_limit"),
        (json!({ "amount": "0.49" }), "amount_below_minimum"),
        (
            json!({ "conversation_id": "call-1" }),
            "invalid_conversation_id",
        ),
        (json!({ "order_id": "a b" }), "invalid_order_id"),
    ] {
        let mut body = with("A-1", &more);
        body["payment_method"] = TOKEN.into();
        run.posted(&body, code).await;
    }
    assert!(run.world.stripe.requests().is_empty());
    assert!(run.world.dynamo.items().await.is_empty());
}

/// What a payment may become, by a token or without one.
async fn payments(run: &mut Run) {
    run.begin("P-1").await;
    run.posted(&order("P-1"), "PENDING").await;
    run.posted(
        &with(
            "P-1",
            &json!({ "amount": "50.01", "payment_method": TOKEN }),
        ),
        "order_changed",
    )
    .await;
    run.posted(
        &with("P-1", &json!({ "payment_method": UNKNOWN_TOKEN })),
        "invalid_payment_method",
    )
    .await;
    run.posted(
        &with("P-1", &json!({ "payment_method": DECLINED_TOKEN })),
        "DECLINED",
    )
    .await;
    run.posted(
        &with("P-1", &json!({ "payment_method": TOKEN })),
        "CONFIRMED",
    )
    .await;
    run.world.stripe.add_payment_method(TOKEN, Outcome::Process);
    run.posted(
        &with("P-2", &json!({ "payment_method": TOKEN })),
        "PROCESSING",
    )
    .await;
    run.world
        .stripe
        .add_payment_method(TOKEN, Outcome::RequireAuthentication);
    run.posted(
        &with("P-3", &json!({ "payment_method": TOKEN })),
        "DECLINED",
    )
    .await;
    run.world.stripe.add_payment_method(TOKEN, Outcome::Succeed);
    // The one secret that is given, to the one who asked for it, and only there.
    let asking = with("P-4", &json!({ "include_client_secret": true })).to_string();
    for _ in 0..2 {
        let event = api_event("POST", None, &json!({}), &asking);
        let (head, body) = run
            .world
            .create_intent
            .handle(request(&event))
            .await
            .into_parts();
        let Body::Text(text) = body else {
            panic!("a text body")
        };
        let mut told: Value = serde_json::from_str(&text).unwrap();
        let secret = told["client_secret"].take();
        assert_eq!(
            secret,
            run.world.stripe.intents().last().unwrap()["client_secret"]
        );
        run.keep(
            &asking,
            Response::from_parts(head, Body::Text(told.to_string())),
        )
        .await;
    }
}

/// Everything Stripe may say to the request that makes the intent.
async fn stripe_on_creation(run: &mut Run) {
    let other = json!({
        "id": "pi_3QmOther", "amount": 4999, "currency": "usd", "status": "requires_payment_method",
        "created": START, "client_secret": CLIENT_SECRET, "metadata": { "note": all_canaries() },
    });
    let mut said: Vec<(Fault, &str)> = vec![
        (stripe_says(400).into(), "stripe_rejected"),
        (stripe_says(401).into(), "stripe_auth"),
        (stripe_says(402).into(), "stripe_rejected"),
        (stripe_says(403).into(), "stripe_auth"),
        (stripe_says(404).into(), "stripe_rejected"),
        (stripe_says(424).into(), "stripe_unavailable"),
        (stripe_says(429).into(), "rate_limited"),
        (stripe_says(500).into(), "stripe_unavailable"),
        (stripe_says(302).into(), "stripe_unavailable"),
        (
            stripe_says(503).should_retry(true).into(),
            "stripe_unavailable",
        ),
        (
            stripe_says_code(400, "invalid_request_error", "amount_too_small", "amount").into(),
            "amount_below_minimum",
        ),
        (
            stripe_says_code(400, "invalid_request_error", "amount_too_large", "amount").into(),
            "amount_above_limit",
        ),
        (
            stripe_says_code(400, "idempotency_error", KEY, "").into(),
            "in_progress",
        ),
        (
            Reply::status(400).body(&all_canaries()).into(),
            "stripe_rejected",
        ),
        (
            Reply::status(200).body(&other.to_string()).into(),
            "stripe_rejected",
        ),
        (Fault::Drop { executed: false }, "stripe_unavailable"),
        (Fault::Truncate { executed: true }, "stripe_unavailable"),
    ];
    said.extend(
        broken_answers()
            .into_iter()
            .map(|reply| (reply.into(), "stripe_unavailable")),
    );
    for (at, (fault, code)) in said.into_iter().enumerate() {
        run.world.stripe.outage(create(), fault);
        run.posted(
            &with(&format!("S-{at}"), &json!({ "payment_method": TOKEN })),
            code,
        )
        .await;
        run.world.stripe.clear_faults();
    }
    // An order whose creator saw no answer, too old to be sent again.
    run.world.stripe.outage(create(), stripe_says(500));
    run.posted(&order("S-old"), "stripe_unavailable").await;
    run.world.stripe.clear_faults();
    run.world.advance(20 * 3600);
    run.posted(
        &with("S-old", &json!({ "payment_method": TOKEN })),
        "attempt_expired",
    )
    .await;
    for fault in [
        stripe_says(400),
        stripe_says(500),
        Reply::status(200).body(&all_canaries()),
    ] {
        run.world.stripe.outage(fetch(), fault);
        let told = run
            .post(&with("S-old", &json!({ "payment_method": TOKEN })).to_string())
            .await;
        assert!(
            ["attempt_expired", "stripe_unavailable"].contains(&told["code"].as_str().unwrap()),
            "{told:#}"
        );
        run.world.stripe.clear_faults();
    }
}

/// Everything Stripe may say to the request that charges the token.
async fn stripe_on_confirmation(run: &mut Run) {
    let rejected = "invalid_request_error";
    let mut said: Vec<(Fault, &str)> = vec![
        (stripe_says(400).into(), "invalid_payment_method"),
        (stripe_says(401).into(), "stripe_auth"),
        (stripe_says(402).into(), "invalid_payment_method"),
        (stripe_says(403).into(), "stripe_auth"),
        (stripe_says(409).into(), "in_progress"),
        (stripe_says(429).into(), "rate_limited"),
        (stripe_says(500).into(), "stripe_unavailable"),
        (
            stripe_says_code(400, rejected, "resource_missing", "payment_method").into(),
            "invalid_payment_method",
        ),
        (
            stripe_says_code(400, rejected, "account_invalid", "").into(),
            "stripe_rejected",
        ),
        (
            stripe_says_code(400, rejected, KEY, "payment_method").into(),
            "invalid_payment_method",
        ),
        (
            stripe_says_code(400, rejected, "payment_intent_unexpected_state", "").into(),
            "PENDING",
        ),
        (
            stripe_says_code(400, "idempotency_error", "", "").into(),
            "PENDING",
        ),
        (Fault::Drop { executed: false }, "stripe_unavailable"),
    ];
    said.extend(
        broken_answers()
            .into_iter()
            .map(|reply| (reply.into(), "stripe_unavailable")),
    );
    for (at, (fault, code)) in said.into_iter().enumerate() {
        run.world.stripe.outage(confirm(), fault);
        run.posted(
            &with(&format!("C-{at}"), &json!({ "payment_method": TOKEN })),
            code,
        )
        .await;
        run.world.stripe.clear_faults();
    }
}

#[tokio::test]
async fn a_card_number_is_refused_in_every_field_and_form_and_is_nowhere() {
    let mut run = Run::new(Setup::default()).await;
    card_numbers(&mut run).await;
    for form in [
        CARD,
        "4539 5787 6362 1486",
        "4539-5787-6362-1486",
        "４５３９５７８７６３６２１４８６",
    ] {
        let told = run.query(form, &json!({})).await;
        assert_eq!(told["code"], "card_data_refused", "{form}");
        let told = run.query(CONVERSATION, &json!({ "order_id": form })).await;
        assert_eq!(told["code"], "card_data_refused", "{form}");
        let told = run
            .query(CONVERSATION, &json!({ "order_id": "A-1", "card": form }))
            .await;
        assert_eq!(
            told["payment_status"], "NOT_FOUND",
            "a parameter nobody reads"
        );
    }
    assert_eq!(
        run.search(),
        ["NOT_FOUND", "card_data_refused"].map(str::to_owned).into()
    );
}

async fn creation_with_stripe() -> BTreeSet<String> {
    let mut run = Run::new(Setup::default()).await;
    bad_requests(&mut run).await;
    run.posted(&json!({ "card": CARD }), "card_data_refused")
        .await;
    payments(&mut run).await;
    stripe_on_creation(&mut run).await;
    stripe_on_confirmation(&mut run).await;
    run.search()
}

async fn creation_with_manual_capture() -> BTreeSet<String> {
    let mut run = Run::new(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    run.posted(
        &with("A-1", &json!({ "payment_method": TOKEN })),
        "AUTHORIZED",
    )
    .await;
    run.search()
}

async fn creation_without_secret() -> BTreeSet<String> {
    let mut run = Run::new(Setup::default()).await;
    for text in unusable_stripe_secrets() {
        run.world.secrets_manager.put("stripe", &text);
        run.posted(
            &with("A-1", &json!({ "payment_method": TOKEN })),
            "stripe_auth",
        )
        .await;
    }
    run.world.secrets_manager.clear("stripe");
    run.posted(&order("A-1"), "stripe_auth").await;
    run.world.secrets_manager.set_down(true);
    run.posted(&order("A-1"), "store_unavailable").await;
    run.world.secrets_manager.set_down(false);
    run.world.put_stripe_secret(KEY, &[WEBHOOK]);
    run.posted(&order("A-1"), "PENDING").await;
    run.search()
}

async fn creation_without_table() -> BTreeSet<String> {
    let mut run = Run::new(Setup::default()).await;
    for table in useless_tables(&run.world).await {
        run.world.create_intent.store = table;
        run.posted(
            &with("A-1", &json!({ "payment_method": TOKEN })),
            "store_unavailable",
        )
        .await;
    }
    run.search()
}

async fn creation_without_time() -> BTreeSet<String> {
    let mut run = Run::new(Setup {
        budget: Duration::from_millis(1000),
        ..Setup::default()
    })
    .await;
    run.world
        .stripe
        .fault(create(), Fault::Silent { executed: true });
    run.posted(
        &with("A-1", &json!({ "payment_method": TOKEN })),
        "stripe_timeout",
    )
    .await;
    // Long enough for the second to ask twice.
    run.world.create_intent.budget = Duration::from_millis(2000);
    let gate = run.world.stripe.gate(create(), Stage::Execution);
    let twin = with("A-2", &json!({ "payment_method": TOKEN })).to_string();
    let post = || {
        run.world
            .create_intent
            .handle(request(&api_event("POST", None, &json!({}), &twin)))
    };
    let (first, second) = tokio::join!(post(), async {
        gate.arrived(1).await;
        post().await
    });
    assert_eq!(
        run.keep("the first of two", first).await["code"],
        "stripe_timeout"
    );
    assert_eq!(
        run.keep("the second of two", second).await["code"],
        "in_progress"
    );
    gate.open();
    run.search()
}

#[tokio::test]
async fn create_intent_lets_no_secret_out_on_any_path() {
    // Alone: the searches of the others would hold the thread while its budget runs.
    let late = creation_without_time().await;
    let (mut reached, manual, unkeyed, unstored) = tokio::join!(
        creation_with_stripe(),
        creation_with_manual_capture(),
        creation_without_secret(),
        creation_without_table()
    );
    reached.extend([manual, unkeyed, unstored, late].into_iter().flatten());
    let statuses = [
        "PENDING",
        "DECLINED",
        "PROCESSING",
        "AUTHORIZED",
        "CONFIRMED",
    ];
    let all = ProblemCode::ALL
        .iter()
        .map(|code| code.as_str())
        .chain(statuses)
        .map(str::to_owned);
    assert_eq!(reached, all.collect(), "a path is missing");
    was_counted(ProblemCode::ALL.iter().map(|code| code.as_str()));
}

/// A counted outcome is in the log that was searched.
fn was_counted<'a>(outcomes: impl IntoIterator<Item = &'a str>) {
    let logged = tests::logged();
    for outcome in outcomes {
        assert!(
            logged.contains(&format!("\"Outcome\":\"{outcome}\"")),
            "{outcome} was not counted"
        );
    }
}

/// The outcomes in the table of docs/api.md.
fn documented_outcomes() -> BTreeSet<String> {
    let contract = fs::read_to_string(root().join("docs/api.md")).unwrap();
    let (_, section) = contract.split_once("## Contract: the webhook\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        cells.next()?.parse::<u16>().ok().and(cells.next())
    });
    rows.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

/// A table that takes a request and never answers, and when it has taken one.
async fn silent_table(world: &World) -> (Table, impl Future<Output = ()> + use<>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config = world
        .dynamo
        .client()
        .config()
        .to_builder()
        .endpoint_url(endpoint);
    let patient = config.timeout_config(TimeoutConfig::disabled()).build();
    let table = tests::table_of(aws_sdk_dynamodb::Client::from_conf(patient));
    let (taken, took) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (line, _) = listener.accept().await.unwrap();
        line.readable().await.unwrap();
        taken.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    (table, async { took.await.unwrap() })
}

/// Lets the clock run ahead to the next time-out from a moment on.
async fn hurried<T>(from: impl Future<Output = ()>, work: impl Future<Output = T>) -> T {
    let (done, ()) = tokio::join!(work, async {
        from.await;
        tokio::time::pause();
    });
    tokio::time::resume();
    done
}

/// What Stripe may say to a request for an intent, to no avail.
fn stripe_on_reading() -> Vec<Fault> {
    let mut said: Vec<Fault> = [400, 401, 403, 404, 429, 500]
        .map(|status| stripe_says(status).into())
        .into();
    said.extend(broken_answers().into_iter().map(Fault::from));
    said.push(Fault::Drop { executed: false });
    said
}

async fn unbelieved_deliveries(run: &mut Run) {
    let event = loaded(&run.last_event());
    let webhook = run.world.stripe.webhook(&event);
    let now = i64::try_from(START).unwrap();
    let (_, good) = webhook.signature.split_once("v1=").unwrap();
    let headers = [
        String::new(),
        all_canaries(),
        format!("t={KEY},v1={WEBHOOK}"),
        format!("t={now},v0={good}"),
        format!("v1={good}"),
        format!("t={},v1={good}", now + 1),
        stand_ins::stripe::sign(WEBHOOK, now - 301, &webhook.body),
        stand_ins::stripe::sign(KEY, now, &webhook.body),
        format!("{}é", webhook.signature),
    ];
    run.delivered_raw(&webhook.body, None, "bad_signature")
        .await;
    for header in headers {
        run.delivered_raw(&webhook.body, Some(&header), "bad_signature")
            .await;
    }
    let large = all_canaries().repeat(stripe_webhook::MAX_BODY_BYTES / all_canaries().len() + 1);
    let signature = run.world.stripe.sign(large.as_bytes(), now);
    run.delivered_raw(large.as_bytes(), Some(&signature), "too_large")
        .await;
    let mut asked = url_event(&webhook.body, Some(&webhook.signature), false);
    asked["requestContext"]["http"]["method"] = "PUT".into();
    let response = run.world.stripe_webhook.handle(request(&asked)).await;
    run.keep("another method", response).await;
}

/// Bodies that are signed all right and yet no event.
async fn unreadable_deliveries(run: &mut Run) {
    let said = all_canaries();
    for body in [
        said.clone(),
        format!("\"{said}\""),
        format!("{{\"id\":\"{said}\"}}"),
        format!("{{\"id\":\"{said}\",\"type\":\"payment_intent.{said}\",\"created\":\"{said}\"}}"),
        json!({ "id": said, "type": "payment_intent.succeeded", "created": 1, "data": { "object": said } }).to_string(),
        json!({ "id": said, "type": "payment_intent.succeeded", "created": 1, "data": { "object": {
            "id": CLIENT_SECRET, "amount": 5000, "currency": "usd", "status": "succeeded" } } })
        .to_string(),
    ] {
        let signature = run.world.stripe.sign(body.as_bytes(), run.world.stripe.now());
        run.delivered_raw(body.as_bytes(), Some(&signature), "malformed_event").await;
    }
    let thin = json!({ "id": said, "object": "v2.core.event", "type": said, "related_object": { "id": KEY } });
    run.delivered(&thin, "thin_event").await;
}

#[tokio::test]
async fn the_webhook_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    let intent = run.begin("A-1").await;
    unbelieved_deliveries(&mut run).await;
    unreadable_deliveries(&mut run).await;
    let created = run.last_event();
    run.delivered(&created, "applied").await;
    run.delivered(&created, "repeated").await;
    run.world.advance(5);
    let _ = run.world.stripe.pay(&intent, DECLINED_TOKEN);
    let declined = run.last_event();
    run.world.advance(5);
    run.world.stripe.pay(&intent, "pm_card_processing").unwrap();
    run.delivered(&run.last_event(), "applied").await;
    run.delivered(&declined, "older").await;
    run.world.stripe.finish_processing(&intent, true).unwrap();
    let succeeded = run.last_event();
    run.delivered(&succeeded, "applied").await;
    run.delivered(&declined, "final").await;

    let canceled = run.begin("A-2").await;
    run.world.stripe.cancel(&canceled, None).unwrap();
    let cancellation = run.last_event();
    run.delivered(&cancellation, "applied").await;
    run.begin("A-2").await;
    run.delivered(&cancellation, "earlier_attempt").await;

    let changed = |change: fn(&mut Value)| {
        let mut event = succeeded.clone();
        change(&mut event);
        event
    };
    for (event, outcome) in [
        (
            changed(|event| event["data"]["object"]["id"] = "pi_3QmForeign".into()),
            "not_ours",
        ),
        (
            changed(|event| event["account"] = all_canaries().into()),
            "other_account",
        ),
        (
            changed(|event| event["data"]["object"]["amount"] = 4999.into()),
            "disagreement",
        ),
        (
            changed(|event| event["data"]["object"]["status"] = KEY.into()),
            "unknown_value",
        ),
        (
            changed(|event| event["data"]["object"]["currency"] = TOKEN.into()),
            "unknown_value",
        ),
        (
            changed(|event| event["livemode"] = true.into()),
            "other_livemode",
        ),
        (
            changed(|event| event["type"] = "charge.refunded".into()),
            "other_event",
        ),
        (
            changed(|event| {
                event["data"]["object"]["id"] = "pi_3QmForeign".into();
                event["data"]["object"]["metadata"] = json!({ "order_id": TOKEN, "card": CARD });
            }),
            "not_ours",
        ),
    ] {
        run.delivered(&event, outcome).await;
    }

    let tied = run.begin("A-3").await;
    let _ = run.world.stripe.pay(&tied, DECLINED_TOKEN);
    for fault in stripe_on_reading() {
        run.world.stripe.outage(fetch(), fault);
        run.delivered(&run.last_event(), "stripe_unavailable").await;
        run.world.stripe.clear_faults();
    }
    run.delivered(&run.last_event(), "applied").await;

    run.world.genesys.outage(Match::any(), genesys_says(500));
    let _ = run.begin("A-4").await;
    run.delivered(&run.last_event(), "genesys_not_told").await;
    for table in useless_tables(&run.world).await {
        run.world.stripe_webhook.store = table;
        run.delivered(&run.last_event(), "store_unavailable").await;
    }
    let (table, asked) = silent_table(&run.world).await;
    run.world.stripe_webhook.store = table;
    let webhook = run.world.stripe.webhook(&loaded(&run.last_event()));
    let event = url_event(&webhook.body, Some(&webhook.signature), false);
    let response = hurried(asked, run.world.stripe_webhook.handle(request(&event))).await;
    run.keep("a table that does not answer", response).await;
    let mut reached = run.search();

    let mut run = Run::new(Setup::default()).await;
    run.begin("A-1").await;
    for text in unusable_stripe_secrets() {
        run.world.secrets_manager.put("stripe", &text);
        run.delivered(&run.last_event(), "secret_unavailable").await;
    }
    run.world
        .secrets_manager
        .put("stripe", &json!({ "secret_key": KEY }).to_string());
    run.delivered(&run.last_event(), "secret_unavailable").await;
    run.world.secrets_manager.set_down(true);
    reached.extend(run.search());

    reached.remove("PENDING");
    let documented = documented_outcomes();
    assert_eq!(reached, documented, "a path is missing");
    was_counted(documented.iter().map(String::as_str));
}

/// Genesys' error that repeats every secret in every field.
fn genesys_says(status: u16) -> Reply {
    let said = all_canaries();
    let error = json!({
        "message": said, "code": said, "status": status, "contextId": said, "details": [{ "errorCode": said }],
        "error": said, "error_description": said, "messageParams": { "token": ACCESS_TOKEN },
    });
    Reply::status(status)
        .body(&error.to_string())
        .header("X-Echo", ACCESS_TOKEN)
        .retry_after(60)
}

/// What Genesys may say to any request, to no avail.
fn genesys_refusals() -> Vec<Fault> {
    let mut said: Vec<Fault> = [400, 401, 403, 409, 429, 500, 503]
        .map(|status| genesys_says(status).into())
        .into();
    said.push(Fault::Drop { executed: false });
    said.push(Fault::Truncate { executed: false });
    said
}

#[tokio::test]
async fn telling_genesys_lets_no_secret_out_on_any_path() {
    let setup = Setup {
        late_payment_flow_id: Some("late-payment-flow"),
        ..Setup::default()
    };
    let mut run = Run::new(setup).await;
    let broken = [
        (token(), json!({ "access_token": ACCESS_TOKEN }).to_string()),
        (
            token(),
            json!({ "access_token": ACCESS_TOKEN, "expires_in": "never" }).to_string(),
        ),
        (
            token(),
            json!({ "access_token": [ACCESS_TOKEN], "expires_in": 86_399 }).to_string(),
        ),
        (
            token(),
            format!(r#"{{"access_token":"{ACCESS_TOKEN}","expires_in":"#),
        ),
        (token(), all_canaries()),
        (
            conversation(),
            json!({ "participants": [{ "id": [ACCESS_TOKEN] }] }).to_string(),
        ),
        (conversation(), format!(r#"{{"id":"{ACCESS_TOKEN}""#)),
        (conversation(), all_canaries()),
    ];
    let broken = broken.map(|(on, body)| (on, Fault::from(Reply::status(200).body(&body))));
    let refusals = |on: fn() -> Match| {
        genesys_refusals()
            .into_iter()
            .map(move |fault| (on(), fault))
    };
    let mut faults: Vec<(Match, Fault)> = [token, conversation, patch]
        .into_iter()
        .flat_map(refusals)
        .chain(broken)
        .collect();
    let intent = run.begin("A-1").await;
    while let Some((on, fault)) = faults.pop() {
        // Once there is a token it is held, and none is asked for.
        run.world.genesys.revoke_tokens();
        run.world.genesys.outage(on, fault);
        run.delivered(&run.last_event(), "genesys_not_told").await;
        run.world.genesys.clear_faults();
        // What was cut off may still be on its way: the turn to tell Genesys lapses.
        run.world.advance(16);
    }
    assert!(run.world.genesys.patches().is_empty());
    // A token that was revoked, or never was one.
    let granted =
        json!({ "access_token": ACCESS_TOKEN, "token_type": "bearer", "expires_in": 86_399 });
    run.world.genesys.revoke_tokens();
    run.world
        .genesys
        .fault(token(), Reply::status(200).body(&granted.to_string()));
    run.delivered(&run.last_event(), "repeated").await;
    assert_eq!(
        run.world.genesys.patches().len(),
        1,
        "told, by a third token"
    );

    run.begin("A-2").await;
    run.world.genesys.fault(conversation(), genesys_says(404));
    run.delivered(&run.last_event(), "applied").await;
    assert_eq!(
        run.world.genesys.patches().len(),
        1,
        "a conversation Genesys does not know"
    );
    run.world.genesys.end_conversation(CONVERSATION);
    run.begin("A-3").await;
    run.delivered(&run.last_event(), "applied").await;
    assert!(
        run.world.genesys.executions().is_empty(),
        "a conversation that has ended"
    );
    run.world.stripe.pay(&intent, TOKEN).unwrap();
    for (on, fault) in refusals(workflow) {
        run.world.genesys.outage(on, fault);
        run.delivered(&run.last_event(), "genesys_not_told").await;
        run.world.genesys.clear_faults();
        run.world.advance(16);
    }
    run.delivered(&run.last_event(), "repeated").await;
    assert_eq!(run.world.genesys.executions().len(), 1, "by the workflow");
    run.search();

    let mut run = Run::new(Setup::default()).await;
    run.begin("A-1").await;
    for text in unusable_genesys_secrets() {
        run.world.secrets_manager.put("genesys", &text);
        run.delivered(&run.last_event(), "genesys_not_told").await;
    }
    run.world.secrets_manager.clear("genesys");
    run.delivered(&run.last_event(), "genesys_not_told").await;
    run.search();
}

#[tokio::test]
async fn status_query_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    for (conversation_id, order_id, code) in [
        ("call-1", "A-1", "invalid_conversation_id"),
        (CONVERSATION, "a b", "invalid_order_id"),
        (CARD, "A-1", "card_data_refused"),
        (CONVERSATION, CARD, "card_data_refused"),
        (CONVERSATION, "", "NOT_FOUND"),
    ] {
        let parameters = json!({ "order_id": order_id, "client_secret": CLIENT_SECRET, "key": API_KEY, "note": CARD });
        let told = run.query(conversation_id, &parameters).await;
        assert!(
            [&told["code"], &told["payment_status"]].contains(&&json!(code)),
            "{told:#}"
        );
    }

    run.world.stripe.outage(create(), stripe_says(500));
    run.posted(&order("A-1"), "stripe_unavailable").await;
    run.world.stripe.clear_faults();
    let intent = run.begin("A-2").await;
    let mut said = stripe_on_reading();
    let other = json!({ "id": intent, "amount": 4999, "currency": "usd", "status": "succeeded", "created": START,
        "client_secret": CLIENT_SECRET, "metadata": { "note": all_canaries() } });
    said.push(Reply::status(200).body(&other.to_string()).into());
    for fault in said {
        run.world.stripe.outage(fetch(), fault);
        run.world.advance(10);
        run.queried("A-1", "CREATING").await;
        run.queried("A-2", "PENDING").await;
        run.world.stripe.clear_faults();
    }
    for fault in genesys_refusals() {
        run.world.genesys.outage(Match::any(), fault);
        run.world.advance(16);
        run.queried("A-2", "PENDING").await;
        run.world.genesys.clear_faults();
    }
    run.world.advance(16);
    let gate = run.world.stripe.gate(fetch(), Stage::Arrival);
    let event = api_event("GET", Some(CONVERSATION), &json!({ "order_id": "A-2" }), "");
    let response = hurried(
        gate.arrived(1),
        run.world.status_query.handle(request(&event)),
    )
    .await;
    assert_eq!(
        run.keep("a slow refresh", response).await["payment_status"],
        "PENDING"
    );
    gate.open();

    for (pay, status) in [
        (DECLINED_TOKEN, "DECLINED"),
        ("pm_card_processing", "PROCESSING"),
    ] {
        run.world.advance(16);
        let _ = run.world.stripe.pay(&intent, pay);
        run.queried("A-2", status).await;
    }
    run.world.advance(16);
    run.world.stripe.finish_processing(&intent, true).unwrap();
    run.queried("A-2", "CONFIRMED").await;
    assert_eq!(
        run.world.genesys.attributes(CONVERSATION)["payment_status"],
        "CONFIRMED"
    );
    let canceled = run.begin("A-3").await;
    run.world.stripe.cancel(&canceled, None).unwrap();
    run.world.advance(16);
    run.queried("A-3", "CANCELED").await;

    for table in useless_tables(&run.world).await {
        run.world.status_query.store = table;
        run.queried("A-2", "store_unavailable").await;
        run.queried("", "store_unavailable").await;
    }
    let (table, asked) = silent_table(&run.world).await;
    run.world.status_query.store = table;
    let response = hurried(asked, run.world.status_query.handle(request(&event))).await;
    assert_eq!(
        run.keep("a table that does not answer", response).await["code"],
        "store_unavailable"
    );
    let mut reached = run.search();

    let mut run = Run::new(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    run.posted(
        &with("A-1", &json!({ "payment_method": TOKEN })),
        "AUTHORIZED",
    )
    .await;
    for text in unusable_stripe_secrets() {
        run.world.secrets_manager.put("stripe", &text);
        run.world.advance(10);
        run.queried("A-1", "AUTHORIZED").await;
    }
    for text in unusable_genesys_secrets() {
        run.world.secrets_manager.put("genesys", &text);
        run.world.advance(10);
        run.queried("A-1", "AUTHORIZED").await;
    }
    reached.extend(run.search());

    let codes = [
        "invalid_conversation_id",
        "invalid_order_id",
        "card_data_refused",
        "store_unavailable",
    ];
    let statuses = [
        "NOT_FOUND",
        "CREATING",
        "PENDING",
        "DECLINED",
        "PROCESSING",
        "AUTHORIZED",
        "CONFIRMED",
        "CANCELED",
    ];
    reached.remove("stripe_unavailable");
    assert_eq!(
        reached,
        codes
            .into_iter()
            .chain(statuses)
            .map(str::to_owned)
            .collect(),
        "a path is missing"
    );
    was_counted(codes);
}

#[tokio::test]
async fn no_secret_is_in_the_debug_of_a_type_that_holds_one() {
    let mut run = Run::new(Setup::default()).await;
    let deadline = Deadline::after(Duration::from_secs(4));
    let body = with(
        "A-1",
        &json!({ "payment_method": TOKEN, "include_client_secret": true }),
    );
    let world = &run.world;
    let read = || {
        create_intent::request::read(body.to_string().as_bytes(), &world.create_intent.policy)
            .unwrap()
    };
    let asked = read();
    let unpaid = PaymentRequest {
        payment_method: None,
        ..read()
    };
    let ctx = Ctx {
        store: &world.table,
        stripe: &world.create_intent.stripe,
        clock: &world.clock,
        deadline,
    };
    let created = shared::usecases::create::create(ctx, &unpaid, None);
    let created = created.await.unwrap();
    let intent_id = created.payment.intent_id().unwrap().clone();
    let answer = world
        .create_intent
        .stripe
        .fetch_intent(&intent_id, deadline)
        .await
        .unwrap();
    let intent = world.stripe.intents().pop().unwrap();
    let api_intent = parse_intent(intent.to_string().as_bytes()).unwrap();
    let secret = created.client_secret.clone();
    assert!(
        secret.is_some() && answer.client_secret.is_some() && api_intent.client_secret.is_some()
    );
    let stripe_secret = json!({ "secret_key": KEY, "webhook_secrets": [WEBHOOK] }).to_string();
    let genesys_secret =
        json!({ "client_id": GENESYS_CLIENT, "client_secret": GENESYS }).to_string();
    let mut shown: Vec<(&str, String)> = Vec::new();
    let mut show =
        |name, value: &dyn std::fmt::Debug| shown.push((name, format!("{value:?}\n{value:#?}")));
    show("PaymentMethodId", &PaymentMethodId::parse(TOKEN).unwrap());
    show("PaymentRequest", &asked);
    show("Created", &created);
    show("StripeReply", &answer);
    let again = world
        .create_intent
        .stripe
        .fetch_intent(&intent_id, deadline)
        .await
        .unwrap();
    show("Lookup", &Lookup::Found(Box::new(again)));
    show("ApiIntent", &api_intent);
    show(
        "Reply",
        &FlowReply::of(&created.payment).with_secrets(secret, Some(LINK.into())),
    );
    let open = || OpenSession {
        payment: Box::new(created.payment.clone()),
        publishable_key: "pk_test_1".to_owned(),
        client_secret: CLIENT_SECRET.into(),
    };
    show("OpenSession", &open());
    show("Session", &Session::Open(open()));
    show("Exposed", &Exposed(CLIENT_SECRET.into()));
    show(
        "StripeSecret",
        &StripeSecret::parse(&stripe_secret).unwrap(),
    );
    show(
        "GenesysSecret",
        &GenesysSecret::parse(&genesys_secret).unwrap(),
    );
    show("LinkToken", &LinkToken::parse(LINK).unwrap());
    show(
        "NewLink",
        &NewLink {
            token: LinkToken::parse(LINK).unwrap(),
            valid_for: Duration::from_secs(60),
        },
    );
    let of_aws = |name: &str| match name {
        "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => Some(KEY.to_owned()),
        "AWS_REGION" | "AWS_ACCESS_KEY_ID" => Some("x".to_owned()),
        _ => None,
    };
    let of_aws = config::aws(of_aws).unwrap();
    show("AwsConfig", &of_aws);
    show(
        "Clients",
        &Clients::new(&of_aws, &client_config(None).unwrap()).unwrap(),
    );
    show("Table", &world.table);
    show(
        "SecretsManager",
        &SecretsManager::new(world.secrets_manager.client(), "stripe".to_owned()),
    );
    show("Http", &http());
    run.said.extend(
        shown
            .into_iter()
            .map(|(name, text)| (format!("the Debug of {name}"), text)),
    );
    run.born.push(("a pay link", LINK.to_owned()));
    run.search();
}

#[tokio::test]
async fn the_payer_s_side_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    for (_, secret) in NAMED {
        run.opened(secret, "unknown").await;
    }
    run.opened(CARD, "unknown").await;
    run.opened(LINK, "unknown").await;
    run.born.push(("an unknown pay link", LINK.to_owned()));

    let intent = run.begin("A-1").await;
    let link = run.link.clone();
    run.opened(&link, "open").await;
    let other = json!({ "id": intent, "amount": 4999, "currency": "usd", "status": "succeeded", "created": START,
        "client_secret": CLIENT_SECRET, "metadata": { "note": all_canaries() } });
    let mut said = stripe_on_reading();
    said.push(Reply::status(200).body(&other.to_string()).into());
    for fault in said {
        run.world.stripe.outage(fetch(), fault);
        run.opened(&link, "unavailable").await;
        run.world.stripe.clear_faults();
    }
    for text in unusable_stripe_secrets().into_iter().chain([
        json!({ "secret_key": KEY, "publishable_key": KEY, "webhook_secrets": [WEBHOOK] })
            .to_string(),
        json!({ "secret_key": KEY, "publishable_key": format!("pk_{KEY}"), "webhook_secrets": [] })
            .to_string(),
    ]) {
        let mut unkeyed = Run::new(Setup::default()).await;
        unkeyed.begin("A-1").await;
        let link = unkeyed.link.clone();
        unkeyed.world.secrets_manager.put("stripe", &text);
        unkeyed.opened(&link, "unavailable").await;
        unkeyed.search();
    }
    for fault in genesys_refusals() {
        let order_id = format!("G-{}", run.born.len());
        run.begin(&order_id).await;
        let link = run.link.clone();
        run.world.genesys.outage(Match::any(), fault);
        run.opened(&link, "open").await;
        run.world.genesys.clear_faults();
    }
    run.world.stripe.add_payment_method(TOKEN, Outcome::Process);
    run.world.advance(5);
    run.world.stripe.pay(&intent, TOKEN).unwrap();
    run.opened(&link, "processing").await;
    run.world.stripe.finish_processing(&intent, true).unwrap();
    run.world.advance(5);
    run.delivered(&run.last_event(), "applied").await;
    run.opened(&link, "paid").await;
    run.begin("A-2").await;
    let link = run.link.clone();
    run.world.advance(3600);
    run.opened(&link, "expired").await;
    run.canceled(CONVERSATION, &json!({ "order_id": "A-2" }), "CANCELED")
        .await;
    run.opened(&link, "canceled").await;
    for table in useless_tables(&run.world).await {
        run.world.status_query.store = table;
        run.opened(&link, "unavailable").await;
    }
    let states = [
        "open",
        "processing",
        "paid",
        "canceled",
        "expired",
        "unknown",
        "unavailable",
    ];
    let reached: BTreeSet<String> = run.search();
    assert!(
        states.iter().all(|state| reached.contains(*state)),
        "{reached:?}"
    );
    was_counted(states);
}

#[tokio::test]
async fn cancellation_lets_no_secret_out_on_any_path() {
    let mut run = Run::new(Setup::default()).await;
    for (_, secret) in NAMED.into_iter().filter(|(_, secret)| holds_secret(secret)) {
        run.canceled(secret, &json!({ "order_id": "A-1" }), "malformed_request")
            .await;
        run.canceled(
            CONVERSATION,
            &json!({ "order_id": secret }),
            "malformed_request",
        )
        .await;
    }
    run.canceled(
        CONVERSATION,
        &json!({ "order_id": CARD }),
        "card_data_refused",
    )
    .await;
    run.canceled(CONVERSATION, &json!({ "key": KEY }), "invalid_order_id")
        .await;
    run.canceled(
        CONVERSATION,
        &json!({ "order_id": "A-1", "key": KEY }),
        "NOT_FOUND",
    )
    .await;
    run.begin("A-1").await;
    let cancel = || Match::post("/v1/payment_intents").ending("/cancel");
    for (fault, code) in [
        (stripe_says(400), "stripe_rejected"),
        (stripe_says(401), "stripe_auth"),
        (stripe_says(409), "in_progress"),
        (stripe_says(429), "rate_limited"),
        (stripe_says(500), "stripe_unavailable"),
        (
            stripe_says_code(
                400,
                "invalid_request_error",
                "payment_intent_unexpected_state",
                "",
            ),
            "PENDING",
        ),
    ]
    .into_iter()
    .chain(
        broken_answers()
            .into_iter()
            .map(|reply| (reply, "stripe_unavailable")),
    ) {
        run.world.stripe.outage(cancel(), fault);
        run.canceled(CONVERSATION, &json!({ "order_id": "A-1" }), code)
            .await;
        run.world.stripe.clear_faults();
    }
    for table in useless_tables(&run.world).await {
        let whole = std::mem::replace(&mut run.world.create_intent.store, table);
        run.canceled(
            CONVERSATION,
            &json!({ "order_id": "A-1" }),
            "store_unavailable",
        )
        .await;
        run.world.create_intent.store = whole;
    }
    run.canceled(CONVERSATION, &json!({ "order_id": "A-1" }), "CANCELED")
        .await;
    run.search();
}

/// The search bites: what is planted in each place is found there.
#[tokio::test]
async fn a_planted_secret_is_found_wherever_it_is() {
    const PLANTED: &str = "sk_test_51QmPlantedOnPurposetV3wX6yZ9aB2cD5";
    const PLANTED_CARD: &str = "5425233430109903";
    let mut search = Search::default();
    search.secret("planted", PLANTED);
    search.card(PLANTED_CARD);
    let world = World::new().await;
    assert_eq!(search.find(&tests::logged()), None, "not there yet");
    tracing::warn!(target: "shared::planted", code = &PLANTED[8..], "planted");
    assert!(
        search
            .find(&tests::logged())
            .is_some_and(|(_, line)| line.contains("\"message\":\"planted\""))
    );
    shared::ports::telemetry::count(shared::ports::telemetry::Metric::Problems, PLANTED_CARD);
    search.secrets.clear();
    assert!(
        search
            .find(&tests::logged())
            .is_some_and(|(_, line)| line.contains("CloudWatchMetrics"))
    );
    search.secret("planted", PLANTED);

    let text = |text: &str| AttributeValue::S(text.to_owned());
    let grouped = format!("{} {}", &PLANTED_CARD[..8], &PLANTED_CARD[8..]);
    for (pk, value) in [
        ("plain", text(PLANTED)),
        (
            "in a map",
            AttributeValue::M(HashMap::from([(
                "a".to_owned(),
                AttributeValue::L(vec![text(PLANTED)]),
            )])),
        ),
        (
            "in a set",
            AttributeValue::Ss(vec!["b".to_owned(), PLANTED.to_owned()]),
        ),
        ("bytes", AttributeValue::B(PLANTED.as_bytes().into())),
        ("in base64", text(&STANDARD.encode(format!("id:{PLANTED}")))),
        (
            "cut short",
            text(&format!("the key is {}…", &PLANTED[..20])),
        ),
        ("a card number", AttributeValue::N(PLANTED_CARD.to_owned())),
        ("a card number in groups", text(&grouped)),
        (PLANTED, text("the key of an item")),
    ] {
        let put = world.dynamo.client().put_item().table_name("payments");
        put.item("pk", text(pk))
            .item("sk", text("sk"))
            .item("value", value)
            .send()
            .await
            .unwrap();
        let items = world.dynamo.items().await;
        assert!(search.find(&format!("{items:?}")).is_some(), "{pk}");
        let gone = world.dynamo.client().delete_item().table_name("payments");
        gone.key("pk", text(pk))
            .key("sk", text("sk"))
            .send()
            .await
            .unwrap();
    }
    assert!(world.dynamo.items().await.is_empty());
    for answer in [
        json!({ "detail": format!("no such key {PLANTED}") }).to_string(),
        json!({ "detail": PLANTED.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() })
            .to_string(),
        format!("{:?}", PLANTED.as_bytes()),
        format!("{:#?}", Response::new(PLANTED)),
        PLANTED_CARD
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect(),
    ] {
        assert!(search.find(&answer).is_some(), "{answer}");
    }
    for innocent in [
        CONVERSATION,
        "pi_3QmPlantedOnPurp",
        "sk_test_",
        "2026-11-22T19:37:42.318Z",
        "5425",
    ] {
        assert_eq!(search.find(innocent), None);
    }
}

/// A flow that puts a value into the wrong input must not find it repeated, stored or logged.
#[tokio::test]
async fn a_secret_in_a_field_of_another_kind_is_repeated_nowhere() {
    let mut run = Run::new(Setup::default()).await;
    run.world.stripe.outage(create(), stripe_says(500));
    for secret in [KEY, WEBHOOK, TOKEN, CLIENT_SECRET] {
        let mut bodies: Vec<Value> = [
            "order_id",
            "conversation_id",
            "currency",
            "region",
            "amount",
            secret,
        ]
        .map(|field| with("A-1", &json!({ field: secret })))
        .into();
        bodies.push(with(
            "A-2",
            &json!({ "description": format!("paid with {secret}") }),
        ));
        bodies.push(with(
            "A-3",
            &json!({ "receipt_email": format!("{secret}@b.example") }),
        ));
        for body in bodies {
            run.post(&body.to_string()).await;
        }
        run.query(secret, &json!({})).await;
        run.query(CONVERSATION, &json!({ "order_id": secret }))
            .await;
        run.query(CONVERSATION, &json!({ "order_id": format!("{secret}!") }))
            .await;
    }
    run.search();
}

/// What takes the place of a parameter's name, a code or an id in an answer must not get further.
#[tokio::test]
async fn what_is_no_name_no_code_and_no_id_is_dropped_from_answers() {
    let mut run = Run::new(Setup::default()).await;
    for secret in [KEY, WEBHOOK, TOKEN, CLIENT_SECRET, CARD] {
        for field in ["type", "code", "param", "decline_code"] {
            let mut error = json!({ "type": "invalid_request_error" });
            error[field] = secret.into();
            let reply = Reply::status(400).body(&json!({ "error": error }).to_string());
            run.world
                .stripe
                .fault(create(), reply.header("Request-Id", secret));
            run.posted(&order("A-1"), "stripe_rejected").await;
        }
        run.begin("A-2").await;
        run.world.genesys.fault(
            conversation(),
            Reply::status(403).header("ININ-Correlation-Id", secret),
        );
        run.delivered(&run.last_event(), "genesys_not_told").await;
        let intent = run.last_event()["data"]["object"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        run.world.stripe.cancel(&intent, None).unwrap();
        run.delivered(&run.last_event(), "applied").await;
    }
    let intent = run.begin("A-3").await;
    run.world.advance(5);
    let _ = run.world.stripe.pay(&intent, DECLINED_TOKEN);
    for secret in [KEY, WEBHOOK, TOKEN, CLIENT_SECRET, CARD] {
        for change in [
            json!({ "id": secret }),
            json!({ "type": format!("payment_intent.{secret}") }),
            json!({ "data": { "object": { "last_payment_error": { "decline_code": secret } } } }),
        ] {
            run.world.advance(1);
            let mut event = run.last_event();
            merge(&mut event, &change);
            event["created"] = run.world.stripe.now().into();
            let webhook = run.world.stripe.webhook(&event);
            let event = url_event(&webhook.body, Some(&webhook.signature), true);
            let response = run.world.stripe_webhook.handle(request(&event)).await;
            run.keep("an event with a secret for a name", response)
                .await;
        }
    }
    run.search();
}

fn merge(value: &mut Value, change: &Value) {
    match (value.as_object_mut(), change.as_object()) {
        (Some(value), Some(change)) => change
            .iter()
            .for_each(|(name, change)| merge(&mut value[name.as_str()], change)),
        _ => *value = change.clone(),
    }
}

/// Types that hold a raw answer have a `Debug` too.
#[tokio::test]
async fn no_secret_is_in_the_debug_of_an_answer() {
    let mut run = Run::new(Setup::default()).await;
    let body =
        json!({ "error": { "payment_intent": { "client_secret": CLIENT_SECRET } } }).to_string();
    let error = shared::adapters::stripe::wire::ApiError::parse(body.as_bytes());
    run.said
        .push(("the Debug of ApiError".to_owned(), format!("{error:?}")));
    run.world.stripe.fault(
        create(),
        Reply::status(402).body(&body).header("X-Echo", KEY),
    );
    let http = http();
    let asked = http
        .client()
        .post(format!("{}/v1/payment_intents", run.world.stripe.base()));
    let answered = http
        .send(asked, Deadline::after(Duration::from_secs(2)))
        .await
        .unwrap();
    run.said
        .push(("the Debug of Answered".to_owned(), format!("{answered:?}")));
    run.search();
}

/// Separators that copying, forms and URLs put between groups of digits.
#[tokio::test]
async fn a_card_number_behind_separators_nobody_sees_or_types_is_refused() {
    let mut run = Run::new(Setup::default()).await;
    run.world.stripe.outage(create(), stripe_says(500));
    let groups: Vec<&str> = (0..4).map(|group| &CARD[group * 4..][..4]).collect();
    let unseen = [
        "\u{200B}", "\u{200C}", "\u{200D}", "\u{200E}", "\u{2060}", "\u{FEFF}",
    ];
    for separator in unseen.into_iter().chain([
        "+", "*", "|", "\u{B7}", "\u{2022}", "\u{2043}", "\u{FE63}", "\u{FF0D}", "%20", "%2D",
    ]) {
        let text = groups.join(separator);
        let told = run
            .post(&with("A-1", &json!({ "description": text })).to_string())
            .await;
        assert_eq!(told["code"], "card_data_refused", "{text:?}");
        let told = run.query(CONVERSATION, &json!({ "order_id": text })).await;
        assert_eq!(told["code"], "card_data_refused", "{text:?}");
    }
    run.search();
}

/// A key that no header can carry is unusable, not a reason to ask again, and mending it is seen at
/// once.
#[tokio::test]
async fn a_key_with_a_line_break_is_said_to_be_unusable() {
    let mut run = Run::new(Setup::default()).await;
    run.world.put_stripe_secret(&format!("{KEY}\n"), &[WEBHOOK]);
    run.posted(&order("A-1"), "stripe_auth").await;
    run.world.put_stripe_secret(KEY, &[WEBHOOK]);
    run.posted(&order("A-1"), "PENDING").await;
    run.search();
}

/// A slip while rotating must not take the secret away that is held and still good.
#[tokio::test]
async fn a_secret_that_cannot_be_read_leaves_the_held_one_in_use() {
    let mut run = Run::new(Setup::default()).await;
    run.begin("A-1").await;
    run.delivered(&run.last_event(), "applied").await;
    run.world
        .secrets_manager
        .put("stripe", "{ a slip of the pen");
    let webhook = run.world.stripe.webhook(&loaded(&run.last_event()));
    let forged = stand_ins::stripe::sign(
        "whsec_of_somebody_else",
        run.world.stripe.now(),
        &webhook.body,
    );
    let event = url_event(&webhook.body, Some(&forged), true);
    let response = run.world.stripe_webhook.handle(request(&event)).await;
    run.keep("a forged event", response).await;
    run.delivered(&run.last_event(), "repeated").await;
    run.search();
}
