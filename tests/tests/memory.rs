//! Memory is accounted before it is taken: a graph that needs more is refused.

use ami_tests::System;
use serde_json::json;

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
