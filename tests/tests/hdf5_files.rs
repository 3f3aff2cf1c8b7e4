//! HDF5 files through real processes: the answers are numpy's on the same file, with any number of
//! workers; a file that grows is followed while it is written.

use ami_tests::{System, bin, python_with_numpy, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Writes a file and prints what numpy makes of what h5py reads from it.
const WRITE: &str = r#"
import json, sys
import h5py, hdf5plugin
import numpy as np
rng = np.random.default_rng(5)
n = 300
with h5py.File(sys.argv[1], "w") as f:
    f.create_dataset("entry/data/image", data=rng.poisson(4, (n, 64, 48)).astype("u2"), chunks=(1, 64, 48),
                     **hdf5plugin.Bitshuffle(cname="lz4"))
    f.create_dataset("entry/trace", data=rng.normal(size=(n, 100)), chunks=(16, 100), compression="gzip", shuffle=True)
    f["entry/x"] = rng.normal(size=n)
    f["entry/number"] = rng.integers(-1000, 1000, n).astype("i4")
    f["entry/timestamp"] = 1_735_689_600_000_000_000 + np.arange(n, dtype="u8") * 5_000_000
    f["entry/gain"] = 2.5
with h5py.File(sys.argv[1]) as f:
    e = {k: f["entry"][k][()] for k in ("x", "number", "trace", "gain")}
    image = f["entry/data/image"][()]
print(json.dumps({
    "n": n, "number": int(e["number"].sum()), "image": image.sum(axis=0, dtype="i8").ravel().tolist(),
    "trace": e["trace"].mean(axis=0).tolist(), "scaled": float((e["x"] * e["gain"]).mean()),
    "hist": np.histogram(e["x"], 40, (-3, 3))[0].tolist(), "bright": float(image.sum(axis=(1, 2), dtype="f8").mean()),
}))
"#;

fn python() -> Option<PathBuf> {
    let python = python_with_numpy()?;
    let import = Command::new(&python)
        .args(["-c", "import h5py, hdf5plugin"])
        .stderr(Stdio::null())
        .status();
    let there = import.is_ok_and(|status| status.success());
    if !there {
        println!("skipped: {} has not h5py and hdf5plugin; run `make python`", python.display());
    }
    there.then_some(python)
}

fn graph() -> Value {
    json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "entry:x"},
        "number": {"op": "sum", "in": "entry:number"},
        "image": {"op": "sum", "in": "/entry/data/image"},
        "trace": {"op": "mean", "in": "entry:trace"},
        "scaled_x": {"op": "expr", "in": {"x": "entry:x", "gain": "entry:gain"}, "expr": "x * gain"},
        "scaled": {"op": "mean", "in": "scaled_x"},
        "hist": {"op": "hist", "in": "entry:x", "bins": 40, "range": [-3, 3]},
        "total": {"op": "expr", "in": {"a": "entry:data:image"}, "expr": "sum(a)"},
        "bright": {"op": "mean", "in": "total"}
    }})
}

fn close(have: &[f64], want: &Value) -> bool {
    let want: Vec<f64> = match want {
        Value::Array(all) => all.iter().filter_map(Value::as_f64).collect(),
        one => one.as_f64().into_iter().collect(),
    };
    have.len() == want.len()
        && have.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs().max(1.0))
}

#[test]
fn the_answers_are_numpys_with_any_number_of_workers() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.h5");
    let made = Command::new(&python).args(["-c", WRITE]).arg(&file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let want: Value = serde_json::from_slice(&made.stdout).unwrap();
    for workers in [1, 2, 3] {
        let system = System::of(&format!("hdf5:{}", file.display())).workers(workers).start();
        system.apply(&graph());
        system.drained();
        let n = want["n"].as_i64().unwrap();
        let count = system.get_when("g/n", |f| f.value("value") as i64 == n);
        assert_eq!(count.header["window_complete"], true);
        assert_eq!(system.get("g/number").value("value") as i64, want["number"].as_i64().unwrap());
        // A sum of integers is one.
        let image = system.get("g/image");
        assert_eq!(json!(image.i64s(image.arrays.keys().next().unwrap())), want["image"]);
        let trace = system.get("g/trace");
        assert!(close(&trace.f64s(trace.arrays.keys().next().unwrap()), &want["trace"]));
        for topic in ["scaled", "bright"] {
            let feature = system.get(&format!("g/{topic}"));
            assert!(close(&[feature.value("value")], &want[topic]), "{topic} {}", feature.header);
        }
        let hist = system.get("g/hist");
        assert_eq!(json!(hist.i64s("counts")), want["hist"], "{}", hist.header);
        if workers == 2 {
            saved(&python, &system, &want);
        }
        assert!(system.stop());
    }
    listed(&file);
    missed(&file);
}

/// Reads what was saved as a viewer does: from default to default to the signal.
const READ: &str = r#"
import json, sys
import h5py, numpy as np
with h5py.File(sys.argv[1]) as f:
    entry = f[f.attrs["default"]]
    hist = entry["g_hist"]
    signal, edges = hist[hist.attrs["signal"]], hist["edges"]
    centers = hist[hist.attrs["axes"][0]][()]
    assert np.array_equal(centers, (edges[1:] + edges[:-1]) / 2)
    trace = entry["g_trace"]
    print(json.dumps({
        "classes": [f.attrs["NX_class"], entry.attrs["NX_class"], hist.attrs["NX_class"]],
        "default": entry.attrs["default"], "hist": signal[()].tolist(), "edges": edges.shape,
        "image": entry["g_image"][entry["g_image"].attrs["signal"]][()].ravel().tolist(),
        "trace": trace[trace.attrs["signal"]][()].tolist(), "n": int(entry["g_n/value"][()]),
        "complete": bool(hist["truth/window_complete"][()]), "run": int(hist["truth/run"][()]),
        "graph": json.loads(entry["graphs/g"].asstr()[()])["name"], "beats": len(entry["g_n/truth"]),
    }))
"#;

/// `ami-ctl save` writes files that h5py opens, with numpy's answers in them.
fn saved(python: &Path, system: &System, want: &Value) {
    let file = system.dir().join("out.h5");
    let save = |args: &[&str]| {
        let out = Command::new(bin("ami-ctl"))
            .arg("--run-dir")
            .arg(system.dir())
            .args(["save", "g/hist", "g/image", "g/trace", "g/n", "-o"])
            .arg(&file)
            .args(args)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    save(&[]);
    let read = Command::new(python).args(["-c", READ]).arg(&file).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let got: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(got["classes"], json!(["NXroot", "NXentry", "NXdata"]));
    assert_eq!((&got["default"], &got["edges"]), (&json!("g_hist"), &json!([41])));
    for key in ["hist", "image", "n"] {
        assert_eq!(got[key], want[key], "{key}");
    }
    let trace: Vec<f64> =
        got["trace"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert!(close(&trace, &want["trace"]));
    assert_eq!(
        (&got["complete"], &got["run"], &got["graph"]),
        (&json!(true), &json!(1), &json!("g"))
    );
    save(&["--history"]);
    save(&["--every", "0.1", "--duration", "0.5"]);
    save(&["--at-end-of", "run", "--duration", "0.5"]);
    assert!(system.dir().join("out-r0001.h5").is_file(), "the run that is still going");
}

/// `ami-ventilator inspect` says what is in it.
fn listed(file: &Path) {
    let url = format!("hdf5:{}", file.display());
    let inspect = |args: &[&str]| Command::new(bin("ami-ventilator")).args(args).output().unwrap();
    let table = String::from_utf8(inspect(&["inspect", &url]).stdout).unwrap();
    for words in [
        "300 events",
        "bitshuffle+lz4",
        "shuffle+gzip",
        "entry:data:image (event)",
        "entry:gain (held)",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let json = inspect(&["inspect", &file.display().to_string(), "--json"]).stdout;
    let lines = String::from_utf8(json).unwrap();
    let image = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let image = image.into_iter().find(|l| l["path"] == "/entry/data/image").unwrap();
    assert_eq!((&image["shape"], &image["chunks"]), (&json!([300, 64, 48]), &json!([1, 64, 48])));
}

/// A wrong name says what there is.
fn missed(file: &Path) {
    let cases = [
        ("timestamp=/entry/timestmp", "did you mean \"/entry/timestamp\""),
        ("axis=/entry/y", "no such dataset"),
        ("fields=nothing", "nothing of that name"),
    ];
    for (option, words) in cases {
        let url = format!("hdf5:{}?{option}", file.display());
        let out = Command::new(bin("ami-ventilator")).args(["inspect", &url]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.contains(words), "{option}: {text}");
    }
}

#[test]
fn a_growing_file_is_followed() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("grows.h5");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ami-source/tests/hdf5/grow.py");
    let mut writer = Command::new(python)
        .arg(script)
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = writer.stdin.take().unwrap();
    let mut from = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut tell = |what: &str| {
        writeln!(to, "{what}").unwrap();
        assert_eq!(from.next().unwrap().unwrap(), "ok");
    };
    tell("20");
    let system = System::of(&format!("hdf5:{}?overload=block", file.display())).workers(2).start();
    system.apply(&json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "entry:x"}, "x": {"op": "sum", "in": "entry:x"},
        "image": {"op": "sum", "in": "entry:data"}}}));
    for rows in [20, 220, 400] {
        if rows > 20 {
            tell(&(rows - if rows == 220 { 20 } else { 220 }).to_string());
        }
        until("all rows so far", || {
            let found = system.metric("root", "ami_events_total")? >= f64::from(rows - 20);
            found.then_some(())
        });
    }
    tell("close");
    system.drained();
    system.get_when("g/n", |f| f.value("value") == 400.0);
    let sum = f64::from(399 * 400) / 2.0;
    assert_eq!(system.get("g/x").value("value"), sum / 2.0);
    let image = system.get("g/image");
    let name = image.arrays.keys().next().unwrap();
    assert_eq!(image.i64s(name), vec![sum as i64; 24]);
    assert!(system.stop());
    assert!(writer.wait().unwrap().success());
}
