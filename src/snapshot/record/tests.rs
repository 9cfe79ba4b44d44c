use proptest::prelude::*;

use super::*;

fn line(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.write(&mut out);
    assert_eq!(out.pop(), Some(b'\n'));
    out
}

fn any_name() -> impl Strategy<Value = NodeName> {
    prop_oneof!["[a-z0-9.-]{1,12}", any::<String>(), "[ %=\n\t\r\u{0}%é]{1,20}"]
        .prop_filter_map("no name", |text| NodeName::new(&text))
}

fn any_tags() -> impl Strategy<Value = Tags> {
    prop::collection::btree_map(any::<String>(), any::<String>(), 0..5)
}

pub(in crate::snapshot) fn any_record() -> impl Strategy<Value = Record> {
    let addr = || (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from);
    let at = || any::<u64>().prop_map(UnixTime);
    let ltime = || any::<u64>().prop_map(LamportTime);
    prop_oneof![
        Just(Record::Header),
        (any_name(), addr(), at()).prop_map(|(name, addr, at)| Record::Alive { name, addr, at }),
        (any_name(), addr(), at(), prop::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(name, addr, at, meta)| Record::Failed { name, addr, at, meta: meta.into() }),
        any_name().prop_map(|name| Record::Gone { name }),
        (ltime(), ltime(), ltime()).prop_map(|(member, event, query)| Record::Clocks(SeenClocks {
            member,
            event,
            query
        })),
        any::<u32>().prop_map(|number| Record::Incarnation(Incarnation::new(number))),
        prop::option::of(any_tags()).prop_map(Record::Tags),
        any_tags().prop_map(|tags| Record::TagsDeleted(tags.into_keys().collect())),
        any_drain().prop_map(|kept| Record::Drain(Some(kept))),
        Just(Record::Drain(None)),
        Just(Record::Leave),
    ]
}

fn any_drain() -> impl Strategy<Value = Kept> {
    let unit = prop_oneof![Just(String::new()), "[a-z@=% \\-]{1,20}"];
    let guard = unit.prop_map(|unit| Guard::new(&unit).unwrap_or_default());
    let guards = prop::collection::vec(guard, 0..4).prop_map(|guards| guards.into_iter().collect());
    let (id, reason) = (any::<u32>(), prop::option::of(any::<String>()));
    (id, any::<u64>(), any::<bool>(), guards, reason).prop_map(|(id, since, operator, guards, reason)| Kept {
        id: DrainId::drawn(id),
        since: LamportTime(since),
        operator,
        guards,
        reason,
    })
}

#[test]
fn a_drain_is_by_an_operator_and_guards_whom_earlier_files_do_not_name() {
    let guards = |units: &[&str]| units.iter().map(|unit| Guard::new(unit).unwrap_or_default()).collect();
    // who asked, its line
    for (operator, guards, body) in [
        (true, guards(&[]), "operator =kernel"),
        (false, guards(&[""]), "guard =kernel"),
        (true, guards(&[""]), "both =kernel"),
        (false, guards(&["a.service", "b 2.service"]), "guard =kernel @a.service @b%202.service"),
        (true, guards(&["", "a.service"]), "both =kernel @ @a.service"),
        (false, guards(&[]), "- =kernel"),
    ] {
        let (id, since, reason) = (DrainId::drawn(7), LamportTime(3), Some("kernel".to_owned()));
        let record = Record::Drain(Some(Kept { id, since, operator, guards, reason }));
        let line = line(&record);
        assert_eq!(std::str::from_utf8(&line[CHECKSUM_BYTES..]).unwrap(), format!("drain 00000007 3 {body}"));
        assert_eq!(Record::read(&line), Some(record), "{body}");
    }
}

#[test]
fn lines_look_like_this() {
    let name = NodeName::new("web 1\n").unwrap();
    let addr = "[2001:db8::1]:7946".parse().unwrap();
    let at = UnixTime(1_760_000_000);
    let tags = Tags::from([("a=b".into(), String::new()), ("dc".into(), "größe 5%".into())]);
    let clocks = SeenClocks { member: LamportTime(12), event: LamportTime(0), query: LamportTime(u64::MAX) };
    for (record, body) in [
        (Record::Header, "weir-snapshot 1"),
        (Record::Alive { name: name.clone(), addr, at }, "alive web%201%0a [2001:db8::1]:7946 1760000000"),
        (
            Record::Failed { name: name.clone(), addr, at, meta: Bytes::from_static(b"\xff\x80") },
            "failed web%201%0a [2001:db8::1]:7946 1760000000 =/4A",
        ),
        (
            Record::Failed { name: name.clone(), addr, at, meta: Bytes::new() },
            "failed web%201%0a [2001:db8::1]:7946 1760000000 =",
        ),
        (Record::Gone { name }, "gone web%201%0a"),
        (Record::Clocks(clocks), "clocks 12 0 18446744073709551615"),
        (Record::Incarnation(Incarnation::new(7)), "incarnation 7"),
        (Record::Tags(Some(tags)), "tags a%3db= dc=größe%205%25"),
        (Record::Tags(Some(Tags::new())), "tags"),
        (Record::Tags(None), "tags-configured"),
        (Record::TagsDeleted(["a b".to_owned(), "weight".to_owned()].into()), "tags-deleted =a%20b =weight"),
        (Record::TagsDeleted(Default::default()), "tags-deleted"),
        (Record::Leave, "leave"),
    ] {
        let line = line(&record);
        assert_eq!(std::str::from_utf8(&line[CHECKSUM_BYTES..]).unwrap(), body);
        assert_eq!(Record::read(&line), Some(record));
    }
}

#[test]
fn what_was_not_written_by_us_is_no_record() {
    for body in [
        "",
        "alive",
        "alive a",
        "alive a 127.0.0.1:1",
        "alive a 127.0.0.1:1 5 6",
        "alive a 127.0.0.1 5",
        "alive %2 127.0.0.1:1 5",
        "alive %zz 127.0.0.1:1 5",
        "failed a 127.0.0.1:1 5",
        "failed a 127.0.0.1:1 5 =!",
        "clocks 1 2",
        "clocks 1 2 -3",
        "incarnation 4294967296",
        "tags a",
        "tags-deleted a",
        "drain 00000007 3",
        "drain 00000007 3 nobody",
        "drain 00000007 3 guard kernel",
        "drain 00000007 3 guard @a =kernel",
        "drain 00000007 3 operator @a",
        "leave now",
        "weir-snapshot 2",
        "unknown 1",
    ] {
        let line = format!("{:08x} {body}", crc32fast::hash(body.as_bytes()));
        assert_eq!(Record::read(line.as_bytes()), None, "{body}");
    }
    for line in ["", "leave", "00000000 leave", "leave leave "] {
        assert_eq!(Record::read(line.as_bytes()), None, "{line}");
    }
    assert_eq!(Record::read(&line(&Record::Leave).to_ascii_uppercase()), None);
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_one_line(record in any_record()) {
        let line = line(&record);
        prop_assert!(!line.contains(&b'\n'));
        prop_assert_eq!(Record::read(&line), Some(record));
    }

    #[test]
    fn any_flipped_byte_is_noticed(record in any_record(), position in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut line = line(&record);
        let position = position.index(line.len());
        line[position] ^= flip;
        prop_assert_eq!(Record::read(&line), None);
    }

    #[test]
    fn any_bytes_are_read_without_panic(line in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Record::read(&line);
    }
}
