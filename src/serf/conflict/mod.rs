//! Who may keep a name that two claim (`serf §11.1`).
//!
//! The others are asked at which address they know the name. Two rules differ from the reference: no answer at all is no
//! defeat, or a partition would end both; and a lost vote ends nothing, the node falls silent and asks again every minute.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::seq::IteratorRandom;
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::Serf;
use super::member::{Member, Status};
use super::output::Output;
use super::query::{Purpose, QueryParams};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{ConflictMember, Query, Tags};

/// The query that asks about a name.
pub(crate) const QUERY: &str = "_serf_conflict";

/// Time between two votes.
pub const VOTE_INTERVAL: Duration = Duration::from_secs(60);

/// More than a response takes beside its payload and the name of its sender.
const ANSWER_BYTES: usize = 80;

/// Members that a silent node asks directly, since it gossips nothing.
const DIRECTLY_ASKED: usize = 3;

/// News of a clash over our name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConflictOutcome {
    /// Somebody at `other` claims our name; the others are asked.
    Asked { other: SocketAddr },
    /// Somebody at `other` asks the others whether our name is its own.
    Claimed { other: SocketAddr },
    /// Enough of the others know us under the name.
    Won { responses: usize, matching: usize },
    /// Nobody answered: no defeat.
    Unanswered,
    /// The name is another's. Fall silent; the question is repeated every minute.
    Lost { responses: usize, matching: usize },
    /// After a lost vote: the name is free again, or ours.
    Freed,
}

/// The answers so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Vote {
    responses: usize,
    /// At our address.
    matching: usize,
    /// Not known, or known as gone.
    free: usize,
}

impl Vote {
    /// Counts one answer; one that does not decode is none.
    pub(crate) fn count(&mut self, payload: &[u8], own: SocketAddr) {
        let free = match ConflictMember::decode(payload) {
            Ok(None) => true,
            Ok(Some(member)) if member.addr == own => {
                self.matching += 1;
                false
            }
            Ok(Some(member)) => member.status >= Status::Left as u8,
            Err(_) => return,
        };
        self.responses += 1;
        self.free += usize::from(free);
    }

    fn majority(self) -> usize {
        self.responses / 2 + 1
    }
}

/// Another host with our name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Namesake {
    pub addr: SocketAddr,
    /// When it last showed.
    pub last: Instant,
    pub claim: Claim,
}

/// Whose a name is that two have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The others are asked, or have said that it is not ours.
    Disputed,
    /// We hold it.
    Held,
    /// Nobody else was there to be asked: both go on with it.
    Undecided,
}

/// Where we stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dispute {
    namesake: Option<Namesake>,
    /// A clash was seen and a vote is due.
    seen: bool,
    /// A vote is running.
    voting: bool,
    /// The last vote was lost.
    lost: bool,
    /// No vote before this.
    not_before: Option<Instant>,
    /// Nothing is told of a question of another's before this: its address is the asker's word.
    quiet_until: Option<Instant>,
}

impl Dispute {
    /// Whether the name is another's, so that nothing is to be said under it.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Notes who else uses our name. Returns whether that is news.
    fn seen_at(&mut self, addr: SocketAddr, claim: Claim, now: Instant) -> bool {
        let known = self.namesake.filter(|known| known.addr == addr);
        let claim = known.map_or(claim, |known| known.claim);
        self.namesake = Some(Namesake { addr, last: now, claim });
        known.is_none()
    }

    /// Notes who asks for our name. Returns whether that is to be told: once for each address, and seldom.
    fn claimed_from(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let is_due = self.quiet_until.is_none_or(|until| until <= now);
        let told = self.seen_at(addr, Claim::Held, now) && is_due;
        if told {
            self.quiet_until = Some(now + VOTE_INTERVAL);
        }
        told
    }

    /// A vote has ended.
    fn decided(&mut self, outcome: ConflictOutcome) {
        let claim = match outcome {
            ConflictOutcome::Asked { .. } | ConflictOutcome::Claimed { .. } | ConflictOutcome::Lost { .. } => {
                Claim::Disputed
            }
            ConflictOutcome::Won { .. } => Claim::Held,
            ConflictOutcome::Unanswered => Claim::Undecided,
            ConflictOutcome::Freed => return self.namesake = None,
        };
        if let Some(namesake) = &mut self.namesake {
            namesake.claim = claim;
        }
    }

    /// Whether the name may be another's.
    fn is_open(&self) -> bool {
        self.seen || self.voting || self.lost
    }

    /// When to ask.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.not_before.filter(|_| (self.seen || self.lost) && !self.voting)
    }
}

impl Serf {
    /// Another host that uses our name, as far as is known.
    pub fn namesake(&self) -> Option<Namesake> {
        self.dispute.namesake
    }

    /// A member is at `addr` under a name of its own.
    pub(super) fn handle_other_name(&mut self, addr: SocketAddr) {
        self.dispute.namesake.take_if(|namesake| namesake.addr == addr);
    }

    /// Whether our name is another's, or a vote about it has not ended.
    pub(crate) fn is_disputed(&self) -> bool {
        self.dispute.is_open()
    }

    /// `swim` reports that `other` claims a name held at another address.
    ///
    /// The vote is left to the next timeout: what shows the clash to a newcomer is the list of members in a push/pull, and the
    /// others' clocks come behind it. By its own clock the newcomer would ask at a time before the start of a restarted member,
    /// which does not answer then.
    pub(super) fn handle_conflict(&mut self, now: Instant, name: &NodeName, other: SocketAddr) {
        if *name != self.local.name {
            return self.outputs.push_back(Output::NameClaimed { name: name.clone(), other });
        }
        self.dispute.seen_at(other, Claim::Disputed, now);
        let early = self.dispute.not_before.is_some_and(|not_before| now < not_before);
        let asked = self.dispute.seen || self.dispute.voting || early;
        if !self.options.name_conflict_resolution || asked {
            return;
        }
        self.outputs.push_back(Output::Conflict(ConflictOutcome::Asked { other }));
        self.dispute.seen = true;
        self.dispute.not_before = Some(now);
    }

    /// Asks about a clash, and again when the minute after a lost vote is over.
    pub(super) fn begin_vote(&mut self, now: Instant) {
        if self.dispute.poll_timeout().is_some_and(|at| at <= now) {
            self.start_vote(now);
        }
    }

    fn start_vote(&mut self, now: Instant) {
        self.dispute.seen = false;
        self.dispute.not_before = Some(now + VOTE_INTERVAL);
        let payload = Bytes::copy_from_slice(self.local.name.as_str().as_bytes());
        let params = QueryParams { name: QUERY.to_owned(), payload, ..QueryParams::default() };
        let Ok(sent) = self.ask(now, params, Purpose::Conflict(Vote::default())) else { return };
        debug!(again = self.dispute.lost, "the others are asked about our name");
        self.dispute.voting = true;
        if self.dispute.lost {
            self.send_directly(&sent.message);
        }
    }

    fn send_directly(&mut self, message: &Bytes) {
        let others =
            self.members.iter().filter(|member| member.status.is_present() && member.node.name != self.local.name);
        for member in others.sample(&mut self.rng, DIRECTLY_ASKED) {
            let node = Some(member.node.name.clone());
            self.outputs.push_back(Output::SendUser { to: member.node.addr, node, message: message.clone() });
        }
    }

    pub(super) fn vote_ended(&mut self, now: Instant, vote: Vote) {
        let Vote { responses, matching, free } = vote;
        debug!(responses, matching, free, majority = vote.majority(), "vote about our name has ended");
        let was_lost = self.dispute.lost;
        self.dispute.voting = false;
        let outcome = if was_lost {
            if responses == 0 || matching + free < vote.majority() {
                self.dispute.not_before = Some(now + VOTE_INTERVAL);
                return;
            }
            ConflictOutcome::Freed
        } else if responses == 0 {
            ConflictOutcome::Unanswered
        } else if matching >= vote.majority() {
            ConflictOutcome::Won { responses, matching }
        } else {
            ConflictOutcome::Lost { responses, matching }
        };
        self.dispute.lost = matches!(outcome, ConflictOutcome::Lost { .. });
        self.dispute.decided(outcome);
        self.outputs.push_back(Output::Conflict(outcome));
    }

    /// Somebody asks whose a name is: it is told what we know of it. Whoever holds the name says nothing, and takes note.
    pub(super) fn answer_dispute(&mut self, now: Instant, query: &Query) -> Option<Bytes> {
        if query.payload == self.local.name.as_str() {
            if query.addr != self.local.addr && self.dispute.claimed_from(query.addr, now) {
                self.outputs.push_back(Output::Conflict(ConflictOutcome::Claimed { other: query.addr }));
            }
            return None;
        }
        let known = std::str::from_utf8(&query.payload).ok().and_then(|name| self.members.get(name));
        if let Some(member) = known.filter(|member| member.node.addr != query.addr) {
            self.outputs.push_back(Output::NameClaimed { name: member.node.name.clone(), other: query.addr });
        }
        let room = self.options.query_response_size_limit.saturating_sub(self.local.name.as_str().len() + ANSWER_BYTES);
        Some(known.map_or_else(ConflictMember::encode_unknown, |member| record(member, room)))
    }
}

/// What is known of a member. Tags, which no vote looks at, are left out if it has no `room` for them.
fn record(member: &Member, room: usize) -> Bytes {
    let whole = ConflictMember {
        name: member.node.name.as_str().to_owned(),
        addr: member.node.addr,
        tags: member.tags(),
        status: member.status as u8,
        versions: member.node.versions,
    };
    let bytes = whole.encode();
    if bytes.len() <= room { bytes } else { ConflictMember { tags: Tags::default(), ..whole }.encode() }
}

#[cfg(test)]
mod tests;
