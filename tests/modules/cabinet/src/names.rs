//! Names: what the source says, what the rules make of it, and what is given explicitly.
#![allow(
    non_snake_case,
    non_camel_case_types,
    reason = "names that the rules change are the point"
)]

use spacetimedb::{ReducerContext, SpacetimeType, Table, reducer, table};

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum myKind2 {
    FirstKind,
    second_kind(u8),
}

/// Named by the rules.
#[table(
    accessor = oldShelf2,
    public,
    index(accessor = byAge, btree(columns = [theAge, kindOf]))
)]
pub struct OldShelf2 {
    #[unique]
    pub theAge: u8,
    pub kindOf: myKind2,
    #[default(7)]
    pub added1: u16,
    #[default(true)]
    pub addedLater: bool,
}

/// Named explicitly.
#[table(
    accessor = plain,
    name = "FancyName",
    public,
    index(accessor = by_x, name = "fancyIndex", hash(columns = [x]))
)]
pub struct Plain {
    pub x: i32,
}

/// Rows that are told and not kept.
#[table(accessor = noise, public, event)]
pub struct Noise {
    pub loud: u8,
}

/// By the rules its name is `put_on_shelf_2`.
#[reducer]
pub fn putOnShelf2(ctx: &ReducerContext, theAge: u8, kind: myKind2) {
    ctx.db.oldShelf2().insert(OldShelf2 {
        theAge,
        kindOf: kind,
        added1: 1,
        addedLater: false,
    });
}

/// Known to clients as `Renamed`.
#[reducer(name = "Renamed")]
pub fn old_name(ctx: &ReducerContext, x: i32) -> Result<(), String> {
    ctx.db.plain().insert(Plain { x });
    match ctx.db.plain().by_x().filter(x).count() {
        1 => Ok(()),
        n => Err(format!("the index finds {n}")),
    }
}

/// Within its transaction a noise is heard; afterwards it is gone.
#[reducer]
pub fn shout(ctx: &ReducerContext, loud: u8) -> Result<(), String> {
    let before = ctx.db.noise().count();
    ctx.db.noise().insert(Noise { loud });
    match (before, ctx.db.noise().count()) {
        (0, 1) => Ok(()),
        other => Err(format!("noises before and after: {other:?}")),
    }
}
