//! Lambda's Runtime API (AWS Lambda Developer Guide, "Using the Lambda runtime API"), as far as a
//! runtime needs it.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot};

use crate::outside::unix_ms;

/// How long a call may take, as the runtime is told, in ms.
const DEADLINE_MS: u64 = 10_000;

/// Takes the event that the process waits for.
pub(crate) type Ready = oneshot::Sender<String>;

/// What the process says.
pub(crate) enum Told {
    /// It waits for an event.
    Ready {
        /// Since when.
        at: Instant,
        /// To send the event to.
        ready: Ready,
    },
    /// It answers its event.
    Answer {
        /// When the answer was there.
        at: Instant,
        /// The answer.
        body: String,
    },
    /// It failed, at its start or at its event.
    Failure {
        /// What it says of that.
        body: String,
    },
}

/// The side of the API that gives events and hears answers.
pub(crate) struct RuntimeApi {
    heard: mpsc::UnboundedReceiver<Told>,
}

type Teller = mpsc::UnboundedSender<Told>;

impl RuntimeApi {
    /// The API, and the app to serve it with.
    pub(crate) fn new() -> (Self, Router) {
        let (teller, heard) = mpsc::unbounded_channel();
        let failure = |State(teller): State<Teller>, body: String| async move {
            let _ = teller.send(Told::Failure { body });
            StatusCode::ACCEPTED
        };
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answer))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failure))
            .route("/2018-06-01/runtime/init/error", post(failure))
            .with_state(teller);
        (Self { heard }, app)
    }

    /// What the process says next.
    ///
    /// # Errors
    /// When the server is gone, which is a mistake of the benchmark.
    pub(crate) async fn heard(&mut self) -> Result<Told, String> {
        self.heard
            .recv()
            .await
            .ok_or_else(|| "the Runtime API must go on; it has ended".to_owned())
    }
}

async fn next(State(teller): State<Teller>) -> Response {
    let at = Instant::now();
    let (ready, event) = oneshot::channel();
    let _ = teller.send(Told::Ready { at, ready });
    let Ok(event) = event.await else {
        return StatusCode::GONE.into_response();
    };
    let mut response = event.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "application/json"),
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:benchmark",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-6922134a-0123456789abcdef01234567;Sampled=0",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "lambda-runtime-deadline-ms",
        HeaderValue::from(unix_ms() + DEADLINE_MS),
    );
    response
}

async fn answer(State(teller): State<Teller>, body: String) -> StatusCode {
    let _ = teller.send(Told::Answer {
        at: Instant::now(),
        body,
    });
    StatusCode::ACCEPTED
}
