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
    /// Runs calls: compiled slowly, runs fast.
    calls: Engine,
    calls_linker: Linker<Session>,
    /// Runs a module once, to initialise it: compiled fast, runs slowly.
    initialise: Engine,
    initialise_linker: Linker<Session>,
}

/// What an engine is for; makes a difference to speed only.
#[derive(Clone, Copy)]
enum Purpose {
    Calls,
    Initialise,
}

impl HostEngine {
    /// Sets the engine up.
    ///
    /// # Errors
    /// [`HostError::Engine`] if this machine cannot run it.
    pub fn new() -> Result<Self, HostError> {
        let calls = Engine::new(&config(Purpose::Calls)).map_err(engine_error)?;
        let initialise = Engine::new(&config(Purpose::Initialise)).map_err(engine_error)?;
        Ok(Self(Arc::new(Inner {
            calls_linker: imports::linker(&calls).map_err(engine_error)?,
            calls,
            initialise_linker: imports::linker(&initialise).map_err(engine_error)?,
            initialise,
        })))
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
        f.debug_tuple("HostEngine").field(&ENGINE).finish()
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

fn config(purpose: Purpose) -> Config {
    let mut config = Config::new();

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

    // Memory: never moves, always has its full size, faults decide what is out of bounds. The
    // sizes are those of 64-bit machines, written down so that no default can change them.
    config.memory_reservation(4 << 30);
    config.memory_guard_size(32 << 20);
    config.memory_may_move(false);
    config.guard_before_linear_memory(true);
    config.signals_based_traps(true);
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
    config
}
