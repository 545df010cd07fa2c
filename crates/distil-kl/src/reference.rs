//! The definition, written out in `f64`: slow, obvious, and what every fast path is tested against.
//!
//! Anyone who wants to audit a figure can compute it with these functions; they share no code with
//! the kernels.

use crate::{KlError, Logit};

/// KL(teacher ‖ student) of one row in nats, by a two-pass log-softmax in `f64`.
///
/// # Formula
///
/// `Σᵢ pᵢ (ln pᵢ − ln qᵢ)` with `ln pᵢ = tᵢ − ln Σⱼ exp tⱼ`, and `q` likewise from the student's
/// logits `s`. Terms with `pᵢ = 0` (in `f64`: more than 745 nats below the row's mass) are 0.
///
/// # Errors
///
/// [`KlError::NoColumns`] and [`KlError::ColumnsDiffer`].
///
/// # Examples
///
/// ```
/// use distil_kl::reference::kl_row_f64;
///
/// // ln(1/2 / 1/4) / 2 + ln(1/2 / 3/4) / 2
/// let kl_nats = kl_row_f64(&[0.0f32, 0.0], &[0.0f32, 3f32.ln()])?;
/// assert!((kl_nats - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-7);
/// # Ok::<(), distil_kl::KlError>(())
/// ```
pub fn kl_row_f64<T: Logit, S: Logit>(teacher: &[T], student: &[S]) -> Result<f64, KlError> {
    let (teacher, student) = log_softmax_pair(teacher, student)?;
    let mut kl_nats = 0.0;
    for (&log_p, &log_q) in teacher.iter().zip(&student) {
        let p = log_p.exp();
        if p != 0.0 {
            kl_nats += p * (log_p - log_q); // NaN stays NaN; log_q = −inf gives +inf
        }
    }
    Ok(kl_nats)
}

/// The gradient of the KL by the student's logits, times `scale`: `scale · (q − p)`, in `f64`.
///
/// # Errors
///
/// [`KlError::NoColumns`] and [`KlError::ColumnsDiffer`].
pub fn kl_gradient_row_f64<T: Logit, S: Logit>(teacher: &[T], student: &[S], scale: f64) -> Result<Vec<f64>, KlError> {
    let (teacher, student) = log_softmax_pair(teacher, student)?;
    let pairs = teacher.iter().zip(&student);
    Ok(pairs.map(|(log_p, log_q)| scale * (log_q.exp() - log_p.exp())).collect())
}

fn log_softmax_pair<T: Logit, S: Logit>(teacher: &[T], student: &[S]) -> Result<(Vec<f64>, Vec<f64>), KlError> {
    if teacher.is_empty() && student.is_empty() {
        return Err(KlError::NoColumns);
    }
    if teacher.len() != student.len() {
        return Err(KlError::ColumnsDiffer { teacher: teacher.len(), student: student.len() });
    }
    Ok((log_softmax(teacher), log_softmax(student)))
}

/// All NaN where the row is no distribution: a NaN or +inf among the logits, or all of them −inf.
fn log_softmax<T: Logit>(logits: &[T]) -> Vec<f64> {
    let logits: Vec<f64> = logits.iter().map(|logit| f64::from(logit.to_f32())).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    // Subtracting the largest first keeps differences of huge logits exact.
    logits.iter().map(|logit| (logit - largest) - sum.ln()).collect()
}
