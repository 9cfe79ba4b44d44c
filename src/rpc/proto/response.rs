//! What answers a request (`rpc §1, §4`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::member::Member;
use super::read::{self, read_fields};
use super::record::{decode_members, put_members};
use super::request::put_map;
use super::text;
use crate::rpc::refusal::Refusal;
use crate::rpc::weir;
use crate::serf::KeyOutcome;
use crate::wire::DecodeError;
use crate::wire::msgpack::{Dialect, Reader, Writer};
use crate::wire::serf::Coordinate;

/// Groups of named values: what `stats` answers. All values are text.
pub type Stats = BTreeMap<String, BTreeMap<String, String>>;

/// How a key command went. `Debug` shows no key.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KeyResponse {
    /// What a node had to say; only those that had something.
    pub messages: BTreeMap<String, String>,
    /// How many nodes hold each key (base64); `None` unless keys were listed.
    pub keys: Option<BTreeMap<String, u64>>,
    /// Members asked.
    pub nodes: u32,
    /// Members that refused.
    pub errors: u32,
    /// Members that answered.
    pub responses: u32,
}

impl KeyResponse {
    /// What the end of a key request amounts to; `listed` for a list of keys.
    pub fn from_outcome(outcome: &KeyOutcome, listed: bool) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let told = outcome.nodes.iter().filter(|(_, node)| !node.ok || !node.message.is_empty());
        let keys = || outcome.keys().into_iter().map(|(key, count)| (key.to_owned(), count as u64)).collect();
        Self {
            messages: told.map(|(name, node)| (name.as_str().to_owned(), node.message.clone())).collect(),
            keys: listed.then(keys),
            nodes: count(outcome.asked()),
            errors: count(outcome.errors()),
            responses: count(outcome.nodes.len()),
        }
    }

    /// What the response's header says of it; `None` if every member did it.
    pub fn refusal(&self) -> Option<Refusal> {
        let what = if self.errors > 0 {
            format!("{}/{} nodes reported failure", self.errors, self.nodes)
        } else if self.responses != self.nodes {
            format!("{}/{} nodes reported success", self.responses, self.nodes)
        } else {
            return None;
        };
        Some(Refusal::new(what))
    }
}

impl fmt::Debug for KeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.as_ref().map(BTreeMap::len);
        let Self { messages, nodes, errors, responses, .. } = self;
        write!(f, "KeyResponse({messages:?}, {keys:?} keys, {responses} of {nodes}, {errors} errors)")
    }
}

/// What follows a response's header.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Addresses contacted.
    Join(u32),
    Members(Vec<Member>),
    Keys(KeyResponse),
    Stats(Stats),
    /// `None` if the node is unknown.
    Coordinate(Option<Coordinate>),
    /// A JSON document, of a command of weir's own.
    Document(String),
}

impl Body {
    /// What goes with an error: the body's keys are there whenever the command has a body (`rpc §4`).
    pub fn blank(command: &Command) -> Self {
        match command {
            Command::Join => Self::Join(0),
            Command::Members | Command::MembersFiltered => Self::Members(Vec::new()),
            Command::InstallKey | Command::UseKey | Command::RemoveKey => Self::Keys(KeyResponse::default()),
            Command::ListKeys => Self::Keys(KeyResponse { keys: Some(BTreeMap::new()), ..KeyResponse::default() }),
            Command::Stats => Self::Stats(Stats::new()),
            Command::GetCoordinate => Self::Coordinate(None),
            Command::Weir(_) => Self::Document(String::new()),
            Command::Handshake
            | Command::Auth
            | Command::Event
            | Command::ForceLeave
            | Command::Tags
            | Command::Stream
            | Command::Monitor
            | Command::Stop
            | Command::Leave
            | Command::Query
            | Command::Respond => Self::Empty,
        }
    }

    /// Whether a response to `command` has a body; `error` is its header's.
    pub fn follows(command: &Command, error: &str) -> bool {
        error != text::AUTH_REQUIRED && Self::blank(command) != Self::Empty
    }

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Empty => {}
            Self::Join(contacted) => {
                writer.map_header(1).str("Num").uint(*contacted);
            }
            Self::Members(members) => {
                writer.map_header(1).str("Members");
                put_members(writer, members);
            }
            Self::Keys(keys) => encode_keys(keys, writer),
            Self::Stats(groups) => {
                writer.map_header(groups.len());
                for (group, values) in groups {
                    put_map(writer.str(group), values);
                }
            }
            Self::Coordinate(coordinate) => encode_coordinate(coordinate.as_ref(), writer),
            Self::Document(document) => {
                writer.map_header(1).str("Document").str(document);
            }
        }
    }

    /// Decodes the body of a response to `command`.
    pub fn decode(command: &Command, body: &[u8]) -> Result<Self, DecodeError> {
        let reader = &mut Reader::new(body);
        Ok(match Self::blank(command) {
            Self::Empty => Self::Empty,
            Self::Join(mut contacted) => {
                reader.record(&["Num"], |reader, _| reader.u32().map(|value| contacted = value))?;
                Self::Join(contacted)
            }
            Self::Members(mut members) => {
                reader.record(&["Members"], |reader, _| decode_members(reader).map(|value| members = value))?;
                Self::Members(members)
            }
            Self::Keys(_) => Self::Keys(decode_keys(reader)?),
            Self::Stats(_) => Self::Stats(decode_stats(reader)?),
            Self::Coordinate(_) => Self::Coordinate(decode_coordinate(reader)?),
            Self::Document(mut document) => {
                reader.record(&["Document"], |reader, _| reader.str().map(|value| document = value.to_owned()))?;
                Self::Document(document)
            }
        })
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub header: ResponseHeader,
    pub body: Body,
}

impl Response {
    /// Header and body.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(Dialect::Ext);
        self.header.encode(&mut writer);
        self.body.encode(&mut writer);
        writer.into_vec()
    }
}

/// What every response and record begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ResponseHeader {
    pub seq: u64,
    /// `""` for success.
    pub error: String,
    /// Only from an agent of ours, to a client of ours.
    pub ours: Option<Ours>,
}

/// What Serf's header has no room for: a JSON document, in the field `Weir`. Fields are only ever added.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Ours {
    /// The error in its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

impl ResponseHeader {
    fn encode(&self, writer: &mut Writer) {
        let fields = if self.ours.is_some() { 3 } else { 2 };
        writer.map_header(fields).str("Error").str(&self.error).str("Seq").uint(self.seq);
        if let Some(ours) = &self.ours {
            writer.str("Weir").str(&weir::encode(ours));
        }
    }

    /// Decodes one whole value.
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut header = Self::default();
        let reader = &mut Reader::new(value);
        read_fields!(reader,
            "Seq" => header.seq = Reader::u64,
            "Error" => header.error = read::lossy,
            "Weir" => header.ours = decode_ours,
        );
        Ok(header)
    }
}

fn encode_keys(keys: &KeyResponse, writer: &mut Writer) {
    writer.map_header(5).str("Keys");
    match &keys.keys {
        None => {
            writer.nil();
        }
        Some(counts) => {
            writer.map_header(counts.len());
            for (key, count) in counts {
                writer.str(key).uint(*count);
            }
        }
    }
    put_map(writer.str("Messages"), &keys.messages);
    writer.str("NumErr").uint(keys.errors).str("NumNodes").uint(keys.nodes).str("NumResp").uint(keys.responses);
}

fn decode_keys(reader: &mut Reader<'_>) -> Result<KeyResponse, DecodeError> {
    let mut keys = KeyResponse::default();
    read_fields!(reader,
        "Messages" => keys.messages = read::string_map,
        "Keys" => keys.keys = decode_counts,
        "NumNodes" => keys.nodes = Reader::u32,
        "NumErr" => keys.errors = Reader::u32,
        "NumResp" => keys.responses = Reader::u32,
    );
    Ok(keys)
}

/// How many nodes hold each key; nil unless keys were listed.
fn decode_counts(reader: &mut Reader<'_>) -> Result<Option<BTreeMap<String, u64>>, DecodeError> {
    if reader.take_nil() {
        return Ok(None);
    }
    let len = reader.map_header()?;
    (0..len).map(|_| Ok((reader.str()?.to_owned(), reader.u64()?))).collect::<Result<_, _>>().map(Some)
}

/// What is not understood leaves the sentence.
fn decode_ours(reader: &mut Reader<'_>) -> Result<Option<Ours>, DecodeError> {
    Ok(Some(weir::decode(reader.str()?).unwrap_or_default()))
}

fn decode_stats(reader: &mut Reader<'_>) -> Result<Stats, DecodeError> {
    let len = reader.map_header()?;
    (0..len).map(|_| Ok((reader.str()?.to_owned(), read::string_map(reader)?))).collect()
}

/// An unknown node has zeros and a nil vector.
fn encode_coordinate(coordinate: Option<&Coordinate>, writer: &mut Writer) {
    let [adjustment, error, height] =
        coordinate.map_or([0.0; 3], |known| [known.adjustment, known.error, known.height]);
    writer.map_header(2).str("Coord").map_header(4).str("Adjustment").f64(adjustment).str("Error").f64(error);
    writer.str("Height").f64(height).str("Vec");
    match coordinate {
        None => {
            writer.nil();
        }
        Some(known) => {
            writer.array_header(known.vec.len());
            for component in &known.vec {
                writer.f64(*component);
            }
        }
    }
    writer.str("Ok").bool(coordinate.is_some());
}

fn decode_coordinate(reader: &mut Reader<'_>) -> Result<Option<Coordinate>, DecodeError> {
    let mut coordinate = Coordinate { vec: Vec::new(), error: 0.0, adjustment: 0.0, height: 0.0 };
    let mut known = false;
    read_fields!(reader, "Coord" => coordinate = decode_coord, "Ok" => known = Reader::bool);
    Ok(known.then_some(coordinate))
}

fn decode_coord(reader: &mut Reader<'_>) -> Result<Coordinate, DecodeError> {
    let mut coordinate = Coordinate { vec: Vec::new(), error: 0.0, adjustment: 0.0, height: 0.0 };
    read_fields!(reader,
        "Vec" => coordinate.vec = floats,
        "Error" => coordinate.error = Reader::f64,
        "Adjustment" => coordinate.adjustment = Reader::f64,
        "Height" => coordinate.height = Reader::f64,
    );
    Ok(coordinate)
}

fn floats(reader: &mut Reader<'_>) -> Result<Vec<f64>, DecodeError> {
    let len = reader.array_header()?;
    (0..len).map(|_| reader.f64()).collect()
}
