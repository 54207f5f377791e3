//! What both AWS clients share: region, credentials and endpoints from the environment, as in every AWS SDK, and
//! time-outs that leave room for one retry inside a function's budget.

use std::time::Duration;

use aws_config::{BehaviorVersion, retry::RetryConfig, timeout::TimeoutConfig};

/// Time-outs of every AWS call: the first try may be lost and the second still be in time.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(800))
        .operation_timeout(Duration::from_millis(1800))
        .build()
}

/// One retry of every AWS call.
#[must_use]
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(50))
}

/// The clients a function builds its adapters from.
#[derive(Clone, Debug)]
pub struct Clients {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Secrets Manager.
    pub secrets_manager: aws_sdk_secretsmanager::Client,
}

/// Reads the environment and makes the clients.
pub async fn clients() -> Clients {
    let config =
        aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts()).retry_config(retries()).load().await;
    Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        secrets_manager: aws_sdk_secretsmanager::Client::new(&config),
    }
}
