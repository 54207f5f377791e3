//! Counts what one call of a function asks of the table, and what DynamoDB would bill for it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut, Error,
    Output,
};

/// What one call asked of the outside. Two calls that cost the same have equal bills.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bill {
    /// Requests to the table, by operation.
    pub(crate) requests: BTreeMap<&'static str, u64>,
    /// Read capacity units.
    pub(crate) read_units: f64,
    /// Write capacity units.
    pub(crate) write_units: f64,
    /// Requests to Stripe.
    pub(crate) stripe: usize,
    /// Requests to Genesys.
    pub(crate) genesys: usize,
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests: Vec<String> = self
            .requests
            .iter()
            .map(|(operation, count)| match count {
                1 => (*operation).to_owned(),
                count => format!("{count} {operation}"),
            })
            .collect();
        let (read, write) = (self.read_units, self.write_units);
        let (stripe, genesys) = (self.stripe, self.genesys);
        write!(
            f,
            "{} | {read} | {write} | {stripe} | {genesys}",
            requests.join(", ")
        )
    }
}

/// An interceptor of the SDK: asks DynamoDB for the capacity of every request and adds it up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Mutex<Bill>>);

impl Meter {
    /// The same client, metered.
    pub(crate) fn client(&self, client: &Client) -> Client {
        Client::from_conf(
            client
                .config()
                .to_builder()
                .interceptor(self.clone())
                .build(),
        )
    }

    /// What was counted since the last time.
    pub(crate) fn take(&self) -> Bill {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn read(&self, operation: &'static str, consumed: Option<&ConsumedCapacity>) {
        let mut bill = self.0.lock().unwrap();
        *bill.requests.entry(operation).or_default() += 1;
        bill.read_units += units(consumed);
    }

    fn write(&self, operation: &'static str, consumed: &[ConsumedCapacity]) {
        let mut bill = self.0.lock().unwrap();
        *bill.requests.entry(operation).or_default() += 1;
        bill.write_units += consumed
            .iter()
            .map(|consumed| units(Some(consumed)))
            .sum::<f64>();
    }

    fn succeeded(&self, output: &Output) {
        if let Some(got) = output.downcast_ref::<GetItemOutput>() {
            self.read("GetItem", got.consumed_capacity());
        } else if let Some(put) = output.downcast_ref::<PutItemOutput>() {
            self.write("PutItem", put.consumed_capacity.as_slice());
        } else if let Some(updated) = output.downcast_ref::<UpdateItemOutput>() {
            self.write("UpdateItem", updated.consumed_capacity.as_slice());
        } else if let Some(written) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.write("TransactWriteItems", written.consumed_capacity());
        } else {
            panic!("an operation that the meter does not know: {output:?}; teach it");
        }
    }

    /// A put whose condition failed tells no capacity, but DynamoDB bills it by the item that is
    /// there, and nothing for handing that item out.
    fn failed(&self, error: &Error) {
        match error.downcast_ref::<PutItemError>() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let there = failed
                    .item()
                    .expect("the adapter asks for the item that is there");
                let units = dynoxide::types::write_capacity_units(size(there));
                self.write(
                    "PutItem",
                    &[ConsumedCapacity::builder().capacity_units(units).build()],
                );
            }
            _ => panic!("no request is to fail but a put of what is there: {error:?}"),
        }
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        macro_rules! ask_for_capacity {
            ($($operation:ty)*) => {$(
                if let Some(input) = input.downcast_mut::<$operation>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                }
            )*};
        }
        ask_for_capacity!(GetItemInput PutItemInput UpdateItemInput TransactWriteItemsInput);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.output_or_error() {
            Ok(output) => self.succeeded(output),
            Err(error) => self.failed(error.as_operation_error().expect("an answer of the engine")),
        }
        Ok(())
    }
}

fn units(consumed: Option<&ConsumedCapacity>) -> f64 {
    consumed
        .and_then(ConsumedCapacity::capacity_units)
        .expect("the engine tells the capacity")
}

/// An item's size in bytes, by the page "DynamoDB item sizes and formats".
fn size(item: &HashMap<String, AttributeValue>) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value_size(value))
        .sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => dynoxide::types::number_size(number),
        AttributeValue::Bool(_) => 1,
        AttributeValue::L(list) => 3 + list.len() + list.iter().map(value_size).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.len() + size(map),
        other => panic!("the adapter writes no such value: {other:?}"),
    }
}
