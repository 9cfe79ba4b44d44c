//! What a client sends (`rpc §4`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::command::Command;
use super::read;
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
        Reader::new(value).record(&["Command", "Seq"], |reader, field| {
            match field {
                "Command" => header.command = String::from_utf8_lossy(reader.raw()?).into_owned(),
                _ => header.seq = reader.u64()?,
            }
            Ok(())
        })?;
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

impl Request {
    /// Decodes the body of `command`: one whole value, anything if the command has none.
    pub fn decode(command: Command, body: &[u8]) -> Result<Self, RequestError> {
        let reader = &mut Reader::new(body);
        Ok(match command {
            Command::Handshake => decode_handshake(reader)?,
            Command::Auth => {
                let mut key = Zeroizing::default();
                reader.record(&["AuthKey"], |reader, _| reader.raw().map(|raw| key = Zeroizing::new(raw.to_vec())))?;
                Self::Auth { key }
            }
            Command::Event => decode_event(reader)?,
            Command::ForceLeave => decode_force_leave(reader)?,
            Command::Join => decode_join(reader)?,
            Command::Members => Self::Members,
            Command::MembersFiltered => decode_members_filtered(reader)?,
            Command::Tags => decode_tags(reader)?,
            Command::Stream => Self::Stream { filter: single(reader, "Type")? },
            Command::Monitor => Self::Monitor { level: single(reader, "LogLevel")? },
            Command::Stop => {
                let mut seq = 0;
                reader.record(&["Stop"], |reader, _| reader.u64().map(|value| seq = value))?;
                Self::Stop { seq }
            }
            Command::Leave => Self::Leave,
            Command::Query => decode_query(reader)?,
            Command::Respond => decode_respond(reader)?,
            Command::InstallKey => Self::InstallKey { key: Zeroizing::new(single(reader, "Key")?) },
            Command::UseKey => Self::UseKey { key: Zeroizing::new(single(reader, "Key")?) },
            Command::RemoveKey => Self::RemoveKey { key: Zeroizing::new(single(reader, "Key")?) },
            Command::ListKeys => Self::ListKeys,
            Command::Stats => Self::Stats,
            Command::GetCoordinate => Self::GetCoordinate { node: single(reader, "Node")? },
            Command::Weir(command) => Self::Weir { command, document: Zeroizing::new(single(reader, "Document")?) },
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

/// A body with one string.
fn single(reader: &mut Reader<'_>, field: &'static str) -> Result<String, DecodeError> {
    let mut text = String::new();
    reader.record(&[field], |reader, _| reader.str().map(|value| text = value.to_owned()))?;
    Ok(text)
}

fn decode_handshake(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let (mut version, mut weir) = (0, false);
    reader.record(&["Version", "Weir"], |reader, field| {
        match field {
            "Version" => version = i32::try_from(reader.i64()?).map_err(|_| reader.error(Problem::Range))?,
            _ => weir = reader.bool()?,
        }
        Ok(())
    })?;
    Ok(Request::Handshake { version, weir })
}

fn decode_event(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let (mut name, mut payload, mut coalesce) = (String::new(), Bytes::new(), false);
    reader.record(&["Name", "Payload", "Coalesce"], |reader, field| {
        match field {
            "Name" => name = reader.str()?.to_owned(),
            "Payload" => payload = reader.bytes()?.into_owned().into(),
            _ => coalesce = reader.bool()?,
        }
        Ok(())
    })?;
    Ok(Request::Event { name, payload, coalesce })
}

fn decode_force_leave(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let (mut node, mut prune) = (String::new(), false);
    reader.record(&["Node", "Prune"], |reader, field| {
        match field {
            "Node" => node = reader.str()?.to_owned(),
            _ => prune = reader.bool()?,
        }
        Ok(())
    })?;
    Ok(Request::ForceLeave { node, prune })
}

fn decode_join(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let (mut existing, mut replay) = (Vec::new(), false);
    reader.record(&["Existing", "Replay"], |reader, field| {
        match field {
            "Existing" => existing = read::strings(reader)?,
            _ => replay = reader.bool()?,
        }
        Ok(())
    })?;
    Ok(Request::Join { existing, replay })
}

fn decode_members_filtered(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let mut query = MembersQuery::default();
    reader.record(&["Tags", "Status", "Name"], |reader, field| {
        match field {
            "Tags" => query.tags = read::string_map(reader)?,
            "Status" => query.status = reader.str()?.to_owned(),
            _ => query.name = reader.str()?.to_owned(),
        }
        Ok(())
    })?;
    Ok(Request::MembersFiltered(query))
}

fn decode_tags(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let (mut set, mut delete) = (Tags::new(), Vec::new());
    reader.record(&["Tags", "DeleteTags"], |reader, field| {
        match field {
            "Tags" => set = read::string_map(reader)?,
            _ => delete = read::strings(reader)?,
        }
        Ok(())
    })?;
    Ok(Request::Tags { set, delete })
}

fn decode_query(reader: &mut Reader<'_>) -> Result<Request, RequestError> {
    let mut query = QueryParams::default();
    let mut timeout = 0;
    let fields = ["FilterNodes", "FilterTags", "RequestAck", "RelayFactor", "Timeout", "Name", "Payload"];
    reader.record(&fields, |reader, field| {
        match field {
            "FilterNodes" => query.nodes = read::strings(reader)?,
            "FilterTags" => query.tags = read::string_map(reader)?,
            "RequestAck" => query.ack = reader.bool()?,
            "RelayFactor" => query.relay_factor = reader.u8()?,
            "Timeout" => timeout = reader.i64()?,
            "Name" => query.name = reader.str()?.to_owned(),
            _ => query.payload = reader.bytes()?.into_owned().into(),
        }
        Ok(())
    })?;
    let nanos =
        u64::try_from(timeout).map_err(|_| RequestError::Refused("query timeout must not be negative".to_owned()))?;
    query.timeout = (nanos > 0).then(|| Duration::from_nanos(nanos));
    Ok(Request::Query(query))
}

fn decode_respond(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let (mut id, mut payload) = (0, Bytes::new());
    reader.record(&["ID", "Payload"], |reader, field| {
        match field {
            "ID" => id = reader.u64()?,
            _ => payload = reader.bytes()?.into_owned().into(),
        }
        Ok(())
    })?;
    Ok(Request::Respond { id, payload })
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
