//! Databases come and go: publish, delete, and their local names.

use sync_protocol::{DatabaseId, DeviceKey, Now};

use super::Answer;
use crate::birth::{self, Publication};
use crate::core::Core;
use crate::effect::Effect;
use crate::error::refuse;
use crate::reply::{ErrorKind, Published, Reply, RequestError};
use crate::restart::{NAME_NOTE, NAMES_BETWEEN};

/// Bytes of a database's local name.
const NAME_BYTES_MAX: usize = 64;

/// Local names of a database.
const NAMES_MAX: usize = 16;

impl Core {
    pub(super) fn publish(
        &mut self,
        now: Now,
        name: &str,
        wasm: &[u8],
        sequential_auto_inc: bool,
        dice: [u8; 32],
    ) -> Result<Answer, RequestError> {
        check_name(name)?;
        let modules = self.parts.modules.clone();
        let publication = Publication {
            name,
            wasm,
            sequential_auto_inc,
            dice,
            epoch: self.parts.epoch,
        };
        let (replica, recovery) =
            birth::publish(&modules, &publication, &mut self.parts.context(now))?;
        let published = Published {
            database: replica.id,
            name: name.to_owned(),
            created: true,
            recovery_key: Some(data_hex(&recovery.to_bytes())),
            upgraded: None,
        };
        let id = replica.id;
        self.replicas.insert(id, replica);
        self.keep_name(now, id);
        for remote in self.parts.links.clone() {
            self.open_link(now, remote, id);
        }
        Ok(Answer::Now(Reply::Published(published)))
    }

    /// Gives a database another name.
    pub(super) fn add_name(
        &mut self,
        now: Now,
        database: &str,
        name: String,
    ) -> Result<Reply, RequestError> {
        let replica = self.find(database)?;
        let mut names: Vec<String> = replica.names().cloned().collect();
        if !names.contains(&name) {
            names.push(name);
        }
        self.set_names(now, database, names)
    }

    /// Replaces the names of a database.
    pub(super) fn set_names(
        &mut self,
        now: Now,
        database: &str,
        names: Vec<String>,
    ) -> Result<Reply, RequestError> {
        let id = self.find_id(database)?;
        if names.is_empty() || names.len() > NAMES_MAX {
            let text = format!("a database has at least one name, and at most {NAMES_MAX}");
            return Err(refuse(ErrorKind::BadRequest, text));
        }
        for (at, name) in names.iter().enumerate() {
            check_name(name)?;
            if names[..at].contains(name) {
                let text = format!("`{name}` is named twice");
                return Err(refuse(ErrorKind::BadRequest, text));
            }
            if self.is_named(name, Some(id)) {
                let text = format!("another database of this peer is called `{name}`");
                return Err(refuse(ErrorKind::NotOwner, text));
            }
        }
        let mut names = names.into_iter();
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.name = names.next().unwrap_or_default();
            replica.aliases = names.collect();
        }
        self.keep_name(now, id);
        Ok(Reply::Done)
    }

    /// Whether a database other than `but` has this name.
    fn is_named(&self, name: &str, but: Option<DatabaseId>) -> bool {
        let others = self.replicas.values().filter(|other| Some(other.id) != but);
        others.flat_map(|other| other.names()).any(|it| it == name)
    }

    pub(super) fn delete(&mut self, database: &str) -> Result<Reply, RequestError> {
        let id = self.find_id(database)?;
        if let Some(mut replica) = self.replicas.remove(&id) {
            replica.fail_waiting("the database was deleted", &mut self.parts.effects);
        }
        self.joins.remove(&id);
        self.parts.disk.remove(&id)?;
        self.parts.effects.push(Effect::Deleted { database: id });
        Ok(Reply::Done)
    }

    /// `wanted`, or `wanted-2`, `-3`…: names are local, and a joined database brings a suggestion.
    pub(crate) fn free_name(&self, wanted: &str) -> String {
        let wanted = if check_name(wanted).is_ok() {
            wanted
        } else {
            "joined"
        };
        let taken = |name: &str| self.is_named(name, None);
        if !taken(wanted) {
            return wanted.to_owned();
        }
        (2..)
            .map(|number| format!("{wanted}-{number}"))
            .find(|name| !taken(name))
            .unwrap_or_else(|| unreachable!("there are more numbers than databases"))
    }

    /// Writes the local names where the next start finds it.
    pub(crate) fn keep_name(&mut self, now: Now, id: DatabaseId) {
        self.with(id, now, |replica, _| {
            let names: Vec<&str> = replica.names().map(String::as_str).collect();
            let note = names.join(&NAMES_BETWEEN.to_string());
            Ok(replica.log.put_note(NAME_NOTE, note.as_bytes())?)
        });
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), RequestError> {
    let sound = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
        && name.parse::<DeviceKey>().is_err();
    if sound {
        return Ok(());
    }
    Err(refuse(
        ErrorKind::BadRequest,
        format!(
            "`{name}` is no database name: use 1 to {NAME_BYTES_MAX} lower-case letters, digits, `-` and `_`"
        ),
    ))
}

fn data_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
