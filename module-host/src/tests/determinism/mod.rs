//! What one processor could do otherwise than another: every call here is both compiled and
//! interpreted, and must come to the same to the last bit and unit.

mod code;
mod hazards;
mod operations;
