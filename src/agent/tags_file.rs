//! Serf's tags file (`cli §3`), and changes of our tags by clients, which in Serf's mode are in that file before anybody hears
//! of them.
//!
//! With our own configuration the snapshot keeps such tags, and the file is imported once.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;
use tracing::error;

use super::commands::{answer, changed_tags, reserved_tag, set_tags};
use super::file;
use super::tags::without_reserved;
use crate::config::{Config, Mode, RESERVED_TAG_BYTES};
use crate::endpoint::Endpoint;
use crate::error::Explain;
use crate::rpc::call::Reply;
use crate::rpc::refusal::Refusal;
use crate::serf::MAX_TAGS_BYTES;
use crate::time::Instant;
use crate::wire::serf::{Tags, encode_tags};

/// Longer than any file whose tags fit in gossip.
const MAX_BYTES: usize = 64 * 1024;

/// Why the tags in the file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TagsFileError {
    #[error("cannot read tags file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot use tags file {path}: it is not a JSON object of texts (line {line}, column {column})")]
    Decode { path: PathBuf, line: usize, column: usize },
    #[error("tags file {path}: its tags need {bytes} bytes, {MAX_TAGS_BYTES} fit in gossip")]
    TooLarge { path: PathBuf, bytes: usize },
}

impl Explain for TagsFileError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Read { .. } => "make it readable for this user, or name another file".into(),
            Self::Decode { .. } => "correct it, or remove it to start without these tags".into(),
            Self::TooLarge { .. } => "shorten them".into(),
        })
    }
}

/// The tags that the file holds, with its path; `None` if there is none.
pub(super) fn load(config: &Config) -> Result<Option<(Tags, &Path)>, TagsFileError> {
    let Some(path) = &config.node.tags_file else { return Ok(None) };
    let bytes = match crate::file::read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TagsFileError::Read { path: path.clone(), source }),
    };
    let tags: Option<BTreeMap<String, Option<String>>> = serde_json::from_slice(&bytes)
        .map_err(|error| TagsFileError::Decode { path: path.clone(), line: error.line(), column: error.column() })?;
    // As Go reads it, `null` is nothing.
    let tags: Tags =
        tags.unwrap_or_default().into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    let need = encode_tags(&tags).len();
    if need > MAX_TAGS_BYTES {
        return Err(TagsFileError::TooLarge { path: path.clone(), bytes: need });
    }
    Ok(Some((tags, path)))
}

/// As Go writes it.
fn to_json(tags: &Tags) -> String {
    let json = serde_json::to_string_pretty(tags).expect("a map with text keys is JSON");
    let escaped =
        [('&', "\\u0026"), ('<', "\\u003c"), ('>', "\\u003e"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escaped.into_iter().fold(json, |json, (c, code)| json.replace(c, code))
}

/// A client's change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) set: Tags,
    pub(super) delete: Vec<String>,
    pub(super) reply: Reply<Result<(), Refusal>>,
}

/// Changes of our tags, one after another.
#[derive(Debug)]
pub(super) struct TagChanges {
    /// Where Serf's mode keeps them.
    path: Option<PathBuf>,
    /// What they leave free for weir's own.
    kept: usize,
    waiting: VecDeque<Change>,
    running: Option<Running>,
}

/// Tags on their way to the disk.
#[derive(Debug)]
struct Running {
    write: JoinHandle<io::Result<()>>,
    tags: Tags,
    reply: Reply<Result<(), Refusal>>,
}

impl TagChanges {
    pub(super) fn new(config: &Config) -> Self {
        let path = config.node.tags_file.clone().filter(|_| config.mode == Mode::Serf);
        let kept = match config.mode {
            Mode::Weir => RESERVED_TAG_BYTES,
            Mode::Serf => 0,
        };
        Self { path, kept, waiting: VecDeque::new(), running: None }
    }

    /// Changes our tags, at once where no file keeps them.
    pub(super) fn ask(&mut self, now: Instant, endpoint: &mut Endpoint, change: Change) {
        if let Some(refusal) = reserved_tag(&change.set, &change.delete) {
            return answer(change.reply, Err(refusal));
        }
        self.waiting.push_back(change);
        self.advance(now, endpoint);
    }

    /// The end of the write that runs; never without one. Cancel-safe.
    pub(super) async fn written(&mut self) -> io::Result<()> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        (&mut running.write).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// The tags are on disk, or are not and change nothing.
    pub(super) fn handle_written(&mut self, now: Instant, endpoint: &mut Endpoint, written: io::Result<()>) {
        let (Some(Running { tags, reply, .. }), Some(path)) = (self.running.take(), &self.path) else { return };
        let path = path.display();
        answer(
            reply,
            match written {
                Ok(()) => set_tags(now, endpoint, &tags, self.kept),
                Err(error) => {
                    error!(%path, %error, "tags file cannot be written, the tags stay as they are");
                    Err(Refusal::new(format!("cannot write tags file {path}: {error}"))
                        .with_remedy("see to its directory"))
                }
            },
        );
        self.advance(now, endpoint);
    }

    fn advance(&mut self, now: Instant, endpoint: &mut Endpoint) {
        while self.running.is_none()
            && let Some(Change { set, delete, reply }) = self.waiting.pop_front()
        {
            let tags = changed_tags(endpoint, set, &delete);
            match self.path.clone() {
                // What would not be taken must not be written, or the next start would fail.
                Some(path) if encode_tags(&tags).len() <= MAX_TAGS_BYTES => {
                    let json = to_json(&without_reserved(tags.clone()));
                    let write = tokio::task::spawn_blocking(move || file::replace(&path, json.as_bytes()).map(drop));
                    self.running = Some(Running { write, tags, reply });
                }
                Some(_) | None => answer(reply, set_tags(now, endpoint, &tags, self.kept)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(path: &Path) -> Config {
        let mut config = Config::default();
        config.node.tags_file = Some(path.to_owned());
        config
    }

    #[test]
    fn what_is_written_is_read_back_and_is_gos_own_form() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tags.json");
        assert_eq!(load(&config(&path)).unwrap(), None);
        let tags: Tags = [("role", "web"), ("note", "a<b>&\"c\"\u{2028}ü")].map(|(k, v)| (k.into(), v.into())).into();
        std::fs::write(&path, to_json(&tags)).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n  \"note\": \"a\\u003cb\\u003e\\u0026\\\"c\\\"\\u2028ü\",\n  \"role\": \"web\"\n}"
        );
        assert_eq!(load(&config(&path)).unwrap(), Some((tags, path.as_path())));
        assert_eq!(to_json(&Tags::new()), "{}");
    }

    #[test]
    fn what_is_no_object_of_texts_names_file_place_and_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tags.json");
        let shown = path.display();
        for (text, wanted) in [
            ("null", Ok(0)),
            ("{\"a\": null}", Ok(1)),
            ("", Err("cannot use tags file PATH: it is not a JSON object of texts (line 1, column 0)")),
            ("{\n\"a\": 1}", Err("cannot use tags file PATH: it is not a JSON object of texts (line 2, column 6)")),
        ] {
            std::fs::write(&path, text).unwrap();
            let config = config(&path);
            let told = load(&config).map(|found| found.unwrap().0.len()).map_err(|error| error.to_string());
            assert_eq!(told, wanted.map_err(|text| text.replace("PATH", &shown.to_string())), "{text}");
        }
        std::fs::write(&path, format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_TAGS_BYTES))).unwrap();
        assert!(matches!(load(&config(&path)), Err(TagsFileError::TooLarge { .. })));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(load(&config(&path)), Err(TagsFileError::Read { .. })));
    }
}
