//! Whether this server can be the member that it is to be: asked of the member that was proven, with the key in hand and before
//! anything is written (`ux §5`, `protocols D.6`).
//!
//! What it says may be over a moment later, so what is asked after the start is asked all the same.

use std::net::{IpAddr, SocketAddr};

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::facts::{Facts, Found};
use super::{key, serving};
use crate::agent::hand;
use crate::agent::reach::Peer;
use crate::agent::survey::{Unanswered, survey};
use crate::config::{Advertise, Config};
use crate::crypto::{Key, Keyring};
use crate::error::Trouble;
use crate::wire::NodeName;
use crate::wire::message::{NodeState, PushNode};

/// What this server would be to the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    name: &'a NodeName,
    /// Where others are told to find it, if that was said.
    advertised: Option<SocketAddr>,
    /// This host's addresses.
    own: &'a [IpAddr],
    /// Its name so far, and where others were told to find it.
    former: Option<(&'a NodeName, Option<IpAddr>)>,
}

/// What another member has already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    Name { name: NodeName, at: SocketAddr },
    Address { addr: SocketAddr, by: NodeName },
}

impl<'a> Identity<'a> {
    /// As `config` will have it on this host.
    fn of(config: &'a Config, facts: &'a Facts) -> Self {
        let advertised = match config.gossip.advertise {
            Advertise::Address(ip, port) => Some(SocketAddr::new(ip, port.unwrap_or(config.gossip.bind.port))),
            Advertise::Auto | Advertise::FirstPrivate => None,
        };
        let former = match &facts.configuration {
            Found::Read(loaded) => Some((&loaded.config.node.name, facts.former())),
            Found::Missing | Found::Wrong(_) => None,
        };
        Self { name: &config.node.name, advertised, own: &facts.own, former }
    }

    /// As the members judge it: who has left or failed has nothing any more. Who is at an address of this host is this server as
    /// it was, and so is who has its former name where it is to be, or where it said to be until now.
    fn judge(&self, listed: &[PushNode]) -> Result<(), Taken> {
        for PushNode { alive, state } in listed {
            let is_present = match state {
                NodeState::Alive | NodeState::Suspect => true,
                NodeState::Dead | NodeState::Left => false,
            };
            if !is_present || self.own.contains(&alive.addr.ip()) {
                continue;
            }
            let is_there = self.advertised == Some(alive.addr);
            let is_former = |(name, at): (&NodeName, Option<IpAddr>)| {
                alive.node == *name && (is_there || at == Some(alive.addr.ip()))
            };
            if self.former.is_some_and(is_former) {
                continue;
            }
            if alive.node == *self.name && !is_there {
                return Err(Taken::Name { name: alive.node.clone(), at: alive.addr });
            }
            if is_there && alive.node != *self.name {
                return Err(Taken::Address { addr: alive.addr, by: alive.node.clone() });
            }
        }
        Ok(())
    }
}

/// Why this server would not be the member that it is to be. Nothing was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Obstacle {
    /// The key is not the cluster's, or else this label is not.
    Key { trouble: Trouble, label: Option<String> },
    /// Nobody is joined there.
    Peer(Trouble),
    /// `by` is who says so.
    Taken { taken: Taken, by: String },
}

/// Asks `peer`, under the key that was given or else the ring of `config`. Who says nothing may only be slow, and is no obstacle.
pub(super) async fn ask(
    peer: Peer,
    (config, facts): (&Config, &Facts),
    given: Option<&Key>,
    output: &Output,
) -> Result<(), Obstacle> {
    let ring = match (given, &config.encryption.keyring) {
        (Some(key), _) => Some(Keyring::new(key.clone(), [])),
        (None, Some(source)) => match hand::read(source) {
            Ok(ring) => Some(ring),
            // The agent could not start with it, which is told where that is.
            Err(_) => return Ok(()),
        },
        (None, None) => None,
    };
    output.progress(&format!("  {:<10}{} …", "peer", peer.addr));
    let answered = survey(config, ring, peer).await;
    output.progress("");
    match answered {
        Ok(listed) => Identity::of(config, facts).judge(&listed).map_err(|taken| {
            let peer_itself = listed.iter().find(|node| node.alive.addr == peer.addr);
            let by = peer_itself.map_or(peer.addr.ip().to_string(), |node| node.alive.node.as_str().to_owned());
            Obstacle::Taken { taken, by }
        }),
        Err(Unanswered::Key(trouble)) => {
            let label = Some(config.gossip.label.clone()).filter(|label| !label.is_empty());
            Err(Obstacle::Key { trouble, label })
        }
        Err(Unanswered::Refused(trouble)) => Err(Obstacle::Peer(trouble)),
        Err(Unanswered::Silent(trouble)) => {
            output.notice(&format!("notice: {}; it may only be slow, so this goes on", trouble.what));
            Ok(())
        }
    }
}

impl Obstacle {
    /// In the words that it would have later. `way_in` is how another key comes; `force` is whether a configuration is there, which
    /// only that writes anew.
    pub(super) fn told(&self, way_in: &str, force: bool) -> Failure {
        let forced = if force { ", and --force" } else { "" };
        match self {
            Self::Key { trouble, label: None } => key::of_another(trouble.what.clone(), way_in),
            // What is sealed under another label looks like that.
            Self::Key { trouble, label: Some(label) } => {
                let what = format!("{}, or has another gossip.label than {label:?}", trouble.what);
                key::of_another(what, way_in)
            }
            Self::Peer(trouble) => {
                let failure = Failure::new(Exit::Incomplete, trouble.what.clone());
                if trouble.way_out.is_empty() { failure } else { failure.with_remedy(trouble.way_out.clone()) }
            }
            Self::Taken { taken: Taken::Name { name, at }, by } => {
                Failure::new(Exit::Failed, serving::namesake(name.as_str(), by, *at))
                    .with_remedy(format!("run it again with another --name{forced}"))
            }
            Self::Taken { taken: Taken::Address { addr, by: holder }, by } => {
                let holder = holder.as_str();
                let what = format!("another member has this address: {by} knows {holder} at {addr}");
                Failure::new(Exit::Failed, what).with_remedy(format!(
                    "run it again with this server's own as --address{forced}: 'ip address' lists them"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::{Alive, Incarnation, Versions};

    fn name(text: &str) -> NodeName {
        NodeName::new(text).expect("it is one")
    }

    fn node(text: &str, addr: &str, state: NodeState) -> PushNode {
        let (addr, meta) = (addr.parse().expect("an address"), bytes::Bytes::new());
        let (node, incarnation, versions) = (name(text), Incarnation::new(1), Versions::OURS);
        PushNode { alive: Alive { incarnation, node, addr, meta, versions }, state }
    }

    #[test]
    fn what_another_member_has_is_not_to_be_had() {
        use NodeState::{Alive, Dead, Left, Suspect};
        let (web1, web2) = (name("web1"), name("web2"));
        let own: [IpAddr; 2] = [[127, 0, 0, 1].into(), [10, 77, 0, 12].into()];
        let public = "203.0.113.9:7946";
        let as_name = |at: &str| Err(Taken::Name { name: name("web1"), at: at.parse().expect("an address") });
        let as_address = |by: &str| Err(Taken::Address { addr: public.parse().expect("an address"), by: name(by) });
        let mistyped = Some((&web1, Some(IpAddr::from([10, 77, 0, 99]))));
        // advertised, former name and address, member, outcome
        for (advertised, former, member, outcome) in [
            (None, None, ("web1", "10.77.0.13:7946", Alive), as_name("10.77.0.13:7946")),
            (None, None, ("web1", "10.77.0.13:7946", Suspect), as_name("10.77.0.13:7946")),
            (None, None, ("web1", "10.77.0.13:7946", Dead), Ok(())),
            (None, None, ("web1", "10.77.0.13:7946", Left), Ok(())),
            (None, None, ("WEB1", "10.77.0.13:7946", Alive), Ok(())),
            (None, None, ("web1", "10.77.0.12:7946", Alive), Ok(())),
            (None, None, ("web1", "10.77.0.12:7947", Alive), Ok(())),
            (None, Some((&web1, None)), ("web1", "10.77.0.13:7946", Alive), as_name("10.77.0.13:7946")),
            (None, Some((&web2, None)), ("web2", "10.77.0.12:7946", Alive), Ok(())),
            (None, mistyped, ("web1", "10.77.0.99:7946", Alive), Ok(())),
            (None, mistyped, ("web1", "10.77.0.13:7946", Alive), as_name("10.77.0.13:7946")),
            (Some(public), None, ("web1", public, Alive), Ok(())),
            (Some(public), None, ("web1", "203.0.113.9:7947", Alive), as_name("203.0.113.9:7947")),
            (Some(public), None, ("web2", public, Alive), as_address("web2")),
            (Some(public), None, ("web2", public, Suspect), as_address("web2")),
            (Some(public), None, ("web2", public, Left), Ok(())),
            (Some(public), None, ("web2", "203.0.113.9:7947", Alive), Ok(())),
            (Some(public), Some((&web2, None)), ("web2", public, Alive), Ok(())),
            (Some("10.77.0.12:7946"), None, ("web2", "10.77.0.12:7946", Alive), Ok(())),
        ] {
            let advertised = advertised.map(|addr: &str| addr.parse().expect("an address"));
            let identity = Identity { name: &web1, advertised, own: &own, former };
            let listed = [node("lb1", "10.77.0.11:7946", Alive), node(member.0, member.1, member.2)];
            assert_eq!(identity.judge(&listed), outcome, "{identity:?} {member:?}");
        }
    }

    #[test]
    fn the_way_out_needs_no_force_where_nothing_was_written() {
        let way_in = key::way_in(None, "sudo weir init web --join 10.77.0.11");
        let at = "10.77.0.13:7946".parse().expect("an address");
        let taken = |taken| Obstacle::Taken { taken, by: "lb1".to_owned() };
        let called = taken(Taken::Name { name: name("web1"), at });
        let key = |label: Option<&str>| Obstacle::Key {
            trouble: Trouble::new("10.77.0.11 hung up", "'weir keys import' here"),
            label: label.map(ToOwned::to_owned),
        };
        let placed = taken(Taken::Address { addr: at, by: name("web2") });
        for (obstacle, force, exit, said) in [
            (
                &called,
                false,
                Exit::Failed,
                "another member is called 'web1': lb1 knows it at 10.77.0.13:7946, which is not this server; run it again with \
                 another --name",
            ),
            (
                &called,
                true,
                Exit::Failed,
                "another member is called 'web1': lb1 knows it at 10.77.0.13:7946, which is not this server; run it again with \
                 another --name, and --force",
            ),
            (
                &placed,
                false,
                Exit::Failed,
                "another member has this address: lb1 knows web2 at 10.77.0.13:7946; run it again with this server's own as \
                 --address: 'ip address' lists them",
            ),
            (
                &Obstacle::Peer(Trouble::new("10.77.0.11:80 does not speak gossip", "wrong port?")),
                false,
                Exit::Incomplete,
                "10.77.0.11:80 does not speak gossip; wrong port?",
            ),
            (
                &key(None),
                false,
                Exit::Failed,
                "10.77.0.11 hung up; compare 'weir keys list' (serf keys -list) there; 'sudo weir init web --join 10.77.0.11' \
                 takes another key",
            ),
            (
                &key(Some("blue")),
                false,
                Exit::Failed,
                "10.77.0.11 hung up, or has another gossip.label than \"blue\"; compare 'weir keys list' (serf keys -list) there; 'sudo \
                 weir init web --join 10.77.0.11' takes another key",
            ),
        ] {
            let failure = obstacle.told(&way_in, force);
            assert_eq!((failure.sentence().as_str(), failure.exit()), (said, exit));
        }
    }
}
