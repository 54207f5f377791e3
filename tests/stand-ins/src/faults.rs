//! Scripted faults and gates: what goes wrong, and when a request has to wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::recorder::Recorded;

/// A test that waits longer than this for a request to arrive waits for nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which requests a fault or a gate is for. Every condition set must hold.
#[derive(Clone, Debug, Default)]
pub struct Match {
    method: Option<&'static str>,
    path_prefix: String,
    path_suffix: String,
    exact: bool,
    body: String,
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Any method, paths that begin so.
    pub fn path(prefix: &str) -> Self {
        Self {
            path_prefix: prefix.to_owned(),
            ..Self::default()
        }
    }

    /// `GET`, paths that begin so.
    pub fn get(prefix: &str) -> Self {
        Self {
            method: Some("GET"),
            ..Self::path(prefix)
        }
    }

    /// `POST`, paths that begin so.
    pub fn post(prefix: &str) -> Self {
        Self {
            method: Some("POST"),
            ..Self::path(prefix)
        }
    }

    /// `PATCH`, paths that begin so.
    pub fn patch(prefix: &str) -> Self {
        Self {
            method: Some("PATCH"),
            ..Self::path(prefix)
        }
    }

    /// The given path and nothing below it.
    pub fn exactly(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Paths that also end so, for example `/confirm`.
    pub fn ending(mut self, suffix: &str) -> Self {
        suffix.clone_into(&mut self.path_suffix);
        self
    }

    /// Bodies that contain this text as it is on the wire: a form's brackets are percent-encoded
    /// there.
    pub fn body_containing(mut self, text: &str) -> Self {
        text.clone_into(&mut self.body);
        self
    }

    fn covers(&self, request: &Recorded) -> bool {
        self.method.is_none_or(|method| method == request.method)
            && request.path.starts_with(&self.path_prefix)
            && request.path.ends_with(&self.path_suffix)
            && (!self.exact || request.path == self.path_prefix)
            && String::from_utf8_lossy(&request.body).contains(&self.body)
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.exact { "" } else { "…" };
        write!(
            f,
            "{} {}{more}{}",
            self.method.unwrap_or("*"),
            self.path_prefix,
            self.path_suffix
        )
    }
}

/// What happens to one matching request instead of a true answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another answer takes the place of the true one.
    Reply(Reply),
    /// The request is accepted and never answered; the connection stays open.
    Silent {
        /// The work is done first.
        executed: bool,
    },
    /// The connection is closed without a byte of an answer.
    Drop {
        /// The work is done first.
        executed: bool,
    },
    /// The answer announces its whole length and is cut in the middle of its body.
    Truncate {
        /// The work is done first.
        executed: bool,
    },
}

impl Fault {
    /// The service's own error for this status. Nothing is executed or saved.
    pub fn status(status: u16) -> Self {
        Reply::status(status).into()
    }

    /// A 429 that tells how long to wait. Nothing is executed or saved.
    pub fn rate_limited(retry_after_seconds: u32) -> Self {
        Reply::status(429).retry_after(retry_after_seconds).into()
    }

    /// The work is done, yet a 500 is both answered and kept under the idempotency key: every try
    /// with that key gets the same 500.
    pub fn server_error_executed() -> Self {
        Reply::status(500).executed().saved().into()
    }

    /// Nothing is done, and a 500 is kept under the idempotency key all the same.
    pub fn server_error_saved() -> Self {
        Reply::status(500).saved().into()
    }
}

/// A scripted answer. By itself it comes before any work: nothing is executed or saved.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// The service's own error for the status when absent.
    pub(crate) body: Option<String>,
    pub(crate) executed: bool,
    pub(crate) saved: bool,
}

impl Reply {
    /// The service's own error for this status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
            executed: false,
            saved: false,
        }
    }

    /// This body, sent as JSON unless a `Content-Type` is given too.
    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Retry-After` in seconds.
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header("Retry-After", &seconds.to_string())
    }

    /// `Stripe-Should-Retry`, which overrules what the status suggests.
    pub fn should_retry(self, retry: bool) -> Self {
        self.header("Stripe-Should-Retry", &retry.to_string())
    }

    /// The work is done first and its true result kept under the idempotency key; only this answer
    /// hides it, as a proxy in between would.
    pub fn executed(mut self) -> Self {
        self.executed = true;
        self
    }

    /// This answer is what is kept under the idempotency key.
    pub fn saved(mut self) -> Self {
        self.saved = true;
        self
    }
}

impl From<Reply> for Fault {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Scripted faults. A request takes the first that matches it; outages stay until they are cleared.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Script>);

#[derive(Debug, Default)]
struct Script {
    once: VecDeque<(Match, Fault)>,
    outages: Vec<(Match, Fault)>,
}

impl Faults {
    pub(crate) fn once(&self, on: Match, fault: Fault) {
        self.0.lock().unwrap().once.push_back((on, fault));
    }

    pub(crate) fn outage(&self, on: Match, fault: Fault) {
        self.0.lock().unwrap().outages.push((on, fault));
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap() = Script::default();
    }

    pub(crate) fn pending(&self) -> usize {
        self.0.lock().unwrap().once.len()
    }

    pub(crate) fn take(&self, request: &Recorded) -> Option<Fault> {
        let mut script = self.0.lock().unwrap();
        if let Some(first) = script.once.iter().position(|(on, _)| on.covers(request)) {
            return script.once.remove(first).map(|(_, fault)| fault);
        }
        let outage = script.outages.iter().find(|(on, _)| on.covers(request));
        outage.map(|(_, fault)| fault.clone())
    }
}

/// Where on its way a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Received, nothing looked at: for Stripe, its idempotency key is not taken yet.
    Arrival,
    /// Found valid and about to take effect: its idempotency key is in use.
    Execution,
    /// The work is done and its result kept, the answer not sent.
    Answer,
}

/// Holds the requests it matches. Dropping it opens it, so that a failed test does not leave one
/// hanging.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub struct Gate(Arc<Barrier>);

#[derive(Debug)]
struct Barrier {
    on: Match,
    stage: Stage,
    arrived: watch::Sender<usize>,
    /// One permit lets one request pass. Closed means the gate is open for good.
    passes: Semaphore,
}

impl Gate {
    /// Waits until `count` requests have come to the gate, those already let through included.
    ///
    /// # Panics
    ///
    /// When they do not come within 30 seconds.
    pub async fn arrived(&self, count: usize) {
        let mut arrivals = self.0.arrived.subscribe();
        let came =
            tokio::time::timeout(PATIENCE, arrivals.wait_for(|arrived| *arrived >= count)).await;
        assert!(
            came.is_ok(),
            "gate on {} at {:?}: waited {} s for {count} requests, {} came",
            self.0.on,
            self.0.stage,
            PATIENCE.as_secs(),
            *self.0.arrived.borrow(),
        );
    }

    /// How many requests have come to the gate so far.
    pub fn arrivals(&self) -> usize {
        *self.0.arrived.borrow()
    }

    /// Lets the next `count` requests through, in the order they came; the gate stays shut for the
    /// others.
    pub fn release(&self, count: usize) {
        self.0.passes.add_permits(count);
    }

    /// Lets every request through, now and later.
    pub fn open(&self) {
        self.0.passes.close();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Gates(Mutex<Vec<Arc<Barrier>>>);

impl Gates {
    pub(crate) fn set(&self, on: Match, stage: Stage) -> Gate {
        let arrived = watch::Sender::new(0);
        let barrier = Arc::new(Barrier {
            on,
            stage,
            arrived,
            passes: Semaphore::new(0),
        });
        self.0.lock().unwrap().push(Arc::clone(&barrier));
        Gate(barrier)
    }

    pub(crate) async fn pass(&self, stage: Stage, request: &Recorded) {
        for barrier in self.covering(stage, request) {
            barrier.arrived.send_modify(|arrived| *arrived += 1);
            if let Ok(permit) = barrier.passes.acquire().await {
                permit.forget();
            }
        }
    }

    fn covering(&self, stage: Stage, request: &Recorded) -> Vec<Arc<Barrier>> {
        let mut barriers = self.0.lock().unwrap();
        barriers.retain(|barrier| !barrier.passes.is_closed());
        let covering = barriers
            .iter()
            .filter(|barrier| barrier.stage == stage && barrier.on.covers(request));
        covering.cloned().collect()
    }
}
