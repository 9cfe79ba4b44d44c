//! Reads configuration from disk and puts the layers together. The one part of `config` that touches the system.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::{Trouble, system_words};
use crate::file;

use super::document::{self, LineIndex};
use super::mistake::{ConfigErrors, Mistake};
use super::notice::Notice;
use super::overrides::Overrides;
use super::serf::{Extras, Layer, bind_to_interface, role_to_tag};
use super::tree::{Table, merge};
use super::{Config, Mode, environment, json};

/// Longer than any configuration.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What was named on the command line or by `WEIR_CONFIG`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// `--config-file`: TOML, or Serf's JSON if it ends in `.json`. The TOML file `NAME.toml` brings along `NAME.d/*.toml`.
    File(PathBuf),
    /// `--config-dir`: its `*.toml` and `*.json` in name order.
    Dir(PathBuf),
}

/// Everything that a configuration is made of, lowest layer first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files and directories in command-line order.
    pub paths: Vec<Source>,
    /// Environment variables; those that do not start with `WEIR_` do not matter.
    pub environment: Vec<(String, String)>,
    /// Flags.
    pub overrides: Overrides,
    /// Started through a link named `serf`.
    pub serf: bool,
    /// The host's full name, for `node.name`.
    pub host_name: String,
    /// Whether a named file may be a pipe, which is read to its end however long that takes. What is found in a directory
    /// must be a file.
    pub pipes: bool,
}

impl Sources {
    /// With this process's environment and host name. Where `paths` is empty, `WEIR_CONFIG` names the file.
    pub fn here(paths: Vec<Source>, overrides: Overrides, serf: bool) -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let environment: Vec<_> = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        let named = environment.iter().find(|(name, value)| name == "WEIR_CONFIG" && !value.is_empty());
        let paths = match named {
            Some((_, path)) if paths.is_empty() => vec![Source::File(path.into())],
            Some(_) | None => paths,
        };
        let host_name = nix::unistd::gethostname().map(text).unwrap_or_default();
        Self { paths, environment, overrides, serf, host_name, pipes: true }
    }
}

/// A checked configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// The files that were read, in reading order.
    pub files: Vec<PathBuf>,
    /// What an operator should know, for stderr.
    pub notices: Vec<Notice>,
}

impl Loaded {
    /// The errors of one key whose value does not do where it is to be used.
    pub(crate) fn mistaken(&self, table: &str, name: &str, trouble: Trouble) -> ConfigErrors {
        ConfigErrors::new(vec![self.mistake(table, name, trouble)]).expect("there is one")
    }

    /// Itself, if there are no such mistakes: each with its table, its key, and what is wrong with the value.
    pub(crate) fn without_mistakes(self, mistakes: Vec<(String, &str, Trouble)>) -> Result<Self, ConfigErrors> {
        let mistake = |(table, name, trouble): (String, &str, Trouble)| self.mistake(&table, name, trouble);
        ConfigErrors::new(mistakes.into_iter().map(mistake).collect()).map_or(Ok(()), Err)?;
        Ok(self)
    }

    fn mistake(&self, table: &str, name: &str, trouble: Trouble) -> Mistake {
        let setting = self.config.settings().iter().find(|setting| setting.table == table && setting.name == name);
        let at = setting.map(|setting| setting.origin.clone()).unwrap_or_default();
        Mistake::across(&at, &format!("{table}.{name}"), trouble)
    }
}

/// Reads and checks all sources. On error nothing has changed, and every mistake is listed.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut reading = Reading::default();
    for source in &sources.paths {
        reading.source(source, sources.pipes);
    }
    let serfs_alone = (reading.json || sources.overrides.is_any()) && !sources.overrides.is_ours();
    let serf = !reading.toml && (sources.serf || serfs_alone);
    let variables = sources.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    reading.lay(|extras| environment::layer(variables, extras));
    reading.lay(|extras| sources.overrides.layer(extras, serf));
    reading.notices.extend(role_to_tag(&mut reading.table, &reading.extras));
    reading.notices.extend(bind_to_interface(&mut reading.table, &reading.extras));

    let mode = if serf { Mode::Serf } else { Mode::Weir };
    let (config, mistakes) = Config::read(&reading.table, &reading.extras, mode, &sources.host_name);
    // With a file missing from the whole, what lies between values says nothing.
    reading.mistakes.extend(mistakes.into_iter().filter(|mistake| !(reading.broken && mistake.across)));
    match ConfigErrors::new(reading.mistakes) {
        Some(errors) => Err(errors),
        None => {
            reading.notices.extend(config.notices(&reading.extras));
            Ok(Loaded { config, files: reading.files, notices: reading.notices })
        }
    }
}

/// The layers as far as they have been read.
#[derive(Debug, Default)]
struct Reading {
    table: Table,
    extras: Extras,
    files: Vec<PathBuf>,
    notices: Vec<Notice>,
    mistakes: Vec<Mistake>,
    toml: bool,
    json: bool,
    /// A file could not be read or parsed.
    broken: bool,
    /// Place of the next file in reading order.
    order: usize,
}

impl Reading {
    fn next(&mut self) -> usize {
        self.order += 1;
        self.order
    }

    fn source(&mut self, source: &Source, pipes: bool) {
        match source {
            Source::File(path) => {
                self.file(path, if pipes { file::read_any } else { file::read });
                if is_toml(path) {
                    self.dir(&path.with_extension("d"), &["toml"], true);
                }
            }
            Source::Dir(path) => self.dir(path, &["toml", "json"], false),
        }
    }

    fn dir(&mut self, dir: &Path, extensions: &[&str], optional: bool) {
        // An editor's lock or draft (`.#web.toml`) is no file of ours; Serf reads its own whatever they are called.
        let is_draft = |path: &Path| is_toml(path) && path.file_name().is_some_and(is_hidden);
        let has_end = |path: &Path| path.extension().is_some_and(|end| extensions.iter().any(|wanted| end == *wanted));
        let wanted = |path: &Path| has_end(path) && !is_draft(path);
        match files_of(dir) {
            Ok(mut paths) => {
                paths.retain(|path| wanted(path));
                paths.sort();
                paths.iter().for_each(|path| self.file(path, file::read));
            }
            Err(error) if optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.unreadable(dir, &error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let at = LineIndex::new(&path.display().to_string(), self.next(), "").place(0, 0);
        let trouble = Trouble::new(format!("cannot be read: {}", system_words(error)), way_to_read(path, error.kind()));
        let denied = error.kind() == io::ErrorKind::PermissionDenied;
        self.mistakes.push(Mistake { denied, ..Mistake::new(&at, "", trouble) });
        self.broken = true;
    }

    fn file(&mut self, path: &Path, read: fn(&Path, usize) -> io::Result<Vec<u8>>) {
        let toml = is_toml(path);
        self.toml |= toml;
        self.json |= !toml;
        let text = match read(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => return self.unreadable(path, &error),
        };
        let shown = path.display().to_string();
        let order = self.next();
        self.files.push(path.to_owned());
        let text = match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
                let at = LineIndex::new(&shown, order, &valid).at(valid.len());
                self.mistakes.push(Mistake::new(&at, "", Trouble::new("not UTF-8 text", "")));
                self.broken = true;
                return;
            }
        };
        let source = LineIndex::new(&shown, order, &text);
        let parsed = if toml {
            document::parse(&source).map(|table| merge(&mut self.table, table))
        } else {
            json::parse(&source, &text).map(|table| self.serf_file(table)).map_err(|mistake| vec![mistake])
        };
        if let Err(mistakes) = parsed {
            self.mistakes.extend(mistakes);
            self.broken = true;
        }
    }

    fn serf_file(&mut self, table: Table) {
        self.lay(|extras| {
            let mut layer = Layer::new(extras);
            layer.file(table);
            layer
        });
    }

    /// Lays a layer over what is there.
    fn lay(&mut self, make: impl FnOnce(Extras) -> Layer) {
        let layer = make(std::mem::take(&mut self.extras)).end();
        merge(&mut self.table, layer.table);
        self.extras = layer.extras;
        self.notices.extend(layer.notices);
        self.mistakes.extend(layer.mistakes);
    }
}

/// What is in a directory but for its directories, which Serf passes over as well, however they are called.
fn files_of(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// What to do about a file or directory that cannot be read.
fn way_to_read(path: &Path, why: io::ErrorKind) -> String {
    match why {
        io::ErrorKind::PermissionDenied => way_in(path),
        io::ErrorKind::NotFound if path.extension().is_none() => "correct the path".to_owned(),
        io::ErrorKind::NotFound => "write it ('weir config example' shows every key), or correct the path".to_owned(),
        io::ErrorKind::IsADirectory => "name a file, or give it with --config-dir".to_owned(),
        _ => String::new(),
    }
}

/// How the packaged unit's user gets to read `path`: the first directory on the way that is closed, or the file itself.
fn way_in(path: &Path) -> String {
    let is_closed = |directory: &Path| {
        fs::metadata(directory.join(".")).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let mut directories: Vec<&Path> = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
    directories.reverse();
    let closed = directories.into_iter().find(|directory| is_closed(directory)).unwrap_or(path);
    let mode = if closed != path || closed.is_dir() { 750 } else { 640 };
    let way = match closed.starts_with("/root") || closed.starts_with("/home") {
        true => "move it to /etc/weir".to_owned(),
        false => format!("'chgrp weir {0}' and 'chmod {mode} {0}'", closed.display()),
    };
    format!("{way} where the packaged unit runs the agent, otherwise use sudo")
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Everything but `.json` is TOML.
fn is_toml(path: &Path) -> bool {
    path.extension().is_none_or(|extension| extension != "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is read has to be written")]
    fn a_directory_is_no_file_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("x.json")).unwrap();
        std::fs::create_dir_all(at("weir.d/y.toml")).unwrap();
        fs::write(at("a.json"), "{\"node_name\": \"a\"}").unwrap();
        fs::write(at("weir.toml"), "").unwrap();
        for source in [Source::Dir(dir.path().to_owned()), Source::File(at("weir.toml"))] {
            let mut reading = Reading::default();
            reading.source(&source, false);
            assert!(reading.mistakes.is_empty(), "{:?}", reading.mistakes);
            assert!(!reading.files.is_empty());
        }
        // Emacs has such a link while somebody types.
        std::os::unix::fs::symlink("ana@lb1.812:1760000000", at("weir.d/.#y.toml")).unwrap();
        let mut reading = Reading::default();
        reading.source(&Source::File(at("weir.toml")), false);
        assert!(reading.mistakes.is_empty(), "{:?}", reading.mistakes);
        // One that is named as a file is a mistake.
        let mut reading = Reading::default();
        reading.source(&Source::File(at("x.json")), false);
        assert_eq!(reading.mistakes.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_names_the_way_to_read_it() {
        let told = |kind: io::ErrorKind| {
            let mut reading = Reading::default();
            reading.unreadable(Path::new("weir.toml"), &kind.into());
            let errors = ConfigErrors::new(reading.mistakes).unwrap();
            (errors.mistakes()[0].to_string(), errors.denied().map(ToOwned::to_owned))
        };
        let (denied, path) = told(io::ErrorKind::PermissionDenied);
        assert_eq!(
            denied,
            "weir.toml: cannot be read: permission denied; 'chgrp weir weir.toml' and 'chmod 640 weir.toml' where the \
             packaged unit runs the agent, otherwise use sudo"
        );
        assert_eq!(path.as_deref(), Some("weir.toml"));
        let (missing, path) = told(io::ErrorKind::NotFound);
        assert!(
            missing.ends_with("write it ('weir config example' shows every key), or correct the path"),
            "{missing}"
        );
        assert_eq!(path, None);
        let directory = told(io::ErrorKind::IsADirectory).0;
        assert_eq!(directory, "weir.toml: cannot be read: is a directory; name a file, or give it with --config-dir");
        assert!(way_in(Path::new("/root/weir.toml")).starts_with("move it to /etc/weir "));
    }
}
