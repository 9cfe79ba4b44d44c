//! `weir keys remove` takes nobody's last way in (`ux §4`, row 26).

use std::collections::BTreeMap;

use super::super::exit::Exit;
use super::super::failure::Failure;
use crate::escape::escape;
use crate::rotate::document::{MemberStatus, Status};
use crate::status::shell::option;

/// Members that removing `key` locks out: they lack the key that the others seal with, or seal with this one.
fn locked_out<'a>(status: &'a Status, key: &str) -> Vec<&'a MemberStatus> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for primary in status.members.iter().filter_map(|member| member.seals_with.as_deref()).filter(|id| *id != key) {
        *counts.entry(primary).or_default() += 1;
    }
    // Nobody seals with anything else: every member refuses by itself.
    let Some((primary, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return Vec::new() };
    let is_locked_out = |member: &&MemberStatus| {
        let holds_it = member.holds.iter().flatten().any(|held| held == primary);
        !holds_it || member.seals_with.as_deref() == Some(key)
    };
    status.members.iter().filter(is_locked_out).collect()
}

/// Refuses to remove `key` while that locks out somebody who is not named by `force`. Returns the names of those who are.
pub(super) fn check(status: &Status, key: &str, force: &[String]) -> Result<Vec<String>, Failure> {
    let (named, others): (Vec<_>, Vec<_>) =
        locked_out(status, key).into_iter().partition(|member| force.contains(&member.name));
    if others.is_empty() {
        return Ok(named.iter().map(|member| format!("{} ({})", escape(&member.name), member.status)).collect());
    }
    let who: Vec<_> = others.iter().map(|member| format!("{} ({})", escape(&member.name), member.status)).collect();
    let names: Vec<_> = others.iter().map(|member| escape(&member.name)).collect();
    let flags: Vec<_> = others.iter().map(|member| option("--force", &member.name)).collect();
    let (has, them) = match &names[..] {
        [one] => ("has", one.to_string()),
        _ => ("have", "them".to_owned()),
    };
    let wait = if others.len() == 1 { "it" } else { "them" };
    let what = format!("{key} is all that {} {has}; removing it locks {them} out", who.join(", "));
    Err(Failure::new(Exit::Refused, what).with_remedy(format!("wait for {wait}, or {}", flags.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, status: &str, holds: Option<&[&str]>) -> MemberStatus {
        MemberStatus {
            name: name.into(),
            status: status.into(),
            holds: holds.map(|keys| keys.iter().map(ToString::to_string).collect()),
            seals_with: holds.and_then(|keys| keys.first()).map(ToString::to_string),
            envelope: String::new(),
            last_seen: None,
            message: None,
        }
    }

    fn refusal(members: Vec<MemberStatus>, force: &[&str]) -> Result<Vec<String>, String> {
        let status = Status { keys: Vec::new(), members };
        let force: Vec<String> = force.iter().map(ToString::to_string).collect();
        check(&status, "old", &force).map_err(|failure| failure.to_text())
    }

    #[test]
    fn nobody_is_locked_out_without_being_named() {
        let web1 = || member("web1", "alive", Some(&["new", "old"]));
        let failed = || member("web2", "failed", None);
        assert_eq!(refusal(vec![web1(), web1()], &[]), Ok(Vec::new()));
        assert_eq!(
            refusal(vec![web1(), failed()], &[]),
            Err("error: old is all that web2 (failed) has; removing it locks web2 out; wait for it, or --force web2"
                .into())
        );
        assert_eq!(refusal(vec![web1(), failed()], &["web2"]), Ok(vec!["web2 (failed)".into()]));
        let still = || member("web3", "alive", Some(&["old", "new"]));
        assert_eq!(
            refusal(vec![web1(), web1(), failed(), still()], &["web3"]),
            Err("error: old is all that web2 (failed) has; removing it locks web2 out; wait for it, or --force web2"
                .into())
        );
        assert!(
            refusal(vec![web1(), web1(), failed(), still()], &[])
                .is_err_and(|text| text.ends_with("locks them out; wait for them, or --force web2 --force web3"))
        );
    }

    #[test]
    fn the_key_that_all_seal_with_is_refused_by_the_members_themselves() {
        assert_eq!(
            refusal(vec![member("a", "alive", Some(&["old"])), member("b", "failed", None)], &[]),
            Ok(Vec::new())
        );
    }
}
