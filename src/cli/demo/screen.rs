//! What the demo shows while it runs: a live view on a terminal, a line per change in a pipe, nothing but the summary as JSON.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::failure::Failure;
use super::super::output::Output;
use super::stage::Live;
use super::traffic::Traffic;

/// Width of a bar of 100 %.
const BAR: usize = 26;
/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(200);

/// The view.
#[derive(Debug)]
pub(super) struct Screen<'a> {
    output: &'a Output,
    nodes: Vec<String>,
    started: Instant,
    step: String,
    /// What has happened, oldest first.
    history: Vec<String>,
    drawn: Option<Instant>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a Output, nodes: Vec<String>) -> Self {
        let screen =
            Self { output, nodes, started: Instant::now(), step: String::new(), history: Vec::new(), drawn: None };
        if !output.is_terminal() {
            for node in &screen.nodes {
                output.notice(node);
            }
        }
        screen
    }

    /// A step begins.
    pub(super) fn step(&mut self, number: usize, of: usize, title: &str) {
        self.step = format!("step {number} of {of}: {title}");
        if !self.output.is_terminal() {
            self.output.notice(&format!("{:6.1} s  {}", self.started.elapsed().as_secs_f64(), self.step));
        }
    }

    /// A change is live in NGINX.
    pub(super) fn live(&mut self, title: &str, took: Duration, generation: u64) {
        let line = format!(
            "{:6.1} s  {title}: live in NGINX after {:.1} s, generation {generation}",
            self.started.elapsed().as_secs_f64(),
            took.as_secs_f64()
        );
        if !self.output.is_terminal() {
            self.output.notice(&line);
        }
        self.history.push(line);
    }

    /// Draws the view, if it is time to.
    pub(super) fn draw(&mut self, live: &Live, traffic: &Traffic) -> Result<(), Failure> {
        if self.output.is_json() || !self.output.is_terminal() || self.drawn.is_some_and(|at| at.elapsed() < FRAME) {
            return Ok(());
        }
        self.drawn = Some(Instant::now());
        let mut text = format!(
            "weir demo  {:4.0} s   {}\n{:.0} requests/s, {} requests, {} failed\n\n",
            self.started.elapsed().as_secs_f64(),
            self.step,
            traffic.rate(),
            traffic.requests(),
            traffic.failed()
        );
        let mut servers = live.servers.clone();
        servers.sort();
        for (name, addr, weight) in &servers {
            let share = traffic.share(name);
            let bar = "█".repeat((share * BAR as f64).round() as usize);
            let state = if *weight == 0 { "down" } else { "in" };
            let _ =
                writeln!(text, " {name:5} {addr:22} {state:4} weight {weight:3}  {bar:BAR$} {:3.0} %", share * 100.0);
        }
        if servers.is_empty() {
            text.push_str(" no servers yet: NGINX answers 502\n");
        }
        let _ = writeln!(text, "\n{}\n\nnodes, on this machine only:", self.history.join("\n"));
        for node in &self.nodes {
            let _ = writeln!(text, " {node}");
        }
        text.push_str("\nCtrl-C ends the demo and removes everything it made\n");
        self.output.clear()?;
        self.output.text(&text)
    }
}
