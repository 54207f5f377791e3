//! An outside that refuses everything and counts how often it was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use shared::adapters::http::Http;
use shared::adapters::secrets::CachedSecret;
use shared::adapters::stripe::Stripe;
use shared::adapters::tls;
use shared::domain::ids::{
    ConversationId, Correlation, IdempotencyKey, IntentId, OrderId, PaymentKey, PaymentMethodId,
};
use shared::domain::link::{Link, LinkToken, Placement};
use shared::domain::notice::DueNotice;
use shared::domain::payment::Payment;
use shared::domain::policy::PaymentPolicy;
use shared::domain::time::UnixMillis;
use shared::lambda::config::CreateIntentConfig;
use shared::ports::{
    Beside, CancelIntent, Clock, ConfirmIntent, Conversation, Conversations, CreateIntent,
    Deadline, Event, EventError, FetchIntent, GenesysError, GetLink, GetPayment, Lookup, NewIntent,
    NoRandomBits, NoticeTurn, ParticipantId, PlacePayment, PublishableKey, PutPayment, RandomBits,
    ReadSecret, Saved, SecretError, StoreError, StripeError, StripeReply, TransactPayment,
    UpdatePayment, VerifyEvent,
};

/// The time of day, in Unix seconds.
pub const NOW: u64 = 1_795_000_000;

/// The webhook's active secrets.
pub const WEBHOOK_SECRETS: [&str; 2] = ["whsec_new", "whsec_old"];

/// A `Stripe-Signature` of this text stands for one that signs the event's body now.
pub const SIGN_HERE: &str = "SIGN";

pub(crate) const CONVERSATION: &str = "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a";

pub(crate) fn secrets<const N: usize>(texts: &[&'static str; N]) -> [SecretString; N] {
    texts.map(SecretString::from)
}

/// Whether a text has a mark of Stripe's secrets.
pub(crate) fn marked(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "_secret_",
    ]
    .iter()
    .any(|mark| text.contains(mark))
}

/// What may be charged: currencies of every scale, one ceiling below Stripe's.
pub(crate) static POLICY: LazyLock<PaymentPolicy> = LazyLock::new(|| {
    let vars = HashMap::from([
        ("TABLE_NAME", "t"),
        ("STRIPE_SECRET_ID", "s"),
        ("ALLOWED_CURRENCIES", "usd,jpy,kwd,isk,huf"),
        ("REGION_CURRENCIES", "US=usd,JP=jpy,KW=kwd,CH=chf"),
        ("MAX_AMOUNTS", "usd=1000000"),
    ]);
    CreateIntentConfig::read(|name| vars.get(name).map(|text| (*text).to_owned()))
        .unwrap()
        .policy
});

#[derive(Debug, Default)]
pub(crate) struct Outside {
    asked: AtomicUsize,
}

impl Outside {
    /// How often it was asked since the last time.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    async fn store<T>(&self) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::Unavailable("Refused".to_owned()))
    }

    async fn stripe<T>(&self) -> Result<T, StripeError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(StripeError::Unavailable)
    }

    async fn genesys<T>(&self) -> Result<T, GenesysError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Err(GenesysError::NoConnection)
    }
}

/// The Stripe secret's source.
#[derive(Debug)]
pub(crate) struct Secrets;

impl ReadSecret for Secrets {
    async fn read_secret(&self) -> Result<SecretString, SecretError> {
        let secret = json!({ "secret_key": "sk_test_1", "webhook_secrets": WEBHOOK_SECRETS });
        Ok(secret.to_string().into())
    }
}

/// A clock that stands.
#[derive(Debug)]
pub(crate) struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixMillis {
        UnixMillis(NOW * 1000)
    }
}

impl PutPayment for &Outside {
    async fn put_payment(&self, _: &Payment) -> Result<Option<Payment>, StoreError> {
        self.store().await
    }
}

impl GetPayment for &Outside {
    async fn payment(&self, _: &PaymentKey) -> Result<Option<Payment>, StoreError> {
        self.store().await
    }

    async fn intent_owner(&self, _: &IntentId) -> Result<Option<Correlation>, StoreError> {
        self.store().await
    }

    async fn newest_order(&self, _: &ConversationId) -> Result<Option<OrderId>, StoreError> {
        self.store().await
    }
}

impl UpdatePayment for &Outside {
    async fn save(&self, _: &Payment) -> Result<Saved, StoreError> {
        self.store().await
    }

    async fn claim_refresh(
        &self,
        _: &Payment,
        _: UnixMillis,
        _: Duration,
    ) -> Result<Saved, StoreError> {
        self.store().await
    }

    async fn claim_notice(
        &self,
        _: &Payment,
        _: &DueNotice,
        _: UnixMillis,
        _: Duration,
    ) -> Result<Option<NoticeTurn>, StoreError> {
        self.store().await
    }

    async fn end_notice(
        &self,
        _: &Payment,
        _: NoticeTurn,
        _: Option<&DueNotice>,
    ) -> Result<Option<Payment>, StoreError> {
        self.store().await
    }
}

impl TransactPayment for &Outside {
    async fn transact(&self, _: &Payment, _: Beside<'_>) -> Result<Saved, StoreError> {
        self.store().await
    }
}

impl PlacePayment for &Outside {
    async fn place(&self, _: &Payment, _: &Placement) -> Result<Saved, StoreError> {
        self.store().await
    }
}

impl GetLink for &Outside {
    async fn link(&self, _: &LinkToken) -> Result<Option<Link>, StoreError> {
        self.store().await
    }
}

impl RandomBits for &Outside {
    fn bits(&self) -> Result<[u8; 16], NoRandomBits> {
        Ok([1; 16])
    }
}

impl CancelIntent for &Outside {
    async fn cancel_intent(
        &self,
        _: &IntentId,
        _: &IdempotencyKey,
        _: Deadline,
    ) -> Result<StripeReply, StripeError> {
        self.stripe().await
    }
}

/// What judges deliveries, and needs nothing outside for it but the secret.
static VERIFIER: LazyLock<Stripe<Secrets>> = LazyLock::new(|| {
    let http = Http::new(&tls::client_config(None).unwrap()).unwrap();
    let secret = Arc::new(CachedSecret::new(Secrets));
    Stripe::new(http, String::new(), secret, false)
});

impl VerifyEvent for &Outside {
    async fn verify_event(
        &self,
        signature: Option<&str>,
        body: &[u8],
        now: UnixMillis,
    ) -> Result<Event, EventError> {
        VERIFIER.verify_event(signature, body, now).await
    }
}

impl PublishableKey for &Outside {
    async fn publishable_key(&self) -> Result<String, SecretError> {
        Err(SecretError::Unavailable)
    }
}

impl CreateIntent for &Outside {
    async fn create_intent(
        &self,
        _: NewIntent<'_>,
        _: Deadline,
    ) -> Result<StripeReply, StripeError> {
        self.stripe().await
    }
}

impl ConfirmIntent for &Outside {
    async fn confirm_intent(
        &self,
        _: &IntentId,
        _: &PaymentMethodId,
        _: &IdempotencyKey,
        _: Deadline,
    ) -> Result<StripeReply, StripeError> {
        self.stripe().await
    }
}

impl FetchIntent for &Outside {
    async fn fetch_intent(&self, _: &IntentId, _: Deadline) -> Result<StripeReply, StripeError> {
        self.stripe().await
    }

    async fn find_intent(
        &self,
        _: &Payment,
        _: UnixMillis,
        _: Deadline,
    ) -> Result<Lookup, StripeError> {
        self.stripe().await
    }
}

impl Conversations for &Outside {
    async fn conversation(
        &self,
        _: &ConversationId,
        _: Deadline,
    ) -> Result<Option<Conversation>, GenesysError> {
        self.genesys().await
    }

    async fn set_attributes(
        &self,
        _: &ConversationId,
        _: &ParticipantId,
        _: &BTreeMap<&'static str, String>,
        _: Deadline,
    ) -> Result<(), GenesysError> {
        self.genesys().await
    }

    async fn start_late_payment_flow(
        &self,
        _: &BTreeMap<&'static str, String>,
        _: Deadline,
    ) -> Result<bool, GenesysError> {
        self.genesys().await
    }
}
