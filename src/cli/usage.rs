//! clap's errors as ours: one line, with a way out.

use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;
use crate::error::Trouble;

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
    if let Some(failure) = unusable_value(error) {
        return failure;
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let words = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let message = words.collect::<Vec<_>>().join(" ");
    Failure::usage(message).with_remedy(suggestion(error).or_else(|| alternation(error)).unwrap_or_else(help))
}

/// A value whose reader knows what to write instead.
fn unusable_value(error: &clap::Error) -> Option<Failure> {
    let source = std::error::Error::source(error)?;
    let Trouble { what, way_out } = match source.downcast_ref::<ParseIntError>() {
        Some(why) => &no_number(why),
        None => source.downcast_ref()?,
    };
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        Some(_) | None => None,
    };
    let (value, arg) = (text(ContextKind::InvalidValue)?, text(ContextKind::InvalidArg)?);
    Some(Failure::usage(format!("invalid value '{value}' for '{arg}': {what}")).with_remedy(way_out))
}

fn no_number(why: &ParseIntError) -> Trouble {
    match why.kind() {
        IntErrorKind::PosOverflow => Trouble::new("the number is too large", "write a smaller one"),
        _ => Trouble::new("a whole number is expected", "write digits alone"),
    }
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
        // The nearest comes last.
        ContextValue::Strings(near) => near.last()?,
        _ => return None,
    };
    Some(format!("did you mean '{near}'?"))
}

#[cfg(test)]
mod tests {
    use super::super::args;
    use super::*;

    fn told(args: &[&str]) -> String {
        let args = std::iter::once("weir").chain(args.iter().copied()).map(Into::into);
        failure(&args::parse(args).expect_err("it is mistyped"), "weir").sentence()
    }

    #[test]
    fn of_all_that_are_near_the_nearest_is_meant() {
        for (typed, meant) in
            [("statsu", "status"), ("memebrs", "members"), ("stauts", "status"), ("upstrema", "upstream")]
        {
            assert_eq!(told(&[typed]), format!("unrecognized subcommand '{typed}'; did you mean '{meant}'?"));
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_has_the_way_out_of_its_reader() {
        for (args, said) in [
            (
                &["leave", "--timeout", "2"][..],
                "invalid value '2' for '--timeout <DURATION>': \"2\" is no duration; write a number with its unit, \"300ms\" or \
                 \"1m30s\"",
            ),
            (&["upstream", "diff", "x"], "invalid value 'x' for '[N]': a whole number is expected; write digits alone"),
            (
                &["upstream", "history", "-n", "x"],
                "invalid value 'x' for '-n <COUNT>': a whole number is expected; write digits alone",
            ),
            (
                &["upstream", "rollback", "99999999999999999999"],
                "invalid value '99999999999999999999' for '[N]': the number is too large; write a smaller one",
            ),
            (
                &["upstream", "plan", "--join", "web3,port"],
                "invalid value 'web3,port' for '--join <MEMBER[,TAG=VALUE]…>': 'port' is no tag with a value; write port=8080",
            ),
        ] {
            assert_eq!(told(args), said);
        }
    }
}
