//! A member as this node sees it.

use std::sync::Arc;

use crate::time::Instant;

use crate::wire::message::Incarnation;

use super::Node;
use super::suspicion::Suspicion;

/// What we hold of a member.
#[derive(Clone, Debug)]
pub enum State {
    /// Answers, as far as anybody knows.
    Alive,
    /// Somebody got no answer; refutes in time or is declared dead.
    Suspect(Box<SuspicionState>),
    /// Declared dead by others, at this moment.
    Dead(Instant),
    /// Said itself that it leaves, at this moment.
    Left(Instant),
}

/// The running suspicion inside [`State::Suspect`]; opaque.
#[derive(Clone, Debug)]
pub struct SuspicionState(pub(super) Suspicion);

impl State {
    /// Dead or left.
    pub fn is_gone(&self) -> bool {
        self.gone_since().is_some()
    }

    /// When it died or left; `None` if it is there.
    pub fn gone_since(&self) -> Option<Instant> {
        match self {
            Self::Alive | Self::Suspect(_) => None,
            Self::Dead(since) | Self::Left(since) => Some(*since),
        }
    }

    /// Alive, not even suspected.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Alive)
    }

    /// Suspected.
    pub fn is_suspect(&self) -> bool {
        self.suspected_since().is_some()
    }

    /// When it came under suspicion; `None` if it is not.
    pub fn suspected_since(&self) -> Option<Instant> {
        match self {
            Self::Suspect(suspicion) => Some(suspicion.0.started()),
            Self::Alive | Self::Dead(_) | Self::Left(_) => None,
        }
    }
}

/// One record of the table. Small on purpose: a simulation holds a hundred million of them.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it says of itself.
    pub node: Arc<Node>,
    /// The version of that, and of the state.
    pub incarnation: Incarnation,
    /// Whether it is there.
    pub state: State,
}
