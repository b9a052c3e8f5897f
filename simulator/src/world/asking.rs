//! What clients do in the world: publish, invite, join, call, and read.

use peer_core::{Claims, DatabaseStatus, ErrorKind, Reply, Request, RequestError, RequestId};
use sync_protocol::Role;

use super::{Event, Once, Waiting, Who, World};
use crate::checker::{ADDED_TABLE, Shown, TABLES};
use crate::workload::{Deed, Planned};

/// Calls of a hundred that type into the document.
const TYPED_PERCENT: u64 = 8;

/// Clients of one peer that stay connected.
const CLIENTS_MAX: usize = 3;

/// Seconds for which tickets are good: longer than any run.
const TICKET_S: u64 = 24 * 3_600;

/// The peer whose owner owns the database.
const OWNER: usize = 0;

impl World {
    /// Asks something that is answered at once. `None`: the peer is down, or went down over it.
    pub(crate) fn ask(
        &mut self,
        at: usize,
        request: Request,
    ) -> Option<Result<Reply, RequestError>> {
        if !self.nodes[at].is_on() {
            return None;
        }
        let caller = Claims::of_device(&self.nodes[at].device);
        let id = self.request(at, caller, true, request, Who::World);
        self.waiting.remove(&id);
        self.replies.remove(&id)
    }

    pub(super) fn reply(&mut self, id: RequestId, reply: Result<Reply, RequestError>) {
        let Some(Waiting { at, start, who }) = self.waiting.remove(&id) else {
            return self.breaks(format!(
                "request {} was answered twice, or never asked",
                id.0
            ));
        };
        match (who, reply) {
            (Who::World, reply) => {
                self.replies.insert(id, reply);
            }
            (Who::Caller(deed), Ok(Reply::Called(called))) => {
                self.say(format_args!("{at} confirms {}", id.0));
                if let Deed::Say(text) = &deed {
                    let text = text.clone();
                    self.after(0, Event::Reread { at, start, text });
                }
                self.ledger.confirmed(at, called.entry, called.index, deed);
            }
            (Who::Caller(_), Ok(other)) => {
                self.breaks(format!("peer {at} answered a call with {other:?}"));
            }
            (Who::Caller(deed), Err(error)) => {
                self.say(format_args!("{at} refuses {}: {error}", id.0));
                self.ledger.refused();
                if let Deed::Say(text) = deed
                    && !self.nodes[at].in_trouble
                    && !self.not_now(&error)
                {
                    self.breaks(format!(
                        "peer {at} refused \"{text}\", which cannot fail: {error}"
                    ));
                }
            }
            (Who::Comer(client), Ok(_)) => {
                if self.nodes[at].starts == start {
                    self.nodes[at].clients.push(client);
                }
            }
            (Who::Leaver, Ok(_)) => {}
            (Who::Writer, Ok(Reply::Written(_))) => self.say(format_args!("{at} wrote {}", id.0)),
            (Who::Writer, Ok(other)) => {
                self.breaks(format!("peer {at} answered a statement with {other:?}"));
            }
            // A value can be taken, and a clock can be wrong.
            (Who::Writer, Err(error)) => {
                self.say(format_args!("{at} did not write {}: {error}", id.0));
            }
            (Who::Owner(what), Ok(reply)) => self.say(format_args!("{at} {what}: {reply:?}")),
            (Who::Owner(what), Err(error)) => {
                self.say(format_args!("{at} did not: {what}: {error}"));
                if !self.nodes[at].in_trouble && !self.may_fork() {
                    self.breaks(format!("peer {at} refused to {what}: {error}"));
                }
            }
            (Who::Quarreller, reply) => self.say(format_args!("{at} {}: {reply:?}", id.0)),
            // What the disk cannot take is refused.
            (Who::Comer(_) | Who::Leaver, Err(_)) if self.nodes[at].in_trouble => {}
            (Who::Comer(_) | Who::Leaver, Err(error)) if self.not_now(&error) => {}
            // Whoever signed two histories is heard by nobody, not even at home.
            (Who::Comer(_) | Who::Leaver, Err(_)) if self.is_rogue(at) => {}
            (Who::Comer(_) | Who::Leaver, Err(error)) => {
                self.breaks(format!("at peer {at} nobody can come or go: {error}"));
            }
        }
    }

    /// Whether an error says no more than that a clock was far ahead; or that a client has to
    /// connect again, because its peer is between two branches and what it wrote on the one that
    /// lost waits for the first cut of the other.
    fn not_now(&self, error: &RequestError) -> bool {
        match error.kind {
            ErrorKind::Unavailable => self.clocks_are_far_off(),
            ErrorKind::Denied => self.may_fork(),
            _ => false,
        }
    }

    /// The first peer publishes the module.
    pub(crate) fn publish(&mut self) -> Result<(), String> {
        let dice = self.workload.dice().bytes();
        let publish = Request::Publish {
            name: "market".to_owned(),
            wasm: self.market.first.to_vec(),
            sequential_auto_inc: false,
            break_clients: false,
            clear: false,
            dice,
        };
        match self.ask(0, publish) {
            Some(Ok(Reply::Published(published))) => {
                self.database = published.database.to_string();
                self.recovery_key = published.recovery_key.unwrap_or_default();
                self.nodes[0].is_member = true;
                Ok(())
            }
            other => Err(format!("publishing gave {other:?}")),
        }
    }

    /// The first peer publishes the module with one table more, or tries again later.
    pub(super) fn upgrade(&mut self) {
        if !self.nodes[0].is_on() || self.nodes[0].in_trouble {
            return self.after(1_000_000, Event::Once(Once::Upgrade));
        }
        self.say(format_args!("0 publishes another module"));
        let caller = Claims::of_device(&self.nodes[0].device);
        let publish = Request::Publish {
            name: "market".to_owned(),
            wasm: self.market.next.to_vec(),
            sequential_auto_inc: false,
            break_clients: false,
            clear: false,
            // Only a database that is created uses them.
            dice: [0; 32],
        };
        self.request(
            0,
            caller,
            true,
            publish,
            Who::Owner("publish another module"),
        );
    }

    /// The first peer invites another, which starts to join.
    pub(crate) fn invite(&mut self, at: usize) -> Result<(), String> {
        let dice = self.workload.dice().bytes();
        let invite = Request::Invite {
            database: self.database.clone(),
            role: Role::Writer,
            uses: 1,
            expires_in_s: TICKET_S,
            dice,
        };
        match self.ask(0, invite) {
            Some(Ok(Reply::Ticket(ticket))) => {
                self.nodes[at].ticket = Some(ticket);
                Ok(())
            }
            // The power failed over it: there is no ticket, so nothing is lost.
            None => Ok(()),
            Some(Err(_)) if self.nodes[0].in_trouble => Ok(()),
            // It was ahead, and refuses until it is started again.
            Some(Err(error)) if self.not_now(&error) => Ok(()),
            other => Err(format!("inviting gave {other:?}")),
        }
    }

    /// Whoever has a ticket and is not in yet tries to join; what an answer or a restart undid is
    /// tried again.
    pub(crate) fn join_on(&mut self) {
        for at in 1..self.nodes.len() {
            let node = &self.nodes[at];
            if node.is_member || !node.is_on() || node.is_gone {
                continue;
            }
            let Some(ticket) = node.ticket.clone() else {
                continue;
            };
            let database = self.database.clone();
            let progress = self.ask(at, Request::JoinProgress { database });
            let state = match progress {
                Some(Ok(Reply::Joining(progress))) => Some(progress.state),
                _ => None,
            };
            self.say(format_args!("{at} joins: {state:?}"));
            match state {
                Some(peer_core::JoinState::Done) => self.nodes[at].is_member = true,
                Some(peer_core::JoinState::Asking | peer_core::JoinState::Fetching) => {}
                Some(peer_core::JoinState::Failed) | None => {
                    self.ask(at, Request::Join { ticket });
                }
            }
        }
    }

    /// From now on people work.
    pub(crate) fn begin_work(&mut self) {
        self.working = true;
        self.after(0, Event::Work);
    }

    pub(crate) fn end_work(&mut self) {
        self.working = false;
    }

    pub(super) fn work(&mut self) {
        if !self.working || self.calls_left == 0 {
            return;
        }
        let peers = self.nodes.len();
        let at = self.workload.dice().index(peers);
        // Now and then several at once, so that they share an entry.
        let burst = if self.workload.dice().percent(15) {
            8
        } else {
            1
        };
        let comes_or_goes = self.workload.dice().percent(15);
        if self.nodes[at].is_member && self.nodes[at].is_on() {
            if comes_or_goes {
                self.come_or_go(at);
            }
            if at == OWNER && self.workload.dice().percent(8) {
                self.write_rows(at);
            }
            for _ in 0..burst.min(self.calls_left) {
                self.calls_left -= 1;
                let typed = self.workload.dice().percent(TYPED_PERCENT);
                let planned = match typed.then(|| self.keystroke(at)).flatten() {
                    Some(planned) => planned,
                    None => {
                        let node = &self.nodes[at];
                        self.workload
                            .next(&self.database, &node.device, &node.clients)
                    }
                };
                self.call(at, planned);
            }
        }
        let wait = self
            .workload
            .dice()
            .around(self.faults.work_every_ms * 1_000);
        self.after(wait, Event::Work);
    }

    /// The owner writes rows by a statement.
    fn write_rows(&mut self, at: usize) {
        let text = self.workload.statement();
        self.say(format_args!("{at} writes: {text}"));
        let database = self.database.clone();
        let caller = Claims::of_device(&self.nodes[at].device);
        self.request(
            at,
            caller,
            true,
            Request::Sql { database, text },
            Who::Writer,
        );
    }

    /// The numbers of the module's tables, by which statements name them.
    pub(crate) fn learn_tables(&mut self) {
        let request = Request::Sql {
            database: self.database.clone(),
            text: "SELECT * FROM st_table".to_owned(),
        };
        let Some(Ok(Reply::Rows(rows))) = self.ask(OWNER, request) else {
            return self.breaks("the owner cannot read st_table".to_owned());
        };
        for row in rows.rows {
            let row: (u32, String, String, String, u64) =
                serde_json::from_str(row.get()).expect("a row of st_table");
            self.tables.insert(row.0, row.1);
        }
    }

    /// Whether something is still to be delivered, as far as the owner's peer knows.
    pub(crate) fn deliveries_wait(&mut self) -> bool {
        let request = Request::Sql {
            database: self.database.clone(),
            text: "SELECT COUNT(*) AS n FROM delivery".to_owned(),
        };
        match self.ask(OWNER, request) {
            Some(Ok(Reply::Rows(rows))) => rows.rows.iter().any(|row| row.get() != "[0]"),
            _ => false,
        }
    }

    /// Somebody connects, or, when there are enough, leaves.
    fn come_or_go(&mut self, at: usize) {
        let database = self.database.clone();
        if self.nodes[at].clients.len() < CLIENTS_MAX {
            let client = self.workload.client(&self.nodes[at].device);
            let (caller, connection) = (client.caller.clone(), client.connection);
            let connect = Request::Connect {
                database,
                connection,
            };
            self.request(at, caller, false, connect, Who::Comer(client));
        } else {
            let client = self.nodes[at].clients.remove(0);
            let connection = client.connection;
            let disconnect = Request::Disconnect {
                database,
                connection,
            };
            self.request(at, client.caller, false, disconnect, Who::Leaver);
        }
    }

    pub(super) fn call(&mut self, at: usize, planned: Planned) {
        if !self.nodes[at].is_on() {
            return;
        }
        let Planned {
            deed,
            caller,
            mut request,
            what,
        } = planned;
        // Every second call is made by who follows, so that its changes come with the answer.
        if let Request::Call { client, .. } = &mut request
            && self.ledger.asked.is_multiple_of(2)
        {
            *client = self.nodes[at].follower.as_ref().map(|it| it.client);
        }
        let deed = match deed {
            Deed::Say(text) | Deed::Type(text) if self.is_rogue(at) => Deed::Mumble(text),
            deed => deed,
        };
        self.ledger.asked(&deed);
        self.say(format_args!("{at} calls {what}"));
        self.request(at, caller, false, request, Who::Caller(deed));
    }

    pub(crate) fn open_accounts(&mut self) {
        let (database, device) = (self.database.clone(), self.nodes[0].device);
        let planned = self.workload.open_accounts(&database, &device);
        self.call(0, planned);
    }

    /// Everybody says one thing more.
    pub(crate) fn say_once_each(&mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_gone {
                continue;
            }
            let (database, device) = (self.database.clone(), self.nodes[at].device);
            let planned = self.workload.say(&database, &device);
            self.call(at, planned);
        }
    }

    /// Who was told that a call was made can read what it did.
    pub(super) fn reread(&mut self, at: usize, start: u32, text: &str) {
        if self.nodes[at].starts != start {
            return;
        }
        let request = Request::Sql {
            database: self.database.clone(),
            text: format!("SELECT text FROM saying WHERE text = '{text}'"),
        };
        match self.ask(at, request) {
            Some(Ok(Reply::Rows(rows))) if rows.rows.len() == 1 => {}
            None => {}
            Some(Err(_)) if self.nodes[at].in_trouble => {}
            other => self.breaks(format!(
                "peer {at} confirmed \"{text}\" and then showed {other:?}"
            )),
        }
    }

    /// Calls whose callers still wait.
    pub(crate) fn calls_open(&self) -> usize {
        let calls = self.waiting.values();
        calls
            .filter(|waiting| matches!(waiting.who, Who::Caller(_)))
            .count()
    }

    /// Writes into the trace how every peer sees the world: for whoever looks for a mistake.
    pub(crate) fn describe(&mut self) {
        for at in 0..self.nodes.len() {
            let database = self.database.clone();
            let status = self.status(at);
            let members = self.ask(at, Request::Members { database });
            self.say(format_args!("{at} status {status:?}"));
            self.say(format_args!("{at} members {members:?}"));
        }
    }

    /// The status of the database at a peer that holds it.
    pub(crate) fn status(&mut self, at: usize) -> Option<DatabaseStatus> {
        let database = Some(self.database.clone());
        match self.ask(at, Request::Status { database })? {
            Ok(Reply::Status(mut all)) => all.pop(),
            _ => None,
        }
    }

    /// Everything that anybody can read at a peer.
    pub(crate) fn read(&mut self, at: usize) -> Option<Shown> {
        let mut shown = Shown::new();
        for table in TABLES {
            let request = Request::Sql {
                database: self.database.clone(),
                text: match table {
                    // The other columns follow from the change.
                    "scrawl" => "SELECT hash, bytes FROM scrawl".to_owned(),
                    table => format!("SELECT * FROM {table}"),
                },
            };
            let rows = match self.ask(at, request)? {
                Ok(Reply::Rows(rows)) => rows.rows,
                // Only the module after the upgrade has it.
                Err(_) if table == ADDED_TABLE => continue,
                _ => return None,
            };
            // As texts in one form, however the core spells them.
            let spell = |row: &serde_json::value::RawValue| {
                let parsed: serde_json::Value =
                    serde_json::from_str(row.get()).expect("the core tells rows as JSON");
                parsed.to_string()
            };
            let mut rows: Vec<_> = rows.iter().map(|row| spell(row)).collect();
            rows.sort_unstable();
            shown.insert(table, rows);
        }
        Some(shown)
    }
}
