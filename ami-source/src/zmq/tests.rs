//! Events of programs and features of ami: values, runs, answers, damage.

use crate::live::drained::{Taken, harm, take_all};
use crate::live::{Live, Recorded};
use crate::zmq::samples::{self, Frames};
use crate::zmq::{Events, ZmqUrl};
use ami_proto::data_path::transition::TransitionKind as T;
use proptest::prelude::*;

fn take(messages: Vec<Frames>) -> Taken {
    let mut url = ZmqUrl::read("ipc:///tmp/x").unwrap();
    url.pattern = crate::zmq::url::Pattern::Pull;
    take_all(&mut Live::new(Recorded::new(messages), Events::new(url, None)))
}

#[test]
fn events_of_programs_and_features_of_ami() {
    let taken = take(samples::all());
    let run = [T::BeginRun, T::Enable];
    let first = [&[T::Configure][..], &run].concat();
    let next = [&[T::Configure, T::Disable, T::EndRun][..], &run].concat();
    assert_eq!(taken.kinds(), [&first[..], &next, &next[1..]].concat());
    assert_eq!(taken.events.len(), 7);
    let (stamp, fields) = &taken.events[3];
    assert_eq!(*stamp, 1_700_000_000_003_000_000);
    assert_eq!(fields["zmq:raw:n"], (vec![], 3i64.to_le_bytes().to_vec()));
    assert_eq!(fields["zmq:raw:energy"], (vec![], 1.5f64.to_le_bytes().to_vec()));
    assert_eq!(fields["gauge:raw:mode"], (vec![], b"fast".to_vec()));
    assert_eq!(fields["zmq:raw:on"], (vec![], vec![0]));
    assert_eq!(fields["zmq:raw:image"], (vec![2, 3], samples::event(3)[1].clone()));
    let (_, feature) = &taken.events[5];
    assert_eq!(feature["g/scan:mean"], (vec![2], samples::feature(2, 5)[2].clone()));
    assert_eq!(feature["g/scan:window_events"], (vec![], 200u64.to_le_bytes().to_vec()));
    assert!(f64::from_le_bytes(feature["g/scan:outside"].1[..].try_into().unwrap()).is_nan());
    let count = |name: &str| taken.counters[name];
    assert_eq!((count("repeats"), count("markers"), count("damaged_messages")), (1, 1, 0));
}

#[test]
fn mistakes_are_counted_and_what_is_not_read_is_left_out() {
    let header = |text: &str| vec![text.as_bytes().to_vec()];
    let messages = vec![
        header("hello"),
        header("{\"values\": 5}"),
        header("{\"arrays\": [{\"name\": \"a\", \"dtype\": \"<f8\", \"shape\": [2]}]}"),
        vec![samples::event(1)[0].clone(), vec![0; 11]],
        vec![],
        header("{\"values\": {\"a\": null, \"b\": [1], \"c\": 1}}"),
    ];
    let taken = take(messages);
    assert_eq!(taken.counters["damaged_messages"], 5);
    assert_eq!((taken.counters["values_left_out"], taken.events.len()), (2, 1));
    assert_eq!(taken.events[0].0, 1_700_000_000_006_000_000, "the time of its arrival");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]
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
        ("zmq:", "needs an address"),
        ("zmq:tcp://*", "write tcp://HOST:PORT"),
        ("zmq:tcp://*:1?pattern=push", "did you mean"),
        ("zmq:tcp://*:1?side=both", "not one of bind, connect"),
        ("zmq:tcp://*:1?start=3", "leave it out"),
    ];
    for (url, words) in cases {
        assert!(error(url).contains(words), "{url}: {}", error(url));
    }
}
