//! Plays a call through a flow as Architect does: step by step, until the flow needs a Data
//! Action's answer or ends.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value as Json;
use serde_yaml_ng::{Mapping, Value as Yaml};

use super::expression::{Expression, Sound, Value};

/// More steps than any call in a test takes. A flow that takes more goes round in circles.
const MOST_STEPS: usize = 20_000;

/// A flow as it is published.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) kind: String,
    pub(crate) root: Yaml,
}

impl Flow {
    pub(crate) fn read(text: &str) -> Self {
        let document: Yaml = serde_yaml_ng::from_str(text).unwrap();
        let (kind, root) = entry(&document);
        Self {
            kind: kind.to_owned(),
            root: root.clone(),
        }
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Yaml> {
        self.root["tasks"]
            .as_sequence()
            .unwrap()
            .iter()
            .map(|task| &task["task"])
    }

    /// The task that a reference names.
    pub(crate) fn task(&self, reference: &str) -> &Yaml {
        let id = reference
            .strip_prefix(&format!("/{}/tasks/task[", self.kind))
            .and_then(|rest| rest.strip_suffix(']'));
        let found = id.and_then(|id| self.tasks().find(|task| task["refId"] == id));
        found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

/// The only entry of a mapping.
pub(crate) fn entry(mapping: &Yaml) -> (&str, &Yaml) {
    let mapping: &Mapping = mapping
        .as_mapping()
        .unwrap_or_else(|| panic!("a mapping is wanted, not {mapping:?}"));
    assert_eq!(mapping.len(), 1, "one entry is wanted: {mapping:?}");
    let (key, value) = mapping.iter().next().unwrap();
    (key.as_str().unwrap(), value)
}

/// What is in a value: `lit`, `exp` or `noValue`.
pub(crate) fn value(yaml: &Yaml, variable: &dyn Fn(&str) -> Value) -> Value {
    match entry(yaml) {
        ("noValue", Yaml::Bool(true)) => Value::NotSet,
        ("exp", text) => Expression::parse(text.as_str().unwrap()).evaluate(variable),
        ("lit", Yaml::String(text)) => Value::text(text),
        ("lit", Yaml::Bool(value)) => Value::Boolean(*value),
        ("lit", Yaml::Number(number)) => Value::Integer(number.as_i64().unwrap()),
        other => panic!("what is {other:?}?"),
    }
}

/// Who calls, and what is known of the call.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) conversation: &'static str,
    pub(crate) ani: &'static str,
    pub(crate) language: &'static str,
    /// One for each question; None waits until the question is over. Then nothing is answered any
    /// more.
    pub(crate) keys: VecDeque<Option<char>>,
    pub(crate) data: BTreeMap<String, String>,
    pub(crate) invocation_data: Option<&'static str>,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            conversation: tests::CONVERSATION,
            ani: "",
            language: "",
            keys: VecDeque::new(),
            data: BTreeMap::new(),
            invocation_data: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Call(Call),
    Ended(End),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) inputs: BTreeMap<String, Value>,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Success(Json),
    Failure,
    Timeout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    HungUp,
    Queue(String),
    Flow(String),
    Agent,
}

enum Frame<'f> {
    Steps { actions: &'f [Yaml], next: usize },
    Loop { action: &'f Yaml, pass: u64 },
}

pub(crate) struct Player<'f> {
    flow: &'f Flow,
    pub(crate) caller: Caller,
    variables: BTreeMap<String, Value>,
    stack: Vec<Frame<'f>>,
    asking: Option<&'f Yaml>,
    pub(crate) heard: Vec<Sound>,
    pub(crate) questions: usize,
    pub(crate) visited: Vec<String>,
    steps: usize,
}

impl<'f> Player<'f> {
    pub(crate) fn new(flow: &'f Flow, caller: Caller) -> Self {
        let mut player = Self {
            flow,
            caller,
            variables: BTreeMap::new(),
            stack: Vec::new(),
            asking: None,
            heard: Vec::new(),
            questions: 0,
            visited: Vec::new(),
            steps: 0,
        };
        player.declare(&flow.root["variables"]);
        player.jump(flow.root["startUpRef"].as_str().unwrap());
        player
    }

    /// What was said, each sentence once.
    pub(crate) fn said(&self, text: &str) -> bool {
        assert!(!text.is_empty());
        self.heard
            .iter()
            .any(|sound| matches!(sound, Sound::Speech(said) if said == text))
    }

    /// How often a text of the flow was said.
    pub(crate) fn times(&self, variable: &str) -> usize {
        let text = self.text(variable);
        assert!(!text.is_empty(), "{variable} has no text");
        self.heard
            .iter()
            .filter(|sound| matches!(sound, Sound::Speech(said) if *said == text))
            .count()
    }

    pub(crate) fn text(&self, variable: &str) -> String {
        self.variable(variable).as_text().to_owned()
    }

    /// Milliseconds of silence so far.
    pub(crate) fn silence(&self) -> u64 {
        self.heard
            .iter()
            .map(|sound| {
                if let Sound::Silence(ms) = sound {
                    *ms
                } else {
                    0
                }
            })
            .sum()
    }

    pub(crate) fn variable(&self, name: &str) -> Value {
        match name {
            "Call.ConversationId" => Value::text(self.caller.conversation),
            "Call.Ani" => Value::text(self.caller.ani),
            "Call.Language" => Value::text(self.caller.language),
            "Flow.InvocationData" => self
                .caller
                .invocation_data
                .map_or(Value::NotSet, Value::text),
            _ => self
                .variables
                .get(name)
                .cloned()
                .unwrap_or_else(|| panic!("{name} is not declared")),
        }
    }

    fn value(&self, yaml: &Yaml) -> Value {
        value(yaml, &|name| self.variable(name))
    }

    fn declare(&mut self, variables: &Yaml) {
        for variable in variables.as_sequence().into_iter().flatten() {
            let (_, variable) = entry(variable);
            let initial = self.value(&variable["initialValue"]);
            self.variables
                .insert(variable["name"].as_str().unwrap().to_owned(), initial);
        }
    }

    fn set(&mut self, name: &str, value: Value) {
        let old = self.variable(name);
        let same = std::mem::discriminant(&old) == std::mem::discriminant(&value);
        assert!(
            same || old == Value::NotSet || value == Value::NotSet,
            "{name} is {old:?} and gets {value:?}"
        );
        self.variables.insert(name.to_owned(), value);
    }

    fn jump(&mut self, reference: &str) {
        let task = self.flow.task(reference);
        self.visited.push(task["name"].as_str().unwrap().to_owned());
        self.stack.clear();
        self.declare(&task["variables"]);
        self.push(&task["actions"]);
    }

    fn push(&mut self, actions: &'f Yaml) {
        if let Some(actions) = actions.as_sequence() {
            self.stack.push(Frame::Steps { actions, next: 0 });
        }
    }

    /// Plays on, up to the next Data Action or the end.
    pub(crate) fn go(&mut self) -> Step {
        assert!(self.asking.is_none(), "a Data Action has no answer yet");
        loop {
            match self
                .stack
                .last_mut()
                .expect("the flow ends in the middle of nowhere")
            {
                Frame::Steps { actions, next } => {
                    let Some(action) = actions.get(*next) else {
                        self.stack.pop();
                        continue;
                    };
                    *next += 1;
                    self.steps += 1;
                    assert!(
                        self.steps < MOST_STEPS,
                        "the flow does not end: {:?}",
                        self.visited
                    );
                    if let Some(step) = self.play(action) {
                        return step;
                    }
                }
                Frame::Loop { action, pass } => {
                    let (action, index) = (*action, *pass);
                    *pass += 1;
                    if index == action["loopCount"]["lit"].as_u64().unwrap() {
                        self.stack.pop();
                        continue;
                    }
                    let index = Value::Integer(i64::try_from(index).unwrap());
                    self.set(action["currentIndex"]["var"].as_str().unwrap(), index);
                    self.push(&action["outputs"]["loop"]["actions"]);
                }
            }
        }
    }

    fn play(&mut self, action: &'f Yaml) -> Option<Step> {
        let (key, action) = entry(action);
        match key {
            "playAudio" => {
                let audio = self.value(&action["audio"]).into_audio();
                self.heard.extend(audio);
            }
            "updateData" => {
                for statement in action["statements"].as_sequence().unwrap() {
                    let (_, statement) = entry(statement);
                    let value = self.value(&statement["value"]);
                    self.set(statement["variable"].as_str().unwrap(), value);
                }
            }
            "getParticipantData" => {
                for attribute in action["attributes"].as_sequence().unwrap() {
                    let attribute = &attribute["attribute"];
                    let found = self
                        .caller
                        .data
                        .get(self.value(&attribute["name"]).as_text())
                        .cloned();
                    self.set(
                        attribute["variable"].as_str().unwrap(),
                        found.map_or(Value::NotSet, Value::Text),
                    );
                }
            }
            "setParticipantData" => {
                for attribute in action["attributes"].as_sequence().unwrap() {
                    let (name, value) = (
                        &attribute["attribute"]["name"],
                        &attribute["attribute"]["value"],
                    );
                    let (name, value) = (self.value(name), self.value(value));
                    self.caller
                        .data
                        .insert(name.as_text().to_owned(), value.as_text().to_owned());
                }
            }
            "decision" => {
                let branch = if self.value(&action["condition"]).as_boolean() {
                    "yes"
                } else {
                    "no"
                };
                self.push(&action["outputs"][branch]["actions"]);
            }
            "switch" => {
                let first_true = &action["evaluate"]["firstTrue"];
                let cases = first_true["cases"].as_sequence().unwrap();
                let taken = cases
                    .iter()
                    .find(|case| self.value(&case["case"]["value"]).as_boolean());
                self.push(taken.map_or(
                    &first_true["default"]["actions"],
                    |case| &case["case"]["actions"],
                ));
            }
            "loop" => self.stack.push(Frame::Loop { action, pass: 0 }),
            "collectInput" => {
                self.questions += 1;
                let audio = self.value(&action["inputAudio"]).into_audio();
                self.heard.extend(audio);
                if let Some(key) = self.caller.keys.pop_front().flatten() {
                    self.set(
                        action["inputData"]["var"].as_str().unwrap(),
                        Value::text(key),
                    );
                    self.push(&action["outputs"]["success"]["actions"]);
                }
            }
            "jumpToTask" => self.jump(action["targetTaskRef"].as_str().unwrap()),
            "callData" | "callDataSecure" => {
                self.asking = Some(action);
                let (name, data_action) = entry(&entry(&action["category"]).1["dataAction"]);
                let inputs = data_action["inputs"].as_mapping().unwrap();
                let inputs = inputs
                    .iter()
                    .map(|(name, value)| (name.as_str().unwrap().to_owned(), self.value(value)));
                return Some(Step::Call(Call {
                    action: name.to_owned(),
                    inputs: inputs.collect(),
                }));
            }
            "disconnect" => return Some(Step::Ended(End::HungUp)),
            "returnToAgent" => return Some(Step::Ended(End::Agent)),
            "transferToAcd" | "transferToFlow" => {
                let audio = self.value(&action["preTransferAudio"]).into_audio();
                self.heard.extend(audio);
                return Some(Step::Ended(match key {
                    "transferToAcd" => End::Queue(
                        action["targetQueue"]["lit"]["name"]
                            .as_str()
                            .unwrap()
                            .to_owned(),
                    ),
                    _ => End::Flow(action["targetFlow"]["name"].as_str().unwrap().to_owned()),
                }));
            }
            other => panic!("no step of a call flow: {other}"),
        }
        None
    }

    /// Takes a Data Action's answer.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        let action = self.asking.take().expect("no Data Action was asked");
        let (_, data_action) = entry(&entry(&action["category"]).1["dataAction"]);
        let branch = match answer {
            Answer::Success(reply) => {
                for (output, to) in data_action["successOutputs"].as_mapping().unwrap() {
                    let Some(variable) = to["var"].as_str() else {
                        continue;
                    };
                    let value = match &reply[output.as_str().unwrap()] {
                        Json::String(text) => Value::text(text),
                        Json::Bool(value) => Value::Boolean(*value),
                        other => panic!("{output:?} is {other}"),
                    };
                    self.set(variable, value);
                }
                "success"
            }
            Answer::Failure => {
                if let Some(variable) = data_action["failureOutputs"]["errorCode"]["var"].as_str() {
                    self.set(variable, Value::text("bad.gateway"));
                }
                "failure"
            }
            Answer::Timeout => "timeout",
        };
        self.push(&action["outputs"][branch]["actions"]);
    }
}
