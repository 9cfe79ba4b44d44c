//! What an NGINX installation says about itself.

use std::path::{Path, PathBuf};

use super::tree::{Directive, all_in_block, in_block};

/// What `nginx -V` says that matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// Like `1.22.1`; `None` where it goes by another name.
    pub version: Option<String>,
    /// Relative paths in the configuration start here.
    pub prefix: PathBuf,
    /// Where the master writes its number unless the configuration says otherwise.
    pub pid_path: PathBuf,
    /// Where it logs unless the configuration says otherwise.
    pub error_log: PathBuf,
    /// The configuration that it reads unless it is told another.
    pub config: PathBuf,
    /// Whether it can have `stream { }`.
    pub stream: StreamModule,
    /// `NAME_temp_path` is a directory that it makes for whatever configuration has `http { }`.
    pub temp_paths: Vec<&'static str>,
}

/// A version, to compare.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(u32, u32, u32);

impl Version {
    /// 1.22.1 is `new(1, 22, 1)`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self(major, minor, patch)
    }

    /// Three numbers, `1.22.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        Some(Self(next()?, next()?, next()?))
    }
}

/// The module that knows `stream { }`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StreamModule {
    /// Part of the program.
    BuiltIn,
    /// A file of this path, for the configuration to load.
    Loadable(PathBuf),
    /// Not made with the program.
    Absent,
}

/// The file of a loadable [`StreamModule`].
const STREAM_MODULE: &str = "ngx_stream_module.so";

impl Build {
    /// Reads what `nginx -V` wrote to stderr. What is not said is as in NGINX's own defaults.
    pub fn parse(output: &str) -> Self {
        let argument = |name: &str| {
            let mut words = output.split_whitespace();
            words
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .map(|value| PathBuf::from(value.trim_matches('\'')))
        };
        let version = output.split_once("nginx/").and_then(|(_, rest)| rest.split_whitespace().next());
        let prefix = argument("--prefix").unwrap_or_else(|| PathBuf::from("/usr/local/nginx"));
        let has = |argument: &str| output.split_whitespace().any(|word| word == argument);
        let under = |name: &str, default: &str| prefix.join(argument(name).unwrap_or_else(|| default.into()));
        Self {
            version: version.map(ToOwned::to_owned),
            pid_path: under("--pid-path", "logs/nginx.pid"),
            error_log: under("--error-log-path", "logs/error.log"),
            config: under("--conf-path", "conf/nginx.conf"),
            stream: if has("--with-stream") {
                StreamModule::BuiltIn
            } else if has("--with-stream=dynamic") {
                StreamModule::Loadable(under("--modules-path", "modules").join(STREAM_MODULE))
            } else {
                StreamModule::Absent
            },
            temp_paths: ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .into_iter()
                .filter(|name| !has(&format!("--without-http_{name}_module")))
                .collect(),
            prefix,
        }
    }

    /// Its version, where it goes by numbers of NGINX's.
    pub fn number(&self) -> Option<Version> {
        Version::parse(self.version.as_deref()?)
    }

    /// Whether that configuration can have `stream { }`.
    pub fn has_stream(&self, tree: &[Directive]) -> bool {
        let is_loaded = |module: &Directive| {
            module.arguments.first().is_some_and(|path| Path::new(path).file_name() == Some(STREAM_MODULE.as_ref()))
        };
        match self.stream {
            StreamModule::BuiltIn => true,
            // One that was made apart from the program can be loaded, too.
            StreamModule::Loadable(_) | StreamModule::Absent => {
                all_in_block(tree, "load_module").into_iter().any(is_loaded)
            }
        }
    }

    /// The pid file by the configuration.
    pub fn pid_file(&self, tree: &[Directive]) -> PathBuf {
        let named = in_block(tree, "pid").and_then(|pid| pid.arguments.first());
        named.map_or_else(|| self.pid_path.clone(), |path| self.prefix.join(path))
    }

    /// The error logs that are files, by the configuration; never none.
    pub fn error_logs(&self, tree: &[Directive]) -> Vec<PathBuf> {
        let is_file =
            |target: &&String| *target != "stderr" && !target.starts_with("syslog:") && !target.starts_with("memory:");
        let named = all_in_block(tree, "error_log").into_iter().filter_map(|log| log.arguments.first()).filter(is_file);
        let logs: Vec<PathBuf> = named.map(|path| self.prefix.join(path)).collect();
        if logs.is_empty() { vec![self.error_log.clone()] } else { logs }
    }
}

/// A piece of a configuration.
pub(super) enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
}

/// NGINX's lexical rules as far as they matter: comments, quotes, backslashes, `{ } ;`. Each with the line it begins in.
pub(super) fn tokens(config: &str) -> Vec<(u32, Token)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = config.chars().peekable();
    while let Some(c) = chars.next() {
        let token = match c {
            ';' => Token::Semicolon,
            '{' => Token::Open,
            '}' => Token::Close,
            '#' => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            '"' | '\'' => {
                let mut lines = 0;
                let word = quoted(&mut chars.by_ref().inspect(|c| lines += u32::from(*c == '\n')), c);
                tokens.push((line, Token::Word(word)));
                line += lines;
                continue;
            }
            c if c.is_whitespace() => {
                line += u32::from(c == '\n');
                continue;
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !";{}".contains(*c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
        };
        tokens.push((line, token));
    }
    tokens
}

fn quoted(chars: &mut impl Iterator<Item = char>, quote: char) -> String {
    let mut word = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c == quote => break,
            c => word.push(c),
        }
    }
    word
}

/// The files that `nginx -T` dumped: those that the configuration is made of.
pub(crate) fn dumped_file(line: &str) -> Option<&Path> {
    line.strip_prefix("# configuration file ")?.strip_suffix(':').map(Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::parse;

    const DEBIAN: &str = "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.8 7 Feb 2023\nTLS SNI support enabled\n\
        configure arguments: --with-cc-opt='-g -O2 -fPIC' --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf \
        --http-log-path=/var/log/nginx/access.log --error-log-path=/var/log/nginx/error.log --pid-path=/run/nginx.pid";

    #[test]
    fn debians_build_is_understood() {
        let build = Build::parse(DEBIAN);
        assert_eq!(build.version.as_deref(), Some("1.22.1"));
        assert_eq!(Build::parse("nginx version: openresty/1.21.4.1").version, None);
        assert_eq!(build.pid_path, Path::new("/run/nginx.pid"));
        assert_eq!(build.error_log, Path::new("/var/log/nginx/error.log"));
        assert_eq!(build.config, Path::new("/etc/nginx/nginx.conf"));
        assert_eq!(Build::parse("").pid_path, Path::new("/usr/local/nginx/logs/nginx.pid"));
    }

    #[test]
    fn streams_need_a_module_that_is_built_in_or_loaded() {
        let tree = |text: &str| parse(Path::new("/etc/nginx/nginx.conf"), text).unwrap();
        let loadable = StreamModule::Loadable("/usr/lib/nginx/modules/ngx_stream_module.so".into());
        let (debian, loaded) = (
            "--modules-path=/usr/lib/nginx/modules --with-stream=dynamic",
            "load_module modules/ngx_stream_module.so;",
        );
        for (arguments, module, text, has) in [
            ("--with-stream --with-stream_ssl_module", StreamModule::BuiltIn, "", true),
            (debian, loadable.clone(), "", false),
            (debian, loadable.clone(), loaded, true),
            (debian, loadable, "load_module modules/ngx_stream_geoip_module.so;", false),
            ("--with-stream_ssl_module", StreamModule::Absent, "", false),
            ("", StreamModule::Absent, "load_module '/opt/ngx_stream_module.so';", true),
        ] {
            let build = Build::parse(&format!("configure arguments: --prefix=/usr/share/nginx {arguments}"));
            assert_eq!((&build.stream, build.has_stream(&tree(text))), (&module, has), "{arguments} {text}");
        }
    }

    #[test]
    fn the_configuration_overrides_the_build_and_relative_paths_start_at_the_prefix() {
        let build = Build::parse(DEBIAN);
        let tree = |text: &str| parse(Path::new("/etc/nginx/nginx.conf"), text).unwrap();
        let pid_file = |text: &str| build.pid_file(&tree(text));
        assert_eq!(pid_file("user www-data;\npid /run/other.pid;"), Path::new("/run/other.pid"));
        assert_eq!(pid_file("pid logs/n.pid;"), Path::new("/usr/share/nginx/logs/n.pid"));
        assert_eq!(pid_file("# pid /x;\nhttp { pid /y; }"), Path::new("/run/nginx.pid"));
        let mut included = tree("include pid.conf;");
        included[0].block = Some(tree("pid /run/included.pid;"));
        assert_eq!(build.pid_file(&included), Path::new("/run/included.pid"));

        let logs = "error_log syslog:server=unix:/dev/log; error_log stderr; error_log '/srv/a log' info; error_log b;\
            http { error_log /no; }";
        assert_eq!(build.error_logs(&tree(logs)), [Path::new("/srv/a log"), Path::new("/usr/share/nginx/b")]);
        assert_eq!(build.error_logs(&tree("error_log stderr;")), [Path::new("/var/log/nginx/error.log")]);
    }
}
