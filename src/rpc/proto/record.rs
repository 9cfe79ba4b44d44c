//! What the server pushes: events, log lines and answers to queries, each behind a header (`rpc §4, §5, §6`).

use std::fmt;

use bytes::Bytes;

use super::member::Member;
use crate::handlers::filter::EventKind;
use crate::serf::MemberEventKind;
use crate::wire::msgpack::{Dialect, Reader, Writer};
use crate::wire::{DecodeError, Problem};

/// A writer that holds the header of a pushed record or of a successful response.
pub(super) fn begin(seq: u64) -> Writer {
    let mut writer = Writer::new(Dialect::Ext);
    writer.map_header(2).str("Error").str("").str("Seq").uint(seq);
    writer
}

/// A record of a stream, as a client reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EventRecord {
    Member {
        kind: MemberEventKind,
        members: Vec<Member>,
    },
    User {
        ltime: u64,
        name: String,
        payload: Bytes,
        coalesce: bool,
    },
    /// `id` is what an answer on this connection names.
    Query {
        id: u64,
        ltime: u64,
        name: String,
        payload: Bytes,
    },
    /// Ours, for streams that ask for it: so many events were dropped here because the client read too slowly.
    Missed {
        events: u64,
    },
}

/// `Event` of [`EventRecord::Missed`], and the element of a stream's filter that asks for it.
pub(in crate::rpc) const MISSED: &str = "weir-missed";

impl EventRecord {
    /// Decodes a body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut event = String::new();
        let (mut id, mut ltime, mut missed) = (0, 0, 0);
        let (mut name, mut payload, mut coalesce, mut members) = (String::new(), Bytes::new(), false, Vec::new());
        let fields = ["Event", "LTime", "Name", "Payload", "Coalesce", "ID", "Members", "Missed"];
        let reader = &mut Reader::new(body);
        reader.record(&fields, |reader, field| {
            match field {
                "Event" => event = reader.str()?.to_owned(),
                "LTime" => ltime = reader.u64()?,
                "Name" => name = String::from_utf8_lossy(reader.raw()?).into_owned(),
                "Payload" => payload = reader.bytes()?.into_owned().into(),
                "Coalesce" => coalesce = reader.bool()?,
                "ID" => id = reader.u64()?,
                "Missed" => missed = reader.u64()?,
                _ => members = decode_members(reader)?,
            }
            Ok(())
        })?;
        if event == MISSED {
            return Ok(Self::Missed { events: missed });
        }
        match EventKind::from_name(&event) {
            Some(EventKind::User) => Ok(Self::User { ltime, name, payload, coalesce }),
            Some(EventKind::Query) => Ok(Self::Query { id, ltime, name, payload }),
            Some(EventKind::Member(kind)) => Ok(Self::Member { kind, members }),
            None => Err(reader.error(Problem::Range).within("Event")),
        }
    }
}

pub(super) fn decode_members(reader: &mut Reader<'_>) -> Result<Vec<Member>, DecodeError> {
    let len = reader.array_header()?;
    (0..len).map(|_| Member::decode(reader)).collect()
}

pub(super) fn put_members(writer: &mut Writer, members: &[Member]) {
    writer.array_header(members.len());
    for member in members {
        member.encode(writer);
    }
}

/// A member event's header and body.
pub(in crate::rpc) fn encode_members(seq: u64, kind: MemberEventKind, members: &[Member]) -> Vec<u8> {
    let mut writer = begin(seq);
    writer.map_header(2).str("Event").str(kind.as_str()).str("Members");
    put_members(&mut writer, members);
    writer.into_vec()
}

/// A user event's header and body.
pub(in crate::rpc) fn encode_user(seq: u64, ltime: u64, name: &str, payload: &[u8], coalesce: bool) -> Vec<u8> {
    let mut writer = begin(seq);
    writer.map_header(5).str("Coalesce").bool(coalesce).str("Event").str("user").str("LTime").uint(ltime);
    writer.str("Name").str(name).str("Payload").bin_or_nil(payload);
    writer.into_vec()
}

/// A query's header and body.
pub(in crate::rpc) fn encode_query(seq: u64, id: u64, ltime: u64, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut writer = begin(seq);
    writer.map_header(5).str("Event").str("query").str("ID").uint(id).str("LTime").uint(ltime);
    writer.str("Name").str(name).str("Payload").bin_or_nil(payload);
    writer.into_vec()
}

/// Header and body of what tells a client about its gap.
pub(in crate::rpc) fn encode_missed(seq: u64, events: u64) -> Vec<u8> {
    let mut writer = begin(seq);
    writer.map_header(2).str("Event").str(MISSED).str("Missed").uint(events);
    writer.into_vec()
}

/// An answer to a query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum QueryRecord {
    Ack {
        from: String,
    },
    Response {
        from: String,
        payload: Bytes,
    },
    /// The query is over; nothing follows.
    Done,
}

impl QueryRecord {
    /// Header and body.
    pub fn encode(&self, seq: u64) -> Vec<u8> {
        let (kind, from, payload): (_, _, &[u8]) = match self {
            Self::Ack { from } => ("ack", from.as_str(), &[]),
            Self::Response { from, payload } => ("response", from.as_str(), payload),
            Self::Done => ("done", "", &[]),
        };
        let mut writer = begin(seq);
        writer.map_header(3).str("From").str(from).str("Payload").bin_or_nil(payload).str("Type").str(kind);
        writer.into_vec()
    }

    /// Decodes a body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let (mut kind, mut from, mut payload) = (String::new(), String::new(), Bytes::new());
        let reader = &mut Reader::new(body);
        reader.record(&["Type", "From", "Payload"], |reader, field| {
            match field {
                "Type" => kind = reader.str()?.to_owned(),
                "From" => from = String::from_utf8_lossy(reader.raw()?).into_owned(),
                _ => payload = reader.bytes()?.into_owned().into(),
            }
            Ok(())
        })?;
        match kind.as_str() {
            "ack" => Ok(Self::Ack { from }),
            "response" => Ok(Self::Response { from, payload }),
            "done" => Ok(Self::Done),
            _ => Err(reader.error(Problem::Range).within("Type")),
        }
    }
}

/// A line of the agent's log, without its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogRecord(pub String);

impl LogRecord {
    /// Header and body.
    pub(in crate::rpc) fn encode(seq: u64, line: &str) -> Vec<u8> {
        let mut writer = begin(seq);
        writer.map_header(1).str("Log").str(line);
        writer.into_vec()
    }

    /// Decodes a body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut line = String::new();
        Reader::new(body).record(&["Log"], |reader, _| {
            line = String::from_utf8_lossy(reader.raw()?).into_owned();
            Ok(())
        })?;
        Ok(Self(line))
    }
}

/// How much a monitor wants to see; the later, the less.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Err,
}

impl LogLevel {
    /// Serf's five names in any case; `None` for all else.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_uppercase();
        [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Err].into_iter().find(|level| level.as_str() == name)
    }

    /// Serf's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Err => "ERR",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
