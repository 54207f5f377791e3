//! A conversation as Genesys stores and shows it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::scene::{Participant, Scene};
use crate::clock::iso_8601;
use crate::ids::Ids;

#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: String,
    started: i64,
    ended: Option<i64>,
    division: String,
    participants: Vec<Member>,
    /// The participant a payment is for, as decided when the conversation opened.
    customer: Option<usize>,
}

#[derive(Debug)]
struct Member {
    id: String,
    call_id: String,
    joined: i64,
    ended: Option<i64>,
    role: Participant,
}

impl Conversation {
    pub(crate) fn open(id: &str, scene: Scene, now: i64, ids: &Ids) -> Self {
        let participants: Vec<Member> = scene
            .0
            .into_iter()
            .map(|role| Member {
                id: role.id.clone().unwrap_or_else(|| ids.uuid()),
                call_id: ids.uuid(),
                joined: now,
                ended: role.left.then_some(now),
                role,
            })
            .collect();
        let customer = |member: &Member| member.role.is_customer();
        let present = participants
            .iter()
            .position(|member| customer(member) && member.ended.is_none());
        Self {
            id: id.to_owned(),
            started: now,
            ended: None,
            division: ids.uuid(),
            customer: present.or_else(|| participants.iter().position(customer)),
            participants,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    pub(crate) fn customer(&self) -> Option<&str> {
        Some(&self.participants[self.customer?].id)
    }

    /// The customer hangs up; the others stay.
    pub(crate) fn hang_up(&mut self, now: i64) {
        if let Some(at) = self.customer {
            self.participants[at].leave("client", now);
        }
    }

    pub(crate) fn end(&mut self, now: i64) {
        for member in &mut self.participants {
            member.leave("peer", now);
            // What a finished conversation's legs are left in.
            member.role.call_state = member
                .role
                .call_state
                .take()
                .map(|_| "terminated".to_owned());
        }
        self.ended = self.ended.or(Some(now));
    }

    pub(crate) fn attributes(&self, participant: &str) -> Option<&BTreeMap<String, String>> {
        let member = self
            .participants
            .iter()
            .find(|member| member.id == participant)?;
        Some(&member.role.attributes)
    }

    /// Adds to the attributes that are there, and returns them all.
    pub(crate) fn merge(
        &mut self,
        participant: &str,
        attributes: &BTreeMap<String, String>,
    ) -> Option<&BTreeMap<String, String>> {
        let member = self
            .participants
            .iter_mut()
            .find(|member| member.id == participant)?;
        member.role.attributes.extend(attributes.clone());
        Some(&member.role.attributes)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "startTime": iso_8601(self.started),
            "participants": self.participants.iter().map(Member::to_json).collect::<Vec<_>>(),
            "divisions": [{ "division": { "id": self.division }, "entities": [] }],
            "recordingState": "none",
            "selfUri": format!("/api/v2/conversations/{}", self.id),
        });
        if let Some(ended) = self.ended {
            json["endTime"] = iso_8601(ended).into();
        }
        json
    }
}

impl Member {
    fn leave(&mut self, disconnect_type: &str, now: i64) {
        if self.ended.is_none() {
            self.ended = Some(now);
            self.role.call_state = self
                .role
                .call_state
                .take()
                .map(|_| "disconnected".to_owned());
            self.role
                .disconnect_type
                .get_or_insert_with(|| disconnect_type.to_owned());
        }
    }

    fn to_json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "purpose": self.role.purpose,
            "startTime": iso_8601(self.joined),
            "connectedTime": iso_8601(self.joined),
            "attributes": self.role.attributes,
            "calls": self.call().into_iter().collect::<Vec<_>>(),
        });
        if let Some(ended) = self.ended {
            json["endTime"] = iso_8601(ended).into();
        }
        json
    }

    fn call(&self) -> Option<Value> {
        let state = self.role.call_state.as_ref()?;
        let mut call = json!({
            "id": self.call_id,
            "state": state,
            "direction": self.role.direction,
            "held": false,
            "muted": false,
        });
        if let Some(disconnect_type) = &self.role.disconnect_type {
            call["disconnectType"] = disconnect_type.as_str().into();
        }
        Some(call)
    }
}
