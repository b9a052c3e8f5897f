//! Why no client code can be written.

/// Why no client code can be written. Always the module's fault: nothing else takes part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingsError {
    /// The bytes are no definition of a module.
    #[error("the definition of the module cannot be read: {0}")]
    Undecodable(String),
    /// A definition older than version 9.
    #[error("the module describes itself in a format older than that of 1.0: rebuild it")]
    Old,
    /// Something is described that client code is not written for.
    #[error("client code for {0} is not supported")]
    Unsupported(String),
    /// The definition contradicts itself.
    #[error("the definition of the module does not make sense: {0}")]
    Senseless(String),
    /// Two things would get one name in client code.
    #[error("two {what} would be called {name} in client code: rename one of them")]
    SameName {
        /// Their kind, in the plural.
        what: String,
        /// The name.
        name: String,
    },
}
