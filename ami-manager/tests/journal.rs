//! The journal survives what happens to files: kills in mid-line, editors, full disks.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use ami_graph::graph::spec::{GraphSpec, VersionedGraph};
use ami_manager::history::{Entry, History, Record};
use ami_manager::journal::{Journal, JournalError, line};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn version(version: u64, text: &str) -> Record {
    let spec =
        format!(r#"{{"name":"g","nodes":{{"n":{{"op":"const","value":0.1,"t":{text:?}}}}}}}"#);
    let spec = GraphSpec::parse(&spec).unwrap();
    Record::Version(Entry {
        version,
        graph: "g".into(),
        who: "ann".into(),
        when_ns: 1,
        what: "what\nof two lines".into(),
        content: Some(VersionedGraph { version, spec, resets: BTreeMap::from([("n".into(), 2)]) }),
    })
}

fn records() -> Vec<Record> {
    vec![
        Record::Life(7),
        version(1, "a"),
        Record::Active(1),
        version(2, "b"),
        Record::Withdrawn { version: 2, why: "no".into() },
    ]
}

fn written(path: &Path) -> Vec<u8> {
    let (mut journal, contents) = Journal::open(path).unwrap();
    assert!(contents.records.is_empty() && contents.notes.is_empty());
    records().iter().for_each(|r| journal.append(r).unwrap());
    std::fs::read(path).unwrap()
}

#[test]
fn a_journal_cut_at_any_byte_gives_the_records_before_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let bytes = written(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for cut in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = bytes[..cut].iter().filter(|b| **b == b'\n').count();
        let (mut journal, contents) = Journal::open(&path).unwrap();
        assert_eq!(contents.records, records()[..whole], "cut at {cut}");
        let clean = cut == 0 || bytes[cut - 1] == b'\n';
        assert_eq!(contents.notes.is_empty(), clean, "cut at {cut}");
        journal.append(&Record::Active(9)).unwrap();
        drop(journal);
        let (_, contents) = Journal::open(&path).unwrap();
        assert_eq!(contents.records.len(), whole + 1);
        assert!(contents.notes.is_empty());
    }
    assert!(!dir.path().join("j.damaged").exists());
}

#[test]
fn damage_at_any_byte_is_never_believed_and_the_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let bytes = written(&path);
    let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x15;
        std::fs::write(&path, &damaged).unwrap();
        let (_, contents) = Journal::open(&path).unwrap();
        let whole = bytes[..at].iter().filter(|b| **b == b'\n').count();
        assert_eq!(contents.records, records()[..whole], "damage at {at}");
        let note = &contents.notes[0];
        assert!(note.contains(&format!("line {}", whole + 1)), "{note}");
        // The newline before the last line is part of what makes it the last.
        if at + 1 < last {
            assert!(note.contains("is damaged"), "{note}");
            assert_eq!(std::fs::read(dir.path().join("j.damaged")).unwrap(), damaged);
        }
    }
}

#[test]
fn what_is_written_is_what_is_read_and_one_process_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/j");
    written(&path);
    let (mut journal, contents) = Journal::open(&path).unwrap();
    let mut history = History::default();
    contents.records.into_iter().for_each(|r| history.take(r));
    assert_eq!(history.records(), records());
    assert!(matches!(Journal::open(&path), Err(JournalError::Taken { .. })));
    journal.rewrite(&records()[..3]).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Taken { .. })));
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().1.records, records()[..3]);
    let text = String::from_utf8(line(&records()[1]).unwrap()).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "one line per record");
}

#[test]
fn a_device_is_no_journal() {
    let opened = Journal::open(Path::new("/dev/full"));
    assert!(opened.unwrap_err().to_string().contains("not a regular file"));
}

#[test]
fn a_failed_write_is_told_and_a_rewrite_heals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, _) = Journal::open(&path).unwrap();
    journal.append(&records()[0]).unwrap();
    // A directory in the way makes storing a file fail.
    std::fs::create_dir(journal.files().join("abc")).unwrap();
    assert!(journal.store("abc", b"x").unwrap_err().contains("cannot write"));
    assert!(journal.append(&records()[1]).is_err(), "nothing is added behind what may be torn");
    assert!(journal.broken().is_some());
    journal.rewrite(&records()).unwrap();
    journal.append(&Record::Active(3)).unwrap();
    drop(journal);
    assert_eq!(Journal::open(&path).unwrap().1.records.len(), records().len() + 1);
}

#[test]
fn files_that_nothing_names_are_swept_at_a_rewrite() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(&dir.path().join("j")).unwrap();
    let (kept, gone) = (ami_manager::files::hash(b"kept"), ami_manager::files::hash(b"gone"));
    journal.store(&kept, b"kept").unwrap();
    journal.store(&gone, b"gone").unwrap();
    journal.rewrite(&[version(1, &format!("/p.npy#sha256={kept}"))]).unwrap();
    assert!(journal.files().join(kept).exists());
    assert!(!journal.files().join(gone).exists());
}
