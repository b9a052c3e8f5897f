//! What every message is in bytes, and what must not be read.

mod compressing;
mod golden;
mod properties;
mod rows;
mod samples;
mod text;
