//! The table of positions.

use std::{path::Path, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type},
    file::{
        properties::WriterProperties,
        reader::{FileReader as _, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    record::RowAccessor as _,
    schema::parser::parse_message_type,
};

use crate::{EvalError, TokenSequence};

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
    pub student: String,
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

/// Reads a `positions.parquet`.
///
/// # Errors
/// [`EvalError::Read`] if the file can't be opened, [`EvalError::Record`] if it is no such table.
pub fn read_positions(path: &Path) -> Result<Vec<PositionRow>, EvalError> {
    let file = std::fs::File::open(path).map_err(|source| EvalError::Read { path: path.to_owned(), source })?;
    let failed = |error: parquet::errors::ParquetError| EvalError::Record(format!("{}: {error}", path.display()));
    let reader = SerializedFileReader::new(file).map_err(failed)?;
    let schema = parse_message_type(SCHEMA).map_err(failed)?;
    if reader.metadata().file_metadata().schema() != &schema {
        return Err(EvalError::Record(format!(
            "{}: its columns are not student, prompt, position, token, kl",
            path.display()
        )));
    }
    reader
        .get_row_iter(None)
        .map_err(failed)?
        .map(|row| {
            let row = row?;
            Ok(PositionRow {
                student: row.get_string(0)?.clone(),
                prompt: row.get_uint(1)?,
                position: row.get_uint(2)?,
                token: row.get_uint(3)?,
                kl: row.get_double(4)?,
            })
        })
        .collect::<Result<_, _>>()
        .map_err(failed)
}
