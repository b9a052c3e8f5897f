//! Memory, numbers and console: where things end, they end the same everywhere.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::fixture::{Fixture, LOCAL, SCRATCH, SINK, TEXTS, at, import, reducer};
use crate::limits::{CONSOLE_BYTES_MAX, CONSOLE_LINES_MAX, ERROR_BYTES_MAX};
use crate::{ConsoleLevel, Limits, Outcome};

/// Leaves zero if the number on the stack is `expected`.
fn is(mut body: Vec<I<'static>>, expected: i32) -> Vec<I<'static>> {
    body.extend([I::I32Const(expected), I::I32Ne]);
    body
}

#[test]
fn memory_grows_to_the_same_point_and_shrinks_back() {
    // 1 MiB is 16 pages, two are there at first.
    let limits = Limits {
        memory_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let grow = |pages| vec![I::I32Const(pages), I::MemoryGrow(0)];
    let mut twice = grow(13);
    twice.push(I::Drop);
    twice.extend(grow(2));
    let mut then_size = grow(14);
    then_size.extend([I::Drop, I::MemorySize(0)]);
    let reducers = vec![
        reducer("fits", is(grow(14), 2)),
        reducer("too_much", is(grow(15), -1)),
        reducer("absurd", is(grow(-1), -1)),
        reducer("in_two_steps", is(twice, -1)),
        reducer("size_after", is(then_size, 16)),
        reducer("size", is(vec![I::MemorySize(0)], 2)),
    ];
    let mut bench = Fixture::new(reducers).bench_with(limits);
    for name in [
        "fits",
        "too_much",
        "absurd",
        "in_two_steps",
        "size_after",
        "size",
    ] {
        assert_eq!(bench.outcome(name), Outcome::Ok, "{name}");
    }
}

#[test]
fn out_of_memory_ends_the_call() {
    let limits = Limits {
        memory_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let store = |address| {
        vec![
            I::I32Const(address),
            I::I64Const(1),
            I::I64Store(at(0)),
            I::I32Const(0),
        ]
    };
    let fill = vec![
        I::I32Const(1 << 19),
        I::I32Const(1),
        I::I32Const(-1),
        I::MemoryFill(0),
        I::I32Const(0),
    ];
    let reducers = vec![
        reducer("last", store((1 << 20) - 8)),
        reducer("straddling", store((1 << 20) - 7)),
        reducer("behind", store(1 << 20)),
        reducer("far", store(-8)),
        reducer("fill", fill),
    ];
    let mut bench = Fixture::new(reducers).bench_with(limits);
    assert_eq!(bench.outcome("last"), Outcome::Ok);
    let out = Outcome::Trapped("memory access out of bounds".into());
    for name in ["straddling", "behind", "far", "fill"] {
        assert_eq!(bench.outcome(name), out, "{name}");
        assert!(bench.is_image(), "{name}");
    }
}

#[test]
fn who_aborts_for_lack_of_memory_is_told_so() {
    let abort = |pages| {
        vec![
            I::I32Const(pages),
            I::MemoryGrow(0),
            I::Drop,
            I::Unreachable,
        ]
    };
    let reducers = vec![reducer("refused", abort(-1)), reducer("granted", abort(1))];
    let mut bench = Fixture::new(reducers).bench();
    let refused = bench.outcome("refused");
    assert!(matches!(&refused, Outcome::Trapped(why) if why.contains("out of memory")));
    // The note of it does not reach the next call.
    assert_eq!(
        bench.outcome("granted"),
        Outcome::Trapped("it aborted".into())
    );
}

#[test]
fn there_is_one_nan() {
    // Zero by zero, minus infinity plus infinity, the root of a negative, a payload through
    // addition, and a payload from narrow to wide: always the same bits.
    let f64_const = |value: f64| I::F64Const(value.into());
    let odd = || f64_const(f64::from_bits(0xFFF0_0000_0000_BEEF));
    let wide = [
        vec![f64_const(0.0), f64_const(0.0), I::F64Div],
        vec![
            f64_const(f64::NEG_INFINITY),
            f64_const(f64::INFINITY),
            I::F64Add,
        ],
        vec![f64_const(-1.0), I::F64Sqrt],
        vec![odd(), f64_const(1.0), I::F64Add],
        vec![odd(), f64_const(1.0), I::F64Min],
        vec![
            I::F32Const(f32::from_bits(0xFF80_BEEF).into()),
            I::F64PromoteF32,
        ],
    ];
    let mut reducers = vec![];
    let names = ["zero", "infinity", "root", "payload", "least", "widened"];
    for (name, mut body) in names.into_iter().zip(wide) {
        body.extend([
            I::I64ReinterpretF64,
            I::I64Const(0x7FF8_0000_0000_0000),
            I::I64Ne,
        ]);
        reducers.push(reducer(name, body));
    }
    let mut narrow = vec![odd(), I::F32DemoteF64, I::I32ReinterpretF32];
    narrow.extend([I::I32Const(0x7FC0_0000), I::I32Ne]);
    reducers.push(reducer("narrowed", narrow));
    let lanes = i128::from_ne_bytes([0xFF; 16]);
    let vector = vec![
        I::V128Const(lanes),
        I::V128Const(lanes),
        I::F64x2Add,
        I::I64x2ExtractLane(1),
        I::I64Const(0x7FF8_0000_0000_0000),
        I::I64Ne,
    ];
    reducers.push(reducer("vector", vector));
    let mut bench = Fixture::new(reducers).bench();
    for name in names.into_iter().chain(["narrowed", "vector"]) {
        assert_eq!(bench.outcome(name), Outcome::Ok, "{name}");
    }
}

/// Instructions that write a console line of `len` bytes at [`TEXTS`].
fn log(level: i32, len: i32) -> Vec<I<'static>> {
    vec![
        I::I32Const(level),
        I::I32Const(0),
        I::I32Const(0),
        I::I32Const(TEXTS),
        I::I32Const(4),
        I::I32Const(12),
        I::I32Const(TEXTS),
        I::I32Const(len),
        I::Call(import("console_log")),
    ]
}

#[test]
fn the_console_says_who_and_where() {
    let mut body = log(1, 9);
    body.push(I::I32Const(0));
    let mut bench = Fixture::new(vec![reducer("log", body)])
        .texts(b"file text")
        .bench();
    let report = bench.call("log");
    assert_eq!(report.console_dropped, 0);
    let [line] = &report.console[..] else {
        panic!("one line: {report:?}")
    };
    assert_eq!(line.level, ConsoleLevel::Warn);
    assert_eq!(line.target, None);
    assert_eq!(line.filename.as_deref(), Some("file"));
    assert_eq!(line.line, Some(12));
    assert_eq!(line.message, "file text");
    assert!(
        bench.call("log").console.len() == 1,
        "lines of earlier calls are gone"
    );
}

/// A reducer that does something so often.
fn often(times: i32, body: Vec<I<'static>>, last: Vec<I<'static>>) -> super::fixture::Reducer {
    let mut all = vec![
        I::I32Const(times),
        I::LocalSet(LOCAL),
        I::Loop(BlockType::Empty),
    ];
    all.extend(body);
    all.extend([
        I::LocalGet(LOCAL),
        I::I32Const(1),
        I::I32Sub,
        I::LocalTee(LOCAL),
        I::BrIf(0),
        I::End,
    ]);
    all.extend(last);
    let mut reducer = reducer("often", all);
    reducer.locals = vec![(1, ValType::I32)];
    reducer
}

#[test]
fn the_console_is_bounded_and_last_words_are_not_lost() {
    let mut last = log(101, 9);
    last.push(I::Unreachable);
    let lines = i32::try_from(CONSOLE_LINES_MAX).unwrap();
    let mut bench = Fixture::new(vec![often(lines + 5, log(2, 9), last)])
        .texts(b"the cause")
        .bench();
    let report = bench.call("often");
    assert_eq!(report.outcome, Outcome::Trapped("the cause".into()));
    assert_eq!(report.console.len(), CONSOLE_LINES_MAX);
    assert_eq!(report.console_dropped, 6);

    let long = vec![b'x'; 8 << 10];
    let reducer = often(100, log(2, 8 << 10), vec![I::I32Const(0)]);
    let report = Fixture::new(vec![reducer])
        .texts(&long)
        .bench()
        .call("often");
    let bytes = report
        .console
        .iter()
        .map(|line| line.message.len())
        .sum::<usize>();
    assert!(bytes <= CONSOLE_BYTES_MAX, "{bytes}");
    assert_eq!(report.console.len() + report.console_dropped as usize, 100);
}

/// Instructions that write bytes at [`TEXTS`] to the error sink and leave the status.
fn say(len: i32) -> Vec<I<'static>> {
    vec![
        I::I32Const(SCRATCH),
        I::I32Const(len),
        I::I32Store(at(0)),
        I::LocalGet(SINK),
        I::I32Const(TEXTS),
        I::I32Const(SCRATCH),
        I::Call(import("bytes_sink_write")),
    ]
}

#[test]
fn a_failed_reducer_says_why() {
    let mut body = say(9);
    body.extend([I::Drop, I::I32Const(1)]);
    let mut bench = Fixture::new(vec![reducer("fail", body)])
        .texts(b"no\xFFsuch\xC3")
        .bench();
    assert_eq!(
        bench.outcome("fail"),
        Outcome::Failed("no\u{FFFD}such\u{FFFD}".replace("such\u{FFFD}", "such\u{FFFD}\u{0}"))
    );
}

#[test]
fn an_endless_error_text_is_cut() {
    let mut body = say(4_096);
    body.push(I::Drop);
    let mut bench = Fixture::new(vec![often(100, body, vec![I::I32Const(1)])])
        .texts(&[b'x'; 4_096])
        .bench();
    assert_eq!(
        bench.outcome("often"),
        Outcome::Failed("x".repeat(ERROR_BYTES_MAX))
    );
}

#[test]
fn an_unknown_status_is_no_success() {
    let mut bench = Fixture::new(vec![reducer("odd", vec![I::I32Const(77)])]).bench();
    let expected = "it returned an unknown status: 77".to_owned();
    assert_eq!(bench.outcome("odd"), Outcome::Trapped(expected));
}

#[test]
fn traps_are_told_in_our_words() {
    let reducers = vec![
        reducer("abort", vec![I::Unreachable]),
        reducer("divide", vec![I::I32Const(1), I::I32Const(0), I::I32DivS]),
        reducer(
            "overflow",
            vec![I::I32Const(i32::MIN), I::I32Const(-1), I::I32DivS],
        ),
        reducer(
            "convert",
            vec![I::F32Const(f32::NAN.into()), I::I32TruncF32S],
        ),
        reducer(
            "null",
            vec![
                I::I64Const(0),
                I::I32Const(0),
                I::I32Const(0),
                I::I32Const(5),
                I::CallIndirect {
                    type_index: 0,
                    table_index: 0,
                },
            ],
        ),
    ];
    let mut bench = Fixture::new(reducers).bench();
    let expected = [
        ("abort", "it aborted"),
        ("divide", "an integer division by zero"),
        ("overflow", "an integer overflow"),
        ("convert", "a conversion of a float that is no integer"),
        ("null", "a call through a null pointer"),
    ];
    for (name, why) in expected {
        assert_eq!(bench.outcome(name), Outcome::Trapped(why.into()));
    }
}
