//! From Go's regular expression syntax to that of the `regex` crate.
//!
//! Both descend from RE2 and agree on nearly everything. Translated is what one of them reads differently; all else is
//! copied, so that errors are reported by the compiler.

use std::iter::Peekable;
use std::str::Chars;

/// Characters in the braces of a repetition that is looked for: Go counts to 1000. An expression full of braces would be read
/// over again from each to its end.
const MAX_REPETITION: usize = 16;

/// `expression` in the syntax of the `regex` crate.
pub(super) fn translate(expression: &str) -> String {
    let mut translation = Translation { rest: expression.chars().peekable(), out: String::new() };
    translation.run();
    translation.out
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl Translation<'_> {
    fn run(&mut self) {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape(false),
                '[' => self.class(),
                '{' if !self.is_repetition() => self.out.push_str("\\{"),
                _ => self.out.push(c),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) {
        let Some(c) = self.rest.next() else {
            self.out.push('\\');
            return;
        };
        match c {
            'Q' if !in_class => self.quoted(),
            // Go ignores an end without a beginning.
            'E' if !in_class => {}
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\x0C\r ]"),
            'S' => self.out.push_str(r"[^\t\n\x0C\r ]"),
            'b' if !in_class => self.out.push_str(r"(?-u:\b)"),
            // Word boundaries of the `regex` crate, plain characters in Go.
            '<' | '>' => self.out.push(c),
            _ => {
                self.out.extend(['\\', c]);
                if matches!(c, 'x' | 'p' | 'P') {
                    // The brace of `\x{1F600}` and `\p{Greek}` belongs to the escape.
                    self.out.extend(self.rest.next_if_eq(&'{'));
                }
            }
        }
    }

    /// Everything up to `\E` or the end stands for itself.
    fn quoted(&mut self) {
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.peek() == Some(&'E') {
                self.rest.next();
                break;
            }
            text.push(c);
        }
        self.out.push_str(&regex::escape(&text));
    }

    /// A class, from after its `[`. Set operations and nested classes do not exist in Go, their characters are plain there.
    fn class(&mut self) {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        // First in a class, a closing bracket stands for itself.
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str("\\]");
            self.range_end();
        }
        while let Some(c) = self.rest.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return;
                }
                '[' if self.rest.peek() == Some(&':') => self.named_class(),
                '\\' if self.rest.peek().is_some_and(|c| "dDwWsSpP".contains(*c)) => self.escape(true),
                _ => {
                    self.class_literal(c);
                    self.range_end();
                }
            }
        }
    }

    /// A dash and the end of a range, if they follow.
    fn range_end(&mut self) {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
            return;
        }
        self.out.extend(self.rest.next());
        if let Some(c) = self.rest.next() {
            self.class_literal(c);
        }
    }

    /// One character of a class, escaped or standing for itself, whatever the `regex` crate makes of it.
    fn class_literal(&mut self, c: char) {
        match c {
            '\\' => self.escape(true),
            '[' | '&' | '~' | '-' | '^' => self.out.extend(['\\', c]),
            _ => self.out.push(c),
        }
    }

    /// `[:alpha:]`, or only its beginning, from after its `[`.
    fn named_class(&mut self) {
        let ahead: String = self.rest.clone().take_while(|c| *c != ']').collect();
        if ahead.len() > 1 && ahead.ends_with(':') {
            self.out.push('[');
            self.out.push_str(&ahead);
            self.out.push(']');
            self.rest.by_ref().take(ahead.chars().count() + 1).for_each(drop);
        } else {
            self.out.push_str("\\[");
        }
    }

    /// Whether a `{` just read begins a repetition: `{2}`, `{2,}`, `{2,5}`.
    fn is_repetition(&self) -> bool {
        let inside: String = self.rest.clone().take(MAX_REPETITION).take_while(|c| *c != '}').collect();
        let closed = self.rest.clone().nth(inside.chars().count()) == Some('}');
        let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        closed && !least.is_empty() && digits(least) && digits(most)
    }
}
