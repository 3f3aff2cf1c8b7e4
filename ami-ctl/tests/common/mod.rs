//! Daemons that are played by a test.

use ami_proto::config::Config;
use ami_proto::socket::endpoint::Endpoint;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The configuration of a run directory.
pub fn config(dir: &Path) -> Config {
    Config::load(None, &[format!("instance.run_dir={}", dir.display())]).unwrap()
}

/// Answers questions on a ROUTER until it is dropped.
pub struct Fake {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Binds an endpoint of this run directory.
    pub fn start(
        dir: &Path,
        endpoint: Endpoint,
        answer: impl Fn(Value) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Fake {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let context = zmq::Context::new();
        let socket = context.socket(zmq::ROUTER).unwrap();
        socket.set_linger(200).unwrap();
        socket.bind(&endpoint.bind(&config(dir))).unwrap();
        let thread = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                if socket.poll(zmq::POLLIN, 20).unwrap() == 0 {
                    continue;
                }
                let mut frames = socket.recv_multipart(0).unwrap();
                let question = serde_json::from_slice(&frames.pop().unwrap()).unwrap();
                frames.extend(answer(question));
                socket.send_multipart(frames, 0).unwrap();
            }
        });
        Fake { stop, thread: Some(thread) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// An answer of one frame.
pub fn one(document: Value) -> Vec<Vec<u8>> {
    vec![document.to_string().into_bytes()]
}
