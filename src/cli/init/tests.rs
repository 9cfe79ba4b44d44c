//! What is planned, and said, on many hosts: each host as facts, each transcript as a dry run shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::super::args::{self, Command};
use super::super::output::{Color, Format, Output};
use super::beside::{Beside, both_families};
use super::document::Document;
use super::facts::{Access, Balanced, Candidate, Pending};
use super::firewall::Walls;
use super::guard::{Application, Former, Guarded, Known};
use super::nginx::{self, Nginx};
use super::plan::{Refused, Start};
use super::site::{Own, Port80, Welcome, Written};
use super::units::{UNITS, Unit, Units};
use super::*;
use crate::config::BindAddress;
use crate::crypto::{Key, KeyId};
use crate::error::Trouble;
use crate::upstream::UpstreamName;

fn init(arguments: &str) -> Box<Init> {
    let typed = format!("weir init {arguments}");
    let parsed = args::parse(typed.split(' ').map(Into::into)).expect("these are arguments");
    let Command::Init(init) = parsed.command else { panic!("it is init") };
    init
}

pub(super) fn wanted(arguments: &str) -> Wanted {
    Wanted::of(&init(arguments)).expect("they can be used")
}

fn unit(active: bool, enabled: bool) -> Unit {
    Unit { loaded: true, masked: false, active, enabled }
}

fn units(of: Unit) -> Units {
    Units { systemd: true, known: UNITS.into_iter().map(|name| (name.to_owned(), of)).collect::<BTreeMap<_, _>>() }
}

fn debians_page() -> Port80 {
    let link = Some(PathBuf::from("/etc/nginx/sites-enabled/default"));
    Port80::Welcome(Welcome { addresses: vec!["80".to_owned(), "[::]:80".to_owned()], link })
}

fn key() -> KeyId {
    Key::new(&[7; 32]).expect("it is long enough").id()
}

/// A Debian with the package and NGINX, as they come.
fn debian() -> Facts {
    Facts {
        configuration: Found::Missing,
        written: None,
        coming: crate::config::Config::default(),
        guarded: None,
        drop_ins: Vec::new(),
        beside: Beside::default(),
        access: Access::default(),
        aside: PathBuf::from("/etc/weir/weir.toml.old"),
        ring: Ring::Missing,
        ring_path: PathBuf::from("/var/lib/weir/keyring.json"),
        ring_place: None,
        addresses: vec![candidate("10.77.0.11", "eth0", true)],
        ipv6_alone: false,
        own: vec![[10, 77, 0, 11].into()],
        units: units(unit(false, true)),
        pending: Pending::Nothing,
        nginx: Some(balanced(nginx::State::Running, debians_page())),
        balancers_site: None,
        walls: Walls::default(),
    }
}

/// A site of an earlier run, as it was written for this upstream.
fn ours(upstream: &str) -> Own {
    let upstream = UpstreamName::new(upstream).expect("a plain word");
    let written = Written { text: format!("site of {upstream}"), addresses: vec!["80".to_owned()] };
    Own { passes: vec![upstream], written: Some(written) }
}

fn candidate(ip: &str, interface: &str, outward: bool) -> Candidate {
    Candidate { ip: ip.parse().expect("an address"), interface: interface.to_owned(), outward }
}

fn balanced(state: nginx::State, port80: Port80) -> Balanced {
    Balanced {
        nginx: Nginx {
            state,
            version: Some("1.22.1".to_owned()),
            reads: Some("/etc/nginx/conf.d/*.conf".to_owned()),
            port80,
            min_timeout: false,
            ipv6: true,
            unit: "nginx.service".to_owned(),
        },
        upstream: UpstreamName::new("web").expect("a plain word"),
        output: PathBuf::from("/etc/nginx/conf.d/weir-web.conf"),
    }
}

/// With this configuration, and an agent that runs with it.
fn configured(text: &str) -> Facts {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("weir.toml");
    std::fs::write(&path, text).expect("it is ours");
    let sources = crate::config::Sources { host_name: "lb1".to_owned(), ..facts::sources(&path) };
    let configuration = match crate::config::load(&sources) {
        Ok(loaded) => Found::Read(Box::new(loaded)),
        Err(errors) => Found::Wrong(errors),
    };
    let coming = match &configuration {
        Found::Read(loaded) => loaded.config.clone(),
        Found::Missing | Found::Wrong(_) => crate::config::Config::default(),
    };
    Facts {
        configuration,
        coming,
        written: Document::written(text),
        ring: Ring::Held(key()),
        units: units(unit(true, true)),
        ..debian()
    }
}

/// With this in a file beside a good configuration.
fn beside(text: &str) -> Facts {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("weir.toml");
    std::fs::write(&path, BALANCER).expect("it is ours");
    std::fs::create_dir(directory.path().join("weir.d")).expect("it is ours");
    std::fs::write(directory.path().join("weir.d/a.toml"), text).expect("it is ours");
    let errors = crate::config::load(&facts::sources(&path)).expect_err("it is wrong");
    Facts { configuration: Found::Wrong(errors), ..configured(BALANCER) }
}

const BALANCER: &str = "node.tags.role = \"lb\"\n[upstream.web]\nselect = { role = \"web\" }\n";

fn made(arguments: &str, facts: &Facts, answers: &Answers) -> Result<Plan, Refused> {
    Plan::make(&wanted(arguments), facts, answers)
}

/// As a dry run tells it, and what would be left without a yes.
fn transcript(arguments: &str, facts: &mut Facts, answers: &Answers) -> String {
    let wanted = wanted(arguments);
    // As the look at a host has it.
    facts.nginx = facts.nginx.take().filter(|_| wanted.kind == Kind::Balancer);
    let is_new = matches!(facts.configuration, Found::Missing) || wanted.force;
    if let (true, Some(found)) = (is_new, &mut facts.nginx) {
        found.upstream = wanted.upstream();
        found.output = PathBuf::from(format!("/etc/nginx/conf.d/weir-{}.conf", found.upstream));
    }
    let facts = &*facts;
    let output = Output::new(Format::Text, Color::Never, false);
    let mut text = format!("$ weir init {arguments}\n");
    if let Some(found) = &facts.nginx {
        text.push_str(&words::nginx(&found.nginx, &found.upstream));
    }
    let plan = match made(arguments, facts, answers) {
        Ok(plan) => plan,
        Err(refused) => {
            let failure = words::refused(&refused, &init(arguments).command(), &output);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} ({})", failure.to_text(), failure.exit().code());
            return text;
        }
    };
    let notices = [facts.guarded.as_ref().and_then(words::idle), words::kept_elsewhere(facts)];
    notices.into_iter().flatten().for_each(|line| text.push_str(&(line + "\n")));
    for step in plan.steps.iter().filter(|step| step.state != State::Theirs) {
        text.push_str(&words::line(step, plan.kind, Tense::Future));
        if let Action::Configuration { text: written, .. } = &step.action {
            for line in written.lines().filter(|line| line.starts_with("gossip.")) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "            | {line}");
            }
        }
    }
    if plan.theirs().next().is_some() {
        text.push_str(&words::changes(plan.theirs()));
        text.push_str(&words::left(&init(arguments).command(), &commands(&plan, |_| true)));
    }
    if !plan.by_hand.is_empty() {
        text.push_str(&words::amended_by_hand(&plan.by_hand));
    }
    text
}

/// A web server that is set up and checks this unit, as it was written.
fn web_server(unit: Option<&str>) -> String {
    let unit = unit.map(|unit| format!("\n[check.{unit}]\nsystemd = \"{unit}.service\"\n")).unwrap_or_default();
    format!(
        "# Written by weir init. Every key, with what it does: /usr/share/weir/weir.toml\n# After a change: systemctl reload weir\n\
         node.tags.role = \"web\"\ngossip.join = [\"10.77.0.11\"]\n\n[check.site]\nhttp = \"http://127.0.0.1:80/\"\n{unit}"
    )
}

/// `--unit app` on such a host, where systemd says this of it, and `former` was named before.
fn with_unit(said: &str, former: &[&str], facts: Facts) -> Facts {
    let named = |name: &str| Application::named(name).expect("it is a unit");
    let is_configured = matches!(facts.configuration, Found::Read(_));
    let guarded = Guarded {
        application: named("app"),
        known: Known::of(said, "", false),
        former: former.iter().map(|name| Former { application: named(name), is_guarded: true }).collect(),
        check: named("app").check(None).filter(|_| is_configured),
    };
    Facts { guarded: Some(guarded), ..facts }
}

#[test]
fn plans_are_as_golden() {
    let none = Answers::default;
    let answered = |ip: &str| Answers { address: ip.parse().ok(), ..none() };
    let two = || Facts {
        addresses: vec![candidate("10.0.2.15", "eth0", true), candidate("10.77.0.11", "eth1", false)],
        ..debian()
    };
    let with = |state, port80| Facts { nginx: Some(balanced(state, port80)), ..debian() };
    let running = |port80| with(nginx::State::Running, port80);
    let edited =
        || Port80::Edited(Welcome { link: Some("/etc/nginx/sites-enabled/default".into()), ..Welcome::default() });
    let built_in = || Port80::Welcome(Welcome { addresses: vec!["80".to_owned()], link: None });
    let shop = || Port80::Sites(vec!["sites-enabled/shop:3".to_owned()]);
    let apache = || Port80::Program("apache2 (pid 812)".to_owned());
    let done =
        || Facts { nginx: Some(balanced(nginx::State::Running, Port80::Ours(ours("web")))), ..configured(BALANCER) };
    let stale = |own| Facts { nginx: Some(balanced(nginx::State::Running, Port80::Ours(own))), ..configured(BALANCER) };
    let balancer = || {
        let path = PathBuf::from("/etc/nginx/conf.d/weir-site.conf");
        Facts { balancers_site: Some((path, UpstreamName::new("web").expect("a plain word"))), ..debian() }
    };
    let half = |pending| Facts { pending, ..done() };
    let stopped_agent = || Facts { units: units(unit(false, true)), ..done() };
    let el = || Facts {
        units: units(unit(false, false)),
        nginx: Some(balanced(nginx::State::Running, built_in())),
        ..debian()
    };
    let masked = || Facts { units: units(Unit { masked: true, ..Unit::default() }), ..debian() };
    let bad_ring =
        || Facts { ring: Ring::Bad(Trouble::new("keyring.json can be read by others", "chmod 600 it")), ..debian() };
    let unread = || {
        let mut facts = debian();
        if let Some(found) = &mut facts.nginx {
            found.nginx.reads = None;
        }
        facts
    };
    let ipv6 = |address: &str| Facts {
        addresses: vec![candidate(address, "eth0", true)],
        own: vec![address.parse().expect("an address")],
        ipv6_alone: true,
        ..debian()
    };
    let bound = |bind: BindAddress| Facts { beside: Beside { bind: Some(bind), advertise: None }, ..ipv6("fd00::11") };
    let by = |peer: &str, from: &str| {
        let (addr, from) = (peer.parse().expect("an address"), from.parse().expect("an address"));
        Answers { peer: Some(Peer { addr, from }), ..none() }
    };
    let web = |start| Answers { web: Some(Web { port: 8080, start, ..Web::default() }), ..none() };
    let start = change::Change::new(
        "nginx",
        "started, and enabled at boot",
        &[&["systemctl", "enable", "--now", "nginx.service"]],
    );
    let rows: Vec<(&str, &str, Facts, Answers)> = vec![
        ("as it comes", "lb", debian(), none()),
        ("EL: nothing is enabled, and the welcome page is built in", "lb", el(), none()),
        ("no site", "lb --site no", debian(), none()),
        ("another upstream", "lb --upstream shop --name lb1 --tag zone=a", debian(), none()),
        ("edited welcome page", "lb", running(edited()), none()),
        ("edited welcome page that may go", "lb --site yes", running(edited()), none()),
        ("a site of somebody's", "lb", running(shop()), none()),
        ("a site of somebody's, which has to go", "lb --site yes", running(shop()), none()),
        ("nothing on port 80", "lb", running(Port80::Free), none()),
        ("NGINX stopped", "lb", with(nginx::State::Stopped, debians_page()), none()),
        ("NGINX stopped, and its port taken", "lb", with(nginx::State::Stopped, apache()), none()),
        ("NGINX missing", "lb", with(nginx::State::Missing, Port80::Free), none()),
        ("conf.d not included", "lb", unread(), none()),
        ("several addresses, nobody to ask", "lb", two(), none()),
        ("several addresses, asked", "lb", two(), answered("10.77.0.11")),
        ("several addresses, named", "lb --address 10.77.0.11", two(), none()),
        ("the only address, named", "lb --address 10.77.0.11", debian(), none()),
        ("IPv6 alone", "lb", ipv6("fd00::11"), none()),
        ("IPv6 alone, and a file beside it binds that", "lb", bound(both_families()), none()),
        ("both families, and IPv6 named", "lb --address fd00::11", debian(), none()),
        (
            "both families, joined by IPv6",
            "web --join fd00::11",
            debian(),
            Answers { address: "fd00::12".parse().ok(), ..by("[fd00::11]:7946", "fd00::12") },
        ),
        (
            "joined by IPv6, and IPv4 named",
            "lb --join fd00::11 --address 10.77.0.12",
            debian(),
            by("[fd00::11]:7946", "fd00::12"),
        ),
        ("IPv6 alone, joined", "web --join [fd00::11]", ipv6("fd00::12"), by("[fd00::11]:7946", "fd00::12")),
        ("a second balancer", "lb --join 10.77.0.11", debian(), none()),
        ("run again", "lb", done(), none()),
        ("run again, agent stopped", "lb", stopped_agent(), none()),
        ("run again, the agent has not heard of a change", "lb", half(Pending::Live), none()),
        ("run again, a change needs a restart", "lb", half(Pending::Restart), none()),
        ("another upstream, forced: the site of the former one", "lb --upstream shop --force", done(), none()),
        ("and after that was left undone", "lb", stale(ours("shop")), none()),
        ("the same, and it was edited", "lb", stale(Own { written: None, ..ours("shop") }), none()),
        ("web where a balancer was", "web --join 10.77.0.11", balancer(), none()),
        ("web where a balancer was, beside it", "web --join 10.77.0.11 --port 8080", balancer(), web(None)),
        ("by hand, agrees", "lb", configured("[upstream.shop]\nselect = { tier = \"front\" }\n"), none()),
        ("by hand, another role", "lb", configured("node.tags.role = \"web\"\n"), none()),
        ("by hand, another role, forced", "lb --force", configured("node.tags.role = \"web\"\n"), none()),
        ("everything else", "lb --upstream shop --name x --join lb2 --address 10.77.0.12 --tag a=b", done(), none()),
        ("no configuration", "lb", configured("[upstrem.web]\n"), none()),
        ("a file beside it is wrong", "lb", beside("x ="), none()),
        (
            "the agent may not read its configuration",
            "lb",
            Facts {
                access: Access { closed: vec![PathBuf::from("/etc/weir/weir.toml")], trouble: None },
                ..stopped_agent()
            },
            none(),
        ),
        (
            "it leads elsewhere",
            "lb",
            Facts {
                access: Access {
                    trouble: Some(Trouble::new("the agent may not read /root/w.toml", "put the file itself there")),
                    ..Access::default()
                },
                ..stopped_agent()
            },
            none(),
        ),
        ("masked", "lb", masked(), none()),
        ("a keyring that others read", "lb", bad_ring(), none()),
        ("web without a cluster", "web", debian(), none()),
        ("web", "web --join 10.77.0.11 --port 80", debian(), none()),
        ("web on another port, its server stopped", "web --join lb1:7947", debian(), web(Some(start))),
        (
            "web, run again",
            "web --join 10.77.0.11",
            configured("node.tags.role = \"web\"\ngossip.join = [\"10.77.0.11\"]\n"),
            none(),
        ),
        (
            "web, another cluster",
            "web --join 10.77.0.99",
            configured("node.tags.role = \"web\"\ngossip.join = [\"10.77.0.11\"]\n"),
            none(),
        ),
    ];
    let unit = "web --join 10.77.0.11 --unit app";
    let (up, down) = ("LoadState=loaded\nActiveState=active\n", "LoadState=loaded\nActiveState=inactive\n");
    let of = |checked: Option<&str>| configured(&web_server(checked));
    let edited_by_hand = |checked: Option<&str>| configured(&format!("{}# mine\n", web_server(checked)));
    let unguarded = |facts| {
        let mut facts = with_unit(up, &["bad"], facts);
        facts.guarded.iter_mut().flat_map(|guarded| &mut guarded.former).for_each(|former| former.is_guarded = false);
        facts
    };
    let app = Some(("app".to_owned(), "app.service".to_owned()));
    let checked = || Answers { web: Some(Web { port: 80, unit: app.clone(), ..Web::default() }), ..none() };
    let units: Vec<(&str, &str, Facts, Answers)> = vec![
        ("an application", unit, with_unit(up, &[], debian()), checked()),
        ("an application that does not run", unit, with_unit(down, &[], debian()), checked()),
        ("one that has failed", unit, with_unit("LoadState=loaded\nActiveState=failed\n", &[], debian()), none()),
        ("one that is masked", unit, with_unit("LoadState=masked\n", &[], debian()), none()),
        (
            "one that ends by itself",
            unit,
            with_unit(&format!("{down}Type=oneshot\nRemainAfterExit=no\n"), &[], debian()),
            none(),
        ),
        ("one that is not there", unit, with_unit("LoadState=not-found\n", &[], debian()), none()),
        ("one whose file is wrong", unit, with_unit("LoadState=bad-setting\n", &[], debian()), none()),
        ("on a server that is set up", unit, with_unit(up, &[], of(None)), none()),
        ("the same again", unit, with_unit(up, &[], of(Some("app"))), none()),
        ("another one was named before", unit, with_unit(up, &["bad"], of(Some("bad"))), none()),
        ("the configuration was edited", unit, with_unit(up, &[], edited_by_hand(None)), none()),
        (
            "it was edited, and another one named before",
            unit,
            with_unit(up, &["bad"], edited_by_hand(Some("bad"))),
            none(),
        ),
        ("and again: that is still to be taken out", unit, unguarded(edited_by_hand(Some("bad"))), none()),
        ("and once it is out", unit, unguarded(edited_by_hand(Some("app"))), none()),
        (
            "the same, forced",
            "web --join 10.77.0.11 --unit app --force",
            with_unit(up, &["bad"], edited_by_hand(Some("bad"))),
            checked(),
        ),
    ];
    let moved = |path: &str| Facts { ring_path: PathBuf::from(path), ..debian() };
    let shut = |ring| Facts {
        ring,
        ring_place: Some(Trouble::new("/etc/weir is not user weir's to write", "set encryption.keyring")),
        ..moved("/etc/weir/k.json")
    };
    let effective: Vec<(&str, &str, Facts, Answers)> = vec![
        ("a file beside it moves the keyring", "lb --site no", moved("/var/lib/weir/k.json"), none()),
        ("where the agent could not keep it", "lb --site no", shut(Ring::Missing), none()),
        ("and where one is already", "lb --site no", shut(Ring::Held(key())), none()),
        (
            "the unit brings the keyring along",
            "lb --site no",
            Facts { ring: Ring::Credential("ring".to_owned()), ..debian() },
            none(),
        ),
    ];
    let rows = rows.into_iter().chain(units).chain(effective);
    let mut text = String::new();
    for (name, arguments, mut facts, answers) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# {name}\n{}", transcript(arguments, &mut facts, &answers));
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli/init-plans.txt");
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the tree is writable");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(text.lines()).find(|(expected, actual)| expected != actual);
    assert_eq!(differs, None, "WEIR_BLESS=1 writes it again");
    assert_eq!(expected.len(), text.len());
}

#[test]
fn whoever_joins_is_known_by_the_address_from_which_it_came() {
    let knows = |host: &[&str], from: &str| {
        let addresses: Vec<_> = host.iter().map(|ip| candidate(ip, "eth0", false)).collect();
        let ipv6_alone = addresses.iter().all(|candidate| candidate.ip.is_ipv6());
        let (addr, from) = ("10.77.0.11:7946".parse().expect("an address"), from.parse().expect("an address"));
        known_by(&Facts { addresses, ipv6_alone, ..debian() }, Peer { addr, from }).is_some()
    };
    for (host, from, is_written) in [
        (&["10.77.0.12"][..], "10.77.0.12", false),
        (&["10.77.0.12", "10.0.2.15"], "10.77.0.12", true),
        (&["10.77.0.12", "10.0.2.15"], "203.0.113.9", false),
        (&["10.77.0.12"], "fd00::12", true),
        (&["10.77.0.12"], "::1", false),
        (&["fd00::12"], "fd00::12", false),
        (&["fd00::12", "fd01::12"], "fd01::12", true),
    ] {
        assert_eq!(knows(host, from), is_written, "{host:?} {from}");
    }
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_do() {
    let written = |facts: &Facts| {
        let plan = made("lb", facts, &Answers::default()).expect("a plan");
        plan.steps.iter().find_map(|step| match &step.action {
            Action::Configuration { text, .. } => Some(text.clone()),
            _ => None,
        })
    };
    let text = written(&debian()).expect("it is written");
    let after = Facts { nginx: Some(balanced(nginx::State::Running, Port80::Ours(ours("web")))), ..configured(&text) };
    let again = made("lb", &after, &Answers::default()).expect("a plan");
    assert!(again.steps.iter().all(|step| step.state == State::Done), "{:?}", again.steps);
    assert_eq!(written(&after).as_deref(), Some(""), "nothing is written");
}

#[test]
fn the_agent_of_this_host_is_nobody_to_join() {
    let directory = tempfile::tempdir().expect("a directory");
    let drop_in = directory.path().join("a.toml");
    std::fs::write(&drop_in, "gossip.bind = \"0.0.0.0:7950\"\n").expect("it is ours");
    let beside = Facts { drop_ins: vec![drop_in], ..debian() };
    let moved = configured("gossip.bind = \"0.0.0.0:7950\"\n");
    for (facts, addr, own) in [
        (&debian(), "10.77.0.11:7946", true),
        (&debian(), "127.0.1.1:7946", true),
        (&debian(), "[::1]:7946", true),
        (&debian(), "[::ffff:10.77.0.11]:7946", true),
        (&debian(), "0.0.0.0:7946", true),
        (&debian(), "10.77.0.12:7946", false),
        (&debian(), "10.77.0.11:7950", false),
        (&moved, "10.77.0.11:7950", true),
        (&moved, "10.77.0.11:7946", false),
        (&beside, "10.77.0.11:7950", true),
        (&beside, "10.77.0.11:7946", false),
    ] {
        assert_eq!(facts.is_own_agent(addr.parse().expect("an address")), own, "{addr}");
    }
}

#[test]
fn the_cluster_is_asked_only_where_this_server_is_written_anew() {
    let web = "node.tags.role = \"web\"\ngossip.join = [\"10.77.0.11\"]\n";
    let lacks_ring = Facts { ring: Ring::Missing, ..configured(web) };
    for (arguments, facts, is_new) in [
        ("web --join 10.77.0.11 --port 80", debian(), true),
        ("web --join 10.77.0.11", configured(web), false),
        ("web --join 10.77.0.11 --force", configured(web), false),
        ("web --join 10.77.0.12 --force", configured(web), true),
        ("web --join 10.77.0.11", lacks_ring, true),
    ] {
        let plan = made(arguments, &facts, &Answers::default()).expect("a plan");
        assert_eq!(plan.is_new(), is_new, "{arguments}");
    }
}

#[test]
fn units_are_started_restarted_or_left_alone() {
    let start = |facts: &Facts| {
        let plan = made("lb", facts, &Answers::default()).expect("a plan");
        plan.steps.iter().find_map(|step| match step.action {
            Action::Units(start) => Some((start, step.state)),
            _ => None,
        })
    };
    let with = |unit, pending| Facts { units: units(unit), pending, ..configured(BALANCER) };
    for (facts, wanted) in [
        (debian(), (Start::Stopped, State::Ours)),
        (with(unit(true, true), Pending::Nothing), (Start::Nothing, State::Done)),
        (with(unit(true, false), Pending::Nothing), (Start::Nothing, State::Ours)),
        (with(unit(false, true), Pending::Nothing), (Start::Stopped, State::Ours)),
        (with(unit(true, true), Pending::Live), (Start::Outdated, State::Ours)),
        (with(unit(true, true), Pending::Restart), (Start::Changed, State::Ours)),
        (Facts { units: units(unit(true, true)), ..debian() }, (Start::Changed, State::Ours)),
    ] {
        assert_eq!(start(&facts), Some(wanted), "{facts:?}");
    }
    for (arguments, wanted) in [
        ("web --join 10.77.0.11 --force --role app", Start::Changed),
        ("web --join 10.77.0.11 --force --name web7", Start::Moved),
        ("web --join 10.77.0.11 --force --address 10.77.0.12", Start::Moved),
        ("lb --force --name web7", Start::Changed),
    ] {
        let plan = made(arguments, &with(unit(true, true), Pending::Nothing), &Answers::default()).expect("a plan");
        let units = |step: &plan::Step| matches!(step.action, Action::Units(start) if start == wanted);
        assert!(plan.steps.iter().any(units), "{arguments}");
    }
}

#[test]
fn an_interrupt_is_told_by_whether_anything_was_changed() {
    let changed = Changed::default();
    let told = || ended(Ok(Exit::Interrupted), &changed).map_err(|failure| (failure.exit(), failure.sentence()));
    assert_eq!(told(), Err((Exit::Interrupted, "interrupted; nothing was changed".to_owned())));
    changed.begin();
    let stays = "interrupted, and what was written stays; run it again: it goes on from there";
    assert_eq!(told(), Err((Exit::Interrupted, stays.to_owned())));
    assert_eq!(ended(Ok(Exit::Done), &changed), Ok(Exit::Done));
}

#[test]
fn what_is_added_by_hand_is_read_as_it_is_meant() {
    let add = Some(("app".to_owned(), "app.service".to_owned()));
    let amendment = guard::Amendment { add, remove: Vec::new() };
    let commands = words::amending(&amendment);
    let [add, reload] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(reload, "sudo systemctl reload weir");
    assert_eq!(add, "printf '\\n[check.app]\\nsystemd = \"app.service\"\\n' | sudo tee -a /etc/weir/weir.toml");
    let edited = format!("{}# mine\n", web_server(None));
    let after = configured(&format!("{edited}\n[check.app]\nsystemd = \"app.service\"\n"));
    let Found::Read(loaded) = &after.configuration else { panic!("it is well") };
    let guarded = with_unit("", &[], configured(&edited)).guarded.expect("it was named");
    assert!(guarded.amendment(&loaded.config).is_empty(), "nothing is left to do");
}

#[test]
fn what_is_typed_again_does_the_same() {
    for arguments in [
        "lb",
        "lb --upstream shop --site no",
        "web --join 10.77.0.11 --port 8080 --unit app.service --tag a=b --tag c=d",
        "lb --join lb1 --key-file /root/key --name lb2 --address 10.77.0.12 --role balancer --site yes",
    ] {
        let command = init(arguments).command().replace('\'', "");
        assert_eq!(command, format!("sudo weir init {arguments}"));
    }
}

#[test]
fn the_next_server_is_told_an_address_that_a_shell_takes() {
    for (addr, typed) in [
        ("10.77.0.11:7946", "10.77.0.11"),
        ("10.77.0.11:7947", "10.77.0.11:7947"),
        ("[fd00::11]:7946", "fd00::11"),
        ("[fd00::11]:7947", "'[fd00::11]:7947'"),
    ] {
        let addr = addr.parse().expect("an address");
        assert_eq!(words::next_command(addr), format!("sudo weir init web --join {typed}"));
        assert!(
            words::next("lb", addr).contains(&format!("| ssh web1 sudo weir init web --join {typed} --key-file -"))
        );
    }
}

#[test]
fn an_option_out_of_place_is_not_dropped() {
    for (arguments, said) in [
        ("lb --port 80", "--port is for a web server; leave it out"),
        ("web --site no", "--site is for a balancer; leave it out"),
        ("web --name= --join lb1", "--name is empty; leave it out for the host name"),
        ("lb --role=", "--role is empty; leave it out for lb or web"),
        ("lb --role a --tag role=b", "the role is given twice; give --role or '--tag role=…'"),
        ("lb --tag a=b --tag a=c", "tag 'a' is given twice; give one '--tag a=VALUE'"),
        (
            "lb --address 127.0.0.1",
            "--address 127.0.0.1 is the loopback address, by which no other server reaches this one; name one of this \
             server's: 'ip address' lists them",
        ),
        (
            "lb --address fe80::1",
            "--address fe80::1 is of one link alone, so other servers do not reach this one by it; name one of this server's: \
             'ip address' lists them",
        ),
        ("lb --address ::", "--address :: is no server's address; name one of this server's: 'ip address' lists them"),
        (
            "web --join 10.77.0.11 --address 10.77.0.11",
            "--address 10.77.0.11 is the member that --join names; give this server's own: 'ip address' lists them",
        ),
        ("lb --upstream a/b", "\"a/b\" is no upstream name; use letters, digits, _ and -"),
        (
            "web --join a:b:c:d",
            "--join \"a:b:c:d\" is not an address; write a host name or address, \"lb1\" or \"10.77.0.11:7946\"",
        ),
    ] {
        let failure = Wanted::of(&init(arguments)).expect_err(arguments);
        assert_eq!((failure.sentence().as_str(), failure.exit()), (said, Exit::Usage));
    }
}
