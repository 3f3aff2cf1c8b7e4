//! Gaps in a stream whose events carry pulse ids. Pure.
//!
//! The server drops silently, and how many pulses lie between two events that it offers is its
//! configuration. So the least distance seen is taken for what is meant, and whatever is missing
//! between two events farther apart is counted.

/// What the pulse ids have shown.
#[derive(Debug, Default)]
pub struct Pulses {
    last: Option<u64>,
    stride: Option<u64>,
}

impl Pulses {
    /// An event of this pulse; how many are missing before it.
    pub fn on(&mut self, pulse: u64) -> u64 {
        let Some(last) = self.last.replace(pulse) else { return 0 };
        let Some(distance) = pulse.checked_sub(last).filter(|d| *d > 0) else { return 0 };
        let stride = self.stride.map_or(distance, |stride| stride.min(distance));
        self.stride = Some(stride);
        distance / stride - 1
    }

    /// No event is missed until the next one: the stream was interrupted on purpose.
    pub fn pause(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_farther_apart_than_the_least_distance_is_a_gap() {
        let mut pulses = Pulses::default();
        let missing: Vec<u64> = [100, 110, 120, 150, 160].map(|p| pulses.on(p)).into();
        assert_eq!(missing, [0, 0, 0, 2, 0]);
        pulses.pause();
        assert_eq!(pulses.on(1000), 0);
        assert_eq!(pulses.on(900), 0, "back is no gap");
        assert_eq!(pulses.on(905), 0, "the least distance is less than was thought");
        assert_eq!(pulses.on(915), 1);
        assert_eq!(pulses.on(u64::MAX), (u64::MAX - 915) / 5 - 1);
    }
}
