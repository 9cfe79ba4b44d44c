//! The member that is joined: that it can be reached is proven before its key is asked for, so that a firewall is never taken for a
//! wrong key (`ux §5`).

use std::net::SocketAddr;

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::facts::Facts;
use super::wanted::shown;
use crate::agent::check::lasting;
use crate::agent::reach::{Peer, Unreached, reach};
use crate::config::JoinAddress;

/// Where somebody takes connections, of the addresses that a name has. It may take ten seconds.
pub(super) async fn prove(join: &JoinAddress, facts: &Facts, output: &Output) -> Result<Peer, Failure> {
    output.progress(&format!("  {:<10}{join} …", "peer"));
    let reached = reach(join, |addr| facts.is_own_agent(addr)).await;
    output.progress("");
    // The others are to know this server for longer than by the address that it has just called from.
    let reached = reached.map(|peer| Peer { from: lasting(peer.from), ..peer });
    reached.map_err(|unreached| match unreached {
        Unreached::Own(addr) => own(join, addr),
        Unreached::Trouble(trouble) => {
            let failure = Failure::new(Exit::Failed, trouble.what);
            if trouble.way_out.is_empty() { failure } else { failure.with_remedy(trouble.way_out) }
        }
    })
}

/// `addr` is what the name came to.
fn own(join: &JoinAddress, addr: SocketAddr) -> Failure {
    let ip = addr.ip().to_string();
    let found = if join.host == ip { String::new() } else { format!(", {ip}") };
    Failure::usage(format!("--join {} is this server's own address{found}", shown(join)))
        .with_remedy("name another member")
}

/// `10.77.0.11:7946 answers over TCP`.
pub(super) fn words(peer: Peer) -> String {
    format!("{} answers over TCP", peer.addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_is_shown_where_a_name_led_to_it() {
        let addr: SocketAddr = "127.0.1.1:7946".parse().expect("an address");
        for (host, port, said) in [
            ("127.0.1.1", 7946, "--join 127.0.1.1 is this server's own address; name another member"),
            ("web1", 7946, "--join web1 is this server's own address, 127.0.1.1; name another member"),
            ("web1", 7947, "--join web1:7947 is this server's own address, 127.0.1.1; name another member"),
        ] {
            let failure = own(&JoinAddress { host: host.to_owned(), port }, addr);
            assert_eq!((failure.sentence().as_str(), failure.exit()), (said, Exit::Usage));
        }
    }
}
