//! A list with a bound on its length.

use parity_scale_codec::{Decode, Encode, Error, Input};
use scale_info::{Path, Type, TypeInfo, TypeParameter, build::Fields};

/// A list that does not decode when it has more than `BOUND` elements. The bound is not part of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct BoundedVec<T, const BOUND: usize>(pub(crate) Vec<T>);

impl<T: Encode, const BOUND: usize> Encode for BoundedVec<T, BOUND> {
    fn size_hint(&self) -> usize {
        self.0.size_hint()
    }

    fn encode_to<O: parity_scale_codec::Output + ?Sized>(&self, output: &mut O) {
        self.0.encode_to(output);
    }
}

impl<T: Decode, const BOUND: usize> Decode for BoundedVec<T, BOUND> {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let elements = Vec::<T>::decode(input)?;
        if elements.len() > BOUND {
            return Err("more elements than the bound allows".into());
        }
        Ok(BoundedVec(elements))
    }
}

impl<T: TypeInfo + 'static, const BOUND: usize> TypeInfo for BoundedVec<T, BOUND> {
    type Identity = Self;

    fn type_info() -> Type {
        Type::builder()
            .path(Path::new("BoundedVec", "bounded_collections::bounded_vec"))
            .type_params(vec![
                TypeParameter::new("T", Some(scale_info::meta_type::<T>())),
                TypeParameter::new("S", None),
            ])
            .composite(Fields::unnamed().field(|field| field.ty::<Vec<T>>().type_name("Vec<T>")))
    }
}
