//! `weir man`: the manual pages, written from the clap definition.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// Print the manual page, or write all pages into a directory.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// Write weir.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let pages = pages();
        match &self.dir {
            Some(dir) => {
                for (name, text) in &pages {
                    write(&dir.join(name), text)?;
                }
            }
            None => output.text(&pages[0].1)?,
        }
        Ok(Exit::Done)
    }
}

/// File names and texts; `weir.1` first. Hidden commands have no page.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut root = without_help(super::args::definition());
    root.build();
    let mut out = Vec::new();
    collect(&root, &mut out);
    out
}

/// A page that named `weir-help(1)` would name none.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn collect(command: &clap::Command, out: &mut Vec<(String, String)>) {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).expect("writing to a vector cannot fail");
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    // What stands below the options is about exit codes alone.
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA", ".SH \"EXIT STATUS\"");
    out.push((format!("{name}.1"), text));
    for deeper in command.get_subcommands().filter(|deeper| !deeper.is_hide_set()) {
        collect(deeper, out);
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::of_file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_has_a_page_and_the_first_lists_the_exit_codes() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "weir.1");
        assert!(names.contains(&"weir-version.1") && !names.contains(&"weir-man.1"), "{names:?}");
        assert!(pages[0].1.contains(".SH \"EXIT STATUS\"") && pages.iter().all(|(_, text)| !text.contains("help(1)")));
        assert!(pages[0].1.contains("interrupted by you before the end"), "{}", pages[0].1);
    }
}
