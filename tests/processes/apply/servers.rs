//! Whatever is wanted, NGINX accepts the file.

use weir::apply::{Apply, Report};
use weir::nginx::{Form, Zone};
use weir::upstream::desired::{Desired, Target};
use weir::upstream::settle::Applied;
use weir::upstream::{HashKey, Method, Server, UpstreamName, Weight};

use crate::nginx::{Nginx, backend, file, load_stream, server, web};

fn methods() -> Vec<Method> {
    let hash = |consistent| Method::Hash { key: HashKey::new("$request_uri").unwrap(), consistent };
    vec![
        Method::RoundRobin,
        Method::LeastConn,
        Method::RandomTwo,
        Method::RandomTwoLeastConn,
        Method::IpHash,
        hash(false),
        hash(true),
    ]
}

#[test]
#[ignore = "needs nginx"]
fn nginx_accepts_every_method_with_every_kind_of_server() {
    let nginx = Nginx::start();
    let up = server("up", backend("up"));
    let six = Server {
        weight: Weight::new(256).unwrap(),
        max_conns: 7,
        ..server("six", "[2001:db8::7]:8080".parse().unwrap())
    };
    let down = Server { down: true, ..server("down", "10.77.0.1:80".parse().unwrap()) };
    let backup = Server { backup: true, ..server("backup", backend("backup")) };
    for method in methods() {
        for (max_fails, fail_timeout, keepalive, zone) in
            [(1, 10, 32, Zone::from_kib(64)), (0, 0, 0, None), (3, 86_400, 1, Zone::from_kib(32))]
        {
            let mut options = nginx.options();
            let block = &mut file(&mut options).block;
            (block.max_fails, block.fail_timeout, block.keepalive, block.zone) =
                (max_fails, fail_timeout, keepalive, zone);
            block.method = method.clone();
            let apply = Apply::new(options);
            let sets = [
                vec![up.clone(), six.clone(), down.clone(), backup.clone()],
                vec![down.clone()],
                vec![backup.clone()],
                vec![down.clone(), backup.clone()],
            ];
            for servers in sets {
                let outcome = apply.apply(&web(servers.clone()));
                assert!(Applied::from(&outcome).is_done(), "{method:?} {servers:?}: {outcome}");
            }
        }
    }
}

#[test]
#[ignore = "needs nginx"]
fn nobody_is_a_valid_file_that_answers_502_and_backups_alone_serve() {
    let nginx = Nginx::start();
    for form in [Form::Block, Form::Servers] {
        let mut options = nginx.options();
        if form == Form::Servers {
            std::fs::create_dir(nginx.path("lists")).unwrap();
            std::fs::write(nginx.path("lists/web.conf"), "server 127.0.0.1:1;").unwrap();
            std::fs::write(
                nginx.web(),
                format!("upstream web {{ include {}; }}", nginx.path("lists/web.conf").display()),
            )
            .unwrap();
            options.upstreams = vec![nginx.upstream("web", "lists/web.conf", form)];
        }
        let apply = Apply::new(options);
        // Without it nobody is no reason to touch what was there before.
        let outcome = apply.apply(&web([server("web", backend("one"))]));
        assert!(matches!(outcome, Report::Live { .. }), "{form:?}: {outcome}");
        let mut nobody = Desired::new(1);
        nobody.upstreams.insert(UpstreamName::new("web").unwrap(), Target::Placeholder);
        let outcome = apply.apply(&nobody);
        assert!(matches!(outcome, Report::Live { .. }), "{form:?}: {outcome}");
        assert_eq!(nginx.get(), "502");
        let backup = Server { backup: true, ..server("backup", backend("backup")) };
        let outcome = apply.apply(&web([backup]));
        assert!(matches!(outcome, Report::Live { .. }), "{form:?}: {outcome}");
        assert_eq!(nginx.get(), "backup");
    }
}

#[test]
#[ignore = "needs nginx"]
fn weights_are_what_nginx_routes_by() {
    let nginx = Nginx::start();
    let heavy = Server { weight: Weight::new(3).unwrap(), ..server("heavy", backend("heavy")) };
    let down = Server { down: true, ..server("down", backend("down")) };
    nginx.apply().apply(&web([heavy, server("light", backend("light")), down]));
    let answers: Vec<String> = (0..80).map(|_| nginx.get()).collect();
    let count = |name| answers.iter().filter(|answer| *answer == name).count();
    assert_eq!((count("heavy"), count("light"), count("down")), (60, 20, 0));
}

#[test]
#[ignore = "needs nginx and its stream module"]
fn nginx_accepts_every_golden_file_without_a_warning() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/nginx")).unwrap() {
        let golden = entry.unwrap().path();
        let text = std::fs::read_to_string(&golden).unwrap();
        let upstream = if text.contains("upstream ") { text } else { format!("upstream web {{\n{text}}}\n") };
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display();
        let is_stream = golden.file_name().unwrap().to_str().unwrap().starts_with("stream");
        let (context, load) = if is_stream { ("stream", load_stream()) } else { ("http", String::new()) };
        let config =
            format!("{load}pid {root}/pid;\nerror_log {root}/error.log;\nevents {{}}\n{context} {{\n{upstream}}}\n");
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let test = std::process::Command::new("nginx").arg("-q").arg("-t").arg("-c").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&test.stderr);
        assert!(test.status.success() && !said.contains("[warn]"), "{}: {said}", golden.display());
    }
}
