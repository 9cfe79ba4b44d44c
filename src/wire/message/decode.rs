//! Bytes to messages. Bodies are bounded before anything is copied out of them (`memberlist §2, §7.2`).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::{Ack, Alive, Dead, Incarnation, IndirectPing, Message, Ping, SeqNo, Source, Suspect, Versions, kind};
use crate::wire::msgpack::Reader;
use crate::wire::{DecodeError, NodeName, Problem, addr};

/// Longest metadata that is read. Conforming senders keep to 512 bytes, real receivers check nothing.
pub const MAX_META_BYTES: usize = 4096;

/// Longest body of a message in a packet.
const MAX_BODY_BYTES: usize = 64 << 10;

impl Message {
    /// Reads one bare message: type byte and body. Bytes after the body are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > 1 + MAX_BODY_BYTES {
            return Err(DecodeError::new("message", 0, Problem::TooLong));
        }
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let (name, message) = match r.byte().map_err(|error| error.within("message"))? {
            kind::PING => ("ping", Ping::decode(r).map(Self::Ping)),
            kind::INDIRECT_PING => ("indirect ping", IndirectPing::decode(r).map(Self::IndirectPing)),
            kind::ACK => ("ack", Ack::decode(r).map(Self::Ack)),
            kind::NACK => ("nack", Ack::decode(r).map(|ack| Self::Nack(ack.seq_no))),
            kind::SUSPECT => ("suspect", Suspect::decode(r).map(Self::Suspect)),
            kind::ALIVE => ("alive", Alive::decode(r).map(Self::Alive)),
            kind::DEAD => ("dead", Suspect::decode(r).map(Self::dead)),
            kind::USER => ("user", Ok(Self::User(Bytes::copy_from_slice(r.rest())))),
            other => ("message", Err(DecodeError::new("message", 0, Problem::MessageType(other)))),
        };
        message.map_err(|error| error.within(name))
    }

    fn dead(Suspect { incarnation, node, from }: Suspect) -> Self {
        Self::Dead(Dead { incarnation, node, from })
    }
}

/// A name, or `None` if it is empty.
fn optional_name(r: &mut Reader<'_>) -> Result<Option<NodeName>, DecodeError> {
    let name = r.str()?;
    if name.len() > NodeName::MAX_BYTES {
        return Err(r.error(Problem::LongName { bytes: name.len(), addr: None }));
    }
    Ok(NodeName::new(name))
}

pub(in crate::wire) fn required<T>(value: Option<T>, field: &'static str, r: &Reader<'_>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::new(field, r.offset(), Problem::Missing))
}

/// An address, or `None` if it is empty.
fn optional_ip(r: &mut Reader<'_>) -> Result<Option<IpAddr>, DecodeError> {
    match &*r.bytes()? {
        [] => Ok(None),
        bytes => addr::from_bytes(bytes).map(Some).ok_or_else(|| r.error(Problem::Length)),
    }
}

/// The extra field `Weir`: bounded, as only the first bytes mean anything.
fn weir(r: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    let bytes = r.bytes()?;
    Ok((!bytes.is_empty()).then(|| Bytes::copy_from_slice(&bytes[..bytes.len().min(64)])))
}

/// `SourceAddr`, `SourcePort` and `SourceNode` as they come, in any order.
#[derive(Default)]
struct SourceFields {
    ip: Option<IpAddr>,
    port: u16,
    node: Option<NodeName>,
}

impl SourceFields {
    fn read(&mut self, field: &'static str, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        match field {
            "SourceAddr" => self.ip = optional_ip(r)?,
            "SourcePort" => self.port = r.u16()?,
            // Whoever has a name that we cannot take is answered: it would take our silence for a failure.
            "SourceNode" => self.node = NodeName::new(r.str()?),
            _ => r.skip()?,
        }
        Ok(())
    }

    fn finish(self) -> Source {
        let addr = self.ip.filter(|_| self.port != 0).map(|ip| SocketAddr::new(ip, self.port));
        Source { addr, node: self.node }
    }
}

impl Ping {
    const FIELDS: [&'static str; 6] = ["SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode", "Weir"];

    pub(in crate::wire) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut ping = Self { seq_no: SeqNo::default(), node: None, source: Source::default(), weir: None };
        let mut source = SourceFields::default();
        r.record(&Self::FIELDS, |r, field| {
            match field {
                "SeqNo" => ping.seq_no = SeqNo::new(r.u32()?),
                "Node" => ping.node = optional_name(r)?,
                "Weir" => ping.weir = weir(r)?,
                _ => source.read(field, r)?,
            }
            Ok(())
        })?;
        Ok(Self { source: source.finish(), ..ping })
    }
}

impl IndirectPing {
    const FIELDS: [&'static str; 8] =
        ["SeqNo", "Target", "Port", "Node", "Nack", "SourceAddr", "SourcePort", "SourceNode"];

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut seq_no, mut target, mut port, mut node, mut nack) = (SeqNo::default(), None, 0, None, false);
        let mut source = SourceFields::default();
        r.record(&Self::FIELDS, |r, field| {
            match field {
                "SeqNo" => seq_no = SeqNo::new(r.u32()?),
                "Target" => target = optional_ip(r)?,
                "Port" => port = r.u16()?,
                "Node" => node = optional_name(r)?,
                "Nack" => nack = r.bool()?,
                _ => source.read(field, r)?,
            }
            Ok(())
        })?;
        Ok(Self {
            seq_no,
            target: SocketAddr::new(required(target, "Target", r)?, port),
            node: required(node, "Node", r)?,
            nack,
            source: source.finish(),
        })
    }
}

impl Ack {
    pub(in crate::wire) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut ack = Self { seq_no: SeqNo::default(), payload: Bytes::new(), weir: None };
        r.record(&["SeqNo", "Payload", "Weir"], |r, field| {
            match field {
                "SeqNo" => ack.seq_no = SeqNo::new(r.u32()?),
                "Payload" => ack.payload = Bytes::copy_from_slice(&r.bytes()?),
                _ => ack.weir = weir(r)?,
            }
            Ok(())
        })?;
        Ok(ack)
    }
}

impl Suspect {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut incarnation, mut node, mut from) = (Incarnation::ZERO, None, None);
        r.record(&["Incarnation", "Node", "From"], |r, field| {
            match field {
                "Incarnation" => incarnation = Incarnation::new(r.u32()?),
                "Node" => node = optional_name(r)?,
                // Unread, it could not be refuted.
                _ => from = NodeName::cut(r.str()?),
            }
            Ok(())
        })?;
        Ok(Self { incarnation, node: required(node, "Node", r)?, from: required(from, "From", r)? })
    }
}

/// What an alive message and a push/pull entry have in common, as it comes.
#[derive(Default)]
pub(in crate::wire) struct AliveFields {
    incarnation: Incarnation,
    node: Option<NodeName>,
    /// Bytes of a name that is too long; whose it is, is told with it.
    long_name: Option<usize>,
    ip: Option<IpAddr>,
    port: u16,
    meta: Bytes,
    versions: Option<Versions>,
}

impl AliveFields {
    pub(in crate::wire) fn read(&mut self, field: &'static str, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        match field {
            "Incarnation" => self.incarnation = Incarnation::new(r.u32()?),
            "Node" | "Name" => {
                let name = r.str()?;
                self.node = NodeName::new(name);
                self.long_name = Some(name.len()).filter(|bytes| *bytes > NodeName::MAX_BYTES);
            }
            "Addr" => self.ip = optional_ip(r)?,
            "Port" => self.port = r.u16()?,
            "Meta" => {
                let meta = r.bytes()?;
                if meta.len() > MAX_META_BYTES {
                    return Err(r.error(Problem::TooLong));
                }
                self.meta = Bytes::copy_from_slice(&meta);
            }
            "Vsn" => self.versions = r.bytes()?.first_chunk().map(|six| Versions(*six)),
            _ => r.skip()?,
        }
        Ok(())
    }

    /// Fails without a name, an address and six versions: one alive member without versions, once in a list, blocks every
    /// push/pull and join (`memberlist §4.9`).
    pub(in crate::wire) fn finish(self, r: &Reader<'_>) -> Result<Alive, DecodeError> {
        if let Some(bytes) = self.long_name {
            let addr = self.ip.map(|ip| SocketAddr::new(ip, self.port));
            return Err(r.error(Problem::LongName { bytes, addr }));
        }
        Ok(Alive {
            incarnation: self.incarnation,
            node: required(self.node, "Node", r)?,
            addr: SocketAddr::new(required(self.ip, "Addr", r)?, self.port),
            meta: self.meta,
            versions: required(self.versions, "Vsn", r)?,
        })
    }
}

impl Alive {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut fields = AliveFields::default();
        r.record(&["Incarnation", "Node", "Addr", "Port", "Meta", "Vsn"], |r, field| fields.read(field, r))?;
        fields.finish(r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msgpack::Writer;

    const LONG: usize = NodeName::MAX_BYTES + 1;

    fn suspect(node: &str, from: &str) -> Result<Message, DecodeError> {
        let mut w = Writer::message(kind::SUSPECT);
        w.map_header(3).str("Incarnation").uint(1u8).str("Node").str(node).str("From").str(from);
        Message::decode(&w.into_bytes())
    }

    #[test]
    fn whoever_has_too_long_a_name_is_answered_and_refuted_and_not_taken() {
        let long = "x".repeat(LONG);
        let mut w = Writer::message(kind::PING);
        w.map_header(3).str("SeqNo").uint(7u8).str("Node").str("us").str("SourceNode").str(&long);
        let Ok(Message::Ping(ping)) = Message::decode(&w.into_bytes()) else { panic!("a ping is answered") };
        assert_eq!((ping.seq_no, ping.source.node), (SeqNo::new(7), None));

        // It may end in the middle of a character.
        let accuser = "x".repeat(NodeName::MAX_BYTES - 1);
        for from in [accuser.clone() + "ü", accuser.clone() + "€uro", accuser.clone()] {
            let Ok(Message::Suspect(read)) = suspect("us", &from) else { panic!("an accusation is read") };
            assert_eq!(read.from.as_str(), accuser);
        }
        let error = suspect(&long, "us").unwrap_err();
        assert_eq!(error.to_string(), "Node: name of 513 bytes, 1 to 512 bytes are accepted, at byte 536");
        assert_eq!(error.long_name(), None, "nobody says where it is");
    }

    #[test]
    fn two_of_the_longest_names_fit_in_a_packet_whatever_is_said_of_them() {
        let name = NodeName::new(&"x".repeat(NodeName::MAX_BYTES)).unwrap();
        assert!(NodeName::new(&"x".repeat(LONG)).is_none());
        assert!(NodeName::RULE.contains(&NodeName::MAX_BYTES.to_string()));
        let alive = Alive {
            incarnation: Incarnation::new(u32::MAX),
            node: name.clone(),
            addr: SocketAddr::from(([0x20; 16], 7946)),
            meta: Bytes::from(vec![0xff; 512]),
            versions: Versions::OURS,
        };
        let dead = Dead { incarnation: Incarnation::new(u32::MAX), node: name.clone(), from: name.clone() };
        let source = Source { addr: Some(alive.addr), node: Some(name.clone()) };
        let ping = Ping { seq_no: SeqNo::new(u32::MAX), node: Some(name), source, weir: Some(vec![0; 64].into()) };
        let longest = crate::swim::Options::default().max_broadcast_bytes;
        for message in [Message::Alive(alive), Message::Dead(dead), Message::Ping(ping)] {
            let bytes = message.encode().len();
            assert!(bytes <= longest, "{bytes}");
        }
    }
}
