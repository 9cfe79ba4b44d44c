//! `weir join`: contact members of a cluster.

use std::collections::BTreeSet;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, SessionError};
use crate::rpc::weir::{self, Joined, Missed};

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

impl Join {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let request = weir::Join { addresses: self.addresses.clone(), replay: self.replay };
        let joined = match session.weir(&request).await {
            Err(SessionError::Unsupported(_)) => self.run_with_serf(&mut session).await?,
            joined => joined?,
        };
        report(&joined, output)
    }

    /// Serf's agent reports an error only when no address worked, so each is asked for on its own.
    async fn run_with_serf(&self, session: &mut Session) -> Result<Joined, Failure> {
        let mut joined = Joined::default();
        for address in &self.addresses {
            match session.join(address, self.replay).await {
                Ok(contacted) => joined.contacted += contacted,
                Err(SessionError::Refused(refusal)) => {
                    let error = last_line(&refusal.what).to_owned();
                    joined.failed.push(Missed { address: address.clone(), error, remedy: None });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(joined)
    }
}

fn report(joined: &Joined, output: &Output) -> Result<Exit, Failure> {
    if joined.contacted == 0 && !joined.failed.is_empty() {
        return Err(nobody(&joined.failed));
    }
    if output.is_json() {
        output.json(joined)?;
    } else {
        output.text(&format!("Successfully joined cluster by contacting {} nodes.\n", joined.contacted))?;
    }
    for missed in &joined.failed {
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
            let what = format!("none of {} addresses could be joined: {}", all.len(), reasons.join(", "));
            let failure = Failure::new(Exit::Failed, what);
            let ways_out: BTreeSet<&str> = all.iter().filter_map(|missed| missed.remedy.as_deref()).collect();
            match ways_out.len() {
                0 => failure,
                1 => failure.with_remedy(ways_out.into_iter().collect::<String>()),
                _ => failure.with_remedy("'weir join' with one of them alone tells its way out"),
            }
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

/// The last line of Go's list of errors, without its bullet.
fn last_line(text: &str) -> &str {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    line.trim_start_matches("* ").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serf_says_is_shown_as_it_is() {
        let reason = "Failed to join 10.77.0.11: dial tcp 10.77.0.11:7946: connect: connection refused";
        assert_eq!(last_line(&format!("1 error occurred:\n\t* {reason}\n\n")), reason);
        assert_eq!((last_line("no"), last_line(" \n")), ("no", "no reason given"));
    }

    #[test]
    fn nobody_reached_is_one_error_that_names_all() {
        let missed = |address: &str| Missed {
            address: address.to_owned(),
            error: format!("nothing listens on {address}"),
            remedy: Some("start weir there, or correct the port".to_owned()),
        };
        let all = "error: none of 2 addresses could be joined: nothing listens on a:1, nothing listens on b:2";
        let same = [missed("a:1"), missed("b:2")];
        assert_eq!(nobody(&same).to_text(), format!("{all}; start weir there, or correct the port"));
        let mut different = same.clone();
        different[0].remedy = Some("go there".to_owned());
        assert_eq!(
            nobody(&different).to_text(),
            format!("{all}; 'weir join' with one of them alone tells its way out")
        );
        let serfs = same.map(|missed| Missed { remedy: None, ..missed });
        assert_eq!(nobody(&serfs).to_text(), all);
        assert_eq!(
            nobody(&[missed("a:1")]).to_text(),
            "error: nothing listens on a:1; start weir there, or correct the port"
        );
    }
}
