//! The log: entries that are what their ids say, signed, with all that they build on; cuts that
//! follow each other, certified; and the tables that say which entry is where.

use std::collections::BTreeMap;

use redb::{ReadableTable, ReadableTableMetadata};
use sync_protocol::{
    Cut, CutId, DatabaseId, DeviceKey, Entry, EntryId, Genesis, POSITION_BYTES, Position,
    SystemCall, order_root,
};

use super::{Checked, PROGRESS_EVERY, Progress, check_pages};
use crate::error::StoreError;
use crate::limits::LOG_CACHE_BYTES;
use crate::log::{Log, LogFiles, encode_final, final_entry, split_cut};

/// What a log that could be read says.
#[derive(Debug)]
pub struct LogFacts {
    /// The first entry's call.
    pub genesis: Option<Genesis>,
    /// Every cut that could be read, by height.
    pub cuts: BTreeMap<u64, Cut>,
    /// The local name, as noted.
    pub name: Option<String>,
}

/// Looks at a log file. What was found is in the list, one line a check, the worst in words; the
/// facts are there if the file could be opened at all.
///
/// # Errors
/// If the file cannot be read.
pub fn check_log(
    open: &dyn Fn() -> Result<LogFiles, StoreError>,
    database: &DatabaseId,
    name_note: &str,
    progress: &mut Progress<'_>,
) -> Result<(Vec<Checked>, Option<LogFacts>), StoreError> {
    let pages = check_pages("pages of the log", "log.redb", open()?.tables)?;
    let log = match Log::open(open()?, LOG_CACHE_BYTES) {
        Ok(log) => log,
        Err(error) => return Ok((vec![failed(pages, &error)], None)),
    };
    let mut walk = Walk {
        log: &log,
        database: *database,
        entries: Checked::new("entries of the log"),
        cuts: Checked::new("cuts"),
        order: Checked::new("entries that are final"),
        tail: Checked::new("entries of the tail"),
        facts: LogFacts {
            genesis: None,
            cuts: BTreeMap::new(),
            name: None,
        },
    };
    let walked = walk.all(name_note, progress);
    let Walk {
        mut entries,
        cuts,
        order,
        tail,
        facts,
        ..
    } = walk;
    if let Err(error) = walked {
        entries.found(|| format!("it cannot be read to its end: {error}"));
    }
    Ok((vec![pages, entries, cuts, order, tail], Some(facts)))
}

fn failed(mut pages: Checked, error: &StoreError) -> Checked {
    pages.unopened(error);
    pages
}

struct Walk<'a> {
    log: &'a Log,
    database: DatabaseId,
    entries: Checked,
    cuts: Checked,
    order: Checked,
    tail: Checked,
    facts: LogFacts,
}

impl Walk<'_> {
    fn all(&mut self, name_note: &str, progress: &mut Progress<'_>) -> Result<(), StoreError> {
        let name = self.log.note(name_note)?;
        self.facts.name = name.and_then(|name| String::from_utf8(name).ok());
        self.walk_entries(progress)?;
        self.walk_cuts()?;
        self.walk_order(progress)?;
        self.walk_tail()
    }

    fn walk_entries(&mut self, progress: &mut Progress<'_>) -> Result<(), StoreError> {
        let readers = self.log.merged()?;
        let total = readers.entries.len()?;
        for item in readers.entries.iter()? {
            let (id, bytes) = item?;
            let id = EntryId(id.value());
            let found = &mut self.entries;
            found.count += 1;
            if found.count.is_multiple_of(PROGRESS_EVERY) {
                progress("entries", found.count, total);
            }
            let entry = match Entry::open(bytes.value()) {
                Ok(entry) => entry,
                Err(error) => {
                    found.found(|| format!("entry {id}: {error}"));
                    continue;
                }
            };
            found.expect(entry.id == id, || {
                format!("entry {id}: it is another one, {}", entry.id)
            });
            found.expect(entry.database() == self.database, || {
                format!("entry {id}: it is of another database")
            });
            if let Err(error) = entry.verify() {
                found.found(|| format!("entry {id}: {error}"));
            }
            for parent in &entry.header.parents {
                if readers.entries.get(parent.0)?.is_none() {
                    found.found(|| format!("entry {id}: its parent {parent} is missing"));
                }
            }
            let position = entry.position(0).to_bytes();
            let in_tail = readers.tail.get(position)?.is_some();
            let is_final = readers.finals.get(id.0)?.is_some();
            found.expect(in_tail != is_final, || {
                let both = if in_tail {
                    "final and in the tail"
                } else {
                    "nowhere"
                };
                format!("entry {id}: it is {both} in the order")
            });
            if EntryId::from(self.database) == id {
                self.facts.genesis = entry.system_calls().find_map(|(_, call)| match call {
                    SystemCall::Genesis(genesis) => Some(genesis),
                    _ => None,
                });
            }
        }
        let has_genesis = self.facts.genesis.is_some();
        self.entries.expect(has_genesis || total == 0, || {
            "there is no genesis".to_owned()
        });
        Ok(())
    }

    fn walk_cuts(&mut self) -> Result<(), StoreError> {
        let readers = self.log.merged()?;
        let mut before: Option<(CutId, Vec<DeviceKey>)> = self
            .facts
            .genesis
            .as_ref()
            .map(|genesis| (CutId::ZERO, genesis.finalisers.clone()));
        let recovery = self
            .facts
            .genesis
            .as_ref()
            .map(|genesis| genesis.recovery_keys.clone())
            .unwrap_or_default();
        for item in readers.cuts.iter()? {
            let (height, stored) = item?;
            let height = height.value();
            let found = &mut self.cuts;
            found.expect(height == found.count, || {
                format!("cut {height}: the one before it is missing")
            });
            found.count += 1;
            let cut = split_cut(stored.value())
                .map_err(|error| error.to_string())
                .and_then(|(id, bytes)| {
                    let cut = Cut::open(bytes).map_err(|error| error.to_string())?;
                    match cut.id() == id {
                        true => Ok(cut),
                        false => Err("it is stored under another id".to_owned()),
                    }
                });
            let cut = match cut {
                Ok(cut) => cut,
                Err(why) => {
                    found.found(|| format!("cut {height}: {why}"));
                    before = None;
                    continue;
                }
            };
            found.expect(
                cut.height == height && cut.database == self.database,
                || format!("cut {height}: it is of another height or database"),
            );
            if let Some((parent, finalisers)) = &before {
                found.expect(cut.parent == *parent, || {
                    format!("cut {height}: it does not follow the one before it")
                });
                if let Err(error) = cut.verify(finalisers) {
                    let by_recovery = recovery.iter().any(|key| cut.verify(&[*key]).is_ok());
                    found.expect(by_recovery, || error.to_string());
                }
            }
            for head in &cut.frontier {
                let known = readers.finals.get(head.0)?.is_some();
                found.expect(known, || {
                    format!("cut {height}: its head {head} is not final")
                });
            }
            before = Some((cut.id(), cut.finalisers.clone()));
            self.facts.cuts.insert(height, cut);
        }
        Ok(())
    }

    fn walk_order(&mut self, progress: &mut Progress<'_>) -> Result<(), StoreError> {
        let readers = self.log.merged()?;
        let total = readers.order.len()?;
        let mut segment: Vec<EntryId> = Vec::new();
        let mut at: Option<u64> = None;
        let mut last: Option<Position> = None;
        for item in readers.order.iter()? {
            let (place, id) = item?;
            let ((height, ordinal), id) = (place.value(), EntryId(id.value()));
            if at != Some(height) {
                self.close_segment(at, &segment);
                (at, last) = (Some(height), None);
                segment.clear();
            }
            let found = &mut self.order;
            found.count += 1;
            if found.count.is_multiple_of(PROGRESS_EVERY) {
                progress("order", found.count, total);
            }
            found.expect(ordinal as usize == segment.len(), || {
                format!(
                    "cut {height}: place {ordinal} follows place {}",
                    segment.len()
                )
            });
            segment.push(id);
            let stored = readers.entries.get(id.0)?;
            let Some(entry) = stored.and_then(|bytes| Entry::open(bytes.value()).ok()) else {
                found.found(|| format!("cut {height}: its entry {id} is missing or damaged"));
                continue;
            };
            let position = entry.position(0);
            found.expect(last.is_none_or(|last| last < position), || {
                format!("cut {height}: entry {id} is out of order")
            });
            last = Some(position);
            let expected = encode_final(&final_entry(&entry, height));
            let kept = readers.finals.get(id.0)?.map(|kept| kept.value());
            found.expect(kept == Some(expected), || {
                format!("entry {id}: what is kept of it is not what it says")
            });
        }
        self.close_segment(at, &segment);
        let (finals, order) = (readers.finals.len()?, self.order.count);
        self.order.expect(finals == order, || {
            format!("{finals} entries are known as final, {order} have a place")
        });
        Ok(())
    }

    /// Compares a segment with what its cut says of it.
    fn close_segment(&mut self, height: Option<u64>, segment: &[EntryId]) {
        let Some(height) = height else {
            return;
        };
        match self.facts.cuts.get(&height) {
            Some(cut) => self
                .order
                .expect(cut.order_root == order_root(segment), || {
                    format!("cut {height}: its entries are not those that it covers")
                }),
            None => self
                .order
                .found(|| format!("cut {height}: it has entries but is missing")),
        }
    }

    fn walk_tail(&mut self) -> Result<(), StoreError> {
        let readers = self.log.merged()?;
        for item in readers.tail.iter()? {
            let position: [u8; POSITION_BYTES] = item?.0.value();
            let position = Position::from_bytes(&position);
            let found = &mut self.tail;
            found.count += 1;
            let stored = readers.entries.get(position.entry.0)?;
            let entry = stored.and_then(|bytes| Entry::open(bytes.value()).ok());
            found.expect(
                entry.is_some_and(|entry| entry.position(0) == position),
                || format!("entry {}: it is missing or elsewhere", position.entry),
            );
        }
        Ok(())
    }
}
