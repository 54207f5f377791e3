//! What must hold, numbered as the invariants it is about:
//!
//! 1. an order has at most one live intent and is never charged twice
//! 2. `CONFIRMED` means that Stripe said `succeeded` for that very intent, amount and currency
//! 3. once all is quiet, record and conversation say what Stripe says
//! 4. a final status is left by a new attempt only, and Genesys hears nothing older after something
//!    newer
//!
//! That no secret leaks (5) and that every answer comes in time (6) are not a model's matter: it
//! has neither logs nor clocks. Nor are other currencies, captures by hand, and how long an end
//! waits for a payer who is at the bank.

use shared::domain::ending::{EndReason, Ending};
use shared::domain::notice::Notice;
use shared::domain::observation::{Observation, StripeStatus};
use shared::domain::payment::{Payment, PaymentStatus};
use stateright::{Model, Property};

use crate::steps::{at, attempt, who};
use crate::{AtStripe, Ear, Life, STRANGER, State};

pub(crate) const ONE_CHARGE: &str = "1: an order has one live intent and is charged once";
pub(crate) const ONE_TRY: &str = "1: a token is tried once, however often it is sent";
pub(crate) const OWN_ATTEMPT: &str =
    "1: a request charges or cancels no other attempt than it began or found";
pub(crate) const CANCELED_STAYS: &str =
    "1: nobody can pay an attempt that was answered to be canceled";
pub(crate) const LINK_OPENS_ITS_OWN: &str =
    "1: a link opens its own attempt's intent, until that is final";
pub(crate) const DYING_STAYS_SHUT: &str = "1: nobody is let to pay what is to end or is over";
pub(crate) const END_IS_FINISHED: &str =
    "1: who asks for an end, or meets one, leaves none on record but to a try that came between";
pub(crate) const BANK_IS_WAITED_FOR: &str =
    "1: an end that gives way cancels nothing while the payer is seen at the bank";
pub(crate) const CAP_ENDS: &str = "1: what was declined too often is over once all is quiet";
pub(crate) const CAP_STAYS: &str = "1: an end after too many declines gives way to nobody";
pub(crate) const REPLAY_ENDS_NOTHING: &str =
    "1: a request for the very amount of a payment does not end it";
pub(crate) const ANSWER_IS_ASKED: &str =
    "1: an answered request's payment and intent are for the amount asked for";
pub(crate) const OTHERS_UNTOUCHED: &str =
    "1: another payment's intents are neither adopted nor charged nor canceled";
pub(crate) const ANSWER_IS_PLACED: &str =
    "3: an answer makes its conversation the holder and the order its newest at one moment";
pub(crate) const REFUSAL_LEAVES_NOTHING: &str =
    "3: a refused request makes nobody the holder, and no order the newest";
pub(crate) const MOVED_IS_HEARD: &str =
    "3: whenever all is quiet, whoever held a payment before has heard that it moved";
pub(crate) const HOLDER_STAYS: &str = "4: nobody is told that a payment moved while holding it";
pub(crate) const CONFIRMED_IS_PAID: &str = "2: CONFIRMED means that this very intent succeeded";
pub(crate) const ONE_RECORD: &str =
    "2: an intent belongs to one record, and no more is confirmed than was charged";
pub(crate) const QUIET_AGREES: &str =
    "3: whenever all is quiet, record and conversation say what Stripe says";
pub(crate) const ENDS_IN_AGREEMENT: &str =
    "3: in the end record and conversation say what Stripe says";
pub(crate) const FINAL_STAYS: &str = "4: a final status is left by a new attempt only";
pub(crate) const NEVER_OLDER: &str = "4: Genesys hears nothing older after something newer";
pub(crate) const NEVER_TWICE: &str = "4: Genesys is not told again what it is known to hold";
pub(crate) const OPENED_IS_TRUE: &str =
    "4: an attempt counts as opened only where a link of its own was";
pub(crate) const OPENED_STAYS: &str = "4: an attempt that was opened stays so";
pub(crate) const NO_CONTRADICTION: &str = "an honest Stripe is never contradicted";

impl State {
    fn records(&self) -> impl Iterator<Item = &Payment> {
        self.orders
            .iter()
            .filter_map(|order| order.record.as_deref())
    }

    /// The intents that are ours.
    fn ours(&self) -> impl Iterator<Item = &AtStripe> {
        self.stripe.iter().filter(|intent| intent.is_own())
    }

    fn succeeded(&self) -> usize {
        self.ours()
            .filter(|intent| intent.status == StripeStatus::Succeeded)
            .count()
    }

    fn confirmed(&self) -> impl Iterator<Item = &Payment> {
        self.records()
            .filter(|record| record.status() == PaymentStatus::Confirmed)
    }

    /// The confirmed orders, each with the intent that its record says was paid.
    fn paid(&self) -> impl Iterator<Item = (usize, &AtStripe)> {
        self.confirmed().filter_map(|record| {
            Some((attempt(record).order, &self.stripe[at(record.intent_id()?)]))
        })
    }

    /// What the first order's holder accepted last.
    fn told_holder(&self) -> Option<Notice> {
        let record = self.orders[0].record.as_ref()?;
        self.told(0, who(&record.holder))
    }

    /// Whether metadata was edited. Which order the money is put down to is then not demanded to be
    /// right, only that it is put down once.
    fn is_edited(&self) -> bool {
        self.ours().any(|intent| intent.names != intent.of)
    }
}

impl AtStripe {
    /// Whether it is in our account, and no other deployment's.
    fn is_own(&self) -> bool {
        self.is_ours && self.of.uid != STRANGER
    }
}

impl Life {
    fn agrees(&self, state: &State, order: usize) -> bool {
        let newest = state.stripe.iter().rposition(|intent| {
            let is_past = intent.of.uid < state.orders[order].expired;
            intent.of.order == order && intent.is_own() && !is_past
        });
        let Some(record) = &state.orders[order].record else {
            return newest.is_none();
        };
        let Some(id) = record.intent_id() else {
            // Begun, but nobody has come as far as Stripe; or refused there.
            return !state.ours().any(|intent| intent.of == attempt(record));
        };
        let intent = state.intent(at(id));
        newest == Some(at(id))
            && record.intent().map(|known| known.status) == Some(intent.status)
            && record.status() == intent.payment_status()
            && (!self.genesys || self.is_told(state, order, record))
    }

    /// Whether Genesys holds what the record says. Nobody asks again on behalf of a payer who has
    /// opened a link: where a run was cut off, that may be due until the next poll or webhook.
    fn is_told(&self, state: &State, order: usize, record: &Payment) -> bool {
        let holder = who(&record.holder);
        // The payment has moved, and nobody has polled since.
        if state.orders[order].untold && record.due_notice().is_some() {
            return true;
        }
        let Some(told) = state.told(order, holder) else {
            return false;
        };
        let opened = record.status() == PaymentStatus::Pending && record.visited_at.is_some();
        let is_cut_off =
            state.left.deaths < self.left.deaths || state.left.refusals < self.left.refusals;
        record.intent_id() == Some(&told.intent_id)
            && record.status() == told.status
            && (told.visited == opened || (opened && is_cut_off && record.due_notice().is_some()))
    }

    /// Whether everybody who held the order's payment before has heard that it moved.
    fn is_moved(&self, state: &State, order: usize) -> bool {
        let Some(record) = &state.orders[order].record else {
            return true;
        };
        let has_heard = |ear: &Ear| !ear.held || ear.moved;
        let others = state.orders[order].ears.iter().enumerate();
        let mut others = others.filter(|(by, _)| *by != who(&record.holder));
        !self.genesys || state.orders[order].untold || others.all(|(_, ear)| has_heard(ear))
    }

    /// Whether nobody can pay an attempt that was declined too often, but who is at the bank.
    fn is_capped(&self, state: &State, record: &Payment) -> bool {
        let (Some(cap), Some(id), 1) = (self.cap, record.intent_id(), record.correlation.attempt)
        else {
            return true;
        };
        let is_decline = |seen: &Observation| {
            seen.intent.id == *id && seen.intent.payment_status() == PaymentStatus::Declined
        };
        let events = state.events.iter();
        let declines = events.filter(|event| is_decline(&event.seen)).count();
        // What somebody else asked to end is shut as well.
        let is_cap = |ending: Ending| ending.reason == EndReason::TooManyDeclines;
        let is_shut = record.ending.is_some_and(|ending| !is_cap(ending));
        declines < cap || !record.is_payable() || is_shut || state.is_at_bank(at(id))
    }

    fn all_agree(&self, state: &State) -> bool {
        (0..state.orders.len()).all(|order| self.agrees(state, order))
    }

    /// Whether nothing can happen any more.
    fn is_over(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.is_empty()
    }
}

/// The properties of a life; what it should be possible to reach depends on its bounds.
pub(crate) fn of(life: &Life) -> Vec<Property<Life>> {
    let mut properties = vec![
        Property::always(ONE_CHARGE, |_, state: &State| {
            (0..state.orders.len()).all(|order| {
                let intents = || state.ours().filter(|intent| intent.of.order == order);
                let live = intents()
                    .filter(|intent| intent.status != StripeStatus::Canceled)
                    .count();
                let charges = intents()
                    .filter(|intent| intent.status == StripeStatus::Succeeded)
                    .count();
                live <= 1 && charges <= 1
            })
        }),
        Property::always(ONE_TRY, |_, state: &State| !state.broken.token_tried_again),
        Property::always(OWN_ATTEMPT, |_, state: &State| {
            !state.broken.request_strayed
        }),
        Property::always(CANCELED_STAYS, |_, state: &State| {
            let mut of_canceled = state
                .ours()
                .filter(|intent| state.canceled.contains(&intent.of));
            of_canceled.all(|intent| intent.status == StripeStatus::Canceled)
        }),
        Property::always(LINK_OPENS_ITS_OWN, |_, state: &State| {
            !state.broken.secret_strayed
        }),
        Property::always(CONFIRMED_IS_PAID, |_, state: &State| {
            let is_paid =
                |intent: &AtStripe| intent.is_own() && intent.status == StripeStatus::Succeeded;
            let paid = state.paid().filter(|(_, intent)| is_paid(intent));
            paid.count() == state.confirmed().count()
        }),
        Property::always(ONE_RECORD, |_, state: &State| {
            let mut adopted: Vec<_> = state
                .records()
                .filter_map(|record| record.intent_id())
                .map(at)
                .collect();
            let all = adopted.len();
            adopted.sort_unstable();
            adopted.dedup();
            adopted.len() == all && state.confirmed().count() <= state.succeeded()
        }),
        Property::always(DYING_STAYS_SHUT, |_, state: &State| {
            !state.broken.opened_ending
        }),
        Property::always(END_IS_FINISHED, |_, state: &State| !state.broken.end_left),
        Property::always(BANK_IS_WAITED_FOR, |_, state: &State| {
            !state.broken.gave_no_way
        }),
        Property::always(CAP_ENDS, |life: &Life, state: &State| {
            !state.is_quiet() || state.records().all(|record| life.is_capped(state, record))
        }),
        Property::always(CAP_STAYS, |_, state: &State| !state.broken.cap_lifted),
        Property::always(REPLAY_ENDS_NOTHING, |_, state: &State| {
            !state.broken.end_of_the_same
        }),
        Property::always(ANSWER_IS_ASKED, |_, state: &State| {
            !state.broken.answered_other_amount
        }),
        Property::always(OTHERS_UNTOUCHED, |_, state: &State| {
            let is_own =
                |record: &Payment, at: usize| state.stripe[at].of.uid == attempt(record).uid;
            let mut records = state.records();
            !state.broken.stranger_touched
                && records.all(|record| record.intent_id().is_none_or(|id| is_own(record, at(id))))
        }),
        Property::always(ANSWER_IS_PLACED, |_, state: &State| {
            !state.broken.answered_unplaced
        }),
        Property::always(REFUSAL_LEAVES_NOTHING, |_, state: &State| {
            !state.broken.refused_placed
        }),
        Property::always(MOVED_IS_HEARD, |life: &Life, state: &State| {
            !state.is_quiet() || (0..state.orders.len()).all(|order| life.is_moved(state, order))
        }),
        Property::always(HOLDER_STAYS, |_, state: &State| {
            !state.broken.holder_told_moved
        }),
        // At every moment at which the world may stop for good, whatever it could still have done.
        Property::always(QUIET_AGREES, |life: &Life, state: &State| {
            state.is_edited() || !state.is_quiet() || life.all_agree(state)
        }),
        // And such a moment comes. The checker wants paths without cycles, which these are: every
        // step spends a bound or takes a run forward. The condition holds at their ends alone, so
        // that no agreement along the way counts.
        Property::eventually(ENDS_IN_AGREEMENT, |life: &Life, state: &State| {
            state.is_quiet() && (state.is_edited() || life.all_agree(state)) && life.is_over(state)
        }),
        Property::always(FINAL_STAYS, |_, state: &State| !state.broken.final_left),
        Property::always(NEVER_OLDER, |_, state: &State| !state.broken.heard_older),
        Property::always(NEVER_TWICE, |_, state: &State| !state.broken.told_again),
        Property::always(OPENED_IS_TRUE, |_, state: &State| {
            !state.broken.opened_by_nobody
        }),
        Property::always(OPENED_STAYS, |_, state: &State| {
            !state.broken.opened_forgotten
        }),
        Property::always(NO_CONTRADICTION, |_, state: &State| {
            state.is_edited() || !state.broken.disagreed
        }),
    ];
    // Without these the others could hold for want of anything happening.
    let left = life.left;
    let reachable = [
        (
            left.tries + left.token_posts > 0,
            Property::sometimes("an order is confirmed", |_, state: &State| {
                state.confirmed().next().is_some()
            }),
        ),
        (
            life.genesys && left.tries + left.token_posts > 0,
            Property::sometimes("Genesys is told of a confirmation", |_, state: &State| {
                state.is_quiet()
                    && state
                        .told_holder()
                        .is_some_and(|told| told.status == PaymentStatus::Confirmed)
            }),
        ),
        (
            left.token_posts > 0,
            Property::sometimes(
                "a token is charged, and confirmed on record",
                |life: &Life, state: &State| {
                    state.left.tries == life.left.tries && state.confirmed().next().is_some()
                },
            ),
        ),
        (
            left.token_posts > 1,
            Property::sometimes(
                "a token is charged after another was declined",
                |life: &Life, state: &State| {
                    let declined = |seen: &Observation| {
                        seen.intent.payment_status() == PaymentStatus::Declined
                    };
                    state.left.tries == life.left.tries
                        && state.succeeded() > 0
                        && state
                            .confirmations
                            .iter()
                            .any(|known| known.answer.as_deref().is_some_and(declined))
                },
            ),
        ),
        (
            left.token_posts > 1,
            Property::sometimes("a token comes too late", |_, state: &State| {
                state.succeeded() > 0
                    && state
                        .confirmations
                        .iter()
                        .any(|known| known.answer.is_none())
            }),
        ),
        (
            left.cancellations > 0,
            Property::sometimes(
                "an attempt that replaces a canceled one is confirmed",
                |_, state: &State| {
                    state
                        .confirmed()
                        .any(|record| record.correlation.attempt > 1)
                },
            ),
        ),
        (
            left.cancels > 0,
            Property::sometimes(
                "a request to cancel is told that it is canceled",
                |_, state: &State| !state.canceled.is_empty(),
            ),
        ),
        (
            left.cancels > 0 && left.tries > 0,
            Property::sometimes(
                "a request to cancel comes too late",
                |life: &Life, state: &State| {
                    state.left.cancels < life.left.cancels
                        && state.is_quiet()
                        && state.confirmed().next().is_some()
                },
            ),
        ),
        (
            left.cancels > 0 && left.posts + left.token_posts > 1 && left.tries > 0,
            Property::sometimes(
                "an attempt that replaces one canceled on request is confirmed",
                |_, state: &State| !state.canceled.is_empty() && state.confirmed().next().is_some(),
            ),
        ),
        (
            left.sessions > 0 && life.genesys,
            Property::sometimes(
                "Genesys is told that the link was opened",
                |_, state: &State| {
                    state.is_quiet() && state.told_holder().is_some_and(|told| told.visited)
                },
            ),
        ),
        (
            left.sessions > 0 && left.tries > 0,
            Property::sometimes(
                "an attempt whose link was opened is confirmed",
                |_, state: &State| state.confirmed().any(|record| record.visited_at.is_some()),
            ),
        ),
        (
            left.rejections > 0,
            Property::sometimes(
                "an attempt that replaces a refused one is confirmed",
                |_, state: &State| {
                    !state.refused.is_empty()
                        && state
                            .confirmed()
                            .any(|record| record.correlation.attempt > 1)
                },
            ),
        ),
        (
            left.faults > 0 && left.posts > 2,
            Property::sometimes(
                "an attempt that replaces one of a kept failure is confirmed",
                |_, state: &State| {
                    !state.kept.is_empty()
                        && state
                            .confirmed()
                            .any(|record| record.correlation.attempt > 1)
                },
            ),
        ),
        (
            left.copies > 0,
            Property::sometimes(
                "an order is confirmed that another account's intent names",
                |life: &Life, state: &State| {
                    state.left.copies < life.left.copies
                        && state.is_quiet()
                        && state.confirmed().next().is_some()
                },
            ),
        ),
        (
            left.replaces > 0 && left.tries > 0,
            Property::sometimes(
                "an attempt that replaces one for another amount is confirmed",
                |_, state: &State| {
                    state
                        .confirmed()
                        .any(|record| record.correlation.attempt > 1)
                },
            ),
        ),
        (
            life.conversations > 1 && life.genesys,
            Property::sometimes(
                "whoever held a payment before hears that it moved",
                |_, state: &State| {
                    let mut ears = state.orders.iter().flat_map(|order| order.ears);
                    state.is_quiet() && ears.any(|ear| ear.moved)
                },
            ),
        ),
        (
            left.banks > 0,
            Property::sometimes(
                "a payer who was at the bank has paid",
                |life: &Life, state: &State| {
                    state.left.banks < life.left.banks && state.confirmed().next().is_some()
                },
            ),
        ),
        (
            left.banks > 0 && left.cancels + left.replaces > 0 && life.conversations > 1,
            Property::sometimes(
                "a payer at the bank pays though somebody asked for the end",
                |life: &Life, state: &State| {
                    let is_asked = state.left.cancels < life.left.cancels
                        || state.left.replaces < life.left.replaces;
                    is_asked
                        && state.left.banks < life.left.banks
                        && state.is_quiet()
                        && state.confirmed().next().is_some()
                },
            ),
        ),
        (
            life.cap.is_some(),
            Property::sometimes(
                "an attempt ends that was declined too often",
                |_, state: &State| {
                    let mut ended = state.records().filter(|record| {
                        record.status() == PaymentStatus::Canceled && record.ending.is_some()
                    });
                    ended.any(|record| record.reason_code() == Some("too_many_declines"))
                },
            ),
        ),
        (
            left.strangers > 0 && left.tries > 0,
            Property::sometimes(
                "another deployment's order is paid beside ours",
                |_, state: &State| {
                    let mut strangers = state.stripe.iter().filter(|intent| !intent.is_own());
                    strangers.any(|intent| intent.status == StripeStatus::Succeeded)
                },
            ),
        ),
        (
            left.expiries > 0 && left.tries > 0,
            Property::sometimes(
                "an order is confirmed whose record had expired",
                |_, state: &State| {
                    state.orders.iter().any(|order| order.expired > 0)
                        && state.confirmed().next().is_some()
                },
            ),
        ),
        (
            left.edits > 0,
            Property::sometimes(
                "an edited intent is paid for the order it names",
                |_, state: &State| state.paid().any(|(order, intent)| intent.of.order != order),
            ),
        ),
        (
            left.edits > 0,
            Property::sometimes(
                "an edited intent is paid for the order it was made for",
                |_, state: &State| {
                    state
                        .paid()
                        .any(|(order, intent)| intent.names.order != order)
                },
            ),
        ),
    ];
    properties.extend(
        reachable
            .into_iter()
            .filter(|(can_be, _)| *can_be)
            .map(|(_, property)| property),
    );
    properties
}
