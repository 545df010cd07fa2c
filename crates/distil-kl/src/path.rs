use crate::Logit;
use crate::block::{self, Factors, Offsets, Sums};
use crate::vector::portable::Array8;
#[cfg(target_arch = "x86_64")]
use crate::vector::{avx2::F32x8, avx512::F32x16};

/// The instructions that a [`Kernel`] is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// 512-bit vectors: x86-64 with AVX-512 F and DQ.
    Avx512,
    /// 256-bit vectors: x86-64 with AVX2, FMA and F16C.
    Avx2Fma,
    /// Plain Rust, for every processor.
    Portable,
}

impl Path {
    /// All paths, fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2Fma, Self::Portable];

    /// Whether this processor can run it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2Fma => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2Fma => false,
            Self::Portable => true,
        }
    }

    /// A short name for logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2Fma => "avx2+fma",
            Self::Portable => "portable",
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The path that the crate's functions take on this processor: the fastest that is available.
pub fn active_path() -> Path {
    Kernel::fastest().path()
}

/// The functions of this crate on one [`Path`]: proof that the processor has its instructions.
///
/// The free functions ([`kl_rows`](crate::kl_rows) and so on) use [`Kernel::fastest`]. Take a
/// kernel by name to compare paths, or to get the same bits on machines of different kinds.
///
/// ```
/// use distil_kl::{Kernel, Path};
///
/// let portable = Kernel::new(Path::Portable).expect("runs everywhere");
/// let kl_nats = portable.kl_row(&[1.0f32, 2.0], &[1.5f32, 2.0])?;
/// assert!(kl_nats > 0.0);
/// # Ok::<(), distil_kl::KlError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Available on this processor: `Kernel::new` is the only constructor, and it looks.
    path: Path,
}

impl Kernel {
    /// The kernel of this path, or `None` where the processor cannot run it.
    pub fn new(path: Path) -> Option<Self> {
        path.is_available().then_some(Self { path })
    }

    /// The kernel of the fastest path that this processor can run.
    pub fn fastest() -> Self {
        Path::ALL.into_iter().find_map(Self::new).unwrap_or(Self { path: Path::Portable })
    }

    /// The path it takes.
    pub fn path(self) -> Path {
        self.path
    }

    /// See [`block::sum_blocks`]; the slices must have the same length.
    pub(crate) fn sum_blocks<T: Logit, S: Logit, const MASKED: bool>(
        self,
        teacher: &[T],
        student: &[S],
        offsets: Offsets,
        sums: &mut Sums,
    ) -> usize {
        assert_eq!(teacher.len(), student.len(), "rows of a pair have the same length");
        match self.path {
            // SAFETY: a `Kernel` exists only for paths that are available; lengths are equal.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { sum_blocks_avx512::<T, S, MASKED>(teacher, student, offsets, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2Fma => unsafe { sum_blocks_avx2::<T, S, MASKED>(teacher, student, offsets, sums) },
            // SAFETY: no special instructions; lengths are equal.
            _ => unsafe { block::sum_blocks::<Array8, T, S, MASKED, 8>(teacher, student, offsets, sums) },
        }
    }

    /// See [`block::write_gradient`]; the slices must have the same length.
    pub(crate) fn write_gradient<T: Logit, S: Logit>(
        self,
        teacher: &[T],
        student: &[S],
        offsets: Offsets,
        factors: Factors,
        gradient: &mut [f32],
    ) {
        assert_eq!(teacher.len(), gradient.len(), "the gradient has one value per logit");
        assert_eq!(student.len(), gradient.len(), "the gradient has one value per logit");
        match self.path {
            // SAFETY: a `Kernel` exists only for paths that are available; lengths are equal.
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => unsafe { write_gradient_avx512(teacher, student, offsets, factors, gradient) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Path::Avx2Fma => unsafe { write_gradient_avx2(teacher, student, offsets, factors, gradient) },
            // SAFETY: no special instructions; lengths are equal.
            _ => unsafe { block::write_gradient::<Array8, T, S>(teacher, student, offsets, factors, gradient) },
        }
    }
}

/// # Safety
///
/// AVX-512 F and DQ must be available, and the slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn sum_blocks_avx512<T: Logit, S: Logit, const MASKED: bool>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
    sums: &mut Sums,
) -> usize {
    // SAFETY: passed on to the caller.
    unsafe { block::sum_blocks::<F32x16, T, S, MASKED, 8>(teacher, student, offsets, sums) }
}

/// # Safety
///
/// AVX2, FMA and F16C must be available, and the slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sum_blocks_avx2<T: Logit, S: Logit, const MASKED: bool>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
    sums: &mut Sums,
) -> usize {
    // SAFETY: passed on to the caller.
    unsafe { block::sum_blocks::<F32x8, T, S, MASKED, 8>(teacher, student, offsets, sums) }
}

/// # Safety
///
/// AVX-512 F and DQ must be available, and the slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn write_gradient_avx512<T: Logit, S: Logit>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
    factors: Factors,
    gradient: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe { block::write_gradient::<F32x16, T, S>(teacher, student, offsets, factors, gradient) }
}

/// # Safety
///
/// AVX2, FMA and F16C must be available, and the slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn write_gradient_avx2<T: Logit, S: Logit>(
    teacher: &[T],
    student: &[S],
    offsets: Offsets,
    factors: Factors,
    gradient: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe { block::write_gradient::<F32x8, T, S>(teacher, student, offsets, factors, gradient) }
}
