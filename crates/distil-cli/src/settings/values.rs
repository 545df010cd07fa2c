//! The types of single settings. Each is parsed the same way from a flag, the environment and `distil.toml`.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Origin;

/// How results are written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// What to compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DtypeChoice {
    /// 32-bit floats
    F32,
    /// 16-bit brain floats
    Bf16,
}

/// How documents are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SamplerChoice {
    /// Seeded by the block's hash
    #[default]
    Distil,
    /// As the original validator: seeded by the block's number, from a fixed pool
    Reference,
}

impl From<SamplerChoice> for distil_dataset::Sampler {
    fn from(choice: SamplerChoice) -> Self {
        match choice {
            SamplerChoice::Distil => Self::Distil,
            SamplerChoice::Reference => Self::Reference,
        }
    }
}

/// Whose rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProfileChoice {
    /// Bittensor subnet 97
    #[default]
    Sn97,
}

impl ProfileChoice {
    /// The rules themselves.
    pub(crate) fn profile(self) -> distil_types::SubnetProfile {
        match self {
            Self::Sn97 => distil_types::SubnetProfile::sn97(),
        }
    }
}

/// A setting's value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ValueError {
    /// Not a device.
    #[error("no such device; give cpu, cuda or cuda:N")]
    Device,
    /// Not a count of tokens.
    #[error("not a whole number of tokens from 1 to {}", TokenLimit::MOST)]
    TokenLimit,
    /// Not a count of prompts.
    #[error("not a whole number of prompts from 1 to {}", PromptCount::MOST)]
    PromptCount,
    /// Not a temperature.
    #[error("not a number above 0; leave it out for greedy continuations")]
    Temperature,
    /// Not a share.
    #[error("not a number above 0 and up to 1")]
    Probability,
    /// Not a count of threads.
    #[error("not a whole number of threads from 1 to {}", Threads::MOST)]
    Threads,
}

/// Where to compute: `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum DeviceChoice {
    /// The processor.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => other
                .strip_prefix("cuda:")
                .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or(ValueError::Device),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(device: DeviceChoice) -> Self {
        device.to_string()
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// A limit on tokens: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub(crate) struct TokenLimit(usize);

impl TokenLimit {
    /// No model of the families we load reads further.
    const MOST: usize = 1 << 20;

    /// # Panics
    /// Never in use: defaults are given as literals.
    pub(crate) const fn literal(count: usize) -> Self {
        assert!(count >= 1 && count <= Self::MOST);
        Self(count)
    }

    /// The number of tokens.
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

impl From<TokenLimit> for u64 {
    fn from(limit: TokenLimit) -> Self {
        limit.0 as u64
    }
}

impl TryFrom<u64> for TokenLimit {
    type Error = ValueError;

    fn try_from(count: u64) -> Result<Self, ValueError> {
        usize::try_from(count)
            .ok()
            .filter(|count| (1..=Self::MOST).contains(count))
            .map(Self)
            .ok_or(ValueError::TokenLimit)
    }
}

impl FromStr for TokenLimit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let count: u64 = text.parse().map_err(|_| ValueError::TokenLimit)?;
        count.try_into()
    }
}

/// How many prompts are drawn: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub(crate) struct PromptCount(usize);

impl PromptCount {
    /// Far more than any round needs.
    const MOST: usize = 10_000;

    /// # Panics
    /// Never in use: defaults are given as literals.
    pub(crate) const fn literal(count: usize) -> Self {
        assert!(count >= 1 && count <= Self::MOST);
        Self(count)
    }

    /// The number of prompts.
    pub(crate) fn get(self) -> usize {
        self.0
    }
}

impl From<PromptCount> for u64 {
    fn from(count: PromptCount) -> Self {
        count.0 as u64
    }
}

impl TryFrom<u64> for PromptCount {
    type Error = ValueError;

    fn try_from(count: u64) -> Result<Self, ValueError> {
        usize::try_from(count)
            .ok()
            .filter(|count| (1..=Self::MOST).contains(count))
            .map(Self)
            .ok_or(ValueError::PromptCount)
    }
}

impl FromStr for PromptCount {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let count: u64 = text.parse().map_err(|_| ValueError::PromptCount)?;
        count.try_into()
    }
}

/// Threads to compute with: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub(crate) struct Threads(NonZeroUsize);

impl Threads {
    /// More than any one machine has; a slip of the hand is refused before it starts that many.
    const MOST: usize = 4096;

    /// # Panics
    /// Never in use: defaults are given as literals.
    pub(crate) const fn literal(count: usize) -> Self {
        assert!(count >= 1 && count <= Self::MOST);
        Self(NonZeroUsize::new(count).unwrap())
    }

    /// The number of threads.
    pub(crate) fn get(self) -> usize {
        self.0.get()
    }

    /// What is used when nobody says: `RAYON_NUM_THREADS` where set, else one thread per physical core that this
    /// process may use. A second thread on the same core slows matrix products down.
    pub(crate) fn usual() -> (Self, Origin) {
        const VARIABLE: &str = "RAYON_NUM_THREADS";
        let named = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        match named {
            Some(threads) => (threads, Origin::Environment(VARIABLE.to_owned())),
            None => {
                let usable = num_cpus::get_physical().min(num_cpus::get());
                let usable = NonZeroUsize::new(usable.min(Self::MOST));
                (Self(usable.unwrap_or(NonZeroUsize::MIN)), Origin::Default)
            }
        }
    }
}

impl From<Threads> for u64 {
    fn from(threads: Threads) -> Self {
        threads.0.get() as u64
    }
}

impl TryFrom<u64> for Threads {
    type Error = ValueError;

    fn try_from(count: u64) -> Result<Self, ValueError> {
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= Self::MOST)
            .and_then(NonZeroUsize::new)
            .map(Self)
            .ok_or(ValueError::Threads)
    }
}

impl FromStr for Threads {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let count: u64 = text.parse().map_err(|_| ValueError::Threads)?;
        count.try_into()
    }
}

/// A sampling temperature: finite and above zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "f64", try_from = "f64")]
pub(crate) struct Temperature(f64);

/// A share of probability: above zero and at most one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "f64", try_from = "f64")]
pub(crate) struct Probability(f64);

impl Probability {
    /// All of it.
    pub(crate) const ONE: Self = Self(1.0);
}

impl TryFrom<f64> for Temperature {
    type Error = ValueError;

    fn try_from(value: f64) -> Result<Self, ValueError> {
        if value.is_finite() && value > 0.0 { Ok(Self(value)) } else { Err(ValueError::Temperature) }
    }
}

impl TryFrom<f64> for Probability {
    type Error = ValueError;

    fn try_from(value: f64) -> Result<Self, ValueError> {
        if value > 0.0 && value <= 1.0 { Ok(Self(value)) } else { Err(ValueError::Probability) }
    }
}

impl From<Temperature> for f64 {
    fn from(value: Temperature) -> Self {
        value.0
    }
}

impl From<Probability> for f64 {
    fn from(value: Probability) -> Self {
        value.0
    }
}

impl FromStr for Temperature {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let value: f64 = text.parse().map_err(|_| ValueError::Temperature)?;
        value.try_into()
    }
}

impl FromStr for Probability {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let value: f64 = text.parse().map_err(|_| ValueError::Probability)?;
        value.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for wrong in ["", "gpu", "cuda:", "cuda:+1", "cuda:-1", "cuda:x", "CPU"] {
            assert_eq!(wrong.parse::<DeviceChoice>(), Err(ValueError::Device), "{wrong}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for wrong in ["0", "-1", "1.5", "1048577", "", "many"] {
            assert_eq!(wrong.parse::<TokenLimit>(), Err(ValueError::TokenLimit), "{wrong}");
        }
        for wrong in ["0", "4097", "all"] {
            assert_eq!(wrong.parse::<Threads>(), Err(ValueError::Threads), "{wrong}");
        }
        for wrong in ["0", "-0.5", "NaN", "inf", "warm"] {
            assert_eq!(wrong.parse::<Temperature>(), Err(ValueError::Temperature), "{wrong}");
        }
        for wrong in ["0", "1.01", "NaN", "-1"] {
            assert_eq!(wrong.parse::<Probability>(), Err(ValueError::Probability), "{wrong}");
        }
        for wrong in ["0", "10001", "-3"] {
            assert_eq!(wrong.parse::<PromptCount>(), Err(ValueError::PromptCount), "{wrong}");
        }
        assert_eq!("0.7".parse(), Ok(Temperature(0.7)));
        assert_eq!("1".parse(), Ok(Probability::ONE));
    }
}
