//! Whether the agent has, or could have, its addresses and ports (`ux.md` §4 rows 1 and 2).

use super::finding::{Findings, split};

/// What an address is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// Where others find us: it must be chosen, and be this host's.
    Address,
    /// UDP and TCP of gossip.
    Gossip,
    /// RPC over TCP.
    Rpc,
}

/// Facts about them: what each is, and why it cannot be had, in the words of the agent's own error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ports {
    pub checked: Vec<(Port, String, Result<(), String>)>,
}

/// Judges them.
pub fn ports(facts: &Ports) -> Findings {
    let mut findings = Findings::default();
    for (port, what, result) in &facts.checked {
        let id = match port {
            Port::Address => "ports.address",
            Port::Gossip => "ports.gossip",
            Port::Rpc => "ports.rpc",
        };
        match result {
            Ok(()) => findings.pass(id, what),
            Err(text) => {
                let (message, remedy) = split(text);
                findings.error(id, what, message, remedy);
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_words_are_taken_apart() {
        let text = "cannot bind 10.77.0.11:7946/tcp: in use by serf (pid 812); stop it with 'systemctl stop serf' or set gossip.bind";
        let checked = vec![
            (Port::Gossip, "10.77.0.11:7946".to_owned(), Err(text.to_owned())),
            (Port::Rpc, "127.0.0.1:7373".to_owned(), Ok(())),
        ];
        let findings = ports(&Ports { checked });
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.message, "cannot bind 10.77.0.11:7946/tcp: in use by serf (pid 812)");
        assert_eq!(finding.remedy.as_deref(), Some("stop it with 'systemctl stop serf' or set gossip.bind"));
        assert_eq!(findings.passed(), 1);
    }
}
