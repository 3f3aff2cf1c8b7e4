//! One-dimensional fields: waveforms, time-tool traces, event codes, arrays of varying length.

use crate::sim::kinds;
use crate::sim::math::{bell, step};
use crate::sim::random::Stream;
use crate::sim::scalar::{Names, Sample, Scalars, with_type};
use ami_graph::data::value::DType;
use anyhow::ensure;

/// Longest trace, elements.
const MAX_LENGTH: usize = 1 << 24;

/// A pool of noise, made once: an event takes one trace of it and adds what is its own.
#[derive(Debug)]
pub struct Noise {
    stream: Stream,
    traces: Vec<Vec<f64>>,
}

impl Noise {
    fn new(stream: Stream, pool: usize, length: usize, mean: f64, sigma: f64) -> Noise {
        let pool = if sigma == 0.0 { 1 } else { pool };
        let make = |k: usize| {
            let stream = stream.fork(1 + k as u64);
            (0..length as u64).map(|x| mean + sigma * stream.normal(x)).collect()
        };
        Noise { stream, traces: (0..pool).map(make).collect() }
    }

    fn of(&self, i: u64) -> &[f64] {
        &self.traces[self.stream.below(i, self.traces.len() as u64) as usize]
    }
}

/// A one-dimensional field.
#[derive(Debug)]
pub enum Trace {
    /// See [`kinds::Waveform`].
    Waveform(kinds::Waveform, Noise, Stream, Option<usize>),
    /// See [`kinds::Edge`]; with the scalar that says where.
    Edge(kinds::Edge, Noise, usize),
    /// See [`kinds::Codes`].
    Codes(kinds::Codes),
    /// See [`kinds::Ragged`].
    Ragged(kinds::Ragged, Stream),
}

impl Trace {
    /// A digitizer's trace.
    pub fn waveform(
        config: &kinds::Waveform,
        stream: Stream,
        names: &dyn Names,
    ) -> anyhow::Result<Trace> {
        length("length", config.length)?;
        ensure!(config.pool > 0, "pool must be at least 1");
        ensure!(config.pulses.iter().all(|p| p.width > 0.0), "a pulse's width must be above 0");
        let scale = config.scale.as_deref().map(|s| names.scalar(s)).transpose()?;
        let noise = Noise::new(stream, config.pool, config.length, config.baseline, config.noise);
        Ok(Trace::Waveform(config.clone(), noise, stream.fork(0), scale))
    }

    /// A time tool's trace.
    pub fn edge(config: &kinds::Edge, stream: Stream, names: &dyn Names) -> anyhow::Result<Trace> {
        length("length", config.length)?;
        ensure!(config.pool > 0, "pool must be at least 1");
        ensure!(config.width > 0.0, "width must be above 0");
        let position = names.scalar(&config.position)?;
        let noise = Noise::new(stream, config.pool, config.length, 0.0, config.noise);
        Ok(Trace::Edge(config.clone(), noise, position))
    }

    /// Event codes.
    pub fn codes(config: &kinds::Codes) -> anyhow::Result<Trace> {
        length("length", config.length)?;
        for c in &config.codes {
            ensure!(c.code < config.length, "code {} is not below length", c.code);
            ensure!(c.every > 0, "every of code {} must be at least 1", c.code);
        }
        Ok(Trace::Codes(config.clone()))
    }

    /// An array of varying length.
    pub fn ragged(config: &kinds::Ragged, stream: Stream) -> anyhow::Result<Trace> {
        length("max", config.max)?;
        ensure!(config.min <= config.max, "min is above max");
        Ok(Trace::Ragged(config.clone(), stream))
    }

    /// Elements, where they are the same in every event.
    pub fn length(&self) -> Option<usize> {
        match self {
            Trace::Waveform(c, ..) => Some(c.length),
            Trace::Edge(c, ..) => Some(c.length),
            Trace::Codes(c) => Some(c.length),
            Trace::Ragged(c, _) => (c.min == c.max).then_some(c.max),
        }
    }

    /// The trace of event `i`, into `out`.
    pub fn make(&self, scalars: &Scalars, i: u64, out: &mut Vec<f64>) {
        out.clear();
        match self {
            Trace::Waveform(c, noise, stream, scale) => {
                out.extend_from_slice(noise.of(i));
                let scale = scale.map_or(1.0, |s| scalars.at(s, i));
                for (k, p) in c.pulses.iter().enumerate() {
                    let at = p.at + p.jitter * stream.fork(k as u64).normal(i);
                    add_pulse(out, at, p.width, p.amplitude * scale);
                }
            }
            Trace::Edge(c, noise, position) => {
                let at = scalars.at(*position, i);
                let shape = |x: usize| c.level * (1.0 - c.depth * step(x as f64 - at, c.width));
                out.extend(noise.of(i).iter().enumerate().map(|(x, n)| n + shape(x)));
            }
            Trace::Codes(c) => {
                out.resize(c.length, 0.0);
                for code in &c.codes {
                    let set = i >= code.phase && (i - code.phase).is_multiple_of(code.every);
                    out[code.code] = f64::from(u8::from(set)).max(out[code.code]);
                }
            }
            Trace::Ragged(c, stream) => {
                let length = c.min as u64 + stream.below(i, (c.max - c.min) as u64 + 1);
                let own = stream.fork(i);
                out.extend((0..length).map(|x| c.mean + c.sigma * own.normal(x)));
            }
        }
    }
}

fn length(what: &str, length: usize) -> anyhow::Result<()> {
    ensure!((1..=MAX_LENGTH).contains(&length), "{what} must be from 1 to {MAX_LENGTH}");
    Ok(())
}

/// Adds a Gaussian, as far as it can be seen.
fn add_pulse(out: &mut [f64], at: f64, width: f64, amplitude: f64) {
    let first = (at - 6.0 * width).max(0.0) as usize;
    let end = ((at + 6.0 * width).max(-1.0) + 1.0) as usize;
    for (x, value) in out.iter_mut().enumerate().take(end).skip(first) {
        *value += amplitude * bell(x as f64 - at, width);
    }
}

/// Numbers as bytes of a type.
pub fn encode(dtype: DType, numbers: &[f64], out: &mut [u8]) {
    with_type!(dtype, T => {
        let (places, _) = out.as_chunks_mut::<{ size_of::<T>() }>();
        for (place, &number) in places.iter_mut().zip(numbers) {
            *place = <T as Sample>::of(number).to_le_bytes();
        }
    });
}
