//! Files that lie, that are cut, that are damaged: an error that names the file, and no more memory than a page may
//! have.

use crate::common::{Layout, draw, texts, write_parquet};
use distil_dataset::{DatasetError, Sampler};
use parquet::{
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    file::properties::WriterVersion,
};
use proptest::prelude::*;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
};
use tempfile::TempDir;

fn write(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn sound(layout: &Layout, rows: u64, chars: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write_parquet(&path, &texts(0..rows, chars), layout);
    fs::read(path).unwrap()
}

fn problem(path: &Path) -> String {
    match draw(path, 1, 1, Sampler::Distil).unwrap_err() {
        DatasetError::Parquet { file, problem } => {
            assert_eq!(file, "a.parquet");
            problem
        }
        other => panic!("{other}"),
    }
}

fn problem_of(bytes: &[u8]) -> String {
    let (_folder, path) = write(bytes);
    problem(&path)
}

#[test]
fn a_footer_length_is_not_believed() {
    let mut bytes = sound(&Layout::default(), 20, 300);
    let place = bytes.len() - 8;
    for (length, expected) in [
        (u32::MAX, "more than 67108864 are not read"),
        ((64 << 20) + 1, "more than 67108864 are not read"),
        (64 << 20, "the file has"),
        (bytes.len() as u32 - 11, "the file has"),
        (0, "no row groups"),
    ] {
        bytes[place..place + 4].copy_from_slice(&length.to_le_bytes());
        let found = problem_of(&bytes);
        assert!(found.contains(expected) || length == 0, "{length}: {found}");
    }
}

#[test]
fn what_is_not_parquet_is_refused() {
    assert!(problem_of(b"PAR1").contains("too few"));
    assert!(problem_of(&[b'x'; 5000]).contains("does not end"));
    let mut encrypted = sound(&Layout::default(), 20, 300);
    let end = encrypted.len();
    encrypted[end - 4..].copy_from_slice(b"PARE");
    assert!(problem_of(&encrypted).contains("encrypted"));
}

/// A footer written by hand: compact protocol, fields of one byte's head.
struct Thrift(Vec<u8>);

impl Thrift {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, delta: u8, kind: u8, value: i64) -> &mut Self {
        self.0.push(delta << 4 | kind);
        self.varint((value << 1 ^ value >> 63) as u64);
        self
    }

    fn i32(&mut self, delta: u8, value: i64) -> &mut Self {
        self.number(delta, 5, value)
    }

    fn i64(&mut self, delta: u8, value: i64) -> &mut Self {
        self.number(delta, 6, value)
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

struct Claims {
    rows: i64,
    group_count: u64,
    group_rows: i64,
    values: i64,
    codec: i64,
    chunk_start: i64,
    chunk_bytes: i64,
    column: &'static str,
    physical_type: i64,
}

/// A file with one required column, its pages given, its footer as claimed.
fn forge(pages: &[u8], claims: &Claims) -> Vec<u8> {
    let mut file = b"PAR1".to_vec();
    file.extend_from_slice(pages);
    let mut footer = Thrift(Vec::new());
    footer.i32(1, 1); // version
    footer.raw(&[0x19, 0x2c]); // schema: two elements
    footer.raw(&[0x48]).string("schema").i32(1, 1).raw(&[0]);
    footer.i32(1, claims.physical_type).i32(2, 0).raw(&[0x18]).string(claims.column).raw(&[0]);
    footer.i64(1, claims.rows);
    footer.raw(&[0x19, 0xfc]);
    footer.varint(claims.group_count);
    footer.raw(&[0x19, 0x1c]); // columns: one
    footer.i64(2, 4); // file offset
    footer.raw(&[0x1c]); // metadata
    footer.i32(1, claims.physical_type).raw(&[0x19, 0x15, 0x00]).raw(&[0x19, 0x18]).string("text");
    footer.i32(1, claims.codec).i64(1, claims.values).i64(1, 1000).i64(1, claims.chunk_bytes);
    footer.i64(2, claims.chunk_start).raw(&[0, 0]);
    footer.i64(1, 1000).i64(1, claims.group_rows).raw(&[0]);
    footer.raw(&[0]);
    let length = footer.0.len() as u32;
    file.extend_from_slice(&footer.0);
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(b"PAR1");
    file
}

/// A data page of version 1.
fn page(compressed: &[u8], uncompressed_bytes: i64, values: i64, encoding: i64) -> Vec<u8> {
    let mut page = Thrift(Vec::new());
    page.i32(1, 0).i32(1, uncompressed_bytes).i32(1, compressed.len() as i64).raw(&[0x2c]);
    page.i32(1, values).i32(1, encoding).i32(1, 3).i32(1, 3).raw(&[0, 0]).raw(compressed);
    page.0
}

fn plain(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn honest(pages: &[u8]) -> Claims {
    Claims {
        rows: 1,
        group_count: 1,
        group_rows: 1,
        values: 1,
        codec: 0,
        chunk_start: 4,
        chunk_bytes: pages.len() as i64,
        column: "text",
        physical_type: 6,
    }
}

#[test]
fn a_forged_file_is_read_if_it_is_true() {
    let value = plain(&"word ".repeat(60));
    let pages = page(&value, value.len() as i64, 1, 0);
    let (_folder, path) = write(&forge(&pages, &honest(&pages)));
    assert_eq!(draw(&path, 1, 1, Sampler::Distil).unwrap().prompts[0].text, "word ".repeat(60).trim());
}

#[test]
fn claims_of_a_footer_are_checked() {
    let value = plain(&"word ".repeat(60));
    let pages = page(&value, value.len() as i64, 1, 0);
    let check = |change: &dyn Fn(&mut Claims), expected: &str| {
        let mut claims = honest(&pages);
        change(&mut claims);
        let found = problem_of(&forge(&pages, &claims));
        assert!(found.contains(expected), "{found}");
    };
    check(&|c| c.rows = -1, "negative number of rows");
    check(&|c| c.rows = i64::MAX, "row groups have 1 together");
    check(&|c| c.group_rows = i64::MIN, "missing or negative");
    check(&|c| (c.group_rows, c.values) = (7, 7), "more rows than the 1");
    check(&|c| c.values = 2, "one value for each row");
    check(&|c| c.group_count = u64::from(u32::MAX), "more than 200,000 row groups");
    check(&|c| c.codec = 77, "unknown compression 77");
    check(&|c| c.codec = 5, "deprecated LZ4");
    check(&|c| c.chunk_start = 0, "not within the file");
    check(&|c| c.chunk_start = i64::MAX, "not within the file");
    check(&|c| c.chunk_bytes = 1 << 40, "not within the file");
    check(&|c| c.chunk_bytes = 20, "beyond its column");
    check(&|c| c.column = "content", "no column named `text`");
    check(&|c| c.physical_type = 2, "one string in each row");
}

#[test]
fn claims_of_a_page_are_checked() {
    let value = plain(&"word ".repeat(60));
    let size = value.len() as i64;
    let check = |page: Vec<u8>, codec: i64, expected: &str| {
        let found = problem_of(&forge(&page, &Claims { codec, ..honest(&page) }));
        assert!(found.contains(expected), "{found}");
    };
    check(page(&value, size, 2_000_000_000, 0), 0, "negative or too large number");
    check(page(&value, -1, 1, 0), 0, "of negative size");
    check(page(&value, 2_000_000_000, 1, 0), 1, "more than 64 MiB");
    check(page(&value, size, 0, 0), 0, "its footer says 1");
    check(page(&value, size, 1, 8), 0, "the column has none");
    check(page(&value, size, 1, 4), 0, "encoding 4");
    check(page(&value[..9], 9, 1, 0), 0, "beyond its page");
    // Block 128, 4 miniblocks, 2^40 lengths.
    let lengths = [0x80, 0x01, 0x04, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x00];
    check(page(&lengths, 10, 1, 6), 0, "more of them than rows");
    check(page(&lengths, 10, 1, 7), 0, "more of them than rows");
}

#[test]
fn a_bomb_does_not_go_off() {
    // A gigabyte of zeros in a megabyte of gzip, on a page that promises 1,000 bytes.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..1024 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    let pages = page(&encoder.finish().unwrap(), 1000, 1, 0);
    let found = problem_of(&forge(&pages, &Claims { codec: 2, ..honest(&pages) }));
    assert!(found.contains("its header says 1000"), "{found}");
}

#[test]
fn damage_beyond_a_row_does_not_matter_to_it() {
    // Of two row groups the second is not what the footer says; whoever does not draw it does not notice, whether the
    // footer came in one piece or not.
    let bytes = sound(&Layout { fineweb: false, ..Layout::default() }, 200, 250);
    let (_folder, path) = write(&bytes);
    let in_first =
        (0..50).find(|block| draw(&path, *block, 1, Sampler::Distil).unwrap().prompts[0].id.contains("#rg0:"));
    let in_second =
        (0..50).find(|block| draw(&path, *block, 1, Sampler::Distil).unwrap().prompts[0].id.contains("#rg1:"));
    // The name of the column stands in the schema and then in each row group: the last one is the second's.
    let mut damaged = bytes.clone();
    let place = damaged.windows(5).rposition(|window| window == b"\x04text").unwrap();
    damaged[place + 1] = b'T';
    let (_folder, path) = write(&damaged);
    assert_eq!(draw(&path, in_first.unwrap(), 1, Sampler::Distil).unwrap().prompts.len(), 1);
    let error = draw(&path, in_second.unwrap(), 1, Sampler::Distil).unwrap_err().to_string();
    assert!(error.contains("row group 1: its columns are not those of the schema"), "{error}");
}

/// Sound files of several layouts, small enough to damage often.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let layout = Layout { rows_per_group: 12, rows_per_page: 5, ..Layout::default() };
        let small = |layout: Layout| sound(&layout, 24, 240);
        vec![
            small(Layout { dictionary: true, page_list: true, ..layout.clone() }),
            small(Layout {
                version: WriterVersion::PARQUET_2_0,
                encoding: Some(Encoding::DELTA_BYTE_ARRAY),
                fineweb: false,
                ..layout.clone()
            }),
            small(Layout {
                compression: Compression::GZIP(GzipLevel::default()),
                encoding: Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
                fineweb: false,
                ..layout.clone()
            }),
            small(Layout { compression: Compression::UNCOMPRESSED, fineweb: false, ..layout.clone() }),
            small(Layout {
                compression: Compression::BROTLI(BrotliLevel::default()),
                fineweb: false,
                ..layout.clone()
            }),
            small(Layout { compression: Compression::ZSTD(ZstdLevel::default()), fineweb: false, ..layout.clone() }),
            small(Layout { compression: Compression::LZ4_RAW, fineweb: false, ..layout }),
        ]
    })
}

/// A file whose row group is so large that its list of pages is read.
fn large_sample() -> &'static Vec<u8> {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let layout = Layout { rows_per_group: 900, rows_per_page: 60, fineweb: false, ..Layout::default() };
        sound(&Layout { page_list: true, compression: Compression::UNCOMPRESSED, ..layout }, 900, 2500)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_file_gives_prompts_or_an_error(
        sample in 0usize..7,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let mut bytes = samples()[sample].clone();
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize + 8;
        for (place, value, in_footer) in flips {
            let start = if in_footer { bytes.len() - footer } else { 0 };
            let place = start + place.index(bytes.len() - start);
            bytes[place] = value;
        }
        let (_folder, path) = write(&bytes);
        for sampler in [Sampler::Distil, Sampler::Reference] {
            if let Ok(drawn) = draw(&path, 1, 8, sampler) {
                prop_assert_eq!(drawn.prompts.len(), 8);
            }
        }
    }

    #[test]
    fn a_cut_file_gives_an_error(sample in 0usize..7, kept in any::<prop::sample::Index>(), tail in any::<bool>()) {
        let bytes = &samples()[sample];
        let kept = kept.index(bytes.len() - 1) + 1;
        let bytes = if tail { &bytes[bytes.len() - kept..] } else { &bytes[..kept] };
        let (_folder, path) = write(bytes);
        if !tail || kept < 12 {
            prop_assert!(kept == samples()[sample].len() || draw(&path, 1, 8, Sampler::Distil).is_err());
        } else {
            let _ = draw(&path, 1, 8, Sampler::Distil);
        }
    }

    #[test]
    fn any_bytes_as_a_footer_are_refused_or_read(footer in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = b"PAR1".to_vec();
        bytes.extend_from_slice(&footer);
        bytes.extend_from_slice(&(footer.len() as u32).to_le_bytes());
        bytes.extend_from_slice(b"PAR1");
        let (_folder, path) = write(&bytes);
        prop_assert!(draw(&path, 1, 1, Sampler::Distil).is_err());
    }
}

proptest! {
    // Each writes a file of megabytes.
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_damaged_list_of_pages_gives_prompts_or_an_error(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = large_sample().clone();
        // The lists stand before the footer.
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize + 8;
        let (start, end) = (bytes.len() - footer - 250, bytes.len() - footer);
        for (place, value) in flips {
            bytes[start + place.index(end - start)] = value;
        }
        let (_folder, path) = write(&bytes);
        if let Ok(drawn) = draw(&path, 1, 3, Sampler::Distil) {
            prop_assert_eq!(drawn.prompts.len(), 3);
        }
    }
}
