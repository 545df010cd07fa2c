//! Where pallets, calls, events and errors stand: a runtime upgrade moves them.

use scale_info::{PortableRegistry, TypeDef};
use std::collections::BTreeSet;

/// How far a runtime's indices are from those of spec version 365.
///
/// An upgrade moves every pallet but `System` by one, and each pallet's calls, events and errors too: more than any real
/// upgrade did at once, so that a client that remembers an index is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    shift: u8,
}

impl Layout {
    /// How often a runtime can be upgraded: the largest index must stay a byte.
    pub(crate) const MAX_SHIFT: u8 = 100;

    pub(crate) fn new(shift: u8) -> Self {
        Layout { shift: shift.min(Self::MAX_SHIFT) }
    }

    /// Where a pallet stands in this runtime.
    pub(crate) fn pallet(self, index: u8) -> u8 {
        if index == 0 { 0 } else { index + self.shift }
    }

    /// Where a call, event or error of a pallet stands in this runtime.
    pub(crate) fn item(self, pallet: u8, index: u8) -> u8 {
        if pallet == 0 { index } else { index + self.shift }
    }

    /// Turns the two leading indices of a call as this runtime has it into those of spec version 365; none where they
    /// name nothing.
    pub(crate) fn call_to_canonical(self, call: &[u8]) -> Option<Vec<u8>> {
        let [pallet, item, arguments @ ..] = call else { return None };
        let mut canonical = match pallet {
            0 => vec![0, *item],
            pallet => vec![pallet.checked_sub(self.shift).filter(|index| *index > 0)?, item.checked_sub(self.shift)?],
        };
        canonical.extend(arguments);
        Some(canonical)
    }

    /// The other way round, in place: for a call or an event.
    pub(crate) fn place(self, encoded: &mut [u8]) {
        if let [pallet, item, ..] = encoded {
            *item = self.item(*pallet, *item);
            *pallet = self.pallet(*pallet);
        }
    }

    /// Moves the variants of types in the metadata: those of enums over pallets, and those of one pallet's items.
    pub(super) fn apply(self, types: &mut PortableRegistry, outer: &BTreeSet<u32>, items: &BTreeSet<u32>) {
        for entry in &mut types.types {
            let TypeDef::Variant(definition) = &mut entry.ty.type_def else { continue };
            for variant in &mut definition.variants {
                if outer.contains(&entry.id) {
                    variant.index = self.pallet(variant.index);
                } else if items.contains(&entry.id) {
                    variant.index += self.shift;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_where_it_was_put() {
        for shift in [0, 1, 100] {
            let layout = Layout::new(shift);
            for call in [[0, 7, 1], [7, 119, 2], [18, 0, 3]] {
                let mut placed = call;
                layout.place(&mut placed);
                assert_eq!(layout.call_to_canonical(&placed), Some(call.to_vec()));
            }
        }
        assert_eq!(Layout::new(3).call_to_canonical(&[3, 5]), None);
        assert_eq!(Layout::new(3).call_to_canonical(&[10, 2]), None);
        assert_eq!(Layout::new(0).call_to_canonical(&[7]), None);
    }
}
