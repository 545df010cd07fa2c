//! How the client reaches the chain.

use super::ChainError;
use distil_types::BlockHash;
use std::time::Duration;
use url::Url;

/// Where the chain is, and how long anything may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainSettings {
    /// Nodes of one chain, as `wss://` or `ws://` addresses, the preferred one first. Over `ws://` whoever is on the way
    /// can change what is read: for a node of one's own.
    pub endpoints: Vec<Url>,
    /// The hash of the chain's block 0, where it is known: [`FINNEY_GENESIS`](crate::FINNEY_GENESIS) is Bittensor's. A
    /// node of another chain is refused. `None`: all nodes have to be of the chain of the first one that is reached.
    pub genesis: Option<BlockHash>,
    /// How long one connection or one request may take.
    pub call_timeout: Duration,
    /// How long an operation may take, with all its requests and tries.
    pub overall_deadline: Duration,
    /// How often an operation that only reads is tried, each time with the next endpoint.
    pub max_attempts: u32,
    /// The pause after a failed try.
    pub backoff: Backoff,
}

impl ChainSettings {
    /// These nodes, 20 s for a request, 120 s and six tries for an operation.
    pub fn new(endpoints: Vec<Url>, jitter_seed: u64) -> Self {
        ChainSettings {
            endpoints,
            genesis: None,
            call_timeout: Duration::from_secs(20),
            overall_deadline: Duration::from_secs(120),
            max_attempts: 6,
            backoff: Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(20), jitter_seed },
        }
    }

    pub(super) fn check(&self) -> Result<(), ChainError> {
        let invalid = |setting, problem: &str| Err(ChainError::Setting { setting, problem: problem.to_owned() });
        if self.endpoints.is_empty() {
            return invalid("endpoints", "there are none; give at least one ws:// or wss:// address");
        }
        if let Some(other) = self.endpoints.iter().find(|url| !matches!(url.scheme(), "ws" | "wss")) {
            let problem = format!("{other} is neither a ws:// nor a wss:// address");
            return Err(ChainError::Setting { setting: "endpoints", problem });
        }
        if self.call_timeout.is_zero() {
            return invalid("call_timeout", "it is zero, so no request could ever be answered");
        }
        if self.overall_deadline < self.call_timeout {
            return invalid("overall_deadline", "it is shorter than the timeout of a single request");
        }
        if self.max_attempts == 0 {
            return invalid("max_attempts", "it is 0, and must be at least 1");
        }
        Ok(())
    }
}

/// Pauses that double, each cut at random by up to a half, so that many clients do not come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// What the cuts are drawn from; another one for each client.
    pub jitter_seed: u64,
}

impl Backoff {
    /// The pause after this many failed tries: between a half and all of `min(first · 2^(failures − 1), longest)`.
    ///
    /// ```
    /// use distil_chain::Backoff;
    /// use std::time::Duration;
    ///
    /// let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(8), jitter_seed: 1 };
    /// assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&backoff.pause(3)));
    /// assert!(backoff.pause(50) <= Duration::from_secs(8));
    /// ```
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        // SplitMix64 (Steele, Lea and Flood, 2014) of the seed and the count.
        let mut mixed = self.jitter_seed.wrapping_add(u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        full - (full / 2).mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let url = |text: &str| Url::parse(text).unwrap();
        let good = ChainSettings::new(vec![url("wss://example.org")], 1);
        assert_eq!(good.check().map_err(|error| error.to_string()), Ok(()));
        let cases: [(&str, ChainSettings); 5] = [
            ("endpoints", ChainSettings { endpoints: vec![], ..good.clone() }),
            ("endpoints", ChainSettings { endpoints: vec![url("https://example.org")], ..good.clone() }),
            ("call_timeout", ChainSettings { call_timeout: Duration::ZERO, ..good.clone() }),
            ("overall_deadline", ChainSettings { overall_deadline: Duration::from_secs(1), ..good.clone() }),
            ("max_attempts", ChainSettings { max_attempts: 0, ..good.clone() }),
        ];
        for (name, settings) in cases {
            assert!(settings.check().unwrap_err().to_string().contains(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_within_its_bounds(failures in any::<u32>(), jitter_seed in any::<u64>(), longest_ms in 1_u64..100_000) {
            let longest = Duration::from_millis(longest_ms);
            let pause = Backoff { first: Duration::from_millis(200), longest, jitter_seed }.pause(failures);
            prop_assert!(pause <= longest && pause >= longest.min(Duration::from_millis(200)) / 2);
        }
    }
}
