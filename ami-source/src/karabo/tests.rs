//! Golden and made messages: values, pulses, sources that come later or are missing, damage.

use crate::karabo::samples::{self, Frames, PULSES, pixels};
use crate::karabo::{KaraboUrl, Trains};
use crate::live::drained::{Taken, harm, take_all};
use crate::live::{Ahead, Live, Message, Recorded, Wire};
use ami_graph::data::value::DType;
use ami_proto::data_path::transition::TransitionKind as T;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

fn url(options: &str) -> KaraboUrl {
    let spec: crate::SourceSpec = format!("karabo:tcp://bridge:1{options}").parse().unwrap();
    let crate::SourceKind::Karabo(url) = spec.kind else { panic!("{options}") };
    url
}

fn take(messages: Vec<Frames>, options: &str) -> Taken {
    take_all(&mut Live::new(Recorded::new(messages), Trains::new(url(options))))
}

fn le<E: bytemuck::Pod>(elements: &[E]) -> Vec<u8> {
    bytemuck::cast_slice(elements).to_vec()
}

#[test]
fn golden_messages_of_both_protocols_say_the_same() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/karabo");
    if !dir.is_dir() {
        println!("skipped: no reference data");
        return;
    }
    let npy = std::fs::read(dir.join("karabo_image_data.npy")).unwrap();
    let right = &npy[npy.len() - 96..];
    let part = |name: &str, n| std::fs::read(dir.join(format!("{name}.part{n}.bin"))).ok();
    let frames = |name: &str| (0..).map_while(|n| part(name, n)).collect::<Frames>();
    let taken = take(vec![frames("karabo_1_0"), frames("karabo_2_2")], "");
    assert_eq!(taken.kinds(), [T::Configure, T::BeginRun, T::Enable], "nothing new in the second");
    assert_eq!(taken.events.len(), 2);
    for (stamp, fields) in &taken.events {
        assert_eq!(*stamp, 1_528_476_983_744_877_000);
        let (shape, bytes) = &fields["DET/A:output:image.data"];
        assert_eq!(shape, &[2, 3, 4]);
        assert!(bytes == right);
        assert_eq!(fields["DET/A:output:cell"], (vec![4], le(&[0u16, 1, 2, 3])));
        assert_eq!(fields["DET/A:output:flag"], (vec![], vec![1]));
        assert_eq!(fields["DET/A:output:x"], (vec![], le(&[1.25f64])));
        assert_eq!(fields["DET/A:output:name"], (vec![], b"a".to_vec()));
        assert_eq!(fields["MOTOR/1:pos.value"], (vec![], le(&[3.5f64])));
        assert_eq!(fields["karabo:train:id"], (vec![], le(&[10_000_000_073u64])));
    }
    assert!(taken.schema.find("MOTOR/1:pos").is_some(), "as consumers look it up");
    assert_eq!(taken.counters["values_left_out"], 0);
}

#[test]
fn trains_of_both_protocols_and_sources_that_come_and_go() {
    let taken = take(samples::all(), "");
    let late = [T::Configure, T::BeginRun, T::Enable, T::Configure];
    assert_eq!(taken.kinds(), late, "the motor came later");
    let ids = taken.events.iter().map(|(_, f)| f["karabo:train:id"].1[0]);
    assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 9]);
    for (stamp, fields) in &taken.events {
        let train = u64::from(fields["karabo:train:id"].1[0]);
        assert_eq!(*stamp, 1_700_000_000_000_000_000 + train * 100_000_000);
        let (shape, bytes) = &fields["DET/A:output:image.data"];
        assert_eq!((&shape[..], bytes), (&[PULSES as u32, 2, 3][..], &le(&pixels(train))));
        let motor = fields.get("MOTOR/1:position.value").map(|v| v.1.clone());
        let there = ![1, 4, 6].contains(&train);
        assert_eq!(motor, there.then(|| le(&[train as f64 / 2.0])), "train {train}");
    }
    let count = |name: &str| taken.counters.get(name).copied();
    assert_eq!(count("missing MOTOR/1"), Some(2), "named");
    assert_eq!((count("sources_missing"), count("trains_skipped")), (Some(2), Some(2)));
    assert_eq!((count("reconfigured"), count("damaged_messages")), (Some(1), Some(0)));
}

#[test]
fn pulses_may_be_events_whichever_axis_counts_them() {
    let online = |train: u64| {
        let mut frames = samples::detector(train);
        // The same pixels, the pulses last.
        let pixels = pixels(train);
        let across: Vec<u16> = (0..6)
            .flat_map(|i| (0..PULSES).map(move |p| (p, i)))
            .map(|(p, i)| pixels[p * 6 + i])
            .collect();
        let header = String::from_utf8_lossy(&frames[2]).into_owned();
        assert!(header.contains("image.data"));
        let shape = frames[2].len() - 27;
        let axes: Vec<u8> = [2u64, 3, PULSES as u64]
            .iter()
            .flat_map(|a| [&[0xcf][..], &a.to_be_bytes()].concat())
            .collect();
        frames[2][shape..].copy_from_slice(&axes);
        frames[3] = le(&across);
        [frames, samples::motor(train)].concat()
    };
    for messages in [vec![samples::train(7), samples::train(8)], vec![online(7), online(8)]] {
        let taken = take(messages, "?pulses=events");
        assert_eq!(taken.events.len(), 2 * PULSES);
        for (at, (stamp, fields)) in taken.events.iter().enumerate() {
            let (train, pulse) = (7 + (at / PULSES) as u64, at % PULSES);
            assert_eq!(fields["karabo:train:pulse"].1, le(&[16 * pulse as u64]));
            assert_eq!(fields["DET/A:output:image.pulseId"], (vec![], le(&[16 * pulse as u64])));
            let (shape, bytes) = &fields["DET/A:output:image.data"];
            assert_eq!(shape, &[2, 3]);
            assert_eq!(
                *bytes,
                le(&pixels(train)[pulse * 6..][..6]),
                "train {train}, pulse {pulse}"
            );
            assert_eq!(fields["MOTOR/1:moves.value"].1, le(&[train as i64]), "each pulse has it");
            assert_eq!(fields.contains_key("MOTOR/1:limits"), pulse == 0, "the first has it");
            let train_ns = 1_700_000_000_000_000_000 + train * 100_000_000;
            assert_eq!(*stamp, train_ns + 16 * pulse as u64 * 288_000 / 1300);
        }
    }
}

#[test]
fn parts_of_two_bridges_become_one_train() {
    let mut trains = Trains::new(url(",tcp://other:2"));
    let mut ahead = VecDeque::new();
    let mut on = |frames: Frames, from, at_ns| {
        trains.on(Message::of(&frames, from, at_ns), &mut ahead);
        let taken = std::mem::take(&mut ahead);
        taken.iter().filter(|a| matches!(a, Ahead::Event(..))).count()
    };
    assert_eq!(on(samples::detector(1), 0, 10), 0);
    assert_eq!(on(samples::detector(2), 0, 20), 0);
    assert_eq!(on(samples::motor(1), 1, 30), 1);
    assert_eq!(on(samples::motor(3), 1, 40), 1, "the motor's 2 does not come any more");
    assert_eq!(on(samples::detector(3), 0, 50), 1);
    let counters: BTreeMap<_, _> = trains.counters().into_iter().collect();
    assert_eq!((counters["trains"], counters["trains_incomplete"]), (3, 1));
    assert_eq!((counters["sources_missing"], counters["missing MOTOR/1"]), (1, 1));
    let mut ahead = VecDeque::new();
    trains.on(Message::of(&samples::detector(4), 0, 60), &mut ahead);
    trains.idle(70, &mut ahead);
    assert!(ahead.is_empty());
    trains.idle(60 + 500_000_000, &mut ahead);
    assert_eq!(ahead.len(), 1, "it waited long enough");
}

#[test]
fn a_property_that_becomes_another_keeps_what_it_can() {
    let with = |train, value: &[u8]| {
        let mut frames = samples::motor(train);
        let at = frames[1].windows(5).position(|w| w == b"moves").unwrap() + "moves.value".len();
        frames[1].splice(at..at + 9, value.iter().copied());
        frames
    };
    let half = [&[0xcb][..], &2.5f64.to_be_bytes()].concat();
    let messages = vec![
        samples::motor(1),
        with(2, &half),
        samples::motor(3),
        with(4, &[0xa2, b'o', b'n']),
        with(5, &[0xc0]),
    ];
    let taken = take(messages, "");
    let value = |at: usize| taken.events[at].1.get("MOTOR/1:moves.value").cloned();
    assert_eq!(value(1), Some((vec![], le(&[2.5f64]))));
    assert_eq!(value(2), Some((vec![], le(&[3.0f64]))), "whole numbers and others are one type");
    assert_eq!(value(3), Some((vec![], b"on".to_vec())));
    assert_eq!(value(4), None);
    assert_eq!(taken.counters["reconfigured"], 2);
    let dtype = taken.schema.fields[taken.schema.find("MOTOR/1:moves").unwrap()].dtype;
    assert_eq!(dtype, DType::Str);
}

#[test]
fn what_is_no_train_is_counted() {
    let error = vec![b"Error: bad request hello".to_vec()];
    let mut short = samples::detector(3);
    short[3].truncate(7);
    let mut odd = samples::train(4);
    odd.pop();
    let reply = [vec![vec![]], samples::train(5)].concat();
    let taken = take(vec![error, vec![], vec![b"x".to_vec()], short, odd, reply], "");
    let count = |name: &str| taken.counters[name];
    assert_eq!((count("refusals"), count("damaged_messages")), (1, 3));
    assert_eq!((count("values_left_out"), taken.events.len()), (1, 2), "an array too short");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    #[test]
    fn damaged_messages_do_no_harm(
        harm in harm(),
        pulses in any::<bool>(),
    ) {
        let messages = harm.to(samples::all());
        take(messages, if pulses { "?pulses=events" } else { "" });
    }
}

#[test]
fn urls_are_read_and_mistakes_explained() {
    let error = |url: &str| url.parse::<crate::SourceSpec>().unwrap_err().to_string();
    let cases = [
        ("karabo:", "needs an address"),
        ("karabo:bridge", "write tcp://HOST:PORT"),
        ("karabo:tcp://b:1?pattern=rep", "not one of req, sub, pull"),
        ("karabo:tcp://b:1?pulses=event", "did you mean \"events\""),
        ("karabo:tcp://b:1?match_ms=0", "above 0"),
    ];
    for (url, words) in cases {
        assert!(error(url).contains(words), "{url}: {}", error(url));
    }
    assert!(url(",tcp://b:2").matches() && !url("").matches());
    assert!(!url(",tcp://b:2?match=none").matches());
}
