use super::*;
use crate::nginx::Context;

const OURS: &str = "/etc/nginx/conf.d/weir-web.conf";

fn block(name: &str) -> Block {
    Block::new(UpstreamName::new(name).unwrap())
}

fn parsed(stderr: &str) -> Problem {
    let (web, db) = (block("web"), Block { context: Context::Stream, ..block("db") });
    let stream = Ours { path: Path::new("/etc/nginx/stream.d/weir-db.conf"), block: &db };
    parse_test_output(stderr, &[Ours { path: Path::new(OURS), block: &web }, stream]).unwrap()
}

#[test]
fn message_file_and_line_are_taken_apart() {
    let problem = parsed(
        "nginx: [emerg] unknown directive \"prox_pass\" in /etc/nginx/sites-enabled/shop:7\n\
         nginx: configuration file /etc/nginx/nginx.conf test failed\n",
    );
    assert_eq!(problem.message, "unknown directive \"prox_pass\"");
    assert_eq!(problem.file.as_deref(), Some(Path::new("/etc/nginx/sites-enabled/shop")));
    assert_eq!((problem.line, problem.ours), (Some(7), false));
    assert_eq!(problem.to_string(), "unknown directive \"prox_pass\" in /etc/nginx/sites-enabled/shop:7");
}

#[test]
fn our_own_file_is_recognised_and_one_that_only_ends_like_it_is_not() {
    assert!(parsed(&format!("nginx: [emerg] no servers are inside upstream in {OURS}:3")).ours);
    assert!(!parsed(&format!("nginx: [emerg] no servers are inside upstream in /srv{OURS}:3")).ours);
}

#[test]
fn the_most_severe_line_counts_and_not_the_first() {
    let problem = parsed(
        "nginx: [alert] could not open error log file: open() \"/var/log/nginx/error.log\" failed (13: Permission denied)\n\
         2026/11/24 23:22:01 [warn] 812#812: the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored in /etc/nginx/nginx.conf:1\n\
         2026/11/24 23:22:01 [emerg] 812#812: open() \"/run/nginx.pid\" failed (13: Permission denied)\n\
         nginx: configuration file /etc/nginx/nginx.conf test failed\n",
    );
    assert_eq!(problem.message, "open() \"/run/nginx.pid\" failed (13: Permission denied)");
    assert_eq!((problem.file, problem.line), (None, None));
}

#[test]
fn words_without_a_level_are_kept_and_summaries_are_not() {
    assert_eq!(parsed("nginx: invalid option: \"x\"\n").message, "invalid option: \"x\"");
    assert_eq!(parse_test_output("", &[]), None);
    assert_eq!(parse_test_output("\nnginx: configuration file /etc/nginx/nginx.conf test failed\n", &[]), None);
}

#[test]
fn a_file_name_with_blanks_and_colons_is_found() {
    let problem = parsed("nginx: [emerg] unexpected \"}\" in /etc/nginx/my sites in use/a:b:12");
    assert_eq!(problem.file.as_deref(), Some(Path::new("/etc/nginx/my sites in use/a:b")));
    assert_eq!(problem.line, Some(12));
}

#[test]
fn what_reaches_a_terminal_is_harmless_and_short() {
    let problem = parsed(&format!("nginx: [emerg] unknown directive \"\u{1b}[31m{}\" in /x:1", "a".repeat(5000)));
    assert!(!problem.message.contains('\u{1b}') && problem.message.len() < 1100, "{}", problem.message.len());
}

#[test]
fn known_problems_name_their_way_out() {
    let remedy = |stderr: &str| parsed(stderr).remedy();
    assert_eq!(
        remedy("nginx: [emerg] bind() to 0.0.0.0:443 failed (98: Address already in use)").unwrap(),
        "see 'ss -ltnp sport = :443'"
    );
    assert_eq!(remedy("nginx: [emerg] unknown directive \"x\" in /x:1"), None);
}

#[test]
fn what_the_words_are_about_is_taken_from_them() {
    let shop = parsed("nginx: [emerg] open() \"/srv/logs/shop.log\" failed (30: Read-only file system)");
    assert_eq!((shop.read_only(), shop.is_denied()), (Some(Path::new("/srv/logs/shop.log")), true));
    let temp = parsed("nginx: [emerg] mkdir() \"/srv/temp\" failed (30: Read-only file system)");
    assert_eq!(temp.read_only(), Some(Path::new("/srv/temp")));
    let twice = parsed("nginx: [emerg] duplicate upstream \"web\" in /etc/nginx/sites-enabled/shop:3");
    assert_eq!((twice.read_only(), twice.duplicate()), (None, Some("web")));
}

#[test]
fn what_is_not_there_is_named() {
    for (words, missing) in [
        (
            "open() \"/etc/nginx/web.servers\" failed (2: No such file or directory) in /etc/nginx/sites-enabled/shop:3",
            Some(Missing::File("/etc/nginx/web.servers".into())),
        ),
        (
            "host not found in upstream \"web\" in /etc/nginx/sites-enabled/shop:3",
            Some(Missing::Upstream("web".into())),
        ),
        ("open() \"/run/nginx.pid\" failed (13: Permission denied)", None),
        ("unknown directive \"x\" in /x:1", None),
    ] {
        assert_eq!(parsed(&format!("nginx: [emerg] {words}\n")).missing(), missing, "{words}");
    }
}

#[test]
fn a_full_zone_of_ours_is_told_from_one_of_somebody_elses() {
    let full = |zone: &str| {
        parsed(&format!(
            "nginx: [crit] ngx_slab_alloc() failed: no memory in upstream zone \"{zone}\"\n\
             nginx: configuration file /etc/nginx/nginx.conf test failed\n"
        ))
    };
    let (ours, theirs, stream) = (full("web"), full("api"), full("db_stream"));
    assert_eq!((ours.ours, theirs.ours, stream.ours, full("db").ours), (true, false, true, false));
    assert_eq!(stream.remedy().unwrap(), "it has more servers than fit: set upstream.db.nginx.zone = \"auto\"");
    assert_eq!(ours.remedy().unwrap(), "it has more servers than fit: set upstream.web.nginx.zone = \"auto\"");
    assert_eq!(
        theirs.remedy().unwrap(),
        "it has more servers than fit: write a larger 'zone api' into that upstream block of yours"
    );
}

#[test]
fn only_the_masters_own_complaint_is_taken_from_its_log() {
    let log = "2026/11/24 23:22:01 [emerg] 99#99: another process\n\
               2026/11/24 23:22:01 [notice] 812#812: signal process started\n\
               2026/11/24 23:22:01 [emerg] 812#812: bind() to 0.0.0.0:443 failed (98: Address already in use)\n\
               2026/11/24 23:22:04 [emerg] 812#812: still could not bind()\n";
    let problem = parse_log(log, 812, &[]).unwrap();
    assert_eq!(problem.message, "bind() to 0.0.0.0:443 failed (98: Address already in use)");
    assert_eq!(parse_log(log, 81, &[]), None);
}

proptest::proptest! {
    #[test]
    fn any_output_is_read_without_panic_and_within_bounds(stderr: String) {
        let web = block("web");
        if let Some(problem) = parse_test_output(&stderr, &[Ours { path: Path::new(OURS), block: &web }]) {
            assert!(problem.message.len() <= MAX_MESSAGE + 8);
            let _ = problem.remedy();
        }
    }

    #[test]
    fn any_place_is_read_without_panic(words in "( in /| in |/|:|[0-9]|é|\\PC){0,24}") {
        let _ = parse_test_output(&format!("nginx: [emerg] {words}"), &[]);
    }
}
