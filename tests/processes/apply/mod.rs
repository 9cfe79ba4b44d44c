//! `apply` against a real NGINX: each test runs its own, on its own loopback address, and ends it.

mod crash;
mod cut;
#[cfg(feature = "faults")]
mod faults;
mod files;
mod find;
mod heal;
mod helper;
#[cfg(feature = "faults")]
mod killed;
mod lost;
mod namespace;
mod places;
#[cfg(feature = "faults")]
mod power;
mod races;
#[cfg(feature = "faults")]
mod recovery;
mod reload;
mod rollback;
mod servers;
mod sizes;
mod slow;
mod streams;
mod timing;
mod upgrade;
mod watchdog;

use weir::upstream::Generation;

use crate::nginx::Nginx;

/// That the journal tells the truth: the files are those of the generation that it has in place.
fn tells_the_truth(nginx: &Nginx) -> Generation {
    let state = nginx.path("state");
    let (generation, _) = weir::apply::live(&state).unwrap().unwrap();
    let saved = weir::apply::generation(&state, generation).unwrap();
    for file in saved.files() {
        assert_eq!(saved.bytes(file).unwrap(), Some(std::fs::read(&file.target).unwrap()), "{}", file.target.display());
    }
    generation
}
