//! What follows from something else that was found: the cause is told, and what it brings along is not told again.

use super::Level;
use super::finding::Finding;

/// What keeps an agent from starting.
const NO_START: [&str; 8] = [
    "files.config",
    "files.keyring",
    "keys.ring",
    "ports.gossip",
    "ports.rpc",
    "ports.address",
    "gossip.link",
    RESTARTS,
];
/// Its way out starts the agent anyway.
const RESTARTS: &str = "gossip.family";
/// What keeps this host from all others.
const NO_ONE: [&str; 7] =
    ["agent.name", "gossip.name", "gossip.link", "gossip.family", "gossip.address", "gossip.host", "gossip.key"];
/// What keeps it from one of them, or from all where it is about `members`.
const NOT_ONE: [&str; 3] = ["gossip.udp", "gossip.member", "gossip.tcp"];

/// Findings of one kind that others explain.
struct Rule {
    causes: &'static [&'static str],
    effect: &'static str,
    level: Level,
    /// Only where both are about the same.
    same_subject: bool,
}

const fn rule(causes: &'static [&'static str], effect: &'static str, level: Level) -> Rule {
    Rule { causes, effect, level, same_subject: false }
}

const RULES: [Rule; 15] = [
    rule(&["files.keyring"], "keys.ring", Level::Error),
    rule(&["files.keyring", "keys.ring"], "gossip.udp", Level::Skip),
    rule(&["agent.name"], "gossip.name", Level::Error),
    rule(&["gossip.link", "gossip.address", "gossip.family"], "ports.address", Level::Error),
    rule(&["gossip.link"], "ports.gossip", Level::Error),
    rule(&["ports.gossip"], "gossip.address", Level::Error),
    rule(&["gossip.key"], "keys.agreement", Level::Error),
    rule(&NO_ONE, "keys.agreement", Level::Warn),
    rule(&NO_ONE, "keys.agreement", Level::Skip),
    Rule { causes: &NOT_ONE, effect: "keys.agreement", level: Level::Warn, same_subject: true },
    Rule { causes: &["gossip.key"], effect: "gossip.join", level: Level::Error, same_subject: true },
    Rule { causes: &["gossip.join", "gossip.key"], effect: "keys.unknown", level: Level::Warn, same_subject: true },
    rule(&NO_ONE, "agent.overload", Level::Warn),
    rule(&NOT_ONE, "agent.overload", Level::Warn),
    rule(&["files.output", "nginx.installed", "nginx.running", "nginx.test"], "agent.apply", Level::Error),
];

/// Takes out what others explain.
pub(super) fn settle(findings: &mut Vec<Finding>) {
    for Rule { causes, effect, level, same_subject } in &RULES {
        let causes: Vec<String> = troubles(findings, causes).map(|finding| finding.subject.clone()).collect();
        let follows = |finding: &Finding| {
            let explained = causes.iter().any(|subject| !same_subject || *subject == finding.subject);
            finding.id == *effect && finding.level == *level && explained
        };
        findings.retain(|finding| !follows(finding));
    }
    start_afterwards(findings);
}

fn troubles<'a>(findings: &'a [Finding], ids: &[&str]) -> impl Iterator<Item = &'a Finding> {
    findings.iter().filter(|finding| ids.contains(&finding.id) && matches!(finding.level, Level::Error | Level::Warn))
}

/// That no agent runs follows from what keeps it from starting; to start it is the last step of that way out.
fn start_afterwards(findings: &mut Vec<Finding>) {
    let is_effect = |finding: &Finding| finding.id == "agent.running" && finding.level == Level::Warn;
    let is_cause = |finding: &Finding| NO_START.contains(&finding.id) && finding.level == Level::Error;
    if !findings.iter().any(is_effect) || !findings.iter().any(is_cause) {
        return;
    }
    findings.retain(|finding| !is_effect(finding));
    let last = findings.iter_mut().rfind(|finding| is_cause(finding) && finding.id != RESTARTS);
    if let Some(remedy) = last.and_then(|finding| finding.remedy.as_mut()) {
        remedy.push_str(", then 'systemctl start weir'");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Findings, summary};
    use super::*;

    type Found<'a> = (Level, &'static str, &'a str);

    fn settled(found: &[Found<'_>]) -> Vec<String> {
        let mut findings = Findings::default();
        for (level, id, subject) in found {
            findings.add(*level, id, subject, "it is so", "mend it");
        }
        settle(&mut findings.list);
        summary(&findings)
    }

    #[test]
    fn causes_are_told_and_their_consequences_not_again() {
        use Level::{Error, Info, Skip, Warn};
        let absent = (Warn, "agent.running", "weir");
        let rows: [(&[Found<'_>], &[&str]); 14] = [
            (&[absent], &["warn agent.running weir"]),
            (
                &[
                    absent,
                    (Error, "files.keyring", "/k"),
                    (Error, "keys.ring", "keyring"),
                    (Skip, "gossip.udp", "members"),
                ],
                &["error files.keyring /k"],
            ),
            // Whoever hangs does not do so because of a file.
            (
                &[(Error, "agent.running", "weir"), (Error, "files.keyring", "/k")],
                &["error agent.running weir", "error files.keyring /k"],
            ),
            (&[absent, (Error, "ports.address", "a"), (Error, "gossip.link", "eth0")], &["error gossip.link eth0"]),
            (&[absent, (Error, "ports.address", "a"), (Error, "gossip.family", "b")], &["error gossip.family b"]),
            (
                &[absent, (Error, "ports.address", "a"), (Error, "gossip.address", "eth0")],
                &["warn agent.running weir", "error gossip.address eth0"],
            ),
            (&[(Error, "agent.name", "lb1"), (Error, "gossip.name", "name")], &["error agent.name lb1"]),
            (
                &[(Warn, "agent.overload", "lb1"), (Error, "gossip.host", "members"), (Warn, "keys.agreement", "web1")],
                &["error gossip.host members"],
            ),
            (
                &[(Error, "gossip.udp", "web1"), (Warn, "keys.agreement", "web1"), (Warn, "keys.agreement", "web2")],
                &["error gossip.udp web1", "warn keys.agreement web2"],
            ),
            (
                &[
                    (Error, "gossip.join", "10.0.0.1"),
                    (Warn, "keys.unknown", "10.0.0.1"),
                    (Warn, "keys.unknown", "10.0.0.2"),
                ],
                &["error gossip.join 10.0.0.1", "warn keys.unknown 10.0.0.2"],
            ),
            (
                &[
                    (Error, "gossip.key", "10.0.0.1"),
                    (Error, "gossip.join", "10.0.0.1"),
                    (Error, "gossip.join", "join"),
                    (Warn, "keys.unknown", "10.0.0.1"),
                ],
                &["error gossip.key 10.0.0.1", "error gossip.join join"],
            ),
            // Worse than silence.
            (
                &[(Error, "gossip.udp", "web1"), (Error, "keys.agreement", "web1")],
                &["error gossip.udp web1", "error keys.agreement web1"],
            ),
            (
                &[(Info, "gossip.member", "web1"), (Warn, "agent.overload", "lb1")],
                &["info gossip.member web1", "warn agent.overload lb1"],
            ),
            (&[(Error, "agent.apply", "nginx"), (Error, "files.output", "/d")], &["error files.output /d"]),
        ];
        for (found, told) in rows {
            assert_eq!(settled(found), told, "{found:?}");
        }
    }

    #[test]
    fn to_start_the_agent_is_the_last_step_of_what_kept_it() {
        let mut findings = Findings::default();
        findings.warn("agent.running", "weir", "no agent, for weir.service failed", "'journalctl -u weir' says why");
        findings.error("files.config", "/c", "weir cannot read it", "chmod 640 /c");
        findings.error("files.keyring", "/k", "weir cannot read it", "chown weir: /k");
        settle(&mut findings.list);
        let remedies: Vec<_> = findings.iter().map(|finding| finding.remedy.clone().unwrap()).collect();
        assert_eq!(remedies, ["chmod 640 /c", "chown weir: /k, then 'systemctl start weir'"]);
    }
}
