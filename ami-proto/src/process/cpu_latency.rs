//! How long a processor may take to wake up: the kernel's `/dev/cpu_dma_latency`.
//!
//! A result passes some fifteen threads, each of which is woken by the one before. A processor that
//! sleeps deeply, or a virtual one that was handed back to its host, takes tens of microseconds to
//! wake up. The kernel holds to the least time that any process asks for, as long as this process
//! keeps the file open.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Where the kernel takes such wishes.
const DEVICE: &str = "/dev/cpu_dma_latency";

/// Asks for this latency, µs, until the file is dropped. None when nothing is to be asked (below 0),
/// and with a warning when the machine does not let us: the daemon works without, only later.
pub fn hold(latency_us: i32) -> Option<File> {
    if latency_us < 0 {
        return None;
    }
    match ask(Path::new(DEVICE), latency_us) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(
                latency_us,
                "instance.cpu_latency_us: {DEVICE}: {error}: processors sleep as they are set to; give \
                 this user write access to it (docs/operations-guide.md, \"Latency\")"
            );
            None
        }
    }
}

/// The kernel takes a signed integer of 32 bits in the machine's byte order.
fn ask(device: &Path, latency_us: i32) -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(device)?;
    file.write_all(&latency_us.to_ne_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_written_as_the_kernel_reads_it() {
        let device = tempfile::NamedTempFile::new().unwrap();
        ask(device.path(), 20).unwrap();
        assert_eq!(std::fs::read(device.path()).unwrap(), 20i32.to_ne_bytes());
    }

    #[test]
    fn without_a_wish_or_a_device_nothing_is_held() {
        assert!(hold(-1).is_none());
        let gone = tempfile::tempdir().unwrap().path().join("gone");
        assert_eq!(ask(&gone, 0).unwrap_err().kind(), std::io::ErrorKind::NotFound);
        assert!(!gone.exists(), "a device is not made");
    }
}
