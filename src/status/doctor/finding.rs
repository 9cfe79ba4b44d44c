//! What a check found.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::status::Level;

/// What belongs together; the first part of every identifier.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Group {
    Config,
    Agent,
    Files,
    Clock,
    Ports,
    Gossip,
    Keys,
    Nginx,
    Checks,
    Handlers,
}

impl Group {
    /// In the order of the report.
    pub const ALL: [Self; 10] = [
        Self::Config,
        Self::Agent,
        Self::Files,
        Self::Clock,
        Self::Ports,
        Self::Gossip,
        Self::Keys,
        Self::Nginx,
        Self::Checks,
        Self::Handlers,
    ];

    /// As `--only` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Agent => "agent",
            Self::Files => "files",
            Self::Clock => "clock",
            Self::Ports => "ports",
            Self::Gossip => "gossip",
            Self::Keys => "keys",
            Self::Nginx => "nginx",
            Self::Checks => "checks",
            Self::Handlers => "handlers",
        }
    }
}

/// One thing that was found. Texts may hold peers' words: escape them before a terminal sees them.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct Finding {
    /// Stable, `gossip.udp`.
    pub id: &'static str,
    pub level: Level,
    /// What it is about: a member, a file, a key.
    pub subject: String,
    /// A sentence that names the subject.
    pub message: String,
    /// The way out.
    pub remedy: Option<String>,
}

/// All that was found, and how many checks found nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    pub(super) list: Vec<Finding>,
    passed: BTreeSet<(&'static str, String)>,
}

impl Findings {
    /// A check found nothing. The same one counts once.
    pub fn pass(&mut self, id: &'static str, subject: impl Into<String>) {
        self.passed.insert((id, subject.into()));
    }

    /// Something does not work.
    pub fn error(&mut self, id: &'static str, subject: impl ToString, message: impl Into<String>, remedy: &str) {
        self.add(Level::Error, id, subject, message, remedy);
    }

    /// Something will cause trouble.
    pub fn warn(&mut self, id: &'static str, subject: impl ToString, message: impl Into<String>, remedy: &str) {
        self.add(Level::Warn, id, subject, message, remedy);
    }

    /// Something is worth knowing.
    pub fn info(&mut self, id: &'static str, subject: impl ToString, message: impl Into<String>, remedy: &str) {
        self.add(Level::Info, id, subject, message, remedy);
    }

    /// Something could not be checked.
    pub fn skip(&mut self, id: &'static str, subject: impl ToString, message: impl Into<String>, remedy: &str) {
        self.add(Level::Skip, id, subject, message, remedy);
    }

    /// An empty remedy is none.
    pub fn add(
        &mut self,
        level: Level,
        id: &'static str,
        subject: impl ToString,
        message: impl Into<String>,
        remedy: &str,
    ) {
        let remedy = Some(remedy.to_owned()).filter(|remedy| !remedy.is_empty());
        self.list.push(Finding { id, level, subject: subject.to_string(), message: message.into(), remedy });
    }

    /// Takes over what another group found.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
        self.passed.extend(other.passed);
    }

    /// Checks that found nothing.
    pub fn passed(&self) -> usize {
        self.passed.len()
    }

    /// Whether there was nothing to look at: no check found anything, well or ill.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.passed.is_empty()
    }

    /// What was found, in the order of the checks.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.list.iter()
    }
}

/// For tests: what was found as `LEVEL ID SUBJECT`, sorted.
#[cfg(test)]
pub(super) fn summary(findings: &Findings) -> Vec<String> {
    let line = |finding: &Finding| format!("{} {} {}", finding.level.as_str(), finding.id, finding.subject);
    findings.iter().map(line).collect()
}
