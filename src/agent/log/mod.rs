//! The agent's log: one formatting of each event, for the operator and for `monitor`.
//!
//! Every event becomes a [`Line`]: level, part, phrase and fields. It goes to the operator (journald, text or JSON on
//! standard error) if the level setting lets it, and always into a ring of the last lines, from which `monitor` streams at
//! a level of its own. Values are escaped here, so that names and tags from peers are harmless wherever a line ends up.

mod journald;
mod level;
mod line;
mod ring;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;

use self::journald::Journald;
pub use self::line::Line;
use self::ring::Ring;
use crate::config::{self, LogFilter, LogFormat};

/// The running log: change its level, follow its lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Shared, so that the lock is not held while a line is written.
    filter: RwLock<Arc<LogFilter>>,
    sink: Sink,
    /// Lines are written from every thread that logs; the lock is held for one push.
    ring: Mutex<Ring>,
}

/// Whether the operator wants lines of a part at a level.
pub type Wants<'a> = &'a dyn Fn(&str, Level) -> bool;

type WriteLine = dyn Fn(&Line, Wants<'_>) + Send + Sync;

/// Takes every line instead of standard error, from whichever thread, and must not log.
pub struct Console(Box<WriteLine>);

impl Console {
    /// `write` is given each line, and decides itself what the operator wants.
    pub fn new(write: impl Fn(&Line, Wants<'_>) + Send + Sync + 'static) -> Self {
        Self(Box::new(write))
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

#[derive(Debug)]
enum Sink {
    Console(Console),
    Journald(Journald),
    Text {
        colour: bool,
    },
    Json,
    /// Tests look at the ring only.
    #[cfg(test)]
    Nowhere,
}

impl Log {
    /// Opens the log without installing it.
    ///
    /// # Errors
    /// journald was demanded and does not answer.
    pub fn open(config: &config::Log) -> io::Result<Self> {
        let text = || Sink::Text { colour: io::stderr().is_terminal() };
        let sink = match config.format {
            LogFormat::Journald => Sink::Journald(Journald::connect()?),
            LogFormat::Auto if journald::is_our_stderr() => Journald::connect().map_or_else(|_| text(), Sink::Journald),
            LogFormat::Auto | LogFormat::Text => text(),
            LogFormat::Json => Sink::Json,
        };
        Ok(Self::with_sink(sink, config.level.clone()))
    }

    /// A log that only `console` writes, whatever `config.format` says.
    pub fn to_console(config: &config::Log, console: Console) -> Self {
        Self::with_sink(Sink::Console(console), config.level.clone())
    }

    fn with_sink(sink: Sink, filter: LogFilter) -> Self {
        let ring = Mutex::new(Ring::default());
        Self { shared: Arc::new(Shared { filter: RwLock::new(Arc::new(filter)), sink, ring }) }
    }

    /// Heard by monitors only.
    #[cfg(test)]
    pub(super) fn silent(filter: LogFilter) -> Self {
        Self::with_sink(Sink::Nowhere, filter)
    }

    /// Makes this the process's log. `false` if there is one already (several agents in one test process).
    pub fn install(&self) -> bool {
        use tracing_subscriber::layer::SubscriberExt;
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(self.layer())).is_ok()
    }

    fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Writer(self.shared.clone())
    }

    /// Replaces the level setting; takes effect with the next event.
    pub fn set_level(&self, filter: LogFilter) {
        *self.shared.filter.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(filter);
        tracing::callsite::rebuild_interest_cache();
    }

    /// Offers the last lines, then those that come, at `level` and above, until `offer` returns `false`. A line has Serf's
    /// shape and no line end. `offer` must neither wait nor log.
    pub fn follow(&self, level: Level, offer: impl FnMut(Arc<str>) -> bool + Send + 'static) {
        self.ring().follow(level, Box::new(offer));
        tracing::callsite::rebuild_interest_cache();
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer(Arc<Shared>);

impl Writer {
    fn filter(&self) -> Arc<LogFilter> {
        self.0.filter.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Writer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let (target, level) = (metadata.target(), *metadata.level());
        let operator_wants = || level::allows(&self.filter(), level::part(target), level);
        level::is_ours(target) && (level <= self.ring().level() || operator_wants())
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        use tracing::subscriber::Interest;
        // Levels change at run time, so only what can never matter is decided for good.
        if level::is_ours(metadata.target()) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let wanted = self.ring().level().max(level::highest(&self.filter()));
        Some(LevelFilter::from_level(wanted))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::from_event(event);
        let filter = self.filter();
        self.0.sink.write(&line, &|part, level| level::allows(&filter, part, level));
        self.ring().push(&line);
    }
}

impl Sink {
    fn write(&self, line: &Line, wants: Wants<'_>) {
        match self {
            // It has lines that are written at any level.
            Self::Console(Console(write)) => write(line, wants),
            Self::Journald(_) | Self::Text { .. } | Self::Json if !wants(&line.part, line.level) => {}
            Self::Journald(journald) => journald.write(line),
            Self::Text { colour } => to_stderr(&line.text(*colour)),
            Self::Json => to_stderr(&line.json()),
            #[cfg(test)]
            Self::Nowhere => {}
        }
    }
}

/// One write per line, so that lines of several processes on one terminal do not mix.
fn to_stderr(text: &str) {
    // A log that cannot be written must not end the agent.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing::{debug, info, trace};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn at(level: config::Level) -> LogFilter {
        LogFilter { level, parts: Vec::new() }
    }

    fn with_log(level: config::Level, test: impl FnOnce(&Log)) {
        let log = Log::silent(at(level));
        let subscriber = tracing_subscriber::registry().with(log.layer());
        tracing::subscriber::with_default(subscriber, || test(&log));
    }

    fn follow(log: &Log, level: Level) -> mpsc::Receiver<Arc<str>> {
        let (sender, receiver) = mpsc::channel();
        log.follow(level, move |line| sender.send(line).is_ok());
        receiver
    }

    #[test]
    fn follower_gets_past_and_coming_lines_in_serf_shape() {
        with_log(config::Level::Error, |log| {
            info!(member = "web1", "member joined");
            let lines = follow(log, Level::INFO);
            info!(target: "weir::swim::probe", members = 2, "second");
            let texts: Vec<_> = lines.try_iter().collect();
            assert_eq!(texts.len(), 2);
            assert!(texts[0].ends_with(" [INFO] agent: member joined member=web1"), "{texts:?}");
            assert!(texts[1].ends_with(" [INFO] swim: second members=2"), "{texts:?}");
        });
    }

    #[test]
    fn followers_level_is_independent_of_the_operators() {
        with_log(config::Level::Info, |log| {
            trace!("before anybody asked for traces");
            let lines = follow(log, Level::TRACE);
            trace!("packet");
            debug!("decision");
            assert_eq!(lines.try_iter().count(), 2);
            let quiet = follow(log, Level::WARN);
            info!("not for the quiet one");
            assert_eq!(quiet.try_iter().count(), 0);
        });
    }

    #[test]
    fn changed_level_takes_effect_at_once() {
        with_log(config::Level::Error, |log| {
            let writer = Writer(log.shared.clone());
            let allows = |level| level::allows(&writer.filter(), "swim", level);
            assert!(!allows(Level::INFO));
            log.set_level(at(config::Level::Info));
            assert!(allows(Level::INFO));
        });
    }

    #[test]
    fn other_crates_stay_silent() {
        with_log(config::Level::Trace, |log| {
            let lines = follow(log, Level::TRACE);
            info!(target: "mio::poll", "registering");
            assert_eq!(lines.try_iter().count(), 0);
        });
    }
}
