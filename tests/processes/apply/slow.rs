//! A configuration that NGINX takes long to read, as a host name does that DNS answers late: here a pipe that nobody fills yet.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use weir::apply::{Apply, Options, Report};
use weir::config::Reload;

use crate::nginx::{Nginx, backend, server, web};

/// How long each reading takes while the pipe is served.
const READING: Duration = Duration::from_millis(1500);
/// Far shorter.
const CONFIRM: Duration = Duration::from_millis(300);

/// A site that takes its time; ends with the pipe.
struct SlowSite {
    pipe: PathBuf,
    site: PathBuf,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl SlowSite {
    /// The first `readings` take their time, the next one never ends.
    fn new(nginx: &Nginx, readings: usize) -> Self {
        let (pipe, site) = (nginx.path("slow"), nginx.path("conf.d/slow.conf"));
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        std::fs::write(&site, format!("include {};\n", pipe.display())).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, path) = (stop.clone(), pipe.clone());
        let writer = std::thread::spawn(move || {
            for _ in 0..readings {
                std::thread::sleep(READING);
                // Waits for the reader, and lets it go on with an empty file.
                drop(OpenOptions::new().write(true).open(&path).unwrap());
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self { pipe, site, stop, writer: Some(writer) }
    }

    /// Whoever waits for it goes on, and nobody does from now on.
    fn end(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        self.stop.store(true, Ordering::Relaxed);
        std::fs::remove_file(&self.site).unwrap();
        // Both ends at once wait for nobody.
        let both = OpenOptions::new().read(true).write(true).open(&self.pipe).unwrap();
        writer.join().unwrap();
        drop(both);
    }
}

impl Drop for SlowSite {
    fn drop(&mut self) {
        self.end();
    }
}

fn options(nginx: &Nginx) -> Options {
    let mut options = nginx.options();
    options.nginx.confirm_timeout = CONFIRM;
    options
}

#[test]
#[ignore = "needs nginx"]
fn a_master_that_reads_longer_than_the_confirm_timeout_is_waited_for() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let command = ["nginx", "-s", "reload", "-c"].map(str::to_owned);
    let command = command.into_iter().chain([nginx.config().display().to_string()]).collect();
    for (reload, name) in [(Reload::Signal, "two"), (Reload::Argv(command), "three")] {
        let mut options = options(&nginx);
        options.nginx.reload = reload;
        // The test, the command of its own accord, the master.
        let mut site = SlowSite::new(&nginx, 3);
        let outcome = Apply::new(options).apply(&web([server("web", backend(name))]));
        assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
        assert_eq!(nginx.get(), name);
        site.end();
        std::fs::remove_file(nginx.path("slow")).unwrap();
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_master_that_reads_far_longer_than_the_test_did_is_named_with_the_key_and_the_slow_name() {
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let mut site = SlowSite::new(&nginx, 1);
    // What every resolver takes for a name and knows, also where nothing says who localhost is.
    std::fs::write(nginx.path("conf.d/api.conf"), "upstream api { server 127.1:1; }\n").unwrap();
    let outcome = Apply::new(options(&nginx)).apply(&web([server("web", backend("two"))]));
    let Report::Failed { error, .. } = &outcome else { panic!("{outcome:?}") };
    let said = error.to_string();
    let (pid, place) = (nginx.master_pid(), nginx.path("conf.d/api.conf"));
    assert!(said.starts_with(&format!("nginx's master {pid} was still reading its configuration after ")), "{said}");
    let way_out = format!(
        "; write an address for the name that it looks up: 127.1 ({}:1), or set nginx.confirm_timeout higher",
        place.display()
    );
    assert!(said.ends_with(&way_out), "{said}");

    // It heals when the cause goes.
    site.end();
    std::fs::remove_file(place).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", backend("three"))]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    assert_eq!(nginx.get(), "three");
}
