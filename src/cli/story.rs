//! The story of a drain or a leave, line by line: what is said while it goes on, and what came of it (`ux §3.3`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use super::time;
use crate::drain::document::{Done, Follow, Line, Lines, LingerEnd, Started, Why};
use crate::escape::escape;
use crate::known::Known;
use crate::status::shell::operand;

/// What the time of requests on their way is called.
const FLIGHT: &str = "flight";
/// Where times stand, if what is before them leaves room.
const TIME_COLUMN: usize = 38;

/// What is told of one node.
#[derive(Debug)]
pub(super) struct Story {
    outcome: Outcome,
    /// Of the longest name.
    width: usize,
    drain_time_ms: u64,
    /// Who had not confirmed when the leave went on, once it has.
    unconfirmed: Option<Vec<String>>,
    /// The node's story is over.
    end: Option<Line>,
}

/// What came of it, for programs.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Outcome {
    member: String,
    /// `draining`, `drained`, `serving` or `left`; `asked` of another node that has the order, and nothing more is known of it.
    state: &'static str,
    /// The drain's own, if there is one.
    id: Option<String>,
    /// Whether a drain outlives a restart of the agent.
    kept: bool,
    /// Applications whose guards wanted it drained still when an operator undid that; an empty name is one that is not known.
    ended_guards: Vec<String>,
    balancers: Vec<Balancer>,
    flight: Option<Flight>,
    /// The agent has left the cluster.
    left: bool,
    elapsed_ms: u64,
}

/// The last word of a balancer.
#[derive(Clone, Debug, Default, Serialize)]
struct Balancer {
    name: String,
    /// `out`, `idle` or `none` of who is done; else `wait`, `floor`, `apply`, `unreachable` or `gone`.
    word: String,
    generation: Option<u64>,
    elapsed_ms: Option<u64>,
    /// Why it is not done, if it has said so since.
    #[serde(skip)]
    waits: Option<Waits>,
}

/// Why a balancer is not done.
#[derive(Clone, Debug)]
struct Waits {
    why: Known<Why>,
    text: String,
    earlier: Vec<String>,
}

/// What ended the wait for requests on their way.
#[derive(Clone, Debug, Serialize)]
struct Flight {
    by: Known<LingerEnd>,
    took_ms: u64,
}

impl Story {
    /// Of the node `member`.
    pub(super) fn new(member: &str) -> Self {
        let outcome = Outcome { member: member.to_owned(), state: "draining", kept: true, ..Outcome::default() };
        Self { outcome, width: FLIGHT.len(), drain_time_ms: 0, unconfirmed: None, end: None }
    }

    /// Follows it to its end, or until `enough` of a line; says what happens.
    pub(super) async fn follow(
        &mut self,
        session: &mut Session,
        Started { story }: Started,
        output: &Output,
        enough: fn(&Line) -> bool,
    ) -> Result<(), SessionError> {
        let mut after = 0;
        loop {
            let Lines { lines, ended } = session.weir(&Follow { story, after }).await?;
            after += lines.len();
            for line in lines {
                let is_enough = enough(&line);
                if let Some(said) = self.take(line) {
                    output.notice(&said);
                }
                if is_enough {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// The node.
    pub(super) fn member(&self) -> &str {
        &self.outcome.member
    }

    /// What came of it.
    pub(super) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether it outlives a restart of the agent.
    pub(super) fn is_kept(&self) -> bool {
        self.outcome.kept
    }

    /// The line that ended it, if that has come.
    pub(super) fn end(&self) -> Option<&Line> {
        self.end.as_ref()
    }

    /// Whether somebody else has ended what this was about, before it came to its own end.
    pub(super) fn is_ended_by_others(&self) -> bool {
        matches!(self.end, Some(Line::Superseded | Line::Cancelled))
    }

    /// Balancers that have not confirmed, as the agent counted at the end; by their last words where it has not said.
    pub(super) fn unconfirmed(&self) -> Vec<&str> {
        if let Some(unconfirmed) = &self.unconfirmed {
            return unconfirmed.iter().map(String::as_str).collect();
        }
        let is_open =
            |balancer: &&Balancer| !matches!(balancer.word.as_str(), "out" | "idle" | "none" | "unreachable" | "gone");
        self.outcome.balancers.iter().filter(is_open).map(|balancer| balancer.name.as_str()).collect()
    }

    /// Takes a line and returns what to say about it.
    fn take(&mut self, line: Line) -> Option<String> {
        match line {
            Line::Draining { id, balancers } => {
                self.outcome.id = Some(id);
                for name in balancers {
                    self.width = self.width.max(escape(&name).chars().count());
                    self.balancer(&name);
                }
                None
            }
            Line::NotKept { reason } => {
                self.outcome.kept = false;
                Some(format!("notice: a restart of the agent ends this drain: {}", escape(&reason)))
            }
            Line::StillKept { reason } => {
                Some(format!("notice: a restart of the agent may bring this drain back: {}", escape(&reason)))
            }
            Line::Confirmed { balancer, word, generation, elapsed_ms } => {
                let had_counted = self.balancer(&balancer).generation.is_some();
                let said = confirmed(&word, generation, had_counted, &self.outcome.member);
                self.note(&balancer, word.to_string(), Some(generation), Some(elapsed_ms));
                said.map(|said| self.row(&balancer, &said, Some(elapsed_ms)))
            }
            Line::Waiting { balancer, why, text, earlier, elapsed_ms } => {
                let said = waiting(&why, &text, &earlier, &self.outcome.member);
                self.note(&balancer, why.to_string(), None, Some(elapsed_ms));
                self.balancer(&balancer).waits = Some(Waits { why, text, earlier });
                Some(self.row(&balancer, &said, Some(elapsed_ms)))
            }
            Line::Unreachable { balancer, failed_for_ms } => {
                let age = Duration::from_millis(failed_for_ms);
                let since = jiff::Timestamp::now().checked_sub(age).unwrap_or(jiff::Timestamp::MIN);
                let since = time::of_day(&format!("{since:.0}"));
                self.note(&balancer, "unreachable".to_owned(), None, None);
                Some(self.row(&balancer, &format!("failed since {since}, not waited for"), None))
            }
            Line::Gone { balancer } => {
                self.note(&balancer, "gone".to_owned(), None, None);
                Some(self.row(&balancer, "has left without having confirmed", None))
            }
            Line::Yielded { to, elapsed_ms } => {
                let said = format!("lets {} go first, then tries again", list(&to));
                Some(self.row(&self.outcome.member, &said, Some(elapsed_ms)))
            }
            Line::Lingering { drain_time_ms, .. } => {
                self.drain_time_ms = drain_time_ms;
                None
            }
            Line::Lingered { by, took_ms, elapsed_ms } => {
                let said = match &by {
                    Known::Word(LingerEnd::Idle) => "none left at any balancer".to_owned(),
                    Known::Word(LingerEnd::NoneLeft) => "none left".to_owned(),
                    Known::Word(LingerEnd::DrainTime) => {
                        format!("{} for requests on their way", spell(self.drain_time_ms))
                    }
                    Known::Newer(by) => format!("unknown ({})", escape(by)),
                };
                self.outcome.flight = Some(Flight { by, took_ms });
                Some(self.row(FLIGHT, &said, Some(elapsed_ms)))
            }
            Line::Leaving { unconfirmed, unreachable: _, gone: _, elapsed_ms: _ } => {
                for name in &unconfirmed {
                    let balancer = self.balancer(name);
                    if balancer.word.is_empty() {
                        "wait".clone_into(&mut balancer.word);
                    }
                }
                let said = format!("  leaves without a confirmation of {}", list(&unconfirmed));
                let is_complete = unconfirmed.is_empty();
                self.unconfirmed = Some(unconfirmed);
                (!is_complete).then_some(said)
            }
            Line::Drained { ref unreachable, ref gone, unheard, elapsed_ms } => {
                let is_whole = !unheard && unreachable.is_empty() && gone.is_empty();
                let state = if is_whole { "drained" } else { "draining" };
                self.close(state, Some(elapsed_ms), line)
            }
            Line::Left { elapsed_ms, .. } => self.close("left", Some(elapsed_ms), line),
            Line::Refused { .. } | Line::Cancelled => self.close("serving", None, line),
            Line::Undone { stays, ref ended_guards, .. } => {
                self.outcome.ended_guards.clone_from(ended_guards);
                self.close(if stays { "draining" } else { "serving" }, None, line)
            }
            Line::Unconfirmed { .. } | Line::Superseded => self.close("draining", None, line),
            Line::Remote { id, .. } => {
                self.outcome.id = Some(id);
                None
            }
            Line::RemoteRefused { .. } | Line::RemoteSilent { .. } | Line::RemoteLost { .. } => {
                self.close("asked", None, line)
            }
            Line::Newer { kind } => Some(format!("  unknown ({})", escape(&kind))),
        }
    }

    /// Another agent than ours has left, and tells no story.
    pub(super) fn left(&mut self) {
        self.close("left", None, Line::Left { unconfirmed: Vec::new(), elapsed_ms: 0 });
    }

    /// The first end counts: what follows a refusal is that the drain is taken back.
    fn close(&mut self, state: &'static str, elapsed_ms: Option<u64>, line: Line) -> Option<String> {
        if self.end.is_none() {
            self.outcome.state = state;
            self.outcome.left = matches!(line, Line::Left { .. });
            self.outcome.kept &= matches!(state, "draining" | "drained");
            self.outcome.elapsed_ms = elapsed_ms.unwrap_or(self.outcome.elapsed_ms);
            self.end = Some(line);
        }
        None
    }

    fn balancer(&mut self, name: &str) -> &mut Balancer {
        let balancers = &mut self.outcome.balancers;
        let place = balancers.iter().position(|balancer| balancer.name == name).unwrap_or_else(|| {
            balancers.push(Balancer { name: name.to_owned(), ..Balancer::default() });
            balancers.len() - 1
        });
        &mut balancers[place]
    }

    fn note(&mut self, name: &str, word: String, generation: Option<u64>, elapsed_ms: Option<u64>) {
        let balancer = self.balancer(name);
        balancer.word = word;
        balancer.generation = generation.or(balancer.generation);
        balancer.elapsed_ms = elapsed_ms;
        balancer.waits = None;
        self.outcome.elapsed_ms = elapsed_ms.unwrap_or(self.outcome.elapsed_ms);
    }

    /// Why that balancer is not done, by its last word.
    fn waits(&self, name: &str) -> Option<&Waits> {
        self.outcome.balancers.iter().find(|balancer| balancer.name == name)?.waits.as_ref()
    }

    /// ` (min_healthy = "50%" of upstream web)`, as the balancers that refuse say; nothing where none does.
    fn rules(&self, balancers: &[String]) -> String {
        let rules = balancers.iter().filter_map(|name| self.waits(name)).map(|waits| &waits.text);
        let rules: BTreeSet<_> = rules.filter(|rule| !rule.is_empty()).collect();
        if rules.is_empty() { String::new() } else { format!(" ({})", list(&rules.into_iter().collect::<Vec<_>>())) }
    }

    /// `lb1 did not confirm in time`, or what each has said instead, and whether too few servers are left at one.
    fn open(&self, balancers: &[String]) -> (String, bool) {
        let has_answered = |waits: &&Waits| !waits.why.is(&Why::Wait);
        let (answered, silent): (Vec<&String>, Vec<&String>) =
            balancers.iter().partition(|name| self.waits(name).as_ref().is_some_and(has_answered));
        let silent = (!silent.is_empty()).then(|| format!("{} did not confirm in time", list(&silent)));
        let answers = answered.iter().filter_map(|name| {
            let Waits { why, text, earlier } = self.waits(name)?;
            Some(format!("{}: {}", escape(name), waiting(why, text, earlier, &self.outcome.member)))
        });
        let is_floor = answered.iter().any(|name| self.waits(name).is_some_and(|waits| waits.why.is(&Why::Floor)));
        (silent.into_iter().chain(answers).collect::<Vec<_>>().join("; "), is_floor)
    }

    /// `  lb1     generation 16 without web1 is live      0.4 s`.
    fn row(&self, name: &str, said: &str, elapsed_ms: Option<u64>) -> String {
        let (name, width) = (escape(name), self.width);
        match elapsed_ms {
            Some(elapsed) => format!("  {name:<width$}  {said:<TIME_COLUMN$}  {}", tenths(elapsed)),
            None => format!("  {name:<width$}  {said}"),
        }
    }
}

/// What a balancer's confirmation is worth saying. One that has counted may later know that nothing is on its way.
fn confirmed(word: &Known<Done>, generation: u64, had_counted: bool, member: &str) -> Option<String> {
    let member = escape(member);
    match word {
        Known::Word(Done::Out | Done::Idle) if !had_counted => {
            Some(format!("generation {generation} without {member} is live"))
        }
        Known::Word(Done::Idle) => Some("none of its requests is on its way".to_owned()),
        Known::Word(Done::None) if !had_counted => Some(format!("sends {member} no requests")),
        Known::Word(Done::Out | Done::None) => None,
        Known::Newer(word) => Some(format!("unknown ({})", escape(word))),
    }
}

fn waiting(why: &Known<Why>, text: &str, earlier: &[String], member: &str) -> String {
    let more = if text.is_empty() { String::new() } else { format!(" ({})", escape(text)) };
    match why {
        Known::Word(Why::Wait) => format!("not live yet{more}"),
        Known::Word(Why::Floor) if earlier.is_empty() => format!("too few servers without {}{more}", escape(member)),
        Known::Word(Why::Floor) => format!("too few servers while {} drains{more}", list(earlier)),
        Known::Word(Why::Apply) => format!("cannot put it in place{more}"),
        Known::Newer(why) => format!("unknown ({}){more}", escape(why)),
    }
}

/// What came of it where that is not what was asked for. `other` is the node if it is not the agent's own; `undoes`: it was to
/// serve again.
pub(super) fn failure(story: &Story, other: Option<&str>, undoes: bool) -> Option<Failure> {
    let node = escape(&story.outcome.member);
    let drain = |option| command(&["weir", "drain", option], other);
    let there = || {
        let words: &[&str] = if undoes { &["weir", "drain", "--undo"] } else { &["weir", "drain"] };
        format!("run {} on that host", command(words, None))
    };
    Some(match story.end.as_ref() {
        Some(Line::Drained { .. } | Line::Left { .. } | Line::Undone { .. } | Line::RemoteLost { .. }) => return None,
        Some(Line::Refused { balancers }) => {
            let (them, rules) = (list(balancers), story.rules(balancers));
            let what = format!("too few servers at {them} without {node}{rules}, which goes on to serve");
            // No order to another node says so.
            let place = other.map_or_else(String::new, |_| format!(" on {node}"));
            let remedy = format!("add a server; or 'weir drain --force'{place}: out as soon as there is another");
            Failure::new(Exit::Refused, what).with_remedy(remedy)
        }
        Some(Line::Cancelled) => {
            Failure::new(Exit::Refused, format!("an undo took the leave back, {node} goes on to serve"))
                .with_remedy("'weir leave' again")
        }
        Some(Line::Unconfirmed { balancers }) => {
            let (open, is_floor) = story.open(balancers);
            let what = format!("{open}, {node} stays draining");
            let way_out =
                format!("{} waits again, {} takes it back", command(&["weir", "drain"], other), drain("--undo"));
            let remedy =
                if is_floor { format!("it is out as soon as there is another server; {way_out}") } else { way_out };
            Failure::new(Exit::Incomplete, what).with_remedy(remedy)
        }
        Some(Line::Superseded) => {
            Failure::new(Exit::Failed, format!("somebody asked for something else of {node} meanwhile"))
                .with_remedy("'weir status' shows how it is")
        }
        Some(Line::RemoteRefused { member, text }) => {
            Failure::new(Exit::Failed, format!("{} does not obey: {}", escape(member), escape(text)))
                .with_remedy(there())
        }
        Some(Line::RemoteSilent { member }) => {
            let serf = if undoes { "'serf tags -delete weir_drain'" } else { "'serf tags -set weir_drain=1'" };
            Failure::new(Exit::Incomplete, format!("{} did not answer", escape(member)))
                .with_remedy(format!("{}; where Serf's agent runs, {serf}", there()))
        }
        Some(
            Line::Draining { .. }
            | Line::NotKept { .. }
            | Line::StillKept { .. }
            | Line::Confirmed { .. }
            | Line::Waiting { .. }
            | Line::Unreachable { .. }
            | Line::Gone { .. }
            | Line::Yielded { .. }
            | Line::Lingering { .. }
            | Line::Lingered { .. }
            | Line::Leaving { .. }
            | Line::Remote { .. }
            | Line::Newer { .. },
        )
        | None => Failure::new(Exit::Failed, "it ended in a way that only a newer weir can tell")
            .with_remedy("'weir status' shows how it is"),
    })
}

/// What to type, in quotes, with the node that is meant.
pub(super) fn command(words: &[&str], member: Option<&str>) -> String {
    let member = member.map(operand);
    let words: Vec<&str> = words.iter().copied().chain(member.as_deref()).collect();
    format!("'{}'", words.join(" "))
}

/// Names for people.
pub(super) fn list(names: &[impl AsRef<str>]) -> String {
    names.iter().map(|name| escape(name.as_ref()).into_owned()).collect::<Vec<_>>().join(", ")
}

/// `0.4 s`.
fn tenths(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// `5 s`, `2.5 s`.
fn spell(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { tenths(ms) }
}
