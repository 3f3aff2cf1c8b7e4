//! Events of programs and features of ami: values, runs, answers, damage.

use crate::live::{Live, Recorded};
use crate::source::{Next, Source};
use crate::zmq::samples::{self, Frames};
use crate::zmq::{Events, ZmqUrl};
use ami_graph::data::batch::Column;
use ami_graph::data::schema::Schema;
use ami_proto::data_path::chunk::{ChunkView, ChunkWriter, HeapArena, Staging};
use ami_proto::data_path::transition::TransitionKind as T;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Fields = BTreeMap<String, (Vec<u32>, Vec<u8>)>;

#[derive(Default)]
struct Taken {
    kinds: Vec<T>,
    events: Vec<(u64, Fields)>,
    counters: BTreeMap<&'static str, u64>,
}

fn take(messages: Vec<Frames>) -> Taken {
    let mut url = ZmqUrl::read("ipc:///tmp/x").unwrap();
    url.pattern = crate::zmq::url::Pattern::Pull;
    let mut source = Live::new(Recorded::new(messages), Events::new(url, None));
    let (mut taken, mut staging, mut schema) =
        (Taken::default(), Staging::default(), Schema::default());
    loop {
        match source.next().unwrap() {
            Next::End => break,
            Next::Pending => panic!("all is there"),
            Next::Transition(_) => {
                let transition = source.transition().unwrap();
                if let Some(new) = &transition.schema {
                    (schema, staging) = ((**new).clone(), Staging::new(new));
                }
                taken.kinds.push(transition.kind);
            }
            Next::Event(stamp) => {
                let mut arena = HeapArena::new(1 << 20);
                let mut out = ChunkWriter::new(&mut staging, &mut arena, 0, 1, usize::MAX);
                source.write(&mut out, u64::MAX, 1).unwrap();
                let sealed = out.seal(0, 0).unwrap();
                let bytes: &[u8] = bytemuck::cast_slice(&arena.words);
                let index = &bytes[sealed.index as usize..][..sealed.index_len];
                let view = ChunkView::new(&bytes, index).unwrap();
                let held = Default::default();
                let batch = view.batch(&schema, &held, &[]).unwrap();
                let columns = schema.fields.iter().zip(&batch.columns);
                let fields = columns.filter_map(|(f, c)| Some((f.name.clone(), value(c)?)));
                taken.events.push((stamp, fields.collect()));
            }
        }
    }
    taken.counters = source.counters().into_iter().collect();
    taken
}

fn value(column: &Column<'_>) -> Option<(Vec<u32>, Vec<u8>)> {
    match column {
        Column::Scalars { data, present, .. } => {
            present.is_none_or(|mask| mask[0] != 0).then(|| (vec![], data.to_vec()))
        }
        Column::Strings(texts) => texts[0].map(|t| (vec![], t.as_bytes().to_vec())),
        Column::Arrays { items, .. } => items[0].map(|a| (a.dims.axes().to_vec(), a.data.to_vec())),
        _ => None,
    }
}

#[test]
fn events_of_programs_and_features_of_ami() {
    let taken = take(samples::all());
    let run = [T::BeginRun, T::Enable];
    let first = [&[T::Configure][..], &run].concat();
    let next = [&[T::Configure, T::Disable, T::EndRun][..], &run].concat();
    assert_eq!(taken.kinds, [&first[..], &next, &next[1..]].concat());
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
        which in any::<prop::sample::Index>(),
        frame in any::<prop::sample::Index>(),
        harm in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut messages = samples::all();
        let which = which.index(messages.len());
        let frame = frame.index(messages[which].len());
        let bytes = &mut messages[which][frame];
        for (at, flip) in harm {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        take(messages);
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
