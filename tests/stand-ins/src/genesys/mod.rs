//! A Genesys Cloud that serves login and API at one address.

mod conversation;
mod scene;
mod service;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;

use crate::conditions::{Conditions, shared_interface};
use crate::server::{Server, loopback};
use conversation::Conversation;

pub use scene::{Participant, Scene};

/// What Genesys grants a client unless its administrator says otherwise: a day, less a second.
const TOKEN_SECONDS: i64 = 86_399;

/// A running Genesys stand-in. Clones are handles to the same one; it stops when the last is
/// dropped.
#[derive(Clone)]
pub struct Genesys {
    server: Arc<Server>,
    shared: Arc<Shared>,
}

/// One accepted change of attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The conversation's id.
    pub conversation: String,
    /// The participant's id.
    pub participant: String,
    /// What was sent, not what it was merged into.
    pub attributes: BTreeMap<String, String>,
    /// The stand-in's second.
    pub at: i64,
    /// Whether the conversation had ended: Genesys takes such a change, and nobody ever sees it.
    pub after_end: bool,
}

/// One workflow started.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// What the starter was told.
    pub id: String,
    /// The workflow.
    pub flow_id: String,
    /// Its input, an object; `null` when none was given.
    pub input_data: Value,
    /// The name given to this run.
    pub name: Option<String>,
    /// The stand-in's second.
    pub at: i64,
}

pub(crate) struct Shared {
    conditions: Conditions,
    org: Mutex<Org>,
}

struct Org {
    client_id: String,
    client_secret: String,
    expires_in: i64,
    /// What is said of it instead of the truth.
    said_expires_in: Option<String>,
    /// The second each token expires at.
    tokens: HashMap<String, i64>,
    token_requests: usize,
    conversations: HashMap<String, Conversation>,
    patches: Vec<Patch>,
    executions: Vec<Execution>,
}

shared_interface!(Genesys);

impl Genesys {
    /// Listens on an ephemeral loopback port.
    pub async fn start(client_id: &str, client_secret: &str) -> Self {
        Self::start_on(loopback().await, client_id, client_secret)
    }

    /// Listens where it is told to. Needs a Tokio runtime around it.
    pub fn start_on(listener: TcpListener, client_id: &str, client_secret: &str) -> Self {
        let shared = Arc::new(Shared {
            conditions: Conditions::new(),
            org: Mutex::new(Org {
                client_id: client_id.to_owned(),
                client_secret: client_secret.to_owned(),
                expires_in: TOKEN_SECONDS,
                said_expires_in: None,
                tokens: HashMap::new(),
                token_requests: 0,
                conversations: HashMap::new(),
                patches: Vec::new(),
                executions: Vec::new(),
            }),
        });
        Self {
            server: Arc::new(Server::start(listener, Arc::clone(&shared))),
            shared,
        }
    }

    /// The OAuth client accepted from now on. Tokens already granted stay good.
    pub fn set_credentials(&self, client_id: &str, client_secret: &str) {
        self.org(|org| {
            client_id.clone_into(&mut org.client_id);
            client_secret.clone_into(&mut org.client_secret);
        });
    }

    /// How long tokens granted from now on are good for, by the stand-in's clock.
    pub fn set_expires_in(&self, seconds: i64) {
        self.org(|org| org.expires_in = seconds);
    }

    /// What tokens granted from now on are said to be good for, whatever they are: JSON of any kind
    /// and size; empty for nothing said.
    pub fn say_expires_in(&self, json: &str) {
        self.org(|org| org.said_expires_in = Some(json.to_owned()));
    }

    /// Makes every token granted so far worthless.
    pub fn revoke_tokens(&self) {
        self.org(|org| org.tokens.clear());
    }

    /// How often a token was asked for and the request carried out, refused ones included.
    pub fn token_requests(&self) -> usize {
        self.org(|org| org.token_requests)
    }

    /// Opens a conversation and returns the participant a payment is for: the first customer or
    /// external party who is still there, else the first of them; empty when the scene has none.
    ///
    /// # Panics
    ///
    /// When there is a conversation of this id already.
    pub fn open_conversation(&self, conversation_id: &str, scene: Scene) -> String {
        let opened = self.shared.open(conversation_id, scene);
        opened.unwrap_or_else(|| panic!("conversation {conversation_id} is open already"))
    }

    /// The customer hangs up, the others stay.
    ///
    /// # Panics
    ///
    /// When there is no such conversation, as for the other methods below.
    pub fn hang_up(&self, conversation_id: &str) {
        let now = self.now();
        self.conversation(conversation_id, |conversation| conversation.hang_up(now));
    }

    /// Everybody leaves.
    pub fn end_conversation(&self, conversation_id: &str) {
        let now = self.now();
        self.conversation(conversation_id, |conversation| conversation.end(now));
    }

    /// The attributes of the participant that [`Self::open_conversation`] returned.
    pub fn attributes(&self, conversation_id: &str) -> BTreeMap<String, String> {
        self.conversation(conversation_id, |conversation| {
            let customer = conversation.customer();
            customer
                .and_then(|customer| conversation.attributes(customer))
                .cloned()
                .unwrap_or_default()
        })
    }

    /// The attributes of any participant; empty for one that is not there.
    pub fn participant_attributes(
        &self,
        conversation_id: &str,
        participant_id: &str,
    ) -> BTreeMap<String, String> {
        self.conversation(conversation_id, |conversation| {
            conversation
                .attributes(participant_id)
                .cloned()
                .unwrap_or_default()
        })
    }

    /// The conversation as the API shows it.
    pub fn conversation_json(&self, conversation_id: &str) -> Value {
        self.conversation(conversation_id, |conversation| conversation.to_json())
    }

    /// Every accepted change of attributes, in order.
    pub fn patches(&self) -> Vec<Patch> {
        self.org(|org| org.patches.clone())
    }

    /// Every workflow started, in order.
    pub fn executions(&self) -> Vec<Execution> {
        self.org(|org| org.executions.clone())
    }

    fn org<T>(&self, visit: impl FnOnce(&mut Org) -> T) -> T {
        visit(&mut self.shared.org.lock().unwrap())
    }

    fn conversation<T>(&self, id: &str, visit: impl FnOnce(&mut Conversation) -> T) -> T {
        self.org(|org| match org.conversations.get_mut(id) {
            Some(conversation) => visit(conversation),
            None => panic!("there is no conversation {id}"),
        })
    }
}

impl Shared {
    /// `None` when there is one of this id already.
    fn open(&self, id: &str, scene: Scene) -> Option<String> {
        let mut org = self.org.lock().unwrap();
        if org.conversations.contains_key(id) {
            return None;
        }
        let now = self.conditions.clock.now();
        let conversation = Conversation::open(id, scene, now, &self.conditions.ids);
        let customer = conversation.customer().unwrap_or_default().to_owned();
        org.conversations.insert(id.to_owned(), conversation);
        Some(customer)
    }
}
