//! A configuration as its directives, blocks and places: enough to say what a site does with an upstream.
//!
//! Nothing is opened: `include` stays a directive until whoever may read files puts what it names into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::{Token, tokens};

/// Blocks within blocks that one file may have. Every walk over the tree recurs, so a file must not choose how deep; people
/// write four or five.
pub const MAX_NESTING: usize = 64;

/// A file with blocks deeper than [`MAX_NESTING`]. None of it is kept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{file}:{line}: more than {MAX_NESTING} blocks within each other", file = .file.display())]
pub struct TooDeep {
    pub file: PathBuf,
    /// Where the block too many begins.
    pub line: u32,
}

/// A file or directory of the configuration that was left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unread {
    pub path: PathBuf,
    pub why: Why,
}

/// Why it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// This user may not read it.
    Denied,
    /// It is no file, too large, or broken: the system's words.
    Unusable(String),
    /// Its blocks are nested beyond [`MAX_NESTING`] here.
    TooDeep { line: u32 },
}

/// One directive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directive {
    pub name: String,
    pub arguments: Vec<String>,
    pub file: Arc<Path>,
    pub line: u32,
    /// What stands between its braces; for an `include` that was followed, what the files hold.
    pub block: Option<Vec<Directive>>,
}

impl Directive {
    /// Whether it is an `include`, whose contents count as standing in its place.
    pub fn is_include(&self) -> bool {
        self.name == "include"
    }
}

/// The directives of one file. What else is wrong in it is for `nginx -t` to say.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Directive>, TooDeep> {
    let file: Arc<Path> = file.into();
    let mut open: Vec<Vec<Directive>> = vec![Vec::new()];
    let mut words: Vec<(u32, String)> = Vec::new();
    for (line, token) in tokens(text) {
        match token {
            Token::Word(word) => words.push((line, word)),
            Token::Semicolon => {
                if let (Some(directive), Some(block)) = (directive(&mut words, &file), open.last_mut()) {
                    block.push(directive);
                }
            }
            Token::Open => {
                if open.len() > MAX_NESTING {
                    return Err(TooDeep { file: file.to_path_buf(), line });
                }
                if let (Some(directive), Some(block)) = (directive(&mut words, &file), open.last_mut()) {
                    block.push(directive);
                }
                open.push(Vec::new());
            }
            Token::Close => {
                words.clear();
                close(&mut open);
            }
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    Ok(open.pop().unwrap_or_default())
}

fn directive(words: &mut Vec<(u32, String)>, file: &Arc<Path>) -> Option<Directive> {
    let mut words = std::mem::take(words).into_iter();
    let (line, name) = words.next()?;
    let arguments = words.map(|(_, word)| word).collect();
    Some(Directive { name, arguments, file: Arc::clone(file), line, block: None })
}

/// Gives the innermost block to the directive that opened it. A brace too many closes nothing.
fn close(open: &mut Vec<Vec<Directive>>) {
    if open.len() < 2 {
        return;
    }
    let block = open.pop();
    if let Some(opener) = open.last_mut().and_then(|outer| outer.last_mut()) {
        opener.block = block;
    }
}

/// Calls `visit` for every directive with the blocks it stands in, outermost first. Includes are no blocks of their own.
pub fn walk<'a>(directives: &'a [Directive], visit: &mut impl FnMut(&'a Directive, &[&'a Directive])) {
    fn down<'a>(
        directives: &'a [Directive],
        within: &mut Vec<&'a Directive>,
        visit: &mut impl FnMut(&'a Directive, &[&'a Directive]),
    ) {
        for directive in directives {
            visit(directive, within);
            let Some(block) = &directive.block else { continue };
            if directive.is_include() {
                down(block, within, visit);
            } else {
                within.push(directive);
                down(block, within, visit);
                within.pop();
            }
        }
    }
    down(directives, &mut Vec::new(), visit);
}

/// The directive `name` that stands directly in `block`, those of included files with it. The last one, should there be two.
pub fn in_block<'a>(block: &'a [Directive], name: &str) -> Option<&'a Directive> {
    all_in_block(block, name).pop()
}

/// As [`in_block`], all of them.
pub fn all_in_block<'a>(block: &'a [Directive], name: &str) -> Vec<&'a Directive> {
    let mut found = Vec::new();
    for directive in block {
        if directive.is_include() {
            found.extend(all_in_block(directive.block.as_deref().unwrap_or_default(), name));
        } else if directive.name == name {
            found.push(directive);
        }
    }
    found
}

/// Whether `path` is one that the pattern of an `include` names, as glob(3) has it: `*` and `?` stand for neither `/` nor a
/// first dot.
pub fn includes(pattern: &Path, path: &Path) -> bool {
    let (mut patterns, mut parts) = (pattern.components(), path.components());
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) => {
                let (pattern, part) = (pattern.as_os_str().to_string_lossy(), part.as_os_str().to_string_lossy());
                if !matches_name(&pattern, &part) {
                    return false;
                }
            }
            (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

/// One component against another. `[…]` is taken for any one character, which is enough to see whether a file is meant.
fn matches_name(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = squeeze(pattern);
    let name: Vec<char> = name.chars().collect();
    // Greedy, with one place to come back to: linear for what people write.
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    p = star + 1;
                    n = from + 1;
                    back = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The pattern with `?` for each `[…]`.
fn squeeze(pattern: &str) -> Vec<char> {
    let mut out = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == '[' && chars.as_str().contains(']') {
            out.push('?');
            chars.by_ref().find(|c| *c == ']');
        } else {
            out.push(c);
        }
    }
    out
}

/// The path that an `include` names: relative ones start at the directory of the main configuration file.
pub fn include_pattern(argument: &str, config: &Path) -> PathBuf {
    config.parent().unwrap_or_else(|| Path::new("/")).join(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Directive> {
        parse(Path::new("/etc/nginx/nginx.conf"), text).unwrap()
    }

    #[test]
    fn blocks_deeper_than_anybody_writes_are_refused_with_their_place() {
        let file = Path::new("/etc/nginx/deep.conf");
        let nested = |depth: usize| parse(file, &"a {\n".repeat(depth));
        assert_eq!(nested(MAX_NESTING).map(|tree| tree.len()), Ok(1));
        let error = nested(1_000_000).unwrap_err();
        assert_eq!(error.to_string(), "/etc/nginx/deep.conf:65: more than 64 blocks within each other");
    }

    #[test]
    fn directives_keep_their_blocks_and_lines() {
        let tree =
            read("user www; # x {\nhttp {\n  server { listen 80;\n    location / { proxy_pass\n http://web; } }\n}\n");
        let mut seen = Vec::new();
        walk(&tree, &mut |directive, within| {
            let within: Vec<&str> = within.iter().map(|block| block.name.as_str()).collect();
            seen.push(format!("{}:{} in {}", directive.name, directive.line, within.join("/")));
        });
        let wanted = [
            "user:1 in ",
            "http:2 in ",
            "server:3 in http",
            "listen:3 in http/server",
            "location:4 in http/server",
            "proxy_pass:4 in http/server/location",
        ];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn broken_braces_lose_nothing_that_can_be_read() {
        assert_eq!(read("} a 1; http { b 2;").len(), 2);
        assert_eq!(read("a 1").len(), 0);
        let tree = read("map $x $y { default 1; } c 3;");
        assert_eq!((tree.len(), tree[0].block.as_ref().map(Vec::len)), (2, Some(1)));
    }

    #[test]
    fn an_include_stands_in_the_place_of_its_files() {
        let mut tree = read("http { include a; }");
        let file = parse(Path::new("/a"), "t 1;\nt 2;").unwrap();
        tree[0].block.as_mut().unwrap()[0].block = Some(file);
        let http = tree[0].block.as_deref().unwrap();
        assert_eq!(in_block(http, "t").unwrap().arguments, ["2"]);
        assert!(in_block(&tree, "t").is_none());
        let mut depth = None;
        walk(&tree, &mut |directive, within| {
            if directive.name == "t" {
                depth = Some(within.len());
            }
        });
        assert_eq!(depth, Some(1));
    }

    #[test]
    fn globs_are_those_of_include() {
        for (pattern, path, wanted) in [
            ("/e/conf.d/*.conf", "/e/conf.d/weir-web.conf", true),
            ("/e/conf.d/*.conf", "/e/conf.d/.weir-web.conf", false),
            ("/e/conf.d/*.conf", "/e/conf.d/sub/x.conf", false),
            ("/e/conf.d/*.conf", "/e/conf.d/weir-web.servers", false),
            ("/e/sites-enabled/*", "/e/sites-enabled/shop", true),
            ("/e/*/*.conf", "/e/conf.d/x.conf", true),
            ("/e/conf.d/w?ir-*b*.conf", "/e/conf.d/weir-web.conf", true),
            ("/e/conf.d/[a-z]eir-web.conf", "/e/conf.d/weir-web.conf", true),
            ("/e/x.conf", "/e/x.conf", true),
            ("/e/x.conf", "/e/x.conf.bak", false),
        ] {
            assert_eq!(includes(Path::new(pattern), Path::new(path)), wanted, "{pattern} {path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String, pattern: String, path: String) {
            let tree = parse(Path::new("/a"), &text).unwrap_or_default();
            walk(&tree, &mut |_, _| {});
            let _ = includes(Path::new(&pattern), Path::new(&path));
        }
    }
}
