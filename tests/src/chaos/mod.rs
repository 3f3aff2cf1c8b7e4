//! Chaos: real processes are killed, frozen, restarted and fed garbage by a seeded schedule, while a
//! stream of known content runs. Whatever is published meanwhile must be what an undisturbed system
//! publishes, or say exactly what it lacks.

pub mod garbage;
pub mod laws;
pub mod run;
pub mod schedule;
pub mod stream;

use schedule::Kind;

/// What is to be done to a system, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// Length of the stream, and of the schedule.
    pub seconds: u64,
    /// Workers.
    pub workers: usize,
    /// Events per second of the stream.
    pub rate: u64,
    /// Mean time between two disturbances.
    pub every_ms: u64,
    /// Daemons that are disturbed: `worker`, `collector`, `root`, `store`, `manager`,
    /// `ventilator`, and `python`: processes of user code.
    pub victims: Vec<String>,
    /// What is done to them.
    pub kinds: Vec<Kind>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            seconds: 20,
            workers: 4,
            rate: 10_000,
            every_ms: 1000,
            victims: ["worker", "collector", "store", "manager", "python"]
                .map(String::from)
                .to_vec(),
            kinds: Kind::ALL.to_vec(),
        }
    }
}

impl Options {
    /// Whether no number may change: what dies keeps nothing that cannot be made again.
    pub fn exact(&self) -> bool {
        !self.victims.iter().any(|v| v == "root" || v == "ventilator")
    }
}
