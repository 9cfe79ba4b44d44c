//! Whether the agent has, or could have, its addresses and ports (`ux §4` rows 1 and 2).

use super::Trouble;
use super::finding::Findings;

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

/// Facts about them: what each is, and why it cannot be had.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ports {
    pub checked: Vec<(Port, String, Result<(), Trouble>)>,
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
            Err(trouble) => findings.error(id, what, &trouble.what, &trouble.way_out),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error() {
        let trouble = Trouble { what: "cannot bind it".to_owned(), way_out: "stop it".to_owned() };
        let checked = vec![
            (Port::Gossip, "10.77.0.11:7946".to_owned(), Err(trouble)),
            (Port::Rpc, "127.0.0.1:7373".to_owned(), Ok(())),
        ];
        let findings = ports(&Ports { checked });
        let finding = findings.iter().next().unwrap();
        assert_eq!((finding.id, finding.message.as_str()), ("ports.gossip", "cannot bind it"));
        assert_eq!(finding.remedy.as_deref(), Some("stop it"));
        assert_eq!(findings.passed(), 1);
    }
}
