//! The helper that dies between any two steps while somebody waits for its answer, and the agent that dies while the helper is at
//! one, with the feature `faults`.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use weir::apply::{Ask, Body, Client, Fault, Job, Report};

use super::faults::{passes_the_test, word};
use super::helper::{activated, client, write_configuration};
use super::tells_the_truth;
use crate::nginx::{Nginx, backend, server, web};
use crate::support::{Agent, Kind, Settings, address, holds, until};

/// Holds the socket, and starts a helper for it, as systemd does.
struct Socket {
    listener: UnixListener,
    config: PathBuf,
    state: PathBuf,
    helper: Option<Child>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.end();
    }
}

impl Socket {
    fn of(nginx: &Nginx, config: &Path) -> Self {
        let listener = UnixListener::bind(nginx.path("apply.sock")).unwrap();
        Self { listener, config: config.to_owned(), state: nginx.path("state"), helper: None }
    }

    /// A helper in place of the one that there was.
    fn start(&mut self, fault: Option<(&str, Fault)>) {
        self.end();
        let mut helper = activated(&self.listener, &self.config, &self.state);
        if let Some((variable, fault)) = fault {
            helper.env(variable, word(fault));
        }
        self.helper = Some(helper.spawn().unwrap());
    }

    fn end(&mut self) {
        if let Some(mut helper) = self.helper.take() {
            // It may have ended by itself.
            drop(helper.kill());
            drop(helper.wait());
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.helper.as_ref().unwrap())
    }

    /// Waits until it has died at its step, and starts the next one.
    fn await_death(&mut self, fault: Fault) {
        let helper = self.helper.as_mut().unwrap();
        assert_eq!(helper.wait().unwrap().signal(), Some(9), "{fault:?}");
        self.start(None);
    }

    /// Waits until it has stopped at its step. One that had little to do ends soon, and systemd starts it when it is asked again.
    fn await_stop(&mut self, fault: Fault, why: impl Fn() -> String) {
        until("the helper has stopped", || {
            if self.helper.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.start(Some(("WEIR_STOP", fault)));
            }
            let stat = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
            let text = std::fs::read_to_string(&stat).map_err(|error| error.to_string())?;
            if text.contains(") T ") { Ok(()) } else { Err(why()) }
        });
    }
}

/// A site whose port is taken: it passes the test and cannot be loaded.
fn take_port(nginx: &Nginx) -> TcpListener {
    let taken = TcpListener::bind((address().ip(), 0)).unwrap();
    let site = format!("server {{ listen {}; }}", taken.local_addr().unwrap());
    std::fs::write(nginx.path("conf.d/taken.conf"), site).unwrap();
    taken
}

fn ask(client: &Client, addr: SocketAddr) -> Body {
    client.ask(Ask::Apply(Job::new(web([server("web", addr)])))).unwrap()
}

#[test]
#[ignore = "needs nginx"]
fn a_helper_that_dies_between_any_two_steps_is_followed_by_one_that_ends_the_job_and_answers() {
    let nginx = Nginx::start();
    write_configuration(&nginx, "7s", "0s");
    let (one, two) = (backend("one"), backend("two"));
    let mut socket = Socket::of(&nginx, &nginx.path("weir.toml"));
    for fault in Fault::ALL {
        let goes_back = matches!(fault, Fault::Back | Fault::Restored);
        socket.start(None);
        let body = ask(&client(&nginx), one);
        assert!(matches!(body, Body::Applied(Report::Live { .. } | Report::Unchanged { .. })), "{fault:?}: {body:?}");
        let taken = goes_back.then(|| take_port(&nginx));
        socket.start(Some(("WEIR_FAULT", fault)));
        let asking = client(&nginx);
        let asked = std::thread::spawn(move || ask(&asking, two));
        socket.await_death(fault);
        match (goes_back, asked.join().unwrap()) {
            (false, Body::Applied(Report::Live { .. } | Report::Unchanged { .. })) => {}
            // Nobody can load anything as long as the port is taken.
            (true, Body::Applied(Report::RolledBack { .. } | Report::Failed { .. })) => {
                std::fs::remove_file(nginx.path("conf.d/taken.conf")).unwrap();
                assert_eq!(nginx.get(), "one", "{fault:?}");
                let body = ask(&client(&nginx), two);
                assert!(matches!(body, Body::Applied(Report::Live { .. })), "{fault:?}: {body:?}");
            }
            (_, other) => panic!("{fault:?}: {other:?}"),
        }
        drop(taken);
        tells_the_truth(&nginx);
        passes_the_test(&nginx);
        assert_eq!((nginx.get().as_str(), nginx.listing()), ("two", vec!["weir-web.conf".to_owned()]), "{fault:?}");
    }
}

/// An agent that is its own web server, and asks the helper. Which backend that is its tag says.
fn agent(nginx: &Nginx, addr: SocketAddr) -> Agent {
    let toml = format!(
        "[upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\nallow_self = true\n\
         [upstream.web.nginx]\noutput = \"{}\"\n\
         [apply]\nmode = \"helper\"\nstate = \"{}\"\nsocket = \"{}\"\nmin_reload_interval = \"0s\"\n\
         [nginx]\nconfig = \"{}\"\nunit = \"\"\n",
        nginx.web().display(),
        nginx.path("state").display(),
        nginx.path("apply.sock").display(),
        nginx.config().display()
    );
    let settings = Settings { profile: Some("local"), ..Settings::default() };
    let settings = settings.tag("role", "web").tag("port", &addr.port().to_string()).toml(&toml);
    Agent::prepare_at(Kind::Weir, "lb1", settings, SocketAddr::new(addr.ip(), address().port()), address())
}

/// Starts it, again, and waits until its first apply has ended.
fn run(agent: &mut Agent) {
    let ended = |agent: &Agent| agent.log().matches(" agent: apply ").count();
    let before = ended(agent);
    agent.run();
    until("its first apply has ended", || if ended(agent) > before { Ok(()) } else { Err(agent.log()) });
}

/// Waits until no job is under way: what is served already may not be recorded yet.
fn await_end(nginx: &Nginx) {
    until("the helper has ended the job", || {
        let lock = std::fs::File::open(nginx.path("state/lock")).map_err(|error| error.to_string())?;
        let free = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        holds(free.is_ok() && nginx.listing() == ["weir-web.conf"])
    });
}

fn turn_to(agent: &Agent, addr: SocketAddr) {
    let output = agent.cli(&["tags", "--set", &format!("port={}", addr.port())]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_helper_whose_agent_dies_between_any_two_steps_ends_the_job() {
    let nginx = Nginx::start();
    let one = backend("one");
    let two = crate::nginx::listen_as("two", TcpListener::bind((one.ip(), 0)).unwrap());
    let mut agent = agent(&nginx, one);
    agent.write_config();
    let mut socket = Socket::of(&nginx, &agent.config_file());
    socket.start(None);
    run(&mut agent);
    let serves = |agent: &Agent, name: &str| {
        until(&format!("{name} serves"), || {
            let served = nginx.get();
            if served == name { Ok(()) } else { Err(format!("{served}\n{}", agent.log())) }
        });
    };
    serves(&agent, "one");
    let turns = [(two, "two"), (one, "one")].into_iter().cycle();
    for (fault, (addr, name)) in
        Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::Back | Fault::Restored)).zip(turns)
    {
        socket.start(Some(("WEIR_STOP", fault)));
        turn_to(&agent, addr);
        socket.await_stop(fault, || agent.log());
        agent.kill();
        passes_the_test(&nginx);
        kill_process(socket.pid(), Signal::CONT).unwrap();
        serves(&agent, name);
        await_end(&nginx);
        tells_the_truth(&nginx);
        socket.start(None);
        agent.options_mut().tags.retain(|(name, _)| name != "port");
        *agent.options_mut() = agent.options_mut().clone().tag("port", &addr.port().to_string());
        run(&mut agent);
    }
    // The last one's change lasts, and the next one goes live.
    serves(&agent, "two");
    turn_to(&agent, one);
    serves(&agent, "one");
    await_end(&nginx);
    tells_the_truth(&nginx);
}
