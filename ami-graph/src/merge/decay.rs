//! Weights that halve with the age of an event, exactly the same for any split.
//!
//! A weight is 2^(t/h), h the half-life, counted from the begin of a stretch of 64 half-lives that
//! is fixed in data time. Between stretches weights change by exact powers of two. So the ratio of
//! two weights depends on the two times only, not on what else was absorbed before or beside.

use crate::data::bytes::{Reader, Writer};
use crate::error::DecodeError;
use crate::merge::compensated::Compensated;

/// Half-lives in a stretch.
const STRETCH: i32 = 64;
/// Times are counted in 2^-32 ns, so that the stretch need not be a whole number of ns.
const FRACTION: u32 = 32;

/// Shortest time constant, in seconds.
pub const LEAST_TAU: f64 = 1e-6;
/// Longest.
pub const MOST_TAU: f64 = 1e9;

/// The sum of decayed weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    tau: f64,
    /// The stretch that weights are counted from; the newest event's.
    stretch: u64,
    /// Time of the newest event, ns.
    newest: u64,
    sum: Compensated,
}

/// Length of a stretch in 2^-32 ns.
fn length(tau: f64) -> u128 {
    let nanoseconds = tau * 1e9 * std::f64::consts::LN_2 * f64::from(STRETCH);
    (nanoseconds * 2f64.powi(FRACTION as i32)) as u128
}

/// 2^(-64 × stretches).
fn shift(stretches: u64) -> f64 {
    if stretches > 16 { 0.0 } else { 2f64.powi(-STRETCH * stretches as i32) }
}

impl Decay {
    /// No event yet; weights fall to 1/e in `tau` seconds.
    pub fn new(tau: f64) -> Decay {
        Decay { tau, stretch: 0, newest: 0, sum: Compensated::default() }
    }

    /// The stretch of a time, and its weight there, from 1 up to 2^64.
    fn weight(&self, time: u64, length: u128) -> (u64, f64) {
        let time = u128::from(time) << FRACTION;
        let start = u128::from(self.stretch) * length;
        let (stretch, rest) = match time.checked_sub(start) {
            Some(rest) if rest < length => (self.stretch, rest),
            _ => ((time / length) as u64, time % length),
        };
        (stretch, (rest as f64 / length as f64 * f64::from(STRETCH)).exp2())
    }

    /// Goes on to a later stretch.
    fn advance(&mut self, stretch: u64) {
        if stretch > self.stretch {
            let factor = shift(stretch - self.stretch);
            (self.sum.sum, self.sum.lost) = (self.sum.sum * factor, self.sum.lost * factor);
            self.stretch = stretch;
        }
    }

    /// Adds an event; gives its share of the weight so far, itself included.
    pub fn add(&mut self, time: u64) -> f64 {
        let (stretch, weight) = self.weight(time, length(self.tau));
        self.advance(stretch);
        let weight = weight * shift(self.stretch - stretch);
        self.newest = self.newest.max(time);
        self.sum.add(weight);
        weight / self.sum.value()
    }

    /// Adds other events; gives their share of the weight.
    pub fn merge(&mut self, mut other: Decay) -> f64 {
        self.advance(other.stretch);
        other.advance(self.stretch);
        self.newest = self.newest.max(other.newest);
        self.sum.merge(other.sum);
        let all = self.sum.value();
        if all > 0.0 { other.sum.value() / all } else { 0.0 }
    }

    /// The sum of weights, the newest event's being 1.
    pub fn total(&self) -> f64 {
        let (stretch, weight) = self.weight(self.newest, length(self.tau));
        self.sum.value() * shift(self.stretch.saturating_sub(stretch)) / weight
    }

    /// True for the same time constant.
    pub fn fits(&self, other: &Decay) -> bool {
        self.tau == other.tau
    }

    /// As bytes.
    pub fn encode(&self, writer: &mut Writer) {
        writer.f64(self.tau);
        writer.u64(self.newest);
        writer.f64(self.sum.sum);
        writer.f64(self.sum.lost);
    }

    /// Reads what [`Decay::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Decay, DecodeError> {
        let tau = reader.f64("time constant")?;
        if !(LEAST_TAU..=MOST_TAU).contains(&tau) {
            return Err(DecodeError::invalid("time constant", tau));
        }
        let mut decay = Decay::new(tau);
        decay.newest = reader.u64("time")?;
        decay.stretch = decay.weight(decay.newest, length(tau)).0;
        decay.sum = Compensated { sum: reader.f64("weight")?, lost: reader.f64("weight")? };
        Ok(decay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fall_to_1_over_e_in_tau_wherever_in_time() {
        for (tau, start) in [(1.0, 0), (0.001, 1_763_654_321_000_000_000), (10.0, 1 << 60)] {
            let mut decay = Decay::new(tau);
            for event in 0..100u64 {
                decay.add(start + event * (tau * 1e9) as u64);
            }
            let expected: f64 = (0..100).map(|k| (-f64::from(k)).exp()).sum();
            assert!((decay.total() - expected).abs() < 1e-12, "{tau} {}", decay.total());
        }
    }

    #[test]
    fn old_events_keep_their_share_in_any_order() {
        let times = [5_000_000_000u64, 0, 70_000_000_000, 69_000_000_000, 1 << 50];
        let mut forward = Decay::new(1.0);
        for &time in &times {
            forward.add(time);
        }
        let mut backward = Decay::new(1.0);
        for &time in times.iter().rev() {
            backward.add(time);
        }
        let mut merged = Decay::new(1.0);
        for &time in &times {
            let mut one = Decay::new(1.0);
            one.add(time);
            merged.merge(one);
        }
        for other in [backward, merged] {
            assert!((forward.total() - other.total()).abs() < 1e-15);
        }
    }
}
