//! Does what the plan says, one step after the other. Each leaves the host so that a run that ends here can be gone on from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::agent::failure as agent_failure;
use tokio::time::timeout;

use super::super::config::{DEFAULT, unusable};
use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::keygen;
use super::super::output::Output;
use super::super::session::Session;
use super::asked::asked;
use super::facts::{self, Pending};
use super::plan::{RingKey, Start};
use super::units::UNITS;
use super::unstarted::Reason;
use crate::agent::{self, hand};
use crate::apply::{self, NewSite, RunBy, SitePlaced};
use crate::command;
use crate::config::{self, Config, Loaded, When};
use crate::crypto::{Key, KeyId};
use crate::error::{Explain as _, system_words};
use crate::rpc::weir::Reload;

/// A unit that has not come up by then says why in the journal: the agent is ready in milliseconds, or waits for an address.
const START_LIMIT: Duration = Duration::from_secs(60);
/// An agent answers at once.
const ANSWER: Duration = Duration::from_secs(5);

/// Reads what is about to become the configuration as the unit will, with the files that lie beside it there, `drop_ins`.
pub(super) fn checked(text: &str, drop_ins: &[PathBuf], output: &Output) -> Result<Loaded, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failed, format!("cannot check what is to be written: {error}"));
    let directory = tempfile::tempdir().map_err(failed)?;
    let path = directory.path().join("weir.toml");
    std::fs::write(&path, text).map_err(failed)?;
    let alone = facts::sources(&path);
    let mut whole = alone.clone();
    whole.paths.extend(drop_ins.iter().cloned().map(config::Source::File));
    config::load(&whole).map_err(|errors| match config::load(&alone) {
        // Its one mistake is in what was typed.
        Err(typed) => {
            let trouble = typed.mistakes().first().map(|mistake| mistake.trouble.clone()).unwrap_or_default();
            let failure = Failure::usage(trouble.what);
            if trouble.way_out.is_empty() { failure } else { failure.with_remedy(trouble.way_out) }
        }
        Ok(_) => unusable(&errors, output).with_remedy("correct it"),
    })
}

/// Makes a file of root's one that the agent may read and nobody else may write.
pub(super) fn open(path: &Path) -> Result<(), Failure> {
    agent::file::make_readable(path, "weir").map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot change {}: {}", path.display(), system_words(&error)))
    })
}

/// Whether an agent with this configuration could start here: addresses and ports, taken and given back at once.
pub(super) fn check_ports(loaded: &Loaded) -> Result<(), Failure> {
    let checked = agent::check::ports(&loaded.config, None);
    checked.into_iter().try_for_each(|checked| checked.result.map_err(|error| agent_failure(&error)))
}

/// Writes the keyring. A new key is never shown.
pub(super) fn ring(path: &Path, key: &RingKey, given: Option<&Key>) -> Result<KeyId, Failure> {
    let key = match (key, given) {
        (RingKey::Held(id), _) => return Ok(*id),
        (_, Some(given)) => given.clone(),
        (_, None) => keygen::generate()?,
    };
    hand::import(path, &key, false).map_err(|error| {
        Failure::new(Exit::Failed, crate::error::what(&error)).with_remedy(error.remedy().unwrap_or_default())
    })?;
    // It may lie in a directory of root's, by a file beside the configuration.
    agent::file::give_to(path, "weir").map_err(|error| Failure::of_file("give to user weir", path, &error))?;
    Ok(key.id())
}

/// A ring with which nobody was joined makes way for another key, so that it does not stay among the keys that open.
pub(super) fn forget(path: &Path, given: &Key) -> Result<(), Failure> {
    let is_another = hand::read(&config::SecretSource::File(path.to_owned()))
        .is_ok_and(|ring| ring.keys().iter().any(|held| held != given));
    match if is_another { std::fs::remove_file(path) } else { Ok(()) } {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(Exit::Failed, format!("cannot remove {}: {}", path.display(), system_words(&error))))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether the keyring has this key.
pub(super) fn holds(path: &Path, key: &Key) -> bool {
    hand::read(&config::SecretSource::File(path.to_owned()))
        .is_ok_and(|ring| ring.keys().iter().any(|held| held == key))
}

/// Moves the keyring out of the way of another cluster's, to a name beside it.
pub(super) fn ring_aside(path: &Path) -> Result<PathBuf, Failure> {
    let aside = facts::aside(path);
    std::fs::rename(path, &aside).map_err(|error| Failure::of_file("move", path, &error))?;
    Ok(aside)
}

/// Writes the configuration, with the old one beside it, and reads it back as the unit will.
pub(super) fn configuration(text: &str, aside: Option<&Path>, output: &Output) -> Result<Loaded, Failure> {
    let path = Path::new(DEFAULT);
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {}: {}", path.display(), system_words(error)))
    };
    if let Some(aside) = aside {
        // Also where the path is a link to it.
        std::fs::copy(path, aside).map_err(|error| failed(aside, &error))?;
    }
    agent::file::write_readable(path, text.as_bytes(), "weir").map_err(|error| failed(path, &error))?;
    loaded(output)
}

/// The configuration as the unit reads it.
pub(super) fn loaded(output: &Output) -> Result<Loaded, Failure> {
    config::load(&facts::sources(Path::new(DEFAULT))).map_err(|errors| unusable(&errors, output))
}

/// Puts a site in place, or leaves everything as it was.
pub(super) fn site(config: &Config, site: &NewSite) -> Result<SitePlaced, Failure> {
    apply::put_site(&config.into(), site).map_err(|error| {
        let trouble = error.told(RunBy::this_process());
        let what = format!("the site was not put in place: {}", trouble.what);
        let failure = Failure::new(Exit::Incomplete, what);
        if trouble.way_out.is_empty() { failure } else { failure.with_remedy(trouble.way_out) }
    })
}

/// Starts an NGINX that is installed, now and at boot.
pub(super) fn start_nginx(unit: &str) -> Result<(), Failure> {
    let failed = |what: &str| {
        Failure::new(Exit::Incomplete, format!("{unit} did not start{what}")).with_remedy("'nginx -t' says why")
    };
    let mut command = command::clean(Path::new("systemctl"));
    command.args(["--quiet", "enable", "--now", unit]);
    let ran = command::run(command, START_LIMIT, "").map_err(|error| failed(&format!(": {}", system_words(&error))))?;
    if ran.success { Ok(()) } else { Err(failed("")) }
}

/// Enables and starts the units, and waits until the agent says that it is ready.
pub(super) fn start(start: Start) -> Result<(), Failure> {
    let systemctl = |arguments: &[&str]| {
        let mut command = command::clean(Path::new("systemctl"));
        command.arg("--quiet").args(arguments);
        command::run(command, START_LIMIT, "")
            .map_err(|error| Failure::new(Exit::Failed, format!("systemctl: {}", system_words(&error))))
    };
    let enabled = systemctl(&[&["enable"][..], &UNITS].concat())?;
    if !enabled.success {
        let said = enabled.stderr.lines().next().unwrap_or("it gave no reason");
        return Err(Failure::new(Exit::Failed, format!("cannot enable weir's units: {said}")));
    }
    let verb = match start {
        Start::Nothing => return Ok(()),
        Start::Stopped => "start",
        Start::Outdated => "reload",
        Start::Changed => "restart",
        Start::Moved => {
            // Which is a leave.
            systemctl(&["stop", "weir.service"])?;
            "start"
        }
    };
    let socket = systemctl(&["start", "weir-apply.socket"])?;
    if !socket.success {
        return Err(Failure::new(Exit::Failed, "weir-apply.socket did not start")
            .with_remedy("'systemctl status weir-apply.socket' says why"));
    }
    if systemctl(&[verb, "weir.service"])?.success {
        return Ok(());
    }
    Err(match start {
        Start::Outdated => Reason::of_reload().failure("weir.service did not take over its configuration"),
        Start::Nothing | Start::Stopped | Start::Changed | Start::Moved => {
            Reason::of_start().failure("weir.service did not start")
        }
    })
}

/// How the configuration that the agent has differs from the one that is there. One that says nothing has the same.
pub(super) async fn pending(agent: &AgentArgs, output: &Output) -> Pending {
    let Ok(mut session) = Session::open(agent, &output.silent()).await else { return Pending::Nothing };
    let Ok(Ok(told)) = timeout(ANSWER, session.weir(&Reload { dry_run: true })).await else { return Pending::Nothing };
    if told.changes.iter().any(|change| change.when.is(&When::Restart)) {
        Pending::Restart
    } else if told.changes.is_empty() {
        Pending::Nothing
    } else {
        Pending::Live
    }
}

/// Has the agent look again at what it could not put in place.
pub(super) async fn try_again(agent: &AgentArgs, output: &Output) -> Result<(), Failure> {
    let question = async |session: &mut Session| {
        // What it says of it shows in its upstreams.
        let _ = timeout(ANSWER, session.weir(&Reload { dry_run: false })).await;
        Ok(())
    };
    asked(agent, output, question).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_start_is_seen_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let drop_in = dir.path().join("weir.d").join("a.toml");
        std::fs::create_dir_all(dir.path().join("weir.d")).expect("it is ours");
        let output = Output::new(Default::default(), Default::default(), true);
        let told = |text: &str, beside: &str| {
            std::fs::write(&drop_in, beside).expect("it is ours");
            let checked = checked(text, std::slice::from_ref(&drop_in), &output);
            checked
                .map(|loaded| loaded.config.node.name.as_str().to_owned())
                .map_err(|failure| (failure.exit(), failure.remedy().unwrap_or_default().to_owned()))
        };
        let text = "node.name = \"web1\"\n";
        assert_eq!(told(text, "log.level = \"debug\"\n"), Ok("web1".to_owned()));
        assert_eq!(told(text, "node.name = \"web2\"\n"), Ok("web2".to_owned()), "it is read as the unit reads it");
        assert_eq!(told(text, "x="), Err((Exit::Configuration, "correct it".to_owned())));
        let (exit, _) = told("node.name = \"a b\"\n", "").expect_err("it is no name");
        assert_eq!(exit, Exit::Usage, "it was typed");
        let v6 = "gossip.advertise = \"fd00::16\"\n";
        assert_eq!(told(v6, "").map_err(|(exit, _)| exit), Err(Exit::Usage));
        assert!(told(v6, "gossip.bind = \"[::]:7946\"\n").is_ok(), "what lies beside it counts");
    }

    #[test]
    fn a_keyring_makes_way_for_another_key_and_stays_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json");
        let (former, given) = (Key::new(&[7; 32]).unwrap(), Key::new(&[8; 32]).unwrap());
        ring(&path, &RingKey::Cluster, Some(&former)).unwrap();
        assert_eq!((holds(&path, &former), holds(&path, &given)), (true, false));
        let aside = ring_aside(&path).unwrap();
        ring(&path, &RingKey::Cluster, Some(&given)).unwrap();
        assert_eq!((holds(&path, &former), holds(&path, &given)), (false, true));
        assert!(holds(&aside, &former));
        let second = ring_aside(&path).unwrap();
        assert!(second != aside && holds(&aside, &former) && holds(&second, &given), "nothing is lost");
    }
}
