//! Signing events and sending them to an endpoint.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Shared;

/// How often an event is offered before it is given up.
const TRIES: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(10);

/// An event as an endpoint gets it: raw body and the header over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// To be sent byte for byte.
    pub body: Vec<u8>,
    /// `Stripe-Signature`.
    pub signature: String,
}

/// What became of one event that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event's id.
    pub event: String,
    /// How often it was offered.
    pub tries: u32,
    /// The endpoint's last status; `None` when it could not be reached.
    pub status: Option<u16>,
}

/// `Stripe-Signature` over a raw body with one secret, the whole `whsec_…` string being the key.
pub fn sign(secret: &str, t: i64, body: &[u8]) -> String {
    sign_with(&[secret.to_owned()], t, body)
}

/// One `v1` for each secret, as while a secret is being rolled.
pub(crate) fn sign_with(secrets: &[String], t: i64, body: &[u8]) -> String {
    let signatures = secrets.iter().map(|secret| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
        mac.update(format!("{t}.").as_bytes());
        mac.update(body);
        format!(",v1={}", hex::encode(mac.finalize().into_bytes()))
    });
    format!("t={t}{}", signatures.collect::<String>())
}

pub(crate) fn serialize(event: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(event).expect("a JSON value can be written")
}

/// Sends events one after the other until the stand-in is gone.
pub(crate) async fn deliver(
    shared: Arc<Shared>,
    mut events: UnboundedReceiver<Value>,
    url: String,
) {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        // Stripe takes a redirect for a failure.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("an HTTP client without special options");
    while let Some(event) = events.recv().await {
        let mut delivery = Delivery {
            event: event["id"].as_str().unwrap_or_default().to_owned(),
            tries: 0,
            status: None,
        };
        let mut pause = Duration::from_millis(10);
        loop {
            delivery.tries += 1;
            delivery.status = post(&client, &shared, &url, &event).await;
            let accepted = delivery
                .status
                .is_some_and(|status| (200..300).contains(&status));
            if accepted || delivery.tries == TRIES {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        shared
            .deliveries
            .send_modify(|deliveries| deliveries.push(delivery));
    }
}

/// Signed afresh on every try, so that a late one is not refused as too old.
async fn post(client: &reqwest::Client, shared: &Shared, url: &str, event: &Value) -> Option<u16> {
    let Webhook { body, signature } = shared.webhook(event);
    let request = client
        .post(url)
        .header("Content-Type", "application/json; charset=utf-8")
        .header(
            "User-Agent",
            "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        )
        .header("Stripe-Signature", signature)
        .body(body);
    request
        .send()
        .await
        .ok()
        .map(|response| response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` module.
    #[test]
    fn signatures_are_hmac_sha256_over_time_and_body() {
        let signed = sign("whsec_test_secret", 1_700_000_000, br#"{"id":"evt_1"}"#);
        assert_eq!(
            signed,
            "t=1700000000,v1=248a374f50f943a28b0f6ab50faf9a7e7e29b710fa26df9fb1618b9bf8ea9c9a"
        );
        let both = sign_with(
            &["whsec_new".into(), "whsec_test_secret".into()],
            1_700_000_000,
            b"{}",
        );
        assert_eq!(both.matches(",v1=").count(), 2);
    }
}
