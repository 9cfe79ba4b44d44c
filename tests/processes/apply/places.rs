//! What a file keeps when its bytes change, and where nothing is put at all.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use weir::apply::{Apply, Report};
use weir::config::{Automatic, Reload};

use crate::nginx::{Nginx, backend, file, names, server, web};
use crate::support::skipped;

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let len = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

#[test]
#[ignore = "needs nginx and root"]
fn owner_mode_access_list_and_label_stay_with_the_file() {
    let nginx = Nginx::start();
    chown(nginx.web(), Some(33), Some(34)).unwrap();
    std::fs::set_permissions(nginx.web(), Permissions::from_mode(0o640)).unwrap();
    // Version 2; owner rw-, user 35 r--, group r--, mask r--, others ---.
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 35), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend([tag.to_le_bytes().as_slice(), &rights.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    let wanted =
        [("system.posix_acl_access", list), ("security.selinux", b"system_u:object_r:httpd_config_t:s0\0".to_vec())];
    for (name, value) in &wanted {
        if let Err(error) = setxattr(nginx.web(), *name, value, XattrFlags::empty()) {
            skipped(format_args!("this file system has no {name}: {error}"));
        }
    }
    let look = || {
        let meta = std::fs::metadata(nginx.web()).unwrap();
        let attributes = wanted.each_ref().map(|(name, _)| attribute(&nginx.web(), name));
        (meta.uid(), meta.gid(), meta.mode() & 0o7777, attributes)
    };
    let before = look();
    for name in ["one", "two"] {
        let outcome = nginx.apply().apply(&web([server("web", backend(name))]));
        assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
        assert_eq!((look(), nginx.get()), (before.clone(), name.to_owned()));
    }
}

#[test]
#[ignore = "needs nginx and root"]
fn root_puts_nothing_where_others_could_replace_it() {
    let nginx = Nginx::start();
    let (directory, before) = (nginx.path("conf.d"), std::fs::read(nginx.web()).unwrap());
    let shown = directory.display();
    let apply = || nginx.apply().apply(&web([server("web", backend("one"))]));
    let way = |change: &str| format!("apply trusts only root: '{change} {shown}'");
    for (mode, owner, group, text) in [
        (0o777, 0, 0, format!("{shown} is writable by anyone; {}", way("chmod go-w"))),
        (0o775, 0, 4_294_967, format!("{shown} is writable by group 4294967; {}", way("chmod g-w"))),
        (0o755, 4_294_967, 0, format!("{shown} is writable by user 4294967; {}", way("chown -h root"))),
    ] {
        std::fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
        chown(&directory, Some(owner), Some(group)).unwrap();
        assert_eq!(apply().to_string(), text);
        assert_eq!(
            (std::fs::read(nginx.web()).unwrap(), nginx.listing()),
            (before.clone(), vec!["weir-web.conf".to_owned()])
        );
    }
    chown(&directory, Some(0), Some(0)).unwrap();
    std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let healed = apply();
    assert!(matches!(healed, Report::Live { .. }), "{healed}");
}

/// Whoever may write in one of them could put a directory of their own in the place of what is below it.
#[test]
#[ignore = "needs nginx and root"]
fn root_puts_nothing_below_a_directory_of_somebody_else() {
    let nginx = Nginx::start();
    let far = nginx.path("srv");
    let near = far.join("nginx/conf.d");
    std::fs::create_dir_all(&near).unwrap();
    let mut options = nginx.options();
    file(&mut options).output = near.join("weir-web.conf");
    chown(&far, Some(4_294_967), None).unwrap();
    let outcome = Apply::new(options).apply(&web([server("web", backend("one"))]));
    let shown = far.display();
    let text = format!("{shown} is writable by user 4294967; apply trusts only root: 'chown -h root {shown}'");
    assert_eq!((outcome.to_string(), names(&near)), (text, Vec::new()));
}

/// What an agent of its own left there, for one.
#[test]
#[ignore = "needs nginx and root"]
fn root_goes_by_no_record_that_somebody_else_could_write() {
    let nginx = Nginx::start();
    let state = nginx.options().apply.state;
    let apply = |name| nginx.apply().apply(&web([server("web", backend(name))]));
    assert!(matches!(apply("one"), Report::Live { .. }));
    for name in ["gen/1/manifest.json", "gen/1", "gen", "journal", "lock"] {
        let path = state.join(name);
        chown(&path, Some(4_294_967), None).unwrap();
        let text = format!(
            "{} is writable by user 4294967; apply trusts only root: 'chown -hR root {}'",
            path.display(),
            state.display()
        );
        assert_eq!((apply("two").to_string(), nginx.get()), (text, "one".to_owned()));
        chown(&path, Some(0), None).unwrap();
    }
    chown(&state, Some(4_294_967), None).unwrap();
    assert!(apply("two").to_string().ends_with(&format!("'chown -hR root {}'", state.display())));
    chown(&state, Some(0), None).unwrap();
    assert!(matches!(apply("two"), Report::Live { .. }));
}

#[test]
#[ignore = "needs nginx"]
fn a_link_in_place_of_the_directory_is_not_followed() {
    let nginx = Nginx::start();
    let (link, elsewhere) = (nginx.path("link"), nginx.path("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &link).unwrap();
    let mut options = nginx.options();
    file(&mut options).output = link.join("weir-web.conf");
    let outcome = Apply::new(options).apply(&web([server("web", backend("one"))]));
    let text = format!("{} is a symbolic link; name the directory that it points to in 'output'", link.display());
    assert_eq!((outcome.to_string(), names(&elsewhere)), (text, Vec::new()));
}

/// The program that tests notes the mount namespace that it runs in.
#[test]
#[ignore = "needs nginx and root"]
fn the_test_runs_in_a_namespace_of_its_own_or_else_on_the_live_path() {
    let nginx = Nginx::start();
    let notes = nginx.path("notes");
    let program = nginx.path("nginx-that-notes");
    let text =
        format!("#!/bin/sh\n[ \"$1\" = -V ] || readlink /proc/self/ns/mnt >> {}\nexec nginx \"$@\"\n", notes.display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let ours = std::fs::read_link("/proc/self/ns/mnt").unwrap().display().to_string();
    let mut options = nginx.options();
    options.nginx.binary = Automatic::Path(program);
    for (weir, name) in [(options.weir.clone(), "one"), ("/nonexistent/weir".into(), "two")] {
        options.weir = weir;
        let _unless_there_is_none = std::fs::remove_file(&notes);
        let outcome = Apply::new(options.clone()).apply(&web([server("web", backend(name))]));
        assert!(matches!(outcome, Report::Live { .. }), "{outcome}");
        let noted = std::fs::read_to_string(&notes).unwrap();
        assert_eq!(noted.lines().count(), 1, "one test a change: {noted}");
        assert_eq!((noted.trim() == ours, nginx.get()), (name == "two", name.to_owned()), "{noted}");
        assert_eq!(nginx.listing(), ["weir-web.conf"]);
    }
}

/// What kept its word yesterday may be exchanged by a package today.
#[test]
#[ignore = "needs nginx and root"]
fn a_program_that_others_could_exchange_is_not_run() {
    let nginx = Nginx::start();
    let (program, ran) = (nginx.path("nginx-of-everybody"), nginx.path("ran"));
    std::fs::write(&program, format!("#!/bin/sh\ntouch {}\n", ran.display())).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o777)).unwrap();
    let (mut tests, mut reloads) = (nginx.options(), nginx.options());
    tests.nginx.binary = Automatic::Path(program.clone());
    reloads.nginx.reload = Reload::Argv(vec![program.display().to_string()]);
    for options in [tests, reloads] {
        let outcome = Apply::new(options).apply(&web([server("web", backend("one"))]));
        let shown = program.display();
        let text = format!("{shown} is writable by anyone; apply trusts only root: 'chmod go-w {shown}'");
        assert_eq!((outcome.to_string(), ran.exists()), (text, false));
    }
}
