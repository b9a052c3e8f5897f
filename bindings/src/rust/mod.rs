//! Rust
use crate::Files;
use crate::error::BindingsError;
use crate::model::Module;
pub(crate) fn files(_module: &Module) -> Result<Files, BindingsError> {
    Ok(Files::new())
}
