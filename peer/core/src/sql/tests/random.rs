//! Random conditions over random rows.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Item, ask, ids, state};

/// A random condition: its text, and what it means for an item.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Compare(Field, &'static str, Item),
    Fields(&'static str),
    All(Vec<Wish>),
    Any(Vec<Wish>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Id,
    Name,
    Shelf,
    Score,
    Weight,
    Sold,
    Owner,
    At,
    Code,
}

impl Wish {
    pub(super) fn text(&self) -> String {
        let join = |parts: &[Self], between: &str| {
            let parts: Vec<_> = parts.iter().map(Self::text).collect();
            format!("({})", parts.join(between))
        };
        match self {
            Self::Compare(field, operator, with) => {
                let hex = |bytes: &mut dyn Iterator<Item = &u8>| {
                    bytes.map(|byte| format!("{byte:02x}")).collect::<String>()
                };
                let (column, literal) = match field {
                    Field::Id => ("id", with.id.to_string()),
                    Field::Name => ("name", format!("'{}'", with.name.replace('\'', "''"))),
                    Field::Shelf => ("shelfNo", with.shelf.to_string()),
                    Field::Score => ("score", with.score.to_string()),
                    Field::Weight => ("weight", format!("{:?}", with.weight)),
                    Field::Sold => ("sold", with.sold.to_string()),
                    Field::Owner => ("owner", format!("0x{}", hex(&mut with.owner.iter().rev()))),
                    Field::At => ("at", with.at.to_string()),
                    Field::Code => ("code", format!("X'{}'", hex(&mut with.code.iter()))),
                };
                format!("{column} {operator} {literal}")
            }
            Self::Fields(operator) => format!("item.weight {operator} weight"),
            Self::All(parts) => join(parts, " AND "),
            Self::Any(parts) => join(parts, " OR "),
        }
    }

    pub(super) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Compare(field, operator, with) => {
                let ordering = match field {
                    Field::Id => item.id.partial_cmp(&with.id),
                    Field::Name => item.name.partial_cmp(&with.name),
                    Field::Shelf => item.shelf.partial_cmp(&with.shelf),
                    Field::Score => item.score.partial_cmp(&with.score),
                    Field::Weight => item.weight.partial_cmp(&with.weight),
                    Field::Sold => item.sold.partial_cmp(&with.sold),
                    Field::Owner => item.owner.iter().rev().partial_cmp(with.owner.iter().rev()),
                    Field::At => item.at.partial_cmp(&with.at),
                    Field::Code => item.code.partial_cmp(&with.code),
                };
                meets(operator, ordering)
            }
            Self::Fields(operator) => meets(operator, item.weight.partial_cmp(&item.weight)),
            Self::All(parts) => parts.iter().all(|part| part.holds(item)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(item)),
        }
    }
}

fn meets(operator: &str, ordering: Option<Ordering>) -> bool {
    match operator {
        "=" => ordering == Some(Ordering::Equal),
        "<>" | "!=" => ordering != Some(Ordering::Equal),
        "<" => ordering == Some(Ordering::Less),
        ">" => ordering == Some(Ordering::Greater),
        "<=" => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        ">=" => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        _ => unreachable!("operators are those above"),
    }
}

/// Small domains, so that conditions meet rows.
pub(super) fn any_item() -> impl Strategy<Value = Item> {
    let weight = prop::sample::select(vec![-1.5, -0.0, 0.0, 2.0]);
    let owner = prop::sample::select(vec![[0; 32], [1; 32], [255; 32]]);
    let code = prop::collection::vec(0..2_u8, 0..3);
    let parts = (
        0..12_u64,
        "[a'\u{e9}]{0,2}",
        0..3_u32,
        -2..3_i16,
        weight,
        any::<bool>(),
    );
    (parts, owner, -1..2_i64, code, any::<Option<u8>>()).prop_map(
        |((id, name, shelf, score, weight, sold), owner, at, code, note)| Item {
            id,
            name,
            shelf,
            score,
            weight,
            sold,
            owner,
            at,
            code,
            note,
        },
    )
}

pub(super) fn any_wish() -> impl Strategy<Value = Wish> {
    use Field::{At, Code, Id, Name, Owner, Score, Shelf, Sold, Weight};
    let field = prop::sample::select(vec![
        Id, Id, Name, Shelf, Shelf, Shelf, Score, Score, Weight, Sold, Sold, Owner, At, At, Code,
    ]);
    let operator = || prop::sample::select(vec!["=", "=", "=", "<>", "!=", "<", ">", "<=", ">="]);
    let leaf = prop_oneof![
        20 => (field, operator(), any_item()).prop_map(|(field, operator, with)| Wish::Compare(field, operator, with)),
        1 => operator().prop_map(Wish::Fields),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(Wish::All),
            1 => prop::collection::vec(inner, 1..4).prop_map(Wish::Any),
        ]
    })
}

proptest! {
    #[test]
    fn every_path_answers_what_a_filter_answers(
        items in prop::collection::vec(any_item(), 0..24),
        wishes in prop::collection::vec(any_wish(), 1..8),
    ) {
        // Later items take the place of earlier ones with the same id.
        let items: BTreeMap<_, _> = items.into_iter().map(|item| (item.id, item)).collect();
        let items: Vec<_> = items.into_values().collect();
        let state = state(&items);
        for wish in wishes {
            let expected: Vec<_> =
                items.iter().filter(|item| wish.holds(item)).map(|item| item.id).collect();
            for table in ["item", "bare AS item"] {
                let text = format!("SELECT * FROM {table} WHERE {}", wish.text());
                let answer = ask(&state, &text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
                prop_assert_eq!(ids(&answer), expected.clone(), "{}", text);
                let text = format!("SELECT COUNT(*) AS n FROM {table} WHERE {}", wish.text());
                let counted = ask(&state, &text).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(ids(&counted), vec![expected.len() as u64]);
            }
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in r#"(SELECT|FROM|item|WHERE|id|=|<|1|'a'|AND|OR|\(|\)|\*|,|LIMIT|COUNT|0x|X'|:sender| |;|-|"){0,20}"#) {
        let state = state(&[]);
        let _ = ask(&state, &text);
    }
}
