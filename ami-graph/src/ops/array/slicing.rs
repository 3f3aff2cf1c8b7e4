//! numpy's basic slicing of one array: `10:20`, `::2`, `-5:`, a single index, `...`

use crate::data::reused_lists::Few;
use crate::error::Fault;

/// What is taken of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// `start:stop:step`, each as written.
    Range(Option<i64>, Option<i64>, i64),
    /// One index; the axis goes away.
    Index(i64),
    /// `...`: all axes not named otherwise.
    Rest,
}

/// What is taken of one axis of known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First element.
    pub start: i64,
    /// Elements between two that are taken; negative backwards.
    pub step: i64,
    /// Elements taken.
    pub count: usize,
    /// False when the axis goes away.
    pub kept: bool,
}

impl Run {
    /// Half-open bounds of the elements taken, in the axis.
    pub fn bounds(&self) -> [i64; 2] {
        if self.count == 0 {
            return [self.start.max(0), self.start.max(0)];
        }
        let last = self.start + self.step * (self.count as i64 - 1);
        [self.start.min(last), self.start.max(last) + 1]
    }
}

impl Cut {
    /// From text as numpy has it between brackets.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Cut, Fault> {
        let bad = |reason: &str| {
            let hint = "write \"start:stop\", \"start:stop:step\", \":\", an index or \"...\"";
            Fault::of("slices", format!("{text:?} {reason}"), hint)
        };
        if text.trim() == "..." {
            return Ok(Cut::Rest);
        }
        let number = |part: &str| match part.trim() {
            "" => Ok(None),
            part => part.parse::<i64>().map(Some).map_err(|_| bad("is not a slice")),
        };
        let parts = text.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
        match parts.as_slice() {
            [Some(index)] => Ok(Cut::Index(*index)),
            [start, stop] => Ok(Cut::Range(*start, *stop, 1)),
            [_, _, Some(0)] => Err(bad("has step 0")),
            [start, stop, step] => Ok(Cut::Range(*start, *stop, step.unwrap_or(1))),
            _ => Err(bad("is not a slice")),
        }
    }

    /// On an axis of this length, as numpy: bounds beyond it are cut off.
    ///
    /// # Errors
    /// An index beyond the axis.
    pub fn on(self, length: usize) -> Result<Run, String> {
        let n = i64::try_from(length).unwrap_or(i64::MAX);
        match self {
            Cut::Rest => Ok(Run { start: 0, step: 1, count: length, kept: true }),
            Cut::Index(index) => {
                let start = if index < 0 { index.saturating_add(n) } else { index };
                if !(0..n).contains(&start) {
                    return Err(format!("index {index} is out of range for an axis of {length}"));
                }
                Ok(Run { start, step: 1, count: 1, kept: false })
            }
            Cut::Range(start, stop, step) => {
                let wrap = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
                let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
                let place =
                    |i: Option<i64>, default| i.map_or(default, |i| wrap(i).clamp(low, high));
                let (first, end) = if step > 0 { (low, high) } else { (high, low) };
                let (start, stop) = (place(start, first), place(stop, end));
                let span = if step > 0 { stop - start } else { start - stop };
                let count = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
                Ok(Run { start, step, count, kept: true })
            }
        }
    }

    /// What of it lies beyond an axis of this length; numpy would silently cut it off.
    pub fn beyond(self, length: usize) -> Option<i64> {
        let n = i64::try_from(length).unwrap_or(i64::MAX);
        match self {
            Cut::Rest => None,
            Cut::Index(i) => Some(i).filter(|i| !(-n..n).contains(i)),
            Cut::Range(start, stop, _) => {
                [start, stop].into_iter().flatten().find(|i| !(-n..=n).contains(i))
            }
        }
    }
}

/// The runs of all axes of an array.
///
/// # Errors
/// More cuts than axes, or an index beyond its axis.
pub fn runs(cuts: &[Cut], shape: &[usize]) -> Result<Few<Run>, String> {
    cuts_by_axis(cuts, shape.len())?.into_iter().zip(shape).map(|(cut, &n)| cut.on(n)).collect()
}

/// One cut per axis: the rest filled up.
///
/// # Errors
/// More cuts than axes.
pub fn cuts_by_axis(cuts: &[Cut], rank: usize) -> Result<Few<Cut>, String> {
    let named = cuts.iter().filter(|cut| **cut != Cut::Rest).count();
    if named > rank {
        return Err(format!("{named} slices for an input of {rank} axes"));
    }
    let mut all = Few::new();
    let mut filled = false;
    for cut in cuts {
        match cut {
            Cut::Rest if filled => {}
            Cut::Rest => {
                all.extend(std::iter::repeat_n(Cut::Rest, rank - named));
                filled = true;
            }
            cut => all.push(*cut),
        }
    }
    all.resize(rank, Cut::Rest);
    Ok(all)
}

/// Copies the elements taken, in C order.
pub fn copy(size: usize, shape: &[usize], runs: &[Run], from: &[u8], to: &mut [u8]) {
    let Some((run, rest)) = runs.split_first() else {
        to.copy_from_slice(&from[..size]);
        return;
    };
    let inner: usize = shape[1..].iter().product::<usize>() * size;
    if rest.is_empty() && run.step == 1 {
        let start = run.start.max(0) as usize * size;
        to.copy_from_slice(&from[start..start + run.count * size]);
        return;
    }
    let each = to.len() / run.count.max(1);
    if each == 0 {
        return;
    }
    for (k, to) in to.chunks_exact_mut(each).enumerate() {
        let at = (run.start + k as i64 * run.step) as usize * inner;
        copy(size, &shape[1..], rest, &from[at..at + inner], to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_steps_as_numpy() {
        let taken = |text: &str, n: usize| {
            let run = Cut::parse(text).unwrap().on(n).unwrap();
            (0..run.count as i64).map(|k| run.start + k * run.step).collect::<Vec<_>>()
        };
        assert_eq!(taken("2:5", 10), [2, 3, 4]);
        assert_eq!(taken("-3:", 10), [7, 8, 9]);
        assert_eq!(taken("::-4", 10), [9, 5, 1]);
        assert_eq!(taken("8:2:-3", 10), [8, 5]);
        assert_eq!(taken("5:100", 7), [5, 6]);
        assert_eq!(taken("-100:2", 7), [0, 1]);
        assert_eq!(taken("4:2", 7), [0i64; 0]);
        assert_eq!(taken("::3", 0), [0i64; 0]);
        assert_eq!(taken("-1::-1", 3), [2, 1, 0]);
        assert_eq!(Cut::parse("-2").unwrap().on(5).unwrap().start, 3);
        assert!(Cut::parse("5").unwrap().on(5).is_err());
        for bad in ["", "a", "1:2:0", "1:2:3:4", "1.5:2"] {
            assert!(Cut::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn copies_in_c_order() {
        let from: Vec<u8> = (0..24).collect();
        let cuts = [Cut::parse("1").unwrap(), Cut::Rest, Cut::parse("::-2").unwrap()];
        let shape = [2, 3, 4];
        let runs = runs(&cuts, &shape).unwrap();
        let mut to = [0; 6];
        copy(1, &shape, &runs, &from, &mut to);
        assert_eq!(to, [15, 13, 19, 17, 23, 21]);
    }
}
