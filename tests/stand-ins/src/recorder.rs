//! What a stand-in was asked, in the order it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

/// One request as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// In capitals: `POST`.
    pub method: String,
    /// Without the query string.
    pub path: String,
    /// The raw query string, empty without one.
    pub query: String,
    /// Names in lower case; a repeated header's values are joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body: Vec<u8>,
    /// The stand-in's second at which it arrived.
    pub at: i64,
}

impl Recorded {
    /// A header's value by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body read as a form: decoded pairs in the order sent.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The last value of one form parameter, for example `metadata[order_id]`.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.form()
            .into_iter()
            .rfind(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The body read as JSON, `null` when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<Recorded>>);

impl Recorder {
    pub(crate) fn record(&self, request: Recorded) {
        self.0.lock().unwrap().push(request);
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}
