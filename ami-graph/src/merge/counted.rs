//! Sums and moments that leave NaN out: arrays element by element, each element with the number of
//! values that were one. The slices of a call have one length.

use crate::data::value::{Array, Value};
use crate::merge::compensated::{Compensated, two_sum};
use crate::merge::moments::{Divisor, add_number, merged_m2};

/// Adds one array to sums with their rounding errors. Of its numbers' remainders there are none, or
/// one for each.
pub fn add_to_sums(
    counts: &mut [u64],
    (row, remainders): (&[f64], &[f64]),
    (sums, lost): (&mut [f64], &mut [f64]),
) {
    let places = counts.iter_mut().zip(sums.iter_mut().zip(lost));
    for (i, (&x, (n, (sum, lost)))) in row.iter().zip(places).enumerate() {
        if !x.is_nan() {
            let (next, error) = two_sum(*sum, x);
            (*sum, *lost) = (next, *lost + (error + remainder(remainders, i)));
            *n = n.saturating_add(1);
        }
    }
}

/// As [`add_to_sums`], with the squared deviations from the mean.
pub fn add_to_moments(
    counts: &mut [u64],
    (row, remainders): (&[f64], &[f64]),
    (sums, lost, m2): (&mut [f64], &mut [f64], &mut [f64]),
) {
    let places = counts.iter_mut().zip(sums.iter_mut().zip(lost).zip(m2));
    for (i, (&x, (n, ((sum, lost), m2)))) in row.iter().zip(places).enumerate() {
        if !x.is_nan() {
            let next = n.saturating_add(1);
            let so_far = (Divisor::new(*n), *n as f64 / next as f64);
            add_number(so_far, (x, remainder(remainders, i)), (sum, lost, m2));
            *n = next;
        }
    }
}

fn remainder(remainders: &[f64], place: usize) -> f64 {
    remainders.get(place).copied().unwrap_or(0.0)
}

/// Adds sums to others, place by place.
pub fn merge_sums(
    (counts, sums, lost): (&mut [u64], &mut [f64], &mut [f64]),
    (other_counts, other_sums, other_lost): (&[u64], &[f64], &[f64]),
) {
    for i in 0..sums.len() {
        let mut mine = Compensated { sum: sums[i], lost: lost[i] };
        mine.merge(Compensated { sum: other_sums[i], lost: other_lost[i] });
        (sums[i], lost[i]) = (mine.sum, mine.lost);
    }
    add_counts(counts, other_counts);
}

/// As [`merge_sums`], of moments: sums, what they lost, and squared deviations.
pub fn merge_moments(
    (counts, other_counts): (&mut [u64], &[u64]),
    (sums, lost, m2): (&mut [f64], &mut [f64], &mut [f64]),
    (other_sums, other_lost, other_m2): (&[f64], &[f64], &[f64]),
) {
    for i in 0..sums.len() {
        let mut mine = Compensated { sum: sums[i], lost: lost[i] };
        let other = Compensated { sum: other_sums[i], lost: other_lost[i] };
        m2[i] = merged_m2((counts[i], mine, m2[i]), (other_counts[i], other, other_m2[i]));
        mine.merge(other);
        (sums[i], lost[i]) = (mine.sum, mine.lost);
    }
    add_counts(counts, other_counts);
}

/// Adds counts place by place.
pub fn add_counts(counts: &mut [u64], more: &[u64]) {
    counts.iter_mut().zip(more).for_each(|(n, &more)| *n = n.saturating_add(more));
}

/// Counts of this shape as numpy gives them: int64.
pub fn counts_value(shape: &[usize], counts: &[u64]) -> Value {
    let numbers: Vec<i64> = counts.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
    Value::Array(Array::from_elements(shape, &numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::moments::Moments;

    #[test]
    fn each_element_has_the_moments_of_its_own_numbers() {
        let far = 1e12;
        let rows = [[far + 1.0, f64::NAN], [f64::NAN, f64::NAN], [far + 4.0, far], [far, -far]];
        let mut counts = [0; 2];
        let (mut sums, mut lost, mut m2) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        for row in &rows {
            add_to_moments(&mut counts, (row, &[]), (&mut sums, &mut lost, &mut m2));
        }
        for k in 0..2 {
            let column: Vec<f64> = rows.iter().map(|row| row[k]).filter(|x| !x.is_nan()).collect();
            let expected = Moments::of(&column, &[]);
            assert_eq!((counts[k], sums[k] + lost[k]), (expected.n, expected.sum.value()));
            assert!((m2[k] / expected.m2 - 1.0).abs() < 1e-13, "{} {}", m2[k], expected.m2);
        }
    }
}
