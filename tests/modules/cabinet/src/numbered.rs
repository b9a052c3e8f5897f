//! Columns that number their rows, of every width.

use spacetimedb::{ReducerContext, Table, reducer, table};

#[table(accessor = in_u8, public)]
pub struct InU8 {
    #[primary_key]
    #[auto_inc]
    pub number: u8,
    pub text: String,
}

#[table(accessor = in_u16, public)]
pub struct InU16 {
    #[primary_key]
    #[auto_inc]
    pub number: u16,
    pub text: String,
}

#[table(accessor = in_u32, public)]
pub struct InU32 {
    #[primary_key]
    #[auto_inc]
    pub number: u32,
    pub text: String,
}

#[table(accessor = in_u64, public)]
pub struct InU64 {
    #[primary_key]
    #[auto_inc]
    pub number: u64,
    pub text: String,
}

#[table(accessor = in_u128, public)]
pub struct InU128 {
    #[primary_key]
    #[auto_inc]
    pub number: u128,
    pub text: String,
}

#[table(accessor = in_i8, public)]
pub struct InI8 {
    #[primary_key]
    #[auto_inc]
    pub number: i8,
    pub text: String,
}

#[table(accessor = in_i16, public)]
pub struct InI16 {
    #[primary_key]
    #[auto_inc]
    pub number: i16,
    pub text: String,
}

#[table(accessor = in_i32, public)]
pub struct InI32 {
    #[primary_key]
    #[auto_inc]
    pub number: i32,
    pub text: String,
}

#[table(accessor = in_i64, public)]
pub struct InI64 {
    #[primary_key]
    #[auto_inc]
    pub number: i64,
    pub text: String,
}

#[table(accessor = in_i128, public)]
pub struct InI128 {
    #[primary_key]
    #[auto_inc]
    pub number: i128,
    pub text: String,
}

/// Gives a row a number in each table, and fails where that is no new number above zero.
#[reducer]
pub fn number(ctx: &ReducerContext, text: String) -> Result<(), String> {
    macro_rules! number {
        ($($accessor:ident $row:ident),*) => {$(
            let last = ctx.db.$accessor().iter().map(|row| row.number).max();
            let row = ctx.db.$accessor().insert($row { number: 0, text: text.clone() });
            if row.number <= last.unwrap_or(0) {
                return Err(format!("{}: {} after {last:?}", stringify!($row), row.number));
            }
            if ctx.db.$accessor().number().find(row.number).is_none() {
                return Err(format!("{}: {} is not there", stringify!($row), row.number));
            }
        )*};
    }
    number!(
        in_u8 InU8, in_u16 InU16, in_u32 InU32, in_u64 InU64, in_u128 InU128, in_i8 InI8,
        in_i16 InI16, in_i32 InI32, in_i64 InI64, in_i128 InI128
    );
    Ok(())
}

/// Numbers rows until the narrowest column has none left.
#[reducer]
pub fn use_up(ctx: &ReducerContext) -> Result<(), String> {
    loop {
        let row = InI8 {
            number: 0,
            text: String::new(),
        };
        if let Err(error) = ctx.db.in_i8().try_insert(row) {
            return Err(error.to_string());
        }
    }
}
