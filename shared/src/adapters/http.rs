//! The one HTTP client, over which Stripe, Genesys and the AWS SDKs are reached: it follows no
//! redirect, uses no proxy and reads a bounded answer. Nothing it fails with repeats a URL, a
//! header or a body.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Request, RequestBuilder};
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::domain::secret_guard::is_plain_name;
use crate::domain::time::seconds_from_outside;
use crate::ports::Deadline;

/// How long a connection to Stripe or Genesys may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection idle for longer is not used again: it may have died while the function was frozen.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Largest answer of Stripe and Genesys that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// An answer, whole.
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// From before the request was sent until the whole answer was there.
    pub took: Duration,
}

/// Without headers and body, which may hold anything.
impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpResponse({} in {:?})", self.status, self.took)
    }
}

impl HttpResponse {
    /// The far side's own name for the exchange, for the log.
    pub fn id(&self, name: &str) -> Option<&str> {
        self.header(name).filter(|id| is_plain_name(id))
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After` in seconds (RFC 9110), at most a day; its date form, which neither side sends,
    /// counts as absent.
    pub fn retry_after(&self) -> Option<Duration> {
        seconds_from_outside(self.header("retry-after")?.trim())
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No connection: the request was not sent.
    #[error("no connection")]
    Connect,
    /// The deadline passed.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke before the answer was whole, or the answer was too large.
    #[error("the connection broke")]
    Broken,
}

/// What carries a request to the far side and its answer back: the network, or something that
/// behaves like it.
pub trait Transport: Send + Sync {
    /// Sends a request and reads the whole answer, however long it takes.
    fn exchange(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<HttpResponse, Unanswered>> + Send;
}

impl Transport for Client {
    async fn exchange(&self, request: Request) -> Result<HttpResponse, Unanswered> {
        exchange(self, request, MAX_ANSWER_BYTES).await
    }
}

/// Sends a request and reads the whole answer, of at most so many bytes.
pub(super) async fn exchange(
    client: &Client,
    request: Request,
    max_bytes: usize,
) -> Result<HttpResponse, Unanswered> {
    let started = Instant::now();
    let mut response = client
        .execute(request)
        .await
        .map_err(|error| classify(&error))?;
    let (status, headers) = (
        response.status().as_u16(),
        std::mem::take(response.headers_mut()),
    );
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(Unanswered::Broken);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse {
        status,
        headers,
        body,
        took: started.elapsed(),
    })
}

/// A client of its own connections, each of which must be made within this time.
///
/// # Errors
/// When reqwest takes none of the settings, which no input decides.
pub(super) fn client(
    tls: &ClientConfig,
    connect_timeout: Duration,
) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        // mutant: no-redirect
        .redirect(Policy::none())
        .no_proxy()
        .user_agent(concat!("phone-payments/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http<T = Client> {
    client: Client,
    transport: T,
}

impl Http {
    /// Makes the client, which trusts what [`super::tls`] says.
    ///
    /// # Errors
    /// When reqwest takes none of the settings, which no input decides.
    pub fn new(tls: &ClientConfig) -> Result<Self, reqwest::Error> {
        let client = client(tls, CONNECT_TIMEOUT)?;
        Ok(Self {
            transport: client.clone(),
            client,
        })
    }

    /// The same client over another transport.
    pub fn over<T: Transport>(&self, transport: T) -> Http<T> {
        Http {
            client: self.client.clone(),
            transport,
        }
    }
}

impl<T: Transport> Http<T> {
    /// The underlying client, to build a request with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and reads the whole answer by the deadline.
    pub async fn send(
        &self,
        request: RequestBuilder,
        deadline: Deadline,
    ) -> Result<HttpResponse, Unanswered> {
        let request = request.build().map_err(|error| classify(&error))?;
        let exchange = self.transport.exchange(request);
        tokio::time::timeout_at(deadline.instant(), exchange)
            .await
            .unwrap_or(Err(Unanswered::Timeout))
    }
}

fn classify(error: &reqwest::Error) -> Unanswered {
    if error.is_connect() {
        Unanswered::Connect
    } else if error.is_timeout() {
        Unanswered::Timeout
    } else {
        Unanswered::Broken
    }
}
