//! The agent's log: one formatting of each event, for the operator and for `monitor`.
//!
//! Every event becomes a [`Line`]: level, part, phrase and fields. It goes to the operator (journald, text or JSON on
//! standard error) if the level setting lets it, and always into a ring of the last lines, from which `monitor` streams at
//! a level of its own. Values are escaped here, so that names and tags from peers are harmless wherever a line ends up.
//!
//! Whoever logs never waits: a bounded queue leads to a thread that writes. A [`Notice`] is an event that a console of
//! other words than ours is given as a value ([`Log::tell`]).

mod journald;
mod level;
mod line;
mod no_spans;
mod queue;
mod ring;
mod sink;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, error};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};

use self::no_spans::NoSpans;
use self::queue::Queue;
use self::ring::Ring;
use self::sink::Sink;
use super::AgentError;
use super::notice::{self, Notice};
use crate::config::{self, LogFilter};

#[cfg(test)]
pub(super) use self::line::tests::captured;
pub use self::line::{Line, serf_line};
pub use self::sink::{Console, Told, Wants};

/// How long the end of the agent waits for a reader that is behind.
const FLUSH: Duration = Duration::from_secs(1);

/// The running log: change its level, follow its lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    filter: Arc<RwLock<LogFilter>>,
    /// Lines come from every thread that logs; the lock is held for one push.
    ring: Mutex<Ring>,
    /// Tests look at the ring only.
    queue: Option<Arc<Queue<Told>>>,
    /// Whether what is told goes to the queue as [`Notice`]s and not as lines.
    is_console: bool,
}

impl Log {
    /// Opens the log without installing it.
    ///
    /// # Errors
    /// journald was demanded and does not answer, or no thread is to be had.
    pub fn open(config: &config::Log) -> Result<Self, AgentError> {
        let sink = Sink::open(config.format).map_err(AgentError::Log)?;
        Self::with_sink(sink, config.level.clone())
    }

    /// A log that only `console` writes, whatever `config.format` says.
    ///
    /// # Errors
    /// No thread is to be had.
    pub fn to_console(config: &config::Log, console: Console) -> Result<Self, AgentError> {
        Self::with_sink(Sink::Console(console), config.level.clone())
    }

    fn with_sink(sink: Sink, filter: LogFilter) -> Result<Self, AgentError> {
        let (filter, queue) = (Arc::new(RwLock::new(filter)), Arc::new(Queue::new()));
        let is_console = matches!(sink, Sink::Console(_));
        sink.start(Arc::clone(&queue), Arc::clone(&filter)).map_err(AgentError::System)?;
        let shared = Shared { filter, ring: Mutex::new(Ring::default()), queue: Some(queue), is_console };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Heard by monitors only.
    #[cfg(test)]
    pub(super) fn silent(filter: LogFilter) -> Self {
        let filter = Arc::new(RwLock::new(filter));
        let shared = Shared { filter, ring: Mutex::new(Ring::default()), queue: None, is_console: false };
        Self { shared: Arc::new(shared) }
    }

    /// Makes this the process's log, of panics too. `false` if there is one already (several agents in one test process).
    pub fn install(&self) -> bool {
        let is_first = tracing::subscriber::set_global_default(self.subscriber()).is_ok();
        if is_first {
            // The default hook writes to standard error, before lines that wait and for as long as nobody reads it.
            std::panic::set_hook(Box::new(|panic| error!(%panic, "this is a bug in weir, please report it")));
        }
        is_first
    }

    fn subscriber(&self) -> impl Subscriber + use<> {
        NoSpans.with(Writer(Arc::clone(&self.shared)))
    }

    /// Logs a notice, and gives it to a console as it is.
    pub(super) fn tell(&self, notice: Notice) {
        notice.log();
        if let (Some(queue), true) = (&self.shared.queue, self.shared.is_console) {
            queue.push(Told::Notice(Timestamp::now(), notice), notice::BYTES);
        }
    }

    /// Replaces the level setting; takes effect with the next event.
    pub fn set_level(&self, filter: LogFilter) {
        *self.shared.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
        tracing::callsite::rebuild_interest_cache();
    }

    /// Offers the last lines, then those that come, at `level` and above, until `offer` returns `false`. A line has Serf's
    /// shape and no line end. `offer` must neither wait nor log.
    pub fn follow(&self, level: Level, offer: impl FnMut(Arc<str>) -> bool + Send + 'static) {
        self.shared.ring().follow(level, Box::new(offer));
        tracing::callsite::rebuild_interest_cache();
    }

    /// Gets the last lines out, unless their reader takes too long.
    pub fn end(&self) {
        if let Some(queue) = &self.shared.queue {
            queue.push(Told::End, 0);
            queue.flush(FLUSH);
        }
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        level::allows(&self.filter, level::part(metadata.target()), *metadata.level())
    }
}

struct Writer(Arc<Shared>);

impl<S: Subscriber> Layer<S> for Writer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        level::is_ours(metadata.target()) && (*metadata.level() <= self.0.ring().level() || self.0.allows(metadata))
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Levels change at run time, so only what can never matter is decided for good.
        if level::is_ours(metadata.target()) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.0.ring().level().max(level::highest(&self.0.filter))))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (line, meta) = (Arc::new(Line::from_event(event)), event.metadata());
        self.0.ring().push(Arc::clone(&line));
        let is_told = self.0.is_console && meta.target() == notice::TARGET;
        if let Some(queue) = &self.0.queue
            && !is_told
            && self.0.allows(meta)
        {
            let bytes = line.bytes();
            queue.push(Told::Line(line), bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tracing::{debug, info, trace};

    use super::*;

    fn at(level: config::Level) -> LogFilter {
        LogFilter { level, parts: Vec::new() }
    }

    fn with_log(level: config::Level, test: impl FnOnce(&Log)) {
        let log = Log::silent(at(level));
        tracing::subscriber::with_default(log.subscriber(), || test(&log));
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
            let allows = |level| level::allows(&log.shared.filter, "swim", level);
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
