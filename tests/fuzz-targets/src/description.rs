//! What a module says of itself: whatever is accepted can be shown and opened.

use module_host::{PrepareError, describe};
use store::Schema;

use crate::values::{schema_plain, schema_v9, schema_v10};

/// BSATN of `RawModuleDef`.
pub(crate) fn description(bytes: &[u8]) {
    let def = match describe(bytes.to_vec()) {
        Ok(def) => def,
        Err(PrepareError::Refused(reasons)) => {
            assert!(!reasons.is_empty(), "refused without a reason");
            return;
        }
        Err(other) => panic!("a description is refused, never failed at: {other}"),
    };
    assert_eq!(def.raw, bytes);
    Schema::new(def.tables.clone()).expect("tables that are accepted fit");
    for (place, reducer) in def.reducers.iter().enumerate() {
        let found = def.reducer_by_name(&reducer.name).map(|(place, _)| place);
        assert_eq!(found, Some(place), "a reducer is found by its name");
    }
    let plain = schema_plain(&def);
    assert_eq!(
        plain["tables"].as_array().map(Vec::len),
        Some(def.tables.len())
    );
    schema_v9(&def).expect("what is accepted can be shown");
    schema_v10(&def).expect("what is accepted can be shown");
}
