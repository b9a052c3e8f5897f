//! The programs of a greenhouse whose devices coordinate themselves: simulated sensors and actuators, and a
//! live view. Each talks to the peer of its own device, which goes on when the network does not.
//!
//! The module that they use is in `examples/modules/greenhouse`; its rules are compiled here too, to be
//! tested and to judge as it does.

#![forbid(unsafe_code)]

mod actuator;
mod device;
mod duty;
mod peer;
mod rows;
#[path = "../../modules/greenhouse/src/rules.rs"]
#[allow(dead_code, reason = "the module uses all of it")]
#[allow(unreachable_pub, reason = "it is public in the module")]
mod rules;
mod sensor;
mod state;
mod view;
mod watch;
mod weather;
mod world;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Sensors, actuators and a live view for a greenhouse of devices that coordinate themselves.
#[derive(Debug, Parser)]
#[command(name = "greenhouse", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure, and write readings
    Sensor(sensor::Sensor),
    /// Claim jobs, and do them
    Actuator(actuator::Actuator),
    /// Show how the greenhouse stands
    Watch(watch::Watch),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Sensor(sensor) => sensor.run(),
        Verb::Actuator(actuator) => actuator.run(),
        Verb::Watch(watch) => watch.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenhouse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        for line in [
            "greenhouse",
            "greenhouse sensor roof --server http://a --upset 101",
            "greenhouse sensor roof --server http://a --every 0",
            "greenhouse sensor roof --server http://a --kind pressure",
            "greenhouse watch --server http://a --once --every 5",
            "greenhouse actuator --server http://a",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
