//! `weir completions`: for packages and for shells without one.

use clap_complete::Shell;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// Print the completions for a shell.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Completions {
    /// Whose: bash, zsh or fish
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut bytes = Vec::new();
        clap_complete::generate(self.shell, &mut super::args::definition(), "weir", &mut bytes);
        output.text(&String::from_utf8_lossy(&bytes))?;
        Ok(Exit::Done)
    }
}
