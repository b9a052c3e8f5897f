//! A cabinet of specimens: a column of every type there is, an index of every kind over every type
//! that can have one, and every way of naming things. Rows go in and are held against what the
//! module itself works out, so a host that loses a bit hears of it from the module.

mod drawer;
mod names;
mod numbered;

use spacetimedb::sats::{i256, u256};
use spacetimedb::{
    ConnectionId, Identity, ReducerContext, ScheduleAt, SpacetimeType, Table, TimeDuration,
    Timestamp, Uuid, reducer, table,
};

#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    Red,
    DarkGreen,
    Blue,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Point {
    pub x: f32,
    pub y2: Option<f64>,
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Shape {
    Nothing,
    Circle(Point),
    Polygon(Vec<Point>),
    Inside(Option<Colour>),
}

#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Label {
    pub shape: Shape,
    pub tags: Vec<Vec<String>>,
}

/// A column of every type.
#[table(accessor = specimen, public)]
#[derive(Clone, Debug, PartialEq)]
pub struct Specimen {
    #[primary_key]
    pub id: u32,
    pub flag: bool,
    pub u8: u8,
    pub u16: u16,
    pub u32: u32,
    pub u64: u64,
    pub u128: u128,
    pub u256: u256,
    pub i8: i8,
    pub i16: i16,
    pub i32: i32,
    pub i64: i64,
    pub i128: i128,
    pub i256: i256,
    pub f32: f32,
    pub f64: f64,
    pub text: String,
    pub bytes: Vec<u8>,
    pub list: Vec<i64>,
    pub maybe: Option<u128>,
    pub maybe_twice: Option<Option<i8>>,
    pub colour: Colour,
    pub shape: Shape,
    pub label: Label,
    pub who: Identity,
    pub connection: ConnectionId,
    pub at: Timestamp,
    pub lasting: TimeDuration,
    pub mark: Uuid,
    pub due: ScheduleAt,
}

/// Everything at its lowest or at its highest.
fn extreme(id: u32, high: bool) -> Specimen {
    let pick = |low: f64, top: f64| if high { top } else { low };
    let point = Point {
        x: pick(f64::from(f32::MIN), f64::from(f32::MAX)) as f32,
        y2: high.then_some(f64::MIN_POSITIVE),
    };
    macro_rules! end {
        ($ty:ty) => {
            if high { <$ty>::MAX } else { <$ty>::MIN }
        };
    }
    let shape = if high {
        Shape::Polygon(vec![point.clone(), Point { x: -0.0, y2: None }])
    } else {
        Shape::Nothing
    };
    Specimen {
        id,
        flag: high,
        u8: end!(u8),
        u16: end!(u16),
        u32: end!(u32),
        u64: end!(u64),
        u128: end!(u128),
        u256: end!(u256),
        i8: end!(i8),
        i16: end!(i16),
        i32: end!(i32),
        i64: end!(i64),
        i128: end!(i128),
        i256: end!(i256),
        f32: pick(f64::NEG_INFINITY, f64::INFINITY) as f32,
        f64: pick(f64::MIN, f64::MAX),
        text: if high {
            "\u{10FFFF}\"\\\n\0é".to_string()
        } else {
            String::new()
        },
        bytes: if high { (0..=255).collect() } else { vec![] },
        list: if high {
            vec![i64::MAX, i64::MIN]
        } else {
            vec![]
        },
        maybe: high.then_some(u128::MAX),
        maybe_twice: high.then_some(None),
        colour: if high { Colour::Blue } else { Colour::Red },
        shape: shape.clone(),
        label: Label {
            shape: if high {
                Shape::Inside(Some(Colour::DarkGreen))
            } else {
                Shape::Circle(point)
            },
            tags: if high {
                vec![vec![], vec!["a".to_string(), String::new()]]
            } else {
                vec![]
            },
        },
        who: Identity::from_byte_array([if high { 0xFF } else { 0 }; 32]),
        connection: ConnectionId::from_u128(end!(u128)),
        at: Timestamp::from_micros_since_unix_epoch(end!(i64)),
        lasting: TimeDuration::from_micros(end!(i64)),
        mark: Uuid::from_u128(end!(u128)),
        due: if high {
            ScheduleAt::Time(Timestamp::from_micros_since_unix_epoch(i64::MAX))
        } else {
            ScheduleAt::Interval(TimeDuration::from_micros(-1))
        },
    }
}

/// Keeps a row as it was sent.
#[reducer]
pub fn keep(ctx: &ReducerContext, specimen: Specimen) {
    ctx.db.specimen().insert(specimen);
}

/// Keeps a row whose values are all at one end of what they can be.
#[reducer]
pub fn keep_extreme(ctx: &ReducerContext, id: u32, high: bool) {
    ctx.db.specimen().insert(extreme(id, high));
}

/// Fails if two rows differ in anything but their numbers.
#[reducer]
pub fn compare(ctx: &ReducerContext, one: u32, other: u32) -> Result<(), String> {
    let find = |id: u32| {
        ctx.db
            .specimen()
            .id()
            .find(id)
            .ok_or_else(|| format!("there is no specimen {id}"))
    };
    let (one, other) = (find(one)?, find(other)?);
    let same = Specimen {
        id: other.id,
        ..one.clone()
    };
    // By text, so that a NaN equals itself and -0 differs from 0.
    let (same, other) = (format!("{same:?}"), format!("{other:?}"));
    if same == other {
        Ok(())
    } else {
        Err(format!("{same} is not {other}"))
    }
}

/// Fails unless a row has exactly these bits.
#[reducer]
pub fn has_bits(ctx: &ReducerContext, id: u32, f32: u32, f64: u64) -> Result<(), String> {
    let row = ctx.db.specimen().id().find(id).ok_or("no such specimen")?;
    let bits = (row.f32.to_bits(), row.f64.to_bits());
    if bits == (f32, f64) {
        Ok(())
    } else {
        Err(format!("the bits are {bits:x?}"))
    }
}

/// Puts floats into a row by their bits: JSON has no NaN.
#[reducer]
pub fn set_bits(ctx: &ReducerContext, id: u32, f32: u32, f64: u64) -> Result<(), String> {
    let mut row = ctx.db.specimen().id().find(id).ok_or("no such specimen")?;
    row.f32 = f32::from_bits(f32);
    row.f64 = f64::from_bits(f64);
    ctx.db.specimen().id().update(row);
    Ok(())
}

/// Takes every row away, and tells how many there were.
#[reducer]
pub fn empty(ctx: &ReducerContext, expected: u64) -> Result<(), String> {
    match ctx.db.specimen().clear() {
        gone if gone == expected && ctx.db.specimen().count() == 0 => Ok(()),
        gone => Err(format!("{gone} specimens are gone")),
    }
}
