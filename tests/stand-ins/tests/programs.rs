//! The binaries: where they listen, what they need, how they stop, what outlives them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

mod http;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::{Client, Reply};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const STRIPE: &str = env!("CARGO_BIN_EXE_stripe-stand-in");
const GENESYS: &str = env!("CARGO_BIN_EXE_genesys-stand-in");

const INTENTS: &str = "/v1/payment_intents";
const ORDER: [(&str, &str); 3] = [
    ("amount", "5000"),
    ("currency", "usd"),
    ("metadata[run]", "1"),
];

struct Program {
    child: Child,
    base: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn start(path: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = command(path, variables)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let base = first
            .strip_prefix("listening on ")
            .unwrap()
            .trim_end()
            .to_owned();
        Self {
            child,
            base,
            output,
        }
    }

    /// Asks it to stop, and checks that it does so and had nothing more to say.
    fn stop(mut self) {
        let kill = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// Gives it no chance to say goodbye.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(path: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path);
    command.env_clear().envs(variables.iter().copied());
    command
}

#[tokio::test]
async fn stripe_serves_until_it_is_told_to_stop() {
    let genesys = Program::start(
        GENESYS,
        &[("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", "s")],
    );
    let stripe = Program::start(
        STRIPE,
        &[
            ("STRIPE_SECRET_KEY", "sk_test_key"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_key"),
            ("STRIPE_WEBHOOK_URL", &format!("{}/hook", genesys.base)),
            ("PORT", "0"),
        ],
    );
    assert!(
        stripe.base.starts_with("http://127.0.0.1:"),
        "{}",
        stripe.base
    );
    let client = Client::new(&stripe.base).with("Authorization", "Bearer sk_test_key");
    let order = [("amount", "5000"), ("currency", "usd")];
    assert_eq!(client.form("/v1/payment_intents", &order).await.status, 200);
    let open = json!({ "conversation_id": "c" });
    let opened = Client::new(&genesys.base)
        .json("POST", "/_control/conversations", &open)
        .await;
    assert_eq!(opened.status, 201);
    stripe.stop();
    genesys.stop();
}

#[test]
fn what_is_missing_is_named() {
    for (path, variables, named) in [
        (
            STRIPE,
            vec![("STRIPE_SECRET_KEY", "sk_test_key")],
            "STRIPE_WEBHOOK_SECRET",
        ),
        (
            GENESYS,
            vec![("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", "")],
            "GENESYS_CLIENT_SECRET",
        ),
        (
            GENESYS,
            vec![
                ("GENESYS_CLIENT_ID", "id"),
                ("GENESYS_CLIENT_SECRET", "s"),
                ("PORT", "x"),
            ],
            "PORT",
        ),
    ] {
        let output = command(path, &variables).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(named), "{message}");
    }
}

/// A Stripe stand-in that is killed and started again where it was.
struct Mortal {
    program: Program,
    state: PathBuf,
    client: Client,
}

impl Mortal {
    /// A first life, with nothing to remember.
    fn born(name: &str) -> Self {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_file(&state);
        Self::at("0", state)
    }

    fn at(port: &str, state: PathBuf) -> Self {
        let program = Program::start(
            STRIPE,
            &[
                ("STRIPE_SECRET_KEY", "sk_test_key"),
                ("STRIPE_WEBHOOK_SECRET", "whsec_key"),
                ("STATE_FILE", state.to_str().unwrap()),
                ("PORT", port),
            ],
        );
        let client = Client::new(&program.base).with("Authorization", "Bearer sk_test_key");
        Self {
            program,
            state,
            client,
        }
    }

    fn reborn(self) -> Self {
        let port = self.program.base.rsplit(':').next().unwrap().to_owned();
        drop(self.program);
        Self::at(&port, self.state)
    }

    async fn create(&self, key: &str) -> Reply {
        self.client
            .with("Idempotency-Key", key)
            .form(INTENTS, &ORDER)
            .await
    }

    async fn read(&self, path: &str) -> Value {
        self.client.get(path).await.json()
    }

    /// Newest first.
    async fn events(&self) -> Vec<Value> {
        self.read("/v1/events").await["data"]
            .as_array()
            .unwrap()
            .clone()
    }
}

#[tokio::test]
async fn a_killed_stripe_remembers_what_it_has_answered() {
    let stripe = Mortal::born("stripe-remembers.jsonl");
    let created = stripe.create("k").await;
    let intent = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{INTENTS}/{intent}");
    let confirm = format!("{path}/confirm");
    let keyed = |stripe: &Mortal| stripe.client.with("Idempotency-Key", "declined");
    let card = [("payment_method", "pm_card_visa_chargeDeclined")];
    let declined = keyed(&stripe).form(&confirm, &card).await;
    assert_eq!(declined.status, 402);
    let declined_events = stripe.events().await;
    let paid = json!({ "intent": intent, "payment_method": "pm_card_visa" });
    assert_eq!(
        stripe
            .client
            .json("POST", "/_control/pay", &paid)
            .await
            .status,
        200
    );

    // Killed while it was writing what nobody has been told.
    File::options()
        .append(true)
        .open(&stripe.state)
        .unwrap()
        .write_all(b"{\"events\":[{\"id\":\"evt_")
        .unwrap();
    let stripe = stripe.reborn();
    assert_eq!(stripe.read(&path).await["status"], "succeeded");
    let events = stripe.events().await;
    assert_eq!(
        (events[0]["type"].as_str(), &events[1..]),
        (Some("payment_intent.succeeded"), &declined_events[..])
    );
    let repeated = stripe.create("k").await;
    assert_eq!(
        (repeated.header("idempotent-replayed"), &repeated.body),
        (Some("true"), &created.body)
    );
    let repeated = keyed(&stripe).form(&confirm, &card).await;
    assert_eq!((repeated.status, repeated.body), (402, declined.body));
    let other = stripe.create("another").await.json();
    assert_ne!(other["id"], intent);

    let stripe = stripe.reborn();
    assert_eq!(stripe.create("another").await.json()["id"], other["id"]);
    assert_eq!(stripe.events().await[1..], events);
}

#[tokio::test]
async fn a_stripe_killed_at_work_has_done_each_request_whole_or_not_at_all() {
    const REQUESTS: usize = 100;
    let stripe = Mortal::born("stripe-at-work.jsonl");
    let (answered, mut answers) = mpsc::unbounded_channel();
    for number in 0..REQUESTS {
        let (client, answered) = (stripe.client.clone(), answered.clone());
        tokio::spawn(async move {
            let key = format!("k{number}");
            let reply = client
                .with("Idempotency-Key", &key)
                .try_form(INTENTS, &ORDER)
                .await;
            let _ = answered.send((key, reply.ok()));
        });
    }
    drop(answered);
    let mut given = Vec::new();
    while given.len() < REQUESTS / 4 {
        let (key, reply) = answers.recv().await.unwrap();
        given.push((key, reply.unwrap().body));
    }
    let stripe = stripe.reborn();
    while let Some((key, reply)) = answers.recv().await {
        given.extend(reply.map(|reply| (key, reply.body)));
    }
    for (key, body) in given {
        assert_eq!(stripe.create(&key).await.body, body, "{key}");
    }
    for number in 0..REQUESTS {
        assert_eq!(stripe.create(&format!("k{number}")).await.status, 200);
    }
    let query = format!("{INTENTS}/search?query=metadata['run']:'1'&limit={REQUESTS}");
    let found = stripe.read(&query).await;
    assert_eq!(
        (found["data"].as_array().unwrap().len(), &found["has_more"]),
        (REQUESTS, &json!(false))
    );
}
