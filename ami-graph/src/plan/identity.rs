//! Identity of what a node computes: a hash of its op, parameters, window, resets and everything
//! upstream. State is kept while it stays; equal per-event nodes are computed once.

use crate::graph::spec::NodeSpec;
use crate::graph::wiring::Wiring;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

/// The hash; a checkpoint holds it, so it must not change between builds.
pub type Identity = [u8; 32];

/// Of a node; `source` gives a field's name or the identity and output of the node behind input k.
pub fn identity<'a>(
    spec: &NodeSpec,
    wiring: &Wiring,
    resets: u64,
    source: impl Fn(usize) -> (&'a [u8], Option<usize>),
) -> Identity {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // With lengths, so that neighbouring parts cannot be mistaken for each other.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(crate::ops::current_name(&spec.op).as_bytes());
    part(&resets.to_le_bytes());
    part(&canonical(spec.window.as_ref().unwrap_or(&Json::Null)));
    part(&canonical(&Json::Object(spec.params.clone())));
    part(&wiring.with.to_le_bytes());
    for (k, name) in wiring.names.iter().enumerate().take(wiring.sources.len()) {
        let (from, output) = source(k);
        part(name.as_bytes());
        part(from);
        part(&output.map_or(u64::MAX, |o| o as u64).to_le_bytes());
    }
    hash.finalize().into()
}

/// JSON with keys sorted, so that their order does not count.
fn canonical(json: &Json) -> Vec<u8> {
    fn sorted(json: &Json) -> Json {
        match json {
            Json::Object(map) => {
                let mut pairs: Vec<_> = map.iter().collect();
                pairs.sort_by_key(|(key, _)| key.as_str());
                pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
            }
            Json::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(json).to_string().into_bytes()
}
