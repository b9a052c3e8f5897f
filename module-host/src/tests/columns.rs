//! Columns of every type: each is scanned in its order, from any bound to any other, alone and behind
//! a prefix, by range and by point; and rows go by range, by point and by equality.

use std::fmt::Debug;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v9::{RawModuleDefV9Builder, btree, hash};
use spacetimedb_sats::{AlgebraicType as T, ProductType, bsatn};
use store::{DataError, IndexId, Range, TableId, Transaction};
use wasm_encoder::Instruction as I;

use super::fixture::{Bench, Fixture, TEXTS, reducer};
use super::script::{BUFFER, LEN, NUMBER, Script};
use crate::Outcome;

const TABLE: TableId = TableId(4_096);
const BY_VALUE: i32 = 4_096;
const BY_GROUP: i32 = 4_097;
const BY_HASH: i32 = 4_098;

/// A table `kept` of rows `(id, group, value)`, indexed by the value in three ways.
fn described(mut fixture: Fixture, ty: T) -> Fixture {
    let mut module = RawModuleDefV9Builder::new();
    let columns = ProductType::from([("id", T::U32), ("group", T::U8), ("value", ty)]);
    module
        .build_table_with_new_type("kept", columns, false)
        .with_index_no_accessor_name(btree(2))
        .with_index_no_accessor_name(btree([1, 2]))
        .with_index_no_accessor_name(hash(2))
        .finish();
    for reducer in &fixture.reducers {
        module.add_reducer(reducer.name, ProductType::unit(), None);
    }
    fixture.description = Some(bsatn::to_vec(&RawModuleDef::V9(module.finish())).unwrap());
    fixture
}

fn row(id: u32, group: u8, value: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &[group], value].concat()
}

/// Texts at [`TEXTS`], and where each lies.
#[derive(Default)]
struct Texts(Vec<u8>);

impl Texts {
    fn add(&mut self, text: &[u8]) -> (i32, i32) {
        let at = TEXTS + i32::try_from(self.0.len()).unwrap();
        self.0.extend_from_slice(text);
        (at, i32::try_from(text.len()).unwrap())
    }
}

/// Where a scan begins or ends: at the value of that rank.
#[derive(Clone, Copy)]
enum At {
    Included(usize),
    Excluded(usize),
    Nowhere,
}

/// Every bound of a few values: each alone, and each two together.
fn bounds(count: usize) -> Vec<(At, At)> {
    let mut bounds = vec![(At::Nowhere, At::Nowhere)];
    for low in 0..count {
        bounds.extend([
            (At::Included(low), At::Nowhere),
            (At::Excluded(low), At::Nowhere),
            (At::Nowhere, At::Included(low)),
            (At::Nowhere, At::Excluded(low)),
        ]);
        for high in 0..count {
            bounds.extend([
                (At::Included(low), At::Included(high)),
                (At::Excluded(low), At::Excluded(high)),
            ]);
        }
    }
    bounds
}

/// Holds scans of a type against what `ascending`, values of it in BSATN, says.
fn check(ty: T, ascending: &[Vec<u8>]) {
    let count = ascending.len();
    // All values in one group, and the ends in the groups beside it.
    let mut rows = (0..count)
        .map(|rank| (rank, 10 + rank as u32, 7))
        .collect::<Vec<_>>();
    rows.extend([(count - 1, 1, 6), (0, 99, 8)]);
    let bytes_of = |(rank, id, group): (usize, u32, u8)| row(id, group, &ascending[rank]);
    let mut sorted = rows.clone();
    sorted.sort_unstable();

    let mut texts = Texts::default();
    let group = texts.add(&[7]);
    // What a scan finds is a piece of all rows in their order, or of those in the group.
    let own = sorted
        .iter()
        .copied()
        .filter(|row| row.2 == 7)
        .collect::<Vec<_>>();
    let mut listed = |rows: &[(usize, u32, u8)]| {
        let bytes = rows
            .iter()
            .flat_map(|row| bytes_of(*row))
            .collect::<Vec<_>>();
        texts.add(&bytes).0
    };
    let (all_at, own_at) = (listed(&sorted), listed(&own));
    let mut script = Script::new();
    let mut iterator = 0;
    let mut reads =
        |script: Script, rows: &[(usize, u32, u8)], at: i32, lies: &dyn Fn(usize) -> bool| {
            iterator += 1;
            let bytes = |rows: &mut dyn Iterator<Item = &(usize, u32, u8)>| {
                rows.map(|row| bytes_of(*row).len() as i32).sum::<i32>()
            };
            let before = bytes(&mut rows.iter().take_while(|row| !lies(row.0)));
            let found = bytes(&mut rows.iter().filter(|row| lies(row.0)));
            script
                .put(LEN, 4_096)
                .call("row_iter_bsatn_advance", &[iterator, BUFFER, LEN], -1)
                .holds(LEN, found)
                .holds_same(BUFFER, at + before, found)
        };
    let bound = |texts: &mut Texts, at: At| match at {
        At::Included(rank) => texts.add(&[&[0], &ascending[rank][..]].concat()),
        At::Excluded(rank) => texts.add(&[&[1], &ascending[rank][..]].concat()),
        At::Nowhere => texts.add(&[2]),
    };
    for (low, high) in bounds(count) {
        let lies = |rank: usize| {
            let above = match low {
                At::Included(low) => rank >= low,
                At::Excluded(low) => rank > low,
                At::Nowhere => true,
            };
            let below = match high {
                At::Included(high) => rank <= high,
                At::Excluded(high) => rank < high,
                At::Nowhere => true,
            };
            above && below
        };
        let (start, end) = (bound(&mut texts, low), bound(&mut texts, high));
        let args = [BY_VALUE, 0, 0, 0, start.0, start.1, end.0, end.1, NUMBER];
        script = script.call("datastore_index_scan_range_bsatn", &args, 0);
        script = reads(script, &sorted, all_at, &lies);
        let args = [
            BY_GROUP, group.0, 1, 1, start.0, start.1, end.0, end.1, NUMBER,
        ];
        script = script.call("datastore_index_scan_range_bsatn", &args, 0);
        script = reads(script, &own, own_at, &lies);
    }
    for (rank, value) in ascending.iter().enumerate() {
        let (at, len) = texts.add(value);
        for index in [BY_VALUE, BY_HASH] {
            let args = [index, at, len, NUMBER];
            script = script.call("datastore_index_scan_point_bsatn", &args, 0);
            script = reads(script, &sorted, all_at, &|other| other == rank);
        }
    }
    // A row by equality; the second value in its group; the last one in all; what is left.
    let list = [&1_u32.to_le_bytes()[..], &bytes_of((0, 10, 7))].concat();
    let (list, list_len) = texts.add(&list);
    let one = [4_096, list, list_len, NUMBER];
    let second = texts.add(&[&[0], &ascending[1][..]].concat());
    let range = [
        BY_GROUP, group.0, 1, 1, second.0, second.1, second.0, second.1, NUMBER,
    ];
    let last = texts.add(&ascending[count - 1]);
    let point = [BY_HASH, last.0, last.1, NUMBER];
    let everything = texts.add(&[2]);
    let rest = [BY_VALUE, 0, 0, 0, everything.0, 1, everything.0, 1, NUMBER];
    // Of two values the second is the last, so one of its rows is gone already.
    let by_point = if count == 2 { 1 } else { 2 };
    script = script
        .call("datastore_delete_all_by_eq_bsatn", &one, 0)
        .holds(NUMBER, 1)
        .call("datastore_delete_all_by_eq_bsatn", &one, 0)
        .holds(NUMBER, 0)
        .call("datastore_delete_by_index_scan_range_bsatn", &range, 0)
        .holds(NUMBER, 1)
        .call("datastore_delete_by_index_scan_point_bsatn", &point, 0)
        .holds(NUMBER, by_point)
        .call("datastore_delete_by_index_scan_range_bsatn", &rest, 0)
        .holds(NUMBER, count as i32 - by_point);
    let fixture = Fixture::new(vec![script.end()]).texts(&texts.0);
    let mut bench = Bench::new(described(fixture, ty.clone()).prepare().unwrap());
    bench.insert(
        TABLE,
        &rows.iter().map(|row| bytes_of(*row)).collect::<Vec<_>>(),
    );
    assert_eq!(bench.outcome("script"), Outcome::Ok, "{ty:?}");
    assert!(bench.rows(TABLE).is_empty(), "{ty:?}");
}

/// The same of values as a module has them.
fn check_values<V: spacetimedb_sats::Serialize + Debug>(ty: T, ascending: &[V]) {
    let bytes = ascending.iter().map(|value| bsatn::to_vec(value).unwrap());
    check(ty, &bytes.collect::<Vec<_>>());
}

#[test]
fn every_type_is_scanned_in_its_order() {
    use spacetimedb_sats::{i256, u256};
    macro_rules! integers {
        ($($ty:ident $number:ident),*) => {$(
            check_values(T::$ty, &[$number::MIN, $number::MIN + 1, $number::MAX / 2, $number::MAX]);
        )*};
    }
    integers!(
        U8 u8, U16 u16, U32 u32, U64 u64, U128 u128, I8 i8, I16 i16, I32 i32, I64 i64, I128 i128
    );
    let wide = |high: u128, low: u128| u256::from_words(high, low);
    check_values(
        T::U256,
        &[u256::from(0_u8), wide(0, u128::MAX), wide(1, 0), u256::MAX],
    );
    let minus = i256::from(-1);
    check_values(
        T::I256,
        &[i256::MIN, minus, i256::from(0), i256::from(256), i256::MAX],
    );
    check_values(T::Bool, &[false, true]);
    let floats = [
        f64::NEG_INFINITY,
        -1.5,
        0.0,
        5e-324,
        1.5,
        f64::INFINITY,
        f64::NAN,
    ];
    check(T::F64, &floats.map(|float| float.to_le_bytes().to_vec()));
    let floats = floats.map(|float| if float == 5e-324 { 1e-45 } else { float as f32 });
    check(T::F32, &floats.map(|float| float.to_le_bytes().to_vec()));
    check_values(T::String, &["", "a", "a\0", "a\0b", "ab", "b", "é"]);
    check_values(
        T::bytes(),
        &[vec![], vec![0_u8], vec![0, 0], vec![0, 1], vec![255]],
    );
    check_values(
        T::array(T::I16),
        &[vec![], vec![-1_i16], vec![-1, 0], vec![3]],
    );
    // `Some` is the first variant, so it comes first.
    check_values(T::option(T::U8), &[Some(0_u8), Some(255), None]);
    let twice = [Some(Some(1_i32)), Some(None), None];
    check_values(T::option(T::option(T::I32)), &twice);
}

#[test]
fn special_types_are_scanned_in_their_order() {
    let integers = [i64::MIN, -1, 0, i64::MAX].map(|number| number.to_le_bytes().to_vec());
    check(T::timestamp(), &integers);
    check(T::time_duration(), &integers);
    let identities = [[0; 32], [1; 32], [0xFF; 32]].map(|bytes| bytes.to_vec());
    check(T::identity(), &identities);
    // The last byte is the most significant one.
    let mut small = [0xFF; 16];
    small[15] = 0;
    let halves = [[0; 16], small, [0xFF; 16]].map(|bytes| bytes.to_vec());
    check(T::connection_id(), &halves);
    check(T::product([("__uuid__", T::U128)]), &halves);
    // Intervals before times.
    let schedule = T::sum([("Interval", T::time_duration()), ("Time", T::timestamp())]);
    let at = |tag: u8, micros: i64| [&[tag][..], &micros.to_le_bytes()].concat();
    check(schedule, &[at(0, -1), at(0, 5), at(1, -7), at(1, 3)]);
    let shape = T::sum([
        ("nothing", T::unit()),
        ("point", T::product([("x", T::I8), ("name", T::String)])),
        ("list", T::array(T::option(T::U8))),
    ]);
    let point = |x: i8, name: &str| {
        let name = bsatn::to_vec(name).unwrap();
        [&[1, x.cast_unsigned()], &name[..]].concat()
    };
    let shapes = [
        vec![0],
        point(-1, "b"),
        point(0, "a"),
        point(0, "b"),
        vec![2, 0, 0, 0, 0],
        vec![2, 1, 0, 0, 0, 0, 9],
        vec![2, 1, 0, 0, 0, 1],
    ];
    check(shape, &shapes);
    check(
        T::simple_enum(["red", "blue"].into_iter()),
        &[vec![0], vec![1]],
    );
}

/// A table `kept` of rows `(id, weight, height)`, both floats unique.
fn floats() -> Bench {
    let mut module = RawModuleDefV9Builder::new();
    let columns = ProductType::from([("id", T::U32), ("weight", T::F64), ("height", T::F32)]);
    module
        .build_table_with_new_type("kept", columns, false)
        .with_unique_constraint(0)
        .with_primary_key(0)
        .with_index_no_accessor_name(btree(0))
        .with_unique_constraint(1)
        .with_index_no_accessor_name(btree(1))
        .with_index_no_accessor_name(btree(2))
        .finish();
    module.add_reducer("nothing", ProductType::unit(), None);
    let mut fixture = Fixture::new(vec![reducer("nothing", vec![I::I32Const(0)])]);
    fixture.description = Some(bsatn::to_vec(&RawModuleDef::V9(module.finish())).unwrap());
    Bench::new(fixture.prepare().unwrap())
}

#[test]
fn zeros_are_one_value_and_so_are_nans() {
    let row = |id: u32, weight: f64, height: f32| {
        [
            &id.to_le_bytes()[..],
            &weight.to_le_bytes(),
            &height.to_le_bytes(),
        ]
        .concat()
    };
    let (by_id, by_weight, by_height) = (IndexId(4_096), IndexId(4_097), IndexId(4_098));
    let mut transaction: Transaction = floats().begin();
    let taken = |result: Result<Vec<u8>, DataError>| {
        assert!(
            matches!(result, Err(DataError::UniqueAlreadyExists { .. })),
            "{result:?}"
        );
    };
    transaction.insert(TABLE, &row(1, 0.0, -0.0)).unwrap();
    taken(transaction.insert(TABLE, &row(2, -0.0, 1.0)));
    transaction.insert(TABLE, &row(3, f64::NAN, 0.0)).unwrap();
    taken(transaction.insert(TABLE, &row(4, -f64::NAN, 1.0)));
    // The bits are kept, and can be changed where the value stays.
    assert!(transaction.insert(TABLE, &row(1, 0.0, -0.0)).is_ok());
    transaction
        .update(TABLE, by_id, &row(1, -0.0, 0.0))
        .unwrap();
    transaction
        .update(TABLE, by_weight, &row(1, 0.0, -0.0))
        .unwrap();
    transaction
        .update(TABLE, by_id, &row(3, -f64::NAN, 0.0))
        .unwrap();
    let point = |bytes: &[u8], index| transaction.scan_range(index, &Range::point(bytes)).unwrap();
    for zero in [0.0_f32, -0.0] {
        let found = point(&zero.to_le_bytes(), by_height);
        let found = found.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        assert_eq!(found, [row(1, 0.0, -0.0), row(3, -f64::NAN, 0.0)]);
    }
    assert_eq!(point(&f64::NAN.to_le_bytes(), by_weight).len(), 1);
    assert_eq!(
        transaction
            .delete_all_by_eq(TABLE, &[&[1, 0, 0, 0], &row(1, -0.0, -0.0)[..]].concat())
            .unwrap(),
        0
    );
    let gone = transaction.delete_by_range(by_height, &Range::point(&(-0.0_f32).to_le_bytes()));
    assert_eq!(gone.unwrap(), 2);
}
