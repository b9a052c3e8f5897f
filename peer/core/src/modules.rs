//! Prepared modules. Preparing one (checking, initialising, compiling) costs a second; several
//! databases of one module, and several cores in one process, share the result.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use module_host::{Backend, HostEngine, HostError, Limits, Module, PrepareError};
use sync_protocol::{BlobHash, Options};

/// Modules kept, whether a database still runs them or not: bounds what publishing many costs.
const MODULES_KEPT_MAX: usize = 8;

/// What was prepared for what.
type Kept = VecDeque<((BlobHash, Options), Module)>;

/// The module host and what it has prepared. Clones share both.
#[derive(Clone)]
pub struct Modules {
    host: HostEngine,
    kept: Arc<Mutex<Kept>>,
}

impl Modules {
    /// Sets up the module host, with code of the machine itself.
    ///
    /// # Errors
    /// [`HostError`] when wasm cannot be run on this machine.
    pub fn new() -> Result<Self, HostError> {
        Self::with(Backend::default())
    }

    /// Sets up the module host with a back end. It decides nothing but speed.
    ///
    /// # Errors
    /// [`HostError`] when wasm cannot be run on this machine.
    pub fn with(backend: Backend) -> Result<Self, HostError> {
        Ok(Self {
            host: HostEngine::with(backend)?,
            kept: Arc::default(),
        })
    }

    /// A module ready to run under a database's options.
    pub(crate) fn prepare(&self, wasm: &[u8], options: &Options) -> Result<Module, PrepareError> {
        let wanted = (BlobHash::of(wasm), *options);
        // A panic while it was held cannot have left the list in halves.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, module)) = kept.iter().find(|(key, _)| *key == wanted) {
            return Ok(module.clone());
        }
        let limits = Limits {
            memory_bytes_max: options.memory_bytes_max,
            units_per_invocation: options.units_per_invocation,
            call_depth_max: options.call_depth_max,
        };
        let module = Module::prepare(&self.host, wasm, limits)?;
        kept.truncate(MODULES_KEPT_MAX - 1);
        kept.push_front((wanted, module.clone()));
        Ok(module)
    }
}
