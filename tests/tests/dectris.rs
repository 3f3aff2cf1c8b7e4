//! Streams of DECTRIS detectors through the whole system: a sender that was written from the description,
//! real sockets, all daemons.

use ami_tests::sender::Sender;
use ami_tests::{System, shared_data, until};
use rustix::process::Signal;
use serde_json::{Value, json};

const SIZE: (usize, usize) = (32, 40);

fn graph(image: &str) -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "dectris:raw:frame"},
        "frames": {"op": "sum", "in": "dectris:raw:frame"},
        "image": {"op": "sum", "in": image},
    }})
}

/// The detector, and a system that listens to it.
fn pair(options: &str, workers: usize) -> Option<(Sender, System)> {
    let sender = detector("tcp://127.0.0.1:*")?;
    let system = listener(&sender, options, workers);
    Some((sender, system))
}

fn detector(address: &str) -> Option<Sender> {
    Sender::start("send_dectris.py", &[address], &["numpy", "zmq"])
}

fn listener(sender: &Sender, options: &str, workers: usize) -> System {
    let source = format!("dectris:{}{options}", sender.address());
    // The first images of a stream may be waited for longer than a heartbeat.
    System::of(&source).workers(workers).set("ventilator.chunk_events=7").start()
}

/// Sum of the pixels of frames, as the sender makes them.
fn sums(frames: impl Iterator<Item = u64>) -> Vec<i64> {
    let mut sums = vec![0; SIZE.0 * SIZE.1];
    for frame in frames {
        for (i, sum) in (0u64..).zip(&mut sums) {
            *sum += ((i * 31 + frame * 7) % 1000 * u64::from(i.is_multiple_of(3))) as i64;
        }
    }
    sums
}

/// Waits until so many images of a run are in, and compares what came of them.
fn expect(system: &System, run: i64, frames: impl Iterator<Item = u64> + Clone) {
    let count = frames.clone().count() as f64;
    let of_run = |f: &ami_tests::client::Feature| {
        f.header["run"] == run && f.header["window_events"].as_f64() == Some(count)
    };
    let n = system.get_when("g/n", of_run);
    assert_eq!(n.header["window_complete"], true, "{}", n.header);
    assert_eq!(n.value("value"), count);
    let total = system.get_when("g/frames", of_run);
    assert_eq!(total.value("value"), frames.clone().sum::<u64>() as f64);
    let image = system.get_when("g/image", of_run);
    assert!(image.i64s("value") == sums(frames), "run {run}: {}", image.header);
}

fn counter(system: &System, what: &str) -> f64 {
    let name = format!("ami_source_total{{what=\"{what}\"}}");
    until(what, || system.metric("ventilator", &name))
}

fn is_in_state(system: &System, words: &str) {
    until(words, || {
        let status = system.status();
        let members = status["members"].as_array()?;
        let ventilator = members.iter().find(|m| m["role"] == "ventilator")?;
        ventilator["state"].as_str()?.contains(words).then_some(())
    });
}

#[test]
fn both_versions_and_every_packing_give_the_same_with_any_number_of_workers() {
    for workers in [1, 2, 3] {
        let Some((mut sender, system)) = pair("", workers) else { return };
        for (run, (version, packing)) in (1..).zip([(1, "raw"), (1, "lz4"), (1, "bslz4")]) {
            let order =
                json!({"version": version, "series": run, "frames": [0, 40], "packing": packing});
            sender.tell(order);
            if run == 1 {
                system.apply(&graph("dectris:raw:image"));
            }
            expect(&system, run, 0..40);
        }
        for (run, packing) in (4..).zip(["raw", "lz4", "bslz4"]) {
            let order = json!({"version": 2, "series": run, "frames": [0, 40], "packing": packing});
            sender.tell(order);
            // The name of version 1 means the first threshold.
            expect(&system, run, 0..40);
        }
        until("the count", || (counter(&system, "series") == 6.0).then_some(()));
        for what in ["missing_frames", "damaged_images", "damaged_messages", "unknown_messages"] {
            assert_eq!(counter(&system, what), 0.0, "{what}");
        }
        assert!(system.stop());
    }
}

#[test]
fn golden_messages_are_the_image_they_were_made_of() {
    let Some(data) = shared_data().map(|d| d.join("dectris")) else {
        println!("skipped: no reference data");
        return;
    };
    let npy = std::fs::read(data.join("image_uint16.npy")).unwrap();
    let pixels = npy[npy.len() - 515 * 514 * 2..].chunks_exact(2);
    let right: Vec<i64> = pixels.map(|b| 5 * i64::from(u16::from_le_bytes([b[0], b[1]]))).collect();
    for workers in [1, 2, 3] {
        for version in [1, 2] {
            let Some((mut sender, system)) = pair("", workers) else { return };
            let names: Vec<Vec<String>> = match version {
                1 => ["le", "lz4le", "bs16-lz4le"]
                    .map(|e| {
                        (0..4).map(|k| format!("stream1_image_uint16_{e}.part{k}.bin")).collect()
                    })
                    .to_vec(),
                _ => ["none", "lz4", "bslz4"]
                    .map(|e| vec![format!("stream2_image_uint16_{e}.cbor")])
                    .to_vec(),
            };
            for (at, parts) in names.iter().enumerate() {
                let files: Vec<_> = parts.iter().map(|p| data.join(p)).collect();
                sender.tell(json!({"order": "golden", "files": files, "times": 5}));
                if at == 0 {
                    system.apply(&graph("dectris:raw:image"));
                }
                let wanted = 5 * (at + 1);
                let image = system.get_when("g/image", |f| f.header["window_events"] == wanted);
                let right: Vec<i64> = right.iter().map(|v| v * (at as i64 + 1)).collect();
                assert!(image.i64s("value") == right, "version {version}, {parts:?}");
            }
            let joined = || counter(&system, "series_without_header") == 1.0;
            until("joined in mid series", || joined().then_some(()));
            assert!(system.stop());
        }
    }
}

#[test]
fn lost_frames_are_counted_from_their_numbers() {
    let Some((mut sender, system)) = pair("", 2) else { return };
    let frames = (0..60).filter(|n| ![3, 4, 40].contains(n));
    sender.tell(json!({"version": 2, "series": 5, "frames": [0, 60], "skip": [3, 4, 40]}));
    system.apply(&graph("dectris:raw:threshold_1"));
    expect(&system, 5, frames);
    until("the count", || (counter(&system, "missing_frames") == 3.0).then_some(()));
}

#[test]
fn a_detector_that_freezes_dies_and_comes_back_is_told_apart_and_numbers_are_exact() {
    let Some((mut sender, system)) = pair("", 2) else { return };
    let address = sender.address();
    sender.tell(json!({"version": 1, "series": 1, "frames": [0, 30], "end": false}));
    system.apply(&graph("dectris:raw:image"));
    expect(&system, 1, 0..30);
    sender.signal(Signal::STOP);
    is_in_state(&system, "source silent");
    sender.signal(Signal::CONT);
    sender.tell(
        json!({"version": 1, "series": 1, "frames": [30, 50], "header": false, "end": false}),
    );
    expect(&system, 1, 0..50);
    // In the midst of the series.
    drop(sender);
    is_in_state(&system, "source lost");
    let Some(mut sender) = detector(&address) else { return };
    sender.tell(json!({"version": 1, "series": 1, "frames": [55, 70], "header": false}));
    expect(&system, 1, (0..50).chain(55..70));
    sender.tell(json!({"version": 2, "series": 2, "frames": [0, 20]}));
    expect(&system, 2, 0..20);
    until("the count", || (counter(&system, "missing_frames") == 5.0).then_some(()));
    until("disconnections", || (counter(&system, "disconnections") >= 1.0).then_some(()));
    assert!(system.stop());
}

#[test]
fn too_many_images_are_dropped_and_counted() {
    const IMAGES: u64 = 4000;
    let Some((mut sender, system)) = pair(&format!("?events={IMAGES}&overload=drop"), 1) else {
        return;
    };
    // Ten times as dear as the sender is fast.
    let nodes = json!({"name": "g", "nodes": {
        "slow": {"op": "median_filter", "in": "dectris:raw:image", "size": 7},
        "image": {"op": "sum", "in": "slow"},
        "n": {"op": "count", "in": "dectris:raw:frame"},
    }});
    sender.tell(json!({"version": 1, "series": 1, "frames": [0, 1], "rows": 128, "columns": 128,
                       "end": false}));
    system.apply(&nodes);
    sender.tell(
        json!({"version": 1, "series": 1, "frames": [1, IMAGES], "rows": 128, "columns": 128,
                       "kinds": 4, "header": false}),
    );
    system.drained();
    assert_eq!(system.metric("ventilator", "ami_events_total"), Some(IMAGES as f64));
    let dropped = until("merged + dropped = taken", || {
        let reasons = ["overload", "ring_full"];
        let name = |reason| format!("ami_dropped_events_total{{reason=\"{reason}\"}}");
        let dropped = |reason| system.metric("ventilator", &name(reason)).unwrap_or(0.0);
        let dropped: f64 = reasons.map(dropped).iter().sum();
        let merged = system.metric("root", "ami_events_total")?;
        (merged + dropped == IMAGES as f64).then_some(dropped)
    });
    assert!(dropped > 0.0, "the workers kept up");
    assert_eq!(
        counter(&system, "missing_frames"),
        0.0,
        "what is dropped is no frame that was lost"
    );
}
