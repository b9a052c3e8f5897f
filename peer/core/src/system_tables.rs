//! The replicated tables that only system calls write: members, tickets, clients, the module, and
//! the final history of rights. They are rows like any other, so they are ordered, rolled back,
//! settled and hashed like any other. Modules cannot see them, but for the roles; the owner can, by
//! SQL.

use module_host::{ROLE, ROLE_IDENTITY};
use spacetimedb_sats::AlgebraicType;
use store::{
    Column, DataError, IndexId, IndexKind, IndexSchema, Range, ReadMark, Row, TableId, TableSchema,
    Transaction,
};
use sync_protocol::{ConnectionId, DeviceKey, Hlc, Rights, Role, RoleChange, TicketRight};

use crate::identity::Claims;
use crate::status::role_word;

/// `sys_member(device, role)`.
pub(crate) const MEMBER: TableId = TableId(1);
/// `sys_ticket(ticket, role, uses_left, expires)`.
pub(crate) const TICKET: TableId = TableId(2);
/// `sys_equivocation(author)`.
pub(crate) const EQUIVOCATION: TableId = TableId(3);
/// `sys_client(connection, identity, author)`.
pub(crate) const CLIENT: TableId = TableId(4);
/// `sys_right(kind, key, height, role, expires)`: written at cuts only, so that a right can be
/// judged at the height an entry names. Nothing in the tail ever reads it.
pub(crate) const RIGHT: TableId = TableId(6);

/// `sys_schedule(slot, due, set_at, author)`: when rows of tables with a schedule are due.
pub(crate) const SCHEDULE: TableId = TableId(10);
/// The index over when they are due.
pub(crate) const SCHEDULE_DUE: IndexId = IndexId(64);

/// No role: the right ended at that height.
const ROLE_NONE: u8 = u8::MAX;

/// Kinds of rows in `sys_right`.
const KIND_MEMBER: u8 = 0;
const KIND_TICKET: u8 = 1;
const KIND_FROZEN: u8 = 2;

pub(crate) fn table(
    id: TableId,
    name: &str,
    columns: &[(&str, AlgebraicType)],
    keyed: bool,
) -> TableSchema {
    let indexes = if keyed {
        vec![IndexSchema {
            id: IndexId(id.0),
            name: format!("{name}_{}_idx_btree", columns[0].0),
            source_name: format!("{name}_{}_idx_btree", columns[0].0),
            columns: vec![0],
            unique: true,
            kind: IndexKind::BTree,
        }]
    } else {
        Vec::new()
    };
    TableSchema {
        id,
        name: name.to_owned(),
        source_name: name.to_owned(),
        columns: columns
            .iter()
            .map(|(name, ty)| Column {
                name: (*name).to_owned(),
                source_name: (*name).to_owned(),
                ty: ty.clone(),
            })
            .collect(),
        primary_key: keyed.then_some(0),
        indexes,
        auto_inc: Vec::new(),
        public: false,
        event: false,
    }
}

/// The schemas of all system tables.
pub(crate) fn schemas() -> Vec<TableSchema> {
    let bytes = AlgebraicType::bytes;
    let mut schemas = vec![
        table(
            MEMBER,
            "sys_member",
            &[("device", bytes()), ("role", AlgebraicType::U8)],
            true,
        ),
        table(
            TICKET,
            "sys_ticket",
            &[
                ("ticket", bytes()),
                ("role", AlgebraicType::U8),
                ("uses_left", AlgebraicType::U32),
                ("expires", AlgebraicType::U64),
            ],
            true,
        ),
        table(
            EQUIVOCATION,
            "sys_equivocation",
            &[("author", bytes())],
            true,
        ),
        table(
            CLIENT,
            "sys_client",
            &[
                ("connection", AlgebraicType::U128),
                ("identity", AlgebraicType::U256),
                ("author", bytes()),
            ],
            true,
        ),
        table(
            RIGHT,
            "sys_right",
            &[
                ("kind", AlgebraicType::U8),
                ("key", bytes()),
                ("height", AlgebraicType::U64),
                ("role", AlgebraicType::U8),
                ("expires", AlgebraicType::U64),
            ],
            false,
        ),
    ];
    schemas.push(module_host::role_schema());
    schemas.push(crate::schedules::schema());
    schemas.extend(crate::upgrade::rows::schemas());
    schemas.extend(crate::issuers::rows::schemas());
    schemas
}

/// Whether a table is one of these, and no module's.
pub(crate) fn is_system(table: TableId) -> bool {
    table.0 < 4_096
}

/// The index over a keyed system table's first column.
pub(crate) fn index_of(table: TableId) -> IndexId {
    IndexId(table.0)
}

/// Writes BSATN fields one after the other.
#[derive(Default)]
pub(crate) struct Fields(pub(crate) Vec<u8>);

impl Fields {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A string or an array of bytes, or none.
    pub(crate) fn option(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.u8(0).bytes(bytes),
            None => self.u8(1),
        }
    }

    /// A string or an array of bytes.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.fixed(&len.to_le_bytes()).fixed(bytes)
    }
}

/// Reads them again. The rows are ours, checked by the store against their types: a short row is a
/// broken belief about our own code.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .expect("system rows have the types of their tables");
        self.0 = rest;
        *head
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    /// A number of four bytes.
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// A number of eight bytes.
    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// A string or an array of bytes.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let len = self.u32() as usize;
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .expect("system rows have the types of their tables");
        self.0 = rest;
        head
    }

    pub(crate) fn key(&mut self) -> [u8; 32] {
        assert_eq!(u32::from_le_bytes(self.take()), 32, "keys have 32 bytes");
        self.take()
    }
}

pub(crate) fn find(tx: &Transaction, table: TableId, key: &[u8]) -> Result<Option<Row>, DataError> {
    Ok(tx
        .scan_range(index_of(table), &Range::point(key))?
        .into_iter()
        .next())
}

fn key_field(key: &[u8; 32]) -> Vec<u8> {
    Fields::default().bytes(key).0
}

/// A role as it stands in a row; the order of the enum, so part of the format.
fn role_code(role: Role) -> u8 {
    match role {
        Role::Owner => 0,
        Role::Admin => 1,
        Role::Gateway => 2,
        Role::Writer => 3,
        Role::Reader => 4,
    }
}

fn role_of(code: u8) -> Option<Role> {
    [
        Role::Owner,
        Role::Admin,
        Role::Gateway,
        Role::Writer,
        Role::Reader,
    ]
    .into_iter()
    .find(|role| role_code(*role) == code)
}

fn member_row(device: &DeviceKey, role: Role) -> Vec<u8> {
    Fields::default().bytes(&device.0).u8(role_code(role)).0
}

/// Whom modules see when the device itself calls.
fn identity(device: &DeviceKey) -> [u8; 32] {
    Claims::of_device(device).identity()
}

fn role_row(device: &DeviceKey, role: Role) -> Vec<u8> {
    let row = Fields::default().fixed(&identity(device));
    row.bytes(role_word(role).as_bytes()).0
}

/// A member's row in a transaction, and the one by which the module knows its role.
pub(crate) struct MemberRow;

impl MemberRow {
    /// The device becomes a member.
    pub(crate) fn insert(
        tx: &mut Transaction,
        device: &DeviceKey,
        role: Role,
    ) -> Result<(), DataError> {
        tx.insert(MEMBER, &member_row(device, role))?;
        tx.insert(ROLE, &role_row(device, role)).map(drop)
    }

    /// Gives a member another role.
    pub(crate) fn put(
        tx: &mut Transaction,
        device: &DeviceKey,
        role: Role,
    ) -> Result<(), DataError> {
        tx.update(MEMBER, index_of(MEMBER), &member_row(device, role))?;
        tx.update(ROLE, ROLE_IDENTITY, &role_row(device, role))
            .map(drop)
    }

    /// The device is no member any more.
    pub(crate) fn delete(tx: &mut Transaction, device: &DeviceKey) -> Result<(), DataError> {
        tx.delete_by_range(index_of(MEMBER), &Range::point(&key_field(&device.0)))?;
        tx.delete_by_range(ROLE_IDENTITY, &Range::point(&identity(device)))
            .map(drop)
    }
}

pub(crate) fn read_member(row: &[u8]) -> (DeviceKey, Option<Role>) {
    let mut reader = Reader(row);
    (DeviceKey(reader.key()), role_of(reader.u8()))
}

/// The role a device holds at the transaction's position.
pub(crate) fn member_role(tx: &Transaction, device: &DeviceKey) -> Result<Option<Role>, DataError> {
    Ok(find(tx, MEMBER, &key_field(&device.0))?.and_then(|row| read_member(&row).1))
}

/// A ticket's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TicketRow {
    pub(crate) ticket: DeviceKey,
    pub(crate) role: Role,
    pub(crate) uses_left: u32,
    pub(crate) expires: Hlc,
}

impl TicketRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        Fields::default()
            .bytes(&self.ticket.0)
            .u8(role_code(self.role))
            .fixed(&self.uses_left.to_le_bytes())
            .fixed(&self.expires.0.to_le_bytes())
            .0
    }

    pub(crate) fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        Self {
            ticket: DeviceKey(reader.key()),
            role: role_of(reader.u8()).unwrap_or(Role::Reader),
            uses_left: u32::from_le_bytes(reader.take()),
            expires: Hlc(u64::from_le_bytes(reader.take())),
        }
    }

    pub(crate) fn find(tx: &Transaction, ticket: &DeviceKey) -> Result<Option<Self>, DataError> {
        Ok(find(tx, TICKET, &key_field(&ticket.0))?.map(|row| Self::read(&row)))
    }

    pub(crate) fn update(&self, tx: &mut Transaction) -> Result<(), DataError> {
        tx.update(TICKET, index_of(TICKET), &self.write()).map(drop)
    }
}

/// The row of a frozen author.
pub(crate) fn equivocation_row(author: &DeviceKey) -> Vec<u8> {
    key_field(&author.0)
}

pub(crate) fn read_equivocation(row: &[u8]) -> DeviceKey {
    DeviceKey(Reader(row).key())
}

/// A connected client's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientRow {
    pub(crate) connection: ConnectionId,
    pub(crate) identity: [u8; 32],
    pub(crate) author: DeviceKey,
}

impl ClientRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        Fields::default()
            .fixed(&self.connection.0)
            .fixed(&self.identity)
            .bytes(&self.author.0)
            .0
    }

    pub(crate) fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        Self {
            connection: ConnectionId(reader.take()),
            identity: reader.take(),
            author: DeviceKey(reader.key()),
        }
    }

    pub(crate) fn find(
        tx: &Transaction,
        connection: &ConnectionId,
    ) -> Result<Option<Self>, DataError> {
        Ok(find(tx, CLIENT, &connection.0)?.map(|row| Self::read(&row)))
    }

    /// What looking for a connection is noted as.
    pub(crate) fn read_mark(
        tx: &Transaction,
        connection: &ConnectionId,
    ) -> Result<ReadMark, DataError> {
        tx.read_mark(index_of(CLIENT), &connection.0)
    }

    pub(crate) fn delete(
        tx: &mut Transaction,
        connection: &ConnectionId,
    ) -> Result<u32, DataError> {
        tx.delete_by_range(index_of(CLIENT), &Range::point(&connection.0))
    }
}

/// One line of the final history of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RightRow {
    Member {
        device: DeviceKey,
        height: u64,
        role: Option<Role>,
    },
    Ticket {
        ticket: DeviceKey,
        height: u64,
        role: Role,
        expires: Hlc,
    },
    Frozen {
        author: DeviceKey,
        height: u64,
    },
}

impl RightRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        let (kind, key, height, role, expires) = match *self {
            Self::Member {
                device,
                height,
                role,
            } => (
                KIND_MEMBER,
                device,
                height,
                role.map_or(ROLE_NONE, role_code),
                0,
            ),
            Self::Ticket {
                ticket,
                height,
                role,
                expires,
            } => (KIND_TICKET, ticket, height, role_code(role), expires.0),
            Self::Frozen { author, height } => (KIND_FROZEN, author, height, ROLE_NONE, 0),
        };
        Fields::default()
            .u8(kind)
            .bytes(&key.0)
            .fixed(&height.to_le_bytes())
            .u8(role)
            .fixed(&u64::to_le_bytes(expires))
            .0
    }

    fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        let kind = reader.u8();
        let key = DeviceKey(reader.key());
        let height = u64::from_le_bytes(reader.take());
        let role = role_of(reader.u8());
        let expires = Hlc(u64::from_le_bytes(reader.take()));
        match kind {
            KIND_MEMBER => Self::Member {
                device: key,
                height,
                role,
            },
            KIND_TICKET => Self::Ticket {
                ticket: key,
                height,
                role: role.unwrap_or(Role::Reader),
                expires,
            },
            _ => Self::Frozen {
                author: key,
                height,
            },
        }
    }
}

/// Rights as of the last cut, from the rows of `sys_right`.
pub(crate) fn rights(rows: &[Row]) -> Rights {
    let mut rights = Rights::default();
    for row in rows {
        match RightRow::read(row) {
            RightRow::Member {
                device,
                height,
                role,
            } => rights
                .roles
                .entry(device)
                .or_default()
                .push(RoleChange { from: height, role }),
            RightRow::Ticket {
                ticket,
                height,
                role,
                expires,
            } => {
                rights.tickets.insert(
                    ticket,
                    TicketRight {
                        from: height,
                        role,
                        expires,
                    },
                );
            }
            RightRow::Frozen { author, height } => {
                rights.frozen.insert(author, height);
            }
        }
    }
    for changes in rights.roles.values_mut() {
        changes.sort_by_key(|change| change.from);
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_there_and_back() {
        let key = DeviceKey([7; 32]);
        let ticket = TicketRow {
            ticket: key,
            role: Role::Writer,
            uses_left: 3,
            expires: Hlc(9),
        };
        assert_eq!(TicketRow::read(&ticket.write()), ticket);
        let client = ClientRow {
            connection: ConnectionId([1; 16]),
            identity: [2; 32],
            author: key,
        };
        assert_eq!(ClientRow::read(&client.write()), client);
        for right in [
            RightRow::Member {
                device: key,
                height: 4,
                role: None,
            },
            RightRow::Ticket {
                ticket: key,
                height: 5,
                role: Role::Admin,
                expires: Hlc(6),
            },
            RightRow::Frozen {
                author: key,
                height: 7,
            },
        ] {
            assert_eq!(RightRow::read(&right.write()), right);
        }
    }

    #[test]
    fn the_history_of_rights_is_in_order_of_height() {
        let device = DeviceKey([7; 32]);
        let rows: Vec<Row> = [9u64, 2, 5]
            .map(|height| {
                RightRow::Member {
                    device,
                    height,
                    role: Some(Role::Writer),
                }
                .write()
                .into()
            })
            .into();
        let heights: Vec<u64> = rights(&rows).roles[&device]
            .iter()
            .map(|change| change.from)
            .collect();
        assert_eq!(heights, [2, 5, 9]);
    }
}
