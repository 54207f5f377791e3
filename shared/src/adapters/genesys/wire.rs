//! A conversation as Genesys sends it, read.

use serde::Deserialize;

use crate::ports::{Conversation, ParticipantId};

/// `GET /api/v2/conversations/{id}`. Its `state` is not read, for Genesys never fills it there.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireConversation {
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
    id: String,
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

impl From<WireConversation> for Conversation {
    /// The customer is the `customer` of an inbound call and the `external` participant of an
    /// outbound one. In a conversation with both, the `external` one is a third party who was
    /// called in.
    fn from(wire: WireConversation) -> Self {
        let has_customer = wire.participants.iter().any(|p| p.purpose == "customer");
        let purpose = if has_customer { "customer" } else { "external" };
        let is_open = wire.end_time.is_none();
        let customer = wire
            .participants
            .into_iter()
            .find(|p| is_open && p.purpose == purpose && p.is_on_the_line());
        Self {
            customer_on_the_line: customer.map(|p| ParticipantId(p.id)),
        }
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
        let wire: WireConversation = serde_json::from_str(json).unwrap();
        let conversation = Conversation::from(wire);
        conversation.customer_on_the_line.map(|id| id.to_string())
    }

    #[test]
    fn the_connected_customer_of_an_open_conversation() {
        let json = r#"{"id":"c","startTime":"…","participants":[
            {"id":"ivr","purpose":"ivr","calls":[{"state":"connected"}]},
            {"id":"gone","purpose":"customer","endTime":"…","calls":[{"state":"terminated"}]},
            {"id":"here","purpose":"customer",
             "calls":[{"state":"disconnected"},{"state":"connected"}]},
            {"id":"agent","purpose":"agent","calls":[{"state":"connected"}]}]}"#;
        assert_eq!(customer(json).as_deref(), Some("here"));
    }

    #[test]
    fn an_outbound_call_has_an_external_customer() {
        let json = r#"{"participants":[
            {"id":"agent","purpose":"agent","calls":[{"state":"connected"}]},
            {"id":"out","purpose":"external","calls":[{"state":"connected"}]}]}"#;
        assert_eq!(customer(json).as_deref(), Some("out"));
    }

    #[test]
    fn over_when_ended_or_the_customer_hung_up_whoever_else_is_left() {
        for json in [
            r#"{"endTime":"…","participants":[
                {"id":"x","purpose":"customer","calls":[{"state":"connected"}]}]}"#,
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
