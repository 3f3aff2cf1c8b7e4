//! No bytes from outside crash a decoder or make it take much memory. `PROPTEST_CASES` says how many
//! are tried of each (64 unless set); what once broke something is kept by proptest beside this file.

use ami_tests::decoders::{DECODERS, Decoder};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that decoding may take: for any input, and for each of its bytes.
const MOST: usize = 32 << 20;
const MOST_PER_BYTE: usize = 64;

/// What is done to a sample.
#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Word(prop::sample::Index, u64, usize),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize, usize),
    Nest(prop::sample::Index, u8, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let place = any::<prop::sample::Index>;
    let word = prop_oneof![Just(u64::MAX), Just(0), Just(1 << 40), Just(1 << 26), any::<u64>()];
    let open = prop_oneof![Just(b'['), Just(b'{'), Just(b'('), Just(b'-'), Just(b'"')];
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(i, b)| Harm::Flip(i, b)),
        4 => (place(), word, 1..9usize).prop_map(|(i, w, n)| Harm::Word(i, w, n)),
        1 => place().prop_map(Harm::Cut),
        1 => (place(), 1..100usize).prop_map(|(i, n)| Harm::Remove(i, n)),
        2 => (place(), 1..200usize, 1..50usize).prop_map(|(i, n, k)| Harm::Repeat(i, n, k)),
        1 => (place(), open, 1..5000usize).prop_map(|(i, b, n)| Harm::Nest(i, b, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, harm: &Harm) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match harm {
        Harm::Flip(i, b) => bytes[i.index(length)] ^= b,
        Harm::Word(i, w, n) => {
            let at = i.index(length);
            let end = (at + n).min(length);
            bytes[at..end].copy_from_slice(&w.to_le_bytes()[..end - at]);
        }
        Harm::Cut(i) => bytes.truncate(i.index(length)),
        Harm::Remove(i, n) => {
            let at = i.index(length);
            bytes.drain(at..(at + n).min(length));
        }
        Harm::Repeat(i, n, times) => {
            let at = i.index(length);
            let part = bytes[at..(at + n).min(length)].repeat(*times);
            bytes.splice(at..at, part);
        }
        Harm::Nest(i, b, n) => {
            let at = i.index(length);
            bytes.splice(at..at, vec![*b; *n]);
        }
    }
}

fn survives(decoder: &Decoder) {
    let dir = tempfile::tempdir().unwrap();
    let samples = (decoder.samples)();
    // What it understands it understands; and whatever is made once is made here.
    let understood = samples.iter().filter(|s| (decoder.decode)(s, dir.path())).count();
    let known = samples.iter().any(|s| !s.is_empty());
    assert!(understood > 0 || !known, "{}: it understands none of its samples", decoder.name);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(64);
    let file = proptest::test_runner::FileFailurePersistence::WithSource("fuzz");
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(file)),
        source_file: Some(file!()),
        ..Config::default()
    };
    let input = (any::<prop::sample::Index>(), prop::collection::vec(harm(), 0..5));
    let result = TestRunner::new(config).run(&input, |(which, harms)| {
        let mut bytes = samples[which.index(samples.len())].clone();
        harms.iter().for_each(|h| apply(&mut bytes, h));
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        (decoder.decode)(&bytes, dir.path());
        let taken = MEMORY.peak_usage().saturating_sub(before);
        prop_assert!(taken <= MOST + MOST_PER_BYTE * bytes.len(), "{taken} bytes taken");
        Ok(())
    });
    if let Err(error) = result {
        panic!("{}: {error}", decoder.name);
    }
}

/// What it takes of memory is the process's: nothing else in this file takes much.
#[test]
fn no_bytes_do_harm() {
    let only = std::env::var("AMI_FUZZ_ONLY").ok();
    for decoder in &DECODERS {
        if only.as_deref().is_none_or(|o| o == decoder.name) {
            let start = std::time::Instant::now();
            survives(decoder);
            println!("{}: {:?}", decoder.name, start.elapsed());
        }
    }
}

/// `fuzz/` has a target for each decoder.
#[test]
fn every_decoder_has_a_target() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for decoder in DECODERS {
        let line = format!("name = \"{}\"\npath = \"target.rs\"", decoder.name);
        assert!(manifest.contains(&line), "fuzz/Cargo.toml lacks [[bin]] {line}");
    }
}
