//! Encoding of the messages between daemons; the only file that names the codec.
//!
//! A header frame is: `b"ami"`, the protocol version, a checksum of the rest (u32), then the message
//! in bincode (little-endian, fixed-width integers). Arrays travel beside it as raw frames, never
//! through it. The checksum keeps a damaged message from being understood as another one.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

/// Raised with every change of a message's bytes; `tests/golden.rs` notices one.
pub const PROTOCOL_VERSION: u8 = 4;

/// Largest header accepted. Schemas of a thousand fields take some 100 KiB.
pub const MAX_HEADER: u64 = 64 << 20;

const PREFIX: [u8; 4] = [b'a', b'm', b'i', PROTOCOL_VERSION];

/// A header that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not from an ami daemon at all.
    #[error("not an ami message ({0} bytes)")]
    Ignored(usize),
    /// From another release.
    #[error(
        "message of protocol version {0}, this build speaks {PROTOCOL_VERSION}: run the same release everywhere"
    )]
    Version(u8),
    /// The prefix is right, the rest is not.
    #[error("damaged message: {0}")]
    Damaged(String),
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(MAX_HEADER).with_fixint_encoding()
}

/// Encodes a header.
///
/// # Panics
/// When the message is larger than [`MAX_HEADER`]: senders bound what they put in.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Most are shorter: made without growing.
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&PREFIX);
    bytes.extend_from_slice(&[0; 4]);
    options().serialize_into(&mut bytes, message).expect("messages have a bounded size");
    seal(&mut bytes);
    bytes
}

/// Makes the checksum of a header right.
pub fn seal(header: &mut [u8]) {
    if let Some((head, body)) = header.split_first_chunk_mut::<8>() {
        head[4..].copy_from_slice(&checksum(body).to_le_bytes());
    }
}

/// FNV-1a: of two bodies that differ in one byte it is never the same.
fn checksum(body: &[u8]) -> u32 {
    body.iter().fold(0x811c_9dc5, |h: u32, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

/// Decodes a header, whatever the bytes are.
///
/// # Errors
/// When they are no message of type `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first_chunk::<4>() {
        Some((prefix, rest)) if *prefix == PREFIX => match rest.split_first_chunk::<4>() {
            Some((sum, body)) if u32::from_le_bytes(*sum) == checksum(body) => {
                options().deserialize(body).map_err(|e| CodecError::Damaged(e.to_string()))
            }
            _ => Err(CodecError::Damaged("its checksum is wrong".into())),
        },
        Some((prefix, _)) if prefix[..3] == PREFIX[..3] => Err(CodecError::Version(prefix[3])),
        _ => Err(CodecError::Ignored(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_old_and_damaged_bytes_are_told_apart() {
        let good = encode(&(1u32, "x".to_string()));
        assert_eq!(decode::<(u32, String)>(&good).unwrap().1, "x");
        assert!(matches!(decode::<(u32, String)>(b"GET / HTTP"), Err(CodecError::Ignored(10))));
        let mut old = good.clone();
        old[3] = 0;
        assert_eq!(decode::<(u32, String)>(&old), Err(CodecError::Version(0)));
        assert!(matches!(decode::<(u32, String)>(&good[..9]), Err(CodecError::Damaged(_))));
        let mut huge = good;
        huge[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<(u32, String)>(&huge).unwrap_err().to_string().contains("checksum"));
        seal(&mut huge);
        assert!(matches!(decode::<(u32, String)>(&huge), Err(CodecError::Damaged(_))));
    }
}
