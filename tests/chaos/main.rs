//! The campaign: seeded random schedules drive the three real handlers and adapters over a DynamoDB
//! engine and the Stripe and Genesys stand-ins, in memory and on virtual time, while everything
//! that can go wrong does. The six invariants are checked at every write, at every answer, and once
//! all is quiet. The same seed is the same schedule.
//!
//! `SEEDS=n` plays that many, `FROM=n` begins elsewhere, `SEED=n` tells the story of one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a campaign stops where it is wrong"
)]

mod found;
mod lines;
mod link;
mod room;
mod schedule;
mod sim;
mod steps;
mod watch;

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use schedule::{Outcome, Scene, play, play_one_death};
use sim::{Hit, Hits};

/// Schedules that `make test` plays.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().expect("a number"))
}

#[test]
fn the_invariants_hold_in_every_schedule() {
    if let Some(seed) = number("SEED") {
        let Outcome { violations, .. } = play(seed, true);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        return;
    }
    let (from, seeds) = (
        number("FROM").unwrap_or(0),
        number("SEEDS").unwrap_or(SEEDS),
    );
    let campaign = Campaign::new(from, seeds);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| campaign.work());
        }
    });
    campaign.report();
}

#[test]
fn every_function_may_die_at_every_await() {
    for (scene, function) in [
        (Scene::Token, "create-intent"),
        (Scene::Token, "status-query"),
        (Scene::Token, "stripe-webhook"),
        (Scene::ReceiptRefused { kept: false }, "create-intent"),
        (Scene::ReceiptRefused { kept: true }, "create-intent"),
        (Scene::Link, "create-intent"),
        (Scene::Link, "session"),
        (Scene::Link, "status-query"),
        (Scene::Link, "stripe-webhook"),
        (Scene::Cancel, "cancel"),
        (Scene::CancelOfTheUnfinished, "cancel"),
        (Scene::Replace, "create-intent"),
        (Scene::SecondCall, "create-intent"),
        (Scene::SecondCall, "stripe-webhook"),
        (Scene::Cancel, "status-query"),
        (Scene::Cancel, "stripe-webhook"),
    ] {
        let mut deaths = 0;
        loop {
            let (died, violations) = play_one_death(scene, function, deaths + 1);
            assert!(
                violations.is_empty(),
                "{scene:?}: {function} died at wait {}: {violations:#?}",
                deaths + 1
            );
            if !died {
                break;
            }
            deaths += 1;
        }
        eprintln!("{scene:?}: {function}, {deaths} places to die");
        assert!(deaths > 5, "{function} hardly waits");
    }
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    let told = |seed| {
        let Outcome {
            hits, invocations, ..
        } = play(seed, false);
        (hits, invocations)
    };
    for seed in 0..5 {
        assert_eq!(told(seed), told(seed), "seed {seed}");
    }
}

struct Campaign {
    from: u64,
    seeds: u64,
    next: AtomicU64,
    began: Instant,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    schedules: u64,
    invocations: u64,
    hits: Hits,
    steps: BTreeSet<String>,
    failed: Option<(u64, Vec<String>)>,
}

impl Campaign {
    fn new(from: u64, seeds: u64) -> Self {
        Self {
            from,
            seeds,
            next: AtomicU64::new(0),
            began: Instant::now(),
            done: Mutex::default(),
        }
    }

    fn work(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.seeds || self.done.lock().unwrap().failed.is_some() {
                return;
            }
            let Outcome {
                hits,
                violations,
                invocations,
                steps,
            } = play(self.from + number, false);
            let mut done = self.done.lock().unwrap();
            done.schedules += 1;
            done.invocations += invocations;
            done.steps.extend(steps);
            for (hit, times) in hits {
                *done.hits.entry(hit).or_default() += times;
            }
            if !violations.is_empty() && done.failed.is_none() {
                done.failed = Some((self.from + number, violations));
            }
            self.progress(&done);
        }
    }

    fn progress(&self, done: &Done) {
        const WIDTH: u64 = 40;
        if !stderr().is_terminal()
            || (!done.schedules.is_multiple_of(16) && done.schedules != self.seeds)
        {
            return;
        }
        let filled = usize::try_from(done.schedules * WIDTH / self.seeds.max(1)).unwrap();
        let (bar, rest) = (
            "█".repeat(filled),
            " ".repeat(usize::try_from(WIDTH).unwrap() - filled),
        );
        let seconds = self.began.elapsed().as_secs();
        let _ = write!(
            stderr(),
            "\r{bar}{rest}▏{}/{} {seconds} s ",
            done.schedules,
            self.seeds
        );
    }

    fn report(self) {
        let Done {
            schedules,
            invocations,
            hits,
            steps,
            failed,
        } = self.done.into_inner().unwrap();
        let took = self.began.elapsed();
        eprintln!(
            "\n{schedules} schedules, {invocations} invocations, {:.1} s",
            took.as_secs_f64()
        );
        for hit in Hit::ALL {
            eprintln!("{hit:<56} {:>9}", hits.get(hit).copied().unwrap_or(0));
        }
        if let Some((seed, violations)) = failed {
            panic!(
                "seed {seed} breaks what must hold: {violations:#?}\nto replay it: make chaos SEED={seed}"
            );
        }
        let unknown = steps::unknown(&steps);
        assert!(
            unknown.is_empty(),
            "the model takes no such steps, so it proves nothing about them: {unknown:#?}"
        );
        let never: Vec<String> = Hit::ALL
            .iter()
            .filter(|hit| !hits.contains_key(hit))
            .map(ToString::to_string)
            .collect();
        assert!(
            self.seeds < SEEDS || never.is_empty(),
            "never met, so nothing is proved about it: {never:#?}"
        );
    }
}
