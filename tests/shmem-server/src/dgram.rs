//! Datagrams: split from files, and built from those of several streams as the monitoring event
//! builder does.

use std::path::Path;

/// Transition ids.
pub const CONFIGURE: u8 = 2;
/// See [`CONFIGURE`].
pub const ENABLE: u8 = 8;
/// See [`CONFIGURE`].
pub const SLOW_UPDATE: u8 = 10;
/// Bytes of a datagram's header.
const HEADER: usize = 24;
/// Level Event of the root.
const EVENT_LEVEL: u32 = 1 << 28;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The transition's id.
pub fn service(dgram: &[u8]) -> u8 {
    (u32_at(dgram, 8) >> 24 & 0xf) as u8
}

/// True of events.
pub fn is_event(dgram: &[u8]) -> bool {
    matches!(service(dgram), 11 | 12)
}

/// Seconds in the high word.
pub fn timestamp(dgram: &[u8]) -> u64 {
    u64::from(u32_at(dgram, 4)) << 32 | u64::from(u32_at(dgram, 0))
}

/// The same at another time.
pub fn at(dgram: &[u8], timestamp: u64) -> Vec<u8> {
    let mut dgram = dgram.to_vec();
    dgram[..4].copy_from_slice(&(timestamp as u32).to_le_bytes());
    dgram[4..8].copy_from_slice(&((timestamp >> 32) as u32).to_le_bytes());
    dgram
}

/// All whole datagrams of a file.
///
/// # Errors
/// When it cannot be read.
pub fn file(path: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    Ok(split(&std::fs::read(path)?))
}

/// All whole datagrams of bytes.
pub fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while bytes.len() >= HEADER {
        let size = HEADER - 12 + u32_at(bytes, 20) as usize;
        if size < HEADER || size > bytes.len() {
            break;
        }
        let (dgram, rest) = bytes.split_at(size);
        all.push(dgram.to_vec());
        bytes = rest;
    }
    all
}

/// One datagram of a pulse: a root of level Event with one Parent for each stream that takes part.
pub fn built(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let (_, first) = parts[0];
    let mut dgram = first[..HEADER].to_vec();
    let mut damage = 0;
    for (stream, part) in parts {
        let root = &part[12..];
        damage |= u16::from_le_bytes([root[4], root[5]]);
        let at = dgram.len();
        dgram.extend_from_slice(root);
        // The child is the stream's root, under its node's number.
        dgram[at..at + 4].copy_from_slice(&(*stream as u32).to_le_bytes());
        if parts.len() > 1 || *stream > 0 {
            renumber(&mut dgram[at + 12..], *stream as u32);
        }
    }
    let extent = (dgram.len() - 12) as u32;
    dgram[12..16].copy_from_slice(&EVENT_LEVEL.to_le_bytes());
    dgram[16..18].copy_from_slice(&damage.to_le_bytes());
    dgram[20..24].copy_from_slice(&extent.to_le_bytes());
    dgram
}

/// Nodes of different streams have different numbers in the facility; recordings may repeat them.
fn renumber(mut xtcs: &mut [u8], stream: u32) {
    while xtcs.len() >= 12 {
        let (src, kind) = (u32_at(xtcs, 0), xtcs[6]);
        let (xtc, rest) = xtcs.split_at_mut(u32_at(xtcs, 8) as usize);
        match kind {
            0 => renumber(&mut xtc[12..], stream),
            1 | 4 => xtc[..4].copy_from_slice(&(src + ((stream * 64) << 8)).to_le_bytes()),
            _ => {}
        }
        xtcs = rest;
    }
}

/// Merges streams by timestamp; Configures come together whatever theirs are.
pub fn merged(streams: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let mut heads = vec![0; streams.len()];
    let mut all = Vec::new();
    loop {
        let there: Vec<(usize, &[u8])> = heads
            .iter()
            .enumerate()
            .filter_map(|(s, &at)| Some((s, streams[s].get(at)?.as_slice())))
            .collect();
        let order = |d: &[u8]| (timestamp(d), is_event(d), service(d));
        let Some(&(_, first)) = there.iter().min_by_key(|(_, d)| order(d)) else { return all };
        let same = |d: &[u8]| {
            service(d) == service(first)
                && (service(d) == CONFIGURE || timestamp(d) == timestamp(first))
        };
        let parts: Vec<(usize, &[u8])> = there.into_iter().filter(|(_, d)| same(d)).collect();
        parts.iter().for_each(|(s, _)| heads[*s] += 1);
        all.push(built(&parts));
    }
}
