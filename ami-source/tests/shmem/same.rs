//! What comes through shared memory is what the same files give.

use super::bench::{Bench, options, tag};
use super::common::{Replay, data, replay};
use ami_shmem_server::dgram;
use ami_source::shmem::ShmemOptions;
use std::path::PathBuf;
use std::sync::Arc;

/// Labels of enumerations stand in events, which a live source has not yet seen at Configure.
fn without_labels(replay: &mut Replay) {
    let unlabel = |schema: &mut Arc<_>| {
        let schema: &mut ami_graph::data::schema::Schema = Arc::make_mut(schema);
        schema.fields.iter_mut().for_each(|f| f.labels.clear());
    };
    unlabel(&mut replay.schema);
    replay.transitions.iter_mut().filter_map(|t| t.schema.as_mut()).for_each(unlabel);
}

fn served(files: &[PathBuf], clients: usize, hold: usize) -> Replay {
    let streams: Vec<_> = files.iter().map(|f| dgram::file(f).unwrap()).collect();
    let dgrams = dgram::merged(&streams);
    let largest = dgrams.iter().map(Vec::len).max().unwrap();
    let mut server = options(&tag(), clients);
    server.size = largest.max(1 << 16);
    let mut bench = Bench::of(server, ShmemOptions { clients, hold, ..Default::default() });
    bench.until("connection", |b| b.server().clients() == clients);
    bench.serve(&dgrams);
    let transitions = dgrams.iter().filter(|d| !dgram::is_event(d)).count();
    let all = dgrams.len();
    bench.until("all of it", |b| b.replay.order.len() == all);
    assert_eq!(bench.replay.transitions.len(), transitions);
    let free = bench.server().free();
    bench.wait("all buffers to be back", |b| b.server().free() >= free);
    assert_eq!(bench.server().counts.wrong, 0);
    std::mem::take(&mut bench.replay)
}

fn cases() -> Option<Vec<(&'static str, Vec<PathBuf>)>> {
    let root = data()?;
    let files = |names: &[&str]| names.iter().map(|n| root.join(n)).collect();
    Some(vec![
        ("hsd", files(&["test_hsd.xtc2"])),
        ("jungfrau", files(&["jungfrau05M.xtc2"])),
        ("synthetic", files(&["synthsmall-r0007-s000-c000.xtc2"])),
        (
            "two streams",
            files(&[
                "mixed_rate/xpptut15-r0014-s000-c000.xtc2",
                "mixed_rate/xpptut15-r0014-s001-c000.xtc2",
            ]),
        ),
        (
            "steps",
            files(&[
                "fakesteps/xpptut15-r0014-s000-c000.xtc2",
                "fakesteps/xpptut15-r0014-s001-c000.xtc2",
            ]),
        ),
    ])
}

#[test]
fn the_facilitys_files_give_the_same_through_shared_memory() {
    for (name, files) in cases().unwrap_or_default() {
        println!("{name}");
        let mut expected = replay(&files);
        without_labels(&mut expected);
        // One client's events come in order.
        for (clients, hold) in [(1, 0), (1, 2), (1, 64)] {
            let mut got = served(&files, clients, hold);
            without_labels(&mut got);
            if name == "hsd" {
                // Its last event stands behind Disable in the file, but is older.
                assert_eq!(got.order.pop(), Some("T"));
                assert_eq!(got.order.len() + 1, expected.order.len());
                got.order.clone_from(&expected.order);
            }
            got.same(&expected);
        }
    }
}

#[test]
fn four_clients_together_get_everything_once() {
    let Some((_, files)) = cases().and_then(|cases| cases.into_iter().nth(2)) else { return };
    let mut expected = replay(&files);
    let mut got = served(&files, 4, 0);
    // Which of the clients is the first to read an event of the same moment is nobody's promise.
    got.events.sort_by_key(|e| e.timestamp);
    expected.events.sort_by_key(|e| e.timestamp);
    (got.order, expected.order) = (Vec::new(), Vec::new());
    without_labels(&mut got);
    without_labels(&mut expected);
    got.same(&expected);
}
