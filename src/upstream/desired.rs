//! The document that crosses from the agent to `apply`: data, never text for NGINX.
//!
//! The agent faces the network and `apply` may be root, so the receiving side trusts nothing in it: size, version, unknown
//! fields, names, addresses, weights and counts are checked while it is read, and the configured limits of each upstream again
//! by `apply`. What NGINX's file needs beyond servers comes from the configuration on the receiving side.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Members, Servers, UpstreamName};
use crate::wire::NodeName;

/// What every upstream should look like. Upstreams that are not in it stay as they are.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// [`Self::VERSION`].
    #[serde(deserialize_with = "version")]
    version: u32,
    /// Chooses this balancer's order of lines.
    pub order: u64,
    /// By name; a name twice is refused.
    #[serde(deserialize_with = "upstreams")]
    pub upstreams: BTreeMap<UpstreamName, Target>,
    /// For templates; empty where none is configured.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    pub members: Members,
}

/// What one upstream should look like.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// These servers.
    Servers(Servers),
    /// The placeholder line alone.
    Placeholder,
}

impl Target {
    /// The servers, unless it is the placeholder.
    pub fn servers(&self) -> Option<&Servers> {
        match self {
            Self::Servers(servers) => Some(servers),
            Self::Placeholder => None,
        }
    }
}

/// serde's maps let the last of two equal keys win, and two readers could then see two documents.
pub(super) fn each_once<'de, D, T>(from: D, max: usize) -> Result<BTreeMap<UpstreamName, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct EachOnce<T>(usize, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for EachOnce<T> {
        type Value = BTreeMap<UpstreamName, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("upstreams by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let Self(max, _) = self;
            let mut upstreams = BTreeMap::new();
            while let Some((name, value)) = entries.next_entry::<UpstreamName, T>()? {
                if upstreams.insert(name.clone(), value).is_some() {
                    return Err(A::Error::custom(format!("upstream {name} is listed twice")));
                }
                if upstreams.len() > max {
                    return Err(A::Error::custom(format!("more than {max} upstreams")));
                }
            }
            Ok(upstreams)
        }
    }
    from.deserialize_map(EachOnce(max, PhantomData))
}

fn upstreams<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<UpstreamName, Target>, D::Error> {
    each_once(from, Desired::MAX_UPSTREAMS)
}

/// Within another document nobody has looked at the version yet.
fn version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(from)?;
    let known = version == Desired::VERSION;
    if known { Ok(version) } else { Err(D::Error::custom(DesiredError::Version(version))) }
}

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// Larger than [`Desired::MAX_BYTES`].
    #[error("a desired document of {0} bytes is too large, the limit is {max}", max = Desired::MAX_BYTES)]
    TooLarge(usize),
    /// Written by another version of weir.
    #[error("desired document version {0} is not understood, this is version {ours}; run the same weir on both sides", ours = Desired::VERSION)]
    Version(u32),
    /// Not the document.
    #[error("not a desired document")]
    Syntax(#[from] serde_json::Error),
}

impl Desired {
    /// The version written and understood.
    pub const VERSION: u32 = 1;
    /// Largest document, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// Most upstreams in one document.
    pub const MAX_UPSTREAMS: usize = 256;

    /// An empty document for the balancer with this seed of order.
    pub fn new(order: u64) -> Self {
        Self { version: Self::VERSION, order, upstreams: BTreeMap::new(), members: Members::default() }
    }

    /// The seed of order for a balancer of this name: the same after each restart, another for each balancer (FNV-1a).
    pub fn order_of(balancer: &NodeName) -> u64 {
        let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        balancer.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers always have a JSON form")
    }

    /// Checks and reads.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DesiredError> {
        #[derive(serde::Deserialize)]
        struct Head {
            version: u32,
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(DesiredError::TooLarge(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.version != Self::VERSION {
            return Err(DesiredError::Version(head.version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Server, Weight};

    const WHOLE: &str = r#"{"version":1,"order":7,"upstreams":{"web":{"servers":[{"member":"web1","addr":"10.77.0.12:80","weight":2,"down":false,"backup":false,"max_conns":0}]},"api":"placeholder"}}"#;

    fn refused(json: &str) -> String {
        let error = Desired::from_json(json.as_bytes()).unwrap_err();
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
    }

    #[test]
    fn a_document_comes_back_as_it_was() {
        let desired = Desired::from_json(WHOLE.as_bytes()).unwrap();
        assert_eq!(Desired::from_json(&desired.to_json()).unwrap(), desired);
        let mut built = Desired::new(7);
        let server = Server {
            member: NodeName::new("web1").unwrap(),
            addr: "10.77.0.12:80".parse().unwrap(),
            weight: Weight::new(2).unwrap(),
            down: false,
            backup: false,
            max_conns: 0,
        };
        let servers = Target::Servers(Servers::new(vec![server]).unwrap());
        built.upstreams.insert(UpstreamName::new("web").unwrap(), servers);
        built.upstreams.insert(UpstreamName::new("api").unwrap(), Target::Placeholder);
        assert_eq!(built, desired);
        assert!(!String::from_utf8(desired.to_json()).unwrap().contains("members"), "nobody lists them");
        let members = r#","members":[{"name":"web1","addr":"10.77.0.12","status":"alive"}]}"#;
        let with_members = format!("{}{members}", WHOLE.trim_end_matches('}').to_owned() + "}");
        let desired = Desired::from_json(with_members.as_bytes()).unwrap();
        assert_eq!(desired.members.as_slice().len(), 1);
        assert_eq!(Desired::from_json(&desired.to_json()).unwrap(), desired);
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_or_reach_a_file_is_refused() {
        for (part, instead, words) in [
            (
                "\"version\":1",
                "\"version\":2",
                "desired document version 2 is not understood, this is version 1; run the same weir on both sides",
            ),
            ("\"order\":7", "\"order\":7,\"more\":1", "unknown field `more`"),
            ("\"down\"", "\"down\":true,\"down\"", "duplicate field `down`"),
            ("\"web\"", "\"web; include /etc/shadow\"", "is no upstream name"),
            ("\"api\"", "\"web\"", "upstream web is listed twice"),
            ("10.77.0.12:80", "10.77.0.12", "invalid socket address"),
            ("10.77.0.12:80", "web1:80", "invalid socket address"),
            ("10.77.0.12:80", "10.77.0.12:80; server 6.6.6.6:80", "invalid socket address"),
            ("10.77.0.12:80", "010.77.0.12:80", "invalid socket address"),
            ("10.77.0.12:80", "10.77.0.12:0", "cannot be a server"),
            ("10.77.0.12:80", "[fe80::1%2]:80", "cannot be a server"),
            ("\"weight\":2", "\"weight\":0", "weight 0 is not within 1..=256"),
            ("\"weight\":2", "\"weight\":257", "weight 257 is not within 1..=256"),
            ("\"weight\":2", "\"weight\":-1", "invalid value"),
            ("\"max_conns\":0", "\"max_conns\":4294967296", "invalid value"),
            ("\"member\":\"web1\"", "\"member\":\"\"", "a member's name has 1 to 512 bytes"),
        ] {
            assert!(WHOLE.contains(part), "{part}");
            let error = refused(&WHOLE.replacen(part, instead, 1));
            assert!(error.contains(words), "{instead}: {error}");
        }
        let server = WHOLE.find("{\"member").zip(WHOLE.find("]}")).map(|(from, to)| &WHOLE[from..to]).unwrap();
        assert!(refused(&WHOLE.replace(server, "")).contains("at least one server"));
        assert!(refused(&WHOLE.replace(server, &format!("{server},{server}"))).contains("listed twice"));
        assert!(refused(&format!("{WHOLE} x")).contains("trailing characters"));
    }

    #[test]
    fn size_and_count_are_limited() {
        assert!(matches!(Desired::from_json(&vec![b' '; Desired::MAX_BYTES + 1]), Err(DesiredError::TooLarge(_))));
        let many: Vec<String> = (0..=Desired::MAX_UPSTREAMS).map(|n| format!("\"u{n}\":\"placeholder\"")).collect();
        let json = format!("{{\"version\":1,\"order\":0,\"upstreams\":{{{}}}}}", many.join(","));
        assert!(refused(&json).contains("more than 256 upstreams"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Desired::from_json(&bytes);
        }
    }
}
