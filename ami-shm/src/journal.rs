//! A few bytes that are replaced as a whole and survive their writer at any instant.
//!
//! Two halves take turns: the older one is invalidated, filled and only then given the higher
//! sequence number. Whatever the moment the writer dies, the other half is whole.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::layout::checksum;
use crate::map::load_acquire;

/// Bytes before the content of each half: sequence, length, checksum, and padding to a line.
pub(crate) const HEADER: usize = 64;
const WORDS: usize = HEADER / 8;
/// How often a reader begins again when a living writer replaces what it reads.
const TRIES: usize = 8;

/// Makes `bytes` the content; the sequence must grow from call to call. False if they are too long.
pub(crate) fn write(halves: [&[AtomicU64]; 2], sequence: u64, bytes: &[u8]) -> bool {
    let half = halves[(sequence % 2) as usize];
    let (header, body) = half.split_at(WORDS);
    if bytes.len() > body.len() * 8 {
        return false;
    }
    header[0].store(0, Ordering::Relaxed);
    // Pairs with the Acquire fence in `read_half`: who has seen any new word sees the 0 as well.
    fence(Ordering::Release);
    for (to, word) in body.iter().zip(words(bytes)) {
        to.store(word, Ordering::Relaxed);
    }
    header[1].store(bytes.len() as u64, Ordering::Relaxed);
    header[2].store(seal(sequence, words(bytes), bytes.len()), Ordering::Relaxed);
    // Pairs with the Acquire in `read_half`: the sequence says that the content is complete.
    header[0].store(sequence, Ordering::Release);
    true
}

/// The newest whole content, or none if nothing was written yet (or it is damaged).
pub(crate) fn read(halves: [&[AtomicU64]; 2]) -> Option<Vec<u8>> {
    (0..TRIES).find_map(|_| {
        let mut found: Vec<_> = halves.iter().filter_map(|half| read_half(half)).collect();
        found.sort_by_key(|(sequence, _)| *sequence);
        found.pop().map(|(_, bytes)| bytes)
    })
}

fn read_half(half: &[AtomicU64]) -> Option<(u64, Vec<u8>)> {
    let (header, body) = half.split_at(WORDS);
    // Pairs with the Release store at the end of `write`.
    let sequence = load_acquire(&header[0]);
    let len = usize::try_from(header[1].load(Ordering::Relaxed)).ok()?;
    if sequence == 0 || len > body.len() * 8 {
        return None;
    }
    let content: Vec<u64> =
        body[..len.div_ceil(8)].iter().map(|w| w.load(Ordering::Relaxed)).collect();
    let sum = header[2].load(Ordering::Relaxed);
    // Pairs with the Release fence in `write`: a half that changed meanwhile shows it here.
    fence(Ordering::Acquire);
    let whole = header[0].load(Ordering::Relaxed) == sequence
        && sum == seal(sequence, content.iter().copied(), len);
    whole.then(|| {
        let mut bytes: Vec<u8> = content.iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes.truncate(len);
        (sequence, bytes)
    })
}

/// The checksum covers sequence and length too: a half of zeros or of an older write is not whole.
fn seal(sequence: u64, words: impl Iterator<Item = u64>, len: usize) -> u64 {
    checksum(words.chain([len as u64, sequence]))
}

/// Eight bytes at a time, the last word filled up with zeros.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then(|| u64::from_le_bytes(last));
    whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half(bytes: usize) -> Vec<AtomicU64> {
        (0..WORDS + bytes / 8).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_torn_write_leaves_the_content_before_it() {
        let (a, b) = (half(64), half(64));
        let halves = [&a[..], &b[..]];
        assert_eq!(read(halves), None, "nothing written yet");
        assert!(write(halves, 1, b"first") && write(halves, 2, b"second, and longer"));
        assert!(!write(halves, 3, &[0; 65]), "too long");
        assert_eq!(read(halves).unwrap(), b"second, and longer");
        // The half in work, at any stage: no sequence, or a sequence whose content is not its own.
        for (word, value) in [(0, 0), (0, 4), (1, 3), (1, u64::MAX), (2, 1), (WORDS, 7)] {
            let before = a[word].swap(value, Ordering::Relaxed);
            assert_eq!(read(halves).unwrap(), b"first", "word {word}");
            a[word].store(before, Ordering::Relaxed);
        }
        assert_eq!(read(halves).unwrap(), b"second, and longer");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..80), 1..6)) {
            let (a, b) = (half(64), half(64));
            let mut kept = None;
            for (i, text) in texts.iter().enumerate() {
                if write([&a, &b], i as u64 + 1, text) {
                    kept = Some(text.clone());
                }
            }
            // A refused write leaves its half as it was, and the next sequence may use the other:
            // the caller counts only what was accepted, as RingWriter does.
            if texts.iter().all(|t| t.len() <= 64) {
                prop_assert_eq!(read([&a, &b]), kept);
            }
        }

        #[test]
        fn garbage_is_not_read(words in prop::collection::vec(any::<u64>(), WORDS + 8)) {
            let a: Vec<_> = words.iter().map(|&w| AtomicU64::new(w)).collect();
            let b = half(64);
            prop_assert_eq!(read([&a, &b]), None);
        }
    }
}
