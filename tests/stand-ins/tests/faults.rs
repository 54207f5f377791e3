//! Faults are real: a client with its own time-outs and connections meets them on the wire.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

mod http;

use http::Client;
use stand_ins::{Fault, Match, Reply, Stage, Stripe};

const INTENTS: &str = "/v1/payment_intents";
const ORDER: [(&str, &str); 2] = [("amount", "5000"), ("currency", "usd")];

async fn stripe() -> (Stripe, Client) {
    let stripe = Stripe::start("sk_test_key", "whsec_key").await;
    let client = Client::new(stripe.base()).with("Authorization", "Bearer sk_test_key");
    (stripe, client)
}

#[tokio::test]
async fn silence_lasts_until_the_client_gives_up() {
    let (stripe, _) = stripe().await;
    let client = Client::impatient(stripe.base()).with("Authorization", "Bearer sk_test_key");
    for (executed, intents) in [(false, 0), (true, 1)] {
        let gate = stripe.gate(Match::post(INTENTS), Stage::Answer);
        stripe.fault(Match::post(INTENTS), Fault::Silent { executed });
        let (error, ()) = tokio::join!(client.try_form(INTENTS, &ORDER), gate.arrived(1));
        let error = error.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(stripe.intents().len(), intents);
    }
}

#[tokio::test]
async fn a_dropped_connection_carries_no_byte() {
    let (stripe, client) = stripe().await;
    for (executed, intents) in [(false, 0), (true, 1)] {
        stripe.fault(Match::post(INTENTS), Fault::Drop { executed });
        let error = client.try_form(INTENTS, &ORDER).await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(stripe.intents().len(), intents);
    }
    // No try of its own: an HTTP client must not repeat a request that may have been executed.
    assert_eq!(stripe.requests().len(), 2);
    assert_eq!(client.form(INTENTS, &ORDER).await.status, 200);
}

#[tokio::test]
async fn a_truncated_answer_has_a_head_and_half_a_body() {
    let (stripe, client) = stripe().await;
    for (executed, intents) in [(false, 0), (true, 1)] {
        stripe.fault(Match::post(INTENTS), Fault::Truncate { executed });
        let error = client.try_form(INTENTS, &ORDER).await.unwrap_err();
        // The head came through: it is the body that could not be read.
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(stripe.intents().len(), intents);
    }
    assert_eq!(client.form(INTENTS, &ORDER).await.status, 200);
}

#[tokio::test]
async fn a_key_survives_the_loss_of_its_answer() {
    let (stripe, client) = stripe().await;
    let client = client.with("Idempotency-Key", "k");
    stripe.fault(Match::post(INTENTS), Fault::Drop { executed: true });
    client.try_form(INTENTS, &ORDER).await.unwrap_err();
    let again = client.form(INTENTS, &ORDER).await;
    assert_eq!(again.json()["id"], stripe.intents()[0]["id"]);
    assert_eq!(stripe.intents().len(), 1);
}

#[tokio::test]
async fn scripted_answers_are_sent_as_written() {
    let (stripe, client) = stripe().await;
    stripe.fault(
        Match::any(),
        Reply::status(429).retry_after(2).should_retry(true),
    );
    let limited = client.form(INTENTS, &ORDER).await;
    assert_eq!(
        (limited.status, limited.error("code")),
        (429, "rate_limit".into())
    );
    assert_eq!(limited.header("retry-after"), Some("2"));
    assert_eq!(limited.header("stripe-should-retry"), Some("true"));
    assert!(limited.header("request-id").is_some());
    let page = Reply::status(502)
        .header("Content-Type", "text/html")
        .body("<h1>Bad gateway</h1>");
    stripe.fault(Match::any(), page);
    let page = client.form(INTENTS, &ORDER).await;
    assert_eq!(
        (page.status, page.body.as_slice()),
        (502, b"<h1>Bad gateway</h1>".as_slice())
    );
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert!(stripe.intents().is_empty());
}

#[tokio::test]
async fn each_request_takes_the_first_fault_that_is_for_it() {
    let (stripe, client) = stripe().await;
    stripe.fault(Match::post(INTENTS).ending("/confirm"), Fault::status(500));
    stripe.fault(Match::post(INTENTS).exactly(), Fault::status(503));
    stripe.fault(Match::get("/v1/events"), Fault::status(504));
    stripe.fault(
        Match::post(INTENTS).body_containing("currency=eur"),
        Fault::status(502),
    );
    stripe.outage(Match::path("/v1/events"), Fault::status(500));
    assert_eq!(client.form(INTENTS, &ORDER).await.status, 503);
    let intent = client.form(INTENTS, &ORDER).await.json();
    assert_eq!(
        client
            .form(INTENTS, &[("amount", "99"), ("currency", "eur")])
            .await
            .status,
        502
    );
    let confirm = format!("{INTENTS}/{}/confirm", intent["id"].as_str().unwrap());
    assert_eq!(
        client
            .form(&confirm, &[("payment_method", "pm_card_visa")])
            .await
            .status,
        500
    );
    assert_eq!(
        client
            .form(&confirm, &[("payment_method", "pm_card_visa")])
            .await
            .status,
        200
    );
    assert_eq!(client.get("/v1/events").await.status, 504);
    assert_eq!(client.get("/v1/events").await.status, 500);
    assert_eq!(client.get("/v1/events").await.status, 500);
    stripe.clear_faults();
    assert_eq!(client.get("/v1/events").await.status, 200);
}

#[tokio::test]
async fn gates_hold_requests_at_their_stage() {
    let (stripe, client) = stripe().await;
    for (stage, intents) in [
        (Stage::Arrival, 0),
        (Stage::Execution, 0),
        (Stage::Answer, 1),
    ] {
        let before = stripe.intents().len();
        let gate = stripe.gate(Match::post(INTENTS), stage);
        let held = tokio::spawn({
            let client = client.clone();
            async move { client.form(INTENTS, &ORDER).await }
        });
        gate.arrived(1).await;
        assert_eq!(stripe.intents().len() - before, intents, "{stage:?}");
        drop(gate);
        assert_eq!(held.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_gate_lets_through_as_many_as_it_is_told() {
    let (stripe, client) = stripe().await;
    let gate = stripe.gate(Match::post(INTENTS), Stage::Arrival);
    let client = client.with("Idempotency-Key", "k");
    let ask = || {
        let client = client.clone();
        tokio::spawn(async move { client.form(INTENTS, &ORDER).await })
    };
    let first = ask();
    gate.arrived(1).await;
    let second = ask();
    gate.arrived(2).await;
    gate.release(1);
    assert_eq!(first.await.unwrap().header("idempotent-replayed"), None);
    gate.open();
    // Held before its key was looked at, so the second finds the first one's result.
    assert_eq!(
        second.await.unwrap().header("idempotent-replayed"),
        Some("true")
    );
    assert_eq!(gate.arrivals(), 2);
}

#[tokio::test]
async fn a_stopped_stand_in_refuses_connections() {
    let (stripe, client) = stripe().await;
    assert_eq!(client.form(INTENTS, &ORDER).await.status, 200);
    stripe.stop().await;
    assert!(client.try_form(INTENTS, &ORDER).await.is_err());
}
