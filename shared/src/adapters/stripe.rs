//! Stripe's PaymentIntents API.
//!
//! Every write carries an idempotency key, and a retry sends the very same bytes under it. At most
//! one retry, inside the deadline; whether to retry is Stripe's word first (`Stripe-Should-Retry`),
//! then as Stripe's own clients do: connection errors, 409 and 5xx, not 429. A time-out is not
//! retried, for it has used up the deadline.

use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use reqwest::{Client, Method};
use secrecy::ExposeSecret;

use super::http::{Answered, Http, Transport, Unanswered};
use crate::ids::{Correlation, IntentId, PaymentMethodId};
use crate::payment::{AsOf, CREATE_WINDOW, Observation, Payment, Source};
use crate::ports::{
    Answer, CancelIntent, ConfirmIntent, CreateIntent, FetchIntent, Lookup, NewIntent,
    PublishableKey, StripeError,
};
use crate::secrets::{CachedSecret, ReadSecret, SecretError, StripeSecret};
use crate::stripe_object::{
    ApiError, ApiIntent, IntentPage, metadata, parse_intent, parse_intent_page,
};
use crate::time::{Deadline, UnixMillis};

/// The API version every request names: the newest that Stripe's official SDKs speak. Stripe.js on
/// the payer's page is of the same release.
pub const STRIPE_VERSION: &str = "2026-10-28.endive";

/// How long to wait before the one retry, unless Stripe says how long.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The least time a retry must still have to be worth sending.
const RETRY_NEEDS: Duration = Duration::from_millis(200);

/// The longest that the start of a function waits for a connection to Stripe.
const WARM_LIMIT: Duration = Duration::from_secs(1);

/// How far our clock and Stripe's may be apart where an intent is looked for by the second in which
/// it was made.
const CLOCKS_APART: Duration = Duration::from_secs(4 * 3600);

/// How many pages of the list are read, of at most [`PAGE`] intents each.
const MAX_PAGES: usize = 10;

/// The most intents that Stripe gives at once.
const PAGE: &str = "100";

/// The client.
pub struct Stripe<S, T = Client> {
    http: Http<T>,
    base: String,
    secret: Arc<CachedSecret<S, StripeSecret>>,
    moto: bool,
}

impl<S: ReadSecret, T: Transport> Stripe<S, T> {
    /// A client of the API at `base`. With `moto`, tokens are charged as mail and telephone orders,
    /// which Stripe must have enabled for the account.
    #[must_use]
    pub fn new(
        http: Http<T>,
        base: String,
        secret: Arc<CachedSecret<S, StripeSecret>>,
        moto: bool,
    ) -> Self {
        Self {
            http,
            base,
            secret,
            moto,
        }
    }

    /// Opens the connection before the first request needs it, by a request without a key. What
    /// fails here is met, and reported, there.
    pub async fn warm(&self) {
        let request = self.http.client().get(format!("{}/healthcheck", self.base));
        let _ = self.http.send(request, Deadline::after(WARM_LIMIT)).await;
    }

    /// Sends a call under the current key and, when Stripe refuses that, once more under the key
    /// read afresh.
    async fn call(&self, call: &Call<'_>, deadline: Deadline) -> Result<Answered, StripeError> {
        let secret = self.secret.get().await?;
        let answer = self.try_twice(call, &secret, deadline).await?;
        if !matches!(answer.status, 401 | 403) {
            return Ok(answer);
        }
        match self.secret.other_than(&secret, Duration::ZERO).await? {
            Some(renewed) => self.try_twice(call, &renewed, deadline).await,
            None => Ok(answer),
        }
    }

    async fn try_twice(
        &self,
        call: &Call<'_>,
        secret: &StripeSecret,
        deadline: Deadline,
    ) -> Result<Answered, StripeError> {
        let first = self.try_once(call, secret, deadline).await;
        let Some((reason, delay)) = retry_reason(&first) else {
            return first.map_err(StripeError::from);
        };
        if !deadline.allows(delay + RETRY_NEEDS) {
            return first.map_err(StripeError::from);
        }
        tracing::info!(
            reason,
            call = call.name,
            "retrying Stripe under the same key"
        );
        tokio::time::sleep(delay).await;
        self.try_once(call, secret, deadline)
            .await
            .map_err(StripeError::from)
    }

    async fn try_once(
        &self,
        call: &Call<'_>,
        secret: &StripeSecret,
        deadline: Deadline,
    ) -> Result<Answered, Unanswered> {
        let mut request = self
            .http
            .client()
            .request(call.method.clone(), format!("{}{}", self.base, call.path))
            .bearer_auth(secret.secret_key.expose_secret())
            .header("Stripe-Version", STRIPE_VERSION);
        if let Some(Write { key, form }) = &call.write {
            request = request
                .header("Idempotency-Key", key)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form.clone());
        }
        self.http.send(request, deadline).await
    }
}

/// One request, built before the first try.
struct Call<'a> {
    name: &'a str,
    method: Method,
    path: String,
    write: Option<Write>,
}

struct Write {
    key: String,
    form: String,
}

fn form(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl From<Unanswered> for StripeError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Timeout => Self::Timeout,
            Unanswered::Connect | Unanswered::Broken => Self::Unavailable,
        }
    }
}

/// Why a try is worth repeating, and after how long.
fn retry_reason(tried: &Result<Answered, Unanswered>) -> Option<(&'static str, Duration)> {
    let answer = match tried {
        Ok(answer) => answer,
        Err(Unanswered::Connect) => return Some(("no connection", RETRY_DELAY)),
        Err(Unanswered::Broken) => return Some(("broken connection", RETRY_DELAY)),
        Err(Unanswered::Timeout) => return None,
    };
    if is_replayed(answer) {
        // What is kept under the key is all that ever comes.
        return None;
    }
    let delay = answer
        .retry_after()
        .map_or(RETRY_DELAY, |after| after.max(RETRY_DELAY));
    match (answer.header("stripe-should-retry"), answer.status) {
        (Some("true"), _) => Some(("stripe-should-retry", delay)),
        (Some("false"), _) => None,
        (_, 409) => Some(("409", delay)),
        (_, 500..) => Some(("5xx", delay)),
        _ => None,
    }
}

/// What an answer other than success means.
fn refusal(answer: &Answered) -> StripeError {
    let error = ApiError::parse(&answer.body);
    let request_id = answer.id("request-id");
    tracing::info!(
        status = answer.status,
        kind = error.kind.as_deref(),
        code = error.code.as_deref(),
        param = error.param.as_deref(),
        request_id,
        "Stripe refused"
    );
    match answer.status {
        424 | 500.. if is_replayed(answer) => StripeError::KeptFailure,
        401 | 403 => StripeError::Auth {
            status: answer.status,
        },
        429 => StripeError::RateLimited,
        409 => StripeError::InUse,
        400..=499 if error.kind.as_deref() == Some("idempotency_error") => StripeError::KeyMismatch,
        400..=499 if error.is(&["payment_intent_unexpected_state"]) => StripeError::UnexpectedState,
        424 => StripeError::Unavailable,
        404 => StripeError::Rejected {
            code: error.code.unwrap_or_else(|| "resource_missing".to_owned()),
            param: error.param.unwrap_or_default(),
        },
        400..=499 => StripeError::Rejected {
            code: error
                .code
                .or(error.kind)
                .unwrap_or_else(|| "unreadable_error".to_owned()),
            param: error.param.unwrap_or_default(),
        },
        _ => StripeError::Unavailable,
    }
}

/// When an answer was true, on Stripe's clock: its `Date`, less the time the request took at the
/// earliest. Without a `Date`, any time since the intent was made.
fn as_of(answer: &Answered, created: u64) -> AsOf {
    let date = answer
        .header("date")
        .and_then(|date| httpdate::parse_http_date(date).ok());
    let since_epoch = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    match since_epoch.map(|since| since.as_secs()) {
        Some(until) => AsOf {
            from: until.saturating_sub(answer.took.as_secs() + 1),
            until,
        },
        None => AsOf {
            from: created,
            until: u64::MAX,
        },
    }
}

/// Whether it is what Stripe keeps under the idempotency key, rather than the outcome of this very
/// request.
fn is_replayed(answer: &Answered) -> bool {
    answer
        .header("idempotent-replayed")
        .is_some_and(|value| value == "true")
}

fn answered(answer: &Answered, read: ApiIntent) -> Answer {
    let ApiIntent {
        intent,
        client_secret,
    } = read;
    let as_of = as_of(answer, intent.created);
    let replayed = is_replayed(answer);
    Answer {
        seen: Observation {
            intent,
            as_of,
            source: Source::Fetched,
            event_id: None,
        },
        client_secret,
        replayed,
    }
}

fn read(answer: &Answered) -> Result<ApiIntent, StripeError> {
    if !(200..300).contains(&answer.status) {
        return Err(refusal(answer));
    }
    parse_intent(&answer.body).map_err(|error| {
        tracing::error!(%error, "unreadable answer from Stripe");
        StripeError::Unavailable
    })
}

impl<S: ReadSecret, T: Transport> CreateIntent for Stripe<S, T> {
    async fn create_intent(
        &self,
        new: NewIntent<'_>,
        deadline: Deadline,
    ) -> Result<Answer, StripeError> {
        let NewIntent {
            correlation,
            money,
            terms,
        } = new;
        let amount = money.amount_minor.to_string();
        let [conversation_key, order_key, attempt_key] = [
            metadata::CONVERSATION_ID,
            metadata::ORDER_ID,
            metadata::ATTEMPT,
        ]
        .map(|key| format!("metadata[{key}]"));
        let attempt = correlation.attempt.to_string();
        let mut fields = vec![
            ("amount", amount.as_str()),
            ("currency", money.currency.code()),
            ("allowed_payment_method_types[0]", "card"),
            ("capture_method", terms.capture_method.as_str()),
            (&conversation_key, correlation.conversation_id.as_str()),
            (&order_key, correlation.order_id.as_str()),
            (&attempt_key, &attempt),
        ];
        fields.extend(
            terms
                .description
                .as_deref()
                .map(|text| ("description", text)),
        );
        fields.extend(
            terms
                .receipt_email
                .as_deref()
                .map(|text| ("receipt_email", text)),
        );
        let key = if terms.first_key_spent {
            correlation.second_create_key()
        } else {
            correlation.create_key()
        };
        let call = Call {
            name: "create",
            method: Method::POST,
            path: "/v1/payment_intents".to_owned(),
            write: Some(Write {
                key,
                form: form(&fields),
            }),
        };
        let answer = self.call(&call, deadline).await?;
        let made = read(&answer).map_err(|error| match &error {
            StripeError::Rejected { code, param }
                if terms.receipt_email.is_some()
                    && (param == "receipt_email" || code == "email_invalid") =>
            {
                StripeError::ReceiptRefused {
                    kept: is_replayed(&answer),
                }
            }
            _ => error,
        });
        let mut created = answered(&answer, made?);
        // First answer or replay, it tells how the intent was made, not how it stands: as old as
        // the intent.
        created.seen.source = Source::Event;
        created.seen.as_of = AsOf::second(created.seen.intent.created);
        Ok(created)
    }
}

impl<S: ReadSecret, T: Transport> ConfirmIntent for Stripe<S, T> {
    async fn confirm_intent(
        &self,
        intent_id: &IntentId,
        correlation: &Correlation,
        payment_method: &PaymentMethodId,
        deadline: Deadline,
    ) -> Result<Answer, StripeError> {
        // Nobody can answer a 3-D Secure challenge on the phone: a card that wants one is declined
        // instead.
        let mut fields = vec![
            ("payment_method", payment_method.expose()),
            ("error_on_requires_action", "true"),
        ];
        fields.extend(
            self.moto
                .then_some(("payment_method_options[card][moto]", "true")),
        );
        let call = Call {
            name: "confirm",
            method: Method::POST,
            path: format!("/v1/payment_intents/{intent_id}/confirm"),
            write: Some(Write {
                key: correlation.confirm_key(payment_method),
                form: form(&fields),
            }),
        };
        let answer = self.call(&call, deadline).await?;
        let read = match answer.status {
            402 => ApiError::parse(&answer.body)
                .intent()
                .ok_or_else(|| refusal(&answer))?,
            _ => read(&answer)?,
        };
        Ok(answered(&answer, read))
    }
}

impl<S: ReadSecret, T: Transport> CancelIntent for Stripe<S, T> {
    async fn cancel_intent(
        &self,
        intent_id: &IntentId,
        correlation: &Correlation,
        now: UnixMillis,
        deadline: Deadline,
    ) -> Result<Answer, StripeError> {
        let call = Call {
            name: "cancel",
            method: Method::POST,
            path: format!("/v1/payment_intents/{intent_id}/cancel"),
            write: Some(Write {
                key: correlation.cancel_key(now),
                form: form(&[("cancellation_reason", "requested_by_customer")]),
            }),
        };
        let answer = self.call(&call, deadline).await?;
        Ok(answered(&answer, read(&answer)?))
    }
}

impl<S: ReadSecret, T: Transport> PublishableKey for Stripe<S, T> {
    async fn publishable_key(&self) -> Result<String, SecretError> {
        let secret = self.secret.get().await?;
        let missing = SecretError::Unusable {
            field: "publishable_key",
            must: "must be there and not empty",
        };
        secret.publishable_key.clone().ok_or(missing)
    }
}

impl<S: ReadSecret, T: Transport> FetchIntent for Stripe<S, T> {
    async fn fetch_intent(
        &self,
        intent_id: &IntentId,
        deadline: Deadline,
    ) -> Result<Answer, StripeError> {
        let path = format!("/v1/payment_intents/{intent_id}");
        let call = Call {
            name: "fetch",
            method: Method::GET,
            path,
            write: None,
        };
        let answer = self.call(&call, deadline).await?;
        Ok(answered(&answer, read(&answer)?))
    }

    async fn find_intent(
        &self,
        payment: &Payment,
        now: UnixMillis,
        deadline: Deadline,
    ) -> Result<Lookup, StripeError> {
        let searched = self.search(&payment.correlation, deadline).await?;
        let looked_up = match &searched {
            Searched::Found(_) => searched,
            Searched::Nothing if payment.search_has_caught_up(now) => return Ok(Lookup::Absent),
            Searched::Nothing | Searched::Unclear => self.list(payment, now, deadline).await?,
        };
        match looked_up {
            // Where it stands is fetched: the index lags in that, too.
            Searched::Found(intent_id) => self
                .fetch_intent(&intent_id, deadline)
                .await
                .map(|answer| Lookup::Found(Box::new(answer))),
            Searched::Nothing => Ok(Lookup::Absent),
            Searched::Unclear => Ok(Lookup::Unclear),
        }
    }
}

/// What search or list says of an attempt's intent.
enum Searched {
    Found(IntentId),
    Nothing,
    Unclear,
}

impl<S: ReadSecret, T: Transport> Stripe<S, T> {
    /// Asks Stripe's search, which is not there in every region and lags.
    async fn search(
        &self,
        correlation: &Correlation,
        deadline: Deadline,
    ) -> Result<Searched, StripeError> {
        let query = format!(
            "metadata['{}']:'{}' AND metadata['{}']:'{}' AND metadata['{}']:'{}'",
            metadata::CONVERSATION_ID,
            correlation.conversation_id,
            metadata::ORDER_ID,
            correlation.order_id,
            metadata::ATTEMPT,
            correlation.attempt,
        );
        let path = format!("/v1/payment_intents/search?{}", form(&[("query", &query)]));
        match self.page("search", path, deadline).await {
            Ok(page) => Ok(exact(&page, correlation).map_or(Searched::Nothing, Searched::Found)),
            Err(
                StripeError::Auth { status: 403 }
                | StripeError::Rejected { .. }
                | StripeError::Unavailable,
            ) => Ok(Searched::Unclear),
            Err(error) => Err(error),
        }
    }

    /// Reads the list of all intents that were made while this one can have been made, the newest
    /// first. The list holds an intent from the moment it is made, so one that is not there does
    /// not exist.
    async fn list(
        &self,
        payment: &Payment,
        now: UnixMillis,
        deadline: Deadline,
    ) -> Result<Searched, StripeError> {
        let began = payment.attempt_started_at;
        let from = began.minus(CLOCKS_APART).secs().to_string();
        let until = now
            .min(began.plus(CREATE_WINDOW))
            .max(began)
            .plus(CLOCKS_APART)
            .secs()
            .to_string();
        let mut after: Option<IntentId> = None;
        for _ in 0..MAX_PAGES {
            let mut fields = vec![
                ("limit", PAGE),
                ("created[gte]", from.as_str()),
                ("created[lte]", until.as_str()),
            ];
            fields.extend(
                after
                    .as_ref()
                    .map(|after| ("starting_after", after.as_str())),
            );
            let path = format!("/v1/payment_intents?{}", form(&fields));
            let page = match self.page("list", path, deadline).await {
                Ok(page) => page,
                Err(StripeError::Rejected { .. }) => return Ok(Searched::Unclear),
                Err(error) => return Err(error),
            };
            if let Some(found) = exact(&page, &payment.correlation) {
                return Ok(Searched::Found(found));
            }
            if page.next_after.is_none() {
                return Ok(Searched::Nothing);
            }
            after = page.next_after;
        }
        tracing::warn!(
            conversation_id = %payment.correlation.conversation_id,
            order_id = %payment.correlation.order_id,
            attempt = payment.correlation.attempt,
            pages = MAX_PAGES,
            "Stripe has more intents than are read to look for this attempt's"
        );
        Ok(Searched::Unclear)
    }

    async fn page(
        &self,
        name: &str,
        path: String,
        deadline: Deadline,
    ) -> Result<IntentPage, StripeError> {
        let answer = self
            .call(
                &Call {
                    name,
                    method: Method::GET,
                    path,
                    write: None,
                },
                deadline,
            )
            .await?;
        if answer.status != 200 {
            return Err(refusal(&answer));
        }
        parse_intent_page(&answer.body).map_err(|error| {
            tracing::error!(%error, "unreadable answer from Stripe");
            StripeError::Unavailable
        })
    }
}

/// The one intent whose metadata names exactly this attempt.
fn exact(page: &IntentPage, correlation: &Correlation) -> Option<IntentId> {
    page.found
        .iter()
        .find(|(_, named)| named == correlation)
        .map(|(intent_id, _)| intent_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    fn with(status: u16, headers: &[(&'static str, &str)]) -> Answered {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Answered {
            status,
            headers: map,
            body: Vec::new(),
            took: Duration::from_millis(1200),
        }
    }

    #[test]
    fn stripe_s_word_on_retrying_wins_over_the_status() {
        let reason = |answer| retry_reason(&Ok(answer)).map(|(reason, _)| reason);
        assert_eq!(reason(with(200, &[])), None);
        assert_eq!(reason(with(402, &[])), None);
        assert_eq!(reason(with(429, &[])), None);
        assert_eq!(
            reason(with(429, &[("stripe-should-retry", "true")])),
            Some("stripe-should-retry")
        );
        assert_eq!(reason(with(409, &[])), Some("409"));
        assert_eq!(reason(with(503, &[])), Some("5xx"));
        assert_eq!(reason(with(500, &[("stripe-should-retry", "false")])), None);
        assert!(retry_reason(&Err(Unanswered::Connect)).is_some());
        assert!(retry_reason(&Err(Unanswered::Timeout)).is_none());
    }

    #[test]
    fn an_answer_s_time_spans_its_request_on_stripe_s_clock() {
        let dated = with(200, &[("date", "Sun, 22 Nov 2026 19:37:42 GMT")]);
        assert_eq!(
            as_of(&dated, 7),
            AsOf {
                from: 1_795_376_260,
                until: 1_795_376_262
            }
        );
        assert_eq!(
            as_of(&with(200, &[]), 7),
            AsOf {
                from: 7,
                until: u64::MAX
            }
        );
    }
}
