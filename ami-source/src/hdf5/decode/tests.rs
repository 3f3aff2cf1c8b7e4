//! Filters undone: what was written comes back; damage is an error and writes nowhere else. What other
//! libraries write is in `tests/hdf5`.

use super::*;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use std::io::Write;

fn filter(id: u16, values: &[u32]) -> Filter {
    Filter { id, values: values.to_vec() }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The bytes of elements of `size`, byte by byte.
fn shuffled(bytes: &[u8], size: usize) -> Vec<u8> {
    (0..size).flat_map(|k| bytes.iter().skip(k).step_by(size).copied()).collect()
}

fn undone(filters: &[Filter], mask: u32, stored: &[u8], len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; len];
    decode(filters, mask, stored, &mut Steps::default(), &mut out).map(|()| out)
}

#[test]
fn filters_are_undone_in_turn() {
    let bytes: Vec<u8> = (0..4800u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let both = [filter(SHUFFLE, &[4]), filter(DEFLATE, &[4])];
    let stored = deflated(&shuffled(&bytes, 4));
    assert_eq!(undone(&both, 0, &stored, bytes.len()).unwrap(), bytes);
    // A bit of the mask: the filter was left out for this chunk.
    assert_eq!(undone(&both, 2, &shuffled(&bytes, 4), bytes.len()).unwrap(), bytes);
    assert_eq!(undone(&both, 3, &bytes, bytes.len()).unwrap(), bytes);
    assert!(undone(&both, 0, &stored, bytes.len() + 1).is_err(), "too few");
    assert!(undone(&both, 0, &stored, bytes.len() - 1).is_err(), "too many");
    let sums = [filter(DEFLATE, &[4]), filter(FLETCHER32, &[])];
    assert!(undone(&sums, 0, &stored, bytes.len()).is_err(), "a wrong checksum");
}

#[test]
fn what_is_not_known_is_named() {
    assert_eq!(refused(&[filter(4, &[])]).unwrap(), "szip");
    assert_eq!(refused(&[filter(32013, &[])]).unwrap(), "zfp");
    assert_eq!(
        refused(&[filter(DEFLATE, &[]), filter(LZF, &[])]).unwrap(),
        "two compressions in a row"
    );
    assert!(
        refused(&[filter(SHUFFLE, &[]), filter(DEFLATE, &[]), filter(FLETCHER32, &[])]).is_none()
    );
}

#[test]
fn elements_of_any_size_are_unshuffled() {
    let bytes: Vec<u8> = (0..=254).collect();
    for size in [1, 2, 3, 4, 5, 8, 15, 17] {
        let whole = bytes.len() / size * size;
        let mut stored = shuffled(&bytes[..whole], size);
        stored.extend_from_slice(&bytes[whole..]);
        let mut out = vec![0; bytes.len()];
        unshuffle(size, &stored, &mut out).unwrap();
        assert_eq!(out, bytes, "{size}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_filter(
        which in 0usize..10,
        values in proptest::collection::vec(prop_oneof![0u32..20, any::<u32>()], 0..8),
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        len in 0usize..300,
    ) {
        let ids = [1, 2, 3, 32000, 32001, 32004, 32008, 32015, 4, 9];
        let _ = undone(&[filter(ids[which], &values)], 0, &bytes, len);
        let _ = undone(&[filter(2, &values), filter(ids[which], &values), filter(3, &[])], 0, &bytes, len);
    }

    /// A header that is right, with anything behind it.
    #[test]
    fn blosc_of_anything(
        flags in any::<u8>(),
        element in 0u8..20,
        size in 1u32..64,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let total = 64u32;
        let mut bytes = vec![2, 1, flags, element];
        for word in [total, size, body.len() as u32 + 16, 20, 24, 28] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(body);
        let _ = undone(&[filter(BLOSC, &[])], 0, &bytes, total as usize);
    }
}
