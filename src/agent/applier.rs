//! Who puts in place what the balancer wants.

use std::path::PathBuf;

use crate::apply::{
    AnswerError, Apply, Ask, Body, Client, Cut, Error, Job, Looked, Notes, Process, Report, Rollback, RunBy, State,
    Step, Unanswered, Uncut,
};
use crate::config::{ApplyMode, Config};
use crate::drain::{Promises, Standing};
use crate::upstream::desired::Desired;
use crate::upstream::{Generation, Holds, UpstreamName};

/// By `apply.mode`. Every call blocks.
#[derive(Debug)]
pub(super) struct Applier {
    way: Way,
    /// What the privileged side keeps of what is live; this side reads it alone.
    kept: Apply,
    /// Who waits if nobody answers.
    upstreams: Vec<UpstreamName>,
}

#[derive(Debug)]
enum Way {
    /// This process.
    Direct(Box<Apply>),
    /// The privileged side, by its socket.
    Helper(Client),
}

impl Applier {
    pub(super) fn new(config: &Config) -> Self {
        let way = match config.apply.mode {
            ApplyMode::Direct => Way::Direct(Box::new(Apply::new(config.into()))),
            ApplyMode::Helper => Way::Helper(Client::new(config)),
        };
        let upstreams = config.upstreams.iter().map(|upstream| upstream.options.name.clone()).collect();
        Self { way, kept: Apply::new(config.into()), upstreams }
    }

    /// Whose hands these are, for words.
    pub(super) fn run_by(&self) -> RunBy {
        match &self.way {
            Way::Direct(_) => RunBy::this_process(),
            Way::Helper(_) => RunBy::Helper,
        }
    }

    /// The generation put in place last, and what it was made from; `None` before the first.
    pub(super) fn live(&self) -> Result<Option<(Generation, Desired)>, Error> {
        self.kept.live()
    }

    /// Brings everything in place, or leaves it as it was and says why.
    pub(super) fn apply(&self, job: Job) -> Report {
        match self.ask(Ask::Apply(job)) {
            Ok(Body::Applied(report)) => report,
            other => unasked(self.not_meant(other)),
        }
    }

    /// Goes back to an earlier generation: how that ended, and all that is held now.
    pub(super) fn roll_back(&self, rollback: Rollback) -> Result<(Report, Holds), Error> {
        match self.ask(Ask::Rollback(rollback)) {
            Ok(Body::Restored { report, holds }) => Ok((report, holds)),
            other => Err(self.not_meant(other)),
        }
    }

    /// How things are. Quick while the master that is `known` is still there.
    pub(super) fn look(&self, known: Option<Process>) -> Result<State, Error> {
        match self.ask(Ask::Report { known }) {
            Ok(Body::State(state)) => state,
            other => Err(self.not_meant(other)),
        }
    }

    /// Has promises kept that are true, and says how things are.
    pub(super) fn promise(&self, promises: Promises, known: Option<Process>) -> Result<Standing, Error> {
        match self.ask(Ask::Promise { promises, known }) {
            Ok(Body::Promised(standing)) => standing,
            other => Err(self.not_meant(other)),
        }
    }

    /// Ends NGINX's connections to servers that are dead, and says what came of each. Now or not at all.
    pub(super) fn cut(&self, cut: Cut) -> Result<Vec<Looked>, Uncut> {
        let answer = match &self.way {
            Way::Direct(apply) => Ok(apply.handle(&Ask::Cut(cut))),
            Way::Helper(client) => client.ask_at_once(Ask::Cut(cut)),
        };
        match answer {
            Ok(Body::Cut(looked)) => looked,
            other => Err(Uncut::NotDone(self.not_meant(other))),
        }
    }

    /// Which NGINX is installed, as it says itself.
    pub(super) fn nginx_version(&self) -> Option<String> {
        self.kept.nginx_version()
    }

    /// Ends what a run that died left half done; `None` if there is nothing to end.
    pub(super) fn recover(&self) -> Option<Report> {
        match self.ask(Ask::Recover) {
            Ok(Body::Applied(report)) => Some(report),
            Ok(Body::NothingToRecover) => None,
            other => Some(unasked(self.not_meant(other))),
        }
    }

    fn ask(&self, ask: Ask) -> Result<Body, Unanswered> {
        match &self.way {
            Way::Direct(apply) => Ok(apply.handle(&ask)),
            Way::Helper(client) => client.ask(ask),
        }
    }

    /// Why an answer is not what was asked for.
    fn not_meant(&self, answer: Result<Body, Unanswered>) -> Error {
        let why = match answer {
            Ok(Body::Refused(refusal)) => return Error::NotDone(refusal),
            Ok(
                Body::Applied(_)
                | Body::Restored { .. }
                | Body::NothingToRecover
                | Body::State(_)
                | Body::Promised(_)
                | Body::Checked(_)
                | Body::Cut(_),
            ) => Unanswered::Answer(AnswerError::Other),
            Err(why) => why,
        };
        let socket = match &self.way {
            Way::Direct(_) => PathBuf::new(),
            Way::Helper(client) => client.socket().to_owned(),
        };
        Error::Unanswered { upstreams: self.upstreams.clone(), socket, why }
    }
}

fn unasked(error: Error) -> Report {
    Report::Refused { generation: None, step: Step::Ask, error, ours: false, notes: Notes::default() }
}
