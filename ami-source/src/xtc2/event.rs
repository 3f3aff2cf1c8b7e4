//! One event: from the datagrams of its streams into the open chunk. No memory is taken per event.

use crate::xtc2::counts::{Count, Counts};
use crate::xtc2::held::text;
use crate::xtc2::names::Datum;
use crate::xtc2::reading::Datagrams;
use crate::xtc2::schema::{Plan, Route, Stack};
use ami_graph::data::batch::Dims;
use ami_graph::data::schema::Kind;
use ami_graph::data::value::{DType, MAX_RANK};
use ami_proto::data_path::chunk::{ChunkWriter, Full};
use std::convert::Infallible;

/// Where a segment's value lies until all segments of its stack are known.
#[derive(Debug, Clone, Copy)]
struct Slot {
    stream: usize,
    start: usize,
    len: usize,
    field: usize,
    dims: Dims,
}

/// Memory for events, kept from one to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// By field: the last event that had it.
    seen: Vec<u64>,
    event: u64,
    slots: Vec<Option<Slot>>,
    /// The field that is the pulse id, and its value in the last event.
    pulse: Option<usize>,
    pulse_id: Option<u64>,
}

/// What the DAQ's timing system calls the pulse id: `timing:raw:pulseId`.
const PULSE_ID: &str = ":pulseId";

impl Scratch {
    /// For the fields of a plan.
    pub fn new(plan: &Plan) -> Scratch {
        let fields = &plan.schema.fields;
        let pulse = fields.iter().position(|f| {
            (f.dtype, f.rank, f.kind) == (DType::U64, 0, Kind::Event) && f.name.ends_with(PULSE_ID)
        });
        let (seen, slots) = (vec![0; fields.len()], vec![None; plan.slots]);
        Scratch { seen, event: 0, slots, pulse, pulse_id: None }
    }

    /// Pulse id of the last event, where it has one.
    pub fn pulse_id(&self) -> Option<u64> {
        self.pulse_id
    }

    /// Pulse id of an event that is not written; None also where the data have none.
    pub fn pulse_id_in<D: Datagrams + ?Sized>(
        &self,
        plan: &Plan,
        streams: &D,
        contributors: &[usize],
    ) -> Option<u64> {
        let pulse = self.pulse?;
        let mut found = None;
        for &stream in contributors {
            let routes = &plan.routes[stream];
            let find = &mut |datum: Datum<'_, '_>, _: &mut Counts| {
                let route = routes.get(datum.at).and_then(|r| r.get(datum.field));
                if route.and_then(|r| r.field) == Some(pulse as u32) {
                    found = datum.bytes.try_into().ok().map(u64::from_le_bytes);
                }
                Ok(())
            };
            // Its damage is not counted: nothing of it is used.
            let dgram = streams.dgram(stream);
            let walked =
                streams.table(stream).each::<Infallible>(dgram, &mut Counts::default(), find);
            let Ok(()) = walked;
        }
        found
    }

    /// Writes the event that stands next in the `contributors` among the streams.
    ///
    /// # Errors
    /// When the ring has no room: the caller takes the event back.
    pub fn write<D: Datagrams + ?Sized>(
        &mut self,
        plan: &Plan,
        streams: &D,
        contributors: &[usize],
        out: &mut ChunkWriter<'_>,
        counts: &mut Counts,
    ) -> Result<(), Full> {
        self.event += 1;
        self.slots.fill(None);
        self.pulse_id = None;
        for &stream in contributors {
            let dgram = streams.dgram(stream);
            let routes = &plan.routes[stream];
            streams.table(stream).each(dgram, counts, &mut |datum, counts| {
                let route = routes.get(datum.at).and_then(|r| r.get(datum.field));
                match route {
                    Some(route) => self.datum(route, &datum, (stream, dgram), out, counts),
                    None => Ok(()),
                }
            })?;
        }
        for stack in plan.stacks.iter().filter(|s| s.kind == Kind::Event) {
            self.stack(stack, streams, out, counts)?;
        }
        Ok(())
    }

    fn datum(
        &mut self,
        route: &Route,
        datum: &Datum<'_, '_>,
        (stream, dgram): (usize, &[u8]),
        out: &mut ChunkWriter<'_>,
        counts: &mut Counts,
    ) -> Result<(), Full> {
        let Some(field) = route.field.map(|f| f as usize) else { return Ok(()) };
        if route.kind == Kind::Held {
            counts.add(Count::HeldFieldsInEvents);
            return Ok(());
        }
        if std::mem::replace(&mut self.seen[field], self.event) == self.event {
            counts.add(Count::DuplicateFields);
            return Ok(());
        }
        if self.pulse == Some(field) {
            self.pulse_id = datum.bytes.try_into().ok().map(u64::from_le_bytes);
        }
        if let Some(slot) = route.slot {
            // Bytes of nothing may lie anywhere, also before the datagram.
            let offset = datum.bytes.as_ptr() as usize;
            let start = match datum.bytes.is_empty() {
                true => 0,
                false => offset.saturating_sub(dgram.as_ptr() as usize),
            };
            let (len, dims) = (datum.bytes.len(), datum.dims);
            self.slots[slot as usize] = Some(Slot { stream, start, len, field, dims });
            return Ok(());
        }
        if route.dtype == DType::Str {
            out.text(field, &text(datum.bytes, counts));
            return Ok(());
        }
        put(out, field, route.dtype, &datum.dims, datum.bytes)
    }

    /// All segments there and of one shape: one block of memory that is stack and segments at once.
    /// Otherwise those that are there, each by itself.
    fn stack<D: Datagrams + ?Sized>(
        &self,
        stack: &Stack,
        streams: &D,
        out: &mut ChunkWriter<'_>,
        counts: &mut Counts,
    ) -> Result<(), Full> {
        let slots = &self.slots[stack.first_slot..stack.first_slot + stack.members.len()];
        let bytes = |s: &Slot| &streams.dgram(s.stream)[s.start..s.start + s.len];
        let first = slots.iter().flatten().next();
        let Some(first) = first else { return Ok(()) };
        let complete = slots.iter().all(Option::is_some);
        let same = slots.iter().flatten().all(|s| s.dims == first.dims);
        let scalars = first.dims.axes().is_empty();
        if complete && same {
            let (axes, rank) = shape(&first.dims);
            let to = out.arrays(&stack.members, Some(stack.field), &axes[..rank])?;
            for (slot, to) in slots.iter().flatten().zip(to.chunks_mut(first.len.max(1))) {
                copy(stack.dtype, bytes(slot), to);
            }
        } else if complete {
            counts.add(Count::StacksOfUnequalShapes);
        }
        if !(complete && same) || scalars {
            for slot in slots.iter().flatten() {
                put(out, slot.field, stack.dtype, &slot.dims, bytes(slot))?;
            }
        }
        Ok(())
    }
}

fn shape(dims: &Dims) -> ([usize; MAX_RANK], usize) {
    let mut axes = [0; MAX_RANK];
    for (to, axis) in axes.iter_mut().zip(dims.axes()) {
        *to = *axis as usize;
    }
    (axes, dims.axes().len())
}

fn put(
    out: &mut ChunkWriter<'_>,
    field: usize,
    dtype: DType,
    dims: &Dims,
    bytes: &[u8],
) -> Result<(), Full> {
    let (axes, rank) = shape(dims);
    if rank > 0 {
        copy(dtype, bytes, out.array(field, &axes[..rank])?);
    } else if dtype == DType::Bool {
        out.scalar_bytes(field, dtype, &[u8::from(bytes != [0])]);
    } else {
        out.scalar_bytes(field, dtype, bytes);
    }
    Ok(())
}

/// Lengths differ only if the ventilator's schema is not the one announced here.
fn copy(dtype: DType, from: &[u8], to: &mut [u8]) {
    if from.len() != to.len() {
        return;
    }
    to.copy_from_slice(from);
    if dtype == DType::Bool {
        to.iter_mut().for_each(|b| *b = u8::from(*b != 0));
    }
}
