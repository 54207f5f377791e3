//! Everything the stand-in remembers, and the transitions that change it. Each change of an intent
//! leaves an event behind, with the intent as it was at that moment.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::error::StripeError;
use super::idempotency::Slot;
use super::intent::{Intent, Outcome, Status, decline_message};
use super::journal::Journal;
use super::operation::{
    Confirmation, Creation, EventQuery, ListQuery, Operation, Page, refused_address,
};
use super::search::Clause;
use crate::ids::Ids;

/// Money that really moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The intent it was for.
    pub intent: String,
    /// In the currency's smallest unit.
    pub amount: i64,
    /// In lower case.
    pub currency: String,
}

/// Who or what brings a change about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cause<'a> {
    pub(crate) now: i64,
    pub(crate) ids: &'a Ids,
    pub(crate) livemode: bool,
    /// Absent when it was not an API request.
    pub(crate) request_id: Option<&'a str>,
    pub(crate) idempotency_key: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    intents: Vec<Intent>,
    /// Oldest first.
    events: Vec<Value>,
    registered: HashMap<String, Outcome>,
    subscribers: Vec<UnboundedSender<Value>>,
    journal: Option<Journal>,
    /// How many of the events are in the journal.
    written: usize,
    pub(crate) event_api_version: String,
    pub(crate) search_lags: bool,
    /// The status that search is refused with, as where Stripe does not offer it.
    pub(crate) search_refused: Option<u16>,
    /// Search also finds what matches some clause only.
    pub(crate) search_is_loose: bool,
}

impl Ledger {
    pub(crate) fn new(event_api_version: &str) -> Self {
        Self {
            intents: Vec::new(),
            events: Vec::new(),
            registered: HashMap::new(),
            subscribers: Vec::new(),
            journal: None,
            written: 0,
            event_api_version: event_api_version.to_owned(),
            search_lags: false,
            search_refused: None,
            search_is_loose: false,
        }
    }

    /// Goes on from the events of an earlier process: each holds its intent whole.
    pub(crate) fn resume(
        &mut self,
        journal: Journal,
        events: Vec<Value>,
    ) -> serde_json::Result<()> {
        for event in &events {
            let intent = Intent::deserialize(&event["data"]["object"])?;
            match self.intents.iter_mut().find(|known| known.id == intent.id) {
                Some(known) => *known = intent,
                None => self.intents.push(intent),
            }
        }
        self.written = events.len();
        self.events = events;
        self.journal = Some(journal);
        Ok(())
    }

    /// Writes down what has changed since the last time. To be called before anybody is told of it,
    /// which is before the ledger is let go.
    pub(crate) fn write_down(&mut self, key: Option<(String, Slot)>) {
        let news = &self.events[self.written..];
        if let Some(journal) = &mut self.journal
            && (key.is_some() || !news.is_empty())
        {
            journal.append(news, key);
        }
        self.written = self.events.len();
    }

    pub(crate) fn intents(&self) -> Vec<Value> {
        self.intents.iter().map(Intent::to_json).collect()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.clone()
    }

    pub(crate) fn charges(&self) -> Vec<Charge> {
        let paid = self
            .events
            .iter()
            .filter(|event| event["type"] == "payment_intent.succeeded");
        let charge = |intent: &Value| Charge {
            intent: intent["id"].as_str().unwrap_or_default().to_owned(),
            amount: intent["amount_received"].as_i64().unwrap_or_default(),
            currency: intent["currency"].as_str().unwrap_or_default().to_owned(),
        };
        paid.map(|event| charge(&event["data"]["object"])).collect()
    }

    pub(crate) fn register(&mut self, payment_method: &str, outcome: Outcome) {
        self.registered.insert(payment_method.to_owned(), outcome);
    }

    pub(crate) fn subscribe(&mut self, subscriber: UnboundedSender<Value>) {
        self.subscribers.push(subscriber);
    }

    pub(crate) fn apply(
        &mut self,
        operation: Operation,
        cause: Cause<'_>,
    ) -> Result<Value, StripeError> {
        match operation {
            Operation::Create(creation) => self.create(*creation, cause),
            Operation::Confirm {
                intent,
                confirmation,
            } => self.confirm(&intent, &confirmation, cause),
            Operation::Capture { intent, amount } => self.capture(&intent, amount, cause),
            Operation::Cancel { intent, reason } => self.cancel(&intent, reason, cause),
            Operation::Retrieve { intent } => self.retrieve(&intent),
            Operation::Search { clauses, page } => match self.search_refused {
                Some(status) => Err(StripeError::of_status(status)),
                None => Ok(self.search(&clauses, &page)),
            },
            Operation::List(query) => self.list(&query),
            Operation::ListEvents(query) => self.list_events(&query),
            Operation::RetrieveEvent { event } => {
                let found = self
                    .events
                    .iter()
                    .find(|known| known["id"] == event.as_str());
                found
                    .cloned()
                    .ok_or_else(|| no_such("event", "id", &event, 404))
            }
        }
    }

    pub(crate) fn retrieve(&self, intent: &str) -> Result<Value, StripeError> {
        Ok(self.intents[self.find(intent)?].to_json())
    }

    fn create(&mut self, creation: Creation, cause: Cause<'_>) -> Result<Value, StripeError> {
        if creation.address_refused {
            return Err(refused_address());
        }
        // A card nobody knows leaves no intent behind.
        if let Some(payment_method) = &creation.payment_method {
            self.outcome(payment_method)?;
        } else if creation.confirmation.is_some() {
            return Err(missing_payment_method());
        }
        let id = cause.ids.alphanumeric("pi_", 24);
        let status = match creation.payment_method {
            Some(_) => Status::RequiresConfirmation,
            None => Status::RequiresPaymentMethod,
        };
        self.intents.push(Intent {
            client_secret: cause.ids.alphanumeric(&format!("{id}_secret_"), 25),
            id: id.clone(),
            amount: creation.amount,
            amount_received: 0,
            amount_capturable: 0,
            currency: creation.currency,
            status,
            created: cause.now,
            livemode: cause.livemode,
            metadata: creation.metadata,
            capture_method: creation.capture_method,
            payment_method: creation.payment_method,
            allowed_payment_method_types: creation.allowed_payment_method_types,
            payment_method_types: vec!["card".to_owned()],
            last_payment_error: None,
            latest_charge: None,
            description: creation.description,
            receipt_email: creation.receipt_email,
            statement_descriptor_suffix: creation.statement_descriptor_suffix,
            canceled_at: None,
            cancellation_reason: None,
        });
        self.record(self.intents.len() - 1, "created", cause);
        match creation.confirmation {
            Some(confirmation) => self.confirm(&id, &confirmation, cause),
            None => self.retrieve(&id),
        }
    }

    pub(crate) fn confirm(
        &mut self,
        intent: &str,
        confirmation: &Confirmation,
        cause: Cause<'_>,
    ) -> Result<Value, StripeError> {
        let at = self.find(intent)?;
        if !self.intents[at].status.confirmable() {
            return Err(self.unexpected_state(at, "confirm"));
        }
        let known = self.intents[at].payment_method.clone();
        let payment_method = confirmation.payment_method.clone().or(known);
        let payment_method = payment_method.ok_or_else(missing_payment_method)?;
        let outcome = self.outcome(&payment_method)?;
        self.intents[at].payment_method = Some(payment_method);
        self.intents[at].last_payment_error = None;
        match outcome {
            Outcome::Succeed => self.approve(at, cause),
            Outcome::Decline { code, decline_code } => {
                return Err(self.decline(at, &code, &decline_code, cause));
            }
            Outcome::RequireAuthentication if confirmation.without_action => {
                let code = "authentication_required";
                return Err(self.decline(at, code, code, cause));
            }
            Outcome::RequireAuthentication => {
                self.intents[at].status = Status::RequiresAction;
                self.record(at, "requires_action", cause);
            }
            Outcome::Process => {
                self.intents[at].status = Status::Processing;
                self.record(at, "processing", cause);
            }
        }
        Ok(self.intents[at].to_json())
    }

    /// Stripe has no `payment_intent` event for this.
    pub(crate) fn edit_metadata(
        &mut self,
        intent: &str,
        metadata: &[(&str, &str)],
    ) -> Result<Value, StripeError> {
        let at = self.find(intent)?;
        let pairs = metadata
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        self.intents[at].metadata.extend(pairs);
        Ok(self.intents[at].to_json())
    }

    pub(crate) fn capture(
        &mut self,
        intent: &str,
        amount: Option<i64>,
        cause: Cause<'_>,
    ) -> Result<Value, StripeError> {
        let at = self.find(intent)?;
        if self.intents[at].status != Status::RequiresCapture {
            return Err(self.unexpected_state(at, "capture"));
        }
        let capturable = self.intents[at].amount_capturable;
        let amount = amount.unwrap_or(capturable);
        if amount > capturable {
            let message =
                format!("amount_to_capture is {amount}, only {capturable} can be captured");
            return Err(StripeError::invalid(message)
                .code("amount_too_large")
                .param("amount_to_capture"));
        }
        self.receive(at, amount, cause);
        Ok(self.intents[at].to_json())
    }

    pub(crate) fn cancel(
        &mut self,
        intent: &str,
        reason: Option<String>,
        cause: Cause<'_>,
    ) -> Result<Value, StripeError> {
        let at = self.find(intent)?;
        if !self.intents[at].status.cancelable() {
            return Err(self.unexpected_state(at, "cancel"));
        }
        let intent = &mut self.intents[at];
        intent.status = Status::Canceled;
        intent.amount_capturable = 0;
        intent.canceled_at = Some(cause.now);
        intent.cancellation_reason = reason;
        self.record(at, "canceled", cause);
        Ok(self.intents[at].to_json())
    }

    /// Ends what the payer or the network left open, well or badly.
    pub(crate) fn conclude(
        &mut self,
        intent: &str,
        from: Status,
        succeeded: bool,
        cause: Cause<'_>,
    ) -> Result<Value, StripeError> {
        let at = self.find(intent)?;
        if self.intents[at].status != from {
            return Err(self.unexpected_state(at, "conclude"));
        }
        if succeeded {
            self.approve(at, cause);
        } else if from == Status::RequiresAction {
            let error = json!({
                "type": "invalid_request_error",
                "code": "payment_intent_authentication_failure",
                "message": "The payer did not pass authentication.",
            });
            self.fail(at, error, cause);
        } else {
            // The refusal is the outcome asked for, not an error of this call.
            let _ = self.decline(at, "card_declined", "generic_decline", cause);
        }
        Ok(self.intents[at].to_json())
    }

    fn approve(&mut self, at: usize, cause: Cause<'_>) {
        let charge = cause.ids.alphanumeric("ch_", 24);
        let intent = &mut self.intents[at];
        intent.latest_charge = Some(charge);
        if intent.captures_manually() {
            intent.status = Status::RequiresCapture;
            intent.amount_capturable = intent.amount;
            self.record(at, "amount_capturable_updated", cause);
        } else {
            let amount = intent.amount;
            self.receive(at, amount, cause);
        }
    }

    fn receive(&mut self, at: usize, amount: i64, cause: Cause<'_>) {
        let intent = &mut self.intents[at];
        intent.status = Status::Succeeded;
        intent.amount_received = amount;
        intent.amount_capturable = 0;
        self.record(at, "succeeded", cause);
    }

    fn decline(
        &mut self,
        at: usize,
        code: &str,
        decline_code: &str,
        cause: Cause<'_>,
    ) -> StripeError {
        let charge = cause.ids.alphanumeric("ch_", 24);
        self.intents[at].latest_charge = Some(charge.clone());
        let error = json!({
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "charge": charge,
            "message": decline_message(decline_code),
        });
        let mut error = self.fail(at, error, cause);
        error["payment_intent"] = self.intents[at].to_json();
        StripeError { status: 402, error }
    }

    /// Back to the start with the error noted. The card is named only in the error, as Stripe does.
    fn fail(&mut self, at: usize, mut error: Value, cause: Cause<'_>) -> Value {
        let intent = &mut self.intents[at];
        let payment_method = intent.payment_method.take();
        error["payment_method"] =
            json!({ "id": payment_method, "object": "payment_method", "type": "card" });
        intent.status = Status::RequiresPaymentMethod;
        intent.last_payment_error = Some(error.clone());
        self.record(at, "payment_failed", cause);
        error
    }

    fn search(&self, clauses: &[Clause], page: &Page) -> Value {
        let matches = |intent: &&Intent| {
            let holds = |clause: &Clause| intent.metadata.get(&clause.key) == Some(&clause.value);
            if self.search_is_loose {
                clauses.iter().any(holds)
            } else {
                clauses.iter().all(holds)
            }
        };
        let visible: &[Intent] = if self.search_lags { &[] } else { &self.intents };
        let found: Vec<&Intent> = visible.iter().rev().filter(matches).collect();
        let after = page.offset + page.limit;
        let has_more = found.len() > after;
        let data = found
            .into_iter()
            .skip(page.offset)
            .take(page.limit)
            .map(Intent::to_json);
        json!({
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "has_more": has_more,
            "next_page": has_more.then(|| after.to_string()),
            "data": data.collect::<Vec<_>>(),
        })
    }

    /// Newest first, without delay: unlike search, the list reads what was just written.
    fn list(&self, query: &ListQuery) -> Result<Value, StripeError> {
        let mut older = self.intents.as_slice();
        if let Some(cursor) = &query.starting_after {
            let at = older.iter().position(|intent| intent.id == *cursor);
            older = &older
                [..at.ok_or_else(|| no_such("payment_intent", "starting_after", cursor, 400))?];
        }
        let span = query.created_from..=query.created_to;
        let found: Vec<&Intent> = older
            .iter()
            .rev()
            .filter(|intent| span.contains(&intent.created))
            .collect();
        Ok(json!({
            "object": "list",
            "url": "/v1/payment_intents",
            "has_more": found.len() > query.limit,
            "data": found.into_iter().take(query.limit).map(Intent::to_json).collect::<Vec<_>>(),
        }))
    }

    fn list_events(&self, query: &EventQuery) -> Result<Value, StripeError> {
        let mut older = self.events.as_slice();
        if let Some(cursor) = &query.starting_after {
            let at = older
                .iter()
                .position(|event| event["id"] == cursor.as_str());
            older = &older[..at.ok_or_else(|| no_such("event", "starting_after", cursor, 400))?];
        }
        let matches = |event: &&Value| {
            let created = event["created"].as_i64().unwrap_or_default();
            (query.created_from..=query.created_to).contains(&created)
                && (query.types.is_empty()
                    || query
                        .types
                        .iter()
                        .any(|kind| event["type"] == kind.as_str()))
        };
        let found: Vec<&Value> = older.iter().rev().filter(matches).collect();
        Ok(json!({
            "object": "list",
            "url": "/v1/events",
            "has_more": found.len() > query.limit,
            "data": found.into_iter().take(query.limit).collect::<Vec<_>>(),
        }))
    }

    fn record(&mut self, at: usize, change: &str, cause: Cause<'_>) {
        let intent = &self.intents[at];
        let event = json!({
            "id": cause.ids.alphanumeric("evt_", 24),
            "object": "event",
            "api_version": self.event_api_version,
            "created": cause.now,
            "data": { "object": intent.to_json() },
            "livemode": intent.livemode,
            "pending_webhooks": self.subscribers.len(),
            "request": { "id": cause.request_id, "idempotency_key": cause.idempotency_key },
            "type": format!("payment_intent.{change}"),
        });
        self.subscribers
            .retain(|subscriber| subscriber.send(event.clone()).is_ok());
        self.events.push(event);
    }

    fn outcome(&self, payment_method: &str) -> Result<Outcome, StripeError> {
        let registered = self.registered.get(payment_method).cloned();
        registered
            .or_else(|| Outcome::of_test_card(payment_method))
            .ok_or_else(|| no_such("PaymentMethod", "payment_method", payment_method, 400))
    }

    fn find(&self, intent: &str) -> Result<usize, StripeError> {
        let at = self.intents.iter().position(|known| known.id == intent);
        at.ok_or_else(|| no_such("payment_intent", "intent", intent, 404))
    }

    fn unexpected_state(&self, at: usize, verb: &str) -> StripeError {
        let intent = &self.intents[at];
        let message = format!(
            "You cannot {verb} this PaymentIntent because it has a status of {}.",
            intent.status.name()
        );
        StripeError::invalid(message)
            .code("payment_intent_unexpected_state")
            .field("payment_intent", intent.to_json())
    }
}

fn missing_payment_method() -> StripeError {
    let message = "You cannot confirm this PaymentIntent because it's missing a payment method.";
    StripeError::invalid(message).code("payment_intent_unexpected_state")
}

fn no_such(kind: &str, param: &str, id: &str, status: u16) -> StripeError {
    StripeError::new(
        status,
        "invalid_request_error",
        format!("No such {kind}: '{id}'"),
    )
    .code("resource_missing")
    .param(param)
}
