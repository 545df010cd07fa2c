//! The keys of a drand network and its signatures of rounds: BLS on BLS12-381, keys in G2, signatures in G1.

use super::TimelockError;
use crate::hex;
use ark_bls12_381::{Bls12_381, Fr, G1Affine, G1Projective, G2Affine, g1};
use ark_ec::{
    AffineRepr, CurveGroup,
    hashing::{HashToCurve, curve_maps::wb::WBMap, map_to_curve_hasher::MapToCurveBasedHasher},
    pairing::Pairing,
};
use ark_ff::{AdditiveGroup, BigInteger, PrimeField, field_hashers::DefaultFieldHasher};
use ark_serialize::CanonicalSerialize;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use zeroize::{Zeroize, Zeroizing};

/// RFC 9380's tag for signatures without proof of possession, with drand's hash and map.
const DOMAIN_SEPARATION_TAG: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

type RoundHasher = MapToCurveBasedHasher<G1Projective, DefaultFieldHasher<Sha256, 128>, WBMap<g1::Config>>;

/// The point of G1 that stands for a round: what the network signs, and the identity that is encrypted for.
pub(super) fn round_point(round: u64) -> G1Affine {
    let message = Sha256::digest(round.to_be_bytes());
    RoundHasher::new(DOMAIN_SEPARATION_TAG)
        .and_then(|hasher| hasher.hash(&message))
        .expect("the simplified SWU map of this curve is defined for every element of its field")
}

/// Reads a compressed point, and refuses whatever could cheat a pairing: a point beside the curve, in another subgroup,
/// at infinity, or written in another way than its one canonical form.
pub(super) fn read_point<P: AffineRepr>(what: &'static str, bytes: &[u8]) -> Result<P, TimelockError> {
    let invalid = |problem| TimelockError::InvalidPoint { what, problem };
    // Checks the curve's equation and the subgroup.
    let point = P::deserialize_compressed(bytes).map_err(|_| invalid("not a point of the group"))?;
    if point.is_zero() {
        return Err(invalid("the point at infinity, which fits everything"));
    }
    let mut canonical = Vec::with_capacity(bytes.len());
    match point.serialize_compressed(&mut canonical) {
        Ok(()) if canonical == bytes => Ok(point),
        _ => Err(invalid("not in canonical form")),
    }
}

/// The 48 or 96 bytes of a point.
pub(super) fn write_point<const N: usize>(point: &impl CanonicalSerialize) -> [u8; N] {
    let mut bytes = [0; N];
    point.serialize_compressed(&mut bytes[..]).expect("the array has the size of a compressed point");
    bytes
}

/// The public key of a drand network: a point of G2.
///
/// Read from 96 bytes or their hexadecimal form, as in the field `public_key` of drand's `/info`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BeaconPublicKey(G2Affine);

impl BeaconPublicKey {
    /// The length of a key in bytes.
    pub const BYTES: usize = 96;

    /// Reads the compressed form.
    ///
    /// # Errors
    ///
    /// [`TimelockError::InvalidPoint`] where the bytes are not the canonical form of a point of the group, or are the
    /// point at infinity.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, TimelockError> {
        read_point("the beacon's public key", bytes).map(Self)
    }

    /// The compressed form.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        write_point(&self.0)
    }

    /// Checks that this is the network's signature of the round: `e(signature, g₂) = e(Q(round), key)`.
    ///
    /// # Errors
    ///
    /// [`TimelockError::InvalidSignature`] where it isn't, [`TimelockError::RoundZero`] for round 0.
    pub fn verify(&self, round: u64, signature: &BeaconSignature) -> Result<(), TimelockError> {
        if round == 0 {
            return Err(TimelockError::RoundZero);
        }
        // One product of two pairings instead of two: e(−signature, g₂) · e(Q, key) = 1.
        let product = Bls12_381::multi_pairing([-signature.0, round_point(round)], [G2Affine::generator(), self.0]);
        if product.0 == ark_ff::Field::ONE { Ok(()) } else { Err(TimelockError::InvalidSignature { round }) }
    }

    pub(super) fn point(&self) -> &G2Affine {
        &self.0
    }
}

/// A drand network's signature of a round: a point of G1.
///
/// Read from 48 bytes or their hexadecimal form, as in the field `signature` of drand's `/public/{round}` and of the
/// chain's `Drand.Pulses`. It is a point of the group; whose signature of what, [`BeaconPublicKey::verify`] says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BeaconSignature(G1Affine);

impl BeaconSignature {
    /// The length of a signature in bytes.
    pub const BYTES: usize = 48;

    /// Reads the compressed form.
    ///
    /// # Errors
    ///
    /// [`TimelockError::InvalidPoint`] where the bytes are not the canonical form of a point of the group, or are the
    /// point at infinity.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, TimelockError> {
        read_point("the beacon's signature", bytes).map(Self)
    }

    /// The compressed form.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        write_point(&self.0)
    }

    pub(super) fn point(&self) -> &G1Affine {
        &self.0
    }
}

/// The secret key of a drand network that is run for development: with it, every round can be signed at any time.
///
/// Zeroized when dropped, and never shown.
pub struct BeaconSecretKey(Fr);

impl BeaconSecretKey {
    /// Reads a number as 32 bytes, big-endian.
    ///
    /// # Errors
    ///
    /// [`TimelockError::InvalidSecretKey`] where it is 0, or not below the order of the group.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, TimelockError> {
        let number = Fr::from_be_bytes_mod_order(bytes);
        let canonical = Zeroizing::new(number.into_bigint().to_bytes_be());
        if number == Fr::ZERO || canonical[..] != bytes[..] {
            return Err(TimelockError::InvalidSecretKey);
        }
        Ok(Self(number))
    }

    /// The key that belongs to any text: the same text gives the same key, whoever knows the text knows the key.
    pub fn from_seed(seed: &[u8]) -> Self {
        // The order has 255 bits, so the digest reduced is never 0 but for one digest in 2²⁵⁵.
        let digest = Zeroizing::new(<[u8; 32]>::from(
            Sha256::new().chain_update(b"distil drand development key").chain_update(seed).finalize(),
        ));
        Self(Fr::from_be_bytes_mod_order(&digest[..]))
    }

    /// What is encrypted for, and what signatures are verified with.
    pub fn public_key(&self) -> BeaconPublicKey {
        BeaconPublicKey((G2Affine::generator() * self.0).into_affine())
    }

    /// Signs a round, which opens everything that was encrypted for it.
    pub fn sign_round(&self, round: u64) -> BeaconSignature {
        BeaconSignature((round_point(round) * self.0).into_affine())
    }
}

impl Drop for BeaconSecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for BeaconSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeaconSecretKey(hidden)")
    }
}

macro_rules! point_as_hex {
    ($type:ident, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.to_bytes()))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        impl FromStr for $type {
            type Err = TimelockError;

            fn from_str(text: &str) -> Result<Self, TimelockError> {
                let mut bytes = [0; Self::BYTES];
                hex::decode_into(text, &mut bytes).ok_or(TimelockError::InvalidPoint {
                    what: $what,
                    problem: "not the right number of hexadecimal digits (96 for a signature, 192 for a key)",
                })?;
                Self::from_bytes(&bytes)
            }
        }
    };
}

point_as_hex!(BeaconPublicKey, "the beacon's public key");
point_as_hex!(BeaconSignature, "the beacon's signature");

#[cfg(test)]
mod tests {
    use super::*;
    use ark_bls12_381::{Fq, Fq2};

    /// Points of the curves that are in no group we use: the first found from x = 1 on.
    #[test]
    fn a_point_of_another_subgroup_is_refused() {
        let in_g1 = (1_u64..)
            .filter_map(|x| G1Affine::get_point_from_x_unchecked(Fq::from(x), false))
            .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
            .unwrap();
        let in_g2 = (1_u64..)
            .filter_map(|x| G2Affine::get_point_from_x_unchecked(Fq2::from(x), false))
            .find(|point| !point.is_in_correct_subgroup_assuming_on_curve())
            .unwrap();
        assert!(in_g1.is_on_curve() && in_g2.is_on_curve());
        let refused =
            |result| matches!(result, Err(TimelockError::InvalidPoint { problem, .. }) if problem.contains("group"));
        assert!(refused(BeaconSignature::from_bytes(&write_point(&in_g1)).map(|_| ())));
        assert!(refused(BeaconPublicKey::from_bytes(&write_point(&in_g2)).map(|_| ())));
        assert!(refused(read_point::<G2Affine>("U", &write_point::<96>(&in_g2)).map(|_| ())));
    }

    /// That they are the right ones, a signature by drand itself shows in the test suite.
    #[test]
    fn each_round_has_its_own_point() {
        let points = [1, 2, 256, u64::MAX].map(round_point);
        for (index, point) in points.iter().enumerate() {
            assert!(point.is_on_curve() && point.is_in_correct_subgroup_assuming_on_curve() && !point.is_zero());
            assert!(!points[..index].contains(point));
        }
    }
}
