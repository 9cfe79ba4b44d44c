use super::super::finding::summary;
use super::*;
use crate::nginx::parse;

const CONFIG: &str = "/etc/nginx/nginx.conf";

/// NGINX 1.22 with one upstream, and this configuration. `include` of our file is followed as `nginx §7` has it.
fn facts(text: &str) -> Nginx {
    Nginx {
        outputs: vec![output(Form::Block)],
        config: CONFIG.into(),
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
    Output {
        upstream: "web".to_owned(),
        path: path.into(),
        form,
        context: Context::Http,
        exists: true,
        keepalive: false,
        zone: Some(Zone::Auto),
        servers: 0,
    }
}

const HEAD: &str = "worker_shutdown_timeout 60s; http { include conf.d/*.conf; ";

/// Findings of a site, those that every NGINX of that version has left out.
fn found(facts: &Nginx) -> Vec<String> {
    summary(&nginx(facts)).into_iter().filter(|line| line != "info nginx.keepalive nginx").collect()
}

fn trouble(what: &str, way_out: &str) -> Trouble {
    Trouble { what: what.to_owned(), way_out: way_out.to_owned() }
}

fn refused(what: &str, missing: Option<Missing>) -> Option<Result<(), Refused>> {
    Some(Err(Refused { trouble: trouble(what, ""), missing }))
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
    let missing = || Some(trouble("nginx is not installed, upstream web waits", "'apt install nginx'"));
    for (facts, wanted) in [
        (Nginx { missing: missing(), ..site(GOOD) }, "error nginx.installed nginx"),
        (Nginx { version: None, ..site(GOOD) }, "skip nginx.version nginx"),
        (Nginx { master: Some(Master::Stopped), ..site(GOOD) }, "error nginx.running nginx"),
        (
            Nginx { master: Some(Master::Odd(trouble("pid 3 is a worker", "see it"))), ..site(GOOD) },
            "warn nginx.running nginx",
        ),
        (Nginx { master: Some(Master::Running { pid: 1, leaving: 5 }), ..site(GOOD) }, "warn nginx.workers nginx"),
        (Nginx { test: refused("unknown directive \"x\"", None), ..site(GOOD) }, "error nginx.test nginx"),
        (Nginx { test: None, ..site(GOOD) }, "skip nginx.test nginx"),
        (
            Nginx { no_stream: Some(trouble("this nginx has no stream module", "install it")), ..site(GOOD) },
            "error nginx.stream nginx",
        ),
        (Nginx { selinux_denies: true, ..site(GOOD) }, "error nginx.selinux nginx"),
        (Nginx { cannot_cut: true, ..site(GOOD) }, "warn nginx.cut nginx"),
        (Nginx { unheard: Some("/run/weir-apply.sock".into()), ..site(GOOD) }, "error nginx.helper weir apply"),
        (unread(Why::Denied), "skip nginx.config /etc/nginx/x"),
        (unread(Why::Unusable("not a regular file".into())), "skip nginx.config /etc/nginx/x"),
        (unread(Why::TooDeep { line: 3 }), "skip nginx.config /etc/nginx/x"),
    ] {
        assert_eq!(found(&facts), [wanted]);
    }
    assert!(found(&Nginx { outputs: Vec::new(), missing: missing(), ..site(GOOD) }).is_empty());
    let unheard = || Some("/run/weir-apply.sock".into());
    let alone = Nginx { outputs: Vec::new(), templates: true, unheard: unheard(), missing: missing(), ..site(GOOD) };
    assert_eq!(found(&alone), ["error nginx.helper weir apply"], "templates wait for it, too");
    let both = found(&Nginx { unheard: unheard(), missing: missing(), ..site(GOOD) });
    assert_eq!(both, ["error nginx.installed nginx"]);
}

#[test]
fn what_nginx_lacks_until_weir_has_written_it_is_not_the_sites_to_mend() {
    let file = || Some(Missing::File("/etc/nginx/conf.d/weir-web.conf".into()));
    let upstream = |name: &str| Some(Missing::Upstream(name.to_owned()));
    let (waits, broken) = ("warn nginx.test nginx", "error nginx.test nginx");
    for (missing, exists, wanted) in [
        (file(), false, waits),
        (file(), true, broken),
        (upstream("web"), false, waits),
        (upstream("web"), true, broken),
        (upstream("api"), false, broken),
        (Some(Missing::File("/etc/nginx/other".into())), false, broken),
        (None, false, broken),
    ] {
        let outputs = vec![Output { exists, ..output(Form::Block) }];
        let facts = Nginx { outputs, test: refused("no", missing.clone()), ..site(GOOD) };
        assert_eq!(found(&facts), [wanted], "{missing:?} {exists}");
    }
}

#[test]
fn a_zone_is_tight_by_the_servers_that_are_wanted_or_in_the_file() {
    let message = |facts: &Nginx| {
        let findings = nginx(facts);
        let zone = findings.iter().find(|finding| finding.id == "nginx.zone");
        zone.map(|zone| format!("{}; {}", zone.message, zone.remedy.as_deref().unwrap_or_default()))
    };
    let ours = |zone, servers| {
        let output = Output { zone, servers, ..output(Form::Block) };
        message(&Nginx { outputs: vec![output], ..site(GOOD) })
    };
    assert_eq!(ours(Some(Zone::Auto), 4000), None);
    assert_eq!(ours(None, 4000), None);
    assert_eq!(ours(Some(Zone::Fixed(64)), 40), None);
    assert_eq!(
        ours(Some(Zone::Fixed(64)), 60).unwrap(),
        "the zone of upstream web, 64k, is full or nearly so with 60 servers: NGINX refuses more; \
         set upstream.web.nginx.zone = \"auto\""
    );

    let theirs = |zone: &str, servers: usize| {
        let lines = "server 10.0.0.1;".repeat(servers);
        let text = format!("{HEAD}\n upstream web {{ {zone} {lines} include /etc/nginx/web.servers; }} }}");
        message(&Nginx { outputs: vec![output(Form::Servers)], ..facts(&text) })
    };
    assert_eq!(theirs("zone web 64k;", 40), None);
    assert_eq!(theirs("", 4000), None);
    assert_eq!(
        theirs("zone web 64k;", 60).unwrap(),
        "the zone of upstream web, 64k, is full or nearly so with 60 servers: NGINX refuses more; \
         write 'zone web 128k;' (nginx.conf:2)"
    );
}

#[test]
fn a_consistent_hash_over_much_weight_is_named_with_what_it_costs() {
    let message = |method: &str, weight: u32| {
        let text = format!("{HEAD}\n upstream web {{ {method} server 10.0.0.1 weight={weight}; server 10.0.0.2; }} }}");
        let findings = nginx(&Nginx { outputs: vec![output(Form::Servers)], ..facts(&text) });
        findings.iter().find(|finding| finding.id == "nginx.hash").map(|hash| hash.message.clone())
    };
    assert_eq!(message("hash $uri consistent;", 19_999), None);
    assert_eq!(message("hash $uri;", 65_535), None);
    assert_eq!(message("", 65_535), None);
    assert_eq!(
        message("hash $uri consistent;", 45_999).unwrap(),
        "the weights of upstream web add up to 46000: its consistent hash costs NGINX 2 s and 230 MB at every reload"
    );
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
fn the_shipped_site_leaves_nothing_to_advise() {
    let shipped = include_str!("../../../../etc/site.conf");
    let keepalive = Output { keepalive: true, ..output(Form::Block) };
    let facts = Nginx { outputs: vec![keepalive], ..facts(&format!("{HEAD} {shipped} }}")) };
    assert!(found(&facts).is_empty(), "{:?}", found(&facts));
    // Where NGINX knows it the line that is a comment for others is what is missing.
    let newest = shipped.replace("#keepalive_min_timeout", "keepalive_min_timeout");
    let (version, features) = (Version::parse("1.30.0"), vec![Feature::KeepaliveMinTimeout]);
    let facts =
        Nginx { version, features, tree: parse(Path::new(CONFIG), &format!("{HEAD} {newest} }}")).unwrap(), ..facts };
    assert!(summary(&nginx(&facts)).is_empty(), "{:?}", summary(&nginx(&facts)));
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
    let lines = |version: &str, features: &[Feature], text: &str| {
        let version = Version::parse(version);
        summary(&nginx(&Nginx { version, features: features.to_vec(), ..facts(text) }))
    };
    let min_timeout = [Feature::KeepaliveMinTimeout];
    assert_eq!(lines("1.11.10", &[], &text), ["info nginx.shutdown nginx", "info nginx.keepalive nginx"]);
    assert_eq!(lines("1.22.1", &[], &text), ["warn nginx.shutdown nginx", "info nginx.keepalive nginx"]);
    assert_eq!(lines("1.27.4", &min_timeout, &text), ["warn nginx.shutdown nginx", "warn nginx.keepalive nginx"]);
    assert_eq!(lines("1.27.4", &[], &text)[1], "info nginx.keepalive nginx", "it did not take it");
    let set = format!("worker_shutdown_timeout 1m; {}", text.replace("http {", "http { keepalive_min_timeout 1s;"));
    assert!(lines("1.29.0", &min_timeout, &set).is_empty());
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

/// A server in `stream { }` for upstream `db`, whose file is included as `include` says.
fn stream(include: &str, server: &str) -> Nginx {
    let server = format!("server {{ listen 5432; {server} }} }}");
    // There may be one block of streams alone.
    let text = match include.strip_suffix('}').filter(|include| include.contains("stream {")) {
        Some(open) => format!("worker_shutdown_timeout 60s; {open} {server}"),
        None => format!("worker_shutdown_timeout 60s; {include} stream {{ {server}"),
    };
    let db = Output {
        upstream: "db".to_owned(),
        path: "/etc/nginx/stream.d/weir-db.conf".into(),
        context: Context::Stream,
        ..output(Form::Block)
    };
    Nginx { outputs: vec![db], ..facts(&text) }
}

#[test]
fn a_stream_is_read_used_and_retried_in_its_own_block() {
    let (good, none): (_, &[&str]) = ("proxy_connect_timeout 500ms; proxy_pass db;", &[]);
    let (included, wrong) =
        ("stream { include stream.d/*.conf; }", "error nginx.include /etc/nginx/stream.d/weir-db.conf");
    for (include, server, wanted) in [
        (included, good, none),
        ("", good, &[wrong][..]),
        ("http { include stream.d/*.conf; }", good, &[wrong]),
        (included, "proxy_pass db;", &["warn nginx.timeouts nginx.conf"]),
        (
            included,
            "proxy_connect_timeout 1s; proxy_pass db; proxy_next_upstream off;",
            &["warn nginx.retries nginx.conf"],
        ),
        (included, "proxy_connect_timeout 1s; proxy_pass db; proxy_timeout 10m; proxy_next_upstream on;", none),
        (included, "proxy_pass other:1;", &["info nginx.used db"]),
        ("stream { include stream.d/*.conf; upstream db { server 10.0.0.1:1; } }", good, &["error nginx.duplicate db"]),
        ("http { upstream db { server 10.0.0.1:1; } } stream { include stream.d/*.conf; }", good, none),
        (
            "http { server { location / { proxy_pass http://db; } } } stream { include stream.d/*.conf; }",
            "",
            &["info nginx.used db"],
        ),
    ] {
        assert_eq!(found(&stream(include, server)), wanted, "{include} {server}");
    }
}

#[test]
fn a_server_that_is_reached_by_udp_alone_waits_for_no_connection() {
    let none: &[&str] = &[];
    let waits = &["warn nginx.timeouts nginx.conf", "warn nginx.retries nginx.conf"][..];
    for (listens, wanted) in [
        ("listen 53 udp;", none),
        ("listen 53 udp reuseport; listen [::]:53 udp;", none),
        ("listen 53; listen 53 udp;", waits),
        ("listen 53;", waits),
        ("", waits),
    ] {
        let text = format!(
            "worker_shutdown_timeout 60s; stream {{ include stream.d/*.conf; \
             server {{ {listens} proxy_pass db; proxy_next_upstream off; }} }}"
        );
        let facts = Nginx { tree: parse(Path::new(CONFIG), &text).unwrap(), ..stream("", "") };
        assert_eq!(found(&facts), wanted, "{listens}");
    }
}

#[test]
fn the_block_that_a_stream_lacks_is_named_whole() {
    let remedy = |include: &str| {
        let findings = nginx(&stream(include, ""));
        findings
            .iter()
            .find(|finding| finding.id == "nginx.include")
            .and_then(|finding| finding.remedy.clone())
            .unwrap()
    };
    assert_eq!(remedy("stream { }"), "add 'include /etc/nginx/stream.d/*.conf;' inside stream { }");
    let bare = Nginx { tree: parse(Path::new(CONFIG), "http { }").unwrap(), ..stream("", "") };
    let findings = nginx(&bare);
    let found = findings.iter().find(|finding| finding.id == "nginx.include").unwrap();
    assert_eq!(
        found.remedy.as_deref(),
        Some("add 'stream { include /etc/nginx/stream.d/*.conf; }' to /etc/nginx/nginx.conf")
    );
}
