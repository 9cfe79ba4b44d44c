//! Why one member is where it is: every rule that was asked about it, with what went in and what came out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Candidate, Check, Decision, Drain, Gossip, Judged, LeftOut, MinHealthy, Mode, Options, Probe, Rule, Standing,
    VerdictReason, Witness,
};

/// A rule that is asked about a member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether its tags are those of a server.
    Selected,
    /// Where it serves, at which weight.
    Address,
    Gossip,
    /// What it says of its own health.
    Checks,
    /// What this balancer's own probe says.
    Probe,
    Drain,
    /// Whether it changed too often.
    Flapping,
    /// Which part of its weight it gets already.
    SlowStart,
    /// Whether an operator froze the upstream.
    Held,
    /// Whether too few others are well.
    Panic,
}

/// What was asked, and what came of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asked {
    pub rule: crate::known::Known<Question>,
    /// A word.
    pub result: String,
    /// What that rests on.
    #[serde(default)]
    pub input: String,
    /// Whether it is this that puts the member where it is.
    #[serde(default)]
    pub decides: bool,
}

/// What others than the decision know about the member, in words.
#[derive(Clone, Debug, Default)]
pub struct Details {
    pub gossip: String,
    pub checks: String,
    pub probe: String,
    /// Probes in a row that have to succeed.
    pub rise: Option<u32>,
    /// Until when it is held down.
    pub flapping: Option<String>,
    /// Since when, and why, an operator holds the upstream.
    pub held: Option<String>,
}

/// Everything that was asked about `member` for the upstream with these `options`.
pub fn explain(member: &Candidate, options: &Options, decision: &Decision, details: &Details) -> Vec<Asked> {
    let judged = decision.members.iter().find(|judged| judged.name == member.name);
    let left_out = decision.left_out.iter().find(|(name, _)| *name == member.name).map(|(_, reason)| reason);
    let decisive = match (left_out, judged) {
        (Some(LeftOut::NotSelected { .. } | LeftOut::Itself), _) | (None, None) => Question::Selected,
        (Some(_), _) => Question::Address,
        (None, Some(judged)) => decisive(judged, member, decision),
    };
    let mut asked = vec![selected(member, options), address(member, options, decision, judged, left_out)];
    if asked[0].result == NO {
        asked.truncate(1);
    } else {
        asked.push(of(Question::Gossip, gossip(member.heard()), details.gossip.clone()));
        asked.push(of(Question::Checks, check(member.check), details.checks.clone()));
        let probed = judged.map_or(member.probe, |judged| member.probe_of(judged.draft.addr, options));
        asked.push(of(Question::Probe, probe(probed), details.probe.clone()));
        asked.extend(drain(member.drain).map(|(word, input)| of(Question::Drain, word, input.to_owned())));
        if member.flapping {
            let until = details.flapping.as_ref().map(|until| format!("until {until}")).unwrap_or_default();
            let Flapping { changes, within } = Flapping::of(options);
            let input = format!("{changes} changes in {within} s are too many; {until}");
            asked.push(of(Question::Flapping, YES, input.trim_end_matches("; ").to_owned()));
        }
        if let Some(percent) = judged.and_then(|judged| judged.ramp).filter(|_| !decision.ramps_at_once) {
            asked.push(of(Question::SlowStart, &format!("{percent} %"), "of its weight so far".to_owned()));
        }
        asked.extend(details.held.as_ref().map(|held| of(Question::Held, YES, held.clone())));
        asked.push(panic(options, decision));
    }
    asked.iter_mut().for_each(|asked| asked.decides = asked.rule.is(&decisive));
    asked
}

/// What would put a member in that is out; `None` of one that is in.
pub fn back_when(
    member: &Candidate,
    options: &Options,
    decision: &Decision,
    judged: &Judged,
    details: &Details,
) -> Option<String> {
    use VerdictReason as Reason;
    let name = &options.name;
    if serves(decision, judged) {
        return None;
    }
    if judged.draft.weight == 0 {
        return Some("it has a weight above 0".to_owned());
    }
    if judged.verdict.placed.is_in() {
        return None;
    }
    let first = match judged.verdict.reason {
        Reason::DrainPromised | Reason::Draining | Reason::DrainRefused => "it drains no more".to_owned(),
        Reason::Gone => "it joins again".to_owned(),
        Reason::Held => format!("'weir upstream release {name}'"),
        Reason::Flapping => return Some(format!("{}; its witnesses count again then", flap_hold_over(details))),
        Reason::In | Reason::NeededThoughFlapping => return None,
        Reason::LastGoodSet
        | Reason::KeptByFloor
        | Reason::NoNewEvidence
        | Reason::Dead
        | Reason::Ill
        | Reason::NotProven => healed(member, options, judged, details.rise),
    };
    // Once the rest is well it would still be held down, unless too few were in.
    let is_held_down = member.flapping && decision.mode == Mode::Normal;
    Some(if is_held_down { format!("{first}, and {}", flap_hold_over(details)) } else { first })
}

/// What ends the time in which its witnesses do not count.
fn flap_hold_over(details: &Details) -> String {
    let until = details.flapping.as_ref().map(|until| format!(" (held down until {until})")).unwrap_or_default();
    format!("its flap hold is over{until}")
}

fn healed(member: &Candidate, options: &Options, judged: &Judged, rise: Option<u32>) -> String {
    let answers = match rise.filter(|_| options.probed) {
        Some(1) => "a probe succeeds".to_owned(),
        Some(rise) => format!("{rise} probes in a row succeed (rise {rise})"),
        None => "its service answers".to_owned(),
    };
    let is_down = member.probe_of(judged.draft.addr, options) == Probe::Down;
    match judged.witness {
        Witness::Critical if is_down => format!("{answers} and checks pass"),
        Witness::Critical | Witness::Warning => "its checks pass".to_owned(),
        Witness::SuspectCritical | Witness::FailedCritical => "its agent is back and its checks pass".to_owned(),
        Witness::ServiceDown => answers,
        Witness::Silent => "it answers the query health, or its service answers a probe".to_owned(),
        Witness::FirstSuccessPending if member.check == Check::Wait => {
            "its checks pass and it answers the query health".to_owned()
        }
        Witness::FirstSuccessPending => "its first probe succeeds".to_owned(),
        Witness::SuspectDown | Witness::FailedDown | Witness::UnknownDown if options.probed => {
            format!("its agent is back, or {answers}")
        }
        Witness::SuspectDown
        | Witness::FailedDown
        | Witness::UnknownDown
        | Witness::FailedNeverIn
        | Witness::FailedOpen
        | Witness::FailedWait
        | Witness::Failed
        | Witness::UnknownNeverIn
        | Witness::Unknown
        | Witness::Suspect => "its agent is back".to_owned(),
        Witness::Leaving | Witness::Left => "it joins again".to_owned(),
        Witness::Passing
        | Witness::SilentButAnswers
        | Witness::FirstResultPending
        | Witness::Answers
        | Witness::NoCheck
        | Witness::SuspectAnswers
        | Witness::FailedAnswers
        | Witness::UnknownAnswers => "something vouches for it".to_owned(),
    }
}

const YES: &str = "yes";
const NO: &str = "no";

fn of(rule: Question, result: &str, input: String) -> Asked {
    Asked { rule: rule.into(), result: result.to_owned(), input, decides: false }
}

/// Whether requests go there, by a line of its own.
fn serves(decision: &Decision, judged: &Judged) -> bool {
    decision.line(&judged.name).is_some_and(|line| !line.down)
}

/// Which rule put it where it is.
fn decisive(judged: &Judged, member: &Candidate, decision: &Decision) -> Question {
    use VerdictReason as Reason;
    // In mode last it keeps the line that it had, whatever its weight is now.
    if judged.draft.weight == 0 && !serves(decision, judged) {
        return Question::Address;
    }
    match judged.verdict.reason {
        Reason::DrainPromised | Reason::Draining | Reason::DrainRefused => Question::Drain,
        Reason::Held => Question::Held,
        Reason::Flapping => Question::Flapping,
        // Who was out before is out for what is said of it, however few are in.
        Reason::LastGoodSet | Reason::KeptByFloor if !judged.verdict.placed.is_in() => {
            of_witness(judged.witness, member)
        }
        Reason::LastGoodSet | Reason::KeptByFloor | Reason::NeededThoughFlapping => Question::Panic,
        Reason::Gone | Reason::Dead | Reason::NotProven | Reason::NoNewEvidence | Reason::Ill | Reason::In => {
            of_witness(judged.witness, member)
        }
    }
}

/// Whose first result is missing. A member's own word is asked for first.
fn of_pending(member: &Candidate) -> Question {
    if member.check == Check::Wait { Question::Checks } else { Question::Probe }
}

fn of_witness(witness: Witness, member: &Candidate) -> Question {
    match witness {
        Witness::FirstResultPending | Witness::FirstSuccessPending => of_pending(member),
        Witness::Passing
        | Witness::Warning
        | Witness::Critical
        | Witness::Silent
        | Witness::SuspectCritical
        | Witness::FailedCritical => Question::Checks,
        Witness::ServiceDown
        | Witness::SilentButAnswers
        | Witness::Answers
        | Witness::SuspectDown
        | Witness::SuspectAnswers
        | Witness::FailedDown
        | Witness::FailedAnswers
        | Witness::FailedOpen
        | Witness::FailedWait
        | Witness::UnknownAnswers
        | Witness::UnknownDown => Question::Probe,
        Witness::NoCheck
        | Witness::Suspect
        | Witness::FailedNeverIn
        | Witness::Failed
        | Witness::UnknownNeverIn
        | Witness::Unknown
        | Witness::Leaving
        | Witness::Left => Question::Gossip,
    }
}

/// `role=web matches ^(?:web)$`.
fn selected(member: &Candidate, options: &Options) -> Asked {
    let told = |(tag, pattern): &(String, super::TagPattern)| match member.tags.get(tag) {
        Some(value) if pattern.matches(value) => (true, format!("{tag}={value} matches {pattern}")),
        Some(value) => (false, format!("{tag}={value} does not match {pattern}")),
        None => (false, format!("it has no tag {tag}, which has to match {pattern}")),
    };
    let told: Vec<(bool, String)> = options.select.iter().map(told).collect();
    let text = |matches: bool| {
        told.iter().filter(|(is, _)| *is == matches).map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(", ")
    };
    if member.standing == Standing::Missing {
        return of(Question::Selected, YES, "it was when its generation was made".to_owned());
    }
    if told.iter().all(|(matches, _)| *matches) {
        if member.standing == Standing::Itself && !options.allow_self {
            return of(Question::Selected, NO, format!("{}, but it is this balancer itself", text(true)));
        }
        return of(Question::Selected, YES, text(true));
    }
    of(Question::Selected, NO, text(false))
}

/// `10.77.0.13, allow = any;  port 80: tag port=80;  weight 2: tag weight=2, limits 0..256`.
fn address(
    member: &Candidate,
    options: &Options,
    decision: &Decision,
    judged: Option<&Judged>,
    left_out: Option<&LeftOut>,
) -> Asked {
    let allow = match &options.allow.networks[..] {
        [] => "any".to_owned(),
        networks => networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let mut parts = vec![format!("{}, allow = {allow}", member.addr)];
    if let Some(judged) = judged {
        let (port, weight) = (judged.draft.addr.port(), judged.draft.weight);
        let limits = format!("limits 0..{}", options.weight.max);
        if member.standing == Standing::Missing {
            parts.push(format!("port {port} and weight {weight}: its line when it was a member"));
        } else {
            parts.push(format!("port {port}: {}", origin(&options.port.rule, member)));
            parts.push(format!("weight {weight}: {}, {limits}", origin(&options.weight.rule, member)));
            if judged.draft.backup {
                parts.push(format!("backup: {}", origin(&options.backup, member)));
            }
        }
        if let Some(line) = decision.line(&judged.name).filter(|line| !line.down && line.addr != judged.draft.addr) {
            parts.push(format!("until something vouches for that its line is {}", line.addr));
        }
        parts.extend(judged.draft.notes.iter().map(ToString::to_string));
    }
    parts.extend(left_out.map(ToString::to_string));
    let result = match (left_out, judged) {
        (Some(_), _) => NO,
        (None, Some(judged)) if judged.draft.weight == 0 && !serves(decision, judged) => "down",
        (None, _) => "ok",
    };
    of(Question::Address, result, parts.join(";  "))
}

fn origin<T>(rule: &Rule<T>, member: &Candidate) -> String {
    match rule {
        Rule::Fixed(_) => "fixed".to_owned(),
        Rule::Tag { tag, .. } => match member.tags.get(tag) {
            Some(value) => format!("tag {tag}={value}"),
            None => format!("no tag {tag}, default"),
        },
    }
}

const fn gossip(gossip: Gossip) -> &'static str {
    match gossip {
        Gossip::Alive => "alive",
        Gossip::Suspect => "suspect",
        Gossip::Failed => "failed",
        Gossip::Unknown => "unknown",
        Gossip::Leaving => "leaving",
        Gossip::Left => "left",
    }
}

const fn check(check: Check) -> &'static str {
    match check {
        Check::Passing => "passing",
        Check::Warning => "warning",
        Check::Critical => "critical",
        Check::Silent => "silent",
        Check::Wait => "wait",
        Check::None => "none",
    }
}

const fn probe(probe: Probe) -> &'static str {
    match probe {
        Probe::Up => "up",
        Probe::Open => "open",
        Probe::Down => "down",
        Probe::Wait => "wait",
        Probe::None => "none",
    }
}

const fn drain(drain: Drain) -> Option<(&'static str, &'static str)> {
    match drain {
        Drain::No => None,
        Drain::Asked(_) => Some(("asked", "it wants no new requests")),
        Drain::Promised => Some(("promised", "it was told that it gets no new requests")),
    }
}

/// The configured limits, in words.
struct Flapping {
    changes: u32,
    within: u64,
}

impl Flapping {
    fn of(options: &Options) -> Self {
        let flap = &options.policy.flap;
        Self { changes: flap.changes, within: flap.within.as_secs() }
    }
}

/// `1 of 2 in, min_healthy 50 %`.
fn panic(options: &Options, decision: &Decision) -> Asked {
    let result = if decision.is_panic() { YES } else { NO };
    let (serving, base) = (decision.serving(), decision.base);
    let lingers = if decision.lingers() { "; too few were well just before" } else { "" };
    of(Question::Panic, result, format!("{serving} of {base} in, min_healthy {}{lingers}", options.policy.min_healthy))
}

impl MinHealthy {
    /// `min_healthy = "50%"` or `min_healthy = 2`, as it is written.
    pub fn setting(self) -> String {
        match self {
            Self::Percent(percent) => format!("min_healthy = \"{percent}%\""),
            Self::Count(count) => format!("min_healthy = {count}"),
        }
    }
}

/// `50 %` or `2`.
impl fmt::Display for MinHealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent} %"),
            Self::Count(count) => fmt::Display::fmt(count, f),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Selected => "selected",
            Self::Address => "address",
            Self::Gossip => "gossip",
            Self::Checks => "checks",
            Self::Probe => "probe",
            Self::Drain => "drain",
            Self::Flapping => "flapping",
            Self::SlowStart => "slow start",
            Self::Held => "held",
            Self::Panic => "panic",
        })
    }
}

#[cfg(test)]
mod tests;
