/// What can be wrong with the shapes handed to this crate.
///
/// Values are never an error: what NaN, infinities and masked columns give is a number, described
/// under [semantics](crate#semantics).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KlError {
    /// A row has no columns, so it holds no distribution.
    #[error("a row of logits has no columns; a distribution needs at least one")]
    NoColumns,
    /// Teacher and student rows differ in length.
    #[error("the teacher has {teacher} columns and the student {student}; both must use the same vocabulary")]
    ColumnsDiffer {
        /// Columns of the teacher.
        teacher: usize,
        /// Columns of the student.
        student: usize,
    },
    /// Teacher and student hold a different number of rows.
    #[error("the teacher has {teacher} rows and the student {student}; every position needs both")]
    RowsDiffer {
        /// Rows of the teacher.
        teacher: usize,
        /// Rows of the student.
        student: usize,
    },
    /// The slice of a matrix does not have the length that its shape asks for.
    #[error("{rows} rows of {columns} columns need {expected} values; the slice holds {found}")]
    DataLength {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// Length that the shape needs.
        expected: usize,
        /// Length of the slice.
        found: usize,
    },
    /// `rows × stride + columns` does not fit into `usize`.
    #[error("{rows} rows of {columns} columns with stride {row_stride} exceed the address space")]
    ShapeTooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// Distance between the starts of two rows.
        row_stride: usize,
    },
    /// A slice with one value per row does not have one value per row.
    #[error("`{name}` must hold one value for each of {expected} rows; it holds {found}")]
    PerRowLength {
        /// Which argument it is.
        name: &'static str,
        /// Number of rows.
        expected: usize,
        /// Length of the slice.
        found: usize,
    },
    /// The gradient slice does not have one value per logit.
    #[error("the gradient must hold rows × columns = {expected} values; the slice holds {found}")]
    GradientLength {
        /// `rows × columns`.
        expected: usize,
        /// Length of the slice.
        found: usize,
    },
    /// A tile does not have the rows that the incremental sum was begun with.
    #[error("the sum was begun for {rows} rows; this tile has {teacher} of the teacher and {student} of the student")]
    TileRows {
        /// Rows of the sum.
        rows: usize,
        /// Rows of the teacher's tile.
        teacher: usize,
        /// Rows of the student's tile.
        student: usize,
    },
    /// A tile would make a row longer than `usize` can count.
    #[error("the tiles pushed so far and this one have more columns than can be counted")]
    TooManyColumns,
    /// Zero threads were asked for.
    #[error("zero threads can do no work; ask for at least one")]
    NoThreads,
}
