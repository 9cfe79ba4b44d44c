//! Keys as they come in commands: base64 with the errors of Go's decoder, which clients print.

use zeroize::Zeroizing;

/// Decodes what Go's `base64.StdEncoding` decodes: padded, newlines ignored, trailing bits ignored.
///
/// The error is Go's text with Go's idea of where the input went wrong.
pub(crate) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut key = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    match decode_into(text.as_bytes(), &mut key) {
        Ok(()) => Ok(key),
        Err(at) => Err(format!("illegal base64 data at input byte {at}")),
    }
}

fn decode_into(input: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let mut at = 0;
    let mut quantum = 0_u32;
    let mut filled = 0;
    while let Some(&byte) = input.get(at) {
        at += 1;
        match (value(byte), byte) {
            (Some(value), _) => {
                quantum = quantum << 6 | u32::from(value);
                filled += 1;
            }
            (None, b'\n' | b'\r') => {}
            (None, b'=') => {
                at = padding(input, at, filled)?;
                out.extend_from_slice(&(quantum << (6 * (4 - filled))).to_be_bytes()[1..filled]);
                return if at == input.len() { Ok(()) } else { Err(at) };
            }
            (None, _) => return Err(at - 1),
        }
        if filled == 4 {
            out.extend_from_slice(&quantum.to_be_bytes()[1..]);
            (quantum, filled) = (0, 0);
        }
    }
    if filled == 0 { Ok(()) } else { Err(at - filled) }
}

/// Passes over the padding whose first character ends at `at`; returns where it and newlines behind it end.
fn padding(input: &[u8], at: usize, filled: usize) -> Result<usize, usize> {
    let mut end = at;
    match filled {
        0 | 1 => return Err(at - 1),
        2 => {
            end = after_newlines(input, end);
            match input.get(end) {
                None => return Err(input.len()),
                Some(b'=') => end += 1,
                Some(_) => return Err(end - 1),
            }
        }
        _ => {}
    }
    Ok(after_newlines(input, end))
}

fn after_newlines(input: &[u8], at: usize) -> usize {
    at + input[at..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count()
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn errors_stand_where_go_puts_them() {
        let at =
            |text| decode(text).map(|key| key.to_vec()).map_err(|error| error.rsplit(' ').next().unwrap().to_owned());
        // input       decoded, or where it went wrong
        assert_eq!(at(""), Ok(vec![]));
        assert_eq!(at("AAEC"), Ok(vec![0, 1, 2]));
        assert_eq!(at("AAE="), Ok(vec![0, 1]));
        assert_eq!(at("AA=="), Ok(vec![0]));
        assert_eq!(at("AA\n=\n=\n"), Ok(vec![0]));
        assert_eq!(at("AAEC\r\nAAEC"), Ok(vec![0, 1, 2, 0, 1, 2]));
        assert_eq!(at("zzz!"), Err("3".to_owned()));
        assert_eq!(at("zzz"), Err("0".to_owned()));
        assert_eq!(at("AAECzz"), Err("4".to_owned()));
        assert_eq!(at("="), Err("0".to_owned()));
        assert_eq!(at("A==="), Err("1".to_owned()));
        assert_eq!(at("AA="), Err("3".to_owned()));
        assert_eq!(at("AA=x"), Err("2".to_owned()));
        assert_eq!(at("AA==x"), Err("4".to_owned()));
        assert_eq!(at("AAE=AAEC"), Err("4".to_owned()));
        assert_eq!(at("AAECé"), Err("4".to_owned()));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for len in 0..40_u8 {
            let bytes: Vec<u8> = (0..len).map(|byte| byte.wrapping_mul(37)).collect();
            assert_eq!(decode(&STANDARD.encode(&bytes)).unwrap().to_vec(), bytes);
        }
    }
}
