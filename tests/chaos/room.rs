//! One seed's world: the three functions in as many instances as run at once, and everything they
//! are connected to.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use create_intent::CreateIntentFunction;
use dynoxide::Database;
use lambda_http::{Body, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use shared::adapters::aws;
use shared::adapters::dynamodb::Table;
use shared::adapters::genesys::Genesys as GenesysClient;
use shared::adapters::genesys::GenesysConfig;
use shared::adapters::http::Http;
use shared::adapters::secrets::{CachedSecret, SecretsManager};
use shared::adapters::stripe::Stripe as StripeClient;
use shared::lambda::config::CreateIntentConfig;
use shared::ports::{ReadSecret, SecretError};
use stand_ins::{Genesys, Scene, Stripe};
use status_query::StatusQueryFunction;
use stripe_webhook::StripeWebhookFunction;
use tests::{Answer, request, rest_event, url_event};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use crate::lines::{Aws, Line};
use crate::link::SeededBits;
use crate::schedule::RECEIPTS;
use crate::sim::{Hit, Sim, SimClock, mortal};
use crate::steps::Steps;
use crate::watch::{Order, PayLink, Record, Watch};

type StripeAdapter = StripeClient<Shelf, Line>;
type GenesysAdapter = GenesysClient<Shelf, Line>;
type Create = CreateIntentFunction<Table, StripeAdapter, SeededBits, SimClock>;
type Webhook = StripeWebhookFunction<Table, StripeAdapter, GenesysAdapter, SimClock>;
pub(crate) type Status = StatusQueryFunction<Table, StripeAdapter, GenesysAdapter, SimClock>;

const GENESYS_CLIENT: &str = "5f0c0d3e-genesys-client";
const CREATE_BUDGET: Duration = Duration::from_millis(4500);

/// Where pay links lead.
pub(crate) const LINK_BASE: &str = "https://pay.example.com";

/// Timers have a resolution of 1 ms.
const GRAIN: Duration = Duration::from_millis(2);

pub(crate) struct Room {
    pub(crate) sim: Arc<Sim>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) stripe: Stripe,
    pub(crate) genesys: Genesys,
    pub(crate) aws: Aws,
    pub(crate) credentials: Mutex<Credentials>,
    orders: Mutex<Vec<Order>>,
    /// Every call that may ask for an order; the orders' own ones come first.
    conversations: Vec<String>,
    /// Whether an order id names one payment in each conversation, so that no other call asks.
    by_conversation: bool,
    links: Mutex<Vec<PayLink>>,
    /// The links whose record has expired.
    expired: Mutex<HashSet<String>>,
    dynamodb: aws_sdk_dynamodb::Client,
    secrets_manager: aws_sdk_secretsmanager::Client,
    config: CreateIntentConfig,
    late_payment_flow: bool,
    events: Mutex<Option<UnboundedReceiver<Value>>>,
    closing: Notify,
    under_way: AtomicU64,
    invocations: AtomicU64,
    creates: Mutex<Vec<Create>>,
    webhooks: Mutex<Vec<(Webhook, Shelf)>>,
    statuses: Mutex<Vec<Status>>,
}

/// Where an instance reads one secret. It knows what it gave last, which is what the instance
/// holds.
#[derive(Clone)]
pub(crate) struct Shelf {
    sim: Arc<Sim>,
    aws: Aws,
    id: &'static str,
    manager: SecretsManager,
    given: Arc<Mutex<Option<String>>>,
}

impl Shelf {
    /// Whether the instance holds the secret as it is now.
    fn is_held(&self) -> bool {
        let given = self.given.lock().unwrap();
        given.is_some() && *given == self.aws.secret_text(self.id)
    }

    /// Whether it is held as it is now, and has this in it: Stripe may sign with a new secret
    /// before it is written down.
    fn holds(&self, secret: &str) -> bool {
        self.is_held()
            && self
                .given
                .lock()
                .unwrap()
                .as_ref()
                .is_some_and(|given| given.contains(secret))
    }
}

impl ReadSecret for Shelf {
    async fn read_secret(&self) -> Result<SecretString, SecretError> {
        let read = self.manager.read_secret().await;
        match &read {
            Ok(text) => *self.given.lock().unwrap() = Some(text.expose_secret().to_owned()),
            Err(_) if self.aws.secrets_are_down() && self.is_held() => {
                self.sim.hit(Hit::SecretsDownHeld)
            }
            Err(_) => {}
        }
        read
    }
}

/// What is in the secrets now, numbered by rotation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) stripe_key: u32,
    pub(crate) webhook_secret: u32,
    pub(crate) genesys_secret: u32,
}

impl Credentials {
    pub(crate) fn stripe_key(number: u32) -> String {
        format!("sk_test_canary0key{number}")
    }

    pub(crate) fn webhook_secret(number: u32) -> String {
        format!("whsec_canary0webhook{number}")
    }

    pub(crate) fn genesys_secret(number: u32) -> String {
        format!("canary0genesys{number}")
    }
}

/// One for all schedules, for making one takes its time.
fn http() -> &'static Http {
    static HTTP: OnceLock<Http> = OnceLock::new();
    HTTP.get_or_init(tests::http)
}

impl Room {
    pub(crate) async fn new(seed: u64, sim: &Arc<Sim>) -> Arc<Self> {
        let stripe =
            Stripe::start(&Credentials::stripe_key(0), &Credentials::webhook_secret(0)).await;
        let genesys = Genesys::start(GENESYS_CLIENT, &Credentials::genesys_secret(0)).await;
        let events = stripe.subscribe();
        for (address, kept) in RECEIPTS[1..].iter().zip([false, true]) {
            stripe.refuse_receipt(address, kept);
        }
        stripe.seed_ids(seed);
        genesys.seed_ids(seed);
        let with_orders = 1 + sim.below(2);
        let by_conversation = sim.chance(150);
        let (mut orders, mut conversations) = (Vec::new(), Vec::new());
        for n in 0..=with_orders {
            let conversation = format!("7d3c1f5e-8a51-4c0e-9b7a-{:012x}", seed * 3 + n);
            conversations.push(conversation.clone());
            let scene = if sim.chance(300) {
                Scene::outbound()
            } else {
                Scene::with_agent()
            };
            genesys.open_conversation(&conversation, scene);
            if n < with_orders {
                orders.extend(
                    (0..=sim.below(2)).map(|order| (conversation.clone(), format!("{n}-{order}"))),
                );
            }
        }

        let database = database();
        let watch = Watch::new(sim, by_conversation, &database, &stripe);
        for order in &orders {
            watch.expect(order);
        }
        let aws = Aws::new(sim, &watch, database);
        let dynamodb = aws_sdk_dynamodb::Client::from_conf(
            aws_sdk_dynamodb::Config::builder()
                .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
                .region(aws_sdk_dynamodb::config::Region::new("eu-central-1"))
                .credentials_provider(credentials())
                .http_client(aws.clone())
                .timeout_config(aws::timeouts())
                .retry_config(aws::retries())
                // The default is shared by the whole process, and so by all schedules.
                .retry_partition(partition())
                .build(),
        );
        let secrets_manager = aws_sdk_secretsmanager::Client::from_conf(
            aws_sdk_secretsmanager::Config::builder()
                .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
                .region(aws_sdk_secretsmanager::config::Region::new("eu-central-1"))
                .credentials_provider(credentials())
                .http_client(aws.clone())
                .timeout_config(aws::timeouts())
                .retry_config(aws::retries())
                .retry_partition(partition())
                .build(),
        );
        let capture = if sim.chance(200) {
            "manual"
        } else {
            "automatic"
        };
        let config = CreateIntentConfig::read(|name| {
            let value = match name {
                "TABLE_NAME" => "payments",
                "STRIPE_SECRET_ID" => "stripe",
                "CAPTURE_METHOD" => capture,
                "STRIPE_API_BASE" => "http://127.0.0.1:1",
                "PAY_LINK_BASE" => LINK_BASE,
                "ORDER_SCOPE" if by_conversation => "conversation",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let config = config.expect("configuration");
        let room = Arc::new(Self {
            sim: Arc::clone(sim),
            watch,
            stripe,
            genesys,
            aws,
            credentials: Mutex::default(),
            orders: Mutex::new(orders),
            conversations,
            by_conversation,
            links: Mutex::default(),
            expired: Mutex::default(),
            dynamodb,
            secrets_manager,
            late_payment_flow: sim.chance(500),
            config,
            events: Mutex::new(Some(events)),
            closing: Notify::new(),
            under_way: AtomicU64::new(0),
            invocations: AtomicU64::new(0),
            creates: Mutex::default(),
            webhooks: Mutex::default(),
            statuses: Mutex::default(),
        });
        room.write_secrets();
        room
    }

    /// Every order that was ever asked for.
    pub(crate) fn orders(&self) -> Vec<Order> {
        self.orders.lock().unwrap().clone()
    }

    /// A call that may ask for the order, mostly its own.
    pub(crate) fn a_call_for(&self, order: &Order) -> String {
        if self.by_conversation || self.sim.chance(600) {
            return order.0.clone();
        }
        let at = self.sim.below(self.conversations.len() as u64);
        self.conversations[usize::try_from(at).unwrap()].clone()
    }

    /// A call that has no order of its own.
    pub(crate) fn another_conversation(&self) -> String {
        self.conversations.last().expect("a call").clone()
    }

    /// The table, as an instance that starts now finds it.
    fn table(&self) -> Table {
        Table::new(self.dynamodb.clone(), self.config.table.clone())
    }

    pub(crate) fn add_order(&self, order: &Order) {
        self.watch.expect(order);
        self.orders.lock().unwrap().push(order.clone());
    }

    /// Every link that came with a reply, in order.
    pub(crate) fn links(&self) -> Vec<PayLink> {
        self.links.lock().unwrap().clone()
    }

    pub(crate) fn expired(&self) -> HashSet<String> {
        self.expired.lock().unwrap().clone()
    }

    /// The record of a canceled order expires.
    pub(crate) fn expire(&self, order: &Order) {
        self.watch.expire(order);
        let links = self.links().into_iter().filter(|link| link.order == *order);
        let mut expired = self.expired.lock().unwrap();
        expired.extend(links.map(|link| link.url));
    }

    pub(crate) fn keep(&self, link: PayLink) {
        self.links.lock().unwrap().push(link);
    }

    /// The next event of Stripe's; none any more once [`Self::stop_events`] was called and all were
    /// given.
    pub(crate) async fn next_event(&self, events: &mut UnboundedReceiver<Value>) -> Option<Value> {
        tokio::select! {
            biased;
            event = events.recv() => event,
            () = self.closing.notified() => {
                self.closing.notify_one();
                events.try_recv().ok()
            }
        }
    }

    /// Stripe's events, for the one who delivers them.
    pub(crate) fn events(&self) -> UnboundedReceiver<Value> {
        self.events
            .lock()
            .unwrap()
            .take()
            .expect("one who delivers")
    }

    pub(crate) fn stop_events(&self) {
        self.closing.notify_one();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }

    /// Waits for four seconds in which nothing was under way, so that no request of a function that
    /// is done is on its way either. Gives up after an hour, where something never ends.
    pub(crate) async fn until_quiet(&self) {
        for _ in 0..900 {
            let before = self.invocations();
            self.sim.pause(4000, 4001).await;
            if self.is_idle() && self.invocations() == before {
                return;
            }
        }
    }

    pub(crate) fn invocations(&self) -> u64 {
        self.invocations.load(Ordering::SeqCst)
    }

    /// Writes both secrets as the credentials are now.
    pub(crate) fn write_secrets(&self) {
        let Credentials {
            stripe_key,
            webhook_secret,
            genesys_secret,
        } = *self.credentials.lock().unwrap();
        let stripe = json!({
            "secret_key": Credentials::stripe_key(stripe_key),
            "publishable_key": "pk_test_1",
            "webhook_secrets": [Credentials::webhook_secret(webhook_secret)],
        });
        let genesys = json!({ "client_id": GENESYS_CLIENT, "client_secret": Credentials::genesys_secret(genesys_secret) });
        self.aws.put_secret("stripe", &stripe);
        self.aws.put_secret("genesys", &genesys);
    }

    /// Stripe and Genesys accept the credentials as they are now, and no others.
    pub(crate) fn retire_old_credentials(&self) {
        let now = *self.credentials.lock().unwrap();
        self.stripe
            .set_secret_keys(&[&Credentials::stripe_key(now.stripe_key)]);
        self.stripe
            .set_webhook_secrets(&[&Credentials::webhook_secret(now.webhook_secret)]);
        self.genesys.set_credentials(
            GENESYS_CLIENT,
            &Credentials::genesys_secret(now.genesys_secret),
        );
    }

    fn shelf(&self, id: &'static str) -> Shelf {
        let manager = SecretsManager::new(self.secrets_manager.clone(), id.to_owned());
        Shelf {
            sim: Arc::clone(&self.sim),
            aws: self.aws.clone(),
            id,
            manager,
            given: Arc::default(),
        }
    }

    fn stripe_client(&self) -> (StripeAdapter, Shelf) {
        let shelf = self.shelf("stripe");
        let secret = Arc::new(CachedSecret::new(shelf.clone()));
        let line = Line::to_stripe(&self.sim, &self.watch, &self.stripe);
        let base = self.config.stripe.api_base.clone();
        let client = StripeClient::new(http().over(line), base, secret, false);
        (client, shelf)
    }

    fn genesys_client(&self) -> GenesysAdapter {
        let config = GenesysConfig {
            secret_id: "genesys".to_owned(),
            api_base: "http://127.0.0.1:2".to_owned(),
            login_base: "http://127.0.0.1:2".to_owned(),
            late_payment_flow_id: self.late_payment_flow.then(|| "flow".to_owned()),
        };
        let line = Line::to_genesys(&self.sim, &self.watch, &self.genesys);
        GenesysClient::new(
            http().over(line),
            config,
            Arc::new(CachedSecret::new(self.shelf("genesys"))),
        )
    }

    pub(crate) fn clock(&self) -> SimClock {
        SimClock(Arc::clone(&self.sim))
    }

    /// `POST /payments`; `None` when the function was killed.
    pub(crate) async fn post(&self, body: &Value) -> Option<Answer> {
        let name = |field: &str| body[field].as_str().expect("a name").to_owned();
        let (conversation, order) = (name("conversation_id"), self.watch.order(&name("order_id")));
        let before = self.watch.record(&order);
        self.count_end_found(before.as_ref());
        if conversation != order.0 {
            self.sim.hit(Hit::SecondCall);
        }
        let function = self.create_instance();
        let event = rest_event(
            "POST",
            "/payments",
            &json!({}),
            &json!({}),
            &body.to_string(),
        );
        let response = self
            .invoke(
                "create-intent",
                CREATE_BUDGET,
                function.handle(request(&event)),
            )
            .await?;
        self.creates.lock().unwrap().push(function);
        let handled = self.read("create-intent", response);
        self.usable("create-intent", &handled);
        if handled.status < 300 {
            let same = handled.body["amount_minor"] == body["amount_minor"];
            self.sim.check(same, || {
                format!(
                    "1: {body} is answered with another amount: {}",
                    handled.body
                )
            });
            let holds = handled.body["is_holder"] == true
                && handled.body["conversation_id"] == conversation.as_str();
            self.sim.check(holds, || {
                format!("4: {body} is answered for somebody else: {}", handled.body)
            });
            self.handed_out(&order, &handled.body);
        }
        if body["replace"] == true {
            let other = before.is_some_and(|before| body["amount_minor"] != before.amount);
            match (handled.status, handled.body["code"].as_str()) {
                (201, _) if other => self.sim.hit(Hit::Replaced),
                (409, Some("order_changed")) => self.sim.hit(Hit::ReplaceLost),
                (409, Some("in_progress")) if self.is_at_bank(&order) => {
                    self.sim.hit(Hit::ReplaceGaveWay);
                }
                _ => {}
            }
        }
        Some(handled)
    }

    fn count_end_found(&self, record: Option<&Record>) {
        if record.is_some_and(Record::is_ending) {
            self.sim.hit(Hit::EndingFound);
        }
    }

    /// Whether the payer is at the bank.
    pub(crate) fn is_at_bank(&self, order: &Order) -> bool {
        let intent = self.watch.record(order).and_then(|record| record.intent);
        let intent = intent.and_then(|intent| self.stripe.intent(&intent));
        intent.is_some_and(|intent| intent["status"] == "requires_action")
    }

    /// `DELETE /payments/{conversation_id}` by any call, by force now and then; `None` when the
    /// function was killed.
    pub(crate) async fn cancel(&self, order: &Order) -> Option<Answer> {
        let (conversation, force) = match self.sim.is_calm() {
            true => (order.0.clone(), true),
            false => (self.a_call_for(order), self.sim.chance(200)),
        };
        let order_id = &order.1;
        let before = self.watch.record(order);
        self.count_end_found(before.as_ref());
        let is_stranger = before
            .as_ref()
            .is_some_and(|before| before.holder != conversation);
        if force && is_stranger && self.is_at_bank(order) {
            self.sim.hit(Hit::CancelForced);
        }
        match before.map(|record| record.status).as_deref() {
            _ if self.sim.is_calm() => {}
            Some("CREATING") => self.sim.hit(Hit::CancelCreating),
            Some("PENDING" | "DECLINED") => self.sim.hit(Hit::CancelPayable),
            Some("CANCELED") => self.sim.hit(Hit::CancelAgain),
            _ => {}
        }
        let function = self.create_instance();
        let names = json!({ "conversation_id": conversation });
        let path = format!("/payments/{conversation}");
        let event = rest_event(
            "DELETE",
            &path,
            &names,
            &json!({ "order_id": order_id, "force": force.to_string() }),
            "",
        );
        let response = self
            .invoke("cancel", CREATE_BUDGET, function.handle(request(&event)))
            .await?;
        self.creates.lock().unwrap().push(function);
        let handled = self.read("cancel", response);
        self.usable("cancel", &handled);
        match handled.body["payment_status"].as_str() {
            Some("CANCELED") => {
                self.watch.answered_canceled(
                    order,
                    handled.body["attempt"].as_u64().expect("an attempt"),
                );
            }
            Some("CONFIRMED") => self.sim.hit(Hit::CancelTooLate),
            None if handled.body["code"] == "in_progress" && !force && self.is_at_bank(order) => {
                self.sim.hit(Hit::CancelGaveWay);
            }
            _ => {}
        }
        Some(handled)
    }

    fn create_instance(&self) -> Create {
        self.instance(&self.creates)
            .unwrap_or_else(|| CreateIntentFunction {
                store: self.table(),
                stripe: self.stripe_client().0,
                random: SeededBits {
                    sim: Arc::clone(&self.sim),
                    watch: Arc::clone(&self.watch),
                },
                clock: self.clock(),
                policy: self.config.policy.clone(),
                budget: CREATE_BUDGET,
                pay_link: self.config.pay_link.clone(),
            })
    }

    /// `GET /payments/{conversation_id}` by any call; `None` when the function was killed.
    pub(crate) async fn status(&self, of: &Order, by_order: bool) -> Option<Answer> {
        let (conversation, order) = match self.sim.is_calm() {
            true => (of.0.clone(), &of.1),
            false => (self.a_call_for(of), &of.1),
        };
        let function = self.status_instance();
        let query = if by_order {
            json!({ "order_id": order })
        } else {
            json!({})
        };
        let path = format!("/payments/{conversation}");
        let event = rest_event(
            "GET",
            &path,
            &json!({ "conversation_id": conversation }),
            &query,
            "",
        );
        let response = self
            .invoke(
                "status-query",
                status_query::BUDGET,
                function.handle(request(&event)),
            )
            .await?;
        self.return_status_instance(function);
        let handled = self.read("status-query", response);
        self.usable("status-query", &handled);
        Some(handled)
    }

    pub(crate) fn status_instance(&self) -> Status {
        self.instance(&self.statuses)
            .unwrap_or_else(|| StatusQueryFunction {
                store: self.table(),
                stripe: self.stripe_client().0,
                genesys: Some(self.genesys_client()),
                clock: self.clock(),
                merchant_name: tests::MERCHANT.to_owned(),
            })
    }

    pub(crate) fn return_status_instance(&self, function: Status) {
        self.statuses.lock().unwrap().push(function);
    }

    /// One delivery of an event, signed as Stripe signs now; `None` when the function was killed.
    pub(crate) async fn deliver(&self, event: &Value) -> Option<Answer> {
        let (function, shelf) = self.instance(&self.webhooks).unwrap_or_else(|| {
            let (stripe, shelf) = self.stripe_client();
            let (store, genesys, clock) = (self.table(), Some(self.genesys_client()), self.clock());
            (
                StripeWebhookFunction {
                    store,
                    stripe,
                    genesys,
                    clock,
                },
                shelf,
            )
        });
        let holds = shelf.holds(&Credentials::webhook_secret(
            self.credentials.lock().unwrap().webhook_secret,
        ));
        self.stripe.set_now(self.sim.true_second());
        let webhook = self.stripe.webhook(event);
        let event = url_event(
            &webhook.body,
            Some(&webhook.signature),
            self.sim.chance(500),
        );
        let response = self
            .invoke(
                "stripe-webhook",
                stripe_webhook::BUDGET,
                function.handle(request(&event)),
            )
            .await?;
        self.webhooks.lock().unwrap().push((function, shelf));
        let handled = self.read("stripe-webhook", response);
        let stopped = holds && handled.text("outcome") == "secret_unavailable";
        self.sim.check(!stopped, || {
            "6: stripe-webhook stopped although it holds its secret".to_owned()
        });
        let known = matches!(handled.status, 200 | 400 | 503);
        self.sim.check(known, || {
            format!(
                "6: stripe-webhook answered {} {}",
                handled.status, handled.body
            )
        });
        Some(handled)
    }

    /// An idle instance; now and then none, so that one starts cold. In a calm outage of Secrets
    /// Manager none does, for nobody could give it its secret.
    fn instance<F>(&self, idle: &Mutex<Vec<F>>) -> Option<F> {
        let mut idle = idle.lock().unwrap();
        let cold =
            u64::from(idle.is_empty() || !(self.sim.is_calm() && self.aws.secrets_are_down()));
        let at = self.sim.below(idle.len() as u64 + cold);
        (at < idle.len() as u64).then(|| idle.swap_remove(usize::try_from(at).unwrap()))
    }

    /// Lets a function answer; `None` when it was killed.
    pub(crate) async fn invoke(
        &self,
        name: &str,
        budget: Duration,
        handling: impl Future<Output = Response<Body>>,
    ) -> Option<Response<Body>> {
        let sim = &self.sim;
        let lives = sim.lives(name);
        sim.note(|| format!("▶ {name}"));
        let started = Instant::now();
        self.invocations.fetch_add(1, Ordering::SeqCst);
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let mut steps = Steps::default();
        let handled = mortal(lives, &mut steps, handling).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        sim.took(steps.pairs(name));
        let Some(response) = handled else {
            sim.hit(Hit::Killed);
            match name {
                "cancel" => sim.hit(Hit::CancelKilled),
                "session" => sim.hit(Hit::SessionKilled),
                _ => {}
            }
            return None;
        };
        let took = started.elapsed();
        sim.check(took <= budget + GRAIN, || {
            format!("6: {name} took {took:?}")
        });
        Some(response)
    }

    pub(crate) fn read(&self, name: &str, response: Response<Body>) -> Answer {
        let answer = Answer::read(response);
        self.sim
            .note(|| format!("◀ {name} {} {}", answer.status, answer.body));
        answer
    }

    /// Whether a flow can branch on an answer.
    fn usable(&self, name: &str, answer: &Answer) {
        const STATUSES: [&str; 8] = [
            "CREATING",
            "PENDING",
            "PROCESSING",
            "AUTHORIZED",
            "CONFIRMED",
            "DECLINED",
            "CANCELED",
            "NOT_FOUND",
        ];
        let body = &answer.body;
        let usable = match answer.status {
            200 | 201 => body["payment_status"]
                .as_str()
                .is_some_and(|status| STATUSES.contains(&status)),
            _ => {
                body["code"].is_string()
                    && body["retryable"].is_boolean()
                    && body["status"] == answer.status
            }
        };
        self.sim.check(usable, || {
            format!("6: {name} answered {} {body}", answer.status)
        });
    }

    /// Nothing secret is in any item.
    pub(crate) fn look_for_secrets_in_the_table(&self) {
        let tokens = self.watch.tokens();
        for item in self.watch.items() {
            let leak = secrets(&tokens).find(|secret| item.contains(secret));
            self.sim
                .check(leak.is_none(), || format!("5: {leak:?} is in an item"));
        }
    }
}

/// What nothing may hold that outlives a request.
const SECRETS: [&str; 7] = [
    "canary0", "sk_test_", "whsec_", "_secret_", "pm_", "v1=", "Bearer ",
];

/// The same with the tokens of the pay links.
pub(crate) fn secrets(tokens: &[String]) -> impl Iterator<Item = &str> {
    SECRETS.into_iter().chain(tokens.iter().map(String::as_str))
}

fn credentials() -> aws_sdk_dynamodb::config::Credentials {
    aws_sdk_dynamodb::config::Credentials::new("AKID", "SECRET", None, None, "tests")
}

fn partition() -> aws_sdk_dynamodb::config::retry::RetryPartition {
    use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
    RetryPartition::custom("schedule")
        .token_bucket(TokenBucket::default())
        .build()
}

fn database() -> Database {
    let database = Database::memory().expect("a database");
    let attribute = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let table = json!({
        "TableName": "payments",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("pk"), attribute("sk")],
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
    });
    database
        .create_table(serde_json::from_value(table).expect("a request"))
        .expect("a table");
    database
}
