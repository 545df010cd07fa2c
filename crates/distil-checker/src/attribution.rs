//! Whose model it is, of several that are the same.

use std::cmp::Ordering;

use distil_types::Hotkey;
use serde::{Deserialize, Serialize};

/// One miner's claim to a model. A miner is its hotkey and the block in which its commitment was revealed, never a
/// repository's name or a seat on the subnet: two miners may commit the same repository, and seats are given anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Who.
    pub hotkey: Hotkey,
    /// The block of the reveal; `None` where it is not known.
    pub commit_block: Option<u64>,
    /// Place of the extrinsic within the block, where it is known: it tells who was first within one block.
    pub extrinsic: Option<u32>,
}

/// Who owns a model that several have committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attribution", rename_all = "snake_case")]
pub enum Attribution {
    /// There is nothing to decide: fewer than two claims.
    Alone,
    /// The earliest owns it.
    Decided {
        /// The earliest claim.
        owner: Claim,
        /// All others, earliest first.
        copies: Vec<Claim>,
    },
    /// The block of a commitment is not known, so nobody is called a copy.
    Undecided {
        /// Whose block is not known, by hotkey.
        unknown: Vec<Hotkey>,
    },
}

/// Decides between claims to the same model. The earliest commit block owns it; within one block the earlier extrinsic,
/// and where that is not known of both, the lower account id, so that every validator decides alike. A block that is not
/// known disqualifies nobody, and a claim that is there twice counts once.
///
/// ```
/// use distil_checker::{Attribution, Claim, attribute};
/// use distil_types::Hotkey;
///
/// let claim = |id, commit_block| Claim { hotkey: Hotkey::from_account_id([id; 32]), commit_block, extrinsic: None };
/// let Attribution::Decided { owner, copies } = attribute(&[claim(1, Some(20)), claim(2, Some(10))]) else { panic!() };
/// assert_eq!((owner, copies), (claim(2, Some(10)), vec![claim(1, Some(20))]));
/// assert!(matches!(attribute(&[claim(1, Some(20)), claim(2, None)]), Attribution::Undecided { .. }));
/// ```
pub fn attribute(claims: &[Claim]) -> Attribution {
    let mut claims = claims.to_vec();
    claims.sort_by(total_order);
    claims.dedup();
    if claims.len() < 2 {
        return Attribution::Alone;
    }
    let mut unknown: Vec<Hotkey> =
        claims.iter().filter(|claim| claim.commit_block.is_none()).map(|claim| claim.hotkey).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        return Attribution::Undecided { unknown };
    }
    // The extrinsics of one block are compared only if all of them are known: otherwise the order of two would depend on
    // whether a third is there.
    claims.sort_by(|a, b| a.commit_block.cmp(&b.commit_block).then_with(|| a.hotkey.cmp(&b.hotkey)));
    for block in claims.chunk_by_mut(|a, b| a.commit_block == b.commit_block) {
        if block.iter().all(|claim| claim.extrinsic.is_some()) {
            block.sort_by(|a, b| a.extrinsic.cmp(&b.extrinsic).then_with(|| a.hotkey.cmp(&b.hotkey)));
        }
    }
    let owner = claims.remove(0);
    Attribution::Decided { owner, copies: claims }
}

/// An order of no meaning that brings equal claims together.
fn total_order(a: &Claim, b: &Claim) -> Ordering {
    let key = |claim: &Claim| (claim.hotkey, claim.commit_block, claim.extrinsic);
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(id: u8, commit_block: Option<u64>, extrinsic: Option<u32>) -> Claim {
        Claim { hotkey: Hotkey::from_account_id([id; 32]), commit_block, extrinsic }
    }

    fn decided(claims: &[Claim]) -> (Claim, Vec<Claim>) {
        match attribute(claims) {
            Attribution::Decided { owner, copies } => (owner, copies),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a7_the_later_commitment_is_the_copy_whichever_is_named_first() {
        let (early, late) = (claim(9, Some(100), None), claim(1, Some(200), None));
        assert_eq!(decided(&[early.clone(), late.clone()]), (early.clone(), vec![late.clone()]));
        assert_eq!(decided(&[late.clone(), early.clone()]), (early, vec![late]));
    }

    #[test]
    fn within_a_block_the_extrinsic_decides_and_then_the_account() {
        let (first, second) = (claim(9, Some(5), Some(1)), claim(1, Some(5), Some(2)));
        assert_eq!(decided(&[second.clone(), first.clone()]), (first, vec![second]));
        let (known, unknown) = (claim(9, Some(5), Some(1)), claim(1, Some(5), None));
        assert_eq!(decided(&[known.clone(), unknown.clone()]), (unknown, vec![known]));
    }

    #[test]
    fn a9_an_unknown_block_disqualifies_nobody() {
        let (known, unknown) = (claim(1, Some(5), None), claim(2, None, None));
        for claims in [[known.clone(), unknown.clone()], [unknown.clone(), known]] {
            assert_eq!(attribute(&claims), Attribution::Undecided { unknown: vec![unknown.hotkey] });
        }
        let third = claim(3, None, None);
        let Attribution::Undecided { unknown } = attribute(&[third, unknown, claim(1, Some(5), None)]) else {
            panic!()
        };
        assert_eq!(unknown, [2, 3].map(|id| Hotkey::from_account_id([id; 32])));
    }

    #[test]
    fn a10_a_miner_is_hotkey_and_block_and_the_earliest_of_a_group_owns() {
        // One hotkey that registered anew is another miner.
        let (old, new) = (claim(1, Some(5), None), claim(1, Some(50), None));
        let other = claim(2, Some(20), None);
        let (owner, copies) = decided(&[new.clone(), other.clone(), old.clone(), old.clone()]);
        assert_eq!((owner, copies), (old.clone(), vec![other, new]));
        assert_eq!(attribute(&[old.clone(), old]), Attribution::Alone);
        assert_eq!(attribute(&[]), Attribution::Alone);
    }

    fn any_claim() -> impl Strategy<Value = Claim> {
        (0..4u8, proptest::option::weighted(0.9, 0..4u64), proptest::option::of(0..3u32))
            .prop_map(|(id, block, extrinsic)| claim(id, block, extrinsic))
    }

    proptest! {
        #[test]
        fn a7_the_order_of_claims_does_not_matter(
            claims in proptest::collection::vec(any_claim(), 0..6).prop_flat_map(|claims| {
                (Just(claims.clone()), Just(claims).prop_shuffle())
            }),
        ) {
            let (claims, shuffled) = claims;
            let decision = attribute(&claims);
            prop_assert_eq!(&decision, &attribute(&shuffled));
            match decision {
                Attribution::Alone => prop_assert!(claims.iter().all(|claim| *claim == claims[0])),
                Attribution::Undecided { unknown } => prop_assert!(!unknown.is_empty()),
                Attribution::Decided { owner, copies } => {
                    prop_assert!(!copies.is_empty());
                    prop_assert!(copies.iter().all(|copy| copy.commit_block >= owner.commit_block));
                    prop_assert!(claims.iter().all(|claim| *claim == owner || copies.contains(claim)));
                    prop_assert!(!copies.contains(&owner));
                }
            }
        }
    }
}
