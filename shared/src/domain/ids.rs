//! The names by which a payment is found. Each is checked once, where it enters.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::IntoStaticStr;

use super::radix::BASE_36;
use super::time::UnixMillis;

/// Why an identifier was refused: what it must be, fit to follow "must be ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(pub &'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $must_be:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and keeps the text.
            ///
            /// # Errors
            /// [`IdError`] says what the text must be.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(IdError($must_be)) }
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Whether the text has the shape 8-4-4-4-12 of hexadecimal digits (RFC 9562).
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (1..=250).contains(&rest.len())
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

text_id!(
    /// The Genesys conversation: a UUID in lowercase, as Genesys writes it.
    ConversationId,
    "a UUID in lowercase such as 7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a",
    |text| is_uuid(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
);

text_id!(
    /// What is being paid for, as the merchant's order system names it: 1–100 of `A-Za-z0-9._:-`.
    OrderId,
    "1 to 100 characters of A-Z a-z 0-9 . _ : -",
    |text| (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
);

text_id!(
    /// A Stripe PaymentIntent, `pi_…`.
    IntentId,
    "a PaymentIntent id that starts with pi_",
    |text| is_prefixed(text, "pi_") && !text.contains("_secret_")
);

text_id!(
    /// Names one payment for good: 128 random bits. An order id may come again, in another
    /// deployment or once the record has expired; this does not.
    PaymentUid,
    "25 lowercase letters and digits",
    |text| BASE_36.decode(text).is_some()
);

impl PaymentUid {
    /// The name made of 128 random bits.
    pub fn from_bits(bits: [u8; 16]) -> Self {
        Self(BASE_36.encode(u128::from_be_bytes(bits)))
    }
}

/// How far an order id reaches.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum OrderScope {
    /// It names one payment, whichever call asks.
    #[default]
    Merchant,
    /// It names one payment in each conversation.
    Conversation,
}

/// A Stripe PaymentMethod, `pm_…`, from a PCI-validated voice vault. It can charge a card, so
/// Debug hides it and nothing stores it.
#[derive(Clone)]
pub struct PaymentMethodId(String);

impl PaymentMethodId {
    /// Checks and keeps the token.
    ///
    /// # Errors
    /// [`IdError`] says what the text must be, and not what it was.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if is_prefixed(text, "pm_") {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError(
                "a PaymentMethod id that starts with pm_, from a PCI-validated voice vault",
            ))
        }
    }

    /// The token itself, for the one call that charges it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first 128 bits of its SHA-256 in hexadecimal: tells tokens apart without being one.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        hex::encode(digest.iter().take(16).copied().collect::<Vec<u8>>())
    }
}

impl fmt::Debug for PaymentMethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentMethodId([redacted])")
    }
}

/// Which attempt of which payment: what ties an intent to its record, in Stripe's metadata and in
/// the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Correlation {
    pub payment_uid: PaymentUid,
    /// The Genesys conversation that asked for this attempt.
    pub conversation_id: ConversationId,
    pub order_id: OrderId,
    /// Counts the intents of one payment, from 1.
    pub attempt: u32,
}

impl Correlation {
    pub fn key(&self) -> PaymentKey {
        PaymentKey::new(self.conversation_id.clone(), self.order_id.clone())
    }

    /// The key under which this attempt's intent is created: the same on every try, on every
    /// machine. `/` is in none of the parts, so no two attempts share a key. At most 77 of
    /// Stripe's 255 characters.
    pub fn create_key(&self) -> IdempotencyKey {
        self.idempotency_key("")
    }

    /// The key under which this attempt's intent is created without a receipt, if Stripe keeps its
    /// refusal of the receipt's address under [`Self::create_key`], which can make no intent then.
    pub fn second_create_key(&self) -> IdempotencyKey {
        self.idempotency_key("/without-receipt")
    }

    /// The key under which a token confirms this attempt's intent: another token, another key.
    pub fn confirm_key(&self, payment_method: &PaymentMethodId) -> IdempotencyKey {
        self.idempotency_key(&format!("/confirm/{}", payment_method.fingerprint()))
    }

    /// The key under which one request cancels this attempt's intent. The moment and the round are
    /// part of it, so that a later try is a new one: whether an intent can be canceled changes.
    pub fn cancel_key(&self, now: UnixMillis, round: usize) -> IdempotencyKey {
        self.idempotency_key(&format!("/cancel/{}/{round}", now.0))
    }

    fn idempotency_key(&self, operation: &str) -> IdempotencyKey {
        let (uid, attempt) = (&self.payment_uid, self.attempt);
        IdempotencyKey(format!("{uid}/{attempt}{operation}"))
    }
}

/// Which payment: the order, and the conversation that asks. The table finds it by the order alone
/// or by both, as its [`OrderScope`] says; the DynamoDB adapter alone knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PaymentKey {
    conversation_id: ConversationId,
    order_id: OrderId,
}

impl PaymentKey {
    pub fn new(conversation_id: ConversationId, order_id: OrderId) -> Self {
        Self {
            conversation_id,
            order_id,
        }
    }

    pub fn conversation_id(&self) -> &ConversationId {
        &self.conversation_id
    }

    pub fn order_id(&self) -> &OrderId {
        &self.order_id
    }

    /// An attempt of the payment that has this name.
    pub fn attempt(&self, payment_uid: PaymentUid, attempt: u32) -> Correlation {
        Correlation {
            payment_uid,
            conversation_id: self.conversation_id.clone(),
            order_id: self.order_id.clone(),
            attempt,
        }
    }
}

/// Stripe's `Idempotency-Key` of one write. [`Correlation`] alone makes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_ids_are_lowercase_uuids() {
        assert!(ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").is_ok());
        for wrong in [
            "",
            "7D3C1F5E-8A51-4C0E-9B7A-2F6D0C1E4B5A",
            "7d3c1f5e8a514c0e9b7a2f6d0c1e4b5a",
            "7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5g",
            "{7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5}",
        ] {
            assert!(ConversationId::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn order_ids_have_the_contract_s_alphabet() {
        assert!(OrderId::parse("A-1.b_c:2").is_ok());
        assert!(OrderId::parse(&"x".repeat(100)).is_ok());
        for wrong in ["", "a b", "a/b", "ä", "a#b", &"x".repeat(101)] {
            assert!(OrderId::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_client_secret_is_no_intent_id() {
        assert!(IntentId::parse("pi_123").is_ok());
        assert!(IntentId::parse("pi_123_secret_456").is_err());
        assert!(IntentId::parse("pi_").is_err());
    }

    #[test]
    fn a_token_hides_in_debug_and_its_fingerprint_tells_tokens_apart() {
        let one = PaymentMethodId::parse("pm_1").unwrap();
        let two = PaymentMethodId::parse("pm_2").unwrap();
        assert!(!format!("{one:?}").contains("pm_1"));
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(one.fingerprint().len(), 32);
    }

    #[test]
    fn the_longest_keys_fit_stripe_s_limit() {
        let correlation = Correlation {
            payment_uid: PaymentUid::from_bits([0xFF; 16]),
            conversation_id: ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").unwrap(),
            order_id: OrderId::parse("A-1").unwrap(),
            attempt: u32::MAX,
        };
        let key = correlation.confirm_key(&PaymentMethodId::parse("pm_1").unwrap());
        assert!(key.as_str().len() <= 77, "{}", key.as_str().len());
    }
}
