//! `weir keys rotate`: a fresh key on every member, step by step (`ux §3.3`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::{Failure, no_member};
use super::super::output::Output;
use super::super::session::Session;
use super::super::table::Table;
use super::super::time;
use crate::escape::escape;
use crate::known::Known;
use crate::rotate::document::{Follow, Line, Lines, Member, Reason, Start, Started, Unconfirmed};
use crate::rotate::{Action, Step};
use crate::rpc::proto::MembersQuery;
use crate::status::shell::{operand, option};

/// Replace the cluster's key by a fresh one, confirmed by every member.
///
/// Stops in a safe state where a member does not confirm; running it again finishes. It goes on if this command is
/// interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// Only look and say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Go on without this member, but remove no key that it has; repeatable
    #[arg(long, value_name = "NAME")]
    absent: Vec<String>,
    /// Lock this member out; repeatable
    #[arg(long, value_name = "NAME")]
    force: Vec<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Rotate {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let start = Start { absent: self.absent.clone(), force: self.force.clone(), dry_run: self.dry_run };
        let Started { rotation } = session.weir(&start).await?;
        let mut story = Story::default();
        let mut after = 0;
        loop {
            let Lines { lines, ended } = session.weir(&Follow { rotation, after }).await?;
            after += lines.len();
            for line in lines {
                let said = story.take(line);
                // A dry run is told as a whole.
                if !self.dry_run {
                    said.iter().for_each(|text| output.notice(text));
                }
            }
            if ended {
                return self.end(&story, &mut session, output).await;
            }
        }
    }

    async fn end(&self, story: &Story, session: &mut Session, output: &Output) -> Result<Exit, Failure> {
        match (&story.end, &story.plan) {
            (Some(stopped @ Line::Stopped { who, .. }), _) => {
                if let Some(unknown) = who.iter().find(|culprit| culprit.why == Reason::Unknown) {
                    let members = session.members(&MembersQuery::default()).await?;
                    return Err(no_member(&unknown.name, members.iter().map(|member| member.name.as_str())));
                }
                let (what, ways_out) = stop_text(stopped);
                if output.is_json() {
                    return Err(Failure::new(Exit::Incomplete, what).with_remedy(ways_out.join("; ")));
                }
                output.text(&format!("{what}\n  {}\n", ways_out.join("      ")))?;
                Ok(Exit::Incomplete)
            }
            (Some(end), _) => {
                if output.is_json() {
                    output.json(end)?
                } else {
                    output.text(&(end_text(end) + "\n"))?
                }
                Ok(Exit::Done)
            }
            (None, Some(plan @ Line::Planned { members, .. })) if self.dry_run => {
                plain_serf(members).iter().for_each(|notice| output.notice(notice));
                if output.is_json() {
                    output.json(plan)?
                } else {
                    output.text(&self.plan_text(plan, output))?
                }
                Ok(Exit::Done)
            }
            (None, _) => Err(Failure::new(Exit::Failed, "the rotation ended in a way that only a newer weir can tell")
                .with_remedy("'weir keys status' shows which key seals")),
        }
    }

    /// What a dry run says.
    fn plan_text(&self, plan: &Line, output: &Output) -> String {
        let Line::Planned { old, extra, members, tombstones, clean_up, wait_s, .. } = plan else {
            return String::new();
        };
        let mut text = format!("{} -> a fresh key on {}\n", old.join(", "), heading(members));
        let mut table = Table::new(&["NAME", "STATUS", "HOLDS", "SEALS WITH"]);
        for member in members {
            let holds = member.holds.as_ref().map_or_else(|| "not known".to_owned(), |keys| keys.join(" "));
            table.row([&member.name, &member.status, &holds, member.seals_with.as_deref().unwrap_or("-")]);
        }
        text.push_str(&table.render(output.layout(true, true), |column, text| {
            if column == 1 { output.paint_state(text) } else { text.to_owned() }
        }));
        let named: BTreeSet<&str> = self.absent.iter().chain(&self.force).map(String::as_str).collect();
        let mut say = |line: String| text.push_str(&(line + "\n"));
        if let Some(seconds) = wait_s {
            say(format!(
                "first waits {seconds} s: {} is left of a run that did not end, and plain Serf members may still hear of it",
                list(extra)
            ));
        }
        if *clean_up {
            say(format!("first removes {}, which nobody seals with: a ring is nearly full", list(extra)));
        }
        for member in members.iter().filter(|member| member.status != "alive" && !named.contains(member.name.as_str()))
        {
            say(format!(
                "would stop at install: {} is {} since {}",
                escape(&member.name),
                member.status,
                time::of_day(&member.since)
            ));
        }
        for name in &self.absent {
            say(format!("would keep {} until {} can follow", list(old), escape(name)));
        }
        if !tombstones.is_empty() {
            say(tombstones_text(tombstones));
        }
        text
    }
}

/// The lines so far, and what is said of each.
#[derive(Debug, Default)]
struct Story {
    plan: Option<Line>,
    /// How far a step got that is not complete.
    partial: Option<String>,
    end: Option<Line>,
}

impl Story {
    /// Takes a line and returns what to say about it.
    fn take(&mut self, line: Line) -> Vec<String> {
        let mut said = Vec::new();
        match &line {
            Line::Planned { old, new, members, tombstones, wait_s, .. } => {
                if self.plan.is_none() {
                    said.push(format!("{} -> {new} on {}", old.join(", "), heading(members)));
                    said.extend(plain_serf(members));
                    if !tombstones.is_empty() {
                        said.push(format!("  {}", tombstones_text(tombstones)));
                    }
                }
                said.extend(wait_s.map(|seconds| {
                    format!(
                        "  waits {seconds} s for what an unfinished run may still have on its way to plain Serf members"
                    )
                }));
                self.plan = Some(line);
            }
            Line::Confirmed { step, action, key, confirmed, of, complete, elapsed_ms } => {
                let count = step_text(step, action, key.as_deref(), *confirmed, *of);
                match count {
                    Some(count) if *complete => {
                        self.partial = None;
                        said.push(format!("{count}   {}", seconds(*elapsed_ms)));
                    }
                    count => self.partial = count,
                }
            }
            Line::Rotated { .. } | Line::Stopped { .. } => {
                said.extend(self.partial.take());
                self.end = Some(line);
            }
            Line::Newer { kind } => said.push(format!("  unknown ({})", escape(kind))),
        }
        said
    }
}

/// `3 members, 1 of them away (web2 failed since 15:02:11Z)`.
fn heading(members: &[Member]) -> String {
    let away: Vec<String> = members
        .iter()
        .filter(|member| !matches!(member.status.as_str(), "alive" | "leaving"))
        .map(|member| format!("{} {} since {}", escape(&member.name), member.status, time::of_day(&member.since)))
        .collect();
    let count = if members.len() == 1 { "1 member".to_owned() } else { format!("{} members", members.len()) };
    if away.is_empty() { count } else { format!("{count}, {} of them away ({})", away.len(), away.join(", ")) }
}

/// What is not safe is said (`protocols B.4`).
fn plain_serf(members: &[Member]) -> Option<String> {
    // Of whoever is away nothing can be said.
    let is_plain = |member: &&Member| !member.weir && matches!(member.status.as_str(), "alive" | "leaving");
    let names: Vec<_> = members.iter().filter(is_plain).map(|member| escape(&member.name)).collect();
    let (obeys, restart) = match names.len() {
        0 => return None,
        1 => ("it obeys", "its next restart locks it out"),
        _ => ("they obey", "their next restart locks them out"),
    };
    Some(format!(
        "notice: {} may be plain Serf: {obeys} no ballot, so nobody else may rotate now, and without -keyring-file {restart}",
        names.join(", ")
    ))
}

fn tombstones_text(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| escape(name)).collect();
    format!("left, and will need 'weir keys import' to come back: {}", names.join(", "))
}

/// `  3/3 remove 3fa9c1d2  2 of 3`; `None` for what only looks, or catches up.
fn step_text(
    step: &Known<Step>,
    action: &Known<Action>,
    key: Option<&str>,
    confirmed: usize,
    of: usize,
) -> Option<String> {
    let key = key.unwrap_or_default();
    let what = match (step.word(), action.word()) {
        (Some(Step::CleanUp), Some(Action::Remove)) => format!("clean up: remove {key}"),
        (Some(Step::Install), Some(Action::Install)) => "1/3 install".to_owned(),
        (Some(Step::Use), Some(Action::Use)) => "2/3 use".to_owned(),
        (Some(Step::Remove), Some(Action::Remove)) => format!("3/3 remove {key}"),
        (Some(Step::Check | Step::CleanUp | Step::Install | Step::Use | Step::Remove), _) => return None,
        (None, _) => step.to_string(),
    };
    Some(format!("  {what}  {confirmed} of {of}"))
}

fn end_text(end: &Line) -> String {
    let Line::Rotated { old, new, locked_out, absent, left_over, elapsed_ms, .. } = end else { return String::new() };
    let time = seconds(*elapsed_ms);
    let mut text = if absent.is_empty() {
        let gone = match &old[..] {
            [] => String::new(),
            [one] => format!(", {one} is gone"),
            all => format!(", {} are gone", list(all)),
        };
        format!("rotated in {time}: {new} seals on every member{gone}")
    } else {
        let who = list(&absent.iter().map(|absent| escape(&absent.name).into_owned()).collect::<Vec<_>>());
        let stay = if left_over.len() == 1 { "stays" } else { "stay" };
        format!(
            "rotated in {time} without {who}: {new} seals on every other member, {} {stay} until {who} can follow",
            list(left_over)
        )
    };
    if !locked_out.is_empty() {
        let names: Vec<_> = locked_out.iter().map(|name| escape(name)).collect();
        // Writing to a text cannot fail.
        let _ = write!(text, "; locked out: {}, 'weir keys import' there lets in again", names.join(", "));
    }
    let ways_out = ways_out(&Step::Remove.into(), absent, left_over);
    if !ways_out.is_empty() {
        text.push_str("\n  ");
        text.push_str(&ways_out.join("      "));
    }
    text
}

/// What happened and how things stand, and the ways out.
fn stop_text(stopped: &Line) -> (String, Vec<String>) {
    let Line::Stopped { step, who, left_over, .. } = stopped else { return Default::default() };
    let reasons: Vec<String> = who.iter().map(|culprit| reason_text(step, culprit)).collect();
    let what = format!("stopped at {}: {}; {}", escape(&step.to_string()), reasons.join(", "), state_text(stopped));
    (what, ways_out(step, who, left_over))
}

/// Each one once.
fn ways_out(step: &Known<Step>, who: &[Unconfirmed], left_over: &[String]) -> Vec<String> {
    let mut ways_out: Vec<String> = Vec::new();
    for way in who.iter().flat_map(|culprit| ways_out_of(step, culprit, left_over)) {
        if !ways_out.contains(&way) {
            ways_out.push(way);
        }
    }
    ways_out
}

fn reason_text(step: &Known<Step>, Unconfirmed { name, why }: &Unconfirmed) -> String {
    let name = escape(name);
    match why {
        Reason::Away { .. } => format!("{name} did not confirm"),
        Reason::Silent if step.is(&Step::Check) => format!("{name} did not answer"),
        Reason::Silent => format!("{name} did not confirm"),
        Reason::Refused { text } if text.is_empty() => format!("{name} refused"),
        Reason::Refused { text } | Reason::NotKept { text } => format!("{name} refused ({})", escape(text)),
        Reason::Superseded { text } => format!("{name} obeys another rotation ({})", escape(text)),
        Reason::Truncated => format!("{name} has more keys than it can list"),
        Reason::Unknown => format!("no member '{name}'"),
        Reason::Newer { why } => format!("{name}: unknown ({})", escape(why)),
    }
}

/// How things stand after a stop.
fn state_text(stopped: &Line) -> String {
    let Line::Stopped { step, old, new, taken, sealing, left_over, .. } = stopped else { return String::new() };
    let before = list(old);
    match step.word() {
        Some(Step::Check) => "nothing was changed".to_owned(),
        Some(Step::CleanUp) => {
            format!("{before} still seals everywhere, only keys that nobody seals with were removed")
        }
        Some(Step::Use) if *sealing => format!("members seal with {before} or {new} and hold both"),
        Some(Step::Install | Step::Use) => {
            let mut extra: Vec<String> = left_over.iter().filter(|key| !old.contains(key)).cloned().collect();
            extra.extend(taken.then(|| new.clone()));
            let not_taken = if *taken { String::new() } else { format!(", no member has taken {new}") };
            format!("{before} still seals everywhere{not_taken}{}", extra_text(&extra))
        }
        Some(Step::Remove) => format!("{new} seals everywhere{}", extra_text(left_over)),
        None => "'weir keys status' shows who holds what".to_owned(),
    }
}

/// `, a and b are extra keys …`; nothing of none.
fn extra_text(keys: &[String]) -> String {
    match keys {
        [] => String::new(),
        [one] => format!(", {one} is an extra key that the next complete run removes"),
        all => format!(", {} are extra keys that the next complete run removes", list(all)),
    }
}

fn ways_out_of(step: &Known<Step>, Unconfirmed { name, why }: &Unconfirmed, old: &[String]) -> Vec<String> {
    let (peer, name) = (name, escape(name));
    // Whoever has left, by its own word or an operator's, may be one that restarts; only who is forgotten is not waited for.
    let gone = || format!("{name} is gone for good: weir force-leave --prune {}, then again", operand(peer));
    match (why, step.word()) {
        (Reason::Away { .. }, Some(Step::Install | Step::Use)) => vec![
            format!("{name} is back: weir keys rotate"),
            format!("go on, without removing what {name} has: {}", option("--absent", peer)),
            gone(),
        ],
        (Reason::Away { .. }, Some(Step::Check | Step::CleanUp | Step::Remove) | None) => {
            vec![
                format!("{name} is back: weir keys rotate"),
                gone(),
                format!("lock it out: {}", option("--force", peer)),
            ]
        }
        (Reason::NotKept { .. }, Some(Step::Install | Step::Use)) => {
            vec![format!("go on, and put the new key into its credential afterwards: {}", option("--absent", peer))]
        }
        (Reason::NotKept { .. }, Some(Step::Remove)) => vec![format!(
            "put the key ('weir keys export' elsewhere) into {name}'s credential, restart it, then: weir keys remove {}",
            old.join(", then weir keys remove ")
        )],
        (Reason::Superseded { .. }, _) => vec!["let the other rotation end, then: weir keys rotate".to_owned()],
        (Reason::Truncated, _) => {
            vec![format!("remove keys there by hand: weir keys remove KEY; {name} holds too many")]
        }
        (Reason::Silent | Reason::Refused { .. } | Reason::NotKept { .. } | Reason::Newer { .. }, _) => {
            vec![format!("see the log of {name}, then: weir keys rotate")]
        }
        (Reason::Unknown, _) => Vec::new(),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(keys: &[String]) -> String {
    match keys {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(name: &str, status: &str) -> Unconfirmed {
        let why = Reason::Away { status: status.to_owned(), since: String::new() };
        Unconfirmed { name: name.to_owned(), why }
    }

    #[test]
    fn who_is_gone_for_good_is_let_go_of_by_pruning() {
        for status in ["failed", "left"] {
            let ways = ways_out_of(&Step::Install.into(), &away("web2", status), &[]);
            assert_eq!(ways[2], "web2 is gone for good: weir force-leave --prune web2, then again");
        }
    }

    #[test]
    fn a_stop_says_how_things_stand() {
        let keys = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        // step, taken, sealing, left over, said
        for (step, taken, sealing, left_over, said) in [
            (Step::Check, false, false, &["b07e4410"][..], "nothing was changed"),
            (
                Step::Install,
                true,
                false,
                &["b07e4410"],
                "b07e4410 still seals everywhere, 91d2aa07 is an extra key that the next complete run removes",
            ),
            (
                Step::Install,
                true,
                false,
                &["b07e4410", "3fa9c1d2"],
                "b07e4410 still seals everywhere, 3fa9c1d2 and 91d2aa07 are extra keys that the next complete run removes",
            ),
            (
                Step::Install,
                false,
                false,
                &["b07e4410"],
                "b07e4410 still seals everywhere, no member has taken 91d2aa07",
            ),
            (
                Step::Use,
                true,
                false,
                &["b07e4410"],
                "b07e4410 still seals everywhere, 91d2aa07 is an extra key that the next complete run removes",
            ),
            (Step::Use, true, true, &["b07e4410"], "members seal with b07e4410 or 91d2aa07 and hold both"),
            (
                Step::Remove,
                true,
                true,
                &["b07e4410"],
                "91d2aa07 seals everywhere, b07e4410 is an extra key that the next complete run removes",
            ),
        ] {
            let stopped = Line::Stopped {
                step: step.into(),
                old: keys(&["b07e4410"]),
                new: "91d2aa07".to_owned(),
                taken,
                sealing,
                left_over: keys(left_over),
                members: 3,
                who: vec![away("web2", "failed")],
                elapsed_ms: 0,
            };
            assert_eq!(state_text(&stopped), said);
            let what = stop_text(&stopped).0;
            assert!(what.starts_with("stopped at ") && what.ends_with(said), "{what}");
        }
    }

    #[test]
    fn a_run_without_who_was_named_absent_is_no_stop() {
        let rotated = Line::Rotated {
            old: vec!["b07e4410".to_owned()],
            new: "91d2aa07".to_owned(),
            members: 2,
            locked_out: Vec::new(),
            absent: vec![away("web2", "failed")],
            left_over: vec!["b07e4410".to_owned()],
            elapsed_ms: 1300,
        };
        let text = end_text(&rotated);
        let (first, ways_out) = text.split_once('\n').unwrap();
        assert_eq!(
            first,
            "rotated in 1.3 s without web2: 91d2aa07 seals on every other member, b07e4410 stays until web2 can follow"
        );
        assert!(ways_out.starts_with("  web2 is back: weir keys rotate      web2 is gone for good: "), "{ways_out}");
    }

    #[test]
    fn what_only_a_newer_agent_knows_is_shown_by_its_word() {
        let lines = r#"[{ "kind": "paused", "for_s": 3 }, { "kind": "stopped", "step": "pause", "new": "91d2aa07",
            "who": [{ "name": "web2", "why": "asleep", "since": 5 }] }]"#;
        let lines: Vec<Line> = serde_json::from_str(lines).unwrap();
        assert_eq!(Story::default().take(lines[0].clone()), ["  unknown (paused)"]);
        let (what, ways_out) = stop_text(&lines[1]);
        let said = "stopped at unknown (pause): web2: unknown (asleep); 'weir keys status' shows who holds what";
        assert_eq!(what, said);
        assert_eq!(ways_out, ["see the log of web2, then: weir keys rotate"]);
    }

    #[test]
    fn of_who_is_away_is_not_said_that_it_may_be_serf() {
        let member = |name: &str, status: &str, weir| Member {
            name: name.to_owned(),
            status: status.to_owned(),
            weir,
            ..Member::default()
        };
        let members = [member("a", "alive", true), member("b", "left", false), member("c", "failed", false)];
        assert_eq!(plain_serf(&members), None);
        let members = [member("a", "alive", false), member("b", "left", false)];
        assert!(plain_serf(&members).is_some_and(|text| text.starts_with("notice: a may be plain Serf: it obeys")));
    }
}
