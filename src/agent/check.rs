//! Whether an agent could start here: its addresses and ports, taken and given back at once. For `weir doctor` where none runs.

use std::net::{SocketAddr, TcpListener};

use super::{AgentError, bind, start};
use crate::config::Config;
use crate::status::doctor::{Port, Ports};

/// Binds what an agent with this configuration would, and lets go of it. Must run within a tokio runtime.
pub(crate) fn ports(config: &Config) -> Ports {
    let mut checked = Vec::new();
    let wanted = match start::bind_address(&config.gossip.bind) {
        Ok(wanted) => wanted,
        Err(error) => {
            checked.push((Port::Gossip, "gossip.bind".to_owned(), Err(words(&error))));
            return Ports { checked };
        }
    };
    let bound = bind::bind(wanted).map(|(udp, _listener)| udp.local());
    let advertise = start::advertise_address(config, *bound.as_ref().unwrap_or(&wanted));
    let result = bound.map(drop).map_err(|error| words(&AgentError::Bind(error)));
    checked.push((Port::Gossip, wanted.to_string(), result));
    checked.push((Port::Address, "gossip.advertise".to_owned(), advertise.map(drop).map_err(|error| words(&error))));
    if let Some(listen) = config.rpc.listen {
        checked.push((Port::Rpc, listen.to_string(), rpc(listen)));
    }
    Ports { checked }
}

fn rpc(listen: SocketAddr) -> Result<(), String> {
    // Sets SO_REUSEADDR, as the agent does.
    let bound = TcpListener::bind(listen);
    let explained = |error| words(&AgentError::Bind(bind::explain(listen, bind::Transport::Tcp, error)));
    bound.map(drop).map_err(|error| explained(error).replace("gossip.bind", "rpc.listen"))
}

/// The error with its cause before the way out.
fn words(error: &AgentError) -> String {
    let text = error.to_string();
    let cause = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
    match text.split_once("; ") {
        Some((what, way_out)) => format!("{what}{cause}; {way_out}"),
        None => format!("{text}{cause}"),
    }
}
