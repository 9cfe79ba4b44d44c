//! Whether members can be reached, both ways that gossip needs (`ux §4` rows 9 to 12). What this host itself lacks comes first:
//! where all are silent at once, none of them is to blame.

mod own;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::finding::Findings;
use super::{Level, Trouble};
use crate::status::node::Apart;
use crate::status::shell::{open_port, operand, start_there};
pub use own::{Advertised, Link, Own};

/// Members that one finding names.
const MAX_SHOWN: usize = 8;

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

/// A key of this host's ring that members answer, which do not answer what it seals with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OtherKey {
    /// What it seals with.
    pub primary: String,
    /// What they answer.
    pub key: String,
    pub members: Vec<String>,
}

/// A member that is heard and not understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Undecipherable {
    pub addr: SocketAddr,
    /// What that means.
    pub trouble: Trouble,
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
    /// Who has another key while others are there.
    pub apart: Vec<Apart>,
    /// Members that take connections, answer no ping and seal with a key that is not ours.
    pub undecipherable: Vec<Undecipherable>,
    /// Why pings were not possible, and the way to have them.
    pub no_pings: Option<Trouble>,
    /// The pings were doctor's own: then a missing answer may mean another key.
    pub by_hand: bool,
    /// Why members that take connections do not answer pings, where that is the key.
    pub other_key: Option<OtherKey>,
    /// What all of it goes through.
    pub own: Own,
}

impl Gossip {
    /// Whether anybody is heard of, be it by a refusal.
    fn is_answered(&self) -> bool {
        let joined = self.join.iter().filter_map(|place| place.result.as_ref().ok()).flatten();
        let heard = |tcp: &Tcp| matches!(tcp, Tcp::Open | Tcp::Refused);
        let answers = |member: &Member| heard(&member.tcp) || member.udp == Udp::Answered;
        self.members.iter().any(answers) || joined.into_iter().any(|(_, tcp)| heard(tcp))
    }

    /// Whether its silence over UDP is that of keys: it is heard with another one, or others are and nobody answers.
    fn is_undecipherable(&self, member: &Member) -> bool {
        let is_silent = |member: &Member| member.tcp == Tcp::Open && member.udp == Udp::Silent;
        let is_heard = |member: &Member| self.undecipherable.iter().any(|heard| heard.addr.ip() == member.addr.ip());
        let nobody_answers = || self.members.iter().all(|member| member.udp != Udp::Answered);
        is_silent(member) && (is_heard(member) || !self.undecipherable.is_empty() && nobody_answers())
    }

    /// Whether somebody who is present has the same address.
    fn shares_address(&self, member: &Member) -> bool {
        let is_alive = |member: &Member| member.standing == Standing::Alive;
        let is_other = |other: &&Member| other.name != member.name && other.addr == member.addr;
        let is_own = self.own.advertised.as_ref().is_some_and(|own| own.present && own.addr == member.addr);
        is_own || self.members.iter().filter(is_other).any(|other| is_alive(other) || is_alive(member))
    }

    /// How all members are silent, where there are several and all are in the same way.
    fn common_silence(&self) -> Option<Silence> {
        let all = |how: fn(&Member) -> bool| self.members.len() > 1 && self.members.iter().all(how);
        let reachable = |member: &Member| self.own.gap(member.addr.ip()).is_none();
        if self.other_key.is_some() || !self.undecipherable.is_empty() || !self.members.iter().any(reachable) {
            None
        } else if all(|member| member.tcp == Tcp::Open && member.udp == Udp::Silent) {
            Some(Silence::Udp)
        } else if all(|member| matches!(member.tcp, Tcp::Silent | Tcp::Failed(_)) && member.udp != Udp::Answered) {
            Some(Silence::Both)
        } else {
            None
        }
    }
}

/// What nobody answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Silence {
    Udp,
    Both,
}

/// Judges it.
pub fn gossip(facts: &Gossip) -> Findings {
    let mut findings = Findings::default();
    let own = &facts.own;
    if let Some(Trouble { what, way_out }) = &own.silenced {
        // It asks nobody, so that nobody answers means nothing.
        findings.error("gossip.name", "name", what, way_out);
        return findings;
    }
    let answered = facts.is_answered();
    let cause = own.cause(answered);
    if let Some(cause) = &cause {
        own.tell(&mut findings, cause);
        if !answered {
            return findings; // everything else follows from it
        }
    }
    let others = facts.members.iter().any(|m| m.standing == Standing::Alive && m.udp == Udp::Answered);
    let lacks_key =
        |member: &Member| facts.other_key.as_ref().is_some_and(|other| other.members.contains(&member.name));
    // Of those that do not answer it is known why.
    let judged = |member: &&Member| {
        (cause.is_none() || member.udp == Udp::Answered)
            && !lacks_key(member)
            && !facts.is_undecipherable(member)
            && (member.udp == Udp::Answered || !facts.shares_address(member))
    };
    match facts.common_silence().filter(|_| cause.is_none()) {
        Some(silence) => judge_silence(&mut findings, facts, silence),
        None => facts.members.iter().filter(judged).for_each(|member| judge(&mut findings, member, facts, others)),
    }
    for Undecipherable { addr, trouble: Trouble { what, way_out } } in &facts.undecipherable {
        findings.error("gossip.key", addr.ip(), what, way_out);
    }
    judge_addresses(&mut findings, facts);
    if let Some(other_key) = &facts.other_key {
        judge_key(&mut findings, other_key);
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
    for Apart { addr, trouble: Trouble { what, way_out } } in &facts.apart {
        findings.error("gossip.join", addr.ip(), what, way_out);
    }
    if facts.join_failures.is_empty() {
        judge_join(&mut findings, facts);
    }
    findings
}

/// Members of one address, one of which is not where it says. That this node is the one shows by itself.
fn judge_addresses(findings: &mut Findings, facts: &Gossip) {
    let mut at: BTreeMap<SocketAddr, Vec<&str>> = BTreeMap::new();
    if let Some(own) = facts.own.advertised.as_ref().filter(|advertised| advertised.present) {
        at.entry(own.addr).or_default().push("this node");
    }
    for member in facts.members.iter().filter(|member| facts.shares_address(member)) {
        at.entry(member.addr).or_default().push(&member.name);
    }
    for (addr, names) in at.into_iter().filter(|(_, names)| names.len() > 1) {
        let who = names[..names.len().min(MAX_SHOWN)].join(" and ");
        let message = format!("{who} say that they are at {addr}: only one of them can be");
        let way_out = "see 'weir doctor' on each: the one whose host has not that address needs a correct gossip.advertise; one \
                       that is gone for good needs 'weir force-leave'";
        findings.error("gossip.same_address", addr, message, way_out);
    }
}

/// Who hears nothing of this host for want of its key is behind no firewall.
fn judge_key(findings: &mut Findings, OtherKey { primary, key, members }: &OtherKey) {
    let who = members[..members.len().min(MAX_SHOWN)].join(", ");
    let more = if members.len() > MAX_SHOWN { " and more" } else { "" };
    let (answer, lack) = if members.len() == 1 { ("answers", "it lacks") } else { ("answer", "they lack") };
    let message = format!(
        "{who}{more} {answer} what is sealed with key {key} alone: {lack} {primary}, which this host seals with"
    );
    let way_out = "'weir keys export' on one of the others, 'weir keys import' here";
    findings.error("gossip.key", "members", message, way_out);
}

/// All at once: it is this host, or what all have in common.
fn judge_silence(findings: &mut Findings, facts: &Gossip, silence: Silence) {
    let (count, port) = (facts.members.len(), facts.members[0].addr.port());
    let doubt = if facts.by_hand { ", or this keyring lacks their key" } else { "" };
    let open = |what: &str| {
        let out = format!("and 'ufw allow out {port}'");
        format!("open {what} {port} on this host, in and out ({} {out})", open_port(port))
    };
    match silence {
        Silence::Udp => {
            for member in &facts.members {
                findings.pass("gossip.tcp", &member.name);
            }
            let message = format!(
                "all {count} members take connections on TCP {port} and none answers over UDP {port}: it is this host{doubt}"
            );
            findings.error("gossip.udp", "members", message, &open("UDP"));
        }
        Silence::Both => {
            let hears = if facts.own.hears { "; it hears them, so what it sends is lost" } else { "" };
            let message =
                format!("none of {count} members answers, over TCP or UDP: it is this host or its network{hears}");
            let way_out = format!("see 'ip route' and 'nft list ruleset', and {}", open("TCP and UDP"));
            let remembered = facts.members.iter().all(|member| member.standing == Standing::Remembered);
            let level = if remembered { Level::Warn } else { Level::Error };
            findings.add(level, "gossip.host", "members", message, &way_out);
        }
    }
}

/// The table of one member. `others`: somebody else answers, so that whoever counts as alive is reached by others.
fn judge(findings: &mut Findings, member: &Member, facts: &Gossip, others: bool) {
    const TCP: &str = "gossip.tcp";
    const UDP: &str = "gossip.udp";
    const MEMBER: &str = "gossip.member";
    let Member { name, addr, standing, tcp, udp } = member;
    let (ip, port) = (addr.ip(), addr.port());
    // Which of the two has the firewall cannot be told from here.
    let open = |what: &str| format!("open {what} {port} to and from {ip} ({}), here and there", open_port(port));
    let gap = facts.own.gap(ip).filter(|_| *udp != Udp::Answered);
    let ways = if *udp == Udp::Silent { "TCP or UDP" } else { "TCP" };
    if let Some(gap) = gap.filter(|_| *tcp != Tcp::Refused) {
        return gap.tell(findings, level(*standing), name, ip);
    }
    match (tcp, udp) {
        (Tcp::Open, Udp::Silent) if facts.own.gap_back(ip).is_some() => {
            findings.pass(TCP, name);
            facts.own.gap_back(ip).into_iter().for_each(|gap| gap.tell(findings, Level::Error, name, ip));
        }
        (Tcp::Open, Udp::Silent) => {
            let doubt = if facts.by_hand { ", or this keyring lacks its key" } else { "" };
            let message = format!(
                "{name}: TCP {port} takes connections, UDP {port} does not answer: it is blocked, or the agent there hangs{doubt}"
            );
            findings.pass(TCP, name);
            findings.error(
                UDP,
                name,
                message,
                &format!("{}; 'weir status' there shows whether it answers", open("UDP")),
            );
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
            let way_out =
                format!("'systemctl start weir' there; if {name} is gone for good: weir force-leave {}", operand(name));
            findings.add(level(*standing), MEMBER, name, message, &way_out);
        }
        (Tcp::Silent | Tcp::Failed(_), _) if *standing == Standing::Alive && others => {
            let message = format!("{name} is alive for others, and nothing comes from {addr} to this host, {ways}");
            findings.error(MEMBER, name, message, &open("TCP and UDP"));
        }
        (Tcp::Silent | Tcp::Failed(_), _) => {
            let message = format!("{name}{}: nothing answers on {addr}, {ways} ({})", words_of(*standing), words(tcp));
            let way_out = format!("see whether the host is up, and {}", open("TCP and UDP"));
            findings.add(level(*standing), MEMBER, name, message, &way_out);
        }
    }
}

const fn level(standing: Standing) -> Level {
    match standing {
        Standing::Alive => Level::Error,
        Standing::Failed | Standing::Remembered => Level::Warn,
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
fn judge_join(findings: &mut Findings, facts: &Gossip) {
    const ID: &str = "gossip.join";
    let join = &facts.join;
    let works =
        |place: &JoinPlace| place.result.as_ref().is_ok_and(|tried| tried.iter().any(|(_, tcp)| *tcp == Tcp::Open));
    let level = if join.iter().any(works) { Level::Warn } else { Level::Error };
    let gap = |addr: &SocketAddr| facts.own.gap(addr.ip());
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
                    (None, Some((addr, _))) if gap(addr).is_some() => {
                        gap(addr).into_iter().for_each(|gap| gap.tell(findings, level, name, addr.ip()));
                    }
                    (Some((addr, _)), _) => {
                        let message = format!("nothing listens on {addr}, which gossip.join names");
                        findings.add(level, ID, name, message, start_there(*addr));
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
mod tests;
