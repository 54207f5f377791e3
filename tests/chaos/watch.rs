//! Looks at every write to the table and every act of Stripe's the moment it happens, and once more
//! when all is over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use dynoxide::Database;
use serde_json::{Value, json};
use shared::domain::link::LinkToken;
use stand_ins::genesys::Patch;
use stand_ins::{Carried, Genesys, Recorded, Stripe};

use crate::sim::{Hit, Sim};

/// An order, and the conversation that asks for it first. No two orders of a schedule have the same
/// id.
pub(crate) type Order = (String, String);

/// What a payment item said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    uid: String,
    pub(crate) attempt: u64,
    pub(crate) holder: String,
    /// The holder before, and whether it is known to have heard that.
    former: Option<(String, bool)>,
    /// Why the attempt is to end, or has ended.
    pub(crate) ending: Option<String>,
    pub(crate) status: String,
    pub(crate) intent: Option<String>,
    pub(crate) amount: i64,
    pub(crate) received: i64,
    pub(crate) currency: String,
    /// Why the attempt ended, where it did.
    reason: Option<String>,
    /// When the payer first opened a link.
    pub(crate) opened_at: Option<i64>,
    pub(crate) notified: Option<Notice>,
}

/// What Genesys is told: conversation, intent, payment status, and how far the payer has come.
type Notice = (String, String, String, String);

impl Record {
    fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "CONFIRMED" | "CANCELED")
    }

    pub(crate) fn is_payable(&self) -> bool {
        matches!(self.status.as_str(), "PENDING" | "DECLINED")
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some() && !self.is_final()
    }

    /// What Genesys should hold.
    fn notice(&self) -> Option<Notice> {
        let opened = self.opened_at.is_some() && self.status == "PENDING";
        Some((
            self.holder.clone(),
            self.intent.clone()?,
            self.status.clone(),
            progress(&self.status, opened),
        ))
    }
}

pub(crate) struct Watch {
    sim: Arc<Sim>,
    /// Whether an order id names one payment in each conversation.
    by_conversation: bool,
    database: Database,
    stripe: Stripe,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Who asks for an order first.
    homes: HashMap<String, String>,
    records: BTreeMap<Order, Record>,
    /// The order that each payment is for, by its name.
    uids: HashMap<String, Order>,
    /// Intents that are none of ours, or not any more, and where they stand.
    foreign: HashMap<String, String>,
    /// What each intent was made for, whatever its metadata says since, and its attempt.
    made_for: HashMap<String, (Order, u64)>,
    /// Orders whose intent's metadata somebody has edited. What becomes of them is theirs; what
    /// they may never do is to count one charge twice.
    edited: Vec<Order>,
    /// Conversations in which nobody hears anything any more.
    over: Vec<String>,
    /// Attempts whose link somebody has asked to open.
    opening: HashSet<(Order, u64)>,
    /// Attempts under whose key Stripe keeps a failure.
    kept: HashSet<(Order, u64)>,
    /// Attempts that a request to cancel was told are canceled.
    canceled: HashSet<(Order, u64)>,
    /// The transactions that were made.
    transactions: HashSet<String>,
    /// The tokens of all pay links, also of those that nobody got.
    tokens: Vec<String>,
}

/// What the table knows of a pay link.
#[derive(Clone, Debug)]
pub(crate) struct PayLink {
    pub(crate) url: String,
    pub(crate) order: Order,
    pub(crate) attempt: u64,
    /// In Unix milliseconds, by the functions' clock.
    pub(crate) valid_until: u64,
}

impl Watch {
    pub(crate) fn new(
        sim: &Arc<Sim>,
        by_conversation: bool,
        database: &Database,
        stripe: &Stripe,
    ) -> Arc<Self> {
        let (sim, database, stripe) = (Arc::clone(sim), database.clone(), stripe.clone());
        Arc::new(Self {
            sim,
            by_conversation,
            database,
            stripe,
            seen: Mutex::default(),
        })
    }

    /// There will be this order.
    pub(crate) fn expect(&self, (conversation, order): &Order) {
        let mut seen = self.seen.lock().unwrap();
        seen.homes.insert(order.clone(), conversation.clone());
    }

    /// The order with this id.
    pub(crate) fn order(&self, order_id: &str) -> Order {
        let seen = self.seen.lock().unwrap();
        (seen.homes[order_id].clone(), order_id.to_owned())
    }

    fn key_of(&self, (conversation, order): &Order) -> Value {
        let order = format!("ORDER#{order}");
        let (pk, sk) = match self.by_conversation {
            true => (format!("CONVERSATION#{conversation}"), order),
            false => (order, "PAYMENT".to_owned()),
        };
        json!({ "pk": { "S": pk }, "sk": { "S": sk } })
    }

    /// The payment item of an order, as it is in the table.
    pub(crate) fn record(&self, order: &Order) -> Option<Record> {
        let item = self.item(&self.key_of(order))?;
        let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
        let number = |name: &str| {
            item[name]["N"]
                .as_str()
                .and_then(|n| n.parse::<i64>().ok())
                .expect("a number")
        };
        let former = text("former_conversation_id");
        let moved_told = text("moved_told_conversation_id");
        Some(Record {
            uid: text("payment_uid").expect("a name"),
            holder: text("holder_conversation_id").expect("a holder"),
            former: former.map(|former| {
                let is_told = moved_told.as_ref() == Some(&former);
                (former, is_told)
            }),
            ending: text("ending_reason"),
            attempt: u64::try_from(number("attempt")).expect("an attempt"),
            status: text("status").expect("a status"),
            intent: text("payment_intent_id"),
            amount: number("amount_minor"),
            received: number("amount_received_minor"),
            reason: text("reason_code"),
            currency: text("currency").expect("a currency"),
            opened_at: item["opened_at"]["N"].as_str().and_then(|n| n.parse().ok()),
            notified: text("notified_conversation_id")
                .zip(text("notified_intent_id"))
                .zip(text("notified_status"))
                .map(|((conversation, intent), status)| {
                    let progress = progress(&status, item["notified_opened"]["BOOL"] == true);
                    (conversation, intent, status, progress)
                }),
        })
    }

    /// The link behind a URL, as it is in the table.
    pub(crate) fn link(&self, url: &str) -> Option<PayLink> {
        let token = LinkToken::parse(tests::token_of(url)).ok()?;
        let key =
            json!({ "pk": { "S": format!("LINK#{}", token.sha256()) }, "sk": { "S": "LINK" } });
        let item = self.item(&key)?;
        let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
        let number = |name: &str| item[name]["N"].as_str().and_then(|n| n.parse().ok());
        Some(PayLink {
            url: url.to_owned(),
            order: self.order(&text("order_id")?),
            attempt: number("attempt")?,
            valid_until: number("valid_until")?,
        })
    }

    /// A token was made.
    pub(crate) fn token(&self, token: String) {
        self.seen.lock().unwrap().tokens.push(token);
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.seen.lock().unwrap().tokens.clone()
    }

    /// No pay link is in what a function sends.
    pub(crate) fn sent(&self, texts: &[&str]) {
        let seen = self.seen.lock().unwrap();
        let leaks = texts
            .iter()
            .any(|text| seen.tokens.iter().any(|token| text.contains(token)));
        self.sim.check(!leaks, || {
            format!("5: a pay link is in a request: {texts:?}")
        });
    }

    /// Somebody asks to open a link.
    pub(crate) fn opening(&self, link: &PayLink) {
        self.seen
            .lock()
            .unwrap()
            .opening
            .insert((link.order.clone(), link.attempt));
    }

    /// Whose intent this is: the order and the attempt it was made for.
    pub(crate) fn made_for(&self, intent: &str) -> Option<(Order, u64)> {
        self.seen.lock().unwrap().made_for.get(intent).cloned()
    }

    /// Stripe keeps a failure under the key of the request that makes this attempt's intent.
    pub(crate) fn kept(&self, key: &str) {
        let mut seen = self.seen.lock().unwrap();
        let mut parts = key.split('/');
        if let (Some(uid), Some(attempt), None) = (parts.next(), parts.next(), parts.next())
            && let Some(order) = seen.uids.get(uid).cloned()
        {
            let attempt = attempt.parse().expect("an attempt");
            seen.kept.insert((order, attempt));
        }
    }

    /// A request to cancel was answered `CANCELED`: nobody may be able to pay that attempt, now or
    /// later.
    pub(crate) fn answered_canceled(&self, order: &Order, attempt: u64) {
        self.seen
            .lock()
            .unwrap()
            .canceled
            .insert((order.clone(), attempt));
        self.stripe_acted();
    }

    /// Whether an order can expire without anything of it left to be paid.
    pub(crate) fn can_expire(&self, order: &Order) -> bool {
        let seen = self.seen.lock().unwrap();
        let is_canceled = |(intent, (of, _)): (&String, &(Order, u64))| {
            of != order
                || self
                    .stripe
                    .intent(intent)
                    .is_some_and(|intent| intent["status"] == "canceled")
        };
        let record = seen.records.get(order);
        record.is_some_and(|record| record.status == "CANCELED" && record.intent.is_some())
            && !seen.edited.contains(order)
            && seen.made_for.iter().all(is_canceled)
            && !seen.kept.iter().any(|(of, _)| of == order)
    }

    /// Whether an intent has its pointer.
    pub(crate) fn is_on_record(&self, intent: &str) -> bool {
        self.item(&json!({ "pk": { "S": format!("INTENT#{intent}") }, "sk": { "S": "INTENT" } }))
            .is_some()
    }

    fn item(&self, key: &Value) -> Option<Value> {
        let asked = json!({ "TableName": "payments", "Key": key });
        let got = self
            .database
            .get_item(serde_json::from_value(asked).expect("a request"))
            .expect("a read");
        let item = serde_json::to_value(got).expect("JSON")["Item"].take();
        (!item.is_null()).then_some(item)
    }

    /// Every item of the table, in DynamoDB's JSON.
    pub(crate) fn items(&self) -> Vec<String> {
        let asked = json!({ "TableName": "payments" });
        let got = self
            .database
            .scan(serde_json::from_value(asked).expect("a request"))
            .expect("a scan");
        let items = serde_json::to_value(got).expect("JSON")["Items"].take();
        items
            .as_array()
            .expect("items")
            .iter()
            .map(Value::to_string)
            .collect()
    }

    pub(crate) fn edited(&self, one: &Order, other: &Order) {
        self.seen
            .lock()
            .unwrap()
            .edited
            .extend([one.clone(), other.clone()]);
    }

    /// The call ends, or the customer leaves it.
    pub(crate) fn over(&self, conversation: &str) {
        self.seen.lock().unwrap().over.push(conversation.to_owned());
    }

    pub(crate) fn was_edited(&self, order: &Order) -> bool {
        self.seen.lock().unwrap().edited.contains(order)
    }

    /// A request has written to the table: how did the payments it names move?
    pub(crate) fn written(&self, request: &str) {
        let request: Value = serde_json::from_str(request).expect("JSON");
        // The same transaction once more, whose answer was lost, is not made again.
        if let Some(token) = request["ClientRequestToken"].as_str()
            && !self
                .seen
                .lock()
                .unwrap()
                .transactions
                .insert(token.to_owned())
        {
            return;
        }
        let mut keys = vec![request["Key"].clone(), request["Item"].clone()];
        for step in request["TransactItems"].as_array().into_iter().flatten() {
            keys.push(step["Update"]["Key"].clone());
            self.placed(&step["Put"]["Item"]);
        }
        for key in keys {
            let order = |name: &str| key[name]["S"].as_str()?.strip_prefix("ORDER#");
            if let Some(order_id) = order("pk").or_else(|| order("sk")) {
                self.moved(&self.order(order_id));
            }
        }
    }

    /// What an answered request leaves behind: its conversation holds the payment, and a link leads
    /// to what can be paid.
    fn placed(&self, item: &Value) {
        let text = |name: &str| item[name]["S"].as_str();
        let (Some(pk), Some(order_id)) = (text("pk"), text("order_id")) else {
            return;
        };
        let record = self.record(&self.order(order_id)).expect("a record");
        if let Some(link) = pk.strip_prefix("LINK#") {
            let can_be_paid = record.is_payable() && !record.is_ending();
            self.sim.check(can_be_paid, || {
                format!("1: link {link} is made for {record:?}")
            });
        }
        if let Some(conversation) = pk.strip_prefix("CONVERSATION#") {
            self.sim.check(record.holder == conversation, || {
                format!("4: the newest of {conversation} is {record:?}")
            });
        }
    }

    /// The record of an order has expired, and everything that leads to it: from here on what
    /// Stripe has of it is nobody's.
    pub(crate) fn expire(&self, order: &Order) {
        let delete = |key: Value| {
            let request = json!({ "TableName": "payments", "Key": key });
            let request = serde_json::from_value(request).expect("a request");
            self.database.delete_item(request).expect("a deletion");
        };
        delete(self.key_of(order));
        let mut seen = self.seen.lock().unwrap();
        seen.records.remove(order);
        seen.canceled.retain(|(of, _)| of != order);
        seen.kept.retain(|(of, _)| of != order);
        seen.opening.retain(|(of, _)| of != order);
        let of_order = |(_, (of, _)): &(&String, &(Order, u64))| of == order;
        let past = seen.made_for.iter().filter(of_order);
        let past: Vec<String> = past.map(|(intent, _)| intent.clone()).collect();
        for intent in past {
            seen.made_for.remove(&intent);
            delete(json!({ "pk": { "S": format!("INTENT#{intent}") }, "sk": { "S": "INTENT" } }));
            seen.foreign.insert(intent, "canceled".to_owned());
        }
    }

    /// An intent of somebody else's in the same account stands so.
    pub(crate) fn foreign(&self, intent: &Value) {
        let text = |name: &str| intent[name].as_str().expect("text").to_owned();
        let mut seen = self.seen.lock().unwrap();
        seen.foreign.insert(text("id"), text("status"));
    }

    fn moved(&self, order: &Order) {
        let now = self.record(order).expect("what was written is there");
        let before = {
            let mut seen = self.seen.lock().unwrap();
            seen.uids.insert(now.uid.clone(), order.clone());
            seen.records.insert(order.clone(), now.clone())
        };
        if before.as_ref() != Some(&now) {
            self.sim.note(|| format!("  = {} {now:?}", order.1));
        }
        if now.reason.as_deref() == Some("stripe_failed") && now.status == "CANCELED" {
            self.sim.hit(Hit::KeptEnded);
            let of = (order.clone(), now.attempt);
            let made = self
                .seen
                .lock()
                .unwrap()
                .made_for
                .values()
                .any(|made_for| *made_for == of);
            let known = made && !self.was_edited(order);
            self.sim.check(!known, || {
                format!("1: {of:?} ended though Stripe has its intent")
            });
        }
        let kept = self
            .seen
            .lock()
            .unwrap()
            .kept
            .contains(&(order.clone(), now.attempt));
        if kept
            && before
                .as_ref()
                .is_some_and(|before| before.intent.is_none())
            && now.intent.is_some()
        {
            self.sim.hit(Hit::KeptAdopted);
        }
        if now.ending.as_deref() == Some("too_many_declines") && now.status == "CANCELED" {
            self.sim.hit(Hit::DeclinedTooOften);
        }
        if let Some(before) = before {
            if before.is_ending() && now.ending.is_none() {
                self.sim.hit(Hit::EndingLifted);
            }
            if before.holder != now.holder {
                self.sim.hit(Hit::Moved);
                let follows = now.former == Some((before.holder.clone(), false));
                self.sim.check(follows, || {
                    format!("4: the holder before is forgotten: {before:?} → {now:?}")
                });
            }
            self.sim.check(before.uid == now.uid, || {
                format!("1: another payment took the place of {before:?}: {now:?}")
            });
            let next_attempt = now.attempt == before.attempt + 1 && before.status == "CANCELED";
            let stays = now.attempt == before.attempt;
            self.sim.check(stays || next_attempt, || {
                format!("4: attempt {before:?} → {now:?}")
            });
            let leaves_final = before.is_final() && now.status != before.status && !next_attempt;
            self.sim.check(!leaves_final, || {
                format!("4: a final status was left: {before:?} → {now:?}")
            });
            let other_intent = stays && before.intent.is_some() && now.intent != before.intent;
            self.sim.check(!other_intent, || {
                format!("1: another intent for one attempt: {before:?} → {now:?}")
            });
            let again = stays && before.opened_at.is_some() && now.opened_at != before.opened_at;
            self.sim.check(!again, || {
                format!("4: the first opening was forgotten: {before:?} → {now:?}")
            });
            let known = before.notified.is_some() && before.notified == before.notice();
            let told_again = known && now.notified.is_none();
            self.sim.check(!told_again, || {
                format!("4: Genesys is told again what it is known to hold: {before:?}")
            });
        }
        let by_somebody = || {
            self.seen
                .lock()
                .unwrap()
                .opening
                .contains(&(order.clone(), now.attempt))
        };
        self.sim
            .check(now.opened_at.is_none() || by_somebody(), || {
                format!("4: nobody opened a link of {order:?} {now:?}")
            });
        if now.status == "CONFIRMED" {
            let intent = now.intent.as_deref().and_then(|id| self.stripe.intent(id));
            let succeeded = intent.as_ref().is_some_and(|intent| {
                let whole = now.received == now.amount || intent["capture_method"] == "manual";
                intent["status"] == "succeeded"
                    && intent["amount_received"] == now.received
                    && (1..=now.amount).contains(&now.received)
                    && whole
                    && intent["amount"] == now.amount
                    && intent["currency"] == now.currency.as_str()
            });
            self.sim.check(succeeded, || {
                format!("2: {now:?}, but Stripe says {intent:?}")
            });
        }
    }

    /// The payer does something with the intent, as it stands, or somebody in the dashboard does.
    pub(crate) fn payer_acts(&self, id: &str) {
        let (sim, stripe) = (&self.sim, &self.stripe);
        let Some(intent) = stripe.intent(id) else {
            return;
        };
        let status = intent["status"].as_str().expect("a status");
        stripe.set_now(sim.true_second());
        let act = sim.below(10);
        // What Stripe refuses, as a decline, is part of the story.
        let _ = match (status, act) {
            ("requires_payment_method", 0..=3) => stripe.pay(id, "pm_card_visa"),
            ("requires_payment_method", 4..=6) => stripe.pay(id, "pm_card_visa_chargeDeclined"),
            ("requires_payment_method", 7) => stripe.pay(id, "pm_card_authenticationRequired"),
            ("requires_payment_method", 8) => stripe.pay(id, "pm_card_processing"),
            ("requires_payment_method" | "requires_capture", 9) => stripe.cancel(id, None),
            ("requires_action", _) => stripe.authenticate(id, act < 6),
            ("processing", _) => stripe.finish_processing(id, act < 6),
            ("requires_capture", 0..=2) => {
                sim.hit(Hit::PartCaptured);
                stripe.capture(id, Some(3000))
            }
            ("requires_capture", _) => stripe.capture(id, None),
            _ => return,
        };
        sim.note(|| format!("payer: {id} {status} ({act})"));
        self.stripe_acted();
    }

    /// The name of an order's payment; of none, if it has none.
    pub(crate) fn uid(&self, order_id: &str) -> String {
        let record = self.record(&self.order(order_id));
        record.map_or_else(|| "0".repeat(25), |record| record.uid)
    }

    /// Somebody else's software makes an intent in the same account.
    pub(crate) async fn make_foreign(&self, key: &str, form: &str) -> Option<String> {
        self.stripe.set_now(self.sim.true_second());
        let id = format!("other-stack-{}", self.sim.below(u64::MAX));
        let headers = [
            ("authorization".to_owned(), format!("Bearer {key}")),
            ("idempotency-key".to_owned(), id),
        ];
        let request = Recorded {
            method: "POST".to_owned(),
            path: "/v1/payment_intents".to_owned(),
            query: String::new(),
            headers: headers.into(),
            body: form.as_bytes().to_vec(),
            at: 0,
        };
        let Carried::Answer { body, .. } = self.stripe.carry(request, None).await else {
            return None;
        };
        let intent: Value = serde_json::from_slice(&body).expect("JSON");
        let id = intent["id"].as_str()?.to_owned();
        self.foreign(&intent);
        Some(id)
    }

    /// Its payer pays it.
    pub(crate) fn pay_foreign(&self, id: &str) {
        self.stripe.set_now(self.sim.true_second());
        let paid = self.stripe.pay(id, "pm_card_visa").expect("a payment");
        self.foreign(&paid);
    }

    /// A try is declined, where one can be made.
    pub(crate) fn decline(&self, id: &str) {
        self.pay_if_possible(id, "pm_card_visa_chargeDeclined");
    }

    /// A try needs the bank, where one can be made.
    pub(crate) fn go_to_the_bank(&self, id: &str) {
        self.pay_if_possible(id, "pm_card_authenticationRequired");
    }

    fn pay_if_possible(&self, id: &str, card: &str) {
        self.stripe.set_now(self.sim.true_second());
        let _ = self.stripe.pay(id, card);
        self.stripe_acted();
    }

    /// The payer tries some card on the intent of a client secret.
    pub(crate) fn pay_with(&self, client_secret: &str) {
        const CARDS: [&str; 4] = [
            "pm_card_visa",
            "pm_card_visa_chargeDeclined",
            "pm_card_authenticationRequired",
            "pm_card_processing",
        ];
        let card = if self.sim.chance(500) {
            CARDS[0]
        } else {
            self.sim.pick(&CARDS)
        };
        self.pay_by_card(client_secret, card);
    }

    /// The payer tries this card. What Stripe refuses is part of the story: the payment may have
    /// been canceled since.
    pub(crate) fn pay_by_card(&self, client_secret: &str, card: &str) {
        let (sim, stripe) = (&self.sim, &self.stripe);
        let intents = stripe.intents();
        let Some(intent) = intents
            .iter()
            .find(|intent| intent["client_secret"] == client_secret)
        else {
            return sim.violation("6: a client secret of no intent was handed out".to_owned());
        };
        let id = intent["id"].as_str().expect("an id");
        stripe.set_now(sim.true_second());
        let paid = stripe
            .pay(id, card)
            .is_ok_and(|intent| intent["status"] == "succeeded");
        sim.note(|| format!("payer: {id} with {card} by link: paid is {paid}"));
        if paid {
            sim.hit(Hit::LinkPaid);
        }
        self.stripe_acted();
    }

    /// Stripe has acted: is every order still charged at most once, and has it at most one intent
    /// that lives?
    pub(crate) fn stripe_acted(&self) {
        let mut seen = self.seen.lock().unwrap();
        let mut live: HashMap<Order, Vec<String>> = HashMap::new();
        for intent in self.stripe.intents() {
            let id = intent["id"].as_str().expect("an id").to_owned();
            if let Some(status) = seen.foreign.get(&id) {
                self.sim.check(intent["status"] == status.as_str(), || {
                    format!("1: somebody else's {id} was {status}, and is {intent}")
                });
                continue;
            }
            let metadata = |name: &str| {
                intent["metadata"][name]
                    .as_str()
                    .expect("metadata")
                    .to_owned()
            };
            let of = match seen.made_for.get(&id) {
                Some(of) => of.clone(),
                None => {
                    // A record is written before its intent is made.
                    let Some(order) = seen.uids.get(&metadata("payment_uid")).cloned() else {
                        continue;
                    };
                    let attempt = metadata("attempt").parse().expect("an attempt");
                    seen.made_for.insert(id.clone(), (order.clone(), attempt));
                    (order, attempt)
                }
            };
            if intent["status"] != "canceled" {
                let released = seen.canceled.contains(&of) && !seen.edited.contains(&of.0);
                self.sim.check(!released, || {
                    format!("1: {of:?} was answered to be canceled, and {id} can be paid")
                });
                live.entry(of.0).or_default().push(id);
            }
        }
        for (order, intents) in live {
            // One behind a kept failure that was edited before it was found is found no more.
            // Nobody has its secret.
            let one = intents.len() == 1 || seen.edited.contains(&order);
            self.sim.check(one, || {
                format!("1: {order:?} has several live intents: {intents:?}")
            });
        }
        let mut charged: HashMap<Order, usize> = HashMap::new();
        for charge in self.stripe.charges() {
            if let Some((order, _)) = seen.made_for.get(&charge.intent) {
                *charged.entry(order.clone()).or_default() += 1;
            }
        }
        for (order, times) in charged {
            // One that was edited before it was found is paid as the other order's.
            let once = times == 1 || seen.edited.contains(&order);
            self.sim
                .check(once, || format!("1: {order:?} was charged {times} times"));
        }
    }

    /// Everything is quiet: do the record, the conversation and the books say what Stripe says?
    pub(crate) fn balance(&self, genesys: &Genesys, orders: &[Order]) {
        let made_for = self.seen.lock().unwrap().made_for.clone();
        let told = told(genesys);
        let truth = truth(&self.stripe);
        let mut owners: HashMap<String, &Order> = HashMap::new();
        let mut confirmed: BTreeMap<String, i64> = BTreeMap::new();
        for order in orders {
            let record = self.record(order);
            if let Some(record) = &record {
                if record.status == "CONFIRMED" {
                    *confirmed.entry(record.currency.clone()).or_default() += record.received;
                }
                if let Some(intent) = &record.intent
                    && let Some(other) = owners.insert(intent.clone(), order)
                {
                    self.sim.violation(format!(
                        "books: {intent} is on the record of {order:?} and of {other:?}"
                    ));
                }
            }
            if self.was_edited(order) {
                continue;
            }
            let intents: Vec<(&String, u64)> = made_for
                .iter()
                .filter(|(_, (of, _))| of == order)
                .map(|(id, (_, attempt))| (id, *attempt))
                .collect();
            let Some(record) = record else {
                self.sim.check(intents.is_empty(), || {
                    format!("3: {order:?} has {intents:?} and no record")
                });
                continue;
            };
            let current = intents
                .iter()
                .find(|(_, attempt)| *attempt == record.attempt)
                .map(|(id, _)| (*id).clone());
            self.sim.check(record.intent == current, || {
                format!("3: {record:?}, but Stripe has {current:?}")
            });
            let Some(intent) = current else {
                let begun = matches!(record.status.as_str(), "CREATING" | "CANCELED");
                self.sim
                    .check(begun, || format!("3: {record:?} without an intent"));
                continue;
            };
            let status = payment_status(&self.stripe.intent(&intent).expect("an intent"));
            self.sim.check(record.status == status, || {
                format!("3: {record:?}, but Stripe says {status}")
            });
            let expected = record.notice();
            self.sim.check(record.notified == expected, || {
                format!("3: {record:?} was not told as {expected:?}")
            });
            let of_holder =
                |(conversation, of, ..): &&Notice| *of == intent && *conversation == record.holder;
            let heard = told.iter().rfind(of_holder);
            let is_over = |conversation| self.seen.lock().unwrap().over.contains(conversation);
            let over = is_over(&record.holder);
            self.sim.check(over || heard == expected.as_ref(), || {
                format!("3: Genesys holds {heard:?}, Stripe and the record say {expected:?}")
            });
            self.told_in_order(order, &told, &truth, &made_for);
            if let Some((former, is_told)) = &record.former {
                self.sim.check(*is_told, || {
                    format!("3: {former} was not told that the payment has moved: {record:?}")
                });
                let heard = genesys.patches().iter().any(|patch| {
                    patch.conversation == *former && patch.attributes["payment_progress"] == "moved"
                });
                self.sim.check(heard || is_over(former), || {
                    format!("3: {former} never heard that the payment has moved: {record:?}")
                });
            }
            self.sim.check(!record.is_ending(), || {
                format!("3: nobody has ended it: {record:?}")
            });
        }
        let mut charged: BTreeMap<String, i64> = BTreeMap::new();
        let foreign = self.seen.lock().unwrap().foreign.clone();
        for charge in self.stripe.charges() {
            if !foreign.contains_key(&charge.intent) {
                *charged.entry(charge.currency).or_default() += charge.amount;
            }
        }
        let balanced = match orders.iter().any(|order| self.was_edited(order)) {
            true => confirmed
                .iter()
                .all(|(currency, sum)| charged.get(currency).is_some_and(|charged| sum <= charged)),
            false => charged == confirmed,
        };
        self.sim.check(balanced, || {
            format!("books: Stripe charged {charged:?}, the records say {confirmed:?}")
        });
    }

    /// What Genesys was told of an order must go through Stripe's history forwards. The same once
    /// more does no harm. Once it has heard that the link was opened, it does not hear of a link
    /// that was not.
    fn told_in_order(
        &self,
        order: &Order,
        told: &[Notice],
        truth: &[(String, String)],
        made_for: &HashMap<String, (Order, u64)>,
    ) {
        let of_order = |intent: &str| made_for.get(intent).is_some_and(|(of, _)| of == order);
        let truth: Vec<_> = truth.iter().filter(|line| of_order(&line.0)).collect();
        let mut truth_left = truth.iter().peekable();
        let told: Vec<_> = told.iter().filter(|line| of_order(&line.1)).collect();
        let mut opened = HashSet::new();
        for (_, intent, status, progress) in &told {
            while truth_left
                .peek()
                .is_some_and(|next| (&next.0, &next.1) != (intent, status))
            {
                truth_left.next();
            }
            if progress == "link_opened" {
                opened.insert(intent);
            }
            let closes = progress == "pending" && opened.contains(intent);
            if truth_left.peek().is_none() || closes {
                self.sim.violation(format!(
                    "4: Genesys heard {told:?} of {order:?}, where Stripe's history is {truth:?}"
                ));
                return;
            }
        }
    }
}

/// Stripe's word as the payment status it means, by DESIGN's table and not by the code under test.
pub(crate) fn payment_status(intent: &Value) -> &'static str {
    match intent["status"].as_str().expect("a status") {
        "requires_payment_method" if !intent["last_payment_error"].is_null() => "DECLINED",
        "requires_payment_method" | "requires_confirmation" | "requires_action" => "PENDING",
        "processing" => "PROCESSING",
        "requires_capture" => "AUTHORIZED",
        "succeeded" => "CONFIRMED",
        "canceled" => "CANCELED",
        other => panic!("Stripe has no status {other}"),
    }
}

/// `payment_progress`, by the words of the agent's screen and not by the code under test.
fn progress(status: &str, opened: bool) -> String {
    if opened {
        "link_opened".to_owned()
    } else {
        status.to_ascii_lowercase()
    }
}

/// Everything Genesys was told, in order.
fn told(genesys: &Genesys) -> Vec<Notice> {
    let line = |patch: &Patch| {
        let text = |name: &str| patch.attributes.get(name).cloned();
        Some((
            patch.conversation.clone(),
            text("stripe_intent_id")?,
            text("payment_status")?,
            text("payment_progress")?,
        ))
    };
    genesys.patches().iter().filter_map(line).collect()
}

/// Intent and payment status of everything that was ever true at Stripe, in order.
fn truth(stripe: &Stripe) -> Vec<(String, String)> {
    let line = |event: Value| {
        let intent = &event["data"]["object"];
        (
            intent["id"].as_str().expect("an id").to_owned(),
            payment_status(intent).to_owned(),
        )
    };
    stripe.events().into_iter().map(line).collect()
}
