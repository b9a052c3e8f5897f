//! Whole-system tests: real processes on loopback, and what has to be true of the repository.
//!
//! `cargo xtask test` builds what they need (the program and the example modules) and runs them.

#![forbid(unsafe_code)]

mod abi_page;
mod backup;
mod browser;
mod cabinet;
mod client;
mod compression;
mod demo;
mod demo_module;
mod determinism;
mod devices;
mod disk;
mod docs;
mod finality;
mod greenhouse;
mod harness;
mod hostile_clients;
mod hostile_modules;
mod http_bodies;
mod kill_loop;
mod layering;
mod lifecycle;
mod members;
mod mesh;
mod modules;
mod network;
mod network_namespaces;
mod network_nat;
mod node;
mod notes;
mod oidc;
mod old_modules;
mod repository;
mod rust_client;
mod schedules;
mod sdk;
mod sdk_v1;
mod secrets;
mod sockets;
mod tls;
mod upgrades;
