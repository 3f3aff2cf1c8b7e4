//! The store's loop: results in, forwarded to clients, queries answered.

use crate::answers::{Answers, Reply, Sent};
use crate::bound::Bound;
use crate::query;
use crate::repeats::Repeats;
use crate::store::{IngestError, Store};
use ami_proto::config::Config;
use ami_proto::control::member_to_manager::Role;
use ami_proto::control::reporter::Reporter;
use ami_proto::health::throttle::Throttle;
use ami_proto::process::daemon::{Daemon, now_ns};
use ami_proto::socket::delayed::Delayed;
use ami_proto::socket::endpoint::Endpoint;
use ami_proto::socket::{self, Broadcast, Inlet, Queue};
use std::time::{Duration, Instant};
use zmq::Message;

/// Longest sleep; everything that matters wakes it earlier.
const TICK: Duration = Duration::from_millis(100);
/// Sleep while answers wait: nothing tells when a client reads.
const SOON: Duration = Duration::from_millis(2);
/// After memory was short, as much as before waits for clients again once it was at ease for so long.
const EASE: Duration = Duration::from_secs(60);

/// Messages that wait for a client even where they are large: a frame of features comes at once.
const FEWEST: i32 = 64;
/// Bytes of results that the root is told of at once; a small part of what it lets be on its way.
const SMALL: u64 = 1 << 20;
/// Bytes of answers that wait for clients that ask and do not read.
const ANSWER_BYTES: usize = 24 << 20;

/// Runs until asked to stop.
///
/// # Errors
/// When sockets cannot be made.
pub fn run(config: &Config, daemon: &mut Daemon) -> anyhow::Result<()> {
    let mut server = Server::new(config, daemon)?;
    daemon.ready("feature store");
    while !daemon.stopping() {
        server.turn(daemon)?;
    }
    Ok(())
}

struct Server {
    store: Store,
    results: Inlet,
    clients: Broadcast,
    queries: Inlet,
    reporter: Reporter,
    frames: Vec<Message>,
    /// Bytes of results since the root was told last, and when that will be.
    taken: u64,
    later: Delayed,
    bound: Bound,
    answers: Answers,
    repeats: Repeats,
    throttle: Throttle,
    /// When memory was last seen to be short.
    short: Option<Instant>,
    refused: u64,
    unkept: u64,
    queried: u64,
}

impl Server {
    fn new(config: &Config, daemon: &Daemon) -> anyhow::Result<Server> {
        let context = &daemon.context;
        let queue = Queue::Bounded(config.store.client_queue);
        let address = Endpoint::Store.bind(config);
        let clients = Broadcast::bind(context, queue, &address, "features")?;
        let results = Endpoint::Results.connect(config);
        let results =
            socket::connect(context, zmq::XSUB, Queue::Protocol, &results, "root's results")?;
        // Everything: said again by ZeroMQ itself to a root that was restarted.
        socket::send(&results, [&[1u8][..]])?;
        Ok(Server {
            store: Store::new(config.store.history, config.store.history_bytes),
            results: results.into(),
            clients,
            queries: socket::bind(
                context,
                zmq::ROUTER,
                Queue::Queries(query::MAX_QUERY as i64),
                &Endpoint::Query.bind(config),
                "queries",
            )?,
            reporter: Reporter::new(context, config, daemon, Role::Store, "store")?,
            frames: Vec::new(),
            taken: 0,
            later: Delayed::default(),
            bound: Bound::new(config.store.client_bytes, config.store.client_queue, FEWEST),
            answers: Answers::new(ANSWER_BYTES),
            repeats: Repeats::default(),
            throttle: Throttle::new(20, Duration::from_secs(1)),
            short: None,
            refused: 0,
            unkept: 0,
            queried: 0,
        })
    }

    fn turn(&mut self, daemon: &mut Daemon) -> anyhow::Result<()> {
        for _ in 0..256 {
            if !self.results.receive(&mut self.frames)? {
                break;
            }
            self.taken += self.frames.iter().map(|f| f.len() as u64).sum::<u64>();
            self.on_result()?;
        }
        self.acknowledge()?;
        while self.clients.receive(&mut self.frames)? {
            self.on_subscription();
        }
        self.repeat()?;
        for _ in 0..64 {
            if !self.queries.receive(&mut self.frames)? {
                break;
            }
            self.on_query()?;
        }
        self.answers.send(|reply| reply_to(&self.queries, reply))?;
        while self.reporter.announcement().is_some() {}
        self.report(daemon);
        daemon.beat();
        self.relieve(daemon)?;
        let tick = if self.answers.is_empty() { TICK } else { SOON };
        let tick = self.later.wait(Instant::now(), tick);
        let tick = self.repeats.wait(Instant::now()).map_or(tick, |wait| wait.min(tick));
        let inlets = [&self.results, self.clients.inlet(), &self.queries, self.reporter.inlet()];
        Ok(socket::wait(inlets, tick)?)
    }

    /// The root sends no more than what is acknowledged makes room for: a small part of that waits.
    fn acknowledge(&mut self) -> Result<(), zmq::Error> {
        let now = Instant::now();
        match self.taken {
            0 => return Ok(()),
            1..SMALL => self.later.note(now),
            _ => self.later.hurry(now),
        }
        if self.later.due(now) {
            let taken = std::mem::take(&mut self.taken);
            let acknowledgement = [&[2u8][..], &taken.to_le_bytes()].concat();
            socket::send(self.results.socket(), [acknowledgement])?;
        }
        Ok(())
    }

    fn on_result(&mut self) -> anyhow::Result<()> {
        let frames: Vec<&[u8]> = self.frames.iter().map(|f| &f[..]).collect();
        if let Err(error) = self.store.ingest(&frames, now_ns()) {
            let unkept = matches!(error, IngestError::Room { .. });
            *(if unkept { &mut self.unkept } else { &mut self.refused }) += 1;
            if let Some(unsaid) = self.throttle.pass(Instant::now()) {
                tracing::warn!(%error, unsaid, "result not kept");
            }
            if !unkept {
                return Ok(());
            }
        }
        if frames.first() != Some(&&b"@retire"[..]) {
            let size = frames.iter().map(|f| f.len()).sum();
            if let Some(messages) = self.bound.sending(size) {
                tracing::info!(size, messages, "so many may wait for a client: all connect anew");
                self.clients.limit(messages)?;
            }
            self.clients.send(self.frames.drain(..))?;
        }
        Ok(())
    }

    /// The last value follows a subscription at once. Others who have the topic see it again, with
    /// the same sequence number.
    fn on_subscription(&mut self) {
        if let Some(frame) = self.frames.first()
            && let Some((1, prefix)) = frame.split_first()
            && let Ok(prefix) = std::str::from_utf8(prefix)
        {
            self.repeats.ask(prefix);
        }
    }

    /// Says last values to new subscribers.
    fn repeat(&mut self) -> anyhow::Result<()> {
        let due = self.repeats.due(Instant::now());
        if due.is_empty() {
            return Ok(());
        }
        let mut said = 0;
        for (topic, message) in due.iter().flat_map(|prefix| self.store.latest_with(prefix)) {
            let parts = [topic.as_bytes(), &message.header];
            let buffers = message.buffers.iter().map(Vec::as_slice);
            said += message.bytes() as u64;
            self.clients.send(parts.into_iter().chain(buffers))?;
        }
        self.repeats.said(Instant::now(), said);
        Ok(())
    }

    fn on_query(&mut self) -> anyhow::Result<()> {
        self.queried += 1;
        // Addresses end with an empty frame (REQ), or there is the peer's identity alone (DEALER).
        let envelope = self.frames.iter().position(|f| f.is_empty()).map_or(1, |i| i + 1);
        let envelope = envelope.min(self.frames.len());
        let body: Vec<&[u8]> = self.frames[envelope..].iter().map(|f| &f[..]).collect();
        let answer = query::answer(&self.store, &body, now_ns());
        let address = self.frames[..envelope].iter().map(|f| f.to_vec());
        let reply = address.chain(answer).collect();
        Ok(self.answers.give(reply, |reply| reply_to(&self.queries, reply))?)
    }

    /// When memory is short, what waits for those who do not read goes, and nothing more waits for them
    /// until it is not.
    fn relieve(&mut self, daemon: &Daemon) -> Result<(), zmq::Error> {
        if daemon.memory.is_short() {
            self.short = Some(Instant::now());
        }
        let short = self.short.is_some_and(|at| at.elapsed() < EASE);
        if let Some(messages) = self.bound.press(short) {
            tracing::warn!(short, messages, "so many may wait for a client: all connect anew");
            if short {
                self.answers.clear();
            }
            self.clients.limit(messages)?;
        }
        Ok(())
    }

    fn report(&mut self, daemon: &Daemon) {
        if !self.reporter.due() {
            return;
        }
        let metrics = &daemon.metrics;
        metrics.set("ami_results_total", self.store.messages as f64);
        metrics.set("ami_results_refused_total", self.refused as f64);
        metrics.set("ami_results_unkept_total", self.unkept as f64);
        metrics.set("ami_queries_total", self.queried as f64);
        metrics.set("ami_answers_lost_total", self.answers.lost as f64);
        metrics.set("ami_history_bytes", self.store.bytes() as f64);
        metrics.set("ami_topics", self.store.topics().count() as f64);
        self.reporter.state(if self.store.messages > 0 {
            "running"
        } else {
            "waiting for results"
        });
        self.reporter.send(daemon);
    }
}

/// Sends an answer, if its client takes it; one that is gone gets nothing.
fn reply_to(queries: &Inlet, reply: &mut Reply) -> Result<Sent, zmq::Error> {
    let Some(client) = reply.first() else { return Ok(Sent::Done) };
    let queries = queries.socket();
    // The address tells whether there is room; then the rest is given away without a copy.
    match queries.send(client, zmq::DONTWAIT | zmq::SNDMORE) {
        Ok(()) => socket::send(queries, reply.drain(1..)).map(|_| Sent::Done),
        Err(zmq::Error::EHOSTUNREACH) => Ok(Sent::Done),
        Err(zmq::Error::EAGAIN) => Ok(Sent::Full),
        Err(error) => Err(error),
    }
}
