//! What is encoded by the book is decoded; what is damaged does no harm.

use crate::codecs::{CodecError, bitshuffle, bslz4, bslz4_blocks, lz4, lz4 as framed};
use proptest::prelude::*;

/// Bitshuffle by its definition, bit for bit.
fn shuffled(block: &[u8], element: usize) -> Vec<u8> {
    let n = block.len() / element;
    let mut out = vec![0; block.len()];
    for (e, bytes) in block.chunks_exact(element).enumerate() {
        for (k, byte) in bytes.iter().enumerate() {
            for b in 0..8 {
                out[(8 * k + b) * (n / 8) + e / 8] |= (byte >> b & 1) << (e % 8);
            }
        }
    }
    out
}

fn head(len: usize, block: usize) -> Vec<u8> {
    let mut out = (len as u64).to_be_bytes().to_vec();
    out.extend_from_slice(&(block as u32).to_be_bytes());
    out
}

fn put(out: &mut Vec<u8>, block: &[u8]) {
    out.extend_from_slice(&(block.len() as u32).to_be_bytes());
    out.extend_from_slice(block);
}

/// As HDF5's filter writes it, with its head.
fn bitshuffled(data: &[u8], element: usize, block: usize) -> Vec<u8> {
    let whole = data.len() / element / 8 * 8 * element;
    let size = block / element / 8 * 8 * element;
    let mut out = head(data.len(), block);
    for block in data[..whole].chunks(size) {
        put(&mut out, &lz4_flex::block::compress(&shuffled(block, element)));
    }
    out.extend_from_slice(&data[whole..]);
    out
}

fn compressed(data: &[u8], block: usize) -> Vec<u8> {
    let mut out = head(data.len(), block);
    for block in data.chunks(block) {
        let small = lz4_flex::block::compress(block);
        put(&mut out, if small.len() < block.len() { &small } else { block });
    }
    out
}

/// Bytes with long and short repetitions of every distance, and without.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let piece = (proptest::collection::vec(any::<u8>(), 1..40), 1usize..60)
        .prop_map(|(bytes, times)| bytes.repeat(times));
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_encoded_is_decoded(
        data in data(),
        element in prop_oneof![Just(1usize), Just(2), Just(4), Just(8), 3usize..13],
        block in prop_oneof![Just(8192usize), 104usize..40_000],
    ) {
        let data = &data[..data.len() / element * element];
        let mut out = vec![0xaa; data.len()];
        bslz4(&bitshuffled(data, element, block), element, &mut out).unwrap();
        prop_assert_eq!(&out, data);
        out.fill(0xaa);
        bslz4_blocks(&bitshuffled(data, element, block)[12..], element, block, &mut out).unwrap();
        prop_assert_eq!(&out, data);
        out.fill(0xaa);
        framed(&compressed(data, block), &mut out).unwrap();
        prop_assert_eq!(&out, data);
        out.fill(0xaa);
        lz4::block(&lz4_flex::block::compress(data), &mut out).unwrap();
        prop_assert_eq!(&out, data);
    }

    #[test]
    fn damage_is_an_error_or_other_bytes_but_never_harm(
        data in data(),
        at in any::<proptest::sample::Index>(),
        flip in 1u8..,
        cut in any::<proptest::sample::Index>(),
        element in 1usize..9,
    ) {
        let data = &data[..data.len() / element * element];
        let mut out = vec![0; data.len()];
        for good in [bitshuffled(data, element, 1024), compressed(data, 1000)] {
            let mut bad = good.clone();
            let at = at.index(bad.len());
            bad[at] ^= flip;
            let short = &good[..cut.index(good.len())];
            for bytes in [&bad[..], short] {
                let _ = bslz4(bytes, element, &mut out);
                let _ = bslz4_blocks(bytes, element, 512, &mut out);
                let _ = framed(bytes, &mut out);
                let _ = lz4::block(bytes, &mut out);
            }
            prop_assert!(bslz4(short, element, &mut out).is_err());
        }
    }
}

#[test]
fn planes_without_compression_become_elements() {
    for element in [1, 2, 3, 4, 8] {
        let data: Vec<u8> = (0..5003 * element).map(|i| (i * i / 7) as u8).collect();
        let size = 1000 / element / 8 * 8 * element;
        let whole = data.len() / element / 8 * 8 * element;
        let mut planes: Vec<u8> =
            data[..whole].chunks(size).flat_map(|block| shuffled(block, element)).collect();
        planes.extend_from_slice(&data[whole..]);
        let mut out = vec![0; data.len()];
        bitshuffle::unshuffle(&planes, element, 1000, &mut out).unwrap();
        assert!(out == data, "elements of {element} bytes");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let data = [7; 100];
    let good = bitshuffled(&data, 2, 8192);
    let mut out = [0; 100];
    let length = CodecError::Length { found: 100, expected: 50 };
    assert_eq!(bslz4(&good, 2, &mut [0; 50]), Err(length));
    assert_eq!(bslz4(&good[..5], 2, &mut out), Err(CodecError::Short));
    assert_eq!(bslz4(&[&good[..], &[1]].concat(), 2, &mut out), Err(CodecError::Trailing(1)));
    assert_eq!(bslz4(&good, 0, &mut out), Err(CodecError::Element(0)));
    assert_eq!(bslz4(&bitshuffled(&data, 2, 16), 4, &mut out), Err(CodecError::Block(16)));
    assert_eq!(lz4::block(&[], &mut out), Err(CodecError::Damaged));
    assert_eq!(lz4::block(&[0x10, 7, 0, 0, 0], &mut out), Err(CodecError::Damaged), "offset 0");
    // A length that would be gigabytes.
    let mut bomb = vec![0x1f, 7, 1, 0];
    bomb.resize(1 << 20, 255);
    assert_eq!(lz4::block(&bomb, &mut out), Err(CodecError::Damaged));
    let mut huge = head(100, u32::MAX as usize);
    huge.extend_from_slice(&good[12..]);
    bslz4(&huge, 2, &mut out).unwrap();
    assert_eq!(out, data, "memory is taken for what is there, not for what is said");
}
