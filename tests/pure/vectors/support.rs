//! Reading vector files.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use serde_json::Value;
use weir::wire::NodeName;

/// A vector file.
pub(crate) fn load(file: &str) -> Value {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A list of cases, of which there has to be at least one.
pub(crate) fn cases<'a>(file: &'a Value, list: &str) -> &'a [Value] {
    let cases = file[list].as_array().unwrap_or_else(|| panic!("no list {list}"));
    assert!(!cases.is_empty(), "no case in {list}");
    cases
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The bytes behind a member of hex digits.
pub(crate) fn hex_of(case: &Value, field: &str) -> Vec<u8> {
    hex(text(case, field))
}

pub(crate) fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {case}"))
}

pub(crate) fn number<T: TryFrom<u64>>(case: &Value, field: &str) -> T {
    let number = case[field].as_u64().and_then(|number| T::try_from(number).ok());
    number.unwrap_or_else(|| panic!("{field} is no fitting number in {case}"))
}

pub(crate) fn flag(case: &Value, field: &str) -> bool {
    case[field].as_bool().unwrap_or_else(|| panic!("{field} is no truth value in {case}"))
}

/// Bytes that the files write as nothing, as text or as `{"hex": …}`.
pub(crate) fn blob(value: &Value) -> Bytes {
    match value {
        Value::Null => Bytes::new(),
        Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
        Value::Object(_) => hex_of(value, "hex").into(),
        other => panic!("no bytes: {other}"),
    }
}

/// An address that the files write as text or as `{"hex": …}`.
pub(crate) fn ip(value: &Value) -> IpAddr {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => match *blob(other) {
            [a, b, c, d] => [a, b, c, d].into(),
            ref sixteen => IpAddr::from(<[u8; 16]>::try_from(sixteen).unwrap()).to_canonical(),
        },
    }
}

pub(crate) fn addr(case: &Value, ip_field: &str, port_field: &str) -> SocketAddr {
    SocketAddr::new(ip(&case[ip_field]), number(case, port_field))
}

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap_or_else(|| panic!("no name: {text:?}"))
}
