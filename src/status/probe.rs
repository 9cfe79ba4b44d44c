//! What `weir doctor` asks of agents beyond the [node document](super::node). Names are peers' own: escape them before a
//! terminal sees them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A query that weir agents answer by themselves, with the milliseconds of their clock since 1970.
pub const CLOCK_QUERY: &str = "weir-clock";

/// Ping these members by UDP; answered with [`Probed`] within two seconds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Probe {
    pub members: Vec<String>,
}

/// Who answered.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Probed {
    /// With the milliseconds it took.
    pub reached: BTreeMap<String, u64>,
    /// Who was pinged and did not. Who stands in neither list could not be pinged.
    pub silent: Vec<String>,
}
