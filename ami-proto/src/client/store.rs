//! The typed client of the store: queries and subscriptions.

use crate::client::error::ClientError;
use crate::client::feature::Feature;
use crate::client::request::document;
use crate::client::request::{PATIENCE, Requester};
use crate::config::Config;
use crate::socket::endpoint::Endpoint;
use crate::socket::{self, Context, Inlet, Queue};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use zmq::Message;

/// Asks the store.
#[derive(Debug, Clone)]
pub struct Store {
    requester: Requester,
    publications: String,
}

impl Store {
    /// For the store of a system.
    pub fn new(config: &Config) -> Store {
        Store {
            requester: Requester::new(config, Endpoint::Query, "store"),
            publications: Endpoint::Store.connect(config),
        }
    }

    /// The newest value of a feature.
    ///
    /// # Errors
    /// When nobody answers, or there is no such feature.
    pub fn get(&self, topic: &str) -> Result<Feature, ClientError> {
        let frames = self.query(&json!({"get": topic}))?;
        let (header, mut buffers) = answer(frames)?;
        Feature::new(header, &mut buffers).map_err(garbled)
    }

    /// What is known of every feature whose topic begins with `prefix`, as the store lists it.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn list(&self, prefix: &str) -> Result<Vec<Value>, ClientError> {
        match answer(self.query(&json!({"list": prefix}))?)?.0 {
            Value::Array(list) => Ok(list),
            other => Err(garbled(format!("no list but {}", kind(&other)))),
        }
    }

    /// All features of the newest whole heartbeat of a graph.
    ///
    /// # Errors
    /// When nobody answers, or there is no such graph.
    pub fn snapshot(&self, graph: &str) -> Result<Vec<Feature>, ClientError> {
        self.features(&json!({"snapshot": graph}))
    }

    /// The newest values of a feature, oldest first.
    ///
    /// # Errors
    /// When nobody answers, or there is no such feature.
    pub fn history(
        &self,
        topic: &str,
        since: u64,
        limit: u64,
    ) -> Result<Vec<Feature>, ClientError> {
        self.features(&json!({"history": topic, "since_heartbeat": since, "limit": limit}))
    }

    fn features(&self, question: &Value) -> Result<Vec<Feature>, ClientError> {
        let (list, mut buffers) = answer(self.query(question)?)?;
        let Value::Array(headers) = list else {
            return Err(garbled(format!("no list but {}", kind(&list))));
        };
        headers.into_iter().map(|h| Feature::new(h, &mut buffers).map_err(garbled)).collect()
    }

    fn query(&self, question: &Value) -> Result<Vec<Message>, ClientError> {
        self.requester.ask(question.to_string().as_bytes(), PATIENCE)
    }

    /// Where subscriptions go.
    pub fn address(&self) -> &str {
        &self.publications
    }

    /// Subscribes to topics by prefix, as ZeroMQ does; the last values come at once.
    ///
    /// # Errors
    /// When the address is senseless.
    pub fn subscribe(&self, prefixes: &[String]) -> Result<Subscription, ClientError> {
        let context = self.requester.context().clone();
        // XSUB, because the shared way to connect a SUB subscribes it to everything.
        let queue = Queue::Bounded(1000);
        let socket = socket::connect(&context, zmq::XSUB, queue, &self.publications, "store")?;
        socket.set_linger(0)?;
        for prefix in prefixes {
            socket::send(&socket, [[b"\x01", prefix.as_bytes()].concat()])?;
        }
        Ok(Subscription { socket: socket.into(), _context: context, frames: Vec::new() })
    }
}

fn answer(frames: Vec<Message>) -> Result<(Value, impl Iterator<Item = Vec<u8>>), ClientError> {
    let mut frames = frames.into_iter();
    let header = frames.next().ok_or_else(|| garbled("an empty message".into()))?;
    Ok((document("store", &header)?, frames.map(|f| f.to_vec())))
}

fn garbled(reason: String) -> ClientError {
    ClientError::Garbled { who: "store", reason }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Features as they are published.
pub struct Subscription {
    socket: Inlet,
    // The socket lives in it.
    _context: Context,
    frames: Vec<Message>,
}

impl Subscription {
    /// To wait for features.
    pub fn inlet(&self) -> &Inlet {
        &self.socket
    }

    /// The next feature, or None when the time is over. Frame marks (`graph/@heartbeat`) are
    /// features without arrays.
    ///
    /// # Errors
    /// When a message cannot be read, or ZeroMQ fails.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Feature>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.socket.receive(&mut self.frames)? {
                return self.read().map(Some);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            socket::wait([&self.socket], left)?;
        }
    }

    fn read(&mut self) -> Result<Feature, ClientError> {
        let mut frames = self.frames.drain(..);
        let (_topic, header) = (frames.next(), frames.next());
        let header = header.ok_or_else(|| garbled("a message without header".into()))?;
        let header = serde_json::from_slice(&header).map_err(|e| garbled(e.to_string()))?;
        Feature::new(header, &mut frames.map(|f| f.to_vec())).map_err(garbled)
    }
}
