//! Files of anybody: bytes changed and cut anywhere are read or refused, without panic, without end and
//! without much memory.

use crate::common::{Taker, open};
use ami_source::SourceSpec;
use ami_source::hdf5::inspect;
use proptest::prelude::*;
use std::path::Path;

/// Written by h5py: groups old and new, every index, gzip, shuffle, bitshuffle with LZ4, texts, lists, links,
/// a virtual dataset, attributes. `small.py` says how.
const SAMPLES: [&[u8]; 2] = [include_bytes!("small_old.h5"), include_bytes!("small_new.h5")];

/// Everything of a file, as far as there is something; at most so many events.
fn read(dir: &Path, bytes: &[u8]) -> usize {
    let file = dir.join("data.h5");
    std::fs::write(&file, bytes).unwrap();
    let url = format!("hdf5:{}?follow=false&events=40", file.display());
    let spec: SourceSpec = url.parse().unwrap();
    let _ = inspect(&spec, true, &mut std::io::sink());
    let Ok(mut source) = open(&url) else { return 0 };
    let mut taker = Taker::default();
    for _ in 0..20 {
        if taker.some(&mut *source).unwrap() || source.lost() {
            break;
        }
    }
    taker.taken.events.len()
}

#[test]
fn the_samples_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for sample in SAMPLES {
        assert_eq!(read(dir.path(), sample), 12);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]
    #[test]
    fn damage_harms_nobody(
        which in 0usize..2,
        places in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just(0u8), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()
        ], 1usize..9), 1..12),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        thread_local!(static DIR: tempfile::TempDir = tempfile::tempdir().unwrap());
        let mut bytes = SAMPLES[which].to_vec();
        for (at, byte, run) in places {
            let at = at.index(bytes.len());
            let end = (at + run).min(bytes.len());
            bytes[at..end].fill(byte);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        DIR.with(|dir| read(dir.path(), &bytes));
    }
}

/// Checksums that are right again, so that what lies behind them is reached.
#[test]
fn damage_under_right_checksums_harms_nobody() {
    use ami_source::hdf5::format::checksum::lookup3;
    let dir = tempfile::tempdir().unwrap();
    let sample = SAMPLES[1];
    let marks: [&[u8]; 10] =
        [b"OHDR", b"OCHK", b"BTHD", b"BTLF", b"BTIN", b"FRHP", b"FAHD", b"FADB", b"EAHD", b"EAIB"];
    for mark in marks {
        let starts = (0..sample.len() - 4).filter(|at| &sample[*at..at + 4] == mark);
        for start in starts.take(3) {
            // The checksum stands where the bytes before it make it right.
            let most = (start + 4096).min(sample.len() - 4);
            let end = (start + 4..most).find(|end| {
                let stated = u32::from_le_bytes(sample[*end..end + 4].try_into().unwrap());
                lookup3(&sample[start..*end]) == stated
            });
            let Some(end) = end else { continue };
            for at in (start + 4..end).step_by(3) {
                for byte in [0, 1, 0x7f, 0xff] {
                    let mut bytes = sample.to_vec();
                    bytes[at] = byte;
                    let sum = lookup3(&bytes[start..end]).to_le_bytes();
                    bytes[end..end + 4].copy_from_slice(&sum);
                    read(dir.path(), &bytes);
                }
            }
        }
    }
}
