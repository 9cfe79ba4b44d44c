//! One look at what a check is about. Ends within its timeout, or two seconds later where a program does not want to end.

use std::sync::Arc;
use std::time::Duration;

use super::super::clock;
use super::super::process::{self, Outcome, Task};
use crate::config::{Check, Command, Subject, Unit};
use crate::handlers::Tail;
use crate::health::check::{Finding, MAX_OUTPUT_BYTES, Verdict, unit};
use crate::status::node;

/// Looks, and says what it found.
pub(super) async fn look(check: &Check) -> Finding {
    let started = clock::now();
    let (verdict, output) = match &check.subject {
        Subject::Exec(argv) => exec(argv.clone(), check.timeout).await,
        Subject::Systemd(unit) => systemd(unit, check.timeout).await,
        Subject::Ttl(_) => unreachable!("the machine runs no ttl check"),
    };
    Finding { verdict, output, took: clock::now().since(started) }
}

/// Exit 0 passes, 1 is a warning, all else is critical; what it printed last says why.
async fn exec(argv: Vec<String>, timeout: Duration) -> (Verdict, String) {
    let Ran { outcome, output } = run(argv, Vec::new(), timeout).await;
    let verdict = match outcome {
        Outcome::Exited(0) => Verdict::Passing,
        Outcome::Exited(1) => Verdict::Warning,
        Outcome::Exited(_) | Outcome::Killed(_) | Outcome::TimedOut | Outcome::NotStarted(_) => Verdict::Critical,
    };
    match (&outcome, output.trim()) {
        (Outcome::Exited(0 | 1), _) => (verdict, output),
        (_, "") => (verdict, node::Run::from(&outcome).to_string()),
        (_, said) => (verdict, format!("{}: {said}", node::Run::from(&outcome))),
    }
}

/// What systemd says of a unit. The agent's own unit lets it talk to the system's bus, and anybody may ask there.
async fn systemd(unit: &Unit, timeout: Duration) -> (Verdict, String) {
    let argv = ["systemctl", "show", "--no-pager", "--property", unit::PROPERTIES, "--", unit.as_str()];
    let environment = vec![("LC_ALL".to_owned(), "C".to_owned())];
    let Ran { outcome, output } = run(argv.map(str::to_owned).to_vec(), environment, timeout).await;
    match outcome {
        Outcome::Exited(0) => unit::judge(&output),
        Outcome::Exited(_) | Outcome::Killed(_) | Outcome::TimedOut | Outcome::NotStarted(_) => {
            (Verdict::Critical, format!("systemctl: {}: {}", node::Run::from(&outcome), output.trim()))
        }
    }
}

/// What a program did.
struct Ran {
    outcome: Outcome,
    output: String,
}

async fn run(argv: Vec<String>, environment: Vec<(String, String)>, timeout: Duration) -> Ran {
    let (program, environment, input) = (Command::Argv(argv), Arc::new(environment), Arc::default());
    let mut tail = Tail::new(MAX_OUTPUT_BYTES);
    let ran = process::run(Task { program, environment, input, timeout }, &mut tail, || {}).await;
    let outcome = ran.unwrap_or_else(|error| Outcome::NotStarted(error.to_string()));
    Ran { outcome, output: String::from_utf8_lossy(tail.as_bytes()).into_owned() }
}
