//! What is said, and how it is laid out (`ux §3.1`): two columns, then details.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::super::config::{DEFAULT, unusable};
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::upstream::show::strength;
use super::Kind;
use super::document;
use super::existing::Contradiction;
use super::facts::{Candidate, Facts, Ring};
use super::guard::{Amendment, Guarded, Standing, UnitCheck};
use super::nginx::{self, Nginx};
use super::plan::{Action, Refused, RingKey, SiteText, Start, State, Step, Summary};
use super::site::{IPV6, Own, Port80};
use crate::config::{GOSSIP_PORT, Origin};
use crate::crypto::KeyId;
use crate::error::Trouble;
use crate::escape::escape;
use crate::status::node::{Document, Kept, NginxState, Upstream, Want};
use crate::status::shell::argument;
use crate::upstream::UpstreamName;

/// Has the agent take over what was edited.
const RELOAD: &str = "sudo systemctl reload weir";
/// Where the keyring is unless a configuration says otherwise.
const RING: &str = "/var/lib/weir/keyring.json";
/// As wide as that, so that the details of both files stand below each other.
const FILE_WIDTH: usize = RING.len();

/// Whether something was done or would be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tense {
    Past,
    Future,
}

/// One line of two columns.
pub(super) fn two(label: &str, text: &str) -> String {
    format!("  {label:<10}{}\n", escape(text))
}

/// The keyring that was written.
pub(super) fn ring(path: &Path, key: &RingKey, id: KeyId) -> String {
    let kind = if *key == RingKey::New { "new key" } else { "key" };
    two("wrote", &format!("{:<FILE_WIDTH$}   {kind} {id}", path.display().to_string()))
}

/// A step, done or to be done.
pub(super) fn line(step: &Step, kind: Kind, tense: Tense) -> String {
    let file = |path: &str, detail: &str| format!("{path:<FILE_WIDTH$}   {detail}");
    let label = |past, future| match (step.state, tense) {
        (State::Done, _) => "kept",
        (State::Ours | State::Theirs, Tense::Past) => past,
        (State::Ours | State::Theirs, Tense::Future) => future,
    };
    match &step.action {
        Action::Ring { key, path } => {
            let ring = |detail: &str| two(label("wrote", "write"), &file(&path.display().to_string(), detail));
            match key {
                RingKey::New => ring("new key"),
                RingKey::Cluster => ring("the cluster's key"),
                RingKey::Held(id) => ring(&format!("key {id}")),
                RingKey::Credential(name) => two("kept", &format!("the keyring is credential {name} of the unit")),
                RingKey::None => two("kept", "no keyring: the configuration turns encryption off"),
            }
        }
        Action::Configuration { summary, aside, .. } => {
            let aside = aside.as_ref().map(|path| format!("; the old one is {}", path.display())).unwrap_or_default();
            two(label("wrote", "write"), &file(DEFAULT, &format!("{}{aside}", summarised(summary))))
        }
        Action::Open(path) => {
            two(label("mended", "mend"), &file(&path.display().to_string(), "owner root, group weir, mode 0640"))
        }
        Action::Units(start) => {
            let (past, future) = match start {
                Start::Changed | Start::Moved => ("restarted", "restart"),
                Start::Outdated => ("reloaded", "reload"),
                Start::Stopped => ("started", "start"),
                Start::Nothing => ("enabled", "enable"),
            };
            let label = if step.state == State::Done { "running" } else { label(past, future) };
            let units = match kind {
                Kind::Balancer => "weir.service, weir-apply.socket",
                Kind::Web => "weir.service",
            };
            two(label, &format!("{units} (enabled at boot)"))
        }
        Action::Site { path, new: None, own: Some(own), .. } => {
            two("kept", &format!("{}   {}", path.display(), own_detail(own)))
        }
        Action::Site { path, upstream, .. } => {
            two(label("wrote", "write"), &format!("{}   {}", path.display(), site_detail(upstream)))
        }
        Action::StartNginx { unit } => two(label("started", "start"), &format!("{unit} (enabled at boot)")),
        Action::Guard(application, _) => two(label("guarded", "guard"), &application.words()),
        Action::Unguard(former, _) => two(
            label("unguarded", "unguard"),
            &format!("{}: {} was named by an earlier run", former.guard(), former.unit()),
        ),
        Action::Change(change) => two(label("changed", "change"), &format!("{}   {}", change.subject, change.why)),
    }
}

fn site_detail(upstream: &UpstreamName) -> String {
    format!("port 80 to upstream {upstream}; answers slower than 10 s count as failed (proxy_read_timeout)")
}

/// By its own words.
fn own_detail(own: &Own) -> String {
    match (&own.passes[..], &own.written) {
        ([upstream], Some(_)) => site_detail(upstream),
        ([], _) => "port 80, edited by you".to_owned(),
        (passes, _) => format!("port 80 to upstream {}, edited by you", listed(passes)),
    }
}

fn listed(upstreams: &[UpstreamName]) -> String {
    upstreams.iter().map(UpstreamName::as_str).collect::<Vec<_>>().join(", ")
}

/// A site that somebody has edited is not ours to write anew.
pub(super) fn astray(path: &Path, own: &Own, upstream: &UpstreamName) -> String {
    format!(
        "\nRequests on port 80 go to upstream {}, which weir keeps no more; {} was edited, so it stays. Write there\n    \
         proxy_pass http://{upstream};\nand load it: sudo nginx -t && sudo nginx -s reload\n",
        listed(&own.passes),
        path.display()
    )
}

/// What NGINX is and what it shows.
pub(super) fn nginx(nginx: &Nginx, upstream: &UpstreamName) -> String {
    let version = nginx.version.as_deref().unwrap_or("of an unknown version");
    let running = match &nginx.state {
        nginx::State::Missing => {
            let text = format!(
                "not installed, upstream {upstream} waits; 'apt install nginx' or 'dnf install nginx', then run this again"
            );
            return two("nginx", &text);
        }
        nginx::State::Odd(trouble) => return two("nginx", &trouble.to_string()),
        nginx::State::Stopped => "not running",
        nginx::State::Running => "running",
    };
    let reads = match &nginx.reads {
        Some(pattern) => format!("reads {pattern}"),
        None => format!("does not read conf.d/weir-{upstream}.conf"),
    };
    let port80 = match &nginx.port80 {
        Port80::Free => "nothing is on port 80".to_owned(),
        Port80::Welcome(_) => "port 80 shows only the distribution's welcome page".to_owned(),
        Port80::Edited(_) => "port 80 shows the distribution's page, edited".to_owned(),
        Port80::Sites(places) => format!("port 80 is used by {}", places.join(", ")),
        Port80::Ours(_) => "port 80 shows weir-site.conf".to_owned(),
        Port80::Program(program) => format!("port 80 is used by {program}"),
    };
    two("nginx", &format!("{version} {running}, {reads}; {port80}"))
}

/// As wide as the paths of a site's two files, and some.
const CHANGE_WIDTH: usize = 38;

/// What waits for a word, and whose it is.
pub(super) fn changes<'a>(steps: impl Iterator<Item = &'a Step> + Clone) -> String {
    let mut whose: Vec<&str> = Vec::new();
    for subject in steps.clone().filter_map(|step| subject(&step.action)) {
        if !whose.contains(&subject) {
            whose.push(subject);
        }
    }
    let mut text = format!("These change {}:\n", whose.join(", "));
    let mut line = |sign: char, what: &str, detail: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {sign} {}   {}", escape(&format!("{what:<CHANGE_WIDTH$}")), escape(detail));
    };
    for step in steps {
        match &step.action {
            Action::Site { path, upstream, new, own } => {
                let sign = if own.is_some() { '~' } else { '+' };
                let before = own.as_ref().map(|own| format!("; so far to {}", listed(&own.passes))).unwrap_or_default();
                line(sign, &path.display().to_string(), &format!("{}{before}", site_detail(upstream)));
                if let Some(SiteText { without: Some(link), edited, .. }) = new {
                    let whose = if *edited { "edited" } else { "unchanged" };
                    let detail = format!("{whose} welcome page; stays in sites-available");
                    line('-', &link.display().to_string(), &detail);
                }
            }
            Action::StartNginx { unit } => line('+', unit, "started, and enabled at boot"),
            Action::Change(change) => line('+', &change.subject, &change.why),
            Action::Ring { .. }
            | Action::Configuration { .. }
            | Action::Open(_)
            | Action::Units(_)
            | Action::Unguard(..)
            | Action::Guard(..) => {}
        }
    }
    text
}

/// Whose software a step touches.
fn subject(action: &Action) -> Option<&str> {
    match action {
        Action::Site { .. } | Action::StartNginx { .. } => Some("NGINX"),
        Action::Change(change) if change.subject == "nginx" => Some("NGINX"),
        Action::Change(change) => Some(&change.subject),
        Action::Ring { .. }
        | Action::Configuration { .. }
        | Action::Open(_)
        | Action::Units(_)
        | Action::Unguard(..)
        | Action::Guard(..) => None,
    }
}

/// What an operator types who does that step by hand.
pub(super) fn by_hand(action: &Action) -> Vec<String> {
    match action {
        Action::Site { path, upstream, new, .. } => {
            let path = argument(&path.display().to_string()).into_owned();
            let is_ipv6 = new.as_ref().is_some_and(|new| new.text.contains(&format!("listen {IPV6} ")));
            let renamed =
                (upstream.as_str() != document::SELECTED).then(|| format!("s,http://web;,http://{upstream};,"));
            let edits: Vec<String> =
                renamed.into_iter().chain(is_ipv6.then(|| format!("s,listen 80;,& listen {IPV6};,"))).collect();
            let copy = match &edits[..] {
                [] => format!("sudo cp /usr/share/weir/site.conf {path}"),
                edits => format!("sed '{}' /usr/share/weir/site.conf | sudo tee {path}", edits.join("; ")),
            };
            let link = new.as_ref().and_then(|new| new.without.as_ref());
            let remove = link.map(|link| format!("sudo rm {}", argument(&link.display().to_string())));
            let load = "sudo nginx -t && sudo nginx -s reload".to_owned();
            remove.into_iter().chain([copy, load]).collect()
        }
        Action::StartNginx { unit } => vec![format!("sudo systemctl enable --now {}", argument(unit))],
        Action::Change(change) => change.typed().into_iter().map(|command| format!("sudo {command}")).collect(),
        Action::Ring { .. }
        | Action::Configuration { .. }
        | Action::Open(_)
        | Action::Units(_)
        | Action::Unguard(..)
        | Action::Guard(..) => Vec::new(),
    }
}

/// Where no site is put: how requests reach the upstream.
pub(super) fn own_site(upstream: &UpstreamName, port80: &Port80, command: &str) -> String {
    if let Port80::Edited(_) = port80 {
        return format!(
            "\nThe page on port 80 was edited, so it stays. A site that passes requests to upstream {upstream} takes its place by:\n    \
             {command} --site yes\n"
        );
    }
    if let Port80::Program(program) = port80 {
        return format!(
            "\nNGINX is not running, and port 80 is used by {program}; stop that, then again:\n    {command}\n"
        );
    }
    format!(
        "\nRequests reach upstream {upstream} through a site of yours that says\n    proxy_pass http://{upstream};\n\
         /usr/share/weir/site.conf is one, with timeouts that let no server's silence be felt.\n"
    )
}

/// How the next servers come.
pub(super) fn next(node: &str, addr: SocketAddr) -> String {
    let (command, join) = (next_command(addr), join(addr));
    format!(
        "\nNext, on each web server, with the package installed:\n    {command}\n\
         It asks for the cluster key: sudo weir keys export --show   (here on {node})\n\
         From a machine that reaches both by ssh, without showing the key:\n    \
         ssh {node} sudo weir keys export | ssh web1 sudo weir init web --join {join} --key-file -\n"
    )
}

/// The line for the next server.
pub(super) fn next_command(addr: SocketAddr) -> String {
    format!("sudo weir init web --join {}", join(addr))
}

/// As it is typed: everybody uses the same port.
fn join(addr: SocketAddr) -> String {
    let typed = if addr.port() == GOSSIP_PORT { addr.ip().to_string() } else { addr.to_string() };
    argument(&typed).into_owned()
}

/// Of an application that does not run.
pub(super) fn idle(guarded: &Guarded) -> Option<String> {
    let unit = guarded.application.unit();
    let text = || format!("notice: {unit} does not run; until it does its check keeps this server out");
    guarded.is_idle().then(text)
}

/// A keyring that is there, where the agent cannot rotate it.
pub(super) fn kept_elsewhere(facts: &Facts) -> Option<String> {
    let trouble = facts.ring_place.as_ref().filter(|_| matches!(facts.ring, Ring::Held(_)))?;
    Some(format!("notice: {trouble}"))
}

/// A configuration that somebody has edited is not ours to change.
pub(super) fn amended_by_hand(amendment: &Amendment) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    if let Some((name, unit)) = &amendment.add {
        let _ = write!(
            text,
            "\n{DEFAULT} was edited, so it stays. Add at its end\n    [check.{name}]\n    systemd = \"{unit}\"\n"
        );
    }
    for (name, unit) in &amendment.remove {
        let _ = writeln!(
            text,
            "\nTake out check.{name}, which is of {unit}; 'weir config show --origin' says where it stands."
        );
    }
    let _ = writeln!(text, "Then: {RELOAD}");
    text
}

/// What of that a command does.
pub(super) fn amending(amendment: &Amendment) -> Vec<String> {
    let add = |(name, unit): &UnitCheck| {
        format!("printf '\\n[check.{name}]\\nsystemd = \"{unit}\"\\n' | sudo tee -a {DEFAULT}")
    };
    amendment.add.iter().map(add).chain((!amendment.is_empty()).then(|| RELOAD.to_owned())).collect()
}

/// What was left, and what does it.
pub(super) fn left(command: &str, commands: &[String]) -> String {
    let mut text = format!("\nLeft undone; this does it:\n    {command} --yes\nor by hand:\n");
    for command in commands {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {command}");
    }
    text
}

/// Of an address that was named and is none of this host's.
pub(super) fn elsewhere(address: IpAddr, candidates: &[Candidate]) -> String {
    let has: Vec<String> = candidates.iter().map(|one| one.ip.to_string()).collect();
    let has = if has.is_empty() { String::new() } else { format!(" (it has {})", has.join(", ")) };
    format!("notice: this server has no address {address} itself{has}; the others must be led here by it")
}

/// `lb1 at 10.77.0.11:7946; upstream web: generation 1 live, no servers yet (502 until the first joins)`.
pub(super) fn ready(document: &Document, trouble: Option<&Trouble>) -> String {
    let node = &document.node;
    let addr = node.addr.map(|addr| format!(" at {addr}")).unwrap_or_default();
    let runs = document.nginx.as_ref().is_none_or(|nginx| !nginx.state.is(&NginxState::Stopped));
    let mut parts = vec![format!("{}{addr}", node.name)];
    let shown = document.upstreams.iter().filter(|upstream| upstream.output.is_some());
    match trouble {
        Some(trouble) => {
            let names: Vec<&str> = shown.map(|upstream| upstream.name.as_str()).collect();
            let is_missing = document.nginx.as_ref().is_some_and(|nginx| nginx.state.is(&NginxState::NotInstalled));
            let why = if is_missing { "NGINX is not installed" } else { &trouble.what };
            parts.push(format!("upstream {}: {why}", names.join(", ")));
        }
        None => parts.extend(shown.map(|shown| upstream(shown, runs))),
    }
    two(if trouble.is_some() { "waits" } else { "ready" }, &parts.join("; "))
}

fn upstream(upstream: &Upstream, runs: bool) -> String {
    if upstream.kept.as_ref().is_some_and(|kept| kept.is(&Kept::Before)) {
        return format!(
            "upstream {}: no servers yet, NGINX keeps the file that was there until the first joins",
            upstream.name
        );
    }
    let state = if runs { "live" } else { "in place, NGINX is not running" };
    let generation = upstream.generation.map(|generation| format!("generation {generation} {state}, "));
    let is_empty = upstream.want.as_ref().is_some_and(|want| want.is(&Want::Placeholder));
    let servers = if is_empty { "no servers yet (502 until the first joins)".to_owned() } else { strength(upstream) };
    format!("upstream {}: {}{servers}", upstream.name, generation.unwrap_or_default())
}

/// `role lb, upstream web = members with role web`.
fn summarised(summary: &Summary) -> String {
    let mut parts = Vec::new();
    parts.extend(summary.role.as_ref().map(|role| format!("role {role}")));
    parts.extend(summary.web.as_ref().map(|(port, _)| port.clone()));
    if let Some((first, others)) = summary.upstreams.split_first() {
        let mut text = format!("upstream {first}");
        for other in others {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {other}");
        }
        if let Some(selected) = summary.selects {
            let _ = write!(text, " = members with role {selected}");
        }
        parts.push(text);
    }
    if !summary.join.is_empty() {
        parts.push(format!("join {}", summary.join.join(", ")));
    }
    parts.extend(summary.web.as_ref().map(|(_, check)| check.clone()));
    parts.extend(summary.unit.as_ref().map(|unit| format!("check {unit}")));
    parts.join(", ")
}

/// Why there is no plan. Mistakes of a file are told before, a line each.
pub(super) fn refused(refused: &Refused, command: &str, output: &Output) -> Failure {
    match refused {
        Refused::Wrong(errors) => {
            let is_ours = errors.mistakes().iter().all(|mistake| !is_drop_in(&mistake.at));
            let way_out = if is_ours {
                "correct it, or --force writes it anew and keeps this one beside it"
            } else {
                "correct it"
            };
            unusable(errors, output).with_remedy(way_out)
        }
        Refused::Closed(trouble) => {
            Failure::new(Exit::Refused, trouble.what.clone()).with_remedy(trouble.way_out.clone())
        }
        Refused::Contradicted(contradictions) => contradicted(contradictions),
        Refused::Ring(trouble) => Failure::new(Exit::Failed, trouble.what.clone()).with_remedy(trouble.way_out.clone()),
        Refused::SeveralAddresses(candidates) => {
            let all: Vec<String> = candidates.iter().map(|one| format!("{} ({})", one.ip, one.interface)).collect();
            Failure::usage(format!("this server has several private addresses: {}", all.join(", ")))
                .with_remedy(format!("say which one the other servers reach: {command} --address ADDRESS"))
        }
        Refused::NoSystemd => Failure::new(Exit::Failed, "systemd does not run here, so there is no unit to start")
            .with_remedy(
                "write a configuration ('weir config example' shows every key) and run 'weir agent --config-file FILE'",
            ),
        Refused::NoUnit(unit) => {
            Failure::new(Exit::Failed, format!("there is no {unit}")).with_remedy("install weir's package")
        }
        Refused::Masked(unit) => Failure::new(Exit::Refused, format!("{unit} is masked, so it shall not start"))
            .with_remedy(format!("'systemctl unmask {unit}', then again")),
        Refused::Application(application, standing) => unfit(&application.unit(), *standing),
        Refused::OtherSite { upstream, places } => {
            Failure::new(Exit::Refused, format!("port 80 is used by {}", places.join(", ")))
                .with_remedy(format!("put 'proxy_pass http://{upstream};' there, and give --site no"))
        }
        Refused::BalancersSite { path, upstream } => {
            let path = path.display();
            let what = format!(
                "port 80 here is a balancer's: {path} passes requests on to the servers of upstream {upstream}"
            );
            Failure::new(Exit::Refused, what).with_remedy(format!(
                "'sudo rm {path}' and 'sudo nginx -s reload' take it out, then again, or name the port of this server's site: \
                 {command} --port PORT"
            ))
        }
        Refused::NoJoin => Failure::usage("a web server joins a cluster, and none is named")
            .with_remedy("name a member: sudo weir init web --join ADDRESS"),
    }
}

/// An application whose check would never pass.
fn unfit(unit: &str, standing: Standing) -> Failure {
    let other = "or name another unit";
    let refused = |what: String, way_out: String| Failure::new(Exit::Refused, what).with_remedy(way_out);
    match standing {
        Standing::Missing => Failure::usage(format!("there is no unit {unit}"))
            .with_remedy("'systemctl list-units' lists those that run"),
        Standing::Unusable => refused(
            format!("systemd cannot use the file of {unit}"),
            format!("'systemctl status {unit}' says why; correct it, then again, {other}"),
        ),
        Standing::Masked => refused(
            format!("{unit} is masked, and would keep this server out"),
            format!("'systemctl unmask {unit}' and start it, then again, {other}"),
        ),
        Standing::Oneshot => refused(
            format!("{unit} ends when its work is done (Type=oneshot), and would keep this server out"),
            "name the unit that goes on to run, or set RemainAfterExit=yes there".to_owned(),
        ),
        Standing::Failed | Standing::Stopped | Standing::Runs => refused(
            format!("{unit} has failed, and would keep this server out"),
            format!("'systemctl status {unit}' says why; start it, then again, {other}"),
        ),
    }
}

/// Not in the file that init writes.
fn is_drop_in(at: &Origin) -> bool {
    let Origin::File { path, .. } = at else { return false };
    Path::new(&**path).parent().is_some_and(|parent| parent.ends_with("weir.d"))
}

/// Files beside the configuration say otherwise, and count.
pub(super) fn overruled(contradictions: &[Contradiction]) -> Failure {
    let all: Vec<String> = contradictions.iter().map(ToString::to_string).collect();
    Failure::new(Exit::Refused, format!("a file in /etc/weir/weir.d has {}", all.join("; ")))
        .with_remedy("correct it there, or ask for the same here ('weir config show --origin' says where each is set)")
}

/// A key was given, and there is no keyring of ours that takes it.
pub(super) fn useless_key(key: &RingKey) -> Failure {
    let what = match key {
        RingKey::Credential(name) => {
            format!("the keyring is the unit's credential {name:?}, which is not init's to write")
        }
        RingKey::New | RingKey::Cluster | RingKey::Held(_) | RingKey::None => {
            "by a file in /etc/weir/weir.d there is no keyring to write the key to".to_owned()
        }
    };
    Failure::new(Exit::Refused, what).with_remedy("leave out --key-file, or take that out of weir.d")
}

fn contradicted(contradictions: &[Contradiction]) -> Failure {
    let all: Vec<String> = contradictions.iter().map(ToString::to_string).collect();
    Failure::new(Exit::Refused, format!("{DEFAULT} has {}", all.join("; ")))
        .with_remedy("edit it, or --force writes it anew and keeps this one beside it")
}

/// `1) 10.0.2.15 eth0 (default route)   2) 10.77.0.11 eth1   [1/2]`.
pub(super) fn address_question(candidates: &[Candidate]) -> String {
    let mut text = "address the other servers reach".to_owned();
    for (at, candidate) in candidates.iter().enumerate() {
        let outward = if candidate.outward { " (default route)" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "   {}) {} {}{outward}", at + 1, candidate.ip, candidate.interface);
    }
    let numbers: Vec<String> = (1..=candidates.len()).map(|number| number.to_string()).collect();
    format!("{text}   [{}]", numbers.join("/"))
}
