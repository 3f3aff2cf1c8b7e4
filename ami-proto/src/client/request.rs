//! One question, one answer, within a time.

use crate::client::error::ClientError;
use crate::config::Config;
use crate::health::metrics::Metrics;
use crate::socket::endpoint::Endpoint;
use crate::socket::{self, Context, Inlet, Queue};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zmq::Message;

/// How long a daemon that is there may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Where questions go.
#[derive(Clone)]
pub struct Requester {
    context: Context,
    address: String,
    who: &'static str,
    run_dir: PathBuf,
}

impl std::fmt::Debug for Requester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Requester({} at {})", self.who, self.address)
    }
}

impl Requester {
    /// For an endpoint of a system.
    pub fn new(config: &Config, endpoint: Endpoint, who: &'static str) -> Requester {
        Requester {
            context: Context::new(config, Metrics::default()),
            address: endpoint.connect(config),
            who,
            run_dir: config.instance.run_dir.clone(),
        }
    }

    /// Where its sockets are made.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Where it asks.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn keys_hint(&self) -> &'static str {
        match self.context.security() {
            Ok(Some(_)) if self.address.starts_with("tcp://") => {
                "; if it runs, it refused your key or --server-key is not its own: its log tells"
            }
            _ => "",
        }
    }

    /// Sends the question and waits for the answer's frames.
    ///
    /// # Errors
    /// When nobody answers in time, or the address is senseless.
    pub fn ask(&self, question: &[u8], timeout: Duration) -> Result<Vec<Message>, ClientError> {
        if self.address.starts_with("ipc://") && !self.run_dir.is_dir() {
            return Err(ClientError::NoRunDir { dir: self.run_dir.clone() });
        }
        // A socket per question: a REQ whose answer never came can ask nothing more.
        let queue = Queue::Bounded(1);
        let socket = socket::connect(&self.context, zmq::REQ, queue, &self.address, self.who)?;
        socket.set_linger(0)?;
        socket::send(&socket, [question])?;
        let socket = Inlet::from(socket);
        let deadline = Instant::now() + timeout;
        let mut frames = Vec::new();
        while !socket.receive(&mut frames)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::NoAnswer {
                    who: self.who,
                    address: self.address.clone(),
                    seconds: timeout.as_secs_f64(),
                    keys: self.keys_hint(),
                });
            }
            socket::wait([&socket], left)?;
        }
        Ok(frames)
    }
}

/// An answer's JSON, or the refusal that it is.
///
/// # Errors
/// When it is a refusal or no JSON.
pub fn document(who: &'static str, bytes: &[u8]) -> Result<Value, ClientError> {
    let garbled = |reason: String| ClientError::Garbled { who, reason };
    let value: Value = serde_json::from_slice(bytes).map_err(|e| garbled(e.to_string()))?;
    // A feature's header may carry an error of its own: a refusal has no topic.
    if value.get("error").is_some() && value.get("topic").is_none() {
        let refusal = serde_json::from_value(value).map_err(|e| garbled(e.to_string()))?;
        return Err(ClientError::Refused(refusal));
    }
    Ok(value)
}
