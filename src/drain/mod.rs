//! Safe leave (`protocols A`), both sides, without I/O: a node goes when every balancer has said that it sends no more requests
//! there.
//!
//! | file | owns |
//! |---|---|
//! | `tag` | what the tag `weir_drain` says |
//! | `fact` | what is known of a node's drain, and which word of two counts |
//! | `promise` | what a balancer may not take back |
//! | `message` | the question and its answers, as they travel |
//! | `remote` | the drain of another node, and its story, as they travel |
//! | `departure` | the leaving node's side: from the operator's word to the last request |
//! | `flight` | whether requests are still on their way here, by this host's connections |
//! | `ledger` | the balancer's side: its facts, promises and answers |
//! | `place` | what a balancer's decisions make of a leaving node |
//! | `document` | what a client asks of its agent, and the story that it is told |

mod departure;
pub mod document;
mod fact;
pub mod flight;
mod ledger;
mod message;
mod place;
mod promise;
mod remote;
mod tag;

pub use departure::{
    BALANCER, Cause, Departure, DrainRequest, Flight, Guard, Guards, Kept, NotKept, Output, Peer, Presence, Times,
    TooLate,
};
pub use fact::{Fact, Facts};
pub use ledger::{Ledger, Output as Request, Standing, Told};
pub use message::{Question, Reply, Word};
pub use place::Place;
pub use promise::{DrainId, Promise, Promises, PromisesError};
pub use remote::{RemoteAnswer, RemoteDrain, Told as RemoteStory};
pub use tag::DrainTag;

#[cfg(test)]
mod tests;
