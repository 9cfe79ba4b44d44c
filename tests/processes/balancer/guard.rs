//! The guard of an application that takes a while until it answers, by real agents and a real NGINX (`protocols A.6`).

use super::stage::Balancer;
use crate::support::{holds, until};

#[test]
#[ignore = "needs nginx"]
fn an_application_that_was_only_started_gets_no_request_before_its_check_has_passed_anew() {
    let balancer = Balancer::start();
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("answers");
    std::fs::write(&flag, "").unwrap();
    let check = format!(
        "[check.site]\nexec = [\"/bin/sh\", \"-c\", \"test -e {} || exit 2\"]\n\
         interval = \"1s\"\ntimeout = \"500ms\"\nrise = 1\nfall = 3\n",
        flag.display()
    );
    let one = balancer.web_with("web1", "1", &check);
    let _two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);

    let drained = one.cli(&["drain", "--guard"]);
    assert_eq!(drained.status.code(), Some(0), "{}", String::from_utf8_lossy(&drained.stderr));
    balancer.await_answers(&[("web2", 1)]);
    let live = balancer.agent.log().matches("apply live").count();
    // It stops, and is started by the time that its guard says so; the check last passed before.
    std::fs::remove_file(&flag).unwrap();
    let undone = one.cli(&["drain", "--undo", "--if-guard"]);
    assert_eq!(undone.status.code(), Some(0), "{}", String::from_utf8_lossy(&undone.stderr));
    until("the check fails, and nobody drains", || {
        let members = balancer.agent.members()?;
        let tags = &members.iter().find(|member| member.name == "web1").ok_or("web1 is not there")?.tags;
        holds(tags.get("weir_health").is_some_and(|health| health == "critical") && !tags.contains_key("weir_drain"))
    });
    assert_eq!(balancer.agent.log().matches("apply live").count(), live, "{}", balancer.agent.log());
    balancer.await_answers(&[("web2", 1)]);

    std::fs::write(&flag, "").unwrap();
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}
