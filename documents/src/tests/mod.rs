//! Changes held against the library that made them, and documents against each other.

mod editing;
mod hostile;
mod merging;
mod reading;
mod writers;
