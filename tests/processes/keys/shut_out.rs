//! Hosts that lack the cluster's key: the advice on either side points the same way.

use super::*;

/// a and b rotate without c, which comes back with the old key. Returns it and the new one.
fn lock_out(agents: &mut [Agent]) -> (String, String) {
    agents[2].kill();
    await_agreement(&[&agents[0], &agents[1]], &[("a", "alive"), ("b", "alive"), ("c", "failed")]);
    let (code, told) = rotate(&agents[0], &["--force", "c"]);
    assert_eq!(code, Some(0), "{told}");
    let new = ring(&agents[0]).remove(0);
    agents[2].run();
    (id(KEY), new)
}

#[test]
fn whoever_was_locked_out_is_to_import_by_the_word_of_both_sides_and_the_cluster_is_well_then() {
    let mut agents = cluster(&["a", "b", "c"], KEY);
    let (old, new) = lock_out(&mut agents);
    let ip = agents[2].gossip.ip();
    let said = await_finding(&agents[0], "keys.unknown", "which nobody else has (last ");
    assert!(
        said.starts_with(&format!("warn keys.unknown c ({ip}) was shut out: it seals with {old}, which")),
        "{said}"
    );
    assert!(said.ends_with("; 'weir keys export' here, 'weir keys import' there"), "{said}");
    let words =
        format!("seals with key {new}, this keyring has only {old}; 'weir keys export' there, 'weir keys import' here");
    let said = await_finding(&agents[2], "gossip.join", &words);
    assert!(said.starts_with("error gossip.join this node has joined nobody: "), "{said}");

    let told = carry_key(&agents[0], &agents[2]);
    let stays = format!(
        "{new} seals on this host (the running agent); {old} stays in its ring until a 'weir keys rotate' that ends\n"
    );
    assert_eq!(told, stays);
    await_alive(&agents.iter().collect::<Vec<_>>());
    assert_eq!(ring(&agents[2]), [new, old.clone()]);
    assert_eq!(found(&agents[0], "keys.unknown"), Vec::<String>::new());
    let extra = found(&agents[0], "keys.extra");
    assert!(extra.len() == 1 && extra[0].ends_with("; weir keys rotate"), "{extra:?}");
    assert_eq!(rotate(&agents[2], &[]).0, Some(0));
    let one = ring(&agents[0]);
    assert!(one.len() == 1 && agents.iter().all(|agent| ring(agent) == one));
    await_well(&agents.iter().collect::<Vec<_>>(), &["gossip", "keys"]);
}

/// The agent of the majority remembers what it removed, also over a restart.
#[test]
fn a_removed_key_is_not_asked_for_after_a_restart_either() {
    let mut agents = cluster(&["a", "b", "c"], KEY);
    let (old, _) = lock_out(&mut agents);
    agents[0].kill();
    agents[1].kill();
    agents[0].run();
    // All alone, and yet it is the one that has removed the other's key, together with b.
    let said = await_finding(&agents[0], "keys.unknown", &old);
    assert!(said.contains(" c (") && said.contains("was shut out"), "{said}");
    assert!(said.ends_with("; 'weir keys export' here, 'weir keys import' there"), "{said}");
}

/// Neither what is on its way at the end of a rotation, nor packets for an earlier process, are anybody's missing key.
#[test]
fn a_rotation_and_a_kill_leave_nobody_in_doubt() {
    let mut agents = cluster(&["a", "b", "c"], KEY);
    let (code, told) = rotate(&agents[0], &[]);
    assert_eq!(code, Some(0), "{told}");
    for agent in &agents {
        assert_eq!(found(agent, "keys.unknown"), Vec::<String>::new(), "{}", agent.name);
    }
    agents[1].kill();
    agents[1].run();
    until("what was meant for its earlier process arrives", || {
        let info = text(&agents[1].cli(&["info", "--format", "json"]).stdout);
        if info.contains("other_session") { Ok(()) } else { Err(info) }
    });
    await_alive(&agents.iter().collect::<Vec<_>>());
    for agent in &agents {
        assert_eq!(found(agent, "keys.unknown"), Vec::<String>::new(), "{}", agent.name);
    }
}

#[test]
#[ignore = "needs serf"]
fn a_rotation_among_serf_agents_leaves_nobody_in_doubt() {
    let a = start("a", settings(KEY));
    let serf = |name: &str| Agent::start(Kind::Serf, name, settings(KEY).join(a.gossip));
    let (s, t) = (serf("s"), serf("t"));
    await_alive(&[&a, &s, &t]);
    let (code, told) = rotate(&a, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(found(&a, "keys.unknown"), Vec::<String>::new());
}

/// A host that took a key of its own while it was away holds the cluster's as well: it hears the others, they do not hear it.
#[test]
fn whoever_took_a_key_of_its_own_is_told_to_take_the_clusters() {
    let mut agents = cluster(&["a", "b", "c"], KEY);
    agents[2].kill();
    let own = format!("[\"{OTHER_KEY}\", \"{KEY}\"]");
    std::fs::write(agents[2].dir.path().join("keyring.json"), own).unwrap();
    await_agreement(&[&agents[0], &agents[1]], &[("a", "alive"), ("b", "alive"), ("c", "failed")]);
    agents[2].run();
    // Which key it has is told by streams alone, and it may be b that it dials.
    let said = await_finding(&agents[0], "keys.unknown", "was shut out");
    assert!(said.contains("; 'weir keys export' here, 'weir keys import' ") && said.ends_with(" there"), "{said}");
    carry_key(&agents[0], &agents[2]);
    await_alive(&agents.iter().collect::<Vec<_>>());
    assert_eq!(ring(&agents[2]), [id(KEY), id(OTHER_KEY)]);
}

/// Members go on hearing it by the key that it had, until it restarts: both sides say so.
#[test]
fn a_stray_key_that_was_imported_at_run_time_is_told_while_all_are_alive() {
    let agents = cluster(&["a", "b", "c"], KEY);
    let mut command = Command::new(weir_binary());
    command.args(["keys", "import", "--config-file"]).arg(agents[2].config_file()).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(OTHER_KEY.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let own = ring(&agents[2]).remove(0);
    let said = await_finding(&agents[0], "keys.agreement", "c seals with key");
    let wanted = format!(
        "error keys.agreement c seals with key {own}, which a, b lack: it is heard by an older key alone, until"
    );
    assert!(said.starts_with(&wanted), "{said}");
    for (agent, words) in [(&agents[0], "seals with"), (&agents[2], "this node seals with key")] {
        until("status tells it", || {
            let told = text(&agent.cli(&["status", "--for", "cluster"]).stdout);
            if told.contains(words) && told.contains(&own) { Ok(()) } else { Err(told) }
        });
    }
    let found = doctor(&agents[2], &["keys"]);
    assert_eq!(found.len(), 1, "nothing is told twice: {found:#?}");
    await_alive(&agents.iter().collect::<Vec<_>>());
    carry_key(&agents[0], &agents[2]);
    until("status tells it no more", || {
        let told = text(&agents[2].cli(&["status", "--for", "cluster"]).stdout);
        if told.contains("this node seals with") { Err(told) } else { Ok(()) }
    });
}
