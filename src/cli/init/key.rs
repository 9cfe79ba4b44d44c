//! The cluster's key: by a hidden prompt, from standard input, or from a file that nobody else may read. Never an argument (`ux §5`).

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::prompt;
use crate::config::SecretSource;
use crate::crypto::Key;
use crate::escape::escape;
use crate::status::node::{Cluster, Document};

/// What is asked for.
const QUESTION: &str = "cluster key";
/// How often a key may be typed.
const TRIES: usize = 3;
/// More than any key and the blanks around it.
const MAX_KEY: usize = 4096;

/// Where the key comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// Whoever sits at the terminal.
    Prompt,
    /// Standard input.
    Input,
    File(PathBuf),
}

impl Source {
    /// As `--key-file` says. Nobody types a key where it is shown, so standard input that is a terminal is a prompt.
    pub(super) fn of(key_file: Option<&Path>, is_terminal: bool) -> Self {
        match key_file {
            None => Self::Prompt,
            Some(path) if path == Path::new("-") => {
                if is_terminal {
                    Self::Prompt
                } else {
                    Self::Input
                }
            }
            Some(path) => Self::File(path.to_owned()),
        }
    }

    /// The key. A mistyped one is asked for again.
    pub(super) async fn read(self, output: &Output) -> Result<Key, Failure> {
        let output = *output;
        // Whoever types takes time, and an interrupt is to be heard meanwhile.
        let read = tokio::task::spawn_blocking(move || self.read_blocking(&output)).await;
        read.unwrap_or_else(|_broke_off| Err(Failure::new(Exit::Failed, "the key could not be read")))
    }

    fn read_blocking(&self, output: &Output) -> Result<Key, Failure> {
        match self {
            Self::Prompt => typed(
                || {
                    prompt::secret(
                        &format!("? {QUESTION}"),
                        "give it with --key-file FILE, or --key-file - on standard input",
                    )
                },
                |failure| output.detail(&format!("  {}", failure.sentence())),
            ),
            Self::Input => parse(&contents(Path::new("-"))?),
            Self::File(path) => {
                refuse_readable(path)?;
                parse(&contents(path)?)
            }
        }
    }
}

/// What is typed, asked for again where it is no key.
fn typed(
    mut ask: impl FnMut() -> Result<Zeroizing<String>, Failure>,
    mut tell: impl FnMut(&Failure),
) -> Result<Key, Failure> {
    let mut left = TRIES;
    loop {
        left -= 1;
        match parse(&ask()?) {
            Err(failure) if left > 0 => tell(&failure),
            last => return last,
        }
    }
}

/// Row 7 of `ux §4`.
fn parse(text: &str) -> Result<Key, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::usage("there is no key in what was given")
            .with_remedy("'sudo weir keys export --show' on a member shows it"));
    }
    Key::from_base64(text).map_err(|error| {
        Failure::usage(error.to_string()).with_remedy("'sudo weir keys export --show' on a member shows it")
    })
}

fn contents(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = crate::file::read_argument(path, MAX_KEY).map(Zeroizing::new);
    let text = bytes.and_then(|bytes| Ok(Zeroizing::new(crate::file::utf8(&bytes)?.to_owned())));
    text.map_err(|error| Failure::of_file("read", path, &error))
}

/// Whoever else may read it may have the key by now. A pipe is whose it is.
fn refuse_readable(path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| Failure::of_file("read", path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() || mode & 0o077 == 0 {
        return Ok(());
    }
    let what = format!("{} can be read by others (mode {mode:04o})", path.display());
    Err(Failure::new(Exit::Refused, what).with_remedy(format!("'chmod 600 {}', then again", path.display())))
}

/// Whether the running agent has a key with which it has joined nobody: then another one is asked for.
pub(super) fn is_in_doubt(document: &Document) -> bool {
    let Cluster { lacks_key, .. } = document.cluster;
    lacks_key && document.cluster.hears_nobody()
}

/// How another key comes in: by what was typed, `again`, or where the unit brings the keyring along, from where that is.
pub(super) fn way_in(keyring: Option<&SecretSource<Key>>, again: &str) -> String {
    match keyring {
        Some(SecretSource::Credential(name)) => {
            let name = escape(name);
            format!(
                "put the cluster's key where credential {name} of weir.service comes from ('systemctl cat weir' shows that), then \
                 'systemctl restart weir'"
            )
        }
        Some(SecretSource::File(_) | SecretSource::Inline(_)) | None => format!("'{again}' takes another key"),
    }
}

/// Row 3: the key is one, and not the cluster's.
pub(super) fn refused(document: &Document, way_in: &str) -> Option<Failure> {
    if !is_in_doubt(document) {
        return None;
    }
    let what =
        document.cluster.join_failures.iter().map(|trouble| trouble.what.as_str()).collect::<Vec<_>>().join(", ");
    Some(of_another(what, way_in))
}

/// `what` is how that showed.
pub(super) fn of_another(what: String, way_in: &str) -> Failure {
    Failure::new(Exit::Failed, what).with_remedy(format!("compare 'weir keys list' (serf keys -list) there; {way_in}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;
    use crate::status::Trouble;

    const KEY: &str = "sRlfIOhIxJAvOBwiWDFYC1T/GrSl4H32fRM3e6nTrwY=";
    const SHORT: &str = "c2hvcnQ=";

    #[test]
    fn a_key_may_be_typed_three_times() {
        let of = |lines: &[&str]| {
            let (mut lines, mut told) = (lines.iter(), Vec::new());
            let ask = || Ok(Zeroizing::new((*lines.next().expect("no more is asked")).to_owned()));
            let key = typed(ask, |failure| told.push(failure.message().to_owned()));
            (key.map(|key| key.id()).map_err(|failure| failure.sentence()), told)
        };
        let id = Key::from_base64(KEY).unwrap().id();
        let short = "key must be 16, 24 or 32 bytes long, this one has 5";
        assert_eq!(of(&[KEY]), (Ok(id), vec![]));
        assert_eq!(of(&[" ", SHORT, &format!(" {KEY} ")]).0, Ok(id));
        let (failed, told) = of(&[SHORT, SHORT, SHORT]);
        assert_eq!(failed, Err(format!("{short}; 'sudo weir keys export --show' on a member shows it")));
        assert_eq!(told, [short, short]);
        let mut asked = 0;
        let given_up = typed(
            || {
                asked += 1;
                Err(Failure::new(Exit::Interrupted, "interrupted"))
            },
            |_| {},
        );
        assert_eq!((given_up.map(|_| ()).map_err(|failure| failure.exit()), asked), (Err(Exit::Interrupted), 1));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, format!("{KEY}\n")).unwrap();
        let output = Output::new(Default::default(), Default::default(), true);
        let read = |mode| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Source::of(Some(&path), true).read_blocking(&output).map(|key| key.id().to_string())
        };
        let id = Key::from_base64(KEY).unwrap().id().to_string();
        assert_eq!((read(0o600), read(0o400)), (Ok(id.clone()), Ok(id)));
        for (mode, shown) in [(0o640, "0640"), (0o644, "0644"), (0o604, "0604")] {
            let failure = read(mode).unwrap_err();
            let path = path.display();
            let told = format!("{path} can be read by others (mode {shown}); 'chmod 600 {path}', then again");
            assert_eq!((failure.sentence(), failure.exit()), (told, Exit::Refused));
        }
        let missing = Source::File(dir.path().join("none")).read_blocking(&output).unwrap_err();
        assert!(missing.sentence().ends_with("no such file or directory; correct the path"), "{missing:?}");
        let input = |is_terminal| Source::of(Some(Path::new("-")), is_terminal);
        assert_eq!((input(false), input(true)), (Source::Input, Source::Prompt), "it would be shown");
        assert_eq!(Source::of(None, false), Source::Prompt);
    }

    #[test]
    fn a_key_that_the_cluster_does_not_have_is_asked_for_again() {
        let hung_up = "10.77.0.11 hung up without an answer: it probably lacks our key 3fa9c1d2";
        let mut document = Document::default();
        document.cluster.alive = 1;
        document.cluster.join_failures = vec![Trouble::new(hung_up, "'weir keys import' here")];
        assert_eq!(refused(&document, "x"), None, "it may be the network");
        document.cluster.lacks_key = true;
        let again = "sudo weir init web --join 10.77.0.11";
        let told = refused(&document, &way_in(None, again)).unwrap();
        assert_eq!(
            told.sentence(),
            format!(
                "{hung_up}; compare 'weir keys list' (serf keys -list) there; 'sudo weir init web --join 10.77.0.11' takes \
                 another key"
            )
        );
        let told = refused(&document, &way_in(Some(&SecretSource::Credential("ring".to_owned())), again)).unwrap();
        assert_eq!(
            told.sentence(),
            format!(
                "{hung_up}; compare 'weir keys list' (serf keys -list) there; put the cluster's key where credential ring of \
                 weir.service comes from ('systemctl cat weir' shows that), then 'systemctl restart weir'"
            )
        );
        document.cluster.alive = 2;
        assert!(!is_in_doubt(&document), "somebody else has it");
    }
}
