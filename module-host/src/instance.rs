//! One living instance of a module, set back after every call. How that is done is known here
//! alone.
//!
//! The image is what the snapshot left in memory. A call marks the pages it writes to, in code
//! that the marking pass added; the host marks what imports write. Afterwards the marked pages are
//! copied back from the image and the mutable globals are set back: then nothing is left of the
//! call. Modules that no snapshot can hold get a fresh instance for every call instead.

use std::fmt;
use std::sync::Arc;

use store::Transaction;
use wasmtime::{Global, Instance, Memory, Store, TypedFunc, Val};

use crate::call::{Call, Outcome, Report, ViewCall, ViewRows};
use crate::error::{HostError, PrepareError};
use crate::imports::session::{Caller, Session, Source};
use crate::limits::{
    MARK_GROUP_BYTES, MARK_PAGE_BYTES, MARKED, MARKED_PAGES_MAX, PAGE_MARKS_AT, VIEW_BYTES_MAX,
};
use crate::module::Inner;
use crate::prepare::{
    CALL_REDUCER, CALL_VIEW, CALL_VIEW_ANON, DEPTH, Ending, Guard, MARKS, MEMORY, SPILL_BYTES,
    UNITS, instantiate, set_fuel,
};
use crate::prices;

/// Runs calls of one module, one at a time.
pub struct Runner {
    module: Arc<Inner>,
    live: Live,
    /// What memory holds before a call, up to the last page that is not all zero. Empty if every
    /// call gets an instance of its own.
    image: Vec<u8>,
    /// Pages that the last call wrote to: kept to save allocating.
    marked: Vec<u32>,
    /// Whether the instance is as the snapshot left it.
    clean: bool,
}

// A core that holds runners may be handed to a thread of its own.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Runner>();
};

/// Number, sender, connection, time, arguments, sink; all but the first and the last two 64 bits.
type Params = (u32, u64, u64, u64, u64, u64, u64, u64, u32, u32);

/// Number, sender, arguments, sink.
type ViewParams = (u32, u64, u64, u64, u64, u32, u32);

/// Number, arguments, sink.
type AnonymousViewParams = (u32, u32, u32);

/// A running instance with the handles that a call needs.
struct Live {
    store: Store<Session>,
    instance: Instance,
    call_reducer: TypedFunc<Params, u32>,
    call_view: Option<TypedFunc<ViewParams, u32>>,
    call_view_anon: Option<TypedFunc<AnonymousViewParams, u32>>,
    memory: Memory,
    marks: Memory,
    units: Global,
    depth: Global,
    /// Every mutable global, with what it holds before a call.
    globals: Vec<(Global, Val)>,
}

/// What a reducer returns when it wrote an error text.
const FAILED: u32 = 1;

/// What a view returns when it wrote what kind of answer it gives, and the answer.
const WITH_HEADER: u32 = 2;

impl Runner {
    pub(crate) fn new(module: Arc<Inner>) -> Result<Self, HostError> {
        let live = Live::new(&module)?;
        let mut image = Vec::new();
        if module.initialisers.is_none() {
            // What lies behind was never there while it was initialised, and is not even looked at:
            // looking would make the machine give it pages.
            let memory = live.memory.data(&live.store);
            let memory = &memory[..module.image_bytes.min(memory.len())];
            image.extend_from_slice(&memory[..used(memory)]);
        }
        Ok(Self {
            module,
            live,
            image,
            marked: Vec::new(),
            clean: true,
        })
    }

    /// Runs one call in a transaction and gives that back, to be committed or aborted as the
    /// outcome says. Nothing of one call can be seen by the next.
    ///
    /// A call of a reducer that does not exist is [`Outcome::Trapped`].
    ///
    /// # Errors
    /// [`HostError`] is never an outcome: the call may have come to something on another peer, so
    /// the database must be stopped. The transaction is gone with it.
    ///
    /// # Panics
    /// Never because of the module.
    pub fn call(
        &mut self,
        call: Call<'_>,
        transaction: Transaction,
    ) -> Result<(Transaction, Report), HostError> {
        self.ready()?;
        self.clean = false;
        let given = call.units.min(self.module.limits.units_per_invocation);
        let ended = self.live.run(&call, given, transaction);
        let (transaction, mut report) = self.live.report(ended, given, &self.module)?;
        self.set_back()?;
        let pages = prices::MARKED_PAGE * self.marked.len() as u64;
        report.units += pages;
        if report.units > given {
            report.units = given;
            report.outcome = Outcome::OutOfUnits;
        }
        Ok((transaction, report))
    }

    /// Computes a view. It sees the rows of the transaction, and can change none.
    ///
    /// The error is for people: why the module gave no rows.
    ///
    /// # Errors
    /// As for [`Runner::call`].
    pub fn view(
        &mut self,
        call: ViewCall<'_>,
        transaction: Transaction,
    ) -> Result<(Transaction, Result<ViewRows, String>), HostError> {
        self.ready()?;
        let is_there = match call.view.anonymous {
            true => self.live.call_view_anon.is_some(),
            false => self.live.call_view.is_some(),
        };
        if !is_there {
            let why = "the module describes a view and exports nothing that computes one";
            return Ok((transaction, Err(why.to_owned())));
        }
        self.clean = false;
        let given = call.units.min(self.module.limits.units_per_invocation);
        let ended = self.live.run_view(&call, given, transaction);
        let sink = std::mem::take(&mut self.live.store.data_mut().sink);
        let status = *ended.as_ref().unwrap_or(&0);
        // A status that no reducer has would be told as an error of one.
        let ended = ended.map(|status| match status {
            WITH_HEADER => 0,
            other => other,
        });
        let (transaction, report) = self.live.report(ended, given, &self.module)?;
        self.set_back()?;
        let rows = match report.outcome {
            Outcome::Ok => answer_of(status, sink),
            Outcome::Failed(_) => Err(String::from_utf8_lossy(&sink).into_owned()),
            Outcome::Trapped(why) => Err(why),
            Outcome::OutOfUnits => Err("it used up its units: it loops, or does too much".into()),
            Outcome::TooDeep => Err("it called itself too deeply".into()),
        };
        Ok((transaction, rows))
    }

    /// Makes sure that nothing is left of an earlier call, even of one that ended in a panic of
    /// ours.
    fn ready(&mut self) -> Result<(), HostError> {
        if self.clean {
            return Ok(());
        }
        if self.module.initialisers.is_some() {
            self.live = Live::new(&self.module)?;
        } else {
            self.set_back()?;
        }
        self.clean = true;
        Ok(())
    }

    /// Undoes what a call did to the instance. An instance that is used once is only read.
    fn set_back(&mut self) -> Result<(), HostError> {
        self.marked.clear();
        let marks = self.live.marks.data_mut(&mut self.live.store);
        collect_marks(marks, self.module.memory_bytes, &mut self.marked);
        if self.module.initialisers.is_some() {
            return Ok(());
        }
        if self.marked.len() > MARKED_PAGES_MAX {
            self.live = Live::new(&self.module)?;
            self.clean = true;
            return Ok(());
        }
        if planted!(LeakMemory) {
            let image = self.image.len();
            let behind = |page: &u32| *page as usize * MARK_PAGE_BYTES >= image;
            self.marked.retain(behind);
        }
        let memory = self.live.memory.data_mut(&mut self.live.store);
        for page in &self.marked {
            copy_back(memory, &self.image, *page as usize);
        }
        for (global, value) in &self.live.globals {
            global.set(&mut self.live.store, *value).map_err(|error| {
                HostError::Bug(format!("a global cannot be set back: {error:#}"))
            })?;
        }
        self.clean = true;
        Ok(())
    }

    /// Whether memory is as the snapshot left it: what setting back promises.
    #[cfg(test)]
    pub(crate) fn is_image(&self) -> bool {
        let memory = self.live.memory.data(&self.live.store);
        let (image, rest) = memory.split_at(self.image.len());
        image == self.image && rest.iter().all(|byte| *byte == 0)
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("clean", &self.clean)
            .finish_non_exhaustive()
    }
}

impl Live {
    fn new(module: &Inner) -> Result<Self, HostError> {
        let mut store = Store::new(module.pre.module().engine(), Session::new());
        // It went well when the module was prepared, with the same code: so it is not the module.
        let failed = |error: PrepareError| match error {
            PrepareError::Host(error) => error,
            other => HostError::Instance(other.to_string()),
        };
        let instance = instantiate(&module.pre, &mut store).map_err(failed)?;
        if let Some(initialisers) = &module.initialisers {
            let guard = Guard {
                call_depth_max: module.limits.call_depth_max,
            };
            guard
                .run(&mut store, instance, initialisers)
                .map_err(failed)?;
            store.data_mut().clear();
        }
        let lacks = |what: &str| HostError::Bug(format!("an instance lacks {what}"));
        let memory = instance
            .get_memory(&mut store, MEMORY)
            .ok_or_else(|| lacks(MEMORY))?;
        if memory.data_size(&store) != module.memory_bytes {
            return Err(lacks("a memory of full size"));
        }
        let marks = instance
            .get_memory(&mut store, MARKS)
            .ok_or_else(|| lacks(MARKS))?;
        // Only calls are charged for the pages they write to.
        marks.data_mut(&mut store).fill(0);
        let units = instance
            .get_global(&mut store, UNITS)
            .ok_or_else(|| lacks(UNITS))?;
        let depth = instance
            .get_global(&mut store, DEPTH)
            .ok_or_else(|| lacks(DEPTH))?;
        let call_reducer = instance
            .get_typed_func(&mut store, CALL_REDUCER)
            .map_err(|error| HostError::Bug(format!("{error:#}")))?;
        // Their types were checked when the module was prepared.
        let call_view = instance.get_typed_func(&mut store, CALL_VIEW).ok();
        let call_view_anon = instance.get_typed_func(&mut store, CALL_VIEW_ANON).ok();
        let mut globals = Vec::with_capacity(module.globals.len());
        for name in &module.globals {
            let global = instance
                .get_global(&mut store, name)
                .ok_or_else(|| lacks(name))?;
            let value = global.get(&mut store);
            globals.push((global, value));
        }
        Ok(Self {
            store,
            instance,
            call_reducer,
            call_view,
            call_view_anon,
            memory,
            marks,
            units,
            depth,
            globals,
        })
    }

    /// Runs the call, to its return or to its end.
    fn run(
        &mut self,
        call: &Call<'_>,
        units: u64,
        transaction: Transaction,
    ) -> wasmtime::Result<u32> {
        let session = self.store.data_mut();
        session.clear();
        session.transaction = Some(transaction);
        session.sink_is_open = true;
        session.caller = Caller {
            author: Some((call.sender, call.time)),
            connection: Some(call.connection).filter(|id| id.0 != [0; 16]),
            claims: call.claims.map(str::to_owned),
            database: Some(call.database),
        };
        let args = if call.args.is_empty() {
            0
        } else {
            session
                .sources
                .open(Source {
                    bytes: call.args.to_vec(),
                    read: 0,
                })
                .unwrap_or(0)
        };
        self.fill_up(units)?;
        let store = &mut self.store;
        let sender = words::<4>(&call.sender);
        let connection = words::<2>(&call.connection.0);
        let reducer = u32::try_from(call.reducer).unwrap_or(u32::MAX);
        let [s0, s1, s2, s3] = sender;
        let [c0, c1] = connection;
        let sink = crate::imports::session::FIRST_HANDLE;
        self.call_reducer.call(
            &mut *store,
            (reducer, s0, s1, s2, s3, c0, c1, call.time.0, args, sink),
        )
    }

    /// Computes a view, to its return or to its end.
    fn run_view(
        &mut self,
        call: &ViewCall<'_>,
        units: u64,
        transaction: Transaction,
    ) -> wasmtime::Result<u32> {
        let session = self.store.data_mut();
        session.clear();
        session.transaction = Some(transaction);
        session.read_only = true;
        session.sink_is_open = true;
        session.sink_bytes_max = VIEW_BYTES_MAX;
        session.caller = Caller {
            author: None,
            connection: None,
            claims: None,
            database: Some(call.database),
        };
        self.fill_up(units)?;
        let lacks = || wasmtime::Error::msg("looked for before");
        let index = call.view.index;
        let sink = crate::imports::session::FIRST_HANDLE;
        let store = &mut self.store;
        if call.view.anonymous {
            let function = self.call_view_anon.as_ref().ok_or_else(lacks)?;
            return function.call(store, (index, 0, sink));
        }
        let function = self.call_view.as_ref().ok_or_else(lacks)?;
        let [s0, s1, s2, s3] = words::<4>(&call.sender);
        function.call(store, (index, s0, s1, s2, s3, 0, sink))
    }

    /// Gives a call its units.
    fn fill_up(&mut self, units: u64) -> wasmtime::Result<()> {
        let store = &mut self.store;
        // At most `UNITS_MAX`, which fits.
        self.units.set(&mut *store, Val::I64(units.cast_signed()))?;
        self.depth.set(&mut *store, Val::I32(0))?;
        store.data_mut().given = units;
        Ok(set_fuel(store, units)?)
    }

    /// Says what the call came to.
    fn report(
        &mut self,
        ended: wasmtime::Result<u32>,
        given: u64,
        module: &Inner,
    ) -> Result<(Transaction, Report), HostError> {
        let outcome = match ended {
            Ok(0) => Outcome::Ok,
            Ok(FAILED) => {
                let text = String::from_utf8_lossy(&self.store.data().sink);
                Outcome::Failed(text.into_owned())
            }
            Ok(status) => Outcome::Trapped(format!("it returned an unknown status: {status}")),
            Err(error) => {
                let depth_max = module.limits.call_depth_max;
                match Ending::of(&mut self.store, self.instance, depth_max, error)? {
                    Ending::OutOfUnits => Outcome::OutOfUnits,
                    Ending::TooDeep => Outcome::TooDeep,
                    Ending::Trapped(why) => Outcome::Trapped(why),
                }
            }
        };
        let Val::I64(by_code) = self.units.get(&mut self.store) else {
            return Err(HostError::Bug("the units are no 64-bit global".into()));
        };
        let left = self.store.data().left_of(by_code);
        // Code and imports together, or the last stretch of code, may have taken more than there was
        // without looking.
        let outcome = if left < 0 {
            Outcome::OutOfUnits
        } else {
            outcome
        };
        let used = given - u64::try_from(left).unwrap_or(0).min(given);
        let session = self.store.data_mut();
        let console = std::mem::take(&mut session.console);
        let Some(transaction) = session.transaction.take() else {
            return Err(HostError::Bug("the transaction is gone".into()));
        };
        session.clear();
        Ok((
            transaction,
            Report {
                outcome,
                units: used,
                console: console.lines,
                console_dropped: console.dropped,
            },
        ))
    }
}

/// What a view wrote: rows alone, or what kind of answer and then the answer.
fn answer_of(status: u32, sink: Vec<u8>) -> Result<ViewRows, String> {
    if status != WITH_HEADER {
        return Ok(ViewRows::Rows(sink));
    }
    match sink.split_first() {
        // Nothing at all are no rows.
        None => Ok(ViewRows::Rows(0_u32.to_le_bytes().to_vec())),
        Some((0, rows)) => Ok(ViewRows::Rows(rows.to_vec())),
        Some((1, text)) => {
            let query = text.split_first_chunk::<4>().map(|(_, text)| text.to_vec());
            let query = query.and_then(|text| String::from_utf8(text).ok());
            let query = query.ok_or("it gave a query that is no text")?;
            Ok(ViewRows::Query(query))
        }
        Some((other, _)) => Err(format!("it gave an answer of unknown kind {other}")),
    }
}

/// Little-endian words of a number, as the ABI passes it.
fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

/// Bytes up to the end of the last page that is not all zero.
fn used(memory: &[u8]) -> usize {
    let pages = memory.chunks(MARK_PAGE_BYTES);
    let zero = pages
        .rev()
        .take_while(|page| page.iter().all(|byte| *byte == 0))
        .count();
    memory.len() - zero * MARK_PAGE_BYTES
}

/// Lists the marked pages of memory in ascending order, and takes their marks away. Marks of addresses
/// out of memory may be left, of calls that ended there: nobody looks at them.
fn collect_marks(marks: &mut [u8], memory_bytes: usize, marked: &mut Vec<u32>) {
    const PAGES_PER_GROUP: usize = MARK_GROUP_BYTES / MARK_PAGE_BYTES;
    let (groups, pages) = marks.split_at_mut(PAGE_MARKS_AT);
    let pages = &mut pages[..memory_bytes / MARK_PAGE_BYTES];
    let groups = &mut groups[..memory_bytes.div_ceil(MARK_GROUP_BYTES)];
    // Nothing but the marking pass and the host write here, and they write this.
    let mut from = 0;
    while let Some(next) = memchr::memchr(MARKED, &groups[from..]) {
        let group = from + next;
        groups[group] = 0;
        from = group + 1;
        let first = group * PAGES_PER_GROUP;
        let last = pages.len().min(first + PAGES_PER_GROUP);
        let already = marked.len();
        let found = memchr::memchr_iter(MARKED, &pages[first..last]);
        marked.extend(found.map(|page| (first + page) as u32));
        for page in &marked[already..] {
            pages[*page as usize] = 0;
        }
    }
}

/// Copies a page back from the image, and the few bytes behind it that a store at its end may have
/// written. Behind the image all is zero.
fn copy_back(memory: &mut [u8], image: &[u8], page: usize) {
    let start = (page * MARK_PAGE_BYTES).min(memory.len());
    let end = (start + MARK_PAGE_BYTES + SPILL_BYTES).min(memory.len());
    let in_image = end.min(image.len()).max(start);
    let (from_image, zero) = memory[start..end].split_at_mut(in_image - start);
    if !from_image.is_empty() {
        from_image.copy_from_slice(&image[start..in_image]);
    }
    zero.fill(0);
}
