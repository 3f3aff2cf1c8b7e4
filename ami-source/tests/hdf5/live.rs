//! Files that grow, that are replaced and that are cut while they are read.

use crate::common::{Taker, open, python, script, take};
use ami_source::source::Source;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// A process that writes a file row by row.
struct Writer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Writer {
    fn new(python: &Path, file: &Path, options: &[&str]) -> Writer {
        let mut child = script(python, "grow.py")
            .arg(file)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut writer = Writer { child, to, from: BufReader::new(from) };
        writer.wait();
        writer
    }

    fn wait(&mut self) {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert_eq!(line, "ok\n");
    }

    fn say(&mut self, what: &str) {
        writeln!(self.to, "{what}").unwrap();
    }

    fn tell(&mut self, what: &str) {
        self.say(what);
        self.wait();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes until there are so many events, or the end.
fn until(taker: &mut Taker, source: &mut dyn Source, events: usize) -> bool {
    let begin = Instant::now();
    loop {
        let ended = taker.take(source).unwrap();
        if ended || taker.taken.events.len() >= events {
            return ended;
        }
        let have = taker.taken.events.len();
        assert!(begin.elapsed() < Duration::from_secs(60), "{have} of {events} events");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn check(taker: &Taker, events: usize) {
    assert_eq!(taker.taken.events.len(), events);
    for (i, event) in taker.taken.events.iter().enumerate() {
        assert_eq!(event.stamp, 1_735_689_600_000_000_000 + i as u64 * 10_000_000);
        let x = (i as f64 / 2.0).to_le_bytes().to_vec();
        assert_eq!(event.fields["entry:x"], ("float64".into(), vec![], x), "event {i}");
        let row: Vec<u8> = (0..24).flat_map(|_| (i as u16).to_le_bytes()).collect();
        assert_eq!(event.fields["entry:data"], ("uint16".into(), vec![4, 6], row), "event {i}");
    }
}

fn counters(source: &dyn Source) -> BTreeMap<&'static str, u64> {
    source.counters().into_iter().collect()
}

#[test]
fn a_file_written_for_readers_is_followed_until_it_is_closed() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grows.h5");
    let mut writer = Writer::new(&python, &file, &[]);
    let mut source = open(&format!("hdf5:{}", file.display())).unwrap();
    let mut taker = Taker::default();
    let mut all = 0;
    for rows in [0, 1, 1, 20, 300] {
        writer.tell(&rows.to_string());
        all += rows;
        assert!(!until(&mut taker, &mut *source, all), "more may come");
        check(&taker, all);
    }
    // Read while it is written, not after.
    writer.say("700");
    assert!(!until(&mut taker, &mut *source, all + 700));
    writer.wait();
    writer.tell("close");
    assert!(until(&mut taker, &mut *source, usize::MAX), "closed: the end");
    check(&taker, all + 700);
    let counters = counters(&*source);
    assert_eq!((counters["damaged_values"], counters["broken"]), (0, 0));
    assert!(counters["grown"] >= 4);
}

#[test]
fn follow_says_what_the_file_does_not() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grows.h5");
    let mut writer = Writer::new(&python, &file, &[]);
    writer.tell("12");
    let mut taker = Taker::default();
    let mut now = open(&format!("hdf5:{}?follow=false", file.display())).unwrap();
    assert!(until(&mut taker, &mut *now, usize::MAX), "what is there, and the end");
    check(&taker, 12);
    // A writer that was killed: the file says forever that it is being written.
    drop(writer);
    let mut taker = Taker::default();
    let mut dead = open(&format!("hdf5:{}", file.display())).unwrap();
    assert!(!until(&mut taker, &mut *dead, 12));
    check(&taker, 12);
}

#[test]
fn a_file_that_is_cut_or_replaced_is_opened_again() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("whole.h5");
    let mut writer = Writer::new(&python, &file, &[]);
    writer.tell("50");
    writer.tell("close");
    let whole = std::fs::read(&file).unwrap();
    let url = format!("hdf5:{}", file.display());
    for cut in [true, false] {
        let mut source = open(&url).unwrap();
        let mut taker = Taker::default();
        // A few events; then the file goes.
        while taker.taken.events.is_empty() {
            taker.some(&mut *source).unwrap();
        }
        if cut {
            std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(2000).unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        let begin = Instant::now();
        while !source.lost() {
            taker.some(&mut *source).unwrap();
            assert!(begin.elapsed() < Duration::from_secs(30), "not noticed");
        }
        std::fs::write(&file, &whole).unwrap();
        assert!(until(&mut taker, &mut *source, usize::MAX));
        check(&taker, 50);
        assert!(counters(&*source)["broken"] >= 1);
    }
}

/// Eight events of an image and a number, each image a chunk with its checksum; prints where the third
/// one's bytes begin.
const CHUNKS: &str = r#"
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "w") as f:
    f.create_dataset("image", data=np.arange(8 * 64 * 64).reshape(8, 64, 64), chunks=(1, 64, 64), fletcher32=True)
    f["x"] = np.arange(8)
with h5py.File(sys.argv[1]) as f:
    print(f["image"].id.get_chunk_info(2).byte_offset)
"#;

#[test]
fn a_damaged_chunk_takes_its_value_and_no_other() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("damaged.h5");
    let made = std::process::Command::new(python).args(["-c", CHUNKS]).arg(&file).output().unwrap();
    let at: usize = String::from_utf8(made.stdout).unwrap().trim().parse().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[at + 100] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    let (taken, counters) = take(&format!("hdf5:{}", file.display()));
    let there: Vec<bool> = taken.events.iter().map(|e| e.fields.contains_key("image")).collect();
    assert_eq!(there, [true, true, false, true, true, true, true, true]);
    assert!(taken.events.iter().all(|e| e.fields.contains_key("x")));
    assert_eq!(counters["damaged_values"], 1);
}

#[test]
fn a_file_is_looped_as_runs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hdf5/small_old.h5");
    let (taken, _) = take(&format!("hdf5:{file}?loop=3&fields=entry:pulse_id"));
    assert_eq!((taken.events.len(), &taken.runs[..]), (36, &[Some(1), Some(2), Some(3)][..]));
    assert!(taken.events.windows(2).all(|w| w[0].stamp < w[1].stamp));
    assert_eq!(taken.events[0].fields, taken.events[12].fields);
    assert_eq!(taken.schema.fields.len(), 1);
}
