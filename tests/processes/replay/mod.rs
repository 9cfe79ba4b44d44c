//! Somebody on the network keeps what agents send each other, and says it again: in order and shuffled, to everybody, also
//! after a restart. Between weir agents in the session envelope that changes nothing (`session §7`); the reference,
//! which has only memberlist's, takes it for news.

mod relay;
mod serf;
mod session;
mod view;

use crate::support::{self, Agent, Kind, Settings, address};
use relay::Relay;

/// 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// An agent that others reach through a relay only.
struct Member {
    agent: Agent,
    relay: Relay,
}

impl Member {
    fn start(kind: Kind, name: &str, settings: Settings) -> Self {
        let mut agent = Agent::prepare(kind, name, Settings { profile: Some("local"), ..settings });
        let relay = Relay::start(address(), agent.gossip);
        agent.options_mut().gossip = format!("advertise = \"{}\"\n", relay.addr());
        agent.options_mut().serf_args.push(format!("-advertise={}", relay.addr()));
        agent.run();
        Self { agent, relay }
    }

    /// Members of one kind that joined through the first.
    fn cluster(kind: Kind, names: &[&str], settings: &Settings) -> Vec<Self> {
        let mut members: Vec<Self> = Vec::new();
        for name in names {
            let mut settings = settings.clone();
            settings.join.extend(members.first().map(|first| first.relay.addr()));
            members.push(Self::start(kind, name, settings));
        }
        await_all_alive(&members);
        members
    }
}

fn await_all_alive(members: &[Member]) {
    let names: Vec<_> = members.iter().map(|member| (member.agent.name.as_str(), "alive")).collect();
    support::await_agreement(&members.iter().map(|member| &member.agent).collect::<Vec<_>>(), &names);
}
