//! Drives the three functions, call after call, and keeps what each call cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;
use stand_ins::Scene;
use tests::{Answer, World, table_of};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fill::{Filled, Names, conversation, fill, is_paid, request};
use crate::meter::{Bill, Meter};

/// The calls of one payment's life, two of payments that the table was filled with, and the dearest
/// of creations.
pub(crate) const CALLS: [&str; 13] = [
    CREATE,
    CREATE_LONG,
    REPLAY,
    MOVE,
    TOLD_CREATED,
    POLL_FRESH,
    POLL_STALE,
    POLL_NEWEST,
    SESSION,
    TOLD_PAID,
    TOLD_AGAIN,
    POLL_OLD,
    SESSION_OLD,
];
const CREATE: &str = "create, new order";
const CREATE_LONG: &str = "create, with the longest description";
const REPLAY: &str = "create, replay";
const MOVE: &str = "create, replay by another call";
const TOLD_CREATED: &str = "webhook `created`";
const POLL_FRESH: &str = "poll by order, record younger than 10 s";
const POLL_STALE: &str = "poll by order, older than 10 s";
const POLL_NEWEST: &str = "poll without order id";
const SESSION: &str = "pay-link session, first opening";
const TOLD_PAID: &str = "webhook `succeeded`";
const TOLD_AGAIN: &str = "webhook `succeeded`, once more";
const POLL_OLD: &str = "poll by order, any paid payment";
const SESSION_OLD: &str = "pay-link session, any paid payment";

/// What the calls of one kind cost.
#[derive(Debug, Default)]
pub(crate) struct Kind {
    times: Vec<Duration>,
    bills: Vec<Bill>,
}

impl Kind {
    /// The bill of every one of these calls.
    ///
    /// # Panics
    ///
    /// When two of them differ.
    pub(crate) fn bill(&self, what: &str) -> &Bill {
        let first = self.bills.first().expect("a call");
        if let Some((call, other)) = self
            .bills
            .iter()
            .enumerate()
            .find(|(_, bill)| *bill != first)
        {
            panic!(
                "every call \"{what}\" must cost the same: the first cost {first:?}, call {call} {other:?}"
            );
        }
        first
    }

    /// The median and the 99th percentile, in milliseconds.
    pub(crate) fn p50_p99(&self) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |percent: usize| {
            times
                .get((times.len() - 1) * percent / 100)
                .expect("a call")
                .as_secs_f64()
                * 1000.0
        };
        format!("{:.1} / {:.1}", at(50), at(99))
    }
}

/// The functions over a metered table.
pub(crate) struct Driver {
    world: World,
    meter: Meter,
    events: UnboundedReceiver<Value>,
    kinds: BTreeMap<&'static str, Kind>,
}

impl Driver {
    pub(crate) fn new(mut world: World) -> Self {
        let meter = Meter::default();
        let table = table_of(meter.client(&world.dynamo.client()));
        world.create_intent.store = table.clone();
        world.stripe_webhook.store = table.clone();
        world.status_query.store = table;
        let events = world.stripe.subscribe();
        Self {
            world,
            meter,
            events,
            kinds: BTreeMap::new(),
        }
    }

    /// What was driven since the last time, by kind.
    pub(crate) fn take(&mut self) -> BTreeMap<&'static str, Kind> {
        std::mem::take(&mut self.kinds)
    }

    /// Lives through one whole payment, and asks for two that were there already.
    pub(crate) async fn round(&mut self, number: u64, filled: u64) {
        let conversation = conversation(number);
        self.world
            .genesys
            .open_conversation(&conversation, Scene::inbound());
        let (order, id) = (format!("ORDER-{number:09}"), conversation.as_str());
        let created = self.post(CREATE, &request(id, &order), 201).await;
        let (intent, url) = (
            created.text("payment_intent_id"),
            created.text("payment_url"),
        );
        self.post(REPLAY, &request(id, &order), 200).await;
        self.world.advance(1);
        let event = self.event();
        self.deliver(TOLD_CREATED, &event).await;
        self.world.advance(3);
        self.poll(POLL_FRESH, id, Some(&order), "PENDING").await;
        self.world.advance(8);
        self.poll(POLL_STALE, id, Some(&order), "PENDING").await;
        self.world.advance(3);
        self.poll(POLL_NEWEST, id, None, "PENDING").await;
        self.open(SESSION, url, "open").await;
        self.world.advance(20);
        self.world
            .stripe
            .pay(intent, "pm_card_visa")
            .expect("a good card");
        self.world.advance(2);
        let event = self.event();
        self.deliver(TOLD_PAID, &event).await;
        self.deliver(TOLD_AGAIN, &event).await;

        let mut rng = Rng::with_seed(number);
        let any = std::iter::repeat_with(|| rng.u64(..filled)).find(|number| is_paid(*number));
        let old = Names::of(any.expect("most are paid"));
        self.poll(POLL_OLD, &old.conversation, Some(&old.order), "CONFIRMED")
            .await;
        self.open(SESSION_OLD, &old.token.to_fragment(), "paid")
            .await;

        let mut long = request(id, &format!("LONG-{number:09}"));
        long["description"] = "d".repeat(1000).into();
        self.post(CREATE_LONG, &long, 201).await;
        long["conversation_id"] = old.conversation.into();
        self.post(MOVE, &long, 200).await;
    }

    /// Asks for a payment.
    async fn post(&mut self, kind: &'static str, request: &Value, status: u16) -> Answer {
        let started = self.begin();
        let answer = self.world.post(request).await;
        self.end(kind, started);
        assert_eq!(answer.status, status, "{:#}", answer.body);
        answer
    }

    /// Asks where a payment stands.
    async fn poll(
        &mut self,
        kind: &'static str,
        conversation: &str,
        order: Option<&str>,
        status: &str,
    ) {
        let started = self.begin();
        let answer = self.world.status(conversation, order).await;
        self.end(kind, started);
        assert_eq!(answer.text("payment_status"), status, "{:#}", answer.body);
    }

    async fn open(&mut self, kind: &'static str, url: &str, state: &str) {
        let started = self.begin();
        let answer = self.world.open_link(url).await;
        self.end(kind, started);
        assert_eq!(answer.text("state"), state, "{:#}", answer.body);
    }

    /// The last event, without a look at all the others, which would cool the processor's caches.
    fn event(&mut self) -> Value {
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        events.last().expect("an event")
    }

    async fn deliver(&mut self, kind: &'static str, event: &Value) {
        let started = self.begin();
        let answer = self.world.deliver(event).await;
        self.end(kind, started);
        assert_eq!(answer.status, 200, "{:#}", answer.body);
    }

    fn begin(&self) -> Instant {
        self.meter.take();
        self.world.stripe.clear_requests();
        self.world.genesys.clear_requests();
        Instant::now()
    }

    fn end(&mut self, kind: &'static str, started: Instant) {
        let elapsed = started.elapsed();
        let mut bill = self.meter.take();
        bill.stripe = self.world.stripe.requests().len();
        bill.genesys = self.world.genesys.requests().len();
        let kind = self.kinds.entry(kind).or_default();
        kind.times.push(elapsed);
        kind.bills.push(bill);
    }
}

/// A world with that many payments in its table.
pub(crate) async fn filled(payments: u64) -> (Driver, Filled) {
    let world = World::new().await;
    let filled = fill(&world, payments).await;
    (Driver::new(world), filled)
}
