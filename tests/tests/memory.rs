//! Memory is accounted before it is taken: a graph that needs more is refused.

use ami_tests::{System, until};
use serde_json::json;
use std::path::Path;

/// With 64 MiB for worker, collector and root each, all states may take 16 MiB.
fn small(source: &str) -> System {
    ["worker", "collector", "root"]
        .iter()
        .fold(System::of(source), |b, member| b.set(&format!("{member}.memory_max=67108864")))
        .start()
}

#[test]
fn a_graph_that_needs_too_much_is_refused_with_node_and_figures() {
    let system = small("sim:pump-probe?rate=1000&pace=realtime&loop=forever");
    let count = json!({"op": "count", "in": "gmd:raw:energy"});
    system.apply(&json!({"name": "g", "nodes": {"n": count}}));
    let seq = system.get("g/n").int("seq");
    // 256 × 256 pixels, a thousand times.
    let window = json!({"heartbeats": 1000});
    let film = json!({"op": "mean", "in": "jungfrau:raw:raw", "window": window});
    let graph = json!({"name": "g", "nodes": {"n": count, "film": film}});
    for cmd in ["graph.validate", "graph.apply"] {
        let answer = system.manager(json!({"cmd": cmd, "spec": graph})).to_string();
        let named = ["film", "MiB", "of 16.0 MiB are left", "state_bytes"];
        assert!(named.iter().all(|word| answer.contains(word)), "{answer}");
    }
    system.get_when("g/n", |f| f.int("seq") > seq && f.complete() && f.int("version") == 1);
}

/// A simulation of this text.
fn simulation(dir: &Path, text: &str) -> String {
    let file = dir.join("source.toml");
    std::fs::write(&file, text).unwrap();
    format!("sim:{}?pace=realtime&loop=forever", file.display())
}

#[test]
fn a_state_whose_size_nobody_knew_beforehand_is_switched_off_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let system = small(&simulation(
        dir.path(),
        "rate_hz = 100.0\n[[field]]\nname = \"x\"\nkind = \"normal\"\n\
         [[field]]\nname = \"list\"\nkind = \"ragged\"\nmin = 1000\nmax = 20000\n",
    ));
    system.apply(&json!({"name": "g", "nodes": {
        "n": {"op": "count", "in": "x"},
        "few": {"op": "last", "in": "list"},
        "all": {"op": "last", "in": "list", "n": 2000}
    }}));
    let all = system.get_when("g/all", |f| f.header["error"].is_string());
    let reason = all.header["error"].as_str().unwrap();
    assert!(reason.contains("state too large") && reason.contains("state_bytes"), "{reason}");
    let told = until("the line of status", || {
        let status = system.status();
        let nodes = status["members"].as_array()?.iter().flat_map(|m| m["nodes"].as_array());
        nodes.flatten().find(|n| n["node"] == "g/all").cloned()
    });
    let message = told["message"].as_str().unwrap();
    assert!(told["errors"] == 0 && message.starts_with("state too large"), "{told}");
    let n = system.get_when("g/n", |f| f.value("value") > 200.0);
    assert!(n.header["window_complete"] == true, "{}", n.header);
    assert!(system.get("g/few").header["error"].is_null());
}

#[test]
fn a_host_collector_holds_no_more_than_a_quarter_of_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    // A state of 7 MiB in every flush, ten flushes in a second: 70 MiB until a checkpoint is there.
    let system = small(&simulation(
        dir.path(),
        "rate_hz = 40.0\n[[field]]\nname = \"img\"\nkind = \"image\"\ndtype = \"f32\"\n\
         shape = [1024, 900]\n",
    ));
    system.apply(&json!({"name": "g", "nodes": {"m": {"op": "mean", "in": "img"}}}));
    let mut most = 0.0f64;
    until("a hundred events", || {
        most = most.max(system.metric("collector", "ami_held_bytes")?);
        (system.get("g/m").value("count") > 100.0).then_some(())
    });
    // The next flush to be decided is taken in any case.
    assert!(most > 0.0 && most <= f64::from((16 + 8) << 20), "{most} bytes");
}
