//! The names by which a payment is found. Each is checked once, where it enters.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::UnixMillis;

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
            /// [`IdError`] says what is wanted.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(IdError($must_be)) }
            }

            /// The text as it was given.
            #[must_use]
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
#[must_use]
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
    /// What is being paid for, unique within a conversation: 1–100 of `A-Za-z0-9._:-`.
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

/// A Stripe PaymentMethod, `pm_…`, from a PCI-validated voice vault. It can charge a card, so Debug
/// hides it and nothing stores it.
#[derive(Clone)]
pub struct PaymentMethodId(String);

impl PaymentMethodId {
    /// Checks and keeps the token.
    ///
    /// # Errors
    /// [`IdError`] says what is wanted, without the text that was given.
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
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first 128 bits of its SHA-256 in hexadecimal: tells tokens apart without being one.
    #[must_use]
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

/// Which attempt of which payment: what ties an intent to a conversation, in Stripe's metadata and
/// in our pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Correlation {
    /// The Genesys conversation.
    pub conversation_id: ConversationId,
    /// The order within it.
    pub order_id: OrderId,
    /// Counts the intents of one payment, from 1.
    pub attempt: u32,
}

impl Correlation {
    /// Whether both are of one payment, be it of different attempts.
    #[must_use]
    pub fn is_same_payment(&self, other: &Self) -> bool {
        (&self.conversation_id, &self.order_id) == (&other.conversation_id, &other.order_id)
    }

    /// The `Idempotency-Key` under which this attempt's intent is created: the same on every try,
    /// on every machine. `/` is in none of the parts, so no two attempts share a key. At most 148
    /// of Stripe's 255 characters.
    #[must_use]
    pub fn create_key(&self) -> String {
        format!(
            "{}/{}/{}",
            self.conversation_id, self.order_id, self.attempt
        )
    }

    /// The `Idempotency-Key` under which this attempt's intent is created without a receipt, where
    /// Stripe keeps its refusal of the receipt's address under [`Self::create_key`], which can make
    /// no intent then.
    #[must_use]
    pub fn second_create_key(&self) -> String {
        format!("{}/without-receipt", self.create_key())
    }

    /// The `Idempotency-Key` under which a token confirms this attempt's intent: another token,
    /// another key.
    #[must_use]
    pub fn confirm_key(&self, payment_method: &PaymentMethodId) -> String {
        format!(
            "{}/confirm/{}",
            self.create_key(),
            payment_method.fingerprint()
        )
    }

    /// The `Idempotency-Key` under which this attempt's intent is canceled, by one request: the
    /// same on its retry only.
    #[must_use]
    pub fn cancel_key(&self, now: UnixMillis) -> String {
        format!("{}/cancel/{}", self.create_key(), now.0)
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
            conversation_id: ConversationId::parse("7d3c1f5e-8a51-4c0e-9b7a-2f6d0c1e4b5a").unwrap(),
            order_id: OrderId::parse(&"x".repeat(100)).unwrap(),
            attempt: u32::MAX,
        };
        let key = correlation.confirm_key(&PaymentMethodId::parse("pm_1").unwrap());
        assert!(key.len() <= 255, "{}", key.len());
    }
}
