//! `weir reachability`: does every live member answer this node?

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, ping};
use crate::escape::escape;
use crate::rpc::proto::QueryRecord;
use crate::time::millis;

/// Test whether every live member answers this node.
#[derive(Debug, clap::Args)]
pub(crate) struct Reachability {
    /// Show each answer and the times
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

/// What was learned. Names are sorted.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) members: usize,
    pub(crate) alive: BTreeSet<String>,
    pub(crate) acked: BTreeSet<String>,
    /// Live members that kept silent.
    pub(crate) missing: BTreeSet<String>,
    /// Members that answered and that the agent does not hold alive.
    pub(crate) unexpected: BTreeSet<String>,
    /// Names that answered more than once.
    pub(crate) duplicates: BTreeSet<String>,
    pub(crate) last_ack_ms: u64,
}

impl Reachability {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let members = session.members(&Default::default()).await?;
        let alive = members.iter().filter(|member| member.status == "alive").map(|member| member.name.clone());
        let mut report = Report { members: members.len(), alive: alive.collect(), ..Report::default() };
        session.query(ping()).await?;
        if !output.is_json() {
            output.text(&headline(&report))?;
        }
        let start = Instant::now();
        loop {
            match session.answer().await? {
                QueryRecord::Ack { from } => {
                    report.last_ack_ms = millis(start.elapsed());
                    if self.verbose && !output.is_json() {
                        output.text(&format!("\tAck from '{}'\n", escape(&from)))?;
                    }
                    report.ack(from);
                }
                QueryRecord::Response { .. } => {}
                QueryRecord::Done => break,
            }
            if report.is_complete() {
                break;
            }
        }
        self.finish(report, output, start.elapsed())
    }

    fn finish(&self, mut report: Report, output: &Output, took: Duration) -> Result<Exit, Failure> {
        report.conclude();
        if let Some(failure) = report.failure() {
            return Err(failure);
        }
        if output.is_json() {
            output.json(&report)?;
        } else {
            if self.verbose {
                output.text(&times(took, report.last_ack_ms))?;
            }
            output.text("Successfully contacted all live nodes\n")?;
        }
        Ok(Exit::Done)
    }
}

impl Report {
    fn ack(&mut self, from: String) {
        if self.acked.contains(&from) {
            self.duplicates.insert(from);
        } else {
            self.acked.insert(from);
        }
    }

    fn is_complete(&self) -> bool {
        self.alive.is_subset(&self.acked)
    }

    fn conclude(&mut self) {
        self.missing = self.alive.difference(&self.acked).cloned().collect();
        self.unexpected = self.acked.difference(&self.alive).cloned().collect();
    }

    /// What is wrong, worst first.
    fn failure(&self) -> Option<Failure> {
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let failed = |what: String, remedy: &str| Some(Failure::new(Exit::Failed, what).with_remedy(remedy));
        if !self.missing.is_empty() {
            return failed(
                format!(
                    "{} of {} live members did not answer: {}",
                    self.missing.len(),
                    self.alive.len(),
                    list(&self.missing)
                ),
                "open gossip's port there, TCP and UDP, and look whether their advertised address leads to them",
            );
        }
        if !self.duplicates.is_empty() {
            return failed(
                format!("answered more than once: {}", list(&self.duplicates)),
                "give each node its own name",
            );
        }
        if !self.unexpected.is_empty() {
            return failed(
                format!("answered without being held alive: {}", list(&self.unexpected)),
                "packets of theirs or to them are lost; open gossip's port both ways",
            );
        }
        None
    }
}

/// The first lines of the text.
pub(crate) fn headline(report: &Report) -> String {
    format!("Total members: {}, live members: {}\nStarting reachability test...\n", report.members, report.alive.len())
}

fn times(took: Duration, last_ack_ms: u64) -> String {
    let last = Duration::from_millis(last_ack_ms).as_secs_f64();
    format!("Query time: {:.2} sec, time to last response: {last:.2} sec\n", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(alive: &[&str], acks: &[&str]) -> Report {
        let mut report = Report { alive: alive.iter().map(ToString::to_string).collect(), ..Report::default() };
        acks.iter().for_each(|from| report.ack((*from).to_owned()));
        report.conclude();
        report
    }

    #[test]
    fn silence_twins_and_strangers_are_failures() {
        for (alive, acks, said) in [
            (&["a", "b"][..], &["a", "b"][..], None),
            (&["a", "b"], &["a"], Some("1 of 2 live members did not answer: b")),
            (&["a"], &["a", "a"], Some("answered more than once: a")),
            (&["a"], &["a", "x"], Some("answered without being held alive: x")),
        ] {
            let failure = report(alive, acks).failure();
            assert_eq!(failure.as_ref().map(Failure::message), said);
        }
    }
}
