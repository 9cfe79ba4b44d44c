//! NGINX whose program is exchanged while it runs, as packages do it: a new master beside the old one, then in its place.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use weir::apply::{Error, Report};

use crate::nginx::{Nginx, backend, server, web};
use crate::support::{holds, until};

/// A master that is nobody's child: only such a one takes part in an upgrade. All of them end when it is dropped.
struct Daemon(PathBuf);

impl Daemon {
    fn start(nginx: &Nginx) -> Self {
        std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.unwrap());
        command.arg("-c").arg(nginx.config()).arg("-e").arg(nginx.path("error.log"));
        assert!(command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        let daemon = Self(nginx.path("nginx.pid"));
        until("nginx has workers", || holds(daemon.pid().is_some_and(|pid| children(pid) == 2)));
        daemon
    }

    fn pid(&self) -> Option<Pid> {
        written(&self.0)
    }

    fn old(&self) -> Option<Pid> {
        written(&self.0.with_extension("pid.oldbin"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for pid in [self.old(), self.pid()].into_iter().flatten() {
            // It may have ended already.
            let _ = kill_process(pid, Signal::TERM);
            until("nginx ends", || holds(test_kill_process(pid).is_err()));
        }
    }
}

fn written(path: &Path) -> Option<Pid> {
    Pid::from_raw(std::fs::read_to_string(path).ok()?.trim().parse().ok()?)
}

fn children(pid: Pid) -> usize {
    let pid = pid.as_raw_nonzero();
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().count()
}

#[test]
#[ignore = "needs nginx"]
fn an_upgrade_is_waited_for_and_then_the_new_master_is_the_one() {
    let nginx = Nginx::stopped();
    let daemon = Daemon::start(&nginx);
    let old = daemon.pid().unwrap();
    let (one, two) = (backend("one"), backend("two"));
    let pid_of = |report: &Report| match report {
        Report::Live { master, .. } => Pid::from_raw(i32::try_from(master.pid).unwrap()),
        other => panic!("{other}"),
    };
    assert_eq!(pid_of(&nginx.apply().apply(&web([server("web", one)]))), Some(old));

    kill_process(old, Signal::USR2).unwrap();
    until("the new program runs", || {
        holds(daemon.old() == Some(old) && daemon.pid().is_some_and(|new| new != old && children(new) == 2))
    });
    let (new, before) = (daemon.pid().unwrap(), std::fs::read(nginx.web()).unwrap());
    let held = nginx.apply().apply(&web([server("web", two)]));
    assert!(matches!(held, Report::Refused { error: Error::Upgrading { .. }, .. }), "{held}");
    assert_eq!((std::fs::read(nginx.web()).unwrap(), nginx.listing()), (before, vec!["weir-web.conf".to_owned()]));

    kill_process(old, Signal::QUIT).unwrap();
    until("the old program is gone", || holds(daemon.old().is_none() && test_kill_process(old).is_err()));
    assert_eq!(pid_of(&nginx.apply().apply(&web([server("web", two)]))), Some(new));
    assert_eq!(nginx.get(), "two");
}

#[test]
#[ignore = "needs nginx"]
fn a_master_that_is_killed_is_nobody_to_confirm_and_the_next_one_is_told() {
    let nginx = Nginx::stopped();
    let daemon = Daemon::start(&nginx);
    let (one, two) = (backend("one"), backend("two"));
    assert!(matches!(nginx.apply().apply(&web([server("web", one)])), Report::Live { .. }));
    let old = daemon.pid().unwrap();
    // Its workers go with it, as systemd sees to.
    kill_process_tree(old);
    let stored = nginx.apply().apply(&web([server("web", two)]));
    assert!(matches!(stored, Report::Stored { .. }), "{stored}");
    drop(daemon);
    let mut nginx = nginx;
    nginx.run();
    let live = nginx.apply().apply(&web([server("web", two)]));
    assert!(matches!(live, Report::Live { .. } | Report::Unchanged { .. }), "{live}");
    assert_eq!(nginx.get(), "two");
}

/// SIGKILL to a master and to its workers.
fn kill_process_tree(master: Pid) {
    let number = master.as_raw_nonzero();
    let workers = std::fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap();
    let workers = workers.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
    for pid in std::iter::once(master).chain(workers) {
        match kill_process(pid, Signal::KILL) {
            Ok(()) => until("it is gone", || holds(test_kill_process(pid).is_err())),
            // A worker from before the reload, which was on its way out.
            Err(gone) => assert_eq!(gone, Errno::SRCH, "{pid:?}"),
        }
    }
}
