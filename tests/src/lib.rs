//! A world to try the three functions in: the real handlers and adapters over a DynamoDB engine in
//! process, a Secrets Manager stand-in, and the Stripe and Genesys stand-ins, all on loopback
//! sockets and one clock.
//!
//! Dropping a world looks for its secrets in everything that was logged in its time, so every test
//! is a test of redaction.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: what breaks here should stop the test at once"
)]

mod dynamodb;
mod logs;
pub mod matches;
mod secrets_manager;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use create_intent::CreateIntentFunction;
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use shared::adapters::aws;
use shared::adapters::dynamodb::{Table, TableConfig};
use shared::adapters::genesys::Genesys as GenesysClient;
use shared::adapters::genesys::GenesysConfig;
use shared::adapters::http::Http;
use shared::adapters::secrets::{CachedSecret, SecretsManager};
use shared::adapters::stripe::Stripe as StripeClient;
use shared::adapters::system::OsRandom;
use shared::adapters::tls;
use shared::domain::ids::{ConversationId, OrderId, OrderScope, PaymentKey, PaymentUid};
use shared::domain::time::UnixMillis;
use shared::lambda::config::{self, CreateIntentConfig};
use shared::ports::Clock;
use stand_ins::{Genesys, Match, Scene, Stage, Stripe};
use status_query::StatusQueryFunction;
use stripe_webhook::StripeWebhookFunction;

pub use dynamodb::Dynamo;
pub use logs::{forget_thread_log, logged, thread_log};
pub use secrets_manager::SecretsManagerStandIn;

/// When every world begins, in Unix seconds.
pub const START: u64 = 1_795_000_000;

/// The conversation most tests are about.
pub const CONVERSATION: &str = "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a";

/// The Stripe key every world begins with.
pub const SECRET_KEY: &str = "sk_test_canary0key0of0stripe";

/// The webhook secret every world begins with.
pub const WEBHOOK_SECRET: &str = "whsec_canary0webhook0secret";

/// The Genesys client secret every world begins with.
pub const GENESYS_SECRET: &str = "canary0client0secret0of0genesys";

/// The key that the payer's page shows Stripe; public.
pub const PUBLISHABLE_KEY: &str = "pk_test_1";

/// Whom the payer's page names.
pub const MERCHANT: &str = "Example Ltd";

pub const GENESYS_CLIENT: &str = "5f0c0d3e-genesys-client";

/// A clock that moves only when told.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicU64>);

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

type StripeAdapter = StripeClient<SecretsManager>;
type GenesysAdapter = GenesysClient<SecretsManager>;
type Webhook = StripeWebhookFunction<Table, StripeAdapter, GenesysAdapter, TestClock>;

/// What a world is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `BUDGET_MS`
    pub budget: Duration,
    /// `CAPTURE_METHOD`
    pub capture_method: &'static str,
    /// `MOTO`
    pub moto: bool,
    /// `GENESYS_LATE_PAYMENT_FLOW_ID`
    pub late_payment_flow_id: Option<&'static str>,
    /// Whether there is a Genesys to tell.
    pub genesys: bool,
    /// `PAY_LINK_BASE`
    pub pay_link_base: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            budget: Duration::from_millis(4500),
            capture_method: "automatic",
            moto: false,
            late_payment_flow_id: None,
            genesys: true,
            pay_link_base: "https://pay.example.com",
        }
    }
}

/// The whole system on one machine.
pub struct World {
    pub stripe: Stripe,
    /// Genesys Cloud.
    pub genesys: Genesys,
    /// The table's engine.
    pub dynamo: Dynamo,
    pub secrets_manager: SecretsManagerStandIn,
    /// The clock of the functions; Stripe and Genesys have the same.
    pub clock: TestClock,
    /// The table, as the functions use it.
    pub table: Table,
    /// The function behind `POST /payments`.
    pub create_intent: CreateIntentFunction<Table, StripeAdapter, OsRandom, TestClock>,
    /// The function behind the webhook's URL.
    pub stripe_webhook: Webhook,
    /// The function behind `GET /payments/{conversation_id}`.
    pub status_query: StatusQueryFunction<Table, StripeAdapter, GenesysAdapter, TestClock>,
    log_begin: usize,
}

impl World {
    /// A world with an open conversation, [`CONVERSATION`].
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// A world in which the creator of order `A-1` has died, once Stripe came that far with it.
    pub async fn after_a_crash(stage: Stage) -> Arc<Self> {
        let world = Arc::new(Self::new().await);
        world.crash_while_creating(stage, order("A-1")).await;
        world
    }

    /// A world made to measure.
    pub async fn with(setup: Setup) -> Self {
        logs::start();
        let log_begin = logs::end();
        let stripe = Stripe::start(SECRET_KEY, WEBHOOK_SECRET).await;
        let genesys = Genesys::start(GENESYS_CLIENT, GENESYS_SECRET).await;
        genesys.open_conversation(CONVERSATION, Scene::inbound());
        let dynamo = Dynamo::start().await;
        let secrets_manager = SecretsManagerStandIn::start().await;
        let clock = TestClock(Arc::new(AtomicU64::new(START * 1000)));
        stripe.set_now(i64::try_from(START).unwrap());
        genesys.set_now(i64::try_from(START).unwrap());

        let vars = [
            ("TABLE_NAME", "payments".to_owned()),
            ("STRIPE_SECRET_ID", "stripe".to_owned()),
            ("ALLOWED_CURRENCIES", "usd,eur,gbp,jpy".to_owned()),
            ("REGION_CURRENCIES", "US=usd,JP=jpy".to_owned()),
            ("MAX_AMOUNTS", "usd=1000000,jpy=1500000".to_owned()),
            ("CAPTURE_METHOD", setup.capture_method.to_owned()),
            ("MOTO", setup.moto.to_string()),
            ("BUDGET_MS", setup.budget.as_millis().to_string()),
            ("STRIPE_API_BASE", stripe.base().to_owned()),
            ("PAY_LINK_BASE", setup.pay_link_base.to_owned()),
        ];
        let lookup = |name: &str| {
            vars.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.clone())
        };
        let config = CreateIntentConfig::read(lookup).expect("configuration");
        let genesys_config = GenesysConfig {
            secret_id: "genesys".to_owned(),
            api_base: genesys.base().to_owned(),
            login_base: genesys.base().to_owned(),
            late_payment_flow_id: setup.late_payment_flow_id.map(str::to_owned),
        };

        let table = Table::new(dynamo.client(), config.table);
        let secret = |id: &str| SecretsManager::new(secrets_manager.client(), id.to_owned());
        let stripe_client = |http: Http, moto| {
            let cached = Arc::new(CachedSecret::new(secret("stripe")));
            StripeClient::new(http, config.stripe.api_base.clone(), cached, moto)
        };
        let genesys_client = |http: Http| {
            let cached = Arc::new(CachedSecret::new(secret("genesys")));
            setup
                .genesys
                .then(|| GenesysClient::new(http, genesys_config.clone(), cached))
        };
        let create_intent = CreateIntentFunction {
            store: table.clone(),
            stripe: stripe_client(http(), config.moto),
            random: OsRandom,
            clock: clock.clone(),
            policy: config.policy,
            budget: config.budget,
            pay_link: config.pay_link,
        };
        let webhook_http = http();
        let stripe_webhook = StripeWebhookFunction {
            store: table.clone(),
            stripe: stripe_client(webhook_http.clone(), false),
            genesys: genesys_client(webhook_http),
            clock: clock.clone(),
        };
        let status_http = http();
        let status_query = StatusQueryFunction {
            store: table.clone(),
            stripe: stripe_client(status_http.clone(), false),
            genesys: genesys_client(status_http),
            clock: clock.clone(),
            merchant_name: MERCHANT.to_owned(),
        };
        let world = Self {
            stripe,
            genesys,
            dynamo,
            secrets_manager,
            clock,
            table,
            create_intent,
            stripe_webhook,
            status_query,
            log_begin,
        };
        world.put_stripe_secret(SECRET_KEY, &[WEBHOOK_SECRET]);
        world.put_genesys_secret(GENESYS_SECRET);
        world
    }

    /// Another stack on the first one's Stripe account, with a table and functions of its own. The
    /// first one's clock is theirs.
    pub async fn beside(first: &Self) -> Self {
        let mut second = Self::new().await;
        let stripe = || {
            let secret = SecretsManager::new(second.secrets_manager.client(), "stripe".to_owned());
            let (base, secret) = (first.stripe.base(), Arc::new(CachedSecret::new(secret)));
            StripeClient::new(http(), base.to_owned(), secret, false)
        };
        let [create_intent, stripe_webhook, status_query] = [stripe(), stripe(), stripe()];
        second.create_intent.stripe = create_intent;
        second.stripe_webhook.stripe = stripe_webhook;
        second.status_query.stripe = status_query;
        second.create_intent.clock = first.clock.clone();
        second.stripe_webhook.clock = first.clock.clone();
        second.status_query.clock = first.clock.clone();
        second.clock = first.clock.clone();
        second.stripe = first.stripe.clone();
        second
    }

    /// Each `payment_status` that Genesys was told, in order.
    pub fn told_statuses(&self) -> Vec<String> {
        let told = self.genesys.patches().into_iter();
        told.map(|patch| patch.attributes["payment_status"].clone())
            .collect()
    }

    /// Each `payment_progress` that one conversation was told, in order.
    pub fn heard(&self, conversation_id: &str) -> Vec<String> {
        let mut told = self.genesys.patches();
        told.retain(|patch| patch.conversation == conversation_id);
        told.into_iter()
            .map(|patch| patch.attributes["payment_progress"].clone())
            .collect()
    }

    /// Time takes an item, as DynamoDB does once it has expired.
    pub async fn expire(&self, pk: &str, sk: &str) {
        let delete = self.dynamo.client().delete_item().table_name("payments");
        let delete = delete.key("pk", AttributeValue::S(pk.to_owned()));
        let delete = delete.key("sk", AttributeValue::S(sk.to_owned()));
        let there = delete.condition_expression("attribute_exists(pk)");
        there.send().await.expect("an item");
    }

    /// Panics unless a status query of the order answers this text in a field.
    pub async fn order_must_be(&self, order_id: &str, field: &str, text: &str) {
        let answer = self.status(CONVERSATION, Some(order_id)).await;
        answer.must_be(200, field, text);
    }

    /// Panics unless the customer of [`CONVERSATION`] has this text in an attribute.
    #[track_caller]
    pub fn attribute_must_be(&self, name: &str, text: &str) {
        assert_eq!(self.genesys.attributes(CONVERSATION)[name], text, "{name}");
    }

    /// Everything that was logged since this world began, by all tests of the process.
    pub fn logged(&self) -> String {
        logs::logged_from(self.log_begin)
    }

    /// Writes the Stripe secret, as an operator does.
    pub fn put_stripe_secret(&self, secret_key: &str, webhook_secrets: &[&str]) {
        let secret = json!({
            "secret_key": secret_key,
            "publishable_key": PUBLISHABLE_KEY,
            "webhook_secrets": webhook_secrets,
        });
        self.secrets_manager.put("stripe", &secret.to_string());
    }

    /// Writes the Genesys secret, as an operator does.
    pub fn put_genesys_secret(&self, client_secret: &str) {
        let secret = json!({ "client_id": GENESYS_CLIENT, "client_secret": client_secret });
        self.secrets_manager.put("genesys", &secret.to_string());
    }

    /// Lets time pass, for the functions, Stripe and Genesys alike.
    pub fn advance(&self, secs: u64) {
        self.clock.0.fetch_add(secs * 1000, Ordering::SeqCst);
        self.stripe.advance(i64::try_from(secs).unwrap());
        self.genesys.advance(i64::try_from(secs).unwrap());
    }

    /// Sets the functions' clock back; everybody else's goes on.
    pub fn set_back(&self, secs: u64) {
        self.clock.0.fetch_sub(secs * 1000, Ordering::SeqCst);
    }

    /// Calls create-intent through an API Gateway event.
    pub async fn post(&self, body: &Value) -> Answer {
        self.post_text(&body.to_string()).await
    }

    /// Asks for $50.00 for an order of [`CONVERSATION`], with a token to charge.
    pub async fn post_token(&self, order_id: &str, token: &str) -> Answer {
        self.post(&order_with(order_id, &json!({ "payment_method": token })))
            .await
    }

    /// The same as [`Self::post`] with a body of any text.
    pub async fn post_text(&self, body: &str) -> Answer {
        let event = rest_event("POST", "/payments", &json!({}), &json!({}), body);
        Answer::read(self.create_intent.handle(request(&event)).await)
    }

    /// Calls status-query through an API Gateway event.
    pub async fn status(&self, conversation_id: &str, order_id: Option<&str>) -> Answer {
        let path = format!("/payments/{conversation_id}");
        let query = order_id.map_or(json!({}), |order_id| json!({ "order_id": order_id }));
        let event = rest_event(
            "GET",
            &path,
            &json!({ "conversation_id": conversation_id }),
            &query,
            "",
        );
        Answer::read(self.status_query.handle(request(&event)).await)
    }

    /// Cancels a payment of [`CONVERSATION`] through an API Gateway event.
    pub async fn cancel(&self, order_id: &str) -> Answer {
        self.cancel_by(CONVERSATION, order_id, false).await
    }

    /// The same by any call, or by force.
    pub async fn cancel_by(&self, conversation_id: &str, order_id: &str, force: bool) -> Answer {
        let path = format!("/payments/{conversation_id}");
        let names = json!({ "conversation_id": conversation_id });
        let mut query = json!({ "order_id": order_id });
        if force {
            query["force"] = "true".into();
        }
        let event = rest_event("DELETE", &path, &names, &query, "");
        Answer::read(self.create_intent.handle(request(&event)).await)
    }

    /// Asks for the session of a pay link, given its URL, through an API Gateway event.
    pub async fn open_link(&self, payment_url: &str) -> Answer {
        Answer::read(
            self.status_query
                .handle(request(&session_event(payment_url)))
                .await,
        )
    }

    /// Asks for the page that every pay link leads to.
    pub async fn page(&self) -> Response<Body> {
        self.status_query.handle(request(&page_event())).await
    }

    /// Delivers an event of Stripe's, freshly signed.
    pub async fn deliver(&self, event: &Value) -> Answer {
        let webhook = self.stripe.webhook(event);
        self.deliver_raw(&webhook.body, Some(&webhook.signature), false)
            .await
    }

    /// Delivers bytes with a signature header of choice, plain or in base64.
    pub async fn deliver_raw(&self, body: &[u8], signature: Option<&str>, base64: bool) -> Answer {
        Answer::read(
            self.stripe_webhook
                .handle(request(&url_event(body, signature, base64)))
                .await,
        )
    }

    /// Delivers every event Stripe has, in order, and expects each to be taken.
    pub async fn deliver_all(&self) {
        for event in self.stripe.events() {
            let answer = self.deliver(&event).await;
            assert_eq!(answer.status, 200, "{event:#} {:#}", answer.body);
        }
    }

    /// The last event Stripe has.
    pub fn last_event(&self) -> Value {
        self.stripe.events().pop().expect("an event")
    }

    /// The name of an order's payment.
    pub async fn uid(&self, order_id: &str) -> String {
        let item = self
            .dynamo
            .item(&format!("ORDER#{order_id}"), "PAYMENT")
            .await;
        item["payment_uid"].as_s().expect("text").clone()
    }

    /// Makes a payment of $50.00 for an order of [`CONVERSATION`]; gives its intent's id.
    pub async fn begin(&self, order_id: &str) -> String {
        let answer = self.post(&order(order_id)).await;
        assert_eq!(answer.status, 201, "{:#}", answer.body);
        answer.text("payment_intent_id").to_owned()
    }

    /// Asks for a payment, and lets the function die when its request to create the intent has come
    /// as far as `stage`. Stripe goes on from there.
    pub async fn crash_while_creating(self: &Arc<Self>, stage: Stage, body: Value) {
        let gate = self
            .stripe
            .gate(Match::post("/v1/payment_intents").exactly(), stage);
        let world = Arc::clone(self);
        let dying = tokio::spawn(async move { world.post(&body).await });
        gate.arrived(1).await;
        dying.abort();
        assert!(
            dying.await.is_err_and(|error| error.is_cancelled()),
            "it died"
        );
        gate.open();
    }

    fn secrets(&self) -> BTreeSet<String> {
        let mut secrets: BTreeSet<String> = [
            "canary0", "sk_test_", "rk_test_", "whsec_", "_secret_", "pm_card", "pm_new", "v1=",
        ]
        .map(str::to_owned)
        .into();
        let recorded = self
            .genesys
            .requests()
            .into_iter()
            .chain(self.stripe.requests());
        for request in recorded {
            secrets.extend(
                request
                    .header("authorization")
                    .and_then(|h| h.split(' ').nth(1))
                    .map(str::to_owned),
            );
        }
        secrets
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let logged = self.logged();
        for secret in self.secrets() {
            // A prefix with nothing behind it is what an error says that a key must begin with.
            let holds = |line: &&str| {
                let ends = |(at, _): (usize, _)| line.as_bytes().get(at + secret.len()).copied();
                let goes_on = |next: u8| !secret.ends_with('_') || next.is_ascii_alphanumeric();
                line.match_indices(&secret).filter_map(ends).any(goes_on)
            };
            let leak = logged.lines().find(holds);
            assert!(
                leak.is_none(),
                "a secret is in the log: {}",
                leak.unwrap_or_default()
            );
        }
    }
}

/// The project's own folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// [`order`] with more fields.
pub fn order_with(order_id: &str, more: &Value) -> Value {
    let mut body = order(order_id);
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

/// The table, over a client.
pub fn table_of(client: aws_sdk_dynamodb::Client) -> Table {
    table_in_scope(client, OrderScope::Merchant)
}

/// The same as a deployment with this scope has it.
pub fn table_in_scope(client: aws_sdk_dynamodb::Client, order_scope: OrderScope) -> Table {
    let config = TableConfig {
        name: "payments".to_owned(),
        record_days: 90,
        paid_record_days: 3650,
        order_scope: Some(order_scope),
    };
    Table::new(client, config)
}

/// The key of an order's payment in [`CONVERSATION`].
pub fn payment_key(order_id: &str) -> PaymentKey {
    let conversation_id = ConversationId::parse(CONVERSATION).expect("a conversation");
    PaymentKey::new(conversation_id, OrderId::parse(order_id).expect("an order"))
}

/// The name of a payment that a test makes up.
pub fn payment_uid(number: u8) -> PaymentUid {
    PaymentUid::from_bits([number; 16])
}

/// The functions' own AWS clients, of an endpoint of the tests.
pub fn aws_clients(endpoint: &str) -> aws::Clients {
    let config = config::aws(|name| {
        let value = match name {
            "AWS_REGION" => "eu-central-1",
            "AWS_ACCESS_KEY_ID" => "AKID",
            "AWS_SECRET_ACCESS_KEY" => "SECRET",
            "AWS_ENDPOINT_URL" => endpoint,
            _ => return None,
        };
        Some(value.to_owned())
    });
    aws::Clients::new(
        &config.expect("configuration"),
        &tls::client_config(None).expect("TLS"),
    )
    .expect("clients")
}

/// A client with connections of its own, which trusts what the functions trust.
pub fn http() -> Http {
    Http::new(&tls::client_config(None).expect("TLS")).expect("a client")
}

/// A request body for $50.00.
pub fn order(order_id: &str) -> Value {
    json!({ "conversation_id": CONVERSATION, "order_id": order_id, "amount": "50.00", "currency": "usd" })
}

/// An API Gateway REST event, of the shape AWS sends.
pub fn rest_event(
    method: &str,
    path: &str,
    path_parameters: &Value,
    query: &Value,
    body: &str,
) -> Value {
    json!({
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": { "content-type": "application/json", "host": "api.example.com" },
        "multiValueHeaders": { "content-type": ["application/json"], "host": ["api.example.com"] },
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {},
        "pathParameters": path_parameters,
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "stage": "v1", "httpMethod": method,
            "path": path, "resourcePath": path, "resourceId": "r", "requestId": "q",
            "identity": { "sourceIp": "127.0.0.1" },
        },
        "body": body,
        "isBase64Encoded": false,
    })
}

/// An API Gateway event of the payer's browser that asks for the page.
pub fn page_event() -> Value {
    rest_event("GET", "/pay", &json!({}), &json!({}), "")
}

/// An API Gateway event of the page that asks for the session of a link, given its URL or just its
/// token.
pub fn session_event(payment_url: &str) -> Value {
    let body = json!({ "token": token_of(payment_url) });
    rest_event(
        "POST",
        "/pay/session",
        &json!({}),
        &json!({}),
        &body.to_string(),
    )
}

/// What is secret of a pay link.
pub fn token_of(payment_url: &str) -> &str {
    payment_url.rsplit('#').next().unwrap_or_default()
}

/// A Function URL event, of the shape AWS sends.
pub fn url_event(body: &[u8], signature: Option<&str>, base64: bool) -> Value {
    let encoded = if base64 {
        base64::engine::general_purpose::STANDARD.encode(body)
    } else {
        String::from_utf8(body.to_vec()).expect("a plain body is text")
    };
    let mut headers = json!({ "content-type": "application/json", "host": "url.example.com" });
    if let Some(signature) = signature {
        headers["stripe-signature"] = signature.into();
    }
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous", "apiId": "url", "domainName": "url.example.com", "domainPrefix": "url",
            "http": { "method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "Stripe" },
            "requestId": "q", "routeKey": "$default", "stage": "$default",
            "time": "22/Nov/2026:19:37:42 +0000", "timeEpoch": START * 1000,
        },
        "body": encoded,
        "isBase64Encoded": base64,
    })
}

/// The request the handler gets for an event.
pub fn request(event: &Value) -> Request {
    shared::lambda::entry::request(&event.to_string()).expect("an event")
}

/// A handler's answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// `Retry-After`, where there is one.
    pub retry_after: Option<String>,
    /// JSON body.
    pub body: Value,
}

impl Answer {
    pub fn read(response: Response<Body>) -> Self {
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (content_type, retry_after) = (
            header("content-type").unwrap_or_default(),
            header("retry-after"),
        );
        let status = response.status().as_u16();
        let Body::Text(text) = response.into_body() else {
            panic!("a text body")
        };
        Self {
            status,
            content_type,
            retry_after,
            body: serde_json::from_str(&text).expect("JSON"),
        }
    }

    /// Panics unless it has this status, and this text in a field.
    #[track_caller]
    pub fn must_be(&self, status: u16, field: &str, text: &str) {
        let got = (self.status, self.text(field));
        assert_eq!(got, (status, text), "{:#}", self.body);
    }

    /// A text field of the body.
    pub fn text(&self, field: &str) -> &str {
        self.body[field]
            .as_str()
            .unwrap_or_else(|| panic!("no text {field} in {:#}", self.body))
    }
}
