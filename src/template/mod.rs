//! `[template.NAME]`: any other file that follows the cluster, in minijinja.
//!
//! A template is root's: it may write what it likes. What it is filled with is the cluster's, and a template may write any
//! language, so nothing can be escaped. Therefore only words that mean nothing anywhere reach it ([`Data`]), and it may print
//! only those, whole numbers, truth values and what it has put together of them itself: text that comes from elsewhere, were
//! there a way for it to get there, ends the rendering and not up in a file. It cannot include other files, and has neither
//! time nor memory without end.
//!
//! Reading the source, checking the result and putting it in place is [`crate::apply`]'s.

mod data;
mod mistake;

use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

pub use data::Data;
pub use mistake::{Mistake, Why};

/// Longest source, in bytes. The engine counts lines and columns in 16 bits.
pub const MAX_SOURCE_BYTES: usize = 65_535;

/// Longest result, in bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// About as many steps as a render may take; its memory is bounded by 64 bytes for each.
const FUEL: u64 = 2_000_000;

/// How deep macros may call each other.
const MAX_DEPTH: usize = 32;

/// The name of a template: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(Arc<str>);

impl TemplateName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// `None` if `name` is empty, longer than [`Self::MAX_BYTES`] or has other characters.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_BYTES).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        (fits && plain).then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TemplateName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::new(&name).ok_or_else(|| format!("{name:?} is no template's name; use letters, digits, _ and -"))
    }
}

impl From<TemplateName> for String {
    fn from(name: TemplateName) -> Self {
        name.as_str().to_owned()
    }
}

/// Room on the stack that [`render`] takes for a source of so many bytes: a parser nests as deep as what it reads.
pub const fn stack_bytes(source: usize) -> usize {
    1024 * 1024 + 512 * source
}

/// `source` filled with `data`. Equal input gives equal text. Takes up to [`stack_bytes`] of the stack.
pub fn render(source: &str, data: &Data) -> Result<String, Mistake> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(Mistake { line: None, why: Why::SourceTooLong });
    }
    let mut bounded = Bounded::default();
    let environment = environment();
    let template = environment.template_from_str(source);
    let rendered = template.and_then(|template| template.render_captured_to(data.value(), &mut bounded).map(drop));
    if bounded.is_full {
        return Err(Mistake { line: None, why: Why::TooLong });
    }
    rendered.map_err(|error| Mistake::of(&error, source))?;
    String::from_utf8(bounded.bytes).map_err(|_| Mistake { line: None, why: Why::Encoding })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Of a kind that nothing knows: what is joined with foreign text has to pass the formatter, or is refused.
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("weir".into()));
    for filter in ["safe", "escape", "e"] {
        environment.remove_filter(filter);
    }
    environment.set_formatter(print);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_DEPTH);
    environment.set_debug(true); // for the place of a mistake
    // Blanks stay as they are: a line that ends with a statement must not swallow its end unless `-%}` says so.
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters are accepted"));
    environment
}

/// Prints what is known to be harmless: our words and what was captured of the template's own text, whole numbers, truth values.
fn print(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let refused = || Error::new(ErrorKind::InvalidOperation, mistake::NOT_PRINTABLE);
    let written = match value.kind() {
        ValueKind::String if value.is_safe() => out.write_str(value.as_str().unwrap_or_default()),
        ValueKind::Number if value.is_integer() => out.write_str(&value.to_string()),
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
        _ => return Err(refused()),
    };
    written.map_err(Error::from)
}

/// The result as far as it goes.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_BYTES {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
