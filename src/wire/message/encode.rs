//! Messages to bytes: keys sorted, every field present unless the tables say otherwise (`memberlist §2`).

use bytes::Bytes;

use super::{Ack, Alive, Dead, Incarnation, IndirectPing, Message, Ping, Source, Suspect, kind};
use crate::wire::addr;
use crate::wire::msgpack::Writer;

impl Message {
    /// The type byte and the body.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ping(ping) => ping.encode(),
            Self::IndirectPing(ping) => ping.encode(),
            Self::Ack(ack) => ack.encode(),
            Self::Nack(seq_no) => {
                let mut w = Writer::message(kind::NACK);
                w.map_header(1).str("SeqNo").uint(seq_no.get());
                w.into_bytes()
            }
            Self::Suspect(Suspect { incarnation, node, from }) => {
                accusation(kind::SUSPECT, *incarnation, node.as_str(), from.as_str())
            }
            Self::Dead(Dead { incarnation, node, from }) => {
                accusation(kind::DEAD, *incarnation, node.as_str(), from.as_str())
            }
            Self::Alive(alive) => alive.encode(),
            Self::User(payload) => {
                let mut out = Vec::with_capacity(1 + payload.len());
                out.push(kind::USER);
                out.extend_from_slice(payload);
                out.into()
            }
        }
    }
}

impl Source {
    /// How many fields are written: those that are zero are left out.
    fn fields(&self) -> usize {
        self.addr.map_or(0, |_| 2) + usize::from(self.node.is_some())
    }

    fn write(&self, w: &mut Writer) {
        if let Some(source) = self.addr {
            addr::write(source.ip(), w.str("SourceAddr"));
        }
        if let Some(node) = &self.node {
            w.str("SourceNode").str(node.as_str());
        }
        if let Some(source) = self.addr {
            w.str("SourcePort").uint(source.port());
        }
    }
}

impl Ping {
    pub(in crate::wire) fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::PING);
        w.map_header(2 + self.source.fields() + usize::from(self.weir.is_some()));
        w.str("Node").str(self.node.as_ref().map_or("", |node| node.as_str()));
        w.str("SeqNo").uint(self.seq_no.get());
        self.source.write(&mut w);
        if let Some(weir) = &self.weir {
            w.str("Weir").bin(weir);
        }
        w.into_bytes()
    }
}

impl IndirectPing {
    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::INDIRECT_PING);
        w.map_header(5 + self.source.fields());
        w.str("Nack").bool(self.nack);
        w.str("Node").str(self.node.as_str());
        w.str("Port").uint(self.target.port());
        w.str("SeqNo").uint(self.seq_no.get());
        self.source.write(&mut w);
        addr::write(self.target.ip(), w.str("Target"));
        w.into_bytes()
    }
}

impl Ack {
    pub(in crate::wire) fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::ACK);
        w.map_header(2 + usize::from(self.weir.is_some()));
        w.str("Payload").bin_or_nil(&self.payload);
        w.str("SeqNo").uint(self.seq_no.get());
        if let Some(weir) = &self.weir {
            w.str("Weir").bin(weir);
        }
        w.into_bytes()
    }
}

impl Alive {
    fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::ALIVE);
        w.map_header(6);
        addr::write(self.addr.ip(), w.str("Addr"));
        w.str("Incarnation").uint(self.incarnation.get());
        w.str("Meta").bin_or_nil(&self.meta);
        w.str("Node").str(self.node.as_str());
        w.str("Port").uint(self.addr.port());
        w.str("Vsn").bin(&self.versions.0);
        w.into_bytes()
    }
}

fn accusation(kind: u8, incarnation: Incarnation, node: &str, from: &str) -> Bytes {
    let mut w = Writer::message(kind);
    w.map_header(3);
    w.str("From").str(from).str("Incarnation").uint(incarnation.get()).str("Node").str(node);
    w.into_bytes()
}
