//! What owners say of their subnets and themselves. The devnet stores none of it; the metagraph's shape names it.

use parity_scale_codec::{Decode, Encode};
use scale_info::TypeInfo;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct SubnetIdentityV3 {
    pub(crate) subnet_name: Vec<u8>,
    pub(crate) github_repo: Vec<u8>,
    pub(crate) subnet_contact: Vec<u8>,
    pub(crate) subnet_url: Vec<u8>,
    pub(crate) discord: Vec<u8>,
    pub(crate) description: Vec<u8>,
    pub(crate) logo_url: Vec<u8>,
    pub(crate) additional: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub(crate) struct ChainIdentityV2 {
    pub(crate) name: Vec<u8>,
    pub(crate) url: Vec<u8>,
    pub(crate) github_repo: Vec<u8>,
    pub(crate) image: Vec<u8>,
    pub(crate) discord: Vec<u8>,
    pub(crate) description: Vec<u8>,
    pub(crate) additional: Vec<u8>,
}
