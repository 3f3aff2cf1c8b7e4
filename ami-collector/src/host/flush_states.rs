//! States of a flush as its host holds them: as they came while one partial is all there is, else merged.
//!
//! Most flushes are the work of one worker. To read their states and to write them again would be most
//! of what a host collector does before the root has them.

use ami_graph::wire::partial::Partial;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub enum States {
    /// Of no unit yet.
    #[default]
    None,
    /// Of one partial, as it came: a header, then large arrays. Nobody has read them yet.
    Came(Vec<Vec<u8>>),
    /// Of several, or read already.
    Merged(Partial),
}

/// Why states are not added to others, and which of them are to be left out.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The new ones, which cannot be read.
    New(String),
    /// Those held, which cannot be read; the new ones have taken their place.
    Held(String),
    /// All: they do not belong together. What was merged is half of it.
    All(String),
}

impl From<Partial> for States {
    fn from(partial: Partial) -> States {
        States::Merged(partial)
    }
}

impl States {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            States::None => 0,
            States::Came(frames) => frames.iter().map(Vec::len).sum(),
            States::Merged(partial) => partial.bytes(),
        }
    }

    /// Adds those of another partial.
    ///
    /// # Errors
    /// Which states are not to be used.
    pub fn add(&mut self, other: States) -> Result<(), Unfit> {
        if let States::None = self {
            *self = other;
            return Ok(());
        }
        let other = other.read().map_err(Unfit::New)?;
        let mut merged = match std::mem::take(self).read() {
            Ok(held) => held,
            Err(reason) => {
                *self = States::Merged(other);
                return Err(Unfit::Held(reason));
            }
        };
        merged.merge(other).map_err(|e| Unfit::All(e.to_string()))?;
        *self = States::Merged(merged);
        Ok(())
    }

    fn read(self) -> Result<Partial, String> {
        match self {
            States::None => Ok(Partial::default()),
            States::Came(frames) => read(&frames).map_err(|e| e.to_string()),
            States::Merged(partial) => Ok(partial),
        }
    }

    /// As they go to the root: a header, then large arrays.
    pub fn into_frames(self) -> Vec<Vec<u8>> {
        let partial = match self {
            States::Came(frames) => return frames,
            States::Merged(partial) => partial,
            States::None => Partial::default(),
        };
        let (header, arrays) = partial.encode();
        std::iter::once(header).chain(arrays).collect()
    }
}

/// Reads states as they came.
///
/// # Errors
/// When they are none.
pub fn read(frames: &[Vec<u8>]) -> Result<Partial, ami_graph::error::DecodeError> {
    let (header, arrays) = frames.split_first().map_or((&[][..], &[][..]), |(h, a)| (&h[..], a));
    Partial::decode(header, &arrays.iter().map(Vec::as_slice).collect::<Vec<_>>())
}
