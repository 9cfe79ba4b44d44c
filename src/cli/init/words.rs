//! What is said, and how it is laid out (`ux §3.1`): two columns, then details.

use std::fmt::Write as _;

use super::super::config::{DEFAULT, unusable};
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::existing::Contradiction;
use super::facts::Candidate;
use super::plan::{Action, Refused, RingKey, Start, State, Step, Summary};
use crate::escape::escape;

/// Where the keyring is unless a configuration says otherwise.
const RING: &str = "/var/lib/weir/keyring.json";
/// As wide as that, so that the details of both files stand below each other.
const FILE_WIDTH: usize = RING.len();

/// Whether something was done or would be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tense {
    Past,
    Future,
}

/// One line of two columns.
pub(super) fn two(label: &str, text: &str) -> String {
    format!("  {label:<10}{}\n", escape(text))
}

/// A step, done or to be done.
pub(super) fn line(step: &Step, tense: Tense) -> String {
    let file = |path: &str, detail: &str| format!("{path:<FILE_WIDTH$}   {detail}");
    let label = |past, future| match (step.state, tense) {
        (State::Done, _) => "kept",
        (State::Ours, Tense::Past) => past,
        (State::Ours, Tense::Future) => future,
    };
    match &step.action {
        Action::Ring { key: RingKey::None } => two("kept", "no keyring: the configuration turns encryption off"),
        Action::Ring { key } => {
            let detail = match key {
                RingKey::New => "new key".to_owned(),
                RingKey::Cluster => "the cluster's key".to_owned(),
                RingKey::Held(id) => format!("key {id}"),
                RingKey::None => String::new(),
            };
            two(label("wrote", "write"), &file(RING, &detail))
        }
        Action::Configuration { summary, aside, .. } => {
            let aside = aside.as_ref().map(|path| format!("; the old one is {}", path.display())).unwrap_or_default();
            two(label("wrote", "write"), &file(DEFAULT, &format!("{}{aside}", summarised(summary))))
        }
        Action::Units(start) => {
            let (past, future) = match start {
                Start::Changed => ("restarted", "restart"),
                Start::Stopped => ("started", "start"),
                Start::Nothing => ("enabled", "enable"),
            };
            let label = if step.state == State::Done { "running" } else { label(past, future) };
            two(label, "weir.service, weir-apply.socket (enabled at boot)")
        }
    }
}

/// `role lb, upstream web = members with role web`.
fn summarised(summary: &Summary) -> String {
    let mut parts = Vec::new();
    parts.extend(summary.role.as_ref().map(|role| format!("role {role}")));
    if let Some((first, others)) = summary.upstreams.split_first() {
        let mut text = format!("upstream {first}");
        for other in others {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {other}");
        }
        if let Some(selected) = summary.selects {
            let _ = write!(text, " = members with role {selected}");
        }
        parts.push(text);
    }
    if !summary.join.is_empty() {
        parts.push(format!("join {}", summary.join.join(", ")));
    }
    parts.join(", ")
}

/// Why there is no plan. Mistakes of a file are told before, a line each.
pub(super) fn refused(refused: &Refused, command: &str, output: &Output) -> Failure {
    match refused {
        Refused::Wrong(errors) => {
            unusable(errors, output).with_remedy("correct it, or --force writes it anew and keeps this one beside it")
        }
        Refused::Contradicted(contradictions) => contradicted(contradictions),
        Refused::Ring(trouble) => Failure::new(Exit::Failed, trouble.what.clone()).with_remedy(trouble.way_out.clone()),
        Refused::SeveralAddresses(candidates) => {
            let all: Vec<String> = candidates.iter().map(|one| format!("{} ({})", one.ip, one.interface)).collect();
            let first = candidates.first().map(|one| one.ip.to_string()).unwrap_or_default();
            Failure::usage(format!("this server has several private addresses: {}", all.join(", ")))
                .with_remedy(format!("say which one the other servers reach: {command} --address {first}"))
        }
        Refused::NoSystemd => Failure::new(Exit::Failed, "systemd does not run here, so there is no unit to start")
            .with_remedy(
                "write a configuration ('weir config example' shows every key) and run 'weir agent --config-file FILE'",
            ),
        Refused::NoUnit(unit) => {
            Failure::new(Exit::Failed, format!("there is no {unit}")).with_remedy("install weir's package")
        }
        Refused::Masked(unit) => Failure::new(Exit::Refused, format!("{unit} is masked, so it shall not start"))
            .with_remedy(format!("'systemctl unmask {unit}', then again")),
        Refused::NoJoin => Failure::usage("a web server joins a cluster, and none is named")
            .with_remedy("name a member: sudo weir init web --join ADDRESS"),
    }
}

fn contradicted(contradictions: &[Contradiction]) -> Failure {
    let all: Vec<String> = contradictions.iter().map(ToString::to_string).collect();
    Failure::new(Exit::Refused, format!("{DEFAULT} has {}", all.join("; ")))
        .with_remedy("edit it, or --force writes it anew and keeps this one beside it")
}

/// `1) 10.0.2.15 eth0 (default route)   2) 10.77.0.11 eth1   [1/2]`.
pub(super) fn address_question(candidates: &[Candidate]) -> String {
    let mut text = "address the other servers reach".to_owned();
    for (at, candidate) in candidates.iter().enumerate() {
        let outward = if candidate.outward { " (default route)" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "   {}) {} {}{outward}", at + 1, candidate.ip, candidate.interface);
    }
    let numbers: Vec<String> = (1..=candidates.len()).map(|number| number.to_string()).collect();
    format!("{text}   [{}]", numbers.join("/"))
}
