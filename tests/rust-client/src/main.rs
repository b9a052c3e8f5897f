//! Cases
#![deny(warnings)]
include!(concat!(env!("OUT_DIR"), "/modules.rs"));
fn main() {}
