use serde_json::Value;
use weir::wire::lzw::{self, LzwError};

use super::support::{cases, hex_of, load, number, text};

#[test]
fn every_pair_holds_both_ways() {
    for case in cases(&load("lzw.json"), "cases") {
        let compressed = hex_of(case, "lzw");
        assert_eq!(compressed.len(), number::<usize>(case, "lzw_len"));
        let plain = match &case["plain"] {
            // Too long to be listed; length and checksum follow.
            Value::Null => lzw::decode(&compressed, 1 << 16).unwrap(),
            _ => hex_of(case, "plain"),
        };
        assert_eq!(plain.len(), number::<usize>(case, "plain_len"));
        assert_eq!(format!("{:08x}", crc32fast::hash(&plain)), text(case, "plain_crc32"));
        assert_eq!(lzw::encode(&plain), compressed, "{}", case["name"]);
        assert_eq!(lzw::decode(&compressed, plain.len()).as_ref(), Ok(&plain), "{}", case["name"]);
        if let Some(one_less) = plain.len().checked_sub(1) {
            assert_eq!(lzw::decode(&compressed, one_less), Err(LzwError::TooLong), "{}", case["name"]);
        }
        for cut in (0..compressed.len()).step_by(compressed.len() / 200 + 1) {
            assert!(lzw::decode(&compressed[..cut], plain.len()).is_err(), "{} cut at {cut}", case["name"]);
        }
    }
}
