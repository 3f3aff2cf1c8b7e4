//! The radial background of peakfinder8: mean and spread of the pixels at each whole radius, found
//! by leaving out outliers five times.
//!
//! Every sum over a radius must run through its pixels in row-major order, in float32: the last
//! bit of the threshold decides which pixels are bright. So the pixels are sorted by radius, and
//! neighbouring radii are summed side by side, one per lane of a vector register.

use crate::ops::detector::peakfinder8::layout::Layout;

/// Radii that are summed side by side.
const LANES: usize = 8;
/// How often outliers are left out.
const ITERATIONS: usize = 5;
/// Most radii; bounds memory against nonsense in a radius map.
pub const MAX_RADIUS: f32 = 1e6;

/// Which radius each pixel belongs to, and where its value goes when sorted. Made once per geometry.
#[derive(Debug)]
pub struct Radii {
    /// Panels.
    pub layout: Layout,
    /// By pixel: whether it takes part.
    pub good: Vec<bool>,
    /// By pixel: its radius, rounded half to even.
    pub bin: Vec<u32>,
    /// By pixel: its place among the sorted values; those left out share the last one.
    place: Vec<u32>,
    /// By place: the pixel.
    pixel: Vec<u32>,
    /// The rows of each group of lanes.
    ends: Vec<usize>,
}

/// The pixels by radius, in row-major order at each.
impl Radii {
    /// `radius` is finite and from 0 to [`MAX_RADIUS`].
    pub fn new(layout: Layout, good: Vec<bool>, radius: &[f32]) -> Radii {
        let bin: Vec<u32> = radius.iter().map(|r| r.round_ties_even() as u32).collect();
        let bins = radius.iter().fold(0.0f32, |most, &r| most.max(r)).ceil() as usize + 1;
        let mut counts = vec![0usize; bins.next_multiple_of(LANES)];
        let used = || bin.iter().zip(&good).map(|(&b, &good)| (b as usize, good));
        used().filter(|(_, good)| *good).for_each(|(b, _)| counts[b] += 1);
        let mut ends = Vec::with_capacity(counts.len() / LANES);
        let mut rows = 0;
        let mut next: Vec<usize> = Vec::with_capacity(counts.len());
        for group in counts.chunks(LANES) {
            next.extend((0..LANES).map(|lane| rows * LANES + lane));
            rows += group.iter().copied().max().unwrap_or(0);
            ends.push(rows);
        }
        let mut pixel = vec![0; rows * LANES];
        let mut place = vec![(rows * LANES) as u32; bin.len()];
        for (i, (b, _)) in used().enumerate().filter(|(_, (_, good))| *good) {
            place[i] = next[b] as u32;
            pixel[next[b]] = i as u32;
            next[b] += LANES;
        }
        Radii { layout, good, bin, place, pixel, ends }
    }
}

/// Per radius: what the background is and above what a pixel is bright. Scratch that is reused.
#[derive(Debug)]
pub struct Background {
    /// The pixels' values sorted by radius; NaN, which is never within bounds, where there is none.
    sorted: Vec<[f32; LANES]>,
    /// Mean.
    pub offset: Vec<f32>,
    /// Pixels above it are bright.
    pub upper: Vec<f32>,
    /// The bright pixels, in no order.
    pub bright: Vec<u32>,
}

/// Mean and bounds of the radii of a group.
struct Bounds {
    offset: [f32; LANES],
    upper: [f32; LANES],
    lower: [f32; LANES],
}

impl Background {
    /// Scratch for these radii.
    pub fn new(radii: &Radii) -> Background {
        let rows = radii.ends.last().copied().unwrap_or(0);
        Background {
            sorted: vec![[f32::NAN; LANES]; rows + 1],
            offset: Vec::with_capacity(radii.ends.len() * LANES),
            upper: Vec::with_capacity(radii.ends.len() * LANES),
            bright: Vec::new(),
        }
    }

    /// Finds the background of an image, and its bright pixels.
    pub fn find(&mut self, radii: &Radii, image: &[f32], snr: f32, adc: f32) {
        let flat = self.sorted.as_flattened_mut();
        for (&v, &place) in image.iter().zip(&radii.place) {
            flat[place as usize] = v;
        }
        self.offset.clear();
        self.upper.clear();
        self.bright.clear();
        let mut begin = 0;
        for &end in &radii.ends {
            let rows = &self.sorted[begin..end];
            let bounds = (0..ITERATIONS)
                .fold(Bounds::wide(), |bounds, _| Bounds::next(&bounds, rows, snr, adc));
            self.offset.extend(bounds.offset);
            self.upper.extend(bounds.upper);
            for (row, pixels) in rows.iter().zip(radii.pixel[begin * LANES..].chunks(LANES)) {
                let above = |lane: usize| row[lane] > bounds.upper[lane];
                if (0..LANES).fold(false, |any, lane| any | above(lane)) {
                    self.bright.extend((0..LANES).filter(|&l| above(l)).map(|l| pixels[l]));
                }
            }
            begin = end;
        }
    }
}

impl Bounds {
    fn wide() -> Bounds {
        Bounds { offset: [0.0; LANES], upper: [1e9; LANES], lower: [-1e9; LANES] }
    }

    /// Mean and bounds of the values within the bounds.
    fn next(&self, rows: &[[f32; LANES]], snr: f32, adc: f32) -> Bounds {
        let (sum, squares, n) = sums(rows, &self.upper, &self.lower);
        let mut next = Bounds::wide();
        for lane in 0..LANES {
            if n[lane] == 0 {
                next.upper[lane] = f32::MAX;
                next.lower[lane] = f32::MIN_POSITIVE;
                continue;
            }
            let offset = sum[lane] / n[lane] as f32;
            let variance = squares[lane] / n[lane] as f32 - offset * offset;
            // The original takes a negative variance, which rounding makes, as it is.
            let sigma = if variance >= 0.0 { variance.sqrt() } else { variance };
            next.offset[lane] = offset;
            next.upper[lane] = offset + snr * sigma;
            next.lower[lane] = offset - snr * sigma;
            if next.upper[lane] < adc {
                next.upper[lane] = adc;
            }
        }
        next
    }
}

/// Sum, sum of squares and number of the values within the bounds, lane by lane. A function of its
/// own, so that it becomes vector instructions whatever surrounds the call.
#[inline(never)]
fn sums(
    rows: &[[f32; LANES]],
    upper: &[f32; LANES],
    lower: &[f32; LANES],
) -> ([f32; LANES], [f32; LANES], [u32; LANES]) {
    let (mut sum, mut squares, mut n) = ([0.0f32; LANES], [0.0f32; LANES], [0u32; LANES]);
    for row in rows {
        for lane in 0..LANES {
            let v = row[lane];
            let inside = (v < upper[lane]) & (v > lower[lane]);
            // Adding +0 changes no bit: the sums are never -0.
            let v = if inside { v } else { 0.0 };
            sum[lane] += v;
            squares[lane] += v * v;
            n[lane] += u32::from(inside);
        }
    }
    (sum, squares, n)
}
