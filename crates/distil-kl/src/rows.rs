use crate::{KlError, Logit};

/// Borrowed row-major logits, one row per position: `[rows, columns]`, rows `row_stride` apart.
///
/// ```
/// use distil_kl::Rows;
///
/// let logits = [0.0f32; 6];
/// let two_rows = Rows::new(&logits, 2, 3)?;
/// assert_eq!((two_rows.rows(), two_rows.columns()), (2, 3));
/// // Columns 1 and 2 of the same matrix: a vocabulary tile, without a copy.
/// let tile = Rows::with_stride(&logits[1..], 2, 2, 3)?;
/// assert_eq!(tile.row(1).len(), 2);
/// # Ok::<(), distil_kl::KlError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a, T: Logit> Rows<'a, T> {
    /// A contiguous matrix. `data` must hold exactly `rows × columns` values.
    ///
    /// # Errors
    ///
    /// [`KlError::NoColumns`] if `columns` is 0, [`KlError::DataLength`] if the slice has another
    /// length than the shape, [`KlError::ShapeTooLarge`] if the shape overflows.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Result<Self, KlError> {
        let matrix = Self::with_stride(data, rows, columns, columns)?;
        let expected = rows * columns; // cannot overflow: checked by `with_stride`
        if data.len() != expected {
            return Err(KlError::DataLength { rows, columns, expected, found: data.len() });
        }
        Ok(matrix)
    }

    /// A matrix whose rows start `row_stride` values apart, such as a slice of columns. `data`
    /// must reach to the end of the last row; what lies after it is not read. A stride smaller
    /// than `columns` lets rows overlap, and 0 repeats one row.
    ///
    /// # Errors
    ///
    /// As for [`Rows::new`], with [`KlError::DataLength`] only if the slice is too short.
    pub fn with_stride(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Result<Self, KlError> {
        if columns == 0 {
            return Err(KlError::NoColumns);
        }
        let too_large = KlError::ShapeTooLarge { rows, columns, row_stride };
        // `rows × columns` is the length of outputs, so it must be countable as well.
        rows.checked_mul(columns).ok_or(too_large.clone())?;
        let expected = match rows {
            0 => 0,
            _ => (rows - 1).checked_mul(row_stride).and_then(|start| start.checked_add(columns)).ok_or(too_large)?,
        };
        if data.len() < expected {
            return Err(KlError::DataLength { rows, columns, expected, found: data.len() });
        }
        Ok(Self { data, rows, columns, row_stride })
    }

    /// Number of rows; may be 0.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns of each row, at least 1.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Distance from the start of a row to that of the next, in values.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// The logits of row `index`.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`rows`](Self::rows), like indexing a slice.
    pub fn row(&self, index: usize) -> &'a [T] {
        assert!(index < self.rows, "row {index} of {} rows", self.rows);
        let start = index * self.row_stride;
        &self.data[start..start + self.columns]
    }
}

/// Checks that teacher and student describe the same positions and the same vocabulary.
pub(crate) fn same_shape<T: Logit, S: Logit>(teacher: &Rows<'_, T>, student: &Rows<'_, S>) -> Result<(), KlError> {
    if teacher.rows != student.rows {
        return Err(KlError::RowsDiffer { teacher: teacher.rows, student: student.rows });
    }
    if teacher.columns != student.columns {
        return Err(KlError::ColumnsDiffer { teacher: teacher.columns, student: student.columns });
    }
    Ok(())
}
