//! The HTTP front of a stand-in: real sockets that can fail on request.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::conditions::Conditions;
use crate::faults::{Fault, Reply, Stage};
use crate::recorder::Recorded;

const BODY_LIMIT: usize = 1 << 20;

/// One request under way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Recorded,
    /// How the service names this request in its answer.
    pub(crate) id: String,
}

impl Call {
    /// The path's segments, for matching against a slice pattern.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.request.path.split('/').skip(1).collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let body = serde_json::to_vec_pretty(body).expect("a JSON value can be written");
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How much of a request is carried out.
#[derive(Debug)]
pub(crate) struct Work {
    /// Whether it takes effect.
    pub(crate) act: bool,
    /// What an idempotency key keeps in place of the true answer.
    pub(crate) save_instead: Option<Answer>,
}

impl Work {
    const WHOLE: Self = Self {
        act: true,
        save_instead: None,
    };
}

pub(crate) trait Service: Send + Sync + 'static {
    fn conditions(&self) -> &Conditions;
    fn request_id(&self) -> String;
    /// Carries a request out, passing the gates at [`Stage::Execution`] on the way.
    fn execute(&self, call: &Call, work: Work) -> impl Future<Output = Answer> + Send;
    /// The test's own side, under `/_control/`: neither recorded nor subject to faults.
    fn control(&self, call: &Call) -> Answer;
    /// The service's own error body for a status.
    fn error(&self, status: u16) -> Answer;
    /// The headers that every answer of the service has.
    fn headers(&self, call: &Call) -> Vec<(String, String)>;
}

#[derive(Debug)]
pub(crate) struct Server {
    base: String,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(crate) fn start(listener: TcpListener, service: Arc<impl Service>) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let front = {
            let stopped = stopped.clone();
            move |ConnectInfo(line): ConnectInfo<Line>, request: Request| {
                respond(Arc::clone(&service), stopped.clone(), line, request)
            }
        };
        let app = Router::new()
            .fallback(front)
            .into_make_service_with_connect_info::<Line>();
        let serving = axum::serve(Sockets(listener), app).with_graceful_shutdown(end_of(stopped));
        let task = tokio::spawn(async move {
            serving
                .await
                .expect("axum::serve ends only when it is told to");
        });
        Self {
            base: format!("http://{address}"),
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A future that ends with the server.
    pub(crate) fn end(&self) -> impl Future<Output = ()> + Send + 'static {
        end_of(self.stop.subscribe())
    }

    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.await.expect("the server task does not panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// An ephemeral port on the loopback interface.
pub(crate) async fn loopback() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port on 127.0.0.1")
}

async fn end_of(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the same as one that said so.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn respond(
    service: Arc<impl Service>,
    stopped: watch::Receiver<bool>,
    line: Line,
    request: Request,
) -> Response {
    let Some(request) = read(service.conditions().clock.now(), request).await else {
        return line.cut();
    };
    // In a task of its own: a client that gives up and closes its connection does not undo work
    // begun.
    match tokio::spawn(process(service, request)).await {
        Ok(Wire::Whole(answer)) => write(answer),
        Ok(Wire::Truncated(answer)) => {
            line.truncate();
            write(answer)
        }
        Ok(Wire::Silence) => {
            end_of(stopped).await;
            line.cut()
        }
        Ok(Wire::Cut) => line.cut(),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_canceled) => line.cut(),
        },
    }
}

/// What a client meets when its request is carried out in process, without a socket.
#[derive(Clone, Debug)]
pub enum Carried {
    /// The whole answer.
    Answer {
        status: u16,
        /// As sent, names in any case.
        headers: Vec<(String, String)>,
        /// As sent.
        body: Vec<u8>,
    },
    /// The connection breaks before the answer is whole.
    Broken,
    /// Nothing comes, ever.
    Silence,
}

/// Carries out a request that came over no socket. It is not recorded.
pub(crate) async fn carry(
    service: Arc<impl Service>,
    mut request: Recorded,
    fault: Option<Fault>,
) -> Carried {
    request.at = service.conditions().clock.now();
    let call = Call {
        id: service.request_id(),
        request,
    };
    match perform(&*service, &call, fault).await {
        Wire::Whole(Answer {
            status,
            headers,
            body,
        }) => Carried::Answer {
            status,
            headers,
            body,
        },
        Wire::Truncated(_) | Wire::Cut => Carried::Broken,
        Wire::Silence => Carried::Silence,
    }
}

/// What goes back over the connection.
enum Wire {
    Whole(Answer),
    Truncated(Answer),
    Silence,
    Cut,
}

async fn process(service: Arc<impl Service>, request: Recorded) -> Wire {
    let conditions = service.conditions();
    let call = Call {
        id: service.request_id(),
        request,
    };
    if call.request.path.starts_with("/_control/") {
        return Wire::Whole(service.control(&call));
    }
    conditions.recorder.record(call.request.clone());
    let fault = conditions.faults.take(&call.request);
    perform(&*service, &call, fault).await
}

async fn perform(service: &impl Service, call: &Call, fault: Option<Fault>) -> Wire {
    let conditions = service.conditions();
    conditions.gates.pass(Stage::Arrival, &call.request).await;
    let mut wire = match fault {
        None => Wire::Whole(service.execute(call, Work::WHOLE).await),
        Some(Fault::Reply(reply)) => Wire::Whole(scripted(service, call, reply).await),
        Some(Fault::Silent { executed }) => {
            answer_if(service, call, executed).await;
            Wire::Silence
        }
        Some(Fault::Drop { executed }) => {
            answer_if(service, call, executed).await;
            Wire::Cut
        }
        Some(Fault::Truncate { executed }) => {
            let placeholder =
                || Answer::json(200, &json!({ "truncated": "before it was executed" }));
            Wire::Truncated(
                answer_if(service, call, executed)
                    .await
                    .unwrap_or_else(placeholder),
            )
        }
    };
    conditions.gates.pass(Stage::Answer, &call.request).await;
    if let Wire::Whole(answer) | Wire::Truncated(answer) = &mut wire {
        answer.headers.extend(service.headers(call));
    }
    wire
}

async fn answer_if(service: &impl Service, call: &Call, executed: bool) -> Option<Answer> {
    if executed {
        Some(service.execute(call, Work::WHOLE).await)
    } else {
        None
    }
}

async fn scripted(service: &impl Service, call: &Call, reply: Reply) -> Answer {
    let mut answer = service.error(reply.status);
    if let Some(body) = reply.body {
        answer.body = body.into_bytes();
    }
    answer.headers.extend(reply.headers);
    if reply.executed || reply.saved {
        let save_instead = reply.saved.then(|| answer.clone());
        service
            .execute(
                call,
                Work {
                    act: reply.executed,
                    save_instead,
                },
            )
            .await;
    }
    answer
}

/// `None` when the body is too long or the client went away in the middle of it.
async fn read(now: i64, request: Request) -> Option<Recorded> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT).await.ok()?;
    Some(Recorded {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: lowercased(&parts.headers),
        body: body.to_vec(),
        at: now,
    })
}

fn lowercased(headers: &HeaderMap) -> std::collections::BTreeMap<String, String> {
    let values = |name| {
        let values = headers.get_all(name).iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    headers
        .keys()
        .map(|name| (name.as_str().to_owned(), values(name)))
        .collect()
}

fn write(answer: Answer) -> Response {
    let typed = answer
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let mut response = Response::builder().status(answer.status);
    if !typed {
        response = response.header("content-type", "application/json");
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response
        .body(Body::from(answer.body))
        .expect("a status and headers that HTTP knows")
}

const WHOLE: u8 = 0;
const TRUNCATE: u8 = 1;
const CUT: u8 = 2;

/// A handler's hold on the connection its request came by.
#[derive(Clone, Debug)]
struct Line(Arc<AtomicU8>);

impl Line {
    /// Nothing more is sent. The response only makes hyper try to write, and so notice.
    fn cut(&self) -> Response {
        self.0.store(CUT, Ordering::SeqCst);
        Response::default()
    }

    fn truncate(&self) {
        self.0.store(TRUNCATE, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, Sockets>> for Line {
    fn connect_info(stream: IncomingStream<'_, Sockets>) -> Self {
        stream.io().line.clone()
    }
}

struct Sockets(TcpListener);

impl Listener for Sockets {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Socket, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Without this, an answer in two writes waits for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        (
            Socket {
                stream,
                line: Line(Arc::new(AtomicU8::new(WHOLE))),
                allowance: None,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A connection whose sending side can be cut short. It offers no vectored writes, so that hyper
/// hands over an answer's head and body in one piece.
struct Socket {
    stream: TcpStream,
    line: Line,
    /// What may still be sent of an answer that is being truncated.
    allowance: Option<usize>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = match self.line.0.load(Ordering::SeqCst) {
            WHOLE => bytes.len(),
            TRUNCATE => self
                .allowance
                .unwrap_or_else(|| truncated_length(bytes))
                .min(bytes.len()),
            _ => 0,
        };
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let sent = Pin::new(&mut self.stream).poll_write(context, &bytes[..allowed]);
        if let Poll::Ready(Ok(sent)) = sent
            && self.line.0.load(Ordering::SeqCst) == TRUNCATE
        {
            self.allowance = Some(self.allowance.unwrap_or(allowed) - sent);
        }
        sent
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The head and half of the body.
fn truncated_length(answer: &[u8]) -> usize {
    let head = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(0, |end| end + 4);
    head + (answer.len() - head) / 2
}
