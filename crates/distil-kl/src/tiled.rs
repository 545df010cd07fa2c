use crate::row::RowState;
use crate::rows::same_shape;
use crate::{Kernel, KlError, Logit, Rows, Threads};

/// KL of rows whose logits come a vocabulary tile at a time, so that no full row is ever needed.
///
/// Push the tiles of both models in turn, columns in the same order, then
/// [`finish`](Self::finish). About 250 bytes are kept per row, whatever the vocabulary.
///
/// Tiles whose widths are multiples of [`TiledKl::BLOCK_COLUMNS`] (the last may have any width)
/// give the bits of [`kl_rows`](crate::kl_rows) on the whole rows, also where a later tile raises
/// the offset. Other widths agree within the crate's tolerance.
///
/// ```
/// use distil_kl::{Rows, Threads, TiledKl, kl_row};
///
/// let teacher: Vec<f32> = (0..2000).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
/// let student: Vec<f32> = (0..2000).map(|i| (i as f32 * 0.7).sin() * 4.0).collect();
///
/// let mut tiled = TiledKl::new(1);
/// for (t, s) in teacher.chunks(1024).zip(student.chunks(1024)) {
///     let columns = t.len();
///     tiled.push(Rows::new(t, 1, columns)?, Rows::new(s, 1, columns)?, Threads::ONE)?;
/// }
/// assert_eq!(tiled.columns(), 2000);
/// assert_eq!(tiled.finish(), [kl_row(&teacher, &student)?]);
/// # Ok::<(), distil_kl::KlError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TiledKl {
    kernel: Kernel,
    states: Vec<RowState>,
    columns: usize,
}

impl TiledKl {
    /// Tiles of multiples of this width give the same bits as whole rows.
    pub const BLOCK_COLUMNS: usize = crate::block::BLOCK;

    /// Begins `rows` rows, on the fastest path.
    pub fn new(rows: usize) -> Self {
        Kernel::fastest().tiled(rows)
    }

    /// Takes in the next columns of all rows: both tiles are `[rows, width of the tile]`.
    ///
    /// # Errors
    ///
    /// [`KlError::TileRows`] and [`KlError::ColumnsDiffer`]. Nothing is taken in then.
    pub fn push<T: Logit, S: Logit>(
        &mut self,
        teacher: Rows<'_, T>,
        student: Rows<'_, S>,
        threads: Threads,
    ) -> Result<(), KlError> {
        let rows = self.states.len();
        if teacher.rows() != rows || student.rows() != rows {
            return Err(KlError::TileRows { rows, teacher: teacher.rows(), student: student.rows() });
        }
        same_shape(&teacher, &student)?;
        self.columns = self.columns.checked_add(teacher.columns()).ok_or(KlError::TooManyColumns)?;
        let kernel = self.kernel;
        threads.for_each_piece(&mut self.states, 1, teacher.columns(), |first_row, states| {
            for (row, state) in (first_row..).zip(states) {
                state.push(kernel, teacher.row(row), student.row(row));
            }
        });
        Ok(())
    }

    /// KL(teacher ‖ student) of each row in nats, over the columns pushed so far. More may be
    /// pushed afterwards. Before the first push there is no distribution and every row is NaN.
    pub fn finish(&self) -> Vec<f64> {
        self.states.iter().map(RowState::kl_nats).collect()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.states.len()
    }

    /// Columns pushed so far.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

impl Kernel {
    /// Begins `rows` rows that come in tiles; see [`TiledKl`].
    pub fn tiled(self, rows: usize) -> TiledKl {
        TiledKl { kernel: self, states: vec![RowState::new(); rows], columns: 0 }
    }
}
