//! What is said to Stripe and read from it, held to Stripe's official SDK. `api.json` has what the
//! SDK has: the Stripe stand-in of every suite refuses all other parameters, and the fields that
//! are read are compared with it where they are read (`shared/src/adapters/stripe/wire.rs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use shared::adapters::stripe::STRIPE_VERSION;
use tests::{World, root};

fn api() -> PathBuf {
    root().join("tests/stand-ins/src/stripe/api.json")
}

/// Compares a file with the SDK that is among the pinned tools.
fn compare(file: &Path) -> Output {
    let python = root().join(".venv/bin/python");
    assert!(
        python.exists(),
        "the tools are not installed: run `make tools`"
    );
    let script = root().join("tests/local/stripe_sdk.py");
    Command::new(python)
        .arg(script)
        .arg(file)
        .output()
        .expect("a process")
}

#[test]
fn the_stand_in_s_api_is_that_of_stripe_s_official_sdk() {
    let output = compare(&api());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_stripe_s_official_sdk_does_not_have_is_found_out() {
    let file = std::env::temp_dir().join(format!("phone-payments-api-{}.json", std::process::id()));
    for (pointer, made_up, said) in [
        (
            "/requests/POST ~1v1~1payment_intents/made_up",
            json!("string"),
            "the API has no parameter made_up",
        ),
        (
            "/requests/POST ~1v1~1payment_intents/payment_method_types[]",
            json!("string"),
            "payment_method_types[]",
        ),
        (
            "/requests/POST ~1v1~1payment_intents/amount",
            json!("string"),
            "-      \"amount\": \"string\"",
        ),
        (
            "/requests/POST ~1v1~1made_up",
            json!({}),
            "the API has no POST /v1/made_up",
        ),
        (
            "/objects/payment_intent/made_up",
            json!({ "type": "string", "null": true }),
            "made_up",
        ),
        (
            "/objects/payment_intent/amount",
            json!({ "type": "string", "null": false }),
            "amount",
        ),
        (
            "/version",
            json!("2026-08-26.dahlia"),
            "-  \"version\": \"2026-08-26.dahlia\"",
        ),
    ] {
        let mut changed: Value = serde_json::from_str(&fs::read_to_string(api()).unwrap()).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[name.replace("~1", "/")] = made_up;
        fs::write(&file, changed.to_string()).unwrap();
        let output = compare(&file);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(said),
            "{pointer}: {error}"
        );
    }
    let unchanged: Value = serde_json::from_str(&fs::read_to_string(api()).unwrap()).unwrap();
    fs::write(&file, unchanged.to_string()).unwrap();
    assert!(
        compare(&file).status.success(),
        "the layout is no difference"
    );
    fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_parameter_that_stripe_does_not_have_is_refused_in_every_suite() {
    let world = World::new().await;
    let send = |form: &'static str| {
        let request = reqwest::Client::new()
            .post(format!("{}/v1/payment_intents", world.stripe.base()))
            .bearer_auth(tests::SECRET_KEY)
            .header("Stripe-Version", STRIPE_VERSION)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        async move { request.send().await.unwrap().text().await.unwrap() }
    };
    for (form, code, param) in [
        (
            "amount=5000&currency=usd&made_up=1",
            "parameter_unknown",
            "made_up",
        ),
        (
            "amount=5000&currency=usd&metadata=1",
            "parameter_unknown",
            "metadata",
        ),
        (
            "amount=50.00&currency=usd",
            "parameter_invalid_integer",
            "amount",
        ),
        (
            "amount=5000&currency=usd&capture_method=later",
            "",
            "capture_method",
        ),
        (
            "amount=5000&currency=usd&payment_method_types[0]=card",
            "payment_method_types_no_longer_supported",
            "payment_method_types",
        ),
    ] {
        let answer: Value = serde_json::from_str(&send(form).await).unwrap();
        let text = |name: &str| {
            answer["error"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(
            (text("code").as_str(), text("param").as_str()),
            (code, param),
            "{form}"
        );
    }
}

#[test]
fn server_and_page_speak_the_release_of_the_official_sdk() {
    let api: Value = serde_json::from_str(&fs::read_to_string(api()).unwrap()).unwrap();
    assert_eq!(api["version"], STRIPE_VERSION);
    let (_, train) = STRIPE_VERSION.split_once('.').unwrap();
    let mut loaded = Vec::new();
    for file in fs::read_dir(root().join("functions/status-query/src/pay")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let urls = text
            .split("https://js.stripe.com/")
            .skip(1)
            .filter_map(|rest| rest.split_once("/stripe.js"));
        loaded.extend(urls.map(|(train, _)| train.to_owned()));
    }
    assert_eq!(loaded, [train], "the release train of the page's Stripe.js");
    let guide = fs::read_to_string(root().join("docs/deploy.md")).unwrap();
    assert!(
        guide.contains(&format!("| API version | `{STRIPE_VERSION}` |")),
        "the endpoint's API version"
    );
}
