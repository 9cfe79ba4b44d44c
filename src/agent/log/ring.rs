//! The last lines of the log and those who follow it (`rpc §6`).
//!
//! Most lines are kept for followers that never come, so a line becomes text when somebody reads it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tracing::Level;

use super::line::Line;

/// Lines kept for a follower that comes later.
const RING_LINES: usize = 512;
/// Longer ones are cut; the ring then stays under a megabyte.
const MAX_LINE_BYTES: usize = 2048;
/// Kept for later followers whatever the operator's level is. Traces are made only while somebody asked for them.
const KEPT: Level = Level::DEBUG;

/// Takes a line, in Serf's shape and without a line end; `false` once nobody reads any more. Must neither wait nor log.
pub(super) type Offer = Box<dyn FnMut(Arc<str>) -> bool + Send>;

struct Follower {
    level: Level,
    offer: Offer,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("level", &self.level).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<Kept>,
    followers: Vec<Follower>,
}

#[derive(Debug)]
enum Kept {
    Line(Arc<Line>),
    /// Of a line that is too long to be kept whole.
    Cut(Level, Arc<str>),
}

impl Kept {
    fn new(line: Arc<Line>) -> Self {
        if line.bytes() > MAX_LINE_BYTES { Self::Cut(line.level(), text(&line)) } else { Self::Line(line) }
    }

    fn level(&self) -> Level {
        match self {
            Self::Line(line) => line.level(),
            Self::Cut(level, _) => *level,
        }
    }

    fn text(&self) -> Arc<str> {
        match self {
            Self::Line(line) => text(line),
            Self::Cut(_, text) => Arc::clone(text),
        }
    }
}

impl Ring {
    /// The most detailed level that is kept or followed.
    pub(super) fn level(&self) -> Level {
        self.followers.iter().map(|follower| follower.level).fold(KEPT, Level::max)
    }

    pub(super) fn push(&mut self, line: Arc<Line>) {
        let (level, mut shown) = (line.level(), None);
        self.followers.retain_mut(|follower| {
            level > follower.level || (follower.offer)(Arc::clone(shown.get_or_insert_with(|| text(&line))))
        });
        if self.lines.len() == RING_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Kept::new(line));
    }

    /// Offers the lines that are there, oldest first, and from now on those that come.
    pub(super) fn follow(&mut self, level: Level, mut offer: Offer) {
        let mut past = self.lines.iter().filter(|kept| kept.level() <= level);
        if past.all(|kept| offer(kept.text())) {
            self.followers.push(Follower { level, offer });
        }
    }
}

fn text(line: &Line) -> Arc<str> {
    Arc::from(clip(line.serf()))
}

/// Cut between characters.
fn clip(mut text: String) -> String {
    if text.len() > MAX_LINE_BYTES {
        let end = (0..=MAX_LINE_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::line::tests::captured;
    use super::*;

    fn info(phrase: &str) -> Arc<Line> {
        Arc::new(captured(|| tracing::info!("{phrase}")))
    }

    fn follow(ring: &mut Ring, level: Level) -> mpsc::Receiver<Arc<str>> {
        let (sender, receiver) = mpsc::channel();
        ring.follow(level, Box::new(move |line| sender.send(line).is_ok()));
        receiver
    }

    #[test]
    fn ring_keeps_the_last_lines() {
        let mut ring = Ring::default();
        for index in 0..RING_LINES + 3 {
            ring.push(info(&index.to_string()));
        }
        let past: Vec<_> = follow(&mut ring, Level::INFO).try_iter().collect();
        assert_eq!(past.len(), RING_LINES);
        assert!(past[0].ends_with(" 3"));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut ring = Ring::default();
        ring.push(info(&"ä".repeat(MAX_LINE_BYTES)));
        let line = follow(&mut ring, Level::INFO).recv().unwrap();
        assert!(line.len() <= MAX_LINE_BYTES + '…'.len_utf8() && line.ends_with("ä…"), "{line}");
    }

    #[test]
    fn gone_follower_is_forgotten() {
        let mut ring = Ring::default();
        drop(follow(&mut ring, Level::TRACE));
        assert_eq!(ring.level(), Level::TRACE);
        ring.push(info("x"));
        assert_eq!(ring.level(), Level::DEBUG);
        drop(follow(&mut ring, Level::TRACE));
        ring.push(info("x"));
        assert!(ring.followers.is_empty());
    }
}
