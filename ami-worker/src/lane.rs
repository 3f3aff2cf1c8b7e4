//! A seat at the ventilator: the worker's own endpoint, the ring, the lane in it.

use ami_proto::codec;
use ami_proto::data_path::to_ventilator::{Purpose, ToVentilator};
use ami_proto::socket::{self, Inlet, Queue};
use ami_shm::{LaneSlot, RingReader};
use anyhow::Context;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The lane's stream, before and after the welcome.
pub struct Intake {
    /// Where the ventilator's PUSH connects; never reused.
    endpoint: String,
    file: PathBuf,
    /// The stream.
    pub inlet: Inlet,
}

impl Intake {
    /// Binds an endpoint that only this incarnation will ever have.
    ///
    /// # Errors
    /// When the run directory cannot be used.
    pub fn bind(
        context: &socket::Context,
        run_dir: &Path,
        name: &str,
        life: u64,
    ) -> anyhow::Result<Intake> {
        let file = run_dir.join(format!("lane-{}-{life:x}", std::process::id()));
        let endpoint = format!("ipc://{}", file.display());
        let inlet =
            socket::bind(context, zmq::PULL, Queue::Protocol, &endpoint, "this worker's lane")
                .with_context(|| format!("worker {name} cannot listen in {}", run_dir.display()))?;
        Ok(Intake { endpoint, file, inlet })
    }

    /// The message that asks for a lane.
    pub fn hello(&self, name: &str) -> Vec<u8> {
        codec::encode(&ToVentilator::Hello {
            endpoint: self.endpoint.clone(),
            name: name.to_string(),
            pid: std::process::id(),
            purpose: Purpose::Work,
        })
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // Nobody will ever connect there again.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// A seat: all that its welcome gave.
pub struct Seat {
    /// The ventilator's life.
    pub epoch: u64,
    /// Index of the lane.
    pub lane: u32,
    /// This holder of it.
    pub generation: u64,
    /// The ring.
    pub ring: RingReader,
    /// The lane in the ring's table.
    pub slot: Arc<LaneSlot>,
    /// Whether the ring's pages are being entered.
    entered: Cell<bool>,
}

impl Seat {
    /// Attaches to the ring that the welcome names.
    ///
    /// # Errors
    /// When the ring is not there, not of that epoch, or the lane is no longer ours.
    pub fn take(epoch: u64, lane: u32, generation: u64, ring: &str) -> anyhow::Result<Seat> {
        let ring = RingReader::open(Path::new(ring))?;
        anyhow::ensure!(
            ring.epoch() == epoch,
            "ring {} is of epoch {}, the welcome of {epoch}: the ventilator was restarted",
            ring.path().display(),
            ring.epoch()
        );
        let slot = Arc::new(ring.lane(lane as usize, generation)?);
        Ok(Seat { epoch, lane, generation, ring, slot, entered: Cell::new(false) })
    }

    /// The first unit is here: enters the ring's pages, or the first round of events would fault at every
    /// 64 KiB. Not before: of more workers than processors most have nothing to do, and 0.3 s each for
    /// 4 GiB is taken from those that have.
    pub fn enter(&self) {
        if !self.entered.replace(true) {
            self.ring.prefault();
        }
    }
}
