//! Serf's text and JSON, byte for byte (`cli §2`; goldens in `tests/golden/serf/cli`).
//!
//! Where the reference's order is random, ours is by name. Peers' text stays raw here, since scripts compare it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::super::members::{Member, Protocol};
use crate::rpc::proto::Stats;

/// Why a network may lose acks, as `serf reachability` prints it.
const TROUBLESHOOTING: &str = "
Troubleshooting tips:
* Ensure that the bind addr:port is accessible by all other nodes
* If an advertise address is set, ensure it routes to the bind address
* Check that no nodes are behind a NAT
* If nodes are behind firewalls or iptables, check that Serf traffic is permitted (UDP and TCP)
* Verify networking equipment is functional
";

/// `serf members`.
pub(super) fn members(members: &[Member], detailed: bool) -> String {
    let rows: Vec<Vec<String>> = members.iter().map(|member| member_row(member, detailed)).collect();
    columns(&rows) + "\n"
}

fn member_row(member: &Member, detailed: bool) -> Vec<String> {
    let tags: Vec<String> = member.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut row = vec![member.name.clone(), member.addr.clone(), member.status.clone(), tags.join(",")];
    if detailed {
        row.push(format!("Protocol Version: {}", member.protocol.version));
        row.push(format!("Available Protocol Range: [{}, {}]", member.protocol.min, member.protocol.max));
    }
    row
}

/// Cells trimmed and padded to the widest of their column, two blanks between, trailing blanks gone on the last line only.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.trim().chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let cell = cell.trim();
            out.push_str(cell);
            if column + 1 < row.len() {
                out.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count() + 2));
            }
        }
        out.push('\n');
    }
    out.trim().to_owned()
}

#[derive(Serialize)]
struct MemberJson<'a> {
    name: &'a str,
    addr: &'a str,
    port: u16,
    tags: &'a BTreeMap<String, String>,
    status: &'a str,
    protocol: Protocol,
}

#[derive(Serialize)]
struct MembersJson<'a> {
    members: Option<Vec<MemberJson<'a>>>,
}

/// `serf members -format=json`; nobody is `null`.
pub(super) fn members_json(members: &[Member]) -> String {
    let list = members.iter().map(|member| MemberJson {
        name: &member.name,
        addr: &member.addr,
        port: member.port,
        tags: &member.tags,
        status: &member.status,
        protocol: member.protocol,
    });
    json(&MembersJson { members: (!members.is_empty()).then(|| list.collect()) })
}

/// `serf info`.
pub(super) fn info(stats: &Stats) -> String {
    let mut out = String::new();
    for (group, values) in stats {
        out.push_str(&format!("{group}:\n"));
        for (key, value) in values {
            out.push_str(&format!("\t{key} = {value}\n"));
        }
    }
    out
}

#[derive(Serialize)]
struct QueryJson<'a> {
    #[serde(rename = "Acks")]
    acks: Option<&'a [String]>,
    #[serde(rename = "Responses")]
    responses: BTreeMap<&'a str, String>,
}

/// `serf query -format=json`, acks in the order of their arrival.
pub(super) fn query_json(acks: &[String], responses: &BTreeMap<String, Bytes>) -> String {
    let responses = responses.iter().map(|(from, payload)| (from.as_str(), lossy(payload))).collect();
    json(&QueryJson { acks: (!acks.is_empty()).then_some(acks), responses })
}

/// One response of `serf query`, a last line end removed.
pub(super) fn query_response(from: &str, payload: &[u8]) -> Vec<u8> {
    let payload = payload.strip_suffix(b"\n").unwrap_or(payload);
    [format!("Response from '{from}': ").as_bytes(), payload, b"\n"].concat()
}

/// The texts that members gave for a failed key operation, aligned.
pub(super) fn key_failures(messages: &BTreeMap<String, String>) -> String {
    if messages.is_empty() {
        return "\n".to_owned();
    }
    let row = |(name, text): (&String, &String)| vec!["failed: ".to_owned(), name.clone(), text.clone()];
    columns(&messages.iter().map(row).collect::<Vec<_>>()) + "\n\n"
}

/// The list of `serf keys -list` below its progress lines.
pub(super) fn key_list(keys: &BTreeMap<String, u64>, members: u32) -> String {
    let row = |(key, count): (&String, &u64)| vec![key.clone(), format!("[{count}/{members}]")];
    columns(&keys.iter().map(row).collect::<Vec<_>>()) + "\n"
}

/// What `serf reachability` learned from the acks.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) live: BTreeSet<String>,
    pub(super) acked: BTreeSet<String>,
    /// All acks, duplicates too.
    pub(super) count: usize,
}

/// The end of `serf reachability`, and whether it went well.
pub(super) fn reachability(reach: &Reach) -> (String, bool) {
    let mut out = String::new();
    let unique = reach.count == reach.acked.len();
    if !unique {
        out.push_str("Duplicate responses means there is a misconfiguration. Verify that node names are unique.\n");
    }
    if reach.count == reach.live.len() {
        out.push_str("Successfully contacted all live nodes\n");
        return (out, unique);
    }
    let (headline, names, advice) = if reach.count > reach.live.len() {
        (
            "Received more acks than live nodes! Acks from non-live nodes:",
            reach.acked.difference(&reach.live),
            "This could mean Serf is detecting false-failures due to a misconfiguration or network issue.",
        )
    } else {
        (
            "Received less acks than live nodes! Missing acks from:",
            reach.live.difference(&reach.acked),
            "This could mean Serf gossip packets are being lost due to a misconfiguration or network issue.",
        )
    };
    out.push_str(&format!("{headline}\n"));
    for name in names {
        out.push_str(&format!("\t{name}\n"));
    }
    out.push_str(&format!("{advice}\n{TROUBLESHOOTING}"));
    (out, false)
}

/// `serf reachability -verbose`'s times.
pub(super) fn query_time(total: Duration, last: Duration) -> String {
    let (total, last) = (total.as_secs_f64(), last.as_secs_f64());
    format!("Query time: {total:.2} sec, time to last response: {last:.2} sec\n")
}

/// `serf rtt`.
pub(super) fn rtt(one: &str, other: &str, distance: Duration) -> String {
    format!("Estimated {one} <-> {other} rtt: {:.3} ms\n", distance.as_secs_f64() * 1e3)
}

/// Stands for a byte that is no UTF-8 until [`json`] writes Go's escape for it. Unicode keeps this one for uses within a
/// program.
const NOT_TEXT: char = '\u{10fffe}';

/// Bytes as text for [`json`]: every byte that is no UTF-8 is replaced by itself.
fn lossy(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(std::iter::repeat_n(NOT_TEXT, chunk.invalid().len()));
    }
    out
}

/// Go's indented JSON, which differs from serde's in seven escapes.
pub(super) fn json(value: &impl Serialize) -> String {
    let text = super::super::output::to_json(value);
    let mut out = String::with_capacity(text.len() + 1);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            NOT_TEXT => out.push_str("\\ufffd"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            '\\' => match chars.next() {
                Some('b') => out.push_str("\\u0008"),
                Some('f') => out.push_str("\\u000c"),
                next => out.extend(['\\'].into_iter().chain(next)),
            },
            c => out.push(c),
        }
    }
    out + "\n"
}
