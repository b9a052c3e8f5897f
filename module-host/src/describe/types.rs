//! Types with every reference resolved and every name canonical.

use std::collections::BTreeSet;

use spacetimedb_sats::{
    AlgebraicType, AlgebraicTypeRef, ProductType, ProductTypeElement, SumType, SumTypeVariant,
    Typespace,
};

use super::names::Names;
use crate::limits::{DESCRIPTION_TYPE_NODES_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX};

/// Why a type cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TypeProblem {
    /// It contains itself.
    #[error("its type contains itself")]
    Recursive,
    /// It refers to a type that is not there.
    #[error("its type refers to a type that does not exist")]
    Dangling,
    /// It is nested more deeply than permitted.
    #[error("its type is nested more than {TYPE_DEPTH_MAX} levels deep")]
    Deep,
    /// Two fields of a product in it, or two variants of a sum, have one canonical name.
    #[error("its type has two parts called {0}")]
    Twice(String),
    /// A sum in it has more variants than a tag can tell.
    #[error("its type has a sum of {0} variants, a tag tells 256")]
    Variants(usize),
    /// It has more parts than permitted, once references are resolved.
    #[error("its type has more than {TYPE_NODES_MAX} parts")]
    Large,
    /// All types together have more parts than permitted.
    #[error("all types together have more than {DESCRIPTION_TYPE_NODES_MAX} parts")]
    AllLarge,
}

/// Resolves the types of one description.
pub(super) struct Resolver<'a> {
    typespace: &'a Typespace,
    names: &'a Names,
    /// References that are being resolved, outermost first.
    open: Vec<AlgebraicTypeRef>,
    nodes: usize,
    all_nodes: usize,
}

impl<'a> Resolver<'a> {
    pub(super) const fn new(typespace: &'a Typespace, names: &'a Names) -> Self {
        Self {
            typespace,
            names,
            open: Vec::new(),
            nodes: 0,
            all_nodes: 0,
        }
    }

    /// What references refer to.
    pub(super) const fn typespace(&self) -> &'a Typespace {
        self.typespace
    }

    /// The type without references, its fields and variants named canonically.
    pub(super) fn resolve(&mut self, ty: &AlgebraicType) -> Result<AlgebraicType, TypeProblem> {
        self.open.clear();
        self.nodes = 0;
        self.resolve_at(ty, TYPE_DEPTH_MAX)
    }

    /// The same for the parameters of a reducer. They may share a name: arguments have an order.
    pub(super) fn resolve_params(
        &mut self,
        params: &ProductType,
    ) -> Result<ProductType, TypeProblem> {
        self.open.clear();
        self.nodes = 0;
        let depth = TYPE_DEPTH_MAX - 1;
        Ok(ProductType::new(self.fields(params, depth)?.into()))
    }

    fn resolve_at(
        &mut self,
        ty: &AlgebraicType,
        depth: usize,
    ) -> Result<AlgebraicType, TypeProblem> {
        let depth = depth.checked_sub(1).ok_or(TypeProblem::Deep)?;
        self.nodes += 1;
        self.all_nodes += 1;
        if self.nodes > TYPE_NODES_MAX {
            return Err(TypeProblem::Large);
        }
        if self.all_nodes > DESCRIPTION_TYPE_NODES_MAX {
            return Err(TypeProblem::AllLarge);
        }
        match ty {
            AlgebraicType::Ref(reference) => {
                if self.open.contains(reference) {
                    return Err(TypeProblem::Recursive);
                }
                let ty = self
                    .typespace
                    .get(*reference)
                    .ok_or(TypeProblem::Dangling)?;
                self.open.push(*reference);
                let resolved = self.resolve_at(ty, depth);
                self.open.pop();
                resolved
            }
            AlgebraicType::Product(product) => self.product(product, depth),
            AlgebraicType::Sum(sum) => self.sum(sum, depth),
            AlgebraicType::Array(array) => Ok(AlgebraicType::array(
                self.resolve_at(&array.elem_ty, depth)?,
            )),
            simple => Ok(simple.clone()),
        }
    }

    fn product(
        &mut self,
        product: &ProductType,
        depth: usize,
    ) -> Result<AlgebraicType, TypeProblem> {
        // Identities, times and the like are known by the names of their fields.
        if product.is_special() {
            return Ok(AlgebraicType::Product(product.clone()));
        }
        let fields = self.fields(product, depth)?;
        names_differ(fields.iter().map(|field| field.name.as_deref()))?;
        Ok(AlgebraicType::Product(ProductType::new(fields.into())))
    }

    fn fields(
        &mut self,
        product: &ProductType,
        depth: usize,
    ) -> Result<Vec<ProductTypeElement>, TypeProblem> {
        let mut fields = Vec::with_capacity(product.elements.len());
        for element in &*product.elements {
            let algebraic_type = self.resolve_at(&element.algebraic_type, depth)?;
            let name = element.name.as_ref();
            fields.push(ProductTypeElement {
                name: name.map(|name| self.names.field(name).into()),
                algebraic_type,
            });
        }
        Ok(fields)
    }

    fn sum(&mut self, sum: &SumType, depth: usize) -> Result<AlgebraicType, TypeProblem> {
        // A tag is one byte.
        if sum.variants.len() > 256 {
            return Err(TypeProblem::Variants(sum.variants.len()));
        }
        let mut variants = Vec::with_capacity(sum.variants.len());
        for variant in &*sum.variants {
            let algebraic_type = self.resolve_at(&variant.algebraic_type, depth)?;
            variants.push(SumTypeVariant {
                name: variant.name.clone(),
                algebraic_type,
            });
        }
        let mut sum = SumType::new(variants.into());
        // Options and the like are known by the names of their variants.
        if !sum.is_special() {
            for variant in &mut sum.variants {
                variant.name = variant
                    .name
                    .take()
                    .map(|name| self.names.variant(&name).into());
            }
        }
        names_differ(sum.variants.iter().map(|variant| variant.name.as_deref()))?;
        Ok(AlgebraicType::Sum(sum))
    }
}

/// Fields and variants are written by their names in JSON and in generated code.
fn names_differ<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Result<(), TypeProblem> {
    let mut taken = BTreeSet::new();
    for name in names.flatten() {
        if !taken.insert(name) {
            return Err(TypeProblem::Twice(name.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(place: u32) -> AlgebraicType {
        AlgebraicType::Ref(AlgebraicTypeRef(place))
    }

    fn resolve(types: Vec<AlgebraicType>) -> Result<AlgebraicType, TypeProblem> {
        let typespace = Typespace::new(types);
        Resolver::new(&typespace, &Names::default()).resolve(&reference(0))
    }

    #[test]
    fn references_and_names_are_resolved() {
        let point = AlgebraicType::product([("posX", AlgebraicType::F32)]);
        let kind = AlgebraicType::sum([("FirstKind", reference(1)), ("Other2", reference(1))]);
        assert_eq!(
            resolve(vec![kind, point]),
            Ok(AlgebraicType::sum([
                (
                    "firstKind",
                    AlgebraicType::product([("pos_x", AlgebraicType::F32)])
                ),
                (
                    "other2",
                    AlgebraicType::product([("pos_x", AlgebraicType::F32)])
                ),
            ]))
        );
    }

    #[test]
    fn special_types_keep_their_names() {
        let special = [
            AlgebraicType::identity(),
            AlgebraicType::timestamp(),
            AlgebraicType::option(AlgebraicType::U8),
        ];
        for ty in special {
            assert_eq!(resolve(vec![ty.clone()]), Ok(ty));
        }
    }

    #[test]
    fn endless_and_exploding_types_are_refused() {
        let list = AlgebraicType::option(AlgebraicType::array(reference(0)));
        assert_eq!(resolve(vec![list]), Err(TypeProblem::Recursive));
        assert_eq!(resolve(vec![reference(7)]), Err(TypeProblem::Dangling));
        let doubling =
            (1..=14).map(|next| AlgebraicType::product([reference(next), reference(next)]));
        let doubling = doubling.chain([AlgebraicType::U8]).collect();
        assert_eq!(resolve(doubling), Err(TypeProblem::Large));
        let deep = (1..=40).map(reference).chain([AlgebraicType::U8]).collect();
        assert_eq!(resolve(deep), Err(TypeProblem::Deep));
    }
}
