//! The life of one payment as a model, checked exhaustively for bounded counts: requests, webhooks and refreshes that run
//! at the same time, step by step, each of which may die between any two steps, with events repeated and out of order.
//!
//! What moves the record is the production function, [`Payment::observe`]. The model is what runs around it: the table's
//! conditions, the order of the steps, Stripe and Genesys. Each mutation breaks one rule and must be found out.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test stops where it is wrong")]

use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use shared::ids::{ConversationId, Correlation, IntentId, OrderId};
use shared::money::{Currency, Money};
use shared::payment::{
    AsOf, CaptureMethod, Intent, Notice, Observation, Payment, PaymentStatus, Source, StripeStatus, Terms, Verdict,
};
use shared::time::UnixMillis;
use stateright::{Checker, HasDiscoveries, Model, Property};

/// Times of day order nothing, so one will do.
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

/// The one property that some state must have: without it the others could hold for want of anything happening.
const CONFIRMED_AND_TOLD: &str = "a payment is confirmed and told";

/// How many requests, deliveries and refreshes may be under way at the same time.
const AT_ONCE: usize = 2;

/// How much of everything may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    posts: u8,
    tries: u8,
    cancellations: u8,
    ticks: u8,
    repeats: u8,
    refreshes: u8,
    deaths: u8,
    refusals: u8,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// A final status can be left.
    DropTheFinalGuard,
    /// What Genesys accepted is written down before it is told.
    SetNotifiedBeforeTelling,
    /// Whatever arrives counts as newer than what is known.
    OrderByArrival,
    /// A state replaces whatever version is there.
    ForgetTheVersion,
    /// Everybody may tell Genesys at any time.
    ForgetTheTurn,
    /// Each request to Stripe has a key of its own.
    ForgetTheIdempotencyKey,
}

struct Life {
    left: Left,
    mutation: Option<Mutation>,
}

/// An intent at Stripe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct AtStripe {
    attempt: u32,
    status: StripeStatus,
    last_error: Option<String>,
    created: u64,
}

/// Something under way in one function, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running {
    /// The event this delivery shall be accepted for.
    event: Option<usize>,
    step: Step,
}

/// What comes next; each step is what happens between two awaits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Ask Stripe to make the intent of this record.
    Make(Payment),
    /// Ask Stripe how the record's intent stands.
    Fetch(Payment, usize),
    /// Apply what was seen to the record as it was read.
    Settle(Payment, Observation),
    /// Take the turn to tell Genesys.
    Claim(Payment),
    /// Tell Genesys.
    Tell(Payment, Notice, u64),
    /// Write down that Genesys accepted it.
    End(Payment, Notice, u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    left: Left,
    second: u64,
    stripe: Vec<AtStripe>,
    charges: u8,
    /// Everything that was ever true at Stripe, in order.
    truth: Vec<Notice>,
    events: Vec<Observation>,
    unaccepted: BTreeSet<usize>,
    record: Option<Payment>,
    pointers: BTreeSet<u32>,
    turns: u64,
    turn: Option<u64>,
    told: Vec<Notice>,
    running: Vec<Running>,
    final_was_left: bool,
    disagreed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Post,
    Try(PaymentStatus),
    Cancel,
    Tick,
    Deliver(usize),
    Refresh,
    Go(usize),
    Die(usize),
    Refuse(usize),
    TurnLapses,
}

fn money() -> Money {
    Money { amount_minor: 5000, currency: Currency::parse("usd").expect("a currency") }
}

fn terms() -> Terms {
    Terms { capture_method: CaptureMethod::Automatic, description: None, receipt_email: None }
}

fn begin() -> Payment {
    let conversation = ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").expect("a conversation");
    Payment::begin(conversation, OrderId::parse("A").expect("an order"), money(), terms(), NOW)
}

impl State {
    /// What Stripe says of an intent now.
    fn intent(&self, at: usize) -> Intent {
        let AtStripe { attempt, status, last_error, created } = self.stripe[at].clone();
        Intent {
            id: IntentId::parse(&format!("pi_{at}")).expect("an intent id"),
            money: money(),
            amount_received: if status == StripeStatus::Succeeded { money().amount_minor } else { 0 },
            status,
            last_error,
            created,
            correlation: Some(Correlation { attempt, ..begin().correlation }),
        }
    }

    /// Stripe's intent changes, and Stripe has an event to deliver.
    fn change(&mut self, at: usize, status: StripeStatus, last_error: Option<&str>) {
        self.stripe[at].status = status;
        self.stripe[at].last_error = last_error.map(str::to_owned);
        self.charges += u8::from(status == StripeStatus::Succeeded);
        self.say(at);
    }

    fn say(&mut self, at: usize) {
        let intent = self.intent(at);
        self.truth.push(Notice { intent_id: intent.id.clone(), status: intent.payment_status() });
        self.unaccepted.insert(self.events.len());
        let (as_of, event_id) = (AsOf::second(self.second), Some(format!("evt_{}", self.events.len())));
        self.events.push(Observation { intent, as_of, source: Source::Event, event_id });
    }

    /// Whether Genesys heard no older status after a newer one. The same once more, after a crash, does no harm.
    fn told_in_order(&self) -> bool {
        let mut truth = self.truth.iter().peekable();
        self.told.iter().all(|told| {
            while truth.peek().is_some_and(|next| *next != told) {
                truth.next();
            }
            truth.peek().is_some()
        })
    }

    /// Whether nothing is left to run and every event was accepted.
    fn is_quiet(&self) -> bool {
        self.running.is_empty() && self.unaccepted.is_empty()
    }

    fn agrees_with_stripe(&self) -> bool {
        let Some(record) = &self.record else { return self.stripe.is_empty() };
        match self.truth.last() {
            Some(last) if record.intent_id.is_some() => {
                record.intent_id.as_ref() == Some(&last.intent_id)
                    && record.status == last.status
                    && record.due_notice().is_none()
                    && self.told.last() == Some(last)
            }
            // Begun, but nobody has come as far as Stripe.
            _ => !self.stripe.iter().any(|intent| intent.attempt == record.correlation.attempt),
        }
    }
}

impl Life {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The production function, on a record that the mutation may have tampered with.
    fn observe(&self, payment: &Payment, seen: &Observation) -> Verdict {
        let mut payment = payment.clone();
        if self.is(Mutation::DropTheFinalGuard) && payment.status.is_final() {
            payment.status = PaymentStatus::Pending;
        }
        if self.is(Mutation::OrderByArrival) {
            payment.as_of = None;
        }
        payment.observe(seen, NOW)
    }

    /// The table's conditional write of a next state.
    fn write(&self, state: &mut State, next: &Payment, adopts: bool) -> bool {
        let attempt = next.correlation.attempt;
        let Some(record) = &mut state.record else { return false };
        let expected = record.version == next.version - 1 || self.is(Mutation::ForgetTheVersion);
        if !expected || (adopts && state.pointers.contains(&attempt) && !self.is(Mutation::ForgetTheVersion)) {
            return false;
        }
        state.final_was_left |= record.status.is_final()
            && record.status != next.status
            && (record.status != PaymentStatus::Canceled || attempt == record.correlation.attempt);
        // What Genesys accepted is not part of the state that is written.
        *record = Payment { notified: record.notified.clone(), ..next.clone() };
        state.pointers.insert(attempt);
        true
    }

    /// Takes one step of something under way; `None` when it has to wait.
    fn step(&self, state: &mut State, running: &Running) -> Option<Option<Step>> {
        match running.step.clone() {
            Step::Make(payment) => {
                let attempt = payment.correlation.attempt;
                let made = state.stripe.iter().position(|intent| intent.attempt == attempt);
                let at = match made {
                    Some(at) if !self.is(Mutation::ForgetTheIdempotencyKey) => at,
                    _ => {
                        let status = StripeStatus::RequiresPaymentMethod;
                        state.stripe.push(AtStripe { attempt, status, last_error: None, created: state.second });
                        state.say(state.stripe.len() - 1);
                        state.stripe.len() - 1
                    }
                };
                // A replay gives the first answer again.
                let mut intent = state.intent(at);
                (intent.status, intent.last_error) = (StripeStatus::RequiresPaymentMethod, None);
                intent.amount_received = 0;
                let as_of = AsOf::second(intent.created);
                Some(Some(Step::Settle(payment, Observation { intent, as_of, source: Source::Event, event_id: None })))
            }
            Step::Fetch(payment, at) => {
                let as_of = AsOf { from: state.second.saturating_sub(1), until: state.second };
                let intent = state.intent(at);
                let seen = Observation { intent, as_of, source: Source::Fetched, event_id: None };
                Some(Some(Step::Settle(payment, seen)))
            }
            Step::Settle(payment, seen) => Some(self.settle(state, running, payment, seen)),
            Step::Claim(payment) => self.claim(state, payment),
            Step::Tell(payment, notice, turn) => {
                state.told.push(notice.clone());
                Some(Some(Step::End(payment, notice, turn)))
            }
            Step::End(_, notice, turn) => {
                let record = state.record.as_mut().expect("a record");
                if state.turn == Some(turn) || self.is(Mutation::ForgetTheTurn) {
                    record.notified = Some(notice);
                    record.version += 1;
                    state.turn = None;
                }
                Some(Some(Step::Claim(record.clone())))
            }
        }
    }

    fn settle(&self, state: &mut State, running: &Running, payment: Payment, seen: Observation) -> Option<Step> {
        let at = state.stripe.iter().enumerate().position(|(at, _)| state.intent(at).id == seen.intent.id);
        let at = at.expect("an intent");
        // create-intent leaves telling Genesys to the webhook.
        let tell =
            |payment| (running.event.is_some() || seen.source == Source::Fetched).then_some(Step::Claim(payment));
        match self.observe(&payment, &seen) {
            Verdict::Apply(next) => {
                if self.write(state, &next, payment.intent_id.is_none()) {
                    return tell(*next);
                }
                let current = state.record.clone().expect("a record");
                if seen.source == Source::Fetched && !current.status.is_final() {
                    return Some(Step::Fetch(current, at));
                }
                Some(Step::Settle(current, seen))
            }
            Verdict::Keep(_) => tell(payment),
            Verdict::AskStripe => Some(Step::Fetch(payment, at)),
            Verdict::Disagree(_) => {
                state.disagreed = true;
                None
            }
        }
    }

    fn claim(&self, state: &mut State, payment: Payment) -> Option<Option<Step>> {
        let record = state.record.as_mut().expect("a record");
        let Some(notice) = payment.due_notice() else { return Some(None) };
        if self.is(Mutation::SetNotifiedBeforeTelling) {
            record.notified = Some(notice.clone());
        }
        let free = state.turn.is_none() || self.is(Mutation::ForgetTheTurn);
        if free && record.version == payment.version {
            state.turns += 1;
            state.turn = Some(state.turns);
            return Some(Some(Step::Tell(payment, notice, state.turns)));
        }
        // Somebody else has the turn: wait. Or the record is another by now: look again.
        (*record != payment).then(|| Some(Step::Claim(record.clone())))
    }

    /// The request, as far as it comes before Stripe is asked.
    fn post(&self, state: &mut State) -> Option<Step> {
        let Some(record) = state.record.clone() else {
            state.record = Some(begin());
            return Some(Step::Make(begin()));
        };
        if let Some(next) = record.next_attempt(money(), terms(), NOW) {
            state.record = Some(next.clone());
            return Some(Step::Make(next));
        }
        (record.status == PaymentStatus::Creating).then_some(Step::Make(record))
    }
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            left: self.left,
            second: 100,
            stripe: Vec::new(),
            charges: 0,
            truth: Vec::new(),
            events: Vec::new(),
            unaccepted: BTreeSet::new(),
            record: None,
            pointers: BTreeSet::new(),
            turns: 0,
            turn: None,
            told: Vec::new(),
            running: Vec::new(),
            final_was_left: false,
            disagreed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let room = state.running.len() < AT_ONCE;
        if left.posts > 0 && room {
            actions.push(Action::Post);
        }
        if let Some(intent) = state.stripe.last() {
            let payable = intent.status == StripeStatus::RequiresPaymentMethod;
            if payable && left.tries > 0 {
                actions.extend(
                    [PaymentStatus::Declined, PaymentStatus::Processing, PaymentStatus::Confirmed].map(Action::Try),
                );
            }
            if intent.status == StripeStatus::Processing {
                actions.extend([PaymentStatus::Declined, PaymentStatus::Confirmed].map(Action::Try));
            }
            if payable && left.cancellations > 0 {
                actions.push(Action::Cancel);
            }
        }
        if left.ticks > 0 {
            actions.push(Action::Tick);
        }
        for event in 0..state.events.len() {
            let under_way = state.running.iter().any(|running| running.event == Some(event));
            if room && ((state.unaccepted.contains(&event) && !under_way) || left.repeats > 0) {
                actions.push(Action::Deliver(event));
            }
        }
        let open = state.record.as_ref().is_some_and(|record| !record.status.is_final());
        if left.refreshes > 0 && open && room {
            actions.push(Action::Refresh);
        }
        for (at, running) in state.running.iter().enumerate() {
            actions.push(Action::Go(at));
            if left.deaths > 0 {
                actions.push(Action::Die(at));
            }
            if left.refusals > 0 && matches!(running.step, Step::Tell(..)) {
                actions.push(Action::Refuse(at));
            }
        }
        // A turn outlasts every living holder.
        let held = |turn| {
            state.running.iter().any(|r| matches!(&r.step, Step::Tell(_, _, t) | Step::End(_, _, t) if *t == turn))
        };
        if state.turn.is_some_and(|turn| !held(turn)) {
            actions.push(Action::TurnLapses);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Post => {
                state.left.posts -= 1;
                if let Some(step) = self.post(&mut state) {
                    state.running.push(Running { event: None, step });
                }
            }
            Action::Try(outcome) => {
                let at = state.stripe.len() - 1;
                if state.stripe[at].status != StripeStatus::Processing {
                    state.left.tries -= 1;
                }
                match outcome {
                    PaymentStatus::Confirmed => state.change(at, StripeStatus::Succeeded, None),
                    PaymentStatus::Processing => state.change(at, StripeStatus::Processing, None),
                    _ => state.change(at, StripeStatus::RequiresPaymentMethod, Some("card_declined")),
                }
            }
            Action::Cancel => {
                state.left.cancellations -= 1;
                state.change(state.stripe.len() - 1, StripeStatus::Canceled, None);
            }
            Action::Tick => {
                state.left.ticks -= 1;
                state.second += 1;
            }
            Action::Deliver(event) => {
                if !state.unaccepted.contains(&event) {
                    state.left.repeats -= 1;
                }
                let step = Step::Settle(state.record.clone()?, state.events[event].clone());
                state.running.push(Running { event: Some(event), step });
            }
            Action::Refresh => {
                state.left.refreshes -= 1;
                let record = state.record.clone()?;
                let at = state.stripe.iter().position(|intent| intent.attempt == record.correlation.attempt)?;
                state.running.push(Running { event: None, step: Step::Fetch(record, at) });
            }
            Action::Go(at) => {
                let running = state.running.remove(at);
                match self.step(&mut state, &running)? {
                    Some(step) => state.running.insert(at, Running { step, ..running }),
                    None => {
                        if let Some(event) = running.event {
                            state.unaccepted.remove(&event);
                        }
                    }
                }
            }
            Action::Die(at) => {
                state.left.deaths -= 1;
                state.running.remove(at);
            }
            Action::Refuse(at) => {
                state.left.refusals -= 1;
                if let Step::Tell(_, _, turn) = state.running.remove(at).step
                    && state.turn == Some(turn)
                {
                    state.turn = None;
                }
            }
            Action::TurnLapses => state.turn = None,
        }
        // Which of several runs was begun first makes no difference.
        state.running.sort_by_cached_key(|running| BuildHasherDefault::<DefaultHasher>::default().hash_one(running));
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("an order has one live intent and is charged once", |_, state: &State| {
                let live = state.stripe.iter().filter(|intent| intent.status != StripeStatus::Canceled).count();
                live <= 1 && state.charges <= 1
            }),
            Property::always("CONFIRMED means that this very intent succeeded", |_, state: &State| {
                let confirmed = state.record.as_ref().filter(|record| record.status == PaymentStatus::Confirmed);
                confirmed.is_none_or(|record| {
                    (0..state.stripe.len()).any(|at| {
                        record.intent_id.as_ref() == Some(&state.intent(at).id)
                            && state.stripe[at].status == StripeStatus::Succeeded
                    })
                })
            }),
            Property::always("once all is quiet, record and conversation say what Stripe says", |_, state: &State| {
                !state.is_quiet() || state.agrees_with_stripe()
            }),
            Property::always("a final status is left by a new attempt only", |_, state: &State| !state.final_was_left),
            Property::always("Genesys hears nothing older after something newer", |_, state: &State| {
                state.told_in_order()
            }),
            Property::always("an honest Stripe is never contradicted", |_, state: &State| !state.disagreed),
            Property::sometimes(CONFIRMED_AND_TOLD, |_, state: &State| {
                state.told.last().is_some_and(|told| told.status == PaymentStatus::Confirmed) && state.is_quiet()
            }),
        ]
    }
}

const NOTHING: Left =
    Left { posts: 1, tries: 0, cancellations: 0, ticks: 0, repeats: 0, refreshes: 0, deaths: 0, refusals: 0 };

/// Bounds under which every state is visited. Each set lets other things meet.
const TWO_REQUESTS_AND_A_DEATH: Left = Left { posts: 2, tries: 1, deaths: 1, ..NOTHING };
const TWO_TRIES_IN_ONE_SECOND: Left = Left { tries: 2, ..NOTHING };
const A_REFRESH_AMONG_WEBHOOKS: Left = Left { tries: 1, ticks: 1, refreshes: 1, ..NOTHING };
const GENESYS_REFUSES_AND_EVENTS_REPEAT: Left = Left { tries: 1, repeats: 1, refusals: 1, ..NOTHING };
const A_CANCELLATION_AND_A_NEW_ATTEMPT: Left = Left { posts: 2, tries: 1, cancellations: 1, ..NOTHING };

#[test]
fn the_invariants_hold_in_every_state() {
    for left in [
        TWO_REQUESTS_AND_A_DEATH,
        TWO_TRIES_IN_ONE_SECOND,
        A_REFRESH_AMONG_WEBHOOKS,
        GENESYS_REFUSES_AND_EVENTS_REPEAT,
        A_CANCELLATION_AND_A_NEW_ATTEMPT,
    ] {
        let checker = Life { left, mutation: None }.checker().threads(2).spawn_bfs().join();
        eprintln!("{} states {left:?}", checker.unique_state_count());
        checker.assert_properties();
    }
}

#[test]
fn every_mutation_is_found_out() {
    for (mutation, left) in [
        (Mutation::DropTheFinalGuard, TWO_TRIES_IN_ONE_SECOND),
        (Mutation::SetNotifiedBeforeTelling, TWO_REQUESTS_AND_A_DEATH),
        (Mutation::OrderByArrival, TWO_TRIES_IN_ONE_SECOND),
        (Mutation::ForgetTheVersion, A_REFRESH_AMONG_WEBHOOKS),
        (Mutation::ForgetTheTurn, TWO_TRIES_IN_ONE_SECOND),
        (Mutation::ForgetTheIdempotencyKey, TWO_REQUESTS_AND_A_DEATH),
    ] {
        let model = Life { left, mutation: Some(mutation) };
        let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let broken: Vec<_> = checker.discoveries().into_keys().filter(|name| *name != CONFIRMED_AND_TOLD).collect();
        eprintln!("{mutation:?} breaks {broken:?}");
        assert!(!broken.is_empty(), "{mutation:?} was not found out");
    }
}
