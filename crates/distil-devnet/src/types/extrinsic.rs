//! Extrinsics and what is signed with them.

use parity_scale_codec::{Decode, Error, Input};
use scale_info::{
    Path, Type, TypeInfo, TypeParameter,
    build::{Fields, Variants},
    meta_type,
};

/// From when to when a transaction may be included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Immortal,
    /// For `period` blocks (a power of two from 4 to 65,536), from a block whose number leaves `phase` modulo `period`.
    Mortal {
        period: u64,
        phase: u64,
    },
}

impl Era {
    /// The block at which an era that contains block `current` began.
    pub(crate) fn birth(self, current: u64) -> u64 {
        match self {
            Era::Immortal => 0,
            Era::Mortal { period, phase } => (current.max(phase) - phase) / period * period + phase,
        }
    }
}

/// Two bytes: the low four bits are `log2(period) - 1`, the others `phase / quantize_factor`. One zero byte is immortal.
impl Decode for Era {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        let first = input.read_byte()?;
        if first == 0 {
            return Ok(Era::Immortal);
        }
        let encoded = u64::from(first) | u64::from(input.read_byte()?) << 8;
        let period = 2 << (encoded % (1 << 4));
        let quantize_factor = (period >> 12).max(1);
        let phase = (encoded >> 4) * quantize_factor;
        if period < 4 || phase >= period {
            return Err("no such era".into());
        }
        Ok(Era::Mortal { period, phase })
    }
}

impl TypeInfo for Era {
    type Identity = Self;

    fn type_info() -> Type {
        let mut variants = Variants::new().variant("Immortal", |variant| variant.index(0));
        for index in 1..=255_u8 {
            // A type is described once in the life of a program, so its names may stay for good.
            let name: &'static str = format!("Mortal{index}").leak();
            variants = variants.variant(name, |variant| {
                variant.index(index).fields(Fields::unnamed().field(|field| field.ty::<u8>()))
            });
        }
        Type::builder().path(Path::new("Era", "sp_runtime::generic::era")).variant(variants)
    }
}

/// The transaction extensions, in the order in which their data stands in an extrinsic.
pub(crate) mod extensions {
    use super::Era;
    use parity_scale_codec::{Decode, Encode};
    use scale_info::TypeInfo;

    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckNonZeroSender;
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckSpecVersion;
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckTxVersion;
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckGenesis;
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckMortality(pub(crate) Era);
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckNonce(#[codec(compact)] pub(crate) u32);
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckWeight;
    /// Holds the tip.
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct ChargeTransactionPayment(#[codec(compact)] pub(crate) u64);
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct SudoTransactionExtension;
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct SubtensorTransactionExtension;
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct DrandPriority;
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, TypeInfo)]
    pub(crate) enum Mode {
        Disabled,
        Enabled,
    }
    #[derive(Debug, Decode, TypeInfo)]
    pub(crate) struct CheckMetadataHash {
        pub(crate) mode: Mode,
    }
}

/// What the extensions put into an extrinsic.
pub(crate) type Extra = (
    extensions::CheckNonZeroSender,
    extensions::CheckSpecVersion,
    extensions::CheckTxVersion,
    extensions::CheckGenesis,
    extensions::CheckMortality,
    extensions::CheckNonce,
    extensions::CheckWeight,
    extensions::ChargeTransactionPayment,
    extensions::SudoTransactionExtension,
    extensions::SubtensorTransactionExtension,
    extensions::DrandPriority,
    extensions::CheckMetadataHash,
);

/// Describes an extrinsic to the metadata: bytes, with the types of their parts as parameters.
pub(crate) struct UncheckedExtrinsic<Address, Call, Signature, Extra>(
    std::marker::PhantomData<(Address, Call, Signature, Extra)>,
);

impl<Address, Call, Signature, Extra> TypeInfo for UncheckedExtrinsic<Address, Call, Signature, Extra>
where
    Address: TypeInfo + 'static,
    Call: TypeInfo + 'static,
    Signature: TypeInfo + 'static,
    Extra: TypeInfo + 'static,
{
    type Identity = Self;

    fn type_info() -> Type {
        Type::builder()
            .path(Path::new("UncheckedExtrinsic", "sp_runtime::generic::unchecked_extrinsic"))
            .type_params(vec![
                TypeParameter::new("Address", Some(meta_type::<Address>())),
                TypeParameter::new("Call", Some(meta_type::<Call>())),
                TypeParameter::new("Signature", Some(meta_type::<Signature>())),
                TypeParameter::new("Extra", Some(meta_type::<Extra>())),
            ])
            .composite(Fields::unnamed().field(|field| field.ty::<Vec<u8>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn eras_are_read_as_substrate_writes_them() {
        assert_eq!(Era::decode(&mut &[0][..]).unwrap(), Era::Immortal);
        // Period 64, phase 42: 5 | 42 << 4.
        let era = Era::decode(&mut &(5 | 42_u16 << 4).to_le_bytes()[..]).unwrap();
        assert_eq!(era, Era::Mortal { period: 64, phase: 42 });
        assert_eq!(era.birth(42), 42);
        assert_eq!(era.birth(105), 42);
        assert_eq!(era.birth(106), 106);
        assert!(Era::decode(&mut &(5 | 64_u16 << 4).to_le_bytes()[..]).is_err());
    }

    proptest! {
        #[test]
        fn an_era_contains_its_birth(first in 1..=255_u8, second in any::<u8>(), current in 0..1_000_000_u64) {
            if let Ok(era @ Era::Mortal { period, phase }) = Era::decode(&mut &[first, second][..]) {
                let birth = era.birth(current);
                prop_assert!(birth <= current.max(phase) && current < birth + period);
                prop_assert_eq!(birth % period, phase);
            }
        }
    }
}
