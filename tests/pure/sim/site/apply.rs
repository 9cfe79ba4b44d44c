//! A model of `apply`: what it has on disk, and one order at a time, in the steps of `protocols C.2`, each of which takes its time and can be
//! the last one before a crash.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use weir::drain::{Promises, Standing};
use weir::upstream::desired::{Desired, Target};
use weir::upstream::settle::Applied;
use weir::upstream::{Generation, Holds, Server, Servers, UpstreamName};
use weir::wire::NodeName;

use super::Flaw;
use super::nginx::{Nginx, lines};

/// What becomes of jobs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// All succeed.
    Fine,
    /// A neighbour's file keeps `nginx -t` from passing.
    Refusing,
    /// As they come, some slowly; some pass the test and cannot be loaded.
    Rough,
}

/// What is asked of it.
#[derive(Debug)]
pub(crate) enum Order {
    Apply {
        desired: Desired,
        promises: Promises,
        holds: Holds,
        dead: Vec<(UpstreamName, NodeName)>,
    },
    Keep(Promises),
    /// An operator goes back to the generation before.
    GoBack {
        promises: Promises,
    },
    Recover,
}

/// How it ended, for whoever asked.
#[derive(Debug)]
pub(crate) enum Answer {
    Applied { applied: Applied, trouble: Option<String> },
    Kept(Standing),
    WentBack { applied: Applied, live: Desired },
    Recovered,
}

/// What comes of a step.
#[derive(Debug)]
pub(crate) enum Effect {
    /// NGINX was signalled. `anew`: what it reads routes otherwise, or was never confirmed.
    Reload {
        anew: bool,
    },
    /// Connections of older workers to these are ended.
    Cut(Vec<(UpstreamName, NodeName)>),
    Answer {
        life: u64,
        answer: Answer,
    },
}

/// The last record of the journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Record {
    Live(u64),
    /// In place while NGINX did not run.
    Stored {
        new: u64,
        good: u64,
    },
    Open {
        new: u64,
        good: u64,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Begin,
    Swap,
    Signal,
    Confirm,
    Back,
    ConfirmBack,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Live,
    Refused,
    RolledBack,
}

#[derive(Debug)]
struct Run {
    life: u64,
    order: Order,
    stage: Stage,
    end: End,
    new: u64,
    good: u64,
    /// An open record is ended first, and the order begins after that.
    recovers: bool,
}

/// Outlives the agent.
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) mood: Mood,
    // On disk.
    generations: BTreeMap<u64, Desired>,
    record: Record,
    /// What lies on the live path.
    file: u64,
    promises: Promises,
    holds: Holds,
    // In memory.
    run: Option<Run>,
    queue: VecDeque<(u64, Order)>,
    flaw: Flaw,
}

impl Helper {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            mood: Mood::Fine,
            generations: BTreeMap::from([(0, Desired::new(0))]),
            record: Record::Live(0),
            file: 0,
            promises: Promises::default(),
            holds: Holds::default(),
            run: None,
            queue: VecDeque::new(),
            flaw,
        }
    }

    pub(crate) fn promises(&self) -> &Promises {
        &self.promises
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What an agent that starts is told; `None` before the first.
    pub(crate) fn in_place(&self) -> Option<&Desired> {
        let number = self.in_place_number();
        self.generations.get(&number).filter(|_| number > 0)
    }

    fn in_place_number(&self) -> u64 {
        match self.record {
            Record::Live(number) | Record::Stored { new: number, .. } | Record::Open { good: number, .. } => number,
        }
    }

    /// What NGINX reads when it starts.
    pub(crate) fn on_path(&self) -> &Desired {
        &self.generations[&self.file]
    }

    /// Whether an order of somebody who died is still carried out.
    pub(crate) fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Takes an order. Whether [`Self::step`] is to be called soon, because nothing else is under way.
    pub(crate) fn submit(&mut self, life: u64, order: Order) -> bool {
        self.queue.push_back((life, order));
        self.run.is_none() && self.queue.len() == 1
    }

    /// Nobody waits for what has not begun.
    pub(crate) fn asker_died(&mut self) {
        self.queue.clear();
    }

    /// It dies. Whether something was under way.
    pub(crate) fn crash(&mut self) -> bool {
        self.queue.clear();
        self.run.take().is_some()
    }

    /// The next step of what is under way, and when to go on, if there is more to do.
    pub(crate) fn step(&mut self, nginx: &mut Nginx, rng: &mut StdRng) -> (Vec<Effect>, Option<Duration>) {
        let mut effects = Vec::new();
        let Some(mut run) = self.run.take().or_else(|| self.begin(rng)) else { return (effects, None) };
        let pause = match run.stage {
            Stage::Begin => self.start(&mut run, nginx, &mut effects),
            Stage::Swap => {
                self.file = run.new;
                run.stage = Stage::Signal;
                Some(5..30)
            }
            Stage::Signal => self.signal(&mut run, nginx, rng, &mut effects),
            Stage::Confirm => self.confirm(&mut run, nginx, &mut effects),
            Stage::Back => self.back(&mut run, nginx, &mut effects),
            Stage::ConfirmBack => {
                nginx.retire();
                self.record = Record::Live(run.new);
                let trouble = "cannot be loaded";
                self.ended(&run, Applied::Failed { reloaded: true }, Some(trouble), &mut effects);
                None
            }
        };
        if let Some(millis) = pause {
            self.run = Some(run);
            return (effects, Some(Duration::from_millis(rng.random_range(millis))));
        }
        (effects, (!self.queue.is_empty()).then_some(Duration::from_millis(1)))
    }

    fn begin(&mut self, rng: &mut StdRng) -> Option<Run> {
        let (life, order) = self.queue.pop_front()?;
        let end = match self.mood {
            Mood::Fine => End::Live,
            Mood::Refusing => End::Refused,
            Mood::Rough => match rng.random_range(0..10) {
                0..=6 => End::Live,
                7 => End::Refused,
                _ => End::RolledBack,
            },
        };
        Some(Run { life, order, stage: Stage::Begin, end, new: 0, good: 0, recovers: false })
    }

    fn start(&mut self, run: &mut Run, nginx: &Nginx, effects: &mut Vec<Effect>) -> Option<std::ops::Range<u64>> {
        if let Order::Keep(promises) = &run.order {
            let standing = self.keep(promises.clone(), nginx);
            effects.push(Effect::Answer { life: run.life, answer: Answer::Kept(standing) });
            return None;
        }
        if let Record::Open { new, good } = self.record {
            let number = if self.file == new { new } else { good };
            (run.new, run.good) = (self.without_promised(number), good);
            (run.stage, run.recovers) = (Stage::Signal, true);
            self.file = run.new;
            return Some(1..20);
        }
        let wanted = match &run.order {
            Order::Recover => {
                effects.push(Effect::Answer { life: run.life, answer: Answer::Recovered });
                return None;
            }
            Order::Apply { desired, promises, holds, .. } => {
                (self.promises, self.holds) = (promises.clone(), holds.clone());
                desired.clone()
            }
            Order::GoBack { promises } => {
                self.promises = promises.clone();
                self.before()
            }
            Order::Keep(_) => return None,
        };
        let good = self.in_place_number();
        let mut all = self.generations[&good].clone();
        all.upstreams.extend(wanted.upstreams);
        run.good = match self.record {
            Record::Stored { good, .. } => good,
            Record::Live(_) | Record::Open { .. } => good,
        };
        if all.upstreams == self.generations[&good].upstreams {
            match self.record {
                Record::Live(_) if self.flaw == Flaw::ReloadAlways && nginx.is_running() => {
                    (run.new, run.stage) = (good, Stage::Signal);
                    return Some(1..20);
                }
                Record::Stored { .. } if nginx.is_running() => {
                    (run.new, run.stage) = (good, Stage::Signal);
                    return Some(1..20);
                }
                Record::Stored { .. } => self.ended(run, Applied::Stored, None, effects),
                Record::Live(_) | Record::Open { .. } => {
                    self.ended(run, Applied::Done { reloaded: false }, None, effects);
                }
            }
            return None;
        }
        if run.end == End::Refused {
            self.ended(run, Applied::Failed { reloaded: false }, Some("nginx -t"), effects);
            return None;
        }
        run.new = self.add(all);
        self.record = Record::Open { new: run.new, good: run.good };
        run.stage = Stage::Swap;
        Some(10..120)
    }

    fn signal(
        &mut self,
        run: &mut Run,
        nginx: &mut Nginx,
        rng: &mut StdRng,
        effects: &mut Vec<Effect>,
    ) -> Option<std::ops::Range<u64>> {
        if !nginx.is_running() {
            return self.stored(run, effects);
        }
        if run.end == End::RolledBack && !run.recovers {
            run.stage = Stage::Back;
            return Some(500..5000);
        }
        let wanted = lines(&self.generations[&run.new]);
        let is_confirmed = routes(&wanted) == routes(&lines(&self.generations[&run.good]));
        // It may have been started on a generation that was stored, and is not the last confirmed one.
        let is_loaded = nginx.loaded().is_some_and(|loaded| routes(loaded) == routes(&wanted));
        let anew = run.recovers || !is_confirmed || !is_loaded || matches!(self.record, Record::Stored { .. });
        effects.push(Effect::Reload { anew });
        nginx.load(&self.generations[&run.new]);
        run.stage = Stage::Confirm;
        let is_slow = self.mood == Mood::Rough && rng.random_bool(0.1);
        Some(if is_slow { 1000..5000 } else { 20..150 })
    }

    fn confirm(&mut self, run: &mut Run, nginx: &mut Nginx, effects: &mut Vec<Effect>) -> Option<std::ops::Range<u64>> {
        if !nginx.is_running() {
            return self.stored(run, effects);
        }
        nginx.retire();
        self.record = Record::Live(run.new);
        if run.recovers {
            (run.recovers, run.stage) = (false, Stage::Begin);
            return Some(1..5);
        }
        if let Order::Apply { dead, .. } = &run.order {
            effects.push(Effect::Cut(dead.clone()));
        }
        self.ended(run, Applied::Done { reloaded: true }, None, effects);
        None
    }

    /// NGINX does not run: what it will start on counts.
    fn stored(&mut self, run: &mut Run, effects: &mut Vec<Effect>) -> Option<std::ops::Range<u64>> {
        self.record = Record::Stored { new: run.new, good: run.good };
        if run.recovers {
            (run.recovers, run.stage) = (false, Stage::Begin);
            return Some(1..5);
        }
        self.ended(run, Applied::Stored, None, effects);
        None
    }

    /// It could not be loaded: the last confirmed one is put back, without whoever was promised to.
    fn back(&mut self, run: &mut Run, nginx: &mut Nginx, effects: &mut Vec<Effect>) -> Option<std::ops::Range<u64>> {
        let number = self.without_promised(run.good);
        self.record = Record::Open { new: number, good: run.good };
        (self.file, run.new) = (number, number);
        if !nginx.is_running() {
            return self.stored(run, effects);
        }
        effects.push(Effect::Reload { anew: true });
        nginx.load(&self.generations[&number]);
        run.stage = Stage::ConfirmBack;
        Some(20..150)
    }

    fn ended(&self, run: &Run, applied: Applied, trouble: Option<&str>, effects: &mut Vec<Effect>) {
        let answer = match run.order {
            Order::Apply { .. } => Answer::Applied { applied, trouble: trouble.map(str::to_owned) },
            Order::GoBack { .. } => {
                Answer::WentBack { applied, live: self.generations[&self.in_place_number()].clone() }
            }
            Order::Recover | Order::Keep(_) => Answer::Recovered,
        };
        effects.push(Effect::Answer { life: run.life, answer });
    }

    /// As `Apply::promise`: those that were kept before or are true now.
    fn keep(&mut self, wanted: Promises, nginx: &Nginx) -> Standing {
        let is_known = match self.record {
            Record::Live(_) => true,
            Record::Stored { .. } | Record::Open { .. } => !nginx.is_running(),
        };
        let number = match self.record {
            Record::Open { .. } => self.file,
            Record::Live(_) | Record::Stored { .. } => self.in_place_number(),
        };
        let live = &self.generations[&number];
        let mut promises = wanted;
        promises.retain(|promise| {
            let is_kept = self.promises.has_drain(&promise.node, &promise.id);
            is_kept || is_known && !routes_to(live, &promise.node) || self.flaw == Flaw::AnswerFromIntent
        });
        self.promises = promises.clone();
        Standing { live: Generation(number), old_workers: u32::try_from(nginx.old()).unwrap_or(u32::MAX), promises }
    }

    /// The number of a generation like that one in which nobody gets requests who was promised none.
    fn without_promised(&mut self, number: u64) -> u64 {
        let before = &self.generations[&number];
        let mut all = before.clone();
        for target in all.upstreams.values_mut() {
            let Target::Servers(servers) = target else { continue };
            let down = servers.as_slice().iter().cloned().map(|mut server| {
                server.down |= self.promises.is_promised(&server.member);
                server
            });
            *servers = Servers::new(down.collect()).unwrap();
        }
        if all == *before || self.flaw == Flaw::RollbackForgets { number } else { self.add(all) }
    }

    /// The one before the one in place, as an operator may go back to it.
    fn before(&mut self) -> Desired {
        let now = self.in_place_number();
        let before = self.generations.range(..now).next_back().map_or(now, |(number, _)| *number);
        let number = self.without_promised(before);
        self.generations[&number].clone()
    }

    fn add(&mut self, desired: Desired) -> u64 {
        let number = self.generations.last_key_value().map_or(0, |(number, _)| number + 1);
        self.generations.insert(number, desired);
        number
    }
}

/// What NGINX makes of these lines.
fn routes(
    upstreams: &BTreeMap<UpstreamName, Vec<Server>>,
) -> BTreeMap<&UpstreamName, Vec<(SocketAddr, bool, u16, bool)>> {
    let lines = |lines: &Vec<Server>| {
        lines.iter().map(|line| (line.addr, line.down, line.weight.into(), line.backup)).collect()
    };
    upstreams.iter().map(|(name, all)| (name, lines(all))).collect()
}

fn routes_to(desired: &Desired, node: &NodeName) -> bool {
    let serving = desired.upstreams.values().filter_map(Target::servers).flat_map(Servers::serving);
    serving.into_iter().any(|server| server.member == *node)
}
