//! How well a node's services are, by its own word and by what others see of them (`design §6`).
//!
//! [`check`] decides what the results of this node's checks make of it, [`probe`] when a balancer probes whom and what that adds up
//! to, [`query`] what a balancer asks its servers and makes of what they say; [`answer`] is what became of one request to a
//! service, [`second_witness`] when a member is asked because its service does not answer, [`isolation`] whether anybody is heard at all. Asking is [`crate::agent`]'s. Here is what they all have in common: the words, and
//! the tag that carries them.

pub mod answer;
pub mod check;
pub mod isolation;
pub mod probe;
pub mod query;
pub mod second_witness;

use std::fmt;

use serde::{Deserialize, Serialize};

/// The tag by which a node tells its health (`protocols D.1`).
pub const TAG: &str = "weir_health";

/// A node's health, or what one of its checks makes of it: the value of the tag [`TAG`] and the first word of an answer to the
/// query `health`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Passing,
    Warning,
    Critical,
    /// There is no verdict yet.
    Wait,
    /// There is nothing that could give one.
    #[default]
    None,
}

impl State {
    /// Each, the worst last.
    pub const ALL: [Self; 5] = [Self::None, Self::Passing, Self::Warning, Self::Wait, Self::Critical];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Wait => "wait",
            Self::None => "none",
        }
    }

    /// The state that `word` names.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// What a node is whose checks are like this. One without a verdict outweighs a warning, as a node must not be taken for
    /// usable before each of its checks has said something.
    pub fn worst(states: impl IntoIterator<Item = Self>) -> Self {
        states.into_iter().max_by_key(|state| state.rank()).unwrap_or_default()
    }

    fn rank(self) -> usize {
        Self::ALL.iter().position(|state| *state == self).unwrap_or_default()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_as_well_as_its_worst_check() {
        use State::{Critical, None, Passing, Wait, Warning};
        for (states, node) in [
            (&[][..], None),
            (&[Passing], Passing),
            (&[Passing, Warning], Warning),
            (&[Warning, Wait, Passing], Wait),
            (&[Wait, Critical, Warning], Critical),
            (&[None, Passing], Passing),
        ] {
            assert_eq!(State::worst(states.iter().copied()), node, "{states:?}");
        }
    }

    #[test]
    fn words_are_read_back_and_others_are_none_of_ours() {
        for state in State::ALL {
            assert_eq!(State::named(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(State::named("Passing"), Option::None);
        assert_eq!(State::named(""), Option::None);
    }
}
