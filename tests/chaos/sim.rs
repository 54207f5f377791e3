//! One seed's dice, its time, and what it has met so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use shared::domain::time::UnixMillis;
use shared::ports::Clock;
use tests::START;
use tokio::time::{Instant, sleep};

use crate::steps::Steps;

macro_rules! hits {
    ($($hit:ident $name:literal,)*) => {
        /// Everything that can go wrong in a schedule. A campaign that never met one of them proves
        /// nothing about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Hit { $(#[doc = $name] $hit,)* }

        impl Hit {
            pub(crate) const ALL: &[Self] = &[$(Self::$hit,)*];
        }

        impl fmt::Display for Hit {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$hit => $name,)* })
            }
        }
    };
}

hits! {
    Killed "a function killed between two awaits",
    StripeNoConnection "Stripe: no connection",
    StripeTimeoutBefore "Stripe: time-out before it acted",
    StripeTimeoutAfter "Stripe: time-out after it acted",
    StripeDroppedBefore "Stripe: answer dropped, not acted",
    StripeDroppedAfter "Stripe: answer dropped, acted",
    StripeTruncated "Stripe: answer truncated",
    Stripe409 "Stripe: 409",
    Stripe429 "Stripe: 429",
    Stripe500 "Stripe: 500",
    Stripe500Acted "Stripe: 500, acted, kept under the key",
    Stripe500Kept "Stripe: 500, not acted, kept under the key",
    Stripe503 "Stripe: 503",
    Stripe503Retry "Stripe: 503, Stripe-Should-Retry: true",
    Stripe503NoRetry "Stripe: 503, Stripe-Should-Retry: false",
    ReceiptRefused "Stripe: the receipt's address refused",
    ReceiptRefusedKept "Stripe: the receipt's address refused, kept under the key",
    SearchLags "Stripe: search index lags",
    SearchRefused "Stripe: no search",
    KeptEnded "Stripe: a kept failure ended an attempt",
    KeptAdopted "Stripe: an intent was found behind a kept failure",
    PartCaptured "Stripe: a part captured",
    AccountCopied "Stripe: another account's event with our metadata",
    GenesysNoConnection "Genesys: no connection",
    GenesysCut "Genesys: connection cut, the request arrives later",
    GenesysTimeoutBefore "Genesys: time-out before it acted",
    GenesysTimeoutAfter "Genesys: time-out after it acted",
    GenesysDroppedBefore "Genesys: answer dropped, not acted",
    GenesysDroppedAfter "Genesys: answer dropped, acted",
    GenesysTruncated "Genesys: answer truncated",
    Genesys401 "Genesys: 401, token revoked",
    Genesys429 "Genesys: 429",
    Genesys500 "Genesys: 500",
    Genesys503 "Genesys: 503",
    ConversationEnded "Genesys: conversation ended",
    CustomerHungUp "Genesys: customer hung up, agent wraps up",
    DynamoThrottled "DynamoDB: throttled",
    DynamoInternal "DynamoDB: internal error",
    DynamoTimeoutBefore "DynamoDB: time-out before it wrote",
    DynamoTimeoutAfter "DynamoDB: time-out after it wrote",
    DynamoDroppedBefore "DynamoDB: connection lost before it wrote",
    DynamoDroppedAfter "DynamoDB: connection lost after it wrote",
    DynamoTransactionConflict "DynamoDB: a transaction that meets another write",
    DynamoWriteConflict "DynamoDB: a write that meets a transaction",
    DynamoConditionFailed "DynamoDB: condition failed",
    SecretsThrottled "Secrets Manager: throttled",
    SecretsTimeout "Secrets Manager: time-out",
    SecretsDown "Secrets Manager: down for ten minutes",
    SecretsDownHeld "Secrets Manager: down, asked by who holds the secret",
    NoRandomBits "operating system: no random bits",
    WebhookLost "webhook: never delivered",
    WebhookDuplicated "webhook: duplicated",
    WebhookDelayed "webhook: delayed by a minute or more",
    WebhookReordered "webhook: after a later one",
    WebhookTied "webhook: same second as another of the intent",
    WebhookEarly "webhook: before the intent was on record",
    ClockForward "clock: set forward",
    ClockBack "clock: set back",
    StripeKeyRotated "rotation: Stripe key",
    WebhookSecretRotated "rotation: webhook secret",
    GenesysSecretRotated "rotation: Genesys secret",
    TwinRequest "caller: the same request twice at once",
    OtherAmount "caller: another amount for the order",
    NewAttempt "caller: a new attempt after CANCELED",
    OldRecord "caller: back after the idempotency key's window",
    CancelPayable "cancel: while it can be paid",
    CancelCreating "cancel: while it is being made",
    CancelTwin "cancel: twice at once",
    CancelAgain "cancel: once more",
    CancelTooLate "cancel: answered CONFIRMED",
    CancelFaulted "cancel: a fault at Stripe's /cancel",
    CancelKilled "cancel: killed",
    SecondCall "caller: the same order in another call",
    Moved "a payment moved to another conversation",
    Replaced "replace: the next attempt has the new amount",
    ReplaceLost "replace: the payment was faster",
    ReplaceGaveWay "replace: the payer was at the bank",
    CancelGaveWay "cancel: the payer was at the bank, and another call asked",
    CancelForced "cancel: by force",
    EndingFound "an end on record, found by the next request",
    EndingLifted "an end on record, taken back",
    DeclinedTooOften "too many tries declined",
    ForeignIntent "Stripe: another stack's payment of the same order",
    RecordExpired "a record expired, and its order begins anew",
    LinkOpened "pay link: opened",
    LinkPaid "pay link: opened, and paid with the client secret",
    LinkOlder "pay link: opened though there is a newer one",
    LinkExpired "pay link: expired",
    LinkCanceled "pay link: of a canceled attempt",
    LinkReplaced "pay link: of an attempt with a successor",
    LinkUnknown "pay link: unknown",
    LinkFaulted "pay link: a fault at its item",
    SessionKilled "pay link: its session killed",
    MetadataEdited "Stripe: metadata edited to name another order",
}

/// Times each thing was met.
pub(crate) type Hits = BTreeMap<Hit, u64>;

/// How rough a schedule is, drawn anew for each seed: a rule may hold in a storm because nothing
/// gets through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roughness {
    /// Of a request to Stripe, Genesys, DynamoDB or Secrets Manager, in thousandths.
    pub(crate) stripe: u64,
    pub(crate) genesys: u64,
    pub(crate) aws: u64,
    /// Of an invocation to be killed, in thousandths.
    pub(crate) kills: u64,
    /// Longest way of a request or an answer, in milliseconds.
    pub(crate) latency_ms: u64,
}

pub(crate) struct Sim {
    rng: Mutex<fastrand::Rng>,
    started: Instant,
    skew_ms: AtomicI64,
    clock_changes: AtomicU64,
    calm: AtomicBool,
    pub(crate) roughness: Roughness,
    doom: Mutex<BTreeMap<&'static str, u64>>,
    hits: Mutex<Hits>,
    steps: Mutex<BTreeSet<String>>,
    violations: Mutex<Vec<String>>,
    tracing: bool,
}

impl Sim {
    /// Must be made inside a runtime whose time is paused.
    pub(crate) fn new(seed: u64, tracing: bool) -> Arc<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut of = |levels: &[u64]| levels[rng.usize(..levels.len())];
        let roughness = Roughness {
            stripe: of(&[0, 50, 150, 400]),
            genesys: of(&[0, 50, 150, 400]),
            aws: of(&[0, 0, 20, 60, 150]),
            kills: of(&[0, 50, 150, 300]),
            latency_ms: of(&[5, 30, 30, 400]),
        };
        Arc::new(Self {
            rng: Mutex::new(rng),
            started: Instant::now(),
            skew_ms: AtomicI64::new(0),
            clock_changes: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            roughness,
            doom: Mutex::default(),
            hits: Mutex::default(),
            steps: Mutex::default(),
            violations: Mutex::default(),
            tracing,
        })
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.rng.lock().unwrap().u64(..end)
    }

    pub(crate) fn chance(&self, thousandths: u64) -> bool {
        self.below(1000) < thousandths
    }

    pub(crate) fn pick<T: Copy>(&self, among: &[T]) -> T {
        among[usize::try_from(self.below(among.len() as u64)).unwrap()]
    }

    pub(crate) fn between(&self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.below(to_ms - from_ms + 1))
    }

    pub(crate) async fn pause(&self, from_ms: u64, to_ms: u64) {
        sleep(self.between(from_ms, to_ms)).await;
    }

    /// One way of a request or an answer.
    pub(crate) async fn way(&self) {
        self.pause(
            1,
            if self.is_calm() {
                5
            } else {
                self.roughness.latency_ms
            },
        )
        .await;
    }

    /// One of these faults, or none; the more of them the likelier the rougher the schedule.
    pub(crate) fn fault<T: Copy>(&self, thousandths: u64, among: &[T]) -> Option<T> {
        (!self.is_calm() && self.chance(thousandths)).then(|| self.pick(among))
    }

    /// The next invocation of this function dies after so many waits, whatever the dice say.
    pub(crate) fn doom(&self, function: &'static str, lives: u64) {
        self.doom.lock().unwrap().insert(function, lives);
    }

    /// This function dies of the dice alone again.
    pub(crate) fn spare(&self, function: &'static str) {
        self.doom.lock().unwrap().remove(function);
    }

    /// How many waits an invocation of this function survives; `None` for all.
    pub(crate) fn lives(&self, function: &str) -> Option<u64> {
        if let Some(lives) = self.doom.lock().unwrap().remove(function) {
            return Some(lives);
        }
        let dies = !self.is_calm() && self.chance(self.roughness.kills);
        dies.then(|| 1 + self.below(40))
    }

    /// From here on nothing goes wrong any more.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
        self.skew(0);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    pub(crate) fn skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::SeqCst);
        self.clock_changes.fetch_add(1, Ordering::SeqCst);
    }

    /// How often the functions' clock was set.
    pub(crate) fn clock_changes(&self) -> u64 {
        self.clock_changes.load(Ordering::SeqCst)
    }

    /// What the clock of everybody but the functions says, in Unix seconds.
    pub(crate) fn true_second(&self) -> i64 {
        i64::try_from(START + self.started.elapsed().as_secs()).unwrap()
    }

    pub(crate) fn hit(&self, hit: Hit) {
        *self.hits.lock().unwrap().entry(hit).or_default() += 1;
        self.note(|| format!("    * {hit}"));
    }

    pub(crate) fn took(&self, pairs: BTreeSet<String>) {
        self.steps.lock().unwrap().extend(pairs);
    }

    /// Which step followed which.
    pub(crate) fn steps(&self) -> BTreeSet<String> {
        self.steps.lock().unwrap().clone()
    }

    pub(crate) fn hits(&self) -> Hits {
        self.hits.lock().unwrap().clone()
    }

    /// A line of the story, told when one seed is replayed.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if self.tracing {
            eprintln!(
                "{:>12.3} s  {}",
                self.started.elapsed().as_secs_f64(),
                line()
            );
        }
    }

    pub(crate) fn violation(&self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        self.violations.lock().unwrap().push(what);
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violation(what());
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }
}

/// The functions' clock: right, but for what it was set off by.
#[derive(Clone)]
pub(crate) struct SimClock(pub(crate) Arc<Sim>);

impl Clock for SimClock {
    fn now(&self) -> UnixMillis {
        let right = START * 1000 + u64::try_from(self.0.started.elapsed().as_millis()).unwrap();
        UnixMillis(right.saturating_add_signed(self.0.skew_ms.load(Ordering::SeqCst)))
    }
}

/// Runs a future until it is done or has been left waiting `lives` times, when it dies on the spot:
/// `None`. Its steps are taken down.
pub(crate) async fn mortal<F: Future>(
    lives: Option<u64>,
    steps: &mut Steps,
    future: F,
) -> Option<F::Output> {
    struct Mortal<'a, F> {
        future: Pin<&'a mut F>,
        lives: Option<u64>,
        steps: &'a mut Steps,
    }
    impl<F: Future> Future for Mortal<'_, F> {
        type Output = Option<F::Output>;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            if self.lives == Some(0) {
                return Poll::Ready(None);
            }
            self.steps.swap();
            let polled = self.future.as_mut().poll(context);
            self.steps.swap();
            match polled {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => {
                    self.lives = self.lives.map(|lives| lives - 1);
                    // It dies where it waits, not when it is next woken.
                    if self.lives == Some(0) {
                        Poll::Ready(None)
                    } else {
                        Poll::Pending
                    }
                }
            }
        }
    }
    Mortal {
        future: pin!(future),
        lives,
        steps,
    }
    .await
}
