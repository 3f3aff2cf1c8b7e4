//! Readers of bytes alone: any bytes give a value or a problem.

use crate::hdf5::format::cursor::{Cursor, Widths};
use crate::hdf5::format::element::{Class, Element};
use crate::hdf5::format::layout::Layout;
use crate::hdf5::format::space::{self, Space};
use crate::hdf5::format::superblock::Superblock;
use crate::hdf5::format::{MAX_AXES, mapping};
use proptest::prelude::*;

const WIDTHS: Widths = Widths { offset: 8, length: 8 };

/// Messages of a dataset that h5py wrote: a virtual one's list, types, spaces and layouts.
fn samples() -> Vec<Vec<u8>> {
    let part = |kind: u32, body: &[u8]| [&kind.to_le_bytes()[..], body].concat();
    let all = part(3, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let numbers: Vec<u8> =
        [0u64, 1, 12, 1, 0, 1, 1, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    let slab = part(2, &[&[2, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0][..], &numbers].concat());
    let list = [&[0, 1, 0, 0, 0, 0, 0, 0, 0][..], b".\0/entry/x\0", &all, &slab].concat();
    let float = [0x11, 0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0];
    let truth = [
        &[0x18, 2, 0, 0, 1, 0, 0, 0, 0x10, 8, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0][..],
        b"FALSE\0\0\0TRUE\0\0\0\0",
        &[0, 1],
    ]
    .concat();
    let space = [&[2, 1, 1, 1][..], &12u64.to_le_bytes(), &[255; 8]].concat();
    let chunked =
        [&[4, 2, 0, 2, 1, 7, 8, 4, 32, 4, 4, 16, 10][..], &4096u64.to_le_bytes()].concat();
    vec![list, float.to_vec(), truth, space, chunked]
}

fn read_all(bytes: &[u8]) {
    let c = || Cursor::new(bytes, WIDTHS);
    if let Ok(element) = Element::parse(&mut c()) {
        let refused = matches!(element.class, Class::Refused(_));
        assert!(refused || element.size <= 1 << 20);
        assert!(element.describe().len() < 1 << 16);
    }
    if let Ok(space) = Space::parse(&mut c()) {
        assert!(space.shape.len() <= MAX_AXES);
        space.per_row();
    }
    let _ = Layout::parse(&mut c());
    let _ = space::filters(&mut c());
    let _ = space::fill(&mut c(), true);
    let _ = space::fill(&mut c(), false);
    let _ = Superblock::parse(bytes, 0);
    if let Ok(parts) = mapping::parse(&mut c()) {
        assert!(parts.len() <= 1 << 24);
    }
}

#[test]
fn the_samples_are_what_they_are() {
    let samples = samples();
    let c = |i: usize| Cursor::new(&samples[i], WIDTHS);
    let parts = mapping::parse(&mut c(0)).unwrap();
    assert_eq!(parts[0].to.as_ref().unwrap().count, [12, 8]);
    assert!(parts[0].from.is_none());
    assert_eq!(Element::parse(&mut c(1)).unwrap().describe(), "float64");
    assert_eq!(Element::parse(&mut c(2)).unwrap().describe(), "bool");
    assert_eq!(Space::parse(&mut c(3)).unwrap().most, [None]);
    assert!(matches!(Layout::parse(&mut c(4)).unwrap(), Layout::Chunked(_)));
}

#[test]
fn types_that_ami_has_not_are_told_apart() {
    for (class, name) in [(6u8, "compound"), (7, "reference"), (5, "opaque"), (11, "complex")] {
        let bytes = [0x10 | class, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
        let element = Element::parse(&mut Cursor::new(&bytes, WIDTHS)).unwrap();
        assert_eq!(element.class, Class::Refused(name.into()));
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn samples_with_damage(
        which in 0usize..5,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = samples()[which].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        read_all(&bytes);
    }
}
