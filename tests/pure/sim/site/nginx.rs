//! A small model of NGINX: sets of workers, each with the configuration that it was forked with, and the requests they carry.
//!
//! As measured (`nginx §1` to `nginx §9`): a reload forks workers with what the file says then; older ones take no more connections and finish
//! what they have, trying the next of *their* servers where one fails; what failed is left alone for `fail_timeout`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rand::RngExt;
use rand::rngs::StdRng;
use weir::time::Instant;
use weir::upstream::desired::{Desired, Target};
use weir::upstream::{Server, Servers, UpstreamName};
use weir::wire::NodeName;

/// NGINX on one host.
#[derive(Debug, Default)]
pub(crate) struct Nginx {
    /// Oldest first; empty while it does not run.
    sets: Vec<Workers>,
    forked: u64,
    /// How often it has read another configuration.
    pub(crate) reloads: u64,
}

/// A server that gets a request.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) member: NodeName,
    pub(crate) addr: SocketAddr,
    pub(crate) backup: bool,
}

/// Workers of one configuration.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) number: u64,
    upstreams: BTreeMap<UpstreamName, Vec<Server>>,
    accepting: bool,
    /// Until when a server is left alone.
    marks: BTreeMap<(UpstreamName, SocketAddr), Instant>,
    turn: usize,
}

impl Nginx {
    pub(crate) fn is_running(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Starts, or reads the file anew: workers of both configurations take connections until [`Self::retire`].
    pub(crate) fn load(&mut self, desired: &Desired) {
        self.forked += 1;
        self.sets.push(Workers {
            number: self.forked,
            upstreams: lines(desired),
            accepting: true,
            marks: BTreeMap::new(),
            turn: 0,
        });
    }

    /// The lines that it has read last, of each upstream; `None` while it does not run.
    pub(crate) fn loaded(&self) -> Option<&BTreeMap<UpstreamName, Vec<Server>>> {
        self.sets.last().map(|set| &set.upstreams)
    }

    /// Older workers take no connection any more.
    pub(crate) fn retire(&mut self) {
        let newest = self.forked;
        self.sets.iter_mut().filter(|set| set.number != newest).for_each(|set| set.accepting = false);
    }

    pub(crate) fn stop(&mut self) {
        self.sets.clear();
    }

    /// Old workers without a request end.
    pub(crate) fn reap(&mut self, busy: &BTreeSet<u64>) {
        self.sets.retain(|set| set.accepting || busy.contains(&set.number));
    }

    /// Workers of an older configuration that still finish requests.
    pub(crate) fn old(&self) -> usize {
        self.sets.iter().filter(|set| !set.accepting).count()
    }

    /// Where a member gets requests, in whatever workers.
    pub(crate) fn places(&self, upstream: &UpstreamName, member: &NodeName) -> impl Iterator<Item = SocketAddr> {
        let lines = self.sets.iter().filter_map(|set| set.upstreams.get(upstream)).flatten();
        lines.filter(|line| !line.down && line.member == *member).map(|line| line.addr)
    }

    pub(crate) fn accepting(&self) -> impl Iterator<Item = &Workers> {
        self.sets.iter().filter(|set| set.accepting)
    }

    /// Whoever takes the next connection.
    pub(crate) fn accept(&self, rng: &mut StdRng) -> Option<&Workers> {
        let accepting: Vec<_> = self.accepting().collect();
        (!accepting.is_empty()).then(|| accepting[rng.random_range(0..accepting.len())])
    }

    pub(crate) fn workers(&mut self, number: u64) -> Option<&mut Workers> {
        self.sets.iter_mut().find(|set| set.number == number)
    }
}

/// What it reads of that.
pub(crate) fn lines(desired: &Desired) -> BTreeMap<UpstreamName, Vec<Server>> {
    let lines = |target: &Target| target.servers().map_or(&[][..], Servers::as_slice).to_vec();
    desired.upstreams.iter().map(|(name, target)| (name.clone(), lines(target))).collect()
}

impl Workers {
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &UpstreamName> {
        self.upstreams.keys()
    }

    /// The next server for a request that was at `tried` already.
    pub(crate) fn pick(
        &mut self,
        now: Instant,
        upstream: &UpstreamName,
        tried: &BTreeSet<SocketAddr>,
    ) -> Option<Picked> {
        let lines = self.upstreams.get(upstream)?;
        // The only one is not left alone: NGINX by itself does not, and beside lines that are down it is told so.
        let is_single = lines.iter().filter(|line| !line.down).count() == 1;
        let is_marked = |addr| self.marks.get(&(upstream.clone(), addr)).is_some_and(|until| *until > now);
        let is_free =
            |line: &&Server| !line.down && !tried.contains(&line.addr) && (is_single || !is_marked(line.addr));
        let free = lines.iter().filter(is_free);
        let has_ordinary = free.clone().any(|line| !line.backup);
        let free: Vec<_> = free
            .filter(|line| line.backup != has_ordinary)
            .flat_map(|line| std::iter::repeat_n(line, usize::from(u16::from(line.weight))))
            .collect();
        self.turn += 1;
        let line = free.get(self.turn % free.len().max(1))?;
        Some(Picked { member: line.member.clone(), addr: line.addr, backup: line.backup })
    }

    /// A server has failed a request, and is left alone until then.
    pub(crate) fn mark(&mut self, until: Instant, upstream: &UpstreamName, addr: SocketAddr) {
        self.marks.insert((upstream.clone(), addr), until);
    }

    /// Whether requests may go to that member.
    pub(crate) fn routes_to(&self, member: &NodeName) -> bool {
        self.upstreams.values().flatten().any(|line| !line.down && line.member == *member)
    }

    /// The same in one upstream.
    pub(crate) fn serves(&self, upstream: &UpstreamName, member: &NodeName) -> bool {
        self.upstreams.get(upstream).into_iter().flatten().any(|line| !line.down && line.member == *member)
    }
}
