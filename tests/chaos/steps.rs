//! What an invocation writes to the table and asks of Stripe and Genesys, step by step, in the
//! words of the model: a step that follows another here must follow it there, too.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// The steps that the model takes: `<run>: <step> > <step>`.
const KNOWN: &str = include_str!("../model/steps.txt");

/// What the model leaves out.
const LEFT_OUT: [&str; 8] = [
    // The Genesys secret cannot be read: nothing is told, and the turn is given back.
    "delivery: claim > end",
    "refresh: claim > end",
    "session: claim > end",
    // A session of a payment at work begins as a poll.
    "session: start > claim",
    "session: claim > fetch",
    "session: tell > fetch",
    "session: end > fetch",
    // A race that this transaction lost is a lost save in the model.
    "post: place > fetch",
];

thread_local! {
    /// The steps of the invocation that is polled at the moment.
    static TAKEN: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// Steps of an invocation, kept while others are polled.
#[derive(Default)]
pub(crate) struct Steps(Vec<&'static str>);

impl Steps {
    /// Makes these the steps that grow, or no longer.
    pub(crate) fn swap(&mut self) {
        TAKEN.with_borrow_mut(|taken| std::mem::swap(taken, &mut self.0));
    }

    /// Each step with the one before it, as the model writes it.
    pub(crate) fn pairs(&self, function: &str) -> BTreeSet<String> {
        let run = match function {
            "create-intent" => "post",
            "stripe-webhook" => "delivery",
            "status-query" => "refresh",
            other => other,
        };
        let before = [&"start"].into_iter().chain(&self.0);
        let pairs = before.zip(&self.0);
        pairs
            // A step that is taken again says nothing new: its answer was lost.
            .filter(|(before, step)| before != step)
            .map(|(before, step)| format!("{run}: {before} > {step}"))
            .collect()
    }
}

/// The steps that the model does not take.
pub(crate) fn unknown(pairs: &BTreeSet<String>) -> Vec<&String> {
    let known: BTreeSet<&str> = KNOWN.lines().chain(LEFT_OUT).collect();
    pairs
        .iter()
        .filter(|pair| !known.contains(pair.as_str()))
        .collect()
}

fn take(step: Option<&'static str>) {
    if let Some(step) = step {
        TAKEN.with_borrow_mut(|taken| taken.push(step));
    }
}

/// A request to DynamoDB. What only reads is part of the step before, as the turn to refresh is; the
/// settings are written before all steps.
pub(crate) fn at_the_table(operation: &str, body: &str) {
    take(match operation {
        "PutItem" if !body.contains("SETTINGS") => Some("put"),
        "TransactWriteItems" if body.contains("INTENT#") => Some("attach"),
        "TransactWriteItems" => Some("place"),
        "UpdateItem" if body.contains("ADD #notice_turn") => Some("claim"),
        "UpdateItem" if body.contains("REMOVE #notice_since") => Some("end"),
        "UpdateItem" if body.contains(":version_before") => Some("save"),
        _ => None,
    });
}

/// A request to Stripe or Genesys. To look for an intent is part of the step before; to read the
/// conversation, and to get a token for it, part of telling.
pub(crate) fn outside(method: &str, path: &str) {
    take(match (method, path) {
        ("POST", "/v1/payment_intents") => Some("make"),
        ("POST", path) if path.ends_with("/confirm") => Some("confirm"),
        ("POST", path) if path.ends_with("/cancel") => Some("cancel"),
        ("GET", path) if path.starts_with("/v1/payment_intents/pi_") => Some("fetch"),
        (_, path) if path.starts_with("/api/v2/") || path == "/oauth/token" => Some("tell"),
        _ => None,
    });
}
