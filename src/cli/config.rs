//! `weir config`: look at a configuration without an agent.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agent::{Paths, configuration};
use super::connect::SOCKET;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::unit;
use crate::agent::authorities;
use crate::config::show::{self, Show};
use crate::config::{self, ConfigErrors, Loaded, Overrides, Source, Sources};
use crate::status::doctor;

/// What the packaged agent reads.
pub(crate) const DEFAULT: &str = "/etc/weir/weir.toml";

/// Check, show or convert configurations.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List all mistakes, each with its place and the way out
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Print the effective values
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// Leave out what is at its default
        #[arg(long)]
        changed: bool,
        #[command(flatten)]
        files: Files,
    },
    /// Print the JSON Schema of the file
    Schema,
    /// Print a file with every key at its default
    Example,
    /// Print one of Serf's JSON files as TOML
    Convert {
        /// The JSON file
        file: PathBuf,
    },
}

/// Which configuration: /etc/weir/weir.toml unless named.
#[derive(Debug, clap::Args)]
struct Files {
    /// Files to read instead of /etc/weir/weir.toml
    #[arg(value_name = "FILE", conflicts_with_all = ["config-file", "config-dir"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    paths: Paths,
}

impl Files {
    fn sources(&self) -> Sources {
        let mut paths = self.paths.0.clone();
        paths.extend(self.files.iter().cloned().map(Source::File));
        let mut sources = Sources::here(paths, Overrides::default(), false);
        if sources.paths.is_empty() {
            sources.paths.push(Source::File(DEFAULT.into()));
        }
        sources
    }
}

impl Config {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.action {
            Action::Check { files } => check(&files.sources(), output),
            Action::Show { origin, changed, files } => {
                show(Show { origin: *origin, changed: *changed }, &files.sources(), output)
            }
            Action::Schema => output.json(&config::schema()).map(|()| Exit::Done),
            Action::Example => output.text(show::example()).map(|()| Exit::Done),
            Action::Convert { file } => convert(file, output),
        }
    }
}

/// What the unit reads must agree with it. Blocks on systemd.
fn agrees_with_unit(loaded: Loaded) -> Result<Loaded, ConfigErrors> {
    if !loaded.files.iter().any(|file| file == Path::new(DEFAULT)) {
        return Ok(loaded);
    }
    match leave(&loaded.config, unit::stop_timeout()).cut_short() {
        Some(trouble) => Err(loaded.mistaken("leave", "timeout", trouble)),
        None => Ok(loaded),
    }
}

/// How a leave is configured, where systemd waits so long for it.
pub(crate) fn leave(config: &config::Config, unit: Option<Duration>) -> doctor::Leave {
    let config::Leave { on_terminate, drain_time, timeout, .. } = config.leave;
    doctor::Leave { on_stop: on_terminate, drain_time, timeout, unit }
}

/// The mistakes are the answer, so with `--format json` they are on standard output also when there are some.
pub(crate) fn check(sources: &Sources, output: &Output) -> Result<Exit, Failure> {
    let result = config::load(sources).and_then(authorities::examined).and_then(agrees_with_unit);
    if output.is_json() {
        output.json(&show::check_json(&result))?;
    }
    let loaded = result.map_err(|errors| mistaken(&errors, output))?;
    for notice in &loaded.notices {
        output.notice(&format!("notice: {notice}"));
    }
    if !output.is_json() {
        output.text(&show::check(&loaded))?;
    }
    Ok(Exit::Done)
}

fn show(how: Show, sources: &Sources, output: &Output) -> Result<Exit, Failure> {
    let loaded = config::load(sources).map_err(|errors| mistaken(&errors, output))?;
    if output.is_json() {
        output.json(&how.json(&loaded.config))?;
    } else {
        output.text(&how.text(&loaded.config))?;
    }
    Ok(Exit::Done)
}

fn convert(file: &Path, output: &Output) -> Result<Exit, Failure> {
    let text =
        crate::file::read_any(file, config::MAX_BYTES).and_then(|bytes| Ok(crate::file::utf8(&bytes)?.to_owned()));
    let text = text.map_err(|error| Failure::of_file("read", file, &error))?;
    let converted = config::convert(&file.display().to_string(), &text).map_err(|errors| mistaken(&errors, output))?;
    for notice in &converted.notices {
        output.notice(&format!("notice: {notice}"));
    }
    if output.is_json() {
        output.json(&serde_json::json!({ "toml": converted.toml }))?;
    } else {
        output.text(&converted.toml)?;
    }
    Ok(Exit::Done)
}

/// What a command makes of a configuration that it cannot use. A file that may not be read is not wrong.
pub(crate) fn unusable(errors: &ConfigErrors, output: &Output) -> Failure {
    match errors.denied() {
        Some(path) => Failure::new(Exit::NotPermitted, format!("not permitted to read {path}")).with_remedy("use sudo"),
        None => configuration(errors, output),
    }
}

/// As [`unusable`]. A check beside a running agent is harmless, and says so.
fn mistaken(errors: &ConfigErrors, output: &Output) -> Failure {
    let failure = unusable(errors, output);
    if failure.exit() == Exit::Configuration && UnixStream::connect(SOCKET).is_ok() {
        return failure.with_remedy("the running agent keeps its configuration");
    }
    failure
}
