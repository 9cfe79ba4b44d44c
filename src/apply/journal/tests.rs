use super::*;
use crate::apply::Step;

fn begin(generation: u64) -> Event {
    let (generation, prev) = (Generation(generation), Generation(generation - 1));
    Event::Begin(Begin { generation, prev, untested: false, files: Vec::new(), work: Work::default() })
}

fn live(generation: u64) -> Event {
    Event::Live(Live { generation: Generation(generation), ..Live::default() })
}

fn refused(generation: u64) -> Abort {
    let (generation, cause) = (Generation(generation), Error::MasterGone);
    Abort { generation, step: Step::Validate, cause, work: Some(Work::default()), may_be_served: false }
}

fn outcomes(journal: &Journal) -> Vec<(u64, Outcome)> {
    journal.history().iter().map(|past| (past.generation.0, past.outcome)).collect()
}

#[test]
fn what_is_written_is_read_again_and_a_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::read(dir.path()).unwrap();
    assert!(journal.is_new());
    for event in [begin(1), live(1), begin(2)] {
        journal.write(event).unwrap();
    }
    let path = dir.path().join("journal");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"0a1b2c3d {\"at\":1,\"ev"].concat()).unwrap();
    let mut again = Journal::read(dir.path()).unwrap();
    assert_eq!(again.state(), journal.state());
    again.write(live(2)).unwrap();
    let third = Journal::read(dir.path()).unwrap();
    assert_eq!((third.state().confirmed, third.state().is_open()), (Generation(2), false));
    assert_eq!(outcomes(&third), [(1, Outcome::Live), (2, Outcome::Live)]);
}

#[test]
fn a_generation_is_rolled_back_when_what_was_put_back_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::read(dir.path()).unwrap();
    for event in [begin(1), live(1), begin(2)] {
        journal.write(event).unwrap();
    }
    journal.write(Event::Back { failed: Generation(2), to: Generation(1), cause: Error::MasterGone }).unwrap();
    assert_eq!(outcomes(&journal), [(1, Outcome::Live), (2, Outcome::Open)]);
    assert_eq!(journal.history()[1].error, Some(Error::MasterGone), "why it is open");
    journal.write(live(1)).unwrap();
    assert_eq!(outcomes(&journal), [(1, Outcome::Live), (2, Outcome::RolledBack { to: Generation(1) })]);
    assert_eq!(journal.history()[1].error, Some(Error::MasterGone));
}

#[test]
fn a_journal_that_cannot_be_read_says_why_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let mut journal = Journal::read(dir.path()).unwrap();
    journal.begin_with([begin(1), live(1)]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("begin", "begun", 1)).unwrap();
    let error = Journal::read(dir.path()).unwrap_err().to_string();
    let way = format!("move {} away; the next apply writes it anew", path.display());
    assert_eq!(error, format!("{} is damaged: line 1 is not as it was written; {way}", path.display()));
    let body = r#"{"at":1,"event":{"fly":{}}}"#;
    std::fs::write(&path, format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()))).unwrap();
    let error = Journal::read(dir.path()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{} was written by a newer weir; ", path.display())), "{error}");
}

#[test]
fn what_is_tried_again_and_again_is_recorded_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::read(dir.path()).unwrap();
    assert_eq!(journal.write_abort(refused(3)).unwrap(), Generation(3));
    assert_eq!(journal.write_abort(refused(4)).unwrap(), Generation(3));
    assert_eq!(journal.write_abort(Abort { step: Step::Write, ..refused(4) }).unwrap(), Generation(4));
    assert_eq!(journal.state().newest, Generation(4));
}

#[test]
fn a_compacted_journal_adds_up_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::read(dir.path()).unwrap();
    for generation in 1..=200 {
        journal.write(begin(generation)).unwrap();
        match generation % 3 {
            0 => journal.write(Event::Abort(Abort { work: None, ..refused(generation) })).unwrap(),
            1 => journal.write(Event::Stored { generation: Generation(generation) }).unwrap(),
            _ => journal.write(live(generation)).unwrap(),
        }
    }
    let (base, kept) = compacted(&journal.records).unwrap();
    let base = Record { at: 0, event: Event::Base(base) };
    assert_eq!(&State::of(std::iter::once(&base).chain(&kept)), journal.state());
    assert_eq!(history::of(&kept), journal.history()[200 - KEPT..]);
    let (before, all) = (journal.state().clone(), journal.records.len());
    journal.compact().unwrap();
    assert_eq!(journal.records.len(), all, "it is short");
    journal.len = ROOM_BYTES + 1;
    journal.compact().unwrap();
    assert_eq!(journal.records.len(), 2 * KEPT + 1);
    let again = Journal::read(dir.path()).unwrap();
    assert_eq!((again.state(), again.len), (&before, journal.len));
}

#[test]
fn what_is_recorded_though_no_generation_begins_goes_with_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::read(dir.path()).unwrap();
    journal.begin_with([begin(1), live(1)]).unwrap();
    let hash = |number: u64| Digest::of(&number.to_be_bytes());
    for number in 0..200 {
        let (generation, watched) = (Generation(1), Some(hash(number)));
        journal.write(Event::Reload { generation, confirm_ms: 40, watched }).unwrap();
        journal.write_foreign("/a".as_ref(), hash(number), "/b".as_ref()).unwrap();
    }
    // Nor does it stay while a run has not ended.
    journal.write(begin(2)).unwrap();
    journal.write(Event::Back { failed: Generation(2), to: Generation(1), cause: Error::MasterGone }).unwrap();
    let (state, history) = (journal.state().clone(), journal.history());
    journal.len = ROOM_BYTES + 1;
    journal.compact().unwrap();
    // The base, two of each generation, the last of the reloads, and the newest copies.
    assert_eq!(journal.records.len(), 1 + 4 + 1 + KEPT);
    let again = Journal::read(dir.path()).unwrap();
    assert_eq!((again.state(), again.state().watched), (&state, Some(hash(199))));
    assert_eq!(again.history(), history);
}

#[test]
fn bytes_that_are_met_again_by_the_same_attempt_are_recorded_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::read(dir.path()).unwrap();
    let mut met = |hash: &[u8]| journal.write_foreign("/a".as_ref(), Digest::of(hash), "/b".as_ref()).unwrap();
    [b"one", b"two", b"one", b"two"].into_iter().for_each(|hash| met(hash));
    assert_eq!(journal.records.len(), 2);
    journal.write(begin(1)).unwrap();
    journal.write_foreign("/a".as_ref(), Digest::of(b"one"), "/b".as_ref()).unwrap();
    assert_eq!(journal.records.len(), 4, "it is a new edit");
}
