//! The candle operation against the slices' functions, the oracle and finite differences.
#![cfg(feature = "candle")]

use candle_core::{DType, Device, Result, Tensor, Var};
use distil_kl::candle_ops::{kl_divergence, kl_divergence_with};
use distil_kl::reference::kl_row_f64;
use distil_kl::{Threads, kl_row};

fn tensor(seed: f32, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let logits: Vec<f32> = (0..count).map(|index| (index as f32 * 0.731 + seed).sin() * 4.0 + seed).collect();
    Tensor::from_vec(logits, shape, &Device::Cpu).expect("the shape of the data")
}

fn expected(teacher: &Tensor, student: &Tensor) -> Vec<f64> {
    let flat = |tensor: &Tensor| -> Vec<Vec<f32>> {
        let columns = tensor.dims()[tensor.rank() - 1];
        let tensor = tensor.to_dtype(DType::F32).unwrap().contiguous().unwrap();
        tensor.reshape(((), columns)).unwrap().to_vec2().unwrap()
    };
    let pairs = flat(teacher).into_iter().zip(flat(student));
    pairs.map(|(teacher, student)| kl_row(&teacher, &student).unwrap()).collect()
}

/// In `f64` and on any layout, the operation is the function on slices.
#[track_caller]
fn check(teacher: &Tensor, student: &Tensor) -> Result<()> {
    let kl = kl_divergence_with(teacher, student, DType::F64, Threads::ONE)?;
    assert_eq!(kl.dims(), &teacher.dims()[..teacher.rank() - 1]);
    let kl = kl.flatten_all()?.to_vec1::<f64>()?;
    for (kl, expected) in kl.into_iter().zip(expected(teacher, student)) {
        assert!((kl - expected).abs() < 1e-6 + 5e-5 * expected, "{kl} {expected}");
    }
    Ok(())
}

#[test]
fn every_dtype_and_rank() -> Result<()> {
    for shape in [&[700][..], &[5, 700], &[2, 3, 700], &[0, 7], &[1, 1, 1, 9]] {
        let (teacher, student) = (tensor(0.3, shape), tensor(0.7, shape));
        for teacher_type in [DType::F32, DType::F16, DType::BF16] {
            for student_type in [DType::F32, DType::F16, DType::BF16] {
                check(&teacher.to_dtype(teacher_type)?, &student.to_dtype(student_type)?)?;
            }
        }
    }
    Ok(())
}

#[test]
fn strided_layouts() -> Result<()> {
    let (teacher, student) = (tensor(0.3, &[4, 6, 50]), tensor(0.7, &[4, 6, 50]));
    // Rows in another order, a window of columns, a window of rows, columns apart, one row repeated.
    check(&teacher.transpose(0, 1)?, &student.transpose(0, 1)?)?;
    check(&teacher.narrow(2, 7, 33)?, &student.narrow(2, 11, 33)?)?;
    check(&teacher.narrow(1, 2, 3)?, &student.narrow(1, 1, 3)?)?;
    check(&teacher.transpose(1, 2)?, &student.transpose(1, 2)?)?;
    let one_row = tensor(0.1, &[50]).broadcast_as((4, 6, 50))?;
    check(&one_row, &student)?;
    check(&teacher, &one_row)?;
    check(&teacher.narrow(0, 1, 1)?.transpose(0, 1)?, &student.narrow(0, 1, 1)?.transpose(0, 1)?)
}

#[test]
fn what_cannot_be_is_an_error() {
    let message =
        |teacher: &Tensor, student: &Tensor| kl_divergence(teacher, student).expect_err("must fail").to_string();
    let two = tensor(0.0, &[2, 3]);
    assert!(message(&two, &tensor(0.0, &[3, 2])).contains("same shape"));
    let integers = Tensor::zeros((2, 3), DType::U32, &Device::Cpu).unwrap();
    assert!(message(&integers, &two).contains("f32, f16 or bf16"));
    assert!(message(&two, &integers).contains("f32, f16 or bf16"));
    let scalar = Tensor::new(1f32, &Device::Cpu).unwrap();
    assert!(message(&scalar, &scalar).contains("scalar"));
    let empty = tensor(0.0, &[2, 0]);
    assert!(message(&empty, &empty).contains("no columns"));
    let error = kl_divergence_with(&two, &two, DType::U8, Threads::ONE).expect_err("must fail");
    assert!(error.to_string().contains("f32 or f64"));
}

#[test]
fn the_gradient_agrees_with_finite_differences() -> Result<()> {
    let teacher = tensor(0.3, &[2, 3, 11]);
    let student = Var::from_tensor(&tensor(0.7, &[2, 3, 11]))?;
    let weights = tensor(1.0, &[2, 3]);
    let loss = (kl_divergence(&teacher, &student)? * &weights)?.sum_all()?;
    let gradients = loss.backward()?;
    let gradient = gradients.get(&student).expect("the student has a gradient");
    assert_eq!((gradient.dims(), gradient.dtype()), (&[2, 3, 11][..], DType::F32));
    let gradient = gradient.reshape((6, 11))?.to_vec2::<f32>()?;

    let weights = weights.flatten_all()?.to_vec1::<f32>()?;
    let teacher = teacher.reshape((6, 11))?.to_vec2::<f32>()?;
    let student = student.as_tensor().reshape((6, 11))?.to_vec2::<f32>()?;
    for row in 0..6 {
        for column in 0..11 {
            let loss = |step: f32| {
                let mut moved = student[row].clone();
                moved[column] += step;
                // The step that f32 really took.
                let taken = f64::from(moved[column]) - f64::from(student[row][column]);
                (taken, kl_row_f64(&teacher[row], &moved).unwrap() * f64::from(weights[row]))
            };
            let ((up, above), (down, below)) = (loss(1e-2), loss(-1e-2));
            let slope = (above - below) / (up - down);
            let found = f64::from(gradient[row][column]);
            assert!((found - slope).abs() < 1e-4, "{row} {column}: {found} {slope}");
        }
    }
    Ok(())
}

#[test]
fn the_teacher_is_a_constant_and_the_student_keeps_its_dtype() -> Result<()> {
    let teacher = Var::from_tensor(&tensor(0.3, &[2, 9]))?;
    let student = Var::from_tensor(&tensor(0.7, &[9, 2]).to_dtype(DType::BF16)?)?;
    // Also through a transposition, which has to be copied.
    let gradients = kl_divergence(&teacher, &student.t()?)?.mean_all()?.backward()?;
    assert!(gradients.get(&teacher).is_none());
    let gradient = gradients.get(&student).expect("the student has a gradient");
    assert_eq!((gradient.dims(), gradient.dtype()), (&[9, 2][..], DType::BF16));
    let sum = gradient.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?;
    assert!(sum.abs() < 0.02, "softmaxes sum to 1, so their difference to 0: {sum}");
    Ok(())
}
