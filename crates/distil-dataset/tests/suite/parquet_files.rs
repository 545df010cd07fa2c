//! Every way in which a text column may be written is read as the parquet crate wrote it.

use crate::common::{Layout, draw, open, request, text, texts, threads, write_parquet};
use distil_dataset::{Drawn, Sampler};
use parquet::{
    basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel},
    file::properties::WriterVersion,
};
use std::{collections::HashSet, path::Path};

/// The reference sampler takes any row, so a sample of all rows reads all.
fn read_all(path: &Path, rows: usize) -> Vec<(String, String)> {
    let drawn = draw(path, 7, rows, Sampler::Reference).unwrap();
    let mut read: Vec<(String, String)> = drawn.prompts.into_iter().map(|prompt| (prompt.id, prompt.text)).collect();
    read.sort_by_key(|(id, _)| {
        let (_, place) = id.split_once("#rg").unwrap();
        let (group, row) = place.split_once(":r").unwrap();
        (group.parse::<usize>().unwrap(), row.parse::<usize>().unwrap())
    });
    read
}

fn check_layout(layout: &Layout, rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    // Some texts come often, as dictionaries like it; all are under 512 characters, so that they are not cut.
    let texts: Vec<Option<String>> = (0..rows).map(|row| Some(text(row % 70, 40 + row as usize % 300))).collect();
    write_parquet(&path, &texts, layout);
    let read = read_all(&path, rows as usize);
    for (row, (id, found)) in read.iter().enumerate() {
        let place = format!("a.parquet#rg{}:r{}", row / layout.rows_per_group, row % layout.rows_per_group);
        assert_eq!(*id, place);
        assert_eq!(found, texts[row].as_ref().unwrap().trim(), "{id}");
    }
}

#[test]
fn every_compression_is_read() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            check_layout(&Layout { compression, version, ..Layout::default() }, 230);
        }
    }
}

#[test]
fn every_encoding_is_read() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for nullable in [true, false] {
            for page_list in [true, false] {
                let layout = Layout { version, nullable, page_list, ..Layout::default() };
                for encoding in [Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
                    check_layout(&Layout { encoding: Some(encoding), ..layout.clone() }, 230);
                }
                check_layout(&Layout { dictionary: true, ..layout }, 230);
            }
        }
    }
}

#[test]
fn deltas_longer_than_a_block_are_read() {
    for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
        let layout = Layout { encoding: Some(encoding), rows_per_group: 900, rows_per_page: 450, ..Layout::default() };
        check_layout(&layout, 1000);
    }
}

#[test]
fn large_row_groups_are_read_page_by_page() {
    // Chunks of more than 2 MB: from a list of pages, and walking from page to page; with a dictionary that overflows
    // into plain pages, and with one that holds everything; with headers of several kilobytes.
    let layout = Layout { rows_per_group: 3000, rows_per_page: 100, ..Layout::default() };
    for (layout, most) in [
        (layout.clone(), 2_500_000),
        (Layout { page_list: true, ..layout.clone() }, 2_500_000),
        (Layout { header_statistics: true, ..layout.clone() }, 2_600_000),
        (Layout { dictionary: true, ..layout.clone() }, 3_600_000),
        (Layout { dictionary: true, page_list: true, ..layout.clone() }, 3_600_000),
        (Layout { dictionary: true, dictionary_bytes: 32 << 20, ..layout.clone() }, 6_200_000),
        (Layout { dictionary: true, dictionary_bytes: 32 << 20, page_list: true, ..layout.clone() }, 6_200_000),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let texts = texts(0..3000, 2000);
        write_parquet(&path, &texts, &layout);
        let size = path.metadata().unwrap().len();
        assert!(size > 6_000_000, "{size}");
        let drawn = draw(&path, 3, 10, Sampler::Distil).unwrap();
        check_rows(&drawn, &texts, 3000);
        let read = drawn.traffic.data;
        assert!(read.bytes < most, "{read:?} of {size} bytes, {most} at most");
    }
}

/// Prompts are the beginnings of the rows that their ids name.
fn check_rows(drawn: &Drawn, texts: &[Option<String>], rows_per_group: usize) {
    for prompt in &drawn.prompts {
        let (_, place) = prompt.id.split_once("#rg").unwrap();
        let (group, row) = place.split_once(":r").unwrap();
        let row = group.parse::<usize>().unwrap() * rows_per_group + row.parse::<usize>().unwrap();
        assert!(texts[row].as_ref().unwrap().starts_with(&prompt.text), "{}", prompt.id);
    }
    let distinct: HashSet<&str> = drawn.prompts.iter().map(|prompt| prompt.id.as_str()).collect();
    assert_eq!(distinct.len(), drawn.prompts.len());
}

#[test]
fn what_is_null_short_or_not_text_is_passed_over() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for dictionary in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.parquet");
            let rows: Vec<Option<Vec<u8>>> = (0..500u64)
                .map(|row| match row % 5 {
                    0 => None,
                    1 => Some(text(row, 50).into_bytes()),
                    2 => Some(vec![0xff; 300]),
                    3 => Some("\u{e000}".repeat(300).into_bytes()),
                    _ => Some(text(row, 400).into_bytes()),
                })
                .collect();
            write_parquet(&path, &rows, &Layout { version, dictionary, ..Layout::default() });
            let drawn = draw(&path, 11, 30, Sampler::Distil).unwrap();
            let passed = drawn.passed_over;
            assert!(passed.not_text > passed.too_short && passed.too_short > 5, "{passed:?}");
            for prompt in &drawn.prompts {
                let (_, row) = prompt.id.rsplit_once('r').unwrap();
                assert_eq!(row.parse::<u64>().unwrap() % 5, 4);
                assert!(prompt.text.starts_with("Document"));
            }
        }
    }
}

#[test]
fn files_are_drawn_by_size_and_rows_evenly() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Layout { compression: Compression::UNCOMPRESSED, fineweb: false, ..Layout::default() };
    // Three times the bytes in a tenth of the rows.
    write_parquet(&folder.path().join("many.parquet"), &texts(0..3000, 300), &plain);
    write_parquet(&folder.path().join("large.parquet"), &texts(0..300, 9000), &plain);
    let size = |name| folder.path().join(name).metadata().unwrap().len() as f64;
    let share = size("large.parquet") / (size("large.parquet") + size("many.parquet"));
    let corpus = open(folder.path()).unwrap();
    let (mut large, mut low, mut all) = (0, 0, 0);
    for block in 0..20 {
        let drawn = corpus.draw(&request(block, 40, Sampler::Distil), threads(2), &|_| {}).unwrap();
        for prompt in drawn.prompts {
            all += 1;
            large += usize::from(prompt.id.starts_with("large"));
            let row: u64 = prompt.id.rsplit_once('r').unwrap().1.parse().unwrap();
            low += usize::from(row < 50);
        }
    }
    let (large, low) = (large as f64 / all as f64, low as f64 / all as f64);
    // Standard errors are below 0.02.
    assert!((large - share).abs() < 0.06, "{large} against {share}");
    assert!((low - 0.5).abs() < 0.07, "{low}");
}

#[test]
fn files_without_rows_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    write_parquet::<String>(&folder.path().join("a.parquet"), &[], &Layout::default());
    write_parquet(&folder.path().join("b.parquet"), &texts(0..30, 250), &Layout::default());
    let drawn = draw(folder.path(), 5, 30, Sampler::Distil).unwrap();
    assert!(drawn.prompts.iter().all(|prompt| prompt.id.starts_with("b.parquet")));
    assert!(drawn.passed_over.empty > 0, "{:?}", drawn.passed_over);
}

#[test]
fn a_long_footer_is_read_no_further_than_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    // 3,000 row groups: a footer of more than a megabyte.
    write_parquet(&path, &texts(0..3000, 250), &Layout { rows_per_group: 1, ..Layout::default() });
    let mut bytes = Vec::new();
    for block in 0..12 {
        let drawn = draw(&path, block, 1, Sampler::Distil).unwrap();
        let row: u64 = drawn.prompts[0].id.rsplit_once("#rg").unwrap().1.strip_suffix(":r0").unwrap().parse().unwrap();
        assert!(drawn.prompts[0].text.starts_with(&format!("Document {row} begins")));
        bytes.push((row, drawn.traffic.footers));
    }
    bytes.sort_by_key(|(row, _)| *row);
    let ((first, least), (last, most)) = (bytes[0], bytes[11]);
    assert!(first < 1000 && last > 2000, "{first} {last}");
    assert!(least.bytes * 2 < most.bytes, "{least:?} {most:?}");
    assert!(most.requests <= 6, "{most:?}");
}

#[test]
fn a_file_of_pyarrow_is_read() {
    // tests/fixtures/pyarrow.py made it: row groups of 50, dictionaries, zstd, nulls, a struct and a list before the text.
    let drawn = draw(Path::new("tests/fixtures/pyarrow.parquet"), 97, 40, Sampler::Distil).unwrap();
    for prompt in &drawn.prompts {
        let (group, row) = prompt.id.strip_prefix("pyarrow.parquet#rg").unwrap().split_once(":r").unwrap();
        let number = group.parse::<u64>().unwrap() * 50 + row.parse::<u64>().unwrap();
        assert_ne!(number % 10, 3, "nulls are passed over");
        assert!(prompt.text.starts_with(&format!("Row {number} of the file – ")), "{prompt:?}");
    }
    assert!(drawn.passed_over.not_text > 0);
}
