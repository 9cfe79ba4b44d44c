//! Tests of candidates that nobody else sees: what `apply` runs before it exchanges anything.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::nginx::Nginx;
use crate::support::{skipped, weir_binary};

/// The process that makes the namespace, and what is told through its standard input.
fn within(through: &[&str], order: &[&OsStr]) -> (String, Output) {
    let (mut told, teller) = io::pipe().unwrap();
    let mut words: Vec<&OsStr> = through.iter().map(OsStr::new).collect();
    words.extend([weir_binary(), "in-mount-namespace"].map(OsStr::new));
    words.extend(order);
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).stdin(teller).output().unwrap();
    drop(command);
    let mut text = String::new();
    told.read_to_string(&mut text).unwrap();
    (text, output)
}

/// Whether a namespace can be made here; says so if not.
fn can_be_made() -> bool {
    let (told, _) = within(&[], &["--", "true"].map(OsStr::new));
    if told != "\"ready\"\n" {
        skipped(format_args!("mount namespaces cannot be made here: {told}"));
    }
    told == "\"ready\"\n"
}

/// What is mounted for this process, below the tests' directories.
fn mounts() -> Vec<String> {
    let all = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let below = std::env::temp_dir().display().to_string();
    all.lines().filter(|line| line.contains(&below)).map(str::to_owned).collect()
}

fn put<'a>(target: &'a Path, candidate: &'a Path, test: &'a [&'a str]) -> Vec<&'a OsStr> {
    let mut words = vec![OsStr::new("--put"), target.as_os_str(), candidate.as_os_str(), OsStr::new("--")];
    words.extend(test.iter().map(OsStr::new));
    words
}

fn without<'a>(target: &'a Path, test: &'a [&'a str]) -> Vec<&'a OsStr> {
    let mut words = vec![OsStr::new("--without"), target.as_os_str(), OsStr::new("--")];
    words.extend(test.iter().map(OsStr::new));
    words
}

/// Everything that `nginx -t` knows to be wrong in a file of this kind, without a look at the network.
fn broken() -> Vec<String> {
    let upstream = |lines: &str| format!("upstream web {{ {lines} }}\n");
    let good = "server 127.0.0.1:80;";
    let mut texts: Vec<String> = [
        "serve 127.0.0.1:80;",
        "server 127.0.0.1:80",
        "server;",
        "",
        "server 127.0.0.1:80 backup;",
        "server 127.0.0.1:0;",
        "server 127.0.0.1:65536;",
        "server 127.0.0.1:80-90;",
        "server fd00::1:80:90;",
        "server unix:;",
        "server 127.0.0.1:80 weight=0;",
        "server 127.0.0.1:80 weight=-1;",
        "server 127.0.0.1:80 weight=1.5;",
        "server 127.0.0.1:80 weight=two;",
        "server 127.0.0.1:80 max_fails=x;",
        "server 127.0.0.1:80 fail_timeout=x;",
        "server 127.0.0.1:80 max_conns=x;",
        "server 127.0.0.1:80 nonsense;",
        "zone web 8k; server 127.0.0.1:80;",
        "zone; server 127.0.0.1:80;",
        "ip_hash; server 127.0.0.1:80; server 127.0.0.1:81 backup;",
        "hash; server 127.0.0.1:80;",
        "least_conn x; server 127.0.0.1:80;",
        "random two nonsense; server 127.0.0.1:80;",
        "keepalive 0; server 127.0.0.1:80;",
        "keepalive x; server 127.0.0.1:80;",
        "listen 80; server 127.0.0.1:80;",
        "include /nonexistent/servers; server 127.0.0.1:80;",
        "server \"127.0.0.1:80;",
        "server ${127.0.0.1:80;",
        "} server { listen 0;",
    ]
    .map(upstream)
    .into();
    texts.extend([
        format!("upstream web {{ {good}"),
        format!("upstream web {{ {good} }} }}"),
        format!("upstream web {{ {good} }} upstream web {{ {good} }}"),
        format!("upstream {{ {good} }}"),
        "upstream web;".to_owned(),
        "upstream other { server 127.0.0.1:80; } nonsense".to_owned(),
        "http { }".to_owned(),
        "events { }".to_owned(),
        "\u{0}\u{1}\u{2}".to_owned(),
        format!("upstream web {{ server {}; }}", "a".repeat(5000)),
        "load_module /nonexistent.so;".to_owned(),
        "upstream web { ".repeat(40),
        "{".to_owned(),
        "}".to_owned(),
    ]);
    texts
}

#[test]
#[ignore = "needs nginx and root"]
fn whatever_candidates_hold_the_live_file_stays_and_nginx_can_be_reloaded_at_every_instant() {
    if !can_be_made() {
        return;
    }
    let nginx = Nginx::start();
    let (live, config, mounts) = (std::fs::read(nginx.web()).unwrap(), nginx.config(), mounts());
    let candidate = nginx.path("conf.d/.weir-web.conf.weir-new");
    let broken = broken();
    let test = ["nginx", "-q", "-t", "-c", config.to_str().unwrap()];
    let (is_over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..100 {
                    assert_eq!(std::fs::read(nginx.web()).unwrap(), live);
                }
                let tested = Command::new(test[0]).args(&test[1..]).output().unwrap();
                assert!(tested.status.success(), "{tested:?}");
                looks.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..100 {
            let texts =
                [broken[round % broken.len()].clone(), format!("upstream web {{ server 127.0.0.1:{}; }}", 1 + round)];
            for (text, passes) in texts.iter().zip([false, true]) {
                std::fs::write(&candidate, text).unwrap();
                let (told, output) = within(&[], &put(&nginx.web(), &candidate, &test));
                assert_eq!((told.as_str(), output.status.success()), ("\"ready\"\n", passes), "{text}: {output:?}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
    });
    assert!(looks.into_inner() > 20);
    assert_eq!(nginx.listing(), [".weir-web.conf.weir-new", "weir-web.conf"]);
    assert_eq!((std::fs::read(nginx.web()).unwrap(), nginx.reloads()), (live, 0));
    assert_eq!(self::mounts(), mounts);
}

#[test]
#[ignore = "needs nginx and root"]
fn what_is_not_there_yet_or_is_to_go_is_so_for_the_test_alone() {
    if !can_be_made() {
        return;
    }
    let nginx = Nginx::stopped();
    std::fs::write(nginx.web(), "upstream web { server 127.0.0.1:1; }\n").unwrap();
    let (candidate, new) = (nginx.path("conf.d/.weir-api.conf.weir-new"), nginx.path("conf.d/weir-api.conf"));
    std::fs::write(&candidate, "upstream api { server 127.0.0.1:1; }\n").unwrap();
    let site = nginx.path("conf.d/site.conf");
    std::fs::write(&site, "server { listen 127.0.0.1:1; location / { proxy_pass http://web; } }\n").unwrap();
    let before = nginx.listing();
    let config = nginx.config();
    let dump = ["nginx", "-q", "-T", "-c", config.to_str().unwrap()];
    let read = |output: &Output, path: &Path| {
        let line = format!("# configuration file {}:", path.display());
        String::from_utf8_lossy(&output.stdout).lines().any(|read| read == line)
    };
    let (_, output) = within(&[], &put(&new, &candidate, &dump));
    assert!(output.status.success() && read(&output, &new) && read(&output, &nginx.web()), "{output:?}");
    std::fs::write(&candidate, "upstream web { server 127.0.0.1:1; }\n").unwrap();
    let (_, output) = within(&[], &put(&new, &candidate, &dump));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("duplicate upstream \"web\""), "{output:?}");

    // What a site names cannot go; what it does not can.
    let (told, output) = within(&[], &without(&nginx.web(), &dump));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told == "\"ready\"\n" && !output.status.success() && said.contains("host not found"), "{output:?}");
    let (_, output) = within(&[], &without(&site, &dump));
    let both = (read(&output, &site), read(&output, &nginx.web()));
    // The main file's own site asks for it all the same.
    assert_eq!((output.status.success(), both), (true, (false, true)), "{output:?}");
    assert_eq!(nginx.listing(), before);
}

#[test]
#[ignore = "needs root"]
fn a_directory_that_is_covered_shows_all_that_it_held() {
    if !can_be_made() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["d", "d/inner", "d/inner/deep"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    for name in ["candidate", "d/b", "d/.hidden", "d/inner/x", "d/old"] {
        std::fs::write(at(name), name).unwrap();
    }
    std::fs::set_permissions(at("d/b"), std::fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::chown(at("d/b"), Some(33), Some(34)).unwrap();
    std::fs::set_permissions(at("d"), std::fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::chown(at("d"), Some(0), Some(33)).unwrap();
    std::os::unix::fs::symlink("../candidate", at("d/link")).unwrap();
    nix::unistd::mkfifo(&at("d/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let (new, inner, old) = (at("d/new"), at("d/inner/y"), at("d/old"));
    let script =
        "stat -c '%n %F %a %u %g' . .hidden b link pipe inner inner/x; cat new inner/y link; ls; test ! -e old";
    let script = format!("cd {}; {script}", at("d").display());
    let (candidate, b) = (at("candidate"), at("d/b"));
    let puts = [("--put", &new), ("", &candidate), ("--put", &inner), ("", &b)];
    let mut order: Vec<&OsStr> = puts.iter().flat_map(|(flag, path)| [OsStr::new(*flag), path.as_os_str()]).collect();
    order.retain(|word| !word.is_empty());
    let test = ["sh", "-ec", &script];
    order.extend(without(&old, &test));
    let (told, output) = within(&[], &order);
    assert_eq!((told.as_str(), output.status.success()), ("\"ready\"\n", true), "{output:?}");
    let text = ". directory 750 0 33\n.hidden regular file 644 0 0\nb regular file 604 33 34\nlink symbolic link 777 0 0\n\
        pipe fifo 400 0 0\ninner directory 755 0 0\ninner/x regular file 644 0 0\ncandidated/bcandidateb\ninner\nlink\nnew\npipe\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    assert!(at("d/old").exists() && !new.exists() && !inner.exists());
}

#[test]
#[ignore = "needs root"]
fn a_target_in_a_file_system_that_cannot_be_written_is_tested_all_the_same() {
    if !can_be_made() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (candidate, read_only) = (dir.path().join("candidate"), dir.path().join("ro"));
    std::fs::write(&candidate, "new").unwrap();
    std::fs::create_dir(&read_only).unwrap();
    let mount = format!("mount -t tmpfs -o ro none {}; exec \"$@\"", read_only.display());
    let target = read_only.join("target");
    let test = ["cat", target.to_str().unwrap()];
    let order = put(&target, &candidate, &test);
    let (_, output) = within(&["unshare", "-m", "sh", "-ec", &mount, "sh"], &order);
    assert_eq!(
        (String::from_utf8_lossy(&output.stdout).as_ref(), output.status.success()),
        ("new", true),
        "{output:?}"
    );
}

#[test]
#[ignore = "needs root"]
fn where_namespaces_are_refused_that_is_told_apart_from_a_test_that_fails() {
    if !can_be_made() {
        return;
    }
    let without_right = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"];
    let (told, output) = within(&without_right, &["--", "true"].map(OsStr::new));
    assert!(told.starts_with("{\"hindered\":{\"obstacle\":\"unshare\"") && !output.status.success(), "{told}");
    let (told, output) = within(&[], &["--", "false"].map(OsStr::new));
    assert_eq!((told.as_str(), output.status.code()), ("\"ready\"\n", Some(1)));
    let (told, output) = within(&[], &["--", "/nonexistent/program"].map(OsStr::new));
    assert!(told.contains("not_run") && output.status.code() == Some(1), "{told}");
    // It is run by hand.
    let (told, output) = within(&[], &["nginx"].map(OsStr::new));
    assert_eq!((told.as_str(), output.status.code()), ("", Some(2)));
}

#[test]
#[ignore = "needs root"]
fn a_test_ends_with_who_asked_for_it() {
    if !can_be_made() {
        return;
    }
    let (mut told, teller) = io::pipe().unwrap();
    // Of the thread that starts it, as of the process.
    let started = std::thread::spawn(move || {
        let mut command = Command::new(weir_binary());
        let child = command.args(["in-mount-namespace", "--", "sleep", "600"]).stdin(teller).spawn().unwrap();
        drop(command);
        let mut text = String::new();
        told.read_to_string(&mut text).unwrap();
        assert_eq!(text, "\"ready\"\n");
        child
    });
    let mut child = started.join().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}
