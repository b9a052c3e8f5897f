//! `greenhouse sensor`: measures and writes what it measured, for ever or so many times.

use crate::device::{Waits, state_file};
use crate::peer::{Peer, Place, Refused};
use crate::weather::{Kind, Weather};
use crate::world::pause;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `sensor`.
#[derive(Args, Debug)]
pub(crate) struct Sensor {
    #[command(flatten)]
    place: Place,
    /// What people call it
    name: String,
    /// What it measures
    #[arg(long, value_enum, default_value_t = Kind::Temperature)]
    kind: Kind,
    /// Milliseconds between two readings
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=86_400_000))]
    every: u64,
    /// So many readings; without it, until it is stopped
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// What the simulated values follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of a hundred readings so many begin an upset: values that raise an alarm
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=100))]
    upset: u8,
    /// Folder for its token, by which it is the same device the next time [default: greenhouse in
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "GREENHOUSE_STATE")]
    state: Option<PathBuf>,
}

impl Sensor {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let peer = Peer::of(&self.place)?;
        let (peer, identity) = peer.known_by(&state_file(self.state.as_deref(), &self.name)?)?;
        let name = &self.name;
        register(&peer, name, self.kind.variant())?;
        println!("{name}: {identity} at {}", peer.address());
        let mut weather = Weather::new(self.kind, self.seed, self.upset);
        let mut waits = Waits::default();
        let mut written = 0;
        while self.count.is_none_or(|count| written < count) {
            let value = weather.next();
            match peer.call("record", &json!([value])) {
                Ok(_) => {
                    written += 1;
                    if waits.over() {
                        println!("{name}: the peer answers again");
                    }
                    pause(Duration::from_millis(self.every));
                }
                // What was not written is not measured again: the next value is the newer one.
                Err(Refused::Later(error)) => {
                    let wait = waits.next();
                    eprintln!("{name}: {error}; trying again in {} s", wait.as_secs());
                    pause(wait);
                }
                Err(Refused::No(_, why)) => {
                    let wait = waits.next();
                    eprintln!("{name}: {why}; registering again in {} s", wait.as_secs());
                    pause(wait);
                    register(&peer, name, self.kind.variant())?;
                }
            }
        }
        println!("{name}: {written} readings written");
        Ok(())
    }
}

/// Makes this identity a device, or does nothing if it is one.
///
/// # Errors
/// Why not.
pub(crate) fn register(peer: &Peer, name: &str, kind: &str) -> anyhow::Result<()> {
    let mut waits = Waits::default();
    loop {
        match peer.call("register", &json!([name, kind])) {
            Ok(_) => return Ok(()),
            Err(Refused::No(_, why)) => anyhow::bail!("{why}"),
            Err(Refused::Later(error)) => {
                let wait = waits.next();
                eprintln!("{name}: {error}; trying again in {} s", wait.as_secs());
                pause(wait);
            }
        }
    }
}
