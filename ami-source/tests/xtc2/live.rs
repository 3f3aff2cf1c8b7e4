//! A file that is being written is followed until its run ends.

use super::common::{Replay, data, open};
use std::fs::OpenOptions;
use std::io::Write;

#[test]
fn a_growing_file_is_followed() {
    let Some(root) = data() else { return };
    let bytes = std::fs::read(root.join("fakesteps/xpptut15-r0014-s000-c000.xtc2")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xpptut15-r0014-s000-c000.xtc2.inprogress");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let mut source = open(std::slice::from_ref(&path)).unwrap();
    let mut replay = Replay::default();
    for part in bytes.chunks(100) {
        replay.go_on(&mut source, 10, None);
        assert!(!replay.ended);
        file.write_all(part).unwrap();
    }
    replay.go_on(&mut source, 10, None);
    assert!(replay.ended, "EndRun ends it");
    assert_eq!((replay.events.len(), replay.transitions.len()), (10, 11));
    assert_eq!(replay.count("truncated"), 0);
}

#[test]
fn a_live_chunk_is_followed_by_the_next_when_it_comes() {
    let Some(root) = data() else { return };
    let from = root.join("chunking");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xpptut15-r0014-s000-c000.xtc2.inprogress");
    std::fs::copy(from.join("xpptut15-r0014-s000-c000.xtc2"), &path).unwrap();
    let mut source = open(std::slice::from_ref(&path)).unwrap();
    let mut replay = Replay::default();
    replay.go_on(&mut source, 100, None);
    assert_eq!((replay.ended, replay.events.len()), (false, 10));
    let second = "data-r0001-s000-c001.xtc2";
    let live = folder.path().join(format!("{second}.inprogress"));
    std::fs::copy(from.join(second), live).unwrap();
    replay.go_on(&mut source, 100, None);
    assert_eq!((replay.ended, replay.events.len()), (true, 15));
}

#[test]
fn a_live_file_that_is_renamed_has_ended() {
    let Some(root) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("jungfrau05M.xtc2");
    let path = folder.path().join("jungfrau05M.xtc2.inprogress");
    std::fs::copy(root.join("jungfrau05M.xtc2"), &path).unwrap();
    let mut source = open(std::slice::from_ref(&path)).unwrap();
    let mut replay = Replay::default();
    replay.go_on(&mut source, 100, None);
    assert!(!replay.ended, "no EndRun: more may come");
    std::fs::rename(&path, &done).unwrap();
    replay.go_on(&mut source, 100, None);
    assert_eq!((replay.ended, replay.events.len()), (true, 2));
}

#[test]
fn a_file_that_shrinks_ends_the_stream() {
    let Some(root) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shrinks.xtc2");
    std::fs::copy(root.join("jungfrau05M.xtc2"), &path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let mut source = open(std::slice::from_ref(&path)).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(1_500_000).unwrap();
    let mut replay = Replay::default();
    replay.go_on(&mut source, 100, None);
    assert!(replay.ended);
    assert_eq!((replay.events.len(), replay.count("truncated")), (1, 1));
}
