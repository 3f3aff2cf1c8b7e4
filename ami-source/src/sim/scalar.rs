//! Scalar fields: a number per event, as a pure function of the event's number.

use crate::sim::kinds::{self, FieldKind};
use crate::sim::math::{exp, step};
use crate::sim::random::{Stream, poisson_floor};
use crate::sim::timeline::Timeline;
use ami_graph::data::value::{DType, Element};
use ami_proto::process::daemon::now_ns;

/// Element types that simulated numbers are turned into: integers rounded and cut to their range.
pub trait Sample: Element {
    /// The nearest number of this type.
    fn of(value: f64) -> Self;
    /// The number modulo the range of this type.
    fn wrap(value: u64) -> Self;
}

macro_rules! sample {
    ($($t:ty),*) => { $(impl Sample for $t {
        #[inline]
        fn of(value: f64) -> $t {
            // `as` cuts off towards zero and saturates.
            (value + 0.5f64.copysign(value)) as $t
        }
        #[inline]
        fn wrap(value: u64) -> $t { value as $t }
    })* };
    (float $($t:ty),*) => { $(impl Sample for $t {
        #[inline]
        fn of(value: f64) -> $t { value as $t }
        #[inline]
        fn wrap(value: u64) -> $t { value as $t }
    })* };
}
sample!(u8, u16, u32, u64, i8, i16, i32, i64);
sample!(float f32, f64);

/// Runs `$body` with `$t` as the Rust type of a dtype; booleans are bytes, and so would text be.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::Bool | DType::Str | DType::U8 => {
                type $t = u8;
                $body
            }
            DType::U16 => {
                type $t = u16;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::U64 => {
                type $t = u64;
                $body
            }
            DType::I8 => {
                type $t = i8;
                $body
            }
            DType::I16 => {
                type $t = i16;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(super) use with_type;

/// A number per event. References are indices of scalars declared before, so they cannot circle.
#[derive(Debug, Clone)]
pub enum Scalar {
    /// Always this.
    Constant(f64),
    /// `first + step · i`.
    Counter {
        /// In event 0.
        first: u64,
        /// From event to event.
        step: u64,
    },
    /// Mean, sigma, and another scalar times a gain.
    Normal(Stream, f64, f64, Option<(usize, f64)>),
    /// Lowest and range.
    Uniform(Stream, f64, f64),
    /// Mean, and what the generator needs to know of it.
    Poisson(Stream, f64, f64),
    /// Values, and events that each lasts.
    Cycle(Vec<f64>, u64),
    /// Wall clock, ns; the one thing here that does not depend on the event's number.
    Clock,
    /// Values of a scan's steps, and noise.
    StepValue(Stream, Vec<f64>, f64),
    /// A laser's effect.
    Response(Box<Response>),
}

/// See [`kinds::Response`].
#[derive(Debug, Clone)]
pub struct Response {
    laser: Option<usize>,
    delay: usize,
    jitter: Option<usize>,
    config: kinds::Response,
}

/// All scalars, with what they depend on.
#[derive(Debug, Clone, Default)]
pub struct Scalars {
    /// In the order of their declaration.
    pub list: Vec<Scalar>,
    /// When runs and steps are.
    pub timeline: Timeline,
}

/// Looks up what a configuration refers to.
pub trait Names {
    /// Index of a scalar declared before.
    fn scalar(&self, name: &str) -> anyhow::Result<usize>;
    /// The values of a held scan variable.
    fn scan(&self, name: &str) -> anyhow::Result<Vec<f64>>;
}

impl Scalar {
    /// None when the kind is not a scalar's.
    pub fn new(
        kind: &FieldKind,
        stream: Stream,
        names: &dyn Names,
    ) -> anyhow::Result<Option<Scalar>> {
        Ok(Some(match kind {
            FieldKind::Constant(c) => Scalar::Constant(c.value),
            FieldKind::Counter(c) => Scalar::Counter { first: c.first, step: c.step },
            FieldKind::Normal(c) => {
                let follow = c.follow.as_deref().map(|f| names.scalar(f)).transpose()?;
                Scalar::Normal(stream, c.mean, c.sigma, follow.map(|f| (f, c.gain)))
            }
            FieldKind::Uniform(c) => {
                anyhow::ensure!(c.low <= c.high, "low is above high");
                Scalar::Uniform(stream, c.low, c.high - c.low)
            }
            FieldKind::Poisson(c) => {
                anyhow::ensure!(c.mean >= 0.0, "mean must not be negative");
                Scalar::Poisson(stream, c.mean, poisson_floor(c.mean))
            }
            FieldKind::Cycle(c) => {
                anyhow::ensure!(!c.values.is_empty(), "values must not be empty");
                anyhow::ensure!(c.hold > 0, "hold must be at least 1");
                Scalar::Cycle(c.values.clone(), c.hold)
            }
            FieldKind::Clock(_) => Scalar::Clock,
            FieldKind::StepValue(c) => Scalar::StepValue(stream, names.scan(&c.of)?, c.jitter),
            FieldKind::Response(c) => {
                anyhow::ensure!(c.tau > 0.0 && c.rise > 0.0, "tau and rise must be above 0");
                let find = |name: &Option<String>| {
                    name.as_deref().map(|name| names.scalar(name)).transpose()
                };
                Scalar::Response(Box::new(Response {
                    laser: find(&c.laser)?,
                    delay: names.scalar(&c.delay)?,
                    jitter: find(&c.jitter)?,
                    config: c.clone(),
                }))
            }
            _ => return Ok(None),
        }))
    }
}

impl Scalars {
    /// The number of scalar `index` in event `i`.
    pub fn at(&self, index: usize, i: u64) -> f64 {
        match &self.list[index] {
            Scalar::Constant(value) => *value,
            Scalar::Counter { first, step } => first.wrapping_add(step.wrapping_mul(i)) as f64,
            Scalar::Normal(stream, mean, sigma, follow) => {
                let follow = follow.map_or(0.0, |(other, gain)| gain * self.at(other, i));
                mean + follow + sigma * stream.normal(i)
            }
            Scalar::Uniform(stream, low, range) => low + range * stream.uniform(i),
            Scalar::Poisson(stream, mean, floor) => stream.poisson(i, *mean, *floor),
            Scalar::Cycle(values, hold) => cycled(values, i / hold),
            Scalar::Clock => now_ns() as f64,
            Scalar::StepValue(stream, values, jitter) => {
                cycled(values, self.timeline.step(i)) + jitter * stream.normal(i)
            }
            Scalar::Response(response) => self.response(response, i),
        }
    }

    /// Numbers of scalar `index` from event `first` on. The same as [`at`](Self::at), with the
    /// cheap kinds in loops of their own.
    pub fn fill<T: Sample>(&self, index: usize, first: u64, out: &mut [T]) {
        let events = first..;
        match &self.list[index] {
            Scalar::Constant(value) => out.fill(T::of(*value)),
            &Scalar::Counter { first: begin, step } => {
                for (o, i) in out.iter_mut().zip(events) {
                    *o = T::wrap(begin.wrapping_add(step.wrapping_mul(i)));
                }
            }
            Scalar::Clock => out.fill(T::wrap(now_ns())),
            &Scalar::Normal(stream, mean, sigma, None) => {
                for (o, i) in out.iter_mut().zip(events) {
                    *o = T::of(mean + 0.0 + sigma * stream.normal(i));
                }
            }
            &Scalar::Uniform(stream, low, range) => {
                for (o, i) in out.iter_mut().zip(events) {
                    *o = T::of(low + range * stream.uniform(i));
                }
            }
            _ => {
                for (o, i) in out.iter_mut().zip(events) {
                    *o = T::of(self.at(index, i));
                }
            }
        }
    }

    /// The product of some scalars; 1 without any.
    pub fn product(&self, indices: &[usize], i: u64) -> f64 {
        indices.iter().map(|&index| self.at(index, i)).product()
    }

    /// The bytes of scalar `index` in event `i`, in the first `dtype.size()` places.
    pub fn bytes(&self, index: usize, dtype: DType, i: u64) -> [u8; 8] {
        let mut bytes = [0; 8];
        if dtype == DType::Bool {
            bytes[0] = u8::from(self.at(index, i) != 0.0);
            return bytes;
        }
        with_type!(dtype, T => {
            let mut one = [T::wrap(0)];
            self.fill(index, i, &mut one);
            bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&one[0]));
        });
        bytes
    }

    fn response(&self, r: &Response, i: u64) -> f64 {
        if r.laser.is_some_and(|laser| self.at(laser, i) == 0.0) {
            return 1.0;
        }
        let c = &r.config;
        let jitter = r.jitter.map_or(c.jitter_center, |j| self.at(j, i));
        let t = self.at(r.delay, i) + c.jitter_gain * (jitter - c.jitter_center);
        1.0 + c.amplitude * step(t, c.rise) * exp(-t.max(0.0) / c.tau)
    }
}

/// The `n`-th of values that come over and over; 0 when there are none.
pub fn cycled(values: &[f64], n: u64) -> f64 {
    let place = n.checked_rem(values.len() as u64).unwrap_or(0) as usize;
    values.get(place).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_wrapped_and_cut() {
        assert_eq!((u8::of(300.0), u8::of(-3.0), i16::of(-2.6), u16::of(2.4)), (255, 0, -3, 2));
        assert_eq!((u8::wrap(257), f64::wrap(257), u8::of(f64::NAN)), (1, 257.0, 0));
    }

    #[test]
    fn in_bulk_as_one_by_one() {
        let s = |n| Stream::new(3, "s").fork(n);
        let list = vec![
            Scalar::Constant(2.5),
            Scalar::Counter { first: 10, step: 3 },
            Scalar::Normal(s(0), 1.0, 2.0, None),
            Scalar::Normal(s(1), 1.0, 2.0, Some((2, 0.5))),
            Scalar::Uniform(s(2), -1.0, 2.0),
            Scalar::Poisson(s(3), 3.0, poisson_floor(3.0)),
            Scalar::Cycle(vec![1.0, 0.0, 5.0], 2),
        ];
        let n = list.len();
        let scalars = Scalars { list, timeline: Timeline::default() };
        for index in 0..n {
            let mut bulk = [0f64; 100];
            scalars.fill(index, 50, &mut bulk);
            for (i, v) in (50..).zip(bulk) {
                assert_eq!(v.to_bits(), scalars.at(index, i).to_bits(), "scalar {index}");
                assert_eq!(scalars.bytes(index, DType::F64, i), v.to_le_bytes());
            }
        }
    }
}
