//! Which frames of a series did not come, from their numbers.

use std::collections::BTreeMap;

/// Gaps that are remembered; of what lies in older ones it is not known whether it came late.
const GAPS: usize = 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The next, or one beyond.
    New,
    /// It had been counted as missing.
    Late,
    /// It had come before.
    Repeated,
}

/// The frames of one series.
#[derive(Debug, Default)]
pub struct Frames {
    /// The frame after the newest; None before the first.
    next: Option<u64>,
    /// First of a gap, and what follows it.
    gaps: BTreeMap<u64, u64>,
    /// Frames that are missing.
    missing: u64,
}

impl Frames {
    /// Of a series that is seen from its beginning: its first frame is 0.
    pub fn from_the_beginning() -> Frames {
        Frames { next: Some(0), ..Frames::default() }
    }

    /// A frame came.
    pub fn on(&mut self, frame: u64) -> Frame {
        let next = self.next.unwrap_or(frame);
        if frame >= next {
            if frame > next {
                self.gap(next, frame);
                self.missing += frame - next;
            }
            self.next = Some(frame.saturating_add(1));
            return Frame::New;
        }
        let gap = self.gaps.range(..=frame).next_back().map(|(a, b)| (*a, *b));
        let Some((first, end)) = gap.filter(|(_, end)| frame < *end) else {
            return Frame::Repeated;
        };
        self.gaps.remove(&first);
        if first < frame {
            self.gap(first, frame);
        }
        if frame + 1 < end {
            self.gap(frame + 1, end);
        }
        self.missing -= 1;
        Frame::Late
    }

    fn gap(&mut self, first: u64, end: u64) {
        self.gaps.insert(first, end);
        if self.gaps.len() > GAPS {
            self.gaps.pop_first();
        }
    }

    /// Frames between the first and the newest that did not come.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn gaps_are_counted_and_filled() {
        let mut frames = Frames::default();
        let on = |frames: &mut Frames, list: &[u64]| list.iter().map(|f| frames.on(*f)).collect();
        let seen: Vec<Frame> = on(&mut frames, &[5, 6, 10, 8, 8, 5, 11, 4]);
        use Frame::{Late, New, Repeated};
        assert_eq!(seen, [New, New, New, Late, Repeated, Repeated, New, Repeated]);
        assert_eq!(frames.missing(), 2);
        let mut whole = Frames::from_the_beginning();
        whole.on(3);
        assert_eq!(whole.missing(), 3);
        whole.on(u64::MAX);
        whole.on(u64::MAX);
    }

    proptest! {
        #[test]
        fn as_a_set_would_count(list in proptest::collection::vec(0u64..60, 1..80)) {
            let mut frames = Frames::from_the_beginning();
            let mut set = BTreeSet::new();
            for frame in list {
                let before = set.last().copied();
                let expected = match set.insert(frame) {
                    false => Frame::Repeated,
                    true if before.is_none_or(|newest| frame > newest) => Frame::New,
                    true => Frame::Late,
                };
                prop_assert_eq!(frames.on(frame), expected);
            }
            let newest = set.last().copied().unwrap();
            prop_assert_eq!(frames.missing(), newest + 1 - set.len() as u64);
        }
    }
}
