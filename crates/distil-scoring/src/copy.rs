use crate::{Error, moments::sum, score::require_finite};
use serde::{Deserialize, Serialize};

/// Tells whether two students compute the same function: whether they miss the teacher by the same amount at the same
/// places.
///
/// The two students' KL at every position of the first prompts form two vectors. Independent students, even fine-tunes
/// of one model, differ in them; a copy whose weights were stored, split, scaled or slightly disturbed in another way
/// does not. Both must hold for a copy: the cosine of the vectors is above [`CopyTest::MIN_COSINE`], and the length of
/// their difference is at most [`CopyTest::MAX_RELATIVE_DISTANCE`] of the longer one.
///
/// # Which prompts
///
/// The first [`CopyTest::PROMPTS`] of the round. Where they hold fewer than [`CopyTest::MIN_POSITIONS`] positions, as
/// when the teacher had little to say to them, the following prompts are taken in as well, one at a time, until there
/// are that many: the minimum is there so that the test has evidence to stand on, not so that a short continuation lets
/// copies through. A round that holds fewer in all answers [`CopyTest::NotEnough`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyTest {
    /// There are too few positions for an answer.
    NotEnough {
        /// How many there are.
        positions: usize,
    },
    /// The vectors were compared.
    Measured(CopyEvidence),
}

/// How alike two students are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CopyEvidence {
    /// The cosine of the angle between the two vectors; 1 when both are zero, 0 when one is.
    pub cosine: f64,
    /// The length of the difference over the length of the longer vector; 0 when both are zero.
    pub relative_distance: f64,
    /// How many prompts were compared.
    pub prompts: usize,
    /// How many positions were compared.
    pub positions: usize,
    /// Whether one is a copy of the other. Which one is for the order of their commitments to say.
    pub is_copy: bool,
}

impl CopyTest {
    /// How many prompts are compared, where they hold enough positions.
    pub const PROMPTS: usize = 2;
    /// How many positions are needed.
    pub const MIN_POSITIONS: usize = 64;
    /// The cosine of a copy is above this.
    pub const MIN_COSINE: f64 = 0.9999;
    /// The relative distance of a copy is at most this.
    pub const MAX_RELATIVE_DISTANCE: f64 = 0.01;

    /// Compares two students by their KL, in nats, at every position of the first prompts of the round.
    ///
    /// Each item is one prompt. Prompts beyond those that the test needs are not looked at; the two may differ in
    /// number as long as both have those. The outcome is the same whichever student comes first.
    ///
    /// ```
    /// use distil_scoring::CopyTest;
    ///
    /// let student: Vec<Vec<f64>> = vec![vec![0.1, 0.4, 0.2, 0.3].repeat(10); 2];
    /// let disturbed: Vec<Vec<f64>> =
    ///     student.iter().map(|prompt| prompt.iter().map(|kl| kl * 1.001).collect()).collect();
    /// match CopyTest::new(&student, &disturbed)? {
    ///     CopyTest::Measured(evidence) => assert!(evidence.is_copy),
    ///     CopyTest::NotEnough { .. } => unreachable!("80 positions are enough"),
    /// }
    /// # Ok::<(), distil_scoring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::PositionsMismatch`] when the students differ in the positions of a prompt that is compared,
    /// [`Error::NotFinite`] for a KL that is NaN or infinite.
    pub fn new<P: AsRef<[f64]>>(first: &[P], second: &[P]) -> Result<Self, Error> {
        let (mut prompts, mut positions, mut largest) = (0, 0, 0.0_f64);
        for (first, second) in first.iter().zip(second) {
            if prompts >= Self::PROMPTS && positions >= Self::MIN_POSITIONS {
                break;
            }
            let (first, second) = (first.as_ref(), second.as_ref());
            if first.len() != second.len() {
                return Err(Error::PositionsMismatch { prompt: prompts, first: first.len(), second: second.len() });
            }
            require_finite(first)?;
            require_finite(second)?;
            largest = first.iter().chain(second).fold(largest, |largest, kl| largest.max(kl.abs()));
            prompts += 1;
            positions += first.len();
        }
        if prompts < Self::PROMPTS || positions < Self::MIN_POSITIONS {
            return Ok(CopyTest::NotEnough { positions });
        }
        // Both are divided by the largest entry: the squares then neither overflow nor vanish.
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let pairs = || {
            let first = first[..prompts].iter().flat_map(|prompt| prompt.as_ref());
            let second = second[..prompts].iter().flat_map(|prompt| prompt.as_ref());
            first.zip(second).map(|(a, b)| (a / scale, b / scale))
        };
        let first_length = sum(pairs().map(|(a, _)| a * a)).sqrt();
        let second_length = sum(pairs().map(|(_, b)| b * b)).sqrt();
        let difference = sum(pairs().map(|(a, b)| (a - b) * (a - b))).sqrt();
        let product = sum(pairs().map(|(a, b)| a * b));

        let longer = first_length.max(second_length);
        let relative_distance = if longer > 0.0 { difference / longer } else { 0.0 };
        let cosine = if first_length > 0.0 && second_length > 0.0 {
            (product / (first_length * second_length)).clamp(-1.0, 1.0)
        } else if longer > 0.0 {
            0.0
        } else {
            1.0
        };
        let is_copy = cosine > Self::MIN_COSINE && relative_distance <= Self::MAX_RELATIVE_DISTANCE;
        Ok(CopyTest::Measured(CopyEvidence { cosine, relative_distance, prompts, positions, is_copy }))
    }

    /// Whether a copy was found.
    pub fn is_copy(&self) -> bool {
        matches!(self, CopyTest::Measured(evidence) if evidence.is_copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(positions: usize, phase: f64) -> Vec<f64> {
        (0..positions).map(|i| 0.2 + 0.15 * (i as f64 + phase).sin()).collect()
    }

    fn measured(first: &[Vec<f64>], second: &[Vec<f64>]) -> CopyEvidence {
        match CopyTest::new(first, second).unwrap() {
            CopyTest::Measured(evidence) => evidence,
            CopyTest::NotEnough { positions } => panic!("only {positions} positions"),
        }
    }

    #[test]
    fn a_student_is_a_copy_of_itself_and_not_of_another() {
        let student = vec![wave(40, 0.0), wave(40, 5.0)];
        let same = measured(&student, &student);
        assert!(same.is_copy && same.relative_distance == 0.0 && same.positions == 80 && same.prompts == 2);
        assert!((same.cosine - 1.0).abs() < 1e-15);
        let other = vec![wave(40, 1.0), wave(40, 6.0)];
        assert!(!measured(&student, &other).is_copy);
    }

    #[test]
    fn the_same_shape_at_another_height_is_not_a_copy() {
        let student = vec![wave(40, 0.0), wave(40, 5.0)];
        let worse: Vec<Vec<f64>> = student.iter().map(|p| p.iter().map(|kl| kl * 1.02).collect()).collect();
        let evidence = measured(&student, &worse);
        assert!(evidence.cosine > CopyTest::MIN_COSINE && !evidence.is_copy, "{evidence:?}");
        assert!((evidence.relative_distance - 0.02 / 1.02).abs() < 1e-12);
    }

    #[test]
    fn a_cosine_alone_can_also_clear() {
        // 0.9% of independent noise: within the distance, and the cosine is still that of a copy; at 1.5% both fail.
        let student = vec![wave(400, 0.0), wave(400, 5.0)];
        let noisy = |size: f64| -> Vec<Vec<f64>> {
            let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
            student.iter().map(|p| p.iter().enumerate().map(|(i, kl)| kl * (1.0 + size * sign(i))).collect()).collect()
        };
        assert!(measured(&student, &noisy(0.009)).is_copy);
        let cleared = measured(&student, &noisy(0.015));
        assert!(cleared.cosine <= CopyTest::MIN_COSINE && !cleared.is_copy, "{cleared:?}");
    }

    #[test]
    fn short_prompts_are_filled_up_with_the_next_ones() {
        let student: Vec<_> = [1, 30, 20, 13, 500].map(|positions| wave(positions, 0.0)).to_vec();
        let evidence = measured(&student, &student);
        assert_eq!((evidence.prompts, evidence.positions), (4, 64));
        // A first prompt that is long enough alone does not make the second superfluous.
        let student: Vec<_> = [500, 3, 500].map(|positions| wave(positions, 0.0)).to_vec();
        assert_eq!(measured(&student, &student).prompts, 2);
    }

    #[test]
    fn too_little_is_no_answer() {
        let student: Vec<_> = [1, 30, 20, 12].map(|positions| wave(positions, 0.0)).to_vec();
        assert_eq!(CopyTest::new(&student, &student), Ok(CopyTest::NotEnough { positions: 63 }));
        let one = vec![wave(500, 0.0)];
        assert_eq!(CopyTest::new(&one, &one), Ok(CopyTest::NotEnough { positions: 500 }));
        assert_eq!(CopyTest::new::<Vec<f64>>(&[], &[]), Ok(CopyTest::NotEnough { positions: 0 }));
        assert!(!CopyTest::new(&one, &one).unwrap().is_copy());
    }

    #[test]
    fn a_stopped_student_can_still_be_compared() {
        let student = vec![wave(40, 0.0), wave(40, 5.0), wave(40, 1.0)];
        assert!(CopyTest::new(&student, &student[..2]).unwrap().is_copy());
    }

    #[test]
    fn vectors_of_zeros_have_an_answer() {
        let zero = vec![vec![0.0; 40]; 2];
        let student = vec![wave(40, 0.0), wave(40, 5.0)];
        assert!(measured(&zero, &zero).is_copy);
        let evidence = measured(&zero, &student);
        assert_eq!((evidence.cosine, evidence.relative_distance, evidence.is_copy), (0.0, 1.0, false));
    }

    #[test]
    fn bad_input_is_named() {
        let student = vec![wave(40, 0.0), wave(40, 5.0)];
        let shorter = vec![wave(40, 0.0), wave(39, 5.0)];
        assert_eq!(
            CopyTest::new(&student, &shorter),
            Err(Error::PositionsMismatch { prompt: 1, first: 40, second: 39 })
        );
        let mut broken = student.clone();
        broken[1][7] = f64::INFINITY;
        assert_eq!(CopyTest::new(&student, &broken), Err(Error::NotFinite { position: 7, value: f64::INFINITY }));
    }
}
