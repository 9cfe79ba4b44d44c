//! What would happen if: members with other evidence about them, or with one more among them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Allow, Candidate, Check, Drain, Gossip, Network, Options, Pings, Probe, Rank, Standing};
use crate::wire::NodeName;
use crate::wire::serf::Tags;

/// What is supposed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Assumption {
    /// Gossip has lost it, and its service answers nobody.
    Fail(NodeName),
    /// It asks for no new requests.
    Drain(NodeName),
    /// Its checks are critical.
    Critical(NodeName),
    /// A member joins and is well.
    Join(Newcomer),
}

/// A member that may join.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Newcomer {
    pub name: NodeName,
    /// `None` for one that does not matter.
    pub addr: Option<IpAddr>,
    /// What of its tags is known. Those that an upstream selects by and that are not here are as they have to be.
    pub tags: Tags,
}

impl Assumption {
    /// Whom it is about.
    pub fn member(&self) -> &NodeName {
        match self {
            Self::Fail(name) | Self::Drain(name) | Self::Critical(name) => name,
            Self::Join(newcomer) => &newcomer.name,
        }
    }

    /// `members` as they would be for the upstream with these options.
    pub(super) fn assume(&self, members: &mut Vec<Candidate>, options: &Options) {
        if let Self::Join(newcomer) = self {
            let candidate = newcomer.candidate(members, options);
            members.retain(|member| member.name != candidate.name);
            members.push(candidate);
            return;
        }
        for member in members.iter_mut().filter(|member| member.name == *self.member()) {
            match self {
                Self::Fail(_) => {
                    (member.gossip, member.probe, member.probed) = (Gossip::Failed, Probe::Down, None);
                }
                Self::Drain(_) => member.drain = Drain::Asked(Rank::Last),
                Self::Critical(_) => member.check = Check::Critical,
                Self::Join(_) => {}
            }
        }
    }
}

impl Newcomer {
    /// It is well in every respect that this upstream asks for.
    fn candidate(&self, members: &[Candidate], options: &Options) -> Candidate {
        let addr = self.addr.unwrap_or_else(|| free_address(members, &options.allow));
        Candidate {
            tags: Arc::new(self.tags.clone()),
            standing: Standing::Supposed,
            pings: Pings::Answered,
            check: Check::Passing,
            probe: if options.probed { Probe::Up } else { Probe::None },
            ramp: options.slow_start.percent(Duration::ZERO),
            ..Candidate::new(self.name.clone(), addr, Tags::new(), Gossip::Alive)
        }
    }
}

/// Beside the others, or else in a network that is allowed.
fn free_address(members: &[Candidate], allow: &Allow) -> IpAddr {
    let is_free = |addr: IpAddr| allow.check(addr).is_ok() && !members.iter().any(|member| member.addr == addr);
    let beside = |addr: IpAddr| {
        (1..=u8::MAX).find_map(|last| {
            let near = match addr {
                IpAddr::V4(addr) => {
                    let [a, b, c, _] = addr.octets();
                    IpAddr::from([a, b, c, last])
                }
                IpAddr::V6(addr) => {
                    let mut octets = addr.octets();
                    octets[15] = last;
                    IpAddr::from(octets)
                }
            };
            is_free(near).then_some(near)
        })
    };
    let near = members.iter().map(|member| member.addr).chain(allow.networks.iter().map(Network::first));
    // Whoever has networks in which nothing is free would see that it is left out.
    near.into_iter().find_map(beside).unwrap_or(IpAddr::from([192, 0, 2, 1]))
}
