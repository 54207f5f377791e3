//! Which requests of the functions a fault, a gate or a count is about.

use stand_ins::Match;

const INTENTS: &str = "/v1/payment_intents";
const CONVERSATIONS: &str = "/api/v2/conversations";

/// Stripe makes an intent.
pub fn create() -> Match {
    Match::post(INTENTS).exactly()
}

/// Stripe charges a token.
pub fn confirm() -> Match {
    Match::post(INTENTS).ending("/confirm")
}

/// Stripe cancels an intent.
pub fn cancel() -> Match {
    Match::post(INTENTS).ending("/cancel")
}

/// Stripe gives one intent, or looks for one.
pub fn fetch() -> Match {
    Match::get(INTENTS)
}

/// Stripe lists intents.
pub fn list() -> Match {
    Match::get(INTENTS).exactly()
}

/// Genesys gives a token.
pub fn token() -> Match {
    Match::post("/oauth/token")
}

/// Genesys gives a conversation.
pub fn conversation() -> Match {
    Match::get(CONVERSATIONS)
}

/// Genesys sets attributes.
pub fn patch() -> Match {
    Match::patch(CONVERSATIONS)
}

/// Genesys starts a workflow.
pub fn workflow() -> Match {
    Match::post("/api/v2/flows/executions")
}
