//! What an NGINX installation says about itself.

use std::path::{Path, PathBuf};

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
}

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
        let under = |name: &str, default: &str| prefix.join(argument(name).unwrap_or_else(|| default.into()));
        Self {
            version: version.map(ToOwned::to_owned),
            pid_path: under("--pid-path", "logs/nginx.pid"),
            error_log: under("--error-log-path", "logs/error.log"),
            prefix,
        }
    }

    /// The pid file by the text of the main configuration.
    pub fn pid_file(&self, config: &str) -> PathBuf {
        let named = top_level(config, "pid").into_iter().find_map(|arguments| arguments.into_iter().next());
        named.map_or_else(|| self.pid_path.clone(), |path| self.prefix.join(path))
    }

    /// The first error log that is a file, by the text of the main configuration.
    pub fn error_log_file(&self, config: &str) -> PathBuf {
        let is_file =
            |target: &String| target != "stderr" && !target.starts_with("syslog:") && !target.starts_with("memory:");
        let named = top_level(config, "error_log")
            .into_iter()
            .filter_map(|arguments| arguments.into_iter().next())
            .find(is_file);
        named.map_or_else(|| self.error_log.clone(), |path| self.prefix.join(path))
    }
}

/// The arguments of each directive `name` outside all blocks of `config`. Included files are not followed.
pub fn top_level(config: &str, name: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let (mut depth, mut words) = (0_usize, Vec::new());
    for (_, token) in tokens(config) {
        match token {
            Token::Word(word) => words.push(word),
            Token::Semicolon => {
                let mut directive = std::mem::take(&mut words).into_iter();
                if depth == 0 && directive.next().is_some_and(|first| first == name) {
                    found.push(directive.collect());
                }
            }
            Token::Open => {
                depth += 1;
                words.clear();
            }
            Token::Close => {
                depth = depth.saturating_sub(1);
                words.clear();
            }
        }
    }
    found
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
        assert_eq!(Build::parse("").pid_path, Path::new("/usr/local/nginx/logs/nginx.pid"));
    }

    #[test]
    fn the_configuration_overrides_the_build_and_relative_paths_start_at_the_prefix() {
        let build = Build::parse(DEBIAN);
        assert_eq!(build.pid_file("user www-data;\npid /run/other.pid;"), Path::new("/run/other.pid"));
        assert_eq!(build.pid_file("pid logs/n.pid;"), Path::new("/usr/share/nginx/logs/n.pid"));
        assert_eq!(build.pid_file("# pid /x;\nhttp { pid /y; }"), Path::new("/run/nginx.pid"));
        let log = "error_log syslog:server=unix:/dev/log; error_log stderr; error_log '/srv/a log' info; http { error_log /no; }";
        assert_eq!(build.error_log_file(log), Path::new("/srv/a log"));
    }

    #[test]
    fn directives_are_found_outside_blocks_only_and_through_comments_and_quotes() {
        let config = "a 1 \"2 ; {\" '3\\'' ; # a 9;\nb { a 4; c { a 5; } } a 6;a#7 8;";
        assert_eq!(top_level(config, "a"), [vec!["1", "2 ; {", "3'"], vec!["6"]]);
        assert_eq!(top_level("}}a 1;", "a"), [vec!["1"]]);
        assert!(top_level("a 1", "a").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_configuration_is_read_without_panic(config: String) {
            let _ = top_level(&config, "pid");
        }
    }
}
