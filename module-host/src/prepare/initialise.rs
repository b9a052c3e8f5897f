//! Runs a module's initialisers once, takes its description, and takes a snapshot of it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::{AsContextMut, Instance, InstancePre, Module, Store, Trap, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use super::check::{DESCRIBE, INITIALIZE, Initialisers, MEMORY, SETUP};
use super::meter::{DEPTH, UNITS};
use crate::engine::HostEngine;
use crate::error::{HostError, PrepareError};
use crate::imports::Stop;
use crate::imports::session::{FIRST_HANDLE, Reach, Session};
use crate::limits::{DESCRIPTION_BYTES_MAX, FUNCTION_BYTES_MAX, INITIALISE_UNITS_MAX};

/// Fuel for a unit: the code that the passes add included, more than any unit can take.
const FUEL_PER_UNIT: u64 = 64;

/// Fuel beyond that: between two looks at the units left lies at most one function's code, and each
/// of its bytes takes a few.
const FUEL_BEYOND: u64 = 16 * FUNCTION_BYTES_MAX as u64;

/// A module that was initialised.
pub(super) struct Initialised {
    /// BSATN of `RawModuleDef`.
    pub(super) description: Vec<u8>,
    /// The module as it stands after its initialisers, or none if it does what a snapshot cannot
    /// hold: then they run before every call.
    pub(super) snapshot: Option<Vec<u8>>,
}

/// Initialises a metered module.
///
/// # Errors
/// [`PrepareError::Initialise`] if the module breaks off; [`PrepareError::Host`] if we do.
pub(super) fn initialise(
    engine: &HostEngine,
    metered: &[u8],
    initialisers: &Initialisers,
    call_depth_max: u32,
) -> Result<Initialised, PrepareError> {
    let (compiler, linker) = engine.for_initialise();
    let wizer = Wizer::new();
    // What cannot be told from a snapshot is refused here: tables that change, segments that are
    // dropped, globals that hold references.
    let instrumented = wizer.instrument(metered);
    let wasm = instrumented.as_ref().map_or(metered, |(_, wasm)| wasm);
    let compiled = Module::new(compiler, wasm)
        .map_err(|error| HostError::Bug(format!("a metered module does not compile: {error:#}")))?;
    let pre = linker
        .instantiate_pre(&compiled)
        .map_err(|error| HostError::Bug(format!("a checked module does not link: {error:#}")))?;

    let mut store = Store::new(compiler, Session::new());
    let instance = instantiate(&pre, &mut store)?;
    let guard = Guard { call_depth_max };
    guard.run(&mut store, instance, initialisers)?;
    let description = std::mem::take(&mut store.data_mut().sink);
    let snapshot = match instrumented {
        Err(_) => None,
        Ok((context, _)) => {
            let mut state = State {
                store: &mut store,
                instance,
                fault: None,
            };
            let wasm = at_once(wizer.snapshot(&context, &mut state))
                .ok_or_else(|| HostError::Bug("taking a snapshot had to wait".into()))?
                .map_err(|error| HostError::Bug(format!("no snapshot: {error:#}")))?;
            if let Some(fault) = state.fault {
                return Err(HostError::Bug(fault).into());
            }
            Some(wasm)
        }
    };
    Ok(Initialised {
        description,
        snapshot,
    })
}

/// Makes an instance, whose start function may run.
///
/// # Errors
/// [`PrepareError::Initialise`] if the start function breaks off, or a segment lies out of memory.
pub(crate) fn instantiate(
    pre: &InstancePre<Session>,
    store: &mut Store<Session>,
) -> Result<Instance, PrepareError> {
    store.limiter(|session| session);
    set_fuel(store, INITIALISE_UNITS_MAX)?;
    let instance = match pre.instantiate(&mut *store) {
        Ok(instance) => instance,
        Err(error) => {
            if let Some(fault) = store.data_mut().fault.take() {
                return Err(fault.into());
            }
            let ended = error.is::<Trap>() || error.is::<Stop>();
            let why = format!("{:#}", error.root_cause());
            return Err(if ended {
                // There is no instance to ask whether it was metering that ended it.
                PrepareError::Initialise {
                    export: "start".into(),
                    why,
                }
            } else {
                HostError::Instance(why).into()
            });
        }
    };
    let memory = instance.get_memory(&mut *store, MEMORY);
    let units = instance.get_global(&mut *store, UNITS);
    let (Some(memory), Some(units)) = (memory, units) else {
        return Err(HostError::Bug("an instance lacks its memory or its units".into()).into());
    };
    let marks = instance.get_memory(&mut *store, super::mark::MARKS);
    store.data_mut().reach = Some(Reach {
        memory,
        marks,
        units,
    });
    Ok(instance)
}

/// Sets the backstop behind so many units.
pub(crate) fn set_fuel(store: &mut Store<Session>, units: u64) -> Result<(), HostError> {
    store
        .set_fuel(
            units
                .saturating_mul(FUEL_PER_UNIT)
                .saturating_add(FUEL_BEYOND),
        )
        .map_err(|error| HostError::Bug(format!("no fuel: {error:#}")))
}

/// Runs initialisers within their bounds.
pub(crate) struct Guard {
    /// What the module was metered with.
    pub(crate) call_depth_max: u32,
}

impl Guard {
    /// Runs `_initialize`, every `__preinit__…`, `__setup__` and `__describe_module__`, in that
    /// order. The description is in the session's sink afterwards.
    ///
    /// # Errors
    /// [`PrepareError::Initialise`] names the export that broke off.
    pub(crate) fn run(
        &self,
        store: &mut Store<Session>,
        instance: Instance,
        initialisers: &Initialisers,
    ) -> Result<(), PrepareError> {
        store.data_mut().sink_bytes_max = DESCRIPTION_BYTES_MAX;
        if let Some(units) = instance.get_global(&mut *store, UNITS) {
            units
                .set(&mut *store, Val::I64(INITIALISE_UNITS_MAX as i64))
                .map_err(|error| HostError::Bug(format!("{error:#}")))?;
        }
        store.data_mut().given = INITIALISE_UNITS_MAX;
        if initialisers.initialize {
            self.step(store, instance, INITIALIZE, &[])?;
        }
        for export in &initialisers.preinit {
            self.step(store, instance, export, &[])?;
        }
        let sink = [Val::I32(FIRST_HANDLE as i32)];
        if initialisers.setup {
            let status = self.step(store, instance, SETUP, &sink)?;
            if status != 0 {
                let why = String::from_utf8_lossy(&store.data().sink).into_owned();
                return Err(PrepareError::Initialise {
                    export: SETUP.into(),
                    why,
                });
            }
            store.data_mut().sink.clear();
        }
        self.step(store, instance, DESCRIBE, &sink)?;
        Ok(())
    }

    /// Runs one export. Returns its status, if it has one.
    fn step(
        &self,
        store: &mut Store<Session>,
        instance: Instance,
        export: &str,
        params: &[Val],
    ) -> Result<i32, PrepareError> {
        store.data_mut().sink_is_open = !params.is_empty();
        let Some(function) = instance.get_func(&mut *store, export) else {
            return Err(HostError::Bug(format!("a checked module lacks {export}")).into());
        };
        let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
        let ending = match function.call(&mut *store, params, &mut results) {
            Ok(()) if has_units_left(store, instance) => {
                return Ok(results.first().and_then(Val::i32).unwrap_or(0));
            }
            Ok(()) => Ending::OutOfUnits,
            Err(error) => Ending::of(store, instance, self.call_depth_max, error)?,
        };
        let why = match ending {
            Ending::OutOfUnits => format!("it used more than {INITIALISE_UNITS_MAX} units"),
            Ending::TooDeep => "its functions called each other too deeply".into(),
            Ending::Trapped(why) => why,
        };
        Err(PrepareError::Initialise {
            export: export.into(),
            why,
        })
    }
}

/// Whether code and imports together kept to the units that there were.
fn has_units_left(store: &mut Store<Session>, instance: Instance) -> bool {
    let units = instance.get_global(&mut *store, UNITS);
    let by_code = units.and_then(|units| units.get(&mut *store).i64());
    store.data().left_of(by_code.unwrap_or(0)) >= 0
}

/// How code ended that did not return.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Its units were used up.
    OutOfUnits,
    /// Its functions called each other too deeply.
    TooDeep,
    /// It broke off, or an import ended it; text for people.
    Trapped(String),
}

impl Ending {
    /// Tells it from what the instance was left with.
    ///
    /// # Errors
    /// Our own failure, and every backstop.
    pub(crate) fn of(
        store: &mut Store<Session>,
        instance: Instance,
        call_depth_max: u32,
        error: wasmtime::Error,
    ) -> Result<Self, HostError> {
        if let Some(fault) = store.data_mut().fault.take() {
            return Err(fault);
        }
        let mut global = |name| {
            let global = instance.get_global(&mut *store, name);
            global.map(|global| global.get(&mut *store))
        };
        let by_code = global(UNITS).as_ref().and_then(Val::i64).unwrap_or(0);
        let depth = global(DEPTH).as_ref().and_then(Val::i32).unwrap_or(0);
        let memory_refused = matches!(global(super::REFUSED), Some(Val::I32(flag)) if flag != 0);
        let too_deep = u32::try_from(depth).is_ok_and(|depth| depth > call_depth_max);
        let out_of_units = store.data().left_of(by_code) < 0;
        let trap = error.downcast_ref::<Trap>();
        match trap {
            Some(Trap::StackOverflow) => return Err(HostError::Backstop { backstop: "stack" }),
            Some(Trap::OutOfFuel) => return Err(HostError::Backstop { backstop: "fuel" }),
            _ => {}
        }
        if out_of_units {
            return Ok(Self::OutOfUnits);
        }
        if too_deep {
            return Ok(Self::TooDeep);
        }
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return Ok(Self::Trapped(stop.to_string()));
        }
        let Some(trap) = trap else {
            return Err(HostError::Bug(format!(
                "a call ended in an unknown way: {error:#}"
            )));
        };
        let last_words = store.data().console.last_words.clone();
        Ok(Self::Trapped(last_words.unwrap_or_else(|| {
            // Code that is refused memory mostly just aborts.
            let text = if memory_refused {
                "it ran out of memory: it asked for more than the database permits a call"
            } else {
                trap_text(*trap)
            };
            text.into()
        })))
    }
}

/// What a trap is called: our words, because those of a library change with its release.
fn trap_text(trap: Trap) -> &'static str {
    match trap {
        Trap::UnreachableCodeReached => "it aborted",
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => "memory access out of bounds",
        Trap::TableOutOfBounds => "table access out of bounds",
        Trap::IndirectCallToNull => "a call through a null pointer",
        Trap::BadSignature => "a call through a pointer to a function of another type",
        Trap::IntegerOverflow => "an integer overflow",
        Trap::IntegerDivisionByZero => "an integer division by zero",
        Trap::BadConversionToInteger => "a conversion of a float that is no integer",
        Trap::NullReference => "use of a null reference",
        _ => "it broke off",
    }
}

/// A live instance, as the snapshot reads it.
struct State<'a> {
    store: &'a mut Store<Session>,
    instance: Instance,
    fault: Option<String>,
}

impl InstanceState for State<'_> {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut *self.store, name);
        match global.map(|global| global.get(&mut *self.store)) {
            Some(Val::I32(bits)) => SnapshotVal::I32(bits),
            Some(Val::I64(bits)) => SnapshotVal::I64(bits),
            Some(Val::F32(bits)) => SnapshotVal::F32(bits),
            Some(Val::F64(bits)) => SnapshotVal::F64(bits),
            Some(Val::V128(bits)) => SnapshotVal::V128(bits.as_u128()),
            _ => {
                self.fault = Some(format!("there is no number in {name}"));
                SnapshotVal::I32(0)
            }
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let store = self.store.as_context_mut();
        match self.instance.get_memory(store, name) {
            Some(memory) => contents(memory.data(&*self.store)),
            None => {
                self.fault = Some(format!("there is no memory {name}"));
                contents(&[]);
            }
        }
    }
}

/// The result of a future that never waits: the snapshot only reads memory.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
