//! Writes a recording: flat datagrams as the DAQ writes them, which other readers take and which
//! [`Xtc2Source`](super::Xtc2Source) replays to the same schema and values.
//!
//! The schema itself (order, aliases, kinds, labels, shapes) travels in Configure as one text of the
//! detector `amiinfo`. Each datagram is written whole and by itself, so that a recording that is cut
//! anywhere loses what follows the cut and nothing else.

mod encode;
mod layout;

use crate::source::Transition;
use crate::xtc2::Epoch;
use crate::xtc2::dgram::{HEADER, MAX_DGRAM, XTC};
use crate::xtc2::names::SHAPE;
use ami_graph::data::batch::{Batch, Column};
use ami_graph::data::schema::Schema;
use ami_graph::data::value::Value;
use ami_proto::data_path::transition::TransitionKind;
use anyhow::{Context, bail};
use encode::Cell;
use layout::{Block, Layout, Slot};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Readout group 0, so that readers that select by group take it.
const READOUT_GROUPS: u32 = 1;
const L1_ACCEPT: u8 = crate::xtc2::dgram::L1_ACCEPT;

/// Writes XTC2. Each datagram is one `write_all`: give it a buffered writer.
#[derive(Debug)]
pub struct Xtc2Writer<W: Write> {
    out: W,
    epoch: Epoch,
    layout: Option<Layout>,
    schema: Arc<Schema>,
    buffer: Vec<u8>,
}

/// What a datagram carries besides fields.
#[derive(Clone, Copy, Default)]
struct Extra<'a> {
    run: Option<u32>,
    step: Option<u32>,
    schema: Option<&'a str>,
}

impl<W: Write> Xtc2Writer<W> {
    /// A recording whose timestamps count from the Unix epoch.
    pub fn new(out: W) -> Xtc2Writer<W> {
        Xtc2Writer::with_epoch(out, Epoch::Unix)
    }

    /// A recording that is to be read with this epoch; `Counter` for sources that count.
    pub fn with_epoch(out: W, epoch: Epoch) -> Xtc2Writer<W> {
        let (layout, schema) = (None, Arc::default());
        Xtc2Writer { out, epoch, layout, schema, buffer: Vec::new() }
    }

    /// Writes a transition. The first is a Configure; it carries the schema. `GraphUpdate` is
    /// ami's own and is left out.
    ///
    /// # Errors
    /// When a field's name does not fit the format, a value not its field, the timestamp not 32
    /// bits of seconds, or writing fails.
    pub fn transition(&mut self, transition: &Transition) -> anyhow::Result<()> {
        let Some(service) = transition.kind.lcls() else { return Ok(()) };
        let mut text = None;
        if transition.kind == TransitionKind::Configure {
            let schema = transition.schema.clone().unwrap_or_else(|| self.schema.clone());
            self.layout = Some(Layout::new(&schema)?);
            text = Some(serde_json::to_string(&*schema).context("the schema cannot be written")?);
            self.schema = schema;
        }
        let values: BTreeMap<u32, &Value> = transition.held.iter().map(|(k, v)| (*k, v)).collect();
        let cell = |field: usize| Some(Cell::of_value(values.get(&(field as u32))?));
        let Transition { run, step, .. } = *transition;
        let extra = Extra { run, step, schema: text.as_deref() };
        self.dgram(service, transition.timestamp, extra, &cell)
    }

    /// Writes event `index` of a batch that has the columns of the schema.
    ///
    /// # Errors
    /// As [`transition`](Self::transition).
    pub fn event(&mut self, batch: &Batch<'_>, index: usize) -> anyhow::Result<()> {
        let Some(&timestamp) = batch.timestamps.get(index) else {
            bail!("the batch has {} events, there is no number {index}", batch.len());
        };
        let cell = |field: usize| event_cell(batch.columns.get(field)?, index);
        self.dgram(L1_ACCEPT, timestamp, Extra::default(), &cell)
    }

    /// Flushes and gives the writer back.
    ///
    /// # Errors
    /// When flushing fails.
    pub fn finish(mut self) -> anyhow::Result<W> {
        self.out.flush().context("flushing the recording failed: check the disk")?;
        Ok(self.out)
    }

    fn dgram<'c>(
        &mut self,
        service: u8,
        timestamp: u64,
        extra: Extra<'_>,
        cell: &dyn Fn(usize) -> Option<Cell<'c>>,
    ) -> anyhow::Result<()> {
        let Some(layout) = &self.layout else {
            bail!("a recording begins with Configure, which names its fields: write that first");
        };
        let Some((sec, nsec)) = self.epoch.split(timestamp) else {
            bail!(
                "timestamp {timestamp} ns does not fit the 32-bit seconds of XTC2: record sources \
                 that count with epoch=counter"
            );
        };
        self.buffer.clear();
        for number in [nsec, sec, u32::from(service) << 24 | READOUT_GROUPS] {
            self.buffer.extend_from_slice(&number.to_le_bytes());
        }
        let root = encode::begin(&mut self.buffer, 0, crate::xtc2::dgram::PARENT);
        if extra.schema.is_some() {
            layout.names.iter().for_each(|names| encode::names(&mut self.buffer, names));
        }
        for block in &layout.blocks {
            put_block(&mut self.buffer, layout, block, extra, &self.schema, cell)?;
        }
        if self.buffer.len() > MAX_DGRAM {
            bail!(
                "an event of {} bytes is larger than the {MAX_DGRAM} that XTC2 readers take: \
                 record fewer fields",
                self.buffer.len()
            );
        }
        encode::end(&mut self.buffer, root);
        self.out.write_all(&self.buffer).context("writing the recording failed: check the disk")
    }
}

/// A block with all its fields, or those that are there each by itself: the format cannot leave a
/// field out of a block.
fn put_block<'c>(
    out: &mut Vec<u8>,
    layout: &Layout,
    block: &Block,
    extra: Extra<'_>,
    schema: &Schema,
    cell: &dyn Fn(usize) -> Option<Cell<'c>>,
) -> anyhow::Result<()> {
    let cell_of = |slot: &Slot| -> anyhow::Result<Option<Cell<'c>>> {
        Ok(match *slot {
            Slot::Code(code) => Some(Cell::scalar(code.to_le_bytes().to_vec())),
            Slot::Step => extra.step.map(|s| Cell::scalar(s.to_le_bytes().to_vec())),
            Slot::Schema => extra.schema.map(|s| Cell::text(s.to_owned().into())),
            Slot::Run(field) => field
                .and_then(cell)
                .or_else(|| extra.run.map(|r| Cell::scalar(r.to_le_bytes().to_vec()))),
            Slot::Field(field) => {
                let Some(cell) = cell(field) else { return Ok(None) };
                let field = &schema.fields[field];
                if !cell.fits(field.dtype, field.rank) {
                    bail!(
                        "field {:?}: a value of another type or shape than its schema's",
                        field.name
                    );
                }
                Some(cell)
            }
        })
    };
    let cells: Vec<Option<Cell<'c>>> = block.slots.iter().map(cell_of).collect::<Result<_, _>>()?;
    let filled =
        |(slot, cell): (&Slot, &Option<Cell<'c>>)| cell.is_some() && !matches!(slot, Slot::Code(_));
    if !block.slots.iter().zip(&cells).any(filled) {
        return Ok(());
    }
    if cells.iter().all(Option::is_some) {
        let id = layout.names[block.names].xtc.src;
        let cells: Vec<&Cell<'c>> = cells.iter().flatten().collect();
        encode::shapes_data(out, id, &cells);
        return Ok(());
    }
    for (at, (slot, cell)) in block.slots.iter().zip(&cells).enumerate() {
        if let (Some(cell), Some(&names)) = (cell, block.singles.get(at))
            && !matches!(slot, Slot::Code(_))
        {
            encode::shapes_data(out, layout.names[names].xtc.src, &[cell]);
        }
    }
    Ok(())
}

fn event_cell<'a>(column: &Column<'a>, index: usize) -> Option<Cell<'a>> {
    match column {
        Column::Absent | Column::Constant(_) => None,
        Column::Scalars { dtype, data, present } => {
            if present.is_some_and(|p| p.get(index) == Some(&0)) {
                return None;
            }
            let bytes = data.get(index * dtype.size()..)?.get(..dtype.size())?;
            Some(Cell { axes: Vec::new(), bytes: Cow::Borrowed(bytes), text: false })
        }
        Column::Strings(items) => Some(Cell::text(Cow::Borrowed((*items.get(index)?)?))),
        Column::Arrays { items, .. } => {
            let array = (*items.get(index)?)?;
            let axes = array.dims.axes().to_vec();
            Some(Cell { axes, bytes: Cow::Borrowed(array.data), text: false })
        }
    }
}

const _: () = assert!(HEADER == 2 * XTC && SHAPE == 20);
