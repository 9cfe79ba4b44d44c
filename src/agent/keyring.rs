//! The keyring on disk: Serf's JSON list, owner only (`ux §4` rows 6 and 7).

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file;
use crate::config::{Secret, SecretSource};
use crate::crypto::{Key, Keyring, KeyringError};
use crate::endpoint::{StoreKeyring, Stored};
use crate::error::{Explain, Trouble, system_words, where_to_free_space};
use crate::serf::KeyOp;
use crate::wire::serf::NOT_KEPT;

/// Longer than any ring.
const MAX_BYTES: usize = 1024 * 1024;

/// Why there is no keyring. Nothing has been written.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no keyring at {0}")]
    Missing(PathBuf),
    /// Whoever could read it may hold the key by now.
    #[error("{path} can be read by others (mode {mode:04o})")]
    Readable { path: PathBuf, mode: u32 },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: key must be 16, 24 or 32 bytes in base64, this one has {length}")]
    Length { path: PathBuf, length: usize },
    #[error("cannot use keyring {path}")]
    Invalid { path: PathBuf, source: KeyringError },
    #[error("no systemd credential '{0}' was passed to this service")]
    NoCredential(String),
    #[error("the rpc token is empty")]
    EmptyToken,
}

impl Explain for LoadError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Missing(_) => "run 'weir init' or 'weir keys import'".into(),
            Self::Readable { .. } => "chmod 600 it and run 'weir keys rotate'".into(),
            Self::Read { path, source } => way_out(path, source).into(),
            Self::Length { .. } => "'weir keygen' makes one".into(),
            Self::Invalid { .. } => {
                "move it away, then 'weir keys import' the key that 'weir keys export' shows on another host".into()
            }
            Self::NoCredential(_) => "add LoadCredential= to the unit, or set encryption.keyring".into(),
            Self::EmptyToken => "write one into rpc.token_file".into(),
        })
    }
}

impl LoadError {
    /// Whether there is none at all.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// Whether an operator has to act: a disk that is ill or late may be well in a moment.
    pub(crate) fn is_in_file(&self) -> bool {
        match self {
            Self::Read { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::NotFound
            ),
            Self::Missing(_)
            | Self::Readable { .. }
            | Self::Length { .. }
            | Self::Invalid { .. }
            | Self::NoCredential(_)
            | Self::EmptyToken => true,
        }
    }
}

/// What to do about a file that the system does not let us read.
fn way_out(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("'chown weir: {path}' where the packaged unit runs the agent, otherwise use sudo")
        }
        io::ErrorKind::NotFound => "correct the path".to_owned(),
        io::ErrorKind::IsADirectory => "name a file, not a directory".to_owned(),
        _ => "see 'dmesg' whether its disk is ill".to_owned(),
    }
}

/// Where a change of the ring is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    File(PathBuf),
    /// Read-only: changes last until the next start.
    Credential(String),
    /// A key from the command line, or none at all: the same.
    Nowhere,
}

/// Reads the ring and says where its changes go.
pub(super) fn load(source: &SecretSource<Key>) -> Result<(Keyring, Place), LoadError> {
    match source {
        SecretSource::File(path) => {
            refuse_readable(path)?;
            Ok((read(path)?, Place::File(path.clone())))
        }
        SecretSource::Credential(name) => Ok((read(&credential(name)?)?, Place::Credential(name.clone()))),
        SecretSource::Inline(key) => Ok((Keyring::new(key.clone(), []), Place::Nowhere)),
    }
}

/// A token, wherever it is. Its file must be as private as a keyring.
pub(super) fn read_secret(source: &SecretSource<Secret>) -> Result<Zeroizing<Vec<u8>>, LoadError> {
    let read = |path: &Path| {
        let bytes = crate::file::read(path, MAX_BYTES);
        bytes.map(Zeroizing::new).map_err(|source| LoadError::Read { path: path.to_owned(), source })
    };
    match source {
        SecretSource::File(path) => match refuse_readable(path) {
            Ok(()) => read(path),
            // What is said about a missing keyring does not fit a token.
            Err(LoadError::Missing(path)) => Err(LoadError::Read { path, source: io::ErrorKind::NotFound.into() }),
            Err(error) => Err(error),
        },
        SecretSource::Credential(name) => read(&credential(name)?),
        SecretSource::Inline(secret) => Ok(Zeroizing::new(secret.expose().as_bytes().to_vec())),
    }
}

/// Puts the ring of a change where it belongs.
pub(super) fn store(place: &Place, change: &StoreKeyring) -> Stored {
    match place {
        Place::File(path) => match file::replace_secret(path, change.keyring.to_json().as_bytes()) {
            Ok(_) => Stored::Kept,
            Err(error) => Stored::Failed(unwritten(path, &error)),
        },
        Place::Credential(name) => match credential(name).and_then(|path| read(&path)) {
            // Somebody has prepared it for the next start.
            Ok(ring) if change.ops.iter().all(|op| is_done(&ring, op)) => Stored::Kept,
            Ok(_) | Err(_) => Stored::NotKept(format!("{NOT_KEPT}: the keyring is the read-only credential {name}")),
        },
        // As Serf does it; a rotation must not count on it.
        Place::Nowhere if change.ballot.is_none() => Stored::Kept,
        Place::Nowhere => Stored::NotKept(format!("{NOT_KEPT}: the key is from the command line")),
    }
}

/// Why a ring, or what belongs to it, was not written. The packaged unit may write to its own directory and to no other.
pub(super) fn unwritten(path: &Path, error: &io::Error) -> Trouble {
    let file = file::target(path).unwrap_or_else(|_| path.to_owned());
    let way_out = where_to_free_space(&file, error.kind()).unwrap_or_else(|| {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "move the keyring to a directory that the agent may write (the package's is /var/lib/weir), and set \
                 encryption.keyring"
            }
            // A mount, which says so itself.
            io::ErrorKind::ResourceBusy => "",
            _ => "see to its directory",
        }
        .to_owned()
    });
    Trouble::new(format!("cannot write {}: {}", file.display(), system_words(error)), way_out)
}

/// Whether a ring already is as `op` makes it.
fn is_done(ring: &Keyring, op: &KeyOp) -> bool {
    let holds = |key: &[u8]| ring.keys().iter().any(|held| held.bytes() == key);
    match op {
        KeyOp::Install(key) => holds(key),
        KeyOp::Use(key) => ring.primary().bytes() == key.as_slice(),
        KeyOp::Remove(key) => !holds(key),
        KeyOp::List => true,
    }
}

/// A secret's path among the credentials that systemd passed.
pub(super) fn credential(name: &str) -> Result<PathBuf, LoadError> {
    let missing = || LoadError::NoCredential(name.to_owned());
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(missing)?;
    let path = Path::new(&directory).join(name);
    if path.exists() { Ok(path) } else { Err(missing()) }
}

fn refuse_readable(path: &Path) -> Result<(), LoadError> {
    let metadata = fs::metadata(path).map_err(|source| not_read(path, source))?;
    if metadata.is_dir() {
        return Err(not_read(path, io::ErrorKind::IsADirectory.into()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(LoadError::Readable { path: path.to_owned(), mode }) }
}

/// Reads a ring, whoever else may read it.
pub(super) fn read(path: &Path) -> Result<Keyring, LoadError> {
    let bytes = crate::file::read(path, MAX_BYTES).map(Zeroizing::new).map_err(|source| not_read(path, source))?;
    let ring = std::str::from_utf8(&bytes).map_err(|_| KeyringError::NotText).and_then(Keyring::from_json);
    ring.map_err(|error| {
        let path = path.to_owned();
        match error {
            KeyringError::Entry { ref source, .. } => match **source {
                KeyringError::Length(length) => LoadError::Length { path, length },
                _ => LoadError::Invalid { path, source: error },
            },
            source => LoadError::Invalid { path, source },
        }
    })
}

fn not_read(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound { LoadError::Missing(path) } else { LoadError::Read { path, source } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Asker;
    use crate::serf::{Ballot, LamportTime, QueryKey};

    const K16: &str = "AAECAwQFBgcICQoLDA0ODw==";

    fn with_file(contents: &str, mode: u32, test: impl FnOnce(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json");
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        test(&path);
    }

    fn error(path: &Path) -> String {
        load(&SecretSource::File(path.to_owned())).unwrap_err().sentence()
    }

    #[test]
    fn ring_is_read_and_changes_go_back_to_its_file() {
        with_file(&format!("[\"{K16}\"]"), 0o600, |path| {
            let (ring, place) = load(&SecretSource::File(path.to_owned())).unwrap();
            let change = install(&ring, false);
            assert_eq!(store(&place, &change), Stored::Kept);
            let (read, _) = load(&SecretSource::File(path.to_owned())).unwrap();
            assert_eq!(read.keys(), change.keyring.keys());
        });
    }

    #[test]
    fn a_directory_is_no_readable_ring() {
        let dir = std::env::temp_dir();
        let error = load(&SecretSource::File(dir.clone())).unwrap_err().sentence();
        assert!(error.starts_with(&format!("cannot read {}: ", dir.display())), "{error}");
        assert!(error.ends_with("; name a file, not a directory"), "{error}");
    }

    #[test]
    fn ring_that_others_can_read_is_refused() {
        for mode in [0o644, 0o640, 0o604] {
            with_file(&format!("[\"{K16}\"]"), mode, |path| {
                let what = format!("{} can be read by others (mode {mode:04o})", path.display());
                let wanted = what + "; chmod 600 it and run 'weir keys rotate'";
                assert_eq!(error(path), wanted);
            });
        }
    }

    #[test]
    fn missing_ring_and_bad_key_name_the_way_out() {
        let nowhere = Path::new("/nonexistent/keyring.json");
        assert_eq!(error(nowhere), "no keyring at /nonexistent/keyring.json; run 'weir init' or 'weir keys import'");
        with_file("[\"AAECAwQFBgcICQoLDA0O\"]", 0o600, |path| {
            let text = error(path);
            assert!(
                text.ends_with("key must be 16, 24 or 32 bytes in base64, this one has 15; 'weir keygen' makes one"),
                "{text}"
            );
        });
    }

    #[test]
    fn a_damaged_ring_names_file_cause_and_way_out() {
        for (contents, cause) in [
            ("", "the file is empty"),
            ("[\"AAECAwQFBgcICQ", "its JSON list is cut off (line 1, column 16)"),
            ("{}", "it is not a JSON list of base64 strings (line 1, column 0)"),
        ] {
            with_file(contents, 0o600, |path| {
                let refused = load(&SecretSource::File(path.to_owned())).unwrap_err();
                let way_out =
                    "move it away, then 'weir keys import' the key that 'weir keys export' shows on another host";
                assert_eq!(refused.sentence(), format!("cannot use keyring {}: {cause}; {way_out}", path.display()));
            });
        }
    }

    #[test]
    fn an_unreadable_file_names_the_way_out_by_its_cause() {
        let path = || PathBuf::from("/var/lib/weir/keyring.json");
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "'chown weir: /var/lib/weir/keyring.json'"),
            (io::ErrorKind::IsADirectory, "name a file"),
            (io::ErrorKind::Other, "'dmesg'"),
        ] {
            let text = LoadError::Read { path: path(), source: kind.into() }.sentence();
            assert!(text.starts_with("cannot read /var/lib/weir/keyring.json: ") && text.contains(words), "{text}");
        }
    }

    #[test]
    fn unwritable_directory_is_an_error_and_the_old_ring_stays() {
        let place = Place::File("/proc/keyring.json".into());
        let ring = Keyring::new(Key::from_base64(K16).unwrap(), []);
        let Stored::Failed(trouble) = store(&place, &install(&ring, false)) else { panic!("it is on disk") };
        assert!(trouble.what.starts_with("cannot write /proc/keyring.json: "), "{trouble}");
        for (kind, words) in [
            (io::ErrorKind::ReadOnlyFilesystem, "encryption.keyring"),
            (io::ErrorKind::PermissionDenied, "encryption.keyring"),
            (io::ErrorKind::StorageFull, "free space in /etc/weir"),
        ] {
            let trouble = unwritten(Path::new("/etc/weir/keyring.json"), &kind.into());
            assert!(trouble.way_out.contains(words), "{trouble}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_not_confirmed_to_a_rotation() {
        let ring = Keyring::new(Key::from_base64(K16).unwrap(), []);
        // As Serf with -encrypt.
        assert_eq!(store(&Place::Nowhere, &install(&ring, false)), Stored::Kept);
        assert!(
            matches!(store(&Place::Nowhere, &install(&ring, true)), Stored::NotKept(text) if text.starts_with("not kept"))
        );
        for ballot in [false, true] {
            let place = Place::Credential("ring".into());
            assert!(
                matches!(store(&place, &install(&ring, ballot)), Stored::NotKept(text) if text.starts_with("not kept"))
            );
        }
    }

    #[test]
    fn a_ring_prepared_for_the_next_start_already_holds_the_result() {
        let op = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let ring = Keyring::new(Key::new(&[1; 16]).unwrap(), [Key::new(&[2; 16]).unwrap()]);
        for (op, done) in [
            (KeyOp::Install(op(&[1; 16])), true),
            (KeyOp::Install(op(&[3; 16])), false),
            (KeyOp::Use(op(&[1; 16])), true),
            (KeyOp::Use(op(&[2; 16])), false),
            (KeyOp::Remove(op(&[2; 16])), false),
            (KeyOp::Remove(op(&[3; 16])), true),
        ] {
            assert_eq!(is_done(&ring, &op), done, "{op:?}");
        }
    }

    fn install(ring: &Keyring, rotating: bool) -> StoreKeyring {
        let key = Key::new(&[9; 32]).unwrap();
        let mut keyring = ring.clone();
        keyring.install(key.clone());
        StoreKeyring {
            asker: Asker::Member(QueryKey { ltime: LamportTime(1), id: 1 }),
            ops: vec![KeyOp::Install(Zeroizing::new(key.bytes().to_vec()))],
            from: "op".into(),
            keyring,
            ballot: rotating.then_some(Ballot([0; 12])),
            refused: None,
        }
    }
}
