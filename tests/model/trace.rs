//! Which step follows which: what a run writes to the table and asks of Stripe and Genesys, in
//! order, over all states that are reached. `steps.txt` holds it, and the schedules hold the
//! functions to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::{Run, Step};

/// What was done on the way from one place of a run to another.
type Edge = (&'static str, &'static str, Vec<&'static str>, &'static str);

static EDGES: Mutex<BTreeSet<Edge>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// Where the run is that goes on now, and what it has done since; nowhere, if a rule is broken.
    static NOW: RefCell<Option<(&'static str, Vec<&'static str>)>> = const { RefCell::new(None) };
    static SEEN: RefCell<HashSet<Edge>> = RefCell::default();
}

/// A run goes on from this step, or begins.
pub(crate) fn from(step: Option<&Step>, is_broken: bool) {
    NOW.set((!is_broken).then(|| (step.map_or("start", place), Vec::new())));
}

/// It does this.
pub(crate) fn act(what: &'static str) {
    NOW.with_borrow_mut(|now| {
        if let Some((_, acts)) = now {
            acts.push(what);
        }
    });
}

/// It leaves a placement behind, in the transaction of its last write or in one of its own.
pub(crate) fn placed() {
    NOW.with_borrow_mut(|now| {
        if let Some((_, acts)) = now {
            match acts.last_mut() {
                Some(last) if *last == "save" => *last = "place",
                Some(last) if matches!(*last, "attach" | "place") => {}
                _ => acts.push("place"),
            }
        }
    });
}

/// It has come to this step, or to its end.
pub(crate) fn to(run: &Run, step: Option<&Step>) {
    let Some((from, acts)) = NOW.take() else {
        return;
    };
    let run = match run {
        Run::Post { .. } => "post",
        Run::Cancel { .. } => "cancel",
        Run::Delivery { .. } => "delivery",
        Run::Refresh => "refresh",
        Run::Session { .. } => "session",
    };
    let edge = (run, from, acts, step.map_or("over", place));
    if SEEN.with_borrow_mut(|seen| seen.insert(edge.clone())) {
        let mut edges = EDGES.lock().unwrap_or_else(PoisonError::into_inner);
        edges.insert(edge);
    }
}

/// Each step with the one before it, a line each.
pub(crate) fn pairs() -> String {
    let edges = EDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (run, ..) in edges.iter() {
        last.insert((run, "start"), ["start"].into());
    }
    let mut pairs = BTreeSet::new();
    loop {
        let known = (pairs.len(), last.values().map(BTreeSet::len).sum::<usize>());
        for (run, from, acts, to) in edges.iter() {
            let before = last.get(&(*run, *from)).cloned().unwrap_or_default();
            if let Some(first) = acts.first() {
                pairs.extend(before.iter().map(|before| (*run, *before, *first)));
            }
            pairs.extend(acts.windows(2).map(|two| (*run, two[0], two[1])));
            let after = last.entry((run, to)).or_default();
            match acts.last() {
                Some(act) => after.extend([*act]),
                None => after.extend(before),
            }
        }
        if known == (pairs.len(), last.values().map(BTreeSet::len).sum::<usize>()) {
            break;
        }
    }
    let line = |(run, before, step)| format!("{run}: {before} > {step}\n");
    let differ = |(_, before, step): &(&str, &str, &str)| before != step;
    pairs.into_iter().filter(differ).map(line).collect()
}

fn place(step: &Step) -> &'static str {
    match step {
        Step::Make(_) => "make",
        Step::AwaitTwin(_) => "await",
        Step::Reject(_) => "reject",
        Step::Confirm(..) => "confirm",
        Step::Place(_) => "place",
        Step::Cap(_) => "cap",
        Step::Cancel(_) => "cancel",
        Step::Begin(_) => "begin",
        Step::Fetch(..) => "fetch",
        Step::Read { .. } => "read",
        Step::Write { .. } => "write",
        Step::Mark(_) => "mark",
        Step::Claim(_) => "claim",
        Step::Tell(..) => "tell",
        Step::End(..) => "end",
        Step::Look(_) => "look",
    }
}
