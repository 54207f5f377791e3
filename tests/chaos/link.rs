//! The payer's side of a pay link: asks for its page and its session, and looks whether the answer
//! may be given.

use std::sync::Arc;

use lambda_http::{Body, Response};
use serde_json::{Value, json};
use shared::domain::link::LinkToken;
use shared::ports::{Clock, NoRandomBits, RandomBits};
use tests::{Answer, page_event, request, session_event};

use crate::room::{LINK_BASE, Room};
use crate::sim::{Hit, Sim};
use crate::watch::{Order, PayLink, Record, Watch};

/// The schedule's own dice; who looks for leaks gets to know every token.
#[derive(Clone)]
pub(crate) struct SeededBits {
    pub(crate) sim: Arc<Sim>,
    pub(crate) watch: Arc<Watch>,
}

impl RandomBits for SeededBits {
    fn bits(&self) -> Result<[u8; 16], NoRandomBits> {
        if self.sim.fault(self.sim.roughness.aws / 4, &[()]).is_some() {
            self.sim.hit(Hit::NoRandomBits);
            return Err(NoRandomBits);
        }
        let half = || u128::from(self.sim.below(u64::MAX));
        let bits = ((half() << 64) | half()).to_be_bytes();
        self.watch.token(LinkToken::from_bits(bits).to_fragment());
        Ok(bits)
    }
}

impl Room {
    /// Keeps the link that came with a reply.
    pub(crate) fn handed_out(&self, order: &Order, reply: &Value) {
        let url = reply["payment_url"].as_str().unwrap_or_default();
        let payable = matches!(
            reply["payment_status"].as_str(),
            Some("PENDING" | "DECLINED")
        );
        self.sim.check(payable != url.is_empty(), || {
            format!("6: a link, or none, with {reply}")
        });
        if url.is_empty() {
            return;
        }
        match self.watch.link(url) {
            Some(link) if link.order == *order && reply["attempt"] == link.attempt => {
                self.keep(link)
            }
            other => self
                .sim
                .violation(format!("6: the link with {reply} is {other:?}")),
        }
    }

    /// One of the order's links, mostly the newest.
    pub(crate) fn a_link(&self, order: &Order) -> Option<PayLink> {
        let links: Vec<PayLink> = self
            .links()
            .into_iter()
            .filter(|link| link.order == *order)
            .collect();
        if self.sim.chance(600) {
            return links.last().cloned();
        }
        let at = self.sim.below(links.len().max(1) as u64);
        links.get(usize::try_from(at).expect("an index")).cloned()
    }

    /// `GET /pay`; `None` when the function was killed.
    pub(crate) async fn page(&self) -> Option<Response<Body>> {
        let function = self.status_instance();
        let asked = request(&page_event());
        let response = self
            .invoke("page", status_query::BUDGET, function.handle(asked))
            .await?;
        self.return_status_instance(function);
        let status = response.status().as_u16();
        self.sim
            .check(status == 200, || format!("6: the page answered {status}"));
        Some(response)
    }

    /// `POST /pay/session`; `None` when the function was killed.
    pub(crate) async fn session(&self, link: &PayLink) -> Option<Answer> {
        self.watch.opening(link);
        let (before, changes) = (self.watch.record(&link.order), self.sim.clock_changes());
        let can_be_paid = self.can_be_paid(before.as_ref());
        let is_over = self.is_over(link);
        let answer = self.session_of(&link.url).await?;
        let after = self.watch.record(&link.order);
        let was_set = self.sim.clock_changes() != changes;
        let state = answer.text("state");
        self.count(link, state, after.as_ref());
        let is_gone = self.expired().contains(&link.url);
        self.sim.check(
            (state == "unknown") == is_gone || state == "unavailable",
            || format!("6: {link:?} is {state}, and its record is gone: {is_gone}"),
        );
        self.sim
            .check(state != "expired" || was_set || self.is_over(link), || {
                format!("6: {link:?} has expired")
            });
        if state == "open" {
            self.sim.check(was_set || !is_over, || {
                format!("1: {link:?} has expired, and opens")
            });
            self.sim.check(can_be_paid, || {
                format!("1: {link:?} opens what was paid or canceled before")
            });
            let ends = |record: &Option<Record>| record.as_ref().is_some_and(Record::is_ending);
            self.sim.check(!(ends(&before) && ends(&after)), || {
                format!("1: {link:?} opens what is to end: {after:?}")
            });
            self.opened(link, &answer.body, [before, after]);
        }
        Some(answer)
    }

    /// A session by a link that nobody was given.
    pub(crate) async fn session_of_nobody_s(&self) {
        let token =
            LinkToken::from_bits(u128::from(self.sim.below(u64::MAX)).to_be_bytes()).to_fragment();
        let text = self
            .sim
            .pick(&[token.as_str(), "no-token", "7n42DGM5Tflk9n8mt7Fhc8"]);
        if let Some(answer) = self.session_of(&format!("{LINK_BASE}/pay#{text}")).await {
            let state = answer.text("state");
            self.sim
                .check(matches!(state, "unknown" | "unavailable"), || {
                    format!("1: nobody's link is {state}")
                });
            if state == "unknown" {
                self.sim.hit(Hit::LinkUnknown);
            }
        }
    }

    async fn session_of(&self, url: &str) -> Option<Answer> {
        let function = self.status_instance();
        let asked = request(&session_event(url));
        let response = self
            .invoke("session", status_query::BUDGET, function.handle(asked))
            .await?;
        self.return_status_instance(function);
        let uncached = response
            .headers()
            .get("cache-control")
            .is_some_and(|value| value == "no-store");
        let answer = self.read("session", response);
        let usable = match (answer.status, answer.body["state"].as_str()) {
            (200, Some("open" | "processing")) | (410, Some("paid" | "canceled" | "expired")) => {
                true
            }
            (404, Some("unknown")) => true,
            (503, Some("unavailable")) => answer.retry_after.is_some(),
            _ => false,
        };
        self.sim.check(usable && uncached, || {
            format!("6: session answered {} {}", answer.status, answer.body)
        });
        Some(answer)
    }

    /// Whether a link may hand this out.
    fn opened(&self, link: &PayLink, body: &Value, [before, after]: [Option<Record>; 2]) {
        if self.watch.was_edited(&link.order) {
            return;
        }
        let secret = body["client_secret"].as_str().unwrap_or_default();
        let intent = secret.split("_secret_").next().unwrap_or_default();
        let of = self.watch.made_for(intent);
        let own = of.as_ref() == Some(&(link.order.clone(), link.attempt));
        self.sim
            .check(own, || format!("1: {link:?} opens the intent of {of:?}"));
        // What Stripe was at work on may turn out to be declined when the session asks.
        let may_be_payable = |record: &Record| record.is_payable() || record.status == "PROCESSING";
        let could = before
            .as_ref()
            .is_some_and(|record| may_be_payable(record) && record.attempt == link.attempt);
        self.sim
            .check(could, || format!("1: {link:?} opens {before:?}"));
        let record = [before, after]
            .into_iter()
            .flatten()
            .find(|record| record.intent.as_deref() == Some(intent));
        let at_stripe = self.stripe.intent(intent).unwrap_or_default();
        let same = record.as_ref().is_some_and(|record| {
            body["amount_minor"] == record.amount
                && body["currency"] == record.currency.as_str()
                && at_stripe["amount"] == record.amount
                && at_stripe["currency"] == record.currency.as_str()
        });
        self.sim.check(same, || {
            format!("1: a link of {record:?} shows {:?}", body["amount_minor"])
        });
        let whole = at_stripe["client_secret"] == secret
            && body["order_id"] == link.order.1.as_str()
            && body["publishable_key"] == "pk_test_1"
            && body["merchant"] == tests::MERCHANT;
        self.sim.check(whole, || {
            format!("6: a session of {link:?} is not what it should be")
        });
    }

    fn count(&self, link: &PayLink, state: &str, record: Option<&Record>) {
        let newer =
            |other: &PayLink| other.order == link.order && other.valid_until > link.valid_until;
        let hit = match state {
            _ if self.sim.is_calm() => return,
            "open" if self.links().iter().any(newer) => Hit::LinkOlder,
            "open" => Hit::LinkOpened,
            "expired" => Hit::LinkExpired,
            "canceled" if record.is_some_and(|record| record.attempt > link.attempt) => {
                Hit::LinkReplaced
            }
            "canceled" => Hit::LinkCanceled,
            _ => return,
        };
        self.sim.hit(hit);
    }

    /// Whether Stripe would still take money for what is on record.
    fn can_be_paid(&self, record: Option<&Record>) -> bool {
        let intent = record.and_then(|record| self.stripe.intent(record.intent.as_deref()?));
        intent.is_some_and(|intent| {
            !matches!(intent["status"].as_str(), Some("succeeded" | "canceled"))
        })
    }

    fn is_over(&self, link: &PayLink) -> bool {
        self.clock().now().0 >= link.valid_until
    }

    /// Opens every link there is, now that nothing goes wrong any more: does each lead where its
    /// payment stands?
    pub(crate) async fn try_every_link(&self) {
        let links = self.links();
        for link in &links {
            if self.watch.was_edited(&link.order) || self.expired().contains(&link.url) {
                continue;
            }
            let record = self.watch.record(&link.order).expect("a record");
            let expected = match record.status.as_str() {
                _ if record.attempt != link.attempt => (410, "canceled"),
                "CONFIRMED" | "AUTHORIZED" => (410, "paid"),
                "CANCELED" => (410, "canceled"),
                "PENDING" | "DECLINED" if self.is_over(link) => (410, "expired"),
                "PENDING" | "DECLINED" => (200, "open"),
                _ => (200, "processing"),
            };
            let answer = self
                .session(link)
                .await
                .expect("nothing is killed any more");
            let leads_to = (answer.status, answer.text("state"));
            self.sim.check(leads_to == expected, || {
                format!("3: {link:?} of {record:?} leads to {leads_to:?}")
            });
        }
    }

    /// The caller comes back now that nothing goes wrong any more: what can be paid can be paid by
    /// a fresh link, or be canceled, and an end that died is finished.
    pub(crate) async fn come_back(&self, order: &Order) {
        let is_open = |record: &Record| {
            (record.is_payable() || record.is_ending()) && !self.watch.was_edited(order)
        };
        let Some(record) = self.watch.record(order).filter(is_open) else {
            return;
        };
        if self.sim.chance(300) {
            let answer = self
                .cancel(order)
                .await
                .expect("nothing is killed any more");
            let canceled = answer.body["payment_status"] == "CANCELED";
            self.sim.check(canceled, || {
                format!(
                    "6: {record:?} is not canceled: {} {}",
                    answer.status, answer.body
                )
            });
            return;
        }
        let (conversation, order_id) = order;
        let asked = json!({
            "conversation_id": conversation, "order_id": order_id, "amount_minor": record.amount,
            "currency": record.currency,
        });
        let mut answer = self.post(&asked).await.expect("nothing is killed any more");
        // An end that waits for the payer at the bank waits ten minutes, once.
        if answer.body["code"] == "in_progress" && record.is_ending() {
            self.sim.pause(601_000, 601_000).await;
            answer = self.post(&asked).await.expect("nothing is killed any more");
        }
        let begins_anew = record.is_ending() && answer.status == 201;
        self.sim.check(answer.status == 200 || begins_anew, || {
            format!("6: {record:?} gets {} {}", answer.status, answer.body)
        });
        if answer.body["payment_url"] == "" {
            return;
        }
        let Some(link) = self.links().into_iter().rfind(|link| link.order == *order) else {
            return self
                .sim
                .violation(format!("6: there is no link to {record:?}"));
        };
        let answer = self
            .session(&link)
            .await
            .expect("nothing is killed any more");
        let opened = self
            .watch
            .record(order)
            .is_some_and(|record| record.opened_at.is_some());
        let open = answer.body["state"] == "open";
        self.sim.check(open && opened, || {
            format!("3: {link:?} of {record:?}: {} {}", answer.status, opened)
        });
    }
}
