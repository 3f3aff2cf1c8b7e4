//! What the machine offers: limits, shared memory, programs, libraries, clock, cores.

use crate::commands::doctor::{Finding, fail, ok, warn};
use crate::local::processes::binary;
use crate::print::bytes;
use ami_proto::config::Config;
use rustix::process::{Resource, getrlimit};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A daemon needs some ten descriptors per lane, and ZeroMQ two per connection.
const FILES: u64 = 1024;
/// Below this not even a small system starts.
const FEWEST_FILES: u64 = 256;
/// 2024-01-01, s: no clock is older than this release.
const EARLIEST: u64 = 1_704_067_200;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const HUGETLBFS: u64 = 0x9584_58f6;

/// The daemons' programs.
const PROGRAMS: [&str; 5] =
    ["ami-ventilator", "ami-worker", "ami-collector", "ami-manager", "ami-store"];

pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![files(getrlimit(Resource::Nofile).current), cores()];
    findings.extend(shared_memory(config));
    findings.extend(huge_pages(config));
    findings.extend(PROGRAMS.map(program));
    findings.push(zeromq());
    findings.push(clock());
    findings.extend(clock_source(Path::new(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    )));
    findings
}

fn files(limit: Option<u64>) -> Finding {
    let todo = format!("raise it: `ulimit -n {FILES}`, or LimitNOFILE={FILES} in the units");
    match limit {
        None => ok("open files", "no limit"),
        Some(n) if n < FEWEST_FILES => fail("open files", format!("at most {n}"), todo),
        Some(n) if n < FILES => warn("open files", format!("at most {n}"), todo),
        Some(n) => ok("open files", format!("at most {n}")),
    }
}

fn cores() -> Finding {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => warn("cores", "1", "two at least: one takes events while the other computes"),
        n => ok("cores", n.to_string()),
    }
}

fn shared_memory(config: &Config) -> Vec<Finding> {
    let dir = &config.ventilator.ring_dir;
    let what = "ring directory";
    let (Ok(space), Ok(kind)) = (rustix::fs::statvfs(dir), rustix::fs::statfs(dir)) else {
        let found = format!("{} cannot be looked at", dir.display());
        return vec![fail(what, found, "create it, or set ventilator.ring_dir")];
    };
    let (total, free) = (space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize);
    let needed = config.ventilator.ring_bytes as u64;
    let found =
        format!("{}: {} of {} free", dir.display(), bytes(free as f64), bytes(total as f64));
    let room = format!(
        "the ring takes {}: lower ventilator.ring_bytes, or mount {} larger (docker: --shm-size)",
        bytes(needed as f64),
        dir.display()
    );
    let mut findings = Vec::new();
    // A tmpfs without limit says 0 of 0.
    findings.push(match total {
        0 => ok(what, format!("{}: no limit", dir.display())),
        total if total < needed => fail(what, found, room),
        _ if free < needed => warn(what, found, room),
        _ => ok(what, found),
    });
    if ![TMPFS, RAMFS, HUGETLBFS].contains(&(kind.f_type as u64)) {
        let found = format!("{} is not in memory", dir.display());
        findings.push(warn(what, found, "set ventilator.ring_dir to a tmpfs such as /dev/shm"));
    }
    if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_err() {
        let found = format!("{} may not be written", dir.display());
        findings.push(fail(what, found, "give this user the right, or set ventilator.ring_dir"));
    }
    findings
}

fn huge_pages(config: &Config) -> Option<Finding> {
    let dir = &config.ventilator.ring_dir;
    // What is wrong with the directory is said above.
    if !config.ventilator.huge_pages || !dir.is_dir() {
        return None;
    }
    let what = "huge pages";
    Some(match ami_shm::try_huge_page(dir) {
        Ok(()) => ok(what, format!("for rings in {}", dir.display())),
        Err(error) => {
            let found = format!("none for rings in {}, which is slower ({error})", dir.display());
            let todo = "needs Linux 6.1, a tmpfs, and no \"deny\" in \
                        /sys/kernel/mm/transparent_hugepage/shmem_enabled; or set ventilator.huge_pages = false";
            warn(what, found, todo)
        }
    })
}

fn program(name: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let path = match binary(name) {
        Ok(path) => path,
        Err(failure) => return fail(name, failure.refusal.error, failure.refusal.hint),
    };
    let output = Command::new(&path).arg("--version").output();
    let text =
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).unwrap_or_default();
    let found =
        format!("{} ({})", if text.is_empty() { "no version" } else { &text }, path.display());
    match text.rsplit(' ').next() {
        Some(version) if version == own => ok(name, found),
        _ => fail(name, found, format!("install the same release everywhere: ami-ctl is {own}")),
    }
}

fn zeromq() -> Finding {
    let (major, minor, patch) = zmq::version();
    let version = format!("libzmq {major}.{minor}.{patch}");
    if (major, minor) < (4, 2) {
        return fail("ZeroMQ", version, "install libzmq 4.2 or newer");
    }
    match zmq::has("curve") {
        Some(true) => ok("ZeroMQ", format!("{version} with CURVE")),
        _ => warn(
            "ZeroMQ",
            format!("{version} without CURVE"),
            "keep to ipc and trusted networks, or install one with it",
        ),
    }
}

fn clock() -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if now < EARLIEST {
        return fail(
            "clock",
            format!("{now} s since 1970"),
            "set the clock; run chrony or systemd-timesyncd",
        );
    }
    ok("clock", format!("{now} s since 1970"))
}

fn clock_source(path: &Path) -> Option<Finding> {
    let source = std::fs::read_to_string(path).ok()?;
    let source = source.trim();
    let slow = ["hpet", "acpi_pm", "jiffies", "refined-jiffies"].contains(&source);
    let todo = "reading it is a slow system call: boot with a tsc or paravirtual clock";
    Some(if slow { warn("clock source", source, todo) } else { ok("clock source", source) })
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn limits_are_graded() {
        assert_eq!(files(Some(100)).grade, Grade::Fail);
        assert_eq!(files(Some(1000)).grade, Grade::Warn);
        assert_eq!(files(Some(1024)).grade, Grade::Ok);
        assert_eq!(files(None).grade, Grade::Ok);
    }

    #[test]
    fn a_ring_that_cannot_fit_fails() {
        let grades = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(ToString::to_string).collect();
            let config = Config::load(None, &set).unwrap();
            shared_memory(&config).iter().map(|f| f.grade).collect::<Vec<_>>()
        };
        assert!(grades(&["ventilator.ring_bytes=4611686018427387904"]).contains(&Grade::Fail));
        assert_eq!(grades(&["ventilator.ring_dir=/nonexistent"]), [Grade::Fail]);
        assert!(grades(&["ventilator.ring_dir=/proc"]).contains(&Grade::Warn));
    }
}
