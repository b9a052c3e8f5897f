//! JSON into BSATN, led by the type.

use spacetimedb_sats::{AlgebraicType, ProductType, SumType};

use super::DEPTH_MAX;
use super::cursor::{Cursor, Kind, NotJson};
use super::integer::Integer;
use super::special::{Special, special_from_text};
use super::words::{expectation, list_names};

/// Characters of a wrong text that an error repeats.
const QUOTED_CHARS_MAX: usize = 40;

/// Why a JSON value is no value of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not JSON at all.
    NotJson(NotJson),
    /// JSON of another shape.
    Wrong {
        /// From the outside in, e.g. ["field `x`", "element 3"]; kept inside out while it grows.
        path: Vec<String>,
        expected: String,
        got: String,
    },
    /// The bytes would outgrow their bound.
    TooLarge,
    /// The type is nested beyond what is followed.
    TooDeep,
}

impl From<NotJson> for Fault {
    fn from(fault: NotJson) -> Self {
        Self::NotJson(fault)
    }
}

impl Fault {
    /// Says in which part of a larger value the fault lies.
    fn inside(mut self, part: impl FnOnce() -> String) -> Self {
        if let Self::Wrong { path, .. } = &mut self {
            path.push(part());
        }
        self
    }
}

/// Writes BSATN and never more than `bytes_max` of it.
pub(super) struct Encoder {
    pub(super) out: Vec<u8>,
    bytes_max: usize,
}

impl Encoder {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            out: vec![],
            bytes_max,
        }
    }

    /// Appends one value of type `ty`; the cursor stands behind it afterwards.
    ///
    /// # Errors
    /// [`Fault`]; what was appended so far is of no use then.
    pub(super) fn value(
        &mut self,
        ty: &AlgebraicType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let start = *json;
        let wrong = || wrong(expectation(ty), start);
        match ty {
            AlgebraicType::Bool => match json.kind()? {
                Kind::Bool => self.out.push(u8::from(json.boolean()?)),
                _ => return Err(wrong()),
            },
            AlgebraicType::String => match json.kind()? {
                Kind::Text => self.sized(json.text()?.as_bytes()),
                _ => return Err(wrong()),
            },
            AlgebraicType::F32 | AlgebraicType::F64 => {
                let bytes = match json.kind()? {
                    Kind::Number => float(json.number()?, ty),
                    Kind::Text => float(&json.text()?, ty),
                    _ => None,
                };
                self.out.extend(bytes.ok_or_else(wrong)?);
            }
            AlgebraicType::Array(array) if ty.is_bytes() && json.kind()? == Kind::Text => {
                debug_assert!(array.elem_ty.is_u8(), "bytes are a list of u8");
                let bytes = hex_bytes(&json.text()?).ok_or_else(wrong)?;
                self.sized(&bytes);
            }
            AlgebraicType::Array(array) => match json.kind()? {
                Kind::List => self.list(&array.elem_ty, json, depth)?,
                _ => return Err(wrong()),
            },
            AlgebraicType::Product(product) => self.product(ty, product, json, depth)?,
            AlgebraicType::Sum(sum) => self.sum(ty, sum, json, depth)?,
            AlgebraicType::Ref(_) => return Err(Fault::TooDeep),
            integer => {
                let parsed = match json.kind()? {
                    Kind::Number => Integer::parse(json.number()?),
                    Kind::Text => Integer::parse(&json.text()?),
                    _ => None,
                };
                if !parsed.is_some_and(|parsed| parsed.write(integer, &mut self.out)) {
                    return Err(wrong());
                }
            }
        }
        if self.out.len() > self.bytes_max {
            Err(Fault::TooLarge)
        } else {
            Ok(())
        }
    }

    fn sized(&mut self, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).expect("the JSON text is far below 4 GiB");
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(bytes);
    }

    fn list(
        &mut self,
        element: &AlgebraicType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        let len_at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        json.open_list()?;
        let (mut first, mut len) = (true, 0_u32);
        while json.next_element(&mut first)? {
            self.value(element, json, depth + 1)
                .map_err(|fault| fault.inside(|| format!("element {}", len + 1)))?;
            len += 1;
        }
        self.out[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// A product is an object, or a list of its fields in order.
    fn product(
        &mut self,
        ty: &AlgebraicType,
        product: &ProductType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        let start = *json;
        let special = Special::of(product);
        match (json.kind()?, special) {
            (Kind::Number, Some(special)) => {
                let integer = Integer::parse(json.number()?);
                if integer.is_some_and(|integer| integer.write(&special.inner(), &mut self.out)) {
                    Ok(())
                } else {
                    Err(wrong(expectation(ty), start))
                }
            }
            (Kind::Text, Some(special)) => {
                if special_from_text(special, &json.text()?, &mut self.out) {
                    Ok(())
                } else {
                    Err(wrong(expectation(ty), start))
                }
            }
            (Kind::Null, _) if product.is_unit() => Ok(json.null()?),
            (Kind::List, _) => self.product_from_list(ty, product, json, depth),
            (Kind::Object, _) => self.product_from_object(ty, product, json, depth),
            _ => Err(wrong(expectation(ty), start)),
        }
    }

    fn product_from_list(
        &mut self,
        ty: &AlgebraicType,
        product: &ProductType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        let start = *json;
        json.open_list()?;
        let mut first = true;
        for (at, field) in product.elements.iter().enumerate() {
            if !json.next_element(&mut first)? {
                return Err(wrong(expectation(ty), start));
            }
            self.field(product, &field.algebraic_type, json, depth)
                .map_err(|fault| fault.inside(|| field_label(field.name.as_deref(), at)))?;
        }
        if json.next_element(&mut first)? {
            return Err(wrong(expectation(ty), start));
        }
        Ok(())
    }

    /// The fields come in any order, so their places are noted first.
    fn product_from_object(
        &mut self,
        ty: &AlgebraicType,
        product: &ProductType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        let names: Vec<_> = product
            .elements
            .iter()
            .map(|field| field.name.as_deref())
            .collect();
        let mut places = vec![None; names.len()];
        json.open_object()?;
        let mut first = true;
        while let Some(name) = json.next_member(&mut first)? {
            let place = find_name(&names, &name).map(|at| &mut places[at]);
            match place {
                Some(place @ None) => *place = Some(*json),
                Some(Some(_)) => {
                    return Err(wrong_field(
                        ty,
                        format!("the field `{}` twice", quoted(&name)),
                    ));
                }
                None => {
                    return Err(wrong_field(ty, format!("a field `{}`", quoted(&name))));
                }
            }
            json.skip()?;
        }
        for (at, (field, place)) in product.elements.iter().zip(places).enumerate() {
            let label = || field_label(field.name.as_deref(), at);
            let mut place = place.ok_or_else(|| wrong_field(ty, format!("no {}", label())))?;
            self.field(product, &field.algebraic_type, &mut place, depth)
                .map_err(|fault| fault.inside(label))?;
        }
        Ok(())
    }

    /// The one field of a special type takes the texts that the type takes.
    fn field(
        &mut self,
        product: &ProductType,
        ty: &AlgebraicType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        if let Some(special) = Special::of(product)
            && json.kind()? == Kind::Text
        {
            let start = *json;
            let text = json.text()?;
            if special_from_text(special, &text, &mut self.out) {
                return Ok(());
            }
            return Err(wrong(special.form().to_owned(), start));
        }
        self.value(ty, json, depth + 1)
    }

    /// A sum is `{"Variant": payload}`, `[tag, payload]`, or `"Variant"` if there is no payload;
    /// an option is also null or the bare value.
    fn sum(
        &mut self,
        ty: &AlgebraicType,
        sum: &SumType,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        let start = *json;
        // A tag is one byte, so there cannot be more.
        let variants = sum.variants.iter().take(usize::from(u8::MAX) + 1);
        let names: Vec<_> = variants.map(|variant| variant.name.as_deref()).collect();
        if let Some(some) = sum.as_option() {
            match json.kind()? {
                Kind::Null => {
                    self.out.push(1);
                    return Ok(json.null()?);
                }
                Kind::List if tagged(*json, some)? => {}
                Kind::Object if is_some_or_none(*json)? => {}
                _ => {
                    self.out.push(0);
                    return self.value(some, json, depth + 1);
                }
            }
        }
        match json.kind()? {
            Kind::Text => {
                let name = json.text()?;
                let tag = find_name(&names, &name)
                    .filter(|tag| sum.variants[*tag].algebraic_type.is_unit())
                    .ok_or_else(|| wrong(expectation(ty), start))?;
                self.tag(tag);
                Ok(())
            }
            Kind::Object => {
                json.open_object()?;
                let mut first = true;
                let name = json.next_member(&mut first)?;
                let tag = name
                    .as_deref()
                    .and_then(|name| find_name(&names, name).or_else(|| tag_of(name, sum)))
                    .ok_or_else(|| wrong_variant(ty, name.as_deref(), start))?;
                self.payload(sum, tag, json, depth)?;
                match json.next_member(&mut first)? {
                    None => Ok(()),
                    Some(name) => Err(wrong_field(
                        ty,
                        format!("a second variant `{}`", quoted(&name)),
                    )),
                }
            }
            Kind::List => {
                json.open_list()?;
                let mut first = true;
                let tag = if json.next_element(&mut first)? {
                    match json.kind()? {
                        Kind::Number => tag_of(json.number()?, sum),
                        Kind::Text => find_name(&names, &json.text()?),
                        _ => None,
                    }
                } else {
                    None
                };
                let tag = tag.ok_or_else(|| wrong(expectation(ty), start))?;
                if !json.next_element(&mut first)? {
                    return Err(wrong(expectation(ty), start));
                }
                self.payload(sum, tag, json, depth)?;
                if json.next_element(&mut first)? {
                    return Err(wrong(expectation(ty), start));
                }
                Ok(())
            }
            _ => Err(wrong(expectation(ty), start)),
        }
    }

    fn tag(&mut self, tag: usize) {
        self.out
            .push(u8::try_from(tag).expect("only tags below 256 are looked up"));
    }

    fn payload(
        &mut self,
        sum: &SumType,
        tag: usize,
        json: &mut Cursor<'_>,
        depth: u32,
    ) -> Result<(), Fault> {
        self.tag(tag);
        let variant = &sum.variants[tag];
        self.value(&variant.algebraic_type, json, depth + 1)
            .map_err(|fault| {
                fault.inside(|| match &variant.name {
                    Some(name) => format!("variant `{name}`"),
                    None => format!("variant {tag}"),
                })
            })
    }
}

/// Finds a name as it is written, or else the only one that differs in nothing but upper case and
/// underscores: a module's names are known in two spellings, its own and the canonical one.
pub(super) fn find_name(names: &[Option<&str>], wanted: &str) -> Option<usize> {
    if let Some(at) = names.iter().position(|name| *name == Some(wanted)) {
        return Some(at);
    }
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    let wanted = plain(wanted);
    let mut alike =
        (0..names.len()).filter(|at| names[*at].is_some_and(|name| plain(name) == wanted));
    match (alike.next(), alike.next()) {
        (Some(at), None) => Some(at),
        _ => None,
    }
}

fn tag_of(text: &str, sum: &SumType) -> Option<usize> {
    let tag: u8 = text.parse().ok()?;
    Some(usize::from(tag)).filter(|tag| *tag < sum.variants.len())
}

/// Whether a list stands for `[0, value]` or `[1, []]`, the way rows show options, and not for the
/// bare value of an option of something that is itself written as a list. What follows the tag
/// decides: it has to look like the payload.
fn tagged(mut json: Cursor<'_>, some: &AlgebraicType) -> Result<bool, NotJson> {
    json.open_list()?;
    let mut first = true;
    if !json.next_element(&mut first)? || json.kind()? != Kind::Number {
        return Ok(false);
    }
    let tag = json.number()?;
    if !json.next_element(&mut first)? {
        return Ok(false);
    }
    let kind = json.kind()?;
    json.skip()?;
    if json.next_element(&mut first)? {
        return Ok(false);
    }
    Ok(match tag {
        "0" => looks_like(kind, some),
        "1" => matches!(kind, Kind::List | Kind::Object | Kind::Null),
        _ => false,
    })
}

/// Whether a value of this type may begin so.
fn looks_like(kind: Kind, ty: &AlgebraicType) -> bool {
    match ty {
        AlgebraicType::Bool => kind == Kind::Bool,
        AlgebraicType::String => kind == Kind::Text,
        AlgebraicType::Array(_) => kind == Kind::List || (ty.is_bytes() && kind == Kind::Text),
        AlgebraicType::Product(product) => match kind {
            Kind::List | Kind::Object => true,
            Kind::Text | Kind::Number => Special::of(product).is_some(),
            Kind::Null => product.is_unit(),
            _ => false,
        },
        // An option's payload may be anything.
        AlgebraicType::Sum(sum) => {
            sum.is_option() || matches!(kind, Kind::Text | Kind::Object | Kind::List)
        }
        _ => matches!(kind, Kind::Number | Kind::Text),
    }
}

/// Whether an object is `{"some": …}` or `{"none": …}`.
fn is_some_or_none(mut json: Cursor<'_>) -> Result<bool, NotJson> {
    json.open_object()?;
    let mut first = true;
    let name = json.next_member(&mut first)?;
    if !matches!(name.as_deref(), Some("some" | "none" | "0" | "1")) {
        return Ok(false);
    }
    json.skip()?;
    Ok(json.next_member(&mut first)?.is_none())
}

fn float(text: &str, ty: &AlgebraicType) -> Option<Vec<u8>> {
    let value: f64 = text.parse().ok()?;
    // A double first would round twice.
    let narrow: f32 = text.parse().ok()?;
    let written_infinite = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    let fits = |infinite: bool| infinite == written_infinite;
    match ty {
        AlgebraicType::F32 => fits(narrow.is_infinite()).then(|| narrow.to_le_bytes().to_vec()),
        _ => fits(value.is_infinite()).then(|| value.to_le_bytes().to_vec()),
    }
}

/// Bytes of a hex text, with or without `0x`.
pub(crate) fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    digits
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

fn field_label(name: Option<&str>, at: usize) -> String {
    name.map_or_else(
        || format!("field {}", at + 1),
        |name| format!("field `{name}`"),
    )
}

fn wrong(expected: String, at: Cursor<'_>) -> Fault {
    match seen(at) {
        Ok(got) => Fault::Wrong {
            path: vec![],
            expected,
            got,
        },
        Err(fault) => Fault::NotJson(fault),
    }
}

fn wrong_field(ty: &AlgebraicType, got: String) -> Fault {
    Fault::Wrong {
        path: vec![],
        expected: expectation(ty),
        got,
    }
}

fn wrong_variant(ty: &AlgebraicType, name: Option<&str>, at: Cursor<'_>) -> Fault {
    match name {
        Some(name) => wrong_field(ty, format!("an object with `{}`", quoted(name))),
        None => wrong(expectation(ty), at),
    }
}

fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// What came, in words.
pub(super) fn seen(mut json: Cursor<'_>) -> Result<String, NotJson> {
    let mut first = true;
    Ok(match json.kind()? {
        Kind::Null => "null".to_owned(),
        Kind::Bool => json.boolean()?.to_string(),
        Kind::Number => format!("the number {}", quoted(json.number()?)),
        Kind::Text => format!("the text {:?}", quoted(&json.text()?)),
        Kind::List => {
            let mut len = 0_usize;
            json.open_list()?;
            while json.next_element(&mut first)? {
                json.skip()?;
                len += 1;
            }
            match len {
                0 => "an empty list".to_owned(),
                1 => "a list of 1 element".to_owned(),
                len => format!("a list of {len} elements"),
            }
        }
        Kind::Object => {
            let mut names = vec![];
            json.open_object()?;
            while let Some(name) = json.next_member(&mut first)? {
                if names.len() <= QUOTED_CHARS_MAX {
                    names.push(quoted(&name));
                }
                json.skip()?;
            }
            if names.is_empty() {
                "an empty object".to_owned()
            } else {
                format!(
                    "an object with {}",
                    list_names(names.iter().map(String::as_str))
                )
            }
        }
        Kind::End => "nothing".to_owned(),
    })
}
