//! A module that does what no module should: it panics, never ends, recurses without end, takes
//! all memory, keeps state outside its tables, and stores numbers that are not numbers.
//!
//! A peer has to answer each with a clear error, the same on every peer, and stay up.

use spacetimedb::{ReducerContext, Table, reducer, table};
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static REMEMBERED: Mutex<String> = Mutex::new(String::new());

/// What a reducer saw of state that should not be there.
#[table(accessor = sighting, public)]
pub struct Sighting {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    /// What the static counter said after this call added one: 1 on an honest host.
    pub calls: u64,
    /// What an earlier call left in a static: empty on an honest host.
    pub remembered: String,
    /// Pages of 64 KiB that the module believes to have.
    pub pages: u32,
}

/// Floating point results whose bits a processor may choose.
#[table(accessor = oddity, public)]
pub struct Oddity {
    #[primary_key]
    pub name: String,
    pub value: f64,
    pub narrow: f32,
    pub bits: u64,
    pub narrow_bits: u32,
}

/// Rows made before something went wrong: none of them may stay.
#[table(accessor = leftover, public)]
pub struct Leftover {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub why: String,
}

fn leave(ctx: &ReducerContext, why: &str) {
    ctx.db.leftover().insert(Leftover {
        id: 0,
        why: why.to_string(),
    });
}

/// Behaves, to show that the module still answers.
#[reducer]
pub fn behave(ctx: &ReducerContext, word: String) {
    log::info!("behaving: {word}");
    ctx.db.leftover().insert(Leftover { id: 0, why: word });
}

/// Writes a row, then fails politely.
#[reducer]
pub fn fail(ctx: &ReducerContext, why: String) -> Result<(), String> {
    leave(ctx, "fail");
    Err(why)
}

/// Writes a row, then panics.
#[reducer]
pub fn panic_now(ctx: &ReducerContext, why: String) {
    leave(ctx, "panic_now");
    panic!("{why}");
}

/// Writes a row, then never ends.
#[reducer]
pub fn loop_for_ever(ctx: &ReducerContext) {
    leave(ctx, "loop_for_ever");
    let mut turn = 0_u64;
    loop {
        turn = black_box(turn).wrapping_add(1);
    }
}

/// Never ends, and asks the host for something at every turn.
#[reducer]
pub fn scan_for_ever(ctx: &ReducerContext) {
    leave(ctx, "scan_for_ever");
    loop {
        black_box(ctx.db.leftover().iter().count());
    }
}

/// Writes a row, then recurses without end.
#[reducer]
pub fn recurse_for_ever(ctx: &ReducerContext) {
    leave(ctx, "recurse_for_ever");
    black_box(descend(black_box(u64::MAX)));
}

/// Recurses `depth` deep and comes back.
#[reducer]
pub fn recurse(ctx: &ReducerContext, depth: u32) {
    let reached = descend(u64::from(depth));
    leave(ctx, &format!("came back from {reached}"));
}

#[inline(never)]
fn descend(left: u64) -> u64 {
    if black_box(left) == 0 {
        return 0;
    }
    // The addition after the call keeps it from becoming a loop.
    black_box(descend(left - 1)) + 1
}

/// Writes a row, then takes memory until there is none.
#[reducer]
pub fn take_all_memory(ctx: &ReducerContext) {
    leave(ctx, "take_all_memory");
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(black_box(vec![0xAA; 1 << 20]));
    }
}

/// Takes `mib` MiB and gives them back.
#[reducer]
pub fn take_memory(ctx: &ReducerContext, mib: u32) {
    let taken = black_box(vec![1_u8; (mib as usize) << 20]);
    leave(ctx, &format!("had {} bytes", taken.len()));
}

/// Counts itself in a static, leaves a word in another, and writes down what it found there.
#[reducer]
pub fn count_calls(ctx: &ReducerContext, word: String) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let mut remembered = REMEMBERED.lock().expect("nobody panicked while holding it");
    let earlier = std::mem::replace(&mut *remembered, word);
    // Growth must not survive the call either.
    let grown = black_box(vec![7_u8; 3 << 20]);
    ctx.db.sighting().insert(Sighting {
        id: 0,
        calls,
        remembered: earlier,
        pages: pages() + u32::from(grown[0]) - 7,
    });
}

/// Panics after it changed the statics that `count_calls` looks at.
#[reducer]
pub fn count_then_panic(_ctx: &ReducerContext) {
    CALLS.fetch_add(100, Ordering::Relaxed);
    "left by a call that panicked"
        .clone_into(&mut REMEMBERED.lock().expect("nobody panicked while holding it"));
    panic!("counted, then panicked");
}

/// Stores what arithmetic without an answer gives.
#[reducer]
pub fn store_nan(ctx: &ReducerContext) {
    let zero = black_box(0.0_f64);
    let narrow_zero = black_box(0.0_f32);
    let odd = [
        ("zero by zero", zero / zero, narrow_zero / narrow_zero),
        (
            "minus zero by zero",
            -(zero / zero),
            -(narrow_zero / narrow_zero),
        ),
        (
            "root of minus one",
            (zero - 1.0).sqrt(),
            (narrow_zero - 1.0).sqrt(),
        ),
        (
            "infinity less infinity",
            black_box(f64::INFINITY) - black_box(f64::INFINITY),
            black_box(f32::INFINITY) - black_box(f32::INFINITY),
        ),
        (
            "payload plus one",
            f64::from_bits(black_box(0x7FF8_0000_DEAD_BEEF)) + 1.0,
            f32::from_bits(black_box(0x7FC0_BEEF)) + 1.0,
        ),
        ("minus zero", -zero, -narrow_zero),
        ("infinity", 1.0 / zero, 1.0 / narrow_zero),
    ];
    for (name, value, narrow) in odd {
        let row = Oddity {
            name: name.to_string(),
            value,
            narrow,
            bits: value.to_bits(),
            narrow_bits: narrow.to_bits(),
        };
        let name = row.name.clone();
        if ctx.db.oddity().name().find(&name).is_some() {
            ctx.db.oddity().name().update(row);
        } else {
            ctx.db.oddity().insert(row);
        }
    }
}

/// Writes `lines` lines of log, each `bytes` long.
#[reducer]
pub fn talk_too_much(_ctx: &ReducerContext, lines: u32, bytes: u32) {
    let line = "x".repeat(bytes as usize);
    for _ in 0..lines {
        log::info!("{line}");
    }
}

/// Inserts rows until it is stopped.
#[reducer]
pub fn insert_for_ever(ctx: &ReducerContext) {
    loop {
        leave(ctx, "insert_for_ever");
    }
}

#[cfg(target_arch = "wasm32")]
fn pages() -> u32 {
    core::arch::wasm32::memory_size(0) as u32
}

#[cfg(not(target_arch = "wasm32"))]
fn pages() -> u32 {
    0
}
