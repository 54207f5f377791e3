//! A PaymentIntent and the test cards that move it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// Stripe's names for where an intent stands.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Canceled => "canceled",
            Self::Succeeded => "succeeded",
        }
    }

    pub(crate) fn confirmable(self) -> bool {
        matches!(
            self,
            Self::RequiresPaymentMethod | Self::RequiresConfirmation | Self::RequiresAction
        )
    }

    pub(crate) fn cancelable(self) -> bool {
        self.confirmable() || self == Self::RequiresCapture
    }
}

/// Read back from what [`Intent::to_json`] wrote.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) client_secret: String,
    pub(crate) amount: i64,
    pub(crate) amount_received: i64,
    pub(crate) amount_capturable: i64,
    pub(crate) currency: String,
    pub(crate) status: Status,
    pub(crate) created: i64,
    pub(crate) livemode: bool,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) capture_method: String,
    pub(crate) payment_method: Option<String>,
    pub(crate) allowed_payment_method_types: Option<Vec<String>>,
    pub(crate) payment_method_types: Vec<String>,
    pub(crate) last_payment_error: Option<Value>,
    pub(crate) latest_charge: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) receipt_email: Option<String>,
    pub(crate) statement_descriptor_suffix: Option<String>,
    pub(crate) canceled_at: Option<i64>,
    pub(crate) cancellation_reason: Option<String>,
}

impl Intent {
    pub(crate) fn to_json(&self) -> Value {
        let next_action = (self.status == Status::RequiresAction)
            .then(|| json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {} }));
        json!({
            "id": self.id,
            "object": "payment_intent",
            "allowed_payment_method_types": self.allowed_payment_method_types,
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_received": self.amount_received,
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": self.client_secret,
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "customer": null,
            "description": self.description,
            "last_payment_error": self.last_payment_error,
            "latest_charge": self.latest_charge,
            "livemode": self.livemode,
            "metadata": self.metadata,
            "next_action": next_action,
            "payment_method": self.payment_method,
            "payment_method_types": self.payment_method_types,
            "receipt_email": self.receipt_email,
            "statement_descriptor_suffix": self.statement_descriptor_suffix,
            "status": self.status.name(),
        })
    }

    pub(crate) fn captures_manually(&self) -> bool {
        self.capture_method == "manual"
    }
}

/// What becomes of a payment method when it is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money moves, or is authorized under manual capture.
    Succeed,
    /// The issuer says no.
    Decline {
        /// `error.code`: `card_declined`, `expired_card`, …
        code: String,
        /// `error.decline_code`: `insufficient_funds`, …
        decline_code: String,
    },
    /// The issuer wants the payer to authenticate.
    RequireAuthentication,
    /// The outcome is known only later: see [`crate::Stripe::finish_processing`].
    Process,
}

impl Outcome {
    /// `card_declined` with this decline code.
    pub fn decline(decline_code: &str) -> Self {
        Self::Decline {
            code: "card_declined".into(),
            decline_code: decline_code.into(),
        }
    }

    pub(crate) fn of_test_card(payment_method: &str) -> Option<Self> {
        Some(match payment_method {
            "pm_card_visa" => Self::Succeed,
            "pm_card_visa_chargeDeclined" => Self::decline("generic_decline"),
            "pm_card_visa_chargeDeclinedInsufficientFunds" => Self::decline("insufficient_funds"),
            "pm_card_visa_chargeDeclinedLostCard" => Self::decline("lost_card"),
            "pm_card_chargeDeclinedExpiredCard" => Self::Decline {
                code: "expired_card".into(),
                decline_code: "expired_card".into(),
            },
            "pm_card_authenticationRequired" => Self::RequireAuthentication,
            "pm_card_processing" => Self::Process,
            _ => return None,
        })
    }
}

/// What Stripe tells the developer about a decline.
pub(crate) fn decline_message(decline_code: &str) -> &'static str {
    match decline_code {
        "insufficient_funds" => "Your card has insufficient funds.",
        "expired_card" => "Your card has expired.",
        "authentication_required" => {
            "Your card was declined. This transaction requires authentication."
        }
        _ => "Your card was declined.",
    }
}
