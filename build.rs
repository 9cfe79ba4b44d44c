//! Lays out the program that ships: the functions a running agent calls lie side by side (`packaging/order`).
//!
//! The kernel maps a program in runs of many pages around each one that is touched. Scattered over the program, the quarter
//! of it that an agent calls kept nearly all of it resident.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by their environment")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=packaging/order.ld");
    let is = |variable, value| env::var(variable).is_ok_and(|found| found == value);
    // GNU's and LLVM's linkers take the script; whoever chose another one goes without it.
    let linker_chosen = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("fuse-ld"));
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && !linker_chosen {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}/packaging/order.ld", env!("CARGO_MANIFEST_DIR"));
    }
}
