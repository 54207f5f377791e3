//! The life of a payment as a model, checked exhaustively for bounded counts: requests of two
//! conversations for the same order, with and without a token, for one amount or another;
//! requests to cancel, pay links opened, webhooks and refreshes that run at the same time, step
//! by step, each of which may die between any two steps; payers who are at their bank; requests
//! to Stripe that are lost, answered too late or refused; events repeated and out of order; a
//! Genesys that refuses; metadata edited at Stripe; failures that Stripe keeps under a key;
//! another account's intent whose metadata names an order of ours; another deployment's intents
//! in our account; an order whose record has expired.
//!
//! What moves the record is the production code: [`Payment::begin`], [`Payment::observe`],
//! [`Payment::rejected`], [`Payment::next_attempt`], [`Payment::held_by`], [`Payment::end_begun`],
//! [`Payment::end_lifted`], [`Payment::visited`], [`Payment::due_notice`]. The model is what runs
//! around it: the table's conditions, the order of the steps, Stripe and Genesys. Each mutation
//! breaks one rule and must be found out.
//!
//! | file | holds |
//! |---|---|
//! | `main.rs` | what the model consists of, its bounds, the tests |
//! | `steps.rs` | what can happen, one step at a time |
//! | `properties.rs` | what must hold |

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where it is wrong"
)]

mod properties;
mod steps;
mod trace;

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ahash::RandomState;
use shared::domain::ending::EndReason;
use shared::domain::notice::DueNotice;
use shared::domain::observation::{Observation, StripeStatus};
use shared::domain::payment::{Payment, PaymentStatus};
use shared::usecases::end::AtBank;
use stateright::{Checker, HasDiscoveries, Model};

use crate::properties::{
    ANSWER_IS_ASKED, ANSWER_IS_PLACED, BANK_IS_WAITED_FOR, CANCELED_STAYS, CAP_ENDS, CAP_STAYS,
    CONFIRMED_IS_PAID, DYING_STAYS_SHUT, END_IS_FINISHED, ENDS_IN_AGREEMENT, FINAL_STAYS,
    HOLDER_STAYS, LINK_OPENS_ITS_OWN, MOVED_IS_HEARD, NEVER_OLDER, NEVER_TWICE, NO_CONTRADICTION,
    ONE_CHARGE, ONE_RECORD, ONE_TRY, OPENED_IS_TRUE, OPENED_STAYS, OTHERS_UNTOUCHED, OWN_ATTEMPT,
    QUIET_AGREES, REFUSAL_LEAVES_NOTHING, REPLAY_ENDS_NOTHING,
};

/// Millions of states are made and dropped, on every core.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much of everything may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Left {
    /// Requests without a token.
    posts: u8,
    /// Requests with a token: one that was sent before, or another.
    token_posts: u8,
    /// How many of the requests may replace what is for another amount.
    replaces: u8,
    /// The payer's own tries on the page.
    tries: u8,
    /// How many of them may send the payer to the bank.
    banks: u8,
    /// Somebody cancels an intent at Stripe.
    cancellations: u8,
    /// Requests to cancel.
    cancels: u8,
    /// The payer opens a pay link.
    sessions: u8,
    /// Stripe's clock moves on by a second.
    ticks: u8,
    /// An event is delivered once more.
    repeats: u8,
    /// Status queries that find the record stale.
    refreshes: u8,
    /// A run ends between two steps: killed, out of time, or tired of waiting.
    deaths: u8,
    /// Stripe's answer is a [`Fault`].
    faults: u8,
    /// Stripe refuses an attempt for good.
    rejections: u8,
    /// Genesys refuses.
    refusals: u8,
    /// Somebody edits an intent's metadata at Stripe so that it names the other order.
    edits: u8,
    /// Another account's intent succeeds whose metadata names an attempt of ours.
    copies: u8,
    /// Another deployment makes an intent in our account, for an attempt of the same name.
    strangers: u8,
    /// The record of a canceled order expires.
    expiries: u8,
}

/// The world in which a payment lives.
#[derive(Clone, Copy, Debug)]
struct Life {
    left: Left,
    /// How many requests, deliveries and refreshes may be under way at the same time.
    at_once: usize,
    orders: u8,
    /// The conversations that ask, each for any order.
    conversations: u8,
    /// The amounts that they ask for.
    amounts: u8,
    /// How many declined tries the first attempt takes, if the cap is to be met.
    cap: Option<usize>,
    /// Whether there is a Genesys to tell; a deployment may have none.
    genesys: bool,
    mutation: Option<Mutation>,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// A final status can be left.
    DropTheFinalGuard,
    /// What Genesys accepted is written down before it is told.
    SetNotifiedBeforeTelling,
    /// What Genesys accepted counts as what it has heard last, also while something else is told.
    KeepNotifiedWhileTelling,
    /// Whatever arrives counts as newer than what is known.
    OrderByArrival,
    /// A state replaces whatever version is there.
    ForgetTheVersion,
    /// Everybody may tell Genesys at any time.
    ForgetTheTurn,
    /// Each request to Stripe has a key of its own.
    ForgetTheIdempotencyKey,
    /// What Stripe answers once more is taken for where the intent stands.
    TrustTheReplay,
    /// What is learned of another intent counts for the record's own.
    ForgetTheIntent,
    /// An intent is adopted whether or not it belongs to somebody already.
    ForgetThePointersCondition,
    /// A token is charged on whatever attempt the order has come to.
    ChargeAnyAttempt,
    /// An end cancels whatever attempt the order has come to.
    CancelAnyAttempt,
    /// An end writes that down, and leaves Stripe alone.
    CancelTheRecordAlone,
    /// A request to cancel takes a record without an intent for an attempt without one.
    CancelWithoutOpening,
    /// A link opens whatever attempt the order has come to.
    OpenAnyAttempt,
    /// A link is opened by what the record said before Stripe was asked.
    OpenWithoutSettling,
    /// That a link was opened is written down on whatever attempt the order has come to.
    MarkAnyAttempt,
    /// That a link was opened is written down under the version before.
    MarkWithoutAVersion,
    /// That Genesys knows of an opened link is not written down.
    ForgetThatOpenedIsTold,
    /// An attempt whose key holds a failure ends without a look at whether Stripe has an intent for
    /// it.
    EndWithoutLooking,
    /// An intent that only its metadata names is adopted as the event shows it.
    BelieveTheSnapshot,
    /// Each conversation has a key of its own for the same attempt.
    AKeyForEachConversation,
    /// A request is answered with a payment for whatever amount.
    AnswerAnyAmount,
    /// A request that replaces is answered with the payment that was faster.
    AnswerWhatWon,
    /// A request to replace ends a payment that is for the very amount.
    ReplaceTheSame,
    /// A request that finds the intent on record leaves nothing behind.
    AnswerWithoutPlacing,
    /// A request leaves its order as its conversation's newest, whoever is the holder by then.
    PlaceWhoeverHolds,
    /// A link is handed out to what was open once.
    PlaceWhateverStatus,
    /// A request makes its conversation the holder before it knows whether it will be answered.
    PlaceBeforeComparing,
    /// A link is handed out to what is to end.
    PlaceOnAnEnding,
    /// A link opens what is to end.
    OpenWhatEnds,
    /// Who meets an end on record lets it be.
    LeaveTheEnd,
    /// An end that gave way stays on record.
    GiveWayWithoutLifting,
    /// An end stays on record although the payment was faster.
    KeepTheEndOfWhatWon,
    /// An end gives way to nobody.
    GiveNoWay,
    /// An end gives way as its run would with its own, whoever wrote it and why.
    GiveWayInAnyCase,
    /// A decline counts only where it is what the record knows last.
    ForgetOldDeclines,
    /// Tries are declined without an end.
    ForgetTheCap,
    /// Who held the payment before is not kept.
    ForgetTheFormerHolder,
    /// That somebody was told that the payment moved is kept when it moves again.
    KeepWhoWasTold,
    /// Whether somebody was told that the payment moved does not matter.
    TellMovedAgain,
    /// What Genesys accepted counts as forgotten when somebody else is told that the payment moved.
    ForgetNotifiedForMoved,
    /// The turn is taken by what the record said once.
    ClaimAnyVersion,
    /// A payment is known by its order alone.
    ForgetTheUid,
    /// The key names the order instead of the payment.
    KeyWithoutTheUid,
}

/// The attempt of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    order: usize,
    /// Which payment of the order: one for each life of the record, and [`STRANGER`] for another
    /// deployment's.
    uid: u8,
    /// The conversation that asked for it.
    by: usize,
    number: u32,
}

/// The uid of another deployment's payment.
const STRANGER: u8 = 9;

/// An intent at Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AtStripe {
    /// The attempt it was made for.
    of: Attempt,
    /// The attempt its metadata names.
    names: Attempt,
    /// Which of the amounts it is for.
    amount: usize,
    status: StripeStatus,
    declined: bool,
    created: u64,
    /// Whether it is in our account, where our key sees it.
    is_ours: bool,
}

/// Stripe's first answer to a token, which it repeats whenever the same key comes again. `None`:
/// the intent's state did not allow it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Confirmation {
    intent: usize,
    token: u8,
    answer: Option<Hashed<Observation>>,
}

/// A webhook event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Event {
    seen: Hashed<Observation>,
    accepted: bool,
}

/// What a conversation has heard of an order, and been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Ear {
    /// The earliest event that may have been what it accepted last.
    heard: Option<usize>,
    /// Whether it also heard that a link was opened.
    opened: bool,
    /// Whether it was told since that the payment goes on elsewhere.
    moved: bool,
    /// Whether that is written down.
    moved_sure: bool,
    /// Whether it was ever the holder.
    held: bool,
}

/// An order, as the table and the conversations have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Order {
    record: Option<Hashed<Payment>>,
    /// How many records of it have expired.
    expired: u8,
    /// Somebody has the turn to tell Genesys.
    turn: bool,
    ears: [Ear; 2],
    /// Who is on record to have accepted what was told last.
    sure: Option<usize>,
    /// Whether the payment has moved to another conversation and nobody has begun to tell of it, or
    /// whoever did was cut off: nobody is sure to tell it before the next poll.
    untold: bool,
}

/// create-intent, to make a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Post {
    by: usize,
    amount: usize,
    replace: bool,
    /// The token that is still to be charged.
    token: Option<u8>,
    /// Whether there was one.
    had_token: bool,
    /// The attempt that the request began or found.
    on: u32,
    /// Whether what Stripe answers is to be recorded together with what the request leaves.
    makes: bool,
    /// Whether it has left that.
    placed: bool,
    /// The attempt whose end it asked for, or found on record.
    met: Option<u32>,
    end: Option<End>,
}

/// How far a run has come with an attempt's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    of: u32,
    reason: EndReason,
    at_bank: Bank,
    phase: Phase,
}

/// [`AtBank`], as states have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Bank {
    Cancel,
    GiveWay,
    Wait,
}

impl From<AtBank> for Bank {
    fn from(at_bank: AtBank) -> Self {
        match at_bank {
            AtBank::Cancel => Self::Cancel,
            AtBank::GiveWay => Self::GiveWay,
            AtBank::Wait => Self::Wait,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Stripe was at work: it is asked before the end is written.
    Ask,
    /// The intent is made known.
    Know,
    /// Stripe is asked where it stands; whether the payer was at the bank.
    Look(Option<bool>),
    /// It is canceled.
    Cancel,
    /// Stripe could not cancel it, and is asked where it stands now.
    Refused,
    /// It is not on record any more.
    Over,
}

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Run {
    Post(Post),
    /// create-intent, to cancel the attempt that the request found.
    Cancel {
        end: End,
    },
    /// stripe-webhook, which shall accept this event; with an attempt that ends, as it was declined
    /// too often.
    Delivery {
        event: usize,
        end: Option<End>,
    },
    /// status-query.
    Refresh,
    /// status-query, for a link: the attempt it was made for, the intent it opens, whether that was
    /// to end when the link was opened, whether Stripe has said meanwhile that nobody can pay that
    /// any more, and whether there is nothing left but to tell Genesys.
    Session {
        of: Attempt,
        intent: usize,
        was_ending: bool,
        is_final: bool,
        telling: bool,
    },
}

/// Something under way in one function, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running {
    run: Run,
    step: Step,
}

/// What comes next; each step is what happens between two awaits. A payment is the record as this
/// run read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Ask Stripe to make the record's intent.
    Make(Hashed<Payment>),
    /// Wait until the twin that holds the key has made it.
    AwaitTwin(usize),
    /// Write down that the attempt has no intent and gets none.
    Reject(Hashed<Payment>),
    /// Ask Stripe to charge a token on the record's intent.
    Confirm(Hashed<Payment>, u8),
    /// Leave behind what an answered request leaves.
    Place(Hashed<Payment>),
    /// Write down that the attempt is to end, as it was declined too often.
    Cap(Hashed<Payment>),
    /// Ask Stripe to cancel the record's intent.
    Cancel(Hashed<Payment>),
    /// Look what the order has come to, now that an attempt has ended.
    Begin(usize),
    /// Ask Stripe how an intent stands; with the event that told of a declined try, if one did.
    Fetch(Hashed<Payment>, usize, Option<String>),
    /// Read the record an event is about; whether its pointer says so, rather than its metadata
    /// alone.
    Read {
        of: Attempt,
        seen: Hashed<Observation>,
        is_pointed_to: bool,
    },
    /// Write the next state that follows from what was seen; with `adopts`, and the intent's
    /// pointer; with `places`, and what an answered request leaves.
    Write {
        next: Hashed<Payment>,
        seen: Hashed<Observation>,
        adopts: bool,
        places: bool,
    },
    /// Write down that the payer has opened a link.
    Mark(Hashed<Payment>),
    /// Take the turn to tell Genesys.
    Claim(Hashed<Payment>),
    /// Tell Genesys.
    Tell(Hashed<Payment>, DueNotice),
    /// Write down that Genesys accepted it.
    End(usize, DueNotice),
    /// Look whether anything is due by now.
    Look(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    left: Left,
    second: u64,
    stripe: Vec<AtStripe>,
    confirmations: Vec<Confirmation>,
    /// Attempts that Stripe refuses, however often it is asked.
    refused: Vec<Attempt>,
    /// Attempts under whose key Stripe keeps a failure, however often it is asked.
    kept: Vec<Attempt>,
    /// Attempts that a request to cancel was told are canceled.
    canceled: Vec<Attempt>,
    /// Everything that was ever true at Stripe, in order.
    events: Vec<Event>,
    orders: Vec<Order>,
    /// The order that each conversation asked for last.
    newest: [Option<usize>; 2],
    /// The attempt each adopted intent belongs to, as the table has it.
    pointers: Vec<(usize, Attempt)>,
    running: Vec<Running>,
    /// Whether something happened that no later state shows.
    broken: Broken,
}

/// Rules whose breach is an event rather than a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    token_tried_again: bool,
    request_strayed: bool,
    secret_strayed: bool,
    opened_by_nobody: bool,
    opened_forgotten: bool,
    opened_ending: bool,
    end_left: bool,
    end_of_the_same: bool,
    gave_no_way: bool,
    cap_lifted: bool,
    answered_other_amount: bool,
    answered_unplaced: bool,
    refused_placed: bool,
    holder_told_moved: bool,
    stranger_touched: bool,
    final_left: bool,
    heard_older: bool,
    told_again: bool,
    disagreed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Post {
        order: usize,
        by: usize,
        amount: usize,
        replace: bool,
        token: Option<u8>,
    },
    Try(usize, PaymentStatus),
    /// In Stripe's dashboard.
    CancelIntent(usize),
    /// By the holder or with force, or by another conversation.
    Cancel(usize, Bank),
    /// The payer opens a link of this attempt.
    Open(Attempt),
    Edit(usize),
    /// Elsewhere than in our account.
    Copy(Attempt),
    /// Another deployment's order.
    Stranger(Attempt),
    /// With its intents' pointers, or without.
    Expire(usize, bool),
    Tick,
    Deliver(usize),
    Refresh {
        order: usize,
        intent: Option<usize>,
    },
    /// A run takes its step. A charge has an outcome.
    Go(usize, Option<PaymentStatus>),
    /// A run takes its step, and Stripe's answer is not what it should be.
    Fault(usize, Option<PaymentStatus>, Fault),
    Reject(usize),
    Refuse(usize),
    Die(usize),
    GiveUp(usize),
    TurnLapses(usize),
}

/// What may become of a request to Stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Lost before it is executed, limited, or refused for now: the run gives up.
    NotExecuted,
    /// Executed, but the answer does not come in time: the run gives up.
    TimedOut,
    /// Executed, but the connection breaks: it is sent once more under the same key.
    SentAgain,
    /// 409: a twin holds the key, also after the one retry.
    InUse,
    /// A failure that Stripe keeps under the key. Nothing was executed.
    Kept,
    /// The same, though it was executed.
    KeptExecuted,
}

/// A value that many states hold: cloned by reference, hashed once.
#[derive(Debug)]
struct Hashed<T>(Arc<(u64, T)>);

impl<T: Hash> Hashed<T> {
    fn new(value: T) -> Self {
        Self(Arc::new((hash(&value), value)))
    }
}

fn hash(value: &impl Hash) -> u64 {
    // Any seeds do, but they must be the same in one run.
    RandomState::with_seeds(1, 2, 3, 4).hash_one(value)
}

impl<T> Clone for Hashed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Hashed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.1
    }
}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.0);
    }
}

impl<T: PartialEq> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq> Eq for Hashed<T> {}

/// One request, and nothing else.
const ONE_POST: Left = Left {
    posts: 1,
    token_posts: 0,
    replaces: 0,
    tries: 0,
    banks: 0,
    cancellations: 0,
    cancels: 0,
    sessions: 0,
    ticks: 0,
    repeats: 0,
    refreshes: 0,
    deaths: 0,
    faults: 0,
    rejections: 0,
    refusals: 0,
    edits: 0,
    copies: 0,
    strangers: 0,
    expiries: 0,
};

const NO_POST: Left = Left {
    posts: 0,
    ..ONE_POST
};

const fn one_order(at_once: usize, left: Left) -> Life {
    Life {
        left,
        at_once,
        orders: 1,
        conversations: 1,
        amounts: 1,
        cap: None,
        genesys: true,
        mutation: None,
    }
}

/// Telling Genesys is much of what can interleave; without it there is room for more of the rest.
const fn without_genesys(orders: u8, at_once: usize, left: Left) -> Life {
    Life {
        left,
        at_once,
        orders,
        conversations: 1,
        amounts: 1,
        cap: None,
        genesys: false,
        mutation: None,
    }
}

/// The same, where two conversations ask for one order.
const fn of_two(at_once: usize, amounts: u8, left: Left) -> Life {
    Life {
        conversations: 2,
        amounts,
        ..without_genesys(1, at_once, left)
    }
}

impl Life {
    const fn with_genesys(self) -> Self {
        Self {
            genesys: true,
            ..self
        }
    }
}

/// Bounds under which every state is visited. Each set lets other things meet.
const TWO_REQUESTS_AND_A_DEATH: Life = one_order(
    2,
    Left {
        posts: 2,
        tries: 1,
        deaths: 1,
        ..NO_POST
    },
);
const TWO_TRIES_IN_ONE_SECOND: Life = one_order(
    2,
    Left {
        tries: 2,
        ..ONE_POST
    },
);
const A_REFRESH_AMONG_WEBHOOKS: Life = one_order(
    2,
    Left {
        tries: 1,
        ticks: 1,
        refreshes: 1,
        ..ONE_POST
    },
);
const GENESYS_REFUSES_AND_EVENTS_REPEAT: Life = one_order(
    2,
    Left {
        tries: 1,
        repeats: 1,
        refusals: 1,
        ..ONE_POST
    },
);
const A_CANCELLATION_AND_A_NEW_ATTEMPT: Life = one_order(
    2,
    Left {
        posts: 2,
        tries: 1,
        cancellations: 1,
        ..NO_POST
    },
);
const STRIPE_REFUSES_AND_FAILS: Life = one_order(
    2,
    Left {
        posts: 2,
        tries: 1,
        faults: 1,
        rejections: 1,
        ..NO_POST
    },
);
const A_TOKEN_AND_THE_PAYER_S_PAGE: Life = one_order(
    2,
    Left {
        token_posts: 1,
        tries: 1,
        ..NO_POST
    },
);
const TWO_TOKENS_AND_A_DEATH: Life = without_genesys(
    1,
    2,
    Left {
        token_posts: 2,
        deaths: 1,
        ..NO_POST
    },
);
const TWO_TOKENS_AND_A_FAULT: Life = without_genesys(
    1,
    2,
    Left {
        token_posts: 2,
        faults: 1,
        ..NO_POST
    },
);
const THREE_AT_ONCE: Life = one_order(
    3,
    Left {
        token_posts: 1,
        faults: 1,
        ..ONE_POST
    },
);
const ONE_AFTER_THE_OTHER: Life = one_order(
    1,
    Left {
        token_posts: 2,
        refreshes: 1,
        faults: 1,
        refusals: 1,
        ..ONE_POST
    },
);
/// A status that comes back, after a death left unwritten that Genesys accepted what lay between.
const A_DEATH_AMONG_TWO_TRIES: Life = one_order(
    1,
    Left {
        tries: 2,
        refreshes: 1,
        deaths: 1,
        refusals: 1,
        ..ONE_POST
    },
);
const EDITED_METADATA: Life = without_genesys(
    2,
    2,
    Left {
        posts: 2,
        tries: 1,
        deaths: 1,
        edits: 1,
        ..NO_POST
    },
);
const EDITED_METADATA_AND_A_REFRESH: Life = without_genesys(
    2,
    1,
    Left {
        posts: 2,
        token_posts: 1,
        refreshes: 1,
        deaths: 2,
        edits: 1,
        ..NO_POST
    },
);
const A_CANCEL_AMONG_WEBHOOKS: Life = one_order(
    2,
    Left {
        tries: 1,
        cancels: 1,
        ..ONE_POST
    },
);
const A_CANCEL_AND_A_DEATH: Life = without_genesys(
    1,
    2,
    Left {
        posts: 2,
        tries: 1,
        cancels: 1,
        deaths: 1,
        ..NO_POST
    },
);
const TWO_CANCELS_AND_A_FAULT: Life = without_genesys(
    1,
    2,
    Left {
        tries: 1,
        cancels: 2,
        faults: 1,
        ..ONE_POST
    },
);
const TWO_CANCELS_AND_A_NEW_ATTEMPT: Life = without_genesys(
    1,
    2,
    Left {
        posts: 2,
        tries: 1,
        cancels: 2,
        ..NO_POST
    },
);
const THREE_AT_ONCE_AND_A_CANCEL: Life = without_genesys(
    1,
    3,
    Left {
        posts: 2,
        cancels: 2,
        ..NO_POST
    },
);
const A_TOKEN_AND_A_CANCEL: Life = without_genesys(
    1,
    2,
    Left {
        token_posts: 1,
        cancels: 1,
        faults: 1,
        ..ONE_POST
    },
);
const A_CANCEL_OF_WHAT_STRIPE_REFUSES: Life = without_genesys(
    1,
    2,
    Left {
        posts: 2,
        tries: 1,
        cancels: 1,
        rejections: 1,
        ..NO_POST
    },
);
const A_KEPT_FAILURE: Life = without_genesys(
    1,
    2,
    Left {
        posts: 3,
        tries: 1,
        faults: 1,
        ..NO_POST
    },
);
const A_KEPT_FAILURE_AND_A_CANCEL: Life = without_genesys(
    1,
    2,
    Left {
        posts: 2,
        tries: 1,
        cancels: 1,
        faults: 1,
        deaths: 1,
        ..NO_POST
    },
);
const A_COPIED_INTENT: Life = without_genesys(
    1,
    2,
    Left {
        posts: 2,
        tries: 1,
        deaths: 1,
        copies: 1,
        ..NO_POST
    },
);
const A_LINK_AND_A_DEATH: Life = one_order(
    2,
    Left {
        tries: 1,
        sessions: 1,
        deaths: 1,
        ..ONE_POST
    },
);
const A_LINK_AND_A_REFRESH: Life = one_order(
    2,
    Left {
        tries: 1,
        sessions: 1,
        refreshes: 1,
        ..ONE_POST
    },
);
const TWO_LINKS_AT_ONCE: Life = one_order(
    2,
    Left {
        tries: 1,
        sessions: 2,
        ..ONE_POST
    },
);
const A_LINK_AND_A_NEW_ATTEMPT: Life = without_genesys(
    1,
    2,
    Left {
        posts: 2,
        tries: 1,
        cancels: 1,
        sessions: 1,
        ..NO_POST
    },
);
const A_LINK_AND_A_REFUSAL: Life = one_order(
    1,
    Left {
        posts: 2,
        tries: 1,
        cancels: 1,
        sessions: 1,
        refusals: 1,
        ..NO_POST
    },
);

const TWO_CONVERSATIONS_AND_A_DEATH: Life = of_two(
    2,
    1,
    Left {
        posts: 2,
        tries: 1,
        deaths: 1,
        ..NO_POST
    },
);
const TWO_CONVERSATIONS_TO_TELL: Life = of_two(
    2,
    1,
    Left {
        posts: 2,
        tries: 1,
        refreshes: 1,
        ..NO_POST
    },
)
.with_genesys();
const A_CALL_THAT_COMES_BACK: Life = of_two(
    1,
    1,
    Left {
        posts: 4,
        refreshes: 2,
        deaths: 1,
        ..NO_POST
    },
)
.with_genesys();
const A_CALL_THAT_COMES_BACK_MEANWHILE: Life = of_two(
    2,
    1,
    Left {
        posts: 3,
        refreshes: 1,
        deaths: 1,
        ..NO_POST
    },
)
.with_genesys();
const TWO_CONVERSATIONS_AND_TWO_TOKENS: Life = of_two(
    2,
    1,
    Left {
        token_posts: 2,
        ..NO_POST
    },
);
const A_TOKEN_AND_A_REPLACE: Life = of_two(
    2,
    2,
    Left {
        posts: 1,
        token_posts: 1,
        replaces: 1,
        ..NO_POST
    },
);
const A_REPLACE_AND_A_TRY: Life = of_two(
    2,
    2,
    Left {
        posts: 2,
        replaces: 1,
        tries: 1,
        ..NO_POST
    },
);
const A_REPLACE_AND_A_DEATH: Life = of_two(
    1,
    2,
    Left {
        posts: 3,
        replaces: 1,
        tries: 1,
        deaths: 1,
        ..NO_POST
    },
);
const A_REPLACE_MEANWHILE_AND_A_DEATH: Life = of_two(
    2,
    2,
    Left {
        posts: 3,
        replaces: 1,
        deaths: 1,
        ..NO_POST
    },
);
const A_REPLACE_AND_A_CANCEL: Life = of_two(
    2,
    2,
    Left {
        posts: 2,
        replaces: 1,
        cancels: 1,
        tries: 1,
        ..NO_POST
    },
);
const TWO_REPLACES: Life = of_two(
    2,
    2,
    Left {
        posts: 3,
        replaces: 2,
        ..NO_POST
    },
);
const A_REPLACE_AND_A_FAULT: Life = of_two(
    2,
    2,
    Left {
        posts: 2,
        replaces: 1,
        tries: 1,
        faults: 1,
        ..NO_POST
    },
);
const TWO_ENDS_AT_THE_BANK: Life = of_two(
    2,
    1,
    Left {
        posts: 1,
        cancels: 2,
        tries: 1,
        banks: 1,
        ..NO_POST
    },
);
const A_REPLACE_AT_THE_BANK: Life = of_two(
    2,
    2,
    Left {
        posts: 2,
        replaces: 1,
        tries: 1,
        banks: 1,
        ..NO_POST
    },
);
const AN_END_AND_A_DEATH_AT_THE_BANK: Life = of_two(
    1,
    2,
    Left {
        posts: 2,
        replaces: 1,
        cancels: 1,
        tries: 1,
        banks: 1,
        deaths: 1,
        ..NO_POST
    },
);
const A_LINK_AND_AN_END: Life = of_two(
    2,
    1,
    Left {
        posts: 2,
        cancels: 1,
        sessions: 1,
        ..NO_POST
    },
);
const TOO_MANY_DECLINES: Life = Life {
    cap: Some(1),
    ..of_two(
        2,
        1,
        Left {
            tries: 2,
            banks: 1,
            ..ONE_POST
        },
    )
};
const TOO_MANY_DECLINES_AND_A_DEATH: Life = Life {
    cap: Some(1),
    ..of_two(
        1,
        1,
        Left {
            posts: 2,
            tries: 2,
            banks: 1,
            deaths: 1,
            ..NO_POST
        },
    )
};
const TOO_MANY_DECLINES_AND_AN_END: Life = Life {
    cap: Some(1),
    ..of_two(
        1,
        1,
        Left {
            tries: 2,
            banks: 1,
            cancels: 1,
            ..ONE_POST
        },
    )
};
const TWO_DEPLOYMENTS: Life = of_two(
    2,
    1,
    Left {
        posts: 1,
        tries: 1,
        cancels: 1,
        strangers: 1,
        ..NO_POST
    },
);
const TWO_DEPLOYMENTS_AND_A_KEPT_FAILURE: Life = of_two(
    2,
    1,
    Left {
        posts: 2,
        strangers: 1,
        refreshes: 1,
        faults: 1,
        ..NO_POST
    },
);
const AN_EXPIRED_RECORD: Life = of_two(
    2,
    1,
    Left {
        posts: 2,
        cancels: 1,
        tries: 1,
        expiries: 1,
        ..NO_POST
    },
);

const A_LINK_OF_AN_EXPIRED_RECORD: Life = of_two(
    1,
    1,
    Left {
        posts: 2,
        cancels: 1,
        sessions: 1,
        expiries: 1,
        ..NO_POST
    },
);

const LIVES: &[Life] = &[
    TWO_REQUESTS_AND_A_DEATH,
    TWO_TRIES_IN_ONE_SECOND,
    A_REFRESH_AMONG_WEBHOOKS,
    GENESYS_REFUSES_AND_EVENTS_REPEAT,
    A_CANCELLATION_AND_A_NEW_ATTEMPT,
    STRIPE_REFUSES_AND_FAILS,
    A_TOKEN_AND_THE_PAYER_S_PAGE,
    TWO_TOKENS_AND_A_DEATH,
    TWO_TOKENS_AND_A_FAULT,
    THREE_AT_ONCE,
    ONE_AFTER_THE_OTHER,
    A_DEATH_AMONG_TWO_TRIES,
    EDITED_METADATA,
    EDITED_METADATA_AND_A_REFRESH,
    A_CANCEL_AMONG_WEBHOOKS,
    A_CANCEL_AND_A_DEATH,
    TWO_CANCELS_AND_A_FAULT,
    TWO_CANCELS_AND_A_NEW_ATTEMPT,
    THREE_AT_ONCE_AND_A_CANCEL,
    A_TOKEN_AND_A_CANCEL,
    A_CANCEL_OF_WHAT_STRIPE_REFUSES,
    A_KEPT_FAILURE,
    A_KEPT_FAILURE_AND_A_CANCEL,
    A_COPIED_INTENT,
    A_LINK_AND_A_DEATH,
    A_LINK_AND_A_REFRESH,
    TWO_LINKS_AT_ONCE,
    A_LINK_AND_A_NEW_ATTEMPT,
    A_LINK_AND_A_REFUSAL,
    TWO_CONVERSATIONS_AND_A_DEATH,
    TWO_CONVERSATIONS_TO_TELL,
    A_CALL_THAT_COMES_BACK,
    A_CALL_THAT_COMES_BACK_MEANWHILE,
    TWO_CONVERSATIONS_AND_TWO_TOKENS,
    A_TOKEN_AND_A_REPLACE,
    A_REPLACE_AND_A_TRY,
    A_REPLACE_AND_A_DEATH,
    A_REPLACE_MEANWHILE_AND_A_DEATH,
    A_REPLACE_AND_A_CANCEL,
    TWO_REPLACES,
    A_REPLACE_AND_A_FAULT,
    TWO_ENDS_AT_THE_BANK,
    A_REPLACE_AT_THE_BANK,
    AN_END_AND_A_DEATH_AT_THE_BANK,
    A_LINK_AND_AN_END,
    TOO_MANY_DECLINES,
    TOO_MANY_DECLINES_AND_A_DEATH,
    TOO_MANY_DECLINES_AND_AN_END,
    TWO_DEPLOYMENTS,
    TWO_DEPLOYMENTS_AND_A_KEPT_FAILURE,
    AN_EXPIRED_RECORD,
    A_LINK_OF_AN_EXPIRED_RECORD,
];

/// Two at a time, each on one core.
#[test]
fn the_invariants_hold_in_every_state() {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(life) = LIVES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checker = life.checker().threads(1).spawn_bfs().join();
                    eprintln!("{} states {life:?}", checker.unique_state_count());
                    checker.assert_properties();
                }
            });
        }
    });
    let pairs = trace::pairs();
    assert!(
        pairs == include_str!("steps.txt"),
        "steps.txt must name the steps that the model takes:\n{pairs}"
    );
}

/// Also the other way round: a property that no mutation breaks could not fail.
#[test]
fn every_mutation_is_found_out_by_the_property_it_breaks() {
    let broken = [
        (
            Mutation::DropTheFinalGuard,
            TWO_TRIES_IN_ONE_SECOND,
            FINAL_STAYS,
        ),
        (
            Mutation::SetNotifiedBeforeTelling,
            TWO_REQUESTS_AND_A_DEATH,
            QUIET_AGREES,
        ),
        (
            Mutation::SetNotifiedBeforeTelling,
            TWO_REQUESTS_AND_A_DEATH,
            ENDS_IN_AGREEMENT,
        ),
        (
            Mutation::KeepNotifiedWhileTelling,
            A_DEATH_AMONG_TWO_TRIES,
            QUIET_AGREES,
        ),
        (
            Mutation::OrderByArrival,
            TWO_TRIES_IN_ONE_SECOND,
            NEVER_OLDER,
        ),
        (
            Mutation::ForgetTheVersion,
            A_REFRESH_AMONG_WEBHOOKS,
            FINAL_STAYS,
        ),
        (
            Mutation::ForgetTheTurn,
            TWO_TRIES_IN_ONE_SECOND,
            NEVER_OLDER,
        ),
        (
            Mutation::ForgetTheIdempotencyKey,
            TWO_REQUESTS_AND_A_DEATH,
            ONE_CHARGE,
        ),
        (
            Mutation::ForgetTheIdempotencyKey,
            TWO_REQUESTS_AND_A_DEATH,
            NO_CONTRADICTION,
        ),
        (
            Mutation::ForgetTheIdempotencyKey,
            TWO_TOKENS_AND_A_FAULT,
            ONE_TRY,
        ),
        (
            Mutation::TrustTheReplay,
            TWO_TOKENS_AND_A_FAULT,
            QUIET_AGREES,
        ),
        (
            Mutation::ForgetTheIntent,
            EDITED_METADATA,
            CONFIRMED_IS_PAID,
        ),
        (
            Mutation::ForgetThePointersCondition,
            EDITED_METADATA,
            ONE_RECORD,
        ),
        (
            Mutation::ChargeAnyAttempt,
            A_TOKEN_AND_A_CANCEL,
            OWN_ATTEMPT,
        ),
        (
            Mutation::CancelAnyAttempt,
            TWO_CANCELS_AND_A_NEW_ATTEMPT,
            OWN_ATTEMPT,
        ),
        (
            Mutation::CancelTheRecordAlone,
            A_CANCEL_AND_A_DEATH,
            CANCELED_STAYS,
        ),
        (
            Mutation::CancelWithoutOpening,
            A_CANCEL_AND_A_DEATH,
            CANCELED_STAYS,
        ),
        (
            Mutation::OpenAnyAttempt,
            A_LINK_AND_A_NEW_ATTEMPT,
            LINK_OPENS_ITS_OWN,
        ),
        (
            Mutation::OpenWithoutSettling,
            A_LINK_AND_A_REFRESH,
            LINK_OPENS_ITS_OWN,
        ),
        (
            Mutation::MarkAnyAttempt,
            A_LINK_AND_A_NEW_ATTEMPT,
            OPENED_IS_TRUE,
        ),
        (
            Mutation::MarkWithoutAVersion,
            A_LINK_AND_A_REFRESH,
            OPENED_STAYS,
        ),
        (
            Mutation::ForgetThatOpenedIsTold,
            A_LINK_AND_A_REFRESH,
            NEVER_TWICE,
        ),
        (Mutation::EndWithoutLooking, A_KEPT_FAILURE, ONE_CHARGE),
        (
            Mutation::EndWithoutLooking,
            A_KEPT_FAILURE_AND_A_CANCEL,
            CANCELED_STAYS,
        ),
        (
            Mutation::BelieveTheSnapshot,
            A_COPIED_INTENT,
            CONFIRMED_IS_PAID,
        ),
        (
            Mutation::AKeyForEachConversation,
            TWO_CONVERSATIONS_AND_A_DEATH,
            ONE_CHARGE,
        ),
        (
            Mutation::CancelTheRecordAlone,
            A_REPLACE_AND_A_TRY,
            ONE_CHARGE,
        ),
        (
            Mutation::AnswerAnyAmount,
            A_REPLACE_AND_A_TRY,
            ANSWER_IS_ASKED,
        ),
        (
            Mutation::AnswerWhatWon,
            A_REPLACE_AND_A_TRY,
            ANSWER_IS_ASKED,
        ),
        (
            Mutation::ChargeAnyAttempt,
            A_TOKEN_AND_A_REPLACE,
            ANSWER_IS_ASKED,
        ),
        (
            Mutation::ReplaceTheSame,
            A_REPLACE_AND_A_TRY,
            REPLAY_ENDS_NOTHING,
        ),
        (
            Mutation::AnswerWithoutPlacing,
            TWO_CONVERSATIONS_AND_A_DEATH,
            ANSWER_IS_PLACED,
        ),
        (
            Mutation::PlaceWhoeverHolds,
            TWO_CONVERSATIONS_TO_TELL,
            ANSWER_IS_PLACED,
        ),
        (
            Mutation::PlaceBeforeComparing,
            A_REPLACE_AND_A_TRY,
            REFUSAL_LEAVES_NOTHING,
        ),
        (
            Mutation::PlaceOnAnEnding,
            A_LINK_AND_AN_END,
            DYING_STAYS_SHUT,
        ),
        (
            Mutation::PlaceWhateverStatus,
            TWO_CONVERSATIONS_AND_A_DEATH,
            DYING_STAYS_SHUT,
        ),
        (
            Mutation::ForgetTheUid,
            A_LINK_OF_AN_EXPIRED_RECORD,
            LINK_OPENS_ITS_OWN,
        ),
        (Mutation::OpenWhatEnds, A_LINK_AND_AN_END, DYING_STAYS_SHUT),
        (
            Mutation::LeaveTheEnd,
            A_REPLACE_AND_A_DEATH,
            END_IS_FINISHED,
        ),
        (
            Mutation::GiveWayWithoutLifting,
            A_REPLACE_AT_THE_BANK,
            END_IS_FINISHED,
        ),
        (
            Mutation::KeepTheEndOfWhatWon,
            A_REPLACE_AND_A_TRY,
            END_IS_FINISHED,
        ),
        (
            Mutation::GiveNoWay,
            TWO_ENDS_AT_THE_BANK,
            BANK_IS_WAITED_FOR,
        ),
        (Mutation::ForgetOldDeclines, TOO_MANY_DECLINES, CAP_ENDS),
        (
            Mutation::GiveWayInAnyCase,
            TOO_MANY_DECLINES_AND_AN_END,
            CAP_STAYS,
        ),
        (Mutation::ForgetTheCap, TOO_MANY_DECLINES, CAP_ENDS),
        (
            Mutation::ForgetTheFormerHolder,
            TWO_CONVERSATIONS_TO_TELL,
            MOVED_IS_HEARD,
        ),
        (
            Mutation::KeepWhoWasTold,
            A_CALL_THAT_COMES_BACK,
            MOVED_IS_HEARD,
        ),
        (
            Mutation::TellMovedAgain,
            TWO_CONVERSATIONS_TO_TELL,
            NEVER_TWICE,
        ),
        (
            Mutation::ForgetNotifiedForMoved,
            TWO_CONVERSATIONS_TO_TELL,
            NEVER_TWICE,
        ),
        (
            Mutation::ClaimAnyVersion,
            A_CALL_THAT_COMES_BACK_MEANWHILE,
            HOLDER_STAYS,
        ),
        (Mutation::ForgetTheUid, TWO_DEPLOYMENTS, OTHERS_UNTOUCHED),
        (Mutation::ForgetTheUid, AN_EXPIRED_RECORD, OTHERS_UNTOUCHED),
        (
            Mutation::KeyWithoutTheUid,
            TWO_DEPLOYMENTS,
            NO_CONTRADICTION,
        ),
        (
            Mutation::KeyWithoutTheUid,
            AN_EXPIRED_RECORD,
            NO_CONTRADICTION,
        ),
    ];
    for (mutation, life, property) in broken {
        let mutated = Life {
            mutation: Some(mutation),
            ..life
        };
        let until = HasDiscoveries::AnyOf([property].into());
        let checker = mutated
            .checker()
            .threads(2)
            .finish_when(until)
            .spawn_bfs()
            .join();
        let Some(found) = checker.discovery(property) else {
            panic!("{mutation:?} does not break \"{property}\"")
        };
        eprintln!(
            "{mutation:?} breaks \"{property}\" within {} steps",
            found.into_actions().len()
        );
    }
    let unbroken = properties::of(&ONE_AFTER_THE_OTHER)
        .into_iter()
        .filter(|property| {
            property.expectation.discovery_is_failure()
                && broken.iter().all(|(.., name)| *name != property.name)
        });
    assert_eq!(
        unbroken.map(|property| property.name).collect::<Vec<_>>(),
        [""; 0]
    );
}
