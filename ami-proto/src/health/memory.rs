//! What a daemon takes of its memory: looked at every second, told before the kernel acts.
//!
//! The ring is shared by a host's processes and has its own bound (`ventilator.ring_bytes`); what
//! counts here is what a process has for itself.

use crate::health::metrics::Metrics;

/// Above this share of its memory a daemon warns.
const HIGH: f64 = 0.9;
/// Below this share it is at ease again.
const LOW: f64 = 0.85;

/// The environment in which daemons are started: glibc's allocator keeps up to 128 MiB of freed memory
/// at a heap's end, and takes blocks below 32 MiB (the most that glibc 2.34 and older accept) from a heap.
/// Without it each image of some MiB is memory that the kernel takes back and clears again for the next
/// heartbeat. Read by the allocator before `main`, so that who starts a daemon has to set it.
pub const KEEP_FREED: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=134217728",
);

/// A daemon's account.
#[derive(Debug)]
pub struct Memory {
    max: u64,
    used: u64,
    short: bool,
}

impl Memory {
    /// With at most so many bytes.
    pub const fn new(max: u64) -> Memory {
        Memory { max, used: 0, short: false }
    }

    /// True when more than nine tenths are used: time to let go of what can be had again.
    pub const fn is_short(&self) -> bool {
        self.short
    }

    /// Measures, publishes, and warns when it begins to be short.
    pub fn look(&mut self, metrics: &Metrics) {
        let Some(used) = own_bytes() else { return };
        metrics.set("ami_resident_bytes", used as f64);
        metrics.set("ami_memory_max_bytes", self.max as f64);
        match self.take(used) {
            Some(true) => tracing::warn!(
                used,
                max = self.max,
                "memory is short: use smaller regions or shorter windows, or raise memory_max"
            ),
            Some(false) => tracing::info!(used, max = self.max, "memory is at ease again"),
            None => {}
        }
    }

    /// Whether it is short from now on, where that changes.
    fn take(&mut self, used: u64) -> Option<bool> {
        self.used = used;
        let share = used as f64 / self.max.max(1) as f64;
        let short = share > if self.short { LOW } else { HIGH };
        (std::mem::replace(&mut self.short, short) != short).then_some(short)
    }
}

/// Bytes of this process that no other shares; None where the kernel does not tell.
fn own_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_once_and_at_ease_once() {
        let mut memory = Memory::new(100);
        let told: Vec<Option<bool>> =
            [50, 90, 91, 95, 88, 85, 91].map(|used| memory.take(used)).to_vec();
        assert_eq!(told, [None, None, Some(true), None, None, Some(false), Some(true)]);
    }

    #[test]
    fn the_units_say_what_memory_is_kept() {
        let (name, value) = KEEP_FREED;
        let line = format!("Environment={name}={value}");
        let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd");
        let mut services = 0;
        for entry in std::fs::read_dir(units).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "service") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.lines().any(|l| l == line), "{}: no line {line}", path.display());
                services += 1;
            }
        }
        assert_eq!(services, 6);
    }

    #[test]
    fn a_process_knows_its_own() {
        let before = own_bytes().unwrap();
        let block = vec![1u8; 64 << 20];
        assert!(own_bytes().unwrap() > before + (48 << 20), "{}", block.len());
    }
}
