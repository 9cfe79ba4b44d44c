//! Asking for a secret on the terminal, with a dot for each character.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::exit::Exit;
use super::failure::Failure;

/// What the interrupt, erase and end keys send while the terminal passes everything on.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const ERASE_LINE: u8 = 21;
const BACKSPACE: [u8; 2] = [8, 127];

/// Longer than any secret; what follows is not taken, so that no memory has to be moved.
const MAX_LINE: usize = 4096;

/// The terminal that is asked on: the one of this session, whatever standard input is, or else standard input.
enum Terminal {
    Session(File),
    Standard,
}

impl Terminal {
    fn open() -> Self {
        // Without a terminal of its own a session has standard input at best.
        OpenOptions::new().read(true).write(true).open("/dev/tty").map_or(Self::Standard, Self::Session)
    }

    fn modes(&self) -> rustix::io::Result<Termios> {
        match self {
            Self::Session(file) => tcgetattr(file.as_fd()),
            Self::Standard => tcgetattr(io::stdin().as_fd()),
        }
    }

    fn set(&self, modes: &Termios) -> rustix::io::Result<()> {
        match self {
            Self::Session(file) => tcsetattr(file.as_fd(), OptionalActions::Now, modes),
            Self::Standard => tcsetattr(io::stdin().as_fd(), OptionalActions::Now, modes),
        }
    }

    /// A prompt that cannot be seen can still be answered.
    fn show(&self, text: &str) {
        let _ = match self {
            Self::Session(file) => (&mut &*file).write_all(text.as_bytes()),
            Self::Standard => write!(io::stderr(), "{text}"),
        };
    }

    fn byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let read = match self {
            Self::Session(file) => (&mut &*file).read(&mut byte),
            Self::Standard => io::stdin().lock().read(&mut byte),
        };
        Ok((read? == 1).then_some(byte[0]))
    }
}

/// Puts the terminal back as it was.
struct Quiet<'a> {
    terminal: &'a Terminal,
    before: Termios,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = self.terminal.set(&self.before); // nothing better can be done
        self.terminal.show("\n"); // the Enter that was not echoed
    }
}

/// Asks `question` on the terminal, and reads one line that it does not show. `way_out` is for where there is no terminal.
pub(crate) fn secret(question: &str, way_out: &str) -> Result<Zeroizing<String>, Failure> {
    let terminal = Terminal::open();
    let no_terminal = || no_terminal(question, way_out);
    let before = terminal.modes().map_err(|_| no_terminal())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    terminal.set(&silent).map_err(|_| no_terminal())?;
    let quiet = Quiet { terminal: &terminal, before };
    terminal.show(&format!("{question} (hidden): "));
    read_line(|| quiet.terminal.byte(), |text| quiet.terminal.show(text))
}

fn no_terminal(question: &str, way_out: &str) -> Failure {
    let what = question.trim_start_matches("? ");
    Failure::usage(format!("there is no terminal to ask for the {what} on")).with_remedy(way_out)
}

fn read_line(
    mut next: impl FnMut() -> io::Result<Option<u8>>,
    mut show: impl FnMut(&str),
) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::with_capacity(MAX_LINE));
    loop {
        let byte = next().map_err(|error| Failure::new(Exit::Failed, format!("cannot read the answer: {error}")))?;
        match byte {
            Some(INTERRUPT) => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was changed")),
            None | Some(END | b'\n' | b'\r') => return Ok(line),
            Some(byte) if BACKSPACE.contains(&byte) => {
                if line.pop().is_some() {
                    show("\x08 \x08");
                }
            }
            Some(ERASE_LINE) => {
                show(&"\x08 \x08".repeat(line.len()));
                line.clear();
            }
            Some(byte) if byte.is_ascii_graphic() || byte == b' ' => {
                if line.len() < MAX_LINE {
                    line.push(char::from(byte)); // secrets are ASCII
                    show("·");
                }
            }
            Some(_) => {} // no part of a key, as what an arrow sends
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_can_be_asked_a_plain_sentence_says_so() {
        let told = no_terminal("? cluster key", "give it with --key-file FILE").sentence();
        assert_eq!(told, "there is no terminal to ask for the cluster key on; give it with --key-file FILE");
    }

    #[test]
    fn a_line_can_be_corrected_and_given_up() {
        let read = |typed: &[u8]| {
            let (mut bytes, mut shown) = (typed.iter().copied(), String::new());
            let line = read_line(|| Ok(bytes.next()), |text| shown.push_str(text));
            line.map(|line| (line.to_string(), shown)).map_err(|failure| failure.exit())
        };
        assert_eq!(read(b"abx\x7fc\nrest"), Ok(("abc".to_owned(), "···\x08 \x08·".to_owned())));
        assert_eq!(read(b"abc\x04"), Ok(("abc".to_owned(), "···".to_owned())));
        assert_eq!(read(b"\x7fab\x15c\r"), Ok(("c".to_owned(), "··\x08 \x08\x08 \x08·".to_owned())));
        assert_eq!(read(b"a\tb\x1b").map(|(line, _)| line), Ok("ab".to_owned()));
        assert_eq!(read(b"ab\x03"), Err(Exit::Interrupted));
    }
}
