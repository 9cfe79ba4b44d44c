//! What Go's decoders say of a configuration file of Serf's (`cli §3`). Everything else about its values is said as in
//! our own mode.

use std::path::Path;

use serde_json::Value;

use super::go;
use crate::config::{MAX_BYTES, SERF_KEYS, SerfKind};

/// The first line that the reference prints about a file it cannot use.
pub(super) fn complaint(path: &str) -> Option<String> {
    let text = match crate::file::read(Path::new(path), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(format!("Error reading '{path}': open {path}: no such file or directory"));
        }
        // Ours says it.
        Err(_) => return None,
    };
    if Path::new(path).extension().is_some_and(|end| end == "toml") {
        return None;
    }
    let why = match serde_json::from_slice(&text) {
        Ok(Value::Object(keys)) => wrong_keys(&keys).or_else(|| wrong_duration(&keys))?,
        Err(error) if error.is_eof() => "unexpected EOF".to_owned(),
        Ok(_) | Err(_) => return None,
    };
    Some(format!("Error decoding '{path}': {why}"))
}

type Keys = serde_json::Map<String, Value>;

fn kind_of(key: &str) -> Option<SerfKind> {
    let lower = key.to_ascii_lowercase();
    SERF_KEYS.iter().find(|(known, ..)| *known == lower).map(|(_, _, kind)| *kind)
}

/// Keys that are none of Serf's, and values of another type, all at once.
fn wrong_keys(keys: &Keys) -> Option<String> {
    let mut unknown: Vec<&str> = keys.keys().map(String::as_str).filter(|key| kind_of(key).is_none()).collect();
    unknown.sort_unstable();
    let mut errors: Vec<String> = keys.iter().filter_map(|(key, value)| wrong_type(key, value)).collect();
    if !unknown.is_empty() {
        errors.push(format!("'' has invalid keys: {}", unknown.join(", ")));
    }
    errors.sort();
    let list = errors.join("\n* ");
    (!errors.is_empty()).then(|| format!("{} error(s) decoding:\n\n* {list}", errors.len()))
}

fn wrong_type(key: &str, value: &Value) -> Option<String> {
    let kind = kind_of(key)?;
    let wanted = match kind {
        SerfKind::Text
        | SerfKind::Level
        | SerfKind::Duration { .. }
        | SerfKind::Role
        | SerfKind::Encrypt
        | SerfKind::RpcAuth
        | SerfKind::TagsFile
        | SerfKind::Interface => "string",
        SerfKind::Count | SerfKind::Retries | SerfKind::Protocol => "int",
        SerfKind::Switch(_) | SerfKind::Bool | SerfKind::LeaveOnTerminate | SerfKind::SkipLeaveOnInterrupt => "bool",
        SerfKind::Texts | SerfKind::Handlers => "list",
        SerfKind::Tags | SerfKind::Mdns => "map",
        SerfKind::Ignored(..) => return None,
    };
    let is_right = match value {
        Value::Null => true,
        Value::String(_) => wanted == "string",
        Value::Number(_) => wanted == "int",
        Value::Bool(_) => wanted == "bool",
        Value::Array(_) => wanted == "list",
        Value::Object(_) => wanted == "map",
    };
    let found = match value {
        Value::Null => "nil",
        Value::String(_) => "string",
        Value::Number(_) => "float64",
        Value::Bool(_) => "bool",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    (!is_right).then(|| match wanted {
        "list" => format!("'{key}': source data must be an array or slice, got {found}"),
        "map" => format!("'{key}' expected a map, got '{found}'"),
        _ => {
            // The reference prints secrets, too.
            let is_secret = matches!(kind, SerfKind::Encrypt | SerfKind::RpcAuth);
            let shown = if is_secret { String::new() } else { format!(", value: '{}'", shown(value)) };
            format!("'{key}' expected type '{wanted}', got unconvertible type '{found}'{shown}")
        }
    })
}

/// As Go prints a value.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", shown(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

fn wrong_duration(keys: &Keys) -> Option<String> {
    let is_duration = |key: &str| matches!(kind_of(key), Some(SerfKind::Duration { .. }));
    let texts = keys.iter().filter(|(key, _)| is_duration(key)).filter_map(|(_, value)| value.as_str());
    texts.filter(|text| !text.is_empty()).find_map(go::duration_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Keys {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn every_wrong_key_and_type_is_told_at_once() {
        assert_eq!(wrong_keys(&keys(r#"{"node_name": "a", "Tags": {}, "protocol": 5, "role": null}"#)), None);
        let all = r#"{"zz": 1, "aa": 2, "node_name": 5, "protocol": "x", "tags": "t", "start_join": true}"#;
        assert_eq!(
            wrong_keys(&keys(all)).expect("mistakes"),
            "5 error(s) decoding:\n\n\
             * '' has invalid keys: aa, zz\n\
             * 'node_name' expected type 'string', got unconvertible type 'float64', value: '5'\n\
             * 'protocol' expected type 'int', got unconvertible type 'string', value: 'x'\n\
             * 'start_join': source data must be an array or slice, got bool\n\
             * 'tags' expected a map, got 'string'"
        );
    }

    #[test]
    fn secrets_of_another_type_are_not_repeated() {
        let secrets = r#"{"encrypt_key": {"a": "secret"}, "RPC_Auth": ["secret"]}"#;
        assert_eq!(
            wrong_keys(&keys(secrets)).expect("mistakes"),
            "2 error(s) decoding:\n\n\
             * 'RPC_Auth' expected type 'string', got unconvertible type '[]interface {}'\n\
             * 'encrypt_key' expected type 'string', got unconvertible type 'map[string]interface {}'"
        );
    }
}
