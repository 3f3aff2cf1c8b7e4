//! What flushes need to be understood (schemas, graphs, contexts), as it goes to the root: kept for a root
//! that asks for it. Bounded: the oldest are forgotten first. Pure.

use std::collections::BTreeMap;

/// In the order in which the root must hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Schema,
    Graphs,
    Context,
}

/// Epoch, kind, number or version.
pub type Name = (u64, Kind, u64);

/// Most of one kind in one epoch. Flushes in flight need only the newest few.
const MOST: usize = 4096;

/// Most bytes of all together: a graph set with the files that it names has up to 128 MiB.
const BYTES: usize = 256 << 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Told {
    kept: BTreeMap<Name, Vec<Vec<u8>>>,
    bytes: usize,
}

impl Told {
    /// Keeps the frames of a message.
    pub fn keep(&mut self, name: Name, frames: Vec<Vec<u8>>) {
        self.bytes += size(&frames);
        if let Some(old) = self.kept.insert(name, frames) {
            self.bytes -= size(&old);
        }
        let (epoch, kind, _) = name;
        let same = (epoch, kind, 0)..=(epoch, kind, u64::MAX);
        if self.kept.range(same.clone()).count() > MOST {
            let oldest = self.kept.range(same).next().map(|(name, _)| *name);
            self.forget(oldest);
        }
        while self.bytes > BYTES && self.kept.len() > 1 {
            self.forget(self.kept.first_key_value().map(|(name, _)| *name));
        }
    }

    fn forget(&mut self, name: Option<Name>) {
        let Some(name) = name else { return };
        if let Some(old) = self.kept.remove(&name) {
            self.bytes -= size(&old);
        }
    }

    /// All messages of an epoch, in order.
    pub fn of(&self, epoch: u64) -> impl Iterator<Item = &Vec<Vec<u8>>> {
        self.kept.range((epoch, Kind::Schema, 0)..=(epoch, Kind::Context, u64::MAX)).map(|(_, f)| f)
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size(frames: &[Vec<u8>]) -> usize {
    frames.iter().map(Vec::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_replace_and_the_order_is_that_of_need() {
        let mut told = Told::default();
        told.keep((1, Kind::Graphs, 3), vec![b"graphs".to_vec()]);
        told.keep((1, Kind::Schema, 0), vec![b"schema".to_vec()]);
        told.keep((1, Kind::Graphs, 3), vec![b"graphs".to_vec()]);
        told.keep((2, Kind::Graphs, 7), vec![b"graphs".to_vec()]);
        let of: Vec<_> = told.of(1).map(|f| f[0].as_slice()).collect();
        assert_eq!(of, [&b"schema"[..], b"graphs"]);
        assert_eq!(told.bytes(), 6 + 6 + 6);
    }

    #[test]
    fn count_and_bytes_are_bounded() {
        let mut told = Told::default();
        (0..MOST as u64 + 10).for_each(|n| told.keep((1, Kind::Schema, n), vec![vec![0; 8]]));
        assert_eq!(told.of(1).count(), MOST);
        (0..40).for_each(|n| told.keep((2, Kind::Graphs, n), vec![vec![0; BYTES / 32]]));
        assert!(told.bytes() <= BYTES);
        assert!(told.of(2).count() > 30, "the newest stay");
    }
}
