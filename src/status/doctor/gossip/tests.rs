use super::super::finding::summary;
use super::*;

fn member(standing: Standing, tcp: Tcp, udp: Udp) -> Gossip {
    let addr = "10.77.0.13:7946".parse().unwrap();
    Gossip { members: vec![Member { name: "web2".into(), addr, standing, tcp, udp }], ..Gossip::default() }
}

#[test]
fn what_a_members_answers_mean() {
    use Standing::{Alive, Failed, Remembered};
    use Udp::{Answered, Silent as Mute, Unchecked};
    let none: &[&str] = &[];
    for (standing, tcp, udp, found, passed) in [
        (Alive, Tcp::Open, Answered, none, 2),
        (Alive, Tcp::Open, Unchecked, none, 1),
        (Alive, Tcp::Open, Mute, &["error gossip.udp web2"], 1),
        (Alive, Tcp::Silent, Answered, &["error gossip.tcp web2"], 1),
        (Alive, Tcp::Refused, Answered, &["error gossip.tcp web2"], 1),
        (Alive, Tcp::Silent, Mute, &["error gossip.member web2"], 0),
        (Alive, Tcp::Refused, Unchecked, &["error gossip.member web2"], 0),
        (Failed, Tcp::Silent, Mute, &["warn gossip.member web2"], 0),
        (Failed, Tcp::Refused, Mute, &["warn gossip.member web2"], 0),
        (Failed, Tcp::Failed("no route to host".into()), Mute, &["warn gossip.member web2"], 0),
        (Failed, Tcp::Open, Mute, &["error gossip.udp web2"], 1),
        (Failed, Tcp::Open, Answered, &["info gossip.member web2"], 0),
        (Remembered, Tcp::Open, Answered, none, 2),
        (Remembered, Tcp::Open, Mute, &["error gossip.udp web2"], 1),
        (Remembered, Tcp::Refused, Mute, &["warn gossip.member web2"], 0),
    ] {
        let findings = gossip(&member(standing, tcp.clone(), udp));
        assert_eq!(
            (summary(&findings), findings.passed()),
            (found.iter().map(ToString::to_string).collect(), passed),
            "{standing:?} {tcp:?} {udp:?}"
        );
    }
}

#[test]
fn a_firewall_for_udp_is_named_as_in_the_transcript() {
    let findings = gossip(&member(Standing::Alive, Tcp::Open, Udp::Silent));
    let finding = findings.iter().next().unwrap();
    assert_eq!(
        finding.message,
        "web2: TCP 7946 takes connections, UDP 7946 does not answer: it is blocked, or the agent there hangs"
    );
    let way_out = "open UDP 7946 to and from 10.77.0.13 ('firewall-cmd --permanent --add-port=7946/tcp \
                   --add-port=7946/udp' and 'firewall-cmd --reload', or 'ufw allow 7946'), here and there; 'weir status' there shows whether \
                   it answers";
    assert_eq!(finding.remedy.as_deref(), Some(way_out));
    let by_hand = gossip(&Gossip { by_hand: true, ..member(Standing::Alive, Tcp::Open, Udp::Silent) });
    assert!(by_hand.iter().next().unwrap().message.ends_with("or this keyring lacks its key"));
}

#[test]
fn one_address_that_answers_is_enough_to_join() {
    let addr: SocketAddr = "10.77.0.11:7946".parse().unwrap();
    let place = |name: &str, result| JoinPlace { place: name.to_owned(), result };
    let open = || place("a", Ok(vec![(addr, Tcp::Refused), (addr, Tcp::Open)]));
    let dead = || place("b", Ok(vec![(addr, Tcp::Silent)]));
    let unknown = || place("c", Err("name not known".to_owned()));
    let found = |join| summary(&gossip(&Gossip { join, ..Gossip::default() }));
    assert!(found(vec![open()]).is_empty());
    assert_eq!(found(vec![open(), dead(), unknown()]), ["warn gossip.join b", "warn gossip.join c"]);
    assert_eq!(found(vec![dead(), unknown()]), ["error gossip.join b", "error gossip.join c"]);
}

#[test]
fn the_agents_own_reason_counts_more_than_an_open_port() {
    let addr: SocketAddr = "10.77.0.11:7946".parse().unwrap();
    let join = vec![JoinPlace { place: "a".into(), result: Ok(vec![(addr, Tcp::Open)]) }];
    let what = "10.77.0.11 hung up without an answer: it probably lacks our key 3fa9c1d2";
    let join_failures = vec![Trouble::new(what, "compare 'weir keys list'")];
    let findings = gossip(&Gossip { join, join_failures, ..Gossip::default() });
    let finding = findings.iter().next().unwrap();
    assert_eq!((finding.id, finding.level), ("gossip.join", Level::Error));
    assert!(finding.message.ends_with("it probably lacks our key 3fa9c1d2"));
    assert_eq!(finding.remedy.as_deref(), Some("compare 'weir keys list'"));
}

#[test]
fn a_name_cannot_bring_a_command_along() {
    let mut facts = member(Standing::Failed, Tcp::Refused, Udp::Silent);
    facts.members[0].name = "$(reboot)".to_owned();
    let findings = gossip(&facts);
    let way_out = findings.iter().next().unwrap().remedy.clone().unwrap();
    assert!(way_out.ends_with("weir force-leave '$(reboot)'"), "{way_out}");
}

#[test]
fn what_was_not_tried_is_said_once() {
    let no_pings = Some(Trouble::new("the keyring may not be read", "sudo weir doctor"));
    let facts = Gossip { no_pings, untried: 3, ..member(Standing::Alive, Tcp::Open, Udp::Unchecked) };
    assert_eq!(summary(&gossip(&facts)), ["skip gossip.members members", "skip gossip.udp members"]);
}

/// `web2`, `web3` and so on, each alive.
fn members(answers: &[(Tcp, Udp)]) -> Vec<Member> {
    let member = |(index, (tcp, udp)): (usize, &(Tcp, Udp))| Member {
        name: format!("web{}", index + 2),
        addr: SocketAddr::new([10, 77, 0, 13 + u8::try_from(index).unwrap()].into(), 7946),
        standing: Standing::Alive,
        tcp: tcp.clone(),
        udp: *udp,
    };
    answers.iter().enumerate().map(member).collect()
}

fn link(name: &str, up: bool, carrier: bool, addrs: &[&str]) -> Link {
    Link { name: name.to_owned(), up, carrier, addrs: addrs.iter().map(|ip| ip.parse().unwrap()).collect() }
}

/// A host that has everything it needs.
fn healthy() -> Own {
    let addr = "10.77.0.11:7946".parse().unwrap();
    Own {
        links: vec![link("eth0", true, true, &["10.77.0.11"]), link("docker0", true, false, &["172.17.0.1"])],
        bind: Some("0.0.0.0:7946".parse().unwrap()),
        advertised: Some(Advertised { addr, present: true, configured: false }),
        ..Own::default()
    }
}

fn advertised(addr: &str, present: bool, configured: bool) -> Option<Advertised> {
    Some(Advertised { addr: SocketAddr::new(addr.parse().unwrap(), 7946), present, configured })
}

#[test]
fn this_host_is_looked_at_before_its_peers_are_blamed() {
    let silence = || members(&[(Tcp::Silent, Udp::Silent), (Tcp::Silent, Udp::Silent)]);
    let mute = || members(&[(Tcp::Open, Udp::Silent), (Tcp::Open, Udp::Silent)]);
    let one = || members(&[(Tcp::Silent, Udp::Silent), (Tcp::Open, Udp::Answered)]);
    let well = || members(&[(Tcp::Open, Udp::Answered), (Tcp::Open, Udp::Answered)]);
    let none: &[&str] = &[];
    type Row<'a> = (&'a str, fn(&mut Own), Vec<Member>, &'a [&'a str]);
    let rows: [Row<'_>; 18] = [
        ("all is well", |_| {}, well(), none),
        ("a bridge without ports is nobody's business", |_| {}, one(), &["error gossip.member web2"]),
        ("all at once", |_| {}, silence(), &["error gossip.host members"]),
        ("all at once, UDP alone", |_| {}, mute(), &["error gossip.udp members"]),
        ("cable out", |own| own.links[0].carrier = false, silence(), &["error gossip.link eth0"]),
        ("switched off", |own| own.links[0].up = false, silence(), &["error gossip.link eth0"]),
        (
            "cable out and the address gone with it",
            |own| {
                own.links = vec![link("eth0", true, false, &["10.77.0.99"])];
                own.advertised = advertised("10.77.0.11", false, false);
            },
            silence(),
            &["error gossip.link eth0"],
        ),
        (
            "no agent that would know the address",
            |own| (own.links[0].carrier, own.advertised) = (false, None),
            silence(),
            &["error gossip.link eth0"],
        ),
        (
            "the address has changed",
            |own| own.advertised = advertised("10.77.0.10", false, false),
            silence(),
            &["error gossip.address 10.77.0.10"],
        ),
        (
            "it has changed, and we still hear answers: they look for us elsewhere",
            |own| own.advertised = advertised("10.77.0.10", false, false),
            well(),
            &["error gossip.address 10.77.0.10"],
        ),
        (
            "it has changed, and answers by UDP go there",
            |own| own.advertised = advertised("10.77.0.10", false, false),
            mute(),
            &["error gossip.address 10.77.0.10"],
        ),
        ("behind address translation", |own| own.advertised = advertised("203.0.113.9", false, true), well(), none),
        (
            "a configured address that is nobody's",
            |own| own.advertised = advertised("10.77.0.10", false, true),
            silence(),
            &["error gossip.address 10.77.0.10"],
        ),
        (
            "IPv4 is bound, and only IPv6 is there",
            |own| own.links = vec![link("eth0", true, true, &["fd00::5"])],
            silence(),
            &["error gossip.family 0.0.0.0:7946"],
        ),
        (
            "a host of IPv6 among members of IPv4",
            |own| {
                own.links = vec![link("eth0", true, true, &["fd00::5"])];
                own.bind = Some("[::]:7946".parse().unwrap());
                own.advertised = advertised("fd00::5", true, false);
            },
            silence(),
            &["error gossip.family web2", "error gossip.family web3"],
        ),
        (
            "IPv6 alone is bound among members of IPv4",
            |own| own.bind = Some("[fd00::5]:7946".parse().unwrap()),
            mute(),
            &["error gossip.family web2", "error gossip.family web3"],
        ),
        (
            "another has the name",
            |own| own.silenced = Some(Trouble::new("another member is called 'lb1'", "set a different node.name")),
            mute(),
            &["error gossip.name name"],
        ),
        (
            "on loopback no link counts",
            |own| {
                own.links[0].carrier = false;
                own.bind = Some("127.0.0.5:7946".parse().unwrap());
                own.advertised = advertised("127.0.0.5", true, false);
            },
            one(),
            &["error gossip.member web2"],
        ),
    ];
    for (what, change, members, found) in rows {
        let mut own = healthy();
        change(&mut own);
        let findings = gossip(&Gossip { members, own, ..Gossip::default() });
        assert_eq!(summary(&findings), found, "{what}");
        let all: String = findings.iter().map(|f| format!("{}; {:?}\n", f.message, f.remedy)).collect();
        let about_firewalls =
            ["gossip.member", "gossip.host", "gossip.udp"].iter().any(|id| found.iter().any(|f| f.contains(id)));
        assert_eq!(all.contains("firewall-cmd"), about_firewalls, "{what}: {all}");
    }
}

#[test]
fn what_this_host_lacks_is_said_with_what_it_has() {
    let said = |change: fn(&mut Own), members: Vec<Member>| {
        let mut own = healthy();
        change(&mut own);
        let findings = gossip(&Gossip { members, own, ..Gossip::default() });
        let finding = findings.iter().next().unwrap();
        format!("{}; {}", finding.message, finding.remedy.as_deref().unwrap())
    };
    let silence = || members(&[(Tcp::Silent, Udp::Silent), (Tcp::Silent, Udp::Silent)]);
    for (change, wanted) in [
        (
            (|own| own.links[0].carrier = false) as fn(&mut Own),
            "eth0, which has 10.77.0.11, has no carrier: its cable, or what it is plugged into, is dead; plug it in until \
             'ip link show eth0' says LOWER_UP",
        ),
        (
            |own| own.links[0].up = false,
            "eth0, which has 10.77.0.11, is switched off, so this host reaches nobody through it; ip link set eth0 up",
        ),
        (
            |own| own.advertised = advertised("10.77.0.10", false, false),
            "others look for this node at 10.77.0.10, which this host has not (it has 10.77.0.11 (eth0), 172.17.0.1 \
             (docker0)); 'systemctl restart weir' takes what this host has now",
        ),
        (
            |own| {
                own.bind = Some("10.77.0.10:7946".parse().unwrap());
                own.advertised = advertised("10.77.0.10", false, false);
            },
            "others look for this node at 10.77.0.10, which this host has not (it has 10.77.0.11 (eth0), 172.17.0.1 \
             (docker0)); correct gossip.bind, then 'systemctl restart weir'",
        ),
        (
            |own| {
                own.advertised = advertised("10.77.0.11", false, false);
                own.links[0].addrs.clear();
            },
            "eth0 has no address, nor has another link, so this host reaches nobody; give it one: 'networkctl reconfigure \
             eth0', 'nmcli device connect eth0' or 'ifup --force eth0', by what manages it; if it is another than before, \
             then 'systemctl restart weir'",
        ),
        (
            |own| own.links[0] = link("eth0", true, false, &[]),
            "eth0 has no carrier: its cable, or what it is plugged into, is dead; plug it in until 'ip link show eth0' \
             says LOWER_UP",
        ),
        (
            |own| own.links = vec![link("eth0", true, true, &["fd00::5"])],
            "the agent is bound to 0.0.0.0:7946, IPv4 alone, and this host has only fd00::5 (eth0); set gossip.bind = \
             \"[::]:7946\", then 'systemctl restart weir'",
        ),
        (
            |own| own.hears = true,
            "none of 2 members answers, over TCP or UDP: it is this host or its network; it hears them, so what it sends \
             is lost; see 'ip route' and 'nft list ruleset', and open TCP and UDP 7946 on this host, in and out \
             ('firewall-cmd --permanent --add-port=7946/tcp --add-port=7946/udp' and 'firewall-cmd --reload', or 'ufw \
             allow 7946' and 'ufw allow out 7946')",
        ),
    ] {
        assert_eq!(said(change, silence()), wanted);
    }
    let mut strangers = members(&[(Tcp::Open, Udp::Silent), (Tcp::Open, Udp::Answered)]);
    strangers[0].addr = "[fd00::13]:7946".parse().unwrap();
    assert_eq!(
        said(|own| own.links[0].addrs.push("fd00::5".parse().unwrap()), strangers),
        "web2 is at fd00::13, IPv6, and this agent is bound to 0.0.0.0:7946, IPv4 alone; set gossip.bind = \
         \"[::]:7946\" here, then 'systemctl restart weir'"
    );
}

#[test]
fn who_cannot_answer_in_the_family_that_is_advertised_is_behind_no_firewall() {
    let mut members = members(&[(Tcp::Open, Udp::Silent), (Tcp::Open, Udp::Answered)]);
    members[0].addr = "[fd00::13]:7946".parse().unwrap();
    let mut own = Own { bind: Some("[::]:7946".parse().unwrap()), ..healthy() };
    own.links[0].addrs.push("fd00::11".parse().unwrap());
    let findings = gossip(&Gossip { members, own, ..Gossip::default() });
    let finding = findings.iter().next().unwrap();
    assert_eq!(
        format!("{} {}; {}", finding.id, finding.message, finding.remedy.as_deref().unwrap()),
        "gossip.family web2 is at fd00::13, IPv6, takes connections and answers no UDP, as it sends answers to \
         10.77.0.11, IPv4, where this node is advertised; set gossip.advertise = \"fd00::11\" here, then 'systemctl \
         restart weir'; or give that host an IPv4 address"
    );
    assert_eq!(findings.iter().count(), 1);
}

#[test]
fn who_refuses_at_an_ipv6_address_may_be_bound_to_ipv4() {
    let addr: SocketAddr = "[fd00::11]:7946".parse().unwrap();
    let join = vec![JoinPlace { place: "lb1".into(), result: Ok(vec![(addr, Tcp::Refused)]) }];
    let findings = gossip(&Gossip { join, ..Gossip::default() });
    let way_out = findings.iter().next().unwrap().remedy.as_deref().unwrap();
    assert!(way_out.contains("gossip.bind = \"[::]:7946\" there"), "{way_out}");
}

#[test]
fn a_place_to_join_of_another_family_is_not_behind_a_firewall() {
    let addr: SocketAddr = "[fd00::11]:7946".parse().unwrap();
    let tried = Ok(vec![(addr, Tcp::Failed("network is unreachable".to_owned()))]);
    let join = vec![JoinPlace { place: "lb1".into(), result: tried }];
    let findings = gossip(&Gossip { join, own: healthy(), ..Gossip::default() });
    assert_eq!(summary(&findings), ["error gossip.family lb1"]);
}

#[test]
fn who_lacks_this_hosts_key_is_behind_no_firewall() {
    let deaf = || (Tcp::Open, Udp::Silent);
    for (answers, lacking, found) in [
        (vec![deaf(), deaf()], &["web2", "web3"][..], &["error gossip.key members"][..]),
        (vec![deaf(), (Tcp::Open, Udp::Answered)], &["web2"], &["error gossip.key members"]),
        (vec![deaf(), deaf()], &["web2"], &["error gossip.udp web3", "error gossip.key members"]),
    ] {
        let members_lacking = lacking.iter().map(ToString::to_string).collect();
        let other_key = OtherKey { primary: "bb".into(), key: "aa".into(), members: members_lacking };
        let facts =
            Gossip { members: members(&answers), other_key: Some(other_key), own: healthy(), ..Gossip::default() };
        assert_eq!(summary(&gossip(&facts)), found, "{lacking:?}");
    }
    let other_key = OtherKey { primary: "bb".into(), key: "aa".into(), members: vec!["web2".into()] };
    let findings = gossip(&Gossip { other_key: Some(other_key), own: healthy(), ..Gossip::default() });
    let finding = findings.iter().next().unwrap();
    assert_eq!(
        finding.message,
        "web2 answers what is sealed with key aa alone: it lacks bb, which this host seals with"
    );
    assert_eq!(finding.remedy.as_deref(), Some("'weir keys export' on one of the others, 'weir keys import' here"));
}

#[test]
fn who_is_heard_with_another_key_is_behind_no_firewall() {
    let deaf = || (Tcp::Open, Udp::Silent);
    let well = || (Tcp::Open, Udp::Answered);
    for (answers, heard, found) in [
        (vec![deaf()], &["10.77.0.13"][..], &["error gossip.key 10.77.0.13"][..]),
        // A rotation went on without this host: of those that were not heard yet it is the same.
        (vec![deaf(), deaf()], &["10.77.0.13"], &["error gossip.key 10.77.0.13"]),
        (
            vec![deaf(), deaf()],
            &["10.77.0.13", "10.77.0.14"],
            &["error gossip.key 10.77.0.13", "error gossip.key 10.77.0.14"],
        ),
        (vec![deaf(), well(), deaf()], &["10.77.0.13"], &["error gossip.udp web4", "error gossip.key 10.77.0.13"]),
        (vec![deaf(), deaf()], &[], &["error gossip.udp members"]),
    ] {
        let undecipherable = |ip: &&str| Undecipherable {
            addr: SocketAddr::new(ip.parse().unwrap(), 50_000),
            trouble: Trouble::new("it seals with key bb", "'weir keys export' there, 'weir keys import' here"),
        };
        let undecipherable = heard.iter().map(undecipherable).collect();
        let facts = Gossip { members: members(&answers), undecipherable, own: healthy(), ..Gossip::default() };
        assert_eq!(summary(&gossip(&facts)), found, "{answers:?} {heard:?}");
    }
}

#[test]
fn who_is_to_be_joined_and_has_another_key_is_told_although_others_were_joined() {
    let addr: SocketAddr = "10.77.0.11:7946".parse().unwrap();
    let trouble = Trouble::new("10.77.0.11, which gossip.join names, seals with key bb", "import it");
    let join = vec![JoinPlace { place: "lb1".into(), result: Ok(vec![(addr, Tcp::Open)]) }];
    let facts = Gossip { join, apart: vec![Apart { addr, trouble }], own: healthy(), ..Gossip::default() };
    assert_eq!(summary(&gossip(&facts)), ["error gossip.join 10.77.0.11"]);
}

#[test]
fn two_members_at_one_address_are_told() {
    let found = |members: &[Member], own: Own| {
        summary(&gossip(&Gossip { members: members.to_vec(), own, ..Gossip::default() }))
    };
    let none: &[&str] = &[];
    // The one that is not there takes connections by the other's hand.
    let mut both = members(&[(Tcp::Open, Udp::Answered), (Tcp::Open, Udp::Silent)]);
    assert_eq!(found(&both, healthy()), ["error gossip.udp web3"]);
    both[1].addr = both[0].addr;
    for standing in [Standing::Alive, Standing::Failed] {
        both[1].standing = standing;
        assert_eq!(found(&both, healthy()), ["error gossip.same_address 10.77.0.13:7946"], "{standing:?}");
    }
    let findings = gossip(&Gossip { members: both.clone(), own: healthy(), ..Gossip::default() });
    let message = &findings.iter().next().unwrap().message;
    assert_eq!(message, "web2 and web3 say that they are at 10.77.0.13:7946: only one of them can be");
    // It is this node's, or this node says so of another's.
    both.truncate(1);
    both[0].addr = "10.77.0.11:7946".parse().unwrap();
    assert_eq!(found(&both, healthy()), ["error gossip.same_address 10.77.0.11:7946"]);
    both[0].addr = "10.77.0.13:7946".parse().unwrap();
    let own = |is_anothers| Own { advertised: advertised("10.77.0.13", false, true), is_anothers, ..healthy() };
    assert_eq!(found(&both, own(false)), none, "behind a router");
    assert_eq!(found(&both, own(true)), ["error gossip.address 10.77.0.13"]);
}

#[test]
fn a_member_that_others_reach_is_up() {
    let facts = Gossip {
        members: members(&[(Tcp::Silent, Udp::Silent), (Tcp::Open, Udp::Answered)]),
        own: healthy(),
        ..Gossip::default()
    };
    let findings = gossip(&facts);
    let finding = findings.iter().next().unwrap();
    assert_eq!(
        finding.message,
        "web2 is alive for others, and nothing comes from 10.77.0.13:7946 to this host, TCP or UDP"
    );
    assert!(finding.remedy.as_deref().unwrap().ends_with(", here and there"), "{finding:?}");
}
