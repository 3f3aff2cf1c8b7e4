//! What this machine does with a case's frames at most, with no system between the loops.

use crate::bench::cases::{Case, Image};
use crate::bench::error::BenchError;
use crate::bench::limits::{LARGE, ROUND, ROUNDS, opened, ring};
use ami_graph::data::batch::{ArrayRef, Batch, Column, Dims};
use ami_graph::data::schema::{Field, Kind, Schema};
use ami_graph::data::value::DType;
use ami_graph::graph::spec::{GraphSet, GraphSpec};
use ami_graph::plan::Plan;
use ami_graph::worker::WorkerStage;
use ami_shm::RingWriter;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Distinct frames that are copied in turn, as many as the simulated source has.
const POOL: usize = 8;
/// Bytes of a unit, as `ventilator.chunk_bytes` has them.
const UNIT: usize = 8 << 20;

/// Frames per second.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// Copied into a ring by one core, with whichever of the two ways to copy is faster.
    pub copied: f64,
    /// Copied into a ring past the caches by one core while another reads every frame once, after
    /// caches have lost it: what a ventilator and a worker would reach that did nothing else.
    pub copied_to_reader: f64,
    /// Copied into rings by all cores together that read every frame once, too, after caches have
    /// lost it: what a system that did nothing else would reach.
    pub copied_and_read: f64,
    /// The same with the worker stage of the case's graph in place of the reading: what a system would
    /// reach that had nothing to hand on, to merge and to publish.
    pub copied_and_analysed: f64,
}

impl FrameLimits {
    /// Measures with a case's image, graph and ring; a few seconds.
    ///
    /// # Errors
    /// When there is no room for the ring.
    pub fn measure(case: &Case, image: Image) -> Result<FrameLimits, BenchError> {
        // Of memory that is at hand, as it is for the system afterwards: the second of two in a row.
        let _ = ring("frames", case.ring_bytes)?.remove();
        let mut whole = ring("frames", case.ring_bytes)?;
        let ways = [Way::Stream, Way::Plain].repeat(ROUNDS);
        let copied = ways.iter().map(|&way| pass(&mut whole, image, way, &mut |_| {}));
        let copied = copied.fold(0.0, f64::max);
        let mut copied_to_reader = 0.0f64;
        for _ in 0..ROUNDS {
            copied_to_reader = copied_to_reader.max(handed_on(&mut whole, image)?);
        }
        let _ = whole.remove();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut rings = Vec::new();
        for core in 0..cores {
            rings.push(ring(&format!("frames-{core}"), case.ring_bytes / cores as u64)?);
        }
        let plan = plan(case, image);
        let together = |rings: &mut Vec<RingWriter>, way, analyse: bool| -> f64 {
            std::thread::scope(|scope| {
                let each = |ring| {
                    let plan = plan.clone();
                    scope.spawn(move || match analyse {
                        true => pass(ring, image, way, &mut analysis(plan, image)),
                        false => pass(ring, image, way, &mut read),
                    })
                };
                let running: Vec<_> = rings.iter_mut().map(each).collect();
                running.into_iter().filter_map(|thread| thread.join().ok()).sum()
            })
        };
        let (mut copied_and_read, mut copied_and_analysed) = (0.0f64, 0.0f64);
        for way in ways {
            copied_and_read = copied_and_read.max(together(&mut rings, way, false));
            copied_and_analysed = copied_and_analysed.max(together(&mut rings, way, true));
        }
        rings.into_iter().for_each(|ring| {
            let _ = ring.remove();
        });
        Ok(FrameLimits { copied, copied_to_reader, copied_and_read, copied_and_analysed })
    }
}

/// How bytes are copied: past the caches, or as the C library does.
#[derive(Debug, Clone, Copy)]
enum Way {
    Stream,
    Plain,
}

/// Frames per second that a thread reads which another copies into the ring, past the caches.
fn handed_on(ring: &mut RingWriter, image: Image) -> Result<f64, BenchError> {
    let bytes = image.bytes();
    let pool: Vec<Vec<u8>> = (0..POOL).map(|i| vec![i as u8 + 0x40; bytes]).collect();
    let held = held(ring, bytes);
    let reader = opened(ring.path())?;
    let (tail, end) = (AtomicU64::new(ring.tail()), Instant::now() + 2 * ROUND);
    let (written, published) = mpsc::channel();
    let rate = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut waiting, mut begun, mut frames) = (VecDeque::new(), None, 0);
            // Ends when the writer does.
            for at in published {
                waiting.push_back(at);
                if waiting.len() <= held {
                    continue;
                }
                begun.get_or_insert_with(Instant::now);
                let Some(at) = waiting.pop_front() else { continue };
                // What could not be read does not count.
                if let Ok(frame) = reader.bytes(at, bytes) {
                    read(&[frame]);
                    frames += 1;
                }
                tail.store(at + bytes as u64, Ordering::Release);
            }
            frames as f64 / begun.map_or(f64::NAN, |begun| begun.elapsed().as_secs_f64())
        });
        for frame in pool.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            ring.free_to(tail.load(Ordering::Acquire));
            let Some(at) = ring.reserve(bytes) else {
                std::thread::yield_now();
                continue;
            };
            ami_shm::copy(ring.bytes_mut(at, bytes), frame);
            ring.publish();
            let _ = written.send(at);
        }
        drop(written);
        reading.join().unwrap_or(f64::NAN)
    });
    ring.free_to(ring.next_position());
    Ok(rate)
}

/// Frames after which caches have lost one.
fn held(ring: &RingWriter, bytes: usize) -> usize {
    (LARGE / 2 / bytes).min(ring.capacity() / bytes / 2).max(1)
}

/// Frames per second into the ring; each unit of them is taken when more than caches hold has
/// followed it.
fn pass(ring: &mut RingWriter, image: Image, way: Way, take: &mut dyn FnMut(&[&[u8]])) -> f64 {
    let bytes = image.bytes();
    // Floats of ordinary size, too.
    let pool: Vec<Vec<u8>> = (0..POOL).map(|i| vec![i as u8 + 0x40; bytes]).collect();
    let unit = (UNIT / bytes).max(1);
    let held = held(ring, bytes);
    let mut written = VecDeque::new();
    // The first frames only make those that are taken later.
    let (mut begun, mut frames) = (Instant::now(), 0);
    for frame in pool.iter().cycle() {
        if frames == 0 && written.len() == held {
            begun = Instant::now();
        }
        if frames > 0 && begun.elapsed() >= ROUND {
            break;
        }
        let Some(at) = ring.reserve(bytes) else { break };
        match way {
            Way::Stream => ami_shm::copy(ring.bytes_mut(at, bytes), frame),
            Way::Plain => ring.bytes_mut(at, bytes).copy_from_slice(frame),
        }
        ring.publish();
        written.push_back(at);
        if written.len() >= held + unit {
            let old: Vec<u64> = written.drain(..unit).collect();
            let slices: Vec<&[u8]> = old.iter().filter_map(|&at| ring.bytes(at, bytes)).collect();
            take(&slices);
            frames += slices.len();
            ring.free_to(old[unit - 1] + bytes as u64);
        }
    }
    ring.free_to(ring.next_position());
    frames as f64 / begun.elapsed().as_secs_f64()
}

/// Reads all bytes, with many sums at a time, so that it is a loop of loads.
fn read(frames: &[&[u8]]) {
    for bytes in frames {
        let words: &[u64] = bytemuck::try_cast_slice(bytes).unwrap_or_default();
        let sums = words.as_chunks::<32>().0.iter().fold([0u64; 32], |mut sums, chunk| {
            sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
            sums
        });
        std::hint::black_box(sums);
    }
}

/// The plan of a case's graph for its image and the clock.
fn plan(case: &Case, image: Image) -> Arc<Plan> {
    let fields = vec![
        field("bench:raw:image", image.dtype, &image.shape),
        field("bench:raw:clock", DType::U64, &[]),
    ];
    let graphs = GraphSpec::parse(case.graph).map(GraphSet::of).unwrap_or_default();
    let limits = ami_graph::plan::limits::Limits::default();
    Arc::new(Plan::new(Arc::new(graphs), Arc::new(Schema { fields }), &limits))
}

/// A field of every event.
pub fn field(name: &str, dtype: DType, shape: &[usize]) -> Field {
    Field {
        name: name.into(),
        aliases: Vec::new(),
        dtype,
        rank: shape.len(),
        shape: Some(shape.to_vec()),
        kind: Kind::Event,
        labels: BTreeMap::new(),
    }
}

/// Takes units as a worker does.
fn analysis(plan: Arc<Plan>, image: Image) -> impl FnMut(&[&[u8]]) {
    let mut stage = WorkerStage::new(plan);
    let dims = Dims::new(&image.shape);
    move |frames| {
        let times = vec![1u64; frames.len()];
        let one = |&data| dims.map(|dims| ArrayRef { dims, data });
        let clock = bytemuck::cast_slice(&times);
        stage.absorb(&Batch {
            host: 0,
            belonging: Default::default(),
            first_sequence: 0,
            timestamps: &times,
            columns: vec![
                Column::Arrays { dtype: image.dtype, items: frames.iter().map(one).collect() },
                Column::Scalars { dtype: DType::U64, data: clock, present: None },
            ],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases;
    use super::*;

    #[test]
    fn every_case_with_frames_is_analysed() {
        for case in ["P2", "P3", "P3b", "P6"].into_iter().filter_map(cases::of).flatten() {
            let image = case.image.unwrap();
            assert_eq!(image.bytes() as u64, case.event_bytes, "{}", case.name);
            let plan = plan(&case, image);
            assert_eq!(plan.errors().len(), 0, "{}", case.name);
            let bytes = vec![0x40; image.bytes()];
            let mut stage = analysis(plan, image);
            stage(&[&bytes, &bytes]);
        }
    }
}
