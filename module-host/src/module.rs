//! A module that is ready to be called.

use std::fmt;
use std::sync::Arc;

use sync_protocol::BlobHash;
use wasmtime::InstancePre;

use crate::artifact::{self, ArtifactKey, Artifacts};
use crate::def::ModuleDef;
use crate::describe::describe;
use crate::engine::HostEngine;
use crate::error::{HostError, PrepareError};
use crate::imports::session::Session;
use crate::instance::Runner;
use crate::limits::{Limits, MEMORY_BYTES_MAX, UNITS_MAX, WASM_PAGE_BYTES};
use crate::prepare::{Initialisers, Prepared, prepare};

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
        let limits = possible(limits);
        let (prepared, compiled) = compile(engine, wasm, &limits)?;
        Self::of(engine, BlobHash::of(wasm), limits, prepared, &compiled)
    }

    /// The same, from an artifact if `artifacts` has one, which takes milliseconds. Otherwise an
    /// artifact is left there for the next time.
    ///
    /// # Errors
    /// As [`Self::prepare`]. What is wrong with an artifact is no error: it is not used.
    ///
    /// # Panics
    /// Never because of the module or the artifact.
    pub fn prepare_once(
        engine: &HostEngine,
        wasm: &[u8],
        limits: Limits,
        key: &ArtifactKey,
        artifacts: &dyn Artifacts,
    ) -> Result<Self, PrepareError> {
        let limits = possible(limits);
        let hash = BlobHash::of(wasm);
        let name = artifact::name(engine, &hash, &limits);
        let kept = artifacts.artifact(&name);
        if let Some((prepared, compiled)) =
            kept.and_then(|bytes| artifact::open(engine, key, &name, &bytes))
        {
            return Self::of(engine, hash, limits, prepared, &compiled);
        }
        let (prepared, compiled) = compile(engine, wasm, &limits)?;
        let sealed = artifact::seal(key, &name, &prepared, &compiled)?;
        let module = Self::of(engine, hash, limits, prepared, &compiled)?;
        artifacts.put_artifact(&name, &sealed);
        Ok(module)
    }

    fn of(
        engine: &HostEngine,
        hash: BlobHash,
        limits: Limits,
        prepared: Prepared,
        compiled: &wasmtime::Module,
    ) -> Result<Self, PrepareError> {
        let def = describe(prepared.description)?;
        let (_, linker) = engine.for_calls();
        let pre = linker
            .instantiate_pre(compiled)
            .map_err(|error| HostError::Bug(format!("a marked module does not link: {error:#}")))?;
        Ok(Self(Arc::new(Inner {
            hash,
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

/// What was asked for, as far as the module host can do it.
fn possible(limits: Limits) -> Limits {
    Limits {
        memory_bytes_max: limits.memory_bytes_max.min(MEMORY_BYTES_MAX),
        units_per_invocation: limits.units_per_invocation.min(UNITS_MAX),
        call_depth_max: limits.call_depth_max.min(crate::limits::CALL_DEPTH_MAX),
    }
}

fn compile(
    engine: &HostEngine,
    wasm: &[u8],
    limits: &Limits,
) -> Result<(Prepared, wasmtime::Module), PrepareError> {
    let prepared = prepare(engine, wasm, limits)?;
    let (compiler, _) = engine.for_calls();
    let compiled = wasmtime::Module::new(compiler, &prepared.wasm)
        .map_err(|error| HostError::Bug(format!("a marked module does not compile: {error:#}")))?;
    Ok((prepared, compiled))
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.0.hash).finish()
    }
}
