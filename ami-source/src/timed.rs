//! A source whose timestamps can be moved, which is what repeating it needs.

use crate::source::Source;

/// A [`Source`] that knows the newest timestamp it gave out and can shift those to come.
///
/// The looped adaptor stands outside `write`, so only the source itself can stamp its events.
pub trait Timed: Source {
    /// Adds `ns` to the timestamps of everything from here on, also in what `before` means for
    /// `write`. False when this source cannot; it can then not be looped.
    fn shift(&mut self, _ns: u64) -> bool {
        false
    }

    /// The greatest timestamp (shift included) of what was taken so far: events written or skipped
    /// and transitions. None before the first, and from a source that cannot shift.
    fn newest(&self) -> Option<u64> {
        None
    }
}
