//! What the demo found: one object, for people or as JSON.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::traffic::{Counts, Traffic};

/// One step as it went.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// From the change to its confirmed configuration; `None`: not in time.
    pub(super) live_after: Option<Duration>,
    pub(super) generation: u64,
    pub(super) promises_no_failure: bool,
}

/// Collects the steps.
#[derive(Debug)]
pub(super) struct Summary {
    front: SocketAddr,
    started: Instant,
    changes: Vec<Change>,
}

/// The summary object.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    /// Whether every step did what it says.
    pub(super) ok: bool,
    front: SocketAddr,
    seconds: f64,
    requests: u64,
    failed: u64,
    /// Reloads of the balancer's NGINX: one per generation after the first, which was there before NGINX.
    reloads: u64,
    steps: Vec<StepReport>,
}

#[derive(Debug, serde::Serialize)]
struct StepReport {
    step: &'static str,
    title: &'static str,
    ok: bool,
    /// Seconds from the change to the new configuration being live; null if it did not come in time.
    live_after_s: Option<f64>,
    generation: u64,
    #[serde(flatten)]
    counts: Counts,
}

impl Summary {
    pub(super) fn new(front: SocketAddr) -> Self {
        Self { front, started: Instant::now(), changes: Vec::new() }
    }

    pub(super) fn add(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn finish(self, traffic: &Traffic, generation: u64) -> Report {
        let steps: Vec<_> = self.changes.into_iter().map(|change| step_report(&change, traffic)).collect();
        Report {
            ok: steps.iter().all(|step| step.ok),
            front: self.front,
            seconds: round(self.started.elapsed()),
            requests: traffic.requests(),
            failed: traffic.failed(),
            reloads: generation.saturating_sub(1),
            steps,
        }
    }
}

fn step_report(change: &Change, traffic: &Traffic) -> StepReport {
    let counts = traffic.of(change.name);
    let clean = !change.promises_no_failure || counts.failed == 0;
    StepReport {
        step: change.name,
        title: change.title,
        ok: change.live_after.is_some() && clean && counts.requests > 0,
        live_after_s: change.live_after.map(round),
        generation: change.generation,
        counts,
    }
}

impl Report {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "{} requests in {:.0} s through {}, {} failed, {} reloads\n",
            self.requests, self.seconds, self.front, self.failed, self.reloads
        );
        for step in &self.steps {
            let live =
                step.live_after_s.map_or("never live".to_owned(), |seconds| format!("live after {seconds:.1} s"));
            let answers: Vec<_> =
                step.counts.answered_by.iter().map(|(server, count)| format!("{server} {count}")).collect();
            let verdict = if step.ok { "ok" } else { "FAILED" };
            let _ = writeln!(
                text,
                "{verdict:6}  {:48}  {live:18}  {} requests, {} failed  ({})",
                step.title,
                step.counts.requests,
                step.counts.failed,
                answers.join(", ")
            );
            for (why, count) in &step.counts.failures {
                let _ = writeln!(text, "        {count} x {why}");
            }
        }
        text
    }
}

fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
