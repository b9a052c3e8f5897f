//! Devices on networks of their own: each is a real process on a host made of a network namespace.
//! They find each other, are parted, restart, have wrong clocks and bad links; then they are equal,
//! every call that was acknowledged is there, and what each cost is printed.
//!
//! Only root may make network namespaces; everybody else is told that these tests were not run.

mod bad_links;
mod calls;
mod clocks;
mod host;
mod lan;
mod report;
mod restarts;
mod together;
mod wire;

pub(crate) use host::{Host, wait_until_equal};
pub(crate) use lan::{Lan, ip, prefix};
