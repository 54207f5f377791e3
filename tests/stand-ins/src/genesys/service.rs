//! Genesys over HTTP.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Execution, Org, Participant, Patch, Scene, Shared};
use crate::clock::http_date;
use crate::conditions::Conditions;
use crate::faults::Stage;
use crate::server::{Answer, Call, Service, Work};

/// An error in Genesys' own shape.
struct ErrorBody {
    status: u16,
    code: &'static str,
    message: String,
}

impl ErrorBody {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "bad.request", message)
    }

    fn not_found(what: &str, id: &str) -> Self {
        Self::new(404, "not.found", format!("There is no {what} {id}"))
    }

    fn answer(&self, context: &str) -> Answer {
        let body = json!({
            "message": self.message,
            "code": self.code,
            "status": self.status,
            "contextId": context,
            "details": [],
            "errors": [],
        });
        Answer::json(self.status, &body)
    }
}

impl Service for Shared {
    fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    fn request_id(&self) -> String {
        self.conditions.ids.uuid()
    }

    async fn execute(&self, call: &Call, work: Work) -> Answer {
        if !work.act {
            return self.error(500);
        }
        self.conditions
            .gates
            .pass(Stage::Execution, &call.request)
            .await;
        let now = self.conditions.clock.now();
        let mut org = self.org.lock().unwrap();
        if call.request.path == "/oauth/token" {
            return self.grant(&mut org, call, now);
        }
        let done = authorize(&org, call, now).and_then(|()| self.api(&mut org, call, now));
        match done {
            Ok(object) => Answer::json(200, &object),
            Err(refused) => refused.answer(&call.id),
        }
    }

    fn control(&self, call: &Call) -> Answer {
        let now = self.conditions.clock.now();
        match (call.request.method.as_str(), call.segments().as_slice()) {
            ("POST", ["_control", "conversations"]) => self.control_open(&call.request.json()),
            ("POST", ["_control", "conversations", id, "end"]) => {
                match self.org.lock().unwrap().conversations.get_mut(*id) {
                    Some(conversation) => {
                        conversation.end(now);
                        Answer::json(200, &json!({ "ended": true }))
                    }
                    None => ErrorBody::not_found("conversation", id).answer(&call.id),
                }
            }
            ("GET", ["_control", "conversations", id]) => {
                let shown = control_show(&self.org.lock().unwrap(), id);
                shown.unwrap_or_else(|| ErrorBody::not_found("conversation", id).answer(&call.id))
            }
            ("GET", ["_control", "executions"]) => {
                let org = self.org.lock().unwrap();
                let executions: Vec<Value> = org.executions.iter().map(control_execution).collect();
                Answer::json(200, &json!({ "executions": executions }))
            }
            (method, _) => {
                ErrorBody::not_found("control", &format!("{method} {}", call.request.path))
                    .answer(&call.id)
            }
        }
    }

    fn error(&self, status: u16) -> Answer {
        let (code, message) = match status {
            401 => ("bad.credentials", "Invalid login credentials."),
            403 => (
                "not.authorized",
                "You are not authorized to perform the requested action.",
            ),
            404 => ("not.found", "The requested resource was not found."),
            429 => ("too.many.requests", "Rate limit exceeded the maximum."),
            500 => (
                "internal.server.error",
                "The server encountered an unexpected condition.",
            ),
            503 => ("service.unavailable", "Service Unavailable"),
            504 => ("gateway.timeout", "The request timed out."),
            _ => ("bad.request", "The request could not be understood."),
        };
        ErrorBody::new(status, code, message).answer(&self.conditions.ids.uuid())
    }

    fn headers(&self, call: &Call) -> Vec<(String, String)> {
        vec![
            ("Date".to_owned(), http_date(self.conditions.clock.now())),
            ("ININ-Correlation-Id".to_owned(), call.id.clone()),
        ]
    }
}

impl Shared {
    fn grant(&self, org: &mut Org, call: &Call, now: i64) -> Answer {
        org.token_requests += 1;
        let refused = |status, error: &str, description: &str| {
            let body = json!({ "error": error, "description": description, "error_description": description });
            Answer::json(status, &body)
        };
        if call.request.method != "POST" {
            return refused(405, "invalid_request", "want POST");
        }
        let credentials = format!("{}:{}", org.client_id, org.client_secret);
        let want = format!("Basic {}", STANDARD.encode(credentials));
        if call.request.header("authorization") != Some(want.as_str()) {
            return refused(
                401,
                "invalid_client",
                "client not found or invalid client secret",
            );
        }
        match call.request.parameter("grant_type").as_deref() {
            Some("client_credentials") => {}
            Some(_) => return refused(400, "unsupported_grant_type", "want client_credentials"),
            None => return refused(400, "invalid_request", "grant_type is missing"),
        }
        let token = self.conditions.ids.alphanumeric("", 32);
        org.tokens.insert(token.clone(), now + org.expires_in);
        let said = org
            .said_expires_in
            .clone()
            .unwrap_or_else(|| org.expires_in.to_string());
        let said = if said.is_empty() {
            said
        } else {
            format!(r#", "expires_in": {said}"#)
        };
        // As text, for a number may be larger than any type holds.
        let body = format!(r#"{{ "access_token": "{token}", "token_type": "bearer"{said} }}"#);
        Answer {
            body: body.into_bytes(),
            ..Answer::json(200, &Value::Null)
        }
    }

    fn api(&self, org: &mut Org, call: &Call, now: i64) -> Result<Value, ErrorBody> {
        match (call.request.method.as_str(), call.segments().as_slice()) {
            ("GET", ["api", "v2", "conversations", id]) => {
                let conversation = org.conversations.get(*id);
                let conversation =
                    conversation.ok_or_else(|| ErrorBody::not_found("conversation", id))?;
                Ok(conversation.to_json())
            }
            (
                "PATCH",
                [
                    "api",
                    "v2",
                    "conversations",
                    id,
                    "participants",
                    participant,
                    "attributes",
                ],
            ) => patch(org, id, participant, &call.request.json(), now),
            ("POST", ["api", "v2", "flows", "executions"]) => {
                let execution = self.launch(&call.request.json(), now)?;
                let answer = json!({ "id": execution.id });
                org.executions.push(execution);
                Ok(answer)
            }
            (method, _) => Err(ErrorBody::not_found(
                "resource",
                &format!("{method} {}", call.request.path),
            )),
        }
    }

    fn launch(&self, asked: &Value, now: i64) -> Result<Execution, ErrorBody> {
        let flow_id = asked["flowId"].as_str().filter(|id| !id.is_empty());
        let flow_id = flow_id.ok_or_else(|| ErrorBody::bad_request("flowId is missing"))?;
        let input_data = asked["inputData"].clone();
        if !(input_data.is_null() || input_data.is_object()) {
            return Err(ErrorBody::bad_request("inputData must be an object"));
        }
        Ok(Execution {
            id: self.conditions.ids.uuid(),
            flow_id: flow_id.to_owned(),
            input_data,
            name: asked["name"].as_str().map(str::to_owned),
            at: now,
        })
    }

    fn control_open(&self, asked: &Value) -> Answer {
        let Some(id) = asked["conversation_id"]
            .as_str()
            .filter(|id| !id.is_empty())
        else {
            return Answer::json(400, &json!({ "message": "conversation_id is missing" }));
        };
        let purpose = asked["purpose"].as_str().unwrap_or("customer");
        match self.open(
            id,
            Scene::of([Participant::new(purpose), Participant::ivr()]),
        ) {
            Some(participant) => Answer::json(201, &json!({ "participant_id": participant })),
            None => Answer::json(
                409,
                &json!({ "message": format!("conversation {id} is open already") }),
            ),
        }
    }
}

fn authorize(org: &Org, call: &Call, now: i64) -> Result<(), ErrorBody> {
    let header = call.request.header("authorization").unwrap_or_default();
    let scheme = header
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    let Some(token) = scheme.and(header.get(7..)) else {
        let message = "No authentication bearer token specified in authorization header.";
        return Err(ErrorBody::new(401, "authentication.required", message));
    };
    match org.tokens.get(token) {
        Some(expires) if now < *expires => Ok(()),
        _ => Err(ErrorBody::new(
            401,
            "bad.credentials",
            "Invalid login credentials.",
        )),
    }
}

fn patch(
    org: &mut Org,
    conversation_id: &str,
    participant: &str,
    asked: &Value,
    now: i64,
) -> Result<Value, ErrorBody> {
    let Some(conversation) = org.conversations.get_mut(conversation_id) else {
        return Err(ErrorBody::not_found("conversation", conversation_id));
    };
    let attributes = strings(&asked["attributes"])?;
    let Some(merged) = conversation.merge(participant, &attributes) else {
        return Err(ErrorBody::not_found("participant", participant));
    };
    let answer = json!({ "attributes": merged });
    org.patches.push(Patch {
        conversation: conversation_id.to_owned(),
        participant: participant.to_owned(),
        attributes,
        at: now,
        after_end: conversation.has_ended(),
    });
    Ok(answer)
}

fn strings(attributes: &Value) -> Result<BTreeMap<String, String>, ErrorBody> {
    let attributes = attributes.as_object();
    let attributes =
        attributes.ok_or_else(|| ErrorBody::bad_request("attributes must be an object"))?;
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(value) => Ok((name.clone(), value.clone())),
        _ => Err(ErrorBody::bad_request(format!(
            "the value of attribute {name} must be a string"
        ))),
    };
    attributes.iter().map(pair).collect()
}

fn control_show(org: &Org, id: &str) -> Option<Answer> {
    let conversation = org.conversations.get(id)?;
    let attributes = conversation
        .customer()
        .and_then(|customer| conversation.attributes(customer));
    let patches = org
        .patches
        .iter()
        .filter(|patch| patch.conversation == id)
        .map(|patch| {
            json!({
                "participant_id": patch.participant,
                "attributes": patch.attributes,
                "at": patch.at,
                "after_end": patch.after_end,
            })
        });
    Some(Answer::json(
        200,
        &json!({
            "attributes": attributes.cloned().unwrap_or_default(),
            "patches": patches.collect::<Vec<_>>(),
            "ended": conversation.has_ended(),
        }),
    ))
}

fn control_execution(execution: &Execution) -> Value {
    json!({
        "id": execution.id,
        "flowId": execution.flow_id,
        "inputData": execution.input_data,
        "name": execution.name,
        "at": execution.at,
    })
}
