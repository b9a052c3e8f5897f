//! What a member's key can sign, whatever the rules say.

use sync_protocol::{
    Body, CallName, Caller, ConnectionId, Cut, CutDraft, CutRef, DatabaseId, Draft, Entry, EntryId,
    Hlc, Invocation, Message, SecretKey, StateRoot, SystemCall, Term, order_root,
};

use super::harness::Mesh;
use crate::Claims;

/// An entry by peer `author`, to be changed before it is sealed. What is not said is what an honest
/// peer would say.
pub(super) struct Forgery {
    pub(super) key: SecretKey,
    pub(super) caller: Claims,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) parents: Vec<EntryId>,
    pub(super) base: CutRef,
    pub(super) hlc: u64,
    database: DatabaseId,
    names: Vec<CallName>,
    invocations: Vec<Invocation>,
}

impl Forgery {
    /// In the name of peer `author`, on top of what peer 0 holds.
    pub(super) fn new(mesh: &Mesh, id: DatabaseId, author: usize) -> Self {
        let replica = &mesh.core(0).replicas[&id];
        Self {
            key: mesh.secret(author),
            caller: Claims::of_device(&mesh.device(author)),
            epoch: 77,
            seq: 0,
            parents: replica.dag.heads(),
            base: replica.cut.reference(),
            hlc: mesh.now.wall + 1_000,
            database: id,
            names: Vec::new(),
            invocations: Vec::new(),
        }
    }

    /// By somebody who need not be a peer of the mesh.
    pub(super) fn by(mut self, key: &SecretKey) -> Self {
        self.caller = Claims::of_device(&key.public());
        self.key = key.clone();
        self
    }

    fn call(mut self, name: CallName, connection: ConnectionId, args: Vec<u8>) -> Self {
        let known = self.names.iter().position(|known| *known == name);
        let at = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        self.invocations.push(Invocation {
            name: u16::try_from(at).expect("few"),
            caller: 0,
            connection,
            args,
        });
        self
    }

    pub(super) fn system(self, call: &SystemCall) -> Self {
        self.system_on(ConnectionId::ZERO, call)
    }

    pub(super) fn system_on(self, connection: ConnectionId, call: &SystemCall) -> Self {
        self.call(CallName::system(), connection, call.encode())
    }

    /// A call of `set_name` over a connection.
    pub(super) fn set_name(self, mesh: &Mesh, connection: ConnectionId, name: &str) -> Self {
        let replica = &mesh.core(0).replicas[&self.database];
        let def = replica.executor.module().def();
        let (_, reducer) = def.reducer_by_name("set_name").expect("chat has it");
        let call = CallName {
            name: "set_name".to_owned(),
            arguments_type: reducer.arguments_type,
        };
        let len = u32::try_from(name.len()).expect("short").to_le_bytes();
        self.call(call, connection, [&len, name.as_bytes()].concat())
    }

    /// Connects, so that chat hears of the client, and takes a name.
    pub(super) fn named(self, mesh: &Mesh, connection: u8, name: &str) -> Self {
        let connection = ConnectionId([connection; 16]);
        self.system_on(connection, &SystemCall::ClientConnected)
            .set_name(mesh, connection, name)
    }

    pub(super) fn seal(self) -> Entry {
        let draft = Draft {
            database: self.database,
            epoch: self.epoch,
            seq: self.seq,
            parents: self.parents,
            hlc: Hlc(self.hlc),
            stride: 0,
            base: self.base,
        };
        let body = Body {
            names: self.names,
            callers: vec![Caller {
                issuer: self.caller.issuer,
                subject: self.caller.subject,
                claims: self.caller.payload,
            }],
            invocations: self.invocations,
        };
        Entry::seal(draft, body, &self.key).expect("within the limits")
    }
}

/// Peer `to` hears entries as if peer `from` had pushed them.
pub(super) fn push(mesh: &mut Mesh, to: usize, from: usize, id: DatabaseId, entries: &[&Entry]) {
    let travels = entries
        .iter()
        .map(|entry| sync_protocol::travelling(entry.encoded()).to_vec());
    let message = Message::Push {
        entries: travels.collect(),
        forwarded: false,
    };
    mesh.inject(to, mesh.device(from), message.encode(&id));
}

/// A cut after the last one of `at`, as its finaliser would sign it, but for what `change` does.
pub(super) fn forged_cut(
    mesh: &mut Mesh,
    at: usize,
    database: DatabaseId,
    covers: EntryId,
    change: impl FnOnce(&mut CutDraft),
) -> Cut {
    let status = mesh.status(at);
    let mut draft = CutDraft {
        database,
        term: Term::FIRST,
        height: status.cut.height + 1,
        parent: status.cut.id,
        engine: module_host::ENGINE,
        frontier: vec![covers],
        order_root: order_root(&[covers]),
        state_root: StateRoot([7; 32]),
        finalisers: vec![mesh.device(0)],
    };
    change(&mut draft);
    Cut::seal(draft, &mesh.secret(0)).expect("within the limits")
}

/// Peer `to` hears of a cut as if peer `from` had told it.
pub(super) fn show_cut(mesh: &mut Mesh, to: usize, from: usize, database: DatabaseId, cut: &Cut) {
    let bytes = cut.encoded().to_vec();
    let frame = Message::Cut { bytes }.encode(&database);
    let from = mesh.device(from);
    mesh.inject(to, from, frame);
}

/// How the calls of an entry came out on a peer: the text of each outcome.
pub(super) fn outcomes(mesh: &Mesh, at: usize, id: DatabaseId, entry: &Entry) -> Vec<String> {
    let executed = &mesh.core(at).replicas[&id].executed;
    let ran = executed.iter().find(|ran| ran.entry.id == entry.id);
    let ran = ran.unwrap_or_else(|| panic!("{entry:?} is not in the tail of {at}"));
    ran.outcomes.iter().map(|o| format!("{o:?}")).collect()
}
