//! Whether somebody has touched a file that matters, at the cost of looking at its inode.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::place::{Place, is_dot};
use super::tree::files_of;
use super::{Error, Options, Saved};
use crate::digest::Digest;

/// Of watched directories within each other.
const MAX_DEPTH: usize = 5;
/// Watched files.
const MAX_FILES: usize = 4096;

/// Another one, and a target is not as the generation in place has it, a template, a watched file, or a file of NGINX's configuration
/// is not as it was, or a disk has room again, or can be written again. An apply does not change it, unless it puts other bytes in
/// place: what failed would be tried again and again.
pub(super) fn of(options: &Options, in_place: Option<&Saved>) -> Digest {
    let files = in_place.map(Saved::files).unwrap_or_default();
    let mut own = Own::of(options);
    own.paths.extend(files.iter().map(|file| file.target.clone()));
    let mut paths = files_of(&options.nginx.config);
    paths.extend(options.templates.iter().map(|template| template.source.clone()));
    paths.extend(watched(options));
    let mut seen = look(paths, &own);
    for path in &own.paths {
        let now = contents(path);
        let is_ours = in_place.and_then(|saved| saved.file(path)).is_some_and(|file| now == Ok(file.hash));
        let foreign = (!is_ours).then_some(now);
        seen.extend(format!("{}\0{foreign:?}\0", path.display()).into_bytes());
    }
    for directory in own.directories().chain([options.apply.state.as_path()]) {
        seen.extend(format!("{}\0{:?}\0", directory.display(), Room::of(directory)).into_bytes());
    }
    Digest::of(&seen)
}

/// As [`of`], of the watched files alone; `None` if none are to be watched.
pub(super) fn of_watched(options: &Options) -> Option<Digest> {
    (!options.apply.watch.is_empty()).then(|| Digest::of(&look(watched(options), &Own::of(options))))
}

/// What weir writes itself, each time as another file.
struct Own {
    paths: BTreeSet<PathBuf>,
}

impl Own {
    fn of(options: &Options) -> Self {
        let targets = options.targets().map(|target| target.output.to_owned());
        Self { paths: targets.chain(options.templates.iter().map(|template| template.output.clone())).collect() }
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().filter_map(|path| path.parent())
    }

    /// By whatever name.
    fn inodes(&self) -> BTreeSet<(u64, u64)> {
        self.paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| (meta.dev(), meta.ino())).collect()
    }
}

/// Why a file can or cannot be written in a directory, by its disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Room {
    read_only: bool,
    full: bool,
}

impl Room {
    /// `None` if the directory is not there.
    fn of(directory: &Path) -> Option<Self> {
        let disk = statvfs(directory).ok()?;
        let no_blocks = disk.f_blocks > 0 && disk.f_bavail == 0;
        // Some disks do not count files.
        let no_files = disk.f_files > 0 && disk.f_favail == 0;
        Some(Self { read_only: disk.f_flag.contains(StatVfsMountFlags::RDONLY), full: no_blocks || no_files })
    }
}

fn contents(path: &Path) -> Result<Option<Digest>, Error> {
    Ok(Place::of(path)?.bytes()?.as_deref().map(Digest::of))
}

fn watched(options: &Options) -> Vec<PathBuf> {
    let mut found = Vec::new();
    options.apply.watch.iter().for_each(|path| walk(path, 0, &mut found));
    found
}

/// Links are followed: certificates are links to their newest version.
fn walk(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if found.len() >= MAX_FILES || is_dot(path) {
        return;
    }
    found.push(path.to_owned());
    if depth == MAX_DEPTH || !path.is_dir() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        walk(&entry.path(), depth + 1, found);
    }
}

/// The inodes, but not of what is our `own`. A directory counts by the names in it that are among `paths`: it also changes with files
/// that come and go within an apply.
fn look(mut paths: Vec<PathBuf>, own: &Own) -> Vec<u8> {
    paths.sort_unstable();
    paths.dedup();
    let (inodes, mut seen) = (own.inodes(), Vec::new());
    for path in paths {
        let meta = fs::metadata(&path).ok();
        if own.paths.contains(&path) || meta.as_ref().is_some_and(|meta| inodes.contains(&(meta.dev(), meta.ino()))) {
            continue;
        }
        let text = meta.map(|meta| {
            let file = (!meta.is_dir()).then(|| (meta.size(), meta.mtime(), meta.mtime_nsec()));
            (meta.dev(), meta.ino(), meta.mode(), file)
        });
        seen.extend(format!("{}\0{text:?}\0", path.display()).into_bytes());
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source, Sources};

    #[test]
    fn whoever_touches_a_file_that_matters_changes_the_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
        ["sites", "live", "archive"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
        write("nginx.conf", "http { include sites/*.conf; }");
        write("sites/shop.conf", "server { }");
        write("archive/1.pem", "one");
        std::os::unix::fs::symlink(at("archive/1.pem"), at("live/cert.pem")).unwrap();
        let mut options = Options::from(&Config::default());
        options.nginx.config = at("nginx.conf");
        let blind = of_watched(&options);
        options.apply.watch = vec![at("live")];
        let (mut before, mut watched) = (of(&options, None), of_watched(&options));
        assert_eq!((blind, before), (None, of(&options, None)));
        let renew = || {
            write("archive/2.pem", "two");
            fs::remove_file(at("live/cert.pem")).unwrap();
            std::os::unix::fs::symlink(at("archive/2.pem"), at("live/cert.pem")).unwrap();
        };
        // What somebody does, and whether a watched file is another one.
        let deeds: [(&str, &dyn Fn(), bool); 4] = [
            ("edits a site", &|| write("sites/shop.conf", "server { listen 81; }"), false),
            ("adds a site", &|| write("sites/blog.conf", ""), false),
            ("renews a certificate", &renew, true),
            ("writes over one", &|| write("archive/2.pem", "longer"), true),
        ];
        for (what, deed, is_watched) in deeds {
            deed();
            let (now, now_watched) = (of(&options, None), of_watched(&options));
            assert_eq!((now != before, now_watched != watched), (true, is_watched), "{what}");
            (before, watched) = (now, now_watched);
        }
    }

    #[test]
    fn what_an_apply_writes_itself_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
        fs::create_dir(at("sites")).unwrap();
        std::os::unix::fs::symlink(at("sites"), at("enabled")).unwrap();
        write("nginx.conf", "http { include sites/*.conf; include enabled/*.conf; }");
        write("sites/shop.conf", "server { }");
        write("sites/web.conf", "upstream web { }");
        let output = at("sites/web.conf").display().to_string();
        write(
            "weir.toml",
            &format!("node.name = \"lb1\"\n[upstream.web]\nselect.role = \"web\"\nnginx.output = \"{output}\"\n"),
        );
        let sources = Sources { paths: vec![Source::File(at("weir.toml"))], ..Sources::default() };
        let mut options = Options::from(&crate::config::load(&sources).unwrap().config);
        options.nginx.config = at("nginx.conf");
        options.apply.watch = vec![at("sites"), at("enabled")];
        let look = || (of(&options, None), of_watched(&options));
        let before = look();
        // As a candidate that fails, and as one that was in place and went back.
        write("sites/.web.conf.weir-new", "upstream web { server 10.0.0.1:80; }");
        assert_eq!(look(), before, "a candidate");
        fs::remove_file(at("sites/.web.conf.weir-new")).unwrap();
        assert_eq!(look(), before, "none any more");
        write("sites/.web.conf.weir-new", "upstream web { }");
        fs::rename(at("sites/.web.conf.weir-new"), at("sites/web.conf")).unwrap();
        assert_eq!(look(), before, "the same bytes in another file");
        write("sites/web.conf", "upstream web { server 10.0.0.1:80; }");
        let after = look();
        assert_eq!((after.0 != before.0, after.1), (true, before.1), "other bytes");
        fs::remove_file(at("sites/shop.conf")).unwrap();
        assert!(look().0 != after.0 && look().1 != after.1, "a file goes away");
    }

    #[test]
    fn a_disk_that_has_room_is_told_from_one_that_has_none_and_from_none_at_all() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Room::of(dir.path()), Some(Room { read_only: false, full: false }));
        assert_eq!(Room::of(&dir.path().join("away")), None);
        // It counts nothing.
        assert_eq!(Room::of(Path::new("/proc")).map(|room| room.full), Some(false));
    }
}
