//! Verifies a webhook delivery, and reads its event.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::client::Stripe;
use super::signature::SignatureHeader;
use super::wire::parse_intent;
use crate::adapters::http::Transport;
use crate::adapters::secrets::StripeSecret;
use crate::domain::observation::{AsOf, Observation, Source};
use crate::domain::secret_guard::is_plain_name;
use crate::domain::time::UnixMillis;
use crate::ports::{
    Event, EventError, ObjectError, ReadSecret, SecretError, SignatureError, VerifyEvent,
};

/// How often an unknown signature may cause the secret to be read afresh.
const REREAD_EVERY: Duration = Duration::from_secs(60);

/// A secret may be saved before there is an endpoint. Then no event can be judged, and Stripe has
/// to send it again.
const NO_WEBHOOK_SECRETS: SecretError = SecretError::Unusable {
    field: "webhook_secrets",
    must: "must have the secret of the webhook endpoint",
};

impl<S: ReadSecret, T: Transport> Stripe<S, T> {
    /// The secret by which the signature over the raw body holds.
    async fn verify(
        &self,
        signature: &SignatureHeader<'_>,
        body: &[u8],
    ) -> Result<Arc<StripeSecret>, EventError> {
        let secret = self.secret.get().await?;
        let verified = |secrets: &[SecretString]| signature.verify(body, secrets);
        if verified(&secret.webhook_secrets).is_ok() {
            return Ok(secret);
        }
        let renewed = self.secret.other_than(&secret, REREAD_EVERY).await?;
        let newest = renewed.as_ref().unwrap_or(&secret);
        if newest.webhook_secrets.is_empty() {
            return Err(NO_WEBHOOK_SECRETS.into());
        }
        let renewed = renewed.ok_or(SignatureError::NoMatch)?;
        verified(&renewed.webhook_secrets)?;
        Ok(renewed)
    }
}

impl<S: ReadSecret, T: Transport> VerifyEvent for Stripe<S, T> {
    async fn verify_event(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now: UnixMillis,
    ) -> Result<Event, EventError> {
        let header = signature.ok_or(SignatureError::Missing)?;
        let signature = SignatureHeader::parse(header, now.secs())?;
        let secret = self.verify(&signature, body).await?;
        Ok(parse_event(body, secret.livemode)?)
    }
}

#[derive(Deserialize)]
pub(super) struct Object {
    #[serde(default)]
    object: String,
}

#[derive(Deserialize)]
pub(super) struct WireEvent<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: u64,
    #[serde(default)]
    livemode: bool,
    #[serde(default)]
    account: Option<IgnoredAny>,
    #[serde(borrow)]
    data: WireData<'a>,
}

#[derive(Deserialize)]
pub(super) struct WireData<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Reads a webhook event, after its signature was verified. `livemode` is the mode of our own key.
///
/// # Errors
/// [`ObjectError`]; an intent event whose status or currency this version does not know is an error
/// of its own, so that it is never taken for one that carries no news.
pub fn parse_event(json: &[u8], livemode: bool) -> Result<Event, ObjectError> {
    let object: Object = serde_json::from_slice(json).map_err(|_| ObjectError::Shape)?;
    if object.object == "v2.core.event" {
        return Err(ObjectError::ThinEvent);
    }
    let event: WireEvent = serde_json::from_slice(json).map_err(|_| ObjectError::Shape)?;
    // Both are logged, and the id is recorded.
    if !is_plain_name(&event.id) || !is_plain_name(&event.kind) {
        return Err(ObjectError::Shape);
    }
    let is_other_account = event.account.is_some();
    let seen = if event.kind.starts_with("payment_intent.") && !is_other_account {
        let intent = parse_intent(event.data.object.get().as_bytes())?.intent;
        let as_of = AsOf::second(event.created);
        Some(Observation {
            intent,
            as_of,
            source: Source::Event,
            event_id: Some(event.id.clone()),
        })
    } else {
        None
    };
    Ok(Event {
        id: event.id,
        kind: event.kind,
        is_other_mode: event.livemode != livemode,
        is_other_account,
        seen,
    })
}
