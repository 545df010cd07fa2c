//! The footer of a parquet file, read from its front and no further than is needed.
//!
//! A footer tells schema and number of rows first, then one record after the other for the row groups. In a file of a
//! thousand row groups it takes megabytes, most of them statistics; so it is fetched in pieces, up to the row group
//! that holds the row wanted. What was learnt of it is small and can be kept: [`FooterIndex`].

use super::{
    codec::Codec,
    thrift::{Field, Kind, Reader, ThriftError},
};
use crate::{
    DatasetError,
    positioned::{PositionedRead, Purpose},
};
use serde::{Deserialize, Serialize};

/// Name of the column that holds the documents.
pub(crate) const TEXT_COLUMN: &str = "text";

/// The longest footer that is read.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Files with more row groups are refused; a file of terabytes has thousands.
const MAX_ROW_GROUPS: u64 = 200_000;
/// Schemas with more elements are refused.
const MAX_SCHEMA_ELEMENTS: u64 = 10_000;
/// What is read of a file's end in the first place: the whole footer of a file of few row groups.
const TAIL_BYTES: u64 = 32 << 10;
/// First piece of a footer that is longer.
const FIRST_PIECE_BYTES: u64 = 128 << 10;
/// Smallest piece after it.
const PIECE_BYTES: u64 = 64 << 10;
const MAGIC: &[u8; 4] = b"PAR1";

/// Where the text column of one row group lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowGroup {
    /// Rows in the group.
    pub(crate) rows: u64,
    /// First byte of the column's pages in the file.
    pub(crate) start: u64,
    /// Bytes of all its pages.
    pub(crate) size_bytes: u64,
    /// The format's number of its compression.
    pub(crate) codec: i64,
    /// Place and length of the list of its pages, where the file has one.
    pub(crate) page_list: Option<(u64, u64)>,
}

/// What is known of a footer: everything before its row groups, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FooterIndex {
    /// Rows of the file.
    pub(crate) rows: u64,
    /// The text column may hold nulls.
    pub(crate) nullable: bool,
    /// The row groups read so far, from the first.
    pub(crate) groups: Vec<RowGroup>,
    /// Place of the text column among the columns of a row group.
    column: u64,
    /// Row groups in all.
    group_count: u64,
    /// First byte of the footer in the file, and one past its last.
    span: (u64, u64),
    /// Where the record of the next row group begins.
    next: u64,
}

/// A row of a file, found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowPlace {
    /// Row group, counted from 0.
    pub(crate) group: usize,
    /// Row within it, counted from 0.
    pub(crate) row: u64,
}

impl FooterIndex {
    /// Reads the front of a footer.
    ///
    /// # Errors
    /// [`DatasetError::Parquet`] if the file isn't parquet with a flat text column `text`, or a read fails.
    pub(crate) fn open(file: &dyn PositionedRead) -> Result<Self, DatasetError> {
        let size = file.size();
        let wrong = |problem: String| DatasetError::Parquet { file: file.name().to_owned(), problem };
        if size < 12 {
            return Err(wrong(format!("it has {size} bytes, too few for a parquet file")));
        }
        let tail_start = size - size.min(TAIL_BYTES);
        let tail = file.read(tail_start..size, Purpose::Footer)?;
        let (rest, magic) = tail.split_last_chunk::<4>().expect("twelve bytes or more");
        let (rest, length) = rest.split_last_chunk::<4>().expect("twelve bytes or more");
        if magic == b"PARE" {
            return Err(wrong("its footer is encrypted".to_owned()));
        }
        if magic != MAGIC {
            return Err(wrong("it does not end as a parquet file does".to_owned()));
        }
        let length = u64::from(u32::from_le_bytes(*length));
        if length > MAX_FOOTER_BYTES {
            return Err(wrong(format!(
                "its footer says it has {length} bytes; more than {MAX_FOOTER_BYTES} are not read"
            )));
        }
        if length + 12 > size {
            return Err(wrong(format!("its footer says it has {length} bytes, the file has {size}")));
        }
        let span = (size - 8 - length, size - 8);
        let mut piece = Piece {
            start: span.0,
            bytes: match rest.len().checked_sub(length as usize) {
                Some(before) => rest[before..].to_vec(),
                None => Vec::new(),
            },
        };
        loop {
            match parse_front(&piece.bytes) {
                Ok(front) => {
                    let mut index = FooterIndex {
                        rows: front.rows,
                        nullable: front.nullable,
                        groups: Vec::new(),
                        column: front.column,
                        group_count: front.group_count,
                        span,
                        next: span.0 + front.used as u64,
                    };
                    index.take_groups(&piece, file, |_| false)?;
                    return Ok(index);
                }
                Err(ThriftError::Invalid(problem)) => return Err(wrong(format!("its footer holds {problem}"))),
                Err(ThriftError::Incomplete) => piece.grow(FIRST_PIECE_BYTES, span.1, file)?,
            }
        }
    }

    /// True if it can be of a file of this size: the check of an index that was kept.
    pub(crate) fn fits(&self, size: u64) -> bool {
        self.span.0 <= self.next
            && self.next <= self.span.1
            && size.checked_sub(8) == Some(self.span.1)
            && self.groups.len() as u64 <= self.group_count
    }

    /// Rows of the row groups read so far.
    fn known_rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// The row group of a row, reading on in the footer as far as it takes.
    pub(crate) fn find(&mut self, row: u64, file: &dyn PositionedRead) -> Result<RowPlace, DatasetError> {
        let mut piece = Piece { start: self.next, bytes: Vec::new() };
        while self.known_rows() <= row {
            if self.groups.len() as u64 == self.group_count {
                return Err(DatasetError::Parquet {
                    file: file.name().to_owned(),
                    problem: format!(
                        "its footer says {} rows, its row groups have {} together",
                        self.rows,
                        self.known_rows()
                    ),
                });
            }
            piece.grow(self.guess_bytes_to(row).max(PIECE_BYTES), self.span.1, file)?;
            self.take_groups(&piece, file, |index| index.known_rows() <= row)?;
            piece.drop_before(self.next);
        }
        let mut left = row;
        for (group, known) in self.groups.iter().enumerate() {
            match left.checked_sub(known.rows) {
                Some(after) => left = after,
                None => return Ok(RowPlace { group, row: left }),
            }
        }
        unreachable!("the groups read have more rows than that")
    }

    /// The row group of a number, reading on in the footer if need be; `None` after the last.
    pub(crate) fn group(&mut self, number: usize, file: &dyn PositionedRead) -> Result<Option<RowGroup>, DatasetError> {
        if number as u64 >= self.group_count {
            return Ok(None);
        }
        let mut piece = Piece { start: self.next, bytes: Vec::new() };
        while self.groups.len() <= number {
            piece.grow(PIECE_BYTES, self.span.1, file)?;
            self.take_groups(&piece, file, |index| index.groups.len() <= number)?;
            piece.drop_before(self.next);
        }
        Ok(Some(self.groups[number]))
    }

    /// How far the footer probably goes until the row is reached, going by what was read of it.
    fn guess_bytes_to(&self, row: u64) -> u64 {
        let known = self.known_rows();
        if known == 0 {
            return PIECE_BYTES;
        }
        let read = u128::from(self.next - self.span.0);
        let missing = u128::from(row + 1 - known);
        // A thirty-second more, since records differ in length.
        let guess = read * missing / u128::from(known);
        u64::try_from(guess + guess / 32).unwrap_or(u64::MAX)
    }

    /// Takes the row groups that lie complete in a piece.
    ///
    /// One that can't be read is an error only if it is `needed`: whether a row is found must not depend on how far
    /// beyond it a piece happens to reach.
    fn take_groups(
        &mut self,
        piece: &Piece,
        file: &dyn PositionedRead,
        needed: impl Fn(&Self) -> bool,
    ) -> Result<(), DatasetError> {
        while (self.groups.len() as u64) < self.group_count {
            let Some(bytes) = self.next.checked_sub(piece.start).and_then(|from| piece.bytes.get(from as usize..))
            else {
                return Ok(());
            };
            let mut reader = Reader::new(bytes);
            let group = match parse_group(&mut reader, self.column) {
                Ok(found) => found.check(self.span.0),
                Err(ThriftError::Incomplete) => return Ok(()),
                Err(ThriftError::Invalid(problem)) => Err(format!("its record holds {problem}")),
            };
            let group = group.and_then(|group| match self.known_rows().checked_add(group.rows) {
                Some(rows) if rows <= self.rows => Ok(group),
                _ => Err(format!("with it there are more rows than the {} that the footer says", self.rows)),
            });
            match group {
                Ok(group) => {
                    self.next += reader.position() as u64;
                    self.groups.push(group);
                }
                Err(problem) if needed(self) => {
                    let problem = format!("row group {}: {problem}", self.groups.len());
                    return Err(DatasetError::Parquet { file: file.name().to_owned(), problem });
                }
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Part of a footer.
struct Piece {
    /// Its first byte's place in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// Reads on by `more` bytes, at most to `end`.
    fn grow(&mut self, more: u64, end: u64, file: &dyn PositionedRead) -> Result<(), DatasetError> {
        let from = self.start + self.bytes.len() as u64;
        // What does not fit into many pieces takes larger ones.
        let to = from.saturating_add(more.max(self.bytes.len() as u64)).min(end);
        if from >= to {
            return Err(DatasetError::Parquet {
                file: file.name().to_owned(),
                problem: "its footer ends within a record".to_owned(),
            });
        }
        self.bytes.extend_from_slice(&file.read(from..to, Purpose::Footer)?);
        Ok(())
    }

    fn drop_before(&mut self, place: u64) {
        let used = (place - self.start).min(self.bytes.len() as u64);
        self.bytes.drain(..used as usize);
        self.start += used;
    }
}

struct Front {
    rows: u64,
    column: u64,
    nullable: bool,
    group_count: u64,
    /// Bytes up to the first row group.
    used: usize,
}

type ThriftResult<T> = Result<T, ThriftError>;

fn parse_front(bytes: &[u8]) -> ThriftResult<Front> {
    let mut reader = Reader::new(bytes);
    let (mut schema, mut rows, mut last) = (None, None, 0);
    loop {
        let Some(field) = reader.field(last)? else {
            return Err(ThriftError::Invalid("no row groups"));
        };
        last = field.id;
        match (field.id, field.kind) {
            (2, Kind::List) => schema = Some(parse_schema(&mut reader)?),
            (3, Kind::I64) => {
                let count = reader.integer()?;
                rows = Some(u64::try_from(count).map_err(|_| ThriftError::Invalid("a negative number of rows"))?);
            }
            (4, Kind::List) => {
                let group_count = reader.structures()?;
                if group_count > MAX_ROW_GROUPS {
                    return Err(ThriftError::Invalid("more than 200,000 row groups"));
                }
                let (column, nullable) = schema.ok_or(ThriftError::Invalid("row groups before their schema"))?;
                let rows = rows.ok_or(ThriftError::Invalid("row groups before the number of rows"))?;
                return Ok(Front { rows, column, nullable, group_count, used: reader.position() });
            }
            _ => reader.skip(field.kind)?,
        }
    }
}

#[derive(Default)]
struct SchemaElement<'a> {
    physical_type: Option<i64>,
    repetition: i64,
    name: &'a [u8],
    children: u64,
}

/// Finds the text column: its place among the leaves, and whether it may hold nulls.
fn parse_schema(reader: &mut Reader<'_>) -> ThriftResult<(u64, bool)> {
    let count = reader.structures()?;
    if count > MAX_SCHEMA_ELEMENTS {
        return Err(ThriftError::Invalid("a schema of more than 10,000 elements"));
    }
    let root = parse_element(reader)?;
    let (mut elements, mut leaves, mut found) = (count.saturating_sub(1), 0, None);
    for _ in 0..root.children {
        if elements == 0 {
            return Err(ThriftError::Invalid("a schema that ends early"));
        }
        // One column at the top and all below it.
        let (mut open, mut top) = (1u64, true);
        while open > 0 {
            if elements == 0 {
                return Err(ThriftError::Invalid("a schema that ends early"));
            }
            elements -= 1;
            let element = parse_element(reader)?;
            if top && element.name == TEXT_COLUMN.as_bytes() {
                if element.children > 0 || element.physical_type != Some(6) || !(0..=1).contains(&element.repetition) {
                    return Err(ThriftError::Invalid("a column `text` that does not hold one string in each row"));
                }
                found = Some((leaves, element.repetition == 1));
            }
            top = false;
            leaves += u64::from(element.children == 0);
            open = (open - 1).saturating_add(element.children);
        }
    }
    if elements > 0 {
        return Err(ThriftError::Invalid("a schema with elements that belong to nothing"));
    }
    found.ok_or(ThriftError::Invalid("no column named `text`"))
}

fn parse_element<'a>(reader: &mut Reader<'a>) -> ThriftResult<SchemaElement<'a>> {
    let mut element = SchemaElement::default();
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Kind::I32) => element.physical_type = Some(reader.integer()?),
            (3, Kind::I32) => element.repetition = reader.integer()?,
            (4, Kind::Binary) => element.name = reader.bytes()?,
            (5, Kind::I32) => {
                element.children = u64::try_from(reader.integer()?)
                    .map_err(|_| ThriftError::Invalid("a schema element with a negative number of children"))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(element)
}

#[derive(Default)]
struct FoundGroup {
    rows: Option<i64>,
    chunk: Option<FoundChunk>,
}

#[derive(Default)]
struct FoundChunk {
    elsewhere: bool,
    encrypted: bool,
    physical_type: Option<i64>,
    is_text: bool,
    codec: Option<i64>,
    values: Option<i64>,
    size: Option<i64>,
    data_start: Option<i64>,
    dictionary_start: Option<i64>,
    page_list: (Option<i64>, Option<i64>),
}

fn parse_group(reader: &mut Reader<'_>, column: u64) -> ThriftResult<FoundGroup> {
    let mut group = FoundGroup::default();
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Kind::List) => {
                for index in 0..reader.structures()? {
                    if index == column {
                        group.chunk = Some(parse_chunk(reader)?);
                    } else {
                        reader.skip(Kind::Struct)?;
                    }
                }
            }
            (3, Kind::I64) => group.rows = Some(reader.integer()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(group)
}

fn parse_chunk(reader: &mut Reader<'_>) -> ThriftResult<FoundChunk> {
    let mut chunk = FoundChunk::default();
    reader.structure(|reader, field| {
        match (field.id, field.kind) {
            (1, Kind::Binary) => chunk.elsewhere = !reader.bytes()?.is_empty(),
            (3, Kind::Struct) => reader.structure(|reader, field| parse_column_field(reader, field, &mut chunk))?,
            (4, Kind::I64) => chunk.page_list.0 = Some(reader.integer()?),
            (5, Kind::I32) => chunk.page_list.1 = Some(reader.integer()?),
            (8 | 9, _) => {
                chunk.encrypted = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(chunk)
}

fn parse_column_field(reader: &mut Reader<'_>, field: Field, chunk: &mut FoundChunk) -> ThriftResult<bool> {
    match (field.id, field.kind) {
        (1, Kind::I32) => chunk.physical_type = Some(reader.integer()?),
        (3, Kind::List) => {
            let (kind, count) = reader.list()?;
            if kind != Kind::Binary || count != 1 {
                return Err(ThriftError::Invalid("a column whose path is not its name"));
            }
            chunk.is_text = reader.bytes()? == TEXT_COLUMN.as_bytes();
        }
        (4, Kind::I32) => chunk.codec = Some(reader.integer()?),
        (5, Kind::I64) => chunk.values = Some(reader.integer()?),
        (7, Kind::I64) => chunk.size = Some(reader.integer()?),
        (9, Kind::I64) => chunk.data_start = Some(reader.integer()?),
        (11, Kind::I64) => chunk.dictionary_start = Some(reader.integer()?),
        _ => return Ok(false),
    }
    Ok(true)
}

impl FoundGroup {
    /// The row group, if everything needed is there and lies before the footer.
    fn check(self, footer_start: u64) -> Result<RowGroup, String> {
        let number = |value: Option<i64>, what: &str| {
            value.and_then(|value| u64::try_from(value).ok()).ok_or_else(|| format!("{what} is missing or negative"))
        };
        let rows = number(self.rows, "the number of rows")?;
        let chunk = self.chunk.ok_or("it has fewer columns than the schema")?;
        if chunk.encrypted {
            return Err("the text column is encrypted".to_owned());
        }
        if chunk.elsewhere {
            return Err("the text column lies in another file".to_owned());
        }
        if !chunk.is_text || chunk.physical_type != Some(6) {
            return Err("its columns are not those of the schema".to_owned());
        }
        if number(chunk.values, "the number of values")? != rows {
            return Err("the text column has not one value for each row".to_owned());
        }
        let codec = chunk.codec.ok_or("the compression is missing")?;
        Codec::from_number(codec)?;
        let size_bytes = number(chunk.size, "the size of the text column")?;
        let mut start = number(chunk.data_start, "the place of the text column")?;
        // Writers leave the place of a dictionary at 0 if there is none.
        if let Some(dictionary) = chunk.dictionary_start
            && let Ok(dictionary) = u64::try_from(dictionary)
            && dictionary >= 4
        {
            start = start.min(dictionary);
        }
        if start < 4 || start.checked_add(size_bytes).is_none_or(|end| end > footer_start) {
            return Err(format!("{size_bytes} bytes from byte {start} on are not within the file"));
        }
        let page_list = match chunk.page_list {
            (Some(start), Some(length)) if start > 0 && length > 0 => {
                let (start, length) = (start as u64, length as u64);
                if start.checked_add(length).is_none_or(|end| end > footer_start) {
                    return Err("the list of pages is not within the file".to_owned());
                }
                Some((start, length))
            }
            _ => None,
        };
        Ok(RowGroup { rows, start, size_bytes, codec, page_list })
    }
}
