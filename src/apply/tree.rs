//! NGINX's configuration as files, within bounds: whoever may write one of them must not have us read without end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SystemError;
use crate::file;
use crate::nginx::{Directive, TooDeep, Unread, Why, include_pattern, includes, parse, walk};

/// Includes within includes.
const MAX_DEPTH: usize = 8;
/// Files of one configuration.
const MAX_FILES: usize = 2_000;
/// Directories that one pattern may name within each other; each costs a level of the stack.
const MAX_COMPONENTS: usize = 64;
/// Bytes of one file.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of all: as directives they take many times as much.
const MAX_ALL: usize = 16 * 1024 * 1024;

/// Instead of the system's words.
const TOO_MUCH: &str = "the configuration is larger than what is looked at";

/// The whole configuration that begins with `config`, includes followed, and what of it could not be looked at.
pub fn read_tree(config: &Path) -> (Vec<Directive>, Vec<Unread>) {
    let mut reading = Reading::new(config);
    let tree = reading.file(config, 0);
    (tree, reading.unread)
}

/// Every file that such a reading opens.
pub(super) fn files_of(config: &Path) -> Vec<PathBuf> {
    let mut reading = Reading::new(config);
    reading.file(config, 0);
    reading.opened
}

/// The first of `targets` that such a reading would not come to, should it be there: by its path, or under another directory's
/// name.
pub(super) fn unnamed<'t>(config: &Path, targets: &[&'t Path]) -> Option<&'t Path> {
    let mut reading = Reading::new(config);
    let mut patterns = Vec::new();
    walk(&reading.file(config, 0), &mut |directive, _| {
        let argument = directive.arguments.first().filter(|_| directive.is_include());
        patterns.extend(argument.map(|argument| include_pattern(argument, config)));
    });
    let is_opened = |target: &Path| reading.opened.iter().any(|path| path.file_name() == target.file_name());
    let is_named = |target: &Path| patterns.iter().any(|pattern| includes(pattern, target)) || is_opened(target);
    targets.iter().copied().find(|target| reading.unread.is_empty() && !is_named(target))
}

/// A configuration that is being read, includes followed.
struct Reading<'a> {
    config: &'a Path,
    opened: Vec<PathBuf>,
    files: usize,
    /// Bytes that may still be read.
    left: usize,
    unread: Vec<Unread>,
}

impl<'a> Reading<'a> {
    fn new(config: &'a Path) -> Self {
        Self { config, opened: Vec::new(), files: 0, left: MAX_ALL, unread: Vec::new() }
    }

    fn file(&mut self, path: &Path, depth: usize) -> Vec<Directive> {
        if self.files == MAX_FILES || self.left == 0 {
            return self.leave(path, Why::Unusable(TOO_MUCH.to_owned()));
        }
        self.files += 1;
        self.opened.push(path.to_owned());
        let bytes = match file::read(path, MAX_BYTES.min(self.left)) {
            Ok(bytes) => bytes,
            // What is missing is for `nginx -t` to say.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return self.leave(path, Why::Denied),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge && self.left < MAX_BYTES => {
                self.left = 0;
                return self.leave(path, Why::Unusable(TOO_MUCH.to_owned()));
            }
            Err(error) => return self.leave(path, Why::Unusable(SystemError::from(error).text)),
        };
        self.left -= bytes.len();
        let mut directives = match parse(path, &String::from_utf8_lossy(&bytes)) {
            Ok(directives) => directives,
            Err(TooDeep { line, .. }) => return self.leave(path, Why::TooDeep { line }),
        };
        self.follow(&mut directives, depth);
        directives
    }

    fn leave(&mut self, path: &Path, why: Why) -> Vec<Directive> {
        self.unread.push(Unread { path: path.to_owned(), why });
        Vec::new()
    }

    /// Puts into each include what it names.
    fn follow(&mut self, directives: &mut [Directive], depth: usize) {
        for directive in directives {
            if let Some(block) = &mut directive.block {
                self.follow(block, depth);
            } else if directive.is_include()
                && let Some(argument) = directive.arguments.first()
                && depth < MAX_DEPTH
            {
                let mut block = Vec::new();
                for path in self.expand(&include_pattern(argument, self.config)) {
                    block.extend(self.file(&path, depth + 1));
                }
                directive.block = Some(block);
            }
        }
    }

    /// The files that a pattern names, sorted as NGINX sorts them.
    fn expand(&mut self, pattern: &Path) -> Vec<PathBuf> {
        let has_glob = |path: &Path| path.to_string_lossy().contains(['*', '?', '[']);
        if !has_glob(pattern) {
            return vec![pattern.to_owned()];
        }
        let parent = pattern.parent().filter(|parent| parent.components().nth(MAX_COMPONENTS).is_none());
        let Some(parent) = parent else { return Vec::new() };
        let directories = if has_glob(parent) { self.expand(parent) } else { vec![parent.to_owned()] };
        let mut found = Vec::new();
        for directory in directories {
            match fs::read_dir(&directory) {
                Ok(entries) => found.extend(
                    entries.flatten().map(|entry| entry.path()).filter(|path| includes(pattern, path)).take(MAX_FILES),
                ),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.leave(&directory, Why::Denied);
                }
                Err(_) => {}
            }
        }
        found.sort();
        found.truncate(MAX_FILES);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::MAX_NESTING;

    #[test]
    fn a_file_that_is_to_come_may_be_read_if_an_include_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("nginx.conf");
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        fs::write(dir.path().join("conf.d/shop.conf"), "server { include snippets/web.conf; }").unwrap();
        fs::write(&config, "http { include conf.d/*.conf; }").unwrap();
        for (target, may) in [
            ("conf.d/weir-web.conf", true),
            ("snippets/web.conf", true),
            ("elsewhere/web.conf", true),
            ("conf.d/weir-web.txt", false),
            ("srv/upstream.conf", false),
        ] {
            let target = dir.path().join(target);
            assert_eq!(unnamed(&config, &[&target]).is_none(), may, "{}", target.display());
        }
    }

    #[test]
    fn the_deepest_that_is_read_fits_the_stack_and_the_next_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("0");
        // Every file opens as many blocks as one may, and includes the next.
        for index in 0..=MAX_DEPTH {
            let text = "a {\n".repeat(MAX_NESTING) + &format!("include {};", index + 1);
            fs::write(dir.path().join(index.to_string()), text).unwrap();
        }
        let read = || {
            let mut reading = Reading::new(&config);
            let tree = reading.file(&config, 0);
            let mut deepest = 0;
            walk(&tree, &mut |_, within| deepest = deepest.max(within.len()));
            (deepest, reading.unread)
        };
        assert_eq!(read(), (MAX_NESTING * (MAX_DEPTH + 1), Vec::new()));
        fs::write(&config, format!("include {}x;", "*/".repeat(1_000_000))).unwrap();
        assert_eq!(read(), (0, Vec::new()));
        fs::write(&config, "a {\n".repeat(1_000_000)).unwrap();
        let line = u32::try_from(MAX_NESTING).unwrap() + 1;
        assert_eq!(read(), (0, vec![Unread { path: config.clone(), why: Why::TooDeep { line } }]));
    }

    #[test]
    fn what_is_no_file_or_too_long_is_named_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("main"), "include big; include pipe; include none; include *.d; a 1;").unwrap();
        fs::write(at("big"), "#".repeat(MAX_BYTES + 1)).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for index in 0..5 {
            fs::write(at(&format!("{index}.d")), "#".repeat(MAX_BYTES)).unwrap();
        }
        let config = at("main");
        let mut reading = Reading::new(&config);
        assert_eq!(reading.file(&config, 0).len(), 5);
        let unread: Vec<_> = reading.unread.into_iter().map(|unread| (unread.path, unread.why)).collect();
        let unusable = |name: &str, words: &str| (at(name), Why::Unusable(words.to_owned()));
        let wanted = [
            unusable("big", "more than 4096 KiB"),
            unusable("pipe", "not a regular file"),
            unusable("3.d", TOO_MUCH),
            unusable("4.d", TOO_MUCH),
        ];
        assert_eq!(unread, wanted);
    }

    #[test]
    fn includes_are_followed_with_globs_and_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("conf.d")).unwrap();
        fs::write(at("nginx.conf"), "http { include conf.d/*.conf; include missing.conf; }").unwrap();
        fs::write(at("conf.d/b.conf"), "b 1;").unwrap();
        fs::write(at("conf.d/a.conf"), "a 1; include conf.d/a.conf;").unwrap();
        fs::write(at("conf.d/.hidden.conf"), "hidden 1;").unwrap();
        fs::write(at("conf.d/c.txt"), "c 1;").unwrap();
        let config = at("nginx.conf");
        let mut reading = Reading::new(&config);
        let tree = reading.file(&config, 0);
        let mut names = Vec::new();
        walk(&tree, &mut |directive, within| {
            if !directive.is_include() {
                names.push(format!("{}{}", within.len(), directive.name));
            }
        });
        names.dedup();
        assert_eq!(names, ["0http", "1a", "1b"]);
        assert!(reading.files <= 3 + MAX_DEPTH);
    }
}
