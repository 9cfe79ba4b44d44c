//! clap's errors as ours: one line, with a way out.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

/// Whether this is no mistake but help or a version, for standard output.
pub(crate) fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// A usage mistake as one line.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    if matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) {
        return Failure::usage("no command given").with_remedy(help(error));
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let words = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let message = words.collect::<Vec<_>>().join(" ");
    Failure::usage(message).with_remedy(suggestion(error).unwrap_or_else(|| help(error)))
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let value = kinds.into_iter().find_map(|kind| error.get(kind))?;
    let near = match value {
        ContextValue::String(near) => near,
        ContextValue::Strings(near) => near.first()?,
        _ => return None,
    };
    Some(format!("did you mean '{near}'?"))
}

/// `'weir members --help' explains it`, for the command that was being read.
fn help(error: &clap::Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let words = usage.split_whitespace().skip_while(|word| *word != "weir");
    let command: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    let command = if command.is_empty() { "weir".to_owned() } else { command.join(" ") };
    format!("'{command} --help' explains it")
}
