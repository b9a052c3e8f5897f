//! A module that would come out differently on a careless host: it looks at everything that could
//! differ between two machines, two runs or two moments, and writes what it saw into rows.
//!
//! One reducer a hazard. Peers of one database must end with the same rows, whatever each of them
//! runs on and however often it ran the calls again.

use spacetimedb::rand::Rng;
use spacetimedb::{ReducerContext, Table, Timestamp, Uuid, reducer, table};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);
static WORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static CACHE: RefCell<HashMap<String, u64>> = RefCell::default();
}

/// What a reducer saw.
#[table(accessor = seen, public)]
pub struct Seen {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub hazard: String,
    pub what: String,
}

/// Bits of numbers that a processor may choose.
#[table(accessor = bits, public)]
pub struct Bits {
    #[primary_key]
    pub name: String,
    pub wide: u64,
    pub narrow: u32,
    pub value: f64,
}

/// The first call of a moment has it.
#[table(accessor = moment, public)]
pub struct Moment {
    #[primary_key]
    pub at: Timestamp,
    pub first: String,
    pub later: u32,
    pub drawn: u64,
}

/// Things without any order of their own.
#[table(accessor = thing, public)]
pub struct Thing {
    pub name: String,
    pub weight: f32,
}

/// A number that counts, and a number that does not fit twice.
#[table(accessor = numbered, public)]
pub struct Numbered {
    #[primary_key]
    #[auto_inc]
    pub id: u16,
    #[unique]
    pub tag: Uuid,
}

fn see(ctx: &ReducerContext, hazard: &str, what: impl Into<String>) {
    ctx.db.seen().insert(Seen {
        id: 0,
        hazard: hazard.to_string(),
        what: what.into(),
    });
}

/// State outside of tables: a static, one behind a lock, one of the thread.
#[reducer]
pub fn statics(ctx: &ReducerContext, word: String) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let mut words = WORDS.lock().expect("nobody panicked while holding it");
    words.push(word.clone());
    let cached = CACHE.with_borrow_mut(|cache| {
        *cache
            .entry(word)
            .and_modify(|count| *count += 1)
            .or_insert(1)
    });
    see(
        ctx,
        "statics",
        format!("{calls} {} {cached}", words.join(",")),
    );
}

/// Changes the statics, and fails.
#[reducer]
pub fn statics_then_panic(_ctx: &ReducerContext) {
    CALLS.fetch_add(1_000, Ordering::Relaxed);
    let _words = WORDS.lock();
    panic!("while holding the words");
}

/// Where things lie in memory, as numbers and as text.
#[reducer]
pub fn addresses(ctx: &ReducerContext) {
    let on_heap = black_box(Box::new(7_u64));
    let on_stack = black_box(7_u64);
    let text = format!(
        "{:p} {:p} {:p}",
        &raw const *on_heap, &raw const on_stack, &CALLS
    );
    see(ctx, "addresses", text);
}

/// Numbers that are none, made in every way that makes them.
#[reducer]
pub fn nan_bits(ctx: &ReducerContext) {
    let (zero, narrow) = (black_box(0.0_f64), black_box(0.0_f32));
    let quiet = f64::from_bits(black_box(0x7FF8_0000_DEAD_BEEF));
    let loud = f64::from_bits(black_box(0xFFF0_0000_0000_0001));
    let odd: [(&str, f64, f32); 12] = [
        ("zero by zero", zero / zero, narrow / narrow),
        ("its negative", -(zero / zero), -(narrow / narrow)),
        (
            "root of minus one",
            (zero - 1.0).sqrt(),
            (narrow - 1.0).sqrt(),
        ),
        (
            "infinity by zero",
            f64::INFINITY * zero,
            f32::INFINITY * narrow,
        ),
        ("rest by zero", 1.0 % zero, 1.0 % narrow),
        ("payload plus one", quiet + 1.0, quiet as f32 + 1.0),
        ("loud times two", loud * 2.0, loud as f32 * 2.0),
        ("two payloads", quiet + loud, (quiet as f32) - (loud as f32)),
        (
            "smaller of payload and one",
            quiet.min(1.0),
            (quiet as f32).min(1.0),
        ),
        ("rounded", quiet.floor(), (loud as f32).ceil()),
        ("minus zero", -zero, -narrow),
        (
            "smallest by two",
            f64::from_bits(1) / 2.0,
            f32::from_bits(3) / 2.0,
        ),
    ];
    for (name, value, narrow) in odd {
        let name = name.to_string();
        ctx.db.bits().name().delete(&name);
        ctx.db.bits().insert(Bits {
            name,
            wide: value.to_bits(),
            narrow: narrow.to_bits(),
            value,
        });
    }
}

/// Calls itself so often: at some depth no machine goes further.
#[reducer]
pub fn recurse(ctx: &ReducerContext, depth: u32) {
    let sum = descend(u64::from(depth));
    see(ctx, "recurse", format!("{depth} {sum}"));
}

#[inline(never)]
fn descend(left: u64) -> u64 {
    if black_box(left) == 0 {
        return 0;
    }
    // The addition after the call keeps it from becoming a loop.
    black_box(descend(left - 1)) + 1
}

/// Grows its memory until it is refused, and writes down how far it came.
#[reducer]
pub fn grow(ctx: &ReducerContext) {
    let before = pages();
    // Room to write it down with, once there is no more to be had.
    let room = black_box(Vec::<u8>::with_capacity(256 << 10));
    let mut grown = 0;
    while grow_by(16) {
        grown += 16;
    }
    while grow_by(1) {
        grown += 1;
    }
    drop(room);
    see(ctx, "grow", format!("{before} {grown} {}", pages()));
}

/// Takes memory piece by piece until there is none.
#[reducer]
pub fn exhaust(ctx: &ReducerContext) {
    see(ctx, "exhaust", "before");
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(black_box(vec![0xAA; 1 << 20]));
    }
}

/// The order in which a hash map has its keys.
#[reducer]
pub fn hash_order(ctx: &ReducerContext) {
    let words = [
        "ebb", "flow", "neap", "spring", "slack", "rip", "bore", "surge",
    ];
    let map = words.iter().zip(0_u32..).collect::<HashMap<_, _>>();
    let set = (0..40_u64).map(|n| n * 0x9E37_79B9).collect::<HashSet<_>>();
    let mut text = String::new();
    for (word, place) in &map {
        let _ = write!(text, "{word}{place} ");
    }
    for number in set {
        let _ = write!(text, "{number:x} ");
    }
    see(ctx, "hash_order", text);
}

/// Numbers turned into text and back, and functions that tables compute.
#[reducer]
pub fn float_text(ctx: &ReducerContext) {
    let mut text = String::new();
    let mut number = black_box(0.1_f64);
    for step in 1..=24 {
        number = (number * 1.37).sin().exp().ln_1p() + f64::from(step).sqrt().powf(0.3);
        let narrow = number as f32;
        let back: f64 = format!("{number:e}").parse().expect("its own text");
        assert_eq!(back.to_bits(), number.to_bits());
        let _ = write!(text, "{number} {number:e} {number:.3} {narrow:?} ");
    }
    for odd in [
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        -0.0,
        5e-324,
        f64::MAX,
        1e21,
        0.3 - 0.1,
    ] {
        let _ = write!(text, "{odd:?} ");
    }
    see(ctx, "float_text", text);
}

/// Dice, and an identifier made of dice and time.
#[reducer]
pub fn dice(ctx: &ReducerContext) {
    let mut rng = ctx.rng();
    let throws: Vec<u32> = (0..8).map(|_| rng.gen_range(1..=6)).collect();
    let wide: u128 = rng.r#gen();
    let float: f64 = rng.r#gen();
    let four = ctx.new_uuid_v4().expect("dice never fail");
    let seven = ctx.new_uuid_v7().expect("the time is after 1970");
    see(
        ctx,
        "dice",
        format!("{throws:?} {wide:x} {float} {four} {seven}"),
    );
}

/// Who comes first at a moment has it; who comes later is counted.
#[reducer]
pub fn at_this_moment(ctx: &ReducerContext, who: String) {
    let drawn: u64 = ctx.rng().r#gen();
    match ctx.db.moment().at().find(ctx.timestamp) {
        Some(mut held) => {
            held.later += 1;
            held.drawn ^= drawn;
            ctx.db.moment().at().update(held);
        }
        None => {
            ctx.db.moment().insert(Moment {
                at: ctx.timestamp,
                first: who,
                later: 0,
                drawn,
            });
        }
    }
}

/// Puts things into a table in some order.
#[reducer]
pub fn collect(ctx: &ReducerContext, names: Vec<String>) {
    for name in names {
        let weight = name.len() as f32 / 3.0;
        ctx.db.thing().insert(Thing { name, weight });
    }
}

/// The order in which a table without a key has its rows, and what adding floats in it comes to.
#[reducer]
pub fn scan_order(ctx: &ReducerContext) {
    let mut text = String::new();
    let mut sum = 0.1_f32;
    for thing in ctx.db.thing().iter() {
        sum = (sum + thing.weight) * 1.000_1;
        let _ = write!(text, "{} ", thing.name);
    }
    see(ctx, "scan_order", format!("{text}{sum}"));
}

/// Numbers that count, drawn also by calls that fail.
#[reducer]
pub fn count(ctx: &ReducerContext, fail: bool) -> Result<(), String> {
    let tag = ctx.new_uuid_v7().map_err(|error| error.to_string())?;
    let row = ctx.db.numbered().insert(Numbered { id: 0, tag });
    if fail {
        return Err(format!("number {} goes unused", row.id));
    }
    see(ctx, "count", row.id.to_string());
    Ok(())
}

/// Works so long that its units may not last, and tells how far it came if they do.
#[reducer]
pub fn work(ctx: &ReducerContext, turns: u64) {
    let mut state = 0x1234_5678_u64;
    for turn in 0..turns {
        state = black_box(state.rotate_left(7) ^ turn).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    see(ctx, "work", format!("{state:x}"));
}

#[cfg(target_arch = "wasm32")]
fn pages() -> usize {
    core::arch::wasm32::memory_size(0)
}

#[cfg(target_arch = "wasm32")]
fn grow_by(pages: usize) -> bool {
    core::arch::wasm32::memory_grow(0, pages) != usize::MAX
}

#[cfg(not(target_arch = "wasm32"))]
fn pages() -> usize {
    0
}

#[cfg(not(target_arch = "wasm32"))]
fn grow_by(_pages: usize) -> bool {
    false
}
