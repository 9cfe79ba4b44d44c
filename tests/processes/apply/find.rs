//! Whatever the pid file says: a master of this configuration that runs is found, and one of another is left alone.

use std::path::Path;

use weir::apply::{Apply, Error, Options, Report, Step};
use weir::config::Automatic;

use crate::nginx::{Nginx, backend, server, web};
use crate::support::skipped;

/// Applies and sees that the master read it.
fn assert_live(nginx: &Nginx, options: Options, name: &'static str) {
    let reloads = nginx.reloads();
    let outcome = Apply::new(options).apply(&web([server("web", backend(name))]));
    assert!(matches!(outcome, Report::Live { .. }), "{name}: {outcome}");
    assert_eq!((nginx.get().as_str(), nginx.reloads()), (name, reloads + 1));
}

#[test]
#[ignore = "needs nginx"]
fn an_emptied_a_removed_and_a_strange_pid_file_do_not_hide_the_master() {
    let nginx = Nginx::start();
    let pid_file = nginx.path("nginx.pid");
    std::fs::write(&pid_file, "").unwrap();
    assert_live(&nginx, nginx.options(), "empty");
    std::fs::remove_file(&pid_file).unwrap();
    assert_live(&nginx, nginx.options(), "removed");
    std::fs::write(&pid_file, std::process::id().to_string()).unwrap();
    assert_live(&nginx, nginx.options(), "a stranger's");
    std::fs::write(&pid_file, nginx.workers()[0].to_string()).unwrap();
    assert_live(&nginx, nginx.options(), "a worker's");
    let mut options = nginx.options();
    options.nginx.pid_file = Automatic::Path("/nonexistent/nginx.pid".into());
    assert_live(&nginx, options, "elsewhere");
}

#[test]
#[ignore = "needs nginx"]
fn a_pid_file_that_an_included_file_names_is_read() {
    let mut nginx = Nginx::stopped();
    std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
    let text = std::fs::read_to_string(nginx.config()).unwrap();
    let (first, rest) = text.split_once("pid ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let pid = format!("pid {};\n", nginx.path("included.pid").display());
    std::fs::write(nginx.path("pid.conf"), pid).unwrap();
    let include = format!("include {};\n", nginx.path("pid.conf").display());
    std::fs::write(nginx.config(), format!("{first}{include}{rest}")).unwrap();
    nginx.run();
    assert_live(&nginx, nginx.options(), "included");
    // That it is read shows where it names nobody.
    std::fs::write(nginx.path("included.pid.oldbin"), nginx.master_pid().to_string()).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", backend("no"))]));
    assert!(matches!(outcome, Report::Refused { error: Error::Upgrading { .. }, .. }), "{outcome:?}");
}

#[test]
#[ignore = "needs nginx"]
fn a_master_that_was_given_its_pid_file_on_the_command_line_is_found() {
    // The test of a configuration without `pid` touches the one that NGINX was built with.
    let built_in = Path::new("/run/nginx.pid");
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root may touch /run/nginx.pid, as 'nginx -t' does here");
    }
    let was_there = built_in.exists();
    let mut nginx = Nginx::stopped();
    std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
    let text = std::fs::read_to_string(nginx.config()).unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("pid ")).map(|line| format!("{line}\n")).collect();
    std::fs::write(nginx.config(), without).unwrap();
    let pid = format!("daemon off; pid {};", nginx.path("given.pid").display());
    nginx.run_as(Path::new("nginx"), &pid);
    assert_live(&nginx, nginx.options(), "given");
    if !was_there && std::fs::read(built_in).is_ok_and(|text| text.is_empty()) {
        std::fs::remove_file(built_in).unwrap();
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_program_that_is_called_otherwise_is_nginx_all_the_same() {
    let mut nginx = Nginx::stopped();
    std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
    let program = nginx.path("nginx-debug");
    std::fs::copy(nginx_program(), &program).unwrap();
    nginx.run_as(&program, "daemon off;");
    let mut options = nginx.options();
    options.nginx.binary = Automatic::Path(program);
    assert_live(&nginx, options, "debug");
}

fn nginx_program() -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let usual = ["/usr/sbin".into(), "/usr/local/sbin".into()];
    std::env::split_paths(&path).chain(usual).map(|dir| dir.join("nginx")).find(|path| path.is_file()).unwrap()
}

#[test]
#[ignore = "needs nginx"]
fn a_master_with_another_configuration_is_left_alone() {
    let other = Nginx::start();
    let nginx = Nginx::stopped();
    let outcome = nginx.apply().apply(&web([server("web", backend("web"))]));
    assert!(matches!(outcome, Report::Stored { .. }), "{outcome:?}");
    assert_eq!(other.reloads(), 0);
}

#[test]
#[ignore = "needs nginx"]
fn a_master_that_is_known_is_looked_for_among_the_others_only_once_it_is_gone() {
    let mut nginx = Nginx::start();
    let known = nginx.apply().look(None).unwrap();
    assert_eq!(known.pid, nginx.master_pid());
    let mut options = nginx.options();
    options.nginx.binary = Automatic::Path("/nonexistent/nginx".into());
    let without_program = Apply::new(options);
    assert_eq!(without_program.look(Some(known)), Ok(known), "nothing is run");

    nginx.kill();
    let gone = nginx.apply().look(Some(known)).unwrap_err();
    assert_eq!(gone.to_string(), "nginx is not running; start nginx");
    let missing = without_program.look(Some(known)).unwrap_err();
    assert_eq!(missing.to_string(), "there is no /nonexistent/nginx, upstream web waits; correct nginx.binary");
    nginx.run();
    let another = nginx.apply().look(Some(known)).unwrap();
    assert_eq!(another.pid, nginx.master_pid());
    assert_ne!(another, known);
}

/// As after the log was rotated away and the ports were changed, and nobody reloaded.
#[test]
#[ignore = "needs nginx"]
fn a_master_that_nothing_tells_to_be_ours_is_named_with_the_key_that_settles_it() {
    let nginx = Nginx::start();
    let (pid_file, pid) = (nginx.path("nginx.pid"), nginx.master_pid());
    std::fs::remove_file(&pid_file).unwrap();
    let text = std::fs::read_to_string(nginx.config()).unwrap();
    let changed = text.replace("error.log", "other.log").replace(&nginx.listen.to_string(), "127.0.0.1:1");
    std::fs::write(nginx.config(), changed).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", backend("web"))]));
    assert!(matches!(outcome, Report::Refused { generation: None, step: Step::Locate, .. }), "{outcome:?}");
    assert_eq!(
        outcome.to_string(),
        format!(
            "nginx runs as process {pid}, and nothing tells that it is the one that reads {}; \
             set nginx.pid_file to the file that holds its number, or nginx.unit to its unit",
            nginx.config().display()
        )
    );
    assert_eq!(nginx.reloads(), 0);

    // As the way out has it.
    std::fs::write(nginx.config(), text).unwrap();
    let mut options = nginx.options();
    std::fs::write(nginx.path("my.pid"), pid.to_string()).unwrap();
    options.nginx.pid_file = Automatic::Path(nginx.path("my.pid"));
    assert_live(&nginx, options, "named");
}
