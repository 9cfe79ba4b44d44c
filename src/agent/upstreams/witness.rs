//! The second witness about members whose probes fail: has them pinged, and tells the balancer (`protocols D.4`).

use std::collections::BTreeSet;

use tracing::{debug, info};

use super::probes::Probes;
use crate::endpoint::Endpoint;
use crate::health::second_witness::{Output, SecondWitnesses};
use crate::time::Instant;
use crate::upstream::balancer::Balancer;
use crate::upstream::{Candidate, Gossip};
use crate::wire::NodeName;

/// Whom gossip does not hold alive.
pub(super) fn doubted(members: &[Candidate]) -> BTreeSet<NodeName> {
    members.iter().filter(|member| member.gossip != Gossip::Alive).map(|member| member.name.clone()).collect()
}

/// Does what is due.
pub(super) fn advance(
    witnesses: &mut SecondWitnesses,
    now: Instant,
    endpoint: &mut Endpoint,
    balancer: &mut Balancer,
    probes: &Probes,
) {
    witnesses.handle_timeout(now, |member| probes.is_failing(member));
    while let Some(output) = witnesses.poll_output() {
        match output {
            Output::Ask(member) => {
                if endpoint.ask_second_witness(now, &member) {
                    debug!(%member, "a second witness was asked");
                } else {
                    witnesses.handle_not_asked(&member);
                }
            }
            Output::Says { member, silent } => {
                match silent {
                    true => info!(%member, "its agent does not answer either"),
                    false => info!(%member, "its agent answers, or its service does"),
                }
                balancer.handle_second_witness(now, &member, silent);
            }
        }
    }
}
