//! Random numbers by counter: a draw depends on a key and the event's number only, so that any
//! event can be made at any time, in any order, with the same content.

use crate::sim::math::exp;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Sum of eight 16-bit uniforms: its mean and its standard deviation, 65536 · sqrt(8 / 12).
const SUM_MEAN: f64 = 4.0 * 65535.0;
const SUM_SIGMA: f64 = 53_509.918;

/// splitmix64's finaliser.
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A stream of draws, one per event.
#[derive(Debug, Clone, Copy)]
pub struct Stream(u64);

impl Stream {
    /// The stream of a name under a seed.
    pub fn new(seed: u64, name: &str) -> Stream {
        let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Stream(mix(mix(seed.wrapping_add(GOLDEN)) ^ fnv))
    }

    /// An independent stream.
    pub const fn fork(self, n: u64) -> Stream {
        Stream(mix(self.0 ^ mix(n.wrapping_add(GOLDEN))))
    }

    /// 64 random bits.
    #[inline]
    pub const fn bits(self, i: u64) -> u64 {
        mix(self.0.wrapping_add(i.wrapping_mul(GOLDEN)))
    }

    /// Uniform in [0, 1).
    #[inline]
    pub const fn uniform(self, i: u64) -> f64 {
        (self.bits(i) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in 0..n; n must not be 0.
    #[inline]
    pub const fn below(self, i: u64, n: u64) -> u64 {
        ((self.bits(i) as u128 * n as u128) >> 64) as u64
    }

    /// Normal with mean 0 and sigma 1, cut at 4.9 sigma: the sum of eight uniforms, in integers.
    #[inline]
    pub const fn normal(self, i: u64) -> f64 {
        const LANES: u64 = 0x0000_ffff_0000_ffff;
        let (a, b) = (self.bits(i), mix(self.0 ^ i.wrapping_mul(GOLDEN)));
        let lanes = (a & LANES) + ((a >> 16) & LANES) + (b & LANES) + ((b >> 16) & LANES);
        let sum = (lanes & 0xffff_ffff) + (lanes >> 32);
        (sum as f64 - SUM_MEAN) * (1.0 / SUM_SIGMA)
    }

    /// Poisson; `floor` is `exp(-mean)`. Above a mean of 30 a rounded normal.
    pub fn poisson(self, i: u64, mean: f64, floor: f64) -> f64 {
        if mean > 30.0 {
            return ((mean + mean.sqrt() * self.normal(i) + 0.5).max(0.0) as u64) as f64;
        }
        let u = self.uniform(i);
        let (mut n, mut p, mut sum) = (0.0, floor, floor);
        while u >= sum && n < 200.0 {
            n += 1.0;
            p *= mean / n;
            sum += p;
        }
        n
    }
}

/// What [`Stream::poisson`] needs to know of its mean.
pub fn poisson_floor(mean: f64) -> f64 {
    exp(-mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(draw: impl Fn(u64) -> f64) -> (f64, f64) {
        let n = 200_000u64;
        let mean = (0..n).map(&draw).sum::<f64>() / n as f64;
        let var = (0..n).map(|i| (draw(i) - mean).powi(2)).sum::<f64>() / n as f64;
        (mean, var)
    }

    #[test]
    fn moments_are_right() {
        let s = Stream::new(1, "x");
        let (mean, var) = moments(|i| s.normal(i));
        assert!(mean.abs() < 0.01 && (var - 1.0).abs() < 0.02, "normal {mean} {var}");
        let (mean, var) = moments(|i| s.uniform(i));
        assert!((mean - 0.5).abs() < 0.005 && (var - 1.0 / 12.0).abs() < 0.002);
        for lambda in [0.5, 7.0, 100.0] {
            let (mean, var) = moments(|i| s.poisson(i, lambda, poisson_floor(lambda)));
            assert!((mean / lambda - 1.0).abs() < 0.02, "poisson {lambda}: {mean}");
            assert!((var / lambda - 1.0).abs() < 0.03, "poisson {lambda}: {var}");
        }
    }

    /// Computed by an independent implementation; what users recorded depends on them.
    #[test]
    fn the_numbers_themselves_never_change() {
        let s = Stream::new(42, "ebeam:raw:energy");
        let seen = [s.bits(0), s.bits(1), s.fork(1).bits(0)];
        assert_eq!(seen, [0x7f5f_22e2_ce8d_cc1a, 0xc269_7245_b52c_61d7, 0x3ebd_46ba_2166_c78b]);
        assert_eq!(s.below(5, 1000), 409);
        assert_eq!(s.normal(3).to_bits(), 0x3fe3_d41b_bfcd_fd99);
    }
}
