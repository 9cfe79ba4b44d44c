//! No agent, no permission, wrong use: one line on standard error and a code of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::support::{clean, run, serf, weir};

/// Nothing listens on port 1 of a loopback address of ours.
const NOBODY: &str = "127.99.0.1:1";

/// Every command that needs an agent, with arguments that it accepts.
const CLIENTS: [&[&str]; 14] = [
    &["members"],
    &["join", "127.99.0.1"],
    &["leave"],
    &["event", "deploy"],
    &["query", "uptime"],
    &["tags", "--set", "a=b"],
    &["force-leave", "web1"],
    &["keys", "list"],
    &["keys", "-list"],
    &["info"],
    &["monitor"],
    &["reachability"],
    &["rtt", "web1"],
    &["reload"],
];

/// Starting an agent would not help: RPC over TCP is something to ask for.
fn nobody_at(place: &str) -> String {
    format!(
        "error: no agent at {place}; leave the address out to use the socket, or set rpc.listen = \"{place}\" and \
         restart the agent\n"
    )
}

#[test]
fn refused_connection_is_code_3_for_every_client_command() {
    for args in CLIENTS {
        let ran = run(weir(), &[args, &["--rpc-addr", NOBODY]].concat());
        assert_eq!(ran.code, Some(3), "{args:?}: {ran:?}");
        assert_eq!(ran.stderr, nobody_at(NOBODY), "{args:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn missing_socket_is_code_3_and_json_errors_are_one_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("rpc.sock");
    let ran = run(weir(), &["members", "--rpc-addr", &format!("unix:{}", socket.display()), "--format", "json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("one JSON object");
    assert_eq!(error["error"]["kind"], "no_agent");
    assert_eq!(error["error"]["message"], format!("no agent at {}", socket.display()));
    // There may be a unit on the machine that this runs on.
    let ways_out = ["'systemctl start weir'", "start one with 'weir agent --config-file FILE', or correct the address"];
    assert!(ways_out.map(Into::into).contains(&error["error"]["remedy"]), "{error}");
    assert_eq!(error["error"]["exit_code"], 3);
}

#[test]
fn socket_without_permission_is_code_4() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("rpc.sock");
    let _listener = UnixListener::bind(&socket).expect("the directory is ours");
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    set_mode(&socket, 0o000);
    let mut command = weir();
    if nix::unistd::geteuid().is_root() {
        // Root may use every socket, so somebody else asks, with a copy of the program that everybody can reach.
        let copy = dir.path().join("weir");
        // By another process: a file that a test's fork still holds open for writing cannot be run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_weir")).arg(&copy).status();
        assert!(copied.expect("there is cp").success());
        set_mode(dir.path(), 0o755);
        command = clean(Command::new(copy));
        command.uid(65534).gid(65534);
    }
    let ran = run(command, &["members", "--rpc-addr", &format!("unix:{}", socket.display())]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let start = format!("error: not permitted to use {}; use sudo, or 'usermod -aG weir ", socket.display());
    assert!(ran.stderr.starts_with(&start) && ran.stderr.ends_with("' and log in again\n"), "{ran:?}");
}

#[test]
fn environment_names_the_agent_and_flags_win() {
    for (variables, args, place) in [
        (&[("SERF_RPC_ADDR", "127.99.0.3:1")][..], &["info"][..], "127.99.0.3:1"),
        (&[("SERF_RPC_ADDR", "127.99.0.3:1"), ("WEIR_RPC_ADDR", "127.99.0.2:1")], &["info"], "127.99.0.2:1"),
        (&[("WEIR_RPC_ADDR", "127.99.0.2:1")], &["info", "-rpc-addr=127.99.0.1:1"], "127.99.0.1:1"),
    ] {
        let mut command = weir();
        command.envs(variables.iter().copied());
        let ran = run(command, args);
        assert_eq!(ran.stderr, nobody_at(place));
    }
}

#[test]
fn wrong_use_is_code_2_and_one_line() {
    for (args, line) in [
        (&[][..], "error: no command given; 'weir --help' explains it\n"),
        (&["membres"], "error: unrecognized subcommand 'membres'; did you mean 'members'?\n"),
        (&["members", "--staus", "alive"], "error: unexpected argument '--staus' found; did you mean '--status'?\n"),
        (
            &["join"],
            "error: the following required arguments were not provided: <ADDRESS>...; 'weir join --help' explains it\n",
        ),
        (
            &["members", "--rpc-addr", "nonsense"],
            "error: RPC address 'nonsense' has no host and port; write 127.0.0.1:7373 or unix:/run/weir/rpc.sock\n",
        ),
        (
            &["members", "--tag", "novalue"],
            "error: invalid value 'novalue' for '--tag <KEY=REGEX>': a tag is KEY=VALUE, \"novalue\" has no '='; 'weir members --help' explains it\n",
        ),
    ] {
        let ran = run(weir(), args);
        assert_eq!((ran.code, ran.stderr.as_str(), ran.stdout.as_str()), (Some(2), line, ""), "{args:?}");
    }
    let ran = run(weir(), &["members", "-bogus", "-format=json"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with(r#"{"error":{"kind":"usage","#), "{}", ran.stderr);
}

#[test]
fn serf_reports_a_missing_agent_on_standard_output_with_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let line = "Error connecting to Serf agent: dial tcp 127.99.0.1:1: connect: connection refused\n";
    for args in CLIENTS.iter().filter(|args| !matches!(args[0], "keys" | "reload")) {
        let (name, rest) = (args[0], &args[1..]);
        let ran = run(serf(dir.path()), &[&[name, "-rpc-addr", NOBODY], rest].concat());
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(1), line, ""), "{args:?}");
    }
}

/// What takes connections, and hangs. Its guard's words are in the journal while systemd goes on.
#[test]
fn a_guard_that_an_agent_does_not_answer_says_what_to_do_and_that_its_application_stops() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("rpc.sock");
    let _hung = UnixListener::bind(&socket).unwrap();
    let ran = run(weir(), &["drain", "--guard=app.service", "--rpc-addr", &format!("unix:{}", socket.display())]);
    let wanted = format!(
        "error: {} accepts connections and says nothing, and app.service stops all the same, drained or not; \
         'systemctl restart weir' if the agent hangs\n",
        socket.display()
    );
    assert_eq!((ran.stderr, ran.code), (wanted, Some(3)));
}
