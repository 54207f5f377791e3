//! The order in which Stripe looks at a request: key, idempotency key, parameters, and only then
//! the objects.

use serde_json::json;

use super::error::StripeError;
use super::form::Form;
use super::idempotency::{Claim, Fingerprint, LONGEST_KEY, Saved};
use super::ledger::Cause;
use super::operation::Operation;
use super::{Settings, Shared};
use crate::clock::http_date;
use crate::conditions::Conditions;
use crate::faults::Stage;
use crate::server::{Answer, Call, Service, Work};

impl Service for Shared {
    fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    fn request_id(&self) -> String {
        self.conditions.ids.alphanumeric("req_", 14)
    }

    async fn execute(&self, call: &Call, work: Work) -> Answer {
        let settings = self.settings.lock().unwrap().clone();
        let livemode = match authenticate(call, &settings) {
            Ok(livemode) => livemode,
            Err(refused) => return refused.answer(),
        };
        let key = match idempotency_key(call) {
            Ok(key) => key,
            Err(refused) => return refused.answer(),
        };
        if let Some(key) = key
            && let Some(answer) = self.claim(key, call)
        {
            return answer;
        }
        let operation = match Operation::parse(call, &settings) {
            Ok(operation) => operation,
            Err(refused) => {
                if let Some(key) = key {
                    self.keys.lock().unwrap().release(key);
                }
                return refused.answer();
            }
        };
        self.conditions
            .gates
            .pass(Stage::Execution, &call.request)
            .await;
        let mut ledger = self.ledger.lock().unwrap();
        let answer = if work.act {
            let cause = Cause {
                now: self.conditions.clock.now(),
                ids: &self.conditions.ids,
                livemode,
                request_id: Some(&call.id),
                idempotency_key: key,
            };
            match ledger.apply(operation, cause) {
                Ok(object) => Answer::json(200, &object),
                Err(refused) => refused.answer(),
            }
        } else {
            self.error(500)
        };
        let saved = key.map(|key| {
            let kept = work.save_instead.unwrap_or_else(|| answer.clone());
            let saved = Saved {
                answer: kept,
                request_id: call.id.clone(),
            };
            self.keys.lock().unwrap().save(key, saved)
        });
        ledger.write_down(saved);
        answer
    }

    fn control(&self, call: &Call) -> Answer {
        let asked = call.request.json();
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let changed = match (call.request.method.as_str(), call.request.path.as_str()) {
            ("POST", "/_control/pay") => self.pay(&text("intent"), &text("payment_method")),
            ("POST", "/_control/authenticate") => {
                self.authenticate(&text("intent"), asked["succeeded"] == true)
            }
            (method, path) => {
                return Answer::json(
                    404,
                    &json!({ "message": format!("no control {method} {path}") }),
                );
            }
        };
        match changed {
            Ok(intent) => Answer::json(200, &intent),
            Err(refused) => refused.answer(),
        }
    }

    fn error(&self, status: u16) -> Answer {
        StripeError::of_status(status).answer()
    }

    fn headers(&self, call: &Call) -> Vec<(String, String)> {
        let mut headers = vec![
            ("Date".to_owned(), http_date(self.conditions.clock.now())),
            ("Request-Id".to_owned(), call.id.clone()),
        ];
        for name in ["Idempotency-Key", "Stripe-Version"] {
            if let Some(value) = call.request.header(&name.to_ascii_lowercase()) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        headers
    }
}

impl Shared {
    /// `None` when the key is this request's to use.
    fn claim(&self, key: &str, call: &Call) -> Option<Answer> {
        let fingerprint = Fingerprint {
            path: call.request.path.clone(),
            parameters: Form::parse(&call.request.body).fingerprint(),
        };
        let now = self.conditions.clock.now();
        let refused = match self.keys.lock().unwrap().claim(key, fingerprint, now) {
            Claim::First => return None,
            Claim::Replay(Saved { answer, request_id }) => {
                let answer = answer.with("Idempotent-Replayed", "true");
                return Some(answer.with("Original-Request", &request_id));
            }
            Claim::InUse => {
                let message = "Another request with this idempotency key is still being executed";
                StripeError::new(409, "invalid_request_error", message)
                    .code("idempotency_key_in_use")
            }
            Claim::OtherEndpoint(path) => {
                let message = format!("This idempotency key was first used for {path}");
                StripeError::new(400, "idempotency_error", message)
            }
            Claim::OtherParameters => {
                let message = "This idempotency key was first used with other parameters";
                StripeError::new(400, "idempotency_error", message)
            }
        };
        Some(refused.answer())
    }
}

/// Whether the key is a live one.
fn authenticate(call: &Call, settings: &Settings) -> Result<bool, StripeError> {
    let unauthorized = |message: &str| StripeError::new(401, "invalid_request_error", message);
    let header = call.request.header("authorization").unwrap_or_default();
    let key = header.strip_prefix("Bearer ").ok_or_else(|| {
        unauthorized("You did not provide an API key: want the header Authorization: Bearer KEY")
    })?;
    if !settings.secret_keys.iter().any(|accepted| accepted == key) {
        return Err(unauthorized("Invalid API Key provided"));
    }
    if settings.restricted {
        return Err(StripeError::of_status(403));
    }
    Ok(key.starts_with("sk_live_") || key.starts_with("rk_live_"))
}

/// Only a POST has one; with other methods Stripe takes no notice of it.
fn idempotency_key(call: &Call) -> Result<Option<&str>, StripeError> {
    let Some(key) = call
        .request
        .header("idempotency-key")
        .filter(|_| call.request.method == "POST")
    else {
        return Ok(None);
    };
    let length = key.chars().count();
    if (1..=LONGEST_KEY).contains(&length) {
        return Ok(Some(key));
    }
    let message = format!("Idempotency-Key must have 1 to {LONGEST_KEY} characters, got {length}");
    Err(StripeError::invalid(message))
}
