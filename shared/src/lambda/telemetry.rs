//! JSON log lines and CloudWatch metrics, both on standard output, where Lambda collects them.
//!
//! Only this software speaks. Libraries would log requests, and so secrets, at `DEBUG` and `TRACE`,
//! and put what they fail with, which may quote anything, into their errors: the Lambda runtime
//! logs every error of a handler. What matters of their failures, the adapters log in words of
//! their own.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{Level, Metadata, Span, field};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::adapters::system::SystemClock;
use crate::domain::ids::{ConversationId, OrderId};
use crate::domain::payment::Payment;
use crate::ports::Clock;
use crate::ports::telemetry::record_with;

/// The CloudWatch namespace of every metric.
pub const NAMESPACE: &str = "PhonePayments";

/// The function's name, and its output.
static OUTPUT: OnceLock<(&'static str, Output)> = OnceLock::new();

type WriteBytes = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Where lines go: together where a call holds them back, each for itself elsewhere.
struct Output {
    write: WriteBytes,
    held: Mutex<Vec<u8>>,
    /// How many calls hold their lines back.
    calls: AtomicUsize,
}

impl Output {
    fn new(write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self {
            write: Box::new(write),
            held: Mutex::default(),
            calls: AtomicUsize::new(0),
        }
    }

    fn hold(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn release(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
        self.line(&[], true);
    }

    /// Adds a line to those that are held; writes them all where it is urgent or no call is under
    /// way.
    fn line(&self, line: &[u8], urgent: bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend_from_slice(line);
        if (urgent || self.calls.load(Ordering::Relaxed) == 0) && !held.is_empty() {
            (self.write)(&held);
            held.clear();
        }
    }
}

/// Starts logging and metrics for one function, whose name becomes the metric dimension `Function`.
pub fn start(function: &'static str) {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(Level::INFO);
    start_with(function, level, std::io::stdout);
    std::panic::set_hook(Box::new(|panic| {
        // The text of a panic may hold anything, and the default hook prints it. Where it happened
        // is enough to find it.
        let location = panic.location().map(ToString::to_string);
        // mutant: panic-text
        tracing::error!(code = "panic", location, "panicked");
    }));
}

/// Libraries' lines that are let through: of the runtime, the span around each request, which
/// carries the request id, and that Lambda's own API did not answer or sent what is no event. None
/// repeats an event or an answer.
const LIBRARIES: [(&str, Level); 3] = [
    ("lambda_runtime::layers::trace", Level::INFO),
    ("lambda_runtime::layers::api_client", Level::ERROR),
    ("lambda_runtime::layers::api_response", Level::ERROR),
];

/// The same with a level and a writer of choice. A second start in one process changes nothing.
pub fn start_with<W>(function: &'static str, level: Level, writer: W)
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let ours =
        ["shared", "create_intent", "stripe_webhook", "status_query"].map(|target| (target, level));
    let filter = Targets::new().with_targets(ours).with_targets(LIBRARIES);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(Lines);
    let output = Output::new(move |bytes| {
        let _ = writer.make_writer().write_all(bytes);
    });
    let _ = OUTPUT.set((function, output));
    record_with(|metric, outcome| emit(outcome, &[(metric.into(), "Count", 1)]));
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// Holds the lines of a call back, log and metrics alike: they are written in one piece where this
/// is dropped. A warning or an error does not wait, nor does what stands before it.
pub fn hold_lines() -> HeldLines {
    let output = OUTPUT.get().map(|(_, output)| output);
    if let Some(output) = output {
        output.hold();
    }
    HeldLines(output)
}

/// A call whose lines are held back.
#[must_use]
pub struct HeldLines(Option<&'static Output>);

impl Drop for HeldLines {
    fn drop(&mut self) {
        if let Some(output) = self.0 {
            output.release();
        }
    }
}

/// Takes the log's lines, each in one piece.
struct Lines;

struct Line {
    urgent: bool,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { urgent: true }
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        Line {
            urgent: *meta.level() <= Level::WARN,
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((_, output)) = OUTPUT.get() {
            output.line(bytes, self.urgent);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The span of one request: each line within it has the request's id and, once they are known, the
/// conversation and the order.
pub fn request_span(request_id: &str) -> Span {
    tracing::error_span!(
        "request",
        requestId = request_id,
        conversation_id = field::Empty,
        order_id = field::Empty
    )
}

/// Names the payment on every further line of the request.
pub fn name_payment(conversation_id: &ConversationId, order_id: Option<&OrderId>) {
    let span = Span::current();
    span.record("conversation_id", conversation_id.as_str());
    if let Some(order_id) = order_id {
        span.record("order_id", order_id.as_str());
    }
}

/// Logs where a payment stands.
pub fn log_payment(what: &str, payment: &Payment) {
    tracing::info!(
        attempt = payment.correlation.attempt,
        payment_intent_id = payment.intent_id().map(|id| id.as_str()),
        payment_status = payment.status().as_str(),
        "{what}"
    );
}

/// Counts an answer and how long it took; the outcome is its HTTP status.
pub fn count_response(status: u16, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    emit(
        &status.to_string(),
        &[
            ("Answers", "Count", 1),
            ("AnswerTime", "Milliseconds", took_ms),
        ],
    );
}

fn emit(outcome: &str, metrics: &[(&str, &str, u64)]) {
    let Some((function, output)) = OUTPUT.get() else {
        return;
    };
    let line = embedded_metrics(function, outcome, metrics, SystemClock.now().0);
    output.line(format!("{line}\n").as_bytes(), false);
}

/// One line of CloudWatch's embedded metric format.
fn embedded_metrics(
    function: &str,
    outcome: &str,
    metrics: &[(&str, &str, u64)],
    now_ms: u64,
) -> Value {
    let defined: Vec<Value> = metrics
        .iter()
        .map(|(name, unit, _)| json!({ "Name": name, "Unit": unit }))
        .collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["Function"], ["Function", "Outcome"]],
                "Metrics": defined,
            }],
        },
        "Function": function,
        "Outcome": outcome,
    });
    if let Some(fields) = line.as_object_mut() {
        fields.extend(
            metrics
                .iter()
                .map(|(name, _, value)| ((*name).to_owned(), Value::from(*value))),
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strum::VariantArray;

    use super::*;
    use crate::ports::telemetry::{Metric, count};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Memory {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// Everything this process writes from the first call on. The other tests' lines are among it.
    fn written() -> Vec<Value> {
        static MEMORY: OnceLock<Memory> = OnceLock::new();
        let memory = MEMORY.get_or_init(|| {
            let memory = Memory::default();
            start_with("of-tests", Level::TRACE, memory.clone());
            memory
        });
        // Other tests' calls may hold lines of this one's back.
        drop(hold_lines());
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The metric lines of an outcome, without the time, which must be now.
    fn metrics_of(outcome: &str) -> Vec<Value> {
        let now = SystemClock.now().0;
        let mut lines: Vec<Value> = written()
            .into_iter()
            .filter(|line| line["Outcome"] == outcome)
            .collect();
        for line in &mut lines {
            let at = line["_aws"]
                .as_object_mut()
                .unwrap()
                .remove("Timestamp")
                .unwrap()
                .as_u64()
                .unwrap();
            assert!(now.abs_diff(at) < 60_000, "in milliseconds");
        }
        lines
    }

    fn line(outcome: &str, metrics: &[(&str, &str, u64)]) -> Value {
        let mut line = embedded_metrics("of-tests", outcome, metrics, 0);
        line["_aws"].as_object_mut().unwrap().remove("Timestamp");
        line
    }

    #[test]
    fn every_metric_is_written_under_its_name_with_its_unit_and_value() {
        written();
        count_response(299, Duration::from_millis(1500));
        let metrics = [
            ("Answers", "Count", 1),
            ("AnswerTime", "Milliseconds", 1500),
        ];
        assert_eq!(metrics_of("299"), [line("299", &metrics)]);
        for metric in Metric::VARIANTS.iter().copied() {
            let name = <&str>::from(metric);
            let outcome = format!("an outcome of {name}");
            count(metric, &outcome);
            assert_eq!(
                metrics_of(&outcome),
                [line(&outcome, &[(name, "Count", 1)])]
            );
        }
    }

    #[test]
    fn the_lines_of_a_call_are_written_in_one_piece_but_for_what_is_urgent() {
        let pieces = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&pieces);
        let output = Output::new(move |bytes| {
            seen.lock()
                .unwrap()
                .push(String::from_utf8(bytes.to_vec()).unwrap())
        });
        let wrote = || std::mem::take(&mut *pieces.lock().unwrap());
        output.line(b"start\n", false);
        assert_eq!(wrote(), ["start\n"], "no call is under way");
        output.hold();
        output.line(b"log\n", false);
        output.line(b"metric\n", false);
        assert!(wrote().is_empty());
        output.line(b"error\n", true);
        assert_eq!(wrote(), ["log\nmetric\nerror\n"]);
        output.line(b"answered\n", false);
        output.line(b"metric\n", false);
        output.release();
        assert_eq!(wrote(), ["answered\nmetric\n"]);
        output.hold();
        output.release();
        assert!(
            wrote().is_empty(),
            "nothing is written where nothing was said"
        );
        output.line(b"after\n", false);
        assert_eq!(wrote(), ["after\n"]);
    }

    #[test]
    fn no_library_speaks_but_the_runtime_about_itself() {
        written();
        tracing::error!(target: "lambda_runtime::layers::panic", "of a library");
        tracing::error!(target: "aws_smithy_runtime::client", "of a library");
        tracing::warn!(target: "hyper_util::client", "of a library");
        tracing::error!(target: "reqwest::connect", "of a library");
        tracing::error!(target: "rustls::msgs", "of a library");
        tracing::warn!(target: "lambda_runtime::layers::api_client", "of a library");
        tracing::info!(target: "lambda_runtime", "of a library");
        tracing::error!(target: "anything", "of a library");
        assert!(
            !written()
                .iter()
                .any(|line| line["message"] == "of a library"),
            "{:#?}",
            written()
        );
        tracing::error!(
            target: "lambda_runtime::layers::api_client",
            "Lambda's API did not answer"
        );
        tracing::info_span!(target: "lambda_runtime::layers::trace", "invoke", requestId = "r-1")
            .in_scope(|| tracing::trace!("of ours"));
        let said = |message: &str| {
            written()
                .into_iter()
                .find(|line| line["message"] == message)
        };
        assert!(said("Lambda's API did not answer").is_some());
        assert_eq!(said("of ours").unwrap()["span"]["requestId"], "r-1");
        request_span("r-2").in_scope(|| {
            let conversation = "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a";
            let conversation_id = ConversationId::parse(conversation).unwrap();
            name_payment(&conversation_id, Some(&OrderId::parse("A-1").unwrap()));
            tracing::info!("of a request");
            let span = said("of a request").unwrap()["span"].clone();
            let names = [
                &span["requestId"],
                &span["conversation_id"],
                &span["order_id"],
            ];
            assert_eq!(names, ["r-2", conversation, "A-1"]);
        });
    }

    #[test]
    fn metrics_are_one_line_of_embedded_metric_format() {
        let metrics = [("Answers", "Count", 1), ("AnswerTime", "Milliseconds", 42)];
        assert_eq!(
            embedded_metrics("create-intent", "201", &metrics, 1_795_000_000_000),
            json!({
                "_aws": {
                    "Timestamp": 1_795_000_000_000_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "PhonePayments",
                        "Dimensions": [["Function"], ["Function", "Outcome"]],
                        "Metrics": [
                            { "Name": "Answers", "Unit": "Count" },
                            { "Name": "AnswerTime", "Unit": "Milliseconds" },
                        ],
                    }],
                },
                "Function": "create-intent",
                "Outcome": "201",
                "Answers": 1,
                "AnswerTime": 42,
            })
        );
    }
}
