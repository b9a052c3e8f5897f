//! Whole conversations: real entries and graphs on a network that loses, delays and doubles.

mod addresses;
mod ahead;
mod bodies;
mod bounds;
mod catch_up;
mod converge;
mod digest;
mod farewell;
mod founding;
mod harness;
mod hostile;
mod join;
mod peer;
mod ranges;
