//! What a rotation says is so, and the ways out that it names lead out.

use super::*;

const AWAY: [(&str, &str); 3] = [("a", "alive"), ("b", "alive"), ("c", "failed")];

/// a and b, and c which is dead.
fn without_c() -> Vec<Agent> {
    let mut agents = cluster(&["a", "b", "c"], KEY);
    agents[2].kill();
    await_agreement(&[&agents[0], &agents[1]], &AWAY);
    agents
}

#[test]
fn each_stop_names_every_extra_key_and_pruning_lets_the_next_run_end() {
    let agents = without_c();
    let (code, first) = rotate(&agents[0], &[]);
    assert_eq!(code, Some(7), "{first}");
    let one = ring(&agents[0]).remove(1);
    let says = format!(
        "stopped at install: c did not confirm; {} still seals everywhere, {one} is an extra key that the next complete \
         run removes",
        id(KEY)
    );
    assert!(first.contains(&says), "{first}");
    let (code, second) = rotate(&agents[0], &[]);
    assert_eq!(code, Some(7), "{second}");
    let two = ring(&agents[0]).remove(2);
    let says = format!(
        "{} still seals everywhere, {one} and {two} are extra keys that the next complete run removes",
        id(KEY)
    );
    assert!(second.contains(&says), "{second}");
    assert!(second.contains("c is gone for good: weir force-leave --prune c, then again"), "{second}");

    let pruned = agents[0].cli(&["force-leave", "--prune", "c"]);
    assert!(pruned.status.success(), "{pruned:?}");
    let (code, third) = rotate(&agents[0], &[]);
    assert_eq!(code, Some(0), "{third}");
    let only = ring(&agents[0]);
    assert!(only.len() == 1 && ring(&agents[1]) == only, "{third}");
}

#[test]
fn what_absent_asked_for_is_done_and_no_stop() {
    let mut agents = without_c();
    let (code, told) = rotate(&agents[0], &["--absent", "c"]);
    let new = ring(&agents[0]).remove(0);
    let says = format!(
        " s without c: {new} seals on every other member, {} stays until c can follow\n  c is back: weir keys rotate",
        id(KEY)
    );
    assert!(code == Some(0) && told.contains("\nrotated in ") && told.contains(&says), "{code:?} {told}");
    assert!(!told.contains("stopped"), "{told}");
    agents[2].run();
    await_alive(&agents.iter().collect::<Vec<_>>());
    assert_eq!(rotate(&agents[0], &[]).0, Some(0));
    let only = ring(&agents[0]);
    assert!(only.len() == 1 && agents.iter().all(|agent| ring(agent) == only));
}

#[test]
fn members_that_left_and_members_of_before_a_restart_are_not_taken_for_serf() {
    let mut agents = cluster(&["a", "b", "c"], KEY);
    agents[2].leave();
    await_agreement(&[&agents[0], &agents[1]], &[("a", "alive"), ("b", "alive"), ("c", "left")]);
    let plain = |agent: &Agent| {
        let (code, told) = rotate(agent, &["--dry-run"]);
        assert_eq!(code, Some(0), "{told}");
        told.contains("may be plain Serf")
    };
    assert!(!plain(&agents[0]));
    agents[0].kill();
    agents[0].run();
    await_agreement(&[&agents[0]], &[("a", "alive"), ("b", "alive")]);
    assert!(!plain(&agents[0]), "right after the restart");
}

#[test]
fn the_ghost_of_a_renamed_host_does_not_block() {
    let mut agents = cluster(&["a", "b"], KEY);
    let mut c = start("c", settings(KEY).join(agents[0].gossip));
    await_agreement(&[&agents[0], &agents[1], &c], &[("a", "alive"), ("b", "alive"), ("c", "alive")]);
    c.leave();
    let mut renamed = Agent::prepare_at(Kind::Weir, "d", settings(KEY).join(agents[0].gossip), c.gossip, c.rpc);
    renamed.run();
    let all = [("a", "alive"), ("b", "alive"), ("c", "left"), ("d", "alive")];
    await_agreement(&[&agents[0], &agents[1]], &all);
    let (code, told) = rotate(&agents[0], &[]);
    assert_eq!(code, Some(0), "{told}");
    agents.push(renamed);
    let only = ring(&agents[0]);
    assert!(only.len() == 1 && agents.iter().all(|agent| ring(agent) == only));
}

#[test]
fn a_host_that_hears_nobody_takes_no_key_of_its_own_unless_it_is_told_whom_that_shuts_out() {
    let mut agents = cluster(&["a", "b"], KEY);
    let gossip = agents[0].gossip;
    until("b's snapshot knows a", || {
        let bytes = std::fs::read(agents[1].dir.path().join("snapshot")).unwrap_or_default();
        if text(&bytes).contains(&gossip.to_string()) { Ok(()) } else { Err(text(&bytes)) }
    });
    agents[0].kill();
    agents[1].kill();
    agents[1].run();
    let (code, told) = rotate(&agents[1], &[]);
    let says = format!(
        "error: nobody else is here, and a key of this host's own would shut out a ({gossip}); 'weir join {gossip}' first, \
         or --force a\n"
    );
    assert_eq!((code, told.as_str()), (Some(6), says.as_str()));
    assert_eq!(ring(&agents[1]), [id(KEY)]);
    // The way out.
    agents[0].run();
    agents[1].join_to(gossip);
    await_alive(&agents.iter().collect::<Vec<_>>());
    assert_eq!(rotate(&agents[1], &[]).0, Some(0));
    assert_eq!(ring(&agents[0]), ring(&agents[1]));

    let lone = start("lone", settings(KEY).join(crate::support::address()));
    let (code, told) = rotate(&lone, &[]);
    assert_eq!(code, Some(6), "{told}");
    let force = told.trim_end().rsplit_once(", or --force ").unwrap().1.to_owned();
    assert_eq!(rotate(&lone, &["--force", &force]).0, Some(0));
}

#[test]
fn an_import_that_cannot_be_kept_names_the_file() {
    let agent = start("a", settings(KEY));
    let path = agent.dir.path().join("keyring.json");
    // Nothing can be renamed onto a directory that is not empty.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir_all(path.join("full")).unwrap();
    let mut import = Command::new(weir_binary());
    import.args(["keys", "import", "--file", "-", "--config-file"]).arg(agent.config_file());
    let mut child = import.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(OTHER_KEY.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(said.starts_with(&format!("error: cannot write {}: ", path.display())), "{said}");
    // One finding, not a second one about the directory's mode.
    let found = doctor(&agent, &["files", "keys"]);
    let errors: Vec<_> = found.iter().filter(|line| line.starts_with("error")).collect();
    assert!(errors.len() == 1 && errors[0].ends_with("; name a file, not a directory"), "{found:#?}");
}
