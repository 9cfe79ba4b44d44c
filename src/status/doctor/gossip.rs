//! Whether members can be reached, both ways that gossip needs (`ux §4` rows 9 to 11).

use std::net::SocketAddr;

use super::Trouble;
use super::finding::Findings;
use crate::status::shell::{open_port, operand};

/// What a connection came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tcp {
    Open,
    /// The host answers, nobody listens.
    Refused,
    /// Nothing came back.
    Silent,
    /// The system's words.
    Failed(String),
}

/// What a ping came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Udp {
    Answered,
    Silent,
    /// Nobody could ping.
    Unchecked,
}

/// What the member counts as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Alive,
    Failed,
    /// By the snapshot of an earlier run: there is no agent that would know.
    Remembered,
}

/// A member that was tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    pub name: String,
    pub addr: SocketAddr,
    pub standing: Standing,
    pub tcp: Tcp,
    pub udp: Udp,
}

/// An address of `gossip.join` that was tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JoinPlace {
    /// As configured.
    pub place: String,
    /// What each of its addresses came to, or why the name has none.
    pub result: Result<Vec<(SocketAddr, Tcp)>, String>,
}

/// Facts about the way to others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Gossip {
    pub members: Vec<Member>,
    /// Members that were left out: too many.
    pub untried: usize,
    pub join: Vec<JoinPlace>,
    /// Why the agent could join nobody.
    pub join_failures: Vec<Trouble>,
    /// Why pings were not possible, and the way to have them.
    pub no_pings: Option<Trouble>,
    /// The pings were doctor's own: then a missing answer may mean another key.
    pub by_hand: bool,
}

/// Judges it.
pub fn gossip(facts: &Gossip) -> Findings {
    let mut findings = Findings::default();
    for member in &facts.members {
        judge(&mut findings, member, facts.by_hand);
    }
    if facts.untried > 0 {
        let message =
            format!("{} more members were not tried: this looks at {} at a time", facts.untried, facts.members.len());
        findings.skip("gossip.members", "members", message, "run it on those hosts");
    }
    if let Some(Trouble { what, way_out }) = &facts.no_pings
        && !facts.members.is_empty()
    {
        findings.skip(
            "gossip.udp",
            "members",
            format!("whether members answer over UDP was not tried: {what}"),
            way_out,
        );
    }
    for Trouble { what, way_out } in &facts.join_failures {
        findings.error("gossip.join", "join", format!("this node has joined nobody: {what}"), way_out);
    }
    if facts.join_failures.is_empty() {
        judge_join(&mut findings, &facts.join);
    }
    findings
}

/// The table of one member.
fn judge(findings: &mut Findings, member: &Member, by_hand: bool) {
    const TCP: &str = "gossip.tcp";
    const UDP: &str = "gossip.udp";
    const MEMBER: &str = "gossip.member";
    let Member { name, addr, standing, tcp, udp } = member;
    let (ip, port) = (addr.ip(), addr.port());
    let open = |what: &str| format!("open {what} {port} to and from {ip} ({})", open_port(port));
    match (tcp, udp) {
        (Tcp::Open, Udp::Silent) => {
            let doubt = if by_hand { ", or this keyring lacks its key" } else { "" };
            let message = format!("{name}: TCP {port} answers, UDP {port} does not{doubt}");
            findings.pass(TCP, name);
            findings.error(UDP, name, message, &open("UDP"));
        }
        (Tcp::Open, Udp::Answered | Udp::Unchecked) if *standing == Standing::Failed => {
            let message =
                format!("{name} ({addr}) counts as failed and answers: it should be back within half a minute");
            findings.info(MEMBER, name, message, "");
        }
        (Tcp::Open, Udp::Answered) => {
            findings.pass(TCP, name);
            findings.pass(UDP, name);
        }
        (Tcp::Open, Udp::Unchecked) => findings.pass(TCP, name),
        (_, Udp::Answered) => {
            findings.pass(UDP, name);
            let message = format!("{name}: UDP {port} answers, TCP {port} does not ({})", words(tcp));
            findings.error(TCP, name, message, &open("TCP"));
        }
        // Nothing answers: of a failed member that is no news.
        (Tcp::Refused, _) => {
            let message = format!("{name}{}: nothing listens on {addr}", words_of(*standing));
            let way_out = format!("start weir there; if {name} is gone for good: weir force-leave {}", operand(name));
            findings.add(level(*standing), MEMBER, name, message, &way_out);
        }
        (Tcp::Silent | Tcp::Failed(_), _) => {
            let ways = if *udp == Udp::Silent { "TCP or UDP" } else { "TCP" };
            let message = format!("{name}{}: nothing answers on {addr}, {ways} ({})", words_of(*standing), words(tcp));
            let way_out = format!("see whether the host is up, and {}", open("TCP and UDP"));
            findings.add(level(*standing), MEMBER, name, message, &way_out);
        }
    }
}

const fn level(standing: Standing) -> super::Level {
    match standing {
        Standing::Alive => super::Level::Error,
        Standing::Failed | Standing::Remembered => super::Level::Warn,
    }
}

const fn words_of(standing: Standing) -> &'static str {
    match standing {
        Standing::Alive => " counts as alive",
        Standing::Failed => " has failed",
        Standing::Remembered => " was a member",
    }
}

fn words(tcp: &Tcp) -> &str {
    match tcp {
        Tcp::Open => "open",
        Tcp::Refused => "connection refused",
        Tcp::Silent => "no answer",
        Tcp::Failed(text) => text,
    }
}

/// One address of all is enough to join; the others are a loss of safety.
fn judge_join(findings: &mut Findings, join: &[JoinPlace]) {
    const ID: &str = "gossip.join";
    let works =
        |place: &JoinPlace| place.result.as_ref().is_ok_and(|tried| tried.iter().any(|(_, tcp)| *tcp == Tcp::Open));
    let level = if join.iter().any(works) { super::Level::Warn } else { super::Level::Error };
    for place in join {
        let name = &place.place;
        match &place.result {
            _ if works(place) => findings.pass(ID, name),
            Err(reason) => {
                let message = format!("cannot resolve '{name}' to join: {reason}");
                findings.add(level, ID, name, message, "use an address in gossip.join");
            }
            Ok(tried) => {
                let refused = tried.iter().find(|(_, tcp)| *tcp == Tcp::Refused);
                match (refused, tried.first()) {
                    (Some((addr, _)), _) => {
                        let message = format!("nothing listens on {addr}, which gossip.join names");
                        findings.add(level, ID, name, message, "start weir there, or correct the port");
                    }
                    (None, Some((addr, tcp))) => {
                        let message = format!("{addr}/tcp, which gossip.join names, does not answer ({})", words(tcp));
                        let port = addr.port();
                        let way_out = format!("open {port} TCP and UDP there ({})", open_port(port));
                        findings.add(level, ID, name, message, &way_out);
                    }
                    (None, None) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    fn member(standing: Standing, tcp: Tcp, udp: Udp) -> Gossip {
        let addr = "10.77.0.13:7946".parse().unwrap();
        Gossip { members: vec![Member { name: "web2".into(), addr, standing, tcp, udp }], ..Gossip::default() }
    }

    #[test]
    fn what_a_members_answers_mean() {
        use Standing::{Alive, Failed, Remembered};
        use Udp::{Answered, Silent as Mute, Unchecked};
        let none: &[&str] = &[];
        for (standing, tcp, udp, found, passed) in [
            (Alive, Tcp::Open, Answered, none, 2),
            (Alive, Tcp::Open, Unchecked, none, 1),
            (Alive, Tcp::Open, Mute, &["error gossip.udp web2"], 1),
            (Alive, Tcp::Silent, Answered, &["error gossip.tcp web2"], 1),
            (Alive, Tcp::Refused, Answered, &["error gossip.tcp web2"], 1),
            (Alive, Tcp::Silent, Mute, &["error gossip.member web2"], 0),
            (Alive, Tcp::Refused, Unchecked, &["error gossip.member web2"], 0),
            (Failed, Tcp::Silent, Mute, &["warn gossip.member web2"], 0),
            (Failed, Tcp::Refused, Mute, &["warn gossip.member web2"], 0),
            (Failed, Tcp::Failed("no route to host".into()), Mute, &["warn gossip.member web2"], 0),
            (Failed, Tcp::Open, Mute, &["error gossip.udp web2"], 1),
            (Failed, Tcp::Open, Answered, &["info gossip.member web2"], 0),
            (Remembered, Tcp::Open, Answered, none, 2),
            (Remembered, Tcp::Open, Mute, &["error gossip.udp web2"], 1),
            (Remembered, Tcp::Refused, Mute, &["warn gossip.member web2"], 0),
        ] {
            let findings = gossip(&member(standing, tcp.clone(), udp));
            assert_eq!(
                (summary(&findings), findings.passed()),
                (found.iter().map(ToString::to_string).collect(), passed),
                "{standing:?} {tcp:?} {udp:?}"
            );
        }
    }

    #[test]
    fn a_firewall_for_udp_is_named_as_in_the_transcript() {
        let findings = gossip(&member(Standing::Alive, Tcp::Open, Udp::Silent));
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.message, "web2: TCP 7946 answers, UDP 7946 does not");
        let way_out = "open UDP 7946 to and from 10.77.0.13 ('firewall-cmd --permanent --add-port=7946/tcp \
                       --add-port=7946/udp' and 'firewall-cmd --reload', or 'ufw allow 7946')";
        assert_eq!(finding.remedy.as_deref(), Some(way_out));
        let by_hand = gossip(&Gossip { by_hand: true, ..member(Standing::Alive, Tcp::Open, Udp::Silent) });
        assert!(by_hand.iter().next().unwrap().message.ends_with("or this keyring lacks its key"));
    }

    #[test]
    fn one_address_that_answers_is_enough_to_join() {
        let addr: SocketAddr = "10.77.0.11:7946".parse().unwrap();
        let place = |name: &str, result| JoinPlace { place: name.to_owned(), result };
        let open = || place("a", Ok(vec![(addr, Tcp::Refused), (addr, Tcp::Open)]));
        let dead = || place("b", Ok(vec![(addr, Tcp::Silent)]));
        let unknown = || place("c", Err("name not known".to_owned()));
        let found = |join| summary(&gossip(&Gossip { join, ..Gossip::default() }));
        assert!(found(vec![open()]).is_empty());
        assert_eq!(found(vec![open(), dead(), unknown()]), ["warn gossip.join b", "warn gossip.join c"]);
        assert_eq!(found(vec![dead(), unknown()]), ["error gossip.join b", "error gossip.join c"]);
    }

    #[test]
    fn the_agents_own_reason_counts_more_than_an_open_port() {
        let addr: SocketAddr = "10.77.0.11:7946".parse().unwrap();
        let join = vec![JoinPlace { place: "a".into(), result: Ok(vec![(addr, Tcp::Open)]) }];
        let what = "10.77.0.11 hung up without an answer: it probably lacks our key 3fa9c1d2";
        let join_failures = vec![Trouble::new(what, "compare 'weir keys list'")];
        let findings = gossip(&Gossip { join, join_failures, ..Gossip::default() });
        let finding = findings.iter().next().unwrap();
        assert_eq!((finding.id, finding.level), ("gossip.join", super::super::Level::Error));
        assert!(finding.message.ends_with("it probably lacks our key 3fa9c1d2"));
        assert_eq!(finding.remedy.as_deref(), Some("compare 'weir keys list'"));
    }

    #[test]
    fn a_name_cannot_bring_a_command_along() {
        let mut facts = member(Standing::Failed, Tcp::Refused, Udp::Silent);
        facts.members[0].name = "$(reboot)".to_owned();
        let findings = gossip(&facts);
        let way_out = findings.iter().next().unwrap().remedy.clone().unwrap();
        assert!(way_out.ends_with("weir force-leave '$(reboot)'"), "{way_out}");
    }

    #[test]
    fn what_was_not_tried_is_said_once() {
        let no_pings = Some(Trouble::new("the keyring may not be read", "sudo weir doctor"));
        let facts = Gossip { no_pings, untried: 3, ..member(Standing::Alive, Tcp::Open, Udp::Unchecked) };
        assert_eq!(summary(&gossip(&facts)), ["skip gossip.members members", "skip gossip.udp members"]);
    }
}
