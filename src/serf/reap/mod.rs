//! What time does to the departed: dialled for a while, then forgotten (`serf §4.11`).

use rand::RngExt;
use rand::seq::IndexedRandom;
use tracing::debug;

use super::Serf;
use super::drops::Drop;
use super::member::Status;
use super::output::Output;
use crate::time::Instant;
use crate::wire::NodeName;

/// Failed and left members kept. Beyond it those longest gone are forgotten early: hosts that come and go under ever new
/// names would otherwise pile up for a day.
pub const MAX_DEPARTED: usize = 16_384;

impl Serf {
    /// Forgets the departed whose time is over, and old intents.
    pub(super) fn reap(&mut self, now: Instant) {
        let due: Vec<NodeName> = self
            .members
            .departed()
            .filter(|member| {
                let timeout = match member.status {
                    Status::Failed => self.options.reconnect_timeout,
                    Status::Alive | Status::Leaving | Status::Left => self.options.tombstone_timeout,
                };
                now.since(member.since) > timeout
            })
            .map(|member| member.node.name.clone())
            .collect();
        for name in due {
            self.forget(now, &name);
        }
        self.intents.expire(now, self.options.recent_intent_timeout);
        self.open.expire(now);
    }

    /// Now and then asks for a failed member to be dialled, the more often the more there are.
    pub(super) fn reconnect(&mut self) {
        let failed: Vec<_> = self.members.departed().filter(|member| member.status == Status::Failed).collect();
        let chance = failed.len() as f64 / self.members.present().max(1) as f64;
        if failed.is_empty() || self.rng.random::<f64>() > chance {
            return;
        }
        if let Some(member) = failed.choose(&mut self.rng) {
            debug!(member = %member.node.name, addr = %member.node.addr, "failed member is dialled");
            self.outputs.push_back(Output::Reconnect(member.node.clone()));
        }
    }

    pub(super) fn keep_departed_bounded(&mut self, now: Instant) {
        if self.members.departed().len() <= MAX_DEPARTED {
            return;
        }
        if let Some(name) = self.members.longest_gone().cloned() {
            self.drops.count(Drop::DepartedFull);
            self.forget(now, &name);
        }
    }
}

#[cfg(test)]
mod tests;
