//! `keyring.json.state`, beside the ring: the highest rotation ballot obeyed (`protocols B.2`) and how much each key has sealed
//! (`session §7`). It holds no key.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::file;
use crate::config::SecretSource;
use crate::crypto::{Key, KeyId, Keyring};
use crate::endpoint::{MAX_REMOVED, RemovedKey};
use crate::serf::{Ballot, KeptBallot};

/// The counts on disk run ahead by this much, so that a crash never counts too little.
const AHEAD: u64 = 65_536;
/// Packets of one key over the whole cluster beyond which it should be replaced: a quarter of what it bears.
const WORN: u64 = 1 << 30;
/// Longer than any state.
const MAX_BYTES: usize = 1024 * 1024;
/// Where the state is while the ring is a credential.
const FALLBACK: &str = "/var/lib/weir/keyring.json.state";

/// What outlives the process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct KeyState {
    ballot: Option<Obeyed>,
    /// What is on disk of the counts.
    reserved: BTreeMap<KeyId, u64>,
    /// Keys that are no more in the ring, and when they went, in seconds since the epoch; the latest last.
    removed: Vec<(RemovedKey, u64)>,
    /// Keys that were warned about.
    worn: Vec<KeyId>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Obeyed {
    ballot: Ballot,
    from: String,
    /// Seconds since the epoch.
    at: u64,
}

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ballot: Option<BallotDocument>,
    #[serde(default)]
    sealed: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<RemovedDocument>,
}

#[derive(Serialize, Deserialize)]
struct RemovedDocument {
    key: String,
    members: usize,
    unix: u64,
}

#[derive(Serialize, Deserialize)]
struct BallotDocument {
    value: String,
    from: String,
    unix: u64,
}

impl KeyState {
    /// The highest ballot, for the member side of key queries.
    pub(super) fn kept_ballot(&self, now: SystemTime) -> Option<KeptBallot> {
        let Obeyed { ballot, from, at } = self.ballot.clone()?;
        // A clock that was set back makes it young: the guard then holds its full time.
        let age = Duration::from_secs(unix(now).saturating_sub(at));
        Some(KeptBallot { ballot, from, age })
    }

    /// What earlier runs may have sealed.
    pub(super) fn sealed(&self) -> BTreeMap<KeyId, u64> {
        self.reserved.clone()
    }

    /// Keys that were removed, and how long ago.
    pub(super) fn removed(&self, now: SystemTime) -> Vec<(RemovedKey, Duration)> {
        self.removed.iter().map(|(key, at)| (*key, Duration::from_secs(unix(now).saturating_sub(*at)))).collect()
    }

    /// `after` takes the place of `before`, while `members` are there. Returns whether that has to be written.
    pub(super) fn replace_ring(&mut self, before: &Keyring, after: &Keyring, members: usize, now: SystemTime) -> bool {
        let known = self.removed.clone();
        self.removed.retain(|(removed, _)| after.key(removed.key).is_none());
        let gone = before.keys().iter().map(Key::id).filter(|key| after.key(*key).is_none());
        for key in gone {
            self.removed.retain(|(removed, _)| removed.key != key);
            self.removed.push((RemovedKey { key, members }, unix(now)));
        }
        self.removed.drain(..self.removed.len().saturating_sub(MAX_REMOVED));
        self.removed != known
    }

    /// A rotation's request was obeyed.
    pub(super) fn obey(&mut self, ballot: Ballot, from: &str, now: SystemTime) {
        self.ballot = Some(Obeyed { ballot, from: from.to_owned(), at: unix(now) });
    }

    /// Reserves further packets for keys that have sealed nearly what is reserved. Returns whether that has to be written.
    pub(super) fn reserve(&mut self, sealed: &BTreeMap<KeyId, u64>) -> bool {
        let mut changed = false;
        for (key, count) in sealed {
            let reserved = self.reserved.entry(*key).or_default();
            if count + AHEAD / 2 > *reserved {
                *reserved = count + AHEAD;
                changed = true;
            }
        }
        changed
    }

    /// The process ends in order: what was reserved and not used is given back.
    pub(super) fn settle(&mut self, sealed: &BTreeMap<KeyId, u64>) {
        self.reserved.clone_from(sealed);
    }

    /// Keys that have become worn since the last call, with their counts: `members` seal about as much as we do.
    pub(super) fn newly_worn(&mut self, sealed: &BTreeMap<KeyId, u64>, members: u64) -> Vec<(KeyId, u64)> {
        // At each turn of the loop: nothing is allocated unless there is something to tell.
        let is_new = |(key, count): &(KeyId, u64)| count.saturating_mul(members) > WORN && !self.worn.contains(key);
        let new: Vec<_> = sealed.iter().map(|(key, count)| (*key, *count)).filter(is_new).collect();
        self.worn.extend(new.iter().map(|(key, _)| *key));
        new
    }

    /// The file's contents.
    pub(super) fn to_json(&self) -> String {
        let ballot = self.ballot.as_ref().map(|Obeyed { ballot, from, at }| BallotDocument {
            value: ballot.0.iter().map(|byte| format!("{byte:02x}")).collect(),
            from: from.clone(),
            unix: *at,
        });
        let sealed = self.reserved.iter().map(|(key, count)| (key.to_string(), *count)).collect();
        let removed = |(RemovedKey { key, members }, at): &(RemovedKey, u64)| RemovedDocument {
            key: key.to_string(),
            members: *members,
            unix: *at,
        };
        let removed = self.removed.iter().map(removed).collect();
        let document = Document { version: 1, ballot, sealed, removed };
        serde_json::to_string_pretty(&document).expect("maps with text keys are JSON") + "\n"
    }

    /// Reads the file's contents; `None` if they make no sense.
    pub(super) fn from_json(text: &str) -> Option<Self> {
        let document: Document = serde_json::from_str(text).ok().filter(|document: &Document| document.version == 1)?;
        let ballot = match document.ballot {
            Some(BallotDocument { value, from, unix }) => Some(Obeyed { ballot: Ballot(hex(&value)?), from, at: unix }),
            None => None,
        };
        let key = |(id, count): (String, u64)| Some((KeyId(hex(&id)?), count));
        let reserved = document.sealed.into_iter().map(key).collect::<Option<_>>()?;
        let removed = |RemovedDocument { key, members, unix }: RemovedDocument| {
            Some((RemovedKey { key: KeyId(hex(&key)?), members }, unix))
        };
        let removed = document.removed.into_iter().map(removed).collect::<Option<_>>()?;
        Some(Self { ballot, reserved, removed, worn: Vec::new() })
    }
}

/// Where the state of a ring from `source` is kept; nowhere for a key of the command line.
pub(crate) fn path(source: &SecretSource<Key>) -> Option<PathBuf> {
    match source {
        SecretSource::File(ring) => {
            let mut name = ring.clone().into_os_string();
            name.push(".state");
            Some(name.into())
        }
        SecretSource::Credential(_) => Some(FALLBACK.into()),
        SecretSource::Inline(_) => None,
    }
}

/// Reads the file. Without one the state is empty; one that cannot be read is put aside, which is logged.
pub(super) fn load(path: &Path) -> KeyState {
    let bytes = match crate::file::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return KeyState::default(),
        Err(error) => {
            let (path, kept) = (path.display(), file::kept_aside(path));
            let way_back = file::way_back(&kept, &error);
            warn!(%path, %error, kept, way_back, "state of the keyring cannot be read and is begun anew; an old rotation could not be told from a new one");
            return KeyState::default();
        }
    };
    crate::file::utf8(&bytes).ok().and_then(KeyState::from_json).unwrap_or_else(|| {
        warn!(path = %path.display(), "the state of the keyring is damaged and begun anew; an old rotation could not be told from a new one");
        KeyState::default()
    })
}

/// Writes the file, synced.
pub(super) fn store(path: &Path, state: &KeyState) -> io::Result<()> {
    file::replace(path, state.to_json().as_bytes()).map(drop)
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `N` bytes of two digits each.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const A: KeyId = KeyId([0x3f, 0xa9, 0xc1, 0xd2]);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn state_is_read_back_as_it_was_written() {
        let mut state = KeyState::default();
        assert_eq!(KeyState::from_json(&state.to_json()), Some(state.clone()));
        state.obey(Ballot([7; 12]), "lb1", at(1000));
        state.reserve(&[(A, 5)].into());
        state.replace_ring(&ring(&[1, 2]), &ring(&[2]), 3, at(1000));
        let text = state.to_json();
        assert_eq!(KeyState::from_json(&text), Some(state));
        assert!(text.contains("\"3fa9c1d2\": 65541") && text.contains(&"07".repeat(12)), "{text}");
    }

    fn ring(fills: &[u8]) -> Keyring {
        let key = |fill: &u8| Key::new(&[*fill; 16]).unwrap();
        Keyring::new(key(&fills[0]), fills[1..].iter().map(key))
    }

    #[test]
    fn keys_that_left_the_ring_are_kept_with_their_age() {
        let mut state = KeyState::default();
        let id = |fill: u8| Key::new(&[fill; 16]).unwrap().id();
        assert!(!state.replace_ring(&ring(&[1]), &ring(&[2, 1]), 3, at(1000)));
        assert!(state.replace_ring(&ring(&[2, 1]), &ring(&[2]), 3, at(1000)));
        let removed = RemovedKey { key: id(1), members: 3 };
        assert_eq!(state.removed(at(1010)), [(removed, Duration::from_secs(10))]);
        assert!(state.replace_ring(&ring(&[2]), &ring(&[2, 1]), 3, at(1020)), "it is back");
        for fill in 10..60 {
            state.replace_ring(&ring(&[2, fill]), &ring(&[2]), 3, at(1030));
        }
        let kept = state.removed(at(1030));
        assert_eq!((kept.len(), kept.last().map(|(removed, _)| removed.key)), (MAX_REMOVED, Some(id(59))));
    }

    #[test]
    fn what_makes_no_sense_is_no_state() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"version":2,"sealed":{}}"#,
            r#"{"version":1,"sealed":{"3fa9c1":1}}"#,
            r#"{"version":1,"sealed":{"3fa9c1dé":1}}"#,
            r#"{"version":1,"ballot":{"value":"00","from":"a","unix":1}}"#,
            r#"{"version":1,"removed":[{"key":"00","members":1,"unix":1}]}"#,
        ] {
            assert_eq!(KeyState::from_json(text), None, "{text}");
        }
    }

    #[test]
    fn a_ballot_ages_and_a_clock_set_back_makes_it_young() {
        let mut state = KeyState::default();
        state.obey(Ballot([7; 12]), "lb1", at(1000));
        for (now, age) in [(1000, 0), (1059, 59), (900, 0)] {
            assert_eq!(state.kept_ballot(at(now)).map(|kept| kept.age), Some(Duration::from_secs(age)));
        }
    }

    #[test]
    fn counts_on_disk_run_ahead_of_what_was_sealed() {
        let mut state = KeyState::default();
        let mut written = 0;
        for count in 0..300_000 {
            written += u32::from(state.reserve(&[(A, count)].into()));
            assert!(state.sealed()[&A] > count);
        }
        assert!(written < 12, "{written} writes");
        state.settle(&[(A, 300_000)].into());
        assert_eq!(state.sealed()[&A], 300_000);
    }

    #[test]
    fn a_worn_key_is_told_once() {
        let mut state = KeyState::default();
        // sealed, members, told
        for (count, members, told) in [(WORN / 4, 4, 0), (WORN / 4 + 1, 4, 1), (WORN, 4, 0), (u64::MAX, u64::MAX, 0)] {
            assert_eq!(state.newly_worn(&[(A, count)].into(), members).len(), told, "{count}");
        }
    }

    #[test]
    fn state_is_beside_the_ring() {
        let beside = path(&SecretSource::File("/var/lib/weir/keyring.json".into()));
        assert_eq!(beside, Some("/var/lib/weir/keyring.json.state".into()));
        assert_eq!(path(&SecretSource::Credential("ring".into())), Some(FALLBACK.into()));
    }

    #[test]
    fn a_damaged_file_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json.state");
        assert_eq!(load(&path), KeyState::default());
        let mut state = KeyState::default();
        state.obey(Ballot([7; 12]), "lb1", at(1000));
        store(&path, &state).unwrap();
        assert_eq!(load(&path), state);
        fs::write(&path, "{").unwrap();
        assert_eq!(load(&path), KeyState::default());
    }

    #[test]
    fn what_is_no_file_or_too_long_is_put_aside_and_a_state_can_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring.json.state");
        let spoil: [fn(&Path); 3] = [
            |path| fs::create_dir(path).unwrap(),
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |path| fs::write(path, vec![b' '; MAX_BYTES + 1]).unwrap(),
        ];
        for spoil in spoil {
            let aside = directory.path().join("keyring.json.state.unreadable");
            drop(fs::remove_dir(&aside).or_else(|_| fs::remove_file(&aside)));
            spoil(&path);
            assert_eq!(load(&path), KeyState::default());
            assert!(aside.exists());
            store(&path, &KeyState::default()).unwrap();
            fs::remove_file(&path).unwrap();
        }
    }
}
