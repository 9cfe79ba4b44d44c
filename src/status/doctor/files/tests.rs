use super::super::access::Permission::{self, Denied, Granted, Missing, ReadOnly};
use super::super::finding::{Finding, summary};
use super::super::handlers::ProtectSystem;
use super::*;

const WEIR: u32 = 990;

fn user(uid: u32, name: &str) -> User {
    User { uid, name: name.to_owned(), groups: vec![uid] }
}

fn stat(mode: u32, uid: u32) -> Stat {
    let name = |id| if id == 0 { "root".to_owned() } else { format!("u{id}") };
    Stat { mode, uid, gid: uid, owner: name(uid), group: name(uid), directory: false, mount: false, acl: false }
}

fn found(agent: Option<User>, purpose: Purpose, stat: Option<Stat>) -> Vec<String> {
    let file = File { purpose, path: "/f".to_owned(), stat, denied: false, access: None };
    let facts = Files { agent, files: vec![file], rpc_group: Some("u990".to_owned()), ..Files::default() };
    summary(&files(&facts))
}

#[test]
fn who_may_do_what() {
    let weir = || Some(user(WEIR, "weir"));
    let config = Purpose::Config { secret: false };
    let none: &[&str] = &[];
    for (purpose, agent, stat, wanted) in [
        (Purpose::Keyring, weir(), stat(0o600, WEIR), none),
        (Purpose::Keyring, weir(), stat(0o644, WEIR), &["error files.keyring /f"]),
        (Purpose::Keyring, weir(), stat(0o640, WEIR), &["error files.keyring /f"]),
        // Root's ring is mute for an agent that is not root.
        (Purpose::Keyring, weir(), stat(0o600, 0), &["error files.keyring /f"]),
        (Purpose::Keyring, Some(user(0, "root")), stat(0o600, WEIR), none),
        (Purpose::Keyring, None, stat(0o600, 0), none),
        (Purpose::Token, weir(), stat(0o604, WEIR), &["error files.token /f"]),
        (config, weir(), Stat { gid: WEIR, ..stat(0o640, 0) }, none),
        (config, weir(), stat(0o644, 0), none),
        (config, weir(), stat(0o600, 0), &["error files.config /f"]),
        (config, weir(), Stat { gid: WEIR, ..stat(0o660, 0) }, &["warn files.config /f"]),
        (config, weir(), stat(0o664, 0), none),
        (config, weir(), stat(0o646, 0), &["error files.config /f"]),
        (config, weir(), stat(0o644, 7), &["warn files.config /f"]),
        (Purpose::Config { secret: true }, weir(), stat(0o644, 0), &["error files.config /f"]),
        (Purpose::Snapshot, weir(), stat(0o644, WEIR), none),
        (Purpose::Snapshot, weir(), stat(0o644, 0), &["error files.snapshot /f"]),
        (Purpose::KeyState, weir(), stat(0o600, WEIR), none),
        (Purpose::KeyState, weir(), stat(0o600, 0), &["error files.keystate /f"]),
        (Purpose::Record, weir(), stat(0o700, WEIR), none),
        (Purpose::Record, weir(), stat(0o700, 0), &["error files.record /f"]),
        (Purpose::Record, Some(user(0, "root")), stat(0o700, 0), none),
        (Purpose::Directory, weir(), stat(0o750, WEIR), none),
        (Purpose::Directory, weir(), stat(0o755, 0), &["error files.directory /f"]),
        (Purpose::Directory, weir(), stat(0o777, 0), &["error files.directory /f"]),
        (Purpose::Directory, weir(), stat(0o1777, 0), none),
        (Purpose::Output, weir(), stat(0o755, 0), &["error files.output /f"]),
        (Purpose::Output, Some(user(0, "root")), stat(0o755, 0), none),
        (Purpose::Socket, weir(), stat(0o660, WEIR), none),
        (Purpose::Socket, weir(), stat(0o666, WEIR), &["error files.socket /f"]),
        (Purpose::Socket, weir(), stat(0o660, 0), &["warn files.socket /f"]),
    ] {
        assert_eq!(found(agent, purpose, Some(stat.clone())), wanted, "{purpose:?} {stat:?}");
    }
}

#[test]
fn a_file_of_ones_own_is_trusted_where_one_runs_the_agent_oneself() {
    let own = user(1000, "ana");
    let file =
        |purpose| File { purpose, path: "/f".to_owned(), stat: Some(stat(0o644, 1000)), denied: false, access: None };
    let facts = |agent| Files {
        agent,
        asker: own.clone(),
        files: vec![file(Purpose::Config { secret: false })],
        ..Files::default()
    };
    assert!(summary(&files(&facts(None))).is_empty());
    assert!(summary(&files(&facts(Some(own.clone())))).is_empty());
    assert_eq!(summary(&files(&facts(Some(user(WEIR, "weir"))))), ["warn files.config /f"]);
}

#[test]
fn mounts_absence_and_closed_doors() {
    let mount = || Some(Stat { mount: true, ..stat(0o600, WEIR) });
    assert_eq!(found(None, Purpose::Keyring, mount()), ["error files.keyring /f"]);
    assert_eq!(found(None, Purpose::Snapshot, mount()), ["error files.snapshot /f"]);
    assert!(found(None, Purpose::Directory, Some(Stat { mount: true, ..stat(0o750, WEIR) })).is_empty());
    assert!(found(None, Purpose::KeyState, None).is_empty() && found(None, Purpose::Record, None).is_empty());
    assert_eq!(found(None, Purpose::Output, None), ["error files.output /f"]);
    assert_eq!(found(None, Purpose::Directory, None), ["error files.directory /f"]);
    assert!(found(None, Purpose::Keyring, None).is_empty());
    // Told once, with its contents.
    let directory = || Some(Stat { directory: true, ..stat(0o755, 0) });
    for purpose in [Purpose::Keyring, Purpose::Token] {
        assert!(found(Some(user(WEIR, "weir")), purpose, directory()).is_empty(), "{purpose:?}");
    }
    // Where the agent looks: the unit may mount what is no mount elsewhere, and the other way round.
    for (there, here, told) in [(true, false, &["error files.keyring /f"][..]), (false, true, &[])] {
        let ring = File {
            purpose: Purpose::Keyring,
            path: "/f".to_owned(),
            stat: Some(Stat { mount: here, ..stat(0o600, WEIR) }),
            denied: false,
            access: access(Granted, Granted, Denied, None).map(|access| Access { mount: there, ..access }),
        };
        assert_eq!(summary(&files(&Files { files: vec![ring], ..Files::default() })), told);
    }
    let denied = File { purpose: Purpose::Keyring, path: "/f".to_owned(), stat: None, denied: true, access: None };
    let facts = Files { files: vec![denied], ..Files::default() };
    assert_eq!(summary(&files(&facts)), ["skip files.keyring /f"]);
}

#[test]
fn an_access_control_list_is_not_guessed_at() {
    let listed = |mode, uid| Stat { acl: true, ..stat(mode, uid) };
    let none: &[&str] = &[];
    let config = Purpose::Config { secret: false };
    for (purpose, agent, stat, wanted) in [
        (config, user(WEIR, "weir"), listed(0o640, 0), &["skip files.config /f"][..]),
        (config, user(WEIR, "weir"), listed(0o664, 0), &["skip files.config /f", "skip files.config /f"]),
        (config, user(0, "root"), listed(0o640, 0), none),
        (Purpose::Output, user(WEIR, "weir"), listed(0o775, 0), &["skip files.output /f"]),
        // The owner's bits are still the owner's.
        (Purpose::Snapshot, user(WEIR, "weir"), listed(0o660, WEIR), none),
        (Purpose::Snapshot, user(WEIR, "weir"), listed(0o460, WEIR), &["error files.snapshot /f"]),
    ] {
        assert_eq!(found(Some(agent), purpose, Some(stat.clone())), wanted, "{purpose:?} {stat:?}");
    }
}

#[test]
fn the_unit_may_keep_an_output_from_the_agent() {
    let file = |path: &str| File {
        purpose: Purpose::Output,
        path: path.to_owned(),
        stat: Some(stat(0o755, 0)),
        denied: false,
        access: None,
    };
    let found = |path: &str| {
        let sandbox = Sandbox {
            protect_system: ProtectSystem::Full,
            writable: vec!["/etc/haproxy".to_owned()],
            ..Sandbox::default()
        };
        let root = Some(user(0, "root"));
        summary(&files(&Files { agent: root, sandbox: Some(sandbox), files: vec![file(path)], ..Files::default() }))
    };
    assert_eq!(found("/etc/nginx/conf.d"), ["error files.output /etc/nginx/conf.d"]);
    assert!(found("/etc/haproxy").is_empty() && found("/tmp/x").is_empty());
}

#[test]
fn a_directory_is_made_only_where_the_unit_lets_the_agent_use_it() {
    let file = |purpose, path: &str| File { purpose, path: path.to_owned(), stat: None, denied: false, access: None };
    let remedy = |path: &str| {
        let sandbox = Sandbox {
            protect_system: ProtectSystem::Strict,
            writable: vec!["/var/lib/weir".to_owned()],
            ..Sandbox::default()
        };
        let list = vec![file(Purpose::Directory, path), file(Purpose::Snapshot, &format!("{path}/snapshot"))];
        let findings = files(&Files { sandbox: Some(sandbox), files: list, ..Files::default() });
        findings.iter().next().unwrap().remedy.clone().unwrap()
    };
    assert_eq!(remedy("/var/lib/weir/state"), "install -d -m 0750 -o weir -g weir /var/lib/weir/state");
    let moved = "set snapshot.path = \"/var/lib/weir/snapshot\", then 'systemctl restart weir'";
    assert_eq!(remedy("/srv/weir"), moved);
}

#[test]
fn a_file_system_that_is_read_only_is_not_the_units_doing() {
    for purpose in [Purpose::Directory, Purpose::Output] {
        let dir = File {
            purpose,
            path: "/v".to_owned(),
            stat: Some(stat(0o750, WEIR)),
            denied: false,
            access: access(Granted, ReadOnly, Granted, None),
        };
        let sandbox = Some(Sandbox { protect_system: ProtectSystem::Full, ..Sandbox::default() });
        let space = vec![("/v".to_owned(), LITTLE_SPACE, true)];
        let facts = Files { sandbox, files: vec![dir], space, ..Files::default() };
        let findings = files(&facts);
        assert_eq!(summary(&findings), ["error files.space /v"], "{purpose:?}");
        let way_out = "see 'dmesg' for why, then 'mount -o remount,rw \"$(findmnt -no TARGET -T /v)\"' and 'systemctl \
                       restart weir'";
        assert_eq!(findings.iter().next().unwrap().remedy.as_deref(), Some(way_out));
    }
}

#[test]
fn space_and_exchange() {
    let none: &[&str] = &[];
    for (free, read_only, wanted) in [
        (LITTLE_SPACE, false, none),
        (LITTLE_SPACE - 1, false, &["warn files.space /v"]),
        (0, false, &["error files.space /v"]),
        (LITTLE_SPACE, true, &["error files.space /v"]),
    ] {
        let facts = Files { space: vec![("/v".to_owned(), free, read_only)], ..Files::default() };
        assert_eq!(summary(&files(&facts)), wanted);
    }
    for (exchanges, wanted) in
        [(Some(true), none), (Some(false), &["info files.exchange /v"]), (None, &["skip files.exchange /v"])]
    {
        let facts = Files { exchange: vec![("/v".to_owned(), exchanges)], ..Files::default() };
        assert_eq!(summary(&files(&facts)), wanted);
    }
}

#[test]
fn what_lies_where_no_space_is_left_says_what_stops() {
    let file = |purpose, path: &str| File {
        purpose,
        path: path.to_owned(),
        stat: Some(stat(0o600, WEIR)),
        denied: false,
        access: None,
    };
    let facts = Files {
        files: vec![
            file(Purpose::Keyring, "/s/keyring"),
            file(Purpose::Snapshot, "/s/snapshot"),
            file(Purpose::Output, "/etc/nginx/conf.d"),
        ],
        links: vec![("/s/keyring".to_owned(), "/k/ring".to_owned())],
        space: ["/k", "/s", "/etc/nginx/conf.d", "/v"].map(|path| (path.to_owned(), 0, false)).to_vec(),
        ..Files::default()
    };
    let findings = files(&facts);
    let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "no space is left for /k: the agent goes on, but keys cannot be rotated",
            "no space is left for /s: the agent goes on, but a restart needs gossip.join",
            "no space is left for /etc/nginx/conf.d: the agent goes on, but upstreams cannot be applied",
            "no space is left for /v",
        ]
    );
}

#[test]
fn files_that_links_lead_away_take_the_place_of_the_links() {
    let file = |purpose, path: &str| File {
        purpose,
        path: path.to_owned(),
        stat: Some(stat(0o700, WEIR)),
        denied: false,
        access: access(Granted, ReadOnly, Granted, None),
    };
    let names = |file: &str| (format!("/var/lib/weir/{file}"), format!("/etc/weir/{file}"));
    let facts = Files {
        sandbox: Some(Sandbox { protect_system: ProtectSystem::Strict, ..Sandbox::default() }),
        files: vec![
            file(Purpose::Directory, "/etc/weir"),
            File { access: None, ..file(Purpose::Keyring, "/var/lib/weir/keyring.json") },
            File { access: None, ..file(Purpose::Snapshot, "/var/lib/weir/snapshot") },
        ],
        links: vec![names("keyring.json"), names("snapshot")],
        ..Files::default()
    };
    let findings = files(&facts);
    let remedy = findings.iter().find(|finding| finding.id == "files.directory").and_then(|f| f.remedy.as_deref());
    assert_eq!(
        remedy,
        Some(
            "'install -m 0600 -o weir -g weir /etc/weir/keyring.json /var/lib/weir/keyring.json.new', 'mv \
             /var/lib/weir/keyring.json.new /var/lib/weir/keyring.json', 'rm /var/lib/weir/snapshot', then 'systemctl \
             restart weir'"
        )
    );
}

fn access(read: Permission, write: Permission, execute: Permission, closed: Option<&str>) -> Option<Access> {
    Some(Access { read, write, execute, closed: closed.map(ToOwned::to_owned), mount: false })
}

#[test]
fn what_the_agent_tried_itself_counts_more_than_modes() {
    let config = Purpose::Config { secret: false };
    let none: &[&str] = &[];
    // By its mode every file here is the agent's own.
    for (purpose, path, tried, wanted) in [
        (config, "/etc/weir/weir.toml", access(Granted, ReadOnly, Denied, None), none),
        (
            config,
            "/etc/weir/weir.toml",
            access(Denied, Denied, Denied, Some("/etc/weir")),
            &["/etc/weir/weir.toml cannot be read by weir, whom the agent runs as: /etc/weir is closed to it; chown \
               root:weir /etc/weir; chmod 750 /etc/weir"],
        ),
        (
            Purpose::Keyring,
            "/k/keyring.json",
            access(Denied, Denied, Denied, None),
            &["/k/keyring.json belongs to u990, and the agent runs as weir; chown weir: /k/keyring.json; chmod 600 \
               /k/keyring.json"],
        ),
        // Its directory tells.
        (Purpose::Keyring, "/root/k", access(Denied, Denied, Denied, Some("/root")), none),
        (Purpose::Snapshot, "/etc/s", access(Granted, ReadOnly, Denied, None), none),
        (
            Purpose::Directory,
            "/srv/weir",
            access(Granted, ReadOnly, Granted, None),
            &["/srv/weir is read-only for weir.service (ProtectSystem=): the agent cannot keep its files there; set \
               snapshot.path = \"/var/lib/weir/snapshot\", then 'systemctl restart weir'"],
        ),
        // A mode is not to be changed where the mount forbids it anyway, and nobody's configuration given away.
        (
            Purpose::Directory,
            "/etc/weir",
            access(Granted, Denied, Granted, None),
            &[
                "/etc/weir is read-only for weir.service (ProtectSystem=): the agent cannot keep its files there; 'install \
               -m 0600 -o weir -g weir /etc/weir/ring /var/lib/weir/keyring.json', set encryption.keyring = \
               \"/var/lib/weir/keyring.json\", then 'systemctl restart weir'",
            ],
        ),
        (
            Purpose::Directory,
            "/srv/weir",
            access(Missing, Missing, Missing, None),
            &["/srv/weir is hidden from weir.service: the agent cannot keep its files there; set snapshot.path = \
               \"/var/lib/weir/snapshot\", then 'systemctl restart weir'"],
        ),
        (Purpose::Directory, "/var/lib/weir", access(Granted, Granted, Granted, None), none),
        (
            Purpose::Output,
            "/etc/nginx/conf.d",
            access(Granted, Denied, Granted, None),
            &[
                "/etc/nginx/conf.d is read-only for weir.service (ProtectSystem=), so nothing is put in place there; set \
                 apply.mode = \"helper\" with 'systemctl enable --now weir-apply.socket' and 'systemctl restart weir', or \
                 run the agent as root",
            ],
        ),
    ] {
        let own = |purpose, path: &str, access| {
            let stat = if purpose == config { Stat { gid: WEIR, ..stat(0o640, 0) } } else { stat(0o700, WEIR) };
            File { purpose, path: path.to_owned(), stat: Some(stat), denied: false, access }
        };
        let all = access(Granted, Granted, Granted, None);
        let list = vec![
            own(purpose, path, tried),
            own(Purpose::Keyring, "/etc/weir/ring", all.clone()),
            own(Purpose::Snapshot, "/srv/weir/snapshot", all),
        ];
        let sandbox = Sandbox {
            protect_system: ProtectSystem::Strict,
            writable: vec!["/var/lib/weir".to_owned()],
            ..Sandbox::default()
        };
        let facts = Files { agent: Some(user(WEIR, "weir")), sandbox: Some(sandbox), files: list, ..Files::default() };
        let findings = files(&facts);
        let said =
            |finding: &Finding| format!("{}; {}", finding.message, finding.remedy.as_deref().unwrap_or_default());
        let said: Vec<String> = findings.iter().map(said).collect();
        assert_eq!(said, wanted, "{purpose:?} {path}");
    }
}

#[test]
fn nobody_is_told_to_change_what_a_relative_path_names_here() {
    let stat = Stat { mode: 0o755, owner: "root".into(), directory: true, ..Stat::default() };
    let file = |purpose, path: &str| File {
        purpose,
        path: path.into(),
        stat: Some(stat.clone()),
        denied: false,
        access: None,
    };
    let agent = Some(User { uid: 999, name: "weir".into(), groups: Vec::new() });
    let listed =
        vec![file(Purpose::Keyring, "keyring.json"), file(Purpose::Directory, "."), file(Purpose::Snapshot, "snap")];
    let facts = Files { agent, files: listed, space: vec![(".".into(), 0, true)], ..Files::default() };
    let findings = files(&facts);
    assert_eq!(summary(&findings), ["skip files.keyring keyring.json", "skip files.snapshot snap"]);
    assert!(findings.iter().all(|finding| finding.remedy.as_deref() == Some("write a path that starts with /")));
}
