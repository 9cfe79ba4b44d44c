//! What NGINX is and does with our upstreams (docs/nginx.md; `ux §4` rows 15 to 17 and 20).

mod limits;
mod sites;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::Trouble;
use super::finding::Findings;
use crate::nginx::{
    Context, Directive, Feature, Form, MAX_NESTING, Missing, Unread, Version, Why, Zone, in_block, include_pattern,
    includes, walk,
};

/// More sets of old workers than this hold memory and connections for long.
const MANY_OLD_WORKERS: usize = 4;

/// The file of one upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    pub upstream: String,
    pub path: PathBuf,
    pub form: Form,
    /// `upstream.NAME.nginx.context`.
    pub context: Context,
    /// It is there.
    pub exists: bool,
    /// `upstream.NAME.nginx.keepalive`.
    pub keepalive: bool,
    /// `upstream.NAME.nginx.zone`.
    pub zone: Option<Zone>,
    /// How many the agent wants in it; 0 if it does not say.
    pub servers: usize,
}

/// Its master process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Master {
    /// With its sets of old workers.
    Running {
        pid: u32,
        leaving: usize,
    },
    Stopped,
    /// There is something, and it is not our master: why.
    Odd(Trouble),
}

/// Why `nginx -t` refuses it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    pub trouble: Trouble,
    /// What it looks for in vain.
    pub missing: Option<Missing>,
}

/// Facts about it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Nginx {
    /// Where the side that applies should listen, and does not.
    pub unheard: Option<PathBuf>,
    /// Without any, NGINX is none of our business.
    pub outputs: Vec<Output>,
    /// There are files of templates, which whoever applies puts in place, too.
    pub templates: bool,
    pub config: PathBuf,
    /// There is no program.
    pub missing: Option<Trouble>,
    /// What `nginx -V` says; `None` where it says something else.
    pub version: Option<Version>,
    /// What it was found to have.
    pub features: Vec<Feature>,
    /// Upstreams of `stream { }` have no place in it: why.
    pub no_stream: Option<Trouble>,
    /// What systemd starts it by; empty where that is not known.
    pub unit: String,
    pub master: Option<Master>,
    /// The whole configuration, includes followed.
    pub tree: Vec<Directive>,
    /// What of it could not be looked at.
    pub unread: Vec<Unread>,
    /// What `nginx -t` says; `None` if it was not run.
    pub test: Option<Result<(), Refused>>,
    /// SELinux keeps NGINX from connecting to servers.
    pub selinux_denies: bool,
    /// Requests that wait on a dead server should be set free, and the kernel cannot end connections.
    pub cannot_cut: bool,
}

/// Judges it.
pub fn nginx(facts: &Nginx) -> Findings {
    let mut findings = Findings::default();
    if facts.outputs.is_empty() {
        judge_unheard(&mut findings, facts);
        return findings;
    }
    if let Some(Trouble { what, way_out }) = &facts.missing {
        findings.error("nginx.installed", "nginx", what, way_out);
        return findings;
    }
    findings.pass("nginx.installed", "");
    judge_master(&mut findings, facts);
    judge_test(&mut findings, facts);
    if let Some(Trouble { what, way_out }) = &facts.no_stream {
        findings.error("nginx.stream", "nginx", what, way_out);
    } else if facts.outputs.iter().any(|output| output.context == Context::Stream) {
        findings.pass("nginx.stream", "");
    }
    for unread in &facts.unread {
        judge_unread(&mut findings, unread);
    }
    if facts.selinux_denies {
        let message = "SELinux lets NGINX connect to no server of an upstream";
        findings.error("nginx.selinux", "nginx", message, "setsebool -P httpd_can_network_connect on");
    }
    if facts.cannot_cut {
        let message =
            "requests that wait on a dead server go on waiting: this kernel cannot end connections (INET_DIAG_DESTROY)";
        findings.warn("nginx.cut", "nginx", message, "keep the site's proxy_read_timeout short, or run another kernel");
    }
    judge_unheard(&mut findings, facts);
    // A tree that is known in part must not be blamed for what may be in the rest.
    if facts.unread.is_empty() && !facts.tree.is_empty() {
        for output in &facts.outputs {
            judge_include(&mut findings, facts, output);
            judge_duplicate(&mut findings, facts, output);
            limits::judge(&mut findings, facts, output);
        }
    }
    match facts.version {
        Some(version) => judge_main(&mut findings, facts, version),
        None => findings.skip(
            "nginx.version",
            "nginx",
            "which NGINX this is could not be read: what depends on its version was not checked",
            "see 'nginx -V'",
        ),
    }
    sites::judge(&mut findings, facts);
    findings
}

fn judge_unheard(findings: &mut Findings, facts: &Nginx) {
    let Some(socket) = &facts.unheard else { return };
    let waits = match (facts.outputs.is_empty(), facts.templates) {
        (false, false) => "no upstream reaches NGINX",
        (false, true) => "no upstream reaches NGINX and no template is followed",
        (true, _) => "no template is followed",
    };
    let message = format!("nothing listens on {}, so {waits}", socket.display());
    findings.error("nginx.helper", "weir apply", message, "systemctl restart weir-apply.socket");
}

fn judge_master(findings: &mut Findings, facts: &Nginx) {
    const ID: &str = "nginx.running";
    match &facts.master {
        Some(Master::Running { leaving, .. }) => {
            findings.pass(ID, "");
            if *leaving > MANY_OLD_WORKERS {
                let message = format!(
                    "{leaving} sets of old worker processes are still shutting down, each with its connections and memory"
                );
                findings.warn("nginx.workers", "nginx", message, &limit_old_workers(facts));
            } else {
                findings.pass("nginx.workers", "");
            }
        }
        Some(Master::Stopped) => {
            let (unit, way_out) = match facts.unit.as_str() {
                "" => ("nginx", "start nginx".to_owned()),
                unit => (unit, format!("systemctl start {}", unit.trim_end_matches(".service"))),
            };
            findings.error(ID, "nginx", format!("{unit} is not running"), &way_out);
        }
        Some(Master::Odd(why)) => {
            findings.warn(ID, "nginx", &why.what, &why.way_out);
        }
        None => {}
    }
}

fn judge_test(findings: &mut Findings, facts: &Nginx) {
    const ID: &str = "nginx.test";
    match &facts.test {
        Some(Ok(())) => findings.pass(ID, ""),
        Some(Err(Refused { trouble, missing })) => match missing.as_ref().and_then(|missing| awaited(facts, missing)) {
            Some(output) => {
                let message = format!("nginx waits for {}, which weir has not written yet", output.path.display());
                findings.warn(ID, "nginx", message, "systemctl start weir");
            }
            None => {
                let Trouble { what, way_out } = trouble;
                findings.error(ID, "nginx", what, if way_out.is_empty() { "mend that file" } else { way_out });
            }
        },
        None => findings.skip(ID, "nginx", "'nginx -t' was not run: it needs root", "sudo weir doctor"),
    }
}

/// The file of ours that would bring what is missing.
fn awaited<'a>(facts: &'a Nginx, missing: &Missing) -> Option<&'a Output> {
    let brings = |output: &&Output| match missing {
        Missing::File(path) => output.path == *path,
        Missing::Upstream(name) => output.form == Form::Block && output.upstream == *name,
    };
    facts.outputs.iter().filter(|output| !output.exists).find(brings)
}

fn judge_unread(findings: &mut Findings, Unread { path, why }: &Unread) {
    let path = path.display();
    let (what, way_out) = match why {
        Why::Denied => (format!("{path} may not be read by this user"), "sudo weir doctor"),
        Why::Unusable(words) => (format!("{path} cannot be read ({words})"), "correct that file"),
        Why::TooDeep { line } => {
            (format!("{path}:{line}: more than {MAX_NESTING} blocks within each other"), "correct that file")
        }
    };
    findings.skip("nginx.config", path, format!("{what}: what it holds was not looked at"), way_out);
}

/// Whether NGINX reads what we write, and in the right place.
fn judge_include(findings: &mut Findings, facts: &Nginx, output: &Output) {
    const ID: &str = "nginx.include";
    let context = output.context;
    let (wanted, path) =
        (if output.form == Form::Block { context.as_str() } else { "upstream" }, output.path.display());
    let mut places = Vec::new();
    walk(&facts.tree, &mut |directive, within| {
        let names = |argument: &String| includes(&include_pattern(argument, &facts.config), &output.path);
        if directive.is_include() && directive.arguments.iter().any(names) {
            places.push(within.last().map_or("main", |block| block.name.as_str()));
        }
    });
    if places.contains(&wanted) {
        return findings.pass(ID, path.to_string());
    }
    let config = facts.config.display();
    let directory = output.path.parent().unwrap_or(Path::new("/")).display();
    let (message, way_out) = match (places.first(), output.form) {
        (None, Form::Block) if facts.tree.iter().any(|block| block.name == context.as_str()) => (
            format!("nothing in {config} includes {path}"),
            format!("add 'include {directory}/*.conf;' inside {context} {{ }}"),
        ),
        (None, Form::Block) => (
            format!("nothing in {config} includes {path}"),
            format!("add '{context} {{ include {directory}/*.conf; }}' to {config}"),
        ),
        (None, Form::Servers) => (
            format!("no upstream block in {config} includes {path}"),
            format!("add 'include {path};' inside your upstream block"),
        ),
        (Some(place), _) => (
            format!("{path} is included in {place} {{ }} and belongs in {wanted} {{ }}"),
            "move the include".to_owned(),
        ),
    };
    findings.error(ID, path, message, &way_out);
}

/// Whether somebody else defines the same upstream.
fn judge_duplicate(findings: &mut Findings, facts: &Nginx, output: &Output) {
    const ID: &str = "nginx.duplicate";
    let name = &output.upstream;
    let mut theirs = None;
    walk(&facts.tree, &mut |directive, within| {
        let same = directive.name == "upstream" && directive.arguments.first() == Some(name);
        if same && *directive.file != *output.path && output.context.is_around(within) {
            theirs = Some(place(directive, facts));
        }
    });
    match theirs.filter(|_| output.form == Form::Block) {
        Some(theirs) => {
            let ours = shown(&output.path, facts);
            let message = format!("upstream \"{name}\" is defined twice: {ours} and {theirs}");
            findings.error(ID, name, message, "remove yours, or use form = \"servers\" inside it");
        }
        None => findings.pass(ID, name),
    }
}

/// What concerns the main file: how reloads treat old workers and idle clients.
fn judge_main(findings: &mut Findings, facts: &Nginx, version: Version) {
    if facts.tree.is_empty() {
        return;
    }
    const SHUTDOWN: &str = "nginx.shutdown";
    if version < Version::new(1, 11, 11) {
        let message = "this NGINX has no worker_shutdown_timeout (1.11.11): after a reload an old worker lives as long as one connection";
        findings.info(SHUTDOWN, "nginx", message, "");
    } else if in_block(&facts.tree, "worker_shutdown_timeout").is_none() {
        let message =
            "worker_shutdown_timeout is not set: after a reload an old worker lives as long as one connection";
        findings.warn(SHUTDOWN, "nginx", message, &limit_old_workers(facts));
    } else {
        findings.pass(SHUTDOWN, "");
    }
    judge_idle_clients(findings, facts);
}

/// Streams have none.
fn judge_idle_clients(findings: &mut Findings, facts: &Nginx) {
    if facts.outputs.iter().all(|output| output.context == Context::Stream) {
        return;
    }
    const KEEPALIVE: &str = "nginx.keepalive";
    let cost = "a reload can cut off a client that reuses an idle connection in that instant";
    let is_set = || {
        let mut set = false;
        walk(&facts.tree, &mut |directive, _| set |= directive.name == "keepalive_min_timeout");
        set
    };
    if !facts.features.contains(&Feature::KeepaliveMinTimeout) {
        let message = format!("this NGINX has no keepalive_min_timeout (1.27.4): {cost}");
        findings.info(KEEPALIVE, "nginx", message, "");
    } else if is_set() {
        findings.pass(KEEPALIVE, "");
    } else {
        let message = format!("keepalive_min_timeout is not set: {cost}");
        findings.warn(KEEPALIVE, "nginx", message, "add 'keepalive_min_timeout 1s;' inside http { }");
    }
}

fn limit_old_workers(facts: &Nginx) -> String {
    format!("add 'worker_shutdown_timeout 5m;' at the top of {}", facts.config.display())
}

/// `sites-enabled/shop:12`.
fn place(directive: &Directive, facts: &Nginx) -> String {
    format!("{}:{}", shown(&directive.file, facts), directive.line)
}

/// A path as seen from the directory of the main file, if it is below that.
fn shown(path: &Path, facts: &Nginx) -> String {
    let below = facts.config.parent().and_then(|directory| path.strip_prefix(directory).ok());
    below.unwrap_or(path).display().to_string()
}
