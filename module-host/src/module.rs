//! A module that is ready to be called.

use std::fmt;
use std::sync::Arc;

use sync_protocol::BlobHash;
use wasmtime::InstancePre;

use crate::def::ModuleDef;
use crate::describe::describe;
use crate::engine::HostEngine;
use crate::error::{HostError, PrepareError};
use crate::imports::session::Session;
use crate::instance::Runner;
use crate::limits::{Limits, MEMORY_BYTES_MAX, UNITS_MAX, WASM_PAGE_BYTES};
use crate::prepare::{Initialisers, prepare};

/// A checked, prepared and compiled module. Cheap to clone.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

pub(crate) struct Inner {
    hash: BlobHash,
    def: ModuleDef,
    pub(crate) pre: InstancePre<Session>,
    /// What the database permits.
    pub(crate) limits: Limits,
    /// Exports of the globals that are set back before a call.
    pub(crate) globals: Vec<String>,
    /// What to run before every call, if no snapshot could be taken.
    pub(crate) initialisers: Option<Initialisers>,
    /// Bytes that its memory has.
    pub(crate) memory_bytes: usize,
    /// Those of them that its image lies in.
    pub(crate) image_bytes: usize,
}

impl Module {
    /// Checks and prepares the bytes that somebody published.
    ///
    /// Limits above what the module host can do are taken as that. Compiling takes about a second
    /// for each 100 KB of a module.
    ///
    /// # Errors
    /// [`PrepareError`] says why the module cannot be used; of its variants only
    /// [`PrepareError::Host`] depends on this peer.
    ///
    /// # Panics
    /// Never because of the module.
    pub fn prepare(engine: &HostEngine, wasm: &[u8], limits: Limits) -> Result<Self, PrepareError> {
        let limits = Limits {
            memory_bytes_max: limits.memory_bytes_max.min(MEMORY_BYTES_MAX),
            units_per_invocation: limits.units_per_invocation.min(UNITS_MAX),
            call_depth_max: limits.call_depth_max.min(crate::limits::CALL_DEPTH_MAX),
        };
        let prepared = prepare(engine, wasm, &limits)?;
        let def = describe(prepared.description)?;
        let (compiler, linker) = engine.for_calls();
        let compiled = wasmtime::Module::new(compiler, &prepared.wasm).map_err(|error| {
            HostError::Bug(format!("a marked module does not compile: {error:#}"))
        })?;
        let pre = linker
            .instantiate_pre(&compiled)
            .map_err(|error| HostError::Bug(format!("a marked module does not link: {error:#}")))?;
        Ok(Self(Arc::new(Inner {
            hash: BlobHash::of(wasm),
            def,
            pre,
            limits,
            globals: prepared.globals,
            initialisers: prepared.initialisers,
            memory_bytes: prepared.memory_pages as usize * WASM_PAGE_BYTES,
            image_bytes: prepared.image_pages as usize * WASM_PAGE_BYTES,
        })))
    }

    /// The hash of the bytes as they were published.
    #[must_use]
    pub fn hash(&self) -> BlobHash {
        self.0.hash
    }

    /// What it defines.
    #[must_use]
    pub fn def(&self) -> &ModuleDef {
        &self.0.def
    }

    /// Whether an instance lives on between calls and is set back. If not, because the module does
    /// what a snapshot cannot hold, every call makes and initialises one, which takes about a
    /// hundred times as long.
    #[must_use]
    pub fn keeps_instance(&self) -> bool {
        self.0.initialisers.is_none()
    }

    /// Makes something to call it with. One runner runs one call at a time.
    ///
    /// # Errors
    /// [`HostError::Instance`] if this machine cannot give what an instance needs.
    pub fn instantiate(&self) -> Result<Runner, HostError> {
        Runner::new(self.0.clone())
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.0.hash).finish()
    }
}
