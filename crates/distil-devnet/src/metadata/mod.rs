//! What the chain says of itself: metadata of versions 14, 15 and 16, made from the Rust types that it runs on.

mod apis;
mod convert;
mod layout;
mod pallets;
mod paths;

pub(crate) use apis::{RuntimeFeatures, api_versions};
pub(crate) use layout::Layout;

/// The metadata versions that `Metadata_metadata_versions` lists.
pub(crate) const VERSIONS: [u32; 3] = [14, 15, 16];

/// The metadata of one runtime, encoded, in each version.
#[derive(Debug)]
pub(crate) struct Metadata {
    v14: Vec<u8>,
    v15: Vec<u8>,
    v16: Vec<u8>,
}

impl Metadata {
    pub(crate) fn new(
        layout: Layout,
        features: RuntimeFeatures,
        version: &crate::types::system::RuntimeVersion,
    ) -> Self {
        let pallets = pallets::all(features, version);
        let apis = apis::all(features);
        Metadata {
            v14: convert::v14(&pallets, layout),
            v15: convert::v15(&pallets, &apis, layout),
            v16: convert::v16(&pallets, &apis, layout),
        }
    }

    /// The bytes from `meta` on.
    pub(crate) fn bytes(&self, version: u32) -> Option<&[u8]> {
        match version {
            14 => Some(&self.v14),
            15 => Some(&self.v15),
            16 => Some(&self.v16),
            _ => None,
        }
    }
}
