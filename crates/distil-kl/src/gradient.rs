use crate::batch::per_row;
use crate::row::RowState;
use crate::rows::same_shape;
use crate::{Kernel, KlError, Logit, Rows, Threads};

/// The gradient of each row's KL by the student's logits, on the fastest path.
///
/// See [`Kernel::kl_gradient_rows`].
///
/// # Errors
///
/// [`KlError::RowsDiffer`], [`KlError::ColumnsDiffer`], [`KlError::PerRowLength`] for `scale`,
/// [`KlError::GradientLength`]. Nothing is written then.
///
/// # Examples
///
/// ```
/// use distil_kl::{Rows, Threads, kl_gradient_rows};
///
/// let (teacher, student) = ([0.0f32, 0.0], [0.0f32, 3f32.ln()]);
/// let mut gradient = [0.0; 2];
/// kl_gradient_rows(
///     Rows::new(&teacher, 1, 2)?,
///     Rows::new(&student, 1, 2)?,
///     &[1.0],
///     Threads::ONE,
///     &mut gradient,
/// )?;
/// // softmax(student) − softmax(teacher) = [1/4, 3/4] − [1/2, 1/2]
/// assert!((gradient[0] + 0.25).abs() < 1e-6 && (gradient[1] - 0.25).abs() < 1e-6);
/// # Ok::<(), distil_kl::KlError>(())
/// ```
pub fn kl_gradient_rows<T: Logit, S: Logit>(
    teacher: Rows<'_, T>,
    student: Rows<'_, S>,
    scale: &[f32],
    threads: Threads,
    gradient: &mut [f32],
) -> Result<(), KlError> {
    Kernel::fastest().kl_gradient_rows(teacher, student, scale, threads, gradient)
}

impl Kernel {
    /// The gradient of each row's KL by the student's logits, times that row's `scale`.
    ///
    /// # Formula
    ///
    /// `∂ KL(p ‖ q) / ∂ sᵢ = qᵢ − pᵢ`; written is `scale · (qᵢ − pᵢ)`.
    ///
    /// # Shapes
    ///
    /// `teacher` and `student` are `[rows, columns]`, `scale` is `[rows]` (the gradient of the
    /// loss by that row's KL: 1/rows for a mean), `gradient` is `[rows, columns]`, contiguous.
    ///
    /// # Numerics
    ///
    /// Each value to about 1e-6 of the larger of `scale · p` and `scale · q`; exactly 0 where
    /// rows are identical. A row whose KL is NaN gets NaN throughout. Where the KL is +inf (the
    /// student excludes what the teacher has) the formula still holds and gives `−scale · p`.
    ///
    /// # Errors
    ///
    /// [`KlError::RowsDiffer`], [`KlError::ColumnsDiffer`], [`KlError::PerRowLength`] for `scale`,
    /// [`KlError::GradientLength`]. Nothing is written then.
    pub fn kl_gradient_rows<T: Logit, S: Logit>(
        self,
        teacher: Rows<'_, T>,
        student: Rows<'_, S>,
        scale: &[f32],
        threads: Threads,
        gradient: &mut [f32],
    ) -> Result<(), KlError> {
        same_shape(&teacher, &student)?;
        per_row("scale", scale.len(), teacher.rows())?;
        let columns = teacher.columns();
        let expected = teacher.rows() * columns; // `Rows` checked that it can be counted
        if gradient.len() != expected {
            return Err(KlError::GradientLength { expected, found: gradient.len() });
        }
        threads.for_each_piece(gradient, columns, columns, |first_row, gradient| {
            for (row, gradient) in (first_row..).zip(gradient.chunks_exact_mut(columns)) {
                let (teacher, student) = (teacher.row(row), student.row(row));
                let mut state = RowState::new();
                state.push(self, teacher, student);
                state.write_gradient(self, teacher, student, scale[row], gradient);
            }
        });
        Ok(())
    }
}
