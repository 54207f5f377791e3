//! A Genesys conversation, as far as a payment needs it: is it open, and who is the customer.

use std::fmt;

use serde::Deserialize;

/// A participant's id, as Genesys gives it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ParticipantId(pub String);

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `GET /api/v2/conversations/{id}`. Its `state` is not read, for Genesys never fills it there.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// When the last participant left; absent while it is open.
    #[serde(default)]
    end_time: Option<String>,
    /// Everybody and everything that took part.
    #[serde(default)]
    participants: Vec<Participant>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Participant {
    id: ParticipantId,
    #[serde(default)]
    purpose: String,
    #[serde(default)]
    end_time: Option<String>,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Clone, Debug, Deserialize)]
struct Call {
    #[serde(default)]
    state: String,
}

impl Conversation {
    /// The customer who is still on the line, or `None` when the call is over: `customer` on
    /// inbound calls, `external` on outbound ones. With both present the `external` one is a third
    /// party who was called in.
    #[must_use]
    pub fn customer_on_the_line(&self) -> Option<&ParticipantId> {
        if self.end_time.is_some() {
            return None;
        }
        let of_purpose = |purpose: &str| {
            self.participants
                .iter()
                .filter(move |p| p.purpose == purpose)
                .collect::<Vec<_>>()
        };
        let customers = match of_purpose("customer") {
            none if none.is_empty() => of_purpose("external"),
            customers => customers,
        };
        customers
            .into_iter()
            .find(|p| p.is_on_the_line())
            .map(|p| &p.id)
    }
}

impl Participant {
    fn is_on_the_line(&self) -> bool {
        self.end_time.is_none()
            && self
                .calls
                .iter()
                .any(|call| !matches!(call.state.as_str(), "disconnected" | "terminated"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(json: &str) -> Option<String> {
        let conversation: Conversation = serde_json::from_str(json).unwrap();
        conversation.customer_on_the_line().map(ToString::to_string)
    }

    #[test]
    fn the_connected_customer_of_an_open_conversation() {
        let json = r#"{"id":"c","startTime":"…","participants":[
            {"id":"ivr","purpose":"ivr","calls":[{"state":"connected"}]},
            {"id":"gone","purpose":"customer","endTime":"…","calls":[{"state":"terminated"}]},
            {"id":"here","purpose":"customer","calls":[{"state":"disconnected"},{"state":"connected"}]},
            {"id":"agent","purpose":"agent","calls":[{"state":"connected"}]}]}"#;
        assert_eq!(customer(json).as_deref(), Some("here"));
    }

    #[test]
    fn an_outbound_call_has_an_external_customer() {
        let json = r#"{"participants":[{"id":"agent","purpose":"agent","calls":[{"state":"connected"}]},
            {"id":"out","purpose":"external","calls":[{"state":"connected"}]}]}"#;
        assert_eq!(customer(json).as_deref(), Some("out"));
    }

    #[test]
    fn over_when_ended_or_the_customer_hung_up_whoever_else_is_left() {
        for json in [
            r#"{"endTime":"…","participants":[{"id":"x","purpose":"customer","calls":[{"state":"connected"}]}]}"#,
            r#"{"participants":[{"id":"x","purpose":"customer","calls":[{"state":"disconnected"}]},
                {"id":"a","purpose":"agent","calls":[{"state":"connected"}]}]}"#,
            r#"{"participants":[{"id":"x","purpose":"customer","calls":[{"state":"terminated"}]},
                {"id":"third party","purpose":"external","calls":[{"state":"connected"}]}]}"#,
            r#"{"participants":[{"id":"x","purpose":"customer","calls":[]}]}"#,
            r#"{"state":"connected","participants":[]}"#,
            "{}",
        ] {
            assert_eq!(customer(json), None, "{json}");
        }
    }
}
