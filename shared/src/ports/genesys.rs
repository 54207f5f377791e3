//! Genesys Cloud: conversations and workflows.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

use super::{Deadline, SecretError};
use crate::domain::ids::ConversationId;

/// A participant's id, as Genesys gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantId(pub String);

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A conversation, as far as a payment needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The customer who is still on the line; `None` when the call is over.
    pub customer_on_the_line: Option<ParticipantId>,
}

/// What is asked of Genesys. It decides whether a request may be repeated, and what a missing
/// answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenesysRequest {
    /// `POST /oauth/token`
    Token,
    /// `GET` of a conversation
    Conversation,
    /// `PATCH` of a participant's attributes
    Attributes,
    /// `POST` of a workflow execution
    Workflow,
}

impl GenesysRequest {
    /// Whether it changes what somebody sees or does.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Attributes | Self::Workflow)
    }

    /// For logs and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token request",
            Self::Conversation => "conversation request",
            Self::Attributes => "attributes update",
            Self::Workflow => "workflow start",
        }
    }
}

/// How the answer to a request that was sent got lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The connection broke before the answer was whole.
    #[error("the connection broke")]
    Broken,
    /// There was no answer within the time for it.
    #[error("no answer in time")]
    Timeout,
    /// A gateway on the way gave up on it, with 502 or 504.
    #[error("a gateway answered {status}")]
    Gateway { status: u16 },
}

/// Why Genesys did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesysError {
    /// The OAuth client was refused, also with its secret read afresh.
    #[error("Genesys refused the OAuth client with {status}")]
    Auth { status: u16 },
    /// Another answer than success. The request is over: Genesys does no more about it.
    #[error("Genesys answered {status}")]
    Status { status: u16 },
    /// Too many requests, also after the one wait, or its `Retry-After` does not fit the time there
    /// is.
    #[error("Genesys limits the rate")]
    RateLimited,
    /// No connection could be made, also at the one retry: nothing was sent.
    #[error("no connection to Genesys")]
    NoConnection,
    /// The time was up before there was anything to send.
    #[error("no time was left to ask Genesys")]
    NoTime,
    /// The request was sent, and its answer got lost.
    #[error("Genesys did not answer the {}: {lost}", to.as_str())]
    NoAnswer {
        /// What was asked.
        to: GenesysRequest,
        /// What became of the answer.
        lost: Lost,
    },
    /// The secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl GenesysError {
    /// Whether a write is perhaps still on its way, so that it could overtake a newer one.
    pub fn may_still_act(&self) -> bool {
        // mutant: reads-end
        matches!(self, Self::NoAnswer { to, .. } if to.is_write())
    }
}

/// The Genesys Conversations API.
pub trait Conversations: Send + Sync {
    /// `GET /api/v2/conversations/{id}`; `None` when Genesys does not know it (any more).
    fn conversation(
        &self,
        id: &ConversationId,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Option<Conversation>, GenesysError>> + Send;

    /// `PATCH /api/v2/conversations/{id}/participants/{participant}/attributes`
    fn set_attributes(
        &self,
        id: &ConversationId,
        participant: &ParticipantId,
        attributes: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<(), GenesysError>> + Send;

    /// `POST /api/v2/flows/executions`: starts the workflow for payments confirmed after the call.
    /// `Ok(false)` when none is configured.
    fn start_late_payment_flow(
        &self,
        inputs: &BTreeMap<&'static str, String>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<bool, GenesysError>> + Send;
}
