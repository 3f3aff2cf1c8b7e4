//! What events are beside their fields, as columns: `event.timestamp_ns`, `event.run`.

use crate::data::batch::{Batch, Belonging, Column};
use crate::data::schema::EventField;
use crate::data::value::{DType, Scalar, Value};

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
