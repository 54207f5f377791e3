//! Update expressions of DynamoDB.

use std::collections::HashMap;

use super::item::{Item, number};
use crate::domain::time::UnixMillis;
use aws_sdk_dynamodb::types::AttributeValue;

/// An update expression under construction; every name and value goes through a placeholder.
#[derive(Default)]
pub(super) struct Expression {
    pub update: String,
    pub condition: String,
    pub names: HashMap<String, String>,
    pub values: Item,
}

impl Expression {
    pub(super) fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#{attribute}");
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }

    pub(super) fn value(&mut self, label: &str, value: AttributeValue) -> String {
        let placeholder = format!(":{label}");
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// Whether a time lies in a span. A time beyond it, in the future, was written by a clock that
    /// ran fast, and must hold nobody up until then.
    pub(super) fn between(&mut self, name: &str, from: UnixMillis, until: UnixMillis) -> String {
        let (from, until) = (
            self.value("from", number(from.0)),
            self.value("until", number(until.0)),
        );
        // mutant: future-times
        format!("({name} BETWEEN {from} AND {until})")
    }
}
