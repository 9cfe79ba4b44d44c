//! What earlier runs have promised and held. Whoever applies keeps the full sets as the next job carries them, so that one that was
//! sent without knowing them would end them all.

use std::path::Path;

use tracing::{info, warn};

use super::Upstreams;
use crate::agent::applier::Applier;
use crate::agent::clock::Calendar;
use crate::apply::{self, Error, State};
use crate::drain::Promises;
use crate::time::Instant;
use crate::upstream::{Holds, Reason};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) holds: Holds,
    pub(super) promises: Promises,
}

/// By the files in `state`; whoever keeps them is asked for what may not be read. Blocks.
pub(super) fn known(applier: &Applier, state: &Path) -> Result<Kept, Error> {
    let read = || Ok::<_, Error>(Kept { holds: apply::holds(state)?, promises: apply::promises(state)? });
    let asked = || applier.look(None).map(|State { holds, promises, .. }| Kept { holds, promises });
    read().or_else(|_| asked())
}

/// What still holds, in the operator's timeline.
pub(super) fn tell(holds: &Holds, promises: &Promises) {
    for (upstream, hold) in holds.iter() {
        let (since, reason) = (Calendar::unix(hold.since), hold.reason.as_ref().map(Reason::as_str));
        warn!(%upstream, since, reason, "still held");
    }
    for promise in promises.iter() {
        info!(member = %promise.node, id = %promise.id, "promised to leave out");
    }
}

impl Upstreams {
    /// A look has found what was kept; where that was not known until now jobs may begin.
    pub(super) fn handle_known(&mut self, now: Instant, State { holds, promises, .. }: &State) {
        if !std::mem::take(&mut self.awaits_kept) {
            return;
        }
        info!("what is held and was promised is known now");
        tell(holds, promises);
        self.drains.handle_known(now, promises);
        self.drains.tell(now, &mut self.balancer);
        self.balancer.handle_known(now, holds);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{InPlace, UpstreamName};
    use super::*;
    use crate::config::{ApplyMode, Config};
    use crate::digest::Digest;
    use crate::drain::{DrainId, Promise};
    use crate::rpc::weir::{Answer, UpstreamHold};
    use crate::upstream::Hold;
    use crate::wire::NodeName;
    use crate::wire::message::Incarnation;

    const HOLD: Hold = Hold { since: 7, reason: None };

    fn promises() -> Promises {
        let (node, id) = (NodeName::new("web1").unwrap(), DrainId::new("5d3e01aa").unwrap());
        Promises::try_from(vec![Promise { node, incarnation: Incarnation::new(7), id }]).unwrap()
    }

    fn web() -> UpstreamName {
        UpstreamName::new("web").unwrap()
    }

    fn config(state: &Path) -> Config {
        let mut config = Config::default();
        (config.apply.mode, config.apply.state) = (ApplyMode::Direct, state.to_owned());
        config
    }

    #[test]
    fn a_set_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        for file in ["promises", "holds"] {
            let state = tempfile::tempdir().unwrap();
            let applier = Applier::new(&config(state.path()));
            assert!(known(&applier, state.path()).unwrap().promises.is_empty(), "before the first job there is none");
            std::fs::write(state.path().join(file), "[{").unwrap();
            let error = known(&applier, state.path()).unwrap_err();
            assert!(matches!(&error, Error::Record { path, .. } if path.ends_with(file)), "{error}");
        }
    }

    #[tokio::test]
    async fn nothing_is_asked_of_apply_before_it_is_known_what_was_promised_and_held() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let in_place = InPlace { applier: Applier::new(&config), live: None, since: None, kept: None };
        let mut upstreams = Upstreams::new(&config, in_place, Instant::ZERO);
        upstreams.recovering = None;
        assert!(upstreams.is_held_back());
        let (answer, mut told) = Answer::channel();
        upstreams.hold(Instant::ZERO, UpstreamHold::default(), answer);
        assert!(told.try_recv().unwrap().is_err(), "what is held now is not known");

        let holds = {
            let mut holds = Holds::default();
            holds.hold(web(), HOLD);
            holds
        };
        let state = State {
            live: None,
            open: false,
            master: Err(Error::NoFile),
            old_workers: 0,
            holds: holds.clone(),
            promises: promises(),
            drifted: false,
            fingerprint: Digest::of(b""),
        };
        upstreams.handle_known(Instant::ZERO, &state);
        assert!(!upstreams.is_held_back());
        assert_eq!((upstreams.drains.promises(), upstreams.balancer.holds()), (&promises(), &holds));
        // Later looks tell what this agent has said itself.
        upstreams
            .handle_known(Instant::ZERO, &State { holds: Holds::default(), promises: Promises::default(), ..state });
        assert_eq!((upstreams.drains.promises(), upstreams.balancer.holds()), (&promises(), &holds));
    }
}
