//! What was measured, and how it is printed.

use std::time::{Duration, Instant};

use crate::balancer::Balancer;
use crate::client::{Answer, Answers};

/// Slower than this is what people notice.
const SLOW: Duration = Duration::from_secs(2);

/// Of one balancer in one run.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Seconds from the loss until the last connection was begun to the lost server.
    last: f64,
    new: Column,
    kept: Column,
}

/// Of one kind of client.
#[derive(Clone, Debug)]
struct Column {
    all: usize,
    failed: usize,
    slow: usize,
    /// In seconds.
    worst: f64,
}

impl Measured {
    /// `lost` is when the server was lost, `last` when a connection was last begun to it.
    pub(crate) fn of(answers: &Answers, lost: Instant, last: Option<Instant>) -> Self {
        let last = last.and_then(|last| last.checked_duration_since(lost)).unwrap_or_default().as_secs_f64();
        Self { last, new: Column::of(&answers.new), kept: Column::of(&answers.kept) }
    }
}

impl Column {
    fn of(answers: &[Answer]) -> Self {
        Self {
            all: answers.len(),
            failed: answers.iter().filter(|answer| !answer.well).count(),
            slow: answers.iter().filter(|answer| answer.took > SLOW).count(),
            worst: answers.iter().map(|answer| answer.took).max().unwrap_or_default().as_secs_f64(),
        }
    }
}

/// Of all runs of one fault.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(Balancer, Vec<Measured>)>,
}

impl Table {
    pub(crate) fn add(&mut self, run: Vec<(Balancer, Measured)>) {
        for (balancer, measured) in run {
            match self.rows.iter_mut().find(|(known, _)| *known == balancer) {
                Some((_, all)) => all.push(measured),
                None => self.rows.push((balancer, vec![measured])),
            }
        }
    }

    /// As Markdown. A figure for each kind of client, new connections first.
    pub(crate) fn text(&self, fault: &str) -> String {
        let mut text = format!(
            "| {fault} | last request to it | failed of new, kept | slower than 2 s | worst |\n|---|---|---|---|---|\n"
        );
        for (balancer, runs) in &self.rows {
            let figures = |of: &dyn Fn(&Measured) -> f64, digits: usize| figure(runs.iter().map(of).collect(), digits);
            let both = |of: &dyn Fn(&Column) -> f64, digits| {
                format!("{}, {}", figures(&|run| of(&run.new), digits), figures(&|run| of(&run.kept), digits))
            };
            let all = both(&|column| column.all as f64, 0);
            text.push_str(&format!(
                "| {} | {} s | {} of {all} | {} | {} s |\n",
                balancer.title(),
                figures(&|run| run.last, 2),
                both(&|column| column.failed as f64, 0),
                both(&|column| column.slow as f64, 0),
                both(&|column| column.worst, 2),
            ));
        }
        text
    }
}

/// The median, and the worst if it is another.
fn figure(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (median, worst) = (values[values.len() / 2], values[values.len() - 1]);
    let shown = |value: f64| format!("{value:.digits$}");
    if shown(median) == shown(worst) { shown(median) } else { format!("{} ({})", shown(median), shown(worst)) }
}
