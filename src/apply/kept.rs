//! What a job carries besides files: promises and holds, kept so that recovery and a roll back know them while the agent is down
//! (`protocols C.1`).

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, disk};
use crate::drain::Promises;
use crate::upstream::Holds;

const MAX_BYTES: usize = 2 * 1024 * 1024;

pub(super) fn promises(state: &Path) -> Result<Promises, Error> {
    load(&state.join("promises"))
}

pub(super) fn holds(state: &Path) -> Result<Holds, Error> {
    load(&state.join("holds"))
}

pub(super) fn keep_promises(state: &Path, promises: &Promises) -> Result<(), Error> {
    keep(&state.join("promises"), promises)
}

pub(super) fn keep_holds(state: &Path, holds: &Holds) -> Result<(), Error> {
    keep(&state.join("holds"), holds)
}

/// None, before the first.
fn load<T: Default + DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let Some(bytes) = disk::read_if_there(path, MAX_BYTES)? else { return Ok(T::default()) };
    serde_json::from_slice(&bytes).map_err(|error| Error::Record { path: path.to_owned(), what: error.to_string() })
}

/// On disk when this returns. The same again costs no write.
fn keep(path: &Path, value: &(impl Serialize + Default + PartialEq)) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).expect("names and numbers always have a JSON form");
    disk::within(path, &bytes, MAX_BYTES)?;
    // One that cannot be read is written anew.
    let before = disk::read_if_there(path, MAX_BYTES);
    let is_same =
        before.is_ok_and(|before| before.map_or_else(|| *value == Default::default(), |before| before == bytes));
    if is_same { Ok(()) } else { disk::replace(path, &bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::{DrainId, Promise};
    use crate::wire::NodeName;
    use crate::wire::message::Incarnation;

    #[test]
    fn nothing_is_kept_that_could_not_be_read_back_and_nothing_unreadable_stays() {
        let dir = tempfile::tempdir().unwrap();
        let promises = |count: u32, node: &str| {
            let mut promises = Promises::default();
            for number in 0..count {
                let (node, id) = (NodeName::new(node).unwrap(), DrainId::new(&number.to_string()).unwrap());
                promises.insert(Promise { node, incarnation: Incarnation::new(7), id }).unwrap();
            }
            promises
        };
        let few = promises(3, "web1");
        keep_promises(dir.path(), &few).unwrap();
        // Each byte of such a name takes six.
        let most = promises(u32::try_from(Promises::MAX).unwrap(), &"\u{1}".repeat(400));
        let error = keep_promises(dir.path(), &most).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write {}/promises: ", dir.path().display())), "{error}");
        assert_eq!(super::promises(dir.path()).unwrap(), few);
        std::fs::write(dir.path().join("promises"), vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(super::promises(dir.path()).is_err());
        keep_promises(dir.path(), &few).unwrap();
        assert_eq!(super::promises(dir.path()).unwrap(), few);
    }
}
