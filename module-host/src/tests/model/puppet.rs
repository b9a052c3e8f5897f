//! A module whose one reducer does as it is told: its argument is a list of imports to call, with
//! numbers and bytes to call them with, and what to tell of memory afterwards. What it has to tell
//! it writes to a table, because memory is gone after the call.

use std::sync::OnceLock;

use wasm_encoder::{BlockType, Instruction as I, ValType};

use crate::Module;
use crate::imports::OFFERED;
use crate::tests::fixture::{Fixture, LOCAL, Reducer, SINK, SOURCE, at, engine, import};

/// Where lengths and numbers pass.
pub(super) const LEN: u32 = 0x2000;
pub(super) const OUT: u32 = 0x2010;

/// Where the script lies: its instructions, then its bytes.
const SCRIPT: u32 = 0x1_0000;

/// Where rows are read to.
pub(super) const BUFFER: u32 = 0x20_0000;
const BUFFER_BYTES: u32 = 0x10_0000;

/// Where the report grows: a row of one column.
const REPORT: u32 = 0x30_0000;

/// Pages of 64 KiB: all of the above.
const PAGES: u64 = 0x40;

/// What memory is filled with before it is written to.
pub(super) const FILLING: u8 = 0xAA;

/// Words of an instruction: what to do, and with what.
const WORDS: usize = 11;

// What to do.
const CALL: u32 = 0;
const TELL: u32 = 1;
const PUT: u32 = 2;
const FILL: u32 = 3;
const FLUSH: u32 = 4;
const END: u32 = 5;
const TRAP: u32 = 6;

/// Imports that it can call: all that take 32-bit numbers and return one.
fn callable() -> impl Iterator<Item = (u32, usize)> {
    OFFERED.iter().enumerate().filter_map(|(place, import)| {
        let plain = import
            .params
            .iter()
            .all(|ty| *ty == wasmparser::ValType::I32);
        let status = import.results == [wasmparser::ValType::I32];
        (plain && status).then(|| (u32::try_from(place).unwrap(), import.params.len()))
    })
}

/// The module that describes itself like this.
pub(super) fn wasm(description: Vec<u8>) -> Vec<u8> {
    let (ip, out) = (LOCAL, LOCAL + 1);
    let word = |place: u64| {
        [
            I::LocalGet(ip),
            I::I32Load(at(4 * i32::try_from(place).unwrap())),
        ]
    };
    let number = |number: u32| I::I32Const(number.cast_signed());
    // Reads the script, all at once.
    let mut body = vec![
        number(LEN),
        number(BUFFER - SCRIPT),
        I::I32Store(at(0)),
        I::LocalGet(SOURCE),
        number(SCRIPT),
        number(LEN),
        I::Call(import("bytes_source_read")),
        I::Drop,
        number(SCRIPT),
        I::LocalSet(ip),
        number(REPORT + 4),
        I::LocalSet(out),
        I::Loop(BlockType::Empty),
    ];
    let is = |what: u32| {
        let [get, load] = word(0);
        [get, load, number(what), I::I32Eq, I::If(BlockType::Empty)]
    };
    body.extend(is(CALL));
    for (place, params) in callable() {
        body.extend(word(1));
        body.extend([number(place), I::I32Eq, I::If(BlockType::Empty)]);
        body.push(I::LocalGet(out));
        (0..params as u64).for_each(|param| body.extend(word(2 + param)));
        body.extend([I::Call(place), I::I32Store(at(0)), I::End]);
    }
    body.extend([
        I::LocalGet(out),
        I::I32Const(4),
        I::I32Add,
        I::LocalSet(out),
        I::End,
    ]);
    body.extend(is(TELL));
    body.push(I::LocalGet(out));
    body.extend(word(1));
    body.extend(word(2));
    body.push(I::MemoryCopy {
        src_mem: 0,
        dst_mem: 0,
    });
    body.push(I::LocalGet(out));
    body.extend(word(2));
    body.extend([I::I32Add, I::LocalSet(out), I::End]);
    body.extend(is(PUT));
    body.extend(word(1));
    body.extend(word(2));
    body.extend([I::I32Store(at(0)), I::End]);
    body.extend(is(FILL));
    body.extend(word(1));
    body.push(I::I32Const(i32::from(FILLING)));
    body.extend(word(2));
    body.extend([I::MemoryFill(0), I::End]);
    // Writes the report, in place of an earlier one.
    body.extend(is(FLUSH));
    body.extend(word(1));
    body.extend([number(OUT), I::Call(import("datastore_clear")), I::Drop]);
    body.extend([
        number(REPORT),
        I::LocalGet(out),
        number(REPORT + 4),
        I::I32Sub,
        I::I32Store(at(0)),
        number(LEN),
        I::LocalGet(out),
        number(REPORT),
        I::I32Sub,
        I::I32Store(at(0)),
    ]);
    body.extend(word(1));
    body.extend([
        number(REPORT),
        number(LEN),
        I::Call(import("datastore_insert_bsatn")),
        I::If(BlockType::Empty),
        I::Unreachable,
        I::End,
        I::End,
    ]);
    // Returns a status, with a text if there is one.
    body.extend(is(END));
    body.extend([number(LEN)]);
    body.extend(word(3));
    body.push(I::I32Store(at(0)));
    body.extend(word(3));
    body.push(I::If(BlockType::Empty));
    body.push(I::LocalGet(SINK));
    body.extend(word(2));
    body.extend([
        number(LEN),
        I::Call(import("bytes_sink_write")),
        I::Drop,
        I::End,
    ]);
    body.extend(word(1));
    body.extend([I::Return, I::End]);
    body.extend(is(TRAP));
    body.extend([I::Unreachable, I::End]);
    body.extend([
        I::LocalGet(ip),
        I::I32Const(4 * WORDS as i32),
        I::I32Add,
        I::LocalSet(ip),
        I::Br(0),
        I::End,
        I::Unreachable,
    ]);
    let mut fixture = Fixture::new(vec![Reducer {
        name: "run",
        locals: vec![(2, ValType::I32)],
        body,
    }]);
    fixture.pages = PAGES;
    fixture.description = Some(description);
    fixture.wasm()
}

/// A puppet for all definitions: what a module does to tables depends on what it says of itself
/// only through the schema of the database it runs in.
pub(super) fn shared(description: &dyn Fn() -> Vec<u8>) -> &'static Module {
    static PUPPET: OnceLock<Module> = OnceLock::new();
    PUPPET.get_or_init(|| prepare(description()))
}

/// A puppet that describes itself like this.
pub(super) fn prepare(description: Vec<u8>) -> Module {
    Module::prepare(engine(), &wasm(description), crate::Limits::default()).unwrap()
}

/// A number that an import is called with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg {
    Number(u32),
    /// The address of bytes of the script.
    Bytes(u32),
}

/// What the puppet is to do.
#[derive(Default)]
pub(super) struct Script {
    steps: Vec<(u32, Vec<Arg>)>,
    bytes: Vec<u8>,
}

impl Script {
    /// Puts bytes into the script.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Arg {
        let place = u32::try_from(self.bytes.len()).unwrap();
        self.bytes.extend_from_slice(bytes);
        Arg::Bytes(place)
    }

    /// Calls an import and tells its status.
    pub(super) fn call(&mut self, name: &str, args: &[Arg]) {
        let mut words = vec![Arg::Number(import(name))];
        words.extend_from_slice(args);
        self.steps.push((CALL, words));
    }

    /// Tells what is in memory.
    pub(super) fn tell(&mut self, from: Arg, len: usize) {
        assert!(len <= BUFFER_BYTES as usize, "more than the buffer holds");
        let len = Arg::Number(u32::try_from(len).unwrap());
        self.steps.push((TELL, vec![from, len]));
    }

    /// Puts a number into memory.
    pub(super) fn put(&mut self, to: u32, number: u32) {
        let words = vec![Arg::Number(to), Arg::Number(number)];
        self.steps.push((PUT, words));
    }

    /// Fills memory.
    pub(super) fn fill(&mut self, from: u32, len: usize) {
        let len = Arg::Number(u32::try_from(len).unwrap());
        self.steps.push((FILL, vec![Arg::Number(from), len]));
    }

    /// Writes the report to a table. What is told later replaces it.
    pub(super) fn flush(&mut self, table: u32) {
        self.steps.push((FLUSH, vec![Arg::Number(table)]));
    }

    /// Returns a status, with a text if it is not empty.
    pub(super) fn end(&mut self, status: u32, text: &str) {
        let at = self.bytes(text.as_bytes());
        let len = u32::try_from(text.len()).unwrap();
        let words = vec![Arg::Number(status), at, Arg::Number(len)];
        self.steps.push((END, words));
    }

    /// Breaks off.
    pub(super) fn trap(&mut self) {
        self.steps.push((TRAP, vec![]));
    }

    /// The reducer's argument.
    pub(super) fn argument(&self) -> Vec<u8> {
        let after = SCRIPT + u32::try_from(4 * WORDS * self.steps.len()).unwrap();
        let mut argument = Vec::new();
        for (what, words) in &self.steps {
            let mut all = [0; WORDS];
            all[0] = *what;
            for (word, arg) in all[1..].iter_mut().zip(words) {
                *word = match arg {
                    Arg::Number(number) => *number,
                    Arg::Bytes(place) => after + place,
                };
            }
            all.iter()
                .for_each(|word| argument.extend_from_slice(&word.to_le_bytes()));
        }
        argument.extend_from_slice(&self.bytes);
        assert!(
            argument.len() < (BUFFER - SCRIPT) as usize,
            "a script longer than its place in memory"
        );
        argument
    }
}
