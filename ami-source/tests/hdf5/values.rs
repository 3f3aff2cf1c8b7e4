//! Every layout, type, index and compression: values equal to h5py's.

use crate::common::{Datum, Event, python, script, take};
use serde_json::Value;
use std::collections::BTreeMap;

fn datum(bin: &[u8], value: &Value) -> Datum {
    let number = |i: usize| value[i].as_u64().unwrap() as usize;
    let shape = value[1].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    (value[0].as_str().unwrap().into(), shape, bin[number(2)..][..number(3)].to_vec())
}

fn data(bin: &[u8], map: &Value) -> BTreeMap<String, Datum> {
    map.as_object().unwrap().iter().map(|(name, v)| (name.clone(), datum(bin, v))).collect()
}

/// Where two events differ, in a few words.
fn difference(have: &Event, want: &Event) -> Option<String> {
    if have.stamp != want.stamp {
        return Some(format!("stamp {} instead of {}", have.stamp, want.stamp));
    }
    let names: Vec<_> = have.fields.keys().chain(want.fields.keys()).collect();
    names.into_iter().find_map(|name| match (have.fields.get(name), want.fields.get(name)) {
        (Some(a), Some(b)) if a == b => None,
        (Some(a), Some(b)) if (&a.0, &a.1) != (&b.0, &b.1) => {
            Some(format!("{name}: {} {:?} instead of {} {:?}", a.0, a.1, b.0, b.1))
        }
        (Some(_), Some(_)) => Some(format!("{name}: other values")),
        (None, _) => Some(format!("{name} is absent")),
        (_, None) => Some(format!("{name} is there")),
    })
}

#[test]
fn values_are_those_of_h5py() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = script(&python, "make.py").arg(dir.path()).status().unwrap();
    assert!(made.success());
    let bin = std::fs::read(dir.path().join("expected.bin")).unwrap();
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(dir.path().join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 25);
    let mut wrong = Vec::new();
    for case in &cases {
        let (name, url) = (case["name"].as_str().unwrap(), case["url"].as_str().unwrap());
        let (taken, counters) = take(url);
        let events = case["events"].as_array().unwrap();
        let events = events.iter().map(|e| Event {
            stamp: e["stamp"].as_u64().unwrap(),
            fields: data(&bin, &e["fields"]),
        });
        let events: Vec<Event> = events.collect();
        if taken.events.len() != events.len() {
            wrong.push(format!(
                "{name}: {} events instead of {}",
                taken.events.len(),
                events.len()
            ));
        }
        let differences = taken.events.iter().zip(&events).enumerate();
        let mut differences = differences.filter_map(|(i, (a, b))| Some((i, difference(a, b)?)));
        if let Some((i, what)) = differences.next() {
            wrong.push(format!("{name}: event {i}: {what}; {} more", differences.count()));
        }
        for (field, want) in data(&bin, &case["held"]) {
            if taken.held.get(&field) != Some(&want) {
                wrong.push(format!("{name}: held {field}: {:?}", taken.held.get(&field)));
            }
        }
        for (counter, want) in case["counters"].as_object().unwrap() {
            if counters.get(counter.as_str()).copied() != want.as_u64() {
                wrong.push(format!(
                    "{name}: {counter} is {:?}, not {want}",
                    counters.get(counter.as_str())
                ));
            }
        }
        for (alias, field) in case["alias"].as_object().into_iter().flatten() {
            let at = taken.schema.find(alias).map(|at| taken.schema.fields[at].name.as_str());
            assert_eq!(at, field.as_str(), "{name}: {alias}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
