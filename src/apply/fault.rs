//! Where a run can be made to die, and what it writes: for the tests of recovery. Nothing of it is left without the feature
//! `faults`.

#![cfg_attr(not(feature = "faults"), allow(dead_code, unreachable_pub, reason = "without the feature nobody looks"))]

use std::path::Path;

/// A moment between two steps of `protocols C.2`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "faults", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Fault {
    /// Promises and holds are stored.
    Stored,
    /// The candidates are beside their targets.
    Written,
    /// They have passed the test.
    Validated,
    /// The generation is saved.
    Saved,
    /// The run is in the journal.
    Begun,
    /// One of the files is exchanged.
    Exchanged,
    /// The directories are synced.
    Synced,
    /// The master is told to reload.
    Signalled,
    /// New workers serve.
    Confirmed,
    /// That is in the journal.
    Recorded,
    /// What was displaced is gone.
    Cleared,
    /// That going back is necessary is in the journal.
    Back,
    /// The older files are back.
    Restored,
}

impl Fault {
    /// Every one, in the order of a run; the last two are those of a run that goes back.
    pub const ALL: [Self; 13] = [
        Self::Stored,
        Self::Written,
        Self::Validated,
        Self::Saved,
        Self::Begun,
        Self::Exchanged,
        Self::Synced,
        Self::Signalled,
        Self::Confirmed,
        Self::Recorded,
        Self::Cleared,
        Self::Back,
        Self::Restored,
    ];
}

/// One change of what is on disk.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "faults", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub(super) enum Write<'a> {
    /// A new directory.
    Directory(&'a Path),
    /// A new file with all its bytes.
    File(&'a Path, &'a [u8]),
    /// Bytes at the end of a file.
    Append(&'a Path, &'a [u8]),
    /// A file cut to this length.
    Cut(&'a Path, u64),
    /// Bytes on disk.
    Sync(&'a Path),
    /// Names on disk.
    SyncDirectory(&'a Path),
    /// A name given up for another, which may have named something.
    Rename(&'a Path, &'a Path),
    /// Two names exchanged.
    Exchange(&'a Path, &'a Path),
    /// A second name.
    Link(&'a Path, &'a Path),
    /// A name given up.
    Remove(&'a Path),
    /// A directory with all that is in it.
    RemoveAll(&'a Path),
}

/// Ends this process, as SIGKILL does, if `WEIR_FAULT` names `fault`; stops it, as SIGSTOP does, if `WEIR_STOP` names it.
#[cfg(feature = "faults")]
pub(super) fn point(fault: Fault) {
    use rustix::process::Signal;
    let name = serde_json::to_value(fault).expect("a word has a JSON form");
    for (variable, signal) in [("WEIR_FAULT", Signal::KILL), ("WEIR_STOP", Signal::STOP)] {
        if std::env::var(variable).is_ok_and(|wanted| name == wanted) {
            // It cannot fail: the process is this one.
            let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
        }
    }
}

#[cfg(not(feature = "faults"))]
pub(super) const fn point(_fault: Fault) {}

/// Adds a line to the file that `WEIR_TRACE` names, if it names one.
#[cfg(feature = "faults")]
pub(super) fn trace(write: Write<'_>) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("WEIR_TRACE") else { return };
    let line = serde_json::to_string(&write).expect("paths of tests have a JSON form") + "\n";
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a test's own file can be written");
}

#[cfg(not(feature = "faults"))]
pub(super) const fn trace(_write: Write<'_>) {}
