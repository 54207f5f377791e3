//! What Genesys is told of a payment: the attributes of the conversation, and the inputs of the
//! workflow.

use std::collections::BTreeMap;

use super::ids::{ConversationId, IntentId};
use super::payment::{Payment, PaymentStatus};

/// What a payment's holder was told, and accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The holder that it was told.
    pub conversation_id: ConversationId,
    /// The intent that it was about.
    pub intent_id: IntentId,
    /// The status that it told.
    pub status: PaymentStatus,
    /// Whether it told that the payer has visited the pay link; only told while the status is
    /// [`PaymentStatus::Pending`].
    pub visited: bool,
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DueNotice {
    /// To the holder: where the payment stands.
    State(Notice),
    /// To the holder before: that the payment goes on in another conversation.
    Moved(ConversationId),
}

impl DueNotice {
    /// Who is to hear it.
    pub fn conversation_id(&self) -> &ConversationId {
        match self {
            Self::State(notice) => &notice.conversation_id,
            Self::Moved(conversation_id) => conversation_id,
        }
    }

    /// The attributes that the flow and the agent's screen see.
    pub fn attributes(&self, payment: &Payment) -> BTreeMap<&'static str, String> {
        match self {
            Self::State(notice) => notice.attributes(payment),
            Self::Moved(_) => BTreeMap::from([("payment_progress", "moved".to_owned())]),
        }
    }
}

impl Notice {
    /// `payment_progress` of the agent's screen: `link_opened`, or the status in lower case.
    pub fn progress(&self) -> String {
        if self.visited {
            "link_opened".to_owned()
        } else {
            self.status.as_str().to_lowercase()
        }
    }

    /// Status and reference only: agents, analytics and exports read attributes.
    fn attributes(&self, payment: &Payment) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("payment_status", self.status.to_string()),
            ("payment_progress", self.progress()),
            ("stripe_intent_id", self.intent_id.to_string()),
            ("payment_amount", payment.money.major()),
            ("payment_currency", payment.money.currency.to_string()),
        ])
    }

    /// The inputs of the workflow for late payments, named as its `Flow.` variables.
    pub fn flow_inputs(&self, payment: &Payment) -> BTreeMap<&'static str, String> {
        let correlation = &payment.correlation;
        BTreeMap::from([
            ("Flow.conversation_id", self.conversation_id.to_string()),
            ("Flow.order_id", correlation.order_id.to_string()),
            ("Flow.payment_status", self.status.to_string()),
            ("Flow.stripe_intent_id", self.intent_id.to_string()),
            // mutant: workflow-amount
            ("Flow.payment_amount", payment.money.major()),
            ("Flow.payment_currency", payment.money.currency.to_string()),
        ])
    }
}

impl Payment {
    /// What Genesys must hear next and has not accepted yet.
    pub fn due_notice(&self) -> Option<DueNotice> {
        let state = self.state_notice().map(DueNotice::State);
        state.or_else(|| {
            let former = self.former_holder.clone()?;
            // mutant: moved-once
            (self.moved_told.as_ref() != Some(&former)).then_some(DueNotice::Moved(former))
        })
    }

    fn state_notice(&self) -> Option<Notice> {
        let status = self.status();
        let notice = Notice {
            conversation_id: self.holder.clone(),
            intent_id: self.intent_id()?.clone(),
            status,
            visited: status == PaymentStatus::Pending && self.visited_at.is_some(),
        };
        // mutant: told-once
        (self.notified.as_ref() != Some(&notice)).then_some(notice)
    }
}
