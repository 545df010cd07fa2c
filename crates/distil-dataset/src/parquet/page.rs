//! The pages of a text column: their headers, and finding the one that holds a row.

use super::{
    codec::Codec,
    footer::RowGroup,
    thrift::{Kind, Reader, ThriftError},
    values::{DataPage, Dictionary, Encoding},
};
use crate::{
    DatasetError,
    positioned::{PositionedRead, Purpose},
};
use bytes::Bytes;
use std::{ops::ControlFlow, sync::Arc};

/// The largest page that is read, compressed or not. Writers aim at 1 MB.
const MAX_PAGE_BYTES: i64 = 64 << 20;
/// Pages with more rows are refused.
const MAX_PAGE_ROWS: i64 = 16 << 20;
/// A column chunk up to this size is fetched as a whole, in one request.
const WHOLE_CHUNK_BYTES: u64 = 2 << 20;
/// What is fetched of a page to see its header, at first and at most.
const HEADER_BYTES: (u64, u64) = (4 << 10, 1 << 20);
/// Pages of one row group that are looked at to find a row, where the file lists none.
const MAX_STEPS: usize = 1000;
/// The longest list of pages that is read; without it the pages are walked through.
const MAX_PAGE_LIST_BYTES: u64 = 4 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageKind {
    Dictionary,
    /// A data page of version 1.
    Data,
    /// A data page of version 2: its levels stand before its values, never compressed.
    DataV2 {
        levels_bytes: i64,
        compressed: bool,
    },
    /// To be passed over.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PageHeader {
    kind: PageKind,
    /// Bytes of the header itself.
    header_bytes: u64,
    compressed_bytes: u64,
    uncompressed_bytes: u64,
    /// Rows of a data page, entries of a dictionary.
    count: u32,
    encoding: i64,
}

/// Parses a header that begins where the bytes do.
fn parse_header(bytes: &[u8]) -> Result<PageHeader, ThriftError> {
    const NUMBER: ThriftError = ThriftError::Invalid("a page header with a negative or too large number");
    let mut reader = Reader::new(bytes);
    let (mut number, mut uncompressed, mut compressed) = (None, None, None);
    // Numbers of the three kinds of pages: values, encoding, and what only some have.
    let (mut values, mut rows, mut encoding, mut level_encoding) = (None, None, None, 3);
    let (mut definition_bytes, mut repetition_bytes, mut is_compressed) = (0, 0, true);
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Kind::I32) => number = Some(reader.integer()?),
            (2, Kind::I32) => uncompressed = Some(reader.integer()?),
            (3, Kind::I32) => compressed = Some(reader.integer()?),
            (5, Kind::Struct) => reader.structure(|reader, field| {
                match (field.id, field.kind) {
                    (1, Kind::I32) => values = Some(reader.integer()?),
                    (2, Kind::I32) => encoding = Some(reader.integer()?),
                    (3, Kind::I32) => level_encoding = reader.integer()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            (7, Kind::Struct) => reader.structure(|reader, field| {
                match (field.id, field.kind) {
                    (1, Kind::I32) => values = Some(reader.integer()?),
                    (2, Kind::I32) => encoding = Some(reader.integer()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            (8, Kind::Struct) => reader.structure(|reader, field| {
                match (field.id, field.kind) {
                    (1, Kind::I32) => values = Some(reader.integer()?),
                    (3, Kind::I32) => rows = Some(reader.integer()?),
                    (4, Kind::I32) => encoding = Some(reader.integer()?),
                    (5, Kind::I32) => definition_bytes = reader.integer()?,
                    (6, Kind::I32) => repetition_bytes = reader.integer()?,
                    (7, Kind::True | Kind::False) => is_compressed = field.kind == Kind::True,
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let size = |size: Option<i64>| match size {
        Some(size @ 0..=MAX_PAGE_BYTES) => Ok(size as u64),
        Some(_) => Err(ThriftError::Invalid("a page of more than 64 MiB, or of negative size")),
        None => Err(ThriftError::Invalid("a page header without sizes")),
    };
    let (compressed_bytes, uncompressed_bytes) = (size(compressed)?, size(uncompressed)?);
    let kind = match number.ok_or(ThriftError::Invalid("a page header without a type"))? {
        0 if level_encoding == 3 => PageKind::Data,
        0 => return Err(ThriftError::Invalid("a page whose levels are written in an outdated way")),
        2 => PageKind::Dictionary,
        3 => {
            if definition_bytes < 0
                || repetition_bytes != 0
                || definition_bytes as u64 > compressed_bytes.min(uncompressed_bytes)
            {
                return Err(ThriftError::Invalid("a page with levels of impossible size"));
            }
            if rows != values {
                return Err(ThriftError::Invalid("a page with more values than rows"));
            }
            PageKind::DataV2 { levels_bytes: definition_bytes, compressed: is_compressed }
        }
        _ => PageKind::Other,
    };
    let (count, encoding) = match kind {
        PageKind::Other => (0, 0),
        _ => match (values, encoding) {
            (Some(count @ 0..=MAX_PAGE_ROWS), Some(encoding)) => (count as u32, encoding),
            (Some(_), Some(_)) => return Err(NUMBER),
            _ => return Err(ThriftError::Invalid("a page header without its number of values")),
        },
    };
    Ok(PageHeader {
        kind,
        header_bytes: reader.position() as u64,
        compressed_bytes,
        uncompressed_bytes,
        count,
        encoding,
    })
}

impl PageHeader {
    /// Bytes of header and page together.
    fn total_bytes(&self) -> u64 {
        self.header_bytes + self.compressed_bytes
    }
}

/// A data page found in a chunk.
#[derive(Debug, Clone, Copy)]
struct FoundPage {
    /// Where its header begins, from the chunk's start.
    offset: u64,
    first_row: u64,
    header: PageHeader,
}

/// The text column of one row group.
pub(crate) struct TextChunk<'a> {
    file: &'a dyn PositionedRead,
    number: usize,
    group: RowGroup,
    nullable: bool,
    codec: Codec,
    /// The whole chunk, if it is small.
    whole: Option<Bytes>,
    /// First row and place of each page, if the file lists them.
    listed: Option<Vec<(u64, u64)>>,
    /// Where the dictionary page begins, once it was seen.
    dictionary_offset: Option<u64>,
    dictionary: Option<Arc<Dictionary>>,
    /// Data pages seen in walking, and where the next one begins.
    walked: Vec<FoundPage>,
    walked_to: u64,
    walked_rows: u64,
}

impl<'a> TextChunk<'a> {
    /// Fetches the chunk, or the list of its pages if it is large.
    pub(crate) fn open(
        file: &'a dyn PositionedRead,
        number: usize,
        group: RowGroup,
        nullable: bool,
    ) -> Result<Self, DatasetError> {
        let codec = Codec::from_number(group.codec)
            .map_err(|problem| DatasetError::Parquet { file: file.name().to_owned(), problem })?;
        let mut chunk = TextChunk {
            file,
            number,
            group,
            nullable,
            codec,
            whole: None,
            listed: None,
            dictionary_offset: None,
            dictionary: None,
            walked: Vec::new(),
            walked_to: 0,
            walked_rows: 0,
        };
        if group.size_bytes <= WHOLE_CHUNK_BYTES {
            chunk.whole = Some(file.read(group.start..group.start + group.size_bytes, Purpose::Data)?);
        } else if let Some((start, length)) = group.page_list
            && length <= MAX_PAGE_LIST_BYTES
        {
            let bytes = file.read(start..start + length, Purpose::Data)?;
            chunk.listed = Some(chunk.parse_page_list(&bytes)?);
        }
        Ok(chunk)
    }

    /// The document in a row; `None` for a null.
    pub(crate) fn document(&mut self, row: u64) -> Result<Option<Bytes>, DatasetError> {
        let page = self.find(row)?;
        let mut document = None;
        let wanted = row - page.first_row;
        self.visit_page(&page, |row, value| {
            if u64::from(row) < wanted {
                return Ok(ControlFlow::Continue(()));
            }
            document = value.map(Bytes::copy_from_slice);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(document)
    }

    /// Hands all documents to `visit` in order, until it breaks.
    pub(crate) fn documents(
        &mut self,
        mut visit: impl FnMut(u64, Option<&[u8]>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DatasetError> {
        let mut row = 0;
        let mut stopped = ControlFlow::Continue(());
        while row < self.group.rows && stopped.is_continue() {
            let page = self.find(row)?;
            self.visit_page(&page, |in_page, value| {
                stopped = visit(page.first_row + u64::from(in_page), value);
                Ok(stopped)
            })?;
            row = page.first_row + u64::from(page.header.count);
        }
        Ok(stopped)
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> DatasetError {
        DatasetError::Parquet {
            file: self.file.name().to_owned(),
            problem: format!("row group {}: {problem}", self.number),
        }
    }

    /// Bytes of the chunk, by place from its start.
    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DatasetError> {
        let end = offset.checked_add(length).filter(|end| *end <= self.group.size_bytes);
        let Some(end) = end else { return Err(self.wrong("a page goes beyond its column")) };
        match &self.whole {
            Some(whole) => Ok(whole.slice(offset as usize..end as usize)),
            None => self.file.read(self.group.start + offset..self.group.start + end, Purpose::Data),
        }
    }

    fn header(&self, offset: u64) -> Result<PageHeader, DatasetError> {
        let left = self.group.size_bytes.saturating_sub(offset);
        let mut window = if self.whole.is_some() { left } else { HEADER_BYTES.0.min(left) };
        loop {
            match parse_header(&self.read(offset, window)?) {
                Ok(header) if header.total_bytes() > left => {
                    return Err(self.wrong("a page goes beyond its column"));
                }
                Ok(header) => return Ok(header),
                Err(ThriftError::Incomplete) if window < left.min(HEADER_BYTES.1) => {
                    window = (window * 8).min(left).min(HEADER_BYTES.1);
                }
                Err(ThriftError::Incomplete) => return Err(self.wrong("a page header does not end")),
                Err(ThriftError::Invalid(problem)) => return Err(self.wrong(format_args!("it has {problem}"))),
            }
        }
    }

    /// The data page that holds a row.
    fn find(&mut self, row: u64) -> Result<FoundPage, DatasetError> {
        if row >= self.group.rows {
            return Err(self.wrong(format_args!("row {row} of {} was asked for", self.group.rows)));
        }
        match &self.listed {
            Some(listed) => {
                let next = listed.partition_point(|(first, _)| *first <= row); // the first page has row 0
                let (first_row, offset) = listed[next - 1];
                let next = listed.get(next).map_or(self.group.rows, |(first, _)| *first);
                let header = self.header(offset)?;
                if !matches!(header.kind, PageKind::Data | PageKind::DataV2 { .. })
                    || u64::from(header.count) != next - first_row
                {
                    return Err(self.wrong("a page is not what the list of pages says"));
                }
                Ok(FoundPage { offset, first_row, header })
            }
            None => self.walk(row),
        }
    }

    /// Goes from page to page until the row is reached.
    fn walk(&mut self, row: u64) -> Result<FoundPage, DatasetError> {
        while self.walked_rows <= row {
            if self.walked.len() >= MAX_STEPS {
                return Err(self.wrong(format_args!(
                    "it has more than {MAX_STEPS} pages of text and no list of them: write it with smaller row groups, or with a page index"
                )));
            }
            if self.walked_to >= self.group.size_bytes {
                return Err(self.wrong(format_args!(
                    "its pages have {} rows, its footer says {}",
                    self.walked_rows, self.group.rows
                )));
            }
            let (offset, header) = (self.walked_to, self.header(self.walked_to)?);
            self.walked_to += header.total_bytes();
            match header.kind {
                PageKind::Dictionary => {
                    self.dictionary_offset = Some(offset);
                    if self.whole.is_none() && header.total_bytes() >= self.group.size_bytes / 8 * 7 {
                        // The texts are all in the dictionary, and the rest is small: one more request for both.
                        self.whole = Some(self.read(0, self.group.size_bytes)?);
                    }
                }
                PageKind::Data | PageKind::DataV2 { .. } => {
                    self.walked.push(FoundPage { offset, first_row: self.walked_rows, header });
                    self.walked_rows += u64::from(header.count);
                }
                PageKind::Other => {}
            }
        }
        let place = self.walked.partition_point(|page| page.first_row <= row);
        Ok(self.walked[place - 1])
    }

    fn visit_page(
        &mut self,
        page: &FoundPage,
        visit: impl FnMut(u32, Option<&[u8]>) -> Result<ControlFlow<()>, String>,
    ) -> Result<(), DatasetError> {
        let encoding = Encoding::from_number(page.header.encoding).map_err(|problem| self.wrong(problem))?;
        let dictionary = if encoding == Encoding::Dictionary { self.load_dictionary()? } else { None };
        let body = self.read(page.offset + page.header.header_bytes, page.header.compressed_bytes)?;
        let size = page.header.uncompressed_bytes as usize;
        let decode = || -> Result<(), String> {
            match page.header.kind {
                PageKind::DataV2 { levels_bytes, compressed } => {
                    let (levels, values) = body.split_at(levels_bytes as usize);
                    let unpacked = match compressed && !values.is_empty() {
                        true => self.codec.decompress(values, size - levels.len())?,
                        false => values.to_vec(),
                    };
                    let levels = self.nullable.then_some(levels);
                    DataPage { rows: page.header.count, encoding, levels, values: &unpacked }
                        .visit(dictionary.as_deref(), visit)
                }
                _ => {
                    let unpacked = self.codec.decompress(&body, size)?;
                    let (levels, values) = match self.nullable {
                        true => {
                            let (length, rest) = unpacked.split_first_chunk::<4>().ok_or("a page has no levels")?;
                            let (levels, values) = rest
                                .split_at_checked(u32::from_le_bytes(*length) as usize)
                                .ok_or("the levels of a page go beyond it")?;
                            (Some(levels), values)
                        }
                        false => (None, &unpacked[..]),
                    };
                    DataPage { rows: page.header.count, encoding, levels, values }.visit(dictionary.as_deref(), visit)
                }
            }
        };
        decode().map_err(|problem| self.wrong(problem))
    }

    /// The chunk's dictionary, which is its first page if it has one.
    fn load_dictionary(&mut self) -> Result<Option<Arc<Dictionary>>, DatasetError> {
        if self.dictionary.is_none() {
            let offset = self.dictionary_offset.unwrap_or(0);
            let header = self.header(offset)?;
            if header.kind != PageKind::Dictionary {
                return Ok(None);
            }
            let body = self.read(offset + header.header_bytes, header.compressed_bytes)?;
            let dictionary = self
                .codec
                .decompress(&body, header.uncompressed_bytes as usize)
                .and_then(|bytes| Dictionary::parse(bytes, header.count))
                .map_err(|problem| self.wrong(problem))?;
            self.dictionary = Some(Arc::new(dictionary));
        }
        Ok(self.dictionary.clone())
    }

    /// The format's `OffsetIndex`: for each data page its first row and its place in the chunk.
    fn parse_page_list(&self, bytes: &[u8]) -> Result<Vec<(u64, u64)>, DatasetError> {
        let mut pages = Vec::new();
        let parsed = Reader::new(bytes).structure(|reader, field| {
            if (field.id, field.kind) != (1, Kind::List) {
                return Ok(false);
            }
            for _ in 0..reader.structures()? {
                let (mut place, mut first_row) = (None, None);
                reader.structure(|reader, field| {
                    match (field.id, field.kind) {
                        (1, Kind::I64) => place = Some(reader.integer()?),
                        (3, Kind::I64) => first_row = Some(reader.integer()?),
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                let numbers = first_row.zip(place).and_then(|(first_row, place)| {
                    Some((u64::try_from(first_row).ok()?, u64::try_from(place).ok()?.checked_sub(self.group.start)?))
                });
                pages.push(numbers.ok_or(ThriftError::Invalid("an entry that is not in the column"))?);
            }
            Ok(true)
        });
        match parsed {
            Ok(()) => {}
            Err(ThriftError::Incomplete) => return Err(self.wrong("its list of pages does not end")),
            Err(ThriftError::Invalid(problem)) => {
                return Err(self.wrong(format_args!("its list of pages has {problem}")));
            }
        }
        let mut listed: Vec<(u64, u64)> = Vec::with_capacity(pages.len());
        for (first_row, offset) in pages {
            let in_order = match listed.last() {
                Some((row_before, offset_before)) => *row_before <= first_row && *offset_before < offset,
                None => first_row == 0,
            };
            if !in_order || offset >= self.group.size_bytes || first_row > self.group.rows {
                return Err(self.wrong("its list of pages is out of order"));
            }
            listed.push((first_row, offset));
        }
        if listed.is_empty() && self.group.rows > 0 {
            return Err(self.wrong("its list of pages is empty"));
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(header) = parse_header(&bytes) {
                prop_assert!(header.header_bytes <= bytes.len() as u64);
                prop_assert!(header.compressed_bytes <= MAX_PAGE_BYTES as u64);
                prop_assert!(header.uncompressed_bytes <= MAX_PAGE_BYTES as u64);
            }
        }
    }
}
