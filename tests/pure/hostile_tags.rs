//! What stands in tags changes nothing but whether, and how, its own member is a server.

use std::collections::BTreeSet;

use crate::hostile::{TAGS, VALUES, file, members, well};

/// The lines of servers, trimmed.
fn servers(text: &str) -> BTreeSet<String> {
    text.lines().map(str::trim).filter(|line| line.starts_with("server ")).map(str::to_owned).collect()
}

#[test]
fn hostile_tags_exclude_their_own_member_or_are_not_used() {
    let (decision, text) = file(&members());
    let (_, calm) = file(&well());
    let server = regex::Regex::new(
        r"^server 10\.77\.0\.[0-9]{1,3}:[0-9]{1,5}( (weight=[0-9]{1,3}|max_conns=[0-9]{1,10}|max_fails=[0-9]+|fail_timeout=[0-9]+s|backup|down))*;$",
    )
    .unwrap();
    for line in servers(&text) {
        assert!(server.is_match(&line), "{line}");
    }
    // Everything else is as it is without them but for the room that their lines need, and so are the two that are well.
    let is_other = |line: &&str| !line.trim().starts_with("server ") && !line.trim().starts_with("zone web ");
    let others = |text: &str| text.lines().filter(is_other).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(others(&text), others(&calm));
    assert!(servers(&calm).is_subset(&servers(&text)), "{calm}\n{text}");
    // Each is out by its port, with the reason, or in with a note on what was not used as it is.
    assert_eq!(decision.left_out.len(), VALUES.len(), "{:?}", decision.left_out);
    assert!(decision.left_out.iter().all(|(_, reason)| reason.to_string().contains("is not a port")));
    let noted = decision.members.iter().filter(|judged| !judged.draft.notes.is_empty()).count();
    // A large number is a number of connections.
    let plain = ["167772161", "65536"].len();
    assert_eq!(noted, (TAGS.len() - 1) * VALUES.len() - plain, "weight, backup and max_conns");
    assert_eq!(decision.members.len(), 2 + (TAGS.len() - 1) * VALUES.len());
}
