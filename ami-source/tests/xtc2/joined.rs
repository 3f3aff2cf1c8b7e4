//! Streams and chunks are joined, and everything that the dumps hold comes out of the source.

use super::common::{Replay, data, dump, open, replay, sum};
use ami_graph::data::schema::Kind;
use ami_graph::data::value::{Scalar, Value};
use ami_proto::data_path::transition::TransitionKind;
use ami_source::source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Per `det.N:alg:field` of the events: how often, and the sum.
type Sums = BTreeMap<String, (u64, f64)>;

fn sums_of_dumps(root: &Path, dumps: &[&str]) -> (BTreeSet<u64>, Sums) {
    let mut sums = Sums::new();
    let mut stamps = BTreeSet::new();
    for record in dumps.iter().flat_map(|d| dump(&root.join(d))) {
        if record["service"] != "L1Accept" {
            continue;
        }
        stamps.insert(record["timestamp"].as_str().unwrap().parse().unwrap());
        for datum in record["data"].as_array().unwrap() {
            let text = |k: &str| datum[k].as_str().unwrap().to_owned();
            let (det, alg, field) = (text("det"), text("alg"), text("field"));
            let name = format!("{det}.{}:{alg}:{field}", datum["segment"]);
            let entry = sums.entry(name).or_default();
            entry.0 += 1;
            if datum["dtype"] != "CHARSTR" {
                entry.1 += datum["sum"].as_f64().unwrap();
            }
        }
    }
    (stamps, sums)
}

fn check_sums(root: &Path, paths: &[PathBuf], dumps: &[&str]) -> Replay {
    let (stamps, expected) = sums_of_dumps(root, dumps);
    let replay = replay(paths);
    assert_eq!(replay.events.len(), stamps.len());
    for (name, (count, total)) in expected {
        let field = replay.schema.find(&name).unwrap_or_else(|| panic!("{name} is not offered"));
        assert_eq!(replay.schema.fields[field].kind, Kind::Event, "{name}");
        let values: Vec<_> = replay.events.iter().filter_map(|e| e.values.get(&field)).collect();
        assert_eq!(values.len() as u64, count, "{name}");
        let ours: f64 = values.iter().map(|v| sum(v)).sum();
        assert!((ours - total).abs() <= 1e-9 * total.abs(), "{name}: {ours} and not {total}");
    }
    for (name, number) in &replay.counters {
        let usual = ["truncated", "event_fields_in_transitions", "stacks_of_unequal_shapes"];
        let known = usual.contains(name) || name.starts_with("damage_");
        assert!(known || *number == 0, "{name} is {number}");
    }
    replay
}

fn kinds(replay: &Replay) -> Vec<TransitionKind> {
    replay.transitions.iter().map(|t| t.kind).collect()
}

fn held<'r>(replay: &'r Replay, kind: TransitionKind, nth: usize, name: &str) -> &'r Value {
    let of = replay.transitions.iter().filter(|t| t.kind == kind).nth(nth).unwrap();
    let field = replay.schema.find(name).unwrap() as u32;
    &of.held.iter().find(|(f, _)| *f == field).unwrap_or_else(|| panic!("{name} not set")).1
}

#[test]
fn streams_of_different_rates() {
    let Some(root) = data() else { return };
    let s0 = "mixed_rate__xpptut15-r0014-s000-c000.jsonl";
    let s1 = "mixed_rate__xpptut15-r0014-s001-c000.jsonl";
    let replay = check_sums(&root, &[root.join("mixed_rate")], &[s0, s1]);
    assert_eq!(replay.events.len(), 100);
    assert_eq!(replay.transitions.len(), 10, "each transition once");
    assert_eq!(replay.transitions[1].run, Some(14));
    let stack = "xppcspad:raw:arrayRaw";
    let whole = replay.schema.find(stack).unwrap();
    assert_eq!(replay.schema.fields[whole].rank, 3);
    let stacked = replay.events.iter().filter(|e| e.values.contains_key(&whole)).count();
    assert_eq!(stacked, 10, "all four segments are there where both streams are");
    let event = replay.events.iter().position(|e| e.values.contains_key(&whole)).unwrap();
    let Some(Value::Array(all)) = replay.value(event, stack) else { panic!() };
    assert_eq!(all.shape(), [4, 3, 6]);
    for segment in 0..4 {
        let name = format!("xppcspad.{segment}:raw:arrayRaw");
        let Some(Value::Array(one)) = replay.value(event, &name) else { panic!() };
        assert_eq!(one.bytes(), &all.bytes()[segment * 36..][..36]);
    }
    let Some(Value::Array(scalars)) = replay.value(event, "xpphsd:raw:floatPgp") else { panic!() };
    assert_eq!(scalars.shape(), [4]);
}

#[test]
fn enumerations_scan_and_epics() {
    let Some(root) = data() else { return };
    let replay = replay(&[root.join("mixed_rate/xpptut15-r0014-s000-c000.xtc2")]);
    let one = replay.schema.find("xpphsd.0:fex:enumFex1").unwrap();
    assert_eq!(replay.schema.find("xpphsd.0:fex:enumFex1:MyEnumName"), Some(one));
    let labels = [("HighGain".to_owned(), -2), ("LowGain".to_owned(), 5)];
    assert_eq!(replay.schema.fields[one].labels, BTreeMap::from(labels));
    assert_eq!(replay.value(0, "xpphsd.0:fex:enumFex1"), Some(&Value::Scalar(Scalar::I32(-2))));
    assert_eq!(
        replay.value(0, "xpphsd.1:fex:charStrFex"),
        Some(&Value::Str("Test String".to_owned()))
    );
    let motor = held(&replay, TransitionKind::BeginStep, 0, "motor1");
    assert_eq!(motor, &Value::Scalar(Scalar::F32(41.0)));
    assert_eq!(replay.schema.find("motor1"), replay.schema.find("scan:raw:motor1"));
    let pv = held(&replay, TransitionKind::SlowUpdate, 2, "HX2:DVD:GCC:01:PMON");
    assert_eq!(pv, &Value::Scalar(Scalar::F64(41.0)));
    assert_eq!(
        replay.schema.find("epics:raw:HX2:DVD:GCC:01:PMON"),
        replay.schema.find("HX2:DVD:GCC:01:PMON")
    );
    let Value::Array(config) = held(&replay, TransitionKind::Configure, 0, "xpphsd:config:enable")
    else {
        panic!()
    };
    assert_eq!(config.shape(), [2, 4]);
    let prescale = |n| held(&replay, TransitionKind::BeginRun, 0, n);
    assert_eq!(sum(prescale("xpphsd.1:config:raw_prescale")), 4406.0);
    assert_eq!(sum(prescale("xpphsd:config:raw_prescale")), 4406.0 + 4006.0);
    assert_eq!(replay.count("event_fields_in_transitions"), 32, "Configure repeats event fields");
}

#[test]
fn labels_are_found_in_the_first_events() {
    let Some(root) = data() else { return };
    let small = root.join("synthsmall-r0007-s000-c000.xtc2");
    let replay = check_sums(&root, &[small], &["synthsmall-r0007-s000-c000.jsonl"]);
    assert_eq!((replay.events.len(), replay.transitions.len()), (1000, 64));
    let gain = &replay.schema.fields[replay.schema.find("mixed:fex:gain").unwrap()];
    assert_eq!(gain.labels.get("Low"), Some(&5));
    assert_eq!(replay.count("damage_dropped_contribution"), 10);
    assert_eq!(replay.count("damage_missing_data"), 9);
    assert_eq!(kinds(&replay).last(), Some(&TransitionKind::Unconfigure));
}

#[test]
fn chunks_follow_by_themselves_or_by_name() {
    let Some(root) = data() else { return };
    let first = root.join("chunking/xpptut15-r0014-s000-c000.xtc2");
    let second = root.join("chunking/data-r0001-s000-c001.xtc2");
    let dumps =
        ["chunking__xpptut15-r0014-s000-c000.jsonl", "chunking__data-r0001-s000-c001.jsonl"];
    let alone = check_sums(&root, std::slice::from_ref(&first), &dumps);
    assert_eq!(alone.events.len(), 15);
    assert_eq!(kinds(&alone).last(), Some(&TransitionKind::EndRun));
    for paths in [vec![first, second.clone()], vec![root.join("chunking")]] {
        check_sums(&root, &paths, &dumps).same(&alone);
    }
    let error = open(&[second]).unwrap_err().to_string();
    assert!(error.contains("data-r0001-s000-c001.xtc2") && error.contains("c000"), "{error}");
}

#[test]
fn steps_of_two_streams() {
    let Some(root) = data() else { return };
    let dumps =
        ["fakesteps__xpptut15-r0014-s000-c000.jsonl", "fakesteps__xpptut15-r0014-s001-c000.jsonl"];
    let replay = check_sums(&root, &[root.join("fakesteps")], &dumps);
    assert_eq!(replay.events.len(), 10);
    assert_eq!(replay.transitions.len(), 11);
    assert_eq!(
        held(&replay, TransitionKind::BeginStep, 1, "motor1").dtype(),
        ami_graph::data::value::DType::F64
    );
    assert_eq!(replay.count("transitions_missing_in_stream"), 0);
    let andor = replay.schema.find("andor:raw:calib").unwrap();
    assert_eq!(replay.schema.find("andor.1:raw:calib"), Some(andor));
    assert_eq!(replay.events.iter().filter(|e| e.values.contains_key(&andor)).count(), 4);
}

#[test]
fn real_detectors() {
    let Some(root) = data() else { return };
    let hsd = check_sums(&root, &[root.join("test_hsd.xtc2")], &["test_hsd.jsonl"]);
    assert_eq!(hsd.count("truncated"), 1);
    assert_eq!(hsd.schema.fields[hsd.schema.find("xpphsd:hsd:chan00").unwrap()].rank, 2);
    let jungfrau = check_sums(&root, &[root.join("jungfrau05M.xtc2")], &["jungfrau05M.jsonl"]);
    let gain = held(&jungfrau, TransitionKind::BeginStep, 1, "jungfrau:config:user.gainMode");
    let gain_field = jungfrau.schema.find("jungfrau:config:user.gainMode").unwrap();
    assert_eq!(jungfrau.schema.fields[gain_field].labels.len(), 5);
    assert_eq!(gain.dtype(), ami_graph::data::value::DType::I32);
    let small = "fakesteps__smalldata__xpptut15-r0014-s000-c000.smd.jsonl";
    let path = root.join("fakesteps/smalldata/xpptut15-r0014-s000-c000.smd.xtc2");
    check_sums(&root, &[path], &[small]);
}

#[test]
fn runs_are_read_one_after_the_other() {
    let Some(root) = data() else { return };
    let paths = [root.join("mixed_rate"), root.join("fakesteps")];
    let replay = replay(&paths);
    assert_eq!(replay.events.len(), 110);
    assert_eq!(kinds(&replay).iter().filter(|k| **k == TransitionKind::Configure).count(), 2);
    let runs: Vec<_> = replay.transitions.iter().filter_map(|t| t.run).collect();
    assert_eq!(runs, [14, 1]);
}

#[test]
fn what_is_delivered_does_not_depend_on_the_splits() {
    let Some(root) = data() else { return };
    let paths = [root.join("synthsmall-r0007-s000-c000.xtc2")];
    let whole = replay(&paths);
    for max in [1, 3, 100_000] {
        let mut parts = Replay::default();
        parts.go_on(&mut open(&paths).unwrap(), max, None);
        parts.same(&whole);
        assert_eq!(parts.counters, whole.counters);
    }
    let mut skipping = open(&paths).unwrap();
    let mut skipped = 0;
    loop {
        match skipping.next().unwrap() {
            ami_source::source::Next::Event(_) => skipped += 1,
            ami_source::source::Next::End => break,
            _ => {}
        }
        if skipping.transition().is_none() {
            skipping.skip();
        }
    }
    assert_eq!(skipped, 1000);
}

#[test]
fn epochs() {
    use ami_source::xtc2::{Epoch, Xtc2Options, Xtc2Source};
    let Some(root) = data() else { return };
    let stamp = |epoch| {
        let path = [root.join("jungfrau05M.xtc2")];
        let mut source = Xtc2Source::open(&path, &Xtc2Options { epoch }).unwrap();
        source.next().unwrap();
        source.transition().unwrap().timestamp
    };
    let unix = stamp(Epoch::Unix);
    assert_eq!(stamp(Epoch::Epics) - unix, 631_152_000_000_000_000);
    let (sec, nsec) = (unix / 1_000_000_000, unix % 1_000_000_000);
    assert_eq!(stamp(Epoch::Counter), sec << 32 | nsec);
}
