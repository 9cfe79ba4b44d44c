//! The shared secret of TCP clients (`rpc §3`).

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A token, kept as its digest: comparing takes the same time whatever is presented, and it cannot leak from here.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The token `secret`; `None` if it is empty, which is no token.
    pub fn new(secret: &[u8]) -> Option<Self> {
        (!secret.is_empty()).then(|| Self(Sha256::digest(secret).into()))
    }

    /// Whether `presented` is this token.
    pub fn accepts(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&presented).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let token = Token::new(b"s3cret").unwrap();
        for (presented, accepted) in
            [("s3cret", true), ("s3cre", false), ("s3cret ", false), ("", false), ("S3CRET", false)]
        {
            assert_eq!(token.accepts(presented.as_bytes()), accepted, "{presented}");
        }
    }

    #[test]
    fn nothing_is_no_token() {
        assert!(Token::new(b"").is_none());
        assert_eq!(format!("{:?}", Token::new(b"s3cret").unwrap()), "Token");
    }
}
