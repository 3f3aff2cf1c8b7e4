//! Code over published values: in a process and a thread of its own, so that it may take its time. It gets
//! the newest values whenever it is free.

use crate::counters::add;
use crate::env::{Env, Request, Target, Unfit};
use crate::launch::Launch;
use crate::pack::Packed;
use crate::process::Patience;
use crate::results::{self, Events};
use ami_graph::data::owned_column::OwnedColumn;
use ami_graph::op::foreign::UserCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a heartbeat gives.
#[derive(Debug)]
pub(crate) struct Input {
    pub heartbeat: u64,
    /// Members of the call, each behind a comma.
    pub body: String,
    pub packed: Packed<'static>,
}

/// What the newest run gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of the input.
    pub heartbeat: u64,
    pub outputs: Result<Vec<OwnedColumn>, String>,
    /// Whether the engine was told of a failure: one is told once, however long it is the newest.
    pub told: AtomicBool,
}

#[derive(Debug, Default)]
struct Desk {
    next: Option<Input>,
    newest: Option<Arc<Outcome>>,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    /// There is something on the desk, or it is over.
    news: Condvar,
    stop: Arc<AtomicBool>,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The next input; not before `not_before`. None when it is over.
    fn next(&self, not_before: Instant) -> Option<Input> {
        let mut desk = self.desk();
        while !self.stopped() {
            let early = not_before.saturating_duration_since(Instant::now());
            if early.is_zero()
                && let Some(input) = desk.next.take()
            {
                return Some(input);
            }
            let wait = if early.is_zero() { Duration::from_secs(3600) } else { early };
            desk = self.news.wait_timeout(desk, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }
}

/// A thread that runs one piece of code; ends with this value.
#[derive(Debug)]
pub(crate) struct Updater {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Updater {
    /// Starts the process and makes the code ready.
    ///
    /// # Errors
    /// Text for people.
    pub(crate) fn start(
        launch: &Arc<Launch>,
        target: &Arc<Target>,
        code: &UserCode,
        every: Option<Duration>,
        ended: &Arc<AtomicBool>,
    ) -> Result<Updater, String> {
        let mut env = Env::new(Arc::clone(launch));
        env.load(target, code)?;
        let shared = Arc::new(Shared::default());
        let work = Work {
            launch: Arc::clone(launch),
            shared: Arc::clone(&shared),
            target: Arc::clone(target),
            code: code.clone(),
            ended: Arc::clone(ended),
            every: every.unwrap_or_default(),
            env,
        };
        let thread = std::thread::Builder::new().name("python-update".into());
        let thread = thread.spawn(|| work.run()).map_err(|e| format!("no thread: {e}"))?;
        Ok(Updater { shared, thread: Some(thread) })
    }

    /// Gives it the newest input, instead of one that still waits; what the newest run gave.
    pub(crate) fn turn(&self, input: Input) -> Option<Arc<Outcome>> {
        let mut desk = self.shared.desk();
        desk.next = Some(input);
        self.shared.news.notify_one();
        desk.newest.clone()
    }

    /// What the newest run gave.
    pub(crate) fn newest(&self) -> Option<Arc<Outcome>> {
        self.shared.desk().newest.clone()
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let desk = self.shared.desk();
        self.shared.news.notify_all();
        drop(desk);
        if let Some(thread) = self.thread.take() {
            // It looks at `stop` ten times a second, whatever user code does.
            let _ = thread.join();
        }
    }
}

struct Work {
    launch: Arc<Launch>,
    shared: Arc<Shared>,
    target: Arc<Target>,
    code: UserCode,
    /// Set with each outcome.
    ended: Arc<AtomicBool>,
    every: Duration,
    env: Env,
}

impl Work {
    fn run(mut self) {
        let mut not_before = Instant::now();
        while let Some(input) = self.shared.next(not_before) {
            not_before = Instant::now() + self.every;
            let heartbeat = input.heartbeat;
            let outputs = self.one(input);
            if outputs.is_err() {
                add(&self.launch.counters.failures, 1);
            }
            if !self.shared.stopped() {
                self.shared.desk().newest =
                    Some(Arc::new(Outcome { heartbeat, outputs, told: AtomicBool::new(false) }));
                self.ended.store(true, Ordering::Relaxed);
            }
        }
    }

    fn one(&mut self, input: Input) -> Result<Vec<OwnedColumn>, String> {
        let mut request = Request {
            call: "update",
            body: input.body,
            packed: input.packed,
            state: None,
            events: 0,
            mask: None,
            patience: Patience::of(&self.code, 0, Some(Arc::clone(&self.shared.stop))),
        };
        let types = &self.code.outputs;
        let done =
            self.env.persist(&self.target, &self.code, None, &mut request, |ok, outbox, _| {
                let mut outputs = vec![OwnedColumn::new(); types.len()];
                let one = Events { count: 1, mask: None };
                results::outputs(&ok["outputs"], outbox, types, one, &mut outputs)
                    .map_err(Unfit::Broken)?;
                Ok(outputs)
            });
        done.map(|done| done.value)
    }
}
