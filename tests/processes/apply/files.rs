//! Targets that cannot be written, that somebody else changed, that nothing includes.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use weir::apply::{Apply, Error, Report, Step};
use weir::config::{Automatic, ForeignEdit, Reload, Upstream};
use weir::nginx::Form;
use weir::upstream::{self, Generation, UpstreamName};

use crate::nginx::{Nginx, and, backend, file, names, server, web};
use crate::support::{address, holds, skipped, until};

#[test]
fn without_nginx_nothing_is_written_and_the_error_says_how_to_get_it() {
    let nginx = Nginx::stopped();
    let mut options = nginx.options();
    options.nginx.binary = Automatic::Path("/nonexistent/nginx".into());
    let outcome = Apply::new(options).apply(&web([server("web", address())]));
    assert_eq!(outcome.to_string(), "there is no /nonexistent/nginx, upstream web waits; correct nginx.binary");
    assert_eq!(nginx.listing(), [""; 0]);
}

#[test]
#[ignore = "needs nginx"]
fn a_directory_that_is_not_there_is_named() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    file(&mut options).output = nginx.path("nowhere/weir-web.conf");
    let outcome = Apply::new(options).apply(&web([server("web", address())])).to_string();
    let directory = nginx.path("nowhere");
    let text = format!(
        "cannot write {}: no such file or directory; what serves is untouched; create {}",
        directory.join("weir-web.conf").display(),
        directory.display()
    );
    assert_eq!(outcome, text);
}

/// In a process of its own that cannot pass by modes, if this is root.
#[test]
#[ignore = "needs nginx"]
fn a_directory_that_may_not_be_written_leaves_everything_as_it_was() {
    if rustix::process::geteuid().is_root() && std::env::var_os("WEIR_TEST_WITHOUT_OVERRIDE").is_none() {
        let this = std::env::current_exe().unwrap();
        let inner = "apply::files::a_directory_that_may_not_be_written_leaves_everything_as_it_was";
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override").arg(this).args(["--exact", inner, "--include-ignored"]);
        assert!(command.env("WEIR_TEST_WITHOUT_OVERRIDE", "").status().unwrap().success());
        return;
    }
    let nginx = Nginx::start();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let before = std::fs::read(nginx.web()).unwrap();
    std::fs::set_permissions(nginx.path("conf.d"), std::fs::Permissions::from_mode(0o555)).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", address())]));
    assert!(matches!(outcome, Report::Refused { step: Step::Write, .. }), "{outcome:?}");
    let text = outcome.to_string();
    assert!(text.contains("permission denied; what serves is untouched; "), "{text}");
    assert_eq!(std::fs::read(nginx.web()).unwrap(), before);
    assert_eq!(nginx.get(), "one");
    std::fs::set_permissions(nginx.path("conf.d"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The inner half runs in a mount namespace of its own, where `conf.d` is a small file system.
#[test]
#[ignore = "needs nginx and root"]
fn a_full_or_read_only_file_system_is_named_and_leaves_everything_as_it_was() {
    if let Ok(mode) = std::env::var("WEIR_TEST_SMALL_FILE_SYSTEM") {
        return on_a_small_file_system(&mode);
    }
    let unshare = Command::new("unshare").args(["-m", "true"]).output().unwrap();
    if !unshare.status.success() {
        let reason = String::from_utf8_lossy(&unshare.stderr);
        return skipped(format_args!("mount namespaces cannot be made here: {}", reason.trim()));
    }
    for mode in ["full", "full while it loads", "read-only"] {
        let this = std::env::current_exe().unwrap();
        let inner = "apply::files::a_full_or_read_only_file_system_is_named_and_leaves_everything_as_it_was";
        let mut command = Command::new("unshare");
        command.arg("-m").arg(this).args(["--exact", inner, "--include-ignored", "--nocapture"]);
        let status = command.env("WEIR_TEST_SMALL_FILE_SYSTEM", mode).status().unwrap();
        assert!(status.success(), "{mode}");
    }
}

fn on_a_small_file_system(mode: &str) {
    let mut nginx = Nginx::stopped();
    let conf = nginx.path("conf.d");
    let mount =
        |arguments: &[&str]| assert!(Command::new("mount").args(arguments).arg(&conf).status().unwrap().success());
    mount(&["-t", "tmpfs", "-o", "size=16k", "none"]);
    std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1 down; }\n").unwrap();
    nginx.run();
    nginx.apply().apply(&web([server("web", backend("one"))]));
    let before = std::fs::read(nginx.web()).unwrap();
    let words = match mode {
        "full" => {
            // Write until nothing more fits.
            let _ = std::fs::write(conf.join("fill"), vec![b'#'; 64 * 1024]);
            "no space left on device; what serves is untouched; free space in "
        }
        "full while it loads" => "",
        _ => {
            mount(&["-o", "remount,ro"]);
            "read-only file system; what serves is untouched; make "
        }
    };
    let mut options = nginx.options();
    if mode == "full while it loads" {
        // The first reload fills it and fails.
        let (flag, config) = (nginx.path("failed"), nginx.config());
        let (flag, config, fill) = (flag.display(), config.display(), conf.join("fill"));
        let once = format!(
            "[ -e {flag} ] && exec nginx -s reload -c {config}; touch {flag}; head -c 65536 /dev/zero > {}; exit 1",
            fill.display()
        );
        options.nginx.reload = Reload::Argv(vec!["/bin/sh".to_owned(), "-c".to_owned(), once]);
    }
    let outcome = Apply::new(options).apply(&web([server("web", backend("two"))]));
    if mode == "full while it loads" {
        assert!(matches!(outcome, Report::RolledBack { .. }), "{outcome:?}");
    } else {
        assert!(matches!(outcome, Report::Refused { step: Step::Write, .. }), "{outcome:?}");
        assert!(outcome.to_string().contains(words), "{outcome}");
    }
    assert_eq!(std::fs::read(nginx.web()).unwrap(), before);
    assert!(!nginx.listing().iter().any(|name| name.starts_with('.')), "{:?}", nginx.listing());
    assert_eq!(nginx.get(), "one");
    nginx.kill();
    assert!(Command::new("umount").arg(&conf).status().unwrap().success());
}

#[test]
#[ignore = "needs nginx"]
fn a_file_that_nothing_includes_is_refused_and_not_left_behind() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    file(&mut options).output = nginx.path("conf.d/weir-web.inc");
    let outcome = Apply::new(options).apply(&web([server("web", address())]));
    let text = format!(
        "nothing in {} includes {}; add 'include {};' inside http {{ }}",
        nginx.config().display(),
        nginx.path("conf.d/weir-web.inc").display(),
        nginx.path("conf.d/weir-web.inc").display()
    );
    assert_eq!(outcome.to_string(), text);
    assert_eq!(nginx.listing(), ["weir-web.conf"]);
    std::fs::create_dir(nginx.path("elsewhere")).unwrap();
    let mut options = nginx.options();
    file(&mut options).output = nginx.path("elsewhere/weir-web.conf");
    let outcome = Apply::new(options.clone()).apply(&web([server("web", address())])).to_string();
    let way = format!("add 'include {}/*.conf;' inside http {{ }}", nginx.path("elsewhere").display());
    assert!(outcome.ends_with(&way), "{outcome}");
    // Lines alone belong elsewhere.
    options.upstreams = vec![nginx.upstream("web", "elsewhere/web.servers", Form::Servers)];
    let outcome = Apply::new(options).apply(&web([server("web", address())])).to_string();
    let way = format!("add 'include {}/web.servers;' inside your upstream block", nginx.path("elsewhere").display());
    assert!(outcome.ends_with(&way), "{outcome}");
    assert_eq!(names(&nginx.path("elsewhere")), [""; 0]);
}

#[test]
#[ignore = "needs nginx"]
fn a_new_file_that_is_included_under_another_name_of_its_directory_is_found() {
    let nginx = Nginx::start();
    std::os::unix::fs::symlink(nginx.path("conf.d"), nginx.path("link")).unwrap();
    let text = std::fs::read_to_string(nginx.config()).unwrap();
    std::fs::write(nginx.config(), text.replace("conf.d/*.conf", "link/*.conf")).unwrap();
    let desired = and(web([server("web", address())]), "api", [server("api", address())]);
    let with = |output| {
        let mut options = nginx.options();
        options.upstreams.push(nginx.upstream("api", output, Form::Block));
        Apply::new(options).apply(&desired)
    };
    let outcome = with("conf.d/weir-api.conf");
    assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
    // A link can point elsewhere at any moment.
    let outcome = with("link/weir-api.conf").to_string();
    let link = nginx.path("link");
    assert_eq!(
        outcome,
        format!("{} is a symbolic link; name the directory that it points to in 'output'", link.display())
    );
}

#[test]
#[ignore = "needs nginx"]
fn what_somebody_else_wrote_is_kept_or_held_but_never_lost() {
    let nginx = Nginx::start();
    let (one, two) = (web([server("web", backend("one"))]), web([server("web", backend("two"))]));
    nginx.apply().apply(&one);
    assert_eq!(names(&nginx.path("state/foreign")), ["weir-web.conf.1"], "what was there before weir");

    let edit = "upstream web { server 127.0.0.1:2; } # by hand\n";
    std::fs::write(nginx.web(), edit).unwrap();
    let mut options = nginx.options();
    options.apply.foreign_edit = ForeignEdit::Hold;
    let hold = Apply::new(options);
    let outcome = hold.apply(&two);
    assert!(
        matches!(outcome, Report::Refused { step: Step::Plan, error: Error::ForeignEdit { .. }, .. }),
        "{outcome:?}"
    );
    assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), edit);

    assert!(matches!(nginx.apply().apply(&one), Report::Live { .. }), "ours again");
    assert_eq!(std::fs::read_to_string(nginx.path("state/foreign/weir-web.conf.2")).unwrap(), edit);
    assert_eq!(nginx.get(), "one");
}

#[test]
#[ignore = "needs nginx"]
fn without_room_for_its_copy_an_edit_stays_in_place() {
    let nginx = Nginx::start();
    let (one, two) = (web([server("web", backend("one"))]), web([server("web", backend("two"))]));
    nginx.apply().apply(&one);
    // As most edits by hand: our first line stays.
    let edit = std::fs::read_to_string(nginx.web()).unwrap().replace("server ", "server 127.0.0.1:1 down; server ");
    std::fs::write(nginx.web(), &edit).unwrap();
    std::fs::remove_dir_all(nginx.path("state/foreign")).unwrap();
    std::fs::write(nginx.path("state/foreign"), "in the way").unwrap();
    let outcome = nginx.apply().apply(&two);
    assert!(matches!(outcome, Report::Refused { step: Step::Write, .. }), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(nginx.web()).unwrap(), edit);

    std::fs::remove_file(nginx.path("state/foreign")).unwrap();
    assert!(matches!(nginx.apply().apply(&two), Report::Live { .. }));
    assert_eq!(std::fs::read_to_string(nginx.path("state/foreign/weir-web.conf.1")).unwrap(), edit);
}

#[test]
#[ignore = "needs nginx"]
fn mode_and_owner_of_the_file_are_kept() {
    let nginx = Nginx::start();
    std::fs::set_permissions(nginx.web(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let chowned = std::os::unix::fs::chown(nginx.web(), Some(65534), Some(65534)).is_ok();
    nginx.apply().apply(&web([server("web", address())]));
    let meta = std::fs::metadata(nginx.web()).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o640);
    assert!(!chowned || (meta.uid(), meta.gid()) == (65534, 65534));
}

#[test]
#[ignore = "needs nginx"]
fn a_link_in_place_of_the_file_is_refused() {
    let nginx = Nginx::start();
    let elsewhere = nginx.path("elsewhere.conf");
    std::fs::rename(nginx.web(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, nginx.web()).unwrap();
    let outcome = nginx.apply().apply(&web([server("web", address())]));
    let text =
        format!("{} is a symbolic link; set upstream.web.nginx.output to the file it names", nginx.web().display());
    assert_eq!(outcome.to_string(), text);
}

#[test]
#[ignore = "needs nginx"]
fn several_targets_share_one_test_and_one_reload_and_fail_together() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    std::fs::create_dir(nginx.path("lists")).unwrap();
    std::fs::write(nginx.path("lists/api.conf"), "server 127.0.0.1:1;\n").unwrap();
    std::fs::write(
        nginx.path("conf.d/api.conf"),
        format!("upstream api {{ include {}; }}", nginx.path("lists/api.conf").display()),
    )
    .unwrap();
    options.upstreams.push(nginx.upstream("api", "lists/api.conf", Form::Servers));
    let apply = Apply::new(options);
    let both = |web_at, api_at| and(web([server("web", web_at)]), "api", [server("api", api_at)]);

    let outcome = apply.apply(&both(address(), address()));
    let Report::Live { upstreams, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(upstreams.len(), 2);
    assert_eq!(nginx.reloads(), 1);
    let files = || (std::fs::read(nginx.web()).unwrap(), std::fs::read(nginx.path("lists/api.conf")).unwrap());
    let before = files();
    assert!(String::from_utf8(before.1.clone()).unwrap().lines().nth(1).unwrap().starts_with("server 127."));

    std::fs::write(nginx.path("conf.d/shop.conf"), "nonsense;").unwrap();
    let outcome = apply.apply(&both(address(), address()));
    assert!(matches!(outcome, Report::Refused { step: Step::Validate, .. }), "{outcome:?}");
    assert_eq!(files(), before);

    // A document without an upstream leaves it as it is.
    std::fs::remove_file(nginx.path("conf.d/shop.conf")).unwrap();
    let outcome = apply.apply(&web([server("web", address())]));
    assert!(matches!(outcome, Report::Live { .. }), "{outcome:?}");
    assert_eq!(files().1, before.1);
    assert_eq!(apply.live().unwrap().unwrap().1.upstreams.len(), 2);
}

#[test]
#[ignore = "needs nginx"]
fn the_document_is_checked_again_against_the_targets_limits() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    let limits = &mut options.upstreams[0].options;
    (limits.port.min, limits.port.max) = (8000, 9000);
    limits.allow.loopback = false;
    let apply = Apply::new(options);
    for (addr, text) in [
        (
            "127.0.0.1:8080",
            "upstream web: 127.0.0.1:8080 is a loopback address; set upstream.web.allow_loopback = true if that is meant",
        ),
        ("10.0.0.1:80", "upstream web: port of 10.0.0.1:80 is outside 8000..9000; correct upstream.web.server.port"),
    ] {
        let outcome = apply.apply(&web([server("web", addr.parse().unwrap())]));
        assert_eq!(outcome.to_string(), text);
    }
    let outcome =
        apply.apply(&and(web([server("web", "10.0.0.1:8080".parse().unwrap())]), "api", [server("a", address())]));
    assert_eq!(outcome.to_string(), "upstream api is wanted and not configured here; 'weir reload'");
    assert_eq!(apply.live().unwrap().map(|(generation, _)| generation), None::<Generation>);
}

/// Its directory is not there. It waits, and nobody else does.
#[test]
#[ignore = "needs nginx"]
fn an_upstream_without_a_place_keeps_nobody_else_waiting() {
    let nginx = Nginx::start();
    let mut options = nginx.options();
    options.upstreams.push(nginx.upstream("api", "nowhere/api.conf", Form::Servers));
    let apply = Apply::new(options);
    let both = |name, at| and(web([server("web", backend(name))]), "api", [server("api", at)]);
    let outcome = apply.apply(&both("one", address()));
    assert!(matches!(&outcome, Report::Live { upstreams, .. } if upstreams.len() == 1), "{outcome}");
    let waits = outcome.notes().waits.as_ref().unwrap();
    assert_eq!(waits.upstreams, [UpstreamName::new("api").unwrap()]);
    until("the other is served", || holds(nginx.get() == "one"));
    assert_eq!(apply.live().unwrap().unwrap().1.upstreams.len(), 1);
    let again = apply.apply(&and(web([server("web", backend("two"))]), "api", [server("api", address())]));
    assert!(matches!(again, Report::Live { .. }), "it follows on: {again}");
    until("the other follows", || holds(nginx.get() == "two"));
    std::fs::create_dir(nginx.path("nowhere")).unwrap();
    std::fs::write(
        nginx.path("conf.d/api.conf"),
        format!("upstream api {{ include {}; }}", nginx.path("nowhere/*.conf").display()),
    )
    .unwrap();
    let placed = apply.apply(&and(web([server("web", backend("two"))]), "api", [server("api", address())]));
    assert!(placed.notes().waits.is_none(), "{placed:?}");
    assert_eq!(apply.live().unwrap().unwrap().1.upstreams.len(), 2);
}

/// Else whoever leaves is kept waiting for a file that nobody writes any more.
#[test]
#[ignore = "needs nginx"]
fn what_templates_followed_once_is_live_only_while_they_follow_it() {
    let nginx = Nginx::stopped();
    let mut options = nginx.options();
    let shop = upstream::Options::new(UpstreamName::new("shop").unwrap(), Vec::new());
    options.upstreams.push(Upstream { options: shop, file: None, probe: None });
    let followed =
        and(and(web([server("web", address())]), "shop", [server("shop", address())]), "db", [server("db", address())]);
    std::fs::create_dir_all(nginx.path("state/templates")).unwrap();
    std::fs::write(nginx.path("state/templates/desired"), followed.to_json()).unwrap();
    assert!(Apply::new(options).live().unwrap().is_none(), "no template follows anything");
}
