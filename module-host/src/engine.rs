//! The engine that compiles modules, with every option that could make two peers disagree set here
//! and nowhere else.

use std::fmt;
use std::sync::Arc;

use wasmtime::{
    Config, Engine, Inlining, InstanceAllocationStrategy, Linker, OptLevel, RegallocAlgorithm,
    Strategy, WasmFeatures,
};

use crate::error::HostError;
use crate::imports;
use crate::imports::session::Session;
use crate::limits::STACK_BYTES_MAX;

/// Number of this engine: prices, passes, limits and formats as they stand in this crate. It is
/// database state: a peer that does not know a database's number reads but does not run.
pub const ENGINE: u32 = 1;

/// Compiles modules and links them to the imports. Cheap to clone; one serves all databases.
#[derive(Clone)]
pub struct HostEngine(Arc<Inner>);

struct Inner {
    backend: Backend,
    /// Runs calls: compiled slowly, runs fast.
    calls: Engine,
    calls_linker: Linker<Session>,
    /// Runs a module once, to initialise it: compiled fast, runs slowly.
    initialise: Engine,
    initialise_linker: Linker<Session>,
}

/// What runs the code of modules. It makes a difference to speed only: rows, outcomes and units are
/// the same, so the peers of one database need not agree on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Code of the machine itself, compiled by Cranelift.
    #[default]
    Cranelift,
    /// Pulley, wasmtime's portable interpreter: about ten times slower. For processors that
    /// Cranelift has no code for, and for machines that let no program make code.
    Pulley,
}

/// What an engine is for; makes a difference to speed only.
#[derive(Clone, Copy)]
enum Purpose {
    Calls,
    Initialise,
}

impl HostEngine {
    /// Sets the engine up, with code of the machine itself.
    ///
    /// # Errors
    /// [`HostError::Engine`] if this machine cannot run it.
    pub fn new() -> Result<Self, HostError> {
        Self::with(Backend::default())
    }

    /// Sets the engine up.
    ///
    /// # Errors
    /// [`HostError::Engine`] if this machine cannot run it.
    pub fn with(backend: Backend) -> Result<Self, HostError> {
        let engine = |purpose| {
            let config = config(purpose, backend).map_err(engine_error)?;
            Engine::new(&config).map_err(engine_error)
        };
        let calls = engine(Purpose::Calls)?;
        let initialise = engine(Purpose::Initialise)?;
        Ok(Self(Arc::new(Inner {
            backend,
            calls_linker: imports::linker(&calls).map_err(engine_error)?,
            calls,
            initialise_linker: imports::linker(&initialise).map_err(engine_error)?,
            initialise,
        })))
    }

    /// What runs the code.
    pub(crate) fn backend(&self) -> Backend {
        self.0.backend
    }

    /// The engine and the imports of modules that are called.
    pub(crate) fn for_calls(&self) -> (&Engine, &Linker<Session>) {
        (&self.0.calls, &self.0.calls_linker)
    }

    /// The engine and the imports of modules that are initialised.
    pub(crate) fn for_initialise(&self) -> (&Engine, &Linker<Session>) {
        (&self.0.initialise, &self.0.initialise_linker)
    }
}

impl fmt::Debug for HostEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostEngine")
            .field(&ENGINE)
            .field(&self.0.backend)
            .finish()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn engine_error(error: wasmtime::Error) -> HostError {
    HostError::Engine(format!("{error:#}"))
}

/// Proposals that a module may use. Everything else is off, by name, so that an upgrade of the
/// libraries cannot switch anything on:
/// tail calls (they would escape the call depth), exceptions (they would skip its countdown),
/// threads, 64-bit and several memories (the marking pass knows one 32-bit memory), relaxed SIMD
/// (results differ by processor), references to host values, garbage collection, stack switching.
pub(crate) const GUEST_FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST);

/// What the engine accepts: the above, and a second memory for the marks that we add ourselves.
const ENGINE_FEATURES: WasmFeatures = GUEST_FEATURES.union(WasmFeatures::MULTI_MEMORY);

/// The interpreter for machines like this one.
const PULLEY_TARGET: &str = match (
    cfg!(target_pointer_width = "64"),
    cfg!(target_endian = "big"),
) {
    (true, false) => "pulley64",
    (true, true) => "pulley64be",
    (false, false) => "pulley32",
    (false, true) => "pulley32be",
};

fn config(purpose: Purpose, backend: Backend) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if backend == Backend::Pulley {
        config.target(PULLEY_TARGET)?;
    }

    // The language: exactly the proposals above, on or off one by one.
    for flag in WasmFeatures::all().iter() {
        config.wasm_features(flag, ENGINE_FEATURES.contains(flag));
    }
    config.relaxed_simd_deterministic(true);
    config.wasm_branch_hinting(false);
    config.shared_memory(false);
    config.concurrency_support(false);

    // Results: processors differ in the bits of a NaN, so there is one NaN.
    config.cranelift_nan_canonicalization(true);

    // Time: nothing is interrupted by a clock. Metering is in the code; fuel stands behind it and
    // is never an outcome, because its prices change between releases.
    config.epoch_interruption(false);
    config.consume_fuel(true);

    // Stack: call depth is in the code; this stands behind it.
    config.max_wasm_stack(STACK_BYTES_MAX);

    // Memory: never moves, always has its full size. What is out of bounds is decided by faults, or
    // by the interpreter, which looks at every address. The sizes are those of 64-bit machines,
    // written down so that no default can change them.
    config.memory_reservation(4 << 30);
    config.memory_guard_size(32 << 20);
    config.memory_may_move(false);
    config.guard_before_linear_memory(true);
    config.signals_based_traps(backend == Backend::Cranelift);
    config.memory_init_cow(true);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);

    // Compiling: one compiler; what it does for speed differs, what it computes does not.
    config.strategy(Strategy::Cranelift);
    config.compiler_inlining(Inlining::No);
    config.cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking);
    config.cranelift_opt_level(match purpose {
        Purpose::Calls => OptLevel::Speed,
        Purpose::Initialise => OptLevel::None,
    });

    // Reports: a trap is told by its kind. Frames and addresses would differ by release.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.debug_info(false);
    Ok(config)
}
