//! NGINX's connections to a dead server are ended, and nobody else's: requests that wait there are answered by another.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use weir::apply::{Apply, Ask, Body, Cut, Dead, Deaths, Job, Past, Report, Uncut};
use weir::upstream::UpstreamName;
use weir::wire::NodeName;

use super::helper::{activated, client, write_configuration};
use crate::nginx::{Nginx, backend, server, web};
use crate::support::{address, until};

/// Far longer than a request takes that waits for nobody, and far shorter than NGINX waits by itself.
const SOON: Duration = Duration::from_secs(5);

/// A server that hangs: its kernel accepts connections, and nobody answers.
struct Hung {
    listener: TcpListener,
}

impl Hung {
    fn start() -> Self {
        Self { listener: TcpListener::bind((address().ip(), 0)).unwrap() }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

fn cut(member: &str) -> Ask {
    let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new(member).unwrap());
    Ask::Cut(Cut { dead: Deaths::new([Dead { upstream, member, cut: 0 }]), known: None })
}

/// How many connections to the one server were ended; `None` if no worker has it.
fn ended(body: Body) -> Option<u32> {
    match body {
        Body::Cut(Ok(looked)) if looked.len() == 1 => looked[0].ended,
        body => panic!("{body:?}"),
    }
}

fn dead(member: &str, cut: u32) -> Deaths {
    let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new(member).unwrap());
    Deaths::new([Dead { upstream, member, cut }])
}

fn is_live(body: &Body) -> bool {
    matches!(body, Body::Applied(Report::Live { .. }))
}

/// A request on its way; its end is the answer.
fn ask(nginx: &Nginx) -> JoinHandle<String> {
    let listen = nginx.listen;
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
}

/// Requests of which some wait on `hung` by now.
fn waiting(nginx: &Nginx, hung: &Hung) -> Vec<JoinHandle<String>> {
    let requests: Vec<_> = (0..6).map(|_| ask(nginx)).collect();
    until("a request waits", || if connections(hung) > 0 { Ok(()) } else { Err("none does".to_owned()) });
    requests
}

/// Established ones to it, whoever has them.
fn connections(hung: &Hung) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let to = hung.addr();
    let SocketAddr::V4(v4) = to else { panic!("{to}") };
    let remote = format!("{:08X}:{:04X}", u32::from_le_bytes(v4.ip().octets()), v4.port());
    let is_it = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(2) == Some(&remote.as_str()) && fields.get(3) == Some(&"01")
    };
    table.lines().filter(is_it).count()
}

fn all_answered(requests: Vec<JoinHandle<String>>, by: &str) {
    let started = Instant::now();
    for request in requests {
        let answer = request.join().unwrap();
        assert!(answer.ends_with(by), "{answer}");
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

#[test]
#[ignore = "needs nginx and root"]
fn requests_that_wait_on_a_dead_server_are_answered_by_another_at_once() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    let apply = nginx.apply();
    let both = || web([server("one", one), server("two", hung.addr())]);
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(both())))));
    // Somebody else's connection to the same address, of this test's user.
    let mut other = TcpStream::connect(hung.addr()).unwrap();
    let requests = waiting(&nginx, &hung);
    let log = nginx.log().len();
    assert!(ended(apply.handle(&cut("two"))) > Some(0));
    all_answered(requests, "one");
    assert!(nginx.log()[log..].contains("Software caused connection abort"), "NGINX counts it as a failure");
    // NGINX has marked the server failed by itself.
    assert_eq!(nginx.answers(4), ["one".to_owned()].into());
    other.write_all(b"still here").unwrap();
    other.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(other.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(connections(&hung), 1);
    assert_eq!(ended(apply.handle(&cut("two"))), Some(0), "nothing waits there");
}

#[test]
#[ignore = "needs nginx and root"]
fn old_workers_let_go_of_a_dead_server_right_after_the_reload_and_history_tells() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    let apply = nginx.apply();
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one), server("two", hung.addr())]))))));
    let requests = waiting(&nginx, &hung);
    let without = web([server("one", one)]);
    let ended = apply.handle(&Ask::Apply(Job { dead: dead("two", 2), ..Job::new(without.clone()) }));
    let Body::Applied(Report::Live { generation, notes, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!((notes.cut.len(), notes.uncut), (1, None));
    assert!(notes.cut[0].connections > 2, "those from before the job, and its own: {:?}", notes.cut);
    all_answered(requests, "one");
    let history = weir::apply::history(&nginx.path("state")).unwrap();
    let recorded = history.iter().find(|past: &&Past| past.generation == generation).unwrap();
    assert_eq!(recorded.cut, notes.cut);
    // The same again changes nothing, and cuts nothing.
    let again = apply.handle(&Ask::Apply(Job { dead: dead("two", 0), ..Job::new(without) }));
    let Body::Applied(Report::Unchanged { notes, .. }) = again else { panic!("{again:?}") };
    assert!(notes.cut.is_empty());
}

#[test]
#[ignore = "needs nginx and root"]
fn a_job_cuts_nobody_whom_it_keeps() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    let apply = nginx.apply();
    let two = server("two", hung.addr());
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one), two.clone()]))))));
    let requests = waiting(&nginx, &hung);
    let three = server("three", backend("three"));
    let done =
        apply.handle(&Ask::Apply(Job { dead: dead("two", 0), ..Job::new(web([server("one", one), two, three])) }));
    let Body::Applied(Report::Live { notes, .. }) = done else { panic!("{done:?}") };
    assert_eq!((notes.cut, notes.uncut), (Vec::new(), None));
    assert!(connections(&hung) > 0, "they wait on");
    // Workers of the generation before have it still, and a request takes that one's address as well.
    assert!(ended(apply.handle(&cut("two"))) > Some(0));
    requests.into_iter().for_each(|request| drop(request.join().unwrap()));
}

#[test]
#[ignore = "needs nginx and root"]
fn a_member_is_cut_by_the_last_two_confirmed_generations_and_by_no_other() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    let apply = nginx.apply();
    let refused = |apply: &Apply, member: &str| ended(apply.handle(&cut(member))).is_none();
    assert!(refused(&apply, "two"), "nothing was put in place yet");
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one), server("two", hung.addr())]))))));
    assert!(!refused(&apply, "two") && refused(&apply, "three"));
    let other = Dead { upstream: UpstreamName::new("api").unwrap(), member: NodeName::new("two").unwrap(), cut: 0 };
    let other = Ask::Cut(Cut { dead: Deaths::new([other]), known: None });
    assert_eq!(ended(apply.handle(&other)), None, "in another upstream");
    // An old worker waits on it: it counts by the generation before.
    let requests = waiting(&nginx, &hung);
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one)]))))));
    assert!(connections(&hung) > 0, "the job was told of nobody dead");
    assert!(ended(apply.handle(&cut("two"))) > Some(0));
    all_answered(requests, "one");
    until(
        "no older worker has it any more",
        || if refused(&apply, "two") { Ok(()) } else { Err("one does".to_owned()) },
    );
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("three", backend("three"))]))))));
    assert!(refused(&apply, "two"), "neither the last nor the one before has it");
}

#[test]
#[ignore = "needs nginx and root"]
fn what_is_cut_behind_a_job_is_in_its_history_as_well_and_not_for_ever() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    let apply = nginx.apply();
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one), server("two", hung.addr())]))))));
    let requests = waiting(&nginx, &hung);
    let cut = |carried| match apply.handle(&Ask::Cut(Cut { dead: dead("two", carried), known: None })) {
        Body::Cut(Ok(looked)) => (looked[0].ended, looked[0].recorded),
        body => panic!("{body:?}"),
    };
    let recorded = || {
        let history = weir::apply::history(&nginx.path("state")).unwrap();
        history.last().unwrap().cut.iter().map(|cut| cut.connections).collect::<Vec<_>>()
    };
    let (before, none) = cut(2);
    assert!(before > Some(0) && none == 0, "the generation has it, and a job records that");
    all_answered(requests, "one");
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one)]))))));
    assert_eq!(cut(5).1, 5, "what was cut while the job ran");
    assert_eq!(recorded(), [5]);
    assert_eq!(cut(0).1, 0);
    // Whoever has taken over the agent does not fill the disk.
    let all: u32 = (0..20).map(|_| cut(1).1).sum();
    assert_eq!((all, recorded()), (7, vec![12]));
    let lock = std::fs::File::open(nginx.path("state/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    assert_eq!(cut(3).1, 0, "nobody waits for the lock");
}

#[test]
#[ignore = "needs nginx and root"]
fn whoever_asks_names_no_master_that_is_none() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    let apply = nginx.apply();
    assert!(is_live(&apply.handle(&Ask::Apply(Job::new(web([server("one", one), server("two", hung.addr())]))))));
    let requests = waiting(&nginx, &hung);
    let Body::State(Ok(state)) = apply.handle(&Ask::Report { known: None }) else { panic!("no state") };
    let master = state.master.unwrap();
    let asked = |known| {
        let Ask::Cut(cut) = cut("two") else { unreachable!("it is a cut") };
        apply.handle(&Ask::Cut(Cut { known: Some(known), ..cut }))
    };
    let mut shell = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let stranger = serde_json::from_str(&format!("{{\"pid\":{},\"started\":1}}", shell.id())).unwrap();
    assert!(ended(asked(stranger)) > Some(0), "the true one is found all the same");
    all_answered(requests, "one");
    assert_eq!(ended(asked(master)), Some(0));
    shell.kill().unwrap();
    shell.wait().unwrap();
}

#[test]
#[ignore = "needs nginx and root"]
fn a_cut_waits_for_no_lock_and_is_done_once_in_its_time() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    write_configuration(&nginx, "7s", "1h");
    let listener = std::os::unix::net::UnixListener::bind(nginx.path("apply.sock")).unwrap();
    let mut helper = activated(&listener, &nginx.path("weir.toml"), &nginx.path("state")).spawn().unwrap();
    let client = client(&nginx);
    let both = web([server("one", one), server("two", hung.addr())]);
    assert!(is_live(&client.ask(Ask::Apply(Job::new(both))).unwrap()));
    let requests = waiting(&nginx, &hung);
    let lock = std::fs::File::open(nginx.path("state/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    assert!(ended(client.ask_at_once(cut("two")).unwrap()) > Some(0));
    assert_eq!(client.ask_at_once(cut("two")).unwrap(), Body::Cut(Ok(Vec::new())), "it was looked at a moment ago");
    assert!(ended(client.ask_at_once(cut("one")).unwrap()).is_some(), "another member's time is its own");
    drop(lock);
    requests.into_iter().for_each(|request| drop(request.join().unwrap()));
    helper.kill().unwrap();
    helper.wait().unwrap();
}

#[test]
#[ignore = "needs nginx and root"]
fn where_it_cannot_be_done_that_is_said_and_nothing_is_cut() {
    let (nginx, hung, one) = (Nginx::start(), Hung::start(), backend("one"));
    write_configuration(&nginx, "7s", "0s");
    let both = web([server("one", one), server("two", hung.addr())]);
    let without_capability = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    for (wrapper, uncut) in [(&without_capability[..], "not permitted"), (&["unshare", "--net"], "another network")] {
        let _ = std::fs::remove_file(nginx.path("apply.sock"));
        let listener = std::os::unix::net::UnixListener::bind(nginx.path("apply.sock")).unwrap();
        let plain = activated(&listener, &nginx.path("weir.toml"), &nginx.path("state"));
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(plain.get_program()).args(plain.get_args());
        command.stdin(std::os::fd::OwnedFd::from(listener.try_clone().unwrap())).stderr(Stdio::null());
        let client = client(&nginx);
        // In a generation that NGINX has not yet seen fail.
        for servers in [web([server("one", one)]), both.clone()] {
            assert!(is_live(&nginx.apply().handle(&Ask::Apply(Job::new(servers)))));
        }
        let requests = waiting(&nginx, &hung);
        // Not before: it ends when nobody asks for a while, and nobody would start it again.
        let mut helper = command.spawn().unwrap();
        match (client.ask(cut("two")).unwrap(), uncut) {
            (Body::Cut(Err(Uncut::NotPermitted)), "not permitted") => {}
            (Body::Cut(Err(Uncut::OtherNetwork { pid })), "another network") => assert_eq!(pid, nginx.master_pid()),
            (body, _) => panic!("{uncut}: {body:?}"),
        }
        assert!(connections(&hung) > 0, "{uncut}");
        assert!(ended(nginx.apply().handle(&cut("two"))) > Some(0));
        all_answered(requests, "one");
        helper.kill().unwrap();
        helper.wait().unwrap();
    }
}
