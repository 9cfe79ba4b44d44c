//! What a client sends (`rpc §4`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::command::Command;
use super::read::{self, read_fields};
use crate::serf::QueryParams;
use crate::wire::msgpack::{Dialect, Reader, Writer};
use crate::wire::serf::Tags;
use crate::wire::{DecodeError, Problem};

/// What every request begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// As sent; empty if there was none.
    pub command: String,
    /// Chosen by the client, echoed in everything that answers it.
    pub seq: u64,
}

impl Header {
    /// Decodes one whole value.
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut header = Self::default();
        let reader = &mut Reader::new(value);
        read_fields!(reader, "Command" => header.command = read::lossy, "Seq" => header.seq = Reader::u64);
        Ok(header)
    }
}

/// Which members are wanted: expressions in Go's syntax that must match the whole text; empty ones match everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MembersQuery {
    /// By tag; a missing tag has the value `""`.
    pub tags: Tags,
    pub status: String,
    pub name: String,
}

/// A command with its body. `Debug` shows the command only: bodies hold tokens and keys.
#[derive(Clone, Eq, PartialEq)]
pub enum Request {
    Handshake {
        version: i32,
        /// The client is ours: it wants refusals in parts, and to know whether the agent is ours as well.
        weir: bool,
    },
    Auth {
        key: Zeroizing<Vec<u8>>,
    },
    Event {
        name: String,
        payload: Bytes,
        coalesce: bool,
    },
    ForceLeave {
        node: String,
        prune: bool,
    },
    Join {
        existing: Vec<String>,
        replay: bool,
    },
    Members,
    MembersFiltered(MembersQuery),
    Tags {
        set: Tags,
        delete: Vec<String>,
    },
    Stream {
        filter: String,
    },
    Monitor {
        level: String,
    },
    /// The sequence number of the stream or monitor to end.
    Stop {
        seq: u64,
    },
    Leave,
    Query(QueryParams),
    /// `id` as in the record of the query.
    Respond {
        id: u64,
        payload: Bytes,
    },
    /// Base64, as are the next two.
    InstallKey {
        key: Zeroizing<String>,
    },
    UseKey {
        key: Zeroizing<String>,
    },
    RemoveKey {
        key: Zeroizing<String>,
    },
    ListKeys,
    Stats,
    GetCoordinate {
        node: String,
    },
    /// One of weir's own: its whole name and a JSON document, which may hold a key.
    Weir {
        command: String,
        document: Zeroizing<String>,
    },
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.command().name())
    }
}

/// Why a body is not a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// A value of the wrong kind; Serf hangs up without an answer.
    #[error(transparent)]
    Malformed(DecodeError),
    /// Well-formed and refused; the connection lives on.
    #[error("{0}")]
    Refused(String),
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        match error.problem {
            Problem::Utf8 => Self::Refused(error.to_string()),
            _ => Self::Malformed(error),
        }
    }
}

/// The variant of a body, its fields by their names on the wire.
macro_rules! body {
    ($reader:ident, $variant:ident { $($field:ident: $name:literal = $read:path),+ }) => {{
        $(let mut $field = Default::default();)+
        read_fields!($reader, $($name => $field = $read),+);
        Self::$variant { $($field),+ }
    }};
}

impl Request {
    /// Decodes the body of `command`: one whole value, anything if the command has none. Fields stand in the order of their
    /// declaration in Serf, which is that of a body that comes as an array.
    pub fn decode(command: Command, body: &[u8]) -> Result<Self, RequestError> {
        let reader = &mut Reader::new(body);
        Ok(match command {
            Command::Handshake => body!(reader, Handshake { version: "Version" = int, weir: "Weir" = Reader::bool }),
            Command::Auth => body!(reader, Auth { key: "AuthKey" = secret }),
            Command::Event => body!(
                reader,
                Event { name: "Name" = text, payload: "Payload" = octets, coalesce: "Coalesce" = Reader::bool }
            ),
            Command::ForceLeave => body!(reader, ForceLeave { node: "Node" = text, prune: "Prune" = Reader::bool }),
            Command::Join => {
                body!(reader, Join { existing: "Existing" = read::strings, replay: "Replay" = Reader::bool })
            }
            Command::Members => Self::Members,
            Command::MembersFiltered => Self::MembersFiltered(decode_members_query(reader)?),
            Command::Tags => {
                body!(reader, Tags { set: "Tags" = read::string_map, delete: "DeleteTags" = read::strings })
            }
            Command::Stream => body!(reader, Stream { filter: "Type" = text }),
            Command::Monitor => body!(reader, Monitor { level: "LogLevel" = text }),
            Command::Stop => body!(reader, Stop { seq: "Stop" = Reader::u64 }),
            Command::Leave => Self::Leave,
            Command::Query => Self::Query(decode_query(reader)?),
            Command::Respond => body!(reader, Respond { id: "ID" = Reader::u64, payload: "Payload" = octets }),
            Command::InstallKey => body!(reader, InstallKey { key: "Key" = secret_text }),
            Command::UseKey => body!(reader, UseKey { key: "Key" = secret_text }),
            Command::RemoveKey => body!(reader, RemoveKey { key: "Key" = secret_text }),
            Command::ListKeys => Self::ListKeys,
            Command::Stats => Self::Stats,
            Command::GetCoordinate => body!(reader, GetCoordinate { node: "Node" = text }),
            Command::Weir(command) => {
                let mut document = Zeroizing::default();
                read_fields!(reader, "Document" => document = secret_text);
                Self::Weir { command, document }
            }
        })
    }

    /// The command it is.
    pub fn command(&self) -> Command {
        match self {
            Self::Handshake { .. } => Command::Handshake,
            Self::Auth { .. } => Command::Auth,
            Self::Event { .. } => Command::Event,
            Self::ForceLeave { .. } => Command::ForceLeave,
            Self::Join { .. } => Command::Join,
            Self::Members => Command::Members,
            Self::MembersFiltered(_) => Command::MembersFiltered,
            Self::Tags { .. } => Command::Tags,
            Self::Stream { .. } => Command::Stream,
            Self::Monitor { .. } => Command::Monitor,
            Self::Stop { .. } => Command::Stop,
            Self::Leave => Command::Leave,
            Self::Query(_) => Command::Query,
            Self::Respond { .. } => Command::Respond,
            Self::InstallKey { .. } => Command::InstallKey,
            Self::UseKey { .. } => Command::UseKey,
            Self::RemoveKey { .. } => Command::RemoveKey,
            Self::ListKeys => Command::ListKeys,
            Self::Stats => Command::Stats,
            Self::GetCoordinate { .. } => Command::GetCoordinate,
            Self::Weir { command, .. } => Command::Weir(command.clone()),
        }
    }

    /// Header and body, as Go's client writes them.
    pub fn encode(&self, seq: u64) -> Vec<u8> {
        let mut writer = Writer::new(Dialect::Ext);
        writer.map_header(2).str("Command").str(self.command().name()).str("Seq").uint(seq);
        self.encode_body(&mut writer);
        writer.into_vec()
    }

    fn encode_body(&self, writer: &mut Writer) {
        match self {
            Self::Members | Self::Leave | Self::ListKeys | Self::Stats => {}
            Self::Handshake { version, weir: false } => {
                writer.map_header(1).str("Version").int((*version).into());
            }
            Self::Handshake { version, weir: true } => {
                writer.map_header(2).str("Version").int((*version).into()).str("Weir").bool(true);
            }
            Self::Auth { key } => {
                writer.map_header(1).str("AuthKey").str(&String::from_utf8_lossy(key));
            }
            Self::Event { name, payload, coalesce } => {
                writer.map_header(3).str("Coalesce").bool(*coalesce).str("Name").str(name);
                writer.str("Payload").bin_or_nil(payload);
            }
            Self::ForceLeave { node, prune } => {
                writer.map_header(2).str("Node").str(node).str("Prune").bool(*prune);
            }
            Self::Join { existing, replay } => {
                writer.map_header(2).str("Existing");
                put_strings(writer, existing).str("Replay").bool(*replay);
            }
            Self::MembersFiltered(query) => {
                writer.map_header(3).str("Name").str(&query.name).str("Status").str(&query.status).str("Tags");
                put_map(writer, &query.tags);
            }
            Self::Tags { set, delete } => {
                writer.map_header(2).str("DeleteTags");
                put_map(put_strings(writer, delete).str("Tags"), set);
            }
            Self::Stream { filter } => {
                writer.map_header(1).str("Type").str(filter);
            }
            Self::Monitor { level } => {
                writer.map_header(1).str("LogLevel").str(level);
            }
            Self::Stop { seq } => {
                writer.map_header(1).str("Stop").uint(*seq);
            }
            Self::Query(query) => encode_query(query, writer),
            Self::Respond { id, payload } => {
                writer.map_header(2).str("ID").uint(*id).str("Payload").bin_or_nil(payload);
            }
            Self::InstallKey { key } | Self::UseKey { key } | Self::RemoveKey { key } => {
                writer.map_header(1).str("Key").str(key);
            }
            Self::GetCoordinate { node } => {
                writer.map_header(1).str("Node").str(node);
            }
            Self::Weir { document, .. } => {
                writer.map_header(1).str("Document").str(document);
            }
        }
    }
}

fn int(reader: &mut Reader<'_>) -> Result<i32, DecodeError> {
    i32::try_from(reader.i64()?).map_err(|_| reader.error(Problem::Range))
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.str().map(str::to_owned)
}

fn secret_text(reader: &mut Reader<'_>) -> Result<Zeroizing<String>, DecodeError> {
    text(reader).map(Zeroizing::new)
}

fn secret(reader: &mut Reader<'_>) -> Result<Zeroizing<Vec<u8>>, DecodeError> {
    reader.raw().map(|raw| Zeroizing::new(raw.to_vec()))
}

fn octets(reader: &mut Reader<'_>) -> Result<Bytes, DecodeError> {
    reader.bytes().map(|bytes| bytes.into_owned().into())
}

fn decode_members_query(reader: &mut Reader<'_>) -> Result<MembersQuery, DecodeError> {
    let mut query = MembersQuery::default();
    read_fields!(reader,
        "Tags" => query.tags = read::string_map,
        "Status" => query.status = text,
        "Name" => query.name = text,
    );
    Ok(query)
}

fn decode_query(reader: &mut Reader<'_>) -> Result<QueryParams, RequestError> {
    let mut query = QueryParams::default();
    let mut timeout = 0;
    read_fields!(reader,
        "FilterNodes" => query.nodes = read::strings,
        "FilterTags" => query.tags = read::string_map,
        "RequestAck" => query.ack = Reader::bool,
        "RelayFactor" => query.relay_factor = Reader::u8,
        "Timeout" => timeout = Reader::i64,
        "Name" => query.name = text,
        "Payload" => query.payload = octets,
    );
    let nanos =
        u64::try_from(timeout).map_err(|_| RequestError::Refused("query timeout must not be negative".to_owned()))?;
    query.timeout = (nanos > 0).then(|| Duration::from_nanos(nanos));
    Ok(query)
}

fn encode_query(query: &QueryParams, writer: &mut Writer) {
    writer.map_header(7).str("FilterNodes");
    put_strings(writer, &query.nodes).str("FilterTags");
    put_map(writer, &query.tags).str("Name").str(&query.name).str("Payload").bin_or_nil(&query.payload);
    writer.str("RelayFactor").uint(query.relay_factor).str("RequestAck").bool(query.ack);
    let nanos = query.timeout.map_or(0, |timeout| i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX));
    writer.str("Timeout").int(nanos);
}

/// An empty list is nil, as in Go.
fn put_strings<'a>(writer: &'a mut Writer, strings: &[String]) -> &'a mut Writer {
    if strings.is_empty() {
        return writer.nil();
    }
    writer.array_header(strings.len());
    for string in strings {
        writer.str(string);
    }
    writer
}

/// An empty map is an empty map.
pub(super) fn put_map<'a>(writer: &'a mut Writer, map: &BTreeMap<String, String>) -> &'a mut Writer {
    writer.map_header(map.len());
    for (key, value) in map {
        writer.str(key).str(value);
    }
    writer
}
