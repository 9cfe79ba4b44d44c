//! Exchange of full state (`memberlist §4.9`).

use tracing::debug;

use crate::time::Instant;
use crate::wire::message::{Alive, Dead, NodeState, PushNode, Suspect};

use super::member::State;
use super::{Drop, Swim};

impl Swim {
    /// Our side of an exchange: every member, ourselves and the dead included.
    pub fn local_state(&self) -> Vec<PushNode> {
        let entry = |member: &super::Member| PushNode {
            alive: Alive {
                incarnation: member.incarnation,
                node: member.node.name.clone(),
                addr: member.node.addr,
                meta: member.node.meta.clone(),
                versions: member.node.versions,
            },
            state: match member.state {
                State::Alive => NodeState::Alive,
                State::Suspect(_) => NodeState::Suspect,
                State::Dead(_) => NodeState::Dead,
                State::Left(_) => NodeState::Left,
            },
        };
        self.members.iter().map(entry).collect()
    }

    /// Merges the other side's list, and returns how many of its entries were usable.
    ///
    /// The reference refuses a whole exchange when one entry's versions fit nobody, which lets one bad record block every
    /// join. Here that entry alone is skipped.
    pub fn merge(&mut self, now: Instant, nodes: Vec<PushNode>) -> usize {
        let (mut used, entries) = (0, nodes.len());
        for PushNode { alive, state } in nodes {
            if !speaks_our_versions(&alive) {
                self.count_drop(Drop::Versions);
                continue;
            }
            used += 1;
            let (incarnation, node) = (alive.incarnation, alive.node.clone());
            match state {
                NodeState::Alive => self.handle_alive(now, alive),
                NodeState::Left => self.handle_dead(now, Dead { incarnation, from: node.clone(), node }),
                // Hearsay about a death only raises a suspicion: the member may refute.
                NodeState::Dead | NodeState::Suspect => {
                    let from = self.local.clone();
                    self.handle_suspect(now, Suspect { incarnation, node, from });
                }
            }
        }
        debug!(entries, used, "list of members is merged");
        used
    }
}

/// Whether a member's current protocols lie within what we understand.
fn speaks_our_versions(alive: &Alive) -> bool {
    let [pmin, pmax, pcur, dmin, dmax, dcur] = alive.versions.0;
    let [our_pmin, our_pmax, our_pcur, our_dmin, our_dmax, our_dcur] = crate::wire::message::Versions::OURS.0;
    (our_pmin..=our_pmax).contains(&pcur)
        && (our_dmin..=our_dmax).contains(&dcur)
        && (pmin..=pmax).contains(&our_pcur)
        && (dmin..=dmax).contains(&our_dcur)
}
