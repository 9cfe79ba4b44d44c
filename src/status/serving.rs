//! Whether a balancer sends requests to a member, and if not, what is in the way: the answer to the query [`SERVING_QUERY`]
//! (`protocols D.5`). Names and words are peers' own: escape them before a terminal sees them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Known;
use super::node::{ApplyResult, Document, LastApply, NginxState, ServerState, Upstream};
use crate::upstream::Generation;
use crate::upstream::explain::{Asked, Question};

/// A query that weir's balancers answer by themselves. Its payload is the member's name.
pub const SERVING_QUERY: &str = "weir-serving";

/// What one balancer says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Told {
    /// What is in place there; `None` if nothing is.
    pub generation: Option<Generation>,
    /// Where it knows the member of that name, by its gossip; `None` if it knows none. Two hosts may have one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<SocketAddr>,
    /// Whether it reaches the member's gossip port by TCP; `None` while it tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<bool>,
    /// About each upstream, the most telling first: those that do not fit are left out.
    pub upstreams: Vec<ToldIn>,
}

/// In one upstream.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ToldIn {
    pub name: String,
    pub place: Known<Place>,
    /// Where requests go, or would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addr: Option<SocketAddr>,
    /// The rule that decides, of a member that is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Known<Question>>,
    /// What that rule came to, in a word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// What that rests on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The way out, as far as the balancer knows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Where the member is. The order is that of an answer: what says most comes first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Requests go there: it is in what NGINX was seen to serve.
    Serving,
    /// It is in the file that is in place, and NGINX does not run.
    Stored,
    /// It is to be in, and that is not in place yet.
    Waiting,
    /// A rule keeps it out.
    Out,
    /// No rule was asked: `select` does not match.
    NotSelected,
}

impl Told {
    /// More is not sent: `query_response_size_limit` is 1024 by default, and a relay adds to it.
    pub const MAX_BYTES: usize = 512;

    /// No more upstreams fit, however short what is said about each is: `{"name":"a","place":"serving"}`.
    const MAX_UPSTREAMS: usize = Self::MAX_BYTES / 32;

    /// A balancer that knows no member of that name.
    pub fn unknown(generation: Option<Generation>) -> Self {
        Self { generation, ..Self::default() }
    }

    /// What a balancer's document says; `explained` is each upstream with this member alone, and the rules that were asked about it.
    pub fn of<'a>(document: &Document, explained: impl Iterator<Item = (&'a Upstream, &'a [Asked])>) -> Self {
        let mut generation = None;
        let mut upstreams: Vec<ToldIn> = Vec::new();
        for (upstream, rules) in explained {
            generation = generation.max(upstream.generation);
            upstreams.push(ToldIn::of(document, upstream, rules));
        }
        upstreams.sort_by_key(|told| told.place.word().copied());
        Self { generation, upstreams, ..Self::default() }
    }

    /// `None` if it is none.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// As it is sent, in at most [`Self::MAX_BYTES`]: texts are cut, then whole upstreams.
    pub fn to_payload(&self) -> String {
        let upstreams = self.upstreams.iter().take(Self::MAX_UPSTREAMS).cloned().collect();
        let mut told = Self { upstreams, ..*self };
        loop {
            let text = to_json(&told);
            if text.len() <= Self::MAX_BYTES {
                return text;
            }
            if !told.upstreams.iter_mut().any(ToldIn::shorten) && told.upstreams.pop().is_none() {
                return to_json(&Self { upstreams: Vec::new(), ..told });
            }
        }
    }

    /// Where requests go to it.
    pub fn serving(&self) -> impl Iterator<Item = &ToldIn> {
        self.upstreams.iter().filter(|told| told.place.is(&Place::Serving))
    }
}

fn to_json(told: &Told) -> String {
    let value = serde_json::to_value(told).unwrap_or(Value::Null);
    value.to_string()
}

impl ToldIn {
    fn of(document: &Document, upstream: &Upstream, rules: &[Asked]) -> Self {
        let told = |place: Place| Self {
            name: upstream.name.clone(),
            place: place.into(),
            addr: upstream.servers.first().map(|server| server.addr),
            rule: None,
            result: String::new(),
            why: String::new(),
            remedy: None,
        };
        if let Some(left_out) = upstream.left_out.first() {
            let decides = rules.iter().find(|asked| asked.decides);
            return Self {
                rule: decides.map(|asked| asked.rule.clone()),
                result: decides.map(|asked| asked.result.clone()).unwrap_or_default(),
                why: left_out.why.clone(),
                remedy: left_out.remedy.clone(),
                ..told(Place::Out)
            };
        }
        let Some(server) = upstream.servers.first() else {
            let why = rules.first().map(|asked| asked.input.clone()).unwrap_or_default();
            return Self { why, ..told(Place::NotSelected) };
        };
        if !server.state.is(&ServerState::In) {
            let decides = rules.iter().find(|asked| asked.decides);
            return Self {
                rule: decides.map(|asked| asked.rule.clone()),
                result: decides.map_or_else(|| server.state.to_string(), |asked| asked.result.clone()),
                why: decides.map_or_else(|| server.why.clone(), |asked| asked.input.clone()),
                ..told(Place::Out)
            };
        }
        let apply = document.apply.as_ref();
        let last = apply.and_then(|apply| apply.last.as_ref());
        if !upstream.waiting.is_empty() || upstream.generation.is_none() {
            let trouble = last.filter(|last| last.went_wrong()).map(LastApply::trouble).unwrap_or_default();
            let remedy = Some(trouble.way_out).filter(|way_out| !way_out.is_empty());
            return Self { why: trouble.what, remedy, ..told(Place::Waiting) };
        }
        let nginx = document.nginx.as_ref();
        let is_down = nginx.and_then(|nginx| nginx.state.word()).is_some_and(|state| match state {
            NginxState::Stopped | NginxState::NotInstalled => true,
            NginxState::Running | NginxState::Unknown => false,
        });
        if is_down {
            let why = nginx.and_then(|nginx| nginx.message.clone()).unwrap_or_default();
            let remedy = nginx.and_then(|nginx| nginx.remedy.clone());
            return Self { why, remedy, ..told(Place::Stored) };
        }
        // It was started just now, or whoever looks after it has not seen it stop.
        let is_stored = last.is_some_and(|last| last.result.is(&ApplyResult::Stored));
        let is_unconfirmed = apply.is_some_and(|apply| apply.unconfirmed_since.is_some());
        told(if is_stored || is_unconfirmed { Place::Waiting } else { Place::Serving })
    }

    /// Cuts the longest text in half. False where nothing is left to be cut.
    fn shorten(&mut self) -> bool {
        let texts = [Some(&mut self.why), self.remedy.as_mut()];
        let longest = texts.into_iter().flatten().max_by_key(|text| text.len());
        match longest.filter(|text| text.len() > 16) {
            Some(text) => {
                let at = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
                text.truncate(at);
                text.push('…');
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::node::{Apply, Change, Field, Moment, Nginx, Server};
    use crate::upstream::VerdictReason;

    fn server(state: ServerState) -> Server {
        Server {
            member: "web1".into(),
            addr: "10.77.0.12:80".parse().unwrap(),
            state: state.into(),
            weight: 1,
            share: 0.5,
            backup: false,
            since: None,
            gossip_since: None,
            reason: VerdictReason::In.into(),
            witness: None,
            held_down_until: None,
            why: "alive".into(),
            notes: Vec::new(),
            probe: None,
            check: None,
        }
    }

    fn upstream(servers: Vec<Server>) -> Upstream {
        Upstream { name: "web".into(), generation: Some(Generation(2)), servers, ..Upstream::default() }
    }

    fn asked(rule: Question, result: &str, input: &str) -> Asked {
        Asked { rule: rule.into(), result: result.into(), input: input.into(), decides: true }
    }

    fn last(result: ApplyResult, message: &str) -> Document {
        let last = LastApply {
            result: result.into(),
            ended: Moment::default(),
            since: None,
            elapsed_ms: 0,
            generation: None,
            step: None,
            ours: None,
            foreign_edit: false,
            nginx_error: None,
            helper_missing: false,
            message: message.into(),
            remedy: None,
        };
        by(Apply { last: Some(last), ..Apply::default() })
    }

    fn by(apply: Apply) -> Document {
        Document { apply: Some(apply), ..Document::default() }
    }

    fn place(document: &Document, upstream: &Upstream, rules: &[Asked]) -> ToldIn {
        let told = Told::of(document, std::iter::once((upstream, rules)));
        Told::parse(told.to_payload().as_bytes()).unwrap().upstreams.remove(0)
    }

    #[test]
    fn requests_go_there_only_once_that_is_in_place_and_nginx_runs() {
        let of = |document: &Document, upstream: &Upstream| place(document, upstream, &[]).place;
        let live = upstream(vec![server(ServerState::In)]);
        assert!(of(&Document::default(), &live).is(&Place::Serving), "an agent that has just started");
        assert!(of(&last(ApplyResult::Live, "live"), &live).is(&Place::Serving));
        let stopped = Nginx {
            state: NginxState::Stopped.into(),
            version: None,
            pid: None,
            since: None,
            message: Some("nginx.service is not running".into()),
            remedy: None,
            unseen: None,
        };
        let stopped = Document { nginx: Some(stopped), ..last(ApplyResult::Stored, "stored") };
        let told = place(&stopped, &live, &[]);
        assert!(told.place.is(&Place::Stored));
        assert_eq!(told.why, "nginx.service is not running");
        assert!(of(&last(ApplyResult::Stored, "stored"), &live).is(&Place::Waiting), "its start is not seen yet");
        let unconfirmed = Apply { unconfirmed_since: Some("now".into()), ..Apply::default() };
        assert!(of(&by(unconfirmed), &live).is(&Place::Waiting));
        let none = Upstream { generation: None, ..live.clone() };
        assert!(of(&Document::default(), &none).is(&Place::Waiting));
        let change = Change {
            upstream: "web".into(),
            member: "web1".into(),
            field: Field::State.into(),
            before: None,
            after: None,
            addr: None,
            weight: None,
        };
        let waiting = Upstream { waiting: vec![change], ..live };
        let told = place(&last(ApplyResult::Refused, "nginx refuses"), &waiting, &[]);
        assert!(told.place.is(&Place::Waiting));
        assert_eq!(told.why, "nginx refuses");
        assert_eq!(place(&last(ApplyResult::Live, "live"), &waiting, &[]).why, "", "it is under way");
    }

    #[test]
    fn who_is_out_is_told_the_rule_that_decides() {
        let rules = [asked(Question::Checks, "critical", "site: connection refused")];
        let told = place(&Document::default(), &upstream(vec![server(ServerState::Down)]), &rules);
        assert!(told.place.is(&Place::Out));
        assert!(told.rule.is_some_and(|rule| rule.is(&Question::Checks)));
        assert_eq!((told.result.as_str(), told.why.as_str()), ("critical", "site: connection refused"));
        let rules = [asked(Question::Selected, "no", "role=app does not match ^(?:web)$")];
        let told = place(&Document::default(), &upstream(Vec::new()), &rules);
        assert!(told.place.is(&Place::NotSelected));
        assert_eq!(told.why, "role=app does not match ^(?:web)$");
    }

    #[test]
    fn an_answer_fits_and_says_first_what_says_most() {
        let long = asked(Question::Checks, "critical", &"ä".repeat(3000));
        let (down, live) = (upstream(vec![server(ServerState::Down)]), upstream(vec![server(ServerState::In)]));
        let rules = [long];
        let all = [(&down, &rules[..]), (&down, &rules[..]), (&live, &rules[..])];
        let told = Told::of(&Document::default(), all.into_iter());
        assert!(told.upstreams[0].place.is(&Place::Serving));
        let text = told.to_payload();
        assert!(text.len() <= Told::MAX_BYTES, "{}", text.len());
        let read = Told::parse(text.as_bytes()).unwrap();
        assert_eq!((read.upstreams.len(), read.serving().count()), (3, 1));
        assert!(read.upstreams[1].why.ends_with('…'));
        let many: Vec<_> = std::iter::repeat_n((&down, &rules[..]), 500).collect();
        let text = Told::of(&Document::default(), many.into_iter()).to_payload();
        assert!(text.len() <= Told::MAX_BYTES);
        assert!(Told::parse(text.as_bytes()).is_some_and(|told| !told.upstreams.is_empty()));
        assert_eq!(Told::parse(b"idle 5d3e01aa 7"), None);
    }
}
