//! One of Serf's JSON files as a tree, with the place of every key and value.
//!
//! `serde_json` decides whether the text is JSON; it keeps no places, so a second pass over the text, by then known to be
//! valid, finds them.

use serde_json::Value as Json;

use crate::error::Trouble;

use super::document::LineIndex;
use super::mistake::Mistake;
use super::tree::{Item, Origin, Table, Value};

/// The tree of a JSON object, or why it is none.
pub(crate) fn parse(source: &LineIndex<'_>, text: &str) -> Result<Table, Mistake> {
    match serde_json::from_str::<Json>(text) {
        Ok(Json::Object(_)) => {}
        Ok(_) => {
            let trouble = Trouble::new("not a JSON object", "write { \"KEY\": VALUE, … }");
            return Err(Mistake::new(&source.at(0), "", trouble));
        }
        Err(error) => {
            let at = source.place(error.line().max(1), error.column().max(1));
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            return Err(Mistake::new(&at, "", Trouble::new(format!("not JSON: {message}"), "")));
        }
    }
    let mut scanner = Scanner { source, text, at: 0 };
    match scanner.value().map(|item| item.value) {
        Some(Value::Table(table)) => Ok(table),
        Some(_) | None => Err(Mistake::new(&source.at(scanner.at), "", Trouble::new("not a JSON object", ""))),
    }
}

/// Walks JSON that is known to be valid.
#[derive(Debug)]
struct Scanner<'a> {
    source: &'a LineIndex<'a>,
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn value(&mut self) -> Option<Item> {
        let at = self.next_place();
        let value = match self.peek()? {
            b'{' => Value::Table(self.object()?),
            b'[' => Value::List(self.array()?),
            b'"' => Value::Text(self.string()?),
            _ => self.scalar()?,
        };
        Some(Item::new(value, at))
    }

    fn object(&mut self) -> Option<Table> {
        let mut table = Table::new();
        self.at += 1;
        while self.peek()? != b'}' {
            let key_at = self.next_place();
            let key = self.string()?;
            self.skip(b':')?;
            let (place, before) = table.insert_full(key, Item { key_at, ..self.value()? });
            table[place].replaced = before.map(Box::new);
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(table)
    }

    fn array(&mut self) -> Option<Vec<Item>> {
        let mut list = Vec::new();
        self.at += 1;
        while self.peek()? != b']' {
            list.push(self.value()?);
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Some(list)
    }

    fn string(&mut self) -> Option<String> {
        self.peek()?;
        let start = self.at;
        let mut escaped = false;
        let inside = self.text[start + 1..].bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        self.at = start + inside + 2;
        serde_json::from_str(&self.text[start..self.at]).ok()
    }

    /// A number, `true`, `false` or `null`, which Serf reads as the absence of a value.
    fn scalar(&mut self) -> Option<Value> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len());
        self.at += end;
        Some(match serde_json::from_str(&rest[..end]).ok()? {
            Json::Bool(truth) => Value::Bool(truth),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Float(number.as_f64()?),
            },
            Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => Value::Text(String::new()),
        })
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn next_place(&mut self) -> Origin {
        let _ = self.peek(); // only moves past blanks
        self.source.at(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table, Mistake> {
        parse(&LineIndex::new("x.json", 0, text), text)
    }

    #[test]
    fn places_are_those_of_the_text() {
        let root = read(
            "{\n  \"a\\\"b\": [1, -2.5, \"ä\\u0041\"],\n  \"c\": {\"d\": true, \"e\": null}, \"f\": {} , \"g\":[]\n}",
        )
        .unwrap();
        assert_eq!(root.keys().collect::<Vec<_>>(), ["a\"b", "c", "f", "g"]);
        let Value::List(list) = &root["a\"b"].value else { panic!() };
        assert_eq!((list[2].at.to_string().as_str(), list[2].value.to_string().as_str()), ("x.json:2:21", "\"äA\""));
        let inner = root["c"].as_table().unwrap();
        assert_eq!(inner["d"].key_at.to_string(), "x.json:3:9");
        assert_eq!(inner["d"].at.to_string(), "x.json:3:14");
    }

    #[test]
    fn what_is_not_an_object_is_refused_with_its_place() {
        assert_eq!(read("[1]").unwrap_err().to_string(), "x.json:1:1: not a JSON object; write { \"KEY\": VALUE, … }");
        assert_eq!(read("{\n\"a\": 1,\n").unwrap_err().to_string(), "x.json:3:1: not JSON: EOF while parsing a value");
    }

    proptest::proptest! {
        #[test]
        fn the_places_do_not_change_the_values(text in "(\\{(\"[ab\\\\\\\\n\"]{0,3}\": ?(1|-2\\.5|true|null|\"x\\\\\\\\\"|\\[1, 2\\]|\\{\\}),? ?){0,3}\\})") {
            if let Ok(Json::Object(object)) = serde_json::from_str::<Json>(&text) {
                let table = read(&text).unwrap();
                let null_is_empty = |json: &Json| if json.is_null() { Json::from("") } else { json.clone() };
                for (key, value) in &object {
                    proptest::prop_assert_eq!(&table[key].value.plain(), &null_is_empty(value));
                }
            }
        }
    }
}
