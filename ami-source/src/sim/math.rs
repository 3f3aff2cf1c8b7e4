//! exp and erf from plain arithmetic.
//!
//! The libm of one machine differs from another's in the last digit; simulated data must not.

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 in two parts: the first has few digits, so that `k * LN2_HIGH` is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x to about 1e-15, relative.
pub fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let k = (x * LOG2_E + 0.5f64.copysign(x)) as i64;
    let r = x - k as f64 * LN2_HIGH - k as f64 * LN2_LOW;
    let mut sum = 1.0;
    for n in (1..=14).rev() {
        sum = 1.0 + sum * r / f64::from(n);
    }
    sum * f64::from_bits(((1023 + k) as u64) << 52)
}

/// The error function to 1.5e-7 (Abramowitz and Stegun 7.1.26).
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a > 6.0 {
        return 1.0f64.copysign(x);
    }
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let c = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let poly = c.iter().fold(0.0, |sum, c| (sum + c) * t);
    (1.0 - poly * exp(-a * a)).copysign(x)
}

/// A step of height 1 at 0, smeared by a Gaussian of this sigma.
pub fn step(x: f64, sigma: f64) -> f64 {
    0.5 * (1.0 + erf(x / (sigma * std::f64::consts::SQRT_2)))
}

/// A Gaussian of height 1.
pub fn bell(x: f64, sigma: f64) -> f64 {
    exp(-0.5 * (x / sigma) * (x / sigma))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_true_functions() {
        for n in -600..600 {
            let x = f64::from(n) * 0.37;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "exp({x})");
        }
        assert_eq!((exp(-1e9), exp(0.0)), (0.0, 1.0));
        for (x, y) in [(0.0, 0.0), (0.5, 0.520_499_878), (-1.0, -0.842_700_793), (9.0, 1.0)] {
            assert!((erf(x) - y).abs() < 2e-7, "erf({x}) = {}", erf(x));
        }
        assert!((step(0.0, 1.0) - 0.5).abs() < 2e-7);
    }
}
