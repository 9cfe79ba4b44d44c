use super::*;

fn written(dialect: Dialect, write: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
    let mut writer = Writer::new(dialect);
    write(&mut writer);
    writer.into_vec()
}

#[test]
fn numbers_take_their_shortest_form() {
    for (value, bytes) in [
        (0, &[0][..]),
        (127, &[0x7f]),
        (128, &[0xcc, 0x80]),
        (255, &[0xcc, 0xff]),
        (256, &[0xcd, 1, 0]),
        (65_535, &[0xcd, 0xff, 0xff]),
        (65_536, &[0xce, 0, 1, 0, 0]),
        (u32::MAX.into(), &[0xce, 0xff, 0xff, 0xff, 0xff]),
        (1 << 32, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (i64::MAX, &[0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (-1, &[0xff]),
        (-32, &[0xe0]),
        (-33, &[0xd0, 0xdf]),
        (-128, &[0xd0, 0x80]),
        (-129, &[0xd1, 0xff, 0x7f]),
        (-32_769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
        (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
    ] {
        assert_eq!(written(Dialect::Raw, |w| w.int(value)), bytes, "{value}");
        assert_eq!(Reader::new(bytes).i64(), Ok(value));
    }
    assert_eq!(written(Dialect::Raw, |w| w.uint(u64::MAX))[0], 0xcf);
}

#[test]
fn strings_and_bytes_follow_the_dialect() {
    // length, raw of either, str, bin
    for (len, raw, str, bin) in [
        (0, &[0xa0][..], &[0xa0][..], &[0xc4, 0][..]),
        (31, &[0xbf], &[0xbf], &[0xc4, 31]),
        (32, &[0xda, 0, 32], &[0xd9, 32], &[0xc4, 32]),
        (255, &[0xda, 0, 255], &[0xd9, 255], &[0xc4, 255]),
        (256, &[0xda, 1, 0], &[0xda, 1, 0], &[0xc5, 1, 0]),
        (65_535, &[0xda, 255, 255], &[0xda, 255, 255], &[0xc5, 255, 255]),
        (65_536, &[0xdb, 0, 1, 0, 0], &[0xdb, 0, 1, 0, 0], &[0xc6, 0, 1, 0, 0]),
    ] {
        let text = "x".repeat(len);
        for (head, bytes) in [
            (raw, written(Dialect::Raw, |w| w.str(&text))),
            (raw, written(Dialect::Raw, |w| w.bin(text.as_bytes()))),
            (str, written(Dialect::Ext, |w| w.str(&text))),
            (bin, written(Dialect::Ext, |w| w.bin(text.as_bytes()))),
        ] {
            assert_eq!(bytes[..head.len()], *head);
            assert_eq!(Reader::new(&bytes).str(), Ok(&*text));
            assert_eq!(Reader::new(&bytes).bytes(), Ok(Cow::Borrowed(text.as_bytes())));
        }
    }
}

#[test]
fn nil_is_every_zero_value() {
    let nil = || Reader::new(&[0xc0]);
    assert_eq!(nil().u64(), Ok(0));
    assert_eq!(nil().i64(), Ok(0));
    assert_eq!(nil().f64(), Ok(0.0));
    assert_eq!(nil().bool(), Ok(false));
    assert_eq!(nil().str(), Ok(""));
    assert_eq!(nil().array_header(), Ok(0));
    assert_eq!(nil().map_header(), Ok(0));
    assert_eq!(nil().record(&["A"], |_, _| panic!("no field")), Ok(()));
    assert!(nil().take_nil());
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let problem = |result: Result<u64, DecodeError>| result.unwrap_err().problem;
    assert_eq!(problem(Reader::new(&[0xff]).u64()), Problem::Range);
    assert_eq!(problem(Reader::new(&[0xcd, 1, 0]).u8().map(u64::from)), Problem::Range);
    assert_eq!(problem(Reader::new(&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0]).u64()), Problem::Marker(0xcb));
    assert_eq!(problem(Reader::new(&[0xc2]).u64()), Problem::Marker(0xc2));
    assert_eq!(problem(Reader::new(&[]).u64()), Problem::Truncated);
    let huge = [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Reader::new(&huge).u64(), Ok(u64::MAX));
    assert_eq!(Reader::new(&huge).i64().unwrap_err().problem, Problem::Range);
}

#[test]
fn a_record_is_a_map_or_an_array_and_errors_name_its_field() {
    let read = |bytes: &[u8]| {
        let mut seen = (0, String::new());
        let mut reader = Reader::new(bytes);
        reader
            .record(&["Count", "Name"], |r, field| {
                match field {
                    "Count" => seen.0 = r.u32()?,
                    _ => seen.1 = r.str()?.to_owned(),
                }
                Ok(())
            })
            .map(|()| (seen, reader.offset()))
    };
    let both = (7, "x".to_owned());
    for (bytes, wanted) in [
        (&b"\x82\xa5Count\x07\xa4Name\xa1x"[..], both.clone()),
        (b"\x83\xa4Name\xa1x\xa5count\x09\xa5Count\x07", both.clone()),
        (b"\x82\xa5Count\x01\xa5Count\x07", (7, String::new())),
        (b"\x92\x07\xa1x", both.clone()),
        (b"\x93\x07\xa1x\x93\x01\x02\x03", both),
        (b"\xc0", (0, String::new())),
    ] {
        assert_eq!(read(bytes), Ok((wanted, bytes.len())));
    }
    let error = read(b"\x81\xa5Count\xa1x").unwrap_err();
    assert_eq!(error, DecodeError::new("Count", 7, Problem::Marker(0xa1)));
    assert_eq!(error.to_string(), "Count: unexpected msgpack marker 0xa1, at byte 7");
}

#[test]
fn skipping_passes_over_every_kind_of_value_eight_deep() {
    for value in [
        &[0xc0][..],
        &[0xca, 0, 0, 0, 0],
        &[0xc4, 1, 0],
        &[0xc7, 1, 5, 0],
        &[0xc8, 0, 1, 5, 0],
        &[0xc9, 0, 0, 0, 1, 5, 0],
        &[0xd4, 5, 0],
        &[0xd8, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x82, 0, 0x91, 1, 2, 3],
        &[0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0],
    ] {
        let mut reader = Reader::new(value);
        assert_eq!(reader.skip(), Ok(()), "{value:02x?}");
        assert_eq!(reader.offset(), value.len());
    }
    assert_eq!(Reader::new(&[0x91; 9]).skip().unwrap_err().problem, Problem::Depth);
    assert_eq!(Reader::new(&[0xc1]).skip().unwrap_err().problem, Problem::Marker(0xc1));
    assert_eq!(Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0]).skip().unwrap_err().problem, Problem::Truncated);
}
