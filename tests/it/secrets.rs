//! The two secrets, read from Secrets Manager over the wire: what it refuses, what is of no use,
//! and what goes on while it does not answer.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::adapters::secrets::SecretsManager;
use shared::ports::{ReadSecret, SecretError};
use tests::{GENESYS_SECRET, PUBLISHABLE_KEY, SECRET_KEY, WEBHOOK_SECRET, World, order};

/// Lets the five minutes pass that a secret is held.
async fn grow_old() {
    pass(Duration::from_secs(300)).await;
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A world whose three functions hold both secrets, which are too old; gives an order's event that
/// is due.
async fn with_old_secrets() -> (World, Value) {
    let world = World::new().await;
    world.begin("A-1").await;
    let event = world.last_event();
    assert_eq!(world.deliver(&event).await.status, 200);
    world.advance(10);
    world
        .order_must_be("A-1", "payment_status", "PENDING")
        .await;
    grow_old().await;
    (world, event)
}

/// A payment is made, paid and told, and another one is polled and released.
async fn all_goes_on(world: &World, order_id: &str) {
    let answer = world.post(&order(order_id)).await;
    assert_eq!(answer.status, 201, "{:#}", answer.body);
    let link = answer.text("payment_url").to_owned();
    assert_eq!(world.open_link(&link).await.status, 200);
    world
        .stripe
        .pay(answer.text("payment_intent_id"), "pm_card_visa")
        .unwrap();
    let delivered = world.deliver(&world.last_event()).await;
    delivered.must_be(200, "outcome", "applied");
    world.attribute_must_be("payment_status", "CONFIRMED");
}

#[tokio::test]
async fn a_secrets_manager_that_is_down_for_more_than_five_minutes_stops_no_function() {
    let (world, _) = with_old_secrets().await;
    world.secrets_manager.set_down(true);
    all_goes_on(&world, "A-2").await;
    let logged = tests::logged();
    assert!(
        logged.contains(r#""message":"secret not read""#)
            && logged.contains(r#""held_one_stays":true"#)
    );
    assert!(
        logged.contains(r#""Outcome":"unavailable""#) && logged.contains(r#""SecretFailures":1"#)
    );
    grow_old().await;
    all_goes_on(&world, "A-3").await;
    // What has never held one fails, and says so.
    let fresh = World::new().await;
    fresh.secrets_manager.set_down(true);
    let answer = fresh.post(&order("A-1")).await;
    answer.must_be(503, "code", "store_unavailable");
}

#[tokio::test]
async fn a_secrets_manager_that_hangs_costs_a_request_half_a_second_where_a_secret_is_held() {
    let (world, _) = with_old_secrets().await;
    world.secrets_manager.set_silent(true);
    let began = Instant::now();
    assert_eq!(world.post(&order("A-2")).await.status, 201);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(500) && took < Duration::from_millis(1500),
        "{took:?}"
    );
    let began = Instant::now();
    assert_eq!(world.post(&order("A-3")).await.status, 201);
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "the next one does not wait"
    );
}

#[tokio::test]
async fn a_secret_that_is_of_no_use_is_told_by_its_field_and_the_held_one_stays() {
    let stripe = |change: &Value| {
        let mut secret = json!({
            "secret_key": SECRET_KEY, "publishable_key": PUBLISHABLE_KEY, "webhook_secrets": [WEBHOOK_SECRET],
        });
        secret
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        secret.to_string()
    };
    let (world, event) = with_old_secrets().await;
    for (at, (change, field)) in [
        (
            json!({ "secret_key": format!("{SECRET_KEY}\n") }),
            "secret_key",
        ),
        (json!({ "secret_key": "sk_sandbox_canary0" }), "secret_key"),
        (
            json!({ "publishable_key": "pk_live_canary0" }),
            "publishable_key",
        ),
        (
            json!({ "webhook_secrets": [format!("{WEBHOOK_SECRET}\n")] }),
            "webhook_secrets",
        ),
        (json!({ "webhook_secrets": ["canary0"] }), "webhook_secrets"),
    ]
    .into_iter()
    .enumerate()
    {
        let fresh = World::new().await;
        fresh.secrets_manager.put("stripe", &stripe(&change));
        let answer = fresh.post(&order("A-1")).await;
        answer.must_be(502, "code", "stripe_auth");
        assert!(answer.text("detail").contains(field), "{:#}", answer.body);
        let answer = fresh.deliver(&event).await;
        answer.must_be(503, "outcome", "secret_unavailable");
        assert!(answer.text("detail").contains(field), "{:#}", answer.body);
        assert!(tests::logged().contains(&format!("the secret is not usable: {field} ")));
        assert!(tests::logged().contains(&format!(r#""Outcome":"{field}""#)));
        world.secrets_manager.put("stripe", &stripe(&change));
        all_goes_on(&world, &format!("B-{at}")).await;
        grow_old().await;
    }
    for (secret, field) in [
        (
            json!({ "client_id": "id\n", "client_secret": GENESYS_SECRET }),
            "client_id",
        ),
        (
            json!({ "client_id": "id", "client_secret": format!("{GENESYS_SECRET} ") }),
            "client_secret",
        ),
        (json!(["id", GENESYS_SECRET]), "value"),
    ] {
        let fresh = World::new().await;
        fresh.begin("A-1").await;
        fresh.secrets_manager.put("genesys", &secret.to_string());
        let answer = fresh.deliver(&fresh.last_event()).await;
        answer.must_be(503, "outcome", "genesys_not_told");
        assert!(
            tests::logged().contains(&format!("the secret is not usable: {field} ")),
            "{field}"
        );
        assert!(
            tests::logged().contains(&format!(r#""Outcome":"{field}""#)),
            "{field}"
        );
    }
}

#[tokio::test]
async fn without_a_webhook_secret_payments_are_made_and_events_are_asked_to_come_again() {
    let world = World::new().await;
    world.put_stripe_secret(SECRET_KEY, &[]);
    world.begin("A-1").await;
    let event = world.last_event();
    let answer = world.deliver(&event).await;
    answer.must_be(503, "outcome", "secret_unavailable");
    assert!(
        answer.text("detail").contains("webhook_secrets"),
        "{:#}",
        answer.body
    );
    world.put_stripe_secret(SECRET_KEY, &[WEBHOOK_SECRET]);
    pass(Duration::from_secs(60)).await;
    assert_eq!(world.deliver(&event).await.text("outcome"), "applied");
}

#[tokio::test]
async fn what_secrets_manager_refuses_for_good_is_no_outage() {
    let world = World::new().await;
    let read = || async {
        SecretsManager::new(world.secrets_manager.client(), "stripe".to_owned())
            .read_secret()
            .await
    };
    for code in [
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
    ] {
        world.secrets_manager.refuse(Some(code));
        assert_eq!(read().await.unwrap_err(), SecretError::Refused, "{code}");
        let answer = world.post(&order("A-1")).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (502, "stripe_auth"),
            "{code}"
        );
    }
    for code in [
        "InternalServiceError",
        "ThrottlingException",
        "ExpiredTokenException",
        "NobodyKnowsThis",
    ] {
        world.secrets_manager.refuse(Some(code));
        assert_eq!(
            read().await.unwrap_err(),
            SecretError::Unavailable,
            "{code}"
        );
        let answer = world.post(&order("A-1")).await;
        assert_eq!(
            (answer.status, answer.text("code")),
            (503, "store_unavailable"),
            "{code}"
        );
    }
    world.secrets_manager.refuse(None);
    assert!(read().await.is_ok());
}
