//! Memory of daemons: what is resident, as the kernel tells, and what is allocated, to the byte.

use crate::System;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

impl System {
    fn of_status(&self, name: &str, field: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid(name))).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(field))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// Resident memory of a daemon, bytes; what it shares with others is not counted.
    pub fn memory(&self, name: &str) -> u64 {
        self.of_status(name, "RssAnon:").unwrap()
    }

    /// Resident memory of a daemon, bytes.
    pub fn resident(&self, name: &str) -> u64 {
        self.of_status(name, "VmRSS:").unwrap_or(0)
    }

    /// As [`resident`](Self::resident), less the ring, which several processes share.
    pub fn unshared(&self, name: &str) -> u64 {
        self.resident(name).saturating_sub(self.of_status(name, "RssShmem:").unwrap_or(0))
    }
}

/// Counts what processes that are started with its environment have allocated and not freed. Resident
/// memory tells a leak only once it has used up what the allocator has to spare, and grows without one
/// wherever memory is used for the first time.
pub struct Allocated {
    dir: TempDir,
}

impl Allocated {
    /// Builds the library that counts, with the C compiler by which Rust links, too.
    pub fn build() -> Allocated {
        let dir = tempfile::Builder::new().prefix("ami-allocated").tempdir().unwrap();
        let allocated = Allocated { dir };
        let source = allocated.dir.path().join("allocated.c");
        std::fs::write(&source, include_str!("allocated.c")).unwrap();
        let compiler = std::env::var_os("CC").unwrap_or("cc".into());
        let mut command = Command::new(compiler);
        command.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]);
        assert!(command.arg(allocated.library()).arg(source).status().unwrap().success());
        allocated
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("allocated.so")
    }

    /// The environment of who is counted.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library()), ("AMI_ALLOCATED", self.dir.path().into())]
    }

    /// Bytes of a process.
    pub fn bytes(&self, pid: u32) -> u64 {
        let count = std::fs::read(self.dir.path().join(pid.to_string())).unwrap();
        u64::from_ne_bytes(count.try_into().unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Stdio;

    #[test]
    fn what_a_process_keeps_is_counted() {
        let allocated = Allocated::build();
        // Of a shell that keeps a variable of so many bytes.
        let kept = |bytes: usize| {
            let script = format!("v=$(printf %0{bytes}d 0); echo; read -r _");
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).envs(allocated.environment());
            let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = [0];
            child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
            let bytes = allocated.bytes(child.id());
            drop(child.stdin.take());
            child.wait().unwrap();
            bytes
        };
        let (little, much) = (kept(10), kept(100_010));
        assert!((much - little).abs_diff(100_000) < 20_000, "{little} and {much}");
    }
}
