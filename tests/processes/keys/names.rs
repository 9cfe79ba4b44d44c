//! Two hosts of one name: both logs say so, once, and `doctor` names the way out on either side.

use super::*;

/// How often a log has a line with these words.
fn lines(agent: &Agent, words: &str) -> usize {
    agent.log().lines().filter(|line| line.contains(words)).count()
}

#[test]
fn where_others_decide_the_holder_is_told_and_the_newcomer_keeps_silent_until_it_is_renamed() {
    let agents = cluster(&["lb", "web", "third"], KEY);
    let (holder, others) = (&agents[1], [&agents[0], &agents[2]]);
    let mut clone = start("web", settings(KEY).join(agents[0].gossip));
    let lost = "error agent.name another member is called 'web' and the majority sides with it, so this node keeps silent \
                until the name is free; set a different node.name";
    assert_eq!(await_finding(&clone, "agent.name", "keeps silent"), lost);
    let held = format!(
        "warn agent.name another host, at {}, is called 'web' as well: this node keeps the name, and that one keeps \
         silent; set a different node.name there",
        clone.gossip
    );
    assert_eq!(await_finding(holder, "agent.name", "keeps the name"), held);
    assert_eq!(lines(holder, "another host uses our name, which we hold; set a different node.name there"), 1);
    assert_eq!(lines(&clone, "so this node keeps silent until the name is free; set a different node.name"), 1);
    // Nothing else is made of it, on either side.
    assert_eq!(doctor(&clone, &["agent", "gossip", "keys"]), [lost]);
    assert_eq!(doctor(holder, &["agent", "gossip", "keys"]), [held]);
    let seen = format!(
        "warn agent.names two hosts are called 'web': the member at {}, which keeps the name, and {}; set a different \
         node.name on one of the two",
        holder.gossip, clone.gossip
    );
    for other in others {
        assert_eq!(await_finding(other, "agent.names", "two hosts are called"), seen, "{}", other.name);
        assert_eq!(lines(other, "two hosts claim one name, the first keeps it"), 1, "{}", other.log());
        assert_eq!(doctor(other, &["agent", "gossip", "keys"]), [seen.as_str()], "{}", other.name);
    }

    clone.kill();
    let mut renamed =
        Agent::prepare_at(Kind::Weir, "web2", settings(KEY).join(agents[0].gossip), clone.gossip, clone.rpc);
    renamed.run();
    await_alive(&[&agents[0], &agents[1], &agents[2], &renamed]);
    await_well(&[&agents[0], &agents[1], &agents[2], &renamed], &["agent", "gossip", "keys"]);
}

#[test]
fn where_nobody_else_is_there_to_decide_both_say_so_until_one_is_renamed() {
    let one = start("web", settings(KEY));
    let mut two = start("web", settings(KEY).join(one.gossip));
    for (agent, other) in [(&one, &two), (&two, &one)] {
        let said = await_finding(agent, "agent.name", "nobody else is there");
        let wanted = format!(
            "error agent.name another host, at {}, is called 'web' as well, and nobody else is there to say whose the \
             name is, so neither sees the other; set a different node.name on one of the two",
            other.gossip
        );
        assert_eq!(said, wanted);
        assert_eq!(lines(agent, "nobody is there to say whose our name is"), 1, "{}", agent.log());
    }
    two.kill();
    let mut renamed = Agent::prepare_at(Kind::Weir, "web2", settings(KEY).join(one.gossip), two.gossip, two.rpc);
    renamed.run();
    await_alive(&[&one, &renamed]);
    await_well(&[&one, &renamed], &["agent", "gossip", "keys"]);
}

#[test]
#[ignore = "needs serf"]
fn a_serf_agent_that_takes_our_name_is_named_to_us() {
    let agents = cluster(&["a", "b", "c"], KEY);
    // Serf's ends once it has lost.
    let mut clone = Agent::prepare(Kind::Serf, "a", settings(KEY).join(agents[1].gossip));
    clone.spawn();
    let said = await_finding(&agents[0], "agent.name", "keeps the name");
    assert!(said.contains(&format!("another host, at {},", clone.gossip)), "{said}");
}
