//! What a stream holds under label and encryption: one message per direction (`memberlist §3`).

use std::fmt;

use bytes::Bytes;

use super::message::{Ack, AliveFields, NodeState, Ping, PushNode, PushPull, StreamMessage, kind};
use super::msgpack::{Reader, Writer};
use super::{DecodeError, Problem, addr, compress};

/// Most bytes of one direction, before or after decompression.
pub const MAX_STREAM: usize = 40 << 20;

/// Longest user state or user message.
pub const MAX_USER_STATE: usize = 20 << 20;

/// Most members in one push/pull.
pub const MAX_NODES: usize = 1 << 20;

/// Longest error text that is kept.
const MAX_ERROR_BYTES: usize = 4096;

/// Longest record in a stream, and longest entry of a push/pull: bounds what is looked at again when more bytes come.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// Reads the one message of a direction while it arrives, looking at each byte about once.
#[derive(Default)]
pub struct StreamReader {
    received: Vec<u8>,
    push_pull: Option<PartialPushPull>,
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

impl StreamReader {
    /// Takes the next bytes. `None` as long as the message is not complete; bytes after it are ignored.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<StreamMessage>, DecodeError> {
        if self.received.len() + bytes.len() > MAX_STREAM {
            return Err(DecodeError::new("stream", self.received.len(), Problem::TooLong));
        }
        self.received.extend_from_slice(bytes);
        read(&self.received, &mut self.push_pull)
    }

    /// Whether nothing has arrived: a stream that ends now was closed in peace.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

/// The message that `received` begins with, or `None` if it is not complete.
fn read(received: &[u8], partial: &mut Option<PartialPushPull>) -> Result<Option<StreamMessage>, DecodeError> {
    let message = match received {
        [] => return Ok(None),
        [kind::COMPRESS, body @ ..] => match compress::inflate(body, MAX_STREAM) {
            Ok(plain) => return bare(&plain, &mut None).map(Some),
            Err(error) => Err(error),
        },
        plain => bare(plain, partial),
    };
    match message {
        Ok(message) => Ok(Some(message)),
        Err(error) if !error.is_truncated() => Err(error),
        Err(error) => {
            let record = partial.as_ref().map_or(0, |partial| partial.at);
            if error.offset - record > MAX_RECORD_BYTES {
                return Err(DecodeError { problem: Problem::TooLong, ..error });
            }
            Ok(None)
        }
    }
}

fn bare(bytes: &[u8], partial: &mut Option<PartialPushPull>) -> Result<StreamMessage, DecodeError> {
    let mut reader = Reader::new(bytes);
    let r = &mut reader;
    let (name, message) = match r.byte().map_err(|error| error.within("stream"))? {
        kind::PING => ("ping", Ping::decode(r).map(StreamMessage::Ping)),
        kind::ACK => ("ack", Ack::decode(r).map(StreamMessage::Ack)),
        kind::PUSH_PULL => ("push/pull", PartialPushPull::decode(bytes, partial).map(StreamMessage::PushPull)),
        kind::USER => ("user message", user_message(r).map(StreamMessage::User)),
        kind::ERROR => ("error", error_text(r).map(StreamMessage::Error)),
        other => ("stream", Err(DecodeError::new("stream", 0, Problem::MessageType(other)))),
    };
    message.map_err(|error| error.within(name))
}

impl StreamMessage {
    /// Reads the message that `bytes` begin with; `None` if it is not complete. Bytes after it are ignored.
    ///
    /// For a stream that arrives in pieces there is [`StreamReader`], which does not begin anew with each of them.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        StreamReader::default().push(bytes)
    }

    /// The message as it goes into a stream. Compression is always used where it is on, even if it does not help.
    pub fn encode(&self, compress: bool) -> Vec<u8> {
        let plain = match self {
            Self::Ping(ping) => ping.encode().into(),
            Self::Ack(ack) => ack.encode().into(),
            Self::PushPull(push_pull) => push_pull.encode(),
            Self::User(message) => {
                let mut w = Writer::message(kind::USER);
                w.map_header(1).str("UserMsgLen").uint(message.len() as u64).verbatim(message);
                w.into_vec()
            }
            Self::Error(text) => {
                let mut w = Writer::message(kind::ERROR);
                w.map_header(1).str("Error").str(text);
                w.into_vec()
            }
        };
        if compress { compress::deflate(&plain) } else { plain }
    }
}

fn user_message(r: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    let mut len = 0;
    r.record(&["UserMsgLen"], |r, _| {
        len = r.length(MAX_USER_STATE)?;
        Ok(())
    })?;
    r.take(len).map(Bytes::copy_from_slice)
}

fn error_text(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    let mut text: &[u8] = &[];
    r.record(&["Error"], |r, _| {
        text = r.raw()?;
        Ok(())
    })?;
    Ok(String::from_utf8_lossy(&text[..text.len().min(MAX_ERROR_BYTES)]).into_owned())
}

/// A push/pull of which only the beginning has arrived.
#[derive(Debug)]
struct PartialPushPull {
    /// With an empty user state.
    message: PushPull,
    nodes_left: usize,
    user_state_len: usize,
    /// Where the next entry, or the user state, begins.
    at: usize,
}

impl PartialPushPull {
    /// Goes on where it stopped the last time. `bytes` are all that have arrived, type byte included.
    fn decode(bytes: &[u8], partial: &mut Option<Self>) -> Result<PushPull, DecodeError> {
        let state = match partial {
            Some(state) => state,
            None => partial.insert(Self::header(bytes)?),
        };
        while state.nodes_left > 0 {
            let mut r = Reader::at(bytes, state.at);
            match PushNode::decode_or_skip(&mut r)? {
                Ok(node) => state.message.nodes.push(node),
                Err(error) => {
                    state.message.skipped += 1;
                    state.message.long_name = error.long_name().or(state.message.long_name);
                }
            }
            state.nodes_left -= 1;
            state.at = r.offset();
        }
        let user_state = Reader::at(bytes, state.at).take(state.user_state_len);
        let user_state = Bytes::copy_from_slice(user_state.map_err(|error| error.within("user state"))?);
        let nodes = std::mem::take(&mut state.message.nodes);
        Ok(PushPull { user_state, nodes, ..state.message })
    }

    fn header(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::at(bytes, 1);
        let (mut join, mut nodes_left, mut user_state_len) = (false, 0, 0);
        r.record(&["Nodes", "UserStateLen", "Join"], |r, field| {
            match field {
                "Nodes" => nodes_left = r.length(MAX_NODES)?,
                "UserStateLen" => user_state_len = r.length(MAX_USER_STATE)?,
                _ => join = r.bool()?,
            }
            Ok(())
        })?;
        let message = PushPull { join, ..PushPull::default() };
        Ok(Self { message, nodes_left, user_state_len, at: r.offset() })
    }
}

impl PushPull {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(kind::PUSH_PULL);
        w.map_header(3).str("Join").bool(self.join).str("Nodes").uint(self.nodes.len() as u64);
        w.str("UserStateLen").uint(self.user_state.len() as u64);
        for node in &self.nodes {
            node.write(&mut w);
        }
        w.verbatim(&self.user_state);
        w.into_vec()
    }
}

impl PushNode {
    const FIELDS: [&'static str; 7] = ["Name", "Addr", "Port", "Meta", "Incarnation", "State", "Vsn"];

    /// The inner error is that of an entry that is well-formed msgpack but not a member: one does not spoil the exchange.
    fn decode_or_skip(r: &mut Reader<'_>) -> Result<Result<Self, DecodeError>, DecodeError> {
        let start = r.clone();
        match Self::decode(r) {
            Ok(node) => Ok(Ok(node)),
            Err(error) if error.is_truncated() => Err(error),
            Err(error) => {
                *r = start;
                r.skip().map(|()| Err(error)).map_err(|error| error.within("node state"))
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (mut fields, mut state) = (AliveFields::default(), NodeState::Alive);
        r.record(&Self::FIELDS, |r, field| {
            match field {
                "State" => state = NodeState::from_wire(r.u8()?).ok_or_else(|| r.error(Problem::Range))?,
                _ => fields.read(field, r)?,
            }
            Ok(())
        })?;
        Ok(Self { alive: fields.finish(r)?, state })
    }

    fn write(&self, w: &mut Writer) {
        let Self { alive, state } = self;
        addr::write(alive.addr.ip(), w.map_header(7).str("Addr"));
        w.str("Incarnation").uint(alive.incarnation.get());
        w.str("Meta").bin_or_nil(&alive.meta);
        w.str("Name").str(alive.node.as_str());
        w.str("Port").uint(alive.addr.port());
        w.str("State").uint(*state as u8);
        w.str("Vsn").bin(&alive.versions.0);
    }
}

impl NodeState {
    fn from_wire(state: u8) -> Option<Self> {
        [Self::Alive, Self::Suspect, Self::Dead, Self::Left].get(usize::from(state)).copied()
    }
}

#[cfg(test)]
mod tests;
