//! The judge. It stands outside: it knows what clients asked, what they were told, and what they can
//! read, and shares no code with what it judges.

use std::collections::{BTreeMap, BTreeSet};

use crate::workload::{ACCOUNTS, Deed, OPENING_BALANCE};

/// The tables of the module, as anybody may read them.
pub(crate) const TABLES: [&str; 4] = ["user", "room", "message", "account"];

/// Place of the text in a row of `message`.
const MESSAGE_TEXT: usize = 4;
/// Place of the name in rows of `user` and `room`.
const NAME: usize = 1;
/// Place of the balance in a row of `account`.
const BALANCE: usize = 1;

/// What one peer shows: rows as JSON arrays, by table, sorted.
pub(crate) type Shown = BTreeMap<&'static str, Vec<serde_json::Value>>;

/// Every call that was ever made, and what its caller was told.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    said: BTreeMap<String, Told>,
    pub(crate) asked: u64,
    pub(crate) confirmed: u64,
    pub(crate) refused: u64,
}

/// What the caller of a saying knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: it may have happened once, or not.
    Nothing,
    /// It happened.
    Done,
    /// Nothing that anybody could hold against the peers: until a rogue is reported, both of its
    /// histories count.
    Lies,
}

impl Ledger {
    pub(crate) fn asked(&mut self, deed: &Deed) {
        self.asked += 1;
        match deed {
            Deed::Say(text) => {
                self.said.insert(text.clone(), Told::Nothing);
            }
            Deed::Mumble(text) => self.forged(text.clone()),
            Deed::Compete => {}
        }
    }

    /// Something that is said in one history of a rogue, or in both.
    pub(crate) fn forged(&mut self, text: String) {
        self.said.insert(text, Told::Lies);
    }

    pub(crate) fn confirmed(&mut self, deed: &Deed) {
        self.confirmed += 1;
        if let Deed::Say(text) = deed {
            self.said.insert(text.clone(), Told::Done);
        }
    }

    pub(crate) fn refused(&mut self) {
        self.refused += 1;
    }

    /// Whether what a peer shows can be, whatever it has heard of so far.
    pub(crate) fn plausible(&self, shown: &Shown) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for text in texts(shown, "message", MESSAGE_TEXT)? {
            let Some(told) = self.said.get(&text) else {
                return Err(format!("nobody ever said \"{text}\""));
            };
            if !seen.insert(text.clone()) && *told != Told::Lies {
                return Err(format!("\"{text}\" was said once and is there twice"));
            }
        }
        for table in ["user", "room"] {
            let mut names = BTreeSet::new();
            for name in texts(shown, table, NAME)? {
                if !names.insert(name.clone()) {
                    return Err(format!("two rows of {table} have the name \"{name}\""));
                }
            }
        }
        let mut sum = 0;
        for row in rows(shown, "account") {
            let balance = field(row, BALANCE).and_then(serde_json::Value::as_i64);
            let balance = balance.ok_or_else(|| format!("{row} is no account"))?;
            if balance < 0 {
                return Err(format!("an account holds {balance}"));
            }
            sum += balance;
        }
        let accounts = rows(shown, "account").len() as u64;
        let whole = i64::try_from(ACCOUNTS).expect("few") * OPENING_BALANCE;
        if accounts != 0 && (accounts != ACCOUNTS || sum != whole) {
            return Err(format!(
                "{accounts} accounts hold {sum} together, not {whole}"
            ));
        }
        Ok(())
    }

    /// Whether all that was confirmed is there.
    pub(crate) fn complete(&self, shown: &Shown) -> Result<(), String> {
        let here: BTreeSet<_> = texts(shown, "message", MESSAGE_TEXT)?.into_iter().collect();
        let confirmed = self.said.iter().filter(|(_, told)| **told == Told::Done);
        match confirmed
            .map(|(text, _)| text)
            .find(|text| !here.contains(*text))
        {
            Some(text) => Err(format!("\"{text}\" was confirmed and is lost")),
            None => Ok(()),
        }
    }
}

fn rows<'a>(shown: &'a Shown, table: &str) -> &'a [serde_json::Value] {
    shown.get(table).map_or(&[], Vec::as_slice)
}

fn field(row: &serde_json::Value, place: usize) -> Option<&serde_json::Value> {
    row.as_array()?.get(place)
}

fn texts(shown: &Shown, table: &str, place: usize) -> Result<Vec<String>, String> {
    let text = |row| {
        let text = field(row, place).and_then(serde_json::Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| format!("{row} is no row of {table}"))
    };
    rows(shown, table).iter().map(text).collect()
}

/// The cuts that were ever seen: one a height, and no peer goes back.
#[derive(Debug, Default)]
pub(crate) struct CutWatch {
    seen: BTreeMap<u64, (String, String)>,
    highest: BTreeMap<usize, u64>,
}

impl CutWatch {
    pub(crate) fn see(
        &mut self,
        peer: usize,
        height: u64,
        id: String,
        state_root: String,
    ) -> Result<(), String> {
        let known = self
            .seen
            .entry(height)
            .or_insert((id.clone(), state_root.clone()));
        if *known != (id, state_root) {
            return Err(format!("two unlike cuts at height {height}"));
        }
        let before = self.highest.insert(peer, height);
        match before.filter(|before| *before > height) {
            Some(before) => Err(format!(
                "peer {peer} went back from cut {before} to cut {height}"
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest.values().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(messages: &[&str], balances: &[i64]) -> Shown {
        let message = |text: &&str| json!([1, 1, ["0x00"], [5], text]);
        let account = |balance: &i64| json!([0, balance]);
        BTreeMap::from([
            ("message", messages.iter().map(message).collect()),
            ("account", balances.iter().map(account).collect()),
            ("user", vec![json!([["0x00"], "ann", 0])]),
            ("room", vec![json!([1, "lobby", ["0x00"]])]),
        ])
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for text in ["one", "two"] {
            ledger.asked(&Deed::Say(text.to_owned()));
        }
        ledger.confirmed(&Deed::Say("one".to_owned()));
        ledger
    }

    const FAIR: [i64; 5] = [0, 2_000, 1_000, 1_500, 500];

    #[test]
    fn what_can_be_passes() {
        for messages in [&[][..], &["one"], &["two", "one"]] {
            assert_eq!(ledger().plausible(&shown(messages, &FAIR)), Ok(()));
        }
        assert_eq!(ledger().plausible(&shown(&[], &[])), Ok(()));
        assert_eq!(ledger().complete(&shown(&["one"], &FAIR)), Ok(()));
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
        let twin = json!([["0x01"], "ann", 0]);
        names.entry("user").or_default().push(twin);
        wrong(names);
        let mut nonsense = shown(&[], &FAIR);
        nonsense.entry("room").or_default().push(json!("no row"));
        wrong(nonsense);
        assert!(ledger().complete(&shown(&["two"], &FAIR)).is_err());
    }

    #[test]
    fn cuts_are_one_a_height_and_never_go_back() {
        let mut watch = CutWatch::default();
        let mut see = |peer, height, id: &str| {
            watch.see(peer, height, id.to_owned(), format!("root of {id}"))
        };
        assert_eq!(see(0, 1, "a"), Ok(()));
        assert_eq!(see(1, 1, "a"), Ok(()));
        assert_eq!(see(0, 2, "b"), Ok(()));
        assert!(see(1, 2, "c").is_err(), "forked");
        assert!(see(0, 1, "a").is_err(), "went back");
    }
}
