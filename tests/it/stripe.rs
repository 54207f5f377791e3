//! Stripe as it is on a bad day: another account's events, failures kept under a key, search that
//! lags or is not there, captures of a part, answers that are out of date.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stand_ins::{Fault, Match, Outcome, Reply, Stage};
use tests::matches::{confirm, create, list};
use tests::{CONVERSATION, SECRET_KEY, Setup, WEBHOOK_SECRET, World, order};

const INTENTS: &str = "/v1/payment_intents";

fn paid_by(order_id: &str, token: &str) -> Value {
    let mut body = order(order_id);
    body["payment_method"] = token.into();
    body
}

async fn record(world: &World) -> Value {
    world.status(CONVERSATION, Some("A-1")).await.body
}

/// A record whose creator died before it came to Stripe.
async fn unmade(world: &Arc<World>) {
    world.stripe.fault(create(), Fault::status(503));
    world
        .crash_while_creating(Stage::Arrival, order("A-1"))
        .await;
    world.stripe.clear_faults();
}

/// What Stripe sends for an intent of this order that somebody else made and was paid for.
async fn copied(world: &World) -> Value {
    let uid = world.uid("A-1").await;
    let metadata = json!({
        "payment_uid": uid, "conversation_id": CONVERSATION, "order_id": "A-1", "attempt": "1"
    });
    let created = tests::START;
    json!({
        "id": "evt_copied", "object": "event", "type": "payment_intent.succeeded", "created": created, "livemode": false,
        "api_version": "2026-08-26.dahlia", "request": { "id": null }, "pending_webhooks": world.stripe.events().len(),
        "data": { "object": {
            "id": "pi_copied", "object": "payment_intent", "amount": 5000, "amount_received": 5000, "currency": "usd",
            "status": "succeeded", "created": created, "metadata": metadata,
        } },
    })
}

#[tokio::test]
async fn a_connected_account_s_event_is_ignored_and_counted_whatever_its_metadata_says() {
    let world = Arc::new(World::new().await);
    unmade(&world).await;
    let before = world.dynamo.items().await;
    let mut event = copied(&world).await;
    event["account"] = "acct_1Connected".into();
    let mut unknown = event.clone();
    unknown["data"]["object"]["status"] = "requires_magic".into();
    let mut charge = event.clone();
    charge["type"] = "charge.succeeded".into();
    world.stripe.clear_requests();
    for event in [event, unknown, charge] {
        let answer = world.deliver(&event).await;
        answer.must_be(200, "outcome", "other_account");
    }
    assert_eq!(world.dynamo.items().await, before);
    assert!(world.stripe.requests().is_empty() && world.genesys.patches().is_empty());
    assert!(
        tests::logged().contains("\"Outcome\":\"other_account\""),
        "it is counted"
    );
    let mut own = copied(&world).await;
    own["account"] = Value::Null;
    assert_eq!(
        world.deliver(&own).await.text("outcome"),
        "not_ours",
        "null is no account"
    );
}

#[tokio::test]
async fn an_intent_that_our_own_key_does_not_see_confirms_nothing() {
    for refusal in [None, Some(403), Some(404)] {
        let world = Arc::new(World::new().await);
        unmade(&world).await;
        if let Some(status) = refusal {
            world
                .stripe
                .outage(Match::get(INTENTS), Fault::status(status));
        }
        let answer = world.deliver(&copied(&world).await).await;
        assert_eq!(
            (answer.status, answer.text("outcome")),
            (200, "not_ours"),
            "{refusal:?}"
        );
        world.stripe.clear_faults();
        assert_eq!(record(&world).await["payment_status"], "CREATING");
        assert_eq!(
            world.post(&order("A-1")).await.text("payment_status"),
            "PENDING",
            "it is made as if nothing happened"
        );
    }
}

#[tokio::test]
async fn an_intent_known_by_its_metadata_alone_is_adopted_as_our_own_key_sees_it() {
    let world = World::after_a_crash(Stage::Answer).await;
    let mut event = world.last_event();
    event["data"]["object"]["status"] = "succeeded".into();
    event["data"]["object"]["amount_received"] = 5000.into();
    assert_eq!(world.deliver(&event).await.text("outcome"), "applied");
    assert_eq!(
        record(&world).await["payment_status"],
        "PENDING",
        "what the snapshot claims is not what Stripe says"
    );

    let world = World::after_a_crash(Stage::Answer).await;
    world.stripe.outage(Match::get(INTENTS), Fault::status(503));
    let answer = world.deliver(&world.last_event()).await;
    // It is delivered again.
    answer.must_be(503, "outcome", "stripe_unavailable");
    world.stripe.clear_faults();
    assert_eq!(
        world.deliver(&world.last_event()).await.text("outcome"),
        "applied"
    );
}

#[tokio::test]
async fn an_intent_whose_metadata_names_another_order_by_now_is_not_adopted() {
    let world = World::after_a_crash(Stage::Answer).await;
    let intent = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
    world
        .stripe
        .edit_metadata(&intent, &[("order_id", "B-1")])
        .unwrap();
    let answer = world.deliver(&world.last_event()).await;
    answer.must_be(200, "outcome", "not_ours");
    assert_eq!(record(&world).await["payment_status"], "CREATING");
}

async fn authorized() -> (World, String) {
    let world = World::with(Setup {
        capture_method: "manual",
        ..Setup::default()
    })
    .await;
    let intent = world.begin("A-1").await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.deliver_all().await;
    let reply = record(&world).await;
    assert_eq!(
        (&reply["payment_status"], &reply["amount_received_minor"]),
        (&json!("AUTHORIZED"), &json!(0))
    );
    (world, intent)
}

#[tokio::test]
async fn a_part_captured_by_hand_is_confirmed_with_what_was_received() {
    for way in ["webhook", "poll", "cancel"] {
        let (world, intent) = authorized().await;
        world.advance(10);
        world.stripe.capture(&intent, Some(3000)).unwrap();
        if way == "webhook" {
            assert_eq!(
                world.deliver(&world.last_event()).await.text("outcome"),
                "applied"
            );
        }
        let answer = if way == "cancel" {
            world.cancel("A-1").await
        } else {
            world.status(CONVERSATION, Some("A-1")).await
        };
        assert_eq!(
            (answer.status, answer.text("payment_status")),
            (200, "CONFIRMED"),
            "{way} {:#}",
            answer.body
        );
        assert_eq!(
            (
                &answer.body["amount_minor"],
                &answer.body["amount_received_minor"]
            ),
            (&json!(5000), &json!(3000))
        );
        let again = world.cancel("A-1").await;
        assert_eq!(
            (again.status, &again.body["amount_received_minor"]),
            (200, &json!(3000)),
            "{way}"
        );
        assert_eq!(
            world.genesys.attributes(CONVERSATION)["payment_status"],
            if way == "cancel" {
                "AUTHORIZED"
            } else {
                "CONFIRMED"
            }
        );
    }
}

#[tokio::test]
async fn less_received_than_asked_for_is_a_disagreement_where_capture_is_automatic_and_more_always_is()
 {
    let received = |world: &World, amount: u64| {
        let mut event = world.last_event();
        event["data"]["object"]["amount_received"] = amount.into();
        event
    };
    for (capture_method, amount, outcome) in [
        ("automatic", 3000, "disagreement"),
        ("automatic", 5001, "disagreement"),
        ("manual", 5001, "disagreement"),
        ("manual", 0, "disagreement"),
        ("manual", 1, "applied"),
        ("automatic", 5000, "applied"),
    ] {
        let world = World::with(Setup {
            capture_method,
            ..Setup::default()
        })
        .await;
        let intent = world.begin("A-1").await;
        world.stripe.pay(&intent, "pm_card_visa").unwrap();
        if capture_method == "manual" {
            world.stripe.capture(&intent, None).unwrap();
        }
        let answer = world.deliver(&received(&world, amount)).await;
        assert_eq!(
            (answer.status, answer.text("outcome")),
            (200, outcome),
            "{capture_method} {amount}"
        );
    }
    let (world, _) = authorized().await;
    world.advance(5);
    let mut event = received(&world, 5001);
    event["created"] = (tests::START + 5).into();
    assert_eq!(
        world.deliver(&event).await.text("outcome"),
        "disagreement",
        "also before it succeeds"
    );
}

#[tokio::test]
async fn a_new_attempt_has_received_nothing() {
    let (world, intent) = authorized().await;
    world.stripe.cancel(&intent, None).unwrap();
    world.deliver_all().await;
    let answer = world.post(&order("A-1")).await;
    assert_eq!(
        (answer.status, &answer.body["amount_received_minor"]),
        (201, &json!(0))
    );
}

#[tokio::test]
async fn a_used_up_token_is_refused_as_such_though_stripe_names_no_parameter() {
    let world = World::new().await;
    let used_up = json!({ "error": { "type": "invalid_request_error", "message": "This PaymentMethod was previously used" } });
    world
        .stripe
        .fault(confirm(), Reply::status(400).body(&used_up.to_string()));
    let answer = world.post(&paid_by("A-1", "pm_card_visa")).await;
    answer.must_be(422, "code", "invalid_payment_method");
    assert_eq!(answer.text("field"), "payment_method");
    world.stripe.add_payment_method("pm_new", Outcome::Succeed);
    assert_eq!(
        world
            .post(&paid_by("A-1", "pm_new"))
            .await
            .text("payment_status"),
        "CONFIRMED",
        "a fresh one pays"
    );
}

#[tokio::test]
async fn another_refusal_of_a_token_is_not_taken_for_a_used_up_one() {
    for (body, code) in [
        (
            json!({ "error": { "type": "invalid_request_error", "code": "account_invalid" } })
                .to_string(),
            "stripe_rejected",
        ),
        (
            json!({ "error": { "type": "invalid_request_error", "param": "off_session" } })
                .to_string(),
            "stripe_rejected",
        ),
        (
            json!({ "error": { "type": "api_error" } }).to_string(),
            "stripe_rejected",
        ),
        ("<html>".to_owned(), "stripe_rejected"),
    ] {
        let world = World::new().await;
        world
            .stripe
            .fault(confirm(), Reply::status(400).body(&body));
        let answer = world.post(&paid_by("A-1", "pm_card_visa")).await;
        assert_eq!((answer.status, answer.text("code")), (502, code), "{body}");
    }
}

#[tokio::test]
async fn a_failure_that_stripe_keeps_under_the_key_ends_the_attempt_and_the_next_one_pays() {
    let world = World::new().await;
    world.stripe.fault(create(), Fault::server_error_saved());
    world.stripe.set_search_lag(true);
    let answer = world.post(&order("A-1")).await;
    answer.must_be(503, "code", "stripe_unavailable");
    let reply = record(&world).await;
    assert_eq!(
        (&reply["payment_status"], &reply["reason_code"]),
        (&json!("CANCELED"), &json!("stripe_failed"))
    );
    let answer = world.post(&paid_by("A-1", "pm_card_visa")).await;
    answer.must_be(201, "payment_status", "CONFIRMED");
    assert_eq!(
        (&answer.body["attempt"], world.stripe.charges().len()),
        (&json!(2), 1)
    );
}

#[tokio::test]
async fn an_intent_behind_a_kept_failure_is_adopted_though_search_lags_or_is_not_there() {
    for (lags, refused) in [
        (true, None),
        (false, Some(400)),
        (false, Some(403)),
        (false, Some(404)),
        (false, None),
    ] {
        let world = World::new().await;
        world.stripe.set_search_lag(lags);
        world.stripe.set_search_refused(refused);
        world.stripe.fault(create(), Fault::server_error_executed());
        let answer = world.post(&order("A-1")).await;
        assert_eq!(
            (answer.status, answer.text("payment_status")),
            (201, "PENDING"),
            "{lags} {refused:?} {:#}",
            answer.body
        );
        assert_eq!(world.stripe.intents().len(), 1);
        assert_eq!(answer.body["attempt"], 1);
        assert!(!answer.text("payment_url").is_empty());
    }
}

#[tokio::test]
async fn while_nobody_can_say_whether_there_is_an_intent_the_attempt_does_not_end() {
    for (list_fault, code) in [
        (Fault::status(503), "stripe_unavailable"),
        (Fault::status(404), "stripe_unavailable"),
    ] {
        for executed in [true, false] {
            let world = World::new().await;
            world.stripe.set_search_lag(true);
            let kept = if executed {
                Fault::server_error_executed()
            } else {
                Fault::server_error_saved()
            };
            world.stripe.fault(create(), kept);
            world.stripe.outage(list(), list_fault.clone());
            for _ in 0..2 {
                let answer = world.post(&order("A-1")).await;
                assert_eq!(
                    (answer.status, answer.text("code")),
                    (503, code),
                    "{executed} {:#}",
                    answer.body
                );
                assert_eq!(answer.body["retryable"], true);
                let canceled = world.cancel("A-1").await;
                assert_eq!(
                    (canceled.status, canceled.text("code")),
                    (503, code),
                    "{executed} {:#}",
                    canceled.body
                );
                assert_eq!(
                    record(&world).await["payment_status"],
                    "CREATING",
                    "a lagging search proves nothing"
                );
            }
            world.stripe.clear_faults();
            let answer = world.cancel("A-1").await;
            assert_eq!(
                (answer.status, answer.text("payment_status")),
                (200, "CANCELED"),
                "{executed} {:#}",
                answer.body
            );
            let live = world
                .stripe
                .intents()
                .into_iter()
                .filter(|intent| intent["status"] != "canceled");
            assert_eq!(live.count(), 0);
        }
    }
}

#[tokio::test]
async fn an_account_with_more_intents_than_are_read_leaves_the_attempt_open() {
    let world = World::new().await;
    world.stripe.set_search_lag(true);
    world.stripe.fault(create(), Fault::server_error_saved());
    // Each page says that there is one more.
    let page = json!({ "object": "list", "has_more": true, "data": [{ "id": "pi_other", "object": "payment_intent" }] });
    world
        .stripe
        .outage(list(), Reply::status(200).body(&page.to_string()));
    let answer = world.post(&order("A-1")).await;
    answer.must_be(503, "code", "stripe_unavailable");
    let pages: Vec<_> = world
        .stripe
        .requests()
        .into_iter()
        .filter(|request| request.path == INTENTS && request.method == "GET")
        .collect();
    assert!((2..=20).contains(&pages.len()), "{} pages", pages.len());
    assert!(
        pages[0].query.contains("limit=100") && !pages[0].query.contains("starting_after"),
        "{}",
        pages[0].query
    );
    assert!(
        pages[1].query.contains("starting_after=pi_other"),
        "{}",
        pages[1].query
    );
    assert_eq!(record(&world).await["payment_status"], "CREATING");
}

#[tokio::test]
async fn an_intent_on_a_later_page_is_found_and_what_cannot_be_read_is_passed_over() {
    let world = World::new().await;
    world.stripe.set_search_refused(Some(400));
    world.stripe.fault(create(), Fault::server_error_executed());
    let page = json!({ "object": "list", "has_more": true, "data": [
        { "id": "pi_coin", "object": "payment_intent", "currency": "usdc", "status": "requires_magic", "amount": 1 },
        { "id": "pi_other", "object": "payment_intent", "metadata": { "order_id": "A-1" } },
    ] });
    world.stripe.outage(list(), Fault::status(404));
    assert_eq!(world.post(&order("A-1")).await.status, 503);
    world.stripe.clear_faults();
    let own = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
    let last = json!({ "object": "list", "has_more": false, "data": [world.stripe.intent(&own).unwrap()] });
    world
        .stripe
        .fault(list(), Reply::status(200).body(&page.to_string()));
    world
        .stripe
        .fault(list(), Reply::status(200).body(&last.to_string()));
    let answer = world.post(&order("A-1")).await;
    assert_eq!(
        (answer.status, answer.text("payment_intent_id")),
        (200, own.as_str()),
        "{:#}",
        answer.body
    );
}

#[tokio::test]
async fn a_kept_failure_of_a_charge_is_followed_by_what_became_of_it() {
    let world = World::new().await;
    world
        .stripe
        .fault(confirm(), Fault::server_error_executed());
    let answer = world.post(&paid_by("A-1", "pm_card_visa")).await;
    answer.must_be(201, "payment_status", "CONFIRMED");

    let world = World::new().await;
    world.stripe.fault(confirm(), Fault::server_error_saved());
    for _ in 0..2 {
        let answer = world.post(&paid_by("A-1", "pm_card_visa")).await;
        answer.must_be(422, "code", "invalid_payment_method");
    }
    world.stripe.add_payment_method("pm_new", Outcome::Succeed);
    assert_eq!(
        world
            .post(&paid_by("A-1", "pm_new"))
            .await
            .text("payment_status"),
        "CONFIRMED"
    );
    assert_eq!(world.stripe.charges().len(), 1);
}

#[tokio::test]
async fn where_search_is_not_there_a_late_request_finds_its_intent_in_the_list() {
    for status in [400, 403, 404] {
        let world = World::after_a_crash(Stage::Answer).await;
        world.stripe.set_search_refused(Some(status));
        world.advance(20 * 3600);
        let answer = world.post(&order("A-1")).await;
        assert_eq!(
            (answer.status, answer.text("payment_status")),
            (200, "PENDING"),
            "{status} {:#}",
            answer.body
        );

        let world = World::after_a_crash(Stage::Answer).await;
        world.stripe.set_search_refused(Some(status));
        world.advance(20 * 3600);
        let answer = world.cancel("A-1").await;
        assert_eq!(
            (answer.status, answer.text("payment_status")),
            (200, "CANCELED"),
            "{status} {:#}",
            answer.body
        );
        assert_eq!(world.stripe.intents()[0]["status"], "canceled");
    }
}

#[tokio::test]
async fn a_late_cancel_that_released_nothing_says_so() {
    let world = World::after_a_crash(Stage::Answer).await;
    world.stripe.set_search_refused(Some(400));
    world.stripe.outage(list(), Fault::status(400));
    world.advance(20 * 3600);
    for answer in [world.cancel("A-1").await, world.post(&order("A-1")).await] {
        answer.must_be(409, "code", "attempt_expired");
    }
    assert_eq!(record(&world).await["payment_status"], "CREATING");
    // An hour after the last moment at which it could be made, no index lags so far behind.
    world.stripe.set_search_refused(None);
    world.stripe.set_search_lag(true);
    assert_eq!(world.cancel("A-1").await.text("code"), "attempt_expired");
    world.advance(3600);
    assert_eq!(world.cancel("A-1").await.text("payment_status"), "CANCELED");
}

#[tokio::test]
async fn a_search_that_also_finds_other_orders_intents_gives_the_exact_one() {
    let world = World::after_a_crash(Stage::Answer).await;
    let own = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
    world.begin("A-2").await;
    world.stripe.set_search_loose(true);
    world.stripe.outage(list(), Fault::status(404));
    world.advance(10);
    let reply = record(&world).await;
    assert_eq!(
        (&reply["payment_status"], &reply["payment_intent_id"]),
        (&json!("PENDING"), &json!(own))
    );

    let world = Arc::new(World::new().await);
    unmade(&world).await;
    world.begin("A-2").await;
    world.stripe.set_search_loose(true);
    world.advance(10);
    assert_eq!(
        record(&world).await["payment_status"],
        "CREATING",
        "another order's intent is not its own"
    );
}

#[tokio::test]
async fn a_poll_finds_the_intent_of_a_creator_that_died_in_the_list_while_search_lags() {
    let world = World::after_a_crash(Stage::Answer).await;
    world.stripe.set_search_lag(true);
    world.advance(10);
    assert_eq!(record(&world).await["payment_status"], "PENDING");
}

#[tokio::test]
async fn the_page_of_a_payment_at_work_asks_stripe_like_a_status_query() {
    for (succeeded, state, status) in [(true, "paid", "CONFIRMED"), (false, "open", "DECLINED")] {
        let world = World::new().await;
        let answer = world.post(&order("A-1")).await;
        let (intent, link) = (answer.text("payment_intent_id"), answer.text("payment_url"));
        world.advance(5);
        world.stripe.pay(intent, "pm_card_processing").unwrap();
        assert_eq!(world.open_link(link).await.text("state"), "processing");
        world.advance(5);
        world.stripe.finish_processing(intent, succeeded).unwrap();
        world.stripe.clear_requests();
        assert_eq!(
            world.open_link(link).await.text("state"),
            "processing",
            "asked less than ten seconds ago"
        );
        assert!(world.stripe.requests().is_empty());
        world.advance(5);
        assert_eq!(
            world.open_link(link).await.text("state"),
            state,
            "the webhook was lost"
        );
        assert_eq!(
            world.genesys.attributes(CONVERSATION)["payment_status"],
            status
        );
        assert_eq!(record(&world).await["payment_status"], status);
    }
}

#[tokio::test]
async fn a_page_that_waits_asks_stripe_once_in_ten_seconds_together_with_the_polls() {
    let world = World::new().await;
    let answer = world.post(&order("A-1")).await;
    let (intent, link) = (answer.text("payment_intent_id"), answer.text("payment_url"));
    world.stripe.pay(intent, "pm_card_processing").unwrap();
    world.deliver_all().await;
    world.stripe.clear_requests();
    for (wait, asked) in [(9, 0), (1, 1), (0, 1), (9, 1), (1, 2)] {
        world.advance(wait);
        assert_eq!(world.open_link(link).await.text("state"), "processing");
        world.status(CONVERSATION, Some("A-1")).await;
        assert_eq!(world.stripe.requests().len(), asked);
    }
    world.advance(10);
    world
        .stripe
        .outage(Match::get(INTENTS), Fault::Silent { executed: false });
    let _asked = Instant::now();
    let answer = world.open_link(link).await;
    // What the record says.
    answer.must_be(200, "state", "processing");
}

#[tokio::test]
async fn a_token_that_was_declined_before_is_not_answered_declined_while_another_is_at_work() {
    let world = World::new().await;
    let declined = paid_by("A-1", "pm_card_visa_chargeDeclined");
    assert_eq!(
        world.post(&declined).await.text("payment_status"),
        "DECLINED"
    );
    world.advance(5);
    let intent = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
    world.stripe.pay(&intent, "pm_card_processing").unwrap();
    world.advance(5);
    let answer = world.post(&declined).await;
    answer.must_be(200, "payment_status", "PROCESSING");
    assert_eq!(record(&world).await["payment_status"], "PROCESSING");
}

#[tokio::test]
async fn a_token_for_an_order_that_is_paid_at_work_or_authorized_is_not_sent_to_stripe() {
    for (capture_method, first, status) in [
        ("automatic", "pm_card_visa", "CONFIRMED"),
        ("automatic", "pm_card_processing", "PROCESSING"),
        ("manual", "pm_card_visa", "AUTHORIZED"),
    ] {
        let world = World::with(Setup {
            capture_method,
            ..Setup::default()
        })
        .await;
        world.stripe.add_payment_method("pm_new", Outcome::Succeed);
        assert_eq!(
            world
                .post(&paid_by("A-1", first))
                .await
                .text("payment_status"),
            status
        );
        world.stripe.clear_requests();
        for token in [first, "pm_new"] {
            let again = world.post(&paid_by("A-1", token)).await;
            assert_eq!((again.status, again.text("payment_status")), (200, status));
        }
        assert!(
            world.stripe.requests().is_empty(),
            "{status}: {:?}",
            world.stripe.requests()
        );
    }
}

#[tokio::test]
async fn a_wait_that_stripe_asks_for_but_the_budget_does_not_hold_is_answered_at_once() {
    for reply in [
        Reply::status(503).retry_after(60),
        Reply::status(429).retry_after(60).should_retry(true),
    ] {
        let world = World::new().await;
        world.stripe.outage(create(), reply);
        let asked = Instant::now();
        let answer = world.post(&order("A-1")).await;
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
        assert_eq!(answer.status, 503);
        assert!(
            matches!(answer.text("code"), "stripe_unavailable" | "rate_limited"),
            "{:#}",
            answer.body
        );
        assert_eq!(world.stripe.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_wait_that_stripe_asks_for_and_the_budget_holds_is_kept() {
    let world = World::new().await;
    world
        .stripe
        .fault(create(), Reply::status(503).retry_after(1));
    let asked = Instant::now();
    assert_eq!(world.post(&order("A-1")).await.status, 201);
    assert!(
        asked.elapsed() >= Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_key_that_is_refused_with_401_or_403_is_read_afresh_and_the_request_goes_on() {
    const NEXT: &str = "sk_test_canary0next";
    for status in [401, 403] {
        let world = World::new().await;
        world.begin("warm").await;
        world.stripe.set_secret_keys(&[SECRET_KEY, NEXT]);
        world.put_stripe_secret(NEXT, &[WEBHOOK_SECRET]);
        world.stripe.clear_requests();
        world.stripe.fault(create(), Fault::status(status));
        let answer = world.post(&order("A-1")).await;
        assert_eq!(
            (answer.status, answer.text("payment_status")),
            (201, "PENDING"),
            "{status} {:#}",
            answer.body
        );
        let keys: Vec<_> = world
            .stripe
            .requests()
            .iter()
            .map(|r| r.header("authorization").map(str::to_owned))
            .collect();
        assert_eq!(
            keys,
            [SECRET_KEY, NEXT].map(|key| Some(format!("Bearer {key}"))),
            "{status}"
        );
    }
}

#[tokio::test]
async fn the_replayed_answer_to_a_creation_is_no_newer_than_the_intent() {
    let world = World::after_a_crash(Stage::Answer).await;
    let intent = world.stripe.intents()[0]["id"].as_str().unwrap().to_owned();
    world.advance(5);
    world.stripe.pay(&intent, "pm_card_processing").unwrap();
    let processing = world.last_event();
    world.advance(20);
    assert_eq!(
        world.post(&order("A-1")).await.text("payment_status"),
        "PENDING",
        "as it was made"
    );
    let late = world.deliver(&processing).await;
    // The event is newer than the intent.
    late.must_be(200, "outcome", "applied");
    assert_eq!(record(&world).await["payment_status"], "PROCESSING");
}
