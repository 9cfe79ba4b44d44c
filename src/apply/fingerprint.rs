//! Whether somebody has touched a file that matters, at the cost of looking at its inode.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::tree::files_of;
use super::{Options, Saved};
use crate::digest::Digest;

/// Of watched directories within each other.
const MAX_DEPTH: usize = 4;
/// Watched files.
const MAX_FILES: usize = 4096;

/// Another one, and a target, a template, a watched file, or a file or directory of NGINX's configuration is not as it was.
pub(super) fn of(options: &Options, in_place: Option<&Saved>) -> Digest {
    let mut paths = files_of(&options.nginx.config);
    paths.extend(options.targets().map(|target| target.output.to_owned()));
    paths.extend(options.templates.iter().flat_map(|template| [template.source.clone(), template.output.clone()]));
    paths.extend(in_place.map(Saved::files).unwrap_or_default().iter().map(|file| file.target.clone()));
    paths.extend(watched(options));
    digest(paths)
}

/// As [`of`], of the watched files alone; `None` if none are to be watched.
pub(super) fn of_watched(options: &Options) -> Option<Digest> {
    (!options.apply.watch.is_empty()).then(|| digest(watched(options)))
}

fn watched(options: &Options) -> Vec<PathBuf> {
    let mut found = Vec::new();
    options.apply.watch.iter().for_each(|path| walk(path, 0, &mut found));
    found
}

/// Links are followed: certificates are links to their newest version.
fn walk(path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if found.len() >= MAX_FILES {
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

fn digest(mut paths: Vec<PathBuf>) -> Digest {
    paths.sort_unstable();
    paths.dedup();
    let mut seen = Vec::new();
    for path in paths {
        let meta = fs::metadata(&path).ok();
        let meta = meta.map(|meta| (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.mode()));
        seen.extend(format!("{}\0{meta:?}\0", path.display()).into_bytes());
    }
    Digest::of(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
}
