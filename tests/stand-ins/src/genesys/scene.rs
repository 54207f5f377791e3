//! Who is in a conversation when it opens.

use std::collections::BTreeMap;

/// One participant and their call leg.
#[derive(Clone, Debug)]
pub struct Participant {
    pub(crate) id: Option<String>,
    pub(crate) purpose: String,
    pub(crate) direction: &'static str,
    /// The call leg's state; no leg at all when absent.
    pub(crate) call_state: Option<String>,
    pub(crate) disconnect_type: Option<String>,
    pub(crate) left: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Participant {
    /// Connected, with the given purpose.
    pub fn new(purpose: &str) -> Self {
        Self {
            id: None,
            purpose: purpose.to_owned(),
            direction: if purpose == "external" {
                "outbound"
            } else {
                "inbound"
            },
            call_state: Some("connected".to_owned()),
            disconnect_type: None,
            left: false,
            attributes: BTreeMap::new(),
        }
    }

    /// The caller of an inbound call.
    pub fn customer() -> Self {
        Self::new("customer")
    }

    /// The party called by an outbound call.
    pub fn external() -> Self {
        Self::new("external")
    }

    /// The flow.
    pub fn ivr() -> Self {
        Self::new("ivr")
    }

    /// The queue.
    pub fn acd() -> Self {
        Self::new("acd")
    }

    pub fn agent() -> Self {
        Self::new("agent")
    }

    /// This id instead of one made up.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// `inbound` or `outbound`.
    pub fn direction(mut self, direction: &'static str) -> Self {
        self.direction = direction;
        self
    }

    /// The call leg's state: `alerting`, `connected`, `disconnected`, `terminated`, …
    pub fn call_state(mut self, state: &str) -> Self {
        self.call_state = Some(state.to_owned());
        self
    }

    /// No call leg at all.
    pub fn without_call(mut self) -> Self {
        self.call_state = None;
        self
    }

    /// Gone, with an `endTime` and the leg disconnected: `client`, `endpoint`, `peer`, `transfer`,
    /// …
    pub fn left(mut self, disconnect_type: &str) -> Self {
        self.left = true;
        self.disconnected(disconnect_type)
    }

    /// The leg disconnected while the participant has no `endTime`: wrap-up, for an agent.
    pub fn disconnected(mut self, disconnect_type: &str) -> Self {
        self.call_state = self.call_state.map(|_| "disconnected".to_owned());
        self.disconnect_type = Some(disconnect_type.to_owned());
        self
    }

    /// An attribute set earlier.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn is_customer(&self) -> bool {
        matches!(self.purpose.as_str(), "customer" | "external")
    }
}

/// The participants of a conversation, in the order they joined.
#[derive(Clone, Debug)]
pub struct Scene(pub(crate) Vec<Participant>);

impl Scene {
    /// These participants.
    pub fn of(participants: impl IntoIterator<Item = Participant>) -> Self {
        Self(participants.into_iter().collect())
    }

    /// A caller in the flow.
    pub fn inbound() -> Self {
        Self::of([Participant::customer(), Participant::ivr()])
    }

    /// A caller whom the flow has handed to the queue.
    pub fn queued() -> Self {
        Self::of([
            Participant::customer(),
            Participant::ivr().left("transfer"),
            Participant::acd(),
        ])
    }

    /// A caller who speaks with an agent.
    pub fn with_agent() -> Self {
        Self::of([
            Participant::customer(),
            Participant::ivr().left("transfer"),
            Participant::acd().left("transfer"),
            Participant::agent(),
        ])
    }

    /// An agent who has called someone: the payer is `external`.
    pub fn outbound() -> Self {
        Self::of([
            Participant::agent().direction("outbound"),
            Participant::external(),
        ])
    }

    /// A caller who dropped off and came back into the same conversation.
    pub fn several_customers() -> Self {
        Self::of([
            Participant::customer().left("endpoint"),
            Participant::customer(),
            Participant::agent(),
        ])
    }

    /// The caller has hung up; the agent's wrap-up keeps the conversation from ending.
    pub fn wrap_up() -> Self {
        Self::of([
            Participant::customer().left("client"),
            Participant::ivr().left("transfer"),
            Participant::agent().disconnected("peer"),
        ])
    }

    /// Nobody a payment could be attributed to.
    pub fn without_customer() -> Self {
        Self::of([Participant::ivr(), Participant::agent()])
    }
}
