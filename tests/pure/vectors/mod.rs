//! The bytes of `tests/vectors` against the codecs, both ways, every case of every file.
//!
//! Captured bytes come from real agents (each file says how), the others from an independent implementation of the
//! documents. What we decode has to be what the file says, and encoding that has to give the same bytes, nonces taken from the
//! file. `serf-snapshot.json` and `server-decisions.json` hold no encodings.

mod lzw;
mod memberlist;
mod serf;
mod session;
mod support;
mod tolerance;

/// No encodings of ours: fixtures for `snapshot` and `upstream::decide`, not read here.
const OTHERS: [&str; 2] = ["serf-snapshot.json", "server-decisions.json"];

#[test]
fn no_file_is_forgotten() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".json"))
        .collect();
    let mut held =
        [&memberlist::FILES[..], &serf::FILES, &["lzw.json", "session.json", "tolerance-memberlist.json"], &OTHERS]
            .concat();
    files.sort_unstable();
    held.sort_unstable();
    assert_eq!(files, held);
}
