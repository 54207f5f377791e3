//! What a secret's JSON is read with.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::ports::SecretError;

/// A secret's text, read into its parts.
pub trait Secret: Sized + Send + Sync {
    /// Whose it is, for the log.
    const OWNER: &'static str;

    /// Reads the JSON. What no such secret can be is refused here, for the other side would only
    /// say that it is wrong.
    ///
    /// # Errors
    /// [`SecretError::Unusable`] names the field.
    fn parse(json: &str) -> Result<Self, SecretError>;
}

pub(super) const NOT_GRAPHIC: &str =
    "must have no space, line break or other character that no key has";

/// It goes into a header, a signature or a form, and a line break is soon copied along.
pub(super) fn is_graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The text of a JSON object. serde takes a list for the fields in their order, too.
pub(super) fn object<'a, T: Deserialize<'a>>(
    json: &'a str,
    must: &'static str,
) -> Result<T, SecretError> {
    let read = json
        .trim_start()
        .starts_with('{')
        .then(|| serde_json::from_str(json).ok())
        .flatten();
    read.ok_or(SecretError::Unusable {
        field: "value",
        must,
    })
}

/// A field that must be there, and of printable characters.
pub(super) fn required(
    field: &'static str,
    given: Option<SecretString>,
) -> Result<SecretString, SecretError> {
    let text = given
        .filter(|text| !text.expose_secret().is_empty())
        .ok_or(SecretError::Unusable {
            field,
            must: "must be there and not empty",
        })?;
    if is_graphic(text.expose_secret()) {
        Ok(text)
    } else {
        Err(SecretError::Unusable {
            field,
            must: NOT_GRAPHIC,
        })
    }
}
