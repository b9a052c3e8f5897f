//! Calls that wait to be sealed into one entry: one signature and one durable commit for all of
//! them. A batch is flushed when the driver's queue is empty, at `BATCH_BYTES`, or after
//! `BATCH_WAIT_MS`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sync_protocol::limits::{BATCH_BYTES, BATCH_WAIT_MS, INVOCATIONS_MAX, PROOFS_PER_ENTRY_MAX};
use sync_protocol::{
    Body, CallName, Caller, ConnectionId, Invocation, SYSTEM_CALL_NAME, SystemCall, Tick,
};

use crate::identity::Claims;
use crate::reply::WriteKind;
use crate::request::{ClientId, RequestId};

/// Who hears what became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyTo {
    /// Nobody waits.
    Nobody,
    /// A request: with [`crate::Reply::Called`].
    Call(RequestId),
    /// A client that follows rows: with [`crate::Effect::Told`].
    Client(ClientId, RequestId),
    /// A request: with [`crate::Reply::Done`].
    Done(RequestId),
    /// A statement of SQL: with [`crate::Reply::Written`].
    Write(RequestId, WriteKind),
    /// A request that publishes a module: with [`crate::Reply::Published`], once a cut judged it.
    Publish(RequestId),
    /// A joiner on `/tombolo/join/1`.
    Joiner(RequestId),
}

/// One invocation that is not yet in an entry.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) caller: Arc<Claims>,
    pub(crate) name: String,
    pub(crate) arguments_type: [u8; 8],
    pub(crate) args: Vec<u8>,
    pub(crate) connection: ConnectionId,
    /// A system call whose judging costs signatures: an entry holds few of them.
    pub(crate) carries_proof: bool,
}

impl Waiting {
    /// A system call by `caller`.
    pub(crate) fn system(
        caller: impl Into<Arc<Claims>>,
        call: &SystemCall,
        connection: ConnectionId,
    ) -> Self {
        Self {
            caller: caller.into(),
            name: SYSTEM_CALL_NAME.to_owned(),
            arguments_type: [0; 8],
            args: call.encode(),
            connection,
            carries_proof: call.carries_proof(),
        }
    }
}

/// Invocations that stay together in one entry, and who waits for them.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) invocations: Vec<Waiting>,
    /// Which of them the reply is about.
    pub(crate) subject: usize,
    /// The connect before it, whose refusal is what the caller hears.
    pub(crate) connect: Option<usize>,
    pub(crate) reply: ReplyTo,
}

impl Group {
    pub(crate) fn single(invocation: Waiting, reply: ReplyTo) -> Self {
        Self {
            invocations: vec![invocation],
            subject: 0,
            connect: None,
            reply,
        }
    }
}

impl Group {
    fn proofs(&self) -> usize {
        let calls = self.invocations.iter();
        calls.filter(|call| call.carries_proof).count()
    }
}

/// Who waits for an entry's outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) index: u16,
    pub(crate) connect: Option<u16>,
    pub(crate) reply: ReplyTo,
}

/// The batch of one database.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    body: Body,
    expected: Vec<Expected>,
    names: BTreeMap<(String, [u8; 8]), u16>,
    callers: BTreeMap<Arc<Claims>, u16>,
    /// The caller of the last call, which is often the next one's too.
    last_caller: Option<(Arc<Claims>, u16)>,
    proofs: usize,
    bytes: usize,
    since: Option<Tick>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.body.invocations.is_empty()
    }

    /// When it has to be flushed at the latest.
    pub(crate) fn due(&self) -> Option<Tick> {
        self.since.map(|since| since.plus_ms(BATCH_WAIT_MS))
    }

    /// Whether it has to be flushed before `group` can be added.
    pub(crate) fn is_full_for(&self, group: &Group) -> bool {
        self.bytes >= BATCH_BYTES
            || self.body.invocations.len() + group.invocations.len() > INVOCATIONS_MAX
            || self.proofs + group.proofs() > PROOFS_PER_ENTRY_MAX
    }

    pub(crate) fn push(&mut self, group: Group, now: Tick) {
        self.since.get_or_insert(now);
        self.proofs += group.proofs();
        let first = index(self.body.invocations.len());
        if group.reply != ReplyTo::Nobody {
            self.expected.push(Expected {
                index: first + index(group.subject),
                connect: group.connect.map(|at| first + index(at)),
                reply: group.reply,
            });
        }
        for waiting in group.invocations {
            // Name and caller are written once an entry; an invocation adds its two indices, its
            // connection and its arguments.
            self.bytes += waiting.args.len() + 24;
            let name = self.name(waiting.name, waiting.arguments_type);
            let caller = self.caller(waiting.caller);
            self.body.invocations.push(Invocation {
                name,
                caller,
                connection: waiting.connection,
                args: waiting.args,
            });
        }
    }

    fn name(&mut self, name: String, arguments_type: [u8; 8]) -> u16 {
        let last = self.body.invocations.last().map(|last| last.name);
        if let Some(last) = last
            && let Some(known) = self.body.names.get(usize::from(last))
            && known.name == name
            && known.arguments_type == arguments_type
        {
            return last;
        }
        let names = &mut self.body.names;
        let known = self.names.entry((name, arguments_type));
        *known.or_insert_with_key(|(name, arguments_type)| {
            names.push(CallName {
                name: name.clone(),
                arguments_type: *arguments_type,
            });
            index(names.len() - 1)
        })
    }

    fn caller(&mut self, caller: Arc<Claims>) -> u16 {
        if let Some((last, at)) = &self.last_caller
            && Arc::ptr_eq(last, &caller)
        {
            return *at;
        }
        let callers = &mut self.body.callers;
        let known = self.callers.entry(Arc::clone(&caller));
        let at = *known.or_insert_with_key(|claims| {
            callers.push(Caller {
                issuer: claims.issuer.clone(),
                subject: claims.subject.clone(),
                claims: claims.payload.clone(),
            });
            index(callers.len() - 1)
        });
        self.last_caller = Some((caller, at));
        at
    }

    /// Empties the batch into a body, and says who waits for which place in it.
    pub(crate) fn take(&mut self) -> (Body, Vec<Expected>) {
        let Self { body, expected, .. } = std::mem::take(self);
        (body, expected)
    }
}

fn index(at: usize) -> u16 {
    u16::try_from(at).expect("a batch holds at most INVOCATIONS_MAX invocations")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, subject: &str) -> Waiting {
        Waiting {
            caller: Arc::new(Claims {
                issuer: "did:key:z".to_owned(),
                subject: subject.to_owned(),
                payload: String::new(),
            }),
            name: name.to_owned(),
            arguments_type: [0; 8],
            args: vec![1, 2, 3],
            connection: ConnectionId([1; 16]),
            carries_proof: false,
        }
    }

    #[test]
    fn names_and_callers_are_written_once_and_replies_find_their_place() {
        let mut batch = Batch::default();
        batch.push(
            Group::single(call("send", "ann"), ReplyTo::Call(RequestId(1))),
            Tick(0),
        );
        batch.push(
            Group {
                invocations: vec![
                    call("hello", "bob"),
                    call("send", "bob"),
                    call("bye", "bob"),
                ],
                subject: 1,
                connect: Some(0),
                reply: ReplyTo::Call(RequestId(2)),
            },
            Tick(0),
        );
        assert_eq!(batch.due(), Some(Tick(0).plus_ms(BATCH_WAIT_MS)));
        let (body, expected) = batch.take();
        assert_eq!(body.names.len(), 3);
        assert_eq!(body.callers.len(), 2);
        assert_eq!(body.invocations.len(), 4);
        assert_eq!(expected[1].index, 2);
        assert_eq!(expected[1].connect, Some(1));
        assert!(batch.is_empty() && batch.due().is_none());
    }

    #[test]
    fn an_entry_holds_few_calls_that_cost_signatures() {
        let mut batch = Batch::default();
        let mut call = call("tombolo:system", "ann");
        call.carries_proof = true;
        let group = Group::single(call, ReplyTo::Nobody);
        for _ in 0..PROOFS_PER_ENTRY_MAX {
            assert!(!batch.is_full_for(&group));
            batch.push(group.clone(), Tick(0));
        }
        assert!(batch.is_full_for(&group));
    }

    #[test]
    fn a_group_that_would_not_fit_is_seen_before_it_is_added() {
        let mut batch = Batch::default();
        let group = Group::single(call("send", "ann"), ReplyTo::Nobody);
        assert!(!batch.is_full_for(&group));
        for _ in 0..INVOCATIONS_MAX {
            batch.push(group.clone(), Tick(0));
        }
        assert!(batch.is_full_for(&group));
    }
}
