//! What the crate says about masks, NaN, infinities and shapes, on every path this machine has.

use distil_kl::{Kernel, KlError, Path, Rows, Threads, TiledKl, kl_gradient_rows, kl_row, kl_rows, reference};

const INF: f32 = f32::INFINITY;

fn kernels() -> Vec<Kernel> {
    Path::ALL.into_iter().filter_map(Kernel::new).collect()
}

/// A row of logits without any structure that a test could lean on.
fn logits(columns: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32
    };
    (0..columns).map(|_| (uniform() + uniform() + uniform() - 1.5) * 6.0).collect()
}

/// The KL of the row by each kernel, whole and in tiles of 512, which must agree bit for bit.
#[track_caller]
fn all_agree(teacher: &[f32], student: &[f32], check: impl Fn(f64) -> bool) {
    let oracle = reference::kl_row_f64(teacher, student).unwrap();
    assert!(check(oracle), "the oracle says {oracle}");
    for kernel in kernels() {
        let whole = kernel.kl_row(teacher, student).unwrap();
        assert!(check(whole), "{} says {whole}", kernel.path());
        let mut tiled = kernel.tiled(1);
        for (t, s) in teacher.chunks(512).zip(student.chunks(512)) {
            let (t, s) = (Rows::new(t, 1, t.len()).unwrap(), Rows::new(s, 1, s.len()).unwrap());
            tiled.push(t, s, Threads::ONE).unwrap();
        }
        let tiled = tiled.finish()[0];
        assert_eq!(whole.to_bits(), tiled.to_bits(), "{}: {whole} {tiled}", kernel.path());
    }
}

#[test]
fn identical_rows_give_exactly_zero() {
    for columns in [1, 2, 31, 32, 33, 512, 513, 5000] {
        let row = logits(columns, 7);
        all_agree(&row, &row, |kl| kl == 0.0);
        let mut spiked = row.clone();
        spiked[columns - 1] = 1e4;
        all_agree(&spiked, &spiked, |kl| kl == 0.0);
        let huge: Vec<_> = row.iter().map(|logit| logit * 1e37).collect();
        all_agree(&huge, &huge, |kl| kl == 0.0);
    }
}

#[test]
fn identical_masked_rows_give_exactly_zero() {
    for mask in [-INF, -1e30, f32::MIN] {
        let mut row = logits(3000, 8);
        for column in (0..3000).filter(|column| column % 3 == 1) {
            row[column] = mask;
        }
        all_agree(&row, &row, |kl| kl == 0.0);
        row[..1100].fill(mask); // whole blocks, and the first ones
        all_agree(&row, &row, |kl| kl == 0.0);
    }
}

#[cfg(feature = "half")]
#[test]
fn identical_values_in_different_formats_give_exactly_zero() {
    use half::{bf16, f16};
    let rounded: Vec<f32> = logits(1999, 3).iter().map(|logit| (logit * 8.0).round() / 8.0).collect();
    let brain: Vec<_> = rounded.iter().map(|logit| bf16::from_f32(*logit)).collect();
    let half: Vec<_> = rounded.iter().map(|logit| f16::from_f32(*logit)).collect();
    for kernel in kernels() {
        assert_eq!(kernel.kl_row(&rounded, &brain), Ok(0.0));
        assert_eq!(kernel.kl_row(&brain, &half), Ok(0.0));
        assert_eq!(kernel.kl_row(&half, &rounded), Ok(0.0));
        assert_eq!(kernel.kl_row(&brain, &brain), Ok(0.0));
        assert_eq!(kernel.kl_row(&half, &half), Ok(0.0));
    }
}

#[test]
fn a_column_that_the_teacher_excludes_counts_for_nothing() {
    // Wherever the excluded column is, the KL is that of the rows without it.
    for column in [0, 600, 1999] {
        for mask in [-INF, -1e30] {
            let (mut teacher, student) = (logits(2000, 1), logits(2000, 2));
            teacher[column] = mask;
            let oracle = reference::kl_row_f64(&teacher, &student).unwrap();
            all_agree(&teacher, &student, |kl| (kl - oracle).abs() < 1e-6 + 5e-5 * oracle);
        }
    }
}

#[test]
fn teacher_mass_where_the_student_has_none_is_infinite() {
    for column in [0, 600, 1999] {
        let (teacher, mut student) = (logits(2000, 1), logits(2000, 2));
        student[column] = -INF;
        all_agree(&teacher, &student, |kl| kl == f64::INFINITY);
        // Very little mass is mass: 2^-400 is far from nothing in f64, and nothing in f32.
        let mut little = teacher.clone();
        little[column] = -300.0;
        all_agree(&little, &student, |kl| kl == f64::INFINITY);
        // 1000 nats below the rest, f64 has no mass left.
        little[column] = -1000.0;
        all_agree(&little, &student, |kl| kl.is_finite());
    }
}

#[test]
fn mass_that_a_later_spike_takes_away_is_not_missed_in_the_student() {
    let (mut teacher, mut student) = (logits(2000, 1), logits(2000, 2));
    student[3] = -INF;
    teacher[1500] = 1e4; // now column 3 has no mass
    student[1500] = 5.0;
    all_agree(&teacher, &student, |kl| kl.is_finite() && kl > 1.0);
}

#[test]
fn nan_stays_nan() {
    for column in [0, 511, 600, 1999] {
        for bad in [f32::NAN, -f32::NAN, INF] {
            let (teacher, student) = (logits(2000, 1), logits(2000, 2));
            let mut broken = teacher.clone();
            broken[column] = bad;
            all_agree(&broken, &student, f64::is_nan);
            all_agree(&student, &broken, f64::is_nan);
            all_agree(&broken, &broken, f64::is_nan);
        }
    }
}

#[test]
fn nan_is_not_hidden_by_masks_or_spikes() {
    let (mut teacher, mut student) = (logits(2000, 1), logits(2000, 2));
    student[700] = -INF; // alone it would be +inf
    teacher[1900] = f32::NAN;
    all_agree(&teacher, &student, f64::is_nan);
}

#[test]
fn a_row_without_mass_is_nan() {
    let row = logits(1300, 1);
    let empty = vec![-INF; 1300];
    all_agree(&empty, &row, f64::is_nan);
    all_agree(&row, &empty, f64::is_nan);
    all_agree(&empty, &empty, f64::is_nan);
}

#[test]
fn one_column_is_certain() {
    all_agree(&[3.0], &[-5.0], |kl| kl.abs() < 1e-6);
    all_agree(&[3e38], &[-3e38], |kl| kl == 0.0);
}

#[test]
fn shapes_that_do_not_match_are_errors() {
    let none: [f32; 0] = [];
    assert_eq!(kl_row(&none, &none), Err(KlError::NoColumns));
    let differ = KlError::ColumnsDiffer { teacher: 2, student: 3 };
    assert_eq!(kl_row(&[0.0; 2], &[0.0; 3]), Err(differ.clone()));
    assert_eq!(reference::kl_row_f64(&none, &none), Err(KlError::NoColumns));
    assert_eq!(reference::kl_row_f64(&[0.0; 2], &[0.0; 3]), Err(differ.clone()));

    let data = [0.0f32; 12];
    assert_eq!(Rows::new(&data, 0, 0).unwrap_err(), KlError::NoColumns);
    assert_eq!(
        Rows::new(&data, 2, 5).unwrap_err(),
        KlError::DataLength { rows: 2, columns: 5, expected: 10, found: 12 }
    );
    assert_eq!(
        Rows::with_stride(&data, 2, 5, 8).unwrap_err(),
        KlError::DataLength { rows: 2, columns: 5, expected: 13, found: 12 }
    );
    assert!(Rows::with_stride(&data, 2, 5, 7).is_ok());
    for (rows, columns, stride) in [(usize::MAX, 2, 2), (2, usize::MAX, 1), (3, 2, usize::MAX)] {
        assert!(matches!(Rows::with_stride(&data, rows, columns, stride), Err(KlError::ShapeTooLarge { .. })));
    }

    let rows = |rows, columns| Rows::new(&data[..rows * columns], rows, columns).unwrap();
    let mut out = [7.0; 3];
    let one = Threads::ONE;
    assert_eq!(kl_rows(rows(3, 2), rows(2, 2), one, &mut out), Err(KlError::RowsDiffer { teacher: 3, student: 2 }));
    assert_eq!(kl_rows(rows(3, 2), rows(3, 3), one, &mut out), Err(differ.clone()));
    assert_eq!(
        kl_rows(rows(2, 2), rows(2, 2), one, &mut out),
        Err(KlError::PerRowLength { name: "kl_nats", expected: 2, found: 3 })
    );
    assert_eq!(out, [7.0; 3], "nothing is written");

    let mut gradient = [7.0; 5];
    assert_eq!(
        kl_gradient_rows(rows(2, 2), rows(2, 2), &[1.0], one, &mut gradient),
        Err(KlError::PerRowLength { name: "scale", expected: 2, found: 1 })
    );
    assert_eq!(
        kl_gradient_rows(rows(2, 2), rows(2, 2), &[1.0; 2], one, &mut gradient),
        Err(KlError::GradientLength { expected: 4, found: 5 })
    );

    let mut tiled = TiledKl::new(2);
    assert_eq!(tiled.push(rows(3, 2), rows(3, 2), one), Err(KlError::TileRows { rows: 2, teacher: 3, student: 3 }));
    assert_eq!(tiled.push(rows(2, 2), rows(2, 3), one), Err(KlError::ColumnsDiffer { teacher: 2, student: 3 }));
    assert_eq!(tiled.columns(), 0, "nothing was taken in");
    assert!(tiled.finish().iter().all(|kl| kl.is_nan()), "nothing was pushed");
}

#[test]
fn no_rows_are_no_work() {
    let none: [f32; 0] = [];
    let rows = || Rows::new(&none, 0, 9).unwrap();
    kl_rows(rows(), rows(), Threads::available(), &mut []).unwrap();
    kl_gradient_rows(rows(), rows(), &[], Threads::available(), &mut []).unwrap();
    let mut tiled = TiledKl::new(0);
    tiled.push(rows(), rows(), Threads::ONE).unwrap();
    assert!(tiled.finish().is_empty());
}

#[test]
fn strided_rows_are_their_columns() {
    let (columns, stride) = (700, 1000);
    let (teacher, student) = (logits(5 * stride, 1), logits(5 * stride, 2));
    let rows = |data| Rows::with_stride(data, 5, columns, stride).unwrap();
    let mut kl_nats = [0.0; 5];
    kl_rows(rows(&teacher), rows(&student), Threads::ONE, &mut kl_nats).unwrap();
    for (row, kl) in kl_nats.into_iter().enumerate() {
        let at = row * stride..row * stride + columns;
        assert_eq!(Ok(kl), kl_row(&teacher[at.clone()], &student[at]));
    }
}

#[test]
fn the_gradient_of_identical_rows_is_exactly_zero_and_of_nan_is_nan() {
    let mut row = logits(700, 5);
    let columns = row.len();
    for kernel in kernels() {
        let mut gradient = vec![9.0; columns];
        let rows = Rows::new(&row, 1, columns).unwrap();
        kernel.kl_gradient_rows(rows, rows, &[0.25], Threads::ONE, &mut gradient).unwrap();
        assert!(gradient.iter().all(|g| *g == 0.0), "{}", kernel.path());
    }
    row[650] = f32::NAN;
    let student = logits(columns, 6);
    for kernel in kernels() {
        let mut gradient = vec![9.0; columns];
        let teacher = Rows::new(&row, 1, columns).unwrap();
        let student = Rows::new(&student, 1, columns).unwrap();
        kernel.kl_gradient_rows(teacher, student, &[1.0], Threads::ONE, &mut gradient).unwrap();
        assert!(gradient.iter().all(|g| g.is_nan()), "{}", kernel.path());
    }
}

#[test]
fn the_active_path_is_one_of_those_that_can_run() {
    assert!(distil_kl::active_path().is_available());
    assert!(kernels().iter().any(|kernel| kernel.path() == Path::Portable));
}
