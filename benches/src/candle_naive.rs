use candle_core::{D, DType, Result, Tensor};

/// KL(teacher ‖ student) of `[rows, columns]` logits as one writes it with candle's operations:
/// two log-softmaxes in f32, their difference times the probabilities, summed. `[rows]`, f32.
///
/// # Errors
///
/// What candle reports for shapes that do not match.
pub fn candle_naive_kl(teacher: &Tensor, student: &Tensor) -> Result<Tensor> {
    let log_p = log_softmax(&teacher.to_dtype(DType::F32)?)?;
    let log_q = log_softmax(&student.to_dtype(DType::F32)?)?;
    (log_p.exp()? * (&log_p - log_q)?)?.sum(D::Minus1)
}

/// The same operations as `candle_nn::ops::log_softmax`.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let log_mass = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    shifted.broadcast_sub(&log_mass)
}
