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
    pub choice: Option<Choice>,
    /// Ports of ours that Debian's `serf.service` takes when the host starts again.
    pub serf: bool,
}

/// An address that was advertised though it was no matter of course.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    pub advertised: String,
    /// The private ones, each with its interface.
    pub private: Vec<(String, String)>,
}

impl Choice {
    /// A restart keeps it, as long as it is this host's.
    pub fn words(&self) -> String {
        let Self { advertised, private } = self;
        let named: Vec<String> = private.iter().map(|(ip, name)| format!("{ip} ({name})")).collect();
        match named.as_slice() {
            [] => format!("{advertised} is advertised and is not private"),
            all if !private.iter().any(|(ip, _)| ip == advertised) => {
                format!("{advertised} is advertised and is not private, which {} would be", all.join(" or "))
            }
            [one, other] => format!("{one} and {other} are both private, {advertised} is advertised as before"),
            all => format!("{} are all private, {advertised} is advertised as before", all.join(", ")),
        }
    }
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
    if let Some(choice) = &facts.choice {
        let way_out = format!("set gossip.advertise = \"{}\", or to another of its addresses", choice.advertised);
        findings.warn("ports.address", &choice.advertised, choice.words(), &way_out);
    }
    if facts.serf {
        let message = "serf.service is enabled and takes this agent's ports when the host starts again";
        findings.warn("ports.serf", "serf.service", message, "systemctl disable --now serf");
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
        let findings = ports(&Ports { checked, ..Ports::default() });
        let finding = findings.iter().next().unwrap();
        assert_eq!((finding.id, finding.message.as_str()), ("ports.gossip", "cannot bind it"));
        assert_eq!(finding.remedy.as_deref(), Some("stop it"));
        assert_eq!(findings.passed(), 1);
    }

    #[test]
    fn an_address_that_could_be_another_is_named_with_the_others() {
        let (eth0, eth1, docker) = (("10.0.2.15", "eth0"), ("10.77.0.11", "eth1"), ("172.17.0.1", "docker0"));
        let rows: [(_, &[_], _); 4] = [
            (
                "10.77.0.11",
                &[eth0, eth1],
                "10.0.2.15 (eth0) and 10.77.0.11 (eth1) are both private, 10.77.0.11 is advertised as before",
            ),
            (
                "10.77.0.11",
                &[eth0, eth1, docker],
                "10.0.2.15 (eth0), 10.77.0.11 (eth1), 172.17.0.1 (docker0) are all private, 10.77.0.11 is advertised \
                 as before",
            ),
            ("203.0.113.9", &[], "203.0.113.9 is advertised and is not private"),
            ("203.0.113.9", &[eth1], "203.0.113.9 is advertised and is not private, which 10.77.0.11 (eth1) would be"),
        ];
        for (advertised, private, told) in rows {
            let private = private.iter().map(|(ip, name)| ((*ip).to_owned(), (*name).to_owned())).collect();
            let choice = Some(Choice { advertised: advertised.to_owned(), private });
            let findings = ports(&Ports { choice, ..Ports::default() });
            let finding = findings.iter().next().unwrap();
            let way_out = format!("set gossip.advertise = \"{advertised}\", or to another of its addresses");
            assert_eq!((finding.message.as_str(), finding.remedy.as_ref()), (told, Some(&way_out)));
        }
    }

    #[test]
    fn a_serf_that_comes_back_at_boot_is_named() {
        let findings = ports(&Ports { serf: true, ..Ports::default() });
        assert_eq!(findings.iter().next().unwrap().remedy.as_deref(), Some("systemctl disable --now serf"));
    }
}
