//! The specification in `docs/` and what refers to it: every cited page and section is there, and no link leads nowhere.
//!
//! `docs/README.md` says how a section is cited.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;
use weir::config::show::Show;
use weir::config::{Source, Sources, load};

/// Where citations may stand.
const SOURCES: [&str; 16] = [
    ".ci",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "Makefile",
    "README.md",
    "benches",
    "build.rs",
    "clippy.toml",
    "docs",
    "etc",
    "fuzz",
    "packaging",
    "src",
    "systemd",
    "tests",
];
/// The list of pages, which is none.
const INDEX: &str = "docs/README.md";
/// Inputs and recordings.
const NOT_SOURCES: [&str; 4] = ["fuzz/corpus", "fuzz/target", "tests/golden", "tests/vectors"];

/// The pages by name, each with the numbers of its sections.
struct Pages {
    sections: BTreeMap<String, BTreeSet<String>>,
    by_number: Regex,
    by_letter: Regex,
    by_file: Regex,
    outside: Regex,
}

impl Pages {
    fn read() -> Self {
        let heading = pattern(r"(?m)^#{2,6} ([A-D]|\d+)((?:\.\d+)*)\.? ");
        let read = |path: PathBuf| {
            let text = text(&path);
            let sections = heading.captures_iter(&text).map(|found| format!("{}{}", &found[1], &found[2])).collect();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), sections)
        };
        let pages = files(&["docs"]).into_iter().filter(|path| !path.ends_with(INDEX));
        let sections: BTreeMap<String, BTreeSet<String>> = pages.map(read).collect();
        let names = sections.keys().map(String::as_str).collect::<Vec<_>>().join("|");
        Self {
            by_number: pattern(r"(?:(RFC \d+|[\w-]+) )?(§[\d.]*(?:(?:, | to | and )§[\d.]*)*)"),
            by_letter: pattern(r"\b[Pp]rotocols ([A-D](?:\.\d+)?(?:(?:, | to | and )[A-D](?:\.\d+)?)*)\b"),
            by_file: pattern(&format!(r"(?:^|[^/\[(\w])((?:{})\.md)\b", names)),
            outside: pattern(r"^(?:SWIM|Lifeguard|Vivaldi|RFC \d+)$"),
            sections,
        }
    }

    /// What is wrong with the citations in `text`.
    fn mistakes(&self, text: &str) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if !["§", "rotocols ", ".md"].iter().any(|sign| line.contains(sign)) {
                continue; // most lines, and expressions are slow in a debug build
            }
            let line = &line.replace("'§'", ""); // the sign itself, in code
            let mut note = |what: String| mistakes.push(format!("{}: {what}: {}", at + 1, line.trim()));
            for found in self.by_number.captures_iter(line) {
                match found.get(1).map(|name| name.as_str()) {
                    Some(name) if self.outside.is_match(name) => {}
                    Some(name) => self.missing(name, numbers(&found[2])).for_each(&mut note),
                    None => note("names no page on this line".to_owned()),
                }
            }
            for found in self.by_letter.captures_iter(line) {
                self.missing("protocols", letters(&found[1])).for_each(&mut note);
            }
            for found in self.by_file.captures_iter(line) {
                note(format!("say docs/{}, or cite its section", &found[1]));
            }
        }
        mistakes
    }

    fn missing<'a>(
        &'a self,
        page: &'a str,
        sections: impl Iterator<Item = &'a str> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        let known = self.sections.get(page);
        sections.filter_map(move |section| match known {
            None => Some(format!("there is no page docs/{page}.md")),
            Some(known) if known.contains(section) => None,
            Some(_) => Some(format!("docs/{page}.md has no section {section:?}")),
        })
    }
}

/// The numbers in `§4.2 to §4.5`.
fn numbers(chain: &str) -> impl Iterator<Item = &str> {
    chain.split('§').skip(1).map(|part| part.split(' ').next().unwrap_or_default().trim_end_matches([',', '.']))
}

/// The letters in `D.1 to D.3`.
fn letters(chain: &str) -> impl Iterator<Item = &str> {
    chain.split([' ', ',']).filter(|part| part.starts_with(|c: char| c.is_ascii_uppercase()))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// The files under `places`, those that are there.
fn files(places: &[&str]) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = places.iter().map(|place| root().join(place)).filter(|path| path.exists()).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if NOT_SOURCES.iter().any(|place| path == root().join(place)) {
            continue;
        }
        match path.is_dir() {
            true => open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<PathBuf> {
    files(&SOURCES)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[track_caller]
fn assert_none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "{} mistakes:\n{}", mistakes.len(), mistakes.join("\n"));
}

#[test]
fn every_cited_page_and_section_exists() {
    let pages = Pages::read();
    let mut mistakes = Vec::new();
    for path in sources().iter().filter(|path| !path.ends_with(file!())) {
        mistakes.extend(pages.mistakes(&text(path)).iter().map(|mistake| format!("{}:{mistake}", shown(path))));
    }
    assert_none(&mistakes);
}

#[test]
fn wrong_citations_are_found() {
    let pages = Pages::read();
    for right in [
        "/// (`memberlist §4.2`), and so on",
        "`memberlist §4.2 to §4.5`, `serf §3.7, §3.8`; `rpc §4` query",
        "`protocols D.3`, `protocols B`; protocols A, B and C.2",
        "(`ux §4` rows 1 and 2)",
        "`SWIM §4.2`; Lifeguard §4; RFC 6479 §2",
        "see docs/design.md",
    ] {
        assert_eq!(pages.mistakes(right), [""; 0], "{right}");
    }
    for (wrong, what) in [
        ("`memberlist §4.99`", "docs/memberlist.md has no section \"4.99\""),
        ("`memberlist §4.2 to §9.9`", "docs/memberlist.md has no section \"9.9\""),
        ("`memberlist wire format §2`", "there is no page docs/format.md"),
        ("`RPC §4`", "there is no page docs/RPC.md"),
        ("as `§4.2` has it", "names no page on this line"),
        ("`ux.md` §4", "names no page on this line"),
        ("(`protocols E.1`, `protocols D.9`)", "docs/protocols.md has no section \"D.9\""),
        ("protocols A, B and C.9", "docs/protocols.md has no section \"C.9\""),
        ("`nginx §`", "docs/nginx.md has no section \"\""),
        ("see nginx.md", "say docs/nginx.md, or cite its section"),
    ] {
        let found = pages.mistakes(wrong);
        assert!(found.iter().any(|found| found.contains(what)), "{wrong}: {found:?}");
    }
}

#[test]
fn every_page_is_in_the_index_and_every_section_of_its_own_that_it_refers_to_exists() {
    let pages = Pages::read();
    let index = text(&root().join(INDEX));
    let refers = pattern(r"\b[Ss]ections? (\d+(?:\.\d+)*)");
    let mut mistakes = Vec::new();
    for (page, sections) in &pages.sections {
        if !index.contains(&format!("[{page}.md]({page}.md)")) {
            mistakes.push(format!("docs/README.md does not list {page}.md"));
        }
        let text = text(&root().join("docs").join(page).with_extension("md"));
        let missing = refers.captures_iter(&text).filter(|found| !sections.contains(&found[1]));
        mistakes
            .extend(missing.map(|found| format!("docs/{page}.md has no section {}, to which it refers", &found[1])));
    }
    assert_none(&mistakes);
}

#[test]
fn the_map_of_modules_has_all_of_them() {
    let map = text(&root().join("docs/design.md"));
    for entry in std::fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let slash = if entry.path().is_dir() { "/ " } else { " " };
        let line = format!("\nsrc/{}{slash}", entry.file_name().to_str().unwrap());
        assert!(map.contains(&line), "docs/design.md has no line for{line}");
    }
}

#[test]
fn no_link_and_no_file_that_is_named_leads_nowhere() {
    let link = pattern(r"\]\(([^)#\s]+)(?:#[^)]*)?\)");
    let named = pattern(r"`((?:src|tests|docs|benches|etc|packaging|systemd|fuzz)/[\w./-]+)`");
    let mut mistakes = Vec::new();
    for path in files(&["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"]) {
        let text = text(&path);
        let links = link.captures_iter(&text).map(|found| found[1].to_owned());
        let links = links.filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
        let links = links.map(|link| path.parent().unwrap().join(link));
        let named = named.captures_iter(&text).map(|found| root().join(&found[1]));
        // `NN-EVENT.env` stands for many.
        let named =
            named.filter(|path| !path.to_string_lossy().contains("NAME") && !path.to_string_lossy().contains("NN"));
        let missing = links.chain(named).filter(|path| !path.exists());
        mistakes.extend(missing.map(|missing| format!("{}: there is no {}", shown(&path), missing.display())));
    }
    assert_none(&mistakes);
}

#[test]
fn nothing_refers_to_files_beside_the_repository() {
    let beside = concat!("../", "shared");
    let naming: Vec<String> =
        sources().iter().filter(|path| text(path).contains(beside)).map(|path| shown(path)).collect();
    assert_none(&naming);
}

/// What a heading is called in a link (`GitHub` makes it so).
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|each| each.is_alphanumeric() || matches!(each, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_anchor_that_is_linked_exists() {
    let link = pattern(r"\]\(([^)#\s]*)#([^)]+)\)");
    let heading = pattern(r"(?m)^#{1,6} (.+)$");
    let mut mistakes = Vec::new();
    for path in files(&["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"]) {
        let page = text(&path);
        for found in link.captures_iter(&page).filter(|found| !found[1].contains("://")) {
            let target = if found[1].is_empty() { path.clone() } else { path.parent().unwrap().join(&found[1]) };
            let there = text(&target);
            if !heading.captures_iter(&there).any(|heading| anchor(&heading[1]) == found[2]) {
                mistakes.push(format!("{}: no heading is #{} in {}", shown(&path), &found[2], target.display()));
            }
        }
    }
    assert_none(&mistakes);
}

/// The blocks of `language`, each with the line above it.
fn blocks(page: &str, language: &str) -> Vec<(String, String)> {
    let block = pattern(&format!(r"(?ms)^([^\n]*)\n```{language}\n(.*?)^```$"));
    block.captures_iter(page).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

/// What the pages for operators tell to type is typed by the lab, but for these.
#[test]
fn every_block_of_commands_is_run_by_a_suite_or_named_as_one_that_is_not() {
    let run = pattern(r"^<!-- run: (\w+ [\w-]+) -->$");
    let suites: Vec<String> = files(&["tests/lab"]).iter().map(|path| text(path)).collect();
    let first = text(&root().join("tests/lab/acceptance/first.py"));
    let is_run = |mark: &str| {
        // README's five minutes are run by one suite, which puts the first word before each.
        let is_first = |step: &str| first.contains(&format!("\"{step}\""));
        mark.strip_prefix("package ").is_some_and(is_first) || suites.iter().any(|suite| suite.contains(mark))
    };
    let mut not_run = Vec::new();
    let mut mistakes = Vec::new();
    for page in ["README.md", "docs/operate.md"] {
        for (mark, block) in blocks(&text(&root().join(page)), "sh") {
            match run.captures(&mark) {
                Some(found) if is_run(&found[1]) => {}
                Some(found) => mistakes.push(format!("{page}: no suite runs {:?}", &found[1])),
                None => not_run.push(format!("{mark}{}", block.lines().next().unwrap_or_default())),
            }
        }
    }
    assert_none(&mistakes);
    let named = [
        "make demo    # one balancer and two web servers on this machine, encrypted, behind real NGINX, while servers come and go",
        "<!-- not run: the lab's hosts have no such firewall -->\
         sudo firewall-cmd --permanent --add-port=7946/tcp --add-port=7946/udp",
        "<!-- not run: the lab's hosts have no such firewall -->sudo ufw allow weir",
        "<!-- not run: no SELinux in the lab's kernel -->sudo setsebool -P httpd_can_network_connect on",
    ];
    assert_eq!(not_run, named);
}

/// The commands of weir's in `page`, each once: its words up to the first that is an operand or an option.
fn commands(page: &str) -> BTreeSet<String> {
    // These have commands below them.
    const GROUPS: [&str; 5] = ["check", "config", "init", "keys", "upstream"];
    let inline = pattern(r"`(?:sudo )?weir ([a-z-]+)(?: ([a-z-]+))?[^`]*`");
    let words = |found: regex::Captures<'_>| match found.get(2) {
        Some(second) if GROUPS.contains(&&found[1]) => format!("{} {}", &found[1], second.as_str()),
        _ => found[1].to_owned(),
    };
    inline.captures_iter(page).map(words).collect()
}

/// In a script of the lab, or by a test of the program itself, whose arguments may be strings of their own.
#[test]
fn every_command_that_operators_are_told_is_run_by_some_test() {
    let tests: Vec<String> = files(&["tests/lab", "tests/processes"]).iter().map(|path| text(path)).collect();
    let is_run = |command: &str| {
        let ways =
            [format!("weir {command}"), format!("\"{command}"), format!("\"{}\"", command.replace(' ', "\", \""))];
        tests.iter().any(|test| ways.iter().any(|way| test.contains(way.as_str())))
    };
    let page = text(&root().join("docs/operate.md"));
    let told = commands(&page);
    assert!(told.len() > 30 && told.contains("upstream rollback") && told.contains("drain"), "{told:?}");
    let not_run: Vec<String> = told.into_iter().filter(|command| !is_run(command)).collect();
    assert_eq!(not_run, [""; 0]);
}

#[test]
fn both_pages_tell_the_same_commands_for_the_five_minutes() {
    let of = |page: &str| -> BTreeMap<String, String> {
        let marked = blocks(&text(&root().join(page)), "sh");
        marked.into_iter().filter(|(mark, _)| mark.starts_with("<!-- run: package ")).collect()
    };
    let (short, long) = (of("README.md"), of("docs/operate.md"));
    assert!(long.len() >= 3, "{long:?}");
    for (mark, block) in &long {
        assert_eq!(short.get(mark), Some(block), "{mark}");
    }
}

/// Each as a drop-in of its own, read after those before it.
#[test]
fn the_configuration_that_operators_are_shown_is_taken() {
    for page in ["README.md", "docs/operate.md"] {
        assert_taken(page);
    }
}

fn assert_taken(page: &str) {
    let page = text(&root().join(page));
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(blocks.iter().any(|block| block.contains(".probe]")), "{blocks:?}");
    let directory = tempfile::tempdir().unwrap();
    let file = |(number, block): (usize, &&str)| {
        let file = directory.path().join(format!("{number}.toml"));
        std::fs::write(&file, block).unwrap();
        Source::File(file)
    };
    let paths = blocks.iter().enumerate().map(file).collect();
    if let Err(errors) = load(&Sources { paths, host_name: "lb1".to_owned(), ..Sources::default() }) {
        panic!("{errors}");
    }
}

#[test]
fn the_contract_shows_what_the_program_takes_at_its_default() {
    let page = text(&root().join("docs/ux.md"));
    let (built, planned) = page.split_once("```toml").unwrap().1.split_once("**Planned** keys").unwrap();
    let block = |text: &str| text.split("```").next().unwrap().replace("<regex>", "web").replace("<path>", "/bin/true");
    let directory = tempfile::tempdir().unwrap();
    let load = |text: &str| {
        let file = directory.path().join("weir.toml");
        std::fs::write(&file, text).unwrap();
        load(&Sources { paths: vec![Source::File(file)], host_name: "lb1".to_owned(), ..Sources::default() })
    };

    let loaded = load(&block(built)).unwrap_or_else(|errors| panic!("{errors}"));
    let changed = Show { origin: false, changed: true }.text(&loaded.config);
    // What has no default.
    let named = [
        "name = \"\"",
        "on = [\"user:deploy\"]",
        "run = [\"/bin/true\"]",
        "http = \"http://127.0.0.1:80/\"",
        "role = \"web\"",
        "source = \"/bin/true\"",
        "output = \"/bin/true.cfg\"",
        "http = \"/bin/true\"",
    ];
    let others: Vec<&str> = changed.lines().filter(|line| line.contains(" = ") && !named.contains(line)).collect();
    assert_eq!(others, [""; 0]);

    let planned = block(planned.split_once("```toml").unwrap().1);
    assert!(load(&planned).is_err(), "what has been built is not planned any more");
}

/// Which parts may know which, the lowest first (`design §2.2`).
const LAYERS: [&[&str]; 8] = [
    &["wire", "crypto"],
    &["swim"],
    &["serf"],
    &["health"],
    &["endpoint", "drain", "rotate", "upstream"],
    &["config", "rpc", "status", "sim", "handlers", "snapshot", "nginx", "template", "command", "file", "sock_diag"],
    &["agent", "apply"],
    &["cli"],
];

#[test]
fn imports_point_one_way() {
    let layer = |part: &str| LAYERS.iter().position(|parts| parts.contains(&part));
    let import = pattern(r"\bcrate::(\w+)");
    let mut found = Vec::new();
    for path in files(&["src"]) {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let Some(own) = layer(first.trim_end_matches(".rs")) else { continue };
        // Tests may build what they test with.
        if inside.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs"))) {
            continue;
        }
        let code = text(&path);
        let code = code.split("mod tests {").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let above = import.captures_iter(line).filter(|each| layer(&each[1]).is_some_and(|other| other > own));
            found.extend(above.map(|each| format!("{}: {}", inside.display(), &each[0])));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
