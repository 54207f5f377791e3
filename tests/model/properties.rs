//! What must hold, numbered as the invariants it is about:
//!
//! 1. an order has at most one live intent and is never charged twice
//! 2. `CONFIRMED` means that Stripe said `succeeded` for that very intent, amount and currency
//! 3. once all is quiet, record and conversation say what Stripe says
//! 4. a final status is left by a new attempt only, and Genesys hears nothing older after something
//!    newer
//!
//! That no secret leaks (5) and that every answer comes in time (6) are not a model's matter: it
//! has neither logs nor clocks. Nor are other amounts and currencies: all intents here are for the
//! same, and the tests of [`Payment::observe`] have it refuse others.

use shared::payment::{Notice, Observation, Payment, PaymentStatus, StripeStatus};
use stateright::{Model, Property};

use crate::steps::{at, attempt};
use crate::{AtStripe, Life, Order, State};

pub(crate) const ONE_CHARGE: &str = "1: an order has one live intent and is charged once";
pub(crate) const ONE_TRY: &str = "1: a token is tried once, however often it is sent";
pub(crate) const OWN_ATTEMPT: &str =
    "1: a request charges or cancels no other attempt than it began or found";
pub(crate) const CANCELED_STAYS: &str =
    "1: nobody can pay an attempt that was answered to be canceled";
pub(crate) const LINK_OPENS_ITS_OWN: &str =
    "1: a link opens its own attempt's intent, until that is final";
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

    /// The intents of our account.
    fn ours(&self) -> impl Iterator<Item = &AtStripe> {
        self.stripe.iter().filter(|intent| intent.is_ours)
    }

    fn succeeded(&self) -> usize {
        self.ours()
            .filter(|intent| intent.status == StripeStatus::Succeeded)
            .count()
    }

    fn confirmed(&self) -> impl Iterator<Item = &Payment> {
        self.records()
            .filter(|record| record.status == PaymentStatus::Confirmed)
    }

    /// The confirmed orders, each with the intent that its record says was paid.
    fn paid(&self) -> impl Iterator<Item = (usize, &AtStripe)> {
        self.confirmed().filter_map(|record| {
            Some((
                attempt(record).order,
                &self.stripe[at(record.intent_id.as_ref()?)],
            ))
        })
    }

    /// What Genesys accepted last.
    fn told(&self, order: usize) -> Option<Notice> {
        let Order {
            heard,
            heard_opened,
            ..
        } = self.orders[order];
        Some(Notice {
            opened: heard_opened,
            ..self.notice(heard?)
        })
    }

    /// Whether metadata was edited. Which order the money is put down to is then not demanded to be
    /// right, only that it is put down once.
    fn is_edited(&self) -> bool {
        self.ours().any(|intent| intent.names != intent.of)
    }
}

impl Life {
    fn agrees(&self, state: &State, order: usize) -> bool {
        let newest = state
            .stripe
            .iter()
            .rposition(|intent| intent.of.order == order && intent.is_ours);
        let Some(record) = &state.orders[order].record else {
            return newest.is_none();
        };
        let Some(id) = &record.intent_id else {
            // Begun, but nobody has come as far as Stripe; or refused there.
            return !state.ours().any(|intent| intent.of == attempt(record));
        };
        let intent = state.intent(at(id));
        newest == Some(at(id))
            && record.stripe_status == Some(intent.status)
            && record.status == intent.payment_status()
            && (!self.genesys || self.is_told(state, order, record))
    }

    /// Whether Genesys holds what the record says. Nobody asks again on behalf of a payer who has
    /// opened a link: where a run was cut off, that may be due until the next poll or webhook.
    fn is_told(&self, state: &State, order: usize, record: &Payment) -> bool {
        let Some(told) = state.told(order) else {
            return false;
        };
        let opened = record.status == PaymentStatus::Pending && record.opened_at.is_some();
        let is_cut_off =
            state.left.deaths < self.left.deaths || state.left.refusals < self.left.refusals;
        record.intent_id.as_ref() == Some(&told.intent_id)
            && record.status == told.status
            && (told.opened == opened || (opened && is_cut_off && record.due_notice().is_some()))
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
                |intent: &AtStripe| intent.is_ours && intent.status == StripeStatus::Succeeded;
            let paid = state.paid().filter(|(_, intent)| is_paid(intent));
            paid.count() == state.confirmed().count()
        }),
        Property::always(ONE_RECORD, |_, state: &State| {
            let mut adopted: Vec<_> = state
                .records()
                .filter_map(|record| record.intent_id.as_ref())
                .map(at)
                .collect();
            let all = adopted.len();
            adopted.sort_unstable();
            adopted.dedup();
            adopted.len() == all && state.confirmed().count() <= state.succeeded()
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
            true,
            Property::sometimes("an order is confirmed", |_, state: &State| {
                state.confirmed().next().is_some()
            }),
        ),
        (
            life.genesys,
            Property::sometimes("Genesys is told of a confirmation", |_, state: &State| {
                state.is_quiet()
                    && state
                        .told(0)
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
                    state.is_quiet() && state.told(0).is_some_and(|told| told.opened)
                },
            ),
        ),
        (
            left.sessions > 0 && left.tries > 0,
            Property::sometimes(
                "an attempt whose link was opened is confirmed",
                |_, state: &State| state.confirmed().any(|record| record.opened_at.is_some()),
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
