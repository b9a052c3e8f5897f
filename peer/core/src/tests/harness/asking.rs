//! What a test asks of the peers of a mesh.

use store::MemoryDisk;
use sync_protocol::{ConnectionId, DatabaseId, Role};

use super::{CHAT, Mesh};
use crate::reply::{DatabaseStatus, JoinProgress, JoinState};
use crate::{Arguments, Claims, Input, Published, Reply, Request, RequestError, RequestId};

impl Mesh {
    /// Asks as the peer's own identity, without settling: several requests share a batch.
    pub(in crate::tests) fn ask_later(&mut self, at: usize, request: Request) -> RequestId {
        let caller = Claims::of_device(&self.device(at));
        self.ask_by(at, (caller, true), request)
    }

    /// Asks as somebody who owns nothing.
    pub(in crate::tests) fn ask_as_stranger(
        &mut self,
        at: usize,
        request: Request,
    ) -> Result<Reply, RequestError> {
        let stranger = Claims {
            issuer: "issuer".to_owned(),
            subject: "stranger".to_owned(),
            payload: String::new(),
        };
        let id = self.ask_by(at, (stranger, false), request);
        self.settle();
        self.reply(id)
    }

    /// Asks as the bearer of a token that the driver has checked.
    pub(in crate::tests) fn ask_as(
        &mut self,
        at: usize,
        caller: Claims,
        request: Request,
    ) -> Result<Reply, RequestError> {
        let id = self.ask_by(at, (caller, false), request);
        self.settle();
        self.reply(id)
    }

    fn ask_by(
        &mut self,
        at: usize,
        (caller, owner): (Claims, bool),
        request: Request,
    ) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        self.step(
            at,
            Input::Request {
                id,
                caller: caller.into(),
                owner,
                request,
            },
        );
        id
    }

    /// Wakes a peer and lets it make a call before anybody else has done anything: what both send
    /// reaches the others in one burst.
    pub(in crate::tests) fn wake_and_ask(&mut self, at: usize, request: Request) -> RequestId {
        self.step(at, Input::Woken);
        let id = self.ask_later(at, request);
        self.step(at, Input::Idle);
        self.settle();
        id
    }

    pub(in crate::tests) fn ask(
        &mut self,
        at: usize,
        request: Request,
    ) -> Result<Reply, RequestError> {
        let id = self.ask_later(at, request);
        self.settle();
        self.reply(id)
    }

    pub(in crate::tests) fn reply(&mut self, id: RequestId) -> Result<Reply, RequestError> {
        self.replies.remove(&id).expect("every request is answered")
    }

    pub(in crate::tests) fn call_request(&mut self, reducer: &str, arguments: &str) -> Request {
        let mut connection = [0; 16];
        connection.copy_from_slice(&self.dice.bytes()[..16]);
        Request::Call {
            database: "chat".to_owned(),
            reducer: reducer.to_owned(),
            arguments: Arguments::Json(arguments.to_owned()),
            connection: ConnectionId(connection),
            one_shot: true,
            client: None,
        }
    }

    pub(in crate::tests) fn call(
        &mut self,
        at: usize,
        reducer: &str,
        arguments: &str,
    ) -> Result<Reply, RequestError> {
        let request = self.call_request(reducer, arguments);
        self.ask(at, request)
    }

    /// Publishes the chat module on the first peer and joins all others.
    pub(in crate::tests) fn publish_and_join(&mut self) -> DatabaseId {
        self.publish_wasm_and_join(CHAT)
    }

    /// The same with another module; the database has the same name.
    pub(in crate::tests) fn publish_wasm_and_join(&mut self, wasm: &[u8]) -> DatabaseId {
        let database = self.publish_wasm(wasm);
        for at in 1..self.peers.len() {
            let ticket = self.invite(0);
            self.join(at, &ticket);
        }
        database
    }

    pub(in crate::tests) fn publish_only(&mut self) -> DatabaseId {
        self.publish_wasm(CHAT)
    }

    pub(in crate::tests) fn publish_wasm(&mut self, wasm: &[u8]) -> DatabaseId {
        let dice = self.dice.bytes();
        let reply = self.ask(
            0,
            Request::Publish {
                name: "chat".to_owned(),
                wasm: wasm.to_vec(),
                sequential_auto_inc: false,
                break_clients: false,
                clear: false,
                dice,
            },
        );
        let Ok(Reply::Published(published)) = reply else {
            panic!("publish: {reply:?}");
        };
        self.recovery_key = published.recovery_key.expect("told once");
        published.database
    }

    /// Publishes a module under the name that all tests use, and lets time pass until somebody
    /// answers.
    pub(in crate::tests) fn publish(
        &mut self,
        at: usize,
        wasm: &[u8],
        break_clients: bool,
    ) -> Result<Published, RequestError> {
        let id = self.publish_later(at, wasm, break_clients);
        self.published(id)
    }

    pub(in crate::tests) fn publish_later(
        &mut self,
        at: usize,
        wasm: &[u8],
        break_clients: bool,
    ) -> RequestId {
        let dice = self.dice.bytes();
        let request = Request::Publish {
            name: "chat".to_owned(),
            wasm: wasm.to_vec(),
            sequential_auto_inc: false,
            break_clients,
            clear: false,
            dice,
        };
        self.ask_later(at, request)
    }

    /// The same, of which nothing that was there before is to stay.
    pub(in crate::tests) fn clear_later(&mut self, at: usize, wasm: &[u8]) -> RequestId {
        let request = Request::Publish {
            name: "chat".to_owned(),
            wasm: wasm.to_vec(),
            sequential_auto_inc: false,
            break_clients: false,
            clear: true,
            dice: [0; 32],
        };
        self.ask_later(at, request)
    }

    pub(in crate::tests) fn published(&mut self, id: RequestId) -> Result<Published, RequestError> {
        for _ in 0..300 {
            if let Some(reply) = self.replies.remove(&id) {
                return reply.map(|reply| match reply {
                    Reply::Published(published) => published,
                    other => panic!("publish: {other:?}"),
                });
            }
            self.settle();
            self.pass_ms(50);
        }
        panic!("a publish is not answered");
    }

    pub(in crate::tests) fn disk(&self, at: usize) -> &MemoryDisk {
        &self.peers[at].disk
    }

    pub(in crate::tests) fn join(&mut self, at: usize, ticket: &str) {
        let progress = self.try_join(at, ticket);
        assert_eq!(progress.state, JoinState::Done, "{:?}", progress.error);
    }

    pub(in crate::tests) fn join_error(&mut self, at: usize, ticket: &str) -> String {
        self.try_join(at, ticket).error.expect("the join fails")
    }

    /// A join takes some messages and little time, so that no cut happens meanwhile.
    fn try_join(&mut self, at: usize, ticket: &str) -> JoinProgress {
        let ticket = ticket.to_owned();
        let reply = self.ask(at, Request::Join { ticket });
        let Ok(Reply::Joining(JoinProgress { database, .. })) = reply else {
            panic!("join: {reply:?}");
        };
        for _ in 0..100 {
            let request = Request::JoinProgress {
                database: database.to_string(),
            };
            let progress = self.ask(at, request);
            let Ok(Reply::Joining(progress)) = progress else {
                panic!("progress: {progress:?}");
            };
            if matches!(progress.state, JoinState::Done | JoinState::Failed) {
                return progress;
            }
            self.pass_ms(50);
        }
        panic!("peer {at} does not come to the end of its join");
    }

    pub(in crate::tests) fn invite(&mut self, at: usize) -> String {
        self.invite_as(at, Role::Writer, 1)
    }

    pub(in crate::tests) fn invite_as(&mut self, at: usize, role: Role, uses: u32) -> String {
        let dice = self.dice.bytes();
        let reply = self.ask(
            at,
            Request::Invite {
                database: "chat".to_owned(),
                role,
                uses,
                expires_in_s: 3_600,
                dice,
            },
        );
        let Ok(Reply::Ticket(ticket)) = reply else {
            panic!("invite: {reply:?}");
        };
        ticket
    }

    pub(in crate::tests) fn status(&mut self, at: usize) -> DatabaseStatus {
        let reply = self.ask(
            at,
            Request::Status {
                database: Some("chat".to_owned()),
            },
        );
        let Ok(Reply::Status(mut all)) = reply else {
            panic!("status: {reply:?}");
        };
        all.remove(0)
    }

    /// The visible rows of a query, as text.
    pub(in crate::tests) fn rows(&mut self, at: usize, query: &str) -> Vec<Vec<String>> {
        let reply = self.ask(
            at,
            Request::Sql {
                database: "chat".to_owned(),
                text: query.to_owned(),
            },
        );
        let Ok(Reply::Rows(rows)) = reply else {
            panic!("sql: {reply:?}");
        };
        rows.text
    }

    /// Asserts that all peers hold the same.
    pub(in crate::tests) fn assert_converged(&mut self) {
        for at in 1..self.peers.len() {
            self.assert_same(0, at);
        }
    }

    pub(in crate::tests) fn assert_same(&mut self, a: usize, b: usize) {
        let (one, other) = (self.status(a), self.status(b));
        assert_eq!(one.heads_hash, other.heads_hash, "heads of {a} and {b}");
        assert_eq!(one.state_root, other.state_root, "roots of {a} and {b}");
    }
}
