//! One TOML file as a tree, with the place of every key and value.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Trouble;

use super::mistake::Mistake;
use super::tree::{Item, Origin, Table, Value};

/// A file's text, and where its offsets are.
#[derive(Clone, Debug)]
pub(crate) struct LineIndex<'a> {
    path: Arc<str>,
    order: usize,
    text: &'a str,
    /// Offset of each line's first byte.
    lines: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    /// `order` is the file's place in reading order.
    pub(crate) fn new(path: &str, order: usize, text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { path: path.into(), order, text, lines: std::iter::once(0).chain(starts).collect() }
    }

    /// The place of the byte at `offset`.
    pub(crate) fn at(&self, offset: usize) -> Origin {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        self.place(line, column)
    }

    /// The place with this line and column, both from 1.
    pub(crate) fn place(&self, line: usize, column: usize) -> Origin {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Origin::File { order: self.order, path: self.path.clone(), line: small(line), column: small(column) }
    }
}

/// The tree of a TOML file, or its syntax errors, all of them.
pub(crate) fn parse(text: &LineIndex<'_>) -> Result<Table, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text.text);
    if errors.is_empty() {
        return Ok(table(text, document.get_ref()));
    }
    let mistake = |error: &toml::de::Error| {
        let at = text.at(error.span().map_or(0, |span| span.start));
        let written = error.span().and_then(|span| text.text.get(span)).unwrap_or_default();
        let trouble = match error.message() {
            "duplicate key" => Trouble::new(format!("not TOML: '{written}' is written twice"), "keep one"),
            other => Trouble::new(format!("not TOML: {}", other.replace('\n', ", ")), ""),
        };
        Mistake::new(&at, "", trouble)
    };
    Err(errors.iter().map(mistake).collect())
}

fn table(text: &LineIndex<'_>, table: &DeTable<'_>) -> Table {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start); // the parser sorts by name, handlers run in order of appearance
    let mut result = Table::new();
    for (key, value) in keys {
        let item = Item { key_at: text.at(key.span().start), ..item(text, value) };
        result.insert(key.get_ref().to_string(), item);
    }
    result
}

fn item(text: &LineIndex<'_>, value: &Spanned<DeValue<'_>>) -> Item {
    let read = match value.get_ref() {
        DeValue::String(string) => Value::Text(string.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Float(number.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(list) => Value::List(list.iter().map(|each| item(text, each)).collect()),
        DeValue::Table(inner) => Value::Table(table(text, inner)),
    };
    Item::new(read, text.at(value.span().start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let text = LineIndex::new("f.toml", 0, "a = 1\n\"ä\" = 2\n[b]\nc = { d = [1, \"x\"] }\n");
        let root = parse(&text).unwrap();
        assert_eq!(root["a"].at.to_string(), "f.toml:1:5");
        assert_eq!(root["ä"].at.to_string(), "f.toml:2:7");
        assert_eq!(root["b"].key_at.to_string(), "f.toml:3:2");
        let inner = &root["b"].as_table().unwrap()["c"].as_table().unwrap()["d"];
        let Value::List(list) = &inner.value else { panic!("{inner:?}") };
        assert_eq!(list[1].at.to_string(), "f.toml:4:15");
    }

    #[test]
    fn tables_keep_their_order_of_appearance() {
        let root = parse(&LineIndex::new("f", 0, "[z.b]\n[a]\n[z.a]\nx.y = 1\n")).unwrap();
        assert_eq!(root.keys().collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(root["z"].as_table().unwrap().keys().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn all_syntax_errors_are_found() {
        let mistakes = parse(&LineIndex::new("f", 0, "a = \nb = 1\nb = 2\nc = \"x\n")).unwrap_err();
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 3, "{lines:#?}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused_without_a_panic(text in "[\\[\\]a-c.=\"'\n#{}, 0-9\u{e4}-]{0,60}") {
            let _ = parse(&LineIndex::new("f", 0, &text));
        }
    }
}
