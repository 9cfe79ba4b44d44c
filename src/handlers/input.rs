//! What a handler script reads (`handlers §4`): a line per member, or the payload.

use crate::serf::{Event, Member};

/// Standard input for one run.
pub fn input(event: &Event) -> Vec<u8> {
    match event {
        Event::Member { members, .. } => members.iter().map(member_line).collect::<String>().into_bytes(),
        Event::User(user) => payload(&user.payload),
        Event::Query(query) => payload(&query.payload),
    }
}

/// `NAME TAB ADDRESS TAB ROLE TAB TAGS LF`. Tags are sorted by name.
fn member_line(member: &Member) -> String {
    let tags = member.tags();
    let role = tags.get("role").map(String::as_str).unwrap_or_default();
    let list: Vec<_> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let name = column(member.node.name.as_str());
    format!("{name}\t{}\t{}\t{}\n", member.node.addr.ip(), column(role), column(&list.join(",")))
}

/// Only what would break the columns is escaped; a backslash stays as it is, as scripts expect.
fn column(text: &str) -> String {
    text.replace('\t', "\\t").replace('\n', "\\n")
}

/// Ends in a line feed unless it is empty.
fn payload(bytes: &[u8]) -> Vec<u8> {
    let mut input = bytes.to_vec();
    if !input.is_empty() && !input.ends_with(b"\n") {
        input.push(b'\n');
    }
    input
}
