//! Words to another node: drain, or serve again (`protocols A.3`).

use super::*;

/// Until what a node answered is on its disk, or published.
const CARRIED_OUT: Duration = Duration::from_millis(200);

impl World {
    /// Asks a node from another one.
    pub(crate) fn ask_remote(&mut self, by: usize, at: usize, drain: RemoteDrain) {
        let params = QueryParams {
            name: RemoteDrain::NAME.to_owned(),
            payload: drain.to_string().into(),
            nodes: vec![self.hosts[at].name.to_string()],
            ack: true,
            timeout: Some(Duration::from_secs(3)),
            ..QueryParams::default()
        };
        if let Some(Ok(key)) = self.sim.with(NodeId(by), |endpoint, now| endpoint.query(now, params)) {
            self.remotes.insert((by, key), Remote { at, drain, answered: false });
        }
    }

    /// As `SafeLeave::handle_remote`.
    pub(super) fn asked_to_drain(&mut self, at: usize, query: &QueryEvent) {
        let own = self.hosts[at].departure.as_ref();
        let (Some(own), Some(drain)) = (own, RemoteDrain::parse(&query.payload)) else { return };
        let before = own.kept().map(|kept| kept.id.clone());
        let no = |why: &str| RemoteAnswer::No(why.to_owned());
        let (leaves, too_late) = (own.is_leaving(), own.too_late());
        let answer = match drain {
            _ if self.flaw == Flaw::RemoteIdles => RemoteAnswer::Ok(DrainId::new("0badcafe").expect("an id")),
            _ if !self.plan.remote => no("leave.remote_drain is false"),
            RemoteDrain::On if leaves => no("it leaves the cluster"),
            RemoteDrain::Off if too_late.is_some() => no("it is too late"),
            RemoteDrain::On | RemoteDrain::Off => {
                if drain == RemoteDrain::On {
                    self.drain(at, DrainRequest::default())
                } else {
                    self.undo(at)
                }
                let kept = self.hosts[at].departure.as_ref().and_then(Departure::kept).map(|kept| kept.id.clone());
                kept.or(before).map_or_else(|| no("it does not drain"), RemoteAnswer::Ok)
            }
            // Nobody follows here.
            RemoteDrain::Follow { .. } => return,
        };
        if let RemoteAnswer::Ok(_) = answer {
            self.hosts[at].obeyed = Some((self.hosts[at].asked, drain));
        }
        let text = answer.to_string();
        let _too_late = self.sim.with(NodeId(at), |endpoint, now| endpoint.respond(now, &query.key, text.into()));
    }

    pub(super) fn heard_of_drain(&mut self, by: usize, output: &QueryOutput) -> Result<(), Broken> {
        let key = (by, output.key);
        let Some(Remote { at, drain, answered }) = self.remotes.get_mut(&key) else { return Ok(()) };
        let (at, drain) = (*at, drain.clone());
        let word = match &output.answer {
            Said::Ack { .. } => return Ok(()),
            Said::Done { .. } => {
                let is_answered = *answered;
                self.remotes.remove(&key);
                if is_answered {
                    return Ok(());
                }
                "remote drain silent"
            }
            Said::Response { payload, .. } => {
                *answered = true;
                match RemoteAnswer::parse(payload) {
                    Some(RemoteAnswer::Ok(id)) => {
                        let life = self.hosts[at].life;
                        let word = if drain == RemoteDrain::On { "remote drain begun" } else { "remote undo done" };
                        self.happens(CARRIED_OUT, Happening::Answered { host: at, life, drain, id });
                        word
                    }
                    Some(RemoteAnswer::No(_)) => "remote drain refused",
                    Some(RemoteAnswer::Story(_)) | None => {
                        return Err(Broken::new(Rule::RemoteUntrue, format!("node-{at} answers {payload:?}")));
                    }
                }
            }
        };
        self.coverage.count(word);
        self.tell(&format!("node-{by} of its word to node-{at}: {word}"));
        Ok(())
    }
}
