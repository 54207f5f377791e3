//! Verifies a webhook delivery, and reads its event.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::client::Stripe;
use super::signature::SignatureHeader;
use super::wire::parse_event;
use crate::adapters::http::Transport;
use crate::adapters::secrets::StripeSecret;
use crate::domain::time::UnixMillis;
use crate::ports::{Event, EventError, ReadSecret, SecretError, SignatureError, VerifyEvent};

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
