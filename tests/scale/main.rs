//! What one call costs at 1,000 payments and at a million.
//!
//! The functions, the adapters and the engine are real; Stripe and Genesys are stand-ins that
//! answer at once. A call of a kind must ask the same of the table, and consume the same capacity,
//! however many payments there are: else this fails. Times are printed and not judged. `PAYMENTS`
//! is the greater number of payments, `ROUNDS` how often each call is made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a test program: stops where it is wrong, and prints its tables"
)]

mod drive;
mod fill;
mod meter;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::drive::{CALLS, Kind, filled};
use crate::fill::Filled;

/// The smaller number of payments.
const FEW: u64 = 1_000;

/// Numbers of the payments that are driven: above every number that the table is filled with.
const DRIVEN_FROM: u64 = 1_000_000_000_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let many = variable("PAYMENTS", 1_000_000).max(FEW);
    let rounds = variable("ROUNDS", 300).max(1);
    let with_few = measure(FEW, rounds).await;
    let with_many = measure(many, rounds).await;
    println!(
        "\n| call | requests to the table | RCU | WCU | Stripe | Genesys | ms at {FEW} | ms at {many} |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for what in CALLS {
        let (few, many) = (&with_few[what], &with_many[what]);
        let (bill, other) = (few.bill(what), many.bill(what));
        assert_eq!(
            bill, other,
            "\"{what}\" must cost the same however many payments there are; what reads them all?"
        );
        println!(
            "| {what} | {bill} | {} | {} |",
            few.p50_p99(),
            many.p50_p99()
        );
    }
    println!(
        "\nms: median / 99th percentile of {rounds} calls each. Requests and capacity were the same in every call."
    );
}

fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|_| {
            panic!("{name} must be a number such as {default}; it is {text:?}")
        }),
        _ => default,
    }
}

async fn measure(payments: u64, rounds: u64) -> BTreeMap<&'static str, Kind> {
    let (started, before) = (Instant::now(), resident_mib());
    let (mut driver, Filled { bytes, largest }) = filled(payments).await;
    let (took, memory) = (
        started.elapsed().as_secs_f64(),
        resident_mib().saturating_sub(before),
    );
    println!(
        "{payments} payments: {bytes} bytes, the largest item {largest}; {took:.1} s, {memory} MiB of memory"
    );
    // The first one makes connections and tokens.
    driver.round(DRIVEN_FROM, payments).await;
    driver.take();
    for round in 1..=rounds {
        driver.round(DRIVEN_FROM + round, payments).await;
    }
    driver.take()
}

/// Memory of this process in MiB; 0 where the system does not say.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    kib.unwrap_or(0) / 1024
}
