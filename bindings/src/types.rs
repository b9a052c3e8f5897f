//! Types by reference: their names, their order, and which contain themselves.

use std::collections::{BTreeMap, BTreeSet};

use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef};

use crate::error::BindingsError;
use crate::model::Module;
use crate::names::take;

/// Types by reference, in an order in which each comes after those it is made of.
///
/// Whatever is referred to gets a name, also what the module has no name for: so the text grows
/// with the definition, never with the paths through it.
pub(crate) struct Types<'m> {
    module: &'m Module,
    /// Name in client code and name on the wire.
    names: BTreeMap<AlgebraicTypeRef, (String, String)>,
    order: Vec<AlgebraicTypeRef>,
    /// Those that contain themselves, on whatever way.
    recursive: BTreeSet<AlgebraicTypeRef>,
}

impl<'m> Types<'m> {
    /// Takes a module's types. `identifier` makes names in client code from names in the source.
    pub(crate) fn new(
        module: &'m Module,
        identifier: fn(&str) -> String,
    ) -> Result<Self, BindingsError> {
        let mut types = Self {
            module,
            names: BTreeMap::new(),
            order: Vec::new(),
            recursive: BTreeSet::new(),
        };
        let mut taken = BTreeSet::new();
        for (reference, name) in &module.type_names {
            let identifier = identifier(&name.replace('.', "_"));
            take(&mut taken, || "types".into(), &identifier)?;
            types.names.insert(*reference, (identifier, name.clone()));
        }
        types.visit_all()?;
        for reference in types.order.clone() {
            // A number that no name of the module has: at most as many are tried as it has names.
            let free = |n: &u32| !taken.contains(&format!("Type{n}"));
            let name = (reference.0..)
                .find(free)
                .map_or_else(String::new, |n| format!("Type{n}"));
            let entry = types.names.entry(reference);
            let (identifier, _) = entry.or_insert_with(|| (name.clone(), name));
            taken.insert(identifier.clone());
        }
        Ok(types)
    }

    /// Orders everything that can be reached, and finds what contains itself.
    fn visit_all(&mut self) -> Result<(), BindingsError> {
        let module = self.module;
        let mut roots: Vec<AlgebraicTypeRef> = module.type_names.keys().copied().collect();
        for table in &module.tables {
            for column in &table.columns {
                references(&column.ty, &mut roots);
            }
        }
        for function in module.reducers.iter().chain(&module.procedures) {
            for (_, ty) in &function.params {
                references(ty, &mut roots);
            }
            references(&function.returns, &mut roots);
        }
        let mut edges: BTreeMap<AlgebraicTypeRef, Vec<AlgebraicTypeRef>> = BTreeMap::new();
        // Not by recursion: a module may chain as many types as it likes. `true`: all below are done.
        let mut stack: Vec<(AlgebraicTypeRef, bool)> =
            roots.into_iter().rev().map(|root| (root, false)).collect();
        while let Some((reference, done)) = stack.pop() {
            if done {
                self.order.push(reference);
                continue;
            }
            if edges.contains_key(&reference) {
                continue;
            }
            let mut to = Vec::new();
            references(self.get(reference)?, &mut to);
            stack.push((reference, true));
            stack.extend(to.iter().rev().map(|to| (*to, false)));
            edges.insert(reference, to);
        }
        self.recursive = cyclic(&edges);
        Ok(())
    }

    /// What a type is.
    pub(crate) fn get(
        &self,
        reference: AlgebraicTypeRef,
    ) -> Result<&'m AlgebraicType, BindingsError> {
        let ty = self.module.typespace.get(reference);
        ty.ok_or_else(|| {
            BindingsError::Senseless(format!(
                "it refers to type {}, which does not exist",
                reference.0
            ))
        })
    }

    /// The name that a type has in client code.
    pub(crate) fn identifier(&self, reference: AlgebraicTypeRef) -> Result<&str, BindingsError> {
        let name = self
            .names
            .get(&reference)
            .map(|(identifier, _)| identifier.as_str());
        name.ok_or_else(|| BindingsError::Senseless(format!("type {} has no name", reference.0)))
    }

    /// Those that are reached, each after those it is made of.
    pub(crate) fn order(&self) -> &[AlgebraicTypeRef] {
        &self.order
    }

    /// The name that a type has on the wire.
    pub(crate) fn wire_name(&self, reference: AlgebraicTypeRef) -> Option<&str> {
        let names = self.names.get(&reference);
        names.map(|(_, wire_name)| wire_name.as_str())
    }

    /// Whether a type contains itself.
    pub(crate) fn is_recursive(&self, reference: AlgebraicTypeRef) -> bool {
        self.recursive.contains(&reference)
    }

    /// Whether a type mentions one that may be defined only after it.
    pub(crate) fn comes_later(&self, ty: &AlgebraicType) -> bool {
        let mut found = Vec::new();
        references(ty, &mut found);
        found.iter().any(|reference| self.is_recursive(*reference))
    }
}

/// Collects the types that a type refers to, in order.
pub(crate) fn references(ty: &AlgebraicType, found: &mut Vec<AlgebraicTypeRef>) {
    match ty {
        AlgebraicType::Ref(to) => found.push(*to),
        AlgebraicType::Array(array) => references(&array.elem_ty, found),
        AlgebraicType::Product(product) => {
            product
                .elements
                .iter()
                .for_each(|field| references(&field.algebraic_type, found));
        }
        AlgebraicType::Sum(sum) => {
            sum.variants
                .iter()
                .for_each(|variant| references(&variant.algebraic_type, found));
        }
        _ => {}
    }
}

/// The types on a cycle, and those between cycles: what is left when all that depends on nothing,
/// and all that nothing depends on, is taken away again and again.
pub(crate) fn cyclic(
    edges: &BTreeMap<AlgebraicTypeRef, Vec<AlgebraicTypeRef>>,
) -> BTreeSet<AlgebraicTypeRef> {
    let mut back: BTreeMap<AlgebraicTypeRef, Vec<AlgebraicTypeRef>> = BTreeMap::new();
    for (from, to) in edges {
        for to in to {
            back.entry(*to).or_default().push(*from);
        }
    }
    let mut left: BTreeSet<AlgebraicTypeRef> = edges.keys().copied().collect();
    for (along, against) in [(edges, &back), (&back, edges)] {
        peel(&mut left, along, against);
    }
    left
}

/// Takes away, again and again, whatever has nothing left `along`.
fn peel(
    left: &mut BTreeSet<AlgebraicTypeRef>,
    along: &BTreeMap<AlgebraicTypeRef, Vec<AlgebraicTypeRef>>,
    against: &BTreeMap<AlgebraicTypeRef, Vec<AlgebraicTypeRef>>,
) {
    let none = Vec::new();
    let of = |map: &'_ BTreeMap<AlgebraicTypeRef, Vec<AlgebraicTypeRef>>,
              at|
     -> Vec<AlgebraicTypeRef> { map.get(&at).unwrap_or(&none).clone() };
    let mut counts: BTreeMap<AlgebraicTypeRef, usize> = BTreeMap::new();
    for at in &*left {
        let count = of(along, *at).iter().filter(|to| left.contains(to)).count();
        counts.insert(*at, count);
    }
    let mut free: Vec<AlgebraicTypeRef> = counts
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(at, _)| *at)
        .collect();
    while let Some(at) = free.pop() {
        left.remove(&at);
        for from in of(against, at) {
            if let Some(count) = counts.get_mut(&from)
                && left.contains(&from)
            {
                *count -= 1;
                if *count == 0 {
                    free.push(from);
                }
            }
        }
    }
}
