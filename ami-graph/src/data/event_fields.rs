//! What every event is, beside its fields: when it happened, and what it belongs to. Graphs name
//! these as fields, `event.timestamp_ns`.

use crate::data::batch::{Batch, Column};
use crate::data::value::{DType, Scalar, Value};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventField {
    /// Seconds since 1970, float64: to some 200 ns.
    Timestamp,
    /// Nanoseconds since 1970, or the source's counter, exactly.
    TimestampNs,
    /// Number of the heartbeat whose unit the event is in.
    Heartbeat,
    /// Run number.
    Run,
    /// Step in the run; absent before the first.
    Step,
    /// Name of the host that took the event.
    Host,
}

impl EventField {
    /// All.
    pub const ALL: [EventField; 6] = [
        EventField::Timestamp,
        EventField::TimestampNs,
        EventField::Heartbeat,
        EventField::Run,
        EventField::Step,
        EventField::Host,
    ];

    /// What graphs call it.
    pub fn name(self) -> &'static str {
        match self {
            EventField::Timestamp => "event.timestamp",
            EventField::TimestampNs => "event.timestamp_ns",
            EventField::Heartbeat => "event.heartbeat",
            EventField::Run => "event.run",
            EventField::Step => "event.step",
            EventField::Host => "event.host",
        }
    }

    /// That of a name.
    pub fn named(name: &str) -> Option<EventField> {
        EventField::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Its element type; all are scalars.
    pub fn dtype(self) -> DType {
        match self {
            EventField::Timestamp => DType::F64,
            EventField::TimestampNs | EventField::Heartbeat => DType::U64,
            EventField::Run | EventField::Step => DType::I64,
            EventField::Host => DType::Str,
        }
    }
}

/// What the events of a batch have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Belonging<'a> {
    /// Number of the heartbeat.
    pub heartbeat: u64,
    /// Run number.
    pub run: u32,
    /// Step in the run; None before the first.
    pub step: Option<u32>,
    /// Name of the host.
    pub host: &'a str,
}

/// Memory for the fields of one batch after the other, of those that are read.
#[derive(Debug, Default)]
pub struct EventFields {
    read: [bool; EventField::ALL.len()],
    seconds: Vec<f64>,
    heartbeat: Option<Value>,
    run: Option<Value>,
    step: Option<Value>,
    host: Option<Value>,
}

/// One column for each, in the order of [`EventField::ALL`].
pub type Columns<'a> = [Column<'a>; EventField::ALL.len()];

impl EventFields {
    /// Memory for these.
    pub fn of(read: impl Iterator<Item = EventField>) -> EventFields {
        let mut fields = EventFields::default();
        read.for_each(|field| fields.read[field as usize] = true);
        fields
    }

    /// Takes in what a batch's events are.
    pub fn take_in(&mut self, batch: &Batch<'_>) {
        self.seconds.clear();
        if self.read[EventField::Timestamp as usize] {
            self.seconds.extend(batch.timestamps.iter().map(|&t| t as f64 / 1e9));
        }
        let Belonging { heartbeat, run, step, host } = batch.belonging;
        let whole = |x: u32| Value::Scalar(Scalar::I64(x.into()));
        self.heartbeat = Some(Value::Scalar(Scalar::U64(heartbeat)));
        self.run = Some(whole(run));
        self.step = step.map(whole);
        // A text is copied only where it is read.
        let reads_host = self.read[EventField::Host as usize];
        self.host = reads_host.then(|| Value::Str(host.to_owned()));
    }

    /// The columns of the batch that was taken in.
    pub fn columns<'a>(&'a self, batch: &Batch<'a>) -> Columns<'a> {
        let constant =
            |value: &'a Option<Value>| value.as_ref().map_or(Column::Absent, Column::Constant);
        EventField::ALL.map(|field| match field {
            EventField::Timestamp => Column::Scalars {
                dtype: DType::F64,
                data: bytemuck::cast_slice(&self.seconds),
                present: None,
            },
            EventField::TimestampNs => Column::Scalars {
                dtype: DType::U64,
                data: bytemuck::cast_slice(batch.timestamps),
                present: None,
            },
            EventField::Heartbeat => constant(&self.heartbeat),
            EventField::Run => constant(&self.run),
            EventField::Step => constant(&self.step),
            EventField::Host => constant(&self.host),
        })
    }
}
