//! Every call that was ever made, and what its caller was told.

use std::collections::{BTreeMap, BTreeSet};

use sync_protocol::{Entry, EntryId};

use super::{Shown, scrawls};
use crate::workload::{ACCOUNTS, Deed, OPENING_BALANCE};

/// Place of the text in a row of `saying`.
const SAYING_TEXT: usize = 3;
/// Place of the name in rows of `name`.
const NAME: usize = 1;
/// Place of the balance in a row of `account`.
const BALANCE: usize = 1;

/// What callers asked and were told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    said: BTreeMap<String, Told>,
    acknowledged: Vec<Acknowledged>,
    pub(crate) asked: u64,
    pub(crate) refused: u64,
}

/// A call that its caller was told was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// By which peer.
    pub(crate) peer: usize,
    /// In which entry.
    pub(crate) entry: EntryId,
    /// At which place of it.
    pub(crate) index: u16,
    deed: Deed,
}

/// What the caller of a saying knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: it may have happened once, or not.
    Nothing,
    /// Nothing that anybody could hold against the peers: who said it signs second histories, or
    /// it was made up in his name.
    Lies,
}

impl Ledger {
    pub(crate) fn asked(&mut self, deed: &Deed) {
        self.asked += 1;
        match deed {
            Deed::Say(text) | Deed::Type(text) => {
                self.said.insert(text.clone(), Told::Nothing);
            }
            Deed::Mumble(text) => self.forged(text.clone()),
            Deed::Compete => {}
        }
    }

    /// Something that is said in one history of a rogue, or in both, or in an entry made up.
    pub(crate) fn forged(&mut self, text: String) {
        self.said.insert(text, Told::Lies);
    }

    pub(crate) fn confirmed(&mut self, peer: usize, entry: EntryId, index: u16, deed: Deed) {
        self.acknowledged.push(Acknowledged {
            peer,
            entry,
            index,
            deed,
        });
    }

    pub(crate) fn refused(&mut self) {
        self.refused += 1;
    }

    /// How many calls were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// One of these entries that has an acknowledged call.
    pub(crate) fn any_of(
        &self,
        entries: &[Entry],
        excused: impl Fn(usize) -> bool,
    ) -> Option<EntryId> {
        let calls = self.acknowledged.iter().filter(|call| !excused(call.peer));
        let acknowledged: BTreeSet<_> = calls.map(|call| call.entry).collect();
        let mut ids = entries.iter().map(|entry| entry.id);
        ids.find(|id| acknowledged.contains(id))
    }

    /// A peer is gone for ever: what it acknowledged and nobody else has is gone with it.
    pub(crate) fn gone(&mut self, peer: usize, elsewhere: impl Fn(&EntryId) -> bool) {
        self.acknowledged
            .retain(|call| call.peer != peer || elsewhere(&call.entry));
    }

    /// Whether what a peer shows can be, whatever it has heard of so far.
    pub(crate) fn plausible(&self, shown: &Shown) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for text in texts(shown, "saying", SAYING_TEXT)? {
            let Some(told) = self.said.get(&text) else {
                return Err(format!("nobody ever said \"{text}\""));
            };
            if !seen.insert(text.clone()) && *told != Told::Lies {
                return Err(format!("\"{text}\" was said once and is there twice"));
            }
        }
        for typed in scrawls::read(shown)?.chars().map(String::from) {
            if !self.said.contains_key(&typed) {
                return Err(format!("nobody ever typed \"{typed}\""));
            }
            if !seen.insert(typed.clone()) {
                return Err(format!("\"{typed}\" was typed once and is there twice"));
            }
        }
        let mut names = BTreeSet::new();
        for name in texts(shown, "name", NAME)? {
            if !names.insert(name.clone()) {
                return Err(format!("two have the name \"{name}\""));
            }
        }
        let mut sum = 0;
        let accounts = parsed(shown, "account")?;
        for row in &accounts {
            let balance = row.get(BALANCE).and_then(serde_json::Value::as_i64);
            let balance = balance.ok_or_else(|| format!("{row} is no account"))?;
            if balance < 0 {
                return Err(format!("an account holds {balance}"));
            }
            sum += balance;
        }
        let whole = i64::try_from(ACCOUNTS).expect("few") * OPENING_BALANCE;
        let open = accounts.len() as u64;
        if open != 0 && (open != ACCOUNTS || sum != whole) {
            return Err(format!("{open} accounts hold {sum} together, not {whole}"));
        }
        Ok(())
    }

    /// Whether all that was acknowledged is there, each call once. `places` says where an entry
    /// stands in the one order and how many calls it has; what is void by `excused` need not be.
    /// A peer's calls stand in the order in which it acknowledged them, if `in_order`: one whose
    /// clock was hours ahead does not wait for what it wrote then.
    pub(crate) fn complete(
        &self,
        places: &BTreeMap<EntryId, (usize, u16)>,
        excused: impl Fn(usize) -> bool,
        in_order: bool,
    ) -> Result<(), String> {
        let mut last: BTreeMap<usize, (usize, u16)> = BTreeMap::new();
        for call in self.acknowledged.iter().filter(|call| !excused(call.peer)) {
            let Some((place, calls)) = places.get(&call.entry) else {
                return Err(format!(
                    "peer {} acknowledged {:?}, and entry {} with it is lost",
                    call.peer, call.deed, call.entry
                ));
            };
            if call.index >= *calls {
                return Err(format!("entry {} has only {calls} calls", call.entry));
            }
            let here = (*place, call.index);
            let before = last.insert(call.peer, here);
            if let Some(before) = before.filter(|before| in_order && *before >= here) {
                return Err(format!(
                    "peer {} acknowledged {:?} after the call at {before:?}, it stands at {here:?}",
                    call.peer, call.deed
                ));
            }
        }
        Ok(())
    }

    /// Whether every saying that was acknowledged can be read, and every keystroke unless some calls are void:
    /// what was typed behind a void change is void with it.
    pub(crate) fn readable(
        &self,
        shown: &Shown,
        excused: impl Fn(usize) -> bool,
        nothing_is_void: bool,
    ) -> Result<(), String> {
        let typed: BTreeSet<String> = match nothing_is_void {
            true => scrawls::read(shown)?.chars().map(String::from).collect(),
            false => BTreeSet::new(),
        };
        let here: BTreeSet<_> = texts(shown, "saying", SAYING_TEXT)?.into_iter().collect();
        let calls = self.acknowledged.iter().filter(|call| !excused(call.peer));
        for call in calls {
            let is_lost = match &call.deed {
                Deed::Say(text) => !here.contains(text),
                Deed::Type(text) => nothing_is_void && !typed.contains(text),
                Deed::Mumble(_) | Deed::Compete => false,
            };
            if is_lost {
                return Err(format!("{:?} was acknowledged and is lost", call.deed));
            }
        }
        Ok(())
    }
}

fn parsed(shown: &Shown, table: &str) -> Result<Vec<serde_json::Value>, String> {
    let rows = shown.get(table).map_or(&[][..], Vec::as_slice);
    let parse = |row: &String| {
        serde_json::from_str(row).map_err(|error| format!("{row} of {table} is no row: {error}"))
    };
    rows.iter().map(parse).collect()
}

fn texts(shown: &Shown, table: &str, place: usize) -> Result<Vec<String>, String> {
    let text = |row: serde_json::Value| {
        let text = row.get(place).and_then(serde_json::Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| format!("{row} is no row of {table}"))
    };
    parsed(shown, table)?.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::pages::first;
    use automerge::ReadDoc as _;
    use automerge::transaction::Transactable as _;

    fn shown(sayings: &[&str], balances: &[i64]) -> Shown {
        let saying = |text: &&str| format!(r#"[1,["0x00"],[5],"{text}"]"#);
        let account = |balance: &i64| format!("[0,{balance}]");
        BTreeMap::from([
            ("saying", sayings.iter().map(saying).collect()),
            ("account", balances.iter().map(account).collect()),
            ("name", vec![r#"[["0x00"],"ann"]"#.to_owned()]),
        ])
    }

    fn say(text: &str) -> Deed {
        Deed::Say(text.to_owned())
    }

    /// A document in which somebody typed this, as a peer shows it.
    fn typed(text: &str) -> Shown {
        let mut document = automerge::AutoCommit::new();
        let begun = document.apply_changes([first()]);
        begun.expect("it builds on nothing");
        let found = document.get(automerge::ROOT, "text").expect("readable");
        let (_, object) = found.expect("the first change makes it");
        document.splice_text(&object, 0, 0, text).expect("a place");
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let row = |change: &automerge::Change| format!(r#"["", "{}"]"#, hex(change.raw_bytes()));
        let mut shown = shown(&[], &FAIR);
        let rows = document.get_changes(&[]).iter().map(row).collect();
        shown.insert("scrawl", rows);
        shown
    }

    #[test]
    fn keystrokes_are_there_once_and_were_typed() {
        let mut ledger = ledger();
        ledger.asked(&Deed::Type("a".to_owned()));
        ledger.confirmed(0, EntryId([3; 32]), 0, Deed::Type("a".to_owned()));
        let readable = |text: &str, nothing_is_void| {
            let mut shown = typed(text);
            shown.insert("saying", vec![r#"[1,["0x00"],[5],"one"]"#.to_owned()]);
            ledger.readable(&shown, |_| false, nothing_is_void)
        };
        assert_eq!(ledger.plausible(&typed("a")), Ok(()));
        assert!(ledger.plausible(&typed("b")).is_err(), "nobody typed it");
        assert!(ledger.plausible(&typed("aa")).is_err(), "twice");
        assert_eq!(readable("a", true), Ok(()));
        assert!(readable("", true).is_err(), "acknowledged and lost");
        assert_eq!(readable("", false), Ok(()), "it may be void");
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for text in ["one", "two"] {
            ledger.asked(&say(text));
        }
        ledger.confirmed(0, EntryId([1; 32]), 0, say("one"));
        ledger
    }

    const FAIR: [i64; 5] = [0, 2_000, 1_000, 1_500, 500];

    #[test]
    fn what_can_be_passes() {
        for sayings in [&[][..], &["one"], &["two", "one"]] {
            assert_eq!(ledger().plausible(&shown(sayings, &FAIR)), Ok(()));
        }
        assert_eq!(ledger().plausible(&shown(&[], &[])), Ok(()));
        let none = |_| false;
        assert_eq!(
            ledger().readable(&shown(&["one"], &FAIR), none, true),
            Ok(())
        );
        assert!(
            ledger()
                .readable(&shown(&["two"], &FAIR), none, true)
                .is_err()
        );
        assert_eq!(
            ledger().readable(&shown(&[], &FAIR), |_| true, true),
            Ok(())
        );
    }

    #[test]
    fn what_cannot_be_is_noticed() {
        let wrong = |shown: Shown| assert!(ledger().plausible(&shown).is_err(), "{shown:?}");
        wrong(shown(&["one", "one"], &FAIR));
        wrong(shown(&["three"], &FAIR));
        let mut lied = ledger();
        lied.forged("three".to_owned());
        assert_eq!(lied.plausible(&shown(&["three", "three"], &FAIR)), Ok(()));
        wrong(shown(&[], &[1_000; 4]));
        wrong(shown(&[], &[1_000, 1_000, 1_000, 1_000, 1_001]));
        wrong(shown(&[], &[-1, 2_001, 1_000, 1_000, 1_000]));
        let mut names = shown(&[], &FAIR);
        let twin = r#"[["0x01"],"ann"]"#.to_owned();
        names.entry("name").or_default().push(twin);
        wrong(names);
        let mut nonsense = shown(&[], &FAIR);
        nonsense
            .entry("name")
            .or_default()
            .push("no row".to_owned());
        wrong(nonsense);
    }

    #[test]
    fn acknowledged_calls_are_there_once_and_in_order() {
        let mut ledger = ledger();
        ledger.confirmed(0, EntryId([2; 32]), 1, say("two"));
        let places = |first: usize, second: usize| {
            BTreeMap::from([
                (EntryId([1; 32]), (first, 1)),
                (EntryId([2; 32]), (second, 2)),
            ])
        };
        let none = |_| false;
        assert_eq!(ledger.complete(&places(3, 4), none, true), Ok(()));
        assert!(
            ledger.complete(&places(4, 3), none, true).is_err(),
            "out of order"
        );
        assert_eq!(ledger.complete(&places(4, 3), none, false), Ok(()));
        let mut lost = places(3, 4);
        lost.remove(&EntryId([2; 32]));
        assert!(ledger.complete(&lost, none, true).is_err());
        assert_eq!(ledger.complete(&lost, |peer| peer == 0, true), Ok(()));
        ledger.gone(0, |entry| *entry == EntryId([1; 32]));
        assert_eq!(
            ledger.complete(&lost, none, true),
            Ok(()),
            "gone with its peer"
        );
    }
}
