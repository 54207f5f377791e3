//! The two secrets, and a cache that holds each for a limited time and reads it afresh when the
//! other side says no, so that a rotation needs no deployment. What is held goes on being used
//! while it cannot be read afresh. Their text is in no Debug and no error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::secret::Secret;
use crate::ports::telemetry::{self, Metric};
use crate::ports::{ReadSecret, SecretError};

/// How long a secret is used before it is read again.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// How long after a reading that failed the next one may be tried, where a secret is held.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The longest a reading may take where nothing usable is held: the source's own limit, and a
/// little.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// The longest that a caller waits for a fresher secret than the one that is held.
// mutant: refresh-limit
const REFRESH_LIMIT: Duration = Duration::from_millis(500);

/// A secret held for a limited time, and longer while it cannot be read. One caller reads at a
/// time; who has a usable secret waits for no other.
pub struct CachedSecret<S, T> {
    source: S,
    state: Mutex<State<T>>,
    /// Whose turn it is to read.
    reading: Turn<()>,
}

struct State<T> {
    held: Option<Held<T>>,
    /// The last reading that found what was refused.
    reread_at: Option<Instant>,
    /// The last reading, where it failed.
    failed: Option<(Instant, SecretError)>,
}

struct Held<T> {
    secret: Arc<T>,
    text: SecretString,
    read_at: Instant,
}

impl<T> State<T> {
    /// What is held, and whether it is time to read it again.
    fn held(&self) -> Option<(Arc<T>, bool)> {
        let held = self.held.as_ref()?;
        let is_old = held.read_at.elapsed() >= TIME_TO_LIVE;
        Some((
            Arc::clone(&held.secret),
            is_old && self.recent_failure().is_none(),
        ))
    }

    fn recent_failure(&self) -> Option<SecretError> {
        self.failed
            .filter(|(at, _)| at.elapsed() < RETRY_AFTER)
            .map(|(_, error)| error)
    }

    fn held_other_than(&self, refused: &Arc<T>) -> Option<Arc<T>> {
        self.held
            .as_ref()
            .map(|held| &held.secret)
            .filter(|secret| !Arc::ptr_eq(secret, refused))
            .cloned()
    }
}

impl<S: ReadSecret, T: Secret> CachedSecret<S, T> {
    /// An empty cache over a source.
    pub fn new(source: S) -> Self {
        Self {
            source,
            state: Mutex::new(State {
                held: None,
                reread_at: None,
                failed: None,
            }),
            reading: Turn::new(()),
        }
    }

    /// The secret, at most five minutes old; older where it cannot be read afresh, in half a
    /// second, at the moment.
    ///
    /// # Errors
    /// [`SecretError`], only where none is held.
    pub async fn get(&self) -> Result<Arc<T>, SecretError> {
        let held = self.state().held();
        let Some((held, is_due)) = held else {
            let _turn = self.reading.lock().await;
            // A caller that has waited for another's reading has its result.
            let held = self.state().held();
            return match held {
                Some((held, _)) => Ok(held),
                None => self.read(READ_LIMIT).await,
            };
        };
        if !is_due {
            return Ok(held);
        }
        let Ok(_turn) = self.reading.try_lock() else {
            return Ok(held);
        };
        // mutant: held-secret
        Ok(self.read(REFRESH_LIMIT).await.unwrap_or(held))
    }

    /// Another secret than the one that was refused, read afresh; `None` when there is none, or
    /// when the last such reading was less than `not_within` ago.
    ///
    /// # Errors
    /// [`SecretError`]: whether there is another cannot be told at the moment. It is asked at most
    /// every 30 seconds.
    pub async fn other_than(
        &self,
        refused: &Arc<T>,
        not_within: Duration,
    ) -> Result<Option<Arc<T>>, SecretError> {
        let other = self.state().held_other_than(refused);
        if other.is_some() {
            return Ok(other);
        }
        let _turn = self.reading.lock().await;
        {
            let state = self.state();
            if let Some(other) = state.held_other_than(refused) {
                return Ok(Some(other));
            }
            if let Some(error) = state.recent_failure() {
                return Err(error);
            }
            if state.reread_at.is_some_and(|at| at.elapsed() < not_within) {
                return Ok(None);
            }
        }
        let read = self.read(READ_LIMIT).await?;
        self.state().reread_at = Some(Instant::now());
        Ok((!Arc::ptr_eq(&read, refused)).then_some(read))
    }

    /// Reads the source. The same text again keeps the same [`Arc`], so that callers can tell a
    /// rotation by pointer.
    async fn read(&self, limit: Duration) -> Result<Arc<T>, SecretError> {
        let read = tokio::time::timeout(limit, self.source.read_secret())
            .await
            .unwrap_or(Err(SecretError::Unavailable));
        let mut state = self.state();
        let parsed = read.and_then(|text| match &state.held {
            Some(held) if held.text.expose_secret() == text.expose_secret() => {
                Ok((Arc::clone(&held.secret), text))
            }
            _ => T::parse(text.expose_secret()).map(|secret| (Arc::new(secret), text)),
        });
        match parsed {
            Ok((secret, text)) => {
                state.failed = None;
                state.held = Some(Held {
                    secret: Arc::clone(&secret),
                    text,
                    read_at: Instant::now(),
                });
                Ok(secret)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error));
                let held_one_stays = state.held.is_some();
                drop(state);
                tracing::error!(owner = T::OWNER, %error, held_one_stays, "secret not read");
                telemetry::count(Metric::SecretFailures, error.outcome());
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::adapters::secrets::{GenesysSecret, StripeSecret};

    #[derive(Default)]
    struct Source {
        text: std::sync::Mutex<String>,
        reads: AtomicUsize,
        fails: std::sync::Mutex<Option<SecretError>>,
        hangs: std::sync::Mutex<bool>,
    }

    impl Source {
        fn fail(&self, with: Option<SecretError>) {
            *self.fails.lock().unwrap() = with;
        }

        fn hang(&self, hangs: bool) {
            *self.hangs.lock().unwrap() = hangs;
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::SeqCst)
        }
    }

    impl ReadSecret for Arc<Source> {
        async fn read_secret(&self) -> Result<SecretString, SecretError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            if *self.hangs.lock().unwrap() {
                std::future::pending::<()>().await;
            }
            match *self.fails.lock().unwrap() {
                Some(error) => Err(error),
                None => Ok(self.text.lock().unwrap().clone().into()),
            }
        }
    }

    fn with_key(key: &str) -> String {
        format!(
            r#"{{"secret_key":"{key}","publishable_key":"pk_test_1",
            "webhook_secrets":["whsec_1"]}}"#
        )
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
        assert!(
            cache
                .other_than(&old, Duration::ZERO)
                .await
                .unwrap()
                .is_none()
        );
        *source.text.lock().unwrap() = with_key("sk_test_2");
        let new = cache
            .other_than(&old, Duration::ZERO)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(new.secret_key.expose_secret(), "sk_test_2");
        let reads = source.reads.load(Ordering::SeqCst);
        assert!(
            cache
                .other_than(&old, Duration::ZERO)
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(
            source.reads.load(Ordering::SeqCst),
            reads,
            "a twin that was refused too needs no read of its own"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn rereads_for_unknown_signatures_are_limited() {
        let source = Arc::new(Source::default());
        *source.text.lock().unwrap() = with_key("sk_test_1");
        let cache: CachedSecret<_, StripeSecret> = CachedSecret::new(Arc::clone(&source));
        let old = cache.get().await.unwrap();
        for _ in 0..50 {
            assert!(
                cache
                    .other_than(&old, Duration::from_secs(60))
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        assert_eq!(source.reads.load(Ordering::SeqCst), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(
            cache
                .other_than(&old, Duration::from_secs(60))
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(source.reads.load(Ordering::SeqCst), 3);
    }

    /// A cache that holds a secret whose five minutes are over.
    async fn old() -> (
        Arc<Source>,
        CachedSecret<Arc<Source>, StripeSecret>,
        Arc<StripeSecret>,
    ) {
        let source = Arc::new(Source::default());
        *source.text.lock().unwrap() = with_key("sk_test_1");
        let cache = CachedSecret::new(Arc::clone(&source));
        let held = cache.get().await.unwrap();
        tokio::time::advance(TIME_TO_LIVE).await;
        (source, cache, held)
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_secret_that_cannot_be_read_is_used_on_and_tried_every_thirty_seconds() {
        let (source, cache, held) = old().await;
        for failure in [SecretError::Unavailable, SecretError::Refused] {
            source.fail(Some(failure));
            let before = source.reads();
            for _ in 0..300 {
                assert!(Arc::ptr_eq(&cache.get().await.unwrap(), &held));
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            assert_eq!(source.reads() - before, 10, "{failure:?}");
        }
        source.fail(None);
        *source.text.lock().unwrap() = "{ a slip of the pen".to_owned();
        let before = source.reads();
        for _ in 0..60 {
            assert!(Arc::ptr_eq(&cache.get().await.unwrap(), &held));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(source.reads() - before, 2, "a text of no use");
        *source.text.lock().unwrap() = with_key("sk_test_2");
        assert_eq!(
            cache.get().await.unwrap().secret_key.expose_secret(),
            "sk_test_2"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_secrets_manager_that_hangs_costs_one_caller_half_a_second_and_the_others_nothing() {
        let (source, cache, held) = old().await;
        source.hang(true);
        let began = Instant::now();
        let waiting = async {
            assert!(Arc::ptr_eq(&cache.get().await.unwrap(), &held));
            assert_eq!(began.elapsed(), REFRESH_LIMIT);
        };
        let others = async {
            for _ in 0..50 {
                assert!(Arc::ptr_eq(&cache.get().await.unwrap(), &held));
            }
            assert_eq!(began.elapsed(), Duration::ZERO);
        };
        tokio::join!(waiting, others);
        assert_eq!(source.reads(), 2);
        cache.get().await.unwrap();
        assert_eq!(began.elapsed(), REFRESH_LIMIT, "not tried again at once");
    }

    #[tokio::test(start_paused = true)]
    async fn another_secret_than_a_refused_one_is_asked_for_every_thirty_seconds_at_most() {
        let (source, cache, held) = old().await;
        source.hang(true);
        let began = Instant::now();
        let asking = || cache.other_than(&held, Duration::ZERO);
        let (one, two, used) = tokio::join!(asking(), asking(), cache.get());
        assert_eq!(
            (one.unwrap_err(), two.unwrap_err()),
            (SecretError::Unavailable, SecretError::Unavailable)
        );
        assert!(Arc::ptr_eq(&used.unwrap(), &held));
        assert_eq!(
            (began.elapsed(), source.reads()),
            (READ_LIMIT, 2),
            "the second one has the first one's answer"
        );
        source.hang(false);
        *source.text.lock().unwrap() = with_key("sk_test_2");
        assert_eq!(asking().await.unwrap_err(), SecretError::Unavailable);
        tokio::time::advance(RETRY_AFTER).await;
        assert_eq!(
            asking().await.unwrap().unwrap().secret_key.expose_secret(),
            "sk_test_2"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_held_secret_every_caller_reads_and_fails_as_the_source_does() {
        let source = Arc::new(Source::default());
        source.fail(Some(SecretError::Refused));
        let cache: CachedSecret<_, StripeSecret> = CachedSecret::new(Arc::clone(&source));
        for reads in 1..5 {
            assert_eq!(cache.get().await.unwrap_err(), SecretError::Refused);
            assert_eq!(source.reads(), reads);
        }
        source.fail(None);
        *source.text.lock().unwrap() = with_key("sk_test_1");
        assert!(cache.get().await.is_ok());
    }

    fn refused<T: Secret>(json: &str) -> SecretError {
        T::parse(json)
            .err()
            .unwrap_or_else(|| panic!("{json} was taken"))
    }

    #[test]
    fn what_no_stripe_secret_can_be_is_refused_by_its_field_and_nothing_is_shown() {
        let text = |secret_key: &str, publishable_key: &str, webhook: &str| {
            serde_json::json!({
                "secret_key": secret_key,
                "publishable_key": publishable_key,
                "webhook_secrets": [webhook],
            })
        };
        for (json, field) in [
            (
                serde_json::json!(["sk_test_canary", "pk_test_1", ["whsec_canary"]]),
                "value",
            ),
            (
                serde_json::json!({
                    "secret_key": "sk_test_canary",
                    "webhook_secrets": "whsec_canary",
                }),
                "value",
            ),
            (serde_json::json!({}), "secret_key"),
            (text("", "pk_test_1", "whsec_canary"), "secret_key"),
            (
                text("sk_test_canary\n", "pk_test_1", "whsec_canary"),
                "secret_key",
            ),
            (
                text("sk_test_can ary", "pk_test_1", "whsec_canary"),
                "secret_key",
            ),
            (
                text("sk_test_canar\u{fd}", "pk_test_1", "whsec_canary"),
                "secret_key",
            ),
            (text("canary", "pk_test_1", "whsec_canary"), "secret_key"),
            (text("sk_test_", "pk_test_1", "whsec_canary"), "secret_key"),
            (
                text("sk_sandbox_canary", "pk_test_1", "whsec_canary"),
                "secret_key",
            ),
            (
                text("SK_LIVE_canary", "pk_live_1", "whsec_canary"),
                "secret_key",
            ),
            (
                text("pk_live_canary", "pk_live_1", "whsec_canary"),
                "secret_key",
            ),
            (
                text("rk_live_canary", "pk_test_canary", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_live_canary", "pk_test_canary", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "pk_live_canary", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "sk_test_canary", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "pk_canary", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "pk_test_", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "pk_test_canary\n", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "pk_test_sk_test_canary", "whsec_canary"),
                "publishable_key",
            ),
            (
                text("sk_test_canary", "pk_test_1", "whsec_canary\n"),
                "webhook_secrets",
            ),
            (
                text("sk_test_canary", "pk_test_1", " whsec_canary"),
                "webhook_secrets",
            ),
            (
                text("sk_test_canary", "pk_test_1", "whsec_can\tary"),
                "webhook_secrets",
            ),
            (
                text("sk_test_canary", "pk_test_1", "canary"),
                "webhook_secrets",
            ),
            (
                text("sk_test_canary", "pk_test_1", "whsec_"),
                "webhook_secrets",
            ),
            (text("sk_test_canary", "pk_test_1", ""), "webhook_secrets"),
        ] {
            let error = refused::<StripeSecret>(&json.to_string());
            assert_eq!(error.outcome(), field, "{json}: {error}");
            assert!(
                error.to_string().contains(field)
                    && !format!("{error}{error:?}").contains("canary"),
                "{error}"
            );
        }
        for (key, publishable, livemode) in [
            ("sk_test_1", "pk_test_1", false),
            ("rk_test_1", "", false),
            ("sk_live_1", "pk_live_1", true),
            ("rk_live_1", "pk_live_1", true),
        ] {
            let secret =
                StripeSecret::parse(&text(key, publishable, "whsec_1").to_string()).unwrap();
            assert_eq!(
                (secret.livemode, secret.publishable_key.is_some()),
                (livemode, !publishable.is_empty()),
                "{key}"
            );
        }
        let bare = StripeSecret::parse(r#"{"secret_key":"rk_live_canary","publishable_key":null}"#)
            .unwrap();
        assert!(bare.webhook_secrets.is_empty() && bare.publishable_key.is_none());
        assert!(!format!("{bare:?}").contains("canary"));
    }

    #[test]
    fn what_no_genesys_secret_can_be_is_refused_by_its_field_and_nothing_is_shown() {
        for (json, field) in [
            ("canary", "value"),
            (r#"["id", "canary"]"#, "value"),
            (r#"{"client_id":5,"client_secret":"canary"}"#, "value"),
            (r#"{"client_secret":"canary"}"#, "client_id"),
            (r#"{"client_id":"","client_secret":"canary"}"#, "client_id"),
            (
                r#"{"client_id":"id\n","client_secret":"canary"}"#,
                "client_id",
            ),
            (
                r#"{"client_id":"i d","client_secret":"canary"}"#,
                "client_id",
            ),
            (r#"{"client_id":"id"}"#, "client_secret"),
            (r#"{"client_id":"id","client_secret":""}"#, "client_secret"),
            (
                r#"{"client_id":"id","client_secret":"canary "}"#,
                "client_secret",
            ),
            (
                r#"{"client_id":"id","client_secret":"can\u00a0ary"}"#,
                "client_secret",
            ),
        ] {
            let error = refused::<GenesysSecret>(json);
            assert_eq!(error.outcome(), field, "{json}: {error}");
            assert!(
                error.to_string().contains(field)
                    && !format!("{error}{error:?}").contains("canary"),
                "{error}"
            );
        }
        let genesys =
            GenesysSecret::parse(r#"{"client_id":"id","client_secret":"canary"}"#).unwrap();
        assert!(!format!("{genesys:?}").contains("canary"));
    }
}
