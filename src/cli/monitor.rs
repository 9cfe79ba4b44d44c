//! `weir monitor`: the agent's log lines and events as they come.

use serde_json::{Value, json};

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::members::Member;
use super::output::Output;
use super::session::Session;
use crate::escape::{escape, escape_bytes};
use crate::rpc::client::Record;
use crate::rpc::proto::{EventRecord, LogLevel};

/// Show the agent's log lines and events as they come.
#[derive(Debug, clap::Args)]
pub(crate) struct Monitor {
    /// Least level of the lines: trace, debug, info, warn, err
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    log_level: LogLevel,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Monitor {
    /// Runs until the agent is gone; an interrupt ends it from outside.
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        session.monitor(self.log_level.as_str()).await?;
        loop {
            let record = session.record().await?;
            if output.is_json() {
                output.json_line(&to_json(&record))?;
            } else {
                output.text(&render(&record))?;
            }
        }
    }
}

fn level(text: &str) -> Result<LogLevel, String> {
    LogLevel::from_name(text).ok_or_else(|| format!("{text:?} is none of trace, debug, info, warn, err"))
}

/// One line per record; events are marked by their first word.
pub(crate) fn render(record: &Record) -> String {
    match record {
        Record::Line(line) => format!("{}\n", escape(line)),
        Record::Event(EventRecord::Member { kind, members }) => {
            let name = |member: &crate::rpc::proto::Member| format!(" {}", escape(&member.name));
            format!("event {}{}\n", kind.as_str(), members.iter().map(name).collect::<String>())
        }
        Record::Event(EventRecord::User { name, ltime, payload, coalesce: _ }) => line("user", name, *ltime, payload),
        Record::Event(EventRecord::Query { name, ltime, payload, id: _ }) => line("query", name, *ltime, payload),
        Record::Event(EventRecord::Missed { events }) => format!("missed {events} events: this reader is too slow\n"),
        Record::Answer(_) => String::new(), // a monitor asks nothing
    }
}

fn line(kind: &str, name: &str, ltime: u64, payload: &[u8]) -> String {
    let payload = if payload.is_empty() { String::new() } else { format!("  {}", escape_bytes(payload)) };
    format!("event {kind}:{} ltime={ltime}{payload}\n", escape(name))
}

/// One object per record, `kind` first.
pub(crate) fn to_json(record: &Record) -> Value {
    let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    match record {
        Record::Line(line) => json!({ "kind": "log", "line": line }),
        Record::Event(EventRecord::Member { kind, members }) => {
            let members: Vec<Member> = members.iter().cloned().map(Member::from).collect();
            json!({ "kind": kind.as_str(), "members": members })
        }
        Record::Event(EventRecord::User { name, ltime, payload, coalesce }) => {
            json!({ "kind": "user", "name": name, "ltime": ltime, "payload": text(payload), "coalesce": coalesce })
        }
        Record::Event(EventRecord::Query { name, ltime, payload, id }) => {
            json!({ "kind": "query", "name": name, "ltime": ltime, "payload": text(payload), "id": id })
        }
        Record::Event(EventRecord::Missed { events }) => json!({ "kind": "missed", "events": events }),
        Record::Answer(_) => Value::Null, // a monitor asks nothing
    }
}
