//! Visibility filters against a loop over plain rows, for the module of that name in `tests/modules`.

use std::collections::BTreeMap;

use super::following::Followed;
use super::harness::{Dice, Mesh};
use crate::Request;
use crate::sql::{Access, Reading};
use crate::subscriptions::select_once;

/// What clients follow: the tables, parts of them, joins on which one side, both or none is
/// filtered, and a table with itself.
const QUERIES: [&str; 13] = [
    "SELECT * FROM note",
    "SELECT * FROM note WHERE folder = 1",
    "SELECT * FROM note WHERE owner = :sender",
    "SELECT * FROM share",
    "SELECT * FROM comment",
    "SELECT * FROM comment WHERE note = 2",
    "SELECT * FROM person",
    "SELECT * FROM folder",
    "SELECT n.* FROM note n JOIN comment c ON c.note = n.id",
    "SELECT c.* FROM comment c JOIN note n ON n.id = c.note WHERE n.folder <> 2",
    "SELECT s.* FROM share s JOIN note n ON s.note = n.id",
    "SELECT a.* FROM note a JOIN note b ON a.folder = b.folder WHERE a.text <> 'x'",
    "SELECT n.* FROM note n JOIN folder f ON n.folder = f.id",
];

pub(super) const FOLLOWED: Followed = Followed {
    queries: &QUERIES,
    senders: || (1..=4).map(|who| [who; 32]).collect(),
    judge,
};

/// Calls that act for one of four.
pub(super) fn random_call(mesh: &mut Mesh, dice: &mut Dice) -> Request {
    let who = |dice: &mut Dice| format!("\"{}\"", format!("{:02x}", dice.below(4) + 1).repeat(32));
    let some = |dice: &mut Dice| dice.below(4) + 1;
    let (a, b) = (who(dice), who(dice));
    let (id, other, few) = (some(dice), some(dice), dice.below(3));
    let text = ["\"x\"", "\"y\"", "\"z\""][usize::try_from(dice.below(3)).expect("small")];
    let flag = dice.below(2) == 0;
    let (reducer, arguments) = match dice.below(16) {
        0..=3 => ("put_note", format!("[{id}, {a}, {}, {text}]", few + 1)),
        4 => ("drop_note", format!("[{id}, {flag}]")),
        5..=7 => ("put_share", format!("[{id}, {other}, {a}, {b}]")),
        8 => ("drop_share", format!("[{id}]")),
        9..=10 => ("put_comment", format!("[{id}, {other}, {text}]")),
        11..=12 => ("put_person", format!("[{a}, {few}]")),
        13 => ("put_desk", format!("[{id}, {few}, {}]", dice.below(3) + 1)),
        14 => ("put_admin", format!("[{a}, {}]", flag && few == 0)),
        _ => ("put_folder", format!("[{}, {flag}, {text}]", few + 1)),
    };
    mesh.call_request(reducer, &arguments)
}

type Who = [u8; 32];

struct Note {
    row: Vec<u8>,
    id: u64,
    owner: Who,
    folder: u32,
    text: Vec<u8>,
}

struct Share {
    row: Vec<u8>,
    note: u64,
    reader: Who,
    giver: Who,
}

struct Comment {
    row: Vec<u8>,
    note: u64,
    text: Vec<u8>,
}

struct Person {
    row: Vec<u8>,
    identity: Who,
    team: u32,
}

struct Folder {
    row: Vec<u8>,
    id: u32,
    open: bool,
}

/// All rows, whoever sees them.
struct Rows {
    notes: Vec<Note>,
    shares: Vec<Share>,
    comments: Vec<Comment>,
    people: Vec<Person>,
    /// Team and folder.
    desks: Vec<(u32, u32)>,
    admins: Vec<Who>,
    folders: Vec<Folder>,
}

struct Cursor<'r>(&'r [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("whole rows");
        self.0 = rest;
        *taken
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn text(&mut self) -> Vec<u8> {
        let len = usize::try_from(self.u32()).expect("small");
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        text.to_vec()
    }
}

impl Rows {
    fn read(here: &Reading<'_>) -> Self {
        fn all<T>(
            here: &Reading<'_>,
            table: &str,
            read: impl Fn(Vec<u8>, Cursor<'_>) -> T,
        ) -> Vec<T> {
            let table = here.state.schema().table_by_name(table).expect(table);
            let rows = here.state.rows(table.id).expect("reads");
            let rows = rows.map(|row| row.expect("reads"));
            rows.map(|row| read(row.to_vec(), Cursor(&row))).collect()
        }
        Self {
            notes: all(here, "note", |row, mut it| Note {
                row,
                id: it.u64(),
                owner: it.take(),
                folder: it.u32(),
                text: it.text(),
            }),
            shares: all(here, "share", |row, mut it| {
                it.u64();
                Share {
                    row,
                    note: it.u64(),
                    reader: it.take(),
                    giver: it.take(),
                }
            }),
            comments: all(here, "comment", |row, mut it| {
                it.u64();
                Comment {
                    row,
                    note: it.u64(),
                    text: it.text(),
                }
            }),
            people: all(here, "person", |row, mut it| Person {
                row,
                identity: it.take(),
                team: it.u32(),
            }),
            desks: all(here, "desk", |_, mut it| {
                it.u64();
                (it.u32(), it.u32())
            }),
            admins: all(here, "admin", |_, mut it| it.take()),
            folders: all(here, "folder", |row, mut it| Folder {
                row,
                id: it.u32(),
                open: it.take::<1>() == [1],
            }),
        }
    }

    fn team(&self, who: Who) -> Option<u32> {
        let mut people = self.people.iter();
        Some(people.find(|person| person.identity == who)?.team)
    }

    fn shares(&self, who: Who) -> Vec<&Share> {
        let shares = self.shares.iter();
        shares
            .filter(|share| share.reader == who || share.giver == who)
            .collect()
    }

    fn notes(&self, who: Who) -> Vec<&Note> {
        let shares = self.shares(who);
        let is_shown = |note: &&Note| {
            let mut shares = shares.iter();
            let mut desks = self.desks.iter();
            let team = self.team(who);
            note.owner == who
                || shares.any(|share| share.note == note.id && share.reader == who)
                || self.admins.contains(&who)
                || desks.any(|(of, folder)| Some(*of) == team && *folder == note.folder)
        };
        self.notes.iter().filter(is_shown).collect()
    }

    fn comments(&self, who: Who) -> Vec<&Comment> {
        let notes = self.notes(who);
        let is_shown = |comment: &&Comment| notes.iter().any(|note| note.id == comment.note);
        self.comments.iter().filter(is_shown).collect()
    }

    fn people(&self, who: Who) -> Vec<&Person> {
        let team = self.team(who);
        let people = self.people.iter();
        people.filter(|person| Some(person.team) == team).collect()
    }

    fn folders(&self) -> Vec<&Folder> {
        self.folders.iter().filter(|folder| folder.open).collect()
    }

    /// What each of the queries answers, as bytes of rows.
    fn answers(&self, who: Who) -> Vec<Vec<&[u8]>> {
        let (notes, comments, shares) = (self.notes(who), self.comments(who), self.shares(who));
        let folders = self.folders();
        let of_notes = |wanted: &dyn Fn(&Note) -> usize| -> Vec<&[u8]> {
            let all = notes.iter();
            all.flat_map(|note| std::iter::repeat_n(&note.row[..], wanted(note)))
                .collect()
        };
        let of_comments = |wanted: &dyn Fn(&Comment) -> usize| -> Vec<&[u8]> {
            let all = comments.iter();
            all.flat_map(|it| std::iter::repeat_n(&it.row[..], wanted(it)))
                .collect()
        };
        vec![
            of_notes(&|_| 1),
            of_notes(&|note| usize::from(note.folder == 1)),
            of_notes(&|note| usize::from(note.owner == who)),
            shares.iter().map(|share| &share.row[..]).collect(),
            of_comments(&|_| 1),
            of_comments(&|comment| usize::from(comment.note == 2)),
            self.people(who).iter().map(|it| &it.row[..]).collect(),
            folders.iter().map(|folder| &folder.row[..]).collect(),
            of_notes(&|note| comments.iter().filter(|it| it.note == note.id).count()),
            of_comments(&|comment| {
                let fits = |note: &&&Note| note.id == comment.note && note.folder != 2;
                notes.iter().filter(fits).count()
            }),
            shares
                .iter()
                .filter(|share| notes.iter().any(|note| note.id == share.note))
                .map(|share| &share.row[..])
                .collect(),
            of_notes(&|note| {
                let same = notes
                    .iter()
                    .filter(|other| other.folder == note.folder)
                    .count();
                if note.text == b"x" { 0 } else { same }
            }),
            of_notes(&|note| folders.iter().filter(|it| it.id == note.folder).count()),
        ]
    }
}

fn counted<'r>(rows: impl IntoIterator<Item = &'r [u8]>) -> BTreeMap<Vec<u8>, usize> {
    let mut counted = BTreeMap::new();
    for row in rows {
        *counted.entry(row.to_vec()).or_default() += 1;
    }
    counted
}

fn judge(here: &Reading<'_>) {
    let rows = Rows::read(here);
    let who = here.access.sender;
    for (query, expected) in QUERIES.iter().zip(rows.answers(who)) {
        let found = select_once(query, here).expect(query);
        assert_eq!(
            counted(&found.rows),
            counted(expected),
            "{query}, for {who:?}"
        );
    }
    let ask = |text: &str| here.ask(text).expect(text).rows;
    let number = |count: usize| vec![(count as u64).to_le_bytes().to_vec()];
    let (notes, comments) = (rows.notes(who), rows.comments(who));
    // Whole tables are counted without reading them, but not those.
    assert_eq!(ask("SELECT COUNT(*) AS n FROM note"), number(notes.len()));
    assert_eq!(
        ask("SELECT COUNT(*) AS n FROM comment"),
        number(comments.len())
    );
    assert_eq!(
        ask("SELECT COUNT(*) AS n FROM folder"),
        number(rows.folders().len())
    );
    let most = notes.iter().map(|note| note.id).max();
    let found = ask("SELECT MAX(id) AS n FROM note");
    assert_eq!(
        found.first(),
        most.map(|id| id.to_le_bytes().to_vec()).as_ref()
    );
    // In the order of their keys, and no further than wanted.
    let mut first: Vec<&Note> = notes.clone();
    first.sort_by_key(|note| note.id);
    let first: Vec<Vec<u8>> = first.iter().take(2).map(|note| note.row.clone()).collect();
    assert_eq!(ask("SELECT * FROM note ORDER BY id LIMIT 2"), first);
    // By a column without an index, so that a side is gathered.
    let same = |note: &&Note| comments.iter().filter(|it| it.text == note.text).count();
    let pairs = notes.iter().map(same).sum();
    let text = "SELECT COUNT(*) AS n FROM note n JOIN comment c ON c.text = n.text";
    assert_eq!(ask(text), number(pairs));
    // Whoever owns the database sees everything.
    let owner = Reading {
        access: Access {
            owner: true,
            ..here.access
        },
        ..*here
    };
    let found = select_once("SELECT * FROM note", &owner).expect("asked");
    assert_eq!(found.rows.len(), rows.notes.len());
}
