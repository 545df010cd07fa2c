//! Timelock encryption: bytes that nobody can read before a round of the [drand] randomness beacon, in the format that
//! the Bittensor chain opens by itself.
//!
//! A commitment or a row of weights is encrypted for a round of drand's *quicknet*. When that round is published, the
//! chain has its signature in `Drand.Pulses`, decrypts what was committed for it, and shows the plaintext to everybody.
//!
//! ```
//! use distil_chain::timelock::{self, BeaconSecretKey, DrandNetwork, Randomness};
//!
//! // For whom, and when: the first round that is published a minute from now.
//! let quicknet = DrandNetwork::quicknet();
//! let now_unix_ms = 1_760_000_000_000;
//! let round = quicknet.round_at(now_unix_ms + 60_000)?;
//!
//! let payload = timelock::commitment_payload(r#"{"model":"alice/qwen-4b"}"#)?;
//! let sealed = timelock::encrypt(&payload, round, quicknet.public_key(), Randomness::from_system()?)?;
//! assert_eq!(sealed.len(), payload.len() + timelock::OVERHEAD_BYTES);
//!
//! // A development network signs its rounds itself, so there it can be opened at once.
//! let beacon = BeaconSecretKey::from_seed(b"development only");
//! let sealed = timelock::encrypt(&payload, round, &beacon.public_key(), Randomness::from_system()?)?;
//! let signature = beacon.sign_round(round);
//! beacon.public_key().verify(round, &signature)?;
//! let opened = timelock::decrypt(&sealed, &signature)?;
//! assert_eq!(timelock::commitment_text(&opened), br#"{"model":"alice/qwen-4b"}"#);
//! # Ok::<(), timelock::TimelockError>(())
//! ```
//!
//! # The scheme
//!
//! drand's quicknet signs round *n* by a BLS signature on BLS12-381: `sig = s · Q(n)`, where `s` is the network's
//! secret key, `P = s · g₂` its public key, and
//!
//! ```text
//! Q(n) = hash_to_curve(sha256(n as u64, big-endian))
//!        RFC 9380's BLS12381G1_XMD:SHA-256_SSWU_RO_, domain separation tag BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_
//! ```
//!
//! By the bilinearity of the pairing `e`, `e(sig, r · g₂) = e(Q(n), r · P)`. Whoever encrypts chooses `r` and computes
//! the right side today; whoever decrypts computes the left side once `sig` is there. That is Boneh and Franklin's
//! identity-based encryption with the round as the identity, made secure against chosen ciphertexts by Fujisaki and
//! Okamoto's transform. With `key`, `seed` (32 random bytes each) and `nonce` (12):
//!
//! ```text
//! r = int_big_endian(sha256(seed ‖ key)) mod the order of the group
//! U = r · g₂
//! V = seed xor sha256(e(Q(n), r · P))      the pairing's value as 576 bytes: twelve coordinates, little-endian
//! W = key  xor sha256(seed)
//! C = AES-256-GCM(key, nonce, plaintext)   no associated data; the tag is the last 16 bytes
//! ```
//!
//! Decryption computes `seed`, then `key`, and takes them only if `r` of both gives `U` again: a changed ciphertext or
//! the signature of another round is noticed before anything is decrypted.
//!
//! # The bytes
//!
//! All lengths are u64, little-endian:
//!
//! ```text
//! U (96, compressed) ‖ 32 ‖ V ‖ 32 ‖ W ‖ |body| ‖ body ‖ 8 ‖ "AES_GCM_"
//! body = |C| ‖ C ‖ 12 ‖ nonce
//! ```
//!
//! which is [`OVERHEAD_BYTES`] more than the plaintext. The chain takes [`MAX_COMMITMENT_CIPHERTEXT_BYTES`] in a
//! commitment, hence [`MAX_COMMITMENT_PLAINTEXT_BYTES`]. These *inner* bytes are what is submitted. Bittensor's Python
//! tools also have an envelope of inner bytes and round, [`UserData`], that only runtimes from about spec version 446 on
//! open too.
//!
//! A committed text is preceded by its SCALE compact length ([`commitment_payload`], [`commitment_text`]).
//!
//! # Which round
//!
//! Round *n* is published at `genesis + (n − 1) · period`. [`DrandNetwork::round_at`] gives the first round published
//! at or after a time, so nothing is ever readable before that time. Bittensor's SDK 11 does the same. SDK 10 took
//! `⌊elapsed / period⌋` ([`DrandNetwork::round_at_by_sdk_10`]), a round that comes 1 to 2 periods before the time: what
//! is to be revealed at once can be read by everybody before it is even in a block.
//!
//! # References
//!
//! - [timelock], the implementation that the chain runs (its commit 5416406c); held to byte by byte in the tests.
//! - [drand's quicknet], and [tlock], *Practical Timelock Encryption from Threshold BLS*.
//! - D. Boneh and M. Franklin, *Identity-Based Encryption from the Weil Pairing*, 2001; E. Fujisaki and T. Okamoto,
//!   *Secure Integration of Asymmetric and Symmetric Encryption Schemes*, 1999.
//! - [RFC 9380], Hashing to Elliptic Curves.
//!
//! [drand]: https://docs.drand.love
//! [drand's quicknet]: https://api.drand.sh/52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971/info
//! [timelock]: https://github.com/ideal-lab5/timelock
//! [tlock]: https://eprint.iacr.org/2023/189
//! [RFC 9380]: https://www.rfc-editor.org/rfc/rfc9380

mod beacon;
mod cipher;
mod envelope;
mod error;
mod network;
mod wire;

pub use beacon::{BeaconPublicKey, BeaconSecretKey, BeaconSignature};
pub use cipher::{
    MAX_COMMITMENT_CIPHERTEXT_BYTES, MAX_COMMITMENT_PLAINTEXT_BYTES, MAX_COMMITMENT_TEXT_BYTES, OVERHEAD_BYTES,
    Randomness, decrypt, encrypt,
};
pub use envelope::{UserData, commitment_payload, commitment_text};
pub use error::TimelockError;
pub use network::{DrandNetwork, QUICKNET_CHAIN_HASH};
