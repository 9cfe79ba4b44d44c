use super::*;
use crate::wire::message::SeqNo;

fn nack(seq_no: u32) -> Message {
    Message::Nack(SeqNo::new(seq_no))
}

/// Wraps as the receiver must cope with it, whether or not a sender of ours would.
fn compound(parts: &[Vec<u8>]) -> Vec<u8> {
    compound::encode(&parts.iter().map(|part| Bytes::copy_from_slice(part)).collect::<Vec<_>>())
}

#[test]
fn every_combination_of_layers_is_read_back() {
    let messages: Vec<Message> = (0..3).map(nack).collect();
    let parts: Vec<Bytes> = messages.iter().map(Message::encode).collect();
    for (compress, crc) in [(false, false), (false, true), (true, false), (true, true)] {
        for count in [1, 3] {
            let decoded = decode(&encode(&parts[..count], compress, crc));
            assert_eq!(decoded, Decoded { messages: messages[..count].to_vec(), errors: vec![] });
        }
    }
}

#[test]
fn compression_is_used_only_where_it_helps() {
    let one = nack(7).encode();
    assert_eq!(encode(std::slice::from_ref(&one), true, false), one);
    let many = vec![one; 100];
    assert!(encode(&many, true, false).len() < encode(&many, false, false).len());
}

#[test]
fn one_compressed_part_and_a_compound_on_either_side_are_the_deepest_packet() {
    let message = nack(7).encode().to_vec();
    let inner = compound(std::slice::from_ref(&message));
    let compressed = compress::deflate(&inner);
    let deepest = compound(std::slice::from_ref(&compressed));
    assert_eq!(decode(&deepest).messages, [nack(7)]);

    let nesting = DecodeError::new("packet", 0, Problem::Nesting);
    let too_deep = [
        compound(&[inner]),
        compress::deflate(&compressed),
        compound(&[compound(std::slice::from_ref(&deepest))]),
        compress::deflate(&compound(&[compound(std::slice::from_ref(&message))])),
    ];
    for packet in too_deep {
        assert_eq!(decode(&packet), Decoded { messages: vec![], errors: vec![nesting] });
    }
    let twice = decode(&compound(&[compressed.clone(), compressed]));
    assert_eq!(twice, Decoded { messages: vec![nack(7)], errors: vec![nesting] });
}

#[test]
fn a_broken_part_does_not_spoil_the_others() {
    let good = nack(7).encode().to_vec();
    let decoded = decode(&compound(&[vec![], good.clone(), vec![99], good]));
    assert_eq!(decoded.messages, [nack(7), nack(7)]);
    assert_eq!(decoded.errors.len(), 2);
}

#[test]
fn a_packet_may_decompress_to_256_kib_and_not_to_more() {
    let body = |len: usize| [vec![kind::USER], vec![0; len]].concat();
    let most = compound(&[body((64 << 10) - 2)]);
    assert_eq!(decode(&compress::deflate(&most)).messages.len(), 1);
    let bomb = compress::deflate(&vec![kind::COMPOUND; MAX_INFLATED + 1]);
    assert!(bomb.len() < 1000);
    assert_eq!(decode(&bomb).errors[0].problem, Problem::TooLong);
    let just_fits = compress::deflate(&vec![99; MAX_INFLATED]);
    assert_eq!(decode(&just_fits).errors[0].problem, Problem::TooLong, "a body is bounded too");
}
