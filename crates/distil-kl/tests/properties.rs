//! Every path, whole and tiled, on any number of threads, against the definition in `f64`.

use distil_kl::reference::{kl_gradient_row_f64, kl_row_f64};
use distil_kl::{Kernel, Logit, Path, Rows, Threads};
use proptest::prelude::*;

fn kernels() -> impl Iterator<Item = Kernel> {
    Path::ALL.into_iter().filter_map(Kernel::new)
}

/// What the crate promises: 1e-6 + 5e-5 · KL, and the same infinities and NaN.
fn agrees(kl_nats: f64, oracle: f64) -> bool {
    if oracle.is_finite() {
        (kl_nats - oracle).abs() <= 1e-6 + 5e-5 * oracle.abs()
    } else {
        kl_nats == oracle || (kl_nats.is_nan() && oracle.is_nan())
    }
}

fn rows<T: Logit>(data: &[T], rows: usize) -> Rows<'_, T> {
    Rows::new(data, rows, data.len() / rows).expect("whole rows")
}

fn tiled<T: Logit, S: Logit>(kernel: Kernel, teacher: &[T], student: &[S], widths: &[usize]) -> f64 {
    let mut tiled = kernel.tiled(1);
    let mut at = 0;
    let mut widths = widths.iter().cycle();
    while at < teacher.len() {
        let width = (*widths.next().expect("not empty")).min(teacher.len() - at);
        let (t, s) = (&teacher[at..at + width], &student[at..at + width]);
        tiled.push(rows(t, 1), rows(s, 1), Threads::ONE).expect("same shape");
        at += width;
    }
    tiled.finish()[0]
}

/// Holds every kernel to the oracle on one row; `tile` is any width.
fn check_row<T: Logit, S: Logit>(teacher: &[T], student: &[S], tile: usize) -> Result<(), TestCaseError> {
    let oracle = kl_row_f64(teacher, student).expect("same shape");
    for kernel in kernels() {
        let path = kernel.path();
        let whole = kernel.kl_row(teacher, student).expect("same shape");
        prop_assert!(agrees(whole, oracle), "{path}: {whole:e}, oracle {oracle:e}");
        let blocks = tiled(kernel, teacher, student, &[512, 1536, 1024]);
        prop_assert_eq!(whole.to_bits(), blocks.to_bits(), "{}: whole blocks", path);
        let odd = tiled(kernel, teacher, student, &[tile, 3 * tile, 1]);
        prop_assert!(agrees(odd, oracle), "{path} in tiles: {odd:e}, oracle {oracle:e}");
    }
    Ok(())
}

/// One way to spoil an ordinary row.
#[derive(Debug, Clone)]
enum Trouble {
    /// A value at a place, in the teacher, the student or both.
    Spike { at: prop::sample::Index, value: f32, whom: Whom },
    /// A value in every column `index % period == 0`.
    Mask { period: usize, value: f32, whom: Whom },
    /// A value from a place on to the end, or up to it.
    Range { at: prop::sample::Index, to_the_end: bool, value: f32, whom: Whom },
    /// All logits moved; huge ones only as far as `f32` still tells logits apart.
    Shift { by: f32, whom: Whom },
    /// All logits the same.
    Constant { value: f32, whom: Whom },
    /// The student is the teacher, moved by this much noise.
    Near { noise: f32 },
    /// All logits multiplied.
    Scale { by: f32, whom: Whom },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Whom {
    Teacher,
    Student,
    Both,
}

const EXTREMES: [f32; 12] =
    [1e4, -1e4, 100.0, -100.0, -700.0, -1e30, 1e30, f32::NEG_INFINITY, 3.3895314e38, -3.3895314e38, 1e-40, 2e5];

fn whom() -> impl Strategy<Value = Whom> {
    prop::sample::select(vec![Whom::Teacher, Whom::Student, Whom::Both])
}

fn extreme() -> impl Strategy<Value = f32> {
    prop::sample::select(EXTREMES.to_vec())
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), extreme(), whom()).prop_map(|(at, value, whom)| Trouble::Spike { at, value, whom }),
        (1usize..700, extreme(), whom()).prop_map(|(period, value, whom)| Trouble::Mask { period, value, whom }),
        (index(), any::<bool>(), extreme(), whom())
            .prop_map(|(at, to_the_end, value, whom)| { Trouble::Range { at, to_the_end, value, whom } }),
        (-2000f32..2000.0, whom()).prop_map(|(by, whom)| Trouble::Shift { by, whom }),
        (-300f32..300.0, whom()).prop_map(|(value, whom)| Trouble::Constant { value, whom }),
        (-6i32..0).prop_map(|power| Trouble::Near { noise: 10f32.powi(power) }),
        (0.1f32..30.0, whom()).prop_map(|(by, whom)| Trouble::Scale { by, whom }),
    ]
}

/// Teacher and student, shown by how they were made rather than by thousands of numbers.
#[derive(Clone)]
struct Pair {
    teacher: Vec<f32>,
    student: Vec<f32>,
    recipe: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.recipe)
    }
}

/// Rows of up to 3,000 columns with up to three troubles, in `f32`.
fn pair() -> impl Strategy<Value = Pair> {
    let columns = prop_oneof![1usize..70, 480usize..580, 1000usize..3000];
    (columns, any::<u64>(), prop::collection::vec(trouble(), 0..4)).prop_map(|(columns, seed, troubles)| {
        let recipe = format!("{columns} columns, seed {seed}, {troubles:?}");
        let mut normal = normal(seed);
        let mut teacher: Vec<f32> = (0..columns).map(|_| 3.0 * normal()).collect();
        let mut student: Vec<f32> = teacher.iter().map(|t| t + 0.7 * normal()).collect();
        for trouble in troubles {
            spoil(trouble, &mut teacher, &mut student, &mut normal);
        }
        Pair { teacher, student, recipe }
    })
}

/// About normal numbers, as the sum of four uniform ones.
fn normal(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed | 1;
    move || {
        let mut sum = 0.0;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 40) as f32 / (1u64 << 24) as f32;
        }
        (sum - 2.0) * 1.73
    }
}

fn spoil(trouble: Trouble, teacher: &mut [f32], student: &mut [f32], normal: &mut impl FnMut() -> f32) {
    let columns = teacher.len();
    let mut change = |whom: Whom, change: &dyn Fn(usize, &mut f32)| {
        for (model, row) in [(Whom::Teacher, &mut *teacher), (Whom::Student, &mut *student)] {
            if whom == model || whom == Whom::Both {
                row.iter_mut().enumerate().for_each(|(index, logit)| change(index, logit));
            }
        }
    };
    match trouble {
        Trouble::Spike { at, value, whom } => {
            let at = at.index(columns);
            change(whom, &|index, logit| {
                if index == at {
                    *logit = value;
                }
            });
        }
        Trouble::Mask { period, value, whom } => change(whom, &|index, logit| {
            if index % period == 0 {
                *logit = value;
            }
        }),
        Trouble::Range { at, to_the_end, value, whom } => {
            let at = at.index(columns);
            change(whom, &|index, logit| {
                if (index >= at) == to_the_end {
                    *logit = value;
                }
            });
        }
        Trouble::Shift { by, whom } => change(whom, &|_, logit| *logit += by),
        Trouble::Constant { value, whom } => change(whom, &|_, logit| *logit = value),
        Trouble::Scale { by, whom } => change(whom, &|_, logit| *logit *= by),
        Trouble::Near { noise } => {
            for (teacher, student) in teacher.iter().zip(student) {
                *student = teacher + noise * normal();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn f32_rows_agree_with_the_definition(Pair { teacher, student, .. } in pair(), tile in 1usize..600) {
        check_row(&teacher, &student, tile)?;
    }

    #[test]
    fn a_common_shift_changes_nothing(
        seed in any::<u64>(),
        teacher_shift in -40_000i32..40_000,
        student_shift in -40_000i32..40_000,
    ) {
        // Multiples of 1/64, so that the shifted logits are exact in f32.
        let mut normal = normal(seed);
        let mut grid = |scale: f32| (normal() * scale * 64.0).round() / 64.0;
        let teacher: Vec<f32> = (0..1500).map(|_| grid(3.0)).collect();
        let student: Vec<f32> = teacher.iter().map(|t| t + grid(0.5)).collect();
        let oracle = kl_row_f64(&teacher, &student).expect("same shape");
        let shift = |row: &[f32], by: i32| row.iter().map(|t| t + by as f32).collect::<Vec<_>>();
        for kernel in kernels() {
            let shifted = kernel
                .kl_row(&shift(&teacher, teacher_shift), &shift(&student, student_shift))
                .expect("same shape");
            prop_assert!(agrees(shifted, oracle), "{}: {shifted}, {oracle}", kernel.path());
        }
    }

    #[test]
    fn the_order_of_columns_does_not_matter(
        Pair { teacher, student, .. } in pair(),
        rotation in any::<prop::sample::Index>(),
    ) {
        let oracle = kl_row_f64(&teacher, &student).expect("same shape");
        let by = rotation.index(teacher.len());
        // Rotated and reversed: the first block, which the offset comes from, is another one.
        let permuted = |row: &[f32]| -> Vec<f32> {
            row[by..].iter().chain(&row[..by]).rev().copied().collect()
        };
        let (teacher, student) = (permuted(&teacher), permuted(&student));
        for kernel in kernels() {
            let kl_nats = kernel.kl_row(&teacher, &student).expect("same shape");
            prop_assert!(agrees(kl_nats, oracle), "{}: {kl_nats}, {oracle}", kernel.path());
        }
    }

    #[test]
    fn the_gradient_agrees_with_the_definition(Pair { teacher, student, .. } in pair(), scale in -2f32..2.0) {
        let columns = teacher.len();
        let oracle = kl_gradient_row_f64(&teacher, &student, f64::from(scale)).expect("same shape");
        for kernel in kernels() {
            let mut gradient = vec![0.0; columns];
            kernel
                .kl_gradient_rows(
                    rows(&teacher, 1), rows(&student, 1), &[scale], Threads::ONE, &mut gradient,
                )
                .expect("same shape");
            for (found, expected) in gradient.iter().zip(&oracle) {
                let both_nan = found.is_nan() && expected.is_nan();
                prop_assert!(
                    both_nan || (f64::from(*found) - expected).abs() <= 5e-6 * f64::from(scale.abs()),
                    "{}: {found}, {expected}", kernel.path(),
                );
            }
        }
    }
}

#[cfg(feature = "half")]
mod half_formats {
    use half::{bf16, f16};

    use super::*;

    fn brain(row: &[f32]) -> Vec<bf16> {
        row.iter().map(|logit| bf16::from_f32(*logit)).collect()
    }

    fn half(row: &[f32]) -> Vec<f16> {
        row.iter().map(|logit| f16::from_f32(*logit)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn narrow_rows_agree_with_the_definition(Pair { teacher, student, .. } in pair(), tile in 1usize..600) {
            check_row(&brain(&teacher), &brain(&student), tile)?;
            check_row(&half(&teacher), &half(&student), tile)?;
        }

        #[test]
        fn mixed_rows_agree_with_the_definition(Pair { teacher, student, .. } in pair(), tile in 1usize..600) {
            check_row(&brain(&teacher), &student, tile)?;
            check_row(&teacher, &half(&student), tile)?;
            check_row(&half(&teacher), &brain(&student), tile)?;
        }

        #[test]
        fn any_bits_of_bf16_agree_with_the_definition(
            bits in prop::collection::vec(any::<(u16, u16)>(), 1..1200),
            tile in 1usize..600,
        ) {
            // Every magnitude and sign, NaN and infinity among them; mostly far from a language model.
            let (teacher, student): (Vec<_>, Vec<_>) =
                bits.iter().map(|(t, s)| (bf16::from_bits(*t), bf16::from_bits(*s))).unzip();
            check_row(&teacher, &student, tile)?;
            let finite = |row: &[bf16]| -> Vec<bf16> {
                row.iter().map(|logit| if logit.is_finite() { *logit } else { bf16::ZERO }).collect()
            };
            check_row(&finite(&teacher), &finite(&student), tile)?;
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (count, columns) = (23, 70_001);
    let mut normal = normal(11);
    let teacher: Vec<f32> = (0..count * columns).map(|_| 3.0 * normal()).collect();
    let student: Vec<f32> = teacher.iter().map(|t| t + 0.4 * normal()).collect();
    let (teacher, student) = (rows(&teacher, count), rows(&student, count));
    for kernel in kernels() {
        let mut expected = vec![0.0; count];
        for (row, kl_nats) in expected.iter_mut().enumerate() {
            *kl_nats = kernel.kl_row(teacher.row(row), student.row(row)).expect("same shape");
        }
        let mut gradient_of_one = vec![0.0; count * columns];
        let scale = vec![0.5; count];
        kernel.kl_gradient_rows(teacher, student, &scale, Threads::ONE, &mut gradient_of_one).expect("same shape");
        for threads in all_sources() {
            let mut kl_nats = vec![0.0; count];
            kernel.kl_rows(teacher, student, threads, &mut kl_nats).expect("same shape");
            assert_eq!(kl_nats, expected, "{threads:?}");
            let mut tiled = kernel.tiled(count);
            tiled.push(teacher, student, threads).expect("same shape");
            assert_eq!(tiled.finish(), expected, "{threads:?}");
            let mut gradient = vec![0.0; count * columns];
            kernel.kl_gradient_rows(teacher, student, &scale, threads, &mut gradient).expect("same shape");
            assert!(gradient == gradient_of_one, "{threads:?}");
        }
    }
}

fn all_sources() -> Vec<Threads> {
    let started = [1, 2, 3, 23, 100].map(|count| Threads::try_from(count).expect("not zero"));
    #[cfg(feature = "rayon")]
    let started = {
        let four = std::num::NonZeroUsize::new(4).expect("not zero");
        [&started[..], &[Threads::rayon(four)]].concat()
    };
    started.to_vec()
}

#[test]
fn very_small_divergences_are_within_the_tolerance() {
    // KL near 1e-10 at a real vocabulary; results may be slightly negative, never far.
    let mut normal = normal(5);
    let teacher: Vec<f32> = (0..248_320).map(|_| 3.0 * normal()).collect();
    let student: Vec<f32> = teacher.iter().map(|t| t + 1.5e-5 * normal()).collect();
    let oracle = kl_row_f64(&teacher, &student).expect("same shape");
    assert!(oracle > 1e-11 && oracle < 1e-9, "{oracle:e}");
    for kernel in kernels() {
        let kl_nats = kernel.kl_row(&teacher, &student).expect("same shape");
        assert!((kl_nats - oracle).abs() < 1e-7, "{}: {kl_nats:e}", kernel.path());
    }
}

#[test]
fn two_different_constants_are_the_same_distribution() {
    for (teacher, student) in [(1.0, 2.3), (-17.77, 300.1), (1234.567, -0.001), (9e4, 0.3)] {
        let (teacher, student) = (vec![teacher; 248_320], vec![student; 248_320]);
        for kernel in kernels() {
            let kl_nats = kernel.kl_row(&teacher, &student).expect("same shape");
            assert!(kl_nats.abs() < 1e-6, "{}: {kl_nats:e}", kernel.path());
        }
    }
}

#[test]
fn d8_full_vocabularies_with_spikes_agree_with_the_definition() {
    let columns = 248_320;
    let mut normal = normal(21);
    let teacher: Vec<f32> = (0..columns).map(|_| 3.0 * normal()).collect();
    let student: Vec<f32> = (0..columns).map(|_| 3.0 * normal()).collect();
    for at in [3, 200_000] {
        for (teacher_spike, student_spike) in [(1e4, 0.0), (0.0, 1e4), (1e4, 1e4), (60.0, 75.0)] {
            let (mut teacher, mut student) = (teacher.clone(), student.clone());
            teacher[at] += teacher_spike;
            student[at] += student_spike;
            let oracle = kl_row_f64(&teacher, &student).expect("same shape");
            for kernel in kernels() {
                let kl_nats = kernel.kl_row(&teacher, &student).expect("same shape");
                assert!(agrees(kl_nats, oracle), "{}: {kl_nats}, {oracle}", kernel.path());
            }
        }
    }
}
