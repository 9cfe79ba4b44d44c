//! The JSON documents of weir's own RPC commands: what came, and what goes back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rpc::call::Reply;

/// Where the answer of one of our commands goes: a document, or an error for the client to read.
pub(super) type DocumentReply = Reply<Result<String, String>>;

/// A client's document; none is an empty one.
pub(super) fn parse<T: DeserializeOwned>(document: &str) -> Result<T, String> {
    // serde's own message may quote the text, and that may hold a key.
    serde_json::from_str(if document.is_empty() { "{}" } else { document })
        .map_err(|error| format!("not understood (line {}, column {})", error.line(), error.column()))
}

/// Our answer.
pub(super) fn json(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("our documents are maps with text keys, which JSON can always hold")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::document::Probe;

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        assert_eq!(parse::<Probe>("{\"members\": \"c2VjcmV0\"}"), Err("not understood (line 1, column 22)".to_owned()));
        assert_eq!(parse::<Probe>("{\"c2VjcmV0\": 1}"), Err("not understood (line 1, column 11)".to_owned()));
        assert!(parse::<Probe>("{\"members\": []}").is_ok());
    }
}
