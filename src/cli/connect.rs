//! Finding the agent: where its RPC listens and with which token (`ux §2.1`), and what to say when it does not answer
//! (`ux §4`, rows 13 and 14).

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::exit::Exit;
use super::failure::Failure;
use super::unit;
use crate::config::{Loaded, SecretSource};
use crate::error::system_words;
use crate::rpc::client::{Address, ClientError};

/// Where the packaged agent listens.
pub(crate) const SOCKET: &str = "/run/weir/rpc.sock";
/// Where a Serf agent listens.
pub(crate) const SERF_ADDR: &str = "127.0.0.1:7373";
/// What makes a server a configured one.
const CONFIG: &str = "/etc/weir/weir.toml";

/// Longer than any token.
const MAX_TOKEN: usize = 64 * 1024;

/// Where help lists how to reach the agent.
const REACHING: &str = "Reaching the agent";

/// How to reach the agent.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AgentArgs {
    /// Address of the agent's RPC: HOST:PORT or unix:PATH [env: WEIR_RPC_ADDR, SERF_RPC_ADDR]
    #[arg(long, value_name = "ADDRESS", help_heading = REACHING)]
    pub(crate) rpc_addr: Option<String>,
    /// File that holds the agent's RPC token
    #[arg(long, value_name = "FILE", conflicts_with = "rpc_auth", help_heading = REACHING)]
    pub(crate) rpc_token_file: Option<PathBuf>,
    /// The agent's RPC token; others can see it in the process list [env: SERF_RPC_AUTH]
    #[arg(long, value_name = "TOKEN", help_heading = REACHING)]
    pub(crate) rpc_auth: Option<String>,
}

impl AgentArgs {
    /// Where nobody says where the agent is, its configuration does.
    pub(crate) fn or_as_configured(&self, loaded: Option<&Loaded>) -> Self {
        let mut args = self.clone();
        let environment = Environment::read();
        let named =
            args.rpc_addr.is_some() || environment.weir_rpc_addr.is_some() || environment.serf_rpc_addr.is_some();
        if let (false, Some(loaded)) = (named, loaded) {
            let rpc = &loaded.config.rpc;
            match (&rpc.socket, rpc.listen) {
                // Whoever may open the socket needs no token, and may not be one who may read it.
                (Some(path), _) => args.rpc_addr = Some(format!("unix:{}", path.display())),
                (None, Some(listen)) => {
                    args.rpc_addr = Some(listen.to_string());
                    if let (None, Some(SecretSource::File(path))) = (&args.rpc_token_file, &rpc.token) {
                        args.rpc_token_file = Some(path.clone()).filter(|path| path.is_file());
                    }
                }
                (None, None) => {}
            }
        }
        args
    }
}

/// `HOST:PORT`, `unix:PATH` or a path.
fn parse(text: &str) -> Result<Address, Failure> {
    let address: Address = text.parse().unwrap_or_else(|never: Infallible| match never {});
    let is_complete = match &address {
        Address::Unix(path) => !path.as_os_str().is_empty(),
        Address::Tcp(text) => {
            text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        }
    };
    if is_complete {
        return Ok(address);
    }
    Err(Failure::usage(format!("RPC address '{text}' has no host and port"))
        .with_remedy(format!("write {SERF_ADDR} or unix:{SOCKET}")))
}

/// What of the environment says where the agent is.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) weir_rpc_addr: Option<String>,
    pub(crate) serf_rpc_addr: Option<String>,
    pub(crate) serf_rpc_auth: Option<String>,
}

impl Environment {
    /// The process's own. Variables that are set and empty count as absent, as in Serf.
    pub(crate) fn read() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            weir_rpc_addr: read("WEIR_RPC_ADDR"),
            serf_rpc_addr: read("SERF_RPC_ADDR"),
            serf_rpc_auth: read("SERF_RPC_AUTH"),
        }
    }
}

/// Where to look, in order. More than one address only where nobody named one.
pub(crate) fn candidates(flag: Option<&str>, environment: &Environment) -> Result<Vec<Address>, Failure> {
    let named = flag.or(environment.weir_rpc_addr.as_deref()).or(environment.serf_rpc_addr.as_deref());
    match named {
        Some(address) => Ok(vec![parse(address)?]),
        None => Ok(vec![Address::Unix(SOCKET.into()), Address::Tcp(SERF_ADDR.to_owned())]),
    }
}

/// As [`candidates`], for Serf's mode: what is wrong with an address shows when it is dialled.
pub(crate) fn places(flag: Option<&str>, environment: &Environment) -> Vec<Address> {
    let named = flag.or(environment.weir_rpc_addr.as_deref()).or(environment.serf_rpc_addr.as_deref());
    let dialled = |text: &str| text.parse().unwrap_or_else(|never: Infallible| match never {});
    match named {
        Some(address) => vec![dialled(address)],
        None => vec![Address::Unix(SOCKET.into()), Address::Tcp(SERF_ADDR.to_owned())],
    }
}

/// The token to show, if any. A file's last line end does not belong to it.
pub(crate) fn token(args: &AgentArgs, environment: &Environment) -> Result<Option<Zeroizing<String>>, Failure> {
    if let Some(path) = &args.rpc_token_file {
        let bytes = crate::file::read_any(path, MAX_TOKEN).map(Zeroizing::new);
        let text = bytes.and_then(|bytes| {
            let text = crate::file::utf8(&bytes)?;
            Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        });
        return Ok(Some(text.map_err(|error| Failure::of_file("read", path, &error))?));
    }
    let given = args.rpc_auth.as_ref().filter(|token| !token.is_empty()).or(environment.serf_rpc_auth.as_ref());
    Ok(given.map(|token| Zeroizing::new(token.clone())))
}

/// The token, where one counts: whoever may open the socket needs none.
pub(crate) fn shown_to<'a>(address: &Address, token: Option<&'a str>) -> Option<&'a str> {
    match address {
        Address::Unix(_) => None,
        Address::Tcp(_) => token,
    }
}

/// What is wrong when an agent could not be asked. `is_named`: somebody said that it is there.
pub(crate) fn failure(address: &Address, error: &ClientError, is_named: bool) -> Failure {
    match error {
        ClientError::Connect { source, .. } => unreachable(address, source, is_named),
        ClientError::Resolve { host, .. } => Failure::new(Exit::NoAgent, format!("cannot find host '{host}'"))
            .with_remedy("correct the name in the RPC address, or give a number"),
        ClientError::NoPort(text) => Failure::usage(format!("RPC address '{text}' has no host and port"))
            .with_remedy(format!("write {SERF_ADDR} or unix:{SOCKET}")),
        ClientError::Silent { .. } => {
            Failure::new(Exit::NoAgent, format!("{address} accepts connections and says nothing"))
                .with_remedy("is it an agent's RPC address?")
        }
        ClientError::TokenRequired => {
            Failure::new(Exit::NotPermitted, format!("{address} wants a token")).with_remedy("give --rpc-token-file")
        }
        ClientError::TokenRefused => Failure::new(Exit::NotPermitted, format!("{address} does not accept this token"))
            .with_remedy("give the agent's own with --rpc-token-file, or none if it has none"),
        ClientError::Refused(refusal) => refusal.clone().into(),
        ClientError::Unsupported => Failure::new(
            Exit::Failed,
            format!("the agent at {address} does not understand this: it is Serf's, or older"),
        )
        .with_remedy("'weir info' shows which"),
        ClientError::Closed => Failure::new(Exit::NoAgent, format!("the agent at {address} closed the connection"))
            .with_remedy("see 'journalctl -u weir' whether it stopped"),
        ClientError::Protocol => Failure::new(Exit::NoAgent, format!("what listens on {address} is no agent"))
            .with_remedy("correct the RPC address"),
    }
}

fn unreachable(address: &Address, error: &io::Error, is_named: bool) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => not_permitted(address),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => no_agent(address, is_named),
        _ => Failure::new(Exit::NoAgent, format!("cannot reach an agent at {address}: {}", system_words(error)))
            .with_remedy("correct the RPC address, or start the agent there"),
    }
}

/// Row 13: there is none, or this server was never set up for one.
fn no_agent(address: &Address, is_named: bool) -> Failure {
    if !is_named && !Path::new(CONFIG).exists() {
        return Failure::new(Exit::NoAgent, "weir is not configured on this server")
            .with_remedy("'sudo weir init lb' or 'sudo weir init web --join ADDRESS'");
    }
    match address {
        Address::Unix(_) => not_at_socket(address, unit::State::ask()),
        Address::Tcp(place) => not_at_port(place),
    }
}

fn not_at_socket(address: &Address, unit: unit::State) -> Failure {
    let (what, way_out) = match unit {
        unit::State::Absent => {
            (format!("no agent at {address}"), "start one with 'weir agent --config-file FILE', or correct the address")
        }
        unit::State::Stopped => (format!("no agent at {address}"), "'systemctl start weir'"),
        unit::State::Failed => {
            (format!("no agent at {address}, for weir.service failed"), "'journalctl -u weir' says why")
        }
        unit::State::Running => {
            (format!("weir.service runs, and not at {address}"), "name the one of rpc.socket with --rpc-addr")
        }
    };
    Failure::new(Exit::NoAgent, what).with_remedy(way_out)
}

/// A running agent serves TCP only where it is told to.
fn not_at_port(place: &str) -> Failure {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host).trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let way_out = if is_here {
        format!("leave the address out to use the socket, or set rpc.listen = \"{place}\" and restart the agent")
    } else {
        format!("ask on that host ('ssh HOST weir members'), or set rpc.listen = \"{place}\" and rpc.token_file there")
    };
    Failure::new(Exit::NoAgent, format!("no agent at {place}")).with_remedy(way_out)
}

/// Row 14, first half: the socket is for members of its group.
fn not_permitted(address: &Address) -> Failure {
    let group = match address {
        Address::Unix(path) => group_of(path),
        Address::Tcp(_) => None,
    };
    let group = group.unwrap_or_else(|| "weir".to_owned());
    Failure::new(Exit::NotPermitted, format!("not permitted to use {address}"))
        .with_remedy(format!("use sudo, or 'usermod -aG {group} {}' and log in again", login_name()))
}

/// The group a socket belongs to, unless that is root's.
fn group_of(path: &Path) -> Option<String> {
    let gid = std::fs::metadata(path).ok()?.gid();
    let group = nix::unistd::Group::from_gid(gid.into()).ok()??;
    Some(group.name).filter(|name| name != "root")
}

fn login_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    user.map_or_else(|| "$USER".to_owned(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(weir: &str, serf: &str) -> Environment {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Environment { weir_rpc_addr: set(weir), serf_rpc_addr: set(serf), serf_rpc_auth: None }
    }

    #[test]
    fn the_agent_is_sought_in_the_documented_order() {
        for (flag, weir, serf, found) in [
            (Some("10.0.0.1:1"), "10.0.0.2:2", "10.0.0.3:3", vec!["10.0.0.1:1"]),
            (None, "unix:/x.sock", "10.0.0.3:3", vec!["/x.sock"]),
            (None, "", "10.0.0.3:3", vec!["10.0.0.3:3"]),
            (None, "", "", vec![SOCKET, SERF_ADDR]),
        ] {
            let addresses = candidates(flag, &environment(weir, serf)).expect("these are addresses");
            assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), found);
        }
    }

    #[test]
    fn addresses_are_host_and_port_or_a_path() {
        assert_eq!(parse("unix:rpc.sock"), Ok(Address::Unix("rpc.sock".into())));
        assert_eq!(parse("/run/x"), Ok(Address::Unix("/run/x".into())));
        assert_eq!(parse("[::1]:7373"), Ok(Address::Tcp("[::1]:7373".into())));
        for wrong in ["nonsense", "host:", ":7373", "host:99999"] {
            let failure = parse(wrong).expect_err("this is no address");
            assert_eq!(failure.exit(), Exit::Usage);
        }
        assert_eq!(
            parse("nonsense").map_err(|failure| failure.to_text()),
            Err("error: RPC address 'nonsense' has no host and port; write 127.0.0.1:7373 or unix:/run/weir/rpc.sock"
                .into())
        );
    }

    #[test]
    fn a_missing_agent_and_a_missing_permission_name_their_way_out() {
        let socket = Address::Unix(SOCKET.into());
        for (unit, told) in [
            (
                unit::State::Absent,
                "no agent at /run/weir/rpc.sock; start one with 'weir agent --config-file FILE', or correct the address",
            ),
            (unit::State::Stopped, "no agent at /run/weir/rpc.sock; 'systemctl start weir'"),
            (
                unit::State::Failed,
                "no agent at /run/weir/rpc.sock, for weir.service failed; 'journalctl -u weir' says why",
            ),
            (
                unit::State::Running,
                "weir.service runs, and not at /run/weir/rpc.sock; name the one of rpc.socket with --rpc-addr",
            ),
        ] {
            let missing = not_at_socket(&socket, unit);
            assert_eq!((missing.sentence().as_str(), missing.exit()), (told, Exit::NoAgent));
        }
        for (place, way_out) in [
            (
                "127.0.0.1:7373",
                "leave the address out to use the socket, or set rpc.listen = \"127.0.0.1:7373\" and restart the agent",
            ),
            (
                "10.77.0.11:7373",
                "ask on that host ('ssh HOST weir members'), or set rpc.listen = \"10.77.0.11:7373\" and rpc.token_file \
                 there",
            ),
        ] {
            let missing = unreachable(&Address::Tcp(place.into()), &io::ErrorKind::ConnectionRefused.into(), true);
            assert_eq!(missing.sentence(), format!("no agent at {place}; {way_out}"));
        }

        let denied = unreachable(&Address::Unix("/nowhere".into()), &io::ErrorKind::PermissionDenied.into(), true);
        let user = login_name();
        assert_eq!(
            denied.to_text(),
            format!("error: not permitted to use /nowhere; use sudo, or 'usermod -aG weir {user}' and log in again")
        );
        assert_eq!(denied.exit(), Exit::NotPermitted);

        let tokenless = failure(&Address::Tcp("10.77.0.11:7373".into()), &ClientError::TokenRequired, true);
        assert_eq!(tokenless.to_text(), "error: 10.77.0.11:7373 wants a token; give --rpc-token-file");
    }
}
