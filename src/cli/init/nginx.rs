//! NGINX as it is found on this host, and what answers on port 80.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::site::{self, Own, Page, Port80, Seen};
use crate::apply::{self, Options, RunBy};
use crate::command;
use crate::config::Config;
use crate::error::Trouble;
use crate::nginx::{Context, Directive, Feature, Server, include_pattern, includes, servers_at, walk};
use crate::upstream::UpstreamName;

/// Package managers answer from their databases.
const PATIENCE: Duration = Duration::from_secs(20);
/// The sites that NGINX reads by links, on Debian.
const ENABLED: &str = "sites-enabled";

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Nginx {
    pub(super) state: State,
    pub(super) version: Option<String>,
    /// The pattern by which it reads the upstream's file: `/etc/nginx/conf.d/*.conf`.
    pub(super) reads: Option<String>,
    pub(super) port80: Port80,
    pub(super) min_timeout: bool,
    pub(super) ipv6: bool,
    /// By which systemd starts it.
    pub(super) unit: String,
}

/// Whether it serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum State {
    Missing,
    Stopped,
    Running,
    /// There is something that is not ours to touch: why.
    Odd(Trouble),
}

impl Nginx {
    /// Looks at the NGINX of `config`, where the upstream's file is, or will be, `output`.
    pub(super) fn look(config: &Config, output: &Path) -> Self {
        let options: Options = config.into();
        let survey = apply::survey(&options, false);
        let told = |error: &apply::Error| error.told(RunBy::this_process());
        let state = match (&survey.version, &survey.master) {
            (Err(apply::Error::NotInstalled { .. }), _) => State::Missing,
            (Err(error), _) | (_, Err(error)) => State::Odd(told(error)),
            (Ok(_), Ok(None)) => State::Stopped,
            (Ok(_), Ok(Some(_))) => State::Running,
        };
        let main = &config.nginx.config;
        let (tree, _unread) = apply::read_tree(main);
        let (servers, ours) = (servers_at(&tree, 80), site::path(output));
        let seen: Vec<Seen> = servers.iter().map(|server| seen(server, &servers, main, &ours)).collect();
        let mut port80 = Port80::of(&seen);
        if state != State::Running
            && let Some(program) = other_program()
        {
            port80 = Port80::Program(program);
        }
        Self {
            version: survey.version.ok().flatten(),
            reads: reads(&tree, main, output),
            port80,
            min_timeout: survey.features.contains(&Feature::KeepaliveMinTimeout),
            ipv6: fs::read_to_string("/proc/net/if_inet6").is_ok_and(|list| !list.is_empty()),
            unit: config.nginx.unit.clone(),
            state,
        }
    }
}

/// The include in `http { }` that names `output`.
fn reads(tree: &[Directive], main: &Path, output: &Path) -> Option<String> {
    let mut found = None;
    walk(tree, &mut |directive, within| {
        if !directive.is_include() || !Context::Http.is_around(within) {
            return;
        }
        let pattern = directive.arguments.first().map(|argument| include_pattern(argument, main));
        found = found.take().or(pattern.filter(|pattern| includes(pattern, output)));
    });
    found.map(|pattern| pattern.display().to_string())
}

/// weir's own site on port 80 and the upstream that it passes requests to, where that is one of weir's: what a balancer has.
pub(super) fn balancers_site(config: &Config) -> Option<(PathBuf, UpstreamName)> {
    let (tree, _unread) = apply::read_tree(&config.nginx.config);
    let servers = servers_at(&tree, 80);
    let path = servers.iter().map(|server| &*server.directive.file).find(|file| site::path(file) == **file)?;
    let is_kept = |name: &UpstreamName| path.with_file_name(format!("weir-{name}.conf")).exists();
    own(path, &servers).passes.into_iter().find(is_kept).map(|upstream| (path.to_owned(), upstream))
}

fn own(path: &Path, servers: &[Server<'_>]) -> Own {
    let within: Vec<&Server<'_>> = servers.iter().filter(|server| *server.directive.file == *path).collect();
    Own::of(fs::read_to_string(path).unwrap_or_default(), &within)
}

fn seen(server: &Server<'_>, all: &[Server<'_>], main: &Path, ours: &Path) -> Seen {
    let file = &*server.directive.file;
    let shown = main.parent().and_then(|directory| file.strip_prefix(directory).ok()).unwrap_or(file);
    Seen {
        place: format!("{}:{}", shown.display(), server.directive.line),
        addresses: server.addresses.iter().map(|address| (*address).to_owned()).collect(),
        is_default: server.is_default,
        page: if file == ours { Page::Ours(own(file, all)) } else { page(server, file, main) },
    }
}

fn page(server: &Server<'_>, file: &Path, main: &Path) -> Page {
    let shows_only = |page: &[&str]| site::root(server).is_some_and(|root| !holds_more_than(&root, page));
    let named = |name: &str| file.file_name().is_some_and(|file| file == name);
    let in_directory = |name: &str| file.parent().and_then(Path::file_name).is_some_and(|directory| directory == name);
    if named("default") && in_directory(ENABLED) && file.is_symlink() {
        // What it leads to is the package's file.
        let untouched =
            file.canonicalize().is_ok_and(|target| is_as_packaged(&target)) && shows_only(&site::DEBIAN_PAGE);
        return Page::Distribution { link: Some(file.to_owned()), untouched };
    }
    let is_shipped_place = file == main || named("default.conf") && in_directory(Context::Http.directory());
    if is_shipped_place && site::is_built_in(server) && shows_only(&site::BUILT_IN_PAGE) {
        return Page::Distribution { link: None, untouched: true };
    }
    Page::Somebodys
}

fn holds_more_than(root: &Path, page: &[&str]) -> bool {
    let Ok(entries) = fs::read_dir(root) else { return false };
    let names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    site::is_more_than(names.iter().map(String::as_str), page)
}

/// Whether a configuration file is the one that came with its package, by the checksum that dpkg has of it.
fn is_as_packaged(file: &Path) -> bool {
    let Some(path) = file.to_str() else { return false };
    // `nginx-common: /etc/nginx/sites-available/default`
    let Some(package) = said("dpkg-query", &["--search", path]).and_then(|line| owner(&line)) else { return false };
    let Some(known) = said("dpkg-query", &["--show", "--showformat=${Conffiles}\\n", &package]) else { return false };
    let Some(sum) = said("md5sum", &["--", path]) else { return false };
    is_conffile(&known, path, sum.split_ascii_whitespace().next().unwrap_or_default())
}

fn owner(line: &str) -> Option<String> {
    let (packages, _) = line.lines().find(|line| !line.starts_with("diversion "))?.split_once(": ")?;
    packages.split(", ").next().map(ToOwned::to_owned)
}

/// Lines of ` PATH MD5`, perhaps followed by a word.
fn is_conffile(known: &str, path: &str, sum: &str) -> bool {
    known.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(path) && words.next() == Some(sum)
    })
}

/// Who listens on port 80, where NGINX does not run.
fn other_program() -> Option<String> {
    let (name, pid) = crate::agent::check::who_listens(80)?;
    Some(format!("{name} (pid {pid})"))
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = command::clean(&PathBuf::from(program));
    command.args(arguments);
    command::run(command, PATIENCE, "").ok().filter(|ran| ran.success).map(|ran| ran.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::parse;

    #[test]
    fn the_include_that_reads_the_upstreams_file_is_found() {
        let main = Path::new("/etc/nginx/nginx.conf");
        let output = Path::new("/etc/nginx/conf.d/weir-web.conf");
        let of = |text: &str| reads(&parse(main, text).unwrap(), main, output);
        let debian = "include modules-enabled/*.conf; http { include mime.types; include /etc/nginx/conf.d/*.conf; }";
        assert_eq!(of(debian).as_deref(), Some("/etc/nginx/conf.d/*.conf"));
        assert_eq!(of("http { include conf.d/*.conf; }").as_deref(), Some("/etc/nginx/conf.d/*.conf"));
        assert_eq!(of("http { include sites-enabled/*; } stream { include conf.d/*.conf; }"), None);
    }

    #[test]
    fn a_conffile_is_untouched_by_dpkgs_own_checksum() {
        let known = "\n /etc/nginx/sites-available/default 9380acd3\n /etc/nginx/old 1234 obsolete\n";
        assert!(is_conffile(known, "/etc/nginx/sites-available/default", "9380acd3"));
        assert!(!is_conffile(known, "/etc/nginx/sites-available/default", "9380acd4"));
        assert!(!is_conffile(known, "/etc/nginx/sites-available", "9380acd3"));
        assert_eq!(owner("nginx-common: /etc/nginx/x\n").as_deref(), Some("nginx-common"));
        assert_eq!(owner("diversion by a from: /b\nc, d: /b\n").as_deref(), Some("c"));
    }
}
