//! How rows are put one after the other, and found again.

use bytes::Bytes;
use proptest::prelude::*;

use crate::{BsatnRowList, Malformed, RowListBuilder, RowSizeHint};

fn list(rows: &[&[u8]]) -> BsatnRowList {
    rows.iter().collect()
}

#[test]
fn only_rows_of_one_length_have_a_fixed_size() {
    let check = |rows: &[&[u8]], hint: RowSizeHint| {
        let list = list(rows);
        assert_eq!(*list.size_hint(), hint, "{rows:?}");
        assert_eq!(*list.rows_data(), rows.concat());
        assert_eq!(list.iter().collect::<Vec<_>>(), rows);
        assert_eq!(list.len(), rows.len());
        assert_eq!(list.is_empty(), rows.is_empty());
    };
    check(&[], RowSizeHint::RowOffsets(vec![].into()));
    check(&[&[1, 2]], RowSizeHint::FixedSize(2));
    check(&[&[1], &[2]], RowSizeHint::FixedSize(1));
    check(
        &[&[1], &[2], &[]],
        RowSizeHint::RowOffsets(vec![0, 1, 2].into()),
    );
    check(
        &[&[1], &[2, 2], &[3]],
        RowSizeHint::RowOffsets(vec![0, 1, 3].into()),
    );
    // Rows of no bytes are counted by their offsets alone.
    check(&[&[], &[]], RowSizeHint::RowOffsets(vec![0, 0].into()));
    check(&[&[0; 65_535]], RowSizeHint::FixedSize(65_535));
    check(
        &[&[0; 65_536], &[0; 65_536]],
        RowSizeHint::RowOffsets(vec![0, 65_536].into()),
    );
}

#[test]
fn what_does_not_divide_the_data_is_refused() {
    let data = Bytes::from_static(&[1, 2, 3]);
    let refused = |hint: RowSizeHint| {
        let list = BsatnRowList::new(hint.clone(), data.clone());
        assert_eq!(list, Err(Malformed::RowsMisfit), "{hint:?}");
    };
    refused(RowSizeHint::FixedSize(0));
    refused(RowSizeHint::FixedSize(2));
    refused(RowSizeHint::RowOffsets(vec![].into()));
    refused(RowSizeHint::RowOffsets(vec![1].into()));
    refused(RowSizeHint::RowOffsets(vec![0, 2, 1].into()));
    refused(RowSizeHint::RowOffsets(vec![0, 4].into()));
    let to_the_end = BsatnRowList::new(RowSizeHint::RowOffsets(vec![0, 3].into()), data.clone());
    let rows = to_the_end.expect("the second row is empty");
    assert_eq!(rows.iter().collect::<Vec<_>>(), [&[1, 2, 3][..], &[]]);
    // An empty list may say how long its rows would be.
    for size in [0, 3] {
        let empty = BsatnRowList::new(RowSizeHint::FixedSize(size), Bytes::new());
        assert_eq!(empty.expect("no rows").iter().count(), 0);
    }
}

#[test]
fn clones_share_their_data() {
    let list = list(&[&[1, 2], &[3, 4]]);
    assert_eq!(list.rows_data().as_ptr(), list.clone().rows_data().as_ptr());
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..8)) {
        let mut builder = RowListBuilder::with_capacity(8);
        for (index, row) in rows.iter().enumerate() {
            prop_assert_eq!(builder.len(), index);
            builder.push_with(|data| data.extend(row));
        }
        prop_assert_eq!(builder.is_empty(), rows.is_empty());
        let list = builder.finish();
        let again: Vec<_> = list.iter().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(&again, &rows);
        // What it says of its data holds.
        let checked = BsatnRowList::new(list.size_hint().clone(), list.rows_data().clone());
        prop_assert_eq!(checked, Ok(list));
    }
}
