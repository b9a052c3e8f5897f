//! Changes that no honest library makes: each is refused, or merged without harm.

use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::{ActorId, ExpandedChange, ObjType, ScalarValue};
use proptest::prelude::*;

use super::writers::{Step, Writers, steps};
use crate::error::{ChangeError, DocumentError};
use crate::{Change, Document};

/// Numbers that choose what an operation of a hostile change is.
type Choice = (u8, u8, u8, bool, u8, Vec<u8>);

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    let others = prop::collection::vec(any::<u8>(), 0..2);
    let choice = (
        any::<u8>(),
        any::<u8>(),
        any::<u8>(),
        any::<bool>(),
        any::<u8>(),
        others,
    );
    prop::collection::vec(choice, 1..6)
}

/// What is there to refer to.
struct There {
    /// Ids that operations have, and a few that none has.
    ids: Vec<OpId>,
    /// What was inserted into the text, and what into the list.
    inserted: [Vec<OpId>; 2],
    /// What was put at two keys of the root.
    put: [Vec<OpId>; 2],
}

const KEYS: [&str; 2] = ["count", "key1"];

impl There {
    fn new(changes: &[automerge::Change]) -> Self {
        let mut ids = Vec::new();
        let mut inserted = [const { Vec::new() }; 2];
        let mut put = [const { Vec::new() }; 2];
        let id = |change: &automerge::Change, at: usize| {
            OpId::new(change.start_op().get() + at as u64, change.actor_id())
        };
        // The first two operations of all make the text and the list.
        let objects = [0, 1].map(|at| ObjectId::Id(id(&changes[0], at)));
        for change in changes {
            for (at, op) in change.decode().operations.iter().enumerate() {
                ids.push(id(change, at));
                if let Some(object) = objects.iter().position(|object| *object == op.obj)
                    && op.insert
                {
                    inserted[object].push(id(change, at));
                }
                if let Some(key) = KEYS
                    .iter()
                    .position(|key| op.key == Key::Map((*key).into()))
                    && op.obj == ObjectId::Root
                    && !matches!(op.action, OpType::Delete | OpType::Increment(_))
                {
                    put[key].push(id(change, at));
                }
            }
            ids.push(id(change, change.len()));
        }
        ids.push(OpId::new(1, &ActorId::from(&[0xee][..])));
        Self { ids, inserted, put }
    }

    /// An operation that makes sense, but for one thing at most.
    fn op(&self, choice: &Choice) -> Op {
        let (object, element, id, insert, action, others) = choice;
        let pick = |ids: &[OpId], at: u8| ids.get(at as usize * ids.len() / 256).cloned();
        let any = |at: u8| pick(&self.ids, at).expect("there are some");
        let value = match action % 5 {
            0 => ScalarValue::counter(1),
            1 => ScalarValue::Int(-3),
            2 => ScalarValue::Str("x".into()),
            3 => ScalarValue::Null,
            _ => ScalarValue::F64(f64::NAN),
        };
        let mut pred: Vec<OpId> = Vec::new();
        let in_map = object % 3 == 2;
        let (obj, key, mut insert) = if in_map {
            let which = *element as usize % 2;
            // Each of them was put by somebody who knew of none of the others, or of some.
            pred.extend(
                self.put[which]
                    .iter()
                    .filter(|_| insert ^ (id % 2 == 0))
                    .cloned(),
            );
            (ObjectId::Root, Key::Map(KEYS[which].into()), false)
        } else {
            let which = *object as usize % 3;
            let obj = ObjectId::Id(self.ids[which].clone());
            match pick(&self.inserted[which], *id) {
                Some(at) => {
                    pred.extend((!insert).then(|| at.clone()));
                    (obj, Key::Seq(ElementId::Id(at)), *insert)
                }
                None => (obj, Key::Seq(ElementId::Head), true),
            }
        };
        let mut action = match action / 5 % 9 {
            0 => OpType::Make(ObjType::Map),
            1 => OpType::Make(ObjType::List),
            2 => OpType::Make(ObjType::Text),
            3 => OpType::Make(ObjType::Table),
            4 | 5 if !pred.is_empty() => OpType::Delete,
            6 if in_map && element % 2 == 0 && !pred.is_empty() => OpType::Increment(1),
            _ => OpType::Put(value),
        };
        let (mut obj, mut key) = (obj, key);
        match others.first().map(|other| other % 16) {
            Some(0) => obj = ObjectId::Id(any(*id)),
            Some(1) => key = Key::Seq(ElementId::Id(any(*id))),
            Some(2) => key = Key::Seq(ElementId::Head),
            Some(3) => key = Key::Map("key2".into()),
            Some(4) => insert = !insert,
            Some(5) => pred.push(any(*id)),
            Some(6) => pred.clear(),
            Some(7) => action = OpType::Increment(-1),
            Some(8) => action = OpType::Delete,
            Some(9) => obj = ObjectId::Root,
            _ => {}
        }
        Op {
            action,
            obj,
            key,
            pred: pred.into_iter().collect::<SortedVec<OpId>>(),
            insert,
        }
    }
}

/// A change of the hostile actor after all that there is.
fn hostile(
    writers: &mut Writers,
    choices: &[Choice],
) -> (Vec<automerge::Change>, automerge::Change) {
    let mut merged = writers.merged();
    let changes = merged.get_changes(&[]);
    let there = There::new(&changes);
    let max_op = changes
        .iter()
        .map(automerge::Change::max_op)
        .max()
        .unwrap_or(0);
    let expanded = ExpandedChange {
        operations: choices.iter().map(|choice| there.op(choice)).collect(),
        actor_id: ActorId::from(&[0xdd][..]),
        author: None,
        hash: None,
        seq: 1,
        start_op: NonZeroU64::new(max_op + 1).expect("above zero"),
        time: 0,
        message: None,
        deps: {
            let mut heads = merged.get_heads();
            heads.sort_unstable();
            heads
        },
        extra_bytes: Vec::new(),
    };
    (changes, automerge::Change::from(expanded))
}

fn bytes(changes: &[automerge::Change]) -> Vec<u8> {
    changes
        .iter()
        .flat_map(|change| change.raw_bytes().to_vec())
        .collect()
}

fn written(steps: &[Step]) -> Writers {
    Writers::run(steps)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn what_is_accepted_is_merged_in_any_order(steps in steps(), choices in choices()) {
        let (changes, hostile) = hostile(&mut written(&steps), &choices);
        let mut after = Document::new();
        after.merge(&bytes(&changes)).expect("honest changes");
        match after.merge(hostile.raw_bytes()) {
            Err(DocumentError::Change(_)) => {}
            Err(other) => prop_assert!(false, "the library met what should have been refused: {other}"),
            Ok(_) => {
                let mut at_once = Document::new();
                let mut all = hostile.raw_bytes().to_vec();
                all.extend(bytes(&changes));
                prop_assert_eq!(at_once.merge(&all), Ok(changes.len() + 1));
                prop_assert_eq!(at_once.json(""), after.json(""));
                prop_assert_eq!(at_once.heads(), after.heads());
                // Others go on from there.
                after.act_as(&[0xaa], 0).expect("a name");
                after.put("/key1", "\"after\"").expect("put");
                let next = after.commit().expect("committed");
                prop_assert_eq!(at_once.merge(&next), Ok(1));
                prop_assert_eq!(at_once.json(""), after.json(""));
            }
        }
    }

    #[test]
    fn changed_bytes_with_the_right_sum_are_refused_or_harmless(
        steps in steps(),
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let changes = written(&steps).changes();
        let which = which.index(changes.len());
        let mut changed = changes[which].raw_bytes().to_vec();
        // Behind the head: 4 bytes that every chunk begins with, 4 of the sum, 1 kind, the length.
        let head = 9 + if changed[9] & 0x80 == 0 { 1 } else if changed[10] & 0x80 == 0 { 2 } else { 3 };
        for (at, byte) in edits {
            let at = head + at.index(changed.len() - head);
            changed[at] = byte;
        }
        sum(&mut changed);
        let mut document = Document::new();
        document.merge(&bytes(&changes)).expect("honest changes");
        let before = document.json("");
        match document.merge(&changed) {
            Err(DocumentError::Change(_)) => prop_assert_eq!(document.json(""), before),
            Err(other) => prop_assert!(false, "the library met what should have been refused: {other}"),
            Ok(_) => prop_assert!(document.json("").is_ok()),
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Change::read(&bytes).is_err());
        let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, (bytes.len() as u8 & 0x7f) | 0x80, (bytes.len() >> 7) as u8];
        if bytes.len() >= 128 {
            chunk.extend(&bytes);
            sum(&mut chunk);
            let _ = Change::read(&chunk);
        }
    }
}

/// Puts the sum that the bytes have into their head.
fn sum(chunk: &mut [u8]) {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(&chunk[8..]);
    chunk[4..8].copy_from_slice(&digest[..4]);
}

#[test]
fn numbers_that_skip_or_repeat_are_refused() {
    let mut doc = Document::new();
    doc.act_as(&[1], 0).expect("a name");
    doc.put("/a", "1").expect("put");
    let first = doc.commit().expect("committed");
    doc.put("/a", "2").expect("put");
    doc.commit().expect("committed");
    let expanded = |seq: u64, start: u64, actor: u8| {
        let heads = vec![automerge::ChangeHash(
            Change::read(&first).expect("a change").hash().0,
        )];
        let expanded = ExpandedChange {
            operations: Vec::new(),
            actor_id: ActorId::from(&[actor][..]),
            author: None,
            hash: None,
            seq,
            start_op: NonZeroU64::new(start).expect("above zero"),
            time: 0,
            message: None,
            deps: heads,
            extra_bytes: Vec::new(),
        };
        automerge::Change::from(expanded).raw_bytes().to_vec()
    };
    let refused = |error| Err(DocumentError::Change(error));
    assert_eq!(
        doc.merge(&expanded(2, 2, 1)),
        refused(ChangeError::Forked(2))
    );
    assert_eq!(
        doc.merge(&expanded(3, 2, 1)),
        refused(ChangeError::Sequence { is: 3, last: 1 })
    );
    assert_eq!(
        doc.merge(&expanded(1, 2, 1)),
        refused(ChangeError::Sequence { is: 1, last: 1 })
    );
    assert_eq!(
        doc.merge(&expanded(1, 1, 2)),
        refused(ChangeError::Counter { is: 1, seen: 1 })
    );
    let far = 3 + crate::limits::COUNTER_GAP_MAX;
    assert_eq!(
        doc.merge(&expanded(1, far, 2)),
        refused(ChangeError::Counter { is: far, seen: 1 })
    );
    assert_eq!(doc.merge(&expanded(1, far - 1, 2)), Ok(1));
}

#[test]
fn an_object_far_down_is_no_answer_and_no_harm() {
    use automerge::transaction::Transactable as _;
    let mut theirs = automerge::AutoCommit::new().with_actor(ActorId::from(&[1][..]));
    let mut at = automerge::ROOT;
    for _ in 0..10_000 {
        at = theirs.put_object(&at, "a", ObjType::Map).expect("made");
    }
    theirs.commit();
    let mut doc = Document::new();
    for change in theirs.get_changes(&[]) {
        doc.merge(change.raw_bytes()).expect("merged");
    }
    let refused = doc.json("").map_err(|error| error.to_string());
    assert_eq!(
        refused,
        Err("the document has more levels of objects than 32".to_owned())
    );
}
