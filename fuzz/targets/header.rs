//! Headers of safetensors files: the first eight bytes are the length, as in a file.

#![no_main]

use distil_checker::SafetensorsHeader;
use distil_fuzz::{Counting, within};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, json)) = bytes.split_first_chunk::<8>() else { return };
    within(64 << 20, || {
        let _ = SafetensorsHeader::length(*first, bytes.len() as u64);
        // The rest as a header of a file in which the tensors it speaks of would end.
        let data_bytes = u64::from_le_bytes(*first) % (1 << 40);
        let _ = SafetensorsHeader::parse(json, 8 + json.len() as u64 + data_bytes);
    });
});
