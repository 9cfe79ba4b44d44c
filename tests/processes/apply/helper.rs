//! `weir apply` as a process of its own, asked over its socket as the agent does, and by somebody who is not the agent.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use weir::apply::{Answer, Ask, Body, Client, Job, Refusal, Report, Request, Unanswered};
use weir::config::{self, Config, Source, Sources};
use weir::drain::{DrainId, Promise, Promises};
use weir::upstream::Generation;
use weir::wire::NodeName;
use weir::wire::message::Incarnation;

use crate::nginx::{Nginx, backend, server, web};
use crate::support::{until, weir_binary};

/// An NGINX, and a helper that serves a socket beside it.
struct Stage {
    nginx: Nginx,
    helper: Child,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.helper.kill());
        drop(self.helper.wait());
    }
}

impl Stage {
    fn start() -> Self {
        Self::start_at_a_pace("0s")
    }

    /// As [`Self::start`], with a time from reload to reload.
    fn start_at_a_pace(pace: &str) -> Self {
        let nginx = Nginx::start();
        write_configuration(&nginx, "7s", pace);
        let helper = start_helper(&nginx);
        Self { nginx, helper }
    }

    fn client(&self) -> Client {
        client(&self.nginx)
    }

    fn stream(&self) -> UnixStream {
        UnixStream::connect(self.nginx.path("apply.sock")).unwrap()
    }
}

pub(super) fn write_configuration(nginx: &Nginx, confirm_timeout: &str, pace: &str) {
    let toml = format!(
        "[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\n\
         [upstream.web.nginx]\noutput = \"{}\"\n\
         [apply]\nstate = \"{}\"\nsocket = \"{}\"\nmin_reload_interval = \"{pace}\"\n\
         [nginx]\nconfig = \"{}\"\nunit = \"\"\nconfirm_timeout = \"{confirm_timeout}\"\n",
        nginx.web().display(),
        nginx.path("state").display(),
        nginx.path("apply.sock").display(),
        nginx.config().display()
    );
    std::fs::write(nginx.path("weir.toml"), toml).unwrap();
    std::fs::set_permissions(nginx.path("weir.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
}

fn start_helper(nginx: &Nginx) -> Child {
    let mut command = Command::new(weir_binary());
    command.args(arguments(&nginx.path("weir.toml"), &nginx.path("state")));
    let helper = command.arg("--socket").arg(nginx.path("apply.sock")).stderr(Stdio::null()).spawn().unwrap();
    until("the helper listens", || UnixStream::connect(nginx.path("apply.sock")).map_err(|error| error.to_string()));
    helper
}

/// Of `weir apply`, for whoever runs this test.
fn arguments(config: &Path, state: &Path) -> Vec<OsString> {
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
    let words: [&OsStr; 7] = [
        "apply".as_ref(),
        "--config-file".as_ref(),
        config.as_ref(),
        "--state".as_ref(),
        state.as_ref(),
        "--user".as_ref(),
        me.name.as_ref(),
    ];
    words.map(OsStr::to_owned).into()
}

/// A helper that is handed its socket, as systemd does.
pub(super) fn activated(listener: &UnixListener, config: &Path, state: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    let hand_over = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    command.args(["-c", hand_over, "sh", weir_binary()]).args(arguments(config, state));
    command.stdin(OwnedFd::from(listener.try_clone().unwrap())).stderr(Stdio::null());
    command
}

fn configuration(path: PathBuf) -> Config {
    config::load(&Sources { paths: vec![Source::File(path)], host_name: "lb1".to_owned(), ..Sources::default() })
        .unwrap()
        .config
}

pub(super) fn client(nginx: &Nginx) -> Client {
    Client::new(&configuration(nginx.path("weir.toml")))
}

fn apply(client: &Client, name: &'static str) -> Body {
    client.ask(Ask::Apply(Job::new(web([server("one", backend(name))])))).unwrap()
}

/// What is answered to these bytes, sent as they are.
fn said(stage: &Stage, bytes: &[u8]) -> Body {
    let mut stream = stage.stream();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // A refusal comes before everything was taken.
    let _ = stream.write_all(bytes);
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(head).try_into().unwrap()];
    stream.read_exact(&mut answer).unwrap();
    Answer::from_json(&answer).unwrap().body
}

fn framed(document: &[u8]) -> Vec<u8> {
    [&u32::try_from(document.len()).unwrap().to_be_bytes()[..], document].concat()
}

#[test]
#[ignore = "needs nginx"]
fn the_helper_does_what_the_agent_asks_for() {
    let stage = Stage::start();
    let client = stage.client();
    let body = apply(&client, "one");
    assert!(matches!(&body, Body::Applied(Report::Live { .. })), "{body:?}");
    assert!(stage.nginx.get().contains("one"));
    assert!(matches!(apply(&client, "one"), Body::Applied(Report::Live { .. } | Report::Unchanged { .. })));
    match client.ask(Ask::Report { known: None }).unwrap() {
        Body::State(Ok(state)) => {
            assert!(state.live.is_some() && !state.open);
            assert_eq!(state.master.unwrap().pid, stage.nginx.master_pid());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.ask(Ask::Check), Ok(Body::Checked(Ok(()))));
    assert_eq!(client.ask(Ask::Recover), Ok(Body::NothingToRecover));
}

/// Of these, whom the helper promises now, and whether it says that something is live.
fn promised(client: &Client, nodes: &[&str]) -> (Vec<String>, bool) {
    let promise = |node: &&str| Promise {
        node: NodeName::new(node).unwrap(),
        incarnation: Incarnation::new(7),
        id: DrainId::drawn(1),
    };
    let promises = Promises::try_from(nodes.iter().map(promise).collect::<Vec<_>>()).unwrap();
    match client.ask(Ask::Promise { promises, known: None }).unwrap() {
        Body::Promised(Ok(standing)) => {
            let kept = standing.promises.iter().map(|promise| promise.node.to_string()).collect();
            (kept, standing.live > Generation(0))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_promise_is_kept_only_if_what_is_live_keeps_it() {
    let mut stage = Stage::start();
    let client = stage.client();
    assert_eq!(promised(&client, &["one"]), (vec!["one".to_owned()], false), "nobody is routed to yet");
    assert_eq!(promised(&client, &[]), (Vec::new(), false));
    assert!(matches!(apply(&client, "one"), Body::Applied(Report::Live { .. })));
    assert_eq!(promised(&client, &["one", "two"]), (vec!["two".to_owned()], true), "one is served");
    let mut down = server("one", backend("one"));
    down.down = true;
    let job = Job::new(web([down, server("two", backend("two"))]));
    assert!(matches!(client.ask(Ask::Apply(job)).unwrap(), Body::Applied(Report::Live { .. })));
    assert_eq!(promised(&client, &["one", "two"]), (vec!["one".to_owned()], true), "that job had no promise");
    // It is on disk, and holds whatever is live; what is not asked for again is forgotten.
    stage.nginx.kill();
    assert_eq!(promised(&client, &["one"]), (vec!["one".to_owned()], true));
    assert!(std::fs::read_to_string(stage.nginx.path("state").join("promises")).unwrap().contains("\"one\""));
    assert_eq!(promised(&client, &[]), (Vec::new(), true));
}

#[test]
#[ignore = "needs nginx"]
fn a_job_of_an_agent_that_has_died_breaks_no_promise_that_its_successor_is_given() {
    let stage = Stage::start_at_a_pace("1s");
    let client = stage.client();
    assert!(matches!(apply(&client, "one"), Body::Applied(Report::Live { .. })));
    // This one has to wait for its time, and whoever wants it has gone before.
    let two = backend("two");
    let job = Job::new(web([server("one", backend("one")), server("two", two)]));
    let hash = configuration(stage.nginx.path("weir.toml")).hash();
    let mut died = stage.stream();
    died.write_all(&framed(&Request::new(hash, Ask::Apply(job)).to_json())).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    drop(died);
    assert_eq!(promised(&client, &["two"]), (vec!["two".to_owned()], true));
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!stage.nginx.get().contains("two"));
    assert_eq!(promised(&client, &["two"]), (vec!["two".to_owned()], true), "it is kept");
    let file = std::fs::read_to_string(stage.nginx.web()).unwrap();
    assert!(!file.contains(&two.to_string()), "{file}");
}

#[test]
#[ignore = "needs nginx"]
fn an_edit_that_is_not_reloaded_stops_no_apply() {
    let stage = Stage::start();
    let running = stage.client();
    assert!(matches!(apply(&running, "one"), Body::Applied(Report::Live { .. })));
    write_configuration(&stage.nginx, "8s", "0s");
    assert!(matches!(apply(&running, "two"), Body::Applied(Report::Live { .. })), "by the copy");
    let reloaded = stage.client();
    std::fs::write(stage.nginx.path("weir.toml"), "[upstream.web\n").unwrap();
    let refused = apply(&reloaded, "one");
    assert!(matches!(refused, Body::Refused(Refusal::ConfigurationChanged { .. })), "{refused:?}");
    std::fs::set_permissions(stage.nginx.path("weir.toml"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = apply(&running, "one");
    assert!(matches!(refused, Body::Refused(Refusal::ConfigurationWritable { .. })), "{refused:?}");
    assert!(stage.nginx.get().contains("two"), "what serves is untouched");
}

#[test]
#[ignore = "needs nginx"]
fn where_no_helper_is_the_way_out_is_told() {
    let nginx = Nginx::stopped();
    write_configuration(&nginx, "7s", "0s");
    let client = client(&nginx);
    let missing = client.ask(Ask::Check).unwrap_err();
    assert_eq!(missing, Unanswered::Missing);
    assert!(missing.what(client.socket()).starts_with("nothing listens on /"));
    assert!(missing.remedy().unwrap().starts_with("'systemctl restart weir-apply.socket'"));
}

#[test]
#[ignore = "needs nginx"]
fn what_is_no_request_changes_nothing_but_its_own_refusal() {
    let stage = Stage::start();
    assert!(matches!(apply(&stage.client(), "one"), Body::Applied(Report::Live { .. })));
    let before = (stage.nginx.listing(), stage.nginx.reloads(), std::fs::read(stage.nginx.web()).unwrap());
    let whole = Request::new(configuration(stage.nginx.path("weir.toml")).hash(), Ask::Check).to_json();
    let newer = String::from_utf8(whole.clone()).unwrap().replacen("\"version\":1", "\"version\":2", 1);
    for (bytes, wanted) in [
        (framed(b""), "malformed"),
        (framed(b"{}"), "malformed"),
        (framed(&[0xff; 64]), "malformed"),
        (framed(&whole[..whole.len() - 1]), "malformed"),
        (framed(newer.as_bytes()), "version"),
        (u32::MAX.to_be_bytes().to_vec(), "too_large"),
        ([&(Request::MAX_BYTES as u32 + 1).to_be_bytes()[..], &vec![b' '; 1 << 20]].concat(), "too_large"),
        (vec![0, 0], "too_slow"),
        (framed(&whole)[..20].to_vec(), "too_slow"),
    ] {
        match said(&stage, &bytes) {
            Body::Refused(refusal) => {
                let kind = match refusal {
                    Refusal::Malformed { .. } => "malformed",
                    Refusal::Version { .. } => "version",
                    Refusal::TooLarge { .. } => "too_large",
                    Refusal::TooSlow { .. } => "too_slow",
                    other => panic!("{other:?}"),
                };
                assert_eq!(kind, wanted);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(said(&stage, &framed(&whole)), Body::Checked(Ok(()))), "it still serves");
    let after = (stage.nginx.listing(), stage.nginx.reloads(), std::fs::read(stage.nginx.web()).unwrap());
    assert_eq!(after, before);
}

/// Runs in a process of its own, until it is killed: takes every place, delivers nothing, or too slowly, or too much.
#[test]
#[ignore = "needs nginx, and is run by another test"]
fn hostile_process() {
    let Some(socket) = std::env::var_os("WEIR_TEST_HOSTILE_SOCKET") else { return };
    let attack = |kind: usize| {
        let socket = Path::new(&socket).to_owned();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            loop {
                let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
                stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                let _refused = match kind {
                    0 => stream.write_all(&framed(&vec![b'['; Request::MAX_BYTES])),
                    1 => stream.write_all(&[0, 0, 1]),
                    2 => stream.write_all(&framed(b"{\"version\":1,\"ask\":\"check\"}")),
                    _ => Ok(()),
                };
                held.push(stream);
                if held.len() > 120 {
                    held.clear();
                }
            }
        })
    };
    let threads: Vec<_> = (0..8).map(|number| attack(number % 4)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
#[ignore = "needs nginx"]
fn a_hostile_process_of_the_same_user_does_not_keep_out_the_agent() {
    let stage = Stage::start();
    let client = stage.client();
    assert!(matches!(apply(&client, "one"), Body::Applied(Report::Live { .. })));
    let mut hostile = Command::new(std::env::current_exe().unwrap());
    hostile.args(["--exact", "apply::helper::hostile_process", "--include-ignored"]);
    hostile.env("WEIR_TEST_HOSTILE_SOCKET", stage.nginx.path("apply.sock"));
    let mut hostile = hostile.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Until it has taken the places: then whoever has most is turned away.
    until("the attack is under way", || {
        let open = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        if open(hostile.id()) > 200 { Ok(()) } else { Err(format!("{} files", open(hostile.id()))) }
    });
    let mut slowest = Duration::ZERO;
    for name in ["two", "one", "two"] {
        let started = Instant::now();
        let body = apply(&client, name);
        slowest = slowest.max(started.elapsed());
        assert!(matches!(&body, Body::Applied(Report::Live { .. })), "{body:?}");
    }
    hostile.kill().unwrap();
    hostile.wait().unwrap();
    assert!(stage.nginx.get().contains("two"));
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    println!("slowest apply under attack: {slowest:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_helper_that_is_stopped_brings_its_job_to_an_end() {
    let mut stage = Stage::start();
    let client = stage.client();
    let asked = std::thread::spawn(move || apply(&client, "one"));
    until("the job is under way", || {
        let there = stage.nginx.path("state").join("lock").exists();
        if there { Ok(()) } else { Err("no lock".to_owned()) }
    });
    let pid = rustix::process::Pid::from_child(&stage.helper);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let body = asked.join().unwrap();
    assert!(matches!(&body, Body::Applied(Report::Live { .. })), "{body:?}");
    assert!(stage.helper.wait().unwrap().success());
}

#[test]
#[ignore = "needs nginx"]
fn what_takes_no_lock_is_not_held_up_by_a_job_that_waits_for_it() {
    let stage = Stage::start();
    let client = stage.client();
    assert!(matches!(apply(&client, "one"), Body::Applied(Report::Live { .. })));
    let lock = std::fs::File::open(stage.nginx.path("state/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let (waiting, looking) = (stage.client(), stage.client());
    let job = std::thread::spawn(move || apply(&waiting, "two"));
    let look = std::thread::spawn(move || looking.ask(Ask::Report { known: None }));
    for _ in 0..3 {
        assert_eq!(client.ask(Ask::Check), Ok(Body::Checked(Ok(()))));
    }
    assert!(!job.is_finished() && !look.is_finished());
    drop(lock);
    assert!(matches!(job.join().unwrap(), Body::Applied(Report::Live { .. })));
    assert!(matches!(look.join().unwrap(), Ok(Body::State(Ok(_)))));
}

#[test]
#[ignore = "needs nginx"]
fn nginx_is_reloaded_no_more_often_than_the_configuration_says_whoever_asks() {
    for (pace, least) in [("500ms", Duration::from_millis(1500)), ("1h", Duration::from_secs(3))] {
        let stage = Stage::start_at_a_pace(pace);
        let client = stage.client();
        let started = Instant::now();
        for name in ["one", "two", "one", "two"] {
            assert!(matches!(apply(&client, name), Body::Applied(Report::Live { .. })));
        }
        let took = started.elapsed();
        assert!(took >= least && took < Duration::from_secs(20), "{pace}: {took:?}");
        // What reloads nothing waits for nothing: twice as many as there were changes, in less than those waited.
        let started = Instant::now();
        for _ in 0..8 {
            assert!(matches!(client.ask(Ask::Report { known: None }), Ok(Body::State(Ok(_)))));
        }
        assert!(started.elapsed() < least, "{:?}", started.elapsed());
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_helper_that_was_handed_its_socket_ends_soon_after_a_look_and_another_one_stays() {
    let mut stage = Stage::start();
    let handed = UnixListener::bind(stage.nginx.path("handed.sock")).unwrap();
    let text = std::fs::read_to_string(stage.nginx.path("weir.toml")).unwrap();
    std::fs::write(stage.nginx.path("weir.toml"), text.replace("apply.sock", "handed.sock")).unwrap();
    let mut helper = activated(&handed, &stage.nginx.path("weir.toml"), &stage.nginx.path("state")).spawn().unwrap();
    let started = Instant::now();
    assert!(matches!(stage.client().ask(Ask::Report { known: None }), Ok(Body::State(Ok(_)))));
    until("it ends", || if let Ok(Some(status)) = helper.try_wait() { Ok(status) } else { Err(String::new()) });
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(matches!(stage.helper.try_wait(), Ok(None)), "nobody would start it again");
}

/// From the document to confirmed workers, in process and through the helper, one after the other over the same files.
#[test]
#[ignore = "needs nginx"]
fn the_way_through_the_helper_costs_an_apply_little() {
    let stage = Stage::start();
    let (client, addr) = (stage.client(), backend("one"));
    let direct = weir::apply::Apply::new((&configuration(stage.nginx.path("weir.toml"))).into());
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..40_u16 {
        let other = std::net::SocketAddr::from(([127, 0, 0, 1], 1024 + round));
        let ask = || Ask::Apply(Job::new(web([server("one", addr), server("two", other)])));
        let started = Instant::now();
        let (way, body) = match round % 2 {
            0 => (0, direct.handle(&ask())),
            _ => (1, client.ask(ask()).unwrap()),
        };
        took[way].push(started.elapsed());
        assert!(matches!(&body, Body::Applied(Report::Live { .. })), "{body:?}");
    }
    let [in_process, helper] = took.map(|mut took| {
        took.sort();
        (took[took.len() / 2], took[took.len() - 1])
    });
    println!("median and longest: in process {in_process:?}, through the helper {helper:?}");
    assert!(helper.0 < in_process.0 + Duration::from_millis(100), "{in_process:?} {helper:?}");
}
