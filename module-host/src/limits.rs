//! Every bound of the module host, with its unit and its reason. They belong to the engine number: a
//! peer with others would refuse a module that the rest runs, or end a call that the rest finishes.

/// What a database permits its module. Part of the database, never a local setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, a multiple of [`WASM_PAGE_BYTES`]; at most [`MEMORY_BYTES_MAX`].
    pub memory_bytes_max: u32,
    /// Units of one invocation; a call may ask for less, never for more.
    pub units_per_invocation: u64,
    /// Nested calls of ordinary functions. A function with a large frame counts for several.
    pub call_depth_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            units_per_invocation: 1_000_000_000,
            call_depth_max: CALL_DEPTH_MAX,
        }
    }
}

/// Bytes of a page of WebAssembly memory: fixed by its specification.
pub const WASM_PAGE_BYTES: usize = 64 << 10;

/// Bytes of a page that is marked and copied back as a whole. Smaller pages would mean more marks to
/// look through after each call, larger ones more bytes to copy.
pub const MARK_PAGE_BYTES: usize = 4 << 10;

/// Bytes of memory whose pages have one more mark in common, so that only the marks of groups that were
/// written to are looked through: a power of two. Memory of 64 MiB has 256 of these marks, and 16,384 of pages.
pub(crate) const MARK_GROUP_BYTES: usize = 256 << 10;

/// Marks of groups come first, for all that 32 bits can address: so no address, in memory or not, has the
/// mark of its group among those of pages. These begin here.
#[cfg(feature = "run")]
pub(crate) const PAGE_MARKS_AT: usize = (1 << 32) / MARK_GROUP_BYTES;

/// What a marked page or group has for a mark; 0 is none.
pub const MARKED: u8 = 1;

/// Pages after which a call's instance is replaced instead of being set back: 4 MiB take longer to
/// copy than an instance takes to make, and the old one's memory goes back to the machine.
pub const MARKED_PAGES_MAX: usize = 1 << 10;

/// Bytes of linear memory that a database may permit: 1 GiB keeps the marks of an instance at
/// 272 KiB, of which 4 KiB are looked through after every call.
pub const MEMORY_BYTES_MAX: u32 = 1 << 30;

/// Units that a call can be given: half of what a signed 64-bit counter holds, so that a price taken
/// from it cannot wrap around.
pub const UNITS_MAX: u64 = 1 << 62;

/// Nested calls that a database may permit: as many as fit [`STACK_BYTES_MAX`] when each of them
/// uses the largest frame of its weight.
pub const CALL_DEPTH_MAX: u32 = 1_000;

/// Parameters, locals and operands of a function that count as one level of call depth. A frame of
/// that many values takes 256 bytes of native stack, or a small multiple where registers spill.
pub const DEPTH_SLOTS: u32 = 32;

/// Bytes of native stack for a module's frames. A backstop: call depth ends first, and a call that
/// reaches this is reported as our failure. Threads have 2 MiB by default; the rest is for imports.
pub const STACK_BYTES_MAX: usize = 1 << 20;

/// Bytes of a module as it is published.
pub const MODULE_BYTES_MAX: usize = sync_protocol::limits::MODULE_BYTES_MAX;

/// Functions of a module. The largest modules known (a whole .NET runtime) have fewer than 60,000.
pub const FUNCTIONS_MAX: usize = 200_000;

/// Bytes of one function's body: compiling takes longer than linear time in it.
pub const FUNCTION_BYTES_MAX: usize = 1 << 20;

/// Parameters, locals and operands of one function: compiling takes longer than linear time in
/// them, and a frame must stay small beside [`STACK_BYTES_MAX`].
pub const FUNCTION_SLOTS_MAX: u32 = 10_000;

/// Parameters and locals of one function, times its branches: what compiling takes time and memory
/// for. Three microseconds and 100 bytes each, so 12 seconds; compilers stay below 100,000.
pub const FUNCTION_BRANCHED_LOCALS_MAX: u64 = 4_000_000;

/// The same for all functions of a module together.
pub const MODULE_BRANCHED_LOCALS_MAX: u64 = 8 * FUNCTION_BRANCHED_LOCALS_MAX;

/// Parameters of one function, and its results: passed on the native stack.
pub const FUNCTION_PARAMS_MAX: usize = 256;

/// Tables of a module. Compilers make one.
pub const TABLES_MAX: usize = 16;

/// Elements of one table: eight bytes each.
pub const TABLE_ELEMENTS_MAX: u32 = 1 << 20;

/// Globals of a module: the mutable ones are set back before every call.
pub const GLOBALS_MAX: usize = 1_000;

/// Imports of a module: several times what all ABI versions offer together.
pub const IMPORTS_MAX: usize = 1_000;

/// Exports of a module: a registration function for each table, reducer and type.
pub const EXPORTS_MAX: usize = 20_000;

/// Units that initialising may take: a million times what a Rust module needs, and a second's work.
pub const INITIALISE_UNITS_MAX: u64 = 2_000_000_000;

/// Bytes of a module's description of itself.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 20;

/// Levels of nesting in the bytes of a description, a type being two or three of them.
pub const DESCRIPTION_DEPTH_MAX: usize = 256;

/// Levels of nesting of a column's or parameter's type.
pub const TYPE_DEPTH_MAX: usize = 32;

/// Parts of one type after references are resolved: references can double it with each level.
pub const TYPE_NODES_MAX: usize = 10_000;

/// Parts of all types of a description together.
pub const DESCRIPTION_TYPE_NODES_MAX: usize = 1_000_000;

/// Tables that a module may define.
pub const DEFINED_TABLES_MAX: usize = 4_096;

/// Reducers that a module may define.
pub const DEFINED_REDUCERS_MAX: usize = 16_384;

/// Visibility filters of a module: each is a query of every client that reads its table.
pub const DEFINED_FILTERS_MAX: usize = 256;

/// Columns of a table.
pub const COLUMNS_MAX: usize = 1_024;

/// Indexes of a table.
pub const INDEXES_MAX: usize = 64;

/// Reasons that a refusal lists; the rest is counted.
pub const REASONS_MAX: usize = 64;

/// Bytes that a reducer may say about its failure.
pub const ERROR_BYTES_MAX: usize = 64 << 10;

/// Bytes of the rows that a view may give.
pub const VIEW_BYTES_MAX: usize = 16 << 20;

/// Console lines kept of one call; later ones are counted.
pub const CONSOLE_LINES_MAX: usize = 256;

/// Bytes of console text kept of one call.
pub const CONSOLE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a name that a module looks up or gives to a timer.
pub const LOOKUP_BYTES_MAX: usize = 1 << 10;

/// Row iterators that a call may hold open.
pub const ITERATORS_MAX: usize = 1_024;

/// Bytes of rows that the open iterators of a call may hold together: rows are shared with the
/// store where they lie in memory, and those read from disk are copies.
pub const ITERATOR_BYTES_MAX: usize = 256 << 20;

/// Byte sources that a call may hold open.
pub const SOURCES_MAX: usize = 64;

/// Documents that a call may hold open. What is in them is bounded by what merging costs.
pub const DOCUMENTS_MAX: usize = 16;

/// Console timers that a call may hold open.
pub const TIMERS_MAX: usize = 64;

const _: () = assert!((MEMORY_BYTES_MAX as usize).is_multiple_of(WASM_PAGE_BYTES));
const _: () = assert!(WASM_PAGE_BYTES.is_multiple_of(MARK_PAGE_BYTES));
const _: () =
    assert!(MARK_GROUP_BYTES.is_power_of_two() && MARK_GROUP_BYTES.is_multiple_of(MARK_PAGE_BYTES));
// A full batch of the deepest calls, each of the largest frame of its weight, stays below the
// backstop even if every value is spilled twice.
const _: () = assert!((CALL_DEPTH_MAX * DEPTH_SLOTS * 8 * 3) as usize <= STACK_BYTES_MAX);
const _: () = assert!(INITIALISE_UNITS_MAX < UNITS_MAX);
const _: () = assert!(DESCRIPTION_BYTES_MAX < MODULE_BYTES_MAX);
// What is described within bounds, the store can hold.
const _: () = assert!(COLUMNS_MAX <= store::limits::COLUMNS_MAX);
const _: () = assert!(INDEXES_MAX < store::limits::INDEXES_MAX);
const _: () = assert!(TYPE_DEPTH_MAX < store::limits::TYPE_DEPTH_MAX);
const _: () = assert!(DEFINED_TABLES_MAX <= store::limits::TABLES_MAX);
// A call can hold more than one of the largest scans open.
const _: () = assert!(2 * store::limits::SCAN_BYTES_MAX < ITERATOR_BYTES_MAX);
