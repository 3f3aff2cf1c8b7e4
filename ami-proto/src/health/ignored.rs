//! Messages that nobody here understands: counted, and said ever more seldom, so that a flood of them
//! does not fill the disk.

use std::fmt::Display;

/// See the module's documentation.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ignored(u64);

impl Ignored {
    /// One more, with where it came and why it was ignored.
    pub fn note(&mut self, place: &str, reason: impl Display) {
        self.0 += 1;
        if self.0.is_power_of_two() {
            tracing::warn!(%reason, total = self.0, "message to {place} ignored");
        }
    }

    /// How many so far.
    pub const fn total(&self) -> u64 {
        self.0
    }
}
