//! The label in front of packets and streams (`memberlist §1.2`).

use super::message::kind;

/// Why a packet's label was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LabelError {
    #[error("label header is cut off or empty")]
    Malformed,
    #[error("label is not ours")]
    Mismatch,
}

/// Longest label, in bytes.
pub const MAX_BYTES: usize = 255;

/// Bytes that a label costs in front of a packet.
pub const fn overhead(label: &[u8]) -> usize {
    if label.is_empty() { 0 } else { 2 + label.len() }
}

/// Removes the label header and compares it with `label`, which is empty if none is configured.
pub fn strip<'a>(packet: &'a [u8], label: &[u8]) -> Result<&'a [u8], LabelError> {
    strip_stream(packet, label)?.ok_or(LabelError::Malformed)
}

/// As [`strip`], for the beginning of a stream: `None` as long as the header is not complete.
pub fn strip_stream<'a>(stream: &'a [u8], label: &[u8]) -> Result<Option<&'a [u8]>, LabelError> {
    let (theirs, rest): (&[u8], _) = match stream {
        [kind::LABEL, 0, ..] => return Err(LabelError::Malformed),
        [kind::LABEL, len, rest @ ..] => match rest.split_at_checked(usize::from(*len)) {
            Some(split) => split,
            None => return Ok(None),
        },
        [kind::LABEL] => return Ok(None),
        _ => (&[], stream),
    };
    if theirs == label { Ok(Some(rest)) } else { Err(LabelError::Mismatch) }
}

/// Appends the label header to `out`; nothing for an empty label.
///
/// Panics if the label is longer than [`MAX_BYTES`].
pub fn prepend(label: &[u8], out: &mut Vec<u8>) {
    if !label.is_empty() {
        let len = u8::try_from(label.len()).expect("configuration limits a label to 255 bytes");
        out.extend_from_slice(&[kind::LABEL, len]);
        out.extend_from_slice(label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_in_label_is_refused() {
        let mut packet = Vec::new();
        prepend(b"blue", &mut packet);
        packet.push(0);
        assert_eq!(strip(&packet, b"blue"), Ok(&[0][..]));
        assert_eq!(strip(&packet, b"green"), Err(LabelError::Mismatch));
        assert_eq!(strip(&packet, b""), Err(LabelError::Mismatch));
        assert_eq!(strip(&[0], b"blue"), Err(LabelError::Mismatch));
        assert_eq!(strip(&[0], b""), Ok(&[0][..]));
    }

    #[test]
    fn an_incomplete_label_is_an_error_in_a_packet_and_a_wait_on_a_stream() {
        for cut in [&[kind::LABEL][..], &[kind::LABEL, 4], &[kind::LABEL, 4, b'b']] {
            assert_eq!(strip(cut, b"blue"), Err(LabelError::Malformed));
            assert_eq!(strip_stream(cut, b"blue"), Ok(None));
        }
        assert_eq!(strip_stream(&[kind::LABEL, 0, 0], b""), Err(LabelError::Malformed));
    }
}
