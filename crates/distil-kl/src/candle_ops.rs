//! KL as an operation on candle tensors, with a gradient for the student.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use distil_kl::candle_ops::kl_divergence;
//!
//! let teacher = Tensor::new(&[[2f32, 1.0, 0.0], [0.0, 0.0, 0.0]], &Device::Cpu)?;
//! let student = Var::new(&[[1f32, 1.0, 1.0], [0.0, 0.0, 0.0]], &Device::Cpu)?;
//! let loss = kl_divergence(&teacher, &student)?.mean_all()?;
//! let gradients = loss.backward()?;
//! assert_eq!(gradients.get(&student).expect("the student has one").dims(), [2, 3]);
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Error, Layout, Result, Shape, Tensor, WithDType, bail};
use half::{bf16, f16};

use crate::{Logit, Rows, Threads, kl_gradient_rows, kl_rows};

/// Evaluates `$body` with the logits of a storage as [`Rows`] of their type.
macro_rules! with_logits {
    ($storage:ident, $layout:ident, $rows:ident => $body:expr) => {
        match $storage.dtype() {
            DType::F32 => {
                let $rows = rows::<f32>($storage, $layout)?;
                $body
            }
            DType::F16 => {
                let $rows = rows::<f16>($storage, $layout)?;
                $body
            }
            DType::BF16 => {
                let $rows = rows::<bf16>($storage, $layout)?;
                $body
            }
            other => bail!("logits must be f32, f16 or bf16, not {}", other.as_str()),
        }
    };
}
/// KL(teacher ‖ student) in nats over the last dimension, on all available threads, as `f32`.
///
/// # Shapes
///
/// Both tensors are logits `[.., vocabulary]` of the same shape, in `f32`, `f16` or `bf16`, each in
/// its own; the result is `[..]`. Strided tensors are read in place if the last dimension is
/// contiguous and the rows are evenly spaced; others are copied first.
///
/// # Gradient
///
/// Flows into the student alone, in the student's dtype. The teacher is taken as a constant.
///
/// # Errors
///
/// If shapes differ, there is no last dimension, the vocabulary is empty, a dtype is another one,
/// or a tensor is not on the CPU: this crate has no kernel for other devices, and falls back to
/// nothing slower behind your back. Move the tensors with `to_device(&Device::Cpu)`.
pub fn kl_divergence(teacher: &Tensor, student: &Tensor) -> Result<Tensor> {
    kl_divergence_with(teacher, student, DType::F32, Threads::available())
}

/// [`kl_divergence`] with the dtype of the result (`f32` or `f64`) and the number of threads.
///
/// # Errors
///
/// As [`kl_divergence`], and if `output` is another dtype.
pub fn kl_divergence_with(teacher: &Tensor, student: &Tensor, output: DType, threads: Threads) -> Result<Tensor> {
    for (name, tensor) in [("teacher", teacher), ("student", student)] {
        if !tensor.device().is_cpu() {
            bail!(
                "the {name}'s logits are on {:?}; distil-kl computes on the CPU, move them there",
                tensor.device().location()
            );
        }
    }
    if teacher.dims() != student.dims() {
        bail!(
            "the teacher's logits are {:?} and the student's {:?}; they must have the same shape",
            teacher.dims(),
            student.dims()
        );
    }
    if !matches!(output, DType::F32 | DType::F64) {
        bail!("KL is given as f32 or f64, not as {}", output.as_str());
    }
    let teacher = evenly_spaced(&teacher.detach())?;
    let student = evenly_spaced(student)?;
    teacher.apply_op2(&student, KlDivergence { output, threads })
}

/// The tensor itself if its rows can be read in place, else a copy.
fn evenly_spaced(tensor: &Tensor) -> Result<Tensor> {
    match row_stride(tensor.layout()) {
        Some(_) => Ok(tensor.clone()),
        None => tensor.contiguous(),
    }
}

/// Distance between rows of a layout with a contiguous last dimension, if it is the same for all.
fn row_stride(layout: &Layout) -> Option<usize> {
    let (columns, dims) = layout.dims().split_last()?;
    let (column_stride, strides) = layout.stride().split_last()?;
    if *column_stride != 1 && *columns > 1 {
        return None;
    }
    // From the innermost dimension outwards; those of size 1 have a stride without meaning.
    let mut even: Option<(usize, usize)> = None; // stride of a row, rows so far
    for (size, stride) in dims.iter().zip(strides).rev().filter(|(size, _)| **size != 1) {
        even = match even {
            None => Some((*stride, *size)),
            Some((row, rows)) if *stride == row * rows => Some((row, rows * size)),
            Some(_) => return None,
        };
    }
    Some(even.map_or(*columns, |(row, _)| row))
}

struct KlDivergence {
    output: DType,
    threads: Threads,
}

impl CustomOp2 for KlDivergence {
    fn name(&self) -> &'static str {
        "kl-divergence"
    }

    fn cpu_fwd(
        &self,
        teacher: &CpuStorage,
        teacher_layout: &Layout,
        student: &CpuStorage,
        student_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        with_logits!(teacher, teacher_layout, teacher => {
            with_logits!(student, student_layout, student => {
                let mut kl_nats = vec![0.0; teacher.rows()];
                kl_rows(teacher, student, self.threads, &mut kl_nats).map_err(Error::wrap)?;
                let outer = teacher_layout.dims().len() - 1;
                let shape = Shape::from(&teacher_layout.dims()[..outer]);
                let storage = match self.output {
                    DType::F64 => CpuStorage::F64(kl_nats),
                    _ => CpuStorage::F32(kl_nats.into_iter().map(|kl| kl as f32).collect()),
                };
                Ok((storage, shape))
            })
        })
    }

    fn bwd(
        &self,
        teacher: &Tensor,
        student: &Tensor,
        _kl: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let scale = gradient.to_dtype(DType::F32)?.contiguous()?;
        let op = KlGradient { threads: self.threads };
        let gradient = teacher.apply_op3_no_bwd(student, &scale, &op)?;
        Ok((None, Some(gradient.to_dtype(student.dtype())?)))
    }
}

/// The gradient as an operation of its own, since candle hands `bwd` tensors.
struct KlGradient {
    threads: Threads,
}

impl CustomOp3 for KlGradient {
    fn name(&self) -> &'static str {
        "kl-divergence-gradient"
    }

    fn cpu_fwd(
        &self,
        teacher: &CpuStorage,
        teacher_layout: &Layout,
        student: &CpuStorage,
        student_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let scale = contiguous::<f32>(scale, scale_layout)?;
        with_logits!(teacher, teacher_layout, teacher => {
            with_logits!(student, student_layout, student => {
                let mut gradient = vec![0.0; student.rows() * student.columns()];
                kl_gradient_rows(teacher, student, scale, self.threads, &mut gradient)
                    .map_err(Error::wrap)?;
                Ok((CpuStorage::F32(gradient), student_layout.shape().clone()))
            })
        })
    }
}

fn rows<'a, T: Logit + WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<Rows<'a, T>> {
    let Some(columns) = layout.dims().last().copied() else {
        bail!("logits need a last dimension, the vocabulary; this is a scalar")
    };
    let Some(row_stride) = row_stride(layout) else {
        bail!("logits need a contiguous last dimension and evenly spaced rows")
    };
    let count = layout.dims()[..layout.dims().len() - 1].iter().product();
    let data = storage.as_slice::<T>()?.get(layout.start_offset()..).unwrap_or_default();
    Rows::with_stride(data, count, columns, row_stride).map_err(Error::wrap)
}

fn contiguous<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("the gradient of the result must be contiguous")
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}
