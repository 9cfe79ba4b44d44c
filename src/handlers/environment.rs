//! The variables a handler script finds (`handlers §3`): Serf's names, and the same values under ours.

use crate::serf::Event;
use crate::wire::NodeName;
use crate::wire::serf::Tags;

const PREFIXES: [&str; 2] = ["SERF", "WEIR"];

/// The node a handler runs on, at the time of the event.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// Our name.
    pub name: &'a NodeName,
    /// Our tags.
    pub tags: &'a Tags,
}

/// Names and values, sorted, for one run. Values are as peers sent them; a NUL byte in one makes a start impossible.
pub fn environment(event: &Event, local: Local<'_>) -> Vec<(String, String)> {
    let mut plain = vec![
        ("EVENT".to_owned(), kind(event).to_owned()),
        ("SELF_NAME".to_owned(), local.name.as_str().to_owned()),
        ("SELF_ROLE".to_owned(), local.tags.get("role").cloned().unwrap_or_default()),
    ];
    plain.extend(local.tags.iter().map(|(tag, value)| (format!("TAG_{}", variable(tag)), value.clone())));
    match event {
        Event::Member { .. } => {}
        Event::User(user) => {
            plain.push(("USER_EVENT".to_owned(), user.name.clone()));
            plain.push(("USER_LTIME".to_owned(), user.ltime.0.to_string()));
        }
        Event::Query(query) => {
            plain.push(("QUERY_NAME".to_owned(), query.name.clone()));
            plain.push(("QUERY_LTIME".to_owned(), query.key.ltime.0.to_string()));
        }
    }
    let all = PREFIXES
        .iter()
        .flat_map(|prefix| plain.iter().map(move |(name, value)| (format!("{prefix}_{name}"), value.clone())));
    let mut all: Vec<_> = all.collect();
    all.sort();
    // Two tags may share a variable's name; the one that sorts last wins, the same on every run.
    all.dedup_by(|later, earlier| {
        later.0 == earlier.0 && {
            std::mem::swap(later, earlier);
            true
        }
    });
    all
}

/// The event's name as filters spell it: `member-join`, `user`, `query`.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Member { kind, .. } => kind.as_str(),
        Event::User(_) => "user",
        Event::Query(_) => "query",
    }
}

/// Upper case; what may not stand in a variable's name becomes `_`.
fn variable(tag: &str) -> String {
    let allowed = |c: char| if c.is_ascii_uppercase() || c.is_ascii_digit() { c } else { '_' };
    tag.to_uppercase().chars().map(allowed).collect()
}
