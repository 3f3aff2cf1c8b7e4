//! The golden messages and made ones: values, series, frames that did not come, damage.

use crate::dectris::samples::{self, Packing, pixels};
use crate::dectris::{DectrisUrl, Series};
use crate::live::drained::{Event, Taken, harm, take_all};
use crate::live::{Live, Recorded};
use crate::source::Source;
use ami_graph::data::value::{DType, Scalar, Value};
use ami_proto::data_path::transition::TransitionKind as T;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// A held value.
fn held(taken: &Taken, name: &str) -> Option<Value> {
    taken.transitions.iter().find_map(|t| {
        let at = t.schema.as_ref()?.find(name)? as u32;
        t.held.iter().find(|(field, _)| *field == at).map(|(_, value)| value.clone())
    })
}

fn source(messages: Vec<samples::Frames>, part: &str) -> impl Source {
    let spec: crate::SourceSpec = part.parse().unwrap();
    let crate::SourceKind::Dectris(url) = spec.kind else { panic!("{part}") };
    Live::new(Recorded::new(messages), Series::new(url))
}

fn take(messages: Vec<samples::Frames>) -> Taken {
    take_all(&mut source(messages, "dectris:tcp://detector:31001"))
}

fn number(event: &Event, name: &str) -> u64 {
    u64::from_le_bytes(event.1[name].1[..].try_into().unwrap())
}

fn golden() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/dectris");
    if !dir.is_dir() {
        println!("skipped: no reference data");
        return None;
    }
    Some(dir)
}

/// The elements of a .npy file.
fn npy(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[10 + header..].to_vec()
}

fn parts(dir: &Path, name: &str) -> samples::Frames {
    let part = |n: usize| std::fs::read(dir.join(format!("{name}.part{n}.bin"))).ok();
    (0..).map_while(part).collect()
}

#[test]
fn golden_messages_of_version_1() {
    let Some(dir) = golden() else { return };
    let right = npy(&dir.join("image_uint16.npy"));
    for encoding in ["le", "lz4le", "bs16-lz4le"] {
        let image = parts(&dir, &format!("stream1_image_uint16_{encoding}"));
        let mut headless = image.clone();
        let messages = vec![parts(&dir, "stream1_header_basic"), image, parts(&dir, "stream1_end")];
        let taken = take(messages);
        assert_eq!(
            taken.kinds(),
            [T::Configure, T::BeginRun, T::Enable, T::Disable, T::EndRun],
            "{encoding}"
        );
        assert_eq!(taken.transitions[1].run, Some(7));
        let (shape, bytes) = &taken.events[0].1["dectris:raw:image"];
        assert_eq!(shape, &[515, 514]);
        assert!(*bytes == right, "{encoding}");
        assert_eq!(number(&taken.events[0], "dectris:raw:frame"), 3);
        assert_eq!(taken.counters["missing_frames"], 3);
        let energy = held(&taken, "dectris:config:photon_energy");
        assert_eq!(energy, Some(Value::Scalar(Scalar::F64(12398.4))));
        if encoding == "bs16-lz4le" {
            headless[2].drain(..12);
            let taken = take(vec![headless]);
            assert!(taken.events[0].1["dectris:raw:image"].1 == right, "without the head");
            assert_eq!(taken.counters["series_without_header"], 1);
            assert_eq!(taken.counters["missing_frames"], 0);
        }
    }
}

#[test]
fn golden_messages_of_version_2() {
    let Some(dir) = golden() else { return };
    let right = npy(&dir.join("image_uint16.npy"));
    let read = |name: &str| vec![std::fs::read(dir.join(name)).unwrap()];
    for coding in ["none", "lz4", "bslz4"] {
        let image = read(&format!("stream2_image_uint16_{coding}.cbor"));
        let taken = take(vec![image, read("stream2_end.cbor")]);
        let event = &taken.events[0];
        for channel in ["threshold_1", "threshold_2"] {
            let (shape, bytes) = &event.1[&format!("dectris:raw:{channel}")];
            assert_eq!(shape, &[515, 514]);
            assert!(*bytes == right, "{coding} {channel}");
        }
        // 2026-11-21T01:00:00.123456 and 6 ms.
        assert_eq!(event.0, 1_795_222_800_129_456_000);
        assert_eq!(number(event, "dectris:raw:frame"), 3);
        let schema = taken.transitions[0].schema.as_ref().unwrap();
        assert_eq!(schema.find("dectris:raw:image"), Some(4), "the first channel has both names");
    }
}

#[test]
fn series_of_both_versions_come_as_runs_with_their_headers() {
    let taken = take(samples::all());
    let run = [T::Configure, T::BeginRun, T::Enable, T::Disable, T::EndRun];
    assert_eq!(taken.kinds(), [&run[..], &run[..], &run[..3]].concat());
    let runs: Vec<u32> = taken.transitions.iter().filter_map(|t| t.run).collect();
    assert_eq!(runs, [3, 4, 5]);
    let frames: Vec<u64> = taken.events.iter().map(|e| number(e, "dectris:raw:frame")).collect();
    assert_eq!(frames, [0, 1, 2, 4, 5, 0, 1, 3, 9]);
    for (event, &frame) in taken.events.iter().zip(&frames) {
        let (rows, columns) = if event.1.contains_key("dectris:raw:image") {
            (6, 11)
        } else {
            let (shape, bytes) = &event.1["dectris:raw:threshold_2"];
            assert!(*bytes == pixels(frame + 1, shape[0] as usize, shape[1] as usize));
            (shape[0] as usize, shape[1] as usize)
        };
        let image = event.1.get("dectris:raw:image").or(event.1.get("dectris:raw:threshold_1"));
        assert!(image.unwrap().1 == pixels(frame, rows, columns), "frame {frame}");
    }
    let gaps: Vec<u64> = taken.events.windows(2).map(|w| w[1].0.saturating_sub(w[0].0)).collect();
    assert_eq!(gaps[..4], [2_000_000, 2_000_000, 4_000_000, 2_000_000], "the detector's clock");
    let count = |name| taken.counters[name];
    assert_eq!((count("missing_frames"), count("series"), count("damaged_images")), (2, 3, 0));
    assert_eq!((count("series_without_header"), count("reconfigured")), (1, 0));
    assert_eq!(
        held(&taken, "dectris:config:threshold_energy.threshold_1"),
        Some(Value::Scalar(Scalar::F64(6199.25)))
    );
    assert!(matches!(held(&taken, "dectris:config:pixel_mask.threshold_1"),
        Some(Value::Array(a)) if a.shape() == [40, 110] && a.dtype() == DType::U32));
}

#[test]
fn an_image_that_is_another_makes_a_new_configure() {
    let images = [(6, 11), (6, 11), (8, 11)];
    let images = (0u64..).zip(images).map(|(n, size)| samples::v1_image(1, n, size, Packing::Raw));
    let mut messages = vec![samples::v1_header(1, 3, 6, 11)];
    messages.extend(images);
    let taken = take(messages);
    let begin = [T::Configure, T::BeginRun, T::Enable];
    assert_eq!(taken.kinds(), [&begin[..], &[T::Disable, T::EndRun], &begin[..]].concat());
    assert_eq!(taken.events.len(), 3);
    assert_eq!((taken.counters["reconfigured"], taken.counters["missing_frames"]), (1, 0));
}

#[test]
fn headers_without_detail_wait_for_the_first_image() {
    let none = br#"{"header_detail": "none", "series": 9, "htype": "dheader-1.0"}"#.to_vec();
    let taken = take(vec![vec![none], samples::v1_image(9, 0, (6, 11), Packing::Bslz4)]);
    assert_eq!(taken.kinds(), [T::Configure, T::BeginRun, T::Enable]);
    assert_eq!((taken.events.len(), taken.counters["series_without_header"]), (1, 0));
}

#[test]
fn what_is_damaged_is_counted_and_the_rest_stands() {
    let mut image = samples::v1_image(1, 0, (6, 11), Packing::Bslz4);
    image[2].truncate(40);
    let start = vec![br#"{"htype": "dimage-1.0"}"#.to_vec()];
    let junk = vec![vec![b"hello".to_vec()], vec![], vec![vec![0xbf, 0x61]], start];
    let mut messages = vec![samples::v1_header(1, 3, 6, 11), image];
    messages.extend(junk);
    messages.extend([samples::v1_image(1, 1, (6, 11), Packing::Raw), samples::v1_end(1)]);
    messages.push(samples::v1_image(1, 2, (6, 11), Packing::Raw));
    let taken = take(messages);
    assert_eq!(taken.events.len(), 2);
    assert!(!taken.events[0].1.contains_key("dectris:raw:image"), "its pixels are absent");
    assert_eq!(number(&taken.events[0], "dectris:raw:frame"), 0, "its number is not");
    let count = |name| taken.counters[name];
    assert_eq!((count("damaged_images"), count("images_after_end")), (1, 1));
    assert_eq!((count("unknown_messages"), count("damaged_messages")), (2, 2));
}

#[test]
fn tables_beyond_their_room_are_left_out() {
    let messages = || vec![samples::v2_start(1, 600, 600)];
    let taken = take_all(&mut source(messages(), "dectris:tcp://d:1?tables_mib=1&name=eiger"));
    assert_eq!(held(&taken, "eiger:config:pixel_mask.threshold_1"), None);
    assert_eq!(taken.counters["tables_left_out"], 1);
    assert!(held(&take(messages()), "dectris:config:pixel_mask.threshold_1").is_some());
}

#[test]
fn the_time_of_arrival_may_be_asked_for() {
    let messages = vec![samples::v2_image(1, 0, (6, 11), Packing::Raw)];
    let taken = take_all(&mut source(messages, "dectris:tcp://d:1?stamps=arrival"));
    assert_eq!(taken.events[0].0, 1_700_000_000_001_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    #[test]
    fn damaged_messages_do_no_harm(
        harm in harm(),
    ) {
        take(harm.to(samples::all()));
    }
}

#[test]
fn urls_are_read_and_mistakes_explained() {
    let error = |url: &str| url.parse::<crate::SourceSpec>().unwrap_err().to_string();
    let cases = [
        ("dectris:", "needs an address"),
        ("dectris:10.0.0.1:9999", "write tcp://HOST:PORT"),
        ("dectris:tcp://host", "write tcp://HOST:PORT"),
        ("dectris:tcp://host:1?loop=2", "leave it out"),
        ("dectris:tcp://host:1?stamps=arival", "did you mean \"arrival\""),
        ("dectris:tcp://host:1?name=a:b", "make a name"),
        ("dectris:tcp://host:1?queue_mib=x", "whole number"),
    ];
    for (url, words) in cases {
        assert!(error(url).contains(words), "{url}: {}", error(url));
    }
    let url = DectrisUrl::read("tcp://a:1,tcp://b:2").unwrap();
    assert_eq!(url.addresses, ["tcp://a:1", "tcp://b:2"]);
}
