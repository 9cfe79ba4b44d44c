//! The JSON Schema of a configuration file, for editors: what the reader asks for, in the words of the annotated file.

use serde_json::{Map, Value as Json, json};

use super::{Config, show};

/// The JSON Schema of `weir.toml`.
pub fn schema() -> Json {
    let mut schema = Config::schema();
    for (key, text) in explained(show::example()) {
        if let Some(property) = find(&mut schema, &key) {
            property.insert("description".to_owned(), text.into());
        }
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("weir.toml");
    schema
}

/// Each key and table of an annotated file with the comment right above it.
fn explained(file: &str) -> Vec<(String, String)> {
    let (mut table, mut comment, mut found) = (String::new(), Vec::new(), Vec::new());
    for line in file.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
            continue;
        }
        // A key that needs a value of the user's own is commented out.
        let line = line.strip_prefix('#').unwrap_or(line);
        let key = match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => {
                table = name.to_owned();
                Some(table.clone())
            }
            None => line.split_once(" = ").map(|(name, _)| format!("{table}.{name}")),
        };
        found.extend(key.filter(|_| !comment.is_empty()).map(|key| (key, comment.join(" "))));
        comment.clear();
    }
    found
}

/// The property that describes `key`; a name of the user's own may be any.
fn find<'a>(schema: &'a mut Json, key: &str) -> Option<&'a mut Map<String, Json>> {
    let inner = key.split('.').try_fold(schema, |table, name| {
        let is_known = table["properties"].get(name).is_some();
        if is_known { table["properties"].get_mut(name) } else { table.get_mut("additionalProperties") }
    })?;
    inner.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The properties below `schema` that have no description, their own or that of the choice they belong to.
    fn silent(schema: &Json, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["type"] == "object" {
                silent(property, &path, found);
                silent(&property["additionalProperties"], &path, found);
            } else if property.get("description").is_none() {
                found.push(path);
            }
        }
    }

    #[test]
    fn the_annotated_file_explains_every_key() {
        let mut found = Vec::new();
        silent(&schema(), "", &mut found);
        let check = [".check.tcp", ".check.exec", ".check.ttl", ".check.systemd"];
        let probe = [".upstream.probe.https", ".upstream.probe.tcp"];
        let alternatives: Vec<&str> = [".handler.shell"].into_iter().chain(check).chain(probe).collect();
        assert_eq!(found, alternatives, "they stand in the sentences on run and http");
    }

    #[test]
    fn what_the_annotated_file_explains_is_there() {
        let explained = explained(show::example());
        assert!(explained.len() > 70, "{}", explained.len());
        for (key, text) in explained {
            let mut schema = Config::schema();
            assert!(find(&mut schema, &key).is_some(), "{key}: {text}");
        }
    }
}
