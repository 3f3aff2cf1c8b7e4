//! A recording replays to the same schema and values, whole or cut.

use super::common::{HeapArena, Replay, data, files, open, replay, with_batch};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::{Array, DType, Scalar, Value};
use ami_proto::data_path::chunk::{ChunkWriter, Staging};
use ami_proto::data_path::transition::TransitionKind;
use ami_source::source::Transition;
use ami_source::xtc2::Xtc2Writer;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

fn reopen(bytes: &[u8]) -> Replay {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.xtc2");
    std::fs::write(&path, bytes).unwrap();
    replay(&[path])
}

#[test]
fn files_replay_to_the_same() {
    let Some(root) = data() else { return };
    let single = files(&root)
        .into_iter()
        .map(|f| vec![f.0])
        .filter(|p| !p[0].to_str().unwrap().contains("-c001"));
    for paths in single.chain([vec![root.join("mixed_rate")], vec![root.join("fakesteps")]]) {
        let mut copy = Xtc2Writer::new(Vec::new());
        let mut original = Replay::default();
        original.go_on(&mut open(&paths).unwrap(), 7, Some(&mut copy));
        let again = reopen(&copy.finish().unwrap());
        println!("{}", paths[0].display());
        original.same(&again);
    }
}

fn field(name: &str, dtype: DType, rank: usize, kind: Kind) -> Field {
    Field {
        name: name.into(),
        aliases: vec![],
        dtype,
        rank,
        shape: None,
        kind,
        labels: BTreeMap::new(),
    }
}

/// Every type, names of every form.
fn schema() -> Schema {
    use Kind::{Event, Held};
    let mut image = field("cam:raw:image", DType::U16, 2, Event);
    image.shape = Some(vec![2, 3]);
    image.aliases = vec!["picture".into()];
    let mut state = field("plc:raw:state", DType::I32, 0, Event);
    state.labels = BTreeMap::from([("open".to_owned(), 1), ("shut".to_owned(), -4)]);
    Schema {
        fields: vec![
            field("x", DType::F64, 0, Event),
            image,
            field("plc:raw:on", DType::Bool, 0, Event),
            field("plc:raw:flags", DType::Bool, 1, Event),
            state,
            field("note:raw:text", DType::Str, 0, Event),
            field("pair:raw:v", DType::F32, 1, Event),
            field("pair.0:raw:v", DType::F32, 0, Event),
            field("pair.4:raw:v", DType::F32, 0, Event),
            field("cam:raw:sum", DType::U64, 0, Event),
            field("motor", DType::F64, 0, Held),
            field("GDET:ENRC", DType::F32, 0, Held),
            field("plc:set:limits", DType::I16, 1, Held),
            field("comment", DType::Str, 0, Held),
        ],
    }
}

pub fn made() -> Vec<u8> {
    let schema = Arc::new(schema());
    let mut writer = Xtc2Writer::new(Vec::new());
    let transition = |kind, timestamp, held| Transition {
        kind,
        timestamp,
        schema: (kind == TransitionKind::Configure).then(|| schema.clone()),
        run: (kind == TransitionKind::BeginRun).then_some(77),
        step: (kind == TransitionKind::BeginStep).then_some(5),
        held,
    };
    let limits = Value::Array(Array::from_elements(&[3], &[-1i16, 0, 7]));
    let held = vec![(12, limits), (13, Value::Str("grüße".into()))];
    writer.transition(&transition(TransitionKind::Configure, 5_000_000_001, held)).unwrap();
    writer.transition(&transition(TransitionKind::BeginRun, 5_000_000_002, vec![])).unwrap();
    let motor = vec![(10, Value::Scalar(Scalar::F64(0.1)))];
    writer.transition(&transition(TransitionKind::BeginStep, 5_000_000_003, motor)).unwrap();
    let mut memory = HeapArena::new(1 << 20);
    let mut staging = Staging::new(&schema);
    let mut out = ChunkWriter::new(&mut staging, &mut memory, 0, 100, 1 << 20);
    for event in 0..20u64 {
        out.event(6_000_000_000 + event);
        out.scalar(0, event as f64 / 3.0);
        if event % 2 == 0 {
            let image: Vec<u8> = (0..12).map(|b| b + event as u8).collect();
            out.array(1, &[2, 3]).unwrap().copy_from_slice(&image);
        }
        out.scalar_bytes(2, DType::Bool, &[(event % 3 == 0).into()]);
        out.array(3, &[event as usize % 4]).unwrap().fill(1);
        out.scalar(4, if event % 5 == 0 { 1i32 } else { -4 });
        out.text(5, &"ä".repeat(event as usize));
        if event % 7 != 0 {
            let both = bytemuck::bytes_of(&[event as f32, -1.5]).to_vec();
            out.arrays(&[7, 8], Some(6), &[]).unwrap().copy_from_slice(&both);
            out.scalar(7, event as f32);
        }
        if event % 7 != 0 || event == 14 {
            out.scalar(8, -1.5f32);
        }
        out.scalar(9, u64::MAX - event);
    }
    let sealed = out.seal(0, 0).unwrap();
    with_batch(&mut memory, &sealed, &schema, |batch| {
        (0..20).for_each(|event| writer.event(batch, event).unwrap());
    });
    writer.transition(&transition(TransitionKind::EndRun, 7_000_000_000, vec![])).unwrap();
    writer.finish().unwrap()
}

#[test]
fn made_data_replay_to_the_same() {
    let replay = reopen(&made());
    assert_eq!(*replay.schema, schema());
    assert_eq!(replay.transitions.len(), 4);
    assert_eq!(replay.transitions[1].run, Some(77));
    assert_eq!(replay.transitions[0].held[1], (13, Value::Str("grüße".into())));
    assert_eq!(replay.transitions[2].held, [(10, Value::Scalar(Scalar::F64(0.1)))]);
    assert_eq!(replay.events.len(), 20);
    for (n, event) in replay.events.iter().enumerate() {
        assert_eq!(event.timestamp, 6_000_000_000 + n as u64);
        assert_eq!(event.values[&0], Value::Scalar(Scalar::F64(n as f64 / 3.0)));
        assert_eq!(event.values.contains_key(&1), n % 2 == 0, "absent stays absent");
        assert_eq!(event.values[&2], Value::Scalar(Scalar::Bool(n % 3 == 0)));
        let Value::Array(flags) = &event.values[&3] else { panic!() };
        assert_eq!((flags.shape(), flags.dtype()), (&[n % 4][..], DType::Bool));
        assert_eq!(event.values[&5], Value::Str("ä".repeat(n)));
        assert_eq!(event.values.contains_key(&6), n % 7 != 0);
        assert_eq!(event.values.contains_key(&8), n % 7 != 0 || n == 14);
        assert_eq!(event.values[&9], Value::Scalar(Scalar::U64(u64::MAX - n as u64)));
    }
    let mut again = Xtc2Writer::new(Vec::new());
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a.xtc2");
    std::fs::write(&path, made()).unwrap();
    Replay::default().go_on(&mut open(&[path]).unwrap(), 100, Some(&mut again));
    assert_eq!(again.finish().unwrap(), made(), "a recording of a recording is the same file");
}

#[test]
fn a_recording_survives_being_cut() {
    let bytes = made();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.xtc2");
    let whole = reopen(&bytes);
    let mut last = 0;
    let configure = bytes.len() - 4000;
    for cut in (24..configure).step_by(997).chain(configure..=bytes.len()) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let Ok(mut source) = open(std::slice::from_ref(&path)) else {
            assert_eq!(last, 0, "cut within Configure");
            continue;
        };
        let mut replay = Replay::default();
        replay.go_on(&mut source, 100, None);
        assert!(replay.ended);
        let n = replay.order.len();
        assert!(n >= last && replay.order == whole.order[..n]);
        assert_eq!(replay.events, whole.events[..replay.events.len()]);
        last = n;
    }
    assert_eq!(last, whole.order.len());
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut writer = Xtc2Writer::new(Vec::new());
    let mut configure = Transition {
        kind: TransitionKind::BeginRun,
        timestamp: 0,
        schema: None,
        run: None,
        step: None,
        held: vec![],
    };
    let said = |e: anyhow::Error| format!("{e:#}");
    assert!(said(writer.transition(&configure).unwrap_err()).contains("begins with Configure"));
    let long = Schema { fields: vec![field(&"n".repeat(300), DType::F64, 0, Kind::Event)] };
    configure.kind = TransitionKind::Configure;
    configure.schema = Some(Arc::new(long));
    assert!(said(writer.transition(&configure).unwrap_err()).contains("255 bytes"));
    configure.schema = Some(Arc::new(schema()));
    configure.timestamp = u64::MAX;
    assert!(said(writer.transition(&configure).unwrap_err()).contains("epoch=counter"));
}
