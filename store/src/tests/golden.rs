//! Bytes on disk, as they must stay: a change here is a new format.

use spacetimedb_sats::AlgebraicType;
use sync_protocol::{DeviceKey, FinalEntry, Hlc};

use super::{ACCOUNT, ACCOUNT_NAME, ACCOUNT_TEAM, account, cut, note, schema};
use crate::key::{Space, seal_part};
use crate::layout::Layout;
use crate::root::{RowHasher, RowSum};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(ty: &AlgebraicType, value: &[u8]) -> String {
    let layout = Layout::compile(ty, &mut 0).expect("resolved");
    let mut key = Vec::new();
    layout
        .encode(&mut &value[..], &mut key)
        .expect("well formed");
    hex(&key)
}

#[test]
fn keys_of_values() {
    use AlgebraicType as Type;
    assert_eq!(key(&Type::Bool, &[1]), "01");
    assert_eq!(key(&Type::U16, &[0x02, 0x01]), "0102");
    assert_eq!(key(&Type::I32, &(-1_i32).to_le_bytes()), "7fffffff");
    assert_eq!(key(&Type::I32, &1_i32.to_le_bytes()), "80000001");
    assert_eq!(key(&Type::F32, &1.5_f32.to_le_bytes()), "bfc00000");
    assert_eq!(
        key(&Type::F64, &(-1.5_f64).to_le_bytes()),
        "4007ffffffffffff"
    );
    assert_eq!(key(&Type::F32, &(-0.0_f32).to_le_bytes()), "80000000");
    assert_eq!(key(&Type::F32, &(-f32::NAN).to_le_bytes()), "ffc00000");
    assert_eq!(
        key(&Type::F64, &(-f64::NAN).to_le_bytes()),
        "fff8000000000000"
    );
    assert_eq!(key(&Type::String, &super::text("a\0b")), "6100ff620000");
    assert_eq!(key(&Type::bytes(), &[1, 0, 0, 0, 9]), "090000");
    assert_eq!(
        key(&Type::array(Type::U16), &[1, 0, 0, 0, 3, 0]),
        "01000300"
    );
    assert_eq!(key(&Type::option(Type::U8), &[0, 7]), "0007");
    assert_eq!(key(&Type::option(Type::U8), &[1]), "01");
    let mut identity = [0; 32];
    identity[0] = 0xAA;
    assert_eq!(
        key(&Type::identity(), &identity),
        format!("{}aa", "00".repeat(31))
    );
    assert_eq!(
        key(&Type::timestamp(), &5_i64.to_le_bytes()),
        "8000000000000005"
    );
}

#[test]
fn stored_keys() {
    let schema = schema();
    let plan = schema.plan(ACCOUNT).expect("it exists");
    let row = account(258, "ab", 3, -2);
    let (mut ends, mut row_key, mut entry) = (Vec::new(), Vec::new(), Vec::new());
    let cells = plan.cells(&row, &mut ends).expect("well formed");
    plan.row_key(&cells, &mut row_key).expect("well formed");
    assert_eq!(hex(&row_key), "0000100000000102");
    let (plan, place) = schema.index_plan(ACCOUNT_NAME).expect("it exists");
    plan.entry_key(&plan.indexes[place], &cells, &row_key, &mut entry)
        .expect("well formed");
    assert_eq!(hex(&entry), "4000100161620000");
    let (plan, place) = schema.index_plan(ACCOUNT_TEAM).expect("it exists");
    plan.entry_key(&plan.indexes[place], &cells, &row_key, &mut entry)
        .expect("well formed");
    assert_eq!(hex(&entry), "40001002037ffffffffffffffe00000102");
    assert_eq!(hex(&Space::Sequences(ACCOUNT).bytes()), "80001000");

    let plan = schema.plan(super::NOTE).expect("it exists");
    let row = note(1, "hi");
    let cells = plan.cells(&row, &mut ends).expect("well formed");
    plan.row_key(&cells, &mut row_key).expect("well formed");
    assert_eq!(hex(&row_key), "000010010168690000");
}

#[test]
fn long_parts_end_in_a_hash() {
    let mut part = b"spce".to_vec();
    part.extend([b'x'; 512]);
    let whole = part.clone();
    seal_part(&mut part, 4);
    assert_eq!(part, whole, "512 bytes stay as they are");
    part.push(b'x');
    seal_part(&mut part, 4);
    assert_eq!(part.len(), 4 + 512);
    assert_eq!(part[..484], whole[..484]);
    assert_eq!(
        hex(&part[484..]),
        "f7e40bf79222b7a3287607e7365de6781edc62153ff5be29887c664e7f6417ed"
    );
}

#[test]
fn roots() {
    let hasher = RowHasher::new();
    let mut sum = RowSum::empty();
    assert_eq!(
        sum.root().to_string(),
        "c406eaa58dedc66b1e71194bbf4d4640f24bc048076e84962783f18226c2bb94"
    );
    hasher.add(&mut sum, &[0, 0, 16, 0, 1], b"one");
    hasher.add(&mut sum, &[0, 0, 16, 0, 2], b"two");
    assert_eq!(
        hex(&sum.to_bytes()[..16]),
        "5d9a853410544a66d312939f8e7e2070"
    );
    assert_eq!(
        sum.root().to_string(),
        "7443878127752061f7446fa00ff8433ddf8d0df55c94c4179292b711ea8bfa98"
    );
    assert_eq!(RowSum::from_bytes(&sum.to_bytes()), sum);
    hasher.take_away(&mut sum, &[0, 0, 16, 0, 1], b"one");
    hasher.take_away(&mut sum, &[0, 0, 16, 0, 2], b"two");
    assert_eq!(sum, RowSum::empty());
}

#[test]
fn log_records() {
    let entry = FinalEntry {
        author: DeviceKey([0xAB; 32]),
        epoch: 1,
        seq: 2,
        last_time: Hlc(3),
        base_height: 4,
        height: 5,
    };
    let bytes = crate::log::encode_final(&entry);
    let numbers: String = (1..=5).map(|n| format!("{n:02x}00000000000000")).collect();
    assert_eq!(hex(&bytes), format!("{}{numbers}", "ab".repeat(32)));
    assert_eq!(crate::log::decode_final(&bytes), entry);

    let cut = cut(0, &[]);
    let stored = crate::log::stored_cut(&cut);
    assert_eq!(hex(&stored[..32]), cut.id().to_string());
    assert_eq!(&stored[32..], &**cut.encoded());
}

#[test]
fn fingerprints() {
    let schema = schema();
    let found: Vec<String> = schema
        .plans()
        .iter()
        .map(|plan| hex(&plan.fingerprint()[..8]))
        .collect();
    assert_eq!(
        found,
        [
            "b445c8952da8c901",
            "3b4b6ee15712668c",
            "8a0f97cebaf7d408",
            "8ddba125a313086c",
            "5c44ca36bd3ca654"
        ]
    );
    let (plan, place) = schema.index_plan(ACCOUNT_TEAM).expect("it exists");
    assert_eq!(
        hex(&plan.index_fingerprint(&plan.indexes[place])[..8]),
        "05748d642d541cac"
    );
}
