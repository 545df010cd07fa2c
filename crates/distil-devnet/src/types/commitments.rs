//! What miners commit.

use super::bounded::BoundedVec;
use parity_scale_codec::{Decode, Encode, Error, Input, Output};
use scale_info::{
    Path, Type, TypeInfo,
    build::{Fields, Variants},
};

/// The longest `Raw`.
const MAX_RAW_BYTES: usize = 128;

const BLAKE_TWO_256: u8 = 130;
const SHA_256: u8 = 131;
const KECCAK_256: u8 = 132;
const SHA_THREE_256: u8 = 133;
const TIMELOCK_ENCRYPTED: u8 = 134;
const RESET_BONDS_FLAG: u8 = 135;
const BIG_RAW: u8 = 136;

/// One field of a commitment.
///
/// The real chain encodes it by hand: the length of raw bytes is part of the variant's index, `Raw0` (1) to `Raw128`
/// (129), and no prefix follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    None,
    Raw(BoundedVec<u8, MAX_RAW_BYTES>),
    BlakeTwo256([u8; 32]),
    Sha256([u8; 32]),
    Keccak256([u8; 32]),
    ShaThree256([u8; 32]),
    TimelockEncrypted { encrypted: BoundedVec<u8, 1024>, reveal_round: u64 },
    ResetBondsFlag,
    BigRaw(BoundedVec<u8, 512>),
}

impl Data {
    /// How much of its author's quota it uses up, in bytes.
    pub(crate) fn charged_bytes(&self) -> u64 {
        let bytes = match self {
            Data::None | Data::ResetBondsFlag => 0,
            Data::Raw(bytes) => bytes.0.len(),
            Data::BlakeTwo256(_) | Data::Sha256(_) | Data::Keccak256(_) | Data::ShaThree256(_) => 32,
            Data::TimelockEncrypted { encrypted, .. } => encrypted.0.len(),
            Data::BigRaw(bytes) => bytes.0.len(),
        };
        bytes as u64
    }
}

impl Encode for Data {
    fn encode_to<O: Output + ?Sized>(&self, output: &mut O) {
        match self {
            Data::None => output.push_byte(0),
            Data::Raw(bytes) => {
                let bytes = &bytes.0[..bytes.0.len().min(MAX_RAW_BYTES)];
                output.push_byte(1 + bytes.len() as u8);
                output.write(bytes);
            }
            Data::BlakeTwo256(hash) => (BLAKE_TWO_256, hash).encode_to(output),
            Data::Sha256(hash) => (SHA_256, hash).encode_to(output),
            Data::Keccak256(hash) => (KECCAK_256, hash).encode_to(output),
            Data::ShaThree256(hash) => (SHA_THREE_256, hash).encode_to(output),
            Data::TimelockEncrypted { encrypted, reveal_round } => {
                (TIMELOCK_ENCRYPTED, encrypted, reveal_round).encode_to(output);
            }
            Data::ResetBondsFlag => output.push_byte(RESET_BONDS_FLAG),
            Data::BigRaw(bytes) => (BIG_RAW, bytes).encode_to(output),
        }
    }
}

impl Decode for Data {
    fn decode<I: Input>(input: &mut I) -> Result<Self, Error> {
        Ok(match input.read_byte()? {
            0 => Data::None,
            index @ 1..=129 => {
                let mut bytes = vec![0; usize::from(index - 1)];
                input.read(&mut bytes)?;
                Data::Raw(BoundedVec(bytes))
            }
            BLAKE_TWO_256 => Data::BlakeTwo256(Decode::decode(input)?),
            SHA_256 => Data::Sha256(Decode::decode(input)?),
            KECCAK_256 => Data::Keccak256(Decode::decode(input)?),
            SHA_THREE_256 => Data::ShaThree256(Decode::decode(input)?),
            TIMELOCK_ENCRYPTED => {
                Data::TimelockEncrypted { encrypted: Decode::decode(input)?, reveal_round: Decode::decode(input)? }
            }
            RESET_BONDS_FLAG => Data::ResetBondsFlag,
            BIG_RAW => Data::BigRaw(Decode::decode(input)?),
            _ => return Err("no such kind of commitment".into()),
        })
    }
}

/// One variant for each length of raw bytes.
macro_rules! raw_variants {
    ($variants:ident; $($length:literal)*) => {
        $variants$(.variant(concat!("Raw", $length), |variant| {
            variant.index(1 + $length).fields(Fields::unnamed().field(|field| field.ty::<[u8; $length]>()))
        }))*
    };
}

impl TypeInfo for Data {
    type Identity = Self;

    fn type_info() -> Type {
        let hash = || Fields::unnamed().field(|field| field.ty::<[u8; 32]>());
        let variants = Variants::new().variant("None", |variant| variant.index(0));
        let variants = raw_variants!(variants;
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40
            41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77
            78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110
            111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128
        );
        let variants = variants
            .variant("BlakeTwo256", |variant| variant.index(BLAKE_TWO_256).fields(hash()))
            .variant("Sha256", |variant| variant.index(SHA_256).fields(hash()))
            .variant("Keccak256", |variant| variant.index(KECCAK_256).fields(hash()))
            .variant("ShaThree256", |variant| variant.index(SHA_THREE_256).fields(hash()))
            .variant("TimelockEncrypted", |variant| {
                variant.index(TIMELOCK_ENCRYPTED).fields(
                    Fields::named()
                        .field(|field| field.name("encrypted").ty::<BoundedVec<u8, 1024>>())
                        .field(|field| field.name("reveal_round").ty::<u64>()),
                )
            })
            .variant("ResetBondsFlag", |variant| variant.index(RESET_BONDS_FLAG))
            .variant("BigRaw", |variant| {
                variant.index(BIG_RAW).fields(Fields::unnamed().field(|field| field.ty::<BoundedVec<u8, 512>>()))
            });
        Type::builder().path(Path::new("Data", "pallet_commitments::types")).variant(variants)
    }
}

/// A whole commitment. That it has at most three fields is checked when it is dispatched.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct CommitmentInfo {
    pub(crate) fields: BoundedVec<Data, { usize::MAX }>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct Registration<Balance, BlockNumber> {
    pub(crate) deposit: Balance,
    pub(crate) block: BlockNumber,
    pub(crate) info: CommitmentInfo,
}

/// How many bytes a hotkey has committed in the epoch that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, TypeInfo)]
pub(crate) struct UsageTracker {
    pub(crate) last_epoch: u64,
    pub(crate) used_space: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn raw_bytes_carry_their_length_in_the_index() {
        let data = Data::Raw(BoundedVec(b"hello".to_vec()));
        assert_eq!(data.encode(), b"\x06hello");
        assert_eq!(Data::decode(&mut &b"\x06hello"[..]).unwrap(), data);
        let sealed = Data::TimelockEncrypted { encrypted: BoundedVec(vec![7, 8]), reveal_round: 1 };
        assert_eq!(sealed.encode(), [134, 8, 7, 8, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Data::decode(&mut &[200][..]).is_err());
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = &bytes[..];
            if let Ok(data) = Data::decode(&mut rest) {
                let used = bytes.len() - rest.len();
                // A compact length may be written longer than it need be; what is read is the same.
                prop_assert_eq!(Data::decode(&mut &data.encode()[..]).unwrap(), data.clone());
                prop_assert!(data.encode().len() <= used);
            }
        }
    }
}
