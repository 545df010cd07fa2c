//! What the pages of a parquet file take once they are unpacked, seen from their headers alone.
//!
//! A header of a few bytes may promise gigabytes, and whoever reads the page makes room for them first. So the headers
//! are walked before anything is read.

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// The largest page, unpacked. The writer ends one at 1 MiB and a batch of 1,024 values.
const MAX_PAGE_BYTES: i64 = 4 << 20;
/// Structures within structures in a page's header; there are three.
const MAX_DEPTH: u32 = 8;
/// The least that a value in a dictionary takes: a 32-bit number, or the length of a text.
const LEAST_VALUE_BYTES: i64 = 4;

/// Holds rows and pages of a table to what it can have.
///
/// # Errors
///
/// What is out of bounds, in words.
pub(super) fn check(table: &[u8], metadata: &ParquetMetaData, most_rows: u64) -> Result<(), String> {
    let mut rows = 0_u64;
    for group in metadata.row_groups() {
        let of_group = u64::try_from(group.num_rows()).map_err(|_| "a part of it has less than no rows".to_owned())?;
        rows = rows.saturating_add(of_group);
        if rows > most_rows {
            return Err(format!("it has more than the {most_rows} rows that it can have"));
        }
        for column in group.columns() {
            if column.num_values() != group.num_rows() {
                return Err("a column of it has another number of values than there are rows".to_owned());
            }
            check_column(table, column, group.num_rows())?;
        }
    }
    Ok(())
}

fn check_column(table: &[u8], column: &ColumnChunkMetaData, rows: i64) -> Result<(), String> {
    let outside = || "a column of it lies outside of the file".to_owned();
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let start = usize::try_from(start).map_err(|_| outside())?;
    let length = usize::try_from(column.compressed_size()).map_err(|_| outside())?;
    let end = start.checked_add(length).ok_or_else(outside)?;
    let mut rest = table.get(start..end).ok_or_else(outside)?;
    while !rest.is_empty() {
        let header = PageHeader::read(rest).ok_or("a page of it has no header that can be read")?;
        let (Some(unpacked), Some(packed)) = (header.unpacked_bytes, header.packed_bytes) else {
            return Err("a page of it has no size".to_owned());
        };
        if !(0..=MAX_PAGE_BYTES).contains(&unpacked) {
            return Err(format!("a page of it takes {unpacked} bytes; {MAX_PAGE_BYTES} are the most"));
        }
        let values = header.values.unwrap_or(0);
        let most = if header.is_dictionary { unpacked / LEAST_VALUE_BYTES } else { rows };
        if !(0..=most).contains(&values) {
            return Err(format!("a page of it has {values} values; it can have {most}"));
        }
        let packed = usize::try_from(packed).map_err(|_| outside())?;
        let next = header.bytes.checked_add(packed).ok_or_else(outside)?;
        rest = rest.get(next..).ok_or_else(outside)?;
    }
    Ok(())
}

/// What a page's header says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageHeader {
    /// Bytes of the header itself, at least one.
    bytes: usize,
    unpacked_bytes: Option<i64>,
    packed_bytes: Option<i64>,
    is_dictionary: bool,
    /// The most that any part of it says.
    values: Option<i64>,
}

impl PageHeader {
    /// Reads a header, in Thrift's compact protocol; `None` where the bytes are none.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut header = Self::default();
        let mut reader = Compact { bytes, at: 0 };
        reader.structure(0, &mut |path, value| header.take(path, value))?;
        header.bytes = reader.at;
        Some(header)
    }

    /// The numbers of the format's `PageHeader`: type 1, sizes 2 and 3, and the number of values in each kind's own part.
    fn take(&mut self, path: (i64, i64), value: i64) {
        match path {
            (0, 1) => self.is_dictionary = value == 2,
            (0, 2) => self.unpacked_bytes = Some(value),
            (0, 3) => self.packed_bytes = Some(value),
            (5 | 7 | 8, 1) => self.values = Some(value).max(self.values),
            _ => {}
        }
    }
}

struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn advance(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    /// Reads a structure, and gives each integer in it with the field of the structure that it is in (0 for the header
    /// itself, -1 further down) and its own field.
    fn structure(&mut self, depth: u32, take: &mut dyn FnMut((i64, i64), i64)) -> Option<()> {
        self.nested(depth, 0, take)
    }

    fn nested(&mut self, depth: u32, within: i64, take: &mut dyn FnMut((i64, i64), i64)) -> Option<()> {
        if depth == MAX_DEPTH {
            return None;
        }
        let mut field = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => self.integer()?,
                delta => field.checked_add(i64::from(delta))?,
            };
            match head & 15 {
                // A boolean's value is its type.
                1 | 2 => {}
                3 => self.advance(1)?,
                4..=6 => {
                    let value = self.integer()?;
                    take((within, field), value);
                }
                7 => self.advance(8)?,
                8 => {
                    let length = self.varint()?;
                    self.advance(length)?;
                }
                12 => self.nested(depth + 1, if depth == 0 { field } else { -1 }, take)?,
                // No header has lists, sets or maps.
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_read_whatever_the_order_of_its_fields() {
        // type 2 (dictionary), unpacked 300, packed -1, dictionary part with 7 values and a text beside them.
        let bytes = [0x15, 4, 0x15, 0xd8, 4, 0x15, 1, 0x4c, 0x15, 14, 0x18, 2, b'a', b'b', 0, 0, 99];
        let header = PageHeader::read(&bytes).unwrap();
        let expected = PageHeader {
            bytes: 16,
            unpacked_bytes: Some(300),
            packed_bytes: Some(-1),
            is_dictionary: true,
            values: Some(7),
        };
        assert_eq!(header, expected);
        // The sizes again in the long form, after the rest.
        let again = [0x05, 6, 1, 0x05, 4, 0xd8, 4, 0x05, 2, 4, 0];
        let header = PageHeader::read(&again).unwrap();
        assert_eq!((header.unpacked_bytes, header.packed_bytes, header.is_dictionary), (Some(300), Some(-1), true));
        assert_eq!(PageHeader::read(&[0x1c; 40]), None, "nested too deeply");
        assert_eq!(PageHeader::read(&[0x19, 0xff]), None, "a list");
        assert_eq!(PageHeader::read(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(header) = PageHeader::read(&bytes) {
                prop_assert!(header.bytes >= 1 && header.bytes <= bytes.len());
            }
        }
    }
}
