//! The JSON Schema of a configuration file, for editors. Types and descriptions come from the checked structures, defaults
//! from reading an empty file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value as Json, json};

use super::serf::Extras;
use super::tree::{Node, Origin, Table, Value, set};
use super::upstream::UpstreamTable;
use super::{Apply, Config, Encryption, Gossip, Handler, Leave, Log, Mode, Nginx, Rpc, Snapshot};

/// A duration with its unit.
pub(crate) struct DurationText;

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pattern = r"^([0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|sec|m|min|h|hr|d|day|days|w|weeks?) ?)+$";
        schemars::json_schema!({ "type": "string", "pattern": pattern })
    }
}

/// A whole file.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "weir.toml")]
#[expect(dead_code, reason = "only its schema is used")]
struct File {
    node: super::Node,
    gossip: Gossip,
    encryption: Encryption,
    snapshot: Snapshot,
    rpc: Rpc,
    log: Log,
    /// Programs that events start, each under a name of your own, in order of appearance.
    handler: BTreeMap<String, Handler>,
    /// Upstreams of NGINX by name: letters, digits, _ and -.
    upstream: BTreeMap<String, UpstreamTable>,
    apply: Apply,
    nginx: Nginx,
    leave: Leave,
}

/// The JSON Schema of `weir.toml`.
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    forget_required(&mut schema);
    for setting in specimen().settings() {
        let (Some(default), Some(property)) = (&setting.default, find(&mut schema, &setting.key())) else { continue };
        property.insert("default".to_owned(), default.clone());
    }
    if let Some(upstream) = find(&mut schema, &format!("upstream.{SPECIMEN}")) {
        upstream.insert("required".to_owned(), json!(["select"]));
    }
    schema
}

const SPECIMEN: &str = "specimen";

/// A configuration in which every key occurs.
pub(crate) fn specimen() -> Config {
    let mut table = Table::new();
    let text = |text: &str| Node::new(Value::Text(text.to_owned()), Origin::Default);
    set(&mut table, &["handler", SPECIMEN, "shell"], text("true"));
    set(&mut table, &["upstream", SPECIMEN, "select", "role"], text("web"));
    Config::read(&table, &Extras::default(), Mode::Weir, "").0
}

/// Every key has a default, or is one of several.
fn forget_required(schema: &mut Json) {
    match schema {
        Json::Object(map) => {
            let choice = map
                .get("properties")
                .and_then(Json::as_object)
                .is_some_and(|keys| keys.len() == 1 && (keys.contains_key("run") || keys.contains_key("shell")));
            if !choice && map.get("required").is_some_and(Json::is_array) {
                map.remove("required");
            }
            map.values_mut().for_each(forget_required);
        }
        Json::Array(list) => list.iter_mut().for_each(forget_required),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The property that describes `key`.
fn find<'a>(schema: &'a mut Json, key: &str) -> Option<&'a mut serde_json::Map<String, Json>> {
    let mut at = schema;
    for name in key.split('.') {
        at = table(at)?;
        at = if at.get("properties").is_some_and(|keys| keys.get(name).is_some()) {
            at.get_mut("properties")?.get_mut(name)?
        } else {
            at.get_mut("additionalProperties")?
        };
    }
    at.as_object_mut()
}

/// Of several forms the one that is a table.
fn table(schema: &mut Json) -> Option<&mut Json> {
    if schema.get("anyOf").is_none() {
        return Some(schema);
    }
    schema.get_mut("anyOf")?.as_array_mut()?.iter_mut().find(|form| form.get("properties").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every property below `schema` that is no table, as a dotted key.
    fn leaves(schema: &Json, path: &str, into: &mut Vec<String>) {
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let forms = ["anyOf", "oneOf"].iter().filter_map(|of| schema.get(of)?.as_array()).flatten();
        let before = into.len();
        for form in forms {
            leaves(form, path, into);
        }
        for (name, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            leaves(property, &join(name), into);
        }
        if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
            leaves(inner, &join(SPECIMEN), into);
        }
        if into.len() == before {
            into.push(path.to_owned());
        }
    }

    #[test]
    fn the_schema_knows_the_keys_that_the_reader_knows() {
        let mut schema_keys = Vec::new();
        leaves(&schema(), "", &mut schema_keys);
        // The user's own names, and the form of a handler that the specimen does not use.
        schema_keys.retain(|key| !key.ends_with(".tags.specimen") && key != "handler.specimen.run");
        for key in &mut schema_keys {
            *key = key.replace("select.specimen", "select.role");
        }
        // A value that may be fixed counts as its table.
        let tables: Vec<String> =
            schema_keys.iter().filter_map(|key| Some(key.rsplit_once('.')?.0.to_owned())).collect();
        schema_keys.retain(|key| !tables.contains(key));
        let mut reader_keys: Vec<String> = specimen().settings().iter().map(crate::config::Setting::key).collect();
        schema_keys.sort();
        schema_keys.dedup();
        reader_keys.sort();
        assert_eq!(schema_keys, reader_keys);
    }

    #[test]
    fn every_key_is_described() {
        let mut schema = schema();
        for setting in
            specimen().settings().iter().filter(|setting| !["role", "shell"].contains(&setting.name.as_str()))
        {
            let key = setting.key();
            let property = find(&mut schema, &key).unwrap_or_else(|| panic!("{key}"));
            assert!(property.contains_key("description"), "{key}: {property:?}");
        }
    }
}
