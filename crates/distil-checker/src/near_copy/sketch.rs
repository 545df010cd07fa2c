//! Tells a difference with structure from noise, in one pass and bounded memory.

/// Rows of the difference are added up in this many sums, each row in one of them with a random sign.
const BUCKETS: usize = 64;
/// Columns of the sums; wider rows are folded.
const MAX_COLUMNS: usize = 4096;
/// Fewer rows, or fewer columns that carry the difference, say nothing about structure.
const MIN_ROWS: u64 = 32;
const MIN_COLUMNS: f64 = 16.0;
/// Fewer changed values say nothing either.
const MIN_CHANGED: u64 = 1024;

/// Random sums of the rows of a difference D of two matrices.
///
/// Rounding and injected noise change every weight on its own, so two sums of different rows are as good as
/// uncorrelated: their squared correlation is 1/w on average, for w columns. Training changes weights by products of
/// activations and gradients, D = u₁v₁ᵀ + u₂v₂ᵀ + …, so the rows of D lie near a few directions and any two sums of them
/// are correlated: if the r strongest directions hold the share f of D's energy, by about f²/r.
pub(super) struct Sketch {
    columns: usize,
    sums: Vec<f64>,
    rows: u64,
    changed: u64,
}

impl Sketch {
    pub(super) fn new(row_elements: usize) -> Self {
        let columns = row_elements.clamp(1, MAX_COLUMNS);
        Self { columns, sums: vec![0.0; BUCKETS * columns], rows: 0, changed: 0 }
    }

    /// Takes the next row of the difference, times `scale`; `changed` of its values are not zero.
    pub(super) fn add(&mut self, row: &[f64], scale: f64, changed: u64) {
        let hash = mix(self.rows);
        self.rows += 1;
        self.changed += changed;
        if changed == 0 {
            return;
        }
        let bucket = (hash >> 1) as usize % BUCKETS;
        let sign = if hash & 1 == 0 { scale } else { -scale };
        let sums = &mut self.sums[bucket * self.columns..][..self.columns];
        for (fold, row) in row.chunks(self.columns).enumerate() {
            if fold == 0 {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += sign * value);
                continue;
            }
            for (column, (sum, value)) in sums.iter_mut().zip(row).enumerate() {
                let flip = mix((fold as u64) << 32 | column as u64) & 1 == 0;
                *sum += if flip { -sign * value } else { sign * value };
            }
        }
    }

    /// The mean squared correlation of two sums, in multiples of what it is for independent values of the same sizes
    /// column by column: near 1 for noise, far above for training. `None` where there is too little to say.
    pub(super) fn coherence(&self) -> Option<f64> {
        if self.rows < MIN_ROWS || self.changed < MIN_CHANGED {
            return None;
        }
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(BUCKETS);
        for sums in self.sums.chunks_exact(self.columns) {
            let norm = sums.iter().map(|value| value * value).sum::<f64>().sqrt();
            if norm > 0.0 {
                rows.push(sums.iter().map(|value| value / norm).collect());
            }
        }
        if (rows.len() as u64) < MIN_ROWS / 2 {
            return None;
        }
        // How many columns carry the difference, were it spread over them independently: (Σe)² / Σe².
        let mut energy = vec![0.0; self.columns];
        for row in &rows {
            energy.iter_mut().zip(row).for_each(|(energy, value)| *energy += value * value);
        }
        let total: f64 = energy.iter().sum();
        let effective_columns = total * total / energy.iter().map(|energy| energy * energy).sum::<f64>();
        if effective_columns < MIN_COLUMNS {
            return None;
        }
        let mut sum = 0.0;
        for (index, one) in rows.iter().enumerate() {
            for other in &rows[..index] {
                let correlation: f64 = one.iter().zip(other).map(|(a, b)| a * b).sum();
                sum += correlation * correlation;
            }
        }
        let pairs = (rows.len() * (rows.len() - 1) / 2) as f64;
        Some(sum / pairs * effective_columns)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): spreads consecutive numbers.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of four uniform numbers: near enough to normal.
    fn normal(seed: &mut u64) -> f64 {
        let mut sum = -2.0;
        for _ in 0..4 {
            *seed += 1;
            sum += (mix(*seed) >> 11) as f64 / (1u64 << 53) as f64;
        }
        sum
    }

    fn coherence(rows: usize, columns: usize, value: impl Fn(usize, usize, &mut u64) -> f64) -> Option<f64> {
        let mut seed = 1 << 40;
        let mut sketch = Sketch::new(columns);
        for row in 0..rows {
            let values: Vec<f64> = (0..columns).map(|column| value(row, column, &mut seed)).collect();
            let changed = values.iter().filter(|value| **value != 0.0).count();
            sketch.add(&values, 1.0, changed as u64);
        }
        sketch.coherence()
    }

    #[test]
    fn noise_has_coherence_one_whatever_the_sizes_of_rows_and_columns() {
        for (rows, columns) in [(64, 64), (128, 300), (1000, 128), (200, 9000)] {
            let found = coherence(rows, columns, |_, _, seed| normal(seed)).unwrap();
            assert!((0.8..1.2).contains(&found), "{rows}x{columns}: {found}");
            // Columns and rows of very different sizes.
            let uneven = |row: usize, column: usize, seed: &mut u64| {
                normal(seed) * if column.is_multiple_of(9) { 20.0 } else { 1.0 } * (1 + row % 5) as f64
            };
            if columns >= 300 {
                let found = coherence(rows, columns, uneven).unwrap();
                assert!((0.7..1.3).contains(&found), "{rows}x{columns}: {found}");
            }
        }
    }

    #[test]
    fn a_few_directions_show_even_under_noise() {
        let direction = |row: usize, column: usize| {
            normal(&mut (7_000 + row as u64 * 10)) * normal(&mut (9_000_000 + column as u64 * 10))
        };
        let found = coherence(512, 512, |row, column, _| direction(row, column)).unwrap();
        assert!(found > 50.0, "{found}");
        // A third of the energy.
        let found = coherence(512, 512, |row, column, seed| direction(row, column) + normal(seed)).unwrap();
        assert!(found > 3.0, "{found}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(coherence(31, 512, |_, _, seed| normal(seed)), None);
        assert_eq!(coherence(512, 4, |_, _, seed| normal(seed)), None);
        assert_eq!(coherence(512, 512, |_, _, _| 0.0), None);
        assert_eq!(coherence(512, 512, |row, column, _| if row == column { 1.0 } else { 0.0 }), None);
        assert_eq!(coherence(0, 0, |_, _, _| 0.0), None);
    }
}
