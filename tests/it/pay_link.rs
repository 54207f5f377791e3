//! The payer's side: the link, the page and its session.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::{Body, Response};
use serde_json::json;
use shared::domain::link::LinkToken;
use stand_ins::{Fault, Match, Outcome, Reply, Stage};
use tests::matches::{fetch, patch};
use tests::{
    Answer, CONVERSATION, MERCHANT, PUBLISHABLE_KEY, SECRET_KEY, Setup, WEBHOOK_SECRET, World,
    order, rest_event,
};

/// Asks for the payment of an order; gives its intent and a link to it.
async fn ask(world: &World, order_id: &str) -> (String, String) {
    let answer = world.post(&order(order_id)).await;
    assert!(matches!(answer.status, 200 | 201), "{:#}", answer.body);
    (
        answer.text("payment_intent_id").to_owned(),
        answer.text("payment_url").to_owned(),
    )
}

async fn state(world: &World, link: &str) -> (u16, String) {
    let answer = world.open_link(link).await;
    (answer.status, answer.text("state").to_owned())
}

fn is(status: u16, state: &str) -> (u16, String) {
    (status, state.to_owned())
}

fn progress(world: &World) -> Vec<(String, String)> {
    let told = world.genesys.patches().into_iter();
    told.map(|patch| {
        (
            patch.attributes["payment_status"].clone(),
            patch.attributes["payment_progress"].clone(),
        )
    })
    .collect()
}

fn text(response: &Response<Body>) -> &str {
    let Body::Text(text) = response.body() else {
        panic!("text")
    };
    text
}

#[tokio::test]
async fn the_session_has_what_the_page_needs_and_is_kept_by_nobody() {
    let world = World::new().await;
    let (intent, link) = ask(&world, "A-1").await;
    let answer = world.open_link(&link).await;
    let client_secret = world.stripe.intent(&intent).unwrap()["client_secret"].clone();
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        json!({
            "state": "open", "publishable_key": PUBLISHABLE_KEY, "client_secret": client_secret, "merchant": MERCHANT,
            "order_id": "A-1", "amount": "50.00", "amount_minor": 5000, "currency": "usd",
        })
    );
    let event = tests::session_event(&link);
    let response = world.status_query.handle(tests::request(&event)).await;
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.headers()[name], value, "{name}");
    }
    assert_eq!(world.stripe.intents().len(), 1);
    let stored = format!("{:?}", world.dynamo.items().await);
    let token = tests::token_of(&link);
    assert_eq!(token.len(), 22);
    assert!(
        !stored.contains(token) && !stored.contains(client_secret.as_str().unwrap()),
        "only the digest is stored"
    );
    assert!(stored.contains(&LinkToken::parse(token).unwrap().sha256()));
}

#[tokio::test]
async fn asking_again_gives_a_fresh_link_and_the_old_one_works_until_it_expires() {
    let world = World::new().await;
    let (intent, first) = ask(&world, "A-1").await;
    world.advance(29 * 60);
    let (same, second) = ask(&world, "A-1").await;
    assert_eq!(intent, same);
    assert_ne!(first, second);
    assert_eq!(state(&world, &first).await, is(200, "open"));
    world.advance(60);
    assert_eq!(state(&world, &first).await, is(410, "expired"));
    assert_eq!(state(&world, &second).await, is(200, "open"));
    world.advance(29 * 60);
    assert_eq!(state(&world, &second).await, is(410, "expired"));
}

#[tokio::test]
async fn a_link_is_dead_once_its_payment_is_final_however_that_came_to_be_known() {
    for by_webhook in [true, false] {
        let world = World::new().await;
        let (intent, link) = ask(&world, "A-1").await;
        world.advance(5);
        world.stripe.pay(&intent, "pm_card_visa").unwrap();
        if by_webhook {
            world.deliver_all().await;
        }
        assert_eq!(state(&world, &link).await, is(410, "paid"));
        let record = world.status(CONVERSATION, Some("A-1")).await;
        assert_eq!(
            (record.text("payment_status"), record.text("payment_url")),
            ("CONFIRMED", "")
        );
        let again = world.post(&order("A-1")).await;
        // Nothing to pay.
        again.must_be(200, "payment_url", "");
    }
}

#[tokio::test]
async fn what_is_at_work_authorized_or_declined_is_told_as_such() {
    let world = World::new().await;
    world.stripe.add_payment_method("pm_slow", Outcome::Process);
    let (intent, link) = ask(&world, "A-1").await;
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    assert_eq!(
        state(&world, &link).await,
        is(200, "open"),
        "another card may be tried"
    );
    world.advance(5);
    world.stripe.pay(&intent, "pm_slow").unwrap();
    assert_eq!(state(&world, &link).await, is(200, "processing"));

    let world = World::with(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    let (intent, link) = ask(&world, "A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    assert_eq!(state(&world, &link).await, is(410, "paid"));
}

#[tokio::test]
async fn who_paid_just_before_the_link_expired_is_not_told_to_ask_for_a_new_one() {
    let world = World::new().await;
    world.stripe.add_payment_method("pm_slow", Outcome::Process);
    let (intent, link) = ask(&world, "A-1").await;
    world.advance(29 * 60);
    world.stripe.pay(&intent, "pm_slow").unwrap();
    world.advance(2 * 60);
    assert_eq!(state(&world, &link).await, is(200, "processing"));
    world.stripe.finish_processing(&intent, true).unwrap();
    world.deliver_all().await;
    assert_eq!(state(&world, &link).await, is(410, "paid"));

    let (intent, link) = ask(&world, "A-2").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.advance(31 * 60);
    assert_eq!(
        state(&world, &link).await,
        is(410, "paid"),
        "the webhook was lost"
    );
    world
        .order_must_be("A-2", "payment_status", "CONFIRMED")
        .await;
}

#[tokio::test]
async fn a_link_of_a_canceled_attempt_does_not_open_the_next_one() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");
    assert_eq!(state(&world, &link).await, is(410, "canceled"));
    let (_, next) = ask(&world, "A-1").await;
    assert_eq!(state(&world, &link).await, is(410, "canceled"));
    assert_eq!(state(&world, &next).await, is(200, "open"));
}

#[tokio::test]
async fn unknown_expired_and_spent_links_are_told_as_such_and_open_nothing() {
    let world = World::new().await;
    let (intent, spent) = ask(&world, "A-1").await;
    let (_, expired) = ask(&world, "A-2").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.deliver_all().await;
    world.advance(31 * 60);
    let unknown = LinkToken::from_bits([7; 16]).to_fragment();
    for (link, status, told) in [
        (unknown.as_str(), 404, "unknown"),
        ("canary", 404, "unknown"),
        ("", 404, "unknown"),
        (&spent, 410, "paid"),
        (&expired, 410, "expired"),
    ] {
        let answer = world.open_link(link).await;
        assert_eq!(
            (answer.status, answer.body),
            (status, json!({ "state": told })),
            "{link}"
        );
    }
}

#[tokio::test]
async fn a_link_has_its_token_behind_the_number_sign_and_no_path_or_query_has_it() {
    for base in ["https://pay.example.com", "https://api.example.com/v1"] {
        let world = World::with(Setup {
            pay_link_base: base,
            ..Setup::default()
        })
        .await;
        let (_, link) = ask(&world, "A-1").await;
        let (address, token) = link.split_once('#').unwrap();
        assert_eq!(address, format!("{base}/pay"));
        assert!(
            LinkToken::parse(token).is_ok(),
            "a browser sends nothing of it"
        );
        for event in [tests::page_event(), tests::session_event(&link)] {
            let mut sent = event.clone();
            sent["body"].take();
            assert!(
                !sent.to_string().contains(token),
                "what an access log may hold"
            );
        }
    }
}

#[tokio::test]
async fn the_page_reads_no_table_and_is_the_same_for_everybody() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    let open = world.page().await;
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");
    assert_eq!(state(&world, &link).await, is(410, "canceled"));
    world.dynamo.stop();
    let canceled = world.page().await;
    assert_eq!(open.status(), 200);
    assert_eq!(
        (open.status(), open.headers(), text(&open)),
        (canceled.status(), canceled.headers(), text(&canceled))
    );
}

#[tokio::test]
async fn the_payer_s_side_answers_behind_a_base_path_and_with_a_slash_at_the_end() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    for before in ["", "/v1", "/shop/pay"] {
        for after in ["", "/"] {
            let mut page = tests::page_event();
            page["path"] = format!("{before}/pay{after}").into();
            let answer = world.status_query.handle(tests::request(&page)).await;
            assert_eq!(
                answer.headers()["content-type"],
                "text/html; charset=utf-8",
                "{page}"
            );
            let mut session = tests::session_event(&link);
            session["path"] = format!("{before}/pay/session{after}").into();
            let answer = Answer::read(world.status_query.handle(tests::request(&session)).await);
            assert_eq!(
                (answer.status, answer.text("state")),
                (200, "open"),
                "{session}"
            );
        }
    }
    let mut query = rest_event(
        "GET",
        "/payments/pay",
        &json!({ "conversation_id": "pay" }),
        &json!({}),
        "",
    );
    query["path"] = "/payments/pay".into();
    let answer = Answer::read(world.status_query.handle(tests::request(&query)).await);
    assert_eq!(
        answer.text("code"),
        "invalid_conversation_id",
        "a conversation of that name is a conversation"
    );
}

#[tokio::test]
async fn a_scanner_that_follows_the_link_opens_nothing() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    let token = tests::token_of(&link);
    let asked = |method: &str, path: &str| rest_event(method, path, &json!({}), &json!({}), "");
    for (method, path, allowed) in [
        ("GET", "/pay/session", "POST"),
        ("HEAD", "/pay/session", "POST"),
        ("PUT", "/pay/session", "POST"),
        ("POST", "/pay", "GET"),
        ("DELETE", "/pay", "GET"),
    ] {
        let mut event = asked(method, path);
        event["body"] = json!({ "token": token }).to_string().into();
        let response = world.status_query.handle(tests::request(&event)).await;
        assert_eq!(
            (
                response.headers()["allow"].to_str().unwrap(),
                response.status().as_u16()
            ),
            (allowed, 405)
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(
            text(&response),
            r#"{"state":"wrong_method"}"#,
            "{method} {path}"
        );
    }
    assert_eq!(progress(&world), [], "nobody has opened it");
    assert!(
        world
            .stripe
            .requests()
            .iter()
            .all(|request| request.method != "GET"),
        "and Stripe was not asked"
    );
}

#[tokio::test]
async fn a_session_is_asked_for_with_a_small_json_object_that_has_a_token() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    let token = tests::token_of(&link);
    let long = json!({ "token": "0".repeat(5000) }).to_string();
    let stuffed = json!({ "token": token, "more": "x".repeat(256) }).to_string();
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "\"token\"",
        "{\"token\":1}",
        "{\"token\":null}",
        "token=x",
        token,
        &long,
        &stuffed,
    ] {
        let mut event = tests::session_event(&link);
        event["body"] = body.into();
        let answer = Answer::read(world.status_query.handle(tests::request(&event)).await);
        assert_eq!(
            (answer.status, answer.body),
            (400, json!({ "state": "malformed" })),
            "{body}"
        );
    }
    let mut event = tests::session_event(&link);
    event["body"] = STANDARD.encode(event["body"].as_str().unwrap()).into();
    event["isBase64Encoded"] = true.into();
    let answer = Answer::read(world.status_query.handle(tests::request(&event)).await);
    answer.must_be(200, "state", "open");
}

#[tokio::test]
async fn the_agent_sees_that_the_link_was_opened_and_then_what_became_of_it_each_once() {
    let world = World::new().await;
    let (intent, link) = ask(&world, "A-1").await;
    assert_eq!(world.page().await.status(), 200);
    assert_eq!(
        progress(&world),
        [],
        "a preview of the link in a messenger is not the payer"
    );
    for _ in 0..3 {
        assert_eq!(state(&world, &link).await, is(200, "open"));
    }
    world.advance(5);
    let _ = world.stripe.pay(&intent, "pm_card_visa_chargeDeclined");
    world.deliver_all().await;
    assert_eq!(state(&world, &link).await, is(200, "open"));
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.deliver_all().await;
    let told = [
        ("PENDING", "link_opened"),
        ("DECLINED", "declined"),
        ("CONFIRMED", "confirmed"),
    ];
    assert_eq!(
        progress(&world),
        told.map(|(status, step)| (status.to_owned(), step.to_owned()))
    );
}

#[tokio::test]
async fn the_payer_pays_while_genesys_is_down_and_the_opening_stays_due() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    world.genesys.outage(Match::any(), Fault::status(503));
    assert_eq!(state(&world, &link).await, is(200, "open"));
    world.genesys.clear_faults();
    world.advance(20);
    let _ = world.status(CONVERSATION, Some("A-1")).await;
    assert_eq!(
        progress(&world),
        [("PENDING".to_owned(), "link_opened".to_owned())]
    );
}

#[tokio::test]
async fn two_openings_at_once_are_told_once() {
    let world = Arc::new(World::new().await);
    let (_, link) = ask(&world, "A-1").await;
    let gate = world.genesys.gate(patch(), Stage::Arrival);
    let opening = || {
        let (world, link) = (Arc::clone(&world), link.clone());
        tokio::spawn(async move { state(&world, &link).await })
    };
    let both = [opening(), opening()];
    gate.arrived(1).await;
    gate.open();
    for answer in both {
        assert_eq!(answer.await.unwrap(), is(200, "open"));
    }
    assert_eq!(progress(&world).len(), 1);
}

#[tokio::test]
async fn without_stripe_the_table_or_the_key_the_page_may_ask_again() {
    let world = World::new().await;
    let (_, link) = ask(&world, "A-1").await;
    world.stripe.outage(fetch(), Fault::status(503));
    let answer = world.open_link(&link).await;
    assert_eq!(
        (answer.status, answer.retry_after.as_deref()),
        (503, Some("2"))
    );
    assert_eq!(answer.body, json!({ "state": "unavailable" }));
    world.stripe.clear_faults();
    world
        .stripe
        .outage(fetch(), Fault::Silent { executed: true });
    assert_eq!(state(&world, &link).await, is(503, "unavailable"));
    world.stripe.clear_faults();
    assert_eq!(state(&world, &link).await, is(200, "open"));
    world.dynamo.stop();
    assert_eq!(state(&world, &link).await, is(503, "unavailable"));
    assert_eq!(
        world.page().await.status(),
        200,
        "the page itself needs none of them"
    );
}

#[tokio::test]
async fn no_other_key_than_a_publishable_one_reaches_the_browser() {
    for wrong in [
        json!(SECRET_KEY),
        json!(null),
        json!(""),
        json!("pk_test_1\n"),
        json!(format!("pk_{SECRET_KEY}")),
    ] {
        let world = World::new().await;
        let (_, link) = ask(&world, "A-1").await;
        let secret = json!({ "secret_key": SECRET_KEY, "publishable_key": wrong, "webhook_secrets": [WEBHOOK_SECRET] });
        world.secrets_manager.put("stripe", &secret.to_string());
        let answer = world.open_link(&link).await;
        assert_eq!(
            (answer.status, answer.text("state")),
            (503, "unavailable"),
            "{wrong}"
        );
        assert!(
            tests::logged().contains("publishable_key"),
            "the operator is told which field"
        );
    }
}

#[tokio::test]
async fn an_amount_that_was_changed_at_stripe_is_not_shown_as_the_order_s() {
    let world = World::new().await;
    let (intent, link) = ask(&world, "A-1").await;
    let mut other = world.stripe.intent(&intent).unwrap();
    other["amount"] = json!(9900);
    world
        .stripe
        .fault(fetch(), Reply::status(200).body(&other.to_string()));
    assert_eq!(state(&world, &link).await, is(503, "unavailable"));
    assert_eq!(state(&world, &link).await, is(200, "open"));
}

#[tokio::test]
async fn a_deployment_without_pay_links_gives_none() {
    let world = World::with(Setup {
        pay_link_base: "",
        ..Setup::default()
    })
    .await;
    let answer = world.post(&order("A-1")).await;
    answer.must_be(201, "payment_url", "");
    let kinds: Vec<_> = world.dynamo.items().await.into_keys().collect();
    assert!(
        kinds.len() == 4 && !kinds.iter().any(|(pk, _)| pk.starts_with("LINK#")),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn the_page_is_told_in_the_payer_s_language() {
    let world = World::new().await;
    for (accept, language) in [("fr-CA,fr;q=0.9,en;q=0.8", "fr"), ("pt", "en")] {
        let mut event = tests::page_event();
        event["multiValueHeaders"]["Accept-Language"] = json!([accept]);
        let response = world.status_query.handle(tests::request(&event)).await;
        assert_eq!(response.headers()["content-language"], language);
        assert!(text(&response).contains(&format!(r#"<html lang="{language}">"#)));
    }
}
