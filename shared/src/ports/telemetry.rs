//! What is counted. As `tracing` does for log lines, one recorder serves the whole process: the
//! edge sets it at the start, and until then nothing is counted.

use std::sync::OnceLock;

use strum::IntoStaticStr;

static RECORDER: OnceLock<fn(Metric, &str)> = OnceLock::new();

/// A metric, written as it is named in CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, strum::VariantArray)]
pub enum Metric {
    /// Answers that are problem details; the outcome is their code.
    Problems,
    /// Webhook deliveries; the outcome is what became of them.
    Webhooks,
    /// Notices to Genesys; the outcome is how they were delivered, or `refused`.
    Notices,
    /// Visits to pay links; the outcome is the link's state. Many `unknown` are somebody guessing.
    PayLinks,
    /// Observations that contradict the record. A person must look at anything above zero.
    Disagreements,
    /// Authorizations that came between the last look at an intent and its cancellation, and were
    /// released with it; the outcome is why the payment ended.
    AuthorizationsLost,
    /// Readings of a secret that failed; the outcome is the field that is not usable, `value`,
    /// `refused` or `unavailable`.
    SecretFailures,
}

/// Sets what counts. A second call changes nothing.
pub fn record_with(recorder: fn(Metric, &str)) {
    let _ = RECORDER.set(recorder);
}

pub fn count(metric: Metric, outcome: &str) {
    if let Some(record) = RECORDER.get() {
        record(metric, outcome);
    }
}
