//! Compiled modules as bytes, so that a peer need not compile again at each start.
//!
//! An artifact is code of this machine that will be run as it stands, so nobody else's is: it carries
//! a keyed hash that only the device which made it can make, and that is looked at before anything
//! else (`docs/decisions/13-compiled-modules-on-disk.md`). It is disposable: whatever is wrong with
//! one, the module is compiled anew.

use std::fmt;

use serde::{Deserialize, Serialize};
use sync_protocol::BlobHash;

use crate::engine::{ENGINE, HostEngine};
use crate::error::HostError;
use crate::limits::Limits;
use crate::prepare::Prepared;

/// Made of a device's secret key, for this alone.
const KEY_CONTEXT: &str = "tombolo compiled module 1";

/// What an artifact is called, besides the build: blake3 of whatever decides what is in it.
const NAME_CONTEXT: &str = "tombolo compiled module name 1";

/// The passes and libraries that made it, as `build.rs` saw them.
const BUILD: &str = env!("MODULE_HOST_BUILD");

const SEAL_BYTES: usize = blake3::OUT_LEN;

/// Proves that an artifact was made by this device. Not printed.
#[derive(Clone)]
pub struct ArtifactKey([u8; blake3::KEY_LEN]);

impl ArtifactKey {
    /// The key of a device, from its secret key.
    #[must_use]
    pub fn of_device(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key(KEY_CONTEXT, secret))
    }

    fn seal(&self, name: &BlobHash, content: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(name.as_bytes());
        hasher.update(content);
        hasher.finalize()
    }
}

impl fmt::Debug for ArtifactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArtifactKey(..)")
    }
}

/// Where artifacts are kept. Losing them costs time only, so nothing here fails.
pub trait Artifacts {
    /// The artifact of that name, as far as it can be read.
    fn artifact(&self, name: &BlobHash) -> Option<Vec<u8>>;

    /// Keeps an artifact, if there is room for it.
    fn put_artifact(&self, name: &BlobHash, artifact: &[u8]);
}

/// The name of an artifact: of this module, for these limits, on an engine like this one of a
/// program like this one.
pub(crate) fn name(engine: &HostEngine, wasm: &BlobHash, limits: &Limits) -> BlobHash {
    let mut hasher = blake3::Hasher::new_derive_key(NAME_CONTEXT);
    hasher.update(&ENGINE.to_le_bytes());
    hasher.update(format!("{BUILD} {:?}", engine.backend()).as_bytes());
    hasher.update(wasm.as_bytes());
    hasher.update(&limits.memory_bytes_max.to_le_bytes());
    hasher.update(&limits.units_per_invocation.to_le_bytes());
    hasher.update(&limits.call_depth_max.to_le_bytes());
    BlobHash(*hasher.finalize().as_bytes())
}

/// What is in an artifact, behind its seal.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    /// What the passes found; its `wasm` is left out, as the code is here.
    #[serde(borrow)]
    prepared: Facts<'a>,
    /// What wasmtime makes of a compiled module. It looks itself whether its version, its options
    /// and the processor fit.
    code: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Facts<'a> {
    globals: Vec<String>,
    description: &'a [u8],
    initialisers: Option<crate::prepare::Initialisers>,
    memory_pages: u32,
    image_pages: u32,
}

/// Seals a compiled module.
///
/// # Errors
/// [`HostError::Bug`] if wasmtime cannot put it into bytes.
pub(crate) fn seal(
    key: &ArtifactKey,
    name: &BlobHash,
    prepared: &Prepared,
    compiled: &wasmtime::Module,
) -> Result<Vec<u8>, HostError> {
    let code = compiled
        .serialize()
        .map_err(|error| HostError::Bug(format!("no artifact: {error:#}")))?;
    let content = Content {
        prepared: Facts {
            globals: prepared.globals.clone(),
            description: &prepared.description,
            initialisers: prepared.initialisers.clone(),
            memory_pages: prepared.memory_pages,
            image_pages: prepared.image_pages,
        },
        code: &code,
    };
    let mut artifact = vec![0; SEAL_BYTES];
    artifact = postcard::to_extend(&content, artifact)
        .map_err(|error| HostError::Bug(format!("no artifact: {error}")))?;
    let seal = key.seal(name, &artifact[SEAL_BYTES..]);
    artifact[..SEAL_BYTES].copy_from_slice(seal.as_bytes());
    Ok(artifact)
}

/// Opens an artifact of that name, if this device made it and this program can run it.
pub(crate) fn open(
    engine: &HostEngine,
    key: &ArtifactKey,
    name: &BlobHash,
    artifact: &[u8],
) -> Option<(Prepared, wasmtime::Module)> {
    let (seal, content) = artifact.split_first_chunk::<SEAL_BYTES>()?;
    if key.seal(name, content) != blake3::Hash::from_bytes(*seal) {
        return None;
    }
    let content: Content<'_> = postcard::from_bytes(content).ok()?;
    #[expect(
        unsafe_code,
        reason = "wasmtime runs what it is given: docs/decisions/13-compiled-modules-on-disk.md"
    )]
    // SAFETY: the seal was right, so these are the bytes that `serialize` gave on this device to
    // somebody who held its secret key; they lie in memory that nobody else writes.
    let compiled = unsafe { wasmtime::Module::deserialize(engine.for_calls().0, content.code) };
    let facts = content.prepared;
    let prepared = Prepared {
        wasm: Vec::new(),
        globals: facts.globals,
        description: facts.description.to_vec(),
        initialisers: facts.initialisers,
        memory_pages: facts.memory_pages,
        image_pages: facts.image_pages,
    };
    Some((prepared, compiled.ok()?))
}
