//! The beginning of a program's file: whether and by whom it can be run.

use std::fmt;

/// What a program's file begins with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Head {
    /// Something that the kernel itself runs.
    Binary,
    /// `#!INTERPRETER ARGUMENT`.
    Script { interpreter: String, argument: String },
    /// A text that says nothing of who is to run it. A shell takes it for its own; nobody else does.
    Text,
}

/// Why a program that is there cannot be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unrunnable {
    NoInterpreter(String),
    /// The line ends as on Windows, and the kernel takes that for a part of the name.
    CarriageReturn(String),
    NotNamed,
}

impl Head {
    /// As much as the kernel looks at.
    pub const BYTES: usize = 256;

    /// Reads the first bytes of a file.
    pub fn read(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match line.strip_prefix(b"#!") {
            Some(line) => {
                let line = String::from_utf8_lossy(line);
                let line = line.trim_matches([' ', '\t']);
                let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
                Self::Script { interpreter: interpreter.to_owned(), argument: argument.trim().to_owned() }
            }
            None if std::str::from_utf8(line).is_ok_and(|line| !line.contains(is_binary)) => Self::Text,
            None => Self::Binary,
        }
    }

    /// Why it cannot be run, where `exists` knows what is there.
    pub fn trouble(&self, exists: impl Fn(&str) -> bool) -> Option<Unrunnable> {
        match self {
            Self::Binary => None,
            Self::Text => Some(Unrunnable::NotNamed),
            Self::Script { interpreter, .. } if exists(interpreter) => None,
            Self::Script { interpreter, .. } => Some(match interpreter.strip_suffix('\r') {
                Some(name) => Unrunnable::CarriageReturn(name.to_owned()),
                None => Unrunnable::NoInterpreter(interpreter.clone()),
            }),
        }
    }
}

fn is_binary(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\r')
}

impl Unrunnable {
    /// What to do about it in `program`.
    pub fn way_out(&self, program: &str) -> String {
        match self {
            Self::NoInterpreter(_) => "install it, or correct the first line".to_owned(),
            Self::CarriageReturn(_) => format!("sed -i 's/\\r$//' {program}"),
            Self::NotNamed => "begin it with #!/bin/sh".to_owned(),
        }
    }
}

impl fmt::Display for Unrunnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterpreter(name) => write!(f, "interpreter {name} is not found"),
            Self::CarriageReturn(name) => {
                write!(f, "interpreter {name} is not found with the carriage return behind it")
            }
            Self::NotNamed => f.write_str("no interpreter is named in its first line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_first_bytes_say_by_whom_it_is_run() {
        let script = |interpreter: &str, argument: &str| Head::Script {
            interpreter: interpreter.to_owned(),
            argument: argument.to_owned(),
        };
        for (head, wanted) in [
            (&b"#!/bin/sh\necho"[..], script("/bin/sh", "")),
            (b"#! /usr/bin/env  python3 -u\n", script("/usr/bin/env", "python3 -u")),
            (b"#!/bin/sh", script("/bin/sh", "")),
            (b"#!/bin/bash\r\n", script("/bin/bash\r", "")),
            (b"#!\n", script("", "")),
            (b"\x7fELF\x02\x01\x01\0", Head::Binary),
            (b"echo hello\n", Head::Text),
            (b"", Head::Text),
        ] {
            assert_eq!(Head::read(head), wanted, "{head:?}");
        }
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let trouble = |head: &[u8]| Head::read(head).trouble(|name| name == "/bin/sh");
        assert_eq!(trouble(b"#!/bin/sh\n"), None);
        assert_eq!(trouble(b"\x7fELF\x02\x01\x01\0"), None);
        assert_eq!(trouble(b"#!/bin/hs\n"), Some(Unrunnable::NoInterpreter("/bin/hs".into())));
        assert_eq!(trouble(b"#!/bin/sh\r\n"), Some(Unrunnable::CarriageReturn("/bin/sh".into())));
        assert_eq!(trouble(b"ls\n"), Some(Unrunnable::NotNamed));
    }
}
