//! Reads a file that somebody named, without trusting that it is one: never waits for it, never takes more than a bound.
#![expect(clippy::disallowed_methods, reason = "this is where the modules that may read files have them read")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens `path` for reading if it is a regular file.
///
/// # Errors
/// Besides the system's: a directory is [`io::ErrorKind::IsADirectory`], a pipe or device [`io::ErrorKind::InvalidInput`].
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Opening a device can have effects of its own, so it is looked at first; opening a pipe would wait for its writer, so
    // what came in its place since is not waited for either.
    refuse_odd(&fs::metadata(path)?)?;
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    refuse_odd(&file.metadata()?)?;
    Ok(file)
}

/// The contents of a regular file of at most `max` bytes.
///
/// # Errors
/// As [`open`]; what is longer is [`io::ErrorKind::FileTooLarge`].
pub(crate) fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    all(open(path)?, max)
}

/// As [`read`], and also from a pipe: somebody named it, and it is theirs to fill.
pub(crate) fn read_any(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    all(File::open(path)?, max)
}

/// As [`read_any`], where `-` is standard input.
pub(crate) fn read_argument(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    if path == Path::new("-") { bounded(io::stdin().lock(), max, max) } else { read_any(path, max) }
}

/// At most the first `len` bytes of a regular file.
pub(crate) fn head(path: &Path, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes as the text that they should be.
pub(crate) fn utf8(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))
}

fn all(file: File, max: usize) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    bounded(file, len, max)
}

fn bounded(from: impl Read, expected: usize, max: usize) -> io::Result<Vec<u8>> {
    // One piece of memory from the start: a secret must leave no copies behind as it grows.
    let mut bytes = Vec::with_capacity(expected.min(max));
    from.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {} KiB", max / 1024)));
    }
    Ok(bytes)
}

fn refuse_odd(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_within_the_bound_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), [7; 2048]).unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        // Nobody writes to it: opened the usual way, it would be waited for without end.
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let kind = |name: &str, max| read(&at(name), max).map(|bytes| bytes.len()).map_err(|error| error.kind());
        assert_eq!(kind("file", 2048), Ok(2048));
        assert_eq!(kind("link", 2048), Ok(2048));
        assert_eq!(kind("file", 2047), Err(io::ErrorKind::FileTooLarge));
        assert_eq!(kind("pipe", 1), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(".", 1), Err(io::ErrorKind::IsADirectory));
        assert_eq!(kind("none", 1), Err(io::ErrorKind::NotFound));
        let endless = Path::new("/dev/zero");
        assert_eq!(read(endless, 1).unwrap_err().to_string(), "not a regular file");
        assert_eq!(read_any(endless, 2048).unwrap_err().to_string(), "more than 2 KiB");
    }
}
