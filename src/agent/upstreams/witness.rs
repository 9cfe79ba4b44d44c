//! The second witness about members whose probes fail, or whom others have given up: has them pinged, and tells the balancer
//! (`protocols D.3`, `D.4`).

use std::collections::BTreeSet;

use tracing::{debug, info};

use super::probes::Probes;
use crate::endpoint::Endpoint;
use crate::health::second_witness::{Output, SecondWitnesses};
use crate::time::Instant;
use crate::upstream::balancer::Balancer;
use crate::upstream::{Candidate, Gossip};
use crate::wire::NodeName;

/// What gossip says of the members, before the balancer decides about them.
pub(super) fn handle_members(
    witnesses: &mut SecondWitnesses,
    now: Instant,
    members: &[Candidate],
    balancer: &Balancer,
) {
    let is_given_up = |member: &&Candidate| !matches!(member.gossip, Gossip::Alive | Gossip::Suspect);
    let given_up = members.iter().filter(is_given_up).map(|member| member.name.clone()).collect();
    let failed = members.iter().filter(|member| member.gossip == Gossip::Failed).map(|member| &member.name);
    let hearsay: BTreeSet<&NodeName> = failed.filter(|member| balancer.has_server(member)).collect();
    witnesses.handle_given_up(now, given_up, |member| hearsay.contains(member));
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
            Output::Disputes { member, disputed } => {
                match disputed {
                    true => debug!(%member, "others have given it up, and it is asked itself"),
                    false => debug!(%member, "what gossip says of it counts again"),
                }
                balancer.handle_dispute(now, &member, disputed);
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
