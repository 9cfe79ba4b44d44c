//! What the helper tells systemd's watchdog, and what follows where it tells nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Child;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::process::{Pid, Signal, kill_process};
use weir::apply::{Ask, Body, Job, Report};

use super::helper::{activated, client, write_configuration};
use crate::nginx::{Nginx, backend, server, web};
use crate::support::until;

/// How long systemd waits here.
const PERIOD: Duration = Duration::from_millis(200);

/// An NGINX, the socket, and systemd's end of the watchdog.
struct Stage {
    nginx: Nginx,
    listener: UnixListener,
    signs: UnixDatagram,
    helpers: Vec<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for helper in &mut self.helpers {
            // It may have ended by itself.
            drop(helper.kill());
            drop(helper.wait());
        }
    }
}

impl Stage {
    fn new() -> Self {
        let nginx = Nginx::start();
        write_configuration(&nginx, "7s", "0s");
        let listener = UnixListener::bind(nginx.path("apply.sock")).unwrap();
        let signs = UnixDatagram::bind(nginx.path("notify")).unwrap();
        let mut stage = Self { nginx, listener, signs, helpers: Vec::new() };
        stage.start();
        stage
    }

    /// As systemd does when somebody asks.
    fn start(&mut self) {
        let nginx = &self.nginx;
        let mut helper = activated(&self.listener, &nginx.path("weir.toml"), &nginx.path("state"));
        helper.env("NOTIFY_SOCKET", nginx.path("notify")).env("WATCHDOG_USEC", PERIOD.as_micros().to_string());
        self.helpers.push(helper.spawn().unwrap());
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.helpers.last().unwrap())
    }

    /// The next sign of life; `None` if none comes within that.
    fn sign(&self, within: Duration) -> Option<()> {
        self.signs.set_read_timeout(Some(within)).unwrap();
        let mut said = [0; 1024];
        loop {
            let length = self.signs.recv(&mut said).ok()?;
            if said[..length].starts_with(b"WATCHDOG=1") {
                return Some(());
            }
        }
    }

    fn asks(&self, name: &'static str) -> std::thread::JoinHandle<Body> {
        let (client, addr) = (client(&self.nginx), backend(name));
        std::thread::spawn(move || client.ask(Ask::Apply(Job::new(web([server("web", addr)])))).unwrap())
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_test_that_takes_long_is_no_hang() {
    let stage = Stage::new();
    let pipe = stage.nginx.path("slow");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    std::fs::write(stage.nginx.path("conf.d/slow.conf"), format!("include {};\n", pipe.display())).unwrap();
    let asked = stage.asks("one");
    until("the job is under way", || {
        let there = stage.nginx.path("state/lock").exists();
        if there { Ok(()) } else { Err("no lock".to_owned()) }
    });
    for _ in 0..8 {
        assert!(stage.sign(Duration::from_secs(10)).is_some());
    }
    assert!(!asked.is_finished(), "nobody has opened the other end of the pipe");
    let open = || OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&pipe);
    let held = until("nginx -t waits for it", || open().map_err(|error| error.to_string()));
    // While one holds it nobody else waits.
    let body = asked.join().unwrap();
    assert!(matches!(&body, Body::Applied(Report::Live { .. })), "{body:?}");
    drop(held);
}

#[test]
#[ignore = "needs nginx"]
fn a_helper_that_hangs_is_silent_and_whoever_asked_is_served_by_the_next_one() {
    let mut stage = Stage::new();
    assert!(stage.sign(Duration::from_secs(10)).is_some());
    kill_process(stage.pid(), Signal::STOP).unwrap();
    let stat = format!("/proc/{}/stat", stage.pid().as_raw_nonzero());
    until("it has stopped", || {
        let text = std::fs::read_to_string(&stat).map_err(|error| error.to_string())?;
        if text.contains(") T ") { Ok(()) } else { Err(text) }
    });
    let asked = stage.asks("one");
    // What it said before.
    while stage.sign(Duration::from_millis(1)).is_some() {}
    assert!(stage.sign(PERIOD * 3).is_none());
    // What systemd does then.
    kill_process(stage.pid(), Signal::ABORT).unwrap();
    kill_process(stage.pid(), Signal::CONT).unwrap();
    assert!(!stage.helpers.last_mut().unwrap().wait().unwrap().success());
    stage.start();
    let body = asked.join().unwrap();
    assert!(matches!(&body, Body::Applied(Report::Live { .. })), "{body:?}");
    assert_eq!(stage.nginx.get(), "one");
    assert!(stage.sign(Duration::from_secs(10)).is_some());
}
