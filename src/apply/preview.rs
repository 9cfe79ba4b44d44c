//! The files as they would be, for whoever wants to see or to test them first.

use std::path::PathBuf;

use super::journal::Journal;
use super::namespace::Candidate;
use super::place::Candidates;
use super::plan::{Plan, is_frozen};
use super::report::At;
use super::run::Run;
use super::store::Store;
use super::system::{Nginx, Validation};
use super::targets;
use super::{Apply, Error, Hindrance, feature, kept};
use crate::digest::Digest;
use crate::nginx::{Turn, render};
use crate::upstream::desired::Desired;
use crate::upstream::{Generation, UpstreamName};

/// The file of one upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Preview {
    /// Whose it is.
    pub upstream: UpstreamName,
    /// Where it goes.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// What NGINX says of files that are not in place.
#[derive(Clone, Debug)]
pub enum Tried {
    /// It takes them.
    Passed,
    /// It would have to see them in place.
    Untested(Hindrance),
}

impl Apply {
    /// Every file that `desired` is about as the next apply would leave it, those without a server or a record as if none were
    /// there. Nothing is touched.
    pub fn preview(&self, desired: &Desired) -> Result<Vec<Preview>, Error> {
        let state = &self.options.apply.state;
        let journal = Journal::read(state)?;
        let in_place = match journal.state().in_place {
            Generation(0) => None,
            generation => Store::new(state).load(generation)?,
        };
        let (next, host) = (journal.state().newest.next(), feature::host(&self.options));
        let holds = kept::holds(state)?;
        let mut previews = Vec::new();
        for target in self.options.targets() {
            let name = &target.options.name;
            let Some(wanted) = desired.upstreams.get(name) else { continue };
            let text = |generation| render(target.block, wanted, Turn { order: desired.order, generation }, host);
            let known = in_place.as_ref().and_then(|saved| Some((saved, saved.file(target.output)?)));
            let text = match known {
                Some((_, file)) if file.hash == Some(Digest::of(text(file.turn).as_bytes())) => text(file.turn),
                // Root alone may read them.
                Some((saved, file)) if is_frozen(&holds, in_place.as_ref(), name, wanted) => {
                    let bytes = saved.bytes(file)?.unwrap_or_default();
                    String::from_utf8_lossy(&bytes).into_owned()
                }
                Some(_) | None => text(next),
            };
            previews.push(Preview { upstream: name.clone(), path: target.output.to_owned(), text });
        }
        Ok(previews)
    }

    /// Whether NGINX would take what `desired` is about. Waits for an apply that runs; what serves is not touched.
    pub fn try_out(&self, desired: &Desired) -> Result<Tried, Error> {
        let run = Run::start(&self.options, || Ok(())).map_err(|At { error, .. }| error)?;
        let nginx = Nginx::find(&self.options.nginx, desired.upstreams.keys())?;
        let (in_place, found) = (run.in_place()?, targets::read_all(&self.options, desired)?);
        let holds = kept::holds(&self.options.apply.state)?;
        let host = feature::host(&self.options);
        let plan = Plan::make(&self.options, found, desired, in_place.as_ref(), &holds, run.next(), host)?;
        targets::prepare(&self.options, &nginx, &plan.changes)?;
        let candidates = Candidates::write(&plan.changes)?;
        let (shown, created): (_, Vec<_>) = (candidates.shown(), plan.created().collect());
        let shown: Vec<Candidate<'_>> =
            shown.iter().map(|(target, file)| Candidate { target, file: file.as_deref() }).collect();
        let tested = nginx.validate(&self.options.weir, &shown, &created, &self.options.ours());
        candidates.clear()?;
        Ok(match tested? {
            Validation::Passed(_) => Tried::Passed,
            Validation::NeedsPlacing(hindrance) => Tried::Untested(hindrance),
        })
    }
}
