use distil_types::Hotkey;
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, SecretKey};
use std::fmt;

/// The context that Substrate's chains sign in.
const CONTEXT: &[u8] = b"substrate";

/// A hotkey's secret key, which can only sign.
///
/// It is zeroized when dropped; neither `Debug` nor anything else shows more of it than its address.
pub struct HotkeySigner {
    // Boxed, so that moving the signer leaves no copies behind.
    keypair: Box<Keypair>,
}

impl HotkeySigner {
    /// The key of a 32-byte seed (`secretSeed` in a key file), expanded as Substrate does.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        // Fails for another length only.
        let seed = MiniSecretKey::from_bytes(seed).expect("a seed has 32 bytes");
        Self::from_mini_secret(&seed)
    }

    pub(super) fn from_mini_secret(seed: &MiniSecretKey) -> Self {
        Self { keypair: Box::new(seed.expand_to_keypair(ExpansionMode::Ed25519)) }
    }

    /// From scalar and nonce, as schnorrkel writes them; `None` where the scalar is not canonical.
    pub(super) fn from_private_key(bytes: &[u8; 64]) -> Option<Self> {
        let secret = SecretKey::from_bytes(bytes).ok()?;
        Some(Self { keypair: Box::new(secret.to_keypair()) })
    }

    /// The hotkey that the signatures are by.
    pub fn public_key(&self) -> Hotkey {
        Hotkey::from_account_id(self.keypair.public.to_bytes())
    }

    /// An sr25519 signature of the message in the context `substrate`, as the chain verifies it.
    ///
    /// Randomness of the operating system goes into each signature, so two of one message differ.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness to give.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.keypair.sign_simple(CONTEXT, message).to_bytes()
    }
}

impl fmt::Debug for HotkeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HotkeySigner({})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;
    use schnorrkel::{PublicKey, Signature};

    #[test]
    fn a_signature_verifies_for_its_message_and_key_only() {
        let (signer, other) = (HotkeySigner::from_seed(&[1; 32]), HotkeySigner::from_seed(&[2; 32]));
        let signature = Signature::from_bytes(&signer.sign(b"message")).unwrap();
        let verify = |by: &HotkeySigner, context: &[u8], message: &[u8]| {
            let key = PublicKey::from_bytes(by.public_key().account_id()).unwrap();
            key.verify_simple(context, message, &signature).is_ok()
        };
        assert!(verify(&signer, b"substrate", b"message"));
        assert!(!verify(&signer, b"substrate", b"massage"));
        assert!(!verify(&signer, b"other", b"message"));
        assert!(!verify(&other, b"substrate", b"message"));
    }

    #[test]
    fn a_private_key_that_is_not_canonical_is_refused() {
        assert!(HotkeySigner::from_private_key(&[0xff; 64]).is_none());
        let mut bytes = [0; 64];
        // //Alice, as bittensor_wallet writes it.
        let alice = "33a6f3093f158a7109f679410bef1a0c54168145e0cecb4df006c1c2fffb1f09\
                     925a225d97aa00682d6a59b95b18780c10d7032336e88f3442b42361f4a66011";
        hex::decode_into(alice, &mut bytes).unwrap();
        let signer = HotkeySigner::from_private_key(&bytes).unwrap();
        assert_eq!(signer.public_key().to_string(), "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY");
    }

    #[test]
    fn debug_shows_the_address_and_nothing_else() {
        let signer = HotkeySigner::from_seed(&[1; 32]);
        assert_eq!(format!("{signer:?}"), format!("HotkeySigner({})", signer.public_key()));
    }
}
