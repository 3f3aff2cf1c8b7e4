//! From bright pixels to peaks: flood fill, local background, integration. The order of every sum
//! is that of the original, so that results are the same to the bit.

use crate::ops::detector::peakfinder8::background::{Background, Radii};

/// The neighbours of a pixel as (y, x), itself first, in the order of the original.
const NEIGHBOURS: [[i32; 2]; 9] =
    [[0, 0], [-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]];
/// Sums below it count as none.
const NOTHING: f32 = 1e-10;

/// What a peak must be like.
#[derive(Debug, Clone, Copy)]
pub struct Demands {
    /// Pixels below it are never bright.
    pub adc_threshold: f32,
    /// Signal over noise, of pixels and of peaks.
    pub min_snr: f32,
    /// Fewest pixels.
    pub min_pixels: usize,
    /// Most pixels.
    pub max_pixels: usize,
    /// Half of the radius of the disc that gives the local background.
    pub background_radius: i32,
    /// Most peaks that are kept.
    pub max_peaks: usize,
    /// Whether the original's reading past the end of its list is repeated.
    pub exact: bool,
}

/// A peak; places are pixels in the image, from 0.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // documented as the op's outputs
pub struct Peak {
    pub ss: f32,
    pub fs: f32,
    pub intensity: f32,
    pub pixels: i64,
    pub most: f32,
    pub snr: f32,
    pub index: i64,
    pub sigma: f32,
}

/// Scratch of the search, reused from image to image.
#[derive(Debug, Default)]
pub struct Search {
    /// By pixel: whether it belongs to a peak, also to a rejected one.
    visited: Vec<bool>,
    /// Row and column in the panel of the pixels of a peak. One entry more than pixels are found
    /// is read in exact mode, and it is not cleared between peaks: the original's defect.
    list: Vec<[i32; 2]>,
    /// Pixels of the peak, the first `max_pixels`.
    pixels: Vec<u32>,
    /// Seeds as places in the order of search.
    turns: Vec<u32>,
    /// The peaks that were found, the first `max_peaks`.
    pub peaks: Vec<Peak>,
    /// How many were found.
    pub found: usize,
}

/// An image with what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Geometry.
    pub radii: &'a Radii,
    /// The pixels.
    pub image: &'a [f32],
    /// Thresholds and bright pixels.
    pub background: &'a Background,
    /// What a peak must be like.
    pub demands: Demands,
}

/// Bright pixels that touch, weighted by what is above the background.
struct Blob {
    count: usize,
    sum: f32,
    y: f32,
    x: f32,
}

/// The pixels around a peak that belong to no peak.
struct Local {
    offset: f32,
    sigma: f32,
    most: f32,
}

impl Seen<'_> {
    fn threshold(&self, pixel: usize) -> f32 {
        self.background.upper[self.radii.bin[pixel] as usize]
    }

    fn width(&self) -> usize {
        self.radii.layout.shape()[1]
    }

    /// The pixel at row and column `at` of the panel that begins at `origin`.
    fn pixel(&self, origin: [usize; 2], at: [i32; 2]) -> Option<usize> {
        let [y, x] = [usize::try_from(at[0]).ok()?, usize::try_from(at[1]).ok()?];
        let inside = y < self.radii.layout.panel[0] && x < self.radii.layout.panel[1];
        inside.then(|| (origin[0] + y) * self.width() + origin[1] + x)
    }
}

impl Search {
    /// Finds the peaks of an image.
    pub fn run(&mut self, seen: Seen<'_>) {
        self.visited.clear();
        self.visited.resize(seen.image.len(), false);
        self.list.fill([0, 0]);
        self.peaks.clear();
        self.found = 0;
        let mut turns = std::mem::take(&mut self.turns);
        turns.clear();
        let layout = seen.radii.layout;
        turns.extend(seen.background.bright.iter().filter_map(|&pixel| layout.turn(pixel)));
        turns.sort_unstable();
        for &turn in &turns {
            let (origin, seed) = layout.seed(turn);
            let Some(pixel) = seen.pixel(origin, seed) else { continue };
            if self.visited[pixel] {
                continue;
            }
            if let Some(peak) = self.peak(seen, origin, seed) {
                self.found += 1;
                if self.peaks.len() < seen.demands.max_peaks {
                    self.peaks.push(peak);
                }
            }
        }
        self.turns = turns;
    }

    /// The peak that contains a seed, unless it is to be rejected.
    fn peak(&mut self, seen: Seen<'_>, origin: [usize; 2], seed: [i32; 2]) -> Option<Peak> {
        let demands = &seen.demands;
        let blob = self.fill(seen, origin, seed);
        let accepted = demands.min_pixels..=demands.max_pixels;
        if !accepted.contains(&blob.count) || blob.sum.abs() < NOTHING {
            return None;
        }
        let round = |sum: f32, origin: usize| {
            i64::from((sum / blob.sum.abs()).round_ties_even() as i32) - origin as i64
        };
        let center = [round(blob.y, origin[0]), round(blob.x, origin[1])];
        let local = self.local(seen, origin, center);
        let (mut total, mut raw, mut most) = (0.0f32, 0.0f32, 0.0f32);
        let (mut y, mut x) = (0.0f32, 0.0f32);
        for &pixel in &self.pixels {
            let v = seen.image[pixel as usize];
            total += v - local.offset;
            raw += v;
            most = most.max(v - local.offset);
            x += v * (pixel as usize % seen.width()) as f32;
            y += v * (pixel as usize / seen.width()) as f32;
        }
        if raw.abs() < NOTHING {
            return None;
        }
        let (ss, fs) = (y / raw.abs(), x / raw.abs());
        let snr = if local.sigma.abs() > NOTHING { total / local.sigma } else { 0.0 };
        let within = |at: f32, axis: usize| {
            let first = origin[axis] as f32;
            at >= first && at <= first + (seen.radii.layout.panel[axis] - 1) as f32
        };
        let weak = snr < demands.min_snr || most < local.most - local.offset;
        let index = fs.round_ties_even() as i64
            + (ss.round_ties_even() as i64).saturating_mul(seen.width() as i64);
        (!weak && within(ss, 0) && within(fs, 1)).then_some(Peak {
            ss,
            fs,
            intensity: total,
            pixels: blob.count as i64,
            most,
            snr,
            index,
            sigma: local.sigma,
        })
    }

    /// Marks the bright pixels that touch the seed, and remembers the first of them.
    fn fill(&mut self, seen: Seen<'_>, origin: [usize; 2], seed: [i32; 2]) -> Blob {
        let mut blob = Blob { count: 0, sum: 0.0, y: 0.0, x: 0.0 };
        self.pixels.clear();
        self.put(0, seed);
        loop {
            let before = blob.count;
            let mut p = 0;
            // The original reads entry `count`, too, which is left from an earlier peak.
            while p < blob.count.max(1) || (seen.demands.exact && p == blob.count) {
                self.around(seen, origin, p, &mut blob);
                p += 1;
            }
            if blob.count == before {
                return blob;
            }
        }
    }

    /// Adds the bright neighbours of entry `p`, which is read anew for each: it may be the one
    /// that is written.
    fn around(&mut self, seen: Seen<'_>, origin: [usize; 2], p: usize, blob: &mut Blob) {
        self.put_if_missing(p);
        for [dy, dx] in NEIGHBOURS {
            let at = [self.list[p][0] + dy, self.list[p][1] + dx];
            let Some(pixel) = seen.pixel(origin, at) else { continue };
            let v = seen.image[pixel];
            let bright = v > seen.threshold(pixel) && seen.radii.good[pixel];
            if !bright || self.visited[pixel] {
                continue;
            }
            let above = v - seen.background.offset[seen.radii.bin[pixel] as usize];
            blob.sum += above;
            blob.x += above * (origin[1] as i32 + at[1]) as f32;
            blob.y += above * (origin[0] as i32 + at[0]) as f32;
            self.put(blob.count, at);
            self.visited[pixel] = true;
            if blob.count < seen.demands.max_pixels {
                self.pixels.push(pixel as u32);
            }
            blob.count += 1;
        }
    }

    fn put(&mut self, entry: usize, at: [i32; 2]) {
        self.put_if_missing(entry);
        self.list[entry] = at;
    }

    /// The list is as long as was ever needed; entries begin as zeros, as each image does.
    fn put_if_missing(&mut self, entry: usize) {
        if self.list.len() <= entry {
            self.list.resize(entry + 1, [0, 0]);
        }
    }

    /// The background in a disc around a centre, given in the panel.
    fn local(&self, seen: Seen<'_>, origin: [usize; 2], center: [i64; 2]) -> Local {
        let reach = 2 * seen.demands.background_radius;
        let (mut n, mut sum, mut squares, mut most) = (0u32, 0.0f32, 0.0f32, 0.0f32);
        let panel = seen.radii.layout.panel.map(|n| n as i64);
        let clip = |axis: usize| {
            let first = i64::from(-reach).max(-center[axis]);
            first..i64::from(reach).min(panel[axis] - center[axis])
        };
        for dy in clip(0) {
            for dx in clip(1) {
                if dy * dy + dx * dx > i64::from(reach) * i64::from(reach) {
                    continue;
                }
                let at = [(center[0] + dy) as i32, (center[1] + dx) as i32];
                let Some(pixel) = seen.pixel(origin, at) else { continue };
                let v = seen.image[pixel];
                let usable = seen.radii.good[pixel] && !self.visited[pixel];
                if usable && v < seen.threshold(pixel) {
                    n += 1;
                    sum += v;
                    squares += v * v;
                    most = most.max(v);
                }
            }
        }
        if n == 0 {
            // A centre outside the panel has no radius; its peak is rejected in any case.
            let at = center.map(|c| i32::try_from(c).unwrap_or(-1));
            let bin = seen.pixel(origin, at).map(|pixel| seen.radii.bin[pixel] as usize);
            let offset = bin.map_or(0.0, |bin| seen.background.offset[bin]);
            return Local { offset, sigma: 0.01, most };
        }
        let offset = sum / n as f32;
        let variance = squares / n as f32 - offset * offset;
        let sigma = if variance >= 0.0 { variance.sqrt() } else { 0.01 };
        Local { offset, sigma, most }
    }
}
