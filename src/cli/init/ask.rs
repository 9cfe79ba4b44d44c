//! Questions to whoever sits at the terminal. Where standard input is none, nobody is asked.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};

use super::super::exit::Exit;
use super::super::failure::Failure;

/// Longer than any answer.
const MAX_ANSWER: u64 = 1024;

/// The terminal, for questions: also where answers go elsewhere.
#[derive(Debug)]
pub(super) struct Terminal {
    tty: File,
}

impl Terminal {
    /// `None` where nobody can be asked.
    pub(super) fn open() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(|tty| Self { tty })
    }

    /// One of `count`, by its number from 1. Asked again until it is one.
    pub(super) fn choose(&mut self, question: &str, count: usize) -> Result<usize, Failure> {
        loop {
            let answer = self.ask(question)?;
            match answer.parse::<usize>() {
                Ok(number) if (1..=count).contains(&number) => return Ok(number - 1),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Whether Enter, or yes, is the answer.
    pub(super) fn agrees(&mut self, question: &str) -> Result<bool, Failure> {
        loop {
            match self.ask(&format!("{question} [Y/n]"))?.to_ascii_lowercase().as_str() {
                "" | "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => {}
            }
        }
    }

    /// What is typed after `question`.
    fn ask(&mut self, question: &str) -> Result<String, Failure> {
        let mut line = String::new();
        let mut asked = || {
            write!(self.tty, "? {question}: ")?;
            self.tty.flush()?;
            BufReader::new(io::Read::take(&self.tty, MAX_ANSWER)).read_line(&mut line)
        };
        match asked() {
            Ok(0) => Err(Failure::new(Exit::Interrupted, "no answer").with_remedy("run it again")),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => {
                Err(Failure::new(Exit::Failed, format!("cannot ask: {}", crate::error::system_words(&error))))
            }
        }
    }
}
