//! Bytes in JSON: base64 (RFC 4648, padded), for the files that travel with a graph set.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes to text.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |g, &b| g << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let symbol = ALPHABET[(group >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= chunk.len() { symbol as char } else { '=' });
        }
    }
    text
}

/// Text to bytes; None when it is not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.trim_end_matches('=');
    if text.len() - body.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0u32, 0);
    for symbol in body.bytes() {
        let six = ALPHABET.iter().position(|&a| a == symbol)? as u32;
        group = group << 6 | six;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

/// A map of files, for serde.
pub mod map {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    /// Writes each file as base64.
    pub fn serialize<S: Serializer>(
        files: &BTreeMap<String, Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(files.iter().map(|(hash, bytes)| (hash, super::encode(bytes))))
    }

    /// Reads each file from base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer)?
            .into_iter()
            .map(|(hash, text)| {
                let bytes = super::decode(&text).ok_or_else(|| {
                    serde::de::Error::custom(format!("file {hash} is not base64"))
                })?;
                Ok((hash, bytes))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_and_every_length() {
        assert_eq!(encode(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(decode("YW55IGNhcm5hbCBwbGVhcw=="), Some(b"any carnal pleas".to_vec()));
        let bytes: Vec<u8> = (0..=255).collect();
        (0..bytes.len())
            .for_each(|n| assert_eq!(decode(&encode(&bytes[..n])).unwrap(), bytes[..n]));
        assert_eq!(decode("a==="), None);
        assert_eq!(decode("ab!="), None);
    }
}
