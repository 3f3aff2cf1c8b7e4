//! One process: the ring against a model, and what is said about files that are not good rings.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::collections::VecDeque;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ami_shm::{COUNTERS, LaneState, RingConfig, RingError, RingReader, RingWriter, leftovers};
use proptest::prelude::*;

/// A directory in shared memory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let shm = PathBuf::from("/dev/shm");
        let base = if shm.is_dir() { shm } else { std::env::temp_dir() };
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("ami-shm-ring-{}-{n}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Dir(dir)
    }

    fn ring(&self) -> PathBuf {
        self.0.join("ring")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn small() -> RingConfig {
    RingConfig { capacity: 8192, lanes: 3, journal: 256, ..RingConfig::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(usize),
    Rewind(usize),
    Publish,
    /// Frees this many of the oldest published records.
    Free(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0_usize..300, 0_usize..3000, 4000_usize..8300].prop_map(Step::Reserve),
        1 => (0_usize..4).prop_map(Step::Rewind),
        3 => Just(Step::Publish),
        4 => (0_usize..6).prop_map(Step::Free),
    ]
}

/// A record the model knows to be alive: its position, its length, its range's end, its bytes.
#[derive(Clone, Debug)]
struct Record {
    start: u64,
    before: u64,
    after: u64,
    len: usize,
    fill: u8,
}

#[derive(Default)]
struct Model {
    published: VecDeque<Record>,
    reserved: Vec<Record>,
    fill: u8,
}

impl Model {
    fn apply(&mut self, writer: &mut RingWriter, step: Step) {
        match step {
            Step::Reserve(len) => self.reserve(writer, len),
            Step::Rewind(n) => {
                let keep = self.reserved.len().saturating_sub(n);
                if let Some(first) = self.reserved.get(keep) {
                    writer.rewind(first.before);
                    assert_eq!(writer.next_position(), first.before);
                }
                self.reserved.truncate(keep);
            }
            Step::Publish => {
                writer.publish();
                self.published.extend(self.reserved.drain(..));
            }
            Step::Free(n) => {
                let n = n.min(self.published.len());
                if let Some(last) = self.published.drain(..n).next_back() {
                    writer.free_to(last.after);
                }
            }
        }
    }

    fn reserve(&mut self, writer: &mut RingWriter, len: usize) {
        let before = writer.next_position();
        let Some(start) = writer.reserve(len) else {
            let empty = self.published.is_empty() && self.reserved.is_empty();
            assert!(!writer.fits(len) || !empty, "{len} bytes refused by an empty ring");
            assert_eq!(writer.next_position(), before, "a refusal changes nothing");
            return;
        };
        self.fill = self.fill.wrapping_add(1);
        writer.bytes_mut(start, len).fill(self.fill);
        let after = writer.next_position();
        self.reserved.push(Record { start, before, after, len, fill: self.fill });
    }

    fn check(&self, writer: &RingWriter, reader: &RingReader) {
        let capacity = writer.capacity() as u64;
        let mut taken: Vec<(u64, u64)> = Vec::new();
        for record in self.published.iter().chain(&self.reserved) {
            assert_eq!(record.start % 64, 0);
            let offset = record.start % capacity;
            assert!(offset + record.len as u64 <= capacity, "{record:?} straddles the end");
            if record.len > 0 {
                taken.push((offset, offset + record.len as u64));
            }
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|w| w[0].1 <= w[1].0), "live records overlap: {taken:?}");
        for record in &self.published {
            let bytes = reader.bytes(record.start, record.len).unwrap();
            assert!(bytes.iter().all(|&b| b == record.fill), "{record:?} was overwritten");
            assert!(reader.still_owned(record.start));
            assert_eq!(writer.bytes(record.start, record.len), Some(bytes));
        }
        for record in self.reserved.iter().filter(|r| r.len > 0) {
            assert!(reader.bytes(record.start, record.len).is_err(), "seen before publish");
        }
        assert!(writer.tail() <= writer.head() && writer.head() <= writer.next_position());
        assert_eq!((reader.head(), reader.tail()), (writer.head(), writer.tail()));
        assert!(writer.free() <= writer.capacity());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_ring_agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let dir = Dir::new();
        let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
        let reader = RingReader::open(&dir.ring()).unwrap();
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut writer, step);
            model.check(&writer, &reader);
        }
    }

    #[test]
    fn no_descriptor_reads_outside_the_ring(position: u64, len: usize, near in 0_u64..20_000) {
        let dir = Dir::new();
        let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
        for _ in 0..3 {
            writer.reserve(5000).unwrap();
            writer.publish();
            writer.free_to(writer.head());
        }
        let start = writer.reserve(5000).unwrap();
        writer.publish();
        let reader = RingReader::open(&dir.ring()).unwrap();
        for (position, len) in [(position, len), (near, len), (near, len % 9000), (start, len)] {
            if let Ok(bytes) = reader.bytes(position, len) {
                let inside = position >= reader.tail() && position + len as u64 <= reader.head();
                prop_assert!(inside && bytes.len() == len);
                // Touching them is the point: a wrong range would be a SIGSEGV.
                let _ = bytes.iter().map(|&b| u64::from(b)).sum::<u64>();
            }
        }
    }

    #[test]
    fn garbage_in_the_header_is_an_error_or_harmless(
        at in 0_usize..4096, garbage in prop::collection::vec(any::<u8>(), 1..512), whole: bool
    ) {
        let dir = Dir::new();
        let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
        writer.journal_write(b"manifest");
        writer.remove().unwrap();
        let mut writer = RingWriter::create(&dir.ring(), 2, &small()).unwrap();
        writer.journal_write(b"manifest");
        drop(writer);
        let file = std::fs::OpenOptions::new().write(true).open(dir.ring()).unwrap();
        // Either anywhere in the header page, or over the counts of lanes, journal and heads.
        let at = if whole { 0 } else { at };
        file.write_all_at(&garbage, at as u64).unwrap();
        if let Ok(reader) = RingReader::open(&dir.ring()) {
            for position in [0, 64, reader.tail(), reader.head(), u64::MAX] {
                if let Ok(bytes) = reader.bytes(position, 64) {
                    prop_assert_eq!(bytes.len(), 64);
                }
            }
            let _ = (reader.journal_read(), reader.counter(COUNTERS - 1), reader.lane(0, 1).err());
        }
        let _ = leftovers(&dir.0, "ring").unwrap();
    }

    #[test]
    fn garbage_in_lanes_and_journal_is_harmless(
        at in 4096_usize..9000, garbage in prop::collection::vec(any::<u8>(), 1..2048)
    ) {
        let dir = Dir::new();
        let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
        prop_assert!(writer.journal_write(b"manifest"));
        writer.open_lane(0, 1);
        let reader = RingReader::open(&dir.ring()).unwrap();
        let lane = reader.lane(0, 1).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(dir.ring()).unwrap();
        file.write_all_at(&garbage, at as u64).unwrap();
        lane.beat();
        let _ = (lane.fenced(), format!("{:?} {:?}", writer.lane(0), reader.lane(1, 1)));
        let read = reader.journal_read();
        prop_assert!(read.is_none() || read.as_deref() == Some(b"manifest"));
        writer.fence(0);
    }

    #[test]
    fn a_truncated_ring_is_an_error(len in 0_u64..20_000) {
        let dir = Dir::new();
        drop(RingWriter::create(&dir.ring(), 1, &small()).unwrap());
        let file = std::fs::OpenOptions::new().write(true).open(dir.ring()).unwrap();
        let full = file.metadata().unwrap().len();
        let len = len.min(full - 1);
        file.set_len(len).unwrap();
        let error = RingReader::open(&dir.ring()).unwrap_err();
        if len >= 64 {
            let text = error.to_string();
            prop_assert!(text.contains(&format!("truncated ({len} of {full} bytes)")), "{}", text);
            prop_assert!(text.contains("restart ami-ventilator"));
        } else {
            let small = matches!(error, RingError::NotARing { .. });
            prop_assert!(small, "{}", error);
        }
        // Grown again it has holes, which could raise SIGBUS; unless the last page was kept.
        file.set_len(full).unwrap();
        match RingReader::open(&dir.ring()) {
            Err(error) => {
                let holes = matches!(error, RingError::Damaged { .. });
                prop_assert!(holes || len < 64, "{}", error);
            }
            Ok(_) => prop_assert_eq!(len.next_multiple_of(4096), full),
        }
    }
}

#[test]
fn the_file_is_private_and_really_allocated() {
    use std::os::unix::fs::MetadataExt;
    let dir = Dir::new();
    let config = RingConfig { huge_pages: true, populate: true, ..small() };
    let writer = RingWriter::create(&dir.ring(), 5, &config).unwrap();
    let metadata = std::fs::metadata(dir.ring()).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(metadata.blocks() * 512 >= metadata.len());
    let reader = RingReader::open(&dir.ring()).unwrap();
    reader.prefault();
    assert_eq!((reader.epoch(), reader.writer_pid()), (5, std::process::id()));
    assert_eq!((reader.capacity(), reader.lanes()), (8192, 3));
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1, "no file of the creation is left");
    writer.remove().unwrap();
    assert!(!dir.ring().exists());
    assert!(matches!(RingReader::open(&dir.ring()), Err(RingError::Missing { .. })));
}

#[test]
fn large_records_are_written_whole_in_large_rings() {
    let dir = Dir::new();
    let config = RingConfig { capacity: 64 << 20, ..small() };
    let mut writer = RingWriter::create(&dir.ring(), 1, &config).unwrap();
    let reader = RingReader::open(&dir.ring()).unwrap();
    let image: Vec<u8> = (0..1_000_003).map(|i: u32| ((i * 7) >> 4) as u8).collect();
    writer.reserve(100).unwrap();
    let position = writer.reserve(image.len()).unwrap();
    writer.write(position, &image);
    writer.publish();
    assert_eq!(reader.bytes(position, image.len()).unwrap(), image);
    let mut copied = vec![0; image.len()];
    reader.copy_out(position, &mut copied).unwrap();
    assert_eq!(copied, image);
    writer.free_to(position);
    assert!(matches!(reader.bytes(0, 100), Err(RingError::Overwritten { tail, .. })
        if tail == position));
    assert!(!reader.still_owned(0) && reader.still_owned(position));
}

#[test]
fn a_ring_without_room_says_how_much_and_what_to_set() {
    let dir = Dir::new();
    let config = RingConfig { capacity: 1 << 50, ..small() };
    let error = RingWriter::create(&dir.ring(), 1, &config).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RingError::NoSpace { .. }), "{error:?}");
    assert!(text.starts_with(&dir.0.display().to_string()), "{text}");
    assert!(text.contains("free but the ring needs 104857"), "{text}");
    assert!(text.contains("set a smaller ventilator.ring_bytes"), "{text}");
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 0, "nothing is left behind");
    for bad in [
        RingConfig { capacity: 0, ..small() },
        RingConfig { capacity: usize::MAX, ..small() },
        RingConfig { lanes: 0, ..small() },
        RingConfig { journal: usize::MAX / 2, ..small() },
    ] {
        let error = RingWriter::create(&dir.ring(), 1, &bad).unwrap_err();
        assert!(matches!(error, RingError::BadConfig { .. }), "{error}");
    }
}

#[test]
fn only_dead_rings_are_replaced() {
    let dir = Dir::new();
    let mut first = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
    first.set_counter(3, 33);
    let error = RingWriter::create(&dir.ring(), 2, &small()).unwrap_err();
    assert!(matches!(error, RingError::InUse { pid, .. } if pid == std::process::id()), "{error}");
    drop(first);
    let old = RingReader::open(&dir.ring()).unwrap();
    let second = RingWriter::create(&dir.ring(), 2, &small()).unwrap();
    assert_eq!((old.epoch(), old.counter(3)), (1, 33), "the old memory stays while mapped");
    assert_eq!(RingReader::open(&dir.ring()).unwrap().epoch(), 2);
    drop(second);
    std::fs::write(dir.ring(), "precious").unwrap();
    let error = RingWriter::create(&dir.ring(), 3, &small()).unwrap_err();
    assert!(matches!(error, RingError::NotARing { .. }), "{error}");
    assert_eq!(std::fs::read(dir.ring()).unwrap(), b"precious");
    let nowhere = dir.0.join("no").join("ring");
    let error = RingWriter::create(&nowhere, 3, &small()).unwrap_err();
    assert!(matches!(error, RingError::Io { .. }), "{error}");
}

#[test]
fn an_interrupted_creation_is_taken_over() {
    let dir = Dir::new();
    std::fs::write(dir.0.join("ring.new"), vec![0; 100_000]).unwrap();
    let found = leftovers(&dir.0, "ring").unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].alive && found[0].epoch.is_none());
    let writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
    assert!(!dir.0.join("ring.new").exists());
    drop(writer);
    std::fs::write(dir.0.join("ring-b.new"), "").unwrap();
    std::fs::write(dir.0.join("ring-c"), "not a ring").unwrap();
    std::fs::create_dir(dir.0.join("ring-d")).unwrap();
    let found = leftovers(&dir.0, "ring").unwrap();
    assert_eq!(found.iter().map(|l| l.epoch).collect::<Vec<_>>(), [Some(1), None]);
    for leftover in found {
        leftover.remove().unwrap();
        leftover.remove().unwrap();
    }
    assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 2, "what is not ours stays");
    assert!(leftovers(&dir.0.join("no"), "").is_err());
}

#[test]
fn a_pipe_or_a_link_with_the_name_of_a_ring_is_refused_at_once() {
    let dir = Dir::new();
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, dir.ring(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(matches!(RingReader::open(&dir.ring()), Err(RingError::NotARing { .. })));
    std::os::unix::fs::symlink("/etc/passwd", dir.0.join("link")).unwrap();
    assert!(RingReader::open(&dir.0.join("link")).is_err());
    assert!(leftovers(&dir.0, "").unwrap().is_empty());
}

#[test]
fn a_lane_belongs_to_one_generation() {
    let dir = Dir::new();
    let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
    let reader = RingReader::open(&dir.ring()).unwrap();
    let refused = |r: Result<_, RingError>| matches!(r, Err(RingError::LaneNotOpen { .. }));
    writer.fence(1);
    assert_eq!(writer.lane(1).state(), LaneState::Free);
    assert!(refused(reader.lane(1, 0)) && refused(reader.lane(1, u64::MAX)));
    assert!(matches!(reader.lane(3, 1), Err(RingError::NoSuchLane { lanes: 3, .. })));

    writer.open_lane(1, 7);
    assert_eq!((writer.lane(1).state(), writer.lane(1).pid()), (LaneState::Open, None));
    assert!(refused(reader.lane(1, 6)));
    let late = reader.lane(1, 7).unwrap();
    assert_eq!(writer.lane(1).pid(), Some(std::process::id()));
    assert_eq!((writer.lane(1).state(), writer.lane(1).generation()), (LaneState::Claimed, 7));
    late.set_cursor(100);
    late.beat();
    late.set_waiting(true);
    assert!(reader.lane(1, 7).is_ok(), "the same process may come back");
    assert!(!late.fenced());

    writer.fence(1);
    assert!(late.fenced() && refused(reader.lane(1, 7)));
    let lane = writer.lane(1);
    assert_eq!((lane.cursor(), lane.progress(), lane.waiting()), (Some(100), 1, true));

    writer.open_lane(1, 8);
    assert!(late.fenced());
    let next = reader.lane(1, 8).unwrap();
    next.set_cursor(200);
    // What the fenced worker still does on waking up does not reach its successor.
    late.clear_cursor();
    late.beat();
    late.set_waiting(true);
    let lane = writer.lane(1);
    assert_eq!((lane.cursor(), lane.progress(), lane.waiting()), (Some(200), 0, false));
    drop(reader);
    next.clear_cursor();
    assert_eq!(writer.lane(1).cursor(), None, "a lane outlives its reader");
}

#[test]
fn the_journal_is_replaced_whole_or_not_at_all() {
    let dir = Dir::new();
    let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
    let reader = RingReader::open(&dir.ring()).unwrap();
    assert_eq!(reader.journal_read(), None);
    for n in 0..=writer.journal_capacity() {
        let text = vec![n as u8; n];
        assert!(writer.journal_write(&text));
        assert!(!writer.journal_write(&vec![1; writer.journal_capacity() + 1]));
        assert_eq!(reader.journal_read().unwrap(), text);
    }
}

#[test]
fn a_living_writer_never_shows_a_torn_journal_nor_torn_records() {
    let dir = Dir::new();
    let mut writer = RingWriter::create(&dir.ring(), 1, &small()).unwrap();
    let reader = RingReader::open(&dir.ring()).unwrap();
    std::thread::scope(|scope| {
        let done = scope.spawn(move || {
            for n in 0..200_000_u64 {
                let fill = n as u8;
                assert!(writer.journal_write(&[fill; 200][..100 + (n % 100) as usize]));
                let position = loop {
                    match writer.reserve(1000) {
                        Some(position) => break position,
                        None => writer.free_to((writer.tail() + 1024).min(writer.head())),
                    }
                };
                writer.bytes_mut(position, 1000).fill(fill);
                writer.publish();
                writer.set_counter(0, position);
            }
        });
        let (mut whole, mut lost) = (0, 0);
        let mut copy = [0; 1000];
        while !done.is_finished() {
            if let Some(text) = reader.journal_read() {
                assert!(text.iter().all(|&b| b == text[0]), "torn journal");
            }
            match reader.copy_out(reader.counter(0), &mut copy) {
                Ok(()) => {
                    assert!(copy.iter().all(|&b| b == copy[0]), "torn record");
                    whole += 1;
                }
                Err(_) => lost += 1,
            }
        }
        done.join().unwrap();
        assert!(whole > 0, "{whole} whole, {lost} overwritten");
    });
}
