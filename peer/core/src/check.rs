//! Looks at a database that nobody runs: its log, its module, its base, and whether they fit each
//! other. Changes nothing. A base can be built anew from the log, somewhere else.

use store::{
    BaseElsewhere, BaseFacts, Checked, Disk, LogFacts, Progress, StoreError, Stored, check_base,
    check_log,
};
use sync_protocol::{DatabaseId, Hlc, Now, SecretKey};

use crate::conduct::Conduct;
use crate::error::Stop;
use crate::memory::MemoryBudget;
use crate::modules::Modules;
use crate::partials::Partials;
use crate::quotas::Quotas;
use crate::replica::Replay;
use crate::replica::{Context, Health};
use crate::restart::{self, NAME_NOTE};
use crate::upgrade::Ruling;

/// What was found of one database.
#[derive(Debug)]
pub struct DatabaseCheck {
    /// Which.
    pub database: DatabaseId,
    /// Its name on this peer, if that can be read.
    pub name: Option<String>,
    /// The log, one line a check.
    pub log: Vec<Checked>,
    /// The module and the base, one line a check; without a sound log there is nothing to hold
    /// them against.
    pub base: Vec<Checked>,
    /// Whether its module is here and can be run, as far as that was looked at.
    pub module_is_sound: bool,
    /// Height of the last cut in the log.
    pub height: Option<u64>,
}

impl DatabaseCheck {
    /// Whether the log is sound: whatever else is damaged can be made from it.
    #[must_use]
    pub fn log_is_sound(&self) -> bool {
        self.log.iter().all(Checked::is_sound)
    }

    /// Whether the base is sound.
    #[must_use]
    pub fn base_is_sound(&self) -> bool {
        self.base.iter().all(Checked::is_sound)
    }

    /// Whether all is.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.log_is_sound() && self.base_is_sound() && self.module_is_sound
    }
}

/// Looks at one database of `disk`, which is left as it is.
///
/// # Errors
/// If a file cannot be read, which says nothing about what is in it.
pub fn check_database(
    disk: &dyn Disk,
    modules: &Modules,
    database: DatabaseId,
    progress: &mut Progress<'_>,
) -> Result<DatabaseCheck, StoreError> {
    let (log, facts) = check_log(&|| disk.log(&database), &database, NAME_NOTE, progress)?;
    let mut found = DatabaseCheck {
        database,
        name: None,
        log,
        base: Vec::new(),
        module_is_sound: true,
        height: None,
    };
    let Some(facts) = facts else {
        return Ok(found);
    };
    found.height = facts.cuts.last_key_value().map(|(height, _)| *height);
    let Some(genesis) = &facts.genesis else {
        return Ok(found);
    };
    let first = |names: &String| {
        names
            .split(restart::NAMES_BETWEEN)
            .next()
            .map(str::to_owned)
    };
    let noted = facts.name.as_ref().and_then(first);
    found.name = noted.or_else(|| Some(genesis.name.clone()));
    let mut module = Checked::named("module");
    let mut unreadable = Checked::named("rows");
    let mut choose = |stored: &Stored<'_>| {
        match Ruling::of(stored, genesis, None, modules, disk) {
            Ok(ruling) => {
                module.count = 1;
                return Some(ruling.schema);
            }
            Err(Stop::Store(error)) if !is_of_blob(&error) => {
                unreadable.damaged(format!("they cannot be read: {error}"));
            }
            Err(stop) => module.damaged(stop.to_string()),
        }
        None
    };
    let (checks, base) = check_base(&|| disk.base(&database), &mut choose, progress)?;
    found.module_is_sound = module.is_sound();
    found.base.push(module);
    found.base.extend(checks);
    if !unreadable.is_sound() {
        found.base.push(unreadable);
    }
    found
        .base
        .extend(base.map(|base| hold_against_log(&base, &facts)));
    Ok(found)
}

/// Whether it is a blob that is damaged, and not a file of the database.
fn is_of_blob(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { what } if what.starts_with("blob "))
}

/// The base is the state of one of the log's cuts, and its rows are those that were certified.
fn hold_against_log(base: &BaseFacts, log: &LogFacts) -> Checked {
    let mut checked = Checked::named("state root");
    // Before the first cut there is no state to certify.
    let Some(height) = base.height else {
        return checked;
    };
    checked.count = 1;
    match log.cuts.get(&height) {
        None => checked.damaged(format!(
            "the base is the state of cut {height}, which the log does not hold"
        )),
        Some(cut) if cut.state_root != base.root => checked.damaged(format!(
            "cut {height} certifies {}, the rows here give {}",
            cut.state_root, base.root
        )),
        Some(_) => {}
    }
    checked
}

/// Runs the whole history of a database again, from its genesis, and compares the state root of
/// every cut. Its base is built on `bases` on the way and closed when this returns; the files of
/// `disk` stay as they are. Answers the height that was reached.
///
/// # Errors
/// What is wrong, in words for a person.
pub fn replay(
    disk: Box<dyn Disk>,
    bases: Box<dyn Disk>,
    modules: &Modules,
    database: DatabaseId,
    now: Now,
) -> Result<u64, String> {
    let disk = BaseElsewhere { disk, bases };
    // Nobody's key: nothing is to be written in anybody's name.
    let key = SecretKey::from_bytes(&[0; 32]);
    let mut effects = Vec::new();
    let mut conduct = Conduct::default();
    let memory = MemoryBudget::default();
    let mut ctx = Context {
        engine_max: module_host::ENGINE,
        // The history runs once, from its beginning.
        replay: Replay::Suffix,
        now,
        mesh: Hlc(now.wall),
        own_wall: now.wall,
        device: key.public(),
        key: &key,
        disk: &disk,
        partials: &mut Partials::default(),
        modules,
        memory,
        quotas: Quotas {
            // All of it runs, however long that takes.
            start_units: u64::MAX,
            ..Quotas::default()
        },
        caches: memory.share(1),
        conduct: &mut conduct,
        is_short_of_room: false,
        effects: &mut effects,
    };
    match restart::open(database, 0, &mut ctx) {
        Ok(Some(replica)) => match replica.health {
            Health::Diverged(why) | Health::Stopped(why) => Err(why),
            Health::Ok | Health::Forked(_) | Health::BehindEngine(_) => Ok(replica.cut.height),
        },
        Ok(None) => Err("the log holds no cut, so there is no state".to_owned()),
        Err(stop) => Err(stop.to_string()),
    }
}
