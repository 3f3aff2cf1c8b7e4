//! What runs in directories of their own leave behind when they are killed: nobody can take over
//! their rings, since nobody gets such a directory again.

use std::path::Path;

/// A name for the instance that no other run directory has, and that this one has again: so
/// the rings of a killed run are found and removed by the next.
pub fn instance(run_dir: &Path) -> String {
    let bytes = run_dir.as_os_str().as_encoded_bytes();
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("local-{hash:016x}")
}

/// Removes the rings of the runs in a directory that was made for one run only. A ring whose writer
/// lives stays, and so does one that may not be removed: the next run tries again.
pub fn remove_rings(run_dir: &Path, ring_dir: &Path) {
    // The instance was named after the directory's true path.
    let Ok(run_dir) = run_dir.canonicalize() else { return };
    let prefix = format!("ami-{}-", instance(&run_dir));
    for ring in ami_shm::leftovers(ring_dir, &prefix).unwrap_or_default() {
        let _ = ring.remove();
    }
}

/// Removes the rings of runs whose process is gone. Their directories are called `ami-PID-…` and
/// `ami-bench-PID`; they stay where they are, with the logs of what went wrong.
pub fn sweep(parent: &Path, ring_dir: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if pid_of(&entry.file_name().to_string_lossy()).is_some_and(|pid| !lives(pid)) {
            remove_rings(&entry.path(), ring_dir);
        }
    }
}

fn pid_of(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("ami-")?;
    match rest.strip_prefix("bench-") {
        Some(pid) => pid.parse().ok(),
        None => {
            let (pid, number) = rest.split_once('-')?;
            number.parse::<u32>().ok()?;
            pid.parse().ok()
        }
    }
}

fn lives(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ami_shm::{RingConfig, RingWriter};

    #[test]
    fn what_the_dead_left_goes_and_what_lives_stays() {
        let (parent, rings) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = std::process::id();
        // No process has this number: the largest that Linux gives is 4194304.
        let [dead, bench] = ["ami-4194305-0", "ami-bench-4194305"];
        let living = format!("ami-{own}-0");
        let others = ["ami-4194305-x", "ami-notes", "other-4194305-0"];
        let config = RingConfig { capacity: 1 << 20, ..RingConfig::default() };
        let mut kept = Vec::new();
        let ring_of = |name: &str| {
            let instance = instance(&parent.path().canonicalize().unwrap().join(name));
            rings.path().join(format!("ami-{instance}-host-1.ring"))
        };
        for name in [dead, bench, &living].into_iter().chain(others) {
            let dir = parent.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let writer = RingWriter::create(&ring_of(name), 1, &config).unwrap();
            if name == living { kept.push(writer) } else { drop(writer) }
        }
        sweep(parent.path(), rings.path());
        let left = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
        assert_eq!((left(parent.path()), left(rings.path())), (6, 4));
        for name in [&living[..]].into_iter().chain(others) {
            assert!(ring_of(name).exists(), "{name}");
        }
    }
}
