use crate::row::RowState;
use crate::rows::same_shape;
use crate::{Kernel, KlError, Logit, Rows, Threads};

/// KL(teacher ‖ student) of one row of logits, in nats, on the fastest path.
///
/// Both rows are logits before the softmax, of any common shift. See [`Kernel::kl_row`].
///
/// # Errors
///
/// [`KlError::NoColumns`] for empty rows, [`KlError::ColumnsDiffer`] for rows of different length.
///
/// # Examples
///
/// ```
/// let teacher = [2.0f32, 1.0, 0.0];
/// let student = [1.0f32, 1.0, 1.0];
/// let kl_nats = distil_kl::kl_row(&teacher, &student)?;
/// assert!((kl_nats - 0.266_216_7).abs() < 1e-6);
/// assert_eq!(distil_kl::kl_row(&teacher, &teacher)?, 0.0);
/// # Ok::<(), distil_kl::KlError>(())
/// ```
pub fn kl_row<T: Logit, S: Logit>(teacher: &[T], student: &[S]) -> Result<f64, KlError> {
    Kernel::fastest().kl_row(teacher, student)
}

/// KL(teacher ‖ student) of each row of a batch, in nats, on the fastest path.
///
/// See [`Kernel::kl_rows`].
///
/// # Errors
///
/// [`KlError::RowsDiffer`], [`KlError::ColumnsDiffer`], and [`KlError::PerRowLength`] if `kl_nats`
/// does not hold one value per row. Nothing is written then.
///
/// # Examples
///
/// Two positions; the teacher's logits are `f32`, the student's `bf16`.
///
/// ```
/// # #[cfg(feature = "half")] {
/// use distil_kl::{Rows, Threads, kl_rows};
/// use half::bf16;
///
/// let teacher = [2.0f32, 1.0, 0.0, 0.5, 0.5, 0.5];
/// let student = [1.0f32, 1.0, 1.0, 0.5, 0.5, 0.5].map(bf16::from_f32);
/// let mut kl_nats = [0.0; 2];
/// kl_rows(
///     Rows::new(&teacher, 2, 3)?,
///     Rows::new(&student, 2, 3)?,
///     Threads::ONE,
///     &mut kl_nats,
/// )?;
/// assert!(kl_nats[0] > 0.2 && kl_nats[1] == 0.0);
/// # }
/// # Ok::<(), distil_kl::KlError>(())
/// ```
pub fn kl_rows<T: Logit, S: Logit>(
    teacher: Rows<'_, T>,
    student: Rows<'_, S>,
    threads: Threads,
    kl_nats: &mut [f64],
) -> Result<(), KlError> {
    Kernel::fastest().kl_rows(teacher, student, threads, kl_nats)
}

impl Kernel {
    /// KL(teacher ‖ student) of one row of logits, in nats.
    ///
    /// # Formula
    ///
    /// `Σᵢ pᵢ (ln pᵢ − ln qᵢ)`, `p = softmax(teacher)`, `q = softmax(student)`, over all columns.
    ///
    /// # Numerics
    ///
    /// Within 1e-6 + 5e-5 · KL of the definition evaluated in `f64`; see
    /// [precision](crate#precision) and [semantics](crate#semantics).
    ///
    /// # Errors
    ///
    /// [`KlError::NoColumns`] and [`KlError::ColumnsDiffer`].
    pub fn kl_row<T: Logit, S: Logit>(self, teacher: &[T], student: &[S]) -> Result<f64, KlError> {
        if teacher.len() != student.len() {
            return Err(KlError::ColumnsDiffer { teacher: teacher.len(), student: student.len() });
        }
        if teacher.is_empty() {
            return Err(KlError::NoColumns);
        }
        let mut state = RowState::new();
        state.push(self, teacher, student);
        Ok(state.kl_nats())
    }

    /// KL(teacher ‖ student) of each row of a batch, in nats.
    ///
    /// `teacher` and `student` are `[rows, columns]`, `kl_nats` is `[rows]`. Each row gives the
    /// bits that [`Kernel::kl_row`] gives for it, whatever the threads.
    ///
    /// # Errors
    ///
    /// [`KlError::RowsDiffer`], [`KlError::ColumnsDiffer`], and [`KlError::PerRowLength`] if
    /// `kl_nats` does not hold one value per row. Nothing is written then.
    pub fn kl_rows<T: Logit, S: Logit>(
        self,
        teacher: Rows<'_, T>,
        student: Rows<'_, S>,
        threads: Threads,
        kl_nats: &mut [f64],
    ) -> Result<(), KlError> {
        same_shape(&teacher, &student)?;
        per_row("kl_nats", kl_nats.len(), teacher.rows())?;
        threads.for_each_piece(kl_nats, 1, teacher.columns(), |first_row, kl_nats| {
            for (row, kl_nats) in (first_row..).zip(kl_nats) {
                let mut state = RowState::new();
                state.push(self, teacher.row(row), student.row(row));
                *kl_nats = state.kl_nats();
            }
        });
        Ok(())
    }
}

pub(crate) fn per_row(name: &'static str, found: usize, expected: usize) -> Result<(), KlError> {
    if found == expected { Ok(()) } else { Err(KlError::PerRowLength { name, expected, found }) }
}
