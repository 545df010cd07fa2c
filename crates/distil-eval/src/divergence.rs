//! KL at positions from hidden states: logits of both models exist for one tile of the vocabulary at a time.

use std::num::NonZeroUsize;

use candle_core::{DType, Device, Storage, Tensor};
use distil_kl::{Rows, Threads, TiledKl};
use distil_model::OutputHead;

use crate::EvalError;

/// Positions whose logits exist at once. With [`TILE_COLUMNS`] a tile takes 8 MiB in f32, both models' 16 MiB,
/// which is small beside any model and large enough for the matrix products to run at full speed.
const TILE_POSITIONS: usize = 256;

/// Columns of a vocabulary tile; a multiple of 512, so that the sum over tiles is that over whole rows.
const TILE_COLUMNS: usize = 8192;

/// A teacher's or student's output head with final hidden states to apply it to, `[positions, hidden_size]`.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) head: &'a OutputHead,
    pub(crate) hidden: &'a Tensor,
}

/// KL(teacher ‖ student) in nats at each position, which are the rows of the hidden states.
///
/// Memory does not grow with the vocabulary, and with the positions only by the result.
pub(crate) fn kl_at_positions(
    teacher: Side<'_>,
    student: Side<'_>,
    threads: NonZeroUsize,
) -> Result<Vec<f64>, EvalError> {
    let vocab_size = teacher.head.vocab_size();
    if student.head.vocab_size() != vocab_size {
        return Err(EvalError::VocabularySize { teacher: vocab_size, student: student.head.vocab_size() });
    }
    let positions = teacher.hidden.dim(0)?;
    let mut kl_nats = Vec::with_capacity(positions);
    for start in (0..positions).step_by(TILE_POSITIONS) {
        let rows = TILE_POSITIONS.min(positions - start);
        let teacher_hidden = teacher.hidden.narrow(0, start, rows)?.contiguous()?;
        let student_hidden = student.hidden.narrow(0, start, rows)?.contiguous()?;
        let mut tiled = TiledKl::new(rows);
        for column in (0..vocab_size).step_by(TILE_COLUMNS) {
            let columns = column..vocab_size.min(column + TILE_COLUMNS);
            let width = columns.len();
            let teacher_logits = teacher.head.logits_tile(&teacher_hidden, columns.clone())?;
            let student_logits = student.head.logits_tile(&student_hidden, columns)?;
            with_f32(&teacher_logits, |teacher_logits| {
                with_f32(&student_logits, |student_logits| {
                    tiled
                        .push(
                            Rows::new(teacher_logits, rows, width)?,
                            Rows::new(student_logits, rows, width)?,
                            Threads::rayon(threads),
                        )
                        .map_err(EvalError::from)
                })
            })?;
        }
        kl_nats.extend(tiled.finish());
    }
    Ok(kl_nats)
}

/// Gives the values of a contiguous f32 tensor, row-major; in place where it lies in the host's memory.
fn with_f32(tensor: &Tensor, use_values: impl FnOnce(&[f32]) -> Result<(), EvalError>) -> Result<(), EvalError> {
    if !matches!(tensor.device(), Device::Cpu) || tensor.dtype() != DType::F32 || !tensor.is_contiguous() {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        return use_values(&values);
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(candle_core::Error::Msg("a tensor on the CPU has no CPU storage".to_owned()).into());
    };
    let start = layout.start_offset();
    let values = &storage.as_slice::<f32>()?[start..start + layout.shape().elem_count()];
    use_values(values)
}

/// Whether no value of a tensor is NaN or infinite.
pub(crate) fn all_finite(tensor: &Tensor) -> Result<bool, EvalError> {
    // 0·x is 0 for a finite x and NaN otherwise, in any dtype, and NaN survives a sum.
    let probe = tensor.affine(0.0, 0.0)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(probe.to_scalar::<f32>()? == 0.0)
}
