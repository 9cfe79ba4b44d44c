//! The probes of a balancer as connections: begins what is due, and hears how it ended.
//!
//! When to probe whom, and what the outcomes add up to, is [`Prober`]'s. A probe that is under way is a task of one set; an upstream's
//! request is made once and shared by all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::task::{self, JoinError, JoinSet};
use tracing::{debug, error, trace};

use crate::agent::clock::Calendar;
use crate::agent::request::{Request, Trusts};
use crate::config::{Address, Config, Probe, Service, Tcp};
use crate::endpoint::Endpoint;
use crate::error::Trouble;
use crate::health::answer::{Failure, Outcome};
use crate::health::probe::{Doubt, Event, Plan, Prober, Standing, Start, TargetId, reached};
use crate::health::second_witness::SecondWitnesses;
use crate::status::node;
use crate::time::Instant;
use crate::upstream::balancer::Balancer;
use crate::upstream::{Candidate, Gossip, UpstreamName};
use crate::wire::NodeName;

/// Most probes at a time; others wait for their turn. Of the sockets that the system gives this process, probes take half at most.
const MAX_UNDER_WAY: usize = 4096;

/// How a probe ended; the error is that its task broke off.
pub(in crate::agent) type Ended = Result<(task::Id, Outcome), JoinError>;

/// All probes of this node.
#[derive(Debug)]
pub(super) struct Probes {
    prober: Prober,
    requests: BTreeMap<UpstreamName, Arc<Request>>,
    /// Of upstreams without a probe.
    bare: Arc<Request>,
    under_way: JoinSet<Outcome>,
    targets: HashMap<task::Id, TargetId>,
    most_under_way: usize,
    /// The decision that the prober has heard of.
    decided: Option<u64>,
}

impl Probes {
    pub(super) fn new(now: Instant, config: &Config) -> Self {
        let sockets = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        let tcp = Service::Tcp(Tcp { expect: None, send_proxy: None });
        let mut probes = Self {
            prober: Prober::default(),
            requests: BTreeMap::new(),
            bare: Arc::new(Request::new(tcp, Plan::BARE.interval, &mut Trusts::default())),
            under_way: JoinSet::new(),
            targets: HashMap::new(),
            most_under_way: sockets.map_or(MAX_UNDER_WAY, |sockets| (sockets / 2).min(MAX_UNDER_WAY)),
            decided: None,
        };
        probes.reconfigure(now, config);
        probes
    }

    /// Takes a new configuration. Files of authorities are read anew.
    pub(super) fn reconfigure(&mut self, now: Instant, config: &Config) {
        let mut trusts = Trusts::default();
        let probes = config.upstreams.iter().filter_map(|each| Some((&each.options.name, each.probe.as_ref()?)));
        let (mut plans, mut requests) = (BTreeMap::new(), BTreeMap::new());
        for (upstream, probe) in probes {
            plans.insert(upstream.clone(), plan(probe));
            let request = Request::new(probe.service.clone(), probe.timeout, &mut trusts);
            requests.insert(upstream.clone(), Arc::new(request));
        }
        let is_anew = |(upstream, request): &(&UpstreamName, &Arc<Request>)| {
            self.requests.get(*upstream).is_some_and(|before| before.service() != request.service())
        };
        let anew: BTreeSet<UpstreamName> =
            requests.iter().filter(is_anew).map(|(upstream, _)| upstream.clone()).collect();
        let may_be_udp = config.upstreams.iter().filter(|each| each.options.may_be_udp);
        let never_bare = may_be_udp.map(|each| each.options.name.clone()).collect();
        self.prober.handle_configuration(now, plans, never_bare, &anew);
        self.requests = requests;
        self.decided = None;
    }

    /// What gossip says of the members, before the balancer decides about them. Of whom it has given up while nobody was heard that
    /// does not count yet, and these are asked on.
    pub(super) fn handle_members(&mut self, now: Instant, members: &[Candidate], balancer: &Balancer) {
        let doubted = |member: &Candidate| {
            let doubt = doubt(member.gossip)?;
            let doubt = if balancer.is_unheard(&member.name) { Doubt::Suspected } else { doubt };
            Some((member.name.clone(), doubt))
        };
        self.prober.handle_doubts(now, members.iter().filter_map(doubted).collect());
    }

    /// Whom the balancer may choose by what it has decided, where that is news.
    pub(super) fn handle_decided(&mut self, now: Instant, balancer: &Balancer) {
        if self.decided.replace(balancer.decisions()) != Some(balancer.decisions()) {
            self.prober.handle_targets(now, balancer.targets());
        }
    }

    /// What they found of a member says nothing any more.
    pub(super) fn start_over(&mut self, member: &NodeName) {
        self.prober.start_over(member);
        self.decided = None;
    }

    /// Nobody is probed any more.
    pub(super) fn stop(&mut self) {
        self.prober = Prober::default();
        self.under_way.abort_all();
    }

    /// As long as there is no room nothing begins: whatever ends makes some.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let begins_at = self.prober.poll_timeout().filter(|_| self.has_room());
        [begins_at, self.prober.release_at()].into_iter().flatten().min()
    }

    /// Whether a server is there whose first probe has not ended.
    pub(super) fn has_unprobed(&self) -> bool {
        self.prober.has_unprobed()
    }

    /// Begins what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.has_room() {
            let Some(start) = self.prober.poll_start(now) else { break };
            self.begin(start);
        }
    }

    /// The next one that ends; never without any. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.under_way.join_next_with_id().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// One has ended; others that have, too, are taken with it.
    pub(super) fn handle_ended(&mut self, now: Instant, ended: Ended) {
        let mut next = Some(ended);
        while let Some(ended) = next {
            let (id, outcome) = ended.unwrap_or_else(|error| {
                if error.is_panic() {
                    error!(%error, "a probe broke off");
                }
                (error.id(), Outcome { took: Duration::ZERO, result: Err(Failure::BrokeOff) })
            });
            if let Some(target) = self.targets.remove(&id) {
                self.prober.handle_outcome(now, target, outcome);
            }
            next = self.under_way.try_join_next_with_id();
        }
    }

    /// Tells the balancer what they say as far as it is known not to be our own network, and the second witness whose have failed.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        endpoint: &Endpoint,
        balancer: &mut Balancer,
        witnesses: &mut SecondWitnesses,
    ) {
        self.pass_on(now, balancer, witnesses);
        let (is_isolated, back) = (balancer.is_isolated(), balancer.heard_again());
        let others = |member: &NodeName| {
            let heard = endpoint.heard_beside(member).filter(|_| !is_isolated)?;
            Some(back.map_or(heard, |back| reached(heard, back)))
        };
        self.prober.release(now, |member| witnesses.word(member), others);
        self.pass_on(now, balancer, witnesses);
    }

    fn pass_on(&mut self, now: Instant, balancer: &mut Balancer, witnesses: &mut SecondWitnesses) {
        while let Some(event) = self.prober.poll_event() {
            match event {
                Event::Says { upstream, member, addr, probe } => {
                    debug!(%upstream, %member, %addr, ?probe, "probe says");
                    balancer.handle_probe(now, &upstream, &member, addr, probe);
                }
                Event::Failed { upstream, member, in_a_row } => {
                    trace!(%upstream, %member, in_a_row, "probe failed");
                    witnesses.handle_failure(now, &member);
                }
                Event::Blind { upstream, is_blind } => {
                    debug!(%upstream, is_blind, "nobody answers, and it may be our own network");
                    balancer.handle_blindness(now, &upstream, is_blind);
                }
            }
        }
    }

    /// Whether another server of the upstream has answered a probe that was begun after that member's first failure.
    pub(super) fn others_answer(&self, upstream: &UpstreamName, member: &NodeName) -> bool {
        self.prober.others_answer(upstream, member)
    }

    /// Whether the newest probe of a server of `member` has failed.
    pub(super) fn is_failing(&self, member: &NodeName) -> bool {
        self.prober.is_failing(member)
    }

    /// What there is to tell of one server; `None` if it is not probed.
    pub(super) fn status(
        &self,
        upstream: &UpstreamName,
        member: &NodeName,
        calendar: &Calendar,
    ) -> Option<node::Probe> {
        let Standing { probe, since, plan, addr, took, failure, successes, failures, first_failure } =
            self.prober.standing(upstream, member)?;
        let request = self.requests.get(upstream).unwrap_or(&self.bare);
        Some(node::Probe {
            state: node::ProbeState::from(probe).into(),
            question: request.service().question(&Address::Socket(addr)),
            took_ms: took.map(|took| took.as_secs_f64() * 1000.0),
            error: failure.map(ToString::to_string),
            fault: failure.filter(|failure| !failure.is_ours()).map(Failure::fault),
            unasked: failure.filter(|failure| failure.is_ours()).map(|failure| unasked(failure, upstream)),
            since: Some(calendar.date(since)),
            first_failure: first_failure.map(|at| calendar.date(at)),
            successes,
            failures,
            rise: plan.rise,
            fall: plan.fall,
        })
    }
}

impl Probes {
    fn has_room(&self) -> bool {
        self.under_way.len() < self.most_under_way
    }

    fn begin(&mut self, Start { target, upstream, addr, bare }: Start) {
        let request = if bare { Some(&self.bare) } else { self.requests.get(&upstream) };
        let request = Arc::clone(request.expect("the prober's plans are made together with the requests"));
        let handle = self.under_way.spawn(async move { request.ask(&Address::Socket(addr)).await });
        self.targets.insert(handle.id(), target);
    }
}

/// The way out of what keeps this host from asking.
fn unasked(failure: &Failure, upstream: &UpstreamName) -> Trouble {
    let way_out = match failure {
        Failure::Authorities(Some(_), _) => {
            format!("correct upstream.{upstream}.probe.tls_ca, or let the user weir read that file")
        }
        Failure::Authorities(None, _) => {
            format!("install ca-certificates, or set upstream.{upstream}.probe.tls_ca")
        }
        _ => "see 'weir doctor'".to_owned(),
    };
    Trouble::new(failure.to_string(), way_out)
}

fn plan(probe: &Probe) -> Plan {
    Plan {
        interval: probe.interval,
        rise: probe.rise,
        fall: probe.fall,
        vouches: probe.service.vouches(),
        port: probe.port,
    }
}

fn doubt(gossip: Gossip) -> Option<Doubt> {
    match gossip {
        Gossip::Suspect => Some(Doubt::Suspected),
        Gossip::Failed => Some(Doubt::Failed),
        Gossip::Alive | Gossip::Unknown | Gossip::Leaving | Gossip::Left => None,
    }
}
