//! Health: what this node's checks say, and what its members say of theirs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::health::{State, query};
use crate::known::Known;

/// How well this node and the members that are alive are, by their own word, or by what a balancer heard when it asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Health {
    /// Of this node; `none` without checks.
    pub own: Known<State>,
    /// Of how many members this is known, ourselves included.
    pub passing: usize,
    pub warning: usize,
    pub critical: usize,
    /// They have answered before and do not any more.
    pub silent: usize,
    /// Their checks have said nothing yet.
    pub wait: usize,
    /// They have no checks, or do not say.
    pub none: usize,
}

impl Health {
    /// One more member that is alive.
    pub fn count(&mut self, check: query::Check) {
        *match check {
            query::Check::Passing => &mut self.passing,
            query::Check::Warning => &mut self.warning,
            query::Check::Critical => &mut self.critical,
            query::Check::Silent => &mut self.silent,
            query::Check::Wait => &mut self.wait,
            query::Check::None => &mut self.none,
        } += 1;
    }
}

/// One check of this node.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Check {
    pub name: String,
    pub kind: Known<CheckKind>,
    /// What is looked at: `GET http://127.0.0.1:80/`, a command, a unit.
    pub target: String,
    pub state: Known<State>,
    pub since: Option<String>,
    /// For how long it has been in that state.
    pub for_s: u64,
    /// The last result, which need not have changed the state.
    pub result: Option<Known<State>>,
    /// When it came.
    pub at: Option<String>,
    /// Of one that has a ttl: when somebody said last how it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_at: Option<String>,
    /// How many like it came in a row.
    pub in_a_row: u32,
    /// `None` if nothing was run for it.
    pub took_ms: Option<u64>,
    /// As it came, 4 KiB at most: escape it before a terminal sees it.
    pub output: String,
}

impl Check {
    /// The first line of what it found last, where it found anything.
    pub fn reason(&self) -> Option<&str> {
        self.output.lines().map(str::trim).find(|line| !line.is_empty())
    }
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// A service is asked over HTTP, with or without TLS.
    Http,
    /// A port takes a connection.
    Tcp,
    /// A program says it by its exit status.
    #[default]
    Exec,
    /// Somebody says it, again and again.
    Ttl,
    /// A unit of systemd.
    Systemd,
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Exec => "exec",
            Self::Ttl => "ttl",
            Self::Systemd => "systemd",
        })
    }
}
