//! `weir sim`: thousands of nodes in virtual time.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use plotters::prelude::*;

use crate::error::Trouble;
use crate::sim::Network;
use crate::sim::study::{Plan, Report, study};
use crate::swim::Profile;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;

/// Simulates a cluster of the agent's own state machines under virtual time: a newcomer joins after 5 s, members die after
/// 10 s, and it is measured who learns of it when, and at what cost.
#[derive(Debug, clap::Args)]
pub(crate) struct Sim {
    /// Nodes, all of which know each other at the start
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    nodes: u32,
    /// Timings: lan, wan or local
    #[arg(long, default_value = "lan", value_parser = profile)]
    profile: Profile,
    /// Share of datagrams that are lost, "5%"
    #[arg(long, default_value = "0%", value_parser = share)]
    loss: f64,
    /// One-way delay between nodes; half of it again is added at random
    #[arg(long, default_value = "200us", value_parser = delay)]
    delay: Duration,
    /// Members killed at once
    #[arg(long, default_value_t = 1)]
    kill: u32,
    /// Virtual length of the run, at least 15s
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse::duration)]
    length: Duration,
    /// Decides everything that is drawn; the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the run second by second as an SVG picture
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

impl Sim {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        if self.kill >= self.nodes {
            return Err(Failure::usage(format!(
                "--kill {} of --nodes {}: somebody has to survive",
                self.kill, self.nodes
            )));
        }
        if self.length < Duration::from_secs(15) {
            return Err(Failure::usage("--for must be at least 15s: members die after 10 s"));
        }
        let plan = Plan {
            nodes: self.nodes as usize,
            profile: self.profile,
            network: Network { delay: self.delay, jitter: self.delay / 2, loss: self.loss, ..Network::default() },
            kill: self.kill as usize,
            length: self.length,
            seed: self.seed,
        };
        let seconds = self.length.as_secs();
        let report = study(&plan, &mut |second| output.progress(&format!("{second} of {seconds} virtual seconds")));
        output.progress("");
        if let Some(path) = &self.plot {
            let picture = plot(&report)?;
            std::fs::write(path, picture).map_err(|error| Failure::of_file("write", path, &error))?;
        }
        if output.is_json() {
            output.json(&report)?
        } else {
            output.text(&to_text(&report))?
        }
        Ok(Exit::Done)
    }
}

fn to_text(report: &Report) -> String {
    let time =
        |seconds: Option<f64>| seconds.map_or("not within the run".to_owned(), |seconds| format!("{seconds:.2} s"));
    let mut text = String::new();
    for (name, value) in [
        ("nodes", report.nodes.to_string()),
        ("newcomer known by all after", time(report.join_known_by_all_s)),
        ("members killed", report.killed.to_string()),
        ("first death known after", time(report.first_detection_s)),
        ("all deaths known by all after", time(report.last_detection_s)),
        ("living members held failed", report.false_positives.to_string()),
        ("living members suspected", report.false_suspicions.to_string()),
        ("packets per node and second", format!("{:.2}", report.packets_per_node_second)),
        ("bytes per node and second", format!("{:.0}", report.bytes_per_node_second)),
        ("of streams, besides", format!("{:.0}", report.stream_bytes_per_node_second)),
    ] {
        let _ = writeln!(text, "{name:32} {value}");
    }
    text
}

/// Two charts over one time axis: who knows, and what it cost.
fn plot(report: &Report) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("cannot draw: {error}"));
    let mut picture = String::new();
    {
        let root = SVGBackend::with_string(&mut picture, (900, 640)).into_drawing_area();
        root.fill(&WHITE).map_err(|error| failed(&error))?;
        let (upper, lower) = root.split_vertically(320);
        let end = report.timeline.len() as f64;
        let moments = || (1..=report.timeline.len()).map(|second| second as f64);
        let known = report.timeline.iter().map(|second| second.deaths_known * 100.0);
        chart(&upper, "deaths known, % of survivors", end, 100.0, moments().zip(known))
            .map_err(|error| failed(&error))?;
        let most = report.timeline.iter().map(|second| second.packets).fold(1.0, f64::max);
        let packets = report.timeline.iter().map(|second| second.packets);
        chart(&lower, "packets per node and second", end, most * 1.1, moments().zip(packets))
            .map_err(|error| failed(&error))?;
        root.present().map_err(|error| failed(&error))?;
    }
    Ok(picture)
}

fn chart<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    title: &str,
    end: f64,
    top: f64,
    points: impl Iterator<Item = (f64, f64)>,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart.configure_mesh().x_desc("virtual seconds").draw()?;
    chart.draw_series(LineSeries::new(points, &BLUE))?;
    Ok(())
}

fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "lan" => Ok(Profile::Lan),
        "wan" => Ok(Profile::Wan),
        "local" => Ok(Profile::Local),
        _ => Err("a profile is lan, wan or local".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "a share is a number from 0 to 100 with a percent sign, \"5%\"".to_owned())
}

fn delay(text: &str) -> Result<Duration, Trouble> {
    match text.strip_suffix("us").and_then(|number| number.parse().ok()) {
        Some(micros) => Ok(Duration::from_micros(micros)),
        None => parse::duration(text),
    }
}
