//! What processes use, as the kernel counts it: processor time and resident memory.

use std::collections::BTreeMap;
use std::path::Path;

/// Processes by the name they have in the run.
pub type Pids = BTreeMap<String, u32>;

/// Processor time so far, ns, of all threads.
pub fn cpu_ns(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let own = |task: std::io::Result<std::fs::DirEntry>| schedstat(&task.ok()?.path());
    tasks.map_or(0, |tasks| tasks.filter_map(own).sum())
}

fn schedstat(task: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Resident memory of its own, bytes: without the ring, which is shared by all.
pub fn resident(pid: u32) -> u64 {
    std::fs::read_to_string(format!("/proc/{pid}/status")).map_or(0, |text| private(&text))
}

fn private(status: &str) -> u64 {
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
    let of = |l: &&str| l.starts_with("RssAnon:") || l.starts_with("RssFile:");
    status.lines().filter(of).filter_map(kib).sum::<u64>() * 1024
}

/// Processor time and greatest memory of a run's processes.
#[derive(Debug, Default)]
pub struct Usage {
    begin: BTreeMap<String, u64>,
    /// Processor time since the beginning, ns.
    pub cpu_ns: BTreeMap<String, u64>,
    /// Greatest resident memory seen, bytes.
    pub resident: BTreeMap<String, u64>,
}

impl Usage {
    /// From here on processor time is counted.
    pub fn begin(&mut self, pids: &Pids) {
        self.begin = pids.iter().map(|(name, pid)| (name.clone(), cpu_ns(*pid))).collect();
    }

    /// Processor time up to now.
    pub fn end(&mut self, pids: &Pids) {
        for (name, pid) in pids {
            let before = self.begin.get(name).copied().unwrap_or(0);
            self.cpu_ns.insert(name.clone(), cpu_ns(*pid).saturating_sub(before));
        }
    }

    /// Looks at the memory now.
    pub fn look(&mut self, pids: &Pids) {
        for (name, pid) in pids {
            let most = self.resident.entry(name.clone()).or_default();
            *most = (*most).max(resident(*pid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = std::process::id();
        assert!(resident(own) > 1 << 20);
        let pids = Pids::from([("own".to_string(), own)]);
        let mut usage = Usage::default();
        usage.begin(&pids);
        let mut x = 0u64;
        while cpu_ns(own) < usage.begin["own"] + 2_000_000 {
            x = std::hint::black_box(x + 1);
        }
        usage.end(&pids);
        usage.look(&pids);
        assert!(usage.cpu_ns["own"] >= 2_000_000 && usage.resident["own"] > 0);
    }

    #[test]
    fn the_ring_is_not_counted() {
        let status = "VmRSS:\t 100 kB\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\nRssShmem:\t 70 kB\n";
        assert_eq!(private(status), 30 * 1024);
    }
}
