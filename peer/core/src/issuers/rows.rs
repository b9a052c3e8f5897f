//! The replicated rows about issuers, their keys, and whom devices speak for.

use spacetimedb_sats::AlgebraicType;
use store::{
    DataError, IndexId, IndexKind, IndexSchema, Range, Row, State, StoreError, TableId,
    TableSchema, Transaction,
};
use sync_protocol::{DeviceKey, Hlc, IssuerKey, KeyAlgorithm, TrustedIssuer};

use crate::system_tables::{Fields, Reader, index_of, table};

/// `sys_issuer(issuer, audiences, claims, since)`: whose tokens count.
pub(crate) const ISSUER: TableId = TableId(11);
/// `sys_issuer_key(issuer, kid, algorithm, key)`: with which keys they are checked.
pub(crate) const ISSUER_KEY: TableId = TableId(12);
/// `sys_binding(device, issuer, subject, claims, since, ended)`: which device speaks for whom.
pub(crate) const BINDING: TableId = TableId(13);

/// The index over issuer and key id.
const ISSUER_KEY_PLACE: IndexId = IndexId(65);
/// The index over device, issuer and subject.
const BINDING_PLACE: IndexId = IndexId(66);

/// The schemas of these tables.
pub(crate) fn schemas() -> Vec<TableSchema> {
    let bytes = AlgebraicType::bytes;
    let text = || AlgebraicType::String;
    let texts = || AlgebraicType::array(AlgebraicType::String);
    let mut keys = table(
        ISSUER_KEY,
        "sys_issuer_key",
        &[
            ("issuer", text()),
            ("kid", text()),
            ("algorithm", AlgebraicType::U8),
            ("key", bytes()),
        ],
        false,
    );
    let place = "sys_issuer_key_issuer_kid_idx_btree";
    keys.indexes.push(unique(ISSUER_KEY_PLACE, place, &[0, 1]));
    let mut bindings = table(
        BINDING,
        "sys_binding",
        &[
            ("device", bytes()),
            ("issuer", text()),
            ("subject", text()),
            ("claims", text()),
            ("since", AlgebraicType::U64),
            ("ended", AlgebraicType::U64),
        ],
        false,
    );
    let place = "sys_binding_device_issuer_subject_idx_btree";
    bindings
        .indexes
        .push(unique(BINDING_PLACE, place, &[0, 1, 2]));
    vec![
        table(
            ISSUER,
            "sys_issuer",
            &[
                ("issuer", text()),
                ("audiences", texts()),
                ("claims", texts()),
                ("since", AlgebraicType::U64),
            ],
            true,
        ),
        keys,
        bindings,
    ]
}

fn unique(id: IndexId, name: &str, columns: &[u16]) -> IndexSchema {
    IndexSchema {
        id,
        name: name.to_owned(),
        source_name: name.to_owned(),
        columns: columns.to_vec(),
        unique: true,
        kind: IndexKind::BTree,
    }
}

/// Where rows are read: at a call's position, noted as what it read, or as they are visible.
pub(crate) enum Look<'a> {
    /// At its position.
    Call(&'a Transaction),
    /// To answer somebody.
    Visible(&'a State),
}

impl Look<'_> {
    fn scan(&self, index: IndexId, range: &Range<'_>) -> Result<Vec<Row>, DataError> {
        match self {
            Self::Call(tx) => tx.scan_range(index, range),
            Self::Visible(state) => {
                let rows: Result<Vec<Row>, StoreError> = state.scan_index(index, range)?.collect();
                Ok(rows?)
            }
        }
    }
}

/// A trusted issuer's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerRow {
    pub(crate) rules: TrustedIssuer,
    /// Time of the call since which it has been trusted without a break: bindings of before are void.
    pub(crate) since: Hlc,
}

impl IssuerRow {
    pub(crate) fn write(&self) -> Vec<u8> {
        let row = Fields::default().bytes(self.rules.issuer.as_bytes());
        let row = texts(texts(row, &self.rules.audiences), &self.rules.claims);
        row.fixed(&self.since.0.to_le_bytes()).0
    }

    pub(crate) fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        Self {
            rules: TrustedIssuer {
                issuer: read_text(&mut reader),
                audiences: read_texts(&mut reader),
                claims: read_texts(&mut reader),
            },
            since: Hlc(reader.u64()),
        }
    }

    pub(crate) fn find(rows: &Look<'_>, issuer: &str) -> Result<Option<Self>, DataError> {
        let place = place(&[issuer]);
        let found = rows.scan(index_of(ISSUER), &Range::point(&place))?;
        Ok(found.first().map(|row| Self::read(row)))
    }

    /// All of them.
    pub(crate) fn all(rows: &Look<'_>) -> Result<Vec<Self>, DataError> {
        let found = rows.scan(index_of(ISSUER), &Range::EVERYTHING)?;
        Ok(found.iter().map(|row| Self::read(row)).collect())
    }

    /// Sets it, whatever was there.
    pub(crate) fn set(&self, tx: &mut Transaction) -> Result<(), DataError> {
        Self::delete(tx, &self.rules.issuer)?;
        tx.insert(ISSUER, &self.write()).map(drop)
    }

    pub(crate) fn delete(tx: &mut Transaction, issuer: &str) -> Result<(), DataError> {
        let place = place(&[issuer]);
        tx.delete_by_range(index_of(ISSUER), &Range::point(&place))
            .map(drop)
    }
}

/// The keys of an issuer, by ascending id.
pub(crate) fn keys(rows: &Look<'_>, issuer: &str) -> Result<Vec<IssuerKey>, DataError> {
    let prefix = place(&[issuer]);
    let found = rows.scan(ISSUER_KEY_PLACE, &that_begin_with(&prefix))?;
    let mut keys: Vec<IssuerKey> = found.iter().map(|row| read_key(row)).collect();
    // An index has texts in an order of its own.
    keys.sort_by(|a, b| a.kid.cmp(&b.kid));
    Ok(keys)
}

/// Replaces all keys of an issuer.
pub(crate) fn set_keys(
    tx: &mut Transaction,
    issuer: &str,
    keys: &[IssuerKey],
) -> Result<(), DataError> {
    let prefix = place(&[issuer]);
    tx.delete_by_range(ISSUER_KEY_PLACE, &that_begin_with(&prefix))?;
    for key in keys {
        tx.insert(ISSUER_KEY, &write_key(issuer, key))?;
    }
    Ok(())
}

fn write_key(issuer: &str, key: &IssuerKey) -> Vec<u8> {
    let code = KeyAlgorithm::ALL.iter().position(|it| *it == key.algorithm);
    let code = code.expect("ALL holds every algorithm");
    Fields::default()
        .bytes(issuer.as_bytes())
        .bytes(key.kid.as_bytes())
        .u8(u8::try_from(code).expect("algorithms are few"))
        .bytes(&key.key)
        .0
}

fn read_key(row: &[u8]) -> IssuerKey {
    let mut reader = Reader(row);
    let _issuer = reader.bytes();
    IssuerKey {
        kid: read_text(&mut reader),
        algorithm: KeyAlgorithm::ALL[usize::from(reader.u8())],
        key: reader.bytes().to_vec(),
    }
}

fn that_begin_with(prefix: &[u8]) -> Range<'_> {
    Range::Prefix {
        prefix,
        prefix_len: 1,
        start: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
    }
}

/// A device that speaks for a user, or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BindingRow {
    pub(crate) device: DeviceKey,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// What a module sees: the token's claims, cut to the issuer's list.
    pub(crate) claims: String,
    /// The `since` of its issuer: another one there, and this is void.
    pub(crate) since: Hlc,
    /// When it was ended; 0 while it holds. Tokens of before bind no more.
    pub(crate) ended: Hlc,
}

impl BindingRow {
    fn write(&self) -> Vec<u8> {
        Fields::default()
            .bytes(&self.device.0)
            .bytes(self.issuer.as_bytes())
            .bytes(self.subject.as_bytes())
            .bytes(self.claims.as_bytes())
            .fixed(&self.since.0.to_le_bytes())
            .fixed(&self.ended.0.to_le_bytes())
            .0
    }

    fn read(row: &[u8]) -> Self {
        let mut reader = Reader(row);
        Self {
            device: DeviceKey(reader.key()),
            issuer: read_text(&mut reader),
            subject: read_text(&mut reader),
            claims: read_text(&mut reader),
            since: Hlc(reader.u64()),
            ended: Hlc(reader.u64()),
        }
    }

    /// Whether it holds, as long as its issuer's row is `issuer`.
    pub(crate) fn holds(&self, issuer: &IssuerRow) -> bool {
        self.ended == Hlc(0) && self.since == issuer.since
    }

    pub(crate) fn find(
        rows: &Look<'_>,
        device: &DeviceKey,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<Self>, DataError> {
        let place = binding_place(device, issuer, subject);
        let found = rows.scan(BINDING_PLACE, &Range::point(&place))?;
        Ok(found.first().map(|row| Self::read(row)))
    }

    /// Those of a device.
    pub(crate) fn of_device(rows: &Look<'_>, device: &DeviceKey) -> Result<Vec<Self>, DataError> {
        let prefix = Fields::default().bytes(&device.0).0;
        let found = rows.scan(BINDING_PLACE, &that_begin_with(&prefix))?;
        Ok(found.iter().map(|row| Self::read(row)).collect())
    }

    /// Sets it, whatever was there.
    pub(crate) fn set(&self, tx: &mut Transaction) -> Result<(), DataError> {
        let place = binding_place(&self.device, &self.issuer, &self.subject);
        tx.delete_by_range(BINDING_PLACE, &Range::point(&place))?;
        tx.insert(BINDING, &self.write()).map(drop)
    }
}

fn binding_place(device: &DeviceKey, issuer: &str, subject: &str) -> Vec<u8> {
    let place = Fields::default().bytes(&device.0);
    place.bytes(issuer.as_bytes()).bytes(subject.as_bytes()).0
}

/// Texts one after the other, as an index is asked for them.
fn place(texts: &[&str]) -> Vec<u8> {
    let fields = texts.iter().fold(Fields::default(), |fields, text| {
        fields.bytes(text.as_bytes())
    });
    fields.0
}

fn texts(row: Fields, texts: &[String]) -> Fields {
    let len = u32::try_from(texts.len()).unwrap_or(u32::MAX);
    texts
        .iter()
        .fold(row.fixed(&len.to_le_bytes()), |row, text| {
            row.bytes(text.as_bytes())
        })
}

fn read_texts(reader: &mut Reader<'_>) -> Vec<String> {
    (0..reader.u32()).map(|_| read_text(reader)).collect()
}

/// The store took the row as one with a text here.
fn read_text(reader: &mut Reader<'_>) -> String {
    String::from_utf8_lossy(reader.bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_about_issuers_go_there_and_back() {
        let issuer = IssuerRow {
            rules: TrustedIssuer {
                issuer: "https://a.b/".to_owned(),
                audiences: vec!["one".to_owned(), "two".to_owned()],
                claims: vec![],
            },
            since: Hlc(7),
        };
        assert_eq!(IssuerRow::read(&issuer.write()), issuer);
        for (code, algorithm) in (0_u8..).zip(KeyAlgorithm::ALL) {
            let key = IssuerKey {
                kid: "k".to_owned(),
                algorithm,
                key: vec![code; 40],
            };
            assert_eq!(read_key(&write_key("https://a.b/", &key)), key);
        }
        let binding = BindingRow {
            device: DeviceKey([7; 32]),
            issuer: "https://a.b/".to_owned(),
            subject: "auth0|ann".to_owned(),
            claims: "{}".to_owned(),
            since: Hlc(7),
            ended: Hlc(0),
        };
        assert_eq!(BindingRow::read(&binding.write()), binding);
        assert!(binding.holds(&issuer));
        let later = IssuerRow {
            since: Hlc(8),
            ..issuer
        };
        assert!(!binding.holds(&later), "trust was broken off meanwhile");
    }
}
