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

/// One with a drain to be recorded while an earlier job is under way.
fn waiting(directory: &Path, now: Instant) -> Store {
    let mut config = Config::default();
    config.snapshot.path = Some(directory.join("snapshot"));
    let mut store = Store::open(&config, now).0;
    store.open.as_mut().unwrap().running = Some(tokio::spawn(std::future::pending()));
    let (id, since) = (crate::drain::DrainId::drawn(7), crate::wire::serf::LamportTime(3));
    store.drain(now, Some(&Kept { id, since, operator: true, guards: Default::default(), reason: None }));
    assert_eq!(store.poll_drain(now), None, "it is behind the job that runs");
    store
}

#[tokio::test]
async fn whoever_waits_for_the_record_of_a_drain_hears_at_once_that_the_disk_fails() {
    let (directory, now) = (tempfile::tempdir().unwrap(), clock::now());
    let mut store = waiting(directory.path(), now);
    store.open.as_mut().unwrap().running = None;
    store.handle_done(now, Done { file: None, result: Err(nix::errno::Errno::ENOSPC.into()) });
    let Some(Err(NotKept::Failed(error))) = store.poll_drain(now) else { panic!("it is kept") };
    let path = directory.path();
    let words = format!("cannot write {0}/snapshot: no space left on device; free space in {0}", path.display());
    assert_eq!(error, words);
    let failing = store.status(&Calendar::read()).and_then(|snapshot| snapshot.failing).unwrap();
    assert_eq!(failing.remedy, Some(format!("free space in {}", path.display())));
    assert_eq!(store.poll_drain(now), None, "once");
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_not_waited_for() {
    let (directory, now) = (tempfile::tempdir().unwrap(), clock::now());
    let mut store = waiting(directory.path(), now);
    assert!(store.poll_timeout().is_some_and(|at| at <= now + DRAIN_RECORD));
    assert_eq!(store.poll_drain(now + DRAIN_RECORD - Duration::from_millis(1)), None);
    let result = store.poll_drain(now + DRAIN_RECORD);
    assert!(
        matches!(&result, Some(Err(NotKept::Failed(error))) if error.contains("no answer within 2 s")),
        "{result:?}"
    );
}

#[test]
fn without_a_snapshot_no_drain_is_ever_kept() {
    let mut store = Store { open: None, drain: DrainRecord::Told };
    store.drain(clock::now(), None);
    assert!(matches!(store.poll_drain(clock::now()), Some(Err(NotKept::Never(_)))));
}
