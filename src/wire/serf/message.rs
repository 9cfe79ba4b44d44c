//! Serf's user messages, both ways (`serf §3`).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::{Filter, JoinIntent, LamportTime, LeaveIntent, Query, QueryResponse, Relay, SerfMessage, UserEvent, kind};
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::{DecodeError, Problem, addr};

/// An ack is wanted (query); this is one (response).
const FLAG_ACK: u32 = 1;
const FLAG_NO_BROADCAST: u32 = 2;

/// Longest message that is read: what a datagram holds. A user message on a stream, which no real agent sends, may have
/// 20 MiB of elements that take a byte each and fifty in memory.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

const FILTER_NODES: u8 = 0;
const FILTER_TAG: u8 = 1;

impl SerfMessage {
    /// The type byte and the body, without memberlist's `08` in front.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Leave(leave) => leave.encode(),
            Self::Join(join) => join.encode(),
            Self::UserEvent(event) => event.encode(),
            Self::Query(query) => query.encode(),
            Self::QueryResponse(response) => response.encode(),
            Self::Relay(relay) => relay.encode(),
        }
    }

    /// Reads type byte and body. Bytes after the body are ignored; values are not judged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(DecodeError::new("serf message", 0, Problem::TooLong));
        }
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let (name, message) = match r.byte().map_err(|error| error.within("serf message"))? {
            kind::LEAVE => ("leave", LeaveIntent::decode(r).map(Self::Leave)),
            kind::JOIN => ("join", JoinIntent::decode(r).map(Self::Join)),
            kind::USER_EVENT => ("user event", UserEvent::decode(r).map(Self::UserEvent)),
            kind::QUERY => ("query", Query::decode(r).map(Self::Query)),
            kind::QUERY_RESPONSE => ("query response", QueryResponse::decode(r).map(Self::QueryResponse)),
            kind::RELAY => ("relay", Relay::decode(r).map(Self::Relay)),
            other => ("serf message", Err(DecodeError::new("serf message", 0, Problem::MessageType(other)))),
        };
        message.map_err(|error| error.within(name))
    }
}

pub(super) fn ltime(r: &mut Reader<'_>) -> Result<LamportTime, DecodeError> {
    r.u64().map(LamportTime)
}

pub(super) fn string(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    r.str().map(str::to_owned)
}

pub(super) fn blob(r: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    r.bytes().map(|bytes| Bytes::copy_from_slice(&bytes))
}

/// An address of which both parts have arrived.
pub(super) fn socket_addr(ip: &[u8], port: u16, field: &'static str, at: usize) -> Result<SocketAddr, DecodeError> {
    let ip = addr::from_bytes(ip).ok_or(DecodeError::new(field, at, Problem::Length))?;
    Ok(SocketAddr::new(ip, port))
}

impl LeaveIntent {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut leave = Self { ltime: LamportTime::default(), node: String::new(), prune: false };
        r.record(&["LTime", "Node", "Prune"], |r, field| {
            match field {
                "LTime" => leave.ltime = ltime(r)?,
                "Node" => leave.node = string(r)?,
                _ => leave.prune = r.bool()?,
            }
            Ok(())
        })?;
        Ok(leave)
    }

    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::LEAVE);
        w.map_header(3).str("LTime").uint(self.ltime.0).str("Node").str(&self.node).str("Prune").bool(self.prune);
        w.into_bytes()
    }
}

impl JoinIntent {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut join = Self { ltime: LamportTime::default(), node: String::new() };
        r.record(&["LTime", "Node"], |r, field| {
            match field {
                "LTime" => join.ltime = ltime(r)?,
                _ => join.node = string(r)?,
            }
            Ok(())
        })?;
        Ok(join)
    }

    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::JOIN);
        w.map_header(2).str("LTime").uint(self.ltime.0).str("Node").str(&self.node);
        w.into_bytes()
    }
}

impl UserEvent {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut event =
            Self { ltime: LamportTime::default(), name: String::new(), payload: Bytes::new(), coalesce: false };
        r.record(&["LTime", "Name", "Payload", "CC"], |r, field| {
            match field {
                "LTime" => event.ltime = ltime(r)?,
                "Name" => event.name = string(r)?,
                "Payload" => event.payload = blob(r)?,
                _ => event.coalesce = r.bool()?,
            }
            Ok(())
        })?;
        Ok(event)
    }

    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::USER_EVENT);
        w.map_header(4).str("CC").bool(self.coalesce).str("LTime").uint(self.ltime.0);
        w.str("Name").str(&self.name).str("Payload").bin_or_nil(&self.payload);
        w.into_bytes()
    }
}

impl Filter {
    fn decode(bytes: &[u8]) -> Self {
        Self::known(bytes).unwrap_or_else(|| Self::Unknown(Bytes::copy_from_slice(bytes)))
    }

    fn known(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        match r.byte().ok()? {
            FILTER_NODES => {
                let len = r.array_header().ok()?;
                (0..len).map(|_| string(&mut r).ok()).collect::<Option<_>>().map(Self::Nodes)
            }
            FILTER_TAG => {
                let (mut tag, mut expr) = (String::new(), String::new());
                r.record(&["Tag", "Expr"], |r, field| {
                    match field {
                        "Tag" => tag = string(r)?,
                        _ => expr = string(r)?,
                    }
                    Ok(())
                })
                .ok()?;
                Some(Self::Tag { tag, expr })
            }
            _ => None,
        }
    }

    fn encode(&self) -> Bytes {
        match self {
            Self::Nodes(nodes) => {
                let mut w = Writer::message(FILTER_NODES);
                w.array_header(nodes.len());
                for node in nodes {
                    w.str(node);
                }
                w.into_bytes()
            }
            Self::Tag { tag, expr } => {
                let mut w = Writer::message(FILTER_TAG);
                w.map_header(2).str("Expr").str(expr).str("Tag").str(tag);
                w.into_bytes()
            }
            Self::Unknown(bytes) => bytes.clone(),
        }
    }
}

impl Query {
    const FIELDS: [&'static str; 11] =
        ["LTime", "ID", "Addr", "Port", "SourceNode", "Filters", "Flags", "RelayFactor", "Timeout", "Name", "Payload"];

    /// Whether a filter has no bytes at all. Such a query crashes real agents and must not be passed on
    /// (`serf §14`).
    pub fn has_empty_filter(&self) -> bool {
        self.filters.iter().any(|filter| matches!(filter, Filter::Unknown(bytes) if bytes.is_empty()))
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut time, mut id, mut flags, mut relay_factor, mut timeout) = (LamportTime::default(), 0, 0, 0, 0);
        let (mut ip, mut port) = (Default::default(), 0);
        let (mut source_node, mut name, mut payload) = (String::new(), String::new(), Bytes::new());
        let mut filters = Vec::new();
        r.record(&Self::FIELDS, |r, field| {
            match field {
                "LTime" => time = ltime(r)?,
                "ID" => id = r.u32()?,
                "Addr" => ip = r.bytes()?,
                "Port" => port = r.u16()?,
                "SourceNode" => source_node = string(r)?,
                "Filters" => {
                    let len = r.array_header()?;
                    filters = (0..len).map(|_| Ok(Filter::decode(&r.bytes()?))).collect::<Result<_, DecodeError>>()?;
                }
                "Flags" => flags = r.u32()?,
                "RelayFactor" => relay_factor = r.u8()?,
                "Timeout" => timeout = r.i64()?,
                "Name" => name = string(r)?,
                _ => payload = blob(r)?,
            }
            Ok(())
        })?;
        Ok(Self {
            ltime: time,
            id,
            addr: socket_addr(&ip, port, "Addr", r.offset())?,
            source_node,
            filters,
            ack: flags & FLAG_ACK != 0,
            no_broadcast: flags & FLAG_NO_BROADCAST != 0,
            relay_factor,
            timeout: Duration::from_nanos(timeout.max(0).unsigned_abs()),
            name,
            payload,
        })
    }

    fn flags(&self) -> u32 {
        let ack = if self.ack { FLAG_ACK } else { 0 };
        let no_broadcast = if self.no_broadcast { FLAG_NO_BROADCAST } else { 0 };
        ack | no_broadcast
    }

    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::QUERY);
        addr::write(self.addr.ip(), w.map_header(11).str("Addr"));
        w.str("Filters");
        if self.filters.is_empty() {
            w.nil();
        } else {
            w.array_header(self.filters.len());
            for filter in &self.filters {
                w.bin(&filter.encode());
            }
        }
        w.str("Flags").uint(self.flags()).str("ID").uint(self.id).str("LTime").uint(self.ltime.0);
        w.str("Name").str(&self.name).str("Payload").bin_or_nil(&self.payload);
        w.str("Port").uint(self.addr.port()).str("RelayFactor").uint(self.relay_factor);
        w.str("SourceNode").str(&self.source_node);
        w.str("Timeout").int(i64::try_from(self.timeout.as_nanos()).unwrap_or(i64::MAX));
        w.into_bytes()
    }
}

impl QueryResponse {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut response =
            Self { ltime: LamportTime::default(), id: 0, from: String::new(), ack: false, payload: Bytes::new() };
        r.record(&["LTime", "ID", "From", "Flags", "Payload"], |r, field| {
            match field {
                "LTime" => response.ltime = ltime(r)?,
                "ID" => response.id = r.u32()?,
                "From" => response.from = string(r)?,
                "Flags" => response.ack = r.u32()? & FLAG_ACK != 0,
                _ => response.payload = blob(r)?,
            }
            Ok(())
        })?;
        Ok(response)
    }

    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::QUERY_RESPONSE);
        w.map_header(5).str("Flags").uint(u8::from(self.ack)).str("From").str(&self.from);
        w.str("ID").uint(self.id).str("LTime").uint(self.ltime.0).str("Payload").bin_or_nil(&self.payload);
        w.into_bytes()
    }
}

impl Relay {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut ip, mut port) = (Default::default(), 0);
        let mut dest_name = String::new();
        r.record(&["DestAddr", "DestName"], |r, field| match field {
            "DestAddr" => r.record(&["IP", "Port"], |r, field| {
                match field {
                    "IP" => ip = r.bytes()?,
                    _ => port = r.u16()?,
                }
                Ok(())
            }),
            _ => string(r).map(|name| dest_name = name),
        })?;
        let dest = socket_addr(&ip, port, "DestAddr", r.offset())?;
        Ok(Self { dest, dest_name, inner: Bytes::copy_from_slice(r.rest()) })
    }

    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::RELAY);
        addr::write(self.dest.ip(), w.map_header(2).str("DestAddr").map_header(3).str("IP"));
        w.str("Port").uint(self.dest.port()).str("Zone").str("");
        w.str("DestName").str(&self.dest_name).verbatim(&self.inner);
        w.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_datagram_holds_is_not_read() {
        let event = |payload: usize| {
            let payload = Bytes::from(vec![0; payload]);
            UserEvent { ltime: LamportTime(1), name: "e".into(), payload, coalesce: false }
        };
        for (payload, read) in [(60_000, true), (66_000, false)] {
            assert_eq!(SerfMessage::decode(&event(payload).encode()).is_ok(), read, "{payload}");
        }
    }
}
