//! From a file's bytes to JSON that can be taken as it stands: UTF-8, and no key twice in an object.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// What to do about a key that is written twice.
pub const ONCE: &str = "rename or remove one of the two";

const UTF_8: &str = "save it as UTF-8 without a byte order mark";

/// The text of a graph file.
///
/// # Errors
/// Reason and next step, when its encoding is another one.
pub fn utf8(bytes: &[u8]) -> Result<&str, (String, &'static str)> {
    let utf16 = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16: it begins with a byte order mark"),
        // JSON begins with two characters of ASCII.
        [0, _, ..] | [_, 0, ..] => Some("is UTF-16: every other byte is zero"),
        _ => None,
    };
    if let Some(reason) = utf16 {
        return Err((reason.to_owned(), UTF_8));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let lines = bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        (format!("is not UTF-8 in line {}", lines + 1), UTF_8)
    })?;
    unmarked(text).map(|()| text)
}

/// Looks for a byte order mark.
///
/// # Errors
/// Reason and next step, when there is one.
pub fn unmarked(text: &str) -> Result<(), (String, &'static str)> {
    match text.starts_with('\u{feff}') {
        true => Err(("begins with a byte order mark".to_owned(), UTF_8)),
        false => Ok(()),
    }
}

/// Looks for keys that are written twice in one object: serde_json would keep the last.
///
/// # Errors
/// With line and column, when there is one, or when it is no JSON.
pub fn each_key_once(json: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str(json).map(|Once| ())
}

/// JSON of which only the keys are looked at.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E: Error>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Once, A::Error> {
        while seq.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut known = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if known.contains(&key) {
                return Err(A::Error::custom(format!("{key:?} is written twice")));
            }
            map.next_value::<Once>()?;
            known.insert(key);
        }
        Ok(Once)
    }
}
