use super::super::node::{Apply, ApplyResult, NginxState, Run, tests::full};
use super::*;

fn text(document: &Document) -> String {
    let line = |(group, values): (String, BTreeMap<String, String>)| {
        let values: Vec<_> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{group}: {}\n", values.join(" "))
    };
    groups(document).into_iter().map(line).collect()
}

const SERF: &str = "agent: name=lb1\n\
    event_handlers: user:deploy=/usr/lib/weir/deploy\n\
    runtime: arch=amd64 cpu_count=2 goroutines=9 max_procs=1 os=linux version=weir0.1.0\n\
    serf: coordinate_resets=0 encrypted=true event_queue=2 event_time=4 failed=1 health_score=1 intent_queue=1 left=0 \
    member_time=12 members=3 query_queue=3 query_time=7\n\
    tags: role=lb\n";

#[test]
fn in_serfs_place_there_are_serfs_groups_alone() {
    let mut document = full();
    document.node.serf_mode = true;
    assert_eq!(text(&document), SERF);
    let empty =
        Document { node: super::super::node::Node { serf_mode: true, ..Default::default() }, ..Default::default() };
    let names: Vec<_> = groups(&empty).into_keys().collect();
    assert_eq!(names, ["agent", "event_handlers", "runtime", "serf", "tags"]);
}

#[test]
fn ours_follow_where_they_hold_anything() {
    let ours = "dropped: plaintext=2\n\
        handlers: deploy=3 runs, 1 failed, 2 dropped, last exit 0 in 15 ms\n\
        nginx: pid=907 state=running since 2026-11-28T16:02:11Z\n\
        rpc: clients=1\n\
        upstreams: last_apply=live, 3 s ago: generation 7 live in 112 ms web=1 of 1 in\n\
        weir: advertise=10.77.0.11:7946 bytes_in=3 bytes_out=4 exchanges=0 incarnation=3 keys=1 packets_in=1 packets_out=2 \
        primary_key=3fa9c1d2 streams=0 udp_receive_errors=0 udp_send_errors=0 uptime_s=7440 version=0.1.0\n";
    let mut lines: Vec<&str> = SERF.lines().chain(ours.lines()).collect();
    lines.sort_unstable();
    assert_eq!(text(&full()).lines().collect::<Vec<_>>(), lines);
    let mut bare = full();
    (bare.drops, bare.handlers, bare.upstreams, bare.nginx, bare.apply) = Default::default();
    let bare = text(&bare);
    assert!(["dropped", "upstreams", "nginx"].iter().all(|group| !bare.contains(group)), "{bare}");
}

#[test]
fn ends_are_told_in_words() {
    for (run, word) in [
        (Run::Exited { status: 3 }, "exit 3"),
        (Run::Killed { signal: 9 }, "signal 9"),
        (Run::TimedOut, "timed out"),
        (Run::NotStarted { error: "/x: no such file".into(), remedy: None }, "cannot start /x: no such file"),
    ] {
        assert_eq!(run.to_string(), word);
    }
    let mut document = full();
    let mut last = document.apply.take().unwrap().last.unwrap();
    (last.result, last.message, last.remedy) = (ApplyResult::Refused.into(), "what".into(), Some("way out".into()));
    document.apply = Some(Apply { last: Some(last), ..Apply::default() });
    assert_eq!(upstreams(&document)["last_apply"], "refused, 3 s ago: what; way out");
    let stopped = Nginx {
        state: NginxState::Stopped.into(),
        version: None,
        pid: None,
        since: None,
        message: Some("nginx.service is not running".into()),
        remedy: Some("'systemctl start nginx'".into()),
        unseen: None,
    };
    assert_eq!(
        nginx(&stopped),
        [("state".into(), "stopped: nginx.service is not running; 'systemctl start nginx'".into())].into()
    );
    document.upstreams[0].mode = Some(Mode::Floor.into());
    assert_eq!(upstreams(&document)["web"], "1 of 1 in, too few are well: those that are ill stay");
    document.upstreams[0].mode = Some(Mode::Last.into());
    assert_eq!(upstreams(&document)["web"], "1 of 1 in, nobody is well: the last good ones stay");
    document.upstreams[0].want = Some(Want::Placeholder.into());
    assert_eq!(upstreams(&document)["web"], "1 of 1 in, requests are answered 502");
    document.upstreams[0].stream = true;
    assert_eq!(upstreams(&document)["web"], "1 of 1 in, connections are closed");
    document.upstreams[0].mode = None;
    assert_eq!(upstreams(&document)["web"], "undecided");
}
