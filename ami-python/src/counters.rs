//! What is counted, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counted since the start.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64),* }

        /// What was counted until now.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $name: u64),* }

        impl Counters {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Relaxed)),* }
            }
        }
    };
}

counters! {
    /// Processes started.
    starts,
    /// Processes that ended by themselves, or were killed because of what they took.
    deaths,
    /// Processes killed because an event took too long.
    timeouts,
    /// Events that failed, and merges, finishes and updates.
    failures,
    /// Calls answered.
    calls,
    /// Time for which calls lasted, ns.
    busy_ns,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
