//! A doorkeeper: clients whom the module turns away when they connect.

use spacetimedb::{Identity, ReducerContext, Table, reducer, table};

/// Who is inside, or has been.
#[table(accessor = guest, public)]
pub struct Guest {
    #[primary_key]
    pub identity: Identity,
    pub visits: u32,
}

/// Who may not come in.
#[table(accessor = barred, public)]
pub struct Barred {
    #[primary_key]
    pub identity: Identity,
    /// Whether the doorkeeper loses his temper and traps, instead of saying no.
    pub trap: bool,
}

#[reducer(client_connected)]
pub fn client_connected(ctx: &ReducerContext) -> Result<(), String> {
    let identity = ctx.sender();
    // Noted before it is looked at who it is: a refusal has to undo it.
    match ctx.db.guest().identity().find(identity) {
        Some(guest) => {
            let visits = guest.visits + 1;
            ctx.db.guest().identity().update(Guest { visits, ..guest });
        }
        None => {
            ctx.db.guest().insert(Guest {
                identity,
                visits: 1,
            });
        }
    }
    match ctx.db.barred().identity().find(identity) {
        None => Ok(()),
        Some(Barred { trap: true, .. }) => panic!("out with you"),
        Some(_) => Err("you may not come in".to_string()),
    }
}

/// Lets somebody in no more.
#[reducer]
pub fn bar(ctx: &ReducerContext, identity: Identity, trap: bool) {
    ctx.db.barred().insert(Barred { identity, trap });
}

/// Lets somebody in again.
#[reducer]
pub fn forgive(ctx: &ReducerContext, identity: Identity) {
    ctx.db.barred().identity().delete(identity);
}
