//! Saves a unit that workers die of to a file that replays, so that the cause can be found later.

use crate::in_force::in_force;
use ami_graph::data::schema::{Held, Schema};
use ami_proto::data_path::chunk::ChunkView;
use ami_proto::data_path::ventilator_to_worker::{Context, Descriptor};
use ami_shm::RingWriter;
use ami_source::url::Epoch;
use ami_source::xtc2::Xtc2Writer;
use anyhow::Context as _;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Files written by one life of a ventilator: a graph that dies of everything must not fill a disk.
const MOST: usize = 100;

/// A unit that three workers died of, with what it is to be seen with.
#[derive(Debug, Clone)]
pub struct Poisonous {
    /// Where it lies.
    pub unit: Descriptor,
    /// Run, step, held values.
    pub context: Context,
    /// Its fields.
    pub schema: Arc<Schema>,
}

/// Where such units go.
#[derive(Debug)]
pub struct Quarantine {
    dir: PathBuf,
    /// Begins every file's name.
    name: String,
    epoch: Epoch,
    /// Files written.
    pub files: Vec<PathBuf>,
    /// Units, saved or not.
    pub units: u64,
}

impl Quarantine {
    /// Into files `poison-HOST-LIFE-UNIT.xtc2` of a directory.
    pub fn new(dir: PathBuf, host: &str, life: u64, epoch: Epoch) -> Quarantine {
        let name = format!("poison-{host}-{life:x}");
        Quarantine { dir, name, epoch, files: Vec::new(), units: 0 }
    }

    /// Saves a unit, or says why it could not. The run goes on in either case.
    pub fn take(&mut self, ring: &RingWriter, poisonous: &Poisonous) {
        self.units += 1;
        let unit = poisonous.unit;
        if self.files.len() >= MOST {
            tracing::error!(
                unit = unit.unit,
                events = unit.events,
                "unit quarantined, not saved: there are {MOST} files already"
            );
            return;
        }
        let path = self.dir.join(format!("{}-{}.xtc2", self.name, unit.unit));
        match self.save(ring, poisonous, &path) {
            Ok(()) => {
                tracing::error!(
                    unit = unit.unit, events = unit.events, file = %path.display(),
                    "unit quarantined: three workers died of it; replay it with xtc2:FILE to find out why"
                );
                self.files.push(path);
            }
            Err(error) => tracing::error!(
                unit = unit.unit,
                events = unit.events,
                error = format!("{error:#}"),
                "unit quarantined, but it could not be saved"
            ),
        }
    }

    fn save(&self, ring: &RingWriter, poisonous: &Poisonous, path: &PathBuf) -> anyhow::Result<()> {
        let Poisonous { unit, context, schema } = poisonous;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        let mut writer = Xtc2Writer::with_epoch(BufWriter::new(file), self.epoch);
        let index = ring.bytes(unit.index, unit.index_len as usize);
        let arrays = unit.arrays(|at, len| ring.bytes(at, len));
        let view = ChunkView::new(&arrays, index.context("its index is gone")?)?;
        let timestamp = view.timestamps()?.first().copied().unwrap_or(0);
        for transition in in_force(context, schema, timestamp) {
            writer.transition(&transition)?;
        }
        let nothing = Held::new();
        let batch = view.batch(schema, &nothing, &[])?;
        for event in 0..batch.len() {
            writer.event(&batch, event)?;
        }
        let file = writer.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(file.sync_all()?)
    }
}
