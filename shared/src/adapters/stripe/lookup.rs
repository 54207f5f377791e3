//! Looks for an attempt's intent by its metadata.

use std::time::Duration;

use reqwest::Method;

use super::client::{Call, Stripe, form, refusal};
use super::wire::{IntentPage, metadata, parse_intent_page};
use crate::adapters::http::Transport;
use crate::domain::ids::{Correlation, IntentId};
use crate::domain::payment::{CREATE_WINDOW, Payment};
use crate::domain::time::UnixMillis;
use crate::ports::{Deadline, ReadSecret, StripeError};

/// How far our clock and Stripe's may be apart where an intent is looked for by the second in which
/// it was made.
const CLOCKS_APART: Duration = Duration::from_secs(4 * 3600);

/// How many pages of the list are read, of at most [`PAGE`] intents each.
const MAX_PAGES: usize = 10;

/// The most intents that Stripe gives at once.
const PAGE: &str = "100";

/// What search or list says of an attempt's intent.
pub(super) enum Searched {
    Found(IntentId),
    Nothing,
    Unclear,
}

impl<S: ReadSecret, T: Transport> Stripe<S, T> {
    /// The intent of the payment's attempt.
    pub(super) async fn look_for(
        &self,
        payment: &Payment,
        now: UnixMillis,
        deadline: Deadline,
    ) -> Result<Searched, StripeError> {
        match self.search(&payment.correlation, deadline).await? {
            Searched::Found(intent_id) => Ok(Searched::Found(intent_id)),
            // mutant: search-lag
            Searched::Nothing if payment.search_has_caught_up(now) => Ok(Searched::Nothing),
            Searched::Nothing | Searched::Unclear => self.list(payment, now, deadline).await,
        }
    }

    /// Asks Stripe's search, which is not there in every region and lags.
    async fn search(
        &self,
        correlation: &Correlation,
        deadline: Deadline,
    ) -> Result<Searched, StripeError> {
        let query = format!(
            "metadata['{}']:'{}' AND metadata['{}']:'{}'",
            metadata::PAYMENT_UID,
            correlation.payment_uid,
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
            // mutant: list-end
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
        let call = Call {
            name,
            method: Method::GET,
            path,
            write: None,
        };
        let answer = self.call(&call, deadline).await?;
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
        // mutant: exact-match
        .find(|(_, named)| named == correlation)
        .map(|(intent_id, _)| intent_id.clone())
}
