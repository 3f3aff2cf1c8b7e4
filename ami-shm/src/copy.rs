//! Copying into the ring past the caches, and fetching out of it ahead of use.

/// From this length on a copy does not go through the caches: its beginning would be evicted by
/// its end anyway, together with everything else.
const STREAM_FROM: usize = 256 << 10;

/// Copies `src` to `dst`; large copies by non-temporal stores, which in a ring larger than the last
/// cache save a quarter to half of the processor time. (In a small ring they hurt: prefer
/// [`crate::RingWriter::write`], which knows the size of the ring.)
///
/// The bytes are in order with all other stores when it returns, so that publishing them is safe.
///
/// # Panics
///
/// If the lengths differ.
pub fn copy(dst: &mut [u8], src: &[u8]) {
    assert_eq!(dst.len(), src.len(), "copy between slices of different lengths");
    if dst.len() < STREAM_FROM {
        dst.copy_from_slice(src);
    } else {
        stream(dst, src);
    }
}

/// Asks for the bytes to be brought into the caches. A hint; has no effect on the program.
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is inside a live slice (and a prefetch never faults anyway).
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

#[cfg(not(target_arch = "x86_64"))]
fn stream(dst: &mut [u8], src: &[u8]) {
    dst.copy_from_slice(src);
}

#[cfg(target_arch = "x86_64")]
fn stream(dst: &mut [u8], src: &[u8]) {
    use std::arch::x86_64::_mm_sfence;
    /// Whole cache lines only: a partly written line costs more than it saves.
    const LINE: usize = 64;

    let before = dst.as_ptr().align_offset(LINE).min(dst.len());
    let lines = (dst.len() - before) / LINE * LINE;
    let (dst_before, dst) = dst.split_at_mut(before);
    let (src_before, src) = src.split_at(before);
    dst_before.copy_from_slice(src_before);
    let (dst_lines, dst_after) = dst.split_at_mut(lines);
    let (src_lines, src_after) = src.split_at(lines);

    // Non-temporal stores are not ordered with others. The first fence keeps them behind the tail
    // that took these bytes from the readers (RingWriter::free_to), the second before the head
    // that will show them (RingWriter::publish).
    // SAFETY: SSE is part of x86_64.
    unsafe { _mm_sfence() };
    if std::is_x86_feature_detected!("avx") {
        // SAFETY: the processor has AVX.
        unsafe { stream_avx(dst_lines, src_lines) };
    } else {
        stream_sse2(dst_lines, src_lines);
    }
    // SAFETY: SSE is part of x86_64.
    unsafe { _mm_sfence() };
    dst_after.copy_from_slice(src_after);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn stream_avx(dst: &mut [u8], src: &[u8]) {
    use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_stream_si256};
    for (to, from) in dst.as_chunks_mut::<64>().0.iter_mut().zip(src.as_chunks::<64>().0) {
        let (to, from) = (to.as_mut_ptr().cast::<__m256i>(), from.as_ptr().cast::<__m256i>());
        debug_assert!(to.is_aligned());
        // SAFETY: both chunks are 64 bytes long, two vectors; the caller has cut `dst` so that its
        // chunks are aligned to 64, and the loads need no alignment.
        unsafe {
            let (a, b) = (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)));
            _mm256_stream_si256(to, a);
            _mm256_stream_si256(to.add(1), b);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn stream_sse2(dst: &mut [u8], src: &[u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
    for (to, from) in dst.as_chunks_mut::<64>().0.iter_mut().zip(src.as_chunks::<64>().0) {
        let (to, from) = (to.as_mut_ptr().cast::<__m128i>(), from.as_ptr().cast::<__m128i>());
        debug_assert!(to.is_aligned());
        for i in 0..4 {
            // SAFETY: both chunks are 64 bytes long, four vectors; the caller has cut `dst` so that
            // its chunks are aligned to 64; SSE2 is part of x86_64.
            unsafe { _mm_stream_si128(to.add(i), _mm_loadu_si128(from.add(i))) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_copy_is_a_copy(len in (0_usize..4).prop_flat_map(|i| match i {
            0 => 0_usize..200,
            1 => STREAM_FROM - 70..STREAM_FROM + 70,
            _ => STREAM_FROM..3 * STREAM_FROM,
        }), to in 0_usize..130, from in 0_usize..130) {
            let src: Vec<u8> = (0..from + len).map(|i| ((i * 31) >> 3) as u8).collect();
            let mut dst = vec![0xAA; to + len + 100];
            copy(&mut dst[to..to + len], &src[from..]);
            prefetch(&dst);
            prop_assert_eq!(&dst[to..to + len], &src[from..]);
            let untouched = dst[..to].iter().chain(&dst[to + len..]).all(|&b| b == 0xAA);
            prop_assert!(untouched, "bytes outside were written");
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_instruction_sets_agree() {
        let src: Vec<u8> = (0..64_000).map(|i| (i % 251) as u8).collect();
        let mut room = vec![0; 64_064];
        let start = room.as_ptr().align_offset(64);
        stream_sse2(&mut room[start..start + 64_000], &src);
        assert_eq!(&room[start..start + 64_000], &src);
    }
}
