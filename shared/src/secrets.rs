//! The two secrets, and a cache that holds each for a limited time and reads it afresh when the other side says no,
//! so that a rotation needs no deployment. Their text is in no Debug and no error.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::secret_guard::holds_secret;

/// How long a secret is used before it is read again.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// Why a secret could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not answer, or not in time.
    #[error("Secrets Manager did not answer")]
    Unavailable,
    /// Secrets Manager refused: no such secret, no value yet, no permission.
    #[error("Secrets Manager has no readable value under this id")]
    Refused,
    /// Not the JSON that is wanted; the text names the field.
    #[error("the secret is not usable: {0}")]
    Unusable(&'static str),
}

/// Where a secret's text comes from.
pub trait ReadSecret: Send + Sync {
    /// Reads the current text.
    fn read_secret(&self) -> impl Future<Output = Result<SecretString, SecretError>> + Send;
}

/// A secret's text, read into its parts.
pub trait Secret: Sized + Send + Sync {
    /// Reads the JSON.
    ///
    /// # Errors
    /// [`SecretError::Unusable`] names the field.
    fn parse(json: &str) -> Result<Self, SecretError>;
}

/// `{"secret_key":"sk_…","publishable_key":"pk_…","webhook_secrets":["whsec_…"]}`
#[derive(Debug)]
pub struct StripeSecret {
    /// `sk_…` or, better, a restricted `rk_…`.
    pub secret_key: SecretString,
    /// `pk_…`, which the payer's page needs; `None` where it is missing or no such key.
    pub publishable_key: Option<String>,
    /// Every active secret of the webhook endpoint: two while one is being rolled.
    pub webhook_secrets: Vec<SecretString>,
}

impl StripeSecret {
    /// Whether the key is for real money, as its prefix tells; `None` where it does not tell.
    #[must_use]
    pub fn livemode(&self) -> Option<bool> {
        let key = self.secret_key.expose_secret();
        match key.get(2..8) {
            Some("_live_") => Some(true),
            Some("_test_") => Some(false),
            _ => None,
        }
    }
}

impl Secret for StripeSecret {
    fn parse(json: &str) -> Result<Self, SecretError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            secret_key: Option<SecretString>,
            #[serde(default)]
            publishable_key: Option<String>,
            #[serde(default)]
            webhook_secrets: Vec<SecretString>,
        }
        let unusable =
            SecretError::Unusable("it is not JSON with secret_key, publishable_key and a list of webhook_secrets");
        // serde takes a list for the fields in their order, too.
        let read = json.trim_start().starts_with('{').then(|| serde_json::from_str(json).ok()).flatten();
        let wire: Wire = read.ok_or(unusable)?;
        let secret_key = wire
            .secret_key
            .filter(|key| !key.expose_secret().is_empty())
            .ok_or(SecretError::Unusable("secret_key is missing or empty"))?;
        // It goes into a header, and a line break is soon copied along.
        if !secret_key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Unusable(
                "secret_key holds a space, a line break or another character no key has",
            ));
        }
        // Anything else in its place, a secret key above all, must never reach a browser.
        let is_key = |key: &String| {
            let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            key.starts_with("pk_") && key.len() <= 255 && plain && !holds_secret(key)
        };
        let publishable_key = wire.publishable_key.filter(is_key);
        Ok(Self { secret_key, publishable_key, webhook_secrets: wire.webhook_secrets })
    }
}

/// `{"client_id":"…","client_secret":"…"}`
pub struct GenesysSecret {
    /// The OAuth client's id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

impl fmt::Debug for GenesysSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GenesysSecret([redacted])")
    }
}

impl Secret for GenesysSecret {
    fn parse(json: &str) -> Result<Self, SecretError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            client_id: String,
            #[serde(default)]
            client_secret: Option<SecretString>,
        }
        let wire: Wire = serde_json::from_str(json)
            .map_err(|_| SecretError::Unusable("it is not JSON with client_id and client_secret"))?;
        if wire.client_id.is_empty() {
            return Err(SecretError::Unusable("client_id is missing or empty"));
        }
        let client_secret = wire
            .client_secret
            .filter(|secret| !secret.expose_secret().is_empty())
            .ok_or(SecretError::Unusable("client_secret is missing or empty"))?;
        Ok(Self { client_id: wire.client_id, client_secret })
    }
}

/// A secret held for a limited time. Concurrent readers wait for one read.
pub struct CachedSecret<S, T> {
    source: S,
    state: Mutex<State<T>>,
}

struct State<T> {
    held: Option<Held<T>>,
    reread_at: Option<Instant>,
}

struct Held<T> {
    secret: Arc<T>,
    text: SecretString,
    read_at: Instant,
}

impl<S: ReadSecret, T: Secret> CachedSecret<S, T> {
    /// An empty cache over a source.
    #[must_use]
    pub fn new(source: S) -> Self {
        Self { source, state: Mutex::new(State { held: None, reread_at: None }) }
    }

    /// The secret, at most five minutes old.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn get(&self) -> Result<Arc<T>, SecretError> {
        let mut state = self.state.lock().await;
        match &state.held {
            Some(held) if held.read_at.elapsed() < TIME_TO_LIVE => Ok(Arc::clone(&held.secret)),
            _ => Ok(Arc::clone(&self.read(&mut state).await?.secret)),
        }
    }

    /// Another secret than the one that was refused, read afresh; `None` when there is none, or when the last such
    /// read was less than `not_within` ago.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn other_than(&self, refused: &Arc<T>, not_within: Duration) -> Result<Option<Arc<T>>, SecretError> {
        let mut state = self.state.lock().await;
        if let Some(held) = state.held.as_ref().filter(|held| !Arc::ptr_eq(&held.secret, refused)) {
            return Ok(Some(Arc::clone(&held.secret)));
        }
        if state.reread_at.is_some_and(|at| at.elapsed() < not_within) {
            return Ok(None);
        }
        state.reread_at = Some(Instant::now());
        let held = self.read(&mut state).await?;
        Ok((!Arc::ptr_eq(&held.secret, refused)).then(|| Arc::clone(&held.secret)))
    }

    /// Reads the source. The same text again keeps the same [`Arc`], so that callers can tell a rotation by pointer.
    async fn read<'a>(&self, state: &'a mut State<T>) -> Result<&'a Held<T>, SecretError> {
        let text = self.source.read_secret().await?;
        let secret = match &state.held {
            Some(held) if held.text.expose_secret() == text.expose_secret() => Arc::clone(&held.secret),
            // What was held stays, should this not be usable.
            _ => Arc::new(T::parse(text.expose_secret())?),
        };
        Ok(state.held.insert(Held { secret, text, read_at: Instant::now() }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Source {
        text: std::sync::Mutex<String>,
        reads: AtomicUsize,
    }

    impl ReadSecret for Arc<Source> {
        async fn read_secret(&self) -> Result<SecretString, SecretError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(self.text.lock().unwrap().clone().into())
        }
    }

    fn with_key(key: &str) -> String {
        format!(r#"{{"secret_key":"{key}","publishable_key":"pk_test_1","webhook_secrets":["whsec_1"]}}"#)
    }

    #[tokio::test(start_paused = true)]
    async fn held_for_five_minutes_then_read_again() {
        let source = Arc::new(Source::default());
        *source.text.lock().unwrap() = with_key("sk_test_1");
        let cache: CachedSecret<_, StripeSecret> = CachedSecret::new(Arc::clone(&source));
        cache.get().await.unwrap();
        tokio::time::advance(Duration::from_secs(299)).await;
        cache.get().await.unwrap();
        assert_eq!(source.reads.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        cache.get().await.unwrap();
        assert_eq!(source.reads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotation_is_seen_at_once_and_an_unchanged_secret_is_no_other() {
        let source = Arc::new(Source::default());
        *source.text.lock().unwrap() = with_key("sk_test_1");
        let cache: CachedSecret<_, StripeSecret> = CachedSecret::new(Arc::clone(&source));
        let old = cache.get().await.unwrap();
        assert!(cache.other_than(&old, Duration::ZERO).await.unwrap().is_none());
        *source.text.lock().unwrap() = with_key("sk_test_2");
        let new = cache.other_than(&old, Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(new.secret_key.expose_secret(), "sk_test_2");
        let reads = source.reads.load(Ordering::SeqCst);
        assert!(cache.other_than(&old, Duration::ZERO).await.unwrap().is_some());
        assert_eq!(source.reads.load(Ordering::SeqCst), reads, "a twin that was refused too needs no read of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn rereads_for_unknown_signatures_are_limited() {
        let source = Arc::new(Source::default());
        *source.text.lock().unwrap() = with_key("sk_test_1");
        let cache: CachedSecret<_, StripeSecret> = CachedSecret::new(Arc::clone(&source));
        let old = cache.get().await.unwrap();
        for _ in 0..50 {
            assert!(cache.other_than(&old, Duration::from_secs(60)).await.unwrap().is_none());
        }
        assert_eq!(source.reads.load(Ordering::SeqCst), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.other_than(&old, Duration::from_secs(60)).await.unwrap().is_none());
        assert_eq!(source.reads.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_shown() {
        for (json, wanted) in [
            ("", "not JSON"),
            ("{}", "secret_key"),
            (r#"{"secret_key":""}"#, "secret_key"),
            (r#"{"secret_key":"sk_test_canary","webhook_secrets":"whsec_canary"}"#, "webhook_secrets"),
        ] {
            let error = StripeSecret::parse(json).unwrap_err().to_string();
            assert!(error.contains(wanted) && !error.contains("canary"), "{error}");
        }
        let secret = StripeSecret::parse(&with_key("sk_live_canary")).unwrap();
        assert_eq!(secret.livemode(), Some(true));
        assert!(!format!("{secret:?}").contains("canary"));
        assert_eq!(StripeSecret::parse(&with_key("rk_test_x")).unwrap().livemode(), Some(false));
        assert_eq!(StripeSecret::parse(&with_key("odd")).unwrap().livemode(), None);
        let genesys = GenesysSecret::parse(r#"{"client_id":"id","client_secret":"canary"}"#).unwrap();
        assert!(!format!("{genesys:?}").contains("canary"));
        assert!(GenesysSecret::parse(r#"{"client_id":"id"}"#).unwrap_err().to_string().contains("client_secret"));
    }
}
