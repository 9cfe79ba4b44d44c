//! Everything that the protocol documents list as able to kill, wedge or mislead a real agent (`memberlist §7`,
//! `serf §14`), thrown at one endpoint: weir survives it, counts it by its reason, and does not pass it on.
//! [`flood`] throws ten thousand malformed packets and streams a second at an agent.
//!
//! Cases that need to look inside are unit tests beside the code and are not repeated here:
//!
//! - `serf/tests.rs`, `hostile_*`: prunes of the living, relays, answers, names, types, regular expressions, times at the
//!   limit, equal times of queries;
//! - `serf/push_pull`, `serf/intent`, `serf/ring`, `serf/query/open`, `serf/reap`: what each table and ring holds at most;
//! - `swim/tests.rs`: the decision tables with every incarnation at its edge, one record of impossible versions, purging;
//! - `crypto/envelope`, `crypto/session`: every flipped bit, lengths, counters, windows, full tables, hellos;
//! - `wire/*`: depth, lengths and counts of every decoder; `agent/stream`: an accept that fails.

mod envelope;
mod flood;
mod members;
mod packet;
mod serf;
mod stream;
mod victim;
