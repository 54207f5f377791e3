//! AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::SdkError;
use secrecy::SecretString;

use crate::ports::{ReadSecret, SecretError};

#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
    secret_id: String,
}

impl SecretsManager {
    /// The secret of that name or ARN.
    pub fn new(client: Client, secret_id: String) -> Self {
        Self { client, secret_id }
    }
}

impl ReadSecret for SecretsManager {
    async fn read_secret(&self) -> Result<SecretString, SecretError> {
        let reading = self.client.get_secret_value().secret_id(&self.secret_id);
        let output = reading.send().await.map_err(|error| match &error {
            SdkError::ServiceError(of) if of.err().meta().code().is_some_and(is_refusal) => {
                SecretError::Refused
            }
            _ => SecretError::Unavailable,
        })?;
        output
            .secret_string
            .map(SecretString::from)
            .ok_or(SecretError::Unusable {
                field: "value",
                must: "must be JSON text, not binary",
            })
    }
}

/// Codes that another try will not change.
fn is_refusal(code: &str) -> bool {
    matches!(
        code,
        "ResourceNotFoundException"
            | "AccessDeniedException"
            | "InvalidParameterException"
            | "InvalidRequestException"
            | "DecryptionFailure"
    )
}
