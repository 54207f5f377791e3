//! What both AWS clients share: region, credentials and endpoints from the environment, the
//! project's one HTTP client below them, and time-outs that leave room for one retry inside a
//! function's budget.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, HttpClient, IdentityCache, Region, RuntimeComponents,
    SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use reqwest::{Client, Request};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};

use super::http::{client, exchange};

/// Where AWS is and as whom it is called, from the variables of AWS's own SDKs, which Lambda sets.
/// Source: AWS SDKs and Tools Reference Guide, "Environment variables list".
#[derive(Clone, Debug)]
pub struct AwsConfig {
    /// `AWS_REGION`, or else `AWS_DEFAULT_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<SecretString>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, or else `AWS_ENDPOINT_URL`; neither with
    /// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, or else as above.
    pub secrets_manager_endpoint: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`
    pub fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`
    pub dual_stack: bool,
}

/// How long a connection to AWS may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Largest answer that is read, in bytes: a page of a query holds at most 1 MB of items, and their
/// JSON form more.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Time-outs of every AWS call: the first try may be lost and the second still be in time.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(Duration::from_millis(800))
        .operation_timeout(Duration::from_millis(1800))
        .build()
}

/// One retry of every AWS call.
pub fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(2)
        .with_initial_backoff(Duration::from_millis(50))
}

/// The clients a function builds its adapters from.
#[derive(Clone, Debug)]
pub struct Clients {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub secrets_manager: aws_sdk_secretsmanager::Client,
}

impl Clients {
    /// Makes the clients. Credentials are those of the environment for good: Lambda gives a
    /// function its own once.
    ///
    /// # Errors
    /// When reqwest takes none of the settings, which no input decides.
    pub fn new(config: &AwsConfig, tls: &ClientConfig) -> Result<Self, reqwest::Error> {
        let credentials = Credentials::new(
            &config.access_key_id,
            config.secret_access_key.expose_secret(),
            config
                .session_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            None,
            "environment",
        );
        let shared = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .identity_cache(IdentityCache::no_cache())
            .use_fips(config.fips)
            .use_dual_stack(config.dual_stack)
            .timeout_config(timeouts())
            .retry_config(retries())
            // An answer is read whole by the time-outs above, or it is none.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(Connector {
                client: client(tls, CONNECT_TIMEOUT)?,
            })
            .build();
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared);
        dynamodb.set_endpoint_url(config.dynamodb_endpoint.clone());
        let mut secrets_manager = aws_sdk_secretsmanager::config::Builder::from(&shared);
        secrets_manager.set_endpoint_url(config.secrets_manager_endpoint.clone());
        Ok(Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(secrets_manager.build()),
        })
    }
}

/// Carries the requests of the SDKs. Signing, retries and time-outs are the SDK's own.
#[derive(Clone, Debug)]
struct Connector {
    client: Client,
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client.clone();
        HttpConnectorFuture::new(async move {
            let request = outgoing(request)?;
            let answered = exchange(&client, request, MAX_ANSWER_BYTES).await;
            let answered = answered.map_err(|unanswered| ConnectorError::io(unanswered.into()))?;
            let unreadable = |error| ConnectorError::other(error, None);
            let status = answered
                .status
                .try_into()
                .map_err(|error| unreadable(Box::new(error)))?;
            let mut response = HttpResponse::new(status, SdkBody::from(answered.body));
            *response.headers_mut() =
                Headers::try_from(answered.headers).map_err(|error| unreadable(Box::new(error)))?;
            Ok(response)
        })
    }
}

/// The request as the HTTP client sends it. No request of ours has a body that is not in memory.
fn outgoing(request: HttpRequest) -> Result<Request, ConnectorError> {
    if request.body().bytes().is_none() {
        return Err(ConnectorError::user(
            "the body of a request to AWS must be in memory".into(),
        ));
    }
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
    Request::try_from(request).map_err(|error| ConnectorError::user(error.without_url().into()))
}
