//! A Stripe that keeps state and obeys Stripe's idempotency rules.

mod api;
mod currencies;
mod error;
mod form;
mod idempotency;
mod intent;
mod journal;
mod ledger;
mod operation;
mod search;
mod service;
mod webhooks;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::conditions::{Conditions, shared_interface};
use crate::server::{Server, loopback};
use idempotency::Keys;
use intent::Status;
use journal::Journal;
use ledger::{Cause, Ledger};
use operation::{Account, Confirmation};

pub use error::StripeError;
pub use intent::Outcome;
pub use ledger::Charge;
pub use webhooks::{Delivery, Webhook, sign};

/// A running Stripe stand-in. Clones are handles to the same one; it stops when the last is
/// dropped.
#[derive(Clone)]
pub struct Stripe {
    server: Arc<Server>,
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    conditions: Conditions,
    settings: Mutex<Settings>,
    keys: Mutex<Keys>,
    ledger: Mutex<Ledger>,
    deliveries: watch::Sender<Vec<Delivery>>,
}

#[derive(Clone)]
struct Settings {
    secret_keys: Vec<String>,
    webhook_secrets: Vec<String>,
    restricted: bool,
    moto: bool,
    minimums: HashMap<String, i64>,
    /// Whether the refusal is kept.
    refused_addresses: HashMap<String, bool>,
}

impl Account for Settings {
    fn moto_allowed(&self) -> bool {
        self.moto
    }

    fn minimum(&self, currency: &str) -> i64 {
        let set = self.minimums.get(currency).copied();
        set.unwrap_or_else(|| currencies::minimum(currency))
    }

    fn refuses_address(&self, address: &str) -> Option<bool> {
        self.refused_addresses.get(address).copied()
    }
}

impl Shared {
    fn webhook(&self, event: &Value) -> Webhook {
        let body = webhooks::serialize(event);
        let secrets = self.settings.lock().unwrap().webhook_secrets.clone();
        let signature = webhooks::sign_with(&secrets, self.conditions.clock.now(), &body);
        Webhook { body, signature }
    }

    /// Applies what did not come through the API.
    fn outside(
        &self,
        change: impl FnOnce(&mut Ledger, Cause<'_>) -> Result<Value, StripeError>,
    ) -> Result<Value, StripeError> {
        let cause = Cause {
            now: self.conditions.clock.now(),
            ids: &self.conditions.ids,
            livemode: false,
            request_id: None,
            idempotency_key: None,
        };
        let mut ledger = self.ledger.lock().unwrap();
        let changed = change(&mut ledger, cause);
        ledger.write_down(None);
        changed
    }

    fn pay(&self, intent: &str, payment_method: &str) -> Result<Value, StripeError> {
        let payment_method = Some(payment_method.to_owned());
        let confirmation = Confirmation {
            payment_method,
            without_action: false,
        };
        self.outside(|ledger, cause| ledger.confirm(intent, &confirmation, cause))
    }

    fn authenticate(&self, intent: &str, succeeded: bool) -> Result<Value, StripeError> {
        let from = Status::RequiresAction;
        self.outside(|ledger, cause| ledger.conclude(intent, from, succeeded, cause))
    }
}

shared_interface!(Stripe);

impl Stripe {
    /// Listens on an ephemeral loopback port.
    pub async fn start(secret_key: &str, webhook_secret: &str) -> Self {
        Self::start_on(loopback().await, secret_key, webhook_secret)
    }

    /// Listens where it is told to. Needs a Tokio runtime around it.
    pub fn start_on(listener: TcpListener, secret_key: &str, webhook_secret: &str) -> Self {
        Self::serve(
            listener,
            secret_key,
            webhook_secret,
            Ledger::new(api::version()),
            Keys::default(),
        )
    }

    /// As [`Self::start_on`], with a file that holds intents, events, charges and idempotency keys:
    /// whatever was answered is in it first. Killed at any moment and resumed, it goes on as if
    /// nothing had happened, but for the requests and deliveries that were under way. Settings and
    /// faults are not kept. The file belongs to one stand-in at a time.
    ///
    /// # Errors
    ///
    /// Says why the file cannot be used.
    pub fn resume_on(
        listener: TcpListener,
        secret_key: &str,
        webhook_secret: &str,
        state: &Path,
    ) -> Result<Self, String> {
        let unusable =
            |error: &dyn std::fmt::Display| format!("cannot use {}: {error}", state.display());
        let (journal, entries) = Journal::open(state).map_err(|error| unusable(&error))?;
        let (mut keys, mut events) = (Keys::default(), Vec::new());
        for entry in entries {
            events.extend(entry.events);
            entry.key.into_iter().for_each(|key| keys.restore(key));
        }
        let mut ledger = Ledger::new(api::version());
        ledger
            .resume(journal, events)
            .map_err(|error| unusable(&error))?;
        Ok(Self::serve(
            listener,
            secret_key,
            webhook_secret,
            ledger,
            keys,
        ))
    }

    fn serve(
        listener: TcpListener,
        secret_key: &str,
        webhook_secret: &str,
        ledger: Ledger,
        keys: Keys,
    ) -> Self {
        let shared = Arc::new(Shared {
            conditions: Conditions::new(),
            settings: Mutex::new(Settings {
                secret_keys: vec![secret_key.to_owned()],
                webhook_secrets: vec![webhook_secret.to_owned()],
                restricted: false,
                moto: false,
                minimums: HashMap::new(),
                refused_addresses: HashMap::new(),
            }),
            keys: Mutex::new(keys),
            ledger: Mutex::new(ledger),
            deliveries: watch::Sender::new(Vec::new()),
        });
        Self {
            server: Arc::new(Server::start(listener, Arc::clone(&shared))),
            shared,
        }
    }

    /// The keys accepted from now on.
    pub fn set_secret_keys(&self, keys: &[&str]) {
        self.settings(|settings| settings.secret_keys = owned(keys));
    }

    /// Answers 403 to every accepted key, as to a restricted key without the permission.
    pub fn set_restricted(&self, restricted: bool) {
        self.settings(|settings| settings.restricted = restricted);
    }

    /// The secrets events are signed with from now on: one `v1` for each.
    pub fn set_webhook_secrets(&self, secrets: &[&str]) {
        self.settings(|settings| settings.webhook_secrets = owned(secrets));
    }

    /// Whether Stripe enabled `payment_method_options[card][moto]` for the account. It has not by
    /// default.
    pub fn allow_moto(&self, allowed: bool) {
        self.settings(|settings| settings.moto = allowed);
    }

    /// The least that can be charged in a currency, in its smallest unit.
    pub fn set_minimum(&self, currency: &str, amount: i64) {
        self.settings(|settings| {
            settings.minimums.insert(currency.to_owned(), amount);
        });
    }

    /// Refuses this address for a receipt: as a parameter that is not valid, or, `kept`, only when
    /// the intent would be made, so that the refusal is kept under the idempotency key.
    pub fn refuse_receipt(&self, address: &str, kept: bool) {
        self.settings(|settings| {
            settings.refused_addresses.insert(address.to_owned(), kept);
        });
    }

    /// Takes an address again that it refused.
    pub fn accept_receipt(&self, address: &str) {
        self.settings(|settings| {
            settings.refused_addresses.remove(address);
        });
    }

    /// While true, search finds nothing: its index has not caught up.
    pub fn set_search_lag(&self, lags: bool) {
        self.shared.ledger.lock().unwrap().search_lags = lags;
    }

    /// The status that search is refused with from now on, as in regions where Stripe does not
    /// offer it.
    pub fn set_search_refused(&self, status: Option<u16>) {
        self.shared.ledger.lock().unwrap().search_refused = status;
    }

    /// While true, search also finds intents that match only a part of what is asked for, the
    /// newest first.
    pub fn set_search_loose(&self, is_loose: bool) {
        self.shared.ledger.lock().unwrap().search_is_loose = is_loose;
    }

    /// The `api_version` of events from now on, which is the endpoint's and not the request's.
    pub fn set_event_api_version(&self, version: &str) {
        version.clone_into(&mut self.shared.ledger.lock().unwrap().event_api_version);
    }

    /// Makes a `pm_…` known, or changes what a known one does.
    pub fn add_payment_method(&self, id: &str, outcome: Outcome) {
        self.shared.ledger.lock().unwrap().register(id, outcome);
    }

    /// Every intent as it is now, oldest first.
    pub fn intents(&self) -> Vec<Value> {
        self.shared.ledger.lock().unwrap().intents()
    }

    /// One intent as it is now.
    pub fn intent(&self, id: &str) -> Option<Value> {
        self.shared.ledger.lock().unwrap().retrieve(id).ok()
    }

    /// The money that moved, in the order it did. An intent appears here as often as it was paid.
    pub fn charges(&self) -> Vec<Charge> {
        self.shared.ledger.lock().unwrap().charges()
    }

    /// Every event, oldest first.
    pub fn events(&self) -> Vec<Value> {
        self.shared.ledger.lock().unwrap().events()
    }

    /// The payer confirms on Stripe's own page.
    ///
    /// # Errors
    ///
    /// As Stripe would refuse it: a decline is a 402 and moves the intent all the same.
    pub fn pay(&self, intent: &str, payment_method: &str) -> Result<Value, StripeError> {
        self.shared.pay(intent, payment_method)
    }

    /// The payer passes or fails the authentication that `requires_action` waits for.
    ///
    /// # Errors
    ///
    /// When there is no such intent or it waits for nothing.
    pub fn authenticate(&self, intent: &str, succeeded: bool) -> Result<Value, StripeError> {
        self.shared.authenticate(intent, succeeded)
    }

    /// The outcome of a payment in `processing` becomes known.
    ///
    /// # Errors
    ///
    /// When there is no such intent or it is not processing.
    pub fn finish_processing(&self, intent: &str, succeeded: bool) -> Result<Value, StripeError> {
        let from = Status::Processing;
        self.shared
            .outside(|ledger, cause| ledger.conclude(intent, from, succeeded, cause))
    }

    /// Someone cancels the intent in the dashboard, or it expires (`Some("automatic")`).
    ///
    /// # Errors
    ///
    /// When there is no such intent or it can no longer be canceled.
    pub fn cancel(&self, intent: &str, reason: Option<&str>) -> Result<Value, StripeError> {
        let reason = reason.map(str::to_owned);
        self.shared
            .outside(|ledger, cause| ledger.cancel(intent, reason, cause))
    }

    /// Someone captures an authorized payment in the dashboard, the whole of it unless an amount is
    /// given.
    ///
    /// # Errors
    ///
    /// When there is no such intent, nothing to capture, or less than asked for.
    pub fn capture(&self, intent: &str, amount: Option<i64>) -> Result<Value, StripeError> {
        self.shared
            .outside(|ledger, cause| ledger.capture(intent, amount, cause))
    }

    /// `Stripe-Signature` over a raw body with the current webhook secrets.
    pub fn sign(&self, event_body: &[u8], t: i64) -> String {
        let secrets = self.shared.settings.lock().unwrap().webhook_secrets.clone();
        webhooks::sign_with(&secrets, t, event_body)
    }

    /// An event as an endpoint would get it now.
    pub fn webhook(&self, event: &Value) -> Webhook {
        self.shared.webhook(event)
    }

    /// Every event from now on, as it happens.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Value> {
        let (sender, events) = mpsc::unbounded_channel();
        self.shared.ledger.lock().unwrap().subscribe(sender);
        events
    }

    /// Someone edits an intent's metadata in the dashboard.
    ///
    /// # Errors
    ///
    /// When there is no such intent.
    pub fn edit_metadata(
        &self,
        intent: &str,
        metadata: &[(&str, &str)],
    ) -> Result<Value, StripeError> {
        self.shared
            .outside(|ledger, _| ledger.edit_metadata(intent, metadata))
    }

    /// Sends every event from now on to this address, in order, until it is accepted or has been
    /// refused a few times. Needs a Tokio runtime around it.
    pub fn deliver_to(&self, url: &str) {
        let (sender, events) = mpsc::unbounded_channel();
        self.shared.ledger.lock().unwrap().subscribe(sender);
        let delivering = webhooks::deliver(Arc::clone(&self.shared), events, url.to_owned());
        let end = self.server.end();
        tokio::spawn(async move {
            tokio::select! {
                () = delivering => {}
                () = end => {}
            }
        });
    }

    /// Waits until this many events have been accepted or given up, and returns what became of
    /// each.
    pub async fn delivered(&self, count: usize) -> Vec<Delivery> {
        let mut deliveries = self.shared.deliveries.subscribe();
        let enough = deliveries
            .wait_for(|deliveries| deliveries.len() >= count)
            .await;
        enough.expect("the handle keeps the sender alive").clone()
    }

    fn settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.settings.lock().unwrap());
    }
}

fn owned(strings: &[&str]) -> Vec<String> {
    strings.iter().map(|&string| string.to_owned()).collect()
}
