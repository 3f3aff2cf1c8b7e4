//! What is written is read; what is not that is refused.

use crate::root::builder::Mark;
use crate::root::checkpoint::*;
use ami_proto::data_path::ids::Progress;
use proptest::prelude::*;

fn image() -> Image {
    let mut builder = RootBuilder::default();
    let progress = Progress { flushes: 1, ..Progress::default() };
    builder.forward("host", 7, 0, Mark { progress, events: 3 });
    let header = Header {
        builder,
        graphs: vec![2],
        version: Some(2),
        lengths: vec![vec![5, 0, 13], vec![3]],
        ..Header::default()
    };
    Image { header, body: vec![vec![1; 5], vec![], vec![2; 13], vec![3; 3]] }
}

fn written() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.checkpoint");
    write(&path, &image()).unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn it_is_read_as_written_and_its_mode_is_tight() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.checkpoint");
    assert!(load(&path, 1 << 20).unwrap().is_none());
    write(&path, &image()).unwrap();
    let read = load(&path, 1 << 20).unwrap().unwrap();
    assert_eq!(read.header.builder, image().header.builder);
    assert_eq!(read.header.version, Some(2));
    let states = read.states().unwrap();
    assert_eq!(states, [vec![&[1; 5][..], &[], &[2; 13]], vec![&[3; 3][..]]]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(load(&path, 50), Err(LoadError::Damaged(_))), "more than allowed");
}

#[test]
fn a_failed_write_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.checkpoint");
    write(&path, &image()).unwrap();
    std::fs::create_dir(path.with_extension("new")).unwrap();
    assert!(write(&path, &image()).is_err());
    assert!(load(&path, 1 << 20).unwrap().is_some());
}

#[test]
fn another_layout_is_named() {
    let mut bytes = written();
    bytes[8] = 99;
    let error = decode(bytes).unwrap_err();
    assert!(matches!(error, LoadError::Layout(99)), "{error}");
}

proptest! {
    #[test]
    fn damage_is_refused_or_harmless(at in 0usize..200, value: u8, cut in 0usize..200, heal: bool) {
        let mut bytes = written();
        let at = at % bytes.len();
        bytes[at] = value;
        bytes.truncate(bytes.len().saturating_sub(cut / 2));
        if heal && bytes.len() > PREFIX {
            // Past the checksum: what comes after it must not be trusted either.
            let sum = Checksum::of([&bytes[PREFIX..]].into_iter());
            bytes[32..40].copy_from_slice(&sum.to_le_bytes());
        }
        if let Ok(restored) = decode(bytes) {
            let _ = restored.states();
        }
    }
}
