//! NGINX as it is installed, configured and running.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::apply::{self, Error, RunBy};
use crate::config::{ApplyMode, Config, Upstream, UpstreamFile};
use crate::nginx::Version;
use crate::status::doctor::{Master, Nginx, Output, Refused, Trouble};
use crate::status::node::Document;
use crate::upstream::OnDead;

/// Looks at everything; `document` is the agent's word. Blocks as long as `nginx -t` takes.
pub(super) fn look(config: &Config, document: Option<&Document>) -> Nginx {
    let files = config.upstreams.iter().filter_map(|upstream| upstream.file.as_ref());
    let told = |name: &str| document?.upstreams.iter().find(|upstream| upstream.name == name);
    let outputs = files.map(|UpstreamFile { block, output }| Output {
        upstream: block.name.to_string(),
        path: output.clone(),
        form: block.form,
        context: block.context,
        exists: output.exists(),
        keepalive: block.keepalive > 0,
        zone: block.zone,
        servers: told(block.name.as_str()).map_or(0, |upstream| upstream.servers.len()),
    });
    let options = &config.nginx;
    let mut facts = Nginx { outputs: outputs.collect(), config: options.config.clone(), ..Nginx::default() };
    facts.templates = !config.templates.is_empty();
    facts.unheard = unheard(config).filter(|_| facts.templates || !facts.outputs.is_empty());
    if facts.outputs.is_empty() {
        return facts;
    }
    if Path::new("/run/systemd/system").exists() {
        facts.unit.clone_from(&options.unit);
    }
    survey(&mut facts, config);
    (facts.tree, facts.unread) = apply::read_tree(&options.config);
    facts.selinux_denies = selinux_denies();
    facts.cannot_cut = wants_cuts(config) && apply::kernel_cannot_cut();
    facts
}

fn wants_cuts(config: &Config) -> bool {
    let wants = |upstream: &Upstream| upstream.file.is_some() && upstream.options.policy.on_dead == OnDead::Retry;
    config.upstreams.iter().any(wants)
}

/// Where the side that applies should listen, if nothing is there. To ask it would start it.
fn unheard(config: &Config) -> Option<PathBuf> {
    let socket = match config.apply.mode {
        ApplyMode::Helper => &config.apply.socket,
        ApplyMode::Direct => return None,
    };
    let is_there = fs::metadata(socket).is_ok_and(|file| file.file_type().is_socket());
    (!is_there).then(|| socket.clone())
}

fn survey(facts: &mut Nginx, config: &Config) {
    let survey = apply::survey(&config.into(), rustix::process::geteuid().is_root());
    facts.master = match survey.master {
        Ok(Some((pid, leaving))) => Some(Master::Running { pid, leaving }),
        Ok(None) => Some(Master::Stopped),
        Err(error) => Some(Master::Odd(trouble(&error))),
    };
    match survey.version {
        Ok(version) => facts.version = version.as_deref().and_then(Version::parse),
        Err(error @ Error::NotInstalled { .. }) => facts.missing = Some(trouble(&error)),
        Err(error) => facts.master = Some(Master::Odd(trouble(&error))),
    }
    facts.features = survey.features;
    facts.no_stream = survey.no_stream.as_ref().map(trouble);
    facts.test = survey.test.map(|test| test.map_err(refused));
}

fn refused(error: Error) -> Refused {
    let missing = if let Error::Test { problem } = &error { problem.missing() } else { None };
    Refused { trouble: trouble(&error), missing }
}

fn trouble(error: &Error) -> Trouble {
    error.told(RunBy::this_process())
}

/// SELinux enforces, and the switch that lets web servers connect is off.
fn selinux_denies() -> bool {
    let read = |name: &str| fs::read_to_string(format!("/sys/fs/selinux/{name}")).unwrap_or_default();
    let is_off = |name: &str| read(name).trim_start().starts_with('0');
    read("enforce").trim() == "1"
        && is_off("booleans/httpd_can_network_connect")
        && is_off("booleans/httpd_can_network_relay")
}
