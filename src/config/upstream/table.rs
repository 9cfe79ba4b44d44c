//! `[upstream.NAME]` as it is written, for the schema: the checked form has another shape.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;

use crate::config::schema::DurationText;
use crate::upstream::OnEmpty;

use super::file::{FormName, MethodName};

/// The whole table.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct UpstreamTable {
    /// Tags that a member must have, each with a regular expression for its whole value; all must match. Required.
    select: BTreeMap<String, String>,
    /// Networks that a server's address must be in; empty: any unicast address but loopback and link-local.
    allow: Vec<String>,
    /// Accept loopback addresses, for trials on one machine.
    allow_loopback: bool,
    /// Where each server's values come from: fixed, or from a tag with a default.
    server: ServerTable,
    /// What a state means.
    policy: PolicyTable,
    /// The file that NGINX gets.
    nginx: FileTable,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct ServerTable {
    /// Port. A tag that is outside min and max, or no number, leaves the server out.
    port: FixedOr<u16, PortTable>,
    /// Weight; 0 is down, above max counts as max, a tag that is no number counts as the default.
    weight: FixedOr<u32, WeightTable>,
    /// Whether the server is a backup; not with hash, ip_hash and random.
    backup: FixedOr<bool, TagTable<bool>>,
    /// Most connections at a time; 0: no limit.
    max_conns: FixedOr<u32, TagTable<u32>>,
    /// Failures within fail_timeout after which NGINX avoids a server; 0: never.
    max_fails: u32,
    /// Time in which failures count, and for which a server is then avoided; whole seconds.
    #[schemars(with = "DurationText")]
    fail_timeout: Duration,
}

#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum FixedOr<T, U> {
    Fixed(T),
    ByTag(U),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct TagTable<T> {
    /// Name of the tag.
    tag: String,
    /// Value for members without the tag.
    default: T,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct PortTable {
    /// Name of the tag.
    tag: String,
    /// Port of members without the tag.
    default: u16,
    /// Lowest port that is used.
    min: u16,
    /// Highest port that is used.
    max: u16,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct WeightTable {
    /// Name of the tag.
    tag: String,
    /// Weight of members without the tag, or with one that is no number.
    default: u32,
    /// Highest weight.
    max: u32,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct PolicyTable {
    /// keep: nobody left means the last servers stay; error: NGINX answers 502 at once. Where none were ever in: 502, too.
    on_empty: OnEmpty,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct FileTable {
    /// block: a whole upstream block; servers: lines to include in a block of your own; none: no file.
    form: FormName,
    /// The file; empty: conf.d/weir-NAME.conf beside NGINX's configuration. Required for servers.
    output: String,
    /// How NGINX balances.
    method: MethodName,
    /// What the method hash hashes: NGINX variables.
    hash_key: String,
    /// A removed server moves only its own keys.
    hash_consistent: bool,
    /// Shared memory for NGINX's counters, 32k or more; empty: none.
    zone: String,
    /// Idle connections that each worker process keeps; 0: none.
    keepalive: u32,
}
