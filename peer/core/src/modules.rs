//! Prepared modules. Preparing one (checking, initialising, compiling) costs a second; several
//! databases of one module, and several cores in one process, share the result, and what was
//! compiled is kept on disk for the next start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use module_host::{
    ArtifactKey, Artifacts, Backend, HostEngine, HostError, Limits, Module, PrepareError,
};
use store::Disk;
use sync_protocol::{BlobHash, Options, SecretKey};

/// Modules kept, whether a database still runs them or not: bounds what publishing many costs.
const MODULES_KEPT_MAX: usize = 8;

/// What was prepared for what.
type Kept = VecDeque<((BlobHash, Options), Module)>;

/// The module host and what it has prepared. Clones share both.
#[derive(Clone)]
pub struct Modules {
    host: HostEngine,
    kept: Arc<Mutex<Kept>>,
    /// Whose artifacts are used; nobody's if the peer has not said who it is.
    artifacts_of: Option<ArtifactKey>,
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
            artifacts_of: None,
        })
    }

    /// The same, with artifacts that this device makes and will know again.
    pub(crate) fn of_device(mut self, key: &SecretKey) -> Self {
        self.artifacts_of = Some(ArtifactKey::of_device(&key.to_bytes()));
        self
    }

    /// A module ready to run under a database's options.
    pub(crate) fn prepare(
        &self,
        wasm: &[u8],
        options: &Options,
        disk: &dyn Disk,
    ) -> Result<Module, PrepareError> {
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
        let module = match &self.artifacts_of {
            Some(key) => Module::prepare_once(&self.host, wasm, limits, key, &OnDisk(disk))?,
            None => Module::prepare(&self.host, wasm, limits)?,
        };
        kept.truncate(MODULES_KEPT_MAX - 1);
        kept.push_front((wanted, module.clone()));
        Ok(module)
    }
}

/// The part of a disk that keeps artifacts.
struct OnDisk<'a>(&'a dyn Disk);

impl Artifacts for OnDisk<'_> {
    fn artifact(&self, name: &BlobHash) -> Option<Vec<u8>> {
        self.0.artifact(name)
    }

    fn put_artifact(&self, name: &BlobHash, artifact: &[u8]) {
        self.0.put_artifact(name, artifact);
    }
}
