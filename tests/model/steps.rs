//! What can happen, one step at a time.
//!
//! A step that only reads, or only works out what follows, is taken together with the step before
//! it where nobody could tell the difference: a write that lost its race is lost whenever the
//! record is read again.

use std::sync::LazyLock;

use shared::ids::{ConversationId, Correlation, IntentId, OrderId};
use shared::money::{Currency, Money};
use shared::payment::{
    AsOf, CaptureMethod, Intent, Notice, Observation, Payment, PaymentStatus, Source, StripeStatus,
    Terms, Verdict,
};
use shared::time::UnixMillis;
use stateright::{Model, Property};

use crate::{
    Action, AtStripe, Attempt, Broken, Confirmation, Event, Fault, Hashed, Life, Mutation, Order,
    Run, Running, State, Step, hash, properties,
};

/// Times of day order nothing, so one will do.
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

static MONEY: LazyLock<Money> = LazyLock::new(|| Money {
    amount_minor: 5000,
    currency: Currency::parse("usd").expect("a currency"),
});

static CORRELATIONS: LazyLock<[Correlation; 2]> = LazyLock::new(|| {
    ["A", "B"].map(|order| Correlation {
        conversation_id: ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a")
            .expect("a conversation"),
        order_id: OrderId::parse(order).expect("an order"),
        attempt: 1,
    })
});

fn terms() -> Terms {
    Terms {
        capture_method: CaptureMethod::Automatic,
        ..Terms::default()
    }
}

fn begin(order: usize) -> Payment {
    let Correlation {
        conversation_id,
        order_id,
        ..
    } = CORRELATIONS[order].clone();
    Payment::begin(conversation_id, order_id, *MONEY, terms(), NOW)
}

/// The attempt a correlation names.
fn named(correlation: &Correlation) -> Attempt {
    let order = CORRELATIONS
        .iter()
        .position(|known| known.order_id == correlation.order_id)
        .expect("an order");
    Attempt {
        order,
        number: correlation.attempt,
    }
}

fn correlation(of: Attempt) -> Correlation {
    Correlation {
        attempt: of.number,
        ..CORRELATIONS[of.order].clone()
    }
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
    /// It ends with an error; an event is to be delivered once more.
    Failed,
}

impl State {
    /// An intent as Stripe writes it.
    pub(crate) fn intent(&self, at: usize) -> Intent {
        let AtStripe {
            names,
            status,
            declined,
            created,
            ..
        } = self.stripe[at];
        Intent {
            id: IntentId::parse(&format!("pi_{at}")).expect("an intent id"),
            money: *MONEY,
            amount_received: if status == StripeStatus::Succeeded {
                MONEY.amount_minor
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
    fn make(&mut self, of: Attempt) -> usize {
        let status = StripeStatus::RequiresPaymentMethod;
        let created = self.second;
        self.stripe.push(AtStripe {
            of,
            names: of,
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
    fn hear(&mut self, order: usize, notice: &Notice) {
        let Order {
            heard: last,
            heard_opened,
            ..
        } = self.orders[order];
        let from = last.unwrap_or(0);
        let status = Notice {
            opened: false,
            ..notice.clone()
        };
        let heard = (from..self.events.len()).find(|event| self.notice(*event) == status);
        let closes = heard == last && heard_opened && !notice.opened;
        self.broken.heard_older |= heard.is_none() || closes;
        self.orders[order].heard = heard.or(Some(from));
        self.orders[order].heard_opened = notice.opened;
    }

    /// What an event makes known.
    pub(crate) fn notice(&self, event: usize) -> Notice {
        let intent = &self.events[event].seen.intent;
        Notice {
            intent_id: intent.id.clone(),
            status: intent.payment_status(),
            opened: false,
        }
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

impl Step {
    /// What a step holds of the record, and how many versions ahead of the record as it was read
    /// that is.
    fn version(&mut self) -> Option<(&mut Hashed<Payment>, u64)> {
        match self {
            Self::Make(read)
            | Self::Reject(read)
            | Self::Confirm(read, _)
            | Self::Fetch(read, _) => Some((read, 0)),
            Self::Cancel(read) | Self::Claim(read) | Self::Tell(read, _) => Some((read, 0)),
            Self::Write { next, .. } | Self::Mark(next) => Some((next, 1)),
            Self::AwaitTwin(_) | Self::Read { .. } | Self::End(..) | Self::Look(_) => None,
        }
    }
}

impl Run {
    /// The attempt that a request with a token begins or finds, or one to cancel.
    fn is_on(&mut self, record: &Payment) {
        if let Self::Post { token: Some(_), on } | Self::Cancel { on, .. } = self {
            *on = attempt(record).number;
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
        if self.is(Mutation::DropTheFinalGuard) && payment.status.is_final() {
            payment.status = PaymentStatus::Pending;
        }
        if self.is(Mutation::OrderByArrival) {
            payment.as_of = None;
        }
        let mut seen = seen.clone();
        if self.is(Mutation::ForgetTheIntent)
            && let Some(own) = &payment.intent_id
        {
            seen.intent.id = own.clone();
        }
        payment.observe(&seen, NOW)
    }

    /// What Genesys is to hear of this record.
    pub(crate) fn due(&self, payment: &Payment) -> Option<Notice> {
        payment.due_notice().filter(|_| self.genesys)
    }

    /// The table's conditional write of a next state; with `adopts`, in one transaction with the
    /// intent's pointer.
    fn write(&self, state: &mut State, next: &Payment, adopts: bool) -> bool {
        let of = attempt(next);
        let record = state.record(of.order);
        let adopted = next.intent_id.as_ref().filter(|_| adopts).map(at);
        let version_holds =
            record.version == next.version - 1 || self.is(Mutation::ForgetTheVersion);
        let pointer_holds = adopted.and_then(|intent| state.pointer(intent)).is_none()
            || self.is(Mutation::ForgetThePointersCondition);
        if !(version_holds && pointer_holds) {
            return false;
        }
        state.broken.final_left |= record.status.is_final()
            && record.status != next.status
            && (record.status != PaymentStatus::Canceled
                || of.number == record.correlation.attempt);
        state.broken.opened_forgotten |=
            record.opened_at.is_some() && next.opened_at.is_none() && of == attempt(&record);
        if let Some(intent) = adopted {
            state.pointers.retain(|(of, _)| *of != intent);
            state.pointers.push((intent, of));
            state.pointers.sort_by_key(|(intent, _)| *intent);
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
        let Some(record) = state.orders[order].record.clone() else {
            let begun = Hashed::new(begin(order));
            state.orders[order].record = Some(begun.clone());
            return Self::make(run, begun);
        };
        if let Some(next) = record.next_attempt(*MONEY, terms(), NOW) {
            self.write(state, &next, false);
            return Self::make(run, Hashed::new(next));
        }
        if record.status == PaymentStatus::Creating {
            return Self::make(run, record);
        }
        run.is_on(&record);
        self.settled(state, run, record)
    }

    fn make(run: &mut Run, record: Hashed<Payment>) -> Then {
        run.is_on(&record);
        Then::Step(Step::Make(record))
    }

    /// What follows once the record says what there is to say.
    fn settled(&self, state: &mut State, run: &mut Run, payment: Hashed<Payment>) -> Then {
        match run {
            Run::Post { token, on } => match token.take().filter(|_| payment.is_payable()) {
                // Another attempt may be for another amount.
                Some(_)
                    if attempt(&payment).number != *on && !self.is(Mutation::ChargeAnyAttempt) =>
                {
                    Then::Failed
                }
                Some(token) => Then::Step(Step::Confirm(payment, token)),
                None => Then::Done,
            },
            Run::Cancel { on, asked } => {
                let is_its_own =
                    attempt(&payment).number == *on || self.is(Mutation::CancelAnyAttempt);
                if !*asked
                    && is_its_own
                    && !payment.status.is_final()
                    && payment.intent_id.is_some()
                {
                    state.broken.request_strayed |= attempt(&payment).number != *on;
                    *asked = true;
                    return Then::Step(Step::Cancel(payment));
                }
                let of = attempt(&payment);
                if payment.status == PaymentStatus::Canceled && !state.canceled.contains(&of) {
                    state.canceled.push(of);
                    state.canceled.sort_by_key(|of| (of.order, of.number));
                }
                Then::Done
            }
            Run::Session {
                of,
                telling: telling @ false,
                intent,
                is_final,
            } => {
                let is_its_own = attempt(&payment) == *of;
                if let Some(next) = payment
                    .opened(NOW)
                    .filter(|_| is_its_own || self.is(Mutation::MarkAnyAttempt))
                {
                    return Then::Step(Step::Mark(Hashed::new(next)));
                }
                if payment.is_payable() && payment.intent_id.as_ref().map(at) == Some(*intent) {
                    state.broken.secret_strayed |=
                        !is_its_own || *is_final || state.stripe[*intent].of != *of;
                }
                *telling = true;
                self.told(payment)
            }
            // create-intent leaves telling Genesys to the webhook.
            Run::Delivery { .. } | Run::Refresh | Run::Session { .. } => self.told(payment),
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
                let adopts = payment.intent_id.is_none();
                Then::Step(Step::Write {
                    next: Hashed::new(*next),
                    seen,
                    adopts,
                })
            }
            Verdict::Keep(_) => self.settled(state, run, payment),
            Verdict::AskStripe => Then::Step(Step::Fetch(payment, at(&seen.intent.id))),
            Verdict::Disagree(_) => {
                state.broken.disagreed = true;
                match run {
                    Run::Refresh => self.settled(state, run, payment),
                    _ => Then::Done,
                }
            }
        }
    }

    /// Takes the next step of something under way.
    fn step(
        &self,
        state: &mut State,
        run: &mut Run,
        step: &Step,
        outcome: Option<PaymentStatus>,
    ) -> Then {
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
                        .position(|intent| intent.names == of && intent.is_ours);
                    return match found.filter(|_| !self.is(Mutation::EndWithoutLooking)) {
                        Some(intent) => Then::Step(Step::Fetch(payment, intent)),
                        None => Then::Step(Step::Reject(payment)),
                    };
                }
                let made = state
                    .stripe
                    .iter()
                    .position(|intent| intent.of == of && intent.is_ours);
                let made = made
                    .filter(|_| !self.is(Mutation::ForgetTheIdempotencyKey))
                    .unwrap_or_else(|| state.make(of));
                // A replay gives the first answer again.
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
                match run {
                    Run::Cancel { .. } => self.settled(state, run, current),
                    _ if !is_written && current.intent_id.is_some() => {
                        self.settled(state, run, current)
                    }
                    _ => Then::Done,
                }
            }
            Step::Confirm(payment, token) => {
                if let Run::Post { on, .. } = run {
                    state.broken.request_strayed |= attempt(&payment).number != *on;
                    *on = 0;
                }
                self.confirm(state, run, payment, token, outcome)
            }
            Step::Cancel(payment) if self.is(Mutation::CancelTheRecordAlone) => {
                let next = Payment {
                    status: PaymentStatus::Canceled,
                    version: payment.version + 1,
                    ..(*payment).clone()
                };
                self.write(state, &next, false);
                let record = state.record(attempt(&payment).order);
                self.settled(state, run, record)
            }
            Step::Cancel(payment) => {
                let intent = payment.intent_id.as_ref().map(at).expect("an intent");
                if !state.is_payable(intent) {
                    // Canceled before, paid meanwhile, or at work: where the intent stands now is
                    // what counts.
                    return Then::Step(Step::Fetch(payment, intent));
                }
                state.cancel(intent);
                let seen = state.fetched(intent);
                self.observed(state, run, payment, seen)
            }
            Step::Fetch(_, intent) if !state.stripe[intent].is_ours => Then::Done,
            Step::Fetch(payment, intent) => {
                let seen = state.fetched(intent);
                let names_another = state.stripe[intent].names.order != attempt(&payment).order;
                if payment.intent_id.is_none()
                    && matches!(run, Run::Delivery { .. })
                    && names_another
                {
                    // Edited since.
                    return Then::Done;
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
            Step::Write { next, seen, adopts } => {
                if self.write(state, &next, adopts) {
                    return self.settled(state, run, next);
                }
                let current = state.record(attempt(&next).order);
                if current.version == next.version - 1 {
                    // The pointer is somebody else's, and no further round will change that.
                    return Then::Failed;
                }
                if seen.source == Source::Fetched && !current.status.is_final() {
                    return Then::Step(Step::Fetch(current, at(&seen.intent.id)));
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
                let opened = notice.opened && !self.is(Mutation::ForgetThatOpenedIsTold);
                let notified = Some(Notice { opened, ..notice });
                let told = Payment {
                    notified,
                    version: record.version + 1,
                    ..(*record).clone()
                };
                state.orders[order].record = Some(Hashed::new(told));
                state.orders[order].turn = false;
                state.orders[order].sure = true;
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
        let intent = payment.intent_id.as_ref().map(at).expect("an intent");
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
        let intent = payment.intent_id.as_ref().map(at).expect("an intent");
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
            return Then::Step(Step::Fetch(payment, intent));
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
        if !is_pointed_to && !self.is(Mutation::BelieveTheSnapshot) {
            // Anybody may have written the metadata: our own key must see the intent.
            return Then::Step(Step::Fetch(record, at(&seen.intent.id)));
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
        if record.version != payment.version {
            return self.settled(state, run, record);
        }
        let Some(notice) = self.due(&payment) else {
            return Then::Done;
        };
        let Order {
            heard,
            heard_opened,
            sure,
            ..
        } = state.orders[order];
        let holds = heard.map(|event| Notice {
            opened: heard_opened,
            ..state.notice(event)
        });
        state.broken.told_again |= sure && holds.as_ref() == Some(&notice);
        state.orders[order].sure = false;
        if !self.is(Mutation::KeepNotifiedWhileTelling) {
            let notified =
                Some(notice.clone()).filter(|_| self.is(Mutation::SetNotifiedBeforeTelling));
            let claimed = Payment {
                notified,
                version: record.version + 1,
                ..(*record).clone()
            };
            state.orders[order].record = Some(Hashed::new(claimed));
        }
        state.orders[order].turn = true;
        Then::Step(Step::Tell(payment, notice))
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
            (Run::Refresh, Step::Fetch(payment, _)) if self.due(payment).is_some() => {
                Then::Step(Step::Claim(payment.clone()))
            }
            _ => Then::Failed,
        }
    }

    fn then(state: &mut State, run: Run, then: Then) {
        match then {
            Then::Step(step) => state.running.push(Running { run, step }),
            Then::Done => {
                if let Run::Delivery { event } = run {
                    state.events[event].accepted = true;
                }
            }
            Then::Failed => {}
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
                if state.record(*order).status == PaymentStatus::Creating {
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
                StripeStatus::Processing => {
                    let outcomes = [PaymentStatus::Declined, PaymentStatus::Confirmed];
                    actions.extend(outcomes.map(|outcome| Action::Try(at, outcome)));
                }
                _ => {}
            }
            if left.edits > 0 && intent.names == intent.of {
                actions.push(Action::Edit(at));
            }
        }
        if left.ticks > 0 {
            actions.push(Action::Tick);
        }
        if left.copies > 0 {
            let records = state
                .orders
                .iter()
                .filter_map(|order| order.record.as_deref());
            actions.extend(records.map(|record| Action::Copy(attempt(record))));
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
                actions.push(Action::Post { order, token: None });
            }
            if left.cancels > 0 && order < begun {
                actions.push(Action::Cancel(order));
            }
            if left.token_posts > 0 {
                let tokens = if left.token_posts == self.left.token_posts {
                    0..1
                } else {
                    0..2
                };
                actions.extend(tokens.map(|token| Action::Post {
                    order,
                    token: Some(token),
                }));
            }
        }
        for (at, event) in state.events.iter().enumerate() {
            let under_way = state
                .running
                .iter()
                .any(|running| running.run == Run::Delivery { event: at });
            if left.repeats > 0 || !(event.accepted || under_way) {
                actions.push(Action::Deliver(at));
            }
        }
        if left.sessions > 0 {
            // A link that opens nothing changes nothing.
            let opens = |of: &Attempt| {
                let record = state.record(of.order);
                record.is_payable()
                    && (attempt(&record) == *of || self.is(Mutation::OpenAnyAttempt))
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
            match &record.intent_id {
                Some(id) if !record.status.is_final() => {
                    actions.push(Action::Refresh {
                        order,
                        intent: Some(at(id)),
                    });
                }
                Some(_) if self.due(record).is_some() => actions.push(Action::Refresh {
                    order,
                    intent: None,
                }),
                None if !record.status.is_final() => {
                    let of = attempt(record);
                    let is_found =
                        |at: &usize| state.stripe[*at].names == of && state.stripe[*at].is_ours;
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
        match action {
            Action::Post { order, token } => {
                match token {
                    None => state.left.posts -= 1,
                    Some(_) => state.left.token_posts -= 1,
                }
                let mut run = Run::Post { token, on: 0 };
                let then = self.post(&mut state, &mut run, order);
                Self::then(&mut state, run, then);
            }
            Action::Try(at, outcome) => {
                state.left.tries -= u8::from(state.is_payable(at));
                state.charge(at, outcome);
            }
            Action::CancelIntent(at) => {
                state.left.cancellations -= 1;
                state.cancel(at);
            }
            Action::Cancel(order) => {
                state.left.cancels -= 1;
                let (mut run, record) = (
                    Run::Cancel {
                        on: 0,
                        asked: false,
                    },
                    state.record(order),
                );
                run.is_on(&record);
                let then = match record.status {
                    PaymentStatus::Creating if self.is(Mutation::CancelWithoutOpening) => {
                        Then::Step(Step::Reject(record))
                    }
                    PaymentStatus::Creating => Then::Step(Step::Make(record)),
                    _ => self.settled(&mut state, &mut run, record),
                };
                Self::then(&mut state, run, then);
            }
            Action::Open(of) => {
                state.left.sessions -= 1;
                let record = state.record(of.order);
                let intent = record.intent_id.as_ref().map(at).expect("an intent");
                let run = Run::Session {
                    of,
                    intent,
                    is_final: false,
                    telling: false,
                };
                Self::then(&mut state, run, Then::Step(Step::Fetch(record, intent)));
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
                    status,
                    declined: false,
                    created,
                    is_ours: false,
                });
                state.say(state.stripe.len() - 1);
            }
            Action::Tick => {
                state.left.ticks -= 1;
                state.second += 1;
            }
            Action::Deliver(event) => {
                let mut run = Run::Delivery { event };
                let under_way = state.running.iter().any(|running| running.run == run);
                state.left.repeats -= u8::from(state.events[event].accepted || under_way);
                let then = self.deliver(&mut state, &mut run, event);
                Self::then(&mut state, run, then);
            }
            Action::Refresh { order, intent } => {
                state.left.refreshes -= 1;
                let (mut run, record) = (Run::Refresh, state.record(order));
                let then = match intent {
                    Some(intent) => Then::Step(Step::Fetch(record, intent)),
                    None => self.settled(&mut state, &mut run, record),
                };
                Self::then(&mut state, run, then);
            }
            Action::Go(at, outcome) => {
                let Running { mut run, step } = state.running.remove(at);
                let then = self.step(&mut state, &mut run, &step, outcome);
                Self::then(&mut state, run, then);
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
                        state.make(of);
                    }
                    state.kept.push(of);
                    state.kept.sort_by_key(|of| (of.order, of.number));
                }
                let then = match (fault, &step) {
                    // The one retry gets what is kept.
                    (Fault::SentAgain | Fault::Kept | Fault::KeptExecuted, _) => Then::Step(step),
                    (Fault::InUse, Step::Make(payment)) => {
                        Then::Step(Step::AwaitTwin(attempt(payment).order))
                    }
                    _ => self.failed(run, &step),
                };
                Self::then(&mut state, run, then);
            }
            Action::Reject(at) => {
                state.left.rejections -= 1;
                let Running { run, step } = state.running.remove(at);
                if let Step::Make(payment) = step {
                    state.refused.push(attempt(&payment));
                    Self::then(&mut state, run, Then::Step(Step::Reject(payment)));
                }
            }
            Action::Refuse(at) => {
                state.left.refusals -= 1;
                if let Step::Tell(payment, _) = state.running.remove(at).step {
                    state.orders[attempt(&payment).order].turn = false;
                }
            }
            Action::Die(at) => {
                state.left.deaths -= 1;
                state.running.remove(at);
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
