//! A file in memory, at an address where huge pages can be entered into the page table.
//!
//! With pages of 4 KiB a ring of 4 GiB is a million entries in the page table of every process, and
//! each event passes some hundred that the processor has forgotten. Huge pages need the file's
//! memory in such pieces ([`gather`]), and a mapping that starts at a multiple of one, which the
//! kernel does not choose by itself on a tmpfs.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use libc::c_void;
use rustix::fs::{Mode, OFlags};

/// What a huge page has on x86-64, and on ARM with pages of 4 KiB; where it has more, the ring lies
/// in pages of the usual size.
const HUGE: usize = 2 << 20;
/// So much is gathered at a time.
const PIECE: usize = 8 * HUGE;
const COLLAPSE_TRIES: u32 = 4;
/// Nearly three times what zeroing takes where memory is at hand, half of what as many usual pages
/// take. A virtual machine that has given its unused memory back to the host gets it again ten
/// times as slowly.
const LONGEST_PER_GIB: Duration = Duration::from_millis(250);
const GIB: f64 = (1u64 << 30) as f64;

/// Bytes of a file from its first one on, shared with everybody who maps it.
#[derive(Debug)]
pub(crate) struct Region {
    start: *mut u8,
    /// Whole pages.
    len: usize,
}

// SAFETY: a region is a range of addresses that stays mapped until it is dropped; it holds nothing
// that belongs to a thread. Who may read and write the bytes is the business of `Mapping`.
unsafe impl Send for Region {}
// SAFETY: as above; its methods give out addresses and ask the kernel, both at any time.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` bytes; the file must have as many.
    pub(crate) fn map(file: &File, len: usize, writable: bool) -> io::Result<Region> {
        let len = len.checked_next_multiple_of(rustix::param::page_size());
        let rounded = |len: usize| len.checked_next_multiple_of(HUGE)?.checked_add(HUGE);
        let (len, reserved) = len
            .and_then(|len| Some((len, rounded(len)?)))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let protection = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        let nothing = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new range wherever there is room replaces nobody's memory. It is not to be
        // accessed; it only keeps the addresses.
        let room =
            unsafe { libc::mmap(std::ptr::null_mut(), reserved, libc::PROT_NONE, nothing, -1, 0) };
        if room == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let before = (room as usize).next_multiple_of(HUGE) - room as usize;
        let start = room.wrapping_byte_add(before);
        let fixed = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: `before` is less than HUGE, so the range lies inside the one just reserved, which
        // nobody else knows of; replacing that part of it takes nobody's memory. That is so also
        // where the kernel rounds the length up to huge pages, as it does on a hugetlbfs.
        let mapped = unsafe { libc::mmap(start, len, protection, fixed, file.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED {
            let error = io::Error::last_os_error();
            // SAFETY: what was reserved above, and is used by nobody.
            unsafe { unmap(room, reserved) };
            return Err(error);
        }
        // SAFETY: what lies before and behind the mapping in the reserved range, used by nobody.
        unsafe {
            unmap(room, before);
            unmap(start.wrapping_byte_add(len), reserved - before - len);
        }
        Ok(Region { start: start.cast(), len })
    }

    /// Of the first byte.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start
    }

    /// Of the first byte, for those who may write.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start
    }

    /// Enters the pages of a range into the page table, as if all were read; since Linux 5.14.
    pub(crate) fn populate_read(&self, at: usize, len: usize) -> io::Result<()> {
        self.advise(libc::MADV_POPULATE_READ, at, len)
    }

    /// Enters all pages into the page table, as if all were written; since Linux 5.14.
    pub(crate) fn populate_write(&self) -> io::Result<()> {
        self.advise(libc::MADV_POPULATE_WRITE, 0, self.len)
    }

    /// One of the advices that change no byte.
    fn advise(&self, advice: libc::c_int, at: usize, len: usize) -> io::Result<()> {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "{len} bytes at {at}");
        let start = self.start.wrapping_add(at).cast();
        // SAFETY: the range lies inside the mapping, as just checked; the advices of the three
        // callers enter pages or move bytes to others, and leave what everybody reads as it is.
        match unsafe { libc::madvise(start, len, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping of this value, to which no reference is left: what `Mapping` lends
        // lives no longer than its region.
        unsafe { unmap(self.start.cast(), self.len) };
    }
}

/// Gives addresses back.
///
/// # Safety
/// They are a mapping of the caller's, and nobody uses them any more.
unsafe fn unmap(start: *mut c_void, len: usize) {
    if len > 0 {
        // SAFETY: the caller's promise. Best effort: what cannot be given back stays reserved.
        let _ = unsafe { libc::munmap(start, len) };
    }
}

/// Makes the file's memory of huge pages, as far as they go into `len` and as long as that does not take
/// longer than usual pages would; what is left is a hole. The file must be new and empty, and of
/// that length. Since Linux 6.1; unlike what happens by itself it needs no permission by the mount or in
/// /sys.
///
/// # Errors
///
/// When the kernel has none, or not enough.
pub(crate) fn gather(file: &File, len: usize) -> io::Result<()> {
    let whole = len - len % HUGE;
    if whole == 0 {
        return Ok(());
    }
    let region = Region::map(file, len, true)?;
    let (begun, most) = (Instant::now(), LONGEST_PER_GIB.mul_f64(whole as f64 / GIB));
    for piece in (0..whole).step_by(PIECE) {
        if begun.elapsed() > most {
            break;
        }
        let end = whole.min(piece + PIECE);
        for at in (piece..end).step_by(HUGE) {
            // The kernel gathers what is there; where nothing is it does nothing.
            file.write_all_at(&[0], at as u64)?;
        }
        collapse(&region, piece, end - piece)?;
    }
    Ok(())
}

/// A page may be in somebody's hands just now, such as the kernel's lists: it is asked for again. If it
/// stays there it keeps its size; the next pieces need not be like this one.
fn collapse(region: &Region, at: usize, len: usize) -> io::Result<()> {
    let busy = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    (0..COLLAPSE_TRIES)
        .map(|_| region.advise(libc::MADV_COLLAPSE, at, len))
        .find(|result| !result.as_ref().is_err_and(busy))
        .unwrap_or(Ok(()))
}

/// Whether a ring in this directory would have huge pages: tries one.
///
/// # Errors
///
/// The kernel's reason, such as `InvalidInput` before Linux 6.1 or on file systems that are not in
/// memory.
pub fn try_huge_page(directory: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?);
    file.set_len(HUGE as u64)?;
    gather(&file, HUGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn file(len: usize) -> File {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(len as u64).unwrap();
        file
    }

    #[test]
    fn a_region_starts_at_a_multiple_of_a_huge_page_and_shares_the_files_bytes() {
        let len = HUGE + 12345;
        let file = file(len);
        let (mut written, read) =
            (Region::map(&file, len, true).unwrap(), Region::map(&file, len, false).unwrap());
        for region in [&written, &read] {
            assert_eq!(region.as_ptr() as usize % HUGE, 0);
        }
        // SAFETY: inside the mapping, and this test is the only one who has the file.
        unsafe { written.as_mut_ptr().add(len - 1).write(7) };
        // SAFETY: as above.
        assert_eq!(unsafe { read.as_ptr().add(len - 1).read() }, 7);
    }

    #[test]
    fn a_region_gives_all_its_addresses_back() {
        let (len, maps) = (3 * HUGE, || std::fs::read_to_string("/proc/self/maps").unwrap());
        let file = file(len);
        let region = Region::map(&file, len, true).unwrap();
        let start = format!("{:x}-", region.as_ptr() as usize);
        let end = format!("{:x}-{:x}", region.as_ptr() as usize, region.as_ptr() as usize + len);
        assert!(maps().contains(&end), "{end} in {}", maps());
        drop(region);
        assert!(!maps().contains(&start) || !maps().contains(&end));
    }

    #[test]
    fn memory_is_gathered_where_the_kernel_does_so() {
        let directory = Path::new("/dev/shm");
        if let Err(error) = try_huge_page(directory) {
            eprintln!("skipped: no huge pages in {}: {error}", directory.display());
            return;
        }
        let len = 2 * HUGE + 4096;
        let file = file(len);
        gather(&file, len).unwrap();
        assert_eq!(file.metadata().unwrap().blocks() * 512, 2 * HUGE as u64);
        let region = Region::map(&file, len, false).unwrap();
        region.populate_read(0, 2 * HUGE).unwrap();
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let ours = format!("{:x}-", region.as_ptr() as usize);
        let ours = smaps.split_once(&ours).unwrap().1;
        let huge = ours.lines().find(|line| line.starts_with("ShmemPmdMapped:")).unwrap();
        assert!(huge.contains(" 4096 kB"), "{huge}");
    }

    #[test]
    fn a_file_shorter_than_a_huge_page_and_a_length_that_no_machine_has() {
        let small = file(4096);
        gather(&small, 4096).unwrap();
        assert!(Region::map(&small, 4096, false).is_ok());
        assert!(Region::map(&small, usize::MAX - 5000, false).is_err());
        assert!(Region::map(&small, usize::MAX, false).is_err());
    }
}
