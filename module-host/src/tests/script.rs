//! Scripts: reducers that call imports one after the other and check what they answer.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::fixture::{LOCAL, Reducer, SCRATCH, at, import, reducer};

pub(super) const NUMBER: i32 = SCRATCH + 64;
pub(super) const LEN: i32 = SCRATCH + 128;
pub(super) const BUFFER: i32 = SCRATCH + 256;

/// A script: calls imports, checks what they answer and what they leave in memory, and returns the
/// number of the first check that failed.
pub(super) struct Script {
    pub(super) body: Vec<I<'static>>,
    checks: i32,
}

impl Script {
    pub(super) fn new() -> Self {
        Self {
            body: vec![],
            checks: 1,
        }
    }

    /// The number on the stack must be `expected`.
    pub(super) fn check(mut self, expected: i32) -> Self {
        self.checks += 1;
        self.body.extend([
            I::I32Const(expected),
            I::I32Ne,
            I::If(BlockType::Empty),
            I::I32Const(self.checks),
            I::Return,
            I::End,
        ]);
        self
    }

    /// Calls an import, which must answer with `expected`.
    pub(super) fn call(mut self, name: &str, arguments: &[i32], expected: i32) -> Self {
        self.body
            .extend(arguments.iter().map(|argument| I::I32Const(*argument)));
        self.body.push(I::Call(import(name)));
        self.check(expected)
    }

    /// The number in memory must be `expected`.
    pub(super) fn holds(mut self, address: i32, expected: i32) -> Self {
        self.body.extend([I::I32Const(address), I::I32Load(at(0))]);
        self.check(expected)
    }

    /// So many bytes in memory must be the same at both addresses.
    pub(super) fn holds_same(mut self, one: i32, other: i32, len: i32) -> Self {
        self.checks += 1;
        let checks = self.checks;
        self.body.extend([
            I::I32Const(0),
            I::LocalSet(LOCAL),
            I::Block(BlockType::Empty),
            I::Loop(BlockType::Empty),
            I::LocalGet(LOCAL),
            I::I32Const(len),
            I::I32GeU,
            I::BrIf(1),
            I::LocalGet(LOCAL),
            I::I32Load8U(at(one)),
            I::LocalGet(LOCAL),
            I::I32Load8U(at(other)),
            I::I32Ne,
            I::If(BlockType::Empty),
            I::I32Const(checks),
            I::Return,
            I::End,
            I::LocalGet(LOCAL),
            I::I32Const(1),
            I::I32Add,
            I::LocalSet(LOCAL),
            I::Br(0),
            I::End,
            I::End,
        ]);
        self
    }

    pub(super) fn put(mut self, address: i32, number: i32) -> Self {
        self.body.extend([
            I::I32Const(address),
            I::I32Const(number),
            I::I32Store(at(0)),
        ]);
        self
    }

    pub(super) fn copy(mut self, to: i32, from: i32, len: i32) -> Self {
        self.body.extend([
            I::I32Const(to),
            I::I32Const(from),
            I::I32Const(len),
            I::MemoryCopy {
                src_mem: 0,
                dst_mem: 0,
            },
        ]);
        self
    }

    pub(super) fn end(mut self) -> Reducer {
        self.body.push(I::I32Const(0));
        let mut script = reducer("script", self.body);
        script.locals = vec![(1, ValType::I32)];
        script
    }
}
