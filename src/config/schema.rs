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
