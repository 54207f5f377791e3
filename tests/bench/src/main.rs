//! Runs one command as Lambda runs a function, gives it one call after another, checks every
//! answer, and prints what it took as one line of JSON.
//!
//!     bench-run --job NAME --calls N [--tls] --folder FOLDER -- COMMAND ARGUMENT...
//!
//! The first of the N calls begins with the process; the others are warm. The outside systems are
//! served by this program, on loopback ports. FOLDER gets the command's output and, with `--tls`,
//! the certificate of the authority to trust. With `valgrind` before the command the counts of
//! requests hold as well, and the times do not.

#![allow(clippy::print_stdout, reason = "its output is its result")]
#![allow(
    clippy::indexing_slicing,
    reason = "only JSON is indexed, and what is missing there is null"
)]

mod job;
mod outside;
mod process;
mod runtime_api;
mod serve;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use job::Job;
use outside::{Counts, Outside, Side};
use process::{Process, cpu_between, tail};
use runtime_api::{RuntimeApi, Told};

/// The longest that the process may take to its next word. Under valgrind everything takes long.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to look whether the process is still there.
const LOOK: Duration = Duration::from_millis(100);

/// What the command line asks for.
struct Asked {
    job: Job,
    calls: usize,
    tls: bool,
    folder: PathBuf,
    command: Vec<String>,
}

/// In one thread, so that the process under measurement has the other core to itself.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<Value, String> {
    let asked = read(std::env::args().skip(1))?;
    let log = asked.folder.join("output.log");
    let measured = measure(&asked).await;
    measured.map_err(|error| format!("{error}\nthe end of {}:\n{}", log.display(), tail(&log)))
}

fn read(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut job, mut calls, mut folder, mut tls) = (None, None, None, false);
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} must have a value; it has none"))
        };
        match argument.as_str() {
            "--job" => job = Some(Job::parse(&value()?)?),
            "--calls" => {
                let text = value()?;
                let read = text.parse().ok().filter(|calls| *calls > 0);
                calls =
                    Some(read.ok_or_else(|| {
                        format!("--calls must be a number above 0; it is {text:?}")
                    })?);
            }
            "--folder" => folder = Some(PathBuf::from(value()?)),
            "--tls" => tls = true,
            "--" => break,
            _ => {
                return Err(format!(
                    "{argument:?} must be --job, --calls, --tls, --folder or --"
                ));
            }
        }
    }
    let missing = |name: &str| format!("{name} must be given; it is not");
    Ok(Asked {
        job: job.ok_or_else(|| missing("--job"))?,
        calls: calls.ok_or_else(|| missing("--calls"))?,
        folder: folder.ok_or_else(|| missing("--folder"))?,
        tls,
        command: arguments.collect(),
    })
}

async fn measure(asked: &Asked) -> Result<Value, String> {
    let Asked { job, calls, .. } = *asked;
    let outside = Arc::new(Outside::default());
    job::settle(&outside)?;
    let (mut api, mut env) = environment(asked, &outside).await?;
    env.extend(
        job.variables()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    );
    let mut process = Process::start(&asked.command, &env, &asked.folder.join("output.log"))?;

    let (mut polled_at, mut ready) = next(&mut api, &mut process).await?;
    let first_poll = polled_at.duration_since(process.started);
    let init = outside.state().counts;
    let (mut first, mut warm, mut uneven) = (Counts::default(), None, 0_u64);
    let (mut first_answer, mut warm_times) = (Duration::ZERO, Vec::new());
    let mut cpu_before = BTreeMap::new();
    for n in 0..calls {
        let before = outside.state().counts;
        let event = job.event(n, &outside)?.to_string();
        let sent_at = Instant::now();
        ready
            .send(event)
            .map_err(|_| "the process must wait for its event; it has gone away")?;
        let (answered_at, answer) = match heard(&mut api, &mut process).await? {
            Told::Answer { at, body } => (at, body),
            Told::Failure { body } => {
                return Err(format!("call {n} must succeed; it failed: {body}"));
            }
            Told::Ready { .. } => {
                return Err(format!(
                    "call {n} must be answered; the next was asked for instead"
                ));
            }
        };
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|_| format!("the answer to call {n} must be JSON; it is {answer:?}"))?;
        (polled_at, ready) = next(&mut api, &mut process).await?;
        if polled_at < answered_at {
            return Err(format!(
                "call {n} was answered after the next was asked for"
            ));
        }
        let state = outside.state();
        if !state.complaints.is_empty() {
            return Err(format!("call {n}: {}", state.complaints.join("; ")));
        }
        job.check(n, &answer, &state)
            .map_err(|error| format!("call {n} was answered wrongly: {error}"))?;
        let came = state.counts.since(before);
        drop(state);
        if n == 0 {
            first = came;
            first_answer = answered_at.duration_since(process.started);
            cpu_before = process.cpu_ns()?;
            continue;
        }
        warm_times.push(answered_at.duration_since(sent_at).as_nanos());
        if came != *warm.get_or_insert(came) {
            uneven += 1;
        }
    }
    let cpu_ns = cpu_between(&cpu_before, &process.cpu_ns()?)?;
    let peak_kib = process.peak_kib()?;
    process.end()?;
    Ok(json!({
        "first_poll_ns": first_poll.as_nanos(),
        "first_answer_ns": first_answer.as_nanos(),
        "warm_ns": warm_times,
        "warm_cpu_ns": cpu_ns,
        "peak_kib": peak_kib,
        // Warm calls that sent other requests than the first of them, as after a time-out.
        "uneven_calls": uneven,
        "connections": outside.state().connections.json(),
        "requests": {
            "init": init.json(), "first": first.json(), "warm": warm.unwrap_or_default().json(),
        },
    }))
}

/// Starts everything around the process, and gives the variables that lead it there.
async fn environment(
    asked: &Asked,
    outside: &Arc<Outside>,
) -> Result<(RuntimeApi, BTreeMap<String, String>), String> {
    let no_port = |error| format!("no loopback port to serve on: {error}");
    let ca_file = asked.folder.join("ca.pem");
    let tls = if asked.tls {
        Some(serve::tls(&ca_file)?)
    } else {
        None
    };
    let scheme = if asked.tls { "https" } else { "http" };
    let mut env = BTreeMap::new();
    for (variable, side) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", Side::DynamoDb),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", Side::SecretsManager),
        ("STRIPE_API_BASE", Side::Stripe),
        ("GENESYS_API_BASE", Side::Genesys),
        ("GENESYS_LOGIN_BASE", Side::Genesys),
    ] {
        let noted = Arc::clone(outside);
        let connected = move || noted.connected(side);
        let served = serve::serve(outside.router(side), tls.clone(), connected).await;
        let address: SocketAddr = served.map_err(no_port)?;
        env.insert(variable.to_owned(), format!("{scheme}://{address}"));
    }
    if asked.tls {
        for variable in ["EXTRA_CA_CERTS", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE"] {
            env.insert(variable.to_owned(), ca_file.display().to_string());
        }
    }
    let (api, app) = RuntimeApi::new();
    let address = serve::serve(app, None, || {}).await.map_err(no_port)?;
    for (variable, value) in [
        ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "benchmark"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/benchmark"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        (
            "AWS_LAMBDA_LOG_STREAM_NAME",
            "2026/11/22/[$LATEST]benchmark",
        ),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "ASIABENCHMARK"),
        ("AWS_SECRET_ACCESS_KEY", "benchmark"),
        ("AWS_SESSION_TOKEN", "benchmark"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
    ] {
        env.insert(variable.to_owned(), value.to_owned());
    }
    Ok((api, env))
}

/// The next word of the process.
async fn heard(api: &mut RuntimeApi, process: &mut Process) -> Result<Told, String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok(told) = tokio::time::timeout(LOOK, api.heard()).await {
            return told;
        }
        process.check_alive()?;
    }
    Err(format!(
        "the process must say something within {} s; it does not",
        PATIENCE.as_secs()
    ))
}

/// Waits until the process asks for an event.
async fn next(
    api: &mut RuntimeApi,
    process: &mut Process,
) -> Result<(Instant, runtime_api::Ready), String> {
    match heard(api, process).await? {
        Told::Ready { at, ready } => Ok((at, ready)),
        Told::Answer { body, .. } => Err(format!(
            "the process must ask for an event; it answers {body:?}"
        )),
        Told::Failure { body } => Err(format!(
            "the process must ask for an event; it fails with {body:?}"
        )),
    }
}
