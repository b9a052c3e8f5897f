//! Databases come and go: publish, delete, and their local names.

use sync_protocol::{DatabaseId, DeviceKey, Now};

use super::Answer;
use crate::birth::{self, Publication};
use crate::core::Core;
use crate::effect::Effect;
use crate::error::refuse;
use crate::reply::{ErrorKind, Published, Reply, RequestError};
use crate::restart::NAME_NOTE;

/// Bytes of a database's local name.
const NAME_BYTES_MAX: usize = 64;

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
        let taken = |name: &str| self.replicas.values().any(|replica| replica.name == name);
        if !taken(wanted) {
            return wanted.to_owned();
        }
        (2..)
            .map(|number| format!("{wanted}-{number}"))
            .find(|name| !taken(name))
            .unwrap_or_else(|| unreachable!("there are more numbers than databases"))
    }

    /// Writes the local name where the next start finds it.
    pub(crate) fn keep_name(&mut self, now: Now, id: DatabaseId) {
        self.with(id, now, |replica, _| {
            let name = replica.name.clone();
            Ok(replica.log.put_note(NAME_NOTE, name.as_bytes())?)
        });
    }
}

fn check_name(name: &str) -> Result<(), RequestError> {
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
