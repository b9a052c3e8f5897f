//! Indexes: a btree over every type that can have one, alone and behind another column; hash and
//! direct indexes. Every scan and deletion is held against a walk over the table.

use spacetimedb::sats::{i256, u256};
use spacetimedb::{ConnectionId, Identity, ReducerContext, Table, Timestamp, Uuid, reducer, table};

use crate::Colour;

#[table(
    accessor = drawer,
    public,
    index(accessor = by_flag_w8_text, btree(columns = [flag, w8, text])),
    index(accessor = by_flag_s256, btree(columns = [flag, s256])),
    index(accessor = by_colour_who, btree(columns = [colour, who])),
    index(accessor = hash_text_s64, hash(columns = [text, s64])),
    index(accessor = hash_w256, hash(columns = [w256]))
)]
#[derive(Clone, Debug, PartialEq)]
pub struct Drawer {
    #[primary_key]
    pub id: u32,
    #[index(btree)]
    pub flag: bool,
    #[index(btree)]
    pub w8: u8,
    #[index(btree)]
    pub w16: u16,
    #[index(btree)]
    pub w32: u32,
    #[index(btree)]
    pub w64: u64,
    #[index(btree)]
    pub w128: u128,
    #[index(btree)]
    pub w256: u256,
    #[index(btree)]
    pub s8: i8,
    #[index(btree)]
    pub s16: i16,
    #[index(btree)]
    pub s32: i32,
    #[index(btree)]
    pub s64: i64,
    #[index(btree)]
    pub s128: i128,
    #[index(btree)]
    pub s256: i256,
    #[index(btree)]
    pub text: String,
    #[index(btree)]
    pub who: Identity,
    #[index(btree)]
    pub connection: ConnectionId,
    #[index(btree)]
    pub at: Timestamp,
    #[index(btree)]
    pub mark: Uuid,
    #[index(btree)]
    pub colour: Colour,
}

/// Small numbers, each there once.
#[table(accessor = slot, public)]
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    #[unique]
    #[index(direct)]
    pub w8: u8,
    #[unique]
    #[index(direct)]
    pub w16: u16,
    #[unique]
    #[index(direct)]
    pub w32: u32,
    #[unique]
    #[index(direct)]
    pub w64: u64,
    #[unique]
    #[index(hash)]
    pub name: String,
}

/// The n-th of a few values, spread over all the bits of a type and around its ends and zero.
fn spread(n: u32) -> i256 {
    let values = [
        i256::MIN,
        i256::from(i128::MIN),
        i256::from(i64::MIN),
        i256::from(-129),
        i256::from(-1),
        i256::from(0),
        i256::from(1),
        i256::from(255),
        i256::from(256),
        i256::from(u64::MAX),
        i256::from(u128::MAX),
        i256::MAX,
    ];
    values[(n as usize * 7) % values.len()]
}

/// Numbers of other widths are the lowest bits.
fn low(n: u32) -> u128 {
    spread(n).as_u128()
}

fn text(n: u32) -> String {
    ["", "a", "a\0", "a\0b", "ab", "b", "é", "\u{10FFFF}"][(n % 8) as usize].to_string()
}

fn drawer(id: u32) -> Drawer {
    let low = low(id);
    Drawer {
        id,
        flag: id % 3 == 0,
        w8: low as u8,
        w16: low as u16,
        w32: low as u32,
        w64: low as u64,
        w128: low,
        w256: spread(id).as_u256(),
        s8: low as i8,
        s16: low as i16,
        s32: low as i32,
        s64: low as i64,
        s128: low as i128,
        s256: spread(id),
        text: text(id),
        who: Identity::from_u256(spread(id).as_u256()),
        connection: ConnectionId::from_u128(low),
        at: Timestamp::from_micros_since_unix_epoch(low as i64),
        mark: Uuid::from_u128(low),
        colour: [Colour::Red, Colour::DarkGreen, Colour::Blue][(id % 3) as usize],
    }
}

/// Puts `count` rows into the drawers and the slots.
#[reducer]
pub fn fill(ctx: &ReducerContext, count: u32) {
    for id in 0..count {
        ctx.db.drawer().insert(drawer(id));
        ctx.db.slot().insert(Slot {
            w8: id as u8,
            w16: id as u16 + 250,
            w32: id * 1_000,
            w64: u64::from(id) << 40,
            name: format!("slot {id}"),
        });
    }
}

/// What disagrees with the table.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn same(&mut self, what: &str, by_index: impl Iterator<Item = u32>, mut by_walk: Vec<u32>) {
        let mut by_index: Vec<u32> = by_index.collect();
        by_index.sort_unstable();
        by_walk.sort_unstable();
        if by_index != by_walk {
            self.0
                .push(format!("{what}: index {by_index:?}, table {by_walk:?}"));
        }
    }

    fn finish(self) -> Result<(), String> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0.join("; "))
        }
    }
}

/// Fails with everything in which an index and the table disagree.
#[reducer]
pub fn audit(ctx: &ReducerContext) -> Result<(), String> {
    let rows: Vec<Drawer> = ctx.db.drawer().iter().collect();
    let mut wrong = Wrong::default();
    let table = ctx.db.drawer();
    macro_rules! column {
        ($($column:ident),*) => {$(
            for low in &rows {
                let low = low.$column;
                let ids = |keep: &dyn Fn(&Drawer) -> bool| {
                    rows.iter().filter(|row| keep(row)).map(|row| row.id).collect::<Vec<_>>()
                };
                let what = stringify!($column);
                let index = table.$column();
                let found = |rows: &mut dyn Iterator<Item = Drawer>| {
                    rows.map(|row| row.id).collect::<Vec<_>>().into_iter()
                };
                wrong.same(what, found(&mut index.filter(low)), ids(&|row| row.$column == low));
                wrong.same(what, found(&mut index.filter(low..)), ids(&|row| row.$column >= low));
                wrong.same(what, found(&mut index.filter(..low)), ids(&|row| row.$column < low));
                wrong.same(what, found(&mut index.filter(..=low)), ids(&|row| row.$column <= low));
                for high in &rows {
                    let high = high.$column;
                    wrong.same(
                        what,
                        found(&mut index.filter(low..high)),
                        ids(&|row| row.$column >= low && row.$column < high),
                    );
                }
            }
            let least = rows.iter().map(|row| row.$column).min();
            let order: Vec<_> = least
                .into_iter()
                .flat_map(|least| table.$column().filter(least..))
                .map(|row| row.$column)
                .collect();
            if !order.is_sorted() || order.len() != rows.len() {
                wrong.0.push(format!("{} is not in order: {order:?}", stringify!($column)));
            }
        )*};
    }
    column!(
        flag, w8, w16, w32, w64, w128, w256, s8, s16, s32, s64, s128, s256, who, connection, at,
        mark, colour
    );
    let ids = |keep: &dyn Fn(&Drawer) -> bool| {
        let kept = rows.iter().filter(|row| keep(row));
        kept.map(|row| row.id).collect::<Vec<_>>()
    };
    let id = |row: Drawer| row.id;
    for one in &rows {
        let (text, flag, w8) = (one.text.as_str(), one.flag, one.w8);
        let same = |row: &Drawer| row.flag == flag && row.w8 == w8;
        let index = table.by_flag_w8_text();
        wrong.same(
            "text",
            table.text().filter(text).map(id),
            ids(&|row| row.text == text),
        );
        wrong.same(
            "text..",
            table.text().filter(text..).map(id),
            ids(&|row| *row.text >= *text),
        );
        wrong.same(
            "flag",
            index.filter(flag).map(id),
            ids(&|row| row.flag == flag),
        );
        wrong.same("flag, w8", index.filter((flag, w8)).map(id), ids(&same));
        wrong.same(
            "flag, ..=w8",
            index.filter((flag, ..=w8)).map(id),
            ids(&|row| row.flag == flag && row.w8 <= w8),
        );
        wrong.same(
            "flag, w8, text",
            index.filter((flag, w8, text)).map(id),
            ids(&|row| same(row) && row.text == text),
        );
        wrong.same(
            "flag, w8, ..text",
            index.filter((flag, w8, ..text)).map(id),
            ids(&|row| same(row) && *row.text < *text),
        );
        wrong.same(
            "flag, s256..",
            table.by_flag_s256().filter((flag, one.s256..)).map(id),
            ids(&|row| row.flag == flag && row.s256 >= one.s256),
        );
        wrong.same(
            "colour, who..",
            table
                .by_colour_who()
                .filter((one.colour, one.who..))
                .map(id),
            ids(&|row| row.colour == one.colour && row.who >= one.who),
        );
        wrong.same(
            "hash of text, s64",
            table.hash_text_s64().filter((text, one.s64)).map(id),
            ids(&|row| row.text == text && row.s64 == one.s64),
        );
        wrong.same(
            "hash of w256",
            table.hash_w256().filter(one.w256).map(id),
            ids(&|row| row.w256 == one.w256),
        );
    }
    for slot in ctx.db.slot().iter() {
        let table = ctx.db.slot();
        let found = [
            table.w8().find(slot.w8),
            table.w16().find(slot.w16),
            table.w32().find(slot.w32),
            table.w64().find(slot.w64),
            table.name().find(&slot.name),
        ];
        if found.iter().any(|found| found.as_ref() != Some(&slot)) {
            wrong.0.push(format!("{slot:?} is not in each index"));
        }
    }
    if ctx.db.slot().w8().find(255).is_some() || ctx.db.slot().w64().find(1).is_some() {
        wrong
            .0
            .push("a slot is found that is not there".to_string());
    }
    wrong.finish()
}

/// Takes rows out by every way of deleting, and fails if another number of them goes than a walk
/// finds.
#[reducer]
pub fn take_out(ctx: &ReducerContext) -> Result<(), String> {
    let table = ctx.db.drawer();
    let mut wrong = Vec::new();
    let mut gone = |what: &str, deleted: u64, before: u64| {
        let after = ctx.db.drawer().count();
        if before - after != deleted {
            wrong.push(format!(
                "{what}: {deleted} deleted, {before} before, {after} after"
            ));
        }
    };
    let before = table.count();
    gone(
        "s256 range",
        table.s256().delete(i256::from(0)..i256::from(256)),
        before,
    );
    let before = table.count();
    gone(
        "who",
        table.who().delete(Identity::from_u256(u256::MAX)),
        before,
    );
    let before = table.count();
    gone(
        "flag and w8",
        table.by_flag_w8_text().delete((true, 0_u8..200)),
        before,
    );
    let before = table.count();
    gone("hash", table.hash_text_s64().delete(("b", -1_i64)), before);
    let before = table.count();
    let row = table.iter().next();
    let deleted = row.is_some_and(|row| table.delete(row));
    gone("equal", u64::from(deleted), before);
    let before = table.count();
    let deleted = table.id().delete(4);
    gone("primary key", u64::from(deleted), before);
    if ctx.db.slot().w16().delete(255) == ctx.db.slot().w16().find(255).is_some() {
        wrong.push("a slot is there after it was deleted".to_string());
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}

/// Fails where it has to: a number that is taken is taken in each direct and hash index.
#[reducer]
pub fn squeeze(ctx: &ReducerContext, which: u8) -> Result<(), String> {
    let free = Slot {
        w8: 250,
        w16: 1,
        w32: 1,
        w64: 3,
        name: "free".to_string(),
    };
    let taken = ctx.db.slot().w8().find(1).ok_or("slot 1 is empty")?;
    let slot = match which {
        0 => Slot {
            w8: taken.w8,
            ..free
        },
        1 => Slot {
            w16: taken.w16,
            ..free
        },
        2 => Slot {
            w32: taken.w32,
            ..free
        },
        3 => Slot {
            w64: taken.w64,
            ..free
        },
        4 => Slot {
            name: taken.name,
            ..free
        },
        _ => free,
    };
    ctx.db
        .slot()
        .try_insert(slot)
        .map(drop)
        .map_err(|error| error.to_string())
}
