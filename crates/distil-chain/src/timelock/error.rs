/// Why something cannot be encrypted for a round, or opened.
///
/// No error holds a key, a plaintext, or bytes of the ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimelockError {
    /// Bytes that are no point of the curve we could use.
    #[error("{what}: {problem}")]
    InvalidPoint {
        /// Which point: "the beacon's public key", for example.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Bytes that are no secret key.
    #[error("a beacon's secret key is a number from 1 to the order of the group minus 1, as 32 bytes, big-endian")]
    InvalidSecretKey,
    /// The signature is not the network's signature of this round.
    #[error("the signature is not that of round {round} by this network's key")]
    InvalidSignature {
        /// The round it was verified for.
        round: u64,
    },
    /// Bytes that are not in the format of a timelocked ciphertext or its envelope.
    #[error("not a timelocked ciphertext: at byte {offset}, {problem}")]
    Malformed {
        /// Where, in bytes from the beginning.
        offset: usize,
        /// What was expected there.
        problem: &'static str,
    },
    /// Well-formed, but the signature does not open it.
    #[error(
        "the signature does not open this ciphertext: it is of another round or network, or the ciphertext was changed"
    )]
    DoesNotOpen,
    /// The signature fits, but the encrypted bytes or their tag were changed.
    #[error("the ciphertext was changed: the tag of its body does not fit")]
    BodyChanged,
    /// More than there is room for.
    #[error("{what} has {size_bytes} bytes; at most {max_bytes} fit")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// drand's first round is 1.
    #[error("there is no round 0; the first is 1")]
    RoundZero,
    /// A round whose time, or a time whose round, has no 64-bit number of milliseconds.
    #[error("{what} {value} is out of range")]
    OutOfRange {
        /// "round" or "time".
        what: &'static str,
        /// Its number.
        value: u64,
    },
    /// A network whose rounds follow each other without any time between them.
    #[error("a beacon's period is at least 1 ms")]
    PeriodZero,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
}
