//! What NGINX complains about.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Block;
use crate::upstream::UpstreamName;

/// NGINX's own words about why it refuses a configuration, taken apart.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Problem {
    /// What is wrong, without the place. Control characters are replaced.
    pub message: String,
    /// Where, if it says so.
    pub file: Option<PathBuf>,
    /// In which line.
    pub line: Option<u32>,
    /// Whether that is one of our files, so that weir is to blame and not somebody's site.
    pub ours: bool,
    /// The upstream of ours whose file or zone it is. Boxed, for every error of an apply is as large as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Box<UpstreamName>>,
}

/// A file of ours, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    pub path: &'a Path,
    pub block: &'a Block,
}

/// What NGINX looks for in vain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Missing {
    /// A file that is included.
    File(PathBuf),
    /// An upstream that a site names.
    Upstream(String),
}

/// Longest message kept, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Levels that stop NGINX first, then those that may only be the setting it was run in.
const LEVELS: [&str; 5] = ["[emerg] ", "[crit] ", "[error] ", "[alert] ", "[warn] "];

/// The complaint in what `nginx -t` wrote to stderr; `None` if there is none.
///
/// Of several lines the most severe counts: as non-root NGINX first says `[alert]` about a log that it then does without.
pub fn parse_test_output(stderr: &str, ours: &[Ours<'_>]) -> Option<Problem> {
    let line = LEVELS.iter().find_map(|level| stderr.lines().find(|line| line.contains(level)));
    let line = line.or_else(|| stderr.lines().map(str::trim).find(|line| !line.is_empty() && !is_summary(line)))?;
    Some(Problem::new(words(line), ours))
}

/// The first fatal complaint of the master `pid` in a piece of its error log.
pub fn parse_log(log: &str, pid: u32, ours: &[Ours<'_>]) -> Option<Problem> {
    let by_master = format!("[emerg] {pid}#");
    log.lines().find(|line| line.contains(&by_master)).map(|line| Problem::new(words(line), ours))
}

/// `nginx: configuration file … test failed` and its kin say nothing new.
fn is_summary(line: &str) -> bool {
    line.starts_with("nginx: configuration file ") || line.starts_with("nginx: the configuration file ")
}

/// A line without what precedes the words: `nginx: [emerg] ` on a terminal, `DATE TIME [emerg] PID#TID: ` in a log.
fn words(line: &str) -> &str {
    let Some((_, rest)) = LEVELS.iter().find_map(|level| line.split_once(level)) else {
        return line.strip_prefix("nginx: ").unwrap_or(line);
    };
    match rest.split_once(": ") {
        Some((id, words)) if is_process(id) => words,
        _ => rest,
    }
}

fn is_process(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    id.split_once('#').is_some_and(|(pid, tid)| digits(pid) && digits(tid))
}

impl Problem {
    fn new(words: &str, ours: &[Ours<'_>]) -> Self {
        let (message, place) = split_place(words);
        let file = place.map(|(file, _)| PathBuf::from(clean(file)));
        let zone = full_zone(message);
        let is_ours = |ours: &&Ours<'_>| {
            let is_zone = || zone.is_some() && ours.block.zone_name().as_deref() == zone;
            place.is_some_and(|(file, _)| ours.path == Path::new(file)) || is_zone()
        };
        let upstream = ours.iter().find(is_ours).map(|ours| Box::new(ours.block.name.clone()));
        Self { message: clean(message), file, line: place.map(|(_, line)| line), ours: upstream.is_some(), upstream }
    }

    /// Whether the system did not let it, because of its user or of the unit that it runs in.
    pub fn is_denied(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["permission denied", "read-only file system"].into_iter().any(|words| message.contains(words))
    }

    /// The file that could not be opened or made, for its file system is read-only where the test ran.
    pub fn read_only(&self) -> Option<&Path> {
        let path = |call: &str| between(&self.message, call, "\" failed (30:").map(Path::new);
        path("open() \"").or_else(|| path("mkdir() \""))
    }

    /// The upstream whose name is taken.
    pub fn duplicate(&self) -> Option<&str> {
        between(&self.message, "duplicate upstream \"", "\"")
    }

    /// What is not there, if that is all.
    pub fn missing(&self) -> Option<Missing> {
        let file = between(&self.message, "open() \"", "\" failed (2:").map(|path| Missing::File(path.into()));
        // A name that is neither an upstream's nor known to DNS.
        let name = between(&self.message, "host not found in upstream \"", "\"");
        file.or_else(|| name.map(|name| Missing::Upstream(name.to_owned())))
    }

    /// The way out, where there is a plain one (`ux §4`).
    pub fn remedy(&self) -> Option<String> {
        if let Some(address) = between(&self.message, "bind() to ", " failed (98:") {
            let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
            return Some(format!("see 'ss -ltnp sport = :{port}'"));
        }
        if let Some(zone) = full_zone(&self.message) {
            return Some(match &self.upstream {
                Some(upstream) => {
                    format!("it has more servers than fit: set upstream.{upstream}.nginx.zone = \"auto\"")
                }
                None => {
                    format!(
                        "it has more servers than fit: write a larger 'zone {zone}' into that upstream block of yours"
                    )
                }
            });
        }
        None
    }
}

/// The zone that has no room for its servers.
fn full_zone(message: &str) -> Option<&str> {
    between(message, "no memory in upstream zone \"", "\"")
}

/// `WORDS in FILE:LINE` taken apart. The file may hold blanks, so the split is sought from the end.
fn split_place(words: &str) -> (&str, Option<(&str, u32)>) {
    let place = || {
        let (rest, line) = words.trim_end().rsplit_once(':')?;
        let line = line.parse().ok()?;
        let (message, file) = rest.rsplit_once(" in /").map(|(message, _)| (message, &rest[message.len() + 4..]))?;
        Some((message, (file, line)))
    };
    place().map_or((words, None), |(message, place)| (message, Some(place)))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// Control characters replaced, and cut where it gets long: NGINX quotes what it read.
fn clean(text: &str) -> String {
    let mut clean = String::new();
    for c in text.trim_end().chars() {
        if clean.len() >= MAX_MESSAGE {
            clean.push('…');
            break;
        }
        clean.push(if c.is_control() { '\u{fffd}' } else { c });
    }
    clean
}

/// `MESSAGE in FILE:LINE`, as NGINX words it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " in {}:{line}", file.display()),
            (Some(file), None) => write!(f, " in {}", file.display()),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
