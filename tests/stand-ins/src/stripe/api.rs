//! The parameters that Stripe's API has, and what each takes, as Stripe's official SDK says:
//! `api.json`, which `tests/local/stripe_sdk.py` writes and a test holds to the SDK.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::error::StripeError;
use super::form::{Form, boolean, integer};
use crate::server::Call;

static API: LazyLock<Api> = LazyLock::new(|| {
    serde_json::from_str(include_str!("api.json")).expect("api.json has this shape")
});

#[derive(Deserialize)]
struct Api {
    version: String,
    /// By method and path, `{}` for an id; then by the parameter's name, `a[]` for a list's
    /// elements and `a[*]` for a map's values.
    requests: BTreeMap<String, BTreeMap<String, Kind>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scalar {
    Integer,
    Number,
    Boolean,
    String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Kind {
    OneOf(Vec<String>),
    Scalar(Scalar),
}

/// The API version that the SDK speaks.
pub(crate) fn version() -> &'static str {
    &API.version
}

/// Refuses a parameter that the API has not, and a value of another type. Requests of which nothing
/// is known pass.
pub(crate) fn check(call: &Call, form: &Form) -> Result<(), StripeError> {
    let Some(parameters) = request(&call.request.method, &call.segments()) else {
        return Ok(());
    };
    for (name, value) in form.pairs() {
        let Some(kind) = parameter(parameters, name) else {
            return Err(StripeError::unknown_parameter(name));
        };
        match kind {
            Kind::Scalar(Scalar::Integer) => drop(integer(name, value)?),
            Kind::Scalar(Scalar::Boolean) => drop(boolean(name, Some(value.clone()))?),
            Kind::Scalar(Scalar::Number) if value.parse::<f64>().is_err() => {
                return Err(StripeError::invalid(format!("Invalid number: {value}")).param(name));
            }
            Kind::Scalar(Scalar::Number | Scalar::String) => {}
            Kind::OneOf(values) if values.contains(value) => {}
            Kind::OneOf(values) => {
                let message = format!(
                    "Invalid {name}: must be one of {}, got {value:?}",
                    values.join(", ")
                );
                return Err(StripeError::invalid(message).param(name));
            }
        }
    }
    Ok(())
}

fn request(method: &str, segments: &[&str]) -> Option<&'static BTreeMap<String, Kind>> {
    let fits = |name: &&String, id: &str| {
        let mut parts = name.split(['/', ' ']).filter(|part| !part.is_empty());
        parts.next() == Some(method)
            && parts.eq(segments
                .iter()
                .map(|segment| if *segment == id { "{}" } else { segment }))
    };
    // `search` is no id.
    let exactly = API.requests.keys().find(|name| fits(name, "{}"));
    let name = exactly.or_else(|| {
        API.requests
            .keys()
            .find(|name| segments.get(2).is_some_and(|id| fits(name, id)))
    });
    API.requests.get(name?)
}

fn parameter<'a>(parameters: &'a BTreeMap<String, Kind>, name: &str) -> Option<&'a Kind> {
    let element = || {
        let (list, index) = name.strip_suffix(']')?.rsplit_once('[')?;
        index
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| parameters.get(&format!("{list}[]")))
            .flatten()
    };
    let entry = || {
        parameters.get(&format!(
            "{}[*]",
            name.strip_suffix(']')?.split_once('[')?.0
        ))
    };
    parameters.get(name).or_else(element).or_else(entry)
}
