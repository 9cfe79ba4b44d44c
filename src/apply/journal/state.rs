//! What the records add up to.

use super::record::{Abort, Base, Begin, Event, Live, Record};
use crate::digest::Digest;
use crate::upstream::Generation;

/// Where the files of this NGINX stand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::apply) struct State {
    /// The newest number given to an attempt. Numbers are never used twice.
    pub(in crate::apply) newest: Generation,
    /// The last one that workers were seen to serve: the one to go back to. 0 is what was there before weir.
    pub(in crate::apply) confirmed: Generation,
    /// The one that was confirmed before that: workers that finish requests may have its servers.
    pub(in crate::apply) before: Generation,
    /// The one whose files are in place, as far as no run is open.
    pub(in crate::apply) in_place: Generation,
    /// Whether NGINX is known to serve what is in place.
    pub(in crate::apply) settled: bool,
    /// The watched files that NGINX read last.
    pub(in crate::apply) watched: Option<Digest>,
    /// A run that has not ended.
    pub(in crate::apply) run: Option<Run>,
}

/// A run that has not ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::apply) enum Run {
    /// Its files are being put in place.
    Begun(Begin),
    /// The files of `to` are being put back.
    Back { failed: Generation, to: Generation },
}

impl State {
    /// Of a whole journal.
    pub(in crate::apply) fn of<'r>(records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut state = Self::default();
        records.into_iter().for_each(|record| state.handle(&record.event));
        state
    }

    /// Takes the next record.
    pub(in crate::apply) fn handle(&mut self, event: &Event) {
        match event {
            Event::Base(Base { newest, confirmed, before, in_place, settled, watched }) => {
                *self = Self {
                    newest: *newest,
                    confirmed: *confirmed,
                    before: *before,
                    in_place: *in_place,
                    settled: *settled,
                    watched: *watched,
                    run: None,
                };
            }
            Event::Begin(begin) => {
                self.newest = self.newest.max(begin.generation);
                self.run = Some(Run::Begun(begin.clone()));
            }
            Event::Stored { generation } => self.put(*generation, false),
            Event::Live(Live { generation, watched, .. }) => {
                self.put(*generation, true);
                if self.confirmed != *generation {
                    self.before = self.confirmed;
                }
                (self.confirmed, self.watched) = (*generation, *watched);
            }
            Event::Back { failed, to, .. } => {
                self.settled = false;
                self.run = Some(Run::Back { failed: *failed, to: *to });
            }
            Event::Abort(Abort { generation, may_be_served, .. }) => {
                self.newest = self.newest.max(*generation);
                self.settled &= !may_be_served;
                self.run = None;
            }
            Event::Foreign { .. } | Event::Cut { .. } => {}
            Event::Reload { watched, .. } => self.watched = *watched,
        }
    }

    fn put(&mut self, generation: Generation, settled: bool) {
        (self.in_place, self.settled, self.run) = (generation, settled, None);
    }

    /// Whether something is left to be done before what is in place is known to be served.
    pub(in crate::apply) fn is_open(&self) -> bool {
        self.run.is_some() || (self.in_place != Generation(0) && !self.settled)
    }

    /// As the first record of a journal that goes on from here. No run may be open.
    pub(in crate::apply) fn base(&self) -> Base {
        Base {
            newest: self.newest,
            confirmed: self.confirmed,
            before: self.before,
            in_place: self.in_place,
            settled: self.settled,
            watched: self.watched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Work;
    use super::*;
    use crate::apply::{Error, Step};

    fn begin(generation: u64, prev: u64) -> Event {
        let (generation, prev) = (Generation(generation), Generation(prev));
        Event::Begin(Begin { generation, prev, untested: false, files: Vec::new(), work: Work::default() })
    }

    fn live(generation: u64) -> Event {
        Event::Live(Live { generation: Generation(generation), ..Live::default() })
    }

    fn stored(generation: u64) -> Event {
        Event::Stored { generation: Generation(generation) }
    }

    fn back(failed: u64, to: u64) -> Event {
        Event::Back { failed: Generation(failed), to: Generation(to), cause: Error::MasterGone }
    }

    fn abort(generation: u64) -> Event {
        aborted(generation, false)
    }

    fn aborted(generation: u64, may_be_served: bool) -> Event {
        let (generation, cause) = (Generation(generation), Error::MasterGone);
        Event::Abort(Abort { generation, step: Step::Validate, cause, work: None, may_be_served })
    }

    #[test]
    fn the_records_add_up_to_what_is_in_place_and_what_to_go_back_to() {
        // Records; then newest, confirmed, in place, whether that is settled, whether a run has not ended.
        for (events, expected) in [
            (vec![], (0, 0, 0, false, false)),
            (vec![begin(1, 0)], (1, 0, 0, false, true)),
            (vec![begin(1, 0), live(1)], (1, 1, 1, true, false)),
            (vec![live(1), begin(2, 1)], (2, 1, 1, true, true)),
            (vec![live(1), begin(2, 1), abort(2)], (2, 1, 1, true, false)),
            (vec![live(1), begin(2, 1), aborted(2, true)], (2, 1, 1, false, false)),
            (vec![live(1), abort(2), abort(3)], (3, 1, 1, true, false)),
            (vec![live(1), begin(2, 1), stored(2)], (2, 1, 2, false, false)),
            (vec![live(1), begin(2, 1), stored(2), live(2)], (2, 2, 2, true, false)),
            (vec![live(1), begin(2, 1), stored(2), begin(3, 2), abort(3)], (3, 1, 2, false, false)),
            (vec![live(1), begin(2, 1), back(2, 1)], (2, 1, 1, false, true)),
            (vec![live(1), begin(2, 1), back(2, 1), live(1)], (2, 1, 1, true, false)),
            (vec![live(1), begin(2, 1), stored(2), back(2, 1), stored(1)], (2, 1, 1, false, false)),
        ] {
            let mut state = State::default();
            events.iter().for_each(|event| state.handle(event));
            let seen = (state.newest.0, state.confirmed.0, state.in_place.0, state.settled, state.run.is_some());
            assert_eq!(seen, expected, "{events:?}");
            if state.run.is_none() {
                let mut again = State::default();
                again.handle(&Event::Base(state.base()));
                assert_eq!(again, state, "{events:?}");
            }
        }
    }
}
