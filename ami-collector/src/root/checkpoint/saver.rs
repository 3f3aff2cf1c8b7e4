//! When checkpoints are written, and by whom: a thread of its own, so that a slow disk holds nothing.
//!
//! A state is written at most as often as `root.checkpoint_s` says; one larger than
//! `root.checkpoint_bytes`, or that takes long to copy, accordingly less often.

use crate::root::builder::RootBuilder;
use crate::root::checkpoint::{self, Image};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Part of the time that may go into copying states.
const DUTY: u32 = 50;

/// A stop waits so long for the last checkpoint; a disk that hangs holds no exit for ever.
const LAST: Duration = Duration::from_secs(10);

/// How a write ended.
#[derive(Debug)]
struct Done {
    result: io::Result<()>,
    builder: RootBuilder,
    took: Duration,
}

/// Numbers for status and metrics.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Written.
    pub written: u64,
    /// Not written.
    pub failed: u64,
    /// Bytes of the newest.
    pub bytes: u64,
    /// Longest time that copying the states took from the loop.
    pub copied: Duration,
    /// Time that the newest took to reach the disk.
    pub took: Duration,
}

/// See the module's documentation.
pub struct Saver {
    jobs: Sender<Image>,
    done: Receiver<Done>,
    /// None: no checkpoints are wanted.
    every: Option<Duration>,
    most: u64,
    busy: bool,
    began: Instant,
    interval: Duration,
    told_large: bool,
    /// Why the newest was not written.
    pub broken: Option<String>,
    /// When the newest that was written was begun.
    pub written_at: Option<Instant>,
    /// For status and metrics.
    pub counts: Counts,
}

impl Saver {
    /// Writes to this file so often, so many bytes in that time.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new(path: PathBuf, every_s: f64, most: u64) -> io::Result<Saver> {
        let (jobs, queue) = channel::<Image>();
        let (report, done) = channel();
        std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            while let Ok(image) = queue.recv() {
                let start = Instant::now();
                let result = checkpoint::write(&path, &image);
                let done = Done { result, builder: image.header.builder, took: start.elapsed() };
                if report.send(done).is_err() {
                    break;
                }
            }
        })?;
        let every = (every_s > 0.0).then(|| Duration::from_secs_f64(every_s));
        Ok(Saver {
            jobs,
            done,
            every,
            most,
            busy: false,
            began: Instant::now(),
            interval: every.unwrap_or_default(),
            told_large: false,
            broken: None,
            written_at: None,
            counts: Counts::default(),
        })
    }

    /// Whether states are to be copied now.
    pub fn due(&self) -> bool {
        self.every.is_some() && !self.busy && self.began.elapsed() >= self.interval
    }

    /// Writes an image whose copying began at `start`.
    pub fn save(&mut self, image: Image, start: Instant) {
        let Some(every) = self.every else { return };
        let (bytes, copied) = (image.bytes(), start.elapsed());
        self.counts.bytes = bytes;
        self.counts.copied = self.counts.copied.max(copied);
        self.interval = interval(every, bytes, self.most, copied);
        if bytes > self.most && !std::mem::replace(&mut self.told_large, true) {
            tracing::warn!(
                bytes,
                seconds = self.interval.as_secs_f64(),
                "state larger than root.checkpoint_bytes: checkpoints are written less often; a root \
                 that dies asks hosts for all flushes since the last one"
            );
        }
        self.began = start;
        self.busy = self.jobs.send(image).is_ok();
    }

    /// What was decided when the newest checkpoint was copied, once it is on the disk.
    pub fn written(&mut self) -> Option<RootBuilder> {
        match self.done.try_recv() {
            Ok(done) => self.note(done),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    fn note(&mut self, done: Done) -> Option<RootBuilder> {
        self.busy = false;
        self.counts.took = done.took;
        match done.result {
            Ok(()) => {
                if self.broken.take().is_some() {
                    tracing::info!("checkpoints are written again");
                }
                self.counts.written += 1;
                self.written_at = Some(self.began);
                Some(done.builder)
            }
            Err(error) => {
                let reason = error.to_string();
                self.counts.failed += 1;
                if self.broken.as_ref() != Some(&reason) {
                    tracing::error!(
                        %error,
                        "checkpoint not written: data go on, but a root that dies now has a gap; \
                         make room, or set root.state_dir to another disk"
                    );
                }
                self.broken = Some(reason);
                None
            }
        }
    }

    /// Waits for the write that is under way. True when a last one can be written.
    pub fn wait(&mut self) -> bool {
        if self.busy
            && let Ok(done) = self.done.recv_timeout(LAST)
        {
            self.note(done);
        }
        self.every.is_some() && !self.busy
    }
}

/// Time between checkpoints of this size that take so long to copy.
fn interval(every: Duration, bytes: u64, most: u64, copied: Duration) -> Duration {
    let times = bytes.div_ceil(most.max(1)).clamp(1, 3600) as u32;
    (every * times).max(copied * DUTY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image { header: checkpoint::Header::default(), body: vec![vec![1; 100]] }
    }

    #[test]
    fn large_states_and_slow_copies_are_written_less_often() {
        let (second, millisecond) = (Duration::from_secs(1), Duration::from_millis(1));
        assert_eq!(interval(second, 10, 100, millisecond), second);
        assert_eq!(interval(second, 101, 100, millisecond), 2 * second);
        assert_eq!(interval(second, 10, 100, 100 * millisecond), 5 * second);
        assert_eq!(interval(second, u64::MAX, 0, millisecond), 3600 * second);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_said_and_survived() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/root.checkpoint");
        let mut saver = Saver::new(path.clone(), 0.001, 1000).unwrap();
        saver.save(image(), Instant::now());
        saver.wait();
        assert_eq!((saver.counts.failed, saver.counts.written), (1, 0));
        assert!(saver.broken.is_some());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        saver.save(image(), Instant::now());
        saver.wait();
        assert_eq!((saver.counts.failed, saver.counts.written), (1, 1));
        assert!(saver.broken.is_none() && path.exists());
    }
}
