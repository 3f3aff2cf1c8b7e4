//! Queries of clients: one JSON frame in, a header or list and its buffers out. Pure.

use crate::store::{Message, Store};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest query accepted, bytes; longer ones are not even received.
pub const MAX_QUERY: usize = 64 << 10;

/// Values of a history when the query names no limit.
const HISTORY: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    get: Option<String>,
    list: Option<String>,
    snapshot: Option<String>,
    history: Option<String>,
    since_heartbeat: Option<u64>,
    limit: Option<usize>,
}

/// Answers a query; whatever the bytes are, there is an answer.
pub fn answer(store: &Store, frames: &[&[u8]], now_ns: u64) -> Vec<Vec<u8>> {
    match parse(frames).and_then(|query| find(store, &query, now_ns)) {
        Ok(frames) => frames,
        Err((error, hint)) => {
            vec![json!({ "error": error, "hint": hint }).to_string().into_bytes()]
        }
    }
}

type Mistake = (String, String);

fn parse(frames: &[&[u8]]) -> Result<Query, Mistake> {
    let hint = || {
        "send one JSON frame: {\"get\": topic}, {\"list\": prefix}, {\"snapshot\": graph} or \
         {\"history\": topic, \"since_heartbeat\": n, \"limit\": m}"
            .to_string()
    };
    let [frame] = frames else {
        return Err((format!("a query is one frame, this has {}", frames.len()), hint()));
    };
    if frame.len() > MAX_QUERY {
        return Err((
            format!("the query has {} bytes; {MAX_QUERY} are the most", frame.len()),
            hint(),
        ));
    }
    let query: Query = serde_json::from_slice(frame)
        .map_err(|e| (format!("the query cannot be read: {e}"), hint()))?;
    let kinds = [&query.get, &query.list, &query.snapshot, &query.history];
    match kinds.iter().filter(|k| k.is_some()).count() {
        1 => Ok(query),
        n => Err((format!("the query asks for {n} things"), hint())),
    }
}

fn find(store: &Store, query: &Query, now_ns: u64) -> Result<Vec<Vec<u8>>, Mistake> {
    if let Some(topic) = &query.get {
        let message = store.latest(topic).ok_or_else(|| unknown(store, topic))?;
        return Ok(whole(message));
    }
    if let Some(prefix) = &query.list {
        let list: Vec<Value> =
            store.latest_with(prefix).map(|(t, m)| entry(t, m, now_ns)).collect();
        return Ok(vec![Value::Array(list).to_string().into_bytes()]);
    }
    if let Some(topic) = &query.history {
        let since = query.since_heartbeat.unwrap_or(0);
        let messages = store.history(topic, since, query.limit.unwrap_or(HISTORY));
        return Ok(several(messages.ok_or_else(|| unknown(store, topic))?.into_iter()));
    }
    let graph: String = query.snapshot.iter().flat_map(|g| g.chars()).take(100).collect();
    let graph = graph.as_str();
    let snapshot = store.snapshot(graph).ok_or_else(|| -> Mistake {
        let hint = nearest(graph, store.graphs());
        (format!("no heartbeat of a graph {graph:?} was published"), hint)
    })?;
    Ok(several(snapshot.iter()))
}

fn whole(message: &Message) -> Vec<Vec<u8>> {
    std::iter::once(message.header.to_vec()).chain(message.buffers.iter().cloned()).collect()
}

/// A JSON list of headers, then all buffers in order.
fn several<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<Vec<u8>> {
    let (mut list, mut buffers) = (b"[".to_vec(), Vec::new());
    for message in messages {
        if list.len() > 1 {
            list.push(b',');
        }
        // Headers are JSON objects already: they were parsed when they came.
        list.extend_from_slice(&message.header);
        buffers.extend(message.buffers.iter().cloned());
    }
    list.push(b']');
    std::iter::once(list).chain(buffers).collect()
}

fn entry(topic: &str, message: &Message, now_ns: u64) -> Value {
    let header: Value = serde_json::from_slice(&message.header).unwrap_or_default();
    let names = |key: &str| -> Vec<String> {
        header[key].as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default()
    };
    json!({
        "topic": topic,
        "seq": message.seq,
        "heartbeat": message.heartbeat,
        "op": header["op"],
        "window": header["window"],
        "version": header["version"],
        "arrays": header["arrays"],
        "values": names("values"),
        "complete": header["complete"],
        "error": header["error"],
        "age_ms": now_ns.saturating_sub(message.received_ns) / 1_000_000,
    })
}

fn unknown(store: &Store, topic: &str) -> Mistake {
    let short: String = topic.chars().take(100).collect();
    (format!("no feature {short:?} was published"), nearest(&short, store.topics()))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    // Bounded work, however many features there are.
    let known = known.filter(|k| k.len() <= 200).take(2000);
    match known.max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name))) {
        Some(nearest) => format!("did you mean {nearest:?}? `ami-ctl features` (query {{\"list\": \"\"}}) lists all"),
        None => "nothing was published yet: `ami-ctl status` tells whether a graph is active, the source runs and which nodes are off".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        let mut store = Store::new(10, 1 << 20);
        for seq in 1..=3u64 {
            let header = json!({"topic": "g/a", "seq": seq, "heartbeat": 10 + seq, "op": "sum",
                "arrays": [{"name": "value", "dtype": "|u1", "shape": [2]}], "values": {"count": 1}});
            let bytes = header.to_string();
            store.ingest(&[b"g/a", bytes.as_bytes(), &[seq as u8, 0]], 0).unwrap();
        }
        store
    }

    fn ask(text: &str) -> (Value, Vec<Vec<u8>>) {
        let mut frames = answer(&store(), &[text.as_bytes()], 5_000_000);
        let buffers = frames.split_off(1);
        (serde_json::from_slice(&frames[0]).unwrap(), buffers)
    }

    #[test]
    fn every_query_is_answered() {
        let (header, buffers) = ask(r#"{"get": "g/a"}"#);
        assert_eq!((&header["seq"], &buffers[0]), (&json!(3), &vec![3, 0]));
        let (list, _) = ask(r#"{"list": ""}"#);
        assert_eq!((&list[0]["topic"], &list[0]["age_ms"]), (&json!("g/a"), &json!(5)));
        let (history, buffers) = ask(r#"{"history": "g/a", "since_heartbeat": 12, "limit": 9}"#);
        assert_eq!((history.as_array().unwrap().len(), buffers.len()), (2, 2));
    }

    #[test]
    fn mistakes_get_the_nearest_and_the_form() {
        assert_eq!(
            ask(r#"{"get": "g/b"}"#).0["hint"],
            "did you mean \"g/a\"? `ami-ctl features` (query {\"list\": \"\"}) lists all"
        );
        for text in ["", "[]", "{}", r#"{"get": "a", "list": ""}"#, r#"{"fetch": "a"}"#] {
            assert!(ask(text).0["hint"].as_str().unwrap().contains("\"snapshot\""), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn garbage_is_answered(bytes: Vec<u8>) {
            proptest::prop_assert_eq!(answer(&store(), &[&bytes], 0).is_empty(), false);
        }
    }
}
