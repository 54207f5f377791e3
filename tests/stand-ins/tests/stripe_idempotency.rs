//! Idempotency keys by Stripe's rules.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

mod http;

use http::Client;
use stand_ins::{Fault, Match, Reply, Stage, Stripe};

const INTENTS: &str = "/v1/payment_intents";
const ORDER: [(&str, &str); 3] = [
    ("amount", "5000"),
    ("currency", "usd"),
    ("metadata[order_id]", "A-1"),
];

async fn stripe() -> (Stripe, Client) {
    let stripe = Stripe::start("sk_test_key", "whsec_key").await;
    let client = Client::new(stripe.base()).with("Authorization", "Bearer sk_test_key");
    (stripe, client)
}

fn keyed(client: &Client, key: &str) -> Client {
    client.with("Idempotency-Key", key)
}

#[tokio::test]
async fn a_key_replays_the_first_answer_byte_for_byte() {
    let (stripe, client) = stripe().await;
    let first = keyed(&client, "k").form(INTENTS, &ORDER).await;
    let mut reordered = ORDER;
    reordered.reverse();
    let second = keyed(&client, "k").form(INTENTS, &reordered).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!((second.status, &second.body), (200, &first.body));
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        second.header("original-request"),
        first.header("request-id")
    );
    assert_eq!(stripe.intents().len(), 1);
}

#[tokio::test]
async fn a_key_is_for_one_endpoint_and_one_set_of_parameters() {
    let (stripe, client) = stripe().await;
    let client = keyed(&client, "k");
    let intent = client.form(INTENTS, &ORDER).await.json();
    let other_amount = client
        .form(INTENTS, &[("amount", "5001"), ("currency", "usd")])
        .await;
    // Compared before they are looked at: an unknown parameter is a different one first of all.
    let unknown = client.form(INTENTS, &[("color", "red")]).await;
    let cancel = format!("{INTENTS}/{}/cancel", intent["id"].as_str().unwrap());
    let other_endpoint = client.form(&cancel, &ORDER).await;
    for refused in [other_amount, unknown, other_endpoint] {
        assert_eq!(refused.status, 400);
        assert_eq!(refused.error("type"), "idempotency_error");
    }
    assert_eq!(stripe.intents().len(), 1);
    assert_eq!(stripe.intents()[0]["status"], "requires_payment_method");
}

#[tokio::test]
async fn a_key_in_use_is_a_conflict_that_is_not_kept() {
    let (stripe, client) = stripe().await;
    let gate = stripe.gate(Match::post(INTENTS), Stage::Execution);
    let client = keyed(&client, "k");
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.form(INTENTS, &ORDER).await }
    });
    gate.arrived(1).await;
    let twin = client.form(INTENTS, &ORDER).await;
    assert_eq!(
        (twin.status, twin.error("code")),
        (409, "idempotency_key_in_use".into())
    );
    assert_eq!(stripe.intents().len(), 0);

    gate.open();
    let first = first.await.unwrap();
    let later = client.form(INTENTS, &ORDER).await;
    assert_eq!((first.status, later.status), (200, 200));
    assert_eq!(first.body, later.body);
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_undo_what_has_begun() {
    let (stripe, client) = stripe().await;
    let gate = stripe.gate(Match::post(INTENTS), Stage::Execution);
    let client = keyed(&client, "k");
    let given_up = tokio::spawn({
        let client = client.clone();
        async move { client.form(INTENTS, &ORDER).await }
    });
    gate.arrived(1).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let meanwhile = client.form(INTENTS, &ORDER).await;
    assert_eq!(meanwhile.status, 409);

    let answered = stripe.gate(Match::post(INTENTS), Stage::Answer);
    gate.open();
    answered.arrived(1).await;
    answered.open();
    let replayed = client.form(INTENTS, &ORDER).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(stripe.intents().len(), 1);
}

#[tokio::test]
async fn a_decline_is_kept() {
    let (stripe, client) = stripe().await;
    let declined = ORDER.into_iter().chain([
        ("confirm", "true"),
        (
            "payment_method",
            "pm_card_visa_chargeDeclinedInsufficientFunds",
        ),
    ]);
    let declined: Vec<_> = declined.collect();
    let first = keyed(&client, "k").form(INTENTS, &declined).await;
    stripe.add_payment_method(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        stand_ins::Outcome::Succeed,
    );
    let second = keyed(&client, "k").form(INTENTS, &declined).await;
    assert_eq!((first.status, second.status), (402, 402));
    assert_eq!(first.body, second.body);
    assert!(stripe.charges().is_empty());
}

#[tokio::test]
async fn what_was_never_executed_is_not_kept() {
    let (stripe, client) = stripe().await;
    let client = keyed(&client, "k");
    let invalid = client
        .form(INTENTS, &[("amount", "5000"), ("currency", "xxx")])
        .await;
    assert_eq!(invalid.status, 400);
    stripe.set_secret_keys(&["sk_test_rolled"]);
    assert_eq!(client.form(INTENTS, &ORDER).await.status, 401);
    stripe.set_secret_keys(&["sk_test_key"]);
    stripe.fault(Match::any(), Fault::status(409));
    assert_eq!(
        client.form(INTENTS, &ORDER).await.error("code"),
        "lock_timeout"
    );
    stripe.fault(Match::any(), Fault::rate_limited(1));
    assert_eq!(client.form(INTENTS, &ORDER).await.status, 429);
    let accepted = client.form(INTENTS, &ORDER).await;
    assert_eq!(
        (accepted.status, accepted.header("idempotent-replayed")),
        (200, None)
    );
}

#[tokio::test]
async fn a_server_error_is_kept_or_only_seen() {
    let (stripe, client) = stripe().await;
    stripe.fault(Match::post(INTENTS), Fault::server_error_executed());
    stripe.fault(Match::post(INTENTS), Fault::server_error_saved());
    stripe.fault(Match::post(INTENTS), Reply::status(502).executed());

    let executed = keyed(&client, "executed").form(INTENTS, &ORDER).await;
    assert_eq!((executed.status, stripe.intents().len()), (500, 1));
    let saved = keyed(&client, "saved").form(INTENTS, &ORDER).await;
    assert_eq!((saved.status, stripe.intents().len()), (500, 1));
    let hidden = keyed(&client, "hidden").form(INTENTS, &ORDER).await;
    assert_eq!((hidden.status, stripe.intents().len()), (502, 2));
    assert_eq!(stripe.faults_pending(), 0);

    let replayed = keyed(&client, "executed").form(INTENTS, &ORDER).await;
    assert_eq!((replayed.status, &replayed.body), (500, &executed.body));
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        keyed(&client, "saved").form(INTENTS, &ORDER).await.status,
        500
    );
    assert_eq!(
        keyed(&client, "hidden").form(INTENTS, &ORDER).await.status,
        200
    );
    assert_eq!(stripe.intents().len(), 2);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let (stripe, client) = stripe().await;
    let client = keyed(&client, "k");
    stripe.set_now(1_800_000_000);
    let first = client.form(INTENTS, &ORDER).await.json();
    stripe.advance(86_399);
    assert_eq!(client.form(INTENTS, &ORDER).await.json()["id"], first["id"]);
    stripe.advance(1);
    assert_ne!(client.form(INTENTS, &ORDER).await.json()["id"], first["id"]);
    assert_eq!(stripe.intents().len(), 2);
}

#[tokio::test]
async fn keys_are_for_posts_and_at_most_255_characters() {
    let (stripe, client) = stripe().await;
    let too_long = keyed(&client, &"k".repeat(256)).form(INTENTS, &ORDER).await;
    assert_eq!(too_long.status, 400);
    let intent = keyed(&client, &"k".repeat(255))
        .form(INTENTS, &ORDER)
        .await
        .json();
    let path = format!("{INTENTS}/{}", intent["id"].as_str().unwrap());
    let reader = keyed(&client, "r");
    assert_eq!(
        reader.get(&path).await.json()["status"],
        "requires_payment_method"
    );
    stripe.cancel(intent["id"].as_str().unwrap(), None).unwrap();
    assert_eq!(reader.get(&path).await.json()["status"], "canceled");
}
