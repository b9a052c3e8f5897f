//! People who write with Automerge's own library, as clients do.

use automerge::transaction::Transactable as _;
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ReadDoc as _, ScalarValue, TextEncoding};
use proptest::prelude::*;

/// What one of several writers does next.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) writer: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Type(u8, String),
    Erase(u8, u8),
    Put(u8, i64),
    Remove(u8),
    Count(i8),
    Append(String),
    Replace(u8, i64),
    Drop(u8),
    Bold(u8, u8),
    Break(u8),
    Nest(u8),
    /// Hears what another has.
    Hear(usize),
    /// Closes the change that is being written.
    Commit,
}

pub(super) const WRITERS: usize = 3;

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        6 => (any::<u8>(), "[a-zé\u{1F600}]{1,4}").prop_map(|(at, text)| What::Type(at, text)),
        3 => (any::<u8>(), 0_u8..4).prop_map(|(at, len)| What::Erase(at, len)),
        2 => (0_u8..4, any::<i64>()).prop_map(|(key, value)| What::Put(key, value)),
        1 => (0_u8..4).prop_map(What::Remove),
        1 => any::<i8>().prop_map(What::Count),
        1 => "[a-z]{0,3}".prop_map(What::Append),
        1 => (any::<u8>(), any::<i64>()).prop_map(|(at, value)| What::Replace(at, value)),
        1 => any::<u8>().prop_map(What::Drop),
        1 => (any::<u8>(), 1_u8..4).prop_map(|(at, len)| What::Bold(at, len)),
        1 => any::<u8>().prop_map(What::Break),
        1 => (0_u8..4).prop_map(What::Nest),
        2 => (0..WRITERS).prop_map(What::Hear),
        2 => Just(What::Commit),
    ];
    prop::collection::vec((0..WRITERS, what), 1..60).prop_map(|steps| {
        steps
            .into_iter()
            .map(|(writer, what)| Step { writer, what })
            .collect()
    })
}

/// Several writers of one document, each with a copy.
pub(super) struct Writers {
    pub(super) copies: Vec<AutoCommit>,
    text: ObjId,
    list: ObjId,
}

impl Writers {
    pub(super) fn new() -> Self {
        let mut first = AutoCommit::new_with_encoding(TextEncoding::UnicodeCodePoint)
            .with_actor(ActorId::from(&[1, 1][..]));
        let text = first
            .put_object(automerge::ROOT, "text", ObjType::Text)
            .expect("text");
        let list = first
            .put_object(automerge::ROOT, "list", ObjType::List)
            .expect("list");
        first
            .put(automerge::ROOT, "count", ScalarValue::counter(5))
            .expect("counter");
        first.commit();
        let mut copies = Vec::new();
        for writer in 0..WRITERS {
            let copy = first
                .fork()
                .with_actor(ActorId::from(&[7 - writer as u8, 2][..]));
            copies.push(copy);
        }
        Self { copies, text, list }
    }

    pub(super) fn run(steps: &[Step]) -> Self {
        let mut writers = Self::new();
        for step in steps {
            writers.step(step);
        }
        for copy in &mut writers.copies {
            copy.commit();
        }
        writers
    }

    fn step(&mut self, step: &Step) {
        let (text, list) = (self.text.clone(), self.list.clone());
        if let What::Hear(other) = step.what {
            let mut other = self.copies[other].fork();
            self.copies[step.writer]
                .merge(&mut other)
                .expect("honest changes merge");
            return;
        }
        let doc = &mut self.copies[step.writer];
        let chars = doc.length(&text);
        let items = doc.length(&list);
        let place = |at: u8, len: usize| at as usize % (len + 1);
        let key = |key: u8| format!("key{key}");
        let done = match &step.what {
            What::Type(at, typed) => doc.splice_text(&text, place(*at, chars), 0, typed),
            What::Erase(at, len) => {
                let at = place(*at, chars);
                let len = (*len as usize).min(chars - at);
                doc.splice_text(&text, at, len as isize, "")
            }
            What::Put(at, value) => doc.put(automerge::ROOT, key(*at), *value),
            What::Remove(at) => doc.delete(automerge::ROOT, key(*at)).or(Ok(())),
            What::Count(by) => doc.increment(automerge::ROOT, "count", (*by).into()),
            What::Append(value) => doc.insert(&list, items, value.as_str()),
            What::Replace(at, value) if items > 0 => doc.put(&list, *at as usize % items, *value),
            What::Drop(at) if items > 0 => doc.delete(&list, *at as usize % items),
            What::Bold(at, len) if chars > 0 => {
                let start = *at as usize % chars;
                let end = (start + *len as usize).min(chars);
                let mark = automerge::marks::Mark::new("bold".into(), true, start, end);
                doc.mark(&text, mark, automerge::marks::ExpandMark::Both)
            }
            What::Break(at) => doc.split_block(&text, place(*at, chars)).map(drop),
            What::Nest(at) => {
                let made = doc.put_object(automerge::ROOT, key(*at), ObjType::Map);
                made.and_then(|made| doc.put(&made, "inner", 1.5))
            }
            What::Commit => {
                doc.commit();
                Ok(())
            }
            What::Replace(..) | What::Drop(_) | What::Bold(..) | What::Hear(_) => Ok(()),
        };
        done.expect("an edit of what is there");
    }

    /// The changes of all, each once.
    pub(super) fn changes(&mut self) -> Vec<automerge::Change> {
        let mut all = self.copies[0].fork();
        for copy in &mut self.copies {
            all.merge(&mut copy.fork()).expect("honest changes merge");
        }
        all.get_changes(&[])
    }

    /// A document that has merged all, by the library alone.
    pub(super) fn merged(&mut self) -> AutoCommit {
        let mut all = self.copies[0].fork();
        for copy in &mut self.copies {
            all.merge(&mut copy.fork()).expect("honest changes merge");
        }
        all
    }
}
