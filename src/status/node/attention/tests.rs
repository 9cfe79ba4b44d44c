use super::super::super::node;
use super::super::tests::full;
use super::super::{
    Apart, Failing, LastApply, LastRun, Miss, Moment, Nginx, Refused, Run, Server, ServerState, Slow, Snapshot, Unseen,
};
use super::*;
use crate::upstream::Witness;

fn well() -> Document {
    let mut document = full();
    document.apply.as_mut().unwrap().orphans.clear();
    document
}

/// A node that is well, changed.
fn of(change: impl FnOnce(&mut Document)) -> Vec<String> {
    let mut document = well();
    change(&mut document);
    let line = |Attention { level, kind, subject, message, remedy, since }| {
        let kind = serde_json::to_value(kind).unwrap();
        let (remedy, since) = (remedy.unwrap_or_default(), if since.is_some() { "" } else { " (since unknown)" });
        format!("{} {} {subject}: {message}; {remedy}{since}", level.word().unwrap().as_str(), kind.as_str().unwrap())
    };
    attention(&document).into_iter().map(line).collect()
}

fn last(document: &mut Document) -> &mut LastApply {
    document.apply.as_mut().unwrap().last.as_mut().unwrap()
}

fn since() -> Option<String> {
    Some("2026-11-28T16:02:11Z".to_owned())
}

fn seen(state: NginxState) -> Nginx {
    let (version, pid, message, remedy, unseen) = (None, None, None, None, None);
    let down = Nginx { state: state.into(), version, pid, since: since(), message, remedy, unseen };
    match state {
        NginxState::Unknown | NginxState::Running => down,
        NginxState::Stopped | NginxState::NotInstalled => {
            Nginx { message: Some("down".to_owned()), remedy: Some("start it".to_owned()), ..down }
        }
    }
}

fn ended(result: ApplyResult, nginx: NginxState) -> impl FnOnce(&mut Document) {
    move |document| {
        let last = last(document);
        (last.result, last.message, last.remedy) = (result.into(), "what".to_owned(), Some("way out".to_owned()));
        document.nginx = Some(seen(nginx));
    }
}

#[test]
fn a_key_that_nobody_else_seals_with_is_told() {
    let told = of(|document| document.keys.alone = true);
    let wanted = "warn keys lb1: this node seals with key 3fa9c1d2, which no other member seals with: they hear it by an older \
                  key alone, and not once it restarts; 'weir keys export' on one of the others, 'weir keys import' here \
                  (since unknown)";
    assert_eq!(told, [wanted]);
}

#[test]
fn a_balancer_that_hears_nobody_is_told_as_long_as_that_lasts() {
    let told = of(|document| document.cluster.isolated_since = since());
    let wanted = "warn isolated lb1: no other member is heard, so this node's own network is in doubt: servers stay as they are \
                  whatever gossip says of them; see to the network of this host; 'weir doctor' looks at it";
    assert_eq!(told, [wanted]);
}

#[test]
fn an_address_that_the_host_has_not_is_told() {
    let gone = Trouble::new("others look for this node at 10.77.0.10", "restart");
    let told = of(|document| {
        document.node.address_gone = Some(gone);
        document.node.silenced = true;
    });
    assert_eq!(told, ["warn address_gone lb1: others look for this node at 10.77.0.10; restart (since unknown)"]);
}

#[test]
fn a_node_that_is_well_needs_none() {
    assert!(of(|_| {}).is_empty());
    assert!(attention(&Document::default()).is_empty());
}

#[test]
fn an_apply_that_takes_far_longer_than_it_should_is_one_while_it_does() {
    let slow = |document: &mut Document| {
        let trouble = Trouble::new("it lasts", "see why");
        document.apply.as_mut().unwrap().slow = Some(Slow { since: since(), trouble });
    };
    assert_eq!(of(slow), ["warn apply_slow nginx: it lasts; see why"]);
}

#[test]
fn where_nothing_is_configured_nobody_misses_nginx() {
    let nginx = |nginx: Nginx| of(|document| document.nginx = Some(nginx.unneeded()));
    for state in [NginxState::Running, NginxState::Stopped, NginxState::NotInstalled, NginxState::Unknown] {
        assert!(nginx(seen(state)).is_empty(), "{state}");
    }
    let unseen = Unseen { helper_missing: true, since: since(), trouble: Trouble::new("nobody listens", "start it") };
    assert!(nginx(Nginx { unseen: Some(unseen), ..seen(NginxState::Running) }).is_empty());
    assert_eq!(seen(NginxState::Running).unneeded(), seen(NginxState::Running));
}

#[test]
fn who_has_templates_alone_misses_whoever_applies_and_no_nginx() {
    let nginx = |nginx: Nginx| of(|document| document.nginx = Some(nginx.unread()));
    for state in [NginxState::Running, NginxState::Stopped, NginxState::NotInstalled, NginxState::Unknown] {
        assert!(nginx(seen(state)).is_empty(), "{state}");
        let unseen =
            Unseen { helper_missing: true, since: since(), trouble: Trouble::new("nobody listens", "start it") };
        let wanted = "error helper_missing nginx: nobody listens; start it";
        assert_eq!(nginx(Nginx { unseen: Some(unseen), ..seen(state) }), [wanted], "{state}");
    }
}

#[test]
fn how_the_last_apply_ended() {
    use ApplyResult::{Failed, Live, Refused, RolledBack, Stored, Unchanged};
    use NginxState::{NotInstalled, Running, Stopped, Unknown};
    let down = "error nginx_down nginx: down; start it";
    let [refused, failed] = ["warn apply_refused nginx: what; way out", "error not_confirmed nginx: what; way out"];
    let rows: [(_, _, &[&str]); 14] = [
        (Live, Running, &[]),
        (Live, Unknown, &[]),
        (Live, Stopped, &[down]),
        (Unchanged, Running, &[]),
        (Unchanged, NotInstalled, &[down]),
        (Stored, Stopped, &[down]),
        (Stored, Running, &[]),
        (Refused, NotInstalled, &[down]),
        (Refused, Stopped, &[down, refused]),
        (Refused, Unknown, &[refused]),
        (RolledBack, Running, &[refused]),
        (Failed, Running, &[failed]),
        (Failed, Unknown, &[failed]),
        (Failed, Stopped, &[down, failed]),
    ];
    for (result, nginx, wanted) in rows {
        assert_eq!(of(ended(result, nginx)), wanted, "{result} {nginx}");
    }
    let edited = of(|document| {
        ended(Refused, Running)(document);
        last(document).foreign_edit = true;
    });
    assert_eq!(edited, ["warn foreign_edit nginx: what; way out"]);
    let alone = of(|document| {
        ended(Refused, Running)(document);
        last(document).helper_missing = true;
    });
    assert_eq!(alone, ["error helper_missing nginx: what; way out"]);
    for (helper_missing, result, wanted) in [
        (true, Live, &["error helper_missing nginx: nobody listens; start it"][..]),
        (false, Live, &["warn apply_refused nginx: nobody listens; start it"]),
        (false, Refused, &[refused]),
        (true, Refused, &["error helper_missing nginx: nobody listens; start it", refused]),
    ] {
        let unseen = of(|document| {
            ended(result, Running)(document);
            let trouble = Trouble::new("nobody listens", "start it");
            document.nginx.as_mut().unwrap().unseen = Some(Unseen { helper_missing, since: since(), trouble });
        });
        assert_eq!(unseen, wanted, "{helper_missing} {result}");
    }
    let neighbour = of(|document| {
        ended(Refused, Running)(document);
        last(document).nginx_error = Some("unknown directive \"x\" in /etc/nginx/shop:7".to_owned());
    });
    assert_eq!(
        neighbour,
        ["warn apply_refused nginx: nginx rejects its configuration, not because of weir: unknown directive \"x\" in \
            /etc/nginx/shop:7; way out; what serves is untouched, but a restart of nginx would fail; weir tries again by \
            itself"]
    );
    let unconfirmed = of(|document| {
        ended(Refused, Running)(document);
        document.apply.as_mut().unwrap().unconfirmed_since = last(document).since.clone();
    });
    assert_eq!(unconfirmed, ["error not_confirmed nginx: what; way out"], "a later refusal confirms nothing");
    assert!(of(|document| last(document).result = Known::Newer("postponed".into())).is_empty());
}

#[test]
fn whose_template_was_refused() {
    let refused = of(|document| {
        let trouble = Trouble::new("template haproxy: undefined variable 'servrs' in /h.j2:14", "the old file stays");
        let miss = Miss { name: "haproxy".to_owned(), since: since(), trouble };
        document.apply.as_mut().unwrap().templates.push(miss.clone());
        let text = serde_json::to_string(&document.apply).unwrap();
        assert_eq!(serde_json::from_str::<Option<Apply>>(&text).unwrap().unwrap().templates, [miss]);
    });
    let wanted = "template haproxy: undefined variable 'servrs' in /h.j2:14; the old file stays";
    assert_eq!(refused, [format!("warn template haproxy: {wanted}")]);
}

#[test]
fn who_is_drained_and_by_whom() {
    let drained = |operator: bool, guard, units: &[&str]| {
        let reason = operator.then(|| "kernel".to_owned());
        let guards = units.iter().map(ToString::to_string).collect();
        let (confirmed, open) = (vec!["lb2".to_owned()], Vec::new());
        let drain = Drain { operator, guard, guards, reason, confirmed, open };
        of(|document| document.node.drain = Some(drain)).pop().unwrap()
    };
    let (nothing, down) =
        ("balancers send this node nothing new: ", "the application that its guard unit looks after was stopped");
    let guarded = "start the application again, or 'weir drain --undo' where it runs and has no guard any more";
    for (operator, guard, units, told) in [
        (true, false, &[][..], "it is drained (kernel); undo with 'weir drain --undo'".to_owned()),
        (false, true, &[], format!("{down}; {guarded}")),
        (false, true, &["a.service"], format!("a.service was stopped; {guarded}")),
        (
            true,
            true,
            &["a.service", "b.service"],
            "it is drained (kernel), and a.service, b.service were stopped; start the application again, and 'weir drain \
             --undo'"
                .to_owned(),
        ),
    ] {
        assert_eq!(drained(operator, guard, units), format!("warn drained lb1: {nothing}{told} (since unknown)"));
    }
}

#[test]
fn a_drain_that_nobody_or_not_everybody_has_confirmed_says_so() {
    let drained = |open: &[&str]| {
        let open = open.iter().map(ToString::to_string).collect();
        of(|document| document.node.drain = Some(Drain { operator: true, open, ..Drain::default() })).pop().unwrap()
    };
    assert_eq!(
        drained(&["lb1", "lb2"]),
        "warn drained lb1: lb1, lb2 may still send this node requests though it is drained; 'weir drain' waits for them and \
         says why; undo with 'weir drain --undo' (since unknown)"
    );
    assert_eq!(
        drained(&[]),
        "warn drained lb1: no balancer is there to confirm that this node gets no requests: it is drained; undo with 'weir \
         drain --undo' (since unknown)"
    );
}

#[test]
fn whom_this_host_cannot_ask() {
    let unasked = of(|document| {
        let probe = document.upstreams[0].servers[0].probe.as_mut().unwrap();
        let what = "this host cannot ask: /etc/weir/caa.pem cannot be read: no such file or directory";
        probe.unasked = Some(Trouble::new(what, "correct upstream.web.probe.tls_ca"));
        probe.since = since();
    });
    assert_eq!(
        unasked,
        [
            "warn probe web: servers of upstream web are not probed (web1): this host cannot ask: /etc/weir/caa.pem cannot be \
             read: no such file or directory; correct upstream.web.probe.tls_ca"
        ]
    );
}

#[test]
fn who_waits_while_others_go_on() {
    let waits = of(|document| {
        let trouble = Trouble::new("this nginx has no stream module, upstream db waits", "install it");
        let miss = Miss { name: "db".to_owned(), since: since(), trouble };
        document.apply.as_mut().unwrap().waits.push(miss);
    });
    assert_eq!(waits, ["warn apply_refused db: this nginx has no stream module, upstream db waits; install it"]);
}

#[test]
fn how_upstreams_do() {
    let of_web = |change: fn(&mut Upstream)| of(|document| change(&mut document.upstreams[0]));
    let wanted = "error panic web: fewer than 1 of the 2 servers of upstream web are well, so those that are ill stay in; \
        see to web1";
    let floor = of_web(|web| {
        (web.mode, web.panic) = (Some(Mode::Floor.into()), true);
        web.servers[0].reason = VerdictReason::KeptByFloor.into();
    });
    assert_eq!(floor, [wanted]);
    let few = of_web(|web| {
        (web.mode, web.panic) = (Some(Mode::Floor.into()), true);
        web.servers[0].reason = VerdictReason::Dead.into();
    });
    assert_eq!(few, ["error panic web: fewer than 1 of the 2 servers of upstream web are well; see to web1"]);
    let forgotten = of_web(|web| {
        (web.mode, web.panic, web.floor) = (Some(Mode::Floor.into()), true, 2);
        web.min_healthy = Some(MinHealthy::Count(50));
        web.servers[0].reason = VerdictReason::Dead.into();
    });
    assert_eq!(
        forgotten,
        [
            "error panic web: fewer than 2 of the 2 servers of upstream web are well (min_healthy = 50); see to web1; or write \
             upstream.web.policy.min_healthy = \"50%\", or a smaller number"
        ]
    );
    // It is left in a moment.
    assert_eq!(of_web(|web| web.mode = Some(Mode::Floor.into())), [""; 0]);
    let last = of_web(|web| web.mode = Some(Mode::Last.into()));
    assert_eq!(
        last,
        ["error panic web: no server of upstream web is well, the last good ones stay in; see to its servers"]
    );
    let alone = of_web(|web| {
        (web.want, web.servers, web.left_out) = (Some(Want::Placeholder.into()), Vec::new(), Vec::new());
    });
    assert_eq!(
        alone,
        ["error empty web: upstream web has no server, requests are answered 502; \
            start a member that upstream.web.select matches"]
    );
    // Somebody else's block of that name may serve.
    let waiting = of_web(|web| {
        (web.want, web.live, web.left_out) = (Some(Want::Placeholder.into()), false, Vec::new());
    });
    let told = "error empty web: upstream web has no server; start a member that upstream.web.select matches";
    assert!(waiting.iter().any(|line| line == told), "{waiting:?}");
    let stream = of_web(|web| {
        (web.want, web.stream, web.left_out) = (Some(Want::Placeholder.into()), true, Vec::new());
    });
    assert_eq!(
        stream,
        ["error empty web: upstream web has no server, connections are closed; \
            start a member that upstream.web.select matches"]
    );
    let kept = |kept: Kept| {
        of(|document| {
            let web = &mut document.upstreams[0];
            (web.want, web.mode, web.left_out) = (Some(Want::Hold.into()), Some(Mode::Last.into()), Vec::new());
            web.kept = Some(kept.into());
        })
    };
    let left = kept(Kept::AllLeft);
    assert!(left[0].starts_with("error empty web: every server of upstream web has left"), "{left:?}");
    let before = kept(Kept::Before);
    let words = "error empty web: upstream web has no server yet, NGINX keeps the file that was there before; ";
    assert!(before[0].starts_with(words), "{before:?}");
    assert!(kept(Kept::Unrecorded).is_empty(), "that it is held is told anyway");
    let refused = of_web(|web| web.want = Some(Want::Placeholder.into()));
    assert!(refused[0].contains("(web2: tag port=\"80;\" is not a port"), "{refused:?}");
    let out = of_web(|web| web.servers.iter_mut().for_each(|Server { state, .. }| *state = ServerState::Down.into()));
    assert!(out[0].starts_with("error empty web"), "{out:?}");
    assert!(of_web(|web| (web.mode, web.want) = (None, None)).is_empty(), "nothing was decided yet");
}

#[test]
fn what_operators_hold_and_what_others_edit() {
    let held = |reason: Option<&str>, outside: usize| {
        of(|document| {
            let web = &mut document.upstreams[0];
            web.held = Some(Held { since: since(), reason: reason.map(str::to_owned) });
            let server = Server { state: ServerState::Held.into(), ..web.servers[0].clone() };
            web.servers.extend(std::iter::repeat_n(server, outside));
        })
    };
    for (reason, outside, wanted) in [
        (None, 0, "upstream web is held"),
        (Some("a look first"), 1, "upstream web is held (a look first), a server waits outside"),
        (Some("a look first"), 2, "upstream web is held (a look first), 2 servers wait outside"),
    ] {
        assert_eq!(held(reason, outside), [format!("warn held web: {wanted}; 'weir upstream release web'")]);
    }
    let forgotten = of(|document| {
        let held = Held { since: since(), reason: Some("a look first".to_owned()) };
        document.apply.as_mut().unwrap().held.push(HeldUnconfigured { upstream: "old".to_owned(), held });
        let text = serde_json::to_string(&document.apply).unwrap();
        assert_eq!(serde_json::from_str::<Option<Apply>>(&text).unwrap(), document.apply);
    });
    let wanted =
        "warn held old: upstream old is held (a look first) and not configured any more; 'weir upstream release old'";
    assert_eq!(forgotten, [wanted]);
    let path = "/etc/nginx/conf.d/weir-old.conf";
    let orphaned = of(|document| document.apply.as_mut().unwrap().orphans.push(path.to_owned()));
    let wanted = format!(
        "warn orphan {path}: {path} is of no upstream any more and stays for a site that needs it; its servers stay what they \
         are; configure that upstream again, or take it out of the site: the file goes within half a minute then, and at \
         once with 'weir reload' (since unknown)"
    );
    assert_eq!(orphaned, [wanted]);
    let edited = |ago_s| of(|document| document.apply.as_mut().unwrap().foreign[0].seen.ago_s = ago_s);
    let wanted = "warn foreign_edit /etc/nginx/conf.d/weir-web.conf: somebody else had written /etc/nginx/conf.d/weir-web.conf; \
        weir's is in its place, and theirs is kept as /var/lib/weir-apply/foreign/weir-web.conf.1; keep others from writing it, or \
        set apply.foreign_edit = \"hold\"";
    assert_eq!(edited(3600), [wanted]);
    assert!(edited(3601).is_empty(), "that is history");
}

#[test]
fn what_else_is_the_matter() {
    let conflict = of(|document| (document.node.silenced, document.node.silenced_since) = (true, since()));
    assert!(conflict[0].starts_with("error name_conflict lb1: another member is called 'lb1'"), "{conflict:?}");
    let keys = of(|document| (document.keys.keys[0].worn, document.keys.keys[0].worn_since) = (0.26, since()));
    assert!(keys[0].starts_with("warn keys 3fa9c1d2: key 3fa9c1d2 has sealed 26 %"), "{keys:?}");
    assert!(of(|document| document.keys.keys[0].worn = 0.249).is_empty());
    let ring = of(|document| {
        document.keys.failing =
            Some(Failing { error: "no space".into(), remedy: Some("free it".into()), since: since() })
    });
    assert!(ring[0].starts_with("warn keys keyring: ") && ring[0].ends_with("no space; free it"), "{ring:?}");
    for line in conflict.iter().chain(&keys) {
        assert!(!line.contains("since unknown"), "{line}");
    }
    let mistakes = ["weir.toml:9:1: unknown key 'x'; known here: y".to_owned(), "another".to_owned()];
    for (count, more) in [(1, ""), (2, " (and 1 more)")] {
        let mistakes = mistakes[..count].to_vec();
        let config = of(|document| document.config.refused = Some(Refused { mistakes, since: since() }));
        let wanted = format!(
            "warn config configuration: the configuration was not taken over at the last reload, the one before stays: \
             weir.toml:9:1: unknown key 'x'; known here: y{more}; correct it, and 'weir reload'"
        );
        assert_eq!(config, [wanted]);
    }
    let namesake =
        |claim: Claim, ago_s| node::Namesake { addr: "10.77.0.14:7946".parse().unwrap(), ago_s, claim: claim.into() };
    let split = of(|document| document.node.namesake = Some(namesake(Claim::Undecided, 7000)));
    assert_eq!(
        split,
        [
            "error name_conflict lb1: another host, at 10.77.0.14:7946, is called 'lb1' as well, and nobody else is there to \
          say whose the name is, so neither sees the other; set a different node.name on one of the two (since unknown)"
        ]
    );
    // Whoever holds the name is well.
    assert!(of(|document| document.node.namesake = Some(namesake(Claim::Held, 5))).is_empty());
    assert!(of(|document| document.node.namesake = Some(namesake(Claim::Disputed, 5))).is_empty());
    let claim = |ago_s, silenced| {
        let node = node::Node {
            name: "lb1".into(),
            silenced,
            namesake: Some(namesake(Claim::Held, ago_s)),
            ..Default::default()
        };
        node.name_claim().map(|trouble| trouble.to_string())
    };
    assert_eq!(
        claim(180, false).as_deref(),
        Some(
            "another host, at 10.77.0.14:7946, is called 'lb1' as well: this node keeps the name, and that one keeps \
             silent; set a different node.name there"
        )
    );
    assert_eq!((claim(181, false), claim(5, true)), (None, None));
    let snapshot = of(|document| {
        let failing = Some(Failing { error: "no space left on device".into(), since: since(), ..Failing::default() });
        document.snapshot = Some(Snapshot { path: "/x/snapshot".into(), failing, ..Snapshot::default() });
    });
    assert_eq!(
        snapshot,
        [
            "warn snapshot /x/snapshot: cannot write /x/snapshot: no space left on device: the agent goes on, but a restart \
            now needs gossip.join; see to its directory"
        ]
    );
    let full = of(|document| {
        let remedy = Some("free space in /x".into());
        let failing = Some(Failing { error: "no space left on device".into(), remedy, since: since() });
        document.snapshot = Some(Snapshot { path: "/x/snapshot".into(), failing, ..Snapshot::default() });
    });
    assert!(full[0].ends_with("; free space in /x"), "{full:?}");
    let failed = of(|document| {
        document.handlers[0].last = Some(LastRun { run: Run::Killed { signal: 9 }, elapsed_ms: 1, at: since() });
    });
    assert_eq!(failed, ["warn handlers deploy: handler deploy failed: signal 9; see 'journalctl -u weir'"]);
    for (ago_s, lines) in [(RECENT_S, 1), (RECENT_S + 1, 0)] {
        let dropped = of(|document| document.handlers[0].last_drop = Some(Moment { at: since(), ago_s }));
        assert_eq!(dropped.len(), lines, "{dropped:?}");
    }
}

#[test]
fn the_worst_comes_first() {
    let lines = of(|document| {
        document.keys.keys[0].worn = 1.0;
        ended(ApplyResult::Refused, NginxState::Running)(document);
        document.node.silenced = true;
        document.upstreams[0].mode = Some(Mode::Last.into());
    });
    let kinds: Vec<_> = lines.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(kinds, ["panic", "name_conflict", "apply_refused", "keys"]);
}

#[test]
fn servers_that_flap_and_agents_that_are_lost() {
    let server = |document: &Document, name: &str, state: ServerState, witness: Witness, since: &str| Server {
        member: name.to_owned(),
        state: state.into(),
        witness: Some(witness.into()),
        since: Some(since.to_owned()),
        gossip_since: Some(since.to_owned()),
        ..document.upstreams[0].servers[0].clone()
    };
    let with = |servers: &[(&str, ServerState, Witness, &str)]| {
        let mut document = well();
        let all = servers.iter().map(|(name, state, witness, since)| server(&document, name, *state, *witness, since));
        document.upstreams[0].servers = all.collect();
        let told = attention(&document);
        assert!(told.len() <= 1, "{told:?}");
        told.into_iter().next().map(|told| (told.kind.word().copied(), told.message, told.remedy, told.since))
    };
    use ServerState::{Down, Flapping, In};
    use Witness::{FailedAnswers, Passing, ServiceDown};
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(with(&[("web1", In, Passing, "1"), ("web2", Down, ServiceDown, "2")]), None);
    assert_eq!(
        with(&[("web1", Flapping, Passing, "2"), ("web2", Flapping, Passing, "1"), ("web3", In, Passing, "0")]),
        Some((
            Some(Kind::Flapping),
            "web1, web2 change too often to be used for now in upstream web".to_owned(),
            text("'weir upstream explain web1'"),
            text("1"),
        ))
    );
    assert_eq!(
        with(&[("web1", In, FailedAnswers, "2"), ("web2", In, FailedAnswers, "1")]),
        Some((
            Some(Kind::AgentLost),
            "the agents of web1, web2 are lost, but their services answer: in upstream web nothing changes".to_owned(),
            text("start the agent there, or 'weir force-leave web1' if it will not come back"),
            text("1"),
        ))
    );
    // One that is out is told of by what keeps it out.
    assert_eq!(with(&[("web1", In, Passing, "1"), ("web2", Down, FailedAnswers, "2")]), None);
}

#[test]
fn an_agent_that_is_heard_and_not_understood_is_not_to_be_started() {
    let told = |others: &[u8], heard: &[u8]| {
        of(|document| {
            let server = document.upstreams[0].servers[0].clone();
            let lost = |host: &u8| Server {
                member: format!("web{host}"),
                addr: ([10, 77, 9, *host], 80).into(),
                state: ServerState::In.into(),
                witness: Some(Witness::FailedAnswers.into()),
                ..server.clone()
            };
            document.upstreams[0].servers = others.iter().map(lost).collect();
            let stranger = |host: &u8| Stranger {
                addr: ([10, 77, 9, *host], 7946).into(),
                reason: "key_unknown".to_owned(),
                key: Some("b07e4410".to_owned()),
                ago_s: 5,
                unheard: 0,
                member: false,
                trouble: Some(Trouble::new("it was shut out", "import there")),
            };
            document.cluster.strangers = heard.iter().map(stranger).collect();
        })
        .into_iter()
        .find(|line| line.starts_with("warn agent_lost"))
        .unwrap()
    };
    let silent = told(&[1, 2], &[2]);
    assert!(silent.contains("the agent of web1 is lost") && silent.contains("start the agent there"), "{silent}");
    let heard = told(&[1, 2], &[1, 2]);
    let wanted = "warn agent_lost web: what speaks at the address of web1, web2 is not understood, and the service there \
                  answers: in upstream web nothing changes; import there";
    assert!(heard.starts_with(wanted), "{heard}");
}

#[test]
fn a_critical_check_of_this_node_is_told_by_its_first_line() {
    let told = |kind: CheckKind, target: &str, state: State, output: &str| {
        of(|document| {
            let (name, since) = ("site".to_owned(), since());
            let (kind, state, output) = (kind.into(), state.into(), output.to_owned());
            document.checks =
                vec![Check { name, kind, target: target.to_owned(), state, since, output, ..Check::default() }];
        })
    };
    let http = "GET http://127.0.0.1:80/";
    assert_eq!(
        told(CheckKind::Http, http, State::Critical, "\nstatus 500\nmore\n"),
        [
            "warn check site: check site of this node is critical: status 500; see to GET http://127.0.0.1:80/; 'weir check \
             list' shows its results"
        ]
    );
    assert_eq!(
        told(CheckKind::Ttl, "30s", State::Critical, "no word within 30 s"),
        [
            "warn check site: check site of this node is critical: no word within 30 s; 'weir check pass site' once it is \
             well, and again within 30s each time"
        ]
    );
    for state in [State::Passing, State::Warning, State::Wait, State::None] {
        assert!(told(CheckKind::Http, http, state, "").is_empty(), "{state}");
    }
}

#[test]
fn a_node_that_joins_nobody_is_told_why_while_nobody_else_is_there() {
    let first = Trouble::new("10.77.0.11 hung up without an answer", "compare the keys");
    let told = |failures: usize, alive, leaving, failed| {
        let mut failed_to_join = vec![first.clone()];
        failed_to_join.resize(failures, Trouble::new("no host is at 10.77.0.12", "start it"));
        of(|document| {
            let cluster = Cluster { alive, leaving, failed, join_failures: failed_to_join, ..Cluster::default() };
            (document.cluster, document.upstreams) = (cluster, Vec::new());
        })
    };
    let line = |others: &str| {
        format!(
            "warn alone lb1: this node is alone: 10.77.0.11 hung up without an answer{others}; compare the keys (since unknown)"
        )
    };
    for (failures, others) in [
        (1, ""),
        (2, ", and another address is not joined either"),
        (3, ", and 2 other addresses are not joined either"),
    ] {
        assert_eq!(told(failures, 1, 0, 0), [line(others)]);
    }
    assert_eq!(told(1, 1, 0, 3), [line("")], "all are lost");
    assert!(told(1, 2, 0, 0).is_empty() && told(1, 1, 1, 0).is_empty());
    assert!(
        of(|document| document.cluster = Cluster { alive: 1, ..Cluster::default() }).is_empty(),
        "it is to join nobody"
    );
}

#[test]
fn who_has_another_key_is_told_of_while_others_are_there() {
    let trouble = Trouble::new("10.77.0.12, which gossip.join names, seals with key b07e4410", "import it");
    let apart = Apart { addr: "10.77.0.12:7946".parse().unwrap(), trouble: trouble.clone() };
    let heard = Stranger {
        addr: "10.77.0.12:5000".parse().unwrap(),
        reason: "key_unknown".to_owned(),
        key: Some("b07e4410".to_owned()),
        ago_s: 5,
        unheard: 0,
        member: true,
        trouble: Some(Trouble::new("web1 seals with key b07e4410", "import it")),
    };
    let told = |alive| {
        of(|document| {
            let (refused, strangers) = (vec![apart.clone()], vec![heard.clone()]);
            let join_failures = vec![trouble.clone()];
            document.cluster =
                Cluster { alive, refused, strangers, join_failures, lacks_key: true, ..Cluster::default() };
            document.upstreams = Vec::new();
        })
    };
    assert_eq!(
        told(2),
        [
            "warn keys 10.77.0.12: 10.77.0.12, which gossip.join names, seals with key b07e4410; import it (since unknown)"
        ]
    );
    assert_eq!(told(1).len(), 1, "that nobody was joined says it: {:?}", told(1));
}

#[test]
fn whoever_should_be_understood_is_told_of_while_it_speaks() {
    let stranger = |ago_s, member| Stranger {
        addr: "10.77.0.12:7946".parse().unwrap(),
        reason: "key_unknown".to_owned(),
        key: Some("b07e4410".to_owned()),
        ago_s,
        unheard: 0,
        member,
        trouble: Some(Trouble::new("web1 seals with key b07e4410", "import it")),
    };
    let told = |alive, strangers: Vec<Stranger>, failures: Vec<Trouble>| {
        let lines = of(|document| {
            let cluster = Cluster { alive, strangers, join_failures: failures, ..Cluster::default() };
            (document.cluster, document.upstreams) = (cluster, Vec::new());
        });
        lines.into_iter().filter(|line| line.contains(" keys ")).collect::<Vec<_>>()
    };
    let line = "warn keys 10.77.0.12: web1 seals with key b07e4410; import it (since unknown)";
    for (alive, stranger, lines) in [
        (3, stranger(HEARD_S, true), &[line][..]),
        (3, stranger(HEARD_S + 1, true), &[]),
        (3, stranger(5, false), &[]),
        (1, stranger(5, false), &[line]),
        (1, Stranger { trouble: None, ..stranger(5, true) }, &[]),
        (1, Stranger { key: Some("3fa9c1d2".to_owned()), ..stranger(5, true) }, &[]),
    ] {
        assert_eq!(told(alive, vec![stranger.clone()], Vec::new()), lines, "{alive} {stranger:?}");
    }
    let failure = stranger(5, true).trouble.unwrap();
    assert!(told(1, vec![stranger(5, true)], vec![failure.clone()]).is_empty(), "that is told by the join");
    assert_eq!(told(2, vec![stranger(5, true)], vec![failure]), [line], "which is none while somebody else is there");
    let host = |host: u8| Stranger { addr: ([10, 77, 0, host], 7946).into(), ..stranger(5, true) };
    assert_eq!(told(3, (1..9).map(host).collect(), Vec::new()).len(), MAX_NAMED);
}
