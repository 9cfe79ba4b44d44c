//! clap's errors as ours: one line, with a way out.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

/// Whether this is no mistake but help or a version, for standard output.
pub(crate) fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// A usage mistake of `command` (`weir members`) as one line.
pub(crate) fn failure(error: &clap::Error, command: &str) -> Failure {
    let help = || format!("'{command} --help' explains it");
    if matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) {
        return Failure::usage("no command given").with_remedy(help());
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let words = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let message = words.collect::<Vec<_>>().join(" ");
    Failure::usage(message).with_remedy(suggestion(error).or_else(|| alternation(error)).unwrap_or_else(help))
}

/// Two patterns of one kind are one pattern.
fn alternation(error: &clap::Error) -> Option<String> {
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else { return None };
    let name = option.strip_suffix(" <REGEX>").filter(|_| error.kind() == ErrorKind::ArgumentConflict)?;
    Some(format!("give one pattern for both, {name} 'A|B'"))
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
