//! Encryption for a round, and decryption with its signature.

use super::{
    BeaconPublicKey, BeaconSignature, TimelockError,
    beacon::round_point,
    wire::{self, KEY_BYTES, NONCE_BYTES, Parts},
};
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Nonce},
};
use ark_bls12_381::{Bls12_381, Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup, pairing::Pairing};
use ark_ff::PrimeField;
use ark_serialize::CanonicalSerialize;
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// By how much a ciphertext is longer than its plaintext: 244 bytes.
pub const OVERHEAD_BYTES: usize = wire::OVERHEAD_BYTES;

/// The chain's bound for a timelocked field of a commitment: `TimelockEncrypted { encrypted: BoundedVec<u8, 1024> }`.
pub const MAX_COMMITMENT_CIPHERTEXT_BYTES: usize = 1024;

/// The longest plaintext that can be committed: 780 bytes. For a text, its compact length is part of them.
pub const MAX_COMMITMENT_PLAINTEXT_BYTES: usize = MAX_COMMITMENT_CIPHERTEXT_BYTES - OVERHEAD_BYTES;

/// The longest text that can be committed: 778 bytes of UTF-8, since its compact length takes the other two.
pub const MAX_COMMITMENT_TEXT_BYTES: usize = MAX_COMMITMENT_PLAINTEXT_BYTES - 2;

type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// The random bytes that one encryption needs; [`encrypt`] consumes them, since they must not serve twice.
///
/// The same bytes, plaintext, round and key give the same ciphertext. Whoever knows them can decrypt it at once.
pub struct Randomness {
    key: Secret,
    seed: Secret,
    nonce: [u8; NONCE_BYTES],
}

impl Randomness {
    /// How many random bytes there must be: the key and the seed of 32, the nonce of 12.
    pub const BYTES: usize = 2 * KEY_BYTES + NONCE_BYTES;

    /// From bytes that nobody can guess, in the order key, seed, nonce.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut randomness = Self { key: Secret::default(), seed: Secret::default(), nonce: [0; NONCE_BYTES] };
        let (key, rest) = bytes.split_at(KEY_BYTES);
        let (seed, nonce) = rest.split_at(KEY_BYTES);
        randomness.key.copy_from_slice(key);
        randomness.seed.copy_from_slice(seed);
        randomness.nonce.copy_from_slice(nonce);
        randomness
    }

    /// From the operating system.
    ///
    /// # Errors
    ///
    /// [`TimelockError::NoRandomness`] where it gives none.
    pub fn from_system() -> Result<Self, TimelockError> {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        getrandom::fill(&mut bytes[..]).map_err(|error| TimelockError::NoRandomness(error.to_string()))?;
        Ok(Self::from_bytes(&bytes))
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness(hidden)")
    }
}

/// Encrypts for a round: the inner bytes, [`OVERHEAD_BYTES`] longer than the plaintext, that are submitted to the
/// chain.
///
/// Any length is encrypted here. What goes into a commitment is at most [`MAX_COMMITMENT_PLAINTEXT_BYTES`] long.
///
/// # Errors
///
/// [`TimelockError::RoundZero`] for round 0, which is never signed; [`TimelockError::TooLong`] from 64 GiB on,
/// AES-GCM's own limit.
///
/// # Example
///
/// ```
/// use distil_chain::timelock::{DrandNetwork, Randomness, encrypt};
///
/// let sealed = encrypt(b"not yet", 25_000_000, DrandNetwork::quicknet().public_key(), Randomness::from_system()?)?;
/// # Ok::<(), distil_chain::timelock::TimelockError>(())
/// ```
pub fn encrypt(
    plaintext: &[u8],
    round: u64,
    public_key: &BeaconPublicKey,
    randomness: Randomness,
) -> Result<Vec<u8>, TimelockError> {
    if round == 0 {
        return Err(TimelockError::RoundZero);
    }
    let Randomness { key, seed, nonce } = randomness;
    let mut scalar = ephemeral_scalar(&seed, &key);
    let ephemeral_key = (G2Affine::generator() * scalar).into_affine();
    let shared_key = (*public_key.point() * scalar).into_affine();
    scalar.zeroize();
    let sealed = Aes256Gcm::new((&*key).into())
        .encrypt(&Nonce::<Aes256Gcm>::from(nonce), plaintext)
        // 2³⁶ − 32 bytes, the only way for it to fail.
        .map_err(|_| TimelockError::TooLong {
            what: "the plaintext",
            size_bytes: plaintext.len(),
            max_bytes: usize::try_from((1_u64 << 36) - 32).unwrap_or(usize::MAX),
        })?;
    let parts = Parts {
        ephemeral_key,
        masked_seed: *xor(&seed, &pairing_digest(&round_point(round), &shared_key)),
        masked_key: *xor(&key, &digest(&[&seed[..]])),
        sealed: &sealed,
        nonce,
    };
    Ok(parts.to_bytes())
}

/// Opens the inner bytes with the signature of the round that they were encrypted for.
///
/// The ciphertext does not say which round that is: the chain keeps it beside (`reveal_round`), and so does
/// [`UserData`].
///
/// [`UserData`]: super::UserData
///
/// # Errors
///
/// [`TimelockError::Malformed`] and [`TimelockError::InvalidPoint`] where the bytes are no ciphertext,
/// [`TimelockError::DoesNotOpen`] where the signature is of another round or network or any part but the body was
/// changed, [`TimelockError::BodyChanged`] where the body was.
pub fn decrypt(ciphertext: &[u8], signature: &BeaconSignature) -> Result<Vec<u8>, TimelockError> {
    let parts = Parts::from_bytes(ciphertext)?;
    let (seed, key) = unmask(&parts, signature);
    let mut scalar = ephemeral_scalar(&seed, &key);
    let expected = (G2Affine::generator() * scalar).into_affine();
    scalar.zeroize();
    if expected != parts.ephemeral_key {
        return Err(TimelockError::DoesNotOpen);
    }
    Aes256Gcm::new((&*key).into())
        .decrypt(&Nonce::<Aes256Gcm>::from(parts.nonce), parts.sealed)
        .map_err(|_| TimelockError::BodyChanged)
}

/// Seed and key, if the signature is the right one; any other gives other bytes.
fn unmask(parts: &Parts<'_>, signature: &BeaconSignature) -> (Secret, Secret) {
    let seed = xor(&parts.masked_seed, &pairing_digest(signature.point(), &parts.ephemeral_key));
    let key = xor(&parts.masked_key, &digest(&[&seed[..]]));
    (seed, key)
}

/// `r`, which follows from seed and key, so that decryption can repeat it.
fn ephemeral_scalar(seed: &Secret, key: &Secret) -> Fr {
    Fr::from_be_bytes_mod_order(&digest(&[&seed[..], &key[..]])[..])
}

fn pairing_digest(in_g1: &G1Affine, in_g2: &G2Affine) -> Secret {
    // Twelve coordinates of 48 bytes.
    let mut bytes = Zeroizing::new([0; 12 * 48]);
    Bls12_381::pairing(in_g1, in_g2)
        .serialize_compressed(&mut bytes[..])
        .expect("the array has the size of an element of the pairing's group");
    digest(&[&bytes[..]])
}

fn digest(parts: &[&[u8]]) -> Secret {
    let hasher = parts.iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part));
    Zeroizing::new(hasher.finalize().into())
}

fn xor(one: &[u8; KEY_BYTES], other: &[u8; KEY_BYTES]) -> Secret {
    let mut result = Zeroizing::new(*one);
    result.iter_mut().zip(other).for_each(|(byte, mask)| *byte ^= mask);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hex,
        timelock::{BeaconSecretKey, DrandNetwork},
    };

    fn unhex(value: &serde_json::Value) -> Vec<u8> {
        let text = value.as_str().unwrap();
        let mut bytes = vec![0; text.len() / 2];
        hex::decode_into(text, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_same_randomness_gives_the_bytes_of_the_chains_own_library() {
        // See tests/fixtures/README.md. The library draws its randomness itself; it is taken from its ciphertexts.
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/timelock_vectors.json")).unwrap();
        let signature: BeaconSignature = file["signature_hex"].as_str().unwrap().parse().unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 6);
        for vector in vectors {
            let (plaintext, theirs) = (unhex(&vector["plaintext_hex"]), unhex(&vector["inner_ciphertext_hex"]));
            assert_eq!(decrypt(&theirs, &signature).unwrap(), plaintext);

            let parts = Parts::from_bytes(&theirs).unwrap();
            let (seed, key) = unmask(&parts, &signature);
            let randomness = Randomness { key, seed, nonce: parts.nonce };
            let round = vector["round"].as_u64().unwrap();
            let ours = encrypt(&plaintext, round, DrandNetwork::quicknet().public_key(), randomness).unwrap();
            assert_eq!(hex::encode(&ours), hex::encode(&theirs), "{}", vector["text"]);
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let beacon = BeaconSecretKey::from_seed(b"test");
        let signature = beacon.sign_round(7);
        let sealed = encrypt(b"x", 7, &beacon.public_key(), Randomness::from_bytes(&[5; 76])).unwrap();
        assert_eq!(decrypt(&sealed, &signature).unwrap(), b"x");
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(decrypt(&changed, &signature).is_err(), "byte {position}");
        }
    }

    #[test]
    fn an_error_says_which_part_was_changed() {
        let beacon = BeaconSecretKey::from_seed(b"test");
        let sealed = encrypt(b"text", 7, &beacon.public_key(), Randomness::from_bytes(&[5; 76])).unwrap();
        let changed = |position: usize, signature| {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            decrypt(&changed, &signature).unwrap_err()
        };
        let signature = beacon.sign_round(7);
        for position in [96, 136, 176, 184, 212, 232, 240] {
            let error = changed(position, signature);
            assert!(
                matches!(error, TimelockError::Malformed { .. }),
                "a length or the cipher's name, {position}: {error}"
            );
        }
        assert_eq!(changed(104, signature), TimelockError::DoesNotOpen, "V");
        assert_eq!(changed(144, signature), TimelockError::DoesNotOpen, "W");
        assert_eq!(changed(192, signature), TimelockError::BodyChanged, "C");
        assert_eq!(changed(200, signature), TimelockError::BodyChanged, "the tag");
        assert_eq!(changed(225, signature), TimelockError::BodyChanged, "the nonce");
        assert_eq!(decrypt(&sealed, &beacon.sign_round(8)), Err(TimelockError::DoesNotOpen), "another round");
        let other = BeaconSecretKey::from_seed(b"other");
        assert_eq!(decrypt(&sealed, &other.sign_round(7)), Err(TimelockError::DoesNotOpen), "another network");
    }

    #[test]
    fn the_system_gives_other_bytes_each_time_and_they_are_not_shown() {
        let randomness = Randomness::from_system().unwrap();
        let other = Randomness::from_system().unwrap();
        assert_ne!(*randomness.key, *other.key);
        assert_ne!(*randomness.seed, *other.seed);
        assert_eq!(format!("{randomness:?}"), "Randomness(hidden)");
    }
}
