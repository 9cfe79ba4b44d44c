//! Asking for a secret on the terminal, without echo.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::exit::Exit;
use super::failure::Failure;

/// What the interrupt, erase and end keys send while the terminal passes everything on.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];

/// Puts the terminal back as it was.
struct Quiet {
    before: Termios,
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.before); // nothing better can be done
        let _ = writeln!(std::io::stderr()); // the Enter that was not echoed
    }
}

/// Asks `question` on the terminal that standard input is, and reads one line.
pub(crate) fn secret(question: &str) -> Result<Zeroizing<String>, Failure> {
    let stdin = std::io::stdin();
    let no_terminal =
        || Failure::usage(format!("no terminal to ask for the {question} on")).with_remedy("give it with --file FILE");
    let before = tcgetattr(stdin.as_fd()).map_err(|_| no_terminal())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(stdin.as_fd(), OptionalActions::Now, &silent).map_err(|_| no_terminal())?;
    let _quiet = Quiet { before };
    let _ = write!(std::io::stderr(), "{question} (hidden): "); // a prompt that cannot be seen can still be answered
    read_line(stdin.lock())
}

fn read_line(input: impl std::io::BufRead) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    for byte in input.bytes() {
        match byte.map_err(|error| Failure::new(Exit::Failed, format!("cannot read the answer: {error}")))? {
            INTERRUPT => return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was changed")),
            END | b'\n' | b'\r' => break,
            byte if BACKSPACE.contains(&byte) => drop(line.pop()),
            byte => line.push(char::from(byte)), // keys are ASCII
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_corrected_and_given_up() {
        let read = |typed: &[u8]| read_line(typed).map(|line| line.to_string()).map_err(|failure| failure.exit());
        assert_eq!(read(b"abx\x7fc\nrest"), Ok("abc".to_owned()));
        assert_eq!(read(b"abc\x04"), Ok("abc".to_owned()));
        assert_eq!(read(b"ab\x03"), Err(Exit::Interrupted));
    }
}
