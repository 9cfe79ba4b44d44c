//! What RPC clients ask, to the parts that answer.

use super::super::commands::{self, answer};
use super::super::join_reply::JoinReply;
use super::super::notice::Notice;
use super::super::tags_file::Change;
use super::super::upstreams::Upstreams;
use super::super::{clock, health, reload};
use super::Agent;
use crate::rpc::Call;
use crate::rpc::refusal::Refusal;
use crate::rpc::weir::Asked;
use crate::status::groups::groups;

impl Agent {
    pub(super) fn handle_call(&mut self, call: Call) {
        let (now, endpoint) = (clock::now(), &mut self.endpoint);
        match call {
            Call::Members { filter, reply } => answer(reply, commands::members(endpoint, &filter)),
            Call::Join { addresses, replay, reply } => {
                if let Some((addresses, reply)) = JoinReply::of_serf(&addresses, replay, reply) {
                    self.joins.ask(&self.config, addresses, reply);
                }
            }
            Call::Leave { reply } => {
                self.pending.leave(reply);
                if !self.is_leaving() && !self.safe_leave.is_leaving() {
                    self.log.tell(Notice::Leaving { signal: None });
                }
                self.safe_leave.leave_as_configured(now, &self.endpoint, &self.config);
            }
            Call::ForceLeave { node, prune, reply } => self.pending.force_leave(now, endpoint, (node, prune), reply),
            Call::Tags { set, delete, reply } => {
                self.tag_changes.ask(now, endpoint, Change { set, delete, reply });
                self.store.tags(&self.config.node.tags, endpoint.tags());
            }
            Call::UserEvent { name, payload, coalesce, reply } => {
                let result = endpoint.user_event(now, &name, payload, coalesce).map(drop);
                answer(reply, result.map_err(|error| commands::event_refused(&error)));
            }
            Call::Query { params, records, reply } => {
                answer(reply, self.pending.query(now, endpoint, params, records));
            }
            Call::Respond { query, payload, reply } => answer(reply, endpoint.respond(now, &query, payload)),
            Call::Keys { op, reply } => self.pending.keys(now, endpoint, op, reply),
            Call::Stats { reply } => answer(reply, groups(&self.document(false))),
            Call::Coordinate { node, reply } => answer(reply, endpoint.coordinate(&node).cloned()),
            Call::Subscribe { subscription } => self.commands.subscribe(subscription),
            Call::Monitor { level, lines } => commands::follow(&self.log, level, lines),
            Call::Weir(asked) => self.handle_asked(asked),
        }
    }

    fn handle_asked(&mut self, asked: Asked) {
        let (now, endpoint) = (clock::now(), &mut self.endpoint);
        match asked {
            Asked::Reload(request, answer) => self.reload(reload::Request::asked(request, answer)),
            Asked::Join(join, answer) => {
                let (addresses, reply) = JoinReply::of_weir(join, answer);
                self.joins.ask(&self.config, addresses, reply);
            }
            Asked::OnStop(unit, answer) => answer.send(Ok(self.stops.handle_unit(now, &self.config, unit))),
            Asked::Status(request, answer) => answer.send(Ok(self.document(request.members))),
            Asked::CheckSet(request, answer) => answer.send(self.checks.set(now, request)),
            Asked::Health(_, answer) => answer.send(Ok(health::members(endpoint, self.upstreams.as_ref()))),
            Asked::Probe(probe, answer) => self.doctor.ask(now, endpoint, &probe, answer),
            Asked::KeysStatus(_, answer) => self.key_requests.status(now, endpoint, answer),
            Asked::KeysRotate(start, answer) => {
                let missed = self.joins.missed(endpoint, &self.config);
                self.key_requests.rotate(now, endpoint, &start, &missed, answer);
            }
            Asked::KeysProgress(follow, answer) => self.key_requests.follow(follow, answer),
            Asked::KeysImport(import, answer) => self.key_requests.import(now, endpoint, &import, answer),
            Asked::UpstreamHistory(request, answer) => match &self.upstreams {
                Some(upstreams) => upstreams.history(request, answer),
                None => answer.send(Err(no_upstreams())),
            },
            Asked::UpstreamDiff(request, answer) => match &self.upstreams {
                Some(upstreams) => upstreams.diff(request, answer),
                None => answer.send(Err(no_upstreams())),
            },
            Asked::UpstreamHold(request, answer) => match &mut self.upstreams {
                Some(upstreams) => upstreams.hold(now, request, answer),
                None => answer.send(Err(no_upstreams())),
            },
            Asked::UpstreamRelease(request, answer) => match &mut self.upstreams {
                Some(upstreams) => upstreams.release(now, request, answer),
                None => answer.send(Err(no_upstreams())),
            },
            Asked::UpstreamRollback(request, answer) => match &mut self.upstreams {
                Some(upstreams) => upstreams.roll_back(request, answer),
                None => answer.send(Err(no_upstreams())),
            },
            Asked::Drain(start, answer) => {
                // The application of a guard that takes its drain back has just been started: what was found before is of another one.
                if start.guard && start.undo {
                    self.checks.start_over(now);
                    self.tell_health();
                }
                self.safe_leave.start(now, &mut self.endpoint, &self.config, start, answer);
            }
            Asked::Leave(depart, answer) => {
                if !self.is_leaving() && !self.safe_leave.is_leaving() {
                    self.log.tell(Notice::Leaving { signal: None });
                }
                self.safe_leave.depart(now, &self.endpoint, &self.config, depart, answer);
            }
            Asked::LeaveProgress(follow, answer) => self.safe_leave.follow(follow, answer),
            Asked::UpstreamExplain(request, answer) => {
                let told = self.document(false).upstreams;
                let explained = self.upstreams.as_ref().ok_or_else(no_upstreams);
                answer.send(explained.and_then(|upstreams| upstreams.explain(now, &self.endpoint, &told, &request)));
            }
            Asked::UpstreamPlan(request, answer) => {
                let told = self.document(false).upstreams;
                let planned = self.upstreams.as_ref().ok_or_else(no_upstreams);
                answer.send(planned.and_then(|upstreams| upstreams.plan(now, &told, &request)));
            }
            Asked::UpstreamWanted(_, answer) => {
                answer.send(self.upstreams.as_ref().map(Upstreams::wanted).ok_or_else(no_upstreams));
            }
        }
    }
}

/// Of a node that balances nothing.
fn no_upstreams() -> Refusal {
    Refusal::new("this node has no upstream").with_remedy("ask where one is configured, or write [upstream.NAME] here")
}
