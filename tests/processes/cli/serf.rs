//! Under the name `serf`: the reference's own transcripts, with what is random in them put in order.

use std::collections::BTreeMap;
use std::path::Path;

use weir::rpc::proto::{Stats, Status};

use super::fake::{Fake, Script, member};
use super::support::{run, serf};

/// A recorded run.
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) args: Vec<String>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

pub(crate) fn transcript(name: &str) -> Transcript {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/serf/cli").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    let (command, rest) = text.split_once("\n--- stdout").expect("a transcript");
    let (stdout, rest) = rest.split_once("\n").expect("a byte count").1.split_once("--- stderr").expect("a transcript");
    let (stderr, code) = rest.split_once("\n").expect("a byte count").1.split_once("--- exit ").expect("a transcript");
    let args = command.split_whitespace().skip_while(|word| *word != "serf").skip(1);
    // Nothing recorded needs a blank in an argument.
    let args = args.map(|word| word.trim_matches('\'').to_owned()).collect();
    Transcript {
        args,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        code: code.trim().parse().expect("a code"),
    }
}

fn stats(groups: &[(&str, &[(&str, &str)])]) -> Stats {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    groups.iter().map(|(group, values)| ((*group).to_owned(), values.iter().map(pair).collect())).collect()
}

const RUNTIME: &[(&str, &str)] = &[
    ("arch", "amd64"),
    ("cpu_count", "2"),
    ("goroutines", "23"),
    ("max_procs", "2"),
    ("os", "linux"),
    ("version", "go1.19.8"),
];

/// The cluster of most transcripts, seen from lb1.
fn plain() -> Script {
    let lb = [("role", "lb"), ("my-tag.x", "tab\tnl"), ("Zone", "a b,c=d")];
    let counters = [
        ("coordinate_resets", "0"),
        ("encrypted", "false"),
        ("event_queue", "0"),
        ("event_time", "1"),
        ("failed", "0"),
        ("health_score", "0"),
        ("intent_queue", "0"),
        ("left", "0"),
        ("member_time", "3"),
        ("members", "3"),
        ("query_queue", "0"),
        ("query_time", "1"),
    ];
    Script {
        members: vec![
            member("web2", 23, Status::Alive, &[("role", "web"), ("dc", "east")]),
            member("lb1", 21, Status::Alive, &lb),
            member("web1", 22, Status::Alive, &[("role", "web")]),
        ],
        stats: stats(&[
            ("agent", &[("name", "lb1")]),
            ("event_handlers", &[("*:", "./dump.sh")]),
            ("runtime", RUNTIME),
            ("serf", &counters),
            ("tags", &lb),
        ]),
        ..Script::default()
    }
}

/// The encrypted cluster of the others, with a token.
fn sealed(keys: &[&str]) -> Script {
    Script {
        members: [("sec1", 25), ("sec2", 26)]
            .map(|(name, host)| member(name, host, Status::Alive, &[("role", "sec")]))
            .into(),
        keys: Some(keys.iter().map(|key| ((*key).to_owned(), 2)).collect::<BTreeMap<_, _>>()),
        ..Script::default()
    }
}

const FIRST: &str = "HvY8ubRZMgafUOWvrOadwOckVa1wN3QWAo46FVKbVN8=";
const SECOND: &str = "GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE=";

/// Replays a transcript. `<ppp...>` is a payload of `long` bytes.
fn replay(name: &str, fake: &Fake, token: Option<&str>, long: usize) {
    let recorded = transcript(name);
    let mut command = serf(fake.dir());
    command.env("SERF_RPC_ADDR", fake.tcp.to_string());
    if let Some(token) = token {
        command.env("SERF_RPC_AUTH", token);
    }
    let is_own = |arg: &&String| !arg.starts_with("-rpc-addr=127.0.0.2") || arg.contains("127.0.0.29");
    let args: Vec<String> =
        recorded.args.iter().filter(is_own).map(|arg| arg.replace("<ppp...>", &"p".repeat(long))).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = run(command, &args);
    let shown = format!("{name}: {args:?}\n{ran:#?}\n{recorded:#?}");
    assert_eq!(ran.code, Some(recorded.code), "{shown}");
    assert_eq!(in_order(&without_usage(&ran.stdout)), in_order(&recorded.stdout), "{shown}");
    assert_eq!(in_order(&without_usage(&ran.stderr)), in_order(&recorded.stderr), "{shown}");
}

/// The usage text of a command is in its own words.
fn without_usage(text: &str) -> String {
    match text.find("Usage: serf") {
        Some(start) => format!("{}<usage text of the command>\n", &text[..start]),
        None => text.to_owned(),
    }
}

/// Lines in order, and characters within them: the reference's maps are random, ours are sorted. Times count as equal.
fn in_order(text: &str) -> Vec<String> {
    let has_times = text.contains("Query time:");
    let mut lines: Vec<String> = text
        .split('\n')
        .map(|line| {
            let mut chars: Vec<char> = line.chars().filter(|c| !(has_times && c.is_ascii_digit())).collect();
            chars.sort_unstable();
            chars.into_iter().collect()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn transcripts_of_the_plain_cluster_hold() {
    let fake = Fake::start(plain());
    for name in [
        "members",
        "members_json",
        "members_detailed",
        "members_name",
        "members_none_json",
        "members_notag",
        "members_notag_re",
        "members_role",
        "members_status",
        "members_status_none",
        "members_tag",
        "members_tag_partial",
        "members_tagre",
        "members_badtag",
        "members_badre",
        "badfmt_members",
        "badfmt_query",
        "badtag_tags",
        "event",
        "event_nocoalesce",
        "event_nopayload",
        "toomany_event",
        "noarg_event",
        "noarg_fl",
        "noarg_join",
        "noarg_keys",
        "noarg_query",
        "noarg_rtt",
        "noarg_tags",
        "noargs",
        "unknown",
        "unknown_flag",
        "version",
        "version_flag",
        "version_flag2",
        "info",
        "info_json",
        "join",
        "join_bad",
        "join_partial",
        "join_replay",
        "join_two",
        "query",
        "query_big",
        "query_fail",
        "query_internal",
        "query_json",
        "query_noack",
        "query_noack_json",
        "query_node",
        "query_tag",
        "query_timeout",
        "reach",
        "reach_v",
        "relay_query",
        "rtt",
        "rtt_one",
        "rtt_unknown",
        "tags",
        "fl_alive",
        "fl_unknown",
        "two_keys",
        "keys_noenc",
        "keys_noenc_install",
        "keys_badb64",
        "auth_needless",
        "badaddr",
    ] {
        replay(name, &fake, None, 0);
    }
    for (name, long) in [("event_499", 499), ("event_toolong", 600), ("query_toolong", 1000), ("tags_toobig", 600)] {
        replay(name, &fake, None, long);
    }
}

#[test]
fn transcripts_of_the_encrypted_cluster_hold() {
    for (name, keys) in [
        ("keys_list", &[FIRST][..]),
        ("keys_install", &[FIRST]),
        ("keys_install_badlen", &[FIRST]),
        ("keys_list2", &[FIRST, SECOND]),
        ("keys_use", &[FIRST, SECOND]),
        ("keys_remove", &[FIRST, SECOND]),
        ("keys_remove_primary", &[SECOND]),
        ("keys_use_missing", &[SECOND]),
    ] {
        replay(name, &Fake::start(sealed(keys)), None, 0);
    }
}

#[test]
fn transcripts_with_a_token_hold() {
    let fake = Fake::start(Script { token: Some("s3cret".to_owned()), ..sealed(&[FIRST]) });
    for name in [
        "auth_bad",
        "auth_ok",
        "auth_none",
        "auth_none_event",
        "auth_none_leave",
        "auth_none_monitor",
        "auth_none_query",
    ] {
        replay(name, &fake, None, 0);
    }
    replay("auth_env", &fake, Some("s3cret"), 0);
}

#[test]
fn transcripts_without_an_agent_hold() {
    let fake = Fake::start(plain());
    for name in [
        "down_event",
        "down_force-leave",
        "down_info",
        "down_join",
        "down_keys",
        "down_leave",
        "down_members",
        "down_members_json",
        "down_monitor",
        "down_query",
        "down_reach",
        "down_rtt",
        "down_tags",
    ] {
        replay(name, &fake, None, 0);
    }
}

#[test]
fn of_a_tag_that_is_given_twice_the_last_one_counts_and_that_is_said() {
    let fake = Fake::start(plain());
    let mut command = serf(fake.dir());
    command.env("SERF_RPC_ADDR", fake.tcp.to_string());
    let ran = run(command, &["tags", "-set", "a=1", "-set", "a=2", "-set", "b=1", "-set", "b=1"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("Successfully updated agent tags\n", Some(0)));
    assert_eq!(ran.stderr, "warning: tag \"a\" is given twice: \"2\" counts, \"1\" does not; remove one\n");
}

#[test]
fn generated_key_is_44_characters_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = run(serf(dir.path()), &["keygen"]);
    assert_eq!((first.stdout.len(), first.code), (45, Some(0)));
    assert_ne!(first, run(serf(dir.path()), &["keygen"]));
}

#[test]
fn monitor_prints_events_as_go_does_until_the_agent_is_gone() {
    let fake = Fake::start(plain());
    let (mut command, address) = (serf(fake.dir()), fake.tcp.to_string());
    let mut child = command
        .args(["monitor", "-rpc-addr", &address])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program was built");
    let mut reader = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut seen = String::new();
    while !(seen.contains("Serf agent starting")
        && seen.contains("\"uptime\"")
        && seen.contains("Payload: []byte{0x1b"))
    {
        let read = std::io::BufRead::read_line(&mut reader, &mut seen).expect("a pipe");
        assert_ne!(read, 0, "{seen}");
    }
    drop(fake);
    std::io::Read::read_to_string(&mut reader, &mut seen).expect("a pipe");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    for part in [
        "2026/11/23 00:15:02 [INFO] agent: Serf agent starting\n",
        "Event Info:\n\tEvent: \"member-join\"\n\tMembers: []interface {}{map[interface {}]interface {}{\
         \"Addr\":[]uint8{0x7f, 0x0, 0x0, 0x17}, \"DelegateCur\":5, \"DelegateMax\":5, \"DelegateMin\":2, \
         \"Name\":\"web2\", \"Port\":0x1f0a, \"ProtocolCur\":2, \"ProtocolMax\":5, \"ProtocolMin\":1, \
         \"Status\":\"alive\", \"Tags\":map[interface {}]interface {}{\"dc\":\"east\", \"role\":\"web\"}}}\n",
        "Event Info:\n\tCoalesce: true\n\tEvent: \"user\"\n\tLTime: 2\n\tName: \"deploy\"\n\tPayload: []byte{0x76, 0x31}\n",
        "Event Info:\n\tCoalesce: false\n\tEvent: \"user\"\n\tLTime: 0xc8\n\tName: \"empty\"\n\tPayload: <nil>\n",
        "Event Info:\n\tEvent: \"query\"\n\tID: 1\n\tLTime: 1\n\tName: \"uptime\"\n\tPayload: []byte{0x1b, 0x5b, 0x32, 0x4a}\n",
        "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.\n",
    ] {
        assert!(seen.contains(part), "{part}\nis not in\n{seen}");
    }
}
