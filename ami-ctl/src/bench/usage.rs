//! What processes use, as the kernel counts it: processor time and resident memory.

use std::collections::BTreeMap;

/// Processes by the name they have in the run.
pub type Pids = BTreeMap<String, u32>;

/// Processor time so far, ns, of all threads, those that have ended included; in steps of a clock tick.
pub fn cpu_ns(pid: u32) -> u64 {
    let ticks = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(0, |text| ticks(&text));
    ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// Clock ticks in user and kernel mode: fields 14 and 15 of `proc_pid_stat(5)`. The second field, the
/// command in parentheses, may hold anything.
fn ticks(stat: &str) -> u64 {
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
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

/// Processor time of the machine in ticks: what its host gave to others, and all.
type Machine = (u64, u64);

fn machine() -> Machine {
    std::fs::read_to_string("/proc/stat").map_or((0, 0), |text| stolen(&text))
}

/// The eighth number of the first line of `proc_stat(5)`, and the sum of the eight.
fn stolen(stat: &str) -> Machine {
    let all = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let ticks: Vec<u64> = all.map_while(|n| n.parse().ok()).collect();
    (ticks.get(7).copied().unwrap_or(0), ticks.iter().sum())
}

/// Processor time and greatest memory of a run's processes.
#[derive(Debug, Default)]
pub struct Usage {
    begin: BTreeMap<String, u64>,
    machine: Machine,
    /// Part of the processors' time that a virtual machine wanted and its host gave to others.
    pub stolen: f64,
    /// Processor time since the beginning, ns.
    pub cpu_ns: BTreeMap<String, u64>,
    /// Greatest resident memory seen, bytes.
    pub resident: BTreeMap<String, u64>,
}

impl Usage {
    /// From here on processor time is counted.
    pub fn begin(&mut self, pids: &Pids) {
        self.machine = machine();
        self.begin = pids.iter().map(|(name, pid)| (name.clone(), cpu_ns(*pid))).collect();
    }

    /// Processor time up to now.
    pub fn end(&mut self, pids: &Pids) {
        let (stolen, all) = machine();
        let since = |now: u64, before: u64| now.saturating_sub(before) as f64;
        self.stolen = since(stolen, self.machine.0) / since(all, self.machine.1).max(1.0);
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
        while cpu_ns(own) < usage.begin["own"] + 20_000_000 {
            x = std::hint::black_box(x + 1);
        }
        usage.end(&pids);
        usage.look(&pids);
        assert!(usage.cpu_ns["own"] >= 20_000_000 && usage.resident["own"] > 0);
    }

    /// The time of threads that ended must not vanish: a sum over the living ones can even fall.
    #[test]
    fn the_time_of_ended_threads_is_kept() {
        let own = std::process::id();
        let begin = cpu_ns(own);
        let work = move || while cpu_ns(own) < begin + 50_000_000 {};
        std::thread::spawn(work).join().unwrap();
        assert!(cpu_ns(own) >= begin + 50_000_000);
    }

    #[test]
    fn a_command_with_blanks_and_parentheses_is_no_obstacle() {
        let stat = "7 (a) b (c)) R 1 7 7 0 -1 4194304 90 0 0 0 12 30 5 6 20 0 1 0";
        assert_eq!((ticks(stat), ticks("nonsense")), (42, 0));
    }

    #[test]
    fn what_the_host_gave_to_others_is_the_eighth_number() {
        let stat = "cpu  10 0 20 50 1 2 3 14 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!((stolen(stat), stolen("")), ((14, 100), (0, 0)));
        assert_eq!(stolen("cpu  1 2 3"), (0, 6), "an old kernel");
    }

    #[test]
    fn the_ring_is_not_counted() {
        let status = "VmRSS:\t 100 kB\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\nRssShmem:\t 70 kB\n";
        assert_eq!(private(status), 30 * 1024);
    }
}
