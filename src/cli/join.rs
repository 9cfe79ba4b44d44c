//! `weir join`: contact members of a cluster.
//!
//! The agent reports an error only when no address worked, so each address is asked for on its own: the answer then names
//! those that failed.

use serde::Serialize;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use crate::config::GOSSIP_PORT;
use crate::status::shell::open_port;

/// Make the agent join a cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// Members to contact: HOST or HOST:PORT
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// Deliver user events that are older than the join, too
    #[arg(long)]
    replay: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

/// What came of each address.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Outcome {
    contacted: u64,
    failed: Vec<Missed>,
}

/// An address that could not be joined.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Missed {
    address: String,
    error: String,
    remedy: Option<String>,
}

impl Join {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let mut outcome = Outcome::default();
        for address in &self.addresses {
            match session.join(address, self.replay).await {
                Ok(contacted) => outcome.contacted += u64::from(contacted),
                Err(SessionError::Refused(refusal)) => outcome.failed.push(missed(address, &refusal.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        report(&outcome, output)
    }
}

fn report(outcome: &Outcome, output: &Output) -> Result<Exit, Failure> {
    if outcome.contacted == 0 && !outcome.failed.is_empty() {
        return Err(nobody(&outcome.failed));
    }
    if output.is_json() {
        output.json(outcome)?;
    } else {
        output.text(&format!("Successfully joined cluster by contacting {} nodes.\n", outcome.contacted))?;
    }
    for missed in &outcome.failed {
        output.notice(&failure(missed).to_text().replacen("error:", "notice:", 1));
    }
    Ok(Exit::Done)
}

/// No address worked: the first reason is the error, with the number of the others.
fn nobody(failed: &[Missed]) -> Failure {
    match failed {
        [only] => failure(only),
        all => {
            let reasons: Vec<&str> = all.iter().map(|missed| missed.error.as_str()).collect();
            Failure::new(
                Exit::Failed,
                format!("none of {} addresses could be joined: {}", all.len(), reasons.join(", ")),
            )
        }
    }
}

fn failure(missed: &Missed) -> Failure {
    let failure = Failure::new(Exit::Failed, missed.error.clone());
    match &missed.remedy {
        Some(remedy) => failure.with_remedy(remedy.clone()),
        None => failure,
    }
}

/// The agent's reason in an operator's words (`ux §4`, rows 9 and 10); what is not known passes as it is.
fn missed(address: &str, text: &str) -> Missed {
    let reason = last_reason(text);
    let place = with_port(address);
    let said = |error: String, remedy: Option<&str>| Missed {
        address: address.to_owned(),
        error,
        remedy: remedy.map(str::to_owned),
    };
    if reason.ends_with("connection refused") {
        return said(format!("nothing listens on {place}"), Some("start weir there, or correct the port"));
    }
    if reason.ends_with("i/o timeout") || reason.ends_with("no route to host") {
        return said(
            format!("{place}/tcp does not answer (10 s)"),
            Some(&format!("open {GOSSIP_PORT} TCP and UDP there: {}", open_port(GOSSIP_PORT))),
        );
    }
    if reason.ends_with("no such host") {
        return said(
            format!("cannot resolve '{}' to join: name not known", host(address)),
            Some("correct the name, or give an address"),
        );
    }
    match reason.strip_prefix("Failed to join ").and_then(|reason| reason.split_once(": ")) {
        Some((place, reason)) => {
            let (what, way_out) = match reason.split_once("; ") {
                Some((what, way_out)) => (what, Some(way_out)),
                None => (reason, None),
            };
            said(sentence(place, what), way_out)
        }
        None => said(reason.to_owned(), None),
    }
}

/// A weir agent's reason goes on from the address, `10.77.0.11 hung up …`; Go's is a sentence of its own.
fn sentence(place: &str, what: &str) -> String {
    let first = what.split(' ').next().unwrap_or_default();
    let is_verb = first.chars().all(|c| c.is_ascii_lowercase()) && !matches!(first, "dial" | "read" | "write");
    if is_verb { format!("{place} {what}") } else { format!("{place}: {what}") }
}

/// The last line of Go's list of errors, without its bullet.
fn last_reason(text: &str) -> &str {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    line.trim_start_matches("* ").trim()
}

/// The address with Serf's port, if it has none.
fn with_port(address: &str) -> String {
    let has_port = match address.rfind(']') {
        Some(end) => address[end..].contains(':'),
        None => address.matches(':').count() == 1,
    };
    match (has_port, address.contains(':') && !address.starts_with('[')) {
        (true, _) => address.to_owned(),
        (false, true) => format!("[{address}]:7946"),
        (false, false) => format!("{address}:7946"),
    }
}

fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_become_an_operators_words() {
        let go = |text: &str| format!("1 error occurred:\n\t* Failed to join 10.77.0.11: {text}\n\n");
        for (address, text, line) in [
            (
                "10.77.0.11",
                go("dial tcp 10.77.0.11:7946: connect: connection refused"),
                "error: nothing listens on 10.77.0.11:7946; start weir there, or correct the port",
            ),
            (
                "10.77.0.11:7946",
                go("dial tcp 10.77.0.11:7946: i/o timeout"),
                "error: 10.77.0.11:7946/tcp does not answer (10 s); open 7946 TCP and UDP there: 'firewall-cmd \
                 --permanent --add-port=7946/tcp --add-port=7946/udp' and 'firewall-cmd --reload', or 'ufw allow 7946'",
            ),
            (
                "lb1",
                "1 error occurred:\n\t* Failed to resolve lb1: lookup lb1: no such host\n\n".to_owned(),
                "error: cannot resolve 'lb1' to join: name not known; correct the name, or give an address",
            ),
            (
                "fd00::1",
                go("connection refused"),
                "error: nothing listens on [fd00::1]:7946; start weir there, or correct the port",
            ),
            (
                "10.77.0.11",
                go("hung up without an answer: it probably lacks our key 3fa9c1d2; compare 'weir keys list' there"),
                "error: 10.77.0.11 hung up without an answer: it probably lacks our key 3fa9c1d2; compare 'weir keys \
                 list' there",
            ),
            ("10.77.0.11", go("Remote state is encrypted"), "error: 10.77.0.11: Remote state is encrypted"),
            ("10.77.0.11", go("EOF"), "error: 10.77.0.11: EOF"),
            ("x", "it probably lacks our key".to_owned(), "error: it probably lacks our key"),
        ] {
            assert_eq!(failure(&missed(address, &text)).to_text(), line);
        }
    }

    #[test]
    fn nobody_reached_is_one_error_that_names_all() {
        let failed = [missed("a:1", "connection refused"), missed("b:2", "connection refused")];
        assert_eq!(
            nobody(&failed).to_text(),
            "error: none of 2 addresses could be joined: nothing listens on a:1, nothing listens on b:2"
        );
    }
}
