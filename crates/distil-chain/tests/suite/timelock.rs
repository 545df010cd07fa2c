use distil_chain::timelock::*;
use proptest::prelude::*;
use std::sync::LazyLock;

/// drand's quicknet, round 1000.
const ROUND: u64 = 1000;
const SIGNATURE: &str =
    "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";

static BEACON: LazyLock<BeaconSecretKey> = LazyLock::new(|| BeaconSecretKey::from_seed(b"tests"));

fn seal(plaintext: &[u8], round: u64, random: u8) -> Vec<u8> {
    encrypt(plaintext, round, &BEACON.public_key(), Randomness::from_bytes(&[random; Randomness::BYTES])).unwrap()
}

#[test]
fn a_real_signature_of_the_quicknet_verifies_for_its_round_only() {
    let quicknet = DrandNetwork::quicknet();
    let signature: BeaconSignature = SIGNATURE.parse().unwrap();
    assert_eq!(signature.to_string(), SIGNATURE);
    quicknet.verify(ROUND, &signature).unwrap();
    assert_eq!(quicknet.verify(ROUND + 1, &signature), Err(TimelockError::InvalidSignature { round: ROUND + 1 }));
    assert_eq!(quicknet.verify(0, &signature), Err(TimelockError::RoundZero));
    assert_eq!(BEACON.public_key().verify(ROUND, &signature), Err(TimelockError::InvalidSignature { round: ROUND }));
}

#[test]
fn what_is_encrypted_for_the_quicknet_is_opened_by_its_signature() {
    let quicknet = DrandNetwork::quicknet();
    let payload = commitment_payload("{\"model\":\"é/漢\"}").unwrap();
    let sealed = encrypt(&payload, ROUND, quicknet.public_key(), Randomness::from_system().unwrap()).unwrap();
    assert_eq!(decrypt(&sealed, &SIGNATURE.parse().unwrap()).unwrap(), payload);
    let later = encrypt(&payload, ROUND + 1, quicknet.public_key(), Randomness::from_system().unwrap()).unwrap();
    assert_eq!(decrypt(&later, &SIGNATURE.parse().unwrap()), Err(TimelockError::DoesNotOpen));
}

#[test]
fn the_longest_commitment_fills_the_chains_limit() {
    assert_eq!((OVERHEAD_BYTES, MAX_COMMITMENT_PLAINTEXT_BYTES, MAX_COMMITMENT_TEXT_BYTES), (244, 780, 778));
    let payload = commitment_payload(&"x".repeat(MAX_COMMITMENT_TEXT_BYTES)).unwrap();
    assert_eq!(seal(&payload, ROUND, 1).len(), MAX_COMMITMENT_CIPHERTEXT_BYTES);
}

#[test]
fn points_that_cheat_are_refused() {
    let problem = |error: TimelockError| match error {
        TimelockError::InvalidPoint { problem, .. } => problem,
        other => panic!("{other}"),
    };
    // At infinity: such a key would verify such a signature of anything.
    let mut infinity = [0; 96];
    infinity[0] = 0xc0;
    assert!(problem(BeaconPublicKey::from_bytes(&infinity).unwrap_err()).contains("infinity"));
    assert!(problem(BeaconSignature::from_bytes(infinity[..48].try_into().unwrap()).unwrap_err()).contains("infinity"));
    // The prime of the field as x, which is 0 in another form.
    let p = "9a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";
    assert!(p.parse::<BeaconSignature>().is_err());
    // Uncompressed, and with flags that contradict each other.
    let mut bytes = SIGNATURE.parse::<BeaconSignature>().unwrap().to_bytes();
    for flags in [0x00, 0x20, 0x40, 0x60, 0xe0] {
        bytes[0] = bytes[0] & 0x1f | flags;
        assert!(BeaconSignature::from_bytes(&bytes).is_err(), "{flags:#x}");
    }
    for text in ["", "00", &SIGNATURE[2..], &format!("{SIGNATURE}00"), &SIGNATURE.replace('b', "g")] {
        assert!(text.parse::<BeaconSignature>().is_err(), "{text}");
    }

    // The same within a ciphertext.
    let mut sealed = seal(b"x", ROUND, 1);
    sealed[..96].copy_from_slice(&infinity);
    assert!(problem(decrypt(&sealed, &BEACON.sign_round(ROUND)).unwrap_err()).contains("infinity"));
}

#[test]
fn a_secret_key_is_read_in_one_form_and_never_shown() {
    let mut one = [0; 32];
    one[31] = 1;
    let key = BeaconSecretKey::from_bytes(&one).unwrap();
    // The generator of G2.
    assert!(key.public_key().to_string().starts_with("93e02b6052719f607dacd3a088274f65596bd0d09920b61a"));
    assert_eq!(format!("{key:?}"), "BeaconSecretKey(hidden)");
    assert!(BeaconSecretKey::from_bytes(&[0; 32]).is_err());
    assert!(BeaconSecretKey::from_bytes(&[0xff; 32]).is_err());
}

#[test]
fn round_zero_is_refused() {
    let randomness = Randomness::from_bytes(&[1; Randomness::BYTES]);
    assert_eq!(encrypt(b"", 0, &BEACON.public_key(), randomness), Err(TimelockError::RoundZero));
}

#[test]
fn lengths_that_lie_allocate_nothing_and_are_named() {
    let sealed = seal(b"text", ROUND, 1);
    let signature = BEACON.sign_round(ROUND);
    for position in [96, 136, 176, 184, 212, 232] {
        for length in [0, 1, 31, 33, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut changed = sealed.clone();
            if changed[position..position + 8] == length.to_le_bytes() {
                continue;
            }
            changed[position..position + 8].copy_from_slice(&length.to_le_bytes());
            let error = decrypt(&changed, &signature).unwrap_err();
            assert!(matches!(error, TimelockError::Malformed { .. }), "{position} {length}: {error}");
        }
    }
    let longer = [&sealed[..], b"x"].concat();
    assert!(matches!(decrypt(&longer, &signature), Err(TimelockError::Malformed { offset: 248, .. })));
    // The envelope is not taken for what it holds.
    let envelope = UserData { encrypted: sealed.clone(), reveal_round: ROUND }.encode().unwrap();
    assert!(decrypt(&envelope, &signature).is_err());
    let opened = UserData::decode(&envelope).unwrap();
    assert_eq!((opened.reveal_round, decrypt(&opened.encrypted, &signature).unwrap()), (ROUND, b"text".to_vec()));
}

proptest! {
    // Pairings take milliseconds.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_encrypted_is_opened(
        plaintext in proptest::collection::vec(any::<u8>(), 0..900), round in 1..=u64::MAX, random in any::<u8>()
    ) {
        let sealed = seal(&plaintext, round, random);
        prop_assert_eq!(sealed.len(), plaintext.len() + OVERHEAD_BYTES);
        prop_assert_eq!(&sealed, &seal(&plaintext, round, random));
        let signature = BEACON.sign_round(round);
        prop_assert!(BEACON.public_key().verify(round, &signature).is_ok());
        prop_assert_eq!(decrypt(&sealed, &signature).unwrap(), plaintext);
    }

    #[test]
    fn tampering_is_always_noticed(position in 0..265usize, change in 1..=255u8) {
        let mut sealed = seal(b"twenty-one characters", ROUND, 3);
        sealed[position] ^= change;
        prop_assert!(decrypt(&sealed, &BEACON.sign_round(ROUND)).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(decrypt(&bytes, &SIGNATURE.parse().unwrap()).is_err());
    }

    #[test]
    fn any_cut_is_an_error(end in 0..248usize) {
        static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| seal(b"text", ROUND, 1));
        let error = decrypt(&SEALED[..end], &SIGNATURE.parse().unwrap()).unwrap_err();
        prop_assert!(matches!(error, TimelockError::Malformed { .. }), "{}", error);
    }

    #[test]
    fn any_bytes_are_a_point_or_an_error(bytes in any::<[u8; 48]>()) {
        if let Ok(signature) = BeaconSignature::from_bytes(&bytes) {
            prop_assert_eq!(signature.to_bytes(), bytes);
        }
    }
}
