//! Sums of products of deviations from the mean, of every element of x with every element of y.
//!
//! Means are those of compensated sums, in two parts, so that a large offset costs no digits.

use crate::data::bytes::{Reader, Writer};
use crate::data::raw_buffer::Buffer;
use crate::error::DecodeError;
use crate::merge::comoments::Numbers;
use crate::merge::compensated::two_sum;
use crate::merge::moments::{Divisor, Mean};

/// The matrix with the means that it deviates from.
#[derive(Debug, Clone)]
pub struct Comatrix {
    /// Lengths of x and y.
    sides: (usize, usize),
    /// y is x: only entries with j ≥ i are kept up.
    symmetric: bool,
    n: u64,
    x: Sums,
    y: Sums,
    products: Buffer<f64>,
}

/// Sums of columns, and what rounding lost of them.
#[derive(Debug, Clone)]
struct Sums {
    sums: Buffer<f64>,
    lost: Buffer<f64>,
}

impl Sums {
    fn zeros(width: usize) -> Sums {
        Sums { sums: Buffer::zeros(width), lost: Buffer::zeros(width) }
    }

    fn add(&mut self, row: &[f64], lost: &[f64]) {
        for ((sum, lost), &x) in self.sums.iter_mut().zip(self.lost.iter_mut()).zip(row) {
            let (next, error) = two_sum(*sum, x);
            (*sum, *lost) = (next, *lost + error);
        }
        self.lost.iter_mut().zip(lost).for_each(|(lost, more)| *lost += more);
    }

    /// The means of `n` events.
    fn means(&self, n: u64) -> Vec<Mean> {
        let n = Divisor::new(n);
        self.sums.iter().zip(self.lost.iter()).map(|(&sum, &lost)| n.mean(sum, lost)).collect()
    }
}

impl Comatrix {
    /// Events that are best added at a time: they stay in the cache while rows go by.
    pub const BLOCK: usize = 16;

    /// No events yet.
    pub fn new(sides: (usize, usize), symmetric: bool) -> Comatrix {
        let (a, b) = sides;
        let (x, y) = (Sums::zeros(a), Sums::zeros(b));
        Comatrix { sides, symmetric, n: 0, x, y, products: Buffer::zeros(a * b) }
    }

    /// How many events.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// The entry of x[i] and y[j].
    pub fn at(&self, i: usize, j: usize) -> f64 {
        let (i, j) = if self.symmetric && j < i { (j, i) } else { (i, j) };
        self.products[i * self.sides.1 + j]
    }

    /// The mean of y[j].
    pub fn mean_y(&self, j: usize) -> f64 {
        Divisor::new(self.n).mean(self.y.sums[j], self.y.lost[j]).value()
    }

    /// Adds so many events: rows of x and y, one after the other.
    pub fn add(&mut self, rows: usize, xs: Numbers<'_>, ys: Numbers<'_>) {
        let (a, b) = self.sides;
        if rows == 0 || xs.0.len() != rows * a || ys.0.len() != rows * b {
            return;
        }
        let (x, dx) = deviations(xs, a, rows);
        let (y, dy) = deviations(ys, b, rows);
        for (dx, dy) in dx.chunks(Self::BLOCK * a.max(1)).zip(dy.chunks(Self::BLOCK * b.max(1))) {
            self.add_products(dx, dy);
        }
        self.shift(rows as u64, &x, &y);
    }

    /// Adds products of deviations, rows of x and y one after the other.
    fn add_products(&mut self, dx: &[f64], dy: &[f64]) {
        let (a, b) = self.sides;
        for i in 0..a {
            let from = if self.symmetric { i } else { 0 };
            let row = &mut self.products[i * b + from..(i + 1) * b];
            for (dx, dy) in dx.chunks_exact(a).zip(dy.chunks_exact(b.max(1))) {
                let d = dx[i];
                row.iter_mut().zip(&dy[from..]).for_each(|(sum, &e)| *sum += d * e);
            }
        }
    }

    /// Counts so many more events with these sums: what their means' distance from the old ones adds.
    fn shift(&mut self, rows: u64, x: &Sums, y: &Sums) {
        if self.n > 0 {
            let distance = |mine: &Sums, other: &Sums| -> Vec<f64> {
                let means = mine.means(self.n).into_iter().zip(other.means(rows));
                means.map(|(mean, other)| mean.distance(other)).collect()
            };
            let (mut dx, dy) = (distance(&self.x, x), distance(&self.y, y));
            let (old, new) = (self.n as f64, rows as f64);
            dx.iter_mut().for_each(|d| *d *= old * new / (old + new));
            self.add_products(&dx, &dy);
        }
        self.n = self.n.saturating_add(rows);
        self.x.add(&x.sums, &x.lost);
        self.y.add(&y.sums, &y.lost);
    }

    /// Adds the events of another of the same sides.
    pub fn merge(&mut self, other: &Comatrix) {
        if other.n > 0 {
            let sums = self.products.iter_mut().zip(other.products.iter());
            sums.for_each(|(sum, &more)| *sum += more);
            self.shift(other.n, &other.x, &other.y);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        8 * (2 * self.x.sums.len() + 2 * self.y.sums.len() + self.products.len())
    }

    /// As bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.u64(self.n);
        for buffer in [self.x.sums, self.x.lost, self.y.sums, self.y.lost, self.products] {
            writer.buffer(buffer);
        }
    }

    /// Reads what [`Comatrix::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(
        sides: (usize, usize),
        symmetric: bool,
        reader: &mut Reader<'_>,
    ) -> Result<Comatrix, DecodeError> {
        let n = reader.u64("covariance")?;
        let (a, b) = sides;
        let entries = a.checked_mul(b);
        let entries = entries.ok_or_else(|| DecodeError::invalid("sides of a matrix", a))?;
        let mut next = |length| reader.buffer(length, "covariance");
        let x = Sums { sums: next(a)?, lost: next(a)? };
        let y = Sums { sums: next(b)?, lost: next(b)? };
        Ok(Comatrix { sides, symmetric, n, x, y, products: next(entries)? })
    }
}

/// Sums of the columns of some rows, and the deviations from their means.
fn deviations((numbers, remainders): Numbers<'_>, width: usize, rows: usize) -> (Sums, Vec<f64>) {
    let mut sums = Sums::zeros(width);
    let mut rests = remainders.chunks_exact(width.max(1));
    for row in numbers.chunks_exact(width.max(1)) {
        sums.add(row, rests.next().unwrap_or_default());
    }
    let means = sums.means(rows as u64);
    let mut deviations = Vec::with_capacity(numbers.len());
    for (r, row) in numbers.chunks_exact(width.max(1)).enumerate() {
        let rest = |i: usize| remainders.get(r * width + i).copied().unwrap_or(0.0);
        let row = row.iter().zip(&means).enumerate();
        deviations.extend(row.map(|(i, (&x, mean))| mean.deviation(x, rest(i))));
    }
    (sums, deviations)
}
