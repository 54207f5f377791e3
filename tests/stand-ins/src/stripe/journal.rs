//! What outlives the process: an append-only file, one JSON line for each request that changed
//! something.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::idempotency::Slot;
use crate::server::Answer;

/// What one request changed.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) events: Vec<Value>,
    /// The idempotency key and the answer kept under it.
    pub(crate) key: Option<(String, Slot)>,
}

#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// The file, made if it is not there, and what is in it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A last line without its end was being written when the process was killed: nobody was
        // told of it.
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        file.set_len(u64::try_from(whole).expect("a file's length fits 64 bits"))?;
        let entries = serde_json::Deserializer::from_slice(&bytes[..whole])
            .into_iter()
            .collect::<Result<_, _>>()?;
        Ok((Self(file), entries))
    }

    /// One write, no sync: what a killed process has written stays, and nobody pulls the plug.
    pub(crate) fn append(&mut self, events: &[Value], key: Option<(String, Slot)>) {
        let line = format!("{}\n", json!({ "events": events, "key": key }));
        self.0
            .write_all(line.as_bytes())
            .expect("the state file can be written");
    }
}

/// How an [`Answer`] is written down.
#[derive(Deserialize, Serialize)]
#[serde(remote = "Answer")]
pub(crate) struct WrittenAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    #[serde(with = "text")]
    body: Vec<u8>,
}

/// Bodies as the text they are.
mod text {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Error, Serializer};

    pub(super) fn serialize<S: Serializer>(body: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(str::from_utf8(body).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(from).map(String::into_bytes)
    }
}
