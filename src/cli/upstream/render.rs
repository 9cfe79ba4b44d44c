//! `weir upstream render`: the file that weir writes, before it does or without an agent.

use serde::Serialize;

use super::super::agent::Paths;
use super::super::config::{DEFAULT, unusable};
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::AgentArgs;
use crate::apply::{self, Apply, Error, Preview, RunBy, Tried};
use crate::config::{self, Config, Loaded, Overrides, Source, Sources};
use crate::error::Trouble;
use crate::rpc::weir::{UpstreamWanted, no_upstream};
use crate::upstream::UpstreamName;
use crate::upstream::desired::{Desired, Target};

/// Print the file of an upstream, or of all, as the agent wants it; without an agent, as it is in place.
#[derive(Debug, clap::Args)]
pub(crate) struct Render {
    /// Only this upstream
    #[arg(value_name = "NAME")]
    upstream: Option<String>,
    /// Have NGINX test its whole configuration with it, too; what serves is not touched
    #[arg(long)]
    candidate: bool,
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    agent: AgentArgs,
}

/// The document of `--format json`.
#[derive(Debug, Serialize)]
struct Files {
    files: Vec<File>,
    /// NGINX takes them; `None` if it was not asked.
    passed: Option<bool>,
}

#[derive(Debug, Serialize)]
struct File {
    upstream: String,
    path: String,
    text: String,
}

impl From<Preview> for File {
    fn from(Preview { upstream, path, text }: Preview) -> Self {
        Self { upstream: upstream.into(), path: path.display().to_string(), text }
    }
}

impl Render {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut sources = Sources::here(self.paths.0.clone(), Overrides::default(), false);
        if sources.paths.is_empty() {
            sources.paths.push(Source::File(DEFAULT.into()));
        }
        let loaded = config::load(&sources).map_err(|errors| unusable(&errors, output))?;
        let config = &loaded.config;
        let mut desired = match self.wanted(&loaded, output).await {
            Ok(desired) => desired,
            Err(why) => {
                let desired = in_place(config)?;
                output.notice(&format!("notice: {why}; this is what is in place"));
                desired
            }
        };
        desired.upstreams.retain(|name, _| config.upstreams.iter().any(|upstream| upstream.options.name == *name));
        if let Some(name) = &self.upstream {
            self.only(name, config, &mut desired)?;
        }
        let apply = Apply::new(config.into());
        let files = apply.preview(&desired).map_err(|error| failure(&error))?;
        if files.is_empty() {
            return Err(Failure::new(Exit::Failed, "no upstream with a file is configured"));
        }
        // Shown first: NGINX's complaint is about what stands there.
        if !output.is_json() {
            output.text(&text(&files))?;
        }
        let passed = self.candidate.then(|| test(&apply, &desired)).transpose()?;
        if output.is_json() {
            let files = files.into_iter().map(File::from).collect();
            output.json(&Files { files, passed: passed.map(|()| true) })?;
        } else if passed.is_some() {
            output.notice("nginx takes it");
        }
        Ok(Exit::Done)
    }

    /// What the agent of this configuration wants, or why that is not known.
    async fn wanted(&self, loaded: &Loaded, output: &Output) -> Result<Desired, String> {
        let session = Session::connect(&self.agent.or_as_configured(Some(loaded)), output).await;
        let mut session = session.map_err(|failed| failed.failure.message().to_owned())?;
        let wanted =
            session.weir(&UpstreamWanted {}).await.map_err(|error| Failure::from(error).message().to_owned())?;
        let desired = wanted.desired.ok_or("the agent has decided nothing yet")?;
        Desired::from_json(desired.as_bytes())
            .map_err(|error| format!("what the agent wants is not understood: {error}"))
    }

    fn only(&self, name: &str, config: &Config, desired: &mut Desired) -> Result<(), Failure> {
        let names = config.upstreams.iter().map(|upstream| upstream.options.name.as_str());
        let Some(upstream) = config.upstreams.iter().find(|upstream| upstream.options.name.as_str() == name) else {
            return Err(no_upstream(name, names).into());
        };
        if upstream.file.is_none() {
            return Err(Failure::new(Exit::Failed, format!("upstream {name} has no file"))
                .with_remedy(format!("set upstream.{name}.nginx.form = \"block\"")));
        }
        desired.upstreams.retain(|known, _| known.as_str() == name);
        Ok(())
    }
}

/// What is in place, and for upstreams of which nothing is, the line that answers 502.
fn in_place(config: &Config) -> Result<Desired, Failure> {
    let live = apply::live(&config.apply.state).map_err(|error| failure(&error))?;
    let mut desired = live.map_or_else(|| Desired::new(Desired::order_of(&config.node.name)), |(_, desired)| desired);
    for upstream in &config.upstreams {
        let name: &UpstreamName = &upstream.options.name;
        desired.upstreams.entry(name.clone()).or_insert(Target::Placeholder);
    }
    Ok(desired)
}

fn test(apply: &Apply, desired: &Desired) -> Result<(), Failure> {
    match apply.try_out(desired).map_err(|error| failure(&error))? {
        Tried::Passed => Ok(()),
        Tried::Untested(hindrance) => {
            Err(Failure::new(Exit::Failed, format!("it cannot be tested without putting it in place: {hindrance}"))
                .with_remedy("use sudo, on a host that permits mount namespaces"))
        }
    }
}

fn failure(error: &Error) -> Failure {
    let by = RunBy::this_process();
    let Trouble { what, way_out } = error.told(by);
    // Whatever the agent runs as: this is no agent.
    if by == RunBy::User && error.is_denied() {
        return Failure::new(Exit::NotPermitted, what).with_remedy("this is root's alone, use sudo");
    }
    let failure = Failure::new(Exit::Failed, what);
    if way_out.is_empty() { failure } else { failure.with_remedy(way_out) }
}

/// One after the other, each with its name if there are several.
fn text(files: &[Preview]) -> String {
    match files {
        [one] => one.text.clone(),
        all => {
            all.iter().map(|file| format!("# {}\n{}", file.path.display(), file.text)).collect::<Vec<_>>().join("\n")
        }
    }
}
