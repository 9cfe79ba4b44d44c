//! The ring of this host without its agent: `weir keys export` and `weir keys import`.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use super::file;
use super::keyring::{self, LoadError};
use crate::config::SecretSource;
use crate::crypto::{Key, Keyring};
use crate::error::{Explain, where_to_free_space};

/// Where systemd keeps the packaged agent's credentials, for root to read.
const CREDENTIALS: &str = "/run/credentials/weir.service";

/// Why a ring was not read or changed. It is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot write keyring {path}")]
    Write { path: PathBuf, source: io::Error },
}

impl HandError {
    /// Whether another user may.
    pub(crate) fn is_denied(&self) -> bool {
        let (Self::Load(LoadError::Read { source, .. }) | Self::Write { source, .. }) = self else { return false };
        source.kind() == io::ErrorKind::PermissionDenied
    }
}

impl Explain for HandError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        match self {
            // The agent's user is not whoever types this.
            Self::Load(_) | Self::Write { .. } if self.is_denied() => Some("use sudo".into()),
            Self::Load(error) => error.remedy(),
            Self::Write { path, source } => Some(match (where_to_free_space(path, source.kind()), source.kind()) {
                (Some(way_out), _) => way_out.into(),
                (None, io::ErrorKind::NotFound) => "make its directory, or correct encryption.keyring".into(),
                (None, _) => "see to its directory".into(),
            }),
        }
    }
}

pub(crate) use super::key_state::path as state_path;

/// Reads a ring as the agent would.
pub(crate) fn read(source: &SecretSource<Key>) -> Result<Keyring, HandError> {
    if let SecretSource::Credential(name) = source
        && std::env::var_os("CREDENTIALS_DIRECTORY").is_none()
    {
        return Ok(keyring::read(&Path::new(CREDENTIALS).join(name))?);
    }
    Ok(keyring::load(source)?.0)
}

/// Puts `key` into the ring at `path`, which is made if it is not there; it becomes the primary key unless it is only added. Returns the
/// ring.
pub(crate) fn import(path: &Path, key: &Key, add: bool) -> Result<Keyring, HandError> {
    let ring = match keyring::load(&SecretSource::File(path.to_owned())) {
        Ok((mut ring, _)) => {
            ring.install(key.clone());
            if !add {
                ring.use_key(key).expect("it was installed just now");
            }
            ring
        }
        Err(LoadError::Missing(_)) => Keyring::new(key.clone(), []),
        Err(error) => return Err(error.into()),
    };
    // Root imports, and the file stays the agent's.
    let written = file::replace_secret(path, ring.to_json().as_bytes());
    written.map_err(|source| HandError::Write { path: path.to_owned(), source })?;
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(fill: u8) -> Key {
        Key::new(&[fill; 32]).unwrap()
    }

    fn keys(path: &Path) -> Vec<Key> {
        read(&SecretSource::File(path.to_owned())).unwrap().keys().to_vec()
    }

    #[test]
    fn a_key_comes_first_or_is_only_added() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json");
        // key, only add, ring
        for (fill, add, ring) in [
            (1, false, vec![1]),
            (2, true, vec![1, 2]),
            (2, false, vec![2, 1]),
            (2, false, vec![2, 1]),
            (3, false, vec![3, 2, 1]),
        ] {
            import(&path, &key(fill), add).unwrap();
            assert_eq!(keys(&path), ring.into_iter().map(key).collect::<Vec<_>>());
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_ring_that_cannot_be_used_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json");
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(import(&path, &key(1), false), Err(HandError::Load(LoadError::Invalid { .. }))));
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        let nowhere = directory.path().join("none").join("keyring.json");
        let refused = import(&nowhere, &key(1), false).unwrap_err().sentence();
        assert!(refused.starts_with(&format!("cannot write keyring {}: ", nowhere.display())), "{refused}");
        assert!(refused.ends_with("; make its directory, or correct encryption.keyring"), "{refused}");
    }

    #[test]
    fn who_may_not_is_told_to_use_sudo_whosever_the_file_is() {
        let source = || io::ErrorKind::PermissionDenied.into();
        let path = PathBuf::from("/var/lib/weir/keyring.json");
        for error in [
            HandError::Load(LoadError::Read { path: path.clone(), source: source() }),
            HandError::Write { path, source: source() },
        ] {
            assert!(error.sentence().ends_with("; use sudo"), "{}", error.sentence());
        }
    }
}
