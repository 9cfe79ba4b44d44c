use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Generation, Member, MemberStatus, Members, PlainName, Server, Servers, UpstreamName, Weight};
use crate::wire::NodeName;

fn server(member: &str, addr: &str) -> Server {
    let (member, addr) = (NodeName::new(member).unwrap(), addr.parse().unwrap());
    Server { member, addr, weight: Weight::ONE, down: false, backup: false, max_conns: 0 }
}

fn document(upstreams: &[(&str, Vec<Server>)], members: &[(&str, &str, MemberStatus)]) -> Desired {
    let mut desired = Desired::new(7);
    let target = |servers: &Vec<Server>| match servers.is_empty() {
        true => Target::Placeholder,
        false => Target::Servers(Servers::new(servers.clone()).unwrap()),
    };
    desired.upstreams = upstreams.iter().map(|(name, s)| (UpstreamName::new(name).unwrap(), target(s))).collect();
    let member = |(name, addr, status): &(&str, &str, MemberStatus)| Member {
        name: PlainName::new(name).unwrap(),
        addr: addr.parse().unwrap(),
        status: *status,
    };
    desired.members = Members::new(members.iter().map(member).collect()).unwrap();
    desired
}

fn usual() -> Data {
    let web = vec![
        server("web1", "10.77.0.12:80"),
        Server { down: true, weight: Weight::new(2).unwrap(), ..server("web2", "[2001:db8::3]:8080") },
        Server { backup: true, max_conns: 9, ..server("web3", "10.77.0.14:80") },
        server("web4; } server 6.6.6.6:80; #", "10.77.0.15:80"),
    ];
    let members = [("web1", "10.77.0.12", MemberStatus::Alive), ("web9", "2001:db8::9", MemberStatus::Failed)];
    Data::new(&document(&[("api", Vec::new()), ("web", web)], &members), Generation(42))
}

fn made(source: &str) -> Result<String, String> {
    render(source, &usual()).map_err(|mistake| format!("{}: {}", mistake.line.unwrap_or(0), mistake.why))
}

#[test]
fn a_template_sees_servers_members_and_the_generation() {
    for (source, text) in [
        ("generation {{ generation }}\n", "generation 42\n"),
        ("{% for u in upstreams %}{{ u.name }} {{ u.servers|length }}\n{% endfor %}", "api 0\nweb 3\n"),
        ("{% if true %}a{% endif %}\n b {% if true -%}\n c{% endif %}\n", "a\n b c\n"),
        (
            "{% for u in upstreams if u.name == \"web\" %}{% for s in u.servers %}  {{ s.member }} {{ s.addr }} {{ s.port }} \
             {{ s.endpoint }} {{ s.weight }} {{ s.state }} {{ s.backup }} {{ s.max_conns }}\n{% endfor %}{% endfor %}",
            "  web1 10.77.0.12 80 10.77.0.12:80 1 in false 0\n  web2 2001:db8::3 8080 [2001:db8::3]:8080 2 down false 0\n  \
             web3 10.77.0.14 80 10.77.0.14:80 1 in true 9\n",
        ),
        (
            "{% for m in members %}{{ m.addr }} {{ m.name }} {{ m.status }}\n{% endfor %}",
            "10.77.0.12 web1 alive\n2001:db8::9 web9 failed\n",
        ),
        // What it puts together itself it may print.
        ("{% macro hello(m) %}<{{ m.name }}>{% endmacro %}{{ hello(members[0]) }}", "<web1>"),
        ("{% set line %}; {{ members[1].name }} }{% endset %}{{ line }}", "; web9 }"),
        ("{{ members|map(attribute=\"name\")|join(members[0].name) }}", "web1web1web9"),
        ("{% set s = upstreams[1].servers|rejectattr(\"state\", \"eq\", \"down\")|list %}{{ s|length }}", "2"),
        ("{% if members|selectattr(\"status\", \"eq\", \"failed\")|list %}!{% endif %}", "!"),
        ("{{ upstreams[1].servers|sum(attribute=\"weight\") * 10 // 2 }}", "20"),
        ("{% for x in range(2) %}{{ loop.index }}{{ \"\" if false else loop.last }}{% endfor %}", "1false2true"),
        ("{% raw %}{{ text }}{% endraw %}", "{{ text }}"),
        ("", ""),
    ] {
        assert_eq!(made(source).as_deref(), Ok(text), "{source}");
    }
}

#[test]
fn only_what_is_weirs_is_printed() {
    for (source, printed) in [
        ("{{ \"; evil\" }}", "\"; evil\""),
        ("{{ \"a\" ~ members[0].name }}", "\"a\" ~ members[0].name"),
        ("{{ members[0].name ~ \"a\" }}", "members[0].name ~ \"a\""),
        ("{{ members[0].name|replace(\"w\", \"; \") }}", "replace(\"w\", \"; \")"),
        ("{{ members|map(attribute=\"name\")|join(\", \") }}", "join(\", \")"),
        ("{{ \"%s;\"|format(members[0].name) }}", "\"%s;\"|format(members[0].name)"),
        ("{% autoescape false %}{{ \"a\" }}{% endautoescape %}", "\"a\""),
        ("{% autoescape false %}{% set x %}a{% endset %}{{ x }}{% endautoescape %}", "x"),
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(\"evil\") }}", "x"),
        ("{{ 1 / 2 }}", "1 / 2"),
        ("{{ none }}", "none"),
        ("{{ members[0] }}", "members[0]"),
        ("{{ members }}", "members"),
        ("{{ debug() }}", "debug()"),
        ("{{ range }}", "range"),
    ] {
        assert_eq!(made(source), Err(format!("1: '{printed}' prints something that is not weir's")), "{source}");
    }
    assert!(render("{{ 1.5 }}", &usual()).unwrap_err().remedy().is_some());
}

#[test]
fn a_mistake_names_its_line_and_what_it_is_about() {
    for (source, words) in [
        ("a\n\n{{ servrs }}", "3: undefined variable 'servrs'"),
        ("{% for s in servrs %}{% endfor %}", "1: undefined variable 'servrs'"),
        ("{{ upstreams[1].servrs }}", "1: undefined variable 'upstreams[1].servrs'"),
        ("\n{% for m in members %}\n{{ m.tags }}\n{% endfor %}", "3: undefined variable 'm.tags'"),
        ("{{ members[7].name }}", "1: undefined variable 'members[7]'"),
        ("{% if servrs == 1 %}{% endif %}", "1: undefined variable 'servrs'"),
        ("{% include \"/etc/shadow\" %}", "1: unknown statement include"),
        ("{% import \"x\" as y %}", "1: unknown statement import"),
        ("{% extends \"x\" %}", "1: unknown statement extends"),
        ("{{ members[0].name|safe }}", "1: filter safe is unknown"),
        ("{{ \"a\"|escape }}", "1: filter escape is unknown"),
        ("{{ \"a\"|e }}", "1: filter e is unknown"),
        ("{{ env(\"HOME\") }}", "1: env is unknown at 'env(\"HOME\")'"),
        ("{% for x in 1 %}{% endfor %}", "1: number is not iterable at '1'"),
        ("a\n{% if %}", "2: unexpected end of block at '%}'"),
        ("{{ \"\x1b[2J\"|nope }}", "1: filter nope is unknown"),
    ] {
        assert_eq!(made(source), Err(words.to_owned()), "{source}");
    }
}

/// In the room that [`stack_bytes`] says, and in no more time and memory than [`FUEL`] is for.
#[test]
fn nothing_in_a_template_is_without_end() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(5000), close.repeat(5000));
    let long = |piece: &str| piece.repeat(MAX_SOURCE_BYTES / piece.len() - 8);
    let refused = [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{% if true %}{% for y in [x] %}{{ m([x, x]) }}{% endfor %}{% endif %}{% endmacro %}{{ m(1) }}",
        "{% set x %}aaaaaaaaaaaaaaaa{% endset %}{{ x * 1000000000 }}",
        "{% set ns = namespace(x=\"aaaaaaaa\") %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ \"%999999999d\"|format(1) }}",
        "{{ range(1000000000) }}",
        &deep("{{ (", ") }}"),
        &deep("{% if 1 %}", "{% endif %}"),
        &format!("{{{{ {} }}}}", deep("(", ")")),
        &format!("{{{{ {} }}}}", deep("[", "]")),
        &format!("{{{{ members{} }}}}", long("[0]")),
        &"x".repeat(MAX_SOURCE_BYTES + 1),
    ]
    .map(str::to_owned);
    for source in refused {
        let start = source.chars().take(60).collect::<String>();
        assert!(in_a_thread(source).is_err(), "{start}");
    }
    // Legal, or not; it ends.
    for source in [
        format!("{{{{ {}1 }}}}", long("-")),
        format!("{{{{ {}1 }}}}", long("not ")),
        format!("{{{{ 1{} }}}}", long("|int")),
        format!("{{{{ 1{} }}}}", long("+1")),
        format!("{{{{ 1{} }}}}", long("**1")),
        format!("{{{{ 1{} }}}}", long("<1")),
        format!("{{{{ {}1 }}}}", long("1 if 1 else ")),
        long("{%if 1%}"),
        long("{{"),
        long("{#"),
        long("("),
        long("\""),
    ] {
        let _ = in_a_thread(source);
    }
}

fn in_a_thread(source: String) -> Result<String, Mistake> {
    let thread = std::thread::Builder::new().stack_size(stack_bytes(source.len()));
    thread.spawn(move || render(&source, &usual())).unwrap().join().unwrap()
}

#[test]
fn a_large_cluster_fits() {
    let servers: Vec<Server> =
        (0..Servers::MAX).map(|n| server(&format!("web{n}"), &format!("10.7.{}.{}:80", n / 256, n % 256))).collect();
    let names: Vec<String> = (0..4).map(|n| format!("web{n}")).collect();
    let upstreams: Vec<(&str, Vec<Server>)> = names.iter().map(|name| (name.as_str(), servers.clone())).collect();
    let data = Data::new(&document(&upstreams, &[]), Generation(1));
    let source = "{% for u in upstreams %}{% for s in u.servers if s.state == \"in\" %}server {{ s.member }} {{ s.endpoint }} weight \
                  {{ s.weight }}{% if s.backup %} backup{% endif %}\n{% endfor %}{% endfor %}";
    assert_eq!(render(source, &data).unwrap().lines().count(), 4 * Servers::MAX);
}

/// A name as a hostile peer may choose it, often nearly plain.
fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9._-]{1,9}", "[a-z{}%;\"'\n\\\\#$ é]{1,9}", any::<String>()]
        .prop_filter("a name", |name| NodeName::new(name).is_some())
}

proptest! {
    /// The template prints every field of everything between marks of its own, so whatever a member says shows.
    #[test]
    fn no_text_of_a_member_outside_the_alphabet_reaches_a_file(names in prop::collection::vec(names(), 1..12)) {
        let addr = |n: usize| format!("10.77.{}.{}:80", n / 250, n % 250 + 1);
        let unique: BTreeMap<String, usize> = names.iter().cloned().zip(0..).collect();
        let servers = unique.iter().map(|(name, n)| server(name, &addr(*n))).collect();
        let plain = |name: &&String| PlainName::new(name).is_some();
        let members: Vec<(&str, &str, MemberStatus)> =
            unique.keys().filter(plain).map(|name| (name.as_str(), "10.77.0.1", MemberStatus::Alive)).collect();
        let source = "{% for u in upstreams %}{% for s in u.servers %}{% for k in s %}{{ k }}={{ s[k] }}\n{% endfor %}\
                      {% endfor %}{% endfor %}{% for m in members %}{% for k in m %}{{ k }}={{ m[k] }}\n{% endfor %}{% endfor %}";
        let text = render(source, &Data::new(&document(&[("web", servers)], &members), Generation(1))).unwrap();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:[]=\n".contains(c);
        prop_assert!(text.chars().all(is_plain), "{text:?}");
        prop_assert_eq!(text.matches("member=").count(), unique.keys().filter(plain).count());
    }

    #[test]
    fn any_source_is_rendered_or_refused_without_a_panic(source in "[{}%#a-z0-9 .|()\\[\\]\"~*+-]{0,60}") {
        let _ = render(&source, &usual());
    }

    /// Pieces of the language in any order.
    #[test]
    fn any_pieces_are_rendered_or_refused_without_a_panic(
        pieces in prop::collection::vec(prop::sample::select(&[
            "{% for x in upstreams %}", "{% endfor %}", "{{ x.name }}", "{{ ", " }}", "{% if ", " %}", "{% endif %}", "members",
            "generation", " ~ ", "|join", "|sort", "|list", "[0]", ".addr", "\"a\"", "{% set x = ", "{% macro m(x) %}",
            "{% endmacro %}", "m(1)", "{# ", " #}", "\n", " * 99999999", "range(99)",
        ][..]), 0..24)
    ) {
        let _ = render(&pieces.concat(), &usual());
    }
}
