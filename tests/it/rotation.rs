//! Secrets are rotated while dozens of payments are under way: none fails for it, nothing is
//! restarted, and it costs a bounded number of reads. Where the old secret dies before the new one
//! is written down, answers say so and all heals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stand_ins::Stage;
use tests::GENESYS_CLIENT;
use tests::matches::{conversation, create, fetch};
use tests::{Answer, CONVERSATION, SECRET_KEY, WEBHOOK_SECRET, World, order};
use tokio::task::JoinHandle;

/// How many callers do each thing at once.
const CALLERS: usize = 32;

const NEXT_KEY: &str = "sk_test_canary0next0key";
const NEXT_WEBHOOK_SECRET: &str = "whsec_canary0next0webhook";
const NEXT_GENESYS_SECRET: &str = "canary0next0client0secret";

type Answers = Vec<JoinHandle<Answer>>;

fn names(of: &str) -> Vec<String> {
    (0..CALLERS)
        .map(|caller| format!("{of}-{caller}"))
        .collect()
}

/// Every other caller pays by a token, the rest on a page.
fn asked(order_id: &str) -> Value {
    let mut body = order(order_id);
    if pays_by_token(order_id) {
        body["payment_method"] = "pm_card_visa".into();
    }
    body
}

fn pays_by_token(order_id: &str) -> bool {
    order_id.ends_with(['0', '2', '4', '6', '8'])
}

fn post(world: &Arc<World>, orders: &[String]) -> Answers {
    let posting = orders.iter().map(|order_id| {
        let (world, body) = (Arc::clone(world), asked(order_id));
        tokio::spawn(async move { world.post(&body).await })
    });
    posting.collect()
}

fn poll(world: &Arc<World>, orders: &[String]) -> Answers {
    let polling = orders.iter().map(|order_id| {
        let (world, order_id) = (Arc::clone(world), order_id.clone());
        tokio::spawn(async move { world.status(CONVERSATION, Some(&order_id)).await })
    });
    polling.collect()
}

/// Signed now, delivered at once.
fn deliver(world: &Arc<World>, events: impl IntoIterator<Item = Value>) -> Answers {
    let delivering = events.into_iter().map(|event| {
        let (world, webhook) = (Arc::clone(world), world.stripe.webhook(&event));
        tokio::spawn(async move {
            world
                .deliver_raw(&webhook.body, Some(&webhook.signature), false)
                .await
        })
    });
    delivering.collect()
}

async fn answered(answers: Answers, wanted: &[u16]) -> Vec<Answer> {
    let mut all = Vec::new();
    for answer in answers {
        let answer = answer.await.unwrap();
        assert!(
            wanted.contains(&answer.status),
            "{} {:#}",
            answer.status,
            answer.body
        );
        all.push(answer);
    }
    all
}

/// Intents by order.
fn intents(world: &World) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    world
        .stripe
        .intents()
        .iter()
        .map(|intent| (text(&intent["metadata"]["order_id"]), text(&intent["id"])))
        .collect()
}

/// Those who pay on a page do.
fn pay(world: &World, orders: &[String]) {
    let intents = intents(world);
    for order_id in orders.iter().filter(|order_id| !pays_by_token(order_id)) {
        world
            .stripe
            .pay(&intents[order_id], "pm_card_visa")
            .unwrap();
    }
}

/// The last event of each order.
fn last_events(world: &World, orders: &[String]) -> Vec<Value> {
    let of = |event: &Value| {
        event["data"]["object"]["metadata"]["order_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let last: BTreeMap<String, Value> = world
        .stripe
        .events()
        .into_iter()
        .map(|event| (of(&event), event))
        .collect();
    orders
        .iter()
        .map(|order_id| last[order_id].clone())
        .collect()
}

/// A world whose functions have each read the Stripe secret, those that need it the Genesys secret
/// too.
async fn warm() -> Arc<World> {
    let world = Arc::new(World::new().await);
    let intent = world.begin("warm").await;
    world.deliver_all().await;
    world.stripe.pay(&intent, "pm_card_visa").unwrap();
    world.advance(10);
    world
        .order_must_be("warm", "payment_status", "CONFIRMED")
        .await;
    assert_eq!(
        (
            world.secrets_manager.reads("stripe"),
            world.secrets_manager.reads("genesys")
        ),
        (3, 2)
    );
    world
}

/// Each order was paid once, its record says so, and Genesys was told so last.
async fn all_is_well(world: &Arc<World>, orders: &[String]) {
    for answer in answered(poll(world, orders), &[200]).await {
        assert_eq!(
            answer.text("payment_status"),
            "CONFIRMED",
            "{:#}",
            answer.body
        );
    }
    let intents = intents(world);
    assert_eq!(
        world.stripe.intents().len(),
        intents.len(),
        "one intent for each order"
    );
    let (charges, patches) = (world.stripe.charges(), world.genesys.patches());
    for order_id in orders {
        let intent = &intents[order_id];
        assert_eq!(
            charges
                .iter()
                .filter(|charge| charge.intent == *intent)
                .count(),
            1,
            "{order_id}"
        );
        let told = patches
            .iter()
            .rfind(|patch| patch.attributes["stripe_intent_id"] == *intent);
        assert_eq!(
            told.map(|patch| patch.attributes["payment_status"].as_str()),
            Some("CONFIRMED"),
            "{order_id}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_stripe_key_fails_no_payment_and_is_read_once_by_each_function() {
    let world = warm().await;
    let [polled, tied, created, late] = ["polled", "tied", "created", "late"].map(names);
    answered(post(&world, &polled), &[201]).await;
    world.advance(10);
    answered(post(&world, &tied), &[201]).await;
    // Declined in the second it was made: the webhook has to ask Stripe which came last.
    let intents = intents(&world);
    for order_id in tied.iter().filter(|order_id| !pays_by_token(order_id)) {
        let _ = world
            .stripe
            .pay(&intents[order_id], "pm_card_visa_chargeDeclined");
    }

    let gates = [create(), fetch()].map(|on| world.stripe.gate(on, Stage::Arrival));
    let posts = post(&world, &created);
    let polls = poll(&world, &polled);
    let deliveries = deliver(&world, last_events(&world, &tied));
    gates[0].arrived(CALLERS).await;
    gates[1].arrived(CALLERS * 3 / 4).await;
    world.put_stripe_secret(NEXT_KEY, &[WEBHOOK_SECRET]);
    world.stripe.set_secret_keys(&[SECRET_KEY, NEXT_KEY]);
    gates[0].release(CALLERS / 4);
    world.stripe.set_secret_keys(&[NEXT_KEY]);
    gates.iter().for_each(stand_ins::Gate::open);
    answered(post(&world, &late), &[201]).await;
    answered(posts, &[201]).await;
    answered(polls, &[200]).await;
    answered(deliveries, &[200]).await;

    // A poll whose time was up while it told Genesys keeps its turn until that lapses.
    world.advance(16);
    for orders in [polled, tied, created, late] {
        pay(&world, &orders);
        answered(deliver(&world, last_events(&world, &orders)), &[200]).await;
        all_is_well(&world, &orders).await;
    }
    let reads = world.secrets_manager.reads("stripe");
    assert!(
        (4..=6).contains(&reads),
        "{reads}: three at first, one more for each function"
    );
}

#[tokio::test]
async fn a_stripe_key_that_died_too_early_is_said_so_and_all_heals_once_the_new_one_is_there() {
    let world = warm().await;
    let [begun, asked] = ["begun", "asked"].map(names);
    answered(post(&world, &begun), &[201]).await;
    pay(&world, &begun);
    world.advance(10);
    world.stripe.set_secret_keys(&[NEXT_KEY]);
    let before = world.secrets_manager.reads("stripe");
    for answer in answered(post(&world, &asked), &[502]).await {
        assert_eq!(answer.text("code"), "stripe_auth");
    }
    for answer in answered(poll(&world, &begun), &[200]).await {
        assert!(
            ["PENDING", "CONFIRMED"].contains(&answer.text("payment_status")),
            "the record's own answer"
        );
    }
    let reads = world.secrets_manager.reads("stripe") - before;
    assert!(
        reads <= 2 * CALLERS,
        "{reads}: at most one for each request that was refused"
    );
    assert_eq!(
        world.stripe.intents().len(),
        1 + CALLERS,
        "none but what was there before"
    );
    // Events need the key only to break a tie, and success ties with nothing.
    answered(deliver(&world, last_events(&world, &begun)), &[200]).await;
    all_is_well(&world, &begun).await;

    world.put_stripe_secret(NEXT_KEY, &[WEBHOOK_SECRET]);
    let before = world.secrets_manager.reads("stripe");
    answered(post(&world, &asked), &[200]).await;
    pay(&world, &asked);
    answered(deliver(&world, last_events(&world, &asked)), &[200]).await;
    all_is_well(&world, &asked).await;
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        before + 1,
        "by create-intent, once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_webhook_secret_refuses_no_event_and_is_read_once() {
    let world = warm().await;
    let [old, both, new, last] = ["old", "both", "new", "last"].map(names);
    let orders = [old.clone(), both.clone(), new.clone(), last.clone()].concat();
    answered(post(&world, &orders), &[201]).await;
    pay(&world, &orders);
    // Signed before the roll, while both secrets count and when only the new one does: all arrive
    // at once.
    let signed_by = |secrets: &[&str], orders: &[String]| {
        world.stripe.set_webhook_secrets(secrets);
        last_events(&world, orders)
            .iter()
            .map(|event| world.stripe.webhook(event))
            .collect::<Vec<_>>()
    };
    let mut webhooks = signed_by(&[WEBHOOK_SECRET], &old);
    webhooks.extend(signed_by(&[NEXT_WEBHOOK_SECRET, WEBHOOK_SECRET], &both));
    webhooks.extend(signed_by(&[NEXT_WEBHOOK_SECRET], &new));
    world.put_stripe_secret(SECRET_KEY, &[NEXT_WEBHOOK_SECRET, WEBHOOK_SECRET]);
    // Behind the time stands a hash: this shuffles them.
    webhooks.sort_by(|one, other| one.signature.cmp(&other.signature));
    let deliveries = webhooks.into_iter().map(|webhook| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            world
                .deliver_raw(&webhook.body, Some(&webhook.signature), false)
                .await
        })
    });
    let deliveries = deliveries.collect();
    answered(poll(&world, &orders), &[200]).await;
    answered(deliveries, &[200]).await;
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        4,
        "once more, by the webhook"
    );

    // The old one has expired at Stripe and goes; the functions hold both and need not know.
    world.put_stripe_secret(SECRET_KEY, &[NEXT_WEBHOOK_SECRET]);
    answered(deliver(&world, last_events(&world, &last)), &[200]).await;
    all_is_well(&world, &orders).await;
    assert_eq!(world.secrets_manager.reads("stripe"), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_secret_replaced_at_once_is_read_on_the_first_event_that_needs_it() {
    let world = warm().await;
    let orders = names("A");
    answered(post(&world, &orders), &[201]).await;
    pay(&world, &orders);
    world.put_stripe_secret(SECRET_KEY, &[NEXT_WEBHOOK_SECRET]);
    world.stripe.set_webhook_secrets(&[NEXT_WEBHOOK_SECRET]);
    answered(deliver(&world, last_events(&world, &orders)), &[200]).await;
    all_is_well(&world, &orders).await;
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        4,
        "the held one was minutes from its end; one read for all"
    );
}

#[tokio::test]
async fn a_webhook_secret_that_came_too_late_is_known_within_a_minute_and_nothing_was_lost() {
    let world = warm().await;
    let orders = names("A");
    answered(post(&world, &orders), &[201]).await;
    pay(&world, &orders);
    world.stripe.set_webhook_secrets(&[NEXT_WEBHOOK_SECRET]);
    let events = last_events(&world, &orders);
    for answer in answered(deliver(&world, events.clone()), &[400]).await {
        assert_eq!(answer.text("outcome"), "bad_signature");
    }
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        4,
        "one for all of them"
    );
    world.put_stripe_secret(SECRET_KEY, &[NEXT_WEBHOOK_SECRET]);
    answered(deliver(&world, events.clone()), &[400]).await;
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        4,
        "not again within a minute"
    );
    // Whoever polls learns of the payment meanwhile, and so does Genesys.
    world.advance(10);
    let polled = &orders[..CALLERS / 2];
    all_is_well(&world, polled).await;

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    answered(deliver(&world, events), &[200]).await;
    all_is_well(&world, &orders).await;
    assert_eq!(
        world.secrets_manager.reads("stripe"),
        5,
        "one for all of them"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_genesys_secret_fails_no_notice_and_is_read_once() {
    let world = warm().await;
    let [early, flying, late] = ["early", "flying", "late"].map(names);
    let orders = [early.clone(), flying.clone(), late.clone()].concat();
    answered(post(&world, &orders), &[201]).await;
    pay(&world, &orders);
    // Genesys forgets the old secret at once; the tokens it gave stay good.
    world
        .genesys
        .set_credentials(GENESYS_CLIENT, NEXT_GENESYS_SECRET);
    let tokens = world.genesys.token_requests();
    answered(deliver(&world, last_events(&world, &early)), &[200]).await;
    assert_eq!(
        (
            world.genesys.token_requests(),
            world.secrets_manager.reads("genesys")
        ),
        (tokens, 2)
    );

    let gate = world.genesys.gate(conversation(), Stage::Arrival);
    let deliveries = deliver(&world, last_events(&world, &flying));
    gate.arrived(CALLERS).await;
    world.put_genesys_secret(NEXT_GENESYS_SECRET);
    world.genesys.revoke_tokens();
    gate.open();
    answered(deliver(&world, last_events(&world, &late)), &[200]).await;
    answered(deliveries, &[200]).await;
    all_is_well(&world, &orders).await;
    assert_eq!(
        world.genesys.token_requests(),
        tokens + 2,
        "refused with the old secret, granted with the new one"
    );
    assert_eq!(
        world.secrets_manager.reads("genesys"),
        3,
        "once more, by the webhook"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genesys_secret_that_came_too_late_leaves_notices_due_and_the_next_delivery_tells_them() {
    let world = warm().await;
    let orders = names("A");
    answered(post(&world, &orders), &[201]).await;
    pay(&world, &orders);
    world
        .genesys
        .set_credentials(GENESYS_CLIENT, NEXT_GENESYS_SECRET);
    world.genesys.revoke_tokens();
    let events = last_events(&world, &orders);
    let (tokens, told) = (
        world.genesys.token_requests(),
        world.genesys.patches().len(),
    );
    for answer in answered(deliver(&world, events.clone()), &[503]).await {
        assert_eq!(answer.text("outcome"), "genesys_not_told");
    }
    for answer in answered(poll(&world, &orders), &[200]).await {
        assert_eq!(
            answer.text("payment_status"),
            "CONFIRMED",
            "the record is saved all the same"
        );
    }
    assert_eq!(world.genesys.patches().len(), told);
    let reads = world.secrets_manager.reads("genesys");
    assert!(
        reads <= 2 + CALLERS,
        "{reads}: at most one for each delivery that was refused"
    );
    assert!(world.genesys.token_requests() <= tokens + CALLERS);

    world.put_genesys_secret(NEXT_GENESYS_SECRET);
    answered(deliver(&world, events), &[200]).await;
    all_is_well(&world, &orders).await;
    assert_eq!(world.secrets_manager.reads("genesys"), reads + 1);
    assert_eq!(
        world.genesys.attributes(CONVERSATION)["payment_status"],
        json!("CONFIRMED")
    );
}
