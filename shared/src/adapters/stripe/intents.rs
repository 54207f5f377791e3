//! What is done to one intent: made, confirmed, canceled, fetched.

use reqwest::Method;

use super::client::{Call, Stripe, Write, form, is_replayed, refusal};
use super::lookup::Searched;
use super::wire::{ApiError, ApiIntent, metadata, parse_intent};
use crate::adapters::http::{HttpResponse, Transport};
use crate::domain::ids::{IdempotencyKey, IntentId, PaymentMethodId};
use crate::domain::observation::{AsOf, Observation, Source};
use crate::domain::payment::Payment;
use crate::domain::time::UnixMillis;
use crate::ports::{
    CancelIntent, ConfirmIntent, CreateIntent, Deadline, FetchIntent, Lookup, NewIntent,
    PublishableKey, ReadSecret, SecretError, StripeError, StripeReply,
};

impl<S: ReadSecret, T: Transport> CreateIntent for Stripe<S, T> {
    async fn create_intent(
        &self,
        new: NewIntent<'_>,
        deadline: Deadline,
    ) -> Result<StripeReply, StripeError> {
        let NewIntent {
            key,
            correlation,
            money,
            terms,
        } = new;
        let amount = money.amount_minor.to_string();
        let [uid_key, conversation_key, order_key, attempt_key] = [
            metadata::PAYMENT_UID,
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
            (&uid_key, correlation.payment_uid.as_str()),
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
        let receipt_email = terms.receipt_email.as_deref();
        fields.extend(receipt_email.map(|text| ("receipt_email", text)));
        let path = "/v1/payment_intents".to_owned();
        let call = write("create", path, key, &fields);
        let answer = self.call(&call, deadline).await?;
        let made = read(&answer).map_err(|error| match &error {
            StripeError::Rejected { code, param }
                // mutant: receipt-refused
                if receipt_email.is_some()
                    && (param == "receipt_email" || code == "email_invalid") =>
            {
                StripeError::ReceiptRefused {
                    kept: is_replayed(&answer),
                }
            }
            _ => error,
        });
        let mut created = reply(&answer, made?);
        // First answer or replay, it tells how the intent was made, not how it stands: as old as
        // the intent.
        created.seen.source = Source::Event;
        // mutant: created-as-of
        created.seen.as_of = AsOf::second(created.seen.intent.created);
        Ok(created)
    }
}

impl<S: ReadSecret, T: Transport> ConfirmIntent for Stripe<S, T> {
    async fn confirm_intent(
        &self,
        intent_id: &IntentId,
        payment_method: &PaymentMethodId,
        key: &IdempotencyKey,
        deadline: Deadline,
    ) -> Result<StripeReply, StripeError> {
        // Nobody can answer a 3-D Secure challenge on the phone: a card that needs one is declined
        // instead.
        let mut fields = vec![
            ("payment_method", payment_method.expose()),
            ("error_on_requires_action", "true"),
        ];
        if self.moto {
            fields.push(("payment_method_options[card][moto]", "true"));
        }
        let path = format!("/v1/payment_intents/{intent_id}/confirm");
        let call = write("confirm", path, key, &fields);
        let answer = self.call(&call, deadline).await?;
        let declined = if answer.status == 402 {
            let intent = ApiError::parse(&answer.body).intent();
            Some(intent.ok_or_else(|| refusal(&answer))?)
        } else {
            None
        };
        let intent = declined.map_or_else(|| read(&answer), Ok)?;
        Ok(reply(&answer, intent))
    }
}

impl<S: ReadSecret, T: Transport> CancelIntent for Stripe<S, T> {
    async fn cancel_intent(
        &self,
        intent_id: &IntentId,
        key: &IdempotencyKey,
        deadline: Deadline,
    ) -> Result<StripeReply, StripeError> {
        let path = format!("/v1/payment_intents/{intent_id}/cancel");
        let reason = [("cancellation_reason", "requested_by_customer")];
        let call = write("cancel", path, key, &reason);
        let answer = self.call(&call, deadline).await?;
        Ok(reply(&answer, read(&answer)?))
    }
}

/// A request that changes something.
fn write<'a>(
    name: &'a str,
    path: String,
    key: &'a IdempotencyKey,
    fields: &[(&str, &str)],
) -> Call<'a> {
    let write = Write {
        key,
        form: form(fields),
    };
    Call {
        name,
        method: Method::POST,
        path,
        write: Some(write),
    }
}

impl<S: ReadSecret, T: Transport> FetchIntent for Stripe<S, T> {
    async fn fetch_intent(
        &self,
        intent_id: &IntentId,
        deadline: Deadline,
    ) -> Result<StripeReply, StripeError> {
        let path = format!("/v1/payment_intents/{intent_id}");
        let call = Call {
            name: "fetch",
            method: Method::GET,
            path,
            write: None,
        };
        let answer = self.call(&call, deadline).await?;
        Ok(reply(&answer, read(&answer)?))
    }

    async fn find_intent(
        &self,
        payment: &Payment,
        now: UnixMillis,
        deadline: Deadline,
    ) -> Result<Lookup, StripeError> {
        match self.look_for(payment, now, deadline).await? {
            // Where it stands is fetched: the index of the search lags in that, too.
            Searched::Found(intent_id) => {
                let reply = self.fetch_intent(&intent_id, deadline).await?;
                Ok(Lookup::Found(Box::new(reply)))
            }
            Searched::Nothing => Ok(Lookup::Absent),
            Searched::Unclear => Ok(Lookup::Unclear),
        }
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

/// When an answer was true, on Stripe's clock: its `Date`, less the time the request took at the
/// earliest. Without a `Date`, any time since the intent was made.
fn as_of(answer: &HttpResponse, created: u64) -> AsOf {
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

fn reply(answer: &HttpResponse, read: ApiIntent) -> StripeReply {
    let ApiIntent {
        intent,
        client_secret,
    } = read;
    let as_of = as_of(answer, intent.created);
    let replayed = is_replayed(answer);
    StripeReply {
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

fn read(answer: &HttpResponse) -> Result<ApiIntent, StripeError> {
    if !(200..300).contains(&answer.status) {
        return Err(refusal(answer));
    }
    parse_intent(&answer.body).map_err(|error| {
        tracing::error!(%error, "unreadable answer from Stripe");
        StripeError::Unavailable
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::with;
    use super::*;

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
