//! What the imports see of one invocation. It lives in the instance's store and is filled anew for
//! every call, so that nothing of one call can be seen by the next.

use documents::{Document, RecentChanges};
use store::{Row, Transaction};
use sync_protocol::{ConnectionId, Hlc};
use wasmtime::{Global, Memory, ResourceLimiter};

use crate::call::{ConsoleLevel, ConsoleLine};
use crate::error::HostError;
use crate::limits::{CONSOLE_BYTES_MAX, CONSOLE_LINES_MAX, ERROR_BYTES_MAX, TABLE_ELEMENTS_MAX};

/// The sink that a module writes its description or its error text to, and the source of its
/// arguments: handles count from 1.
pub(crate) const FIRST_HANDLE: u32 = 1;

/// State of one invocation, or of initialising.
pub(crate) struct Session {
    /// How to reach into the instance; set once it exists.
    pub(crate) reach: Option<Reach>,
    /// The rows; none while a module is initialised.
    pub(crate) transaction: Option<Transaction>,
    /// Whether rows may be looked at only.
    pub(crate) read_only: bool,
    /// Who calls, from where.
    pub(crate) caller: Caller,
    /// What the module may read, by handle.
    pub(crate) sources: Handles<Source>,
    /// What the module wrote to its one sink.
    pub(crate) sink: Vec<u8>,
    /// How much it may write there.
    pub(crate) sink_bytes_max: usize,
    /// Whether the export that runs was given the sink.
    pub(crate) sink_is_open: bool,
    /// Open scans.
    pub(crate) iterators: Handles<RowIterator>,
    /// Bytes of rows in open scans.
    pub(crate) iterator_bytes: usize,
    /// The list of a scan that was closed, emptied: its allocation serves the next one.
    pub(crate) spare_rows: Vec<Row>,
    /// Open timers.
    pub(crate) timers: Handles<Timer>,
    /// What it said.
    pub(crate) console: Console,
    /// Units that the call has in all.
    pub(crate) given: u64,
    /// Units of them that imports took. What the module's own code took, the instance counts.
    pub(crate) owed: u64,
    /// Documents that are open.
    pub(crate) documents: Handles<Document>,
    /// Changes that this call or one before it read: that spares time, and no call can tell.
    pub(crate) recent_changes: RecentChanges,
    /// Our own failure, which ends the call without an outcome.
    pub(crate) fault: Option<HostError>,
}

/// The parts of an instance that imports touch.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    /// The module's memory.
    pub(crate) memory: Memory,
    /// A byte for each group of pages and for each page written to, if the instance has marks.
    pub(crate) marks: Option<Memory>,
    /// Units left.
    pub(crate) units: Global,
}

/// The invocation's own facts.
#[derive(Default)]
pub(crate) struct Caller {
    /// Who calls, an `Identity`, and the call's time; none while a view is computed.
    pub(crate) author: Option<([u8; 32], Hlc)>,
    /// The connection it came over.
    pub(crate) connection: Option<ConnectionId>,
    /// The payload of the caller's token.
    pub(crate) claims: Option<String>,
    /// The database's identity; none while a module is initialised.
    pub(crate) database: Option<[u8; 32]>,
}

/// Bytes that the module reads piece by piece.
pub(crate) struct Source {
    /// All of them.
    pub(crate) bytes: Vec<u8>,
    /// How many were read.
    pub(crate) read: usize,
}

/// A scan that the module reads piece by piece: a snapshot from the moment it was opened.
pub(crate) struct RowIterator {
    /// All of its rows.
    pub(crate) rows: Vec<Row>,
    /// How many were read.
    pub(crate) read: usize,
    /// Bytes of all of its rows.
    pub(crate) bytes: usize,
}

/// A span that the module times.
pub(crate) struct Timer {
    /// What it calls it.
    pub(crate) name: String,
    /// Units left when it began.
    pub(crate) units: u64,
}

/// Things a module holds by number. Numbers count from 1 and are not used twice within a call, so
/// that a stale one is an error and not somebody else's.
pub(crate) struct Handles<T> {
    /// By ascending number: few are open at once, and mostly the last one is asked for.
    open: Vec<(u32, T)>,
    last: u32,
    max: usize,
}

impl<T> Handles<T> {
    /// None open, at most `max` at once.
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            open: Vec::new(),
            last: 0,
            max,
        }
    }

    /// Opens one; `None` if too many are open, or all numbers were used.
    pub(crate) fn open(&mut self, thing: T) -> Option<u32> {
        if self.open.len() >= self.max {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        self.open.push((self.last, thing));
        Some(self.last)
    }

    /// The thing of that number.
    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut T> {
        let place = self.place(handle)?;
        Some(&mut self.open[place].1)
    }

    /// Closes one, and gives it back.
    pub(crate) fn close(&mut self, handle: u32) -> Option<T> {
        let place = self.place(handle)?;
        Some(self.open.remove(place).1)
    }

    fn place(&self, handle: u32) -> Option<usize> {
        match self.open.last() {
            Some((last, _)) if *last == handle => Some(self.open.len() - 1),
            _ => self.open.binary_search_by_key(&handle, |open| open.0).ok(),
        }
    }

    /// Closes all and counts from 1 again.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
        self.last = 0;
    }
}

/// Console lines of one call, within bounds.
#[derive(Default)]
pub(crate) struct Console {
    /// Those that fit.
    pub(crate) lines: Vec<ConsoleLine>,
    /// Those that did not.
    pub(crate) dropped: u32,
    /// The last line written as the module broke off, kept even when the others are too many.
    pub(crate) last_words: Option<String>,
    bytes: usize,
}

impl Console {
    /// Adds a line, or counts it as dropped.
    pub(crate) fn push(&mut self, line: ConsoleLine) {
        if line.level == ConsoleLevel::Panic {
            self.last_words = Some(line.message.clone());
        }
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let bytes = line.message.len() + text(&line.target) + text(&line.filename);
        if self.lines.len() < CONSOLE_LINES_MAX && self.bytes + bytes <= CONSOLE_BYTES_MAX {
            self.bytes += bytes;
            self.lines.push(line);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}

impl Session {
    /// Nothing in it yet.
    pub(crate) fn new() -> Self {
        use crate::limits::{DOCUMENTS_MAX, ITERATORS_MAX, SOURCES_MAX, TIMERS_MAX};
        Self {
            reach: None,
            transaction: None,
            read_only: false,
            caller: Caller::default(),
            sources: Handles::new(SOURCES_MAX),
            sink: Vec::new(),
            sink_bytes_max: ERROR_BYTES_MAX,
            sink_is_open: false,
            iterators: Handles::new(ITERATORS_MAX),
            iterator_bytes: 0,
            spare_rows: Vec::new(),
            timers: Handles::new(TIMERS_MAX),
            documents: Handles::new(DOCUMENTS_MAX),
            recent_changes: RecentChanges::default(),
            console: Console::default(),
            given: 0,
            owed: 0,
            fault: None,
        }
    }

    /// What is left of a call's units, if its own code has left so many; below 0 if all are used up.
    pub(crate) fn left_of(&self, by_code: i64) -> i64 {
        by_code.saturating_sub_unsigned(self.owed)
    }

    /// Forgets the last invocation, but for how to reach the instance, and for what was read of changes.
    pub(crate) fn clear(&mut self) {
        self.transaction = None;
        self.read_only = false;
        self.caller = Caller::default();
        self.sources.clear();
        self.sink.clear();
        self.sink_bytes_max = ERROR_BYTES_MAX;
        self.sink_is_open = false;
        self.iterators.clear();
        self.iterator_bytes = 0;
        self.timers.clear();
        self.documents.clear();
        self.console = Console::default();
        self.given = 0;
        self.owed = 0;
        self.fault = None;
    }
}

/// Memory has its full size from the start or the maximum written into the module; only tables can
/// still grow. Where the limit says no, every peer's does; where this machine fails, that must not
/// be visible to the module.
impl ResourceLimiter for Session {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.fault = Some(HostError::Instance(format!("memory: {error:#}")));
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let most = maximum
            .unwrap_or(usize::MAX)
            .min(TABLE_ELEMENTS_MAX as usize);
        Ok(desired <= most)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.fault = Some(HostError::Instance(format!("table: {error:#}")));
        Err(error)
    }
}
