//! `[template.NAME]`: other files that follow the cluster (`ux §1.2`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::error::Trouble;
use crate::template::TemplateName;

use super::apply::{NGINX_OWN, absolute, file_path};
use super::handler::argv_mistake;
use super::mistake::Mistake;
use super::reader::Section;
use super::tree::Origin;
use super::upstream::Upstream;
use super::value::Text;

/// Stands for the path of the new file in `check`.
pub(crate) const CANDIDATE: &str = "{candidate}";

/// Most templates in one configuration.
const MAX_TEMPLATES: usize = 64;

/// One other file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    /// The table's name.
    pub name: TemplateName,
    /// The template, in minijinja. Whoever may write it or its directory must be trusted as root is.
    pub source: PathBuf,
    /// The file that it makes.
    pub output: PathBuf,
    /// The file's mode.
    pub mode: FileMode,
    /// Whose the file is.
    pub owner: Owner,
    /// Program and arguments that say by their exit status whether the file at `{candidate}` is right; empty: none.
    pub check: Vec<String>,
    /// Program and arguments that have the file's reader take it over; its success confirms it. Empty: none.
    pub reload: Vec<String>,
    /// Longest run of each.
    pub timeout: Duration,
}

/// A file's permissions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileMode(u32);

impl FileMode {
    /// Everybody may read it, its owner write it.
    const USUAL: Self = Self(0o644);

    /// As the system has it.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Text for FileMode {
    const WANTED: &'static str = "a mode in octal digits, \"0644\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
        let Some(bits) = bits else { return Err(Trouble::new("is not a mode", format!("write {}", Self::WANTED))) };
        match bits {
            _ if bits & !0o777 != 0 => Err(Trouble::new("has a special bit", "write \"0644\" or the like")),
            _ if bits & 0o002 != 0 => Err(Trouble::new("lets everybody write", "write \"0644\" or the like")),
            _ if bits & 0o400 == 0 => Err(Trouble::new("keeps its owner from reading", "write \"0644\" or the like")),
            _ => Ok(Self(bits)),
        }
    }

    fn text(&self) -> String {
        format!("{:04o}", self.0)
    }
}

/// User and group by name or number. Whether they exist is seen when a file is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Whose it is.
    pub user: String,
    /// Whose group's.
    pub group: String,
}

impl Owner {
    fn root() -> Self {
        Self { user: "root".to_owned(), group: "root".to_owned() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

impl Text for Owner {
    const WANTED: &'static str = "user and group, \"root:root\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && !name.starts_with('-')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
        };
        let parts = text.split_once(':').filter(|(user, group)| is_name(user) && is_name(group));
        let (user, group) = parts.ok_or_else(|| Trouble::new("is not an owner", format!("write {}", Self::WANTED)))?;
        Ok(Self { user: user.to_owned(), group: group.to_owned() })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Template {
    /// `None` if its name, `source` or `output` is missing or wrong, which is noted.
    pub(crate) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let template_name = TemplateName::new(name);
        if template_name.is_none() {
            let rule = format!("1 to {} letters, digits, _ and - are accepted", TemplateName::MAX_BYTES);
            let what = format!("\"{}\" is not a template's name", name.escape_debug());
            section.mistake(Mistake::new(section.at(), section.path(), Trouble::new(what, rule)));
        }
        let source: Option<PathBuf> = section.key("source").check(|path: &PathBuf| absolute(path)).optional();
        let output: Option<PathBuf> = section.key("output").check(|path: &PathBuf| file_path(path)).optional();
        let mode = section.key("mode").or(FileMode::USUAL);
        let owner = section.key("owner").or(Owner::root());
        let check = section.key("check").check(|argv: &Vec<String>| check_mistake(argv)).or(Vec::new());
        let reload = section.key("reload").check(|argv: &Vec<String>| command_mistake(argv)).or(Vec::new());
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(60));
        let timeout = section.key("timeout").within(least, most).or(Duration::from_secs(10));
        section.rule("required", json!(["source", "output"]));
        let examples = [("source", "/etc/weir/haproxy.j2"), ("output", "/etc/haproxy/haproxy.cfg")];
        for (name, example) in examples.into_iter().filter(|(name, _)| !section.is_set(name)) {
            let what = format!("{} is missing", section.path_of(name));
            section.conflict(name, Trouble::new(what, format!("write {name} = \"{example}\"")));
        }
        Some(Self { name: template_name?, source: source?, output: output?, mode, owner, check, reload, timeout })
    }
}

/// An empty list is none.
fn command_mistake(argv: &[String]) -> Option<Trouble> {
    if argv.is_empty() { None } else { argv_mistake(argv) }
}

/// A check that is not told where the new file is would look at the old one.
fn check_mistake(argv: &[String]) -> Option<Trouble> {
    let is_told = argv.is_empty() || argv.iter().skip(1).any(|argument| argument.contains(CANDIDATE));
    let untold = || Trouble::new(format!("names no {CANDIDATE}"), "write it where the new file's path belongs");
    command_mistake(argv).or_else(|| (!is_told).then(untold))
}

/// Holds that every file has one writer, and that there are not too many of them.
pub(crate) fn check_files(root: &Section<'_>, templates: &[Template], upstreams: &[Upstream], nginx_config: &Path) {
    if let Some(template) = templates.get(MAX_TEMPLATES) {
        let what = format!("template.{} is one too many, the limit is {MAX_TEMPLATES}", template.name);
        let at = place(root, template, None);
        let key = format!("template.{}", template.name);
        root.mistake(Mistake::across(&at, &key, Trouble::new(what, "let one template make what several make")));
    }
    for (index, template) in templates.iter().enumerate() {
        let output = &template.output;
        let of_template = templates[..index].iter().find(|other| other.output == *output);
        let other = of_template.map(|other| format!("template {}", other.name)).or_else(|| {
            let writes = |upstream: &&Upstream| upstream.file.as_ref().is_some_and(|file| file.output == *output);
            upstreams.iter().find(writes).map(|other| format!("upstream {}", other.options.name))
        });
        if let Some(other) = other {
            let words = format!("which {other} writes already");
            conflict(root, template, &words, "give each its own file");
        } else if let Some(reader) = source_of(templates, output) {
            let words = format!("the source of template {}", reader.name);
            conflict(root, template, &words, "give it a file of its own");
        } else if output == nginx_config {
            conflict(root, template, NGINX_OWN, "give it a file of its own");
        }
    }
}

fn source_of<'a>(templates: &'a [Template], path: &Path) -> Option<&'a Template> {
    templates.iter().find(|template| template.source == path)
}

fn conflict(root: &Section<'_>, template: &Template, words: &str, way_out: &str) {
    let key = format!("template.{}.output", template.name);
    let what = format!("{key} is {}, {words}", template.output.display());
    let at = place(root, template, Some("output"));
    root.mistake(Mistake::across(&at, &key, Trouble::new(what, way_out)));
}

fn place(root: &Section<'_>, template: &Template, key: Option<&str>) -> Origin {
    let path: Vec<&str> = ["template", template.name.as_str()].into_iter().chain(key).collect();
    root.item_at(&path).map(|item| item.key_at.clone()).unwrap_or_default()
}
