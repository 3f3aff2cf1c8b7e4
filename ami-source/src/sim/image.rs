//! Images: powder rings and Bragg peaks on noise, from a pool of frames made at the start.
//!
//! Where the light falls and which pixels are dead follows from the seed alone, so that all hosts
//! see one detector; the noise is each host's own.

use crate::sim::kinds;
use crate::sim::math::bell;
use crate::sim::random::Stream;
use crate::sim::scalar::{Names, Sample, Scalars, with_type};
use crate::sim::trace::encode;
use ami_graph::data::value::DType;
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use anyhow::ensure;

/// Most bytes that one field's pool may hold.
const MAX_POOL: usize = 1 << 30;

/// A simulated detector.
#[derive(Debug)]
pub struct Image {
    shape: Vec<usize>,
    dtype: DType,
    mark: bool,
    /// Chooses the frame of an event.
    stream: Stream,
    frames: Frames,
}

#[derive(Debug)]
enum Frames {
    /// Complete frames as bytes, copied.
    Ready(Vec<Vec<u8>>),
    /// Frames of noise, to which the event's light is added.
    Composed(Box<Composed>),
}

#[derive(Debug)]
struct Composed {
    noise: Vec<Vec<f32>>,
    /// Rings per pixel at scale 1.
    rings: Vec<f32>,
    /// Pixels under Bragg peaks, and their height at scale 1.
    peaks: Vec<(usize, f32)>,
    /// Pixels that always read the same.
    broken: Vec<(usize, f32)>,
    scale: Vec<usize>,
    peak_scale: Vec<usize>,
}

impl Image {
    /// `detector` seeds what all hosts share, `own` what is this host's. With `composed` false the
    /// frames are made ready.
    pub fn new(
        config: &kinds::Image,
        dtype: DType,
        composed: bool,
        (detector, own): (Stream, Stream),
        names: &dyn Names,
    ) -> anyhow::Result<Image> {
        check(config, dtype, composed)?;
        let find = |list: &[String]| -> anyhow::Result<Vec<usize>> {
            list.iter().map(|name| names.scalar(name)).collect()
        };
        let pixels: usize = config.shape.iter().product();
        let make = |k: usize| {
            let stream = own.fork(1 + k as u64);
            let noise = |p| (config.pedestal + config.noise * stream.normal(p)) as f32;
            (0..pixels as u64).map(noise).collect()
        };
        let parts = Composed {
            noise: (0..config.pool).map(make).collect(),
            rings: rings(config, pixels),
            peaks: peaks(config, detector),
            broken: broken(config, dtype, detector, pixels),
            scale: find(&config.scale)?,
            peak_scale: find(&config.peak_scale)?,
        };
        let frames = if composed {
            Frames::Composed(Box::new(parts))
        } else {
            Frames::Ready(parts.render(dtype))
        };
        let (shape, mark) = (config.shape.clone(), config.mark);
        Ok(Image { shape, dtype, mark, stream: own, frames })
    }

    /// Axis lengths.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Writes the image of event `i` into a field.
    ///
    /// # Errors
    /// [`Full`] when the ring has no room now.
    pub fn write(
        &self,
        scalars: &Scalars,
        i: u64,
        field: usize,
        out: &mut ChunkWriter<'_>,
    ) -> Result<(), Full> {
        let bytes = match &self.frames {
            Frames::Ready(frames) => {
                let frame = &frames[self.stream.below(i, frames.len() as u64) as usize];
                out.array_from(field, &self.shape, frame)?
            }
            Frames::Composed(parts) => {
                let k = self.stream.below(i, parts.noise.len() as u64) as usize;
                let scale = scalars.product(&parts.scale, i) as f32;
                let peaks = scale * scalars.product(&parts.peak_scale, i) as f32;
                let bytes = out.array(field, &self.shape)?;
                parts.compose(self.dtype, k, (scale, peaks), bytes);
                bytes
            }
        };
        if self.mark
            && let Some(first) = bytes.first_chunk_mut::<8>()
        {
            *first = i.to_le_bytes();
        }
        Ok(())
    }
}

impl Composed {
    fn render(&self, dtype: DType) -> Vec<Vec<u8>> {
        let frame = |k: usize| {
            let mut bytes = vec![0; self.rings.len() * dtype.size()];
            self.compose(dtype, k, (1.0, 1.0), &mut bytes);
            bytes
        };
        (0..self.noise.len()).map(frame).collect()
    }

    fn compose(&self, dtype: DType, k: usize, (scale, peak_scale): (f32, f32), out: &mut [u8]) {
        let noise = &self.noise[k];
        with_type!(dtype, T => {
            let (places, _) = out.as_chunks_mut::<{ size_of::<T>() }>();
            for ((place, noise), ring) in places.iter_mut().zip(noise).zip(&self.rings) {
                *place = <T as Sample>::of(f64::from(noise + scale * ring)).to_le_bytes();
            }
        });
        let size = dtype.size();
        for &(p, height) in &self.peaks {
            let value = noise[p] + scale * self.rings[p] + peak_scale * height;
            encode(dtype, &[f64::from(value)], &mut out[p * size..][..size]);
        }
        for &(p, value) in &self.broken {
            encode(dtype, &[f64::from(value)], &mut out[p * size..][..size]);
        }
    }
}

fn check(config: &kinds::Image, dtype: DType, composed: bool) -> anyhow::Result<()> {
    let scaled = !config.scale.is_empty() || !config.peak_scale.is_empty();
    ensure!(composed || !scaled, "a frame is ready-made; scale and peak_scale need kind \"image\"");
    ensure!(
        matches!(dtype, DType::U8 | DType::U16 | DType::F32 | DType::F64),
        "an image is of dtype u8, u16, f32 or f64, not {dtype}"
    );
    let rank = config.shape.len();
    ensure!(matches!(rank, 2 | 3), "shape needs two axes, or three with segments, not {rank}");
    ensure!(config.pool > 0, "pool must be at least 1");
    ensure!(config.shape.iter().all(|&n| n > 0), "shape must not have an axis of length 0");
    let count = config.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    // Frames of noise are made of 4 bytes a pixel first.
    let bytes = count.and_then(|n| n.checked_mul(config.pool)?.checked_mul(dtype.size().max(4)));
    ensure!(
        bytes.is_some_and(|b| b <= MAX_POOL),
        "the pool would be larger than {} MiB; lower pool or shape",
        MAX_POOL >> 20
    );
    let pixels = count.unwrap_or(0);
    ensure!(
        config.dead.saturating_add(config.hot) <= pixels,
        "more dead and hot pixels than pixels"
    );
    ensure!(config.peaks <= 10_000, "more than 10000 peaks");
    ensure!(config.peak_width > 0.0, "peak_width must be above 0");
    ensure!(config.rings.iter().all(|r| r.width > 0.0), "a ring's width must be above 0");
    ensure!(!config.mark || pixels * dtype.size() >= 8, "mark needs at least 8 bytes");
    Ok(())
}

/// Height and width of a segment.
fn segment(config: &kinds::Image) -> (usize, usize) {
    let rank = config.shape.len();
    (config.shape[rank - 2], config.shape[rank - 1])
}

fn rings(config: &kinds::Image, pixels: usize) -> Vec<f32> {
    let (height, width) = segment(config);
    let (cy, cx) = ((height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0);
    let light = |p: usize| {
        let (y, x) = (p / width % height, p % width);
        let (dy, dx) = (y as f64 - cy, x as f64 - cx);
        let r = (dy * dy + dx * dx).sqrt();
        let near = config.rings.iter().filter(|ring| (r - ring.radius).abs() < 6.0 * ring.width);
        near.map(|ring| ring.amplitude * bell(r - ring.radius, ring.width)).sum::<f64>() as f32
    };
    (0..pixels).map(light).collect()
}

/// Pixels under Bragg peaks. Where two overlap, the last one counts.
fn peaks(config: &kinds::Image, stream: Stream) -> Vec<(usize, f32)> {
    let (height, width) = segment(config);
    let segments = if config.shape.len() == 3 { config.shape[0] } else { 1 };
    let (place, size) = (stream.fork(1), stream.fork(2));
    let reach = (4.0 * config.peak_width) as isize + 1;
    let mut list = Vec::new();
    for n in 0..(config.peaks * segments) as u64 {
        let cy = place.uniform(2 * n) * height as f64;
        let cx = place.uniform(2 * n + 1) * width as f64;
        let amplitude = config.peak_amplitude * (0.5 + 0.5 * size.uniform(n));
        let base = n as usize / config.peaks * height * width;
        for y in cy as isize - reach..=cy as isize + reach {
            for x in cx as isize - reach..=cx as isize + reach {
                let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                let (dy, dx) = (y as f64 - cy, x as f64 - cx);
                let light = amplitude * bell((dy * dy + dx * dx).sqrt(), config.peak_width);
                if inside && light > 0.5 {
                    list.push((base + y as usize * width + x as usize, light as f32));
                }
            }
        }
    }
    list
}

/// Dead and hot pixels. One that is drawn twice is what it was drawn last.
fn broken(config: &kinds::Image, dtype: DType, stream: Stream, pixels: usize) -> Vec<(usize, f32)> {
    let brightest = if dtype == DType::U8 { 255.0 } else { 65535.0 };
    let draw = stream.fork(3);
    let value = |n: usize| if n < config.dead { 0.0 } else { brightest };
    let at = |n: usize| draw.below(n as u64, pixels as u64) as usize;
    (0..config.dead + config.hot).map(|n| (at(n), value(n))).collect()
}
