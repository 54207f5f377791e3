//! What leaves the process, run as Lambda runs it: the real runtime loop with its layers and its
//! panic handling, real log lines and metrics on standard output, real standard error, against a
//! Lambda Runtime API on loopback. Requests come as direct invocations and in HTTP events, with
//! private values in fields where they do not belong. Then everything that was written is searched
//! for these values. A reply over HTTP may quote what no guard refuses; a function error may not.
//!
//! The runtime reads its address from the environment, so the functions run in a process of their
//! own: this test program, started once more for [`the_functions_in_a_process_of_their_own`] alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::panic_any;
use std::pin::Pin;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Response as HttpResponse, StatusCode, Uri};
use create_intent::CreateIntentFunction;
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use shared::adapters::secrets::{CachedSecret, SecretsManager};
use shared::adapters::stripe::Stripe;
use shared::adapters::system::OsRandom;
use shared::domain::time::UnixMillis;
use shared::lambda::problem::ProblemCode;
use shared::ports::Clock;
use stand_ins::{Fault, Match, Outcome, Reply};
use tests::{CONVERSATION, Setup, World, http, order, rest_event, url_event};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

/// Set in the functions' process: where the Lambda Runtime API is.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Which test is the functions' process.
const FUNCTIONS: &str = "runtime::the_functions_in_a_process_of_their_own";

// Values that no guard knows, and that are nobody's business all the same.
const PERSON: &str = "Wilhelmina Kanarienvogel";
const MAIL: &str = "wilhelmina@kanarienvogel.example";
const CODES: &str = "cvc 987 exp 11/31";
const UNKNOWN_FIELD: &str = "wilhelmina_cvc_987";
const AMOUNT: &str = "31337.07";
const AMOUNT_WITH_COMMA: &str = "31,337.07";
const STANDING_AMOUNT: &str = "2718.28";
const CHANGED_AMOUNT: &str = "4711.08";

// Values that a guard refuses.
const KEY: &str = "sk_test_51QmPrivateKeyaB3dE6gH9jK2mN5pQ8";
const CARD: &str = "4539578763621486";

// Tokens that belong where they are sent.
const TOKEN: &str = "pm_1QmPrivateTokenhJ7kL1mN4pQ8rS2tV6wX9y";
const DECLINED_TOKEN: &str = "pm_1QmPrivateDeclinekL8mN2pQ5rS9tV3wX7yZ1";

/// What must be in no reply either.
const REFUSED: [&str; 6] = [
    KEY,
    CARD,
    TOKEN,
    DECLINED_TOKEN,
    tests::SECRET_KEY,
    tests::WEBHOOK_SECRET,
];

/// What else must be in no log, no metric and no function error, in lower case.
const PRIVATE: [&str; 11] = [
    "wilhelmina",
    "kanarienvogel",
    "cvc 987",
    "cvc_987",
    "11/31",
    AMOUNT,
    "31,337",
    STANDING_AMOUNT,
    "271828",
    CHANGED_AMOUNT,
    "471108",
];

// ---- Lambda's side ----

/// What a function answered to an event.
#[derive(Clone, Debug)]
struct Posted {
    /// The invocation's id.
    id: String,
    /// `response` or `error`.
    kind: String,
    body: String,
}

/// A Lambda Runtime API, with an endpoint of its own by which events are sent: `POST /events`.
#[derive(Clone)]
struct RuntimeApi {
    sent: mpsc::UnboundedSender<(String, String)>,
    waiting: Arc<AsyncMutex<mpsc::UnboundedReceiver<(String, String)>>>,
    asked: Arc<Mutex<BTreeMap<String, oneshot::Sender<Posted>>>>,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl RuntimeApi {
    async fn start() -> (Self, String) {
        let (sent, waiting) = mpsc::unbounded_channel();
        let api = Self {
            sent,
            waiting: Arc::new(AsyncMutex::new(waiting)),
            asked: Arc::default(),
            posted: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (api, address)
    }

    async fn invoke(&self, event: String) -> Posted {
        let (post, posted) = oneshot::channel();
        let id = {
            let mut asked = self.asked.lock().unwrap();
            let id = format!(
                "00000000-0000-4000-8000-{:012}",
                self.posted.lock().unwrap().len()
            );
            asked.insert(id.clone(), post);
            id
        };
        self.sent.send((id, event)).unwrap();
        posted.await.unwrap()
    }

    fn take(&self, id: &str, kind: &str, body: String) {
        let posted = Posted {
            id: id.to_owned(),
            kind: kind.to_owned(),
            body,
        };
        self.posted.lock().unwrap().push(posted.clone());
        self.asked
            .lock()
            .unwrap()
            .remove(id)
            .expect("an invocation that waits")
            .send(posted)
            .unwrap();
    }
}

async fn answer(
    State(api): State<RuntimeApi>,
    method: Method,
    uri: Uri,
    body: String,
) -> HttpResponse<String> {
    let respond = |status: StatusCode, body: String| {
        HttpResponse::builder().status(status).body(body).unwrap()
    };
    let path: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
    match (method.as_str(), path.as_slice()) {
        ("POST", ["events"]) => {
            let Posted { id, kind, body } = api.invoke(body).await;
            respond(
                StatusCode::OK,
                json!({ "id": id, "kind": kind, "body": body }).to_string(),
            )
        }
        ("GET", ["2018-06-01", "runtime", "invocation", "next"]) => {
            let (id, event) = api.waiting.lock().await.recv().await.unwrap();
            HttpResponse::builder()
                .header("Lambda-Runtime-Aws-Request-Id", id)
                .header("Lambda-Runtime-Deadline-Ms", "1795000010000")
                .header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:eu-central-1:123456789012:function:f",
                )
                .body(event)
                .unwrap()
        }
        (
            "POST",
            [
                "2018-06-01",
                "runtime",
                "invocation",
                id,
                kind @ ("response" | "error"),
            ],
        ) => {
            api.take(id, kind, body);
            respond(StatusCode::ACCEPTED, String::new())
        }
        _ => respond(StatusCode::NOT_FOUND, String::new()),
    }
}

/// Lines of the functions' process that a function wrote; those of the test harness are of no
/// interest.
fn written(output: &Output) -> Vec<String> {
    let harness = |line: &str| {
        line.is_empty()
            || line.starts_with("running 1 test")
            || line.starts_with("test ") && !line.contains('{')
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The harness writes the name of its test without a line break.
    let text = text.replace(&format!("test {FUNCTIONS} ... "), "");
    text.lines()
        .filter(|line| !harness(line) && *line != "ok")
        .map(str::to_owned)
        .collect()
}

/// A line without its times, whose digits could be anything.
fn timeless(line: &str) -> String {
    let Ok(mut fields) = serde_json::from_str::<serde_json::Map<String, Value>>(line) else {
        return line.to_owned();
    };
    fields.remove("timestamp");
    fields.remove("_aws");
    Value::from(fields).to_string()
}

fn holds(text: &str, values: &[&'static str]) -> Option<&'static str> {
    let text = text.to_lowercase();
    values
        .iter()
        .copied()
        .find(|value| text.contains(&value.to_lowercase()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_private_of_a_request_leaves_the_process_but_in_its_reply_over_http() {
    let (api, address) = RuntimeApi::start().await;
    let functions = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args([FUNCTIONS, "--exact", "--nocapture", "--test-threads=1"])
            .env(RUNTIME_API, address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "f")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
            .env("RUST_BACKTRACE", "full")
            .output()
            .unwrap()
    });
    let output = functions.await.unwrap();
    let (lines, stderr) = (
        written(&output),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let all: Vec<&'static str> = PRIVATE.into_iter().chain(REFUSED).collect();
    let found: Vec<&String> = lines
        .iter()
        .filter(|line| holds(&timeless(line), &all).is_some())
        .collect();
    assert!(
        found.is_empty(),
        "{} of {} lines, the first: {}",
        found.len(),
        lines.len(),
        found[0]
    );
    assert!(output.status.success(), "{stderr}\n{}", lines.join("\n"));
    assert_eq!(stderr, "", "on standard error");
    for line in &lines {
        assert!(
            serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()),
            "no JSON line: {line}"
        );
    }
    let posted = api.posted.lock().unwrap().clone();
    let mut told = BTreeSet::new();
    for Posted { id, kind, body } in &posted {
        let said: Value = serde_json::from_str(body).unwrap();
        let values = if kind == "error" {
            &all[..]
        } else {
            &REFUSED[..]
        };
        assert_eq!(holds(body, values), None, "{kind} {said:#}");
        if kind == "error" {
            let (code, message) = (
                said["errorType"].as_str().unwrap(),
                said["errorMessage"].as_str().unwrap(),
            );
            assert!(!message.is_empty(), "{body}");
            told.insert(code.to_owned());
            was_logged(&lines, id, code);
        }
    }
    assert!(
        ProblemCode::ALL
            .iter()
            .all(|code| told.contains(code.as_str())),
        "a function error is missing: {told:?}"
    );
    assert!(
        ["panic", "other_event"]
            .iter()
            .all(|code| told.contains(*code)),
        "{told:?}"
    );
    // A panic's own line says where, once for each.
    let panics: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["location"].is_string())
        .collect();
    assert_eq!(
        panics.len(),
        posted
            .iter()
            .filter(|posted| posted.body.contains("\"panic\""))
            .count()
    );
    assert!(
        panics
            .iter()
            .all(|line| line["location"].as_str().unwrap().contains("runtime.rs:")),
        "{panics:#?}"
    );
}

/// The invocation's own line says the code, under its request id.
fn was_logged(lines: &[String], id: &str, code: &str) {
    if code.contains("::") {
        // The runtime could not read the event as JSON; nothing of ours ran.
        return;
    }
    let said = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .any(|line| {
            line["span"]["requestId"] == id
                && [&line["code"], &line["outcome"]].contains(&&Value::from(code))
        });
    assert!(
        said,
        "no line has the code {code} for {id}: {}",
        lines.join("\n")
    );
}

/// The search bites: what is planted is found.
#[test]
fn a_planted_private_value_is_found() {
    for value in [
        PERSON,
        MAIL,
        CODES,
        UNKNOWN_FIELD,
        AMOUNT,
        AMOUNT_WITH_COMMA,
        STANDING_AMOUNT,
        CHANGED_AMOUNT,
    ] {
        assert!(
            holds(
                &format!("{{\"detail\":\"it is {}\"}}", value.to_uppercase()),
                &PRIVATE
            )
            .is_some(),
            "{value}"
        );
    }
    assert_eq!(
        holds("{\"timestamp\":\"2026-11-22T19:37:42.313370Z\"}", &PRIVATE),
        None
    );
}

// ---- the functions' side ----

type Answering = Pin<Box<dyn Future<Output = Response<Body>>>>;
type Handle = Box<dyn Fn(Request) -> Answering>;

fn create(world: &Rc<World>) -> Handle {
    let world = Rc::clone(world);
    Box::new(move |request| {
        let world = Rc::clone(&world);
        Box::pin(async move { world.create_intent.handle(request).await })
    })
}

fn status(world: &Rc<World>) -> Handle {
    let world = Rc::clone(world);
    Box::new(move |request| {
        let world = Rc::clone(&world);
        Box::pin(async move { world.status_query.handle(request).await })
    })
}

fn webhook(world: &Rc<World>) -> Handle {
    let world = Rc::clone(world);
    Box::new(move |request| {
        let world = Rc::clone(&world);
        Box::pin(async move { world.stripe_webhook.handle(request).await })
    })
}

/// Stops the functions' process; its own panic hook would not tell why.
fn wrong(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}

/// Sends events to the handler of the moment, through the runtime.
struct Driver {
    events: String,
    http: reqwest::Client,
    handle: Rc<RefCell<Handle>>,
    reached: BTreeSet<String>,
}

impl Driver {
    fn let_answer(&self, handle: Handle) {
        *self.handle.borrow_mut() = handle;
    }

    async fn send(&self, event: &str) -> (String, Value) {
        let sent = self
            .http
            .post(&self.events)
            .body(event.to_owned())
            .send()
            .await
            .unwrap();
        let posted: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
        let body = serde_json::from_str(posted["body"].as_str().unwrap()).unwrap();
        (posted["kind"].as_str().unwrap().to_owned(), body)
    }

    /// The direct invocation is answered with this function error or status; gives the error's
    /// message.
    async fn direct(&mut self, body: &str, wanted: &str) -> String {
        let (kind, said) = self.send(body).await;
        let told = if kind == "error" {
            &said["errorType"]
        } else {
            &said["payment_status"]
        };
        if told != wanted {
            wrong(&format!("direct: {wanted} expected for {body}: {said:#}"));
        }
        self.reached.insert(wanted.to_owned());
        said["errorMessage"].as_str().unwrap_or_default().to_owned()
    }

    /// The HTTP event is answered with this code, status or outcome; gives the reply.
    async fn http(&mut self, event: &Value, wanted: &str) -> Value {
        let (kind, said) = self.send(&event.to_string()).await;
        let reply: Value = said["body"]
            .as_str()
            .and_then(|body| serde_json::from_str(body).ok())
            .unwrap_or_default();
        let told = ["code", "payment_status", "outcome"]
            .into_iter()
            .any(|field| reply[field] == wanted);
        if kind != "response" || !told {
            wrong(&format!("HTTP: {wanted} expected for {event:#}: {said:#}"));
        }
        self.reached.insert(format!("HTTP {wanted}"));
        reply
    }

    /// The same request in both shapes. A function error names the field that the problem over HTTP
    /// names, and says what that says but for the value.
    async fn both(&mut self, body: &Value, event: &Value, wanted: &str) {
        let message = self.direct(&body.to_string(), wanted).await;
        let reply = self.http(event, wanted).await;
        let field = reply["field"].as_str().unwrap_or_default();
        let detail = reply["detail"].as_str().unwrap_or_default();
        if !message.contains(field) || !detail.starts_with(&message) {
            wrong(&format!(
                "{wanted}: the function error is {message:?}, and over HTTP {reply:#}"
            ));
        }
    }

    async fn create(&mut self, body: &Value, wanted: &str) {
        let event = rest_event(
            "POST",
            "/payments",
            &json!({}),
            &json!({}),
            &body.to_string(),
        );
        self.both(body, &event, wanted).await;
    }

    async fn query(&mut self, conversation_id: &str, order_id: &str, wanted: &str) {
        let event = named("GET", conversation_id, order_id);
        self.both(
            &json!({ "conversation_id": conversation_id, "order_id": order_id }),
            &event,
            wanted,
        )
        .await;
    }

    async fn cancel(&mut self, conversation_id: &str, order_id: &str, wanted: &str) {
        let event = named("DELETE", conversation_id, order_id);
        let body = json!({ "operation": "cancel", "conversation_id": conversation_id, "order_id": order_id });
        self.both(&body, &event, wanted).await;
    }
}

fn named(method: &str, conversation_id: &str, order_id: &str) -> Value {
    let path = format!("/payments/{conversation_id}");
    rest_event(
        method,
        &path,
        &json!({ "conversation_id": conversation_id }),
        &json!({ "order_id": order_id }),
        "",
    )
}

/// A request for an order at the standing amount, and more.
fn with(order_id: &str, more: &Value) -> Value {
    let mut body = order(order_id);
    body["amount"] = STANDING_AMOUNT.into();
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

fn stripe_create() -> Match {
    Match::post("/v1/payment_intents").exactly()
}

/// Stripe's error, with what it was sent in its message.
fn stripe_says(status: u16, kind: &str) -> Reply {
    let error = json!({ "type": kind, "code": KEY, "message": format!("{PERSON} {MAIL} {CODES}"), "param": MAIL });
    Reply::status(status)
        .body(&json!({ "error": error }).to_string())
        .should_retry(false)
}

/// Requests that are refused for what they say.
async fn wrong_requests(driver: &mut Driver) {
    for (more, code) in [
        (json!({ UNKNOWN_FIELD: PERSON }), "malformed_request"),
        (json!({ MAIL: { CODES: PERSON } }), "malformed_request"),
        (
            json!({ "description": [PERSON, CODES] }),
            "malformed_request",
        ),
        (
            json!({ "description": PERSON.repeat(60) }),
            "malformed_request",
        ),
        (
            json!({ "description": format!("{PERSON}\u{7}") }),
            "malformed_request",
        ),
        (json!({ "receipt_email": PERSON }), "invalid_receipt_email"),
        (json!({ "receipt_email": CODES }), "invalid_receipt_email"),
        (
            json!({ "include_client_secret": PERSON }),
            "malformed_request",
        ),
        (json!({ "conversation_id": [PERSON] }), "malformed_request"),
        (
            json!({ "order_id": { PERSON: CODES } }),
            "malformed_request",
        ),
        (json!({ "amount": [CODES] }), "malformed_request"),
        (json!({ "order_id": KEY }), "malformed_request"),
        (json!({ KEY: 1 }), "malformed_request"),
        (
            json!({ "description": PERSON, "pad": PERSON.repeat(4000) }),
            "request_too_large",
        ),
        (json!({ "amount": CODES }), "invalid_amount"),
        (json!({ "amount": PERSON }), "invalid_amount"),
        (json!({ "amount": AMOUNT_WITH_COMMA }), "invalid_amount"),
        (
            json!({ "amount": null, "amount_minor": CODES }),
            "invalid_amount",
        ),
        (
            json!({ "amount": AMOUNT, "amount_minor": 3_133_707 }),
            "invalid_amount",
        ),
        (json!({ "currency": PERSON }), "invalid_currency"),
        (json!({ "currency": CODES }), "invalid_currency"),
        (
            json!({ "currency": "", "region": PERSON }),
            "invalid_currency",
        ),
        (
            json!({ "currency": "", "description": PERSON }),
            "invalid_currency",
        ),
        (
            json!({ "currency": "chf", "description": PERSON }),
            "currency_not_allowed",
        ),
        (
            json!({ "region": "JP", "description": PERSON }),
            "currency_mismatch",
        ),
        (json!({ "amount": AMOUNT }), "amount_above_limit"),
        (
            json!({ "amount": "0.07", "description": PERSON }),
            "amount_below_minimum",
        ),
        (
            json!({ "conversation_id": PERSON }),
            "invalid_conversation_id",
        ),
        (
            json!({ "conversation_id": MAIL }),
            "invalid_conversation_id",
        ),
        (json!({ "order_id": PERSON }), "invalid_order_id"),
        (json!({ "order_id": CODES }), "invalid_order_id"),
        (
            json!({ "payment_method": PERSON }),
            "invalid_payment_method",
        ),
        (
            json!({ "payment_method": format!("{TOKEN}!") }),
            "invalid_payment_method",
        ),
        (
            json!({ "description": format!("{PERSON} {CARD}") }),
            "card_data_refused",
        ),
        (json!({ UNKNOWN_FIELD: CARD }), "card_data_refused"),
    ] {
        driver.create(&with("A-1", &more), code).await;
    }
    for text in [
        PERSON,
        &format!("{{\"description\": \"{PERSON}"),
        &format!("\"{CODES}\""),
        &format!("[\"{MAIL}\"]"),
    ] {
        let event = rest_event("POST", "/payments", &json!({}), &json!({}), text);
        driver.http(&event, "malformed_request").await;
    }
}

/// Requests that go well as far as the flow is concerned.
async fn right_requests(driver: &mut Driver, world: &Rc<World>) {
    let private = json!({ "description": format!("{PERSON}, {CODES}"), "receipt_email": MAIL });
    driver.create(&with("A-1", &private), "PENDING").await;
    driver.create(&with("A-2", &json!({})), "PENDING").await;
    driver
        .create(
            &with(
                "A-2",
                &json!({ "amount": CHANGED_AMOUNT, "receipt_email": MAIL }),
            ),
            "order_changed",
        )
        .await;
    driver
        .create(
            &with("A-3", &json!({ "payment_method": DECLINED_TOKEN })),
            "DECLINED",
        )
        .await;
    driver
        .create(
            &with("A-3", &json!({ "payment_method": TOKEN })),
            "CONFIRMED",
        )
        .await;
    world.stripe.add_payment_method(TOKEN, Outcome::Process);
    driver
        .create(
            &with("A-4", &json!({ "payment_method": TOKEN })),
            "PROCESSING",
        )
        .await;
    driver.cancel(CONVERSATION, "A-2", "CANCELED").await;
    driver.cancel(CONVERSATION, "A-0", "NOT_FOUND").await;
    driver
        .cancel(PERSON, "A-1", "invalid_conversation_id")
        .await;
    driver.cancel(CONVERSATION, CODES, "invalid_order_id").await;
    driver.cancel(CONVERSATION, "", "invalid_order_id").await;
    driver.cancel(CONVERSATION, KEY, "malformed_request").await;
    driver.cancel(CONVERSATION, CARD, "card_data_refused").await;
    let odd =
        json!({ "operation": "cancel", "conversation_id": CONVERSATION, UNKNOWN_FIELD: PERSON });
    driver.direct(&odd.to_string(), "malformed_request").await;
    let odd = json!({ "operation": PERSON, "conversation_id": CONVERSATION, "order_id": "A-1" });
    driver.direct(&odd.to_string(), "malformed_request").await;

    driver.let_answer(status(world));
    for (order_id, wanted) in [
        ("A-1", "PENDING"),
        ("A-2", "CANCELED"),
        ("A-3", "CONFIRMED"),
        ("A-4", "PROCESSING"),
        ("A-0", "NOT_FOUND"),
    ] {
        driver.query(CONVERSATION, order_id, wanted).await;
    }
    driver.query(PERSON, "A-1", "invalid_conversation_id").await;
    driver.query(CONVERSATION, PERSON, "invalid_order_id").await;
    driver.query(CONVERSATION, KEY, "malformed_request").await;
    driver.query(CONVERSATION, CARD, "card_data_refused").await;
    for odd in [
        json!({ "conversation_id": CONVERSATION, UNKNOWN_FIELD: PERSON }),
        json!({ "conversation_id": CONVERSATION, "order_id": [PERSON] }),
        json!({ "conversation_id": CONVERSATION, "operation": PERSON }),
    ] {
        driver.direct(&odd.to_string(), "malformed_request").await;
    }
    let long = json!({ "conversation_id": CONVERSATION, "order_id": PERSON.repeat(4000) });
    driver.direct(&long.to_string(), "request_too_large").await;
    driver.let_answer(create(world));
}

/// What Stripe may answer to the request that makes the intent.
async fn failing_stripe(driver: &mut Driver, world: &Rc<World>) {
    let invalid = "invalid_request_error";
    for (at, (reply, code)) in [
        (stripe_says(400, invalid), "stripe_rejected"),
        (stripe_says(401, invalid), "stripe_auth"),
        (stripe_says(429, invalid), "rate_limited"),
        (stripe_says(500, "api_error"), "stripe_unavailable"),
        (stripe_says(400, "idempotency_error"), "in_progress"),
    ]
    .into_iter()
    .enumerate()
    {
        world.stripe.outage(stripe_create(), reply);
        driver
            .create(
                &with(&format!("S-{at}"), &json!({ "description": PERSON })),
                code,
            )
            .await;
        world.stripe.clear_faults();
    }
    driver.let_answer(status(world));
    driver.query(CONVERSATION, "S-3", "CREATING").await;
    driver.let_answer(create(world));
    world.advance(20 * 3600);
    world
        .stripe
        .outage(Match::get("/v1/"), stripe_says(400, invalid));
    driver
        .create(
            &with("S-3", &json!({ "description": PERSON })),
            "attempt_expired",
        )
        .await;
    world.stripe.clear_faults();
}

/// Worlds in which something does not answer.
async fn failing_worlds(driver: &mut Driver) {
    let late = Rc::new(
        World::with(Setup {
            budget: Duration::from_millis(1000),
            ..Setup::default()
        })
        .await,
    );
    late.stripe
        .outage(stripe_create(), Fault::Silent { executed: false });
    driver.let_answer(create(&late));
    driver
        .create(
            &with("A-1", &json!({ "description": PERSON })),
            "stripe_timeout",
        )
        .await;

    let manual = Rc::new(
        World::with(Setup {
            capture_method: "manual",
            ..Setup::default()
        })
        .await,
    );
    driver.let_answer(create(&manual));
    let private = json!({ "payment_method": "pm_card_visa", "receipt_email": MAIL });
    driver.create(&with("A-1", &private), "AUTHORIZED").await;

    let other = Rc::new(World::new().await);
    other.dynamo.put_settings("conversation").await;
    driver.let_answer(create(&other));
    let private = json!({ "description": PERSON });
    driver
        .create(&with("A-1", &private), "settings_changed")
        .await;

    let tableless = Rc::new(World::new().await);
    tableless.dynamo.stop();
    driver.let_answer(create(&tableless));
    driver
        .create(
            &with("A-1", &json!({ "description": PERSON })),
            "store_unavailable",
        )
        .await;
    driver
        .cancel(CONVERSATION, "A-1", "store_unavailable")
        .await;
    driver.let_answer(status(&tableless));
    driver.query(CONVERSATION, "A-1", "store_unavailable").await;
}

async fn deliveries(driver: &mut Driver, world: &Rc<World>) {
    driver.let_answer(webhook(world));
    // Without an envelope nothing is a delivery.
    let direct = json!({ UNKNOWN_FIELD: PERSON, "data": { "object": { "description": CODES } } });
    driver
        .direct(&direct.to_string(), "method_not_allowed")
        .await;
    let mut event = world.stripe.events().remove(0);
    event["data"]["object"]["description"] = format!("{PERSON} {CODES}").into();
    event["data"]["object"]["receipt_email"] = MAIL.into();
    let signed = |event: &Value| {
        let webhook = world.stripe.webhook(event);
        url_event(&webhook.body, Some(&webhook.signature), true)
    };
    driver.http(&signed(&event), "applied").await;
    driver.http(&signed(&event), "repeated").await;
    driver
        .http(
            &url_event(event.to_string().as_bytes(), Some(PERSON), true),
            "bad_signature",
        )
        .await;
    let mut put = signed(&event);
    put["requestContext"]["http"]["method"] = "PUT".into();
    driver.http(&put, "method_not_allowed").await;
    let mut thin = event.clone();
    thin["object"] = "v2.core.event".into();
    driver.http(&signed(&thin), "thin_event").await;
    let mut other = event.clone();
    other["type"] = "charge.refunded".into();
    driver.http(&signed(&other), "other_event").await;
    let mut foreign = event.clone();
    foreign["data"]["object"]["id"] = "pi_3QmForeign".into();
    foreign["data"]["object"]["metadata"] = json!({ "note": PERSON });
    driver.http(&signed(&foreign), "not_ours").await;
    let mut edited = event.clone();
    edited["data"]["object"]["amount"] = 471_108.into();
    edited["created"] = world.stripe.now().into();
    driver.http(&signed(&edited), "disagreement").await;
    event["data"]["object"]["amount"] = PERSON.into();
    driver.http(&signed(&event), "malformed_event").await;
}

/// Events that are none.
async fn odd_events(driver: &mut Driver) {
    for event in [
        json!([PERSON, CODES]),
        json!(PERSON),
        json!({ "httpMethod": [PERSON], "body": CODES }),
        json!({ "httpMethod": PERSON, "body": CODES }),
        json!({ "requestContext": { PERSON: CODES } }),
    ] {
        driver.direct(&event.to_string(), "other_event").await;
    }
    for text in [
        PERSON,
        &format!("{{\"description\": \"{PERSON}\", {CODES}"),
        "",
    ] {
        let (kind, said) = driver.send(text).await;
        if kind != "error" {
            wrong(&format!("no JSON is answered {said:#}"));
        }
    }
}

/// A clock whose failure says too much.
#[derive(Clone, Copy, Debug)]
struct PanickingClock;

impl Clock for PanickingClock {
    fn now(&self) -> UnixMillis {
        panic!("{PERSON} {CODES} {KEY}")
    }
}

/// The function fails where nobody foresaw it, before and after it first waited, with whatever
/// payload.
async fn panics(driver: &mut Driver, world: &Rc<World>) {
    let secret = CachedSecret::new(SecretsManager::new(
        world.secrets_manager.client(),
        "stripe".to_owned(),
    ));
    let function = Rc::new(CreateIntentFunction {
        store: world.table.clone(),
        stripe: Stripe::new(
            http(),
            world.stripe.base().to_owned(),
            Arc::new(secret),
            false,
        ),
        random: OsRandom,
        clock: PanickingClock,
        policy: world.create_intent.policy.clone(),
        budget: world.create_intent.budget,
        pay_link: None,
    });
    let port: Handle = Box::new(move |request| {
        let function = Rc::clone(&function);
        Box::pin(async move { function.handle(request).await })
    });
    let late: Handle = Box::new(|request| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            panic!("{:?} {KEY}", request.body())
        })
    });
    let early: Handle = Box::new(|_| panic!("Wilhelmina Kanarienvogel"));
    let boxed: Handle = Box::new(|_| Box::pin(async { panic_any(vec![PERSON, KEY]) }));
    for handle in [port, late, early, boxed] {
        driver.let_answer(handle);
        let body = with("P-1", &json!({ "description": PERSON }));
        driver.direct(&body.to_string(), "panic").await;
        let event = rest_event(
            "POST",
            "/payments",
            &json!({}),
            &json!({}),
            &body.to_string(),
        );
        driver.direct(&event.to_string(), "panic").await;
    }
    // The process lives on.
    driver.let_answer(status(world));
    driver.query(CONVERSATION, "A-1", "PENDING").await;
}

#[tokio::test]
async fn the_functions_in_a_process_of_their_own() {
    let Ok(address) = std::env::var(RUNTIME_API) else {
        return;
    };
    shared::lambda::telemetry::start("tests");
    let world = Rc::new(World::new().await);
    world.stripe.add_payment_method(TOKEN, Outcome::Succeed);
    world
        .stripe
        .add_payment_method(DECLINED_TOKEN, Outcome::decline("insufficient_funds"));
    let handle = Rc::new(RefCell::new(create(&world)));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let events = format!("http://{address}/events");
    let mut driver = Driver {
        events,
        http,
        handle: Rc::clone(&handle),
        reached: BTreeSet::new(),
    };
    let driving = async {
        wrong_requests(&mut driver).await;
        right_requests(&mut driver, &world).await;
        deliveries(&mut driver, &world).await;
        odd_events(&mut driver).await;
        panics(&mut driver, &world).await;
        driver.let_answer(create(&world));
        failing_stripe(&mut driver, &world).await;
        failing_worlds(&mut driver).await;
    };
    tokio::select! {
        ended = shared::lambda::entry::run(|request| (*handle.borrow())(request)) => wrong(&format!("the runtime ended: {ended:?}")),
        () = driving => {}
    }
    for code in ProblemCode::ALL
        .iter()
        .map(|code| code.as_str())
        .chain(STATUSES)
    {
        if !driver.reached.contains(code) || !driver.reached.contains(&format!("HTTP {code}")) {
            wrong(&format!("{code} is missing: {:?}", driver.reached));
        }
    }
}

/// Every `payment_status` of a reply.
const STATUSES: [&str; 8] = [
    "NOT_FOUND",
    "CREATING",
    "PENDING",
    "DECLINED",
    "PROCESSING",
    "AUTHORIZED",
    "CONFIRMED",
    "CANCELED",
];
