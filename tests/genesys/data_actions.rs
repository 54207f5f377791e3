//! The Data Action files, run as Genesys runs them (`tests/local/data_action.py`), against the
//! handlers they call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use lambda_http::http::Uri;
use lambda_http::{Body, Response};
use serde_json::{Map, Value, json};
use shared::domain::payment::PaymentStatus;
use shared::lambda::problem::{Problem, ProblemCode};
use stand_ins::{Fault, Match, Stage};
use tests::{Answer, CONVERSATION, Setup, World, order, request, rest_event, root};

/// The actions that call the API; each is there once for Web Services and once, with this suffix,
/// for AWS Lambda.
const VARIANTS: [&str; 2] = ["", " (Lambda)"];
const POSTS: [&str; 3] = [
    "Create Payment",
    "Create Payment Secure",
    "Confirm With Token",
];
const QUERY: &str = "Get Payment Status";
const CANCEL: &str = "Cancel Payment";

/// Another call than [`CONVERSATION`].
const ANOTHER_CALL: &str = "0b0e7c7e-3a53-4a3c-8f5e-6d1f6a2b9c01";

/// What callers, agents and careless flows may put into a text. It is a valid value only in a
/// description, or before the `@` of an e-mail address.
const NASTY: [&str; 29] = [
    "\"",
    "\\",
    "\\\"",
    "it's \"so called\" \\ /",
    "line\nbreak\r\n\tand tab",
    "\u{0}\u{1}\u{8}\u{c}\u{1f}",
    "\u{7f}\u{85}\u{2028}\u{2029}\u{feff}",
    "Zürich, 東京, العربية",
    "😀🏳️‍🌈",
    "${input.amount}",
    "$!{input.amount}",
    "$input.order_id",
    "${credentials.apiKey}",
    "$esc.jsonString(\"x\")",
    "#set($input.amount = \"0.01\")",
    "#if(true)",
    "#else",
    "#end",
    "#{end}",
    "## no comment",
    "#* no comment *#",
    "\",\"amount\":\"0.01",
    "\"},{\"amount\":\"0.01",
    "\\\",\"amount\":\"0.01",
    "\\u0022,\\u0022amount\\u0022:\\u00220.01",
    "a b&order_id=B-1#f?/../%2e%00+~*",
    "\"\"",
    "$",
    "#",
];

fn python() -> PathBuf {
    let python = root().join(".venv/bin/python");
    assert!(
        python.exists(),
        "the tools are not installed: run `make tools`"
    );
    python
}

/// The process that plays Genesys. It ends when this one does and its standard input with it.
struct Genesys {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Genesys {
    fn start() -> Self {
        let mut process = Command::new(python())
            .arg(root().join("tests/local/data_action.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, answers }
    }

    fn ask(question: &Value) -> Value {
        static GENESYS: LazyLock<Mutex<Genesys>> = LazyLock::new(|| Mutex::new(Genesys::start()));
        let mut genesys = GENESYS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = String::new();
        let asked = writeln!(
            genesys.process.stdin.as_mut().expect("a pipe"),
            "{question}"
        );
        let answered = asked.and_then(|()| genesys.answers.read_line(&mut answer));
        assert!(
            answered.is_ok_and(|length| length > 0),
            "data_action.py has ended. Are the tools old? Run `make tools`"
        );
        serde_json::from_str(&answer).expect("JSON")
    }
}

/// What an action sends.
struct Sent {
    method: String,
    url: String,
    headers: Value,
    body: Option<String>,
}

impl Sent {
    fn json(&self) -> Value {
        let body = self.body.as_deref().expect("a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// The path below the stage, and the parameters, both as they stand in the URL.
    fn path_and_query(&self) -> (Vec<String>, Option<String>) {
        let url: Uri = self
            .url
            .parse()
            .unwrap_or_else(|error| panic!("{error}: {:.200}", self.url));
        assert_eq!(
            url.authority().unwrap().as_str(),
            "API_ID.execute-api.REGION.amazonaws.com"
        );
        let path = url
            .path()
            .strip_prefix("/v1/")
            .unwrap_or_else(|| panic!("{:.200}", self.url));
        (
            path.split('/').map(str::to_owned).collect(),
            url.query().map(str::to_owned),
        )
    }

    /// What API Gateway or Lambda makes of it for the function.
    async fn arrive(&self, world: &World) -> Answer {
        let response = if let Some(function) = self.url.strip_prefix(FUNCTION_ARN) {
            let event =
                shared::lambda::entry::request(self.body.as_deref().expect("a body")).unwrap();
            match function {
                "CREATE_INTENT_FUNCTION" => world.create_intent.handle(event).await,
                "STATUS_QUERY_FUNCTION" => world.status_query.handle(event).await,
                other => panic!("no function {other}"),
            }
        } else {
            let (path, query) = self.path_and_query();
            let event = |parameters: Value| {
                let query = query
                    .as_deref()
                    .map_or_else(|| json!({}), |query| json!(form(query)));
                let path = format!("/{}", path.join("/"));
                request(&rest_event(
                    &self.method,
                    &path,
                    &parameters,
                    &query,
                    self.body.as_deref().unwrap_or_default(),
                ))
            };
            match (
                self.method.as_str(),
                &path.iter().map(String::as_str).collect::<Vec<_>>()[..],
            ) {
                ("POST", ["payments"]) => world.create_intent.handle(event(json!({}))).await,
                ("GET", ["payments", id]) => {
                    world
                        .status_query
                        .handle(event(json!({ "conversation_id": decoded(id) })))
                        .await
                }
                ("DELETE", ["payments", id]) => {
                    world
                        .create_intent
                        .handle(event(json!({ "conversation_id": decoded(id) })))
                        .await
                }
                _ => panic!("no route {} {}", self.method, self.url),
            }
        };
        Answer::read(response)
    }
}

const FUNCTION_ARN: &str = "arn:aws:lambda:REGION:ACCOUNT_ID:function:";

/// A form's fields, decoded.
fn form(query: &str) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let fields: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(fields.len(), pairs.len(), "a field twice: {query}");
    fields
}

fn decoded(text: &str) -> String {
    assert!(!text.contains(['&', '=']), "{text}");
    form(&format!("x={text}")).remove("x").unwrap()
}

/// One file.
struct Action {
    kind: String,
    file: PathBuf,
    json: Value,
}

impl Action {
    fn all() -> Vec<Self> {
        let folder = root().join("genesys/data-actions");
        let entries = |folder: &Path| {
            let mut paths: Vec<PathBuf> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            paths.sort();
            paths
        };
        let files = entries(&folder).into_iter().flat_map(|kind| {
            let name = kind.file_name().unwrap().to_str().unwrap().to_owned();
            entries(&kind)
                .into_iter()
                .map(move |file| (name.clone(), file))
        });
        let read = |(kind, file): (String, PathBuf)| {
            let json = serde_json::from_str(&fs::read_to_string(&file).unwrap()).expect("JSON");
            Self { kind, file, json }
        };
        files.map(read).collect()
    }

    fn named(name: &str) -> Self {
        Self::all()
            .into_iter()
            .find(|action| action.name() == name)
            .unwrap_or_else(|| panic!("no action {name}"))
    }

    /// Those that call the API, by name.
    fn of_the_api() -> Vec<Self> {
        Self::all()
            .into_iter()
            .filter(|action| action.kind != "genesys-cloud")
            .collect()
    }

    fn name(&self) -> &str {
        self.json["name"].as_str().unwrap()
    }

    /// The name without the suffix of its variant.
    fn base_name(&self) -> &str {
        self.name().trim_end_matches(VARIANTS[1])
    }

    fn input_schema(&self) -> &Value {
        &self.json["contract"]["input"]["inputSchema"]
    }

    fn inputs(&self) -> &Map<String, Value> {
        self.input_schema()["properties"].as_object().unwrap()
    }

    fn outputs(&self) -> &Map<String, Value> {
        self.json["contract"]["output"]["successSchema"]["properties"]
            .as_object()
            .unwrap()
    }

    fn required(&self) -> Vec<&str> {
        self.input_schema()["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect()
    }

    /// Inputs with which it goes well: an order of its own, for $50.00 where there is an amount.
    fn good(&self, order_id: &str) -> Map<String, Value> {
        let value = |name: &str| match name {
            "conversation_id" => CONVERSATION,
            "order_id" => order_id,
            "amount" => "50.00",
            "currency" => "usd",
            "payment_method" => "pm_card_visa",
            "to_address" | "from_address" => "+15551234567",
            "text_body" => "Please pay here.",
            _ => "",
        };
        let good = self
            .inputs()
            .keys()
            .map(|name| (name.clone(), json!(value(name))));
        good.filter(|(_, value)| value != "").collect()
    }

    fn send(&self, inputs: &Map<String, Value>) -> Result<Sent, String> {
        let credentials = json!({ "apiKey": "the-key" });
        let answer = Genesys::ask(
            &json!({ "file": self.file, "inputs": inputs, "credentials": credentials }),
        );
        if let Some(failure) = answer["failure"].as_str() {
            return Err(failure.to_owned());
        }
        assert_eq!(
            answer["timeout_seconds"],
            self.json["config"]["timeoutSeconds"]
        );
        Ok(Sent {
            method: answer["method"].as_str().unwrap().to_owned(),
            url: answer["url"].as_str().unwrap().to_owned(),
            headers: answer["headers"].clone(),
            body: answer["body"].as_str().map(str::to_owned),
        })
    }

    fn receive(&self, response: &Value) -> Result<Value, String> {
        let answer = Genesys::ask(&json!({ "file": self.file, "response": response }));
        answer["failure"].as_str().map_or_else(
            || Ok(answer["outputs"].clone()),
            |failure| Err(failure.to_owned()),
        )
    }

    /// What the action makes of a handler's answer. A direct invocation has no status: its problem
    /// is a function error.
    fn take(&self, answer: &Answer) -> Result<Value, String> {
        let is_problem = !(200..300).contains(&answer.status);
        self.receive(&if self.kind == "aws-lambda" && is_problem {
            let error =
                json!({ "errorType": answer.body["code"], "errorMessage": answer.body["detail"] });
            json!({ "status": 200, "body": error.to_string(), "function_error": "Unhandled" })
        } else {
            json!({ "status": answer.status, "body": answer.body.to_string() })
        })
    }

    /// The whole way: inputs, request, handler, reply, outputs. The outputs are the reply's fields,
    /// no more and no less.
    async fn run(&self, world: &World, inputs: &Map<String, Value>) -> Outputs {
        let answer = self.send(inputs).unwrap().arrive(world).await;
        let outputs = self
            .take(&answer)
            .unwrap_or_else(|failure| panic!("{failure}: {:#}", answer.body));
        let mut reply = answer.body;
        if !self.outputs().contains_key("client_secret") {
            reply
                .as_object_mut()
                .unwrap()
                .remove("client_secret")
                .expect("a reply has every field");
        }
        assert_eq!(outputs, reply, "{}", self.name());
        Outputs(outputs)
    }
}

/// What the flow gets.
struct Outputs(Value);

impl Outputs {
    fn text(&self, name: &str) -> &str {
        self.0[name]
            .as_str()
            .unwrap_or_else(|| panic!("no text {name} in {:#}", self.0))
    }

    fn status(&self) -> &str {
        self.text("payment_status")
    }

    /// Everything but the pay link, which is another one in every reply that has one.
    fn but_the_link(&self) -> Value {
        with(self.0.as_object().unwrap(), "payment_url", &Value::Null).into()
    }
}

fn with(inputs: &Map<String, Value>, name: &str, value: &Value) -> Map<String, Value> {
    let mut inputs = inputs.clone();
    inputs.insert(name.to_owned(), value.clone());
    inputs
}

// ---- requests ----

/// The body that an API action, or `Send Payment Link`, sends for these inputs.
fn wanted_body(action: &Action, inputs: &Map<String, Value>) -> Value {
    let required = action.required();
    let is_sent =
        |name: &str, value: &Value| required.contains(&name) || !(value.is_null() || value == "");
    let sent = inputs.iter().filter(|(name, value)| is_sent(name, value));
    let name_there = |name: &str| match name {
        "from_address" => "fromAddress".to_owned(),
        "to_address" => "toAddress".to_owned(),
        "text_body" => "textBody".to_owned(),
        same => same.to_owned(),
    };
    let mut body: Map<String, Value> = sent
        .map(|(name, value)| (name_there(name), value.clone()))
        .collect();
    match action.base_name() {
        "Create Payment Secure" => body.insert("include_client_secret".to_owned(), json!(true)),
        CANCEL => body.insert("operation".to_owned(), json!("cancel")),
        "Send Payment Link" => body.insert("toAddressMessengerType".to_owned(), json!("sms")),
        _ => None,
    };
    Value::Object(body)
}

fn assert_sent(action: &Action, inputs: &Map<String, Value>) {
    let sent = action
        .send(inputs)
        .unwrap_or_else(|failure| panic!("{failure}: {inputs:?}"));
    if sent.method == "POST" {
        assert_eq!(
            sent.json(),
            wanted_body(action, inputs),
            "{}",
            action.name()
        );
        return;
    }
    let (path, query) = sent.path_and_query();
    let [payments, conversation] = &path[..] else {
        panic!("{:.200}", sent.url)
    };
    assert_eq!(
        (payments.as_str(), json!(decoded(conversation))),
        ("payments", inputs["conversation_id"].clone())
    );
    let is_sent = |order: &&Value| {
        action.required().contains(&"order_id") || !(order.is_null() || **order == "")
    };
    let order = inputs.get("order_id").filter(is_sent);
    let force = inputs.get("force").and_then(Value::as_bool);
    let wanted: Map<String, Value> = order
        .map(|order| ("order_id".to_owned(), order.clone()))
        .into_iter()
        .chain(force.map(|force| ("force".to_owned(), json!(force.to_string()))))
        .collect();
    assert_eq!(
        json!(form(&query.unwrap_or_default())),
        json!(wanted),
        "{}",
        action.name()
    );
}

#[test]
fn whatever_an_input_holds_the_request_carries_exactly_that() {
    let long = "x\"\\".repeat(5_000);
    for action in Action::all() {
        let good = action.good("A-1");
        let of_type = |kind: &str| -> Vec<(&String, &Value)> {
            let inputs = action.inputs().iter();
            inputs
                .filter(|(_, property)| property["type"] == kind)
                .collect()
        };
        let texts = of_type("string");
        for (name, _) in &texts {
            for nasty in NASTY.into_iter().chain([long.as_str(), " ", ""]) {
                assert_sent(&action, &with(&good, name, &json!(nasty)));
            }
        }
        for (name, _) in of_type("integer") {
            for number in [0, 1, 5000, 99_999_999] {
                assert_sent(&action, &with(&good, name, &json!(number)));
            }
        }
        for (name, _) in of_type("boolean") {
            for flag in [true, false] {
                assert_sent(&action, &with(&good, name, &json!(flag)));
            }
        }
        for nasty in NASTY {
            assert_sent(
                &action,
                &texts
                    .iter()
                    .map(|(name, _)| ((*name).clone(), json!(nasty)))
                    .collect(),
            );
        }
    }
}

#[test]
fn an_optional_input_that_is_unset_or_empty_leaves_no_trace() {
    for action in Action::all() {
        let required = action.required();
        let mut only_required = action.good("A-1");
        only_required.retain(|name, _| required.contains(&name.as_str()));
        assert_sent(&action, &only_required);
        for (name, property) in action
            .inputs()
            .iter()
            .filter(|(name, _)| !required.contains(&name.as_str()))
        {
            assert_sent(&action, &with(&only_required, name, &Value::Null));
            if property["type"] == "string" {
                assert_sent(&action, &with(&only_required, name, &json!("")));
            }
        }
    }
}

#[test]
fn an_input_that_is_missing_or_of_another_type_is_not_sent() {
    for action in Action::all() {
        let good = action.good("A-1");
        for name in action.required() {
            let mut inputs = good.clone();
            inputs.remove(name);
            assert!(
                action.send(&inputs).is_err(),
                "{} without {name}",
                action.name()
            );
        }
        for (name, property) in action.inputs() {
            let other = if property["type"] == "string" {
                json!(50)
            } else {
                json!("50")
            };
            assert!(
                action.send(&with(&good, name, &other)).is_err(),
                "{} with another type of {name}",
                action.name()
            );
        }
    }
}

/// The problem with which a text is refused; without one it arrives at Stripe.
fn problem(input: &str, text: &str) -> Option<&'static str> {
    match input {
        "conversation_id" => Some("invalid_conversation_id"),
        "order_id" => Some("invalid_order_id"),
        "amount" => Some("invalid_amount"),
        "currency" | "region" => Some("invalid_currency"),
        "payment_method" => Some("invalid_payment_method"),
        "description" => text
            .contains(|c: char| c.is_control() && !c.is_whitespace())
            .then_some("malformed_request"),
        "receipt_email" => text
            .contains(|c: char| c.is_control() || c.is_whitespace())
            .then_some("invalid_receipt_email"),
        other => panic!("no input {other}"),
    }
}

#[tokio::test]
async fn a_nasty_text_arrives_at_stripe_unchanged_or_is_refused_and_never_changes_an_amount() {
    for variant in VARIANTS {
        for name in POSTS {
            let action = Action::named(&format!("{name}{variant}"));
            let world = World::new().await;
            let texts = action
                .inputs()
                .iter()
                .filter(|(_, property)| property["type"] == "string");
            for (number, (input, nasty)) in texts
                .flat_map(|(input, _)| NASTY.iter().map(move |nasty| (input, *nasty)))
                .enumerate()
            {
                let text = if input == "receipt_email" {
                    format!("{nasty}@b.example")
                } else {
                    nasty.to_owned()
                };
                let mut inputs = action.good(&format!("A-{number}"));
                if input == "region" {
                    inputs.remove("currency");
                }
                let before = world.stripe.intents().len();
                let sent = action.send(&with(&inputs, input, &json!(text))).unwrap();
                let answer = sent.arrive(&world).await;
                let intents = world.stripe.intents();
                if let Some(code) = problem(input, &text) {
                    assert_eq!(answer.text("code"), code, "{input} {text:?}");
                    assert_eq!(intents.len(), before, "{input} {text:?}");
                    assert!(action.take(&answer).is_err());
                } else {
                    assert_eq!(
                        (answer.status, intents.len()),
                        (201, before + 1),
                        "{input} {text:?} {:#}",
                        answer.body
                    );
                    let intent = world
                        .stripe
                        .intent(answer.text("payment_intent_id"))
                        .unwrap();
                    assert_eq!(
                        (&intent[input], &intent["amount"]),
                        (&json!(text), &json!(5000))
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_nasty_name_is_queried_and_canceled_by_nobody() {
    let world = World::new().await;
    world.begin("A-1").await;
    for action in Action::of_the_api()
        .iter()
        .filter(|action| [QUERY, CANCEL].contains(&action.base_name()))
    {
        for (input, code) in [
            ("conversation_id", "invalid_conversation_id"),
            ("order_id", "invalid_order_id"),
        ] {
            for nasty in NASTY {
                let inputs = with(&action.good("A-1"), input, &json!(nasty));
                let answer = action.send(&inputs).unwrap().arrive(&world).await;
                assert_eq!(answer.text("code"), code, "{nasty:?}");
                assert!(action.take(&answer).is_err());
            }
        }
    }
    assert_eq!(
        world.stripe.intents()[0]["status"],
        "requires_payment_method",
        "nothing was canceled"
    );
}

// ---- replies ----

const STATUSES: [PaymentStatus; 7] = [
    PaymentStatus::Creating,
    PaymentStatus::Pending,
    PaymentStatus::Processing,
    PaymentStatus::Authorized,
    PaymentStatus::Confirmed,
    PaymentStatus::Declined,
    PaymentStatus::Canceled,
];

/// A flow's view of one world: its actions of one variant, and every status they gave.
struct Flow {
    world: Arc<World>,
    variant: &'static str,
    seen: BTreeSet<String>,
}

impl Flow {
    async fn new(variant: &'static str, setup: Setup) -> Self {
        Self {
            world: Arc::new(World::with(setup).await),
            variant,
            seen: BTreeSet::new(),
        }
    }

    async fn run(&mut self, name: &str, order_id: &str, more: &Value) -> Outputs {
        let action = Action::named(&format!("{name}{}", self.variant));
        let mut inputs = action.good(order_id);
        inputs.extend(more.as_object().unwrap().clone());
        let outputs = action.run(&self.world, &inputs).await;
        self.seen.insert(outputs.status().to_owned());
        outputs
    }

    async fn query(&mut self, order_id: &str) -> Outputs {
        self.run(QUERY, order_id, &json!({})).await
    }
}

#[tokio::test]
async fn every_status_reaches_the_flow_as_the_reply_says_it() {
    for variant in VARIANTS {
        let mut flow = Flow::new(variant, Setup::default()).await;
        assert_eq!(flow.query("A-1").await.status(), "NOT_FOUND");

        let first = flow
            .run(
                "Create Payment",
                "A-1",
                &json!({ "description": "Order \"A-1\"" }),
            )
            .await;
        let again = flow.run("Create Payment", "A-1", &json!({})).await;
        assert_eq!(
            (first.status(), first.but_the_link()),
            ("PENDING", again.but_the_link())
        );
        let links = [first.text("payment_url"), again.text("payment_url")];
        assert!(
            links
                .iter()
                .all(|link| link.starts_with("https://pay.example.com/pay#"))
                && links[0] != links[1]
        );
        assert_eq!(
            (first.text("amount"), &first.0["amount_minor"]),
            ("50.00", &json!(5000))
        );

        let minor = json!({ "amount": null, "amount_minor": 500, "currency": "", "region": "jp" });
        let yen = flow.run("Create Payment", "A-2", &minor).await;
        assert_eq!((yen.text("amount"), yen.text("currency")), ("500", "jpy"));

        for _ in ["first", "replayed"] {
            let secure = flow.run("Create Payment Secure", "A-3", &json!({})).await;
            let intent = flow
                .world
                .stripe
                .intent(secure.text("payment_intent_id"))
                .unwrap();
            assert_eq!(secure.0["client_secret"], intent["client_secret"]);
        }

        for (token, reason, retryable) in [
            (
                "pm_card_visa_chargeDeclinedInsufficientFunds",
                "insufficient_funds",
                true,
            ),
            ("pm_card_visa_chargeDeclinedLostCard", "lost_card", false),
        ] {
            let declined = flow
                .run(
                    "Confirm With Token",
                    "A-4",
                    &json!({ "payment_method": token }),
                )
                .await;
            assert_eq!(
                (declined.status(), declined.text("reason_code")),
                ("DECLINED", reason)
            );
            assert_eq!(
                (&declined.0["retryable"], &declined.0["final"]),
                (&json!(retryable), &json!(false))
            );
            assert_eq!(
                flow.query("A-4").await.but_the_link(),
                declined.but_the_link()
            );
        }
        let secure = flow.run("Create Payment Secure", "A-4", &json!({})).await;
        assert!(
            !secure.text("client_secret").is_empty(),
            "another card may pay a declined payment"
        );
        for _ in ["first", "replayed"] {
            let paid = flow.run("Confirm With Token", "A-4", &json!({})).await;
            assert_eq!(
                (paid.status(), &paid.0["final"]),
                ("CONFIRMED", &json!(true))
            );
        }
        assert_eq!(
            flow.run("Create Payment Secure", "A-4", &json!({}))
                .await
                .text("client_secret"),
            ""
        );

        let processing = json!({ "payment_method": "pm_card_processing" });
        assert_eq!(
            flow.run("Confirm With Token", "A-5", &processing)
                .await
                .status(),
            "PROCESSING"
        );
        assert_eq!(flow.query("A-5").await.status(), "PROCESSING");

        let canceled = flow.run(CANCEL, "A-1", &json!({})).await;
        assert_eq!(
            (canceled.status(), &canceled.0["final"]),
            ("CANCELED", &json!(true))
        );
        assert_eq!(flow.query("A-1").await.0, canceled.0);
        assert_eq!(
            flow.run("Create Payment", "A-1", &json!({})).await.0["attempt"],
            2
        );

        flow.world
            .crash_while_creating(Stage::Answer, order("A-6"))
            .await;
        let creating = flow.query("A-6").await;
        assert_eq!(
            (creating.text("payment_intent_id"), &creating.0["retryable"]),
            ("", &json!(true))
        );

        let mut manual = Flow::new(
            variant,
            Setup {
                capture_method: "manual",
                ..Setup::default()
            },
        )
        .await;
        manual.run("Confirm With Token", "A-7", &json!({})).await;
        assert_eq!(manual.query("A-7").await.status(), "AUTHORIZED");

        let seen: BTreeSet<&str> = flow
            .seen
            .iter()
            .chain(&manual.seen)
            .map(String::as_str)
            .collect();
        assert_eq!(
            seen,
            STATUSES
                .map(PaymentStatus::as_str)
                .into_iter()
                .chain(["NOT_FOUND"])
                .collect()
        );
    }
}

#[tokio::test]
async fn a_cancellation_tells_the_flow_what_became_of_the_payment() {
    for variant in VARIANTS {
        let mut flow = Flow::new(variant, Setup::default()).await;
        let cancel =
            async |flow: &mut Flow, order_id: &str| flow.run(CANCEL, order_id, &json!({})).await;
        assert_eq!(cancel(&mut flow, "A-1").await.status(), "NOT_FOUND");

        let payment = flow.run("Create Payment", "A-1", &json!({})).await;
        for _ in ["first", "again"] {
            let canceled = cancel(&mut flow, "A-1").await;
            assert_eq!(
                (canceled.status(), canceled.text("payment_url")),
                ("CANCELED", "")
            );
            assert_eq!(
                canceled.text("payment_intent_id"),
                payment.text("payment_intent_id")
            );
        }
        assert_eq!(
            flow.world
                .open_link(payment.text("payment_url"))
                .await
                .text("state"),
            "canceled"
        );
        assert!(
            flow.world
                .stripe
                .pay(payment.text("payment_intent_id"), "pm_card_visa")
                .is_err()
        );
        let anew = flow.run("Create Payment", "A-1", &json!({})).await;
        assert_eq!((anew.status(), &anew.0["attempt"]), ("PENDING", &json!(2)));

        // What went through, or is on its way, is told as that.
        for (order_id, token, status) in [
            ("A-2", "pm_card_visa", "CONFIRMED"),
            ("A-3", "pm_card_processing", "PROCESSING"),
        ] {
            let payment = flow.run("Create Payment", order_id, &json!({})).await;
            flow.world.advance(5);
            flow.world
                .stripe
                .pay(payment.text("payment_intent_id"), token)
                .unwrap();
            assert_eq!(cancel(&mut flow, order_id).await.status(), status);
        }

        // An outage is no answer; asked again, it is done.
        flow.run("Create Payment", "A-4", &json!({})).await;
        flow.world.stripe.outage(
            Match::post("/v1/payment_intents").ending("/cancel"),
            Fault::status(503),
        );
        let action = Action::named(&format!("{CANCEL}{variant}"));
        let answer = action
            .send(&action.good("A-4"))
            .unwrap()
            .arrive(&flow.world)
            .await;
        assert_eq!(
            (answer.text("code"), action.take(&answer).is_err()),
            ("stripe_unavailable", true)
        );
        flow.world.stripe.clear_faults();
        assert_eq!(cancel(&mut flow, "A-4").await.status(), "CANCELED");
    }
}

#[tokio::test]
async fn without_an_order_the_one_that_the_call_asked_for_last_is_queried() {
    for variant in VARIANTS {
        let mut flow = Flow::new(variant, Setup::default()).await;
        flow.run("Create Payment", "A-1", &json!({})).await;
        flow.world.advance(1);
        flow.run("Create Payment", "A-2", &json!({})).await;
        for unset in [json!({ "order_id": null }), json!({ "order_id": "" })] {
            assert_eq!(flow.run(QUERY, "A-1", &unset).await.text("order_id"), "A-2");
        }
        assert_eq!(flow.query("A-1").await.text("order_id"), "A-1");
        flow.world.advance(1);
        flow.run("Create Payment", "A-1", &json!({})).await;
        let newest = flow.run(QUERY, "A-1", &json!({ "order_id": "" })).await;
        assert_eq!(newest.text("order_id"), "A-1", "asked for last");
    }
}

#[tokio::test]
async fn a_payment_is_held_by_the_call_that_asked_for_it_last() {
    for variant in VARIANTS {
        let mut flow = Flow::new(variant, Setup::default()).await;
        let another_call = json!({ "conversation_id": ANOTHER_CALL });
        let held = |outputs: &Outputs, by: &str, is_holder: bool| {
            assert_eq!(
                (outputs.text("conversation_id"), &outputs.0["is_holder"]),
                (by, &json!(is_holder))
            );
        };
        held(&flow.query("A-1").await, CONVERSATION, false);
        let first = flow.run("Create Payment", "A-1", &json!({})).await;
        held(&first, CONVERSATION, true);
        held(&flow.query("A-1").await, CONVERSATION, true);
        held(
            &flow.run(QUERY, "A-1", &another_call).await,
            CONVERSATION,
            false,
        );

        for name in ["Create Payment", "Create Payment Secure"] {
            let second = flow.run(name, "A-1", &another_call).await;
            held(&second, ANOTHER_CALL, true);
            assert_eq!(
                second.text("payment_intent_id"),
                first.text("payment_intent_id")
            );
        }
        held(&flow.query("A-1").await, ANOTHER_CALL, false);
        let canceled = flow.run(CANCEL, "A-1", &json!({})).await;
        held(&canceled, ANOTHER_CALL, false);
        assert_eq!(canceled.status(), "CANCELED");
        held(
            &flow.run(CANCEL, "A-1", &another_call).await,
            ANOTHER_CALL,
            true,
        );
        held(
            &flow.run("Confirm With Token", "A-1", &json!({})).await,
            CONVERSATION,
            true,
        );
    }
}

#[tokio::test]
async fn a_new_price_is_refused_unless_it_replaces_the_open_payment() {
    for variant in VARIANTS {
        let mut flow = Flow::new(variant, Setup::default()).await;
        for (number, name) in POSTS.into_iter().enumerate() {
            let order_id = format!("A-{number}");
            let open = flow.run("Create Payment", &order_id, &json!({})).await;
            let action = Action::named(&format!("{name}{variant}"));
            let refused = async |flow: &Flow, amount: &str, replace: Value| {
                let inputs = with(&action.good(&order_id), "amount", &json!(amount));
                let sent = action.send(&with(&inputs, "replace", &replace)).unwrap();
                let answer = sent.arrive(&flow.world).await;
                assert_eq!(
                    (answer.text("code"), action.take(&answer).is_err()),
                    ("order_changed", true),
                    "{name}"
                );
            };
            for replace in [Value::Null, json!(false)] {
                refused(&flow, "60.00", replace).await;
            }

            let new = json!({ "amount": "60.00", "replace": true });
            let replaced = flow.run(name, &order_id, &new).await;
            assert_eq!(
                (replaced.text("amount"), &replaced.0["attempt"]),
                ("60.00", &json!(2))
            );
            let ended = open.text("payment_intent_id");
            assert_eq!(
                flow.world.stripe.intent(ended).unwrap()["status"],
                "canceled"
            );
            let again = flow.run(name, &order_id, &new).await;
            assert_eq!(again.0["attempt"], 2, "a replay");

            if name != "Confirm With Token" {
                flow.world.advance(5);
                let intent = replaced.text("payment_intent_id");
                flow.world.stripe.pay(intent, "pm_card_visa").unwrap();
            }
            refused(&flow, "70.00", json!(true)).await;
        }
        let amounts: Vec<i64> = flow
            .world
            .stripe
            .charges()
            .iter()
            .map(|c| c.amount)
            .collect();
        assert_eq!(amounts, [6000; 3]);
    }
}

#[tokio::test]
async fn a_payment_of_another_call_whose_payer_is_at_the_bank_is_canceled_by_force_only() {
    for variant in VARIANTS {
        let mut flow = Flow::new(variant, Setup::default()).await;
        let at_the_bank = async |flow: &mut Flow, order_id: &str, conversation_id: &str| {
            let more = json!({ "conversation_id": conversation_id });
            let payment = flow.run("Create Payment", order_id, &more).await;
            flow.world.advance(5);
            let intent = payment.text("payment_intent_id");
            let paid = flow
                .world
                .stripe
                .pay(intent, "pm_card_authenticationRequired");
            assert_eq!(paid.unwrap()["status"], "requires_action");
        };
        at_the_bank(&mut flow, "A-1", ANOTHER_CALL).await;
        let action = Action::named(&format!("{CANCEL}{variant}"));
        for force in [Value::Null, json!(false)] {
            let inputs = with(&action.good("A-1"), "force", &force);
            let answer = action.send(&inputs).unwrap().arrive(&flow.world).await;
            assert_eq!(
                (answer.text("code"), action.take(&answer).is_err()),
                ("in_progress", true)
            );
        }
        let forced = flow.run(CANCEL, "A-1", &json!({ "force": true })).await;
        assert_eq!(forced.status(), "CANCELED");

        at_the_bank(&mut flow, "A-2", CONVERSATION).await;
        let own = flow.run(CANCEL, "A-2", &json!({})).await;
        assert_eq!(own.status(), "CANCELED", "the holder needs no force");
    }
}

/// The field of the response that an output comes from.
fn field<'a>(action: &Action, output: &'a str) -> &'a str {
    if action.kind == "genesys-cloud" {
        "conversationId"
    } else {
        output
    }
}

/// Outputs of the contract's types, all different from the defaults.
fn full_outputs(action: &Action, text: &dyn Fn(&str) -> String) -> Map<String, Value> {
    let value = |name: &str, property: &Value| match property["type"].as_str().unwrap() {
        "integer" => json!(7),
        "boolean" => json!(true),
        _ => json!(text(name)),
    };
    action
        .outputs()
        .iter()
        .map(|(name, property)| (name.clone(), value(name, property)))
        .collect()
}

/// What the action makes of a response with these values, each in the field that its output comes
/// from.
fn received(action: &Action, outputs: &Map<String, Value>) -> Result<Value, String> {
    let body: Map<String, Value> = outputs
        .iter()
        .map(|(name, v)| (field(action, name).to_owned(), v.clone()))
        .collect();
    action.receive(&json!({ "status": 200, "body": json!(body).to_string() }))
}

#[test]
fn a_field_that_is_missing_gets_its_default_and_one_of_another_type_fails() {
    for action in Action::all() {
        let full = full_outputs(&action, &str::to_owned);
        assert_eq!(
            received(&action, &full),
            Ok(json!(full)),
            "{}",
            action.name()
        );
        for (name, property) in action.outputs() {
            let (default, other) = match property["type"].as_str().unwrap() {
                "integer" => (json!(0), json!("7")),
                "boolean" => (json!(false), json!("true")),
                _ => (json!(""), json!(7)),
            };
            let mut without = full.clone();
            without.remove(name);
            let wanted = json!(with(&full, name, &default));
            assert_eq!(
                received(&action, &without),
                Ok(wanted),
                "{} without {name}",
                action.name()
            );
            for wrong in [other, Value::Null] {
                assert!(
                    received(&action, &with(&full, name, &wrong)).is_err(),
                    "{} {name} {wrong}",
                    action.name()
                );
            }
        }
    }
}

#[test]
fn whatever_a_reply_s_texts_hold_the_flow_gets_exactly_that() {
    for action in Action::all() {
        for nasty in NASTY {
            let full = full_outputs(&action, &|name| format!("{name}: {nasty}"));
            assert_eq!(
                received(&action, &full),
                Ok(json!(full)),
                "{}",
                action.name()
            );
        }
    }
}

#[test]
fn every_problem_takes_the_failure_path() {
    for action in Action::of_the_api() {
        for code in ProblemCode::ALL {
            let response: Response<Body> = Problem::new(*code, "why").into_response();
            let failure = action.take(&Answer::read(response)).unwrap_err();
            let wanted = match action.kind.as_str() {
                "aws-lambda" => "function error Unhandled".to_owned(),
                _ => format!("status {}", code.status().as_u16()),
            };
            assert_eq!(failure, wanted, "{} {}", action.name(), code.as_str());
        }
    }
}

// ---- what the files must agree with ----

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn the_contracts_are_the_fields_that_the_handlers_read_and_write() {
    let world = World::new().await;
    let known = BTreeSet::from(create_intent::request::FIELDS);
    let reply = world.post(&order("A-1")).await.body;
    let reply = keys(&reply);

    for action in Action::of_the_api() {
        let name = action.base_name();
        let wanted: BTreeSet<&str> = match name {
            QUERY => BTreeSet::from(["conversation_id", "order_id"]),
            CANCEL => BTreeSet::from(["conversation_id", "order_id", "force"]),
            // `Create Payment Secure` says include_client_secret itself; only a token's action has
            // a token.
            _ => known
                .iter()
                .copied()
                .filter(|field| *field != "include_client_secret")
                .filter(|field| *field != "payment_method" || name == "Confirm With Token")
                .collect(),
        };
        let inputs: BTreeSet<&str> = action.inputs().keys().map(String::as_str).collect();
        assert_eq!(inputs, wanted, "{}", action.name());
        let gives_secret = name == "Create Payment Secure";
        let outputs: BTreeSet<&str> = action.outputs().keys().map(String::as_str).collect();
        let wanted = reply
            .iter()
            .copied()
            .filter(|field| gives_secret || *field != "client_secret")
            .collect();
        assert_eq!(outputs, wanted, "{}", action.name());
    }
}

#[tokio::test]
async fn every_input_but_the_required_ones_can_be_left_out() {
    let world = World::new().await;
    // How much and in what can be said in two ways.
    let ways = [
        json!({}),
        json!({ "amount": null, "amount_minor": 5000, "currency": null, "region": "US" }),
    ];
    for (number, action) in Action::of_the_api().into_iter().enumerate() {
        let mut needed: BTreeSet<&str> = action.inputs().keys().map(String::as_str).collect();
        for (way, more) in ways.iter().enumerate() {
            let mut inputs = action.good(&format!("A-{number}-{way}"));
            match action.base_name() {
                QUERY => drop(inputs.remove("order_id")),
                CANCEL => {}
                _ => inputs.extend(more.as_object().unwrap().clone()),
            }
            let answer = action.send(&inputs).unwrap().arrive(&world).await;
            assert!(action.take(&answer).is_ok(), "{:#}", answer.body);
            needed.retain(|name| inputs.get(*name).is_some_and(|value| !value.is_null()));
        }
        assert_eq!(
            action.required().into_iter().collect::<BTreeSet<_>>(),
            needed,
            "{}",
            action.name()
        );
    }
}

fn template() -> serde_yaml_ng::Value {
    serde_yaml_ng::from_str(&fs::read_to_string(root().join("template.yaml")).unwrap()).unwrap()
}

#[test]
fn url_method_headers_and_time_out_are_the_template_s() {
    let template = template();
    let api = &template["Resources"]["PaymentApi"]["Properties"];
    let stage = api["StageName"].as_str().unwrap();
    assert_eq!(api["Auth"]["ApiKeyRequired"], true);
    for action in Action::of_the_api() {
        let is_query = action.base_name() == QUERY;
        let (function, event, placeholder) = match action.base_name() {
            QUERY => ("StatusQueryFunction", "GetPayment", "STATUS_QUERY_FUNCTION"),
            CANCEL => (
                "CreateIntentFunction",
                "CancelPayment",
                "CREATE_INTENT_FUNCTION",
            ),
            _ => (
                "CreateIntentFunction",
                "CreatePayment",
                "CREATE_INTENT_FUNCTION",
            ),
        };
        let function = &template["Resources"][function]["Properties"];
        let event = &function["Events"][event]["Properties"];
        let time_out_ms = action.json["config"]["timeoutSeconds"].as_u64().unwrap() * 1000;
        let longest_budget_ms = if is_query {
            u64::try_from(status_query::BUDGET.as_millis()).unwrap()
        } else {
            template["Parameters"]["BudgetMs"]["MaxValue"]
                .as_u64()
                .unwrap()
        };
        assert!(
            longest_budget_ms < time_out_ms,
            "{} waits for the whole answer",
            action.name()
        );
        assert!(
            time_out_ms <= function["Timeout"].as_u64().unwrap() * 1000,
            "{}",
            action.name()
        );

        let sent = action.send(&action.good("A:1")).unwrap();
        if action.kind == "aws-lambda" {
            assert_eq!(
                (sent.method.as_str(), sent.url),
                ("POST", format!("{FUNCTION_ARN}{placeholder}"))
            );
            assert_eq!(sent.headers, json!({}));
            continue;
        }
        assert!(
            event["TimeoutInMillis"].as_u64().unwrap() < time_out_ms,
            "{} gets the API's answer",
            action.name()
        );
        assert!(event["Auth"].is_null(), "the API's own rule holds");
        let path = event["Path"]
            .as_str()
            .unwrap()
            .replace("{conversation_id}", CONVERSATION);
        let query = if POSTS.contains(&action.base_name()) {
            ""
        } else {
            "?order_id=A%3A1"
        };
        let url = format!("https://API_ID.execute-api.REGION.amazonaws.com/{stage}{path}{query}");
        assert_eq!(
            (Some(sent.method.as_str()), sent.url),
            (event["Method"].as_str(), url)
        );
        assert_eq!(
            sent.headers,
            json!({ "Content-Type": "application/json", "x-api-key": "the-key" })
        );
    }
}

#[test]
fn the_lambda_variant_differs_only_in_how_the_function_is_reached() {
    for name in POSTS.into_iter().chain([QUERY, CANCEL]) {
        let [mut web, mut lambda] =
            VARIANTS.map(|variant| Action::named(&format!("{name}{variant}")).json);
        for json in [&mut web, &mut lambda] {
            let fields = json.as_object_mut().unwrap();
            fields.remove("name");
            fields.remove("integrationType");
            let request = json["config"]["request"].as_object_mut().unwrap();
            request.remove("requestUrlTemplate");
            request.remove("headers");
            if !POSTS.contains(&name) {
                request.remove("requestType");
                request.remove("requestTemplate");
            }
        }
        assert_eq!(web, lambda, "{name}");
    }
}

#[test]
fn every_file_has_the_shape_of_an_export() {
    let kinds = BTreeMap::from([
        ("web-services", "custom-rest-actions"),
        ("aws-lambda", "aws-lambda-data-actions"),
        ("genesys-cloud", "purecloud-data-actions"),
    ]);
    let mut names = BTreeMap::<&str, BTreeSet<String>>::new();
    for action in Action::all() {
        let json = &action.json;
        assert_eq!(
            keys(json),
            BTreeSet::from([
                "name",
                "integrationType",
                "actionType",
                "config",
                "contract",
                "secure"
            ])
        );
        assert_eq!(
            action.file.file_name().unwrap().to_str().unwrap(),
            format!("{}.custom.json", action.name())
        );
        assert_eq!(json["integrationType"], kinds[action.kind.as_str()]);
        assert_eq!(json["actionType"], "custom");
        assert_eq!(
            json["secure"],
            ["Create Payment Secure", "Confirm With Token"].contains(&action.base_name())
        );
        assert_eq!(
            keys(&json["config"]),
            BTreeSet::from(["request", "response", "timeoutSeconds"])
        );
        assert!((1..=60).contains(&json["config"]["timeoutSeconds"].as_u64().unwrap()));

        let request = &json["config"]["request"];
        assert_eq!(
            keys(request),
            BTreeSet::from([
                "requestUrlTemplate",
                "requestType",
                "headers",
                "requestTemplate"
            ])
        );
        // What these ask for is in the URL; the template is Genesys's default.
        if ["GET", "DELETE"].contains(&request["requestType"].as_str().unwrap()) {
            assert_eq!(request["requestTemplate"], "${input.rawRequest}");
        }

        let response = &json["config"]["response"];
        assert_eq!(
            keys(response),
            BTreeSet::from([
                "translationMap",
                "translationMapDefaults",
                "successTemplate"
            ])
        );
        let outputs: BTreeSet<&str> = action.outputs().keys().map(String::as_str).collect();
        assert_eq!(keys(&response["translationMap"]), outputs);
        assert_eq!(keys(&response["translationMapDefaults"]), outputs);

        assert_eq!(
            keys(&json["contract"]["input"]),
            BTreeSet::from(["inputSchema"])
        );
        assert_eq!(
            keys(&json["contract"]["output"]),
            BTreeSet::from(["successSchema"])
        );
        for schema in [
            action.input_schema(),
            &json["contract"]["output"]["successSchema"],
        ] {
            assert_eq!(schema["$schema"], "http://json-schema.org/draft-04/schema#");
            assert_eq!(
                (&schema["type"], &schema["additionalProperties"]),
                (&json!("object"), &json!(true))
            );
            for (name, property) in schema["properties"].as_object().unwrap() {
                // Scalars only: Architect takes nothing nested for an input.
                assert_eq!(
                    keys(property),
                    BTreeSet::from(["type", "description"]),
                    "{} {name}",
                    action.name()
                );
                assert!(
                    ["string", "integer", "boolean"].contains(&property["type"].as_str().unwrap()),
                    "{name}"
                );
                assert!(
                    property["description"].as_str().unwrap().ends_with('.'),
                    "{} {name}",
                    action.name()
                );
            }
        }
        names
            .entry(kinds[action.kind.as_str()])
            .or_default()
            .insert(action.name().to_owned());
    }
    let of_the_api = |variant: &str| {
        POSTS
            .into_iter()
            .chain([QUERY, CANCEL])
            .map(|name| format!("{name}{variant}"))
            .collect()
    };
    let wanted = BTreeMap::from([
        ("custom-rest-actions", of_the_api(VARIANTS[0])),
        ("aws-lambda-data-actions", of_the_api(VARIANTS[1])),
        (
            "purecloud-data-actions",
            BTreeSet::from(["Send Payment Link".to_owned()]),
        ),
    ]);
    assert_eq!(names, wanted);
}

#[test]
fn a_message_goes_out_through_genesys_s_own_api() {
    let action = Action::named("Send Payment Link");
    let sent = action.send(&action.good("")).unwrap();
    assert_eq!(
        (sent.method.as_str(), sent.url.as_str()),
        ("POST", "/api/v2/conversations/messages/agentless")
    );
    assert_eq!(sent.headers, json!({ "Content-Type": "application/json" }));
    let accepted =
        json!({ "id": "m-1", "conversationId": "c-1", "messengerType": "sms" }).to_string();
    assert_eq!(
        action.receive(&json!({ "status": 202, "body": accepted })),
        Ok(json!({ "conversation_id": "c-1" }))
    );
}

// ---- the stand-in itself ----

/// A file with these templates, whose only output is the success template's `text`.
fn scratch(name: &str, url: &str, path: &str) -> Action {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.custom.json"));
    let mut json = Action::named("Send Payment Link").json;
    json["config"]["request"]["requestUrlTemplate"] = json!(url);
    json["config"]["response"]["translationMap"] = json!({ "text": path });
    json["config"]["response"]["translationMapDefaults"] = json!({ "text": "\"default\"" });
    json["config"]["response"]["successTemplate"] = json!("{\"text\": ${text}}");
    json["contract"]["output"]["successSchema"]["properties"] = json!({});
    fs::write(&file, json.to_string()).unwrap();
    Action {
        kind: "web-services".to_owned(),
        file,
        json,
    }
}

/// What Apache Velocity 1.7 makes of the same templates.
#[test]
fn templates_are_rendered_as_by_velocity() {
    let inputs = json!({ "from_address": "", "to_address": "+1 5", "text_body": "#end ${input.to_address} \" \\" });
    for (number, (template, wanted)) in [
        (
            "${input.unset}|$!{input.unset}|$input.unset|$!input.unset",
            "${input.unset}||$input.unset|",
        ),
        ("${input.text_body}", "#end ${input.to_address} \" \\"),
        (
            "$esc.jsonString(\"${input.text_body}\")",
            "#end ${input.to_address} \\\" \\\\",
        ),
        (
            "$esc.jsonString(${input.text_body})",
            "#end ${input.to_address} \\\" \\\\",
        ),
        ("$esc.jsonString(\"${input.unset}\")", "${input.unset}"),
        ("$esc.jsonString(\"$!{input.unset}\")", ""),
        (
            "$esc.jsonString(${input.unset})",
            "$esc.jsonString(${input.unset})",
        ),
        ("$esc.url(\"${input.to_address}\")", "%2B1+5"),
        (
            "$esc.unknown(\"x\")|$unknown.url(\"x\")",
            "$esc.unknown(\"x\")|$unknown.url(\"x\")",
        ),
        ("#if(\"$!{input.unset}\" != \"\")a#else b#end", " b"),
        ("#if(\"$!{input.from_address}\" != \"\")a#else b#end", " b"),
        ("#if(\"${input.unset}\" != \"\")a#else b#end", "a"),
        ("#if(\"$!{input.text_body}\" != \"\")a#else b#end", "a"),
        ("#if($input.unset)a#{else}b#end", "b"),
    ]
    .into_iter()
    .enumerate()
    {
        let action = scratch(&format!("template-{number}"), template, "$.text");
        assert_eq!(
            action.send(inputs.as_object().unwrap()).unwrap().url,
            wanted,
            "{template}"
        );
    }
    for (number, wrong) in ["#if(true)", "#if($input.text_body)a#end"]
        .into_iter()
        .enumerate()
    {
        let action = scratch(&format!("template-wrong-{number}"), wrong, "$.text");
        assert!(action.send(inputs.as_object().unwrap()).is_err(), "{wrong}");
    }
}

#[test]
fn a_path_finds_a_value_null_or_nothing_and_a_default_stands_in_for_nothing() {
    for (number, (path, body, wanted)) in [
        ("$.a", json!({ "a": "x" }), json!("x")),
        ("$.a.b", json!({ "a": { "b": [1, 2] } }), json!([1, 2])),
        ("$.a", json!({ "a": null }), Value::Null),
        ("$.a", json!({}), json!("default")),
        (
            "$.a[?(@.b == 1)].c",
            json!({ "a": [{ "b": 1, "c": 2 }, { "b": 2, "c": 3 }] }),
            json!([2]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let action = scratch(&format!("path-{number}"), "x", path);
        let outputs = action.receive(&json!({ "status": 200, "body": body.to_string() }));
        assert_eq!(outputs, Ok(json!({ "text": wanted })), "{path} of {body}");
    }
    assert!(
        scratch("path-json", "x", "$.a")
            .receive(&json!({ "status": 200, "body": "<html>" }))
            .is_err()
    );
}

// ---- genesys/fill.py ----

/// Runs fill.py over a stack's outputs; gives its folder, or what it complained of.
fn filled(folder: &str, outputs: &Value) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let _ = fs::remove_dir_all(&folder);
    let mut child = Command::new(python())
        .args([root().join("genesys/fill.py"), folder.clone()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(outputs.to_string().as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    if ended.status.success() {
        Ok(folder)
    } else {
        Err(String::from_utf8(ended.stderr).unwrap())
    }
}

const OUTPUTS: [(&str, &str, &str); 3] = [
    (
        "ApiUrl",
        "https://API_ID.execute-api.REGION.amazonaws.com/v1",
        "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1",
    ),
    (
        "CreateIntentFunctionArn",
        "arn:aws:lambda:REGION:ACCOUNT_ID:function:CREATE_INTENT_FUNCTION",
        "arn:aws:lambda:eu-central-1:123456789012:function:pay-CreateIntentFunction-9xYz",
    ),
    (
        "StatusQueryFunctionArn",
        "arn:aws:lambda:REGION:ACCOUNT_ID:function:STATUS_QUERY_FUNCTION",
        "arn:aws:lambda:eu-central-1:123456789012:function:pay-StatusQueryFunction-8wVu",
    ),
];

fn output((name, _, value): (&str, &str, &str)) -> Value {
    json!({ "OutputKey": name, "OutputValue": value, "Description": "" })
}

#[test]
fn every_placeholder_is_filled_and_nothing_else_changes() {
    let outputs: Vec<Value> = OUTPUTS
        .map(output)
        .into_iter()
        .chain([output(("TableName", "", "payments"))])
        .collect();
    let folder = filled("filled", &json!(outputs)).unwrap();
    for action in Action::all() {
        let text = fs::read_to_string(&action.file).unwrap();
        let got = fs::read_to_string(
            folder
                .join(&action.kind)
                .join(action.file.file_name().unwrap()),
        )
        .unwrap();
        let wanted = OUTPUTS
            .iter()
            .fold(text.clone(), |text, (_, placeholder, value)| {
                text.replace(placeholder, value)
            });
        assert_eq!(got, wanted, "{}", action.name());
        assert_eq!(
            got != text,
            action.kind != "genesys-cloud",
            "{} has an address",
            action.name()
        );
        for left in ["API_ID", "REGION", "ACCOUNT_ID", "_FUNCTION"] {
            assert!(!got.contains(left), "{left} is left in {}", action.name());
        }
    }
}

#[test]
fn an_output_that_is_missing_or_no_address_is_named() {
    for (number, (name, ..)) in OUTPUTS.into_iter().enumerate() {
        for instead in [None, Some("https://x/v1\", \"x\": \"")] {
            let others = OUTPUTS
                .into_iter()
                .filter(|(other, ..)| *other != name)
                .map(output);
            let outputs: Vec<Value> = others
                .chain(instead.map(|value| output((name, "", value))))
                .collect();
            let complaint = filled(&format!("unfilled-{number}"), &json!(outputs)).unwrap_err();
            assert!(
                complaint.starts_with(&format!("missing or malformed outputs: {name}. ")),
                "{complaint}"
            );
        }
    }
}
