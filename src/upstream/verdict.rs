//! Second table: what becomes of one server, given the intent and the circumstances (`protocols D.2`).

use std::fmt;

use super::{Drain, Intent};

/// What a server was in the last good set: the newest generation that was made in mode normal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Previous {
    /// In.
    In,
    /// Out, and in before that.
    Out,
    /// Not there.
    New,
}

/// How the group as a whole is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Enough servers are in.
    #[default]
    Normal,
    /// Too few would be in: those that were in and are merely ill are kept (the panic of `design §7`).
    Floor,
    /// Nobody would be in: the last good set is kept.
    Last,
}

/// Where a server ends up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placed {
    /// At its weight.
    In,
    /// At half its weight, at least 1.
    Half,
    /// Down or absent.
    Out,
}

impl Placed {
    /// Whether requests go there.
    pub fn is_in(self) -> bool {
        match self {
            Self::In | Self::Half => true,
            Self::Out => false,
        }
    }

    fn as_before(previous: Previous) -> Self {
        match previous {
            Previous::In => Self::In,
            Previous::Out | Previous::New => Self::Out,
        }
    }
}

/// The row of the table that applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictReason {
    DrainPromised,
    Gone,
    Draining,
    LastGoodSet,
    Held,
    Dead,
    DrainRefused,
    NotProven,
    NoNewEvidence,
    KeptByFloor,
    Ill,
    Flapping,
    NeededThoughFlapping,
    In,
}

/// What becomes of a server that gets no requests, by and large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absence {
    Down,
    /// It has not proven itself yet.
    Warming,
    Draining,
    /// Frozen outside.
    Held,
    /// It changed too often.
    Flapping,
    /// It has left, or both witnesses are against it.
    Gone,
    /// It could not get a line.
    LeftOut,
}

/// Where a server ends up, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Where.
    pub placed: Placed,
    /// Why.
    pub reason: VerdictReason,
}

impl Verdict {
    /// What becomes of a server of any weight that gets no requests.
    pub(super) fn absence(self) -> Absence {
        use VerdictReason as Reason;
        match self.reason {
            _ if self.placed.is_in() => Absence::LeftOut,
            Reason::DrainPromised | Reason::Draining => Absence::Draining,
            Reason::Gone | Reason::Dead => Absence::Gone,
            Reason::Held => Absence::Held,
            Reason::NotProven => Absence::Warming,
            Reason::Flapping => Absence::Flapping,
            Reason::LastGoodSet
            | Reason::DrainRefused
            | Reason::NoNewEvidence
            | Reason::KeptByFloor
            | Reason::Ill
            | Reason::NeededThoughFlapping
            | Reason::In => Absence::Down,
        }
    }
}

/// The table. In mode normal an asked drain is an admitted one; the group passes [`Mode::Floor`] for a refused one.
pub fn verdict(intent: Intent, drain: Drain, flapping: bool, previous: Previous, mode: Mode, held: bool) -> Verdict {
    use VerdictReason as Reason;
    let (placed, reason) = match (intent, drain, mode) {
        (_, Drain::Promised, _) => (Placed::Out, Reason::DrainPromised),
        (Intent::Gone, _, _) => (Placed::Out, Reason::Gone),
        (_, Drain::Asked(_), Mode::Normal) => (Placed::Out, Reason::Draining),
        (_, _, Mode::Last) => (Placed::as_before(previous), Reason::LastGoodSet),
        (_, _, _) if held => (Placed::as_before(previous), Reason::Held),
        (Intent::Dead, _, _) => (Placed::Out, Reason::Dead),
        (_, Drain::Asked(_), Mode::Floor) => (Placed::as_before(previous), Reason::DrainRefused),
        (Intent::Warm, Drain::No, _) => (Placed::Out, Reason::NotProven),
        (Intent::Stay, Drain::No, _) => (Placed::as_before(previous), Reason::NoNewEvidence),
        (Intent::Sick, Drain::No, Mode::Floor) => (Placed::as_before(previous), Reason::KeptByFloor),
        (Intent::Sick, Drain::No, Mode::Normal) => (Placed::Out, Reason::Ill),
        (_, Drain::No, Mode::Normal) if flapping => (Placed::Out, Reason::Flapping),
        (Intent::Half, Drain::No, _) => (Placed::Half, in_although(flapping)),
        (Intent::In | Intent::Lost, Drain::No, _) => (Placed::In, in_although(flapping)),
    };
    Verdict { placed, reason }
}

fn in_although(flapping: bool) -> VerdictReason {
    if flapping { VerdictReason::NeededThoughFlapping } else { VerdictReason::In }
}

/// The reason in words, as in the table.
impl fmt::Display for VerdictReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DrainPromised => "drained: its absence was confirmed to it",
            Self::Gone => "left or leaving",
            Self::Draining => "draining",
            Self::LastGoodSet => "nobody vouched for at all: last good set kept",
            Self::Held => "held by an operator",
            Self::Dead => "both witnesses against it",
            Self::DrainRefused => "draining refused: too few would be left",
            Self::NotProven => "not proven yet",
            Self::NoNewEvidence => "no new evidence",
            Self::KeptByFloor => "kept in: too few would be left",
            Self::Ill => "ill",
            Self::Flapping => "held down: changed too often",
            Self::NeededThoughFlapping => "flapping, needed all the same",
            Self::In => "in",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Floor => "floor",
            Self::Last => "last",
        })
    }
}
