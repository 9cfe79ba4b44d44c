use super::super::finding::summary;
use super::*;
use crate::nginx::parse;

const CONFIG: &str = "/etc/nginx/nginx.conf";

/// NGINX 1.22 with one upstream, and this configuration. `include` of our file is followed as `nginx §7` has it.
fn facts(text: &str) -> Nginx {
    Nginx {
        outputs: vec![output(Form::Block)],
        config: CONFIG.into(),
        installed: true,
        version: Version::parse("1.22.1"),
        unit: "nginx.service".to_owned(),
        master: Some(Master::Running { pid: 1, leaving: 0 }),
        tree: parse(Path::new(CONFIG), text).unwrap(),
        test: Some(Ok(())),
        ..Nginx::default()
    }
}

fn output(form: Form) -> Output {
    let path = match form {
        Form::Block => "/etc/nginx/conf.d/weir-web.conf",
        Form::Servers => "/etc/nginx/web.servers",
    };
    Output { upstream: "web".to_owned(), path: path.into(), form, keepalive: false }
}

const HEAD: &str = "worker_shutdown_timeout 60s; http { include conf.d/*.conf; ";

/// Findings of a site, those that every NGINX of that version has left out.
fn found(facts: &Nginx) -> Vec<String> {
    summary(&nginx(facts)).into_iter().filter(|line| line != "info nginx.keepalive nginx").collect()
}

fn trouble(what: &str, way_out: &str) -> Trouble {
    Trouble { what: what.to_owned(), way_out: way_out.to_owned() }
}

fn unread(why: Why) -> Nginx {
    Nginx { unread: vec![Unread { path: "/etc/nginx/x".into(), why }], ..site(GOOD) }
}

fn site(location: &str) -> Nginx {
    facts(&format!("{HEAD} server {{ server_name shop;\n location / {{ {location} }} }} }}"))
}

const GOOD: &str = "proxy_pass http://web; proxy_connect_timeout 500ms; proxy_read_timeout 10s;";

#[test]
fn a_good_site_has_no_findings() {
    assert!(found(&site(GOOD)).is_empty());
}

#[test]
fn installed_running_tested() {
    for (facts, wanted) in [
        (Nginx { installed: false, ..site(GOOD) }, "error nginx.installed nginx"),
        (Nginx { version: None, ..site(GOOD) }, "skip nginx.version nginx"),
        (Nginx { master: Some(Master::Stopped), ..site(GOOD) }, "error nginx.running nginx"),
        (
            Nginx { master: Some(Master::Odd(trouble("pid 3 is a worker", "see it"))), ..site(GOOD) },
            "warn nginx.running nginx",
        ),
        (Nginx { master: Some(Master::Running { pid: 1, leaving: 5 }), ..site(GOOD) }, "warn nginx.workers nginx"),
        (Nginx { test: Some(Err(trouble("unknown directive \"x\"", ""))), ..site(GOOD) }, "error nginx.test nginx"),
        (Nginx { test: None, ..site(GOOD) }, "skip nginx.test nginx"),
        (Nginx { selinux_denies: true, ..site(GOOD) }, "error nginx.selinux nginx"),
        (unread(Why::Denied), "skip nginx.config /etc/nginx/x"),
        (unread(Why::Unusable("not a regular file".into())), "skip nginx.config /etc/nginx/x"),
        (unread(Why::TooDeep { line: 3 }), "skip nginx.config /etc/nginx/x"),
    ] {
        assert_eq!(found(&facts), [wanted]);
    }
    assert!(found(&Nginx { outputs: Vec::new(), installed: false, ..site(GOOD) }).is_empty());
}

#[test]
fn our_file_must_be_read_where_it_belongs() {
    let with = |include: &str, form| {
        let text = format!("worker_shutdown_timeout 1s; {include} server {{ location / {{ {GOOD} }} }}");
        let text = text.replace("server {", "http { server {") + "}";
        let text = if include.is_empty() { text } else { text.replace("http { server", "server") };
        Nginx { outputs: vec![output(form)], ..facts(&text) }
    };
    let block = "error nginx.include /etc/nginx/conf.d/weir-web.conf";
    let servers = "error nginx.include /etc/nginx/web.servers";
    let none: &[&str] = &[];
    for (include, form, wanted) in [
        ("", Form::Block, &[block][..]),
        ("http { include conf.d/*.conf;", Form::Block, none),
        ("http { include /etc/nginx/conf.d/weir-*.conf;", Form::Block, none),
        ("include conf.d/*.conf; http { ", Form::Block, &[block]),
        ("http { upstream web { include /etc/nginx/web.servers; }", Form::Servers, none),
        ("http { include /etc/nginx/web.servers;", Form::Servers, &[servers]),
        ("", Form::Servers, &[servers]),
    ] {
        assert_eq!(found(&with(include, form)), wanted, "{include}");
    }
}

#[test]
fn an_upstream_of_the_same_name_elsewhere_is_named_with_its_place() {
    let facts = facts(&format!("{HEAD}\n upstream web {{ server 10.0.0.1; }} server {{ location / {{ {GOOD} }} }} }}"));
    assert_eq!(found(&facts), ["error nginx.duplicate web"]);
    let findings = nginx(&facts);
    let message = &findings.iter().find(|finding| finding.id == "nginx.duplicate").unwrap().message;
    assert_eq!(message, "upstream \"web\" is defined twice: conf.d/weir-web.conf and nginx.conf:2");
}

#[test]
fn waits_are_judged_by_what_is_inherited() {
    let none: &[&str] = &[];
    let (warn, info) = ("warn nginx.timeouts shop", "info nginx.timeouts shop");
    for (outer, location, wanted) in [
        ("", "proxy_pass http://web;", &[warn, info][..]),
        ("", "proxy_pass http://web/; proxy_connect_timeout 2; proxy_read_timeout 30;", none),
        ("", "proxy_pass https://web; proxy_connect_timeout 2001ms; proxy_read_timeout 30s;", &[warn]),
        ("proxy_connect_timeout 500ms; proxy_read_timeout 5s;", "proxy_pass http://web;", none),
        (
            "proxy_connect_timeout 500ms; proxy_read_timeout 5s;",
            "proxy_pass http://web; proxy_connect_timeout 1m;",
            &[warn],
        ),
        ("", "fastcgi_pass web; fastcgi_connect_timeout 1s;", &[info]),
        ("", "grpc_pass grpc://web; proxy_connect_timeout 1s; proxy_read_timeout 1s;", &[warn, info]),
        ("", "proxy_pass http://other; ", &["info nginx.used web"]),
        ("", "proxy_pass http://web$request_uri;", &[warn, info]),
        ("", "proxy_pass http://web?shop;", &[warn, info]),
        ("", "proxy_pass http://$web;", &["info nginx.used web"]),
    ] {
        let text = format!("{HEAD} {outer} server {{ server_name shop; location / {{ {location} }} }} }}");
        assert_eq!(found(&facts(&text)), wanted, "{outer} {location}");
    }
}

#[test]
fn the_sentence_about_waits_is_that_of_the_transcript() {
    let findings = nginx(&site("proxy_pass http://web; proxy_read_timeout 1s;\n proxy_connect_timeout 60s;"));
    let finding = findings.iter().find(|finding| finding.id == "nginx.timeouts").unwrap();
    assert_eq!(
        finding.message,
        "site 'shop' uses proxy_connect_timeout 60s: a silent server costs its clients up to 60 s"
    );
    assert_eq!(finding.remedy.as_deref(), Some("set 500ms (nginx.conf:3)"));
}

#[test]
fn what_is_tried_elsewhere() {
    let none: &[&str] = &[];
    for (set, wanted) in [
        ("proxy_next_upstream error timeout;", none),
        ("proxy_next_upstream error timeout http_502;", none),
        ("proxy_next_upstream off;", &["warn nginx.retries shop"][..]),
        ("proxy_next_upstream error;", &["warn nginx.retries shop"]),
        ("proxy_next_upstream error timeout non_idempotent;", &["info nginx.retries shop"]),
    ] {
        assert_eq!(found(&site(&format!("{GOOD} {set}"))), wanted, "{set}");
    }
}

#[test]
fn kept_connections_need_a_site_that_keeps_them() {
    let kept = |location: &str, version: &str| {
        let keepalive = Output { keepalive: true, ..output(Form::Block) };
        let facts =
            Nginx { outputs: vec![keepalive], version: Version::parse(version), ..site(&format!("{GOOD} {location}")) };
        found(&facts).contains(&"info nginx.upstream_keepalive shop".to_owned())
    };
    assert!(kept("", "1.22.1"));
    assert!(kept("proxy_http_version 1.1;", "1.22.1"));
    assert!(!kept("proxy_http_version 1.1; proxy_set_header Connection \"\";", "1.22.1"));
    assert!(!kept("proxy_http_version 1.1; proxy_set_header Connection $upgrade;", "1.22.1"));
    assert!(!kept("", "1.29.7"));
}

#[test]
fn versions_decide_what_can_be_asked_for() {
    let text = format!("http {{ include conf.d/*.conf; server {{ location / {{ {GOOD} }} }} }}");
    let lines = |version: &str, text: &str| summary(&nginx(&Nginx { version: Version::parse(version), ..facts(text) }));
    assert_eq!(lines("1.11.10", &text), ["info nginx.shutdown nginx", "info nginx.keepalive nginx"]);
    assert_eq!(lines("1.22.1", &text), ["warn nginx.shutdown nginx", "info nginx.keepalive nginx"]);
    assert_eq!(lines("1.27.4", &text), ["warn nginx.shutdown nginx", "warn nginx.keepalive nginx"]);
    let set = format!("worker_shutdown_timeout 1m; {}", text.replace("http {", "http { keepalive_min_timeout 1s;"));
    assert!(lines("1.29.0", &set).is_empty());
}

#[test]
fn times_are_nginxs() {
    for (text, ms) in [
        ("500ms", Some(500)),
        ("60", Some(60_000)),
        ("1m30s", Some(90_000)),
        ("1h", Some(3_600_000)),
        ("$x", None),
        ("", None),
    ] {
        assert_eq!(sites::time(text).map(|time| time.as_millis()), ms, "{text}");
    }
}
