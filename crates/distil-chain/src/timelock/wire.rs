//! The bytes of a ciphertext, as the chain's decoder reads them (see the module's documentation).

use super::{
    BeaconPublicKey, TimelockError,
    beacon::{read_point, write_point},
};
use ark_bls12_381::G2Affine;

pub(super) const KEY_BYTES: usize = 32;
pub(super) const NONCE_BYTES: usize = 12;
pub(super) const TAG_BYTES: usize = 16;
const POINT_BYTES: usize = BeaconPublicKey::BYTES;
const LENGTH_BYTES: usize = size_of::<u64>();
const SUITE: &[u8; 8] = b"AES_GCM_";

/// All but the plaintext.
pub(super) const OVERHEAD_BYTES: usize = POINT_BYTES
    + 2 * (LENGTH_BYTES + KEY_BYTES)
    + LENGTH_BYTES
    + (LENGTH_BYTES + TAG_BYTES)
    + (LENGTH_BYTES + NONCE_BYTES)
    + (LENGTH_BYTES + SUITE.len());

/// A ciphertext in its parts; named `U`, `V`, `W`, `C` in the scheme's description.
pub(super) struct Parts<'a> {
    pub(super) ephemeral_key: G2Affine,
    pub(super) masked_seed: [u8; KEY_BYTES],
    pub(super) masked_key: [u8; KEY_BYTES],
    /// The encrypted bytes and their tag.
    pub(super) sealed: &'a [u8],
    pub(super) nonce: [u8; NONCE_BYTES],
}

impl<'a> Parts<'a> {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OVERHEAD_BYTES - TAG_BYTES + self.sealed.len());
        let length = |length: usize| (length as u64).to_le_bytes();
        bytes.extend(write_point::<POINT_BYTES>(&self.ephemeral_key));
        for masked in [&self.masked_seed, &self.masked_key] {
            bytes.extend(length(masked.len()));
            bytes.extend(masked);
        }
        bytes.extend(length(LENGTH_BYTES + self.sealed.len() + LENGTH_BYTES + self.nonce.len()));
        bytes.extend(length(self.sealed.len()));
        bytes.extend(self.sealed);
        bytes.extend(length(self.nonce.len()));
        bytes.extend(self.nonce);
        bytes.extend(length(SUITE.len()));
        bytes.extend(SUITE);
        bytes
    }

    /// Nothing is allocated, and every length is held to what is there; bytes after the end are an error.
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Result<Self, TimelockError> {
        let mut reader = Reader { bytes, offset: 0 };
        let ephemeral_key = reader.take(POINT_BYTES, "the 96 bytes of the point U are cut off")?;
        let masked_seed = reader.array("the length of V must be 32, and V follow it")?;
        let masked_key = reader.array("the length of W must be 32, and W follow it")?;
        let body = reader.prefixed("the length of the body is more than what follows")?;
        let body_start = reader.offset - body.len();
        if reader.prefixed("the cipher's name is cut off")? != SUITE {
            return Err(reader.error("the cipher must be AES_GCM_"));
        }
        reader.end()?;

        let mut reader = Reader { bytes: &bytes[..body_start + body.len()], offset: body_start };
        let sealed = reader.prefixed("the length of the encrypted bytes is more than what follows")?;
        if sealed.len() < TAG_BYTES {
            return Err(reader.error("the encrypted bytes are fewer than their tag"));
        }
        let nonce = reader.array("the length of the nonce must be 12, and the nonce follow it")?;
        reader.end()?;

        // Last, since it takes the longest.
        let ephemeral_key = read_point("the point U of the ciphertext", ephemeral_key)?;
        Ok(Self { ephemeral_key, masked_seed, masked_key, sealed, nonce })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, problem: &'static str) -> TimelockError {
        TimelockError::Malformed { offset: self.offset, problem }
    }

    fn take(&mut self, length: usize, problem: &'static str) -> Result<&'a [u8], TimelockError> {
        let taken = self.bytes[self.offset..].get(..length).ok_or_else(|| self.error(problem))?;
        self.offset += length;
        Ok(taken)
    }

    /// Bytes behind their length.
    fn prefixed(&mut self, problem: &'static str) -> Result<&'a [u8], TimelockError> {
        let start = self.offset;
        let length = self.take(LENGTH_BYTES, problem)?;
        let length = u64::from_le_bytes(length.try_into().expect("eight bytes were taken"));
        // A length that does not fit into usize is more than there can be.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.take(length, problem).map_err(|_| TimelockError::Malformed { offset: start, problem })
    }

    /// As [`prefixed`](Self::prefixed), of one length only.
    fn array<const N: usize>(&mut self, problem: &'static str) -> Result<[u8; N], TimelockError> {
        let start = self.offset;
        let bytes = self.prefixed(problem)?;
        bytes.try_into().map_err(|_| TimelockError::Malformed { offset: start, problem })
    }

    fn end(&self) -> Result<(), TimelockError> {
        if self.offset == self.bytes.len() { Ok(()) } else { Err(self.error("there are bytes after the end")) }
    }
}
