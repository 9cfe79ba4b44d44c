//! Where a command's words go: answers on standard output, the rest on standard error (`ux §2.1`).

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::table::Layout;
use crate::error::system_words;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people: tables and sentences.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Also in a pipe.
    Always,
    /// Not at all.
    Never,
}

/// The two streams of a command and what they are connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    color: bool,
    quiet: bool,
    terminal: bool,
    /// A terminal can take back what it shows.
    redraws: bool,
}

impl Output {
    /// Looks once at what standard output is.
    pub(crate) fn new(format: Format, color: Color, quiet: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !colour_is_unwanted(),
        };
        Self { format, color, quiet, terminal, redraws: !is_dumb() }
    }

    /// The same without notices and progress.
    pub(crate) const fn silent(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Whether answers are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether only the exit code is wanted of a command that tells no more than how things are.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether a person looks at the answers.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Titles and cutting on a terminal only; `header` and `wide` are the flags that change it.
    pub(crate) fn layout(&self, header: bool, wide: bool) -> Layout {
        let width = (self.terminal && !wide).then(terminal_width).flatten();
        Layout { header: header || self.terminal, width }
    }

    /// `text` in the colour of the state it names, if colours are wanted.
    pub(crate) fn paint_state(&self, text: &str) -> String {
        match style_of_state(text) {
            Some(style) if self.color => format!("{style}{text}{style:#}"),
            _ => text.to_owned(),
        }
    }

    /// An answer as text, its line ends included.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::reader_gone(),
            _ => Failure::new(Exit::Failed, format!("cannot write to standard output: {}", system_words(&error))),
        })
    }

    /// An answer as one indented JSON document.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.text(&(to_json(value) + "\n"))
    }

    /// An answer as one line of JSON, for endless views.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.text(&(to_json_line(value) + "\n"))
    }

    /// Something worth knowing beside the answer. Kept back where a program reads, or with `--quiet`.
    pub(crate) fn notice(&self, text: &str) {
        if !self.quiet && !self.is_json() {
            let _ = writeln!(std::io::stderr(), "{text}"); // nobody is left to tell that standard error is gone
        }
    }

    /// How far long work has come, on a line that the next call replaces; an empty one clears it. For a person who waits, at a
    /// terminal that can do so.
    pub(crate) fn progress(&self, text: &str) {
        let mut stderr = std::io::stderr();
        if !self.quiet && !self.is_json() && self.redraws && stderr.is_terminal() {
            let _ = write!(stderr, "\r\x1b[K{text}"); // nobody is left to tell that standard error is gone
        }
    }

    /// A line that belongs to the failure after it. Programs get the failure alone.
    pub(crate) fn detail(&self, text: &str) {
        if !self.is_json() {
            let _ = writeln!(std::io::stderr(), "{text}"); // nobody is left to tell that standard error is gone
        }
    }

    /// A failure, on standard error, as text or JSON.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.exit() == Exit::Done {
            return;
        }
        let line = if self.is_json() { failure.to_json() } else { failure.to_text() };
        let _ = writeln!(std::io::stderr(), "{line}"); // nobody is left to tell that standard error is gone
    }

    /// Clears a terminal before a view is drawn again.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        if self.terminal && self.redraws { self.text("\x1b[H\x1b[2J") } else { Ok(()) }
    }
}

/// Indented by two, as Serf's.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("our views are maps with text keys, which JSON can always hold")
}

/// On one line.
pub(crate) fn to_json_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our views are maps with text keys, which JSON can always hold")
}

fn colour_is_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_dumb()
}

/// A terminal that knows no escape sequences, by its own word.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn style_of_state(text: &str) -> Option<Style> {
    let color = match text {
        "alive" | "passing" | "in" => AnsiColor::Green,
        "leaving" | "warning" | "draining" | "warming" | "held" | "flapping" | "warn" => AnsiColor::Yellow,
        "failed" | "critical" | "error" | "down" | "left_out" => AnsiColor::Red,
        "left" | "wait" | "skip" | "gone" => return Some(Style::new().dimmed()),
        _ => return None,
    };
    Some(color.on_default())
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
