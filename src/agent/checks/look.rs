//! One look at what a check is about. Ends within its timeout, or two seconds later where a program does not want to end.

use std::sync::Arc;
use std::time::Duration;

use super::super::clock;
use super::super::process::{self, Outcome, Task};
use super::super::request::{Request, Trusts};
use crate::config::{Address, Check, Command, Service, Subject, Unit};
use crate::error::{Trouble, system_words};
use crate::handlers::Tail;
use crate::health::check::{self, CUT_BYTES, Finding, HEAD_BYTES, MAX_OUTPUT_BYTES, Verdict, unit};
use crate::status::node;

/// What is done for a check.
#[derive(Debug)]
pub(super) struct Look {
    what: What,
    timeout: Duration,
}

#[derive(Debug)]
enum What {
    Ask { request: Box<Request>, to: Address },
    Exec(Vec<String>),
    Systemd(Unit),
}

impl Look {
    /// `None` for a check that only hears what somebody says. `trusts` holds whose certificates are taken; they are read with
    /// the first request.
    pub(super) fn new(check: &Check, trusts: &mut Trusts) -> Option<Self> {
        let what = match &check.subject {
            Subject::Service { service, to } => {
                let request = Request::new(Service::clone(service), check.timeout, trusts);
                What::Ask { request: Box::new(request), to: to.clone() }
            }
            Subject::Exec(argv) => What::Exec(argv.clone()),
            Subject::Systemd(unit) => What::Systemd(unit.clone()),
            Subject::Ttl(_) => return None,
        };
        Some(Self { what, timeout: check.timeout })
    }

    /// Looks, and says what it found.
    pub(super) async fn look(&self) -> Finding {
        let started = clock::now();
        let (verdict, output) = match &self.what {
            What::Ask { request, to } => ask(request, to).await,
            What::Exec(argv) => exec(argv.clone(), self.timeout).await,
            What::Systemd(unit) => systemd(unit, self.timeout).await,
        };
        Finding { verdict, output, took: clock::now().since(started) }
    }
}

/// Whoever could not even ask knows nothing good of the service.
async fn ask(request: &Request, to: &Address) -> (Verdict, String) {
    match request.ask(to).await.result {
        Ok(()) => (Verdict::Passing, "answers".to_owned()),
        Err(failure) => (Verdict::Critical, failure.to_string()),
    }
}

/// Exit 0 passes, 1 is a warning, all else is critical; what it printed says why.
async fn exec(argv: Vec<String>, timeout: Duration) -> (Verdict, String) {
    let Ran { outcome, output } = run(argv, Vec::new(), timeout).await;
    let verdict = match outcome {
        Outcome::Exited(0) => Verdict::Passing,
        Outcome::Exited(1) => Verdict::Warning,
        Outcome::Exited(_) | Outcome::Killed(_) | Outcome::TimedOut | Outcome::NotStarted(_) => Verdict::Critical,
    };
    match (&outcome, output.trim()) {
        (Outcome::Exited(0 | 1), _) => (verdict, output),
        (Outcome::NotStarted(trouble), _) => (verdict, format!("cannot start {trouble}")),
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
    let mut tail = Tail::with_head(HEAD_BYTES, MAX_OUTPUT_BYTES - HEAD_BYTES - CUT_BYTES);
    let task = Task { program, environment, input, timeout, may_outlive_us: false };
    let ran = process::run(task, &mut tail, || {}).await;
    let outcome = ran.unwrap_or_else(|error| Outcome::NotStarted(Trouble::new(system_words(&error), "")));
    let [head, end] = tail.parts();
    let output = match tail.lost() {
        // A character may stand on the border.
        0 => String::from_utf8_lossy(&[head, end].concat()).into_owned(),
        lost => check::without_middle(&String::from_utf8_lossy(head), lost, &String::from_utf8_lossy(end)),
    };
    Ran { outcome, output }
}
