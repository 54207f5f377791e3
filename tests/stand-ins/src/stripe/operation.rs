//! From an HTTP request to an operation whose parameters are all valid. Nothing here looks at
//! stored objects: what this refuses never began to execute.

use std::collections::BTreeMap;

use super::error::StripeError;
use super::form::{Form, boolean, positive};
use super::search::{self, Clause};
use super::{api, currencies};
use crate::server::Call;

/// From this API version on there is `allowed_payment_method_types`.
const TYPES_ALLOWED: &str = "2026-07-29";

/// From this API version on, `payment_method_types` is refused.
const TYPES_REFUSED: &str = "2026-09-30";

#[derive(Debug)]
pub(crate) enum Operation {
    Create(Box<Creation>),
    Confirm {
        intent: String,
        confirmation: Confirmation,
    },
    Capture {
        intent: String,
        amount: Option<i64>,
    },
    Cancel {
        intent: String,
        reason: Option<String>,
    },
    Retrieve {
        intent: String,
    },
    Search {
        clauses: Vec<Clause>,
        page: Page,
    },
    List(ListQuery),
    ListEvents(EventQuery),
    RetrieveEvent {
        event: String,
    },
}

#[derive(Debug)]
pub(crate) struct Creation {
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) capture_method: String,
    pub(crate) allowed_payment_method_types: Option<Vec<String>>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) description: Option<String>,
    pub(crate) receipt_email: Option<String>,
    /// Found out only when the intent would be made.
    pub(crate) address_refused: bool,
    pub(crate) statement_descriptor_suffix: Option<String>,
    pub(crate) payment_method: Option<String>,
    /// Present with `confirm=true`.
    pub(crate) confirmation: Option<Confirmation>,
}

#[derive(Debug, Default)]
pub(crate) struct Confirmation {
    pub(crate) payment_method: Option<String>,
    /// Nobody is there to authenticate: `error_on_requires_action` or `off_session`.
    pub(crate) without_action: bool,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    pub(crate) offset: usize,
}

#[derive(Debug)]
pub(crate) struct ListQuery {
    pub(crate) limit: usize,
    pub(crate) starting_after: Option<String>,
    pub(crate) created_from: i64,
    pub(crate) created_to: i64,
}

#[derive(Debug)]
pub(crate) struct EventQuery {
    pub(crate) limit: usize,
    /// Empty for all.
    pub(crate) types: Vec<String>,
    pub(crate) starting_after: Option<String>,
    pub(crate) created_from: i64,
    pub(crate) created_to: i64,
}

/// What the account allows, as far as it decides which parameters are valid.
pub(crate) trait Account {
    fn moto_allowed(&self) -> bool;
    fn minimum(&self, currency: &str) -> i64;
    /// Whether receipts to this address are refused, and whether that is kept under the idempotency
    /// key.
    fn refuses_address(&self, address: &str) -> Option<bool>;
}

impl Operation {
    pub(crate) fn parse(call: &Call, account: &impl Account) -> Result<Self, StripeError> {
        let request = &call.request;
        let encoded = if request.method == "POST" {
            &request.body
        } else {
            request.query.as_bytes()
        };
        check_content_type(call)?;
        check_version(request.header("stripe-version"))?;
        let mut form = Form::parse(encoded);
        let old_types = form.take_list("payment_method_types");
        api::check(call, &form)?;
        match (request.method.as_str(), call.segments().as_slice()) {
            ("POST", ["v1", "payment_intents"]) => create(form, old_types, call, account),
            _ if !old_types.is_empty() => {
                Err(StripeError::unknown_parameter("payment_method_types"))
            }
            ("GET", ["v1", "payment_intents"]) => list(form),
            ("GET", ["v1", "payment_intents", "search"]) => search(form),
            ("GET", ["v1", "payment_intents", intent]) => {
                form.finish()?;
                Ok(Self::Retrieve {
                    intent: (*intent).to_owned(),
                })
            }
            ("POST", ["v1", "payment_intents", intent, "confirm"]) => {
                confirm(form, intent, account)
            }
            ("POST", ["v1", "payment_intents", intent, "capture"]) => capture(form, intent),
            ("POST", ["v1", "payment_intents", intent, "cancel"]) => cancel(form, intent),
            ("GET", ["v1", "events"]) => list_events(form),
            ("GET", ["v1", "events", event]) => {
                form.finish()?;
                Ok(Self::RetrieveEvent {
                    event: (*event).to_owned(),
                })
            }
            (method, _) => {
                let message = format!("Unrecognized request URL ({method}: {})", request.path);
                Err(StripeError::new(404, "invalid_request_error", message))
            }
        }
    }
}

fn check_content_type(call: &Call) -> Result<(), StripeError> {
    let request = &call.request;
    let content_type = request.header("content-type").unwrap_or_default();
    if request.method != "POST"
        || request.body.is_empty()
        || content_type.starts_with("application/x-www-form-urlencoded")
    {
        return Ok(());
    }
    Err(StripeError::invalid(format!(
        "Invalid request content type {content_type:?}: want application/x-www-form-urlencoded"
    )))
}

fn check_version(version: Option<&str>) -> Result<(), StripeError> {
    let Some(version) = version else {
        return Ok(());
    };
    let date = version.split('.').next().unwrap_or_default();
    let shape = date
        .bytes()
        .map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    if shape.eq(*b"0000-00-00") {
        return Ok(());
    }
    Err(StripeError::invalid(format!(
        "Invalid Stripe API version: {version}"
    )))
}

fn create(
    mut form: Form,
    old_types: Vec<String>,
    call: &Call,
    account: &impl Account,
) -> Result<Operation, StripeError> {
    let amount = form.take("amount");
    let currency = form.take("currency");
    let capture_method = form.take("capture_method");
    let automatic = form.take("automatic_payment_methods[enabled]");
    let _ = form.take("automatic_payment_methods[allow_redirects]");
    let metadata = form.take_map("metadata");
    let description = form.take("description");
    let receipt_email = form.take("receipt_email");
    let statement_descriptor_suffix = form.take("statement_descriptor_suffix");
    let confirm = form.take("confirm");
    // The new name is unknown to the versions before it.
    let allowed = speaks(call, TYPES_ALLOWED);
    let new_types = if allowed {
        form.take_list("allowed_payment_method_types")
    } else {
        Vec::new()
    };
    let confirmation = take_confirmation(&mut form);
    form.finish()?;

    if speaks(call, TYPES_REFUSED) && !old_types.is_empty() {
        let message = format!(
            "payment_method_types is called allowed_payment_method_types since API version {TYPES_REFUSED}"
        );
        return Err(StripeError::invalid(message)
            .code("payment_method_types_no_longer_supported")
            .param("payment_method_types"));
    }
    let currency = currency.ok_or_else(|| missing("currency"))?;
    currencies::check_currency(&currency)?;
    let amount = positive("amount", &amount.ok_or_else(|| missing("amount"))?)?;
    currencies::check_amount(amount, &currency, account.minimum(&currency))?;
    check_metadata(&metadata)?;
    let capture_method = capture_method.unwrap_or_else(|| "automatic_async".to_owned());
    let types = if old_types.is_empty() {
        &new_types
    } else {
        &old_types
    };
    if boolean("automatic_payment_methods[enabled]", automatic)? == Some(true) && !types.is_empty()
    {
        let message = "automatic_payment_methods[enabled] and a list of payment method types exclude each other";
        return Err(StripeError::invalid(message).param("automatic_payment_methods"));
    }
    if let Some(other) = types.iter().find(|kind| *kind != "card") {
        let message = format!("Only cards are played here, got {other:?}");
        return Err(StripeError::invalid(message).param("allowed_payment_method_types"));
    }
    let receipt_email = text("receipt_email", receipt_email)?;
    let refused = receipt_email
        .as_deref()
        .and_then(|address| account.refuses_address(address));
    if refused == Some(false) {
        return Err(refused_address());
    }
    let confirm = boolean("confirm", confirm)?.unwrap_or(false);
    let payment_method = confirmation.payment_method.clone();
    let confirmation = confirmation.check(confirm, account)?;
    Ok(Operation::Create(Box::new(Creation {
        amount,
        currency,
        capture_method,
        allowed_payment_method_types: (!new_types.is_empty()).then_some(new_types),
        metadata,
        description: text("description", description)?,
        receipt_email,
        address_refused: refused == Some(true),
        statement_descriptor_suffix: text(
            "statement_descriptor_suffix",
            statement_descriptor_suffix,
        )?,
        payment_method,
        confirmation: confirm.then_some(confirmation),
    })))
}

fn confirm(mut form: Form, intent: &str, account: &impl Account) -> Result<Operation, StripeError> {
    let raw = take_confirmation(&mut form);
    form.finish()?;
    Ok(Operation::Confirm {
        intent: intent.to_owned(),
        confirmation: raw.check(true, account)?,
    })
}

fn capture(mut form: Form, intent: &str) -> Result<Operation, StripeError> {
    let amount = form.take("amount_to_capture");
    form.finish()?;
    let amount = amount
        .map(|amount| positive("amount_to_capture", &amount))
        .transpose()?;
    Ok(Operation::Capture {
        intent: intent.to_owned(),
        amount,
    })
}

fn cancel(mut form: Form, intent: &str) -> Result<Operation, StripeError> {
    let reason = form.take("cancellation_reason");
    form.finish()?;
    Ok(Operation::Cancel {
        intent: intent.to_owned(),
        reason,
    })
}

fn search(mut form: Form) -> Result<Operation, StripeError> {
    let query = form.take("query");
    let limit = form.take("limit");
    let page = form.take("page");
    form.finish()?;
    let clauses = search::parse(&query.ok_or_else(|| missing("query"))?)?;
    let offset = match page {
        None => 0,
        Some(page) => page
            .parse()
            .map_err(|_| StripeError::invalid(format!("Invalid page: {page}")).param("page"))?,
    };
    Ok(Operation::Search {
        clauses,
        page: Page {
            limit: check_limit(limit)?,
            offset,
        },
    })
}

fn list(mut form: Form) -> Result<Operation, StripeError> {
    let limit = form.take("limit");
    let starting_after = form.take("starting_after");
    let from = form.take("created[gte]");
    let to = form.take("created[lte]");
    form.finish()?;
    Ok(Operation::List(ListQuery {
        limit: check_limit(limit)?,
        starting_after,
        created_from: second("created[gte]", from, i64::MIN)?,
        created_to: second("created[lte]", to, i64::MAX)?,
    }))
}

fn second(name: &str, value: Option<String>, otherwise: i64) -> Result<i64, StripeError> {
    value.map_or(Ok(otherwise), |value| positive(name, &value))
}

fn list_events(mut form: Form) -> Result<Operation, StripeError> {
    let limit = form.take("limit");
    let mut types = form.take_list("types");
    types.extend(form.take("type"));
    let starting_after = form.take("starting_after");
    let from = form.take("created[gte]");
    let to = form.take("created[lte]");
    form.finish()?;
    Ok(Operation::ListEvents(EventQuery {
        limit: check_limit(limit)?,
        types,
        starting_after,
        created_from: second("created[gte]", from, i64::MIN)?,
        created_to: second("created[lte]", to, i64::MAX)?,
    }))
}

/// Confirmation parameters as they came.
struct RawConfirmation {
    payment_method: Option<String>,
    error_on_requires_action: Option<String>,
    off_session: Option<String>,
    moto: Option<String>,
}

/// `return_url` is taken and dropped: no test card redirects.
fn take_confirmation(form: &mut Form) -> RawConfirmation {
    let _ = form.take("return_url");
    RawConfirmation {
        payment_method: form.take("payment_method"),
        error_on_requires_action: form.take("error_on_requires_action"),
        off_session: form.take("off_session"),
        moto: form.take("payment_method_options[card][moto]"),
    }
}

impl RawConfirmation {
    fn check(self, confirming: bool, account: &impl Account) -> Result<Confirmation, StripeError> {
        const MOTO: &str = "payment_method_options[card][moto]";
        if self.moto.is_some() && !(confirming && account.moto_allowed()) {
            return Err(StripeError::unknown_parameter(MOTO));
        }
        boolean(MOTO, self.moto)?;
        let on_action = boolean("error_on_requires_action", self.error_on_requires_action)?;
        let off_session = boolean("off_session", self.off_session)?;
        for (param, given) in [
            ("error_on_requires_action", on_action),
            ("off_session", off_session),
        ] {
            if given == Some(true) && !confirming {
                let message = format!("{param} can only be true when confirm is true");
                return Err(StripeError::invalid(message).param(param));
            }
        }
        Ok(Confirmation {
            payment_method: text("payment_method", self.payment_method)?,
            without_action: on_action == Some(true) || off_session == Some(true),
        })
    }
}

/// Whether the request names an API version of this date or a later one.
fn speaks(call: &Call, since: &str) -> bool {
    // Without a version the account's own counts, taken to be the newest.
    let version = call
        .request
        .header("stripe-version")
        .unwrap_or(api::version());
    version.split('.').next().is_some_and(|date| date >= since)
}

pub(crate) fn refused_address() -> StripeError {
    StripeError::invalid("Invalid email address")
        .code("email_invalid")
        .param("receipt_email")
}

fn missing(param: &str) -> StripeError {
    StripeError::invalid(format!("Missing required param: {param}."))
        .code("parameter_missing")
        .param(param)
}

fn text(param: &str, value: Option<String>) -> Result<Option<String>, StripeError> {
    if value.as_deref() == Some("") {
        let message = format!("{param} must not be empty; leave it out instead");
        return Err(StripeError::invalid(message)
            .code("parameter_invalid_empty")
            .param(param));
    }
    Ok(value)
}

fn check_limit(limit: Option<String>) -> Result<usize, StripeError> {
    let Some(limit) = limit else { return Ok(10) };
    match limit.parse() {
        Ok(number @ 1..=100) => Ok(number),
        _ => {
            let message = format!("limit must be between 1 and 100, got {limit}");
            Err(StripeError::invalid(message)
                .code("parameter_invalid_integer")
                .param("limit"))
        }
    }
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), StripeError> {
    let refused = |message: String| Err(StripeError::invalid(message).param("metadata"));
    if metadata.len() > 50 {
        return refused(format!("Metadata may have 50 keys, got {}", metadata.len()));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.chars().count() > 40 || key.contains(['[', ']']) {
            return refused(format!(
                "Metadata key {key:?} must have 1 to 40 characters and no brackets"
            ));
        }
        if value.chars().count() > 500 {
            return refused(format!(
                "Metadata value of {key:?} has more than 500 characters"
            ));
        }
    }
    Ok(())
}
