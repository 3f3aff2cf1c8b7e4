//! Sums of products of deviations from the mean, of every element of x with every element of y.

use crate::data::bytes::{Reader, Writer};
use crate::data::raw_buffer::Buffer;
use crate::error::DecodeError;

/// The matrix with the means that it deviates from.
#[derive(Debug, Clone)]
pub struct Comatrix {
    /// Lengths of x and y.
    sides: (usize, usize),
    /// y is x: only entries with j ≥ i are kept up.
    symmetric: bool,
    n: u64,
    means_x: Buffer<f64>,
    means_y: Buffer<f64>,
    products: Buffer<f64>,
}

impl Comatrix {
    /// Events that are best added at a time: they stay in the cache while rows go by.
    pub const BLOCK: usize = 16;

    /// No events yet.
    pub fn new(sides: (usize, usize), symmetric: bool) -> Comatrix {
        let (a, b) = sides;
        let (means_x, means_y) = (Buffer::zeros(a), Buffer::zeros(b));
        Comatrix { sides, symmetric, n: 0, means_x, means_y, products: Buffer::zeros(a * b) }
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
        self.means_y[j]
    }

    /// Adds so many events: rows of x and y, one after the other.
    pub fn add(&mut self, rows: usize, xs: &[f64], ys: &[f64]) {
        let (a, b) = self.sides;
        if rows == 0 || xs.len() != rows * a || ys.len() != rows * b {
            return;
        }
        let (means_x, dx) = deviations(xs, a, rows);
        let (means_y, dy) = deviations(ys, b, rows);
        for (dx, dy) in dx.chunks(Self::BLOCK * a.max(1)).zip(dy.chunks(Self::BLOCK * b.max(1))) {
            self.add_products(dx, dy);
        }
        self.shift(rows as u64, &means_x, &means_y);
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

    /// Counts so many more events with these means: what their distance from the old means adds.
    fn shift(&mut self, rows: u64, means_x: &[f64], means_y: &[f64]) {
        let (old, new) = (self.n as f64, rows as f64);
        self.n = self.n.saturating_add(rows);
        let share = new / (old + new);
        let distance = |means: &[f64], other: &[f64]| -> Vec<f64> {
            means.iter().zip(other).map(|(mean, other)| other - mean).collect()
        };
        let (dx, dy) = (distance(&self.means_x, means_x), distance(&self.means_y, means_y));
        if old > 0.0 {
            let dx: Vec<f64> = dx.iter().map(|d| d * (old * share)).collect();
            self.add_products(&dx, &dy);
        }
        self.means_x.iter_mut().zip(&dx).for_each(|(mean, d)| *mean += d * share);
        self.means_y.iter_mut().zip(&dy).for_each(|(mean, d)| *mean += d * share);
    }

    /// Adds the events of another of the same sides.
    pub fn merge(&mut self, other: &Comatrix) {
        if other.n > 0 {
            let sums = self.products.iter_mut().zip(other.products.iter());
            sums.for_each(|(sum, &more)| *sum += more);
            self.shift(other.n, &other.means_x, &other.means_y);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        8 * (self.means_x.len() + self.means_y.len() + self.products.len())
    }

    /// As bytes.
    pub fn encode(self, writer: &mut Writer) {
        writer.u64(self.n);
        for buffer in [self.means_x, self.means_y, self.products] {
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
        let (means_x, means_y, products) = (next(a)?, next(b)?, next(entries)?);
        Ok(Comatrix { sides, symmetric, n, means_x, means_y, products })
    }
}

/// Means of the columns of some rows, and the deviations from them.
fn deviations(numbers: &[f64], width: usize, rows: usize) -> (Vec<f64>, Vec<f64>) {
    let mut means = vec![0.0; width];
    for row in numbers.chunks_exact(width.max(1)) {
        means.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
    }
    means.iter_mut().for_each(|mean| *mean /= rows as f64);
    let mut deviations = Vec::with_capacity(numbers.len());
    for row in numbers.chunks_exact(width.max(1)) {
        deviations.extend(row.iter().zip(&means).map(|(x, mean)| x - mean));
    }
    (means, deviations)
}
