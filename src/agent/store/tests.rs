//! The file system's side: what is written where, and what a failure leaves.

use std::fs;

use super::*;

fn jobs(list: &[Write]) -> VecDeque<Write> {
    list.iter().cloned().collect()
}

#[test]
fn jobs_are_carried_out_in_order_and_the_file_is_kept_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let first = jobs(&[Write::Replace(b"a\n".to_vec()), Write::Append(b"b\n".to_vec()), Write::Sync]);
    let done = carry_out(&path, None, first);
    done.result.unwrap();
    assert!(done.file.is_some());
    carry_out(&path, done.file, jobs(&[Write::Append(b"c\n".to_vec())])).result.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"a\nb\nc\n");
}

#[test]
fn replaced_file_is_the_one_that_is_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let done = carry_out(&path, None, jobs(&[Write::Append(b"old\n".to_vec())]));
    let more = jobs(&[Write::Replace(b"new\n".to_vec()), Write::Append(b"x\n".to_vec())]);
    carry_out(&path, done.file, more).result.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new\nx\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn failed_job_stops_those_behind_it_and_gives_no_file_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none").join("snapshot");
    let done = carry_out(&path, None, jobs(&[Write::Append(b"a".to_vec()), Write::Sync]));
    assert!(done.result.is_err());
    assert!(done.file.is_none());
}

#[test]
fn a_file_that_is_no_snapshot_is_put_aside_and_not_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyring.json");
    fs::write(&path, "[\"AAECAwQFBgcICQoLDA0ODw==\"]\n").unwrap();
    let mut config = Config::default();
    config.snapshot.path = Some(path.clone());
    Store::open(&config, clock::now());
    assert!(!path.exists());
    let aside = directory.path().join("keyring.json.unreadable");
    assert_eq!(fs::read_to_string(aside).unwrap(), "[\"AAECAwQFBgcICQoLDA0ODw==\"]\n");
}

#[test]
fn what_cannot_be_read_is_put_aside_and_the_agent_has_a_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    let aside = directory.path().join("snapshot.unreadable");
    let mut config = Config::default();
    config.snapshot.path = Some(path.clone());
    let spoil: [fn(&Path); 2] = [
        |path| fs::create_dir(path).unwrap(),
        |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
    ];
    for spoil in spoil {
        spoil(&path);
        let (store, restored) = Store::open(&config, clock::now());
        assert!(store.open.is_some() && restored.members.is_empty());
        assert!(aside.exists() && !path.exists());
        carry_out(&path, None, jobs(&[Write::Replace(b"new\n".to_vec())])).result.unwrap();
        fs::remove_file(&path).unwrap();
        drop(fs::remove_dir(&aside).or_else(|_| fs::remove_file(&aside)));
    }
}
