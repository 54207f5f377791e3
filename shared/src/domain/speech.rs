//! What is said to the caller, and whether the caller should try again.

use crate::domain::payment::PaymentStatus;

/// Decline codes after which the same payer should not simply try again.
/// Source: Stripe, "Decline codes" (those whose next step is not another try or another card).
const HOPELESS: [&str; 12] = [
    "fraudulent",
    "lost_card",
    "merchant_blacklist",
    "pickup_card",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "service_not_allowed",
    "stolen_card",
    "stop_payment_order",
    "transaction_not_allowed",
];

pub fn is_retryable(status: PaymentStatus, reason_code: &str) -> bool {
    match status {
        PaymentStatus::Creating => true,
        PaymentStatus::Declined => !HOPELESS.contains(&reason_code),
        _ => false,
    }
}

/// What may be said to the caller. Stripe asks merchants not to tell a payer that a card was
/// reported lost or stolen, or that fraud is suspected: those sound like any other decline.
pub fn caller_message(status: PaymentStatus, reason_code: &str) -> &'static str {
    match status {
        PaymentStatus::Creating => "Your payment is being prepared.",
        PaymentStatus::Pending => "Your payment is ready and waiting for you.",
        PaymentStatus::Processing => "Your payment is being processed.",
        PaymentStatus::Authorized => "Your card was authorized. Thank you.",
        PaymentStatus::Confirmed => "Your payment was received. Thank you.",
        PaymentStatus::Canceled if reason_code == "too_many_declines" => {
            "This payment was stopped because too many tries were declined."
        }
        PaymentStatus::Canceled => "This payment was canceled.",
        PaymentStatus::Declined => match reason_code {
            "insufficient_funds" | "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" => {
                "The card has insufficient funds or has reached its limit. Please try another card."
            }
            "expired_card" | "invalid_expiry_month" | "invalid_expiry_year" => {
                "The card has expired or its expiry date is wrong. Please check it or try another \
                 card."
            }
            "incorrect_cvc" | "invalid_cvc" => {
                "The card's security code is wrong. Please check it and try again."
            }
            "incorrect_number" | "invalid_number" => {
                "The card number is wrong. Please check it and try again."
            }
            "authentication_required" => {
                "The bank asks for an extra confirmation that cannot be given by phone. Please try \
                 another card."
            }
            "processing_error"
            | "issuer_not_available"
            | "try_again_later"
            | "reenter_transaction" => {
                "The bank could not be reached. Please try again in a moment."
            }
            _ => "The card was declined. Please try another card.",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_or_stolen_card_sounds_like_any_other_decline_but_is_not_tried_again() {
        let plain = caller_message(PaymentStatus::Declined, "generic_decline");
        for code in HOPELESS {
            assert_eq!(
                caller_message(PaymentStatus::Declined, code),
                plain,
                "{code}"
            );
            assert!(!is_retryable(PaymentStatus::Declined, code), "{code}");
        }
        assert!(is_retryable(PaymentStatus::Declined, "insufficient_funds"));
    }

    const LIMIT: &str =
        "The card has insufficient funds or has reached its limit. Please try another card.";
    const EXPIRED: &str =
        "The card has expired or its expiry date is wrong. Please check it or try another card.";
    const CODE: &str = "The card's security code is wrong. Please check it and try again.";
    const NUMBER: &str = "The card number is wrong. Please check it and try again.";
    const BANK: &str = "The bank asks for an extra confirmation that cannot be given by phone. \
        Please try another card.";
    const LATER: &str = "The bank could not be reached. Please try again in a moment.";
    const OTHER: &str = "The card was declined. Please try another card.";

    /// Every code of Stripe's page "Decline codes", in its order: whether another try makes sense,
    /// and what is said.
    const DECLINES: [(&str, bool, &str); 51] = [
        ("approve_with_id", true, OTHER),
        ("authentication_not_handled", true, OTHER),
        ("authentication_required", true, BANK),
        ("call_issuer", true, OTHER),
        ("card_not_supported", true, OTHER),
        ("card_velocity_exceeded", true, LIMIT),
        ("currency_not_supported", true, OTHER),
        ("do_not_honor", true, OTHER),
        ("do_not_try_again", true, OTHER),
        ("duplicate_transaction", true, OTHER),
        ("expired_card", true, EXPIRED),
        ("fraudulent", false, OTHER),
        ("generic_decline", true, OTHER),
        ("incorrect_address", true, OTHER),
        ("incorrect_cvc", true, CODE),
        ("incorrect_number", true, NUMBER),
        ("incorrect_pin", true, OTHER),
        ("incorrect_zip", true, OTHER),
        ("insufficient_funds", true, LIMIT),
        ("invalid_account", true, OTHER),
        ("invalid_amount", true, OTHER),
        ("invalid_cvc", true, CODE),
        ("invalid_expiry_month", true, EXPIRED),
        ("invalid_expiry_year", true, EXPIRED),
        ("invalid_number", true, NUMBER),
        ("invalid_pin", true, OTHER),
        ("issuer_not_available", true, LATER),
        ("lost_card", false, OTHER),
        ("merchant_blacklist", false, OTHER),
        ("mobile_device_authentication_required", true, OTHER),
        ("new_account_information_available", true, OTHER),
        ("no_action_taken", true, OTHER),
        ("not_permitted", true, OTHER),
        ("offline_pin_required", true, OTHER),
        ("online_or_offline_pin_required", true, OTHER),
        ("pickup_card", false, OTHER),
        ("pin_try_exceeded", true, OTHER),
        ("processing_error", true, LATER),
        ("reenter_transaction", true, LATER),
        ("restricted_card", false, OTHER),
        ("revocation_of_all_authorizations", false, OTHER),
        ("revocation_of_authorization", false, OTHER),
        ("security_violation", false, OTHER),
        ("service_not_allowed", false, OTHER),
        ("stolen_card", false, OTHER),
        ("stop_payment_order", false, OTHER),
        ("testmode_decline", true, OTHER),
        ("transaction_not_allowed", false, OTHER),
        ("try_again_later", true, LATER),
        ("withdrawal_count_limit_exceeded", true, LIMIT),
        ("a_code_that_stripe_adds_one_day", true, OTHER),
    ];

    #[test]
    fn every_decline_is_said_and_tried_again_as_stripe_s_list_wants_it() {
        for (code, again, said) in DECLINES {
            assert_eq!(is_retryable(PaymentStatus::Declined, code), again, "{code}");
            assert_eq!(
                caller_message(PaymentStatus::Declined, code),
                said,
                "{code}"
            );
        }
        let hopeless: Vec<&str> = DECLINES
            .iter()
            .filter(|(_, again, _)| !again)
            .map(|(code, ..)| *code)
            .collect();
        assert_eq!(
            HOPELESS.as_slice(),
            hopeless,
            "none that Stripe does not list"
        );
    }

    #[test]
    fn every_status_is_said_and_only_what_may_still_change_by_another_try_is_retryable() {
        use PaymentStatus as S;
        for (status, name, is_final, retryable, said) in [
            (
                S::Creating,
                "CREATING",
                false,
                true,
                "Your payment is being prepared.",
            ),
            (
                S::Pending,
                "PENDING",
                false,
                false,
                "Your payment is ready and waiting for you.",
            ),
            (
                S::Processing,
                "PROCESSING",
                false,
                false,
                "Your payment is being processed.",
            ),
            (
                S::Authorized,
                "AUTHORIZED",
                false,
                false,
                "Your card was authorized. Thank you.",
            ),
            (
                S::Confirmed,
                "CONFIRMED",
                true,
                false,
                "Your payment was received. Thank you.",
            ),
            (
                S::Canceled,
                "CANCELED",
                true,
                false,
                "This payment was canceled.",
            ),
            (S::Declined, "DECLINED", false, true, OTHER),
        ] {
            assert_eq!((status.as_str(), status.is_final()), (name, is_final));
            for reason_code in ["", "amount_too_small", "lost_card"] {
                let hopeless = status == S::Declined && reason_code == "lost_card";
                assert_eq!(
                    is_retryable(status, reason_code),
                    retryable && !hopeless,
                    "{name} {reason_code}"
                );
                assert_eq!(
                    caller_message(status, reason_code),
                    said,
                    "{name} {reason_code}"
                );
            }
        }
    }
}
