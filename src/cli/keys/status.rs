//! `weir keys status`: who holds which key, and which one seals.

use std::time::Duration;

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::super::table::Table;
use super::super::time;
use super::super::watch::Watch;
use crate::rotate::document::{KeyStatus, MemberStatus, Status};
use crate::rpc::weir;

/// Tell which keys each member holds and which one it seals with.
#[derive(Debug, clap::Args)]
pub(crate) struct KeysStatus {
    /// Show it again whenever it changes, looking this often
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = crate::cli::parse::duration)]
    pub(crate) watch: Option<Duration>,
    /// Name the columns also in a pipe
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl KeysStatus {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let Some(interval) = self.watch else {
            let status = fetch(&mut session).await?;
            if output.is_json() {
                output.json(&status)?
            } else {
                output.text(&self.render(&status, output))?
            }
            return Ok(Exit::Done);
        };
        let mut watch = Watch::new(interval);
        loop {
            let fetched = fetch(&mut session).await;
            if let Some(status) = watch.answered(fetched, &mut session, &self.agent, output).await? {
                watch.show(output, &status, || self.render(&status, output))?;
            }
            watch.pause().await;
        }
    }

    /// Keys, then members.
    fn render(&self, status: &Status, output: &Output) -> String {
        let mut keys = Table::new(&["KEY", "PRIMARY ON", "HELD BY", "SEALED"]);
        for key in &status.keys {
            let of = |count: usize| format!("{count} of {}", key.members);
            keys.row([key.id.clone(), of(key.primary_on), of(key.held_by), sealed(key)]);
        }
        let mut members = Table::new(&["NAME", "STATUS", "HOLDS", "SEALS WITH", "ENVELOPE", "LAST SEEN"]);
        for member in &status.members {
            members.row(cells(member));
        }
        let layout = output.layout(self.header, true);
        let keys = keys.render(layout, |_, text| text.to_owned());
        let members =
            members.render(layout, |column, text| if column == 1 { output.paint_state(text) } else { text.to_owned() });
        format!("{keys}\n{members}")
    }
}

pub(super) async fn fetch(session: &mut Session) -> Result<Status, Failure> {
    Ok(session.weir(&weir::KeysStatus {}).await?)
}

/// `412 008 packets, 0.01 % of safe`.
fn sealed(key: &KeyStatus) -> String {
    format!("{} packets, {:.2} % of safe", grouped(key.sealed_packets), key.worn * 100.0)
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn cells(member: &MemberStatus) -> [String; 6] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let holds = match (&member.holds, &member.message) {
        (Some(keys), Some(_)) => Some(format!("{} ...", keys.join(" "))),
        (Some(keys), None) => Some(keys.join(" ")),
        (None, Some(message)) => Some(message.clone()),
        (None, None) => None,
    };
    [
        member.name.clone(),
        member.status.clone(),
        or_dash(holds),
        or_dash(member.seals_with.clone()),
        or_dash(Some(member.envelope.clone()).filter(|envelope| !envelope.is_empty())),
        member.last_seen.as_deref().map(time::of_day).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (412_008, "412 008"), (1_234_567, "1 234 567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
