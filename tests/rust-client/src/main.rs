//! SpacetimeDB's own client library for Rust, as crates.io gives it, against a real peer, with client code
//! that `tombolo generate` wrote. `tests/it/rust_client.rs` writes that code, publishes the modules,
//! builds this and runs it:
//!
//! `rust-client all` runs every case; `rust-client leave` and `rust-client return TOKEN` are before and
//! after a restart of the peer.

#![forbid(unsafe_code)]
// Client code has to compile without a warning in programs that are set to be strict.
#![deny(warnings)]

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

#[cfg(generated)]
mod calls;
#[cfg(generated)]
mod columns;
#[cfg(generated)]
mod connecting;
#[cfg(generated)]
mod harness;
#[cfg(generated)]
mod rows;
#[cfg(generated)]
mod views;

#[cfg(not(generated))]
fn main() {
    eprintln!("built without client code: `cargo xtask test` writes it first");
    std::process::exit(2);
}

#[cfg(generated)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["all"] => harness::run(
            &[
                connecting::CASES,
                rows::CASES,
                calls::CASES,
                columns::CASES,
                views::CASES,
            ]
            .concat(),
        ),
        ["leave"] => connecting::leave(),
        ["return", token] => connecting::come_back(token),
        _ => {
            eprintln!("usage: rust-client all | leave | return TOKEN");
            std::process::exit(2);
        }
    }
}
