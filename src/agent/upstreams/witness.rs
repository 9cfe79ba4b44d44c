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

/// Whom gossip has given up, or who leaves.
pub(super) fn given_up(members: &[Candidate]) -> BTreeSet<NodeName> {
    let is_given_up = |member: &&Candidate| !matches!(member.gossip, Gossip::Alive | Gossip::Suspect);
    members.iter().filter(is_given_up).map(|member| member.name.clone()).collect()
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
