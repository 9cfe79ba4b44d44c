//! `weir keys export` and `weir keys import`: a key from one host to another by the operator's hand, also while the agent is
//! down.

use std::path::PathBuf;

use serde_json::json;

use super::super::agent::Paths;
use super::super::config::{DEFAULT, unusable};
use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::{Session, SessionError};
use crate::agent::hand::{self, HandError};
use crate::config::{self, Overrides, SecretSource, Source, Sources};
use crate::crypto::Key;
use crate::rotate::document::Import as Document;
use crate::rpc::refusal::{Kind, Refusal};

/// Print this host's primary key.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Also on a terminal, where others may look on
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    paths: Paths,
}

impl Export {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if output.is_terminal() && !self.show {
            return Err(Failure::new(Exit::Refused, "the key would be shown on this terminal")
                .with_remedy("--show shows it; 'weir keys export | ssh HOST sudo weir keys import' does not"));
        }
        let source = source(&self.paths, output)?;
        let ring = hand::read(&source).map_err(|error| failure(&error))?;
        let key = ring.primary().to_base64();
        if output.is_json() {
            output.json(&json!({ "id": ring.primary().id().to_string(), "key": *key }))?;
        } else {
            output.text(&format!("{}\n", *key))?;
        }
        Ok(Exit::Done)
    }
}

/// Put a key into this host's ring; it seals from now on.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Read the key from this file; standard input (-), the default, is a hidden prompt on a terminal
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only hold the key, and go on sealing with the present one
    #[arg(long)]
    add: bool,
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Import {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let text = super::material(self.file.as_deref())?;
        let key = Key::from_base64(&text)
            .map_err(|error| Failure::usage(error.to_string()).with_remedy("'weir keygen' makes one"))?;
        let (place, others) = match self.tell_agent(&key, output).await? {
            Told::Taken(others) => ("the running agent", others),
            Told::Nobody => ("for its next start", self.write(&key, output)?),
            Told::Unencrypted => {
                let others = self.write(&key, output)?;
                output.notice("notice: the agent goes on without encryption until 'systemctl restart weir'");
                ("for its next start", others)
            }
        };
        if output.is_json() {
            output.json(&json!({ "id": key.id().to_string(), "primary": !self.add, "others": others }))?;
        } else {
            output.text(&self.told(&key, place, &others))?;
        }
        Ok(Exit::Done)
    }

    fn told(&self, key: &Key, place: &str, others: &[String]) -> String {
        let id = key.id();
        match others {
            _ if self.add => format!("{id} is held on this host ({place})\n"),
            [] => format!("{id} seals on this host ({place})\n"),
            others => format!(
                "{id} seals on this host ({place}); {} {} in its ring until a 'weir keys rotate' that ends\n",
                others.join(", "),
                if others.len() == 1 { "stays" } else { "stay" }
            ),
        }
    }

    /// Hands the key to the running agent, which owns the file: the one of the configuration, so that a key for another node
    /// reaches none that happens to run on this host.
    async fn tell_agent(&self, key: &Key, output: &Output) -> Result<Told, Failure> {
        let loaded = match config::load(&sources(&self.paths)) {
            Ok(loaded) => Some(loaded),
            Err(errors) if !self.paths.0.is_empty() => return Err(unusable(&errors, output)),
            // Who may use the socket need not be able to read the file.
            Err(_) => None,
        };
        let mut session = match Session::open(&self.agent.or_as_configured(loaded.as_ref()), output).await {
            Ok(session) => session,
            Err(failure) if failure.exit() == Exit::NoAgent => return Ok(Told::Nobody),
            Err(failure) => return Err(failure),
        };
        let document = Document { key: key.to_base64().to_string(), add: self.add };
        match session.weir(&document).await {
            Ok(imported) => Ok(Told::Taken(imported.others)),
            // A Serf agent has a keyring of its own.
            Err(SessionError::Unsupported(_)) => Ok(Told::Nobody),
            Err(SessionError::Refused(Refusal { kind: Kind::Unencrypted, .. })) => Ok(Told::Unencrypted),
            Err(error @ (SessionError::Refused(_) | SessionError::Lost(_))) => Err(error.into()),
        }
    }

    fn write(&self, key: &Key, output: &Output) -> Result<Vec<String>, Failure> {
        match source(&self.paths, output)? {
            SecretSource::File(path) => {
                let ring = hand::import(&path, key, self.add).map_err(|error| failure(&error))?;
                let others = ring.keys().iter().filter(|held| *held != key);
                Ok(others.map(|held| held.id().to_string()).collect())
            }
            SecretSource::Credential(name) => {
                Err(Failure::new(Exit::Failed, format!("the keyring is the read-only credential '{name}'"))
                    .with_remedy("put the key where the credential comes from"))
            }
            SecretSource::Inline(_) => Err(Failure::new(Exit::Failed, "the key is in the configuration itself")
                .with_remedy("put it into a file, and name that in encryption.keyring (Serf's keyring_file)")),
        }
    }
}

/// What the running agent made of the key.
enum Told {
    /// It has it now, with these others.
    Taken(Vec<String>),
    /// There is no such agent.
    Nobody,
    /// It was started without encryption, and has no ring.
    Unencrypted,
}

fn sources(paths: &Paths) -> Sources {
    let mut sources = Sources::here(paths.0.clone(), Overrides::default(), false);
    if sources.paths.is_empty() {
        sources.paths.push(Source::File(DEFAULT.into()));
    }
    sources
}

/// Where this host's ring is.
fn source(paths: &Paths, output: &Output) -> Result<SecretSource<Key>, Failure> {
    let loaded = config::load(&sources(paths)).map_err(|errors| unusable(&errors, output))?;
    let mut settings = loaded.config.settings().iter();
    let off = settings.find(|setting| setting.key() == "encryption.seal" && setting.value == "off");
    let way_out = match off {
        Some(seal) => format!("remove encryption.seal = \"off\" ({}), then again", seal.origin),
        None => "set encryption.keyring".to_owned(),
    };
    loaded.config.encryption.keyring.ok_or_else(|| {
        Failure::new(Exit::Configuration, "encryption is off here, there is no keyring").with_remedy(way_out)
    })
}

fn failure(error: &HandError) -> Failure {
    Failure::of_error(if error.is_denied() { Exit::NotPermitted } else { Exit::Failed }, error)
}
