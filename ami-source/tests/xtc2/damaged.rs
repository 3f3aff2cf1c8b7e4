//! No bytes do harm: mutilated files never panic and always end.

use super::common::{Replay, data, files, open};
use ami_source::inspect;
use ami_source::source::{Next, Source};
use proptest::prelude::*;
use std::path::Path;

/// What is done to a file.
#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Word(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let place = any::<prop::sample::Index>;
    let word = prop_oneof![Just(u32::MAX), Just(0), Just(11), Just(1 << 26), any::<u32>()];
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(i, b)| Harm::Flip(i, b)),
        4 => (place(), word).prop_map(|(i, w)| Harm::Word(i, w)),
        1 => place().prop_map(Harm::Cut),
        1 => (place(), 1..100usize).prop_map(|(i, n)| Harm::Remove(i, n)),
        1 => (place(), 1..2000usize).prop_map(|(i, n)| Harm::Repeat(i, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, harm: &Harm) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match harm {
        Harm::Flip(i, b) => bytes[i.index(len)] ^= b,
        Harm::Word(i, w) => {
            let at = i.index(len);
            let end = (at + 4).min(len);
            bytes[at..end].copy_from_slice(&w.to_le_bytes()[..end - at]);
        }
        Harm::Cut(i) => bytes.truncate(i.index(len)),
        Harm::Remove(i, n) => drop(bytes.drain(i.index(len)..(i.index(len) + n).min(len))),
        Harm::Repeat(i, n) => {
            let part = bytes[i.index(len)..(i.index(len) + n).min(len)].to_vec();
            let at = i.index(len);
            bytes.splice(at..at, part);
        }
    }
}

/// Reads it in every way; panics only if something panics or does not end.
fn survives(bytes: &[u8], folder: &Path) {
    let path = folder.join("harmed.xtc2");
    std::fs::write(&path, bytes).unwrap();
    for json in [true, false] {
        let _ = inspect::run(std::slice::from_ref(&path), json, true, &mut std::io::sink());
    }
    let Ok(mut source) = open(std::slice::from_ref(&path)) else { return };
    let mut taken = 0;
    while let Ok(next) = source.next() {
        match next {
            Next::End => break,
            Next::Pending => panic!("a file that is not live is never pending"),
            Next::Transition(_) => drop(source.transition().expect("it was announced")),
            Next::Event(_) => source.skip(),
        }
        taken += 1;
        assert!(taken <= bytes.len() / 24 + 1, "it does not end");
    }
    if taken > 0 {
        let mut source = open(&[path]).unwrap();
        if source.next().is_ok() {
            Replay::default().until_error(&mut source);
        }
    }
}

impl Replay {
    /// As `go_on`, but an error of the source just ends it.
    fn until_error(&mut self, source: &mut dyn Source) {
        struct Tame<'a>(&'a mut dyn Source);
        impl Source for Tame<'_> {
            fn next(&mut self) -> anyhow::Result<Next> {
                Ok(self.0.next().unwrap_or(Next::End))
            }
            fn transition(&mut self) -> Option<ami_source::source::Transition> {
                self.0.transition()
            }
            fn write(
                &mut self,
                out: &mut ami_proto::data_path::chunk::ChunkWriter<'_>,
                before: u64,
                max: usize,
            ) -> anyhow::Result<ami_source::source::Written> {
                self.0.write(out, before, max)
            }
            fn skip(&mut self) {
                self.0.skip();
            }
        }
        self.go_on(&mut Tame(source), 10, None);
    }
}

fn cases(bytes: &[u8], cases: u32) {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let harms = prop::collection::vec(harm(), 1..6);
    runner
        .run(&harms, |harms| {
            let mut harmed = bytes.to_vec();
            harms.iter().for_each(|h| apply(&mut harmed, h));
            survives(&harmed, folder.path());
            Ok(())
        })
        .unwrap();
}

#[test]
fn mutilated_recordings() {
    let made = super::recorded::made();
    cases(&made, 400);
    // Harm behind Configure only, where most of the bytes are names.
    let folder = tempfile::tempdir().unwrap();
    let tail = made.len() - 3000;
    for at in tail..made.len() {
        let mut harmed = made.clone();
        harmed[at] ^= 0xff;
        survives(&harmed, folder.path());
    }
}

#[test]
fn mutilated_real_files() {
    let Some(root) = data() else { return };
    for (path, _) in files(&root) {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(120_000);
        cases(&bytes, 60);
    }
}

#[test]
fn corrupted_data_are_counted_and_not_looked_into() {
    let mut bytes = super::recorded::made();
    // The last event but two: find its first ShapesData and set its damage.
    let mut starts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        starts.push(at);
        at += 12 + u32::from_le_bytes(bytes[at + 20..at + 24].try_into().unwrap()) as usize;
    }
    let event = starts[starts.len() - 4];
    bytes[event + 24 + 4] = 0x08;
    bytes[starts[5] + 24] ^= 0xff; // an id that has no names
    bytes[starts[6] + 16] = 0x10;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damage.xtc2");
    std::fs::write(&path, &bytes).unwrap();
    let replay = super::common::replay(&[path]);
    assert_eq!(replay.events.len(), 20, "damaged events are delivered");
    assert_eq!(replay.count("damage_corrupted"), 1);
    assert_eq!(replay.count("unknown_names"), 1);
    assert_eq!(replay.count("damage_dropped_contribution"), 1);
    assert_eq!(replay.value(17, "x"), None);
    assert!(replay.value(17, "cam:raw:sum").is_some());
}
