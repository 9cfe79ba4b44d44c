//! The member that is joined: that it can be reached is proven before its key is asked for, so that a firewall is never taken for a
//! wrong key (`ux §5`).

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use crate::agent::reach::{Peer, reach};
use crate::config::JoinAddress;

/// Where somebody takes connections, of the addresses that a name has. It may take ten seconds.
pub(super) async fn prove(join: &JoinAddress, output: &Output) -> Result<Peer, Failure> {
    output.progress(&format!("  {:<10}{join} …", "peer"));
    let reached = reach(join, None).await;
    output.progress("");
    reached.map_err(|trouble| {
        let failure = Failure::new(Exit::Failed, trouble.what);
        if trouble.way_out.is_empty() { failure } else { failure.with_remedy(trouble.way_out) }
    })
}

/// `10.77.0.11:7946 answers over TCP`.
pub(super) fn words(peer: Peer) -> String {
    format!("{} answers over TCP", peer.addr)
}
