//! What to do while somebody else's transaction is at an item.

use std::hash::Hash;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::domain::time::back_off;

/// How often a write is sent again.
const ROUNDS: u32 = 6;

/// Sends a write, again while DynamoDB says that a transaction is at its item: such a write was
/// neither made nor refused.
pub(super) async fn past_transactions<T, E, R, F>(
    who: &impl Hash,
    is_busy: impl Fn(&SdkError<E, R>) -> bool,
    send: impl Fn() -> F,
) -> Result<T, SdkError<E, R>>
where
    F: Future<Output = Result<T, SdkError<E, R>>>,
{
    for round in 0..ROUNDS {
        match send().await {
            Err(error) if is_busy(&error) => tokio::time::sleep(back_off(who, round)).await,
            sent => return sent,
        }
    }
    send().await
}

/// Whether a write of one item met a transaction.
pub(super) fn meets_transaction<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.code() == Some("TransactionConflictException")
}
