//! Scripts that were written for Serf, run by an agent that was started as Serf's are.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::stage::serve;
use crate::nginx::Nginx;
use crate::support::{Agent, Kind, Process, Settings, address, same, serf, until, weir_binary};

/// weir through a link named `serf`, with Serf's flags.
struct Link {
    process: Process,
    gossip: SocketAddr,
    rpc: SocketAddr,
    dir: TempDir,
}

impl Link {
    fn start(name: &str, arguments: &[String], environment: &[(&str, &Path)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (gossip, rpc) = (address(), address());
        let link = dir.path().join("serf");
        symlink(weir_binary(), &link).unwrap();
        let mut command = Command::new(link);
        command.args(["agent", "-log-level=debug"]).args([
            format!("-node={name}"),
            format!("-bind={gossip}"),
            format!("-rpc-addr={rpc}"),
        ]);
        command.args(arguments).envs(environment.iter().copied());
        let process = Process::start(command, dir.path().join("log"));
        process.await_log("==> Serf agent running!");
        Self { process, gossip, rpc, dir }
    }

    /// The command line through the same link.
    fn serf(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().unwrap();
        let mut serf = Command::new(self.dir.path().join("serf"));
        let output = serf.arg(command).arg(format!("-rpc-addr={}", self.rpc)).args(rest).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.process.log());
        output
    }
}

/// As everybody wrote them, but for the two paths: every balancer's agent appends on a join and edits on a departure.
const JOIN: &str = r#"#!/bin/bash
if [ "x${SERF_TAG_ROLE}" != "xlb" ]; then
    echo "Not an lb. Ignoring member join."
    exit 0
fi
while read line; do
    ROLE=`echo $line | awk '{print $3}'`
    if [ "x${ROLE}" != "xweb" ]; then
        continue
    fi
    echo $line | awk -v port=$PORT '{ printf "server %s:%s; # %s\n", $2, port, $1 }' >> $SERVERS
done
nginx -t -q -c $NGINX && nginx -s reload -c $NGINX
"#;
const LEAVE: &str = r#"#!/bin/bash
if [ "x${SERF_TAG_ROLE}" != "xlb" ]; then
    echo "Not an lb. Ignoring member leave."
    exit 0
fi
while read line; do
    NAME=`echo $line | awk '{print $1}'`
    sed -i -e "/# ${NAME}$/d" $SERVERS
done
nginx -t -q -c $NGINX && nginx -s reload -c $NGINX
"#;

/// A script of the test's.
fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// A web server on the one port that the scripts know, and its agent.
fn web(name: &'static str, port: u16, scripts: &[String], lb: &Link) -> Link {
    let arguments = ["-tag=role=web".to_owned(), format!("-join={}", lb.gossip), "-profile=local".to_owned()];
    let link = Link::start(name, &[&arguments[..], scripts].concat(), &[]);
    serve(name, SocketAddr::new(link.gossip.ip(), port));
    link
}

#[test]
#[ignore = "needs nginx"]
fn tutorial_scripts_run_unchanged() {
    let mut nginx = Nginx::stopped();
    let servers = nginx.path("servers");
    std::fs::write(&servers, "").unwrap();
    std::fs::write(nginx.web(), format!("upstream web {{ include {}; }}\n", servers.display())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (join, leave) = (script(dir.path(), "join.sh", JOIN), script(dir.path(), "leave.sh", LEAVE));
    let handlers = [
        format!("-event-handler=member-join={}", join.display()),
        format!("-event-handler=member-leave,member-failed={}", leave.display()),
    ];
    let port = free_port();
    let port_text = port.to_string();
    let arguments = [&["-tag=role=lb".to_owned(), "-profile=local".to_owned()], &handlers[..]].concat();
    let environment = [("SERVERS", servers.as_path()), ("NGINX", &nginx.config()), ("PORT", Path::new(&port_text))];
    let lb = Link::start("lb", &arguments, &environment);
    let lines = || -> BTreeSet<String> {
        let text = std::fs::read_to_string(&servers).unwrap();
        text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    let await_lines = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        until(&format!("lines of {names:?}"), || {
            same(&lines(), &names).map_err(|reason| format!("{reason}\n{}", lb.process.log()))
        });
    };
    let one = web("web1", port, &handlers, &lb);
    await_lines(&["web1"]);
    nginx.run();
    let await_answers = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        until("the answers", || {
            same(&nginx.answers(12), &names).map_err(|reason| format!("{reason}\n{}", lb.process.log()))
        });
    };
    await_answers(&["web1"]);

    let two = web("web2", port, &handlers, &lb);
    let three = web("web3", port, &handlers, &lb);
    await_lines(&["web1", "web2", "web3"]);
    await_answers(&["web1", "web2", "web3"]);
    two.serf(&["leave"]);
    await_lines(&["web1", "web3"]);
    await_answers(&["web1", "web3"]);
    three.process.signal(Signal::SIGKILL);
    await_lines(&["web1"]);
    await_answers(&["web1"]);
    // The same scripts, but SERF_TAG_ROLE says another thing there.
    one.process.await_log("Not an lb. Ignoring member join.");
    one.process.await_log("Not an lb. Ignoring member leave.");
}

/// A port that is free on every loopback address.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port()
}

/// Dumps like those of the reference: numbered in the order of the runs.
const DUMP: &str = r#"#!/bin/sh
number=`ls $DUMPS | grep -c '\.env$'`
file=$DUMPS/`printf %02d $number`-$SERF_EVENT
cat > $file.stdin
env | grep ^SERF_ | LC_ALL=C sort > $file.new
mv $file.new $file.env
"#;

/// One run of a handler: environment, and standard input in an order of its own, without addresses.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Run {
    environment: String,
    input: Vec<String>,
}

fn runs(dir: &Path) -> Vec<Run> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut dumps: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "env")).collect();
    dumps.sort();
    dumps.iter().map(|env| read(env)).collect()
}

fn read(env: &Path) -> Run {
    let environment = std::fs::read_to_string(env).unwrap();
    let text = std::fs::read_to_string(env.with_extension("stdin")).unwrap();
    let mut input: Vec<_> = text.split_inclusive('\n').map(normal).collect();
    input.sort();
    Run { environment, input }
}

/// Addresses are the laboratory's, and the order of tags is random at the reference's.
fn normal(line: &str) -> String {
    let columns: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
    let [name, _, role, tags] = columns[..] else { return line.to_owned() };
    let mut tags: Vec<&str> = tags.split(',').collect();
    tags.sort_unstable();
    format!("{name}\tADDRESS\t{role}\t{}\n", tags.join(","))
}

fn golden(name: &str) -> Run {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/serf/handlers/{name}.env")))
}

#[test]
#[ignore = "needs serf"]
fn handlers_see_what_the_reference_shows_them_for_every_event() {
    let dumps = tempfile::tempdir().unwrap();
    let dump = script(dumps.path(), "dump.sh", DUMP);
    let tags = ["role=lb", "my-tag.x=1", "Zone=a b,c=d", "1st=n"].map(|tag| format!("-tag={tag}"));
    let arguments = [&tags[..], &["-profile=local".to_owned(), format!("-event-handler={}", dump.display())]].concat();
    let lb = Link::start("lb-1", &arguments, &[("DUMPS", dumps.path())]);
    // The golden run `name` is one of ours, whatever else ran before.
    let await_run = |name: &str| {
        let wanted = golden(name);
        until(name, || {
            let runs = runs(dumps.path());
            if runs.contains(&wanted) {
                Ok(())
            } else {
                Err(format!("{wanted:#?} is not in {runs:#?}\n{}", lb.process.log()))
            }
        });
    };
    await_run("01-member-join");

    let peer = |name: &str, tags: &[(&str, &str)]| {
        let mut settings = Settings { profile: Some("local"), ..Settings::default() };
        settings = tags.iter().fold(settings, |settings, (name, value)| settings.tag(name, value));
        Agent::start(Kind::Serf, name, settings)
    };
    let one = peer("web-1", &[("role", "web"), ("note", "tab\tand=eq")]);
    let mut bare = peer("bare", &[]);
    let mut odd = peer("odd name", &[("role", "we\tb"), ("multi", "l1\nl2")]);
    // All at once, so that one batch has all three.
    let targets = [&one, &bare, &odd].map(|agent| agent.gossip.to_string());
    lb.serf(&["join", &targets[0], &targets[1], &targets[2]]);
    await_run("02-member-join");

    for arguments in [
        &["-coalesce=false", "deploy", "v1.2.3"][..],
        &["-coalesce=false", "nopayload"],
        &["-coalesce=false", "nl", "line1\nline2"],
        &["co", "first"],
        &["co", "second"],
        &["co", "third"],
    ] {
        lb.serf(&[&["event"], arguments].concat());
    }
    for run in ["03-user-deploy", "04-user-nopayload", "05-user-nl", "06-user-co"] {
        await_run(run);
    }
    for arguments in [&["-timeout=1s", "uptime", "how long"][..], &["-timeout=1s", "empty"]] {
        lb.serf(&[&["query"], arguments].concat());
    }
    await_run("07-query-uptime");
    await_run("08-query-empty");

    let output = serf(one.rpc, &["tags", "-set", "version=2"]);
    assert!(output.status.success(), "{output:?}");
    await_run("09-member-update");
    bare.leave();
    await_run("11-member-leave");
    lb.serf(&["force-leave", "-prune", "bare"]);
    await_run("13-member-reap");
    odd.kill();
    await_run("15-member-failed");
    lb.serf(&["force-leave", "-prune", "odd name"]);
    await_run("17-member-reap");
    // The three coalesced events ran the handler once, and an update is told once.
    let count = |event: &str| runs(dumps.path()).iter().filter(|run| run.environment.contains(event)).count();
    assert_eq!((count("SERF_USER_EVENT=co\n"), count("SERF_EVENT=member-update\n")), (1, 1));
}
