//! Golden frames: the bytes of one message of each kind, as recorded. When one differs, the protocol
//! has changed: raise `PROTOCOL_VERSION`, run with `AMI_RECORD_GOLDEN=1` and look at the difference.

use ami_graph::data::schema::{Field, Held, Kind, Schema};
use ami_graph::data::value::{DType, Scalar, Value};
use ami_proto::codec::{self, PROTOCOL_VERSION};
use ami_proto::control::manager_to_members::{Announce, Phase};
use ami_proto::control::member_to_manager::{NodeErrors, Prepared, Report, Role};
use ami_proto::data_path::ids::{Conditions, Key, Progress, Taken};
use ami_proto::data_path::root_to_hosts::RootMessage;
use ami_proto::data_path::to_collector::{Manifest, ToCollector};
use ami_proto::data_path::to_root::ToRoot;
use ami_proto::data_path::to_ventilator::{Purpose, ToVentilator};
use ami_proto::data_path::transition::TransitionKind;
use ami_proto::data_path::ventilator_to_worker::{Context, Descriptor, LaneMessage};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fmt::Debug;

const KEY: Key = Key { segment: 2, heartbeat: 17_636_543_210 };
const CONDITIONS: Conditions =
    Conditions { schema: 1, version: 7, reading: 5, run: 12, step: Some(3) };
const PROGRESS: Progress = Progress {
    flushes: 5,
    key: KEY,
    conditions: CONDITIONS,
    timestamp_ns: 1_763_654_321_000_000_000,
    taken: Taken { epoch: 1000, run: 900, segment: 90 },
    last: true,
    end: false,
};

fn host() -> String {
    "h".into()
}

fn schema() -> Schema {
    let field = Field {
        name: "cam:raw:image".into(),
        aliases: vec!["image".into()],
        dtype: DType::U16,
        rank: 2,
        shape: Some(vec![2, 3]),
        kind: Kind::Event,
        labels: BTreeMap::from([("one".into(), 1)]),
    };
    Schema { fields: vec![field] }
}

fn context() -> Context {
    Context {
        number: 4,
        conditions: CONDITIONS,
        held: Held::default(),
        step_values: BTreeMap::from([("delay".into(), Value::Scalar(Scalar::F64(0.5)))]),
    }
}

fn manifest() -> Manifest {
    Manifest {
        epoch: 1,
        flush: 4,
        key: KEY,
        context: 4,
        conditions: CONDITIONS,
        taken: PROGRESS.taken,
        timestamp_ns: PROGRESS.timestamp_ns,
        units: vec![(8, 100)],
        dropped: BTreeMap::from([("overload".into(), 3)]),
        late: 1,
        last: true,
        end: false,
    }
}

/// `name hexadecimal` of every message, one a line, after each was read back.
struct Frames(String);

impl Frames {
    fn add<T: Serialize + DeserializeOwned + PartialEq + Debug>(
        &mut self,
        name: &str,
        messages: &[T],
    ) {
        for (n, message) in messages.iter().enumerate() {
            let bytes = codec::encode(message);
            assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(message));
            let hexadecimal: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            self.0 += &format!("{name}.{n} {hexadecimal}\n");
        }
    }
}

fn to_collector() -> Vec<ToCollector> {
    vec![
        ToCollector::Partial { epoch: 1, flush: 4, version: 7, units: vec![(8, 100)] },
        ToCollector::Epoch { epoch: 1, host: host(), decided: PROGRESS },
        ToCollector::Schema(1, 1, schema()),
        ToCollector::Graphs(1, 7),
        ToCollector::Context(1, context()),
        ToCollector::Manifest(manifest()),
        ToCollector::Dropped { epoch: 1, flush: 4, unit: 8, reason: "lost".into() },
    ]
}

fn to_root() -> Vec<ToRoot> {
    vec![
        ToRoot::Forward {
            host: host(),
            base: PROGRESS,
            manifest: manifest(),
            merged: 100,
            units: (1, 1),
        },
        ToRoot::Schema { host: host(), epoch: 1, number: 1, schema: schema() },
        ToRoot::Context { host: host(), epoch: 1, context: context() },
        ToRoot::Graphs { version: 7 },
        ToRoot::Alive { host: host(), bases: vec![(1, PROGRESS)] },
        ToRoot::Promise { host: host(), epoch: 1, version: 8, not_before: 9 },
    ]
}

fn to_hosts() -> Vec<RootMessage> {
    vec![
        RootMessage::Watermark { host: host(), epoch: 1, life: 2, flushes: 5, durable: 3 },
        RootMessage::NeedContext { host: host(), epoch: 1 },
        RootMessage::Decision { version: 8, heartbeat: Some(9), life: 2 },
        RootMessage::Decision { version: 8, heartbeat: None, life: 2 },
    ]
}

fn to_ventilator() -> Vec<ToVentilator> {
    let hello = |purpose| ToVentilator::Hello {
        endpoint: "ipc:///r/lane".into(),
        name: "w".into(),
        pid: 6,
        purpose,
    };
    vec![
        hello(Purpose::Work),
        hello(Purpose::Record),
        ToVentilator::Credit { epoch: 1, lane: 2, generation: 3, done: 4, flushed: 5 },
        ToVentilator::Bye { epoch: 1, lane: 2, generation: 3 },
        ToVentilator::CollectorHello { life: 1 },
        ToVentilator::Need { epoch: 1, flush: 4, units: vec![8] },
    ]
}

fn to_worker() -> Vec<LaneMessage> {
    let unit = Descriptor {
        unit: 8,
        context: 4,
        heartbeat: 5,
        start: 64,
        index: 128,
        index_len: 256,
        events: 100,
    };
    vec![
        LaneMessage::Welcome {
            epoch: 1,
            lane: 2,
            generation: 3,
            ring: "/dev/shm/ring".into(),
            host: host(),
            counter: false,
        },
        LaneMessage::Schema(1, schema()),
        LaneMessage::Graphs(7),
        LaneMessage::Context(context()),
        LaneMessage::Unit(unit),
        LaneMessage::Flush { flush: 4, key: KEY },
        LaneMessage::Replay { unit, flush: 4, key: KEY },
        LaneMessage::Transition { kind: TransitionKind::BeginStep, timestamp: 6, set: vec![2] },
        LaneMessage::End,
        LaneMessage::Quit,
    ]
}

fn reports() -> Vec<Report> {
    vec![Report {
        role: Role::Store,
        name: "s".into(),
        host: host(),
        pid: 6,
        life: 1,
        state: "running".into(),
        version: 7,
        prepared: Some(Prepared { version: 8, refused: vec!["no".into()] }),
        schema: Some(schema()),
        metrics: vec![("ami_events_total".into(), 100.0)],
        nodes: vec![NodeErrors { node: "g/n".into(), errors: 2, message: "why".into() }],
    }]
}

#[test]
fn messages_have_the_recorded_bytes() {
    let mut frames = Frames(format!("version {PROTOCOL_VERSION}\n"));
    frames.add("to_collector", &to_collector());
    frames.add("to_root", &to_root());
    frames.add("root_to_hosts", &to_hosts());
    frames.add("to_ventilator", &to_ventilator());
    frames.add("ventilator_to_worker", &to_worker());
    frames.add("member_to_manager", &reports());
    let phases = [Phase::Prepare, Phase::Activate, Phase::Withdraw];
    frames.add("manager_to_members", &phases.map(|phase| Announce { life: 1, version: 8, phase }));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden.txt");
    if std::env::var_os("AMI_RECORD_GOLDEN").is_some() {
        std::fs::write(path, &frames.0).unwrap();
    }
    let recorded = std::fs::read_to_string(path).unwrap();
    for (now, then) in frames.0.lines().zip(recorded.lines()) {
        assert_eq!(now, then, "the protocol has changed: raise PROTOCOL_VERSION, record anew");
    }
    assert_eq!(frames.0.lines().count(), recorded.lines().count(), "messages came or went");
}
