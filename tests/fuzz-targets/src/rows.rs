//! Rows against the types of their columns, and the order of index keys against plain comparison.

use spacetimedb_sats::AlgebraicType;
use store::{Column, Schema, TableId, TableSchema, sort_key};

use crate::types::{Choices, compare, is_value, product};

/// Levels of types inside types: more only makes shapes that repeat.
const DEPTH: u8 = 3;

/// Bytes of key that a byte of value may cost: zero bytes and elements of lists take two, the end
/// of a string or list two more than its four bytes of length are worth.
const KEY_BYTES_PER_BYTE: usize = 2;

/// A shape of row, then a row: taken if and only if it is one, split where its columns end.
pub(crate) fn row(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let types: Vec<AlgebraicType> = (0..choices.below(4))
        .map(|_| choices.a_type(DEPTH))
        .collect();
    let row = choices.rest();
    let columns = types.iter().enumerate().map(|(at, ty)| Column {
        name: format!("c{at}"),
        source_name: format!("c{at}"),
        ty: ty.clone(),
    });
    let table = TableSchema {
        id: TableId(4_096),
        name: "t".to_owned(),
        source_name: "t".to_owned(),
        columns: columns.collect(),
        primary_key: None,
        indexes: Vec::new(),
        auto_inc: Vec::new(),
        public: true,
        event: false,
    };
    let schema = Schema::new(vec![table]).expect("types of this depth fit");
    let whole = product(types.iter().cloned());
    let expected = is_value(&whole, row);
    match schema.cells(TableId(4_096), row) {
        Ok(cells) => {
            assert!(expected, "bytes that are no row were taken");
            assert_eq!(cells.concat(), row, "the columns are the row");
            for (ty, cell) in types.iter().zip(cells) {
                assert!(is_value(ty, cell), "a column ends where its value does");
            }
        }
        Err(_) => assert!(!expected, "a row was refused"),
    }
}

/// A type, then two values of it: their keys compare as they do, and neither is the beginning of
/// the other. And any bytes: a key if and only if they are a value, and no longer than it warrants.
pub(crate) fn index_order(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let ty = choices.a_type(DEPTH);
    let same = usize::from(choices.byte());
    let rest = choices.rest();
    let raw = sort_key(&ty, rest);
    assert_eq!(raw.is_ok(), is_value(&ty, rest), "{ty:?}");
    if let Ok(key) = raw {
        assert!(key.len() <= KEY_BYTES_PER_BYTE * rest.len() + 1, "{ty:?}");
    }
    // The second value begins with the first one's choices, or nothing would ever be close.
    let (one, two) = rest.split_at(rest.len() / 2);
    let two = [&one[..same.min(one.len())], two].concat();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    Choices::new(one).value(&ty, &mut a);
    Choices::new(&two).value(&ty, &mut b);
    if !is_value(&ty, &a) || !is_value(&ty, &b) {
        // A type without values somewhere inside.
        return;
    }
    let key = |value: &[u8]| sort_key(&ty, value).expect("it is a value");
    let (key_a, key_b) = (key(&a), key(&b));
    let order = compare(&ty, &mut &a[..], &mut &b[..]).expect("both are values");
    assert_eq!(key_a.cmp(&key_b), order, "{ty:?} {a:?} {b:?}");
    if order.is_ne() {
        assert!(
            !key_a.starts_with(&key_b) && !key_b.starts_with(&key_a),
            "{ty:?} {a:?} {b:?}"
        );
    }
}
