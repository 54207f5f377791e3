//! Knows keys, tokens and client secrets by their shape, so that one in the wrong place is neither
//! stored, logged nor repeated: inputs of a Data Action are easily swapped, and a field may not
//! hold what its name says.

use crate::domain::card_guard::in_identifier;

/// What Stripe's secrets begin with, or hold. Publishable keys are public.
const MARKS: [&str; 6] = [
    "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "_secret_",
];

/// A token's letters and digits after `pm_`: fewer may be anybody's own reference.
const TOKEN_LENGTH: usize = 14;

/// Whether the text holds a key, a webhook secret, a client secret or a token of Stripe's.
pub fn holds_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let is_token = |rest: &str| {
        rest.bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
            .count()
            >= TOKEN_LENGTH
    };
    MARKS.iter().any(|mark| text.contains(mark))
        || text
            .match_indices("pm_")
            .any(|(at, mark)| text.get(at + mark.len()..).is_some_and(is_token))
}

/// Whether a name or an id from outside may be logged: short, plain, and nothing that must not be.
pub fn is_plain_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']'))
        && !holds_secret(text)
        && !in_identifier(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tokens_and_client_secrets_are_known_wherever_they_stand() {
        for secret in [
            "sk_test_51Qm",
            "paid with RK_LIVE_51Qm",
            "whsec_x",
            "pi_3Qm_secret_x",
            "pm_1QmCanaryTokenhJ7",
            "{pm_card_visa_chargeDeclined}",
        ] {
            assert!(holds_secret(secret), "{secret}");
            assert!(!is_plain_name(secret), "{secret}");
        }
        for other in [
            "",
            "pk_live_51Qm",
            "pi_3QmEcho",
            "pm_shift-1",
            "8 pm_",
            "ORDER-1001",
            "no_secrets",
            "secret",
        ] {
            assert!(!holds_secret(other), "{other}");
        }
    }

    #[test]
    fn a_plain_name_is_short_and_has_no_card_number() {
        for name in [
            "evt_1Qm",
            "req_4Kd",
            "payment_method_options[card][moto]",
            "payment_intent.succeeded",
        ] {
            assert!(is_plain_name(name), "{name}");
        }
        for other in ["", "a b", "é", "4539578763621486", &"x".repeat(65)] {
            assert!(!is_plain_name(other), "{other}");
        }
    }
}
