//! What happens in one seed: callers, payers, Stripe's deliveries and disturbances, all at once, on
//! virtual time. Then calm, what is outstanding is delivered, and the books are balanced.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::room::{Credentials, Room, secrets};
use crate::sim::{Hit, Hits, Sim};
use crate::watch::Order;

/// Where receipts go: to an address that Stripe takes, to one that it refuses, and to one whose
/// refusal it keeps under the idempotency key.
pub(crate) const RECEIPTS: [&str; 3] = [
    "taken@b.example",
    "refused@b.example",
    "refused-and-kept@b.example",
];

/// How long everything outstanding may take to be taken once nothing goes wrong any more.
const SETTLING: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long Secrets Manager is down.
pub(crate) const SECRETS_OUTAGE: Duration = Duration::from_secs(600);

/// What came of a seed.
pub(crate) struct Outcome {
    pub(crate) hits: Hits,
    pub(crate) violations: Vec<String>,
    pub(crate) invocations: u64,
    /// Which step of a function followed which.
    pub(crate) steps: BTreeSet<String>,
}

/// Plays one seed from beginning to end. Virtual time: it takes milliseconds and no sleep is slept.
pub(crate) fn play(seed: u64, tracing: bool) -> Outcome {
    stage(seed, tracing, async |room| run(room).await)
}

/// What is played without any trouble, but that one function dies once. Whoever called it calls
/// again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scene {
    /// A payment by token.
    Token,
    /// A payment by token for whose receipt Stripe refuses the address; `kept` under the key, or
    /// not.
    ReceiptRefused { kept: bool },
    /// A payment by link, which is opened and told of before it is paid.
    Link,
    /// A payment is canceled that can be paid.
    Cancel,
    /// A payment is canceled whose creator died after Stripe made the intent.
    CancelOfTheUnfinished,
    /// A payment that can be paid is replaced by one for another amount, which is paid.
    Replace,
    /// A payment that can be paid is asked for in another call, and is paid.
    SecondCall,
}

/// Plays a scene in which this function dies at this wait. Tells whether it waited that often, and
/// what was wrong.
pub(crate) fn play_one_death(
    scene: Scene,
    function: &'static str,
    lives: u64,
) -> (bool, Vec<String>) {
    let died = Cell::new(false);
    let outcome = stage(0, false, async |room| {
        room.sim.calm_down();
        let order = &room.orders()[0];
        if matches!(scene, Scene::CancelOfTheUnfinished) {
            leave_unfinished(room, order).await;
        }
        let deaths = || room.sim.hits().get(&Hit::Killed).copied();
        let before = deaths();
        room.sim.doom(function, lives);
        let mut asked = body(order, 5000);
        let ends_as = match scene {
            Scene::Token | Scene::ReceiptRefused { .. } => {
                if let Scene::ReceiptRefused { kept } = scene {
                    asked["receipt_email"] = RECEIPTS[1 + usize::from(kept)].into();
                }
                asked["payment_method"] = TOKENS[0].into();
                while room.post(&asked).await.is_none() {}
                "CONFIRMED"
            }
            Scene::Link => {
                while room.post(&asked).await.is_none() {}
                let secret = open_and_tell(room, order).await;
                room.watch.pay_by_card(&secret, TOKENS[0]);
                "CONFIRMED"
            }
            Scene::Replace | Scene::SecondCall => {
                room.sim.spare(function);
                while room.post(&asked).await.is_none() {}
                room.sim.doom(function, lives);
                if matches!(scene, Scene::Replace) {
                    asked = body(order, 5100);
                    asked["replace"] = true.into();
                } else {
                    asked["conversation_id"] = room.another_conversation().into();
                }
                let answer = loop {
                    if let Some(answer) = room.post(&asked).await {
                        break answer;
                    }
                };
                let same = answer.body["amount_minor"] == asked["amount_minor"];
                room.sim.check(same && answer.status < 300, || {
                    format!("6: {asked} is answered {}", answer.body)
                });
                let link = room.links().pop().expect("a link");
                let session = room.session(&link).await.expect("nothing else dies");
                room.watch
                    .pay_by_card(session.text("client_secret"), TOKENS[0]);
                "CONFIRMED"
            }
            Scene::Cancel | Scene::CancelOfTheUnfinished => {
                if matches!(scene, Scene::Cancel) {
                    while room.post(&asked).await.is_none() {}
                }
                let canceled = loop {
                    if let Some(answer) = room.cancel(order).await {
                        break answer;
                    }
                };
                let status = &canceled.body["payment_status"];
                room.sim.check(status == "CANCELED", || {
                    format!("6: it is not canceled but {status}")
                });
                "CANCELED"
            }
        };
        // Who comes first has something to find out and to tell.
        if function != "stripe-webhook" {
            room.sim.pause(11_000, 11_000).await;
            while room.status(order, true).await.is_none() {}
        }
        deliver_all(room).await;
        // A turn that died with its holder has lapsed by then.
        room.sim.pause(16_000, 16_000).await;
        room.status(order, true).await;
        room.try_every_link().await;
        room.watch.balance(&room.genesys, &room.orders());
        let record = room.watch.record(order);
        let ended = record
            .as_ref()
            .is_some_and(|record| record.status == ends_as);
        room.sim
            .check(ended, || format!("3: it is not {ends_as}, but {record:?}"));
        died.set(deaths() != before);
    });
    (died.get(), outcome.violations)
}

/// Lets create-intent die again and again, each time a wait later, until it dies when Stripe has
/// made the intent.
async fn leave_unfinished(room: &Room, order: &Order) {
    for lives in 1.. {
        room.sim.doom("create-intent", lives);
        let answer = room.post(&body(order, 5000)).await;
        assert!(
            answer.is_none(),
            "create-intent never dies after Stripe made the intent"
        );
        room.sim.pause(1000, 1000).await;
        if !room.stripe.intents().is_empty() {
            break;
        }
    }
    let record = room.watch.record(order).expect("a record");
    assert_eq!(
        (record.status.as_str(), record.intent),
        ("CREATING", None),
        "it died too late"
    );
}

/// The payer opens the newest link, and Genesys hears of it. Gives the client secret.
async fn open_and_tell(room: &Room, order: &Order) -> String {
    let link = room.links().pop().expect("a link");
    let answer = loop {
        if let Some(answer) = room.session(&link).await {
            break answer;
        }
    };
    deliver_all(room).await;
    room.sim.pause(16_000, 16_000).await;
    while room.status(order, true).await.is_none() {}
    let progress = room.genesys.attributes(&order.0).remove("payment_progress");
    room.sim
        .check(progress.as_deref() == Some("link_opened"), || {
            format!("3: it is not opened but {progress:?}")
        });
    answer.text("client_secret").to_owned()
}

/// Delivers every event Stripe has, in order, again until it is taken.
async fn deliver_all(room: &Room) {
    for event in room.stripe.events() {
        while room
            .deliver(&event)
            .await
            .is_none_or(|answer| answer.status != 200)
        {
            room.sim.pause(1000, 20_000).await;
        }
    }
}

pub(crate) fn stage(seed: u64, tracing: bool, scene: impl AsyncFnOnce(&Arc<Room>)) -> Outcome {
    // The AWS SDK draws its back-off from the thread's own dice.
    fastrand::seed(seed);
    tests::forget_thread_log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let sim = Sim::new(seed, tracing);
        let room = Room::new(seed, &sim).await;
        scene(&room).await;
        let log = tests::thread_log();
        let tokens = room.watch.tokens();
        if let Some(secret) = secrets(&tokens).find(|secret| log.contains(secret)) {
            let line = log
                .lines()
                .find(|line| line.contains(secret))
                .unwrap_or_default();
            sim.violation(format!("5: a secret is in the log: {line}"));
        }
        Outcome {
            hits: sim.hits(),
            violations: sim.violations(),
            invocations: room.invocations(),
            steps: sim.steps(),
        }
    })
}

async fn run(room: &Arc<Room>) {
    let sim = &room.sim;
    let deliveries = tokio::spawn(deliver_everything(Arc::clone(room)));
    let mut actors = JoinSet::new();
    for order in room.orders() {
        actors.spawn(caller(Arc::clone(room), order.clone()));
        actors.spawn(payer(Arc::clone(room), order));
    }
    actors.spawn(disturbances(Arc::clone(room)));
    while let Some(ended) = actors.join_next().await {
        ended.expect("no actor panics");
    }
    sim.calm_down();
    room.stripe.set_search_lag(false);
    room.stripe.set_search_refused(None);
    room.write_secrets();
    room.retire_old_credentials();
    sim.note(|| "calm".to_owned());
    // Whoever is on the line once more: the status is polled until every turn that died with its
    // holder has lapsed.
    for _ in 0..3 {
        sim.pause(16_000, 17_000).await;
        for order in &room.orders() {
            let answer = room
                .status(order, true)
                .await
                .expect("nothing is killed any more");
            sim.check(answer.status == 200, || {
                format!("6: {} {}", answer.status, answer.body)
            });
        }
    }
    for order in &room.orders() {
        room.come_back(order).await;
    }
    room.stop_events();
    let all_taken = timeout(SETTLING, deliveries).await;
    sim.check(all_taken.is_ok_and(|ended| ended.is_ok()), || {
        "3: an event is never taken".to_owned()
    });
    sim.pause(16_000, 17_000).await;
    for order in &room.orders() {
        let _ = room.status(order, true).await;
    }
    room.try_every_link().await;
    room.watch.balance(&room.genesys, &room.orders());
    room.look_for_secrets_in_the_table();
}

pub(crate) fn body((conversation, order): &Order, cents: u64) -> Value {
    json!({ "conversation_id": conversation, "order_id": order, "amount_minor": cents, "currency": "usd" })
}

/// The same order, asked for in this call or in another one.
fn another_call(room: &Room, order: &Order, cents: u64) -> Value {
    body(&(room.a_call_for(order), order.1.clone()), cents)
}

/// The flow: asks for the payment until it gets an answer it can go on with, then polls, now and
/// then asking again.
async fn caller(room: Arc<Room>, order: Order) {
    let sim = &room.sim;
    // The same amount for all: what tells orders apart must not be their amount.
    let cents = 5000;
    sim.pause(0, 3000).await;
    let mut asked = body(&order, cents);
    if sim.chance(250) {
        asked["payment_method"] = sim.pick(&TOKENS).into();
    }
    if sim.chance(300) {
        asked["receipt_email"] = sim.pick(&RECEIPTS).into();
    }
    let mut attempts = 0;
    loop {
        let answered = if sim.chance(200) {
            sim.hit(Hit::TwinRequest);
            let mut twin = asked.clone();
            if twin["payment_method"].is_string() && sim.chance(500) {
                twin["payment_method"] = sim.pick(&TOKENS).into();
            }
            let (first, second) = tokio::join!(room.post(&asked), room.post(&twin));
            first.or(second)
        } else if sim.chance(80) {
            let canceling = async {
                sim.pause(1, 1500).await;
                room.cancel(&order).await;
                if sim.chance(500) {
                    room.post(&body(&order, 5700)).await;
                }
            };
            tokio::join!(room.post(&asked), canceling).0
        } else {
            room.post(&asked).await
        };
        attempts += 1;
        match answered {
            Some(answer) if answer.status < 300 => break,
            Some(answer)
                if !answer.body["retryable"].as_bool().unwrap_or(false) && attempts > 1 =>
            {
                break;
            }
            _ if attempts > 5 => break,
            _ => sim.pause(200, 8000).await,
        }
    }
    for _ in 0..sim.below(7) {
        match sim.below(13) {
            _ if room.is_at_bank(&order) && sim.chance(500) => {
                if sim.chance(600) {
                    room.cancel(&order).await;
                } else {
                    let mut other = another_call(&room, &order, cents + 100);
                    other["replace"] = true.into();
                    room.post(&other).await;
                }
            }
            10.. => cancel(&room, &order).await,
            0 => {
                sim.hit(Hit::OtherAmount);
                let mut other = another_call(&room, &order, cents + 100);
                other["replace"] = sim.chance(700).into();
                room.post(&other).await;
                if sim.chance(300) {
                    room.post(&other).await;
                }
            }
            1 => {
                let mut again = another_call(&room, &order, cents);
                again["payment_method"] = sim.pick(&TOKENS).into();
                room.post(&again).await;
            }
            2 => {
                let again = another_call(&room, &order, cents);
                if sim.chance(300) {
                    let other = another_call(&room, &order, cents);
                    tokio::join!(room.post(&again), room.post(&other));
                } else {
                    room.post(&again).await;
                }
            }
            _ => {
                let by_order = sim.chance(800);
                let answer = room.status(&order, by_order).await;
                if by_order
                    && answer.is_some_and(|answer| answer.body["payment_status"] == "CANCELED")
                {
                    sim.hit(Hit::NewAttempt);
                    room.post(&body(&order, cents + sim.pick(&[0, 700]))).await;
                }
            }
        }
        sim.pause(500, 20_000).await;
    }
    if sim.chance(30) {
        sim.pause(19 * 3_600_000, 30 * 3_600_000).await;
        sim.hit(Hit::OldRecord);
        if sim.chance(300) {
            room.cancel(&order).await;
        } else {
            room.post(&body(&order, cents)).await;
        }
    }
}

/// The order is released: the payment is canceled, once or twice at once, until there is an answer.
/// Some begin anew.
async fn cancel(room: &Room, order: &Order) {
    let sim = &room.sim;
    let mut answered = if sim.chance(300) {
        sim.hit(Hit::CancelTwin);
        let (first, second) = tokio::join!(room.cancel(order), room.cancel(order));
        first.or(second)
    } else {
        room.cancel(order).await
    };
    for _ in 0..3 {
        if answered.as_ref().is_some_and(|answer| answer.status == 200) {
            break;
        }
        sim.pause(200, 8000).await;
        answered = room.cancel(order).await;
    }
    let canceled = answered.is_some_and(|answer| answer.body["payment_status"] == "CANCELED");
    if canceled && sim.chance(500) {
        sim.hit(Hit::NewAttempt);
        room.post(&body(order, sim.pick(&[5000, 5700]))).await;
    }
}

/// Tokens of a voice vault: one that pays, two that do not, one nobody knows.
pub(crate) const TOKENS: [&str; 4] = [
    "pm_card_visa",
    "pm_card_visa_chargeDeclined",
    "pm_card_authenticationRequired",
    "pm_nobody_knows",
];

/// The payer, by link or by whatever else leads to Stripe's fields, who also plays whoever captures
/// or cancels in the dashboard.
async fn payer(room: Arc<Room>, of: Order) {
    let sim = &room.sim;
    if sim.chance(100) {
        // The message is found when its time is over, or nearly.
        sim.pause(20 * 60_000, 60 * 60_000).await;
        pay_by_link(&room, &of).await;
        return;
    }
    if sim.chance(60) {
        return test_cards(&room, &of).await;
    }
    if sim.chance(200) {
        go_to_the_bank(&room, &of).await;
    }
    for _ in 0..1 + sim.below(5) {
        sim.pause(300, 25_000).await;
        if sim.chance(500) {
            pay_by_link(&room, &of).await;
            continue;
        }
        let of_order = |id: &&str| {
            room.watch
                .made_for(id)
                .is_some_and(|(order, _)| order == of)
        };
        let intents = room.stripe.intents();
        let mut ids = intents.iter().filter_map(|intent| intent["id"].as_str());
        if let Some(intent) = ids.rfind(of_order) {
            room.watch.payer_acts(intent);
        }
    }
}

/// The payer is sent to the bank, and comes back after a while.
async fn go_to_the_bank(room: &Room, order: &Order) {
    room.sim.pause(500, 6000).await;
    let record = room.watch.record(order);
    if let Some(intent) = record.and_then(|record| record.intent) {
        room.watch.go_to_the_bank(&intent);
        room.sim.pause(2000, 60_000).await;
        room.watch.payer_acts(&intent);
    }
}

/// Somebody tries card after card.
async fn test_cards(room: &Room, order: &Order) {
    for _ in 0..14 {
        room.sim.pause(1000, 4000).await;
        let record = room.watch.record(order);
        if let Some(intent) = record.and_then(|record| record.intent) {
            room.watch.decline(&intent);
        }
    }
}

/// Opens a link that came with a reply, and pays with the client secret that the session hands out.
async fn pay_by_link(room: &Room, order: &Order) {
    let sim = &room.sim;
    let Some(link) = room.a_link(order) else {
        return room.session_of_nobody_s().await;
    };
    if sim.chance(200) {
        room.page().await;
    }
    for _ in 0..3 {
        let answer = room.session(&link).await;
        match answer.as_ref().map(|answer| answer.text("state")) {
            None | Some("unavailable") => sim.pause(500, 4000).await,
            Some("open") => {
                sim.pause(100, 8000).await;
                let secret = answer
                    .as_ref()
                    .map(|answer| answer.text("client_secret"))
                    .unwrap_or_default();
                return room.watch.pay_with(secret);
            }
            Some(_) => return,
        }
    }
}

/// What goes wrong beside single requests.
async fn disturbances(room: Arc<Room>) {
    let sim = &room.sim;
    for _ in 0..sim.below(6) {
        sim.pause(500, 20_000).await;
        let (conversation, _) = &room.orders()[0];
        match sim.below(16) {
            12 | 13 => another_stack(&room).await,
            14 | 15 => record_expires(&room).await,
            0 => {
                sim.hit(Hit::ConversationEnded);
                room.watch.over(conversation);
                room.genesys.end_conversation(conversation);
            }
            1 => {
                sim.hit(Hit::CustomerHungUp);
                room.watch.over(conversation);
                room.genesys.hang_up(conversation);
            }
            2 => {
                sim.hit(Hit::StripeKeyRotated);
                room.credentials.lock().unwrap().stripe_key += 1;
                rotate(&room).await;
            }
            3 => {
                sim.hit(Hit::WebhookSecretRotated);
                room.credentials.lock().unwrap().webhook_secret += 1;
                rotate(&room).await;
            }
            4 => {
                sim.hit(Hit::GenesysSecretRotated);
                room.credentials.lock().unwrap().genesys_secret += 1;
                rotate(&room).await;
                room.genesys.revoke_tokens();
            }
            5 => {
                sim.hit(Hit::SearchLags);
                room.stripe.set_search_lag(true);
                sim.pause(1000, 60_000).await;
                room.stripe.set_search_lag(false);
            }
            6 => edit_metadata(&room).await,
            7 => set_clock(&room, Hit::ClockForward, 1).await,
            8 => secrets_are_down(&room).await,
            9 => {
                sim.hit(Hit::SearchRefused);
                room.stripe
                    .set_search_refused(Some(sim.pick(&[400, 403, 404])));
                sim.pause(1000, 60_000).await;
                room.stripe.set_search_refused(None);
            }
            10 => deliver_a_copy(&room).await,
            _ => set_clock(&room, Hit::ClockBack, -1).await,
        }
    }
}

/// Secrets Manager is down for ten minutes, twice as long as a secret is used without asking.
/// Events come again, and the status is asked for, so that those who hold the secret have something
/// to do.
async fn secrets_are_down(room: &Room) {
    let sim = &room.sim;
    sim.hit(Hit::SecretsDown);
    room.aws.set_secrets_down(true);
    let over = Instant::now() + SECRETS_OUTAGE;
    let any = |count: usize| usize::try_from(sim.below(count as u64)).expect("an index");
    while Instant::now() < over {
        let (events, orders) = (room.stripe.events(), room.orders());
        if !events.is_empty() {
            room.deliver(&events[any(events.len())]).await;
        }
        room.status(&orders[any(orders.len())], true).await;
        sim.pause(5000, 40_000).await;
    }
    room.aws.set_secrets_down(false);
}

/// Another account's payment succeeds whose metadata names an order of ours: as an event of a
/// connected account, or as one of ours about an intent that our key does not see.
async fn deliver_a_copy(room: &Room) {
    let sim = &room.sim;
    let orders = room.orders();
    let (conversation, order) =
        &orders[usize::try_from(sim.below(orders.len() as u64)).expect("an index")];
    let now = sim.true_second();
    let mut event = json!({
        "id": "evt_copied", "object": "event", "type": "payment_intent.succeeded", "created": now, "livemode": false,
        "data": { "object": {
            "id": "pi_copied", "object": "payment_intent", "amount": 5000, "amount_received": 5000, "currency": "usd",
            "status": "succeeded", "created": now,
            "metadata": {
                "payment_uid": room.watch.uid(order), "conversation_id": conversation,
                "order_id": order, "attempt": "1",
            },
        } },
    });
    if sim.chance(500) {
        event["account"] = "acct_1Connected".into();
    }
    sim.hit(Hit::AccountCopied);
    for _ in 0..3 {
        let answer = room.deliver(&event).await;
        let outcome = answer
            .as_ref()
            .map(|answer| (answer.status, answer.text("outcome").to_owned()));
        let ignored = [
            "other_account",
            "not_ours",
            "disagreement",
            "earlier_attempt",
            "final",
        ];
        let taken = outcome
            .as_ref()
            .is_none_or(|(status, outcome)| *status != 200 || ignored.contains(&outcome.as_str()));
        sim.check(taken, || {
            format!("2: another account's event is {outcome:?}")
        });
        if outcome.is_some_and(|(status, _)| status == 200) {
            return;
        }
        sim.pause(1000, 8000).await;
    }
}

/// Another stack on the same account takes a payment for an order of the same id. Its events come
/// to our endpoint, too.
async fn another_stack(room: &Room) {
    let sim = &room.sim;
    let orders = room.orders();
    let (conversation, order) =
        &orders[usize::try_from(sim.below(orders.len() as u64)).expect("an index")];
    sim.hit(Hit::ForeignIntent);
    let uid = format!("{:025}", sim.below(u64::MAX));
    let key = Credentials::stripe_key(room.credentials.lock().unwrap().stripe_key);
    let form = format!(
        "amount=5000&currency=usd&metadata[payment_uid]={uid}&metadata[order_id]={order}\
         &metadata[conversation_id]={conversation}&metadata[attempt]=1"
    );
    let Some(intent) = room.watch.make_foreign(&key, &form).await else {
        return;
    };
    sim.pause(500, 20_000).await;
    room.watch.pay_foreign(&intent);
}

/// A canceled payment's record expires, and whoever asks for its order begins anew. Events of its
/// past may still come.
async fn record_expires(room: &Room) {
    let sim = &room.sim;
    for _ in 0..10 {
        let orders = room.orders().into_iter();
        let mut orders = orders.filter(|order| room.watch.can_expire(order));
        if room.is_idle()
            && let Some(order) = orders.next()
        {
            sim.hit(Hit::RecordExpired);
            room.expire(&order);
            room.post(&another_call(room, &order, 5000)).await;
            return;
        }
        sim.pause(1000, 5000).await;
    }
}

/// The new credential goes into Secrets Manager and the old one stops being good, in this order or
/// the other.
async fn rotate(room: &Room) {
    // While both are good, whoever still has the old one is served.
    let overlap = room.sim.chance(700);
    let now = *room.credentials.lock().unwrap();
    if overlap {
        let both =
            |name: fn(u32) -> String, number: u32| [name(number.saturating_sub(1)), name(number)];
        let keys = both(Credentials::stripe_key, now.stripe_key);
        let secrets = both(Credentials::webhook_secret, now.webhook_secret);
        room.stripe
            .set_secret_keys(&keys.each_ref().map(String::as_str));
        room.stripe
            .set_webhook_secrets(&secrets.each_ref().map(String::as_str));
        room.write_secrets();
        room.sim.pause(100, 20_000).await;
        room.retire_old_credentials();
    } else {
        room.retire_old_credentials();
        room.sim.pause(100, 20_000).await;
        room.write_secrets();
    }
}

/// The functions' clock is off for a while: by seconds at any moment, by up to two hours while
/// nothing is under way. It jumps back by as much, so that too waits until nothing is.
async fn set_clock(room: &Room, hit: Hit, sign: i64) {
    let sim = &room.sim;
    let far = sim.chance(500) && room.is_idle();
    let by = if far {
        sim.between(60_000, 7_200_000)
    } else {
        sim.between(500, 4_000)
    };
    sim.hit(hit);
    sim.skew(sign * i64::try_from(by.as_millis()).expect("a skew"));
    sim.pause(1000, 60_000).await;
    if far {
        room.until_quiet().await;
        sim.skew(0);
    } else if sim.chance(700) {
        // Back again at once, or only when calm sets in.
        sim.skew(0);
    }
}

/// Somebody edits an intent's metadata in Stripe's dashboard, so that it names another order: one
/// whose creator has died before it came to Stripe, so that whoever looks for that order's intent
/// finds this one.
async fn edit_metadata(room: &Room) {
    let intents = room.stripe.intents();
    if intents.is_empty() {
        return;
    }
    let intent = &intents[usize::try_from(room.sim.below(intents.len() as u64)).expect("an index")];
    let text_of_id = |intent: &Value| intent["id"].as_str().expect("an id").to_owned();
    let Some((from, _)) = room.watch.made_for(&text_of_id(intent)) else {
        return;
    };
    let to = (from.0.clone(), format!("{}-after", from.1));
    if from.1.ends_with("-after") || room.watch.was_edited(&from) {
        return;
    }
    room.sim.hit(Hit::MetadataEdited);
    room.watch.edited(&from, &to);
    room.add_order(&to);
    room.sim.doom("create-intent", 1 + room.sim.below(6));
    room.post(&body(&to, 5000)).await;
    let uid = room.watch.uid(&to.1);
    let edit = [("order_id", to.1.as_str()), ("payment_uid", uid.as_str())];
    room.stripe
        .edit_metadata(intent["id"].as_str().expect("an id"), &edit)
        .expect("an intent");
    for _ in 0..2 {
        room.sim.pause(10_500, 12_000).await;
        room.status(&to, true).await;
    }
}

/// Stripe's deliveries: each event one to three times, at once or much later, and again until it is
/// taken.
async fn deliver_everything(room: Arc<Room>) {
    let mut events = room.events();
    let mut under_way = JoinSet::new();
    let delivered: Arc<Mutex<HashSet<(String, usize)>>> = Arc::default();
    let mut seconds = HashSet::new();
    let mut count = 0;
    while let Some(event) = room.next_event(&mut events).await {
        let sim = &room.sim;
        let intent = event["data"]["object"]["id"].to_string();
        if !seconds.insert((intent, event["created"].to_string())) {
            sim.hit(Hit::WebhookTied);
        }
        if sim.chance(50) {
            sim.hit(Hit::WebhookLost);
            continue;
        }
        let copies = sim.pick(&[1, 1, 1, 2, 3]);
        for copy in 0..copies {
            if copy > 0 {
                sim.hit(Hit::WebhookDuplicated);
            }
            let delay = match sim.below(10) {
                0..=4 => sim.between(0, 1500),
                5..=7 => sim.between(0, 30_000),
                8 => sim.between(0, 120_000),
                _ => sim.between(60_000, 4 * 3_600_000),
            };
            if delay >= Duration::from_secs(60) {
                sim.hit(Hit::WebhookDelayed);
            }
            under_way.spawn(deliver(
                Arc::clone(&room),
                event.clone(),
                count,
                delay,
                Arc::clone(&delivered),
            ));
        }
        count += 1;
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("no delivery panics");
    }
}

async fn deliver(
    room: Arc<Room>,
    event: Value,
    number: usize,
    delay: Duration,
    delivered: Arc<Mutex<HashSet<(String, usize)>>>,
) {
    let sim = &room.sim;
    tokio::time::sleep(delay).await;
    let intent = event["data"]["object"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    if delivered
        .lock()
        .unwrap()
        .iter()
        .any(|(of, other)| *of == intent && *other > number)
    {
        sim.hit(Hit::WebhookReordered);
    }
    if !room.watch.is_on_record(&intent) {
        sim.hit(Hit::WebhookEarly);
    }
    loop {
        sim.note(|| {
            format!(
                "event {} {} {}",
                event["type"], event["created"], event["data"]["object"]["status"]
            )
        });
        if room
            .deliver(&event)
            .await
            .is_some_and(|answer| answer.status == 200)
        {
            delivered.lock().unwrap().insert((intent, number));
            return;
        }
        sim.pause(1000, if sim.chance(800) { 20_000 } else { 3_600_000 })
            .await;
    }
}
