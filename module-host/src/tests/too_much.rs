//! Rows, scans, writes, iterators, sources and timers that are too large or too many: the ABI has no
//! number for a limit, so the call ends, with the limit in its text.

use wasm_encoder::{BlockType, Instruction as I, ValType};

use super::abi::calling;
use super::fixture::{Fixture, LOCAL, Reducer, SCRATCH, TEXTS, at, import, reducer};
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::{Outcome, PrepareError};

/// Room for what an import gives back.
const OUT: i32 = SCRATCH + 64;

/// A call that does something so often, with `LOCAL` counting down, and then something else.
fn often(name: &'static str, times: i32, body: &[I<'static>], last: &[I<'static>]) -> Reducer {
    let mut all = vec![
        I::I32Const(times),
        I::LocalSet(LOCAL),
        I::Loop(BlockType::Empty),
    ];
    all.extend_from_slice(body);
    all.extend([
        I::LocalGet(LOCAL),
        I::I32Const(1),
        I::I32Sub,
        I::LocalTee(LOCAL),
        I::BrIf(0),
        I::End,
    ]);
    all.extend_from_slice(last);
    all.push(I::I32Const(0));
    let mut reducer = reducer(name, all);
    reducer.locals = vec![(1, ValType::I32)];
    reducer
}

#[test]
fn what_is_too_much_ends_the_call() {
    /// Where a row of `ticket` is made: its number, and a text of so many bytes.
    const LARGE: i32 = 1 << 20;
    const TEXT_BYTES: i32 = (1 << 20) - 8;
    const TICKET_ID: i32 = 4_097;
    const BY_NUMBER: i32 = 4_098;
    let set = |address, number: Vec<I<'static>>| {
        let mut body = vec![I::I32Const(address)];
        body.extend(number);
        body.push(I::I32Store(at(0)));
        body
    };
    let constant = |number| vec![I::I32Const(number)];
    let call = |import, args: &[i32]| {
        let mut body = calling(import, args, true);
        body.push(I::Drop);
        body
    };
    let len_at = SCRATCH;
    // The text's length stands before it; the row's length where the import looks for it.
    let row = |number, bytes: i32| {
        [
            set(LARGE, number),
            set(LARGE + 4, constant(bytes)),
            set(len_at, constant(8 + bytes)),
        ]
        .concat()
    };
    let insert = call("datastore_insert_bsatn", &[TICKET_ID, LARGE, len_at]);
    let fill = [row(vec![I::LocalGet(LOCAL)], TEXT_BYTES), insert.clone()].concat();
    // The same row over and over, with another first letter each time.
    let letter = vec![
        I::I32Const(LARGE + 8),
        I::LocalGet(LOCAL),
        I::I32Const(0x7F),
        I::I32And,
        I::I32Store8(at(0)),
    ];
    let update = call(
        "datastore_update_bsatn",
        &[TICKET_ID, BY_NUMBER, LARGE, len_at],
    );
    let change = [row(constant(1), TEXT_BYTES), letter, update].concat();
    let scan = call("datastore_table_scan_bsatn", &[TICKET_ID, OUT]);
    let timer = call("console_timer_start", &[TEXTS, 4]);
    let jwt = call("get_jwt", &[TEXTS, OUT]);
    let clear = call("datastore_clear", &[TICKET_ID, OUT]);
    let too_large = [row(constant(1), TEXT_BYTES + 1), insert].concat();
    let reducers = vec![
        often("row", 1, &too_large, &[]),
        often("scan", 65, &fill, &scan),
        often("clear", 65, &fill, &clear),
        often("iterators", 63, &fill, &[&scan[..]; 5].concat()),
        often("writes", 1, &fill, &[]),
        often("changes", 200, &change, &[]),
        often("timers", 65, &timer, &[]),
        often("sources", 65, &jwt, &[]),
    ];
    // The call's own connection, which is also the name of a span.
    let mut bench = Fixture::new(reducers).texts(&[3; 16]).bench();
    let trapped = |why: &str| Outcome::Trapped(why.into());
    assert_eq!(
        bench.outcome("row"),
        trapped("a row of 1048577 bytes is too large: at most 1048576")
    );
    let scan = trapped("a scan of more than 67108864 bytes: narrow its range");
    assert_eq!(bench.outcome("scan"), scan);
    assert_eq!(bench.outcome("clear"), scan);
    assert_eq!(
        bench.outcome("iterators"),
        trapped("open row iterators hold more than 268435456 bytes")
    );
    assert_eq!(bench.outcome("writes"), Outcome::Ok);
    assert_eq!(
        bench.outcome("changes"),
        trapped("a call that writes more than 268435456 bytes: split it")
    );
    assert_eq!(
        bench.outcome("timers"),
        trapped("too many console timers are open")
    );
    let sources = bench.call_with("sources", &[], Some("{}")).outcome;
    assert_eq!(sources, trapped("too many byte sources are open"));
}

#[test]
fn a_description_has_room_for_so_much() {
    const CHUNK: i32 = 1 << 16;
    let write = |expected: i32, left: i32| {
        vec![
            I::I32Const(SCRATCH),
            I::I32Const(CHUNK),
            I::I32Store(at(0)),
            I::LocalGet(0),
            I::I32Const(TEXTS),
            I::I32Const(SCRATCH),
            I::Call(import("bytes_sink_write")),
            I::I32Const(expected),
            I::I32Ne,
            I::I32Const(SCRATCH),
            I::I32Load(at(0)),
            I::I32Const(left),
            I::I32Ne,
            I::I32Or,
            I::If(BlockType::Empty),
            I::Unreachable,
            I::End,
        ]
    };
    let chunks = DESCRIPTION_BYTES_MAX / CHUNK as usize;
    let mut fixture = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]);
    // All but the last bytes are taken, then what still fits, then none.
    for _ in 0..chunks - 1 {
        fixture.describing.extend(write(0, CHUNK));
    }
    let mut last = write(0, CHUNK - 1);
    last[1] = I::I32Const(CHUNK - 1);
    fixture.describing.extend(last);
    fixture.describing.extend(write(0, 1));
    fixture.describing.extend(write(9, CHUNK));
    match fixture.prepare() {
        Err(PrepareError::Refused(reasons)) => {
            assert!(reasons[0].contains("cannot be read"), "{reasons:?}");
        }
        other => panic!("it was not refused for its description: {other:?}"),
    }
}
