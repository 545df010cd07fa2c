//! Files to draw from, and short ways to draw.

use distil_dataset::{Corpus, DatasetError, DrawRequest, Drawn, PromptSource, Sampler};
use distil_types::{BlockHash, BlockRef, NetUid};
use parquet::{
    basic::{Compression, Encoding},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::{
        properties::{EnabledStatistics, WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};
use std::{fs::File, num::NonZeroUsize, path::Path, sync::Arc};

/// How a parquet file is written.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) rows_per_group: usize,
    pub(crate) rows_per_page: usize,
    pub(crate) compression: Compression,
    pub(crate) dictionary: bool,
    /// Dictionaries grow to this size before values are written out.
    pub(crate) dictionary_bytes: usize,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) version: WriterVersion,
    pub(crate) page_list: bool,
    /// Least and greatest text of each page in its header, whole; takes a list of pages along.
    pub(crate) header_statistics: bool,
    pub(crate) nullable: bool,
    /// FineWeb's other columns too.
    pub(crate) fineweb: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Layout {
            rows_per_group: 100,
            rows_per_page: 20,
            compression: Compression::SNAPPY,
            dictionary: false,
            dictionary_bytes: 1 << 20,
            encoding: None,
            version: WriterVersion::PARQUET_1_0,
            page_list: false,
            header_statistics: false,
            nullable: true,
            fineweb: true,
        }
    }
}

/// Writes texts as FineWeb's files have them.
pub(crate) fn write_parquet<T: AsRef<[u8]>>(path: &Path, texts: &[Option<T>], layout: &Layout) {
    let repetition = if layout.nullable { "OPTIONAL" } else { "REQUIRED" };
    let others = if layout.fineweb {
        "OPTIONAL BYTE_ARRAY id (STRING); OPTIONAL BYTE_ARRAY dump (STRING); OPTIONAL BYTE_ARRAY url (STRING);
         OPTIONAL BYTE_ARRAY date (STRING); OPTIONAL BYTE_ARRAY file_path (STRING);
         OPTIONAL BYTE_ARRAY language (STRING); OPTIONAL DOUBLE language_score; OPTIONAL INT64 token_count;"
    } else {
        ""
    };
    let schema = format!("message schema {{ {repetition} BYTE_ARRAY text (STRING); {others} }}");
    let mut properties = WriterProperties::builder()
        .set_compression(layout.compression)
        .set_dictionary_enabled(layout.dictionary)
        .set_writer_version(layout.version)
        .set_data_page_row_count_limit(layout.rows_per_page)
        .set_data_page_size_limit(1 << 30)
        .set_write_batch_size(layout.rows_per_page)
        .set_offset_index_disabled(!layout.page_list)
        .set_dictionary_page_size_limit(layout.dictionary_bytes)
        .set_write_page_header_statistics(layout.header_statistics)
        .set_statistics_truncate_length(None)
        .set_statistics_enabled(if layout.page_list || layout.header_statistics {
            EnabledStatistics::Page
        } else {
            EnabledStatistics::Chunk
        });
    if let Some(encoding) = layout.encoding {
        properties = properties.set_column_encoding("text".into(), encoding);
    }
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for (number, rows) in texts.chunks(layout.rows_per_group).enumerate() {
        let mut group = writer.next_row_group().unwrap();
        let mut column_number = 0;
        while let Some(mut column) = group.next_column().unwrap() {
            let levels: Vec<i16> = match column_number {
                0 => rows.iter().map(|text| i16::from(text.is_some())).collect(),
                _ => vec![1; rows.len()],
            };
            let levels = (layout.nullable || column_number > 0).then_some(&levels[..]);
            let strings = |make: &dyn Fn(usize) -> String| -> Vec<ByteArray> {
                (0..rows.len()).map(|row| make(number * layout.rows_per_group + row).into_bytes().into()).collect()
            };
            match column_number {
                6 => panic_free(column.typed::<ByteArrayType>().write_batch(&strings(&|_| "en".into()), levels, None)),
                7 => panic_free(column.typed::<DoubleType>().write_batch(&vec![0.93; rows.len()], levels, None)),
                8 => panic_free(column.typed::<Int64Type>().write_batch(&vec![700; rows.len()], levels, None)),
                0 => {
                    let texts: Vec<ByteArray> =
                        rows.iter().flatten().map(|text| text.as_ref().to_vec().into()).collect();
                    panic_free(column.typed::<ByteArrayType>().write_batch(&texts, levels, None));
                }
                _ => panic_free(column.typed::<ByteArrayType>().write_batch(
                    &strings(&|row| format!("column {column_number} of row {row}: https://example.org/{row}")),
                    levels,
                    None,
                )),
            }
            column.close().unwrap();
            column_number += 1;
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn panic_free(written: parquet::errors::Result<usize>) {
    written.unwrap();
}

/// A text of about `chars` characters that no compression shortens much, with sentences in it; the same for the same
/// number.
pub(crate) fn text(number: u64, chars: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut text = format!("Document {number} begins. ");
    while text.len() < chars {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = state >> 20;
        text.push_str(&format!("{word:x}"));
        text.push_str(if word.is_multiple_of(9) { ". " } else { " " });
    }
    text
}

pub(crate) fn texts(range: std::ops::Range<u64>, chars: usize) -> Vec<Option<String>> {
    range.map(|number| Some(text(number, chars))).collect()
}

pub(crate) fn request(block: u64, count: usize, sampler: Sampler) -> DrawRequest {
    let hash = BlockHash::from_bytes(std::array::from_fn(|index| (block as u8).wrapping_mul(31) ^ index as u8));
    DrawRequest { netuid: NetUid(97), block: BlockRef { number: block, hash }, count, sampler }
}

pub(crate) fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

pub(crate) fn open(path: &Path) -> Result<Corpus, DatasetError> {
    let source = PromptSource::parse(path.to_str().unwrap())?;
    Corpus::open(&source, || panic!("no Hub is needed"), None)
}

pub(crate) fn draw(path: &Path, block: u64, count: usize, sampler: Sampler) -> Result<Drawn, DatasetError> {
    open(path)?.draw(&request(block, count, sampler), threads(2), &|_| {})
}
