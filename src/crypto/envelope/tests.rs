use proptest::prelude::*;

use super::*;

const NONCE_BYTES: [u8; NONCE] = *b"only for now";

fn key(fill: u8) -> Key {
    Key::new(&[fill; 32]).unwrap()
}

fn sealed(version: Version, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal(&key(1), version, NONCE_BYTES, &[b"blue"], plain, &mut out);
    out
}

#[test]
fn both_versions_are_read_back_at_every_length() {
    let keys = [key(2), key(1)];
    for version in [Version::V0, Version::V1] {
        for len in 1..=33 {
            let plain = vec![7; len];
            let envelope = sealed(version, &plain);
            assert!(envelope.len() <= len + OVERHEAD_V0);
            assert_eq!(open(&keys, b"blue", &envelope), Ok(Opened { plain: plain.clone(), key: key(1).id() }));
            assert_eq!(open(&keys, b"green", &envelope), Err(OpenError::NotOpened));
            assert_eq!(open(&keys[..1], b"blue", &envelope), Err(OpenError::NotOpened));
            let frame = seal_frame(&key(1), version, NONCE_BYTES, b"blue", &plain);
            assert_eq!(frame_len(&frame), Ok(Some(frame.len())));
            assert_eq!(open_frame(&keys, b"blue", &frame), Ok(Opened { plain, key: key(1).id() }));
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for envelope in [sealed(Version::V0, b"plain"), sealed(Version::V1, b"plain")] {
        for at in 0..envelope.len() * 8 {
            let mut flipped = envelope.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            // The version is not authenticated: a version 0 text read as version 1 keeps its padding, the reverse fails.
            let opened = open(&[key(1)], b"blue", &flipped);
            assert!(opened.is_err() || at == 0 && opened.unwrap().plain.len() == 16, "bit {at}");
        }
    }
}

#[test]
fn an_empty_plaintext_is_refused() {
    assert_eq!(open(&[key(1)], b"blue", &sealed(Version::V0, b"")), Err(OpenError::Empty));
    assert_eq!(open(&[key(1)], b"blue", &sealed(Version::V1, b"")), Err(OpenError::Empty));
}

#[test]
fn padding_that_reaches_too_far_is_refused() {
    for (last, outcome) in [(0, Err(OpenError::Padding)), (17, Err(OpenError::Padding)), (16, Err(OpenError::Empty))] {
        let mut text = [last; 16];
        let tag = key(1).cipher().seal(&NONCE_BYTES, b"", &mut text);
        let envelope = [&[0], &NONCE_BYTES[..], &text, &tag].concat();
        assert_eq!(open(&[key(1)], b"", &envelope), outcome, "{last}");
    }
}

#[test]
fn lengths_are_checked_before_anything_is_opened() {
    let keys = [key(1)];
    assert_eq!(open(&keys, b"", &[]), Err(OpenError::Short));
    assert_eq!(open(&keys, b"", &[1; 28]), Err(OpenError::Short));
    assert_eq!(open(&keys, b"", &[0; 44]), Err(OpenError::Short));
    assert_eq!(open(&keys, b"", &[2; 64]), Err(OpenError::Version(2)));
    assert_eq!(frame_len(&[]), Ok(None));
    assert_eq!(frame_len(&[kind::ENCRYPT, 0, 0, 0]), Ok(None));
    assert_eq!(frame_len(&[kind::ENCRYPT, 1, 0x40, 0, 0]), Ok(Some(5 + MAX_FRAME)));
    assert_eq!(frame_len(&[kind::ENCRYPT, 1, 0x40, 0, 1]), Err(OpenError::FrameTooLong(MAX_FRAME + 1)));
    assert_eq!(frame_len(&[kind::PUSH_PULL]), Err(OpenError::NotEncrypted));
    assert_eq!(open_frame(&keys, b"", &[kind::ENCRYPT, 0, 0, 0, 9, 1]), Err(OpenError::FrameLength));
}

proptest! {
    #[test]
    fn any_bytes_are_refused(version in 0u8..3, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let envelope = [&[version][..], &bytes].concat();
        prop_assert!(open(&[key(1), key(2)], b"blue", &envelope).is_err());
        prop_assert!(open_frame(&[key(1)], b"blue", &[&[kind::ENCRYPT][..], &bytes].concat()).is_err());
    }
}
