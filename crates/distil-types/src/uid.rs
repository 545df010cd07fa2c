use crate::{Error, text::excerpt};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A seat on a subnet, from 0.
///
/// A seat is where weight is sent and nothing more: it changes hands when a miner deregisters, so it must never be the
/// key of a score, a verdict or a ban. A miner is a [`Hotkey`](crate::Hotkey) together with the block of its commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u16);

/// The number of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetUid(pub u16);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NetUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Digits and nothing else: `u16::from_str` would also take a leading plus sign.
fn parse_u16(text: &str) -> Option<u16> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl FromStr for Uid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_u16(text).map(Uid).ok_or_else(|| Error::InvalidUid { kind: "uid", text: excerpt(text) })
    }
}

impl FromStr for NetUid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_u16(text).map(NetUid).ok_or_else(|| Error::InvalidUid { kind: "netuid", text: excerpt(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_numbers_within_range_are_taken() {
        for bad in ["", "+1", "-1", " 1", "1 ", "65536", "99999999999999999999", "0x10", "one", "１"] {
            assert!(bad.parse::<Uid>().is_err(), "{bad:?}");
            assert!(bad.parse::<NetUid>().is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<Uid>("65536").is_err());
        assert!(serde_json::from_str::<Uid>("-1").is_err());
        assert_eq!(
            "no".parse::<NetUid>().unwrap_err().to_string(),
            "\"no\" is not a netuid: a number from 0 to 65535 is needed"
        );
    }

    proptest! {
        #[test]
        fn text_and_json_go_there_and_back(number in any::<u16>()) {
            prop_assert_eq!(Uid(number).to_string().parse::<Uid>().unwrap(), Uid(number));
            prop_assert_eq!(NetUid(number).to_string().parse::<NetUid>().unwrap(), NetUid(number));
            prop_assert_eq!(serde_json::to_string(&Uid(number)).unwrap(), number.to_string());
            prop_assert_eq!(serde_json::from_str::<NetUid>(&number.to_string()).unwrap(), NetUid(number));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = text.parse::<Uid>();
        }
    }
}
