//! A market: the module of the simulator's worlds. People pay each other, take names and numbers,
//! claim stalls, and move notes between shelves.
//!
//! Each reducer is there for a way in which two calls can depend on each other: a row that both
//! change, a row that is absent, a unique value, a range that is read, a count, a generated number.
//! The simulator has a model of every one of them, written without this source: whoever changes a
//! reducer changes `simulator/src/checker/model.rs` too.

use std::sync::atomic::{AtomicU32, Ordering};

use tombolo_doc::changes::{self, ChangeRow, Changes, Seen};

use spacetimedb::sats::u256;
use spacetimedb::{
    Identity, ReducerContext, ScheduleAt, Table, TimeDuration, Timestamp, reducer, table,
};

/// What an account holds when it is opened.
const OPENING_BALANCE: i64 = 1_000;
/// Most accounts that one call opens.
const ACCOUNTS_MAX: u32 = 10_000;

/// After how many milliseconds the next of several deliveries comes.
const NEXT_DELIVERY_MS: u32 = 700;
/// Deliveries of weights that this divides fail.
const TOO_HEAVY: u32 = 7;

/// What no call should find of another one.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Money: nobody may spend what he does not have.
#[table(accessor = account, public)]
pub struct Account {
    #[primary_key]
    pub id: u32,
    pub balance: i64,
}

/// Something said. Saying it cannot fail.
#[table(accessor = saying, public)]
pub struct Saying {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub speaker: Identity,
    pub said: Timestamp,
    pub text: String,
}

/// The name that somebody goes by.
#[table(accessor = name, public)]
pub struct Name {
    #[primary_key]
    pub holder: Identity,
    #[unique]
    pub name: String,
}

/// A number in the queue: 1, 2, 3 in the order in which they were drawn.
#[table(accessor = number, public)]
pub struct Number {
    #[primary_key]
    #[auto_inc]
    pub number: u32,
    pub holder: Identity,
}

/// A stall that somebody claimed.
#[table(accessor = stall, public)]
pub struct Stall {
    #[primary_key]
    pub id: u32,
    pub owner: Identity,
}

/// A note on a shelf.
#[table(accessor = note, public, index(accessor = by_shelf, btree(columns = [shelf])))]
pub struct Note {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub shelf: u32,
    pub weight: u32,
}

/// A note that comes by itself, at a time.
#[table(accessor = delivery, public, scheduled(deliver))]
pub struct Delivery {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub scheduled_at: ScheduleAt,
    pub shelf: u32,
    pub weight: u32,
    /// How many more follow it, one after the other.
    pub more: u32,
}

/// Something that somebody typed into the one document.
#[table(accessor = scrawl, public, index(accessor = by_actor, btree(columns = [actor, seq])))]
pub struct Scrawl {
    /// The change's name, as hexadecimal text: every reader of rows can show it.
    #[primary_key]
    pub hash: String,
    pub actor: u128,
    pub seq: u32,
    pub start_op: u32,
    pub max_op: u32,
    pub seen: Vec<Seen>,
    pub bytes: Vec<u8>,
}

/// The change that makes the text: that of actor 0, at time 0.
const FIRST: [u8; 57] = [
    0x85, 0x6f, 0x4a, 0x83, 0xd7, 0x77, 0x6c, 0x7c, 0x01, 0x2f, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00,
    0x00, 0x05, 0x15, 0x06, 0x34, 0x01, 0x42, 0x02, 0x56, 0x02, 0x70, 0x02, 0x7f, 0x04, 0x74, 0x65,
    0x78, 0x74, 0x01, 0x7f, 0x04, 0x7f, 0x00, 0x7f, 0x00,
];

/// What somebody counted.
#[table(accessor = tally, public)]
pub struct Tally {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub from_shelf: u32,
    pub to_shelf: u32,
    pub notes: u32,
    pub weight: u64,
    /// Notes on all shelves.
    pub all: u64,
    /// Calls that the module remembers, this one included: one, as each begins anew.
    pub calls: u32,
}

/// How often somebody came and went.
#[table(accessor = visitor, public)]
pub struct Visitor {
    #[primary_key]
    pub who: Identity,
    pub came: u32,
    pub left: u32,
}

/// What was paid, since receipts exist.
#[cfg(feature = "receipts")]
#[table(accessor = receipt, public)]
pub struct Receipt {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub from_account: u32,
    pub to_account: u32,
    pub amount: i64,
}

#[reducer(client_connected)]
pub fn client_connected(ctx: &ReducerContext) {
    visited(ctx, |visitor| visitor.came += 1);
}

#[reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) {
    visited(ctx, |visitor| visitor.left += 1);
}

fn visited(ctx: &ReducerContext, change: impl Fn(&mut Visitor)) {
    let who = ctx.sender();
    let key = ctx.db.visitor().who();
    match key.find(who) {
        Some(mut visitor) => {
            change(&mut visitor);
            key.update(visitor);
        }
        None => {
            let mut visitor = Visitor {
                who,
                came: 0,
                left: 0,
            };
            change(&mut visitor);
            ctx.db.visitor().insert(visitor);
        }
    }
}

/// Opens the accounts 0 up to `count`, those that do not exist yet.
#[reducer]
pub fn open_accounts(ctx: &ReducerContext, count: u32) -> Result<(), String> {
    if count > ACCOUNTS_MAX {
        return Err(format!("at most {ACCOUNTS_MAX} accounts"));
    }
    for id in 0..count {
        if ctx.db.account().id().find(id).is_none() {
            ctx.db.account().insert(Account {
                id,
                balance: OPENING_BALANCE,
            });
        }
    }
    Ok(())
}

/// Moves money; fails when it is not there.
#[reducer]
pub fn transfer(ctx: &ReducerContext, from: u32, to: u32, amount: i64) -> Result<(), String> {
    if amount <= 0 || from == to {
        return Err("nothing would move".to_string());
    }
    let account = ctx.db.account().id();
    let (Some(mut payer), Some(mut payee)) = (account.find(from), account.find(to)) else {
        return Err("there is no such account".to_string());
    };
    if payer.balance < amount {
        return Err(format!(
            "account {from} holds {}, not {amount}",
            payer.balance
        ));
    }
    payer.balance -= amount;
    payee.balance += amount;
    account.update(payer);
    account.update(payee);
    #[cfg(feature = "receipts")]
    ctx.db.receipt().insert(Receipt {
        id: 0,
        from_account: from,
        to_account: to,
        amount,
    });
    Ok(())
}

/// Says something.
#[reducer]
pub fn say(ctx: &ReducerContext, text: String) {
    ctx.db.saying().insert(Saying {
        id: 0,
        speaker: ctx.sender(),
        said: ctx.timestamp,
        text,
    });
}

/// Takes a name; fails when somebody else has it.
#[reducer]
pub fn take_name(ctx: &ReducerContext, name: String) -> Result<(), String> {
    let holder = ctx.sender();
    // The old one goes first, and comes back with everything else when the new one is taken.
    ctx.db.name().holder().delete(holder);
    ctx.db
        .name()
        .try_insert(Name { holder, name })
        .map_err(|error| error.to_string())?;
    Ok(())
}

/// Draws the next number of the queue.
#[reducer]
pub fn draw_number(ctx: &ReducerContext) {
    ctx.db.number().insert(Number {
        number: 0,
        holder: ctx.sender(),
    });
}

/// Claims a stall; fails when somebody was there first.
#[reducer]
pub fn claim(ctx: &ReducerContext, id: u32) -> Result<(), String> {
    if ctx.db.stall().id().find(id).is_some() {
        return Err(format!("stall {id} is taken"));
    }
    ctx.db.stall().insert(Stall {
        id,
        owner: ctx.sender(),
    });
    Ok(())
}

/// Gives a stall back; fails when it is another's or nobody's.
#[reducer]
pub fn give_back(ctx: &ReducerContext, id: u32) -> Result<(), String> {
    match ctx.db.stall().id().find(id) {
        Some(stall) if stall.owner == ctx.sender() => {
            ctx.db.stall().id().delete(id);
            Ok(())
        }
        _ => Err(format!("stall {id} is not yours")),
    }
}

/// Puts a note on a shelf.
#[reducer]
pub fn put_note(ctx: &ReducerContext, shelf: u32, weight: u32) {
    ctx.db.note().insert(Note {
        id: 0,
        shelf,
        weight,
    });
}

/// Orders a note that comes after a while, and as many more after it.
#[reducer]
pub fn order(ctx: &ReducerContext, shelf: u32, weight: u32, after_ms: u32, more: u32) {
    deliver_after(ctx, after_ms, (shelf, weight, more));
}

/// Puts a note on its shelf, and orders the next one. Notes of some weights are too heavy for that.
#[reducer]
pub fn deliver(ctx: &ReducerContext, delivery: Delivery) -> Result<(), String> {
    let Delivery {
        shelf,
        weight,
        more,
        ..
    } = delivery;
    put_note(ctx, shelf, weight);
    if let Some(more) = more.checked_sub(1) {
        deliver_after(ctx, NEXT_DELIVERY_MS, (shelf, weight, more));
    }
    if weight % TOO_HEAVY == 0 {
        return Err(format!("a weight of {weight} is too much"));
    }
    Ok(())
}

fn deliver_after(ctx: &ReducerContext, after_ms: u32, what: (u32, u32, u32)) {
    let after = TimeDuration::from_micros(i64::from(after_ms) * 1_000);
    let (shelf, weight, more) = what;
    ctx.db.delivery().insert(Delivery {
        id: 0,
        scheduled_at: ScheduleAt::Time(ctx.timestamp + after),
        shelf,
        weight,
        more,
    });
}

/// Calls off what was ordered for a shelf; fails when that is nothing.
#[reducer]
pub fn call_off(ctx: &ReducerContext, shelf: u32) -> Result<(), String> {
    let ordered = ctx.db.delivery().iter().filter(|it| it.shelf == shelf);
    let ordered: Vec<u64> = ordered.map(|it| it.id).collect();
    if ordered.is_empty() {
        return Err(format!("nothing comes to shelf {shelf}"));
    }
    for id in ordered {
        ctx.db.delivery().id().delete(id);
    }
    Ok(())
}

/// Counts the notes on some shelves and all there are, and writes that down.
#[reducer]
pub fn count_notes(ctx: &ReducerContext, from_shelf: u32, to_shelf: u32) {
    let mut notes = 0;
    let mut weight = 0;
    if from_shelf <= to_shelf {
        for note in ctx.db.note().by_shelf().filter(from_shelf..=to_shelf) {
            notes += 1;
            weight += u64::from(note.weight);
        }
    }
    let all = ctx.db.note().count();
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    ctx.db.tally().insert(Tally {
        id: 0,
        from_shelf,
        to_shelf,
        notes,
        weight,
        all,
        calls,
    });
}

/// Throws away the notes on some shelves; fails when there are none.
#[reducer]
pub fn clear_shelves(ctx: &ReducerContext, from_shelf: u32, to_shelf: u32) -> Result<(), String> {
    if from_shelf > to_shelf || ctx.db.note().by_shelf().delete(from_shelf..=to_shelf) == 0 {
        return Err(format!(
            "no notes on the shelves {from_shelf} to {to_shelf}"
        ));
    }
    Ok(())
}

/// Moves the heaviest note of a shelf, of several the oldest, to the next shelf.
#[reducer]
pub fn move_heaviest(ctx: &ReducerContext, shelf: u32) -> Result<(), String> {
    let notes = ctx.db.note().by_shelf().filter(shelf);
    let heaviest = notes.max_by_key(|note| (note.weight, std::cmp::Reverse(note.id)));
    let Some(mut note) = heaviest else {
        return Err(format!("no note on shelf {shelf}"));
    };
    note.shelf += 1;
    ctx.db.note().id().update(note);
    Ok(())
}

#[reducer(init)]
pub fn init(ctx: &ReducerContext) -> Result<(), String> {
    type_changes(ctx, vec![FIRST.to_vec()])
}

/// Adds changes to the document: all, or none.
#[reducer]
pub fn type_changes(ctx: &ReducerContext, changes: Vec<Vec<u8>>) -> Result<(), String> {
    for change in &changes {
        let Some(row) = changes::judge(change, &Scrawls(ctx))? else {
            continue;
        };
        ctx.db.scrawl().insert(Scrawl {
            hash: format!("{:064x}", row.hash),
            actor: row.actor,
            seq: row.seq,
            start_op: row.start_op,
            max_op: row.max_op,
            seen: row.seen,
            bytes: row.bytes,
        });
    }
    Ok(())
}

/// The changes of the document.
struct Scrawls<'a>(&'a ReducerContext);

impl Changes for Scrawls<'_> {
    fn named(&self, hash: u256) -> Option<ChangeRow> {
        let name = format!("{:064x}", hash);
        self.0
            .db
            .scrawl()
            .hash()
            .find(name)
            .map(|row| change_row(hash, row))
    }

    fn numbered(&self, actor: u128, seq: u32) -> Option<ChangeRow> {
        let row = self.0.db.scrawl().by_actor().filter((actor, seq)).next()?;
        // Nobody asks for its name.
        Some(change_row(u256::ZERO, row))
    }
}

fn change_row(hash: u256, row: Scrawl) -> ChangeRow {
    ChangeRow {
        hash,
        actor: row.actor,
        seq: row.seq,
        start_op: row.start_op,
        max_op: row.max_op,
        seen: row.seen,
        bytes: row.bytes,
    }
}
