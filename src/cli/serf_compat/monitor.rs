//! `serf monitor`: log lines as they are, and events in Go's debug notation.

use std::net::IpAddr;

use super::client::{Stop, connect, prefixed};
use super::flags::Parsed;
use super::{go, print};
use crate::rpc::client::Record;
use crate::rpc::proto::{EventRecord, Member};

/// Runs until the agent is gone, which is an error; an interrupt ends it from outside, which is none.
pub(super) async fn run(parsed: &Parsed) -> Result<(), Stop> {
    let mut client = connect(parsed).await?;
    client.stream("*").await.map_err(prefixed("Error starting stream"))?;
    let level = parsed.text("log-level").unwrap_or("INFO");
    client.monitor(level).await.map_err(prefixed("Error starting monitor"))?;
    while let Ok(pushed) = client.next().await {
        print(&render(&pushed.record));
    }
    print("\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.\n");
    Err(Stop::Said)
}

/// One record; the fields of an event by name.
fn render(record: &Record) -> String {
    let fields = match record {
        // Neither a query nor word of gaps was asked for.
        Record::Answer(_) | Record::Event(EventRecord::Missed { .. }) => return String::new(),
        Record::Line(line) => return format!("{line}\n"),
        Record::Event(EventRecord::Member { kind, members }) => {
            vec![("Event", go::quote(kind.as_str())), ("Members", member_list(members))]
        }
        Record::Event(EventRecord::User { name, ltime, payload, coalesce }) => vec![
            ("Coalesce", coalesce.to_string()),
            ("Event", go::quote("user")),
            ("LTime", go::number(*ltime)),
            ("Name", go::quote(name)),
            ("Payload", go::bytes("byte", payload)),
        ],
        Record::Event(EventRecord::Query { name, ltime, payload, id }) => vec![
            ("Event", go::quote("query")),
            ("ID", go::number(*id)),
            ("LTime", go::number(*ltime)),
            ("Name", go::quote(name)),
            ("Payload", go::bytes("byte", payload)),
        ],
    };
    let lines = fields.into_iter().map(|(key, value)| format!("\t{key}: {value}\n"));
    format!("Event Info:\n{}", lines.collect::<String>())
}

fn member_list(members: &[Member]) -> String {
    let members: Vec<String> = members.iter().map(member).collect();
    format!("[]interface {{}}{{{}}}", members.join(", "))
}

fn member(member: &Member) -> String {
    let tags: Vec<String> =
        member.tags.iter().map(|(key, value)| format!("{}:{}", go::quote(key), go::quote(value))).collect();
    let [protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur] = member.versions.0;
    let version = |value: u8| go::number(value.into());
    let addr = match member.addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    };
    let fields = [
        ("Addr", go::bytes("uint8", &addr)),
        ("DelegateCur", version(delegate_cur)),
        ("DelegateMax", version(delegate_max)),
        ("DelegateMin", version(delegate_min)),
        ("Name", go::quote(&member.name)),
        ("Port", go::number(member.port.into())),
        ("ProtocolCur", version(protocol_cur)),
        ("ProtocolMax", version(protocol_max)),
        ("ProtocolMin", version(protocol_min)),
        ("Status", go::quote(member.status.as_str())),
        ("Tags", format!("map[interface {{}}]interface {{}}{{{}}}", tags.join(", "))),
    ];
    let fields: Vec<String> = fields.into_iter().map(|(key, value)| format!("{}:{value}", go::quote(key))).collect();
    format!("map[interface {{}}]interface {{}}{{{}}}", fields.join(", "))
}
