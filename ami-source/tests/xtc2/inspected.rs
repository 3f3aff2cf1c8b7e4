//! `inspect --json --hash` equals the dumps that the facility's own library made, key by key.

use super::common::{data, dump, files};
use ami_source::inspect;
use serde_json::Value;
use std::path::PathBuf;

fn listing(paths: &[PathBuf], json: bool) -> String {
    let mut out = Vec::new();
    inspect::run(paths, json, true, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Equal, where numbers are compared as numbers: `41` and `41.0` are one.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => {
            // serde_json reads 17 digits only nearly exactly; the hash beside them is exact.
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 4.0 * f64::EPSILON * b.abs()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => ours == theirs,
    }
}

#[test]
fn every_datagram_is_as_the_facility_reads_it() {
    let Some(root) = data() else { return };
    let files = files(&root);
    assert!(files.len() >= 14, "files are missing from {}", root.display());
    let mut fields = 0;
    for (path, reference) in files {
        let text = listing(std::slice::from_ref(&path), true);
        let theirs = dump(&reference);
        assert_eq!(text.lines().count(), theirs.len(), "{}", path.display());
        for (line, theirs) in text.lines().zip(&theirs) {
            let ours: Value = serde_json::from_str(line).unwrap();
            assert!(same(&ours, theirs), "{}\n ours {line}\ntheirs {theirs}", path.display());
            let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&ours), keys(theirs), "keys in their order");
            fields += ours["data"].as_array().unwrap().len();
        }
    }
    println!("{fields} fields are equal");
    assert!(fields > 25_000);
}

#[test]
fn people_get_a_table() {
    let Some(root) = data() else { return };
    let text = listing(&[root.join("test_hsd.xtc2")], false);
    let chan = text.lines().find(|l| l.contains("xpphsd.0:hsd:chan00")).unwrap();
    assert!(chan.contains("352..2000") || chan.contains(".."), "{chan}");
    assert!(text.contains("L1Accept                     84"), "{text}");
}

#[test]
fn what_is_not_xtc2_is_said_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: PathBuf| {
        format!("{:#}", inspect::run(&[path], true, false, &mut Vec::new()).unwrap_err())
    };
    let text = folder.path().join("readme.txt");
    std::fs::write(&text, "this is a text file, long enough for a header").unwrap();
    let error = said(text);
    assert!(error.contains("readme.txt") && error.contains("\"this.is.a.text.f\""), "{error}");
    assert!(said(folder.path().into()).contains("holds no *.xtc2 file"));
    assert!(said(folder.path().join("no.xtc2")).contains("cannot be opened"));
    let empty = folder.path().join("empty.xtc2");
    std::fs::write(&empty, "").unwrap();
    assert!(said(empty).contains("is empty"));
}
