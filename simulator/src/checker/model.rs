//! The rows that calls give when they run one after the other: the module and the rules about
//! members once more, over plain maps, written from what they promise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use spacetimedb_lib::Identity;
use sync_protocol::{BlobHash, Body, ConnectionId, DeviceKey, Entry, Invocation, Role, SystemCall};

use super::Shown;
use super::deliveries::Delivery;
use super::members::{Left, Members};
use super::scrawls::Scrawls;

/// 2024-01-01 in microseconds since 1970: generated ids count from there.
const IDS_START_US: u64 = 1_704_067_200_000_000;
/// Generated ids of one microsecond.
const IDS_PER_US: u64 = 4_096;

const OPENING_BALANCE: i64 = 1_000;

/// Identities as hexadecimal text.
type Who = String;

/// All there is, after some calls.
#[derive(Debug, Default)]
pub(crate) struct Model {
    accounts: BTreeMap<u32, i64>,
    sayings: BTreeMap<u64, (Who, u64, String)>,
    names: BTreeMap<Who, String>,
    numbers: BTreeMap<u32, Who>,
    pub(super) stalls: BTreeMap<u32, Who>,
    /// Shelf and weight.
    pub(super) notes: BTreeMap<u64, (u32, u32)>,
    pub(super) deliveries: BTreeMap<u64, Delivery>,
    tallies: BTreeMap<u64, [u64; 6]>,
    pub(super) scrawls: Scrawls,
    /// How often they came and left.
    visitors: BTreeMap<Who, (u32, u32)>,
    /// Once the module has receipts.
    receipts: Option<BTreeMap<u64, (u32, u32, i64)>>,
    connected: BTreeMap<ConnectionId, (Who, DeviceKey)>,
    members: Members,
    frozen: BTreeSet<DeviceKey>,
    published: Vec<BlobHash>,
    /// Names of tables by number.
    pub(super) tables: BTreeMap<u32, String>,
}

/// One call: what a reducer sees.
pub(super) struct Calling<'a> {
    who: Who,
    pub(super) time: u64,
    /// Ids generated so far.
    drawn: u64,
    pub(super) arguments: Arguments<'a>,
}

/// It did nothing.
#[derive(Debug)]
pub(super) struct Failed;

pub(super) type Outcome = Result<(), Failed>;

impl Model {
    /// Nothing yet, in a database whose tables have these numbers.
    pub(crate) fn of(tables: &BTreeMap<u32, String>) -> Self {
        Self {
            tables: tables.clone(),
            ..Self::default()
        }
    }

    /// Runs what one cut covers; then the module may change. `upgraded` is the hash of the module
    /// with receipts.
    pub(crate) fn segment(&mut self, entries: &[Entry], upgraded: &BlobHash) {
        // A proof counts for the whole segment, wherever it stands.
        let calls = entries.iter().flat_map(|entry| entry.system_calls());
        for (_, call) in calls {
            if let SystemCall::ReportEquivocation(proof) = call {
                self.frozen.insert(proof.author());
            }
        }
        self.run_all(entries);
        self.members.cut(entries);
        if self.published.iter().any(|module| module == upgraded) {
            self.receipts.get_or_insert_default();
        }
        self.published.clear();
    }

    /// Runs entries in this order.
    pub(crate) fn run_all(&mut self, entries: &[Entry]) {
        let left = self.members.left(entries, &self.frozen);
        for entry in entries {
            let left = left.get(&entry.id).copied();
            if !self.frozen.contains(&entry.header.author) && left != Some(Left::Nothing) {
                self.run(entry, left);
            }
        }
    }

    fn run(&mut self, entry: &Entry, left: Option<Left>) {
        let header = &entry.header;
        let own = peer_core::did_key(&header.author);
        for (index, invocation) in entry.body.invocations.iter().enumerate() {
            let caller = &entry.body.callers[usize::from(invocation.caller)];
            if caller.issuer != own {
                continue;
            }
            let is_device = caller.subject == own;
            let calling = Calling {
                who: identity(&caller.issuer, &caller.subject),
                time: header.hlc.0 + ((index as u64) << header.stride),
                drawn: 0,
                arguments: Arguments(&invocation.args),
            };
            // What fails has changed nothing, so how it ends does not matter.
            let _outcome = self.call(entry, invocation, calling, (is_device, left));
        }
    }

    fn call(
        &mut self,
        entry: &Entry,
        invocation: &Invocation,
        mut calling: Calling<'_>,
        (is_device, left): (bool, Option<Left>),
    ) -> Outcome {
        let held = self.members.roles.get(&entry.header.author).copied();
        let role = match left {
            Some(Left::Of(most)) => held.map(|held| held.max(most)),
            _ => held,
        };
        let name = name_of(&entry.body, invocation);
        if let Some(name) = name {
            check(role.is_some_and(Role::may_write))?;
            let here = self.connected.get(&invocation.connection);
            check(here.is_some_and(|(who, _)| *who == calling.who))?;
            return self.reducer(name, &mut calling);
        }
        let call = SystemCall::decode(&invocation.args).map_err(|_| Failed)?;
        self.system_call(entry, invocation, &call, &mut calling, (is_device, role))
    }

    fn system_call(
        &mut self,
        entry: &Entry,
        invocation: &Invocation,
        call: &SystemCall,
        calling: &mut Calling<'_>,
        (is_device, role): (bool, Option<Role>),
    ) -> Outcome {
        let author = entry.header.author;
        let writes = role.is_some_and(Role::may_write);
        match call {
            SystemCall::ClientConnected => {
                check(writes && invocation.connection != ConnectionId::ZERO)?;
                check(!self.connected.contains_key(&invocation.connection))?;
                let client = (calling.who.clone(), author);
                self.connected.insert(invocation.connection, client);
                self.visitors.entry(calling.who.clone()).or_default().0 += 1;
            }
            SystemCall::ClientDisconnected => {
                check(writes)?;
                let client = self.connected.get(&invocation.connection).ok_or(Failed)?;
                // Others speak for a peer only when it is gone.
                check(client.1 == author || !self.members.roles.contains_key(&client.1))?;
                let (who, _) = self
                    .connected
                    .remove(&invocation.connection)
                    .ok_or(Failed)?;
                self.visitors.entry(who).or_default().1 += 1;
            }
            SystemCall::Genesis(_) => {
                check(is_device && self.members.roles.is_empty())?;
                self.members.roles.insert(author, Role::Owner);
            }
            SystemCall::Invite { .. }
            | SystemCall::Admit { .. }
            | SystemCall::RemoveMember { .. }
            | SystemCall::SetRole { .. }
            | SystemCall::RevokeTicket { .. }
            | SystemCall::TransferOwnership { .. } => {
                check(is_device)?;
                self.members.run(call, author, role, calling.time)?;
            }
            SystemCall::Publish(module) => {
                check(is_device && role == Some(Role::Owner))?;
                self.published.push(module.module);
            }
            SystemCall::Fire(fire) => {
                check(is_device && writes)?;
                self.fire(fire, calling)?;
            }
            SystemCall::Write(statement) => {
                check(is_device && role == Some(Role::Owner))?;
                self.write(statement)?;
            }
            // Change no row of the module, and nobody in these worlds is a provider's user.
            SystemCall::MoveFinaliser { .. }
            | SystemCall::ReportEquivocation(_)
            | SystemCall::TrustIssuer(_)
            | SystemCall::DistrustIssuer { .. }
            | SystemCall::SetIssuerKeys { .. }
            | SystemCall::Bind { .. }
            | SystemCall::Unbind { .. } => {}
        }
        Ok(())
    }

    fn reducer(&mut self, name: &str, calling: &mut Calling<'_>) -> Outcome {
        match name {
            "open_accounts" => {
                for id in 0..calling.arguments.u32()? {
                    self.accounts.entry(id).or_insert(OPENING_BALANCE);
                }
            }
            "transfer" => self.transfer(calling)?,
            "say" => {
                let text = calling.arguments.text()?;
                let id = calling.id(&self.sayings);
                let saying = (calling.who.clone(), calling.time, text);
                self.sayings.insert(id, saying);
            }
            "take_name" => {
                let name = calling.arguments.text()?;
                let mut others = self.names.iter().filter(|(who, _)| **who != calling.who);
                check(others.all(|(_, taken)| *taken != name))?;
                self.names.insert(calling.who.clone(), name);
            }
            "draw_number" => {
                let last = self.numbers.keys().next_back().copied().unwrap_or(0);
                self.numbers.insert(last + 1, calling.who.clone());
            }
            "claim" => {
                let id = calling.arguments.u32()?;
                check(!self.stalls.contains_key(&id))?;
                self.stalls.insert(id, calling.who.clone());
            }
            "give_back" => {
                let id = calling.arguments.u32()?;
                check(self.stalls.get(&id) == Some(&calling.who))?;
                self.stalls.remove(&id);
            }
            "put_note" => {
                let note = (calling.arguments.u32()?, calling.arguments.u32()?);
                let id = calling.id(&self.notes);
                self.notes.insert(id, note);
            }
            "type_changes" => self.scrawl(calling)?,
            "order" => self.order(calling)?,
            "call_off" => {
                let shelf = calling.arguments.u32()?;
                let before = self.deliveries.len();
                self.deliveries.retain(|_, it| it.shelf != shelf);
                check(self.deliveries.len() < before)?;
            }
            "count_notes" => self.count_notes(calling)?,
            "clear_shelves" => {
                let shelves = calling.arguments.u32()?..=calling.arguments.u32()?;
                let before = self.notes.len();
                self.notes.retain(|_, (shelf, _)| !shelves.contains(shelf));
                check(self.notes.len() < before)?;
            }
            "move_heaviest" => {
                let from = calling.arguments.u32()?;
                let on_it = self.notes.iter_mut().filter(|(_, note)| note.0 == from);
                let heaviest = on_it.max_by_key(|(id, note)| (note.1, u64::MAX - **id));
                heaviest.ok_or(Failed)?.1.0 += 1;
            }
            _ => return Err(Failed),
        }
        Ok(())
    }

    fn transfer(&mut self, calling: &mut Calling<'_>) -> Outcome {
        let (from, to) = (calling.arguments.u32()?, calling.arguments.u32()?);
        let amount = calling.arguments.i64()?;
        check(amount > 0 && from != to && self.accounts.contains_key(&to))?;
        let payer = self.accounts.get_mut(&from).ok_or(Failed)?;
        check(*payer >= amount)?;
        *payer -= amount;
        *self.accounts.get_mut(&to).ok_or(Failed)? += amount;
        if let Some(receipts) = &mut self.receipts {
            receipts.insert(calling.id(receipts), (from, to, amount));
        }
        Ok(())
    }

    fn count_notes(&mut self, calling: &mut Calling<'_>) -> Outcome {
        let (from, to) = (calling.arguments.u32()?, calling.arguments.u32()?);
        let notes = self.notes.values();
        let counted = notes.filter(|(shelf, _)| (from..=to).contains(shelf));
        let weights: Vec<u64> = counted.map(|(_, weight)| u64::from(*weight)).collect();
        let id = calling.id(&self.tallies);
        let tally = [
            u64::from(from),
            u64::from(to),
            weights.len() as u64,
            weights.iter().sum(),
            self.notes.len() as u64,
            // No call finds anything of another one but rows.
            1,
        ];
        self.tallies.insert(id, tally);
        Ok(())
    }

    /// What anybody should be able to read.
    pub(crate) fn shown(&self) -> Shown {
        let who = |who: &Who| json!([format!("0x{who}")]);
        let mut shown = Shown::new();
        let mut show = |table: &'static str, rows: Vec<serde_json::Value>| {
            let mut rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
            rows.sort_unstable();
            shown.insert(table, rows);
        };
        let accounts = self.accounts.iter();
        show(
            "account",
            accounts.map(|(id, sum)| json!([id, sum])).collect(),
        );
        let sayings = self.sayings.iter();
        show(
            "saying",
            sayings
                .map(|(id, (speaker, said, text))| json!([id, who(speaker), [said], text]))
                .collect(),
        );
        let names = self.names.iter();
        show(
            "name",
            names
                .map(|(holder, name)| json!([who(holder), name]))
                .collect(),
        );
        let numbers = self.numbers.iter();
        show(
            "number",
            numbers
                .map(|(number, holder)| json!([number, who(holder)]))
                .collect(),
        );
        show("scrawl", self.scrawls.shown());
        let stalls = self.stalls.iter();
        show(
            "stall",
            stalls.map(|(id, owner)| json!([id, who(owner)])).collect(),
        );
        let notes = self.notes.iter();
        show(
            "note",
            notes
                .map(|(id, (shelf, weight))| json!([id, shelf, weight]))
                .collect(),
        );
        show(
            "delivery",
            self.deliveries.iter().map(Delivery::shown).collect(),
        );
        let tallies = self.tallies.iter();
        show(
            "tally",
            tallies
                .map(|(id, [from, to, notes, weight, all, calls])| {
                    json!([id, from, to, notes, weight, all, calls])
                })
                .collect(),
        );
        let visitors = self.visitors.iter();
        show(
            "visitor",
            visitors
                .map(|(visitor, (came, left))| json!([who(visitor), came, left]))
                .collect(),
        );
        if let Some(receipts) = &self.receipts {
            let rows = receipts.iter();
            show(
                "receipt",
                rows.map(|(id, (from, to, amount))| json!([id, from, to, amount]))
                    .collect(),
            );
        }
        shown
    }
}

impl Calling<'_> {
    /// The next generated id that no row has.
    pub(super) fn id<T>(&mut self, rows: &BTreeMap<u64, T>) -> u64 {
        let first = self
            .time
            .wrapping_sub(IDS_START_US)
            .wrapping_mul(IDS_PER_US);
        let mut id = first + self.drawn;
        while rows.contains_key(&id) {
            id += 1;
        }
        self.drawn = id - first + 1;
        id
    }
}

/// BSATN of a product, read from the front.
pub(super) struct Arguments<'a>(pub(super) &'a [u8]);

impl Arguments<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Failed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Failed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Failed> {
        self.take().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Failed> {
        self.take().map(i64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Failed> {
        let len = usize::try_from(self.u32()?).map_err(|_| Failed)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Failed)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }

    fn text(&mut self) -> Result<String, Failed> {
        String::from_utf8(self.bytes()?).map_err(|_| Failed)
    }
}

/// The reducer that an invocation names; `None`: a system call.
fn name_of<'a>(body: &'a Body, invocation: &Invocation) -> Option<&'a str> {
    let name = &body.names[usize::from(invocation.name)];
    (!name.is_system()).then_some(name.name.as_str())
}

pub(super) fn check(holds: bool) -> Outcome {
    if holds { Ok(()) } else { Err(Failed) }
}

fn identity(issuer: &str, subject: &str) -> Who {
    Identity::from_claims(issuer, subject).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Called<'a> {
        model: &'a mut Model,
        time: u64,
    }

    impl Called<'_> {
        fn by(&mut self, who: &str, reducer: &str, arguments: &[u8]) -> bool {
            self.time += 1;
            let mut calling = Calling {
                who: who.to_owned(),
                time: IDS_START_US + self.time,
                drawn: 0,
                arguments: Arguments(arguments),
            };
            self.model.reducer(reducer, &mut calling).is_ok()
        }
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn transfer(from: u32, to: u32, amount: i64) -> Vec<u8> {
        [numbers(&[from, to]), amount.to_le_bytes().to_vec()].concat()
    }

    fn text(text: &str) -> Vec<u8> {
        let len = u32::try_from(text.len()).expect("short");
        [&len.to_le_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn reducers_do_what_they_promise() {
        let mut model = Model::default();
        let mut called = Called {
            model: &mut model,
            time: 0,
        };
        assert!(called.by("a", "open_accounts", &numbers(&[3])));
        assert!(called.by("a", "transfer", &transfer(0, 1, 400)));
        assert!(
            !called.by("a", "transfer", &transfer(0, 1, 601)),
            "only 600 are left"
        );
        assert!(
            !called.by("a", "transfer", &transfer(0, 3, 1)),
            "no such account"
        );
        assert!(called.by("a", "take_name", &text("ann")));
        assert!(!called.by("b", "take_name", &text("ann")));
        assert!(called.by("a", "take_name", &text("ann")), "it is her own");
        assert!(called.by("b", "claim", &numbers(&[7])));
        assert!(!called.by("a", "claim", &numbers(&[7])));
        assert!(!called.by("a", "give_back", &numbers(&[7])));
        assert!(called.by("b", "give_back", &numbers(&[7])));
        for (shelf, weight) in [(1, 5), (1, 9), (2, 4), (8, 1)] {
            assert!(called.by("a", "put_note", &numbers(&[shelf, weight])));
        }
        assert!(called.by("a", "move_heaviest", &numbers(&[1])));
        assert!(called.by("a", "count_notes", &numbers(&[2, 3])));
        assert!(called.by("a", "clear_shelves", &numbers(&[0, 7])));
        assert!(
            !called.by("a", "clear_shelves", &numbers(&[0, 7])),
            "nothing is left there"
        );
        assert!(called.by("b", "draw_number", &[]) && called.by("a", "draw_number", &[]));
        assert!(!called.by("a", "no_such_reducer", &[]));
        assert!(!called.by("a", "claim", &[1, 2]), "half a number");

        let shown = model.shown();
        assert_eq!(shown["account"], ["[0,600]", "[1,1400]", "[2,1000]"]);
        assert_eq!(shown["name"], [r#"[["0xa"],"ann"]"#]);
        assert_eq!(shown["number"], [r#"[1,["0xb"]]"#, r#"[2,["0xa"]]"#]);
        assert!(shown["stall"].is_empty() && !shown.contains_key("receipt"));
        assert_eq!(shown["note"].len(), 1);
        assert!(shown["tally"][0].ends_with(",2,3,2,13,4,1]"), "{shown:?}");
    }

    #[test]
    fn generated_ids_follow_time_and_skip_what_is_taken() {
        let mut calling = Calling {
            who: String::new(),
            time: IDS_START_US + 2,
            drawn: 0,
            arguments: Arguments(&[]),
        };
        let taken = BTreeMap::from([(2 * IDS_PER_US, ())]);
        assert_eq!(calling.id(&taken), 2 * IDS_PER_US + 1);
        assert_eq!(calling.id(&taken), 2 * IDS_PER_US + 2);
    }
}
