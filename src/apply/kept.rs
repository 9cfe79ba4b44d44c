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
    let before = disk::read_if_there(path, MAX_BYTES)?;
    let is_same = before.as_ref().map_or_else(|| *value == Default::default(), |before| *before == bytes);
    if is_same { Ok(()) } else { disk::replace(path, &bytes) }
}
