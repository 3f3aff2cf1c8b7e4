//! Messages as programs send them, made here: for tests of whatever reads them.

use serde_json::json;

/// A message: its frames.
pub type Frames = Vec<Vec<u8>>;

/// An event of two numbers, a text and an image.
pub fn event(n: u64) -> Frames {
    let header = json!({
        "timestamp_ns": 1_700_000_000_000_000_000 + n * 1_000_000,
        "values": {"n": n, "energy": n as f64 / 2.0, "gauge:raw:mode": "fast", "on": n.is_multiple_of(2)},
        "arrays": [{"name": "image", "dtype": "<u2", "shape": [2, 3]}],
    });
    let image: Vec<u8> = (0..6).flat_map(|i| ((n % 1000) as u16 * 10 + i).to_le_bytes()).collect();
    vec![header.to_string().into(), image]
}

/// A feature as ami's store sends it.
pub fn feature(seq: u64, run: u32) -> Frames {
    let header = json!({
        "topic": "g/scan", "seq": seq, "graph": "g", "run": run, "step": null, "heartbeat": seq,
        "timestamp_ns": 1_700_000_000_000_000_000 + seq * 100_000_000,
        "window_events": 100 * seq, "window_complete": true,
        "arrays": [{"name": "mean", "dtype": "<f8", "shape": [2]}], "values": {"outside": "NaN"},
    });
    let mean: Vec<u8> = [seq as f64, 0.5].iter().flat_map(|v| v.to_le_bytes()).collect();
    vec![b"g/scan".to_vec(), header.to_string().into(), mean]
}

/// The end of a frame of features.
pub fn marker(seq: u64) -> Frames {
    let header =
        json!({"topic": "g/@heartbeat", "seq": seq, "topics": {"g/scan": seq}, "arrays": []});
    vec![b"g/@heartbeat".to_vec(), header.to_string().into()]
}

/// Events and features.
pub fn all() -> Vec<Frames> {
    let mut all: Vec<Frames> = (0..4).map(event).collect();
    all.extend([feature(1, 4), feature(1, 4), marker(1), feature(2, 5), event(9)]);
    all
}
