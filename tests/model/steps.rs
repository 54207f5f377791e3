//! What can happen, one step at a time.
//!
//! A step that only reads, or only works out what follows, is taken together with the step before
//! it where nobody could tell the difference: a write that lost its race is lost whenever the
//! record is read again.

use std::sync::LazyLock;

use shared::domain::ending::{EndReason, Ending, MAX_DECLINES};
use shared::domain::ids::{ConversationId, Correlation, IntentId, OrderId, PaymentKey, PaymentUid};
use shared::domain::money::{Currency, Money};
use shared::domain::notice::{DueNotice, Notice};
use shared::domain::observation::{
    AsOf, Intent, NoChange, Observation, Source, StripeStatus, Verdict,
};
use shared::domain::payment::{CaptureMethod, Payment, PaymentStatus, Stage, Terms};
use shared::domain::time::UnixMillis;
use shared::usecases::end::AtBank;
use stateright::{Model, Property};

use crate::{
    Action, AtStripe, Attempt, Bank, Broken, Confirmation, Ear, End, Event, Fault, Hashed, Life,
    Mutation, Order, Phase, Post, Run, Running, STRANGER, State, Step, hash, properties, trace,
};

/// Times of day order nothing, so one will do.
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

static AMOUNTS: LazyLock<[Money; 2]> = LazyLock::new(|| {
    [5000, 7000].map(|amount_minor| Money {
        amount_minor,
        currency: Currency::parse("usd").expect("a currency"),
    })
});

static ORDERS: LazyLock<[OrderId; 2]> =
    LazyLock::new(|| ["A", "B"].map(|order| OrderId::parse(order).expect("an order")));

static CONVERSATIONS: LazyLock<[ConversationId; 2]> = LazyLock::new(|| {
    [
        "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
        "8d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
    ]
    .map(|id| ConversationId::parse(id).expect("a conversation"))
});

/// The names of an order's first payment, of the one after its record has expired, and of another
/// deployment's.
static UIDS: LazyLock<[[PaymentUid; 2]; 10]> = LazyLock::new(|| {
    [0, 1, 2, 3, 4, 5, 6, 7, 8, STRANGER]
        .map(|uid| [0, 1].map(|order| PaymentUid::from_bits([16 * order + uid; 16])))
});

fn terms() -> Terms {
    Terms {
        capture_method: CaptureMethod::Automatic,
        ..Terms::default()
    }
}

/// The attempt a correlation names.
fn named(correlation: &Correlation) -> Attempt {
    let order = ORDERS
        .iter()
        .position(|known| *known == correlation.order_id)
        .expect("an order");
    let uid = UIDS
        .iter()
        .position(|known| known[order] == correlation.payment_uid)
        .and_then(|uid| u8::try_from(uid).ok())
        .expect("a payment");
    Attempt {
        order,
        uid,
        by: who(&correlation.conversation_id),
        number: correlation.attempt,
    }
}

fn correlation(of: Attempt) -> Correlation {
    let uid = UIDS[usize::from(of.uid)][of.order].clone();
    key(of.order, of.by).attempt(uid, of.number)
}

fn key(order: usize, by: usize) -> PaymentKey {
    PaymentKey::new(CONVERSATIONS[by].clone(), ORDERS[order].clone())
}

/// Which conversation it is.
pub(crate) fn who(id: &ConversationId) -> usize {
    CONVERSATIONS
        .iter()
        .position(|known| known == id)
        .expect("a conversation")
}

/// The attempt a record is at.
pub(crate) fn attempt(payment: &Payment) -> Attempt {
    named(&payment.correlation)
}

/// Which intent at Stripe an id is of.
pub(crate) fn at(id: &IntentId) -> usize {
    id.as_str()["pi_".len()..].parse().expect("an intent")
}

/// What becomes of a run.
enum Then {
    Step(Step),
    /// It is done; a delivery's event is accepted.
    Done,
    /// A request is refused.
    Refused,
    /// It ends with an error; an event is to be delivered once more.
    Failed,
}

impl State {
    /// An intent as Stripe writes it.
    pub(crate) fn intent(&self, at: usize) -> Intent {
        let AtStripe {
            names,
            amount,
            status,
            declined,
            created,
            ..
        } = self.stripe[at];
        let money = AMOUNTS[amount];
        Intent {
            id: IntentId::parse(&format!("pi_{at}")).expect("an intent id"),
            money,
            amount_received: if status == StripeStatus::Succeeded {
                money.amount_minor
            } else {
                0
            },
            status,
            last_error: declined.then(|| "card_declined".to_owned()),
            created,
            correlation: Some(correlation(names)),
        }
    }

    /// Makes an attempt's intent in our account.
    fn make(&mut self, of: Attempt, amount: usize) -> usize {
        let status = StripeStatus::RequiresPaymentMethod;
        let created = self.second;
        self.stripe.push(AtStripe {
            of,
            names: of,
            amount,
            status,
            declined: false,
            created,
            is_ours: true,
        });
        self.say(self.stripe.len() - 1);
        self.stripe.len() - 1
    }

    fn cancel(&mut self, at: usize) {
        self.stripe[at] = AtStripe {
            status: StripeStatus::Canceled,
            declined: false,
            ..self.stripe[at]
        };
        self.say(at);
    }

    fn is_payable(&self, at: usize) -> bool {
        self.stripe[at].status == StripeStatus::RequiresPaymentMethod
    }

    pub(crate) fn is_at_bank(&self, at: usize) -> bool {
        self.stripe[at].status == StripeStatus::RequiresAction
    }

    /// An answer of Stripe that says how an intent stands. The request took up to a second.
    fn fetched(&self, at: usize) -> Hashed<Observation> {
        let as_of = AsOf {
            from: self.second - 1,
            until: self.second,
        };
        Hashed::new(Observation {
            intent: self.intent(at),
            as_of,
            source: Source::Fetched,
            event_id: None,
        })
    }

    /// Stripe has an event to deliver.
    fn say(&mut self, at: usize) {
        let (as_of, event_id) = (
            AsOf::second(self.second),
            Some(format!("evt_{}", self.events.len())),
        );
        let seen = Observation {
            intent: self.intent(at),
            as_of,
            source: Source::Event,
            event_id,
        };
        self.events.push(Event {
            seen: Hashed::new(seen),
            accepted: false,
        });
    }

    /// A charge ends in some way.
    fn charge(&mut self, at: usize, outcome: PaymentStatus) {
        let (status, declined) = match outcome {
            PaymentStatus::Confirmed => (StripeStatus::Succeeded, false),
            PaymentStatus::Processing => (StripeStatus::Processing, false),
            // The payer must act.
            PaymentStatus::Pending => (StripeStatus::RequiresAction, false),
            _ => (StripeStatus::RequiresPaymentMethod, true),
        };
        self.stripe[at] = AtStripe {
            status,
            declined,
            ..self.stripe[at]
        };
        self.say(at);
    }

    fn record(&self, order: usize) -> Hashed<Payment> {
        self.orders[order].record.clone().expect("a record")
    }

    fn pointer(&self, intent: usize) -> Option<Attempt> {
        self.pointers
            .iter()
            .find(|(of, _)| *of == intent)
            .map(|(_, attempt)| *attempt)
    }

    /// Genesys hears a status. The same once more, after a crash, does no harm; an older one does.
    /// Nor does a status come before its link was opened once Genesys has heard of that.
    fn hear(&mut self, order: usize, due: &DueNotice) {
        let by = who(due.conversation_id());
        let mut ear = self.orders[order].ears[by];
        match due {
            DueNotice::Moved(_) => ear.moved = true,
            DueNotice::State(notice) => {
                let from = ear.heard.unwrap_or(0);
                let status = Notice {
                    visited: false,
                    ..notice.clone()
                };
                let heard =
                    (from..self.events.len()).find(|event| self.notice(*event, by) == status);
                let closes = heard == ear.heard && ear.opened && !notice.visited;
                self.broken.heard_older |= heard.is_none() || closes;
                ear.heard = heard.or(Some(from));
                ear.opened = notice.visited;
                ear.moved = false;
            }
        }
        self.orders[order].ears[by] = ear;
    }

    /// What an event makes known to a conversation.
    pub(crate) fn notice(&self, event: usize, to: usize) -> Notice {
        let intent = &self.events[event].seen.intent;
        Notice {
            conversation_id: CONVERSATIONS[to].clone(),
            intent_id: intent.id.clone(),
            status: intent.payment_status(),
            visited: false,
        }
    }

    /// What a conversation accepted last.
    pub(crate) fn told(&self, order: usize, to: usize) -> Option<Notice> {
        let Ear {
            heard,
            opened,
            moved: false,
            ..
        } = self.orders[order].ears[to]
        else {
            return None;
        };
        Some(Notice {
            visited: opened,
            ..self.notice(heard?, to)
        })
    }

    /// An answered request leaves its order as its conversation's newest and, where its payment can
    /// be paid, a link.
    fn place(&mut self, by: usize, payment: &Payment) {
        trace::placed();
        let order = attempt(payment).order;
        let record = self.record(order);
        let has_link = payment.is_payable() && !payment.is_ending();
        self.newest[by] = Some(order);
        self.broken.answered_unplaced |= who(&record.holder) != by;
        self.broken.opened_ending |= has_link && (!record.is_payable() || record.is_ending());
    }

    /// Versions are only told apart, so states that differ in nothing but how far they have counted
    /// are one.
    fn count_versions_from_one(&mut self) {
        for (order, Order { record, .. }) in self.orders.iter_mut().enumerate() {
            let mut versions: Vec<_> = record.iter_mut().map(|record| (record, 0)).collect();
            let copies = self
                .running
                .iter_mut()
                .filter_map(|running| running.step.version());
            versions.extend(copies.filter(|(payment, _)| attempt(payment).order == order));
            let first = versions
                .iter()
                .map(|(payment, ahead)| payment.version - ahead)
                .min()
                .unwrap_or(1);
            for (payment, _) in versions.into_iter().filter(|_| first > 1) {
                *payment = Hashed::new(Payment {
                    version: payment.version - first + 1,
                    ..(**payment).clone()
                });
            }
        }
    }

    /// Whether Stripe has answered the request for this attempt's intent before, so that its key
    /// holds that answer.
    fn has_answered(&self, step: &Step) -> bool {
        let Step::Make(payment) = step else {
            return false;
        };
        let of = attempt(payment);
        self.refused.contains(&of)
            || self.kept.contains(&of)
            || self
                .stripe
                .iter()
                .any(|intent| intent.of == of && intent.is_ours)
    }

    /// Whether nothing is left to run and every event was accepted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.running.is_empty() && self.events.iter().all(|event| event.accepted)
    }
}

impl Order {
    /// A conversation has become the holder.
    fn is_held_by(&mut self, by: usize) {
        self.untold = true;
        (self.ears[by].held, self.ears[by].moved_sure) = (true, false);
    }
}

impl Step {
    /// What a step holds of the record, and how many versions ahead of the record as it was read
    /// that is.
    fn version(&mut self) -> Option<(&mut Hashed<Payment>, u64)> {
        match self {
            Self::Make(read)
            | Self::Reject(read)
            | Self::Confirm(read, _)
            | Self::Fetch(read, ..) => Some((read, 0)),
            Self::Cancel(read) | Self::Claim(read) | Self::Tell(read, _) => Some((read, 0)),
            Self::Place(read) | Self::Cap(read) => Some((read, 0)),
            Self::Write { next, .. } | Self::Mark(next) => Some((next, 1)),
            Self::AwaitTwin(_) | Self::Read { .. } | Self::End(..) => None,
            Self::Begin(_) | Self::Look(_) => None,
        }
    }
}

impl Run {
    /// How far it has come with an attempt's end.
    fn end(&mut self) -> Option<&mut End> {
        match self {
            Self::Cancel { end } => Some(end),
            Self::Post(Post { end, .. }) | Self::Delivery { end, .. } => end.as_mut(),
            Self::Refresh | Self::Session { .. } => None,
        }
    }

    fn delivers(&self, of: usize) -> bool {
        matches!(self, Self::Delivery { event, .. } if *event == of)
    }
}

impl Post {
    /// Whether the payment is on the request's attempt, which is not to end.
    fn is_still_on(&self, payment: &Payment) -> bool {
        attempt(payment).number == self.on && !payment.is_ending()
    }
}

impl End {
    fn new(of: u32, reason: EndReason, at_bank: impl Into<Bank>) -> Self {
        Self {
            of,
            reason,
            at_bank: at_bank.into(),
            phase: Phase::Know,
        }
    }
}

impl Life {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The production function, on a record or an observation that the mutation may have tampered
    /// with.
    fn observe(&self, payment: &Payment, seen: &Observation) -> Verdict {
        let mut payment = payment.clone();
        if self.is(Mutation::DropTheFinalGuard) && payment.status().is_final() {
            match &mut payment.stage {
                Stage::Known(known) => known.status = StripeStatus::RequiresAction,
                stage => *stage = Stage::Creating(terms()),
            }
        }
        if self.is(Mutation::OrderByArrival)
            && let Stage::Known(known) = &mut payment.stage
        {
            known.as_of = AsOf::second(0);
        }
        let mut seen = seen.clone();
        if self.is(Mutation::ForgetTheIntent)
            && let Some(own) = payment.intent_id()
        {
            seen.intent.id = own.clone();
        }
        if self.is(Mutation::ForgetTheUid)
            && let Some(named) = &mut seen.intent.correlation
        {
            named.payment_uid = payment.correlation.payment_uid.clone();
        }
        let mut verdict = payment.observe(&seen, NOW);
        if self.is(Mutation::ForgetOldDeclines)
            && let Verdict::Apply(next) = &verdict
            && next.stage == payment.stage
        {
            return Verdict::NoChange(NoChange::Older);
        }
        if self.is(Mutation::KeepTheEndOfWhatWon)
            && let Verdict::Apply(next) = &mut verdict
        {
            next.ending = payment.ending;
        }
        verdict
    }

    /// The production function, on a record whose next holder this conversation is.
    fn held_by(&self, payment: &Payment, by: usize) -> Option<Payment> {
        let mut next = payment.held_by(&CONVERSATIONS[by])?;
        if self.is(Mutation::ForgetTheFormerHolder) {
            next.former_holder = None;
        }
        if self.is(Mutation::KeepWhoWasTold) {
            next.moved_told = payment.moved_told.clone();
        }
        Some(next)
    }

    fn begin(&self, order: usize, uid: u8, post: &Post) -> Payment {
        let key = key(order, post.by);
        let uid = UIDS[usize::from(uid)][order].clone();
        let before = self.cap.map_or(0, |cap| MAX_DECLINES - cap);
        let declines = vec!["evt_before".to_owned(); before];
        Payment {
            declines,
            ..Payment::begin(&key, uid, AMOUNTS[post.amount], terms(), NOW)
        }
    }

    /// What Genesys is to hear of this record.
    pub(crate) fn due(&self, payment: &Payment) -> Option<DueNotice> {
        let mut payment = payment.clone();
        if self.is(Mutation::TellMovedAgain) {
            payment.moved_told = None;
        }
        payment.due_notice().filter(|_| self.genesys)
    }

    /// The table's conditional write of a next state; with `adopts`, in one transaction with the
    /// intent's pointer.
    fn write(&self, state: &mut State, next: &Payment, adopts: bool) -> bool {
        trace::act(if adopts { "attach" } else { "save" });
        let of = attempt(next);
        let record = state.record(of.order);
        let adopted = next.intent_id().filter(|_| adopts).map(at);
        let version_holds =
            record.version == next.version - 1 || self.is(Mutation::ForgetTheVersion);
        let pointer_holds = adopted.and_then(|intent| state.pointer(intent)).is_none()
            || self.is(Mutation::ForgetThePointersCondition);
        if !(version_holds && pointer_holds) {
            return false;
        }
        state.broken.final_left |= record.status().is_final()
            && record.status() != next.status()
            && (record.status() != PaymentStatus::Canceled
                || of.number == record.correlation.attempt);
        state.broken.opened_forgotten |=
            record.visited_at.is_some() && next.visited_at.is_none() && of == attempt(&record);
        if let Some(intent) = adopted {
            state.pointers.retain(|(of, _)| *of != intent);
            state.pointers.push((intent, of));
            state.pointers.sort_by_key(|(intent, _)| *intent);
        }
        if next.holder != record.holder {
            state.orders[of.order].is_held_by(who(&next.holder));
        }
        // What Genesys accepted is not part of the state that is written.
        let written = Payment {
            notified: record.notified.clone(),
            ..next.clone()
        };
        state.orders[of.order].record = Some(Hashed::new(written));
        true
    }

    /// The request, as far as it comes before Stripe is asked.
    fn post(&self, state: &mut State, run: &mut Run, order: usize) -> Then {
        let Run::Post(post) = run else {
            return Then::Failed;
        };
        let Some(record) = state.orders[order].record.clone() else {
            let begun = self.begin(order, state.orders[order].expired, post);
            let begun = Hashed::new(begun);
            state.orders[order].record = Some(begun.clone());
            state.orders[order].ears[post.by].held = true;
            return self.make(run, begun);
        };
        if self.is(Mutation::PlaceBeforeComparing)
            && let Some(next) = self.held_by(&record, post.by)
        {
            post.placed = true;
            self.write(state, &next, false);
            state.place(post.by, &next);
            return Then::Step(Step::Begin(order));
        }
        let (asking, money) = (&CONVERSATIONS[post.by], AMOUNTS[post.amount]);
        if let Some(next) = record.next_attempt(asking, money, terms(), NOW) {
            self.write(state, &next, false);
            return self.make(run, Hashed::new(next));
        }
        let is_other = record.money != money;
        let number = attempt(&record).number;
        let reason = match record.ending.filter(|_| record.is_ending()) {
            Some(_) if self.is(Mutation::LeaveTheEnd) => {
                post.met = Some(number);
                return Then::Refused;
            }
            Some(ending) => ending.reason,
            None if is_other && post.replace => EndReason::Replaced,
            None if post.replace && self.is(Mutation::ReplaceTheSame) => {
                state.broken.end_of_the_same = true;
                EndReason::Replaced
            }
            None if is_other && !self.is(Mutation::AnswerAnyAmount) => return Then::Refused,
            None => return self.found(state, run, record),
        };
        post.met = Some(number);
        post.end = Some(End::new(number, reason, AtBank::of(reason)));
        self.end(state, run, record)
    }

    /// What a request does that has found its payment.
    fn found(&self, state: &mut State, run: &mut Run, record: Hashed<Payment>) -> Then {
        if record.status() == PaymentStatus::Creating {
            return self.make(run, record);
        }
        if let Run::Post(post) = run {
            (post.on, post.met, post.end) = (attempt(&record).number, None, None);
        }
        self.settled(state, run, record)
    }

    fn make(&self, run: &mut Run, record: Hashed<Payment>) -> Then {
        if let Run::Post(post) = run {
            (post.on, post.met, post.end) = (attempt(&record).number, None, None);
            post.makes = self.conversations > 1;
        }
        Then::Step(Step::Make(record))
    }

    /// Writes down that the run's attempt is to end, and gives the record as it then is.
    fn write_ahead(&self, state: &mut State, end: End, order: usize) -> Hashed<Payment> {
        let record = state.record(order);
        if attempt(&record).number == end.of
            && let Some(next) = record.end_begun(end.reason, NOW)
        {
            self.write(state, &next, false);
        }
        state.record(order)
    }

    /// Begins an end, or goes on with the one that is on record.
    fn end(&self, state: &mut State, run: &mut Run, record: Hashed<Payment>) -> Then {
        let order = attempt(&record).order;
        let Some(end) = run.end() else {
            return Then::Failed;
        };
        let record = self.write_ahead(state, *end, order);
        let is_open = attempt(&record).number == end.of && !record.status().is_final();
        match record.intent_id().map(at) {
            // What Stripe was at work on may be over by now.
            Some(intent) if is_open && !record.is_ending() => {
                end.phase = Phase::Ask;
                Then::Step(Step::Fetch(record, intent, None))
            }
            _ => self.make_known(state, run, record),
        }
    }

    /// Whether there is nothing left to end.
    fn has_ended(&self, payment: &Payment, end: End) -> bool {
        if self.is(Mutation::CancelAnyAttempt) && payment.intent_id().is_some() {
            return payment.status().is_final();
        }
        attempt(payment).number != end.of || !payment.is_ending()
    }

    fn make_known(&self, state: &mut State, run: &mut Run, record: Hashed<Payment>) -> Then {
        let Some(end) = run.end() else {
            return Then::Failed;
        };
        end.phase = Phase::Know;
        if self.has_ended(&record, *end) || record.status() != PaymentStatus::Creating {
            return self.finish(state, run, record);
        }
        Then::Step(if self.is(Mutation::CancelWithoutOpening) {
            Step::Reject(record)
        } else {
            Step::Make(record)
        })
    }

    /// Finishes an end that is on record.
    fn finish(&self, state: &mut State, run: &mut Run, record: Hashed<Payment>) -> Then {
        let Some(end) = run.end() else {
            return Then::Failed;
        };
        match record.intent_id().map(at) {
            Some(intent) if !self.has_ended(&record, *end) => {
                end.phase = Phase::Look(None);
                Then::Step(Step::Fetch(record, intent, None))
            }
            _ => self.ended(state, run, record),
        }
    }

    /// Goes on with an end once the record says what there is to say.
    fn goes_on(
        &self,
        state: &mut State,
        run: &mut Run,
        end: End,
        payment: Hashed<Payment>,
    ) -> Then {
        let order = attempt(&payment).order;
        let was_at_bank = match end.phase {
            Phase::Ask => {
                let record = self.write_ahead(state, end, order);
                return self.make_known(state, run, record);
            }
            Phase::Know => return self.finish(state, run, payment),
            Phase::Cancel | Phase::Refused | Phase::Over => {
                return self.ended(state, run, payment);
            }
            Phase::Look(_) if self.has_ended(&payment, end) => {
                return self.ended(state, run, payment);
            }
            Phase::Look(was_at_bank) => was_at_bank == Some(true),
        };
        let at_bank = match payment.ending {
            // One that somebody else wrote is not taken back by who would take back his own.
            Some(ending) if end.at_bank != Bank::Cancel && !self.is(Mutation::GiveWayInAnyCase) => {
                AtBank::of(ending.reason).into()
            }
            _ => end.at_bank,
        };
        match at_bank {
            Bank::GiveWay if was_at_bank && !self.is(Mutation::GiveNoWay) => {
                let is_cap = |ending: &Ending| ending.reason == EndReason::TooManyDeclines;
                state.broken.cap_lifted |= payment.ending.as_ref().is_some_and(is_cap);
                let record = state.record(order);
                if attempt(&record).number == end.of
                    && let Some(next) = record.end_lifted()
                    && !self.is(Mutation::GiveWayWithoutLifting)
                {
                    self.write(state, &next, false);
                }
                let record = state.record(order);
                return self.ended(state, run, record);
            }
            // As long as it may.
            Bank::Wait if was_at_bank => return self.ended(state, run, payment),
            _ => {}
        }
        state.broken.gave_no_way |= was_at_bank && at_bank == Bank::GiveWay;
        if let Some(end) = run.end() {
            end.phase = Phase::Cancel;
        }
        Then::Step(Step::Cancel(payment))
    }

    /// What follows once an attempt has ended, or has not.
    fn ended(&self, state: &mut State, run: &mut Run, payment: Hashed<Payment>) -> Then {
        let Some(End { of, phase, .. }) = run.end() else {
            return Then::Failed;
        };
        let now = attempt(&payment);
        let is_canceled = now.number != *of || payment.status() == PaymentStatus::Canceled;
        let is_open = matches!(
            payment.status(),
            PaymentStatus::Creating | PaymentStatus::Pending | PaymentStatus::Declined
        );
        *phase = match *phase {
            _ if !payment.is_ending() => Phase::Over,
            Phase::Refused if is_open => Phase::Refused,
            _ => Phase::Cancel,
        };
        match run {
            Run::Cancel { .. } => {
                if payment.status() == PaymentStatus::Canceled && !state.canceled.contains(&now) {
                    state.canceled.push(now);
                    state
                        .canceled
                        .sort_by_key(|of| (of.order, of.uid, of.number));
                }
                if !is_canceled && is_open {
                    return Then::Refused;
                }
                Then::Done
            }
            Run::Post(_) if is_canceled => Then::Step(Step::Begin(now.order)),
            Run::Post(_) if is_open => Then::Refused,
            Run::Post(post) => {
                let is_other = payment.money != AMOUNTS[post.amount];
                if is_other && !self.is(Mutation::AnswerWhatWon) {
                    return Then::Refused;
                }
                self.found(state, run, payment)
            }
            Run::Delivery { end, .. } => {
                *end = None;
                self.told(payment)
            }
            Run::Refresh | Run::Session { .. } => Then::Failed,
        }
    }

    /// Goes on with a request once the record says what there is to say.
    fn posted(
        &self,
        state: &mut State,
        mut post: Post,
        run: &mut Run,
        payment: Hashed<Payment>,
    ) -> Then {
        post.makes = false;
        *run = Run::Post(post);
        // Another attempt may be for another amount.
        if !(post.is_still_on(&payment) || self.is(Mutation::ChargeAnyAttempt)) {
            return Then::Refused;
        }
        if let Some(token) = post.token.filter(|_| payment.is_payable()) {
            *run = Run::Post(Post {
                token: None,
                ..post
            });
            return Then::Step(Step::Confirm(payment, token));
        }
        // What the only conversation there is leaves is there already.
        if self.conversations == 1 {
            post.placed = true;
            state.newest[post.by] = Some(attempt(&payment).order);
        }
        if post.placed || self.is(Mutation::AnswerWithoutPlacing) {
            return Self::answer(state, &post, &payment);
        }
        Then::Step(Step::Place(payment))
    }

    fn answer(state: &mut State, post: &Post, payment: &Payment) -> Then {
        let asks_for = |at: usize| state.stripe[at].amount;
        let newest = state.newest[post.by];
        state.broken.answered_unplaced |= !post.placed || newest != Some(attempt(payment).order);
        state.broken.answered_other_amount |= payment.money != AMOUNTS[post.amount]
            || payment
                .intent_id()
                .is_some_and(|id| asks_for(at(id)) != post.amount);
        Then::Done
    }

    /// Leaves behind what an answered request leaves, in a transaction of its own.
    fn place(
        &self,
        state: &mut State,
        mut post: Post,
        run: &mut Run,
        payment: Hashed<Payment>,
    ) -> Then {
        let order = attempt(&payment).order;
        let record = state.record(order);
        let (saved, placed) = match self.held_by(&payment, post.by) {
            Some(next) => (self.write(state, &next, false), Hashed::new(next)),
            None => {
                let is_held =
                    record.holder == payment.holder || self.is(Mutation::PlaceWhoeverHolds);
                let is_status =
                    record.status() == payment.status() || self.is(Mutation::PlaceWhateverStatus);
                let ends = record.ending.is_some() && !self.is(Mutation::PlaceOnAnEnding);
                let saved = attempt(&record) == attempt(&payment)
                    && is_status
                    && is_held
                    && !(payment.is_payable() && ends);
                (saved, payment)
            }
        };
        if saved {
            post.placed = true;
            state.place(post.by, &placed);
            return Self::answer(state, &post, &placed);
        }
        let record = state.record(order);
        *run = Run::Post(post);
        if post.is_still_on(&record) {
            Then::Step(Step::Place(record))
        } else {
            Then::Refused
        }
    }

    /// What follows once the record says what there is to say.
    fn settled(&self, state: &mut State, run: &mut Run, payment: Hashed<Payment>) -> Then {
        if let Some(end) = run.end().copied() {
            return self.goes_on(state, run, end, payment);
        }
        match run {
            Run::Post(post) => {
                let post = *post;
                self.posted(state, post, run, payment)
            }
            Run::Session {
                of,
                telling: telling @ false,
                intent,
                was_ending,
                is_final,
            } => {
                let is_its_own = self.is_at(&payment, *of);
                if let Some(next) = payment
                    .visited(NOW)
                    .filter(|_| is_its_own || self.is(Mutation::MarkAnyAttempt))
                {
                    return Then::Step(Step::Mark(Hashed::new(next)));
                }
                if payment.is_payable()
                    && payment.intent_id().map(at) == Some(*intent)
                    && (!payment.is_ending() || self.is(Mutation::OpenWhatEnds))
                {
                    state.broken.opened_ending |= *was_ending;
                    state.broken.secret_strayed |=
                        !is_its_own || *is_final || state.stripe[*intent].of != *of;
                }
                *telling = true;
                self.told(payment)
            }
            Run::Delivery { .. }
                if payment.is_declined_too_often() && !self.is(Mutation::ForgetTheCap) =>
            {
                Then::Step(Step::Cap(payment))
            }
            // create-intent leaves telling Genesys to the webhook.
            Run::Delivery { .. } | Run::Refresh | Run::Session { .. } => self.told(payment),
            Run::Cancel { .. } => Then::Failed,
        }
    }

    fn told(&self, payment: Hashed<Payment>) -> Then {
        match self.due(&payment) {
            Some(_) => Then::Step(Step::Claim(payment)),
            None => Then::Done,
        }
    }

    /// What follows from an observation for the record as it was read.
    fn observed(
        &self,
        state: &mut State,
        run: &mut Run,
        payment: Hashed<Payment>,
        seen: Hashed<Observation>,
    ) -> Then {
        match self.observe(&payment, &seen) {
            Verdict::Apply(next) => {
                let adopts = payment.intent_id().is_none();
                let mut next = *next;
                let mut places = false;
                if let Run::Post(Post {
                    makes: true, by, ..
                }) = run
                {
                    places = !next.is_ending() || self.is(Mutation::PlaceOnAnEnding);
                    if let Some(held) = self.held_by(&next, *by).filter(|_| places) {
                        let version = next.version;
                        next = Payment { version, ..held };
                    }
                }
                Then::Step(Step::Write {
                    next: Hashed::new(next),
                    seen,
                    adopts,
                    places,
                })
            }
            Verdict::NoChange(_) => self.settled(state, run, payment),
            Verdict::AskStripe => Then::Step(self.ask_again(payment, &seen)),
            Verdict::Disagree(_) => {
                state.broken.disagreed = true;
                match run {
                    Run::Refresh => self.settled(state, run, payment),
                    Run::Post(_) | Run::Cancel { .. } => Then::Refused,
                    _ => Then::Done,
                }
            }
        }
    }

    /// Asks Stripe where the intent stands that this was seen of. What an event told of a declined
    /// try is kept; nobody asks for that but the cap.
    fn ask_again(&self, payment: Hashed<Payment>, seen: &Observation) -> Step {
        let declined = seen.declined_event().filter(|_| self.cap.is_some());
        Step::Fetch(payment, at(&seen.intent.id), declined.map(str::to_owned))
    }

    /// Takes the next step of something under way.
    fn step(
        &self,
        state: &mut State,
        run: &mut Run,
        step: &Step,
        outcome: Option<PaymentStatus>,
    ) -> Then {
        match step {
            Step::Make(_) => trace::act("make"),
            Step::Confirm(..) => trace::act("confirm"),
            Step::Cancel(_) => trace::act("cancel"),
            Step::Fetch(..) => trace::act("fetch"),
            Step::Claim(_) => trace::act("claim"),
            Step::Tell(..) => trace::act("tell"),
            Step::End(..) => trace::act("end"),
            _ => {}
        }
        match step.clone() {
            Step::Make(payment) => {
                let of = attempt(&payment);
                if state.refused.contains(&of) {
                    return Then::Step(Step::Reject(payment));
                }
                if state.kept.contains(&of) {
                    // The list holds what was made, from the moment it was.
                    let found = state
                        .stripe
                        .iter()
                        .position(|intent| self.is_named(intent, of) && intent.is_ours);
                    return match found.filter(|_| !self.is(Mutation::EndWithoutLooking)) {
                        Some(intent) => Then::Step(Step::Fetch(payment, intent, None)),
                        None => Then::Step(Step::Reject(payment)),
                    };
                }
                let made = state
                    .stripe
                    .iter()
                    .position(|intent| self.has_its_key(intent, of) && intent.is_ours);
                let has_another_key = match run {
                    _ if self.is(Mutation::ForgetTheIdempotencyKey) => true,
                    Run::Post(post) if self.is(Mutation::AKeyForEachConversation) => {
                        post.by != of.by
                    }
                    _ => false,
                };
                let amount = AMOUNTS.iter().position(|known| *known == payment.money);
                let made = made
                    .filter(|_| !has_another_key)
                    .unwrap_or_else(|| state.make(of, amount.expect("an amount")));
                // A replay gives the first answer again.
                let of = state.stripe[made].of;
                let mut intent = state.intent(made);
                (intent.status, intent.last_error) = (StripeStatus::RequiresPaymentMethod, None);
                (intent.amount_received, intent.correlation) = (0, Some(correlation(of)));
                let as_of = AsOf::second(intent.created);
                let seen = Observation {
                    intent,
                    as_of,
                    source: Source::Event,
                    event_id: None,
                };
                self.observed(state, run, payment, Hashed::new(seen))
            }
            Step::AwaitTwin(order) => {
                let record = state.record(order);
                self.settled(state, run, record)
            }
            Step::Reject(payment) => {
                let rejected = payment
                    .rejected("amount_too_small", NOW)
                    .expect("a record that is being created");
                let order = attempt(&payment).order;
                let is_written = self.write(state, &rejected, false);
                let current = state.record(order);
                let is_same = current.correlation == payment.correlation;
                match run.end() {
                    // Nothing is released as long as the attempt has not ended.
                    Some(_) if is_same && current.status() == PaymentStatus::Creating => {
                        Then::Refused
                    }
                    None if is_written || current.intent_id().is_none() => Then::Refused,
                    _ => self.settled(state, run, current),
                }
            }
            Step::Begin(order) => self.post(state, run, order),
            Step::Place(payment) => match run {
                Run::Post(post) => {
                    let post = *post;
                    self.place(state, post, run, payment)
                }
                _ => Then::Failed,
            },
            Step::Cap(payment) => {
                let Attempt { order, number, .. } = attempt(&payment);
                let end = End::new(number, EndReason::TooManyDeclines, AtBank::Wait);
                if let Run::Delivery { end: own, .. } = run {
                    *own = Some(end);
                }
                let record = self.write_ahead(state, end, order);
                self.finish(state, run, record)
            }
            Step::Confirm(payment, token) => {
                if let Run::Post(post) = run {
                    state.broken.request_strayed |= attempt(&payment).number != post.on;
                }
                self.confirm(state, run, payment, token, outcome)
            }
            Step::Cancel(payment) if self.is(Mutation::CancelTheRecordAlone) => {
                let mut next = (*payment).clone();
                next.version += 1;
                if let Stage::Known(known) = &mut next.stage {
                    known.status = StripeStatus::Canceled;
                }
                self.write(state, &next, false);
                let record = state.record(attempt(&payment).order);
                self.settled(state, run, record)
            }
            Step::Cancel(payment) => {
                let intent = payment.intent_id().map(at).expect("an intent");
                let of = run.end().map(|end| end.of);
                state.broken.request_strayed |= of != Some(attempt(&payment).number);
                state.broken.stranger_touched |=
                    state.stripe[intent].of.uid != attempt(&payment).uid;
                if !(state.is_payable(intent) || state.is_at_bank(intent)) {
                    // Canceled before, paid meanwhile, or at work: where the intent stands now is
                    // what counts.
                    if let Some(end) = run.end() {
                        end.phase = Phase::Refused;
                    }
                    return Then::Step(Step::Fetch(payment, intent, None));
                }
                state.cancel(intent);
                let seen = state.fetched(intent);
                self.observed(state, run, payment, seen)
            }
            Step::Fetch(_, intent, _) if !state.stripe[intent].is_ours => Then::Done,
            Step::Fetch(payment, intent, declined) => {
                let mut seen = state.fetched(intent);
                if declined.is_some() {
                    seen = Hashed::new(Observation {
                        event_id: declined,
                        ..(*seen).clone()
                    });
                }
                let (names, of) = (state.stripe[intent].names, attempt(&payment));
                let names_another = names.order != of.order
                    || (names.uid != of.uid && !self.is(Mutation::ForgetTheUid));
                if payment.intent_id().is_none()
                    && matches!(run, Run::Delivery { .. })
                    && names_another
                {
                    // Edited since.
                    return Then::Done;
                }
                if let Some(End {
                    phase: Phase::Look(was_at_bank @ None),
                    ..
                }) = run.end()
                {
                    *was_at_bank = Some(seen.intent.status == StripeStatus::RequiresAction);
                }
                if let Run::Session { is_final, .. } = run {
                    *is_final = matches!(
                        seen.intent.status,
                        StripeStatus::Succeeded | StripeStatus::Canceled
                    );
                    if self.is(Mutation::OpenWithoutSettling) {
                        return self.settled(state, run, payment);
                    }
                }
                self.observed(state, run, payment, seen)
            }
            Step::Read {
                of,
                seen,
                is_pointed_to,
            } => self.read(state, run, of, seen, is_pointed_to),
            Step::Write {
                next,
                seen,
                adopts,
                places,
            } => {
                if self.write(state, &next, adopts) {
                    if let Run::Post(post) = run
                        && places
                    {
                        post.placed = true;
                        state.place(post.by, &next);
                    }
                    return self.settled(state, run, next);
                }
                let current = state.record(attempt(&next).order);
                if current.version == next.version - 1 {
                    // The pointer is somebody else's, and no further round will change that.
                    return Then::Failed;
                }
                if seen.source == Source::Fetched && !current.status().is_final() {
                    return Then::Step(self.ask_again(current, &seen));
                }
                self.observed(state, run, current, seen)
            }
            Step::Mark(next) => {
                let of = attempt(&next);
                if self.write(state, &next, false) {
                    let opened = matches!(run, Run::Session { of: own, .. } if *own == of);
                    state.broken.opened_by_nobody |= !opened;
                    if self.is(Mutation::MarkWithoutAVersion) {
                        let marked = Payment {
                            version: next.version - 1,
                            ..(*state.record(of.order)).clone()
                        };
                        state.orders[of.order].record = Some(Hashed::new(marked));
                    }
                }
                let record = state.record(of.order);
                self.settled(state, run, record)
            }
            Step::Claim(payment) => self.claim(state, run, payment),
            Step::Tell(payment, notice) => {
                let order = attempt(&payment).order;
                state.hear(order, &notice);
                Then::Step(Step::End(order, notice))
            }
            Step::End(order, notice) => {
                let record = state.record(order);
                let mut told = Payment {
                    version: record.version + 1,
                    ..(*record).clone()
                };
                let to = who(notice.conversation_id());
                match notice {
                    DueNotice::State(notice) => {
                        let visited = notice.visited && !self.is(Mutation::ForgetThatOpenedIsTold);
                        told.notified = Some(Notice { visited, ..notice });
                        state.orders[order].sure = Some(to);
                    }
                    DueNotice::Moved(former) => {
                        told.moved_told = Some(former);
                        // It may be the holder again.
                        let is_former = who(&record.holder) != to;
                        state.orders[order].ears[to].moved_sure = is_former;
                    }
                }
                state.orders[order].record = Some(Hashed::new(told));
                state.orders[order].turn = false;
                Then::Step(Step::Look(order))
            }
            Step::Look(order) => {
                let record = state.record(order);
                self.settled(state, run, record)
            }
        }
    }

    /// Whether the step charges a token, rather than hearing what became of it or that nothing can
    /// be charged.
    fn charges(&self, state: &State, step: &Step) -> bool {
        let Step::Confirm(payment, token) = step else {
            return false;
        };
        let intent = payment.intent_id().map(at).expect("an intent");
        let known = state
            .confirmations
            .iter()
            .any(|known| known.intent == intent && known.token == *token);
        state.is_payable(intent) && (!known || self.is(Mutation::ForgetTheIdempotencyKey))
    }

    fn confirm(
        &self,
        state: &mut State,
        run: &mut Run,
        payment: Hashed<Payment>,
        token: u8,
        outcome: Option<PaymentStatus>,
    ) -> Then {
        let intent = payment.intent_id().map(at).expect("an intent");
        state.broken.stranger_touched |= state.stripe[intent].of.uid != attempt(&payment).uid;
        let known = state
            .confirmations
            .iter()
            .find(|known| known.intent == intent && known.token == token);
        let Some(outcome) = outcome else {
            match known {
                None => state.confirmations.push(Confirmation {
                    intent,
                    token,
                    answer: None,
                }),
                Some(Confirmation {
                    answer: Some(answer),
                    ..
                }) if self.is(Mutation::TrustTheReplay) => {
                    let answer = answer.clone();
                    return self.observed(state, run, payment, answer);
                }
                Some(_) => {}
            }
            // An earlier answer, or none: where the intent stands now is what counts.
            return Then::Step(Step::Fetch(payment, intent, None));
        };
        let again = known.is_some();
        state.broken.token_tried_again |= again;
        state.charge(intent, outcome);
        let seen = state.fetched(intent);
        if !again {
            state.confirmations.push(Confirmation {
                intent,
                token,
                answer: Some(seen.clone()),
            });
        }
        self.observed(state, run, payment, seen)
    }

    /// Reads the record of an event whose pointer was looked up.
    fn read(
        &self,
        state: &mut State,
        run: &mut Run,
        of: Attempt,
        seen: Hashed<Observation>,
        is_pointed_to: bool,
    ) -> Then {
        // An order nobody began is somebody else's.
        let Some(record) = state.orders[of.order].record.clone() else {
            return Then::Done;
        };
        // So is another deployment's, and one whose record has expired.
        if attempt(&record).uid != of.uid && !self.is(Mutation::ForgetTheUid) {
            return Then::Done;
        }
        if !is_pointed_to && !self.is(Mutation::BelieveTheSnapshot) {
            // Anybody may have written the metadata: our own key must see the intent.
            return Then::Step(self.ask_again(record, &seen));
        }
        if seen.intent.correlation.as_ref().map(named) == Some(of) {
            return self.observed(state, run, record, seen);
        }
        let mut seen = (*seen).clone();
        seen.intent.correlation = Some(correlation(of));
        self.observed(state, run, record, Hashed::new(seen))
    }

    fn deliver(&self, state: &mut State, run: &mut Run, event: usize) -> Then {
        let seen = state.events[event].seen.clone();
        let named = seen
            .intent
            .correlation
            .as_ref()
            .map(named)
            .expect("metadata");
        let pointer = state.pointer(at(&seen.intent.id));
        let (of, is_pointed_to) = (pointer.unwrap_or(named), pointer.is_some());
        // With one order, pointer and metadata say the same, whenever each is read.
        if self.orders > 1 {
            Then::Step(Step::Read {
                of,
                seen,
                is_pointed_to,
            })
        } else {
            self.read(state, run, of, seen, is_pointed_to)
        }
    }

    /// Whether a claim has to wait.
    fn has_to_wait(&self, state: &State, payment: &Payment) -> bool {
        state.orders[attempt(payment).order].turn && !self.is(Mutation::ForgetTheTurn)
    }

    fn claim(&self, state: &mut State, run: &mut Run, payment: Hashed<Payment>) -> Then {
        let order = attempt(&payment).order;
        let record = state.record(order);
        if record.version != payment.version && !self.is(Mutation::ClaimAnyVersion) {
            return self.settled(state, run, record);
        }
        let Some(notice) = self.due(&payment) else {
            return Then::Done;
        };
        let to = who(notice.conversation_id());
        let mut claimed = Payment {
            version: record.version + 1,
            ..(*record).clone()
        };
        let forgets = match &notice {
            DueNotice::State(notice) => {
                let is_sure = state.orders[order].sure == Some(to);
                state.broken.told_again |=
                    is_sure && state.told(order, to).as_ref() == Some(notice);
                !self.is(Mutation::KeepNotifiedWhileTelling)
            }
            DueNotice::Moved(_) => {
                state.broken.holder_told_moved |= who(&record.holder) == to;
                state.broken.told_again |= state.orders[order].ears[to].moved_sure;
                self.is(Mutation::ForgetNotifiedForMoved)
            }
        };
        if forgets {
            claimed.notified = None;
        }
        if let DueNotice::State(notice) = &notice {
            state.orders[order].sure = None;
            if self.is(Mutation::SetNotifiedBeforeTelling) {
                claimed.notified = Some(notice.clone());
            }
        }
        state.orders[order].record = Some(Hashed::new(claimed));
        state.orders[order].turn = true;
        state.orders[order].untold = false;
        Then::Step(Step::Tell(payment, notice))
    }

    /// Whether two attempts are one.
    fn is_same(&self, one: Attempt, other: Attempt) -> bool {
        let uid = if self.is(Mutation::ForgetTheUid) {
            other.uid
        } else {
            one.uid
        };
        Attempt { uid, ..one } == other
    }

    /// Whether an intent's metadata names this attempt.
    fn is_named(&self, intent: &AtStripe, of: Attempt) -> bool {
        self.is_same(intent.names, of)
    }

    /// Whether a record is at this attempt.
    fn is_at(&self, payment: &Payment, of: Attempt) -> bool {
        self.is_same(attempt(payment), of)
    }

    /// Whether an intent was made under this attempt's key.
    fn has_its_key(&self, intent: &AtStripe, of: Attempt) -> bool {
        let is_same =
            |one: Attempt, other: Attempt| (one.order, one.number) == (other.order, other.number);
        intent.of == of || (self.is(Mutation::KeyWithoutTheUid) && is_same(intent.of, of))
    }

    /// What may become of the request to Stripe that this step sends.
    fn faults(step: &Step) -> &'static [Fault] {
        match step {
            Step::Make(_) => &[
                Fault::NotExecuted,
                Fault::TimedOut,
                Fault::SentAgain,
                Fault::InUse,
                Fault::Kept,
                Fault::KeptExecuted,
            ],
            // A twin that holds the token's key ends the run just as a lost request does.
            Step::Confirm(..) | Step::Cancel(_) => {
                &[Fault::NotExecuted, Fault::TimedOut, Fault::SentAgain]
            }
            // Nothing is executed, so every kind of failure is the same.
            Step::Fetch(..) => &[Fault::NotExecuted],
            _ => &[],
        }
    }

    /// What a failed request to Stripe makes of a run.
    fn failed(&self, run: Run, step: &Step) -> Then {
        match (run, step) {
            // A refresh that fails costs nothing but itself.
            (Run::Refresh, Step::Fetch(payment, ..)) if self.due(payment).is_some() => {
                Then::Step(Step::Claim(payment.clone()))
            }
            _ => Then::Failed,
        }
    }

    fn then(state: &mut State, mut run: Run, then: Then, order: usize) {
        let to = match &then {
            Then::Step(step) => Some(step),
            _ => None,
        };
        trace::to(&run, to);
        if let Then::Step(step) = then {
            state.running.push(Running { run, step });
            return;
        }
        if !matches!(then, Then::Failed)
            && let Some(record) = &state.orders[order].record
        {
            // A payer's try that came between is the next request's to end, and so is another end.
            let came_between = run
                .end()
                .is_some_and(|end| matches!(end.phase, Phase::Refused | Phase::Over));
            let met = match run {
                _ if came_between => None,
                Run::Post(post) => post.met,
                Run::Cancel { end } => Some(end.of),
                _ => None,
            };
            // One that the cap asked for may wait for a payer who is at the bank.
            let may_stay = |ending: &Ending| ending.reason == EndReason::TooManyDeclines;
            state.broken.end_left |= met == Some(attempt(record).number)
                && record.is_ending()
                && !record.ending.as_ref().is_some_and(may_stay);
        }
        match (run, then) {
            (Run::Delivery { event, .. }, Then::Done) => state.events[event].accepted = true,
            (Run::Post(post), Then::Refused) => {
                state.broken.refused_placed |= post.placed && !post.had_token;
            }
            _ => {}
        }
    }

    /// A run ends between two steps.
    fn die(&self, state: &mut State, at: usize) {
        let Running { step, .. } = state.running.remove(at);
        let order = match &step {
            Step::Claim(payment) | Step::Tell(payment, _) => attempt(payment).order,
            Step::End(order, _) | Step::Look(order) => *order,
            _ => return,
        };
        state.orders[order].untold |= self.conversations > 1;
    }

    /// Which order a run is about.
    fn order(run: &Run, step: &Step) -> usize {
        match (run, step) {
            (_, Step::AwaitTwin(order) | Step::Begin(order) | Step::End(order, _)) => *order,
            (_, Step::Look(order)) => *order,
            (Run::Session { of, .. }, _) => of.order,
            (_, Step::Read { of, .. }) => of.order,
            (_, Step::Write { next, .. } | Step::Mark(next)) => attempt(next).order,
            (_, step) => step
                .clone()
                .version()
                .map_or(0, |(read, _)| attempt(read).order),
        }
    }

    fn actions_of_a_run(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let left = &state.left;
        let Running { step, .. } = &state.running[at];
        if left.deaths > 0 {
            actions.push(Action::Die(at));
        }
        match step {
            Step::AwaitTwin(order) => {
                actions.push(Action::GiveUp(at));
                if state.record(*order).status() == PaymentStatus::Creating {
                    return;
                }
            }
            Step::Claim(payment) if self.has_to_wait(state, payment) => return,
            Step::Make(_) if left.rejections > 0 && !state.has_answered(step) => {
                actions.push(Action::Reject(at))
            }
            Step::Tell(..) if left.refusals > 0 => actions.push(Action::Refuse(at)),
            _ => {}
        }
        let charges = self.charges(state, step);
        let outcomes: &[_] = if charges {
            &[
                Some(PaymentStatus::Declined),
                Some(PaymentStatus::Processing),
                Some(PaymentStatus::Confirmed),
            ]
        } else {
            &[None]
        };
        for outcome in outcomes {
            actions.push(Action::Go(at, *outcome));
        }
        for fault in Self::faults(step).iter().filter(|_| left.faults > 0) {
            if matches!(fault, Fault::Kept | Fault::KeptExecuted) && state.has_answered(step) {
                continue;
            }
            let outcomes = if *fault == Fault::NotExecuted {
                &[None]
            } else {
                outcomes
            };
            actions.extend(
                outcomes
                    .iter()
                    .map(|outcome| Action::Fault(at, *outcome, *fault)),
            );
        }
    }

    fn actions_at_stripe(state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (at, intent) in state
            .stripe
            .iter()
            .enumerate()
            .filter(|(_, intent)| intent.is_ours)
        {
            match intent.status {
                StripeStatus::RequiresPaymentMethod => {
                    if left.tries > 0 && left.banks > 0 {
                        actions.push(Action::Try(at, PaymentStatus::Pending));
                    }
                    if left.tries > 0 {
                        let outcomes = [
                            PaymentStatus::Declined,
                            PaymentStatus::Processing,
                            PaymentStatus::Confirmed,
                        ];
                        actions.extend(outcomes.map(|outcome| Action::Try(at, outcome)));
                    }
                    if left.cancellations > 0 {
                        actions.push(Action::CancelIntent(at));
                    }
                }
                StripeStatus::Processing | StripeStatus::RequiresAction => {
                    let outcomes = [PaymentStatus::Declined, PaymentStatus::Confirmed];
                    actions.extend(outcomes.map(|outcome| Action::Try(at, outcome)));
                }
                _ => {}
            }
            if left.edits > 0 && intent.names == intent.of && intent.of.uid != STRANGER {
                actions.push(Action::Edit(at));
            }
        }
        if left.ticks > 0 {
            actions.push(Action::Tick);
        }
        let records = || {
            let records = state.orders.iter();
            records.filter_map(|order| order.record.as_deref().map(attempt))
        };
        if left.copies > 0 {
            actions.extend(records().map(Action::Copy));
        }
        if left.strangers > 0 {
            let strangers = records().map(|of| Attempt {
                uid: STRANGER,
                ..of
            });
            actions.extend(strangers.map(Action::Stranger));
        }
        // A record outlives every run.
        if left.expiries > 0 && state.running.is_empty() {
            let canceled =
                records().filter(|of| state.record(of.order).status() == PaymentStatus::Canceled);
            actions.extend(
                canceled.flat_map(|of| [true, false].map(|all| Action::Expire(of.order, all))),
            );
        }
    }

    /// What may be asked for.
    fn posts(&self, state: &State, order: usize, token: Option<u8>, actions: &mut Vec<Action>) {
        // Who comes first, and for which amount, makes no difference.
        let is_first = state
            .orders
            .iter()
            .all(|order| order.record.is_none() && order.expired == 0);
        let of = |count: u8| 0..if is_first { 1 } else { usize::from(count) };
        for by in of(self.conversations) {
            for amount in of(self.amounts) {
                let mut push = |replace| {
                    actions.push(Action::Post {
                        order,
                        by,
                        amount,
                        replace,
                        token,
                    });
                };
                push(false);
                if state.left.replaces > 0 && !is_first {
                    push(true);
                }
            }
        }
    }

    fn actions_of_others(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        // Which order or token comes first makes no difference.
        let begun = state
            .orders
            .iter()
            .filter(|order| order.record.is_some())
            .count();
        for order in 0..state.orders.len().min(begun + 1) {
            if left.posts > 0 {
                self.posts(state, order, None, actions);
            }
            if left.cancels > 0 && state.orders[order].record.is_some() {
                actions.push(Action::Cancel(order, Bank::Cancel));
                if self.conversations > 1 && self.left.banks > 0 {
                    actions.push(Action::Cancel(order, Bank::GiveWay));
                }
            }
            if left.token_posts > 0 {
                let tokens = if left.token_posts == self.left.token_posts {
                    0..1
                } else {
                    0..2
                };
                for token in tokens {
                    self.posts(state, order, Some(token), actions);
                }
            }
        }
        for (at, event) in state.events.iter().enumerate() {
            let under_way = state.running.iter().any(|running| running.run.delivers(at));
            if left.repeats > 0 || !(event.accepted || under_way) {
                actions.push(Action::Deliver(at));
            }
        }
        if left.sessions > 0 {
            // A link that opens nothing changes nothing.
            let opens = |of: &Attempt| {
                let Some(record) = &state.orders[of.order].record else {
                    return false;
                };
                record.is_payable()
                    && (self.is_at(record, *of) || self.is(Mutation::OpenAnyAttempt))
                    && (!record.is_ending() || self.is(Mutation::OpenWhatEnds))
            };
            // Whoever has its intent on record has a link, or asks for one.
            actions.extend(
                state
                    .pointers
                    .iter()
                    .map(|(_, of)| *of)
                    .filter(opens)
                    .map(Action::Open),
            );
        }
        if left.refreshes == 0 {
            return;
        }
        for (order, Order { record, .. }) in state.orders.iter().enumerate() {
            let Some(record) = record else { continue };
            match record.intent_id() {
                Some(id) if !record.status().is_final() => {
                    actions.push(Action::Refresh {
                        order,
                        intent: Some(at(id)),
                    });
                }
                Some(_) if self.due(record).is_some() => actions.push(Action::Refresh {
                    order,
                    intent: None,
                }),
                None if !record.status().is_final() => {
                    let of = attempt(record);
                    let is_found = |at: &usize| {
                        let intent = &state.stripe[*at];
                        self.is_named(intent, of) && intent.is_ours
                    };
                    let found = (0..state.stripe.len()).filter(is_found);
                    actions.extend(found.map(|at| Action::Refresh {
                        order,
                        intent: Some(at),
                    }));
                }
                _ => {}
            }
        }
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
            confirmations: Vec::new(),
            refused: Vec::new(),
            kept: Vec::new(),
            canceled: Vec::new(),
            events: Vec::new(),
            orders: vec![Order::default(); usize::from(self.orders)],
            newest: [None; 2],
            pointers: Vec::new(),
            running: Vec::new(),
            broken: Broken::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        Self::actions_at_stripe(state, actions);
        if state.running.len() < self.at_once {
            self.actions_of_others(state, actions);
        }
        for at in 0..state.running.len() {
            self.actions_of_a_run(state, at, actions);
        }
        // A turn outlasts every living holder.
        for (order, Order { turn, .. }) in state.orders.iter().enumerate() {
            let held = state.running.iter().any(|running| match &running.step {
                Step::Tell(payment, _) => attempt(payment).order == order,
                Step::End(of, _) => *of == order,
                _ => false,
            });
            if *turn && !held {
                actions.push(Action::TurnLapses(order));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let from = match &action {
            Action::Go(at, _) | Action::Fault(at, ..) | Action::Reject(at) => Some(*at),
            _ => None,
        };
        trace::from(
            from.map(|at| &last.running[at].step),
            self.mutation.is_some(),
        );
        match action {
            Action::Post {
                order,
                by,
                amount,
                replace,
                token,
            } => {
                match token {
                    None => state.left.posts -= 1,
                    Some(_) => state.left.token_posts -= 1,
                }
                state.left.replaces -= u8::from(replace);
                let mut run = Run::Post(Post {
                    by,
                    amount,
                    replace,
                    token,
                    had_token: token.is_some() && self.conversations > 1,
                    on: 0,
                    makes: false,
                    placed: false,
                    met: None,
                    end: None,
                });
                trace::act("put");
                let then = self.post(&mut state, &mut run, order);
                Self::then(&mut state, run, then, order);
            }
            Action::Try(at, outcome) => {
                state.left.tries -= u8::from(state.is_payable(at));
                state.left.banks -= u8::from(outcome == PaymentStatus::Pending);
                state.charge(at, outcome);
            }
            Action::CancelIntent(at) => {
                state.left.cancellations -= 1;
                state.cancel(at);
            }
            Action::Cancel(order, at_bank) => {
                state.left.cancels -= 1;
                let record = state.record(order);
                let number = attempt(&record).number;
                let end = End::new(number, EndReason::Canceled, at_bank);
                let mut run = Run::Cancel { end };
                let then = self.end(&mut state, &mut run, record);
                Self::then(&mut state, run, then, order);
            }
            Action::Open(of) => {
                state.left.sessions -= 1;
                let record = state.record(of.order);
                let intent = record.intent_id().map(at).expect("an intent");
                let run = Run::Session {
                    of,
                    intent,
                    was_ending: record.is_ending(),
                    is_final: false,
                    telling: false,
                };
                let then = Then::Step(Step::Fetch(record, intent, None));
                Self::then(&mut state, run, then, of.order);
            }
            Action::Edit(at) => {
                state.left.edits -= 1;
                state.stripe[at].names.order = 1 - state.stripe[at].names.order;
            }
            Action::Copy(of) => {
                state.left.copies -= 1;
                let (status, created) = (StripeStatus::Succeeded, state.second);
                state.stripe.push(AtStripe {
                    of,
                    names: of,
                    amount: 0,
                    status,
                    declined: false,
                    created,
                    is_ours: false,
                });
                state.say(state.stripe.len() - 1);
            }
            Action::Stranger(of) => {
                state.left.strangers -= 1;
                state.make(of, 0);
            }
            Action::Expire(order, with_pointers) => {
                state.left.expiries -= 1;
                let expired = state.orders[order].expired + 1;
                let ears = state.orders[order].ears.map(|ear| Ear {
                    heard: ear.heard,
                    opened: ear.opened,
                    ..Ear::default()
                });
                state.orders[order] = Order {
                    expired,
                    ears,
                    ..Order::default()
                };
                if with_pointers {
                    state.pointers.retain(|(_, of)| of.order != order);
                }
            }
            Action::Tick => {
                state.left.ticks -= 1;
                state.second += 1;
            }
            Action::Deliver(event) => {
                let mut run = Run::Delivery { event, end: None };
                let under_way = state.running.iter().any(|known| known.run.delivers(event));
                state.left.repeats -= u8::from(state.events[event].accepted || under_way);
                let then = self.deliver(&mut state, &mut run, event);
                Self::then(&mut state, run, then, 0);
            }
            Action::Refresh { order, intent } => {
                state.left.refreshes -= 1;
                let (mut run, record) = (Run::Refresh, state.record(order));
                let then = match intent {
                    Some(intent) => Then::Step(Step::Fetch(record, intent, None)),
                    None => self.settled(&mut state, &mut run, record),
                };
                Self::then(&mut state, run, then, order);
            }
            Action::Go(at, outcome) => {
                let Running { mut run, step } = state.running.remove(at);
                let order = Self::order(&run, &step);
                let then = self.step(&mut state, &mut run, &step, outcome);
                Self::then(&mut state, run, then, order);
            }
            Action::Fault(at, outcome, fault) => {
                state.left.faults -= 1;
                let Running { run, step } = state.running.remove(at);
                if matches!(fault, Fault::TimedOut | Fault::SentAgain) {
                    let _answer = self.step(&mut state, &mut run.clone(), &step, outcome);
                }
                if let (Fault::Kept | Fault::KeptExecuted, Step::Make(payment)) = (fault, &step) {
                    let of = attempt(payment);
                    if fault == Fault::KeptExecuted {
                        let amount = AMOUNTS.iter().position(|known| *known == payment.money);
                        state.make(of, amount.expect("an amount"));
                    }
                    state.kept.push(of);
                    state.kept.sort_by_key(|of| (of.order, of.uid, of.number));
                }
                let order = Self::order(&run, &step);
                let then = match (fault, &step) {
                    // The one retry gets what is kept.
                    (Fault::SentAgain | Fault::Kept | Fault::KeptExecuted, _) => Then::Step(step),
                    (Fault::InUse, Step::Make(payment)) => {
                        Then::Step(Step::AwaitTwin(attempt(payment).order))
                    }
                    _ => self.failed(run, &step),
                };
                Self::then(&mut state, run, then, order);
            }
            Action::Reject(at) => {
                state.left.rejections -= 1;
                let Running { run, step } = state.running.remove(at);
                if let Step::Make(payment) = step {
                    let of = attempt(&payment);
                    state.refused.push(of);
                    let then = Then::Step(Step::Reject(payment));
                    Self::then(&mut state, run, then, of.order);
                }
            }
            Action::Refuse(at) => {
                state.left.refusals -= 1;
                if let Step::Tell(payment, _) = &state.running[at].step {
                    let order = attempt(payment).order;
                    state.orders[order].turn = false;
                }
                self.die(&mut state, at);
            }
            Action::Die(at) => {
                state.left.deaths -= 1;
                self.die(&mut state, at);
            }
            Action::GiveUp(at) => {
                state.running.remove(at);
            }
            Action::TurnLapses(order) => state.orders[order].turn = false,
        }
        state.count_versions_from_one();
        // Which of several runs was begun first makes no difference.
        state.running.sort_by_cached_key(hash);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}
