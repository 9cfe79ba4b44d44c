//! What the running agent itself wants looked at, as far as no check of doctor's own has found it.

use super::Level;
use super::finding::{Findings, Group};
use crate::status::node::{Attention, Document, Kind};

/// Where attention of one kind belongs, and what says the same.
struct Place {
    group: Group,
    id: &'static str,
    /// Findings that tell of it already.
    told_by: &'static [&'static str],
    /// Only where both are about the same.
    same_subject: bool,
}

/// What keeps this node from all others tells why it is alone.
const ALONE: [&str; 7] =
    ["gossip.join", "gossip.name", "gossip.link", "gossip.family", "gossip.address", "gossip.host", "gossip.key"];

const fn place(group: Group, id: &'static str, told_by: &'static [&'static str]) -> Place {
    Place { group, id, told_by, same_subject: false }
}

/// Where each thing has a finding of its own.
const fn each(group: Group, id: &'static str, told_by: &'static [&'static str]) -> Place {
    Place { same_subject: true, ..place(group, id, told_by) }
}

const fn place_of(kind: Kind) -> Place {
    match kind {
        Kind::NginxDown => place(Group::Nginx, "nginx.running", &["nginx.running", "nginx.installed"]),
        Kind::NotConfirmed => place(Group::Agent, "agent.apply", &["agent.apply"]),
        Kind::HelperMissing => place(Group::Agent, "agent.apply", &["agent.apply", "nginx.helper"]),
        Kind::ApplyRefused => each(Group::Agent, "agent.apply", &["agent.apply"]),
        Kind::ApplySlow => place(Group::Agent, "agent.slow", &["agent.slow"]),
        Kind::Panic | Kind::Empty => each(Group::Nginx, "nginx.servers", &["nginx.servers"]),
        Kind::NameConflict => place(Group::Agent, "agent.name", &["agent.name"]),
        Kind::Alone => place(Group::Gossip, "gossip.join", &ALONE),
        Kind::AddressGone => place(Group::Gossip, "gossip.address", &ALONE),
        Kind::Isolated => place(Group::Gossip, "gossip.heard", &ALONE),
        Kind::Drained => place(Group::Agent, "agent.drain", &["agent.drain"]),
        Kind::Check => each(Group::Checks, "checks.state", &["checks.state", "checks.ttl"]),
        Kind::Held => each(Group::Nginx, "nginx.held", &["nginx.held"]),
        Kind::ForeignEdit => each(Group::Nginx, "nginx.foreign", &["nginx.foreign", "agent.apply"]),
        Kind::Orphan => each(Group::Nginx, "nginx.orphan", &["nginx.orphan"]),
        Kind::Flapping => each(Group::Nginx, "nginx.flapping", &["nginx.flapping"]),
        Kind::Probe => each(Group::Nginx, "nginx.probe", &["nginx.probe"]),
        Kind::AgentLost => each(Group::Nginx, "nginx.agent_lost", &["nginx.agent_lost"]),
        Kind::Template => each(Group::Agent, "agent.template", &["agent.template"]),
        Kind::Keys => each(
            Group::Keys,
            "keys.agent",
            &["keys.worn", "keys.unknown", "keys.agreement", "gossip.join", "gossip.key"],
        ),
        Kind::Snapshot => place(Group::Files, "files.snapshot", &["files.snapshot", "files.directory", "files.space"]),
        Kind::Config => place(Group::Config, "config.running", &["config.running", "config.file"]),
        Kind::Handlers => each(Group::Handlers, "handlers.run", &["handlers.program"]),
    }
}

/// Adds what `findings` do not tell, as far as its group is wanted.
pub fn attention(findings: &mut Findings, document: &Document, wanted: impl Fn(Group) -> bool) {
    for attention in &document.attention {
        let Some(&kind) = attention.kind.word() else { continue };
        let place = place_of(kind);
        if wanted(place.group) && !is_told(findings, &place, attention) {
            let Attention { subject, message, remedy, .. } = attention;
            findings.add(kind.level(), place.id, subject, message, remedy.as_deref().unwrap_or_default());
        }
    }
}

fn is_told(findings: &Findings, place: &Place, attention: &Attention) -> bool {
    findings.iter().any(|finding| {
        matches!(finding.level, Level::Error | Level::Warn)
            && place.told_by.contains(&finding.id)
            && (!place.same_subject || finding.subject == attention.subject)
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    fn one(kind: Kind, subject: &str) -> Document {
        let attention = Attention {
            level: kind.level().into(),
            kind: kind.into(),
            subject: subject.to_owned(),
            message: "it is so".to_owned(),
            remedy: Some("mend it".to_owned()),
            since: None,
        };
        Document { attention: vec![attention], ..Document::default() }
    }

    fn told(before: &[(Level, &'static str, &str)], document: &Document) -> Vec<String> {
        let mut findings = Findings::default();
        before.iter().for_each(|(level, id, subject)| findings.add(*level, id, subject, "", ""));
        attention(&mut findings, document, |group| group != Group::Nginx);
        summary(&findings)[before.len()..].to_vec()
    }

    #[test]
    fn what_the_agent_tells_and_no_check_has_found_is_a_finding_with_its_way_out() {
        for (kind, subject, finding) in [
            (Kind::Template, "haproxy", "warn agent.template haproxy"),
            (Kind::Handlers, "deploy", "warn handlers.run deploy"),
            (Kind::ApplySlow, "nginx", "warn agent.slow nginx"),
            (Kind::NotConfirmed, "nginx", "error agent.apply nginx"),
            (Kind::Keys, "keyring", "warn keys.agent keyring"),
        ] {
            assert_eq!(told(&[], &one(kind, subject)), [finding]);
        }
        let mut findings = Findings::default();
        attention(&mut findings, &one(Kind::Orphan, "/etc/nginx/conf.d/weir-db.conf"), |_| true);
        let finding = findings.iter().next().unwrap();
        assert_eq!((finding.id, finding.message.as_str()), ("nginx.orphan", "it is so"));
        assert_eq!(finding.remedy.as_deref(), Some("mend it"));
    }

    #[test]
    fn nothing_is_told_twice_or_unasked() {
        use Level::{Error, Info, Warn};
        let none: &[&str] = &[];
        assert_eq!(told(&[(Error, "handlers.program", "deploy")], &one(Kind::Handlers, "deploy")), none);
        assert_eq!(told(&[(Error, "handlers.program", "other")], &one(Kind::Handlers, "deploy")).len(), 1);
        assert_eq!(told(&[(Warn, "files.space", "/var/lib/weir")], &one(Kind::Snapshot, "/x")), none);
        assert_eq!(told(&[(Error, "gossip.link", "eth0")], &one(Kind::Alone, "lb1")), none);
        assert_eq!(told(&[(Info, "checks.state", "site")], &one(Kind::Check, "site")).len(), 1);
        assert_eq!(told(&[], &one(Kind::Orphan, "/x")), none, "that group is not wanted");
    }
}
