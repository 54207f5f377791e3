//! The binaries: where they listen, what they need, how they stop.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step fails the test")]

mod http;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use http::Client;
use serde_json::json;

const STRIPE: &str = env!("CARGO_BIN_EXE_stripe-stand-in");
const GENESYS: &str = env!("CARGO_BIN_EXE_genesys-stand-in");

struct Program {
    child: Child,
    base: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn start(path: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = command(path, variables).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let base = first.strip_prefix("listening on ").unwrap().trim_end().to_owned();
        Self { child, base, output }
    }

    /// Asks it to stop, and checks that it does so and had nothing more to say.
    fn stop(mut self) {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

fn command(path: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(path);
    command.env_clear().envs(variables.iter().copied());
    command
}

#[tokio::test]
async fn stripe_serves_until_it_is_told_to_stop() {
    let genesys = Program::start(GENESYS, &[("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", "s")]);
    let stripe = Program::start(
        STRIPE,
        &[
            ("STRIPE_SECRET_KEY", "sk_test_key"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_key"),
            ("STRIPE_WEBHOOK_URL", &format!("{}/hook", genesys.base)),
            ("PORT", "0"),
        ],
    );
    assert!(stripe.base.starts_with("http://127.0.0.1:"), "{}", stripe.base);
    let client = Client::new(&stripe.base).with("Authorization", "Bearer sk_test_key");
    let order = [("amount", "5000"), ("currency", "usd")];
    assert_eq!(client.form("/v1/payment_intents", &order).await.status, 200);
    let open = json!({ "conversation_id": "c" });
    let opened = Client::new(&genesys.base).json("POST", "/_control/conversations", &open).await;
    assert_eq!(opened.status, 201);
    stripe.stop();
    genesys.stop();
}

#[test]
fn what_is_missing_is_named() {
    for (path, variables, named) in [
        (STRIPE, vec![("STRIPE_SECRET_KEY", "sk_test_key")], "STRIPE_WEBHOOK_SECRET"),
        (GENESYS, vec![("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", "")], "GENESYS_CLIENT_SECRET"),
        (GENESYS, vec![("GENESYS_CLIENT_ID", "id"), ("GENESYS_CLIENT_SECRET", "s"), ("PORT", "x")], "PORT"),
    ] {
        let output = command(path, &variables).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(named), "{message}");
    }
}
