//! One line of the file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::str::SplitAsciiWhitespace;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;

use crate::drain::{DrainId, Guard, Guards, Kept};
use crate::serf::{LamportTime, SeenClocks};
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::Tags;

/// Seconds since 1970, by the clock on the wall: a restart has no other.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Time passed since `earlier`; zero if the clock was set back meanwhile.
    pub const fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// Version of the format, in the first record.
const VERSION: u32 = 1;

/// Digits of the checksum and the blank after it.
const CHECKSUM_BYTES: usize = 9;

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Record {
    /// The first line: what the file is.
    Header,
    /// A member joined, or moved.
    Alive { name: NodeName, addr: SocketAddr, at: UnixTime },
    /// A member failed. It is kept, with its metadata, so that a cluster comes together again after a total outage.
    Failed { name: NodeName, addr: SocketAddr, at: UnixTime, meta: Bytes },
    /// A member left or was forgotten.
    Gone { name: NodeName },
    /// Last times seen on the three clocks.
    Clocks(SeenClocks),
    /// Our own incarnation.
    Incarnation(Incarnation),
    /// Tags set at run time, which replace the configured ones; `None` if those hold again.
    Tags(Option<Tags>),
    /// Configured tags that were deleted at run time; none: all hold.
    TagsDeleted(BTreeSet<String>),
    /// A drain of ours that outlives a restart; `None` once it is undone.
    Drain(Option<Kept>),
    /// We left on purpose.
    Leave,
}

impl Record {
    /// Appends the line, its checksum and its end to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let body = self.body();
        out.extend_from_slice(format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes())).as_bytes());
    }

    /// Reads a line without its end; `None` if it is not exactly what was written.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let body = checked(line)?;
        let record = Self::parse(std::str::from_utf8(body).ok()?)?;
        Some(record)
    }

    fn body(&self) -> String {
        match self {
            Self::Header => format!("weir-snapshot {VERSION}"),
            Self::Alive { name, addr, at } => format!("alive {} {addr} {}", escape(name.as_str()), at.0),
            Self::Failed { name, addr, at, meta } => {
                format!("failed {} {addr} {} ={}", escape(name.as_str()), at.0, STANDARD_NO_PAD.encode(meta))
            }
            Self::Gone { name } => format!("gone {}", escape(name.as_str())),
            Self::Clocks(SeenClocks { member, event, query }) => {
                format!("clocks {} {} {}", member.get(), event.get(), query.get())
            }
            Self::Incarnation(incarnation) => format!("incarnation {incarnation}"),
            Self::Tags(None) => "tags-configured".to_owned(),
            Self::Tags(Some(tags)) => tags.iter().fold("tags".to_owned(), |mut body, (key, value)| {
                let _ = write!(body, " {}={}", escape(key), escape(value));
                body
            }),
            Self::TagsDeleted(names) => names.iter().fold("tags-deleted".to_owned(), |mut body, name| {
                let _ = write!(body, " ={}", escape(name));
                body
            }),
            Self::Drain(None) => "drain-none".to_owned(),
            Self::Drain(Some(Kept { id, since, operator, guards, reason })) => {
                let by =
                    ["-", "guard", "operator", "both"][usize::from(!guards.is_empty()) + 2 * usize::from(*operator)];
                let reason = reason.iter().map(|reason| format!(" ={}", escape(reason))).collect::<String>();
                // Only where a word says more than "guard" does, which is all that earlier files have.
                let named = guards.iter().any(|guard| *guard != Guard::unnamed());
                let units = guards.iter().filter(|_| named).map(|guard| format!(" @{}", escape(guard.as_str())));
                format!("drain {} {} {by}{reason}{}", escape(id.as_str()), since.get(), units.collect::<String>())
            }
            Self::Leave => "leave".to_owned(),
        }
    }

    fn parse(body: &str) -> Option<Self> {
        let (kind, rest) = body.split_once(' ').unwrap_or((body, ""));
        let mut fields = rest.split_ascii_whitespace();
        let record = match kind {
            "weir-snapshot" => (number::<u32>(&mut fields)? == VERSION).then_some(Self::Header)?,
            "alive" => Self::Alive { name: name(&mut fields)?, addr: number(&mut fields)?, at: time(&mut fields)? },
            "failed" => Self::Failed {
                name: name(&mut fields)?,
                addr: number(&mut fields)?,
                at: time(&mut fields)?,
                meta: STANDARD_NO_PAD.decode(fields.next()?.strip_prefix('=')?).ok()?.into(),
            },
            "gone" => Self::Gone { name: name(&mut fields)? },
            "clocks" => Self::Clocks(SeenClocks {
                member: ltime(&mut fields)?,
                event: ltime(&mut fields)?,
                query: ltime(&mut fields)?,
            }),
            "incarnation" => Self::Incarnation(number(&mut fields).map(Incarnation::new)?),
            "tags-configured" => Self::Tags(None),
            "tags" => Self::Tags(Some(fields.by_ref().map(tag).collect::<Option<_>>()?)),
            "tags-deleted" => {
                let name = |field: &str| Some(unescape(field.strip_prefix('=')?)?.into_owned());
                Self::TagsDeleted(fields.by_ref().map(name).collect::<Option<_>>()?)
            }
            "drain-none" => Self::Drain(None),
            "drain" => Self::Drain(Some(drain(&mut fields)?)),
            "leave" => Self::Leave,
            _ => return None,
        };
        fields.next().is_none().then_some(record)
    }
}

/// The line without its checksum, if that is right.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (checksum, body) = line.split_at_checked(CHECKSUM_BYTES)?;
    let expected = format!("{:08x} ", crc32fast::hash(body));
    (checksum == expected.as_bytes()).then_some(body)
}

fn number<T: std::str::FromStr>(fields: &mut SplitAsciiWhitespace<'_>) -> Option<T> {
    fields.next()?.parse().ok()
}

fn time(fields: &mut SplitAsciiWhitespace<'_>) -> Option<UnixTime> {
    number(fields).map(UnixTime)
}

fn ltime(fields: &mut SplitAsciiWhitespace<'_>) -> Option<LamportTime> {
    number(fields).map(LamportTime)
}

fn name(fields: &mut SplitAsciiWhitespace<'_>) -> Option<NodeName> {
    NodeName::new(&unescape(fields.next()?)?)
}

fn tag(field: &str) -> Option<(String, String)> {
    let (key, value) = field.split_once('=')?;
    Some((unescape(key)?.into_owned(), unescape(value)?.into_owned()))
}

fn drain(fields: &mut SplitAsciiWhitespace<'_>) -> Option<Kept> {
    let id = DrainId::new(&unescape(fields.next()?)?)?;
    let since = ltime(fields)?;
    let (guard, operator) = match fields.next()? {
        "-" => (false, false),
        "guard" => (true, false),
        "operator" => (false, true),
        "both" => (true, true),
        _ => return None,
    };
    let mut fields = fields.peekable();
    let reason = match fields.next_if(|field| field.starts_with('=')) {
        Some(reason) => Some(unescape(&reason[1..])?.into_owned()),
        None => None,
    };
    let units = fields.map(|field| guard_of(field.strip_prefix('@')?)).collect::<Option<Vec<_>>>()?;
    let guards: Guards = match (guard, units.is_empty()) {
        (true, true) => [Guard::unnamed()].into_iter().collect(),
        (true, false) => units.into_iter().collect(),
        (false, true) => Guards::default(),
        (false, false) => return None,
    };
    Some(Kept { id, since, operator, guards, reason })
}

fn guard_of(field: &str) -> Option<Guard> {
    let unit = unescape(field)?;
    if unit.is_empty() { Some(Guard::unnamed()) } else { Guard::new(&unit) }
}

/// Replaces what would end a field, a line or a key: blanks, control characters, `=` and `%` itself.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_ascii_control() || matches!(c, ' ' | '%' | '=') {
            let _ = write!(out, "%{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let code = u8::from_str_radix(part.get(..2)?, 16).ok()?;
        out.push(char::from(code));
        out.push_str(&part[2..]);
    }
    Some(out.into())
}

#[cfg(test)]
pub(super) mod tests;
