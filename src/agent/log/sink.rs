//! Where lines go, by a thread of their own.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use tracing::Level;

use super::journald::{self, Journald};
use super::level;
use super::line::Line;
use super::queue::{Entry, Queue};
use crate::agent::notice::Notice;
use crate::config::{LogFilter, LogFormat};

/// Address space; what a line needs of it is touched.
const STACK_BYTES: usize = 256 * 1024;

/// What a sink is given.
#[derive(Debug)]
pub enum Told {
    /// A line that the operator wants.
    Line(Arc<Line>),
    /// For a console, which has words of its own for it and decides itself whether the operator wants them.
    Notice(Timestamp, Notice),
    /// The agent has ended; nothing comes after this.
    End,
}

/// Whether the operator wants lines of a part at a level.
pub type Wants<'a> = &'a dyn Fn(&str, Level) -> bool;

type Tell = dyn FnMut(Told, Wants<'_>) + Send;

/// Takes everything instead of standard error, on a thread that may wait for its reader. Must not log.
pub struct Console(Box<Tell>);

impl Console {
    /// `tell` is given lines, and notices in place of the lines that they would be.
    pub fn new(tell: impl FnMut(Told, Wants<'_>) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

pub(super) enum Sink {
    Console(Console),
    Journald(Journald),
    Text { colour: bool },
    Json,
}

impl Sink {
    /// What `format` stands for in this process.
    pub(super) fn open(format: LogFormat) -> io::Result<Self> {
        let text = Self::Text { colour: io::stderr().is_terminal() };
        match format {
            LogFormat::Journald => journald::probe().map(|()| Self::Journald(Journald::default())),
            LogFormat::Auto if journald::is_our_stderr() && journald::probe().is_ok() => {
                Ok(Self::Journald(Journald::default()))
            }
            LogFormat::Auto | LogFormat::Text => Ok(text),
            LogFormat::Json => Ok(Self::Json),
        }
    }

    /// Writes what comes out of `queue` for as long as the process lives.
    pub(super) fn start(mut self, queue: Arc<Queue<Told>>, filter: Arc<RwLock<LogFilter>>) -> io::Result<()> {
        let write = move || {
            loop {
                match queue.pop() {
                    Entry::Kept(told) => self.write(told, &filter),
                    Entry::Dropped(lines) => self.write(Told::Line(Arc::new(Line::dropped(lines))), &filter),
                }
            }
        };
        std::thread::Builder::new().name("log".to_owned()).stack_size(STACK_BYTES).spawn(write).map(drop)
    }

    fn write(&mut self, told: Told, filter: &RwLock<LogFilter>) {
        match (self, told) {
            (Self::Console(Console(tell)), told) => tell(told, &|part, level| level::allows(filter, part, level)),
            (Self::Journald(journald), Told::Line(line)) => journald.write(&line),
            (Self::Text { colour }, Told::Line(line)) => to_stderr(&line.text(*colour)),
            (Self::Json, Told::Line(line)) => to_stderr(&line.json()),
            (Self::Journald(_) | Self::Text { .. } | Self::Json, Told::Notice(..) | Told::End) => {}
        }
    }
}

/// One write per line, so that lines of several processes on one terminal do not mix.
fn to_stderr(text: &str) {
    // A log that cannot be written must not end the agent.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
