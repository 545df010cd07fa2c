//! The table of positions.

use std::sync::Arc;

use bytes::Bytes;
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type},
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    record::{Row, RowAccessor as _, reader::RowIter},
    schema::parser::parse_message_type,
};

use super::pages;
use crate::{EvalError, TokenSequence};

/// No student has a longer name.
const MAX_NAME_BYTES: usize = 1024;

const SCHEMA: &str = "
    message positions {
        required binary student (string);
        required int32 prompt (integer(32, false));
        required int32 position (integer(32, false));
        required int32 token (integer(32, false));
        required double kl;
    }
";

/// One row of `positions.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionRow {
    /// The student's name in the record.
    pub student: Arc<str>,
    /// Place of the prompt, from 0.
    pub prompt: u32,
    /// Position in the continuation, from 0.
    pub position: u32,
    /// The token the teacher put there.
    pub token: u32,
    /// KL(teacher ‖ student) there, in nats.
    pub kl: f64,
}

/// What one student contributes to the table: its name in the record, and its KL in nats by prompt and position.
pub type StudentPositions<'a> = (&'a str, &'a [Vec<f64>]);

/// The table as a parquet file: rows by student, prompt and position, one row group a student. A student that scored no
/// prompt has no rows; one that stopped early has fewer prompts than there are sequences.
///
/// # Errors
/// [`EvalError::Record`] if a student has positions that the teacher's continuation has not.
pub fn positions_table(students: &[StudentPositions<'_>], sequences: &[&TokenSequence]) -> Result<Vec<u8>, EvalError> {
    let failed =
        |error: parquet::errors::ParquetError| EvalError::Record(format!("{}: {error}", super::POSITIONS_PARQUET));
    let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("distil ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).map_err(failed)?;
    for (name, positions_kl_nats) in students {
        let rows: usize = positions_kl_nats.iter().map(Vec::len).sum();
        if rows == 0 {
            continue; // it failed
        }
        if positions_kl_nats.len() > sequences.len() {
            let (found, most) = (positions_kl_nats.len(), sequences.len());
            return Err(EvalError::Record(format!("{name} has {found} prompts, the round {most}")));
        }
        let (mut prompts, mut positions, mut tokens, mut kl_nats) =
            (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
        for (prompt, (kl_of_prompt, sequence)) in positions_kl_nats.iter().zip(sequences).enumerate() {
            let continuation = sequence.continuation();
            if kl_of_prompt.len() != continuation.len() {
                let (found, expected) = (kl_of_prompt.len(), continuation.len());
                let problem = format!("{name} has {found} positions on prompt {prompt}, the teacher {expected}");
                return Err(EvalError::Record(problem));
            }
            for (position, (kl, token)) in kl_of_prompt.iter().zip(continuation).enumerate() {
                // Parquet keeps unsigned numbers in the bits of signed ones.
                prompts.push(prompt as i32);
                positions.push(position as i32);
                tokens.push(*token as i32);
                kl_nats.push(*kl);
            }
        }
        let names = vec![ByteArray::from(*name); prompts.len()];
        let mut group = writer.next_row_group().map_err(failed)?;
        column::<ByteArrayType>(&mut group, &names).map_err(failed)?;
        column::<Int32Type>(&mut group, &prompts).map_err(failed)?;
        column::<Int32Type>(&mut group, &positions).map_err(failed)?;
        column::<Int32Type>(&mut group, &tokens).map_err(failed)?;
        column::<DoubleType>(&mut group, &kl_nats).map_err(failed)?;
        group.close().map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(bytes)
}

fn column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    values: &[T::T],
) -> parquet::errors::Result<()> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| parquet::errors::ParquetError::General("more columns than the schema has".to_owned()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

/// The rows of a `positions.parquet`, one after the other.
pub struct PositionRows {
    rows: RowIter<'static>,
    /// The student of the row before: its name is kept once for all of its rows.
    student: Arc<str>,
}

impl std::fmt::Debug for PositionRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PositionRows").field("student", &self.student).finish_non_exhaustive()
    }
}

/// Reads a `positions.parquet` of at most so many rows. What it takes in memory is bounded by its own length and by this,
/// whatever its headers promise.
///
/// # Errors
/// [`EvalError::Record`] if it is no such table, has more rows, or pages larger than any that is written; so is each row
/// that cannot be read.
///
/// # Panics
/// At some footers that cannot be true. Whoever reads a stranger's table has to catch that.
pub fn read_positions(table: Vec<u8>, most_rows: u64) -> Result<PositionRows, EvalError> {
    let table = Bytes::from(table);
    let reader = SerializedFileReader::new(table.clone()).map_err(unreadable)?;
    let schema = parse_message_type(SCHEMA).map_err(unreadable)?;
    if reader.metadata().file_metadata().schema() != &schema {
        return Err(unreadable("its columns are not student, prompt, position, token, kl"));
    }
    pages::check(&table, reader.metadata(), most_rows).map_err(unreadable)?;
    Ok(PositionRows { rows: RowIter::from_file_into(Box::new(reader)), student: Arc::from("") })
}

fn unreadable(problem: impl std::fmt::Display) -> EvalError {
    EvalError::Record(format!("{}: {problem}", super::POSITIONS_PARQUET))
}

impl Iterator for PositionRows {
    type Item = Result<PositionRow, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map_err(unreadable).and_then(|row| self.read(&row)))
    }
}

impl PositionRows {
    fn read(&mut self, row: &Row) -> Result<PositionRow, EvalError> {
        let student = row.get_string(0).map_err(unreadable)?;
        if student.len() > MAX_NAME_BYTES {
            return Err(unreadable(format!("a student's name is longer than {MAX_NAME_BYTES} bytes")));
        }
        if *self.student != **student {
            self.student = Arc::from(student.as_str());
        }
        Ok(PositionRow {
            student: Arc::clone(&self.student),
            prompt: row.get_uint(1).map_err(unreadable)?,
            position: row.get_uint(2).map_err(unreadable)?,
            token: row.get_uint(3).map_err(unreadable)?,
            kl: row.get_double(4).map_err(unreadable)?,
        })
    }
}
