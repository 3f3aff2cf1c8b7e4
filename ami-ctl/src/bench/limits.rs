//! What the machine can do at most, measured in the same run: so that a result is a ratio.

use crate::bench::error::BenchError;
use ami_proto::socket::{self, Queue};
use ami_shm::{RingConfig, RingReader, RingWriter};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Larger than any cache.
pub(super) const LARGE: usize = 256 << 20;
/// Rounds, of which the best counts: a disturbance makes slower, nothing makes faster.
pub(super) const ROUNDS: usize = 5;
/// How long one round takes.
pub(super) const ROUND: Duration = Duration::from_millis(120);

/// Memory and hand-over rates of this machine.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Values by name.
    pub values: Map<String, Value>,
}

impl Limits {
    /// Measures; a few seconds.
    ///
    /// # Errors
    /// When there is no room in shared memory.
    pub fn measure() -> Result<Limits, BenchError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (read, copy) = memory(1);
        let (read_all, copy_all) = memory(cores);
        let mut values = Map::new();
        let mut put = |key: &str, value: Value| values.insert(key.to_string(), value);
        put("cores", json!(cores));
        put("read_gb_s_one_core", json!(round(read)));
        put("copy_gb_s_one_core", json!(round(copy)));
        put("read_gb_s_all_cores", json!(round(read_all)));
        put("copy_gb_s_all_cores", json!(round(copy_all)));
        put("zeromq_messages_per_s", json!(zeromq()?.round()));
        put("ring_handovers_per_s", json!(handovers()?.round()));
        Ok(Limits { values })
    }
}

fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Read and copy bandwidth of so many threads together, GB/s of bytes read, or copied once.
fn memory(threads: usize) -> (f64, f64) {
    let each = |_| {
        std::thread::spawn(|| {
            let from = vec![1u64; LARGE / 8 / 2];
            let mut to = vec![0u64; LARGE / 8 / 2];
            let read = best(|| {
                let lanes = from.chunks_exact(16).fold([0u64; 16], |mut sums, chunk| {
                    sums.iter_mut().zip(chunk).for_each(|(s, x)| *s = s.wrapping_add(*x));
                    sums
                });
                std::hint::black_box(lanes);
            });
            let copy = best(|| {
                let bytes = bytemuck::cast_slice_mut(&mut to);
                ami_shm::copy(bytes, bytemuck::cast_slice(&from));
                std::hint::black_box(&to);
            });
            let gb = (LARGE / 2) as f64 / 1e9;
            (gb / read, gb / copy)
        })
    };
    let running: Vec<_> = (0..threads).map(each).collect();
    let rates = running.into_iter().filter_map(|t| t.join().ok());
    rates.fold((0.0, 0.0), |sum, rate| (sum.0 + rate.0, sum.1 + rate.1))
}

fn best(mut work: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// A ring that is removed again.
pub(super) fn ring(name: &str, bytes: u64) -> Result<RingWriter, BenchError> {
    let dir = PathBuf::from("/dev/shm");
    let path = dir.join(format!("ami-bench-{name}-{}.ring", std::process::id()));
    let config = RingConfig {
        capacity: bytes as usize,
        lanes: 1,
        journal: 4096,
        huge_pages: true,
        populate: true,
    };
    let failed = |reason: String| BenchError::Ring { dir: dir.clone(), bytes, reason };
    RingWriter::create(&path, 1, &config).map_err(|e| failed(e.to_string()))
}

/// A ring of [`ring`] as others see it.
pub(super) fn opened(path: &Path) -> Result<RingReader, BenchError> {
    RingReader::open(path).map_err(|e| BenchError::Ring {
        dir: path.to_path_buf(),
        bytes: 0,
        reason: e.to_string(),
    })
}

/// Nanoseconds until a core sees what another has written, the least of some rounds; NaN with one
/// core. Some tens where both share their last cache, and several times that where they do not.
pub(super) fn core_to_core_ns() -> f64 {
    const TURNS: u64 = 20_000;
    let Ok(cores) = sched_getaffinity(None) else { return f64::NAN };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| cores.is_set(core));
    let (Some(one), Some(other)) = (cores.next(), cores.next()) else { return f64::NAN };
    let round = || {
        let (ball, ready) = (AtomicU64::new(0), Barrier::new(2));
        let play = |core: usize, first: u64| {
            let mut set = CpuSet::new();
            set.set(core);
            // Best effort: on the same core the round takes long, and does not count.
            let _ = sched_setaffinity(None, &set);
            ready.wait();
            let begun = Instant::now();
            for turn in (first..TURNS).step_by(2) {
                while ball.load(Ordering::Acquire) != turn {
                    std::hint::spin_loop();
                }
                ball.store(turn + 1, Ordering::Release);
            }
            begun.elapsed().as_nanos() as f64 / TURNS as f64
        };
        std::thread::scope(|scope| {
            scope.spawn(|| play(other, 1));
            scope.spawn(|| play(one, 0)).join().unwrap_or(f64::NAN)
        })
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// Messages of 100 bytes from thread to thread through ZeroMQ over ipc, per second.
fn zeromq() -> Result<f64, BenchError> {
    const MESSAGES: u64 = 300_000;
    let context = socket::Context::ipc();
    let dir = crate::environment::runtime_dir().unwrap_or_else(std::env::temp_dir);
    let path = dir.join(format!("ami-bench-{}.sock", std::process::id()));
    let address = format!("ipc://{}", path.display());
    let queue = Queue::Bounded(10_000);
    let pull = socket::bind(&context, zmq::PULL, queue, &address, "measurement")?;
    let other = context.clone();
    let sender = std::thread::spawn(move || -> Result<(), BenchError> {
        let push = socket::connect(&other, zmq::PUSH, queue, &address, "measurement")?;
        push.set_sndtimeo(10_000)?;
        for _ in 0..MESSAGES {
            push.send(vec![7u8; 100], 0)?;
        }
        Ok(())
    });
    let (mut frames, mut received, mut begun) = (Vec::new(), 0u64, None);
    let deadline = Instant::now() + Duration::from_secs(10);
    while received < MESSAGES && Instant::now() < deadline {
        if pull.receive(&mut frames)? {
            begun.get_or_insert_with(Instant::now);
            received += 1;
        } else {
            socket::wait([&pull], ROUND)?;
        }
    }
    let seconds = begun.map_or(f64::INFINITY, |b| b.elapsed().as_secs_f64());
    if let Ok(result) = sender.join() {
        result?;
    }
    let _ = std::fs::remove_file(path);
    Ok(received as f64 / seconds)
}

/// Records of one cache line that a writer hands to a reader on another core through the ring, per
/// second.
fn handovers() -> Result<f64, BenchError> {
    let mut ring = ring("handovers", 1 << 20)?;
    let path = ring.path().to_path_buf();
    let reader = opened(&path)?;
    let taken = AtomicU64::new(0);
    let end = Instant::now() + ROUND * 3;
    let handed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut position = 0;
            while Instant::now() < end {
                let head = reader.head();
                while position < head {
                    std::hint::black_box(reader.bytes(position, 8).map_or(0, |b| b[0]));
                    position += 64;
                }
                taken.store(position, Ordering::Release);
            }
        });
        let mut handed = 0u64;
        while Instant::now() < end {
            for _ in 0..64 {
                let Some(at) = ring.reserve(64) else { break };
                ring.bytes_mut(at, 8).fill(1);
                ring.publish();
                handed += 1;
            }
            ring.free_to(taken.load(Ordering::Acquire).min(ring.head()));
        }
        handed
    });
    let _ = ring.remove();
    Ok(handed as f64 / (ROUND * 3).as_secs_f64())
}
