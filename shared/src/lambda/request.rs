//! Which payment a request is about.

use lambda_http::{Request, RequestExt};
use serde::Deserialize;

use super::entry::is_direct;
use super::fields;
use super::problem::{Problem, ProblemCode};
use crate::domain::card_guard::{in_identifier, quoted};
use crate::domain::ids::{ConversationId, OrderId};
use crate::domain::secret_guard::holds_secret;

/// Largest request body that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Which payment a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRef {
    pub conversation_id: ConversationId,
    /// `None` if the request names no order.
    pub order_id: Option<OrderId>,
    /// Whether it is to be canceled while its payer is at the bank, whoever asks.
    pub force: bool,
}

impl PaymentRef {
    /// Reads path and query or, of a direct invocation, the fields. Those must name the operation
    /// if it is not the function's own.
    ///
    /// # Errors
    /// A [`Problem`].
    pub fn read(request: &Request, operation: Option<&str>) -> Result<Self, Problem> {
        let (path, query) = (request.path_parameters(), request.query_string_parameters());
        let direct = if is_direct(request) {
            Some(DirectFields::read(request.body(), operation)?)
        } else {
            None
        };
        let (conversation, order, force) = match &direct {
            Some(fields) => (
                fields.conversation_id.as_deref(),
                fields.order_id.as_deref(),
                fields.force.unwrap_or_default(),
            ),
            None => (
                path.first("conversation_id"),
                query.first("order_id"),
                flag("force", query.first("force").unwrap_or_default())?,
            ),
        };
        // An empty order_id is an unset input of the Data Action.
        let order = order.filter(|id| !id.is_empty());
        Ok(Self {
            conversation_id: conversation_id(conversation.unwrap_or_default())?,
            order_id: order.map(order_id).transpose()?,
            force,
        })
    }
}

/// The fields of a direct invocation that names a payment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectFields {
    conversation_id: Option<String>,
    order_id: Option<String>,
    operation: Option<String>,
    force: Option<bool>,
}

impl DirectFields {
    fn read(body: &[u8], operation: Option<&str>) -> Result<Self, Problem> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(Problem::request_too_large(body.len()));
        }
        if std::str::from_utf8(body).is_ok_and(fields::hold_card_number) {
            return Err(Problem::card_data_refused());
        }
        match serde_json::from_slice::<Self>(body) {
            Ok(fields)
                if fields.operation.as_deref() == operation
                    && (fields.force.is_none() || operation.is_some()) =>
            {
                Ok(fields)
            }
            _ => Err(Problem::new(
                ProblemCode::MalformedRequest,
                "the request must have conversation_id and, to name one order, order_id: strings, \
                 each once; to cancel, operation and, if wanted, force: true or false; and nothing \
                 else",
            )),
        }
    }
}

/// A flag of the query; an empty one is an unset input of the Data Action.
fn flag(name: &'static str, text: &str) -> Result<bool, Problem> {
    match text {
        "" | "false" => Ok(false),
        "true" => Ok(true),
        other => {
            guarded(other)?;
            let expected = format!("{name} must be true or false");
            Err(
                Problem::with_field(ProblemCode::MalformedRequest, name, expected)
                    .got(quoted(other)),
            )
        }
    }
}

/// The conversation that a request names.
///
/// # Errors
/// [`ProblemCode::InvalidConversationId`], or that of [`guarded`].
pub fn conversation_id(text: &str) -> Result<ConversationId, Problem> {
    guarded(text)?;
    ConversationId::parse(&text.to_ascii_lowercase()).map_err(|must_be| {
        let code = ProblemCode::InvalidConversationId;
        let expected = format!("conversation_id must be {must_be}");
        Problem::with_field(code, "conversation_id", expected).got(quoted(text))
    })
}

/// The order that a request names.
///
/// # Errors
/// [`ProblemCode::InvalidOrderId`], or that of [`guarded`].
pub fn order_id(text: &str) -> Result<OrderId, Problem> {
    guarded(text)?;
    OrderId::parse(text).map_err(|must_be| {
        let expected = format!("order_id must be {must_be}");
        Problem::with_field(ProblemCode::InvalidOrderId, "order_id", expected).got(quoted(text))
    })
}

/// Refuses an identifier that has a card number or a secret in it.
fn guarded(text: &str) -> Result<(), Problem> {
    if in_identifier(text) {
        return Err(Problem::card_data_refused());
    }
    if holds_secret(text) {
        return Err(Problem::misplaced_secret());
    }
    Ok(())
}
